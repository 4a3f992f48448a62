// Bytes that somebody else owns. Text is a slice too (UTF-8, no terminating zero).
#ifndef TENON_BASE_SLICE_H
#define TENON_BASE_SLICE_H

#include <string.h>

#include "arena.h"

struct slice {
	const uint8_t *ptr;
	size_t len;
};

#define SLICE_LIT(text) ((struct slice){(const uint8_t *)(text), sizeof(text) - 1})
// For printf's "%.*s".
#define SLICE_ARGS(s) (int)(s).len, (const char *)(s).ptr

static inline struct slice slice_of(const void *ptr, size_t len)
{
	return (struct slice){ptr, len};
}
static inline struct slice slice_str(const char *text)
{
	return (struct slice){(const uint8_t *)text, text ? strlen(text) : 0};
}
static inline bool slice_eq(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
static inline bool slice_eq_str(struct slice a, const char *b)
{
	return slice_eq(a, slice_str(b));
}
static inline bool slice_starts_with(struct slice a, struct slice prefix)
{
	return a.len >= prefix.len && (prefix.len == 0 || memcmp(a.ptr, prefix.ptr, prefix.len) == 0);
}
static inline bool slice_ends_with(struct slice a, struct slice suffix)
{
	return a.len >= suffix.len && (suffix.len == 0 || memcmp(a.ptr + a.len - suffix.len, suffix.ptr, suffix.len) == 0);
}
// The part from `from` of at most `len` bytes; both are cut to what is there.
static inline struct slice slice_sub(struct slice a, size_t from, size_t len)
{
	if (from > a.len)
		from = a.len;
	return (struct slice){from ? a.ptr + from : a.ptr, len > a.len - from ? a.len - from : len};  // an empty one may be NULL
}
// Index of the first `byte`, or a.len.
static inline size_t slice_find(struct slice a, uint8_t byte)
{
	const uint8_t *p = a.len ? memchr(a.ptr, byte, a.len) : NULL;
	return p ? (size_t)(p - a.ptr) : a.len;
}
// The whole lines at its beginning that fit into `max` bytes; the last one needs no newline if all fits.
static inline struct slice slice_whole_lines(struct slice a, size_t max)
{
	if (a.len <= max)
		return a;
	while (max && a.ptr[max - 1] != '\n')
		max--;
	return (struct slice){a.ptr, max};
}
// Order of bytes, shorter first where one is the beginning of the other.
static inline int slice_cmp(struct slice a, struct slice b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int c = n ? memcmp(a.ptr, b.ptr, n) : 0;
	return c ? c : (a.len > b.len) - (a.len < b.len);
}

// Copies into the arena; the copy of text ends in a zero byte that is not counted. false: memory is out.
NODISCARD bool slice_dup(struct arena *a, struct slice s, struct slice *ret);
// The same of `n` texts, and of the list of them.
NODISCARD bool texts_dup(struct arena *a, const char *const *from, uint32_t n, const char ***ret);
// Decimal digits only, no sign, no white space, at most `max`.
NODISCARD bool slice_parse_u64(struct slice s, uint64_t max, uint64_t *ret);

#endif
