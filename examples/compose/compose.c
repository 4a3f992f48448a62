// Answers GET /NAME with what another component has to say to NAME. In which language that is written it can't tell.
#include "compose.h"

#define LIST_U8 compose_list_u8_t
#include "respond.h"

void exports_wasi_http_incoming_handler_handle(own_request request, own_outparam out)
{
	compose_string_t path = {0}, text;
	wasi_http_types_method_incoming_request_path_with_query(wasi_http_types_borrow_incoming_request(request), &path);
	compose_string_t name = {path.ptr + 1, path.len ? path.len - 1 : 0}, why;
	if (tenon_examples_greeting_greet(&name, &text, &why))
		respond(out, 200, (const char *)text.ptr, text.len);
	else
		respond(out, 400, (const char *)why.ptr, why.len);
}
