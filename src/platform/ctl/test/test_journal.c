// A journal that is cut at every byte, damaged at every byte, and written while the disk fails.
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctl/ctl.h"
#include "sys/sys.h"

static char state_dir[64], file[128];

static int make(void **state)
{
	snprintf(state_dir, sizeof state_dir, "/tmp/tenon-journal-XXXXXX");
	assert_non_null(mkdtemp(state_dir));
	snprintf(file, sizeof file, "%s/default/app/journal", state_dir);
	return 0;
}

static int clear(void **state)
{
	char command[128];
	snprintf(command, sizeof command, "rm -rf %s", state_dir);
	return system(command);
}

// ---- what is read -----------------------------------------------------------------------------------------------------------------------------

struct seen {
	unsigned n;
	char all[4096];
};

static bool note(void *user, struct slice json, struct err *e)
{
	struct seen *s = user;
	size_t at = strlen(s->all);
	snprintf(s->all + at, sizeof s->all - at, "%.*s;", SLICE_ARGS(json));
	s->n++;
	return true;
}

static struct ctl_journal *open_it(struct seen *seen, struct err *e)
{
	struct ctl_journal *j = NULL;
	struct ctl_journal_records r = {note, seen};
	err_clear(e);
	memset(seen, 0, sizeof *seen);
	return ctl_journal_open(state_dir, "default", "app", &r, &j, e) ? j : NULL;
}

static void add(struct ctl_journal *j, const char *json)
{
	struct err e;
	err_clear(&e);
	if (!ctl_journal_add(j, slice_str(json), &e))
		fail_msg("%s", e.text);
}

static size_t read_file(uint8_t *into, size_t max)
{
	int fd = open(file, O_RDONLY);
	ssize_t n = read(fd, into, max);
	close(fd);
	assert_true(n >= 0);
	return (size_t)n;
}

static void write_file(const uint8_t *bytes, size_t n)
{
	int fd = open(file, O_WRONLY | O_TRUNC);
	assert_int_equal(write(fd, bytes, n), n);
	close(fd);
}

static const char *const records[] = {"{\"a\":1}", "{\"b\":\"\xc3\xa4 with text\"}", "{}", "{\"c\":[1,2,3]}"};

static size_t write_records(uint8_t *into, size_t max)
{
	struct seen seen;
	struct err e;
	struct ctl_journal *j = open_it(&seen, &e);
	assert_non_null(j);
	for (size_t i = 0; i < ARRAY_LEN(records); i++)
		add(j, records[i]);
	ctl_journal_close(j);
	return read_file(into, max);
}

// ---- tests ------------------------------------------------------------------------------------------------------------------------------------

static void what_was_added_is_read_in_its_order(void **state)
{
	uint8_t bytes[4096];
	struct seen seen;
	struct err e;
	struct stat st;
	write_records(bytes, sizeof bytes);
	struct ctl_journal *j = open_it(&seen, &e);
	assert_non_null(j);
	assert_string_equal(seen.all, "{\"a\":1};{\"b\":\"\xc3\xa4 with text\"};{};{\"c\":[1,2,3]};");
	add(j, "{\"d\":4}");
	ctl_journal_close(j);
	j = open_it(&seen, &e);
	assert_int_equal(seen.n, 5);
	ctl_journal_close(j);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	snprintf(file, sizeof file, "%s/.gitignore", state_dir);
	assert_int_equal(read_file(bytes, sizeof bytes), 2);
	assert_memory_equal(bytes, "*\n", 2);
	assert_int_equal(stat(state_dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
}

// Whatever is cut off, the records that are whole are there, and further ones follow them.
static void cut_at_every_byte_it_has_all_whole_records_and_takes_others(void **state)
{
	uint8_t bytes[4096];
	size_t size = write_records(bytes, sizeof bytes);
	for (size_t cut = 0; cut <= size; cut++) {
		struct seen seen;
		struct err e;
		write_file(bytes, cut);
		struct ctl_journal *j = open_it(&seen, &e);
		if (!j)
			fail_msg("cut at %zu: %s", cut, e.text);
		unsigned whole = 0;
		for (size_t i = sizeof "tenon-journal 1"; i < cut; i++)
			whole += bytes[i] == '\n';
		assert_int_equal(seen.n, whole);
		add(j, "{\"new\":true}");
		ctl_journal_close(j);
		j = open_it(&seen, &e);
		assert_non_null(j);
		assert_int_equal(seen.n, whole + 1);
		ctl_journal_close(j);
	}
}

// Damage before others is said; damage of the last one is an end that was torn (with the newline before it the last two are one). Never is something else
// read than what was written.
static void damaged_at_every_byte_it_says_so_or_drops_the_last(void **state)
{
	uint8_t bytes[4096];
	size_t size = write_records(bytes, sizeof bytes), last = size - 1;
	while (bytes[last - 1] != '\n')
		last--;
	for (size_t at = 0; at < size; at++) {
		struct seen seen;
		struct err e;
		bytes[at] ^= 0x11;
		write_file(bytes, size);
		struct ctl_journal *j = open_it(&seen, &e);
		if (at < last - 1)
			assert_true(!j && e.code == ERR_ENV);
		else
			assert_true(j && seen.n == ARRAY_LEN(records) - (at == last - 1 ? 2 : 1));
		ctl_journal_close(j);
		bytes[at] ^= 0x11;
	}
}

static void another_format_is_refused_by_its_number(void **state)
{
	struct seen seen;
	struct err e;
	uint8_t bytes[4096];
	write_records(bytes, sizeof bytes);
	static const char *const firsts[] = {"tenon-journal 2\n", "tenon-journal 10\nxxx", "something else\n", "tenon-journal 0\n", "tenon-journal \n"};
	for (size_t i = 0; i < ARRAY_LEN(firsts); i++) {
		write_file((const uint8_t *)firsts[i], strlen(firsts[i]));
		assert_null(open_it(&seen, &e));
		assert_int_equal(e.code, ERR_ENV);
		assert_true(i > 1 || strstr(e.text, "format"));
		assert_int_equal(read_file(bytes, sizeof bytes), strlen(firsts[i]));  // and left as it is
	}
}

static void one_process_has_it_at_a_time(void **state)
{
	struct seen seen;
	struct err e;
	struct ctl_journal *j = open_it(&seen, &e);
	assert_non_null(j);
	assert_null(open_it(&seen, &e));
	assert_int_equal(e.code, ERR_ENV);
	ctl_journal_close(j);
	j = open_it(&seen, &e);
	assert_non_null(j);
	ctl_journal_close(j);
}

static void a_folder_that_others_may_look_into_is_refused(void **state)
{
	struct seen seen;
	struct err e;
	assert_int_equal(chmod(state_dir, 0755), 0);
	assert_null(open_it(&seen, &e));
	assert_true(e.code == ERR_ENV && e.hint[0]);
	assert_int_equal(chmod(state_dir, 0700), 0);
}

static void rewritten_it_has_what_it_was_given(void **state)
{
	struct seen seen;
	struct err e;
	uint8_t bytes[4096];
	write_records(bytes, sizeof bytes);
	struct ctl_journal *j = open_it(&seen, &e);
	assert_true(ctl_journal_rewrite(j, SLICE_LIT("{\"x\":1}\n{\"y\":2}\n"), &e));
	add(j, "{\"z\":3}");
	ctl_journal_close(j);
	j = open_it(&seen, &e);
	assert_string_equal(seen.all, "{\"x\":1};{\"y\":2};{\"z\":3};");
	ctl_journal_close(j);
}

// ---- the disk fails ---------------------------------------------------------------------------------------------------------------------------

static size_t room;  // bytes that the disk takes yet

static int64_t short_write(int fd, const void *from, size_t n, uint64_t offset, bool append)
{
	if (room == 0)
		return -ENOSPC;
	n = min_u64(n, room);
	room -= n;
	return sys_file_real.write(fd, from, n, offset, append);
}

// A record that found no room isn't there afterwards, whatever part of it was written; the next one, once there is room, is.
static void on_a_full_disk_nothing_is_kept_of_what_did_not_fit(void **state)
{
	struct seen seen;
	struct err e;
	struct ctl_journal *j = open_it(&seen, &e);
	add(j, "{\"a\":1}");
	sys_file.write = short_write;
	for (room = 0; room < 20;) {
		size_t given = room;
		err_clear(&e);
		bool ok = ctl_journal_add(j, SLICE_LIT("{\"did\":\"not\"}"), &e);
		assert_true(!ok && e.code == ERR_ENV);
		room = given + 1;
	}
	sys_file = sys_file_real;
	add(j, "{\"b\":2}");
	ctl_journal_close(j);
	j = open_it(&seen, &e);
	assert_string_equal(seen.all, "{\"a\":1};{\"b\":2};");
	ctl_journal_close(j);
}

static void a_rewrite_that_fails_leaves_it_as_it_was(void **state)
{
	struct seen seen;
	struct err e;
	uint8_t bytes[4096];
	write_records(bytes, sizeof bytes);
	struct ctl_journal *j = open_it(&seen, &e);
	sys_file.write = short_write;
	for (size_t given = 0; given < 40; given++) {
		room = given;
		err_clear(&e);
		assert_false(ctl_journal_rewrite(j, SLICE_LIT("{\"x\":\"0123456789\"}\n{\"y\":2}\n"), &e));
	}
	sys_file = sys_file_real;
	add(j, "{\"d\":4}");
	ctl_journal_close(j);
	j = open_it(&seen, &e);
	assert_int_equal(seen.n, ARRAY_LEN(records) + 1);
	ctl_journal_close(j);
}

static bool is_there(const char *name)
{
	char path[128];
	snprintf(path, sizeof path, "%s%s", state_dir, name);
	return access(path, F_OK) == 0;
}

static void discarded_it_leaves_what_others_have(void **state)
{
	struct seen seen;
	struct err e;
	struct ctl_journal *j = open_it(&seen, &e), *other = NULL;
	struct ctl_journal_records r = {note, &seen};
	assert_true(ctl_journal_open(state_dir, "default", "other", &r, &other, &e));
	sys_close(sys_private_subfolder(ctl_journal_folder(j), "blobs"));
	ctl_journal_discard(j, true);
	assert_false(is_there("/default/app"));
	assert_true(is_there("/default/other/journal") && is_there("/.gitignore"));
	add(other, "{\"a\":1}");
	ctl_journal_discard(other, false);
	assert_true(is_there("/.gitignore") && !is_there("/default"));
	ctl_journal_discard(open_it(&seen, &e), true);
	assert_false(is_there(""));
	j = open_it(&seen, &e);  // and comes again
	assert_int_equal(seen.n, 0);
	ctl_journal_close(j);
}

// Who opened the file before it was removed has locked nothing.
static void a_lock_that_was_removed_is_none(void **state)
{
	int folder = sys_private_folder(state_dir, false), fd = sys_private_file(folder, "lock", true, true);
	assert_int_equal(sys_lock(fd), 0);
	int late = sys_private_file(folder, "lock", false, false);
	assert_int_equal(sys_lock(late), -EWOULDBLOCK);
	assert_int_equal(sys_private_remove(folder, "lock"), 0);
	sys_close(fd);
	assert_int_equal(sys_lock(late), -ESTALE);
	sys_close(late);
	sys_close(folder);
}

// What one of many does that begin, write and discard as they come. Returns what was wrong; NULL: nothing. Another has the lock, or its own is right.
static const char *come_and_go(unsigned seed)
{
	struct seen seen;
	struct err e;
	for (unsigned i = 0; i < 60; i++) {
		struct ctl_journal *j = open_it(&seen, &e);
		if (!j && !strstr(e.text, "another tenon"))
			return "it can't be opened";
		if (!j)
			continue;
		if (!is_there("/default/app/journal") || !is_there("/.gitignore"))
			return "its files were taken away";
		if (!ctl_journal_add(j, SLICE_LIT("{\"a\":1}"), &e) || !is_there("/default/app/journal"))
			return "what it wrote is gone";
		if ((i + seed) % 3)
			ctl_journal_discard(j, (i + seed) % 2);
		else
			ctl_journal_close(j);
	}
	return NULL;
}

static void who_has_the_lock_has_the_files_whoever_discards(void **state)
{
	enum { MANY = 4 };
	pid_t children[MANY];
	for (unsigned i = 0; i < MANY; i++)
		if ((children[i] = fork()) == 0) {
			const char *wrong = come_and_go(i);
			if (wrong)
				fprintf(stderr, "%s\n", wrong);
			_exit(wrong != NULL);
		}
	bool ok = true;
	for (unsigned i = 0; i < MANY; i++) {
		int status;
		assert_int_equal(waitpid(children[i], &status, 0), children[i]);
		ok &= status == 0;
	}
	assert_true(ok);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, clear)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_was_added_is_read_in_its_order),
		TEST(cut_at_every_byte_it_has_all_whole_records_and_takes_others),
		TEST(damaged_at_every_byte_it_says_so_or_drops_the_last),
		TEST(another_format_is_refused_by_its_number),
		TEST(one_process_has_it_at_a_time),
		TEST(a_folder_that_others_may_look_into_is_refused),
		TEST(rewritten_it_has_what_it_was_given),
		TEST(on_a_full_disk_nothing_is_kept_of_what_did_not_fit),
		TEST(a_rewrite_that_fails_leaves_it_as_it_was),
		TEST(discarded_it_leaves_what_others_have),
		TEST(a_lock_that_was_removed_is_none),
		TEST(who_has_the_lock_has_the_files_whoever_discards),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
