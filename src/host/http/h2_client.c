// HTTP/2 on a connection of ours: each stream is a request and its answer, under an exchange.
//
//   a request:  http__h2c_send ──► its head waits until the turn is over: submit ──► the answer's head: take_head ──► both complete: try_complete
//   The end, from any of them: on_closed (the peer's reset), on_lost (the connection), fail (the answer can't be had), abort (the owner's).
//
// 1. A request that the peer says it has not looked at (REFUSED_STREAM, or GOAWAY with a lower stream: RFC 9113, 8.7), or that can't be sent any more, is begun
//    anew, once; so is, by HTTP/1.1, one that the peer wants by that (HTTP_1_1_REQUIRED), and one that got nothing of an answer on a connection that was lost, if it
//    is idempotent. What was written of it must be at hand.
// 2. What has come of an answer lies with the request: it is read also when the stream, or the connection, is gone. What is written then is thrown away.
// 3. Until the peer has said how many streams it takes there is one.
#include "client.h"

enum { INFORMATIONAL_MAX = 16 };  // answers before the final one

static struct client_conn *conn_of(struct http_conn *c)
{
	return CONTAINER_OF(c, struct client_conn, conn);
}

static struct http_outgoing *outgoing_of(const struct http_exchange *x)
{
	return CONTAINER_OF(UNCONST(x), struct http_outgoing, x);
}

static struct http_outgoing *of_stream(struct h2_stream *st)
{
	return CONTAINER_OF(st, struct http_outgoing, stream);
}

static uint64_t now_of(const struct http_outgoing *o)
{
	return loop_now_ns(o->client->loop);
}

static void read_by(struct http_outgoing *o, uint64_t at_ns)
{
	o->stream.read_by = at_ns;
	if (at_ns != UINT64_MAX)
		h2_session_look_by(o->stream.session, at_ns);
}

// ---- the end of a request ------------------------------------------------------------------------------------------------------------

// All that comes of the answer is there, and read.
static bool has_ended(const struct http_outgoing *o)
{
	return o->stream.in_ended && !o->stream.in && o->has_answer;
}

static void let_go(struct http_outgoing *o)
{
	h2_stream_unlist(&o->stream);
	o->conn = NULL;
}

// true: it is over, and may be gone.
static bool try_complete(struct http_outgoing *o)
{
	const struct h2_stream *st = &o->stream;
	if (!o->x.wired)
		return true;
	if (!o->x.finished || !has_ended(o))
		return false;
	if (st->session && !st->closed && !st->end_sent) {
		if (o->x.owned)
			return false;
		h2_stream_reset(&o->stream, NGHTTP2_CANCEL);  // the rest of the request is of no use
	}
	let_go(o);
	o->x.server->counters.responses++;
	http__exchange_detach(&o->x, true);
	return true;
}

static void cancel(struct http_outgoing *o, enum http_failure failure, enum http_cancel why)
{
	let_go(o);
	if (!o->x.wired)
		return;
	o->x.failure = (uint8_t)failure;
	http__exchange_cancel(&o->x, why);
}

static void fail(struct http_outgoing *o, enum http_failure failure, enum http_cancel why)
{
	h2_stream_reset(&o->stream, NGHTTP2_CANCEL);
	cancel(o, failure, why);
}

static bool is_at_hand(const struct http_outgoing *o)
{
	return !o->begun && !o->again && o->early_is_all && o->x.owned;
}

static void begin_anew(struct http_outgoing *o)
{
	let_go(o);
	h2_stream_release(&o->stream);
	h2_session_unhold(o->held_by);
	o->held_by = NULL;
	http__outgoing_wait(o);
}

// What its owner waits for is told by the loop: he may be within a call.
static void tell_all(struct loop_job *j)
{
	struct http_outgoing *o = CONTAINER_OF(j, struct http_outgoing, start);
	if (o->x.want_readable && o->x.want_writable)
		loop_post(o->client->loop, &o->start);
	if (o->x.want_writable)
		http__exchange_notify_write(&o->x);
	else
		http__exchange_notify_read(&o->x);
}

// Nothing more comes, nothing more is taken. What has come is read; where it is not all, its reader hears of `failure` then.
static void go_on_without(struct http_outgoing *o, enum http_failure failure, enum http_cancel why)
{
	let_go(o);
	o->x.failure = (uint8_t)failure;
	if (!o->x.owned || !o->has_answer || !(o->stream.in_ended || (o->stream.in && !o->x.discarded))) {
		cancel(o, failure, why);
		return;
	}
	if (o->stream.in_ended)
		o->x.failure = HTTP_FAILURE_NONE;
	if (try_complete(o) && !o->x.want_readable && !o->x.want_writable)
		return;
	o->start.fn = tell_all;
	loop_post(o->client->loop, &o->start);
}

// ---- what a session tells ----------------------------------------------------------------------------------------------------------------

static bool is_malformed(uint32_t code)
{
	return code == NGHTTP2_PROTOCOL_ERROR || code == NGHTTP2_FLOW_CONTROL_ERROR || code == NGHTTP2_FRAME_SIZE_ERROR || code == NGHTTP2_STREAM_CLOSED ||
		code == NGHTTP2_COMPRESSION_ERROR || code == NGHTTP2_HTTP_1_1_REQUIRED || code == NGHTTP2_INADEQUATE_SECURITY;
}

static enum http_failure ended_early(const struct http_outgoing *o)
{
	return o->begun ? HTTP_FAILURE_HTTP_RESPONSE_INCOMPLETE : HTTP_FAILURE_CONNECTION_TERMINATED;
}

// RFC 9113, 7: it will be answered by HTTP/1.1.
static bool needs_h1(const struct http_outgoing *o)
{
	return o->stream.error == NGHTTP2_HTTP_1_1_REQUIRED || o->held_by->told_to_go == NGHTTP2_HTTP_1_1_REQUIRED;
}

static void on_closed(struct http_outgoing *o)
{
	const struct h2_stream *st = &o->stream;
	if (!o->x.owned && try_complete(o))
		return;
	o->needs_h1 = needs_h1(o);
	if ((st->error == NGHTTP2_REFUSED_STREAM || o->needs_h1) && is_at_hand(o)) {
		o->again = true;
		begin_anew(o);
		return;
	}
	go_on_without(o, st->broken || is_malformed(st->error) ? HTTP_FAILURE_HTTP_PROTOCOL_ERROR : ended_early(o), HTTP_CANCEL_PEER);
}

static enum http_failure failure_of(const struct client_conn *c, const struct http_outgoing *o, enum http_cancel why)
{
	if (c->failure)
		return c->failure;
	if (c->conn.transport.failure)
		return (enum http_failure)c->conn.transport.failure;
	if (why == HTTP_CANCEL_TIMEOUT && c->conn.write_blocked)
		return HTTP_FAILURE_CONNECTION_WRITE_TIMEOUT;
	if (why == HTTP_CANCEL_TIMEOUT)
		return o->has_answer ? HTTP_FAILURE_CONNECTION_READ_TIMEOUT : HTTP_FAILURE_HTTP_RESPONSE_TIMEOUT;
	if (why == HTTP_CANCEL_NOMEM)
		return HTTP_FAILURE_INTERNAL_ERROR;
	return why == HTTP_CANCEL_BAD_BODY ? HTTP_FAILURE_HTTP_PROTOCOL_ERROR : ended_early(o);
}

static void on_lost(struct h2_stream *st, enum http_cancel why)
{
	struct http_outgoing *o = of_stream(st);
	const struct client_conn *c = o->conn;
	o->needs_h1 = needs_h1(o);
	if ((c->used || o->needs_h1) && o->idempotent && why == HTTP_CANCEL_PEER && is_at_hand(o)) {
		o->again = true;
		begin_anew(o);
	} else {
		o->x.failure_number = c->conn.transport.alert;
		go_on_without(o, failure_of(c, o, why), why);
	}
}

// false: the answer can't be had.
static bool take_head(struct http_outgoing *o)
{
	const struct h2_list *l = &o->stream.head;
	http__outgoing_begun(o);
	if (o->stream.informational > INFORMATIONAL_MAX) {
		fail(o, HTTP_FAILURE_HTTP_PROTOCOL_ERROR, HTTP_CANCEL_BAD_BODY);
		return false;
	}
	if (!o->stream.has_head || o->has_answer)
		return true;
	struct slice status = l->pseudo[H2_STATUS];
	uint64_t code = 0;
	if (h2_list_is_too_large(&o->x.server->config.limits, l)) {
		fail(o, HTTP_FAILURE_HTTP_RESPONSE_HEADER_SECTION_SIZE, HTTP_CANCEL_TOO_LARGE);
		return false;
	}
	if (!slice_parse_u64(status, 999, &code)) {
		fail(o, HTTP_FAILURE_HTTP_PROTOCOL_ERROR, HTTP_CANCEL_BAD_BODY);
		return false;
	}
	o->answer = (struct http_answer){(unsigned)code, h2_list_fields(l), l->n};
	o->has_answer = o->conn->used = true;
	read_by(o, UINT64_MAX);
	return true;
}

static void on_read(struct http_outgoing *o)
{
	const struct h2_stream *st = &o->stream;
	if (h2_list_is_too_large(&o->x.server->config.limits, &st->trailers)) {
		fail(o, HTTP_FAILURE_HTTP_RESPONSE_TRAILER_SECTION_SIZE, HTTP_CANCEL_TOO_LARGE);
		return;
	}
	if (!st->in && !st->in_ended)
		return;
	read_by(o, UINT64_MAX);
	bool owned = o->x.owned;
	if (!try_complete(o) || owned)
		http__exchange_notify_read(&o->x);
}

// One thing at a time: what is called may let go of it.
static void on_event(struct h2_stream *st, uint32_t events)
{
	struct http_outgoing *o = of_stream(st);
	if (events & H2_HEAD) {
		bool had = o->has_answer;
		if (!take_head(o))
			return;
		for (uint32_t e = H2_READ; e <= H2_CLOSED; e <<= 1)
			if (events & e)
				h2_stream_event(st, e);
		if (o->has_answer && !had)
			http__exchange_notify_head(&o->x);
	} else if (events & H2_CLOSED) {
		on_closed(o);
	} else if (events & H2_WRITTEN) {
		if (events & H2_READ)
			h2_stream_event(st, H2_READ);
		if (!try_complete(o))
			http__exchange_notify_write(&o->x);
	} else {
		on_read(o);
	}
}

static uint64_t on_late(struct h2_stream *st, uint64_t now)
{
	struct http_outgoing *o = of_stream(st);
	uint64_t next = min_u64(st->read_by, st->write_by);
	if (now < next)
		return next;
	o->x.server->counters.timeouts++;
	fail(o,
		now >= st->write_by ? HTTP_FAILURE_CONNECTION_WRITE_TIMEOUT
			: o->has_answer ? HTTP_FAILURE_CONNECTION_READ_TIMEOUT
							: HTTP_FAILURE_HTTP_RESPONSE_TIMEOUT,
		HTTP_CANCEL_TIMEOUT);
	return UINT64_MAX;
}

static void on_rest(struct h2_session *s)
{
	if (http__client_conn_rest(conn_of(s->conn)))
		return;
	s->idle_by = loop_now_ns(s->conn->server->loop);
	h2_session_look_by(s, s->idle_by);
}

// ---- the request -------------------------------------------------------------------------------------------------------------------------

// RFC 9113, 8.3.1. The length of a body that is all here is known.
static bool make_head(struct http_outgoing *o, bool whole)
{
	struct h2_section *to = &o->stream.head_out;
	const struct http_field *fields = http__outgoing_fields(o->head);
	size_t bytes = o->method.len + o->target.len + o->authority.len + o->head_bytes + 256;
	if (!h2_section_init(o->x.server, to, o->n_fields + 6, bytes))
		return false;
	h2_section_put(to, SLICE_LIT(":method"), o->method);
	h2_section_put(to, SLICE_LIT(":scheme"), SLICE_LIT("https"));
	h2_section_put(to, SLICE_LIT(":authority"), o->authority);
	h2_section_put(to, SLICE_LIT(":path"), o->target);
	for (uint32_t i = 0; i < o->n_fields; i++)
		if (!http_name_eq(fields[i].name, SLICE_LIT("content-length")))
			h2_section_put(to, fields[i].name, fields[i].value);
	h2_section_put(to, SLICE_LIT("te"), SLICE_LIT("trailers"));
	if (o->x.length != HTTP_LENGTH_UNKNOWN)
		h2_section_put_number(to, SLICE_LIT("content-length"), o->x.length);
	else if (whole && (o->x.written || o->expects_length))
		h2_section_put_number(to, SLICE_LIT("content-length"), o->x.written);
	return true;
}

static bool submit(struct h2_stream *st)
{
	struct http_outgoing *o = of_stream(st);
	nghttp2_session *ng = st->session->ng;
	nghttp2_data_provider source = h2_stream_source(st);
	bool whole = st->out_ended && !st->trailers_out.n, empty = whole && h2_stream_waiting(st) == 0;
	if (!nghttp2_session_check_request_allowed(ng)) {  // the peer has said good-bye meanwhile
		o->needs_h1 = needs_h1(o);
		if (is_at_hand(o))
			begin_anew(o);
		else
			cancel(o, HTTP_FAILURE_CONNECTION_TERMINATED, HTTP_CANCEL_PEER);
		return true;
	}
	if (!make_head(o, whole))
		return false;
	st->id = nghttp2_submit_request(ng, NULL, h2_section_fields(&st->head_out), st->head_out.n, empty ? NULL : &source, st);
	return st->id > 0 && st->session->ng;
}

static const struct h2_side side = {
	.is_client = true,
	.submit = submit,
	.event = on_event,
	.lost = on_lost,
	.late = on_late,
	.rest = on_rest,
};

static const struct http_wire wire;

void http__h2c_send(struct client_conn *c, struct http_outgoing *o)
{
	struct h2_stream *st = &o->stream;
	http__client_conn_leave_idle(c);
	http__outgoing_wait_no_more(o);
	memset(st, 0, sizeof *st);
	st->x = &o->x;
	o->conn = c;
	o->x.wire = &wire;
	o->held_by = c->session;
	c->session->held++;
	c->conn.server->counters.requests++;
	h2_stream_list(c->session, st, 0);
	o->answer_by_ns = min_u64(sat_add_u64(now_of(o), o->first_byte_ns), o->head_by_ns);
	read_by(o, o->answer_by_ns);
	bool ok = !o->early_len || h2_stream_write(st, slice_of(o->early->data, o->early_len));
	if (ok && o->x.finished)
		ok = h2_stream_end(st, http__outgoing_fields(o->tail), o->n_trailers, o->tail_bytes);
	if (!ok) {
		cancel(o, HTTP_FAILURE_INTERNAL_ERROR, HTTP_CANCEL_NOMEM);
		return;
	}
	h2_stream_submit_later(st);
	http__exchange_notify_write(&o->x);
}

// ---- under an exchange -------------------------------------------------------------------------------------------------------------------

static enum http_read wire_peek(struct http_exchange *x, struct slice *ret)
{
	struct http_outgoing *o = outgoing_of(x);
	const struct h2_stream *st = &o->stream;
	if (has_ended(o))
		return HTTP_READ_END;
	if (x->discarded)
		return HTTP_READ_ERROR;
	if (st->in && o->has_answer) {
		*ret = h2_stream_raw(st);
		return HTTP_READ_DATA;
	}
	if (!st->session) {
		http__exchange_cancel(x, HTTP_CANCEL_PEER);
		return HTTP_READ_ERROR;
	}
	if (o->has_answer && st->read_by == UINT64_MAX)
		read_by(o, sat_add_u64(now_of(o), o->between_ns));
	return HTTP_READ_AGAIN;
}

static void wire_consume(struct http_exchange *x, size_t n)
{
	struct http_outgoing *o = outgoing_of(x);
	h2_stream_consume(&o->stream, n);
	try_complete(o);
}

static void wire_abort(struct http_exchange *x, enum http_cancel why)
{
	struct http_outgoing *o = outgoing_of(x);
	h2_stream_reset(&o->stream, NGHTTP2_CANCEL);
	cancel(o, (enum http_failure)x->failure, why);
}

static void wire_discard(struct http_exchange *x)
{
	struct http_outgoing *o = outgoing_of(x);
	h2_stream_drop_in(&o->stream);
	if (!try_complete(o) && x->finished)
		wire_abort(x, HTTP_CANCEL_SERVER);
}

static const struct http_field *wire_trailers(const struct http_exchange *x, uint32_t *ret_count)
{
	const struct h2_list *l = &outgoing_of(x)->stream.trailers;
	*ret_count = l->n;
	return h2_list_fields(l);
}

static bool takes_more(const struct http_outgoing *o)
{
	return o->stream.session && !o->stream.closed;
}

static size_t wire_waiting(const struct http_exchange *x)
{
	const struct http_outgoing *o = outgoing_of(x);
	return takes_more(o) ? h2_stream_waiting(&o->stream) : 0;
}

static bool wire_write(struct http_exchange *x, struct slice data)
{
	struct http_outgoing *o = outgoing_of(x);
	o->early_is_all = false;
	if (!takes_more(o))
		return true;  // the answer is what counts
	if (h2_stream_write(&o->stream, data))
		return true;
	x->failure = HTTP_FAILURE_INTERNAL_ERROR;
	wire_abort(x, HTTP_CANCEL_NOMEM);
	return false;
}

static bool wire_finish(struct http_exchange *x, const struct http_field *trailers, uint32_t n, size_t bytes)
{
	struct http_outgoing *o = outgoing_of(x);
	o->early_is_all &= n == 0;
	return !takes_more(o) || h2_stream_end(&o->stream, trailers, n, bytes);
}

static void wire_go_on(struct http_exchange *x)
{
	if (!try_complete(outgoing_of(x)) && (!x->owned || x->discarded))
		wire_abort(x, HTTP_CANCEL_SERVER);
}

static const struct http_wire wire = {
	.peek = wire_peek,
	.consume = wire_consume,
	.discard = wire_discard,
	.trailers = wire_trailers,
	.waiting = wire_waiting,
	.write = wire_write,
	.finish = wire_finish,
	.go_on = wire_go_on,
	.abort = wire_abort,
	.recycle = http__outgoing_recycle,
};

// ---- on a connection -----------------------------------------------------------------------------------------------------------------------

// How many streams the peer takes is known, or it has said nothing of use: who waited for that looks again. Also where the connection is gone.
static void look_at_greeting(struct client_conn *c)
{
	struct http_origin *o = c->origin;
	if (!c->dials || !(c->session->greeted || c->session->failed))
		return;
	c->dials = false;
	if (c->session->failed) {
		http__origin_end_dial(o, true);
		return;
	}
	uint32_t most = nghttp2_session_get_remote_settings(c->session->ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
	o->streams = (uint32_t)max_u64(min_u64(most, STREAMS_MOST), 1);
	http__origin_end_dial(o, false);
}

bool http__h2c_has_room(const struct client_conn *c)
{
	const struct h2_session *s = c->session;
	return c->conn.state == CONN_OPEN && s->ng && !s->failed && s->greeted && !s->said_bye && nghttp2_session_check_request_allowed(s->ng) &&
		s->n < min_u64(STREAMS_MOST, nghttp2_session_get_remote_settings(s->ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS));
}

static void on_readable(struct http_conn *conn)
{
	struct client_conn *c = conn_of(conn);
	if (!h2_session_wants_read(c->session)) {
		http__conn_update_interest(conn);
		return;
	}
	h2_session_read(c->session);
	look_at_greeting(c);
	if (conn->state == CONN_OPEN && conn->read_eof)
		http__conn_close(conn, HTTP_CANCEL_PEER, false);
}

static bool wants_read(const struct http_conn *conn)
{
	return h2_session_wants_read(conn_of(UNCONST(conn))->session);
}

static void on_writable(struct http_conn *conn)
{
	h2_session_send(conn_of(conn)->session);
}

static void on_conn_late(struct http_conn *conn)
{
	struct client_conn *c = conn_of(conn);
	h2_session_late(c->session);
	look_at_greeting(c);
}

static void on_evict(struct http_conn *conn)
{
	http__conn_close(conn, HTTP_CANCEL_SERVER, false);
}

static void on_conn_lost(struct http_conn *conn, enum http_cancel why)
{
	struct client_conn *c = conn_of(conn);
	if (c->session)
		h2_session_lost(c->session, why);
	c->session = NULL;
	http__client_conn_lost(c);
}

static const struct http_protocol protocol = {
	.conn_size = sizeof(struct client_conn),
	.readable = on_readable,
	.wants_read = wants_read,
	.writable = on_writable,
	.turn = on_writable,
	.late = on_conn_late,
	.evict = on_evict,
	.lost = on_conn_lost,
};

bool http__h2c_begin(struct client_conn *c)
{
	struct http_origin *o = c->origin;
	c->conn.protocol = &protocol;
	c->conn.read_deadline = UINT64_MAX;
	c->session = h2_session_new(&c->conn, &side, 0);
	if (!c->session) {
		http__conn_close(&c->conn, HTTP_CANCEL_NOMEM, false);
		return false;
	}
	h2_session_look_by(c->session, c->session->head_by);
	o->is_h1 = false;
	c->session_next = o->sessions;
	c->session_prev = &o->sessions;
	if (c->session_next)
		c->session_next->session_prev = &c->session_next;
	o->sessions = c;
	if (c->line)
		http__line_wake(c->line);  // who waits for a place may need none now
	return true;
}

void http__h2c_feed(struct client_conn *c, const uint8_t *p, size_t n)
{
	if (c->conn.state == CONN_OPEN && h2_session_feed(c->session, p, n))
		h2_session_send(c->session);
	look_at_greeting(c);
}
