// An arena owns everything that lives as long as a module, a compile or a request; nothing in it is freed singly.
#ifndef TENON_BASE_ARENA_H
#define TENON_BASE_ARENA_H

#include "pool.h"

struct arena_chunk;

struct arena {
	struct arena_chunk *first, *current;
	uint8_t *next, *end;  // free space of the current chunk
	size_t used;          // bytes of all chunks
	size_t max;           // bytes it may take from the heap at most
	struct pool *pool;    // where they come from; NULL: the heap
};

// `max` bounds the heap memory of the arena in bytes (0: no bound). Allocates nothing yet.
void arena_init(struct arena *a, size_t max);
// The same with memory of a pool, which must outlive it.
void arena_init_pool(struct arena *a, size_t max, struct pool *pool);
// Frees everything; the arena may be used again.
void arena_release(struct arena *a);
// Forgets everything but keeps the first chunk, so that a request that fits in it allocates nothing.
void arena_clear(struct arena *a);

// A point to go back to: what was allocated after the mark is forgotten by the rewind (chunks made since then are freed).
struct arena_mark {
	struct arena_chunk *current;
	uint8_t *next;
};
static inline struct arena_mark arena_mark(const struct arena *a)
{
	return (struct arena_mark){a->current, a->next};
}
void arena_rewind_slow(struct arena *a, struct arena_mark m);
static inline void arena_rewind(struct arena *a, struct arena_mark m)
{
	if (LIKELY(a->current == m.current))
		a->next = m.next;
	else
		arena_rewind_slow(a, m);
}

// Uninitialised / zeroed memory, aligned to `align` (a power of two, at most 64). NULL when the bound or the heap is exhausted.
NODISCARD void *arena_alloc(struct arena *a, size_t size, size_t align);
NODISCARD void *arena_zalloc(struct arena *a, size_t size, size_t align);
NODISCARD void *arena_copy(struct arena *a, const void *data, size_t size, size_t align);
// `n` elements of `size` bytes, zeroed; the product is checked.
NODISCARD void *arena_array_raw(struct arena *a, size_t n, size_t size, size_t align);

#define ARENA_NEW(a, T) ((T *)arena_zalloc((a), sizeof(T), _Alignof(T)))
#define ARENA_ARRAY(a, T, n) ((T *)arena_array_raw((a), (n), sizeof(T), _Alignof(T)))

#endif
