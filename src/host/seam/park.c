// Tasks and their waiting. Rules of the game:
//
// 1. A fiber of a task is resumed by take_turn and by seam_task_run's first turn only, on the loop's stack: never by a provider's callback.
// 2. t->parked is set while, and only while, its fiber is parked in seam_park; whoever wakes or kills posts t->turn.
// 3. Of the tasks in one instance one may hold it: it was preempted, or yielded in the host's work. Others that are to run wait behind it until it parks or
//    ends (nobody but resume changes that).
// 4. A task without a fiber waits by running the loop; that nests, so only `run`, instantiation and tests do it.
#include "seam.h"

void seam_task_init(struct seam_task *t, struct loop *loop, struct vm_shard *shard, void *request)
{
	*t = (struct seam_task){.loop = loop, .shard = shard, .request = request};
}

static void take_turn(struct loop_task *turn);

// Another task holds the instance: this one's turn comes after it.
static bool waits_behind(struct seam_task *t)
{
	struct seam_instance *i = t->instance;
	if (!i || !i->holder || i->holder == t)
		return false;
	if (t->waits)
		return true;
	t->waits = true;
	t->behind = NULL;
	if (i->last_behind)
		i->last_behind->behind = t;
	else
		i->first_behind = t;
	i->last_behind = t;
	return true;
}

static void let_go(struct seam_instance *i)
{
	i->holder = NULL;
	for (struct seam_task *t = i->first_behind; t; t = t->behind) {
		t->waits = false;
		loop_post(t->loop, &t->turn);
	}
	i->first_behind = i->last_behind = NULL;
}

static void resume(struct seam_task *t)
{
	if (waits_behind(t))
		return;
	enum vm_fiber_state st = vm_fiber_resume(t->fiber, t->killed ? VM_KILLED : VM_RESUMED);
	if (st == VM_FIBER_PREEMPTED) {
		if (t->instance)
			t->instance->holder = t;
		loop_post_slow(t->loop, &t->turn);  // others first
		return;
	}
	if (t->instance && t->instance->holder == t)
		let_go(t->instance);
	if (st == VM_FIBER_DONE) {
		loop_task_cancel(&t->turn);
		vm_fiber_free(t->fiber);
		t->fiber = NULL;
		t->done(t);
	}
}

static void take_turn(struct loop_task *turn)
{
	struct seam_task *t = CONTAINER_OF(turn, struct seam_task, turn);
	if (t->fiber)
		resume(t);
}

bool seam_task_run(struct seam_task *t, void (*fn)(void *arg), void *arg, struct vm_budget budget, void (*done)(struct seam_task *t))
{
	t->fiber = vm_fiber_new(t->shard, fn, arg);
	if (!t->fiber)
		return false;
	vm_fiber_set_budget(t->fiber, budget);
	t->turn = (struct loop_task){.fn = take_turn};
	t->done = done;
	resume(t);
	return true;
}

void seam_task_kill(struct seam_task *t, enum trap trap)
{
	if (t->killed)
		return;
	t->killed = true;
	t->kill_trap = trap;
	if (!t->fiber)
		return;
	vm_fiber_kill(t->fiber, trap);
	enum vm_fiber_state st = vm_fiber_state(t->fiber);
	if (st == VM_FIBER_PARKED || st == VM_FIBER_PREEMPTED) {
		loop_task_cancel(&t->turn);
		loop_post(t->loop, &t->turn);
	}
}

// ---- to its end ----------------------------------------------------------------------------------------------------------------------

struct last_call {
	struct loop_timer timer;
	struct seam_task *task;
};

static void on_deadline(struct loop_timer *timer)
{
	seam_task_kill(CONTAINER_OF(timer, struct last_call, timer)->task, TRAP_DEADLINE);
}

static void on_end(struct seam_task *t)
{
}

// The watchdog of vm ends what computes; the timer here ends what waits.
bool seam_task_run_to_end(struct seam_task *t, void (*fn)(void *arg), void *arg, struct vm_budget budget, const bool *stop)
{
	struct last_call last = {.timer.fn = on_deadline, .task = t};
	loop_timer_set(t->loop, &last.timer, budget.deadline_ns);
	bool ok = seam_task_run(t, fn, arg, budget, on_end);
	while (ok && t->fiber) {
		if (stop && *stop)
			seam_task_kill(t, TRAP_KILLED);
		loop_run_once(t->loop, UINT64_MAX);
	}
	loop_timer_cancel(t->loop, &last.timer);
	return ok;
}

// ---- waiting -------------------------------------------------------------------------------------------------------------------------

void seam_park_init(struct seam_park *p)
{
	*p = (struct seam_park){0};
}

void seam_wake(struct seam_park *p)
{
	p->woken = true;
	if (p->task && p->task->fiber && p->task->parked == p)
		loop_post(p->task->loop, &p->task->turn);
}

enum seam_result seam_park(struct seam_call *c, struct seam_park *p)
{
	struct seam_task *t = c->task;
	uint64_t from = p->woken ? 0 : loop_now_fresh_ns(t->loop);
	p->task = t;
	t->parked = p;
	while (!p->woken && !t->killed) {
		if (!t->fiber)
			loop_run_once(t->loop, UINT64_MAX);
		else if (vm_fiber_park(t->shard) == VM_KILLED && !t->killed) {
			t->killed = true;  // by vm's own budget or deadline
			t->kill_trap = vm_fiber_kill_reason(t->fiber);
		}
	}
	t->parked = NULL;
	p->task = NULL;
	if (from)
		t->wait_ns += loop_now_fresh_ns(t->loop) - from;
	return t->killed ? SEAM_KILLED : SEAM_OK;
}

struct alarm {
	struct loop_timer timer;
	struct seam_park *park;
	bool rang;
};

static void ring(struct loop_timer *timer)
{
	struct alarm *a = CONTAINER_OF(timer, struct alarm, timer);
	a->rang = true;
	seam_wake(a->park);
}

enum seam_result seam_park_until(struct seam_call *c, struct seam_park *p, uint64_t deadline_ns, bool *ret_timed_out)
{
	struct alarm a = {.timer.fn = ring, .park = p};
	if (!p->woken && deadline_ns != UINT64_MAX)
		loop_timer_set(c->task->loop, &a.timer, deadline_ns);
	enum seam_result r = seam_park(c, p);
	loop_timer_cancel(c->task->loop, &a.timer);
	if (ret_timed_out)
		*ret_timed_out = a.rang;
	return r;
}
