// Which of a world's imports a module reaches, and in which order they are imported (world.h).
#include "world.h"

// ---- what is named -----------------------------------------------------------------------------------------------------------------------

static bool add_name(struct world *w, const struct entity *e, uint32_t entry)
{
	if (e->kind != COMP_EXTERN_TYPE || comp__ptrmap_get(&w->names, e->ty.p))
		return true;
	struct world_name *n = NEW(w->d, struct world_name);
	if (!n)
		return comp__full(w->d);
	*n = (struct world_name){e->of, entry};
	return comp__ptrmap_put(w->d, &w->names, e->ty.p, n);
}

static bool add_names(struct world *w, const struct world_entry *e, uint32_t entry)
{
	if (!e->inst)
		return add_name(w, &e->item.e, entry);
	for (uint32_t i = 0; i < e->inst->exports.len; i++)
		if (!add_name(w, &e->inst->exports.ptr[i].e, entry))
			return false;
	return comp__steps(w->d, e->inst->exports.len);
}

bool comp__world_names(struct world *w)
{
	for (uint32_t i = 0; i < w->imports.list.len; i++)
		if (!add_names(w, w->imports.list.ptr[i], i))
			return false;
	for (uint32_t i = 0; i < w->exports.list.len; i++)
		if (!add_names(w, w->exports.list.ptr[i], COMP_NONE))
			return false;
	return true;
}

// ---- what is live ------------------------------------------------------------------------------------------------------------------------
// Recursion goes down the parts of a type, whose depth is bounded, a type's other names being as deep as it is; along those names it is a loop.

static bool use_type(struct world *w, const struct wit_type *t);

static bool use_parts(struct world *w, const struct wit_type *t)
{
	if (t->elem && !use_type(w, t->elem))
		return false;
	for (uint32_t i = 0; t->kind != WIT_FIXED_LIST && i < t->n; i++)
		if (t->fields[i].type && !use_type(w, t->fields[i].type))
			return false;
	return true;
}

// false: an error. *ret_new: it was not live before.
static bool make_live(struct world *w, const void *p, bool *ret_new)
{
	*ret_new = !comp__ptrmap_get(&w->live, p);
	return !*ret_new || (comp__steps(w->d, 1) && comp__ptrmap_put(w->d, &w->live, p, p));
}

static const void *name_before(const struct world *w, const void *p)
{
	const struct world_name *n = comp__ptrmap_get(&w->names, p);
	return n ? n->of : NULL;
}

static bool use_resource(struct world *w, const void *res)
{
	for (bool is_new = true; res && is_new; res = name_before(w, res))
		if (!make_live(w, res, &is_new))
			return false;
	return true;
}

static bool use_type(struct world *w, const struct wit_type *t)
{
	while (t && !(t->kind < WIT_N_PRIMITIVES && t == wit_type_primitive(t->kind))) {
		bool is_new;
		if (!make_live(w, t, &is_new))
			return false;
		if (!is_new)
			return true;
		if ((t->resource && !use_resource(w, t->resource)) || !use_parts(w, t))
			return false;
		t = name_before(w, t);
	}
	return true;
}

bool comp__world_use_func(struct world *w, const struct wit_func_type *f)
{
	return comp__steps(w->d, 1 + (uint64_t)f->params.n) && use_parts(w, &f->params) && (!f->result || use_type(w, f->result));
}

bool comp__world_use(struct world *w, const struct ty *t)
{
	switch ((enum ty_kind)t->kind) {
	case TY_VALUE:
		return use_type(w, t->value);
	case TY_FUNC:
		return comp__world_use_func(w, t->func);
	case TY_RESOURCE:
		return use_resource(w, t->res);
	default:
		return true;  // no interface has a type of one
	}
}

static bool is_live(const struct world *w, const struct item *x, const struct world_part *part)
{
	return x->e.kind == COMP_EXTERN_FUNC ? part->is_used : comp__ptrmap_get(&w->live, x->e.ty.p) != NULL;
}

// The instance has what is live of it, and no more.
static bool reduce_instance(struct world *w, struct world_entry *e)
{
	struct items *items = &e->inst->exports;
	uint32_t n = 0;
	for (uint32_t i = 0; i < items->len; i++) {
		if (!is_live(w, &items->ptr[i], &e->parts.ptr[i]))
			continue;
		e->parts.ptr[n] = e->parts.ptr[i];
		items->ptr[n++] = items->ptr[i];
	}
	bool ok = comp__steps(w->d, items->len);
	if (n < items->len)
		*items = (struct items){.ptr = items->ptr, .len = n, .cap = items->cap};  // without the index, which is made anew
	e->parts.len = n;
	e->is_live = n > 0;
	return ok;
}

// ---- in which order ----------------------------------------------------------------------------------------------------------------------
// An interface of two worlds may name types of one that only the second has: it comes after that one.

struct order {
	struct world *w;
	uint32_t entry;  // whose names are looked at
	VEC(uint32_t)
	needs;           // entries, by entry that needs them
	uint32_t *first;  // of an entry: in needs; one more than there are entries
	uint8_t *state;
	struct world_entry **out;
	uint32_t n;
};
enum { UNSEEN, OPEN, DONE };

static bool needs_type(struct order *o, const struct wit_type *t);

static bool needs_name(struct order *o, const void *p, bool *ret_is_name)
{
	const struct world_name *n = comp__ptrmap_get(&o->w->names, p);
	*ret_is_name = n != NULL;
	return !n || n->entry == COMP_NONE || n->entry == o->entry || PUSH(o->w->d, &o->needs, n->entry);
}

static bool needs_parts(struct order *o, const struct wit_type *t)
{
	bool is_name;
	if ((t->elem && !needs_type(o, t->elem)) || (t->resource && !needs_name(o, t->resource, &is_name)))
		return false;
	for (uint32_t i = 0; t->kind != WIT_FIXED_LIST && i < t->n; i++)
		if (t->fields[i].type && !needs_type(o, t->fields[i].type))
			return false;
	return true;
}

static bool needs_type(struct order *o, const struct wit_type *t)
{
	bool is_name;
	return comp__steps(o->w->d, 1) && needs_name(o, t, &is_name) && (is_name || needs_parts(o, t));
}

static bool needs_entity(struct order *o, const struct entity *e)
{
	bool is_name;
	if (e->kind == COMP_EXTERN_FUNC)
		return needs_parts(o, &e->ty.func->params) && (!e->ty.func->result || needs_type(o, e->ty.func->result));
	if (e->of && !needs_name(o, e->of, &is_name))
		return false;
	return e->ty.kind != TY_VALUE || needs_parts(o, e->ty.value);
}

static bool find_needs(struct order *o)
{
	for (o->entry = 0; o->entry < o->w->imports.list.len; o->entry++) {
		const struct world_entry *e = o->w->imports.list.ptr[o->entry];
		o->first[o->entry] = o->needs.len;
		if (!e->is_live)
			continue;
		if (!e->inst && !needs_entity(o, &e->item.e))
			return false;
		for (uint32_t i = 0; e->inst && i < e->inst->exports.len; i++)
			if (!needs_entity(o, &e->inst->exports.ptr[i].e))
				return false;
	}
	o->first[o->entry] = o->needs.len;
	return true;
}

// Depth first with a stack of its own, since worlds may be long chains.
static bool visit(struct order *o, uint32_t root, uint32_t *stack, uint32_t *at)
{
	uint32_t depth = 0;
	stack[0] = root;
	at[0] = o->first[root];
	o->state[root] = OPEN;
	for (;;) {
		uint32_t top = stack[depth];
		if (at[depth] == o->first[top + 1]) {
			o->state[top] = DONE;
			o->out[o->n++] = o->w->imports.list.ptr[top];
			if (depth-- == 0)
				return true;
			continue;
		}
		uint32_t next = o->needs.ptr[at[depth]++];
		if (o->state[next] == OPEN)
			return FAIL(o->w->d, INVALID, "imports `%.*s` and `%.*s` name types of each other", SLICE_ARGS(o->w->imports.list.ptr[top]->item.name),
				SLICE_ARGS(o->w->imports.list.ptr[next]->item.name));
		if (o->state[next] == DONE)
			continue;
		stack[++depth] = next;
		at[depth] = o->first[next];
		o->state[next] = OPEN;
	}
}

bool comp__world_reduce(struct world *w, struct world_entry ***ret, uint32_t *ret_n)
{
	struct order o = {.w = w};
	uint32_t n = w->imports.list.len;
	for (uint32_t i = 0; i < n; i++) {
		struct world_entry *e = w->imports.list.ptr[i];
		if (e->inst && !reduce_instance(w, e))
			return false;
		if (!e->inst)
			e->is_live = is_live(w, &e->item, &e->parts.ptr[0]);
	}
	o.out = ARENA_ARRAY(&w->d->s, struct world_entry *, n + 1);
	o.state = ARENA_ARRAY(&w->d->s, uint8_t, n + 1);
	o.first = ARENA_ARRAY(&w->d->s, uint32_t, n + 1);
	uint32_t *stack = ARENA_ARRAY(&w->d->s, uint32_t, 2 * (size_t)n + 2);
	if (!o.out || !o.state || !o.first || !stack)
		return comp__full(w->d);
	if (!find_needs(&o))
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (w->imports.list.ptr[i]->is_live && o.state[i] == UNSEEN && !visit(&o, i, stack, stack + n + 1))
			return false;
	*ret = o.out;
	*ret_n = o.n;
	return true;
}
