// Strings in three encodings: acceptance, and the sequence of reallocs that a guest sees (C24–C29).
#include "fake.h"

static void lift(struct fake *f, uint8_t encoding, const char *bytes, size_t n, uint64_t units, bool ok)
{
	struct wit_string out;
	memcpy(f->bytes + 16, bytes, n);
	f->cx.encoding = encoding;
	if (canon__load_string_from_range(&f->cx, f->low + 16, units, &out) != ok)
		fail_msg("encoding %u, %llx units: %s", encoding, (unsigned long long)units, f->trap.text);
}

static void malformed_text_traps_c26(void **s)
{
	FOR_EACH_WIDTH(f)
	{
		lift(f, CANON_UTF8, "\xc3\xa9", 2, 2, true);
		lift(f, CANON_UTF8, "\xc0\x80", 2, 2, false);          // overlong
		lift(f, CANON_UTF8, "\xed\xa0\x80", 3, 3, false);      // surrogate
		lift(f, CANON_UTF8, "\xf4\x90\x80\x80", 4, 4, false);  // beyond 10FFFF
		lift(f, CANON_UTF8, "ab\xe2\x82", 4, 4, false);        // cut
		lift(f, CANON_UTF16, "\x00\xd8\x00\xdc", 4, 2, true);
		lift(f, CANON_UTF16, "\x00\xd8", 2, 1, false);
		lift(f, CANON_UTF16, "\x00\xdc\x41\x00", 4, 2, false);
		lift(f, CANON_LATIN1_UTF16, "\xff\xfe", 2, 2, true);
		lift(f, CANON_LATIN1_UTF16, "\x00\xd8", 2, 1 | canon__utf16_tag(f->cx.wide), false);
	}
}

static void ranges_are_checked_also_when_empty_c24_c25(void **s)
{
	FOR_EACH_WIDTH(f)
	{
		struct wit_string out;
		assert_true(canon__load_string_from_range(&f->cx, f->low + FAKE_SIZE, 0, &out));
		assert_false(canon__load_string_from_range(&f->cx, f->low + FAKE_SIZE + 1, 0, &out));
		assert_false(canon__load_string_from_range(&f->cx, f->low + 0, 1u << 28, &out));
		assert_non_null(strstr(f->trap.text, "too long"));
		assert_false(canon__load_string_from_range(&f->cx, f->cx.wide ? UINT64_MAX : 0xffffffff, 2, &out));
		f->cx.encoding = CANON_UTF16;
		assert_false(canon__load_string_from_range(&f->cx, f->low + 1, 0, &out));
		assert_false(canon__load_string_from_range(&f->cx, f->low + FAKE_SIZE - 2, 2, &out));
		f->cx.encoding = CANON_LATIN1_UTF16;
		assert_false(canon__load_string_from_range(&f->cx, f->low + 1, 0, &out));
	}
}

static void host_code_sees_utf8(void **s)
{
	FOR_EACH_WIDTH(f)
	{
		struct wit_string out;
		memcpy(f->bytes, "\x41\x00\xe9\x00\x3d\xd8\x00\xde", 8);
		f->cx.encoding = CANON_UTF16;
		assert_true(canon__load_string_from_range(&f->cx, f->low + 0, 4, &out));
		assert_int_equal(out.len, 7);
		assert_memory_equal(out.ptr, "A\xc3\xa9\xf0\x9f\x98\x80", 7);
		f->cx.encoding = CANON_LATIN1_UTF16;
		memcpy(f->bytes, "A\xe9", 2);
		assert_true(canon__load_string_from_range(&f->cx, f->low + 0, 2, &out));
		assert_int_equal(out.len, 3);
		assert_memory_equal(out.ptr, "A\xc3\xa9", 3);
	}
}

struct expect {
	const char *name;
	unsigned from;  // native encoding
	const char *bytes;
	size_t units;
	unsigned to;
	const char *stored;
	size_t stored_bytes;
	uint64_t tagged;  // with 32-bit addresses
	uint32_t n_calls;
	uint64_t calls[4][3];  // old size, align, size
};
static const struct expect table[] = {
	{"utf8→utf8", CANON_UTF8, "h\xc3\xa9", 3, CANON_UTF8, "h\xc3\xa9", 3, 3, 1, {{0, 1, 3}}},
	{"empty", CANON_UTF8, "", 0, CANON_UTF8, "", 0, 0, 1, {{0, 1, 0}}},
	{"utf16→utf8 ascii", CANON_UTF16, "a\0b\0", 2, CANON_UTF8, "ab", 2, 2, 1, {{0, 1, 2}}},
	{"utf16→utf8 wide", CANON_UTF16, "a\0\xe9\0b\0", 3, CANON_UTF8, "a\xc3\xa9"
																	"b",
		4, 4, 3, {{0, 1, 3}, {3, 1, 9}, {9, 1, 4}}},
	{"utf16→utf8 worst", CANON_UTF16, "\xac\x20", 1, CANON_UTF8, "\xe2\x82\xac", 3, 3, 2, {{0, 1, 1}, {1, 1, 3}}},
	{"latin1→utf8", CANON_LATIN1, "a\xe9", 2, CANON_UTF8, "a\xc3\xa9", 3, 3, 3, {{0, 1, 2}, {2, 1, 4}, {4, 1, 3}}},
	{"utf8→utf16 ascii", CANON_UTF8, "ab", 2, CANON_UTF16, "a\0b\0", 4, 2, 1, {{0, 2, 4}}},
	{"utf8→utf16 shrinks", CANON_UTF8, "\xc3\xa9", 2, CANON_UTF16, "\xe9\0", 2, 1, 2, {{0, 2, 4}, {4, 2, 2}}},
	{"utf16→utf16", CANON_UTF16, "a\0", 1, CANON_UTF16, "a\0", 2, 1, 1, {{0, 2, 2}}},
	{"latin1→utf16", CANON_LATIN1, "\xe9z", 2, CANON_UTF16, "\xe9\0z\0", 4, 2, 1, {{0, 2, 4}}},
	{"utf8→latin1", CANON_UTF8, "a\xc3\xa9", 3, CANON_LATIN1_UTF16, "a\xe9", 2, 2, 2, {{0, 2, 3}, {3, 2, 2}}},
	{"utf8→latin1 ascii", CANON_UTF8, "ab", 2, CANON_LATIN1_UTF16, "ab", 2, 2, 1, {{0, 2, 2}}},
	{"utf8→tagged", CANON_UTF8, "a\xe2\x82\xac", 4, CANON_LATIN1_UTF16, "a\0\xac\x20", 4, 2 | UTF16_TAG, 3, {{0, 2, 4}, {4, 2, 8}, {8, 2, 4}}},
	{"utf16→tagged exact", CANON_UTF16, "a\0\xac\x20", 2, CANON_LATIN1_UTF16, "a\0\xac\x20", 4, 2 | UTF16_TAG, 2, {{0, 2, 2}, {2, 2, 4}}},
	{"latin1→latin1", CANON_LATIN1, "a\xe9", 2, CANON_LATIN1_UTF16, "a\xe9", 2, 2, 1, {{0, 2, 2}}},
	{"tagged→tagged", CANON_LATIN1_UTF16, "\xac\x20", 1, CANON_LATIN1_UTF16, "\xac\x20", 2, 1 | UTF16_TAG, 1, {{0, 2, 2}}},
	{"tagged deflates", CANON_LATIN1_UTF16, "a\0\xe9\0", 2, CANON_LATIN1_UTF16, "a\xe9", 2, 2, 2, {{0, 2, 4}, {4, 1, 2}}},
	{"tagged→utf8", CANON_LATIN1_UTF16, "a\0", 1, CANON_UTF8, "a", 1, 1, 1, {{0, 1, 1}}},
	{"tagged→utf16", CANON_LATIN1_UTF16, "a\0", 1, CANON_UTF16, "a\0", 2, 1, 1, {{0, 2, 2}}},
};

static void stores(const struct expect *x, struct fake *f)
{
	struct wit_string v = {(const uint8_t *)x->bytes, x->units | (size_t)x->from << CANON_STRING_SHIFT};
	uint64_t ptr, units, tagged = x->tagged & UTF16_TAG ? (x->tagged ^ UTF16_TAG) | canon__utf16_tag(f->cx.wide) : x->tagged;
	f->cx.encoding = (uint8_t)x->to;
	if (!canon__store_string_into_range(&f->cx, &v, &ptr, &units))
		fail_msg("%s: %s", x->name, f->trap.text);
	assert_true(ptr >= f->low);
	if (units != tagged || memcmp(f->memory.base + ptr, x->stored, x->stored_bytes) != 0)
		fail_msg("%s: wrong text, %llx units", x->name, (unsigned long long)units);
	assert_int_equal(f->n_calls, x->n_calls);
	for (uint32_t k = 0; k < x->n_calls; k++)
		for (int n = 0; n < 3; n++)
			if (f->calls[k][1 + n] != x->calls[k][n])
				fail_msg("%s: call %u, argument %d is %llu", x->name, k, n + 1, (unsigned long long)f->calls[k][1 + n]);
}

static void reallocs_are_those_of_the_specification_c28_c29(void **s)
{
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		FOR_EACH_WIDTH(f)
	stores(&table[i], f);
}

// A length of 64 bits is compared as a whole, whatever its lower half or its double is; the tag is its highest bit.
static void lengths_of_64_bits_are_refused_c24(void **s)
{
	static const uint64_t bad[] = {UINT64_C(1) << 32, (UINT64_C(1) << 32) + 1, UINT64_C(1) << 62, (UINT64_C(1) << 63) - 1, (UINT64_C(1) << 31) | 1};
	static const uint8_t encodings[] = {CANON_UTF8, CANON_UTF16, CANON_LATIN1_UTF16};
	struct fake *f = fake_new_of(true);
	struct wit_string out;
	for (size_t k = 0; k < ARRAY_LEN(encodings); k++) {
		f->cx.encoding = encodings[k];
		for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
			assert_false(canon__load_string_from_range(&f->cx, f->low, bad[i], &out));
			assert_non_null(strstr(f->trap.text, "too long"));
		}
		assert_int_equal(canon__load_string_from_range(&f->cx, f->low, UINT64_C(1) << 63, &out), encodings[k] == CANON_LATIN1_UTF16);
		assert_false(canon__load_string_from_range(&f->cx, UINT64_MAX - 1, 2, &out));
		assert_non_null(strstr(f->trap.text, "out of bounds"));
	}
	fake_free(f);
}

static void text_that_changed_since_it_was_lifted_writes_nothing_beyond_l60(void **s)
{
	FOR_EACH_WIDTH(f)
	{
		uint8_t text[4] = {'a', 'b', 'c', 0xff};
		struct wit_string v = {text, 4};
		uint64_t ptr, units;
		f->cx.encoding = CANON_UTF16;
		assert_false(canon__store_string_into_range(&f->cx, &v, &ptr, &units));
		assert_int_equal(f->cx.trap, TRAP_CANON);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(malformed_text_traps_c26),
		cmocka_unit_test(ranges_are_checked_also_when_empty_c24_c25),
		cmocka_unit_test(host_code_sees_utf8),
		cmocka_unit_test(reallocs_are_those_of_the_specification_c28_c29),
		cmocka_unit_test(lengths_of_64_bits_are_refused_c24),
		cmocka_unit_test(text_that_changed_since_it_was_lifted_writes_nothing_beyond_l60),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
