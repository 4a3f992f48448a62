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
	if (h1_body_in_data(&x->body) && (x->body.total > max || x->body.left > max - x->body.total)) {
		*ret_status = 413;
		*ret_detail = "the body is longer than allowed";
		return false;
	}
	if (x->body.state != H1_BODY_TRAILERS)
		return true;
	*ret_detail = "malformed trailers";
	int64_t n = h1_head_scan(&x->trailer_scan, raw.ptr, raw.len, x->server->config.limits.head_bytes - 1024, true);
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
	if (h1_body_in_data(&x->body) && raw.len) {
		*ret_data = slice_sub(raw, 0, min_u64(raw.len, x->body.left));
		return HTTP_READ_DATA;
	}
	x->want_readable = true;
	if (x->must_continue && !x->head_given) {
		x->must_continue = false;
		http__conn_send_continue(c);
		if (x->cancelled)
			return HTTP_READ_ERROR;
	}
	c->read_deadline = sat_add_u64(loop_now_ns(x->server->loop), x->server->config.limits.body_ns);
	http__conn_arm(c);
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
		x->conn->read_deadline = UINT64_MAX;
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
	c->read_deadline = UINT64_MAX;
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

static bool plan_head(struct http_exchange *x, struct head_plan *p, const struct http_field *fields, uint32_t n, uint64_t length, struct err *e)
{
	if (n > HTTP_FIELDS_MAX)
		return err_set(e, ERR_LIMIT, "more than %d fields", HTTP_FIELDS_MAX);
	for (uint32_t i = 0; i < n; i++)
		if (!plan_field(p, &fields[i], e))
			return false;
	if (p->bytes > HTTP_HEAD_MAX)
		return err_set(e, ERR_LIMIT, "fields of more than %d bytes", HTTP_HEAD_MAX);
	if (length != HTTP_LENGTH_UNKNOWN) {
		if (p->has_length && p->length != length && x->kind != BODY_NONE)
			return err_set(e, ERR_INVALID, "content-length differs from the length of the body");
		if (!p->has_length)
			p->length = length;
		p->has_length = true;
	}
	return true;
}

// RFC 9112, 6.3; RFC 9110, 6.4.1.
static void decide_kind(struct http_exchange *x, unsigned status, struct head_plan *p)
{
	if (status == 204 || status == 205) {
		x->kind = BODY_NONE;
		p->has_length = status == 205;
		p->length = 0;
	} else if (x->head.req.is_head || status == 304) {
		x->kind = BODY_NONE;
	} else if (p->has_length) {
		x->kind = BODY_LENGTH;
		x->length = p->length;
	} else {
		x->kind = x->head.req.version_minor >= 1 ? BODY_CHUNKED : BODY_UNTIL_CLOSE;
	}
}

static void decide_persistence(struct http_exchange *x)
{
	struct http_conn *c = x->conn;
	bool more = http__body_has_ended(x) && raw_view(c).len > 0;  // another request is buffered already
	c->close_after |= x->kind == BODY_UNTIL_CLOSE || c->read_eof || x->must_continue || (x->server->draining && !more);
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

static uint8_t *put_head(struct http_exchange *x, uint8_t *to, unsigned status, const struct http_field *fields, uint32_t n, const struct head_plan *p)
{
	const struct http_server_config *k = &x->server->config;
	to = put(to, SLICE_LIT("HTTP/1.1 "));
	to = put_number(to, status);
	*to++ = ' ';
	to = put(to, slice_str(http_status_reason(status)));
	to = put(to, SLICE_LIT("\r\n"));
	to = put_fields(to, fields, n);
	if (p->has_length) {
		to = put(to, SLICE_LIT("Content-Length: "));
		to = put_number(to, p->length);
		to = put(to, SLICE_LIT("\r\n"));
	} else if (x->kind == BODY_CHUNKED) {
		to = put(to, SLICE_LIT("Transfer-Encoding: chunked\r\n"));
	}
	if (!k->no_date && !p->has_date)
		to = put(to, http__date(x->server));
	if (k->server_name && !p->has_server) {
		to = put(to, SLICE_LIT("Server: "));
		to = put(to, slice_sub(slice_str(k->server_name), 0, 64));
		to = put(to, SLICE_LIT("\r\n"));
	}
	if (x->conn->close_after)
		to = put(to, SLICE_LIT("Connection: close\r\n"));
	else if (x->head.old_keep_alive)
		to = put(to, SLICE_LIT("Connection: keep-alive\r\n"));
	return put(to, SLICE_LIT("\r\n"));
}

bool http_respond_head(struct http_exchange *x, unsigned status, const struct http_field *fields, uint32_t n, uint64_t length, struct err *e)
{
	struct head_plan p = {0};
	if (x->head_given)
		return err_set(e, ERR_USAGE, "the response has a head already");
	if (status < 200 || status > 599)
		return err_set(e, ERR_INVALID, "status %u is not one of 200..599", status);
	x->kind = x->head.req.is_head || status == 304 ? BODY_NONE : BODY_LENGTH;
	if (!plan_head(x, &p, fields, n, length, e))
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
	c->out_len = (size_t)(put_head(x, to, status, fields, n, &p) - c->out->data);
	http__conn_turn_later(c);
	return true;
}

// ---- response body ---------------------------------------------------------------------------------------------------------------

size_t http_body_permit(struct http_exchange *x)
{
	size_t pending = x->conn ? http__conn_pending(x->conn) : 0;
	size_t room = HTTP_WINDOW - min_u64(pending, HTTP_WINDOW);
	if (room >= PERMIT_MIN)
		return room;
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

static enum http_write send_data(struct http_exchange *x, struct slice data)
{
	struct http_conn *c = x->conn;
	uint8_t head[20];
	size_t head_len = x->kind == BODY_CHUNKED ? chunk_head(head, data.len) : 0, tail_len = head_len ? 2 : 0;
	if (data.len >= GATHER_MIN) {
		struct iovec parts[3] = {{head, head_len}, {UNCONST(data.ptr), data.len}, {"\r\n", tail_len}};
		return http__out_gather(c, parts + !head_len, head_len ? 3 : 1) ? HTTP_WRITE_OK : HTTP_WRITE_CLOSED;
	}
	uint8_t *to = http__out_reserve(c, head_len + data.len + tail_len);
	if (!to)
		return HTTP_WRITE_CLOSED;
	to = put(to, slice_of(head, head_len));
	to = put(to, data);
	to = put(to, slice_of("\r\n", tail_len));
	c->out_len = (size_t)(to - c->out->data);
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
	if (data.len > HTTP_WINDOW - min_u64(http__conn_pending(x->conn), HTTP_WINDOW))
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
	if (x->want_writable && http__conn_pending(c) <= HTTP_WINDOW - PERMIT_MIN) {
		x->want_writable = false;
		if (x->ops && x->ops->on_writable)
			x->ops->on_writable(x->user, x);
	}
}

static bool put_trailers(struct http_exchange *x, const struct http_field *trailers, uint32_t n)
{
	struct http_conn *c = x->conn;
	size_t bytes = 0;
	if (n > HTTP_FIELDS_MAX)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		if (!http_field_name_is_valid(trailers[i].name) || !http_field_value_is_valid(trailers[i].value))
			return false;
		bytes += trailers[i].name.len + trailers[i].value.len + 4;
	}
	if (bytes > HTTP_HEAD_MAX / 2)
		return false;
	if (!x->head.req.accepts_trailers)
		n = 0;
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

bool http_body_finish(struct http_exchange *x, const struct http_field *trailers, uint32_t n)
{
	BUG_ON(!x->head_given);
	if (!x->conn || x->finished)
		return true;
	bool ok = !x->bad_length && (x->kind != BODY_LENGTH || x->written == x->length);
	if (!ok || (x->kind == BODY_CHUNKED && !put_trailers(x, trailers, n))) {
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
