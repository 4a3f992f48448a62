// Stands between an app and the world: the app's requests go out through it, and it is wasi:http/client@0.3.0 to the app as the world is to it. What lies under
// /private/ is asked by nobody; all others get the field x-guarded, whatever they send: contents and trailers go on as the streams and futures that they are,
// and come by here only as such. Answers go back as they came.
#include "guard3.h"

#include <stdlib.h>
#include <string.h>

typedef wasi_http_types_own_request_t own_request;
typedef wasi_http_types_borrow_request_t borrowed_request;
typedef wasi_http_types_tuple2_stream_u8_future_result_option_own_trailers_error_code_t body_parts;

// A call, behind its task's context: it waits for the answer, then for what became of the request, which it tells who made it.
struct call {
	guard3_waitable_set_t set;
	wasi_http_client_result_own_response_error_code_t answer;
	wasi_http_types_future_result_void_error_code_t sent;
	wasi_http_types_future_result_void_error_code_writer_t tell;
	wasi_http_types_result_void_error_code_t how;
};

static bool is_private(borrowed_request r)
{
	guard3_string_t path;
	bool is = wasi_http_types_method_request_get_path_with_query(r, &path) && path.len >= strlen("/private/") &&
		memcmp(path.ptr, "/private/", strlen("/private/")) == 0;
	if (path.len)
		guard3_string_free(&path);
	return is;
}

static wasi_http_types_own_fields_t guarded_fields(borrowed_request of)
{
	guard3_string_t name = {(uint8_t *)"x-guarded", strlen("x-guarded")};
	wasi_http_types_field_value_t value = {(uint8_t *)"yes", strlen("yes")};
	wasi_http_types_header_error_t refused;
	wasi_http_types_own_fields_t theirs = wasi_http_types_method_request_get_headers(of);
	wasi_http_types_own_fields_t fields = wasi_http_types_method_fields_clone(wasi_http_types_borrow_fields(theirs));
	wasi_http_types_fields_drop_own(theirs);
	wasi_http_types_method_fields_append(wasi_http_types_borrow_fields(fields), &name, &value, &refused);
	return fields;
}

// What says where a request goes, and how.
struct head {
	wasi_http_types_method_t method;
	wasi_http_types_scheme_t scheme;
	guard3_string_t authority, path;
	wasi_http_types_own_request_options_t options;
	bool has_scheme, has_authority, has_path, has_options;
};

static struct head head_of(borrowed_request r)
{
	struct head h = {0};
	wasi_http_types_method_request_get_method(r, &h.method);
	h.has_scheme = wasi_http_types_method_request_get_scheme(r, &h.scheme);
	h.has_authority = wasi_http_types_method_request_get_authority(r, &h.authority);
	h.has_path = wasi_http_types_method_request_get_path_with_query(r, &h.path);
	h.has_options = wasi_http_types_method_request_get_options(r, &h.options);
	return h;
}

static void set_head(borrowed_request r, struct head *h)
{
	wasi_http_types_method_request_set_method(r, &h->method);
	wasi_http_types_method_request_set_scheme(r, h->has_scheme ? &h->scheme : NULL);
	wasi_http_types_method_request_set_authority(r, h->has_authority ? &h->authority : NULL);
	wasi_http_types_method_request_set_path_with_query(r, h->has_path ? &h->path : NULL);
	wasi_http_types_method_free(&h->method);
	if (h->has_scheme)
		wasi_http_types_scheme_free(&h->scheme);
	if (h->has_authority)
		guard3_string_free(&h->authority);
	if (h->has_path)
		guard3_string_free(&h->path);
}

// The same request with a field more.
static own_request guarded(struct call *c, own_request of)
{
	borrowed_request r = wasi_http_types_borrow_request(of);
	wasi_http_types_tuple2_own_request_future_result_void_error_code_t made;
	wasi_http_types_own_fields_t fields = guarded_fields(r);
	struct head h = head_of(r);
	body_parts body;
	wasi_http_types_static_request_consume_body(of, wasi_http_types_future_result_void_error_code_new(&c->tell), &body);
	wasi_http_types_static_request_new(fields, &body.f0, body.f1, h.has_options ? &h.options : NULL, &made);
	set_head(wasi_http_types_borrow_request(made.f0), &h);
	c->sent = made.f1;
	return made.f0;
}

// ---- the call, as a machine: each step begins something and says what follows ----------------------------------------------------------------------

static guard3_callback_code_t wait_for(struct call *c, uint32_t waitable)
{
	guard3_waitable_join(waitable, c->set);
	guard3_context_set_0(c);
	return GUARD3_CALLBACK_CODE_WAIT(c->set);
}

static guard3_callback_code_t told(struct call *c)
{
	wasi_http_types_future_result_void_error_code_drop_writable(c->tell);
	guard3_waitable_set_drop(c->set);
	free(c);
	return GUARD3_CALLBACK_CODE_EXIT;
}

static guard3_callback_code_t sent(struct call *c)
{
	wasi_http_types_future_result_void_error_code_drop_readable(c->sent);
	guard3_waitable_status_t status = wasi_http_types_future_result_void_error_code_write(c->tell, &c->how);
	return status == GUARD3_WAITABLE_STATUS_BLOCKED ? wait_for(c, c->tell) : told(c);
}

static guard3_callback_code_t answered(struct call *c)
{
	exports_wasi_http_client_result_own_response_error_code_t ret = {.is_err = c->answer.is_err};
	if (ret.is_err)
		ret.val.err = c->answer.val.err;
	else
		ret.val.ok = c->answer.val.ok;
	exports_wasi_http_client_send_return(ret);
	guard3_waitable_status_t status = wasi_http_types_future_result_void_error_code_read(c->sent, &c->how);
	return status == GUARD3_WAITABLE_STATUS_BLOCKED ? wait_for(c, c->sent) : sent(c);
}

guard3_callback_code_t exports_wasi_http_client_send(exports_wasi_http_client_own_request_t request)
{
	if (is_private(wasi_http_types_borrow_request(request))) {
		exports_wasi_http_client_result_own_response_error_code_t denied = {.is_err = true};
		denied.val.err.tag = WASI_HTTP_TYPES_ERROR_CODE_HTTP_REQUEST_DENIED;
		wasi_http_types_request_drop_own(request);
		exports_wasi_http_client_send_return(denied);
		return GUARD3_CALLBACK_CODE_EXIT;
	}
	struct call *c = malloc(sizeof *c);
	memset(c, 0, sizeof *c);
	c->set = guard3_waitable_set_new();
	guard3_subtask_status_t status = wasi_http_client_send(guarded(c, request), &c->answer);
	return GUARD3_SUBTASK_STATE(status) == GUARD3_SUBTASK_RETURNED ? answered(c) : wait_for(c, GUARD3_SUBTASK_HANDLE(status));
}

guard3_callback_code_t exports_wasi_http_client_send_callback(guard3_event_t *event)
{
	struct call *c = guard3_context_get_0();
	if (event->event == GUARD3_EVENT_SUBTASK && GUARD3_SUBTASK_STATE(event->code) != GUARD3_SUBTASK_RETURNED)
		return wait_for(c, event->waitable);
	guard3_waitable_join(event->waitable, 0);
	switch (event->event) {
	case GUARD3_EVENT_SUBTASK:
		guard3_subtask_drop(event->waitable);
		return answered(c);
	case GUARD3_EVENT_FUTURE_READ:
		return sent(c);
	case GUARD3_EVENT_FUTURE_WRITE:
		return told(c);
	default:
		__builtin_trap();
	}
}
