// Canonical built-ins: core functions that the canonical ABI itself implements. CanonicalABI "canon resource.new" and following.
// async_builtin.c has those of async; error contexts are refused.
#include "canon_int.h"

static enum trap cannot_leave(struct vm_call *call, const char *name)
{
	return vm_trapf(call->shard, TRAP_CANNOT_LEAVE, "cannot leave component instance: %s was called from realloc or post-return", name);
}

static enum trap canon_resource_new(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	const struct canon__builtin *b = call->data;
	struct canon_instance *i = b->inst;
	if (!i->components[b->plan->instance].may_leave)
		return cannot_leave(call, "resource.new");
	uint32_t index;
	struct canon__handle h = {.kind = HANDLE_OWN, .rt = b->plan->resource->index};
	struct canon__table *full = NULL;
	if (!canon__rep_new(i, h.rt, args[0], &h.rep))
		full = &i->reps;
	else if (!canon__table_add(i, canon__table_of(i, b->plan->instance), h, &index))
		full = canon__table_of(i, b->plan->instance);
	if (full)
		return vm_trapf(call->shard, TRAP_OUT_OF_MEMORY, "%s", canon__handles_full(i, full->len));
	results[0] = index;
	return TRAP_NONE;
}

// The handle, if it is one of that type; NULL: *ret says why not.
static struct canon__handle *find(struct vm_call *call, const struct canon__builtin *b, uint32_t index, enum trap *ret)
{
	struct canon__handle *h = canon__table_get(canon__table_of(b->inst, b->plan->instance), index);
	*ret = TRAP_NONE;
	if (!h)
		*ret = vm_trapf(call->shard, TRAP_HANDLE, "unknown handle index %u", index);
	else if (h->rt != b->plan->resource->index)
		*ret = vm_trapf(call->shard, TRAP_HANDLE, "handle index %u is used with the wrong type of resource", index);
	return *ret == TRAP_NONE ? h : NULL;
}

static enum trap canon_resource_drop(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	const struct canon__builtin *b = call->data;
	struct canon_instance *i = b->inst;
	uint32_t component = b->plan->instance, index = (uint32_t)args[0];
	if (!i->components[component].may_leave)
		return cannot_leave(call, "resource.drop");
	enum trap t;
	struct canon__handle *h = find(call, b, index, &t);
	if (!h)
		return t;
	if (h->lends)
		return vm_trapf(call->shard, TRAP_HANDLE, "cannot remove owned resource while borrowed: handle index %u", index);
	struct canon__handle old = *h;
	canon__table_remove(i, canon__table_of(i, component), index);
	if (old.kind == HANDLE_BORROW) {
		old.scope->num_borrows--;
		return TRAP_NONE;
	}
	if (i->resources[old.rt].component == CANON__HOST) {
		canon_host_resource_drop(i, old.rep);
		return TRAP_NONE;
	}
	struct canon_task *task = call->exec->task;
	t = canon__destroy(i, task, old.rt, old.rep, component);
	return t == TRAP_NONE ? TRAP_NONE : canon__trap_to_guest(call, task, t);
}

static enum trap canon_resource_rep(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	const struct canon__builtin *b = call->data;
	enum trap t;
	struct canon__handle *h = find(call, b, (uint32_t)args[0], &t);
	if (!h)
		return t;
	bool known = canon__rep_get(b->inst, h->rt, h->rep, &results[0]);
	BUG_ON(!known);
	return TRAP_NONE;
}

static enum trap canon_context_get(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	const struct canon__builtin *b = call->data;
	results[0] = call->exec->context[b->plan->imm & 1];
	return TRAP_NONE;
}

static enum trap canon_context_set(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	const struct canon__builtin *b = call->data;
	call->exec->context[b->plan->imm & 1] = args[0];
	return TRAP_NONE;
}

static enum trap canon_backpressure_inc(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	const struct canon__builtin *b = call->data;
	if (++b->inst->components[b->plan->instance].backpressure == 1u << 16)
		return vm_trapf(call->shard, TRAP_CANON, "backpressure counter overflow");
	b->inst->dirty = true;
	return TRAP_NONE;
}

static enum trap canon_backpressure_dec(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	const struct canon__builtin *b = call->data;
	struct canon__component_instance *c = &b->inst->components[b->plan->instance];
	if (!c->backpressure)
		return vm_trapf(call->shard, TRAP_CANON, "backpressure counter underflow");
	c->backpressure--;
	b->inst->dirty = true;
	canon__gate_open(b->inst, b->plan->instance);
	return TRAP_NONE;
}

static enum trap not_supported(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	const struct canon__builtin *b = call->data;
	const char *name = comp_builtin_text(b->plan->kind);
	if (!b->inst->components[b->plan->instance].may_leave)
		return cannot_leave(call, name);
	return vm_trapf(call->shard, TRAP_NOT_IMPLEMENTED, "%s is not supported yet", name);
}

vm_host_fn canon__builtin_fn(unsigned kind)
{
	static const vm_host_fn fns[COMP_BUILTIN_COUNT] = {
		[COMP_BUILTIN_RESOURCE_NEW] = canon_resource_new,
		[COMP_BUILTIN_RESOURCE_DROP] = canon_resource_drop,
		[COMP_BUILTIN_RESOURCE_REP] = canon_resource_rep,
		[COMP_BUILTIN_CONTEXT_GET] = canon_context_get,
		[COMP_BUILTIN_CONTEXT_SET] = canon_context_set,
		[COMP_BUILTIN_BACKPRESSURE_INC] = canon_backpressure_inc,
		[COMP_BUILTIN_BACKPRESSURE_DEC] = canon_backpressure_dec,
	};
	vm_host_fn async = canon__async_builtin_fn(kind);
	return fns[kind] ? fns[kind] : async ? async
										 : not_supported;
}
