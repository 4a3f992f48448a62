// Components of the same bytes are one, and its bytes stay whatever becomes of the files.
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../component.h"
#include "sys/sys.h"

static char root[64], first[96], second[96];

static int make(void **state)
{
	char cache[96];
	snprintf(root, sizeof root, "/tmp/tenon-component-XXXXXX");
	assert_non_null(mkdtemp(root));
	snprintf(first, sizeof first, "%s/first.wasm", root);
	snprintf(second, sizeof second, "%s/second.wasm", root);
	snprintf(cache, sizeof cache, "%s/cache", root);
	return setenv("TENON_CACHE", cache, 1);
}

static int clear(void **state)
{
	char command[96];
	snprintf(command, sizeof command, "rm -rf %s", root);
	int status = system(command);
	for (unsigned i = 0; status && i < 1000; i++) {  // an entry of the cache was written meanwhile, behind the first answer
		usleep(10000);
		status = system(command);
	}
	return status;
}

// A component of one module, which has a function and a custom section of `mark`.
static void write_file(const char *path, uint8_t mark)
{
	uint8_t bytes[] = {0, 'a', 's', 'm', 13, 0, 1, 0, 1, 31, 0, 'a', 's', 'm', 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 10, 4, 1, 2, 0, 0x0b, 0, 3, 1, 'm', mark};
	bytes[9] = sizeof bytes - 10;
	int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
	assert_int_equal(write(fd, bytes, sizeof bytes), sizeof bytes);
	close(fd);
}

enum { SIZE = 3 << 19, LARGE_SIZE = SIZE + 39 };
// The same with more than a mebibyte behind it, which ends with `mark` too.
static void write_large_file(const char *path, uint8_t mark)
{
	static uint8_t section[SIZE] = {0, 0x80 | (SIZE - 4) % 128, 0x80 | (SIZE - 4) / 128 % 128, (SIZE - 4) / 16384, 1, 'x'};
	write_file(path, mark);
	section[SIZE - 1] = mark;
	int fd = open(path, O_WRONLY | O_APPEND);
	assert_int_equal(write(fd, section, SIZE), SIZE);
	close(fd);
}

static struct serve_component *load_as(const char *path, bool no_cache, struct err *e)
{
	struct serve_component *k = NULL;
	struct tier_file *cached = NULL;
	struct serve_config c = {0};
	serve_limits_default(&c, false);
	c.service.path = path;
	c.service.no_cache = no_cache;
	bool ok = vm_process_init(e) && serve__component_load(&c.service, &cached, &k, e);
	tier_file_close(cached);
	return ok ? k : NULL;
}

static struct serve_component *try_load(const char *path, struct err *e)
{
	return load_as(path, false, e);
}

static struct serve_component *load(const char *path)
{
	struct err e = {0};
	struct serve_component *k = try_load(path, &e);
	if (!k)
		fail_msg("%s", e.text);
	return k;
}

static uint8_t mark_of(const struct serve_component *k)
{
	return k->file.ptr[k->file.len - 1];
}

static void the_same_bytes_are_one_component_and_stay(void **state)
{
	write_file(first, 'a');
	write_file(second, 'a');
	struct serve_component *k = load(first);
	assert_false(k->tier.from_cache);
	write_file(first, 'b');
	assert_int_equal(mark_of(k), 'a');
	struct serve_component *same = load(second), *other = load(first);
	assert_ptr_equal(same, k);
	assert_ptr_not_equal(other, k);
	assert_int_equal(mark_of(other), 'b');
	assert_int_equal(truncate(first, 0), 0);
	assert_int_equal(truncate(second, 0), 0);
	assert_int_equal(mark_of(k), 'a');
	assert_int_equal(mark_of(other), 'b');
	serve__component_unref(k);
	assert_int_equal(mark_of(same), 'a');
	serve__component_unref(same);
	serve__component_unref(other);
}

// From the cache it is copied a moment later.
static struct serve_component *load_warm(const char *path)
{
	struct serve_component *k = load(path);
	for (unsigned i = 0; !k->tier.from_cache && i < 6000; i++) {
		serve__component_unref(k);
		usleep(10000);
		k = load(path);
	}
	assert_true(k->tier.from_cache);
	return k;
}

// What was to be done behind for it has been done then.
static void wait_until_kept(const struct serve_component *k)
{
	for (unsigned i = 0; !serve__source_is_kept(k->source) && i < 6000; i++)
		usleep(10000);
	assert_true(serve__source_is_kept(k->source));
}

// Why the file is not loaded that has this byte there.
static enum err_code refused(const char *path, off_t at, uint8_t byte)
{
	struct err e = {0};
	int fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
	assert_null(try_load(path, &e));
	return e.code;
}

// They are decoded before their hash is known, and copied while they are compiled.
static void large_files_are_shared_and_refused_like_others(void **state)
{
	write_large_file(first, 'f');
	write_large_file(second, 'f');
	struct serve_component *k = load(first), *same = load(second);
	assert_ptr_equal(same, k);
	write_large_file(second, 'g');
	struct serve_component *other = load(second);
	assert_ptr_not_equal(other, k);
	assert_int_equal(mark_of(k), 'f');
	assert_int_equal(mark_of(other), 'g');
	serve__component_unref(k);
	serve__component_unref(same);
	serve__component_unref(other);
	k = load_warm(first);
	wait_until_kept(k);
	assert_int_equal(mark_of(k), 'f');
	serve__component_unref(k);

	assert_int_equal(refused(first, 33, 0x1a), ERR_INVALID);  // its only instruction
	assert_int_equal(truncate(second, 5 << 18), 0);
	assert_int_equal(refused(second, 0, 0), ERR_MALFORMED);
}

static void one_that_is_too_large_is_refused_unread(void **state)
{
	struct err e = {0};
	write_file(first, 'l');
	assert_int_equal(truncate(first, (off_t)SERVE_COMPONENT_MAX + 1), 0);
	assert_null(try_load(first, &e));
	assert_int_equal(e.code, ERR_LIMIT);
}

// ---- loaded by several at once ----------------------------------------------------------------------------------------------------------

static uint8_t *put_leb(uint8_t *p, uint32_t n)
{
	for (; n >= 128; n >>= 7)
		*p++ = 128 | n % 128;
	*p++ = (uint8_t)n;
	return p;
}

// A component of one module of functions so large that they are compiled ahead, beside whoever goes on.
static void write_file_of_large_functions(const char *path)
{
	enum { N = 6, BODY = 120000 };
	static const uint8_t head[] = {0, 'a', 's', 'm', 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0, 3, N + 1, N, 0, 0, 0, 0, 0, 0}, piece[] = {0x41, 0, 0x1a};
	static uint8_t code[N * (BODY + 8) + 8], bytes[sizeof code + 64];
	uint8_t *c = put_leb(code, N), *p = bytes;
	for (unsigned f = 0; f < N; f++) {
		c = put_leb(c, BODY + 2);
		*c++ = 0;
		for (unsigned i = 0; i < BODY; i++)
			*c++ = piece[i % 3];
		*c++ = 0x0b;
	}
	uint32_t n = (uint32_t)(c - code), size = (uint32_t)sizeof head + 1 + (uint32_t)(put_leb(p, n) - p) + n;
	memcpy(p, "\0asm\x0d\0\1\0\1", 9);
	p = put_leb(p + 9, size);
	memcpy(p, head, sizeof head);
	p += sizeof head;
	*p++ = 10;
	p = put_leb(p, n);
	memcpy(p, code, n);
	p += n;
	int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
	assert_int_equal(write(fd, bytes, (size_t)(p - bytes)), p - bytes);
	close(fd);
}

struct loader {
	struct sys_thread thread;
	struct serve_component *k;
	pthread_barrier_t *all;
};

static void *load_beside(void *arg)
{
	struct loader *l = arg;
	pthread_barrier_wait(l->all);
	l->k = load(first);
	return NULL;
}

// All but one let go of what they compiled, of which a thread is in the middle.
static void who_loads_what_others_do_has_theirs(void **state UNUSED)
{
	enum { THREADS = 4, ROUNDS = 8 };
	char command[96];
	snprintf(command, sizeof command, "rm -rf %s/cache", root);
	write_file_of_large_functions(first);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct loader l[THREADS] = {0};
		pthread_barrier_t all;
		assert_int_equal(pthread_barrier_init(&all, NULL, THREADS), 0);
		for (unsigned i = 0; i < THREADS; i++) {
			l[i].all = &all;
			assert_int_equal(sys_thread_new(&l[i].thread, load_beside, &l[i]), 0);
		}
		for (unsigned i = 0; i < THREADS; i++)
			sys_thread_join(&l[i].thread);
		for (unsigned i = 0; i < THREADS; i++) {
			assert_ptr_equal(l[i].k, l[0].k);
			serve__component_unref(l[i].k);
		}
		pthread_barrier_destroy(&all);
		(void)system(command);  // so that it is compiled again
	}
}

// ---- files that are written over while they are loaded ----------------------------------------------------------------------------------

static unsigned kept_in_cache(void)
{
	char path[96];
	unsigned n = 0;
	snprintf(path, sizeof path, "%s/cache", root);
	DIR *d = opendir(path);
	for (struct dirent *ent; d && (ent = readdir(d));)
		n += strlen(ent->d_name) > 6 && strcmp(ent->d_name + strlen(ent->d_name) - 6, ".bytes") == 0;
	if (d)
		closedir(d);
	return n;
}

static void wait_until_in_cache(void)
{
	for (unsigned i = 0; !kept_in_cache() && i < 6000; i++)
		usleep(10000);
	assert_int_equal(kept_in_cache(), 1);
}

// Cold, from the cache, and where another has it: an old file of ours may be cut short as soon as it was loaded, before and after there is a copy.
static void one_that_is_cut_short_stays_what_it_was(void **state UNUSED)
{
	write_large_file(first, 'c');
	write_large_file(second, 'c');
	sleep(3);
	struct serve_component *cold = load(first), *same = load(second);
	assert_ptr_equal(same, cold);
	wait_until_in_cache();
	serve__component_unref(cold);
	serve__component_unref(same);
	struct serve_component *warm = load_warm(second);
	assert_int_equal(truncate(second, 0), 0);
	assert_int_equal(mark_of(warm), 'c');
	wait_until_kept(warm);
	assert_int_equal(mark_of(warm), 'c');
	struct serve_component *again = load(first);
	assert_ptr_equal(again, warm);
	assert_int_equal(truncate(first, 0), 0);
	serve__component_unref(warm);
	assert_int_equal(mark_of(again), 'c');
	serve__component_unref(again);
	assert_int_equal(refused(first, 0, 0), ERR_MALFORMED);
}

struct cutter {
	struct sys_thread thread;
	bool over;
};

// Cut short, written anew from its front, and its times put back as far as anybody can: who comes finds each state.
static void *cut_and_write(void *arg)
{
	struct cutter *c = arg;
	static const struct timespec old[2] = {{1000, 0}, {1000, 0}};
	static uint8_t bytes[4 << 20];
	int fd = open(first, O_RDWR);
	ssize_t size = pread(fd, bytes, sizeof bytes, 0);
	for (unsigned i = 0; !__atomic_load_n(&c->over, __ATOMIC_ACQUIRE); i++) {
		if (ftruncate(fd, i % 4 ? size * (i % 7) / 8 : 0) != 0 || pwrite(fd, bytes, (size_t)size, 0) != size || futimens(fd, old) != 0)
			break;
		usleep(i % 16 * 50);
	}
	close(fd);
	return NULL;
}

static void what_is_cut_short_all_the_time_ends_nobody(bool no_cache)
{
	struct cutter c = {0};
	unsigned loaded = 0, written_over = 0;
	write_large_file(first, 'w');
	assert_int_equal(sys_thread_new(&c.thread, cut_and_write, &c), 0);
	for (unsigned i = 0; i < 2000; i++) {
		struct err e = {0};
		struct serve_component *k = load_as(first, no_cache, &e);
		if (k) {
			assert_int_equal(mark_of(k), 'w');
			assert_int_equal(k->file.len, LARGE_SIZE);
			loaded++;
		} else if (e.code == ERR_ENV) {
			assert_non_null(strstr(e.text, "the file was written over while it was loaded"));
			written_over++;
		} else {
			assert_int_equal(e.code, ERR_MALFORMED);  // found short, or empty, and whole as that
		}
		serve__component_unref(k);
	}
	__atomic_store_n(&c.over, true, __ATOMIC_RELEASE);
	sys_thread_join(&c.thread);
	assert_true(written_over);
	struct serve_component *k = load(first);
	assert_int_equal(mark_of(k), 'w');
	serve__component_unref(k);
	print_message("%u loaded, %u written over\n", loaded, written_over);
}

static void what_is_written_over_all_the_time_is_loaded_whole_or_refused(void **state UNUSED)
{
	what_is_cut_short_all_the_time_ends_nobody(false);
}

static void so_without_a_cache(void **state UNUSED)
{
	what_is_cut_short_all_the_time_ends_nobody(true);
}

// ---- files that others write to ----------------------------------------------------------------------------------------------------------

// Somebody else's file, who has it mapped and has written to it: what he writes there now changes no times.
static uint8_t *map_dirty(const char *path, void (*write_it)(const char *path, uint8_t mark), uint8_t mark, size_t *ret_size)
{
	struct stat st;
	write_it(path, mark);
	assert_int_equal(chmod(path, 0666), 0);
	if (geteuid() == 0)
		assert_int_equal(chown(path, 65534, 65534), 0);
	int fd = open(path, O_RDWR);
	assert_int_equal(fstat(fd, &st), 0);
	uint8_t *at = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(at, MAP_FAILED);
	close(fd);
	*ret_size = (size_t)st.st_size;
	((volatile uint8_t *)at)[*ret_size - 1] = mark;
	return at;
}

static bool times_are(const char *path, const struct stat *was)
{
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	return memcmp(&st.st_mtim, &was->st_mtim, sizeof st.st_mtim) == 0 && memcmp(&st.st_ctim, &was->st_ctim, sizeof st.st_ctim) == 0;
}

// What it was called and what is decoded, now and later, are the bytes that were read, cold and warm.
static void bytes_that_change_beneath_their_times(void (*write_it)(const char *path, uint8_t mark))
{
	struct stat st;
	size_t size;
	uint8_t *at = map_dirty(first, write_it, 'k', &size);
	volatile uint8_t *mark = at + size - 1;
	sleep(3);  // until another write would show in the times
	assert_int_equal(stat(first, &st), 0);
	struct serve_component *cold = load(first);
	assert_int_equal(mark_of(cold), 'k');
	*mark = 'l';
	assert_int_equal(mark_of(cold), 'k');
	wait_until_in_cache();
	bool beneath = times_are(first, &st);  // else the kernel wrote the page back meanwhile
	struct serve_component *warm = load(first);
	assert_int_equal(mark_of(warm), beneath ? 'k' : 'l');
	if (beneath)
		assert_ptr_equal(warm, cold);
	else
		assert_ptr_not_equal(warm, cold);
	serve__component_unref(cold);
	serve__component_unref(warm);
	warm = load_warm(first);
	uint8_t held = mark_of(warm);
	*mark = 'm';
	assert_int_equal(mark_of(warm), held);
	assert_int_equal(truncate(first, 0), 0);
	assert_int_equal(mark_of(warm), held);
	serve__component_unref(warm);
	munmap(at, size);
}

static void what_others_change_beneath_their_times_is_not_seen(void **state UNUSED)
{
	bytes_that_change_beneath_their_times(write_file);
}

static void nor_where_it_is_large(void **state UNUSED)
{
	bytes_that_change_beneath_their_times(write_large_file);
}

// Neither from its file nor from the cache, as long as it has what it is known by.
static void what_somebody_has_is_not_read_again(void **state UNUSED)
{
	struct stat st;
	size_t size;
	char command[96];
	uint8_t *at = map_dirty(first, write_file, 'k', &size);
	sleep(3);
	assert_int_equal(stat(first, &st), 0);
	struct serve_component *k = load(first);
	wait_until_in_cache();
	snprintf(command, sizeof command, "rm %s/cache/*.bytes", root);
	assert_int_equal(system(command), 0);
	((volatile uint8_t *)at)[size - 1] = 'l';
	bool beneath = times_are(first, &st);
	struct serve_component *same = load(first);
	if (beneath)  // else the kernel wrote the page back meanwhile
		assert_ptr_equal(same, k);
	serve__component_unref(k);
	serve__component_unref(same);
	munmap(at, size);
	if (!beneath)
		skip();
}

static void *flip(void *arg)
{
	volatile uint8_t *mark = arg;
	for (uint8_t i = 0; *(mark - 1) != 'E'; i++)
		*mark = 'a' + i % 8;
	return NULL;
}

// While it is hashed and decoded: what is shared by its hash has these bytes.
static void bytes_that_change_all_the_time_are_those_of_the_hash(void **state UNUSED)
{
	size_t size;
	struct sys_thread thread;
	uint8_t *at = map_dirty(first, write_large_file, 'n', &size);
	struct serve_component *by_mark[8] = {0};
	assert_int_equal(sys_thread_new(&thread, flip, at + size - 1), 0);
	for (unsigned i = 0; i < 200; i++) {
		struct err e = {0};
		struct serve_component *k = try_load(first, &e);
		if (!k) {  // its times changed while it was read
			assert_int_equal(e.code, ERR_ENV);
			continue;
		}
		unsigned mark = (unsigned)(mark_of(k) - 'a');
		assert_true(mark < 8 || mark == 'n' - 'a');
		if (mark >= 8 || by_mark[mark]) {
			assert_true(mark >= 8 || by_mark[mark] == k);
			serve__component_unref(k);
		} else {
			by_mark[mark] = k;
		}
	}
	((volatile uint8_t *)at)[size - 2] = 'E';
	sys_thread_join(&thread);
	for (unsigned i = 0; i < 8; i++)
		if (by_mark[i]) {
			assert_int_equal(mark_of(by_mark[i]) - 'a', i);
			serve__component_unref(by_mark[i]);
		}
	munmap(at, size);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make, clear)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_same_bytes_are_one_component_and_stay),
		TEST(large_files_are_shared_and_refused_like_others),
		TEST(one_that_is_too_large_is_refused_unread),
		TEST(who_loads_what_others_do_has_theirs),
		TEST(one_that_is_cut_short_stays_what_it_was),
		TEST(what_is_written_over_all_the_time_is_loaded_whole_or_refused),
		TEST(so_without_a_cache),
		TEST(what_others_change_beneath_their_times_is_not_seen),
		TEST(nor_where_it_is_large),
		TEST(what_somebody_has_is_not_read_again),
		TEST(bytes_that_change_all_the_time_are_those_of_the_hash),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
