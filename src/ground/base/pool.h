// Heap memory of one owner (an instance on the host's side), charged to its account: blocks by size class, kept when they are freed, so that an owner that is
// used again and again allocates nothing. A block knows its pool. Not for several threads.
#ifndef TENON_BASE_POOL_H
#define TENON_BASE_POOL_H

#include "account.h"

enum { POOL_CLASSES = 17 };
struct pool_block;
struct pool {
	struct account *account;  // NULL: nothing is charged
	struct pool_block *kept[POOL_CLASSES];
	uint32_t kept_bytes;      // uncharged, at most POOL_KEPT_MAX
	bool over;              // the last refusal was the account's, not the system's
	uint64_t blocks;          // that are in use
};

void pool_init(struct pool *p, struct account *account);
// Frees what is kept. All blocks must have been freed.
void pool_release(struct pool *p);
// Aligned to 16. NULL: over the limit (p->over), or memory is out. A NULL pool is the heap.
NODISCARD void *pool_alloc(struct pool *p, size_t size);
NODISCARD void *pool_zalloc(struct pool *p, size_t size);
NODISCARD void *pool_realloc(struct pool *p, void *block, size_t size);
// To the pool it came from; NULL does nothing.
void pool_free(void *block);
// The block is the heap's from now on: nobody is charged for it, it outlives the pool, and pool_free frees it on any thread.
void pool_disown(void *block);
// The block is that pool's from now on, whose account is charged in place of its own's; it stays where it is. NULL does nothing. false: `to` may have no more,
// and nothing has changed.
NODISCARD bool pool_move(struct pool *to, void *block);
// From now on nothing is charged: what is in use, and its owner, outlive the account.
void pool_detach(struct pool *p);

#endif
