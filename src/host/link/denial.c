// What a manifest's format would grant by key, and didn't: a component that imports a whole world is linked to denials of what it is not given (contract §2). Of
// such an interface nothing is known here but what the component says that it imports: it is described by that.
#include "comp/comp.h"
#include "link_int.h"

// Answers access-denied; there is nothing of it.
static const struct seam_provider_ops denied_ops = {.name = "denied"};
struct seam_provider link__denied = {.ops = &denied_ops, .refs = 1, .held[SEAM_HELD_BY_MAKER] = 1};

bool link__is_denied(struct slice interface)
{
	return slice_starts_with(interface, SLICE_LIT("fermyon:spin/")) || slice_starts_with(interface, SLICE_LIT("spin:"));
}

struct denial {
	bool is_logged;  // any thread
	const char *interface;
};

static void log_denial(const struct seam_call *c, const char *interface)
{
	const struct seam_grants *g = c->instance->grants;
	if (g && g->log_denial)
		g->log_denial(g->log_ctx, SEAM_DENY_LINK, interface, "a link");
}

static enum seam_result deny(const void *ops, struct seam_call *c, const void *args UNUSED, void *ret)
{
	static const char *const cases[] = {"access-denied", "other", "io", "invalid-connection", "invalid-address", "connection-failed", "provider"};
	struct denial *d = *(struct denial *const *)ops;  // every function's
	char text[160];
	if (!__atomic_exchange_n(&d->is_logged, true, __ATOMIC_RELAXED))
		log_denial(c, d->interface);
	snprintf(text, sizeof text, "access denied: nothing is granted of %s", d->interface);
	return seam_put_error(c, cases, ARRAY_LEN(cases), slice_str(text), ret) ? SEAM_OK : seam_trap(c, "%s: %s", c->func->name, text);
}

static bool describe_funcs(struct arena *a, const struct comp_plan *plan, const struct comp_import *p, struct seam_func *funcs, uint32_t *n, struct err *e)
{
	for (uint32_t i = 0; i < p->n_funcs; i++) {
		const struct comp_host_func *f = &plan->host_funcs[p->first_func + i];
		struct slice name;
		if (f->inner.len)
			continue;
		if (!slice_dup(a, f->name, &name))
			return err_nomem(e);
		funcs[(*n)++] = (struct seam_func){.name = (const char *)name.ptr,
			.type = f->type,
			.call = deny,
			.args_size = f->type->params.size64,
			.ret_size = f->type->result ? f->type->result->size64 : 0};
	}
	return true;
}

static void describe_resources(const struct comp_extern *x, const struct seam_interface *of, struct seam_resource *list, const struct seam_resource **pointers,
	uint32_t *n)
{
	for (uint32_t i = 0; i < x->n; i++) {
		if (x->items[i].kind != COMP_EXTERN_TYPE || !x->items[i].resource)
			continue;
		list[*n] = (struct seam_resource){.wit.name = x->items[i].name, .interface = of, .means = x->items[i].resource};
		pointers[*n] = &list[*n];
		(*n)++;
	}
}

bool link__offer_denial(struct arena *a, const struct comp_component *comp, uint32_t import, struct seam_offer *ret, struct err *e)
{
	const struct comp_import *p = &comp->plan.imports[import];
	const struct comp_extern *x = &comp->imports[import];
	struct seam_interface *of = ARENA_NEW(a, struct seam_interface);
	struct denial *d = ARENA_NEW(a, struct denial);
	struct seam_func *funcs = ARENA_ARRAY(a, struct seam_func, p->n_funcs + 1);
	struct seam_resource *list = ARENA_ARRAY(a, struct seam_resource, x->n + 1);
	const struct seam_resource **pointers = ARENA_ARRAY(a, const struct seam_resource *, x->n + 1);
	struct denial **ops = ARENA_ARRAY(a, struct denial *, p->n_funcs + 1);
	struct slice name;
	if (!of || !d || !funcs || !list || !pointers || !ops || !slice_dup(a, p->name, &name))
		return err_nomem(e);
	for (uint32_t i = 0; i <= p->n_funcs; i++)
		ops[i] = d;
	of->name = d->interface = (const char *)name.ptr;
	of->funcs = funcs;
	of->resources = pointers;
	if (!describe_funcs(a, &comp->plan, p, funcs, &of->n_funcs, e))
		return false;
	describe_resources(x, of, list, pointers, &of->n_resources);
	*ret = (struct seam_offer){of->name, of, ops, &link__denied};
	return true;
}
