// Native values looked through: the handles, streams and futures in them (which provider a call goes to when objects of several are there), and copies.
#include "seam_int.h"

static bool is_end(const struct wit_type *t)
{
	return t->kind == WIT_STREAM || t->kind == WIT_FUTURE;
}

static bool each_handle(const struct wit_type *t, uint8_t *v, seam_visit *visit, void *ctx)
{
	if (!(t->flags & WIT_HAS_HANDLE))
		return true;
	if (t->kind == WIT_OWN || t->kind == WIT_BORROW || is_end(t))
		return visit(ctx, t, (uint32_t *)(void *)v);
	if (wit_kind_is_variant(t->kind)) {
		uint32_t k = wit_discriminant_load(v, t->discriminant_size);
		return !t->fields[k].type || each_handle(t->fields[k].type, v + t->payload64, visit, ctx);
	}
	for (uint32_t i = 0; wit_kind_is_record(t->kind) && i < t->n; i++)
		if (!each_handle(t->fields[i].type, v + t->fields[i].offset64, visit, ctx))
			return false;
	const struct wit_list *list = (const void *)v;
	uint8_t *at = wit_kind_is_list(t->kind) ? UNCONST(list->ptr) : v;
	size_t n = wit_kind_is_list(t->kind) ? list->len : t->kind == WIT_FIXED_LIST ? t->n
																				 : 0;
	for (size_t i = 0; i < n; i++)
		if (!each_handle(t->elem, at + i * t->elem->size64, visit, ctx))
			return false;
	return true;
}

bool seam_value_handles(const struct wit_type *type, void *value, seam_visit *visit, void *ctx)
{
	return each_handle(type, value, visit, ctx);
}

// ---- copies ----

enum seam_result seam_value_copy(const struct wit_type *type, const void *value, void *ret, struct arena *a, struct abi_exec *exec)
{
	memcpy(ret, value, type->size64);
	enum trap t = canon_value_copy_parts(type, ret, a, exec);
	return t == TRAP_NONE ? SEAM_OK : t == TRAP_OUT_OF_MEMORY ? SEAM_TRAP
															  : SEAM_KILLED;
}

// ---- which provider ----

struct owners {
	const struct canon_instance *instance;
	const struct seam__seat *seat;
};

static bool is_of_the_same(void *ctx, const struct wit_type *type, uint32_t *rep)
{
	struct owners *o = ctx;
	if (is_end(type))
		return true;
	const struct seam__seat *seat = canon_host_resource_owner(o->instance, *rep);
	if (o->seat && seat != o->seat)
		return false;
	o->seat = seat;
	return true;
}

bool seam__local_of_handles(const struct canon_instance *i, const struct seam_func *f, const void *args, struct seam__local **at)
{
	struct owners o = {.instance = i};
	if (!each_handle(&f->type->params, UNCONST(args), is_of_the_same, &o))
		return false;
	if (o.seat && o.seat->local)
		*at = o.seat->local;
	return true;
}
