// A component that many requests are in at once, each a small state machine behind its task's context: its path says what it does, step by step.
#include "many.h"

#include <stdlib.h>
#include <string.h>

#define MS UINT64_C(1000000)
typedef wasi_http_types_result_option_own_trailers_error_code_t trailers_value;

enum state { NEXT, SLEEPING, SAYING, SAID, FETCHING, FLOODING, NEVER, ANSWERING };
struct task {
	enum state state;
	bool answered;
	many_waitable_set_t set;
	unsigned pending;  // FETCHING: the answer, and that the trailers are taken
	char *path, *at;
	size_t len;  // of the line, the piece of a body
	wasi_cli_stdout_stream_u8_writer_t line;
	wasi_cli_stdout_future_result_void_error_code_t line_end;
	wasi_cli_stdout_result_void_error_code_t line_result;
	wasi_http_client_result_own_response_error_code_t response;
	wasi_http_types_future_result_option_own_trailers_error_code_writer_t trailers;
	wasi_http_types_stream_u8_writer_t body;
	trailers_value none;
	wasi_http_types_result_void_error_code_t never;
	uint8_t text[256];
};

static uint32_t count, now, most;

// ---- text ----------------------------------------------------------------------------------------------------------------------------------

static uint64_t number(const char *s)
{
	uint64_t n = 0;
	for (; *s >= '0' && *s <= '9'; s++)
		n = n * 10 + (uint64_t)(*s - '0');
	return n;
}

static void add_field(wasi_http_types_own_fields_t fields, const char *name, uint32_t n)
{
	char digits[12], *p = digits + sizeof digits;
	wasi_http_types_header_error_t error;
	do
		*--p = (char)('0' + n % 10);
	while (n /= 10);
	many_string_t key = {(uint8_t *)name, strlen(name)};
	wasi_http_types_field_value_t value = {(uint8_t *)p, (size_t)(digits + sizeof digits - p)};
	if (!wasi_http_types_method_fields_append(wasi_http_types_borrow_fields(fields), &key, &value, &error))
		__builtin_trap();
}

// ---- steps ---------------------------------------------------------------------------------------------------------------------------------
// Each begins something and returns the status of what it then waits for; 0: it is over.

static uint32_t wait_for(struct task *t, uint32_t waitable)
{
	many_waitable_join(waitable, t->set);
	return MANY_WAITABLE_STATUS_BLOCKED;
}

// A call of an import that has begun.
static uint32_t called(struct task *t, many_subtask_status_t status)
{
	return MANY_SUBTASK_STATE(status) == MANY_SUBTASK_RETURNED ? 0 : wait_for(t, MANY_SUBTASK_HANDLE(status));
}

static uint32_t copied(struct task *t, uint32_t waitable, many_waitable_status_t status)
{
	return status == MANY_WAITABLE_STATUS_BLOCKED ? wait_for(t, waitable) : status;
}

static uint32_t say(struct task *t, const char *text)
{
	wasi_cli_stdout_stream_u8_t reader = wasi_cli_stdout_stream_u8_new(&t->line);
	t->len = strlen(text);
	if (t->len >= sizeof t->text)
		__builtin_trap();
	memcpy(t->text, text, t->len);
	t->text[t->len++] = '\n';
	t->line_end = wasi_cli_stdout_write_via_stream(reader);
	t->state = SAYING;
	return copied(t, t->line, wasi_cli_stdout_stream_u8_write(t->line, t->text, t->len));
}

static uint32_t said(struct task *t)
{
	wasi_cli_stdout_stream_u8_drop_writable(t->line);
	t->state = SAID;
	return copied(t, t->line_end, wasi_cli_stdout_future_result_void_error_code_read(t->line_end, &t->line_result));
}

// GET http://AUTHORITY/PATH; its path is this request's own. The answer's body is not read.
static uint32_t fetch(struct task *t, const char *authority)
{
	wasi_http_types_tuple2_own_request_future_result_void_error_code_t made;
	many_string_t to = {(uint8_t *)authority, strlen(authority)}, path = {(uint8_t *)t->path, t->len = strlen(t->path)};
	wasi_http_types_scheme_t http = {.tag = WASI_HTTP_TYPES_SCHEME_HTTP};
	wasi_http_types_static_request_new(wasi_http_types_constructor_fields(), NULL,
		wasi_http_types_future_result_option_own_trailers_error_code_new(&t->trailers), NULL, &made);
	wasi_http_types_borrow_request_t request = wasi_http_types_borrow_request(made.f0);
	wasi_http_types_future_result_void_error_code_drop_readable(made.f1);
	if (!wasi_http_types_method_request_set_scheme(request, &http) || !wasi_http_types_method_request_set_authority(request, &to) ||
		!wasi_http_types_method_request_set_path_with_query(request, &path))
		__builtin_trap();
	t->state = FETCHING;
	t->pending = called(t, wasi_http_client_send(made.f0, &t->response)) ? 1 : 0;
	t->pending += copied(t, t->trailers, wasi_http_types_future_result_option_own_trailers_error_code_write(t->trailers, &t->none)) ==
		MANY_WAITABLE_STATUS_BLOCKED;
	return t->pending ? MANY_WAITABLE_STATUS_BLOCKED : 0;
}

static void fetched(struct task *t)
{
	wasi_http_types_future_result_option_own_trailers_error_code_drop_writable(t->trailers);
	if (t->response.is_err)
		__builtin_trap();
	wasi_http_types_response_drop_own(t->response.val.ok);
}

// The head goes out. `body`: with one.
static void respond(struct task *t, bool body)
{
	wasi_http_types_tuple2_own_response_future_result_void_error_code_t made;
	wasi_http_types_own_fields_t fields = wasi_http_types_constructor_fields();
	wasi_http_types_stream_u8_t reader;
	add_field(fields, "x-count", count);
	add_field(fields, "x-most", most);
	if (body)
		reader = wasi_http_types_stream_u8_new(&t->body);
	wasi_http_types_static_response_new(fields, body ? &reader : NULL, wasi_http_types_future_result_option_own_trailers_error_code_new(&t->trailers), &made);
	wasi_http_types_future_result_void_error_code_drop_readable(made.f1);
	exports_wasi_http_handler_result_own_response_error_code_t ok = {.val.ok = made.f0};
	exports_wasi_http_handler_handle_return(ok);
	t->answered = true;
}

static uint32_t answer(struct task *t)
{
	respond(t, false);
	t->state = ANSWERING;
	return copied(t, t->trailers, wasi_http_types_future_result_option_own_trailers_error_code_write(t->trailers, &t->none));
}

static uint32_t flood(struct task *t)
{
	if (!t->answered)
		respond(t, true);
	t->state = FLOODING;
	return copied(t, t->body, wasi_http_types_stream_u8_write(t->body, t->text, sizeof t->text));
}

static uint32_t never(struct task *t)
{
	wasi_http_types_future_result_void_error_code_writer_t writer;
	wasi_http_types_future_result_void_error_code_t reader = wasi_http_types_future_result_void_error_code_new(&writer);
	t->state = NEVER;
	return copied(t, reader, wasi_http_types_future_result_void_error_code_read(reader, &t->never));
}

static void work(uint64_t n)
{
	for (volatile uint64_t i = 0; i < n * 1000; i++)
		;
}

// What its name begins with is its argument's place.
static const char *is(const char *step, const char *name)
{
	size_t n = strlen(name);
	return memcmp(step, name, n) == 0 && (step[n] == 0 || step[n - 1] == '=') ? step + n : NULL;
}

// Begins a step that says itself what follows, or does all of it.
static uint32_t begin(struct task *t, const char *step)
{
	const char *of;
	if ((of = is(step, "wait="))) {
		t->state = SLEEPING;
		return called(t, wasi_clocks_monotonic_clock_wait_for(number(of) * MS));
	}
	if ((of = is(step, "say=")))
		return say(t, of);
	if ((of = is(step, "fetch=")))
		return fetch(t, of);
	if ((of = is(step, "work=")))
		work(number(of));
	else if ((of = is(step, "grow=")))
		__builtin_wasm_memory_grow(0, (size_t)number(of));
	else if (is(step, "hold"))
		many_backpressure_inc();
	else if (is(step, "let"))
		many_backpressure_dec();
	else if (is(step, "trap"))
		__builtin_trap();
	else if (is(step, "spin"))
		work(UINT64_MAX / 1000);
	else if (is(step, "flood"))
		return flood(t);
	else if (is(step, "never"))
		return never(t);
	else if (is(step, "answer"))
		return answer(t);
	return 0;
}

// Steps stand between slashes; what is no step is a name. NULL: there is none left.
static const char *next_step(struct task *t)
{
	static char step[256];
	size_t n = 0;
	while (*t->at == '/')
		t->at++;
	if (!*t->at)
		return NULL;
	while (*t->at && *t->at != '/' && n < sizeof step - 1)
		step[n++] = *t->at++;
	step[n] = 0;
	return step;
}

// ---- the machine ---------------------------------------------------------------------------------------------------------------------------

static many_callback_code_t end(struct task *t)
{
	now--;
	many_waitable_set_drop(t->set);
	free(t->path);
	free(t);
	return MANY_CALLBACK_CODE_EXIT;
}

// What a step waited for is there. Returns as `begin` does.
static uint32_t go_on(struct task *t, const many_event_t *event)
{
	uint32_t code = event->code;
	if (event->event == MANY_EVENT_SUBTASK) {
		if (MANY_SUBTASK_STATE(code) != MANY_SUBTASK_RETURNED)
			return MANY_WAITABLE_STATUS_BLOCKED;
		many_subtask_drop(event->waitable);
	} else {
		many_waitable_join(event->waitable, 0);
	}
	if (t->state == FETCHING && --t->pending)
		return MANY_WAITABLE_STATUS_BLOCKED;
	return code & 0xf;
}

// What follows within a step; `code`: how what it waited for ended.
static uint32_t go_over(struct task *t, uint32_t code)
{
	enum state was = t->state;
	t->state = NEXT;
	switch (was) {
	case SAYING:
		return said(t);
	case SAID:
		wasi_cli_stdout_future_result_void_error_code_drop_readable(t->line_end);
		return 0;
	case FETCHING:
		fetched(t);
		return 0;
	case FLOODING:
		return code == MANY_WAITABLE_DROPPED ? 0 : flood(t);
	case ANSWERING:
		wasi_http_types_future_result_option_own_trailers_error_code_drop_writable(t->trailers);
		return 0;
	default:
		return 0;
	}
}

static many_callback_code_t run(struct task *t, uint32_t status)
{
	const char *step;
	for (;;) {
		if (status == MANY_WAITABLE_STATUS_BLOCKED) {
			many_context_set_0(t);
			return MANY_CALLBACK_CODE_WAIT(t->set);
		}
		if (t->state != NEXT)
			status = go_over(t, status);
		else if ((step = next_step(t)))
			status = begin(t, step);
		else if (!t->answered)
			status = answer(t);
		else
			return end(t);
	}
}

many_callback_code_t exports_wasi_http_handler_handle(exports_wasi_http_handler_own_request_t request)
{
	many_string_t path = {0};
	struct task *t = malloc(sizeof *t);
	memset(t, 0, sizeof *t);
	wasi_http_types_method_request_get_path_with_query(wasi_http_types_borrow_request(request), &path);
	t->path = t->at = malloc(path.len + 1);
	memcpy(t->path, path.ptr, path.len);
	t->path[path.len] = 0;
	many_string_free(&path);
	wasi_http_types_request_drop_own(request);
	t->set = many_waitable_set_new();
	count++;
	if (++now > most)
		most = now;
	return run(t, 0);
}

many_callback_code_t exports_wasi_http_handler_handle_callback(many_event_t *event)
{
	struct task *t = many_context_get_0();
	if (event->event == MANY_EVENT_CANCEL)
		__builtin_trap();
	return run(t, go_on(t, event));
}
