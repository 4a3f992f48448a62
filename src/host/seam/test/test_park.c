// Waiting of host functions: parks, wakes, deadlines, kills; with and without a fiber.
#include <setjmp.h>
#include <stdarg.h>
#include <time.h>

#include <cmocka.h>

#include "seam/seam.h"
#include "sys/sys.h"

static struct loop *loop;
static struct vm_shard *shard;
static struct seam_tasks *tasks;

struct job {
	struct seam_task *task;
	struct seam_park park;
	struct loop_timer timer;
	struct loop_job later;
	enum seam_result result;
	bool timed_out, returned, done;
	bool by_guest;  // who set the deadline
	uint64_t deadline;
	// Once it has ended.
	uint64_t wait_ns, cpu_ns;
	enum trap kill_trap;
	uint32_t n_calls;
};

static void wait_once(void *arg)
{
	struct job *j = arg;
	struct seam_call c = {.task = j->task, .thread = &j->task->canon};
	if (j->by_guest)
		j->result = seam_wait_until(&c, &j->park, j->deadline);
	else
		j->result = seam_park_until(&c, &j->park, j->deadline, &j->timed_out);
	j->returned = true;
}

static void on_done(struct seam_task *t)
{
	((struct job *)t->owner)->done = true;
}

static void begin(struct job *j, uint64_t deadline)
{
	*j = (struct job){.deadline = deadline};
	j->task = seam_task_new(tasks, NULL);
	j->task->owner = j;
	seam_park_init(&j->park);
}

static void run(struct job *j)
{
	assert_true(seam_task_run(j->task, wait_once, j, VM_BUDGET_NONE, on_done));
}

static void finish(struct job *j)
{
	for (int i = 0; i < 1000 && !j->done; i++)
		loop_run_once(loop, 1000000);
	assert_true(j->done);
	j->wait_ns = j->task->wait_ns;
	j->cpu_ns = j->task->cpu_ns;
	j->kill_trap = j->task->kill_trap;
	j->n_calls = j->task->n_calls;
	seam_task_free(j->task);
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
	finish(&j);
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
	assert_true(j.wait_ns >= 4000000);
}

static void take_a_moment(struct loop_io *io, uint32_t ready)
{
	nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
}

// n that wait for the same time of theirs: what they came to together.
static uint64_t waited(uint32_t n, bool by_guest)
{
	struct job jobs[8];
	uint64_t at = loop_now_fresh_ns(loop) + 5 * MILLISECOND, cpu_ns = 0;
	for (uint32_t i = 0; i < n; i++) {
		begin(&jobs[i], at);
		jobs[i].by_guest = by_guest;
		run(&jobs[i]);
	}
	for (uint32_t i = 0; i < n; i++) {
		finish(&jobs[i]);
		cpu_ns += jobs[i].cpu_ns;
	}
	return cpu_ns;
}

// Each is the least of some: what else a turn takes is what it takes on this machine now.
static uint64_t waited_least(uint32_t n, bool by_guest)
{
	uint64_t least = UINT64_MAX;
	for (int i = 0; i < 20; i++)
		least = min_u64(least, waited(n, by_guest));
	return least;
}

static void a_wake_of_the_thread_for_a_time_of_the_guests_is_on_its_budget_once(void **s)
{
	enum { PRICE = 25000 };
	uint64_t one = waited_least(1, true), hosts = waited_least(1, false);
	assert_true(one >= PRICE && hosts < PRICE);
	// The first of eight pays; a price for each would be eight.
	uint64_t eight = UINT64_MAX, hosts_eight = UINT64_MAX;
	for (int tries = 0; tries < 20 && (tries == 0 || eight >= hosts_eight + 4 * PRICE); tries++) {
		eight = min_u64(eight, waited_least(8, true));
		hosts_eight = min_u64(hosts_eight, waited_least(8, false));
	}
	assert_true(eight >= PRICE && eight < hosts_eight + 4 * PRICE);
}

static void a_thread_that_is_awake_anyway_costs_nothing(void **s)
{
	struct loop_io io;
	struct err e = {0};
	int fd = sys_eventfd();
	sys_eventfd_signal(fd);
	assert_true(loop_io_open(loop, &io, fd, LOOP_READ, take_a_moment, &e));  // ready, always
	uint64_t least = waited_least(1, true);
	loop_io_close(&io, false);
	sys_close(fd);
	assert_true(least < 25000);
}

// What is bought by waiting alone ends at the budget, while it waits.
static void wait_for_ever(void *arg)
{
	struct job *j = arg;
	struct seam_call c = {.task = j->task, .thread = &j->task->canon};
	do {
		seam_park_init(&j->park);
		j->result = seam_wait_until(&c, &j->park, sys_now_ns() + MILLISECOND);
		j->n_calls++;
	} while (j->result == SEAM_OK);
}

static void who_only_waits_ends_at_the_budget(void **s)
{
	struct job j;
	begin(&j, 0);
	assert_true(seam_task_run(j.task, wait_for_ever, &j, (struct vm_budget){.cpu_ns = MILLISECOND, .deadline_ns = UINT64_MAX}, on_done));
	for (int i = 0; i < 10000 && !j.done; i++)
		loop_run_once(loop, UINT64_MAX);
	assert_true(j.done);
	assert_int_equal(j.result, SEAM_KILLED);
	assert_int_equal(j.task->kill_trap, TRAP_CPU_BUDGET);
	assert_true(j.n_calls <= MILLISECOND / 25000 + 1);
	seam_task_free(j.task);
}

static void a_killed_call_returns_and_stays_killed(void **s)
{
	struct job j;
	begin(&j, UINT64_MAX);
	run(&j);
	seam_task_kill(j.task, TRAP_DEADLINE);
	seam_wake(&j.park);
	for (int i = 0; i < 1000 && !j.done; i++)
		loop_run_once(loop, 1000000);
	assert_int_equal(j.result, SEAM_KILLED);
	assert_int_equal(j.task->kill_trap, TRAP_DEADLINE);
	struct seam_park again;
	seam_park_init(&again);
	struct seam_call c = {.task = j.task, .thread = &j.task->canon};
	assert_int_equal(seam_park(&c, &again), SEAM_KILLED);
	seam_task_free(j.task);
}

static void wake_later(struct loop_job *t)
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
	seam_task_free(j.task);
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
	a.task->instance = b.task->instance = &instance;
	c.task->instance = &another;
	first_to_end = NULL;
	assert_true(seam_task_run(a.task, yield_and_end, &a, VM_BUDGET_NONE, on_done));
	assert_true(seam_task_run(b.task, end_at_once, &b, VM_BUDGET_NONE, on_done));
	assert_false(b.returned);
	assert_true(seam_task_run(c.task, wait_once, &c, VM_BUDGET_NONE, on_done));
	seam_wake(&c.park);
	finish(&c);
	finish(&a);
	finish(&b);
	assert_ptr_equal(first_to_end, &a);
	// One that is killed while it waits behind another ends when it may.
	begin(&a, UINT64_MAX);
	begin(&b, UINT64_MAX);
	a.task->instance = b.task->instance = &instance;
	assert_true(seam_task_run(a.task, yield_and_end, &a, VM_BUDGET_NONE, on_done));
	assert_true(seam_task_run(b.task, wait_once, &b, VM_BUDGET_NONE, on_done));
	seam_task_kill(b.task, TRAP_DEADLINE);
	seam_task_kill(a.task, TRAP_DEADLINE);
	finish(&a);
	finish(&b);
	assert_int_equal(b.result, SEAM_KILLED);
	assert_null(instance.holder);
}

// ---- beyond the end ------------------------------------------------------------------------------------------------------------------

static void what_is_left_of_a_task_that_ended_reaches_nobody(void **s)
{
	struct job a, b;
	begin(&a, UINT64_MAX);
	struct seam_task *memory = a.task;
	struct seam_task_id id = a.task->id;
	assert_ptr_equal(seam_task_find(tasks, id), a.task);
	assert_true(seam_task_run(a.task, wait_once, &a, (struct vm_budget){UINT64_MAX, loop_now_fresh_ns(loop) + 20 * MILLISECOND}, on_done));
	struct seam_park left = a.park;  // as somebody would have it who was not told
	seam_wake(&a.park);
	finish(&a);
	assert_int_equal(a.result, SEAM_OK);
	assert_null(seam_task_find(tasks, id));
	assert_null(seam_task_find(tasks, (struct seam_task_id){0}));
	assert_null(seam_task_find(tasks, (struct seam_task_id){1000000, id.generation}));
	// Another has its memory now: neither the wake nor the deadline is that one's.
	begin(&b, UINT64_MAX);
	assert_ptr_equal(b.task, memory);
	assert_true(b.task->id.generation != id.generation);
	run(&b);
	b.task->parked = &left;  // so that only the generation tells them apart
	seam_wake(&left);
	b.task->parked = &b.park;
	uint64_t until = loop_now_fresh_ns(loop) + 40 * MILLISECOND;
	while (loop_now_fresh_ns(loop) < until)
		loop_run_once(loop, MILLISECOND);
	assert_null(seam_task_find(tasks, id));
	assert_false(b.returned);
	assert_false(b.task->killed);
	seam_wake(&b.park);
	finish(&b);
	assert_int_equal(b.result, SEAM_OK);
}

static struct job *late;
static void on_late(struct seam_task *t)
{
	late = t->owner;
}

static void a_deadline_ends_who_waits_or_is_only_told(void **s)
{
	struct job a;
	struct vm_budget soon = {UINT64_MAX, loop_now_fresh_ns(loop) + 5 * MILLISECOND};
	begin(&a, UINT64_MAX);
	assert_true(seam_task_run(a.task, wait_once, &a, soon, on_done));
	finish(&a);
	assert_int_equal(a.kill_trap, TRAP_DEADLINE);
	late = NULL;
	begin(&a, UINT64_MAX);
	a.task->on_late = on_late;
	soon.deadline_ns = loop_now_fresh_ns(loop) + 5 * MILLISECOND;
	assert_true(seam_task_run(a.task, wait_once, &a, soon, on_done));
	for (int i = 0; i < 1000 && !late; i++)
		loop_run_once(loop, MILLISECOND);
	assert_ptr_equal(late, &a);
	assert_false(a.returned);
	seam_task_set_budget(a.task, VM_BUDGET_NONE);
	seam_wake(&a.park);
	finish(&a);
	assert_int_equal(a.result, SEAM_OK);
}

// ---- parents -------------------------------------------------------------------------------------------------------------------------

static void begin_child(struct job *j, struct seam_task *parent)
{
	*j = (struct job){.deadline = UINT64_MAX};
	j->task = seam_task_new(tasks, parent);
	j->task->owner = j;
	seam_park_init(&j->park);
}

static void spin(void *arg)
{
	struct job *j = arg;
	do {
		while (!vm_work_is_due(shard))
			;
	} while (vm_fiber_yield(shard) != VM_KILLED);
	j->result = SEAM_KILLED;
	j->kill_trap = vm_fiber_kill_reason(j->task->fiber);
}

static void a_parent_is_done_when_its_children_are(void **s)
{
	struct job a, b, c;
	begin(&a, UINT64_MAX);
	a.task->request = &a;
	run(&a);
	begin_child(&b, a.task);
	begin_child(&c, b.task);
	assert_ptr_equal(c.task->request, &a);
	assert_ptr_equal(seam_task_root(c.task), a.task);
	run(&b);
	run(&c);
	c.task->n_calls = 3;
	seam_wake(&a.park);
	seam_wake(&b.park);
	for (int i = 0; i < 100 && !(a.returned && b.returned); i++)
		loop_run_once(loop, MILLISECOND);
	assert_true(a.returned && b.returned);
	assert_false(a.done || b.done);
	seam_wake(&c.park);
	finish(&c);
	finish(&b);
	finish(&a);
	assert_int_equal(a.n_calls, 3);
}

static void children_are_killed_with_their_parent(void **s)
{
	struct job a, b, c, d;
	begin(&a, UINT64_MAX);
	run(&a);
	begin_child(&b, a.task);
	begin_child(&c, b.task);
	begin_child(&d, a.task);
	run(&b);
	run(&c);
	run(&d);
	seam_task_kill(b.task, TRAP_KILLED);  // with its child, and nobody else
	assert_true(c.task->killed);
	assert_false(a.task->killed || d.task->killed);
	seam_task_kill(a.task, TRAP_DEADLINE);
	struct job *all[] = {&c, &b, &d, &a};
	for (unsigned i = 0; i < ARRAY_LEN(all); i++)
		finish(all[i]);
	assert_int_equal(c.kill_trap, TRAP_KILLED);
	assert_int_equal(d.kill_trap, TRAP_DEADLINE);
}

static void children_spend_the_budget_of_their_parent(void **s)
{
	struct job a, b, c;
	struct vm_budget little = {20 * MILLISECOND, UINT64_MAX};
	begin(&a, UINT64_MAX);
	assert_true(seam_task_run(a.task, wait_once, &a, little, on_done));
	begin_child(&b, a.task);
	begin_child(&c, a.task);
	assert_true(seam_task_run(b.task, spin, &b, VM_BUDGET_NONE, on_done));  // what a child is given is not what it may use
	assert_true(seam_task_run(c.task, spin, &c, VM_BUDGET_NONE, on_done));
	for (int i = 0; i < 100000 && !(b.done && c.done); i++)
		loop_run_once(loop, MILLISECOND);
	assert_int_equal(b.result, SEAM_KILLED);
	assert_int_equal(b.kill_trap, TRAP_CPU_BUDGET);
	assert_int_equal(c.kill_trap, TRAP_CPU_BUDGET);
	finish(&b);
	finish(&c);
	seam_wake(&a.park);
	finish(&a);
	assert_true(a.cpu_ns >= 20 * MILLISECOND);
}

// ---- a child that a host function of its parent runs ----------------------------------------------------------------------------------------

struct nested {
	struct job parent, child;
	void (*runs)(void *arg);
	bool at_once;  // it was over when seam_task_run returned
	enum seam_result looked;
};

static void compute_a_while(void *arg)
{
	struct job *j = arg;
	uint64_t from = sys_thread_cpu_ns();
	while (sys_thread_cpu_ns() - from < 300000)
		;
	j->returned = true;
}

static void call_child(void *arg)
{
	struct nested *n = arg;
	struct seam_call c = {.task = n->parent.task, .thread = &n->parent.task->canon};
	compute_a_while(&n->parent);
	begin_child(&n->child, n->parent.task);
	assert_true(seam_task_run(n->child.task, n->runs, &n->child, VM_BUDGET_NONE, on_done));
	n->at_once = n->child.done;
	if (!n->child.done)
		(void)seam_park_until(&c, &n->parent.park, UINT64_MAX, NULL);
	n->looked = seam_look(&c);
}

static void begin_nested(struct nested *n, void (*runs)(void *arg), struct vm_budget budget)
{
	*n = (struct nested){.runs = runs};
	begin(&n->parent, UINT64_MAX);
	assert_true(seam_task_run(n->parent.task, call_child, n, budget, on_done));
}

static void a_child_runs_on_its_parents_turn(void **s)
{
	struct nested n;
	begin_nested(&n, compute_a_while, VM_BUDGET_NONE);
	for (int i = 0; i < 100 && !n.parent.done; i++)
		loop_run_once(loop, MILLISECOND);
	assert_true(n.at_once && n.child.returned);
	assert_int_equal(n.looked, SEAM_OK);
	finish(&n.child);
	finish(&n.parent);
	assert_int_equal(n.parent.wait_ns, 0);
	// Each has spent its own, and the parent the child's too.
	assert_true(n.child.cpu_ns >= 250000 && n.parent.cpu_ns >= n.child.cpu_ns + 250000);
}

static void a_child_that_waits_goes_on_from_the_loop(void **s)
{
	struct nested n;
	begin_nested(&n, wait_once, VM_BUDGET_NONE);
	assert_false(n.at_once || n.parent.done || n.child.returned);
	seam_wake(&n.child.park);
	for (int i = 0; i < 100 && !n.child.done; i++)
		loop_run_once(loop, MILLISECOND);
	assert_true(n.child.done && !n.parent.done);
	finish(&n.child);
	seam_wake(&n.parent.park);
	finish(&n.parent);
	assert_int_equal(n.looked, SEAM_OK);
}

static void what_a_child_has_spent_ends_its_parent_at_once(void **s)
{
	struct nested n;
	begin_nested(&n, spin, (struct vm_budget){5 * MILLISECOND, UINT64_MAX});
	for (int i = 0; i < 100000 && !n.child.done; i++)
		loop_run_once(loop, MILLISECOND);
	assert_int_equal(n.child.kill_trap, TRAP_CPU_BUDGET);
	finish(&n.child);
	seam_wake(&n.parent.park);
	finish(&n.parent);
	assert_int_equal(n.looked, SEAM_KILLED);
	assert_int_equal(n.parent.kill_trap, TRAP_CPU_BUDGET);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wake_is_taken_from_the_ready_queue_only),
		cmocka_unit_test(a_wake_before_the_park_is_not_lost),
		cmocka_unit_test(a_deadline_ends_the_wait),
		cmocka_unit_test(a_wake_of_the_thread_for_a_time_of_the_guests_is_on_its_budget_once),
		cmocka_unit_test(a_thread_that_is_awake_anyway_costs_nothing),
		cmocka_unit_test(who_only_waits_ends_at_the_budget),
		cmocka_unit_test(a_killed_call_returns_and_stays_killed),
		cmocka_unit_test(without_a_fiber_the_loop_runs_meanwhile),
		cmocka_unit_test(many_tasks_wait_at_once),
		cmocka_unit_test(who_yields_holds_the_instance_and_others_wait_behind),
		cmocka_unit_test(what_is_left_of_a_task_that_ended_reaches_nobody),
		cmocka_unit_test(a_deadline_ends_who_waits_or_is_only_told),
		cmocka_unit_test(a_parent_is_done_when_its_children_are),
		cmocka_unit_test(children_are_killed_with_their_parent),
		cmocka_unit_test(children_spend_the_budget_of_their_parent),
		cmocka_unit_test(a_child_runs_on_its_parents_turn),
		cmocka_unit_test(a_child_that_waits_goes_on_from_the_loop),
		cmocka_unit_test(what_a_child_has_spent_ends_its_parent_at_once),
	};
	struct err e = {0};
	if (!vm_process_init(&e) || !loop_new(&loop, &e) || !vm_shard_new(&shard, &e) || !seam_tasks_new(loop, shard, &tasks, &e)) {
		print_error("%s\n", e.text);
		return 1;
	}
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	seam_tasks_free(tasks);
	vm_shard_free(shard);
	loop_free(loop);
	return failed;
}
