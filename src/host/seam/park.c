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
			seam__note_end(c->task, why);
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
			seam__note_end(t, vm_fiber_kill_reason(t->fiber));
	}
	t->parked = NULL;
	p->tasks = NULL;
	if (from)
		t->wait_ns += loop_now_fresh_ns(t->loop) - from;
	return t->killed ? SEAM_KILLED : SEAM_OK;
}

enum seam_result seam_look(struct seam_call *c)
{
	struct vm_shard *s = c->task->shard;
	bool ended = vm_fiber_yield(s) == VM_KILLED;
	return seam__went_on(c, ended ? vm_fiber_kill_reason(vm_fiber_current(s)) : TRAP_NONE);
}

// ---- until a time ----

// What a thread that sleeps and is woken takes of a processor: the kernel's, the loop's and the caches', and a look of the watchdog's thread, which is awake for
// it. A guest that only waits spends a tenth of that itself. It is a price and not measured each time: what it takes grows with what others do to the caches.
#define WAKE_NS 25000

// A time that the guest has set came. Of all for whom the thread was woken the first pays; where it was awake for another reason nobody does.
static void pay_for_wake(struct seam_tasks *tasks, struct seam_task_id id, struct canon_task *thread)
{
	struct seam_task *t = thread ? seam__task_of(tasks, thread) : seam_task_find(tasks, id);
	if (t && t->fiber && loop_claim_wake(t->loop))
		seam_task_charge(t, WAKE_NS);
}

struct alarm {
	struct loop_timer timer;
	struct seam_park *park;
	bool pays, rang;
};

static void ring(struct loop_timer *timer)
{
	struct alarm *a = CONTAINER_OF(timer, struct alarm, timer);
	struct seam_park *p = a->park;
	a->rang = true;
	if (a->pays && p->tasks)
		pay_for_wake(p->tasks, p->task, p->thread);
	seam_wake(p);
}

static enum seam_result park_until(struct seam_call *c, struct alarm *a, uint64_t when_ns)
{
	if (!a->park->woken && when_ns != UINT64_MAX)
		loop_timer_set(c->task->loop, &a->timer, when_ns);
	enum seam_result r = seam_park(c, a->park);
	loop_timer_cancel(c->task->loop, &a->timer);
	return r;
}

enum seam_result seam_park_until(struct seam_call *c, struct seam_park *p, uint64_t deadline_ns, bool *ret_timed_out)
{
	struct alarm a = {.timer.fn = ring, .park = p};
	enum seam_result r = park_until(c, &a, deadline_ns);
	if (ret_timed_out)
		*ret_timed_out = a.rang;
	return r;
}

enum seam_result seam_wait_until(struct seam_call *c, struct seam_park *p, uint64_t when_ns)
{
	struct alarm a = {.timer.fn = ring, .park = p, .pays = true};
	return park_until(c, &a, when_ns);
}

// ---- without a stack ----

struct sleep {
	struct loop_timer timer;
	struct loop *loop;
	struct seam_tasks *tasks;
	struct canon_task *thread;
};

static void wake_sleeper(struct loop_timer *timer)
{
	struct sleep *s = CONTAINER_OF(timer, struct sleep, timer);
	pay_for_wake(s->tasks, (struct seam_task_id){0}, s->thread);
	canon_task_wake(s->thread);
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
	s->tasks = c->task->of;
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
	return seam_wait_until(c, &park, when_ns);
}
