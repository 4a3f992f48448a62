// The host module `spectest` of the core scripts.
#include "conform.h"

#define I32 {.kind = WASM_I32}
#define I64 {.kind = WASM_I64}
#define F32 {.kind = WASM_F32}
#define F64 {.kind = WASM_F64}

static const struct wasm_valtype one_i32[] = {I32}, one_i64[] = {I64}, one_f32[] = {F32}, one_f64[] = {F64};
static const struct wasm_valtype i32_f32[] = {I32, F32}, f64_f64[] = {F64, F64};

enum item_kind { PRINT, GLOBAL, TABLE, TABLE64, MEMORY, SHARED_MEMORY };
static const struct item {
	const char *name;
	enum item_kind kind;
	const struct wasm_valtype *params;  // of a function; of a global: its type
	uint32_t nparams;
	uint64_t bits;
} items[] = {
	{"print", PRINT, NULL, 0, 0},
	{"print_i32", PRINT, one_i32, 1, 0},
	{"print_i64", PRINT, one_i64, 1, 0},
	{"print_f32", PRINT, one_f32, 1, 0},
	{"print_f64", PRINT, one_f64, 1, 0},
	{"print_i32_f32", PRINT, i32_f32, 2, 0},
	{"print_f64_f64", PRINT, f64_f64, 2, 0},
	{"global_i32", GLOBAL, one_i32, 1, 666},
	{"global_i64", GLOBAL, one_i64, 1, 666},
	{"global_f32", GLOBAL, one_f32, 1, 0x4426a666},
	{"global_f64", GLOBAL, one_f64, 1, UINT64_C(0x4084d4cccccccccd)},
	{"table", TABLE, NULL, 0, 0},
	{"table64", TABLE64, NULL, 0, 0},
	{"memory", MEMORY, NULL, 0, 0},
	{"shared_memory", SHARED_MEMORY, NULL, 0, 0},
};
_Static_assert(ARRAY_LEN(items) <= ARRAY_LEN(((struct script *)0)->spectest), "room for every item");

static enum trap print_nothing(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	return TRAP_NONE;
}

static bool make(struct script *s, const struct item *it, struct vm_extern *x, struct err *e)
{
	struct wasm_func_type func = {.nparams = it->nparams, .params = it->params};
	struct wasm_global_type global = {.type = it->params ? it->params[0] : (struct wasm_valtype){0}};
	struct wasm_table_type table = {.elem = {.kind = WASM_REF, .heap = WASM_HEAP_FUNC, .nullable = true}, .limits = {.min = 10, .max = 20, .has_max = true}};
	struct wasm_memory_type memory = {.limits = {.min = 1, .max = 2, .has_max = true}, .page_shift = 16};
	switch (it->kind) {
	case PRINT:
		x->kind = WASM_EXTERN_FUNC;
		return vm_host_func_new(s->store, &func, print_nothing, NULL, it->name, &x->func, e);
	case GLOBAL:
		x->kind = WASM_EXTERN_GLOBAL;
		return vm_global_new(s->store, &global, NULL, &it->bits, &x->global, e);
	case TABLE64:
		table.limits.is64 = true;
		__attribute__((fallthrough));
	case TABLE:
		x->kind = WASM_EXTERN_TABLE;
		return vm_table_new(s->store, &table, NULL, 0, &x->table, e);
	case SHARED_MEMORY:
		memory.limits.shared = true;
		__attribute__((fallthrough));
	case MEMORY:
		x->kind = WASM_EXTERN_MEMORY;
		return vm_memory_new(s->store, &memory, &x->memory, e);
	}
	return false;
}

bool spectest_make(struct script *s, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(items); i++)
		if (!make(s, &items[i], &s->spectest[i], e))
			return false;
	return true;
}

bool spectest_find(struct script *s, struct slice name, struct vm_extern *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(items); i++)
		if (slice_eq_str(name, items[i].name)) {
			*ret = s->spectest[i];
			return true;
		}
	return false;
}
