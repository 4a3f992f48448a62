// Lifting and lowering against a memory without a guest.
#include "fake.h"

static struct arena types;
static const struct wit_type *prim(enum wit_kind k)
{
	return wit_type_primitive(k);
}
static const struct wit_type *list_of(const struct wit_type *t)
{
	const struct wit_type *r;
	struct err e = {0};
	assert_true(wit_type_list(&types, t, &r, &e));
	return r;
}
static const struct wit_type *option_of(const struct wit_type *t)
{
	const struct wit_type *r;
	struct err e = {0};
	assert_true(wit_type_option(&types, t, &r, &e));
	return r;
}
static const struct wit_type *enum_of(uint32_t n)
{
	const struct wit_type *r;
	struct err e = {0};
	struct slice *names = ARENA_ARRAY(&types, struct slice, n);
	for (uint32_t i = 0; i < n; i++) {
		char text[16];
		int len = snprintf(text, sizeof(text), "c%u", i);
		assert_true(slice_dup(&types, slice_of(text, (size_t)len), &names[i]));
	}
	assert_true(wit_type_enum(&types, names, n, &r, &e));
	return r;
}
static void put32(struct fake *f, uint32_t at, uint32_t v)
{
	memcpy(f->bytes + at, &v, 4);
}
static uint32_t get32(struct fake *f, uint32_t at)
{
	uint32_t v;
	memcpy(&v, f->bytes + at, 4);
	return v;
}

static void discriminant_must_be_below_the_number_of_cases_l63(void **s)
{
	static const uint32_t counts[] = {1, 255, 256, 257, 65535, 65536, 65537};
	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		FOR_EACH_WIDTH(f)
		{
			const struct wit_type *t = enum_of(counts[i]);
			uint32_t out = 0;
			put32(f, 64, counts[i] - 1);
			assert_true(canon__load(&f->cx, f->low + 64, t, &out));
			assert_int_equal(out, counts[i] - 1);
			uint64_t cell = counts[i];
			const uint64_t *vi = &cell;
			assert_false(canon__lift_flat(&f->cx, &vi, t, &out));
			assert_int_equal(f->cx.trap, TRAP_CANON);
			if (counts[i] != 256 && counts[i] != 65536) {
				put32(f, 64, counts[i]);
				assert_false(canon__load(&f->cx, f->low + 64, t, &out));
			}
		}
	}
}

static void small_integers_ignore_upper_bits_c21(void **s)
{
	struct fake *f = fake_new();
	uint64_t cells[] = {0xffffff80, 0x12345, 2};
	const uint64_t *vi = cells;
	int8_t a;
	uint16_t b;
	uint8_t c;
	assert_true(canon__lift_flat(&f->cx, &vi, prim(WIT_S8), &a));
	assert_true(canon__lift_flat(&f->cx, &vi, prim(WIT_U16), &b));
	assert_true(canon__lift_flat(&f->cx, &vi, prim(WIT_BOOL), &c));
	assert_int_equal(a, -128);
	assert_int_equal(b, 0x2345);
	assert_int_equal(c, 1);
	uint64_t out[1], *vo = out;
	assert_true(canon__lower_flat(&f->cx, &a, prim(WIT_S8), &vo));
	assert_true(out[0] == 0xffffff80u);
	fake_free(f);
}

static void chars_must_be_scalar_values_c22(void **s)
{
	FOR_EACH_WIDTH(f)
	{
		static const uint32_t bad[] = {0x110000, 0xd800, 0xdfff, 0xffffffff};
		uint32_t out;
		for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
			uint64_t cell = bad[i];
			const uint64_t *vi = &cell;
			assert_false(canon__lift_flat(&f->cx, &vi, prim(WIT_CHAR), &out));
		}
		uint64_t cell = 0x10ffff;
		const uint64_t *vi = &cell;
		assert_true(canon__lift_flat(&f->cx, &vi, prim(WIT_CHAR), &out));
	}
}

static void undefined_flags_are_dropped_l62(void **s)
{
	FOR_EACH_WIDTH(f)
	{
		struct slice names[] = {SLICE_LIT("a"), SLICE_LIT("b"), SLICE_LIT("c")};
		const struct wit_type *t;
		struct err e = {0};
		assert_true(wit_type_flags(&types, names, 3, &t, &e));
		uint64_t cell = 0xfffffffd;
		const uint64_t *vi = &cell;
		uint8_t out;
		assert_true(canon__lift_flat(&f->cx, &vi, t, &out));
		assert_int_equal(out, 5);
		f->bytes[10] = 0xff;
		assert_true(canon__load(&f->cx, f->low + 10, t, &out));
		assert_int_equal(out, 7);
	}
}

static void nans_become_canonical_c23(void **s)
{
	FOR_EACH_WIDTH(f)
	{
		put32(f, 8, 0xffc12345);
		uint32_t out;
		assert_true(canon__load(&f->cx, f->low + 8, prim(WIT_F32), &out));
		assert_int_equal(out, 0x7fc00000);
		uint64_t bits = UINT64_C(0xfff0000000000001), cell, *vo = &cell;
		assert_true(canon__lower_flat(&f->cx, &bits, prim(WIT_F64), &vo));
		assert_true(cell == UINT64_C(0x7ff8000000000000));
	}
}

static void variant_cells_are_joined_and_the_rest_is_zero_c19(void **s)
{
	FOR_EACH_WIDTH(f)
	{
		struct wit_member cases[] = {{SLICE_LIT("a"), prim(WIT_F32)}, {SLICE_LIT("b"), prim(WIT_U64)}, {SLICE_LIT("c"), prim(WIT_STRING)}, {SLICE_LIT("d"), NULL}};
		const struct wit_type *t;
		struct err e = {0};
		assert_true(wit_type_variant(&types, cases, 4, &t, &e));
		assert_int_equal(t->n_flat, 3);
		uint64_t cells[] = {0, UINT64_C(0xdeadbeef3f800000), 77};
		const uint64_t *vi = cells;
		uint8_t out[32] = {0};
		assert_true(canon__lift_flat(&f->cx, &vi, t, out));
		assert_ptr_equal(vi, cells + 3);
		float one;
		memcpy(&one, out + t->payload64, 4);
		assert_true(one == 1.0f);
		uint64_t back[3] = {9, 9, 9}, *vo = back;
		assert_true(canon__lower_flat(&f->cx, out, t, &vo));
		assert_true(back[0] == 0 && back[1] == 0x3f800000 && back[2] == 0);
		out[0] = 3;
		vo = back;
		assert_true(canon__lower_flat(&f->cx, out, t, &vo));
		assert_true(back[0] == 3 && back[1] == 0 && back[2] == 0);
	}
}

static void lists_check_length_then_alignment_then_range_c30_l64(void **s)
{
	FOR_EACH_WIDTH(f)
	{
		const struct wit_type *t = list_of(prim(WIT_U32));
		struct wit_list out;
		uint64_t end = f->low + FAKE_SIZE, last = f->cx.wide ? UINT64_MAX - 3 : 0xfffffffc;
		const struct {
			uint64_t ptr, len;
			const char *text;
		} bad[] = {{1, 0x40000000, "too long"}, {2, 0, "not aligned"}, {end + 4, 0, "out of bounds"}, {end - 4, 2, "out of bounds"}, {last, 2, "out of bounds"}};
		for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
			uint64_t cells[] = {bad[i].ptr, bad[i].len};
			const uint64_t *vi = cells;
			assert_false(canon__lift_flat(&f->cx, &vi, t, &out));
			assert_non_null(strstr(f->trap.text, bad[i].text));
		}
		uint64_t cells[] = {end, 0};
		const uint64_t *vi = cells;
		assert_true(canon__lift_flat(&f->cx, &vi, t, &out));
		assert_int_equal(out.len, 0);
	}
}

// Where they are 64 bits wide, all of them count; where they are 32, those above are nobody's (R9).
static void all_bits_of_an_address_and_of_a_length_count(void **s)
{
	FOR_EACH_WIDTH(f)
	{
		const struct wit_type *t = list_of(prim(WIT_U32)), *texts = list_of(prim(WIT_STRING));
		struct wit_list out;
		static const uint64_t lengths[] = {UINT64_C(1) << 32, (UINT64_C(1) << 62) + 1, UINT64_MAX};
		for (size_t i = 0; i < ARRAY_LEN(lengths) && f->cx.wide; i++) {
			uint64_t cells[] = {f->low, lengths[i]};
			const uint64_t *vi = cells;
			assert_false(canon__lift_flat(&f->cx, &vi, t, &out));
			assert_non_null(strstr(f->trap.text, "too long"));
			vi = cells;
			assert_false(canon__lift_flat(&f->cx, &vi, texts, &out));
			assert_non_null(strstr(f->trap.text, "too long"));
		}
		uint64_t above = UINT64_C(0xabcd) << 32, cells[] = {f->low + 64 + above, 2 + (f->cx.wide ? 0 : above)};
		const uint64_t *vi = cells;
		assert_int_equal(canon__lift_flat(&f->cx, &vi, t, &out), !f->cx.wide);
		assert_int_equal(out.len, f->cx.wide ? out.len : 2);
	}
}

static void lists_of_options_survive_the_way_through(void **s)
{
	FOR_EACH_WIDTH(f)
	{
		const struct wit_type *t = list_of(option_of(prim(WIT_STRING)));
		struct {
			uint8_t some;
			struct wit_string text;
		} in[3] = {{1, {(const uint8_t *)"hello", 5}}, {0, {0}}, {1, {(const uint8_t *)"", 0}}};
		struct wit_list v = {in, 3}, back;
		uint64_t cells[2], *vo = cells;
		assert_true(canon__lower_flat(&f->cx, &v, t, &vo));
		assert_ptr_equal(vo, cells + 2);
		assert_true(cells[0] >= f->low && cells[1] == 3);
		assert_int_equal(f->n_calls, 3);  // the list, then its strings in order, also the empty one (C27, W6)
		assert_int_equal(f->calls[0][2], f->cx.wide ? 8 : 4);
		assert_int_equal(f->calls[0][3], f->cx.wide ? 72 : 36);
		assert_int_equal(f->calls[1][2], 1);
		assert_int_equal(f->calls[2][3], 0);
		const uint64_t *vi = cells;
		assert_true(canon__lift_flat(&f->cx, &vi, t, &back));
		assert_int_equal(back.len, 3);
		const uint8_t *p = back.ptr;
		struct wit_string text;
		memcpy(&text, p + 8, sizeof(text));
		assert_int_equal(p[0], 1);
		assert_memory_equal(text.ptr, "hello", 5);
		assert_int_equal(p[24], 0);
	}
}

// The layouts of the specification, and what one width wrote the other one reads, since native values are the same for both.
static void records_lie_as_their_width_has_it(void **s)
{
	struct wit_member cases[] = {{SLICE_LIT("a"), prim(WIT_U8)}, {SLICE_LIT("b"), list_of(prim(WIT_U16))}};
	struct wit_member members[] = {
		{SLICE_LIT("x"), prim(WIT_U8)}, {SLICE_LIT("s"), prim(WIT_STRING)}, {SLICE_LIT("v"), NULL}, {SLICE_LIT("y"), prim(WIT_U16)}};
	const struct wit_type *variant, *record;
	struct err e = {0};
	assert_true(wit_type_variant(&types, cases, 2, &variant, &e));
	members[2].type = variant;
	assert_true(wit_type_record(&types, members, 4, &record, &e));
	static const uint16_t numbers[] = {7, 8, 9};
	struct native {
		uint8_t x;
		struct wit_string s;
		uint8_t which;
		struct wit_list list;
		uint16_t y;
	} in = {1, {(const uint8_t *)"text", 4}, 1, {numbers, 3}, 0x1234}, back;
	assert_int_equal(record->size64, sizeof in);
	FOR_EACH_WIDTH(f)
	{
		// x at 0, s at 4 (8), the case at 12 (24), its list at 16 (32), y at 24 (48).
		uint32_t word = f->cx.wide ? 8 : 4;
		uint64_t at = f->low + 128;
		assert_int_equal(canon__size(f->cx.wide, record), 7 * word);
		memset(f->bytes, 0xee, 1024);
		assert_true(canon__store(&f->cx, &in, record, at));
		const uint8_t *p = f->bytes + 128;
		uint64_t words[7] = {0};
		for (uint32_t k = 0; k < 7; k++)
			memcpy(&words[k], p + k * word, word);
		assert_int_equal(p[0], 1);
		assert_memory_equal(f->memory.base + words[1], "text", 4);
		assert_true(words[1] >= f->low && words[4] >= f->low);
		assert_int_equal(words[2], 4);
		assert_int_equal(p[3 * word], 1);
		assert_memory_equal(f->memory.base + words[4], numbers, sizeof numbers);
		assert_int_equal(words[5], 3);
		assert_memory_equal(p + 6 * word, "\x34\x12", 2);
		assert_int_equal(p[7 * word], 0xee);
		memset(&back, 0, sizeof back);
		assert_true(canon__load(&f->cx, at, record, &back));
		assert_memory_equal(back.s.ptr, "text", 4);
		assert_true(back.x == 1 && back.y == 0x1234 && back.which == 1 && back.list.len == 3 && back.s.len == 4);
		assert_memory_equal(back.list.ptr, numbers, sizeof numbers);
	}
}

static void realloc_result_is_checked_for_alignment_then_range_c27(void **s)
{
	FOR_EACH_WIDTH(f)
	{
		const struct wit_type *t = list_of(prim(WIT_U32));
		static const uint32_t one = 1;
		struct wit_list v = {NULL, 0}, some = {&one, 1};
		uint64_t cells[2], *vo = cells;
		f->force = 0xffffffff;
		assert_false(canon__lower_flat(&f->cx, &v, t, &vo));
		assert_non_null(strstr(f->trap.text, "not aligned"));
		const uint64_t beyond[] = {f->low + FAKE_SIZE + 4, f->cx.wide ? UINT64_MAX - 3 : 0xfffffffc};
		for (size_t i = 0; i < ARRAY_LEN(beyond); i++) {
			f->force = beyond[i];
			vo = cells;
			assert_false(canon__lower_flat(&f->cx, &v, t, &vo));
			assert_non_null(strstr(f->trap.text, "out of bounds"));
			vo = cells;
			assert_false(canon__lower_flat(&f->cx, &some, t, &vo));
		}
	}
}

static void spilled_pointers_are_checked_c18(void **s)
{
	FOR_EACH_WIDTH(f)
	{
		const struct wit_type *t;
		struct err e = {0};
		const struct wit_type *parts[] = {prim(WIT_U64), prim(WIT_U8)};
		assert_true(wit_type_tuple(&types, parts, 2, &t, &e));
		uint8_t value[16] = {0};
		const uint64_t bad[] = {f->low + 4, f->low + FAKE_SIZE - 8, f->cx.wide ? UINT64_MAX - 7 : 0xfffffff8};
		for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
			uint64_t *vo = NULL;
			const uint64_t *vi = &bad[i];
			assert_false(canon__lower_flat_values(&f->cx, 1, value, t, &bad[i], &vo));
			assert_false(canon__lift_flat_values(&f->cx, 1, &vi, t, value));
		}
		uint64_t good = f->low + FAKE_SIZE - 16, *vo = NULL;
		const uint64_t *vi = &good;
		assert_true(canon__lower_flat_values(&f->cx, 1, value, t, &good, &vo));
		assert_true(canon__lift_flat_values(&f->cx, 1, &vi, t, value));
	}
}

static void huge_lists_from_the_guest_are_bounded_l77(void **s)
{
	FOR_EACH_WIDTH(f)
	{
		f->task.arena.max = 64 << 10;
		struct wit_list out;
		uint64_t cells[] = {f->low, FAKE_SIZE / canon__size(f->cx.wide, prim(WIT_STRING))};
		const uint64_t *vi = cells;
		assert_false(canon__lift_flat(&f->cx, &vi, list_of(prim(WIT_STRING)), &out));
		assert_int_equal(f->cx.trap, TRAP_OUT_OF_MEMORY);
	}
}

static int start(void **s)
{
	arena_init(&types, 0);
	return 0;
}
static int stop(void **s)
{
	arena_release(&types);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(discriminant_must_be_below_the_number_of_cases_l63),
		cmocka_unit_test(small_integers_ignore_upper_bits_c21),
		cmocka_unit_test(chars_must_be_scalar_values_c22),
		cmocka_unit_test(undefined_flags_are_dropped_l62),
		cmocka_unit_test(nans_become_canonical_c23),
		cmocka_unit_test(variant_cells_are_joined_and_the_rest_is_zero_c19),
		cmocka_unit_test(lists_check_length_then_alignment_then_range_c30_l64),
		cmocka_unit_test(all_bits_of_an_address_and_of_a_length_count),
		cmocka_unit_test(records_lie_as_their_width_has_it),
		cmocka_unit_test(lists_of_options_survive_the_way_through),
		cmocka_unit_test(realloc_result_is_checked_for_alignment_then_range_c27),
		cmocka_unit_test(spilled_pointers_are_checked_c18),
		cmocka_unit_test(huge_lists_from_the_guest_are_bounded_l77),
	};
	(void)get32;
	return cmocka_run_group_tests(tests, start, stop);
}
