// Tasks of async-typed functions and the calls that began them: canon_lift and canon_lower where one side or both are async. CanonicalABI "Tasks", "Subtask
// State", "canon lift", "canon lower".
//
//   Task:    INITIAL ─start─► STARTED ─return─► RESOLVED         CANCEL_DELIVERED ─return, cancel─► RESOLVED
//               └─cancelled: CANCEL_DELIVERED ◄─delivered─ PENDING_CANCEL ◄─cancelled─ STARTED
//   Subtask: STARTING ─start─► STARTED ─► RETURNED or CANCELLED_BEFORE_RETURNED; STARTING ─► CANCELLED_BEFORE_STARTED
//
// 1. The caller's arguments are lifted when the callee starts, its results lowered when the callee returns, whoever runs then: with the caller's options, in
//    the caller's component instance.
// 2. A task holds `exclusive` of its component instance while its core code runs, unless it is stackful: between calls of its callback others may.
#include "canon_async.h"

enum { SMALL_VALUE = 256 };

static struct canon__async_component *home(struct canon_instance *i, const struct canon__thread *th)
{
	return &i->async->components[th->component];
}

// ---- the caller's side ----

// deliver_resolve.
static enum trap deliver_resolve(struct canon_instance *i, struct canon__call *c)
{
	struct canon__cx cx = {.inst = i, .task = canon__running(i), .component = c->component, .keeps_lends = true};
	c->is_delivered = true;
	return canon__deliver_resolve(&cx, &c->lends) ? TRAP_NONE : cx.trap;
}

static enum trap deliver(struct canon_instance *i, struct canon__waitable *w, uint32_t *ret_payload)
{
	struct canon__call *c = CONTAINER_OF(w, struct canon__call, waitable);
	*ret_payload = c->state;
	return canon__call_is_resolved(c) ? deliver_resolve(i, c) : TRAP_NONE;
}

static struct canon__call *call_new(struct canon_instance *i, const struct canon__lower *lower, uint32_t component)
{
	struct canon__call *c = canon__async_get(i) ? canon__object_new(i, sizeof *c, &i->async->calls) : NULL;
	if (!c)
		return NULL;
	c->waitable.deliver = deliver;
	c->lower = lower;
	c->component = component;
	return c;
}

static void call_free(struct canon_instance *i, struct canon__call *c)
{
	pool_free(c->lends.kept);
	canon__object_free(i, &c->object);
}

static void on_progress(struct canon_instance *i, struct canon__call *c, enum canon__call_state state)
{
	c->state = (uint8_t)state;
	if (c->waitable.index)
		canon__set_pending_event(i, &c->waitable, EVENT_SUBTASK);
	if (c->waiter && canon__call_is_resolved(c))
		canon__thread_wake(i, c->waiter);
}

static struct canon__cx caller_context(struct canon_instance *i, struct canon_task *task, struct canon__call *c)
{
	struct canon__cx cx = canon__context(i, task, &c->lower->options, c->component);
	cx.subtask = &c->lends;
	cx.keeps_lends = true;
	return cx;
}

static unsigned max_flat_params(const struct canon__lower *l)
{
	return l->plan->options.is_async ? MAX_FLAT_ASYNC_PARAMS : MAX_FLAT_PARAMS;
}

// lift_flat_values of the caller's arguments. NULL: cx->trap.
static const void *lift_args(struct canon__cx *cx, struct canon__call *c, void *small)
{
	const struct wit_type *params = &c->lower->plan->type->params;
	const uint64_t *vi = c->flat_args;
	void *native = canon__room(cx, small, params->size64);
	return native && (!params->n || canon__lift_flat_values(cx, max_flat_params(c->lower), &vi, params, native)) ? native : NULL;
}

// on_resolve of a value: the native result goes to the caller.
static enum trap on_resolve(struct canon_instance *i, struct canon_task *task, struct canon__call *c, const void *result)
{
	const struct canon__lower *l = c->lower;
	if (l && l->plan->type->result) {
		struct canon__cx cx = caller_context(i, task, c);
		uint64_t *vo = &c->flat_result;
		unsigned max = l->plan->options.is_async ? 0 : MAX_FLAT_RESULTS;
		unsigned out = l->plan->type->params.n_flat <= max_flat_params(l) ? l->plan->type->params.n_flat : 1;
		if (!canon__lower_flat_values(&cx, max, result, l->plan->type->result, &c->flat_args[out], &vo))
			return cx.trap;
	}
	on_progress(i, c, CALL_RETURNED);
	return TRAP_NONE;
}

// ---- tasks ----

static struct canon__async_task *task_new(struct canon_instance *i, const struct canon__lift *lift, struct canon__call *c, uint32_t depth)
{
	struct canon__async_task *at = canon__object_new(i, sizeof *at, &i->async->tasks);
	if (!at)
		return NULL;
	at->lift = lift;
	at->call = c;
	at->component = lift->plan->instance;
	at->depth = depth;
	at->scope.component = at->component;
	c->callee = at;
	return at;
}

struct canon__async_task *canon__task_of_scope(struct canon_instance *i, struct canon_scope *s)
{
	if (s->of || !canon__async_get(i))
		return s->of;
	struct canon__async_task *at = canon__object_new(i, sizeof *at, &i->async->tasks);
	if (!at)
		return NULL;
	at->component = s->component;
	at->depth = s->depth;
	at->state = TASK_STARTED;
	at->n_threads = s->thread ? 1 : 0;
	if (s->thread)
		s->thread->of = at;
	s->of = at;
	return at;
}

static void resolved(struct canon__async_task *at)
{
	at->state = TASK_RESOLVED;
	at->call->callee = NULL;
	at->call = NULL;
}

// return_ of the task, with the value that lies in flat cells.
static enum trap return_(struct canon_instance *i, struct canon_task *task, struct canon__async_task *at, const struct canon__options *o, unsigned max_flat,
	const uint64_t *flat)
{
	_Alignas(16) uint8_t small[SMALL_VALUE];
	if (at->state == TASK_RESOLVED)
		return canon__report(task, TRAP_CANON, "`task.return` or `task.cancel` called more than once for current task");
	struct canon__call *c = at->call;
	const struct wit_type *type = at->lift->plan->type->result;
	struct canon__cx cx = canon__context(i, task, o, at->component);
	cx.between = c->lower;
	cx.copy = !c->lower || c->lower->options.memory == o->memory;
	void *result = NULL;
	if (!c->lower && c->arena)
		cx.arena = c->arena;
	if (type) {
		result = c->ret ? c->ret : canon__room(&cx, small, type->size64);
		if (!result || !canon__lift_flat_values(&cx, max_flat, &flat, type, result))
			return cx.trap;
	}
	if (at->scope.num_borrows)
		return canon__report(task, TRAP_HANDLE, "borrow handles still remain at the end of the call: %u", at->scope.num_borrows);
	enum trap t = on_resolve(i, task, c, result);
	if (t == TRAP_NONE)
		resolved(at);
	return t;
}

enum trap canon__task_return(struct canon_instance *i, struct canon_task *task, struct canon__async_task *at, const struct canon__options *o,
	const uint64_t *flat)
{
	struct arena_mark mark = arena_mark(&task->arena);
	enum trap t = return_(i, task, at, o, MAX_FLAT_PARAMS, flat);
	arena_rewind(&task->arena, mark);
	return t;
}

enum trap canon__task_cancel(struct canon_instance *i, struct canon_task *task, struct canon__async_task *at)
{
	if (at->state != TASK_CANCEL_DELIVERED)
		return canon__report(task, TRAP_CANON, at->state == TASK_RESOLVED ? "`task.cancel` called by a task that has returned or been cancelled" : "`task.cancel` called by a task which has not been cancelled");
	if (at->scope.num_borrows)
		return canon__report(task, TRAP_HANDLE, "borrow handles still remain at the end of the call: %u", at->scope.num_borrows);
	struct canon__call *c = at->call;
	resolved(at);
	on_progress(i, c, c->state == CALL_STARTING ? CALL_CANCELLED_BEFORE_STARTED : CALL_CANCELLED_BEFORE_RETURNED);
	return TRAP_NONE;
}

static bool deliver_pending_cancel(struct canon__async_task *at)
{
	if (at->state != TASK_PENDING_CANCEL)
		return false;
	at->state = TASK_CANCEL_DELIVERED;
	return true;
}

static void task_unref(struct canon_instance *i, struct canon__async_task *at)
{
	if (!at->n_threads)
		canon__object_free(i, &at->object);
}

// unregister_thread: the thread ends.
static enum trap thread_ends(struct canon_instance *i, struct canon__thread *th)
{
	struct canon__async_task *at = th->of;
	canon__thread_unregister(i, th);
	if (at->n_threads == 1 && at->state != TASK_RESOLVED)
		return canon__report(&th->task, TRAP_CANON, "a task failed to produce a result: it ended without `task.return` or `task.cancel`");
	at->n_threads--;
	if (at->implicit == th)
		at->implicit = NULL;
	task_unref(i, at);
	return TRAP_NONE;
}

static void leave_exclusive(struct canon_instance *i, struct canon__thread *th)
{
	home(i, th)->exclusive = NULL;
	canon__gate_open(i, th->component);
}

// enter_implicit_thread. *ret: false: cancelled before it began.
static enum trap enter(struct canon_instance *i, struct canon__thread *th, bool *ret)
{
	struct canon__async_component *c = home(i, th);
	bool busy = i->components[th->component].backpressure > 0 || (th->needs_exclusive && c->exclusive), cancelled = false;
	if (busy || c->num_waiting_to_enter) {
		c->num_waiting_to_enter++;
		enum trap t = canon__thread_block(i, th, WAIT_ENTER, NULL, true, &cancelled);
		if (t != TRAP_NONE)
			return t;
		c->num_waiting_to_enter--;
	}
	*ret = !cancelled;
	if (cancelled) {
		enum trap t = canon__task_cancel(i, &th->task, th->of);
		th->of->n_threads--;
		th->of->implicit = NULL;
		task_unref(i, th->of);
		canon__gate_open(i, th->component);
		return t;
	}
	if (th->needs_exclusive)
		c->exclusive = th;
	canon__thread_register(i, th);
	canon__gate_open(i, th->component);
	return TRAP_NONE;
}

// on_start, and its lowering into the callee.
static enum trap start(struct canon_instance *i, struct canon__thread *th, uint64_t *flat)
{
	_Alignas(16) uint8_t small[SMALL_VALUE];
	struct canon__async_task *at = th->of;
	struct canon__call *c = at->call;
	const struct canon__lift *l = at->lift;
	const struct wit_type *params = &l->plan->type->params;
	at->state = TASK_STARTED;
	on_progress(i, c, CALL_STARTED);
	struct canon__cx cx = canon__context(i, &th->task, &l->options, at->component);
	cx.scope = &at->scope;
	cx.between = c->lower;
	const void *args = c->args;
	if (c->lower) {
		struct canon__cx from = caller_context(i, &th->task, c);
		from.between = true;
		from.copy = from.memory == cx.memory;
		args = lift_args(&from, c, small);
		if (!args)
			return from.trap;
	}
	return !params->n || canon__lower_flat_values(&cx, MAX_FLAT_PARAMS, args, params, NULL, &flat) ? TRAP_NONE : cx.trap;
}

static enum trap sync_lifted(struct canon_instance *i, struct canon__thread *th, const uint64_t *flat)
{
	struct canon__async_task *at = th->of;
	const struct canon__lift *l = at->lift;
	uint64_t results[2] = {0};
	enum trap t = canon__core_call(i, &th->task, l->func, flat, results);
	if (t == TRAP_NONE)
		t = return_(i, &th->task, at, &l->options, MAX_FLAT_RESULTS, results);
	if (t != TRAP_NONE || !l->options.post_return)
		return t;
	struct canon__component_instance *c = &i->components[th->component];
	c->may_leave = false;
	t = canon__core_call(i, &th->task, l->options.post_return, results, NULL);
	c->may_leave = true;
	return t;
}

static enum trap callback_goes_on(struct canon_instance *i, struct canon__thread *th);

// Nothing of the guest is on the stack while a callback's event is waited for. *ret_waits: callback_goes_on is next; else the event is there.
static enum trap wait_for_callback(struct canon_instance *i, struct canon__thread *th, uint32_t packed, bool *ret_waits)
{
	enum { YIELD = 1, WAIT = 2 };
	uint32_t code = packed & 0xf;
	enum trap t = TRAP_NONE;
	if (code > WAIT)
		return canon__report(&th->task, TRAP_CANON, "unsupported callback code: %u", code);
	th->set = NULL;
	if (code == WAIT && !(th->set = canon__set_find(i, &th->task, th->component, packed >> 4, &t)))
		return t;
	leave_exclusive(i, th);
	th->is_told_cancelled = deliver_pending_cancel(th->of);
	if (th->is_told_cancelled) {
		th->set = NULL;
		*ret_waits = home(i, th)->exclusive && canon__thread_leave(i, th, WAIT_EXCLUSIVE, NULL, false, callback_goes_on);
	} else if (code == YIELD) {
		*ret_waits = canon__thread_leave(i, th, WAIT_EXCLUSIVE, NULL, true, callback_goes_on);
	} else {
		th->set->num_waiting++;
		*ret_waits = canon__thread_leave(i, th, WAIT_SET_EXCLUSIVE, th->set, true, callback_goes_on);
	}
	return t;
}

// With the event that was waited for.
static enum trap call_callback(struct canon_instance *i, struct canon__thread *th, uint64_t *ret_packed)
{
	struct canon__event_tuple e = {.code = EVENT_NONE};
	enum trap t = TRAP_NONE;
	th->cancellable = false;
	home(i, th)->exclusive = th;
	if (th->set)
		th->set->num_waiting--;
	if (th->cancelled || th->is_told_cancelled)
		e.code = EVENT_TASK_CANCELLED;
	else if (th->set)
		t = canon__set_get_pending_event(i, th->set, &e);
	uint64_t args[3] = {e.code, e.index, e.payload};
	return t == TRAP_NONE ? canon__core_call(i, &th->task, th->of->lift->callback, args, ret_packed) : t;
}

static enum trap lifted_ends(struct canon_instance *i, struct canon__thread *th)
{
	enum trap t = thread_ends(i, th);
	if (t == TRAP_NONE && th->needs_exclusive)
		leave_exclusive(i, th);
	return t;
}

static enum trap with_callback(struct canon_instance *i, struct canon__thread *th, uint64_t packed)
{
	while ((packed & 0xf) != 0) {
		bool waits = false;
		enum trap t = wait_for_callback(i, th, (uint32_t)packed, &waits);
		if (t == TRAP_NONE && !waits)
			t = call_callback(i, th, &packed);
		if (t != TRAP_NONE || waits)
			return t;
	}
	return lifted_ends(i, th);
}

static enum trap callback_goes_on(struct canon_instance *i, struct canon__thread *th)
{
	uint64_t packed = 0;
	enum trap t = call_callback(i, th, &packed);
	return t == TRAP_NONE ? with_callback(i, th, packed) : t;
}

// thread_func of canon_lift.
static enum trap lifted_main(struct canon_instance *i, struct canon__thread *th)
{
	uint64_t flat[MAX_FLAT_PARAMS + 1];
	const struct canon__lift *l = th->of->lift;
	bool entered;
	enum trap t = enter(i, th, &entered);
	if (t != TRAP_NONE || !entered)
		return t;
	struct arena_mark mark = arena_mark(&th->task.arena);
	if ((t = start(i, th, flat)) != TRAP_NONE)
		return t;
	arena_rewind(&th->task.arena, mark);
	if (!l->plan->options.is_async) {
		t = sync_lifted(i, th, flat);
	} else {
		uint64_t packed = 0;
		t = canon__core_call(i, &th->task, l->func, flat, l->callback ? &packed : NULL);
		if (t == TRAP_NONE && l->callback)
			return with_callback(i, th, packed);
	}
	return t == TRAP_NONE ? lifted_ends(i, th) : t;
}

// A thread that thread.new-indirect made.
enum trap canon__spawned_main(struct canon_instance *i, struct canon__thread *th)
{
	enum trap t = canon__core_call(i, &th->task, th->func, &th->argument, NULL);
	return t == TRAP_NONE ? thread_ends(i, th) : t;
}

// ---- canon_lift ----

static enum trap no_room(struct canon_instance *i, struct canon_task *task)
{
	return canon__report(task, TRAP_OUT_OF_MEMORY, "no room for another call of an async function: %s", canon__handles_full(i, i->limits.handles));
}

// A task that can go on is in the way of one that begins: it goes first, so that the call need not wait for it (test/async/sync-streams).
static enum trap let_go_on(struct canon_instance *i, struct canon_task *task, const struct canon__lift *l)
{
	const struct canon__thread *first = i->async->components[l->plan->instance].exclusive;
	if (!first || !canon__needs_exclusive(l) || i->components[l->plan->instance].backpressure || !canon__thread_is_ready(i, first) || !task->scope)
		return TRAP_NONE;
	struct canon__thread *th = canon__current_thread(i, task);
	if (!th)
		return no_room(i, task);
	return th->is_inline ? TRAP_NONE : canon__thread_block(i, th, WAIT_TURN, NULL, false, NULL);
}

// A sync-typed call may wait only while there is another thread that can run in its place: else it is not let begin what it might have to wait for.
enum trap canon__check_may_block(struct canon_instance *i, struct canon_task *task)
{
	struct canon__thread *th, *another;
	if (task->scope->of && task->scope->of->lift)
		return TRAP_NONE;
	if (!(th = canon__current_thread(i, task)))
		return no_room(i, task);
	enum trap t = th->is_inline ? canon__thread_another(i, th, &another) : TRAP_NONE;
	if (t != TRAP_NONE || !th->is_inline || another)
		return t;
	return canon__report(task, TRAP_CANON, "cannot block a synchronous task before returning: it calls an async function");
}

// The task is made and its thread runs until it blocks.
static enum trap begin(struct canon_instance *i, struct canon_task *task, const struct canon__lift *l, struct canon__call *c, uint32_t caller)
{
	uint32_t depth = 0;
	enum trap t = canon__check_entry(i, task, l->plan->instance, caller, &depth);
	if (t != TRAP_NONE || (t = let_go_on(i, task, l)) != TRAP_NONE)
		return t;
	struct canon__async_task *at = task_new(i, l, c, depth);
	struct canon__thread *th = at ? canon__thread_new(i, at, at->component, lifted_main) : NULL;
	if (!th)
		return no_room(i, task);
	at->implicit = th;
	th->is_implicit = true;
	th->needs_exclusive = canon__needs_exclusive(l);
	return canon__thread_resume(i, th, caller, false);
}

// request_cancellation of the callee.
static enum trap request_cancellation(struct canon_instance *i, struct canon_task *task, struct canon__call *c)
{
	struct canon__async_task *at = c->callee;
	if (!at) {
		struct canon__thread *th = c->host;
		if (!th || th->wait != WAIT_HOST)
			return TRAP_NONE;
		th->cancelled = true;
		canon_task_wake(&th->task);
		return canon__thread_resume(i, th, CANON__HOST, true);
	}
	struct canon__thread *th = at->implicit;
	if (at->state == TASK_INITIAL) {
		at->state = TASK_CANCEL_DELIVERED;
		return canon__thread_resume(i, th, c->component, true);
	}
	struct canon__thread *exclusive = i->async->components[at->component].exclusive;
	bool can = th && th->cancellable && !(th->needs_exclusive && exclusive && exclusive != th);
	if (!can || !canon__may_enter_from(task, i, at->component, c->component)) {
		at->state = TASK_PENDING_CANCEL;
		return TRAP_NONE;
	}
	at->state = TASK_CANCEL_DELIVERED;
	return canon__thread_resume(i, th, c->component, true);
}

// For its host: once.
static enum trap cancel_once(struct canon_instance *i, struct canon_task *task, struct canon__call *c)
{
	task->cancels = false;
	if (c->cancellation_requested)
		return TRAP_NONE;
	c->cancellation_requested = true;
	return request_cancellation(i, task, c);
}

void canon_call_cancel(struct canon_task *root)
{
	const struct canon_instance *i = root->instance;
	root->cancels = true;
	if (i && i->host->wake)
		i->host->wake(root);
}

static enum canon_call_end end_of(const struct canon__call *c)
{
	return c->state == CALL_RETURNED ? CANON_CALL_RETURNED : c->state == CALL_CANCELLED_BEFORE_STARTED ? CANON_CALL_NEVER_STARTED
																									   : CANON_CALL_CANCELLED;
}

enum trap canon__call_async(struct canon_instance *i, struct canon_task *task, const struct canon__lift *l, const void *args, void *ret, struct arena *arena)
{
	struct canon__call *c = call_new(i, NULL, CANON__HOST);
	if (!c)
		return no_room(i, task);
	c->args = args;
	c->ret = ret;
	c->arena = arena;
	enum trap t = begin(i, task, l, c, CANON__HOST);
	while (t == TRAP_NONE && !canon__call_is_resolved(c))
		t = task->cancels ? cancel_once(i, task, c) : canon__run_threads(i, task, c);
	if (t != TRAP_NONE)
		return t;
	task->how = (uint8_t)end_of(c);
	call_free(i, c);
	return TRAP_NONE;
}

// ---- canon_lower ----

// What the caller is told: a sync one when it is over, an async one at once.
static enum trap answer(struct canon_instance *i, struct canon_task *task, struct canon__call *c, uint64_t *results)
{
	bool is_async = c->lower->plan->options.is_async;
	if (!canon__call_is_resolved(c) && is_async) {
		uint32_t index;
		struct canon__table *table = canon__table_of(i, c->component);
		if (!canon__table_add(i, table, (struct canon__handle){.kind = HANDLE_SUBTASK, .rt = NO_RESOURCE, .call = c}, &index))
			return canon__report(task, TRAP_OUT_OF_MEMORY, "%s", canon__handles_full(i, table->len));
		c->waitable.index = index;
		results[0] = c->state | index << 4;
		return TRAP_NONE;
	}
	if (!canon__call_is_resolved(c)) {
		struct canon__thread *th = c->waiter = canon__current_thread(i, task);
		enum trap t = th ? canon__thread_block(i, th, WAIT_RESOLVED, c, false, NULL) : no_room(i, task);
		if (t != TRAP_NONE)
			return t;
	}
	enum trap t = deliver_resolve(i, c);
	if (t != TRAP_NONE)
		return t;
	results[0] = is_async ? CALL_RETURNED : c->flat_result;
	call_free(i, c);
	return TRAP_NONE;
}

static struct canon__call *call_of(struct canon__lower *l, const uint64_t *args)
{
	struct canon__call *c = call_new(l->inst, l, l->plan->instance);
	if (c)
		memcpy(c->flat_args, args, l->n_params * sizeof *args);
	return c;
}

enum trap canon__lower_async_component(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	struct canon__lower *l = call->data;
	struct canon_instance *i = l->inst;
	struct canon_task *task = call->exec->task;
	if (UNLIKELY(!i->components[l->plan->instance].may_leave))
		return vm_trapf(call->shard, TRAP_CANNOT_LEAVE, "cannot leave component instance: a function was called from realloc or post-return");
	enum trap t = l->plan->options.is_async ? TRAP_NONE : canon__check_may_block(i, task);
	if (t != TRAP_NONE)
		return canon__trap_to_guest(call, task, t);
	struct canon__call *c = call_of(l, args);
	t = c ? begin(i, task, l->lift, c, l->plan->instance) : no_room(i, task);
	if (t == TRAP_NONE)
		t = answer(i, task, c, results);
	return t == TRAP_NONE ? TRAP_NONE : canon__trap_to_guest(call, task, t);
}

// A host function on a fiber of its own: it may park.
static enum trap host_main(struct canon_instance *i, struct canon__thread *th)
{
	_Alignas(16) uint8_t small[SMALL_VALUE];
	struct canon__call *c = (struct canon__call *)(uintptr_t)th->argument;
	struct canon__lower *l = UNCONST(c->lower);
	const struct wit_type *result = l->plan->type->result;
	struct canon__cx cx = caller_context(i, &th->task, c);
	cx.copy = true;
	on_progress(i, c, CALL_STARTED);
	const void *args = lift_args(&cx, c, small);
	void *ret = NULL;
	if (!args)
		return cx.trap;
	if (result && !(ret = arena_zalloc(&th->task.arena, result->size64, 8)))
		return canon__no_room(&cx, "a value", result->size64) ? TRAP_NONE : cx.trap;
	bool ok = canon__call_host(l, &cx, args, ret);
	if (!ok && !(c->cancellation_requested && cx.trap == TRAP_KILLED && !i->dead))
		return cx.trap;
	c->host = NULL;
	if (ok)
		return on_resolve(i, &th->task, c, ret);
	canon_trap_clear(th->task.trap);
	on_progress(i, c, CALL_CANCELLED_BEFORE_RETURNED);
	return TRAP_NONE;
}

// ---- host functions that wait without a stack ----

static enum trap left_main(struct canon_instance *i, struct canon__thread *th)
{
	struct canon__call *c = (struct canon__call *)(uintptr_t)th->argument;
	void (*over)(void *data) = th->over;
	th->over = NULL;
	over(th->data);
	c->host = NULL;
	on_progress(i, c, th->cancelled ? CALL_CANCELLED_BEFORE_RETURNED : CALL_RETURNED);
	return TRAP_NONE;
}

struct canon_task *canon_task_leave(struct canon_task *t, void (*over)(void *data), void *data)
{
	struct canon_instance *i = t->instance;
	struct canon__thread *th = canon__async_get(i) ? canon__thread_new(i, NULL, t->leave->component, left_main) : NULL;
	if (!th) {
		no_room(i, t);
		return NULL;
	}
	BUG_ON(!canon__thread_leave(i, th, WAIT_HOST, NULL, false, left_main));
	th->over = over;
	th->data = data;
	t->leave->thread = th;
	return &th->task;
}

enum trap canon_task_stay(struct canon_task *t)
{
	t->leave->stays = true;
	return TRAP_KILLED;
}

// On the stack of the guest that calls it.
static enum trap call_leaving(struct canon__lower *l, struct canon_task *task, const uint64_t *args, struct canon__leave *leave)
{
	_Alignas(16) uint8_t native[SMALL_VALUE];
	const struct wit_type *params = &l->plan->type->params;
	struct canon__cx cx = canon__context(l->inst, task, &l->options, l->plan->instance);
	BUG_ON(params->size64 > sizeof native || l->plan->type->result);
	task->leave = leave;
	bool ok = (!params->n || canon__lift_flat_values(&cx, max_flat_params(l), &args, params, native)) && canon__call_host(l, &cx, native, NULL);
	task->leave = NULL;
	if (ok || !leave->stays)
		return ok ? TRAP_NONE : cx.trap;
	canon_trap_clear(task->trap);
	return TRAP_NONE;
}

static enum trap answer_left(struct canon_instance *i, struct canon_task *task, struct canon__lower *l, struct canon__thread *th, uint64_t *results)
{
	struct canon__call *c = call_new(i, l, l->plan->instance);
	if (!c)
		return no_room(i, task);
	c->state = CALL_STARTED;
	c->host = th;
	th->argument = (uintptr_t)c;
	return answer(i, task, c, results);
}

static enum trap call_on_stack(struct canon_instance *i, struct canon_task *task, struct canon__lower *l, const uint64_t *args, uint64_t *results)
{
	struct canon__call *c = call_of(l, args);
	struct canon__thread *th = c ? canon__thread_new(i, NULL, l->plan->instance, host_main) : NULL;
	if (!th)
		return no_room(i, task);
	th->argument = (uintptr_t)c;
	c->host = th;
	enum trap t = canon__thread_resume(i, th, l->plan->instance, false);
	return t == TRAP_NONE ? answer(i, task, c, results) : t;
}

static enum trap call_async_host(struct canon_instance *i, struct canon_task *task, struct canon__lower *l, const uint64_t *args, uint64_t *results)
{
	struct canon__leave leave = {.component = l->plan->instance};
	if (!(l->host->flags & CANON_HOST_LEAVES))
		return call_on_stack(i, task, l, args, results);
	enum trap t = call_leaving(l, task, args, &leave);
	if (t != TRAP_NONE)
		return t;
	if (leave.stays)
		return call_on_stack(i, task, l, args, results);
	if (leave.thread)
		return answer_left(i, task, l, leave.thread, results);
	results[0] = CALL_RETURNED;
	return TRAP_NONE;
}

enum trap canon__lower_async_host(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	struct canon__lower *l = call->data;
	struct canon_instance *i = l->inst;
	struct canon_task *task = call->exec->task;
	if (UNLIKELY(!i->components[l->plan->instance].may_leave))
		return vm_trapf(call->shard, TRAP_CANNOT_LEAVE, "cannot leave component instance: %s was called from realloc or post-return", l->name);
	enum trap t = call_async_host(i, task, l, args, results);
	return t == TRAP_NONE ? TRAP_NONE : canon__trap_to_guest(call, task, t);
}

// ---- subtask.cancel, subtask.drop ----

enum trap canon__subtask_cancel(struct canon_instance *i, struct canon_task *task, struct canon__call *c, bool is_async, uint32_t *ret)
{
	if (c->is_delivered)
		return canon__report(task, TRAP_CANON, "`subtask.cancel` called after terminal status delivered");
	if (c->cancellation_requested)
		return canon__report(task, TRAP_CANON, "`subtask.cancel` called a second time");
	if (c->waitable.set && !is_async)
		return canon__report(task, TRAP_CANON, "a subtask in a waitable set cannot be cancelled synchronously");
	if (!canon__call_is_resolved(c)) {
		c->cancellation_requested = true;
		enum trap t = request_cancellation(i, task, c);
		if (t == TRAP_NONE && !canon__call_is_resolved(c)) {
			*ret = BLOCKED;
			if (is_async)
				return TRAP_NONE;
			while (t == TRAP_NONE && !canon__call_is_resolved(c)) {
				c->waitable.event = EVENT_NONE;  // that it has started is nothing to wait for
				t = canon__wait_for_pending_event(i, &c->waitable);
			}
		}
		if (t != TRAP_NONE)
			return t;
	}
	struct canon__event_tuple e;
	enum trap t = canon__get_pending_event(i, &c->waitable, &e);
	*ret = e.payload;
	return t;
}

enum trap canon__subtask_drop(struct canon_instance *i, struct canon_task *task, struct canon__call *c)
{
	if (!c->is_delivered)
		return canon__report(task, TRAP_CANON, "cannot drop a subtask which has not yet resolved");
	canon__waitable_join(i, &c->waitable, NULL);
	canon__table_remove(i, canon__table_of(i, c->component), c->waitable.index);
	call_free(i, c);
	return TRAP_NONE;
}
