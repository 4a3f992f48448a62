// Several tasks that wait for events of one waitable set: whoever is woken by an event and does not take it leaves it to another, and who ends leaves the list.
// The guest is the fuzzer's (fuzz/async_guest.c): a script says each step of each task.
// PROGRAM(test_waiters, "canon tier cmocka", "../../fuzz/async_guest.c")
#include "async_state.h"
#include "stepped.h"

enum { CALLER = 2, TASKS = 4, MOST = 9 };  // CALLER: the component instance of the script's first row; the callees' is 1
enum { READABLE = 0, F_READABLE = 2, SUBTASK = 5 };
enum way { SYNC, CALLBACK, STACKFUL, WAYS };

#define STEP(op, a, b) ((op) | (uint32_t)(a) << 8 | (uint32_t)(b) << 16)
#define JOIN(kind, cell, set) STEP(GUEST_JOIN, cell, (kind) | (set) << 3)
#define END(how, a) ((uint32_t)(how) << 24 | (uint32_t)(a) << 8)
#define ENDS_CANCELLED ((uint32_t)GUEST_ENDS << 24 | 1)
#define KILLED 0x80000000u  // the thread's time is over when it gets this step

// By task, in the order of their beginning, the caller first.
static const uint32_t (*script)[MOST];
static const struct canon__async_task *tasks[TASKS];
static unsigned at[TASKS];

static unsigned task_of(const struct canon_task *t)
{
	if (t->scope->component == CALLER)
		return 0;
	for (unsigned k = 1; k < TASKS; k++) {
		if (!tasks[k])
			tasks[k] = t->scope->of;
		if (tasks[k] == t->scope->of)
			return k;
	}
	fail_msg("one task more");
	return 0;
}

static enum trap next(struct canon_task *t, struct canon_instance *i UNUSED, void *data UNUSED, const void *args UNUSED, void *ret)
{
	unsigned k = task_of(t);
	uint32_t step = at[k] < MOST ? script[k][at[k]++] : 0;
	if (step & KILLED) {
		vm_fiber_kill(CONTAINER_OF(t, struct canon__thread, task)->fiber, TRAP_DEADLINE);
		assert_int_equal(vm_fiber_yield(shard), VM_KILLED);  // as a host function that works long hears of it, and returns
	}
	*(uint32_t *)ret = step ? step & ~KILLED : END(GUEST_ENDS, 0);
	return TRAP_NONE;
}

static void run(void *arg)
{
	struct one *o = arg;
	uint32_t args[2] = {0}, ret = 0;
	o->ok = canon_call_export_whole(instance, subject_func(&subject, "a1"), &o->task, args, &ret, NULL, NULL, &o->trap);
}

static void play(const uint32_t (*s)[MOST], enum trap end)
{
	struct one o = {0};
	script = s;
	memset(tasks, 0, sizeof tasks);
	memset(at, 0, sizeof at);
	struct vm_fiber *f = stepped_begin(run, &o);
	while (vm_fiber_resume(f, VM_RESUMED) == VM_FIBER_PREEMPTED)
		;
	assert_int_equal(vm_fiber_state(f), VM_FIBER_DONE);
	vm_fiber_free(f);
	if (o.trap.trap != end)
		fail_msg("%s", o.trap.text);
	assert_int_equal(o.ok, end == TRAP_NONE);
	for (unsigned k = 0; k < TASKS && s[k][0]; k++)
		assert_true(at[k] == MOST || !s[k][at[k]]);  // it was played to its end
	state_check(instance);
	canon_instance_free(instance);
}

// The first of two that wait is woken by an event, and cancelled before it has it: the other has it then.
static void an_event_whose_waiter_is_cancelled_is_anothers(void **state UNUSED)
{
	static const uint32_t s[TASKS][MOST] = {
		{STEP(GUEST_CALL_A, 0, 0), STEP(GUEST_CALL_A, 1, 0), STEP(GUEST_CALL_A, 2, 0), STEP(GUEST_SUB_CANCEL, 0, 0), STEP(GUEST_SET_NEW, 0, 0), JOIN(SUBTASK, 1, 0),
			STEP(GUEST_WAIT, 0, 0)},
		{STEP(GUEST_SET_NEW, 0, 0), STEP(GUEST_STREAM_NEW, 0, 0), STEP(GUEST_READ, 0, 8), JOIN(READABLE, 0, 0), END(GUEST_ENDS_WAITING, 0), ENDS_CANCELLED},
		{END(GUEST_ENDS_WAITING, 0), END(GUEST_ENDS, 0)},
		{STEP(GUEST_WRITE, 0, 8), END(GUEST_ENDS, 0)},
	};
	play(s, TRAP_NONE);
}

// The first is woken and may not go on, since a task that waits for the second holds its component instance. The first gets another event when that has left.
static void an_event_whose_waiter_may_not_go_on_is_anothers(void **state UNUSED)
{
	static const uint32_t s[TASKS][MOST] = {
		{STEP(GUEST_CALL_A, 0, 0), STEP(GUEST_CALL_T, 1, 0), STEP(GUEST_CALL_A, 2, 0)},
		{STEP(GUEST_SET_NEW, 0, 0), STEP(GUEST_STREAM_NEW, 0, 0), STEP(GUEST_READ, 0, 8), JOIN(READABLE, 0, 0), END(GUEST_ENDS_WAITING, 0), END(GUEST_ENDS, 0)},
		{STEP(GUEST_WAIT, 0, 0), STEP(GUEST_FUTURE_WRITE, 0, 0), END(GUEST_ENDS, 0)},
		{STEP(GUEST_SET_NEW, 0, 0), STEP(GUEST_FUTURE_NEW, 0, 0), STEP(GUEST_FUTURE_READ, 0, 0), JOIN(F_READABLE, 0, 1), STEP(GUEST_WRITE, 0, 8), STEP(GUEST_WAIT, 1, 0),
			STEP(GUEST_READ, 0, 8), STEP(GUEST_WRITE, 0, 8)},
	};
	play(s, TRAP_NONE);
}

// Whose time is over when it begins to wait is told so at once, and waits for nothing any more.
static void who_is_killed_before_it_waits_is_in_no_list(void **state UNUSED)
{
	static const uint32_t s[TASKS][MOST] = {
		{STEP(GUEST_CALL_A, 0, 0), STEP(GUEST_CALL_T, 1, 0)},
		{STEP(GUEST_SET_NEW, 0, 0), STEP(GUEST_STREAM_NEW, 0, 0), STEP(GUEST_READ, 0, 8), JOIN(READABLE, 0, 0), END(GUEST_ENDS_WAITING, 0)},
		{STEP(GUEST_WAIT, 0, 0) | KILLED},
	};
	play(s, TRAP_DEADLINE);
}

int main(void)
{
	// Of instance 0 a has a callback, t is stackful; of the others all have callbacks.
	static const uint8_t key[9] = {CALLBACK + WAYS * CALLBACK + WAYS * WAYS * STACKFUL, 0, 0, CALLBACK * (1 + WAYS + WAYS * WAYS), 0, 0,
		CALLBACK * (1 + WAYS + WAYS * WAYS), 0, 0};
	if (!stepped_new(key))
		return 1;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_event_whose_waiter_is_cancelled_is_anothers),
		cmocka_unit_test(an_event_whose_waiter_may_not_go_on_is_anothers),
		cmocka_unit_test(who_is_killed_before_it_waits_is_in_no_list),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	stepped_release();
	return failed;
}
