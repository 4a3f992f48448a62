// Waiting of host functions. A task without a fiber waits by running the loop; that nests, so only `run`, instantiation and tests do it.
#include "seam_int.h"

#include "sys/sys.h"

void seam_park_init(struct seam_park *p)
{
	*p = (struct seam_park){0};
}

// A thread may have outlived the task that it was begun by.
void seam_wake(struct seam_park *p)
{
	struct seam_task *t = p->tasks ? seam_task_find(p->tasks, p->task) : NULL;
	p->woken = true;
	if (p->thread)
		canon_task_wake(p->thread);
	else if (t && t->fiber && t->parked == p)
		loop_post(t->loop, &t->turn);
}

// canon_host.wake: a thread of the task can go on, and the task waits for its threads.
void seam__wake_task(struct canon_task *canon)
{
	struct seam_task *t = CONTAINER_OF(canon, struct seam_task, canon);
	if (t->fiber)
		loop_post(t->loop, &t->turn);
}

// Ended by vm's own budget or deadline.
static void note_end(struct seam_task *t, enum trap why)
{
	if (t->killed)
		return;
	t->killed = true;
	t->kill_trap = why;
}

// Of an async call: its own fiber waits, the task goes on with others of its threads, and may return before. It may be cancelled alone.
static enum seam_result park_thread(struct seam_call *c, struct seam_park *p)
{
	bool ended = false;
	p->thread = c->thread;
	while (!p->woken && !c->task->killed && !ended) {
		ended = vm_fiber_park(c->task->shard) == VM_KILLED;
		c->task = seam__task_of(c->task->of, c->thread);
		enum trap why = ended ? vm_fiber_kill_reason(vm_fiber_current(c->task->shard)) : TRAP_NONE;
		if (why == TRAP_DEADLINE || why == TRAP_CPU_BUDGET)
			note_end(c->task, why);
		ended |= canon_task_is_cancelled(c->thread);
	}
	p->thread = NULL;
	p->tasks = NULL;
	return c->task->killed || ended ? SEAM_KILLED : SEAM_OK;
}

enum seam_result seam_park(struct seam_call *c, struct seam_park *p)
{
	struct seam_task *t = c->task;
	p->tasks = t->of;
	p->task = t->id;
	if (c->thread != &t->canon)
		return park_thread(c, p);
	uint64_t from = p->woken ? 0 : loop_now_fresh_ns(t->loop);
	t->parked = p;
	while (!p->woken && !t->killed) {
		if (!t->fiber)
			loop_run_once(t->loop, UINT64_MAX);
		else if (vm_fiber_park(t->shard) == VM_KILLED)
			note_end(t, vm_fiber_kill_reason(t->fiber));
	}
	t->parked = NULL;
	p->tasks = NULL;
	if (from)
		t->wait_ns += loop_now_fresh_ns(t->loop) - from;
	return t->killed ? SEAM_KILLED : SEAM_OK;
}

// ---- until a time ----

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

// ---- without a stack ----

struct sleep {
	struct loop_timer timer;
	struct loop *loop;
	struct canon_task *thread;
};

static void wake_sleeper(struct loop_timer *timer)
{
	canon_task_wake(CONTAINER_OF(timer, struct sleep, timer)->thread);
}

static void sleep_over(void *data)
{
	struct sleep *s = data;
	loop_timer_cancel(s->loop, &s->timer);
	seam_mem_free(s);
}

static enum seam_result leave(struct seam_call *c, uint64_t when_ns)
{
	struct sleep *s = SEAM_MEM_NEW(c->canon, struct sleep);
	if (!s)
		return seam_no_memory(c);
	s->loop = c->task->loop;
	s->timer.fn = wake_sleeper;
	if (!(s->thread = canon_task_leave(c->thread, sleep_over, s))) {
		seam_mem_free(s);
		return SEAM_TRAP;
	}
	loop_timer_set(s->loop, &s->timer, when_ns);
	return SEAM_OK;
}

enum seam_result seam_sleep_until(struct seam_call *c, uint64_t when_ns)
{
	struct seam_park park;
	if (when_ns <= sys_now_ns())
		return SEAM_OK;
	if (canon_task_may_leave(c->thread))
		return leave(c, when_ns);
	seam_park_init(&park);
	return seam_park_until(c, &park, when_ns, NULL);
}
