// What is asked of the heap. Our own code allocates with mem_alloc and its like, which tell of what no account was charged for; of what libraries ask for
// functions tell that stand before libc's own, but in a build with a sanitizer, which stands there itself.
#ifndef TESTS_ACCOUNTS_ALLOCATIONS_H
#define TESTS_ACCOUNTS_ALLOCATIONS_H

#include <stdint.h>
#include <stdlib.h>

#include "base/base.h"

// By a library, on any thread.
static void on_library_alloc(size_t size) UNUSED;

// By ourselves, on this thread; NULL: nobody is told any more.
static void tell_of_allocations(void (*on_alloc)(size_t size))
{
	mem_watch(on_alloc);
}

extern const char __executable_start[], etext[];

static UNUSED bool is_of_the_program(uintptr_t pc)
{
	return pc >= (uintptr_t)__executable_start && pc < (uintptr_t)etext;
}

#if !SANITIZE_ADDRESS && !SANITIZE_THREAD
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t align, size_t size);

static void see(const void *caller, size_t size)
{
	if (!is_of_the_program((uintptr_t)caller))
		on_library_alloc(size);
}

void *malloc(size_t size)
{
	see(__builtin_return_address(0), size);
	return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	see(__builtin_return_address(0), n * size);
	return __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	see(__builtin_return_address(0), size);
	return __libc_realloc(p, size);
}

void *aligned_alloc(size_t align, size_t size)
{
	see(__builtin_return_address(0), size);
	return __libc_memalign(align, size);
}
#endif

#endif
