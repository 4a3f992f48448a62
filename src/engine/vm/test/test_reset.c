// Images and exact reset. Rows: L26, L27, L28, L29, L30, L32, U25, U35.
#include "guests.h"

#include <sys/mman.h>

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

// An image of a guest that wrote here and there: pages 0, 3 and 100 of 128 are not zero.
static struct vm_image *make_image(void)
{
	struct vm_store *st;
	struct vm_instance *inst;
	struct vm_image *img;
	struct err e = {0};
	guest_make(shard, &guest, NULL, NULL, NULL, &st, &inst);
	assert_int_equal(guest_call(inst, G_STORE, 16, 0x11111111, NULL), TRAP_NONE);
	assert_int_equal(guest_call(inst, G_STORE, 3 * 4096 + 8, 0x22222222, NULL), TRAP_NONE);
	assert_int_equal(guest_call(inst, G_STORE, 100 * 4096, 0x33333333, NULL), TRAP_NONE);
	assert_int_equal(guest_call(inst, G_STORE, 50 * 4096, 0, NULL), TRAP_NONE);
	assert_true(vm_table_set(vm_instance_extern(inst, WASM_EXTERN_TABLE, 0).table, 2, guest_func(inst, G_ADD)));
	assert_true(vm_image_capture(st, &img, &e));
	assert_int_equal(vm_image_bytes(img), 3 * 4096);
	vm_store_free(st);
	return img;
}

static bool try_attach(struct vm_image *img, struct vm_store **st, struct vm_instance **inst, struct err *e)
{
	if (!guest_allocate(shard, &guest, NULL, NULL, NULL, st, inst, e))
		return false;
	if (vm_store_attach(*st, img, e))
		return true;
	vm_store_free(*st);
	return false;
}

static void attach(struct vm_image *img, struct vm_store **st, struct vm_instance **inst)
{
	struct err e = {0};
	if (!try_attach(img, st, inst, &e))
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
	vm__reset_check(st);
	assert_int_equal(vm_memory_length(vm_instance_extern(inst, WASM_EXTERN_MEMORY, 0).memory), 8 * 65536);
	assert_int_equal(load(inst, 16), 0x11111111);
	assert_int_equal(load(inst, 3 * 4096 + 8), 0x22222222);
	assert_int_equal(load(inst, 100 * 4096), 0x33333333);
	assert_int_equal(load(inst, 50 * 4096), 0);
	uint32_t ref;
	assert_true(vm_table_get(vm_instance_extern(inst, WASM_EXTERN_TABLE, 0).table, 2, &ref));
	assert_int_equal(ref, guest_func(inst, G_ADD));
	uint64_t global;
	vm_global_get(vm_instance_extern(inst, WASM_EXTERN_GLOBAL, 0).global, &global);
	assert_int_equal(global, 42);
}

static void attaches_an_image_to_a_new_store(void **state UNUSED)
{
	struct vm_image *img = make_image();
	struct vm_store *st;
	struct vm_instance *inst;
	for (int i = 0; i < 3; i++) {
		attach(img, &st, &inst);
		looks_like_the_image(st, inst);
		vm_store_free(st);
	}
	vm_image_unref(img);
}

static void request(struct vm_instance *inst, unsigned seed)
{
	struct vm_table *t = vm_instance_extern(inst, WASM_EXTERN_TABLE, 0).table;
	uint64_t r;
	for (int i = 0; i < 20; i++) {
		seed = seed * 1664525 + 1013904223;
		uint32_t at = (seed >> 8) % (8 * 65536 - 4);
		assert_int_equal(guest_call(inst, G_STORE, at, seed, NULL), TRAP_NONE);
	}
	guest_call(inst, G_BUMP, guest.mod->layout.globals, seed, &r);
	if (seed & 0x10000)
		assert_true(vm_table_set(t, seed >> 20 & 3, 0));
	if (seed & 0x20000)
		vm_table_grow(t, 100, 1);
	if (seed & 0x40000) {
		uint32_t pages = 1 + (seed >> 24) % 8;
		assert_int_equal(guest_call(inst, G_GROW, pages, 0, &r), TRAP_NONE);
		// What is new is zero, also where a former request wrote.
		for (uint32_t at = (uint32_t)r * 65536; at < ((uint32_t)r + pages) * 65536; at += 4096)
			assert_int_equal(load(inst, at), 0);
		for (uint32_t at = 8 * 65536; at < (8 + pages) * 65536; at += 4096 * 3)
			assert_int_equal(guest_call(inst, G_STORE, at, seed, NULL), TRAP_NONE);
	}
	if (seed & 0x80000)
		vm__libcalls.data_drop(vm_instance_vmctx(inst), 0);
}

// Whole, or in pieces between which the other one runs.
static bool reset_somehow(struct vm_store *st, unsigned i, struct vm_instance *other)
{
	enum vm_reset is;
	if (i % 2)
		return vm_store_reset(st);
	while ((is = vm_store_reset_some(st, 1 + i % 5)) == VM_RESET_MORE)
		if (other)
			request(other, i);
	return is == VM_RESET_DONE;
}

static void equals_the_image_after_every_reset(void **state UNUSED)
{
	enum vm_reset_method best = vm_process_reset_method();
	for (int m = (int)best; m <= VM_RESET_DISCARD; m++) {
		struct vm_image *img = make_image();
		struct vm_store *st[2];
		struct vm_instance *inst[2];
		vm_process_set_reset_method((enum vm_reset_method)m);
		for (int k = 0; k < 2; k++)
			attach(img, &st[k], &inst[k]);
		for (unsigned i = 0; i < 1000; i++) {
			// Two slots on one thread: what one wrote is not the other's.
			request(inst[i % 3 == 0], i);
			if (i % 7 == 0)
				request(inst[1], i * 31);
			for (int k = 0; k < 2; k++) {
				assert_true(reset_somehow(st[k], i, k ? NULL : inst[1]));
				vm__reset_check(st[k]);
			}
			if (i % 100 == 0) {
				looks_like_the_image(st[0], inst[0]);
				// L27: what a former request made accessible is not.
				struct vm_store *probe;
				struct vm_instance *pi;
				attach(img, &probe, &pi);
				assert_int_equal(guest_call(pi, G_LOAD, 8 * 65536, 0, NULL), TRAP_MEMORY_OUT_OF_BOUNDS);
				assert_false(vm_store_reset(probe));  // U25
				vm_store_free(probe);
			}
		}
		for (int k = 0; k < 2; k++)
			vm_store_free(st[k]);
		vm_image_unref(img);
	}
	vm_process_set_reset_method(best);
}

static void makes_no_fault_and_no_scan_in_the_steady_state(void **state UNUSED)
{
	if (vm_process_reset_method() != VM_RESET_GATED_SCAN)
		skip();
	struct vm_image *img = make_image();
	struct vm_store *st;
	struct vm_instance *inst;
	attach(img, &st, &inst);
	for (int i = 0; i < 10; i++) {
		for (uint32_t p = 0; p < 10; p++)
			guest_call(inst, G_STORE, p * 8192, 7 + i, NULL);
		assert_true(vm_store_reset(st));
	}
	uint64_t scans = vm_store_reset_stats(st).scans, faults = sys_thread_faults();
	for (int i = 0; i < 200; i++) {
		for (uint32_t p = 0; p < 10; p++)
			guest_call(inst, G_STORE, p * 8192, 7 + i, NULL);
		assert_true(vm_store_reset(st));
		assert_int_equal(vm_store_reset_stats(st).differing_pages, 10);
	}
	assert_true(vm_store_reset_stats(st).scans - scans <= 2);  // cmocka's own faults may be charged to us
	assert_true(sys_thread_faults() - faults <= 4);
	vm__reset_check(st);
	vm_store_free(st);
	vm_image_unref(img);
}

static void finds_what_the_host_wrote(void **state UNUSED)
{
	struct vm_image *img = make_image();
	struct vm_store *st, *other;
	struct vm_instance *inst, *oi;
	attach(img, &st, &inst);
	attach(img, &other, &oi);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(load(inst, 0), 0);
		assert_int_equal(load(oi, 0), 0);  // the other one runs
		vm_store_touch(st);
		memset(vm_memory_base(vm_instance_extern(inst, WASM_EXTERN_MEMORY, 0).memory) + i * 4096, 0xee, 100);
		assert_true(vm_store_reset(st));
		looks_like_the_image(st, inst);
	}
	vm_store_free(st);
	vm_store_free(other);
	vm_image_unref(img);
}

// Of two stores, whoever of them was named first or last.
struct pair {
	struct vm_store *st[2];
	struct vm_instance *inst[2];
	uint8_t *base[2];
	uint32_t page;
};

static void attach_pair(struct pair *p, struct vm_image *img)
{
	for (int k = 0; k < 2; k++) {
		attach(img, &p->st[k], &p->inst[k]);
		p->base[k] = vm_memory_base(vm_instance_extern(p->inst[k], WASM_EXTERN_MEMORY, 0).memory);
		assert_true(vm_store_reset(p->st[k]) && vm_store_reset(p->st[k]));
	}
}

static void reset_pair(struct pair *p)
{
	for (int k = 0; k < 2; k++) {
		assert_true(vm_store_reset(p->st[k]));
		vm__reset_check(p->st[k]);
	}
}

static void touch_both(void *arg)
{
	struct pair *p = arg;
	vm_store_touch(p->st[0]);
	vm_store_touch(p->st[1]);
	p->base[1][p->page * 4096] = 1;
	p->base[0][p->page * 4096] = 1;
}

static void a_fiber_that_touches_two_stores_writes_into_both(void **state UNUSED)
{
	struct vm_image *img = make_image();
	struct pair p = {0};
	attach_pair(&p, img);
	for (p.page = 0; p.page < 20; p.page++) {
		struct vm_fiber *f = vm_fiber_new(shard, touch_both, &p);
		assert_int_equal(vm_fiber_resume(f, VM_RESUMED), VM_FIBER_DONE);
		vm_fiber_free(f);
		reset_pair(&p);
	}
	for (int k = 0; k < 2; k++)
		vm_store_free(p.st[k]);
	vm_image_unref(img);
}

// The counter of page faults is not read while they run by turns, and each is looked at afterwards.
static void call_in_turns(void *arg)
{
	struct pair *p = arg;
	guest_call(p->inst[0], G_STORE, 0, 7, NULL);
	uint64_t read = shard->faults_read;
	for (int i = 1; i < 9; i++)
		guest_call(p->inst[i & 1], G_STORE, ((p->page + (uint32_t)i * 7) % 64) * 4096, 7, NULL);
	assert_int_equal(shard->faults_read, read);
	assert_true(vm__is_charged(shard, p->st[0]) && vm__is_charged(shard, p->st[1]));
}

static void stores_that_run_by_turns_are_charged_together(void **state UNUSED)
{
	struct vm_image *img = make_image();
	struct pair p = {0};
	attach_pair(&p, img);
	for (p.page = 0; p.page < 20; p.page++) {
		struct vm_fiber *f = vm_fiber_new(shard, call_in_turns, &p);
		assert_int_equal(vm_fiber_resume(f, VM_RESUMED), VM_FIBER_DONE);
		vm_fiber_free(f);
		reset_pair(&p);
	}
	// One that ends is nobody's any more.
	guest_call(p.inst[0], G_STORE, 0, 7, NULL);
	guest_call(p.inst[1], G_STORE, 0, 7, NULL);
	vm_store_free(p.st[0]);
	assert_false(vm__is_charged(shard, p.st[0]));
	assert_true(vm_store_reset(p.st[1]));
	vm__reset_check(p.st[1]);
	vm_store_free(p.st[1]);
	vm_image_unref(img);
}

static void more_stores_run_than_are_charged_together(void **state UNUSED)
{
	struct vm_image *img = make_image();
	struct pair pairs[VM__CHARGED] = {0};
	for (int i = 0; i < VM__CHARGED; i++)
		attach_pair(&pairs[i], img);
	for (uint32_t round = 0; round < 5; round++) {
		for (int i = 0; i < 2 * VM__CHARGED; i++)
			guest_call(pairs[i / 2].inst[i & 1], G_STORE, (round * 3 + (uint32_t)i % 5) * 4096, 7, NULL);
		for (int i = 0; i < VM__CHARGED; i++)
			reset_pair(&pairs[i]);
	}
	for (int i = 0; i < 2 * VM__CHARGED; i++)
		vm_store_free(pairs[i / 2].st[i & 1]);
	vm_image_unref(img);
}

static void call_other(void *arg)
{
	struct pair *p = arg;
	guest_call(p->inst[1], G_STORE, p->page * 4096, 7, NULL);
}

// A host function, called by the first one's guest: it runs a fiber of the other one's and writes for its caller.
static enum trap run_other(struct vm_call *call, const uint64_t *args UNUSED, uint64_t *results)
{
	struct pair *p = call->data;
	struct vm_fiber *f = vm_fiber_new(call->shard, call_other, p);
	assert_int_equal(vm_fiber_resume(f, VM_RESUMED), VM_FIBER_DONE);
	vm_fiber_free(f);
	p->base[0][p->page * 4096] = 1;
	results[0] = 0;
	return TRAP_NONE;
}

static void a_guest_on_the_threads_stack_is_charged_again_after_a_fiber(void **state UNUSED)
{
	struct vm_image *img = make_image();
	struct pair p = {0};
	struct err e = {0};
	assert_true(guest_allocate(shard, &guest, run_other, &p, NULL, &p.st[0], &p.inst[0], &e) && vm_store_attach(p.st[0], img, &e));
	attach(img, &p.st[1], &p.inst[1]);
	p.base[0] = vm_memory_base(vm_instance_extern(p.inst[0], WASM_EXTERN_MEMORY, 0).memory);
	reset_pair(&p);
	for (p.page = 0; p.page < 20; p.page++) {
		assert_int_equal(guest_call(p.inst[0], G_THROUGH, guest_import_offset(&guest), 0, NULL), TRAP_NONE);
		reset_pair(&p);
	}
	for (int k = 0; k < 2; k++)
		vm_store_free(p.st[k]);
	vm_image_unref(img);
}

static void stays_exact_whatever_the_kernel_does_to_the_pages(void **state UNUSED)
{
	static const int advice[] = {20 /* COLD */, 21 /* PAGEOUT */, 25 /* COLLAPSE */, 12 /* MERGEABLE */, 14 /* HUGEPAGE */, 25, 21};
	struct vm_image *img = make_image();
	struct vm_store *st;
	struct vm_instance *inst;
	attach(img, &st, &inst);
	uint8_t *base = vm_memory_base(vm_instance_extern(inst, WASM_EXTERN_MEMORY, 0).memory);
	for (unsigned i = 0; i < 70; i++) {
		request(inst, i * 77);
		madvise(base, 8 * 65536, advice[i % ARRAY_LEN(advice)]);
		assert_true(vm_store_reset(st));
		vm__reset_check(st);
		madvise(base, 8 * 65536, advice[(i + 3) % ARRAY_LEN(advice)]);
		vm__reset_check(st);
	}
	vm_store_free(st);
	vm_image_unref(img);
}

static void gives_the_pages_of_an_idle_slot_back(void **state UNUSED)
{
	struct vm_image *img = make_image();
	struct vm_store *st;
	struct vm_instance *inst;
	attach(img, &st, &inst);
	request(inst, 0x12345);
	assert_true(vm_store_reset(st));
	assert_true(vm_store_trim(st));
	looks_like_the_image(st, inst);
	request(inst, 0x777777);
	assert_true(vm_store_reset(st));
	looks_like_the_image(st, inst);
	vm_store_free(st);
	vm_image_unref(img);
}

// A burst of pages that is not repeated is given back after a while.
static void drops_pages_that_are_not_used_any_more(void **state UNUSED)
{
	if (vm_process_reset_method() == VM_RESET_DISCARD)
		skip();
	struct vm_image *img = make_image();
	struct vm_store *st;
	struct vm_instance *inst;
	attach(img, &st, &inst);
	for (uint32_t p = 0; p < 128; p++)
		guest_call(inst, G_STORE, p * 4096 + 64, 7, NULL);
	assert_true(vm_store_reset(st));
	assert_true(vm_store_reset_stats(st).private_pages >= 128);
	for (int i = 0; i < 100; i++) {
		guest_call(inst, G_STORE, 64, 7, NULL);
		assert_true(vm_store_reset(st));
		vm__reset_check(st);
	}
	assert_true(vm_store_reset_stats(st).private_pages <= 70);
	vm_store_free(st);
	vm_image_unref(img);
}

// Each piece looks at so many pages: the last one finds fewer, and may be none.
static void goes_in_pieces_of_the_length_that_is_said(void **state UNUSED)
{
	if (vm_process_reset_method() == VM_RESET_DISCARD)
		skip();
	struct vm_image *img = make_image();
	struct vm_store *st;
	struct vm_instance *inst;
	attach(img, &st, &inst);
	for (uint32_t p = 0; p < 128; p++)
		guest_call(inst, G_STORE, p * 4096 + 64, 7, NULL);
	uint64_t more = 0;
	enum vm_reset is;
	while ((is = vm_store_reset_some(st, 10)) == VM_RESET_MORE) {
		more++;
		assert_true(vm_store_reset_stats(st).differing_pages <= 10 * more);
	}
	assert_int_equal(is, VM_RESET_DONE);
	assert_true(more >= 12);
	assert_int_equal(vm_store_reset_stats(st).differing_pages, 128);
	vm__reset_check(st);
	vm_store_free(st);
	vm_image_unref(img);
}

static void a_store_that_goes_is_shed_in_pieces(void **state UNUSED)
{
	struct vm_image *img = make_image();
	for (int failing = 0; failing < 2; failing++)
		for (int resetting = 0; resetting < 2; resetting++) {
			struct vm_store *st;
			struct vm_instance *inst;
			attach(img, &st, &inst);
			const uint8_t *base = vm_memory_base(vm_instance_extern(inst, WASM_EXTERN_MEMORY, 0).memory);
			for (uint32_t p = 0; p < 128; p++)
				guest_call(inst, G_STORE, p * 4096 + 64, 7, NULL);
			if (resetting)
				(void)vm_store_reset_some(st, 10);
			unsigned more = 0;
			sys_fail_nth(failing ? 3 : 0);
			while (vm_store_shed_some(st, 10 * SYS_PAGE)) {
				more++;
				assert_int_equal(base[(more * 10 - 1) * SYS_PAGE + 64], 0);
			}
			sys_fail_nth(0);
			assert_int_equal(more, failing ? 2 : 12);
			assert_false(vm_store_reset(st));
			vm_store_free(st);
		}
	vm_image_unref(img);
}

static void makes_a_new_slot_after_a_trap(void **state UNUSED)
{
	struct vm_image *img = make_image();
	struct vm_store *st;
	struct vm_instance *inst;
	for (int i = 0; i < 20; i++) {
		attach(img, &st, &inst);
		looks_like_the_image(st, inst);
		request(inst, (unsigned)i);
		assert_int_equal(guest_call(inst, G_UNREACHABLE, 0, 0, NULL), TRAP_UNREACHABLE);
		assert_false(vm_store_reset(st));
		vm_store_free(st);
	}
	vm_image_unref(img);
}

// L28: slots of another image never show it.
static void never_shows_another_image(void **state UNUSED)
{
	struct vm_image *img = make_image(), *other;
	struct vm_store *st;
	struct vm_instance *inst;
	struct err e = {0};
	attach(img, &st, &inst);
	for (uint32_t p = 0; p < 128; p++)
		guest_call(inst, G_STORE, p * 4096, 0xabababab, NULL);
	assert_true(vm_image_capture(st, &other, &e));
	vm_store_free(st);
	for (int i = 0; i < 10; i++) {
		attach(i & 1 ? img : other, &st, &inst);
		vm__reset_check(st);
		if (!(i & 1))
			assert_int_equal(load(inst, 77 * 4096), 0xabababab);
		request(inst, (unsigned)i);
		assert_true(vm_store_attach(st, i & 1 ? other : img, &e));  // the slow path: a slot changes its image
		vm__reset_check(st);
		vm_store_free(st);
	}
	vm_image_unref(img);
	vm_image_unref(other);
}

static void survives_failing_system_calls(void **state UNUSED)
{
	struct vm_image *img = make_image();
	struct err e = {0};
	bool done = false;
	for (uint64_t n = 1; !done && n < 100; n++) {
		struct vm_store *st;
		struct vm_instance *inst;
		sys_fail_nth(n);
		done = try_attach(img, &st, &inst, &e);
		sys_fail_nth(0);
		if (!done)
			attach(img, &st, &inst);
		for (uint64_t k = 1; k < 20; k++) {
			request(inst, (unsigned)(n * 100 + k));
			sys_fail_nth(k);
			mem_fail_nth(k);
			bool ok = vm_store_reset(st);
			sys_fail_nth(0);
			mem_fail_nth(0);
			if (ok) {
				vm__reset_check(st);
				continue;
			}
			assert_true(vm_store_is_poisoned(st));
			vm_store_free(st);
			attach(img, &st, &inst);
			vm__reset_check(st);
		}
		vm_store_free(st);
	}
	assert_true(done);
	done = false;
	for (uint64_t n = 1; !done && n < 200; n++) {
		struct vm_store *st;
		struct vm_instance *inst;
		struct vm_image *copy;
		attach(img, &st, &inst);
		sys_fail_nth(n);
		mem_fail_nth(n);
		done = vm_image_capture(st, &copy, &e);
		sys_fail_nth(0);
		mem_fail_nth(0);
		if (done)
			vm_image_unref(copy);
		vm__reset_check(st);
		vm_store_free(st);
	}
	assert_true(done);
	vm_image_unref(img);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(attaches_an_image_to_a_new_store),
		cmocka_unit_test(equals_the_image_after_every_reset),
		cmocka_unit_test(makes_no_fault_and_no_scan_in_the_steady_state),
		cmocka_unit_test(finds_what_the_host_wrote),
		cmocka_unit_test(a_fiber_that_touches_two_stores_writes_into_both),
		cmocka_unit_test(stores_that_run_by_turns_are_charged_together),
		cmocka_unit_test(more_stores_run_than_are_charged_together),
		cmocka_unit_test(a_guest_on_the_threads_stack_is_charged_again_after_a_fiber),
		cmocka_unit_test(stays_exact_whatever_the_kernel_does_to_the_pages),
		cmocka_unit_test(gives_the_pages_of_an_idle_slot_back),
		cmocka_unit_test(drops_pages_that_are_not_used_any_more),
		cmocka_unit_test(goes_in_pieces_of_the_length_that_is_said),
		cmocka_unit_test(a_store_that_goes_is_shed_in_pieces),
		cmocka_unit_test(makes_a_new_slot_after_a_trap),
		cmocka_unit_test(never_shows_another_image),
		cmocka_unit_test(survives_failing_system_calls),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
