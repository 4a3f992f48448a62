// wasi:sockets/udp: a face of socket_int.h. Streams of datagrams are the socket itself, which has one pair of them at a time.
#include "sockets_int.h"

#include <errno.h>
#include <limits.h>

enum {
	DATAGRAMS_MAX = 16,      // of one receive or send
	DATAGRAM_MAX = 65535,
	RECEIVE_BYTES = 64 << 10,  // no more are begun behind so many
};

struct outgoing {
	struct wasi_socket *socket;
	uint64_t permitted;  // for the next send
};

void wasi_sockets_udp_udp_socket_drop(struct canon_instance *i, void *object)
{
	wasi__socket_unref(object);
}

static void drop_stream(struct wasi_socket *s)
{
	s->streams--;
	wasi__socket_unref(s);
}

void wasi_sockets_udp_incoming_datagram_stream_drop(struct canon_instance *i, void *object)
{
	drop_stream(object);
}

void wasi_sockets_udp_outgoing_datagram_stream_drop(struct canon_instance *i, void *object)
{
	drop_stream(((struct outgoing *)object)->socket);
	seam_mem_free(object);
}

static struct wasi_socket *socket_of(struct seam_call *c, uint32_t rep)
{
	return seam_resource_get(c, &wasi_sockets_udp_udp_socket_resource, rep);
}

// ---- the socket ------------------------------------------------------------------------------------------------------------------------

enum seam_result wasi_sockets_udp_udp_socket_start_bind(struct seam_call *c, const struct wasi_sockets_udp_udp_socket_start_bind_args *args,
	struct wasi_result_void_sockets_network_error_code *ret)
{
	struct sys_endpoint at = wasi__endpoint(&args->local_address);
	return DO(ret, wasi__socket_bind(socket_of(c, args->self), &at));
}

enum seam_result wasi_sockets_udp_udp_socket_finish_bind(struct seam_call *c, const struct wasi_sockets_udp_udp_socket_finish_bind_args *args,
	struct wasi_result_void_sockets_network_error_code *ret)
{
	struct wasi_socket *s = socket_of(c, args->self);
	bool begun = s->state == WASI_SOCKET_BINDING;
	s->state = begun ? WASI_SOCKET_BOUND : s->state;
	return DO(ret, begun ? 0 : -ESRCH);
}

static bool give_incoming(struct seam_call *c, struct wasi_socket *s, uint32_t *ret)
{
	if (!seam_resource_new(c, &wasi_sockets_udp_incoming_datagram_stream_class, s, ret))
		return false;
	wasi__socket_ref(s)->streams++;
	return true;
}

static bool give_outgoing(struct seam_call *c, struct wasi_socket *s, uint32_t *ret)
{
	struct outgoing *out = SEAM_MEM_NEW(c->canon, struct outgoing);
	if (!out) {
		seam_no_memory(c);
		return false;
	}
	out->socket = s;
	if (!seam_resource_new(c, &wasi_sockets_udp_outgoing_datagram_stream_class, out, ret)) {
		seam_mem_free(out);
		return false;
	}
	wasi__socket_ref(s)->streams++;
	return true;
}

enum seam_result wasi_sockets_udp_udp_socket_stream(struct seam_call *c, const struct wasi_sockets_udp_udp_socket_stream_args *args,
	struct wasi_result_tuple2_own_sockets_udp_incoming_datagram_stream_own_sockets_udp_outgoing_datagram_stream_sockets_network_error_code *ret)
{
	struct wasi_socket *s = socket_of(c, args->self);
	struct sys_endpoint with = {0};
	if (s->streams)
		return seam_trap(c, "the streams of the socket that are there have not been dropped");
	if (args->remote_address.is_some)
		with = wasi__endpoint(&args->remote_address.some);
	if (FAILED(ret, wasi__socket_associate(s, args->remote_address.is_some ? &with : NULL)))
		return SEAM_OK;
	return give_incoming(c, s, &ret->ok.f0) && give_outgoing(c, s, &ret->ok.f1) ? SEAM_OK : SEAM_TRAP;
}

enum seam_result wasi_sockets_udp_udp_socket_local_address(struct seam_call *c, const struct wasi_sockets_udp_udp_socket_local_address_args *args,
	struct wasi_result_sockets_network_ip_socket_address_sockets_network_error_code *ret)
{
	const struct wasi_socket *s = socket_of(c, args->self);
	struct sys_endpoint p;
	if (!FAILED(ret, s->state == WASI_SOCKET_BOUND ? sys_socket_local(s->fd, &p) : -ENOTCONN))
		wasi__endpoint_give(&p, &ret->ok);
	return SEAM_OK;
}

enum seam_result wasi_sockets_udp_udp_socket_remote_address(struct seam_call *c, const struct wasi_sockets_udp_udp_socket_remote_address_args *args,
	struct wasi_result_sockets_network_ip_socket_address_sockets_network_error_code *ret)
{
	const struct wasi_socket *s = socket_of(c, args->self);
	if (!FAILED(ret, s->connected ? 0 : -ENOTCONN))
		wasi__endpoint_give(&s->remote, &ret->ok);
	return SEAM_OK;
}

enum seam_result wasi_sockets_udp_udp_socket_address_family(struct seam_call *c, const struct wasi_sockets_udp_udp_socket_address_family_args *args,
	uint8_t *ret)
{
	*ret = socket_of(c, args->self)->v6 ? WASI_SOCKETS_NETWORK_IP_ADDRESS_FAMILY_IPV6 : WASI_SOCKETS_NETWORK_IP_ADDRESS_FAMILY_IPV4;
	return SEAM_OK;
}

static bool always(const struct wasi_pollable *p, uint64_t now_ns)
{
	return true;
}

enum seam_result wasi_sockets_udp_udp_socket_subscribe(struct seam_call *c, const struct wasi_sockets_udp_udp_socket_subscribe_args *args, uint32_t *ret)
{
	return wasi__socket_subscribe(c, socket_of(c, args->self), always, ret);
}

#define OPTION(name, option, type, most)                                                                                                           \
	enum seam_result wasi_sockets_udp_udp_socket_##name(struct seam_call *c, const struct wasi_sockets_udp_udp_socket_##name##_args *args,         \
		struct wasi_result_##type##_sockets_network_error_code *ret)                                                                               \
	{                                                                                                                                              \
		int n;                                                                                                                                     \
		if (!FAILED(ret, wasi__socket_option(socket_of(c, args->self), option, &n)))                                                               \
			ret->ok = (typeof(ret->ok))n;                                                                                                          \
		return SEAM_OK;                                                                                                                            \
	}                                                                                                                                              \
	enum seam_result wasi_sockets_udp_udp_socket_set_##name(struct seam_call *c, const struct wasi_sockets_udp_udp_socket_set_##name##_args *args, \
		struct wasi_result_void_sockets_network_error_code *ret)                                                                                   \
	{                                                                                                                                              \
		return DO(ret, wasi__socket_set_option(socket_of(c, args->self), option, args->value, 1, most));                                           \
	}
OPTION(unicast_hop_limit, SYS_SOCKET_HOPS, u8, UINT8_MAX)
OPTION(receive_buffer_size, SYS_SOCKET_RECEIVE_BUFFER, u64, INT_MAX)
OPTION(send_buffer_size, SYS_SOCKET_SEND_BUFFER, u64, INT_MAX)

// ---- receiving -------------------------------------------------------------------------------------------------------------------------

static struct wasi_socket *incoming_of(struct seam_call *c, uint32_t rep)
{
	return seam_resource_get(c, &wasi_sockets_udp_incoming_datagram_stream_resource, rep);
}

// An error behind a datagram is for the next call.
enum seam_result wasi_sockets_udp_incoming_datagram_stream_receive(struct seam_call *c,
	const struct wasi_sockets_udp_incoming_datagram_stream_receive_args *args,
	struct wasi_result_list_sockets_udp_incoming_datagram_sockets_network_error_code *ret)
{
	struct wasi_socket *s = incoming_of(c, args->self);
	uint64_t max = min_u64(args->max_results, DATAGRAMS_MAX), n = 0, bytes = 0;
	struct wasi_sockets_udp_incoming_datagram *list = SEAM_ARRAY(c, struct wasi_sockets_udp_incoming_datagram, max);
	uint8_t *one = max ? seam_alloc(c, DATAGRAM_MAX, 1) : NULL;
	if (!list || (max && !one))
		return SEAM_TRAP;
	while (n < max && bytes < RECEIVE_BYTES) {
		struct sys_endpoint from;
		int64_t got = wasi__socket_receive(s, one, DATAGRAM_MAX, &from);
		if (got == -EAGAIN)
			break;
		if (got < 0 && n == 0)
			return DO(ret, got);
		if (got < 0) {
			s->error = (int)-got;
			break;
		}
		if (!seam_bytes(c, slice_of(one, (size_t)got), &list[n].data))
			return SEAM_TRAP;
		wasi__endpoint_give(&from, &list[n++].remote_address);
		bytes += (uint64_t)got + 1;
	}
	ret->ok = (struct wit_list){list, n};
	return seam_work(c, bytes);
}

static bool hears(const struct wasi_pollable *p, uint64_t now_ns)
{
	return wasi__socket_hears(p->of);
}

enum seam_result wasi_sockets_udp_incoming_datagram_stream_subscribe(struct seam_call *c,
	const struct wasi_sockets_udp_incoming_datagram_stream_subscribe_args *args, uint32_t *ret)
{
	return wasi__socket_subscribe(c, incoming_of(c, args->self), hears, ret);
}

// ---- sending ---------------------------------------------------------------------------------------------------------------------------

static struct outgoing *outgoing_of(struct seam_call *c, uint32_t rep)
{
	return seam_resource_get(c, &wasi_sockets_udp_outgoing_datagram_stream_resource, rep);
}

enum seam_result wasi_sockets_udp_outgoing_datagram_stream_check_send(struct seam_call *c,
	const struct wasi_sockets_udp_outgoing_datagram_stream_check_send_args *args, struct wasi_result_u64_sockets_network_error_code *ret)
{
	struct outgoing *out = outgoing_of(c, args->self);
	ret->ok = out->permitted = wasi__socket_is_ready(out->socket, true) ? DATAGRAMS_MAX : 0;
	return SEAM_OK;
}

// As many as go; an error only where none did.
enum seam_result wasi_sockets_udp_outgoing_datagram_stream_send(struct seam_call *c, const struct wasi_sockets_udp_outgoing_datagram_stream_send_args *args,
	struct wasi_result_u64_sockets_network_error_code *ret)
{
	struct outgoing *out = outgoing_of(c, args->self);
	const struct wasi_sockets_udp_outgoing_datagram *list = args->datagrams.ptr;
	uint64_t n = 0, bytes = 0;
	int why = 0;
	if (args->datagrams.len > out->permitted)
		return seam_trap(c, "send of %zu datagrams where check-send permits %llu", args->datagrams.len, (unsigned long long)out->permitted);
	out->permitted = args->datagrams.len ? 0 : out->permitted;
	for (; n < args->datagrams.len; n++) {
		struct sys_endpoint to = {0};
		if (list[n].remote_address.is_some)
			to = wasi__endpoint(&list[n].remote_address.some);
		why = wasi__socket_send(out->socket, seam_list_bytes(list[n].data), list[n].remote_address.is_some ? &to : NULL);
		if (why)
			break;
		bytes += list[n].data.len + 1;
	}
	ret->ok = n;
	if (n == 0 && why && why != -EAGAIN)
		return DO(ret, why);
	return seam_work(c, bytes);
}

static bool sends(const struct wasi_pollable *p, uint64_t now_ns)
{
	return wasi__socket_is_ready(p->of, true);
}

enum seam_result wasi_sockets_udp_outgoing_datagram_stream_subscribe(struct seam_call *c,
	const struct wasi_sockets_udp_outgoing_datagram_stream_subscribe_args *args, uint32_t *ret)
{
	return wasi__socket_subscribe(c, outgoing_of(c, args->self)->socket, sends, ret);
}
