// Stands between an app and the world: the app's requests go out through it, and it is wasi:http/outgoing-handler to the app as the world is to it. What lies under
// /private/ is asked by nobody. A request without a body gets the field x-guarded; one whose body the app has begun keeps its fields, which WASI lets nobody
// change, and goes on as it is. Bodies and answers don't come through here.
#include "guard.h"

#include <string.h>

typedef exports_wasi_http_outgoing_handler_own_outgoing_request_t own_request;
typedef wasi_http_types_borrow_outgoing_request_t borrowed_request;

static bool is_private(borrowed_request r)
{
	guard_string_t path;
	return wasi_http_types_method_outgoing_request_path_with_query(r, &path) && path.len >= strlen("/private/") &&
		memcmp(path.ptr, "/private/", strlen("/private/")) == 0;
}

static wasi_http_types_own_fields_t guarded_fields(borrowed_request of)
{
	guard_string_t name = {(uint8_t *)"x-guarded", strlen("x-guarded")};
	wasi_http_types_field_value_t value = {(uint8_t *)"yes", strlen("yes")};
	wasi_http_types_header_error_t refused;
	wasi_http_types_own_fields_t theirs = wasi_http_types_method_outgoing_request_headers(of);
	wasi_http_types_own_fields_t fields = wasi_http_types_method_fields_clone(wasi_http_types_borrow_fields(theirs));
	wasi_http_types_fields_drop_own(theirs);
	wasi_http_types_method_fields_append(wasi_http_types_borrow_fields(fields), &name, &value, &refused);
	return fields;
}

static own_request guarded(borrowed_request of)
{
	own_request made = wasi_http_types_constructor_outgoing_request(guarded_fields(of));
	borrowed_request r = wasi_http_types_borrow_outgoing_request(made);
	wasi_http_types_method_t method;
	wasi_http_types_scheme_t scheme;
	guard_string_t text;
	wasi_http_types_method_outgoing_request_method(of, &method);
	wasi_http_types_method_outgoing_request_set_method(r, &method);
	if (wasi_http_types_method_outgoing_request_scheme(of, &scheme))
		wasi_http_types_method_outgoing_request_set_scheme(r, &scheme);
	if (wasi_http_types_method_outgoing_request_authority(of, &text))
		wasi_http_types_method_outgoing_request_set_authority(r, &text);
	if (wasi_http_types_method_outgoing_request_path_with_query(of, &text))
		wasi_http_types_method_outgoing_request_set_path_with_query(r, &text);
	return made;
}

bool exports_wasi_http_outgoing_handler_handle(own_request request, exports_wasi_http_outgoing_handler_own_request_options_t *options,
	exports_wasi_http_outgoing_handler_own_future_incoming_response_t *ret, exports_wasi_http_outgoing_handler_error_code_t *err)
{
	borrowed_request r = wasi_http_types_borrow_outgoing_request(request);
	wasi_http_types_own_outgoing_body_t unused;
	if (is_private(r)) {
		wasi_http_types_outgoing_request_drop_own(request);
		err->tag = WASI_HTTP_TYPES_ERROR_CODE_HTTP_REQUEST_DENIED;
		return false;
	}
	if (wasi_http_types_method_outgoing_request_body(r, &unused)) {
		own_request made = guarded(r);
		wasi_http_types_outgoing_body_drop_own(unused);
		wasi_http_types_outgoing_request_drop_own(request);
		request = made;
	}
	return wasi_http_outgoing_handler_handle(request, options, ret, err);
}
