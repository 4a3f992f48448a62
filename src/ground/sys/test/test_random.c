// The generator of random bytes: what it gives, and what nobody else can have of it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "sys/sys.h"

enum { TAKEN = 16 };

static bool is_zero(const uint8_t *bytes, size_t n)
{
	while (n && !bytes[n - 1])
		n--;
	return n == 0;
}

static void each_length_is_filled_and_no_more(void **state)
{
	struct sys_generator *g = sys_generator_new();
	assert_non_null(g);
	for (size_t n = 0; n <= 2 * SYS_GENERATOR_MAX; n++) {
		uint8_t bytes[2 * SYS_GENERATOR_MAX + 8] = {0};
		assert_true(sys_generator_take(g, bytes, n));
		assert_true(is_zero(bytes + n, sizeof bytes - n));
		for (size_t at = 0; at + 8 <= n; at += 8)  // one in 2^64 is
			assert_false(is_zero(bytes + at, 8));
	}
	sys_generator_free(g);
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, TAKEN);
}

// More than one key's bytes.
static void nothing_comes_twice(void **state)
{
	enum { TAKES = 20000 };
	static uint8_t taken[TAKES][TAKEN];
	struct sys_generator *g = sys_generator_new();
	assert_non_null(g);
	for (unsigned i = 0; i < TAKES; i++)
		assert_true(sys_generator_take(g, taken[i], TAKEN));
	qsort(taken, TAKES, TAKEN, compare);
	for (unsigned i = 1; i < TAKES; i++)
		assert_memory_not_equal(taken[i - 1], taken[i], TAKEN);
	sys_generator_free(g);
}

static void what_was_given_is_gone(void **state)
{
	uint8_t taken[TAKEN];
	struct sys_generator *g = sys_generator_new();
	assert_non_null(g);
	assert_true(sys_generator_take(g, taken, sizeof taken));
	assert_null(memmem(g, SYS_PAGE, taken, sizeof taken));
	sys_generator_free(g);
}

static void a_child_has_none_of_it(void **state)
{
	uint8_t ours[TAKEN], theirs[TAKEN];
	int ends[2];
	struct sys_generator *g = sys_generator_new();
	assert_non_null(g);
	assert_true(sys_generator_take(g, ours, sizeof ours));
	assert_int_equal(pipe(ends), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		bool wiped = is_zero((const uint8_t *)g, SYS_PAGE), ok = sys_generator_take(g, theirs, sizeof theirs);
		_exit(wiped && ok && write(ends[1], theirs, sizeof theirs) == sizeof theirs ? 0 : 1);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(read(ends[0], theirs, sizeof theirs), sizeof theirs);
	assert_true(sys_generator_take(g, ours, sizeof ours));
	assert_memory_not_equal(ours, theirs, sizeof ours);
	close(ends[0]);
	close(ends[1]);
	sys_generator_free(g);
}

static void without_one_it_is_the_kernels(void **state)
{
	uint8_t bytes[TAKEN] = {0};
	sys_fail_nth(1);
	assert_null(sys_generator_new());
	sys_fail_nth(0);
	assert_true(sys_generator_take(NULL, bytes, sizeof bytes));
	assert_false(is_zero(bytes, sizeof bytes));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_length_is_filled_and_no_more),
		cmocka_unit_test(nothing_comes_twice),
		cmocka_unit_test(what_was_given_is_gone),
		cmocka_unit_test(a_child_has_none_of_it),
		cmocka_unit_test(without_one_it_is_the_kernels),
	};
	return cmocka_run_group_tests_name("sys/random", tests, NULL, NULL);
}
