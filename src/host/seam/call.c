// What a host function may do, and the dispatcher that every call from a guest to the world goes through.
#include <stdarg.h>

#include "seam_int.h"

void seam_instance_init(struct seam_instance *i, struct loop *loop, struct seam_grants *grants, void *owner)
{
	*i = (struct seam_instance){.loop = loop, .grants = grants, .owner = owner};
}

// The guest holds objects of a provider that is not bound any more: their calls go to it.
static bool find_provider(struct seam_call *c, uint32_t index, const void *args)
{
	const struct seam_func *f = c->local->targets[index].func;
	if (!f->type->params.n || seam__local_of_handles(c->canon, index, args, &c->local))
		return true;
	c->func = f;
	seam_trap(c, "%s: the handles are of different providers, since one was replaced", f->name);
	return false;
}

static enum seam_outcome outcome_of(enum seam_result r, const struct seam_func *f, const void *ret)
{
	const struct wit_type *t = f->type->result;
	switch (r) {
	case SEAM_OK:
		return t && t->kind == WIT_RESULT && wit_discriminant_load(ret, t->discriminant_size) ? SEAM_WENT_WRONG : SEAM_WENT_WELL;
	case SEAM_TRAP:
		return SEAM_TRAPPED;
	case SEAM_EXIT:
	case SEAM_KILLED:
		break;
	}
	return SEAM_ENDED;
}

// Of a binding that is a link's.
static enum seam_result call_link(struct seam_call *c, const struct seam__target *target, const void *args, void *ret)
{
	struct seam_watch *w = seam_tasks_watcher(c->task->of);
	struct seam_watched kept;
	if (!w)
		return target->call(target->ops, c, args, ret);
	c->span = w->begin(w, c->task, c->instance, &kept);
	enum seam_result r = target->call(target->ops, c, args, ret);
	const struct seam_seen seen = {.link = target->binding->link,
		.interface = slice_str(target->binding->interface->name),
		.func = slice_str(target->func->name),
		.outcome = outcome_of(r, target->func, ret)};
	w->end(w, &kept, &seen);
	return r;
}

static enum trap end_call(struct seam_call *c, enum seam_result r)
{
	if (UNLIKELY(--c->local->calls == 0))
		seam__local_idle(c->local);
	switch (r) {
	case SEAM_OK:
		return TRAP_NONE;
	case SEAM_EXIT:
		return TRAP_EXIT;
	case SEAM_KILLED:
		return c->task->kill_trap ? c->task->kill_trap : TRAP_KILLED;
	case SEAM_TRAP:
		break;
	}
	return c->thread->trap->trap == TRAP_OUT_OF_MEMORY ? TRAP_OUT_OF_MEMORY : TRAP_HOST;
}

// canon_host_fn of all host functions: count, find the provider in the shard's table, call it.
enum trap seam__dispatch(struct canon_task *canon_task, struct canon_instance *i, void *data, const void *args, void *ret)
{
	struct seam_instance *instance = canon_instance_user(i);
	struct seam_task *task = CONTAINER_OF(canon_task_root(canon_task), struct seam_task, canon);  // until it parks
	uint32_t index = (uint32_t)(uintptr_t)data;
	if (UNLIKELY(canon_task_may_leave(canon_task)) && instance->local->targets[index].binding->link)
		return canon_task_stay(canon_task);  // a link's answer is waited for on a stack
	task->n_calls++;
	struct seam_call c = {.task = task, .thread = canon_task, .canon = i, .instance = instance, .local = instance->local};
	if (UNLIKELY(instance->mixed) && !find_provider(&c, index, args))
		return TRAP_HOST;
	const struct seam__target *target = &c.local->targets[index];
	c.binding = target->binding;
	c.func = target->func;
	c.local->calls++;
	enum seam_result r = UNLIKELY(target->binding->link) ? call_link(&c, target, args, ret) : target->call(target->ops, &c, args, ret);
	return end_call(&c, r);
}

enum trap seam__dispatch_core(struct canon_task *canon_task, struct canon_instance *i, void *data, struct abi_memory *memory, const uint64_t *args,
	uint64_t *results)
{
	struct seam_instance *instance = canon_instance_user(i);
	struct seam_task *task = CONTAINER_OF(canon_task_root(canon_task), struct seam_task, canon);
	const struct seam_table *t = instance->local->table;
	const struct seam_link *l = t->link;
	task->n_calls++;
	struct seam_call c = {.task = task, .thread = canon_task, .canon = i, .instance = instance, .local = instance->local};
	c.binding = &t->bindings[l->comp->plan.nimports];
	c.local->calls++;
	return end_call(&c, l->core.call(&c, l->core_funcs[(uintptr_t)data], memory, args, results));
}

enum seam_result seam_work(struct seam_call *c, uint64_t bytes)
{
	enum trap t = vm_work(vm_shard_exec(c->task->shard), bytes);
	enum seam_result r = seam__went_on(c, t);
	return t == TRAP_NONE ? SEAM_OK : r;
}

static uint64_t budget(const struct seam_call *c)
{
	return c->instance->grants && c->instance->grants->call_bytes ? c->instance->grants->call_bytes : SEAM_CALL_BYTES;
}

void *seam_alloc(struct seam_call *c, size_t size, size_t align)
{
	void *p = size > budget(c) ? NULL : arena_zalloc(seam_arena(c), size, align);
	if (!p && size <= budget(c) && canon_instance_pool(c->canon)->over)
		seam_no_memory(c);
	else if (!p)
		seam_trap(c, "%s needs more host memory than one call may have (%llu bytes)", c->func->name, (unsigned long long)budget(c));
	return p;
}

bool seam_string(struct seam_call *c, struct slice s, struct wit_string *ret)
{
	uint8_t *p = seam_alloc(c, s.len ? s.len : 1, 1);
	if (!p)
		return false;
	if (s.len)
		memcpy(p, s.ptr, s.len);
	*ret = (struct wit_string){p, s.len};
	return true;
}

bool seam_bytes(struct seam_call *c, struct slice s, struct wit_list *ret)
{
	struct wit_string v;
	if (!seam_string(c, s, &v))
		return false;
	*ret = (struct wit_list){v.ptr, v.len};
	return true;
}

enum seam_result seam_trap(struct seam_call *c, const char *fmt, ...)
{
	char text[256];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	canon_task_trap(c->thread, "%s", text);
	return SEAM_TRAP;
}

enum seam_result seam_exit(struct seam_call *c, int32_t code)
{
	canon_task_exit(c->thread, code);
	return SEAM_EXIT;
}

enum seam_result seam_no_memory(struct seam_call *c)
{
	if (canon_instance_pool(c->canon)->over)
		canon_task_no_memory(c->thread, "no memory for what %s makes: the instance's limit is reached (--memory)", c->func->name);
	else
		canon_task_no_memory(c->thread, "the host is out of memory");
	return SEAM_TRAP;
}

void seam_deny(struct seam_call *c, enum seam_deny kind, const char *what, const char *flag)
{
	seam_grants_deny(c->instance->grants, kind, what, flag);
}

void seam_grants_deny(struct seam_grants *g, enum seam_deny kind, const char *what, const char *flag)
{
	uint32_t bit = UINT32_C(1) << kind;
	if (!g || (__atomic_fetch_or(&g->denied, bit, __ATOMIC_RELAXED) & bit) || !g->log_denial)
		return;
	g->log_denial(g->log_ctx, kind, what, flag);
}

void *seam_state(struct seam_call *c)
{
	struct seam_provider *p = c->binding->provider;
	struct seam__seat *seat = p->ops->instance_new ? seam__seat_open(c->instance, c->local, p, c->binding->slot) : NULL;
	return seat ? seam__seat_state(c->instance, seat) : NULL;
}

static bool give(struct seam_instance *s, struct seam__seat *seat, const struct canon_resource_ops *of, void *object, uint32_t *ret)
{
	if (!canon_host_resource_new(s->canon, of, seat, object, ret)) {
		seam__seat_settle(s, seat);
		return false;
	}
	seam__seat_hold(s, seat);
	return true;
}

static bool serves(const struct seam_binding *b, const struct seam_interface *interface, const struct seam_provider *p, bool or_one_like_it)
{
	return b->interface == interface && (b->provider == p || (or_one_like_it && b->provider->ops == p->ops));
}

// The binding of an interface to a provider, or to another of its kind; the answer to the question before is tried first. NULL: there is none.
static const struct seam_binding *bound_to(struct seam__local *l, const struct seam_interface *interface, const struct seam_provider *p, bool or_one_like_it)
{
	const struct seam_table *t = l->table;
	for (uint32_t k = l->given, n = 0; n < t->n; k = k + 1 < t->n ? k + 1 : 0, n++)
		if (serves(&t->bindings[k], interface, p, or_one_like_it)) {
			l->given = k;
			return &t->bindings[k];
		}
	return NULL;
}

bool seam_instance_give(struct canon_instance *i, struct seam_provider *p, const struct canon_resource_ops *of, void *object, uint32_t *ret)
{
	struct seam_instance *s = canon_instance_user(i);
	const struct seam_resource *r = CONTAINER_OF(UNCONST(of->type), struct seam_resource, wit);
	const struct seam_binding *b = bound_to(s->local, r->interface, p, false);
	if (!b)
		b = bound_to(s->local, r->interface, p, true);
	struct seam__seat *seat = b ? seam__seat_open(s, s->local, p, b->slot) : NULL;
	return seat && give(s, seat, of, object, ret);
}

// In another component its provider is another one, of the same kind: by the binding of the interface that defines it.
enum canon_move seam_resource_move(struct canon_instance *from, const struct seam_resource *of, uint32_t rep, struct canon_instance *to, struct canon_carrier *by,
	uint32_t *ret)
{
	const struct seam__seat *was = canon_host_resource_owner(from, rep);
	struct seam_instance *s = canon_instance_user(to);
	const struct seam_binding *b = was ? bound_to(s->local, of->interface, was->provider, true) : NULL;
	struct seam__seat *seat = b ? seam__seat_open(s, s->local, b->provider, b->slot) : NULL;
	*ret = 0;
	if (!seat) {
		canon_host_resource_drop(from, rep);
		return CANON_MOVE_NO_ROOM;
	}
	enum canon_move how = canon_host_resource_move(from, rep, to, seat, by, ret);
	if (how == CANON_MOVED)
		seam__seat_hold(s, seat);
	else
		seam__seat_settle(s, seat);
	return how;
}

bool seam_resource_new(struct seam_call *c, const struct canon_resource_ops *of, void *object, uint32_t *ret)
{
	struct seam__seat *seat = seam__seat_open(c->instance, c->local, c->binding->provider, c->binding->slot);
	if (seat && give(c->instance, seat, of, object, ret))
		return true;
	if (seat)
		seam_trap(c, "no room for another %s: %s", of->name, canon_handles_full(c->canon));
	else
		seam_no_memory(c);
	return false;
}

void *seam_resource_get(struct seam_call *c, const struct seam_resource *type, uint32_t rep)
{
	return canon_host_resource_get(c->canon, &type->wit, rep);
}

void *seam_resource_take(struct seam_call *c, const struct seam_resource *type, uint32_t rep)
{
	return canon_host_resource_take(c->canon, &type->wit, rep);
}
