// A growable run of bytes on the heap, with a maximum.
#ifndef TENON_BASE_BUF_H
#define TENON_BASE_BUF_H

#include <stdio.h>

#include "pool.h"
#include "slice.h"

struct err;

struct buf {
	uint8_t *ptr;
	size_t len, cap;
	size_t max;    // 0: none
	struct pool *pool;  // where the storage comes from; NULL: the heap
	bool failed;   // an append did not fit or memory was out; sticky until buf_clear
};

// A zeroed struct is an empty buffer without maximum.
void buf_release(struct buf *b);
// Empties it, keeps the storage.
void buf_clear(struct buf *b);
// Room for `n` more bytes at ptr + len; NULL (and failed) when there is none.
uint8_t *buf_reserve(struct buf *b, size_t n);
// These return false, and set `failed`, when the bytes do not fit: a caller may check once at the end.
bool buf_put(struct buf *b, const void *data, size_t len);
bool buf_put_slice(struct buf *b, struct slice s);
bool buf_put_str(struct buf *b, const char *text);
bool buf_put_byte(struct buf *b, uint8_t byte);
bool buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
// As a string of JSON with its quotes; what is not UTF-8 becomes U+FFFD, what buf_put_printable writes as bytes an escape (below U+10000), since lines of JSON are
// printed on terminals too.
bool buf_put_json_string(struct buf *b, struct slice s);
// For terminals and logs: control characters but `keep` (may be empty), those that nobody sees or that turn the direction of writing, and what is not UTF-8, become
// \xNN.
bool buf_put_printable(struct buf *b, struct slice s, const char *keep);
// What is left of a stream, up to b->max, which is set; `path` names it in errors. Errors: LIMIT (there is more), ENV, NOMEM.
NODISCARD bool buf_read(struct buf *b, FILE *f, const char *path, struct err *e);
static inline struct slice buf_view(const struct buf *b)
{
	return slice_of(b->ptr, b->len);
}

#endif
