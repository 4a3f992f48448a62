// Images in files: written, opened, replaced by a sealed copy under those who run. Rows: L40, L49, L50, U25.
#include "guests.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vm/vm_int.h"

static struct vm_shard *shard;
static struct guest guest;

static int setup(void **state UNUSED)
{
	struct err e = {0};
	if (!vm_shard_new(&shard, &e))
		return -1;
	guest_init(&guest, 8, 64);
	return 0;
}

static int teardown(void **state UNUSED)
{
	guest_release(&guest);
	vm_shard_free(shard);
	return 0;
}

static int new_file(void)
{
	char name[] = "/tmp/tenon-image-XXXXXX";
	int fd = mkstemp(name);
	assert_true(fd >= 0);
	unlink(name);
	return fd;
}

// A guest that `write` has grown and written to, its image in a file.
static int image_of(void (*write)(struct vm_instance *inst), bool huge)
{
	struct vm_store *st;
	struct vm_instance *inst;
	struct vm_image *img;
	struct err e = {0};
	int fd = new_file();
	guest_make(shard, &guest, NULL, NULL, NULL, &st, &inst);
	if (huge)
		vm_store_prefer_huge(st);
	write(inst);
	assert_true(vm_image_capture(st, &img, &e));
	assert_true(vm_image_write(img, SLICE_LIT("more"), fd, &e));
	vm_image_unref(img);
	vm_store_free(st);
	return fd;
}

static void write_here_and_there(struct vm_instance *inst)
{
	uint64_t r;
	assert_int_equal(guest_call(inst, G_GROW, 2, 0, &r), TRAP_NONE);
	assert_int_equal(guest_call(inst, G_STORE, 16, 0x11111111, NULL), TRAP_NONE);
	assert_int_equal(guest_call(inst, G_STORE, 9 * 65536, 0x22222222, NULL), TRAP_NONE);
	assert_true(vm_table_set(vm_instance_extern(inst, WASM_EXTERN_TABLE, 0).table, 2, guest_func(inst, G_ADD)));
	vm_global_set(vm_instance_extern(inst, WASM_EXTERN_GLOBAL, 0).global, (const uint64_t[]){43});
}

static int image_in_file(void)
{
	return image_of(write_here_and_there, false);
}

// Of 4 MiB, at both ends of its first and its last pages.
static void write_at_ends(struct vm_instance *inst)
{
	uint64_t r;
	assert_int_equal(guest_call(inst, G_GROW, 56, 0, &r), TRAP_NONE);
	for (uint32_t at = 0; at < 64 * 65536; at += 63 * 65536) {
		assert_int_equal(guest_call(inst, G_STORE, at, 0x11111111, NULL), TRAP_NONE);
		assert_int_equal(guest_call(inst, G_STORE, at + 65532, 0x22222222, NULL), TRAP_NONE);
	}
}

static void an_image_of_huge_pages_is_the_same(void **state UNUSED)
{
	enum { PIECE = 65536 };
	int fds[] = {image_of(write_at_ends, false), image_of(write_at_ends, true)};
	static uint8_t pieces[2][PIECE];
	ssize_t n, sum = 0;
	do {
		n = pread(fds[0], pieces[0], PIECE, sum);
		assert_int_equal(pread(fds[1], pieces[1], PIECE, sum), n);
		assert_memory_equal(pieces[0], pieces[1], (size_t)n);
		sum += n;
	} while (n > 0);
	assert_true(sum >= 64 * 65536);
	close(fds[0]);
	close(fds[1]);
}

static struct vm_image *open_image(int fd)
{
	struct vm_image *img;
	struct err e = {0};
	if (!vm_image_open(fd, false, &img, &e))
		fail_msg("%s", e.text);
	return img;
}

static void attach(struct vm_image *img, struct vm_store **st, struct vm_instance **inst)
{
	struct err e = {0};
	if (!guest_allocate(shard, &guest, NULL, NULL, NULL, st, inst, &e) || !vm_store_attach(*st, img, &e))
		fail_msg("%s", e.text);
}

static uint32_t load(struct vm_instance *inst, uint32_t at)
{
	uint64_t r = 0;
	assert_int_equal(guest_call(inst, G_LOAD, at, 0, &r), TRAP_NONE);
	return (uint32_t)r;
}

static void looks_like_the_image(struct vm_store *st, struct vm_instance *inst)
{
	uint32_t ref;
	vm__reset_check(st);
	assert_int_equal(vm_memory_length(vm_instance_extern(inst, WASM_EXTERN_MEMORY, 0).memory), 10 * 65536);
	assert_int_equal(load(inst, 16), 0x11111111);
	assert_int_equal(load(inst, 9 * 65536), 0x22222222);
	assert_int_equal(load(inst, 4096), 0);
	assert_true(vm_table_get(vm_instance_extern(inst, WASM_EXTERN_TABLE, 0).table, 2, &ref));
	assert_int_equal(ref, guest_func(inst, G_ADD));
	uint64_t global;
	vm_global_get(vm_instance_extern(inst, WASM_EXTERN_GLOBAL, 0).global, &global);
	assert_int_equal(global, 43);
}

static void spend(struct vm_instance *inst, uint32_t n)
{
	uint64_t r;
	for (uint32_t k = 0; k < 30; k++)
		assert_int_equal(guest_call(inst, G_STORE, (k * 20011 + n * 64) & 0x7fffc, 0x5eed0000 + k, NULL), TRAP_NONE);
	assert_int_equal(guest_call(inst, G_GROW, 1, 0, &r), TRAP_NONE);
	assert_int_equal(guest_call(inst, G_STORE, 10 * 65536 + 8, 7, NULL), TRAP_NONE);
}

// The page map says of a file's pages what it says of a memfd's.
static void slots_of_a_file_are_reset_exactly(void **state UNUSED)
{
	struct vm_image *img = open_image(image_in_file());
	struct vm_store *st;
	struct vm_instance *inst;
	assert_true(slice_eq_str(vm_image_extra(img), "more"));
	for (int method = vm_process_reset_method(), first = method; method <= VM_RESET_DISCARD; method++) {
		vm_process_set_reset_method((enum vm_reset_method)method);
		attach(img, &st, &inst);
		for (uint32_t n = 0; n < 20; n++) {
			looks_like_the_image(st, inst);
			spend(inst, n);
			assert_true(vm_store_reset(st));
		}
		looks_like_the_image(st, inst);
		vm_store_free(st);
		vm_process_set_reset_method((enum vm_reset_method)first);
	}
	vm_image_unref(img);
}

static bool count_bytes(void *arg, struct sys_page_run run)
{
	*(uint64_t *)arg += run.end - run.start;
	return true;
}

static uint64_t grown_and_there(struct vm_instance *inst, uint64_t pages)
{
	const struct vm_memory *m = vm_instance_extern(inst, WASM_EXTERN_MEMORY, 0).memory;
	uint64_t old, there = 0;
	assert_int_equal(guest_call(inst, G_GROW, pages, 0, &old), TRAP_NONE);
	assert_int_equal(sys_touched_pages(vm_memory_base(m) + old * 65536, pages * 65536, count_bytes, &there), 0);
	return there;
}

static void what_is_used_once_has_what_it_grows_by_at_once(void **state UNUSED)
{
	struct vm_store *st;
	struct vm_instance *inst;
	guest_make(shard, &guest, NULL, NULL, NULL, &st, &inst);
	assert_int_equal(grown_and_there(inst, 1), 0);
	vm_store_prefer_huge(st);
	assert_int_equal(grown_and_there(inst, 1), 65536);
	assert_int_equal(grown_and_there(inst, 8), 8 * 65536);
	assert_int_equal(grown_and_there(inst, 9), 0);
	vm_store_free(st);
}

static void a_sealed_copy_takes_the_place_of_the_file(void **state UNUSED)
{
	int fd = image_in_file();
	int other = dup(fd);
	struct vm_image *img = open_image(fd);
	struct vm_store *before, *after;
	struct vm_instance *inst, *inst_after;
	struct err e = {0};
	attach(img, &before, &inst);
	looks_like_the_image(before, inst);
	spend(inst, 1);
	assert_true(vm_image_seal(img, &e));
	assert_true(vm_image_seal(img, &e));  // once is enough
	assert_int_equal(load(inst, 9 * 65536), 0x22222222);
	assert_false(vm_store_reset(before));
	vm_store_free(before);
	// Nothing that happens to the file is seen any more.
	assert_int_equal(ftruncate(other, 0), 0);
	attach(img, &after, &inst_after);
	looks_like_the_image(after, inst_after);
	spend(inst_after, 2);
	assert_true(vm_store_reset(after));
	looks_like_the_image(after, inst_after);
	vm_store_free(after);
	vm_image_unref(img);
	close(other);
}

// Who is being reset just then has to be made anew as well.
static void a_sealed_copy_comes_between_the_pieces_of_a_reset(void **state UNUSED)
{
	struct vm_image *img = open_image(image_in_file());
	struct vm_store *st;
	struct vm_instance *inst;
	struct err e = {0};
	if (vm_process_reset_method() == VM_RESET_DISCARD)
		skip();  // that is one piece
	attach(img, &st, &inst);
	spend(inst, 1);
	assert_int_equal(vm_store_reset_some(st, 1), VM_RESET_MORE);
	assert_true(vm_image_seal(img, &e));
	assert_int_equal(vm_store_reset_some(st, UINT64_MAX), VM_RESET_FAILED);
	assert_int_equal(vm_store_reset_some(st, UINT64_MAX), VM_RESET_FAILED);
	vm_store_free(st);
	vm_image_unref(img);
}

static void a_copy_that_is_not_what_was_opened_is_not_taken(void **state UNUSED)
{
	for (int how = 0; how < 2; how++) {
		int fd = image_in_file();
		int other = dup(fd);
		struct vm_image *img = open_image(fd);
		struct err e = {0};
		if (how == 0)
			assert_int_equal(pwrite(other, "\x7f", 1, lseek(other, 0, SEEK_END) - 65536), 1);
		else
			assert_int_equal(ftruncate(other, 4096), 0);
		assert_false(vm_image_seal(img, &e));
		assert_int_equal(e.code, ERR_INVALID);
		vm_image_unref(img);
		close(other);
	}
}

static void rejects_what_is_not_an_image(void **state UNUSED)
{
	static uint8_t bytes[1 << 16];
	struct vm_image *img;
	for (uint32_t seed = 0; seed < 64; seed++) {
		int fd = image_in_file();
		struct err e = {0};
		uint32_t x = seed * 2654435761u + 1;
		if (seed < 32) {  // the head, anything
			for (int i = 0; i < 12; i++)
				bytes[i] = (uint8_t)((x = x * 1664525 + 1013904223) >> 24);
			assert_int_equal(pwrite(fd, bytes, 12, 8 + seed * 4), 12);
		} else {
			assert_int_equal(ftruncate(fd, (off_t)(seed - 32) * 37), 0);
		}
		assert_false(vm_image_open(fd, false, &img, &e));
		assert_int_equal(e.code, ERR_INVALID);
	}
}

// In a process of its own: a shard's cells are not for forked children. Never returns well.
static int read_beyond_the_end(void)
{
	struct rlimit none = {0, 0};
	struct err e = {0};
	void *state = NULL;
	setrlimit(RLIMIT_CORE, &none);
	if (setup(&state) || !vm_process_init(&e))
		return 1;
	int fd = image_in_file(), other = dup(fd);
	struct vm_image *img = open_image(fd);
	struct vm_store *st;
	struct vm_instance *inst;
	uint64_t r;
	attach(img, &st, &inst);
	if (ftruncate(other, 4096) != 0)
		return 1;
	return guest_call(inst, G_LOAD, 16, 0, &r) == TRAP_NONE ? 2 : 3;
}

// L40: a page of the image that is not there any more is no fault of the guest's, and not taken for one.
static void a_file_that_was_cut_short_ends_the_process(void **state UNUSED)
{
	int status;
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		execl("/proc/self/exe", "test_image_file", "read", (char *)NULL);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSIGNALED(status))
		fail_msg("exit %d", WEXITSTATUS(status));
	assert_int_equal(WTERMSIG(status), SIGBUS);
}

static void any_system_call_and_allocation_may_fail(void **state UNUSED)
{
	struct vm_image *img = NULL;
	bool done = false;
	for (uint64_t n = 1; !done && n < 200; n++) {
		struct err e = {0};
		int fd = image_in_file();
		int again = new_file();
		sys_fail_nth(n);
		mem_fail_nth(n);
		done = vm_image_open(fd, false, &img, &e);
		bool opened = done;
		done = done && vm_image_write(img, SLICE_LIT("x"), again, &e) && vm_image_seal(img, &e);
		sys_fail_nth(0);
		mem_fail_nth(0);
		assert_true(done || e.code != ERR_NONE);
		if (opened) {
			struct vm_store *st;
			struct vm_instance *inst;
			attach(img, &st, &inst);
			looks_like_the_image(st, inst);
			vm_store_free(st);
			vm_image_unref(img);
		}
		close(again);
	}
	assert_true(done);
}

int main(int argc, char **argv UNUSED)
{
	if (argc > 1)
		return read_beyond_the_end();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slots_of_a_file_are_reset_exactly),
		cmocka_unit_test(an_image_of_huge_pages_is_the_same),
		cmocka_unit_test(what_is_used_once_has_what_it_grows_by_at_once),
		cmocka_unit_test(a_sealed_copy_takes_the_place_of_the_file),
		cmocka_unit_test(a_sealed_copy_comes_between_the_pieces_of_a_reset),
		cmocka_unit_test(a_copy_that_is_not_what_was_opened_is_not_taken),
		cmocka_unit_test(rejects_what_is_not_an_image),
		cmocka_unit_test(a_file_that_was_cut_short_ends_the_process),
		cmocka_unit_test(any_system_call_and_allocation_may_fail),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
