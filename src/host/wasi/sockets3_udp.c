// udp-socket of wasi:sockets@0.3.
#include <errno.h>
#include <limits.h>

#include "sockets3_int.h"

enum { DATAGRAM_MAX = 65535 };

void wasi_sockets3_types_udp_socket_drop(struct canon_instance *i, void *object)
{
	wasi__socket_unref(object);
}

static struct wasi_socket *socket_of(struct seam_call *c, uint32_t rep)
{
	return seam_resource_get(c, &wasi_sockets3_types_udp_socket_resource, rep);
}

enum seam_result wasi_sockets3_types_udp_socket_create(struct seam_call *c, const struct wasi_sockets3_types_udp_socket_create_args *args,
	struct wasi_result_own_sockets3_types_udp_socket_sockets3_types_error_code *ret)
{
	int why;
	bool v6 = args->address_family == WASI_SOCKETS3_TYPES_IP_ADDRESS_FAMILY_IPV6;
	enum seam_result r = wasi__socket_create(c, v6, true, &wasi_sockets3_types_udp_socket_class, &ret->ok, &why);
	if (r == SEAM_OK)
		FAILED(ret, why);
	return r;
}

enum seam_result wasi_sockets3_types_udp_socket_bind(struct seam_call *c, const struct wasi_sockets3_types_udp_socket_bind_args *args,
	struct wasi_result_void_sockets3_types_error_code *ret)
{
	struct sys_endpoint at = wasi__endpoint3(&args->local_address);
	return DO(ret, wasi__socket_bind_now(socket_of(c, args->self), &at));
}

static int connect_to(struct wasi_socket *s, const struct sys_endpoint *to)
{
	if (!wasi__socket_is_destination(s, to))
		return -EINVAL;
	int why = wasi__socket_bind_any(s);
	return why ? why : wasi__socket_associate(s, to);
}

enum seam_result wasi_sockets3_types_udp_socket_connect(struct seam_call *c, const struct wasi_sockets3_types_udp_socket_connect_args *args,
	struct wasi_result_void_sockets3_types_error_code *ret)
{
	struct sys_endpoint to = wasi__endpoint3(&args->remote_address);
	return DO(ret, connect_to(socket_of(c, args->self), &to));
}

enum seam_result wasi_sockets3_types_udp_socket_disconnect(struct seam_call *c, const struct wasi_sockets3_types_udp_socket_disconnect_args *args,
	struct wasi_result_void_sockets3_types_error_code *ret)
{
	struct wasi_socket *s = socket_of(c, args->self);
	return DO(ret, s->connected ? wasi__socket_associate(s, NULL) : -ENOTCONN);
}

enum seam_result wasi_sockets3_types_udp_socket_send(struct seam_call *c, const struct wasi_sockets3_types_udp_socket_send_args *args,
	struct wasi_result_void_sockets3_types_error_code *ret)
{
	struct wasi_socket *s = socket_of(c, args->self);
	struct sys_endpoint to = {0};
	bool named = args->remote_address.is_some;
	if (named)
		to = wasi__endpoint3(&args->remote_address.some);
	if (named ? !wasi__socket_is_destination(s, &to) : !s->connected)
		return DO(ret, -EINVAL);
	int why = wasi__socket_bind_any(s);
	enum seam_result r = SEAM_OK;
	while (why == 0 && r == SEAM_OK && (why = wasi__socket_send(s, slice_of(args->data.ptr, args->data.len), named ? &to : NULL)) == -EAGAIN) {
		why = 0;
		if (!wasi__socket_is_ready(s, true))
			r = wasi__event_wait(c, &s->event);
	}
	return r == SEAM_OK ? DO(ret, why) : r;
}

enum seam_result wasi_sockets3_types_udp_socket_receive(struct seam_call *c, const struct wasi_sockets3_types_udp_socket_receive_args *args,
	struct wasi_result_tuple2_list_u8_sockets3_types_ip_socket_address_sockets3_types_error_code *ret)
{
	struct wasi_socket *s = socket_of(c, args->self);
	struct sys_endpoint from;
	if (s->state != WASI_SOCKET_BOUND)
		return DO(ret, -ENOTCONN);
	uint8_t *into = seam_alloc(c, DATAGRAM_MAX, 1);
	enum seam_result r = into ? SEAM_OK : SEAM_TRAP;
	int64_t n = -EAGAIN;
	while (r == SEAM_OK && (n = wasi__socket_receive(s, into, DATAGRAM_MAX, &from)) == -EAGAIN)
		r = wasi__socket_hears(s) ? seam_work(c, VM_WORK_LOOK) : wasi__event_wait(c, &s->event);
	if (r != SEAM_OK || FAILED(ret, n))
		return r;
	ret->ok.f0 = (struct wit_list){into, (size_t)n};
	wasi__endpoint3_give(&from, &ret->ok.f1);
	return seam_work(c, (uint64_t)n);
}

enum seam_result wasi_sockets3_types_udp_socket_get_local_address(struct seam_call *c,
	const struct wasi_sockets3_types_udp_socket_get_local_address_args *args, struct wasi_result_sockets3_types_ip_socket_address_sockets3_types_error_code *ret)
{
	const struct wasi_socket *s = socket_of(c, args->self);
	struct sys_endpoint p;
	if (!FAILED(ret, s->state == WASI_SOCKET_BOUND ? sys_socket_local(s->fd, &p) : -ENOTCONN))
		wasi__endpoint3_give(&p, &ret->ok);
	return SEAM_OK;
}

enum seam_result wasi_sockets3_types_udp_socket_get_remote_address(struct seam_call *c,
	const struct wasi_sockets3_types_udp_socket_get_remote_address_args *args, struct wasi_result_sockets3_types_ip_socket_address_sockets3_types_error_code *ret)
{
	const struct wasi_socket *s = socket_of(c, args->self);
	if (!FAILED(ret, s->connected ? 0 : -ENOTCONN))
		wasi__endpoint3_give(&s->remote, &ret->ok);
	return SEAM_OK;
}

enum seam_result wasi_sockets3_types_udp_socket_get_address_family(struct seam_call *c,
	const struct wasi_sockets3_types_udp_socket_get_address_family_args *args, uint8_t *ret)
{
	*ret = socket_of(c, args->self)->v6 ? WASI_SOCKETS3_TYPES_IP_ADDRESS_FAMILY_IPV6 : WASI_SOCKETS3_TYPES_IP_ADDRESS_FAMILY_IPV4;
	return SEAM_OK;
}

OPTION3(udp, unicast_hop_limit, SYS_SOCKET_HOPS, u8, 1, UINT8_MAX)
OPTION3(udp, receive_buffer_size, SYS_SOCKET_RECEIVE_BUFFER, u64, 1, INT_MAX)
OPTION3(udp, send_buffer_size, SYS_SOCKET_SEND_BUFFER, u64, 1, INT_MAX)
