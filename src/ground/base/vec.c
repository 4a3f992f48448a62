#include "vec.h"

#include "base_int.h"

#include <string.h>

static bool widen(struct arena *a, void **ptr, uint32_t *cap, uint32_t len, size_t size, size_t align, uint64_t want)
{
	if (a && base__arena_extend(a, *ptr, *cap * size, want * size)) {
		*cap = (uint32_t)want;
		return true;
	}
	void *p = a ? arena_alloc(a, want * size, align) : mem_realloc(*ptr, want * size);
	if (!p)
		return false;
	if (a && len)
		memcpy(p, *ptr, (size_t)len * size);
	*ptr = p;
	*cap = (uint32_t)want;
	return true;
}

static bool grow(struct arena *a, void **ptr, uint32_t *cap, uint32_t len, size_t size, size_t align, uint32_t max)
{
	uint64_t want = min_u64(*cap ? (uint64_t)*cap * 2 : 8, max);
	return want > len && widen(a, ptr, cap, len, size, align, want);
}

bool vec_reserve_raw(struct arena *a, void **ptr, uint32_t len, uint32_t *cap, size_t size, size_t align, uint32_t n, uint32_t max)
{
	uint64_t want = min_u64((uint64_t)len + n, max);
	return want <= *cap || widen(a, ptr, cap, len, size, align, want);
}

void *vec_add_raw(struct arena *a, void **ptr, uint32_t *len, uint32_t *cap, size_t size, size_t align, uint32_t max)
{
	if (*len >= max || (*len == *cap && !grow(a, ptr, cap, *len, size, align, max)))
		return NULL;
	return (uint8_t *)*ptr + (size_t)(*len)++ * size;
}
