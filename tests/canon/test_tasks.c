// Several tasks in one instance: parked in a host function and resumed in any order, killed, and ended when another of them traps. The guest has no shadow
// stack, so that its calls may interleave.
// PROGRAM(test_tasks, "canon tier cmocka", "")
#include "subject.h"

enum { TASKS = 1000, PARKS = 3 };

static struct subject subject;
static struct vm_shard *shard_of_tasks;

struct one {
	struct canon_task task;
	struct vm_fiber *fiber;
	struct subject_call call;
	uint64_t id;
	unsigned parks;  // that it has been through
	bool done;
};
static struct one *ones;
static bool starting;

// Parks a few times; what is a task's stays with it.
static enum trap h(struct canon_task *t, struct canon_instance *i, void *data UNUSED, const void *args UNUSED, void *ret)
{
	memset(ret, 0, 4);
	if (starting)
		return TRAP_NONE;
	struct one *o = CONTAINER_OF(t, struct one, task);
	struct abi_exec *exec = vm_shard_exec(shard_of_tasks);
	void *mine = arena_zalloc(&t->arena, 300, 8);
	assert_non_null(mine);
	for (; o->parks < PARKS; o->parks++) {
		exec->context[0] = o->id;
		exec->context[1] = ~o->id;
		memset(mine, (int)o->id, 300);
		if (vm_fiber_park(shard_of_tasks) == VM_KILLED)
			return vm_fiber_kill_reason(o->fiber);
		assert_ptr_equal(exec->task, t);
		assert_ptr_equal(t->instance, i);
		assert_int_equal(exec->context[0], o->id);
		assert_int_equal(exec->context[1], ~o->id);
		assert_int_equal(((uint8_t *)mine)[299], (uint8_t)o->id);
	}
	return TRAP_NONE;
}
static const struct canon_host_func host_funcs[] = {{.fn = h}};
static const struct canon_host host = {.funcs = host_funcs, .n_funcs = 1};

static void run(void *arg)
{
	struct one *o = arg;
	const struct comp_export_func *f = subject_func(&subject, "go");
	o->call.ok = canon_call_export(o->call.i, f, &o->task, NULL, &o->call.result, NULL, &o->call.trap);
	o->done = true;
}

static struct canon_instance *slot(struct canon_image **ret)
{
	struct canon_instance *i = NULL;
	struct canon_trap trap;
	struct err e = {0};
	starting = true;
	if (!canon_image_new(shard_of_tasks, subject.l.canon, &host, NULL, CANON_INIT_ONCE, NULL, NULL, ret, &trap, &e) ||
		!canon_slot_new(shard_of_tasks, *ret, NULL, &i, &e))
		fail_msg("%s %s", e.text, trap.text);
	assert_true(canon_slot_is_ready(i) || canon_slot_start(i, NULL, &trap));
	starting = false;
	return i;
}

static void begin(struct canon_instance *i)
{
	ones = mem_zalloc(TASKS * sizeof *ones);
	for (uint64_t k = 0; k < TASKS; k++) {
		struct one *o = &ones[k];
		o->id = k + 1;
		o->call.i = i;
		o->fiber = vm_fiber_new(shard_of_tasks, run, o);
		assert_non_null(o->fiber);
		assert_int_equal(vm_fiber_resume(o->fiber, VM_RESUMED), VM_FIBER_PARKED);
	}
}

// In random order, until all have ended; `each` may change things before a turn.
static void play(uint32_t seed, enum vm_wake (*how)(struct one *o))
{
	uint32_t order[TASKS], n = TASKS;
	for (uint32_t k = 0; k < n; k++)
		order[k] = k;
	while (n) {
		seed = seed * 1664525 + 1013904223;
		uint32_t k = (seed >> 8) % n;
		struct one *o = &ones[order[k]];
		if (vm_fiber_resume(o->fiber, how ? how(o) : VM_RESUMED) == VM_FIBER_PARKED)
			continue;
		assert_true(o->done);
		vm_fiber_free(o->fiber);
		order[k] = order[--n];
	}
}

static void a_thousand_are_resumed_in_random_order(void **s)
{
	struct canon_image *m;
	struct canon_instance *i = slot(&m);
	assert_int_equal(subject_call(&subject, i, "set", AT_GO, DO_CALL_HOST, NULL), TRAP_NONE);
	for (uint32_t round = 0; round < 2; round++) {
		begin(i);
		play(round + 1, NULL);
		for (int k = 0; k < TASKS; k++)
			assert_true(ones[k].call.ok && ones[k].call.result == 7 && ones[k].parks == PARKS);
		mem_free(ones);
	}
	assert_true(canon_slot_reset(i));
	canon_instance_free(i);
	canon_image_free(m);
}

static unsigned n_resumed;
static enum vm_wake kill_one(struct one *o)
{
	if (++n_resumed != TASKS)
		return VM_RESUMED;
	vm_fiber_kill(o->fiber, TRAP_DEADLINE);
	return VM_KILLED;
}

static void when_one_is_ended_the_others_end_as_well(void **s)
{
	struct canon_image *m;
	struct canon_instance *i = slot(&m);
	unsigned ok = 0, killed = 0, poisoned = 0;
	assert_int_equal(subject_call(&subject, i, "set", AT_GO, DO_CALL_HOST, NULL), TRAP_NONE);
	begin(i);
	n_resumed = 0;
	play(3, kill_one);
	for (int k = 0; k < TASKS; k++) {
		ok += ones[k].call.ok;
		killed += !ones[k].call.ok && ones[k].call.trap.trap == TRAP_DEADLINE;
		poisoned += !ones[k].call.ok && ones[k].call.trap.trap == TRAP_POISONED;
		assert_true(ones[k].call.ok || ones[k].call.trap.text[0]);
	}
	assert_int_equal(killed, 1);
	assert_int_equal(ok + poisoned, TASKS - 1);
	assert_true(poisoned > 0);
	mem_free(ones);
	assert_false(canon_slot_reset(i));
	canon_instance_free(i);
	canon_image_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thousand_are_resumed_in_random_order),
		cmocka_unit_test(when_one_is_ended_the_others_end_as_well),
	};
	struct err e = {0};
	if (!vm_process_init(&e) || !vm_shard_new(&shard_of_tasks, &e) || !subject_try(&subject, SUBJECT, &e)) {
		print_error("%s\n", e.text);
		return 1;
	}
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	subject_release(&subject);
	vm_shard_free(shard_of_tasks);
	return failed;
}
