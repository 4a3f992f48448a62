// Each row of `tenon doctor`, of a machine that has all and of one that lacks what the row is about.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/doctor.h"
#include "code/code.h"

static struct doctor_facts everything(void)
{
	return (struct doctor_facts){.kernel = "6.18",
		.cpu_suffices = true,
		.cpu = CODE_CPU_LZCNT | CODE_CPU_BMI1 | CODE_CPU_BMI2 | CODE_CPU_AVX | CODE_CPU_AVX2,
		.cores = 2,
		.cells = 16384,
		.mappings = 65530,
		.memory = 8 * GIB,
		.memory_is_known = true,
		.descriptors = 65536,
		.threads = UINT64_MAX,
		.file_size = UINT64_MAX,
		.huge_pages = "[always] madvise never",
		.cache_path = "/c",
		.cache_maps = true,
		.roots = "/r",
		.filters = true};
}

static const struct doctor_row *judged(const struct doctor_facts *f, const char *name)
{
	static struct doctor_row rows[DOCTOR_ROWS];
	doctor_judge(f, rows);
	for (size_t i = 0; i < DOCTOR_ROWS; i++)
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	fail_msg("no row %s", name);
	return NULL;
}

static void nothing_is_lacking_where_everything_is_there(void **state)
{
	struct doctor_facts f = everything();
	struct doctor_row rows[DOCTOR_ROWS];
	doctor_judge(&f, rows);
	for (size_t i = 0; i < DOCTOR_ROWS; i++) {
		assert_int_equal(rows[i].state, DOCTOR_OK);
		assert_true(rows[i].found[0] && !rows[i].costs && !rows[i].todo);
	}
}

// `lacking`: everything but one thing.
static void expect(const char *name, enum doctor_state state, struct doctor_facts lacking, const char *found)
{
	const struct doctor_row *r = judged(&lacking, name);
	assert_int_equal(r->state, state);
	assert_true(r->costs && r->todo);
	if (!strstr(r->found, found))
		fail_msg("'%s' is not in '%s'", found, r->found);
	struct doctor_row rows[DOCTOR_ROWS];
	doctor_judge(&lacking, rows);
	for (size_t i = 0; i < DOCTOR_ROWS; i++)
		assert_true(rows[i].state == DOCTOR_OK || strcmp(rows[i].name, name) == 0);
}

#define LACKS(field, value) ({ struct doctor_facts f_ = everything(); f_.field = (value); f_; })

static void each_lack_is_told_in_its_row(void **state)
{
	expect("file size", DOCTOR_MISSING, LACKS(file_size, 64 * KIB), "at most 64 KiB");
	expect("file size", DOCTOR_COSTS, LACKS(file_size, MIB), "at most 1024 KiB");
	expect("processor", DOCTOR_MISSING, LACKS(cpu_suffices, false), "less than x86-64-v2");
	expect("processor", DOCTOR_COSTS, LACKS(cpu, CODE_CPU_LZCNT), "no avx2");
	expect("cores", DOCTOR_COSTS, LACKS(cores, 1), "1,");
	expect("address space", DOCTOR_COSTS, LACKS(cells, 0), "about 0");
	expect("address space", DOCTOR_COSTS, LACKS(cells, 1023), "about 1023");
	expect("mappings", DOCTOR_COSTS, LACKS(mappings, 8191), "8191");
	expect("overcommit", DOCTOR_COSTS, LACKS(overcommit, 2), "2");
	expect("memory", DOCTOR_COSTS, LACKS(memory, 256 * MIB - 1), "255 MiB");
	expect("memory", DOCTOR_COSTS, LACKS(memory_is_known, false), "8192 MiB");
	expect("descriptors", DOCTOR_MISSING, LACKS(descriptors, 127), "127");
	expect("descriptors", DOCTOR_COSTS, LACKS(descriptors, 4095), "4095");
	expect("threads", DOCTOR_COSTS, LACKS(threads, 23), "23");
	expect("paths", DOCTOR_COSTS, LACKS(lookup, SYS_LOOKUP_WALK), "no openat2");
	expect("paths", DOCTOR_COSTS, LACKS(lookup, SYS_LOOKUP_BENEATH), "openat2");
	expect("reset", DOCTOR_COSTS, LACKS(reset, VM_RESET_SCAN), "each time");
	expect("reset", DOCTOR_COSTS, LACKS(reset, VM_RESET_PAGEMAP), "pagemap");
	expect("reset", DOCTOR_COSTS, LACKS(reset, VM_RESET_DISCARD), "given back");
	expect("cache", DOCTOR_COSTS, LACKS(cache_maps, false), "/c");
	expect("certificates", DOCTOR_COSTS, LACKS(roots, NULL), "no certificates");
	expect("lines of traps", DOCTOR_COSTS, LACKS(filters, false), "no filters");
	struct doctor_facts f = everything();
	f.cache_path[0] = 0;
	expect("cache", DOCTOR_COSTS, f, "none");
	f = everything();
	err_set(&f.cache, ERR_ENV, "no cache in '/c'");
	expect("cache", DOCTOR_COSTS, f, "no cache in '/c'");
	f = everything();
	err_set(&f.engine, ERR_ENV, "no signals");
	expect("engine", DOCTOR_MISSING, f, "no signals");
}

static void at_its_bound_nothing_is_lacking(void **state)
{
	static const char *const names[] = {"address space", "mappings", "overcommit", "memory", "descriptors", "threads", "huge pages"};
	struct doctor_facts f = everything();
	f.cells = 1024;
	f.mappings = 8192;
	f.overcommit = -1;
	f.memory = 256 * MIB;
	f.descriptors = 4096;
	f.threads = 24;
	f.huge_pages[0] = 0;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_int_equal(judged(&f, names[i])->state, DOCTOR_OK);
	assert_string_equal(judged(&f, "huge pages")->found, "none");
}

static void put(const char *root, const char *path, const char *text)
{
	char whole[300];
	snprintf(whole, sizeof whole, "%s%s", root, path);
	for (char *p = whole + strlen(root) + 1; (p = strchr(p, '/')); *p++ = '/') {
		*p = 0;
		mkdir(whole, 0700);
	}
	FILE *f = fopen(whole, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void what_the_kernel_says_is_read(void **state)
{
	char root[] = "/tmp/tenon-doctor-XXXXXX", command[64];
	struct doctor_facts f;
	assert_non_null(mkdtemp(root));
	doctor_look(root, &f);  // nothing is there
	assert_string_equal(f.kernel, "");
	assert_int_equal(f.overcommit, -1);
	assert_int_equal(f.mappings, 65530);
	assert_false(f.memory_is_known);
	put(root, "/proc/sys/kernel/osrelease", "1.2.3\n");
	put(root, "/proc/sys/vm/overcommit_memory", "2\n");
	put(root, "/proc/sys/vm/max_map_count", "77\n");
	put(root, "/proc/self/statm", "1 2 3\n");
	put(root, "/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
	doctor_look(root, &f);
	assert_string_equal(f.kernel, "1.2.3");
	assert_int_equal(f.overcommit, 2);
	assert_int_equal(f.mappings, 77);
	assert_true(f.memory_is_known);
	assert_string_equal(f.huge_pages, "always madvise [never]");
	assert_true(f.cores >= 1 && f.memory > 0 && f.descriptors > 0 && f.engine.code == ERR_NONE);
	snprintf(command, sizeof command, "rm -rf %s", root);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_lacking_where_everything_is_there),
		cmocka_unit_test(each_lack_is_told_in_its_row),
		cmocka_unit_test(at_its_bound_nothing_is_lacking),
		cmocka_unit_test(what_the_kernel_says_is_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
