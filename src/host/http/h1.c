// HTTP/1 on a connection: reads heads, hands out exchanges, one after the other, and goes on or ends.
//
//            head begins: advance     complete: dispatch     response and request body complete: complete
//   IDLE ──────────────────────► HEAD ──────────────► BUSY ───────────────────────────────────────────────► IDLE
//     └──────────────────────── dispatch ───────────────┤ response complete, nobody reads the rest             ▲
//                                                       │ of the request's body: try_complete                  │
//                                                       └──────────────────────────► DRAIN ── complete ────────┘
//   The end, from any of them: close_after (complete), reject (a bad head), fail (a bad body), abort (a bad answer), lost (conn.c closes).
//   Of the request's body the state is in h1_body (h1_body.c); of the answer in h1_exchange.kind, head_waits (h1_out.c).
//
// 1. `x` is set exactly in BUSY and DRAIN. An IDLE connection without input holds no block.
// 2. Requests are dispatched by advance only, which runs from the loop, never inside a call of an exchange's owner: an owner is not surprised by its
//    next request in the middle of answering one.
// 3. Nothing new is dispatched while the client does not take what was written (write_blocked).
// 4. What will be closed says so in its head; the only reasons that come later are the client's: what it sends is malformed, does not come, or never
//    ends.
#include "h1.h"
#include "h2.h"

#define FRESH_NS SECOND

static void advance(struct h1_conn *c);
static void try_complete(struct h1_conn *c);

static struct h1_conn *h1_of(struct http_conn *c)
{
	return CONTAINER_OF(c, struct h1_conn, conn);
}

static bool is_open(const struct h1_conn *c)
{
	return c->conn.state == CONN_OPEN;
}

static bool is_between(const struct h1_conn *c)
{
	return is_open(c) && (c->state == H1_IDLE || c->state == H1_HEAD);
}

static uint64_t now_of(const struct h1_conn *c)
{
	return loop_now_ns(c->conn.server->loop);
}

static void read_by(struct h1_conn *c, uint64_t after_ns)
{
	http__conn_read_by(&c->conn, sat_add_u64(now_of(c), after_ns));
}

// ---- end -------------------------------------------------------------------------------------------------------------------------

static void begin_close(struct h1_conn *c)
{
	h1_drop_input(c);
	http__conn_begin_close(&c->conn);
}

// The answer to a head that never became a request.
static void reject(struct h1_conn *c, unsigned status, const char *detail)
{
	struct http_server *s = c->conn.server;
	size_t start = c->in_start + c->scan.start;
	bool is_head = c->in_len > start && h1_is_head_request(c->in->data + start, c->in_len - start);
	s->counters.refused++;
	if (s->config.on_refused)
		s->config.on_refused(s->config.user, &c->conn.peer, status, detail);
	c->conn.linger = true;
	if (h1_put_error(c, status, detail, is_head))
		begin_close(c);
}

// The client must be able to tell that the response is not whole (L87). A missing last chunk or a short body does it; where the bytes so far
// could be all, only RST does.
static void abort_answer(struct h1_conn *c, enum http_cancel why)
{
	const struct h1_exchange *h = c->x;
	c->conn.server->counters.aborted++;
	bool looks_whole = h->x.head_given &&
		(h->kind == H1_UNTIL_CLOSE || h->kind == H1_NONE || (h->kind == H1_LENGTH && h->x.written == h->x.length));
	if (c->conn.write_blocked || http__out_flush(&c->conn))
		http__conn_close(&c->conn, why, looks_whole);
}

// The body can't be had: answered with `status` if nothing was yet, else cut.
static void fail(struct h1_conn *c, unsigned status, const char *detail)
{
	struct h1_exchange *h = c->x;
	enum http_cancel why = status == 413 ? HTTP_CANCEL_TOO_LARGE
		: status == 408                  ? HTTP_CANCEL_TIMEOUT
		: c->conn.read_eof               ? HTTP_CANCEL_PEER
		: status == 503                  ? HTTP_CANCEL_NOMEM
										 : HTTP_CANCEL_BAD_BODY;
	if (h->x.head_given) {
		abort_answer(c, why);
		return;
	}
	bool no_body = h->head.req.is_head;
	h->x.answered = (uint16_t)status;
	h1_drop_input(c);
	h->conn = NULL;
	c->x = NULL;
	http__exchange_cancel(&h->x, why);
	c->conn.linger = true;
	if (h1_put_error(c, status, detail, no_body))
		begin_close(c);
}

static void on_lost(struct http_conn *conn, enum http_cancel why)
{
	struct h1_conn *c = h1_of(conn);
	struct h1_exchange *h = c->x;
	h1_drop_input(c);
	c->x = NULL;
	if (h) {
		h->conn = NULL;
		http__exchange_cancel(&h->x, why);
	}
}

// ---- completion ------------------------------------------------------------------------------------------------------------------

static void complete(struct h1_conn *c)
{
	struct http_server *s = c->conn.server;
	struct h1_exchange *h = c->x;
	bool ok = h1_take_leftover(c, h), ended = h1_has_ended(h);
	c->x = NULL;
	h->conn = NULL;
	s->counters.responses++;
	http__exchange_detach(&h->x, ended);
	bool more = h1_raw_len(c) > 0;
	if (c->close_after || c->conn.read_eof || !ok || (s->draining && !more)) {
		c->conn.linger |= !ended || more || s->draining;
		begin_close(c);
		return;
	}
	c->state = H1_IDLE;
	c->scan = (struct h1_scan){0};
	c->conn.idle_since = now_of(c);
	read_by(c, c->conn.limits.idle_ns);
	if (more && c->in_dispatch)
		return;  // the answers of a pipeline leave together
	c->gathers = c->in_dispatch && loop_gathers(s->loop);  // so do those of connections that are ready at once
	if (more || c->gathers)
		http__conn_turn_later(&c->conn);
	if ((c->gathers || http__out_flush(&c->conn)) && !(c->conn.transport.io.interest & LOOP_READ))
		http__conn_update_interest(&c->conn);
}

// The response is complete or the owner has let go of the request's body: on, if both directions are through.
static void try_complete(struct h1_conn *c)
{
	struct h1_exchange *h = c->x;
	if (!h || !h->x.finished)
		return;
	if (!h1_has_ended(h)) {
		if (h->x.owned && !h->x.discarded) {
			http__conn_turn_later(&c->conn);
			return;
		}
		if (c->close_after || h->must_continue || c->conn.read_eof || !h1_skip_body(h)) {
			c->close_after = true;
		} else if (!h1_has_ended(h)) {
			if (c->state != H1_DRAIN)
				http__conn_begin_read_away(&c->conn);
			c->state = H1_DRAIN;
			if (http__out_flush(&c->conn))
				http__conn_update_interest(&c->conn);
			return;
		}
	}
	complete(c);
}

// ---- time ------------------------------------------------------------------------------------------------------------------------

static void wait_for_body(struct h1_exchange *h)
{
	struct h1_conn *c = h->conn;
	const struct http_limits *l = &c->conn.limits;
	http__conn_read_by(&c->conn, min_u64(sat_add_u64(now_of(c), l->body_ns), http__meter_deadline(&h->sending, l, l->body_total_ns)));
}

// The owner waits for more of the request's body. Asking again gives the client no time.
static void await_body(struct h1_exchange *h)
{
	if (h->conn->conn.read_deadline != UINT64_MAX)
		return;
	http__meter_wait(&h->sending, now_of(h->conn));
	wait_for_body(h);
}

static void await_no_body(struct h1_exchange *h)
{
	struct h1_conn *c = h->conn;
	http__meter_stop(&h->sending, &c->conn.limits, now_of(c));
	c->conn.read_deadline = UINT64_MAX;
}

static void on_late(struct http_conn *conn)
{
	struct h1_conn *c = h1_of(conn);
	conn->server->counters.timeouts += c->state != H1_IDLE;
	if (c->state == H1_HEAD)
		reject(c, 408, "the head did not arrive in time");
	else if (c->state == H1_BUSY)
		fail(c, 408, "the body did not arrive in time");
	else
		http__conn_close(conn, HTTP_CANCEL_TIMEOUT, false);
}

// ---- input -----------------------------------------------------------------------------------------------------------------------

static bool wants_read(const struct http_conn *conn)
{
	const struct h1_conn *c = CONTAINER_OF(UNCONST(conn), struct h1_conn, conn);
	if (c->state == H1_IDLE || c->state == H1_HEAD)
		return !conn->write_blocked;
	return !conn->read_eof && !h1_has_ended(c->x) && h1_raw_has_room(c);
}

// How large a head is shows when it has come.
static bool receive_first(struct h1_conn *c)
{
	uint8_t *into = c->conn.server->scratch;
	int64_t got = http__conn_recv(&c->conn, into, BLOCK_SMALL);
	if (got <= 0 || h1_take_first(c, into, (size_t)got))
		return got > 0;
	http__conn_close(&c->conn, HTTP_CANCEL_NOMEM, false);
	return false;
}

static void read_head(struct h1_conn *c)
{
	if (c->in && !h1_head_room(c))
		http__conn_close(&c->conn, HTTP_CANCEL_NOMEM, false);
	else if (c->in ? h1_receive(c) : receive_first(c))
		advance(c);
	else if (is_open(c) && c->conn.read_eof)
		begin_close(c);
}

static void notify_read(struct h1_exchange *h)
{
	if (!h->x.want_readable || (!h1_has_ended(h) && !(h1_body_in_data(&h->body) && h1_raw_len(h->conn))))
		return;
	await_no_body(h);
	http__exchange_notify_read(&h->x);
}

// The client has ended its side. A body that is whole by then waits for who reads it.
static void end_of_body(struct h1_conn *c)
{
	if (c->state == H1_DRAIN)
		complete(c);
	else if (h1_body_has_come(c->x))
		http__conn_update_interest(&c->conn);
	else
		fail(c, 400, "the body ended early");
}

static void take_body(struct h1_conn *c, size_t n)
{
	struct h1_exchange *h = c->x;
	unsigned status;
	const char *detail;
	if (c->state == H1_DRAIN) {
		http__conn_read_away_on(&c->conn);
		try_complete(c);
		return;
	}
	h->must_continue = false;  // it did not wait
	http__meter_take(&h->sending, &c->conn.limits, now_of(c), n);
	if (c->conn.read_deadline != UINT64_MAX)
		wait_for_body(h);
	if (!h1_body_advance(h, &status, &detail)) {
		fail(c, status, detail);
		return;
	}
	notify_read(h);
	if (is_open(c) && c->x == h && h->x.finished && h1_has_ended(h))
		try_complete(c);
}

static void read_body(struct h1_conn *c)
{
	if (c->conn.read_eof || h1_has_ended(c->x) || !h1_raw_has_room(c)) {
		http__conn_update_interest(&c->conn);
		return;
	}
	if (!h1_body_room(c)) {
		http__conn_close(&c->conn, HTTP_CANCEL_NOMEM, false);
		return;
	}
	size_t before = c->in_len;
	if (before == c->in->cap)
		http__conn_update_interest(&c->conn);
	else if (h1_receive(c))
		take_body(c, c->in_len - before);
	else if (is_open(c) && c->conn.read_eof)
		end_of_body(c);
}

static void on_readable(struct http_conn *conn)
{
	struct h1_conn *c = h1_of(conn);
	if (c->state == H1_BUSY || c->state == H1_DRAIN)
		read_body(c);
	else if (conn->write_blocked)
		http__conn_update_interest(conn);
	else
		read_head(c);
}

// ---- dispatch --------------------------------------------------------------------------------------------------------------------

static const struct http_wire wire;

// The beginning of what a client says who knows that we speak HTTP/2 (RFC 9113, 3.4): a head of a version that is not 1. By TLS the handshake tells.
static bool is_preface(const struct h1_conn *c, unsigned status, struct slice head)
{
	return status == 505 && c->requests == 0 && !c->conn.is_tls && slice_eq_str(head, "PRI * HTTP/2.0\r\n\r\n");
}

// What was read is read again as HTTP/2. Nothing of c is HTTP/1's afterwards.
static void become_h2(struct h1_conn *c)
{
	struct http_server *s = c->conn.server;
	struct slice raw = h1_raw(c);
	struct block *in = c->in;
	if (http__is_anothers(s, NULL)) {
		http__conn_pass(&c->conn, raw, 0);
		return;
	}
	c->in = NULL;
	http__h2_take(&c->conn, raw.ptr, raw.len);
	http__block_put(s, in);
}

// They lie with their exchange, or in a block where they are many. false: memory is out.
static bool keep_fields(struct http_server *s, struct h1_exchange *h, const struct http_field *fields)
{
	struct http_request *r = &h->head.req;
	struct http_field *to = h->fields;
	if (r->field_count > H1_FIELDS) {
		h->field_block = http__block_get(s, r->field_count * sizeof *fields);
		if (!h->field_block)
			return false;
		to = (void *)h->field_block->data;
	}
	memcpy(to, fields, r->field_count * sizeof *fields);
	r->fields = to;
	return true;
}

// The request that is there is another server's, which reads it again. What waits to be sent leaves first: where the client does not take it, this comes
// again when it has.
static void pass(struct h1_conn *c)
{
	c->scan = (struct h1_scan){0};
	if (http__out_flush(&c->conn) && http__conn_pending(&c->conn) == 0)
		http__conn_pass(&c->conn, h1_raw(c), c->requests);
}

static void forget_parsed(struct http_server *s, struct h1_exchange *h)
{
	http__block_put(s, h->field_block);
	http__spare_put(s, &s->spare_exchanges, h);
}

// A complete head of `len` bytes is at the beginning of what is buffered. NULL: no request came of it, or not here.
static struct h1_exchange *make_exchange(struct h1_conn *c, size_t len)
{
	struct http_server *s = c->conn.server;
	struct h1_exchange *h = http__spare_get(&s->spare_exchanges, sizeof *h);
	if (!h) {
		http__conn_close(&c->conn, HTTP_CANCEL_NOMEM, false);
		return NULL;
	}
	size_t start = c->in_start + c->scan.start, end = c->in_start + len;
	struct http_field fields[HTTP_FIELDS_MAX];
	unsigned status = h1_head_parse(c->in->data + start, end - start, fields, c->conn.limits.fields, &h->head);
	const char *why = h->head.why;
	if (!status && h->head.req.length > c->conn.limits.body_bytes) {
		status = 413;
		why = "the body is longer than allowed";
	}
	if (status) {
		http__spare_put(s, &s->spare_exchanges, h);
		c->is_h2 = is_preface(c, status, slice_of(c->in->data + c->in_start, len));
		if (!c->is_h2)
			reject(c, status, why);
		return NULL;
	}
	memset(h, 0, offsetof(struct h1_exchange, head));
	if (!keep_fields(s, h, fields)) {
		http__spare_put(s, &s->spare_exchanges, h);
		http__conn_close(&c->conn, HTTP_CANCEL_NOMEM, false);
		return NULL;
	}
	h->head.req.peer = c->conn.peer;
	h->head.req.https |= c->conn.is_tls;
	if (http__is_anothers(s, &h->head.req)) {
		h1_head_restore(&h->head);
		forget_parsed(s, h);
		pass(c);
		return NULL;
	}
	http__exchange_init(&h->x, s, &wire, &h->head.req);
	h->conn = c;
	http__meter_start(&h->sending, &c->conn.limits);
	h->head_block = c->in;
	h->head_end = end;
	h->must_continue = h->head.expects_continue;
	h1_body_init(&h->body, h->head.chunked, h->head.req.length);
	c->in_start = end;
	c->x = h;
	return h;
}

static void dispatch(struct h1_conn *c, struct h1_exchange *h)
{
	struct http_server *s = c->conn.server;
	unsigned status;
	const char *detail;
	c->state = H1_BUSY;
	c->conn.idle_since = c->conn.read_deadline = UINT64_MAX;
	c->close_after = !h->head.keep_alive;
	c->requests++;
	s->counters.requests++;
	if (h1_raw_len(c) > 0 && h->must_continue)
		h->must_continue = false;  // it did not wait
	if (h->head.req.has_body && !h1_body_advance(h, &status, &detail)) {
		h->x.owned = false;  // nobody knows of the exchange yet: no cancel, only the answer
		if (s->config.on_refused)
			s->config.on_refused(s->config.user, &c->conn.peer, status, detail);
		fail(c, status, detail);
		return;
	}
	s->config.on_request(s->config.user, &h->x);
}

// A head that is not complete.
static void await_head(struct h1_conn *c)
{
	if (c->state != H1_IDLE)
		return;
	c->state = H1_HEAD;
	c->conn.idle_since = sat_add_u64(now_of(c), c->conn.limits.coming_ns);
	read_by(c, c->conn.limits.head_ns);
}

static const char *what_is_wrong(int64_t scan)
{
	switch (scan) {
	case H1_TARGET_TOO_LONG:
		return "the target is too long";
	case H1_METHOD_TOO_LONG:
		return "unknown method";
	case H1_TOO_LARGE:
		return "the head is too large";
	default:
		return "malformed head";
	}
}

// Hands out the complete requests that are buffered.
static void advance(struct h1_conn *c)
{
	c->in_dispatch = true;
	c->gathers = false;
	while (is_between(c) && h1_raw_len(c) > 0 && !c->conn.write_blocked) {
		int64_t n = h1_head_scan(&c->scan, c->in->data + c->in_start, h1_raw_len(c), c->conn.limits.head_bytes, false);
		struct h1_exchange *h = NULL;
		if (n == H1_MORE)
			await_head(c);
		else if (n < 0)
			reject(c, (unsigned)-n, what_is_wrong(n));
		else
			h = make_exchange(c, (size_t)n);
		if (!h && c->is_h2) {
			become_h2(c);
			return;
		}
		if (!h)
			break;
		dispatch(c, h);
		if (http__conn_pending(&c->conn) >= HTTP_WINDOW / 2 && c->state == H1_IDLE && !http__out_flush(&c->conn))
			break;
	}
	c->in_dispatch = false;
	if (is_open(c) && (c->state == H1_BUSY || c->gathers) && http__conn_pending(&c->conn))
		http__conn_turn_later(&c->conn);  // an earlier answer waits, or a head waits for its body: until this turn is over
	else
		http__out_flush(&c->conn);
}

// ---- turns -----------------------------------------------------------------------------------------------------------------------

// A connection that is idle while the server drains: what has arrived meanwhile is still served; one that never asked for anything gets a
// moment to do so, since it was accepted before the listener closed.
static void drain_idle(struct h1_conn *c)
{
	if (!c->conn.write_blocked) {
		read_head(c);
		if (!is_open(c) || c->state != H1_IDLE)
			return;
		if (c->requests == 0) {
			http__conn_read_by(&c->conn, min_u64(c->conn.read_deadline, now_of(c) + FRESH_NS));
			return;
		}
	}
	c->conn.linger = true;
	begin_close(c);
}

// A request that has arrived behind the one in flight, and is not read yet, came in time: what is known to wait is not cut.
static void drain_busy(struct h1_conn *c)
{
	if (!h1_has_ended(c->x) || h1_raw_len(c) > 0 || c->conn.read_eof)
		return;
	if (h1_body_room(c) && c->in_len < c->in->cap)
		h1_receive(c);
}

static void on_writable(struct http_conn *conn)
{
	struct h1_conn *c = h1_of(conn);
	if (c->x)
		http__exchange_notify_write(&c->x->x);
	if (is_between(c) && h1_raw_len(c) > 0)
		advance(c);
}

static void on_turn(struct http_conn *conn)
{
	struct h1_conn *c = h1_of(conn);
	on_writable(conn);
	if (!is_open(c) || !conn->server->draining)
		return;
	if (c->state == H1_IDLE)
		drain_idle(c);
	else if (c->state == H1_BUSY)
		drain_busy(c);
	else if (c->state == H1_DRAIN)
		http__conn_read_away_on(conn);
}

static void on_evict(struct http_conn *conn)
{
	struct h1_conn *c = h1_of(conn);
	read_head(c);
	if (!is_open(c) || (c->state != H1_IDLE && c->state != H1_HEAD))
		return;
	conn->server->counters.evicted++;
	http__conn_close(conn, HTTP_CANCEL_SERVER, false);
}

// ---- under an exchange -----------------------------------------------------------------------------------------------------------

static struct h1_exchange *exchange_of(struct http_exchange *x)
{
	return CONTAINER_OF(x, struct h1_exchange, x);
}

static enum http_read wire_peek(struct http_exchange *x, struct slice *ret)
{
	struct h1_exchange *h = exchange_of(x);
	struct h1_conn *c = h->conn;
	if (h1_has_ended(h))
		return HTTP_READ_END;
	if (x->discarded)
		return HTTP_READ_ERROR;
	struct slice raw = h1_raw(c);
	h->reading = true;
	if (h1_body_in_data(&h->body) && raw.len) {
		*ret = slice_sub(raw, 0, min_u64(raw.len, h->body.left));
		return HTTP_READ_DATA;
	}
	if (h->must_continue) {
		if (!x->head_given) {  // else it goes before the head
			h->must_continue = false;
			h1_put_continue(c);
		}
		http__out_flush(&c->conn);
		if (x->cancelled)
			return HTTP_READ_ERROR;
	}
	await_body(h);
	http__conn_update_interest(&c->conn);
	return HTTP_READ_AGAIN;
}

static void wire_consume(struct http_exchange *x, size_t n)
{
	struct h1_exchange *h = exchange_of(x);
	struct h1_conn *c = h->conn;
	unsigned status;
	const char *detail;
	BUG_ON(n > h1_raw_len(c));
	c->in_start += n;
	h1_body_take(&h->body, n);
	if (!h1_body_advance(h, &status, &detail))
		fail(c, status, detail);
	else if (h1_has_ended(h) && x->finished)
		try_complete(c);
}

static void wire_discard(struct http_exchange *x)
{
	struct h1_exchange *h = exchange_of(x);
	await_no_body(h);
	try_complete(h->conn);
}

static const struct http_field *wire_trailers(const struct http_exchange *x, uint32_t *ret_count)
{
	const struct h1_exchange *h = CONTAINER_OF(UNCONST(x), struct h1_exchange, x);
	*ret_count = h->trailer_count;
	return h->trailer_block ? (const void *)h->trailer_block->data : NULL;
}

// Nobody has begun to read what is known to be too long to be read away.
static bool is_too_long_to_drain(const struct h1_exchange *h)
{
	return !h->reading && h->body.state == H1_BODY_LENGTH && h->body.left > h->conn->conn.limits.drain_bytes;
}

// RFC 9112, 6.3. What will be closed says so, and this is the last moment for it. An answer that lasts until the end of the connection is not among
// the reasons here: it may still get a length (settle_length).
static bool wire_head(struct http_exchange *x, const struct http_response *r)
{
	struct h1_exchange *h = exchange_of(x);
	struct h1_conn *c = h->conn;
	h->kind = !r->has_body                ? H1_NONE
		: r->has_length                   ? H1_LENGTH
		: h->head.req.version >= HTTP_1_1 ? H1_CHUNKED
										  : H1_UNTIL_CLOSE;
	bool more = h1_has_ended(h) && h1_raw_len(c) > 0;  // another request is buffered already
	c->close_after |= c->conn.read_eof || h->must_continue || is_too_long_to_drain(h) || (x->server->draining && !more);
	return h1_put_head(h, r);
}

static size_t wire_waiting(const struct http_exchange *x)
{
	return http__conn_pending(&CONTAINER_OF(UNCONST(x), struct h1_exchange, x)->conn->conn);
}

static bool wire_write(struct http_exchange *x, struct slice data)
{
	return h1_put_data(exchange_of(x), data);
}

static bool wire_finish(struct http_exchange *x, const struct http_field *trailers, uint32_t n, size_t bytes)
{
	return h1_put_end(exchange_of(x), trailers, n, bytes);
}

static void wire_go_on(struct http_exchange *x)
{
	try_complete(exchange_of(x)->conn);
}

static void wire_abort(struct http_exchange *x, enum http_cancel why)
{
	abort_answer(exchange_of(x)->conn, why);
}

static void wire_recycle(struct http_exchange *x)
{
	struct h1_exchange *h = exchange_of(x);
	struct http_server *s = x->server;
	http__block_put(s, h->head_block);
	http__block_put(s, h->trailer_block);
	http__block_put(s, h->field_block);
	http__spare_put(s, &s->spare_exchanges, h);
	http__server_forget_exchange(s);
}

static const struct http_wire wire = {
	.peek = wire_peek,
	.consume = wire_consume,
	.discard = wire_discard,
	.trailers = wire_trailers,
	.head = wire_head,
	.waiting = wire_waiting,
	.write = wire_write,
	.finish = wire_finish,
	.go_on = wire_go_on,
	.abort = wire_abort,
	.recycle = wire_recycle,
};

// ---- on a connection -------------------------------------------------------------------------------------------------------------

static const struct http_protocol protocol = {
	.conn_size = sizeof(struct h1_conn),
	.readable = on_readable,
	.wants_read = wants_read,
	.writable = on_writable,
	.turn = on_turn,
	.late = on_late,
	.before_send = h1_before_send,
	.sent = h1_sent,
	.evict = on_evict,
	.lost = on_lost,
};

bool http__h1_reserve(struct http_server *s, uint32_t n)
{
	return http__spares_reserve(s, &s->spare_conns, sizeof(struct h1_conn), n) &&
		http__spares_reserve(s, &s->spare_exchanges, sizeof(struct h1_exchange), n) && http__blocks_reserve(s, BLOCK_SMALL, 2 * n);
}

bool http__h1_open(struct http_server *s, int fd, const struct http_address *peer, struct err *e)
{
	struct http_conn *c = http__conn_open(s, &protocol, fd, peer, NULL, NULL, e);
	if (c)
		read_by(h1_of(c), c->limits.idle_ns);
	return c != NULL;
}

void http__h1_take(struct http_conn *conn, const uint8_t *p, size_t n, uint64_t requests)
{
	struct h1_conn *c = h1_of(conn);
	conn->protocol = &protocol;
	c->requests = requests;
	read_by(c, conn->limits.idle_ns);
	if (n == 0)
		return;
	if (h1_take_first(c, p, n))
		advance(c);
	else
		http__conn_close(conn, HTTP_CANCEL_NOMEM, false);
}
