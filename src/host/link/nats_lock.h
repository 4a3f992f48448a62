// Locks of keys in this process (nats_lock.c). Any thread, each waiter on its own.
#ifndef TENON_LINK_NATS_LOCK_H
#define TENON_LINK_NATS_LOCK_H

#include "base/base.h"
#include "loop/loop.h"

enum { NATS_LOCKS = 256 };
struct nats_waiter {
	struct nats_waiter *next, **prev;  // under the lock
	enum { NATS_IDLE, NATS_WAITS, NATS_GRANTED, NATS_HOLDS } state;
	struct loop *loop;                 // where `granted` is called, once, when it holds the lock after it waited
	struct loop_remote granted;
};
struct nats_lock {
	struct spinlock lock;
	bool held;
	struct nats_waiter *first, **last;
	// The holder's: what he knows of the key he wrote last.
	struct hash128 name;
	uint64_t sequence;                 // 0: nothing
	int64_t number;
};
struct nats_locks;
struct nats_locks *nats__locks_new(void);
void nats__locks_free(struct nats_locks *l);
struct nats_lock *nats__lock_of(struct nats_locks *l, struct hash128 name);
// true: it is his at once. The caller has set loop and granted.fn.
NODISCARD bool nats__lock_take(struct nats_lock *l, struct nats_waiter *w);
void nats__lock_leave(struct nats_lock *l, struct nats_waiter *w);
// He does not want it any more. false: it has been given to him, and `granted` is on its way: he leaves it there.
bool nats__lock_give_up(struct nats_lock *l, struct nats_waiter *w);

#endif
