// Inside the room base.
#ifndef TENON_BASE_INT_H
#define TENON_BASE_INT_H

#include <stddef.h>

// As mem_alloc and mem_realloc, of bytes that an account was charged for: whoever watches (mem_watch) is not told.
void *mem_alloc_charged(size_t size);
void *mem_realloc_charged(void *p, size_t size);

#endif
