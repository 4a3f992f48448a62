// The collector: finds what is in use from where references are, marks it, and leaves all else as room (heap.c) or drops it (kept.c).
//
// 1. References to objects are known exactly: globals, tables and element segments by their types, fields and elements by the object's, frames by the maps
//    that the compiler made for each call (code.h), C code's by its list of roots. References to exceptions on stacks are guessed (kept.c).
// 2. A collection happens in a call of the runtime by the guest that runs, so that its innermost frame stands at a call. Other fibers of the store are parked
//    in host functions, whose guests stand at calls, too (vm__exit); one that was preempted elsewhere holds the store, so that nobody collects meanwhile.
// 3. It works for the guest that asked: its time counts as the guest's, others get their turns between pieces, and a call that is to end ends there. Then
//    nothing was freed, and the next one begins anew.
// 4. The list of what is to be looked at is bounded by the heap's size (1/64); what does not fit stays marked and is found by walks over the heap, each of
//    which gets at least as much done as the list holds.
#include "heap_int.h"

enum { PIECE = 4096, LIST_LEAST = 4096 };

struct marking {
	struct vm__look look;  // of exceptions
	struct vm_store *store;
	struct vm__heap *heap;
	uint32_t *list;
	uint32_t n, cap, first, end;  // places of the first block, and behind the last
	bool overflows;
	uint32_t work;  // in this piece
	enum trap stop;
};

// References looked at. false: the call is to end.
static bool worked(struct marking *k, uint32_t n)
{
	k->work += n;
	if (LIKELY(k->work < PIECE))
		return true;
	struct abi_exec *exec = &k->store->shard->exec;
	k->work = 0;
	if (UNLIKELY(__atomic_load_n(&exec->interrupt, __ATOMIC_RELAXED)) && !k->stop)
		k->stop = vm__fiber_give_way(exec->shard);
	return !k->stop;
}

// ---- objects ---------------------------------------------------------------------------------------------------------
static void mark(struct marking *k, uint32_t ref)
{
	struct vm__heap *h = k->heap;
	if (ref & ABI_REF_TAGS || ref < k->first || ref >= k->end)
		return;
	uint32_t bit = vm__mark_of(ref);
	uint64_t *word = &h->marks[bit / 64], one = UINT64_C(1) << (bit % 64);
	if (*word & one)
		return;
	*word |= one;
	const struct vm__block *b = &h->blocks[(ref - HEAP_FIRST) / HEAP_BLOCK];
	h->live += b->kind == BLOCK_CELLS ? vm__cell_size(b) : (uint64_t)b->n * HEAP_BLOCK;
	if (k->n < k->cap)
		k->list[k->n++] = ref;
	else
		k->overflows = true;
}

static bool mark_array(struct marking *k, const struct abi_object *o, unsigned elem)
{
	const uint32_t *refs = (const uint32_t *)(o + 1);
	for (uint32_t i = 0; i < o->length;) {
		uint32_t n = (uint32_t)min_u64(o->length - i, PIECE);
		for (uint32_t to = i + n; i < to; i++) {
			if (elem == HEAP_OBJECTS)
				mark(k, refs[i]);
			else
				vm__exception_hold(&k->look, refs[i]);
		}
		if (!worked(k, n))
			return false;
	}
	return true;
}

static bool mark_fields(struct marking *k, uint32_t place)
{
	const uint8_t *at = k->heap->base + place;
	const struct abi_object *o = (const struct abi_object *)at;
	const struct abi_object_type *t = (const struct abi_object_type *)(k->heap->base + o->type);
	if (t->form == WASM_FORM_ARRAY)
		return t->elem == HEAP_BITS || mark_array(k, o, t->elem);
	for (uint32_t i = 0; i < t->nrefs; i++)
		mark(k, *(const uint32_t *)(at + t->refs[i]));
	for (uint32_t i = t->nrefs; i < t->nrefs + t->nexns; i++)
		vm__exception_hold(&k->look, *(const uint32_t *)(at + t->refs[i]));
	return worked(k, 1 + t->nrefs + t->nexns);
}

static void mark_values(struct marking *k, const struct vm__exception *e)
{
	const struct wasm_func_type *t = e->tag->type;
	for (uint32_t i = 0, at = 0; i < t->nparams; at += abi_cells(t->params[i].kind), i++) {
		if (t->params[i].kind != WASM_REF)
			continue;
		if (k->heap && wasm_valtype_is_object(NULL, t->params[i]))
			mark(k, (uint32_t)e->cells[at]);
		else
			vm__exception_hold(&k->look, (uint32_t)e->cells[at]);
	}
}

static bool drain(struct marking *k)
{
	while (k->n || k->look.todo) {
		if (k->look.todo) {
			const struct vm__exception *e = k->look.todo;
			k->look.todo = e->next;
			mark_values(k, e);
		} else if (!mark_fields(k, k->list[--k->n])) {
			return false;
		}
	}
	return true;
}

// Everything that is marked is looked at once more.
static bool mark_again(struct marking *k)
{
	struct vm__heap *h = k->heap;
	k->overflows = false;
	for (uint32_t i = 0; i < h->nblocks; i++) {
		uint32_t place = (uint32_t)(vm__block_at(h, i) - h->base);
		uint32_t size = h->blocks[i].kind == BLOCK_CELLS ? vm__cell_size(&h->blocks[i]) : HEAP_BLOCK;
		for (uint32_t at = place; h->blocks[i].kind != BLOCK_FREE && at + size <= place + HEAP_BLOCK; at += size) {
			uint32_t bit = vm__mark_of(at);
			if ((h->marks[bit / 64] >> (bit % 64) & 1) && (!mark_fields(k, at) || !drain(k)))
				return false;
		}
	}
	return true;
}

// ---- roots -----------------------------------------------------------------------------------------------------------
static bool mark_stored(struct marking *k)
{
	const struct vm_store *st = k->store;
	for (const struct vm_instance *i = st->instances; i; i = i->next) {
		const struct wasm_module *m = i->mod->m;
		for (uint32_t g = m->nimported_globals; g < m->nglobals; g++)
			if (wasm_valtype_is_object(m, m->globals[g].type.type))
				mark(k, *(const uint32_t *)i->globals[g]->cell);
		for (uint32_t e = 0; i->elem_refs && e < m->nelems; e++)
			for (uint32_t n = 0; i->elem_refs[e] && n < m->elems[e].count; n++)
				mark(k, i->elem_refs[e][n]);
		if (!worked(k, m->nglobals))
			return false;
	}
	for (const struct vm_global *g = st->globals; g; g = g->next)
		if (wasm_valtype_is_object(g->m, g->type.type))
			mark(k, *(const uint32_t *)g->cell);
	for (const struct vm_table *t = st->tables; t; t = t->next) {
		if (!wasm_valtype_is_object(t->m, t->type.elem))
			continue;
		for (uint64_t i = 0; i < t->abi.length; i++) {
			mark(k, t->abi.elems[i]);
			if (!worked(k, 1))
				return false;
		}
	}
	for (const struct vm__root *r = k->heap->roots; r; r = r->next)
		for (uint32_t i = 0; i < r->n; i++)
			mark(k, r->refs[i]);
	return true;
}

// Guest frames from one that stands at a call up to where C code called. A function that calls itself has one map, most often. Not instrumented: it reads
// others' frames.
NOINLINE static NO_SANITIZER bool mark_frames(struct marking *k, uintptr_t frame, uintptr_t pc)
{
	struct vm__heap *h = k->heap;
	for (;;) {
		const void *call = (const void *)(pc - 1);
		const struct code_object *code = code_find(call);
		struct code_place place;
		if (!code || !code_object_place(code, call, &place))
			return true;
		if (h->map_pc != call && !code_object_map(code, call, &h->map)) {
			k->stop = TRAP_OUT_OF_MEMORY;
			return false;
		}
		h->map_pc = call;
		for (uint32_t i = 0; i < h->map.n; i++)
			mark(k, *((const uint32_t *)frame + 2 * (int64_t)h->map.places[i]));
		if (!worked(k, 16 + h->map.n))
			return false;
		pc = vm__return_of(pc - 1, frame, UINT64_MAX);
		frame = ((const uintptr_t *)frame)[0];
	}
}

NOINLINE static NO_SANITIZER bool mark_exits(struct marking *k, const struct vm__exit *x)
{
	for (; x; x = x->outer) {
		// A tail call of the host function left the guest's return address behind its parameters.
		const uintptr_t *at = (const uintptr_t *)x->frame;
		uintptr_t pc = at[1] == (uintptr_t)vm__tail_return ? at[3 + x->cells] : at[1];
		if (x->store == k->store && !mark_frames(k, at[0], pc))
			return false;
	}
	return true;
}

static bool mark_stacks(struct marking *k, const struct vm__here *here)
{
	const struct vm_shard *s = k->store->shard;
	if ((here && here->frame && !mark_frames(k, here->frame, here->pc)) || !mark_exits(k, s->exits))
		return false;
	for (const struct vm_fiber *f = s->current; f; f = f->resumer)
		if (!mark_exits(k, f->resumer_exits))
			return false;
	for (const struct vm_fiber *f = s->live_fibers; f; f = f->next_live)
		if ((f->state == VM_FIBER_PARKED || f->state == VM_FIBER_PREEMPTED) && !mark_exits(k, f->exits))
			return false;
	return true;
}

static bool mark_all(struct marking *k, const struct vm__here *here)
{
	vm__exceptions_look(&k->look);
	for (const struct vm__flight *f = k->store->exceptions.flights; f; f = f->next)
		mark_values(k, f->exception);
	if (k->heap && (!mark_stored(k) || !mark_stacks(k, here)))
		return false;
	if (!drain(k))
		return false;
	while (k->overflows)
		if (!mark_again(k))
			return false;
	return true;
}

enum trap vm__collect(struct vm_store *st, const struct vm__here *here)
{
	struct vm__heap *h = st->heap;
	struct marking k = {.look = {.store = st}, .store = st, .heap = h};
	if (h) {
		k.cap = (uint32_t)max_u64(LIST_LEAST, (uint64_t)h->used * HEAP_BLOCK / 64 / sizeof *k.list);
		k.list = mem_alloc(k.cap * sizeof *k.list);
		if (!k.list)
			return TRAP_OUT_OF_MEMORY;
		k.first = HEAP_FIRST;
		k.end = HEAP_FIRST + h->nblocks * HEAP_BLOCK;
		h->map_pc = NULL;
		h->live = 0;
		if (h->nblocks)
			memset(h->marks, 0, (size_t)h->nblocks * HEAP_MARK_WORDS * 8);
	}
	bool done = mark_all(&k, here);
	mem_free(k.list);
	if (done) {
		vm__exceptions_sweep(st, k.look.words + (h ? h->live / 4 : 0));
		if (h)
			vm__heap_sweep(st);
	} else if (h) {
		vm__heap_forget_room(h);
	}
	return done ? TRAP_NONE : k.stop;
}

// ---- room ------------------------------------------------------------------------------------------------------------
static bool collect_always;
void vm_process_set_collect_always(bool always)
{
	collect_always = always;
}

enum trap vm__heap_alloc(struct vm_store *st, uint64_t size, const struct vm__here *here, uint32_t *ret)
{
	enum trap t = UNLIKELY(collect_always) ? vm__collect(st, here) : TRAP_NONE;
	if (t)
		return t;
	if (LIKELY(vm__heap_find(st, size, false, ret)))
		return TRAP_NONE;
	t = vm__collect(st, here);
	if (t)
		return t;
	return vm__heap_find(st, size, true, ret) && !vm__heap_is_crowded(st) ? TRAP_NONE : TRAP_OUT_OF_MEMORY;
}

static const struct abi_object_type *type_at(const struct vm_store *st, uint32_t place)
{
	return (const struct abi_object_type *)(st->heap->base + place);
}

enum trap vm__struct_new(const struct vm_instance *inst, uint32_t type, const struct vm__here *here, uint32_t *ret)
{
	uint32_t place = inst->ctx->object_types[type];
	enum trap t = vm__heap_alloc(inst->store, type_at(inst->store, place)->size, here, ret);
	if (!t)
		((struct abi_object *)vm__object_at(inst->store, *ret))->type = place;
	return t;
}

enum trap vm__array_new(const struct vm_instance *inst, uint32_t type, uint32_t n, const struct vm__here *here, uint32_t *ret)
{
	uint32_t place = inst->ctx->object_types[type];
	uint64_t size = sizeof(struct abi_object) + (uint64_t)n * type_at(inst->store, place)->elem_size;
	enum trap t = vm__heap_alloc(inst->store, size, here, ret);
	if (!t)
		*(struct abi_object *)vm__object_at(inst->store, *ret) = (struct abi_object){.type = place, .length = n};
	return t;
}
