// W3C Trace Context: what is taken, what is not, what is passed on.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "obs/obs.h"

#define GOOD "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

static void what_is_taken_is_passed_on(void **state)
{
	struct obs_context c;
	char text[OBS_PARENT_LEN];
	assert_true(obs_context_parse(SLICE_LIT(GOOD), &c));
	assert_true(c.sampled);
	assert_int_equal(c.span, 0xb7ad6b7169203331);
	assert_int_equal(c.trace[0], 0x0a);
	assert_int_equal(c.trace[15], 0x9c);
	obs_context_print(&c, text);
	assert_memory_equal(text, GOOD, OBS_PARENT_LEN);
	c.sampled = false;
	obs_context_print(&c, text);
	assert_memory_equal(text + 52, "-00", 3);
}

static void of_flags_the_lowest_says_whether_it_is_sampled(void **state)
{
	struct obs_context c;
	assert_true(obs_context_parse(SLICE_LIT("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-fe"), &c));
	assert_false(c.sampled);
	assert_true(obs_context_parse(SLICE_LIT("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff"), &c));
	assert_true(c.sampled);
}

static void a_later_version_is_read_as_far_as_it_is_known(void **state)
{
	struct obs_context c;
	assert_true(obs_context_parse(SLICE_LIT("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), &c));
	assert_true(obs_context_parse(SLICE_LIT("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-comes"), &c));
	assert_false(obs_context_parse(SLICE_LIT("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.what"), &c));
	assert_false(obs_context_parse(SLICE_LIT("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what"), &c));
	assert_false(obs_context_parse(SLICE_LIT("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), &c));
}

static void what_is_none_is_not_taken(void **state)
{
	static const char *const wrong[] = {"", "00", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
		"00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
		"00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331_01", "0 -0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"};
	struct obs_context c;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_false(obs_context_parse(slice_str(wrong[i]), &c));
	for (size_t n = 0; n < OBS_PARENT_LEN; n++)
		assert_false(obs_context_parse(slice_of(GOOD, n), &c));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_taken_is_passed_on),
		cmocka_unit_test(of_flags_the_lowest_says_whether_it_is_sampled),
		cmocka_unit_test(a_later_version_is_read_as_far_as_it_is_known),
		cmocka_unit_test(what_is_none_is_not_taken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
