// comp_decode; what is found in what was decoded.
#include "comp_int.h"

#define STEPS_BASE 500000  // a step takes some 100 ns, and 100 bytes
#define SCRATCH_BASE ((size_t)256 << 20)

static bool decode(struct dec *d, struct comp_component *c)
{
	struct def *root;
	c->is_module = comp_module_has_world(slice_of(d->p, (size_t)(d->end - d->p)));
	if (!(c->is_module ? comp__module(d, &root) : comp__component(d, NULL, &root)))
		return false;
	c->nmodules = d->modules.len;
	c->ndefinitions = d->ndefs;
	c->modules = arena_copy(d->a, d->modules.ptr, d->modules.len * sizeof(*d->modules.ptr), _Alignof(struct comp_module));
	if (!c->modules)
		return err_nomem(d->e);
	return comp__link(d, root);
}

bool comp_decode(struct arena *a, struct slice bytes, const struct comp_options *opt, struct comp_component **ret, struct err *e)
{
	struct err own = {0};
	struct comp_component *c = ARENA_NEW(a, struct comp_component);
	if (!c)
		return err_nomem(e);
	struct dec d = {.a = a, .opt = opt, .comp = c, .e = e ? e : &own, .start = bytes.ptr, .p = bytes.ptr, .end = bytes.ptr + bytes.len, .steps = STEPS_BASE};
	*c = (struct comp_component){.arena = a, .bytes = bytes};
	arena_init(&d.s, SCRATCH_BASE + bytes.len * 64);
	bool ok = decode(&d, c);
	arena_release(&d.s);
	if (ok)
		*ret = c;
	return ok;
}

static struct slice instance_name(const void *list, size_t i)
{
	const struct comp_extern *x = (const struct comp_extern *)list + i;
	return x->kind == COMP_EXTERN_INSTANCE ? x->name : slice_of("", 0);
}

const struct comp_extern *comp_find_interface(const struct comp_component *c, struct slice name)
{
	size_t i = name.len ? wit_name_find(name, instance_name, c->exports, c->nexports) : SIZE_MAX;
	return i == SIZE_MAX ? NULL : &c->exports[i];
}

const struct comp_export_func *comp_find_export(const struct comp_component *c, struct slice interface_name, struct slice name)
{
	const struct comp_extern *x = comp_find_interface(c, interface_name);
	if (interface_name.len && !x)
		return NULL;
	for (uint32_t i = 0; i < c->plan.nexport_funcs; i++) {
		const struct comp_export_func *f = &c->plan.export_funcs[i];
		if (slice_eq(f->name, name) && slice_eq(f->interface, x ? x->name : interface_name))
			return f;
	}
	return NULL;
}
