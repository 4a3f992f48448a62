// A typed growable array. VEC(struct x) is a struct with ptr, len, cap; it grows in an arena (old storage stays there) or on the heap.
// Every push states the maximum: nothing grows without a bound.
#ifndef TENON_BASE_VEC_H
#define TENON_BASE_VEC_H

#include "arena.h"

#define VEC(T)             \
	struct {               \
		T *ptr;            \
		uint32_t len, cap; \
	}

// A place for one more element at the end, uninitialised, already counted; NULL when `max` or memory is exhausted.
#define VEC_ADD(arena, v, max) \
	((__typeof__((v)->ptr))vec_add_raw((arena), (void **)&(v)->ptr, &(v)->len, &(v)->cap, sizeof(*(v)->ptr), _Alignof(__typeof__(*(v)->ptr)), (max)))
#define VEC_PUSH(arena, v, value, max)                                 \
	({                                                                 \
		__typeof__((v)->ptr) vec_slot_ = VEC_ADD((arena), (v), (max)); \
		if (vec_slot_)                                                 \
			*vec_slot_ = (value);                                      \
		vec_slot_ != NULL;                                             \
	})
// Room for n more without growing, as far as there may be so many. false: memory is out.
#define VEC_RESERVE(arena, v, n, max) \
	vec_reserve_raw((arena), (void **)&(v)->ptr, (v)->len, &(v)->cap, sizeof(*(v)->ptr), _Alignof(__typeof__(*(v)->ptr)), (n), (max))
// For vectors on the heap (pass arena NULL to VEC_ADD and VEC_PUSH).
#define VEC_FREE(v)              \
	do {                         \
		mem_free((v)->ptr);      \
		(v)->ptr = NULL;         \
		(v)->len = (v)->cap = 0; \
	} while (0)

bool vec_reserve_raw(struct arena *a, void **ptr, uint32_t len, uint32_t *cap, size_t size, size_t align, uint32_t n, uint32_t max);
void *vec_add_raw(struct arena *a, void **ptr, uint32_t *len, uint32_t *cap, size_t size, size_t align, uint32_t max);

#endif
