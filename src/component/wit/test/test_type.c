// Value types: layouts, flat forms, bounds, equality.
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "wit/wit.h"

#define P(kind) wit_type_primitive(kind)

static struct arena arena;
static struct err err;

static int setup(void **state)
{
	arena_init(&arena, 0);
	err_clear(&err);
	return 0;
}

static int teardown(void **state)
{
	arena_release(&arena);
	return 0;
}

static const struct wit_type *record_of(const struct wit_type *const *types, uint32_t n)
{
	static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
	struct wit_member m[8];
	const struct wit_type *t = NULL;
	for (uint32_t i = 0; i < n; i++)
		m[i] = (struct wit_member){slice_str(names[i]), types[i]};
	assert_true(wit_type_record(&arena, m, n, &t, &err));
	return t;
}

static void record_layout_follows_both_pointer_sizes(void **state)
{
	const struct wit_type *t = record_of((const struct wit_type *[]){P(WIT_U8), P(WIT_STRING), P(WIT_U16), P(WIT_U64), P(WIT_BOOL)}, 5);
	struct native {
		uint8_t a;
		struct wit_string b;
		uint16_t c;
		uint64_t d;
		bool e;
	};
	assert_int_equal(t->size64, sizeof(struct native));
	assert_int_equal(t->align64, _Alignof(struct native));
	assert_int_equal(t->fields[1].offset64, offsetof(struct native, b));
	assert_int_equal(t->fields[3].offset64, offsetof(struct native, d));
	assert_int_equal(t->fields[4].offset64, offsetof(struct native, e));
	assert_int_equal(t->fields[1].offset32, 4);
	assert_int_equal(t->fields[2].offset32, 12);
	assert_int_equal(t->fields[3].offset32, 16);
	assert_int_equal(t->size32, 32);
	assert_int_equal(t->n_flat, 6);
	assert_int_equal(t->flat[4], WIT_CORE_I64);
	assert_true(t->flags & WIT_HAS_PTR);
}

static void variant_joins_flat_types_and_aligns_the_payload(void **state)
{
	const struct wit_member cases[] = {{SLICE_LIT("int"), P(WIT_S32)}, {SLICE_LIT("long"), P(WIT_S64)}, {SLICE_LIT("single"), P(WIT_F32)},
		{SLICE_LIT("text"), P(WIT_STRING)}, {SLICE_LIT("none"), NULL}};
	const struct wit_type *t, *o;
	assert_true(wit_type_variant(&arena, cases, 5, &t, &err));
	assert_int_equal(t->discriminant_size, 1);
	assert_int_equal(t->payload32, 8);
	assert_int_equal(t->size32, 16);
	assert_int_equal(t->payload64, 8);
	assert_int_equal(t->size64, 24);
	assert_int_equal(t->n_flat, 3);
	assert_int_equal(t->flat[1], WIT_CORE_I64);
	assert_int_equal(t->flat[2], WIT_CORE_I32);
	assert_true(wit_type_option(&arena, P(WIT_U16), &o, &err));
	assert_int_equal(o->size32, 4);
	assert_int_equal(o->payload32, 2);
	// f32 with i32 joins to i32, f32 with f32 stays.
	assert_true(wit_type_result(&arena, P(WIT_F32), P(WIT_U8), &o, &err));
	assert_int_equal(o->flat[1], WIT_CORE_I32);
	assert_true(wit_type_result(&arena, P(WIT_F32), P(WIT_F32), &o, &err));
	assert_int_equal(o->flat[1], WIT_CORE_F32);
}

// C20, L63
static void discriminant_grows_at_257_and_65537_cases(void **state)
{
	static const uint32_t counts[] = {1, 255, 256, 257, 65536, 65537};
	static const uint8_t sizes[] = {1, 1, 1, 2, 2, 4};
	static char text[65537][8];
	struct slice *names = mem_alloc(sizeof(*names) * 65537);
	for (uint32_t i = 0; i < 65537; i++)
		names[i] = slice_of(text[i], (size_t)snprintf(text[i], sizeof(text[i]), "c%u", i));
	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		const struct wit_type *t;
		assert_true(wit_type_enum(&arena, names, counts[i], &t, &err));
		assert_int_equal(t->discriminant_size, sizes[i]);
		assert_int_equal(t->size32, sizes[i]);
	}
	const struct wit_type *t;
	names[60000] = SLICE_LIT("C7");
	assert_false(wit_type_enum(&arena, names, 65537, &t, &err));
	assert_non_null(strstr(err.text, "enum tag name `C7` conflicts with previous tag name `c7`"));
	mem_free(names);
}

static void flat_types_over_sixteen_are_flagged(void **state)
{
	const struct wit_type *t, *u, *p[17];
	for (int i = 0; i < 17; i++)
		p[i] = P(WIT_U32);
	assert_true(wit_type_tuple(&arena, p, 16, &t, &err));
	assert_int_equal(t->n_flat, 16);
	assert_true(wit_type_tuple(&arena, p, 17, &t, &err));
	assert_int_equal(t->n_flat, WIT_FLAT_OVER);
	assert_true(wit_type_tuple(&arena, (const struct wit_type *[]){t, P(WIT_U8)}, 2, &u, &err));
	assert_int_equal(u->n_flat, WIT_FLAT_OVER);
	assert_true(wit_type_fixed_list(&arena, P(WIT_U8), 16, &t, &err));
	assert_int_equal(t->n_flat, 16);
	assert_true(wit_type_option(&arena, t, &u, &err));
	assert_int_equal(u->n_flat, WIT_FLAT_OVER);
}

// C5
static void refuses_what_the_specification_refuses(void **state)
{
	static const struct {
		const char *name, *text;
	} rows[] = {{"", "record field name cannot be empty"}, {"GoNnA", "record field name `GoNnA` is not in kebab case"},
		{"A-b-C-d", "record field name `A-b-C-d` conflicts with previous field name `a-B-c-D`"}};
	const struct wit_type *t;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct wit_member m[] = {{SLICE_LIT("a-B-c-D"), P(WIT_U8)}, {slice_str(rows[i].name), P(WIT_U8)}};
		err_clear(&err);
		assert_false(wit_type_record(&arena, m, 2, &t, &err));
		assert_string_equal(err.text, rows[i].text);
	}
	struct slice names[33];
	char text[33][4];
	for (unsigned i = 0; i < 33; i++)
		names[i] = slice_of(text[i], (size_t)snprintf(text[i], 4, "f%u", i));
	err_clear(&err);
	assert_true(wit_type_flags(&arena, names, 32, &t, &err));
	assert_int_equal(t->size32, 4);
	assert_false(wit_type_flags(&arena, names, 33, &t, &err));
	assert_non_null(strstr(err.text, "cannot have more than 32 flags"));
	assert_false(wit_type_flags(&arena, names, 0, &t, NULL));
	assert_false(wit_type_record(&arena, NULL, 0, &t, NULL));
	assert_false(wit_type_variant(&arena, NULL, 0, &t, NULL));
	assert_false(wit_type_tuple(&arena, NULL, 0, &t, NULL));
	assert_false(wit_type_enum(&arena, NULL, 0, &t, NULL));
	assert_false(wit_type_fixed_list(&arena, P(WIT_U8), 0, &t, NULL));
	assert_false(wit_type_map(&arena, P(WIT_F32), P(WIT_U8), &t, NULL));
}

// C6, L57
static void sizes_from_2_28_are_invalid_also_for_64_bit_pointers(void **state)
{
	const struct wit_type *t;
	assert_true(wit_type_fixed_list(&arena, P(WIT_U8), (1u << 28) - 1, &t, &err));
	assert_false(wit_type_fixed_list(&arena, P(WIT_U8), 1u << 28, &t, &err));
	assert_non_null(strstr(err.text, "exceeds maximum byte size"));
	assert_false(wit_type_fixed_list(&arena, P(WIT_STRING), 1u << 24, &t, NULL));
	assert_true(wit_type_fixed_list(&arena, P(WIT_U64), 1u << 24, &t, NULL));
	assert_false(wit_type_fixed_list(&arena, P(WIT_U64), UINT64_MAX, &t, NULL));
	assert_false(wit_type_tuple(&arena, (const struct wit_type *[]){t, t}, 2, &t, NULL));
}

// L55
static void a_tower_of_tuples_ends_at_the_effective_size(void **state)
{
	const struct wit_type *t = P(WIT_U8);
	int height = 0;
	while (height < 30 && wit_type_tuple(&arena, (const struct wit_type *[]){t, t}, 2, &t, &err))
		height++;
	assert_int_equal(height, 18);
	assert_non_null(strstr(err.text, "effective type size exceeds the limit"));
}

// L56
static void nesting_is_bounded(void **state)
{
	const struct wit_type *t = P(WIT_U8);
	int depth = 1;
	while (depth < 1000 && wit_type_option(&arena, t, &t, &err))
		depth++;
	assert_int_equal(depth, WIT_MAX_DEPTH);
	assert_non_null(strstr(err.text, "nesting is too deep"));
}

static void equality_says_where_types_differ(void **state)
{
	const struct wit_type *a = record_of((const struct wit_type *[]){P(WIT_U8), P(WIT_STRING)}, 2);
	const struct wit_type *b = record_of((const struct wit_type *[]){P(WIT_U8), P(WIT_STRING)}, 2);
	const struct wit_type *c = record_of((const struct wit_type *[]){P(WIT_U8), P(WIT_U32)}, 2);
	const struct wit_type *la, *lb, *lc;
	struct wit_compare cmp = {.steps = 100};
	assert_true(wit_type_list(&arena, a, &la, &err) && wit_type_list(&arena, b, &lb, &err) && wit_type_list(&arena, c, &lc, &err));
	assert_true(wit_type_equal(&cmp, la, lb, &err));
	assert_false(wit_type_equal(&cmp, la, lc, &err));
	assert_non_null(strstr(err.text, "expected string, found u32"));
	assert_non_null(strstr(err.where, "field `b`"));
	err_clear(&err);
	cmp.steps = 2;
	assert_false(wit_type_equal(&cmp, la, lb, &err));
	assert_int_equal(err.code, ERR_LIMIT);
}

static struct wit_resource res_a = {SLICE_LIT("a")};

static void a_borrow_may_not_be_returned(void **state)
{
	const struct wit_type *b, *l, *f;
	const struct wit_func_type *ft;
	assert_true(wit_type_borrow(&arena, &res_a, &b, &err) && wit_type_list(&arena, b, &l, &err));
	assert_false(wit_func_type_make(&arena, NULL, 0, l, false, &ft, &err));
	assert_string_equal(err.text, "function result cannot contain a `borrow` type");
	assert_false(wit_type_future(&arena, l, &f, NULL));
	assert_false(wit_type_stream(&arena, P(WIT_CHAR), &f, NULL));
	assert_true(wit_func_type_make(&arena, (struct wit_member[]){{SLICE_LIT("x"), b}}, 1, NULL, false, &ft, &err));
	assert_int_equal(ft->params.size64, 4);
}

static void every_failing_allocation_is_an_error(void **state)
{
	for (uint64_t n = 1;; n++) {
		struct arena a;
		struct err e = {0};
		const struct wit_type *t, *u;
		arena_init(&a, 0);
		mem_fail_nth(n);
		bool ok = wit_type_option(&a, P(WIT_STRING), &t, &e) && wit_type_map(&a, P(WIT_STRING), t, &u, &e);
		mem_fail_nth(0);
		arena_release(&a);
		if (ok) {
			assert_true(n > 1);
			break;
		}
		assert_int_equal(e.code, ERR_NOMEM);
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(record_layout_follows_both_pointer_sizes),
		T(variant_joins_flat_types_and_aligns_the_payload),
		T(discriminant_grows_at_257_and_65537_cases),
		T(flat_types_over_sixteen_are_flagged),
		T(refuses_what_the_specification_refuses),
		T(sizes_from_2_28_are_invalid_also_for_64_bit_pointers),
		T(a_tower_of_tuples_ends_at_the_effective_size),
		T(nesting_is_bounded),
		T(equality_says_where_types_differ),
		T(a_borrow_may_not_be_returned),
		T(every_failing_allocation_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
