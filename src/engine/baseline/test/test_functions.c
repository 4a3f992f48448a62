// Whole functions: calls with many parameters and results, tail calls, tables, branches with values, memory at its edges, entry checks, sizes at the
// limits. Rows: L5, L11, L12, L14, L17, L18, L19, L37, L51.
#include "guest.h"

#include <time.h>

static struct baseline_options modes[5];
static uint32_t nmodes;

#define CODE(b, ...) buf_put((b), (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))
enum {
	END = 0x0b,
	GET = 0x20,
	SET = 0x21,
	TEE = 0x22,
	I32 = 0x41,
	I64 = 0x42,
	ADD = 0x6a,
	SUB = 0x6b,
	MUL = 0x6c,
	CALL = 0x10,
	TAIL = 0x12,
	BLOCK = 2,
	LOOP = 3,
	IF = 4,
	ELSE = 5,
	BR = 0x0c,
	BR_IF = 0x0d,
	BR_TABLE = 0x0e,
	RETURN = 0x0f,
	VOID = 0x40,
	T_I32 = 0x7f,
	LOAD = 0x28,
	STORE = 0x36,
	EQZ = 0x45,
	DROP = 0x1a,
};

static void run_all(void (*build)(struct source *), void (*check)(struct guest *))
{
	for (uint32_t i = 0; i < nmodes; i++) {
		struct source s = {0};
		struct guest g;
		build(&s);
		guest_init(&g, &s, &modes[i]);
		check(&g);
		guest_release(&g);
	}
}

static void type(struct source *s, const char *t)
{
	snprintf(s->types[s->ntypes++], sizeof s->types[0], "%s", t);
}

static uint64_t call(struct guest *g, uint32_t func, const uint64_t *args)
{
	uint64_t r[16] = {0};
	assert_int_equal(guest_call(g, func, NULL, args, r), TRAP_NONE);
	return r[0];
}

// ---- parameters and results -------------------------------------------------------------------------------------
#define MANY 24u
static void build_many(struct source *s)
{
	type(s, "iiiiiiiillllllllffffffffdddddddddddd:lid");  // 36 parameters
	type(s, "l:lid");
	struct buf *b = add_func(s, 0);
	// returns: sum of all integers, parameter 7, sum of the doubles
	CODE(b, 0, I64, 0);
	for (uint8_t i = 0; i < 8; i++)
		CODE(b, GET, i, 0xad, 0x7c);
	for (uint8_t i = 8; i < 16; i++)
		CODE(b, GET, i, 0x7c);
	CODE(b, GET, 7, GET, 24);
	for (uint8_t i = 25; i < 36; i++)
		CODE(b, GET, i, 0xa0);
	for (uint8_t i = 16; i < 24; i++)
		CODE(b, GET, i, 0xbb, 0xa0);
	CODE(b, END);
	// calls it with values made of its parameter, in a different order of life: local, constant, computed
	for (int tail = 0; tail < 2; tail++) {
		b = add_func(s, 1);
		CODE(b, 0);
		for (uint8_t i = 0; i < 8; i++) {
			if (i % 3 == 0)
				CODE(b, I32, i);
			else
				CODE(b, GET, 0, 0xa7, I32, i, ADD);
		}
		for (uint8_t i = 8; i < 16; i++) {
			if (i % 2)
				CODE(b, GET, 0);
			else
				CODE(b, GET, 0, I64, i, 0x7e);
		}
		for (uint8_t i = 16; i < 24; i++)
			CODE(b, GET, 0, I64, i, 0x7c, 0xb4);
		for (uint8_t i = 24; i < 36; i++)
			CODE(b, GET, 0, I64, i, 0x7c, 0xb9);
		CODE(b, tail ? TAIL : CALL, 0, END);
	}
}

static void check_many(struct guest *g)
{
	for (uint32_t f = 1; f < 3; f++) {
		uint64_t x = 5, r[3];
		assert_int_equal(guest_call(g, f, NULL, &x, r), TRAP_NONE);
		uint64_t ints = 0 + 3 + 6 + (5 + 1) + (5 + 2) + (5 + 4) + (5 + 5) + (5 + 7);
		for (uint64_t i = 8; i < 16; i++)
			ints += i % 2 ? 5 : 5 * i;
		double sum = 0, got;
		for (int i = 16; i < 36; i++)
			sum += 5 + i;
		memcpy(&got, &r[2], 8);
		assert_int_equal(r[0], ints);
		assert_int_equal(r[1], 12);
		assert_true(got == sum);
	}
}

static void many_parameters_and_results_arrive(void **state)
{
	run_all(build_many, check_many);
}

// ---- tail calls -------------------------------------------------------------------------------------------------
static void build_tail(struct source *s)
{
	type(s, "ii:i");
	type(s, "iiiiiiiiii:i");
	s->table = 8;
	// 0: f(n, acc) = n == 0 ? acc : g(n - 1, acc + 1, 3, 4, ..., 10) by return_call: other frame size
	struct buf *b = add_func(s, 0);
	CODE(b, 0, GET, 0, EQZ, IF, VOID, GET, 1, RETURN, END, GET, 0, I32, 1, SUB, GET, 1, I32, 1, ADD, I32, 3, I32, 4, I32, 5, I32, 6, I32, 7, I32, 8, I32, 9,
		I32, 10, TAIL, 1, END);
	// 1: g(n, acc, ...) = the last parameter is 10 ? f(n, acc) through the table : unreachable
	b = add_func(s, 1);
	CODE(b, 0, GET, 9, I32, 10, 0x47, IF, VOID, 0x00, END, GET, 0, GET, 1, I32, 0, 0x13, 0, 0, END);
}

static void check_tail(struct guest *g)
{
	g->exec.stack_limit = (uintptr_t)__builtin_frame_address(0) - (256 << 10);
	assert_int_equal(call(g, 0, (uint64_t[]){1000000, 7}), 1000007);
	g->exec.stack_limit = 0;
}

static void tail_calls_take_no_stack(void **state)
{
	run_all(build_tail, check_tail);
}

// ---- tables -----------------------------------------------------------------------------------------------------
static void build_indirect(struct source *s)
{
	type(s, "i:i");
	type(s, "ii:i");
	s->table = 6;  // 3 functions, 3 nulls
	struct buf *b = add_func(s, 0);
	CODE(b, 0, GET, 0, I32, 1, ADD, END);
	b = add_func(s, 1);
	CODE(b, 0, GET, 0, END);
	b = add_func(s, 1);  // (x, i) → table[i](x)
	CODE(b, 0, GET, 0, GET, 1, 0x11, 0, 0, GET, 0, ADD, END);
}

static void check_indirect(struct guest *g)
{
	uint64_t r[1];
	assert_int_equal(call(g, 2, (uint64_t[]){20, 0}), 41);
	assert_int_equal(guest_call(g, 2, NULL, (uint64_t[]){20, 1}, r), TRAP_INDIRECT_CALL_TYPE);
	assert_int_equal(guest_call(g, 2, NULL, (uint64_t[]){20, 4}, r), TRAP_UNINITIALIZED_ELEMENT);
	assert_int_equal(guest_call(g, 2, NULL, (uint64_t[]){20, 6}, r), TRAP_UNDEFINED_ELEMENT);
	assert_int_equal(guest_call(g, 2, NULL, (uint64_t[]){20, 0xffffffff}, r), TRAP_UNDEFINED_ELEMENT);
	assert_int_equal(g->m->bytes.ptr[trap_offset], 0x11);  // the instruction that trapped
}

static void indirect_calls_check_bounds_null_and_type(void **state)
{
	run_all(build_indirect, check_indirect);
}

// ---- branches ---------------------------------------------------------------------------------------------------
static void build_branches(struct source *s)
{
	type(s, "i:i");
	type(s, "i:iil");
	// br_table with a value, to blocks, a loop's parameter and the function
	struct buf *b = add_func(s, 0);
	CODE(b, 1, 1, T_I32, BLOCK, T_I32, BLOCK, T_I32, I32, 10, LOOP, 0 /* type 0: (i32) -> (i32) */, SET, 1, GET, 1, GET, 0, GET, 0, I32, 1, ADD, SET, 0, BR_TABLE, 3, 0, 1, 2, 3, END,
		I32, 100, ADD, END, I32, 0xe8, 7, ADD, END, GET, 1, ADD, END);
	// br_if with a value that stays on the stack when it isn't taken, below it a value that is in rax
	b = add_func(s, 0);
	CODE(b, 0, BLOCK, T_I32, GET, 0, I32, 3, MUL, I32, 7, GET, 0, I32, 2, MUL, GET, 0, BR_IF, 0, ADD, ADD, END, END);
	// several results, both arms of an if, values from outside
	b = add_func(s, 1);
	CODE(b, 0, GET, 0, I32, 5, ADD, GET, 0, IF, 1 + 1 /* type 2 */, GET, 0, GET, 0, 0xad, I64, 1, 0x7c, ELSE, I32, 9, I64, 0x7f, END, END);
	snprintf(s->types[s->ntypes++], sizeof s->types[0], "i:iil");
	// type 2 takes the value from outside as a parameter
}

static void check_branches(struct guest *g)
{
	uint64_t r[3];
	static const uint64_t expected[] = {10 + 1000 + 10, 10 + 1000 + 10, 10 + 10, 10, 10};
	for (uint64_t i = 0; i < ARRAY_LEN(expected); i++)
		assert_int_equal(call(g, 0, &i), expected[i]);
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(call(g, 1, (uint64_t[]){i}), i ? i * 2 : 7);
	for (uint64_t i = 0; i < 2; i++) {
		assert_int_equal(guest_call(g, 2, NULL, &i, r), TRAP_NONE);
		assert_int_equal(r[0], i + 5);
		assert_int_equal(r[1], i ? 1 : 9);
		assert_int_equal(r[2], i ? 2 : UINT64_MAX);
	}
}

static void branches_carry_values_L11(void **state)
{
	run_all(build_branches, check_branches);
}

// ---- memory -----------------------------------------------------------------------------------------------------
// One function a width: (index) stores all ones at index + offset; offsets small, at 2 GiB, and at the end of the range.
static const uint64_t offsets[] = {0, 7, 0x7fffffff, 0x80000000, 0xffffffff};
static const struct {
	uint8_t op, size;
	bool is64;
} stores[] = {{0x3a, 1, false}, {0x3b, 2, false}, {0x36, 4, false}, {0x3e, 4, true}, {0x37, 8, true}};

static void build_memory(struct source *s)
{
	type(s, "i:");
	type(s, "i:i");
	for (size_t o = 0; o < ARRAY_LEN(offsets); o++) {
		for (size_t k = 0; k < ARRAY_LEN(stores); k++) {
			struct buf *b = add_func(s, 0);
			CODE(b, 0, GET, 0, stores[k].is64 ? I64 : I32, 0x7f, stores[k].op, 0);
			put_leb(b, offsets[o]);
			CODE(b, END);
		}
	}
	// index computed by a shift that wraps (L1): load8_u((x << 3) + 1)
	struct buf *b = add_func(s, 1);
	CODE(b, 0, GET, 0, I32, 3, 0x74, 0x2d, 0, 1, END);
	// constant index + offset
	b = add_func(s, 1);
	CODE(b, 0, I32, 0x7f, 0x2d, 0, 1, END);  // -1: 4 GiB - 1, + 1
}

static void check_memory(struct guest *g)
{
	uint8_t *p = g->memory.base, zeros[16] = {0};
	uint64_t none[1], length = 65536;
	for (size_t o = 0; o < ARRAY_LEN(offsets); o++) {
		for (size_t k = 0; k < ARRAY_LEN(stores); k++) {
			uint32_t f = (uint32_t)(o * ARRAY_LEN(stores) + k);
			uint64_t size = stores[k].size;
			memset(p + length - 16, 0, 16);
			if (offsets[o] < length) {
				uint64_t last = length - size - offsets[o];
				assert_int_equal(guest_call(g, f, NULL, &last, none), TRAP_NONE);
				assert_true(p[length - 1] == 0xff && p[length - size] == 0xff && p[length - size - 1] == 0);
				memset(p + length - 16, 0, 16);
				last++;
				assert_int_equal(guest_call(g, f, NULL, &last, none), TRAP_MEMORY_OUT_OF_BOUNDS);
				assert_memory_equal(p + length - 16, zeros, 16);  // L14
			}
			for (uint64_t index = 0; index < 6; index++) {
				uint64_t at = (uint32_t)(index < 3 ? 0xffffffff - index : 0x80000000 - (index - 4));
				if (at + offsets[o] >= length)
					assert_int_equal(guest_call(g, f, NULL, &at, none), TRAP_MEMORY_OUT_OF_BOUNDS);
			}
		}
	}
	uint32_t f = (uint32_t)(ARRAY_LEN(offsets) * ARRAY_LEN(stores));
	p[1] = 0x5a;
	assert_int_equal(call(g, f, (uint64_t[]){0x20000000}), 0x5a);
	assert_int_equal(call(g, f, (uint64_t[]){0xe0000000}), 0x5a);
	assert_int_equal(guest_call(g, f + 1, NULL, (uint64_t[]){0}, none), TRAP_MEMORY_OUT_OF_BOUNDS);
	p[1] = 0;
}

static void memory_traps_exactly_at_its_edge_L5_L12(void **state)
{
	run_all(build_memory, check_memory);
}

// ---- the entry check --------------------------------------------------------------------------------------------
static void build_entry(struct source *s)
{
	type(s, "iiiiiii:i");
	struct buf *b = add_func(s, 0);
	CODE(b, 0, GET, 0, GET, 1, ADD, GET, 2, ADD, GET, 3, ADD, GET, 4, ADD, GET, 5, ADD, GET, 6, ADD, 0x0f, CALL, 0, END);
	// recursion without end, with a frame of 40,000 locals
	b = add_func(s, 0);
	CODE(b, 1, 0xc0, 0xb8, 2, 0x7e);
	for (uint8_t i = 0; i < 7; i++)
		CODE(b, GET, i);
	CODE(b, CALL, 1, END);
	// what calls nothing asks for no room (R6), unless its frame is large
	b = add_func(s, 0);
	CODE(b, 0, GET, 0, END);
	b = add_func(s, 0);
	CODE(b, 1, 0x80, 1, 0x7e);
	for (uint8_t i = 7; i < 127; i++)
		CODE(b, 0x42, 0, 0x21, i);
	CODE(b, GET, 0, END);
}

static void check_entry(struct guest *g)
{
	uint64_t args[] = {1, 2, 3, 4, 5, 6, 7}, r[1];
	g->exec.stack_limit = UINTPTR_MAX;
	hooks_called = 0;
	assert_int_equal(call(g, 0, args), 28);
	assert_int_equal(hooks_called, 1);
	assert_true(g->exec.stack_limit != UINTPTR_MAX);
	g->exec.stack_limit = UINTPTR_MAX;
	assert_int_equal(call(g, 2, args), 1);
	assert_int_equal(hooks_called, 1);
	assert_int_equal(call(g, 3, args), 1);
	assert_int_equal(hooks_called, 2);
	g->exec.stack_limit = (uintptr_t)__builtin_frame_address(0) - (1 << 20);
	assert_int_equal(guest_call(g, 1, NULL, args, r), TRAP_STACK_OVERFLOW);
	g->exec.stack_limit = 0;
}

static void the_hook_keeps_parameters_and_overflow_traps_L37(void **state)
{
	run_all(build_entry, check_entry);
}

// ---- sizes ------------------------------------------------------------------------------------------------------
static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

#define BODY_LIMIT 7654321u
enum { DEEP_STACK, LONG_CHAIN, NESTED, LAZY, LONG_SWITCHES, MANY_TRAPS, WIDE_TABLE, SHAPES };

static void build_large(struct source *s, int shape)
{
	type(s, "i:i");
	struct buf *b = add_func(s, 0);
	uint32_t n;
	switch (shape) {
	case DEEP_STACK:  // as many operands as may be
		CODE(b, 0);
		for (n = 0; n < 131000; n++)
			CODE(b, GET, 0);
		for (; n > 1; n--)
			CODE(b, ADD);
		CODE(b, END);
		break;
	case LONG_CHAIN:  // eqz of eqz of ... (L18)
		CODE(b, 0, GET, 0);
		for (n = 0; b->len < BODY_LIMIT - 20; n++)
			CODE(b, EQZ);
		CODE(b, END);
		break;
	case NESTED:  // blocks in blocks
		CODE(b, 0);
		for (n = 0; n < 65000; n++)
			CODE(b, BLOCK, VOID);
		CODE(b, GET, 0, BR_IF, 0);
		for (; n; n--)
			CODE(b, END);
		CODE(b, GET, 0, END);
		break;
	case LAZY:  // gets of 50,000 locals under many constants, then sets of all
		CODE(b, 1, 0xcf, 0x86, 3, T_I32);
		for (uint32_t i = 1; i < 50000; i++) {
			CODE(b, GET);
			put_leb(b, i);
		}
		for (n = 0; n < 80000; n++)
			CODE(b, I32, 1);
		for (uint32_t i = 1; i < 50000; i++) {
			CODE(b, I32, 2, SET);
			put_leb(b, i);
		}
		for (n = 0; n < 80000; n++)
			CODE(b, DROP);
		for (uint32_t i = 2; i < 50000; i++)
			CODE(b, ADD);
		CODE(b, GET, 0, ADD, END);
		break;
	case LONG_SWITCHES:  // br_table of 10,000, again and again
		CODE(b, 0);
		while (b->len < BODY_LIMIT - 11000) {
			CODE(b, BLOCK, VOID, GET, 0, BR_TABLE);
			put_leb(b, 10000);
			for (n = 0; n <= 10000; n++)
				CODE(b, 0);
			CODE(b, END);
		}
		CODE(b, GET, 0, END);
		break;
	case MANY_TRAPS:  // divisions, three out-of-line pieces each
		CODE(b, 0);
		while (b->len < BODY_LIMIT - 20)
			CODE(b, GET, 0, GET, 0, 0x6d, DROP);
		CODE(b, GET, 0, END);
		break;
	default:  // br_table of 10,000 (L17)
		CODE(b, 0, BLOCK, VOID, BLOCK, VOID, GET, 0, BR_TABLE);
		put_leb(b, 10000);
		for (n = 0; n <= 10000; n++)
			CODE(b, n & 1);
		CODE(b, END, I32, 5, RETURN, END, I32, 6, END);
	}
}

static void functions_at_the_limits_compile_in_linear_time_L17_L18_L19(void **state)
{
	for (int shape = 0; shape < SHAPES; shape++) {
		struct source s = {0};
		struct guest g;
		build_large(&s, shape);
		double began = now();
		guest_init(&g, &s, &modes[0]);
		double took = now() - began;
		if (took > 5)
			fail_msg("shape %d took %.1f s", shape, took);
		g.exec.stack_limit = 1;
		uint64_t r[1], x = 3;
		enum trap t = shape == DEEP_STACK ? TRAP_NONE : guest_call(&g, 0, NULL, &x, r);
		assert_int_equal(t, TRAP_NONE);
		if (shape == NESTED || shape == MANY_TRAPS)
			assert_int_equal(r[0], 3);
		if (shape == LAZY)
			assert_int_equal(r[0], 3);
		if (shape == WIDE_TABLE)
			assert_int_equal(r[0], 6);
		guest_release(&g);
	}
}

// n operands, then n blocks above them. What it costs is counted in the thread's own time, the least of five.
static double blocks_above_operands(uint32_t n)
{
	double least = 1e9;
	for (int i = 0; i < 5; i++) {
		struct source s = {.ntypes = 1};
		struct guest g;
		struct timespec t0, t1;
		snprintf(s.types[0], sizeof s.types[0], "i:i");
		struct buf *b = add_func(&s, 0);
		CODE(b, 0);
		for (uint32_t k = 0; k < n; k++)
			CODE(b, GET, 0);
		for (uint32_t k = 0; k < n; k++)
			CODE(b, BLOCK, VOID, GET, 0, BR_IF, 0, END);
		for (uint32_t k = 1; k < n; k++)
			CODE(b, ADD);
		CODE(b, END);
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t0);
		guest_init(&g, &s, &modes[0]);
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t1);
		double took = (double)(t1.tv_sec - t0.tv_sec) + (double)(t1.tv_nsec - t0.tv_nsec) * 1e-9;
		least = took < least ? took : least;
		uint64_t r[1] = {0}, x = 3;
		assert_int_equal(guest_call(&g, 0, NULL, &x, r), TRAP_NONE);
		assert_int_equal(r[0], 3 * n);
		guest_release(&g);
	}
	return least;
}

static void blocks_above_operands_compile_in_linear_time(void **state)
{
	double small = blocks_above_operands(4000), large = blocks_above_operands(32000);
	if (large > 16 * small)  // quadratic would be 64
		fail_msg("8 times as much takes %.1f times as long (%.1f ms)", large / small, large * 1e3);
}

// As many bytes as may list so many values.
static void put_values(struct buf *b, uint32_t n)
{
	for (uint32_t i = 0; i < n; i += 32)
		CODE(b, 0x01);
}

static void call_many(struct buf *b)
{
	put_values(b, 1000);
	CODE(b, CALL, 0);
}

// Two bytes (and those that pay for the values) that become 20 KB, again and again.
static void code_that_grows_beyond_measure_is_refused_L58(void **state)
{
	AUTO(buf)
	m = {0};
	AUTO(buf)
	b = {0};
	AUTO(buf)
	body = {0};
	struct baseline_output out = {0};
	struct abi_layout layout;
	struct wasm_module *mod;
	struct wasm_func_info info;
	struct arena arena;
	struct err e = {0};
	arena_init(&arena, 0);
	buf_put(&m, "\0asm\1\0\0\0", 8);
	CODE(&b, 1, 0x60, 0);
	put_leb(&b, 1000);
	for (int i = 0; i < 1000; i++)
		CODE(&b, T_I32);
	put_section(&m, 1, &b);
	buf_clear(&b);
	CODE(&b, 1, 0);
	put_section(&m, 3, &b);
	buf_clear(&b);
	CODE(&body, 0);
	for (int i = 0; i < 400; i++) {
		CODE(&body, BLOCK, VOID);
		for (int k = 0; k < 16; k++)
			call_many(&body);
		CODE(&body, BR, 0, END);
	}
	CODE(&body, 0x00, END);
	put_leb(&b, 1);
	put_leb(&b, body.len);
	buf_put_slice(&b, buf_view(&body));
	put_section(&m, 10, &b);
	assert_true(wasm_decode(&arena, buf_view(&m), WASM_FEATURES_DEFAULT, 0, &mod, &e));
	struct wasm_scratch *scratch = wasm_scratch_new();
	assert_true(wasm_validate_func(mod, 0, scratch, &info, &e));
	abi_layout(mod, &layout);
	assert_false(baseline_compile_func(mod, 0, &info, &layout, &modes[0], &out, &e));
	assert_int_equal(e.code, ERR_LIMIT);
	wasm_scratch_free(scratch);
	baseline_output_release(&out);
	arena_release(&arena);
}

// A module of bodies of type 0, () -> (), and of one block type, () -> i32 * 1000; only the first body is compiled.
static bool compile_first(struct buf *bodies, uint32_t n, struct baseline_output *out, struct err *e)
{
	AUTO(buf)
	m = {0}, b = {0};
	struct abi_layout layout;
	struct wasm_module *mod;
	struct wasm_func_info info;
	struct arena arena;
	arena_init(&arena, 0);
	buf_put(&m, "\0asm\1\0\0\0", 8);
	CODE(&b, 2, 0x60, 0, 0, 0x60, 0);
	put_leb(&b, 1000);
	for (int i = 0; i < 1000; i++)
		CODE(&b, T_I32);
	put_section(&m, 1, &b);
	buf_clear(&b);
	put_leb(&b, n);
	for (uint32_t i = 0; i < n; i++)
		CODE(&b, 0);
	put_section(&m, 3, &b);
	buf_clear(&b);
	put_leb(&b, n);
	for (uint32_t i = 0; i < n; i++) {
		put_leb(&b, bodies[i].len);
		buf_put_slice(&b, buf_view(&bodies[i]));
	}
	put_section(&m, 10, &b);
	assert_true(wasm_decode(&arena, buf_view(&m), WASM_FEATURES_DEFAULT, 0, &mod, e));
	struct wasm_scratch *scratch = wasm_scratch_new();
	assert_true(wasm_validate_func(mod, 0, scratch, &info, e));
	abi_layout(mod, &layout);
	bool ok = baseline_compile_func(mod, 0, &info, &layout, &modes[0], out, e);
	wasm_scratch_free(scratch);
	arena_release(&arena);
	return ok;
}

// A table of [the loop's head, behind the loop], where the head is so far back (370 to 385 MB) that the first entry's last byte is 0xe9, what a jump
// to the label that is bound next would begin with. Each branch with a thousand constants makes 11 KB of four bytes; the other
// bodies are there because the bound on code goes by the size of the code section.
static void an_entry_of_a_jump_table_is_never_taken_for_a_jump_L19(void **state)
{
	struct baseline_output out = {0};
	struct err e = {0};
	struct buf bodies[4] = {0};
	struct buf *b = &bodies[0];
	CODE(b, 0, BLOCK, VOID, LOOP, VOID, BLOCK, 1);
	for (int i = 0; i < 1000; i++)
		CODE(b, I32, 1);
	for (int i = 0; i < 37800; i++) {
		put_values(b, 2000);
		CODE(b, I32, 0, BR_IF, 0);
	}
	CODE(b, END);
	for (int i = 0; i < 1000; i++)
		CODE(b, DROP);
	CODE(b, I32, 0, BR_TABLE, 1, 0, 1, END, END, END);
	for (int i = 1; i < 4; i++) {
		assert_non_null(buf_reserve(&bodies[i], 5500000));
		memset(bodies[i].ptr, 1, 5500000);
		bodies[i].len = 5500000;
	}
	if (!compile_first(bodies, 4, &out, &e))
		fail_msg("%s", e.text);
	const uint8_t *p = out.text.ptr + out.text.len - 256;
	uint32_t found = 0;
	for (uint32_t i = 1; i <= 250; i++) {
		static const uint8_t last_and_epilogue[] = {0, 0, 0, 0, 0xc9, 0xc3};
		found += p[i - 1] == 0xe9 && !memcmp(p + i, last_and_epilogue, sizeof last_and_epilogue);
	}
	assert_int_equal(found, 1);
	for (int i = 0; i < 4; i++)
		buf_release(&bodies[i]);
	baseline_output_release(&out);
}

// Nothing is copied before the sizes are known to fit.
static void linking_more_than_2_gib_of_code_is_refused_L19(void **state)
{
	static const struct {
		uint32_t sizes[2], sites;
	} cases[] = {{{1u << 30, 1u << 30}, 0}, {{INT32_MAX - 15, 16}, 0}, {{1u << 30, (1u << 30) - 16}, 0}, {{16, 16}, (uint32_t)INT32_MAX + 1}};
	struct wasm_module m = {.nfuncs = 2};
	for (uint32_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct baseline_func funcs[2] = {{.func = 0, .place.size = cases[i].sizes[0]}, {.func = 1, .place.size = cases[i].sizes[1]}};
		struct baseline_output out = {.funcs = {.ptr = funcs, .len = 2}, .sites.len = cases[i].sites}, *outputs[] = {&out};
		struct code_artifact a;
		struct err e = {0};
		assert_false(baseline_link(&m, outputs, 1, &modes[0], &a, &e));
		assert_int_equal(e.code, ERR_LIMIT);
	}
}

// ---- refusals ---------------------------------------------------------------------------------------------------
static void compiling_without_memory_fails_cleanly(void **state)
{
	for (uint64_t n = 1; n < 60; n++) {
		struct source s = {0};
		struct guest g;
		struct err e = {0};
		build_many(&s);
		struct baseline_output out = {0}, *outputs[] = {&out};
		struct code_artifact artifact = {0};
		struct wasm_scratch *scratch = wasm_scratch_new();
		memset(&g, 0, sizeof g);
		arena_init(&g.arena, 0);
		source_bytes(&s, &g.bytes);
		assert_true(wasm_decode(&g.arena, buf_view(&g.bytes), WASM_FEATURES_DEFAULT, 0, &g.m, &e));
		abi_layout(g.m, &g.layout);
		mem_fail_nth(n);
		bool ok = true;
		for (uint32_t i = 0; i < g.m->nfuncs && ok; i++) {
			struct wasm_func_info info;
			ok = wasm_validate_func(g.m, i, scratch, &info, &e) && baseline_compile_func(g.m, i, &info, &g.layout, &modes[0], &out, &e);
		}
		ok = ok && baseline_link(g.m, outputs, 1, &modes[0], &artifact, &e);
		mem_fail_nth(0);
		assert_true(ok || e.code == ERR_NOMEM);
		code_artifact_release(&artifact);
		baseline_output_release(&out);
		wasm_scratch_free(scratch);
		buf_release(&g.bytes);
		arena_release(&g.arena);
		if (ok)
			return;
	}
	fail_msg("60 allocations and no end");
}

int main(void)
{
	nmodes = all_modes(modes);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_parameters_and_results_arrive),
		cmocka_unit_test(tail_calls_take_no_stack),
		cmocka_unit_test(indirect_calls_check_bounds_null_and_type),
		cmocka_unit_test(branches_carry_values_L11),
		cmocka_unit_test(memory_traps_exactly_at_its_edge_L5_L12),
		cmocka_unit_test(the_hook_keeps_parameters_and_overflow_traps_L37),
		cmocka_unit_test(functions_at_the_limits_compile_in_linear_time_L17_L18_L19),
		cmocka_unit_test(blocks_above_operands_compile_in_linear_time),
		cmocka_unit_test(code_that_grows_beyond_measure_is_refused_L58),
		cmocka_unit_test(an_entry_of_a_jump_table_is_never_taken_for_a_jump_L19),
		cmocka_unit_test(linking_more_than_2_gib_of_code_is_refused_L19),
		cmocka_unit_test(compiling_without_memory_fails_cleanly),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
