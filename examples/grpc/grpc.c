// A server of gRPC: the four kinds of call, over HTTP/2 with trailers. README.md beside this file says what the methods do.
#include "grpc.h"

#include <string.h>

enum { MESSAGE_MAX = 1 << 20, READ = 65536, WRITE = 4096 };  // WRITE: the most that one blocking write takes

typedef exports_wasi_http_incoming_handler_own_incoming_request_t own_request;
typedef exports_wasi_http_incoming_handler_own_response_outparam_t own_outparam;
typedef wasi_io_streams_own_input_stream_t own_input;
typedef wasi_io_streams_own_output_stream_t own_output;

enum status { OK = 0, INVALID_ARGUMENT = 3, PERMISSION_DENIED = 7, RESOURCE_EXHAUSTED = 8, UNIMPLEMENTED = 12 };

struct call {
	own_input from;
	own_output to;
	size_t start, end;  // in[start..end) was read and is not a message yet
};
static uint8_t in[READ + MESSAGE_MAX + 8], joined[MESSAGE_MAX];

size_t heap_mark(void);
void heap_release(size_t mark);

// ---- messages: a byte that says whether it is compressed, four of its length, and it -----------------------------------------------------------

// false: the body has ended before.
static bool have(struct call *c, size_t n)
{
	while (c->end - c->start < n) {
		grpc_list_u8_t piece;
		wasi_io_streams_stream_error_t error;
		size_t mark = heap_mark();
		c->end -= c->start;
		for (size_t i = 0; c->start && i < c->end; i++)
			in[i] = in[c->start + i];
		c->start = 0;
		if (!wasi_io_streams_method_input_stream_blocking_read(wasi_io_streams_borrow_input_stream(c->from), READ, &piece, &error))
			return false;
		memcpy(in + c->end, piece.ptr, piece.len);
		c->end += piece.len;
		heap_release(mark);
	}
	return true;
}

// The next; it stays where it is until the one after it. false: there is none, or (*ret_bad) none that we take.
static bool next(struct call *c, grpc_list_u8_t *ret, enum status *ret_bad)
{
	*ret_bad = OK;
	if (!have(c, 5)) {
		if (c->end > c->start)
			*ret_bad = INVALID_ARGUMENT;
		return false;
	}
	const uint8_t *head = in + c->start;
	size_t n = (size_t)head[1] << 24 | (size_t)head[2] << 16 | (size_t)head[3] << 8 | head[4];
	*ret_bad = head[0] ? UNIMPLEMENTED : n > MESSAGE_MAX ? RESOURCE_EXHAUSTED : OK;
	if (*ret_bad)
		return false;
	if (!have(c, 5 + n)) {
		*ret_bad = INVALID_ARGUMENT;
		return false;
	}
	*ret = (grpc_list_u8_t){in + c->start + 5, n};
	c->start += 5 + n;
	return true;
}

static void write(struct call *c, uint8_t *at, size_t n)
{
	for (size_t piece; n; at += piece, n -= piece) {
		piece = n < WRITE ? n : WRITE;
		grpc_list_u8_t chunk = {at, piece};
		wasi_io_streams_stream_error_t error;
		if (!wasi_io_streams_method_output_stream_blocking_write_and_flush(wasi_io_streams_borrow_output_stream(c->to), &chunk, &error))
			return;
	}
}

static void send(struct call *c, uint8_t *at, size_t n)
{
	uint8_t head[5] = {0, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
	write(c, head, sizeof head);
	write(c, at, n);
}

// ---- methods -----------------------------------------------------------------------------------------------------------------------------------

static enum status one(struct call *c)
{
	grpc_list_u8_t m;
	enum status bad;
	if (next(c, &m, &bad))
		send(c, m.ptr, m.len);
	return bad;
}

static enum status join(struct call *c)
{
	grpc_list_u8_t m;
	enum status bad;
	size_t n = 0;
	while (next(c, &m, &bad)) {
		if (m.len > sizeof joined - n)
			return RESOURCE_EXHAUSTED;
		memcpy(joined + n, m.ptr, m.len);
		n += m.len;
	}
	if (!bad)
		send(c, joined, n);
	return bad;
}

static enum status split(struct call *c)
{
	grpc_list_u8_t m;
	enum status bad;
	if (next(c, &m, &bad))
		for (size_t i = 0; i < m.len; i++)
			send(c, m.ptr + i, 1);
	return bad;
}

static enum status each(struct call *c)
{
	grpc_list_u8_t m;
	enum status bad;
	while (next(c, &m, &bad))
		send(c, m.ptr, m.len);
	return bad;
}

static enum status fail(struct call *c)
{
	(void)c;
	return PERMISSION_DENIED;
}

static enum status unknown(struct call *c)
{
	(void)c;
	return UNIMPLEMENTED;
}

static enum status (*method_of(const grpc_string_t *path))(struct call *)
{
	static const struct {
		const char *path;
		enum status (*fn)(struct call *);
	} methods[] = {{"/echo.Echo/One", one}, {"/echo.Echo/Join", join}, {"/echo.Echo/Split", split}, {"/echo.Echo/Each", each}, {"/echo.Echo/Fail", fail}};
	for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
		if (strlen(methods[i].path) == path->len && memcmp(methods[i].path, path->ptr, path->len) == 0)
			return methods[i].fn;
	return unknown;
}

// ---- the answer --------------------------------------------------------------------------------------------------------------------------------

static void append(wasi_http_types_own_fields_t fields, const char *name, const char *value)
{
	grpc_string_t n = {(uint8_t *)name, strlen(name)};
	wasi_http_types_field_value_t v = {(uint8_t *)value, strlen(value)};
	wasi_http_types_header_error_t refused;
	wasi_http_types_method_fields_append(wasi_http_types_borrow_fields(fields), &n, &v, &refused);
}

static own_output begin(own_outparam out, wasi_http_types_own_outgoing_body_t *ret_body)
{
	wasi_http_types_own_fields_t fields = wasi_http_types_constructor_fields();
	append(fields, "content-type", "application/grpc");
	wasi_http_types_own_outgoing_response_t response = wasi_http_types_constructor_outgoing_response(fields);
	wasi_http_types_method_outgoing_response_body(wasi_http_types_borrow_outgoing_response(response), ret_body);
	wasi_http_types_result_own_outgoing_response_error_code_t ok = {.is_err = false, .val.ok = response};
	wasi_http_types_static_response_outparam_set(out, &ok);
	own_output stream;
	wasi_http_types_method_outgoing_body_write(wasi_http_types_borrow_outgoing_body(*ret_body), &stream);
	return stream;
}

static void end(struct call *c, wasi_http_types_own_outgoing_body_t body, enum status status)
{
	char code[3] = {(char)('0' + status / 10), (char)('0' + status % 10), 0};
	wasi_http_types_own_fields_t trailers = wasi_http_types_constructor_fields();
	wasi_http_types_error_code_t error;
	wasi_io_streams_output_stream_drop_own(c->to);
	append(trailers, "grpc-status", status < 10 ? code + 1 : code);
	if (status)
		append(trailers, "grpc-message", "what this example has to say");
	wasi_http_types_static_outgoing_body_finish(body, &trailers, &error);
}

void exports_wasi_http_incoming_handler_handle(own_request request, own_outparam out)
{
	struct call c = {0};
	grpc_string_t path = {0};
	wasi_http_types_own_incoming_body_t from;
	wasi_http_types_own_outgoing_body_t to;
	wasi_http_types_borrow_incoming_request_t r = wasi_http_types_borrow_incoming_request(request);
	wasi_http_types_method_incoming_request_path_with_query(r, &path);
	wasi_http_types_method_incoming_request_consume(r, &from);
	wasi_http_types_method_incoming_body_stream(wasi_http_types_borrow_incoming_body(from), &c.from);
	c.to = begin(out, &to);
	end(&c, to, method_of(&path)(&c));
}
