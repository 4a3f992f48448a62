// Types of components and instances: sizes, renaming, opening, instantiation, and which of their types are visible from outside.
// Matching is in match.c. Walks recurse on depths bounded when the types were made (rule 4 of comp_int.h).
#include "comp_int.h"

// ---- maps of pointers ----

static uint32_t ptr_hash(const void *p, uint32_t cap)
{
	return (uint32_t)map_hash_word((uintptr_t)p) & (cap - 1);
}

static uint32_t ptrmap_slot(const struct ptrmap *m, const void *key)
{
	uint32_t i = ptr_hash(key, m->cap);
	while (m->keys[i] && m->keys[i] != key)
		i = (i + 1) & (m->cap - 1);
	return i;
}

const void *comp__ptrmap_get(const struct ptrmap *m, const void *key)
{
	return m->cap && key ? m->vals[ptrmap_slot(m, key)] : NULL;
}

bool comp__ptrmap_put(struct dec *d, struct ptrmap *m, const void *key, const void *val)
{
	if (m->len * 2 >= m->cap) {
		struct ptrmap old = *m;
		m->cap = old.cap ? old.cap * 2 : 16;
		m->keys = ARENA_ARRAY(&d->s, const void *, m->cap);
		m->vals = ARENA_ARRAY(&d->s, const void *, m->cap);
		if (!m->keys || !m->vals) {
			*m = old;
			return comp__full(d);
		}
		for (uint32_t i = 0; i < old.cap; i++)
			if (old.keys[i]) {
				uint32_t j = ptrmap_slot(m, old.keys[i]);
				m->keys[j] = old.keys[i];
				m->vals[j] = old.vals[i];
			}
	}
	uint32_t i = ptrmap_slot(m, key);
	m->len += !m->keys[i];
	m->keys[i] = key;
	m->vals[i] = val;
	return true;
}

// ---- entities ----

static uint32_t ty_size(const struct ty *t)
{
	switch ((enum ty_kind)t->kind) {
	case TY_VALUE:
		return t->value->effective_size;
	case TY_FUNC: {
		uint64_t n = 1 + (uint64_t)t->func->params.effective_size + (t->func->result ? t->func->result->effective_size : 0);
		return (uint32_t)min_u64(n, WIT_MAX_EFFECTIVE_SIZE + 1);
	}
	case TY_COMPONENT:
		return t->comp->size;
	case TY_INSTANCE:
		return t->inst->size;
	default:
		return 1;
	}
}

uint32_t comp__entity_size(const struct entity *e)
{
	if (e->kind == COMP_EXTERN_MODULE)
		return (uint32_t)min_u64(1 + (uint64_t)e->module->nimports + e->module->nexports, WIT_MAX_EFFECTIVE_SIZE + 1);
	return ty_size(&e->ty);
}

uint32_t comp__entity_depth(const struct entity *e)
{
	if (e->kind == COMP_EXTERN_MODULE)
		return 1;
	return e->ty.kind == TY_COMPONENT ? e->ty.comp->depth : e->ty.kind == TY_INSTANCE ? e->ty.inst->depth
																					  : 1;
}

const char *comp__entity_name(const struct entity *e)
{
	static const char *const names[] = {"module", "func", "value", "type", "component", "instance"};
	return names[e->kind];
}

bool comp__items_add(struct dec *d, struct items *items, const struct item *item)
{
	return PUSH(d, items, *item);
}

const struct item *comp__items_find(struct dec *d, const struct items *list, struct slice name)
{
	struct items *items = (struct items *)(uintptr_t)list;  // the index is filled as it is needed
	if (items->len <= 8) {
		for (uint32_t i = 0; i < items->len; i++)
			if (slice_eq(items->ptr[i].name, name))
				return &items->ptr[i];
		return NULL;
	}
	if (!items->indexed)
		map_init(&items->by_name, &d->s);
	for (; items->indexed < items->len; items->indexed++) {
		bool nomem = false;
		if (!map_insert(&items->by_name, items->ptr[items->indexed].name, items->indexed, &nomem) && nomem) {
			comp__full(d);
			return NULL;
		}
	}
	uintptr_t i;
	return map_get(&items->by_name, name, &i) ? &items->ptr[i] : NULL;
}

struct res *comp__res_new(struct dec *d, struct binder *owner, struct slice name)
{
	struct res *r = NEW(d, struct res);
	if (!r) {
		comp__full(d);
		return NULL;
	}
	*r = (struct res){.wit.name = name, .owner = owner, .slot = owner->n++};
	return r;
}

// Kinds of types that need a name to be seen from outside (Explainer, "External Visibility of Types").
static bool kind_is_nominal(unsigned kind)
{
	return kind == WIT_RECORD || kind == WIT_VARIANT || kind == WIT_ENUM || kind == WIT_FLAGS;
}

bool comp__ty_rename(struct dec *d, const struct ty *t, struct slice name, struct ty *ret)
{
	*ret = *t;
	if (t->kind == TY_RESOURCE) {
		struct res *r = NEW(d, struct res);
		if (!r)
			return comp__full(d);
		*r = *t->res;
		r->wit.name = name;
		ret->res = r;
	} else if (t->kind == TY_VALUE) {
		struct wit_type *copy = arena_copy(d->a, t->value, sizeof(*copy), _Alignof(struct wit_type));
		if (!copy)
			return err_nomem(d->e);
		ret->value = copy;
	}
	return true;
}

// ---- substitution ----

static bool subst_res(struct subst *s, const struct wit_resource *w, const struct wit_resource **ret)
{
	const struct res *r = res_of(w);
	if (s->resolve) {
		*ret = s->resolve(s->ctx, r);
		return *ret || err_set(s->d->e, ERR_INVALID, "a resource type has no definition in this instance");
	}
	*ret = w;
	if (r->owner != s->from)
		return true;
	const struct res *to = s->targets[r->slot], *known = comp__ptrmap_get(&s->memo, r);
	if (known) {
		*ret = &known->wit;
		return true;
	}
	// Names of a type stay apart: one resource for each, all of one slot. The names that were given as arguments are known already.
	struct res *fresh = to ? arena_copy(&s->d->s, to, sizeof(*to), _Alignof(struct res)) : comp__res_new(s->d, s->into, r->wit.name);
	if (!fresh)
		return comp__full(s->d);
	fresh->wit.name = r->wit.name;
	fresh->is_import = to ? to->is_import : s->is_import;
	if (!to)
		s->targets[r->slot] = fresh;
	*ret = &fresh->wit;
	return comp__ptrmap_put(s->d, &s->memo, r, fresh);
}

static bool subst_fields(struct subst *s, const struct wit_type *t, const struct wit_field **ret)
{
	struct wit_field *fresh = NULL;
	for (uint32_t i = 0; i < t->n; i++) {
		const struct wit_type *to = NULL;
		if (t->fields[i].type && !comp__subst_type(s, t->fields[i].type, &to))
			return false;
		if (to == t->fields[i].type)
			continue;
		if (!fresh && !(fresh = arena_copy(s->d->a, t->fields, t->n * sizeof(*fresh), _Alignof(struct wit_field))))
			return err_nomem(s->d->e);
		fresh[i].type = to;
	}
	*ret = fresh ? fresh : t->fields;
	return true;
}

// Layouts do not depend on resources, so that a copy with other pointers is enough.
bool comp__subst_type(struct subst *s, const struct wit_type *t, const struct wit_type **ret)
{
	if (!s->has_pairs && !(t->flags & WIT_HAS_HANDLE)) {
		*ret = t;
		return true;
	}
	const struct wit_type *known = comp__ptrmap_get(&s->memo, t);
	if (known) {
		*ret = known;
		return true;
	}
	if (t->kind < WIT_N_PRIMITIVES) {
		*ret = t;
		return true;
	}
	struct wit_type copy = *t;
	if (!comp__steps(s->d, 1) || (t->resource && !subst_res(s, t->resource, &copy.resource)) ||
		(t->elem && !comp__subst_type(s, t->elem, &copy.elem)) || (t->kind != WIT_FIXED_LIST && t->n && !subst_fields(s, t, &copy.fields)))
		return false;
	const struct wit_type *to = t;
	if (copy.resource != t->resource || copy.elem != t->elem || copy.fields != t->fields) {
		to = arena_copy(s->d->a, &copy, sizeof(copy), _Alignof(struct wit_type));
		if (!to)
			return err_nomem(s->d->e);
	}
	*ret = to;
	return comp__ptrmap_put(s->d, &s->memo, t, to);
}

bool comp__subst_func(struct subst *s, const struct wit_func_type *f, const struct wit_func_type **ret)
{
	const struct wit_func_type *known = comp__ptrmap_get(&s->memo, f);
	if (known) {
		*ret = known;
		return true;
	}
	struct wit_func_type copy = *f;
	if (!comp__steps(s->d, 1) || !subst_fields(s, &f->params, &copy.params.fields) ||
		(f->result && !comp__subst_type(s, f->result, &copy.result)))
		return false;
	*ret = f;
	if (copy.params.fields != f->params.fields || copy.result != f->result) {
		*ret = arena_copy(s->d->a, &copy, sizeof(copy), _Alignof(struct wit_func_type));
		if (!*ret)
			return err_nomem(s->d->e);
	}
	return comp__ptrmap_put(s->d, &s->memo, f, *ret);
}

static bool subst_items(struct subst *s, const struct items *from, struct items *ret, bool *ret_changed)
{
	struct item *fresh = NULL;
	for (uint32_t i = 0; i < from->len; i++) {
		struct entity to;
		if (!comp__subst_entity(s, &from->ptr[i].e, &to))
			return false;
		if (to.ty.p == from->ptr[i].e.ty.p && to.of == from->ptr[i].e.of)
			continue;
		if (!fresh && !(fresh = arena_copy(&s->d->s, from->ptr, from->len * sizeof(*fresh), _Alignof(struct item))))
			return comp__full(s->d);
		fresh[i].e = to;
	}
	*ret = *from;
	if (fresh) {
		ret->ptr = fresh;
		ret->cap = ret->len;
		*ret_changed = true;
	}
	return true;
}

static bool subst_instance(struct subst *s, const struct itype *t, const struct itype **ret)
{
	struct itype copy = *t;
	bool changed = false;
	if (!subst_items(s, &t->exports, &copy.exports, &changed))
		return false;
	*ret = changed ? arena_copy(&s->d->s, &copy, sizeof(copy), _Alignof(struct itype)) : t;
	return *ret || comp__full(s->d);
}

static bool subst_component(struct subst *s, const struct ctype *t, const struct ctype **ret)
{
	struct ctype copy = *t;
	bool changed = false;
	if (!subst_items(s, &t->imports, &copy.imports, &changed) || !subst_items(s, &t->exports, &copy.exports, &changed))
		return false;
	*ret = changed ? arena_copy(&s->d->s, &copy, sizeof(copy), _Alignof(struct ctype)) : t;
	return *ret || comp__full(s->d);
}

static bool subst_ty(struct subst *s, const struct ty *t, struct ty *ret)
{
	ret->kind = t->kind;
	switch ((enum ty_kind)t->kind) {
	case TY_VALUE:
		return comp__subst_type(s, t->value, &ret->value);
	case TY_FUNC:
		return comp__subst_func(s, t->func, &ret->func);
	case TY_RESOURCE: {
		const struct wit_resource *w;
		if (!subst_res(s, &t->res->wit, &w))
			return false;
		ret->res = res_of(w);
		return true;
	}
	default:
		break;
	}
	ret->p = comp__ptrmap_get(&s->memo, t->p);
	if (ret->p)
		return true;
	if (!(t->kind == TY_INSTANCE ? subst_instance(s, t->inst, &ret->inst) : subst_component(s, t->comp, &ret->comp)))
		return false;
	return comp__ptrmap_put(s->d, &s->memo, t->p, ret->p);
}

// What a named type is a name of.
static bool subst_name(struct subst *s, const struct entity *e, const void **ret)
{
	struct ty of = {.kind = e->ty.kind, .p = e->of}, to;
	*ret = e->of;
	if (e->ty.kind != TY_VALUE && e->ty.kind != TY_RESOURCE)
		return true;
	if (!subst_ty(s, &of, &to))
		return false;
	*ret = to.p;
	return true;
}

bool comp__subst_entity(struct subst *s, const struct entity *e, struct entity *ret)
{
	*ret = *e;
	if (!comp__steps(s->d, 1))
		return false;
	if (e->of && !subst_name(s, e, &ret->of))
		return false;
	return e->kind == COMP_EXTERN_MODULE || subst_ty(s, &e->ty, &ret->ty);
}

bool comp__open(struct dec *d, const struct itype *t, struct binder *into, bool is_import, const struct itype **ret)
{
	*ret = t;
	if (!t->binder || t->binder->n == 0)
		return true;
	struct subst s = {.d = d, .from = t->binder, .into = into, .is_import = is_import};
	s.targets = ARENA_ARRAY(&d->s, const struct res *, t->binder->n);
	if (!s.targets)
		return comp__full(d);
	struct itype fresh = *t;
	bool changed = false;
	fresh.binder = NULL;
	if (!comp__steps(d, t->binder->n) || !subst_items(&s, &t->exports, &fresh.exports, &changed))
		return false;
	*ret = arena_copy(&d->s, &fresh, sizeof(fresh), _Alignof(struct itype));
	return *ret || comp__full(d);
}

// ---- what a type reaches ----

static bool is_of_component(void *ctx, const struct wit_resource *r)
{
	return !res_of(r)->owner->is_component;
}

static bool reaches_items(struct dec *d, const struct items *items, bool *ret)
{
	for (uint32_t i = 0; i < items->len && !*ret; i++)
		if (items->ptr[i].e.kind != COMP_EXTERN_MODULE && !comp__reaches_resource(d, &items->ptr[i].e.ty, ret))
			return false;
	return true;
}

// Resources of a component's own scope; those bound within a type do not count (C14).
bool comp__reaches_resource(struct dec *d, const struct ty *t, bool *ret)
{
	*ret = false;
	if (!comp__steps(d, ty_size(t)))
		return false;
	switch ((enum ty_kind)t->kind) {
	case TY_RESOURCE:
		*ret = t->res->owner->is_component;
		return true;
	case TY_VALUE:
		*ret = !wit_type_each_resource(t->value, is_of_component, NULL);
		return true;
	case TY_FUNC:
		*ret = !wit_type_each_resource(&t->func->params, is_of_component, NULL) ||
			(t->func->result && !wit_type_each_resource(t->func->result, is_of_component, NULL));
		return true;
	case TY_INSTANCE:
		return reaches_items(d, &t->inst->exports, ret);
	default:
		return reaches_items(d, &t->comp->imports, ret) && (*ret || reaches_items(d, &t->comp->exports, ret));
	}
}

// ---- visibility (C11) ----

static bool parts_visible(struct dec *d, const struct wit_type *t, const struct ptrmap *set, bool *ret);

static bool type_visible(struct dec *d, const struct wit_type *t, const struct ptrmap *set, bool *ret)
{
	if (!comp__steps(d, 1))
		return false;
	if (t->kind < WIT_N_PRIMITIVES)
		return true;
	if (kind_is_nominal(t->kind)) {
		*ret &= comp__ptrmap_get(set, t) != NULL;
		return true;
	}
	return parts_visible(d, t, set, ret);
}

static bool parts_visible(struct dec *d, const struct wit_type *t, const struct ptrmap *set, bool *ret)
{
	if (t->resource)
		*ret &= comp__ptrmap_get(set, t->resource) != NULL;
	if (t->elem && *ret && !type_visible(d, t->elem, set, ret))
		return false;
	for (uint32_t i = 0; t->kind != WIT_FIXED_LIST && i < t->n && *ret; i++)
		if (t->fields[i].type && !type_visible(d, t->fields[i].type, set, ret))
			return false;
	return true;
}

static bool is_imported(const struct scope *s, const void *name)
{
	for (; s; s = s->kind == SCOPE_COMPONENT ? NULL : s->outer)
		if (comp__ptrmap_get(&s->imported, name))
			return true;
	return false;
}

static bool visible_entity(struct dec *d, struct scope *s, const struct entity *e, bool is_import, bool *ret);

static bool visible_ty(struct dec *d, struct scope *s, const struct ty *t, bool is_import, bool *ret)
{
	const struct ptrmap *set = is_import ? &s->imported : &s->exported;
	switch ((enum ty_kind)t->kind) {
	case TY_VALUE:
		return parts_visible(d, t->value, set, ret);
	case TY_FUNC:
		if (!parts_visible(d, &t->func->params, set, ret))
			return false;
		return !t->func->result || type_visible(d, t->func->result, set, ret);
	case TY_INSTANCE:
		for (uint32_t i = 0; i < t->inst->exports.len && *ret; i++) {
			const struct entity *x = &t->inst->exports.ptr[i].e;
			if (!visible_entity(d, s, x, is_import, ret))
				return false;
		}
		return true;
	default:  // a component type has been checked when it was made; a resource needs nothing
		return true;
	}
}

static bool visible_entity(struct dec *d, struct scope *s, const struct entity *e, bool is_import, bool *ret)
{
	if (!comp__steps(d, 1))
		return false;
	if (e->kind == COMP_EXTERN_MODULE)
		return true;
	if (!visible_ty(d, s, &e->ty, is_import, ret))
		return false;
	if (e->kind != COMP_EXTERN_TYPE || !*ret)
		return true;
	// An import that is equal to another type can only be so to one that has been imported.
	if (is_import && !e->is_sub && e->ty.kind == TY_RESOURCE && e->of && !is_imported(s, e->of)) {
		*ret = false;
		return true;
	}
	return (!is_import || comp__ptrmap_put(d, &s->imported, e->ty.p, e->ty.p)) && comp__ptrmap_put(d, &s->exported, e->ty.p, e->ty.p);
}

bool comp__visible(struct dec *d, struct scope *s, const struct entity *e, bool is_import, bool *ret)
{
	*ret = true;
	return comp__is_known(d) || s->kind == SCOPE_ITYPE || visible_entity(d, s, e, is_import, ret);
}
