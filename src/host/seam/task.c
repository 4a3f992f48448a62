// Tasks: their pool, and how they run. Rules of the game:
//
// 1. A fiber of a task is resumed by take_turn, on the loop's stack, and by seam_task_run's first turn, which a host function may take on its caller's fiber; never
//    by a provider's callback.
// 2. t->parked is set while, and only while, its fiber is parked in seam_park (park.c); whoever wakes or kills posts t->turn.
// 3. Of the tasks in one instance one may hold it: it was preempted, or yielded in the host's work. Others that are to run wait behind it until it parks or
//    ends (nobody but resume changes that).
// 4. Who keeps a task beyond a call of his own, and is not told when it ends, keeps its id: seam_task_find.
//
// States: made (seam_task_new) → runs, or waits for its turn (seam_task_run, resume) ⇄ parked (seam_park) → returned, while children go on → done
// (finish) → free (seam_task_free).
#include "seam_int.h"
#include "sys/sys.h"

// ---- the pool ------------------------------------------------------------------------------------------------------------------------

enum { BLOCK = 8 };  // tasks that are allocated at once: a page
struct seam_tasks {
	struct loop *loop;
	struct vm_shard *shard;
	VEC(struct seam_task *)
	blocks;
	struct seam_task *free;  // by `next`
	uint64_t generation;     // of the last that was made
	uint32_t live;
	struct seam_watch *watch;
	struct seam_task nobody;  // of threads that no task runs, while their instance ends
	struct sys_generator *random;  // made when a guest first asks
	bool asked_random;
};

bool seam_tasks_new(struct loop *loop, struct vm_shard *shard, struct seam_tasks **ret, struct err *e)
{
	struct seam_tasks *p = mem_zalloc(sizeof *p);
	if (!p)
		return err_nomem(e);
	p->loop = loop;
	p->shard = shard;
	p->nobody = (struct seam_task){.of = p, .loop = loop, .shard = shard, .killed = true, .kill_trap = TRAP_KILLED};
	*ret = p;
	return true;
}

void seam_tasks_free(struct seam_tasks *p)
{
	if (!p)
		return;
	BUG_ON(p->live);
	for (uint32_t i = 0; i < p->blocks.len; i++)
		mem_free(p->blocks.ptr[i]);
	VEC_FREE(&p->blocks);
	sys_generator_free(p->random);
	mem_free(p);
}

bool seam_random(struct seam_tasks *p, void *into, size_t n)
{
	if (!p->asked_random)
		p->random = sys_generator_new();
	p->asked_random = true;
	return sys_generator_take(p->random, into, n);
}

void seam_tasks_watch(struct seam_tasks *p, struct seam_watch *w)
{
	p->watch = w;
}

struct seam_watch *seam_tasks_watcher(const struct seam_tasks *p)
{
	return p->watch;
}

static bool grow(struct seam_tasks *p)
{
	struct seam_task *block = mem_zalloc(BLOCK * sizeof *block);
	if (!block || !VEC_PUSH(NULL, &p->blocks, block, UINT32_MAX / BLOCK)) {
		mem_free(block);
		return false;
	}
	for (uint32_t i = BLOCK; i-- > 0;) {
		block[i].id.index = (p->blocks.len - 1) * BLOCK + i;
		block[i].next = p->free;
		p->free = &block[i];
	}
	return true;
}

struct seam_task *seam_task_new(struct seam_tasks *p, struct seam_task *parent)
{
	if (!p->free && !grow(p))
		return NULL;
	struct seam_task *t = p->free;
	p->free = t->next;
	p->live++;
	*t = (struct seam_task){.of = p, .id = {t->id.index, ++p->generation}, .loop = p->loop, .shard = p->shard, .parent = parent};
	if (!parent)
		return t;
	t->request = parent->request;
	t->names = parent->names;
	t->span = parent->span;
	t->next = parent->children;
	t->prev = &parent->children;
	if (t->next)
		t->next->prev = &t->next;
	parent->children = t;
	return t;
}

struct seam_task *seam__task_of(struct seam_tasks *p, struct canon_task *thread)
{
	struct canon_task *root = canon_task_runner(thread);
	return root ? CONTAINER_OF(root, struct seam_task, canon) : &p->nobody;
}

void seam__note_end(struct seam_task *t, enum trap why)
{
	if (t->killed)
		return;
	t->killed = true;
	t->kill_trap = why;
}

enum seam_result seam__went_on(struct seam_call *c, enum trap ended)
{
	if (c->thread != &c->task->canon)
		c->task = seam__task_of(c->task->of, c->thread);  // it may be another's by now
	if (ended != TRAP_NONE)
		seam__note_end(c->task, ended);
	return ended != TRAP_NONE || c->task->killed ? SEAM_KILLED : SEAM_OK;
}

static void leave_parent(struct seam_task *t)
{
	if (!t->parent)
		return;
	*t->prev = t->next;
	if (t->next)
		t->next->prev = t->prev;
	t->parent = NULL;
}

static void leave_caller(struct seam_task *t)
{
	if (!t->caller)
		return;
	*t->prev = t->next;
	if (t->next)
		t->next->prev = t->prev;
	t->caller = NULL;
}

void seam_task_free(struct seam_task *t)
{
	if (!t)
		return;
	BUG_ON(t->fiber || t->children);
	while (t->called)
		seam_task_disown(t->called);
	leave_parent(t);
	leave_caller(t);
	loop_timer_cancel(t->loop, &t->deadline);
	t->id.generation = 0;
	t->next = t->of->free;
	t->of->free = t;
	t->of->live--;
}

struct seam_task *seam_task_find(const struct seam_tasks *p, struct seam_task_id id)
{
	uint32_t block = id.index / BLOCK;
	if (!id.generation || block >= p->blocks.len)
		return NULL;
	struct seam_task *t = &p->blocks.ptr[block][id.index % BLOCK];
	return t->id.generation == id.generation ? t : NULL;
}

void seam_task_call(struct seam_task *t, struct seam_task *caller)
{
	BUG_ON(t->parent || t->caller);
	t->caller = caller;
	t->request = caller->request;
	t->names = caller->names;
	t->next = caller->called;
	t->prev = &caller->called;
	if (t->next)
		t->next->prev = &t->next;
	caller->called = t;
}

// Of those that go on for `top`, the next one; NULL: that was the last.
static struct seam_task *next_below(struct seam_task *top, struct seam_task *at)
{
	if (at->children || at->called)
		return at->children ? at->children : at->called;
	for (; at != top; at = at->parent ? at->parent : at->caller) {
		if (at->next)
			return at->next;
		if (at->parent && at->parent->called)
			return at->parent->called;
	}
	return NULL;
}

void seam_task_disown(struct seam_task *t)
{
	for (struct seam_task *at = t; at; at = next_below(t, at)) {
		at->request = NULL;
		at->names = NULL;
		at->span = 0;
	}
	leave_caller(t);
}

struct seam_task *seam_task_root(struct seam_task *t)
{
	while (t->parent)
		t = t->parent;
	return t;
}

// ---- turns ---------------------------------------------------------------------------------------------------------------------------

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

uint64_t seam_task_cpu_ns(const struct seam_task *t)
{
	return t->fiber ? vm_fiber_cpu_ns(t->fiber) - t->cpu_before_ns : t->cpu_ns;
}

// It has returned, and so have its children. `done` may free it.
static void finish(struct seam_task *t)
{
	struct seam_task *parent = t->parent;
	t->cpu_ns = seam_task_cpu_ns(t);
	loop_timer_cancel(t->loop, &t->deadline);
	vm_fiber_free(t->fiber);
	t->fiber = NULL;
	if (parent)
		parent->n_calls += t->n_calls;
	leave_parent(t);
	t->done(t);
	if (parent && parent->returned && !parent->children)
		finish(parent);
}

// Its threads' waits count from the moment at which none of them can go on.
static void count_wait(struct seam_task *t, bool begins)
{
	uint64_t now = begins || t->since_ns ? loop_now_fresh_ns(t->loop) : 0;
	if (t->since_ns)
		t->wait_ns += now - t->since_ns;
	t->since_ns = begins ? now : 0;
}

static void resume(struct seam_task *t)
{
	if (waits_behind(t))
		return;
	count_wait(t, false);
	enum vm_fiber_state st = vm_fiber_resume(t->fiber, t->killed ? VM_KILLED : VM_RESUMED);
	if (st == VM_FIBER_PARKED && !t->parked)
		count_wait(t, true);
	if (st == VM_FIBER_PREEMPTED) {
		if (t->instance)
			t->instance->holder = t;
		loop_post_slow(t->loop, &t->turn);  // others first
		return;
	}
	if (t->instance && t->instance->holder == t)
		let_go(t->instance);
	if (st == VM_FIBER_DONE) {
		loop_job_cancel(&t->turn);
		t->returned = true;
		if (!t->children)
			finish(t);
	}
}

static void take_turn(struct loop_job *turn)
{
	struct seam_task *t = CONTAINER_OF(turn, struct seam_task, turn);
	if (t->fiber)
		resume(t);
}

// ---- budget, end ---------------------------------------------------------------------------------------------------------------------

static void on_deadline(struct loop_timer *timer)
{
	struct seam_task *t = CONTAINER_OF(timer, struct seam_task, deadline);
	if (t->on_late)
		t->on_late(t);
	else
		seam_task_kill(t, TRAP_DEADLINE);
}

// The watchdog of vm ends what computes; the timer here ends what waits.
void seam_task_set_budget(struct seam_task *t, struct vm_budget budget)
{
	t->deadline.fn = on_deadline;
	loop_timer_set(t->loop, &t->deadline, budget.deadline_ns);
	if (t->on_late)
		budget.deadline_ns = UINT64_MAX;
	vm_fiber_set_budget(t->fiber, budget);
}

bool seam_task_run(struct seam_task *t, void (*fn)(void *arg), void *arg, struct vm_budget budget, void (*done)(struct seam_task *t))
{
	t->fiber = (t->for_host ? vm_fiber_new_for_host : vm_fiber_new)(t->shard, fn, arg);
	if (!t->fiber)
		return false;
	t->turn = (struct loop_job){.fn = take_turn};
	t->done = done;
	if (t->parent) {
		vm_fiber_share_budget(t->fiber, t->parent->fiber);
		t->cpu_before_ns = vm_fiber_cpu_ns(t->fiber);
	} else {
		seam_task_set_budget(t, budget);
	}
	resume(t);
	return true;
}

static void kill_one(struct seam_task *t, enum trap trap)
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
		loop_job_cancel(&t->turn);
		loop_post(t->loop, &t->turn);
	}
}

void seam_task_kill(struct seam_task *t, enum trap trap)
{
	struct seam_task *at = t;
	for (;;) {  // the children before their next sibling
		kill_one(at, trap);
		if (at->children) {
			at = at->children;
			continue;
		}
		while (at != t && !at->next)
			at = at->parent;
		if (at == t)
			return;
		at = at->next;
	}
}

void seam_task_charge(struct seam_task *t, uint64_t cpu_ns)
{
	if (t->fiber && vm_fiber_charge(t->fiber, cpu_ns))
		seam_task_kill(t, TRAP_CPU_BUDGET);
}

static void on_end(struct seam_task *t)
{
}

bool seam_task_run_to_end(struct seam_task *t, void (*fn)(void *arg), void *arg, struct vm_budget budget, const bool *stop)
{
	bool ok = seam_task_run(t, fn, arg, budget, on_end);
	while (ok && t->fiber) {
		if (stop && *stop)
			seam_task_kill(t, TRAP_KILLED);
		loop_run_once(t->loop, UINT64_MAX);
	}
	return ok;
}
