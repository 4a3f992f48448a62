// Exceptions: made by throw, taken to a handler by a walk over the frames of one entry. (kept.c: those that a reference was made to.)
//
// 1. Most are caught by their tag and gone: they get a number in the store's list only where a clause gives a reference (exnref).
// 2. A handler belongs to the entry that the walk began in: what C called is never passed by. Beyond it the exception is a trap (TRAP_EXCEPTION).
#include "heap_int.h"

bool vm_tag_new(struct vm_store *st, uint32_t type_id, const struct vm_tag **ret, struct err *e)
{
	struct vm_tag *t = ARENA_NEW(&st->arena, struct vm_tag);
	if (!t)
		return err_nomem(e);
	*t = (struct vm_tag){.type_id = type_id, .type = wasm_interned_func_type(type_id)};
	for (uint32_t i = 0; i < t->type->nparams; i++)
		t->cells += abi_cells(t->type->params[i].kind);
	*ret = t;
	return true;
}

// ---- the walk -----------------------------------------------------------------------------------------------------
static uint64_t *saved_in(uint64_t frame, uint32_t word)
{
	return (uint64_t *)frame - __builtin_popcount(word & CODE_FRAME_SAVED);
}

// The caller's preserved registers, as they were when it called this frame's function.
static void leave_frame(struct vm__unwind *u, uint32_t word, uint64_t high)
{
	const uint64_t *at = (const uint64_t *)u->frame;
	u->pc = vm__return_of(u->pc - 1, u->frame, high);
	u->frame = at[0];
	for (unsigned i = 0; i < ARRAY_LEN(u->saved); i++)
		if (word >> i & 1)
			u->saved[i] = *--at;
}

// The clause of the frame that takes the exception, or NULL.
static const uint32_t *clause_for(const struct code_frame *f, const struct vm_instance *inst, const struct vm__exception *e)
{
	const uint32_t *clauses;
	uint32_t n;
	for (uint32_t region = code_frame_region(f); region;) {
		region = code_frame_clauses(f, region, &clauses, &n);
		for (; n; n--, clauses += 3)
			if (!wasm_catch_has_tag(clauses[0]) || inst->tags[clauses[1]] == e->tag)
				return clauses;
	}
	return NULL;
}

// Goes up to the frame that handles it. Before each a turn may end: a loop of exceptions need not enter a function. *ret_kind is the clause's.
static enum trap walk(struct vm_shard *s, const struct vm__exception *e, struct vm__unwind *u, uint32_t *ret_kind)
{
	uintptr_t low, high;
	struct code_frame f;
	vm__stack_bounds(s, &low, &high);
	while (u->frame >= low && u->frame % 8 == 0 && u->frame + 16 <= high) {
		if (UNLIKELY(__atomic_load_n(&s->exec.interrupt, __ATOMIC_RELAXED))) {
			enum trap end = vm__fiber_give_way(s);
			if (end)
				return end;
		}
		const void *pc = (const void *)(uintptr_t)(u->pc - 1);
		const struct code_object *code = code_find(pc);
		if (!code || !code_object_frame(code, pc, &f))
			return TRAP_EXCEPTION;
		struct abi_vmctx *ctx = f.nclauses ? (struct abi_vmctx *)(uintptr_t)saved_in(u->frame, f.frame)[-1] : NULL;
		const uint32_t *clause = ctx ? clause_for(&f, ctx->instance, e) : NULL;
		if (clause) {
			u->ctx = ctx;
			u->sp = u->frame - code_frame_size(f.frame);
			u->pc = (uintptr_t)f.text + clause[2];
			*ret_kind = clause[0];
			return TRAP_NONE;
		}
		leave_frame(u, f.frame, high);
	}
	return TRAP_EXCEPTION;
}

// A reference to it.
static enum trap refer(struct vm_store *st, struct vm__exception **e, const struct vm__here *here, uint64_t *ret)
{
	enum trap t = TRAP_NONE;
	if (!(*e)->number) {
		if (vm__exceptions_are_many(st))
			t = vm__collect(st, here);
		if (!t && !vm__exception_keep(st, e)) {
			t = vm__collect(st, here);
			if (!t && !vm__exception_keep(st, e))
				t = TRAP_OUT_OF_MEMORY;
		}
	}
	*ret = t ? 0 : vm__exception_ref(*e);
	return t;
}

static enum trap fly(struct vm_store *st, struct vm__exception *e, struct vm__unwind *u)
{
	struct vm__here here = {.frame = u->frame, .pc = u->pc};
	struct vm__exceptions *x = &st->exceptions;
	struct vm__flight flight = {.exception = e, .next = x->flights}, **at = &x->flights;
	uint32_t kind = 0;
	x->flights = &flight;
	enum trap t = walk(st->shard, e, u, &kind);
	u->exception = 0;
	if (!t && wasm_catch_gives_ref(kind))
		t = refer(st, &e, &here, &u->exception);
	while (*at != &flight)
		at = &(*at)->next;
	*at = flight.next;
	if (!t && wasm_catch_has_tag(kind))
		memcpy((void *)(uintptr_t)u->sp, e->cells, 8ull * e->tag->cells);
	if (!e->number)
		mem_free(e);
	return t;
}

uint32_t vm__throw(struct abi_vmctx *ctx, uint32_t tag, const uint64_t *cells, struct vm__unwind *u)
{
	const struct vm_instance *inst = ctx->instance;
	const struct vm_tag *t = inst->tags[tag];
	struct vm__exception *e = mem_alloc(sizeof *e + 8ull * t->cells);
	if (!e)
		return TRAP_OUT_OF_MEMORY;
	*e = (struct vm__exception){.tag = t, .cells = (uint64_t *)(e + 1)};
	memcpy(e->cells, cells, 8ull * t->cells);
	return fly(inst->store, e, u);
}

uint32_t vm__throw_ref(struct abi_vmctx *ctx, uint32_t ref, uint64_t unused UNUSED, struct vm__unwind *u)
{
	const struct vm_instance *inst = ctx->instance;
	struct vm__exception *e = ref ? vm__exception_find(inst->store, ref) : NULL;
	return e ? fly(inst->store, e, u) : TRAP_NULL_REFERENCE;
}
