// What an owner does with an exchange: read the request's body, write the response. Knows the connection only through http_int.h.
//
// 1. conn is NULL once the wire is through with the exchange, cleanly or not (`cancelled`); then every call still has an answer.
// 2. No call here runs a callback of an owner: what must be told is told by the loop.
#include "http_int.h"

enum { GATHER_MIN = 8192, FLUSH_AT = 16384, PERMIT_MIN = 4096 };

const struct http_request *http_exchange_request(const struct http_exchange *x)
{
	return &x->head.req;
}

struct http_server *http_exchange_server(const struct http_exchange *x)
{
	return x->server;
}

void http_exchange_set_owner(struct http_exchange *x, const struct http_exchange_ops *ops, void *user)
{
	x->ops = ops;
	x->user = user;
}

bool http_exchange_is_cancelled(const struct http_exchange *x, enum http_cancel *ret_why, unsigned *ret_status)
{
	if (ret_why)
		*ret_why = x->why;
	if (ret_status)
		*ret_status = x->answered;
	return x->cancelled;
}

void *http_exchange_user(const struct http_exchange *x)
{
	return x->user;
}

void http__exchange_detach(struct http_exchange *x)
{
	x->conn = NULL;
	x->server->counters.in_flight--;
	if (!x->owned)
		http__exchange_recycle(x);
}

void http__exchange_cancel(struct http_exchange *x, enum http_cancel why)
{
	struct http_server *s = x->server;
	if (x->conn && x->conn->x == x)
		x->conn->x = NULL;
	x->conn = NULL;
	x->cancelled = x->cancel_pending = true;
	x->why = why;
	s->counters.in_flight--;
	s->counters.cancelled++;
	x->next = s->cancels;
	s->cancels = x;
	loop_post(s->loop, &s->task);
}

void http_exchange_release(struct http_exchange *x)
{
	if (!x)
		return;
	BUG_ON(!x->owned);
	x->ops = NULL;
	x->owned = false;
	if (x->cancel_pending)
		return;  // recycled where it would have been told
	if (!x->conn)
		http__exchange_recycle(x);
	else if (x->finished)
		http__conn_try_complete(x->conn);
	else if (!x->head_given)
		http_respond_error(x, 500, 0);
	else
		http__conn_abort(x->conn, HTTP_CANCEL_SERVER);
}

// ---- request body ----------------------------------------------------------------------------------------------------------------

static struct slice raw_view(const struct http_conn *c)
{
	return c->in ? slice_of(c->in->data + c->in_start, c->in_len - c->in_start) : (struct slice){0};
}

static bool take_trailers(struct http_exchange *x, struct slice raw, size_t len, unsigned *ret_status)
{
	struct http_conn *c = x->conn;
	if (len > 2) {
		size_t table = HTTP_FIELDS_MAX * sizeof(struct http_field);
		struct block *b = http__block_get(x->server, table + len);
		if (!b) {
			*ret_status = 503;
			return false;
		}
		x->trailer_block = b;
		memcpy(b->data + table, raw.ptr, len);
		*ret_status = h1_trailers_parse(b->data + table, len, (void *)b->data, x->server->config.limits.fields, &x->trailer_count);
		if (*ret_status)
			return false;
	}
	c->in_start += len;
	x->body.state = H1_BODY_DONE;
	return true;
}

bool http__body_advance(struct http_exchange *x, unsigned *ret_status, const char **ret_detail)
{
	struct http_conn *c = x->conn;
	uint64_t max = x->server->config.limits.body_bytes;
	struct slice raw = raw_view(c);
	if (!h1_body_in_data(&x->body)) {
		c->in_start += h1_body_frame(&x->body, raw.ptr, raw.len);
		raw = raw_view(c);
	}
	*ret_status = 400;
	*ret_detail = "malformed chunk";
	if (x->body.state == H1_BODY_BAD)
		return false;
	if (!x->discarded && h1_body_in_data(&x->body) && (x->body.total > max || x->body.left > max - x->body.total)) {
		*ret_status = 413;
		*ret_detail = "the body is longer than allowed";
		return false;
	}
	if (x->body.state != H1_BODY_TRAILERS)
		return true;
	*ret_detail = "malformed trailers";
	int64_t n = h1_head_scan(&x->trailer_scan, raw.ptr, raw.len, x->server->config.limits.head_bytes, true);
	if (n < 0)
		*ret_status = (unsigned)-n;
	return n == H1_MORE || (n > 0 && take_trailers(x, raw, (size_t)n, ret_status));
}

enum http_read http_body_peek(struct http_exchange *x, struct slice *ret_data)
{
	struct http_conn *c = x->conn;
	*ret_data = (struct slice){0};
	if (x->cancelled)
		return HTTP_READ_ERROR;
	if (http__body_has_ended(x))
		return HTTP_READ_END;
	if (!c || x->discarded)
		return HTTP_READ_ERROR;
	struct slice raw = raw_view(c);
	x->reading = true;
	if (h1_body_in_data(&x->body) && raw.len) {
		*ret_data = slice_sub(raw, 0, min_u64(raw.len, x->body.left));
		return HTTP_READ_DATA;
	}
	x->want_readable = true;
	if (x->must_continue) {
		if (x->head_given) {
			http__out_flush(c);  // puts it before the head
		} else {
			x->must_continue = false;
			http__conn_send_continue(c);
		}
		if (x->cancelled)
			return HTTP_READ_ERROR;
	}
	http__conn_await_body(c);
	http__conn_update_interest(c);
	return HTTP_READ_AGAIN;
}

void http_body_consume(struct http_exchange *x, size_t n)
{
	struct http_conn *c = x->conn;
	unsigned status;
	const char *detail;
	if (!c || n == 0)
		return;
	BUG_ON(n > raw_view(c).len);
	c->in_start += n;
	h1_body_take(&x->body, n);
	if (!http__body_advance(x, &status, &detail))
		http__conn_fail(c, status, detail, status == 413 ? HTTP_CANCEL_TOO_LARGE : HTTP_CANCEL_BAD_BODY);
	else if (http__body_has_ended(x) && x->finished)
		http__conn_try_complete(c);
}

enum http_read http_body_read(struct http_exchange *x, void *into, size_t max, size_t *ret_n)
{
	struct slice data;
	enum http_read got = http_body_peek(x, &data);
	size_t n = min_u64(max, data.len);
	if (n)
		memcpy(into, data.ptr, n);
	*ret_n = n;
	http_body_consume(x, n);
	return got;
}

const struct http_field *http_body_trailers(const struct http_exchange *x, uint32_t *ret_count)
{
	*ret_count = x->trailer_count;
	return x->trailer_block ? (const void *)x->trailer_block->data : NULL;
}

void http_body_discard(struct http_exchange *x)
{
	x->discarded = true;
	x->want_readable = false;
	if (x->conn) {
		http__conn_have_body(x->conn);
		http__conn_try_complete(x->conn);
	}
}

void http__exchange_notify_read(struct http_exchange *x)
{
	struct http_conn *c = x->conn;
	if (!x->want_readable)
		return;
	if (!http__body_has_ended(x) && !(h1_body_in_data(&x->body) && raw_view(c).len))
		return;
	x->want_readable = false;
	http__conn_have_body(c);
	if (x->ops && x->ops->on_readable)
		x->ops->on_readable(x->user, x);
}

// ---- response head ---------------------------------------------------------------------------------------------------------------

struct head_plan {
	size_t bytes;
	bool has_date, has_server, has_length;
	uint64_t length;  // the content-length field is written from it
};

static bool plan_field(struct head_plan *p, const struct http_field *f, struct err *e)
{
	if (!http_field_name_is_valid(f->name))
		return err_set(e, ERR_INVALID, "invalid field name");
	if (!http_field_value_is_valid(f->value))
		return err_set(e, ERR_INVALID, "invalid value of field %.*s", SLICE_ARGS(slice_sub(f->name, 0, 64)));
	if (http_field_is_forbidden(f->name))
		return err_set(e, ERR_INVALID, "field %.*s belongs to the connection", SLICE_ARGS(slice_sub(f->name, 0, 64)));
	p->bytes += f->name.len + f->value.len + 4;
	p->has_date |= http_name_eq(f->name, SLICE_LIT("date"));
	p->has_server |= http_name_eq(f->name, SLICE_LIT("server"));
	if (http_name_eq(f->name, SLICE_LIT("content-length"))) {
		uint64_t length;
		if (!http_length_parse(f->value, &length))
			return err_set(e, ERR_INVALID, "malformed content-length");
		if (p->has_length && length != p->length)
			return err_set(e, ERR_INVALID, "content-length fields that differ");
		p->has_length = true;
		p->length = length;
	}
	return true;
}

static bool plan_head(struct head_plan *p, const struct http_field *fields, uint32_t n, uint64_t length, bool has_none, struct err *e)
{
	if (n > HTTP_FIELDS_MAX)
		return err_set(e, ERR_LIMIT, "more than %d fields", HTTP_FIELDS_MAX);
	for (uint32_t i = 0; i < n; i++)
		if (!plan_field(p, &fields[i], e))
			return false;
	if (p->bytes > HTTP_HEAD_MAX)
		return err_set(e, ERR_LIMIT, "fields of more than %d bytes", HTTP_HEAD_MAX);
	if (length != HTTP_LENGTH_UNKNOWN) {
		if (p->has_length && p->length != length && !has_none)
			return err_set(e, ERR_INVALID, "content-length differs from the length of the body");
		if (!p->has_length)
			p->length = length;
		p->has_length = true;
	}
	return true;
}

// RFC 9110, 6.4.1.
bool http_status_has_body(const struct http_exchange *x, unsigned status)
{
	return !x->head.req.is_head && status != 204 && status != 205 && status != 304;
}

// RFC 9112, 6.3. Of an answer that has no body the length is what the owner said, if it did (RFC 9110, 8.6); 205 must say that there is none.
static void decide_kind(struct http_exchange *x, unsigned status, struct head_plan *p)
{
	if (!http_status_has_body(x, status)) {
		x->kind = BODY_NONE;
		if (status == 204 || status == 205) {
			p->has_length = status == 205;
			p->length = 0;
		}
	} else if (p->has_length) {
		x->kind = BODY_LENGTH;
		x->length = p->length;
	} else {
		x->kind = x->head.req.version_minor >= 1 ? BODY_CHUNKED : BODY_UNTIL_CLOSE;
	}
}

// Nobody has begun to read what is known to be too long to be read away.
static bool is_too_long_to_drain(const struct http_exchange *x)
{
	return !x->reading && x->body.state == H1_BODY_LENGTH && x->body.left > x->server->config.limits.drain_bytes;
}

// What will be closed says so, and this is the last moment for it. An answer that lasts until the end of the connection is not among the reasons
// here: it may still get a length (settle_length).
static void decide_persistence(struct http_exchange *x)
{
	struct http_conn *c = x->conn;
	bool more = http__body_has_ended(x) && raw_view(c).len > 0;  // another request is buffered already
	c->close_after |= c->read_eof || x->must_continue || is_too_long_to_drain(x) || (x->server->draining && !more);
}

static uint8_t *put(uint8_t *to, struct slice s)
{
	memcpy(to, s.ptr, s.len);
	return to + s.len;
}

static uint8_t *put_number(uint8_t *to, uint64_t v)
{
	uint8_t digits[20], *d = digits + sizeof digits;
	do
		*--d = (uint8_t)('0' + v % 10);
	while (v /= 10);
	return put(to, slice_of(d, (size_t)(digits + sizeof digits - d)));
}

static uint8_t *put_fields(uint8_t *to, const struct http_field *fields, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (fields[i].name.len == 14 && http_name_eq(fields[i].name, SLICE_LIT("content-length")))
			continue;  // written from what it was understood to be
		to = put(to, fields[i].name);
		to = put(to, SLICE_LIT(": "));
		to = put(to, fields[i].value);
		to = put(to, SLICE_LIT("\r\n"));
	}
	return to;
}

// Framing, Connection, the empty line.
static uint8_t *put_head_end(const struct http_exchange *x, uint8_t *to, bool has_length, uint64_t length)
{
	if (has_length) {
		to = put(to, SLICE_LIT("Content-Length: "));
		to = put_number(to, length);
		to = put(to, SLICE_LIT("\r\n"));
	} else if (x->kind == BODY_CHUNKED) {
		to = put(to, SLICE_LIT("Transfer-Encoding: chunked\r\n"));
	}
	if (x->conn->close_after || x->kind == BODY_UNTIL_CLOSE)
		to = put(to, SLICE_LIT("Connection: close\r\n"));
	else if (x->head.old_keep_alive)
		to = put(to, SLICE_LIT("Connection: keep-alive\r\n"));
	return put(to, SLICE_LIT("\r\n"));
}

static uint8_t *put_head(struct http_exchange *x, uint8_t *to, unsigned status, const struct http_field *fields, uint32_t n, const struct head_plan *p)
{
	uint8_t *start = to;
	const struct http_server_config *k = &x->server->config;
	to = put(to, SLICE_LIT("HTTP/1.1 "));
	to = put_number(to, status);
	*to++ = ' ';
	to = put(to, slice_str(http_status_reason(status)));
	to = put(to, SLICE_LIT("\r\n"));
	to = put_fields(to, fields, n);
	if (!k->no_date && !p->has_date)
		to = put(to, http__date(x->server));
	if (k->server_name && !p->has_server) {
		to = put(to, SLICE_LIT("Server: "));
		to = put(to, slice_sub(slice_str(k->server_name), 0, 64));
		to = put(to, SLICE_LIT("\r\n"));
	}
	x->head_lines = (size_t)(to - start);
	return put_head_end(x, to, p->has_length, p->length);
}

bool http_respond_head(struct http_exchange *x, unsigned status, const struct http_field *fields, uint32_t n, uint64_t length, struct err *e)
{
	struct head_plan p = {0};
	if (x->head_given)
		return err_set(e, ERR_USAGE, "the response has a head already");
	if (status < 200 || status > 599)
		return err_set(e, ERR_INVALID, "status %u is not one of 200..599", status);
	if (!plan_head(&p, fields, n, length, !http_status_has_body(x, status), e))
		return false;
	decide_kind(x, status, &p);
	x->head_given = true;
	struct http_conn *c = x->conn;
	if (!c)
		return true;  // nobody listens; the first write tells
	decide_persistence(x);
	uint8_t *to = http__out_reserve(c, p.bytes + 512);
	if (!to)
		return err_nomem(e);
	x->head_before = http__conn_pending(c);
	x->head_waits = true;
	c->out_len = (size_t)(put_head(x, to, status, fields, n, &p) - c->out->data);
	http__conn_turn_later(c);
	return true;
}

// ---- response body ---------------------------------------------------------------------------------------------------------------

// What was permitted once stays so until it is written: others' bytes in the output, heads and framing do not count (H11).
static size_t room(const struct http_exchange *x)
{
	return HTTP_WINDOW - (x->conn ? min_u64(x->queued, http__conn_pending(x->conn)) : 0);
}

size_t http_body_permit(struct http_exchange *x)
{
	size_t room_now = room(x);
	if (room_now >= PERMIT_MIN)
		return room_now;
	x->want_writable = true;
	return 0;
}

// Hex size and CRLF; returns its length.
static size_t chunk_head(uint8_t out[20], size_t n)
{
	static const char hex[] = "0123456789abcdef";
	uint8_t *p = out;
	int shift = 0;
	while (n >> shift > 15)
		shift += 4;
	for (; shift >= 0; shift -= 4)
		*p++ = (uint8_t)hex[n >> shift & 15];
	*p++ = '\r';
	*p++ = '\n';
	return (size_t)(p - out);
}

// Data of chunk `head` at the end of the output. Returns the length of chunk head, data and CRLF; 0: memory is out.
static size_t put_chunk(struct http_conn *c, struct slice data)
{
	uint8_t head[20];
	size_t head_len = chunk_head(head, data.len);
	uint8_t *to = http__out_reserve(c, head_len + data.len + 2);
	if (!to)
		return 0;
	to = put(put(put(to, slice_of(head, head_len)), data), SLICE_LIT("\r\n"));
	c->out_len = (size_t)(to - c->out->data);
	return head_len + data.len + 2;
}

// The last chunk, of which nothing was sent, gets longer: so that many small writes need no more room than one large one.
static size_t add_to_chunk(struct http_conn *c, size_t chunk, struct slice data)
{
	uint8_t head[20], *end = http__out_reserve(c, data.len + 8);
	if (!end)
		return 0;
	uint8_t *start = end - chunk, *lf = memchr(start, '\n', chunk);
	size_t old_len = (size_t)(end - 2 - (lf + 1)), head_len = chunk_head(head, old_len + data.len);
	if (head_len != (size_t)(lf + 1 - start))
		memmove(start + head_len, lf + 1, old_len);
	memcpy(start, head, head_len);
	uint8_t *to = put(put(start + head_len + old_len, data), SLICE_LIT("\r\n"));
	c->out_len = (size_t)(to - c->out->data);
	return (size_t)(to - start);
}

static bool put_data(struct http_exchange *x, struct slice data)
{
	struct http_conn *c = x->conn;
	if (x->kind != BODY_CHUNKED)
		return http__out_put(c, data.ptr, data.len);
	bool goes_on = x->chunk && x->chunk <= http__conn_pending(c);
	x->chunk = goes_on ? add_to_chunk(c, x->chunk, data) : put_chunk(c, data);
	return x->chunk != 0;
}

// Without a copy of what the kernel takes.
static bool gather_data(struct http_exchange *x, struct slice data)
{
	uint8_t head[20];
	size_t head_len = x->kind == BODY_CHUNKED ? chunk_head(head, data.len) : 0, tail_len = head_len ? 2 : 0;
	struct iovec parts[3] = {{head, head_len}, {UNCONST(data.ptr), data.len}, {"\r\n", tail_len}};
	x->chunk = 0;
	return http__out_gather(x->conn, parts + !head_len, head_len ? 3 : 1);
}

static enum http_write send_data(struct http_exchange *x, struct slice data)
{
	struct http_conn *c = x->conn;
	x->queued = min_u64(x->queued, http__conn_pending(c)) + data.len;
	if (data.len >= GATHER_MIN && !c->write_blocked)
		return gather_data(x, data) ? HTTP_WRITE_OK : HTTP_WRITE_CLOSED;
	if (!put_data(x, data))
		return HTTP_WRITE_CLOSED;
	if (http__conn_pending(c) >= FLUSH_AT)
		return http__out_flush(c) ? HTTP_WRITE_OK : HTTP_WRITE_CLOSED;
	http__conn_turn_later(c);
	return HTTP_WRITE_OK;
}

enum http_write http_body_write(struct http_exchange *x, struct slice data)
{
	BUG_ON(!x->head_given);
	if (!x->conn || x->finished)
		return HTTP_WRITE_CLOSED;
	if (x->kind == BODY_LENGTH && data.len > x->length - x->written) {
		x->bad_length = true;
		return HTTP_WRITE_TOO_LONG;
	}
	if (x->kind == BODY_NONE || data.len == 0) {
		x->written += data.len;
		return HTTP_WRITE_OK;
	}
	if (data.len > room(x))
		return HTTP_WRITE_NO_PERMIT;
	x->written += data.len;
	return send_data(x, data);
}

uint64_t http_body_written(const struct http_exchange *x)
{
	return x->written;
}

void http_body_flush(struct http_exchange *x)
{
	struct http_conn *c = x->conn;
	if (c && http__out_flush(c) && (x->want_flushed || x->want_writable))
		http__conn_turn_later(c);
}

bool http_body_is_flushed(struct http_exchange *x)
{
	if (!x->conn || http__conn_pending(x->conn) == 0)
		return true;
	x->want_flushed = true;
	return false;
}

void http__exchange_notify_write(struct http_exchange *x)
{
	struct http_conn *c = x->conn;
	if (x->want_flushed && http__conn_pending(c) == 0) {
		x->want_flushed = false;
		if (x->ops && x->ops->on_flushed)
			x->ops->on_flushed(x->user, x);
		if (c->x != x)
			return;
	}
	if (x->want_writable && room(x) >= PERMIT_MIN) {
		x->want_writable = false;
		if (x->ops && x->ops->on_writable)
			x->ops->on_writable(x->user, x);
	}
}

static bool trailers_are_valid(const struct http_field *trailers, uint32_t n, size_t *ret_bytes)
{
	*ret_bytes = 0;
	for (uint32_t i = 0; i < n && n <= HTTP_FIELDS_MAX; i++) {
		if (!http_field_name_is_valid(trailers[i].name) || !http_field_value_is_valid(trailers[i].value))
			return false;
		*ret_bytes += trailers[i].name.len + trailers[i].value.len + 4;
	}
	return n <= HTTP_FIELDS_MAX && *ret_bytes <= HTTP_HEAD_MAX / 2;
}

// All of the body is known before anything of the answer has left: it gets its length instead of chunks, or of the end of the connection.
static bool settle_length(struct http_exchange *x)
{
	struct http_conn *c = x->conn;
	uint8_t *end = http__out_reserve(c, 128), new_end[128];
	if (!end)
		return false;
	uint8_t *lines_end = c->out->data + c->out_start + x->head_before + x->head_lines;
	uint8_t *data = end - (x->kind == BODY_CHUNKED && x->written ? 2 : 0) - x->written;
	x->kind = BODY_LENGTH;
	x->length = x->written;
	size_t n = (size_t)(put_head_end(x, new_end, true, x->length) - new_end);
	memmove(lines_end + n, data, x->length);
	memcpy(lines_end, new_end, n);
	c->out_len = (size_t)(lines_end + n + x->length - c->out->data);
	return true;
}

static bool put_trailers(struct http_exchange *x, const struct http_field *trailers, uint32_t n, size_t bytes)
{
	struct http_conn *c = x->conn;
	uint8_t *to = http__out_reserve(c, bytes + 8);
	if (!to)
		return false;
	to = put(to, SLICE_LIT("0\r\n"));
	for (uint32_t i = 0; i < n; i++)
		if (!http__is_trailer_forbidden(trailers[i].name))
			to = put_fields(to, &trailers[i], 1);
	to = put(to, SLICE_LIT("\r\n"));
	c->out_len = (size_t)(to - c->out->data);
	return true;
}

// Whatever the framing needs at the end of a body.
static bool put_end(struct http_exchange *x, const struct http_field *trailers, uint32_t n)
{
	size_t bytes;
	if (x->bad_length || (x->kind == BODY_LENGTH && x->written != x->length) || !trailers_are_valid(trailers, n, &bytes))
		return false;
	if (x->kind != BODY_CHUNKED && x->kind != BODY_UNTIL_CLOSE)
		return true;
	if (!x->head.req.accepts_trailers)
		n = 0;
	if (n == 0 && x->head_waits)
		return settle_length(x);
	if (x->kind == BODY_CHUNKED)
		return put_trailers(x, trailers, n, bytes);
	x->conn->close_after = true;
	return true;
}

bool http_body_finish(struct http_exchange *x, const struct http_field *trailers, uint32_t n)
{
	BUG_ON(!x->head_given);
	if (!x->conn || x->finished)
		return true;
	if (!put_end(x, trailers, n)) {
		http_abort(x);
		return false;
	}
	x->finished = true;
	http__conn_try_complete(x->conn);
	return true;
}

void http_abort(struct http_exchange *x)
{
	if (!x->conn || x->finished)
		return;
	x->told = true;
	http__conn_abort(x->conn, HTTP_CANCEL_SERVER);
}

void http_respond_error(struct http_exchange *x, unsigned status, unsigned retry_after)
{
	char body[128], seconds[16];
	if (x->head_given)
		return;
	int n = snprintf(body, sizeof body, "%u %s\n", status, http_status_reason(status));
	int m = snprintf(seconds, sizeof seconds, "%u", retry_after);
	struct http_field fields[2] = {
		{SLICE_LIT("Content-Type"), SLICE_LIT("text/plain")},
		{SLICE_LIT("Retry-After"), slice_of(seconds, (size_t)m)},
	};
	if (!http_respond_head(x, status, fields, retry_after ? 2 : 1, (uint64_t)n, NULL))
		return;
	if (http_body_write(x, slice_of(body, (size_t)n)) != HTTP_WRITE_OK)
		http_abort(x);
	else if (!http_body_finish(x, NULL, 0))
		http_abort(x);
}
