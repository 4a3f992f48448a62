#include "util.h"

#include <stdio.h>
#include <stdlib.h>

static _Thread_local uint64_t fail_countdown;

_Noreturn void bug_abort(const char *file, int line, const char *what)
{
	fprintf(stderr, "tenon: bug: %s:%d: %s\n", file, line, what);
	abort();
}

static bool injected_fault(void)
{
	return UNLIKELY(fail_countdown != 0) && --fail_countdown == 0;
}

void *mem_alloc(size_t size)
{
	return injected_fault() ? NULL : malloc(size ? size : 1);
}

void *mem_zalloc(size_t size)
{
	return injected_fault() ? NULL : calloc(1, size ? size : 1);
}

void *mem_realloc(void *p, size_t size)
{
	return injected_fault() ? NULL : realloc(p, size ? size : 1);
}

void mem_free(void *p)
{
	free(p);
}

void mem_fail_nth(uint64_t n)
{
	fail_countdown = n;
}
