#include "pool.h"

#include <string.h>

#include "base_int.h"
#include "sanitize.h"

// In front of each block. What is charged is the whole block and what malloc adds to it.
struct pool_block {
	union {
		struct pool *pool;         // in use; NULL: of the heap
		struct pool_block *next;   // kept
	};
	uint64_t size;  // with this header, as it was asked of the heap
};
_Static_assert(sizeof(struct pool_block) == 16, "blocks are aligned to 16");

#if SANITIZE_ADDRESS  // it is to see what is used after it was freed
enum { KEPT_MAX = 0 };
#else
enum { KEPT_MAX = 16 << 10 };
#endif
enum { HEAP_OVERHEAD = 16 };

// Two to each power of two: 32, 48, 64, 96, … The last is LARGEST.
enum { SMALLEST = 32, LARGEST = 8192 };
_Static_assert(SMALLEST << (POOL_CLASSES - 1) / 2 == LARGEST && POOL_CLASSES % 2 == 1, "as many as POOL_CLASSES");

// Of a size of at least SMALLEST; POOL_CLASSES: too large to be kept.
static inline unsigned class_of(size_t size)
{
	if (size > LARGEST)
		return POOL_CLASSES;
	unsigned last = (unsigned)size - 1, log2 = 31 - (unsigned)__builtin_clz(last), is_upper = last >> (log2 - 1) & 1;
	return 2 * log2 + is_upper - 9;
}

static inline size_t class_size(unsigned c)
{
	return (size_t)(c & 1 ? SMALLEST / 2 * 3 : SMALLEST) << c / 2;
}

// Of a block for `size` bytes, at most SIZE_MAX / 2.
static inline size_t block_size(size_t size)
{
	size_t want = (size + sizeof(struct pool_block) + 15) & ~(size_t)15;
	return want < SMALLEST ? SMALLEST : want;
}

void pool_init(struct pool *p, struct account *account)
{
	*p = (struct pool){.account = account};
}

static void drop_kept(struct pool *p)
{
	for (unsigned c = 0; c < POOL_CLASSES; c++) {
		for (struct pool_block *b = p->kept[c], *next; b; b = next) {
			next = b->next;
			mem_free(b);
		}
		p->kept[c] = NULL;
	}
	p->kept_bytes = 0;
}

void pool_release(struct pool *p)
{
	BUG_ON(p->blocks != 0);
	drop_kept(p);
}

void pool_detach(struct pool *p)
{
	p->account = NULL;
}

static inline bool charge(struct pool *p, uint64_t size)
{
	p->over = p->account && !account_charge(p->account, size + HEAP_OVERHEAD);
	return !p->over;
}

static inline void uncharge(struct pool *p, uint64_t size)
{
	if (p->account)
		account_uncharge(p->account, size + HEAP_OVERHEAD);
}

static inline struct pool_block *take(struct pool *p, size_t want)
{
	unsigned c = class_of(want);
	size_t size = c < POOL_CLASSES ? class_size(c) : want;
	if (!charge(p, size))
		return NULL;
	struct pool_block *b = c < POOL_CLASSES ? p->kept[c] : NULL;
	if (LIKELY(b)) {
		p->kept[c] = b->next;
		p->kept_bytes -= (uint32_t)size;
	} else {
		b = p->account ? mem_alloc_charged(size) : mem_alloc(size);
		if (!b) {
			uncharge(p, size);
			return NULL;
		}
		b->size = size;
	}
	b->pool = p;
	p->blocks++;
	return b;
}

void *pool_alloc(struct pool *p, size_t size)
{
	if (size > SIZE_MAX / 2)
		return NULL;
	size_t want = block_size(size);
	struct pool_block *b;
	if (LIKELY(p)) {
		b = take(p, want);
	} else if ((b = mem_alloc(want))) {
		*b = (struct pool_block){.size = want};
	}
	return b ? b + 1 : NULL;
}

void *pool_zalloc(struct pool *p, size_t size)
{
	void *block = pool_alloc(p, size);
	return block ? memset(block, 0, size) : NULL;
}

// Large ones move by the system's means.
static void *grow_large(struct pool *p, struct pool_block *b, size_t want)
{
	size_t old = b->size;
	if (p && !charge(p, want))
		return NULL;
	struct pool_block *moved = p && p->account ? mem_realloc_charged(b, want) : mem_realloc(b, want);
	if (p)
		uncharge(p, moved ? old : want);
	if (!moved)
		return NULL;
	moved->size = want;
	return moved + 1;
}

void *pool_realloc(struct pool *p, void *block, size_t size)
{
	if (!block)
		return pool_alloc(p, size);
	struct pool_block *b = (struct pool_block *)block - 1;
	if (size > SIZE_MAX / 2)
		return NULL;
	size_t want = block_size(size);
	if (want <= b->size)
		return block;
	if (!p || class_of(b->size) == POOL_CLASSES)
		return grow_large(p, b, want);
	void *copy = pool_alloc(p, size);
	if (!copy)
		return NULL;
	memcpy(copy, block, b->size - sizeof(*b));
	pool_free(block);
	return copy;
}

void pool_free(void *block)
{
	if (!block)
		return;
	struct pool_block *b = (struct pool_block *)block - 1;
	struct pool *p = b->pool;
	if (!p) {
		mem_free(b);
		return;
	}
	unsigned c = class_of(b->size);
	uncharge(p, b->size);
	p->blocks--;
	if (c == POOL_CLASSES || p->kept_bytes + b->size > KEPT_MAX) {
		mem_free(b);
		return;
	}
	b->next = p->kept[c];
	p->kept[c] = b;
	p->kept_bytes += (uint32_t)b->size;
}

static void leave(struct pool_block *b)
{
	if (!b->pool)
		return;
	uncharge(b->pool, b->size);
	b->pool->blocks--;
	b->pool = NULL;
}

void pool_disown(void *block)
{
	leave((struct pool_block *)block - 1);
}

bool pool_move(struct pool *to, void *block)
{
	struct pool_block *b = block ? (struct pool_block *)block - 1 : NULL;
	if (!b || b->pool == to)
		return true;
	if (!charge(to, b->size))
		return false;
	leave(b);
	b->pool = to;
	to->blocks++;
	return true;
}
