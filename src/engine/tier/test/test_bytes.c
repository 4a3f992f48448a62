// What files held: kept by what it hashes to, and taken from there whole or not at all.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../tier_int.h"

static char root[64], cache_path[96], file_path[96];

static int setup(void **state UNUSED)
{
	snprintf(root, sizeof root, "/tmp/tenon-bytes-XXXXXX");
	assert_non_null(mkdtemp(root));
	snprintf(cache_path, sizeof cache_path, "%s/cache", root);
	snprintf(file_path, sizeof file_path, "%s/file", root);
	return setenv("TENON_CACHE", cache_path, 1);
}

static int teardown(void **state UNUSED)
{
	char command[96];
	snprintf(command, sizeof command, "rm -rf %s", root);
	return system(command);
}

// An open file of these bytes, changed just now.
static int make_file(const char *bytes)
{
	int fd = open(file_path, O_CREAT | O_TRUNC | O_RDWR, 0666);
	assert_int_equal(write(fd, bytes, strlen(bytes)), strlen(bytes));
	return fd;
}

static void note_done(void *arg)
{
	__atomic_store_n((bool *)arg, true, __ATOMIC_RELEASE);
}

static void keep_as(const struct tier_bytes *of, struct slice bytes)
{
	bool done = false;
	tier_bytes_keep(of, bytes, note_done, &done);
	for (unsigned i = 0; !__atomic_load_n(&done, __ATOMIC_ACQUIRE) && i < 6000; i++)
		usleep(10000);
	assert_true(__atomic_load_n(&done, __ATOMIC_ACQUIRE));
}

static void keep(const struct tier_bytes *of, const char *bytes)
{
	struct tier_bytes kept = *of;
	struct tier_key content;
	tier__key_of(slice_str(bytes), &content);
	memcpy(kept.content, content.bytes, sizeof kept.content);
	keep_as(&kept, slice_str(bytes));
}

// As who loads it does. -1: nobody has what it held.
static int find_bytes(int fd, uint64_t size, struct tier_bytes *ret)
{
	return tier_bytes_know(fd, size, ret) ? tier_bytes_open(ret, size) : -1;
}

// The name of the only entry of bytes; false: there is none.
static bool find_entry(char ret[300])
{
	bool found = false;
	DIR *d = opendir(cache_path);
	for (struct dirent *ent; d && (ent = readdir(d));)
		if (strlen(ent->d_name) > 6 && strcmp(ent->d_name + strlen(ent->d_name) - 6, ".bytes") == 0) {
			assert_false(found);
			found = true;
			snprintf(ret, 300, "%s/%s", cache_path, ent->d_name);
		}
	if (d)
		closedir(d);
	return found;
}

static void what_was_kept_is_found_by_the_file_and_never_changes(void **state UNUSED)
{
	struct tier_bytes of, found;
	struct tier_key content;
	char at[300], held[6] = "";
	int fd = make_file("first");
	assert_int_equal(find_bytes(fd, 5, &of), -1);
	assert_false(of.settled);
	keep(&of, "first");  // another write might not show
	assert_false(find_entry(at));
	sleep(3);
	assert_int_equal(find_bytes(fd, 5, &of), -1);
	assert_true(of.settled);
	keep(&of, "first");
	assert_true(find_entry(at));
	int kept = find_bytes(fd, 5, &found);
	assert_true(kept >= 0);
	tier__key_of(SLICE_LIT("first"), &content);
	assert_memory_equal(found.content, &content, sizeof content);
	assert_int_equal(find_bytes(fd, 4, &of), -1);
	assert_int_equal(tier_bytes_open(&found, 4), -1);  // and is removed: it is of another length
	assert_false(find_entry(at));
	assert_int_equal(pwrite(fd, "other", 5, 0), 5);
	assert_int_equal(find_bytes(fd, 5, &of), -1);
	assert_memory_not_equal(of.by_stat, found.by_stat, sizeof of.by_stat);
	assert_int_equal(pread(kept, held, 5, 0), 5);
	assert_string_equal(held, "first");
	struct stat st;
	assert_int_equal(fstat(kept, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	close(kept);
	close(fd);
}

// Two files of the same bytes have one entry; of a third it is only noted what it hashes to.
static void copies_have_one_entry(void **state UNUSED)
{
	struct tier_bytes of, other;
	struct tier_key content;
	char at[300], held[6] = "";
	int first = make_file("first");
	assert_int_equal(unlink(file_path), 0);
	int second = make_file("first");
	assert_int_equal(unlink(file_path), 0);
	int third = make_file("first");
	sleep(3);
	assert_false(tier_bytes_know(first, 5, &of));
	keep(&of, "first");
	assert_false(tier_bytes_know(second, 5, &other));
	keep(&other, "first");
	assert_true(find_entry(at));  // the only one
	int kept = find_bytes(second, 5, &other);
	assert_int_equal(pread(kept, held, 5, 0), 5);
	assert_string_equal(held, "first");
	assert_false(tier_bytes_know(third, 5, &other));
	tier__key_of(SLICE_LIT("first"), &content);
	memcpy(other.content, content.bytes, sizeof other.content);
	keep_as(&other, SLICE_LIT(""));
	assert_true(tier_bytes_know(third, 5, &of));
	assert_memory_equal(of.content, &content, sizeof of.content);
	assert_true(find_entry(at));
	close(kept);
	close(first);
	close(second);
	close(third);
}

static void damage(const char *at, unsigned how)
{
	int fd = open(at, O_RDWR);
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	switch (how) {
	case 0:
		assert_int_equal(ftruncate(fd, st.st_size - 1), 0);
		break;
	case 1:
		assert_int_equal(ftruncate(fd, st.st_size + 1), 0);
		break;
	case 2:
		assert_int_equal(ftruncate(fd, 0), 0);
		break;
	case 3:
		assert_int_equal(pwrite(fd, "?", 1, 5), 1);
		break;  // the foot's magic
	case 4:
		assert_int_equal(pwrite(fd, "????", 4, 5 + 8), 4);
		break;  // whose it is
	default:
		assert_int_equal(pwrite(fd, "F", 1, 0), 1);
		break;  // what it holds
	}
	close(fd);
}

static void an_entry_of_another_length_name_or_content_is_none(void **state UNUSED)
{
	struct tier_bytes of;
	char at[300];
	int fd = make_file("first");
	sleep(3);
	assert_false(tier_bytes_know(fd, 5, &of));
	for (unsigned how = 0; how < 6; how++) {
		keep(&of, "first");
		assert_true(find_entry(at));
		damage(at, how);
		assert_int_equal(find_bytes(fd, 5, &of), -1);
		assert_false(find_entry(at));  // it is made anew
	}
	keep(&of, "first");
	assert_true(find_entry(at));
	assert_int_equal(unlink(at), 0);
	assert_int_equal(mkfifo(at, 0600), 0);
	assert_int_equal(find_bytes(fd, 5, &of), -1);  // and nobody waits for who writes to it
	close(fd);
}

static void without_a_cache_nothing_is_kept(void **state UNUSED)
{
	struct tier_bytes of;
	int fd = make_file("first");
	assert_int_equal(mkdir(cache_path, 0777), 0);
	assert_int_equal(chmod(cache_path, 0777), 0);
	assert_int_equal(find_bytes(fd, 5, &of), -1);
	of.settled = true;
	keep(&of, "first");
	char at[300];
	assert_false(find_entry(at));
	close(fd);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_was_kept_is_found_by_the_file_and_never_changes),
		TEST(copies_have_one_entry),
		TEST(an_entry_of_another_length_name_or_content_is_none),
		TEST(without_a_cache_nothing_is_kept),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
