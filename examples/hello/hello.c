// A small HTTP component: greets, echoes, counts. Straight on the bindings of wasi:http; ../lib is all of a libc that it needs.
// README.md beside this file has the commands that build hello.wasm from it.
#include "hello.h"

#include <string.h>

typedef exports_wasi_http_incoming_handler_own_incoming_request_t own_request;
typedef exports_wasi_http_incoming_handler_own_response_outparam_t own_outparam;

static unsigned requests_served;  // always 1 where each request has an instance of its own

static void add_header(wasi_http_types_own_fields_t fields, const char *name, const char *value)
{
	wasi_http_types_field_name_t n = {(uint8_t *)name, strlen(name)};
	wasi_http_types_field_value_t v = {(uint8_t *)value, strlen(value)};
	wasi_http_types_header_error_t error;
	wasi_http_types_method_fields_append(wasi_http_types_borrow_fields(fields), &n, &v, &error);
}

static void respond(own_outparam out, uint16_t status, const uint8_t *body, size_t len)
{
	wasi_http_types_own_fields_t fields = wasi_http_types_constructor_fields();
	add_header(fields, "content-type", "text/plain; charset=utf-8");
	wasi_http_types_own_outgoing_response_t response = wasi_http_types_constructor_outgoing_response(fields);
	wasi_http_types_borrow_outgoing_response_t borrowed = wasi_http_types_borrow_outgoing_response(response);
	wasi_http_types_method_outgoing_response_set_status_code(borrowed, status);
	wasi_http_types_own_outgoing_body_t outgoing;
	wasi_http_types_method_outgoing_response_body(borrowed, &outgoing);
	wasi_http_types_result_own_outgoing_response_error_code_t ok = {.is_err = false, .val.ok = response};
	wasi_http_types_static_response_outparam_set(out, &ok);

	wasi_io_streams_own_output_stream_t stream;
	wasi_http_types_method_outgoing_body_write(wasi_http_types_borrow_outgoing_body(outgoing), &stream);
	while (len) {
		size_t n = len > 4096 ? 4096 : len;  // the most that one call takes
		hello_list_u8_t chunk = {(uint8_t *)body, n};
		wasi_io_streams_stream_error_t error;
		if (!wasi_io_streams_method_output_stream_blocking_write_and_flush(wasi_io_streams_borrow_output_stream(stream), &chunk, &error))
			break;
		body += n;
		len -= n;
	}
	wasi_io_streams_output_stream_drop_own(stream);
	wasi_http_types_error_code_t error;
	wasi_http_types_static_outgoing_body_finish(outgoing, NULL, &error);
}

static void respond_text(own_outparam out, uint16_t status, const char *text)
{
	respond(out, status, (const uint8_t *)text, strlen(text));
}

static void echo(own_request request, own_outparam out)
{
	static uint8_t body[65536];
	size_t len = 0;
	wasi_http_types_own_incoming_body_t incoming;
	wasi_io_streams_own_input_stream_t stream;
	if (wasi_http_types_method_incoming_request_consume(wasi_http_types_borrow_incoming_request(request), &incoming) &&
		wasi_http_types_method_incoming_body_stream(wasi_http_types_borrow_incoming_body(incoming), &stream)) {
		hello_list_u8_t chunk;
		wasi_io_streams_stream_error_t error;
		while (len < sizeof body &&
			   wasi_io_streams_method_input_stream_blocking_read(wasi_io_streams_borrow_input_stream(stream), sizeof body - len, &chunk, &error)) {
			memcpy(body + len, chunk.ptr, chunk.len);
			len += chunk.len;
		}
		wasi_io_streams_input_stream_drop_own(stream);
		wasi_http_types_incoming_body_drop_own(incoming);
	}
	respond(out, 200, body, len);
}

static void count(own_outparam out)
{
	char text[32] = "requests of this instance: ";
	size_t n = strlen(text);
	text[n] = (char)('0' + (requests_served < 10 ? requests_served : 9));
	text[n + 1] = '\n';
	respond_text(out, 200, text);
}

void exports_wasi_http_incoming_handler_handle(own_request request, own_outparam out)
{
	hello_string_t path = {0};
	wasi_http_types_method_incoming_request_path_with_query(wasi_http_types_borrow_incoming_request(request), &path);
	requests_served++;
	if (path.len == 1)
		respond_text(out, 200, "Hello from a component!\n");
	else if (path.len == 5 && memcmp(path.ptr, "/echo", 5) == 0)
		echo(request, out);
	else if (path.len == 6 && memcmp(path.ptr, "/count", 6) == 0)
		count(out);
	else if (path.len == 5 && memcmp(path.ptr, "/trap", 5) == 0)
		__builtin_trap();
	else
		respond_text(out, 404, "nothing here; try /, /echo, /count or /trap\n");
}
