// wasi:sockets/tcp: a face of socket_int.h. What takes time comes in two steps; binding and listening are done in the first.
#include "sockets_int.h"

#include <errno.h>
#include <limits.h>

enum { KEEP_SECONDS_MAX = 32767, KEEP_COUNT_MAX = 127 };  // what Linux takes

void wasi_sockets_tcp_tcp_socket_drop(struct canon_instance *i, void *object)
{
	wasi__socket_unref(object);
}

static struct wasi_socket *socket_of(struct seam_call *c, uint32_t rep)
{
	return seam_resource_get(c, &wasi_sockets_tcp_tcp_socket_resource, rep);
}

// ---- binding, listening ----------------------------------------------------------------------------------------------------------------

enum seam_result wasi_sockets_tcp_tcp_socket_start_bind(struct seam_call *c, const struct wasi_sockets_tcp_tcp_socket_start_bind_args *args,
	struct wasi_result_void_sockets_network_error_code *ret)
{
	struct sys_endpoint at = wasi__endpoint(&args->local_address);
	return DO(ret, wasi__socket_bind(socket_of(c, args->self), &at));
}

// From a state that stands for an operation under way to the one behind it.
static int finish(struct wasi_socket *s, enum wasi_socket_state from, enum wasi_socket_state to)
{
	if (s->state != from)
		return -ESRCH;
	s->state = (uint8_t)to;
	return 0;
}

enum seam_result wasi_sockets_tcp_tcp_socket_finish_bind(struct seam_call *c, const struct wasi_sockets_tcp_tcp_socket_finish_bind_args *args,
	struct wasi_result_void_sockets_network_error_code *ret)
{
	return DO(ret, finish(socket_of(c, args->self), WASI_SOCKET_BINDING, WASI_SOCKET_BOUND));
}

enum seam_result wasi_sockets_tcp_tcp_socket_start_listen(struct seam_call *c, const struct wasi_sockets_tcp_tcp_socket_start_listen_args *args,
	struct wasi_result_void_sockets_network_error_code *ret)
{
	return DO(ret, wasi__socket_listen(socket_of(c, args->self)));
}

enum seam_result wasi_sockets_tcp_tcp_socket_finish_listen(struct seam_call *c, const struct wasi_sockets_tcp_tcp_socket_finish_listen_args *args,
	struct wasi_result_void_sockets_network_error_code *ret)
{
	return DO(ret, finish(socket_of(c, args->self), WASI_SOCKET_LISTEN_STARTED, WASI_SOCKET_LISTENING));
}

// ---- connections -----------------------------------------------------------------------------------------------------------------------

static enum seam_result give_streams(struct seam_call *c, struct wasi_socket *s, uint32_t *ret_in, uint32_t *ret_out)
{
	return wasi__input_handle(c, wasi__socket_input(s), ret_in) && wasi__output_handle(c, wasi__socket_output(s), ret_out) ? SEAM_OK : SEAM_TRAP;
}

enum seam_result wasi_sockets_tcp_tcp_socket_start_connect(struct seam_call *c, const struct wasi_sockets_tcp_tcp_socket_start_connect_args *args,
	struct wasi_result_void_sockets_network_error_code *ret)
{
	struct sys_endpoint to = wasi__endpoint(&args->remote_address);
	return DO(ret, wasi__socket_connect(socket_of(c, args->self), &to));
}

enum seam_result wasi_sockets_tcp_tcp_socket_finish_connect(struct seam_call *c, const struct wasi_sockets_tcp_tcp_socket_finish_connect_args *args,
	struct wasi_result_tuple2_own_io_streams_input_stream_own_io_streams_output_stream_sockets_network_error_code *ret)
{
	struct wasi_socket *s = socket_of(c, args->self);
	return FAILED(ret, wasi__socket_connected(s)) ? SEAM_OK : give_streams(c, s, &ret->ok.f0, &ret->ok.f1);
}

enum seam_result wasi_sockets_tcp_tcp_socket_accept(struct seam_call *c, const struct wasi_sockets_tcp_tcp_socket_accept_args *args,
	struct wasi_result_tuple3_own_sockets_tcp_tcp_socket_own_io_streams_input_stream_own_io_streams_output_stream_sockets_network_error_code *ret)
{
	struct wasi_socket *s = NULL;
	if (FAILED(ret, wasi__socket_accept(socket_of(c, args->self), &s)))
		return SEAM_OK;
	if (seam_resource_new(c, &wasi_sockets_tcp_tcp_socket_class, s, &ret->ok.f0))
		return give_streams(c, s, &ret->ok.f1, &ret->ok.f2);
	wasi__socket_unref(s);
	return SEAM_TRAP;
}

enum seam_result wasi_sockets_tcp_tcp_socket_shutdown(struct seam_call *c, const struct wasi_sockets_tcp_tcp_socket_shutdown_args *args,
	struct wasi_result_void_sockets_network_error_code *ret)
{
	struct wasi_socket *s = socket_of(c, args->self);
	uint8_t what = args->shutdown_type;
	if (s->state == WASI_SOCKET_CONNECTED)
		wasi__socket_shutdown(s, what != WASI_SOCKETS_TCP_SHUTDOWN_TYPE_SEND, what != WASI_SOCKETS_TCP_SHUTDOWN_TYPE_RECEIVE);
	return DO(ret, s->state == WASI_SOCKET_CONNECTED ? 0 : -ENOTCONN);
}

static bool is_ready(const struct wasi_pollable *p, uint64_t now_ns)
{
	struct wasi_socket *s = p->of;
	if (s->state == WASI_SOCKET_CONNECTING || s->state == WASI_SOCKET_LISTENING)
		return wasi__socket_is_ready(s, s->state == WASI_SOCKET_CONNECTING);
	return true;
}

enum seam_result wasi_sockets_tcp_tcp_socket_subscribe(struct seam_call *c, const struct wasi_sockets_tcp_tcp_socket_subscribe_args *args, uint32_t *ret)
{
	return wasi__socket_subscribe(c, socket_of(c, args->self), is_ready, ret);
}

// ---- what it is ------------------------------------------------------------------------------------------------------------------------

static bool is_bound(const struct wasi_socket *s)
{
	return s->state != WASI_SOCKET_NEW && s->state != WASI_SOCKET_BINDING && s->state != WASI_SOCKET_FAILED;
}

enum seam_result wasi_sockets_tcp_tcp_socket_local_address(struct seam_call *c, const struct wasi_sockets_tcp_tcp_socket_local_address_args *args,
	struct wasi_result_sockets_network_ip_socket_address_sockets_network_error_code *ret)
{
	const struct wasi_socket *s = socket_of(c, args->self);
	struct sys_endpoint p;
	if (!FAILED(ret, is_bound(s) ? sys_socket_local(s->fd, &p) : -ENOTCONN))
		wasi__endpoint_give(&p, &ret->ok);
	return SEAM_OK;
}

enum seam_result wasi_sockets_tcp_tcp_socket_remote_address(struct seam_call *c, const struct wasi_sockets_tcp_tcp_socket_remote_address_args *args,
	struct wasi_result_sockets_network_ip_socket_address_sockets_network_error_code *ret)
{
	const struct wasi_socket *s = socket_of(c, args->self);
	struct sys_endpoint p;
	if (!FAILED(ret, s->state == WASI_SOCKET_CONNECTED ? sys_socket_remote(s->fd, &p) : -ENOTCONN))
		wasi__endpoint_give(&p, &ret->ok);
	return SEAM_OK;
}

enum seam_result wasi_sockets_tcp_tcp_socket_is_listening(struct seam_call *c, const struct wasi_sockets_tcp_tcp_socket_is_listening_args *args, bool *ret)
{
	*ret = socket_of(c, args->self)->state == WASI_SOCKET_LISTENING;
	return SEAM_OK;
}

enum seam_result wasi_sockets_tcp_tcp_socket_address_family(struct seam_call *c, const struct wasi_sockets_tcp_tcp_socket_address_family_args *args,
	uint8_t *ret)
{
	*ret = socket_of(c, args->self)->v6 ? WASI_SOCKETS_NETWORK_IP_ADDRESS_FAMILY_IPV6 : WASI_SOCKETS_NETWORK_IP_ADDRESS_FAMILY_IPV4;
	return SEAM_OK;
}

// ---- options ---------------------------------------------------------------------------------------------------------------------------

enum seam_result wasi_sockets_tcp_tcp_socket_set_listen_backlog_size(struct seam_call *c,
	const struct wasi_sockets_tcp_tcp_socket_set_listen_backlog_size_args *args, struct wasi_result_void_sockets_network_error_code *ret)
{
	return DO(ret, wasi__socket_set_backlog(socket_of(c, args->self), args->value));
}

enum seam_result wasi_sockets_tcp_tcp_socket_keep_alive_enabled(struct seam_call *c, const struct wasi_sockets_tcp_tcp_socket_keep_alive_enabled_args *args,
	struct wasi_result_bool_sockets_network_error_code *ret)
{
	int n;
	if (!FAILED(ret, wasi__socket_option(socket_of(c, args->self), SYS_SOCKET_KEEP_ALIVE, &n)))
		ret->ok = n != 0;
	return SEAM_OK;
}

enum seam_result wasi_sockets_tcp_tcp_socket_set_keep_alive_enabled(struct seam_call *c,
	const struct wasi_sockets_tcp_tcp_socket_set_keep_alive_enabled_args *args, struct wasi_result_void_sockets_network_error_code *ret)
{
	const struct wasi_socket *s = socket_of(c, args->self);
	return DO(ret, s->state == WASI_SOCKET_FAILED ? -EISCONN : sys_socket_set(s->fd, s->v6, SYS_SOCKET_KEEP_ALIVE, args->value));
}

// A number of the system's, of which one is `unit` of the guest's (of what is set, the least `unit` that holds it), `most` at most.
#define OPTION(name, option, type, unit, most)                                                                                                     \
	enum seam_result wasi_sockets_tcp_tcp_socket_##name(struct seam_call *c, const struct wasi_sockets_tcp_tcp_socket_##name##_args *args,         \
		struct wasi_result_##type##_sockets_network_error_code *ret)                                                                               \
	{                                                                                                                                              \
		int n;                                                                                                                                     \
		if (!FAILED(ret, wasi__socket_option(socket_of(c, args->self), option, &n)))                                                               \
			ret->ok = (typeof(ret->ok))((uint64_t)n * (unit));                                                                                     \
		return SEAM_OK;                                                                                                                            \
	}                                                                                                                                              \
	enum seam_result wasi_sockets_tcp_tcp_socket_set_##name(struct seam_call *c, const struct wasi_sockets_tcp_tcp_socket_set_##name##_args *args, \
		struct wasi_result_void_sockets_network_error_code *ret)                                                                                   \
	{                                                                                                                                              \
		return DO(ret, wasi__socket_set_option(socket_of(c, args->self), option, args->value, unit, most));                                        \
	}
OPTION(keep_alive_idle_time, SYS_SOCKET_KEEP_IDLE, u64, SECOND, KEEP_SECONDS_MAX)
OPTION(keep_alive_interval, SYS_SOCKET_KEEP_INTERVAL, u64, SECOND, KEEP_SECONDS_MAX)
OPTION(keep_alive_count, SYS_SOCKET_KEEP_COUNT, u32, 1, KEEP_COUNT_MAX)
OPTION(hop_limit, SYS_SOCKET_HOPS, u8, 1, UINT8_MAX)
OPTION(receive_buffer_size, SYS_SOCKET_RECEIVE_BUFFER, u64, 1, INT_MAX)
OPTION(send_buffer_size, SYS_SOCKET_SEND_BUFFER, u64, 1, INT_MAX)
