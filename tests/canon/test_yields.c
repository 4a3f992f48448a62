// A sync-typed call that yields for ever beside a thread that does: whoever runs them gets his turns, and ends them. The guest is the fuzzer's.
// PROGRAM(test_yields, "canon tier cmocka", "../../fuzz/async_guest.c")
#include "../../fuzz/async_guest.h"
#include "subject.h"

static struct vm_shard *shard;
static struct subject subject;
static struct canon_instance *instance;
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

static enum trap never(struct canon_task *t, struct canon_instance *i UNUSED, void *data UNUSED, const void *args UNUSED, void *ret UNUSED)
{
	return canon_task_trap(t, "nobody calls it");
}
static const struct canon_host_func host_funcs[] = {{.fn = next}, {.fn = never}, {.fn = never}, {.fn = never}, {.fn = never}, {.fn = never}};
static const struct canon_host host = {.funcs = host_funcs, .n_funcs = ARRAY_LEN(host_funcs)};

struct one {
	struct canon_task task;
	struct canon_trap trap;
	bool ok;
};

static void run(void *arg)
{
	struct one *o = arg;
	uint32_t a = 0, ret;
	o->ok = canon_call_export(instance, subject_func(&subject, "y1"), &o->task, &a, &ret, NULL, &o->trap);
}

static void a_sync_call_and_a_thread_that_yield_for_ever(void **state UNUSED)
{
	struct one o = {0};
	struct canon_trap trap;
	struct err e = {0};
	assert_true(canon_instance_new(shard, subject.l.canon, &host, NULL, NULL, &instance, &e));
	assert_true(canon_instance_initialize(instance, 0, canon_component_steps(subject.l.canon), NULL, &trap));
	struct vm_fiber *f = vm_fiber_new(shard, run, &o);
	assert_non_null(f);
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
	struct bytes in = {key, key + sizeof key};
	struct buf text = {0};
	struct err e = {0};
	if (!vm_process_init(&e) || !vm_shard_new(&shard, &e))
		return 1;
	generate_async_component(&in, &text);
	if (!subject_try(&subject, (const char *)text.ptr, &e))
		return 1;
	buf_release(&text);
	const struct CMUnitTest tests[] = {cmocka_unit_test(a_sync_call_and_a_thread_that_yield_for_ever)};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	subject_release(&subject);
	vm_shard_free(shard);
	return failed;
}
