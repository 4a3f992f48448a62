// Bytes as a module: decoded and validated with all features and with the first ones only; what one accepts the readers can walk.
// PROGRAM(fuzz_wasm_decode, "wasm base", "")
#include "base/base.h"
#include "wasm/wasm.h"

enum { ARENA_MAX = 256 << 20 };

// Walks a body that has passed as a compiler does, and must arrive at its end.
static void walk(const struct wasm_module *m, uint32_t func)
{
	const uint8_t *p = m->bytes.ptr + m->funcs[func].offset, *end = p + m->funcs[func].size;
	struct wasm_block_type block;
	for (uint32_t n = wasm_read_u32(&p); n; n--) {
		wasm_read_u32(&p);
		wasm_read_valtype(&p);
	}
	while (p < end) {
		enum wasm_op op = wasm_read_op(&p);
		BUG_ON(op >= WASM_OP_COUNT);
		switch ((enum wasm_imm)wasm_ops[op].imm) {
		case WASM_IMM_NONE:
			break;
		case WASM_IMM_BLOCK:
			wasm_read_block_type(m, &p, &block);
			break;
		case WASM_IMM_LABELS:
			for (uint64_t n = (uint64_t)wasm_read_u32(&p) + 1; n; n--)
				wasm_read_u32(&p);
			break;
		case WASM_IMM_TYPES:
			for (uint32_t n = wasm_read_u32(&p); n; n--)
				wasm_read_valtype(&p);
			break;
		case WASM_IMM_MEMARG:
			wasm_read_memarg(&p);
			break;
		case WASM_IMM_TYPE_TABLE:
		case WASM_IMM_TABLE_TABLE:
		case WASM_IMM_MEMORY_MEMORY:
		case WASM_IMM_DATA_MEMORY:
		case WASM_IMM_ELEM_TABLE:
			wasm_read_u32(&p);
			wasm_read_u32(&p);
			break;
		case WASM_IMM_I32:
			wasm_read_s32(&p);
			break;
		case WASM_IMM_I64:
			wasm_read_s64(&p);
			break;
		case WASM_IMM_F32:
			p += 4;
			break;
		case WASM_IMM_F64:
			p += 8;
			break;
		case WASM_IMM_HEAP:
			wasm_read_heap_type(&p);
			break;
		default:
			wasm_read_u32(&p);
		}
	}
	BUG_ON(p != end || p[-1] != 0x0b);
}

static bool try_features(struct slice bytes, uint32_t features)
{
	struct arena a;
	struct wasm_module *m;
	struct err e = {0};
	arena_init(&a, ARENA_MAX);
	bool decoded = wasm_decode(&a, bytes, features, 0, &m, &e);
	bool ok = decoded && wasm_validate(m, &e);
	BUG_ON(ok != (e.code == ERR_NONE));
	if (ok)
		for (uint32_t i = m->nimported_funcs; i < m->nfuncs; i++)
			walk(m, i);
	if (decoded) {
		char name[64];
		wasm_module_func_name(m, 0, name, sizeof(name));
	}
	arena_release(&a);
	return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice bytes = slice_of(data, size);
	bool first = try_features(bytes, WASM_FEATURE_MVP);
	bool all = try_features(bytes, WASM_FEATURES_DEFAULT);
	BUG_ON(first && !all);  // features only add
	return 0;
}
