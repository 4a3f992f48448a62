// tcp-socket of wasi:sockets@0.3: connections come as a stream of sockets, bytes as streams.
#include <errno.h>
#include <limits.h>

#include "sockets3_int.h"

enum { KEEP_SECONDS_MAX = 32767, KEEP_COUNT_MAX = 127, ACCEPTED_MAX = 16 };
#define ACCEPT_AGAIN (SECOND / 20)  // where no socket more may be open

void wasi_sockets3_types_tcp_socket_drop(struct canon_instance *i, void *object)
{
	wasi__socket_unref(object);
}

static struct wasi_socket *socket_of(struct seam_call *c, uint32_t rep)
{
	return seam_resource_get(c, &wasi_sockets3_types_tcp_socket_resource, rep);
}

enum seam_result wasi_sockets3_types_tcp_socket_create(struct seam_call *c, const struct wasi_sockets3_types_tcp_socket_create_args *args,
	struct wasi_result_own_sockets3_types_tcp_socket_sockets3_types_error_code *ret)
{
	int why;
	bool v6 = args->address_family == WASI_SOCKETS3_TYPES_IP_ADDRESS_FAMILY_IPV6;
	enum seam_result r = wasi__socket_create(c, v6, false, &wasi_sockets3_types_tcp_socket_class, &ret->ok, &why);
	if (r == SEAM_OK)
		FAILED(ret, why);
	return r;
}

enum seam_result wasi_sockets3_types_tcp_socket_bind(struct seam_call *c, const struct wasi_sockets3_types_tcp_socket_bind_args *args,
	struct wasi_result_void_sockets3_types_error_code *ret)
{
	struct sys_endpoint at = wasi__endpoint3(&args->local_address);
	return DO(ret, wasi__socket_bind_now(socket_of(c, args->self), &at));
}

// A call that ends while it waits leaves a socket that can only be dropped.
enum seam_result wasi_sockets3_types_tcp_socket_connect(struct seam_call *c, const struct wasi_sockets3_types_tcp_socket_connect_args *args,
	struct wasi_result_void_sockets3_types_error_code *ret)
{
	struct wasi_socket *s = socket_of(c, args->self);
	struct sys_endpoint to = wasi__endpoint3(&args->remote_address);
	int why = wasi__socket_connect(s, &to);
	if (why)
		return DO(ret, why);
	enum seam_result r = SEAM_OK;
	while (r == SEAM_OK && (why = wasi__socket_connected(s)) == -EAGAIN)
		r = wasi__event_wait(c, &s->event);
	if (r != SEAM_OK) {
		s->state = WASI_SOCKET_FAILED;
		return r;
	}
	return DO(ret, why);
}

// ---- listening -------------------------------------------------------------------------------------------------------------------------

// The stream of connections: those that are offered to the guest are open already.
struct listener {
	struct canon_end end;
	struct canon_instance *instance;
	struct seam_provider *provider;
	struct wasi_socket *socket;
	struct loop *loop;
	struct loop_job job;
	struct loop_timer again;
	struct wasi_waiter waiter;
	struct wasi_socket *accepted[ACCEPTED_MAX];
	uint32_t n, next;
};

static void listener_free(struct listener *l)
{
	wasi__event_unwatch(&l->waiter);
	loop_job_cancel(&l->job);
	loop_timer_cancel(l->loop, &l->again);
	while (l->next < l->n)
		wasi__socket_unref(l->accepted[l->next++]);
	wasi__socket_unref(l->socket);
	seam_mem_free(l);
}

static void on_connection(struct wasi_waiter *w)
{
	struct listener *l = CONTAINER_OF(w, struct listener, waiter);
	loop_post(l->loop, &l->job);
}

static void listener_watch(struct listener *l)
{
	if (!l->waiter.prev)
		wasi__event_watch(&l->socket->event, &l->waiter, NULL);
	l->waiter.fn = on_connection;
}

// What failed while it waited to be accepted is passed over, a few at a time.
static void accept_some(struct listener *l, size_t room)
{
	int why = 0;
	l->n = l->next = 0;
	for (unsigned tries = 0; tries < 2 * ACCEPTED_MAX && l->n < min_u64(room, ACCEPTED_MAX); tries++) {
		why = wasi__socket_accept(l->socket, &l->accepted[l->n]);
		if (why == 0)
			l->n++;
		else if (why == -EAGAIN || why == -EMFILE || why == -ENFILE || why == -ENOMEM)
			break;
	}
	if (l->n)
		return;
	if (why == -EAGAIN)
		listener_watch(l);
	else
		loop_timer_set(l->loop, &l->again, loop_now_ns(l->loop) + ACCEPT_AGAIN);
}

static void listener_run(struct listener *l)
{
	uint8_t *none;
	size_t room;
	if (canon_end_is_over(&l->end)) {
		canon_end_drop(&l->end);
		listener_free(l);
		return;
	}
	if (l->next < l->n || !canon_end_room(&l->end, &none, &room))
		return;
	if (room)
		accept_some(l, room);
	if (room && l->n)
		canon_end_offer(&l->end, l->n);
	else if (!room && wasi__socket_is_ready(l->socket, false))
		canon_end_move(&l->end, 0);
	else if (!room)
		listener_watch(l);
}

static void listener_changed(struct canon_end *e)
{
	listener_run(CONTAINER_OF(e, struct listener, end));
}

static bool listener_value(struct canon_end *e, struct canon_task *t, void *native)
{
	struct listener *l = CONTAINER_OF(e, struct listener, end);
	struct wasi_socket *s = l->accepted[l->next];
	if (!seam_instance_give(l->instance, l->provider, &wasi_sockets3_types_tcp_socket_class, s, native)) {
		canon_task_trap(t, "no room for another tcp-socket: %s", canon_handles_full(l->instance));
		return false;
	}
	l->next++;
	return true;
}

static void listener_gone(struct canon_end *e)
{
	listener_free(CONTAINER_OF(e, struct listener, end));
}

static void on_listener_job(struct loop_job *j)
{
	listener_run(CONTAINER_OF(j, struct listener, job));
}

static void on_again(struct loop_timer *t)
{
	listener_run(CONTAINER_OF(t, struct listener, again));
}

static int begin_listening(struct wasi_socket *s)
{
	int why = wasi__socket_bind_any(s);
	if (why == 0)
		why = wasi__socket_listen(s);
	if (why == 0)
		s->state = WASI_SOCKET_LISTENING;
	return why;
}

enum seam_result wasi_sockets3_types_tcp_socket_listen(struct seam_call *c, const struct wasi_sockets3_types_tcp_socket_listen_args *args,
	struct wasi_result_stream_own_sockets3_types_tcp_socket_sockets3_types_error_code *ret)
{
	static const struct canon_end_ops ops = {listener_changed, listener_value, listener_gone};
	struct wasi_socket *s = socket_of(c, args->self);
	struct listener *l = SEAM_MEM_NEW(c->canon, struct listener);
	if (!l)
		return seam_no_memory(c);
	if (FAILED(ret, begin_listening(s))) {
		seam_mem_free(l);
		return SEAM_OK;
	}
	if (!canon_end_new(c->canon, c->func->type->result->fields[0].type, &ops, &l->end, &ret->ok)) {
		seam_mem_free(l);
		return seam_no_memory(c);
	}
	l->instance = c->canon;
	l->provider = c->binding->provider;
	l->socket = wasi__socket_ref(s);
	l->loop = c->task->loop;
	l->job.fn = on_listener_job;
	l->again.fn = on_again;
	return SEAM_OK;
}

// ---- bytes -----------------------------------------------------------------------------------------------------------------------------

// Of a direction whose stream was `taken` before: it is no more. NULL: it can be taken.
static const struct wasi_error *not_now(const struct wasi_socket *s, bool taken)
{
	static const struct wasi_error state = {.text = "invalid-state", .of_sockets = true, .socket_code = WASI_SOCKETS_NETWORK_ERROR_CODE_INVALID_STATE};
	return s->state == WASI_SOCKET_CONNECTED && !taken ? NULL : &state;
}

enum seam_result wasi_sockets3_types_tcp_socket_send(struct seam_call *c, const struct wasi_sockets3_types_tcp_socket_send_args *args, uint32_t *ret)
{
	struct wasi_socket *s = socket_of(c, args->self);
	const struct wit_type *future = c->func->type->result;
	const struct wasi_error *why = not_now(s, s->sends);
	if (why)
		return wasi__flow_out_failed(c, args->data, future, wasi__socket3_ended, why, ret);
	s->sends = true;
	return wasi__flow_out(c, args->data, wasi__socket_whole_output(s), future, wasi__socket3_ended, ret);
}

enum seam_result wasi_sockets3_types_tcp_socket_receive(struct seam_call *c, const struct wasi_sockets3_types_tcp_socket_receive_args *args,
	struct wasi_tuple2_stream_u8_future_result_void_sockets3_types_error_code *ret)
{
	struct wasi_socket *s = socket_of(c, args->self);
	const struct wit_type *tuple = c->func->type->result;
	const struct wasi_error *why = not_now(s, s->receives);
	if (why)
		return wasi__flow_in_failed(c, tuple, wasi__socket3_ended, why, &ret->f0, &ret->f1);
	s->receives = true;
	return wasi__flow_in(c, wasi__socket_whole_input(s), tuple->fields[1].type, wasi__socket3_ended, &ret->f0, &ret->f1);
}

// ---- what it is ------------------------------------------------------------------------------------------------------------------------

enum seam_result wasi_sockets3_types_tcp_socket_get_local_address(struct seam_call *c,
	const struct wasi_sockets3_types_tcp_socket_get_local_address_args *args, struct wasi_result_sockets3_types_ip_socket_address_sockets3_types_error_code *ret)
{
	const struct wasi_socket *s = socket_of(c, args->self);
	bool bound = s->state != WASI_SOCKET_NEW && s->state != WASI_SOCKET_FAILED;
	struct sys_endpoint p;
	if (!FAILED(ret, bound ? sys_socket_local(s->fd, &p) : -ENOTCONN))
		wasi__endpoint3_give(&p, &ret->ok);
	return SEAM_OK;
}

enum seam_result wasi_sockets3_types_tcp_socket_get_remote_address(struct seam_call *c,
	const struct wasi_sockets3_types_tcp_socket_get_remote_address_args *args, struct wasi_result_sockets3_types_ip_socket_address_sockets3_types_error_code *ret)
{
	const struct wasi_socket *s = socket_of(c, args->self);
	struct sys_endpoint p;
	if (!FAILED(ret, s->state == WASI_SOCKET_CONNECTED ? sys_socket_remote(s->fd, &p) : -ENOTCONN))
		wasi__endpoint3_give(&p, &ret->ok);
	return SEAM_OK;
}

enum seam_result wasi_sockets3_types_tcp_socket_get_is_listening(struct seam_call *c, const struct wasi_sockets3_types_tcp_socket_get_is_listening_args *args,
	bool *ret)
{
	*ret = socket_of(c, args->self)->state == WASI_SOCKET_LISTENING;
	return SEAM_OK;
}

enum seam_result wasi_sockets3_types_tcp_socket_get_address_family(struct seam_call *c,
	const struct wasi_sockets3_types_tcp_socket_get_address_family_args *args, uint8_t *ret)
{
	*ret = socket_of(c, args->self)->v6 ? WASI_SOCKETS3_TYPES_IP_ADDRESS_FAMILY_IPV6 : WASI_SOCKETS3_TYPES_IP_ADDRESS_FAMILY_IPV4;
	return SEAM_OK;
}

// ---- options ---------------------------------------------------------------------------------------------------------------------------

enum seam_result wasi_sockets3_types_tcp_socket_set_listen_backlog_size(struct seam_call *c,
	const struct wasi_sockets3_types_tcp_socket_set_listen_backlog_size_args *args, struct wasi_result_void_sockets3_types_error_code *ret)
{
	return DO(ret, wasi__socket_set_backlog(socket_of(c, args->self), args->value));
}

enum seam_result wasi_sockets3_types_tcp_socket_get_keep_alive_enabled(struct seam_call *c,
	const struct wasi_sockets3_types_tcp_socket_get_keep_alive_enabled_args *args, struct wasi_result_bool_sockets3_types_error_code *ret)
{
	int n = 0;
	if (!FAILED(ret, wasi__socket_option(socket_of(c, args->self), SYS_SOCKET_KEEP_ALIVE, &n)))
		ret->ok = n != 0;
	return SEAM_OK;
}

enum seam_result wasi_sockets3_types_tcp_socket_set_keep_alive_enabled(struct seam_call *c,
	const struct wasi_sockets3_types_tcp_socket_set_keep_alive_enabled_args *args, struct wasi_result_void_sockets3_types_error_code *ret)
{
	const struct wasi_socket *s = socket_of(c, args->self);
	return DO(ret, s->state == WASI_SOCKET_FAILED ? -EISCONN : sys_socket_set(s->fd, s->v6, SYS_SOCKET_KEEP_ALIVE, args->value));
}

OPTION3(tcp, keep_alive_idle_time, SYS_SOCKET_KEEP_IDLE, u64, SECOND, KEEP_SECONDS_MAX)
OPTION3(tcp, keep_alive_interval, SYS_SOCKET_KEEP_INTERVAL, u64, SECOND, KEEP_SECONDS_MAX)
OPTION3(tcp, keep_alive_count, SYS_SOCKET_KEEP_COUNT, u32, 1, KEEP_COUNT_MAX)
OPTION3(tcp, hop_limit, SYS_SOCKET_HOPS, u8, 1, UINT8_MAX)
OPTION3(tcp, receive_buffer_size, SYS_SOCKET_RECEIVE_BUFFER, u64, 1, INT_MAX)
OPTION3(tcp, send_buffer_size, SYS_SOCKET_SEND_BUFFER, u64, 1, INT_MAX)
