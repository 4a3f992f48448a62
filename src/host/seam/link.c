// Linking a component's root imports to what is offered (design §6, §7, §8).
//
// 1. An interface is found by its label or its name; of it, what the component imports (called or not) is compared, as types. Resources are equal when they
//    stand for the same resource of ours: by the interface and the type's name. So a link has one description for each import, whoever serves it.
// 2. Nothing of the guest has run when this fails, and the error names everything that is not served, each with a way out.
// 3. An interface of ours has functions and types, no instances: what lies in an instance inside of an imported one is served by nobody.
// 4. What shares resources has one provider: an object never comes to one that did not make it, but to one that says that it takes such.
#include "seam_int.h"

enum { MAX_TEXT = 4096, MAX_TOLD = 12 };

struct linker {
	const struct seam_registry *registry;
	const struct comp_component *comp;
	const struct comp_plan *plan;
	struct seam_link *link;
	const struct seam_offer **offers;  // by import; NULL: none, and it was told
	uint32_t n_missing;
	struct buf names, ways;  // of what is missing, where it is more than one thing
	struct err first, *e;
};

// One thing is missing: `e` says what, and how to get it.
static void is_missing(struct linker *k, struct slice name, const struct err *e)
{
	if (k->n_missing++ == 0)
		k->first = *e;
	if (k->n_missing > MAX_TOLD)
		return;
	buf_printf(&k->names, "%s%.*s", k->n_missing > 1 ? ", " : "", SLICE_ARGS(name));
	buf_printf(&k->ways, "\n        %.*s: %s", SLICE_ARGS(name), e->hint);
}

// false when something is missing.
static bool tell_missing(struct linker *k)
{
	if (k->n_missing == 1) {
		err_set(k->e, k->first.code, "%s", k->first.text);
		if (k->first.where[0])
			err_note(k->e, "%s", k->first.where);
		err_hint(k->e, "%s", k->first.hint);
	} else if (k->n_missing) {
		const char *more = k->n_missing > MAX_TOLD ? ", …" : "";
		err_set(k->e, ERR_LINK, "cannot link: nothing provides %u imports: %.*s%s", k->n_missing, SLICE_ARGS(buf_view(&k->names)), more);
		err_hint(k->e, "what would serve each:%.*s%s", SLICE_ARGS(buf_view(&k->ways)), more);
	}
	return k->n_missing == 0;
}

static struct slice implements_of(const struct linker *k, uint32_t import)
{
	return import < k->comp->nimports ? k->comp->imports[import].implements : slice_of("", 0);
}

static void no_interface(struct linker *k, uint32_t import)
{
	struct slice name = k->plan->imports[import].name, meant = implements_of(k, import).len ? implements_of(k, import) : name;
	struct err e = {0};
	err_set(&e, ERR_LINK, "cannot link: nothing provides the import %.*s", SLICE_ARGS(name));
	for (uint32_t i = 0; i < k->registry->offers.len; i++) {
		struct slice have = slice_str(k->registry->offers.ptr[i].interface->name);
		if (slice_eq(slice_sub(meant, 0, slice_find(meant, '@')), slice_sub(have, 0, slice_find(have, '@'))))
			err_hint(&e, "this program has %.*s", SLICE_ARGS(have));
	}
	if (slice_starts_with(meant, SLICE_LIT("wasi:")))
		err_hint(&e, "this program serves the interfaces of WASI 0.2; `tenon inspect` lists what a component imports");
	err_hint(&e, "compose the component with one that exports it, for example by `wac plug`");
	is_missing(k, name, &e);
}

static bool no_module(struct linker *k, struct slice name)
{
	struct err e = {0};
	err_set(&e, ERR_LINK, "cannot link: the component imports a module or component: %.*s", SLICE_ARGS(name));
	err_hint(&e, "compose the component with it, for example by `wac plug`");
	is_missing(k, name, &e);
	return true;
}

// An interface that nobody has is missing also when nothing of it is called: it was imported to be there.
static bool find_offers(struct linker *k)
{
	for (uint32_t i = 0; i < k->plan->nimports; i++) {
		const struct comp_import *p = &k->plan->imports[i];
		if (p->kind == COMP_EXTERN_MODULE || p->kind == COMP_EXTERN_COMPONENT)
			no_module(k, p->name);
		k->offers[i] = p->kind == COMP_EXTERN_INSTANCE ? seam_registry_find(k->registry, p->name, implements_of(k, i)) : NULL;
		if (p->kind == COMP_EXTERN_INSTANCE && (p->n_funcs || p->n_resources) && !k->offers[i])
			no_interface(k, i);
	}
	return true;
}

// ---- the first time: descriptions ------------------------------------------------------------------------------------------------------

static const struct seam_resource *find_resource(const struct seam_interface *iface, struct slice name)
{
	for (uint32_t i = 0; i < iface->n_resources; i++)
		if (slice_eq(iface->resources[i]->wit.name, name))
			return iface->resources[i];
	return NULL;
}

bool seam__same_resource(void *ctx, const struct wit_resource *expected, const struct wit_resource *found)
{
	const struct seam__linked *l = ctx;
	const struct comp_resource *r = comp_resource_of(found);
	const struct seam_resource *ours = r->host_index == COMP_NONE ? NULL : l->link->resources[r->host_index], *theirs = seam_imported(l->interface, expected);
	return theirs ? ours == theirs : ours && (ours->means ? ours->means : &ours->wit) == expected;
}

static bool link_resources(struct linker *k)
{
	k->link->resources = ARENA_ARRAY(&k->link->arena, const struct seam_resource *, k->plan->nhost_resources + 1);
	if (!k->link->resources)
		return err_nomem(k->e);
	for (uint32_t i = 0; i < k->plan->nhost_resources; i++) {
		const struct comp_resource *r = k->plan->host_resources[i];
		const struct comp_import *import = &k->plan->imports[r->import];
		const struct seam_interface *iface = k->link->interfaces[r->import];
		struct err e = {0};
		if (iface && !r->inner.len && (k->link->resources[i] = find_resource(iface, r->path)))
			continue;
		if (iface && r->inner.len) {
			err_set(&e, ERR_LINK, "cannot link: %.*s has no instance %.*s, which is to have the resource %.*s", SLICE_ARGS(import->name), SLICE_ARGS(r->inner),
				SLICE_ARGS(r->path));
			err_hint(&e, "this program has %s, whose resources are in no instance of it", iface->name);
		} else if (iface) {
			err_set(&e, ERR_LINK, "cannot link: %.*s has no resource %.*s", SLICE_ARGS(import->name), SLICE_ARGS(r->path));
			err_hint(&e, "this program has %s", iface->name);
		} else if (import->kind == COMP_EXTERN_INSTANCE) {
			continue;  // told already
		} else {
			err_set(&e, ERR_LINK, "cannot link: nothing provides the resource %.*s", SLICE_ARGS(r->path));
			err_hint(&e, "compose the component with one that exports it, for example by `wac plug`");
		}
		is_missing(k, r->path, &e);
	}
	return true;
}

// The function's number; COMP_NONE: the interface has none.
static uint32_t find_func(const struct seam_interface *iface, struct slice name)
{
	for (uint32_t i = 0; iface && i < iface->n_funcs; i++)
		if (slice_eq_str(name, iface->funcs[i].name))
			return i;
	return COMP_NONE;
}

// "iface#func", or "func".
static struct slice full_name(char ret[160], const struct comp_host_func *f)
{
	int n = snprintf(ret, 160, f->interface.len ? "%.*s#%.*s" : "%.*s%.*s", SLICE_ARGS(f->interface), SLICE_ARGS(f->name));
	return slice_of(ret, min_u64((uint64_t)n, 159));
}

static void no_function(struct linker *k, const struct comp_host_func *f)
{
	const struct seam_interface *iface = k->link->interfaces[f->import];
	struct err e = {0};
	struct buf b = {.max = MAX_TEXT};
	char name[160];
	wit_print_func_type(&b, f->type, NULL, 0);
	struct slice type = b.len ? buf_view(&b) : SLICE_LIT("func");
	if (iface && f->inner.len) {
		err_set(&e, ERR_LINK, "cannot link: %.*s has no instance %.*s, which is to have %.*s: %.*s", SLICE_ARGS(f->interface), SLICE_ARGS(f->inner),
			SLICE_ARGS(f->name), SLICE_ARGS(type));
		err_hint(&e, "this program has %s, whose functions are in no instance of it", iface->name);
	} else if (iface) {
		err_set(&e, ERR_LINK, "cannot link: %.*s has no function %.*s: %.*s", SLICE_ARGS(f->interface), SLICE_ARGS(f->name), SLICE_ARGS(type));
		err_hint(&e, "this program has %s: was the component built against a newer or another definition?", iface->name);
	} else {
		err_set(&e, ERR_LINK, "cannot link: nothing provides the function %.*s: %.*s", SLICE_ARGS(f->name), SLICE_ARGS(type));
		err_hint(&e, "compose the component with one that exports it, for example by `wac plug`");
	}
	buf_release(&b);
	is_missing(k, full_name(name, f), &e);
}

static void other_type(struct linker *k, const struct comp_host_func *f, const struct err *why)
{
	struct err e = {0};
	char name[160];
	struct slice full = full_name(name, f);
	err_set(&e, ERR_LINK, "cannot link: %.*s: %s", SLICE_ARGS(full), why->text);
	if (why->where[0])
		err_note(&e, "%s", why->where);
	err_note(&e, "the type of %.*s is another one here", SLICE_ARGS(full));
	err_hint(&e, "this program has %s: was the component built against another definition?", k->link->interfaces[f->import]->name);
	is_missing(k, full, &e);
}

static void link_func(struct linker *k, uint32_t index, struct canon_host_func *ret)
{
	const struct comp_host_func *f = &k->plan->host_funcs[index];
	const struct seam_interface *iface = k->link->interfaces[f->import];
	uint32_t number = f->inner.len ? COMP_NONE : find_func(iface, f->name);
	if (number == COMP_NONE) {
		if (iface || !f->interface.len)
			no_function(k, f);
		return;
	}
	const struct seam_func *have = &iface->funcs[number];
	struct seam__linked linked = {k->link, iface};
	struct wit_compare c = {.same_resource = seam__same_resource, .ctx = &linked, .steps = 1000000};
	struct err why = {0};
	if (!wit_func_type_equal(&c, seam_func_type(iface, number), f->type, &why)) {
		other_type(k, f, &why);
		return;
	}
	k->link->imports[index] = (struct seam__import){f->import, number};
	uint32_t cuts = have->flags & SEAM_FIXED ? 0 : CANON_HOST_CUTS, parks = have->flags & SEAM_NEVER_PARKS ? CANON_HOST_NEVER_PARKS : 0;
	uint32_t leaves = have->flags & SEAM_LEAVES ? CANON_HOST_LEAVES : 0;
	*ret = (struct canon_host_func){.fn = seam__dispatch, .data = (void *)(uintptr_t)index, .flags = cuts | parks | leaves};
}

static bool describe_core(struct linker *k)
{
	struct seam_link *l = k->link;
	uint32_t n = k->plan->ncore_funcs;
	struct canon_core_func *funcs = ARENA_ARRAY(&l->arena, struct canon_core_func, n + 1);
	l->core = k->registry->core;
	l->core_funcs = ARENA_ARRAY(&l->arena, const void *, n + 1);
	if (!funcs || !l->core_funcs)
		return err_nomem(k->e);
	for (uint32_t i = 0; i < n; i++) {
		const struct comp_core_func *f = &k->plan->core_funcs[i];
		uint32_t flags = 0;
		if (!l->core.module || !slice_eq_str(f->module, l->core.module))
			return err_set_at(k->e, ERR_LINK, f->offset, "cannot link: nothing provides the core function %.*s of %.*s", SLICE_ARGS(f->name), SLICE_ARGS(f->module)) ||
				err_hint(k->e, "a component has none: make one of the module by `wasm-tools component new`");
		if (!l->core.find(f->name, wasm_interned_func_type(f->core_type), &l->core_funcs[i], &flags, k->e))
			return err_note(k->e, "import %.*s of %.*s", SLICE_ARGS(f->name), SLICE_ARGS(f->module));
		funcs[i] = (struct canon_core_func){seam__dispatch_core, (void *)(uintptr_t)i, flags & SEAM_FIXED ? 0 : CANON_HOST_CUTS};
	}
	l->host.core_funcs = funcs;
	return true;
}

static bool describe(struct linker *k)
{
	struct seam_link *l = k->link;
	uint32_t n = k->plan->nhost_funcs;
	struct canon_host_func *funcs = ARENA_ARRAY(&l->arena, struct canon_host_func, n + 1);
	l->imports = ARENA_ARRAY(&l->arena, struct seam__import, n + 1);
	l->interfaces = ARENA_ARRAY(&l->arena, const struct seam_interface *, k->plan->nimports + 1);
	if (!funcs || !l->imports || !l->interfaces)
		return err_nomem(k->e);
	if (!find_offers(k))
		return false;
	for (uint32_t i = 0; i < k->plan->nimports; i++)
		l->interfaces[i] = k->offers[i] ? k->offers[i]->interface : NULL;
	if (!link_resources(k))
		return false;
	for (uint32_t i = 0; i < n; i++)
		link_func(k, i, &funcs[i]);
	l->host = (struct canon_host){.funcs = funcs,
		.n_funcs = n,
		.open = seam__instance_open,
		.reset = seam__instance_reset,
		.keeps = seam__instance_keeps,
		.keep = seam__instance_keep,
		.adopt = seam__object_adopt,
		.gone = seam__object_gone,
		.wake = seam__wake_task};
	return tell_missing(k) && describe_core(k);
}

// ---- each time: who serves them ----------------------------------------------------------------------------------------------------------

static bool is_served(const void *ops, uint32_t number)
{
	void (*fn)(void);
	memcpy(&fn, (const char *)ops + number * sizeof fn, sizeof fn);
	return fn != NULL;
}

// NULL stays NULL.
static bool keep_text(struct seam_table *t, const char *text, const char **ret)
{
	struct slice copy;
	if (!text)
		return true;
	if (!slice_dup(&t->arena, slice_str(text), &copy))
		return false;
	*ret = (const char *)copy.ptr;
	return true;
}

static bool fill_bindings(struct linker *k, struct seam_table *t)
{
	t->bindings = ARENA_ARRAY(&t->arena, struct seam_binding, k->plan->nimports + 1);
	if (!t->bindings)
		return err_nomem(k->e);
	for (uint32_t i = 0; i < k->plan->nimports; i++) {
		const struct seam_offer *o = k->offers[i];
		if (!o)
			continue;
		if (o->interface != k->link->interfaces[i])
			return err_set(k->e, ERR_LINK, "cannot link: %s is described in another way than when the component was loaded", o->interface->name);
		t->bindings[i] = (struct seam_binding){.interface = o->interface, .ops = o->ops, .provider = o->provider};
		if (!keep_text(t, o->link, &t->bindings[i].link) || !keep_text(t, o->rule, &t->bindings[i].rule))
			return err_nomem(k->e);
	}
	if (k->plan->ncore_funcs)
		t->bindings[k->plan->nimports].provider = k->registry->core.provider;
	return true;
}

static bool fill_targets(struct linker *k, struct seam_table *t)
{
	const struct seam_link *l = k->link;
	t->targets = ARENA_ARRAY(&t->arena, struct seam__target, k->plan->nhost_funcs + 1);
	if (!t->targets)
		return err_nomem(k->e);
	for (uint32_t i = 0; i < k->plan->nhost_funcs; i++) {
		const struct seam_binding *b = &t->bindings[l->imports[i].import];
		const struct seam_func *f = &b->interface->funcs[l->imports[i].func];
		t->targets[i] = (struct seam__target){f->call, b->ops, b, f};
		if (k->plan->host_funcs[i].used && !is_served(b->ops, l->imports[i].func))
			no_function(k, &k->plan->host_funcs[i]);
	}
	return tell_missing(k);
}

struct sharing {
	const struct seam_link *link;
	const struct seam_table *table;
	const struct seam_binding *binding;
	const struct seam_binding *other;
};

static bool has_the_same_provider(void *ctx, const struct wit_resource *r)
{
	struct sharing *s = ctx;
	const struct comp_resource *c = comp_resource_of(r);
	if (c->host_index == COMP_NONE)
		return true;
	s->other = &s->table->bindings[c->import];
	return s->other->provider == s->binding->provider || s->binding->provider->ops->takes_others;
}

// The link that leads to it, or what it calls itself.
static const char *who_serves(const struct seam_binding *b)
{
	return b->link ? b->link : b->provider->ops->name;
}

static bool check_sharing(struct linker *k, const struct seam_table *t)
{
	for (uint32_t i = 0; i < k->plan->nhost_funcs; i++) {
		const struct wit_func_type *type = k->plan->host_funcs[i].type;
		struct sharing s = {.link = k->link, .table = t, .binding = t->targets[i].binding};
		if (wit_type_each_resource(&type->params, has_the_same_provider, &s) &&
			(!type->result || wit_type_each_resource(type->result, has_the_same_provider, &s)))
			continue;
		err_set(k->e, ERR_LINK, "cannot link: %s is served by %s and %s by %s, but they share resources", s.binding->interface->name, who_serves(s.binding),
			s.other->interface->name, who_serves(s.other));
		return err_hint(k->e, "one provider serves both");
	}
	return true;
}

static bool table_new(struct linker *k, struct seam_table **ret)
{
	struct seam_table *t = seam__table_new(k->link);
	if (!t)
		return err_nomem(k->e);
	if (!fill_bindings(k, t) || !fill_targets(k, t) || !check_sharing(k, t)) {
		seam_table_free(t);
		return false;
	}
	seam__table_place(t, k->plan->nimports + 1);
	*ret = t;
	return true;
}

static void linker_init(struct linker *k, const struct seam_registry *r, struct seam_link *l, struct err *e)
{
	*k = (struct linker){.registry = r, .comp = l->comp, .plan = &l->comp->plan, .link = l, .names.max = MAX_TEXT, .ways.max = MAX_TEXT, .e = e};
}

static bool linker_end(struct linker *k, bool ok)
{
	buf_release(&k->names);
	buf_release(&k->ways);
	return ok;
}

bool seam_table_new(struct seam_link *l, const struct seam_registry *r, struct seam_table **ret, struct err *e)
{
	struct linker k;
	const struct seam_offer **offers = mem_zalloc((l->comp->plan.nimports + 1) * sizeof(*offers));
	linker_init(&k, r, l, e);
	k.offers = offers;
	bool ok = offers ? find_offers(&k) && tell_missing(&k) && table_new(&k, ret) : err_nomem(e);
	mem_free(offers);
	return linker_end(&k, ok);
}

bool seam_link_new(const struct seam_registry *r, const struct comp_component *comp, struct seam_link **ret, struct err *e)
{
	struct linker k;
	struct err own = {0};
	struct seam_link *l = mem_zalloc(sizeof(*l));
	if (!l)
		return err_nomem(e);
	l->comp = comp;
	arena_init(&l->arena, 0);
	linker_init(&k, r, l, e ? e : &own);
	const struct seam_offer **offers = ARENA_ARRAY(&l->arena, const struct seam_offer *, comp->plan.nimports + 1);
	k.offers = offers;
	if (!linker_end(&k, offers ? describe(&k) && table_new(&k, &l->table) : err_nomem(k.e))) {
		seam_link_free(l);
		return false;
	}
	*ret = l;
	return true;
}

void seam_link_free(struct seam_link *l)
{
	if (!l)
		return;
	seam__link_release(l);
	arena_release(&l->arena);
	mem_free(l);
}

const struct canon_host *seam_link_host(const struct seam_link *l)
{
	return &l->host;
}
