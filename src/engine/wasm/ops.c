// The instruction table of opcodes.def, and the tables that find a row from its bytes.
#include "wasm.h"

#define FEATURE(f) WASM_FEATURE_##f
const struct wasm_op_info wasm_ops[WASM_OP_COUNT] = {
#define OP(name, text, prefix, code, imm, sig, access, trap, feature) \
	[WASM_OP_##name] = {text, prefix, WASM_IMM_##imm, access, WASM_OP_TRAP_##trap, code, FEATURE(feature), sig},
#include "opcodes.def"
#undef OP
};

// Rows by code; WASM_OP_COUNT where there is none.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
#define ROW_0(...)
#define ROW_0xfc(...)
const uint16_t wasm_op_by_byte[256] = {
	[0 ... 255] = WASM_OP_COUNT,
#undef ROW_0
#define ROW_0(name, code) [code] = WASM_OP_##name,
#define OP(name, text, prefix, code, ...) ROW_##prefix(name, code)
#include "opcodes.def"
#undef OP
};
const uint16_t wasm_op_by_fc[WASM_OP_FC_ROWS] = {
	[0 ... WASM_OP_FC_ROWS - 1] = WASM_OP_COUNT,
#undef ROW_0
#define ROW_0(...)
#undef ROW_0xfc
#define ROW_0xfc(name, code) [code] = WASM_OP_##name,
#define OP(name, text, prefix, code, ...) ROW_##prefix(name, code)
#include "opcodes.def"
#undef OP
};
#pragma GCC diagnostic pop

const char *wasm_op_text(enum wasm_op op)
{
	return (unsigned)op < WASM_OP_COUNT ? wasm_ops[op].text : "unknown";
}
