// The n-th allocation and the n-th system call fail, for every n, while a component is loaded, its image and a slot are made, the slot starts, is
// called and reset: an error or a trap says so, nothing is left behind, the next one works. Rows: L29, L30.
// PROGRAM(test_faults, "canon tier cmocka", "")
#include "subject.h"

#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct subject subject;

static enum trap h(struct canon_task *t UNUSED, struct canon_instance *i UNUSED, void *data UNUSED, const void *args UNUSED, void *ret)
{
	memset(ret, 0, 4);
	return TRAP_NONE;
}
static const struct canon_host_func cutting[] = {{.fn = h, .flags = CANON_HOST_CUTS}}, fixed[] = {{.fn = h}};

typedef void fail_nth(uint64_t n);

// From an image to a reset with faults. true: all went well.
static bool life(const struct canon_host *host, fail_nth *inject, uint64_t n)
{
	struct canon_image *m = NULL;
	struct canon_instance *i = NULL;
	struct canon_trap trap = {0};
	struct err e = {0};
	struct subject_call c = {.s = &subject, .name = "echo", .text = "hello"}, d = {.s = &subject, .name = "drop-one"}, l = {.s = &subject, .name = "leak", .args = {5}};
	inject(n);
	bool ok = canon_image_new(shard, subject.l.canon, host, NULL, CANON_INIT_AUTO, NULL, NULL, &m, &trap, &e) && canon_slot_new(shard, m, NULL, &i, &e) &&
		(canon_slot_is_ready(i) || canon_slot_start(i, NULL, &trap));
	if (ok) {
		c.i = d.i = l.i = i;
		subject_run(&c);
		if (c.ok)
			subject_run(&d);
		if (d.ok)
			subject_run(&l);
		trap = !c.ok ? c.trap : !d.ok ? d.trap
									  : l.trap;
		ok = l.ok;
		assert_true(!c.ok || c.result == 5);
		assert_true(!l.ok || l.result == 5);
	}
	bool reset = ok && canon_slot_reset(i);  // false is all that it says
	inject(0);
	if (!ok && (trap.trap == TRAP_NONE ? e.code == ERR_NONE || !e.text[0] : !trap.text[0]))
		fail_msg("the %lluth fails and nothing says so", (unsigned long long)n);
	if (ok && !reset)
		assert_true(!canon_slot_reset(i));
	canon_instance_free(i);
	canon_image_free(m);
	return ok && reset;
}

struct usage {
	uint64_t heap, descriptors, mappings;
};

static struct usage usage(void)
{
	struct usage u = {.heap = mallinfo2().uordblks};
	DIR *d = opendir("/proc/self/fd");
	while (readdir(d))
		u.descriptors++;
	closedir(d);
	FILE *f = fopen("/proc/self/maps", "r");
	for (int c; (c = getc(f)) != EOF;)
		u.mappings += c == '\n';
	fclose(f);
	return u;
}

static void every_fault(const struct canon_host *host, fail_nth *inject, unsigned at_least)
{
	struct usage before = {0}, after = {0};
	for (int pass = 0; pass < 3; pass++) {
		unsigned failures = 0, in_a_row = 0;
		for (uint64_t n = 1; in_a_row < 20; n++) {  // some may fail without harm: that many in a row are beyond the last
			assert_true(n < 5000);
			if (life(host, inject, n)) {
				in_a_row++;
				continue;
			}
			failures++;
			in_a_row = 0;
			assert_true(life(host, inject, 0));
		}
		assert_true(failures >= at_least);
		before = after;
		after = usage();
	}
	// What the first passes left are pools; the third added nothing.
	// (A cell that can't be emptied is not used again, by design: its few mappings stay.)
	uint64_t cells = inject == sys_fail_nth ? 12 : 2;
	if (after.heap > before.heap || after.descriptors != before.descriptors || after.mappings > before.mappings + cells)
		fail_msg("%lld bytes, %lld descriptors, %lld mappings are left behind", (long long)(after.heap - before.heap),
			(long long)(after.descriptors - before.descriptors), (long long)(after.mappings - before.mappings));
}

static void any_allocation_may_fail_L29(void **state UNUSED)
{
	struct err e = {0};
	assert_true(vm_process_handle_signals(&e));
	every_fault(&(struct canon_host){.funcs = cutting, .n_funcs = 1}, mem_fail_nth, 10);
	every_fault(&(struct canon_host){.funcs = fixed, .n_funcs = 1}, mem_fail_nth, 10);
}

static void any_system_call_may_fail_L29_L30(void **state UNUSED)
{
	struct err e = {0};
	assert_true(vm_process_handle_signals(&e));
	every_fault(&(struct canon_host){.funcs = cutting, .n_funcs = 1}, sys_fail_nth, 5);
	every_fault(&(struct canon_host){.funcs = fixed, .n_funcs = 1}, sys_fail_nth, 5);
}

// The same with every reset method that there is, for the system calls of a reset.
static void a_reset_that_fails_retires_the_slot_L30(void **state UNUSED)
{
	struct err e = {0};
	struct canon_host host = {.funcs = fixed, .n_funcs = 1};
	enum vm_reset_method was = vm_process_reset_method();
	assert_true(vm_process_handle_signals(&e));
	for (int method = was; method <= VM_RESET_DISCARD; method++) {
		struct canon_image *m;
		struct canon_trap trap = {0};
		vm_process_set_reset_method((enum vm_reset_method)method);
		assert_true(canon_image_new(shard, subject.l.canon, &host, NULL, CANON_INIT_AUTO, NULL, NULL, &m, &trap, &e));
		unsigned failed = 0;
		for (uint64_t n = 1; n < 40; n++) {
			struct canon_instance *i;
			assert_true(canon_slot_new(shard, m, NULL, &i, &e));
			for (int k = 0; k < 2; k++) {
				subject_result(&subject, i, "dirty", 99, 0);
				sys_fail_nth(n);
				bool ok = canon_slot_reset(i);
				sys_fail_nth(0);
				if (!ok) {
					failed++;
					assert_false(canon_slot_reset(i));
					assert_int_equal(subject_call(&subject, i, "go", 0, 0, NULL), TRAP_POISONED);
					canon_instance_free(i);
					assert_true(canon_slot_new(shard, m, NULL, &i, &e));
				}
				assert_int_equal(subject_result(&subject, i, "probe", P_SIZE, 0), 1);
				assert_int_equal(subject_result(&subject, i, "probe", P_GLOBAL, 0), 5);
				assert_int_equal(subject_call(&subject, i, "probe", P_DATA, 0, NULL), TRAP_NONE);
				assert_int_equal(subject_call(&subject, i, "probe", P_BEHIND, 0, NULL), TRAP_MEMORY_OUT_OF_BOUNDS);
				canon_instance_free(i);
				assert_true(canon_slot_new(shard, m, NULL, &i, &e));
			}
			canon_instance_free(i);
		}
		assert_true(failed > 0);
		canon_image_free(m);
	}
	vm_process_set_reset_method(was);
}

// Decoding, validating, compiling, publishing.
static void loading_may_fail_anywhere_L29(void **state UNUSED)
{
	struct buf bytes = {0};
	build_text(&bytes, SUBJECT);
	uint64_t heap[3] = {0};
	for (int pass = 0; pass < 3; pass++) {
		unsigned failures = 0;
		bool ok = false;
		for (uint64_t n = 1; !ok; n += 1 + n / 16) {
			struct subject s = {.bytes = bytes};
			struct err e = {0};
			mem_fail_nth(n);
			ok = subject_load(&s, &e);
			mem_fail_nth(0);
			assert_true(ok || (e.code != ERR_NONE && e.text[0]));
			failures += !ok;
			unload_component(&s.l);
		}
		assert_true(failures > 20);
		heap[pass] = mallinfo2().uordblks;
	}
	assert_true(heap[2] <= heap[1]);
	buf_release(&bytes);
}

static int start(void **state)
{
	struct err e = {0};
	if (vm_process_init(&e) && guest_setup(state) == 0 && subject_try(&subject, SUBJECT, &e))
		return 0;
	print_error("%s at 0x%llx\n", e.text, (unsigned long long)e.offset);
	return 1;
}

static int stop(void **state)
{
	subject_release(&subject);
	return guest_teardown(state);
}

int main(int argc UNUSED, char **argv)
{
	// Without the allocator's caches what is in use is what was not freed.
	if (!getenv("GLIBC_TUNABLES")) {
		setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0", 1);
		execv("/proc/self/exe", argv);
	}
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_allocation_may_fail_L29),
		cmocka_unit_test(any_system_call_may_fail_L29_L30),
		cmocka_unit_test(a_reset_that_fails_retires_the_slot_L30),
		cmocka_unit_test(loading_may_fail_anywhere_L29),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
