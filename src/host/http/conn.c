// A connection of HTTP/1: reads heads, hands out exchanges, one after the other, and goes on or ends.
//
//            head begins          complete              response and request body complete
//   IDLE ------------------> HEAD ----------> BUSY ---------------------------------------> IDLE
//                                              | response complete, owner gone, little       ^
//                                              | of the request body left                    |
//                                              +----------------> DRAIN --------------------- +
//   any of them, when it is to be the end: CLOSING (what waits is sent) -> LINGER (our side is shut, the rest is read away) -> DEAD
//
// 1. `x` is set exactly in BUSY and DRAIN. An IDLE connection without input holds no block.
// 2. Requests are dispatched by conn_advance only, which runs from the loop, never inside a call of an exchange's owner: an owner is not
//    surprised by its next request in the middle of answering one.
// 3. The read interest stays on while a request is in flight; it is dropped only when an event comes that can't be used, so that a quick
//    request costs no epoll_ctl.
// 4. Nothing new is dispatched while the client does not take what was written (write_blocked).
#include "http_int.h"

#include <errno.h>

#define LINGER_NS UINT64_C(30000000000)      // what is sent to no purpose is read away for at most so long,
#define LINGER_IDLE_NS UINT64_C(2000000000)  // as long as some of it comes within this
#define FRESH_NS UINT64_C(1000000000)

static void conn_readable(struct http_conn *c);
static void conn_advance(struct http_conn *c);

static size_t raw_len(const struct http_conn *c)
{
	return c->in_len - c->in_start;
}

// ---- time ------------------------------------------------------------------------------------------------------------------------

void http__conn_arm(struct http_conn *c)
{
	uint64_t at = min_u64(c->read_deadline, c->write_deadline);
	if (at != UINT64_MAX)  // else a timer that is armed is left to fire once for nothing: cheaper than to take it out
		loop_timer_set(c->server->loop, &c->timer, at);
}

static void read_by(struct http_conn *c, uint64_t after_ns)
{
	c->read_deadline = sat_add_u64(loop_now_ns(c->server->loop), after_ns);
	http__conn_arm(c);
}

void http__conn_await_body(struct http_conn *c)
{
	const struct http_limits *l = &c->server->config.limits;
	uint64_t now = loop_now_ns(c->server->loop);
	if (c->read_deadline != UINT64_MAX)
		return;  // it waits already: asking again gives the client no time
	http__meter_wait(&c->x->sending, now);
	c->read_deadline = min_u64(sat_add_u64(now, l->body_ns), http__meter_deadline(&c->x->sending, l, l->body_total_ns));
	http__conn_arm(c);
}

void http__conn_have_body(struct http_conn *c)
{
	http__meter_stop(&c->x->sending, &c->server->config.limits, loop_now_ns(c->server->loop));
	c->read_deadline = UINT64_MAX;
}

// Some of it came.
static void take_body(struct http_conn *c, size_t n)
{
	const struct http_limits *l = &c->server->config.limits;
	uint64_t now = loop_now_ns(c->server->loop);
	http__meter_take(&c->x->sending, l, now, n);
	if (c->read_deadline == UINT64_MAX)
		return;
	c->read_deadline = min_u64(sat_add_u64(now, l->body_ns), http__meter_deadline(&c->x->sending, l, l->body_total_ns));
	http__conn_arm(c);
}

// What is read away has come: more may, until it is enough.
static void read_away_on(struct http_conn *c)
{
	c->read_deadline = min_u64(sat_add_u64(loop_now_ns(c->server->loop), LINGER_IDLE_NS), c->end_deadline);
	http__conn_arm(c);
}

static void begin_read_away(struct http_conn *c)
{
	uint64_t most = c->server->draining ? LINGER_IDLE_NS : LINGER_NS;
	c->end_deadline = sat_add_u64(loop_now_ns(c->server->loop), most);
	read_away_on(c);
}

// The answer to a head that never became a request.
static void conn_reject(struct http_conn *c, unsigned status, const char *detail)
{
	const struct http_server_config *config = &c->server->config;
	size_t start = c->in_start + c->scan.start;
	bool is_head = c->in_len > start && h1_is_head_request(c->in->data + start, c->in_len - start);
	c->server->counters.refused++;
	if (config->on_refused)
		config->on_refused(config->user, &c->peer, status, detail);
	c->close_after = c->linger = true;
	c->read_deadline = UINT64_MAX;
	c->state = CONN_CLOSING;
	if (http__out_error(c, status, detail, 0, is_head))
		http__out_flush(c);
}

static void on_timer(struct loop_timer *t)
{
	struct http_conn *c = CONTAINER_OF(t, struct http_conn, timer);
	struct http_server *s = c->server;
	uint64_t now = loop_now_ns(s->loop);
	if (now >= c->write_deadline)
		http__out_look(c);
	if (now >= c->write_deadline) {
		s->counters.timeouts++;
		sys_linger_zero(c->io.fd);
		http__conn_close(c, HTTP_CANCEL_TIMEOUT);
		return;
	}
	if (now >= c->read_deadline) {
		c->read_deadline = UINT64_MAX;
		s->counters.timeouts += c->state != CONN_IDLE && c->state != CONN_LINGER;
		if (c->state == CONN_HEAD)
			conn_reject(c, 408, "the head did not arrive in time");
		else if (c->state == CONN_BUSY)
			http__conn_fail(c, 408, "the body did not arrive in time", HTTP_CANCEL_TIMEOUT);
		else
			http__conn_close(c, HTTP_CANCEL_TIMEOUT);
	}
	if (c->state != CONN_DEAD)
		http__conn_arm(c);
}

// ---- interest --------------------------------------------------------------------------------------------------------------------

// Room for more raw bytes of a body?
static bool raw_has_room(const struct http_conn *c)
{
	return !c->in || raw_len(c) < BLOCK_IN - 1024;
}

void http__conn_update_interest(struct http_conn *c)
{
	bool read = false;
	switch (c->state) {
	case CONN_IDLE:
	case CONN_HEAD:
		read = !c->write_blocked;
		break;
	case CONN_BUSY:
	case CONN_DRAIN:
		read = !c->read_eof && !http__body_has_ended(c->x) && raw_has_room(c);
		break;
	case CONN_LINGER:
		read = true;
		break;
	case CONN_CLOSING:
	case CONN_DEAD:
		break;
	}
	uint32_t want = (read ? LOOP_READ : 0) | (c->write_blocked ? LOOP_WRITE : 0);
	if (c->io.interest != want) {
		c->server->counters.want_calls++;
		loop_io_want(&c->io, want);
	}
}

// ---- end -------------------------------------------------------------------------------------------------------------------------

static void drop_input(struct http_conn *c)
{
	if (c->in && (!c->x || c->in != c->x->head_block))
		http__block_put(c->server, c->in);
	c->in = NULL;
	c->in_start = c->in_len = 0;
}

void http__conn_close(struct http_conn *c, enum http_cancel why)
{
	if (c->state == CONN_DEAD)
		return;
	struct http_server *s = c->server;
	int fd = c->io.fd;
	loop_io_close(&c->io, true);
	sys_close(fd);
	loop_timer_cancel(s->loop, &c->timer);
	loop_task_cancel(&c->task);
	drop_input(c);
	if (c->x)
		http__exchange_cancel(c->x, why);
	http__block_put(s, c->out);
	c->out = NULL;
	c->out_start = c->out_len = 0;
	c->state = CONN_DEAD;
	http__conn_bury(c);
}

// All was sent. Where the client may still be sending, a close would answer with RST and take the response out of its hands: our side is
// shut, and its rest is read away (RFC 9112, 9.6).
void http__conn_finish_close(struct http_conn *c)
{
	if (c->read_eof || !c->linger) {
		http__conn_close(c, HTTP_CANCEL_PEER);
		return;
	}
	drop_input(c);
	c->state = CONN_LINGER;
	http__gate_leave_client(c->server->gate, c->client);  // who sees the end may come again
	c->client = NULL;
	sys_shutdown_write(c->io.fd);
	begin_read_away(c);
	http__conn_update_interest(c);
}

static void begin_close(struct http_conn *c)
{
	c->state = CONN_CLOSING;
	c->read_deadline = UINT64_MAX;
	if (http__conn_pending(c) == 0)
		http__conn_finish_close(c);
	else if (!c->write_blocked)
		http__out_flush(c);  // finishes when it is through
	else
		http__conn_update_interest(c);
}

void http__conn_fail(struct http_conn *c, unsigned status, const char *detail, enum http_cancel why)
{
	struct http_exchange *x = c->x;
	if (x->head_given) {
		http__conn_abort(c, why);
		return;
	}
	bool no_body = x->head.req.is_head;
	x->answered = (uint16_t)status;
	drop_input(c);
	c->x = NULL;
	http__exchange_cancel(x, why);
	c->close_after = c->linger = true;
	if (http__out_error(c, status, detail, 0, no_body))
		begin_close(c);
}

// The client must be able to tell that the response is not whole (L87). A missing last chunk or a short body does it; where the bytes so far
// could be all, only RST does.
void http__conn_abort(struct http_conn *c, enum http_cancel why)
{
	struct http_exchange *x = c->x;
	c->server->counters.aborted++;
	bool looks_whole = x && x->head_given && (x->kind == BODY_UNTIL_CLOSE || x->kind == BODY_NONE || (x->kind == BODY_LENGTH && x->written == x->length));
	if (!c->write_blocked && !http__out_flush(c))
		return;
	if (looks_whole)
		sys_linger_zero(c->io.fd);
	http__conn_close(c, why);
}

// ---- completion ------------------------------------------------------------------------------------------------------------------

// Reads away what is buffered of the request body. false: it can't or should not be: the connection must end.
static bool drain_body(struct http_conn *c)
{
	struct http_exchange *x = c->x;
	unsigned status;
	const char *detail;
	if (c->close_after || x->must_continue || c->read_eof)
		return false;
	x->discarded = true;
	while (!http__body_has_ended(x)) {
		if (h1_body_in_data(&x->body)) {
			size_t n = min_u64(x->body.left, raw_len(c));
			if (n == 0)
				return true;
			h1_body_take(&x->body, n);
			c->in_start += n;
		}
		size_t before = raw_len(c);
		enum h1_body_state state = x->body.state;
		if (!http__body_advance(x, &status, &detail))
			return false;
		if (raw_len(c) == before && x->body.state == state && !h1_body_in_data(&x->body))
			return true;
	}
	return true;
}

// What is left in the buffer belongs to the next request. The block with the head stays with an exchange that somebody holds.
static bool take_leftover(struct http_conn *c, struct http_exchange *x)
{
	size_t n = raw_len(c);
	struct block *from = c->in;
	bool keeps = x->owned && from == x->head_block;
	if (n == 0 || !keeps) {
		if (from == x->head_block && !x->owned)
			x->head_block = NULL;
		if (n == 0) {
			if (!keeps)
				http__block_put(c->server, from);
			c->in = NULL;
			c->in_start = c->in_len = 0;
		}
		return true;
	}
	struct block *to = http__block_get(c->server, from->cap);
	if (!to) {
		c->in = NULL;
		c->in_start = c->in_len = 0;
		return false;
	}
	memcpy(to->data, from->data + c->in_start, n);
	c->in = to;
	c->in_start = 0;
	c->in_len = n;
	return true;
}

static void complete(struct http_conn *c)
{
	struct http_server *s = c->server;
	struct http_exchange *x = c->x;
	bool ok = take_leftover(c, x), ended = http__body_has_ended(x);
	c->x = NULL;
	s->counters.responses++;
	http__exchange_detach(x);
	bool more = raw_len(c) > 0;
	if (c->close_after || c->read_eof || !ok || (s->draining && !more)) {
		c->linger |= !ended || more || s->draining;
		begin_close(c);
		return;
	}
	c->state = CONN_IDLE;
	c->idle_since = loop_now_ns(s->loop);
	c->scan = (struct h1_scan){0};
	read_by(c, s->config.limits.idle_ns);
	if (more && c->in_dispatch)
		return;  // the answers of a pipeline leave together
	if (more)
		http__conn_turn_later(c);
	if (http__out_flush(c) && !(c->io.interest & LOOP_READ))
		http__conn_update_interest(c);
}

void http__conn_try_complete(struct http_conn *c)
{
	struct http_exchange *x = c->x;
	if (!x || !x->finished)
		return;
	if (!http__body_has_ended(x)) {
		if (x->owned && !x->discarded && !x->cancelled) {
			http__conn_turn_later(c);
			return;
		}
		if (!drain_body(c)) {
			c->close_after = true;
		} else if (!http__body_has_ended(x)) {
			if (c->state != CONN_DRAIN)
				begin_read_away(c);
			c->state = CONN_DRAIN;
			if (http__out_flush(c))
				http__conn_update_interest(c);
			return;
		}
	}
	complete(c);
}

// ---- input -----------------------------------------------------------------------------------------------------------------------

// Receives into the free end of c->in. false: nothing came (the connection may be closed, or c->read_eof was set).
static bool receive(struct http_conn *c)
{
	struct http_counters *n = &c->server->counters;
	n->recv_calls++;
	int64_t got = sys_net.recv(c->io.fd, c->in->data + c->in_len, c->in->cap - c->in_len);
	if (got > 0) {
		n->bytes_in += (uint64_t)got;
		c->in_len += (size_t)got;
		return true;
	}
	if (got == 0)
		c->read_eof = true;
	else if (got != -EAGAIN)
		http__conn_close(c, HTTP_CANCEL_PEER);
	return false;
}

// A block with room for more of a head. The head so far may move: nothing points into it yet.
static bool head_room(struct http_conn *c)
{
	struct http_server *s = c->server;
	if (!c->in) {
		c->in = http__block_get(s, BLOCK_SMALL);
		return c->in != NULL;
	}
	if (c->in_start > 0 && c->in_len == c->in->cap) {
		memmove(c->in->data, c->in->data + c->in_start, raw_len(c));
		c->in_len -= c->in_start;
		c->in_start = 0;
	}
	if (c->in_len < c->in->cap)
		return true;
	struct block *b = http__block_get(s, BLOCK_IN);
	if (!b || b->cap <= c->in_len) {
		http__block_put(s, b);
		return false;
	}
	memcpy(b->data, c->in->data, c->in_len);
	http__block_put(s, c->in);
	c->in = b;
	return true;
}

static void read_head(struct http_conn *c)
{
	if (!head_room(c)) {
		http__conn_close(c, HTTP_CANCEL_NOMEM);
		return;
	}
	if (receive(c)) {
		conn_advance(c);
	} else if (c->read_eof) {
		drop_input(c);
		begin_close(c);
	} else if (c->state == CONN_IDLE && raw_len(c) == 0) {
		drop_input(c);
	}
}

// Room for more of a body. The head must stay where it is; a body that does not fit behind it gets a block of its own.
static bool body_room(struct http_conn *c)
{
	struct http_exchange *x = c->x;
	bool shared = c->in == x->head_block;
	size_t n = raw_len(c), base = shared ? x->head_end : 0;
	if (n == 0)
		c->in_start = c->in_len = base;
	bool fits = shared && n == 0 && x->body.state == H1_BODY_LENGTH && x->body.left <= c->in->cap - base;
	if (!shared || fits || (n > 0 && c->in_len < c->in->cap)) {
		if (!shared && c->in_len == c->in->cap && c->in_start > 0) {
			memmove(c->in->data, c->in->data + c->in_start, n);
			c->in_start = 0;
			c->in_len = n;
		}
		return true;
	}
	struct block *b = http__block_get(c->server, BLOCK_IN);
	if (!b)
		return false;
	memcpy(b->data, c->in->data + c->in_start, n);
	c->in = b;
	c->in_start = 0;
	c->in_len = n;
	return true;
}

static void read_body(struct http_conn *c)
{
	struct http_exchange *x = c->x;
	unsigned status;
	const char *detail;
	if (c->read_eof || http__body_has_ended(x) || !raw_has_room(c)) {
		http__conn_update_interest(c);
		return;
	}
	if (!body_room(c)) {
		http__conn_close(c, HTTP_CANCEL_NOMEM);
		return;
	}
	if (c->in_len == c->in->cap) {
		http__conn_update_interest(c);
		return;
	}
	size_t before = c->in_len;
	if (!receive(c)) {
		if (c->state == CONN_DEAD || !c->read_eof)
			return;
		if (c->state == CONN_DRAIN)
			http__conn_close(c, HTTP_CANCEL_PEER);
		else
			http__conn_fail(c, 400, "the body ended early", HTTP_CANCEL_PEER);
		return;
	}
	if (c->state == CONN_DRAIN) {
		read_away_on(c);
		http__conn_try_complete(c);
		return;
	}
	take_body(c, c->in_len - before);
	if (!http__body_advance(x, &status, &detail)) {
		http__conn_fail(c, status, detail, status == 413 ? HTTP_CANCEL_TOO_LARGE : HTTP_CANCEL_BAD_BODY);
		return;
	}
	http__exchange_notify_read(x);
	if (c->state == CONN_BUSY && c->x == x && x->finished && http__body_has_ended(x))
		http__conn_try_complete(c);
}

static void read_away(struct http_conn *c)
{
	int64_t got = sys_net.recv(c->io.fd, c->server->scratch, sizeof c->server->scratch);
	if (got > 0)
		read_away_on(c);
	else if (got != -EAGAIN)
		http__conn_close(c, HTTP_CANCEL_PEER);
}

static void conn_readable(struct http_conn *c)
{
	switch (c->state) {
	case CONN_IDLE:
	case CONN_HEAD:
		if (c->write_blocked)
			http__conn_update_interest(c);
		else
			read_head(c);
		break;
	case CONN_BUSY:
	case CONN_DRAIN:
		read_body(c);
		break;
	case CONN_LINGER:
		read_away(c);
		break;
	case CONN_CLOSING:
		http__conn_update_interest(c);
		break;
	case CONN_DEAD:
		break;
	}
}

// ---- dispatch --------------------------------------------------------------------------------------------------------------------

// A complete head of `len` bytes is at in_start + scan.start. false: no request came of it.
static struct http_exchange *make_exchange(struct http_conn *c, size_t len)
{
	struct http_server *s = c->server;
	struct http_exchange *x = http__exchange_new(s);
	if (!x) {
		http__conn_close(c, HTTP_CANCEL_NOMEM);
		return NULL;
	}
	size_t start = c->in_start + c->scan.start, end = c->in_start + len;
	unsigned status = h1_head_parse(c->in->data + start, end - start, s->config.limits.fields, &x->head);
	const char *why = x->head.why;
	if (!status && x->head.req.length > s->config.limits.body_bytes) {
		status = 413;
		why = "the body is longer than allowed";
	}
	if (status) {
		http__exchange_recycle(x);
		conn_reject(c, status, why);
		return NULL;
	}
	x->conn = c;
	http__meter_start(&x->sending, &s->config.limits);
	x->head_block = c->in;
	x->head_end = end;
	x->must_continue = x->head.expects_continue;
	x->head.req.peer = c->peer;
	h1_body_init(&x->body, x->head.chunked, x->head.req.length);
	c->in_start = end;
	c->x = x;
	return x;
}

static void dispatch(struct http_conn *c, struct http_exchange *x)
{
	struct http_server *s = c->server;
	unsigned status;
	const char *detail;
	c->state = CONN_BUSY;
	c->read_deadline = UINT64_MAX;
	c->close_after = !x->head.keep_alive;
	c->requests++;
	s->counters.requests++;
	s->counters.in_flight++;
	if (raw_len(c) > 0 && x->must_continue)
		x->must_continue = false;  // it did not wait
	if (x->head.req.has_body && !http__body_advance(x, &status, &detail)) {
		// Nobody knows of the exchange yet: no cancel, only the answer.
		x->owned = false;
		http__conn_fail(c, status, detail, HTTP_CANCEL_BAD_BODY);
		return;
	}
	s->config.on_request(s->config.user, x);
}

// Hands out the complete requests that are buffered.
static void conn_advance(struct http_conn *c)
{
	c->in_dispatch = true;
	while ((c->state == CONN_IDLE || c->state == CONN_HEAD) && raw_len(c) > 0 && !c->write_blocked) {
		int64_t n = h1_head_scan(&c->scan, c->in->data + c->in_start, raw_len(c), c->server->config.limits.head_bytes, false);
		if (n == H1_MORE) {
			if (c->state == CONN_IDLE) {
				c->state = CONN_HEAD;
				read_by(c, c->server->config.limits.head_ns);
			}
			break;
		}
		if (n < 0) {
			conn_reject(c, (unsigned)-n, n == H1_BAD ? "malformed head" : n == H1_TARGET_TOO_LONG ? "the target is too long"
					: n == H1_METHOD_TOO_LONG                                                     ? "unknown method"
																								  : "the head is too large");
			break;
		}
		struct http_exchange *x = make_exchange(c, (size_t)n);
		if (!x)
			break;
		dispatch(c, x);
		if (http__conn_pending(c) >= HTTP_WINDOW / 2 && c->state == CONN_IDLE && !http__out_flush(c))
			break;
	}
	c->in_dispatch = false;
	if (c->state == CONN_BUSY && http__conn_pending(c))
		http__conn_turn_later(c);  // an earlier answer waits, or a head waits for its body: until this turn is over
	else if (c->state != CONN_DEAD)
		http__out_flush(c);
}

// A connection that is idle while the server drains: what has arrived meanwhile is still served; one that never asked for anything gets a
// moment to do so, since it was accepted before the listener closed.
static void drain_idle(struct http_conn *c)
{
	if (c->write_blocked) {
		c->linger = true;
		begin_close(c);
		return;
	}
	read_head(c);
	if (c->state != CONN_IDLE)
		return;
	if (c->requests > 0) {
		c->linger = true;
		begin_close(c);
	} else if (c->read_deadline > loop_now_ns(c->server->loop) + FRESH_NS) {
		read_by(c, FRESH_NS);
	}
}

void http__conn_evict(struct http_conn *c)
{
	read_head(c);
	if (c->state != CONN_IDLE)
		return;
	c->server->counters.evicted++;
	http__conn_close(c, HTTP_CANCEL_SERVER);
}

// A request that has arrived behind the one in flight, and is not read yet, came in time: what is known to wait is not cut.
static void drain_busy(struct http_conn *c)
{
	if (!http__body_has_ended(c->x) || raw_len(c) > 0 || c->read_eof)
		return;
	if (body_room(c) && c->in_len < c->in->cap)
		receive(c);
}

static void conn_turn(struct loop_task *t)
{
	struct http_conn *c = CONTAINER_OF(t, struct http_conn, task);
	if (http__conn_pending(c) && !http__out_flush(c))
		return;
	if (c->x)
		http__exchange_notify_write(c->x);
	if (c->state == CONN_IDLE && raw_len(c) > 0)
		conn_advance(c);
	if ((c->state == CONN_LINGER || c->state == CONN_DRAIN) && c->server->draining) {
		c->end_deadline = min_u64(c->end_deadline, sat_add_u64(loop_now_ns(c->server->loop), LINGER_IDLE_NS));
		read_away_on(c);
	}
	if (c->state == CONN_IDLE && c->server->draining)
		drain_idle(c);
	else if (c->state == CONN_BUSY && c->server->draining)
		drain_busy(c);
}

void http__conn_turn_later(struct http_conn *c)
{
	loop_post(c->server->loop, &c->task);
}

static void on_io(struct loop_io *io, uint32_t ready)
{
	struct http_conn *c = CONTAINER_OF(io, struct http_conn, io);
	if (ready & LOOP_WRITE && c->write_blocked) {
		c->write_blocked = false;
		if (!http__out_flush(c))
			return;
		if (!c->write_blocked)
			http__conn_update_interest(c);
		if (c->x)
			http__exchange_notify_write(c->x);
		if (c->state == CONN_IDLE && raw_len(c) > 0)
			conn_advance(c);
	}
	if (c->state == CONN_DEAD)
		return;
	if (ready & LOOP_READ && io->interest & LOOP_READ)
		conn_readable(c);
	else if (ready & LOOP_ERROR)
		http__conn_close(c, HTTP_CANCEL_PEER);
}

bool http__conn_open(struct http_server *s, int fd, const struct http_address *peer, struct err *e)
{
	struct http_client *client;
	if (!http__gate_enter_client(s->gate, peer, &client)) {
		s->counters.turned_away++;
		http__gate_leave(s->gate);
		sys_close(fd);
		return err_set(e, ERR_LIMIT, "the client has too many connections");
	}
	struct http_conn *c = http__conn_new(s);
	if (!c) {
		http__gate_leave_client(s->gate, client);
		http__gate_leave(s->gate);
		sys_close(fd);
		return err_nomem(e);
	}
	c->client = client;
	c->idle_since = loop_now_ns(s->loop);
	http__meter_start(&c->taking, &s->config.limits);
	c->state = CONN_IDLE;
	c->peer = *peer;
	c->timer.fn = on_timer;
	c->task.fn = conn_turn;
	c->write_deadline = UINT64_MAX;
	s->counters.accepted++;
	if (!loop_io_open(s->loop, &c->io, fd, LOOP_READ, on_io, e)) {
		c->io.fd = fd;
		http__conn_close(c, HTTP_CANCEL_NOMEM);
		return false;
	}
	read_by(c, s->config.limits.idle_ns);
	return true;
}
