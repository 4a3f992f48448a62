// HTTP/2 that is served: each stream is a request and its answer, under an exchange.
//
//   a request:  head begins: begin ──► complete: dispatch ──► answered, and read to its end: try_complete ──► through
//   The end, from any of them: fail (a bad body), on_closed (the client's reset), lost (the connection), wire_abort (the owner's).
//
// 1. A request is handed out after nghttp2 has worked, from the loop, as HTTP/1's are.
// 2. The head of an answer waits until the turn is over, so that what is finished by then has a length, and head and body leave together.
// 3. What the client has sent whole is read to its end also when the stream, or the connection, is gone.
// 4. What nghttp2 finds malformed (pseudo-header fields, fields of the connection, lengths: RFC 9113, 8) it resets itself; what it leaves to us is answered.
#include "h2.h"
#include "h1.h"

#define READ_AWAY_NS (2 * SECOND)

struct h2_conn {
	struct http_conn conn;  // first
	struct h2_session *session;
};
struct h2_exchange {
	struct http_exchange x;  // first
	struct h2_stream stream;
	struct h2_session *held_by;
	struct http_request req;
	bool must_continue;        // Expect: 100-continue, not sent yet
	bool dispatched, was_cancelled;
	bool reads_away;           // the answer has left, nobody reads what still comes
	uint64_t drained_from;     // what had come then
	uint64_t counted;          // of what was received: told to the meter
	struct http_meter sending; // of the client, the body
	struct h2_section head;    // of the answer: it waits, its length last
	bool head_has_body, head_has_length;
};
// They lie in the places of HTTP/1's: a server has one kind of each.
_Static_assert(sizeof(struct h2_conn) <= sizeof(struct h1_conn), "a connection that changes its protocol stays where it is");
_Static_assert(sizeof(struct h2_exchange) <= sizeof(struct h1_exchange), "exchanges of both kinds have one list of spares");

static struct h2_session *session_of(const struct http_conn *c)
{
	return CONTAINER_OF(UNCONST(c), struct h2_conn, conn)->session;
}

static struct h2_exchange *exchange_of(const struct http_exchange *x)
{
	return CONTAINER_OF(UNCONST(x), struct h2_exchange, x);
}

static struct h2_exchange *of_stream(struct h2_stream *st)
{
	return CONTAINER_OF(st, struct h2_exchange, stream);
}

static uint64_t now_of(const struct h2_exchange *h)
{
	return loop_now_ns(h->x.server->loop);
}

// Those of its connection; where that is gone they bound nothing any more.
static const struct http_limits *limits_of(const struct h2_exchange *h)
{
	return h->stream.session ? &h->stream.session->conn->limits : &h->x.server->config.limits;
}

// ---- the end of a request ------------------------------------------------------------------------------------------------------------

// What nobody reads is read away for a while, as HTTP/1's: clients lose the end of an answer to a reset that comes right behind it.
static bool reads_away(struct h2_exchange *h)
{
	struct h2_stream *st = &h->stream;
	if (!h->reads_away) {
		h->reads_away = true;
		h->drained_from = st->received;
		st->read_by = sat_add_u64(now_of(h), READ_AWAY_NS);
		h2_session_look_by(st->session, st->read_by);
		h2_stream_drop_in(st);
	}
	return now_of(h) < st->read_by && st->received - h->drained_from <= limits_of(h)->drain_bytes;
}

// Everything that was sent has been read, or nobody reads it, and the answer has left. true: it is over, and may be gone.
static bool try_complete(struct h2_exchange *h)
{
	struct h2_stream *st = &h->stream;
	bool reads = h->x.owned && !h->x.discarded;
	if (!h->x.wired)
		return true;
	if (!h->x.finished || !st->end_sent || (reads && !(st->in_ended && !st->in)))
		return false;
	bool ended = st->in_ended;
	if (st->session && !st->closed && !ended && reads_away(h))
		return false;
	h->x.server->counters.responses++;
	if (!ended)
		h2_stream_reset(st, NGHTTP2_NO_ERROR);  // its sender is told to stop (RFC 9113, 8.1)
	h2_stream_unlist(st);
	http__exchange_detach(&h->x, ended);
	return true;
}

static void cancel(struct h2_exchange *h, enum http_cancel why)
{
	h2_stream_unlist(&h->stream);
	if (!h->x.wired)
		return;
	if (h->dispatched) {
		h->was_cancelled = true;
		h->held_by->cancelled++;
		http__exchange_cancel(&h->x, why);
		return;
	}
	h->x.owned = false;  // nobody knows of it
	http__exchange_detach(&h->x, false);
}

static void abort_answer(struct h2_exchange *h, enum http_cancel why, uint32_t code)
{
	h->x.server->counters.aborted++;
	h2_stream_reset(&h->stream, code);
	cancel(h, why);
}

// The body can't be had: answered with `refused` if nothing was yet, else cut.
static void fail(struct h2_exchange *h, enum h2_refused refused, enum http_cancel why)
{
	struct h2_stream *st = &h->stream;
	if (h->x.head_given || !st->session || st->closed || !h2_refusal_put(st, refused)) {
		abort_answer(h, why, NGHTTP2_CANCEL);
		return;
	}
	h->x.answered = (uint16_t)h2_refusals[refused].status;
	h2_session_send_later(st->session);
	cancel(h, why);
}

// A head that never becomes a request.
static void refuse(struct h2_exchange *h, enum h2_refused refused)
{
	const struct h2_refusal *r = &h2_refusals[refused];
	struct http_server *s = h->x.server;
	struct h2_session *session = h->stream.session;
	s->counters.refused++;
	if (s->config.on_refused)
		s->config.on_refused(s->config.user, &session->conn->peer, r->status, r->why);
	if (h2_refusal_put(&h->stream, refused))
		h2_session_send_later(session);
	else
		h2_stream_reset(&h->stream, NGHTTP2_INTERNAL_ERROR);
	cancel(h, HTTP_CANCEL_BAD_BODY);
}

// ---- heads ---------------------------------------------------------------------------------------------------------------------------

// What the fields mean to the server.
static enum h2_refused understand(struct h2_exchange *h)
{
	struct http_request *r = &h->req;
	struct slice host = {0};
	for (uint32_t i = 0; i < r->field_count; i++) {
		const struct http_field *f = &r->fields[i];
		if (slice_eq_str(f->name, "host"))
			host = f->value;
		else if (slice_eq_str(f->name, "content-length"))
			r->has_length = http_length_parse(f->value, &r->length);
		else if (slice_eq_str(f->name, "expect") && !http_name_eq(f->value, SLICE_LIT("100-continue")))
			return H2_EXPECTATION_UNKNOWN;
		else if (slice_eq_str(f->name, "expect"))
			h->must_continue = r->has_body;
	}
	if (!r->authority.ptr)
		r->authority = host;
	if (!http_authority_is_valid(r->authority, NULL, NULL) || (host.ptr && !http_name_eq(host, r->authority)))
		return H2_AUTHORITY_MALFORMED;
	bool too_long = max_u64(r->has_length ? r->length : 0, h->stream.received) > limits_of(h)->body_bytes;
	return too_long ? H2_BODY_TOO_LONG : H2_NOT_REFUSED;
}

// RFC 9113, 8.3.1.
static enum h2_refused take_head(struct h2_exchange *h)
{
	struct h2_list *l = &h->stream.head;
	struct http_request *r = &h->req;
	struct http_conn *c = h->stream.session->conn;
	struct slice scheme = l->pseudo[H2_SCHEME];
	if (h2_list_is_too_large(limits_of(h), l))
		return H2_HEAD_TOO_LARGE;
	*r = (struct http_request){
		.method = l->pseudo[H2_METHOD],
		.target = l->pseudo[H2_PATH],
		.authority = l->pseudo[H2_AUTHORITY],
		.fields = h2_list_fields(l),
		.field_count = l->n,
		.version = HTTP_2,
		.has_body = !h->stream.in_ended || h->stream.in,
		.is_head = slice_eq_str(l->pseudo[H2_METHOD], "HEAD"),
		.accepts_trailers = true,
		.https = c->is_tls || http_name_eq(scheme, SLICE_LIT("https")),
		.peer = c->peer,
	};
	if (slice_eq_str(r->method, "CONNECT"))
		return H2_CONNECT_REFUSED;
	bool star = slice_eq_str(r->target, "*") && slice_eq_str(r->method, "OPTIONS");
	if (!http_method_is_valid(r->method) || (!star && !http_target_is_valid(r->target)))
		return H2_TARGET_MALFORMED;
	if (!http_name_eq(scheme, SLICE_LIT("http")) && !http_name_eq(scheme, SLICE_LIT("https")))
		return H2_SCHEME_UNKNOWN;
	return understand(h);
}

// The request is another server's, and other streams are on this connection: its client is to come anew with it.
static void send_away(struct h2_exchange *h)
{
	h->x.server->counters.refused++;
	h2_session_go(h->stream.session);
	h2_stream_reset(&h->stream, NGHTTP2_REFUSED_STREAM);
	cancel(h, HTTP_CANCEL_SERVER);
}

// false: it is no request, or not here, and may be gone.
static bool dispatch(struct h2_exchange *h)
{
	struct http_server *s = h->x.server;
	enum h2_refused refused = take_head(h);
	if (refused) {
		refuse(h, refused);
		return false;
	}
	if (http__is_anothers(s, &h->req)) {
		send_away(h);
		return false;
	}
	h->must_continue &= !h->stream.in;  // it did not wait
	h->dispatched = true;
	s->counters.requests++;
	s->config.on_request(s->config.user, &h->x);
	return true;
}

static const struct http_wire wire;

static struct h2_stream *begin(struct h2_session *session)
{
	struct http_server *s = session->conn->server;
	uint32_t most = session->conn->limits.streams;
	struct h2_exchange *h = most && session->n + session->cancelled >= most ? NULL : http__spare_get(&s->spare_exchanges, sizeof(struct h1_exchange));
	if (!h)
		return NULL;
	memset(h, 0, sizeof *h);
	http__exchange_init(&h->x, s, &wire, &h->req);
	http__meter_start(&h->sending, &session->conn->limits);
	h->stream.x = &h->x;
	h->held_by = session;
	session->held++;
	return &h->stream;
}

// ---- the body that comes ---------------------------------------------------------------------------------------------------------------

static void wait_for_body(struct h2_exchange *h)
{
	const struct http_limits *l = limits_of(h);
	if (!h->stream.session)
		return;
	h->stream.read_by = min_u64(sat_add_u64(now_of(h), l->body_ns), http__meter_deadline(&h->sending, l, l->body_total_ns));
	h2_session_look_by(h->stream.session, h->stream.read_by);
}

static void await_no_body(struct h2_exchange *h)
{
	http__meter_stop(&h->sending, limits_of(h), now_of(h));
	h->stream.read_by = UINT64_MAX;
}

static void on_read(struct h2_exchange *h)
{
	struct h2_stream *st = &h->stream;
	const struct http_limits *l = limits_of(h);
	if (h->reads_away) {
		try_complete(h);
		return;
	}
	if (st->received > l->body_bytes && !h->x.discarded && h->x.wired) {
		fail(h, H2_BODY_TOO_LONG, HTTP_CANCEL_TOO_LARGE);
		return;
	}
	if (h2_list_is_too_large(limits_of(h), &st->trailers)) {
		fail(h, H2_TRAILERS_TOO_LARGE, HTTP_CANCEL_BAD_BODY);
		return;
	}
	http__meter_take(&h->sending, l, now_of(h), st->received - h->counted);
	h->counted = st->received;
	if (st->read_by != UINT64_MAX)
		wait_for_body(h);
	if (!h->x.want_readable || !(st->in || st->in_ended))
		return;
	await_no_body(h);
	http__exchange_notify_read(&h->x);
}

// ---- what a session tells ----------------------------------------------------------------------------------------------------------------

// true: it is over, or what is left of it is read.
static bool on_closed(struct h2_exchange *h)
{
	struct h2_stream *st = &h->stream;
	bool whole = st->error == NGHTTP2_NO_ERROR && st->in_ended, reads = h->x.owned && !h->x.discarded;
	if (h->dispatched && h->x.finished && st->end_sent && (whole || !reads)) {  // also: its sender has stopped by itself
		h2_stream_unlist(st);
		return try_complete(h);
	}
	cancel(h, st->broken ? HTTP_CANCEL_BAD_BODY : HTTP_CANCEL_PEER);
	return true;
}

static void on_event(struct h2_stream *st, uint32_t events)
{
	struct h2_exchange *h = of_stream(st);
	if (events & H2_CLOSED && on_closed(h))
		return;
	if (events & H2_HEAD) {
		if (dispatch(h) && events & H2_READ && st->session)
			h2_stream_event(st, H2_READ);
		return;
	}
	if (events & H2_WRITTEN && st->end_sent && try_complete(h))
		return;
	if (events & H2_READ && events & H2_WRITTEN && st->session)
		h2_stream_event(st, H2_READ);  // next, if it is still there then
	if (events & H2_WRITTEN && st->session)
		http__exchange_notify_write(&h->x);
	else if (events & H2_READ)
		on_read(h);
}

// What is whole is read on.
static void on_lost(struct h2_stream *st, enum http_cancel why)
{
	struct h2_exchange *h = of_stream(st);
	if (st->closed && st->in_ended && st->end_sent && h->x.finished && h->dispatched)
		try_complete(h);
	else
		cancel(h, why);
}

static uint64_t on_late(struct h2_stream *st, uint64_t now)
{
	struct h2_exchange *h = of_stream(st);
	uint64_t next = min_u64(st->read_by, st->write_by);
	if (now < next)
		return next;
	if (h->reads_away) {
		try_complete(h);
		return UINT64_MAX;
	}
	h->x.server->counters.timeouts++;
	if (now >= st->write_by)
		abort_answer(h, HTTP_CANCEL_TIMEOUT, NGHTTP2_CANCEL);
	else
		fail(h, H2_BODY_LATE, HTTP_CANCEL_TIMEOUT);
	return UINT64_MAX;
}

static bool put_continue(struct h2_exchange *h)
{
	static const nghttp2_nv status = {(uint8_t *)UNCONST(":status"), (uint8_t *)UNCONST("100"), 7, 3, NGHTTP2_NV_FLAG_NONE};
	struct h2_stream *st = &h->stream;
	h->must_continue = false;
	h->x.server->counters.continues++;
	return st->session->ng && nghttp2_submit_headers(st->session->ng, NGHTTP2_FLAG_NONE, st->id, NULL, &status, 1, NULL) == 0;
}

// All of the body is known before anything of the answer has left: it has a length.
static bool submit(struct h2_stream *st)
{
	struct h2_exchange *h = of_stream(st);
	nghttp2_session *ng = st->session->ng;
	bool whole = st->out_ended && !st->trailers_out.n;
	nghttp2_data_provider source = h2_stream_source(st);
	if (h->must_continue && h->x.owned && !h->x.discarded && !put_continue(h))
		return false;
	if (whole && h->head_has_body && !h->head_has_length)
		h2_section_put_number(&st->head_out, SLICE_LIT("content-length"), h->x.written);
	bool empty = !h->head_has_body || (whole && h2_stream_waiting(st) == 0);
	return st->session->ng && nghttp2_submit_response(ng, st->id, h2_section_fields(&st->head_out), st->head_out.n, empty ? NULL : &source) == 0;
}

static const struct h2_side side = {
	.begin = begin,
	.submit = submit,
	.event = on_event,
	.lost = on_lost,
	.late = on_late,
};

// ---- under an exchange -------------------------------------------------------------------------------------------------------------------

static enum http_read wire_peek(struct http_exchange *x, struct slice *ret)
{
	struct h2_exchange *h = exchange_of(x);
	struct h2_stream *st = &h->stream;
	if (st->in_ended && !st->in)
		return HTTP_READ_END;
	if (x->discarded)
		return HTTP_READ_ERROR;
	if (st->in) {
		*ret = h2_stream_raw(st);
		return HTTP_READ_DATA;
	}
	if (h->must_continue && !x->head_given && put_continue(h))
		h2_session_send_later(st->session);
	if (st->read_by == UINT64_MAX) {
		http__meter_wait(&h->sending, now_of(h));
		wait_for_body(h);
	}
	return HTTP_READ_AGAIN;
}

static void wire_consume(struct http_exchange *x, size_t n)
{
	h2_stream_consume(&exchange_of(x)->stream, n);
	try_complete(exchange_of(x));
}

static void wire_discard(struct http_exchange *x)
{
	struct h2_exchange *h = exchange_of(x);
	await_no_body(h);
	h2_stream_drop_in(&h->stream);
	try_complete(h);
}

static const struct http_field *wire_trailers(const struct http_exchange *x, uint32_t *ret_count)
{
	const struct h2_list *l = &exchange_of(x)->stream.trailers;
	*ret_count = l->n;
	return h2_list_fields(l);
}

static bool wire_head(struct http_exchange *x, const struct http_response *r)
{
	struct h2_exchange *h = exchange_of(x);
	struct http_server *s = x->server;
	struct h2_section *to = &h->stream.head_out;
	char status[16];
	if (!h2_section_init(s, to, r->n + 4, r->bytes + 256)) {
		abort_answer(h, HTTP_CANCEL_NOMEM, NGHTTP2_INTERNAL_ERROR);
		return false;
	}
	int n = snprintf(status, sizeof status, "%u", r->status);
	h2_section_put(to, SLICE_LIT(":status"), slice_of(status, (size_t)n));
	for (uint32_t i = 0; i < r->n; i++)
		if (!http_name_eq(r->fields[i].name, SLICE_LIT("content-length")))
			h2_section_put(to, r->fields[i].name, r->fields[i].value);
	struct slice date = http__date(s);
	if (!s->config.no_date && !r->has_date)
		h2_section_put(to, SLICE_LIT("date"), slice_sub(date, 6, date.len - 8));  // without name and end of line
	if (s->config.server_name && !r->has_server)
		h2_section_put(to, SLICE_LIT("server"), slice_sub(slice_str(s->config.server_name), 0, 64));
	if (r->has_length)
		h2_section_put_number(to, SLICE_LIT("content-length"), r->length);
	h->head_has_body = r->has_body;
	h->head_has_length = r->has_length;
	h2_stream_submit_later(&h->stream);
	return true;
}

static size_t wire_waiting(const struct http_exchange *x)
{
	return h2_stream_waiting(&exchange_of(x)->stream);
}

static bool wire_write(struct http_exchange *x, struct slice data)
{
	struct h2_exchange *h = exchange_of(x);
	if (h2_stream_write(&h->stream, data))
		return true;
	abort_answer(h, HTTP_CANCEL_NOMEM, NGHTTP2_INTERNAL_ERROR);
	return false;
}

static bool wire_finish(struct http_exchange *x, const struct http_field *trailers, uint32_t n, size_t bytes)
{
	struct h2_exchange *h = exchange_of(x);
	return h2_stream_end(&h->stream, trailers, h->head_has_body ? n : 0, bytes);
}

static void wire_go_on(struct http_exchange *x)
{
	struct h2_exchange *h = exchange_of(x);
	if (!x->owned)
		h2_stream_drop_in(&h->stream);
	try_complete(h);
}

static void wire_abort(struct http_exchange *x, enum http_cancel why)
{
	abort_answer(exchange_of(x), why, NGHTTP2_INTERNAL_ERROR);
}

static void wire_recycle(struct http_exchange *x)
{
	struct h2_exchange *h = exchange_of(x);
	struct http_server *s = x->server;
	struct h2_session *session = h->held_by;
	session->cancelled -= h->was_cancelled;
	h2_stream_release(&h->stream);
	http__spare_put(s, &s->spare_exchanges, h);
	h2_session_unhold(session);
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

// ---- on a connection -----------------------------------------------------------------------------------------------------------------------

// The client has ended its side: what it has sent whole is answered.
static void end_of_input(struct h2_session *s)
{
	s->busy++;
	for (struct h2_stream *st = s->streams, *next; st; st = next) {
		next = st->next;
		if (!st->in_ended)
			cancel(of_stream(st), HTTP_CANCEL_PEER);
	}
	s->busy--;
	h2_session_send(s);
}

static void on_readable(struct http_conn *c)
{
	struct h2_session *s = session_of(c);
	if (!h2_session_wants_read(s)) {
		http__conn_update_interest(c);
		return;
	}
	h2_session_read(s);
	if (c->state == CONN_OPEN && c->read_eof)
		end_of_input(s);
}

static bool wants_read(const struct http_conn *c)
{
	return h2_session_wants_read(session_of(c));
}

static void on_turn(struct http_conn *c)
{
	struct h2_session *s = session_of(c);
	if (c->server->draining)
		h2_session_go(s);
	h2_session_send(s);
}

static void on_writable(struct http_conn *c)
{
	h2_session_send(session_of(c));
}

static void on_conn_late(struct http_conn *c)
{
	h2_session_late(session_of(c));
}

// Nothing of it is under way but a head that isn't whole.
static bool is_idle(const struct h2_session *s)
{
	return !s->n || (s->n == 1 && s->conn->idle_since <= loop_now_ns(s->conn->server->loop));
}

static void on_evict(struct http_conn *c)
{
	struct h2_session *s = session_of(c);
	h2_session_read(s);
	if (c->state != CONN_OPEN || !is_idle(s))
		return;
	c->server->counters.evicted++;
	h2_session_fail(s, NGHTTP2_NO_ERROR, HTTP_CANCEL_SERVER);
	http__conn_close(c, HTTP_CANCEL_SERVER, false);
}

static bool on_renew(struct http_conn *c)
{
	struct h2_session *s = session_of(c);
	h2_session_go(s);
	return s->said_bye || s->failed;
}

static void on_conn_lost(struct http_conn *c, enum http_cancel why)
{
	struct h2_session *s = session_of(c);
	if (s)
		h2_session_lost(s, why);
}

static const struct http_protocol protocol = {
	.conn_size = sizeof(struct h1_conn),
	.readable = on_readable,
	.wants_read = wants_read,
	.writable = on_writable,
	.turn = on_turn,
	.late = on_conn_late,
	.evict = on_evict,
	.renew = on_renew,
	.lost = on_conn_lost,
};

bool http__h2_take(struct http_conn *c, const uint8_t *p, size_t n)
{
	struct h2_conn *h = CONTAINER_OF(c, struct h2_conn, conn);
	c->protocol = &protocol;
	c->watches_output = false;
	c->read_deadline = UINT64_MAX;
	h->session = h2_session_new(c, &side, c->limits.streams);
	if (!h->session) {
		http__conn_close(c, HTTP_CANCEL_NOMEM, false);
		return false;
	}
	h2_session_look_by(h->session, min_u64(h->session->head_by, h->session->idle_by));
	return h2_session_feed(h->session, p, n) && h2_session_send(h->session);
}
