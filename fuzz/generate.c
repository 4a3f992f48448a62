// Functions are made of rows of opcodes.def that are checked by their signature, and of a few forms of control. Operands that are not on the stack
// already are pushed first: locals, globals, constants that are likely to matter.
#include "generate.h"
#include "wasm/wasm.h"

enum { MAX_STACK = 200, MAX_DEPTH = 5, MAX_OPS = 300, N_FUNCS = 4, N_PLAIN = 12, N_COUNTERS = 6 };
static const char letters[] = "ilfd";

struct gen {
	struct bytes *in;
	struct buf *body;
	char stack[MAX_STACK];
	uint32_t height, base;  // of the stack; where the innermost block begins
	uint32_t depth, ops;
	uint32_t func;  // that is made; calls go below
};

static uint8_t valtype(char t)
{
	return t == 'i' ? 0x7f : t == 'l' ? 0x7e
		: t == 'f'                    ? 0x7d
									  : 0x7c;
}
static unsigned letter_index(char t)
{
	return (unsigned)(strchr(letters, t) - letters);
}
static void put_op(struct buf *b, uint8_t prefix, uint32_t code)
{
	if (prefix) {
		buf_put_byte(b, prefix);
		put_u(b, code);
	} else {
		buf_put_byte(b, (uint8_t)code);
	}
}

static void push(struct gen *g, char t)
{
	BUG_ON(g->height == MAX_STACK);
	g->stack[g->height++] = t;
}

static uint64_t interesting(struct gen *g)
{
	static const uint64_t values[] = {0, 1, 2, 7, 8, 31, 32, 63, 64, 127, 128, 255, 256, 65535, 65536, 0x7fffffff, 0x80000000, 0xffffffff,
		UINT64_C(0x7fffffffffffffff), UINT64_C(0x8000000000000000), UINT64_MAX, UINT64_C(0x3ff0000000000000), 0x3f800000, UINT64_C(0x7ff8000000000000),
		0x7fc00000, UINT64_C(0x7ff0000000000000), 0x7f800000, UINT64_C(0x43e0000000000000), 0x4f000000, 0xcf000000, UINT64_C(0xc3e0000000000000)};
	uint8_t c = bytes_take(g->in);
	return c < ARRAY_LEN(values) * 4 ? values[c / 4] : c < 200 ? c
															   : bytes_take_u64(g->in);
}

static void make_const(struct gen *g, char t)
{
	uint64_t v = interesting(g);
	buf_put_byte(g->body, (uint8_t)(0x41 + letter_index(t)));
	if (t == 'i')
		put_s(g->body, (int32_t)v);
	else if (t == 'l')
		put_s(g->body, (int64_t)v);
	else
		buf_put(g->body, &v, t == 'f' ? 4 : 8);
}

// One value of the type, by a local, a global or a constant.
static void make_operand(struct gen *g, char t)
{
	uint8_t c = bytes_take(g->in);
	if (c < 150) {
		buf_put_byte(g->body, 0x20);
		put_u(g->body, letter_index(t) + 4 * (c % 3));
	} else if (c < 170) {
		buf_put_byte(g->body, 0x23);
		put_u(g->body, letter_index(t));
	} else {
		make_const(g, t);
	}
	push(g, t);
}

// An address that is nearly always in the memory.
static void make_address(struct gen *g)
{
	make_operand(g, 'i');
	if (bytes_take(g->in) < 240) {
		buf_put_byte(g->body, 0x41);
		put_s(g->body, 0xfff);
		buf_put_byte(g->body, 0x71);
	}
}

static bool on_top(const struct gen *g, const char *params, size_t n)
{
	if (g->height - g->base < n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (g->stack[g->height - n + i] != params[i])
			return false;
	return true;
}

static void make_operands(struct gen *g, const char *params, size_t n)
{
	if (!on_top(g, params, n))
		for (size_t i = 0; i < n; i++)
			make_operand(g, params[i]);
}

static bool make_row(struct gen *g, const struct wasm_op_info *op)
{
	const char *colon = strchr(op->sig, ':');
	if (!colon || (op->imm != WASM_IMM_NONE && op->imm != WASM_IMM_MEMARG))
		return false;
	size_t n = (size_t)(colon - op->sig);
	for (const char *p = op->sig; *p; p++)
		if (*p != ':' && !strchr(letters, *p))
			return false;
	if (op->imm == WASM_IMM_MEMARG && n) {
		make_address(g);
		for (size_t i = 1; i < n; i++)
			make_operand(g, op->sig[i]);
	} else {
		make_operands(g, op->sig, n);
	}
	put_op(g->body, op->prefix, op->code);
	if (op->imm == WASM_IMM_MEMARG) {
		put_u(g->body, 0);
		put_u(g->body, interesting(g) & (bytes_take(g->in) < 240 ? 0xff : UINT32_MAX));
	}
	g->height -= (uint32_t)n;
	for (const char *p = colon + 1; *p; p++)
		push(g, *p);
	return true;
}

static bool make_ops(struct gen *g, uint32_t n);

static void drop_to(struct gen *g, uint32_t height)
{
	while (g->height > height) {
		buf_put_byte(g->body, 0x1a);
		g->height--;
	}
}

// The inside of a block up to where its `end` stands: leaves one value of type `t` ('v': none).
static void make_inside(struct gen *g, char t)
{
	uint32_t base = g->base;
	g->base = g->height;
	g->depth++;
	bool dead = make_ops(g, 1 + bytes_take(g->in) % 12);
	if (!dead) {
		drop_to(g, g->base);
		if (t != 'v')
			make_operand(g, t);
	}
	g->height = g->base;
	g->depth--;
	g->base = base;
}

static void block_type(struct gen *g, char t)
{
	buf_put_byte(g->body, t == 'v' ? 0x40 : valtype(t));
}

static void make_loop(struct gen *g)
{
	uint32_t counter = N_PLAIN + g->depth;
	uint8_t set[] = {0x41, (uint8_t)(1 + bytes_take(g->in) % 20), 0x21, (uint8_t)counter, 0x03, 0x40};
	uint8_t again[] = {0x20, (uint8_t)counter, 0x41, 1, 0x6b, 0x22, (uint8_t)counter, 0x0d, 0, 0x0b};
	buf_put(g->body, set, sizeof(set));
	make_inside(g, 'v');
	buf_put(g->body, again, sizeof(again));
}

static void make_call(struct gen *g)
{
	bool indirect = bytes_take(g->in) % 4 == 0;
	uint32_t callee = bytes_take(g->in) % N_FUNCS;
	if (g->func == 0)
		return;
	callee %= g->func;
	make_operands(g, letters, 4);
	if (indirect) {  // now and then a null element, or another type
		uint8_t index[] = {0x41, (uint8_t)(bytes_take(g->in) % 16 == 0 ? 10 : callee)};
		buf_put(g->body, index, sizeof(index));
		uint8_t call[] = {0x11, (uint8_t)(bytes_take(g->in) % 16 == 0 ? (callee + 1) % 4 : callee % 4), 0};
		buf_put(g->body, call, sizeof(call));
		callee = call[1];
	} else {
		uint8_t call[] = {0x10, (uint8_t)callee};
		buf_put(g->body, call, sizeof(call));
	}
	g->height -= 4;
	push(g, letters[callee % 4]);
}

static void make_control(struct gen *g)
{
	char t = "ilfdvvvv"[bytes_take(g->in) % 8];
	bool if_else = bytes_take(g->in) % 2;
	if (if_else) {
		make_operands(g, "i", 1);
		g->height--;
	}
	buf_put_byte(g->body, if_else ? 0x04 : 0x02);
	block_type(g, t);
	make_inside(g, t);
	if (if_else) {
		buf_put_byte(g->body, 0x05);
		make_inside(g, t);
	}
	buf_put_byte(g->body, 0x0b);
	if (t != 'v')
		push(g, t);
}

static void make_variable(struct gen *g)
{
	uint8_t c = bytes_take(g->in), which = bytes_take(g->in);
	char t = letters[c % 4];
	make_operands(g, &t, 1);
	if (c & 0x80) {
		uint8_t set[] = {0x24, (uint8_t)letter_index(t)};
		buf_put(g->body, set, 2);
		g->height--;
	} else {
		uint8_t set[] = {c & 0x40 ? 0x21 : 0x22, (uint8_t)(letter_index(t) + 4 * (which % 3))};
		buf_put(g->body, set, 2);
		if (c & 0x40)
			g->height--;
	}
}

static void make_select(struct gen *g)
{
	char t = letters[bytes_take(g->in) % 4];
	const char params[] = {t, t, 'i'};
	make_operands(g, params, 3);
	buf_put_byte(g->body, 0x1b);
	g->height -= 2;
}

static void make_bulk(struct gen *g)
{
	bool fill = bytes_take(g->in) % 2;
	make_address(g);
	if (fill)
		make_operand(g, 'i');
	else
		make_address(g);
	make_address(g);
	buf_put_byte(g->body, 0xfc);
	buf_put_byte(g->body, fill ? 11 : 10);
	buf_put_byte(g->body, 0);
	if (!fill)
		buf_put_byte(g->body, 0);
	g->height -= 3;
}

// true: what follows can't be reached.
static bool make_ops(struct gen *g, uint32_t n)
{
	for (uint32_t i = 0; i < n && g->ops < MAX_OPS && g->height < MAX_STACK - 20; i++, g->ops++) {
		uint8_t c = bytes_take(g->in);
		if (c < 190) {
			for (uint32_t row = bytes_take(g->in) + 256u * (c % 2), tries = 0; tries < 8; tries++)
				if (make_row(g, &wasm_ops[(row + tries * 13) % WASM_OP_COUNT]))
					break;
		} else if (c < 210 && g->depth < MAX_DEPTH) {
			if (c % 4)
				make_control(g);
			else
				make_loop(g);
		} else if (c < 220) {
			make_call(g);
		} else if (c < 235) {
			make_variable(g);
		} else if (c < 243) {
			make_select(g);
		} else if (c < 246) {
			make_bulk(g);
		} else if (c < 248) {
			static const uint8_t grow[] = {0x41, 1, 0x40, 0, 0x1a, 0x3f, 0};
			buf_put(g->body, grow, sizeof(grow));
			push(g, 'i');
		} else if (g->depth && c < 252) {
			// Out of the outermost block: it has no parameters, and the function's results are what is pushed.
			char t = letters[g->func % 4];
			make_operands(g, &t, 1);
			buf_put_byte(g->body, 0x0f);
			return true;
		}
	}
	return false;
}

static void make_function(struct bytes *in, uint32_t func, struct buf *out)
{
	struct buf body = {.max = 1 << 20};
	struct gen g = {.in = in, .body = &body, .func = func};
	// Locals 4 to 11: i l f d twice; then counters.
	put_u(&body, 9);
	for (unsigned i = 0; i < 8; i++) {
		put_u(&body, 1);
		buf_put_byte(&body, valtype(letters[i % 4]));
	}
	put_u(&body, N_COUNTERS);
	buf_put_byte(&body, 0x7f);
	bool dead = make_ops(&g, 10 + bytes_take(in) % 100);
	char t = letters[func % 4];
	if (!dead && !on_top(&g, &t, 1))
		make_operand(&g, t);
	if (!dead)
		buf_put_byte(&body, 0x0f);
	buf_put_byte(&body, 0x0b);
	put_u(out, body.len);
	buf_put(out, body.ptr, body.len);
	buf_release(&body);
}

static void put_section(struct buf *out, uint8_t id, struct buf *contents)
{
	buf_put_byte(out, id);
	put_u(out, contents->len);
	buf_put(out, contents->ptr, contents->len);
	buf_clear(contents);
}

static void put_name(struct buf *b, const char *name)
{
	put_u(b, strlen(name));
	buf_put_str(b, name);
}

void generate_module(struct bytes *in, struct buf *out)
{
	struct buf s = {.max = 1 << 22};
	buf_put_slice(out, SLICE_LIT("\0asm\1\0\0\0"));
	put_u(&s, 4);
	for (unsigned i = 0; i < 4; i++) {
		uint8_t type[] = {0x60, 4, 0x7f, 0x7e, 0x7d, 0x7c, 1, valtype(letters[i])};
		buf_put(&s, type, sizeof(type));
	}
	put_section(out, 1, &s);
	put_u(&s, N_FUNCS);
	for (unsigned i = 0; i < N_FUNCS; i++)
		put_u(&s, i % 4);
	put_section(out, 3, &s);
	buf_put_slice(&s, SLICE_LIT("\1\x70\0\x10"));
	put_section(out, 4, &s);
	buf_put_slice(&s, SLICE_LIT("\1\1\1\2"));
	put_section(out, 5, &s);
	buf_put_slice(&s, SLICE_LIT("\4\x7f\1\x41\5\x0b\x7e\1\x42\6\x0b\x7d\1\x43\0\0\x80\x3f\x0b\x7c\1\x44\0\0\0\0\0\0\x04\x40\x0b"));
	put_section(out, 6, &s);
	put_u(&s, 6);
	static const struct {
		const char *name;
		uint8_t kind, index;
	} exports[] = {{"f", 0, N_FUNCS - 1}, {"m", 2, 0}, {"i", 3, 0}, {"l", 3, 1}, {"f32", 3, 2}, {"f64", 3, 3}};
	for (unsigned i = 0; i < ARRAY_LEN(exports); i++) {
		put_name(&s, exports[i].name);
		buf_put_byte(&s, exports[i].kind);
		buf_put_byte(&s, exports[i].index);
	}
	put_section(out, 7, &s);
	buf_put_slice(&s, SLICE_LIT("\1\0\x41\0\x0b\4\0\1\2\3"));
	put_section(out, 9, &s);
	put_u(&s, N_FUNCS);
	for (uint32_t i = 0; i < N_FUNCS; i++)
		make_function(in, i, &s);
	put_section(out, 10, &s);
	buf_release(&s);
}
