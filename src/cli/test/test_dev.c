// Which files tenon dev means, and which of them it takes for what a build wrote.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/dev.h"
#include "sys/sys.h"

static bool globs(const char *pattern, const char *path)
{
	return dev_glob(slice_str(pattern), slice_str(path));
}

static void a_pattern_means_names_and_folders(void **state)
{
	assert_true(globs("/a/*.c", "/a/x.c") && globs("/a/?.c", "/a/x.c") && globs("/a/**", "/a/b/c/x") && globs("/a/**/x.c", "/a/x.c") && globs("/a/**/x.c", "/a/b/c/x.c"));
	assert_true(globs("/a/**/b/**/x", "/a/b/b/c/x") && globs("/a/*b*c*", "/a/xbxbc"));
	assert_false(globs("/a/*.c", "/a/b/x.c") || globs("/a/?.c", "/a/xx.c") || globs("/a/**/x.c", "/b/x.c") || globs("/a/*", "/a/b/c"));
	assert_true(globs("/**", "/a") && globs("/*", "/a"));
}

static void what_begins_with_a_dot_is_named_or_not_meant(void **state)
{
	assert_false(globs("/a/*", "/a/.x") || globs("/a/**", "/a/.x") || globs("/a/**", "/a/.b/x") || globs("/a/**/x", "/a/b/.c/x") || globs("/a/?x", "/a/.x"));
	assert_true(globs("/a/.x", "/a/.x") && globs("/a/.*", "/a/.x") && globs("/a/.b/**", "/a/.b/x") && globs("/a/**/.x", "/a/b/.x"));
}

static void a_folder_may_hold_what_is_meant(void **state)
{
	static const struct {
		const char *pattern, *folder;
		bool may;
	} rows[] = {{"/a/**/*.c", "/a", true}, {"/a/**/*.c", "/a/b/c", true}, {"/a/*/x", "/a/b", true}, {"/a/*/x", "/a/b/c", false}, {"/a/x", "/a", true}, {"/a/x", "/a/x", false},
		{"/a/b*/x", "/a/c", false}, {"/a/b/**", "/b", false}, {"/a/b", "", true}, {"/**", "/a", true}};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (dev_glob_beneath(slice_str(rows[i].pattern), slice_str(rows[i].folder)) != rows[i].may)
			fail_msg("%s in %s", rows[i].pattern, rows[i].folder);
}

static void a_path_is_absolute_and_has_no_empty_parts(void **state)
{
	static const char *const rows[][3] = {{"/p", "src/**", "/p/src/**"}, {"/p", "./src//x", "/p/src/x"}, {"/p/q", "../x", "/p/x"}, {"/p", "../../x", "/x"}, {"/p", "/x/./y", "/x/y"},
		{"/", "x", "/x"}, {"/p", "", "/p"}, {"/p", "..", "/"}, {"/p", ".x/..y", "/p/.x/..y"}};
	struct buf b = {0};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_string_equal((const char *)dev_path(&b, rows[i][0], slice_str(rows[i][1])).ptr, rows[i][2]);
	buf_release(&b);
}

// ---- what a build wrote --------------------------------------------------------------------------------------------------------------------------

struct fixture {
	char folder[64];
	int lock;
	struct dev_paths *paths;
};

static void open_fixture(struct fixture *f)
{
	struct err e = {0};
	assert_true(dev_folder_new(f->folder, &f->lock, &e) && dev_paths_new(&f->paths, &e));
}

static void close_fixture(struct fixture *f)
{
	dev_paths_free(f->paths);
	dev_folder_remove(f->folder);
	close(f->lock);
}

static const char *in(const struct fixture *f, const char *name)
{
	static char path[200];
	snprintf(path, sizeof path, "%s/%s", f->folder, name);
	return path;
}

// In a build.
static void writes(struct fixture *f, const char *name, const char *text, bool made)
{
	FILE *to = fopen(in(f, name), "w");
	assert_non_null(to);
	assert_true(fputs(text, to) >= 0 && fclose(to) == 0);
	dev_paths_note(f->paths, slice_str(in(f, name)), made);
}

static bool is_output(const struct fixture *f, const char *name)
{
	return dev_paths_is_output(f->paths, slice_str(in(f, name)));
}

static void what_is_the_same_after_two_builds_is_an_output(void **state)
{
	struct fixture f;
	open_fixture(&f);
	writes(&f, "out", "1", false);
	assert_true(dev_paths_settle(f.paths) && !is_output(&f, "out"));
	writes(&f, "out", "1", false);
	assert_true(!dev_paths_settle(f.paths) && is_output(&f, "out"));
	assert_false(dev_paths_settle(f.paths));
	close_fixture(&f);
}

static void what_differs_each_time_is_one_after_four_and_built_once_more(void **state)
{
	struct fixture f;
	open_fixture(&f);
	for (const char *text = "1234"; *text; text++) {
		writes(&f, "out", text, false);
		assert_true(dev_paths_settle(f.paths));
		assert_int_equal(is_output(&f, "out"), !text[1]);
	}
	close_fixture(&f);
}

static void what_was_changed_by_hand_needs_more(void **state)
{
	struct fixture f;
	open_fixture(&f);
	writes(&f, "main.c", "1", false);
	writes(&f, "main.c", "1", false);
	dev_paths_by_hand(f.paths, slice_str(in(&f, "main.c")));
	(void)dev_paths_settle(f.paths);
	for (unsigned i = 0; i < 2; i++) {
		writes(&f, "main.c", "1", false);
		assert_true(dev_paths_settle(f.paths) && !is_output(&f, "main.c"));
	}
	writes(&f, "main.c", "1", false);
	assert_true(!dev_paths_settle(f.paths) && is_output(&f, "main.c"));
	dev_paths_by_hand(f.paths, slice_str(in(&f, "main.c")));
	assert_false(is_output(&f, "main.c"));
	close_fixture(&f);
}

static void what_a_build_makes_and_takes_away_counts_for_nothing(void **state)
{
	struct fixture f;
	open_fixture(&f);
	writes(&f, "t", "1", true);
	assert_int_equal(unlink(in(&f, "t")), 0);
	assert_false(dev_paths_settle(f.paths));
	writes(&f, "x", "1", false);  // one that was there
	assert_int_equal(unlink(in(&f, "x")), 0);
	assert_true(dev_paths_settle(f.paths));
	close_fixture(&f);
}

static void new_names_each_time_come_to_an_end(void **state)
{
	struct fixture f;
	char name[8] = "a";
	unsigned n = 0;
	open_fixture(&f);
	do {
		name[0]++;
		writes(&f, name, name, true);
		n++;
	} while (dev_paths_settle(f.paths) && n < 20);
	assert_int_equal(n, 5);
	writes(&f, "again", "1", true);
	assert_false(dev_paths_settle(f.paths));
	dev_paths_by_hand(f.paths, slice_str(in(&f, "main.c")));
	writes(&f, "once more", "1", true);
	assert_true(dev_paths_settle(f.paths));
	close_fixture(&f);
}

static void more_paths_than_there_is_room_for_come_to_an_end(void **state)
{
	struct fixture f;
	unsigned n = 0;
	open_fixture(&f);
	do
		for (unsigned i = 0; i < 70000; i++) {
			char path[64];
			dev_paths_note(f.paths, slice_of(path, (size_t)snprintf(path, sizeof path, "/nowhere/%u", i)), false);
		}
	while (dev_paths_settle(f.paths) && ++n < 20);
	assert_true(n < 20);
	close_fixture(&f);
}

static void of_a_large_file_a_change_within_the_first_and_the_last_mebibyte_is_one(void **state)
{
	struct fixture f;
	static char text[(3 << 20) + 1];
	open_fixture(&f);
	memset(text, 'x', sizeof text - 1);
	writes(&f, "out", text, false);
	assert_true(dev_paths_settle(f.paths));
	for (size_t at = 0; at < sizeof text; at += sizeof text - 2) {
		text[at] = 'y';
		writes(&f, "out", text, false);
		assert_true(dev_paths_settle(f.paths) && !is_output(&f, "out"));
	}
	writes(&f, "out", text, false);
	assert_true(!dev_paths_settle(f.paths) && is_output(&f, "out"));
	close_fixture(&f);
}

static void who_cleans_up_meanwhile_takes_no_new_folder(void **state)
{
	char said[400] = "";
	pid_t me = getpid(), cleaner = fork();
	while (cleaner == 0 && getppid() == me)
		dev_folders_clean();
	if (cleaner == 0)
		_exit(0);
	for (unsigned i = 0; i < 500 && !said[0]; i++) {
		char folder[64];
		int lock = -1;
		struct err e = {0};
		if (!dev_folder_new(folder, &lock, &e))
			snprintf(said, sizeof said, "%s", e.text);
		else if (!dev_is_there(folder))
			snprintf(said, sizeof said, "it is gone");
		dev_folder_remove(folder);
		sys_close(lock);
	}
	assert_int_equal(kill(cleaner, SIGKILL), 0);
	assert_int_equal(waitpid(cleaner, NULL, 0), cleaner);
	assert_string_equal(said, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_cleans_up_meanwhile_takes_no_new_folder),
		cmocka_unit_test(a_pattern_means_names_and_folders),
		cmocka_unit_test(what_begins_with_a_dot_is_named_or_not_meant),
		cmocka_unit_test(a_folder_may_hold_what_is_meant),
		cmocka_unit_test(a_path_is_absolute_and_has_no_empty_parts),
		cmocka_unit_test(what_is_the_same_after_two_builds_is_an_output),
		cmocka_unit_test(what_differs_each_time_is_one_after_four_and_built_once_more),
		cmocka_unit_test(what_was_changed_by_hand_needs_more),
		cmocka_unit_test(what_a_build_makes_and_takes_away_counts_for_nothing),
		cmocka_unit_test(new_names_each_time_come_to_an_end),
		cmocka_unit_test(more_paths_than_there_is_room_for_come_to_an_end),
		cmocka_unit_test(of_a_large_file_a_change_within_the_first_and_the_last_mebibyte_is_one),
	};
	return cmocka_run_group_tests_name("dev", tests, NULL, NULL);
}
