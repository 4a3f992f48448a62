// Functions are made of rows of opcodes.def that are checked by their signature, and of a few forms of control. Operands that are not on the stack
// already are pushed first: locals, globals, constants that are likely to matter.
#include "generate.h"
#include "wasm/wasm.h"

enum { MAX_STACK = 200, MAX_DEPTH = 5, MAX_OPS = 300, N_FUNCS = 4, N_PLAIN = 12, N_COUNTERS = 6, VECTORS = N_PLAIN + N_COUNTERS, N_VECTORS = 3 };
enum { OBJECTS = VECTORS + N_VECTORS, N_OBJECTS = 3 };
// Types behind those of functions, and the global that holds an object.
enum { NODE = 4, LIST, BYTES, OBJECT_GLOBAL = 5 };
static const char letters[] = "ilfdv", none = '-';  // as in opcodes.def; parameters and results of functions are the first four
enum { N_SCALARS = 4 };

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
	return (uint8_t)(0x7f - (strchr(letters, t) - letters));
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
	if (t == 'v') {
		uint64_t high = bytes_take(g->in) % 2 ? v : interesting(g);
		put_op(g->body, 0xfd, 12);
		buf_put(g->body, &v, 8);
		buf_put(g->body, &high, 8);
		return;
	}
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
		put_u(g->body, t == 'v' ? VECTORS + c % N_VECTORS : letter_index(t) + 4u * (c % 3));
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

// How many lanes the immediate chooses from; 0: it is none of lanes.
static unsigned lanes_of(const struct wasm_op_info *op)
{
	switch (op->imm) {
	case WASM_IMM_LANE_16:
		return 16;
	case WASM_IMM_LANE_8:
		return 8;
	case WASM_IMM_LANE_4:
		return 4;
	case WASM_IMM_LANE_2:
		return 2;
	case WASM_IMM_MEMARG_LANE:
		return 16u / op->access;
	case WASM_IMM_SHUFFLE:
		return 32;
	default:
		return 0;
	}
}

static bool make_row(struct gen *g, const struct wasm_op_info *op)
{
	const char *colon = strchr(op->sig, ':');
	bool is_access = op->imm == WASM_IMM_MEMARG || op->imm == WASM_IMM_MEMARG_LANE;
	unsigned lanes = lanes_of(op);
	if (!colon || (op->imm != WASM_IMM_NONE && !is_access && !lanes) || op->feature & ~(uint32_t)WASM_FEATURES_FINISHED)
		return false;
	size_t n = (size_t)(colon - op->sig);
	for (const char *p = op->sig; *p; p++)
		if (*p != ':' && !strchr(letters, *p))
			return false;
	if (is_access && n) {
		make_address(g);
		for (size_t i = 1; i < n; i++)
			make_operand(g, op->sig[i]);
	} else {
		make_operands(g, op->sig, n);
	}
	put_op(g->body, op->prefix, op->code);
	if (is_access) {
		put_u(g->body, op->feature == WASM_FEATURE_THREADS ? (uint32_t)__builtin_ctz(op->access) : 0);  // an atomic access states its natural alignment
		put_u(g->body, interesting(g) & (bytes_take(g->in) < 240 ? 0xff : UINT32_MAX));
	}
	for (unsigned i = 0; lanes && i < (op->imm == WASM_IMM_SHUFFLE ? 16 : 1); i++)
		buf_put_byte(g->body, (uint8_t)(bytes_take(g->in) % lanes));
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

// The inside of a block up to where its `end` stands: leaves one value of type `t`, or none.
static void make_inside(struct gen *g, char t)
{
	uint32_t base = g->base;
	g->base = g->height;
	g->depth++;
	bool dead = make_ops(g, 1 + bytes_take(g->in) % 12);
	if (!dead) {
		drop_to(g, g->base);
		if (t != none)
			make_operand(g, t);
	}
	g->height = g->base;
	g->depth--;
	g->base = base;
}

static void block_type(struct gen *g, char t)
{
	buf_put_byte(g->body, t == none ? 0x40 : valtype(t));
}

static void make_loop(struct gen *g)
{
	uint32_t counter = N_PLAIN + g->depth;
	uint8_t set[] = {0x41, (uint8_t)(1 + bytes_take(g->in) % 20), 0x21, (uint8_t)counter, 0x03, 0x40};
	uint8_t again[] = {0x20, (uint8_t)counter, 0x41, 1, 0x6b, 0x22, (uint8_t)counter, 0x0d, 0, 0x0b};
	buf_put(g->body, set, sizeof(set));
	make_inside(g, none);
	buf_put(g->body, again, sizeof(again));
}

static void make_call(struct gen *g)
{
	bool indirect = bytes_take(g->in) % 4 == 0;
	uint32_t callee = bytes_take(g->in) % N_FUNCS;
	if (g->func == 0)
		return;
	callee %= g->func;
	make_operands(g, letters, N_SCALARS);
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
	char t = "ilfdv---"[bytes_take(g->in) % 8];
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
	if (t != none)
		push(g, t);
}

static void make_variable(struct gen *g)
{
	uint8_t c = bytes_take(g->in), which = bytes_take(g->in);
	char t = letters[c % 5];
	make_operands(g, &t, 1);
	if (c & 0x80) {
		uint8_t set[] = {0x24, (uint8_t)letter_index(t)};
		buf_put(g->body, set, 2);
		g->height--;
	} else {
		uint8_t set[] = {c & 0x40 ? 0x21 : 0x22, (uint8_t)(t == 'v' ? VECTORS + which % N_VECTORS : letter_index(t) + 4u * (which % 3))};
		buf_put(g->body, set, 2);
		if (c & 0x40)
			g->height--;
	}
}

static void make_select(struct gen *g)
{
	char t = letters[bytes_take(g->in) % 5];
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

// ---- objects: locals of type anyref hold what is made; what is read of one that is of another type is skipped ----
static void get_object(struct gen *g)
{
	uint8_t c = bytes_take(g->in);
	uint8_t get[] = {c < 230 ? 0x20 : 0x23, c < 230 ? OBJECTS + c % N_OBJECTS : OBJECT_GLOBAL};
	buf_put(g->body, get, sizeof get);
}

static void set_object(struct gen *g)
{
	uint8_t c = bytes_take(g->in);
	uint8_t set[] = {c < 230 ? 0x21 : 0x24, c < 230 ? OBJECTS + c % N_OBJECTS : OBJECT_GLOBAL};
	buf_put(g->body, set, sizeof set);
}

// One on the stack: those within it are made while those before it lie there.
static void new_object(struct gen *g, unsigned depth)
{
	uint8_t c = bytes_take(g->in);
	if (depth == 3 || c < 60) {
		get_object(g);
	} else if (c < 150) {
		new_object(g, depth + 1);
		make_operand(g, 'i');
		make_operand(g, 'l');
		new_object(g, depth + 1);
		put_op(g->body, 0xfb, 0);  // struct.new
		put_u(g->body, NODE);
		g->height -= 2;
	} else if (c < 180) {
		uint8_t n = bytes_take(g->in) % 4;
		for (unsigned i = 0; i < n; i++)
			new_object(g, depth + 1);
		put_op(g->body, 0xfb, 8);  // array.new_fixed
		put_u(g->body, LIST);
		put_u(g->body, n);
	} else if (c < 220) {
		bool of_bytes = c % 2;
		if (of_bytes)
			make_operand(g, 'i');
		else
			new_object(g, depth + 1);
		buf_put_byte(g->body, 0x41);
		put_s(g->body, bytes_take(g->in) < 250 ? bytes_take(g->in) % 40 : 5000);
		put_op(g->body, 0xfb, 6);  // array.new
		put_u(g->body, of_bytes ? BYTES : LIST);
		g->height -= of_bytes;
	} else {
		make_operand(g, 'i');
		put_op(g->body, 0xfb, 0x1c);  // ref.i31
		g->height--;
	}
}

// `type` of a local that is one, on the stack; the code up to end_if is skipped where it is not.
static void if_object_is(struct gen *g, uint8_t type)
{
	uint8_t local = OBJECTS + bytes_take(g->in) % N_OBJECTS;
	uint8_t test[] = {0x20, local, 0xfb, 0x14, type, 0x04, 0x40, 0x20, local, 0xfb, 0x16, type};
	buf_put(g->body, test, sizeof test);
}

static void index_of_element(struct gen *g)
{
	make_operand(g, 'i');
	if (bytes_take(g->in) < 240) {
		static const uint8_t mask[] = {0x41, 1, 0x71};
		buf_put(g->body, mask, sizeof mask);
	}
	g->height--;
}

static void use_node(struct gen *g)
{
	unsigned field = bytes_take(g->in) % 4;
	bool sets = bytes_take(g->in) % 2, is_object = field == 0 || field == 3;
	char t = field == 1 ? 'i' : 'l';
	if_object_is(g, NODE);
	if (sets && is_object)
		new_object(g, 1);
	else if (sets)
		make_operand(g, t);
	uint8_t access[] = {0xfb, sets ? 5 : 2, NODE, (uint8_t)field};
	buf_put(g->body, access, sizeof access);
	g->height -= sets && !is_object;
	if (!sets && is_object) {
		set_object(g);
	} else if (!sets) {
		uint8_t set[] = {0x21, (uint8_t)letter_index(t)};
		buf_put(g->body, set, sizeof set);
	}
	buf_put_byte(g->body, 0x0b);
}

static void use_array(struct gen *g)
{
	bool sets = bytes_take(g->in) % 2, of_bytes = bytes_take(g->in) % 2;
	uint8_t type = of_bytes ? BYTES : LIST;
	if_object_is(g, type);
	index_of_element(g);
	if (sets && of_bytes) {
		make_operand(g, 'i');
		g->height--;
	} else if (sets) {
		new_object(g, 1);
	}
	uint8_t access[] = {0xfb, sets ? 0x0e : of_bytes ? 0x0d
													 : 0x0b,
		type};
	buf_put(g->body, access, sizeof access);
	if (!sets && of_bytes) {
		uint8_t set[] = {0x21, 0};
		buf_put(g->body, set, sizeof set);
	} else if (!sets) {
		set_object(g);
	}
	buf_put_byte(g->body, 0x0b);
}

static void make_object(struct gen *g)
{
	uint8_t c = bytes_take(g->in);
	if (c < 120) {
		new_object(g, 0);
		set_object(g);
	} else if (c < 190) {
		use_node(g);
	} else if (c < 240) {
		use_array(g);
	} else {
		get_object(g);
		get_object(g);
		// ref.eq takes what any does not have to be
		static const uint8_t drops[] = {0x1a, 0xd1};  // drop, ref.is_null
		buf_put(g->body, drops, sizeof drops);
		push(g, 'i');
	}
}

// true: what follows can't be reached.
static bool make_ops(struct gen *g, uint32_t n)
{
	for (uint32_t i = 0; i < n && g->ops < MAX_OPS && g->height < MAX_STACK - 20; i++, g->ops++) {
		uint8_t c = bytes_take(g->in);
		if (c >= 160 && c < 190) {
			make_object(g);
		} else if (c < 160) {
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
	// Locals 4 to 11: i l f d twice; then counters; then vectors; then objects.
	put_u(&body, 11);
	for (unsigned i = 0; i < 8; i++) {
		put_u(&body, 1);
		buf_put_byte(&body, valtype(letters[i % 4]));
	}
	put_u(&body, N_COUNTERS);
	buf_put_byte(&body, valtype('i'));
	put_u(&body, N_VECTORS);
	buf_put_byte(&body, valtype('v'));
	put_u(&body, N_OBJECTS);
	buf_put_byte(&body, 0x6e);
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
	put_u(&s, 7);
	for (unsigned i = 0; i < 4; i++) {
		uint8_t type[] = {0x60, 4, 0x7f, 0x7e, 0x7d, 0x7c, 1, valtype(letters[i])};
		buf_put(&s, type, sizeof(type));
	}
	// NODE {any, i32, i64, any}, LIST of any, BYTES; all mutable.
	buf_put_slice(&s, SLICE_LIT("\x5f\4\x6e\1\x7f\1\x7e\1\x6e\1\x5e\x6e\1\x5e\x78\1"));
	put_section(out, 1, &s);
	put_u(&s, N_FUNCS);
	for (unsigned i = 0; i < N_FUNCS; i++)
		put_u(&s, i % 4);
	put_section(out, 3, &s);
	buf_put_slice(&s, SLICE_LIT("\1\x70\0\x10"));
	put_section(out, 4, &s);
	buf_put_slice(&s, SLICE_LIT("\1\1\1\2"));
	put_section(out, 5, &s);
	buf_put_slice(&s, SLICE_LIT("\6\x7f\1\x41\5\x0b\x7e\1\x42\6\x0b\x7d\1\x43\0\0\x80\x3f\x0b\x7c\1\x44\0\0\0\0\0\0\x04\x40\x0b"
								"\x7b\1\xfd\x0c\1\2\3\4\5\6\7\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x0b"
								"\x6e\1\xd0\x71\x0b"));
	put_section(out, 6, &s);
	put_u(&s, 7);
	static const struct {
		const char *name;
		uint8_t kind, index;
	} exports[] = {{"f", 0, N_FUNCS - 1}, {"m", 2, 0}, {"i", 3, 0}, {"l", 3, 1}, {"f32", 3, 2}, {"f64", 3, 3}, {"v", 3, 4}};
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
