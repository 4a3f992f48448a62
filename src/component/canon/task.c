// Tasks: what they are in, and the one report of why they ended.
//
// 1. Scopes lie on the fiber's stack, the innermost first. A trap returns through all of them; nothing is undone then, because the store is dead.
// 2. may_enter is no flag: what the specification would have set for the threads on the native stack is what the running task's scopes say (C40). A parked
//    task has left the stack.
#include "canon_int.h"

#include <stdarg.h>

// ---- component instances: may_enter ----

static bool is_self_or_ancestor(const struct canon_instance *i, uint32_t a, uint32_t of)
{
	while (of != CANON__HOST && i->components[of].depth > i->components[a].depth)
		of = i->components[of].parent;
	return of == a;
}

static bool is_entered(const struct canon_task *t, const struct canon_instance *i, uint32_t c)
{
	for (const struct canon_scope *s = t->scope; s; s = s->parent)
		if (is_self_or_ancestor(i, c, s->component) && !is_self_or_ancestor(i, c, s->caller))
			return true;
	return false;
}

bool canon__may_enter_from(const struct canon_task *t, const struct canon_instance *i, uint32_t callee, uint32_t caller)
{
	if (!t->scope)
		return true;
	for (uint32_t c = callee; c != CANON__HOST && !is_self_or_ancestor(i, c, caller); c = i->components[c].parent)
		if (is_entered(t, i, c))
			return false;
	return true;
}

bool canon__is_donut(const struct canon_instance *i, uint32_t callee, uint32_t caller)
{
	return caller != CANON__HOST && (is_self_or_ancestor(i, callee, caller) || is_self_or_ancestor(i, caller, callee));
}

// ---- traps ----

static enum trap report(struct canon_task *task, enum trap t, const char *fmt, va_list ap)
{
	struct canon_trap *r = task->trap;
	if (r->is_placed)
		return t;
	r->trap = t;
	vsnprintf(r->text, sizeof(r->text), fmt, ap);
	return t;
}

enum trap canon__report(struct canon_task *task, enum trap t, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	report(task, t, fmt, ap);
	va_end(ap);
	return t;
}

bool canon__fail(struct canon__cx *cx, enum trap t, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	cx->trap = report(cx->task, t, fmt, ap);
	va_end(ap);
	return false;
}

bool canon__no_room(struct canon__cx *cx, const char *what, uint64_t n)
{
	if (cx->inst->head.pool.over)
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
	// From the end where what is still to be read would be overwritten: both may be buffers of one component.
	bool backward = (uintptr_t)dst > (uintptr_t)src;
	for (uint64_t done = 0; done < n;) {
		uint64_t piece = min_u64(n - done, VM_WORK_LOOK), at = backward ? n - done - piece : done;
		memmove((uint8_t *)dst + at, (const uint8_t *)src + at, piece);
		done += piece;
		if (!canon__work(cx, piece))
			return false;
	}
	return true;
}

enum trap canon__trap_to_guest(struct vm_call *call, const struct canon_task *task, enum trap t)
{
	return vm_trapf(call->shard, t, "%s", task->trap->text);
}

// What vm knows of the trap that it returned last, where that is told for the first time.
void canon__add_backtrace(struct canon_instance *i, struct canon_task *task, enum trap t)
{
	struct canon_trap *r = task->trap;
	const struct vm_trap_info *info = vm_trap_info(i->shard);
	if (r->is_placed || !info || info->trap != t)
		return;
	if (r->trap != t)
		canon__report(task, t, "%s", info->message[0] ? info->message : trap_text(t));
	r->frames = info->frames;
	r->is_placed = true;
}

enum trap canon__core_call(struct canon_instance *i, struct canon_task *task, uint32_t func, const uint64_t *args, uint64_t *results)
{
	enum trap t = vm_call(i->store, func, args, results);
	if (UNLIKELY(t != TRAP_NONE))
		canon__add_backtrace(i, task, t);
	return t;
}

bool canon__end(struct canon_instance *i, struct canon_task *task, enum trap t)
{
	bool again = i->dead;
	if (task->trap->trap == TRAP_NONE)
		canon__report(task, t, "%s", trap_text(again ? TRAP_POISONED : t));
	task->trap->trap = t;
	i->dead = true;
	vm_store_poison(i->store);
	return false;
}

enum trap canon_task_trap(struct canon_task *t, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	report(t, TRAP_HOST, fmt, ap);
	va_end(ap);
	return TRAP_HOST;
}

enum trap canon_task_no_memory(struct canon_task *t, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	report(t, TRAP_OUT_OF_MEMORY, fmt, ap);
	va_end(ap);
	return TRAP_OUT_OF_MEMORY;
}

enum trap canon_task_exit(struct canon_task *t, int32_t code)
{
	t->trap->exit_code = code;
	return canon__report(t, TRAP_EXIT, "%s", trap_text(TRAP_EXIT));
}
