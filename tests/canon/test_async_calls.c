// Async calls in one instance: a guest whose export calls an async host function and waits for it in its callback. Many at once, resumed in any order, killed, and
// ended by the end of another; and what a call leaves behind, which is nothing.
// PROGRAM(test_async_calls, "canon tier cmocka", "")
#include "caller.h"

enum { TASKS = 600, CALLS = 20000 };

static struct subject subject;
static struct vm_shard *shard;

struct one {
	struct canon_task task;  // a root
	struct vm_fiber *fiber;
	struct canon_instance *i;
	struct canon_task *waits;  // the thread that is parked in h
	unsigned parks;            // that are left
	uint32_t arg, result;
	struct canon_trap trap;
	bool woken, ok, done;
};
static uint64_t seed;

static uint32_t any(uint32_t n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % n;
}

static enum trap h(struct canon_task *t, struct canon_instance *i UNUSED, void *data UNUSED, const void *args, void *ret)
{
	struct one *o = CONTAINER_OF(canon_task_root(t), struct one, task);
	uint32_t a = *(const uint32_t *)args;
	assert_ptr_not_equal(t, &o->task);
	assert_ptr_equal(vm_shard_exec(shard)->task, t);
	for (; o->parks; o->parks--) {
		o->waits = t;
		bool ends = vm_fiber_park(shard) == VM_KILLED || canon_task_is_cancelled(t);
		o->waits = NULL;
		if (ends)
			return TRAP_KILLED;
		assert_ptr_equal(vm_shard_exec(shard)->task, t);
	}
	*(uint32_t *)ret = 3 * a + 1;
	return TRAP_NONE;
}

static void wake(struct canon_task *t)
{
	CONTAINER_OF(t, struct one, task)->woken = true;
}
static const struct canon_host_func host_funcs[] = {{.fn = h}};
static const struct canon_host host = {.funcs = host_funcs, .n_funcs = 1, .wake = wake};

static struct canon_instance *instance(void)
{
	struct canon_instance *i = NULL;
	struct canon_trap trap;
	struct err e = {0};
	assert_true(canon_instance_new(shard, subject.l.canon, &host, NULL, NULL, &i, &e));
	assert_true(canon_instance_initialize(i, 0, canon_component_steps(subject.l.canon), NULL, &trap));
	return i;
}

static void run(void *arg)
{
	struct one *o = arg;
	o->ok = canon_call_export(o->i, subject_func(&subject, "run"), &o->task, &o->arg, &o->result, NULL, &o->trap);
	o->done = true;
}

static void resume(struct one *o, enum vm_wake how)
{
	o->woken = false;
	if (vm_fiber_resume(o->fiber, how) == VM_FIBER_DONE) {
		vm_fiber_free(o->fiber);
		o->fiber = NULL;
	}
}

static void begin(struct one *o, struct canon_instance *i, uint32_t arg, unsigned parks)
{
	*o = (struct one){.i = i, .arg = arg, .parks = parks};
	o->fiber = vm_fiber_new(shard, run, o);
	assert_non_null(o->fiber);
	resume(o, VM_RESUMED);
}

// One of those that are under way goes on, if what it waits for may be there. false: none can.
static bool go_on(struct one *ones, unsigned n)
{
	unsigned from = any(n);
	for (unsigned k = 0; k < n; k++) {
		struct one *o = &ones[(from + k) % n];
		if (o->fiber && o->waits && !o->woken && any(2))
			canon_task_wake(o->waits);
		if (o->fiber && o->woken) {
			resume(o, VM_RESUMED);
			return true;
		}
	}
	for (unsigned k = 0; k < n; k++)
		if (ones[k].fiber && ones[k].waits) {
			canon_task_wake(ones[k].waits);
			return true;
		}
	return false;
}

static void many_are_resumed_in_random_order(void **state UNUSED)
{
	struct canon_instance *i = instance();
	struct one *ones = mem_zalloc(TASKS * sizeof *ones);
	uint64_t blocks = 0;
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned k = 0; k < TASKS; k++)
			begin(&ones[k], i, round * TASKS + k, any(4));
		while (go_on(ones, TASKS))
			;
		for (unsigned k = 0; k < TASKS; k++) {
			if (!ones[k].ok)
				fail_msg("call %u: %s", k, ones[k].trap.text);
			assert_int_equal(ones[k].result, 3 * (round * TASKS + k) + 1);
		}
		if (round)  // the first made the tables as large as they get
			assert_int_equal(canon_instance_pool(i)->blocks, blocks);
		blocks = canon_instance_pool(i)->blocks;
	}
	canon_instance_free(i);
	mem_free(ones);
}

static void calls_leave_nothing_behind(void **state UNUSED)
{
	struct canon_instance *i = instance();
	uint64_t blocks = 0, used = 0;
	for (unsigned k = 0; k < CALLS; k++) {
		struct one o;
		begin(&o, i, k, k % 3 == 0);
		while (o.fiber) {
			canon_task_wake(o.waits);
			assert_true(o.woken);
			resume(&o, VM_RESUMED);
		}
		assert_true(o.ok);
		assert_int_equal(o.result, 3 * k + 1);
		if (k == 100) {
			blocks = canon_instance_pool(i)->blocks;
			used = vm_store_memory_used(canon_instance_store(i));
		}
	}
	assert_int_equal(canon_instance_pool(i)->blocks, blocks);
	assert_int_equal(vm_store_memory_used(canon_instance_store(i)), used);
	canon_instance_free(i);
}

static void when_one_is_killed_all_end(void **state UNUSED)
{
	enum { SOME = 20 };
	for (unsigned round = 0; round < 50; round++) {
		struct canon_instance *i = instance();
		struct one ones[SOME];
		for (unsigned k = 0; k < SOME; k++)
			begin(&ones[k], i, k, 3);
		for (unsigned k = any(40); k > 0; k--)
			go_on(ones, SOME);
		struct one *victim = &ones[any(SOME)];
		bool was_done = victim->done;
		if (!was_done) {
			vm_fiber_kill(victim->fiber, TRAP_DEADLINE);
			resume(victim, VM_KILLED);
			assert_true(victim->done && !victim->ok);
			assert_int_equal(victim->trap.trap, TRAP_DEADLINE);
		}
		for (unsigned k = 0; k < SOME; k++)
			while (ones[k].fiber) {
				if (ones[k].waits)
					canon_task_wake(ones[k].waits);
				resume(&ones[k], VM_RESUMED);
			}
		for (unsigned k = 0; k < SOME; k++)
			assert_true(ones[k].done && (ones[k].ok || ones[k].trap.text[0]));
		canon_instance_free(i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_are_resumed_in_random_order),
		cmocka_unit_test(calls_leave_nothing_behind),
		cmocka_unit_test(when_one_is_killed_all_end),
	};
	struct err e = {0};
	if (!vm_process_init(&e) || !vm_shard_new(&shard, &e) || !subject_try(&subject, CALLER(IMPORTS_H, "00"), &e)) {
		print_error("%s at 0x%llx\n", e.text, (unsigned long long)e.offset);
		return 1;
	}
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	subject_release(&subject);
	vm_shard_free(shard);
	return failed;
}
