// Parser of heads and trailers, RFC 9112 sections 2 to 7. Strict: what two readers could understand in two ways is refused (L80).
//
// Two phases. The scan runs over bytes as they come, checks that every line ends in CRLF, and finds the empty line. The parse runs once, over
// a complete head: so the outcome can't depend on how the bytes were cut into pieces.
#include "h1.h"

// ---- scan ------------------------------------------------------------------------------------------------------------------------

// The head goes beyond the limit: is it a line too long, or the fields (RFC 9112, 3)?
static int64_t too_large(const struct h1_scan *s, const uint8_t *p, size_t len, bool trailers)
{
	if (trailers || s->at > s->start)
		return H1_TOO_LARGE;
	return memchr(p + s->start, ' ', len - s->start) ? H1_TARGET_TOO_LONG : H1_METHOD_TOO_LONG;
}

bool h1_is_head_request(const uint8_t *p, size_t len)
{
	return len >= 5 && memcmp(p, "HEAD ", 5) == 0;
}

int64_t h1_head_scan(struct h1_scan *s, const uint8_t *p, size_t len, size_t max, bool trailers)
{
	if (!trailers && s->at == 0 && s->start == 0) {
		if (len == 0)
			return H1_MORE;
		if (p[0] == '\r') {  // one empty line before the request is ignored (RFC 9112, 2.2)
			if (len == 1)
				return H1_MORE;
			if (p[1] != '\n')
				return H1_BAD;
			if (len == 2)
				return H1_MORE;
			s->start = s->at = 2;
		}
		if (!(http__char[p[s->start]] & CH_TOKEN))  // also what speaks TLS to us
			return H1_BAD;
	}
	for (;;) {
		const uint8_t *lf = s->at < len ? memchr(p + s->at, '\n', len - s->at) : NULL;
		if (!lf)
			return len - s->start >= max ? too_large(s, p, len, trailers) : H1_MORE;
		size_t end = (size_t)(lf - p) + 1;
		if (end - s->start > max)
			return too_large(s, p, end, trailers);
		if (end - s->at < 2 || lf[-1] != '\r')
			return H1_BAD;
		bool empty = end - s->at == 2;
		s->at = end;
		if (empty)
			return (int64_t)end;
	}
}

// ---- fields ----------------------------------------------------------------------------------------------------------------------

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t';
}

const uint8_t *h1_field_parse(const uint8_t *p, const uint8_t *end, struct http_field *f)
{
	const uint8_t *name = p;
	while (http__char[*p] & CH_TOKEN)  // stops at CR at the latest
		p++;
	if (p == name || *p != ':')  // empty name, white space before the colon, a folded line
		return NULL;
	f->name = slice_of(name, (size_t)(p - name));
	p++;
	while (is_space(*p))
		p++;
	const uint8_t *value = p;
	p = http__value_end(p, end);
	if (end - p < 2 || p[0] != '\r' || p[1] != '\n')
		return NULL;
	const uint8_t *last = p;
	while (last > value && is_space(last[-1]))
		last--;
	f->value = slice_of(value, (size_t)(last - value));
	return p + 2;
}

bool h1_list_next(struct slice *rest, struct slice *ret)
{
	while (rest->len) {
		size_t n = slice_find(*rest, ',');
		struct slice one = slice_sub(*rest, 0, n);
		*rest = slice_sub(*rest, n + 1, rest->len);
		while (one.len && is_space(one.ptr[0]))
			one = slice_sub(one, 1, one.len);
		while (one.len && is_space(one.ptr[one.len - 1]))
			one.len--;
		if (one.len) {
			*ret = one;
			return true;
		}
	}
	return false;
}

// ---- what the fields mean --------------------------------------------------------------------------------------------------------

struct meaning {
	uint32_t hosts, lengths, codings;
	struct slice host;
	struct slice coding;  // the value of the last Transfer-Encoding
	bool coding_is_plain; // exactly "chunked"
	bool close, keep_alive;
};

static unsigned refuse(struct h1_head *h, unsigned status, const char *why)
{
	h->why = why;
	return status;
}

static unsigned on_host(struct h1_head *h, struct meaning *m, struct slice v)
{
	if (m->hosts++)
		return refuse(h, 400, "more than one Host field");
	if (!http_authority_is_valid(v, NULL, NULL))
		return refuse(h, 400, "malformed Host");
	m->host = v;
	return 0;
}

static unsigned on_length(struct h1_head *h, struct meaning *m, struct slice v)
{
	uint64_t n;
	if (!http_length_parse(v, &n))
		return refuse(h, 400, "malformed Content-Length");
	if (m->lengths++ && n != h->req.length)
		return refuse(h, 400, "Content-Length fields that differ");
	h->req.length = n;
	h->req.has_length = true;
	return 0;
}

static unsigned on_coding(struct h1_head *h, struct meaning *m, struct slice v)
{
	m->coding_is_plain = m->codings++ == 0 && http_name_eq(v, SLICE_LIT("chunked"));
	m->coding = v;
	return 0;
}

static unsigned on_connection(struct h1_head *h, struct meaning *m, struct slice v)
{
	struct slice one;
	while (h1_list_next(&v, &one)) {
		m->close |= http_name_eq(one, SLICE_LIT("close"));
		m->keep_alive |= http_name_eq(one, SLICE_LIT("keep-alive"));
	}
	return 0;
}

static unsigned on_expect(struct h1_head *h, struct meaning *m, struct slice v)
{
	if (!http_name_eq(v, SLICE_LIT("100-continue")))
		return refuse(h, 417, "unknown expectation");
	h->expects_continue = true;
	return 0;
}

static unsigned on_te(struct h1_head *h, struct meaning *m, struct slice v)
{
	struct slice one;
	while (h1_list_next(&v, &one))
		h->req.accepts_trailers |= http_name_eq(one, SLICE_LIT("trailers"));
	return 0;
}

// Names that mean something to the server, by length: most fields are dismissed by one comparison.
static unsigned understand(struct h1_head *h, struct meaning *m, const struct http_field *f)
{
	static const struct known {
		struct slice name;
		unsigned (*fn)(struct h1_head *h, struct meaning *m, struct slice v);
	} by_length[18] = {
		[2] = {{(const uint8_t *)"te", 2}, on_te},
		[4] = {{(const uint8_t *)"host", 4}, on_host},
		[6] = {{(const uint8_t *)"expect", 6}, on_expect},
		[10] = {{(const uint8_t *)"connection", 10}, on_connection},
		[14] = {{(const uint8_t *)"content-length", 14}, on_length},
		[17] = {{(const uint8_t *)"transfer-encoding", 17}, on_coding},
	};
	if (f->name.len >= ARRAY_LEN(by_length) || !by_length[f->name.len].fn || !http_name_eq(f->name, by_length[f->name.len].name))
		return 0;
	return by_length[f->name.len].fn(h, m, f->value);
}

// RFC 9112, 6.1 and 6.3.
static unsigned decide_framing(struct h1_head *h, const struct meaning *m)
{
	if (m->codings) {
		if (m->lengths)
			return refuse(h, 400, "both Transfer-Encoding and Content-Length");
		if (h->req.version == HTTP_1_0)
			return refuse(h, 400, "Transfer-Encoding in HTTP/1.0");
		if (!m->coding_is_plain) {
			struct slice rest = m->coding, one, last = {0};
			unsigned chunked = 0;
			while (h1_list_next(&rest, &one)) {
				last = one;
				chunked += http_name_eq(one, SLICE_LIT("chunked"));
			}
			if (chunked == 1 && http_name_eq(last, SLICE_LIT("chunked")) && m->codings == 1)
				return refuse(h, 501, "transfer coding not supported");
			return refuse(h, 400, "the final transfer coding is not one chunked");
		}
		h->chunked = true;
	}
	h->req.has_body = h->chunked || h->req.length > 0;
	if (!h->req.has_body || h->req.version == HTTP_1_0)
		h->expects_continue = false;
	h->keep_alive = !m->close && (h->req.version >= HTTP_1_1 || m->keep_alive);
	h->old_keep_alive = h->keep_alive && h->req.version == HTTP_1_0;
	return 0;
}

// ---- request line ----------------------------------------------------------------------------------------------------------------

// scheme "://" authority [path] ["?" query]: the authority replaces Host (RFC 9112, 3.2.2).
static unsigned parse_absolute(struct h1_head *h, uint8_t *t, size_t len)
{
	size_t skip;
	if (len > 7 && http_name_eq(slice_of(t, 7), SLICE_LIT("http://")))
		skip = 7;
	else if (len > 8 && http_name_eq(slice_of(t, 8), SLICE_LIT("https://")))
		skip = 8, h->req.https = true;
	else
		return refuse(h, 400, "malformed request target");
	uint8_t *a = t + skip, *end = t + len, *p = a;
	while (p < end && *p != '/' && *p != '?')
		p++;
	struct slice authority = slice_of(a, (size_t)(p - a));
	if (authority.len == 0 || !http_authority_is_valid(authority, NULL, NULL))
		return refuse(h, 400, "malformed authority");
	if (p < end && *p == '?') {  // no path, but a query: "/" needs a place, which the scheme has
		memmove(a - 1, a, authority.len);
		authority.ptr = a - 1;
		*--p = '/';
		h->moved = true;
	}
	h->req.authority = authority;
	h->req.target = p < end ? slice_of(p, (size_t)(end - p)) : SLICE_LIT("/");
	return 0;
}

static unsigned parse_target(struct h1_head *h, uint8_t *t, size_t len)
{
	struct slice s = slice_of(t, len);
	if (slice_eq(h->req.method, SLICE_LIT("CONNECT")))
		return refuse(h, 501, "CONNECT is not supported");
	h->req.target = s;
	if (t[0] == '/')
		return 0;
	if (len == 1 && t[0] == '*')
		return slice_eq(h->req.method, SLICE_LIT("OPTIONS")) ? 0 : refuse(h, 400, "malformed request target");
	return parse_absolute(h, t, len);
}

static unsigned parse_version(struct h1_head *h, const uint8_t *p, size_t len)
{
	if (len != 8 || memcmp(p, "HTTP/", 5) != 0 || p[5] < '0' || p[5] > '9' || p[6] != '.' || p[7] < '0' || p[7] > '9')
		return refuse(h, 400, "malformed request line");
	if (p[5] != '1')
		return refuse(h, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
	h->req.version = p[7] == '0' ? HTTP_1_0 : HTTP_1_1;
	return 0;
}

// method SP target SP version CRLF; exactly one space each.
static unsigned parse_request_line(uint8_t *p, uint8_t **ret_next, struct h1_head *h)
{
	uint8_t *method = p;
	while (http__char[*p] & CH_TOKEN)
		p++;
	if (p == method || *p != ' ')
		return refuse(h, 400, "malformed request line");
	h->req.method = slice_of(method, (size_t)(p - method));
	uint8_t *target = ++p;
	while (http__char[*p] & CH_TARGET)
		p++;
	if (p == target || *p != ' ')
		return refuse(h, 400, "malformed request target");
	uint8_t *version = p + 1, *end = version;
	while (http__char[*end] & CH_TARGET)
		end++;
	if (end[0] != '\r' || end[1] != '\n')
		return refuse(h, 400, "malformed request line");
	unsigned status = parse_version(h, version, (size_t)(end - version));
	if (status)
		return status;
	*ret_next = end + 2;
	h->req.is_head = slice_eq(h->req.method, SLICE_LIT("HEAD"));
	return parse_target(h, target, (size_t)(p - target));
}

void h1_head_restore(const struct h1_head *h)
{
	struct slice a = h->req.authority;
	if (!h->moved)
		return;
	uint8_t *at = UNCONST(a.ptr);
	memmove(at + 1, at, a.len);
	*at = '/';
}

unsigned h1_head_parse(uint8_t *p, size_t len, struct http_field *fields, uint32_t max_fields, struct h1_head *h)
{
	*h = (struct h1_head){0};
	struct meaning m = {0};
	const uint8_t *end = p + len;
	uint8_t *lines;
	unsigned status = parse_request_line(p, &lines, h);
	if (status)
		return status;
	const uint8_t *at = lines;
	while (*at != '\r') {  // the empty line
		if (h->req.field_count >= max_fields)
			return refuse(h, 431, "too many fields");
		struct http_field *f = &fields[h->req.field_count++];
		at = h1_field_parse(at, end, f);
		if (!at)
			return refuse(h, 400, "malformed field");
		status = understand(h, &m, f);
		if (status)
			return status;
	}
	if (end - at != 2)  // a line that begins with CR
		return refuse(h, 400, "malformed field");
	h->req.fields = fields;
	if (m.hosts == 0 && h->req.version >= HTTP_1_1)
		return refuse(h, 400, "no Host field");
	if (!h->req.authority.len)
		h->req.authority = m.host;
	return decide_framing(h, &m);
}

unsigned h1_trailers_parse(const uint8_t *p, size_t len, struct http_field *fields, uint32_t max_fields, uint32_t *ret_n)
{
	const uint8_t *end = p + len;
	uint32_t n = 0, seen = 0;
	while (*p != '\r') {
		struct http_field f;
		if (seen++ >= max_fields)
			return 431;
		p = h1_field_parse(p, end, &f);
		if (!p)
			return 400;
		if (!http__is_trailer_forbidden(f.name))
			fields[n++] = f;
	}
	if (end - p != 2)
		return 400;
	*ret_n = n;
	return 0;
}
