// Parser of answers' heads, RFC 9112 sections 4 and 6. As strict as that of requests: what two readers could understand in two ways is refused, since
// a connection that is used again would pass the misunderstanding on to others.
#include "h1.h"

#define IS_DIGIT(c) ((c) >= '0' && (c) <= '9')

struct meaning {
	uint32_t lengths, codings;
	struct slice coding;
	bool close, keep_alive;
};

// version SP status SP reason CRLF. The reason, and the space before it, may be missing: nothing can be misunderstood.
static const uint8_t *parse_status_line(const uint8_t *p, const uint8_t *end, struct h1_answer *a)
{
	if (end - p < 14 || memcmp(p, "HTTP/1.", 7) != 0 || !IS_DIGIT(p[7]) || p[8] != ' ' || !IS_DIGIT(p[9]) || !IS_DIGIT(p[10]) || !IS_DIGIT(p[11]))
		return NULL;
	a->version_minor = p[7] != '0';
	a->status = (unsigned)(p[9] - '0') * 100 + (unsigned)(p[10] - '0') * 10 + (unsigned)(p[11] - '0');
	if (a->status < 100 || (p[12] != ' ' && p[12] != '\r'))
		return NULL;
	p = http__value_end(p + 12, end);
	return end - p >= 2 && p[0] == '\r' && p[1] == '\n' ? p + 2 : NULL;
}

static enum http_failure on_length(struct h1_answer *a, struct meaning *m, struct slice v)
{
	uint64_t n;
	if (!http_length_parse(v, &n) || (m->lengths++ && n != a->length))
		return HTTP_FAILURE_HTTP_PROTOCOL_ERROR;
	a->has_length = true;
	a->length = n;
	return HTTP_FAILURE_NONE;
}

static enum http_failure understand(struct h1_answer *a, struct meaning *m, const struct http_field *f)
{
	struct slice one, v = f->value;
	if (http_name_eq(f->name, SLICE_LIT("content-length")))
		return on_length(a, m, v);
	if (http_name_eq(f->name, SLICE_LIT("transfer-encoding"))) {
		m->codings++;
		m->coding = v;
	} else if (http_name_eq(f->name, SLICE_LIT("connection"))) {
		while (h1_list_next(&v, &one)) {
			m->close |= http_name_eq(one, SLICE_LIT("close"));
			m->keep_alive |= http_name_eq(one, SLICE_LIT("keep-alive"));
		}
	}
	return HTTP_FAILURE_NONE;
}

// RFC 9112, 6.1 and 6.3.
static enum http_failure decide_framing(struct h1_answer *a, const struct meaning *m)
{
	a->keep_alive = !m->close && (a->version_minor >= 1 || m->keep_alive);
	if (!m->codings)
		return HTTP_FAILURE_NONE;
	if (m->lengths || m->codings > 1 || a->version_minor == 0)
		return HTTP_FAILURE_HTTP_PROTOCOL_ERROR;
	if (!http_name_eq(m->coding, SLICE_LIT("chunked")))
		return HTTP_FAILURE_HTTP_RESPONSE_TRANSFER_CODING;
	a->chunked = true;
	return HTTP_FAILURE_NONE;
}

enum http_failure h1_answer_parse(const uint8_t *p, size_t len, struct http_field *fields, uint32_t max_fields, struct h1_answer *ret)
{
	const uint8_t *end = p + len;
	struct meaning m = {0};
	*ret = (struct h1_answer){0};
	p = parse_status_line(p, end, ret);
	while (p && *p != '\r') {
		if (ret->n >= max_fields)
			return HTTP_FAILURE_HTTP_RESPONSE_HEADER_SECTION_SIZE;
		struct http_field *f = &fields[ret->n++];
		p = h1_field_parse(p, end, f);
		enum http_failure bad = p ? understand(ret, &m, f) : HTTP_FAILURE_HTTP_PROTOCOL_ERROR;
		if (bad)
			return bad;
	}
	return p && end - p == 2 ? decide_framing(ret, &m) : HTTP_FAILURE_HTTP_PROTOCOL_ERROR;
}
