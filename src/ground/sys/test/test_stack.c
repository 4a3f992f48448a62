// Where a thread's stack is.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "sys/sys.h"

static void check_bounds(uintptr_t at_least)
{
	uintptr_t low, high, here = (uintptr_t)__builtin_frame_address(0);
	assert_int_equal(sys_thread_stack(&low, &high), 0);
	assert_true(low < here && here < high);
	assert_true(here - low >= at_least);
}

static void the_main_threads_has_this_frame(void **state)
{
	struct rlimit l;
	pthread_attr_t attr;
	void *bottom;
	size_t size;
	uintptr_t low, high;
	assert_int_equal(getrlimit(RLIMIT_STACK, &l), 0);
	check_bounds(l.rlim_cur >= 8 << 20 ? 4 << 20 : 0);
	// No more than there is, as the C library finds it in /proc/self/maps.
	assert_int_equal(sys_thread_stack(&low, &high), 0);
	assert_int_equal(pthread_getattr_np(pthread_self(), &attr), 0);
	assert_int_equal(pthread_attr_getstack(&attr, &bottom, &size), 0);
	pthread_attr_destroy(&attr);
	assert_true((uintptr_t)bottom <= low && high <= (uintptr_t)bottom + size);
}

static void *other(void *arg)
{
	check_bounds(32 << 10);
	return NULL;
}

static void another_threads_too(void **state)
{
	pthread_t t;
	assert_int_equal(pthread_create(&t, NULL, other, NULL), 0);
	assert_int_equal(pthread_join(t, NULL), 0);
}

// However little it may grow, some of it is code's.
static void a_small_ones_is_not_empty(void **state)
{
	struct rlimit before;
	assert_int_equal(getrlimit(RLIMIT_STACK, &before), 0);
	for (rlim_t size = 1 << 20; size >= 32 << 10; size /= 2) {
		uintptr_t low, high;
		assert_int_equal(setrlimit(RLIMIT_STACK, &(struct rlimit){size, before.rlim_max}), 0);
		int r = sys_thread_stack(&low, &high);
		assert_int_equal(setrlimit(RLIMIT_STACK, &before), 0);
		assert_int_equal(r, 0);
		assert_in_range(high - low, size / 2, size);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_main_threads_has_this_frame),
		cmocka_unit_test(another_threads_too),
		cmocka_unit_test(a_small_ones_is_not_empty),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
