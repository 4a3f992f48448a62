// An answer of one piece, on the bindings of wasi:http. Before it is included: #define LIST_U8, the bindings' type of list<u8>.
#ifndef EXAMPLES_RESPOND_H
#define EXAMPLES_RESPOND_H
#include <string.h>

typedef exports_wasi_http_incoming_handler_own_incoming_request_t own_request;
typedef exports_wasi_http_incoming_handler_own_response_outparam_t own_outparam;

static void respond(own_outparam out, uint16_t status, const char *text, size_t len)
{
	wasi_http_types_own_fields_t fields = wasi_http_types_constructor_fields();
	wasi_http_types_field_name_t name = {(uint8_t *)"content-type", strlen("content-type")};
	wasi_http_types_field_value_t value = {(uint8_t *)"text/plain; charset=utf-8", strlen("text/plain; charset=utf-8")};
	wasi_http_types_header_error_t refused;
	wasi_http_types_method_fields_append(wasi_http_types_borrow_fields(fields), &name, &value, &refused);

	wasi_http_types_own_outgoing_response_t response = wasi_http_types_constructor_outgoing_response(fields);
	wasi_http_types_borrow_outgoing_response_t borrowed = wasi_http_types_borrow_outgoing_response(response);
	wasi_http_types_own_outgoing_body_t body;
	wasi_http_types_method_outgoing_response_set_status_code(borrowed, status);
	wasi_http_types_method_outgoing_response_body(borrowed, &body);
	wasi_http_types_result_own_outgoing_response_error_code_t ok = {.is_err = false, .val.ok = response};
	wasi_http_types_static_response_outparam_set(out, &ok);

	wasi_io_streams_own_output_stream_t stream;
	wasi_io_streams_stream_error_t lost;
	wasi_http_types_error_code_t failed;
	LIST_U8 bytes = {(uint8_t *)text, len < 4096 ? len : 4096};  // the most that one call takes
	wasi_http_types_method_outgoing_body_write(wasi_http_types_borrow_outgoing_body(body), &stream);
	wasi_io_streams_method_output_stream_blocking_write_and_flush(wasi_io_streams_borrow_output_stream(stream), &bytes, &lost);
	wasi_io_streams_output_stream_drop_own(stream);
	wasi_http_types_static_outgoing_body_finish(body, NULL, &failed);
}

#endif
