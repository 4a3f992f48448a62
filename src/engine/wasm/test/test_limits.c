// Every row of limits.def: what is just at the limit passes, one more does not (L57, L58). Nothing is allocated for counts that lie (L17).
#include "module.h"

enum {
#define LIMIT(name, value, what) LIMIT_##name = value,
#include "../limits.def"
#undef LIMIT
};

#define AT_LIMIT_AND_ABOVE(put, limit, text)                             \
	do {                                                                 \
		for (uint32_t n_ = (limit); n_ <= (uint32_t)(limit) + 1; n_++) { \
			struct buf b_ = {0};                                         \
			put_preamble(&b_);                                           \
			put(&b_, n_);                                                \
			if (n_ == (limit))                                           \
				expect_valid(buf_view(&b_));                             \
			else                                                         \
				expect_error(buf_view(&b_), ERR_LIMIT, text);            \
			buf_release(&b_);                                            \
		}                                                                \
	} while (0)

static void put_empty_type(struct buf *b)
{
	put_section(b, TYPES, BYTES(1, 0x60, 0, 0));
}

static void n_types(struct buf *b, uint32_t n)
{
	put_repeated(b, TYPES, n, BYTES(0x60, 0, 0));
}
static void n_functions(struct buf *b, uint32_t n)
{
	put_empty_type(b);
	put_repeated(b, FUNCTIONS, n, BYTES(0));
	put_repeated(b, CODE, n, BYTES(2, 0, 0x0b));
}
static void n_imported_and_defined_functions(struct buf *b, uint32_t n)
{
	put_empty_type(b);
	put_repeated(b, IMPORTS, n / 2, BYTES(0, 0, 0, 0));
	put_repeated(b, FUNCTIONS, n - n / 2, BYTES(0));
	put_repeated(b, CODE, n - n / 2, BYTES(2, 0, 0x0b));
}
static void n_imports(struct buf *b, uint32_t n)
{
	put_repeated(b, IMPORTS, n, BYTES(0, 0, 3, 0x7f, 0));
}
static void n_globals(struct buf *b, uint32_t n)
{
	put_repeated(b, GLOBALS, n, BYTES(0x7f, 0, 0x41, 0, 0x0b));
}
static void n_tables(struct buf *b, uint32_t n)
{
	put_repeated(b, TABLES, n, BYTES(0x70, 0, 0));
}
static void n_memories(struct buf *b, uint32_t n)
{
	put_repeated(b, MEMORIES, n, BYTES(0, 0));
}
static void n_exports(struct buf *b, uint32_t n)
{
	put_section(b, MEMORIES, BYTES(1, 0, 0));
	struct buf c = {0};
	put_leb(&c, n);
	for (uint32_t i = 0; i < n; i++) {
		buf_put_byte(&c, 7);
		buf_printf(&c, "%07u", i);
		buf_put_slice(&c, BYTES(2, 0));
	}
	put_section(b, EXPORTS, buf_view(&c));
	buf_release(&c);
}
static void n_elem_segments(struct buf *b, uint32_t n)
{
	put_repeated(b, ELEMENTS, n, BYTES(1, 0, 0));
}
static void n_elem_items(struct buf *b, uint32_t n)
{
	put_empty_type(b);
	put_section(b, FUNCTIONS, BYTES(1, 0));
	struct buf c = {0};
	buf_put_slice(&c, BYTES(1, 1, 0));
	put_leb(&c, n);
	memset(buf_reserve(&c, n), 0, n);
	c.len += n;
	put_section(b, ELEMENTS, buf_view(&c));
	buf_release(&c);
	put_body(b, BYTES(0), BYTES(0x01));
}
static void n_data_segments(struct buf *b, uint32_t n)
{
	put_repeated(b, DATA, n, BYTES(1, 0));
}
static void n_params(struct buf *b, uint32_t n)
{
	struct buf c = {0};
	buf_put_slice(&c, BYTES(1, 0x60));
	put_leb(&c, n);
	for (uint32_t i = 0; i < n; i++)
		buf_put_byte(&c, 0x7f);
	buf_put_byte(&c, 0);
	put_section(b, TYPES, buf_view(&c));
	buf_release(&c);
}
static void n_results(struct buf *b, uint32_t n)
{
	struct buf c = {0};
	buf_put_slice(&c, BYTES(1, 0x60, 0));
	put_leb(&c, n);
	for (uint32_t i = 0; i < n; i++)
		buf_put_byte(&c, 0x7f);
	put_section(b, TYPES, buf_view(&c));
	buf_release(&c);
}
static void n_locals(struct buf *b, uint32_t n)
{
	put_section(b, TYPES, BYTES(1, 0x60, 2, 0x7f, 0x7f, 0));
	put_section(b, FUNCTIONS, BYTES(1, 0));
	struct buf c = {0};
	put_leb(&c, 2);
	put_leb(&c, n - 3);
	buf_put_slice(&c, BYTES(0x7f, 1, 0x7e));
	put_body(b, buf_view(&c), BYTES(0x01));
	buf_release(&c);
}
// The body: locals, n - 2 times nop, end.
static void n_body_bytes(struct buf *b, uint32_t n)
{
	put_empty_type(b);
	put_section(b, FUNCTIONS, BYTES(1, 0));
	struct buf c = {0};
	memset(buf_reserve(&c, n - 2), 0x01, n - 2);
	c.len = n - 2;
	put_body(b, BYTES(0), buf_view(&c));
	buf_release(&c);
}
static void n_name_bytes(struct buf *b, uint32_t n)
{
	struct buf c = {0};
	put_leb(&c, n);
	memset(buf_reserve(&c, n), 'x', n);
	c.len += n;
	put_section(b, 0, buf_view(&c));
	buf_release(&c);
}
static void n_custom_sections(struct buf *b, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		put_section(b, 0, BYTES(0));
}
static void put_repeated_body(struct buf *b, uint32_t n, struct slice before, struct slice after)
{
	put_empty_type(b);
	put_section(b, FUNCTIONS, BYTES(1, 0));
	struct buf c = {0};
	for (uint32_t i = 0; i < n; i++)
		buf_put_slice(&c, before);
	for (uint32_t i = 0; i < n; i++)
		buf_put_slice(&c, after);
	put_body(b, BYTES(0), buf_view(&c));
	buf_release(&c);
}
static void n_operands(struct buf *b, uint32_t n)
{
	put_repeated_body(b, n, BYTES(0x41, 0), BYTES(0x1a));
}
static void n_nested_blocks(struct buf *b, uint32_t n)
{
	put_repeated_body(b, n, BYTES(0x02, 0x40), BYTES(0x0b));
}
// n instructions, n odd: a constant, then constant and addition in turn.
static void n_const_ops(struct buf *b, uint32_t n)
{
	struct buf c = {0};
	buf_put_slice(&c, BYTES(1, 0x7f, 0, 0x41, 0));
	for (uint32_t i = 0; i < n / 2; i++)
		buf_put_slice(&c, BYTES(0x41, 0, 0x6a));
	buf_put_byte(&c, 0x0b);
	put_section(b, GLOBALS, buf_view(&c));
	buf_release(&c);
}
static void n_const_operands(struct buf *b, uint32_t n)
{
	struct buf c = {0};
	buf_put_slice(&c, BYTES(1, 0x7f, 0));
	for (uint32_t i = 0; i < n; i++)
		buf_put_slice(&c, BYTES(0x41, 0));
	for (uint32_t i = 1; i < n; i++)
		buf_put_byte(&c, 0x6a);
	buf_put_byte(&c, 0x0b);
	put_section(b, GLOBALS, buf_view(&c));
	buf_release(&c);
}

static void index_spaces_have_limits(void **state)
{
	AT_LIMIT_AND_ABOVE(n_types, LIMIT_TYPES, "too many types");
	AT_LIMIT_AND_ABOVE(n_functions, LIMIT_FUNCTIONS, "too many functions");
	AT_LIMIT_AND_ABOVE(n_imported_and_defined_functions, LIMIT_FUNCTIONS, "too many functions");
	AT_LIMIT_AND_ABOVE(n_imports, LIMIT_IMPORTS, "too many imports");
	AT_LIMIT_AND_ABOVE(n_exports, LIMIT_EXPORTS, "too many exports");
	AT_LIMIT_AND_ABOVE(n_globals, LIMIT_GLOBALS, "too many globals");
	AT_LIMIT_AND_ABOVE(n_tables, LIMIT_TABLES, "too many tables");
	AT_LIMIT_AND_ABOVE(n_memories, LIMIT_MEMORIES, "too many memories");
}

static void segments_have_limits(void **state)
{
	AT_LIMIT_AND_ABOVE(n_elem_segments, LIMIT_ELEM_SEGMENTS, "too many element segments");
	AT_LIMIT_AND_ABOVE(n_elem_items, LIMIT_ELEM_ITEMS, "too many elements of a segment");
	AT_LIMIT_AND_ABOVE(n_data_segments, LIMIT_DATA_SEGMENTS, "too many data segments");
}

static void function_types_have_limits(void **state)
{
	AT_LIMIT_AND_ABOVE(n_params, LIMIT_PARAMS, "too many parameters");
	AT_LIMIT_AND_ABOVE(n_results, LIMIT_RESULTS, "too many results");
}

static void bodies_have_limits(void **state)
{
	AT_LIMIT_AND_ABOVE(n_locals, LIMIT_LOCALS, "too many locals");
	AT_LIMIT_AND_ABOVE(n_body_bytes, LIMIT_BODY_SIZE, "too many bytes of a function body");
	AT_LIMIT_AND_ABOVE(n_operands, LIMIT_STACK_HEIGHT, "too many operands");
}

// L18: nothing recurses over blocks.
static void blocks_nest_to_a_limit(void **state)
{
	AT_LIMIT_AND_ABOVE(n_nested_blocks, LIMIT_CONTROL_DEPTH, "too many blocks");
}

static void names_and_custom_sections_have_limits(void **state)
{
	AT_LIMIT_AND_ABOVE(n_name_bytes, LIMIT_NAME_SIZE, "too many bytes of a name");
	AT_LIMIT_AND_ABOVE(n_custom_sections, LIMIT_CUSTOM_SECTIONS, "too many custom sections");
}

static void constant_expressions_have_limits(void **state)
{
	struct buf b = {0};
	put_preamble(&b);
	n_const_ops(&b, LIMIT_CONST_OPS - 1);
	expect_valid(buf_view(&b));
	buf_clear(&b);
	put_preamble(&b);
	n_const_ops(&b, LIMIT_CONST_OPS + 1);
	expect_error(buf_view(&b), ERR_LIMIT, "too many instructions of a constant expression");
	buf_release(&b);
	AT_LIMIT_AND_ABOVE(n_const_operands, LIMIT_CONST_HEIGHT, "too many operands on the stack of a constant expression");
}

static void modules_have_a_size_limit(void **state)
{
	struct arena a;
	struct wasm_module *m;
	struct err e = {0};
	arena_init(&a, 0);
	assert_false(wasm_decode(&a, slice_of("\0asm\1\0\0", (size_t)LIMIT_MODULE_SIZE + 1), WASM_FEATURES_DEFAULT, 0, &m, &e));
	assert_int_equal(e.code, ERR_LIMIT);
	arena_release(&a);
}

// L17, L59: a count that the bytes left cannot hold is refused before anything is allocated for it.
static void counts_are_bounded_by_the_bytes_that_are_left(void **state)
{
	for (uint8_t id = TYPES; id <= DATA; id++) {
		if (id == START)
			continue;
		struct arena a;
		struct wasm_module *m;
		struct err e = {0};
		struct buf b = {0};
		arena_init(&a, 16384);
		put_preamble(&b);
		put_section(&b, id, id == MEMORIES ? BYTES(100, 0) : BYTES(0x9f, 0x8d, 0x06, 0, 0, 0));
		assert_false(wasm_decode(&a, buf_view(&b), WASM_FEATURES_DEFAULT, 0, &m, &e));
		assert_true(e.code == ERR_MALFORMED || e.code == ERR_INVALID);
		arena_release(&a);
		buf_release(&b);
	}
	expect_body_error(BYTES(0x41, 0, 0x0e, 0xff, 0xff, 0x7f, 0, 0), ERR_MALFORMED, "unexpected end");
}

// Calls of a function with 1,000 results fill the stack two bytes at a time.
static void operand_stack_is_bounded_when_calls_multiply_it(void **state)
{
	struct buf b = {0}, c = {0};
	put_preamble(&b);
	buf_put_slice(&c, BYTES(1, 0x60, 0));
	put_leb(&c, LIMIT_RESULTS);
	for (int i = 0; i < LIMIT_RESULTS; i++)
		buf_put_byte(&c, 0x7e);
	put_section(&b, TYPES, buf_view(&c));
	put_section(&b, FUNCTIONS, BYTES(1, 0));
	buf_clear(&c);
	for (int i = 0; i < 1000; i++) {
		for (int k = 0; k < LIMIT_RESULTS / 32; k++)
			buf_put_byte(&c, 0x01);  // bytes that pay for the values
		buf_put_slice(&c, BYTES(0x10, 0));
	}
	put_body(&b, BYTES(0), buf_view(&c));
	expect_error(buf_view(&b), ERR_LIMIT, "too many operands");
	buf_release(&c);
	buf_release(&b);
}

// Three bytes of a branch that has a thousand results cost as much as a thousand bytes.
static void values_that_branches_list_are_bounded_by_the_bytes_of_the_body(void **state)
{
	for (int n = 40; n <= 240; n += 200) {
		struct buf b = {0}, c = {0};
		put_preamble(&b);
		buf_put_slice(&c, BYTES(2, 0x60, 0, 0, 0x60, 0));
		put_leb(&c, LIMIT_RESULTS);
		for (int i = 0; i < LIMIT_RESULTS; i++)
			buf_put_byte(&c, 0x7f);
		put_section(&b, TYPES, buf_view(&c));
		put_section(&b, FUNCTIONS, BYTES(1, 0));
		buf_clear(&c);
		buf_put_slice(&c, BYTES(0x02, 1));
		for (int i = 0; i < LIMIT_RESULTS; i++)
			buf_put_slice(&c, BYTES(0x41, 1));
		for (int i = 0; i < n; i++)
			buf_put_slice(&c, BYTES(0x41, 1, 0x0d, 0));
		buf_put_byte(&c, 0x0b);
		for (int i = 0; i < LIMIT_RESULTS; i++)
			buf_put_byte(&c, 0x1a);
		put_body(&b, BYTES(0), buf_view(&c));
		if (n == 40)
			expect_valid(buf_view(&b));
		else
			expect_error(buf_view(&b), ERR_LIMIT, "too many values are listed by the function's blocks, branches and calls: at most 32 a byte");
		buf_release(&c);
		buf_release(&b);
	}
}

// A br_table in unreachable code makes bottom types of what its labels want; these count too.
static void operand_stack_is_bounded_in_unreachable_code(void **state)
{
	struct buf code = {0};
	buf_put_slice(&code, BYTES(0x02, 2, 0x00));  // a block that takes what is not there
	buf_put_byte(&code, 0x0b);
	struct err e;
	assert_false(body_accepted(buf_view(&code), &e));
	buf_release(&code);
	expect_body(BYTES(0x00, 0x02, 2, 0x00, 0x41, 0, 0x0e, 1, 0, 0, 0x0b, 0x1a, 0x1a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(index_spaces_have_limits),
		cmocka_unit_test(segments_have_limits),
		cmocka_unit_test(function_types_have_limits),
		cmocka_unit_test(bodies_have_limits),
		cmocka_unit_test(blocks_nest_to_a_limit),
		cmocka_unit_test(names_and_custom_sections_have_limits),
		cmocka_unit_test(constant_expressions_have_limits),
		cmocka_unit_test(modules_have_a_size_limit),
		cmocka_unit_test(counts_are_bounded_by_the_bytes_that_are_left),
		cmocka_unit_test(operand_stack_is_bounded_when_calls_multiply_it),
		cmocka_unit_test(values_that_branches_list_are_bounded_by_the_bytes_of_the_body),
		cmocka_unit_test(operand_stack_is_bounded_in_unreachable_code),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
