// Small words of the language we write in.
#ifndef TENON_BASE_UTIL_H
#define TENON_BASE_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NODISCARD __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define UNUSED __attribute__((unused))
#define NOINLINE __attribute__((noinline))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
// Where const must go: what its owner shows as const and changes or frees himself, and calls of others that say less than they keep.
#define UNCONST(ptr) ((void *)(uintptr_t)(ptr))

// Units: sizes in bytes, times in nanoseconds.
#define KIB 1024ull
#define MIB (1024ull * KIB)
#define GIB (1024ull * MIB)
#define MILLISECOND 1000000ull
#define SECOND 1000000000ull

// AUTO(T) v = {0}: dropped by T_release on every way out of the block.
#define AUTO(T) __attribute__((cleanup(T##_release))) struct T

// A broken invariant of ours: reports and aborts. Never used for input.
#define BUG_ON(cond)                              \
	do {                                          \
		if (UNLIKELY(cond))                       \
			bug_abort(__FILE__, __LINE__, #cond); \
	} while (0)
_Noreturn void bug_abort(const char *file, int line, const char *what);

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}
static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}
// `align` is a power of two. Saturates at 2^64 - align.
static inline uint64_t align_up_u64(uint64_t v, uint64_t align)
{
	return v > UINT64_MAX - (align - 1) ? UINT64_MAX & ~(align - 1) : (v + align - 1) & ~(align - 1);
}
static inline uint64_t sat_add_u64(uint64_t a, uint64_t b)
{
	uint64_t r;
	return __builtin_add_overflow(a, b, &r) ? UINT64_MAX : r;
}
static inline uint64_t sat_mul_u64(uint64_t a, uint64_t b)
{
	uint64_t r;
	return __builtin_mul_overflow(a, b, &r) ? UINT64_MAX : r;
}

// All heap memory comes from here, so that a test can make the n-th allocation fail.
// They return NULL when memory is out or the fault is injected; mem_free(NULL) does nothing.
void *mem_alloc(size_t size);
void *mem_zalloc(size_t size);
void *mem_realloc(void *p, size_t size);
void mem_free(void *p);
// Fail the n-th allocation from now in this thread (1 = the next one); 0 turns it off.
void mem_fail_nth(uint64_t n);  // for tests
// `on_alloc` is called for each allocation of this thread that no account was charged for; NULL: nobody is told.
void mem_watch(void (*on_alloc)(size_t size));  // for tests

#endif
