// The cache: whose directory is trusted, what an entry survives and what not. Rows: L48, L49, L50.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../tier_int.h"

static char root[64], path[128];  // of this test; path: the cache

static void wipe(const char *dir)
{
	DIR *d = opendir(dir);
	for (struct dirent *e; d && (e = readdir(d));)
		if (e->d_name[0] != '.' && unlinkat(dirfd(d), e->d_name, 0) != 0) {
			char sub[512];
			snprintf(sub, sizeof sub, "%s/%s", dir, e->d_name);
			wipe(sub);
		}
	if (d)
		closedir(d);
	rmdir(dir);
}

static int setup(void **state UNUSED)
{
	snprintf(root, sizeof root, "/tmp/tenon-cache-XXXXXX");
	if (!mkdtemp(root))
		return -1;
	snprintf(path, sizeof path, "%s/cache", root);
	return setenv("TENON_CACHE", path, 1);
}

static int teardown(void **state UNUSED)
{
	wipe(root);
	return 0;
}

static unsigned count(int cache)
{
	unsigned n = 0;
	DIR *d = fdopendir(openat(cache, ".", O_RDONLY | O_DIRECTORY));
	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

// ---- the directory -----------------------------------------------------------------------------------------------

static void makes_a_directory_of_its_own(void **state UNUSED)
{
	struct stat st;
	int cache = tier__cache_open(NULL);
	assert_true(cache >= 0);
	assert_int_equal(fstat(cache, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	close(cache);
}

static void does_without_a_directory_that_others_may_enter(void **state UNUSED)
{
	static const mode_t modes[] = {0755, 0701, 0770, 0777};
	assert_int_equal(mkdir(path, 0700), 0);
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		assert_int_equal(chmod(path, modes[i]), 0);
		assert_int_equal(tier__cache_open(NULL), -1);
	}
}

static void does_without_a_directory_of_somebody_else(void **state UNUSED)
{
	if (geteuid() != 0)
		skip();  // only root can give one away
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(chown(path, 12345, 12345), 0);
	assert_int_equal(tier__cache_open(NULL), -1);
}

static void follows_no_link_to_a_directory(void **state UNUSED)
{
	char real[160];
	snprintf(real, sizeof real, "%s/real", root);
	assert_int_equal(mkdir(real, 0700), 0);
	assert_int_equal(symlink(real, path), 0);
	assert_int_equal(tier__cache_open(NULL), -1);
}

static void does_without_a_relative_path(void **state UNUSED)
{
	setenv("TENON_CACHE", "cache", 1);
	assert_int_equal(tier__cache_open(NULL), -1);
}

// ---- entries -----------------------------------------------------------------------------------------------------

static const struct tier_key key_a = {{1}}, key_b = {{2}}, key_c = {{3}};

static bool write_slice(int fd, void *arg)
{
	const struct slice *s = arg;
	return write(fd, s->ptr, s->len) == (ssize_t)s->len;
}

static bool put(int cache, const struct tier_key *key, struct slice bytes, uint64_t max)
{
	return tier__cache_put(cache, key, "code", write_slice, &bytes, max);
}

static bool has(int cache, const struct tier_key *key)
{
	struct tier__entry entry;
	int fd = tier__cache_get(cache, key, "code", &entry);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void entry_path(const struct tier_key *key, char out[300])
{
	int n = snprintf(out, 300, "%s/", path);
	for (int i = 0; i < 32; i++)
		n += snprintf(out + n, (size_t)(300 - n), "%02x", key->bytes[i]);
	snprintf(out + n, (size_t)(300 - n), ".code");
}

static void follows_no_link_to_an_entry_and_takes_none_that_others_may_write(void **state UNUSED)
{
	char at[300], other[160];
	int cache = tier__cache_open(NULL);
	snprintf(other, sizeof other, "%s/other", root);
	entry_path(&key_a, at);
	assert_true(put(cache, &key_b, SLICE_LIT("x"), TIER__CACHE_MAX));
	close(open(other, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(symlink(other, at), 0);
	assert_false(has(cache, &key_a));
	entry_path(&key_b, at);
	assert_true(has(cache, &key_b));
	assert_int_equal(chmod(at, 0622), 0);
	assert_false(has(cache, &key_b));
	close(cache);
}

static bool write_half(int fd, void *arg)
{
	return write(fd, "half", 4) != 4;
}

static void an_entry_that_could_not_be_written_leaves_nothing(void **state UNUSED)
{
	int cache = tier__cache_open(NULL);
	assert_false(tier__cache_put(cache, &key_a, "code", write_half, NULL, TIER__CACHE_MAX));
	assert_int_equal(count(cache), 0);
	close(cache);
}

static void age(const struct tier_key *key, time_t seconds)
{
	char at[300];
	struct timespec times[2] = {{time(NULL) - seconds, 0}, {time(NULL) - seconds, 0}};
	entry_path(key, at);
	assert_int_equal(utimensat(AT_FDCWD, at, times, 0), 0);
}

static void the_least_recently_used_go_first(void **state UNUSED)
{
	static uint8_t large[1 << 20];
	struct slice bytes = slice_of(large, sizeof large);
	int cache = tier__cache_open(NULL);
	memset(large, 7, sizeof large);
	assert_true(put(cache, &key_a, bytes, 5 << 19));
	assert_true(put(cache, &key_b, bytes, 5 << 19));
	age(&key_a, 9000);
	age(&key_b, 8000);
	assert_true(has(cache, &key_a));  // used: now it is the younger one
	assert_true(put(cache, &key_c, bytes, 5 << 19));
	assert_true(has(cache, &key_a));
	assert_false(has(cache, &key_b));
	assert_true(has(cache, &key_c));
	close(cache);
}

// All are looked at only once in a while: what is above the bound meanwhile is a 64th of it, and there is room kept for that.
static void the_bound_holds_with_hundreds_of_entries_of_which_few_are_looked_at(void **state UNUSED)
{
	enum { MAX = 64 * 4 * 65536, ENTRY = 40000, N = 600 };
	static uint8_t bytes[ENTRY];
	int cache = tier__cache_open(NULL);
	unsigned looks = 0, before = 0;
	for (unsigned i = 0; i < N; i++) {
		struct tier_key key = {{(uint8_t)i, (uint8_t)(i >> 8), 9}};
		assert_true(put(cache, &key, slice_of(bytes, sizeof bytes), MAX));
		unsigned now = count(cache);
		looks += now <= before;
		before = now;
		assert_true((uint64_t)now * 40960 <= MAX);
	}
	assert_true(looks > 2 && looks < (N - MAX / 40960) / 3);
	assert_true(before > MAX / 40960 * 9 / 10);
	close(cache);
}

// L49: each writes a content of its own under the same key, again and again; whoever reads sees one of them whole.
static void processes_that_write_the_same_entry_do_not_mix(void **state UNUSED)
{
	enum { WRITERS = 4, ROUNDS = 20, SIZE = 100000 };
	static uint8_t bytes[SIZE];
	int cache = tier__cache_open(NULL);
	pid_t pids[WRITERS];
	for (int w = 0; w < WRITERS; w++) {
		pids[w] = fork();
		if (pids[w] == 0) {
			memset(bytes, 'a' + w, SIZE);
			bool ok = true;
			for (int i = 0; i < ROUNDS; i++)
				ok = put(cache, &key_a, slice_of(bytes, SIZE - (size_t)w), TIER__CACHE_MAX) && ok;
			_exit(ok ? 0 : 1);
		}
	}
	for (unsigned reads = 0, ended = 0; ended < WRITERS || reads < 10; reads++) {
		struct tier__entry entry;
		int fd = tier__cache_get(cache, &key_a, "code", &entry), status;
		if (fd >= 0) {
			uint64_t size = entry.size;
			assert_int_equal(read(fd, bytes, SIZE), size);
			for (size_t i = 1; i < size; i++)
				if (bytes[i] != bytes[0])
					fail_msg("two contents in one entry");
			assert_int_equal(size, SIZE - (bytes[0] - 'a'));
			close(fd);
		}
		while (ended < WRITERS && waitpid(pids[ended], &status, reads > 100000 ? 0 : WNOHANG) == pids[ended]) {
			assert_int_equal(status, 0);
			ended++;
		}
	}
	assert_int_equal(count(cache), 1);
	close(cache);
}

// ---- notes -------------------------------------------------------------------------------------------------------

static bool is_checked(int cache)
{
	struct tier__entry entry;
	int fd = tier__cache_get(cache, &key_a, "code", &entry);
	assert_true(fd >= 0);
	close(fd);
	return entry.checked;
}

static void note(int cache)
{
	struct tier__entry entry;
	int fd = tier__cache_get(cache, &key_a, "code", &entry);
	assert_true(fd >= 0);
	tier__cache_note_checked(cache, &key_a, "code", &entry);
	close(fd);
}

static void overwrite(const char *byte)
{
	char at[300];
	entry_path(&key_a, at);
	int fd = open(at, O_RDWR);
	assert_int_equal(pwrite(fd, byte, 1, 0), 1);
	close(fd);
}

static void what_was_checked_is_so_until_somebody_writes(void **state UNUSED)
{
	int cache = tier__cache_open(NULL);
	assert_true(put(cache, &key_a, SLICE_LIT("content"), TIER__CACHE_MAX));
	assert_true(is_checked(cache));  // it is what was written
	overwrite("C");                  // however soon
	assert_false(is_checked(cache));
	note(cache);  // written just now: another write might not show
	assert_false(is_checked(cache));
	age(&key_a, 10);
	assert_false(is_checked(cache));
	note(cache);
	assert_true(is_checked(cache));
	age(&key_a, 7300);
	assert_false(is_checked(cache));
	note(cache);
	assert_true(is_checked(cache));  // its use is noted by this, after more than an hour
	assert_true(is_checked(cache));
	overwrite("c");
	assert_false(is_checked(cache));
	assert_int_equal(count(cache), 1);
	tier__cache_remove(cache, &key_a, "code");
	assert_int_equal(count(cache), 0);
	close(cache);
}

// Another file with the same time, as a copy that keeps times, is looked at itself.
static void a_copy_of_what_was_checked_is_not_checked(void **state UNUSED)
{
	char at[300], copy[160], command[600];
	struct stat was, is;
	int cache = tier__cache_open(NULL);
	assert_true(put(cache, &key_a, SLICE_LIT("content"), TIER__CACHE_MAX));
	entry_path(&key_a, at);
	assert_int_equal(stat(at, &was), 0);
	snprintf(copy, sizeof copy, "%s/copy", root);
	snprintf(command, sizeof command, "cp -p %s %s && mv %s %s", at, copy, copy, at);
	assert_int_equal(system(command), 0);
	assert_int_equal(stat(at, &is), 0);
	assert_memory_equal(&is.st_mtim, &was.st_mtim, sizeof is.st_mtim);
	assert_false(is_checked(cache));
	note(cache);
	assert_true(is_checked(cache));
	close(cache);
}

// What was found right was the file as it was then.
static void what_was_written_to_since_it_was_checked_is_not(void **state UNUSED)
{
	struct tier__entry entry;
	int cache = tier__cache_open(NULL);
	assert_true(put(cache, &key_a, SLICE_LIT("content"), TIER__CACHE_MAX));
	age(&key_a, 10);
	close(tier__cache_get(cache, &key_a, "code", &entry));
	overwrite("C");
	tier__cache_note_checked(cache, &key_a, "code", &entry);
	age(&key_a, 20);
	assert_false(is_checked(cache));
	close(tier__cache_get(cache, &key_a, "code", &entry));
	age(&key_a, 30);
	tier__cache_note_checked(cache, &key_a, "code", &entry);
	assert_false(is_checked(cache));
	close(cache);
}

// ---- identity ----------------------------------------------------------------------------------------------------

static void identify(int cache, int fd, struct slice content, struct tier_key *ret)
{
	struct tier__identity id;
	if (tier__identity_find(cache, fd, content.len, &id, ret))
		return;
	tier__key_of(content, ret);
	tier__identity_keep(cache, &id, ret);
}

static void a_file_that_changed_is_another_even_with_its_old_time(void **state UNUSED)
{
	char at[160];
	struct tier_key first, second, direct;
	struct stat st;
	int cache = tier__cache_open(NULL);
	snprintf(at, sizeof at, "%s/file", root);
	int fd = open(at, O_CREAT | O_RDWR, 0600);
	assert_int_equal(write(fd, "first", 5), 5);
	struct timespec old[2] = {{1000, 0}, {1000, 0}};
	assert_int_equal(futimens(fd, old), 0);
	// Just changed, by its ctime: known only by its content.
	identify(cache, fd, SLICE_LIT("first"), &first);
	assert_int_equal(count(cache), 0);
	sleep(4);
	identify(cache, fd, SLICE_LIT("first"), &first);
	assert_int_equal(count(cache), 1);
	// Remembered: what is given as content is not read any more.
	identify(cache, fd, SLICE_LIT("FIRST"), &second);
	assert_memory_equal(&first, &second, sizeof first);
	tier__key_of(SLICE_LIT("first"), &direct);
	assert_memory_equal(&first, &direct, sizeof first);

	assert_int_equal(pwrite(fd, "again", 5, 0), 5);
	assert_int_equal(futimens(fd, old), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mtim.tv_sec, 1000);
	identify(cache, fd, SLICE_LIT("again"), &second);
	tier__key_of(SLICE_LIT("again"), &direct);
	assert_memory_equal(&second, &direct, sizeof second);
	close(fd);
	close(cache);
}

// Before the disk has it.
static void what_a_file_hashes_to_is_known_in_the_process_at_once(void **state UNUSED)
{
	struct tier__identity id;
	struct tier_key content, found;
	int cache = tier__cache_open(NULL), fd = open("/bin/sh", O_RDONLY);
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	uint64_t size = (uint64_t)st.st_size;
	assert_false(tier__identity_find(cache, fd, size, &id, &found));
	assert_true(id.settled);
	tier__key_of(SLICE_LIT("content"), &content);
	tier__identity_remember(&id, &content);
	assert_true(tier__identity_find(cache, fd, size, &id, &found));
	assert_memory_equal(&content, &found, sizeof found);
	assert_false(tier__identity_find(cache, fd, size + 1, &id, &found));
	assert_int_equal(count(cache), 0);
	close(fd);
	close(cache);
}

static struct tier_file *open_bytes(struct slice bytes)
{
	struct tier_options opt = {0};
	struct tier_file *f;
	struct err e;
	err_clear(&e);
	if (!tier_file_open(bytes, &opt, &f, &e))
		fail_msg("%s", e.text);
	return f;
}

// The thread that hashes is done before anybody learns a key, and before the file is closed.
static void a_large_file_is_hashed_beside_and_called_the_same(void **state UNUSED)
{
	uint8_t by_thread[TIER_KEY_SIZE], known[TIER_KEY_SIZE], other[TIER_KEY_SIZE];
	struct tier_key direct;
	enum { SIZE = TIER__HASH_BESIDE + 1 };
	uint8_t *bytes = mem_zalloc(SIZE);
	struct tier_file *f = open_bytes(slice_of(bytes, SIZE));
	assert_true(tier_file_hashes(f));
	assert_true(tier_file_key(f, by_thread));
	assert_false(tier_file_hashes(f));
	tier__key_of(slice_of(bytes, SIZE), &direct);
	assert_memory_equal(tier_file_content(f), &direct, sizeof direct);
	tier_file_close(f);
	// Where that is known no bytes are wanted.
	struct tier_options opt = {.content = direct.bytes};
	assert_true(tier_file_open(SLICE_LIT(""), &opt, &f, NULL));
	assert_false(tier_file_hashes(f));
	assert_true(tier_file_key(f, known));
	assert_memory_equal(by_thread, known, sizeof known);
	tier_file_close(f);

	bytes[SIZE - 1] ^= 1;
	f = open_bytes(slice_of(bytes, SIZE));
	assert_true(tier_file_hashes(f));
	assert_false(tier_file_has_code(f));
	assert_false(tier_file_hashes(f));
	assert_true(tier_file_key(f, other));
	assert_memory_not_equal(other, known, sizeof other);
	tier_file_close(f);
	f = open_bytes(slice_of(bytes, SIZE));
	tier_file_close(f);
	mem_free(bytes);
}

static void another_build_processor_or_flag_is_another_entry(void **state UNUSED)
{
	struct tier_key base, same, other;
	tier__code_key(&key_a, SLICE_LIT("build"), 3, 0, &base);
	tier__code_key(&key_a, SLICE_LIT("build"), 3, 0, &same);
	assert_memory_equal(&base, &same, sizeof base);
	tier__code_key(&key_b, SLICE_LIT("build"), 3, 0, &other);
	assert_memory_not_equal(&base, &other, sizeof base);
	tier__code_key(&key_a, SLICE_LIT("BUILD"), 3, 0, &other);
	assert_memory_not_equal(&base, &other, sizeof base);
	tier__code_key(&key_a, SLICE_LIT("build"), 1, 0, &other);
	assert_memory_not_equal(&base, &other, sizeof base);
	tier__code_key(&key_a, SLICE_LIT("build"), 3, 1, &other);
	assert_memory_not_equal(&base, &other, sizeof base);
}

// ---- what waits to be written ------------------------------------------------------------------------------------------------------------

enum { JOBS = 12 };
static struct tier__job jobs[JOBS];
static struct sys_mutex gate = SYS_MUTEX;
static uint32_t written, dropped;  // bits

static void on_job(struct tier__job *j)
{
	sys_mutex_lock(&gate);
	sys_mutex_unlock(&gate);
	__atomic_or_fetch(&written, 1u << (j - jobs), __ATOMIC_RELEASE);
}

static void on_job_dropped(struct tier__job *j)
{
	__atomic_or_fetch(&dropped, 1u << (j - jobs), __ATOMIC_RELEASE);
}

// The thread stands at the first, which holds nothing; so does the second. Returns which of the others were let go, as bits of bytes[].
static uint32_t drops(const uint64_t *bytes, unsigned n)
{
	uint32_t all = (1u << (n + 2)) - 1;
	written = dropped = 0;
	sys_mutex_lock(&gate);
	for (unsigned i = 0; i < n + 2; i++) {
		jobs[i] = (struct tier__job){.fn = on_job, .drop = on_job_dropped, .must = i > 1, .bytes = i < 2 ? 0 : bytes[i - 2]};
		tier__behind(&jobs[i]);
	}
	uint32_t gone = dropped;
	sys_mutex_unlock(&gate);
	for (unsigned k = 0; __atomic_load_n(&written, __ATOMIC_ACQUIRE) != (all & ~gone) && k < 60000; k++)
		usleep(1000);
	assert_int_equal(written, all & ~gone);
	assert_int_equal(dropped, gone);
	return gone >> 2;
}

static void what_waits_is_bounded_and_the_oldest_go(void **state)
{
	static const uint64_t small = TIER__LARGE, large = 2 * TIER__WAITING_MAX;
	assert_int_equal(drops((const uint64_t[]){small, small, small, small, small, small, small, small, small, small}, 10), 0x3);  // eight fit
	assert_int_equal(drops((const uint64_t[]){large, large, large, large, large, large, large, large}, 8), 0x3);
	// However large it is, it is written also where others come after it.
	assert_int_equal(drops((const uint64_t[]){large, 1000, 0, 1000}, 4), 0);
	assert_int_equal(drops((const uint64_t[]){large, small, small, small, small, small, small, small, small, small}, 10), 0x2);
	assert_int_equal(drops((const uint64_t[]){large}, 1), 0);
}

// ---- the order of what is done behind ----------------------------------------------------------------------------------------------------
struct named_job {
	struct tier__job job;
	char name;
};
static char order[16];
static _Atomic unsigned n_order;
static int order_to = -1;  // also there

static void note_done(struct tier__job *j, bool was_dropped)
{
	char c = CONTAINER_OF(j, struct named_job, job)->name;
	c = was_dropped ? (char)(c - 'a' + 'A') : c;
	if (order_to >= 0)
		(void)!write(order_to, &c, 1);
	order[n_order++] = c;
}

static void do_named(struct tier__job *j)
{
	note_done(j, false);
}

static void drop_named(struct tier__job *j)
{
	note_done(j, true);
}

static void wait_at_gate(struct tier__job *j)
{
	sys_mutex_lock(&gate);
	sys_mutex_unlock(&gate);
}

static void wait_for_the_end(struct tier__job *j)
{
	while (!tier__is_ending())
		usleep(1000);
}

static void go_on_until_over(struct tier__job *j)
{
	note_done(j, false);
	while (!tier__is_over())
		usleep(1000);
}

static void queue_named(struct named_job *list, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		list[i].job.fn = list[i].job.fn ? list[i].job.fn : do_named;
		list[i].job.drop = drop_named;
		tier__behind(&list[i].job);
	}
}

static void what_takes_long_waits_for_the_rest(void **state UNUSED)
{
	static struct named_job list[] = {{{.fn = wait_at_gate}, 'x'}, {{.is_long = true}, 'l'}, {{0}, 'a'}, {{.is_long = true}, 'm'}, {{0}, 'b'}};
	n_order = 0;
	sys_mutex_lock(&gate);
	queue_named(list, ARRAY_LEN(list));
	sys_mutex_unlock(&gate);
	for (unsigned k = 0; n_order < 4 && k < 60000; k++)
		usleep(1000);
	assert_int_equal(n_order, 4);
	assert_memory_equal(order, "ablm", 4);
}

// What must be is done, the rest let go; what takes long goes on for two seconds, and no other of that kind is begun then. (A machine that stands still for
// two seconds gives the first no time either.)
static void the_end_of_the_process_waits_for_what_must_be_done(void **state UNUSED)
{
	static struct named_job list[] = {
		{{.fn = wait_for_the_end, .must = true}, 'x'},
		{{.fn = go_on_until_over, .must = true, .is_long = true}, 'l'},
		{{.must = true}, 'a'},
		{{.must = true, .is_long = true}, 'm'},
		{{0}, 'b'},
	};
	char said[8] = "";
	int ends[2], status;
	assert_int_equal(pipe(ends), 0);
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		order_to = ends[1];
		queue_named(list, ARRAY_LEN(list));
		exit(0);
	}
	close(ends[1]);
	for (size_t n = 0, k; n < sizeof said - 1 && (k = (size_t)read(ends[0], said + n, sizeof said - 1 - n)); n += k)
		;
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	if (strcmp(said, "aBLM") != 0)
		assert_string_equal(said, "aBlM");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_end_of_the_process_waits_for_what_must_be_done),  // before there is a thread
		TEST(makes_a_directory_of_its_own),
		TEST(does_without_a_directory_that_others_may_enter),
		TEST(does_without_a_directory_of_somebody_else),
		TEST(follows_no_link_to_a_directory),
		TEST(does_without_a_relative_path),
		TEST(follows_no_link_to_an_entry_and_takes_none_that_others_may_write),
		TEST(an_entry_that_could_not_be_written_leaves_nothing),
		TEST(the_least_recently_used_go_first),
		TEST(the_bound_holds_with_hundreds_of_entries_of_which_few_are_looked_at),
		TEST(processes_that_write_the_same_entry_do_not_mix),
		TEST(what_was_checked_is_so_until_somebody_writes),
		TEST(a_copy_of_what_was_checked_is_not_checked),
		TEST(what_was_written_to_since_it_was_checked_is_not),
		TEST(a_file_that_changed_is_another_even_with_its_old_time),
		TEST(what_a_file_hashes_to_is_known_in_the_process_at_once),
		TEST(a_large_file_is_hashed_beside_and_called_the_same),
		TEST(another_build_processor_or_flag_is_another_entry),
		TEST(what_waits_is_bounded_and_the_oldest_go),
		TEST(what_takes_long_waits_for_the_rest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
