// Linking a component's root imports to the interfaces of this program (design §6, §7, §8).
//
// 1. An interface is found by its name and the version rule; of it, what the component imports (called or not) is compared, as types. Resources are equal when
//    they stand for the same resource of ours: by the interface's id and the type's name.
// 2. Nothing of the guest has run when this fails, and the error names the interface, the function, the type expected and a way out.
#include "seam_int.h"

struct linker {
	const struct seam_registry *registry;
	const struct comp_plan *plan;
	struct seam_link *link;
	struct seam__target *targets;  // by host_funcs
	struct canon_host_func *funcs;
	struct err *e;
};

static bool is_wasi(struct slice name)
{
	return slice_starts_with(name, SLICE_LIT("wasi:"));
}

static bool no_interface(struct linker *k, struct slice name)
{
	err_set(k->e, ERR_LINK, "cannot link: nothing provides the import %.*s", SLICE_ARGS(name));
	for (uint32_t i = 0; i < k->registry->interfaces.len; i++) {
		const struct seam_interface *f = k->registry->interfaces.ptr[i];
		struct slice have = slice_str(f->name);
		if (slice_eq(slice_sub(name, 0, slice_find(name, '@')), slice_sub(have, 0, slice_find(have, '@'))))
			return err_hint(k->e, "this program has %s", f->name);
	}
	if (is_wasi(name))
		return err_hint(k->e, "this program serves the interfaces of WASI 0.2; `tenon inspect` lists what a component imports");
	return err_hint(k->e, "compose the component with one that exports it, for example by `wac plug`");
}

static bool no_function(struct linker *k, const struct comp_host_func *f, const struct seam_interface *iface)
{
	struct buf b = {.max = 4096};
	wit_print_func_type(&b, f->type, NULL, 0);
	struct slice type = b.len ? buf_view(&b) : SLICE_LIT("func");
	if (f->interface.len)
		err_set(k->e, ERR_LINK, "cannot link: %.*s has no function %.*s: %.*s", SLICE_ARGS(f->interface), SLICE_ARGS(f->name), SLICE_ARGS(type));
	else
		err_set(k->e, ERR_LINK, "cannot link: nothing provides the function %.*s: %.*s", SLICE_ARGS(f->name), SLICE_ARGS(type));
	buf_release(&b);
	return iface ? err_hint(k->e, "this program has %s: was the component built against a newer or another definition?", iface->name)
				 : err_hint(k->e, "compose the component with one that exports it, for example by `wac plug`");
}

static const struct seam_resource *find_resource(const struct seam_interface *iface, struct slice name)
{
	for (uint32_t i = 0; iface && i < iface->n_resources; i++)
		if (slice_eq(iface->resources[i]->wit.name, name))
			return iface->resources[i];
	return NULL;
}

bool seam__same_resource(void *ctx, const struct wit_resource *expected, const struct wit_resource *found)
{
	const struct seam_link *l = ctx;
	const struct comp_resource *r = comp_resource_of(found);
	return r->host_index != COMP_NONE && l->resources[r->host_index] == CONTAINER_OF(UNCONST(expected), struct seam_resource, wit);
}

static bool link_resources(struct linker *k)
{
	const struct canon_resource_ops **ops = ARENA_ARRAY(&k->link->arena, const struct canon_resource_ops *, k->plan->nhost_resources + 1);
	const struct seam_resource **resources = ARENA_ARRAY(&k->link->arena, const struct seam_resource *, k->plan->nhost_resources + 1);
	if (!ops || !resources)
		return err_nomem(k->e);
	for (uint32_t i = 0; i < k->plan->nhost_resources; i++) {
		const struct comp_resource *r = k->plan->host_resources[i];
		struct slice import = k->plan->imports[r->import].name;
		const struct seam_interface *iface = seam_registry_find(k->registry, import);
		if (!iface)
			return no_interface(k, import);
		resources[i] = find_resource(iface, r->path);
		if (!resources[i]) {
			err_set(k->e, ERR_LINK, "cannot link: %.*s has no resource %.*s", SLICE_ARGS(import), SLICE_ARGS(r->path));
			return err_hint(k->e, "this program has %s", iface->name);
		}
		ops[i] = &resources[i]->ops;
	}
	k->link->resources = resources;
	k->link->host.resources = ops;
	k->link->host.n_resources = k->plan->nhost_resources;
	return true;
}

static const struct seam_func *find_func(const struct seam_interface *iface, struct slice name)
{
	for (uint32_t i = 0; iface && i < iface->n_funcs; i++)
		if (slice_eq_str(name, iface->funcs[i].name))
			return &iface->funcs[i];
	return NULL;
}

static bool link_func(struct linker *k, uint32_t index)
{
	const struct comp_host_func *f = &k->plan->host_funcs[index];
	const struct seam_interface *iface = f->interface.len ? seam_registry_find(k->registry, f->interface) : NULL;
	if (f->interface.len && !iface)
		return no_interface(k, f->interface);
	const struct seam_func *have = find_func(iface, f->name);
	if (!have || (f->used && !have->fn))
		return no_function(k, f, iface);
	struct wit_compare c = {.same_resource = seam__same_resource, .ctx = k->link, .steps = 1000000};
	if (!wit_func_type_equal(&c, have->type, f->type, k->e)) {
		err_note(k->e, "the type of %.*s#%.*s is another one here", SLICE_ARGS(f->interface), SLICE_ARGS(f->name));
		char text[sizeof(k->e->text)];
		snprintf(text, sizeof(text), "%s", k->e->text);
		snprintf(k->e->text, sizeof(k->e->text), "cannot link: %.*s#%.*s: %.120s", SLICE_ARGS(f->interface), SLICE_ARGS(f->name), text);
		k->e->code = ERR_LINK;
		return err_hint(k->e, "this program has %s: was the component built against another definition?", iface->name);
	}
	struct seam__binding *b = ARENA_NEW(&k->link->arena, struct seam__binding);
	if (!b)
		return err_nomem(k->e);
	*b = (struct seam__binding){k->link, index};
	k->targets[index] = (struct seam__target){iface, have};
	k->funcs[index] = (struct canon_host_func){.fn = seam__dispatch, .data = b, .flags = have->flags & SEAM_FIXED ? 0 : CANON_HOST_CUTS};
	return true;
}

static bool link_imports(struct linker *k)
{
	// An interface that nobody has is an error also when nothing of it is called: it was imported to be there.
	for (uint32_t i = 0; i < k->plan->nimports; i++) {
		const struct comp_import *p = &k->plan->imports[i];
		if (p->kind == COMP_EXTERN_INSTANCE && (p->n_funcs || p->n_resources) && !seam_registry_find(k->registry, p->name))
			return no_interface(k, p->name);
		if (p->kind == COMP_EXTERN_MODULE || p->kind == COMP_EXTERN_COMPONENT)
			return err_set(k->e, ERR_LINK, "cannot link: the component imports a module or component: %.*s", SLICE_ARGS(p->name));
	}
	return true;
}

static void reset(struct canon_instance *i, bool end)
{
	struct seam_instance *s = canon_instance_user(i);
	if (s && end)
		seam_instance_release(s);
	else if (s)
		seam_instance_reset(s);
}

bool seam_link_new(const struct seam_registry *r, const struct comp_component *comp, struct seam_link **ret, struct err *e)
{
	struct seam_link *l = mem_zalloc(sizeof(*l));
	if (!l)
		return err_nomem(e);
	arena_init(&l->arena, 0);
	struct err own = {0};
	struct linker k = {.registry = r, .plan = &comp->plan, .link = l, .e = e ? e : &own};
	uint32_t n = comp->plan.nhost_funcs;
	struct seam__table *table = ARENA_NEW(&l->arena, struct seam__table);
	k.targets = ARENA_ARRAY(&l->arena, struct seam__target, n + 1);
	k.funcs = ARENA_ARRAY(&l->arena, struct canon_host_func, n + 1);
	bool ok = table && k.targets && k.funcs ? link_imports(&k) && link_resources(&k) : err_nomem(k.e);
	for (uint32_t i = 0; ok && i < n; i++)
		ok = link_func(&k, i);
	if (!ok) {
		seam_link_free(l);
		return false;
	}
	*table = (struct seam__table){.version = 1, .targets = k.targets, .n = n};
	l->table = table;
	l->host.funcs = k.funcs;
	l->host.n_funcs = n;
	l->host.reset = reset;
	*ret = l;
	return true;
}

void seam_link_free(struct seam_link *l)
{
	if (!l)
		return;
	arena_release(&l->arena);
	mem_free(l);
}

const struct canon_host *seam_link_host(const struct seam_link *l)
{
	return &l->host;
}
