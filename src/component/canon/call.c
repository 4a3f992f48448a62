// Calls: canon_lift and canon_lower, between components, to host functions and from host code. CanonicalABI "canon lift", "canon lower",
// "Component Instances", "Tasks": the part of sync-typed functions, and of host functions that a sync lower calls; async_task.c has the rest.
//
// 1. Each call into a component is a scope on the stack of its task (task.c). may_leave is false in realloc and post-return (C38).
// 2. Native values of one call lie in the task's arena above a mark, and go when the call returns.
#include "canon_int.h"

enum { SMALL_VALUE = 256 };  // bytes of native parameters or result kept on the stack

// ---- contexts ----

static bool reallocate(struct canon__cx *cx, uint64_t old, uint64_t old_size, uint32_t align, uint64_t size, uint64_t *ret)
{
	struct canon_instance *i = cx->inst;
	uint64_t args[4] = {old, old_size, align, size}, result;
	struct canon__component_instance *c = &i->components[cx->component];
	uint64_t slots[2] = {i->exec->context[0], i->exec->context[1]};
	c->may_leave = false;
	i->exec->context[0] = i->exec->context[1] = 0;  // realloc has slots of its own, zero at its start (C62)
	cx->trap = canon__core_call(i, cx->task, cx->realloc, args, &result);
	i->exec->context[0] = slots[0];
	i->exec->context[1] = slots[1];
	c->may_leave = true;
	if (UNLIKELY(cx->trap != TRAP_NONE))
		return false;
	*ret = canon__ptr(cx->wide, result);
	return true;
}

struct canon__cx canon__context(struct canon_instance *i, struct canon_task *task, const struct canon__options *o, uint32_t component)
{
	return (struct canon__cx){
		.inst = i,
		.task = task,
		.memory = o->memory,
		.realloc = o->realloc,
		.encoding = o->encoding,
		.wide = o->wide,
		.component = component,
		.arena = &task->arena,
		.reallocate = reallocate,
	};
}

// Room for a native value: the caller's small buffer or the arena.
void *canon__room(struct canon__cx *cx, void *small, uint32_t size)
{
	if (LIKELY(size <= SMALL_VALUE))
		return small;
	void *p = arena_alloc(cx->arena, size, 8);
	if (!p)
		canon__no_room(cx, "a value", size);
	return p;
}

// The same for a result: zeroed.
static void *zeroed_room(struct canon__cx *cx, void *small, uint32_t size)
{
	enum { MOST = 64 };  // a few stores, no call
	if (LIKELY(size <= MOST))
		return memset(small, 0, MOST);
	void *p = canon__room(cx, small, size);
	return p ? memset(p, 0, size) : NULL;
}

// ---- canon lower of a host function ----

// Before a host function is called. false: an image is being learned, which ends here.
static bool begin_host(struct canon_instance *i, struct canon__cx *cx, const char *name, uint32_t flags)
{
	if (UNLIKELY(i->learning && (flags & CANON_HOST_CUTS))) {
		i->cut_by = name;
		return canon__fail(cx, TRAP_KILLED, "the image is cut before %s", name);
	}
	i->called_host = true;
	return true;
}

// It has returned cx->trap.
static bool end_host(struct canon_instance *i, struct canon__cx *cx)
{
	struct canon_trap *report = cx->task->trap;  // now: who resumed it may be another than before it parked
	if (UNLIKELY(i->dead && cx->trap == TRAP_NONE))  // another task trapped while this one was parked
		return canon__fail(cx, TRAP_POISONED, "%s", trap_text(TRAP_POISONED));
	if (LIKELY(cx->trap == TRAP_NONE && report->trap == TRAP_NONE))
		return true;
	if (cx->trap == TRAP_NONE)
		report->trap = TRAP_NONE;  // said, and then thought better of
	else if (report->trap == TRAP_NONE)
		canon__report(cx->task, cx->trap, "%s", trap_text(cx->trap));
	return cx->trap == TRAP_NONE;
}

bool canon__call_host(struct canon__lower *l, struct canon__cx *cx, const void *args, void *ret)
{
	if (!begin_host(l->inst, cx, l->name, l->host->flags))
		return false;
	cx->trap = l->host->fn(cx->task, l->inst, l->host->data, args, ret);
	return end_host(l->inst, cx);
}

static bool lower_host(struct canon__lower *l, struct canon__cx *cx, const uint64_t *args, uint64_t *results)
{
	_Alignas(16) uint8_t small_args[SMALL_VALUE], small_ret[SMALL_VALUE];
	const struct wit_func_type *type = l->plan->type;
	struct canon__subtask subtask;
	subtask.n = subtask.cap = 0;
	cx->subtask = &subtask;
	void *native = NULL, *ret = NULL;
	const uint64_t *vi = args;
	if (type->params.n) {
		native = canon__room(cx, small_args, l->params_size);
		if (!native || !canon__lift_flat_values(cx, MAX_FLAT_PARAMS, &vi, &type->params, native))
			return false;
	}
	if (type->result) {
		ret = zeroed_room(cx, small_ret, l->result_size);
		if (!ret)
			return false;
	}
	if (!canon__call_host(l, cx, native, ret))
		return false;
	if (ret && !canon__lower_flat_values(cx, MAX_FLAT_RESULTS, ret, type->result, &args[l->out_param], &results))
		return false;
	return canon__deliver_resolve(cx, &subtask);
}

enum trap canon__lower_host(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	struct canon__lower *l = call->data;
	struct canon_instance *i = l->inst;
	if (UNLIKELY(!i->components[l->plan->instance].may_leave))
		return vm_trapf(call->shard, TRAP_CANNOT_LEAVE, "cannot leave component instance: %s was called from realloc or post-return", l->name);
	struct canon_task *task = call->exec->task;
	struct canon__cx cx = canon__context(i, task, &l->options, l->plan->instance);
	cx.copy = !(l->host->flags & CANON_HOST_NEVER_PARKS);
	struct arena_mark mark = arena_mark(&task->arena);
	bool ok = lower_host(l, &cx, args, results);
	arena_rewind(&task->arena, mark);
	return ok ? TRAP_NONE : canon__trap_to_guest(call, task, cx.trap);
}

// A core function of the host has no part in the canonical ABI but for the rule that nobody leaves from realloc or post-return. What gives the same in each
// instance may be called from there as well: a linker may have put constructors before `cabi_realloc`, and those ask for the environment.
enum trap canon__core_host(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	struct canon__core_func *f = call->data;
	struct canon_instance *i = f->inst;
	if (UNLIKELY(!i->components[0].may_leave && (f->host->flags & CANON_HOST_CUTS)))
		return vm_trapf(call->shard, TRAP_CANNOT_LEAVE, "cannot leave component instance: %s was called from realloc or post-return", f->name);
	struct canon_task *task = call->exec->task;
	struct canon__cx cx = {.inst = i, .task = task};
	struct arena_mark mark = arena_mark(&task->arena);
	bool ok = begin_host(i, &cx, f->name, f->host->flags);
	if (ok) {
		cx.trap = f->host->fn(task, i, f->host->data, f->memory, args, results);
		ok = end_host(i, &cx);
	}
	arena_rewind(&task->arena, mark);
	return ok ? TRAP_NONE : canon__trap_to_guest(call, task, cx.trap);
}

// ---- canon lift ----

// Who calls a lifted function: host code with native values, or a component with flat ones.
struct caller {
	uint32_t component;  // CANON__HOST
	// Host code.
	const void *args;
	void *ret;
	struct arena *arena;  // of the result's parts
	// A component.
	struct canon__cx *cx;
	const struct canon__lower *lower;
	const uint64_t *flat_args;
	uint64_t *flat_results;
};

// on_start: the native parameters.
static bool on_start(struct caller *from, struct canon__cx *cx, const struct wit_func_type *type, void *small, const void **ret)
{
	*ret = from->args;
	if (from->component == CANON__HOST || !type->params.n)
		return true;
	const struct wit_type *params = &from->lower->plan->type->params;
	void *native = canon__room(cx, small, params->size64);
	const uint64_t *vi = from->flat_args;
	if (!native)
		return false;
	*ret = native;
	if (canon__lift_flat_values(from->cx, MAX_FLAT_PARAMS, &vi, params, native))
		return true;
	cx->trap = from->cx->trap;
	return false;
}

// on_resolve: the native result goes to the caller.
static bool on_resolve(struct caller *from, struct canon__cx *cx, const void *result)
{
	if (from->component == CANON__HOST || !result)
		return true;
	const struct canon__lower *l = from->lower;
	uint64_t *vo = from->flat_results;
	if (canon__lower_flat_values(from->cx, MAX_FLAT_RESULTS, result, l->plan->type->result, &from->flat_args[l->out_param], &vo))
		return true;
	cx->trap = from->cx->trap;
	return false;
}

static bool core(struct canon__cx *cx, uint32_t func, const uint64_t *args, uint64_t *results)
{
	cx->trap = canon__core_call(cx->inst, cx->task, func, args, results);
	return cx->trap == TRAP_NONE;
}

static bool post_return(struct canon__cx *cx, const struct canon__lift *l, const uint64_t *flat_results)
{
	struct canon__component_instance *c = &cx->inst->components[cx->component];
	c->may_leave = false;
	bool ok = core(cx, l->options.post_return, flat_results, NULL);
	c->may_leave = true;
	return ok;
}

static bool thread_func(struct canon__cx *cx, const struct canon__lift *l, struct canon_scope *scope, struct caller *from)
{
	_Alignas(16) uint8_t small_args[SMALL_VALUE], small_ret[SMALL_VALUE];
	const struct wit_func_type *type = l->plan->type;
	uint64_t flat[MAX_FLAT_PARAMS + 1], *vo = flat, flat_results[2] = {0};
	const void *args;
	if (!on_start(from, cx, type, small_args, &args) ||
		(type->params.n && !canon__lower_flat_values(cx, MAX_FLAT_PARAMS, args, &type->params, NULL, &vo)) || !core(cx, l->func, flat, flat_results))
		return false;
	void *result = NULL;
	if (type->result) {
		const uint64_t *vi = flat_results;
		result = from->ret ? from->ret : canon__room(cx, small_ret, type->result->size64);
		if (!result)
			return false;
		cx->scope = NULL;
		if (from->component == CANON__HOST && from->arena)
			cx->arena = from->arena;
		if (!canon__lift_flat_values(cx, MAX_FLAT_RESULTS, &vi, type->result, result))
			return false;
	}
	if (scope->num_borrows)
		return canon__fail(cx, TRAP_HANDLE, "borrow handles still remain at the end of the call: %u", scope->num_borrows);
	if (!on_resolve(from, cx, result))
		return false;
	return !l->options.post_return || post_return(cx, l, flat_results);
}

enum trap canon__check_entry(struct canon_instance *i, struct canon_task *task, uint32_t callee, uint32_t caller, uint32_t *ret_depth)
{
	if (UNLIKELY(!canon__may_enter_from(task, i, callee, caller) || canon__is_donut(i, callee, caller)))
		return canon__report(task, TRAP_CANNOT_ENTER, "cannot enter component instance: it, or one that contains it, is on the stack already");
	*ret_depth = task->scope ? task->scope->depth + 1 : 0;
	if (UNLIKELY(i->limits.call_depth && *ret_depth > i->limits.call_depth))
		return canon__report(task, TRAP_STACK_OVERFLOW, "calls between components are nested too deeply (limit %u)", i->limits.call_depth);
	return TRAP_NONE;
}

static enum trap canon_lift(struct canon_instance *i, struct canon_task *task, const struct canon__lift *l, struct caller *from)
{
	uint32_t callee = l->plan->instance;
	struct canon_scope scope = {.component = callee, .caller = from->component};
	enum trap t = canon__check_entry(i, task, callee, from->component, &scope.depth);
	if (UNLIKELY(t != TRAP_NONE))
		return t;
	struct canon__cx cx = canon__context(i, task, &l->options, callee);
	cx.scope = &scope;
	cx.between = from->component != CANON__HOST;
	// Host code gets copies, because post-return frees what the guest gave; so does a component that calls into the memory that it lifts from.
	cx.copy = !cx.between || from->cx->memory == cx.memory;
	if (from->cx)
		from->cx->copy = cx.copy;
	canon__scope_enter(i, task, &scope);
	if (!thread_func(&cx, l, &scope, from))
		return cx.trap;
	canon__scope_leave(i, task, &scope);
	return TRAP_NONE;
}

// ---- canon lower of a component's function ----

enum trap canon__lower_component(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	struct canon__lower *l = call->data;
	struct canon_instance *i = l->inst;
	uint32_t caller = l->plan->instance;
	if (UNLIKELY(!i->components[caller].may_leave))
		return vm_trapf(call->shard, TRAP_CANNOT_LEAVE, "cannot leave component instance: a function was called from realloc or post-return");
	struct canon_task *task = call->exec->task;
	struct canon__cx cx = canon__context(i, task, &l->options, caller);
	struct canon__subtask subtask;
	subtask.n = subtask.cap = 0;
	cx.subtask = &subtask;
	cx.between = true;
	struct arena_mark mark = arena_mark(&task->arena);
	struct caller from = {.component = caller, .cx = &cx, .lower = l, .flat_args = args, .flat_results = results};
	enum trap t = canon_lift(i, task, l->lift, &from);
	if (t == TRAP_NONE && !canon__deliver_resolve(&cx, &subtask))
		t = cx.trap;
	arena_rewind(&task->arena, mark);
	return t == TRAP_NONE ? TRAP_NONE : canon__trap_to_guest(call, task, t);
}

// ---- calls from host code ----

enum trap canon__lift_for_host(struct canon_instance *i, struct canon_task *task, const struct canon__lift *l, const void *args, void *ret, struct arena *arena)
{
	struct caller from = {.component = CANON__HOST, .args = args, .ret = ret, .arena = arena};
	return canon_lift(i, task, l, &from);
}

// ---- destructors ----

enum trap canon__destroy(struct canon_instance *i, struct canon_task *t, uint32_t rt, uint32_t rep, uint32_t caller)
{
	const struct canon__resource *r = &i->resources[rt];
	if (!canon__may_enter_from(t, i, r->component, caller))
		return canon__report(t, TRAP_CANNOT_ENTER, "cannot enter component instance: the resource's destructor is in one that is on the stack already");
	uint64_t arg;
	if (!canon__rep_get(i, rt, rep, &arg))
		return canon__report(t, TRAP_HOST, "the host dropped an unknown resource: %u", rep);
	canon__rep_free(i, rt, rep);
	if (!r->dtor)
		return TRAP_NONE;
	// Of one's own resource it is no call between components: the stack bounds those.
	struct canon_scope scope = {.component = r->component, .caller = caller, .depth = t->scope ? t->scope->depth + (caller != r->component) : 0};
	if (i->limits.call_depth && scope.depth > i->limits.call_depth)
		return canon__report(t, TRAP_STACK_OVERFLOW, "calls between components are nested too deeply (limit %u)", i->limits.call_depth);
	canon__scope_enter(i, t, &scope);
	enum trap trap = canon__core_call(i, t, r->dtor, &arg, NULL);
	if (trap == TRAP_NONE)
		canon__scope_leave(i, t, &scope);
	return trap;
}

bool canon_guest_resource_drop(struct canon_instance *i, const struct wit_resource *type, uint32_t rep, struct canon_task *t, struct canon_trap *trap)
{
	uint32_t rt = canon__resource_index(type);
	struct canon__own own;
	t = canon__task_begin(i, t, trap, &own);
	enum trap end = TRAP_NONE;
	if (i->dead)
		end = TRAP_POISONED;
	else if (i->resources[rt].component == CANON__HOST)
		canon_host_resource_drop(i, rep);
	else
		end = canon__destroy(i, t, rt, rep, CANON__HOST);
	bool ok = end == TRAP_NONE || canon__end(i, t, end);
	canon__task_end(i, t, &own);
	return ok;
}
