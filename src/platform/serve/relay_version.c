// A component that others call gets another version. Those are linked to its interfaces as one version, the base, has them; each further one must export them
// with the same types, and is called by a table: its export for each function, its resource for each resource of the base's.
//
// Tables are made under the process's lock (`relays`), and read without it by threads that call: they are hung into the version's list once they are whole.
#include "relay.h"

static const struct relay_exports *exports_of(const struct serve_version *v, const struct relay_face *f)
{
	for (const struct relay_exports *x = __atomic_load_n(&v->relayed, __ATOMIC_ACQUIRE); x; x = x->next)
		if (x->face == f)
			return x;
	return NULL;
}

const struct comp_export_func *serve__relay_export(const struct serve_version *v, const struct relay_func *f)
{
	if (v == f->relay->base)
		return f->face->described->exports[f->index];
	const struct relay_exports *x = exports_of(v, f->face);
	return x ? x->exports[f->index] : NULL;
}

const struct wit_resource *serve__relay_resource(const struct serve_relay *r, const struct serve_version *v, const struct wit_resource *of_base)
{
	if (v == r->base)
		return of_base;
	for (const struct relay_exports *x = __atomic_load_n(&v->relayed, __ATOMIC_ACQUIRE); x; x = x->next)
		for (uint32_t i = 0; i < x->face->described->interface.n_resources; i++)
			if (x->face->described->resources[i].means == of_base)
				return x->resources[i];
	return NULL;
}

// ---- made ----------------------------------------------------------------------------------------------------------------------------------------

struct fitting {
	const struct seam_described *base, *mine;
};

static const struct seam_resource *resource_by_name(const struct seam_described *d, struct slice name)
{
	for (uint32_t i = 0; i < d->interface.n_resources; i++)
		if (slice_eq(d->resources[i].wit.name, name))
			return &d->resources[i];
	return NULL;
}

static bool same_resource(void *ctx, const struct wit_resource *expected, const struct wit_resource *found)
{
	const struct fitting *f = ctx;
	const struct seam_resource *imported = seam_imported(&f->base->interface, expected);
	if (imported)
		return imported == seam_imported(&f->mine->interface, found);
	for (uint32_t i = 0; i < f->base->interface.n_resources; i++) {
		if (f->base->resources[i].means != expected)
			continue;
		const struct seam_resource *mine = resource_by_name(f->mine, f->base->resources[i].wit.name);
		return mine && mine->means == found;
	}
	return false;
}

static bool fit_func(struct fitting *f, const struct seam_func *want, const struct comp_export_func **ret, struct err *e)
{
	for (uint32_t i = 0; i < f->mine->interface.n_funcs; i++) {
		const struct seam_func *have = &f->mine->interface.funcs[i];
		struct wit_compare c = {.same_resource = same_resource, .ctx = f, .steps = 1000000};
		if (strcmp(have->name, want->name) != 0)
			continue;
		*ret = f->mine->exports[i];
		return wit_func_type_equal(&c, want->type, have->type, e) || err_note(e, "%s of %s is called by others", want->name, f->base->interface.name);
	}
	err_set(e, ERR_LINK, "cannot link: %s does not export %s any more, and others call it", f->base->interface.name, want->name);
	return false;
}

static bool fill(struct relay_exports *x, struct serve_version *v, struct err *e)
{
	const struct seam_described *base = x->face->described;
	const struct seam_interface *of = &base->interface;
	struct seam_described *mine;
	x->exports = ARENA_ARRAY(&x->arena, const struct comp_export_func *, of->n_funcs + 1);
	x->resources = ARENA_ARRAY(&x->arena, const struct wit_resource *, of->n_resources + 1);
	if (!x->exports || !x->resources)
		return err_nomem(e);
	if (!seam_describe(&x->arena, v->deployment.comp, v->deployment.link, slice_str(of->name), NULL, &mine, e))
		return false;
	struct fitting f = {base, mine};
	for (uint32_t i = 0; i < of->n_resources; i++) {
		const struct seam_resource *r = resource_by_name(mine, base->resources[i].wit.name);
		x->resources[i] = r ? r->means : NULL;
	}
	for (uint32_t i = 0; i < of->n_funcs; i++)
		if (!fit_func(&f, &of->funcs[i], &x->exports[i], e))
			return false;
	return true;
}

static void exports_free(struct relay_exports *x)
{
	arena_release(&x->arena);
	mem_free(x);
}

static bool fit_face(struct serve_version *v, const struct relay_face *f, struct err *e)
{
	if (exports_of(v, f))
		return true;
	struct relay_exports *x = mem_zalloc(sizeof *x);
	if (!x)
		return err_nomem(e);
	arena_init(&x->arena, 0);
	x->face = f;
	if (!fill(x, v, e)) {
		exports_free(x);
		return false;
	}
	x->next = v->relayed;
	__atomic_store_n(&v->relayed, x, __ATOMIC_RELEASE);
	return true;
}

// ---- of which policy ------------------------------------------------------------------------------------------------------------------------------

// A stream lasts beyond the call that brought it.
static bool may_stream(const struct serve_service *s, enum serve_policy policy, const struct relay_face *f, struct err *e)
{
	const struct seam_interface *of = &f->described->interface;
	if (policy == SERVE_CONCURRENT)
		return true;
	for (uint32_t i = 0; i < of->n_funcs; i++) {
		if (!f->funcs[i].has_streams)
			continue;
		err_set(e, ERR_LINK, "cannot link: %s of %s passes a stream or future, and component %s of %s is not one for many calls at once", of->funcs[i].name, of->name,
			s->name, s->app);
		return err_hint(e, "policy = \"concurrent\"");
	}
	return true;
}

static bool is_own(void *ctx, const struct wit_resource *r)
{
	return !seam_imported(ctx, r);
}

// What it keeps is called from each thread, and an object of the host's is one thread's.
static bool may_come_from_all(const struct serve_service *s, enum serve_policy policy, const struct relay_face *f, struct err *e)
{
	struct serve_process *p = s->process;
	struct seam_interface *of = &f->described->interface;
	if (policy != SERVE_KEEP || p->n_threads == 1)
		return true;
	for (uint32_t i = 0; i < of->n_funcs; i++) {
		const struct wit_func_type *t = of->funcs[i].type;
		if (wit_type_each_resource(&t->params, is_own, of) && (!t->result || wit_type_each_resource(t->result, is_own, of)))
			continue;
		err_set(e, ERR_LINK, "cannot link: %s of %s passes objects of others, component %s of %s is kept in one instance, on one thread, and calls come from %u",
			of->funcs[i].name, of->name, s->name, s->app, p->n_threads);
		return err_hint(e, "--shards 1, or policy = \"reuse\"");
	}
	__atomic_store_n(&p->far, 1, __ATOMIC_RELEASE);
	return true;
}

bool serve__relay_may_be(const struct serve_service *s, enum serve_policy policy, const struct relay_face *f, struct err *e)
{
	return may_stream(s, policy, f, e) && may_come_from_all(s, policy, f, e);
}

// ---- another version ------------------------------------------------------------------------------------------------------------------------------

bool serve__relay_fits(struct serve_service *s, struct serve_version *v, struct err *e)
{
	struct serve_process *p = s->process;
	bool ok = true;
	bool becomes_kept = v->config->policy == SERVE_KEEP;
	pthread_mutex_lock(&p->relays);
	for (const struct relay_face *f = s->relay ? s->relay->faces : NULL; ok && f && v != s->relay->base; f = f->next)
		ok = fit_face(v, f, e) && (!becomes_kept || serve__relay_may_be(s, v->config->policy, f, e));
	pthread_mutex_unlock(&p->relays);
	return ok;
}

void serve__relay_forget_version(struct serve_version *v)
{
	for (struct relay_exports *x; (x = v->relayed) != NULL;) {
		v->relayed = x->next;
		exports_free(x);
	}
}
