// What threads share: a count that stays within its limit, and a lock that is held for a few instructions.
#ifndef TENON_BASE_SHARED_H
#define TENON_BASE_SHARED_H

#include "util.h"

struct shared_count {
	uint64_t n;
};

// One more, if that is at most `limit`. Never counted beyond it, not even for a moment: who is refused was refused by those that are counted.
static inline bool shared_count_up(struct shared_count *c, uint64_t limit)
{
	uint64_t have = __atomic_load_n(&c->n, __ATOMIC_SEQ_CST);
	while (have < limit)
		if (__atomic_compare_exchange_n(&c->n, &have, have + 1, true, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			return true;
	return false;
}

// Returns how many are left.
static inline uint64_t shared_count_down(struct shared_count *c)
{
	return __atomic_sub_fetch(&c->n, 1, __ATOMIC_SEQ_CST);
}

static inline uint64_t shared_count_now(const struct shared_count *c)
{
	return __atomic_load_n(&c->n, __ATOMIC_SEQ_CST);
}

// Who waits for it spins. Zeroed: free.
struct spinlock {
	bool held;
};

static inline void spinlock_lock(struct spinlock *l)
{
	while (__atomic_test_and_set(&l->held, __ATOMIC_ACQUIRE))
		;
}

static inline void spinlock_unlock(struct spinlock *l)
{
	__atomic_clear(&l->held, __ATOMIC_RELEASE);
}

#endif
