// Globals.
#include "vm_int.h"

bool vm_global_new(struct vm_store *st, const struct wasm_global_type *type, const struct wasm_module *m, const uint64_t *init, struct vm_global **ret,
	struct err *e)
{
	struct vm_global *g = ARENA_NEW(&st->arena, struct vm_global);
	if (!g)
		return err_nomem(e);
	g->type = *type;
	g->m = m;
	g->cell = g->own;
	vm_global_set(g, init);
	*st->globals_end = g;
	st->globals_end = &g->next;
	*ret = g;
	return true;
}

static bool is_32(const struct vm_global *g)
{
	return g->type.type.kind == WASM_I32 || g->type.type.kind == WASM_F32 || g->type.type.kind == WASM_REF;
}

void vm_global_get(const struct vm_global *g, uint64_t *ret)
{
	memcpy(ret, g->cell, 8 * abi_cells(g->type.type.kind));
	if (is_32(g))
		ret[0] = (uint32_t)ret[0];
}

void vm_global_set(struct vm_global *g, const uint64_t *value)
{
	uint64_t low = is_32(g) ? (uint32_t)value[0] : value[0];
	memcpy(g->cell, &low, sizeof low);
	if (g->type.type.kind == WASM_V128)
		memcpy((uint8_t *)g->cell + 8, &value[1], 8);
}

const struct wasm_global_type *vm_global_type(const struct vm_global *g)
{
	return &g->type;
}
