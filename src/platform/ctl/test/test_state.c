// What lasts of an app: written, read again by the next process, made shorter, settled with a manifest that was edited.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../state.h"
#include "sys/sys.h"

#define MANIFEST "tenon = 1\n[app]\nname = \"shop\"\n[link.a]\ntype = \"memory\"\n"
static char dir[64];
static struct ctl_state *s;
static bool disk_fails;

// In the place of libc's.
int fsync(int fd)
{
	errno = EIO;
	return disk_fails ? -1 : fdatasync(fd);
}

static void must(bool ok, const struct err *e)
{
	if (!ok)
		fail_msg("%s", e->text);
}

static void open_state(void)
{
	struct err e = {0};
	must(ctl_state_open(dir, "default", "shop", &s, &e), &e);
}

static void again(void)
{
	ctl_state_close(s);
	open_state();
}

static int make(void **state)
{
	struct err e = {0};
	snprintf(dir, sizeof dir, "%s/tenon-state-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");  // hundreds of syncs
	assert_non_null(mkdtemp(dir));
	open_state();
	must(ctl_state_begin(s, slice_str(MANIFEST), slice_str("/srv/shop/"), &e), &e);
	return 0;
}

static int clear(void **state)
{
	char command[128];
	ctl_state_close(s);
	snprintf(command, sizeof command, "rm -rf %s", dir);
	return system(command);
}

static size_t size_of_journal(void)
{
	char path[128];
	struct stat st;
	snprintf(path, sizeof path, "%s/default/shop/journal", dir);
	assert_int_equal(stat(path, &st), 0);
	return (size_t)st.st_size;
}

static struct ctl__release *write_release(const struct ctl__draft *d)
{
	struct err e = {0};
	struct ctl__release *r = NULL;
	must(ctl__state_write(s, d, &r, &e), &e);
	return r;
}

static void begin_op(uint64_t n)
{
	struct err e = {0};
	must(ctl__state_op_begun(s, n, "link @a memory:x", &e), &e);
}

static void move_link(const char *link, const char *with, uint64_t epoch, const char *live)
{
	const struct ctl__draft d = {.operation = s->next_op - 1,
		.what = "link",
		.link = link,
		.with = slice_str(with),
		.epoch = epoch,
		.copy = true,
		.live = slice_str(live),
		.members = slice_of("", 0)};
	ctl__state_publish(s, write_release(&d));
}

// ---- releases ------------------------------------------------------------------------------------------------------------------------------------

static void a_change_of_a_link_is_one_of_all_that_moved_with_it(void **state)
{
	begin_op(1);
	move_link("a", "b c ", 2, "x = 1\n");
	begin_op(2);
	move_link("b", "", 3, "x = 2\n");
	for (int i = 0; i < 2; i++, again()) {
		assert_int_equal(ctl__state_release(s), 3);
		assert_int_equal(ctl_state_epoch(s, "a"), 2);
		assert_int_equal(ctl_state_epoch(s, "c"), 2);
		assert_int_equal(ctl_state_epoch(s, "b"), 3);
		assert_int_equal(ctl_state_epoch(s, "bc"), 1);
		assert_int_equal(ctl_state_epoch(s, "d"), 1);
		const struct ctl__release *r = ctl__state_link(s, "c");
		assert_true(r == s->newest->older && ctl__release_moved(r, "a") && ctl__release_moved(r, "b") && !ctl__release_moved(r, "b c"));
		struct buf b = {0};
		ctl__put_with(&b, r->with);
		ctl__put_with(&b, s->newest->with);
		assert_true(slice_eq_str(buf_view(&b), ",\"with\":[\"b\",\"c\"]"));
		buf_release(&b);
		assert_true(slice_eq_str(ctl_state_live(s), "x = 2\n"));
	}
}

static void what_was_aborted_is_none_and_its_number_is_free(void **state)
{
	struct err e = {0};
	const struct ctl__draft d = {.operation = 1, .what = "link", .link = "a", .epoch = 2, .live = slice_str("x = 1\n"), .members = slice_of("", 0)};
	begin_op(1);
	struct ctl__release *r = write_release(&d);
	assert_int_equal(r->number, 2);
	assert_int_equal(ctl__state_release(s), 1);
	must(ctl__state_abort(s, r, &e), &e);
	for (int i = 0; i < 2; i++, again()) {
		assert_int_equal(ctl__state_release(s), 1);
		assert_int_equal(ctl_state_epoch(s, "a"), 1);
		assert_int_equal(ctl__state_ended(s, 1)->release, 0);
		assert_int_equal(ctl_state_live(s).len, 0);
	}
	begin_op(2);
	move_link("a", "", 2, "x = 2\n");
	again();
	assert_int_equal(ctl__state_release(s), 2);
	assert_int_equal(ctl__state_ended(s, 2)->release, 2);
}

static void what_was_aborted_takes_no_release_of_before_with_it(void **state)
{
	const struct ctl__draft d = {.operation = CTL_RELEASES, .what = "link", .link = "a", .epoch = 1000, .live = slice_str("x = 1\n"), .members = slice_of("", 0)};
	struct err e = {0};
	for (uint64_t i = 1; i < CTL_RELEASES; i++) {
		begin_op(i);
		move_link("a", "", i + 1, "x = 2\n");
	}
	begin_op(CTL_RELEASES);
	must(ctl__state_abort(s, write_release(&d), &e), &e);
	for (int i = 0; i < 2; i++, again()) {
		assert_int_equal(s->n, CTL_RELEASES);
		assert_int_equal(ctl__state_release(s), CTL_RELEASES);
		const struct ctl__release *r = s->newest;
		while (r->older)
			r = r->older;
		assert_int_equal(r->number, 1);
	}
}

static int64_t no_room(int fd, const void *from, size_t n, uint64_t offset, bool append)
{
	return -ENOSPC;
}

static void what_was_aborted_is_none_also_where_the_disk_is_full_by_then(void **state)
{
	struct err e = {0};
	const struct ctl__draft d = {.operation = 1, .what = "set", .live = slice_str("x = 1\n"), .members = slice_of("", 0)};
	begin_op(1);
	struct ctl__release *r = write_release(&d);
	sys_file.write = no_room;
	must(ctl__state_abort(s, r, &e), &e);
	sys_file = sys_file_real;
	begin_op(2);
	for (int i = 0; i < 2; i++, again()) {
		assert_int_equal(ctl__state_release(s), 1);
		assert_int_equal(ctl_state_live(s).len, 0);
		assert_int_equal(s->next_op, 3);
	}
}

// It is in force, and nobody heard how its operation ended.
static void what_was_written_is_in_force_though_nobody_published_it(void **state)
{
	const struct ctl__draft d = {.operation = 1, .what = "link", .link = "a", .epoch = 2, .live = slice_str("x = 1\n"), .members = slice_str(",\"of\":{\"a newer\":[1,\"tenon\"]}")};
	begin_op(1);
	struct ctl__release *r = write_release(&d);
	struct ctl_state *before = s;
	ctl_journal_close(before->journal);  // as by a kill: the other one reads what is on the disk
	before->journal = NULL;
	open_state();
	assert_int_equal(ctl__state_release(s), 2);
	assert_true(slice_eq_str(s->newest->members, ",\"of\":{\"a newer\":[1,\"tenon\"]}"));
	assert_int_equal(ctl__state_ended(s, 1)->release, 2);
	assert_int_equal(ctl__state_ended(s, 1)->state[0], 0);
	assert_int_equal(s->next_op, 2);
	ctl__state_publish(before, r);
	ctl_state_close(before);
}

// ---- how much --------------------------------------------------------------------------------------------------------------------------------------

static void a_journal_is_made_shorter_between_changes_and_never_within_one(void **state)
{
	static char live[40000];
	memset(live, '#', sizeof live - 2);
	live[sizeof live - 2] = '\n';
	size_t largest = 0, before = size_of_journal();
	bool shorter = false;
	for (uint64_t i = 1; i <= 200; i++) {
		begin_op(i);
		size_t begun = size_of_journal();
		shorter |= begun < before;
		move_link(i % 2 ? "a" : "b", i % 3 ? "" : "c ", i + 1, live);
		before = size_of_journal();
		assert_true(before > begun);
		largest = max_u64(largest, before);
		ctl__state_op_ended(s, i, "done", i);
	}
	assert_true(shorter);
	assert_true(largest < 9000000);
	for (int i = 0; i < 2; i++, again()) {
		assert_int_equal(s->n, CTL_RELEASES);
		assert_int_equal(ctl__state_release(s), 201);
		assert_int_equal(ctl_state_epoch(s, "a"), 200);
		assert_int_equal(ctl_state_epoch(s, "b"), 201);
		assert_int_equal(ctl_state_epoch(s, "c"), 199);
		assert_string_equal(ctl__state_ended(s, 200)->state, "done");
		assert_null(ctl__state_ended(s, 200 - CTL_ENDED));
		assert_int_equal(s->next_event, 200);
	}
}

// Each has a text of nearly a MiB, which is twice as long in the journal; one of them has little again.
static void large_changes_leave_room_for_others(void **state)
{
	static char live[700000];
	memset(live, '"', sizeof live - 1);
	size_t largest = 0;
	for (uint64_t i = 1; i <= 50; i++) {
		begin_op(i);
		move_link("a", "", i + 1, i == 49 ? "x = 1\n" : live);
		ctl__state_op_ended(s, i, "done", i);
		largest = max_u64(largest, size_of_journal());
	}
	assert_true(largest > 20000000 && largest < 37000000);  // thrice what is known, and one change
	for (int i = 0; i < 2; i++, again()) {
		assert_int_equal(ctl__state_release(s), 51);
		assert_int_equal(ctl_state_live(s).len, sizeof live - 1);
		assert_true(slice_eq_str(s->newest->older->live, "x = 1\n"));
		assert_true(s->n >= 10 && s->n < 50);
	}
}

static void what_the_disk_did_not_take_is_not_in_force_after_a_restart(void **state)
{
	const struct ctl__draft d = {.operation = 1, .what = "set", .live = slice_str("x = 1\n"), .members = slice_of("", 0)};
	struct ctl__release *r;
	struct err e = {0};
	begin_op(1);
	disk_fails = true;
	assert_false(ctl__state_write(s, &d, &r, &e));
	disk_fails = false;
	assert_int_equal(e.code, ERR_ENV);
	assert_false(ctl__state_write(s, &d, &r, &e));
	again();
	assert_int_equal(ctl__state_release(s), 1);
	assert_int_equal(ctl_state_live(s).len, 0);
}

static int64_t little_room(int fd, const void *from, size_t n, uint64_t offset, bool append)
{
	return n > 100000 ? -ENOSPC : sys_file_real.write(fd, from, n, offset, append);
}

// The disk has room for a record, and none for a second journal.
static void what_cannot_be_made_shorter_is_used_as_it_is(void **state)
{
	static char live[60000];
	struct err e = {0};
	memset(live, '#', sizeof live - 1);
	begin_op(1);
	for (uint64_t i = 1; i <= 20; i++)
		move_link("a", "", i + 1, live);
	size_t before = size_of_journal();
	assert_true(before > 1 << 20);
	again();
	sys_file.write = little_room;
	must(ctl_state_begin(s, slice_str(MANIFEST "# more\n"), slice_str("/srv/shop/"), &e), &e);
	begin_op(2);
	assert_true(size_of_journal() > before && s->rewritten == 0);
	sys_file = sys_file_real;
	begin_op(3);
	assert_true(s->rewritten > before);
	assert_int_equal(ctl__state_release(s), 22);
	ctl__state_op_ended(s, 3, "done", 1);
	again();
	assert_int_equal(ctl__state_release(s), 22);
	assert_int_equal(s->next_op, 4);
}

// ---- a start ---------------------------------------------------------------------------------------------------------------------------------------

static void starts_make_a_journal_shorter_too(void **state)
{
	static char manifest[40000];
	struct err e = {0};
	for (unsigned i = 1; i <= 250; i++) {
		memset(manifest, '#', sizeof manifest);
		int n = snprintf(manifest, sizeof manifest, MANIFEST "# %u", i);
		manifest[n] = '#';
		must(ctl_state_begin(s, slice_of(manifest, sizeof manifest), slice_str("/srv/shop/"), &e), &e);
		assert_true(size_of_journal() < 9000000);
	}
	assert_int_equal(ctl__state_release(s), 251);
}

static void a_start_with_another_manifest_is_a_release_and_with_the_same_is_none(void **state)
{
	struct err e = {0};
	again();
	must(ctl_state_begin(s, slice_str(MANIFEST), slice_str("/srv/shop/"), &e), &e);
	assert_int_equal(ctl__state_release(s), 1);
	must(ctl_state_begin(s, slice_str(MANIFEST "# more\n"), slice_str("/srv/shop/"), &e), &e);
	assert_int_equal(ctl__state_release(s), 2);
	must(ctl_state_begin(s, slice_str(MANIFEST "# more\n"), slice_str("/srv/elsewhere/"), &e), &e);
	assert_int_equal(ctl__state_release(s), 3);
	again();
	assert_int_equal(s->n, 3);
	assert_string_equal(s->newest->what, "start with another manifest");
}

static void an_app_that_never_was_leaves_nothing(void **state)
{
	struct err e = {0};
	struct ctl_state *other;
	char path[128];
	must(ctl_state_open(dir, "default", "other", &other, &e), &e);
	ctl_state_leave(other, false);
	snprintf(path, sizeof path, "%s/default/other", dir);
	assert_int_equal(access(path, F_OK), -1);
	snprintf(path, sizeof path, "%s/default/shop/journal", dir);
	assert_int_equal(access(path, F_OK), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_change_of_a_link_is_one_of_all_that_moved_with_it, make, clear),
		cmocka_unit_test_setup_teardown(what_was_aborted_is_none_and_its_number_is_free, make, clear),
		cmocka_unit_test_setup_teardown(what_was_aborted_takes_no_release_of_before_with_it, make, clear),
		cmocka_unit_test_setup_teardown(what_was_aborted_is_none_also_where_the_disk_is_full_by_then, make, clear),
		cmocka_unit_test_setup_teardown(what_was_written_is_in_force_though_nobody_published_it, make, clear),
		cmocka_unit_test_setup_teardown(a_journal_is_made_shorter_between_changes_and_never_within_one, make, clear),
		cmocka_unit_test_setup_teardown(large_changes_leave_room_for_others, make, clear),
		cmocka_unit_test_setup_teardown(what_cannot_be_made_shorter_is_used_as_it_is, make, clear),
		cmocka_unit_test_setup_teardown(what_the_disk_did_not_take_is_not_in_force_after_a_restart, make, clear),
		cmocka_unit_test_setup_teardown(starts_make_a_journal_shorter_too, make, clear),
		cmocka_unit_test_setup_teardown(a_start_with_another_manifest_is_a_release_and_with_the_same_is_none, make, clear),
		cmocka_unit_test_setup_teardown(an_app_that_never_was_leaves_nothing, make, clear),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
