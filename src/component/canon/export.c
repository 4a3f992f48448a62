// Calls from host code: of an export, of whatever kind.
#include "canon_async.h"

// An export that passes an import through.
static enum trap call_import(struct canon_instance *i, struct canon_task *t, const struct canon_host_func *f, const void *args, void *ret, struct arena *arena)
{
	struct arena own = t->arena;  // what it returns is the caller's
	if (arena)
		t->arena = *arena;
	enum trap trap = f->fn(t, i, f->data, args, ret);
	if (arena) {
		*arena = t->arena;
		t->arena = own;
	}
	return trap;
}

static enum trap call(struct canon_instance *i, struct canon_task *t, const struct comp_export_func *f, const void *args, void *ret, struct arena *arena)
{
	if (f->func.kind != COMP_FUNC_LIFT)
		return call_import(i, t, &i->host->funcs[f->func.index], args, ret, arena);
	const struct canon__lift *l = &i->lifts[f->func.index];
	if (l->plan->type->is_async)
		return canon__call_async(i, t, l, args, ret, arena);
	return canon__lift_for_host(i, t, l, args, ret, arena);
}

static enum trap rest_of_call(struct canon_instance *i, struct canon_task *t, void (*returned)(struct canon_task *t))
{
	if (returned) {
		canon_trap_clear(t->trap);
		returned(t);
		if (t->trap->trap != TRAP_NONE)  // what it took was no value of its type
			return t->trap->trap;
	}
	return i->async ? canon__run_threads(i, t, NULL) : TRAP_NONE;
}

static bool call_export(struct canon_instance *i, const struct comp_export_func *f, struct canon_task *t, const void *args, void *ret, struct arena *arena,
	bool whole, void (*returned)(struct canon_task *t), struct canon_trap *trap)
{
	struct canon__own own;
	t = canon__task_begin(i, t, trap, &own);
	struct arena_mark mark = arena_mark(&t->arena);
	enum trap end = TRAP_POISONED;
	BUG_ON(!i->dead && i->done != i->cc->n_steps);
	if (LIKELY(!i->dead))
		end = call(i, t, f, args, ret, arena);
	if (whole && end == TRAP_NONE)
		end = rest_of_call(i, t, returned);
	arena_rewind(&t->arena, mark);
	bool ok = end == TRAP_NONE || canon__end(i, t, end);
	canon__task_end(i, t, &own);
	return ok;
}

bool canon_export_has_own_stack(const struct canon_instance *i, const struct comp_export_func *f)
{
	return f->func.kind == COMP_FUNC_LIFT && i->lifts[f->func.index].plan->type->is_async;
}

// What enter_implicit_thread would wait for, and a thread that holds the instance.
bool canon_export_may_begin(const struct canon_instance *i, const struct comp_export_func *f)
{
	if (f->func.kind != COMP_FUNC_LIFT)
		return true;
	const struct canon__lift *l = &i->lifts[f->func.index];
	const struct canon__async *a = i->async;
	if (a && a->held)
		return false;
	if (!l->plan->type->is_async)
		return true;
	if (i->components[l->plan->instance].backpressure)
		return false;
	const struct canon__async_component *c = a ? &a->components[l->plan->instance] : NULL;
	return !c || (!c->num_waiting_to_enter && !(canon__needs_exclusive(l) && c->exclusive));
}

bool canon_call_export(struct canon_instance *i, const struct comp_export_func *f, struct canon_task *t, const void *args, void *ret, struct arena *arena,
	struct canon_trap *trap)
{
	return call_export(i, f, t, args, ret, arena, false, NULL, trap);
}

bool canon_call_export_whole(struct canon_instance *i, const struct comp_export_func *f, struct canon_task *t, const void *args, void *ret,
	struct arena *arena, void (*returned)(struct canon_task *t), struct canon_trap *trap)
{
	return call_export(i, f, t, args, ret, arena, true, returned, trap);
}
