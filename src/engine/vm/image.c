// Images: the state of a store, immutable, shared by shards, in one sealed memfd (memories) and an arena (the rest).
//
// 1. What an image names, it names by place: the n-th memory, table, global, instance of a store. A store that was allocated by the same
//    steps has the same places (vm_store_attach compares what can be compared).
// 2. A page that is zero is a hole of the memfd: `nonzero` says which are not, so that nobody touches a hole to learn that it is zero.
// 3. The memfd is sealed before anybody maps it: what is mapped can't change or shrink. (image_file.c: one that is opened from a file later.)
#include "heap_int.h"

#define COUNT(list, T)                                       \
	({                                                       \
		uint32_t n_ = 0;                                     \
		for (const struct T *x_ = (list); x_; x_ = x_->next) \
			n_++;                                            \
		n_;                                                  \
	})

static bool is_zero_page(const uint8_t *p)
{
	const uint64_t *w = (const uint64_t *)p;
	for (size_t i = 0; i < SYS_PAGE / 8; i += 8)
		if (w[i] | w[i + 1] | w[i + 2] | w[i + 3] | w[i + 4] | w[i + 5] | w[i + 6] | w[i + 7])
			return false;
	return true;
}

// ---- capture -----------------------------------------------------------------------------------------------------
struct capture {
	struct vm_image *img;
	struct vm__image_memory *to;
	const struct vm_memory *m;
	bool failed;
};

// Writes the pages of [start, end) that are not zero, in runs.
static bool capture_run(void *arg, struct sys_page_run run)
{
	struct capture *c = arg;
	uint64_t base = (uintptr_t)c->m->abi.base;
	uint64_t from = run.start - base, end = min_u64(run.end - base, vm__in_pages(c->to->length));
	while (from < end) {
		if (is_zero_page(c->m->abi.base + from)) {
			from += SYS_PAGE;
			continue;
		}
		uint64_t to = from;
		for (; to < end && !is_zero_page(c->m->abi.base + to); to += SYS_PAGE)
			vm__bit_set(c->to->nonzero, (uint32_t)(to / SYS_PAGE));
		if (sys_write_at(c->img->fd, c->m->abi.base + from, to - from, c->to->offset + from)) {
			c->failed = true;
			return false;
		}
		c->img->nonzero_bytes += to - from;
		from = to;
	}
	return true;
}

static bool capture_memory(struct vm_image *img, const struct vm_memory *m, struct vm__image_memory *to)
{
	struct capture c = {.img = img, .to = to, .m = m};
	if (!to->length)
		return true;
	// Pages that were never touched need not be looked at; where that can't be known all are. The store may be attached to another image
	// already: then pages of its file that nobody touched count too.
	uint64_t size = vm__in_pages(to->length);
	int r = m->image ? -1 : sys_touched_pages(m->abi.base, size, capture_run, &c);
	if (r && !c.failed)
		capture_run(&c, (struct sys_page_run){(uintptr_t)m->abi.base, (uintptr_t)m->abi.base + size});
	return !c.failed;
}

static uint64_t globals_size(const struct vm_store *st)
{
	uint64_t n = 0;
	for (const struct vm_instance *i = st->instances; i; i = i->next)
		n += i->mod->layout.globals_size;
	return n + (uint64_t)COUNT(st->globals, vm_global) * 16;
}

static uint64_t dropped_size(const struct vm_store *st)
{
	uint64_t n = 0;
	for (const struct vm_instance *i = st->instances; i; i = i->next)
		n += i->dropped_size;
	return n;
}

// One walk for both directions: `save` copies store → image, else image → store.
static void each_byte_run(struct vm_store *st, const struct vm_image *img, bool save, bool dropped_too)
{
	uint8_t *globals = img->globals, *dropped = img->dropped;
	for (struct vm_instance *i = st->instances; i; i = i->next) {
		uint32_t n = i->mod->layout.globals_size;
		uint8_t *own = (uint8_t *)i->ctx + i->mod->layout.globals;
		if (n)
			memcpy(save ? globals : own, save ? own : globals, n);
		globals += n;
		if (dropped_too && i->dropped_size)
			memcpy(save ? dropped : i->dropped, save ? i->dropped : dropped, i->dropped_size);
		dropped += i->dropped_size;
	}
	for (struct vm_global *g = st->globals; g; g = g->next, globals += 16)
		memcpy(save ? (void *)globals : g->cell, save ? g->cell : (void *)globals, 16);
}

static bool capture_rest(struct vm_store *st, struct vm_image *img)
{
	struct arena *a = &img->arena;
	img->ntables = COUNT(st->tables, vm_table);
	img->tables = ARENA_ARRAY(a, struct vm__image_table, (size_t)img->ntables + 1);
	img->globals_size = globals_size(st);
	img->globals = arena_zalloc(a, img->globals_size + 16, 16);
	img->dropped_size = dropped_size(st);
	img->dropped = arena_zalloc(a, img->dropped_size + 1, 1);
	if (!img->tables || !img->globals || !img->dropped)
		return false;
	uint32_t i = 0;
	for (struct vm_table *t = st->tables; t; t = t->next, i++) {
		img->tables[i].length = t->abi.length;
		img->tables[i].elems = arena_copy(a, t->abi.elems, t->abi.length * sizeof(uint32_t) + (t->abi.length == 0), 4);
		if (!img->tables[i].elems)
			return false;
	}
	each_byte_run(st, img, true, true);
	if (!vm__heap_capture(st, a, &img->heap))
		return false;
	img->nfuncs = st->nfuncs;
	img->used = st->own_used;
	img->table_elements = st->table_elements;
	return true;
}

static bool capture_memories(struct vm_store *st, struct vm_image *img, struct err *e)
{
	img->nmemories = COUNT(st->memories, vm_memory);
	img->memories = ARENA_ARRAY(&img->arena, struct vm__image_memory, (size_t)img->nmemories + 1);
	if (!img->memories)
		return err_nomem(e);
	uint32_t i = 0;
	for (const struct vm_memory *m = st->memories; m; m = m->next, i++) {
		img->memories[i] = (struct vm__image_memory){.length = m->abi.length, .offset = img->size};
		img->memories[i].nonzero = arena_zalloc(&img->arena, vm__in_pages(m->abi.length) / SYS_PAGE / 8 + 1, 1);
		if (!img->memories[i].nonzero)
			return err_nomem(e);
		img->size += vm__in_pages(m->abi.length);
	}
	img->fd = sys_memfd("tenon-image", img->size);
	if (img->fd < 0)
		return err_set_errno(e, -img->fd, "memory file for an image of %llu bytes", (unsigned long long)img->size);
	i = 0;
	for (const struct vm_memory *m = st->memories; m; m = m->next, i++)
		if (!capture_memory(img, m, &img->memories[i]))
			return err_set(e, ERR_ENV, "writing an image of %llu bytes failed: memory is short", (unsigned long long)img->size);
	int r = sys_memfd_seal(img->fd);
	if (r)
		return err_set_errno(e, -r, "sealing an image");
	if (img->size && !(img->map = sys_map_shared_read(img->fd, img->size)))
		return err_set(e, ERR_ENV, "mapping an image of %llu bytes failed", (unsigned long long)img->size);
	return true;
}

static bool has_elem_refs(const struct vm_store *st)
{
	for (const struct vm_instance *i = st->instances; i; i = i->next)
		for (uint32_t k = 0; i->elem_refs && k < i->mod->m->nelems; k++)
			if (i->elem_refs[k])
				return true;
	return false;
}

bool vm_image_capture(struct vm_store *st, struct vm_image **ret, struct err *e)
{
	// What nobody holds any more is no part of it. No guest is in the store.
	enum trap t = st->heap || st->exceptions.kept ? vm__collect_idle(st) : TRAP_NONE;
	if (t)
		return t == TRAP_OUT_OF_MEMORY ? err_nomem(e) : err_set(e, ERR_LIMIT, "%s", trap_text(t));
	if (st->heap && !vm__heap_tidy(st))
		return err_set(e, ERR_ENV, "what lies behind the objects can't be taken back");
	if (st->exceptions.kept)
		return err_set(e, ERR_UNSUPPORTED, "an image can't hold an exception, and a global, a table or an object does");
	if (st->shared)
		return err_set(e, ERR_UNSUPPORTED, "an image can't hold a shared memory");
	if (has_elem_refs(st))
		return err_set(e, ERR_UNSUPPORTED, "an image can't hold the objects of an element segment that is still to be used");
	struct vm_image *img = mem_zalloc(sizeof *img);
	if (!img)
		return err_nomem(e);
	img->refs = 1;
	img->fd = img->old_fd = -1;
	arena_init(&img->arena, 0);
	bool ok = capture_memories(st, img, e) && (capture_rest(st, img) || err_nomem(e));
	if (!ok) {
		vm_image_unref(img);
		return false;
	}
	*ret = img;
	return true;
}

struct vm_image *vm_image_ref(struct vm_image *img)
{
	atomic_fetch_add_explicit(&img->refs, 1, memory_order_relaxed);
	return img;
}

void vm_image_unref(struct vm_image *img)
{
	if (!img || atomic_fetch_sub_explicit(&img->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (img->file)
		sys_unmap(UNCONST(img->file), img->data_offset + img->size);
	else if (img->map)
		sys_unmap(UNCONST(img->map), img->size);
	sys_close(img->fd);
	sys_close(img->old_fd);
	arena_release(&img->arena);
	mem_free(img);
}

uint64_t vm_image_bytes(const struct vm_image *img)
{
	return img->nonzero_bytes;
}

uint64_t vm_image_memory_length(const struct vm_image *img)
{
	return img->size;
}

// ---- attach ------------------------------------------------------------------------------------------------------
bool vm__image_load_rest(struct vm_store *st, const struct vm_image *img, bool only_dirty)
{
	uint32_t i = 0;
	for (struct vm_table *t = st->tables; t; t = t->next, i++) {
		if (only_dirty && !t->abi.dirty)
			continue;
		const struct vm__image_table *from = &img->tables[i];
		if (t->cap < from->length) {
			uint32_t *elems = mem_realloc(t->abi.elems, from->length * sizeof *elems);
			if (!elems)
				return false;
			t->abi.elems = elems;
			t->cap = from->length;
		}
		memcpy(t->abi.elems, from->elems, from->length * sizeof *from->elems);
		t->abi.length = from->length;
		t->abi.dirty = 0;
	}
	each_byte_run(st, img, false, !only_dirty || st->segments_dirty);
	if (st->heap) {
		for (struct vm_instance *x = st->instances; x; x = x->next)
			for (uint32_t k = 0; x->elem_refs && k < x->mod->m->nelems; k++)
				vm__elem_refs_drop(x, k);
		if (!vm__heap_load(st, &img->heap, only_dirty))
			return false;
	}
	st->segments_dirty = false;
	st->account.used += img->used - st->own_used;
	st->account.peak = st->account.used;
	st->own_used = img->used;
	st->table_elements = img->table_elements;
	return true;
}

static bool same_layout(const struct vm_store *st, const struct vm_image *img)
{
	if (st->shared || COUNT(st->memories, vm_memory) != img->nmemories || COUNT(st->tables, vm_table) != img->ntables || globals_size(st) != img->globals_size ||
		dropped_size(st) != img->dropped_size || st->nfuncs < img->nfuncs || (st->heap ? st->heap->types_end : 0) != img->heap.types_end)
		return false;
	uint32_t i = 0;
	for (const struct vm_memory *m = st->memories; m; m = m->next, i++)
		if (img->memories[i].length > m->abi.max_bytes || (m->of_heap && img->memories[i].length != (uint64_t)img->heap.nblocks * HEAP_BLOCK))
			return false;
	return true;
}

static int attach_memory(struct vm_memory *m, const struct vm_image *img, int fd, const struct vm__image_memory *from)
{
	uint64_t size = vm__in_pages(from->length);
	// Whatever lay there goes; what the image does not cover is out of bounds again.
	if (m->high > size) {
		int r = sys_wipe(m->abi.base + size, m->high - size);
		if (r)
			return r;
	}
	if (size) {
		int r = sys_map_private_at(m->abi.base, size, fd, img->data_offset + from->offset);
		if (r)
			return r;
	}
	m->high = size;
	m->abi.length = m->image_length = from->length;
	m->image = size ? img->map + from->offset : NULL;
	m->nonzero = from->nonzero;
	m->npages = 0;
	return 0;
}

bool vm_store_attach(struct vm_store *st, struct vm_image *img, struct err *e)
{
	if (!same_layout(st, img))
		return err_set(e, ERR_LINK, "an image does not fit the store: it was taken of another layout");
	if (img->used > st->limits.memory)
		return err_set(e, ERR_LIMIT, "memory limit exceeded: the image needs %llu bytes", (unsigned long long)img->used);
	// In this order: who gets the new descriptor with the old epoch is made anew once more than needed.
	st->image_epoch = atomic_load(&img->epoch);
	int fd = atomic_load(&img->fd);
	uint32_t i = 0;
	for (struct vm_memory *m = st->memories; m; m = m->next, i++) {
		int r = attach_memory(m, img, fd, &img->memories[i]);
		if (r) {
			st->poisoned = true;
			return err_set_errno(e, -r, "mapping an image");
		}
	}
	if (!vm__image_load_rest(st, img, false)) {
		st->poisoned = true;
		return err_nomem(e);
	}
	vm_image_ref(img);
	vm_image_unref(st->image);
	st->image = img;
	st->faults = 1;
	st->mean_differing = 0;
	return true;
}

struct vm_image *vm_store_image(const struct vm_store *st)
{
	return st->image;
}
