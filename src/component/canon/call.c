// Calls: canon_lift and canon_lower, between components, to host functions and from host code. CanonicalABI "canon lift", "canon lower",
// "Component Instances", "Tasks" (the part that calls without async need).
//
// 1. Each call into a component is a task on the C stack of its caller: inst->task is the innermost. A trap returns through all of them; nothing is
//    undone then, because the store is dead.
// 2. may_enter is false for the component instances that are on the stack: entering_set (C40). may_leave is false in realloc and post-return (C38).
// 3. Native values of one call lie in inst->arena above a mark, and go when the call returns.
// 4. The first trap, the innermost, is the one that is told: inst->trap.
#include "canon_int.h"

#include <stdarg.h>

enum { SMALL_VALUE = 256 };  // bytes of native parameters or result kept on the stack

// ---- traps ----

bool canon__fail(struct canon__cx *cx, enum trap t, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(cx->inst->message, sizeof(cx->inst->message), fmt, ap);
	va_end(ap);
	cx->trap = t;
	return false;
}

bool canon__no_room(struct canon__cx *cx, const char *what, uint64_t n)
{
	if (cx->inst->pool.over)
		return canon__fail(cx, TRAP_OUT_OF_MEMORY, "no memory for %s of %llu bytes: the instance's limit is reached (--memory)", what, (unsigned long long)n);
	return canon__fail(cx, TRAP_OUT_OF_MEMORY, "%s of %llu bytes exceeds the memory of one call", what, (unsigned long long)n);
}

bool canon__ended(struct canon__cx *cx, enum trap t)
{
	return canon__fail(cx, t, "%s", trap_text(t));
}

bool canon__copy(struct canon__cx *cx, void *dst, const void *src, uint64_t n)
{
	if (LIKELY(n <= VM_WORK_LOOK)) {
		if (n)
			memmove(dst, src, n);
		return canon__work(cx, n);
	}
	for (uint64_t at = 0; at < n; at += VM_WORK_LOOK) {
		uint64_t piece = min_u64(n - at, VM_WORK_LOOK);
		memmove((uint8_t *)dst + at, (const uint8_t *)src + at, piece);
		if (!canon__work(cx, piece))
			return false;
	}
	return true;
}

static void remember(struct canon_instance *i, enum trap t, const char *text, const struct vm_trap_info *info)
{
	if (i->trap.trap != TRAP_NONE)
		return;
	i->trap.trap = t;
	snprintf(i->trap.text, sizeof(i->trap.text), "%s", text && text[0] ? text : trap_text(t));
	if (!info)
		return;
	struct buf b = {.max = 1 << 16};
	vm_trap_print(info, &b);
	struct slice lines = slice_whole_lines(buf_view(&b), sizeof(i->trap.backtrace) - 1);
	snprintf(i->trap.backtrace, sizeof(i->trap.backtrace), "%.*s", SLICE_ARGS(lines));
	buf_release(&b);
}

enum trap canon__trapped(struct canon_instance *i, enum trap t)
{
	remember(i, t, i->message, NULL);
	return t;
}

// The same in a function that a guest called: vm adds the backtrace.
static enum trap trap_to_guest(struct vm_call *call, struct canon_instance *i, enum trap t)
{
	return vm_trapf(call->shard, t, "%s", i->message);
}

enum trap canon__core_call(struct canon_instance *i, uint32_t func, const uint64_t *args, uint64_t *results)
{
	enum trap t = vm_call(i->store, func, args, results);
	if (UNLIKELY(t != TRAP_NONE)) {
		const struct vm_trap_info *info = vm_trap_info(i->shard);
		remember(i, t, info ? info->message : NULL, info);
	}
	return t;
}

bool canon__end(struct canon_instance *i, enum trap t, struct canon_trap *ret)
{
	if (i->trap.trap == TRAP_NONE) {  // not from canon__core_call: an initialisation, a kill, a poisoned store
		const struct vm_trap_info *info = t == TRAP_POISONED ? NULL : vm_trap_info(i->shard);
		if (info && info->trap != t)
			info = NULL;
		remember(i, t, info ? info->message : NULL, info);
	}
	bool again = i->dead;
	i->dead = true;
	vm_store_poison(i->store);
	if (ret) {
		*ret = i->trap;
		ret->trap = t;
		if (again)
			snprintf(ret->text, sizeof(ret->text), "%s", trap_text(TRAP_POISONED));
	}
	return false;
}

enum trap canon_call_trap(struct canon_call *c, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(c->instance->message, sizeof(c->instance->message), fmt, ap);
	va_end(ap);
	return TRAP_HOST;
}

enum trap canon_call_exit(struct canon_call *c, int32_t code)
{
	c->instance->trap.exit_code = code;
	return TRAP_EXIT;
}

// ---- component instances: may_enter ----

static bool is_self_or_ancestor(const struct canon_instance *i, uint32_t a, uint32_t of)
{
	while (of != CANON__HOST && i->components[of].depth > i->components[a].depth)
		of = i->components[of].parent;
	return of == a;
}

bool canon__may_enter_from(const struct canon_instance *i, uint32_t callee, uint32_t caller)
{
	for (uint32_t c = callee; c != CANON__HOST && !is_self_or_ancestor(i, c, caller); c = i->components[c].parent)
		if (!i->components[c].may_enter)
			return false;
	return true;
}

// "For now, trap on parent-to-child and child-to-parent" (test/async/trap-on-reenter): what the entering set would allow between a component and one
// that contains it is refused, as others do.
static bool is_donut(const struct canon_instance *i, uint32_t callee, uint32_t caller)
{
	return caller != CANON__HOST && (is_self_or_ancestor(i, callee, caller) || is_self_or_ancestor(i, caller, callee));
}

static void set_may_enter(struct canon_instance *i, uint32_t callee, uint32_t caller, bool value)
{
	for (uint32_t c = callee; c != CANON__HOST && !is_self_or_ancestor(i, c, caller); c = i->components[c].parent)
		i->components[c].may_enter = value;
}

void canon__enter_from(struct canon_instance *i, uint32_t callee, uint32_t caller)
{
	set_may_enter(i, callee, caller, false);
}

void canon__leave_to(struct canon_instance *i, uint32_t callee, uint32_t caller)
{
	set_may_enter(i, callee, caller, true);
}

// ---- contexts ----

static bool reallocate(struct canon__cx *cx, uint32_t old, uint32_t old_size, uint32_t align, uint32_t size, uint32_t *ret)
{
	struct canon_instance *i = cx->inst;
	uint64_t args[4] = {old, old_size, align, size}, result;
	struct canon__component *c = &i->components[cx->component];
	struct canon__task *task = i->task, own = {.component = cx->component, .parent = task, .depth = task ? task->depth : 0};
	c->may_leave = false;
	i->task = &own;  // realloc has slots of its own, zero at its start (C62)
	enum trap t = canon__core_call(i, cx->realloc, args, &result);
	i->task = task;
	c->may_leave = true;
	if (t != TRAP_NONE) {
		snprintf(i->message, sizeof(i->message), "%s", i->trap.text);
		cx->trap = t;
		return false;
	}
	*ret = (uint32_t)result;
	return true;
}

static struct canon__cx context(struct canon_instance *i, const struct canon__options *o, uint32_t component)
{
	return (struct canon__cx){
		.inst = i,
		.memory = o->memory,
		.realloc = o->realloc,
		.encoding = o->encoding,
		.component = component,
		.arena = &i->arena,
		.reallocate = reallocate,
	};
}

// Room for a native value: the caller's small buffer or the arena.
static void *room(struct canon__cx *cx, void *small, uint32_t size)
{
	if (LIKELY(size <= SMALL_VALUE))
		return small;
	void *p = arena_alloc(cx->arena, size, 8);
	if (!p)
		canon__no_room(cx, "a value", size);
	return p;
}

// ---- canon lower of a host function ----

static bool call_host(struct canon__lower *l, struct canon__cx *cx, const void *args, void *ret)
{
	struct canon_instance *i = l->inst;
	if (UNLIKELY(i->learning && (l->host->flags & CANON_HOST_CUTS))) {
		i->cut_by = l->name;
		return canon__fail(cx, TRAP_KILLED, "the image is cut before %s", l->name);
	}
	struct canon_call c = {.instance = i, .data = l->host->data, .context = i->context, .arena = &i->arena};
	i->message[0] = 0;
	i->called_host = true;
	cx->trap = l->host->fn(&c, args, ret);
	if (UNLIKELY(cx->trap != TRAP_NONE && !i->message[0]))
		snprintf(i->message, sizeof(i->message), "%s", trap_text(cx->trap));
	return cx->trap == TRAP_NONE;
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
		native = room(cx, small_args, l->params_size);
		if (!native || !canon__lift_flat_values(cx, MAX_FLAT_PARAMS, &vi, &type->params, native))
			return false;
	}
	if (type->result) {
		ret = room(cx, small_ret, l->result_size);
		if (!ret)
			return false;
		memset(ret, 0, l->result_size);
	}
	if (!call_host(l, cx, native, ret))
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
	struct canon__cx cx = context(i, &l->options, l->plan->instance);
	struct arena_mark mark = arena_mark(&i->arena);
	struct canon__task *task = i->task;
	void *ctx = i->context;
	bool ok = lower_host(l, &cx, args, results);
	i->task = task;  // another call may have run while this one was parked
	i->context = ctx;
	arena_rewind(&i->arena, mark);
	return ok ? TRAP_NONE : trap_to_guest(call, i, cx.trap);
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
	void *native = room(cx, small, params->size64);
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
	cx->trap = canon__core_call(cx->inst, func, args, results);
	if (LIKELY(cx->trap == TRAP_NONE))
		return true;
	snprintf(cx->inst->message, sizeof(cx->inst->message), "%s", cx->inst->trap.text);
	return false;
}

static bool post_return(struct canon__cx *cx, const struct canon__lift *l, const uint64_t *flat_results)
{
	struct canon__component *c = &cx->inst->components[cx->component];
	c->may_leave = false;
	bool ok = core(cx, l->options.post_return, flat_results, NULL);
	c->may_leave = true;
	return ok;
}

static bool thread_func(struct canon__cx *cx, const struct canon__lift *l, struct canon__task *task, struct caller *from)
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
		result = from->ret ? from->ret : room(cx, small_ret, type->result->size64);
		if (!result)
			return false;
		cx->task = NULL;
		if (from->component == CANON__HOST && from->arena)
			cx->arena = from->arena;
		if (!canon__lift_flat_values(cx, MAX_FLAT_RESULTS, &vi, type->result, result))
			return false;
	}
	if (task->num_borrows)
		return canon__fail(cx, TRAP_HANDLE, "borrow handles still remain at the end of the call: %u", task->num_borrows);
	if (!on_resolve(from, cx, result))
		return false;
	return !l->options.post_return || post_return(cx, l, flat_results);
}

static enum trap canon_lift(struct canon_instance *i, const struct canon__lift *l, struct caller *from)
{
	uint32_t callee = l->plan->instance;
	if (UNLIKELY(!canon__may_enter_from(i, callee, from->component) || is_donut(i, callee, from->component))) {
		snprintf(i->message, sizeof(i->message), "cannot enter component instance: it, or one that contains it, is on the stack already");
		return TRAP_CANNOT_ENTER;
	}
	struct canon__task task = {.parent = i->task, .component = callee, .depth = i->task ? i->task->depth + 1 : 0};
	if (UNLIKELY(i->limits.call_depth && task.depth > i->limits.call_depth)) {
		snprintf(i->message, sizeof(i->message), "calls between components are nested too deeply (limit %u)", i->limits.call_depth);
		return TRAP_STACK_OVERFLOW;
	}
	if (UNLIKELY(l->plan->options.is_async)) {
		snprintf(i->message, sizeof(i->message), "functions lifted with the async option are not supported yet");
		return TRAP_NOT_IMPLEMENTED;
	}
	struct canon__cx cx = context(i, &l->options, callee);
	cx.task = &task;
	cx.between = from->component != CANON__HOST;
	// Host code gets copies, because post-return frees what the guest gave; so does a component that calls into the memory that it lifts from.
	cx.copy = !cx.between || from->cx->memory == cx.memory;
	if (from->cx)
		from->cx->copy = cx.copy;
	canon__enter_from(i, callee, from->component);
	i->task = &task;
	bool ok = thread_func(&cx, l, &task, from);
	if (!ok)
		return cx.trap;
	i->task = task.parent;
	canon__leave_to(i, callee, from->component);
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
	if (UNLIKELY(l->plan->options.is_async))
		return vm_trapf(call->shard, TRAP_NOT_IMPLEMENTED, "functions lowered with the async option are not supported yet");
	struct canon__cx cx = context(i, &l->options, caller);
	struct canon__subtask subtask;
	subtask.n = subtask.cap = 0;
	cx.subtask = &subtask;
	cx.between = true;
	struct arena_mark mark = arena_mark(&i->arena);
	struct caller from = {.component = caller, .cx = &cx, .lower = l, .flat_args = args, .flat_results = results};
	enum trap t = canon_lift(i, l->lift, &from);
	if (t == TRAP_NONE && !canon__deliver_resolve(&cx, &subtask))
		t = cx.trap;
	arena_rewind(&i->arena, mark);
	return t == TRAP_NONE ? TRAP_NONE : trap_to_guest(call, i, t);
}

// ---- calls from host code ----

// An export that passes an import through.
static enum trap call_import(struct canon_instance *i, const struct canon_host_func *f, struct caller *from)
{
	struct canon_call c = {.instance = i, .data = f->data, .context = i->context, .arena = from->arena};
	return f->fn(&c, from->args, from->ret);
}

bool canon_call_export(struct canon_instance *i, const struct comp_export_func *f, void *context, const void *args, void *ret, struct arena *arena,
	struct canon_trap *trap)
{
	if (i->dead)
		return canon__end(i, TRAP_POISONED, trap);
	BUG_ON(i->done != i->cc->n_steps);
	struct arena_mark mark = arena_mark(&i->arena);
	struct caller from = {.component = CANON__HOST, .args = args, .ret = ret, .arena = arena};
	i->context = context;
	i->message[0] = 0;
	enum trap t = f->func.kind == COMP_FUNC_LIFT ? canon_lift(i, &i->lifts[f->func.index], &from) : call_import(i, &i->host->funcs[f->func.index], &from);
	i->context = NULL;
	arena_rewind(&i->arena, mark);
	if (LIKELY(t == TRAP_NONE))
		return true;
	canon__trapped(i, t);
	return canon__end(i, t, trap);
}

// ---- destructors ----

enum trap canon__destroy(struct canon_instance *i, uint32_t rt, uint32_t rep, uint32_t caller)
{
	const struct canon__resource *r = &i->resources[rt];
	if (!canon__may_enter_from(i, r->component, caller)) {
		snprintf(i->message, sizeof(i->message), "cannot enter component instance: the resource's destructor is in one that is on the stack already");
		return TRAP_CANNOT_ENTER;
	}
	if (!r->dtor)
		return TRAP_NONE;
	// Of one's own resource it is no call between components: the stack bounds those.
	struct canon__task task = {.parent = i->task, .component = r->component, .depth = i->task ? i->task->depth + (caller != r->component) : 0};
	if (i->limits.call_depth && task.depth > i->limits.call_depth) {
		snprintf(i->message, sizeof(i->message), "calls between components are nested too deeply (limit %u)", i->limits.call_depth);
		return TRAP_STACK_OVERFLOW;
	}
	uint64_t arg = rep;
	canon__enter_from(i, r->component, caller);
	i->task = &task;
	enum trap t = canon__core_call(i, r->dtor, &arg, NULL);
	if (t != TRAP_NONE) {
		snprintf(i->message, sizeof(i->message), "%s", i->trap.text);
		return t;
	}
	i->task = task.parent;
	canon__leave_to(i, r->component, caller);
	return TRAP_NONE;
}

bool canon_guest_resource_drop(struct canon_instance *i, const struct wit_resource *type, uint32_t rep, struct canon_trap *trap)
{
	if (i->dead)
		return canon__end(i, TRAP_POISONED, trap);
	uint32_t rt = canon__resource_index(type);
	if (i->resources[rt].component == CANON__HOST) {
		canon_host_resource_drop(i, rep);
		return true;
	}
	enum trap t = canon__destroy(i, rt, rep, CANON__HOST);
	if (t == TRAP_NONE)
		return true;
	canon__trapped(i, t);
	return canon__end(i, t, trap);
}
