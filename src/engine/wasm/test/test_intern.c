// Types of the process: equal types have equal ids, whatever module they come from, in any thread (L21, L22); matching.
#include <pthread.h>

#include "module.h"

#define FUNC_TYPE(np, nr, ...) \
	((struct wasm_func_type){np, nr, (const struct wasm_valtype[]){__VA_ARGS__}, (const struct wasm_valtype[]){__VA_ARGS__} + (np)})
#define I32 {.kind = WASM_I32}
#define I64 {.kind = WASM_I64}
#define FUNCREF {.kind = WASM_REF, .nullable = 1, .heap = WASM_HEAP_FUNC}
#define REF_FUNC {.kind = WASM_REF, .heap = WASM_HEAP_FUNC}

static void equal_types_have_equal_ids(void **state)
{
	struct wasm_func_type a = FUNC_TYPE(1, 1, I32, I64), same = FUNC_TYPE(1, 1, I32, I64);
	struct wasm_func_type others[] = {FUNC_TYPE(2, 0, I32, I64), FUNC_TYPE(0, 2, I32, I64), FUNC_TYPE(1, 1, I64, I32),
		FUNC_TYPE(1, 1, I32, FUNCREF), FUNC_TYPE(1, 1, I32, REF_FUNC)};
	uint32_t id = wasm_intern_func_type(&a);
	assert_int_not_equal(id, 0);
	assert_int_equal(wasm_intern_func_type(&same), id);
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_int_not_equal(wasm_intern_func_type(&others[i]), id);
	const struct wasm_func_type *t = wasm_interned_func_type(id);
	assert_true(t->nparams == 1 && t->nresults == 1 && t->params[0].kind == WASM_I32 && t->results[0].kind == WASM_I64);
	assert_null(wasm_interned_func_type(0));
	assert_null(wasm_interned_func_type(UINT32_MAX));
}

static struct wasm_module *decode_types(struct arena *a, struct buf *b, struct slice types)
{
	struct wasm_module *m = NULL;
	struct err e = {0};
	arena_init(a, 0);
	put_preamble(b);
	put_section(b, TYPES, types);
	if (!wasm_decode(a, buf_view(b), WASM_FEATURES_DEFAULT, 0, &m, &e))
		fail_msg("%s", e.text);
	return m;
}

// References to types are part of a key by canonical id, not by index; a type may refer to itself.
static void ids_do_not_depend_on_the_modules_indices(void **state)
{
	struct arena a, b;
	struct buf x = {0}, y = {0};
	struct wasm_module *m = decode_types(&a, &x, BYTES(4, 0x60, 0, 0, 0x60, 1, 0x7f, 0, 0x60, 1, 0x64, 1, 0, 0x60, 1, 0x63, 3, 0));
	struct wasm_module *n = decode_types(&b, &y, BYTES(5, 0x60, 1, 0x7f, 0, 0x60, 1, 0x64, 0, 0, 0x60, 1, 0x63, 2, 0, 0x60, 0, 0, 0x60, 1, 0x64, 3, 0));
	assert_int_equal(m->types[0].id, n->types[3].id);
	assert_int_equal(m->types[1].id, n->types[0].id);
	assert_int_equal(m->types[2].id, n->types[1].id);
	assert_int_equal(m->types[3].id, n->types[2].id);
	assert_int_not_equal(m->types[2].id, n->types[4].id);
	const struct wasm_func_type *self = wasm_interned_func_type(m->types[3].id);
	assert_int_equal(self->params[0].type, m->types[3].id);
	// Matching between modules goes by id.
	struct wasm_valtype have = {.kind = WASM_REF, .heap = WASM_HEAP_CONCRETE, .type = 1}, want = {.kind = WASM_REF, .nullable = 1, .heap = WASM_HEAP_CONCRETE, .type = 0};
	assert_true(wasm_valtype_matches(m, have, n, want));
	assert_false(wasm_valtype_matches(n, want, m, have));  // null is not accepted
	want.type = 1;
	assert_false(wasm_valtype_matches(m, have, n, want));
	want = (struct wasm_valtype){.kind = WASM_REF, .heap = WASM_HEAP_CONCRETE, .type = m->types[1].id};
	assert_true(wasm_valtype_matches(m, have, NULL, want));
	assert_true(wasm_valtype_matches(m, have, n, (struct wasm_valtype)FUNCREF));
	assert_false(wasm_valtype_matches(m, (struct wasm_valtype)FUNCREF, n, (struct wasm_valtype)REF_FUNC));
	assert_false(wasm_valtype_matches(m, (struct wasm_valtype)I32, n, (struct wasm_valtype)I64));
	arena_release(&a);
	arena_release(&b);
	buf_release(&x);
	buf_release(&y);
}

static void types_refer_to_earlier_types_and_themselves_only(void **state)
{
	struct buf b = {0};
	put_preamble(&b);
	put_section(&b, TYPES, BYTES(2, 0x60, 1, 0x64, 1, 0, 0x60, 0, 0));
	expect_error(buf_view(&b), ERR_INVALID, "unknown type 1");
	buf_release(&b);
}

static void limits_match_when_they_are_within(void **state)
{
	struct wasm_limits none = {.min = 1}, some = {.min = 1, .max = 2, .has_max = true}, more = {.min = 2, .max = 3, .has_max = true};
	assert_true(wasm_limits_match(&some, &none));
	assert_false(wasm_limits_match(&none, &some));
	assert_true(wasm_limits_match(&some, &some));
	assert_false(wasm_limits_match(&more, &some));
	assert_false(wasm_limits_match(&some, &more));
	assert_true(wasm_limits_match(&more, &none));
}

enum { THREADS = 4, SHAPES = 512 };
static void *intern_many(void *ret)
{
	uint32_t *ids = ret;
	for (unsigned i = 0; i < SHAPES; i++) {
		struct wasm_valtype types[9];
		for (unsigned bit = 0; bit < 9; bit++)
			types[bit] = (struct wasm_valtype){.kind = i >> bit & 1 ? WASM_F32 : WASM_F64};
		struct wasm_func_type t = {9, 0, types, NULL};
		ids[i] = wasm_intern_func_type(&t);
	}
	return NULL;
}

// L22
static void threads_get_the_same_ids(void **state)
{
	static uint32_t ids[THREADS][SHAPES];
	pthread_t threads[THREADS];
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, intern_many, ids[i]), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < SHAPES; i++) {
		assert_int_not_equal(ids[0][i], 0);
		for (int t = 1; t < THREADS; t++)
			assert_int_equal(ids[t][i], ids[0][i]);
		for (int j = 0; j < i; j++)
			assert_int_not_equal(ids[0][i], ids[0][j]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_types_have_equal_ids),
		cmocka_unit_test(ids_do_not_depend_on_the_modules_indices),
		cmocka_unit_test(types_refer_to_earlier_types_and_themselves_only),
		cmocka_unit_test(limits_match_when_they_are_within),
		cmocka_unit_test(threads_get_the_same_ids),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
