// Which row of a component's `links` an import is bound by: label, ns:pkg/iface@version, ns:pkg/iface, ns:pkg, the most specific first (contract, section 2).
#include "app_int.h"

static struct slice row_name(const void *list, size_t i)
{
	return slice_str(((const struct app_pair *)list)[i].name);
}

static uint32_t find_row(const struct app_component *c, struct slice name)
{
	for (uint32_t i = 0; i < c->links.n; i++)
		if (slice_eq_str(name, c->links.list[i].name))
			return i;
	return APP_NONE;
}

static struct app_binding bound(const struct app_component *c, uint32_t row, enum app_rule rule)
{
	return (struct app_binding){c->link_of[row], row, rule};
}

static struct app_binding bind_one(const struct app_component *c, const struct app_import *x)
{
	struct slice interface = x->implements.len ? x->implements : x->name;
	struct wit_name n;
	uint32_t row = find_row(c, x->name);
	bool is_interface = wit_name_parse(interface, false, &n, NULL) && n.kind == WIT_NAME_INTERFACE;
	if (row != APP_NONE && (x->implements.len || !is_interface))
		return bound(c, row, APP_BY_LABEL);
	if (!is_interface)
		return (struct app_binding){APP_NONE, APP_NONE, APP_UNBOUND};
	struct slice path = slice_sub(interface, 0, slice_find(interface, '@')), package = slice_sub(path, 0, slice_find(path, '/'));
	// A row without a version is found by the next step: here only those with one count, by semver.
	size_t best = path.len < interface.len ? wit_name_find(interface, row_name, c->links.list, c->links.n) : SIZE_MAX;
	if (best != SIZE_MAX && strchr(c->links.list[best].name, '@'))
		return bound(c, (uint32_t)best, APP_BY_VERSION);
	row = find_row(c, path);
	if (row != APP_NONE)
		return bound(c, row, APP_BY_INTERFACE);
	row = find_row(c, package);
	return row != APP_NONE ? bound(c, row, APP_BY_PACKAGE) : (struct app_binding){APP_NONE, APP_NONE, APP_UNBOUND};
}

bool app_bind(const struct app *app, const struct app_component *c, const struct app_import *imports, uint32_t n, struct app_binding *ret, struct err *e)
{
	for (uint32_t i = 0; i < n; i++)
		ret[i] = bind_one(c, &imports[i]);
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t k = 0; k < imports[i].n_shares; k++) {
			uint32_t other = imports[i].shares[k];
			// What isn't linked is the host's, whose objects every provider of the host takes.
			if (ret[i].link == ret[other].link || ret[i].link == APP_NONE || ret[other].link == APP_NONE)
				continue;
			err_set(e, ERR_LINK, "component '%s': %.*s is linked to %s and %.*s to %s, and they share a resource", c->item.name, SLICE_ARGS(imports[i].name),
				app->links.list[ret[i].link].item.name, SLICE_ARGS(imports[other].name), app->links.list[ret[other].link].item.name);
			return err_hint(e, "bind them together, by the package: links = { \"ns:pkg\" = … }");
		}
	return true;
}
