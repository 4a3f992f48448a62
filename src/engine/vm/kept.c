// Exceptions that a reference was made to (exnref), and who holds what.
//
// 1. An exnref is EXN_MARK with a number in the store's list: a pattern that few other words have. Who may hold one: globals and tables of such a type,
//    exceptions, objects, stacks. Stacks are looked at word by word: each on which guests of the store stand, as far as it is used, with all registers that
//    were saved there.
//    A word that only looks like a reference keeps an exception alive, nothing else. No reference is pinned to a register that is preserved (L52).
// 2. Looking for what nobody holds any more happens when there are twice as many as it left the last time, and at least one for each WORDS_A_REFERENCE words
//    that it looked at then, or that objects have: amortised, it costs each no more than those, however deep stacks are, however long tables and the list itself,
//    and however many globals, fibers and objects there are.
// 3. What is kept lies in chunks of PLACES, with values of up to FEW cells: a reset frees those, and not each exception. Chunks are charged to the store's
//    account, and go when a look leaves nothing in them.
#include "heap_int.h"

#define EXN_MARK 0x5e000000u
enum { MAX_KEPT = 1 << 24, COLLECT_AT = 256, WORDS_A_REFERENCE = 64, PLACES = 128, FEW = 12 };

struct place {
	struct vm__exception e;  // number: of a free place, the next one
	union {
		uint64_t few[FEW];
		struct vm__exception *thrown;  // whose cells are more
	};
};
struct vm__exception_chunk {
	uint32_t n_large;  // that have more than FEW cells
	struct place places[PLACES];
};

static uint64_t size_of_large(const struct vm__exception *e)
{
	return sizeof *e + 8ull * e->tag->cells;
}

uint32_t vm__exception_ref(const struct vm__exception *e)
{
	return EXN_MARK | e->number;
}

struct vm__exception *vm__exception_find(const struct vm_store *st, uint32_t ref)
{
	const struct vm__exceptions *x = &st->exceptions;
	uint32_t number = ref & (MAX_KEPT - 1), c = number / PLACES;
	if ((ref & ~(MAX_KEPT - 1u)) != EXN_MARK || c >= x->n_chunks || !x->chunks[c])
		return NULL;
	struct vm__exception *e = &x->chunks[c]->places[number % PLACES].e;
	return e->tag ? e : NULL;
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

bool vm__exceptions_look(struct vm__look *l)
{
	struct vm__exceptions *x = &l->store->exceptions;
	x->looks++;
	for (const struct vm__flight *f = x->flights; f; f = f->next)
		if (f->exception->number)
			vm__exception_hold(l, vm__exception_ref(f->exception));
	return !x->kept || hold_stored(l);
}

// The place is to be linked among those that are free.
static void drop(struct vm_store *st, struct vm__exception_chunk *k, struct place *p)
{
	if (p->e.tag->cells > FEW) {
		account_uncharge(&st->account, size_of_large(p->thrown));
		mem_free(p->thrown);
		k->n_large--;
	}
	p->e = (struct vm__exception){0};
	st->exceptions.kept--;
}

static void free_chunk(struct vm_store *st, uint32_t c)
{
	account_uncharge(&st->account, sizeof(struct vm__exception_chunk));
	mem_free(st->exceptions.chunks[c]);
	st->exceptions.chunks[c] = NULL;
}

// Of those that hold nothing, but the first of all, which is nobody's.
static void link_places(struct vm__exceptions *x, uint32_t c)
{
	for (uint32_t i = PLACES; i-- > !c;) {
		struct place *p = &x->chunks[c]->places[i];
		if (p->e.tag)
			continue;
		p->e.number = x->free;
		x->free = c * PLACES + i;
	}
}

static void sweep_chunk(struct vm_store *st, uint32_t c)
{
	struct vm__exceptions *x = &st->exceptions;
	struct vm__exception_chunk *k = x->chunks[c];
	uint32_t live = 0;
	for (struct place *p = k->places; p < k->places + PLACES; p++) {
		if (p->e.tag && p->e.held != x->looks)
			drop(st, k, p);
		live += p->e.tag != NULL;
	}
	if (live)
		link_places(x, c);
	else
		free_chunk(st, c);
}

bool vm__exceptions_sweep(struct vm__look *l, uint64_t words)
{
	struct vm__exceptions *x = &l->store->exceptions;
	x->free = x->hole = 0;
	for (uint32_t c = x->n_chunks; c--;) {
		if (!x->chunks[c])
			continue;
		sweep_chunk(l->store, c);
		if (!vm__worked(l->pace, 4 * PLACES))
			return false;
	}
	x->collect_at = max_u64(COLLECT_AT, x->kept + max_u64(x->kept, (words + (uint64_t)x->n_chunks * PLACES) / WORDS_A_REFERENCE));
	return true;
}

bool vm__exceptions_are_many(const struct vm_store *st)
{
	const struct vm__exceptions *x = &st->exceptions;
	return x->kept >= min_u64(max_u64(x->collect_at, COLLECT_AT), MAX_KEPT - 1);
}

// A chunk more, in the first hole.
static bool grow(struct vm_store *st)
{
	struct vm__exceptions *x = &st->exceptions;
	while (x->hole < x->n_chunks && x->chunks[x->hole])
		x->hole++;
	uint32_t c = x->hole;
	if (c == MAX_KEPT / PLACES)
		return false;
	if (c == x->cap_chunks) {
		uint32_t cap = c ? 2 * c : 16;
		struct vm__exception_chunk **chunks = mem_realloc(x->chunks, cap * sizeof(*chunks));
		if (!chunks)
			return false;
		x->chunks = chunks;
		x->cap_chunks = cap;
	}
	if (!account_charge(&st->account, sizeof **x->chunks))
		return false;
	x->chunks[c] = mem_zalloc(sizeof **x->chunks);
	x->n_chunks = (uint32_t)max_u64(x->n_chunks, c + 1ull);
	if (!x->chunks[c]) {
		account_uncharge(&st->account, sizeof **x->chunks);
		return false;
	}
	link_places(x, c);
	return true;
}

bool vm__exception_keep(struct vm_store *st, struct vm__exception **e)
{
	struct vm__exceptions *x = &st->exceptions;
	struct vm__exception *thrown = *e;
	bool is_large = thrown->tag->cells > FEW;
	if (is_large && !account_charge(&st->account, size_of_large(thrown)))
		return false;
	if (!x->free && !grow(st)) {
		if (is_large)
			account_uncharge(&st->account, size_of_large(thrown));
		return false;
	}
	uint32_t number = x->free;
	struct vm__exception_chunk *k = x->chunks[number / PLACES];
	struct place *p = &k->places[number % PLACES];
	x->free = p->e.number;
	p->e = (struct vm__exception){.tag = thrown->tag, .cells = is_large ? thrown->cells : p->few, .number = number};
	k->n_large += is_large;
	if (is_large) {
		p->thrown = thrown;
	} else {
		memcpy(p->few, thrown->cells, 8ull * thrown->tag->cells);
		mem_free(thrown);
	}
	x->kept++;
	*e = &p->e;
	return true;
}

void vm__exceptions_clear(struct vm_store *st)
{
	struct vm__exceptions *x = &st->exceptions;
	for (uint32_t c = 0; c < x->n_chunks; c++) {
		struct vm__exception_chunk *k = x->chunks[c];
		for (struct place *p = k ? k->places : NULL; k && k->n_large; p++)
			if (p->e.tag && p->e.tag->cells > FEW)
				drop(st, k, p);
		if (k)
			free_chunk(st, c);
	}
	mem_free(x->chunks);
	*x = (struct vm__exceptions){0};
}
