// Locks of keys in this process: NATS has no increment, and 64 who compare and swap one key against each other starve. So increments of a key go one after the
// other, whatever thread they come from, and the next one knows what the one before has written.
//
// 1. A lock is held by one, from nats__lock_take (or its `granted`) to nats__lock_leave; the others wait in the order in which they came.
// 2. Keys with the same hash share a lock. What is known of a key is told by its whole name's 128 bits.
#include "nats_lock.h"

struct nats_locks {
	struct nats_lock list[NATS_LOCKS];
};

struct nats_locks *nats__locks_new(void)
{
	return mem_zalloc(sizeof(struct nats_locks));
}

void nats__locks_free(struct nats_locks *l)
{
	mem_free(l);
}

struct nats_lock *nats__lock_of(struct nats_locks *l, struct hash128 name)
{
	return &l->list[name.low % NATS_LOCKS];
}

bool nats__lock_take(struct nats_lock *l, struct nats_waiter *w)
{
	spinlock_lock(&l->lock);
	bool free = !l->held;
	l->held = true;
	w->state = free ? NATS_HOLDS : NATS_WAITS;
	if (!free) {
		w->next = NULL;
		w->prev = l->first ? l->last : &l->first;
		*w->prev = w;
		l->last = &w->next;
	}
	spinlock_unlock(&l->lock);
	return free;
}

// Under the lock.
static void take_out(struct nats_lock *l, struct nats_waiter *w)
{
	*w->prev = w->next;
	if (w->next)
		w->next->prev = w->prev;
	else
		l->last = w->prev;
}

void nats__lock_leave(struct nats_lock *l, struct nats_waiter *w)
{
	spinlock_lock(&l->lock);
	struct nats_waiter *next = l->first;
	if (next) {
		take_out(l, next);
		next->state = NATS_GRANTED;
	} else {
		l->held = false;
	}
	w->state = NATS_IDLE;
	spinlock_unlock(&l->lock);
	if (next)
		loop_post_remote(next->loop, &next->granted);
}

bool nats__lock_give_up(struct nats_lock *l, struct nats_waiter *w)
{
	spinlock_lock(&l->lock);
	bool waited = w->state == NATS_WAITS;
	if (waited) {
		take_out(l, w);
		w->state = NATS_IDLE;
	}
	spinlock_unlock(&l->lock);
	return waited;
}
