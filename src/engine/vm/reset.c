// Exact reset in place: after a call the slot must equal its image, without giving its pages back.
//
// 1. A page of a private mapping turns private only through a fault, and faults count in the thread that takes them. A store that had no
//    fault since its private pages were last listed (st->faults == 0) still has exactly the pages of that list.
// 2. The counter is read before the listing, never after. Host faults are charged to whichever store ran, and each fault to all that ran since the
//    counter was read: an extra listing, no harm.
// 3. Pages beyond the image's length are compared with zero and are kept: growing again finds them.
// 4. Pages that were dropped come back by a fault. Protecting and unprotecting drops and makes no page.
// 5. The blocks of objects are a memory, too, of which no guest sees the length: it stays, and beyond the image all is zero. What a call took beyond what it
//    may before it is collected gives its pages back.
// 6. Whatever fails on the way makes the store untrustworthy: false, the caller frees it.
#include "heap_int.h"

enum vm_reset_method vm__reset_method = VM_RESET_DISCARD;

// Above this many times the mean of differing pages, pages that were clean for AGE_SOON requests are dropped; else for AGE_LATE.
#define CROWDED 4
#define AGE_SOON 8
#define AGE_LATE 255
#define LOOK_EACH 8  // requests: a page that differed when it was last looked at is not compared in between, which costs more than its copy
#define PAGES_FEW 64  // a slot that small is not worth trimming
#define MAX_PAGES (1u << 20)

static const uint8_t zero_page[SYS_PAGE] __attribute__((aligned(64)));

// ---- listing private pages ---------------------------------------------------------------------------------------
struct listing {
	struct vm_memory *m;
	struct vm__page *old;
	uint32_t nold, at;
	bool nomem;
};

static bool list_run(void *arg, struct sys_page_run run)
{
	struct listing *l = arg;
	struct vm_memory *m = l->m;
	uint64_t base = (uintptr_t)m->abi.base;
	for (uint64_t at = run.start; at < run.end; at += SYS_PAGE) {
		uint32_t page = (uint32_t)((at - base) / SYS_PAGE);
		while (l->at < l->nold && l->old[l->at].page < page)
			l->at++;
		if (m->npages == m->pages_cap) {
			uint32_t cap = m->pages_cap ? m->pages_cap * 2 : 32;
			struct vm__page *pages = cap <= MAX_PAGES * 2 ? mem_realloc(m->pages, sizeof *pages * cap) : NULL;
			if (!pages) {
				l->nomem = true;
				return false;
			}
			m->pages = pages;
			m->pages_cap = cap;
		}
		uint32_t age = l->at < l->nold && l->old[l->at].page == page ? l->old[l->at].age : 0;
		m->pages[m->npages++] = (struct vm__page){page, age};
	}
	return true;
}

// The first `high` bytes.
static bool list_pages(struct vm_memory *m, uint64_t high)
{
	// Ages outlive the listing: the old list is read while the new one is written, so they are two arrays for a moment.
	struct listing l = {.m = m, .old = m->pages, .nold = m->npages};
	uint32_t old_cap = m->pages_cap;
	m->pages = NULL;
	m->npages = m->pages_cap = 0;
	if (old_cap) {
		m->pages = mem_alloc(sizeof *m->pages * old_cap);
		if (!m->pages) {
			mem_free(l.old);
			return false;
		}
		m->pages_cap = old_cap;
	}
	int r = 0;
	if (high)
		r = (vm__reset_method == VM_RESET_PAGEMAP ? sys_private_pages_pagemap : sys_private_pages_scan)(m->abi.base, high, list_run, &l);
	mem_free(l.old);
	return r == 0 && !l.nomem;
}

// ---- one memory --------------------------------------------------------------------------------------------------
// From *at on, *pages at most, which is counted down. true: that was all of it.
static bool restore_pages(struct vm_memory *m, uint64_t *at, uint64_t *pages, bool look, uint64_t *differing)
{
	for (; *at < m->npages; ++*at) {
		struct vm__page *p = &m->pages[*at];
		uint64_t offset = (uint64_t)p->page * SYS_PAGE;
		if (offset >= m->abi.length)
			break;  // out of bounds during this call: still zero
		if (!*pages)
			return false;
		--*pages;
		const uint8_t *want = offset < m->image_length && vm__bit(m->nonzero, p->page) ? m->image + offset : zero_page;
		uint8_t *have = m->abi.base + offset;
		if ((look || p->age) && memcmp(have, want, SYS_PAGE) == 0) {
			p->age += p->age < AGE_LATE;
			continue;
		}
		memcpy(have, want, SYS_PAGE);
		p->age = 0;
		++*differing;
	}
	return true;
}

static bool shrink(struct vm_memory *m)
{
	if (m->of_heap)
		return true;
	uint64_t from = vm__in_pages(m->image_length), end = vm__in_pages(m->abi.length);
	if (end > from && sys_protect(m->abi.base + from, end - from, false))
		return false;
	m->abi.length = m->image_length;
	return true;
}

static bool discard(struct vm_memory *m)
{
	if (!shrink(m) || (m->high && sys_discard(m->abi.base, m->high)))
		return false;
	m->npages = 0;
	return true;
}

// Objects that a call made beyond what most do: their pages would be looked at in each of the next resets.
static enum vm_reset drop_blocks(struct vm_store *st, struct vm_memory *m, uint64_t *pages)
{
	uint64_t kept = vm__heap_kept(st->heap), end = (uint64_t)st->heap->high * HEAP_BLOCK, *dropped = &st->resetting.dropped;
	if (end <= kept)
		return VM_RESET_DONE;
	uint64_t left = end - kept - *dropped, some = *pages < left / SYS_PAGE ? *pages * SYS_PAGE : left;
	if (some && sys_discard(m->abi.base + kept + *dropped, some))
		return VM_RESET_FAILED;
	*dropped += some;
	*pages -= some / SYS_PAGE;
	if (some < left)
		return VM_RESET_MORE;
	while (m->npages && (uint64_t)m->pages[m->npages - 1].page * SYS_PAGE >= kept)
		m->npages--;
	return VM_RESET_DONE;
}

// ---- trimming ----------------------------------------------------------------------------------------------------
// Drops pages of at least this age, in runs of neighbours. `ret`: how many.
static bool drop_old(struct vm_memory *m, uint32_t age, uint64_t *ret)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < m->npages;) {
		if (m->pages[i].age < age) {
			m->pages[kept++] = m->pages[i++];
			continue;
		}
		uint32_t first = i;
		do
			i++;
		while (i < m->npages && m->pages[i].age >= age && m->pages[i].page == m->pages[i - 1].page + 1);
		if (sys_discard(m->abi.base + (uint64_t)m->pages[first].page * SYS_PAGE, (uint64_t)(i - first) * SYS_PAGE))
			return false;
		*ret += i - first;
	}
	m->npages = kept;
	return true;
}

static bool trim(struct vm_store *st)
{
	uint64_t resident = st->stats.private_pages, dropped = 0;
	if (resident <= PAGES_FEW)
		return true;
	uint32_t age = resident * 16 > CROWDED * st->mean_differing ? AGE_SOON : AGE_LATE;
	// Looked at now and then only: the walk over the list is not free, and pages age slowly.
	if (st->stats.resets % (age == AGE_SOON ? 8 : 64))
		return true;
	for (struct vm_memory *m = st->memories; m; m = m->next)
		if (!drop_old(m, age, &dropped))
			return false;
	if (dropped) {
		st->faults = 1;
		st->stats.trims++;
		st->stats.private_pages -= dropped;
	}
	return true;
}

// ---- the whole store ---------------------------------------------------------------------------------------------
// Of the memory that is next. DONE: all of it.
static enum vm_reset restore_memory(struct vm_store *st, struct vm_memory *m, uint64_t *pages)
{
	struct vm__pieces *r = &st->resetting;
	if (vm__reset_method == VM_RESET_DISCARD)
		return discard(m) ? VM_RESET_DONE : VM_RESET_FAILED;
	enum vm_reset is = r->at || !m->of_heap ? VM_RESET_DONE : drop_blocks(st, m, pages);
	if (is != VM_RESET_DONE || !*pages)
		return is == VM_RESET_FAILED ? is : VM_RESET_MORE;
	if (!r->at && st->lists && !list_pages(m, m->of_heap ? min_u64(m->high, vm__heap_kept(st->heap)) : m->high))
		return VM_RESET_FAILED;
	if (!restore_pages(m, &r->at, pages, st->stats.resets % LOOK_EACH == 0, &st->stats.differing_pages))
		return VM_RESET_MORE;
	st->stats.private_pages += m->npages;
	return shrink(m) ? VM_RESET_DONE : VM_RESET_FAILED;
}

static enum vm_reset restore_memories(struct vm_store *st, uint64_t pages)
{
	struct vm__pieces *r = &st->resetting;
	while (r->m) {
		enum vm_reset is = restore_memory(st, r->m, &pages);
		if (is != VM_RESET_DONE)
			return is;
		r->m = r->m->next;
		r->at = 0;
	}
	st->stats.scans += st->lists;
	st->mean_differing = (st->mean_differing * 7 + st->stats.differing_pages * 16) / 8;
	return vm__reset_method == VM_RESET_DISCARD || trim(st) ? VM_RESET_DONE : VM_RESET_FAILED;
}

// The image's file was replaced by a sealed copy, which this store is not attached to.
static bool is_stale(const struct vm_store *st)
{
	return st->image_epoch != atomic_load_explicit(&st->image->epoch, memory_order_relaxed);
}

static bool begin(struct vm_store *st)
{
	struct vm_shard *s = st->shard;
	if (!st->image || is_stale(st))
		return false;
	if (vm__reset_method == VM_RESET_GATED_SCAN && vm__is_charged(s, st)) {
		struct vm_store *runs = s->owner == st ? NULL : s->owner;
		vm__faults_settle(s);
		s->owner = NULL;
		s->owns = s->owns && runs;
		if (runs)
			vm__own_slow(s, runs);
	}
	st->lists = vm__reset_method != VM_RESET_GATED_SCAN || st->faults;
	st->faults = 0;
	st->stats.resets++;
	st->stats.private_pages = st->stats.differing_pages = 0;
	vm__relink(st);
	if (UNLIKELY(st->exceptions.chunks))
		vm__exceptions_clear(st);
	st->resetting = (struct vm__pieces){.begun = true, .m = st->memories};
	return true;
}

enum vm_reset vm_store_reset_some(struct vm_store *st, uint64_t pages)
{
	if (st->poisoned || (st->resetting.begun ? is_stale(st) : !begin(st)))
		return VM_RESET_FAILED;
	enum vm_reset is = restore_memories(st, pages);
	if (is == VM_RESET_MORE)
		return is;
	st->resetting.begun = false;
	if (is == VM_RESET_FAILED || !vm__image_load_rest(st, st->image, true)) {
		st->poisoned = true;
		return VM_RESET_FAILED;
	}
#ifdef TENON_CHECK_RESET
	vm__reset_check(st);
#endif
	return VM_RESET_DONE;
}

bool vm_store_reset(struct vm_store *st)
{
	return vm_store_reset_some(st, UINT64_MAX) == VM_RESET_DONE;
}

bool vm_store_shed_some(struct vm_store *st, uint64_t bytes)
{
	struct vm__pieces *x = &st->shedding;
	if (!x->begun)
		*x = (struct vm__pieces){.begun = true, .m = st->memories};
	st->poisoned = true;
	while (x->m && bytes) {
		uint64_t some = min_u64(bytes, x->m->high - x->at);
		if (some && sys_discard(x->m->abi.base + x->at, some))
			return false;  // freeing it does it all
		bytes -= some;
		x->at += some;
		if (x->at < x->m->high)
			continue;
		x->m = x->m->next;
		x->at = 0;
	}
	return x->m != NULL;
}

uint64_t vm_store_shed_left(const struct vm_store *st)
{
	const struct vm__pieces *x = &st->shedding;
	uint64_t n = 0;
	for (const struct vm_memory *m = x->begun ? x->m : st->memories; m; m = m->next)
		n += m->high;
	return n - x->at;
}

void vm_store_relink(struct vm_store *st)
{
	vm__relink(st);
}

bool vm_store_trim(struct vm_store *st)
{
	if (st->poisoned || !st->image)
		return false;
	for (struct vm_memory *m = st->memories; m; m = m->next) {
		if (!discard(m)) {
			st->poisoned = true;
			return false;
		}
	}
	st->faults = 1;
	return true;
}

struct vm_reset_stats vm_store_reset_stats(const struct vm_store *st)
{
	return st->stats;
}

static bool is_same_block(const struct vm__block *a, const struct vm__block *b)
{
	return a->kind == b->kind && a->class == b->class && a->zero == b->zero && a->next == b->next && a->n == b->n;
}

static void check_heap(const struct vm__heap *h, const struct vm__image_heap *img)
{
	static const uint64_t no_marks[HEAP_MARK_WORDS];
	BUG_ON(h->used != img->used || h->live != img->live || h->collected || h->high != img->nblocks);
	BUG_ON(memcmp(h->partial, img->partial, sizeof h->partial) != 0);
	for (unsigned c = 0; c < HEAP_CLASSES; c++)
		BUG_ON(h->runs[c].at || h->runs[c].end || h->runs[c].block_end || h->runs[c].is_zero);
	for (uint32_t b = 0; b < h->nblocks; b++) {
		bool in_image = b < img->nblocks;
		BUG_ON(memcmp(h->marks + (size_t)b * HEAP_MARK_WORDS, in_image ? img->marks + (size_t)b * HEAP_MARK_WORDS : no_marks, sizeof no_marks) != 0);
		BUG_ON(in_image ? !is_same_block(&h->blocks[b], &img->blocks[b]) : h->blocks[b].kind || !h->blocks[b].zero);
	}
}

// The check build, and tests: the whole slot against its image.
void vm__reset_check(struct vm_store *st)
{
	const struct vm_image *img = st->image;
	uint32_t i = 0;
	for (const struct vm_memory *m = st->memories; m; m = m->next, i++) {
		BUG_ON(m->image_length != img->memories[i].length || (m->image_length != m->abi.length && !m->of_heap));
		for (uint64_t at = 0; at < m->abi.length; at += SYS_PAGE) {
			const uint8_t *want = at < m->image_length && vm__bit(m->nonzero, (uint32_t)(at / SYS_PAGE)) ? m->image + at : zero_page;
			BUG_ON(memcmp(m->abi.base + at, want, SYS_PAGE) != 0);
		}
	}
	i = 0;
	for (const struct vm_table *t = st->tables; t; t = t->next, i++)
		BUG_ON(t->abi.length != img->tables[i].length || memcmp(t->abi.elems, img->tables[i].elems, t->abi.length * sizeof *t->abi.elems) != 0);
	const uint8_t *globals = img->globals, *dropped = img->dropped;
	for (const struct vm_instance *x = st->instances; x; x = x->next) {
		uint32_t n = x->mod->layout.globals_size;
		BUG_ON(n && memcmp((uint8_t *)x->ctx + x->mod->layout.globals, globals, n) != 0);
		BUG_ON(x->dropped_size && memcmp(x->dropped, dropped, x->dropped_size) != 0);
		globals += n;
		dropped += x->dropped_size;
	}
	for (const struct vm_global *g = st->globals; g; g = g->next, globals += 16)
		BUG_ON(memcmp(g->cell, globals, 16) != 0);
	if (st->heap)
		check_heap(st->heap, &img->heap);
}

// ---- self-test ---------------------------------------------------------------------------------------------------
// A slot of four pages, one of them written: the counter must move and the listing must name exactly that page.
struct probe {
	uint64_t want;
	uint32_t runs;
	bool right;
};

static bool probe_run(void *arg, struct sys_page_run run)
{
	struct probe *p = arg;
	p->runs++;
	p->right = run.start == p->want && run.end == p->want + SYS_PAGE;
	return true;
}

static bool probe_listing(uint8_t *at, int (*list)(void *, uint64_t, sys_page_run_fn, void *))
{
	struct probe p = {.want = (uintptr_t)at + 2 * SYS_PAGE};
	return list(at, 4 * SYS_PAGE, probe_run, &p) == 0 && p.runs == 1 && p.right;
}

static enum vm_reset_method probe_method(const char **why)
{
	enum vm_reset_method best = VM_RESET_DISCARD;
	static const uint8_t filled[4 * SYS_PAGE] = {1};
	int fd = sys_memfd("tenon-probe", 4 * SYS_PAGE);
	uint8_t *at = sys_reserve(4 * SYS_PAGE);
	*why = "no memory file";
	if (fd >= 0 && at && !sys_write_at(fd, filled, sizeof filled, 0) && !sys_memfd_seal(fd) && !sys_map_private_at(at, 4 * SYS_PAGE, fd, 0)) {
		volatile uint8_t *v = at;
		// Page 1 is only read. Page 2 is read first, so that its write is a copy of a mapped page.
		(void)v[SYS_PAGE];
		(void)v[2 * SYS_PAGE];
		uint64_t before = sys_thread_faults();
		v[2 * SYS_PAGE] = 7;
		uint64_t moved = sys_thread_faults() - before;
		if (probe_listing(at, sys_private_pages_scan)) {
			best = moved ? VM_RESET_GATED_SCAN : VM_RESET_SCAN;
			*why = moved ? "self-test passed" : "faults are not counted";
		} else if (probe_listing(at, sys_private_pages_pagemap)) {
			best = VM_RESET_PAGEMAP;
			*why = "PAGEMAP_SCAN is not to be had (Linux 6.7)";
		} else {
			*why = "the page map can't be read";
		}
	}
	if (at)
		sys_unmap(at, 4 * SYS_PAGE);
	if (fd >= 0)
		sys_close(fd);
	return best;
}

static const char *const method_names[] = {"count faults, scan the page map when there were any", "scan the page map each time", "read the page map each time",
	"give the pages back each time"};

void vm__reset_probe(struct buf *why)
{
	const char *reason;
	vm__reset_method = probe_method(&reason);
	buf_printf(why, "reset of instances: %s (%s)\n", method_names[vm__reset_method], reason);
}

enum vm_reset_method vm_process_reset_method(void)
{
	return vm__reset_method;
}

void vm_process_set_reset_method(enum vm_reset_method m)
{
	vm__reset_method = m;
}
