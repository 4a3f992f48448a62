// What is sent on an HTTP/1 connection: heads, chunks, trailers. The framing is the last thing in a head, and may be changed until it leaves.
#include "h1.h"

enum { GATHER_MIN = 8192, FLUSH_AT = 16384 };

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

uint8_t *h1_fields_put(uint8_t *to, const struct http_field *fields, uint32_t n)
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

// ---- head ------------------------------------------------------------------------------------------------------------------------

// Framing, Connection, the empty line.
static uint8_t *put_head_end(const struct h1_exchange *h, uint8_t *to, bool has_length, uint64_t length)
{
	if (has_length) {
		to = put(to, SLICE_LIT("Content-Length: "));
		to = put_number(to, length);
		to = put(to, SLICE_LIT("\r\n"));
	} else if (h->kind == H1_CHUNKED) {
		to = put(to, SLICE_LIT("Transfer-Encoding: chunked\r\n"));
	}
	if (h->conn->close_after || h->kind == H1_UNTIL_CLOSE)
		to = put(to, SLICE_LIT("Connection: close\r\n"));
	else if (h->head.old_keep_alive)
		to = put(to, SLICE_LIT("Connection: keep-alive\r\n"));
	return put(to, SLICE_LIT("\r\n"));
}

static uint8_t *put_lines(struct h1_exchange *h, uint8_t *to, const struct http_response *r)
{
	const struct http_server_config *k = &h->x.server->config;
	to = put(to, SLICE_LIT("HTTP/1.1 "));
	to = put_number(to, r->status);
	*to++ = ' ';
	to = put(to, slice_str(http__status_reason(r->status)));
	to = put(to, SLICE_LIT("\r\n"));
	to = h1_fields_put(to, r->fields, r->n);
	if (!k->no_date && !r->has_date)
		to = put(to, http__date(h->x.server));
	if (k->server_name && !r->has_server) {
		to = put(to, SLICE_LIT("Server: "));
		to = put(to, slice_sub(slice_str(k->server_name), 0, 64));
		to = put(to, SLICE_LIT("\r\n"));
	}
	return to;
}

bool h1_put_head(struct h1_exchange *h, const struct http_response *r)
{
	struct http_conn *c = &h->conn->conn;
	uint8_t *to = http__out_reserve(c, r->bytes + 512), *start = to;
	if (!to)
		return false;
	h->head_before = http__conn_pending(c);
	h->head_waits = c->watches_output = true;
	to = put_lines(h, to, r);
	h->head_lines = (size_t)(to - start);
	to = put_head_end(h, to, r->has_length, r->length);
	c->out_len += (size_t)(to - start);
	http__conn_turn_later(c);
	return true;
}

bool h1_put_continue(struct h1_conn *c)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
	c->conn.server->counters.continues++;
	return http__out_put(&c->conn, text, sizeof text - 1);
}

// If the body may still be read the 100 goes before the head, since after it it would be part of the answer's body. The client of an answer whose
// owner is through with it gets none.
bool h1_before_send(struct http_conn *conn)
{
	struct h1_conn *c = CONTAINER_OF(conn, struct h1_conn, conn);
	struct h1_exchange *h = c->x;
	if (LIKELY(!h || !h->must_continue) || !h->head_waits || !h->x.owned || h->x.discarded)
		return true;
	h->must_continue = false;
	size_t behind = http__conn_pending(conn) - h->head_before;
	if (!h1_put_continue(c))
		return false;
	uint8_t text[25], *end = conn->out->data + conn->out_len;
	memcpy(text, end - sizeof text, sizeof text);
	memmove(end - behind, end - behind - sizeof text, behind);
	memcpy(end - behind - sizeof text, text, sizeof text);
	h->head_before += sizeof text;
	return true;
}

void h1_sent(struct http_conn *conn, size_t n)
{
	struct h1_exchange *h = CONTAINER_OF(conn, struct h1_conn, conn)->x;
	if (h && h->head_waits && n <= h->head_before) {
		h->head_before -= n;
		return;
	}
	conn->watches_output = false;
	if (h)
		h->head_waits = false;
}

bool h1_put_error(struct h1_conn *h, unsigned status, const char *detail, bool no_body)
{
	struct http_conn *c = &h->conn;
	char body[256], head[512];
	int n = snprintf(body, sizeof body, "%u %s: %s\n", status, http__status_reason(status), detail);
	int m = snprintf(head, sizeof head, "HTTP/1.1 %u %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n", status,
		http__status_reason(status), n);
	if (!http__out_put(c, head, (size_t)m))
		return false;
	struct slice date = http__date(c->server);
	if (!c->server->config.no_date && !http__out_put(c, date.ptr, date.len))
		return false;
	return http__out_put(c, "\r\n", 2) && (no_body || http__out_put(c, body, (size_t)n));
}

// ---- body ------------------------------------------------------------------------------------------------------------------------

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

// At the end of the output: the last chunk gets longer if nothing of it was sent.
static bool put_chunk_or_more(struct http_conn *c, size_t *chunk, struct slice data)
{
	bool goes_on = *chunk && *chunk <= http__conn_loose(c);
	*chunk = goes_on ? add_to_chunk(c, *chunk, data) : put_chunk(c, data);
	return *chunk != 0;
}

// Without a copy of what the kernel takes.
static bool gather(struct http_conn *c, size_t *chunk, bool chunked, struct slice data)
{
	uint8_t head[20];
	size_t head_len = chunked ? chunk_head(head, data.len) : 0, tail_len = head_len ? 2 : 0;
	struct iovec parts[3] = {{head, head_len}, {UNCONST(data.ptr), data.len}, {"\r\n", tail_len}};
	size_t whole = head_len + data.len + tail_len;
	bool ok = http__out_gather(c, parts + !head_len, head_len ? 3 : 1);
	*chunk = chunked && ok && http__conn_loose(c) >= whole ? whole : 0;  // nothing of it has left: what follows makes it longer
	return ok;
}

bool h1_data_put(struct http_conn *c, size_t *chunk, bool chunked, struct slice data)
{
	if (data.len >= GATHER_MIN && !c->write_blocked)
		return gather(c, chunk, chunked, data);
	if (!(chunked ? put_chunk_or_more(c, chunk, data) : http__out_put(c, data.ptr, data.len)))
		return false;
	if (http__conn_pending(c) >= FLUSH_AT)
		return http__out_flush(c);
	http__conn_turn_later(c);
	return true;
}

bool h1_put_data(struct h1_exchange *h, struct slice data)
{
	return h1_data_put(&h->conn->conn, &h->chunk, h->kind == H1_CHUNKED, data);
}

// It stands behind the head as one piece: not where the kernel was offered some of it by itself, and took nothing.
static bool is_in_one_piece(const struct h1_exchange *h)
{
	uint8_t head[20];
	return h->kind != H1_CHUNKED || h->x.written == 0 || h->chunk == chunk_head(head, h->x.written) + h->x.written + 2;
}

// All of the body is known before anything of the answer has left: it gets its length instead of chunks, or of the end of the connection.
static bool settle_length(struct h1_exchange *h)
{
	struct http_conn *c = &h->conn->conn;
	uint64_t length = h->x.written;
	uint8_t *end = http__out_reserve(c, 128), new_end[128];
	if (!end)
		return false;
	uint8_t *lines_end = c->out->data + c->out_start + h->head_before + h->head_lines;
	uint8_t *data = end - (h->kind == H1_CHUNKED && length ? 2 : 0) - length;
	h->kind = H1_LENGTH;
	size_t n = (size_t)(put_head_end(h, new_end, true, length) - new_end);
	memmove(lines_end + n, data, length);
	memcpy(lines_end, new_end, n);
	c->out_len = (size_t)(lines_end + n + length - c->out->data);
	return true;
}

bool h1_trailers_put(struct http_conn *c, const struct http_field *trailers, uint32_t n, size_t bytes)
{
	uint8_t *to = http__out_reserve(c, bytes + 8);
	if (!to)
		return false;
	to = put(to, SLICE_LIT("0\r\n"));
	for (uint32_t i = 0; i < n; i++)
		if (!http__is_trailer_forbidden(trailers[i].name))
			to = h1_fields_put(to, &trailers[i], 1);
	to = put(to, SLICE_LIT("\r\n"));
	c->out_len = (size_t)(to - c->out->data);
	return true;
}

bool h1_put_end(struct h1_exchange *h, const struct http_field *trailers, uint32_t n, size_t bytes)
{
	if (h->kind != H1_CHUNKED && h->kind != H1_UNTIL_CLOSE)
		return true;
	if (!h->head.req.accepts_trailers)
		n = 0;
	if (n == 0 && h->head_waits && is_in_one_piece(h))
		return settle_length(h);
	if (h->kind == H1_CHUNKED)
		return h1_trailers_put(&h->conn->conn, trailers, n, bytes);
	h->conn->close_after = true;
	return true;
}
