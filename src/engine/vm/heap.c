// A store's heap of objects: where they lie, and how room is found. (collect.c frees, objects.c is what code calls.)
//
// 1. The heap is a span of address space: a page that nothing lies in (null), the types of objects, then blocks of 16 KiB. Objects never move. A reference
//    is an object's distance from the span's beginning, a multiple of 16.
// 2. A block is free, or holds cells of one size, or is part of an object that is larger than a cell may be. Cells that the last collection found nothing
//    in are taken in runs, in order of their addresses, from a list of the blocks that have some.
// 3. What has been taken is zero: a run is cleared when it is taken. Blocks that were never used, or were given back, are zero already.
// 4. All blocks together are a memory of the store's, so that an image holds them and a reset restores them by the pages that were written (reset.c); beside
//    that it restores the records of blocks that were in use since, and marks if it was collected. Beyond the image all is zero then, and beyond what a call
//    takes before its first collection no page is private.
// 5. Each block in use costs the store's account BLOCK_COST, which covers its record, marks and share of the collector's list.
// 6. A store without types of objects has none of this.
#include "heap_int.h"

#define TYPES_SIZE (uint64_t)HEAP_FIRST
#define SPAN_MAX ((4ull << 30) - (1u << 20))
#define GROW_BLOCKS 64u      // that get accessible at a time
#define DISCARD_FROM 64u     // blocks of one object that are given back rather than cleared
#define PIECE_BLOCKS 64u     // that are given back or cleared before others get their turn

static const uint16_t cell_sizes[HEAP_CLASSES] = {16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 1024, 1360, 1632, 2048,
	2720, 3264, 4096, 5456, HEAP_CELL_MAX};

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
	h->max_blocks = (uint32_t)((want - TYPES_SIZE - SYS_PAGE) / HEAP_BLOCK);
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
	h->trigger = HEAP_COLLECT_AT;
	vm__memory_adopt(st, &h->area, h->base + TYPES_SIZE, h->reserved - TYPES_SIZE - SYS_PAGE);
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
	sys_unmap(h->base, TYPES_SIZE);  // the rest is a memory
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
static bool make_records(struct vm__heap *h, uint32_t n)
{
	if (n <= h->cap_blocks)
		return true;
	uint32_t cap = (uint32_t)max_u64(n, 2ull * h->cap_blocks);
	struct vm__block *blocks = mem_realloc(h->blocks, cap * sizeof *blocks);
	if (!blocks)
		return false;
	h->blocks = blocks;
	uint64_t *marks = mem_realloc(h->marks, (size_t)cap * HEAP_MARK_WORDS * 8);
	if (!marks)
		return false;
	h->marks = marks;
	h->cap_blocks = cap;
	return true;
}

// Records of free blocks that are zero.
static void clear_records(struct vm__heap *h, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++)
		h->blocks[i] = (struct vm__block){.zero = true};
}

static void clear_marks(struct vm__heap *h, uint32_t from, uint32_t to)
{
	if (from < to)
		memset(h->marks + (size_t)from * HEAP_MARK_WORDS, 0, (size_t)(to - from) * HEAP_MARK_WORDS * 8);
}

static bool grow(struct vm__heap *h, uint32_t n)
{
	uint32_t more = (uint32_t)align_up_u64(n, GROW_BLOCKS), to = h->nblocks + more;
	if (more > h->max_blocks - h->nblocks || !make_records(h, to) || !vm__memory_extend(&h->area, (uint64_t)to * HEAP_BLOCK))
		return false;
	clear_records(h, h->nblocks, to);
	clear_marks(h, h->nblocks, to);
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
	if (h->nblocks - h->used < n || !find_free(h, n, ret)) {
		*ret = h->nblocks;
		if (!grow(h, n)) {
			vm__uncharge(st, (uint64_t)n * HEAP_BLOCK_COST);
			return FULL;
		}
	}
	h->used += n;
	h->high = (uint32_t)max_u64(h->high, *ret + n);
	return FOUND;
}

// Zero again, without a private page of their own. false: they can't be had so, and are as before. Those of an image would be the image's.
static bool discard(struct vm_store *st, uint32_t first, uint32_t n)
{
	struct vm__heap *h = st->heap;
	if ((uint64_t)first * HEAP_BLOCK < h->area.image_length || sys_discard(vm__block_at(h, first), (uint64_t)n * HEAP_BLOCK))
		return false;
	st->faults = 1;  // some pages of the list (reset.c) are private no more
	return true;
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
	if (!r->is_zero)
		memset(h->base + at, 0, end - at);
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
	for (uint32_t i = 0; i < n; i++)
		h->blocks[first + i] = (struct vm__block){.kind = i ? BLOCK_REST : BLOCK_LARGE, .zero = h->blocks[first + i].zero};
	h->blocks[first].n = n;
	*ret = (uint32_t)(vm__block_at(h, first) - h->base);
	return FOUND;
}

enum trap vm__heap_clear(struct vm_store *st, uint64_t size, uint32_t ref)
{
	struct vm__heap *h = st->heap;
	struct vm__pace pace = {.shard = st->shard};
	uint32_t i = (ref - HEAP_FIRST) / HEAP_BLOCK, end = i + (uint32_t)((size + HEAP_BLOCK - 1) / HEAP_BLOCK);
	while (i < end) {
		uint32_t some = (uint32_t)min_u64(end - i, PIECE_BLOCKS);
		bool discarded = some >= DISCARD_FROM && discard(st, i, some);
		for (uint32_t to = i + some; i < to; i++)
			if (!discarded && !h->blocks[i].zero)
				memset(vm__block_at(h, i), 0, HEAP_BLOCK);
		if (!vm__worked(&pace, some * VM__PACE / PIECE_BLOCKS))
			return pace.stop;
	}
	return TRAP_NONE;
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
static uint32_t count_marks(const struct vm__heap *h, uint32_t block)
{
	const uint64_t *w = h->marks + (size_t)block * HEAP_MARK_WORDS;
	uint32_t n = 0;
	for (unsigned i = 0; i < HEAP_MARK_WORDS; i++)
		n += (uint32_t)__builtin_popcountll(w[i]);
	return n;
}

static void free_blocks(struct vm_store *st, uint32_t first, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		st->heap->blocks[first + i] = (struct vm__block){.kind = BLOCK_FREE};
	st->heap->used -= n;
	vm__uncharge(st, (uint64_t)n * HEAP_BLOCK_COST);
}

static bool is_waste(const struct vm__block *b)
{
	return b->kind == BLOCK_FREE && !b->zero;
}

// Free blocks beyond so many, which are likely to be used soon, give their pages back. false: the call is to end.
static bool give_back(struct vm_store *st, uint64_t keep, struct vm__pace *p)
{
	struct vm__heap *h = st->heap;
	for (uint32_t i = (uint32_t)(h->area.image_length / HEAP_BLOCK); i < h->nblocks;) {
		uint32_t n = 0;
		if (!is_waste(&h->blocks[i]) || keep) {
			keep -= keep && is_waste(&h->blocks[i]);
			n = 1;
		} else {
			while (n < PIECE_BLOCKS && i + n < h->nblocks && is_waste(&h->blocks[i + n]))
				n++;
			if (!discard(st, i, n))
				return true;
			clear_records(h, i, i + n);
			p->work += n * VM__PACE / PIECE_BLOCKS;
		}
		i += n;
		if (!vm__worked(p, 1))
			return false;
	}
	return true;
}

void vm__heap_forget_room(struct vm__heap *h)
{
	memset(h->runs, 0, sizeof h->runs);
	memset(h->partial, 0, sizeof h->partial);
}

// What one object or one block of cells lies in, from its first block on. Those with room are listed in order of their addresses: from the end.
static void sweep_block(struct vm_store *st, uint32_t i)
{
	struct vm__heap *h = st->heap;
	struct vm__block *b = &h->blocks[i];
	uint32_t marked = count_marks(h, i);
	if (!marked) {
		free_blocks(st, i, b->kind == BLOCK_LARGE ? b->n : 1);
	} else if (b->kind == BLOCK_CELLS) {
		bool full = marked == HEAP_BLOCK / vm__cell_size(b);
		b->next = full ? 0 : h->partial[b->class];
		h->partial[b->class] = full ? h->partial[b->class] : i + 1;
	}
}

bool vm__heap_sweep(struct vm_store *st, struct vm__pace *p)
{
	struct vm__heap *h = st->heap;
	for (uint32_t i = h->nblocks; i--;) {
		unsigned kind = h->blocks[i].kind;
		if (kind == BLOCK_CELLS || kind == BLOCK_LARGE)
			sweep_block(st, i);
		if (!vm__worked(p, HEAP_MARK_WORDS))
			return false;
	}
	h->look_at = 0;
	h->trigger = (uint32_t)max_u64(HEAP_COLLECT_AT, min_u64(2ull * h->used, UINT32_MAX));
	return give_back(st, (uint64_t)h->used + HEAP_COLLECT_AT, p);
}

// ---- reset, images ----------------------------------------------------------------------------------------------------
bool vm__heap_load(struct vm_store *st, const struct vm__image_heap *from, bool reset)
{
	struct vm__heap *h = st->heap;
	uint32_t n = from->nblocks;
	if (!h)
		return !n;
	if (!make_records(h, n))
		return false;
	h->nblocks = reset ? h->nblocks : n;
	h->high = (uint32_t)min_u64(h->high, h->nblocks);
	if (n)
		memcpy(h->blocks, from->blocks, n * sizeof *h->blocks);
	clear_records(h, n, h->high);
	if (h->collected || !reset) {
		if (n)
			memcpy(h->marks, from->marks, (size_t)n * HEAP_MARK_WORDS * 8);
		clear_marks(h, n, h->high);
	}
	h->high = n;
	h->collected = false;
	h->used = from->used;
	h->live = from->live;
	h->look_at = 0;
	h->trigger = (uint32_t)max_u64(HEAP_COLLECT_AT, 2ull * h->used);
	memset(h->runs, 0, sizeof h->runs);
	memcpy(h->partial, from->partial, sizeof h->partial);
	return true;
}

bool vm__heap_tidy(struct vm_store *st)
{
	struct vm__heap *h = st->heap;
	uint32_t end = (uint32_t)(h->area.image_length / HEAP_BLOCK);
	for (uint32_t i = 0; i < h->nblocks; i++) {
		if (h->blocks[i].kind != BLOCK_FREE) {
			end = (uint32_t)max_u64(end, i + 1);
		} else if (!h->blocks[i].zero) {
			memset(vm__block_at(h, i), 0, HEAP_BLOCK);
			h->blocks[i].zero = true;
		}
	}
	if (end < h->nblocks && sys_protect(vm__block_at(h, end), (uint64_t)(h->nblocks - end) * HEAP_BLOCK, false))
		return false;
	h->nblocks = end;
	h->area.abi.length = (uint64_t)end * HEAP_BLOCK;
	return true;
}

bool vm__heap_capture(const struct vm_store *st, struct arena *a, struct vm__image_heap *to)
{
	const struct vm__heap *h = st->heap;
	to->partial = arena_zalloc(a, HEAP_CLASSES * sizeof *to->partial, 4);
	if (!h || !to->partial)
		return to->partial;
	*to = (struct vm__image_heap){.types_end = h->types_end, .live = h->live, .nblocks = h->nblocks, .used = h->used};
	to->partial = arena_copy(a, h->partial, sizeof h->partial, 4);
	to->blocks = arena_copy(a, h->blocks ? h->blocks : (const void *)"", h->nblocks * sizeof *to->blocks, 8);
	to->marks = arena_copy(a, h->marks ? h->marks : (const void *)"", (size_t)h->nblocks * HEAP_MARK_WORDS * 8, 8);
	return to->partial && to->blocks && to->marks;
}
