// Paths beneath a folder, by the kernel and by the walk: each form of a path with what it gives; nothing leads out; nothing waits.
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"
#include "sys/sys.h"

static char root[64];
static int outside, dir;  // outside/secret, outside/dir

static int no_openat2(int at, const char *path, const struct open_how *how)
{
	return -ENOSYS;
}

static int filtered_openat2(int at, const char *path, const struct open_how *how)
{
	return -EPERM;
}

static void write_file(int at, const char *name, const char *text)
{
	int fd = openat(at, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static int lay(void **s)
{
	snprintf(root, sizeof root, "/tmp/tenon-beneath-XXXXXX");
	assert_non_null(mkdtemp(root));
	outside = open(root, O_RDONLY | O_DIRECTORY);
	write_file(outside, "secret", "secret");
	assert_int_equal(mkdirat(outside, "dir", 0700), 0);
	assert_true((dir = openat(outside, "dir", O_RDONLY | O_DIRECTORY)) >= 0);
	assert_int_equal(mkdirat(dir, "a", 0700) | mkdirat(dir, "a/b", 0700) | mkdirat(dir, "empty", 0700), 0);
	write_file(dir, "file", "file");
	write_file(dir, "a/b/deep", "deep");
	static const char *const links[][2] = {{"file", "to_file"}, {"a", "to_folder"}, {"../file", "a/up"}, {"..", "parent"}, {"/etc/passwd", "absolute"},
		{"../secret", "out"}, {"parent/secret", "nested"}, {"loop", "loop"}, {"nothing", "dangling"}, {"a/b/../../file", "around"}, {"to_to", "to_to_to"},
		{"to_folder/b", "to_to"}, {"/proc/self/root", "magic"}};
	for (size_t i = 0; i < ARRAY_LEN(links); i++)
		assert_int_equal(symlinkat(links[i][0], dir, links[i][1]), 0);
	assert_int_equal(mkfifoat(dir, "fifo", 0600), 0);
	return 0;
}

static int lay_and_walk(void **s)
{
	sys_file.openat2 = no_openat2;
	return lay(s);
}

static int remove_all(void **s)
{
	char command[128];
	sys_file = sys_file_real;
	close(dir);
	close(outside);
	snprintf(command, sizeof command, "rm -rf %s", root);
	return system(command);  // NOLINT(cert-env33-c)
}

static int open_it(const char *path, uint32_t how)
{
	int fd = sys_beneath_open(dir, path, how);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static void a_path_gives_what_it_names_or_why_not(void **s)
{
	static const struct {
		const char *path;
		uint32_t how;
		int want;
	} cases[] = {
		{"file", SYS_OPEN_READ, 0},
		{"./file", SYS_OPEN_READ, 0},
		{"a/b/deep", SYS_OPEN_READ, 0},
		{"a/.//b/../../a/b/./deep", SYS_OPEN_READ, 0},
		{".", SYS_OPEN_READ, 0},
		{"a/..", SYS_OPEN_READ, 0},
		{"a/", SYS_OPEN_READ, 0},
		{"a//", SYS_OPEN_READ | SYS_OPEN_FOLDER, 0},
		{"", SYS_OPEN_READ, -ENOENT},
		{"nothing", SYS_OPEN_READ, -ENOENT},
		{"nothing/file", SYS_OPEN_READ, -ENOENT},
		{"file/", SYS_OPEN_READ, -ENOTDIR},
		{"file/x", SYS_OPEN_READ, -ENOTDIR},
		{"file", SYS_OPEN_READ | SYS_OPEN_FOLDER, -ENOTDIR},
		{"a", SYS_OPEN_READ | SYS_OPEN_WRITE, -EISDIR},
		{"..", SYS_OPEN_READ, -EPERM},
		{"../secret", SYS_OPEN_READ, -EPERM},
		{"a/../../secret", SYS_OPEN_READ, -EPERM},
		{"a/b/../../../dir/file", SYS_OPEN_READ, -EPERM},
		{"/", SYS_OPEN_READ, -EPERM},
		{"/etc/passwd", SYS_OPEN_READ, -EPERM},
		{"//etc/passwd", SYS_OPEN_READ, -EPERM},
		{"to_file", SYS_OPEN_READ, 0},
		{"to_folder/b/deep", SYS_OPEN_READ, 0},
		{"a/up", SYS_OPEN_READ, 0},
		{"around", SYS_OPEN_READ, 0},
		{"to_to_to/deep", SYS_OPEN_READ | SYS_OPEN_NO_FOLLOW, 0},
		{"parent", SYS_OPEN_READ, -EPERM},
		{"parent/", SYS_OPEN_READ | SYS_OPEN_NO_FOLLOW, -EPERM},
		{"parent/secret", SYS_OPEN_READ, -EPERM},
		{"absolute", SYS_OPEN_READ, -EPERM},
		{"out", SYS_OPEN_READ, -EPERM},
		{"nested", SYS_OPEN_READ, -EPERM},
		{"magic/etc/passwd", SYS_OPEN_READ, -EPERM},
		{"loop", SYS_OPEN_READ, -ELOOP},
		{"dangling", SYS_OPEN_READ, -ENOENT},
		{"to_file", SYS_OPEN_READ | SYS_OPEN_NO_FOLLOW, -ELOOP},
		{"out", SYS_OPEN_READ | SYS_OPEN_NO_FOLLOW, -ELOOP},
		{"out", SYS_OPEN_LOOK | SYS_OPEN_NO_FOLLOW, 0},
		{"out", SYS_OPEN_LOOK, -EPERM},
		{"out", SYS_OPEN_WRITE | SYS_OPEN_CREATE, -EPERM},
		{"out", SYS_OPEN_WRITE | SYS_OPEN_CREATE | SYS_OPEN_EXCLUSIVE, -EEXIST},
		{"file", SYS_OPEN_WRITE | SYS_OPEN_CREATE | SYS_OPEN_EXCLUSIVE, -EEXIST},
		{"parent/made", SYS_OPEN_WRITE | SYS_OPEN_CREATE, -EPERM},
		{"../made", SYS_OPEN_WRITE | SYS_OPEN_CREATE, -EPERM},
		{"made", SYS_OPEN_WRITE | SYS_OPEN_CREATE | SYS_OPEN_EXCLUSIVE, 0},
		{"made", SYS_OPEN_WRITE | SYS_OPEN_TRUNCATE, 0},
		{"made/", SYS_OPEN_WRITE | SYS_OPEN_CREATE, -EISDIR},
		{"a/up/", SYS_OPEN_WRITE | SYS_OPEN_CREATE | SYS_OPEN_EXCLUSIVE, -EISDIR},
		{"parent/", SYS_OPEN_WRITE | SYS_OPEN_CREATE, -EISDIR},
		{"./", SYS_OPEN_WRITE | SYS_OPEN_CREATE, -EISDIR},
		{"./", SYS_OPEN_WRITE | SYS_OPEN_CREATE | SYS_OPEN_EXCLUSIVE, -EEXIST},
		{"fifo", SYS_OPEN_READ, 0},         // returns at once
		{"fifo", SYS_OPEN_WRITE, -ENXIO},  // likewise
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int got = open_it(cases[i].path, cases[i].how);
		if (got != cases[i].want)
			fail_msg("'%s' (how 0x%x) gives %d (%s), expected %d", cases[i].path, cases[i].how, got, strerror(-got), cases[i].want);
	}
	char big[5000];
	memset(big, 'x', sizeof big);
	big[sizeof big - 1] = 0;
	assert_int_equal(open_it(big, SYS_OPEN_READ), -ENAMETOOLONG);
	big[300] = 0;
	assert_int_equal(open_it(big, SYS_OPEN_READ), -ENAMETOOLONG);
}

static void what_changes_entries_stays_beneath_too(void **s)
{
	char text[64];
	assert_int_equal(sys_beneath_mkdir(dir, "new"), 0);
	assert_int_equal(sys_beneath_mkdir(dir, "new2/"), 0);
	assert_int_equal(sys_beneath_mkdir(dir, "."), -EEXIST);
	static const struct {
		const char *path;
		int want;
	} none[] = {{"", -ENOENT}, {"..", -EPERM}, {"../x", -EPERM}, {"/", -EPERM}, {"/tmp/x", -EPERM}, {"parent/x", -EPERM}, {"a/../../x", -EPERM}, {"file/x", -ENOTDIR},
		{"nothing/x", -ENOENT}};
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		assert_int_equal(sys_beneath_mkdir(dir, none[i].path), none[i].want);
		assert_int_equal(sys_beneath_rmdir(dir, none[i].path), none[i].want);
		assert_int_equal(sys_beneath_unlink(dir, none[i].path), none[i].want);
		assert_int_equal(sys_beneath_symlink("file", dir, none[i].path), none[i].want);
		assert_int_equal(sys_beneath_link(dir, "file", dir, none[i].path), none[i].want);
		assert_int_equal(sys_beneath_link(dir, none[i].path, dir, "linked"), none[i].want);
		assert_int_equal(sys_beneath_rename(dir, "file", dir, none[i].path), none[i].want);
		assert_int_equal(sys_beneath_rename(dir, none[i].path, dir, "renamed"), none[i].want);
		assert_int_equal(sys_beneath_readlink(dir, none[i].path, text, sizeof text), none[i].want);
	}
	assert_int_equal(sys_beneath_rmdir(dir, "."), -EINVAL);
	assert_int_equal(sys_beneath_rmdir(dir, "a"), -ENOTEMPTY);
	assert_int_equal(sys_beneath_rmdir(dir, "file"), -ENOTDIR);
	assert_int_equal(sys_beneath_rmdir(dir, "file/"), -ENOTDIR);
	assert_int_equal(sys_beneath_rmdir(dir, "to_folder"), -ENOTDIR);
	assert_int_equal(sys_beneath_rmdir(dir, "parent/"), -EPERM);
	assert_int_equal(sys_beneath_rmdir(dir, "new2/"), 0);
	assert_int_equal(sys_beneath_unlink(dir, "new"), -EISDIR);
	assert_int_equal(sys_beneath_unlink(dir, "new/"), -EISDIR);
	assert_int_equal(sys_beneath_unlink(dir, "file/"), -ENOTDIR);
	assert_int_equal(sys_beneath_unlink(dir, "to_folder/"), -ENOTDIR);
	assert_int_equal(sys_beneath_symlink("/etc/passwd", dir, "x"), -EPERM);
	assert_int_equal(sys_beneath_symlink("file", dir, "x/"), -ENOENT);
	assert_int_equal(sys_beneath_symlink("file", dir, "new/"), -EEXIST);
	assert_int_equal(sys_beneath_symlink("file", dir, "file/"), -ENOTDIR);
	assert_int_equal(sys_beneath_symlink("../../../x", dir, "far"), 0);
	assert_int_equal(open_it("far", SYS_OPEN_READ), -EPERM);
	assert_int_equal(sys_beneath_link(dir, "file", dir, "file"), -EEXIST);
	assert_int_equal(sys_beneath_link(dir, "a", dir, "x"), -EPERM);
	assert_int_equal(sys_beneath_link(dir, "file/", dir, "x"), -ENOTDIR);
	assert_int_equal(sys_beneath_link(dir, "file", dir, "x/"), -ENOENT);
	assert_int_equal(sys_beneath_link(dir, "out", dir, "out2"), 0);  // the link, not what it names
	assert_int_equal(open_it("out2", SYS_OPEN_READ), -EPERM);
	assert_int_equal(sys_beneath_rename(dir, ".", dir, "x"), -EBUSY);
	assert_int_equal(sys_beneath_rename(dir, "file/", dir, "x"), -ENOTDIR);
	assert_int_equal(sys_beneath_rename(dir, "file", dir, "x/"), -ENOTDIR);
	assert_int_equal(sys_beneath_rename(dir, "new/", dir, "newer/"), 0);
	assert_int_equal(sys_beneath_rename(dir, "file", dir, "a/moved"), 0);
	assert_int_equal(sys_beneath_rename(dir, "a/moved", dir, "file"), 0);
	assert_int_equal(sys_beneath_readlink(dir, "to_file", text, sizeof text), 4);
	assert_int_equal(sys_beneath_readlink(dir, "file", text, sizeof text), -EINVAL);
	assert_int_equal(sys_beneath_unlink(dir, "out"), 0);
	assert_int_equal(faccessat(outside, "secret", F_OK, 0), 0);
	assert_int_equal(faccessat(outside, "x", F_OK, 0), -1);
}

// The links of /proc look like paths and are none.
static void links_of_proc_are_not_followed(void **s)
{
	int proc = open("/proc/self", O_RDONLY | O_DIRECTORY);
	char name[32];
	snprintf(name, sizeof name, "fd/%d", outside);
	int fd = sys_beneath_open(proc, name, SYS_OPEN_READ);
	assert_true(fd == -ELOOP || fd == -EPERM);
	fd = sys_beneath_open(proc, "root/etc/passwd", SYS_OPEN_READ);
	assert_true(fd == -ELOOP || fd == -EPERM);
	fd = sys_beneath_open(proc, "cwd", SYS_OPEN_READ);
	assert_true(fd == -ELOOP || fd == -EPERM);
	close(proc);
}

// ---- renames meanwhile -----------------------------------------------------------------------------------------------------------------

static int stop;

// dir/a/b goes out of the folder and back; dir/swap is a folder and a link out of it by turns.
static void *rename_about(void *arg)
{
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		renameat(dir, "a/b", outside, "b");
		renameat(outside, "b", dir, "a/b");
		renameat2(dir, "swap", dir, "parent", RENAME_EXCHANGE);
	}
	return NULL;
}

static void nothing_outside_is_reached_whatever_is_renamed_meanwhile(void **s)
{
	static const char *const ways[] = {"a/b/../../secret", "a/b/../../../secret", "swap/secret", "swap/../secret", "a/b/../../swap/secret", "parent/secret",
		"a/b/../../parent/../secret"};
	const char *seconds = getenv("TENON_RACE_SECONDS");
	pthread_t t;
	stop = 0;
	assert_int_equal(mkdirat(dir, "swap", 0700), 0);
	assert_int_equal(pthread_create(&t, NULL, rename_about, NULL), 0);
	uint64_t end = sys_now_ns() + (seconds ? strtoul(seconds, NULL, 10) : 1) * SECOND, tries = 0;
	for (; sys_now_ns() < end; tries++) {
		int fd = sys_beneath_open(dir, ways[tries % ARRAY_LEN(ways)], SYS_OPEN_READ);
		if (fd >= 0)
			fail_msg("%s was opened", ways[tries % ARRAY_LEN(ways)]);
		if (sys_beneath_mkdir(dir, "swap/escaped") == 0)
			sys_beneath_rmdir(dir, "swap/escaped");
		assert_int_equal(faccessat(outside, "escaped", F_OK, 0), -1);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	print_message("%llu tries\n", (unsigned long long)tries);
}

static void a_filter_of_system_calls_selects_the_walk(void **s)
{
	sys_file.openat2 = filtered_openat2;
	assert_int_equal(open_it("to_folder/b/deep", SYS_OPEN_READ), 0);
	assert_int_equal(open_it("nested", SYS_OPEN_READ), -EPERM);
	assert_int_equal(open_it("file", SYS_OPEN_READ | SYS_OPEN_CACHED), -EAGAIN);
}

static void a_path_that_is_too_deep_is_said_by_the_walk(void **s)
{
	char path[2048];
	int at = 0;
	for (int i = 0; i < 200; i++)
		at += snprintf(path + at, sizeof path - (size_t)at, "empty/../");
	assert_int_equal(open_it(path, SYS_OPEN_READ), 0);
	char deep[1024];
	at = 0;
	for (int i = 0; i < 130; i++) {
		at += snprintf(deep + at, sizeof deep - (size_t)at, "d/");
		assert_int_equal(mkdirat(dir, deep, 0700), 0);
	}
	assert_int_equal(open_it(deep, SYS_OPEN_READ), -ENAMETOOLONG);
}

#define BOTH(name)                                            \
	{#name " (kernel)", name, lay, remove_all, NULL},         \
	{                                                         \
		#name " (walk)", name, lay_and_walk, remove_all, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(a_path_gives_what_it_names_or_why_not),
		BOTH(what_changes_entries_stays_beneath_too),
		BOTH(links_of_proc_are_not_followed),
		BOTH(nothing_outside_is_reached_whatever_is_renamed_meanwhile),
		cmocka_unit_test_setup_teardown(a_filter_of_system_calls_selects_the_walk, lay, remove_all),
		cmocka_unit_test_setup_teardown(a_path_that_is_too_deep_is_said_by_the_walk, lay_and_walk, remove_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
