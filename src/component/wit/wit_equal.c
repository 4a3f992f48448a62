// Equality of packages as types. Resources of two models are the same when their interfaces and names are.
#include "wit_int.h"

#define COMPARE_STEPS 10000000u

struct scope_pair {
	const struct wit_typedef *x, *y;
	uint32_t nx, ny;
	struct map names;  // of y
	bool subset;
	struct wit_compare cmp;
	struct err *e;
};

static bool same_interface_id(const struct wit_interface *x, const struct wit_interface *y)
{
	return slice_eq(x->name, y->name) && slice_eq(x->package->ns, y->package->ns) && slice_eq(x->package->name, y->package->name) &&
		wit_version_compatible(&x->package->version, &y->package->version);
}

// The same when both are defined under one name in one interface (a scope need not name all that its types hold), or share a name here.
static bool same_resource(void *ctx, const struct wit_resource *x, const struct wit_resource *y)
{
	struct scope_pair *s = ctx;
	if (x->owner && y->owner && x->owner->name.len)
		return slice_eq(x->name, y->name) && same_interface_id(x->owner, y->owner);
	for (uint32_t i = 0; i < s->nx; i++) {
		uintptr_t k;
		if (s->cmp.steps == 0)
			return false;
		s->cmp.steps--;
		if (s->x[i].resource == x && map_get(&s->names, s->x[i].name, &k) && s->y[k].resource == y)
			return true;
	}
	return false;
}

static bool typedef_equal(struct scope_pair *s, const struct wit_typedef *x, const struct wit_typedef *y)
{
	if (!x->resource != !y->resource)
		return err_set(s->e, ERR_INVALID, "type `%.*s` is a resource in one of them only", SLICE_ARGS(x->name));
	if (!x->from != !y->from || (x->from && (!same_interface_id(x->from, y->from) || !slice_eq(x->from_name, y->from_name))))
		return err_set(s->e, ERR_INVALID, "type `%.*s` comes from different places", SLICE_ARGS(x->name));
	return x->resource || wit_type_equal(&s->cmp, x->type, y->type, s->e) || err_note(s->e, "type `%.*s`", SLICE_ARGS(x->name));
}

static bool scope_open(struct scope_pair *s, const struct wit_typedef *x, uint32_t nx, const struct wit_typedef *y, uint32_t ny, bool subset, struct err *e)
{
	*s = (struct scope_pair){.x = x, .nx = nx, .y = y, .ny = ny, .subset = subset, .e = e};
	s->cmp = (struct wit_compare){.same_resource = same_resource, .ctx = s, .steps = COMPARE_STEPS};
	map_init(&s->names, NULL);
	for (uint32_t i = 0; i < ny; i++) {
		bool no_memory = false;
		if (!map_insert(&s->names, y[i].name, i, &no_memory) && no_memory)
			return err_nomem(e);
	}
	for (uint32_t i = 0; i < nx; i++) {
		uintptr_t k;
		if (!map_get(&s->names, x[i].name, &k))
			return err_set(e, ERR_INVALID, "type `%.*s` is missing", SLICE_ARGS(x[i].name));
		if (!typedef_equal(s, &x[i], &y[k]))
			return false;
	}
	return subset || nx == ny || err_set(e, ERR_INVALID, "expected %u types, found %u", nx, ny);
}

static bool func_equal(struct scope_pair *s, const struct wit_func *x, const struct wit_func *y)
{
	return wit_func_type_equal(&s->cmp, x->type, y->type, s->e) || err_note(s->e, "function `%.*s`", SLICE_ARGS(x->name));
}

static bool funcs_equal(struct scope_pair *s, const struct wit_interface *x, const struct wit_interface *y)
{
	struct map names;
	bool ok = true;
	map_init(&names, NULL);
	for (uint32_t i = 0; i < y->n_funcs && ok; i++) {
		bool no_memory = false;
		if (!map_insert(&names, y->funcs[i].name, i, &no_memory) && no_memory)
			ok = err_nomem(s->e);
	}
	for (uint32_t i = 0; i < x->n_funcs && ok; i++) {
		uintptr_t k;
		if (!map_get(&names, x->funcs[i].name, &k))
			ok = err_set(s->e, ERR_INVALID, "function `%.*s` is missing", SLICE_ARGS(x->funcs[i].name));
		else
			ok = func_equal(s, &x->funcs[i], &y->funcs[k]);
	}
	map_release(&names);
	if (ok && !s->subset && x->n_funcs != y->n_funcs)
		return err_set(s->e, ERR_INVALID, "expected %u functions, found %u", x->n_funcs, y->n_funcs);
	return ok;
}

static bool interface_equal(const struct wit_interface *x, const struct wit_interface *y, bool subset, struct err *e)
{
	struct scope_pair s;
	bool ok = scope_open(&s, x->types, x->n_types, y->types, y->n_types, subset, e) && funcs_equal(&s, x, y);
	map_release(&s.names);
	return ok || err_note(e, "interface `%.*s`", SLICE_ARGS(x->name));
}

static const struct wit_extern *find_extern(const struct wit_extern *list, uint32_t n, const struct wit_extern *x)
{
	for (uint32_t i = 0; i < n; i++)
		if (x->name.len ? slice_eq(list[i].name, x->name) : list[i].name.len == 0 && same_interface_id(list[i].iface, x->iface))
			return &list[i];
	return NULL;
}

static bool externs_equal(struct scope_pair *s, const struct wit_extern *x, uint32_t nx, const struct wit_extern *y, uint32_t ny)
{
	for (uint32_t i = 0; i < nx; i++) {
		struct slice name = x[i].name.len ? x[i].name : x[i].iface->name;
		// Mostly the two lists have the same order.
		const struct wit_extern *other = i < ny ? find_extern(&y[i], 1, &x[i]) : NULL;
		if (!other)
			other = find_extern(y, ny, &x[i]);
		if (!other || !x[i].func != !other->func)
			return err_set(s->e, ERR_INVALID, "import or export `%.*s` is missing", SLICE_ARGS(name));
		if (x[i].func && !func_equal(s, x[i].func, other->func))
			return false;
		if (x[i].iface && x[i].iface->name.len && !same_interface_id(x[i].iface, other->iface))
			return err_set(s->e, ERR_INVALID, "`%.*s` is another interface", SLICE_ARGS(name));
		if (x[i].iface && !x[i].iface->name.len && !interface_equal(x[i].iface, other->iface, s->subset, s->e))
			return false;
	}
	return s->subset || nx == ny || err_set(s->e, ERR_INVALID, "expected %u imports or exports, found %u", nx, ny);
}

static bool world_equal(const struct wit_world *x, const struct wit_world *y, bool subset, struct err *e)
{
	struct scope_pair s;
	bool ok = scope_open(&s, x->types, x->n_types, y->types, y->n_types, subset, e) && externs_equal(&s, x->imports, x->n_imports, y->imports, y->n_imports) &&
		externs_equal(&s, x->exports, x->n_exports, y->exports, y->n_exports);
	map_release(&s.names);
	return ok || err_note(e, "world `%.*s`", SLICE_ARGS(x->name));
}

bool wit_package_equal(const struct wit_package *x, const struct wit_package *y, bool subset, struct err *e)
{
	if (!slice_eq(x->ns, y->ns) || !slice_eq(x->name, y->name))
		return err_set(e, ERR_INVALID, "packages have different names");
	for (uint32_t i = 0; i < x->n_interfaces; i++) {
		const struct wit_interface *other = i < y->n_interfaces && slice_eq(y->interfaces[i]->name, x->interfaces[i]->name)
			? y->interfaces[i]
			: wit_package_interface(y, x->interfaces[i]->name);
		if (!other)
			return err_set(e, ERR_INVALID, "interface `%.*s` is missing", SLICE_ARGS(x->interfaces[i]->name));
		if (!interface_equal(x->interfaces[i], other, subset, e))
			return false;
	}
	for (uint32_t i = 0; i < x->n_worlds; i++) {
		const struct wit_world *other = wit_package_world(y, x->worlds[i]->name);
		if (!other)
			return err_set(e, ERR_INVALID, "world `%.*s` is missing", SLICE_ARGS(x->worlds[i]->name));
		if (!world_equal(x->worlds[i], other, subset, e))
			return false;
	}
	if (!subset && (x->n_interfaces != y->n_interfaces || x->n_worlds != y->n_worlds))
		return err_set(e, ERR_INVALID, "expected %u interfaces and %u worlds, found %u and %u", x->n_interfaces, x->n_worlds, y->n_interfaces, y->n_worlds);
	return true;
}
