// What things cost, printed: calls, host calls, fiber switches, resets. Fails only on what is an order of magnitude off.
#include "guests.h"

#include <stdio.h>
#include <time.h>

static struct vm_shard *shard;

static double ns_since(uint64_t begin, uint64_t n)
{
	return (double)(sys_thread_cpu_ns() - begin) / (double)n;
}

static enum trap host_nothing(struct vm_call *call UNUSED, const uint64_t *args, uint64_t *results)
{
	results[0] = args[0];
	return TRAP_NONE;
}

static void measures_calls(void **state UNUSED)
{
	enum { N = 2000000 };
	struct guest g;
	struct vm_store *st;
	struct vm_instance *inst;
	uint64_t args[2] = {1, 2}, r[1];
	guest_init(&g, 1, 10);
	guest_make(shard, &g, host_nothing, NULL, NULL, &st, &inst);
	uint32_t add = guest_func(inst, G_ADD), through = guest_func(inst, G_THROUGH);
	uint64_t begin = sys_thread_cpu_ns();
	for (int i = 0; i < N; i++)
		assert_int_equal(vm_call(st, add, args, r), TRAP_NONE);
	double in = ns_since(begin, N);
	args[0] = guest_import_offset(&g);
	begin = sys_thread_cpu_ns();
	for (int i = 0; i < N; i++)
		assert_int_equal(vm_call(st, through, args, r), TRAP_NONE);
	double both = ns_since(begin, N);
	print_message("call into a guest and back: %.1f ns; host call: %.1f ns\n", in, both - in);
	assert_true(both < 1000);
	vm_store_free(st);
	guest_release(&g);
}

static void parker(void *arg UNUSED)
{
	while (vm_fiber_park(shard) == VM_RESUMED)
		;
}

static void nothing(void *arg UNUSED)
{
}

static void measures_fibers(void **state UNUSED)
{
	enum { N = 1000000 };
	struct vm_fiber *f = vm_fiber_new(shard, parker, NULL);
	uint64_t begin = sys_thread_cpu_ns();
	for (int i = 0; i < N; i++)
		assert_int_equal(vm_fiber_resume(f, VM_RESUMED), VM_FIBER_PARKED);
	double there_and_back = ns_since(begin, N);
	vm_fiber_kill(f, TRAP_KILLED);
	assert_int_equal(vm_fiber_resume(f, VM_KILLED), VM_FIBER_DONE);
	vm_fiber_free(f);
	begin = sys_thread_cpu_ns();
	for (int i = 0; i < N; i++) {
		f = vm_fiber_new(shard, nothing, NULL);
		vm_fiber_resume(f, VM_RESUMED);
		vm_fiber_free(f);
	}
	print_message("fiber: resume + park %.1f ns; new + run + free %.1f ns\n", there_and_back, ns_since(begin, N));
	assert_true(there_and_back < 20000);  // a hundred times what it takes; sanitizers take a tenth of this
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void measure_reset(const char *what, uint64_t pages, uint32_t dirty)
{
	enum { N = 400 };
	struct guest g;
	struct vm_store *st;
	struct vm_instance *inst;
	struct vm_image *img;
	struct err e = {0};
	static double us[N];
	guest_init(&g, pages, 1024);
	guest_make(shard, &g, NULL, NULL, NULL, &st, &inst);
	struct vm_memory *m = vm_instance_extern(inst, WASM_EXTERN_MEMORY, 0).memory;
	for (uint64_t at = 0; at < pages * 65536; at += 64)
		memcpy(vm_memory_base(m) + at, &at, 8);
	assert_true(vm_image_capture(st, &img, &e));
	vm_store_free(st);
	assert_true(guest_allocate(shard, &g, NULL, NULL, NULL, &st, &inst, &e));
	assert_true(vm_store_attach(st, img, &e));
	m = vm_instance_extern(inst, WASM_EXTERN_MEMORY, 0).memory;
	uint8_t *base = vm_memory_base(m);
	uint64_t stride = pages * 16 / dirty;
	for (int i = 0; i < N; i++) {
		uint64_t r, begin = sys_now_ns();
		guest_call(inst, G_ADD, 1, 2, &r);
		for (uint32_t d = 0; d < dirty; d++)
			memset(base + d * stride * 4096 + 128, i + 1, 64);
		assert_true(vm_store_reset(st));
		us[i] = (double)(sys_now_ns() - begin) / 1000;
	}
	struct vm_reset_stats stats = vm_store_reset_stats(st);
	qsort(us, N, sizeof us[0], by_value);
	print_message("reset %s: median %.2f us, least %.2f (%u pages of %llu differ; %llu scans in %llu resets)\n", what, us[N / 2], us[0], dirty,
		(unsigned long long)pages * 16, (unsigned long long)stats.scans, (unsigned long long)stats.resets);
	assert_int_equal(stats.differing_pages, dirty);
	uint64_t begin = sys_thread_cpu_ns();
	for (int i = 0; i < 100; i++) {
		vm_store_free(st);
		assert_true(guest_allocate(shard, &g, NULL, NULL, NULL, &st, &inst, &e));
		assert_true(vm_store_attach(st, img, &e));
	}
	print_message("      a new store with that image: %.1f us\n", ns_since(begin, 100) / 1000);
	vm_store_free(st);
	vm_image_unref(img);
	guest_release(&g);
}

static void measures_resets(void **state UNUSED)
{
	measure_reset("C, 128 KiB", 2, 3);
	measure_reset("JavaScript, 12 MiB", 192, 114);
	measure_reset("Python, 40 MiB", 640, 364);
}

static int setup(void **state UNUSED)
{
	struct err e = {0};
	struct buf out = {0};
	if (!vm_shard_new(&shard, &e))
		return -1;
	vm_process_describe(&out);
	print_message("%.*s", (int)out.len, (char *)out.ptr);
	buf_release(&out);
	return 0;
}

static int teardown(void **state UNUSED)
{
	vm_shard_free(shard);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(measures_calls),
		cmocka_unit_test(measures_fibers),
		cmocka_unit_test(measures_resets),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
