// HTTP/1 on a connection of ours: one request after the other, each with its answer.
//
//            http__h1c_send                 the answer's head is there             both complete: complete
//   IDLE ──────────────────────► ASKED ───────────────────────────────► ANSWERED ───────────────────────────► IDLE
//   The end, from any of them: close_conn; conn.c finds the connection lost. A request that got nothing of an answer on a connection that was used
//   before is begun anew, once, where that is safe (U5). One that has its answer's head goes on with what has been received.
//
// 1. What is received lies with the request, not with the connection: it may be read when the connection is gone.
// 2. The answer's head is copied into a block of its own: slices of it live as long as the exchange.
// 3. Answers are framed as RFC 9112, 6.3 says; what comes behind one that is complete ends the connection.
#include "client.h"

enum { INFORMATIONAL_MAX = 16 };  // answers before the final one

static struct client_conn *h1c_of(struct http_conn *c)
{
	return CONTAINER_OF(c, struct client_conn, conn);
}

static struct http_outgoing *outgoing_of(struct http_exchange *x)
{
	return CONTAINER_OF(x, struct http_outgoing, x);
}

static struct slice raw(const struct http_outgoing *o)
{
	return o->in ? slice_of(o->in->data + o->in_start, o->in_len - o->in_start) : (struct slice){0};
}

static bool has_ended(const struct http_outgoing *o)
{
	return o->has_answer && o->body.state == H1_BODY_DONE;
}

// Of its body, to be read.
static bool has_data(const struct http_outgoing *o)
{
	return h1_body_in_data(&o->body) && raw(o).len;
}

static bool has_room(const struct http_outgoing *o)
{
	return !o->in || o->in_len - o->in_start < BLOCK_IN - 1024;
}

static void read_by(struct client_conn *c, uint64_t after_ns)
{
	http__conn_read_by(&c->conn, sat_add_u64(loop_now_ns(c->client->loop), after_ns));
}

// ---- end -------------------------------------------------------------------------------------------------------------------------

static void put_block(struct http_outgoing *o, struct block **b)
{
	http__block_put(o->x.server, *b);
	*b = NULL;
}

static bool may_begin_anew(const struct client_conn *c, const struct http_outgoing *o)
{
	return c->used && !o->begun && !o->again && !o->broken && o->idempotent && o->early_is_all && o->x.owned;
}

static enum http_failure failure_of(const struct client_conn *c, const struct http_outgoing *o, enum http_cancel why)
{
	if (c->failure)
		return c->failure;
	if (c->conn.transport.failure)
		return (enum http_failure)c->conn.transport.failure;
	if (why == HTTP_CANCEL_TIMEOUT)
		return HTTP_FAILURE_CONNECTION_WRITE_TIMEOUT;
	if (why == HTTP_CANCEL_NOMEM)
		return HTTP_FAILURE_INTERNAL_ERROR;
	return o->begun ? HTTP_FAILURE_HTTP_RESPONSE_INCOMPLETE : HTTP_FAILURE_CONNECTION_TERMINATED;
}

// What its owner writes is thrown away from now on. He may be within a call: the loop tells him.
static void tell_writer(struct loop_job *j)
{
	http__exchange_notify_write(&CONTAINER_OF(j, struct http_outgoing, start)->x);
}

// What was received may still be read; then it fails.
static void on_lost(struct http_conn *conn, enum http_cancel why)
{
	struct client_conn *c = h1c_of(conn);
	struct http_outgoing *o = c->o;
	http__client_conn_lost(c);
	c->o = NULL;
	if (!o)
		return;
	o->conn = NULL;
	if (may_begin_anew(c, o)) {
		o->again = true;
		http__outgoing_wait(o);
		return;
	}
	o->x.failure = (uint8_t)failure_of(c, o, why);
	o->x.failure_number = conn->transport.alert;
	if (!has_ended(o) && (o->broken || !o->has_answer || !(has_data(o) || o->ended_well))) {
		http__exchange_cancel(&o->x, why);
		return;
	}
	if (o->x.want_writable) {
		o->start.fn = tell_writer;
		loop_post(c->client->loop, &o->start);
	}
	if (has_ended(o))
		http__exchange_detach(&o->x, true);
}

static void close_conn(struct client_conn *c, enum http_failure failure, enum http_cancel why)
{
	c->failure = failure;
	if (c->o)
		c->o->broken = true;
	http__conn_close(&c->conn, why, false);
}

// Nothing more of the answer is to be had.
static void fail(struct http_outgoing *o, enum http_failure failure)
{
	if (o->conn)
		close_conn(o->conn, failure, HTTP_CANCEL_PEER);
	else
		http__outgoing_fail(o, failure);
}

static void rest(struct client_conn *c)
{
	c->used = true;
	if (!c->keep || c->conn.is_deaf || http__conn_pending(&c->conn) || !http__client_conn_rest(c)) {
		http__conn_close(&c->conn, HTTP_CANCEL_SERVER, false);
		return;
	}
	read_by(c, c->client->limits.idle_ns);
	http__conn_update_interest(&c->conn);
}

bool http__h1c_is_quiet(struct client_conn *c)
{
	uint8_t nothing[1];
	if (http__conn_recv(&c->conn, nothing, sizeof nothing) >= 0)
		http__conn_close(&c->conn, HTTP_CANCEL_PEER, false);
	return c->conn.state == CONN_OPEN;
}

// Request and answer are complete.
static void complete(struct http_outgoing *o)
{
	struct client_conn *c = o->conn;
	bool too_much = raw(o).len > 0;
	o->conn = NULL;
	put_block(o, &o->in);
	o->x.server->counters.responses++;
	http__exchange_detach(&o->x, true);
	if (!c)
		return;
	c->o = NULL;
	c->keep &= !too_much;
	rest(c);
}

// ---- the answer ------------------------------------------------------------------------------------------------------------------

static void frame_answer(struct http_outgoing *o, const struct h1_answer *a)
{
	bool none = o->request.is_head || a->status == 204 || a->status == 304;
	o->until_close = !none && !a->chunked && !a->has_length;
	h1_body_init(&o->body, !none && a->chunked, none ? 0 : o->until_close ? UINT64_MAX
																		  : a->length);
	o->conn->keep = a->keep_alive && !o->until_close;
}

// A complete head of n bytes.
static enum http_failure take_head(struct http_outgoing *o, size_t n)
{
	size_t table = HTTP_FIELDS_MAX * sizeof(struct http_field);
	struct h1_answer a;
	struct block *b = http__block_get(o->x.server, table + n);
	if (!b)
		return HTTP_FAILURE_INTERNAL_ERROR;
	memcpy(b->data + table, raw(o).ptr, n);
	o->in_start += n;
	o->scan = (struct h1_scan){0};
	enum http_failure bad = h1_answer_parse(b->data + table, n, (void *)b->data, HTTP_FIELDS_MAX, &a);
	bool informational = !bad && a.status < 200;
	if (informational && a.status == 101)
		bad = HTTP_FAILURE_HTTP_UPGRADE_FAILED;
	if (informational && ++o->informational > INFORMATIONAL_MAX)
		bad = HTTP_FAILURE_HTTP_PROTOCOL_ERROR;
	if (bad || informational) {
		http__block_put(o->x.server, b);
		return bad;
	}
	o->answer_block = b;
	o->answer = (struct http_answer){a.status, (const void *)b->data, a.n};
	o->has_answer = true;
	frame_answer(o, &a);
	return HTTP_FAILURE_NONE;
}

static enum http_failure read_heads(struct http_outgoing *o)
{
	while (!o->has_answer && raw(o).len) {
		struct slice r = raw(o);
		int64_t n = r.ptr[0] == 'H' ? h1_head_scan(&o->scan, r.ptr, r.len, HTTP_HEAD_MAX, false) : H1_BAD;
		if (n == H1_MORE)
			return HTTP_FAILURE_NONE;
		if (n < 0)
			return n == H1_BAD ? HTTP_FAILURE_HTTP_PROTOCOL_ERROR : HTTP_FAILURE_HTTP_RESPONSE_HEADER_SECTION_SIZE;
		enum http_failure bad = take_head(o, (size_t)n);
		if (bad)
			return bad;
	}
	return HTTP_FAILURE_NONE;
}

static enum http_failure take_trailers(struct http_outgoing *o, size_t n)
{
	size_t table = HTTP_FIELDS_MAX * sizeof(struct http_field);
	struct block *b = n > 2 ? http__block_get(o->x.server, table + n) : NULL;
	if (n > 2 && !b)
		return HTTP_FAILURE_INTERNAL_ERROR;
	if (b) {
		o->trailer_block = b;
		memcpy(b->data + table, raw(o).ptr, n);
		unsigned status = h1_trailers_parse(b->data + table, n, (void *)b->data, HTTP_FIELDS_MAX, &o->trailer_count);
		if (status)
			return status == 431 ? HTTP_FAILURE_HTTP_RESPONSE_TRAILER_SECTION_SIZE : HTTP_FAILURE_HTTP_PROTOCOL_ERROR;
	}
	o->in_start += n;
	h1_body_end(&o->body);
	return HTTP_FAILURE_NONE;
}

// Frames what is there of the body.
static enum http_failure read_framing(struct http_outgoing *o)
{
	struct slice r = raw(o);
	if (!h1_body_in_data(&o->body)) {
		o->in_start += h1_body_frame(&o->body, r.ptr, r.len);
		r = raw(o);
	}
	if (o->body.state == H1_BODY_BAD)
		return HTTP_FAILURE_HTTP_PROTOCOL_ERROR;
	if (o->body.state != H1_BODY_TRAILERS)
		return HTTP_FAILURE_NONE;
	int64_t n = h1_head_scan(&o->trailer_scan, r.ptr, r.len, HTTP_HEAD_MAX, true);
	if (n < 0)
		return n == H1_BAD ? HTTP_FAILURE_HTTP_PROTOCOL_ERROR : HTTP_FAILURE_HTTP_RESPONSE_TRAILER_SECTION_SIZE;
	return n == H1_MORE ? HTTP_FAILURE_NONE : take_trailers(o, (size_t)n);
}

// ---- input -----------------------------------------------------------------------------------------------------------------------

static bool wants_read(const struct http_conn *conn)
{
	const struct http_outgoing *o = CONTAINER_OF(UNCONST(conn), struct client_conn, conn)->o;
	return !o || (!has_ended(o) && has_room(o));
}

static bool make_room(struct http_outgoing *o)
{
	size_t n = raw(o).len;
	if (!o->in) {
		o->in = http__block_get(o->x.server, BLOCK_IN);
		o->in_start = o->in_len = 0;
		return o->in != NULL;
	}
	if (n == 0)
		o->in_start = o->in_len = 0;
	if (o->in_len == o->in->cap && o->in_start) {
		memmove(o->in->data, o->in->data + o->in_start, n);
		o->in_start = 0;
		o->in_len = n;
	}
	return true;
}

// Something was received, or all was. It calls out: o may be gone afterwards.
static void advance(struct http_outgoing *o)
{
	bool had_head = o->has_answer;
	enum http_failure bad = had_head ? HTTP_FAILURE_NONE : read_heads(o);
	if (!bad && o->has_answer)
		bad = read_framing(o);
	if (bad) {
		fail(o, bad);
		return;
	}
	if (!o->has_answer)
		return;
	bool there = has_ended(o) || has_data(o), owned = o->x.owned;
	if (o->conn)
		o->conn->conn.read_deadline = UINT64_MAX;
	if (o->conn && !there && o->x.want_readable)
		read_by(o->conn, o->between_ns);  // who waits for more is not told of framing alone
	if (has_ended(o) && o->x.finished)
		complete(o);
	if (!owned)
		return;
	if (!had_head)
		http__exchange_notify_head(&o->x);
	else if (there)
		http__exchange_notify_read(&o->x);
}

// The peer has ended its side. What has come may be the whole of an answer.
static void end_of_input(struct client_conn *c)
{
	struct http_outgoing *o = c->o;
	o->ended_well = true;
	http__conn_close(&c->conn, HTTP_CANCEL_PEER, false);
	if (!o->x.wired || o->conn || o->prev)
		return;
	http__exchange_notify_read(&o->x);  // peek tells
}

static void on_readable(struct http_conn *conn)
{
	struct client_conn *c = h1c_of(conn);
	struct http_outgoing *o = c->o;
	if (!o) {
		http__h1c_is_quiet(c);
		return;
	}
	if (!wants_read(conn)) {
		http__conn_update_interest(conn);
		return;
	}
	if (!make_room(o)) {
		close_conn(c, HTTP_FAILURE_INTERNAL_ERROR, HTTP_CANCEL_NOMEM);
		return;
	}
	int64_t got = http__conn_recv(conn, o->in->data + o->in_len, o->in->cap - o->in_len);
	if (got > 0) {
		o->in_len += (size_t)got;
		if (!o->begun)
			http__outgoing_begun(o);
		advance(o);
	} else if (got == 0) {
		end_of_input(c);
	}
}

static void on_writable(struct http_conn *conn)
{
	struct client_conn *c = h1c_of(conn);
	if (c->o)
		http__exchange_notify_write(&c->o->x);
}

static void on_late(struct http_conn *conn)
{
	struct client_conn *c = h1c_of(conn);
	if (!c->o)
		http__conn_close(conn, HTTP_CANCEL_TIMEOUT, false);
	else
		close_conn(c, c->o->has_answer ? HTTP_FAILURE_CONNECTION_READ_TIMEOUT : HTTP_FAILURE_HTTP_RESPONSE_TIMEOUT, HTTP_CANCEL_TIMEOUT);
}

// What it has said before, an answer to what it did not read, is still worth reading.
static bool is_deaf(struct http_conn *conn)
{
	return h1c_of(conn)->o != NULL && !conn->transport.failure;
}

static void on_evict(struct http_conn *conn)
{
	http__conn_close(conn, HTTP_CANCEL_SERVER, false);
}

// ---- the request -----------------------------------------------------------------------------------------------------------------

// RFC 9112, 6.3; RFC 9110, 8.6.
static void decide_kind(struct http_outgoing *o, uint64_t *ret_length)
{
	bool whole = o->x.finished && !o->tail;
	*ret_length = o->x.length != HTTP_LENGTH_UNKNOWN ? o->x.length : o->x.written;
	if (o->x.length == HTTP_LENGTH_UNKNOWN && !whole)
		o->kind = H1_CHUNKED;
	else if (o->x.length == HTTP_LENGTH_UNKNOWN && o->x.written == 0 && !o->expects_length)
		o->kind = H1_NONE;
	else
		o->kind = H1_LENGTH;
}

static uint8_t *put(uint8_t *to, struct slice s)
{
	memcpy(to, s.ptr, s.len);
	return to + s.len;
}

static bool put_head(struct http_conn *c, struct http_outgoing *o)
{
	static const char te[] = "TE: trailers\r\nConnection: TE\r\n";
	char framing[80] = "\r\n";
	uint64_t length;
	decide_kind(o, &length);
	if (o->kind == H1_LENGTH)
		snprintf(framing, sizeof framing, "Content-Length: %llu\r\n\r\n", (unsigned long long)length);
	else if (o->kind == H1_CHUNKED)
		snprintf(framing, sizeof framing, "Transfer-Encoding: chunked\r\n\r\n");
	uint8_t *to = http__out_reserve(c, o->method.len + o->target.len + o->authority.len + o->head_bytes + sizeof te + sizeof framing + 64);
	if (!to)
		return false;
	to = put(put(to, o->method), SLICE_LIT(" "));
	to = put(put(to, o->target), SLICE_LIT(" HTTP/1.1\r\nHost: "));
	to = put(put(to, o->authority), SLICE_LIT("\r\n"));
	to = h1_fields_put(to, http__outgoing_fields(o->head), o->n_fields);
	to = put(to, slice_of(te, sizeof te - 1));
	to = put(to, slice_str(framing));
	c->out_len = (size_t)(to - c->out->data);
	return true;
}

static bool put_end(struct http_conn *c, const struct http_outgoing *o)
{
	if (o->kind != H1_CHUNKED || !o->x.finished)
		return true;
	return h1_trailers_put(c, http__outgoing_fields(o->tail), o->n_trailers, o->tail_bytes);
}

static const struct http_wire wire;

void http__h1c_send(struct client_conn *c, struct http_outgoing *o)
{
	http__client_conn_leave_idle(c);
	http__outgoing_wait_no_more(o);
	c->o = o;
	o->conn = c;
	o->x.wire = &wire;
	o->chunk = 0;
	c->conn.server->counters.requests++;
	o->answer_by_ns = min_u64(sat_add_u64(loop_now_ns(c->client->loop), o->first_byte_ns), o->head_by_ns);
	http__conn_read_by(&c->conn, o->answer_by_ns);
	if (!put_head(&c->conn, o))
		return;
	if (o->early_len && !h1_data_put(&c->conn, &o->chunk, o->kind == H1_CHUNKED, slice_of(o->early->data, o->early_len)))
		return;
	if (!put_end(&c->conn, o) || !http__out_flush(&c->conn))
		return;
	http__conn_update_interest(&c->conn);
	if (c->o == o)
		http__exchange_notify_write(&o->x);
}

// ---- under an exchange -----------------------------------------------------------------------------------------------------------

static enum http_read wire_peek(struct http_exchange *x, struct slice *ret)
{
	struct http_outgoing *o = outgoing_of(x);
	if (has_ended(o))
		return HTTP_READ_END;
	if (o->has_answer && has_data(o)) {
		*ret = slice_sub(raw(o), 0, min_u64(raw(o).len, o->body.left));
		return HTTP_READ_DATA;
	}
	if (!o->conn) {
		if (!o->until_close || !o->ended_well) {
			http__exchange_cancel(x, HTTP_CANCEL_PEER);
			return HTTP_READ_ERROR;
		}
		h1_body_end(&o->body);
		if (x->finished)
			complete(o);
		return HTTP_READ_END;
	}
	if (o->has_answer && o->conn->conn.read_deadline == UINT64_MAX)
		read_by(o->conn, o->between_ns);
	http__conn_update_interest(&o->conn->conn);
	return HTTP_READ_AGAIN;
}

static void wire_consume(struct http_exchange *x, size_t n)
{
	struct http_outgoing *o = outgoing_of(x);
	BUG_ON(n > raw(o).len);
	o->in_start += n;
	h1_body_take(&o->body, n);
	enum http_failure bad = read_framing(o);
	if (bad)
		fail(o, bad);
	else if (has_ended(o) && x->finished)
		complete(o);
}

static void wire_abort(struct http_exchange *x, enum http_cancel why)
{
	struct http_outgoing *o = outgoing_of(x);
	o->broken = true;
	if (o->conn)
		http__conn_close(&o->conn->conn, why, true);
	else
		http__exchange_cancel(x, why);
}

// Reading away what nobody wants costs more than a connection.
static void wire_discard(struct http_exchange *x)
{
	if (x->finished && !has_ended(outgoing_of(x)))
		wire_abort(x, HTTP_CANCEL_SERVER);
}

static const struct http_field *wire_trailers(const struct http_exchange *x, uint32_t *ret_count)
{
	const struct http_outgoing *o = outgoing_of(UNCONST(x));
	*ret_count = o->trailer_count;
	return o->trailer_block ? (const void *)o->trailer_block->data : NULL;
}

static size_t wire_waiting(const struct http_exchange *x)
{
	const struct http_outgoing *o = outgoing_of(UNCONST(x));
	return o->conn ? http__conn_pending(&o->conn->conn) : 0;
}

static bool wire_write(struct http_exchange *x, struct slice data)
{
	struct http_outgoing *o = outgoing_of(x);
	o->early_is_all = false;
	if (!o->conn || o->conn->conn.is_deaf)
		return true;  // the answer is what counts
	return h1_data_put(&o->conn->conn, &o->chunk, o->kind == H1_CHUNKED, data) || x->wired;
}

static bool wire_finish(struct http_exchange *x, const struct http_field *trailers, uint32_t n, size_t bytes)
{
	struct http_outgoing *o = outgoing_of(x);
	if (!o->conn || o->conn->conn.is_deaf || o->kind != H1_CHUNKED)
		return true;
	o->early_is_all = false;
	return h1_trailers_put(&o->conn->conn, trailers, n, bytes) || x->wired;
}

static void wire_go_on(struct http_exchange *x)
{
	struct http_outgoing *o = outgoing_of(x);
	if (has_ended(o))
		complete(o);
	else if (!x->owned || x->discarded)
		wire_abort(x, HTTP_CANCEL_SERVER);
	else if (o->conn)
		http__conn_turn_later(&o->conn->conn);
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

// ---- on a connection -------------------------------------------------------------------------------------------------------------

const struct http_protocol http__h1c_protocol = {
	.conn_size = sizeof(struct client_conn),
	.readable = on_readable,
	.wants_read = wants_read,
	.writable = on_writable,
	.turn = on_writable,
	.late = on_late,
	.deaf = is_deaf,
	.evict = on_evict,
	.lost = on_lost,
};
