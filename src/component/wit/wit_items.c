// Resolver, second half: what is inside of an interface or world. Types may be used before they are defined, so they are resolved in the
// order of what they name.
#include "wit_resolve.h"

bool wit__order(struct arena *a, uint32_t n, const struct wit_edge *edges, uint32_t n_edges, uint32_t *order, uint32_t *ret_cycle)
{
	// Counts of what is still waited for; edges sorted by `to` as lists.
	uint32_t *waits = ARENA_ARRAY(a, uint32_t, n + 1u), *head = ARENA_ARRAY(a, uint32_t, n + 1u), *link = ARENA_ARRAY(a, uint32_t, n_edges + 1u);
	uint32_t done = 0, filled = 0;
	*ret_cycle = n;
	if (!waits || !head || !link)
		return false;
	for (uint32_t i = 0; i < n_edges; i++) {
		waits[edges[i].from]++;
		link[i] = head[edges[i].to];
		head[edges[i].to] = i + 1;
	}
	for (uint32_t i = 0; i < n; i++)
		if (!waits[i])
			order[filled++] = i;
	while (done < filled) {
		uint32_t to = order[done++];
		for (uint32_t k = head[to]; k; k = link[k - 1])
			if (--waits[edges[k - 1].from] == 0)
				order[filled++] = edges[k - 1].from;
	}
	for (uint32_t i = 0; i < n && filled < n; i++)
		if (waits[i])
			return *ret_cycle = i, false;
	return true;
}

static bool fail_at(struct wit_resolver *r, struct wit_pos pos)
{
	return wit__err_place(&r->ast, r->e, pos);
}

static bool nomem(struct wit_resolver *r)
{
	return err_nomem(r->e);
}

// ---- names ----

static bool scope_init(struct wit_resolver *r, struct wit_scope *s, uint32_t cap)
{
	map_init(&s->types, r->a);
	map_init(&s->names, r->a);
	s->n = 0;
	s->cap = cap;
	s->list = ARENA_ARRAY(r->a, struct wit_typedef, cap + 1u);
	return s->list || nomem(r);
}

// Declares a type or function; names differ strongly (C8).
static bool declare(struct wit_resolver *r, struct wit_scope *s, struct slice name, struct wit_pos pos)
{
	bool no_memory = false;
	uint8_t *key = arena_alloc(r->a, name.len + 1, 1);
	if (!key)
		return nomem(r);
	if (map_insert(&s->names, slice_of(key, wit_name_unique_key(name, key)), 1, &no_memory))
		return true;
	return no_memory ? nomem(r) : wit__err_at(&r->ast, r->e, ERR_INVALID, pos, "name `%.*s` is defined more than once", SLICE_ARGS(name));
}

static struct wit_typedef *add_type(struct wit_resolver *r, struct wit_scope *s, const struct wit_typedef *t, struct wit_pos pos)
{
	bool no_memory = false;
	if (!declare(r, s, t->name, pos))
		return NULL;
	BUG_ON(s->n >= s->cap);
	if (!map_insert(&s->types, t->name, s->n, &no_memory))
		return (void)nomem(r), NULL;
	s->list[s->n] = *t;
	return &s->list[s->n++];
}

static struct wit_typedef *find_type(const struct wit_scope *s, struct slice name)
{
	uintptr_t i;
	return map_get(&s->types, name, &i) ? &s->list[i] : NULL;
}

static bool undefined(struct wit_resolver *r, struct slice name, struct wit_pos pos)
{
	wit__err_at(&r->ast, r->e, ERR_INVALID, pos, "name `%.*s` is not defined", SLICE_ARGS(name));
	return err_hint(r->e, "types of other interfaces come in with `use interface.{%.*s}`", SLICE_ARGS(name));
}

// ---- types ----

static bool resolve_type(struct wit_resolver *r, struct wit_scope *s, const struct ast_type *t, const struct wit_type **ret);

static bool resolve_named(struct wit_resolver *r, struct wit_scope *s, const struct ast_type *t, bool borrow, const struct wit_type **ret)
{
	const struct wit_typedef *d = find_type(s, t->name);
	if (!d)
		return undefined(r, t->name, t->pos);
	if (d->resource)
		return (borrow ? wit_type_borrow : wit_type_own)(r->a, d->resource, ret, r->e) || fail_at(r, t->pos);
	if (!t->is_name)
		return wit__err_at(&r->ast, r->e, ERR_INVALID, t->pos, "type `%.*s` used in a handle must be a resource", SLICE_ARGS(t->name));
	*ret = d->type;
	return true;
}

static bool make_type(struct wit_resolver *r, const struct ast_type *t, const struct wit_type *const *args, const struct wit_type **ret)
{
	const struct wit_type *first = t->n_args ? args[0] : NULL;
	switch (t->kind) {
	case WIT_LIST:
		return wit_type_list(r->a, first, ret, r->e);
	case WIT_FIXED_LIST:
		return wit_type_fixed_list(r->a, first, t->n, ret, r->e);
	case WIT_MAP:
		return wit_type_map(r->a, first, args[1], ret, r->e);
	case WIT_TUPLE:
		return wit_type_tuple(r->a, args, t->n_args, ret, r->e);
	case WIT_OPTION:
		return wit_type_option(r->a, first, ret, r->e);
	case WIT_RESULT:
		return wit_type_result(r->a, first, t->n_args > 1 ? args[1] : NULL, ret, r->e);
	case WIT_STREAM:
		return wit_type_stream(r->a, first, ret, r->e);
	case WIT_FUTURE:
		return wit_type_future(r->a, first, ret, r->e);
	default:
		*ret = wit_type_primitive(t->kind);
		return true;
	}
}

// Depth is bounded by the parser.
static bool resolve_type(struct wit_resolver *r, struct wit_scope *s, const struct ast_type *t, const struct wit_type **ret)
{
	if (t->is_name)
		return resolve_named(r, s, t, false, ret);
	if (t->kind == WIT_OWN || t->kind == WIT_BORROW)
		return resolve_named(r, s, t, t->kind == WIT_BORROW, ret);
	const struct wit_type **args = t->n_args ? ARENA_ARRAY(r->a, const struct wit_type *, t->n_args) : NULL;
	if (t->n_args && !args)
		return nomem(r);
	for (uint32_t i = 0; i < t->n_args; i++)
		if (t->args[i] && !resolve_type(r, s, t->args[i], &args[i]))
			return false;
	return make_type(r, t, args, ret) || fail_at(r, t->pos);
}

static struct wit_member *resolve_members(struct wit_resolver *r, struct wit_scope *s, const struct ast_member *m, uint32_t n, uint32_t extra)
{
	struct wit_member *out = ARENA_ARRAY(r->a, struct wit_member, n + extra + 1u);
	if (!out)
		return (void)nomem(r), NULL;
	for (uint32_t i = 0; i < n; i++) {
		out[extra + i].name = m[i].name;
		if (m[i].type && !resolve_type(r, s, m[i].type, &out[extra + i].type))
			return NULL;
	}
	return out;
}

static bool resolve_labels(struct wit_resolver *r, const struct ast_item *it, const struct wit_type **ret)
{
	struct slice *names = ARENA_ARRAY(r->a, struct slice, it->n_members + 1u);
	if (!names)
		return nomem(r);
	for (uint32_t i = 0; i < it->n_members; i++)
		names[i] = it->members[i].name;
	return it->kind == AST_ENUM ? wit_type_enum(r->a, names, it->n_members, ret, r->e) : wit_type_flags(r->a, names, it->n_members, ret, r->e);
}

static bool resolve_alias(struct wit_resolver *r, struct wit_scope *s, const struct ast_type *t, struct wit_typedef *out)
{
	const struct wit_typedef *d = t->is_name ? find_type(s, t->name) : NULL;
	if (!d)
		return resolve_type(r, s, t, &out->type);
	out->alias = d;
	out->type = d->type;
	out->resource = d->resource;
	return true;
}

static bool resolve_typedef(struct wit_resolver *r, struct wit_scope *s, const struct ast_item *it, struct wit_typedef *out)
{
	struct wit_member *m;
	switch (it->kind) {
	case AST_RESOURCE:
		return true;
	case AST_ALIAS:
		return resolve_alias(r, s, it->type, out);
	case AST_ENUM:
	case AST_FLAGS:
		return resolve_labels(r, it, &out->type) || fail_at(r, it->pos);
	default:
		m = resolve_members(r, s, it->members, it->n_members, 0);
		if (!m)
			return false;
		return (it->kind == AST_RECORD ? wit_type_record : wit_type_variant)(r->a, m, it->n_members, &out->type, r->e) || fail_at(r, it->pos);
	}
}

// Types defined here (not resources, which name nothing) and the names in them.
struct typedefs {
	VEC(struct wit_edge)
	edges;
	const struct ast_item **items;  // by index in the scope; NULL: not defined here
};

static bool collect_refs(struct wit_resolver *r, struct wit_scope *s, struct typedefs *d, uint32_t from, const struct ast_type *t)
{
	uintptr_t to;
	if (t->is_name && map_get(&s->types, t->name, &to) && !VEC_PUSH(r->a, &d->edges, ((struct wit_edge){from, (uint32_t)to}), WIT_MAX_TEXT))
		return nomem(r);
	for (uint32_t i = 0; i < t->n_args; i++)
		if (t->args[i] && !collect_refs(r, s, d, from, t->args[i]))
			return false;
	return true;
}

static bool is_typedef(const struct ast_item *it)
{
	return it->kind <= AST_RESOURCE;
}

static bool resolve_typedefs(struct wit_resolver *r, struct wit_scope *s, struct typedefs *d)
{
	uint32_t cycle, *order = ARENA_ARRAY(r->a, uint32_t, s->n + 1u);
	if (!order)
		return nomem(r);
	for (uint32_t i = 0; i < s->n; i++) {
		const struct ast_item *it = d->items[i];
		if (it && it->type && !collect_refs(r, s, d, i, it->type))
			return false;
		for (uint32_t k = 0; it && k < it->n_members; k++)
			if (it->members[k].type && !collect_refs(r, s, d, i, it->members[k].type))
				return false;
	}
	if (!wit__order(r->a, s->n, d->edges.ptr, d->edges.len, order, &cycle)) {
		if (cycle == s->n)
			return nomem(r);
		// What waits for a cycle without being in it is among the rest too; the first defined one is good enough for a reader.
		return wit__err_at(&r->ast, r->e, ERR_INVALID, d->items[cycle]->pos, "type `%.*s` depends on itself", SLICE_ARGS(s->list[cycle].name));
	}
	for (uint32_t i = 0; i < s->n; i++)
		if (d->items[order[i]] && !resolve_typedef(r, s, d->items[order[i]], &s->list[order[i]]))
			return false;
	return true;
}

// ---- declarations of an interface's or world's body ----

static bool declare_use(struct wit_resolver *r, struct wit_scope *s, const struct ast_block *block, const struct ast_item *it)
{
	const struct wit_node *n = wit__find_node(r, block, &it->path);
	if (!n)
		return false;
	if (!n->iface)
		return wit__err_at(&r->ast, r->e, ERR_INVALID, it->path.pos, "`%.*s` is a world; types are used from interfaces", SLICE_ARGS(it->path.name));
	for (uint32_t i = 0; i < it->n_renames; i++) {
		const struct ast_rename *u = &it->renames[i];
		const struct wit_typedef *d = find_type(&n->scope, u->name);
		if (!d)
			return wit__err_at(&r->ast, r->e, ERR_INVALID, u->pos, "name `%.*s` is not defined in interface `%.*s`", SLICE_ARGS(u->name),
				SLICE_ARGS(n->iface->name));
		struct wit_typedef t = {.name = u->as, .docs = it->docs, .type = d->type, .resource = d->resource, .from = n->iface, .from_name = u->name, .gate = it->gate};
		if (!add_type(r, s, &t, u->pos))
			return false;
	}
	return true;
}

static bool declare_typedef(struct wit_resolver *r, struct wit_scope *s, const struct ast_item *it, struct typedefs *d)
{
	struct wit_typedef t = {.name = it->name, .docs = it->docs, .gate = it->gate};
	if (it->kind == AST_RESOURCE) {
		struct wit_resource *res = ARENA_NEW(r->a, struct wit_resource);
		if (!res)
			return nomem(r);
		res->name = it->name;
		t.resource = res;
	}
	d->items[s->n] = it;
	return add_type(r, s, &t, it->pos);
}

// All types of a body: declared first, then resolved. `extra`: room for what `include` adds.
static bool resolve_types(struct wit_resolver *r, struct wit_scope *s, const struct ast_block *block, const struct ast_item *items, uint32_t n)
{
	struct typedefs d = {0};
	d.items = ARENA_ARRAY(r->a, const struct ast_item *, s->cap + 1u);
	if (!d.items)
		return nomem(r);
	for (uint32_t i = 0; i < n; i++) {
		const struct ast_item *it = &items[i];
		if (!wit__gate_is_open(r, &it->gate))
			continue;
		if (it->kind == AST_USE && !declare_use(r, s, block, it))
			return false;
		if (is_typedef(it) && !declare_typedef(r, s, it, &d))
			return false;
	}
	return resolve_typedefs(r, s, &d);
}

static uint32_t count_types(const struct ast_item *items, uint32_t n)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < n; i++)
		count += items[i].kind == AST_USE ? items[i].n_renames : is_typedef(&items[i]);
	return count;
}

// ---- functions ----

static bool func_name(struct wit_resolver *r, const char *prefix, struct slice resource, struct slice label, struct slice *ret)
{
	struct buf b = {0};
	buf_printf(&b, "%s%.*s", prefix, SLICE_ARGS(resource));
	if (label.len)
		buf_printf(&b, ".%.*s", SLICE_ARGS(label));
	bool ok = !b.failed && slice_dup(r->a, buf_view(&b), ret);
	buf_release(&b);
	return ok || nomem(r);
}

// A constructor gives its resource, or result<it, …>.
static bool constructor_result(struct wit_resolver *r, const struct ast_item *it, const struct wit_resource *res, const struct wit_type **result)
{
	const struct wit_type *t = *result;
	if (!t)
		return wit_type_own(r->a, res, result, r->e) || fail_at(r, it->pos);
	if (t->kind == WIT_RESULT && t->fields[0].type && t->fields[0].type->kind == WIT_OWN && t->fields[0].type->resource == res)
		return true;
	return wit__err_at(&r->ast, r->e, ERR_INVALID, it->pos, "a constructor of `%.*s` returns nothing (it is implied) or `result<%.*s, …>`",
		SLICE_ARGS(res->name), SLICE_ARGS(res->name));
}

static bool resolve_func(struct wit_resolver *r, struct wit_scope *s, const struct ast_item *it, const struct wit_resource *res, struct wit_func *out)
{
	const struct ast_func *f = it->func;
	bool self = it->kind == AST_METHOD;
	struct wit_member *params = resolve_members(r, s, f->params, f->n_params, self);
	const struct wit_type *result = NULL;
	if (!params)
		return false;
	if (self) {
		params[0].name = SLICE_LIT("self");
		if (!wit_type_borrow(r->a, res, &params[0].type, r->e))
			return fail_at(r, it->pos);
	}
	if (f->result && !resolve_type(r, s, f->result, &result))
		return false;
	if (it->kind == AST_CONSTRUCTOR && !constructor_result(r, it, res, &result))
		return false;
	*out = (struct wit_func){.name = it->name, .docs = it->docs, .resource = res, .gate = it->gate};
	const char *prefix = self ? "[method]" : it->kind == AST_STATIC ? "[static]"
																	: "[constructor]";
	if (res && !func_name(r, prefix, res->name, it->kind == AST_CONSTRUCTOR ? (struct slice){0} : it->name, &out->name))
		return false;
	return wit_func_type_make(r->a, params, f->n_params + self, result, f->is_async, &out->type, r->e) || fail_at(r, it->pos);
}

static bool add_func(struct wit_resolver *r, struct wit_scope *s, const struct ast_item *it, const struct wit_resource *res, struct wit_func *list, uint32_t *n)
{
	if (!wit__gate_is_open(r, &it->gate))
		return true;
	if (!resolve_func(r, s, it, res, &list[*n]) || !declare(r, s, list[*n].name, it->pos))
		return false;
	++*n;
	return true;
}

// Free functions and those of resources, in the order of the text.
static bool resolve_funcs(struct wit_resolver *r, struct wit_scope *s, const struct ast_item *items, uint32_t n_items, struct wit_interface *out)
{
	uint64_t cap = 1;
	for (uint32_t i = 0; i < n_items; i++)
		cap += items[i].kind == AST_FUNC ? 1 : items[i].kind == AST_RESOURCE ? items[i].n_items
																			 : 0;
	struct wit_func *list = ARENA_ARRAY(r->a, struct wit_func, cap);
	uint32_t n = 0;
	if (!list)
		return nomem(r);
	for (uint32_t i = 0; i < n_items; i++) {
		const struct ast_item *it = &items[i];
		if (!wit__gate_is_open(r, &it->gate))
			continue;
		if (it->kind == AST_FUNC && !add_func(r, s, it, NULL, list, &n))
			return false;
		for (uint32_t k = 0; it->kind == AST_RESOURCE && k < it->n_items; k++)
			if (!add_func(r, s, &it->items[k], find_type(s, it->name)->resource, list, &n))
				return false;
	}
	out->funcs = list;
	out->n_funcs = n;
	return true;
}

bool wit__resolve_interface(struct wit_resolver *r, struct wit_scope *scope, struct wit_interface *out, const struct ast_block *block,
	const struct ast_item *items, uint32_t n_items)
{
	if (!scope_init(r, scope, count_types(items, n_items)) || !resolve_types(r, scope, block, items, n_items))
		return false;
	out->types = scope->list;
	out->n_types = scope->n;
	for (uint32_t i = 0; i < scope->n; i++)
		if (scope->list[i].resource && !scope->list[i].from && !scope->list[i].alias)
			((struct wit_resource *)UNCONST(scope->list[i].resource))->owner = out;
	return resolve_funcs(r, scope, items, n_items, out);
}

// ---- worlds ----

struct externs {
	VEC(struct wit_extern)
	list;
	struct map labels, ifaces;
};

static bool add_extern(struct wit_resolver *r, struct externs *x, const struct wit_extern *w, bool is_import, bool is_included, struct wit_pos pos)
{
	bool no_memory = false;
	struct map *m = w->name.len ? &x->labels : &x->ifaces;
	uint8_t *key = arena_alloc(r->a, w->name.len + sizeof(void *), 8);
	if (!key)
		return nomem(r);
	struct slice k = slice_of(key, w->name.len ? wit_name_unique_key(w->name, key) : sizeof(void *));
	if (!w->name.len)
		memcpy(key, &w->iface, sizeof(void *));
	if (map_insert(m, k, 1, &no_memory))
		return VEC_PUSH(r->a, &x->list, *w, WIT_MAX_INCLUDED) || nomem(r);
	if (no_memory)
		return nomem(r);
	if (!w->name.len && is_included)
		return true;
	struct slice name = w->name.len ? w->name : w->iface->name;
	wit__err_at(&r->ast, r->e, ERR_INVALID, pos, "%s `%.*s` conflicts with a previous one of the same name", is_import ? "import" : "export",
		SLICE_ARGS(name));
	return is_included && err_hint(r->e, "rename it: include … with { %.*s as other-name }", SLICE_ARGS(name));
}

// Functions of a resource that the world itself defines are imports of the world.
static bool resolve_world_methods(struct wit_resolver *r, struct wit_node *node, const struct ast_item *it, struct externs *imports)
{
	const struct wit_resource *res = find_type(&node->scope, it->name)->resource;
	for (uint32_t i = 0; i < it->n_items; i++) {
		struct wit_func *f = ARENA_NEW(r->a, struct wit_func);
		if (!f)
			return nomem(r);
		if (!wit__gate_is_open(r, &it->items[i].gate))
			continue;
		if (!resolve_func(r, &node->scope, &it->items[i], res, f))
			return false;
		struct wit_extern w = {.name = f->name, .func = f, .docs = f->docs, .gate = f->gate};
		if (!add_extern(r, imports, &w, true, false, it->items[i].pos))
			return false;
	}
	return true;
}

static bool resolve_extern(struct wit_resolver *r, struct wit_node *node, const struct ast_item *it, struct externs *x)
{
	struct wit_extern w = {.name = it->name, .docs = it->docs, .gate = it->gate};
	if (it->has_path) {
		const struct wit_node *n = wit__find_node(r, node->block, &it->path);
		if (!n)
			return false;
		if (!n->iface)
			return wit__err_at(&r->ast, r->e, ERR_INVALID, it->path.pos, "`%.*s` is a world, an interface was expected", SLICE_ARGS(it->path.name));
		w.iface = n->iface;
	} else if (it->has_body) {
		struct wit_interface *i = ARENA_NEW(r->a, struct wit_interface);
		struct wit_scope scope;
		if (!i)
			return nomem(r);
		i->package = node->world->package;
		if (!wit__resolve_interface(r, &scope, i, node->block, it->items, it->n_items))
			return false;
		w.iface = i;
	} else {
		struct wit_func *f = ARENA_NEW(r->a, struct wit_func);
		if (!f)
			return nomem(r);
		if (!resolve_func(r, &node->scope, it, NULL, f))
			return false;
		w.func = f;
	}
	if (it->kind == AST_IMPORT && w.name.len && find_type(&node->scope, w.name))
		return wit__err_at(&r->ast, r->e, ERR_INVALID, it->pos, "name `%.*s` is defined more than once", SLICE_ARGS(w.name));
	return add_extern(r, x, &w, it->kind == AST_IMPORT, false, it->pos);
}

static struct slice renamed(const struct ast_item *it, struct slice name, uint8_t *used)
{
	for (uint32_t i = 0; i < it->n_renames; i++) {
		if (!slice_eq(it->renames[i].name, name))
			continue;
		used[i] = 1;
		return it->renames[i].as;
	}
	return name;
}

static bool include_list(struct wit_resolver *r, const struct ast_item *it, const struct wit_extern *from, uint32_t n, bool is_import, struct externs *x,
	uint8_t *used)
{
	for (uint32_t i = 0; i < n; i++) {
		struct wit_extern w = from[i];
		r->included += 1 + it->n_renames;
		if (r->included > WIT_MAX_INCLUDED)
			return wit__err_at(&r->ast, r->e, ERR_LIMIT, it->pos, "worlds include more than %u names", WIT_MAX_INCLUDED);
		if (w.name.len)
			w.name = renamed(it, w.name, used);
		if (w.func && !slice_eq(w.func->name, w.name)) {
			struct wit_func *f = arena_copy(r->a, w.func, sizeof(*f), _Alignof(struct wit_func));
			if (!f)
				return nomem(r);
			f->name = w.name;
			w.func = f;
		}
		if (!add_extern(r, x, &w, is_import, true, it->pos))
			return false;
	}
	return true;
}

// The types that an included world has, without those that are here already.
static bool include_types(struct wit_resolver *r, const struct ast_item *it, const struct wit_world *from, struct wit_scope *s, uint8_t *used)
{
	for (uint32_t i = 0; i < from->n_types; i++) {
		struct wit_typedef t = from->types[i];
		t.name = renamed(it, t.name, used);
		t.alias = NULL;
		const struct wit_typedef *have = find_type(s, t.name);
		if (have && have->type == t.type && have->resource == t.resource)
			continue;
		if (!add_type(r, s, &t, it->pos))
			return false;
	}
	return true;
}

static bool resolve_include(struct wit_resolver *r, struct wit_node *node, const struct ast_item *it, struct externs *imports, struct externs *exports,
	bool types_only)
{
	const struct wit_node *n = wit__find_node(r, node->block, &it->path);
	uint8_t *used = ARENA_ARRAY(r->a, uint8_t, it->n_renames + 1u);
	if (!n)
		return false;
	if (!used)
		return nomem(r);
	if (!n->world)
		return wit__err_at(&r->ast, r->e, ERR_INVALID, it->path.pos, "`%.*s` is an interface, a world was expected", SLICE_ARGS(it->path.name));
	const struct wit_world *w = n->world;
	if (types_only)
		return include_types(r, it, w, &node->scope, used);
	for (uint32_t i = 0; i < w->n_types; i++)
		renamed(it, w->types[i].name, used);
	if (!include_list(r, it, w->imports, w->n_imports, true, imports, used) || !include_list(r, it, w->exports, w->n_exports, false, exports, used))
		return false;
	for (uint32_t i = 0; i < it->n_renames; i++)
		if (!used[i])
			return wit__err_at(&r->ast, r->e, ERR_INVALID, it->renames[i].pos, "world `%.*s` has no import or export with the plain name `%.*s`",
				SLICE_ARGS(w->name), SLICE_ARGS(it->renames[i].name));
	return true;
}

// Room for the world's own types and those of the worlds it includes.
static bool world_scope_init(struct wit_resolver *r, struct wit_node *node)
{
	uint64_t cap = count_types(node->item->items, node->item->n_items);
	for (uint32_t i = 0; i < node->item->n_items; i++) {
		const struct ast_item *it = &node->item->items[i];
		if (it->kind != AST_INCLUDE || !wit__gate_is_open(r, &it->gate))
			continue;
		const struct wit_node *n = wit__find_node(r, node->block, &it->path);
		if (!n)
			return false;
		uint64_t more = n->world ? n->world->n_types : 0;
		cap += more;
		r->included += (uint32_t)more * (1 + it->n_renames);
		if (cap > WIT_MAX_INCLUDED || r->included > WIT_MAX_INCLUDED)
			return wit__err_at(&r->ast, r->e, ERR_LIMIT, it->pos, "worlds include more than %u names", WIT_MAX_INCLUDED);
	}
	return scope_init(r, &node->scope, (uint32_t)cap);
}

bool wit__resolve_world(struct wit_resolver *r, struct wit_node *node)
{
	const struct ast_item *items = node->item->items;
	uint32_t n = node->item->n_items;
	struct externs imports = {0}, exports = {0};
	map_init(&imports.labels, r->a);
	map_init(&imports.ifaces, r->a);
	map_init(&exports.labels, r->a);
	map_init(&exports.ifaces, r->a);
	if (!world_scope_init(r, node) || !resolve_types(r, &node->scope, node->block, items, n))
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (items[i].kind == AST_INCLUDE && wit__gate_is_open(r, &items[i].gate) && !resolve_include(r, node, &items[i], &imports, &exports, true))
			return false;
	for (uint32_t i = 0; i < n; i++) {
		if (!wit__gate_is_open(r, &items[i].gate))
			continue;
		if (items[i].kind == AST_RESOURCE && !resolve_world_methods(r, node, &items[i], &imports))
			return false;
		if ((items[i].kind == AST_IMPORT || items[i].kind == AST_EXPORT) &&
			!resolve_extern(r, node, &items[i], items[i].kind == AST_IMPORT ? &imports : &exports))
			return false;
	}
	for (uint32_t i = 0; i < n; i++)
		if (items[i].kind == AST_INCLUDE && wit__gate_is_open(r, &items[i].gate) && !resolve_include(r, node, &items[i], &imports, &exports, false))
			return false;
	struct wit_world *w = node->world;
	w->types = node->scope.list;
	w->n_types = node->scope.n;
	w->imports = imports.list.ptr;
	w->n_imports = imports.list.len;
	w->exports = exports.list.ptr;
	w->n_exports = exports.list.len;
	return true;
}
