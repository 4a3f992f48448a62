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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wake_is_taken_from_the_ready_queue_only),
		cmocka_unit_test(a_wake_before_the_park_is_not_lost),
		cmocka_unit_test(a_deadline_ends_the_wait),
		cmocka_unit_test(a_killed_call_returns_and_stays_killed),
		cmocka_unit_test(without_a_fiber_the_loop_runs_meanwhile),
		cmocka_unit_test(many_tasks_wait_at_once),
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
