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
		struct fake *f = fake_new();
		const struct wit_type *t = enum_of(counts[i]);
		uint32_t out = 0;
		put32(f, 64, counts[i] - 1);
		assert_true(canon__load(&f->cx, 64, t, &out));
		assert_int_equal(out, counts[i] - 1);
		uint64_t cell = counts[i];
		const uint64_t *vi = &cell;
		assert_false(canon__lift_flat(&f->cx, &vi, t, &out));
		assert_int_equal(f->cx.trap, TRAP_CANON);
		if (counts[i] != 256 && counts[i] != 65536) {
			put32(f, 64, counts[i]);
			assert_false(canon__load(&f->cx, 64, t, &out));
		}
		fake_free(f);
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
	struct fake *f = fake_new();
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
	fake_free(f);
}

static void undefined_flags_are_dropped_l62(void **s)
{
	struct fake *f = fake_new();
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
	assert_true(canon__load(&f->cx, 10, t, &out));
	assert_int_equal(out, 7);
	fake_free(f);
}

static void nans_become_canonical_c23(void **s)
{
	struct fake *f = fake_new();
	put32(f, 8, 0xffc12345);
	uint32_t out;
	assert_true(canon__load(&f->cx, 8, prim(WIT_F32), &out));
	assert_int_equal(out, 0x7fc00000);
	uint64_t bits = UINT64_C(0xfff0000000000001), cell, *vo = &cell;
	assert_true(canon__lower_flat(&f->cx, &bits, prim(WIT_F64), &vo));
	assert_true(cell == UINT64_C(0x7ff8000000000000));
	fake_free(f);
}

static void variant_cells_are_joined_and_the_rest_is_zero_c19(void **s)
{
	struct fake *f = fake_new();
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
	fake_free(f);
}

static void lists_check_length_then_alignment_then_range_c30_l64(void **s)
{
	struct fake *f = fake_new();
	const struct wit_type *t = list_of(prim(WIT_U32));
	struct wit_list out;
	static const struct {
		uint32_t ptr, len;
		const char *text;
	} bad[] = {
		{1, 0x40000000, "too long"}, {2, 0, "not aligned"}, {FAKE_SIZE + 4, 0, "out of bounds"}, {FAKE_SIZE - 4, 2, "out of bounds"}, {0xfffffffc, 2, "out of bounds"}};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		uint64_t cells[] = {bad[i].ptr, bad[i].len};
		const uint64_t *vi = cells;
		assert_false(canon__lift_flat(&f->cx, &vi, t, &out));
		assert_non_null(strstr(f->trap.text, bad[i].text));
	}
	uint64_t cells[] = {FAKE_SIZE, 0};
	const uint64_t *vi = cells;
	assert_true(canon__lift_flat(&f->cx, &vi, t, &out));
	assert_int_equal(out.len, 0);
	fake_free(f);
}

static void lists_of_options_survive_the_way_through(void **s)
{
	struct fake *f = fake_new();
	const struct wit_type *t = list_of(option_of(prim(WIT_STRING)));
	struct {
		uint8_t some;
		struct wit_string text;
	} in[3] = {{1, {(const uint8_t *)"hello", 5}}, {0, {0}}, {1, {(const uint8_t *)"", 0}}};
	struct wit_list v = {in, 3}, back;
	uint64_t cells[2], *vo = cells;
	assert_true(canon__lower_flat(&f->cx, &v, t, &vo));
	assert_int_equal(f->n_calls, 3);  // the list, then its strings in order, also the empty one (C27, W6)
	assert_int_equal(f->calls[0][2], 4);
	assert_int_equal(f->calls[0][3], 36);
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
	fake_free(f);
}

static void realloc_result_is_checked_for_alignment_then_range_c27(void **s)
{
	struct fake *f = fake_new();
	const struct wit_type *t = list_of(prim(WIT_U32));
	struct wit_list v = {NULL, 0};
	uint64_t cells[2], *vo = cells;
	f->force = 0xffffffff;
	assert_false(canon__lower_flat(&f->cx, &v, t, &vo));
	assert_non_null(strstr(f->trap.text, "not aligned"));
	f->force = FAKE_SIZE + 4;
	vo = cells;
	assert_false(canon__lower_flat(&f->cx, &v, t, &vo));
	assert_non_null(strstr(f->trap.text, "out of bounds"));
	fake_free(f);
}

static void spilled_pointers_are_checked_c18(void **s)
{
	struct fake *f = fake_new();
	const struct wit_type *t;
	struct err e = {0};
	const struct wit_type *parts[] = {prim(WIT_U64), prim(WIT_U8)};
	assert_true(wit_type_tuple(&types, parts, 2, &t, &e));
	uint8_t value[16] = {0};
	static const uint64_t bad[] = {4, FAKE_SIZE - 8, 0xfffffff8};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		uint64_t *vo = NULL;
		const uint64_t *vi = &bad[i];
		assert_false(canon__lower_flat_values(&f->cx, 1, value, t, &bad[i], &vo));
		assert_false(canon__lift_flat_values(&f->cx, 1, &vi, t, value));
	}
	fake_free(f);
}

static void huge_lists_from_the_guest_are_bounded_l77(void **s)
{
	struct fake *f = fake_new();
	f->task.arena.max = 64 << 10;
	struct wit_list out;
	uint64_t cells[] = {0, FAKE_SIZE / 8};
	const uint64_t *vi = cells;
	assert_false(canon__lift_flat(&f->cx, &vi, list_of(prim(WIT_STRING)), &out));
	assert_int_equal(f->cx.trap, TRAP_OUT_OF_MEMORY);
	fake_free(f);
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
		cmocka_unit_test(lists_of_options_survive_the_way_through),
		cmocka_unit_test(realloc_result_is_checked_for_alignment_then_range_c27),
		cmocka_unit_test(spilled_pointers_are_checked_c18),
		cmocka_unit_test(huge_lists_from_the_guest_are_bounded_l77),
	};
	(void)get32;
	return cmocka_run_group_tests(tests, start, stop);
}
