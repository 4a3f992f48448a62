// Components' bytes of an app's releases: written whole or not at all, named from the manifest, kept as long as a release of the last ten names them.
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../ctl_int.h"

#define OF_ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
static char dir[64];
static struct ctl_app app;
static bool disk_fails;

// In the place of libc's.
int fsync(int fd)
{
	errno = EIO;
	return disk_fails ? -1 : fdatasync(fd);
}

static int make(void **state)
{
	struct err e = {0};
	snprintf(dir, sizeof dir, "%s/tenon-blob-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(dir));
	app = (struct ctl_app){.name = "shop"};
	if (!ctl_state_open(dir, "default", "shop", &app.state, &e))
		fail_msg("%s", e.text);
	return 0;
}

static int clear(void **state)
{
	char command[128];
	ctl_state_close(app.state);
	snprintf(command, sizeof command, "rm -rf %s", dir);
	return system(command);
}

static const char *path_of(const char *sha256)
{
	static char path[256];
	snprintf(path, sizeof path, "%s/default/shop/blobs/%s", dir, sha256);
	return path;
}

static bool is_there(const char *sha256)
{
	return access(path_of(sha256), F_OK) == 0;
}

static void add(const char *bytes, char ret_sha256[65])
{
	struct err e = {0};
	if (!ctl__blob_add(app.state, slice_str(bytes), ret_sha256, &e))
		fail_msg("%s", e.text);
	assert_true(is_there(ret_sha256));
}

static void must_hold(const char *sha256, const char *bytes)
{
	char text[64] = {0};
	struct stat st;
	int fd = open(path_of(sha256), O_RDONLY);
	assert_int_equal(read(fd, text, sizeof text - 1), strlen(bytes));
	assert_string_equal(text, bytes);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	close(fd);
}

static void bytes_are_written_once_by_their_sum(void **state)
{
	char sha256[65];
	struct stat first, again;
	add("abc", sha256);
	assert_string_equal(sha256, OF_ABC);
	must_hold(sha256, "abc");
	assert_int_equal(stat(path_of(sha256), &first), 0);
	add("abc", sha256);
	assert_int_equal(stat(path_of(sha256), &again), 0);
	assert_true(first.st_ino == again.st_ino);
	assert_int_equal(first.st_nlink, 1);
	add("", sha256);
	must_hold(sha256, "");
	assert_false(is_there("new"));
}

static void one_that_was_cut_short_is_written_anew(void **state)
{
	char sha256[65];
	add("abc", sha256);
	assert_int_equal(truncate(path_of(sha256), 1), 0);
	add("abc", sha256);
	must_hold(sha256, "abc");
	// What a kill left of another one is no part of the next.
	int fd = open(path_of("new"), O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, "longer than that", 16), 16);
	close(fd);
	add("ab", sha256);
	must_hold(sha256, "ab");
}

static void what_the_disk_does_not_take_is_not_there(void **state)
{
	char sha256[65];
	struct err e = {0};
	disk_fails = true;
	assert_false(ctl__blob_add(app.state, slice_str("abc"), sha256, &e));
	disk_fails = false;
	assert_int_equal(e.code, ERR_ENV);
	assert_non_null(strstr(e.text, "can't be kept"));
	assert_false(is_there(OF_ABC));
	add("abc", sha256);
	must_hold(sha256, "abc");
}

static void says(const char *folder, const char *want)
{
	struct arena a;
	struct slice text;
	struct err e = {0};
	char whole[512];
	arena_init(&a, 0);
	snprintf(whole, sizeof whole, "[component.api]\nsource = \"%s/blobs/" OF_ABC "\"\nsha256 = \"" OF_ABC "\"\n", want);
	assert_true(ctl__blob_text(&app, &a, folder, "api", OF_ABC, &text, &e));
	assert_string_equal((const char *)text.ptr, whole);
	arena_release(&a);
}

static void a_blob_is_named_from_the_manifests_folder_where_it_lies_beneath(void **state)
{
	struct arena a;
	struct slice text;
	struct err e = {0};
	arena_init(&a, 0);
	assert_false(ctl__blob_text(&app, &a, "", "api", OF_ABC, &text, &e));
	assert_int_equal(e.code, ERR_REFUSED);
	assert_non_null(strstr(e.text, "not kept any more"));
	arena_release(&a);
	char sha256[65];
	add("abc", sha256);
	char path[128], inner[160];
	snprintf(path, sizeof path, "%s/default/shop", dir);
	says("/nowhere-at-all", path);
	says(dir, "default/shop");
	snprintf(inner, sizeof inner, "%s/default/sho", dir);  // no folder of it, though the path begins so
	assert_int_equal(mkdir(inner, 0700), 0);
	says(inner, path);
}

static void the_bytes_of_the_last_ten_releases_stay(void **state)
{
	enum { N = 12 };
	static struct ctl__release releases[N];
	static char text[N][128];
	char sums[N][65], kept[65], tried[65], nobodys[65];
	struct ctl__kept row = {.component = "api"};
	for (unsigned i = 0; i < N; i++) {
		char bytes[16];
		snprintf(bytes, sizeof bytes, "release %u", i);
		add(bytes, sums[i]);
		snprintf(text[i], sizeof text[i], "x = \"%s\"", sums[i]);
		releases[i] = (struct ctl__release){.number = i + 1, .older = i ? &releases[i - 1] : NULL};
		*(i % 2 ? &releases[i].live : &releases[i].members) = slice_str(text[i]);
	}
	add("kept", kept);
	add("tried", tried);
	add("nobody's", nobodys);
	memcpy(row.sha256, kept, sizeof kept);
	memcpy(app.tried.sha256, tried, sizeof tried);
	app.kept = &row;
	app.n_kept = 1;
	app.state->newest = &releases[N - 1];
	assert_int_equal(close(open(path_of("new"), O_WRONLY | O_CREAT, 0600)), 0);
	ctl__blobs_trim(&app);
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(is_there(sums[i]), i >= N - 10);
	assert_true(is_there(kept) && is_there(tried) && is_there("new") && !is_there(nobodys));
	assert_string_equal(ctl__kept_sha256(&app, "api"), kept);
	assert_null(ctl__kept_sha256(&app, "other"));
	app.state->newest = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(bytes_are_written_once_by_their_sum, make, clear),
		cmocka_unit_test_setup_teardown(one_that_was_cut_short_is_written_anew, make, clear),
		cmocka_unit_test_setup_teardown(what_the_disk_does_not_take_is_not_there, make, clear),
		cmocka_unit_test_setup_teardown(a_blob_is_named_from_the_manifests_folder_where_it_lies_beneath, make, clear),
		cmocka_unit_test_setup_teardown(the_bytes_of_the_last_ten_releases_stay, make, clear),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
