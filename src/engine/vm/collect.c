// The collector: finds what is in use from where references are, marks it, and leaves all else as room (heap.c) or drops it (kept.c).
//
// 1. References to objects are known exactly: globals, tables and element segments by their types, fields and elements by the object's, frames by the maps
//    that the compiler made for each call (code.h), C code's by its list of roots. References to exceptions on stacks are guessed (kept.c).
// 2. A collection happens in a call of the runtime by the guest that runs, so that its innermost frame stands at a call. Other fibers of the store are parked
//    in host functions, whose guests stand at calls, too (vm__exit); one that was preempted elsewhere holds the store, so that nobody collects meanwhile.
// 3. It works for the guest that asked: its time counts as the guest's, others get their turns between pieces, marking or sweeping, and a call that is to end
//    ends there. What was not swept is no room then, and the next one begins anew. Others' fibers come and go meanwhile; those with guests of this store don't,
//    so that their calls of host functions are found first.
// 4. The list of what is to be looked at is bounded by the heap's size (1/64); what does not fit stays marked and is found by walks over the heap, each of
//    which gets at least as much done as the list holds.
#include "heap_int.h"

enum { LIST_LEAST = 4096 };

struct marking {
	struct vm__pace pace;
	struct vm__look look;  // of exceptions
	struct vm_store *store;
	struct vm__heap *heap;
	uint32_t *list;
	uint32_t n, cap, first, end;  // places of the first block, and behind the last
	bool overflows;
	struct vm__exit *exits;       // of the store's guests, on all stacks
};

// References looked at. false: the call is to end.
static bool worked(struct marking *k, uint32_t n)
{
	return vm__worked(&k->pace, n);
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

static bool mark_refs(struct marking *k, const uint32_t *refs, uint64_t n)
{
	for (const uint32_t *end = refs + n; refs < end;) {
		uint32_t some = (uint32_t)min_u64((uint64_t)(end - refs), VM__PACE);
		for (const uint32_t *to = refs + some; refs < to; refs++)
			mark(k, *refs);
		if (!worked(k, some))
			return false;
	}
	return true;
}

static bool hold_refs(struct marking *k, const uint32_t *refs, uint64_t n)
{
	return vm__exceptions_hold(&k->look, refs, n);
}

static bool mark_fields(struct marking *k, uint32_t place)
{
	const uint8_t *at = k->heap->base + place;
	const struct abi_object *o = (const struct abi_object *)at;
	const struct abi_object_type *t = (const struct abi_object_type *)(k->heap->base + o->type);
	if (t->form == WASM_FORM_ARRAY)
		return t->elem == HEAP_BITS || (t->elem == HEAP_OBJECTS ? mark_refs : hold_refs)(k, (const uint32_t *)(o + 1), o->length);
	for (uint32_t i = 0; i < t->nrefs; i++)
		mark(k, *(const uint32_t *)(at + t->refs[i]));
	for (uint32_t i = t->nrefs; i < t->nrefs + t->nexns; i++)
		vm__exception_hold(&k->look, *(const uint32_t *)(at + t->refs[i]));
	return worked(k, 1 + t->nrefs + t->nexns);
}

static bool mark_values(struct marking *k, const struct vm__exception *e)
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
	return worked(k, 1 + t->nparams);
}

static bool drain(struct marking *k)
{
	while (k->n || k->look.todo) {
		if (k->look.todo) {
			const struct vm__exception *e = k->look.todo;
			k->look.todo = e->next;
			if (!mark_values(k, e))
				return false;
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
	for (size_t w = 0; w < (size_t)h->nblocks * HEAP_MARK_WORDS; w++) {
		for (uint64_t marks = h->marks[w]; marks; marks &= marks - 1) {
			uint64_t granule = w * 64 + (unsigned)__builtin_ctzll(marks);
			if (!mark_fields(k, (uint32_t)(HEAP_FIRST + granule * HEAP_GRANULE)) || !drain(k))
				return false;
		}
		if (!worked(k, 1))
			return false;
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
			if (i->elem_refs[e] && !mark_refs(k, i->elem_refs[e], m->elems[e].count))
				return false;
		if (!worked(k, 1 + m->nglobals + m->nelems))
			return false;
	}
	for (const struct vm_global *g = st->globals; g; g = g->next)
		if (wasm_valtype_is_object(g->m, g->type.type))
			mark(k, *(const uint32_t *)g->cell);
	for (const struct vm_table *t = st->tables; t; t = t->next)
		if (wasm_valtype_is_object(t->m, t->type.elem) && !mark_refs(k, t->abi.elems, t->abi.length))
			return false;
	for (const struct vm__root *r = k->heap->roots; r; r = r->next)
		if (!mark_refs(k, r->refs, r->n))
			return false;
	return true;
}

// ---- stacks ----------------------------------------------------------------------------------------------------------
// Those of the store's among a stack's calls of host functions that have not returned.
static bool find_exits(struct marking *k, struct vm__exit *x)
{
	bool any = false;
	for (; x; x = x->outer) {
		if (x->store != k->store)
			continue;
		x->next_found = k->exits;
		k->exits = x;
		any = true;
	}
	return any;
}

// What runs, who waits for it on stacks below (at once: they go on while this gives way), and all that wait to be resumed. Guests of the store stand on what
// runs and where a call of a host function says so: of other stacks nothing is looked at.
static bool find_stacks(struct marking *k)
{
	struct vm_shard *s = k->store->shard;
	uintptr_t sp = (uintptr_t)__builtin_frame_address(0);
	bool any = true;
	find_exits(k, s->exits);
	for (const struct vm_fiber *f = s->current; f; f = f->resumer) {
		if (any)
			vm__exceptions_hold_stack(&k->look, sp, f->high);
		sp = (uintptr_t)f->resumer_sp;
		any = find_exits(k, f->resumer_exits);
	}
	if (any)
		vm__exceptions_hold_stack(&k->look, sp, s->thread_high);
	struct vm__fiber_walk w;
	vm__fiber_walk_begin(s, &w);
	for (const struct vm_fiber *f; !k->pace.stop && (f = vm__fiber_walk_next(&w));) {
		if ((f->state == VM_FIBER_PARKED || f->state == VM_FIBER_PREEMPTED) && find_exits(k, f->exits))
			worked(k, vm__exceptions_hold_stack(&k->look, (uintptr_t)f->sp, f->high));
		k->look.words += 8;
		worked(k, 8);
	}
	vm__fiber_walk_end(s, &w);
	return !k->pace.stop;
}

// The map of a frame that stands at this call: that of the frame before, most often. *ret_work: what it took to read, in references looked at.
static bool read_map(struct marking *k, const struct code_object *code, const void *call, uint32_t *ret_work)
{
	enum { BYTES_A_REFERENCE = 4 };
	struct vm__heap *h = k->heap;
	*ret_work = 0;
	if (h->map_pc == call)
		return true;
	h->map_pc = NULL;
	if (!code_object_map(code, call, &h->map)) {
		k->pace.stop = TRAP_OUT_OF_MEMORY;
		return false;
	}
	h->map_pc = call;
	*ret_work = h->map.read / BYTES_A_REFERENCE;
	return true;
}

// Guest frames from one that stands at a call up to where C code called. A function that calls itself has one map, most often; where it calls itself from many
// places each frame may take megabytes to read. Not instrumented: it reads others' frames.
NOINLINE static NO_SANITIZER bool mark_frames(struct marking *k, uintptr_t frame, uintptr_t pc)
{
	const struct code_map *map = &k->heap->map;
	for (;;) {
		const void *call = (const void *)(pc - 1);
		const struct code_object *code = code_find(call);
		struct code_frame f;
		uint32_t work;
		if (!code || !code_object_frame(code, call, &f))
			return true;
		if (!read_map(k, code, call, &work))
			return false;
		for (uint32_t i = 0; i < map->n; i++)
			mark(k, *((const uint32_t *)frame + 2 * (int64_t)map->places[i]));
		if (!worked(k, 16 + map->n + work))
			return false;
		pc = vm__return_of(pc - 1, frame, UINT64_MAX);
		frame = ((const uintptr_t *)frame)[0];
	}
}

NOINLINE static NO_SANITIZER bool mark_exits(struct marking *k)
{
	for (const struct vm__exit *x = k->exits; x; x = x->next_found) {
		// A tail call of the host function left the guest's return address behind its parameters.
		const uintptr_t *at = (const uintptr_t *)x->frame;
		uintptr_t pc = at[1] == (uintptr_t)vm__tail_return ? at[3 + x->cells] : at[1];
		if (!mark_frames(k, at[0], pc))
			return false;
	}
	return true;
}

// ---- all -------------------------------------------------------------------------------------------------------------
static bool mark_all(struct marking *k, bool idle, const struct vm__here *here)
{
	if (!vm__exceptions_look(&k->look) || (!idle && !find_stacks(k)))
		return false;
	for (const struct vm__flight *f = k->store->exceptions.flights; f; f = f->next)
		if (!mark_values(k, f->exception))
			return false;
	if (k->heap && (!mark_stored(k) || (here && here->frame && !mark_frames(k, here->frame, here->pc)) || !mark_exits(k)))
		return false;
	if (!drain(k))
		return false;
	while (k->overflows)
		if (!mark_again(k))
			return false;
	return true;
}

static bool clear_marks(struct marking *k)
{
	struct vm__heap *h = k->heap;
	enum { SOME = 64 };
	h->map_pc = NULL;
	h->live = 0;
	h->collected = true;
	for (uint32_t i = 0; i < h->nblocks; i += SOME) {
		memset(h->marks + (size_t)i * HEAP_MARK_WORDS, 0, (size_t)min_u64(SOME, h->nblocks - i) * HEAP_MARK_WORDS * 8);
		if (!worked(k, SOME * HEAP_MARK_WORDS / 4))
			return false;
	}
	return true;
}

static enum trap collect(struct vm_store *st, bool idle, const struct vm__here *here)
{
	struct vm__heap *h = st->heap;
	struct marking k = {.pace = {.shard = st->shard}, .look = {.store = st, .pace = &k.pace}, .store = st, .heap = h};
	if (h) {
		k.cap = (uint32_t)max_u64(LIST_LEAST, (uint64_t)h->used * HEAP_BLOCK / 64 / sizeof *k.list);
		k.list = mem_alloc(k.cap * sizeof *k.list);
		if (!k.list)
			return TRAP_OUT_OF_MEMORY;
		k.first = HEAP_FIRST;
		k.end = HEAP_FIRST + h->nblocks * HEAP_BLOCK;
		vm__heap_forget_room(h);
	}
	bool marked = (!h || clear_marks(&k)) && mark_all(&k, idle, here);
	mem_free(k.list);
	if (marked && vm__exceptions_sweep(&k.look, k.look.words + (h ? h->live / 4 + (uint64_t)h->nblocks * HEAP_MARK_WORDS : 0)) && (!h || vm__heap_sweep(st, &k.pace)))
		return TRAP_NONE;
	return k.pace.stop;
}

enum trap vm__collect(struct vm_store *st, const struct vm__here *here)
{
	return collect(st, false, here);
}

enum trap vm__collect_idle(struct vm_store *st)
{
	return collect(st, true, NULL);
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
	if (UNLIKELY(!vm__heap_find(st, size, false, ret))) {
		t = vm__collect(st, here);
		if (t)
			return t;
		if (!vm__heap_find(st, size, true, ret) || vm__heap_is_crowded(st))
			return TRAP_OUT_OF_MEMORY;
	}
	return UNLIKELY(size > HEAP_CELL_MAX) ? vm__heap_clear(st, size, *ret) : TRAP_NONE;
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
