// Memories: where they lie and how they grow. The two kinds:
//
// | lies in | accesses are checked by | which memories |
// |---|---|---|
// | a cell (cell.c): 6 GiB that are never moved or given back | the processor | 32-bit indices, ordinary pages, where there is address space for cells |
// | a span of its own: as long as it may become, given back with it | code | all others |
//
// 1. abi_memory.length only grows between two resets. What lies beyond it is zero, and PROT_NONE from the next page of the system's on (L26). With pages
//    of one byte the last page is accessible as a whole: only what code checks may lie so.
// 2. The base never moves: a span is reserved for the most that the memory may have, by its type and by the store's limit.
// 3. A shared memory belongs to no store: each that has it, on whatever thread, counts. It grows under its lock, within an account of its own, whose limit is
//    that of the store that made it. What was accessible once stays so, and is accessible before its length says so.
#include "vm_int.h"

#define SPAN_MAX (1ull << 40)  // of a memory without other bounds
#define REAR_GUARD SYS_PAGE
#define HEADROOM (64ull << 20)

static unsigned shift_of(const struct wasm_memory_type *t)
{
	return t->page_shift;
}

// Bytes that it may have at most: by its type, and what can be counted. Pages of one byte: 4 GiB has no number of 32 bits.
static uint64_t most_bytes(const struct wasm_memory_type *t)
{
	uint64_t most = t->limits.is64 ? SPAN_MAX : t->page_shift ? 4 * VM__GIB
															  : UINT32_MAX;
	uint64_t pages = most >> shift_of(t);
	return (t->limits.has_max ? min_u64(t->limits.max, pages) : pages) << shift_of(t);
}

// ---- where it lies -----------------------------------------------------------------------------------------------
// Where address space is short some of it is left to all else. NULL: there is none.
static uint8_t *reserve_some(uint64_t size)
{
	uint64_t left = vm_process_has_cells() ? 0 : HEADROOM;
	uint8_t *at = sys_reserve(size + REAR_GUARD + left);
	if (at && left)
		sys_unmap(at + size + REAR_GUARD, left);
	return at;
}

// Where not all that it may become fits, less does, down to what it is.
static bool reserve_span(struct vm_memory *m, uint64_t limit, uint64_t length)
{
	uint64_t least = vm__in_pages(length), size = max_u64(least, vm__in_pages(min_u64(m->abi.max_bytes, limit)));
	while (!(m->abi.base = reserve_some(size))) {
		if (size == least)
			return false;
		size = max_u64(least, (size / 2) & ~(uint64_t)(SYS_PAGE - 1));
	}
	m->reserved = size;
	m->abi.max_bytes = min_u64(m->abi.max_bytes, size);
	return true;
}

static bool reserve(struct vm_memory *m, const struct vm_store *st, uint64_t length)
{
	if (!abi_memory_in_cell(&m->type) || !vm_process_has_cells())
		return reserve_span(m, st->limits.memory, length);
	m->cell = vm__cell_get(st->shard);
	if (!m->cell)
		return false;
	m->abi.base = m->cell->base;
	m->reserved = VM__CELL_SIZE + 16;
	return true;
}

static void give_back(struct vm_memory *m, struct vm_shard *s)
{
	if (m->cell)
		vm__cell_put(s, m->cell, m->high);
	else
		sys_unmap(m->abi.base, m->reserved + REAR_GUARD);
}

// ---- made, grown -------------------------------------------------------------------------------------------------
// What grows by more is often not used at once.
#define POPULATED (512u << 10)

// Not where objects lie, whose blocks are given back one by one.
static bool is_huge(const struct vm_memory *m)
{
	return m->store && m->store->huge && !m->of_heap;
}

static void prefer_huge(const struct vm_memory *m, uint64_t from, uint64_t end)
{
	if (is_huge(m) && end > from)
		sys_prefer_huge(m->abi.base + from, end - from);
}

// What a guest asked for it uses: too little for a huge page, it is had without a fault for each of its pages.
static void populate(const struct vm_memory *m, uint64_t from, uint64_t end)
{
	if (is_huge(m) && end > from && end - from <= POPULATED)
		sys_populate(m->abi.base + from, end - from);
}

void vm_store_prefer_huge(struct vm_store *st)
{
	st->huge = true;
	for (const struct vm_memory *m = st->memories; m; m = m->next)
		prefer_huge(m, 0, vm__in_pages(m->abi.length));
}

// The part without accounting: makes [length, to) accessible.
static bool grow_to(struct vm_memory *m, uint64_t to)
{
	uint64_t from = vm__in_pages(m->abi.length), end = vm__in_pages(to);
	if (end > from) {
		if (sys_protect(m->abi.base + from, end - from, true))
			return false;
		m->high = max_u64(m->high, end);
		prefer_huge(m, from, end);
	}
	__atomic_store_n(&m->abi.length, to, __ATOMIC_RELEASE);
	return true;
}

static bool no_address_space(const struct vm_memory *m, uint64_t length, struct err *e)
{
	err_set(e, ERR_ENV, "no address space left for a memory");
	if (abi_memory_in_cell(&m->type) && vm_process_has_cells())
		return err_hint(e, "each memory reserves 6 GiB of address space: raise ulimit -v or vm.max_map_count, or run fewer instances");
	return err_hint(e, "this one reserves at least %llu bytes of address space: raise ulimit -v, or run fewer instances", (unsigned long long)vm__in_pages(length));
}

// Reserved, and accessible as far as its type says at least.
static bool make(struct vm_memory *m, struct vm_store *st, const struct wasm_memory_type *type, struct err *e)
{
	uint64_t length = type->limits.min << shift_of(type);
	m->type = *type;
	m->abi.owner = m;
	m->abi.max_bytes = most_bytes(type);
	if (!reserve(m, st, length))
		return no_address_space(m, length, e);
	if (grow_to(m, length))
		return true;
	m->high = vm__in_pages(length);
	give_back(m, st->shard);
	return err_set(e, ERR_ENV, "memory of %llu bytes refused by the system", (unsigned long long)length);
}

static bool over_limit(const struct vm_store *st, uint64_t length, struct err *e)
{
	err_set(e, ERR_LIMIT, "memory limit exceeded: a memory of %llu bytes does not fit in the instance's %llu", (unsigned long long)length,
		(unsigned long long)st->limits.memory);
	return err_hint(e, "raise the limit (--memory)");
}

static bool new_shared(struct vm_store *st, const struct wasm_memory_type *type, struct vm_memory **ret, struct err *e)
{
	struct vm__shared *s = mem_zalloc(sizeof *s);
	if (!s)
		return err_nomem(e);
	s->account.limit = st->limits.memory;
	s->memory.shared = s;
	sys_mutex_init(&s->lock);
	uint64_t length = type->limits.min << shift_of(type);
	bool ok = account_charge(&s->account, length) || over_limit(st, length, e);
	if (ok && make(&s->memory, st, type, e)) {
		if (vm_memory_share(st, &s->memory)) {
			*ret = &s->memory;
			return true;
		}
		give_back(&s->memory, st->shard);
		err_nomem(e);
	}
	sys_mutex_release(&s->lock);
	mem_free(s);
	return false;
}

bool vm_memory_new(struct vm_store *st, const struct wasm_memory_type *type, struct vm_memory **ret, struct err *e)
{
	uint64_t most = most_bytes(type), length = type->limits.min << shift_of(type);
	if (type->limits.min > most >> shift_of(type))
		return err_set(e, ERR_LIMIT, "memory size must be at most %llu pages", (unsigned long long)(most >> shift_of(type)));
	if (st->limits.memories && st->nmemories == st->limits.memories)
		return err_set(e, ERR_LIMIT, "too many memories in one instance: at most %u are supported", st->limits.memories);
	st->nmemories++;
	if (type->limits.shared)
		return new_shared(st, type, ret, e);
	struct vm_memory *m = ARENA_NEW(&st->arena, struct vm_memory);
	if (!m)
		return err_nomem(e);
	if (!vm__charge(st, length))
		return over_limit(st, length, e);
	m->store = st;
	if (!make(m, st, type, e)) {
		vm__uncharge(st, length);
		return false;
	}
	*st->memories_end = m;
	st->memories_end = &m->next;
	*ret = m;
	return true;
}

void vm__memory_adopt(struct vm_store *st, struct vm_memory *m, uint8_t *base, uint64_t reserved)
{
	*m = (struct vm_memory){.store = st, .of_heap = true, .reserved = reserved, .abi = {.base = base, .owner = m, .max_bytes = reserved}};
	*st->memories_end = m;
	st->memories_end = &m->next;
}

bool vm__memory_extend(struct vm_memory *m, uint64_t length)
{
	return grow_to(m, length);
}

void vm__memory_release(struct vm_memory *m)
{
	give_back(m, m->store->shard);
	mem_free(m->pages);
}

bool vm_memory_share(struct vm_store *st, struct vm_memory *m)
{
	struct vm__sharing *x = ARENA_NEW(&st->arena, struct vm__sharing);
	if (!x)
		return false;
	atomic_fetch_add_explicit(&m->shared->refs, 1, memory_order_relaxed);
	*x = (struct vm__sharing){m->shared, st->shared};
	st->shared = x;
	return true;
}

void vm__shared_unref(struct vm__shared *s, struct vm_shard *shard)
{
	if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	give_back(&s->memory, shard);
	sys_mutex_release(&s->lock);
	mem_free(s);
}

// ---- growing -----------------------------------------------------------------------------------------------------
static bool charge(struct vm_memory *m, uint64_t bytes)
{
	return m->shared ? account_charge(&m->shared->account, bytes) : vm__charge(m->store, bytes);
}

static void uncharge(struct vm_memory *m, uint64_t bytes)
{
	if (m->shared)
		account_uncharge(&m->shared->account, bytes);
	else
		vm__uncharge(m->store, bytes);
}

static uint64_t grow(struct vm_memory *m, uint64_t delta)
{
	unsigned shift = shift_of(&m->type);
	uint64_t old = m->abi.length, room = m->abi.max_bytes - old;
	if (delta > room >> shift)
		return UINT64_MAX;
	if (!delta)
		return old >> shift;
	if (!charge(m, delta << shift))
		return UINT64_MAX;
	if (!grow_to(m, old + (delta << shift))) {
		uncharge(m, delta << shift);
		return UINT64_MAX;
	}
	populate(m, vm__in_pages(old), vm__in_pages(m->abi.length));
	return old >> shift;
}

uint64_t vm_memory_grow(struct vm_memory *m, uint64_t delta)
{
	if (!m->shared)
		return grow(m, delta);
	sys_mutex_lock(&m->shared->lock);
	uint64_t old = grow(m, delta);
	sys_mutex_unlock(&m->shared->lock);
	return old;
}

// ---- looking -----------------------------------------------------------------------------------------------------
uint8_t *vm_memory_base(const struct vm_memory *m)
{
	return m->abi.base;
}

uint64_t vm_memory_length(const struct vm_memory *m)
{
	return m->abi.length;
}

struct abi_memory *vm_memory_abi(struct vm_memory *m)
{
	return &m->abi;
}
