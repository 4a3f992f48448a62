// A sync-typed call that yields for ever beside a thread that does: whoever runs them gets his turns, and ends them. The guest is the fuzzer's.
// PROGRAM(test_yields, "canon tier cmocka", "../../fuzz/async_guest.c")
#include "stepped.h"

static uint64_t yields[2];  // of the call, of the thread
static unsigned begun;

static enum trap next(struct canon_task *t, struct canon_instance *i UNUSED, void *data UNUSED, const void *args UNUSED, void *ret)
{
	static const uint32_t before[] = {GUEST_THREAD_NEW, GUEST_RESUME_LATER};
	bool is_thread = t != canon_task_root(t);
	*(uint32_t *)ret = is_thread || begun == ARRAY_LEN(before) ? GUEST_YIELD : before[begun++];
	yields[is_thread] += *(uint32_t *)ret == GUEST_YIELD;
	return TRAP_NONE;
}

static void run(void *arg)
{
	struct one *o = arg;
	uint32_t a = 0, ret;
	o->ok = canon_call_export(instance, subject_func(&subject, "y1"), &o->task, &a, &ret, NULL, &o->trap);
}

static void a_sync_call_and_a_thread_that_yield_for_ever(void **state UNUSED)
{
	struct one o = {0};
	struct vm_fiber *f = stepped_begin(run, &o);
	for (unsigned turns = 0; turns < 5; turns++) {
		uint64_t call = yields[0], thread = yields[1];
		assert_int_equal(vm_fiber_resume(f, VM_RESUMED), VM_FIBER_PREEMPTED);
		assert_true(yields[0] > call && yields[1] > thread);
	}
	vm_fiber_kill(f, TRAP_DEADLINE);
	assert_int_equal(vm_fiber_resume(f, VM_KILLED), VM_FIBER_DONE);
	assert_false(o.ok);
	assert_int_equal(o.trap.trap, TRAP_DEADLINE);
	vm_fiber_free(f);
	canon_instance_free(instance);
}

int main(void)
{
	static const uint8_t key[9] = {0};
	if (!stepped_new(key))
		return 1;
	const struct CMUnitTest tests[] = {cmocka_unit_test(a_sync_call_and_a_thread_that_yield_for_ever)};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	stepped_release();
	return failed;
}
