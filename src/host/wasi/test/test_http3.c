// What is told to who made a message of 0.3.
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "wasi/http3_int.h"
#include "wasi_host.h"

static struct wasi_result_void_http3_types_error_code told;

static bool got(struct wasi_reader *r, struct canon_task *t, void *value, bool is_ours)
{
	memcpy(&told, value, sizeof told);
	return true;
}

static void over(struct wasi_reader *r, bool has)
{
	assert_true(has);
}

static void tell(const struct wasi_error *why)
{
	static const struct wasi_reader_ops ops = {got, over};
	struct wasi_reader reader = {.ops = &ops};
	struct wasi_promise *sent = pool_zalloc(NULL, sizeof *sent);
	sent->of = &sent;
	sent->to = &reader;
	wasi__http3_tell_sent(&sent, why);
	assert_null(sent);
	assert_true(reader.done);
}

static void each_code_is_an_error_and_only_success_is_none(void **state)
{
	for (uint8_t code = WASI_HTTP3_TYPES_ERROR_CODE_DNS_TIMEOUT; code <= WASI_HTTP3_TYPES_ERROR_CODE_INTERNAL_ERROR; code++) {
		tell(&(struct wasi_error){.http_code = code});
		assert_true(told.is_err);
		assert_int_equal(told.err.tag, code);
	}
	tell(NULL);
	assert_false(told.is_err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_code_is_an_error_and_only_success_is_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
