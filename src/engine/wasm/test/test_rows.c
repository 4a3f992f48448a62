// Every row of opcodes.def: valid and invalid bodies made from the row (L24).
#include "module.h"

#define ROWS_ON WASM_FEATURES_FINISHED

// ---- rows with a signature ------------------------------------------------------------------------------------------------
static const char *text_of(const struct wasm_op_info *op)
{
	return wasm_op_text((enum wasm_op)(op - wasm_ops));
}

static void put_const(struct buf *b, char type)
{
	switch (type) {
	case 'i':
		buf_put_slice(b, BYTES(0x41, 0x7f));
		break;
	case 'l':
		buf_put_slice(b, BYTES(0x42, 0x7f));
		break;
	case 'f':
		buf_put_slice(b, BYTES(0x43, 0, 0, 0x80, 0x3f));
		break;
	case 'd':
		buf_put_slice(b, BYTES(0x44, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f));
		break;
	case 'v':
		buf_put_slice(b, BYTES(0xfd, 0x0c, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16));
		break;
	default:
		fail_msg("no constant of type %c", type);
	}
}

static void put_op(struct buf *b, const struct wasm_op_info *op, uint32_t align)
{
	buf_put_byte(b, op->prefix ? op->prefix : (uint8_t)op->code);
	if (op->prefix)
		put_leb(b, op->code);
	switch ((enum wasm_imm)op->imm) {
	case WASM_IMM_NONE:
		break;
	case WASM_IMM_MEMARG:
		put_leb(b, align);
		put_leb(b, 1000);
		break;
	case WASM_IMM_ZERO:
	case WASM_IMM_I32:
	case WASM_IMM_I64:
	case WASM_IMM_MEMORY:
	case WASM_IMM_DATA:
	case WASM_IMM_ELEM:
	case WASM_IMM_TABLE:
		put_leb(b, 0);
		break;
	case WASM_IMM_MEMORY_MEMORY:
	case WASM_IMM_DATA_MEMORY:
	case WASM_IMM_ELEM_TABLE:
	case WASM_IMM_TABLE_TABLE:
		buf_put_slice(b, BYTES(0, 0));
		break;
	case WASM_IMM_MEMARG_LANE:
		put_leb(b, align);
		put_leb(b, 1000);
		buf_put_byte(b, 0);
		break;
	case WASM_IMM_LANE_16:
	case WASM_IMM_LANE_8:
	case WASM_IMM_LANE_4:
	case WASM_IMM_LANE_2:
		buf_put_byte(b, 1);
		break;
	case WASM_IMM_V128:
	case WASM_IMM_SHUFFLE:
		for (uint8_t i = 0; i < 16; i++)
			buf_put_byte(b, 16 + i);
		break;
	case WASM_IMM_F32:
		buf_put_slice(b, BYTES(0, 0, 0, 0));
		break;
	case WASM_IMM_F64:
		buf_put_slice(b, BYTES(0, 0, 0, 0, 0, 0, 0, 0));
		break;
	default:
		fail_msg("%s: a signature with this immediate", text_of(op));
	}
}

static uint32_t natural(const struct wasm_op_info *op)
{
	return op->access ? (uint32_t)__builtin_ctz(op->access) : 0;
}

// Operands of types in[0..n), the instruction, then a block that takes what the instruction must leave.
static bool try_row(const struct wasm_op_info *op, const char *in, size_t n, const char *out, uint32_t align, uint32_t features, struct err *e)
{
	static const struct {
		char type;
		const char *code;  // an instruction that takes a value of this type and leaves one
	} takers[] = {{'i', "\x45"}, {'l', "\x50"}, {'f', "\x8b"}, {'d', "\x99"}, {'v', "\xfd\x4d"}};
	struct buf b = {0};
	for (size_t i = 0; i < n; i++)
		put_const(&b, in[i]);
	put_op(&b, op, align);
	for (; *out; out++) {
		for (size_t i = 0; i < ARRAY_LEN(takers); i++)
			if (takers[i].type == *out)
				buf_put_str(&b, takers[i].code);
		buf_put_byte(&b, 0x1a);
	}
	bool ok = body_accepted_with(buf_view(&b), features, e);
	buf_release(&b);
	return ok;
}

#define EACH_SIGNED_ROW(op)                                                             \
	for (const struct wasm_op_info *op = wasm_ops; op < wasm_ops + WASM_OP_COUNT; op++) \
		if (op->sig[0] != '*')

static void each_row_takes_its_operands_and_leaves_its_result(void **state)
{
	unsigned n = 0;
	EACH_SIGNED_ROW(op)
	{
		size_t n_in = strcspn(op->sig, ":");
		struct err e;
		if (!try_row(op, op->sig, n_in, op->sig + n_in + 1, natural(op), ROWS_ON, &e))
			fail_msg("%s: %s", text_of(op), e.text);
		n++;
	}
	assert_true(n > 400);
}

static void each_row_refuses_operands_of_another_type(void **state)
{
	EACH_SIGNED_ROW(op)
	{
		size_t n_in = strcspn(op->sig, ":");
		struct err e;
		for (size_t wrong = 0; wrong < n_in; wrong++) {
			for (const char *t = "ilfdv"; *t; t++) {
				char in[8] = {0};
				memcpy(in, op->sig, n_in);
				if (in[wrong] == *t)
					continue;
				in[wrong] = *t;
				if (try_row(op, in, n_in, op->sig + n_in + 1, natural(op), ROWS_ON, &e) || !strstr(e.text, "type mismatch"))
					fail_msg("%s with operand %zu of type %c: %s", text_of(op), wrong, *t, e.text);
			}
		}
	}
}

static void each_row_refuses_a_missing_operand(void **state)
{
	EACH_SIGNED_ROW(op)
	{
		size_t n_in = strcspn(op->sig, ":");
		struct err e;
		if (n_in && (try_row(op, op->sig + 1, n_in - 1, op->sig + n_in + 1, natural(op), ROWS_ON, &e) || !strstr(e.text, "type mismatch")))
			fail_msg("%s: %s", text_of(op), e.text);
	}
}

static void each_row_leaves_no_other_type_and_no_other_number(void **state)
{
	EACH_SIGNED_ROW(op)
	{
		size_t n_in = strcspn(op->sig, ":");
		const char *out = op->sig + n_in + 1;
		struct err e;
		for (const char *t = "ilfdv"; *out && *t; t++)
			if (*t != *out && try_row(op, op->sig, n_in, (char[]){*t, 0}, natural(op), ROWS_ON, &e))
				fail_msg("%s left a %c", text_of(op), *t);
		if (try_row(op, op->sig, n_in, *out ? "" : "i", natural(op), ROWS_ON, &e))
			fail_msg("%s left another number of results", text_of(op));
	}
}

// L24: the feature bit of the row decides.
static void each_row_is_illegal_without_its_feature(void **state)
{
	EACH_SIGNED_ROW(op)
	{
		if (!op->feature)
			continue;
		struct buf b = {0};
		struct err e;
		put_preamble(&b);
		put_section(&b, TYPES, BYTES(1, 0x60, 0, 0));
		put_section(&b, FUNCTIONS, BYTES(1, 0));
		struct buf code = {0};
		buf_put_byte(&code, 0x00);
		put_op(&code, op, natural(op));
		buf_put_byte(&code, 0x00);
		put_body(&b, BYTES(0), buf_view(&code));
		if (accepts_with(buf_view(&b), ROWS_ON & ~op->feature, &e) || e.code != ERR_UNSUPPORTED)
			fail_msg("%s: %s", text_of(op), e.text);
		buf_release(&code);
		buf_release(&b);
	}
}

static void each_access_refuses_alignment_above_natural(void **state)
{
	unsigned n = 0;
	EACH_SIGNED_ROW(op)
	{
		if (!op->access)
			continue;
		size_t n_in = strcspn(op->sig, ":");
		struct err e;
		for (uint32_t align = 0; align < 0x20; align++) {
			bool ok = try_row(op, op->sig, n_in, op->sig + n_in + 1, align, ROWS_ON, &e);
			if (ok != (op->trap == WASM_OP_TRAP_ATOMIC ? align == natural(op) : align <= natural(op)))
				fail_msg("%s with alignment %u: %s", text_of(op), align, e.text);
			if (!ok)
				assert_non_null(strstr(e.text, align > natural(op) ? "alignment must not be larger than natural" : "alignment of an atomic access must be natural"));
		}
		n++;
	}
	assert_int_equal(n, 45 + 66);
}

// L25: after unreachable operands of all types are there, and results have their types.
static void each_row_finds_its_operands_in_unreachable_code(void **state)
{
	EACH_SIGNED_ROW(op)
	{
		struct buf b = {0};
		size_t n_in = strcspn(op->sig, ":");
		const char *out = op->sig + n_in + 1;
		for (size_t have = 0; have <= n_in; have++) {
			buf_clear(&b);
			buf_put_byte(&b, 0x00);
			for (size_t i = n_in - have; i < n_in; i++)
				put_const(&b, op->sig[i]);
			put_op(&b, op, natural(op));
			if (*out)
				buf_put_byte(&b, 0x1a);
			for (size_t i = 1; out[0] && out[i]; i++)
				buf_put_byte(&b, 0x1a);
			struct err e;
			if (!body_accepted_with(buf_view(&b), ROWS_ON, &e))
				fail_msg("%s: rejected at 0x%llx: %s", text_of(op), (unsigned long long)e.offset, e.text);
			if (*out) {
				b.len--;
				assert_false(body_accepted_with(buf_view(&b), ROWS_ON, &e));
				assert_non_null(strstr(e.text, "type mismatch"));
			}
		}
		buf_release(&b);
	}
}

static void each_row_that_is_cut_ends_unexpectedly(void **state)
{
	EACH_SIGNED_ROW(op)
	{
		struct buf code = {0};
		put_op(&code, op, natural(op));
		for (size_t len = 1; len < code.len; len++) {
			// The body ends within the immediate: no final end, so that nothing stands behind it.
			struct buf b = {0}, c = {0};
			struct err e;
			put_preamble(&b);
			put_section(&b, TYPES, BYTES(1, 0x60, 0, 0));
			put_section(&b, FUNCTIONS, BYTES(1, 0));
			put_section(&b, MEMORIES, BYTES(1, 0, 0));
			put_section(&b, DATA_COUNT, BYTES(0));
			put_leb(&c, 1);
			put_leb(&c, 2 + len);
			buf_put_slice(&c, BYTES(0, 0));
			buf_put(&c, code.ptr, len);
			put_section(&b, CODE, buf_view(&c));
			assert_false(accepts_with(buf_view(&b), ROWS_ON, &e));
			if (!strstr(e.text, "unexpected end") && !strstr(e.text, "unknown"))
				fail_msg("%s cut to %zu bytes: %s", text_of(op), len, e.text);
			buf_release(&c);
			buf_release(&b);
		}
		buf_release(&code);
	}
}

// Each lane below the number of lanes, and no other.
static void each_lane_is_one_of_its_vectors(void **state)
{
	unsigned n = 0;
	EACH_SIGNED_ROW(op)
	{
		static const uint8_t lanes_of[] = {[WASM_IMM_SHUFFLE] = 32, [WASM_IMM_LANE_16] = 16, [WASM_IMM_LANE_8] = 8, [WASM_IMM_LANE_4] = 4, [WASM_IMM_LANE_2] = 2};
		bool in_memory = op->imm == WASM_IMM_MEMARG_LANE;
		unsigned lanes = in_memory ? 16u / op->access : op->imm < ARRAY_LEN(lanes_of) ? lanes_of[op->imm]
																					  : 0;
		struct buf b = {0};
		if (!lanes)
			continue;
		for (unsigned lane = 0; lane < 256; lane++) {
			struct err e;
			buf_clear(&b);
			for (const char *t = op->sig; *t != ':'; t++)
				put_const(&b, *t);
			put_op(&b, op, natural(op));
			b.ptr[b.len - 1] = (uint8_t)lane;  // of a shuffle the last
			if (!strchr(op->sig, ':')[1])
				buf_put_byte(&b, 0x01);
			else
				buf_put_byte(&b, 0x1a);
			bool ok = body_accepted(buf_view(&b), &e);
			if (ok != (lane < lanes) || (!ok && !strstr(e.text, "invalid lane index")))
				fail_msg("%s with lane %u: %s", text_of(op), lane, e.text);
		}
		buf_release(&b);
		n++;
	}
	assert_int_equal(n, 1 + 14 + 8);
}

// ---- rows without -----------------------------------------------------------------------------------------------------------
struct example {
	enum wasm_op op;
	struct slice valid, invalid;
	const char *text;
};
#define EXAMPLE(op, text, valid, invalid) {WASM_OP_##op, valid, invalid, text}
#define B(...) {(const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})}
static const struct example examples[] = {
	EXAMPLE(UNREACHABLE, "type mismatch", B(0x00), B(0x00, 0x41, 0x00)),
	EXAMPLE(BLOCK, "type mismatch", B(0x02, 0x40, 0x0b), B(0x02, 0x7f, 0x0b)),
	EXAMPLE(LOOP, "type mismatch", B(0x03, 0x40, 0x0b), B(0x03, 0x7f, 0x0b)),
	EXAMPLE(IF, "type mismatch", B(0x41, 0, 0x04, 0x40, 0x0b), B(0x04, 0x40, 0x0b)),
	EXAMPLE(ELSE, "else", B(0x41, 0, 0x04, 0x7f, 0x41, 0, 0x05, 0x41, 0, 0x0b, 0x1a), B(0x05)),
	EXAMPLE(END, "remaining after end of function", B(0x01), B(0x0b)),
	EXAMPLE(BR, "unknown label", B(0x0c, 0), B(0x0c, 1)),
	EXAMPLE(BR_IF, "type mismatch", B(0x41, 0, 0x0d, 0), B(0x0d, 0)),
	EXAMPLE(BR_TABLE, "unknown label", B(0x41, 0, 0x0e, 1, 0, 0), B(0x41, 0, 0x0e, 1, 0, 1)),
	EXAMPLE(RETURN, "type mismatch", B(0x0f), B(0x0f, 0x41, 0)),
	EXAMPLE(CALL, "type mismatch", B(0x41, 0, 0x10, 1, 0x1a), B(0x10, 1)),
	EXAMPLE(CALL_INDIRECT, "type mismatch", B(0x41, 0, 0x41, 0, 0x11, 1, 0, 0x1a), B(0x41, 0, 0x41, 0, 0x11, 1, 1, 0x1a)),
	EXAMPLE(RETURN_CALL, "type mismatch", B(0x12, 0), B(0x41, 0, 0x12, 1)),
	EXAMPLE(RETURN_CALL_INDIRECT, "type mismatch", B(0x41, 0, 0x13, 0, 0), B(0x41, 0, 0x41, 0, 0x13, 1, 0)),
	EXAMPLE(CALL_REF, "type mismatch", B(0x41, 0, 0xd2, 1, 0x14, 1, 0x1a), B(0x41, 0, 0xd0, 0x70, 0x14, 1, 0x1a)),
	EXAMPLE(RETURN_CALL_REF, "type mismatch", B(0xd0, 0, 0x15, 0), B(0xd0, 1, 0x15, 0)),
	EXAMPLE(THROW, "type mismatch", B(0x41, 0, 0x08, 1), B(0x42, 0, 0x08, 1)),
	EXAMPLE(THROW_REF, "type mismatch", B(0xd0, 0x69, 0x0a), B(0xd0, 0x70, 0x0a)),
	EXAMPLE(TRY_TABLE, "type mismatch", B(0x02, 0x7f, 0x1f, 0x40, 1, 0, 1, 0, 0x0b, 0x41, 0, 0x0b, 0x1a), B(0x1f, 0x40, 1, 0, 1, 0, 0x0b)),
	EXAMPLE(TRY, "type mismatch", B(0x06, 0x40, 0x0b), B(0x06, 0x7f, 0x0b)),
	EXAMPLE(CATCH, "type mismatch", B(0x06, 0x7f, 0x41, 0, 0x07, 1, 0x07, 1, 0x0b, 0x1a), B(0x06, 0x40, 0x07, 1, 0x0b)),
	EXAMPLE(CATCH_ALL, "catch_all found outside", B(0x06, 0x40, 0x07, 0, 0x19, 0x0b), B(0x06, 0x40, 0x19, 0x19, 0x0b)),
	EXAMPLE(DELEGATE, "unknown label", B(0x06, 0x40, 0x18, 0), B(0x06, 0x40, 0x18, 1)),
	EXAMPLE(RETHROW, "invalid rethrow label", B(0x06, 0x40, 0x19, 0x09, 0, 0x0b), B(0x06, 0x40, 0x09, 0, 0x19, 0x0b)),
	EXAMPLE(DROP, "type mismatch", B(0x41, 0, 0x1a), B(0x1a)),
	EXAMPLE(SELECT, "type mismatch", B(0x41, 0, 0x41, 0, 0x41, 0, 0x1b, 0x1a), B(0x41, 0, 0x42, 0, 0x41, 0, 0x1b, 0x1a)),
	EXAMPLE(SELECT_T, "invalid result arity", B(0xd0, 0x70, 0xd0, 0x70, 0x41, 0, 0x1c, 1, 0x70, 0x1a), B(0xd0, 0x70, 0xd0, 0x70, 0x41, 0, 0x1c, 2, 0x70, 0x70, 0x1a)),
	EXAMPLE(LOCAL_GET, "unknown local", B(0x20, 0, 0x1a), B(0x20, 4, 0x1a)),
	EXAMPLE(LOCAL_SET, "type mismatch", B(0x41, 0, 0x21, 0), B(0x42, 0, 0x21, 0)),
	EXAMPLE(LOCAL_TEE, "type mismatch", B(0x41, 0, 0x22, 0, 0x1a), B(0x42, 0, 0x22, 0, 0x1a)),
	EXAMPLE(GLOBAL_GET, "unknown global", B(0x23, 0, 0x1a), B(0x23, 2, 0x1a)),
	EXAMPLE(GLOBAL_SET, "immutable global", B(0x41, 0, 0x24, 0), B(0x42, 0, 0x24, 1)),
	EXAMPLE(TABLE_GET, "type mismatch", B(0x41, 0, 0x25, 0, 0x1a), B(0x42, 0, 0x25, 0, 0x1a)),
	EXAMPLE(TABLE_SET, "type mismatch", B(0x41, 0, 0xd0, 0x70, 0x26, 0), B(0x41, 0, 0xd0, 0x6f, 0x26, 0)),
	EXAMPLE(REF_NULL, "unknown type", B(0xd0, 0x70, 0x1a), B(0xd0, 9, 0x1a)),
	EXAMPLE(REF_IS_NULL, "type mismatch", B(0xd0, 0x70, 0xd1, 0x1a), B(0x41, 0, 0xd1, 0x1a)),
	EXAMPLE(REF_FUNC, "undeclared function reference", B(0xd2, 1, 0x1a), B(0xd2, 0, 0x1a)),
	EXAMPLE(REF_AS_NON_NULL, "type mismatch", B(0xd0, 0x70, 0xd4, 0x1a), B(0x41, 0, 0xd4, 0x1a)),
	EXAMPLE(BR_ON_NULL, "type mismatch", B(0xd0, 0x70, 0xd5, 0, 0x1a), B(0x41, 0, 0xd5, 0, 0x1a)),
	EXAMPLE(BR_ON_NON_NULL, "type mismatch", B(0x02, 0x64, 0x70, 0xd0, 0x70, 0xd6, 0, 0x00, 0x0b, 0x1a), B(0xd0, 0x70, 0xd6, 0)),
	EXAMPLE(TABLE_GROW, "type mismatch", B(0xd0, 0x70, 0x41, 0, 0xfc, 15, 0, 0x1a), B(0xd0, 0x6f, 0x41, 0, 0xfc, 15, 0, 0x1a)),
	EXAMPLE(REF_EQ, "type mismatch", B(0xd0, 0x6d, 0xd0, 0x6d, 0xd3, 0x1a), B(0xd0, 0x6e, 0xd0, 0x6d, 0xd3, 0x1a)),
	EXAMPLE(STRUCT_NEW, "type mismatch", B(0x41, 0, 0x41, 0, 0x42, 0, 0xfb, 0, 4, 0x1a), B(0x41, 0, 0x41, 0, 0x41, 0, 0xfb, 0, 4, 0x1a)),
	EXAMPLE(STRUCT_NEW_DEFAULT, "not a structure's", B(0xfb, 1, 4, 0x1a), B(0xfb, 1, 5, 0x1a)),
	EXAMPLE(STRUCT_GET, "is packed", B(0xd0, 4, 0xfb, 2, 4, 0, 0x1a), B(0xd0, 4, 0xfb, 2, 4, 1, 0x1a)),
	EXAMPLE(STRUCT_GET_S, "not packed", B(0xd0, 4, 0xfb, 3, 4, 1, 0x1a), B(0xd0, 4, 0xfb, 3, 4, 0, 0x1a)),
	EXAMPLE(STRUCT_GET_U, "not packed", B(0xd0, 4, 0xfb, 4, 4, 1, 0x1a), B(0xd0, 4, 0xfb, 4, 4, 0, 0x1a)),
	EXAMPLE(STRUCT_SET, "immutable", B(0xd0, 4, 0x41, 0, 0xfb, 5, 4, 0), B(0xd0, 4, 0x42, 0, 0xfb, 5, 4, 2)),
	EXAMPLE(ARRAY_NEW, "type mismatch", B(0x41, 0, 0x41, 0, 0xfb, 6, 5, 0x1a), B(0x42, 0, 0x41, 0, 0xfb, 6, 5, 0x1a)),
	EXAMPLE(ARRAY_NEW_DEFAULT, "not an array's", B(0x41, 0, 0xfb, 7, 5, 0x1a), B(0x41, 0, 0xfb, 7, 4, 0x1a)),
	EXAMPLE(ARRAY_NEW_FIXED, "type mismatch", B(0x41, 0, 0x41, 0, 0xfb, 8, 5, 2, 0x1a), B(0x41, 0, 0xfb, 8, 5, 2, 0x1a)),
	EXAMPLE(ARRAY_NEW_DATA, "no bytes of data", B(0x41, 0, 0x41, 0, 0xfb, 9, 5, 0, 0x1a), B(0x41, 0, 0x41, 0, 0xfb, 9, 7, 0, 0x1a)),
	EXAMPLE(ARRAY_NEW_ELEM, "type mismatch", B(0x41, 0, 0x41, 0, 0xfb, 0x0a, 7, 0, 0x1a), B(0x41, 0, 0x41, 0, 0xfb, 0x0a, 5, 0, 0x1a)),
	EXAMPLE(ARRAY_GET, "is packed", B(0xd0, 5, 0x41, 0, 0xfb, 0x0b, 5, 0x1a), B(0xd0, 6, 0x41, 0, 0xfb, 0x0b, 6, 0x1a)),
	EXAMPLE(ARRAY_GET_S, "not packed", B(0xd0, 6, 0x41, 0, 0xfb, 0x0c, 6, 0x1a), B(0xd0, 5, 0x41, 0, 0xfb, 0x0c, 5, 0x1a)),
	EXAMPLE(ARRAY_GET_U, "not packed", B(0xd0, 6, 0x41, 0, 0xfb, 0x0d, 6, 0x1a), B(0xd0, 5, 0x41, 0, 0xfb, 0x0d, 5, 0x1a)),
	EXAMPLE(ARRAY_SET, "type mismatch", B(0xd0, 5, 0x41, 0, 0x41, 0, 0xfb, 0x0e, 5), B(0xd0, 5, 0x41, 0, 0x42, 0, 0xfb, 0x0e, 5)),
	EXAMPLE(ARRAY_LEN, "type mismatch", B(0xd0, 5, 0xfb, 0x0f, 0x1a), B(0xd0, 4, 0xfb, 0x0f, 0x1a)),
	EXAMPLE(ARRAY_FILL, "type mismatch", B(0xd0, 5, 0x41, 0, 0x41, 0, 0x41, 0, 0xfb, 0x10, 5), B(0xd0, 5, 0x41, 0, 0x42, 0, 0x41, 0, 0xfb, 0x10, 5)),
	EXAMPLE(ARRAY_COPY, "do not match", B(0xd0, 5, 0x41, 0, 0xd0, 5, 0x41, 0, 0x41, 0, 0xfb, 0x11, 5, 5), B(0xd0, 5, 0x41, 0, 0xd0, 6, 0x41, 0, 0x41, 0, 0xfb, 0x11, 5, 6)),
	EXAMPLE(ARRAY_INIT_DATA, "no bytes of data", B(0xd0, 5, 0x41, 0, 0x41, 0, 0x41, 0, 0xfb, 0x12, 5, 0), B(0xd0, 7, 0x41, 0, 0x41, 0, 0x41, 0, 0xfb, 0x12, 7, 0)),
	EXAMPLE(ARRAY_INIT_ELEM, "type mismatch", B(0xd0, 7, 0x41, 0, 0x41, 0, 0x41, 0, 0xfb, 0x13, 7, 0), B(0xd0, 5, 0x41, 0, 0x41, 0, 0x41, 0, 0xfb, 0x13, 5, 0)),
	EXAMPLE(REF_TEST, "type mismatch", B(0xd0, 0x6e, 0xfb, 0x14, 4, 0x1a), B(0xd0, 0x70, 0xfb, 0x14, 4, 0x1a)),
	EXAMPLE(REF_TEST_NULL, "type mismatch", B(0xd0, 0x6e, 0xfb, 0x15, 4, 0x1a), B(0xd0, 0x70, 0xfb, 0x15, 4, 0x1a)),
	EXAMPLE(REF_CAST, "type mismatch", B(0xd0, 0x6e, 0xfb, 0x16, 4, 0x1a), B(0xd0, 0x70, 0xfb, 0x16, 4, 0x1a)),
	EXAMPLE(REF_CAST_NULL, "type mismatch", B(0xd0, 0x6e, 0xfb, 0x17, 4, 0x1a), B(0xd0, 0x70, 0xfb, 0x17, 4, 0x1a)),
	EXAMPLE(BR_ON_CAST, "type mismatch", B(2, 0x6e, 0xd0, 0x6e, 0xfb, 0x18, 3, 0, 0x6e, 4, 0x0b, 0x1a), B(2, 0x6e, 0xd0, 4, 0xfb, 0x18, 3, 0, 4, 0x6e, 0x0b, 0x1a)),
	EXAMPLE(BR_ON_CAST_FAIL, "type mismatch", B(2, 0x6e, 0xd0, 0x6e, 0xfb, 0x19, 3, 0, 0x6e, 4, 0x0b, 0x1a), B(2, 0x6e, 0xd0, 4, 0xfb, 0x19, 3, 0, 4, 0x6e, 0x0b, 0x1a)),
	EXAMPLE(ANY_CONVERT_EXTERN, "type mismatch", B(0xd0, 0x6f, 0xfb, 0x1a, 0x1a), B(0xd0, 0x6e, 0xfb, 0x1a, 0x1a)),
	EXAMPLE(EXTERN_CONVERT_ANY, "type mismatch", B(0xd0, 0x6e, 0xfb, 0x1b, 0x1a), B(0xd0, 0x6f, 0xfb, 0x1b, 0x1a)),
	EXAMPLE(REF_I31, "type mismatch", B(0x41, 0, 0xfb, 0x1c, 0x1a), B(0x42, 0, 0xfb, 0x1c, 0x1a)),
	EXAMPLE(I31_GET_S, "type mismatch", B(0xd0, 0x6c, 0xfb, 0x1d, 0x1a), B(0xd0, 0x6e, 0xfb, 0x1d, 0x1a)),
	EXAMPLE(I31_GET_U, "type mismatch", B(0xd0, 0x6c, 0xfb, 0x1e, 0x1a), B(0xd0, 0x6e, 0xfb, 0x1e, 0x1a)),
	EXAMPLE(TABLE_FILL, "type mismatch", B(0x41, 0, 0xd0, 0x70, 0x41, 0, 0xfc, 17, 0), B(0x41, 0, 0xd0, 0x6f, 0x41, 0, 0xfc, 17, 0)),
};

static void rows_without_a_signature_have_examples_that_hold(void **state)
{
	bool seen[WASM_OP_COUNT] = {0};
	for (const struct example *x = examples; x < examples + ARRAY_LEN(examples); x++) {
		struct err e;
		seen[x->op] = true;
		if (!body_accepted_with(x->valid, WASM_FEATURES_DEFAULT | wasm_ops[x->op].feature, &e))
			fail_msg("%s: %s", wasm_op_text(x->op), e.text);
		if (body_accepted_with(x->invalid, WASM_FEATURES_DEFAULT | wasm_ops[x->op].feature, &e) || !strstr(e.text, x->text))
			fail_msg("%s: expected %s, got '%s'", wasm_op_text(x->op), x->text, e.text);
	}
	for (unsigned op = 0; op < WASM_OP_COUNT; op++)
		if (wasm_ops[op].sig[0] == '*' && !seen[op])
			fail_msg("%s has no example", wasm_op_text((enum wasm_op)op));
}

// ---- tables -----------------------------------------------------------------------------------------------------------------
static void reads_back_every_row_from_its_bytes(void **state)
{
	for (unsigned op = 0; op < WASM_OP_COUNT; op++) {
		struct buf b = {0};
		buf_put_byte(&b, wasm_ops[op].prefix ? wasm_ops[op].prefix : (uint8_t)wasm_ops[op].code);
		if (wasm_ops[op].prefix)
			put_leb(&b, wasm_ops[op].code);
		const uint8_t *p = b.ptr;
		assert_int_equal(wasm_read_op(&p), op);
		assert_ptr_equal(p, b.ptr + b.len);
		buf_release(&b);
	}
}

// L16: which divisions trap on what.
static void division_rows_say_why_they_trap(void **state)
{
	assert_int_equal(wasm_ops[WASM_OP_I32_DIV_S].trap, WASM_OP_TRAP_DIVIDE_OVERFLOW);
	assert_int_equal(wasm_ops[WASM_OP_I64_DIV_S].trap, WASM_OP_TRAP_DIVIDE_OVERFLOW);
	assert_int_equal(wasm_ops[WASM_OP_I32_REM_S].trap, WASM_OP_TRAP_DIVIDE);
	assert_int_equal(wasm_ops[WASM_OP_I64_REM_U].trap, WASM_OP_TRAP_DIVIDE);
	assert_int_equal(wasm_ops[WASM_OP_F64_DIV].trap, WASM_OP_TRAP_NONE);
	assert_int_equal(wasm_ops[WASM_OP_I32_TRUNC_SAT_F32_S].trap, WASM_OP_TRAP_NONE);
	assert_int_equal(wasm_ops[WASM_OP_I32_TRUNC_F32_S].trap, WASM_OP_TRAP_CONVERSION);
}

static void every_other_code_is_illegal(void **state)
{
	for (unsigned byte = 0; byte < 256; byte++) {
		struct err e;
		if (wasm_op_by_byte[byte] != WASM_OP_COUNT || byte == 0xfb || byte == 0xfc || byte == 0xfd || byte == 0xfe)
			continue;
		assert_false(body_accepted(BYTES(0x00, (uint8_t)byte, 0, 0, 0), &e));
		assert_non_null(strstr(e.text, "illegal opcode"));
	}
	expect_body_error(BYTES(0x00, 0xfc, 18, 0), ERR_MALFORMED, "illegal opcode");
	expect_body_error(BYTES(0x00, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x0f), ERR_MALFORMED, "illegal opcode");
	for (unsigned code = 0; code < WASM_OP_FD_ROWS + 10u; code++)
		if (code >= WASM_OP_FD_ROWS || wasm_op_by_fd[code] == WASM_OP_COUNT)
			expect_body_error(BYTES(0x00, 0xfd, (uint8_t)(code | 0x80), (uint8_t)(code >> 7), 0, 0, 0), ERR_MALFORMED, "illegal opcode");
	expect_body_error(BYTES(0x00, 0xfd, 0xff, 0xff, 0xff, 0xff, 0x0f), ERR_MALFORMED, "illegal opcode");
	for (unsigned code = 0; code < WASM_OP_FE_ROWS + 10u; code++) {
		struct err e;
		if (code < WASM_OP_FE_ROWS && wasm_op_by_fe[code] != WASM_OP_COUNT)
			continue;
		assert_false(body_accepted_with(BYTES(0x00, 0xfe, (uint8_t)code, 0, 0, 0), ROWS_ON, &e));
		assert_non_null(strstr(e.text, "illegal opcode"));
	}
}

static void features_are_found_by_their_names(void **state)
{
	uint32_t feature;
	for (unsigned bit = 0; bit < 30; bit++) {
		if (!(WASM_FEATURES_ALL >> bit & 1))
			continue;
		assert_true(wasm_feature_find(slice_str(wasm_feature_text(1u << bit)), &feature));
		assert_int_equal(feature, 1u << bit);
	}
	assert_string_equal(wasm_feature_text(0), "mvp");
	assert_string_equal(wasm_feature_text(WASM_FEATURE_SIMD | WASM_FEATURE_GC), "simd");
	assert_false(wasm_feature_find(SLICE_LIT("mvp"), &feature));
	assert_false(wasm_feature_find(SLICE_LIT(""), &feature));
	assert_false(wasm_feature_find(SLICE_LIT("simd "), &feature));
	assert_int_equal(WASM_FEATURES_DEFAULT & ~WASM_FEATURES_FINISHED, 0);
	assert_int_equal(WASM_FEATURES_FINISHED & ~WASM_FEATURES_ALL, 0);
}

static void what_is_finished_but_off_is_refused_with_the_way_to_turn_it_on(void **state)
{
	struct buf module = {0};
	struct arena a;
	struct err e = {0};
	struct wasm_module *m;
	buf_put_slice(&module, SLICE_LIT("\0asm\1\0\0\0\1\5\1\x60\0\1\x7b"));  // a type that results in a vector
	arena_init(&a, 0);
	assert_true(wasm_decode(&a, buf_view(&module), WASM_FEATURES_DEFAULT, 0, &m, &e));
	assert_false(wasm_decode(&a, buf_view(&module), WASM_FEATURES_DEFAULT & ~WASM_FEATURE_SIMD, 0, &m, &e));
	assert_int_equal(e.code, ERR_UNSUPPORTED);
	assert_non_null(strstr(e.text, "the feature 'simd' is off"));
	assert_non_null(strstr(e.hint, "--feature simd turns it on"));
	arena_release(&a);
	buf_release(&module);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_row_takes_its_operands_and_leaves_its_result),
		cmocka_unit_test(each_row_refuses_operands_of_another_type),
		cmocka_unit_test(each_row_refuses_a_missing_operand),
		cmocka_unit_test(each_row_leaves_no_other_type_and_no_other_number),
		cmocka_unit_test(each_row_is_illegal_without_its_feature),
		cmocka_unit_test(each_access_refuses_alignment_above_natural),
		cmocka_unit_test(each_row_finds_its_operands_in_unreachable_code),
		cmocka_unit_test(each_row_that_is_cut_ends_unexpectedly),
		cmocka_unit_test(each_lane_is_one_of_its_vectors),
		cmocka_unit_test(rows_without_a_signature_have_examples_that_hold),
		cmocka_unit_test(reads_back_every_row_from_its_bytes),
		cmocka_unit_test(division_rows_say_why_they_trap),
		cmocka_unit_test(every_other_code_is_illegal),
		cmocka_unit_test(features_are_found_by_their_names),
		cmocka_unit_test(what_is_finished_but_off_is_refused_with_the_way_to_turn_it_on),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
