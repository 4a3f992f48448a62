// Waiting of host functions: parks, wakes, deadlines, kills; with and without a fiber.
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "seam/seam.h"

static struct loop *loop;
static struct vm_shard *shard;

struct job {
	struct seam_task task;
	struct seam_park park;
	struct loop_timer timer;
	struct loop_task later;
	enum seam_result result;
	bool timed_out, returned, done;
	uint64_t deadline;
};

static void wait_once(void *arg)
{
	struct job *j = arg;
	struct seam_call c = {.task = &j->task};
	j->result = seam_park_until(&c, &j->park, j->deadline, &j->timed_out);
	j->returned = true;
}

static void on_done(struct seam_task *t)
{
	CONTAINER_OF(t, struct job, task)->done = true;
}

static void begin(struct job *j, uint64_t deadline)
{
	*j = (struct job){.deadline = deadline};
	seam_task_init(&j->task, loop, shard, NULL);
	seam_park_init(&j->park);
}

static void run(struct job *j)
{
	assert_true(seam_task_run(&j->task, wait_once, j, VM_BUDGET_NONE, on_done));
}

static void finish(struct job *j)
{
	for (int i = 0; i < 1000 && !j->done; i++)
		loop_run_once(loop, 1000000);
	assert_true(j->done);
}

static void a_wake_is_taken_from_the_ready_queue_only(void **s)
{
	struct job j;
	begin(&j, UINT64_MAX);
	run(&j);
	assert_false(j.returned);
	seam_wake(&j.park);
	seam_wake(&j.park);
	assert_false(j.returned);
	finish(&j);
	assert_int_equal(j.result, SEAM_OK);
	assert_false(j.timed_out);
}

static void a_wake_before_the_park_is_not_lost(void **s)
{
	struct job j;
	begin(&j, UINT64_MAX);
	seam_wake(&j.park);
	run(&j);
	assert_true(j.done);
	assert_int_equal(j.result, SEAM_OK);
}

static void a_deadline_ends_the_wait(void **s)
{
	struct job j;
	begin(&j, loop_now_fresh_ns(loop) + 5000000);
	run(&j);
	assert_false(j.returned);
	finish(&j);
	assert_true(j.timed_out);
	assert_int_equal(j.result, SEAM_OK);
	assert_true(j.task.wait_ns >= 4000000);
}

static void a_killed_call_returns_and_stays_killed(void **s)
{
	struct job j;
	begin(&j, UINT64_MAX);
	run(&j);
	seam_task_kill(&j.task, TRAP_DEADLINE);
	seam_wake(&j.park);
	finish(&j);
	assert_int_equal(j.result, SEAM_KILLED);
	assert_int_equal(j.task.kill_trap, TRAP_DEADLINE);
	struct seam_park again;
	seam_park_init(&again);
	struct seam_call c = {.task = &j.task};
	assert_int_equal(seam_park(&c, &again), SEAM_KILLED);
}

static void wake_later(struct loop_task *t)
{
	seam_wake(&CONTAINER_OF(t, struct job, later)->park);
}

static void without_a_fiber_the_loop_runs_meanwhile(void **s)
{
	struct job j;
	begin(&j, UINT64_MAX);
	j.later.fn = wake_later;
	loop_post(loop, &j.later);
	wait_once(&j);
	assert_true(j.returned);
	assert_int_equal(j.result, SEAM_OK);
}

static void many_tasks_wait_at_once(void **s)
{
	enum { N = 50 };
	static struct job jobs[N];
	for (int i = 0; i < N; i++) {
		begin(&jobs[i], UINT64_MAX);
		run(&jobs[i]);
	}
	for (int i = N; i-- > 0;)
		seam_wake(&jobs[i].park);
	for (int i = 0; i < N; i++)
		finish(&jobs[i]);
}

static struct job *first_to_end;
static void yield_and_end(void *arg)
{
	for (int i = 0; i < 3; i++)
		vm_fiber_yield(shard);
	if (!first_to_end)
		first_to_end = arg;
}

static void end_at_once(void *arg)
{
	if (!first_to_end)
		first_to_end = arg;
	((struct job *)arg)->returned = true;
}

static void who_yields_holds_the_instance_and_others_wait_behind(void **s)
{
	struct seam_instance instance, another;
	struct job a, b, c;
	seam_instance_init(&instance, loop, NULL, NULL);
	seam_instance_init(&another, loop, NULL, NULL);
	begin(&a, UINT64_MAX);
	begin(&b, UINT64_MAX);
	begin(&c, UINT64_MAX);
	a.task.instance = b.task.instance = &instance;
	c.task.instance = &another;
	first_to_end = NULL;
	assert_true(seam_task_run(&a.task, yield_and_end, &a, VM_BUDGET_NONE, on_done));
	assert_true(seam_task_run(&b.task, end_at_once, &b, VM_BUDGET_NONE, on_done));
	assert_false(b.returned);
	assert_true(seam_task_run(&c.task, wait_once, &c, VM_BUDGET_NONE, on_done));
	seam_wake(&c.park);
	finish(&c);
	finish(&a);
	finish(&b);
	assert_ptr_equal(first_to_end, &a);
	// One that is killed while it waits behind another ends when it may.
	begin(&a, UINT64_MAX);
	begin(&b, UINT64_MAX);
	a.task.instance = b.task.instance = &instance;
	assert_true(seam_task_run(&a.task, yield_and_end, &a, VM_BUDGET_NONE, on_done));
	assert_true(seam_task_run(&b.task, wait_once, &b, VM_BUDGET_NONE, on_done));
	seam_task_kill(&b.task, TRAP_DEADLINE);
	seam_task_kill(&a.task, TRAP_DEADLINE);
	finish(&a);
	finish(&b);
	assert_int_equal(b.result, SEAM_KILLED);
	assert_null(instance.holder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wake_is_taken_from_the_ready_queue_only),
		cmocka_unit_test(a_wake_before_the_park_is_not_lost),
		cmocka_unit_test(a_deadline_ends_the_wait),
		cmocka_unit_test(a_killed_call_returns_and_stays_killed),
		cmocka_unit_test(without_a_fiber_the_loop_runs_meanwhile),
		cmocka_unit_test(many_tasks_wait_at_once),
		cmocka_unit_test(who_yields_holds_the_instance_and_others_wait_behind),
	};
	struct err e = {0};
	if (!vm_process_init(&e) || !loop_new(&loop, &e) || !vm_shard_new(&shard, &e)) {
		print_error("%s\n", e.text);
		return 1;
	}
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	vm_shard_free(shard);
	loop_free(loop);
	return failed;
}
