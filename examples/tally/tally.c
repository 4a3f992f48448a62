// Keeps names in a store that is only asked asynchronously, with many requests in one instance: /set/NAME, /has/NAME, /keys (how many), /first.
#include "tally.h"

#include <stdlib.h>
#include <string.h>

#define MS UINT64_C(1000000)
enum state { OPENING, RESTING, SETTING, ASKING, LISTING, READING, HEARING, ANSWERING };
enum { PIECE = 7 };
struct task {
	enum state state;
	tally_waitable_set_t set;
	char *path, *name;
	uint32_t found;
	uint32_t code;  // how the last copy ended
	bool has_store;
	spin_key_value_key_value_result_own_store_error_t store;
	spin_key_value_key_value_result_void_error_t done;
	spin_key_value_key_value_result_bool_error_t exists;
	spin_key_value_key_value_tuple2_stream_string_future_result_void_error_t keys;
	tally_string_t piece[PIECE];
	wasi_http_types_future_result_option_own_trailers_error_code_writer_t trailers;
	wasi_http_types_result_option_own_trailers_error_code_t none;
};
static const tally_string_t label = {(uint8_t *)"default", 7};
static uint32_t now, most;

static bool is(const struct task *t, const char *what)
{
	size_t n = strlen(what);
	return memcmp(t->path, what, n) == 0 && (t->path[n] == 0 || t->path[n - 1] == '/');
}

static spin_key_value_key_value_borrow_store_t store(const struct task *t)
{
	return spin_key_value_key_value_borrow_store(t->store.val.ok);
}

static tally_string_t name(const struct task *t)
{
	return (tally_string_t){(uint8_t *)t->name, strlen(t->name)};
}

static void add_field(wasi_http_types_own_fields_t fields, const char *key, uint32_t n)
{
	char digits[12], *p = digits + sizeof digits;
	wasi_http_types_header_error_t error;
	do
		*--p = (char)('0' + n % 10);
	while (n /= 10);
	tally_string_t of = {(uint8_t *)key, strlen(key)};
	wasi_http_types_field_value_t value = {(uint8_t *)p, (size_t)(digits + sizeof digits - p)};
	if (!wasi_http_types_method_fields_append(wasi_http_types_borrow_fields(fields), &of, &value, &error))
		__builtin_trap();
}

// ---- steps: each begins something; true: it is over already -----------------------------------------------------------------------------------

static bool called(struct task *t, enum state state, tally_subtask_status_t status)
{
	t->state = state;
	if (TALLY_SUBTASK_STATE(status) == TALLY_SUBTASK_RETURNED)
		return true;
	tally_waitable_join(TALLY_SUBTASK_HANDLE(status), t->set);
	return false;
}

static bool copied(struct task *t, enum state state, uint32_t waitable, tally_waitable_status_t status)
{
	t->state = state;
	t->code = status;
	if (status != TALLY_WAITABLE_STATUS_BLOCKED)
		return true;
	tally_waitable_join(waitable, t->set);
	return false;
}

static bool answer(struct task *t, uint16_t status)
{
	wasi_http_types_tuple2_own_response_future_result_void_error_code_t made;
	wasi_http_types_own_fields_t fields = wasi_http_types_constructor_fields();
	add_field(fields, "x-count", t->found);
	add_field(fields, "x-most", most);
	wasi_http_types_static_response_new(fields, NULL, wasi_http_types_future_result_option_own_trailers_error_code_new(&t->trailers), &made);
	wasi_http_types_future_result_void_error_code_drop_readable(made.f1);
	wasi_http_types_method_response_set_status_code(wasi_http_types_borrow_response(made.f0), status);
	exports_wasi_http_handler_result_own_response_error_code_t ok = {.val.ok = made.f0};
	exports_wasi_http_handler_handle_return(ok);
	return copied(t, ANSWERING, t->trailers, wasi_http_types_future_result_option_own_trailers_error_code_write(t->trailers, &t->none));
}

static bool set(struct task *t)
{
	spin_key_value_key_value_method_store_set_args_t args = {.self = store(t), .key = name(t), .value = {(uint8_t *)"1", 1}};
	return called(t, SETTING, spin_key_value_key_value_method_store_set(&args, &t->done));
}

static bool read_some(struct task *t)
{
	size_t n = is(t, "/first") ? 1 : PIECE;
	return copied(t, READING, t->keys.f0, spin_key_value_key_value_stream_string_read(t->keys.f0, t->piece, n));
}

static bool took_some(struct task *t)
{
	uint32_t n = t->code >> 4;
	for (uint32_t i = 0; i < n; i++)
		tally_string_free(&t->piece[i]);
	t->found += n;
	if ((t->code & 0xf) == TALLY_WAITABLE_COMPLETED && !is(t, "/first"))
		return read_some(t);
	spin_key_value_key_value_stream_string_drop_readable(t->keys.f0);
	return copied(t, HEARING, t->keys.f1, spin_key_value_key_value_future_result_void_error_read(t->keys.f1, &t->done));
}

static bool ask(struct task *t)
{
	if (t->store.is_err)
		return answer(t, 503);
	t->has_store = true;
	if (is(t, "/set/"))
		return called(t, RESTING, wasi_clocks_monotonic_clock_wait_for(20 * MS));
	if (is(t, "/has/"))
		return called(t, ASKING, spin_key_value_key_value_method_store_exists(store(t), name(t), &t->exists));
	return called(t, LISTING, spin_key_value_key_value_method_store_get_keys(store(t), &t->keys));
}

// ---- the machine ---------------------------------------------------------------------------------------------------------------------------

// What it waited for is there. false: it waits again.
static bool go_on(struct task *t)
{
	switch (t->state) {
	case OPENING:
		return ask(t);
	case RESTING:
		return set(t);
	case SETTING:
		return answer(t, t->done.is_err ? 503 : 200);
	case ASKING:
		return answer(t, t->exists.is_err ? 503 : t->exists.val.ok ? 200 : 404);
	case LISTING:
		return read_some(t);
	case READING:
		return took_some(t);
	case HEARING:
		spin_key_value_key_value_future_result_void_error_drop_readable(t->keys.f1);
		return answer(t, t->done.is_err ? 503 : 200);
	default:
		__builtin_trap();
	}
}

static tally_callback_code_t run(struct task *t, bool ready)
{
	while (ready && t->state != ANSWERING)
		ready = go_on(t);
	if (!ready) {
		tally_context_set_0(t);
		return TALLY_CALLBACK_CODE_WAIT(t->set);
	}
	wasi_http_types_future_result_option_own_trailers_error_code_drop_writable(t->trailers);
	if (t->has_store)
		spin_key_value_key_value_store_drop_own(t->store.val.ok);
	now--;
	tally_waitable_set_drop(t->set);
	free(t->path);
	free(t);
	return TALLY_CALLBACK_CODE_EXIT;
}

tally_callback_code_t exports_wasi_http_handler_handle(exports_wasi_http_handler_own_request_t request)
{
	tally_string_t path = {0};
	struct task *t = malloc(sizeof *t);
	memset(t, 0, sizeof *t);
	wasi_http_types_method_request_get_path_with_query(wasi_http_types_borrow_request(request), &path);
	t->path = malloc(path.len + 16);
	memset(t->path, 0, path.len + 16);
	memcpy(t->path, path.ptr, path.len);
	t->name = t->path + 5;
	tally_string_free(&path);
	wasi_http_types_request_drop_own(request);
	t->set = tally_waitable_set_new();
	if (++now > most)
		most = now;
	return run(t, called(t, OPENING, spin_key_value_key_value_static_store_open(label, &t->store)));
}

tally_callback_code_t exports_wasi_http_handler_handle_callback(tally_event_t *event)
{
	struct task *t = tally_context_get_0();
	if (event->event == TALLY_EVENT_CANCEL)
		__builtin_trap();
	if (event->event != TALLY_EVENT_SUBTASK)
		tally_waitable_join(event->waitable, 0);
	else if (TALLY_SUBTASK_STATE(event->code) != TALLY_SUBTASK_RETURNED)
		return run(t, false);
	else
		tally_subtask_drop(event->waitable);
	t->code = event->code;
	return run(t, true);
}
