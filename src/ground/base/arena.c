#include "base_int.h"

#include <string.h>

struct arena_chunk {
	struct arena_chunk *next;
	size_t size;  // of the whole chunk, this header included
	_Alignas(16) uint8_t data[];  // as far as malloc goes; arena_alloc does the rest
};

enum { FIRST_CHUNK = 4080, LARGEST_CHUNK = 1 << 20 };  // the first with a pool's header is a page

void arena_init(struct arena *a, size_t max)
{
	arena_init_pool(a, max, NULL);
}

void arena_init_pool(struct arena *a, size_t max, struct pool *pool)
{
	*a = (struct arena){.max = max ? max : SIZE_MAX, .pool = pool};
}

static void free_chunk(struct arena *a, struct arena_chunk *c)
{
	if (a->pool)
		pool_free(c);
	else
		mem_free(c);
}

void arena_release(struct arena *a)
{
	for (struct arena_chunk *c = a->first, *next; c; c = next) {
		next = c->next;
		free_chunk(a, c);
	}
	*a = (struct arena){.max = a->max, .pool = a->pool};
}

static void use_chunk(struct arena *a, struct arena_chunk *c)
{
	a->current = c;
	a->next = c->data;
	a->end = (uint8_t *)c + c->size;
}

void arena_clear(struct arena *a)
{
	if (!a->first)
		return;
	for (struct arena_chunk *c = a->first->next, *next; c; c = next) {
		next = c->next;
		a->used -= c->size;
		free_chunk(a, c);
	}
	a->first->next = NULL;
	use_chunk(a, a->first);
}

void arena_rewind_slow(struct arena *a, struct arena_mark m)
{
	if (!m.current) {
		arena_clear(a);
		return;
	}
	for (struct arena_chunk *c = m.current->next, *next; c; c = next) {
		next = c->next;
		a->used -= c->size;
		free_chunk(a, c);
	}
	m.current->next = NULL;
	use_chunk(a, m.current);
	a->next = m.next;
}

static bool add_chunk(struct arena *a, size_t size)
{
	size_t want = a->current ? min_u64(a->current->size * 2, LARGEST_CHUNK) : FIRST_CHUNK;
	if (want < size + sizeof(struct arena_chunk) + 64)
		want = size + sizeof(struct arena_chunk) + 64;
	if (want < size || want > a->max - a->used)
		return false;
	struct arena_chunk *c = a->pool ? pool_alloc(a->pool, want) : mem_alloc(want);
	if (!c)
		return false;
	c->next = NULL;
	c->size = want;
	if (a->current)
		a->current->next = c;
	else
		a->first = c;
	a->used += want;
	use_chunk(a, c);
	return true;
}

void *arena_alloc(struct arena *a, size_t size, size_t align)
{
	BUG_ON(align == 0 || (align & (align - 1)) || align > 64);
	if (size > SIZE_MAX / 2)
		return NULL;
	for (int try = 0; try < 2; try++) {
		uintptr_t at = ((uintptr_t)a->next + align - 1) & ~(uintptr_t)(align - 1);
		if (a->next && at <= (uintptr_t)a->end && size <= (uintptr_t)a->end - at) {
			a->next = (uint8_t *)at + size;
			return (uint8_t *)at;
		}
		if (try == 0 && !add_chunk(a, size))
			return NULL;
	}
	return NULL;
}

bool base__arena_extend(struct arena *a, const void *p, size_t old, size_t size)
{
	const uint8_t *at = p;
	if (!p || at + old != a->next || size < old || size - old > (size_t)(a->end - a->next))
		return false;
	a->next += size - old;
	return true;
}

void *arena_zalloc(struct arena *a, size_t size, size_t align)
{
	void *p = arena_alloc(a, size, align);
	return p ? memset(p, 0, size) : NULL;
}

void *arena_copy(struct arena *a, const void *data, size_t size, size_t align)
{
	void *p = arena_alloc(a, size, align);
	return p && size ? memcpy(p, data, size) : p;
}

void *arena_array_raw(struct arena *a, size_t n, size_t size, size_t align)
{
	size_t total;
	if (__builtin_mul_overflow(n, size, &total))
		return NULL;
	return arena_zalloc(a, total, align);
}
