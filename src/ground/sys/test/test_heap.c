// What malloc is told.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"
#include "sys/sys.h"

// Frees of large blocks raise the threshold that malloc keeps by itself.
static void free_large_blocks(void)
{
	void *volatile large = malloc(20 << 20);
	assert_non_null(large);
	free(large);
}

static void a_large_block_grows_without_a_copy(void **state)
{
#if SANITIZE_ADDRESS || SANITIZE_THREAD
	skip();  // their malloc is another
#endif
	enum { PAGES = 2048 };
	sys_heap_map_large();
	free_large_blocks();
	char *block = malloc(PAGES * SYS_PAGE);
	void *volatile behind = malloc(SYS_PAGE);  // the last one of a heap has room to grow
	assert_true(block && behind);
	memset(block, 7, PAGES * SYS_PAGE);
	uint64_t before = sys_thread_faults();
	char *grown = realloc(block, 2 * PAGES * SYS_PAGE);
	uint64_t faults = sys_thread_faults() - before;
	assert_non_null(grown);
	assert_true(faults < PAGES / 8);  // a copy touches each page
	assert_true(grown[0] == 7 && grown[PAGES * SYS_PAGE - 1] == 7);
	free(grown);
	free(behind);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_large_block_grows_without_a_copy),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
