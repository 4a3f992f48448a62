// Tables: their elements, and what element segments write into them.
#include "heap_int.h"

static bool table_reserve(struct vm_table *t, uint64_t length)
{
	if (length <= t->cap)
		return true;
	uint64_t cap = max_u64(length, t->cap + t->cap / 2);
	uint32_t *elems = mem_realloc(t->abi.elems, cap * sizeof *elems);
	if (!elems)
		return false;
	t->abi.elems = elems;
	t->cap = cap;
	return true;
}

static bool has_elements(const struct vm_store *st, uint64_t delta)
{
	return st->table_elements <= st->limits.table_elements && delta <= st->limits.table_elements - st->table_elements;
}

static bool table_charge(struct vm_store *st, uint64_t delta)
{
	if (!has_elements(st, delta) || !vm__charge(st, delta * sizeof(uint32_t)))
		return false;
	st->table_elements += delta;
	return true;
}

static void table_uncharge(struct vm_store *st, uint64_t delta)
{
	vm__uncharge(st, delta * sizeof(uint32_t));
	st->table_elements -= delta;
}

bool vm_table_new(struct vm_store *st, const struct wasm_table_type *type, const struct wasm_module *m, uint32_t init, struct vm_table **ret,
	struct err *e)
{
	struct vm_table *t = ARENA_NEW(&st->arena, struct vm_table);
	if (!t)
		return err_nomem(e);
	uint64_t length = type->limits.min;
	if (length > UINT32_MAX)
		return err_set(e, ERR_LIMIT, "table size must be at most %u elements", UINT32_MAX);
	if (!has_elements(st, length)) {
		err_set(e, ERR_LIMIT, "table limit exceeded: a table of %llu elements does not fit in the instance's %llu", (unsigned long long)length,
			(unsigned long long)st->limits.table_elements);
		return err_hint(e, "raise the limit (--table-elements)");
	}
	if (!table_charge(st, length)) {
		err_set(e, ERR_LIMIT, "memory limit exceeded: a table of %llu elements does not fit in the instance's %llu bytes", (unsigned long long)length,
			(unsigned long long)st->limits.memory);
		return err_hint(e, "raise the limit (--memory)");
	}
	t->type = *type;
	t->m = m;
	t->store = st;
	t->abi.owner = t;
	t->abi.max = min_u64(type->limits.has_max ? type->limits.max : UINT32_MAX, UINT32_MAX);
	if (!table_reserve(t, max_u64(length, 1))) {
		table_uncharge(st, length);
		return err_nomem(e);
	}
	for (uint64_t i = 0; i < length; i++)
		t->abi.elems[i] = init;
	t->abi.length = length;
	*st->tables_end = t;
	st->tables_end = &t->next;
	*ret = t;
	return true;
}

uint64_t vm_table_length(const struct vm_table *t)
{
	return t->abi.length;
}

bool vm_table_get(const struct vm_table *t, uint64_t i, uint32_t *ret)
{
	if (i >= t->abi.length)
		return false;
	*ret = t->abi.elems[i];
	return true;
}

bool vm_table_set(struct vm_table *t, uint64_t i, uint32_t ref)
{
	if (i >= t->abi.length)
		return false;
	t->abi.elems[i] = ref;
	t->abi.dirty = 1;
	return true;
}

bool vm__table_make_room(struct vm_table *t, uint64_t delta)
{
	uint64_t old = t->abi.length;
	if (delta > t->abi.max - min_u64(old, t->abi.max) || !table_charge(t->store, delta))
		return false;
	if (table_reserve(t, old + delta))
		return true;
	table_uncharge(t->store, delta);
	return false;
}

void vm__table_extend(struct vm_table *t, uint64_t n, uint32_t init)
{
	uint64_t length = t->abi.length + n;
	for (uint64_t i = t->abi.length; i < length; i++)
		t->abi.elems[i] = init;
	t->abi.length = length;
	t->abi.dirty = 1;
}

uint64_t vm_table_grow(struct vm_table *t, uint64_t delta, uint32_t init)
{
	uint64_t old = t->abi.length;
	if (!vm__table_make_room(t, delta))
		return UINT64_MAX;
	if (delta)
		vm__table_extend(t, delta, init);
	return old;
}

// ---- segments ----------------------------------------------------------------------------------------------------
static bool init_fits(const struct vm_instance *inst, const struct vm_table *t, uint32_t elem, uint64_t dst, uint64_t src, uint64_t n)
{
	return vm__fits(src, n, vm__bit(inst->dropped, elem) ? 0 : inst->mod->m->elems[elem].count) && vm__fits(dst, n, t->abi.length);
}

enum trap vm__table_init(struct vm_instance *inst, struct vm_table *t, uint32_t elem, uint64_t dst, uint64_t src, uint64_t n, const struct vm__here *here)
{
	const struct wasm_elem *seg = &inst->mod->m->elems[elem];
	const uint32_t *made = NULL;
	if (!init_fits(inst, t, elem, dst, src, n))
		return TRAP_TABLE_OUT_OF_BOUNDS;
	enum trap trap = seg->allocates && n ? vm__elem_refs(inst, elem, here, &made) : TRAP_NONE;
	t->abi.dirty = 1;
	return trap ? trap : vm__elem_write(inst, elem, made, src, n, t->abi.elems + dst);
}
