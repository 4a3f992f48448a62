#include "util.h"

#include <stdio.h>
#include <stdlib.h>

#include "base_int.h"

static _Thread_local uint64_t fail_countdown;
static _Thread_local void (*watcher)(size_t size);

_Noreturn void bug_abort(const char *file, int line, const char *what)
{
	fprintf(stderr, "tenon: bug: %s:%d: %s\n", file, line, what);
	abort();
}

static bool injected_fault(void)
{
	return UNLIKELY(fail_countdown != 0) && --fail_countdown == 0;
}

static void tell(size_t size)
{
	if (UNLIKELY(watcher != NULL))
		watcher(size);
}

void *mem_alloc_charged(size_t size)
{
	return injected_fault() ? NULL : malloc(size ? size : 1);
}

void *mem_realloc_charged(void *p, size_t size)
{
	return injected_fault() ? NULL : realloc(p, size ? size : 1);
}

void *mem_alloc(size_t size)
{
	tell(size);
	return mem_alloc_charged(size);
}

void *mem_zalloc(size_t size)
{
	tell(size);
	return injected_fault() ? NULL : calloc(1, size ? size : 1);
}

void *mem_realloc(void *p, size_t size)
{
	tell(size);
	return mem_realloc_charged(p, size);
}

void mem_free(void *p)
{
	free(p);
}

void mem_fail_nth(uint64_t n)
{
	fail_countdown = n;
}

void mem_watch(void (*on_alloc)(size_t size))
{
	watcher = on_alloc;
}
