// What others wrote, in JSON and on a terminal: escaped once.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/base.h"

static void expect_json(struct slice text, const char *want)
{
	struct buf b = {0};
	assert_true(buf_put_json_string(&b, text));
	assert_int_equal(b.len, strlen(want));
	assert_memory_equal(b.ptr, want, b.len);
	buf_release(&b);
}

static void expect_printable(struct slice text, const char *keep, const char *want)
{
	struct buf b = {0};
	assert_true(buf_put_printable(&b, text, keep));
	assert_int_equal(b.len, strlen(want));
	assert_memory_equal(b.ptr ? b.ptr : (uint8_t *)"", want, b.len);
	buf_release(&b);
}

static void json_escapes_each_character_once(void **state)
{
	expect_json(SLICE_LIT(""), "\"\"");
	expect_json(SLICE_LIT("a\"b\\c\n\t"), "\"a\\\"b\\\\c\\n\\u0009\"");
	expect_json(SLICE_LIT("\x1b[31m"), "\"\\u001b[31m\"");
	expect_json(SLICE_LIT("r\xc3\xa4ksm\xc3\xb6rg\xc3\xa5s"), "\"r\xc3\xa4ksm\xc3\xb6rg\xc3\xa5s\"");
	expect_json(slice_of("\0", 1), "\"\\u0000\"");
	expect_json(SLICE_LIT("\xc2\x9b"), "\"\\u009b\"");
	expect_json(SLICE_LIT("\u202egpj.exe\u2028\ufeff"), "\"\\u202egpj.exe\\u2028\\ufeff\"");
	expect_json(SLICE_LIT("\u200d\U0001f600"), "\"\u200d\U0001f600\"");
}

// Whatever stands before it, and however many bytes are left behind the last whole word.
static void what_is_utf8_is_told_to_the_byte(void **state)
{
	static const struct {
		const char *text;
		size_t len, valid;
	} rows[] = {{"\xc3\xa9z", 3, 3}, {"z\xc3", 2, 1}, {"\x80", 1, 0}, {"z\xff", 2, 1}, {"\xed\xa0\x80", 3, 0}, {"\xf0\x9f\x98\x80", 4, 4}, {"", 0, 0}};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (size_t before = 0; before < 20; before++)
			for (size_t behind = 0; behind < 10; behind++) {
				uint8_t text[40];
				memset(text, 'a', sizeof text);
				memcpy(text + before, rows[i].text, rows[i].len);
				bool whole = rows[i].valid == rows[i].len;
				assert_int_equal(utf8_valid_prefix(slice_of(text, before + rows[i].len + behind)), before + rows[i].valid + (whole ? behind : 0));
			}
}

static void json_stays_utf8_whatever_it_is_given(void **state)
{
	expect_json(SLICE_LIT("\xff"
						  "a\xc3"),
		"\"\xef\xbf\xbd"
		"a\xef\xbf\xbd\"");
	expect_json(SLICE_LIT("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

static void nothing_that_a_terminal_acts_on_is_printed(void **state)
{
	expect_printable(SLICE_LIT(""), "", "");
	expect_printable(SLICE_LIT("a\x1b]0;x\x07\n\t"), "\t", "a\\x1b]0;x\\x07\\x0a\t");
	expect_printable(SLICE_LIT("a\nb"), "\n", "a\nb");
	expect_printable(SLICE_LIT("\xc2\x9b"
							   "1m\x7f"),
		"", "\\xc2\\x9b1m\\x7f");
	expect_printable(SLICE_LIT("\xff\xc3\xa4"), "", "\\xff\xc3\xa4");
	expect_printable(slice_of("\0", 1), "\n", "\\x00");
}

static void what_makes_a_name_look_like_another_is_printed_as_bytes(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{"\u202egpj.exe", "\\xe2\\x80\\xaegpj.exe"},
		{"a\u2066b\u2069", "a\\xe2\\x81\\xa6b\\xe2\\x81\\xa9"},
		{"\u061c\u200e\u200f", "\\xd8\\x9c\\xe2\\x80\\x8e\\xe2\\x80\\x8f"},
		{"a\u200bb\u2060\ufeff", "a\\xe2\\x80\\x8bb\\xe2\\x81\\xa0\\xef\\xbb\\xbf"},
		{"a\u2028b\u00ad", "a\\xe2\\x80\\xa8b\\xc2\\xad"},
		{"\U000e0041", "\\xf3\\xa0\\x81\\x81"},
		{"\u05d0 \u0627 \u200d\u00b7\u2030 \U0001f600", "\u05d0 \u0627 \u200d\u00b7\u2030 \U0001f600"},  // letters, joiners, signs
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		expect_printable(slice_str(rows[i].text), "\n", rows[i].want);
}

static bool reads(const char *text, size_t max, struct buf *ret, struct err *e)
{
	FILE *f = *text ? fmemopen(UNCONST(text), strlen(text), "r") : fopen("/dev/null", "re");
	*ret = (struct buf){.max = max};
	err_clear(e);
	assert_non_null(f);
	bool ok = buf_read(ret, f, "it", e);
	fclose(f);
	return ok;
}

static void a_stream_is_read_whole_or_refused(void **state)
{
	struct buf b;
	struct err e = {0};
	assert_true(reads("", 1024, &b, &e));
	assert_int_equal(b.len, 0);
	buf_release(&b);
	assert_true(reads("abc", 3, &b, &e));
	assert_memory_equal(b.ptr, "abc", 3);
	buf_release(&b);
	assert_false(reads("abc", 2, &b, &e));
	assert_int_equal(e.code, ERR_LIMIT);
	buf_release(&b);
	assert_true(reads("a", 1, &b, &e));
	buf_release(&b);
	FILE *folder = fopen("/", "re");
	b = (struct buf){.max = 10};
	assert_false(buf_read(&b, folder, "it", &e));
	assert_int_equal(e.code, ERR_ENV);
	fclose(folder);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_escapes_each_character_once),
		cmocka_unit_test(what_is_utf8_is_told_to_the_byte),
		cmocka_unit_test(json_stays_utf8_whatever_it_is_given),
		cmocka_unit_test(nothing_that_a_terminal_acts_on_is_printed),
		cmocka_unit_test(what_makes_a_name_look_like_another_is_printed_as_bytes),
		cmocka_unit_test(a_stream_is_read_whole_or_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
