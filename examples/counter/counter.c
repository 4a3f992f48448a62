// Counts: POST /NAME is one more, GET /NAME tells. Where the numbers lie is for whoever runs it to say (tenon.toml): this knows wasi:keyvalue and nothing else.
#include "counter.h"

#define LIST_U8 counter_list_u8_t
#include "respond.h"

#ifndef WORDS
#define WORDS ""  // before the number; the second version of it has some
#endif

// "/NAME?…" is the counter NAME, "/" the counter "hits".
static counter_string_t name_of(const counter_string_t *path)
{
	size_t end = 1;
	while (end < path->len && path->ptr[end] != '?')
		end++;
	if (end <= 1)
		return (counter_string_t){(uint8_t *)"hits", 4};
	return (counter_string_t){path->ptr + 1, end - 1};
}

static void respond_error(own_outparam out, const wasi_keyvalue_store_error_t *e)
{
	if (e->tag == WASI_KEYVALUE_STORE_ERROR_OTHER)
		respond(out, 503, (const char *)e->val.other.ptr, e->val.other.len);
	else if (e->tag == WASI_KEYVALUE_STORE_ERROR_ACCESS_DENIED)
		respond(out, 403, "access denied\n", 14);
	else
		respond(out, 500, "no such store\n", 14);
}

static void respond_number(own_outparam out, const uint8_t *digits, size_t len)
{
	char text[64] = WORDS;
	size_t at = strlen(text);
	for (size_t i = 0; i < len && at < sizeof text - 1; i++)
		text[at++] = (char)digits[i];
	text[at++] = '\n';
	respond(out, 200, text, at);
}

static void add(own_outparam out, wasi_keyvalue_store_borrow_bucket_t bucket, counter_string_t *name)
{
	wasi_keyvalue_store_error_t e;
	int64_t n;
	if (!wasi_keyvalue_atomics_increment(bucket, name, 1, &n, &e)) {
		respond_error(out, &e);
		return;
	}
	uint8_t digits[24];
	size_t at = sizeof digits;
	for (; n > 0; n /= 10)
		digits[--at] = (uint8_t)('0' + n % 10);
	respond_number(out, digits + at, sizeof digits - at);
}

static void tell(own_outparam out, wasi_keyvalue_store_borrow_bucket_t bucket, counter_string_t *name)
{
	wasi_keyvalue_store_error_t e;
	counter_option_list_u8_t value;
	if (!wasi_keyvalue_store_method_bucket_get(bucket, name, &value, &e))
		respond_error(out, &e);
	else if (!value.is_some)
		respond_number(out, (const uint8_t *)"0", 1);
	else
		respond_number(out, value.val.ptr, value.val.len);
}

void exports_wasi_http_incoming_handler_handle(own_request request, own_outparam out)
{
	wasi_http_types_borrow_incoming_request_t r = wasi_http_types_borrow_incoming_request(request);
	counter_string_t path = {0}, identifier = {(uint8_t *)"default", 7};
	wasi_http_types_method_t method;
	wasi_keyvalue_store_own_bucket_t bucket;
	wasi_keyvalue_store_error_t e;
	wasi_http_types_method_incoming_request_path_with_query(r, &path);
	wasi_http_types_method_incoming_request_method(r, &method);
	counter_string_t name = name_of(&path);
	if (!wasi_keyvalue_store_open(&identifier, &bucket, &e))
		respond_error(out, &e);
	else if (method.tag == WASI_HTTP_TYPES_METHOD_POST)
		add(out, wasi_keyvalue_store_borrow_bucket(bucket), &name);
	else
		tell(out, wasi_keyvalue_store_borrow_bucket(bucket), &name);
}
