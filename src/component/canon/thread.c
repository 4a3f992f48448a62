// Threads: fibers that run core code of an async-typed function's task, what they wait for, and who runs them. CanonicalABI "Threads", Concurrency.md.
//
//   SUSPENDED ──resume_later──► TURN ─┐
//       │                             ├─resume─► NOT ──block──► one of WAIT_… ──► …
//       └──────resume, switch─────────┘           └─main returns─► gone
//
// 1. Only canon__thread_resume runs a thread, only canon__thread_block takes it away (and a park of a host function, which shows when its fiber stops), or
//    canon__thread_leave, where nothing is on its stack: then its fiber is given back, and it goes on with another main on another one.
// 2. A thread is in its root's queue when what it waits for may have come; canon__thread_is_ready is asked when it is taken out.
//    Nobody's threads, whose root has returned, are run by any root that waits: where one of them may go on, one of those is woken.
// 3. A thread that is resumed is called by whoever resumed it: `base` joins the scopes of both, so that may_enter is asked of the whole native stack.
#include "canon_async.h"

enum { LOOK_AT_TIME = 16, LONG_TURN_NS = 1000000 };
// What a fiber is to the instance's account; its stack is as much when it waits, unless the guest nests deeply. Who waits without one has given it back.
enum { STACK_CHARGE = 32 << 10 };
enum { STACK_ITEMS = 16 };  // what it is to who ends many

// ---- queues ----

static void put_ready(struct canon__thread *th)
{
	struct canon_task *root = th->root;
	if (!root->first_ready)
		root->last_ready = &root->first_ready;
	th->next_ready = NULL;
	th->prev_ready = root->last_ready;
	*root->last_ready = th;
	root->last_ready = &th->next_ready;
}

static void leave_ready(struct canon__thread *th)
{
	if (!th->prev_ready)
		return;
	*th->prev_ready = th->next_ready;
	if (th->next_ready)
		th->next_ready->prev_ready = th->prev_ready;
	else
		th->root->last_ready = th->prev_ready;
	th->prev_ready = NULL;
}

// Nobody's thread may go on: for whoever waits.
static void wake_any(struct canon_instance *i)
{
	if (i->async->idle && i->host->wake)
		i->host->wake(i->async->idle);
}

void canon__thread_wake(struct canon_instance *i, struct canon__thread *th)
{
	if (th->prev_ready || th->is_inline)
		return;
	put_ready(th);
	struct canon_task *running = canon__running(i);
	if (th->root == &i->async->nobody)
		wake_any(i);
	else if (i->host->wake && (!running || canon_task_root(running) != th->root))
		i->host->wake(th->root);
}

// ---- gates ----

static void gate_put(struct canon__gate *g, struct canon__thread *th)
{
	if (!g->first)
		g->last = &g->first;
	th->next_waiter = NULL;
	th->prev_waiter = g->last;
	*g->last = th;
	g->last = &th->next_waiter;
}

static struct canon__gate *gate_of(struct canon__async_component *c, const struct canon__thread *th)
{
	if (th->wait == WAIT_ENTER)
		return th->needs_exclusive ? &c->entering : &c->entering_free;
	return th->wait == WAIT_EXCLUSIVE || th->wait == WAIT_SET_EXCLUSIVE ? &c->going_on : NULL;
}

void canon__gate_open(struct canon_instance *i, uint32_t component)
{
	if (!i->async)
		return;
	struct canon__async_component *c = &i->async->components[component];
	bool may_enter = i->components[component].backpressure == 0;
	if (may_enter && c->entering_free.first)
		canon__thread_wake(i, c->entering_free.first);
	if (c->exclusive)
		return;
	bool enters = may_enter && c->entering.first && (!c->going_on.first || !c->entered_last);
	struct canon__thread *th = enters ? c->entering.first : c->going_on.first;
	c->entered_last = enters;
	if (th)
		canon__thread_wake(i, th);
}

// It waits for a set, or at a gate, no longer.
static void leave_list(struct canon_instance *i, struct canon__thread *th)
{
	if (!th->prev_waiter)
		return;
	struct canon__gate *g = gate_of(&i->async->components[th->component], th);
	bool in_set = th->wait == WAIT_SET || (th->wait == WAIT_SET_EXCLUSIVE && !th->woken);
	*th->prev_waiter = th->next_waiter;
	if (th->next_waiter)
		th->next_waiter->prev_waiter = th->prev_waiter;
	else if (in_set)
		th->on.set->last_waiter = th->prev_waiter;
	else
		g->last = th->prev_waiter;
	th->prev_waiter = NULL;
}

static void enter_set(struct canon__thread *th)
{
	struct canon__set *s = th->on.set;
	if (!s->waiters)
		s->last_waiter = &s->waiters;
	th->next_waiter = NULL;
	th->prev_waiter = s->last_waiter;
	*s->last_waiter = th;
	s->last_waiter = &th->next_waiter;
}

void canon__set_wake(struct canon_instance *i, struct canon__set *s)
{
	struct canon__thread *th = s->waiters;
	if (!th)
		return;
	// The next event wakes the next of them.
	if (th->next_waiter) {
		s->waiters = th->next_waiter;
		s->waiters->prev_waiter = &s->waiters;
		th->next_waiter = NULL;
		th->prev_waiter = s->last_waiter;
		*s->last_waiter = th;
		s->last_waiter = &th->next_waiter;
	}
	canon__thread_wake(i, th);
}

// ---- readiness ----

static bool has_backpressure(const struct canon_instance *i, const struct canon__thread *th)
{
	return i->components[th->component].backpressure > 0 || (th->needs_exclusive && i->async->components[th->component].exclusive);
}

bool canon__thread_is_ready(const struct canon_instance *i, const struct canon__thread *th)
{
	const struct canon__async_component *c = &i->async->components[th->component];
	switch ((enum canon__wait)th->wait) {
	case WAIT_NOT:
	case WAIT_SUSPENDED:
		return false;
	case WAIT_TURN:
		return true;
	case WAIT_ENTER:
		return !has_backpressure(i, th);
	case WAIT_EXCLUSIVE:
		return !c->exclusive;
	case WAIT_SET:
		return th->on.set->first;
	case WAIT_SET_EXCLUSIVE:
		return th->on.set->first && !c->exclusive;
	case WAIT_EVENT:
		return th->on.waitable->event;
	case WAIT_RESOLVED:
		return canon__call_is_resolved(th->on.call);
	case WAIT_HOST:
		return th->woken;
	}
	return false;
}

// It was taken out of the queue and can't go on: where will it be woken from?
static void wait_on(struct canon_instance *i, struct canon__thread *th)
{
	struct canon__async_component *c = &i->async->components[th->component];
	if (th->wait == WAIT_SET_EXCLUSIVE && th->on.set->first && !th->woken) {  // there is an event, but others run
		leave_list(i, th);
		th->woken = true;
		gate_put(&c->going_on, th);
		canon__set_wake(i, th->on.set);  // another of its waiters may go on at once
	} else if (th->wait == WAIT_SET_EXCLUSIVE && !th->on.set->first && th->woken) {  // somebody else took the event
		leave_list(i, th);
		th->woken = false;
		enter_set(th);
		canon__gate_open(i, th->component);
	}
}

static struct canon__thread *next_of(struct canon_instance *i, struct canon_task *root)
{
	struct canon__thread *held = i->async->held, *th;
	if (held)  // in the queue or not: nobody else
		return held->root == root && canon__thread_is_ready(i, held) ? held : NULL;
	while ((th = root->first_ready)) {
		leave_ready(th);
		if (canon__thread_is_ready(i, th))
			return th;
		wait_on(i, th);
	}
	return NULL;
}

// ---- begin and end ----

struct canon__thread *canon__thread_new(struct canon_instance *i, struct canon__async_task *of, uint32_t component,
	enum trap (*main)(struct canon_instance *i, struct canon__thread *th))
{
	struct canon__async *a = i->async;
	struct canon_task *running = canon__running(i);
	if (i->limits.handles && a->n_threads >= i->limits.handles)
		return NULL;
	struct canon__thread *th = pool_zalloc(&i->head.pool, sizeof *th);
	if (!th)
		return NULL;
	canon__object_list(&th->object, &a->threads);
	a->n_threads++;
	i->dirty = true;
	th->of = of;
	th->component = component;
	th->main = main;
	th->wait = WAIT_SUSPENDED;
	th->root = canon_task_root(running);
	th->task.instance = i;
	th->task.root = th->root;
	th->base = (struct canon_scope){.component = component, .caller = CANON__HOST, .thread = th, .of = of};
	if (of) {
		th->base.depth = of->depth;
		of->n_threads++;
	}
	th->root->n_threads++;
	arena_init_pool(&th->task.arena, i->limits.call_bytes, &i->head.pool);
	return th;
}

static void give_stack_back(struct canon_instance *i, struct canon__thread *th)
{
	if (th->is_charged)
		account_uncharge(vm_store_account(i->store), STACK_CHARGE);
	th->is_charged = false;
	vm_fiber_free(th->fiber);
	th->fiber = NULL;
}

static void thread_free(struct canon_instance *i, struct canon__thread *th)
{
	struct canon__async *a = i->async;
	if (a->held == th)
		a->held = NULL;
	leave_ready(th);
	if (th->over)
		th->over(th->data);
	th->root->n_threads--;
	arena_release(&th->task.arena);
	give_stack_back(i, th);
	canon__object_unlist(&th->object);
	a->n_threads--;
	pool_free(th);
}

static void list(struct canon__async_component *c, struct canon__thread *th)
{
	th->next = NULL;
	th->prev = c->last_thread;
	*c->last_thread = th;
	c->last_thread = &th->next;
}

static void unlist(struct canon__async_component *c, struct canon__thread *th)
{
	*th->prev = th->next;
	if (th->next)
		th->next->prev = th->prev;
	else
		c->last_thread = th->prev;
}

void canon__thread_register(struct canon_instance *i, struct canon__thread *th)
{
	th->is_registered = true;
	list(&i->async->components[th->component], th);
}

void canon__thread_unregister(struct canon_instance *i, struct canon__thread *th)
{
	struct canon__async_component *c = &i->async->components[th->component];
	if (!th->is_registered)
		return;
	th->is_registered = false;
	unlist(c, th);
	if (th->index) {
		c->indices.array[th->index] = (struct canon__thread *)(uintptr_t)((uint64_t)c->indices.free << 1 | 1);
		c->indices.free = th->index;
		th->index = 0;
	}
}

bool canon__thread_give_index(struct canon_instance *i, struct canon__thread *th)
{
	struct canon__async_component *c = &i->async->components[th->component];
	if (th->index)
		return true;
	uint32_t index = c->indices.free;
	if (index) {
		c->indices.free = (uint32_t)((uintptr_t)c->indices.array[index] >> 1);
	} else {
		if (c->indices.len == c->indices.cap) {
			uint32_t cap = c->indices.cap ? c->indices.cap * 2 : 16;
			struct canon__thread **array = pool_realloc(&i->head.pool, c->indices.array, cap * sizeof *array);
			if (!array)
				return false;
			c->indices.array = array;
			c->indices.cap = cap;
			if (!c->indices.len)
				array[c->indices.len++] = NULL;
		}
		index = c->indices.len++;
	}
	c->indices.array[index] = th;
	th->index = index;
	return true;
}

struct canon__thread *canon__thread_find(struct canon_instance *i, uint32_t component, uint32_t index)
{
	const struct canon__async_component *c = &i->async->components[component];
	struct canon__thread *th = index < c->indices.len ? c->indices.array[index] : NULL;
	return (uintptr_t)th & 1 ? NULL : th;
}

struct canon__thread *canon__current_thread(struct canon_instance *i, struct canon_task *task)
{
	struct canon_scope *s = task->scope;
	if (s->thread)
		return s->thread;
	if (!canon__async_get(i))
		return NULL;
	struct canon__thread *th = canon__thread_new(i, s->of, s->component, NULL);
	if (!th)
		return NULL;
	th->is_inline = th->is_implicit = true;
	th->wait = WAIT_NOT;
	s->thread = th;
	canon__thread_register(i, th);
	return th;
}

// The sync-typed call that asked for its thread returns.
void canon__scope_end(struct canon_instance *i, struct canon_scope *s)
{
	struct canon__thread *th = s->thread;
	struct canon__async_task *of = s->of;
	if (th) {
		canon__thread_unregister(i, th);
		if (of)
			of->n_threads--;
		thread_free(i, th);
	}
	if (!of)
		return;
	of->state = TASK_RESOLVED;
	if (!of->n_threads)
		canon__object_free(i, &of->object);
}

// ---- running ----

static void fiber_main(void *arg)
{
	struct canon__thread *th = arg;
	struct canon_instance *i = th->task.instance;
	vm_store_touch(i->store);  // results are stored where the guest said, also by threads that run no guest
	i->exec->task = &th->task;
	memcpy(i->exec->context, th->context, sizeof th->context);
	th->task.scope = &th->base;
	th->end = th->main(i, th);
	memcpy(th->context, i->exec->context, sizeof th->context);
}

// Runs its fiber until it blocks or ends. Where its turn was too long, so was that of whoever resumed it.
static enum vm_fiber_state run_fiber(struct canon_instance *i, struct canon__thread *th, enum vm_wake how)
{
	enum vm_fiber_state st = vm_fiber_resume(th->fiber, how);
	while (st == VM_FIBER_PREEMPTED) {
		struct vm_fiber *mine = vm_fiber_current(i->shard);
		if (mine && vm_fiber_yield(i->shard) == VM_KILLED) {
			how = VM_KILLED;
			vm_fiber_kill(th->fiber, vm_fiber_kill_reason(mine));
		}
		st = vm_fiber_resume(th->fiber, how);
	}
	if (st == VM_FIBER_PARKED && th->wait == WAIT_NOT) {
		th->wait = WAIT_HOST;
		th->root->outside++;
		if (th->task.scope != &th->base)  // a sync-typed call is under way on it
			i->async->held = th;
	}
	return st;
}

// It is at the expense of its root, whoever resumes it.
static void share_budget(struct canon__thread *th)
{
	vm_fiber_share_budget(th->fiber, th->root->fiber);
}

static bool charge(struct canon_instance *i, struct canon__thread *th)
{
	return th->is_charged || (th->is_charged = account_charge(vm_store_account(i->store), STACK_CHARGE));
}

// A stack to run on. One that had given its own back finds one even where the memory is used up, if nothing but the root is beneath it: so there is one such
// at most, and it is charged as soon as it waits with it.
static bool begin(struct canon_instance *i, struct canon__thread *th, const struct canon_task *by)
{
	if (th->fiber)
		return true;
	if (!charge(i, th) && !(th->goes_on && by == th->root))
		return false;
	th->fiber = vm_fiber_new(i->shard, fiber_main, th);
	if (th->fiber)
		share_budget(th);
	else
		give_stack_back(i, th);
	return th->fiber;
}

// Off all lists, and no longer waiting.
static void stop_waiting(struct canon_instance *i, struct canon__thread *th)
{
	leave_ready(th);
	leave_list(i, th);
	if (th->wait == WAIT_HOST) {
		th->root->outside--;
		if (i->async->held == th)
			i->async->held = NULL;
	}
	th->wait = WAIT_NOT;
	th->woken = false;
}

// Who runs nobody's threads has them.
static void adopt(struct canon_instance *i, struct canon__thread *th, struct canon_task *root)
{
	if (th->root == root || th->root != &i->async->nobody)
		return;
	th->root->n_threads--;
	root->n_threads++;
	th->root = th->task.root = root;
	if (th->fiber)
		share_budget(th);
}

// Its main has returned: for good, or to go on with another main when what it waits for is there.
static enum trap returned(struct canon_instance *i, struct canon__thread *th)
{
	enum trap t = th->end;
	if (t != TRAP_NONE) {  // the store is dead: it goes with the instance
		th->wait = WAIT_NOT;
		return t;
	}
	if (th->wait == WAIT_NOT) {
		thread_free(i, th);
		return t;
	}
	th->base.parent = NULL;
	th->goes_on = true;
	give_stack_back(i, th);
	arena_release(&th->task.arena);
	return t;
}

// Threads that give way to each other never run for long, and may do so for ever: whoever runs them looks at the time, and gives others their turns.
struct turn {
	uint64_t since;  // CPU time; 0: not asked yet
	uint32_t n;      // threads that it ran
};

static enum trap give_way(struct canon_instance *i, struct canon_task *by, struct turn *turn)
{
	struct vm_fiber *f = vm_fiber_current(i->shard);
	if (++turn->n % LOOK_AT_TIME || !f)
		return TRAP_NONE;
	uint64_t now = vm_fiber_cpu_ns(f);
	bool is_long = turn->since && now - turn->since >= LONG_TURN_NS;
	if (is_long || !turn->since)
		turn->since = now;
	if (!is_long || vm_fiber_yield(i->shard) != VM_KILLED)
		return TRAP_NONE;
	return canon__report(by, vm_fiber_kill_reason(f), "%s", trap_text(vm_fiber_kill_reason(f)));
}

static enum trap no_stack(struct canon_task *by)
{
	return canon__report(by, TRAP_OUT_OF_MEMORY, "no memory for another thread's stack: the instance's limit is reached (--memory)");
}

enum trap canon__thread_resume(struct canon_instance *i, struct canon__thread *th, uint32_t caller, bool cancelled)
{
	struct canon_task *by = canon__running(i);
	struct turn turn = {0};
	for (;;) {
		struct canon__set *left = cancelled && (th->wait == WAIT_SET || th->wait == WAIT_SET_EXCLUSIVE) ? th->on.set : NULL;
		stop_waiting(i, th);
		if (left && left->first)  // it may have been woken for that
			canon__set_wake(i, left);
		th->cancelled = cancelled;
		if (th->is_inline)  // whoever runs its stack sees it
			return TRAP_NONE;
		if (th->over) {
			th->end = th->main(i, th);
			return returned(i, th);
		}
		adopt(i, th, canon_task_root(by));
		if (!begin(i, th, by))
			return no_stack(by);
		th->base.parent = by->scope;
		th->base.caller = caller;
		th->task.trap = by->trap;
		enum vm_fiber_state st = run_fiber(i, th, VM_RESUMED);
		if (st == VM_FIBER_DONE)
			return returned(i, th);
		th->base.parent = NULL;
		if (!charge(i, th))
			return no_stack(by);
		struct canon__thread *next = th->switch_to;
		th->switch_to = NULL;
		if (!next)
			return TRAP_NONE;
		enum trap end = give_way(i, by, &turn);
		if (end != TRAP_NONE)
			return end;
		th = next;
		caller = next->component;
		cancelled = false;
	}
}

// ---- blocking ----

// What a thread on its own fiber does until it is resumed.
static enum trap park(struct canon_instance *i, struct canon__thread *th)
{
	struct vm_fiber *f = th->fiber;
	if (vm_fiber_park(i->shard) == VM_KILLED) {
		stop_waiting(i, th);  // where its time was over before it came here nobody has resumed it
		return canon__report(&th->task, vm_fiber_kill_reason(f), "%s", trap_text(vm_fiber_kill_reason(f)));
	}
	return i->dead ? canon__report(&th->task, TRAP_POISONED, "%s", trap_text(TRAP_POISONED)) : TRAP_NONE;
}

// Another thread of the component instance that may use its stack while a sync-typed call is under way: not one that needs it for itself alone.
enum trap canon__thread_another(struct canon_instance *i, const struct canon__thread *th, struct canon__thread **ret)
{
	struct canon__async_component *c = &i->async->components[th->component];
	*ret = NULL;
	for (struct canon__thread *t = c->threads; t; t = t->next) {
		enum trap end = vm_work(i->exec, VM_WORK_ITEM);
		if (end != TRAP_NONE)
			return canon__report(canon__running(i), end, "%s", trap_text(end));
		if (t == th || t->needs_exclusive || t->is_inline || !canon__thread_is_ready(i, t))
			continue;
		unlist(c, t);
		list(c, t);  // the others first, the next time
		*ret = t;
		break;
	}
	return TRAP_NONE;
}

static const char *wait_text(const struct canon__thread *th)
{
	static const char *const texts[] = {
		[WAIT_NOT] = "nothing",
		[WAIT_SUSPENDED] = "another thread to resume it",
		[WAIT_TURN] = "its turn",
		[WAIT_ENTER] = "a component instance that lets nobody in (backpressure)",
		[WAIT_EXCLUSIVE] = "others to leave the component instance",
		[WAIT_SET] = "an event of a waitable set",
		[WAIT_SET_EXCLUSIVE] = "an event of a waitable set",
		[WAIT_EVENT] = "a copy or a call of its own",
		[WAIT_RESOLVED] = "the result of a call",
		[WAIT_HOST] = "the host",
	};
	return texts[th->wait];
}

// In place of the sync-typed call that blocks (canon_lift).
static enum trap block_inline(struct canon_instance *i, struct canon__thread *th)
{
	bool yields = th->wait == WAIT_TURN;
	while (th->wait != WAIT_NOT) {
		struct canon__thread *t;
		enum trap end;
		if (!yields && canon__thread_is_ready(i, th))
			break;
		if ((end = canon__thread_another(i, th, &t)) != TRAP_NONE)
			return end;
		if (!t && yields)
			break;
		if (!t)
			return canon__report(canon__running(i), TRAP_CANON, "cannot block a synchronous task before returning: it waits for %s", wait_text(th));
		if ((end = canon__thread_resume(i, t, th->component, false)) != TRAP_NONE)
			return end;
		if (yields)
			break;
	}
	if (th->wait != WAIT_NOT)
		stop_waiting(i, th);
	return TRAP_NONE;
}

static void start_waiting(struct canon_instance *i, struct canon__thread *th, enum canon__wait wait, void *on)
{
	struct canon__async_component *c = &i->async->components[th->component];
	th->wait = (uint8_t)wait;
	th->woken = false;
	switch (wait) {
	case WAIT_SET:
	case WAIT_SET_EXCLUSIVE:
		th->on.set = on;
		enter_set(th);
		break;
	case WAIT_ENTER:
	case WAIT_EXCLUSIVE:
		gate_put(gate_of(c, th), th);
		break;
	case WAIT_EVENT:
		th->on.waitable = on;
		break;
	case WAIT_RESOLVED:
		th->on.call = on;
		break;
	case WAIT_HOST:
		th->root->outside++;
		break;
	default:
		break;
	}
	if (canon__thread_is_ready(i, th) || (wait == WAIT_SET_EXCLUSIVE && th->on.set->first))
		canon__thread_wake(i, th);
}

// false: what is there need not be waited for.
static bool must_wait(struct canon_instance *i, struct canon__thread *th, enum canon__wait wait, void *on, bool cancellable)
{
	th->cancelled = false;
	th->cancellable = cancellable;
	start_waiting(i, th, wait, on);
	if (wait <= WAIT_EXCLUSIVE || !canon__thread_is_ready(i, th))
		return true;
	stop_waiting(i, th);
	th->cancellable = false;
	return false;
}

enum trap canon__thread_block(struct canon_instance *i, struct canon__thread *th, enum canon__wait wait, void *on, bool cancellable, bool *ret_cancelled)
{
	enum trap t = TRAP_NONE;
	if (must_wait(i, th, wait, on, cancellable))
		t = th->is_inline ? block_inline(i, th) : park(i, th);
	th->cancellable = false;
	if (ret_cancelled)
		*ret_cancelled = th->cancelled;
	return t;
}

bool canon__thread_leave(struct canon_instance *i, struct canon__thread *th, enum canon__wait wait, void *on, bool cancellable,
	enum trap (*main)(struct canon_instance *i, struct canon__thread *th))
{
	th->main = main;
	return must_wait(i, th, wait, on, cancellable);
}

enum trap canon__thread_switch(struct canon_instance *i, struct canon__thread *th, enum canon__wait wait, struct canon__thread *to)
{
	th->cancelled = th->cancellable = false;
	start_waiting(i, th, wait, NULL);
	if (!th->is_inline) {
		th->switch_to = to;
		return park(i, th);
	}
	enum trap t = canon__thread_resume(i, to, th->component, false);
	if (t != TRAP_NONE || th->wait == WAIT_NOT)
		return t;
	if (wait == WAIT_TURN) {
		stop_waiting(i, th);
		return TRAP_NONE;
	}
	return block_inline(i, th);
}

void canon__thread_resume_later(struct canon_instance *i, struct canon__thread *th)
{
	start_waiting(i, th, WAIT_TURN, NULL);
}

// ---- the root's loop ----

// What each of the root's threads waits for, the first three of them.
static enum trap ended_waiting(struct canon_instance *i, struct canon_task *root, enum trap why, const char *what)
{
	char text[200] = "";
	size_t n = 0;
	uint32_t told = 0;
	for (const struct canon__object *o = i->async->threads; o && told < 3; o = o->next) {
		const struct canon__thread *th = CONTAINER_OF(UNCONST(o), struct canon__thread, object);
		if ((th->root != root && th->root != &i->async->nobody) || th->is_inline)
			continue;
		int k = snprintf(text + n, sizeof text - n, "%s a task of component instance %u waits for %s", told++ ? ";" : "", th->component, wait_text(th));
		n = min_u64(n + (k > 0 ? (size_t)k : 0), sizeof text - 1);
	}
	return canon__report(root, why, "%s%s%s", what, n ? ":" : "", text);
}

static enum vm_wake park_root(struct canon_instance *i, struct canon_task *root)
{
	struct canon__async *a = i->async;
	root->next_idle = a->idle;
	root->prev_idle = &a->idle;
	if (root->next_idle)
		root->next_idle->prev_idle = &root->next_idle;
	a->idle = root;
	enum vm_wake how = vm_fiber_park(i->shard);
	*root->prev_idle = root->next_idle;
	if (root->next_idle)
		root->next_idle->prev_idle = root->prev_idle;
	return how;
}

// The host may bring what the root waits for, by an end of its own: where a guest waits with a buffer there. What it does with the others is nothing to who
// waits for something else; but once the call has returned (`call` NULL) that goes on, and is not cut off because a guest's thread can't.
static bool host_brings(const struct canon__async *a, const struct canon__call *call)
{
	return call ? a->n_awaited : a->n_host_ends || a->in_transit.n;
}

// Nothing of the root can go on: until it is woken. Of an instance that others may come to it is not known that nobody ever does.
static enum trap idle(struct canon_instance *i, struct canon_task *root, const struct canon__call *call)
{
	struct vm_fiber *f = vm_fiber_current(i->shard);
	bool others = i->host->wake && (i->is_shared || i->n_tasks > 1);
	bool can_be_woken = others || root->outside || i->async->nobody.outside || i->async->held || host_brings(i->async, call);
	if (!can_be_woken || !f)
		return ended_waiting(i, root, TRAP_CANON, "deadlock detected: event loop cannot make further progress");
	if (park_root(i, root) == VM_KILLED)
		return ended_waiting(i, root, vm_fiber_kill_reason(f), trap_text(vm_fiber_kill_reason(f)));
	return i->dead ? canon__report(root, TRAP_POISONED, "%s", trap_text(TRAP_POISONED)) : TRAP_NONE;
}

enum trap canon__run_threads(struct canon_instance *i, struct canon_task *root, const struct canon__call *call)
{
	struct canon__async *a = i->async;
	struct turn turn = {0};
	while (call ? !canon__call_is_resolved(call) && !root->cancels : root->n_threads != 0) {
		enum trap t = give_way(i, root, &turn);  // before it looks: meanwhile one may be made ready
		if (t != TRAP_NONE)
			return t;
		struct canon__thread *th = next_of(i, root);
		if (!th)
			th = next_of(i, &a->nobody);
		t = th ? canon__thread_resume(i, th, CANON__HOST, false) : idle(i, root, call);
		if (t != TRAP_NONE)
			return t;
	}
	if (a->nobody.first_ready)  // which it was perhaps woken for
		wake_any(i);
	return TRAP_NONE;
}

void canon__threads_leave(struct canon_instance *i, struct canon_task *root)
{
	struct canon_task *nobody = &i->async->nobody;
	for (struct canon__object *o = i->async->threads; o; o = o->next) {
		struct canon__thread *th = CONTAINER_OF(o, struct canon__thread, object);
		if (th->root != root)
			continue;
		bool was_ready = th->prev_ready;
		leave_ready(th);
		root->n_threads--;
		nobody->n_threads++;
		if (th->wait == WAIT_HOST) {
			root->outside--;
			nobody->outside++;
		}
		th->root = th->task.root = nobody;
		if (th->fiber)
			vm_fiber_share_budget(th->fiber, NULL);
		if (was_ready)
			put_ready(th);
	}
	if (nobody->first_ready)
		wake_any(i);
}

struct canon_task *canon_task_runner(struct canon_task *t)
{
	struct canon_task *root = canon_task_root(t);
	return t->instance->async && root == &t->instance->async->nobody ? NULL : root;
}

void canon_task_wake(struct canon_task *t)
{
	struct canon__thread *th = CONTAINER_OF(t, struct canon__thread, task);
	th->woken = true;
	canon__thread_wake(t->instance, th);
}

bool canon_task_is_cancelled(const struct canon_task *t)
{
	return CONTAINER_OF(UNCONST(t), struct canon__thread, task)->cancelled;
}

// ---- the end of an instance ----

static void kill_thread(struct canon_instance *i, struct canon__thread *th, struct canon_trap *report)
{
	enum vm_fiber_state st = th->fiber ? vm_fiber_state(th->fiber) : VM_FIBER_NEW;
	BUG_ON(st == VM_FIBER_RUNNING || st == VM_FIBER_PREEMPTED);
	stop_waiting(i, th);
	if (st == VM_FIBER_PARKED) {
		th->base.parent = NULL;
		th->task.trap = report;
		th->wait = WAIT_SUSPENDED;
		vm_fiber_kill(th->fiber, TRAP_KILLED);
		while (vm_fiber_resume(th->fiber, VM_KILLED) != VM_FIBER_DONE)
			;
	}
	thread_free(i, th);
}

void canon__threads_kill(struct canon_instance *i, const struct canon_task *root)
{
	struct canon_trap nobody_reads;
	canon_trap_clear(&nobody_reads);
	// Those on stacks of their own first: what they run may still name the others.
	for (int inlines = 0; inlines < 2; inlines++)
		for (struct canon__object *o = i->async->threads, *next; o; o = next) {
			struct canon__thread *th = CONTAINER_OF(o, struct canon__thread, object);
			next = o->next;
			if (th->is_inline == inlines && th->root == root)
				kill_thread(i, th, &nobody_reads);
		}
}

// Likewise: those that have none wait in a list of their own.
bool canon__threads_kill_some(struct canon_instance *i, uint32_t *most)
{
	struct canon__async *a = i->async;
	struct canon_trap nobody_reads;
	canon_trap_clear(&nobody_reads);
	for (struct canon__object *o; *most && (o = a->threads ? a->threads : a->inlines) != NULL;) {
		struct canon__thread *th = CONTAINER_OF(o, struct canon__thread, object);
		*most -= min_u64(*most, th->fiber ? STACK_ITEMS : 1);
		if (th->is_inline && o == a->threads)
			canon__object_move(o, &a->inlines);
		else
			kill_thread(i, th, &nobody_reads);
	}
	return !a->threads && !a->inlines;
}

void canon__async_leave(struct canon_instance *i, struct canon_task *root)
{
	if (i->dead)
		canon__threads_kill(i, root);
	else
		canon__threads_leave(i, root);
}
