// Preloaded into the server by test_steady.py: counts what is asked of the heap, in the first eight bytes of the file that $ALLOCATIONS names.
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t align, size_t size);

static _Atomic uint64_t *count;

__attribute__((constructor)) static void open_count(void)
{
	int fd = open(getenv("ALLOCATIONS"), O_RDWR | O_CLOEXEC);
	void *at = fd < 0 ? MAP_FAILED : mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	count = at == MAP_FAILED ? NULL : at;
}

static void one_more(void)
{
	if (count)
		atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
}

void *malloc(size_t size)
{
	one_more();
	return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	one_more();
	return __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	one_more();
	return __libc_realloc(p, size);
}

void *aligned_alloc(size_t align, size_t size)
{
	one_more();
	return __libc_memalign(align, size);
}
