// Bodies that are only checked: the verdict, the error and what is listed are those of the whole validation, whatever the body is. Bodies are made at random,
// valid ones, and the same with bytes changed.
#include "../validate_int.h"
#include "module.h"

// ---- bodies -----------------------------------------------------------------------------------------------------------------
static uint64_t seed;

static unsigned below(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed >> 20) % n;
}

enum { LOCALS = 150, DEPTH = 12, HEIGHT = 32 };
struct maker {
	struct buf b;
	uint8_t types[HEIGHT];  // of operands
	unsigned n;             // of them
	unsigned base;          // of the innermost block
	uint8_t labels[DEPTH + 1];  // a type, or 0x40; loops take nothing
	unsigned depth;
};

static uint8_t local_type(unsigned i)
{
	return (uint8_t)(0x7f - i % 4);
}

static void put_op(struct maker *g, uint8_t op, unsigned pops, uint8_t type)
{
	buf_put_byte(&g->b, op);
	g->n -= pops;
	if (type)
		g->types[g->n++] = type;
}

static bool has(const struct maker *g, unsigned at, uint8_t type)
{
	return g->n - g->base > at && g->types[g->n - 1 - at] == type;
}

static void put_constant(struct maker *g, uint8_t type)
{
	put_op(g, (uint8_t)(0x41 + (0x7f - type)), 0, type);
	unsigned bytes = below(type == 0x7f ? 5 : 10);
	if (type < 0x7e)
		for (unsigned i = 0; i < (type == 0x7d ? 4 : 8); i++)
			buf_put_byte(&g->b, (uint8_t)below(256));
	for (unsigned i = 0; type >= 0x7e && i <= bytes; i++)
		buf_put_byte(&g->b, (uint8_t)((i < bytes ? 0x80 : 0) | (i == 4 || i == 9 ? 0 : below(128))));
}

static void put_value(struct maker *g, uint8_t type)
{
	unsigned local = below(LOCALS / 4) * 4 + (0x7fu - type);
	if (below(3) == 0) {
		put_constant(g, type);
	} else {
		put_op(g, 0x20, 0, type);
		put_leb(&g->b, local);
	}
}

static void put_memarg(struct maker *g, unsigned natural)
{
	buf_put_byte(&g->b, (uint8_t)below(natural + 1));
	put_leb(&g->b, (uint32_t)below(1u << 30) >> below(30));
}

static void put_numeric(struct maker *g)
{
	static const struct {
		uint8_t op, n, in, out;
	} ops[] = {{0x45, 1, 0x7f, 0x7f}, {0x6a, 2, 0x7f, 0x7f}, {0x7c, 2, 0x7e, 0x7e}, {0x92, 2, 0x7d, 0x7d}, {0xa0, 2, 0x7c, 0x7c}, {0x51, 2, 0x7e, 0x7f},
		{0xa7, 1, 0x7e, 0x7f}, {0xa8, 1, 0x7d, 0x7f}, {0xac, 1, 0x7f, 0x7e}, {0xbb, 1, 0x7d, 0x7c}, {0xc0, 1, 0x7f, 0x7f}, {0x63, 2, 0x7c, 0x7f}};
	unsigned i = below(ARRAY_LEN(ops));
	for (unsigned k = 0; k < ops[i].n; k++)
		if (!has(g, k, ops[i].in))
			put_value(g, ops[i].in), k = -1u;
	put_op(g, ops[i].op, ops[i].n, ops[i].out);
}

static void put_access(struct maker *g)
{
	uint8_t type = (uint8_t)(0x7f - below(4));
	unsigned natural = type == 0x7f || type == 0x7d ? 2 : 3;
	put_value(g, 0x7f);
	if (below(2)) {
		put_op(g, (uint8_t)(0x28 + (0x7f - type)), 1, type);
	} else {
		put_value(g, type);
		put_op(g, (uint8_t)(0x36 + (0x7f - type)), 2, 0);
	}
	put_memarg(g, natural);
}

// Types 1 [i32] → [i32] and 2 [i32 i64 f32] → [f64 i32].
static void put_call(struct maker *g)
{
	bool large = below(2), indirect = below(3) == 0;
	put_value(g, 0x7f);
	if (large) {
		put_value(g, 0x7e);
		put_value(g, 0x7d);
	}
	if (indirect)
		put_value(g, 0x7f);
	put_op(g, indirect ? 0x11 : 0x10, (large ? 3 : 1) + indirect, large ? 0x7c : 0x7f);
	put_leb(&g->b, large ? 2 : 1);
	if (indirect)
		buf_put_byte(&g->b, 0);
	if (large)
		g->types[g->n++] = 0x7f;
}

static void put_other(struct maker *g)
{
	uint8_t type = (uint8_t)(0x7f - below(4));
	unsigned what = below(7);
	switch (what) {
	case 0:  // select
		put_value(g, type);
		put_value(g, type);
		put_value(g, 0x7f);
		put_op(g, 0x1b, 3, type);
		break;
	case 1:  // global.get, global.set
		put_op(g, 0x23, 0, 0x7e);
		buf_put_byte(&g->b, 1);
		put_value(g, 0x7f);
		put_op(g, 0x24, 1, 0);
		buf_put_byte(&g->b, 0);
		break;
	case 2:  // memory.size, memory.grow
		put_op(g, 0x3f, 0, 0x7f);
		buf_put_byte(&g->b, 0);
		put_op(g, 0x40, 1, 0x7f);
		buf_put_byte(&g->b, 0);
		break;
	case 3:  // memory.copy, memory.fill
		for (unsigned i = 0; i < 3; i++)
			put_value(g, 0x7f);
		put_op(g, 0xfc, 3, 0);
		buf_put_slice(&g->b, below(2) ? BYTES(0x0a, 0, 0) : BYTES(0x0b, 0));
		break;
	case 4:  // i64.trunc_sat_f64_s
		put_value(g, 0x7c);
		put_op(g, 0xfc, 1, 0x7e);
		buf_put_byte(&g->b, 6);
		break;
	default:  // local.tee, local.set
		put_value(g, type);
		put_op(g, what == 5 ? 0x22 : 0x21, 1, what == 5 ? type : 0);
		put_leb(&g->b, below(LOCALS / 4) * 4 + (0x7fu - type));
	}
}

static void put_instructions(struct maker *g, unsigned budget);

static void put_label(struct maker *g, unsigned label)
{
	put_leb(&g->b, g->depth - label);
}

static void put_branch(struct maker *g)
{
	unsigned label = below(g->depth + 1);
	uint8_t type = g->labels[label];
	if (type != 0x40)
		put_value(g, type);
	put_value(g, 0x7f);
	put_op(g, 0x0d, 1, 0);
	put_label(g, label);
}

static void put_end(struct maker *g, uint8_t op, uint8_t type, unsigned base)
{
	while (g->n > g->base)
		put_op(g, 0x1a, 1, 0);
	if (below(4) == 0 && g->depth) {
		unsigned label = below(g->depth + 1);
		if (g->labels[label] != 0x40)
			put_value(g, g->labels[label]);
		if (below(2)) {
			put_op(g, 0x0c, 0, 0);
		} else {
			put_value(g, 0x7f);
			put_op(g, 0x0e, 0, 0);
			buf_put_byte(&g->b, 2);
			put_label(g, label);
			put_label(g, label);
		}
		put_label(g, label);
		if (below(2))
			buf_put_slice(&g->b, below(2) ? BYTES(0x1a) : BYTES(0x6a, 0x1a));
		if (below(2) && type != 0x40)
			put_value(g, type);
	} else if (type != 0x40) {
		put_value(g, type);
	}
	g->n = g->base;
	buf_put_byte(&g->b, op);
	if (op == 0x0b) {
		g->base = base;
		if (type != 0x40)
			g->types[g->n++] = type;
	}
}

static void put_block(struct maker *g, unsigned budget)
{
	uint8_t op = (uint8_t)(2 + below(3)), type = (uint8_t)(below(3) ? 0x40 : 0x7f - below(4));
	unsigned base = g->base;
	if (op == 4)
		put_value(g, 0x7f);
	put_op(g, op, op == 4, 0);
	buf_put_byte(&g->b, type);
	g->base = g->n;
	g->labels[++g->depth] = op == 3 ? 0x40 : type;
	put_instructions(g, budget);
	if (op == 4 && (type != 0x40 || below(2))) {
		put_end(g, 0x05, type, base);
		put_instructions(g, budget / 2);
	}
	put_end(g, 0x0b, type, base);
	g->depth--;
}

static void put_instructions(struct maker *g, unsigned budget)
{
	for (; budget; budget--) {
		while (g->n > HEIGHT - 16 && g->n > g->base)
			put_op(g, 0x1a, 1, 0);
		unsigned what = below(16);
		if (g->n > HEIGHT - 16)
			return;
		if (what < 6)
			put_numeric(g);
		else if (what < 9)
			put_access(g);
		else if (what < 11)
			put_call(g);
		else if (what < 13)
			put_other(g);
		else if (what < 15)
			put_branch(g);
		else if (g->depth + 1 < DEPTH)
			put_block(g, budget / 2);
	}
}

// ---- modules ----------------------------------------------------------------------------------------------------------------
// Types 0 [] → [], 1, 2; functions 0 of type 0, which is the body, 1 and 2 of theirs, 3 of type 0. Two globals, a memory, a table.
static void put_module(struct buf *b, struct slice code)
{
	struct buf c = {0};
	put_preamble(b);
	put_section(b, TYPES, BYTES(3, 0x60, 0, 0, 0x60, 1, 0x7f, 1, 0x7f, 0x60, 3, 0x7f, 0x7e, 0x7d, 2, 0x7c, 0x7f));
	put_section(b, FUNCTIONS, BYTES(4, 0, 1, 2, 0));
	put_section(b, TABLES, BYTES(1, 0x70, 0, 1));
	put_section(b, MEMORIES, BYTES(1, 0, 1));
	put_section(b, GLOBALS, BYTES(2, 0x7f, 1, 0x41, 0, 0x0b, 0x7e, 0, 0x42, 0, 0x0b));
	buf_put_byte(&c, 4);
	put_leb(&c, code.len);
	buf_put_slice(&c, code);
	buf_put_slice(&c, BYTES(4, 0, 0x20, 0, 0x0b, 3, 0, 0x00, 0x0b, 20, 0));
	for (unsigned i = 0; i < 18; i++)
		buf_put_byte(&c, 0x01);
	buf_put_byte(&c, 0x0b);
	put_section(b, CODE, buf_view(&c));
	buf_release(&c);
}

static struct {
	struct wasm_scratch *of_check, *of_validate;
	unsigned valid, known;
	struct err error;  // the last
} the;

// What both say of function 0 of the module.
static void compare(struct slice module)
{
	struct arena a;
	struct wasm_module *m;
	struct wasm_func_info info;
	struct err e = {0}, checked = {0}, validated = {0};
	uint64_t listed;
	arena_init(&a, 0);
	the.error = e;
	if (wasm_decode(&a, module, WASM_FEATURES_DEFAULT, 0, &m, &e)) {
		assert_true(wasm_check_begin(the.of_check, m, &e));
		bool ok = wasm_validate_func(m, 0, the.of_validate, &info, &validated);
		if (ok != wasm_check_func(the.of_check, 0, &listed, &checked))
			fail_msg("%s: %s", ok ? "refused" : "accepted", ok ? checked.text : validated.text);
		if (ok)
			assert_int_equal(listed, info.nlisted);
		assert_int_equal(checked.code, validated.code);
		assert_int_equal(checked.offset, validated.offset);
		assert_string_equal(checked.text, validated.text);
		the.valid += ok;
		the.error = validated;
		the.known += wasm__check_passes(the.of_check->check, 0);
	}
	arena_release(&a);
}

static void compare_body(struct slice code)
{
	struct buf b = {0};
	put_module(&b, code);
	compare(buf_view(&b));
	buf_release(&b);
}

static void put_locals(struct buf *b)
{
	put_leb(b, LOCALS);
	for (unsigned i = 0; i < LOCALS; i++)
		buf_put_slice(b, BYTES(1, local_type(i)));
}

static void bodies_at_random_get_the_same_verdict(void **state)
{
	the.valid = the.known = 0;
	for (unsigned i = 0; i < 4000; i++) {
		struct maker g = {.labels = {0x40}};
		seed = 88172645463325252u + i;
		put_locals(&g.b);
		size_t code = g.b.len;
		put_instructions(&g, 1 + below(40));
		put_end(&g, 0x0b, 0x40, 0);
		compare_body(buf_view(&g.b));
		if (the.valid != i + 1)
			fail_msg("body %u is made wrong: %s", i, the.error.text);
		unsigned valid = the.valid, known = the.known;
		for (unsigned k = 0; k < 8; k++) {
			size_t at = code + below((unsigned)(g.b.len - code));
			uint8_t before = g.b.ptr[at];
			g.b.ptr[at] = (uint8_t)(below(2) ? below(256) : before ^ 1 << below(8));
			compare_body(buf_view(&g.b));
			if (k % 2)
				g.b.ptr[at] = before;
		}
		the.valid = valid;
		the.known = known;
		buf_release(&g.b);
	}
	assert_true(the.known * 10 > the.valid * 9);  // the rest has too many operands
}

static void compare_code(struct slice code)
{
	struct buf b = {0};
	put_locals(&b);
	buf_put_slice(&b, code);
	buf_put_byte(&b, 0x0b);
	compare_body(buf_view(&b));
	buf_release(&b);
}

// Blocks in each other and operands on each other, about as many as are kept; and what ends before it should.
static void what_is_too_much_is_left_to_the_whole_validation(void **state)
{
	static const unsigned blocks[] = {5990, 5998, 5999, 6000, 6001, 7000};
	for (unsigned i = 0; i < ARRAY_LEN(blocks); i++) {
		struct buf b = {0};
		for (unsigned k = 0; k < 2 * blocks[i]; k++)
			buf_put_slice(&b, k < blocks[i] ? BYTES(0x02, 0x40) : BYTES(0x0b));
		the.valid = the.known = 0;
		compare_code(buf_view(&b));
		assert_int_equal(the.valid, 1);
		assert_int_equal(the.known, blocks[i] < 5999);
		buf_release(&b);
	}
	for (unsigned n = 1; n < 25; n++) {
		struct buf b = {0};
		for (unsigned k = 0; k < 2 * n; k++)
			buf_put_slice(&b, k < n ? BYTES(0x20, 0) : BYTES(0x1a));
		the.valid = the.known = 0;
		compare_code(buf_view(&b));
		assert_int_equal(the.valid, 1);
		assert_int_equal(the.known, n <= 19);
		for (size_t cut = 1; cut < b.len; cut++)
			compare_code(slice_sub(buf_view(&b), 0, cut));
		buf_release(&b);
	}
}

// A branch to a label of a block with a value, from within blocks without, and what isn't reached behind it.
static void code_that_is_not_reached_is_checked(void **state)
{
	the.valid = the.known = 0;
	compare_code(BYTES(0x02, 0x7f, 0x02, 0x40, 0x41, 1, 0x0c, 1, 0x6a, 0x1a, 0x0b, 0x00, 0x0b, 0x1a));
	compare_code(BYTES(0x41, 0, 0x04, 0x40, 0x0c, 0, 0x05, 0x41, 0, 0x1a, 0x0b));
	compare_code(BYTES(0x41, 0, 0x04, 0x40, 0x0f, 0x05, 0x00, 0x0b));
	compare_code(BYTES(0x41, 0, 0x41, 0, 0x04, 1, 0x05, 0x0b, 0x1a));
	assert_int_equal(the.valid, 4);
	assert_int_equal(the.known, 4);
	compare_code(BYTES(0x41, 0, 0x04, 0x40, 0x0c, 0, 0x05, 0x6a, 0x1a, 0x0b));  // the else is reached
	compare_code(BYTES(0x02, 0x40, 0x05, 0x0b));
	compare_code(BYTES(0x00, 0x02, 0x40, 0x1a, 0x0b));
	compare_code(BYTES(0x00, 0x42, 0, 0x45, 0x1a));
	compare_code(BYTES(0x00, 0x02, 1, 0x0d, 0, 0x0b, 0x1a));
	assert_int_equal(the.valid, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bodies_at_random_get_the_same_verdict),
		cmocka_unit_test(what_is_too_much_is_left_to_the_whole_validation),
		cmocka_unit_test(code_that_is_not_reached_is_checked),
	};
	the.of_check = wasm_scratch_new();
	the.of_validate = wasm_scratch_new();
	int failed = !the.of_check || !the.of_validate || cmocka_run_group_tests(tests, NULL, NULL);
	wasm_scratch_free(the.of_check);
	wasm_scratch_free(the.of_validate);
	return failed;
}
