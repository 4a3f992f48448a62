// Interfaces as components export them, described as those are that we serve: so that an import may stand on either.
#include "seam_int.h"

struct describing {
	struct arena *arena;
	const struct comp_component *comp;
	struct slice name;
	struct seam_described *d;
	struct err *e;
};

const struct seam_resource *seam_imported(const struct seam_interface *i, const struct wit_resource *r)
{
	uint32_t index = i && i->of ? comp_resource_of(r)->host_index : COMP_NONE;
	return index == COMP_NONE ? NULL : i->of->resources[index];
}

// What of a type's values can't leave the store; NULL: nothing. Of what the component imports itself an object is its own to give away only where that takes it
// along.
static const char *what_stays(const struct describing *g, const struct wit_type *t)
{
	const char *what = NULL;
	if (!t || !(t->flags & WIT_HAS_HANDLE))
		return NULL;
	if (t->kind == WIT_ERROR_CONTEXT)
		return "an error context";
	const struct seam_resource *imported = t->kind == WIT_OWN || t->kind == WIT_BORROW ? seam_imported(&g->d->interface, t->resource) : NULL;
	if (imported && !imported->moves)
		return "a resource that the component imports itself";
	if (imported && t->kind == WIT_BORROW)
		return "a borrow of a resource that the component imports itself";
	for (uint32_t i = 0; t->fields && i < t->n && !what; i++)
		what = what_stays(g, t->fields[i].type);
	return what ? what : what_stays(g, t->elem);
}

static bool check_func(struct describing *g, const struct comp_export_func *f)
{
	const struct wit_type *params = &f->type->params, *result = f->type->result;
	const char *what = what_stays(g, params);
	if (!what)
		what = what_stays(g, result);
	if (!what)
		return true;
	err_set(g->e, ERR_LINK, "cannot link: %.*s of %.*s passes %s, which stays in its component", SLICE_ARGS(f->name), SLICE_ARGS(g->name), what);
	return err_hint(g->e, "compose the components into one, for example by `wac plug`");
}

static bool carries_none(void *ctx, const struct wit_resource *r)
{
	const struct seam_resource *imported = seam_imported(ctx, r);
	return !imported || !imported->carries;
}

bool seam_carries_streams(const struct seam_interface *i, const struct wit_type *t)
{
	return !wit_type_each_resource(t, carries_none, UNCONST(i));
}

// Why a joint can't pass the elements of a stream or future in it (CANON_JOINT_ELEMENT_MAX); NULL: it can.
static const char *why_no_joint(const struct describing *g, const struct wit_type *t)
{
	const char *why = NULL;
	if (!t || !(t->flags & WIT_HAS_STREAM))
		return NULL;
	bool is_end = t->kind == WIT_STREAM || t->kind == WIT_FUTURE;
	if (is_end && t->elem && t->elem->size64 > CANON_JOINT_ELEMENT_MAX)
		return "whose elements have more than 256 KiB each, which is the most over a link";
	if (is_end && t->elem && seam_carries_streams(&g->d->interface, t->elem))
		return "of handles of what the component imports itself and has streams of its own";
	for (uint32_t i = 0; t->fields && i < t->n && !why; i++)
		why = why_no_joint(g, t->fields[i].type);
	return why || !t->elem ? why : why_no_joint(g, t->elem);
}

static bool check_elements(struct describing *g, const struct comp_export_func *f)
{
	const char *why = why_no_joint(g, &f->type->params);
	if (!why)
		why = why_no_joint(g, f->type->result);
	if (!why)
		return true;
	return err_set(g->e, ERR_LINK, "cannot link: %.*s of %.*s passes a stream or future %s", SLICE_ARGS(f->name), SLICE_ARGS(g->name), why);
}

static bool take_func(struct describing *g, const struct comp_export_func *f, seam_fn *call, struct seam_func *funcs)
{
	struct seam_interface *iface = &g->d->interface;
	struct slice name;
	if (!check_func(g, f) || !check_elements(g, f))
		return false;
	if (!slice_dup(g->arena, f->name, &name))
		return err_nomem(g->e);
	g->d->exports[iface->n_funcs] = f;
	funcs[iface->n_funcs++] = (struct seam_func){.name = (const char *)name.ptr,
		.type = f->type,
		.call = call,
		.args_size = f->type->params.size64,
		.ret_size = f->type->result ? f->type->result->size64 : 0};
	return true;
}

static bool take_funcs(struct describing *g, struct slice interface, seam_fn *call)
{
	const struct comp_plan *plan = &g->comp->plan;
	uint32_t n = 0;
	for (uint32_t i = 0; i < plan->nexport_funcs; i++)
		n += slice_eq(plan->export_funcs[i].interface, interface);
	struct seam_func *funcs = ARENA_ARRAY(g->arena, struct seam_func, n + 1);
	g->d->exports = ARENA_ARRAY(g->arena, const struct comp_export_func *, n + 1);
	if (!funcs || !g->d->exports)
		return err_nomem(g->e);
	g->d->interface.funcs = funcs;
	for (uint32_t i = 0; i < plan->nexport_funcs; i++)
		if (slice_eq(plan->export_funcs[i].interface, interface) && !take_func(g, &plan->export_funcs[i], call, funcs))
			return false;
	return true;
}

static bool take_resources(struct describing *g, const struct comp_extern *x)
{
	struct seam_described *d = g->d;
	const struct seam_resource **list = ARENA_ARRAY(g->arena, const struct seam_resource *, x->n + 1);
	d->resources = ARENA_ARRAY(g->arena, struct seam_resource, x->n + 1);
	if (!list || !d->resources)
		return err_nomem(g->e);
	d->interface.resources = list;
	for (uint32_t i = 0; i < x->n; i++) {
		const struct comp_extern *item = &x->items[i];
		uint32_t k = d->interface.n_resources;
		if (item->kind != COMP_EXTERN_TYPE || !item->resource)
			continue;
		d->resources[k] = (struct seam_resource){.wit.name = item->name, .interface = &d->interface, .means = item->resource};
		list[k] = &d->resources[k];
		d->interface.n_resources++;
	}
	return true;
}

bool seam_describe(struct arena *a, const struct comp_component *comp, const struct seam_link *l, struct slice name, seam_fn *call,
	struct seam_described **ret, struct err *e)
{
	const struct comp_extern *x = comp_find_interface(comp, name);
	struct slice text;
	if (!x) {
		err_set(e, ERR_LINK, "cannot link: the component does not export %.*s", SLICE_ARGS(name));
		return err_hint(e, "tenon inspect shows what it exports");
	}
	struct describing g = {.arena = a, .comp = comp, .name = name, .d = ARENA_NEW(a, struct seam_described), .e = e};
	if (!g.d || !slice_dup(a, x->name, &text))
		return err_nomem(e);
	g.d->interface.name = (const char *)text.ptr;
	g.d->interface.of = l;
	*ret = g.d;
	return take_funcs(&g, x->name, call) && take_resources(&g, x);
}
