// Components of the same bytes are one, and its bytes stay whatever becomes of the files.
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
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
	return system(command);
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

// The same with more than a mebibyte behind it, which ends with `mark` too.
static void write_large_file(const char *path, uint8_t mark)
{
	enum { SIZE = 3 << 19 };
	static uint8_t section[SIZE] = {0, 0x80 | (SIZE - 4) % 128, 0x80 | (SIZE - 4) / 128 % 128, (SIZE - 4) / 16384, 1, 'x'};
	write_file(path, mark);
	section[SIZE - 1] = mark;
	int fd = open(path, O_WRONLY | O_APPEND);
	assert_int_equal(write(fd, section, SIZE), SIZE);
	close(fd);
}

static struct serve_component *load(const char *path)
{
	struct err e = {0};
	struct serve_component *k = NULL;
	struct tier_file *cached = NULL;
	struct serve_config c = {0};
	serve_limits_default(&c, false);
	c.service.path = path;
	bool ok = vm_process_init(&e) && serve__component_load(&c.service, &cached, &k, &e);
	tier_file_close(cached);
	if (!ok)
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
	struct serve_component *k;
	struct tier_file *cached = NULL;
	struct serve_config c = {0};
	int fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
	serve_limits_default(&c, false);
	c.service.path = path;
	assert_false(serve__component_load(&c.service, &cached, &k, &e));
	tier_file_close(cached);
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

static void one_whose_file_changed_too_soon_is_shared_with_nobody(void **state)
{
	write_file(first, 'c');
	write_file(second, 'c');
	struct serve_component *k = load_warm(first);
	bool kept = serve__source_is_kept(k->source);
	write_file(first, 'd');
	if (kept) {  // this process had to wait for long
		serve__component_unref(k);
		skip();
	}
	struct serve_component *sound = load(second);
	assert_ptr_not_equal(sound, k);
	assert_int_equal(mark_of(sound), 'c');
	struct serve_component *same = load(second);
	assert_ptr_equal(same, sound);
	serve__component_unref(k);
	serve__component_unref(same);
	wait_until_kept(sound);
	write_file(second, 'e');
	assert_int_equal(mark_of(sound), 'c');
	serve__component_unref(sound);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make, clear)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_same_bytes_are_one_component_and_stay),
		TEST(large_files_are_shared_and_refused_like_others),
		TEST(one_whose_file_changed_too_soon_is_shared_with_nobody),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
