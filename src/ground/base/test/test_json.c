#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/base.h"
#include "base/json.h"

static struct arena arena;

static struct json *read_it(const char *text)
{
	struct json *v = NULL;
	struct err e;
	err_clear(&e);
	arena_init(&arena, 16 << 20);
	if (!json_parse(&arena, slice_str(text), &v, &e))
		assert_int_not_equal(e.code, ERR_NONE);
	return v;
}

static void accepts(const char *text)
{
	if (!read_it(text))
		fail_msg("%s: refused", text);
	arena_release(&arena);
}

static void refuses(const char *text)
{
	if (read_it(text))
		fail_msg("%s: taken", text);
	arena_release(&arena);
}

static void takes_every_kind_of_value_and_nothing_beside_it(void **state)
{
	static const char *const good[] = {"null", " true ", "false\n", "0", "-0", "1.5e+10", "12E-3", "\"\"", "[]", "{}", "[ 1 , [ ] , {} ]", "{\"a\":{\"b\":[1,2]}}",
		"\"\\u0041\\ud83d\\ude00\\n\\/\"", "\"\xc3\xa4\""};
	static const char *const bad[] = {"", " ", "nul", "nulls", "tru", "01", "-", "1.", ".5", "1e", "+1", "0x1", "NaN", "[1,]", "[1 2]", "[", "[1", "{\"a\"}", "{\"a\":}", "{a:1}",
		"{\"a\":1,}", "{\"a\":1 \"b\":2}", "'a'", "\"a", "\"\\", "\"\\\"", "\"\\x41\"", "\"\\u12\"", "\"\\u12g4\"", "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\\udc00\"",
		"\"\t\"", "\"\xff\"", "\"\xc3\"", "\"\xed\xa0\x80\"", "1 1", "{} {}", "[]]", "/* */ 1", "\xef\xbb\xbf[]"};
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		accepts(good[i]);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		refuses(bad[i]);
}

static void decodes_strings_and_finds_members(void **state)
{
	const struct json *v = read_it("{\"a\\u0062\":\"x\\\"\\\\\\u00e4\\ud83d\\ude00\",\"n\":18446744073709551615,\"big\":18446744073709551616,\"t\":true,\"f\":1.5}");
	assert_true(slice_eq_str(json_text(v, "ab"), "x\"\\\xc3\xa4\xf0\x9f\x98\x80"));
	assert_true(json_number(v, "n", 7) == UINT64_MAX && json_number(v, "big", 7) == 7 && json_number(v, "f", 7) == 7 && json_number(v, "none", 7) == 7);
	assert_true(json_is_true(v, "t") && !json_is_true(v, "n") && !json_member(v, "none") && !json_member(NULL, "a"));
	assert_int_equal(v->n, 5);
	arena_release(&arena);
}

static void a_name_stands_once_in_an_object_however_many_there_are(void **state)
{
	refuses("{\"a\":1,\"a\":2}");
	refuses("{\"a\":1,\"\\u0061\":2}");
	accepts("{\"a\":{\"a\":1},\"b\":{\"a\":1}}");
	for (unsigned twice = 0; twice < 400; twice += 7) {
		struct buf b = {0};
		for (unsigned i = 0; i < 400; i++)
			buf_printf(&b, "%s\"k%u\":%u", i ? "," : "{", i, i);
		buf_printf(&b, ",\"k%u\":0}%c", twice, 0);
		refuses((const char *)b.ptr);
		b.len = 0;
		for (unsigned i = 0; i < 400; i++)
			buf_printf(&b, "%s\"k%u\":%u", i ? "," : "{", i, i);
		buf_printf(&b, "}%c", 0);
		accepts((const char *)b.ptr);
		buf_release(&b);
	}
}

static void depth_and_memory_are_bounded(void **state)
{
	char text[80] = "";
	memset(text, '[', 33);
	memset(text + 33, ']', 33);
	accepts(text);  // 32 and what they are in
	memset(text, '[', 34);
	memset(text + 34, ']', 34);
	refuses(text);
	struct buf many = {0};
	for (unsigned i = 0; i < 100000; i++)
		buf_put_str(&many, i ? ",0" : "[0");
	buf_put(&many, "]", 2);
	struct json *v;
	struct err e;
	err_clear(&e);
	arena_init(&arena, 1 << 20);
	assert_false(json_parse(&arena, slice_of(many.ptr, many.len - 1), &v, &e));
	assert_int_equal(e.code, ERR_NOMEM);
	arena_release(&arena);
	buf_release(&many);
}

static void whatever_is_cut_off_is_refused_or_stands_alone(void **state)
{
	static const char text[] = "{\"a\":[1,-2.5e3,\"\\u00e4\\n\",null,true,false,{}],\"b\":{\"c\":\"d\"}}";
	for (size_t n = 0; n < sizeof text - 1; n++) {
		char part[sizeof text];
		snprintf(part, sizeof part, "%.*s", (int)n, text);
		refuses(part);
	}
	accepts(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_every_kind_of_value_and_nothing_beside_it),
		cmocka_unit_test(decodes_strings_and_finds_members),
		cmocka_unit_test(a_name_stands_once_in_an_object_however_many_there_are),
		cmocka_unit_test(depth_and_memory_are_bounded),
		cmocka_unit_test(whatever_is_cut_off_is_refused_or_stands_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
