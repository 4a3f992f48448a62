// Slots of a component: nothing of one call (memories, grown memories, globals, tables, dropped segments, handles) is visible to the next, whatever
// ended it and whatever the kernel did to the pages. Rows: L26, L27, L28, U25.
// PROGRAM(test_slots, "canon tier cmocka", "")
#include "../canon/subject.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vm/vm_int.h"

static struct subject subject, other;
static uint32_t answer;  // of h at the start: a deployment's environment, say
static uint32_t host_traps;

static enum trap h(struct canon_task *t UNUSED, struct canon_instance *i UNUSED, void *data UNUSED, const void *args, void *ret)
{
	uint32_t place;
	memcpy(&place, args, sizeof place);
	if (place == AT_START)
		memcpy(ret, &answer, sizeof answer);
	else if (host_traps)
		return canon_task_trap(t, "no");
	return TRAP_NONE;
}
static const struct canon_host_func fixed[] = {{.fn = h}}, cutting[] = {{.fn = h, .flags = CANON_HOST_CUTS}};
static const struct canon_host host = {.funcs = fixed, .n_funcs = 1}, cutting_host = {.funcs = cutting, .n_funcs = 1};

static struct canon_image *image_of(const struct subject *s, const struct canon_host *with, uint32_t answer_at_start)
{
	struct canon_image *m = NULL;
	struct canon_trap trap = {0};
	struct err e = {0};
	answer = answer_at_start;
	if (!vm_process_handle_signals(&e) || !canon_image_new(shard, s->l.canon, with, NULL, CANON_INIT_AUTO, NULL, NULL, &m, &trap, &e))
		fail_msg("%s%s", e.text, trap.text);
	return m;
}

static void start_slot(struct canon_instance *i)
{
	struct canon_trap trap = {0};
	if (!canon_slot_is_ready(i) && !canon_slot_start(i, NULL, &trap))
		fail_msg("%s", trap.text);
}

static struct canon_instance *slot_of(struct canon_image *m)
{
	struct canon_instance *i;
	struct err e = {0};
	if (!canon_slot_new(shard, m, NULL, &i, &e))
		fail_msg("%s", e.text);
	start_slot(i);
	return i;
}

// ---- what can be seen ---------------------------------------------------------------------------------------------------------------------
struct sight {
	uint32_t seen[PROBES], handle;
	enum trap behind;
};

// All but what would trap in a fresh instance. It soils: P_DATA and P_ELEM write.
static void look(const struct subject *s, struct canon_instance *i, struct sight *ret)
{
	*ret = (struct sight){0};
	for (uint32_t p = 0; p < P_BEHIND; p++)
		ret->seen[p] = subject_result(s, i, "probe", p, 0);
	ret->handle = subject_result(s, i, "leak", 1, 0);
}

static void expect_sight(const struct subject *s, struct canon_instance *i, const struct sight *want, const char *after)
{
	struct sight got;
	look(s, i, &got);
	for (uint32_t p = 0; p < P_BEHIND; p++)
		if (got.seen[p] != want->seen[p])
			fail_msg("probe %u after %s: %u, fresh: %u", p, after, got.seen[p], want->seen[p]);
	assert_int_equal(got.handle, want->handle);
}

static void look_at_fresh(const struct subject *s, struct canon_image *m, struct sight *ret)
{
	struct canon_instance *i = slot_of(m);
	look(s, i, ret);
	canon_instance_free(i);
}

// A call of everything; how much depends on the seed.
static void soil(const struct subject *s, struct canon_instance *i, uint32_t seed)
{
	if (seed % 4 != 3)
		subject_result(s, i, "dirty", seed * 77 + 1, 0);
	if (seed % 3 == 0)
		subject_result(s, i, "leak", 1 + seed % 20, 0);
	if (seed % 5 == 0)
		subject_result(s, i, "dirty", seed, 0);
	struct subject_call c = {.s = s, .i = i, .name = "echo", .text = "secret of one request"};
	for (uint32_t k = 0; k < seed % 4; k++)
		subject_run(&c);
	subject_result(s, i, "drop-one", 0, 0);
	subject_result(s, i, "set", AT_ECHO, DO_GROW);
}

static void reset(struct canon_instance *i)
{
	assert_true(canon_slot_reset(i));
	start_slot(i);
}

// ---- tests --------------------------------------------------------------------------------------------------------------------------------
static void nothing_of_a_call_is_seen_by_the_next_L28(void **state UNUSED)
{
	enum vm_reset_method was = vm_process_reset_method();
	const struct canon_host *const hosts[] = {&host, &cutting_host};
	for (int method = was; method <= VM_RESET_DISCARD; method++)
		for (size_t k = 0; k < ARRAY_LEN(hosts); k++) {
			vm_process_set_reset_method((enum vm_reset_method)method);
			struct canon_image *m = image_of(&subject, hosts[k], DO_NOTHING);
			struct sight fresh;
			look_at_fresh(&subject, m, &fresh);
			assert_int_equal(fresh.seen[P_SIZE], 1);
			assert_int_equal(fresh.seen[P_DATA], 0x04030201);
			assert_int_equal(fresh.handle, 1);
			struct canon_instance *i = slot_of(m);
			for (uint32_t n = 0; n < 120; n++) {
				soil(&subject, i, n);
				reset(i);
				if (n % 3 == 0) {
					expect_sight(&subject, i, &fresh, "a reset");
					reset(i);
				}
			}
			canon_instance_free(i);
			canon_image_free(m);
		}
	vm_process_set_reset_method(was);
}

// The probes do see what a call leaves: else the test above would be worth nothing.
static void the_probes_see_what_a_call_left(void **state UNUSED)
{
	struct canon_image *m = image_of(&subject, &host, DO_NOTHING);
	struct sight fresh;
	look_at_fresh(&subject, m, &fresh);
	struct canon_instance *i = slot_of(m);
	subject_result(&subject, i, "dirty", 9, 0);
	subject_result(&subject, i, "leak", 4, 0);
	for (uint32_t p = 0; p < P_DATA; p++)
		if (subject_result(&subject, i, "probe", p, 0) == fresh.seen[p])
			fail_msg("probe %u sees nothing", p);
	assert_int_equal(subject_result(&subject, i, "probe", P_BEHIND, 0), 9);
	assert_int_equal(subject_result(&subject, i, "probe", P_BEHIND_1, 0), 9);
	assert_int_equal(subject_result(&subject, i, "leak", 1, 0), 5);
	assert_int_equal(subject_call(&subject, i, "probe", P_DATA, 0, NULL), TRAP_MEMORY_OUT_OF_BOUNDS);
	canon_instance_free(i);
	i = slot_of(m);
	subject_result(&subject, i, "dirty", 8, 0);
	assert_int_equal(subject_call(&subject, i, "probe", P_ELEM, 0, NULL), TRAP_TABLE_OUT_OF_BOUNDS);
	canon_instance_free(i);
	canon_image_free(m);
}

static void memory_behind_the_image_traps_after_a_guest_that_grew_L27(void **state UNUSED)
{
	enum vm_reset_method was = vm_process_reset_method();
	for (int method = was; method <= VM_RESET_DISCARD; method++) {
		vm_process_set_reset_method((enum vm_reset_method)method);
		struct canon_image *m = image_of(&subject, &host, DO_NOTHING);
		for (uint32_t n = 0; n < 20; n++) {
			struct canon_instance *i = slot_of(m);
			for (uint32_t k = 0; k <= n % 4; k++) {
				subject_result(&subject, i, "dirty", n + 1, 0);
				reset(i);
			}
			assert_int_equal(subject_call(&subject, i, "probe", n & 1 ? P_BEHIND : P_BEHIND_1, 0, NULL), TRAP_MEMORY_OUT_OF_BOUNDS);
			canon_instance_free(i);
			// What is grown anew is zero.
			i = slot_of(m);
			subject_result(&subject, i, "set", AT_GO, DO_GROW);
			subject_result(&subject, i, "go", 0, 0);
			assert_int_equal(subject_result(&subject, i, "probe", P_BEHIND, 0), 0);
			reset(i);
			subject_result(&subject, i, "dirty", 9, 0);
			reset(i);
			subject_result(&subject, i, "set", AT_GO, DO_GROW);
			subject_result(&subject, i, "go", 0, 0);
			assert_int_equal(subject_result(&subject, i, "probe", P_BEHIND, 0), 0);
			canon_instance_free(i);
		}
		canon_image_free(m);
	}
	vm_process_set_reset_method(was);
}

static void spin(void *arg)
{
	struct canon_instance *i = arg;
	assert_int_equal(subject_call(&subject, i, "go", 0, 0, NULL), TRAP_KILLED);
}

static void a_trap_or_a_kill_leaves_nothing_to_its_successor_U25(void **state UNUSED)
{
	static const enum action actions[] = {DO_UNREACHABLE, DO_FAULT, DO_CALL_HOST, DO_RECURSE, DO_SPIN};
	struct canon_image *m = image_of(&subject, &host, DO_NOTHING);
	struct sight fresh;
	look_at_fresh(&subject, m, &fresh);
	for (uint32_t n = 0; n < 60; n++) {
		enum action a = actions[n % ARRAY_LEN(actions)];
		struct canon_instance *i = slot_of(m);
		soil(&subject, i, n);
		subject_result(&subject, i, "set", AT_GO, a);
		host_traps = true;
		if (a == DO_SPIN) {
			struct vm_fiber *f = vm_fiber_new(shard, spin, i);
			assert_int_equal(vm_fiber_resume(f, VM_RESUMED), VM_FIBER_PREEMPTED);
			vm_fiber_kill(f, TRAP_KILLED);
			assert_int_equal(vm_fiber_resume(f, VM_KILLED), VM_FIBER_DONE);
			vm_fiber_free(f);
		} else {
			assert_int_not_equal(subject_call(&subject, i, "go", 0, 0, NULL), TRAP_NONE);
		}
		host_traps = false;
		assert_false(canon_slot_reset(i));
		canon_instance_free(i);
		i = slot_of(m);
		expect_sight(&subject, i, &fresh, "a trap");
		canon_instance_free(i);
	}
	canon_image_free(m);
}

// Two components, and two deployments of one whose environment differs, on the cells of one shard.
static void images_are_never_mixed_up_L28(void **state UNUSED)
{
	struct canon_image *m[3] = {image_of(&subject, &host, 100), image_of(&subject, &host, 200), image_of(&other, &host, 100)};
	const struct subject *of[3] = {&subject, &subject, &other};
	struct sight fresh[3];
	struct canon_instance *i[3];
	for (int k = 0; k < 3; k++)
		look_at_fresh(of[k], m[k], &fresh[k]);
	assert_int_not_equal(fresh[0].seen[P_SUM], fresh[1].seen[P_SUM]);
	assert_int_not_equal(fresh[0].seen[P_SUM], fresh[2].seen[P_SUM]);
	for (int k = 0; k < 3; k++)
		i[k] = slot_of(m[k]);
	for (uint32_t n = 0; n < 150; n++) {
		int k = (int)(n * 7 / 2 % 3);
		soil(of[k], i[k], n);
		if (n % 5 == 0) {  // its cells go to whoever comes next
			int l = (k + 1) % 3;
			canon_instance_free(i[k]);
			canon_instance_free(i[l]);
			i[l] = slot_of(m[l]);
			i[k] = slot_of(m[k]);
			expect_sight(of[l], i[l], &fresh[l], "another image");
			reset(i[l]);
		} else {
			reset(i[k]);
		}
		expect_sight(of[k], i[k], &fresh[k], "others");
		reset(i[k]);
	}
	for (int k = 0; k < 3; k++) {
		canon_instance_free(i[k]);
		canon_image_free(m[k]);
	}
}

// ---- what the kernel does -----------------------------------------------------------------------------------------------------------------------
static void advise(struct canon_instance *i, int advice)
{
	for (struct vm_memory *m = canon_instance_store(i)->memories; m; m = m->next)
		madvise(vm_memory_base(m), vm_memory_length(m), advice);  // whatever it answers
}

static bool drop_caches(struct canon_instance *i UNUSED, int how UNUSED)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, "3", 1) == 1;
	if (fd >= 0)
		close(fd);
	return ok;
}

static bool advised(struct canon_instance *i, int how)
{
	advise(i, how);
	return true;
}

// Before and after each reset something is done to the pages.
static void stays_exact(bool (*what)(struct canon_instance *i, int how), int how, const char *name, uint32_t rounds)
{
	struct canon_image *m = image_of(&subject, &host, DO_NOTHING);
	struct sight fresh;
	look_at_fresh(&subject, m, &fresh);
	struct canon_instance *i = slot_of(m);
	for (uint32_t n = 0; n < rounds; n++) {
		soil(&subject, i, n);
		if (n & 1 && !what(i, how))
			break;
		reset(i);
		if (!what(i, how)) {
			rounds = 0;
			break;
		}
		expect_sight(&subject, i, &fresh, name);
		what(i, how);
		reset(i);
	}
	canon_instance_free(i);
	canon_image_free(m);
	if (!rounds) {
		print_message("# %s: %s\n", name, strerror(errno));
		skip();
	}
}

static void stays_exact_when_the_page_cache_is_dropped(void **state UNUSED)
{
	stays_exact(drop_caches, 0, "dropped caches", 6);
}

static void stays_exact_when_pages_are_collapsed(void **state UNUSED)
{
	stays_exact(advised, 25 /* MADV_COLLAPSE */, "a collapse", 20);
}

static void stays_exact_when_pages_are_cold_or_merged(void **state UNUSED)
{
	stays_exact(advised, 20 /* MADV_COLD */, "cold pages", 10);
	stays_exact(advised, 12 /* MADV_MERGEABLE */, "merged pages", 10);
	stays_exact(advised, 14 /* MADV_HUGEPAGE */, "huge pages", 10);
}

static bool is_swapped(const void *page)
{
	uint64_t entry = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	bool ok = fd >= 0 && pread(fd, &entry, 8, (off_t)((uintptr_t)page / 4096 * 8)) == 8 && entry >> 62 & 1;
	if (fd >= 0)
		close(fd);
	return ok;
}

static uint32_t pages_swapped;

static bool swap_out(struct canon_instance *i, int how UNUSED)
{
	advise(i, 21 /* MADV_PAGEOUT */);
	for (struct vm_memory *m = canon_instance_store(i)->memories; m; m = m->next)
		for (uint64_t at = 0; at < vm_memory_length(m); at += 4096)
			pages_swapped += is_swapped(vm_memory_base(m) + at);
	return true;
}

static char swap_path[16];
static int swap_watch[2] = {-1, -1};
static pid_t swap_watcher;

// Takes the swap file away when this process ends it or just ends, however.
static bool swap_is_watched(void)
{
	char c;
	if (pipe2(swap_watch, O_CLOEXEC) != 0 || (swap_watcher = fork()) < 0)
		return false;
	if (swap_watcher)
		return true;
	close(swap_watch[1]);
	while (read(swap_watch[0], &c, 1) > 0)
		;
	swapoff(swap_path);
	unlink(swap_path);
	_exit(0);
}

static int swap_ends(void **state UNUSED)
{
	close(swap_watch[0]);
	close(swap_watch[1]);
	if (swap_watcher > 0)
		waitpid(swap_watcher, NULL, 0);
	return 0;
}

static void stays_exact_when_pages_are_swapped(void **state UNUSED)
{
	char command[64];
	snprintf(swap_path, sizeof swap_path, "./swap-XXXXXX");
	int fd = mkstemp(swap_path);
	static uint8_t zeros[1 << 16];
	bool ok = fd >= 0 && swap_is_watched() && geteuid() == 0;
	for (int k = 0; ok && k < 512; k++)  // 32 MiB without holes
		ok = write(fd, zeros, sizeof zeros) == (ssize_t)sizeof zeros;
	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	snprintf(command, sizeof command, "mkswap %s >/dev/null 2>&1", swap_path);
	ok = ok && system(command) == 0 && swapon(swap_path, 0) == 0;
	if (ok) {
		pages_swapped = 0;
		stays_exact(swap_out, 0, "swapping", 10);
		print_message("# %u pages were swapped out\n", pages_swapped);
	}
	if (!ok || !pages_swapped)
		skip();
}

static int start(void **state)
{
	struct err e = {0};
	if (!vm_process_init(&e) || guest_setup(state) != 0 || !subject_try(&subject, SUBJECT, &e))
		goto failed;
	// The same with other data.
	build_text(&other.bytes, SUBJECT);
	uint8_t *at = memmem(other.bytes.ptr, other.bytes.len, "init", 4);
	assert_non_null(at);
	memcpy(at, "anew", 4);
	if (subject_load(&other, &e))
		return 0;
failed:
	print_error("%s at 0x%llx\n", e.text, (unsigned long long)e.offset);
	return 1;
}

static int stop(void **state)
{
	subject_release(&subject);
	subject_release(&other);
	return guest_teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_probes_see_what_a_call_left),
		cmocka_unit_test(nothing_of_a_call_is_seen_by_the_next_L28),
		cmocka_unit_test(memory_behind_the_image_traps_after_a_guest_that_grew_L27),
		cmocka_unit_test(a_trap_or_a_kill_leaves_nothing_to_its_successor_U25),
		cmocka_unit_test(images_are_never_mixed_up_L28),
		cmocka_unit_test(stays_exact_when_the_page_cache_is_dropped),
		cmocka_unit_test(stays_exact_when_pages_are_collapsed),
		cmocka_unit_test(stays_exact_when_pages_are_cold_or_merged),
		cmocka_unit_test_teardown(stays_exact_when_pages_are_swapped, swap_ends),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
