// memory.atomic.wait and notify: threads that wait at an address of a shared memory, in lists by where it lies.
//
// 1. Who waits blocks its thread, which only a store may whose owner says so (vm_limits.may_block). Each LOOK_NS it gives others on that thread their turn,
//    and its call may end there, by a kill, its budget or its deadline.
// 2. Whether the value is the expected one is looked at under the list's lock, which who wakes takes after the value was changed: nobody sleeps over it.
// 3. The list's order is that of coming; who was woken was taken off by the one who woke.
#include "vm_int.h"

#define LISTS 64u
#define LOOK_NS 5000000

enum { WOKEN, NOT_EQUAL, TIMED_OUT };

struct waiter {
	const uint8_t *at;
	const struct vm_shard *shard;
	struct waiter *next;
	struct sys_cond cond;
	bool is_woken;
};
static struct list {
	struct sys_mutex lock;
	struct waiter *first;
} lists[LISTS] = {[0 ... LISTS - 1] = {.lock = SYS_MUTEX}};

static struct list *list_of(const uint8_t *at)
{
	return &lists[((uintptr_t)at >> 2) * UINT64_C(0x9e3779b97f4a7c15) >> 58];
}
_Static_assert(LISTS == 1u << (64 - 58), "the upper bits of a product");

static void leave(struct list *l, struct waiter *w)
{
	struct waiter **p = &l->first;
	while (*p != w)
		p = &(*p)->next;
	*p = w->next;
}

static enum trap place_of(const struct abi_vmctx *ctx, uint32_t memory, uint64_t address, unsigned size, struct vm_memory **ret, uint8_t **ret_at)
{
	*ret = ((struct vm_instance *)ctx->instance)->memories[memory];
	if (address % size)
		return TRAP_UNALIGNED_ATOMIC;
	*ret_at = vm_memory_map(&(*ret)->abi, address, size);
	return *ret_at ? TRAP_NONE : TRAP_MEMORY_OUT_OF_BOUNDS;
}

static uint64_t value_at(const uint8_t *at, unsigned size)
{
	return size == 4 ? __atomic_load_n((const uint32_t *)(const void *)at, __ATOMIC_SEQ_CST) : __atomic_load_n((const uint64_t *)(const void *)at, __ATOMIC_SEQ_CST);
}

// Under the list's lock, which is open in between. *ret: WOKEN or TIMED_OUT.
static enum trap sleep_until(struct vm_shard *s, struct list *l, struct waiter *w, uint64_t deadline, uint64_t *ret)
{
	for (;;) {
		uint64_t now = sys_now_ns();
		*ret = w->is_woken ? WOKEN : TIMED_OUT;
		if (w->is_woken || now >= deadline)
			return TRAP_NONE;
		sys_cond_wait_until(&w->cond, &l->lock, min_u64(deadline, now + LOOK_NS));
		if (w->is_woken)
			continue;
		sys_mutex_unlock(&l->lock);
		enum trap end = vm__fiber_give_way(s);
		sys_mutex_lock(&l->lock);
		if (end)
			return end;
	}
}

static enum trap wait_at(struct vm_shard *s, const uint8_t *at, unsigned size, uint64_t expected, uint64_t deadline, uint64_t *ret)
{
	struct waiter w = {.at = at, .shard = s}, **p;
	struct list *l = list_of(at);
	if (!sys_cond_init(&w.cond))
		return TRAP_OUT_OF_MEMORY;
	enum trap end = TRAP_NONE;
	*ret = NOT_EQUAL;
	sys_mutex_lock(&l->lock);
	if (value_at(at, size) == expected) {
		for (p = &l->first; *p; p = &(*p)->next)
			;
		*p = &w;
		end = sleep_until(s, l, &w, deadline, ret);
		if (!w.is_woken)
			leave(l, &w);
	}
	sys_mutex_unlock(&l->lock);
	sys_cond_release(&w.cond);
	return end;
}

// A negative timeout is none.
static uint64_t deadline_of(uint64_t timeout)
{
	uint64_t now = sys_now_ns();
	return (int64_t)timeout < 0 || timeout > UINT64_MAX - now ? UINT64_MAX : now + timeout;
}

uint32_t vm__atomic_wait(struct abi_vmctx *ctx, uint32_t memory, uint64_t address, unsigned size, uint64_t expected, uint64_t timeout)
{
	struct vm_memory *m;
	uint8_t *at;
	uint64_t result;
	enum trap t = place_of(ctx, memory, address, size, &m, &at);
	if (t)
		return t;
	if (!m->shared)
		return TRAP_EXPECTED_SHARED_MEMORY;
	struct vm_shard *s = ctx->exec->shard;
	if (!((struct vm_instance *)ctx->instance)->store->limits.may_block)
		return TRAP_ATOMIC_WAIT;
	t = wait_at(s, at, size, expected, deadline_of(timeout), &result);
	if (!t && UNLIKELY(__atomic_load_n(&ctx->exec->interrupt, __ATOMIC_RELAXED)))
		t = vm__fiber_give_way(s);
	ctx->exec->libcall_result = result;
	return t;
}

// Nobody waits at what is not shared.
uint32_t vm__atomic_notify(struct abi_vmctx *ctx, uint32_t memory, uint64_t address, uint32_t count)
{
	struct vm_memory *m;
	uint8_t *at;
	enum trap t = place_of(ctx, memory, address, 4, &m, &at);
	if (t)
		return t;
	uint32_t n = 0;
	struct list *l = list_of(at);
	sys_mutex_lock(&l->lock);
	for (struct waiter **p = &l->first, *w; (w = *p) && n < count;) {
		if (w->at != at) {
			p = &w->next;
			continue;
		}
		*p = w->next;
		w->is_woken = true;
		sys_cond_signal(&w->cond);
		n++;
	}
	sys_mutex_unlock(&l->lock);
	ctx->exec->libcall_result = n;
	return TRAP_NONE;
}

void vm_shard_look(const struct vm_shard *s)
{
	for (struct list *l = lists; l < lists + LISTS; l++) {
		sys_mutex_lock(&l->lock);
		for (struct waiter *w = l->first; w; w = w->next)
			if (w->shard == s)
				sys_cond_signal(&w->cond);
		sys_mutex_unlock(&l->lock);
	}
}
