// Passes what it is asked on to the server that the variable UPSTREAM of its environment names, and the answer back: GET / asks http://$UPSTREAM/. It copies what
// comes to what goes as far as that takes it, and holds no body. A GET or HEAD goes without one.
#include "fetch.h"

#include <stdlib.h>
#include <string.h>

#define LIST_U8 fetch_list_u8_t
#include "respond.h"

enum { PIECE = 65536 };

static void copy(wasi_io_streams_own_input_stream_t from, wasi_io_streams_own_output_stream_t to)
{
	uint64_t n;
	wasi_io_streams_stream_error_t over;
	while (wasi_io_streams_method_output_stream_blocking_splice(wasi_io_streams_borrow_output_stream(to), wasi_io_streams_borrow_input_stream(from), PIECE, &n, &over))
		;
}

// ---- the request ---------------------------------------------------------------------------------------------------------------------------------

static bool upstream(fetch_string_t *ret)
{
	fetch_list_tuple2_string_string_t env;
	wasi_cli_environment_get_environment(&env);
	for (size_t i = 0; i < env.len; i++)
		if (env.ptr[i].f0.len == strlen("UPSTREAM") && memcmp(env.ptr[i].f0.ptr, "UPSTREAM", strlen("UPSTREAM")) == 0) {
			*ret = env.ptr[i].f1;
			return true;
		}
	return false;
}

static bool has_body(const wasi_http_types_method_t *m)
{
	return m->tag != WASI_HTTP_TYPES_METHOD_GET && m->tag != WASI_HTTP_TYPES_METHOD_HEAD;
}

static wasi_http_types_own_outgoing_request_t request_like(wasi_http_types_borrow_incoming_request_t from, wasi_http_types_method_t *method, fetch_string_t *authority)
{
	wasi_http_types_scheme_t http = {.tag = WASI_HTTP_TYPES_SCHEME_HTTP};
	wasi_http_types_own_outgoing_request_t made = wasi_http_types_constructor_outgoing_request(wasi_http_types_constructor_fields());
	wasi_http_types_borrow_outgoing_request_t r = wasi_http_types_borrow_outgoing_request(made);
	fetch_string_t path;
	wasi_http_types_method_incoming_request_method(from, method);
	wasi_http_types_method_outgoing_request_set_method(r, method);
	wasi_http_types_method_outgoing_request_set_scheme(r, &http);
	wasi_http_types_method_outgoing_request_set_authority(r, authority);
	if (wasi_http_types_method_incoming_request_path_with_query(from, &path))
		wasi_http_types_method_outgoing_request_set_path_with_query(r, &path);
	return made;
}

static void send_body(wasi_http_types_borrow_incoming_request_t from, wasi_http_types_own_outgoing_body_t to)
{
	wasi_http_types_own_incoming_body_t in;
	wasi_io_streams_own_input_stream_t input;
	wasi_io_streams_own_output_stream_t output;
	wasi_http_types_error_code_t lost;
	wasi_http_types_method_incoming_request_consume(from, &in);
	wasi_http_types_method_incoming_body_stream(wasi_http_types_borrow_incoming_body(in), &input);
	wasi_http_types_method_outgoing_body_write(wasi_http_types_borrow_outgoing_body(to), &output);
	copy(input, output);
	wasi_io_streams_input_stream_drop_own(input);
	wasi_io_streams_output_stream_drop_own(output);
	wasi_http_types_incoming_body_drop_own(in);
	wasi_http_types_static_outgoing_body_finish(to, NULL, &lost);
}

// ---- the answer ----------------------------------------------------------------------------------------------------------------------------------

static bool wait_for(wasi_http_types_own_future_incoming_response_t future, wasi_http_types_own_incoming_response_t *ret)
{
	wasi_http_types_borrow_future_incoming_response_t f = wasi_http_types_borrow_future_incoming_response(future);
	wasi_http_types_result_result_own_incoming_response_error_code_void_t got;
	wasi_io_poll_own_pollable_t ready = wasi_http_types_method_future_incoming_response_subscribe(f);
	wasi_io_poll_method_pollable_block(wasi_io_poll_borrow_pollable(ready));
	wasi_io_poll_pollable_drop_own(ready);
	bool ok = wasi_http_types_method_future_incoming_response_get(f, &got) && !got.is_err && !got.val.ok.is_err;
	if (ok)
		*ret = got.val.ok.val.ok;
	wasi_http_types_future_incoming_response_drop_own(future);
	return ok;
}

static void pass_back(wasi_http_types_own_incoming_response_t from, own_outparam out)
{
	wasi_http_types_borrow_incoming_response_t f = wasi_http_types_borrow_incoming_response(from);
	wasi_http_types_own_fields_t theirs = wasi_http_types_method_incoming_response_headers(f);
	wasi_http_types_own_fields_t fields = wasi_http_types_method_fields_clone(wasi_http_types_borrow_fields(theirs));
	wasi_http_types_own_outgoing_response_t response = wasi_http_types_constructor_outgoing_response(fields);
	wasi_http_types_own_outgoing_body_t to;
	wasi_http_types_own_incoming_body_t in;
	wasi_io_streams_own_input_stream_t input;
	wasi_io_streams_own_output_stream_t output;
	wasi_http_types_error_code_t lost;
	wasi_http_types_method_outgoing_response_set_status_code(wasi_http_types_borrow_outgoing_response(response), wasi_http_types_method_incoming_response_status(f));
	wasi_http_types_method_outgoing_response_body(wasi_http_types_borrow_outgoing_response(response), &to);
	wasi_http_types_result_own_outgoing_response_error_code_t ok = {.is_err = false, .val.ok = response};
	wasi_http_types_static_response_outparam_set(out, &ok);
	wasi_http_types_method_incoming_response_consume(f, &in);
	wasi_http_types_method_incoming_body_stream(wasi_http_types_borrow_incoming_body(in), &input);
	wasi_http_types_method_outgoing_body_write(wasi_http_types_borrow_outgoing_body(to), &output);
	copy(input, output);
	wasi_io_streams_input_stream_drop_own(input);
	wasi_io_streams_output_stream_drop_own(output);
	wasi_http_types_static_outgoing_body_finish(to, NULL, &lost);
}

static void refuse(own_outparam out, const wasi_http_types_error_code_t *why)
{
	if (why->tag == WASI_HTTP_TYPES_ERROR_CODE_HTTP_REQUEST_DENIED)
		respond(out, 403, "denied\n", strlen("denied\n"));
	else if (why->tag == WASI_HTTP_TYPES_ERROR_CODE_INTERNAL_ERROR && why->val.internal_error.is_some)
		respond(out, 502, (const char *)why->val.internal_error.val.ptr, why->val.internal_error.val.len);
	else
		respond(out, 502, "not sent\n", strlen("not sent\n"));
}

void exports_wasi_http_incoming_handler_handle(own_request request, own_outparam out)
{
	wasi_http_types_borrow_incoming_request_t from = wasi_http_types_borrow_incoming_request(request);
	wasi_http_types_own_outgoing_body_t body;
	wasi_http_types_own_future_incoming_response_t future;
	wasi_http_types_own_incoming_response_t answer;
	wasi_http_types_method_t method;
	wasi_http_types_error_code_t why;
	fetch_string_t authority;
	if (!upstream(&authority)) {
		respond(out, 500, "UPSTREAM is not set\n", strlen("UPSTREAM is not set\n"));
		return;
	}
	wasi_http_types_own_outgoing_request_t made = request_like(from, &method, &authority);
	bool with_body = has_body(&method) && wasi_http_types_method_outgoing_request_body(wasi_http_types_borrow_outgoing_request(made), &body);
	if (!wasi_http_outgoing_handler_handle(made, NULL, &future, &why)) {
		refuse(out, &why);
		return;
	}
	if (with_body)
		send_body(from, body);
	if (wait_for(future, &answer))
		pass_back(answer, out);
	else
		respond(out, 502, "no answer\n", strlen("no answer\n"));
}
