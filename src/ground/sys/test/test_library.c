// Libraries that are loaded only by who needs them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "sys/sys.h"

static void functions_are_found_once(void **state)
{
	static const char *const names[] = {"sin", "cos"};
	double (*found[2])(double) = {0};
	struct err e = {0};
	assert_true(sys_library_load("libm.so.6", names, 2, (void **)found, &e));
	assert_true(found[0](0) == 0 && found[1](0) == 1);
	found[0] = NULL;
	assert_true(sys_library_load("libnothing.so.6", names, 2, (void **)found, &e));  // all is there: nothing is loaded
	assert_null(found[0]);
}

static void what_is_missing_is_said(void **state)
{
	static const char *const names[] = {"sin", "sinus"};
	void *found[2] = {0};
	struct err e = {0};
	assert_false(sys_library_load("libnothing.so.6", names, 2, found, &e));
	assert_non_null(strstr(e.text, "libnothing.so.6"));
	err_clear(&e);
	assert_false(sys_library_load("libm.so.6", names, 2, found, &e));
	assert_string_equal(e.text, "libm.so.6 has no sinus");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(functions_are_found_once),
		cmocka_unit_test(what_is_missing_is_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
