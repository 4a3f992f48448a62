// The instruction table of opcodes.def, and the tables that find a row from its bytes.
#include "wasm.h"

#define FEATURE(f) WASM_FEATURE_##f
const struct wasm_op_info wasm_ops[WASM_OP_COUNT] = {
#define OP(name, text, prefix, code, imm, sig, access, trap, feature) \
	[WASM_OP_##name] = {prefix, WASM_IMM_##imm, access, WASM_OP_TRAP_##trap, code, FEATURE(feature), sig},
#include "opcodes.def"
#undef OP
};

enum { LONGEST_TEXT = 36 };
static const char texts[WASM_OP_COUNT][LONGEST_TEXT] = {
#define OP(name, text, ...) [WASM_OP_##name] = text,
#include "opcodes.def"
#undef OP
};

// Rows by code; WASM_OP_COUNT where there is none.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
#define OP(name, text, prefix, code, ...) ROW_##prefix(name, code)
#define ROW(name, code) [code] = WASM_OP_##name,
#define NO_ROW(...)
#define ROW_0 ROW
#define ROW_0xfb NO_ROW
#define ROW_0xfc NO_ROW
#define ROW_0xfd NO_ROW
#define ROW_0xfe NO_ROW
const uint16_t wasm_op_by_byte[256] = {
	[0 ... 255] = WASM_OP_COUNT,
#include "opcodes.def"
};
#undef ROW_0
#undef ROW_0xfb
#define ROW_0 NO_ROW
#define ROW_0xfb ROW
const uint16_t wasm_op_by_fb[WASM_OP_FB_ROWS] = {
	[0 ... WASM_OP_FB_ROWS - 1] = WASM_OP_COUNT,
#include "opcodes.def"
};
#undef ROW_0xfb
#undef ROW_0xfc
#define ROW_0xfb NO_ROW
#define ROW_0xfc ROW
const uint16_t wasm_op_by_fc[WASM_OP_FC_ROWS] = {
	[0 ... WASM_OP_FC_ROWS - 1] = WASM_OP_COUNT,
#include "opcodes.def"
};
#undef ROW_0xfc
#undef ROW_0xfd
#define ROW_0xfc NO_ROW
#define ROW_0xfd ROW
const uint16_t wasm_op_by_fd[WASM_OP_FD_ROWS] = {
	[0 ... WASM_OP_FD_ROWS - 1] = WASM_OP_COUNT,
#include "opcodes.def"
};
#undef ROW_0xfd
#undef ROW_0xfe
#define ROW_0xfd NO_ROW
#define ROW_0xfe ROW
const uint16_t wasm_op_by_fe[WASM_OP_FE_ROWS] = {
	[0 ... WASM_OP_FE_ROWS - 1] = WASM_OP_COUNT,
#include "opcodes.def"
};
#undef OP
#pragma GCC diagnostic pop

const char *wasm_op_text(enum wasm_op op)
{
	return (unsigned)op < WASM_OP_COUNT ? texts[op] : "unknown";
}
