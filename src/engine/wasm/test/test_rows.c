// Every row of opcodes.def: valid and invalid bodies made from the row (L24).
#include "module.h"

// ---- rows with a signature ------------------------------------------------------------------------------------------------
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
	case WASM_IMM_F32:
		buf_put_slice(b, BYTES(0, 0, 0, 0));
		break;
	case WASM_IMM_F64:
		buf_put_slice(b, BYTES(0, 0, 0, 0, 0, 0, 0, 0));
		break;
	default:
		fail_msg("%s: a signature with this immediate", op->text);
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
		uint8_t code;  // an instruction that takes a value of this type and leaves one
	} takers[] = {{'i', 0x45}, {'l', 0x50}, {'f', 0x8b}, {'d', 0x99}};
	struct buf b = {0};
	for (size_t i = 0; i < n; i++)
		put_const(&b, in[i]);
	put_op(&b, op, align);
	for (; *out; out++) {
		for (size_t i = 0; i < ARRAY_LEN(takers); i++)
			if (takers[i].type == *out)
				buf_put_byte(&b, takers[i].code);
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
		if (!try_row(op, op->sig, n_in, op->sig + n_in + 1, natural(op), WASM_FEATURES_DEFAULT, &e))
			fail_msg("%s: %s", op->text, e.text);
		n++;
	}
	assert_true(n > 150);
}

static void each_row_refuses_operands_of_another_type(void **state)
{
	EACH_SIGNED_ROW(op)
	{
		size_t n_in = strcspn(op->sig, ":");
		struct err e;
		for (size_t wrong = 0; wrong < n_in; wrong++) {
			for (const char *t = "ilfd"; *t; t++) {
				char in[4] = {0};
				memcpy(in, op->sig, n_in);
				if (in[wrong] == *t)
					continue;
				in[wrong] = *t;
				if (try_row(op, in, n_in, op->sig + n_in + 1, natural(op), WASM_FEATURES_DEFAULT, &e) || !strstr(e.text, "type mismatch"))
					fail_msg("%s with operand %zu of type %c: %s", op->text, wrong, *t, e.text);
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
		if (n_in && (try_row(op, op->sig + 1, n_in - 1, op->sig + n_in + 1, natural(op), WASM_FEATURES_DEFAULT, &e) || !strstr(e.text, "type mismatch")))
			fail_msg("%s: %s", op->text, e.text);
	}
}

static void each_row_leaves_no_other_type_and_no_other_number(void **state)
{
	EACH_SIGNED_ROW(op)
	{
		size_t n_in = strcspn(op->sig, ":");
		const char *out = op->sig + n_in + 1;
		struct err e;
		for (const char *t = "ilfd"; *out && *t; t++)
			if (*t != *out && try_row(op, op->sig, n_in, (char[]){*t, 0}, natural(op), WASM_FEATURES_DEFAULT, &e))
				fail_msg("%s left a %c", op->text, *t);
		if (try_row(op, op->sig, n_in, *out ? "" : "i", natural(op), WASM_FEATURES_DEFAULT, &e))
			fail_msg("%s left another number of results", op->text);
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
		if (accepts_with(buf_view(&b), WASM_FEATURES_DEFAULT & ~op->feature, &e) || e.code != ERR_UNSUPPORTED)
			fail_msg("%s: %s", op->text, e.text);
		buf_release(&code);
		buf_release(&b);
	}
}

static void each_access_refuses_alignment_above_natural(void **state)
{
	unsigned n = 0;
	EACH_SIGNED_ROW(op)
	{
		if (op->imm != WASM_IMM_MEMARG)
			continue;
		size_t n_in = strcspn(op->sig, ":");
		struct err e;
		for (uint32_t align = 0; align < 0x20; align++) {
			bool ok = try_row(op, op->sig, n_in, op->sig + n_in + 1, align, WASM_FEATURES_DEFAULT, &e);
			if (ok != (align <= natural(op)))
				fail_msg("%s with alignment %u: %s", op->text, align, e.text);
			if (!ok)
				assert_non_null(strstr(e.text, "alignment must not be larger than natural"));
		}
		n++;
	}
	assert_int_equal(n, 23);
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
			expect_body(buf_view(&b));
			if (*out) {
				b.len--;
				expect_body_error(buf_view(&b), ERR_INVALID, "type mismatch");
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
			assert_false(accepts_with(buf_view(&b), WASM_FEATURES_DEFAULT, &e));
			if (!strstr(e.text, "unexpected end") && !strstr(e.text, "unknown"))
				fail_msg("%s cut to %zu bytes: %s", op->text, len, e.text);
			buf_release(&c);
			buf_release(&b);
		}
		buf_release(&code);
	}
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
	EXAMPLE(TABLE_FILL, "type mismatch", B(0x41, 0, 0xd0, 0x70, 0x41, 0, 0xfc, 17, 0), B(0x41, 0, 0xd0, 0x6f, 0x41, 0, 0xfc, 17, 0)),
};

static void rows_without_a_signature_have_examples_that_hold(void **state)
{
	bool seen[WASM_OP_COUNT] = {0};
	for (const struct example *x = examples; x < examples + ARRAY_LEN(examples); x++) {
		struct err e;
		seen[x->op] = true;
		if (!body_accepted(x->valid, &e))
			fail_msg("%s: %s", wasm_op_text(x->op), e.text);
		if (body_accepted(x->invalid, &e) || !strstr(e.text, x->text))
			fail_msg("%s: expected %s, got '%s'", wasm_op_text(x->op), x->text, e.text);
	}
	for (unsigned op = 0; op < WASM_OP_COUNT; op++)
		if (wasm_ops[op].sig[0] == '*' && !seen[op])
			fail_msg("%s has no example", wasm_ops[op].text);
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
		if (wasm_op_by_byte[byte] != WASM_OP_COUNT || byte == 0xfc)
			continue;
		assert_false(body_accepted(BYTES(0x00, (uint8_t)byte, 0, 0, 0), &e));
		assert_non_null(strstr(e.text, "illegal opcode"));
	}
	expect_body_error(BYTES(0x00, 0xfc, 18, 0), ERR_MALFORMED, "illegal opcode");
	expect_body_error(BYTES(0x00, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x0f), ERR_MALFORMED, "illegal opcode");
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
		cmocka_unit_test(rows_without_a_signature_have_examples_that_hold),
		cmocka_unit_test(reads_back_every_row_from_its_bytes),
		cmocka_unit_test(division_rows_say_why_they_trap),
		cmocka_unit_test(every_other_code_is_illegal),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
