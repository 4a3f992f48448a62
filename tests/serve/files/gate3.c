// A component on both sides of a link of wasi:http/client@0.3.0 (or of wasi:http/handler): what asks, and what stands between. The path says what each does,
// /BETWEEN/ASKS?PORT: the request goes to 127.0.0.1:PORT. Each waits where it is, so that an instance has one call at a time. Built as the examples are (build.sh),
// from gate3.wit beside it.
#include "gate3.h"

#include <stdlib.h>
#include <string.h>

typedef wasi_http_types_result_option_own_trailers_error_code_t trailers_t;
typedef wasi_http_types_future_result_option_own_trailers_error_code_t trailers_future;
typedef wasi_http_types_future_result_option_own_trailers_error_code_writer_t trailers_writer;
typedef wasi_http_types_result_void_error_code_t sent_t;
typedef wasi_http_types_future_result_void_error_code_t sent_future;
typedef wasi_http_types_future_result_void_error_code_writer_t sent_writer;
typedef wasi_http_types_tuple2_stream_u8_future_result_option_own_trailers_error_code_t parts_t;
typedef wasi_http_client_result_own_response_error_code_t answer_t;
typedef wasi_http_types_own_fields_t fields_t;
#define trailers(what) wasi_http_types_future_result_option_own_trailers_error_code_##what
#define sent(what) wasi_http_types_future_result_void_error_code_##what
#define bytes(what) wasi_http_types_stream_u8_##what
typedef wasi_http_types_stream_u8_t bytes_t;
typedef wasi_http_types_stream_u8_writer_t bytes_writer;
enum { PIECE = 16384 };

// ---- waiting ---------------------------------------------------------------------------------------------------------------------------------

static uint32_t await(uint32_t waitable, uint32_t status)
{
	gate3_event_t event;
	if (status != GATE3_WAITABLE_STATUS_BLOCKED)
		return status;
	gate3_waitable_set_t set = gate3_waitable_set_new();
	gate3_waitable_join(waitable, set);
	gate3_waitable_set_wait(set, &event);
	gate3_waitable_join(waitable, 0);
	gate3_waitable_set_drop(set);
	return event.code;
}

// Until the call has returned. false: it was cancelled.
static bool await_call(gate3_subtask_status_t status)
{
	uint32_t state = GATE3_SUBTASK_STATE(status), call = GATE3_SUBTASK_HANDLE(status);
	if (state == GATE3_SUBTASK_RETURNED)
		return true;
	while (state < GATE3_SUBTASK_RETURNED)
		state = await(call, GATE3_WAITABLE_STATUS_BLOCKED);
	gate3_subtask_drop(call);
	return state == GATE3_SUBTASK_RETURNED;
}

static bool went(uint32_t status)
{
	return GATE3_WAITABLE_STATE(status) == GATE3_WAITABLE_COMPLETED;
}

static void sleep_ms(uint32_t n)
{
	await_call(wasi_clocks_monotonic_clock_wait_for((uint64_t)n * 1000000));
}

static void for_ever(void)
{
	for (;;)
		sleep_ms(1000);
}

static void give(trailers_writer to, trailers_t value)
{
	await(to, trailers(write)(to, &value));
	trailers(drop_writable)(to);
}

static void like(sent_writer to, sent_t how)
{
	await(to, sent(write)(to, &how));
	sent(drop_writable)(to);
}

static trailers_t take(trailers_future from)
{
	trailers_t value;
	await(from, trailers(read)(from, &value));
	trailers(drop_readable)(from);
	return value;
}

static sent_t outcome(sent_future from)
{
	sent_t value;
	await(from, sent(read)(from, &value));
	sent(drop_readable)(from);
	return value;
}

// ---- text ------------------------------------------------------------------------------------------------------------------------------------

static char said[4096];
static size_t said_n;

static void say(const void *at, size_t n)
{
	if (said_n + n > sizeof said)
		n = sizeof said - said_n;
	memcpy(said + said_n, at, n);
	said_n += n;
}

static void say_text(const char *s)
{
	say(s, strlen(s));
}

static void say_number(uint64_t n)
{
	char digits[20], *p = digits + sizeof digits;
	do
		*--p = (char)('0' + n % 10);
	while (n /= 10);
	say(p, (size_t)(digits + sizeof digits - p));
}

static void say_field(const char *name, fields_t of)
{
	gate3_string_t key = {(uint8_t *)name, strlen(name)};
	wasi_http_types_list_field_value_t values;
	wasi_http_types_method_fields_get(wasi_http_types_borrow_fields(of), &key, &values);
	say_text(" ");
	say_text(name);
	say_text("=");
	for (size_t k = 0; k < values.len; k++)
		say(values.ptr[k].ptr, values.ptr[k].len);
}

static void say_trailers(trailers_t *t)
{
	say_text(" trailers");
	if (t->is_err) {
		say_text(" error ");
		say_number(t->val.err.tag);
	} else if (!t->val.ok.is_some) {
		say_text(" none");
	} else {
		say_field("x-t", t->val.ok.val);
		say_field("x-between", t->val.ok.val);
		wasi_http_types_fields_drop_own(t->val.ok.val);
	}
}

static void add(fields_t to, const char *name, const char *text)
{
	gate3_string_t key = {(uint8_t *)name, strlen(name)};
	wasi_http_types_field_value_t value = {(uint8_t *)text, strlen(text)};
	wasi_http_types_header_error_t error;
	if (!wasi_http_types_method_fields_append(wasi_http_types_borrow_fields(to), &key, &value, &error))
		__builtin_trap();
}

static trailers_t some_trailers(const char *name, const char *text)
{
	trailers_t t = {.val.ok = {.is_some = true, .val = wasi_http_types_constructor_fields()}};
	add(t.val.ok.val, name, text);
	return t;
}

static const trailers_t none, aborted = {.is_err = true, .val.err.tag = WASI_HTTP_TYPES_ERROR_CODE_HTTP_PROTOCOL_ERROR};
static const sent_t fine;

// The n-th part of the path.
static bool is(const gate3_string_t *path, unsigned part, const char *word)
{
	size_t at = 0, n = strlen(word);
	for (unsigned k = 0; k <= part; k++, at++)
		while (at < path->len && path->ptr[at] != '/')
			at++;
	return at + n <= path->len && memcmp(path->ptr + at, word, n) == 0 && (at + n == path->len || path->ptr[at + n] == '/' || path->ptr[at + n] == '?');
}

// ---- between: pieces of it ---------------------------------------------------------------------------------------------------------------------

static wasi_http_types_own_request_t keeps_request;
static answer_t keeps_answer;
static bool has_request, has_answer;

// Letters become large ones on their way.
static void copy(bytes_t from, bytes_writer to, bool traps)
{
	static uint8_t piece[PIECE];
	uint32_t status;
	do {
		status = await(from, bytes(read)(from, piece, sizeof piece));
		size_t n = GATE3_WAITABLE_COUNT(status);
		if (traps && n)
			__builtin_trap();
		for (size_t k = 0; k < n; k++)
			piece[k] -= piece[k] >= 'a' && piece[k] <= 'z' ? 32 : 0;
		for (size_t done = 0; done < n;) {
			uint32_t wrote = await(to, bytes(write)(to, piece + done, n - done));
			done += GATE3_WAITABLE_COUNT(wrote);
			if (!went(wrote)) {
				bytes(drop_readable)(from);
				bytes(drop_writable)(to);
				return;
			}
		}
	} while (went(status));
	bytes(drop_readable)(from);
	bytes(drop_writable)(to);
}

static void copy_trailers(trailers_future from, trailers_writer to)
{
	trailers_t t = take(from);
	if (!t.is_err && t.val.ok.is_some) {
		fields_t of = t.val.ok.val;
		t.val.ok.val = wasi_http_types_method_fields_clone(wasi_http_types_borrow_fields(of));
		wasi_http_types_fields_drop_own(of);
		add(t.val.ok.val, "x-between", "yes");
	}
	give(to, t);
}

struct head {
	wasi_http_types_method_t method;
	wasi_http_types_scheme_t scheme;
	gate3_string_t path, authority;
	bool has_scheme, has_authority;
	fields_t fields;
};

static struct head head_of(wasi_http_types_borrow_request_t r)
{
	struct head h;
	wasi_http_types_method_request_get_method(r, &h.method);
	h.has_scheme = wasi_http_types_method_request_get_scheme(r, &h.scheme);
	h.has_authority = wasi_http_types_method_request_get_authority(r, &h.authority);
	if (!wasi_http_types_method_request_get_path_with_query(r, &h.path))
		__builtin_trap();
	fields_t theirs = wasi_http_types_method_request_get_headers(r);
	h.fields = wasi_http_types_method_fields_clone(wasi_http_types_borrow_fields(theirs));
	wasi_http_types_fields_drop_own(theirs);
	return h;
}

static void set_head(wasi_http_types_borrow_request_t r, struct head *h)
{
	if (!wasi_http_types_method_request_set_method(r, &h->method) || !wasi_http_types_method_request_set_path_with_query(r, &h->path) ||
		!wasi_http_types_method_request_set_scheme(r, h->has_scheme ? &h->scheme : NULL) ||
		!wasi_http_types_method_request_set_authority(r, h->has_authority ? &h->authority : NULL))
		__builtin_trap();
}

static void answer_with(answer_t a)
{
	exports_wasi_http_client_result_own_response_error_code_t ret = {.is_err = a.is_err};
	if (a.is_err)
		ret.val.err = a.val.err;
	else
		ret.val.ok = a.val.ok;
	exports_wasi_http_client_send_return(ret);
}

static void deny(uint8_t tag)
{
	answer_t a = {.is_err = true};
	a.val.err.tag = tag;
	answer_with(a);
}

// Both ways through its own memory, or (whole) as the streams that they are.
static void remake(wasi_http_types_own_request_t request, bool whole, bool traps_up, bool traps_down)
{
	struct head h = head_of(wasi_http_types_borrow_request(request));
	parts_t in, out;
	sent_writer liked;
	wasi_http_types_tuple2_own_request_future_result_void_error_code_t next;
	bytes_writer body;
	trailers_writer end;
	answer_t a;
	add(h.fields, "x-guarded", "yes");
	wasi_http_types_static_request_consume_body(request, sent(new)(&liked), &in);
	if (whole) {
		out = in;
	} else {
		out.f0 = bytes(new)(&body);
		out.f1 = trailers(new)(&end);
	}
	wasi_http_types_static_request_new(h.fields, &out.f0, out.f1, NULL, &next);
	set_head(wasi_http_types_borrow_request(next.f0), &h);
	gate3_subtask_status_t call = wasi_http_client_send(next.f0, &a);
	if (!whole) {
		copy(in.f0, body, traps_up);
		copy_trailers(in.f1, end);
	}
	await_call(call);
	if (a.is_err) {
		answer_with(a);
		like(liked, outcome(next.f1));
		return;
	}
	wasi_http_types_borrow_response_t r = wasi_http_types_borrow_response(a.val.ok);
	fields_t theirs = wasi_http_types_method_response_get_headers(r), fields = wasi_http_types_method_fields_clone(wasi_http_types_borrow_fields(theirs));
	uint16_t status = wasi_http_types_method_response_get_status_code(r);
	sent_writer liked_answer;
	wasi_http_types_tuple2_own_response_future_result_void_error_code_t made;
	wasi_http_types_fields_drop_own(theirs);
	add(fields, "x-back", "yes");
	wasi_http_types_static_response_consume_body(a.val.ok, sent(new)(&liked_answer), &in);
	if (whole) {
		out = in;
	} else {
		out.f0 = bytes(new)(&body);
		out.f1 = trailers(new)(&end);
	}
	wasi_http_types_static_response_new(fields, &out.f0, out.f1, &made);
	wasi_http_types_method_response_set_status_code(wasi_http_types_borrow_response(made.f0), status);
	a.val.ok = made.f0;
	answer_with(a);
	like(liked, outcome(next.f1));
	if (!whole) {
		copy(in.f0, body, traps_down);
		copy_trailers(in.f1, end);
	}
	like(liked_answer, outcome(made.f1));
}

static void answer_itself(void)
{
	static const char text[] = "from between";
	wasi_http_types_tuple2_own_response_future_result_void_error_code_t made;
	bytes_writer body;
	trailers_writer end;
	bytes_t contents = bytes(new)(&body);
	answer_t a = {0};
	wasi_http_types_static_response_new(wasi_http_types_constructor_fields(), &contents, trailers(new)(&end), &made);
	wasi_http_types_method_response_set_status_code(wasi_http_types_borrow_response(made.f0), 203);
	a.val.ok = made.f0;
	answer_with(a);
	await(body, bytes(write)(body, (const uint8_t *)text, strlen(text)));
	bytes(drop_writable)(body);
	give(end, some_trailers("x-t", "own"));
	sent(drop_readable)(made.f1);
}

gate3_callback_code_t exports_wasi_http_client_send(exports_wasi_http_client_own_request_t request)
{
	gate3_string_t path;
	answer_t a;
	if (!wasi_http_types_method_request_get_path_with_query(wasi_http_types_borrow_request(request), &path))
		__builtin_trap();
	if (is(&path, 0, "trap"))
		__builtin_trap();
	if (is(&path, 0, "never"))
		for_ever();
	if (is(&path, 0, "deny")) {
		wasi_http_types_request_drop_own(request);
		deny(WASI_HTTP_TYPES_ERROR_CODE_HTTP_REQUEST_DENIED);
	} else if (is(&path, 0, "own")) {
		wasi_http_types_request_drop_own(request);
		answer_itself();
	} else if (is(&path, 0, "keep")) {
		if (has_request)
			wasi_http_types_request_drop_own(keeps_request);
		keeps_request = request;
		has_request = true;
		deny(WASI_HTTP_TYPES_ERROR_CODE_LOOP_DETECTED);
	} else if (is(&path, 0, "whole") || is(&path, 0, "copy") || is(&path, 0, "boom-up") || is(&path, 0, "boom-down")) {
		remake(request, is(&path, 0, "whole"), is(&path, 0, "boom-up"), is(&path, 0, "boom-down"));
	} else {
		if (is(&path, 0, "slow"))
			sleep_ms(30);
		gate3_subtask_status_t call = wasi_http_client_send(request, &a);
		if (is(&path, 0, "boom-sink")) {  // the host takes the contents for it meanwhile
			sleep_ms(100);
			__builtin_trap();
		}
		await_call(call);
		if (is(&path, 0, "keep-answer") && !a.is_err) {
			if (has_answer)
				wasi_http_types_response_drop_own(keeps_answer.val.ok);
			keeps_answer = a;
			has_answer = true;
			deny(WASI_HTTP_TYPES_ERROR_CODE_LOOP_DETECTED);
		} else {
			answer_with(a);
		}
	}
	return GATE3_CALLBACK_CODE_EXIT;
}

// ---- asks ------------------------------------------------------------------------------------------------------------------------------------------

// false: nobody takes more.
static bool write_all(bytes_writer to, const void *text, size_t n)
{
	for (size_t done = 0; done < n;) {
		uint32_t status = await(to, bytes(write)(to, (const uint8_t *)text + done, n - done));
		done += GATE3_WAITABLE_COUNT(status);
		if (!went(status))
			return false;
	}
	return true;
}

static bool write_large(bytes_writer to, size_t n)
{
	static uint8_t piece[PIECE];
	memset(piece, 'a', sizeof piece);
	for (size_t done = 0; done < n; done += sizeof piece)
		if (!write_all(to, piece, sizeof piece))
			return false;
	return true;
}

static void say_answer(answer_t *a, const gate3_string_t *path)
{
	static uint8_t piece[PIECE];
	parts_t in;
	sent_writer liked;
	uint32_t status;
	uint64_t n = 0;
	if (a->is_err) {
		say_text("error ");
		say_number(a->val.err.tag);
		return;
	}
	say_number(wasi_http_types_method_response_get_status_code(wasi_http_types_borrow_response(a->val.ok)));
	fields_t fields = wasi_http_types_method_response_get_headers(wasi_http_types_borrow_response(a->val.ok));
	say_field("x-back", fields);
	wasi_http_types_fields_drop_own(fields);
	say_text(" ");
	wasi_http_types_static_response_consume_body(a->val.ok, sent(new)(&liked), &in);
	do {
		status = await(in.f0, bytes(read)(in.f0, piece, sizeof piece));
		if (n < 200)
			say(piece, GATE3_WAITABLE_COUNT(status) < 200 ? GATE3_WAITABLE_COUNT(status) : 200);
		n += GATE3_WAITABLE_COUNT(status);
		if (is(path, 1, "leaves"))
			break;
	} while (went(status));
	bytes(drop_readable)(in.f0);
	if (n >= 1000) {
		say_text(" of ");
		say_number(n);
	}
	if (is(path, 1, "blind")) {
		trailers(drop_readable)(in.f1);
	} else {
		trailers_t t = take(in.f1);
		say_trailers(&t);
	}
	like(liked, fine);
}

static void aim(wasi_http_types_borrow_request_t r, gate3_string_t *path, const char *method)
{
	wasi_http_types_method_t m = {.tag = WASI_HTTP_TYPES_METHOD_POST};
	wasi_http_types_scheme_t http = {.tag = WASI_HTTP_TYPES_SCHEME_HTTP};
	static uint8_t at[40] = "127.0.0.1:";
	size_t n = strlen("127.0.0.1:"), k = 0;
	while (k < path->len && path->ptr[k] != '?')
		k++;
	for (k++; k < path->len && path->ptr[k] >= '0' && path->ptr[k] <= '9' && n < sizeof at; k++)
		at[n++] = path->ptr[k];
	gate3_string_t authority = {at, n};
	if (method)
		wasi_http_types_method_request_set_method(r, &m);
	if (!wasi_http_types_method_request_set_scheme(r, &http) || !wasi_http_types_method_request_set_authority(r, &authority) ||
		!wasi_http_types_method_request_set_path_with_query(r, path))
		__builtin_trap();
}

// Its own request, written while it is on its way.
static void ask(gate3_string_t *path)
{
	wasi_http_types_tuple2_own_request_future_result_void_error_code_t made;
	bool plain = is(path, 1, "plain"), late = is(path, 1, "cut-late"), cuts = late || is(path, 1, "cut"), traps = is(path, 1, "trap"), large = is(path, 1, "large");
	trailers_writer end;
	bytes_writer body;
	bytes_t contents = 0;
	answer_t a;
	if (!plain)
		contents = bytes(new)(&body);
	wasi_http_types_static_request_new(wasi_http_types_constructor_fields(), plain ? NULL : &contents, trailers(new)(&end), NULL, &made);
	aim(wasi_http_types_borrow_request(made.f0), path, "POST");
	gate3_subtask_status_t call = wasi_http_client_send(made.f0, &a);
	if (is(path, 1, "cancel")) {
		sleep_ms(50);
		uint32_t state = gate3_subtask_cancel(GATE3_SUBTASK_HANDLE(call));
		say_text(state == GATE3_SUBTASK_RETURNED ? "returned" : "cancelled");
		gate3_subtask_drop(GATE3_SUBTASK_HANDLE(call));
		bytes(drop_writable)(body);
		give(end, none);
		say_text(outcome(made.f1).is_err ? " unsent" : " sent");
		return;
	}
	if (!plain) {
		bool taken = large ? write_large(body, 4 << 20) : write_all(body, "from who ", 9);
		if (traps)
			__builtin_trap();
		if (is(path, 1, "hangs"))
			for_ever();
		if (!large && taken)
			write_all(body, "asks", 4);
		bytes(drop_writable)(body);
	}
	if (late)
		sleep_ms(50);
	give(end, cuts ? aborted : plain || large ? none
											  : some_trailers("x-t", "asked"));
	await_call(call);
	say_answer(&a, path);
	sent_t how = outcome(made.f1);
	say_text(how.is_err ? " unsent " : " sent");
	if (how.is_err)
		say_number(how.val.err.tag);
}

static void reply(void)
{
	wasi_http_types_tuple2_own_response_future_result_void_error_code_t made;
	bytes_writer body;
	trailers_writer end;
	bytes_t contents = bytes(new)(&body);
	wasi_http_types_static_response_new(wasi_http_types_constructor_fields(), &contents, trailers(new)(&end), &made);
	exports_wasi_http_handler_result_own_response_error_code_t ret = {.val.ok = made.f0};
	exports_wasi_http_handler_handle_return(ret);
	write_all(body, said, said_n);
	bytes(drop_writable)(body);
	give(end, none);
	sent(drop_readable)(made.f1);
	said_n = 0;
}

// The contents that came are those of a request of its own; what their trailers were is said.
static void relay(wasi_http_types_own_request_t request, gate3_string_t *path)
{
	wasi_http_types_tuple2_own_request_future_result_void_error_code_t made;
	sent_writer liked;
	trailers_writer end;
	parts_t in;
	answer_t a;
	wasi_http_types_static_request_consume_body(request, sent(new)(&liked), &in);
	wasi_http_types_static_request_new(wasi_http_types_constructor_fields(), &in.f0, trailers(new)(&end), NULL, &made);
	aim(wasi_http_types_borrow_request(made.f0), path, "POST");
	gate3_subtask_status_t call = wasi_http_client_send(made.f0, &a);
	sent(drop_readable)(made.f1);
	await_call(call);
	say_text(a.is_err ? "error" : "answer");
	trailers_t t = take(in.f1);
	say_trailers(&t);
	like(liked, fine);
	give(end, none);
}

// What came goes on as it is, and so does what comes back.
static void pass_on(wasi_http_types_own_request_t request, gate3_string_t *path)
{
	exports_wasi_http_handler_result_own_response_error_code_t ret = {0};
	answer_t a;
	aim(wasi_http_types_borrow_request(request), path, NULL);
	await_call(wasi_http_client_send(request, &a));
	ret.is_err = a.is_err;
	if (a.is_err)
		ret.val.err = a.val.err;
	else
		ret.val.ok = a.val.ok;
	exports_wasi_http_handler_handle_return(ret);
}

gate3_callback_code_t exports_wasi_http_handler_handle(exports_wasi_http_handler_own_request_t request)
{
	gate3_string_t path;
	if (!wasi_http_types_method_request_get_path_with_query(wasi_http_types_borrow_request(request), &path))
		__builtin_trap();
	if (is(&path, 1, "through")) {
		pass_on(request, &path);
		return GATE3_CALLBACK_CODE_EXIT;
	}
	if (is(&path, 1, "relay")) {
		relay(request, &path);
	} else {
		wasi_http_types_request_drop_own(request);
		ask(&path);
	}
	reply();
	return GATE3_CALLBACK_CODE_EXIT;
}

gate3_callback_code_t exports_wasi_http_client_send_callback(gate3_event_t *event)
{
	__builtin_trap();
}

gate3_callback_code_t exports_wasi_http_handler_handle_callback(gate3_event_t *event)
{
	__builtin_trap();
}
