// The part of a libc that the bindings use; libc.c defines it.
#ifndef HELLO_LIBC_H
#define HELLO_LIBC_H
#include <stddef.h>
void *malloc(size_t size);
void *realloc(void *old, size_t size);
void free(void *p);
size_t heap_mark(void);
void heap_release(size_t mark);
_Noreturn void abort(void);
void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memset(void *to, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
#endif
