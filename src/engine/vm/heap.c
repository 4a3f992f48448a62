// A store's heap of objects: where they lie, and how room is found. (collect.c frees, objects.c is what code calls.)
//
// 1. The heap is a span of address space: a page that nothing lies in (null), the types of objects, then blocks of 16 KiB. Objects never move. A reference
//    is an object's distance from the span's beginning, a multiple of 16.
// 2. A block is free, or holds cells of one size, or is part of an object that is larger than a cell may be. Cells that the last collection found nothing
//    in are taken in runs, in order of their addresses; each block is looked at once between two collections.
// 3. What has been taken is zero: a run is cleared when it is taken. Blocks that were never used, or were given back, are zero already.
// 4. Each block in use costs the store's account BLOCK_COST, which covers its record, marks and share of the collector's list.
// 5. A store without types of objects has none of this.
#include "heap_int.h"

#define TYPES_SIZE (64u << 20)
#define SPAN_MAX ((4ull << 30) - (1u << 20))
#define GROW_BLOCKS 64u      // that get accessible at a time
#define COLLECT_AT_LEAST 256u  // blocks
#define DISCARD_FROM 64u     // blocks of one object that are given back rather than cleared

static const uint16_t cell_sizes[HEAP_CLASSES] = {16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 1024, 1360, 1632, 2048,
	2720, 3264, 4096, 5456, 8192};

static unsigned class_of(uint32_t size)
{
	unsigned low = 0, high = HEAP_CLASSES - 1;
	while (low < high) {
		unsigned mid = (low + high) / 2;
		if (cell_sizes[mid] < size)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

uint32_t vm__cell_size(const struct vm__block *b)
{
	return cell_sizes[b->class];
}

// ---- begin and end ---------------------------------------------------------------------------------------------------
static bool reserve(struct vm__heap *h, uint64_t limit)
{
	// Twice what may be in use: objects of many blocks need some next to each other.
	uint64_t want = limit > SPAN_MAX / 2 ? SPAN_MAX : TYPES_SIZE + 2 * limit + 64 * HEAP_BLOCK;
	want = min_u64(align_up_u64(want, 1u << 20), SPAN_MAX);
	while (!(h->base = sys_reserve(want))) {
		want = (want / 2) & ~(uint64_t)((1u << 20) - 1);
		if (want < TYPES_SIZE + (1u << 20))
			return false;
	}
	h->reserved = want;
	h->max_blocks = (uint32_t)((want - TYPES_SIZE) / HEAP_BLOCK);
	return true;
}

bool vm__heap_new(struct vm_store *st, struct err *e)
{
	if (st->heap)
		return true;
	struct vm__heap *h = mem_zalloc(sizeof *h);
	if (!h)
		return err_nomem(e);
	if (!reserve(h, st->limits.memory)) {
		mem_free(h);
		return err_set(e, ERR_ENV, "no address space left for a heap of objects");
	}
	h->types_end = h->types_high = SYS_PAGE;
	h->trigger = COLLECT_AT_LEAST;
	st->heap = h;
	for (struct vm_instance *i = st->instances; i; i = i->next)
		i->ctx->heap = h->base;
	return true;
}

void vm__heap_free(struct vm_store *st)
{
	struct vm__heap *h = st->heap;
	if (!h)
		return;
	sys_unmap(h->base, h->reserved);
	mem_free(h->blocks);
	mem_free(h->marks);
	mem_free(h->map.places);
	map_release(&h->types);
	mem_free(h);
	st->heap = NULL;
}

// ---- types -----------------------------------------------------------------------------------------------------------
static bool types_room(struct vm_store *st, uint32_t size, uint32_t *ret)
{
	struct vm__heap *h = st->heap;
	uint64_t end = (uint64_t)h->types_end + size, high = align_up_u64(end, 1u << 16);
	if (end > TYPES_SIZE || !vm__charge(st, size))
		return false;
	if (end > h->types_high) {
		if (sys_protect(h->base + h->types_high, high - h->types_high, true)) {
			vm__uncharge(st, size);
			return false;
		}
		h->types_high = (uint32_t)high;
	}
	*ret = h->types_end;
	h->types_end = (uint32_t)end;
	return true;
}

static bool is_exn(struct wasm_valtype t)
{
	return t.kind == WASM_REF && (t.heap == WASM_HEAP_EXN || t.heap == WASM_HEAP_NOEXN);
}

static bool list_refs(struct vm_store *st, const struct wasm_type *t, struct abi_object_type *to)
{
	uint32_t *refs = ARENA_ARRAY(&st->arena, uint32_t, t->nfields);
	if (!refs)
		return false;
	for (uint32_t i = 0; i < t->nfields; i++)
		if (wasm_valtype_is_object(NULL, t->fields[i].type))
			refs[to->nrefs++] = t->fields[i].offset;
	for (uint32_t i = 0; i < t->nfields; i++)
		if (is_exn(t->fields[i].type))
			refs[to->nrefs + to->nexns++] = t->fields[i].offset;
	to->refs = refs;
	return true;
}

static bool add_type(struct vm_store *st, const struct wasm_type *t, uint32_t *ret)
{
	struct vm__heap *h = st->heap;
	uint32_t n = t->depth + 1u > ABI_DISPLAY ? t->depth + 1u : ABI_DISPLAY;
	if (!types_room(st, (uint32_t)align_up_u64(sizeof(struct abi_object_type) + 4 * n, 16), ret))
		return false;
	struct abi_object_type *to = (struct abi_object_type *)(h->base + *ret);
	*to = (struct abi_object_type){.id = t->id, .form = t->form, .depth = t->depth, .size = t->size};
	if (t->form == WASM_FORM_ARRAY) {
		to->elem_size = t->fields[0].size;
		to->elem = wasm_valtype_is_object(NULL, t->fields[0].type) ? HEAP_OBJECTS : is_exn(t->fields[0].type) ? HEAP_EXCEPTIONS
																											  : HEAP_BITS;
	} else if (!list_refs(st, t, to)) {
		return false;
	}
	// Those above it were added before.
	for (uint32_t d = 0; d < t->depth; d++) {
		uintptr_t place = 0;
		map_get(&h->types, slice_of(&t->display[d], sizeof *t->display), &place);
		to->display[d] = (uint32_t)place;
	}
	to->display[t->depth] = *ret;
	return true;
}

static bool type_place(struct vm_store *st, uint32_t id, uint32_t *ret)
{
	const struct wasm_type *t = wasm_interned_type(id);
	for (uint32_t d = 0; d <= t->depth; d++) {
		struct slice key = slice_of(&t->display[d], sizeof *t->display);
		uintptr_t found;
		bool nomem;
		if (map_get(&st->heap->types, key, &found)) {
			*ret = (uint32_t)found;
			continue;
		}
		if (!add_type(st, wasm_interned_type(t->display[d]), ret) || !map_insert(&st->heap->types, key, *ret, &nomem))
			return false;
	}
	return true;
}

bool vm__heap_add_types(struct vm_instance *inst, struct err *e)
{
	struct vm_store *st = inst->store;
	const struct wasm_module *m = inst->mod->m;
	uint32_t *places = NULL;
	for (uint32_t i = 0; i < m->ntypes; i++) {
		if (m->types[i].form == WASM_FORM_FUNC)
			continue;
		if (!places && (!(places = ARENA_ARRAY(&st->arena, uint32_t, m->ntypes)) || !vm__heap_new(st, e)))
			return places ? false : err_nomem(e);
		if (!type_place(st, m->types[i].id, &places[i]))
			return err_set(e, ERR_LIMIT, "memory limit exceeded: the types of the module's objects do not fit");
	}
	inst->ctx->object_types = places;
	inst->ctx->heap = st->heap ? st->heap->base : NULL;
	return true;
}

// ---- blocks ----------------------------------------------------------------------------------------------------------
static bool grow(struct vm__heap *h, uint32_t n)
{
	uint32_t more = (uint32_t)align_up_u64(n, GROW_BLOCKS), to = h->nblocks + more;
	if (more > h->max_blocks - h->nblocks)
		return false;
	if (to > h->cap_blocks) {
		uint32_t cap = (uint32_t)max_u64(to, 2ull * h->cap_blocks);
		struct vm__block *blocks = mem_realloc(h->blocks, cap * sizeof *blocks);
		if (!blocks)
			return false;
		h->blocks = blocks;
		uint64_t *marks = mem_realloc(h->marks, (size_t)cap * HEAP_MARK_WORDS * 8);
		if (!marks)
			return false;
		h->marks = marks;
		h->cap_blocks = cap;
	}
	if (sys_protect(vm__block_at(h, h->nblocks), (uint64_t)more * HEAP_BLOCK, true))
		return false;
	memset(h->blocks + h->nblocks, 0, more * sizeof *h->blocks);
	memset(h->marks + (size_t)h->nblocks * HEAP_MARK_WORDS, 0, (size_t)more * HEAP_MARK_WORDS * 8);
	for (uint32_t i = h->nblocks; i < to; i++)
		h->blocks[i].zero = true;
	h->nblocks = to;
	return true;
}

// n free ones next to each other, from where the last were found on.
static bool find_free(struct vm__heap *h, uint32_t n, uint32_t *ret)
{
	for (unsigned pass = 0; pass < 2; pass++) {
		uint32_t from = pass ? 0 : h->look_at, run = 0;
		for (uint32_t i = from; i < h->nblocks; i++) {
			run = h->blocks[i].kind == BLOCK_FREE ? run + 1 : 0;
			if (run == n) {
				*ret = i + 1 - n;
				h->look_at = i + 1;
				return true;
			}
		}
		if (!from)
			break;
	}
	return false;
}

enum found { FOUND, FULL };
// FULL: the account, the address space, or the time to collect, says no. `forced`: the time doesn't matter.
static enum found take_blocks(struct vm_store *st, uint32_t n, bool forced, uint32_t *ret)
{
	struct vm__heap *h = st->heap;
	if (!forced && n > h->trigger - min_u64(h->used, h->trigger))
		return FULL;
	if (!vm__charge(st, (uint64_t)n * HEAP_BLOCK_COST))
		return FULL;
	if (h->nblocks - h->used >= n && find_free(h, n, ret)) {
		h->used += n;
		return FOUND;
	}
	*ret = h->nblocks;
	if (!grow(h, n)) {
		vm__uncharge(st, (uint64_t)n * HEAP_BLOCK_COST);
		return FULL;
	}
	h->used += n;
	return FOUND;
}

static void clear(uint8_t *at, uint64_t size, bool is_zero)
{
	if (!is_zero)
		memset(at, 0, size);
}

// ---- cells -----------------------------------------------------------------------------------------------------------
static bool is_marked(const struct vm__heap *h, uint32_t place)
{
	uint32_t bit = vm__mark_of(place);
	return h->marks[bit / 64] >> (bit % 64) & 1;
}

// The next run of free cells of the class's block, from the last one's end on.
static bool next_run(struct vm__heap *h, unsigned class)
{
	struct vm__run *r = &h->runs[class];
	if (!r->block_end)
		return false;
	uint32_t size = cell_sizes[class], at = r->end;
	while (at + size <= r->block_end && is_marked(h, at))
		at += size;
	uint32_t end = at;
	while (end + size <= r->block_end && !is_marked(h, end))
		end += size;
	r->at = at;
	r->end = end;
	if (at == end) {
		r->block_end = 0;
		return false;
	}
	clear(h->base + at, end - at, r->is_zero);
	return true;
}

static void enter_block(struct vm__heap *h, unsigned class, uint32_t i, bool is_zero)
{
	uint32_t place = (uint32_t)(vm__block_at(h, i) - h->base);
	h->runs[class] = (struct vm__run){.at = place, .end = place, .block_end = place + HEAP_BLOCK, .is_zero = is_zero};
}

static enum found small(struct vm_store *st, unsigned class, bool forced, uint32_t *ret)
{
	struct vm__heap *h = st->heap;
	struct vm__run *r = &h->runs[class];
	while (r->at == r->end && !next_run(h, class)) {
		if (h->partial[class]) {
			uint32_t i = h->partial[class] - 1;
			h->partial[class] = h->blocks[i].next;
			enter_block(h, class, i, false);
			continue;
		}
		uint32_t i;
		enum found f = take_blocks(st, 1, forced, &i);
		if (f)
			return f;
		enter_block(h, class, i, h->blocks[i].zero);
		h->blocks[i] = (struct vm__block){.kind = BLOCK_CELLS, .class = (uint8_t)class};
	}
	*ret = r->at;
	r->at += cell_sizes[class];
	return FOUND;
}

static enum found large(struct vm_store *st, uint64_t size, bool forced, uint32_t *ret)
{
	struct vm__heap *h = st->heap;
	uint32_t n = (uint32_t)((size + HEAP_BLOCK - 1) / HEAP_BLOCK), first;
	enum found f = take_blocks(st, n, forced, &first);
	if (f)
		return f;
	uint8_t *at = vm__block_at(h, first);
	bool discarded = n >= DISCARD_FROM && sys_discard(at, (uint64_t)n * HEAP_BLOCK) == 0;
	for (uint32_t i = 0; i < n; i++) {
		clear(at + (uint64_t)i * HEAP_BLOCK, HEAP_BLOCK, discarded || h->blocks[first + i].zero);
		h->blocks[first + i] = (struct vm__block){.kind = i ? BLOCK_REST : BLOCK_LARGE};
	}
	h->blocks[first].n = n;
	*ret = (uint32_t)(at - h->base);
	return FOUND;
}

static enum found find_room(struct vm_store *st, uint64_t size, bool forced, uint32_t *ret)
{
	if (size <= cell_sizes[HEAP_CLASSES - 1])
		return small(st, class_of((uint32_t)size), forced, ret);
	return large(st, size, forced, ret);
}

bool vm__heap_find(struct vm_store *st, uint64_t size, bool forced, uint32_t *ret)
{
	return size <= (uint64_t)st->heap->max_blocks * HEAP_BLOCK && find_room(st, size, forced, ret) == FOUND;
}

// A limit that is nearly all live would be collected for each few objects.
bool vm__heap_is_crowded(const struct vm_store *st)
{
	uint64_t used = (uint64_t)st->heap->used * HEAP_BLOCK;
	return st->account.limit - min_u64(st->account.used, st->account.limit) < HEAP_BLOCK_COST && st->heap->live > used - used / 64;
}

// ---- after a collection ----------------------------------------------------------------------------------------------
static bool has_marks(const struct vm__heap *h, uint32_t block)
{
	const uint64_t *w = h->marks + (size_t)block * HEAP_MARK_WORDS;
	uint64_t any = 0;
	for (unsigned i = 0; i < HEAP_MARK_WORDS; i++)
		any |= w[i];
	return any;
}

static void free_block(struct vm_store *st, uint32_t i)
{
	st->heap->blocks[i] = (struct vm__block){.kind = BLOCK_FREE};
	st->heap->used--;
	vm__uncharge(st, HEAP_BLOCK_COST);
}

// Free blocks beyond so many, which are likely to be used soon, give their pages back.
static void give_back(struct vm__heap *h, uint64_t keep)
{
	for (uint32_t i = 0; i < h->nblocks;) {
		if (h->blocks[i].kind != BLOCK_FREE || h->blocks[i].zero || keep) {
			keep -= keep && h->blocks[i].kind == BLOCK_FREE && !h->blocks[i].zero;
			i++;
			continue;
		}
		uint32_t first = i;
		while (i < h->nblocks && h->blocks[i].kind == BLOCK_FREE && !h->blocks[i].zero)
			i++;
		if (sys_discard(vm__block_at(h, first), (uint64_t)(i - first) * HEAP_BLOCK))
			return;
		for (uint32_t k = first; k < i; k++)
			h->blocks[k].zero = true;
	}
}

// Blocks of cells that the marks leave room in are to be looked at, in order.
static void list_partial(struct vm__heap *h)
{
	memset(h->runs, 0, sizeof h->runs);
	memset(h->partial, 0, sizeof h->partial);
	for (uint32_t i = h->nblocks; i--;) {
		struct vm__block *b = &h->blocks[i];
		if (b->kind != BLOCK_CELLS)
			continue;
		b->next = h->partial[b->class];
		h->partial[b->class] = i + 1;
	}
}

void vm__heap_forget_room(struct vm__heap *h)
{
	memset(h->runs, 0, sizeof h->runs);
	memset(h->partial, 0, sizeof h->partial);
}

void vm__heap_sweep(struct vm_store *st)
{
	struct vm__heap *h = st->heap;
	for (uint32_t i = 0; i < h->nblocks;) {
		struct vm__block *b = &h->blocks[i];
		uint32_t n = b->kind == BLOCK_LARGE ? b->n : 1;
		bool goes = b->kind != BLOCK_FREE && !has_marks(h, i);
		for (uint32_t k = 0; goes && k < n; k++)
			free_block(st, i + k);
		i += n;
	}
	h->look_at = 0;
	list_partial(h);
	give_back(h, (uint64_t)h->used + COLLECT_AT_LEAST);
	h->trigger = (uint32_t)max_u64(COLLECT_AT_LEAST, min_u64(2ull * h->used, UINT32_MAX));
	h->collections++;
}

// ---- reset, images ----------------------------------------------------------------------------------------------------
static void empty(struct vm_store *st)
{
	struct vm__heap *h = st->heap;
	for (uint32_t i = 0; i < h->nblocks; i++) {
		h->blocks[i].zero &= h->blocks[i].kind == BLOCK_FREE;
		h->blocks[i].kind = BLOCK_FREE;
	}
	if (h->nblocks)
		memset(h->marks, 0, (size_t)h->nblocks * HEAP_MARK_WORDS * 8);
	h->used = 0;
	h->live = 0;
	h->look_at = 0;
	h->trigger = COLLECT_AT_LEAST;
	list_partial(h);
	give_back(h, COLLECT_AT_LEAST);
}

void vm__heap_trim(struct vm_store *st)
{
	give_back(st->heap, 0);
}

bool vm__heap_load(struct vm_store *st, const struct vm__image_heap *from)
{
	struct vm__heap *h = st->heap;
	if (!h)
		return !from->nblocks;
	empty(st);
	if (h->nblocks < from->nblocks && !grow(h, from->nblocks - h->nblocks))
		return false;
	const uint8_t *bytes = from->bytes;
	for (uint32_t i = 0; i < from->nblocks; i++) {
		if (from->blocks[i].kind == BLOCK_FREE)
			continue;
		h->blocks[i] = from->blocks[i];
		memcpy(h->marks + (size_t)i * HEAP_MARK_WORDS, from->marks + (size_t)i * HEAP_MARK_WORDS, HEAP_MARK_WORDS * 8);
		memcpy(vm__block_at(h, i), bytes, HEAP_BLOCK);
		bytes += HEAP_BLOCK;
		h->used++;
	}
	h->live = from->live;
	h->trigger = (uint32_t)max_u64(COLLECT_AT_LEAST, 2ull * h->used);
	list_partial(h);
	return true;
}

// Behind a collection.
bool vm__heap_capture(struct vm_store *st, struct arena *a, struct vm__image_heap *to)
{
	struct vm__heap *h = st->heap;
	if (!h)
		return true;
	to->types_end = h->types_end;
	to->live = h->live;
	for (uint32_t i = 0; i < h->nblocks; i++)
		to->nblocks = h->blocks[i].kind == BLOCK_FREE ? to->nblocks : i + 1;
	to->blocks = arena_copy(a, h->blocks ? h->blocks : (const void *)"", to->nblocks * sizeof *to->blocks, 8);
	to->marks = arena_copy(a, h->marks ? h->marks : (const void *)"", (size_t)to->nblocks * HEAP_MARK_WORDS * 8, 8);
	uint8_t *bytes = arena_alloc(a, (size_t)h->used * HEAP_BLOCK + 1, 64);
	to->bytes = bytes;
	if (!to->blocks || !to->marks || !bytes)
		return false;
	for (uint32_t i = 0; i < to->nblocks; i++) {
		if (h->blocks[i].kind == BLOCK_FREE)
			continue;
		memcpy(bytes, vm__block_at(h, i), HEAP_BLOCK);
		bytes += HEAP_BLOCK;
	}
	return true;
}
