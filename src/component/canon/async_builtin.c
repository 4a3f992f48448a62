// Canonical built-ins of async: the core functions, which find what their arguments name and leave the rest to the files of tasks, sets, ends and threads.
// CanonicalABI "canon task.return" and following.
#include "canon_async.h"

// What each of them begins with: nothing is called out of realloc or post-return. NULL: *ret is the trap.
static struct canon_task *leave(struct vm_call *call, enum trap *ret)
{
	const struct canon__builtin *b = call->data;
	if (b->inst->components[b->plan->instance].may_leave)
		return call->exec->task;
	*ret = vm_trapf(call->shard, TRAP_CANNOT_LEAVE, "cannot leave component instance: %s was called from realloc or post-return",
		comp_builtin_text(b->plan->kind));
	return NULL;
}

static enum trap done(struct vm_call *call, enum trap t)
{
	return t == TRAP_NONE ? TRAP_NONE : canon__trap_to_guest(call, call->exec->task, t);
}

static enum trap full(struct vm_call *call, struct canon_task *task, uint32_t component)
{
	const struct canon__builtin *b = call->data;
	return done(call, canon__report(task, TRAP_OUT_OF_MEMORY, "%s", canon__handles_full(b->inst, canon__table_of(b->inst, component)->len)));
}

// ---- tasks ----

// The task of an async lift that runs. NULL: *ret is the trap.
static struct canon__async_task *async_task(struct vm_call *call, struct canon_task *task, enum trap *ret)
{
	const struct canon__builtin *b = call->data;
	struct canon__async_task *at = task->scope->of;
	if (at && at->lift && at->lift->plan->options.is_async)
		return at;
	*ret = canon__report(task, TRAP_CANON, "`%s` called in a task whose function is not lifted with the `async` option", comp_builtin_text(b->plan->kind));
	return NULL;
}

static enum trap canon_task_return(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	const struct canon__builtin *b = call->data;
	enum trap t;
	struct canon_task *task = leave(call, &t);
	if (!task)
		return t;
	struct canon__async_task *at = async_task(call, task, &t);
	if (!at)
		return done(call, t);
	const struct canon__options *o = &at->lift->options;
	bool same = canon__types_equal(b->plan->type, at->lift->plan->type->result) && (!b->options.memory || b->options.memory == o->memory) &&
		b->options.encoding == o->encoding;
	if (!same)
		return done(call, canon__report(task, TRAP_CANON, "invalid `task.return` signature and/or options for current task"));
	return done(call, canon__task_return(b->inst, task, at, o, args));
}

static enum trap canon_task_cancel(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	const struct canon__builtin *b = call->data;
	enum trap t;
	struct canon_task *task = leave(call, &t);
	if (!task)
		return t;
	struct canon__async_task *at = async_task(call, task, &t);
	return done(call, at ? canon__task_cancel(b->inst, task, at) : t);
}

static struct canon__call *subtask(struct vm_call *call, struct canon_task *task, uint32_t index, enum trap *ret)
{
	const struct canon__builtin *b = call->data;
	const struct canon__handle *h = canon__table_get(canon__table_of(b->inst, b->plan->instance), index);
	if (h && h->kind == HANDLE_SUBTASK)
		return h->call;
	*ret = canon__report(task, TRAP_HANDLE, h ? "handle index %u is no subtask" : "unknown handle index %u", index);
	return NULL;
}

static enum trap canon_subtask_cancel(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	const struct canon__builtin *b = call->data;
	enum trap t;
	uint32_t state = 0;
	struct canon_task *task = leave(call, &t);
	if (!task)
		return t;
	struct canon__call *c = subtask(call, task, (uint32_t)args[0], &t);
	if (c)
		t = canon__subtask_cancel(b->inst, task, c, b->plan->is_async, &state);
	results[0] = state;
	return done(call, t);
}

static enum trap canon_subtask_drop(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	const struct canon__builtin *b = call->data;
	enum trap t;
	struct canon_task *task = leave(call, &t);
	if (!task)
		return t;
	struct canon__call *c = subtask(call, task, (uint32_t)args[0], &t);
	return done(call, c ? canon__subtask_drop(b->inst, task, c) : t);
}

// ---- waitable sets ----

static enum trap canon_waitable_set_new(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	const struct canon__builtin *b = call->data;
	struct canon_instance *i = b->inst;
	enum trap t;
	struct canon_task *task = leave(call, &t);
	if (!task)
		return t;
	struct canon__set *s = canon__async_get(i) ? canon__object_new(i, sizeof *s, &i->async->sets) : NULL;
	uint32_t index;
	if (!s || !canon__table_add(i, canon__table_of(i, b->plan->instance), (struct canon__handle){.kind = HANDLE_SET, .rt = NO_RESOURCE, .set = s}, &index))
		return full(call, task, b->plan->instance);
	results[0] = index;
	return TRAP_NONE;
}

// The set, and the place for its event. NULL: *ret is the trap.
static struct canon__set *set_and_place(struct vm_call *call, struct canon_task *task, const uint64_t *args, uint8_t **place, enum trap *ret)
{
	const struct canon__builtin *b = call->data;
	struct canon__set *s = canon__set_find(b->inst, task, b->plan->instance, (uint32_t)args[0], ret);
	if (!s)
		return NULL;
	uint64_t ptr = canon__ptr(b->options.wide, args[1]);
	*place = ptr & 3 ? NULL : vm_memory_map(b->options.memory, ptr, 8);
	if (*place)
		return s;
	*ret = canon__report(task, TRAP_CANON, "pointer 0x%llx for an event is not aligned or out of bounds of memory", (unsigned long long)ptr);
	return NULL;
}

static void unpack_event(const struct canon__event_tuple *e, uint8_t *place, uint64_t *results)
{
	memcpy(place, &e->index, 4);
	memcpy(place + 4, &e->payload, 4);
	results[0] = e->code;
}

static enum trap canon_waitable_set_wait(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	const struct canon__builtin *b = call->data;
	struct canon_instance *i = b->inst;
	enum trap t;
	uint8_t *place;
	struct canon_task *task = leave(call, &t);
	if (!task)
		return t;
	struct canon__set *s = set_and_place(call, task, args, &place, &t);
	struct canon__thread *th = s ? canon__current_thread(i, task) : NULL;
	if (!th)
		return s ? full(call, task, b->plan->instance) : done(call, t);
	struct canon__event_tuple e;
	s->num_waiting++;
	t = canon__thread_block(i, th, WAIT_SET, s, false, NULL);
	if (t == TRAP_NONE)
		t = canon__set_get_pending_event(i, s, &e);
	if (t != TRAP_NONE)
		return done(call, t);
	s->num_waiting--;
	unpack_event(&e, place, results);
	return TRAP_NONE;
}

static enum trap canon_waitable_set_poll(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	const struct canon__builtin *b = call->data;
	enum trap t;
	uint8_t *place;
	struct canon_task *task = leave(call, &t);
	if (!task)
		return t;
	struct canon__set *s = set_and_place(call, task, args, &place, &t);
	struct canon__event_tuple e = {.code = EVENT_NONE};
	if (s)
		t = s->first ? canon__set_get_pending_event(b->inst, s, &e) : TRAP_NONE;
	if (t == TRAP_NONE)
		unpack_event(&e, place, results);
	return done(call, t);
}

static enum trap canon_waitable_set_drop(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	const struct canon__builtin *b = call->data;
	enum trap t;
	struct canon_task *task = leave(call, &t);
	if (!task)
		return t;
	struct canon__set *s = canon__set_find(b->inst, task, b->plan->instance, (uint32_t)args[0], &t);
	if (!s)
		return done(call, t);
	if (s->n_elems)
		return done(call, canon__report(task, TRAP_CANON, "cannot drop waitable set with %u waitables in it: handle index %u", s->n_elems, (uint32_t)args[0]));
	if (s->num_waiting)
		return done(call, canon__report(task, TRAP_CANON, "cannot drop waitable set with waiters: handle index %u", (uint32_t)args[0]));
	canon__table_remove(b->inst, canon__table_of(b->inst, b->plan->instance), (uint32_t)args[0]);
	canon__object_free(b->inst, &s->object);
	return TRAP_NONE;
}

static struct canon__waitable *waitable_of(const struct canon__handle *h)
{
	if (!h || h->kind < HANDLE_SUBTASK || h->kind == HANDLE_SET)
		return NULL;
	return h->kind == HANDLE_SUBTASK ? &h->call->waitable : &h->end->waitable;
}

static enum trap canon_waitable_join(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	const struct canon__builtin *b = call->data;
	enum trap t;
	struct canon_task *task = leave(call, &t);
	if (!task)
		return t;
	uint32_t index = (uint32_t)args[0];
	const struct canon__handle *h = canon__table_get(canon__table_of(b->inst, b->plan->instance), index);
	struct canon__waitable *w = waitable_of(h);
	if (!w)
		return done(call, canon__report(task, TRAP_HANDLE, h ? "handle index %u is no waitable" : "unknown handle index %u", index));
	if (w->has_sync_waiter)
		return done(call, canon__report(task, TRAP_CANON, "handle index %u is being waited for synchronously", index));
	struct canon__set *s = args[1] ? canon__set_find(b->inst, task, b->plan->instance, (uint32_t)args[1], &t) : NULL;
	if (args[1] && !s)
		return done(call, t);
	canon__waitable_join(b->inst, w, s);
	return TRAP_NONE;
}

// ---- streams and futures ----

static enum trap canon_new(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	const struct canon__builtin *b = call->data;
	enum trap t;
	struct canon_task *task = leave(call, &t);
	return task ? done(call, canon__stream_new(b->inst, task, b->plan, results)) : t;
}

static enum trap canon_copy(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	enum trap t;
	struct canon_task *task = leave(call, &t);
	return task ? done(call, canon__stream_copy(call->data, task, args, results)) : t;
}

static enum trap canon_cancel(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	enum trap t;
	struct canon_task *task = leave(call, &t);
	return task ? done(call, canon__cancel_copy(call->data, task, args, results)) : t;
}

static enum trap canon_drop(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	enum trap t;
	struct canon_task *task = leave(call, &t);
	return task ? done(call, canon__drop_end(call->data, task, args)) : t;
}

// ---- threads ----

// The thread that runs, for a built-in that needs one. NULL: *ret is what the guest gets.
static struct canon__thread *current(struct vm_call *call, struct canon_task **task, enum trap *ret)
{
	const struct canon__builtin *b = call->data;
	*task = leave(call, ret);
	if (!*task)
		return NULL;
	struct canon__thread *th = canon__current_thread(b->inst, *task);
	if (!th)
		*ret = full(call, *task, b->plan->instance);
	return th;
}

// The thread that the guest names. NULL: *ret is the trap.
static struct canon__thread *other(struct vm_call *call, struct canon_task *task, uint64_t index, bool suspended, enum trap *ret)
{
	const struct canon__builtin *b = call->data;
	struct canon__thread *th = b->inst->async ? canon__thread_find(b->inst, b->plan->instance, (uint32_t)index) : NULL;
	if (!th)
		*ret = canon__report(task, TRAP_HANDLE, "unknown thread index %u", (uint32_t)index);
	else if (suspended && th->wait != WAIT_SUSPENDED)
		*ret = canon__report(task, TRAP_CANON, "cannot resume thread %u which is not suspended", (uint32_t)index);
	else
		return th;
	return NULL;
}

static enum trap canon_thread_index(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	const struct canon__builtin *b = call->data;
	struct canon_task *task;
	enum trap t;
	struct canon__thread *th = current(call, &task, &t);
	if (!th)
		return t;
	if (!canon__thread_give_index(b->inst, th))
		return full(call, task, b->plan->instance);
	results[0] = th->index;
	return TRAP_NONE;
}

static enum trap canon_thread_new_indirect(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	const struct canon__builtin *b = call->data;
	struct canon_instance *i = b->inst;
	enum trap t;
	uint32_t func = 0;
	struct canon_task *task = leave(call, &t);
	if (!task)
		return t;
	if (!vm_table_get(b->table, args[0], &func))
		return done(call, canon__report(task, TRAP_TABLE_OUT_OF_BOUNDS, "%s", trap_text(TRAP_TABLE_OUT_OF_BOUNDS)));
	if (!func)
		return done(call, canon__report(task, TRAP_UNINITIALIZED_ELEMENT, "%s", trap_text(TRAP_UNINITIALIZED_ELEMENT)));
	if (vm_func_type_id(i->store, func) != b->plan->func_type)
		return done(call, canon__report(task, TRAP_INDIRECT_CALL_TYPE, "%s", trap_text(TRAP_INDIRECT_CALL_TYPE)));
	struct canon__async_task *at = canon__task_of_scope(i, task->scope);
	struct canon__thread *th = at ? canon__thread_new(i, at, b->plan->instance, canon__spawned_main) : NULL;
	if (!th || !canon__thread_give_index(i, th))
		return full(call, task, b->plan->instance);
	canon__thread_register(i, th);
	th->func = func;
	th->argument = args[1];
	results[0] = th->index;
	return TRAP_NONE;
}

static enum trap canon_thread_resume_later(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	const struct canon__builtin *b = call->data;
	enum trap t;
	struct canon_task *task = leave(call, &t);
	if (!task)
		return t;
	struct canon__thread *th = other(call, task, args[0], true, &t);
	if (!th)
		return done(call, t);
	canon__thread_resume_later(b->inst, th);
	return TRAP_NONE;
}

// thread.suspend, thread.yield.
static enum trap blocks(struct vm_call *call, enum canon__wait wait, uint64_t *results)
{
	const struct canon__builtin *b = call->data;
	struct canon_task *task;
	enum trap t;
	struct canon__thread *th = current(call, &task, &t);
	if (!th)
		return t;
	results[0] = 0;
	return done(call, canon__thread_block(b->inst, th, wait, NULL, false, NULL));
}

static enum trap canon_thread_suspend(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	return blocks(call, WAIT_SUSPENDED, results);
}

static enum trap canon_thread_yield(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	return blocks(call, WAIT_TURN, results);
}

// thread.{suspend,yield}-then-{resume,promote}.
static enum trap switches(struct vm_call *call, enum canon__wait wait, bool promotes, const uint64_t *args, uint64_t *results)
{
	const struct canon__builtin *b = call->data;
	struct canon_task *task;
	enum trap t;
	struct canon__thread *th = current(call, &task, &t);
	if (!th)
		return t;
	struct canon__thread *to = other(call, task, args[0], !promotes, &t);
	if (!to)
		return done(call, t);
	results[0] = 0;
	if (promotes && (to->wait == WAIT_SUSPENDED || !canon__thread_is_ready(b->inst, to)))
		return done(call, canon__thread_block(b->inst, th, wait, NULL, false, NULL));
	return done(call, canon__thread_switch(b->inst, th, wait, to));
}

static enum trap canon_thread_suspend_then_resume(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	return switches(call, WAIT_SUSPENDED, false, args, results);
}

static enum trap canon_thread_yield_then_resume(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	return switches(call, WAIT_TURN, false, args, results);
}

static enum trap canon_thread_suspend_then_promote(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	return switches(call, WAIT_SUSPENDED, true, args, results);
}

static enum trap canon_thread_yield_then_promote(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	return switches(call, WAIT_TURN, true, args, results);
}

vm_host_fn canon__async_builtin_fn(unsigned kind)
{
	static const vm_host_fn fns[COMP_BUILTIN_COUNT] = {
		[COMP_BUILTIN_TASK_RETURN] = canon_task_return,
		[COMP_BUILTIN_TASK_CANCEL] = canon_task_cancel,
		[COMP_BUILTIN_SUBTASK_CANCEL] = canon_subtask_cancel,
		[COMP_BUILTIN_SUBTASK_DROP] = canon_subtask_drop,
		[COMP_BUILTIN_WAITABLE_SET_NEW] = canon_waitable_set_new,
		[COMP_BUILTIN_WAITABLE_SET_WAIT] = canon_waitable_set_wait,
		[COMP_BUILTIN_WAITABLE_SET_POLL] = canon_waitable_set_poll,
		[COMP_BUILTIN_WAITABLE_SET_DROP] = canon_waitable_set_drop,
		[COMP_BUILTIN_WAITABLE_JOIN] = canon_waitable_join,
		[COMP_BUILTIN_STREAM_NEW] = canon_new,
		[COMP_BUILTIN_FUTURE_NEW] = canon_new,
		[COMP_BUILTIN_STREAM_READ] = canon_copy,
		[COMP_BUILTIN_STREAM_WRITE] = canon_copy,
		[COMP_BUILTIN_FUTURE_READ] = canon_copy,
		[COMP_BUILTIN_FUTURE_WRITE] = canon_copy,
		[COMP_BUILTIN_STREAM_CANCEL_READ] = canon_cancel,
		[COMP_BUILTIN_STREAM_CANCEL_WRITE] = canon_cancel,
		[COMP_BUILTIN_FUTURE_CANCEL_READ] = canon_cancel,
		[COMP_BUILTIN_FUTURE_CANCEL_WRITE] = canon_cancel,
		[COMP_BUILTIN_STREAM_DROP_READABLE] = canon_drop,
		[COMP_BUILTIN_STREAM_DROP_WRITABLE] = canon_drop,
		[COMP_BUILTIN_FUTURE_DROP_READABLE] = canon_drop,
		[COMP_BUILTIN_FUTURE_DROP_WRITABLE] = canon_drop,
		[COMP_BUILTIN_THREAD_YIELD] = canon_thread_yield,
		[COMP_BUILTIN_THREAD_INDEX] = canon_thread_index,
		[COMP_BUILTIN_THREAD_NEW_INDIRECT] = canon_thread_new_indirect,
		[COMP_BUILTIN_THREAD_RESUME_LATER] = canon_thread_resume_later,
		[COMP_BUILTIN_THREAD_SUSPEND] = canon_thread_suspend,
		[COMP_BUILTIN_THREAD_SUSPEND_THEN_RESUME] = canon_thread_suspend_then_resume,
		[COMP_BUILTIN_THREAD_YIELD_THEN_RESUME] = canon_thread_yield_then_resume,
		[COMP_BUILTIN_THREAD_SUSPEND_THEN_PROMOTE] = canon_thread_suspend_then_promote,
		[COMP_BUILTIN_THREAD_YIELD_THEN_PROMOTE] = canon_thread_yield_then_promote,
	};
	return fns[kind];
}
