// Inside the room base.
#ifndef TENON_BASE_INT_H
#define TENON_BASE_INT_H

#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "slice.h"

#include "buf.h"

// As mem_alloc and mem_realloc, of bytes that an account was charged for: whoever watches (mem_watch) is not told.
void *mem_alloc_charged(size_t size);
void *mem_realloc_charged(void *p, size_t size);
// Appends a name of C++; false: it is none, or means too long a text.
bool base__demangle_cxx(struct buf *out, struct slice mangled);

// Makes the last allocation larger where it lies, from `old` to `size` bytes. False: it is not the last, or there is no room.
bool base__arena_extend(struct arena *a, const void *p, size_t old, size_t size);

// What maps go by: SipHash-1-3.
uint64_t map__hash(struct slice bytes, const uint64_t key[2]);

#endif
