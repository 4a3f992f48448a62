// The small things of stores, fibers and shards: accounts, owners, externs by hand, turns given away. Rows: U11, L43.
#include "guests.h"

static struct vm_shard *shard;
static struct guest guest;

static int setup(void **state UNUSED)
{
	struct err e = {0};
	if (!vm_shard_new(&shard, &e))
		return -1;
	guest_init(&guest, 1, 10);
	return 0;
}

static int teardown(void **state UNUSED)
{
	guest_release(&guest);
	vm_shard_free(shard);
	return 0;
}

// U11: what the host holds for an instance is on its account too, and is not the image's.
static void accounts_for_the_host_as_well(void **state UNUSED)
{
	struct vm_store *st;
	struct vm_instance *inst;
	struct vm_image *img;
	struct err e = {0};
	struct vm_limits limits = VM_LIMITS_DEFAULT;
	uint64_t r;
	limits.memory = 4 * 65536;
	guest_make(shard, &guest, NULL, NULL, &limits, &st, &inst);
	uint64_t own = vm_store_memory_used(st);
	assert_true(account_charge(vm_store_account(st), 2 * 65536));
	assert_false(account_charge(vm_store_account(st), 65536));
	assert_int_equal(guest_call(inst, G_GROW, 1, 0, &r), TRAP_NONE);
	assert_int_equal((uint32_t)r, UINT32_MAX);
	assert_true(vm_image_capture(st, &img, &e));
	assert_int_equal(vm_image_memory_length(img), 65536);
	assert_true(vm_store_attach(st, img, &e));
	assert_ptr_equal(vm_store_image(st), img);
	assert_int_equal(vm_store_memory_used(st), own + 2 * 65536);
	account_uncharge(vm_store_account(st), 2 * 65536);
	assert_int_equal(vm_memory_grow(vm_instance_extern(inst, WASM_EXTERN_MEMORY, 0).memory, 1), 1);
	assert_int_equal(vm_store_memory_peak(st), own + 2 * 65536);
	assert_true(vm_store_reset(st));
	assert_int_equal(vm_store_memory_used(st), own);
	assert_ptr_equal(vm_image_ref(img), img);
	vm_image_unref(img);
	vm_image_unref(img);
	vm_store_free(st);  // it kept one
}

static void knows_who_belongs_to_whom(void **state UNUSED)
{
	struct vm_store *st;
	struct vm_instance *inst;
	int mine;
	guest_make(shard, &guest, NULL, NULL, NULL, &st, &inst);
	vm_store_set_owner(st, &mine);
	assert_ptr_equal(vm_store_owner(st), &mine);
	assert_ptr_equal(vm_store_shard(st), shard);
	assert_ptr_equal(vm_shard_current(), shard);
	assert_ptr_equal(vm_shard_exec(shard), vm_instance_vmctx(inst)->exec);
	assert_ptr_equal(vm_instance_module(inst), guest.mod);
	assert_ptr_equal(vm_module_ref(guest.mod), guest.mod);
	vm_module_unref(guest.mod);
	assert_int_equal(vm_func_type_id(st, guest_func(inst, G_ADD)), guest.types[G_ADD].id);
	assert_int_equal(vm_func_type(st, guest_func(inst, G_ADD))->nparams, 2);
	assert_null(vm_func_type(st, 0));
	vm_store_poison(st);
	assert_int_equal(guest_call(inst, G_ADD, 1, 2, NULL), TRAP_POISONED);
	vm_store_free(st);
}

static void makes_externs_by_hand(void **state UNUSED)
{
	struct vm_store *st;
	struct err e = {0};
	struct vm_memory *m;
	struct vm_table *t;
	struct vm_global *g;
	uint32_t ref;
	struct wasm_memory_type mt = {.limits = {.min = 1, .max = 2, .has_max = true}, .page_shift = 16};
	struct wasm_table_type tt = {.elem = {.kind = WASM_REF, .nullable = 1, .heap = WASM_HEAP_EXTERN}, .limits = {.min = 2, .max = 3, .has_max = true}};
	struct wasm_global_type gt = {.type = {.kind = WASM_I32}, .mutable = true};
	assert_true(vm_store_new(shard, NULL, &st, &e));
	assert_true(vm_memory_new(st, &mt, &m, &e));
	assert_true(vm_table_new(st, &tt, NULL, 7, &t, &e));
	assert_true(vm_global_new(st, &gt, NULL, (const uint64_t[]){5}, &g, &e));
	assert_int_equal(vm_memory_grow(m, 1), 1);
	assert_int_equal(vm_memory_grow(m, 1), UINT64_MAX);
	assert_non_null(vm_memory_map(vm_memory_abi(m), 131072, 0));
	assert_null(vm_memory_map(vm_memory_abi(m), 131071, 2));
	assert_null(vm_memory_map(vm_memory_abi(m), UINT64_MAX, 2));
	assert_int_equal(vm_table_grow(t, 1, 9), 2);
	assert_int_equal(vm_table_grow(t, 1, 9), UINT64_MAX);
	assert_true(vm_table_get(t, 1, &ref) && ref == 7);
	assert_true(vm_table_get(t, 2, &ref) && ref == 9);
	assert_false(vm_table_get(t, 3, &ref));
	assert_int_equal(vm_table_length(t), 3);
	uint64_t value = 0xffffffff00000001;
	vm_global_set(g, &value);
	vm_global_get(g, &value);
	assert_int_equal(value, 1);  // R5
	assert_true(vm_global_type(g)->mutable);
	mt.limits.min = 65537;
	assert_false(vm_memory_new(st, &mt, &m, &e));
	vm_store_free(st);
}

static void yields_twice(void *arg)
{
	int *turns = arg;
	for (int i = 0; i < 2; i++) {
		++*turns;
		if (vm_fiber_yield(shard) == VM_KILLED)
			return;
	}
	++*turns;
}

// Both stay with the fiber, whatever others and the thread's own stack do meanwhile.
static void keeps_its_task(void *arg)
{
	struct abi_exec *exec = vm_shard_exec(shard);
	uint64_t *fine = arg;
	*fine += !exec->task && !exec->context[0] && !exec->context[1];
	exec->task = arg;
	exec->context[0] = (uintptr_t)arg;
	exec->context[1] = ~(uint64_t)(uintptr_t)arg;
	for (int i = 0; i < 3; i++) {
		if (i == 1)
			exec->task = fine + 1;
		vm_fiber_park(shard);
		*fine += exec->task == fine + (i > 0) && exec->context[0] == (uintptr_t)arg && exec->context[1] == ~(uint64_t)(uintptr_t)arg;
	}
}

static void task_and_context_slots_stay_with_their_fiber(void **state UNUSED)
{
	uint64_t fine[8][2] = {0};
	struct vm_fiber *f[8];
	struct abi_exec *exec = vm_shard_exec(shard);
	exec->task = &exec;
	exec->context[0] = 1;
	exec->context[1] = 2;
	for (int i = 0; i < 8; i++)
		f[i] = vm_fiber_new(shard, keeps_its_task, fine[i]);
	for (int k = 0; k < 4; k++) {
		for (int i = 0; i < 8; i++)
			assert_int_equal(vm_fiber_resume(f[i * 3 % 8], VM_RESUMED), k == 3 ? VM_FIBER_DONE : VM_FIBER_PARKED);
		assert_true(exec->task == &exec && exec->context[0] == 1 && exec->context[1] == 2);
	}
	for (int i = 0; i < 8; i++) {
		assert_int_equal(fine[i][0], 4);
		vm_fiber_free(f[i]);
	}
	exec->task = NULL;
	memset(exec->context, 0, sizeof exec->context);
}

static void count_ready(struct vm_fiber *f UNUSED, void *arg)
{
	++*(int *)arg;
}

static void tells_of_preempted_fibers(void **state UNUSED)
{
	int turns = 0, ready = 0;
	vm_shard_set_on_preempted(shard, count_ready, &ready);
	struct vm_fiber *f = vm_fiber_new(shard, yields_twice, &turns);
	assert_int_equal(vm_fiber_state(f), VM_FIBER_NEW);
	while (vm_fiber_resume(f, VM_RESUMED) == VM_FIBER_PREEMPTED)
		;
	assert_int_equal(turns, 3);
	assert_int_equal(ready, 2);
	assert_int_equal(vm_fiber_preemptions(f), 2);
	vm_fiber_free(f);
	turns = 0;
	f = vm_fiber_new(shard, yields_twice, &turns);
	assert_int_equal(vm_fiber_resume(f, VM_RESUMED), VM_FIBER_PREEMPTED);
	assert_int_equal(vm_fiber_resume(f, VM_KILLED), VM_FIBER_DONE);
	assert_int_equal(turns, 1);
	vm_fiber_free(f);
	vm_shard_set_on_preempted(shard, NULL, NULL);
	vm_shard_trim_stacks(shard);  // L43
	vm_fiber_free(vm_fiber_new(shard, yields_twice, &turns));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accounts_for_the_host_as_well),
		cmocka_unit_test(knows_who_belongs_to_whom),
		cmocka_unit_test(makes_externs_by_hand),
		cmocka_unit_test(task_and_context_slots_stay_with_their_fiber),
		cmocka_unit_test(tells_of_preempted_fibers),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
