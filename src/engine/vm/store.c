// Stores and what they own beside instances: function array. (account.c, memory.c, table.c, global.c)
//
// 1. Structs live in the store's arena; the function array, tables' elements and lists of pages are on the heap, cells with the shard.
// 2. Lists are in order of creation: an image names things by their place in them.
#include "heap_int.h"

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
	vm__exceptions_clear(st);
	if (s->owner == st)
		s->owner = NULL, s->owns = false;
	for (uint32_t i = 0; i < s->ncharged; i++)
		if (s->charged[i] == st)
			s->charged[i--] = s->charged[--s->ncharged];
	for (struct vm_fiber *f = st->named ? s->live_fibers : NULL; f; f = f->next_live)  // one that waits outside of any, and was in it
		if (f->owner == st)
			f->owner = NULL;
	for (struct vm_memory *m = st->memories; m; m = m->next) {
		vm__memory_release(m);
	}
	for (struct vm__sharing *x = st->shared; x; x = x->next)
		vm__shared_unref(x->shared, s);
	for (struct vm_table *t = st->tables; t; t = t->next)
		mem_free(t->abi.elems);
	vm__heap_free(st);
	for (struct vm_instance *i = st->instances; i; i = i->next) {
		for (uint32_t k = 0; i->elem_refs && k < i->mod->m->nelems; k++)
			mem_free(i->elem_refs[k]);
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
	struct vm_shard *s = st->shard;
	// The page faults of a guest that runs, and of a fiber that said before for whom it writes, are not this store's: its pages are listed anew.
	if (s->owner != st && (s->exec.entry_sp || (s->current && s->owns)))
		st->faults = 1;
	else
		vm__own(s, st);
}

void vm_store_set_owner(struct vm_store *st, void *owner)
{
	st->owner = owner;
}

void *vm_store_owner(const struct vm_store *st)
{
	return st->owner;
}

// ---- functions ---------------------------------------------------------------------------------------------------
bool vm__funcs_room(struct vm_store *st, uint32_t n, struct err *e)
{
	uint64_t want = (uint64_t)st->nfuncs + n;
	if (want <= st->funcs_cap)
		return true;
	if (want > MAX_FUNCS)
		return err_set(e, ERR_LIMIT, "too many functions in one store (at most %u)", MAX_FUNCS);
	uint32_t cap = (uint32_t)min_u64(max_u64(want, max_u64(2 * (uint64_t)st->funcs_cap, 64)), MAX_FUNCS);
	struct abi_func *funcs = mem_realloc(st->funcs, sizeof *funcs * cap);
	if (!funcs)
		return err_nomem(e);
	st->funcs = funcs;
	st->funcs_cap = cap;
	// Guest code reads the base from its vmctx at each use.
	for (struct vm_instance *i = st->instances; i; i = i->next)
		i->ctx->funcs = funcs;
	return true;
}

bool vm__func_add(struct vm_store *st, struct abi_func f, uint32_t *ret, struct err *e)
{
	if (!vm__funcs_room(st, 1, e))
		return false;
	st->funcs[st->nfuncs] = f;
	*ret = st->nfuncs++;
	return true;
}
