// Answers of the server's own by HTTP/2: what they say, and how that is sent where their stream belongs to nobody any more.
#include "h2.h"

#define SAYS(status, reason, why) {status, why, #status " " reason ": " why "\n"}

// What nghttp2 pulls lies here: the streams of the requests, and who they were for, may be gone before it has left.
const struct h2_refusal h2_refusals[] = {
	[H2_AUTHORITY_MALFORMED] = SAYS(400, "Bad Request", "malformed authority"),
	[H2_TARGET_MALFORMED] = SAYS(400, "Bad Request", "malformed request target"),
	[H2_SCHEME_UNKNOWN] = SAYS(400, "Bad Request", "unknown scheme"),
	[H2_BODY_LATE] = SAYS(408, "Request Timeout", "the body did not arrive in time"),
	[H2_BODY_TOO_LONG] = SAYS(413, "Content Too Large", "the body is longer than allowed"),
	[H2_EXPECTATION_UNKNOWN] = SAYS(417, "Expectation Failed", "unknown expectation"),
	[H2_HEAD_TOO_LARGE] = SAYS(431, "Request Header Fields Too Large", "the head is too large"),
	[H2_TRAILERS_TOO_LARGE] = SAYS(431, "Request Header Fields Too Large", "the trailers are too large"),
	[H2_CONNECT_REFUSED] = SAYS(501, "Not Implemented", "CONNECT is not supported"),
};
_Static_assert(ARRAY_LEN(h2_refusals) == H2_REFUSALS, "each has its text");

static ssize_t on_pull(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t length, uint32_t *flags, nghttp2_data_source *source, void *user)
{
	const char *rest = source->ptr;
	size_t there = strlen(rest), n = min_u64(there, length);
	memcpy(buf, rest, n);
	source->ptr = UNCONST(rest + n);
	if (n == there)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static nghttp2_nv field(const char *name, struct slice value)
{
	return (nghttp2_nv){(uint8_t *)UNCONST(name), UNCONST(value.ptr), strlen(name), value.len, NGHTTP2_NV_FLAG_NONE};
}

bool h2_refusal_put(struct h2_stream *st, enum h2_refused why)
{
	const struct h2_refusal *r = &h2_refusals[why];
	struct http_server *s = st->x->server;
	struct slice date = http__date(s), method = st->head.pseudo[H2_METHOD];
	nghttp2_data_provider source = {.source.ptr = UNCONST(r->text), .read_callback = on_pull};
	char status[16], length[24];
	snprintf(status, sizeof status, "%u", r->status);
	snprintf(length, sizeof length, "%zu", strlen(r->text));
	nghttp2_nv list[4] = {
		field(":status", slice_str(status)),
		field("content-type", SLICE_LIT("text/plain")),
		field("content-length", slice_str(length)),
		field("date", slice_sub(date, 6, date.len - 8)),  // without name and end of line
	};
	bool is_head = slice_eq_str(method, "HEAD");
	return st->session->ng && nghttp2_submit_response(st->session->ng, st->id, list, s->config.no_date ? 3 : 4, is_head ? NULL : &source) == 0;
}
