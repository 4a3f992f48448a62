// Recursion groups and subtyping: equal groups have equal ids, whatever module they come from; a supertype is found by one look.
#include "module.h"

#define GC (WASM_FEATURES_DEFAULT | WASM_FEATURE_GC)
enum { FUNC = 0x60, STRUCT = 0x5f, ARRAY = 0x5e, GROUP = 0x4e, SUB_FINAL = 0x4f, SUB = 0x50, I32 = 0x7f, I64 = 0x7e, REF = 0x64, REF_NULL = 0x63 };

static struct wasm_module *decode(struct arena *a, struct buf *b, struct slice types)
{
	struct wasm_module *m = NULL;
	struct err e = {0};
	arena_init(a, 0);
	put_preamble(b);
	put_section(b, TYPES, types);
	if (!wasm_decode(a, buf_view(b), GC, 0, &m, &e))
		fail_msg("%s", e.text);
	return m;
}

static void refuses(struct slice types, const char *text)
{
	struct buf b = {0};
	struct err e;
	put_preamble(&b);
	put_section(&b, TYPES, types);
	if (accepts_with(buf_view(&b), GC, &e))
		fail_msg("accepted, expected %s", text);
	if (!strstr(e.text, text))
		fail_msg("expected %s, got %s", text, e.text);
	buf_release(&b);
}

// (rec (struct (ref null 1)) (struct (ref null 0))) twice in one module, behind another type in a second one, and with the places exchanged.
static void equal_groups_have_equal_ids(void **state)
{
	struct arena a, b;
	struct buf x = {0}, y = {0};
	struct wasm_module *m = decode(&a, &x,
		BYTES(2, GROUP, 2, STRUCT, 1, REF_NULL, 1, 0, STRUCT, 1, REF_NULL, 0, 0, GROUP, 2, STRUCT, 1, REF_NULL, 3, 0, STRUCT, 1, REF_NULL, 2, 0));
	struct wasm_module *n = decode(&b, &y,
		BYTES(3, FUNC, 0, 0, GROUP, 2, STRUCT, 1, REF_NULL, 2, 0, STRUCT, 1, REF_NULL, 1, 0, GROUP, 2, STRUCT, 1, REF_NULL, 3, 0, STRUCT, 1, REF_NULL, 4, 0));
	assert_int_equal(m->types[0].id, m->types[2].id);
	assert_int_equal(m->types[1].id, m->types[3].id);
	assert_int_equal(m->types[0].id + 1, m->types[1].id);
	assert_int_equal(n->types[1].id, m->types[0].id);
	assert_int_not_equal(n->types[3].id, m->types[0].id);
	const struct wasm_type *t = wasm_interned_type(m->types[0].id);
	assert_true(t->form == WASM_FORM_STRUCT && t->nfields == 1 && t->fields[0].type.type == m->types[1].id);
	arena_release(&a);
	arena_release(&b);
	buf_release(&x);
	buf_release(&y);
}

// What differs in anything is another type: mutability, how a field is packed, final or not, the supertype, alone or in a group.
static void what_differs_is_another_type(void **state)
{
	struct arena a;
	struct buf x = {0};
	struct wasm_module *m = decode(&a, &x,
		BYTES(9, STRUCT, 1, I32, 0, STRUCT, 1, I32, 1, STRUCT, 1, 0x78, 0, STRUCT, 1, 0x77, 0, SUB, 0, STRUCT, 1, I32, 0, SUB, 1, 4, STRUCT, 1, I32, 0,
			SUB_FINAL, 1, 4, STRUCT, 1, I32, 0, ARRAY, I32, 0, GROUP, 2, STRUCT, 1, I32, 0, FUNC, 0, 0));
	for (uint32_t i = 0; i < m->ntypes; i++)
		for (uint32_t k = 0; k < i; k++)
			assert_int_not_equal(m->types[i].id, m->types[k].id);
	arena_release(&a);
	buf_release(&x);
}

static void supertypes_are_found_at_every_depth(void **state)
{
	struct buf types = {0}, x = {0};
	struct arena a;
	put_leb(&types, 65);
	buf_put_slice(&types, BYTES(SUB, 0, STRUCT, 0));
	for (uint8_t i = 1; i < 64; i++)
		buf_put_slice(&types, BYTES(SUB, 1, (uint8_t)(i - 1), STRUCT, 0));
	buf_put_slice(&types, BYTES(SUB, 1, 3, STRUCT, 1, I32, 0));
	struct wasm_module *m = decode(&a, &x, buf_view(&types));
	for (uint32_t i = 0; i < 64; i++)
		for (uint32_t k = 0; k < 64; k++)
			assert_int_equal(wasm_type_is_sub(m->types[i].id, m->types[k].id), i >= k);
	for (uint32_t k = 0; k < 64; k++) {
		assert_int_equal(wasm_type_is_sub(m->types[64].id, m->types[k].id), k <= 3);
		assert_false(wasm_type_is_sub(m->types[k].id, m->types[64].id));
	}
	assert_false(wasm_type_is_sub(UINT32_MAX, m->types[0].id));
	struct wasm_valtype deep = {.kind = WASM_REF, .heap = WASM_HEAP_CONCRETE, .type = 63}, shallow = {.kind = WASM_REF, .heap = WASM_HEAP_CONCRETE, .type = 2};
	assert_true(wasm_valtype_matches(m, deep, m, shallow));
	assert_false(wasm_valtype_matches(m, shallow, m, deep));
	arena_release(&a);
	buf_release(&types);
	buf_release(&x);
}

static void a_hierarchy_that_is_too_deep_is_refused(void **state)
{
	struct buf types = {0};
	put_leb(&types, 65);
	buf_put_slice(&types, BYTES(SUB, 0, STRUCT, 0));
	for (uint8_t i = 1; i < 65; i++)
		buf_put_slice(&types, BYTES(SUB, 1, (uint8_t)(i - 1), STRUCT, 0));
	refuses(buf_view(&types), "too many supertypes of a type above each other: at most 63");
	buf_release(&types);
}

static void subtypes_must_fit_their_supertype(void **state)
{
	refuses(BYTES(2, STRUCT, 0, SUB, 1, 0, STRUCT, 0), "type 0 is final");
	refuses(BYTES(1, SUB, 1, 0, STRUCT, 0), "a supertype comes before its subtypes");
	refuses(BYTES(2, SUB, 0, STRUCT, 1, I32, 0, SUB, 1, 0, STRUCT, 0), "does not match its supertype 0");
	refuses(BYTES(2, SUB, 0, STRUCT, 1, I32, 0, SUB, 1, 0, STRUCT, 1, I32, 1), "does not match its supertype 0");
	refuses(BYTES(2, SUB, 0, STRUCT, 1, 0x6d, 1, SUB, 1, 0, STRUCT, 1, 0x6c, 1), "does not match its supertype 0");
	refuses(BYTES(2, SUB, 0, ARRAY, 0x78, 0, SUB, 1, 0, ARRAY, I32, 0), "does not match its supertype 0");
	refuses(BYTES(2, SUB, 0, FUNC, 1, 0x6d, 0, SUB, 1, 0, FUNC, 1, 0x6c, 0), "does not match its supertype 0");
	refuses(BYTES(1, SUB, 2, 0, 0, STRUCT, 0), "one supertype at most");
	refuses(BYTES(1, STRUCT, 1, I32, 2), "malformed mutability");
	struct arena a;
	struct buf x = {0};
	decode(&a, &x, BYTES(4, SUB, 0, STRUCT, 1, 0x6d, 0, SUB, 1, 0, STRUCT, 2, 0x6c, 0, I64, 1, SUB, 0, FUNC, 1, 0x6c, 1, 0x6d, SUB, 1, 2, FUNC, 1, 0x6d, 1, 0x6c));
	arena_release(&a);
	buf_release(&x);
}

// What a subtype has of its supertype lies where that has it.
static void fields_lie_at_their_alignment(void **state)
{
	struct arena a;
	struct buf x = {0};
	struct wasm_module *m = decode(&a, &x, BYTES(2, STRUCT, 6, 0x78, 0, I32, 0, 0x77, 0, I64, 0, 0x7b, 0, 0x6e, 0, ARRAY, 0x7b, 1));
	static const uint32_t at[] = {8, 12, 16, 24, 32, 48};
	for (uint32_t i = 0; i < 6; i++)
		assert_int_equal(m->types[0].fields[i].offset, at[i]);
	assert_int_equal(m->types[0].size, 52);
	assert_int_equal(m->types[1].fields[0].offset, 8);
	assert_int_equal(m->types[1].fields[0].size, 16);
	arena_release(&a);
	buf_release(&x);
}

static void types_must_have_the_form_that_is_wanted(void **state)
{
	struct buf b = {0};
	struct err e;
	put_preamble(&b);
	put_section(&b, TYPES, BYTES(1, STRUCT, 0));
	put_section(&b, FUNCTIONS, BYTES(1, 0));
	assert_false(accepts_with(buf_view(&b), GC, &e));
	assert_non_null(strstr(e.text, "type 0 is not a function's"));
	assert_false(accepts_with(buf_view(&b), WASM_FEATURES_DEFAULT & ~WASM_FEATURE_GC, &e));
	assert_non_null(strstr(e.text, "'gc'"));
	buf_release(&b);
}

// Constant expressions make objects: (global (ref 0) (struct.new 0 (i32.const 1))), and what they refuse.
static void constant_expressions_make_objects(void **state)
{
	const struct {
		struct slice init;
		bool fine;
	} cases[] = {
		{BYTES(0x41, 1, 0xfb, 0, 0, 0x0b), true},
		{BYTES(0xfb, 1, 0, 0x0b), true},
		{BYTES(0x42, 1, 0xfb, 0, 0, 0x0b), false},
		{BYTES(0xfb, 0, 0, 0x0b), false},
		{BYTES(0x41, 1, 0xfb, 28, 0x0b), false},
		{BYTES(0xd0, 0, 0xfb, 22, 0, 0x0b), false},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf b = {0}, c = {0};
		struct err e;
		put_preamble(&b);
		put_section(&b, TYPES, BYTES(1, STRUCT, 1, I32, 0));
		buf_put_slice(&c, BYTES(1, REF, 0, 0));
		buf_put_slice(&c, cases[i].init);
		put_section(&b, GLOBALS, buf_view(&c));
		assert_int_equal(accepts_with(buf_view(&b), GC, &e), cases[i].fine);
		buf_release(&b);
		buf_release(&c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_groups_have_equal_ids),
		cmocka_unit_test(what_differs_is_another_type),
		cmocka_unit_test(supertypes_are_found_at_every_depth),
		cmocka_unit_test(a_hierarchy_that_is_too_deep_is_refused),
		cmocka_unit_test(subtypes_must_fit_their_supertype),
		cmocka_unit_test(fields_lie_at_their_alignment),
		cmocka_unit_test(types_must_have_the_form_that_is_wanted),
		cmocka_unit_test(constant_expressions_make_objects),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
