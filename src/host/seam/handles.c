// The handles in the arguments of a host function: which provider a call goes to when objects of several are there.
#include "seam_int.h"

typedef bool visit_fn(void *ctx, uint32_t rep);

static bool each_handle(const struct wit_type *t, const uint8_t *v, visit_fn *visit, void *ctx)
{
	if (!(t->flags & WIT_HAS_HANDLE))
		return true;
	if (t->kind == WIT_OWN || t->kind == WIT_BORROW)
		return visit(ctx, *(const uint32_t *)(const void *)v);
	if (wit_kind_is_variant(t->kind)) {
		uint32_t k = wit_discriminant_load(v, t->discriminant_size);
		return !t->fields[k].type || each_handle(t->fields[k].type, v + t->payload64, visit, ctx);
	}
	for (uint32_t i = 0; wit_kind_is_record(t->kind) && i < t->n; i++)
		if (!each_handle(t->fields[i].type, v + t->fields[i].offset64, visit, ctx))
			return false;
	const struct wit_list *list = (const void *)v;
	const uint8_t *at = wit_kind_is_list(t->kind) ? list->ptr : v;
	size_t n = wit_kind_is_list(t->kind) ? list->len : t->kind == WIT_FIXED_LIST ? t->n
																				 : 0;
	for (size_t i = 0; i < n; i++)
		if (!each_handle(t->elem, at + i * t->elem->size64, visit, ctx))
			return false;
	return true;
}

struct owners {
	const struct canon_instance *instance;
	const struct seam__seat *seat;
};

static bool is_of_the_same(void *ctx, uint32_t rep)
{
	struct owners *o = ctx;
	const struct seam__seat *seat = canon_host_resource_owner(o->instance, rep);
	if (o->seat && seat != o->seat)
		return false;
	o->seat = seat;
	return true;
}

bool seam__local_of_handles(const struct canon_instance *i, const struct seam_func *f, const void *args, struct seam__local **at)
{
	struct owners o = {.instance = i};
	if (!each_handle(&f->type->params, args, is_of_the_same, &o))
		return false;
	if (o.seat && o.seat->local)
		*at = o.seat->local;
	return true;
}
