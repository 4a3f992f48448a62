// What has come on an HTTP/1 connection and is not consumed: one buffer, c->in. A head stays where it is from the moment it is parsed, since slices
// point into it; its block stays with an exchange that somebody holds beyond the answer. An idle connection without input holds no block.
#include "h1.h"

bool h1_raw_has_room(const struct h1_conn *c)
{
	return !c->in || h1_raw_len(c) < BLOCK_IN - 1024;
}

void h1_drop_input(struct h1_conn *c)
{
	if (c->in && (!c->x || c->in != c->x->head_block))
		http__block_put(c->conn.server, c->in);
	c->in = NULL;
	c->in_start = c->in_len = 0;
}

static void move_to_front(struct h1_conn *c)
{
	size_t n = h1_raw_len(c);
	memmove(c->in->data, c->in->data + c->in_start, n);
	c->in_start = 0;
	c->in_len = n;
}

static void move_to(struct h1_conn *c, struct block *to)
{
	size_t n = h1_raw_len(c);
	memcpy(to->data, c->in->data + c->in_start, n);
	c->in = to;
	c->in_start = 0;
	c->in_len = n;
}

bool h1_head_room(struct h1_conn *c)
{
	struct http_server *s = c->conn.server;
	if (c->in_start > 0 && c->in_len == c->in->cap)
		move_to_front(c);
	if (c->in_len < c->in->cap)
		return true;
	struct block *old = c->in, *b = http__block_get(s, old->cap < BLOCK_SMALL ? BLOCK_SMALL : BLOCK_IN);
	if (!b || b->cap <= c->in_len) {
		http__block_put(s, b);
		return false;
	}
	move_to(c, b);
	http__block_put(s, old);
	return true;
}

bool h1_take_first(struct h1_conn *c, const uint8_t *p, size_t n)
{
	c->in = http__block_get(c->conn.server, n);
	if (!c->in)
		return false;
	memcpy(c->in->data, p, n);
	c->in_start = 0;
	c->in_len = n;
	return true;
}

bool h1_body_room(struct h1_conn *c)
{
	struct h1_exchange *h = c->x;
	bool shared = c->in == h->head_block;
	size_t n = h1_raw_len(c), base = shared ? h->head_end : 0;
	if (n == 0)
		c->in_start = c->in_len = base;
	bool fits = shared && n == 0 && h->body.state == H1_BODY_LENGTH && h->body.left <= c->in->cap - base;
	if (!shared || fits || (n > 0 && c->in_len < c->in->cap)) {
		if (!shared && c->in_len == c->in->cap && c->in_start > 0)
			move_to_front(c);
		return true;
	}
	struct block *b = http__block_get(c->conn.server, BLOCK_IN);
	if (!b)
		return false;
	move_to(c, b);
	return true;
}

bool h1_take_leftover(struct h1_conn *c, struct h1_exchange *h)
{
	struct http_server *s = c->conn.server;
	struct block *from = c->in;
	bool more = h1_raw_len(c) > 0, keeps = h->x.owned && from == h->head_block;
	if (more && keeps) {
		struct block *to = http__block_get(s, from->cap);
		if (to)
			move_to(c, to);
		else
			c->in = NULL, c->in_start = c->in_len = 0;
		return to != NULL;
	}
	if (from == h->head_block && !keeps)
		h->head_block = NULL;
	if (!more) {
		if (!keeps)
			http__block_put(s, from);
		c->in = NULL;
		c->in_start = c->in_len = 0;
	}
	return true;
}

bool h1_receive(struct h1_conn *c)
{
	int64_t got = http__conn_recv(&c->conn, c->in->data + c->in_len, c->in->cap - c->in_len);
	if (got <= 0)
		return false;
	c->in_len += (size_t)got;
	return true;
}

// ---- bodies ----------------------------------------------------------------------------------------------------------------------

static bool take_trailers(struct h1_exchange *h, struct slice raw, size_t len, unsigned *ret_status)
{
	struct http_server *s = h->x.server;
	if (len > 2) {
		size_t table = HTTP_FIELDS_MAX * sizeof(struct http_field);
		struct block *b = http__block_get(s, table + len);
		if (!b) {
			*ret_status = 503;
			return false;
		}
		h->trailer_block = b;
		memcpy(b->data + table, raw.ptr, len);
		*ret_status = h1_trailers_parse(b->data + table, len, (void *)b->data, h->conn->conn.limits.fields, &h->trailer_count);
		if (*ret_status)
			return false;
	}
	h->conn->in_start += len;
	h1_body_end(&h->body);
	return true;
}

bool h1_body_advance(struct h1_exchange *h, unsigned *ret_status, const char **ret_detail)
{
	struct h1_conn *c = h->conn;
	const struct http_limits *l = &c->conn.limits;
	struct slice raw = h1_raw(c);
	if (!h1_body_in_data(&h->body)) {
		c->in_start += h1_body_frame(&h->body, raw.ptr, raw.len);
		raw = h1_raw(c);
	}
	*ret_status = 400;
	*ret_detail = "malformed chunk";
	if (h->body.state == H1_BODY_BAD)
		return false;
	uint64_t max = l->body_bytes;
	if (!h->x.discarded && h1_body_in_data(&h->body) && (h->body.total > max || h->body.left > max - h->body.total)) {
		*ret_status = 413;
		*ret_detail = "the body is longer than allowed";
		return false;
	}
	if (h->body.state != H1_BODY_TRAILERS)
		return true;
	*ret_detail = "malformed trailers";
	int64_t n = h1_head_scan(&h->trailer_scan, raw.ptr, raw.len, l->head_bytes, true);
	if (n < 0)
		*ret_status = (unsigned)-n;
	return n == H1_MORE || (n > 0 && take_trailers(h, raw, (size_t)n, ret_status));
}

bool h1_body_has_come(const struct h1_exchange *h)
{
	struct h1_body b = h->body;
	struct h1_scan scan = h->trailer_scan;
	struct slice raw = h1_raw(h->conn);
	while (raw.len && b.state != H1_BODY_DONE && b.state != H1_BODY_TRAILERS && b.state != H1_BODY_BAD) {
		bool is_data = h1_body_in_data(&b);
		size_t n = is_data ? min_u64(b.left, raw.len) : h1_body_frame(&b, raw.ptr, raw.len);
		if (is_data)
			h1_body_take(&b, n);
		raw = slice_sub(raw, n, raw.len - n);
	}
	if (b.state == H1_BODY_TRAILERS)
		return h1_head_scan(&scan, raw.ptr, raw.len, h->conn->conn.limits.head_bytes, true) != H1_MORE;
	return b.state == H1_BODY_DONE || b.state == H1_BODY_BAD;
}

bool h1_skip_body(struct h1_exchange *h)
{
	struct h1_conn *c = h->conn;
	unsigned status;
	const char *detail;
	h->x.discarded = true;
	while (!h1_has_ended(h)) {
		if (h1_body_in_data(&h->body)) {
			size_t n = min_u64(h->body.left, h1_raw_len(c));
			if (n == 0)
				return true;
			h1_body_take(&h->body, n);
			c->in_start += n;
		}
		size_t before = h1_raw_len(c);
		enum h1_body_state state = h->body.state;
		if (!h1_body_advance(h, &status, &detail))
			return false;
		if (h1_raw_len(c) == before && h->body.state == state && !h1_body_in_data(&h->body))
			return true;
	}
	return true;
}
