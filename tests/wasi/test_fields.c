// Fields of wasi:http/types at their limits, and texts of requests: what a guest may set (W27, W28, L82, L83).
// PROGRAM(test_wasi_fields, "wasi tier cmocka", "")
#include "fields.h"

static int open_one(void **s)
{
	static const char *const functions[] = {TYPES_, NEW_FIELDS, TYPES_, APPEND, TYPES_, SET, TYPES_, DELETE, TYPES_, ENTRIES, TYPES_, FROM_LIST,
		TYPES_, NEW_REQUEST, TYPES_, SET_SCHEME, TYPES_, SET_METHOD, TYPES_, SET_PATH, TYPES_, SET_AUTHORITY, NULL};
	p = (struct puppet){.loop = loop};
	puppet_open(&p, functions);
	return 0;
}

static int close_one(void **s)
{
	puppet_close(&p);
	return 0;
}

static void schemes_are_checked(void **s)
{
	static const struct {
		const char *text;
		bool ok;
	} rows[] = {{"ftp", true}, {"a+b-c.1", true}, {"", false}, {"1a", false}, {"a b", false}, {"bad\nscheme", false}, {"a:", false}, {"\xc3\xa4", false}};
	uint32_t out = (uint32_t)CALL(&p, NEW_REQUEST, new_fields());
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(CALL(&p, SET_SCHEME, out, 1, 2, puppet_poke(&p, 0, slice_str(rows[i].text)), strlen(rows[i].text)) == 0, rows[i].ok);
}

// Every byte in every text of a request's head: nothing that would end a line, a word or the target.
static void texts_of_a_request_have_no_ends_of_lines_L82(void **s)
{
	uint32_t out = (uint32_t)CALL(&p, NEW_REQUEST, new_fields());
	for (unsigned c = 0; c < 0x80; c++) {
		const char text[] = {'/', 'a', (char)c, 'b'};
		uint32_t at = puppet_poke(&p, 0, slice_of(text, sizeof text));
		bool is_letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z', is_digit = c >= '0' && c <= '9';
		bool method = CALL(&p, SET_METHOD, out, WASI_HTTP_TYPES_METHOD_OTHER, at + 1, 3) == 0, path = CALL(&p, SET_PATH, out, 1, at, 4) == 0;
		bool authority = CALL(&p, SET_AUTHORITY, out, 1, at + 1, 3) == 0, scheme = CALL(&p, SET_SCHEME, out, 1, 2, at + 1, 3) == 0;
		if (c <= ' ' || c == 0x7f)
			assert_false(method || path || authority || scheme);
		if (is_letter || is_digit)
			assert_true(method && path && authority && scheme);
	}
	static const char *const authorities[] = {":80", "a:b", "a:80:90", "user@a", "[::1", "a/b", "a?b", "a#b", "a\\b"};
	for (size_t i = 0; i < ARRAY_LEN(authorities); i++)
		if (CALL(&p, SET_AUTHORITY, out, 1, puppet_poke(&p, 0, slice_str(authorities[i])), strlen(authorities[i])) == 0)
			fail_msg("the authority '%s' was taken", authorities[i]);
	static const char *const paths[] = {"", "a", "*", "//", "/#", "http://a/"};
	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		assert_int_equal(CALL(&p, SET_PATH, out, 1, puppet_poke(&p, 0, slice_str(paths[i])), strlen(paths[i])) == 0, strcmp(paths[i], "//") == 0);
}

static void fields_take_what_fits_and_refuse_the_rest(void **s)
{
	uint32_t fields = new_fields();
	uint32_t name = puppet_poke(&p, 0, SLICE_LIT("x-name"));
	uint32_t n = 0;
	for (; n < 100000; n++) {
		CALL(&p, APPEND, fields, name, 6, PUPPET_HEAP + 1, 0);
		if (is_err())
			break;
	}
	assert_true(n > 10 && n < 100000);
	CALL(&p, ENTRIES, fields);
	assert_int_equal(puppet_word(&p, PUPPET_RESULT + 4), n);
	CALL(&p, DELETE, fields, name, 6);
	CALL(&p, ENTRIES, fields);
	assert_int_equal(puppet_word(&p, PUPPET_RESULT + 4), 0);
	CALL(&p, APPEND, fields, name, 6, PUPPET_ARGS + 4096, 0);
	assert_false(is_err());
}

static uint32_t set(uint32_t fields, const char *name, const char *const *values, uint32_t n)
{
	uint32_t at = puppet_poke(&p, 0, slice_str(name)), text = PUPPET_ARGS + 8192, list[16];
	for (uint32_t i = 0; i < n; i++) {
		list[2 * i] = puppet_poke(&p, text - PUPPET_ARGS, slice_str(values[i]));
		list[2 * i + 1] = (uint32_t)strlen(values[i]);
		text += list[2 * i + 1];
	}
	CALL(&p, SET, fields, at, strlen(name), puppet_poke(&p, 4096, slice_of(list, 8 * n)), n);
	return puppet_peek(&p, PUPPET_RESULT);
}

static void what_is_set_takes_the_place_of_all_and_an_empty_list_of_none_W27(void **s)
{
	uint32_t fields = new_fields();
	append(fields, SLICE_LIT("X-a"), SLICE_LIT("1"));
	append(fields, SLICE_LIT("b"), SLICE_LIT("2"));
	append(fields, SLICE_LIT("x-A"), SLICE_LIT("1"));  // duplicates are kept, in their order, as they are written
	assert_int_equal(entries(fields, 0, "X-a", "1"), 3);
	assert_int_equal(entries(fields, 1, "b", "2"), 3);
	assert_int_equal(entries(fields, 2, "x-A", "1"), 3);
	assert_int_equal(set(fields, "x-a", (const char *const[]){"3", "4"}, 2), 0);
	assert_int_equal(entries(fields, 0, "b", "2"), 3);
	assert_int_equal(entries(fields, 2, "x-a", "4"), 3);
	assert_int_equal(set(fields, "X-A", (const char *const[]){"5", "a\nb"}, 2), 1);  // all or nothing
	assert_int_equal(entries(fields, 1, "x-a", "3"), 3);
	assert_int_equal(set(fields, "X-A", NULL, 0), 0);
	assert_int_equal(entries(fields, 0, "b", "2"), 1);
	assert_int_equal(set(fields, "host", NULL, 0), 1);
}

static void names_and_values_are_checked(void **s)
{
	static const char *const names[] = {"", " ", "a b", "a:", "a\n", "\x7f", "\xc3\xa9", "connection", "Transfer-Encoding", "host"};
	uint32_t fields = new_fields();
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		append(fields, slice_str(names[i]), SLICE_LIT("v"));
		if (!is_err())
			fail_msg("a field '%s' was taken", names[i]);
	}
	static const char *const values[] = {"a\r\nb: c", "\n", "a\x01", "\x7f"};
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		append(fields, SLICE_LIT("x"), slice_str(values[i]));
		if (!is_err())
			fail_msg("value %zu was taken", i);
	}
	append(fields, SLICE_LIT("x"), slice_of("a\0b", 3));
	assert_true(is_err());
	CALL(&p, ENTRIES, fields);
	assert_int_equal(puppet_word(&p, PUPPET_RESULT + 4), 0);
}

static void a_list_of_fields_outside_the_memory_traps(void **s)
{
	TRAPS(&p, TRAP_CANON, NULL, FROM_LIST, PUPPET_PAGES * 65536 - 8, 1);
	close_one(NULL);
	open_one(NULL);
	TRAPS(&p, TRAP_CANON, NULL, FROM_LIST, 0, UINT32_MAX);
}

static void of_0_3_a_name_has_one_casing_and_values_may_have_blanks_around_them(void **s)
{
	static const char *const of_3[] = {"wasi:http/types@0.3.0", NEW_FIELDS, "wasi:http/types@0.3.0", APPEND, "wasi:http/types@0.3.0", "[method]fields.copy-all",
		"wasi:http/types@0.3.0", "[method]fields.clone", NULL};
	static const char *const values[] = {" ", "\t a b \t", "", "plain"};
	static struct puppet q;
	q = (struct puppet){.loop = loop};
	puppet_open(&q, of_3);
	uint32_t fields = (uint32_t)CALL(&q, NEW_FIELDS);
	for (uint32_t i = 0; i < ARRAY_LEN(values); i++) {
		const char *name = i % 2 ? "Kind" : "kIND";
		CALL(&q, APPEND, fields, puppet_poke(&q, 0, slice_str(name)), 4, puppet_poke(&q, 8192, slice_str(values[i])), strlen(values[i]));
		assert_int_equal(puppet_peek(&q, PUPPET_RESULT), 0);
	}
	CALL(&q, APPEND, fields, puppet_poke(&q, 0, SLICE_LIT("x")), 1, puppet_poke(&q, 8192, SLICE_LIT(" a\nb ")), 5);
	assert_int_equal(puppet_peek(&q, PUPPET_RESULT), 1);
	for (unsigned round = 0; round < 2; round++) {
		CALL(&q, "[method]fields.copy-all", fields);
		assert_int_equal(puppet_word(&q, PUPPET_RESULT + 4), ARRAY_LEN(values));
		for (uint32_t i = 0; i < ARRAY_LEN(values); i++)
			assert_true(entry_is(&q, i, "kIND", values[i]));
		fields = (uint32_t)CALL(&q, "[method]fields.clone", fields);
	}
	puppet_close(&q);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_one, close_one)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(schemes_are_checked),
		TEST(texts_of_a_request_have_no_ends_of_lines_L82),
		TEST(fields_take_what_fits_and_refuse_the_rest),
		TEST(what_is_set_takes_the_place_of_all_and_an_empty_list_of_none_W27),
		TEST(names_and_values_are_checked),
		TEST(a_list_of_fields_outside_the_memory_traps),
		cmocka_unit_test(of_0_3_a_name_has_one_casing_and_values_may_have_blanks_around_them),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
