// Requests that go out, before they have a connection, and connections that wait for a request.
//
//   http_client_send ──► waits (start: a connection of its origin; else one that is begun, origin.c; else one of its own, connect.c and, by TLS,
//     │                  client_hello.c) ──► on a connection (h1_client.c, h2_client.c)
//     └── a connection can't be had, or its owner lets go: cancelled
//
// 1. A request begins when the loop comes to it, not within http_client_send: what its owner writes until he waits goes out with its head, and a body
//    that is complete by then has a length instead of chunks.
// 2. A connection is used by the same tenant for the same origin only, and only if its address may be connected to now; an idle one of HTTP/1 only if its
//    peer has said nothing meanwhile.
#include "client.h"

const struct http_client_limits http_client_limits_default = {
	.connections = 1000,
	.idle = 256,
	.lookups = 64,
	.idle_ns = 30 * SECOND,
	.connect_ns = 30 * SECOND,
	.first_byte_ns = 600 * SECOND,
	.between_ns = 600 * SECOND,
	.write_ns = 60 * SECOND,
};

static struct http_outgoing *outgoing_of(struct http_exchange *x)
{
	return CONTAINER_OF(x, struct http_outgoing, x);
}

// ---- it begins -------------------------------------------------------------------------------------------------------------------

static bool may_use(const struct client_conn *c, const struct http_outgoing *o)
{
	return c->origin == o->origin && o->may_connect(o->x.user, &c->conn.peer);
}

// On which requests can begin beside others.
static struct client_conn *find_session(const struct http_outgoing *o)
{
	struct client_conn *c = o->origin->sessions;
	while (c && !(http__h2c_has_room(c) && may_use(c, o)))
		c = c->session_next;
	return c;
}

static struct client_conn *find_idle(struct http_client *cl, const struct http_outgoing *o)
{
	for (struct client_conn *c = cl->idle, *next; c; c = next) {
		next = c->idle_next;
		if (!c->session && may_use(c, o) && http__h1c_is_quiet(c))
			return c;
	}
	return NULL;
}

// A place for one more connection: the one that is idle longest makes way.
static bool make_place(struct http_client *cl)
{
	if (cl->connections < cl->limits.connections)
		return true;
	struct client_conn *oldest = cl->idle;
	while (oldest && oldest->idle_next)
		oldest = oldest->idle_next;
	if (oldest)
		http__conn_close(&oldest->conn, HTTP_CANCEL_SERVER, false);
	return oldest != NULL;
}

// It has no connection under way any more.
static void end_dial(struct http_outgoing *o, bool failed)
{
	o->client->connections--;
	http__place_give(o);
	if (o->dials)
		http__origin_end_dial(o->origin, failed);
	o->dials = false;
}

static void on_connected(struct http_connect *k, int fd, enum http_failure failure)
{
	struct http_outgoing *o = CONTAINER_OF(k, struct http_outgoing, connect);
	const struct http_address *peer = &k->list[k->at];
	struct client_conn *c = NULL;
	o->connecting = false;
	if (fd >= 0 && o->tls && http__client_hello(o, fd, peer))
		return;
	if (fd >= 0 && !o->tls)
		c = http__client_conn_open(o->origin, &http__h1c_protocol, fd, peer, NULL);
	if (c) {
		http__place_pass(o, c);
		http__h1c_send(c, o);
		return;
	}
	end_dial(o, true);
	o->x.failure_number = k->rcode;
	http__outgoing_fail(o, fd >= 0 ? HTTP_FAILURE_INTERNAL_ERROR : failure);
}

static bool may_connect(void *user, const struct http_address *a)
{
	const struct http_outgoing *o = user;
	return o->may_connect(o->x.user, a);
}

static void waited_too_long(struct loop_timer *t)
{
	http__outgoing_fail(CONTAINER_OF(t, struct http_outgoing, connect.timer), HTTP_FAILURE_CONNECTION_TIMEOUT);
}

static void wait_until_late(struct http_outgoing *o)
{
	o->connect.timer.fn = waited_too_long;
	loop_timer_set(o->client->loop, &o->connect.timer, o->connect_by_ns);
}

static void wait_for_place(struct http_outgoing *o)
{
	http__line_wait(o);
	wait_until_late(o);
}

static void connect_to(struct http_outgoing *o)
{
	struct http_client *cl = o->client;
	if (!http__place_take(o)) {
		wait_for_place(o);
		return;
	}
	http__line_leave(o);
	loop_job_cancel(&o->start);  // that an idle one made way has woken it
	if (!make_place(cl)) {
		http__place_give(o);
		http__outgoing_fail(o, HTTP_FAILURE_CONNECTION_LIMIT_REACHED);
		return;
	}
	cl->connections++;
	o->connecting = true;
	o->dials = o->tls && !o->needs_h1;
	if (o->dials)
		http__origin_begin_dial(o->origin);
	o->connect.loop = cl->loop;
	o->connect.names = cl->names;
	o->connect.lookups_left = &cl->lookups_left;
	o->connect.may_connect = may_connect;
	o->connect.user = o;
	o->connect.done = on_connected;
	o->connect.deadline_ns = o->connect_by_ns;
	http_connect_start(&o->connect, o->origin->host, o->origin->port);
}

static bool wait_for_others(struct http_outgoing *o)
{
	if (!http__origin_wait(o))
		return false;
	http__line_leave(o);
	wait_until_late(o);
	return true;
}

static void start(struct loop_job *t)
{
	struct http_outgoing *o = CONTAINER_OF(t, struct http_outgoing, start);
	struct client_conn *c = o->tls && !o->needs_h1 ? find_session(o) : NULL;
	if (c) {
		http__h2c_send(c, o);
		return;
	}
	c = o->again || http__line_is_ahead(o) ? NULL : find_idle(o->client, o);
	if (c)
		http__h1c_send(c, o);
	else if (!o->tls || o->needs_h1 || !wait_for_others(o))
		connect_to(o);
}

// ---- under an exchange that waits ------------------------------------------------------------------------------------------------

static enum http_read wait_peek(struct http_exchange *x, struct slice *ret)
{
	return HTTP_READ_AGAIN;
}

static void wait_abort(struct http_exchange *x, enum http_cancel why)
{
	struct http_outgoing *o = outgoing_of(x);
	if (o->connecting) {
		http_connect_stop(&o->connect);
		o->connecting = false;
		end_dial(o, false);
	}
	if (o->hello) {
		struct client_conn *c = o->hello;
		c->o = NULL;
		if (c->dials)
			http__origin_end_dial(c->origin, false);
		c->dials = false;
		http__conn_close(&c->conn, why, true);
	}
	http__outgoing_wait_no_more(o);
	http__exchange_cancel(x, why);
}

static void wait_discard(struct http_exchange *x)
{
}

static const struct http_field *wait_trailers(const struct http_exchange *x, uint32_t *ret_count)
{
	*ret_count = 0;
	return NULL;
}

static size_t wait_waiting(const struct http_exchange *x)
{
	return outgoing_of(UNCONST(x))->early_len;
}

static bool wait_write(struct http_exchange *x, struct slice data)
{
	struct http_outgoing *o = outgoing_of(x);
	if (!o->early && !(o->early = http__block_get(x->server, HTTP_WINDOW))) {
		x->failure = HTTP_FAILURE_INTERNAL_ERROR;
		wait_abort(x, HTTP_CANCEL_NOMEM);
		return false;
	}
	memcpy(o->early->data + o->early_len, data.ptr, data.len);
	o->early_len += data.len;
	return true;
}

static uint8_t *put(uint8_t *to, struct slice s, struct slice *ret)
{
	if (s.len)
		memcpy(to, s.ptr, s.len);
	*ret = slice_of(to, s.len);
	return to + s.len;
}

// A table of fields with room for their texts, `more` bytes behind it. NULL: memory is out.
static struct block *copy_fields(struct http_server *s, const struct http_field *fields, uint32_t n, size_t bytes, size_t more, uint8_t **ret_more)
{
	size_t table = n * sizeof *fields;
	struct block *b = table + bytes + more <= BLOCK_OUT ? http__block_get(s, table + bytes + more) : NULL;
	if (!b)
		return NULL;
	struct http_field *list = (void *)b->data;
	uint8_t *to = b->data + table;
	for (uint32_t i = 0; i < n; i++) {
		to = put(to, fields[i].name, &list[i].name);
		to = put(to, fields[i].value, &list[i].value);
	}
	*ret_more = to;
	return b;
}

static bool wait_finish(struct http_exchange *x, const struct http_field *trailers, uint32_t n, size_t bytes)
{
	struct http_outgoing *o = outgoing_of(x);
	uint8_t *end;
	if (n == 0)
		return true;
	o->tail = copy_fields(x->server, trailers, n, bytes, 0, &end);
	o->n_trailers = n;
	o->tail_bytes = bytes;
	return o->tail != NULL;
}

static void wait_go_on(struct http_exchange *x)
{
	if (!x->owned)
		wait_abort(x, HTTP_CANCEL_SERVER);
}

static const struct http_wire waiting = {
	.peek = wait_peek,
	.discard = wait_discard,
	.trailers = wait_trailers,
	.waiting = wait_waiting,
	.write = wait_write,
	.finish = wait_finish,
	.go_on = wait_go_on,
	.abort = wait_abort,
	.recycle = http__outgoing_recycle,
};

// ---- sending ---------------------------------------------------------------------------------------------------------------------

// RFC 9110, 9.2.2.
static bool is_idempotent(struct slice method)
{
	static const char *const names[] = {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (slice_eq_str(method, names[i]))
			return true;
	return false;
}

static bool keep_head(struct http_outgoing *o, const struct http_outgoing_request *r, size_t bytes)
{
	uint8_t *to;
	o->head = copy_fields(o->x.server, r->fields, r->n, bytes, r->method.len + r->target.len + r->authority.len, &to);
	if (!o->head)
		return false;
	o->n_fields = r->n;
	o->head_bytes = bytes;
	to = put(to, r->method, &o->method);
	to = put(to, r->target, &o->target);
	put(to, r->authority, &o->authority);
	return true;
}

static enum http_failure check(const struct http_outgoing_request *r, struct http_response *plan)
{
	if (!http_method_is_valid(r->method) || slice_eq_str(r->method, "CONNECT"))
		return HTTP_FAILURE_HTTP_REQUEST_METHOD_INVALID;
	bool star = slice_eq_str(r->target, "*") && slice_eq_str(r->method, "OPTIONS");
	if (!star && !http_target_is_valid(r->target))
		return HTTP_FAILURE_HTTP_REQUEST_URI_INVALID;
	if (r->method.len + r->target.len + r->authority.len > HTTP_HEAD_MAX)
		return HTTP_FAILURE_HTTP_REQUEST_URI_INVALID;
	return http__fields_plan(plan, NULL) ? HTTP_FAILURE_NONE : HTTP_FAILURE_HTTP_REQUEST_HEADER_SECTION_SIZE;
}

static uint64_t or_else(uint64_t asked, uint64_t standard)
{
	return asked ? asked : standard;
}

static void fill(struct http_outgoing *o, struct http_client *cl, const struct http_outgoing_request *r)
{
	const struct http_client_limits *l = &cl->limits;
	o->client = cl;
	o->waits = &waiting;
	o->begins = start;
	o->connect.io.fd = -1;
	o->may_connect = r->may_connect;
	o->tls = r->https ? r->tls : NULL;
	uint64_t now = loop_now_fresh_ns(cl->loop);
	o->head_by_ns = r->answer_ns ? sat_add_u64(now, r->answer_ns) : UINT64_MAX;
	o->connect_by_ns = min_u64(sat_add_u64(now, or_else(r->connect_ns, l->connect_ns)), o->head_by_ns);
	o->first_byte_ns = or_else(r->first_byte_ns, l->first_byte_ns);
	o->between_ns = or_else(r->between_ns, l->between_ns);
	o->request.is_head = slice_eq_str(r->method, "HEAD");
	o->idempotent = is_idempotent(r->method);
	o->expects_length = slice_eq_str(r->method, "POST") || slice_eq_str(r->method, "PUT") || slice_eq_str(r->method, "PATCH");
	o->early_is_all = true;
}

static struct http_outgoing *new_outgoing(struct http_client *cl, const struct http_outgoing_request *r, const struct http_response *plan, const char *host,
	uint16_t port)
{
	struct http_server *s = cl->hub;
	struct http_origin *origin = http__origin_get(cl, r->tenant, r->https, host, port);
	struct http_outgoing *o = origin ? http__spare_get(&s->spare_exchanges, sizeof *o) : NULL;
	if (!o) {
		http__origin_unref(origin);
		return NULL;
	}
	memset(o, 0, sizeof *o);
	http__exchange_init(&o->x, s, &waiting, &o->request);
	o->x.head_given = o->x.has_body = true;
	o->x.length = plan->has_length ? plan->length : HTTP_LENGTH_UNKNOWN;
	o->origin = origin;
	fill(o, cl, r);
	bool is_bounded = r->line_most || r->quota;
	o->line = is_bounded ? http__line_get(cl, r) : NULL;
	if ((o->line || !is_bounded) && keep_head(o, r, plan->bytes))
		return o;
	o->x.owned = false;
	http__exchange_detach(&o->x, false);
	return NULL;
}

bool http_client_send(struct http_client *cl, const struct http_outgoing_request *r, struct http_exchange **ret, enum http_failure *ret_why)
{
	struct http_response plan = {.fields = r->fields, .n = r->n};
	char host[HTTP_HOST_MAX + 1];
	uint16_t port;
	*ret_why = http_authority_split(r->authority, r->https, host, &port) ? check(r, &plan) : HTTP_FAILURE_HTTP_REQUEST_URI_INVALID;
	if (!*ret_why && r->https && !r->tls)
		*ret_why = HTTP_FAILURE_TLS_PROTOCOL_ERROR;
	if (*ret_why)
		return false;
	struct http_outgoing *o = new_outgoing(cl, r, &plan, host, port);
	if (!o) {
		*ret_why = HTTP_FAILURE_INTERNAL_ERROR;
		return false;
	}
	http_exchange_set_owner(&o->x, r->ops, r->user);
	http__outgoing_wait(o);
	*ret = &o->x;
	return true;
}

const struct http_answer *http_exchange_answer(const struct http_exchange *x)
{
	const struct http_outgoing *o = outgoing_of(UNCONST(x));
	return o->has_answer ? &o->answer : NULL;
}

// ---- life ------------------------------------------------------------------------------------------------------------------------

bool http_client_new(struct loop *l, struct loop_pool *names, const struct http_client_limits *limits, struct http_client **ret, struct err *e)
{
	struct http_server_config config = {.limits = http_limits_default};
	config.limits.write_ns = limits->write_ns;
	config.limits.idle_ns = limits->idle_ns;
	config.limits.min_rate = 0;
	struct http_client *cl = mem_zalloc(sizeof *cl);
	if (!cl)
		return err_nomem(e);
	*cl = (struct http_client){.loop = l, .names = names, .limits = *limits, .lookups_left = limits->lookups};
	if (!http_server_new(l, &config, &cl->hub, e)) {
		mem_free(cl);
		return false;
	}
	*ret = cl;
	return true;
}

const struct http_counters *http_client_counters(const struct http_client *cl)
{
	return &cl->hub->counters;
}

void http_client_free(struct http_client *cl)
{
	if (!cl)
		return;
	while (cl->waiting) {
		cl->waiting->x.failure = HTTP_FAILURE_CONNECTION_TERMINATED;
		wait_abort(&cl->waiting->x, HTTP_CANCEL_SERVER);
	}
	http_server_free(cl->hub);
	http__origins_forget(cl);
	http__lines_forget(cl);
	mem_free(cl);
}
