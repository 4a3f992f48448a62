// Native values looked through: the handles, streams and futures in them (which provider a call goes to when objects of several are there), and copies.
#include "seam_int.h"

static bool is_end(const struct wit_type *t)
{
	return t->kind == WIT_STREAM || t->kind == WIT_FUTURE;
}

bool seam_value_handles(const struct wit_type *type, void *value, seam_visit *visit, void *ctx)
{
	return canon_value_handles(type, value, visit, ctx);
}

// ---- copies ----

enum seam_result seam_value_copy(struct seam_call *c, const struct wit_type *type, const void *value, void *ret, struct arena *a)
{
	memcpy(ret, value, type->size64);
	enum trap t = canon_value_copy_parts(type, ret, a, vm_shard_exec(c->task->shard));
	bool lacks_memory = t == TRAP_OUT_OF_MEMORY;
	enum seam_result r = seam__went_on(c, lacks_memory ? TRAP_NONE : t);
	return r == SEAM_OK && lacks_memory ? SEAM_TRAP : r;
}

// ---- which provider ----
// An object of the provider that serves the function says by itself where its call goes. One of somebody else's, which is only passed on, comes along wherever
// such are taken (seam_provider_ops.takes_others).

struct owners {
	const struct canon_instance *instance;
	uint32_t target;
	const struct seam__seat *own, *passed;
};

static const struct seam_provider *server_of(const struct seam__local *l, uint32_t target)
{
	return l->targets[target].binding->provider;
}

static bool is_of_the_same(void *ctx, const struct wit_type *type, uint32_t *rep)
{
	struct owners *o = ctx;
	const struct seam__seat *seat = is_end(type) ? NULL : canon_host_resource_owner(o->instance, *rep);
	if (!seat || !seat->local)
		return true;
	if (server_of(seat->local, o->target) != seat->provider) {
		o->passed = seat;
		return true;
	}
	if (o->own && seat != o->own)
		return false;
	o->own = seat;
	return true;
}

bool seam__local_of_handles(const struct canon_instance *i, uint32_t target, const void *args, struct seam__local **at)
{
	struct owners o = {.instance = i, .target = target};
	if (!canon_value_handles(&(*at)->targets[target].func->type->params, UNCONST(args), is_of_the_same, &o))
		return false;
	if (o.own)
		*at = o.own->local;
	else if (o.passed && !server_of(*at, target)->ops->takes_others)
		*at = o.passed->local;
	return !o.passed || server_of(*at, target)->ops->takes_others;
}
