// Bodies: control and unreachable code (L25), locals without default (function references), what compilers are told.
#include "module.h"

// L25: the specification's rule, not a home-made one.
static void unreachable_code_is_checked(void **state)
{
	expect_body(BYTES(0x00, 0x6a, 0x1a));                                    // unreachable; i32.add; drop
	expect_body_error(BYTES(0x00, 0x42, 0, 0x6a, 0x1a), ERR_INVALID, "type mismatch");  // i64 is no i32, even there
	expect_body_error(BYTES(0x00, 0x41, 0), ERR_INVALID, "type mismatch");   // values remain
	expect_body(BYTES(0x02, 0x7f, 0x0c, 1, 0x0b, 0x1a));                     // a branch out leaves anything
	expect_body(BYTES(0x02, 0x7f, 0x0c, 1, 0x45, 0x0b, 0x1a));
	expect_body_error(BYTES(0x02, 0x7f, 0x0c, 1, 0x42, 0, 0x0b, 0x1a), ERR_INVALID, "type mismatch");
	expect_body_error(BYTES(0x00, 0x02, 0x7f, 0x0b, 0x1a), ERR_INVALID, "type mismatch");  // the block inside is reachable to itself
	expect_body(BYTES(0x00, 0x1b, 0x1a));                                    // select of bottom types
	expect_body_error(BYTES(0x00, 0x42, 0, 0x43, 0, 0, 0, 0, 0x41, 0, 0x1b, 0x1a), ERR_INVALID, "type mismatch");
	expect_body(BYTES(0x00, 0x42, 0, 0x41, 0, 0x1b, 0x50, 0x1a));            // select of bottom and i64 is i64
	expect_body_error(BYTES(0x00, 0x42, 0, 0x41, 0, 0x1b, 0x45, 0x1a), ERR_INVALID, "type mismatch");
	expect_body(BYTES(0x00, 0xd4, 0x14, 1, 0x1a));                           // a reference of the bottom heap type calls any
	expect_body_error(BYTES(0x00, 0xd4, 0x45, 0x1a), ERR_INVALID, "type mismatch");  // but is no number
	expect_body(BYTES(0x00, 0xd1, 0x1a));
}

static void nothing_follows_the_final_end(void **state)
{
	expect_body_error(BYTES(0x0b, 0x01), ERR_MALFORMED, "remaining after end of function");
	expect_body_error(BYTES(0x02, 0x40), ERR_MALFORMED, "unexpected end");
	expect_body_error(BYTES(0x02, 0x40, 0x0b, 0x0b, 0x0b), ERR_MALFORMED, "remaining after end of function");
}

static void blocks_take_and_leave_their_types(void **state)
{
	expect_body(BYTES(0x41, 0, 0x42, 0, 0x02, 2, 0x1a, 0x42, 1, 0x41, 5, 0x10, 1, 0x21, 0, 0x1a, 0x1a, 0x42, 0, 0x41, 0, 0x0b, 0x1a, 0x1a));
	expect_body_error(BYTES(0x42, 0, 0x41, 0, 0x02, 2, 0x0b, 0x1a, 0x1a), ERR_INVALID, "type mismatch");
	expect_body_error(BYTES(0x41, 0, 0x02, 0x40, 0x1a, 0x0b), ERR_INVALID, "type mismatch");  // operands outside are not seen inside
	expect_body_error(BYTES(0x02, 9, 0x0b), ERR_INVALID, "unknown type");
	expect_body_error(BYTES(0x02, 0x7f, 0x41, 0, 0x41, 0, 0x0b, 0x1a), ERR_INVALID, "type mismatch");
	expect_body(BYTES(0x41, 0, 0x41, 1, 0x04, 1, 0x0b, 0x1a));  // if without else that leaves what it takes
	expect_body_error(BYTES(0x41, 1, 0x04, 0x7f, 0x41, 0, 0x0b, 0x1a), ERR_INVALID, "type mismatch");
	expect_body_error(BYTES(0x41, 1, 0x04, 0x40, 0x05, 0x05, 0x0b), ERR_MALFORMED, "else");
}

static void branches_carry_their_labels_types(void **state)
{
	expect_body(BYTES(0x02, 0x7f, 0x41, 0, 0x0c, 0, 0x0b, 0x1a));
	expect_body_error(BYTES(0x02, 0x7f, 0x42, 0, 0x0c, 0, 0x0b, 0x1a), ERR_INVALID, "type mismatch");
	expect_body(BYTES(0x41, 0, 0x03, 1, 0x41, 0, 0x0d, 0, 0x0b, 0x1a));  // a loop's label takes its parameters
	// Targets of a br_table agree in number; their operands stay, for each to be checked.
	expect_body_error(BYTES(0x02, 0x7f, 0x41, 0, 0x41, 0, 0x0e, 1, 0, 1, 0x0b, 0x1a), ERR_INVALID, "type mismatch");
	expect_body_error(BYTES(0x02, 0x7e, 0x02, 0x7f, 0x41, 0, 0x41, 0, 0x0e, 1, 0, 1, 0x0b, 0x1a, 0x42, 0, 0x0b, 0x1a), ERR_INVALID, "type mismatch");
	expect_body(BYTES(0x02, 0x7e, 0x02, 0x7f, 0x00, 0x0e, 1, 0, 1, 0x0b, 0x1a, 0x42, 0, 0x0b, 0x1a));
}

static void references_follow_subtyping(void **state)
{
	expect_body(BYTES(0xd2, 1, 0x21, 2));                                 // (ref 1) is a funcref
	expect_body_error(BYTES(0xd0, 1, 0x21, 3), ERR_INVALID, "type mismatch");    // null is no (ref 1)
	expect_body_error(BYTES(0xd0, 0x6f, 0x21, 2), ERR_INVALID, "type mismatch");  // extern is no func
	expect_body(BYTES(0xd0, 1, 0xd4, 0x21, 3));
	expect_body(BYTES(0xd0, 1, 0xd5, 0, 0x21, 3));                        // what br_on_null leaves is not null
	expect_body_error(BYTES(0xd0, 0x70, 0xd0, 0x70, 0x41, 0, 0x1b, 0x1a), ERR_INVALID, "type mismatch");
}

// Function references: a local without default is read only where it has been set.
static void locals_without_default_are_set_before_they_are_read(void **state)
{
	expect_body_error(BYTES(0x20, 3, 0x1a), ERR_INVALID, "uninitialized local");
	expect_body(BYTES(0xd2, 1, 0x21, 3, 0x20, 3, 0x1a));
	expect_body(BYTES(0xd2, 1, 0x22, 3, 0x1a, 0x20, 3, 0x1a));
	expect_body(BYTES(0xd2, 1, 0x21, 3, 0x02, 0x40, 0x20, 3, 0x1a, 0x0b));
	expect_body_error(BYTES(0x02, 0x40, 0xd2, 1, 0x21, 3, 0x0b, 0x20, 3, 0x1a), ERR_INVALID, "uninitialized local");
	expect_body_error(BYTES(0x41, 0, 0x04, 0x40, 0xd2, 1, 0x21, 3, 0x05, 0x20, 3, 0x1a, 0x0b), ERR_INVALID, "uninitialized local");
	expect_body_error(BYTES(0x00, 0x20, 3, 0x1a), ERR_INVALID, "uninitialized local");
	expect_body(BYTES(0x20, 2, 0x1a));
}

static void memory_operands_are_checked(void **state)
{
	struct err e;
	expect_body(BYTES(0x41, 0, 0x28, 2, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x1a));  // L5: offset of 4 GiB - 1
	expect_body_error(BYTES(0x41, 0, 0x28, 2, 0xff, 0xff, 0xff, 0xff, 0x1f, 0x1a), ERR_INVALID, "offset out of range");
	expect_body_error(BYTES(0x41, 0, 0x28, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0x1a), ERR_MALFORMED, "integer too large");
	assert_false(body_accepted_with(BYTES(0x41, 0, 0x28, 2, 0xff, 0xff, 0xff, 0xff, 0x1f, 0x1a), WASM_FEATURES_DEFAULT & ~WASM_FEATURE_MEMORY64, &e));
	assert_string_equal(e.text, "integer too large");
	expect_body(BYTES(0x41, 0, 0x28, 0x42, 0, 4, 0x1a));                       // explicit memory 0
	expect_body_error(BYTES(0x41, 0, 0x28, 0x42, 1, 4, 0x1a), ERR_INVALID, "unknown memory 1");
	expect_body_error(BYTES(0x41, 0, 0x28, 0x80, 1, 4, 0x1a), ERR_MALFORMED, "malformed memop flags");
	expect_body_error(BYTES(0x3f, 1, 0x1a), ERR_INVALID, "unknown memory 1");
	assert_false(body_accepted_with(BYTES(0x41, 0, 0x28, 0x42, 0, 4, 0x1a), WASM_FEATURES_DEFAULT & ~WASM_FEATURE_MULTI_MEMORY, &e));
	assert_false(body_accepted_with(BYTES(0x3f, 0x80, 0, 0x1a), WASM_FEATURES_DEFAULT & ~WASM_FEATURE_MULTI_MEMORY, &e));
	assert_non_null(strstr(e.text, "zero byte expected"));
	assert_true(body_accepted_with(BYTES(0x3f, 0x80, 0, 0x1a), WASM_FEATURES_DEFAULT, &e));
}

// ---- what compilers are told ------------------------------------------------------------------------------------------------
static void info_of(struct slice code, struct wasm_scratch *s, struct wasm_func_info *ret)
{
	struct buf b = {0};
	struct arena a;
	struct wasm_module *m;
	struct err e = {0};
	arena_init(&a, 0);
	put_environment(&b, code, WASM_FEATURES_DEFAULT);
	assert_true(wasm_decode(&a, buf_view(&b), WASM_FEATURES_DEFAULT, 0, &m, &e));
	if (!wasm_validate_func(m, 0, s, ret, &e))
		fail_msg("%s", e.text);
	arena_release(&a);
	buf_release(&b);
}

// 49,000 locals in a few bytes, declared in three groups; two of the last are used, one has no default value.
static void locals_that_are_declared_by_the_thousand_are_listed_as_they_are_used(void **state)
{
	struct wasm_scratch *s = wasm_scratch_new();
	struct wasm_func_info info;
	struct arena a;
	struct wasm_module *m;
	struct err e = {0};
	struct buf b = {0};
	arena_init(&a, 0);
	put_preamble(&b);
	put_section(&b, TYPES, BYTES(1, 0x60, 1, 0x7f, 0));
	put_section(&b, FUNCTIONS, BYTES(3, 0, 0, 0));
	// 20,000 of i32, 28,998 of i64, 2 of (ref 0): the parameter is local 0
	struct slice locals = BYTES(3, 0xa0, 0x9c, 1, 0x7f, 0xc6, 0xe2, 1, 0x7e, 2, 0x64, 0);
	struct slice bodies[] = {BYTES(0x20, 0, 0x1a, 0x20, 0xc0, 0xb8, 2, 0x1a, 0x20, 0xc0, 0xb8, 2, 0x1a, 0x20, 0xa0, 0x9c, 1, 0x1a, 0x0b),
		BYTES(0x20, 0xc0, 0xb8, 2, 0x1a, 0x0b), BYTES(0x20, 0xe7, 0xfe, 2, 0x1a, 0x0b)};
	struct buf c = {0};
	put_leb(&c, 3);
	for (int i = 0; i < 3; i++) {
		put_leb(&c, locals.len + bodies[i].len);
		buf_put_slice(&c, locals);
		buf_put_slice(&c, bodies[i]);
	}
	put_section(&b, CODE, buf_view(&c));
	if (!wasm_decode(&a, buf_view(&b), WASM_FEATURES_DEFAULT, 0, &m, &e) || !wasm_validate_func(m, 0, s, &info, &e))
		fail_msg("%s", e.text);
	assert_int_equal(info.nlocals, 49001);
	assert_in_range(info.nflat, 128, 1000);
	assert_int_equal(info.nfar, 2);
	assert_int_equal(info.far[0].index, 40000);
	assert_int_equal(info.far[0].type.kind, WASM_I64);
	assert_int_equal(info.far[1].index, 20000);
	assert_int_equal(info.far[1].type.kind, WASM_I32);
	assert_int_equal(info.local_weight[40000], 2);
	// Nothing is left over from one body to the next.
	assert_true(wasm_validate_func(m, 1, s, &info, &e));
	assert_int_equal(info.nfar, 1);
	assert_int_equal(info.local_weight[40000], 1);
	assert_int_equal(info.local_weight[20000], 0);
	assert_false(wasm_validate_func(m, 2, s, &info, &e));
	assert_non_null(strstr(e.text, "uninitialized local: local 48999"));
	buf_release(&b);
	buf_release(&c);
	arena_release(&a);
	wasm_scratch_free(s);
}

static void uses_of_locals_are_weighed_by_loop_depth(void **state)
{
	struct wasm_scratch *s = wasm_scratch_new();
	struct wasm_func_info info;
	info_of(BYTES(0x20, 0, 0x1a, 0x03, 0x40, 0x20, 0, 0x21, 0, 0x03, 0x40, 0x20, 1, 0x1a, 0x41, 0, 0x10, 1, 0x1a, 0x0b, 0x20, 1,
				0x1a, 0x0b, 0x20, 1, 0x1a),
		s, &info);
	assert_int_equal(info.nlocals, 4);
	assert_int_equal(info.locals[1].kind, WASM_I64);
	assert_int_equal(info.local_weight[0], 1 + 8 + 8);
	assert_int_equal(info.local_weight[1], 64 + 8 + 1);
	assert_int_equal(info.local_weight[2], 0);
	assert_int_equal(info.call_weight, 64);
	assert_int_equal(info.max_height, 1);
	assert_int_equal(info.max_control, 3);
	assert_true(info.has_loops && !info.uses_memory0);
	// Nothing is left over from one body to the next.
	info_of(BYTES(0x41, 0, 0x28, 2, 0, 0x1a), s, &info);
	assert_int_equal(info.local_weight[0], 0);
	assert_int_equal(info.call_weight, 0);
	assert_int_equal(info.max_control, 1);
	assert_true(!info.has_loops && info.uses_memory0);
	// A call that doesn't come back, in a loop; one that does, outside of it.
	info_of(BYTES(0x03, 0x40, 0x20, 0, 0x04, 0x40, 0x41, 0, 0x10, 1, 0x00, 0x0b, 0x0b, 0x41, 0, 0x10, 1, 0x1a), s, &info);
	assert_int_equal(info.call_weight, 1);
	wasm_scratch_free(s);
}

static void weights_saturate(void **state)
{
	struct wasm_scratch *s = wasm_scratch_new();
	struct wasm_func_info info;
	struct buf b = {0};
	for (int i = 0; i < 40; i++)
		buf_put_slice(&b, BYTES(0x03, 0x40));
	for (int i = 0; i < 3; i++)
		buf_put_slice(&b, BYTES(0x20, 0, 0x1a, 0x41, 0, 0x10, 1, 0x1a));
	for (int i = 0; i < 40; i++)
		buf_put_byte(&b, 0x0b);
	buf_put_slice(&b, BYTES(0x20, 1, 0x1a));
	info_of(buf_view(&b), s, &info);
	assert_int_equal(info.local_weight[0], UINT32_MAX);
	assert_int_equal(info.local_weight[1], 1);
	assert_int_equal(info.call_weight, UINT32_MAX);
	buf_release(&b);
	wasm_scratch_free(s);
}

static void readers_agree_with_the_validator(void **state)
{
	struct arena a;
	struct wasm_module *m;
	struct err e = {0};
	struct buf b = {0};
	arena_init(&a, 0);
	put_environment(&b, BYTES(0x00), WASM_FEATURES_DEFAULT);
	assert_true(wasm_decode(&a, buf_view(&b), WASM_FEATURES_DEFAULT, 0, &m, &e));
	const uint8_t bytes[] = {0x40, 0x7e, 2, 0x63, 1, 0x64, 0x70, 0x6f, 1};
	const uint8_t *p = bytes;
	struct wasm_block_type t;
	wasm_read_block_type(m, &p, &t);
	assert_true(t.nparams == 0 && t.nresults == 0);
	wasm_read_block_type(m, &p, &t);
	assert_true(t.nresults == 1 && t.results[0].kind == WASM_I64);
	wasm_read_block_type(m, &p, &t);
	assert_true(t.nparams == 2 && t.nresults == 2 && t.results[1].kind == WASM_I32);
	wasm_read_block_type(m, &p, &t);
	assert_true(t.results[0].kind == WASM_REF && t.results[0].nullable && t.results[0].heap == WASM_HEAP_CONCRETE && t.results[0].type == 1);
	struct wasm_valtype v = wasm_read_valtype(&p);
	assert_true(v.kind == WASM_REF && !v.nullable && v.heap == WASM_HEAP_FUNC);
	v = wasm_read_heap_type(&p);
	assert_true(v.nullable && v.heap == WASM_HEAP_EXTERN);
	v = wasm_read_heap_type(&p);
	assert_true(v.heap == WASM_HEAP_CONCRETE && v.type == 1);
	assert_ptr_equal(p, bytes + sizeof(bytes));
	arena_release(&a);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unreachable_code_is_checked),
		cmocka_unit_test(nothing_follows_the_final_end),
		cmocka_unit_test(blocks_take_and_leave_their_types),
		cmocka_unit_test(branches_carry_their_labels_types),
		cmocka_unit_test(references_follow_subtyping),
		cmocka_unit_test(locals_without_default_are_set_before_they_are_read),
		cmocka_unit_test(memory_operands_are_checked),
		cmocka_unit_test(locals_that_are_declared_by_the_thousand_are_listed_as_they_are_used),
		cmocka_unit_test(uses_of_locals_are_weighed_by_loop_depth),
		cmocka_unit_test(weights_saturate),
		cmocka_unit_test(readers_agree_with_the_validator),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
