// Stores and what they own beside instances: function array, memories, tables, globals, the account.
//
// 1. Structs live in the store's arena; the function array, tables' elements and lists of pages are on the heap, cells with the shard.
// 2. Lists are in order of creation: an image names things by their place in them.
// 3. abi_memory.length only grows between two resets; all beyond it is PROT_NONE (L26).
#include "vm_int.h"

#define MAX_FUNCS (1u << 24)

bool vm_store_new(struct vm_shard *s, const struct vm_limits *limits, struct vm_store **ret, struct err *e)
{
	struct vm_store *st = mem_zalloc(sizeof *st);
	if (!st)
		return err_nomem(e);
	st->shard = s;
	st->limits = limits ? *limits : VM_LIMITS_DEFAULT;
	st->account.limit = st->limits.memory;
	arena_init(&st->arena, 0);
	st->instances_end = &st->instances;
	st->memories_end = &st->memories;
	st->tables_end = &st->tables;
	st->globals_end = &st->globals;
	st->faults = 1;
	uint32_t null;
	if (!vm__func_add(st, (struct abi_func){0}, &null, e)) {
		vm_store_free(st);
		return false;
	}
	*ret = st;
	return true;
}

void vm_store_free(struct vm_store *st)
{
	if (!st)
		return;
	struct vm_shard *s = st->shard;
	if (s->owner == st)
		s->owner = NULL;
	for (struct vm_memory *m = st->memories; m; m = m->next) {
		vm__cell_put(s, m->cell, m->high);
		mem_free(m->pages);
	}
	for (struct vm_table *t = st->tables; t; t = t->next)
		mem_free(t->abi.elems);
	for (struct vm_instance *i = st->instances; i; i = i->next) {
		code_object_unref(i->code);
		vm_module_unref(i->mod);
	}
	vm_image_unref(st->image);
	mem_free(st->funcs);
	arena_release(&st->arena);
	mem_free(st);
}

struct vm_shard *vm_store_shard(const struct vm_store *st)
{
	return st->shard;
}

bool vm_store_is_poisoned(const struct vm_store *st)
{
	return st->poisoned;
}

void vm_store_poison(struct vm_store *st)
{
	st->poisoned = true;
}

void vm_store_touch(struct vm_store *st)
{
	st->faults = 1;
}

void vm_store_set_owner(struct vm_store *st, void *owner)
{
	st->owner = owner;
}

void *vm_store_owner(const struct vm_store *st)
{
	return st->owner;
}

// ---- account -----------------------------------------------------------------------------------------------------
bool vm__charge(struct vm_store *st, uint64_t bytes)
{
	if (!account_charge(&st->account, bytes))
		return false;
	st->own_used += bytes;
	return true;
}

static void uncharge(struct vm_store *st, uint64_t bytes)
{
	account_uncharge(&st->account, bytes);
	st->own_used -= bytes;
}

struct account *vm_store_account(struct vm_store *st)
{
	return &st->account;
}

uint64_t vm_store_memory_used(const struct vm_store *st)
{
	return st->account.used;
}

uint64_t vm_store_memory_peak(const struct vm_store *st)
{
	return st->account.peak;
}

// ---- functions ---------------------------------------------------------------------------------------------------
bool vm__func_add(struct vm_store *st, struct abi_func f, uint32_t *ret, struct err *e)
{
	if (st->nfuncs == st->funcs_cap) {
		uint32_t cap = st->funcs_cap ? st->funcs_cap * 2 : 64;
		if (cap > MAX_FUNCS)
			return err_set(e, ERR_LIMIT, "too many functions in one store (at most %u)", MAX_FUNCS);
		struct abi_func *funcs = mem_realloc(st->funcs, sizeof *funcs * cap);
		if (!funcs)
			return err_nomem(e);
		st->funcs = funcs;
		st->funcs_cap = cap;
		// Guest code reads the base from its vmctx at each use.
		for (struct vm_instance *i = st->instances; i; i = i->next)
			i->ctx->funcs = funcs;
	}
	st->funcs[st->nfuncs] = f;
	*ret = st->nfuncs++;
	return true;
}

// ---- memories ----------------------------------------------------------------------------------------------------
#define SHIFT_OF(m) ((m)->type.page_shift ? (m)->type.page_shift : 16)

// The part without accounting: makes [length, to) accessible.
bool vm__memory_grow_to(struct vm_memory *m, uint64_t to)
{
	uint64_t from = m->abi.length;
	if (to > from) {
		if (sys_protect(m->abi.base + from, to - from, true))
			return false;
		if (to > m->high)
			m->high = to;
	}
	m->abi.length = to;
	return true;
}

bool vm__memory_new(struct vm_store *st, const struct wasm_memory_type *type, struct vm_memory **ret, struct err *e)
{
	unsigned shift = type->page_shift ? type->page_shift : 16;
	uint64_t most = (4 * VM__GIB) >> shift;
	if (type->limits.is64 || type->limits.shared || shift != 16)
		return err_set(e, ERR_UNSUPPORTED, "memory type not supported by the runtime yet (64-bit, shared or custom page size)");
	if (type->limits.min > most)
		return err_set(e, ERR_LIMIT, "memory size must be at most %llu pages", (unsigned long long)most);
	struct vm_memory *m = ARENA_NEW(&st->arena, struct vm_memory);
	if (!m)
		return err_nomem(e);
	uint64_t length = type->limits.min << shift;
	if (!vm__charge(st, length)) {
		err_set(e, ERR_LIMIT, "memory limit exceeded: a memory of %llu bytes does not fit in the instance's %llu", (unsigned long long)length,
			(unsigned long long)st->limits.memory);
		return err_hint(e, "raise the limit (--memory)");
	}
	m->cell = vm__cell_get(st->shard);
	if (!m->cell) {
		uncharge(st, length);
		err_set(e, ERR_ENV, "no address space left for a memory");
		return err_hint(e, "each memory reserves 6 GiB of address space: raise ulimit -v or vm.max_map_count, or run fewer instances");
	}
	m->type = *type;
	m->store = st;
	m->abi.base = m->cell->base;
	m->abi.owner = m;
	m->abi.max_bytes = min_u64(type->limits.has_max ? type->limits.max : most, most) << shift;
	if (!vm__memory_grow_to(m, length)) {
		vm__cell_put(st->shard, m->cell, length);
		uncharge(st, length);
		return err_set(e, ERR_ENV, "memory of %llu bytes refused by the system", (unsigned long long)length);
	}
	*st->memories_end = m;
	st->memories_end = &m->next;
	*ret = m;
	return true;
}

bool vm_memory_new(struct vm_store *st, const struct wasm_memory_type *type, struct vm_memory **ret, struct err *e)
{
	return vm__memory_new(st, type, ret, e);
}

uint8_t *vm_memory_base(const struct vm_memory *m)
{
	return m->abi.base;
}

uint64_t vm_memory_length(const struct vm_memory *m)
{
	return m->abi.length;
}

struct abi_memory *vm_memory_abi(struct vm_memory *m)
{
	return &m->abi;
}

uint64_t vm_memory_grow(struct vm_memory *m, uint64_t delta)
{
	unsigned shift = SHIFT_OF(m);
	uint64_t old = m->abi.length, room = m->abi.max_bytes - old;
	if (delta > room >> shift)
		return UINT64_MAX;
	if (!delta)
		return old >> shift;
	if (!vm__charge(m->store, delta << shift))
		return UINT64_MAX;
	if (!vm__memory_grow_to(m, old + (delta << shift))) {
		uncharge(m->store, delta << shift);
		return UINT64_MAX;
	}
	return old >> shift;
}

// ---- tables ------------------------------------------------------------------------------------------------------
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
	uncharge(st, delta * sizeof(uint32_t));
	st->table_elements -= delta;
}

bool vm_table_new(struct vm_store *st, const struct wasm_table_type *type, const struct wasm_module *m, uint32_t init, struct vm_table **ret,
	struct err *e)
{
	struct vm_table *t = ARENA_NEW(&st->arena, struct vm_table);
	if (!t)
		return err_nomem(e);
	uint64_t length = type->limits.min;
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

uint64_t vm_table_grow(struct vm_table *t, uint64_t delta, uint32_t init)
{
	uint64_t old = t->abi.length;
	if (delta > t->abi.max - min_u64(old, t->abi.max))
		return UINT64_MAX;
	if (!delta)
		return old;
	if (!table_charge(t->store, delta))
		return UINT64_MAX;
	if (!table_reserve(t, old + delta)) {
		table_uncharge(t->store, delta);
		return UINT64_MAX;
	}
	for (uint64_t i = old; i < old + delta; i++)
		t->abi.elems[i] = init;
	t->abi.length = old + delta;
	t->abi.dirty = 1;
	return old;
}

// ---- globals -----------------------------------------------------------------------------------------------------
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
