// Layout of vmctx, classification of parameters, texts of traps; and the asserts that keep the structs as generated code reads them.
#include "abi.h"

const char *trap_text(enum trap t)
{
	static const char *const texts[TRAP_COUNT] = {
#define TRAP(name, text) [TRAP_##name] = text,
#include "traps.def"
#undef TRAP
	};
	return (unsigned)t < TRAP_COUNT ? texts[t] : "unknown trap";
}

// ORDER exec, ORDER vmctx: generated code takes these offsets from offsetof; what is asserted here is what docs/abi.md promises to others (L47).
_Static_assert(offsetof(struct abi_exec, stack_limit) == 0, "exec 0");
_Static_assert(offsetof(struct abi_exec, entry_sp) == 8, "exec 1");
_Static_assert(offsetof(struct abi_exec, libcall_result) == 16, "exec 2");
_Static_assert(offsetof(struct abi_exec, context) == 72, "exec 10");
_Static_assert(offsetof(struct abi_vmctx, exec) == 0, "vmctx 0");
_Static_assert(offsetof(struct abi_vmctx, funcs) == 8, "vmctx 1");
_Static_assert(offsetof(struct abi_vmctx, type_ids) == 16 && offsetof(struct abi_vmctx, mem0_base) == 24, "vmctx 2, 3");
_Static_assert(offsetof(struct abi_vmctx, mem0) == 32 && offsetof(struct abi_vmctx, libcalls) == 40, "vmctx 4, 5");
_Static_assert(offsetof(struct abi_vmctx, func_refs) == 48 && offsetof(struct abi_vmctx, heap) == 64, "vmctx 6, 8");
_Static_assert(offsetof(struct abi_vmctx, object_types) == 72 && sizeof(struct abi_vmctx) == 80, "vmctx 9");
_Static_assert(offsetof(struct abi_object_type, display) == 32, "types of objects");
_Static_assert(sizeof(struct abi_func) == 32 && offsetof(struct abi_func, vmctx) == 8 && offsetof(struct abi_func, type) == 16, "func");
_Static_assert(offsetof(struct abi_memory, base) == 0 && offsetof(struct abi_memory, length) == 8, "memory");
_Static_assert(offsetof(struct abi_table, elems) == 0 && offsetof(struct abi_table, length) == 8 && offsetof(struct abi_table, dirty) == 24, "table");
_Static_assert(sizeof(struct abi_import) == 16 && offsetof(struct abi_import, vmctx) == 8, "import");
_Static_assert(TRAP_NONE == 0 && TRAP_COUNT < 128, "one byte holds a trap");

const struct abi_libcall_row abi_libcall_rows[ABI_LIBCALL_COUNT] = {
#define P(kind, param) , ABI_##kind
#define LIBCALL(NAME, name, traps, gives, takes)            \
	[ABI_LIBCALL_##NAME] = {                                \
		.may_trap = traps,                                  \
		.result = ABI_##gives,                              \
		.nargs = sizeof((const uint8_t[]){ABI_NONE takes}), \
		.args = {ABI_NONE takes},                           \
	},
#include "libcalls.def"
#undef LIBCALL
#undef P
};

static uint32_t cells_of(const struct wasm_valtype *types, uint32_t n)
{
	uint32_t cells = 0;
	for (uint32_t i = 0; i < n; i++)
		cells += abi_cells(types[i].kind);
	return cells;
}

static bool has_v128(const struct wasm_module *m)
{
	bool has = false;
	for (uint32_t i = 0; i < m->ntypes && !has; i++) {
		const struct wasm_func_type *t = &m->types[i].func;
		has = cells_of(t->params, t->nparams) + cells_of(t->results, t->nresults) > t->nparams + t->nresults;
		for (uint32_t k = 0; k < m->types[i].nfields && !has; k++)
			has = m->types[i].fields[k].type.kind == WASM_V128;
	}
	for (uint32_t i = 0; i < m->nglobals && !has; i++)
		has = m->globals[i].type.type.kind == WASM_V128;
	return has;
}

void abi_layout(const struct wasm_module *m, struct abi_layout *ret)
{
	// Counts are bounded by the decoder (limits.def): the sum stays far below 2^32.
	uint64_t at = sizeof(struct abi_vmctx);
	ret->memories = (uint32_t)at;
	at += (uint64_t)m->nmemories * sizeof(struct abi_memory *);
	ret->tables = (uint32_t)at;
	at += (uint64_t)m->ntables * sizeof(struct abi_table *);
	ret->imported_funcs = (uint32_t)at;
	at += (uint64_t)m->nimported_funcs * sizeof(struct abi_import);
	ret->imported_globals = (uint32_t)at;
	at += (uint64_t)m->nimported_globals * sizeof(void *);
	at = align_up_u64(at, 16);
	ret->globals = (uint32_t)at;
	ret->globals_size = (m->nglobals - m->nimported_globals) * 16u;
	at += ret->globals_size;
	BUG_ON(at > INT32_MAX);
	ret->size = (uint32_t)at;
	ret->has_v128 = has_v128(m);
}

struct places {
	uint32_t ints, floats, stack, at;
};

static struct abi_loc next_place(struct places *p, uint8_t kind)
{
	struct abi_loc l = {.cells = (uint8_t)abi_cells(kind), .at = (uint16_t)p->at};
	bool in_xmm = kind == WASM_F32 || kind == WASM_F64 || kind == WASM_V128;
	p->at += l.cells;
	if (!in_xmm && p->ints < 6) {
		l.place = ABI_GPR;
		l.index = (uint16_t)p->ints++;
	} else if (in_xmm && p->floats < 8) {
		l.place = ABI_XMM;
		l.index = (uint16_t)p->floats++;
	} else {
		l.place = ABI_STACK;
		l.index = (uint16_t)p->stack;
		p->stack += l.cells;
	}
	return l;
}

void abi_classify(const struct wasm_func_type *type, struct abi_loc *locs, struct abi_sig *ret)
{
	struct places p = {0};
	for (uint32_t i = 0; i < type->nparams; i++)
		locs[i] = next_place(&p, type->params[i].kind);
	ret->nparams = type->nparams;
	ret->params = locs;
	ret->arg_cells = p.at;
	ret->by_pointer = type->nresults > 1;
	ret->results_pointer = (struct abi_loc){.place = ABI_GPR};
	if (ret->by_pointer)
		ret->results_pointer = next_place(&p, WASM_I64);
	ret->stack_cells = (p.stack + 1) & ~1u;
}
