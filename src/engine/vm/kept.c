// Exceptions that a reference was made to (exnref), and who holds what.
//
// 1. An exnref is EXN_MARK with a number in the store's list: a pattern that few other words have. Who may hold one: globals and tables of such a type,
//    exceptions, objects, stacks. Stacks are looked at word by word: each on which guests of the store stand, as far as it is used, with all registers that
//    were saved there.
//    A word that only looks like a reference keeps an exception alive, nothing else. No reference is pinned to a register that is preserved (L52).
// 2. Looking for what nobody holds any more happens when there are twice as many as it left the last time, and at least one for each WORDS_A_REFERENCE words
//    that it looked at then, or that objects have: amortised, it costs each no more than those, however deep stacks are, however long tables and the list itself,
//    and however many globals, fibers and objects there are.
//    What is kept is charged to the store's account.
#include "heap_int.h"

#define EXN_MARK 0x5e000000u
enum { MAX_KEPT = 1 << 24, COLLECT_AT = 256, WORDS_A_REFERENCE = 64 };

// With its place in the list.
static uint64_t size_of(const struct vm__exception *e)
{
	return sizeof *e + sizeof(struct vm__exception_slot) + 8ull * e->tag->cells;
}

uint32_t vm__exception_ref(const struct vm__exception *e)
{
	return EXN_MARK | e->number;
}

struct vm__exception *vm__exception_find(const struct vm_store *st, uint32_t ref)
{
	uint32_t number = ref & (MAX_KEPT - 1);
	return (ref & ~(MAX_KEPT - 1u)) == EXN_MARK && number < st->exceptions.len ? st->exceptions.list[number].exception : NULL;
}

// ---- who holds what -----------------------------------------------------------------------------------------------
void vm__exception_hold(struct vm__look *l, uint32_t ref)
{
	struct vm__exception *e = vm__exception_find(l->store, ref);
	if (!e || e->held == l->store->exceptions.looks)
		return;
	e->held = l->store->exceptions.looks;
	e->next = l->todo;
	l->todo = e;
}

bool vm__exceptions_hold(struct vm__look *l, const uint32_t *refs, uint64_t n)
{
	for (const uint32_t *end = refs + n; refs < end;) {
		uint32_t some = (uint32_t)min_u64((uint64_t)(end - refs), VM__PACE);
		for (const uint32_t *to = refs + some; refs < to; refs++)
			vm__exception_hold(l, *refs);
		if (!vm__worked(l->pace, some))
			return false;
	}
	return true;
}

// Not inlined: it would be instrumented there.
NOINLINE NO_SANITIZER uint32_t vm__exceptions_hold_stack(struct vm__look *l, uintptr_t low, uintptr_t high)
{
	if (!l->store->exceptions.kept)
		return 0;
	uint64_t n = (high - low) / 4;
	l->words += n;
	for (const uint32_t *p = (const uint32_t *)(low & ~(uintptr_t)3); (uintptr_t)(p + 1) <= high; p++)
		if (UNLIKELY((*p & ~(MAX_KEPT - 1u)) == EXN_MARK))
			vm__exception_hold(l, *p);
	return (uint32_t)n / 8;
}

static bool is_exnref(struct wasm_valtype t)
{
	return t.kind == WASM_REF && t.heap == WASM_HEAP_EXN;
}

static bool hold_stored(struct vm__look *l)
{
	const struct vm_store *st = l->store;
	for (const struct vm_instance *i = st->instances; i; i = i->next) {
		const struct wasm_module *m = i->mod->m;
		for (uint32_t k = m->nimported_globals; k < m->nglobals; k++)
			if (is_exnref(m->globals[k].type.type))
				vm__exception_hold(l, *(const uint32_t *)i->globals[k]->cell);
		l->words += 1 + m->nglobals;
		if (!vm__worked(l->pace, 1 + m->nglobals))
			return false;
	}
	for (const struct vm_global *g = st->globals; g; g = g->next, l->words++)
		if (is_exnref(g->type.type))
			vm__exception_hold(l, *(const uint32_t *)g->cell);
	for (const struct vm_table *t = st->tables; t; t = t->next) {
		if (!is_exnref(t->type.elem))
			continue;
		l->words += t->abi.length;
		if (!vm__exceptions_hold(l, t->abi.elems, t->abi.length))
			return false;
	}
	return true;
}

static void drop(struct vm_store *st, struct vm__exception *e)
{
	struct vm__exceptions *x = &st->exceptions;
	x->list[e->number] = (struct vm__exception_slot){.next_free = x->free};
	x->free = e->number;
	x->kept--;
	account_uncharge(&st->account, size_of(e));
	mem_free(e);
}

bool vm__exceptions_look(struct vm__look *l)
{
	struct vm__exceptions *x = &l->store->exceptions;
	x->looks++;
	for (const struct vm__flight *f = x->flights; f; f = f->next)
		if (f->exception->number)
			vm__exception_hold(l, vm__exception_ref(f->exception));
	return !x->kept || hold_stored(l);
}

bool vm__exceptions_sweep(struct vm__look *l, uint64_t words)
{
	struct vm_store *st = l->store;
	struct vm__exceptions *x = &st->exceptions;
	for (uint32_t i = 1; i < x->len && x->kept; i++) {
		if (x->list[i].exception && x->list[i].exception->held != x->looks)
			drop(st, x->list[i].exception);
		if (!vm__worked(l->pace, 4))
			return false;
	}
	x->collect_at = max_u64(COLLECT_AT, x->kept + max_u64(x->kept, (words + x->len) / WORDS_A_REFERENCE));
	return true;
}

bool vm__exceptions_are_many(const struct vm_store *st)
{
	const struct vm__exceptions *x = &st->exceptions;
	return x->kept >= min_u64(max_u64(x->collect_at, COLLECT_AT), MAX_KEPT - 1);
}

static bool grow(struct vm__exceptions *x)
{
	uint32_t cap = x->cap ? x->cap * 2 : 64;
	if (cap > MAX_KEPT)
		return false;
	struct vm__exception_slot *list = mem_realloc(x->list, sizeof *list * cap);
	if (!list)
		return false;
	list[0] = (struct vm__exception_slot){0};
	x->len = x->len ? x->len : 1;
	x->list = list;
	x->cap = cap;
	return true;
}

bool vm__exception_keep(struct vm_store *st, struct vm__exception *e)
{
	struct vm__exceptions *x = &st->exceptions;
	if (x->kept >= MAX_KEPT - 1 || !account_charge(&st->account, size_of(e)))
		return false;
	if (!x->free && x->len >= x->cap && !grow(x)) {
		account_uncharge(&st->account, size_of(e));
		return false;
	}
	uint32_t number = x->free ? x->free : x->len++;
	x->free = x->free == number ? x->list[number].next_free : x->free;
	x->list[number] = (struct vm__exception_slot){.exception = e};
	x->kept++;
	e->number = number;
	return true;
}

void vm__exceptions_clear(struct vm_store *st)
{
	struct vm__exceptions *x = &st->exceptions;
	for (uint32_t i = 1; i < x->len && x->kept; i++)
		if (x->list[i].exception)
			drop(st, x->list[i].exception);
	mem_free(x->list);
	*x = (struct vm__exceptions){0};
}
