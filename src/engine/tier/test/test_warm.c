// What a start takes from the cache, and what it does when an entry is not what was written. Rows: L48, L49, L50. Work behind the first answer
// happens when a process ends or after a pause, so each start is a process of its own.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../tier_int.h"

// (module (memory 1) (data (i32.const 8) "\2a") (func (export "f") (result i32) (i32.load (i32.const 8)))
//   (func (export "g") (param i32) (result i32) (i32.load (local.get 0))))
static const uint8_t module_bytes[] = {0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x0a, 0x02, 0x60, 0x00, 0x01, 0x7f, 0x60, 0x01, 0x7f, 0x01, 0x7f,
	0x03, 0x03, 0x02, 0x00, 0x01, 0x05, 0x03, 0x01, 0x00, 0x01, 0x07, 0x09, 0x02, 0x01, 'f', 0x00, 0x00, 0x01, 'g', 0x00, 0x01, 0x0a, 0x11, 0x02, 0x07,
	0x00, 0x41, 0x08, 0x28, 0x02, 0x00, 0x0b, 0x07, 0x00, 0x20, 0x00, 0x28, 0x02, 0x00, 0x0b, 0x0b, 0x07, 0x01, 0x00, 0x41, 0x08, 0x0b, 0x01, 0x2a,
	0x00, 0x01, 0x00};
static const struct slice module = {module_bytes, sizeof module_bytes - 3}, other_module = {module_bytes, sizeof module_bytes};

static char path[64];

static int setup(void **state UNUSED)
{
	snprintf(path, sizeof path, "/tmp/tenon-warm-XXXXXX");
	return mkdtemp(path) ? setenv("TENON_CACHE", path, 1) : -1;
}

static int teardown(void **state UNUSED)
{
	DIR *d = opendir(path);
	for (struct dirent *e; (e = readdir(d));)
		unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	return rmdir(path);
}

// The only entry of a kind, or the only one but another; false: there is none.
static bool find_but(const char *kind, const char *other, char out[400])
{
	bool found = false;
	DIR *d = opendir(path);
	for (struct dirent *e; (e = readdir(d));) {
		char at[400];
		snprintf(at, sizeof at, "%s/%s", path, e->d_name);
		if (slice_ends_with(slice_str(at), slice_str(kind)) && strcmp(at, other) != 0) {
			memcpy(out, at, sizeof at);
			found = true;
		}
	}
	closedir(d);
	return found;
}

static bool find(const char *kind, char out[400])
{
	return find_but(kind, "", out);
}

// ---- starts ------------------------------------------------------------------------------------------------------

enum { COLD = 10, WARM_CODE = 11, WARM = 12, BROKEN = 1 };
struct start {
	bool sealed;
	bool linger;        // until copies have taken the files' places
	const char *spoil;  // kind of the entry that is changed after the first calls
	bool no_cache, poison;
	bool is_other;  // another file: it has an empty section besides
};

static bool call(struct vm_store *st, struct vm_instance *inst, const char *name, uint64_t arg, uint32_t want)
{
	struct vm_extern f;
	uint64_t r = 0;
	return vm_instance_export(inst, slice_str(name), &f) && vm_call(st, f.func, &arg, &r) == TRAP_NONE && (uint32_t)r == want;
}

// Through the memory, the code and the table of trap sites. Ends with the store as it was.
static bool works(struct vm_store *st, struct vm_instance *inst)
{
	struct vm_extern g;
	uint64_t arg = 65536, r;
	return call(st, inst, "f", 0, 0x2a) && call(st, inst, "g", 8, 0x2a) && call(st, inst, "g", 4, 0) && vm_instance_export(inst, SLICE_LIT("g"), &g) &&
		vm_call(st, g.func, &arg, &r) == TRAP_MEMORY_OUT_OF_BOUNDS;
}

static void spoil(const char *kind)
{
	char at[400];
	uint8_t byte;
	if (!kind || !find(kind, at))
		return;
	int fd = open(at, O_RDWR);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) != 0 || pread(fd, &byte, 1, 100) != 1)
		return;
	byte ^= 1;
	if (pwrite(fd, &byte, 1, 100) != 1)
		return;
	close(fd);
}

static int run(const struct start *s)
{
	struct arena a;
	struct err e = {0};
	struct slice bytes = s->is_other ? other_module : module;
	struct tier_file *f;
	struct wasm_module *m;
	struct vm_module *mod;
	struct vm_shard *shard;
	struct vm_store *st;
	struct vm_instance *inst;
	struct vm_image *img;
	struct slice extra;
	struct tier_stats stats;
	struct tier_options opt = {.threads = 1, .no_cache = s->no_cache, .poison_upper = s->poison};
	struct vm_limits limits = VM_LIMITS_DEFAULT;
	limits.survives_traps = true;
	arena_init(&a, 0);
	if (!vm_process_init(&e) || !vm_shard_new(&shard, &e) || !tier_file_open(bytes, &opt, &f, &e))
		return BROKEN;
	bool known = tier_file_has_code(f);
	if (!wasm_decode(&a, bytes, WASM_FEATURES_DEFAULT | (known ? WASM_DECODE_KNOWN : 0), 0, &m, &e))
		return BROKEN;
	const struct wasm_module *modules[] = {m};
	bool loaded = tier_file_load(f, modules, 1, &mod, &stats);
	if (loaded != known || (!loaded && !tier_file_compile(f, modules, 1, &mod, &stats, &e)))
		return BROKEN;
	tier_file_write(f);
	if (!vm_store_new(shard, &limits, &st, &e) || !vm_instance_allocate(st, mod, NULL, 0, &inst, &e))
		return BROKEN;
	bool imaged = tier_file_load_image(f, SLICE_LIT("variant"), s->sealed, &img, &extra);
	if (!imaged) {
		if (vm_instance_initialize(inst) || !vm_image_capture(st, &img, &e))
			return BROKEN;
		tier_file_save_image(f, SLICE_LIT("variant"), img, SLICE_LIT("extra"));
	} else if (!slice_eq_str(extra, "extra")) {
		return BROKEN;
	}
	if (!vm_store_attach(st, img, &e) || !works(st, inst))
		return BROKEN;
	tier_file_close(f);
	if (s->spoil) {
		spoil(s->spoil);
		sleep(60);  // the copy is made meanwhile, and the process ends by it
		return BROKEN;
	}
	if (s->linger) {
		// The same code and a store that is attached to the file run on while copies take the files' places, the image's last: what was attached before is
		// not reset any more.
		int i = 0;
		for (; i < 6000 && vm_store_reset(st); i++) {
			if (!works(st, inst))
				return BROKEN;
			usleep(10000);
		}
		if (i == 6000)
			return BROKEN;
	}
	if (!vm_store_attach(st, img, &e) || !works(st, inst) || !vm_store_reset(st) || !works(st, inst))
		return BROKEN;
	vm_store_free(st);
	vm_image_unref(img);
	vm_module_unref(mod);
	vm_shard_free(shard);
	arena_release(&a);
	return loaded ? imaged ? WARM : WARM_CODE : COLD;
}

// Exit status, or 1000 + signal.
static int start(struct start s)
{
	int status;
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		close(2);
		exit(run(&s));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void the_second_start_takes_code_and_image_from_the_cache(void **state UNUSED)
{
	assert_int_equal(start((struct start){0}), COLD);
	assert_int_equal(start((struct start){0}), WARM);
	assert_int_equal(start((struct start){.linger = true}), WARM);
	assert_int_equal(start((struct start){.sealed = true}), WARM);
	assert_int_equal(start((struct start){.no_cache = true}), COLD);
	assert_int_equal(start((struct start){.poison = true}), COLD);
}

// Any bit, and any length: it is found before anything of it runs, and the entry is made anew.
static void damage(const char *kind, int when_damaged)
{
	char at[400];
	struct stat st;
	uint8_t byte;
	assert_int_equal(start((struct start){0}), COLD);
	assert_true(find(kind, at));
	assert_int_equal(stat(at, &st), 0);
	uint64_t size = (uint64_t)st.st_size, places[] = {0, 9, 17, 33, 60, 130, 4096, 4097 + 64, size / 2, size - 4096, size - 1};
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		int fd = open(at, O_RDWR);
		assert_true(fd >= 0);
		assert_int_equal(pread(fd, &byte, 1, (off_t)places[i]), 1);
		bool hole = lseek(fd, (off_t)places[i], SEEK_DATA) != (off_t)places[i];
		byte ^= 0x10;
		if (!hole)
			assert_int_equal(pwrite(fd, &byte, 1, (off_t)places[i]), 1);
		close(fd);
		int got = start((struct start){0});
		if (got != (hole ? WARM : when_damaged))
			fail_msg("a bit at %llu of %llu: %d", (unsigned long long)places[i], (unsigned long long)size, got);
		assert_int_equal(start((struct start){0}), WARM);
		if (places[i] == 0)
			continue;
		assert_int_equal(truncate(at, (off_t)places[i]), 0);
		assert_int_equal(start((struct start){0}), when_damaged);
		assert_int_equal(start((struct start){0}), WARM);
	}
}

// 1: what the file hashes to was on the disk before the call returned; it waits for that.
static int note_shell(void)
{
	struct tier_bytes of, known;
	char at[400];
	struct stat st;
	int fd = open("/bin/sh", O_RDONLY);
	if (fd < 0 || fstat(fd, &st) != 0 || tier_bytes_know(fd, (uint64_t)st.st_size, &of) || !of.settled)
		return BROKEN + 1;
	memset(of.content, 's', sizeof of.content);
	tier_bytes_keep(&of, SLICE_LIT(""), NULL, NULL);
	bool at_once = find(".id", at);
	if (!tier_bytes_know(fd, (uint64_t)st.st_size, &known) || memcmp(known.content, of.content, sizeof of.content) != 0)
		return BROKEN + 1;
	return at_once;
}

static void what_a_file_hashes_to_is_remembered_behind_the_first_answer(void **state UNUSED)
{
	char at[400];
	int status = 1;
	for (unsigned i = 0; i < 10 && status; i++) {  // that may be at once, where this process had to wait for long
		pid_t pid = fork();
		if (pid == 0)
			exit(note_shell());
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(find(".id", at));
		assert_int_equal(unlink(at), 0);
	}
	assert_int_equal(status, 0);
}

static bool is_none(const uint8_t *key UNUSED)
{
	return false;
}

static bool is_any(const uint8_t *key UNUSED)
{
	return true;
}

// 0: what is compiled while it is hashed was left once somebody turned out to have it, and not before.
static int compile_what_is_known(void)
{
	enum { LARGE = TIER__HASH_BESIDE };
	static uint8_t large[LARGE];
	struct arena a;
	struct err e = {0};
	struct tier_file *f;
	struct wasm_module *m;
	struct vm_module *mod;
	struct tier_stats stats;
	struct tier_options opt = {.threads = 1, .is_loaded = is_none};
	arena_init(&a, 0);
	if (!vm_process_init(&e) || !wasm_decode(&a, module, WASM_FEATURES_DEFAULT, 0, &m, &e))
		return BROKEN;
	const struct wasm_module *modules[] = {m};
	bool compiled = true;
	for (unsigned i = 0; i < 1000 && compiled; i++, opt.is_loaded = is_any) {
		if (!tier_file_open(slice_of(large, LARGE), &opt, &f, &e) || !tier_file_hashes(f))
			return BROKEN;
		usleep(1000 * i);  // how long hashing takes depends on others
		compiled = tier_file_compile(f, modules, 1, &mod, &stats, &e);
		if (e.code != ERR_NONE || !(compiled || i))
			return BROKEN;
		if (compiled)
			vm_module_unref(mod);
		tier_file_close(f);
	}
	arena_release(&a);
	return compiled ? BROKEN : 0;
}

static void what_turns_out_to_be_known_is_not_compiled(void **state UNUSED)
{
	int status;
	pid_t pid = fork();
	if (pid == 0)
		exit(compile_what_is_known());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void damaged_code_is_found_and_made_anew(void **state UNUSED)
{
	damage(".code", COLD);
}

static void a_damaged_image_is_found_and_made_anew(void **state UNUSED)
{
	damage(".image", WARM_CODE);
}

// Whoever can write there owns us anyway: it is about broken disks. What ran can't be trusted, so the process ends, and the entry is gone.
static void what_changes_between_the_check_and_the_copy_ends_the_process(void **state UNUSED)
{
	static const char *const kinds[] = {".code", ".image"};
	char at[400];
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		start((struct start){0});
		assert_int_equal(start((struct start){.spoil = kinds[i]}), 5);
		assert_false(find(kinds[i], at));
	}
	start((struct start){0});
	assert_int_equal(start((struct start){0}), WARM);
}

// Only the copy finds what is changed without a trace in the file's time: the process ends, and the entry is gone. What had another time is checked, and marked.
static void what_was_checked_is_not_read_again_but_its_copy_is(void **state UNUSED)
{
	static const char *const kinds[] = {".code", ".image"};
	static const struct timespec old[2] = {{1000000, 0}, {1000000, 0}};
	struct stat st;
	char at[2][400];
	uint8_t byte = 0;
	assert_int_equal(start((struct start){0}), COLD);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		assert_true(find(kinds[i], at[i]));
		assert_int_equal(utimensat(AT_FDCWD, at[i], old, 0), 0);
	}
	assert_int_equal(start((struct start){.linger = true}), WARM);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		assert_int_equal(stat(at[i], &st), 0);
		assert_int_equal(st.st_mtim.tv_sec, old[0].tv_sec);
		assert_int_not_equal(st.st_mtim.tv_nsec, old[0].tv_nsec);
		struct timespec marked[2] = {st.st_mtim, st.st_mtim};
		int fd = open(at[i], O_RDWR);
		off_t at_byte = lseek(fd, 0, SEEK_END) - 1;  // nothing that the calls look at: padding, or what follows the data
		while (i == 1 && pread(fd, &byte, 1, at_byte) == 1 && !byte)
			at_byte--;
		assert_int_equal(pwrite(fd, "x", 1, at_byte + 8 * (off_t)i), 1);
		assert_int_equal(futimens(fd, marked), 0);
		close(fd);
		int got = start((struct start){0});
		if (got != WARM)
			fail_msg("%s changed at %lld: %d", kinds[i], (long long)at_byte, got);
		assert_int_equal(start((struct start){.linger = true}), 5);
		assert_int_not_equal(access(at[i], F_OK), 0);
		start((struct start){0});
	}
}

static void another_variant_has_another_image(void **state UNUSED)
{
	struct tier_file *f;
	struct err e = {0};
	struct vm_image *img;
	struct slice extra;
	struct tier_options opt = {0};
	start((struct start){0});
	assert_true(tier_file_open(module, &opt, &f, &e));
	assert_true(tier_file_load_image(f, SLICE_LIT("variant"), true, &img, &extra));
	vm_image_unref(img);
	assert_false(tier_file_load_image(f, SLICE_LIT("Variant"), true, &img, &extra));
	tier_file_close(f);
	// And another content has neither.
	assert_true(tier_file_open(slice_sub(module, 0, module.len - 1), &opt, &f, &e));
	assert_false(tier_file_has_code(f));
	assert_false(tier_file_load_image(f, SLICE_LIT("variant"), true, &img, &extra));
	tier_file_close(f);
}

// What is named like ours but was written for another file, whole and right for that one: as on a disk that was put back from two copies.
static void an_entry_of_another_file_is_none(void **state UNUSED)
{
	static const char *const kinds[] = {".code", ".image"};
	static const int want[] = {COLD, WARM_CODE};
	char ours[400], other[400];
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		start((struct start){0});
		assert_true(find(kinds[i], ours));
		start((struct start){.is_other = true});
		assert_true(find_but(kinds[i], ours, other));
		assert_int_equal(rename(other, ours), 0);
		assert_int_equal(start((struct start){0}), want[i]);
		assert_int_equal(start((struct start){0}), WARM);
		teardown(NULL);
		assert_int_equal(setup(NULL), 0);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_second_start_takes_code_and_image_from_the_cache),
		TEST(what_a_file_hashes_to_is_remembered_behind_the_first_answer),
		TEST(what_turns_out_to_be_known_is_not_compiled),
		TEST(damaged_code_is_found_and_made_anew),
		TEST(a_damaged_image_is_found_and_made_anew),
		TEST(what_changes_between_the_check_and_the_copy_ends_the_process),
		TEST(what_was_checked_is_not_read_again_but_its_copy_is),
		TEST(another_variant_has_another_image),
		TEST(an_entry_of_another_file_is_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
