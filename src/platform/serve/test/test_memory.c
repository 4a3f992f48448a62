// The limit on memory that the cgroups give, in trees made for it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "serve/serve_int.h"
#include "sys/sys.h"

static char root[64];

static void put(const char *group, const char *file, const char *text)
{
	char path[512];
	snprintf(path, sizeof path, "%s%s", root, group);
	for (char *p = path + strlen(root) + 1; *p; p++)
		if (*p == '/') {
			*p = 0;
			mkdir(path, 0700);
			*p = '/';
		}
	mkdir(path, 0700);
	snprintf(path, sizeof path, "%s%s/%s", root, group, file);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int make_root(void **s)
{
	snprintf(root, sizeof root, "/tmp/tenon-cgroup-XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **s)
{
	char command[128];
	snprintf(command, sizeof command, "rm -rf %s", root);
	return system(command);
}

static uint64_t limit(const char *cgroups)
{
	return serve__cgroup_memory(slice_str(cgroups), root);
}

static void the_tightest_on_the_way_up_counts_in_version_2(void **s)
{
	put("", "memory.max", "max\n");
	put("/a", "memory.max", "1000\n");
	put("/a/b", "memory.max", "5000\n");
	put("/a/b/c", "memory.max", "max\n");
	assert_int_equal(limit("0::/a/b/c\n"), 1000);
	put("/a/b/c", "memory.max", "700\n");
	assert_int_equal(limit("0::/a/b/c\n"), 700);
	assert_int_equal(limit("0::/a\n"), 1000);
	put("", "memory.max", "600\n");
	assert_int_equal(limit("0::/a/b/c\n"), 600);
}

static void the_tightest_on_the_way_up_counts_in_version_1(void **s)
{
	put("/memory", "memory.limit_in_bytes", "9223372036854771712\n");
	put("/memory/x", "memory.limit_in_bytes", "2000\n");
	put("/memory/x/y", "memory.limit_in_bytes", "3000\n");
	assert_int_equal(limit("5:cpu,cpuacct:/x/y\n4:memory:/x/y\n0::/\n"), 2000);
	assert_int_equal(limit("4:blkio,memory:/x\n"), 2000);
	assert_int_equal(limit("4:memory2:/x\n"), UINT64_MAX);
}

static void a_group_that_is_not_seen_from_here_still_has_the_root(void **s)
{
	put("", "memory.max", "4000\n");
	assert_int_equal(limit("0::/not/mounted/here\n"), 4000);
	assert_int_equal(limit("0::/\n"), 4000);
}

static void no_limit_and_nonsense_are_none(void **s)
{
	static const char *const texts[] = {"", "\n", "0::/\n", ":", "::", "0:", "memory", "0::/a/b", "1:name=systemd:/\n"};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		assert_int_equal(limit(texts[i]), UINT64_MAX);
}

static void what_the_process_uses_is_told_where_no_descriptor_is_left(void **s)
{
	static struct serve_process p;
	struct rlimit before, none;
	serve__memory_open(&p);
	assert_true(serve__memory_is_known(&p));
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){0, before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	uint64_t first = serve__memory_resident(&p);
	char *much = mem_alloc(32 * MIB);
	assert_non_null(much);
	memset(much, 1, 32 * MIB);
	uint64_t then = serve__memory_resident(&p);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_true(first > 0 && then >= first + 24 * MIB);
	p.memory = then / 2;
	assert_true(serve__memory_is_short(&p));
	mem_free(much);
	sys_close(p.statm_fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_tightest_on_the_way_up_counts_in_version_2, make_root, remove_root),
		cmocka_unit_test_setup_teardown(the_tightest_on_the_way_up_counts_in_version_1, make_root, remove_root),
		cmocka_unit_test_setup_teardown(a_group_that_is_not_seen_from_here_still_has_the_root, make_root, remove_root),
		cmocka_unit_test_setup_teardown(no_limit_and_nonsense_are_none, make_root, remove_root),
		cmocka_unit_test(what_the_process_uses_is_told_where_no_descriptor_is_left),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
