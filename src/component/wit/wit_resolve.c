// Resolver, first half: packages, their interfaces and worlds, and the order in which these are resolved (WIT.md, "Name resolution",
// "Package Format"). Nothing here recurses on input.
#include "wit_resolve.h"

struct package {
	struct wit_package *model;
	struct map nodes;     // name → node index
	struct wit_pos pos;
	struct slice id;      // "ns:name@version"
	uint32_t n_interfaces, n_worlds;
};

struct universe {
	struct wit_resolver r;
	struct package *packages;
	uint32_t n_packages, cap_packages;
	struct map ids;            // package id → index
	uint32_t *block_package;   // of each block
	struct map *block_uses;    // of each block: top-level `use`: name → node index
	VEC(struct wit_edge)
	edges, package_edges;
};

static bool nomem(struct universe *u)
{
	return err_nomem(u->r.e);
}

bool wit__gate_is_open(const struct wit_resolver *r, const struct wit_gate *g)
{
	if (!g->unstable.len || (r->options && r->options->all_features))
		return true;
	for (uint32_t i = 0; r->options && i < r->options->n_features; i++)
		if (slice_eq(r->options->features[i], g->unstable))
			return true;
	return false;
}

static bool package_id(struct universe *u, const struct ast_path *p, struct slice *ret)
{
	struct buf b = {0};
	buf_printf(&b, "%.*s:%.*s", SLICE_ARGS(p->ns), SLICE_ARGS(p->package));
	if (p->version.present)
		buf_printf(&b, "@%.*s", SLICE_ARGS(p->version.text));
	bool ok = !b.failed && slice_dup(u->r.a, buf_view(&b), ret);
	buf_release(&b);
	return ok || nomem(u);
}

static bool add_package(struct universe *u, const struct ast_block *block, uint32_t *ret)
{
	struct slice id;
	bool no_memory = false;
	if (!package_id(u, &block->package, &id))
		return false;
	if (!map_insert(&u->ids, id, u->n_packages, &no_memory))
		return no_memory ? nomem(u)
						 : wit__err_at(&u->r.ast, u->r.e, ERR_INVALID, block->package.pos, "package `%.*s` is defined more than once", SLICE_ARGS(id));
	struct package *p = vec_add_raw(u->r.a, (void **)&u->packages, &u->n_packages, &u->cap_packages, sizeof(*p), _Alignof(struct package), WIT_MAX_PACKAGES);
	struct wit_package *model = ARENA_NEW(u->r.a, struct wit_package);
	if (!p || !model)
		return nomem(u);
	*model = (struct wit_package){.ns = block->package.ns, .name = block->package.package, .docs = block->docs, .version = block->package.version};
	*p = (struct package){.model = model, .pos = block->package.pos, .id = id};
	map_init(&p->nodes, u->r.a);
	*ret = u->n_packages - 1;
	return true;
}

// Which package each block belongs to: its own if nested, else the one that its group's files name.
static bool collect_packages(struct universe *u, uint32_t n_groups)
{
	struct wit_ast *ast = &u->r.ast;
	uint32_t *of_group = ARENA_ARRAY(u->r.a, uint32_t, n_groups + 1u);  // 1 + index
	u->block_package = ARENA_ARRAY(u->r.a, uint32_t, ast->n_blocks + 1u);
	if (!of_group || !u->block_package)
		return nomem(u);
	for (uint32_t i = 0; i < ast->n_blocks; i++) {
		struct ast_block *b = &ast->blocks[i];
		struct slice id;
		if (!b->package.ns.len)
			continue;
		if (b->is_nested || !of_group[b->group]) {
			if (!add_package(u, b, &u->block_package[i]))
				return false;
			if (!b->is_nested)
				of_group[b->group] = 1 + u->block_package[i];
			continue;
		}
		struct package *p = &u->packages[of_group[b->group] - 1];
		if (!package_id(u, &b->package, &id))
			return false;
		if (!slice_eq(id, p->id))
			return wit__err_at(ast, u->r.e, ERR_INVALID, b->package.pos, "package `%.*s` does not match the package `%.*s` of the files beside it",
				SLICE_ARGS(id), SLICE_ARGS(p->id));
		u->block_package[i] = of_group[b->group] - 1;
	}
	for (uint32_t i = 0; i < ast->n_blocks; i++) {
		struct ast_block *b = &ast->blocks[i];
		if (b->package.ns.len)
			continue;
		if (!of_group[b->group]) {
			wit__err_at(ast, u->r.e, ERR_INVALID, b->package.pos, "no `package` header was found in the files of this package");
			return err_hint(u->r.e, "begin one of them with `package namespace:name@1.0.0;`");
		}
		u->block_package[i] = of_group[b->group] - 1;
	}
	return true;
}

static bool add_node(struct universe *u, uint32_t block, const struct ast_item *it)
{
	struct wit_resolver *r = &u->r;
	uint32_t pi = u->block_package[block];
	struct package *p = &u->packages[pi];
	bool no_memory = false;
	if (!map_insert(&p->nodes, it->name, r->n_nodes, &no_memory))
		return no_memory ? nomem(u)
						 : wit__err_at(&r->ast, r->e, ERR_INVALID, it->pos, "`%.*s` is defined more than once in package `%.*s`", SLICE_ARGS(it->name),
							   SLICE_ARGS(p->id));
	struct wit_node *n = vec_add_raw(r->a, (void **)&r->nodes, &r->n_nodes, &r->cap_nodes, sizeof(*n), _Alignof(struct wit_node), WIT_MAX_ITEMS);
	if (!n)
		return nomem(u);
	*n = (struct wit_node){.item = it, .block = &r->ast.blocks[block], .package = pi, .is_hidden = !wit__gate_is_open(r, &it->gate)};
	if (it->kind == AST_INTERFACE) {
		n->iface = ARENA_NEW(r->a, struct wit_interface);
		if (!n->iface)
			return nomem(u);
		*n->iface = (struct wit_interface){.package = p->model, .name = it->name, .docs = it->docs, .gate = it->gate};
		p->n_interfaces += !n->is_hidden;
	} else {
		n->world = ARENA_NEW(r->a, struct wit_world);
		if (!n->world)
			return nomem(u);
		*n->world = (struct wit_world){.package = p->model, .name = it->name, .docs = it->docs, .gate = it->gate};
		p->n_worlds += !n->is_hidden;
	}
	return true;
}

static bool node_index(struct universe *u, const struct ast_block *block, const struct ast_path *path, uint32_t *ret)
{
	struct wit_resolver *r = &u->r;
	uint32_t bi = (uint32_t)(block - r->ast.blocks);
	uintptr_t i, pi = u->block_package[bi];
	if (path->ns.len) {
		struct slice id;
		if (!package_id(u, path, &id))
			return false;
		if (!map_get(&u->ids, id, &pi)) {
			wit__err_at(&r->ast, r->e, ERR_INVALID, path->pos, "package `%.*s` not found", SLICE_ARGS(id));
			return err_hint(r->e, "packages are found in `deps/` beside the text, in a file or a folder each, or in the text as `package %.*s { … }`",
				SLICE_ARGS(id));
		}
	} else if (u->block_uses && map_get(&u->block_uses[bi], path->name, &i)) {
		*ret = (uint32_t)i;
		return true;
	}
	if (!map_get(&u->packages[pi].nodes, path->name, &i))
		return wit__err_at(&r->ast, r->e, ERR_INVALID, path->pos, "interface or world `%.*s` not found in package `%.*s`", SLICE_ARGS(path->name),
			SLICE_ARGS(u->packages[pi].id));
	if (r->nodes[i].is_hidden)
		return wit__err_at(&r->ast, r->e, ERR_INVALID, path->pos, "`%.*s` belongs to the feature `%.*s`, which is not enabled", SLICE_ARGS(path->name),
			SLICE_ARGS(r->nodes[i].item->gate.unstable));
	*ret = (uint32_t)i;
	return true;
}

const struct wit_node *wit__find_node(struct wit_resolver *r, const struct ast_block *block, const struct ast_path *path)
{
	uint32_t i;
	return node_index(CONTAINER_OF(r, struct universe, r), block, path, &i) ? &r->nodes[i] : NULL;
}

static bool collect_nodes(struct universe *u)
{
	struct wit_ast *ast = &u->r.ast;
	for (uint32_t b = 0; b < ast->n_blocks; b++)
		for (uint32_t i = 0; i < ast->blocks[b].n_items; i++)
			if (ast->blocks[b].items[i].kind != AST_TOP_USE && !add_node(u, b, &ast->blocks[b].items[i]))
				return false;
	struct map *uses = ARENA_ARRAY(u->r.a, struct map, ast->n_blocks + 1u);
	if (!uses)
		return nomem(u);
	for (uint32_t b = 0; b < ast->n_blocks; b++) {
		map_init(&uses[b], u->r.a);
		for (uint32_t i = 0; i < ast->blocks[b].n_items; i++) {
			const struct ast_item *it = &ast->blocks[b].items[i];
			uint32_t to;
			bool no_memory = false;
			if (it->kind != AST_TOP_USE || !wit__gate_is_open(&u->r, &it->gate))
				continue;
			if (!node_index(u, &ast->blocks[b], &it->path, &to))
				return false;
			if (!map_insert(&uses[b], it->name, to, &no_memory))
				return no_memory ? nomem(u)
								 : wit__err_at(ast, u->r.e, ERR_INVALID, it->pos, "name `%.*s` is defined more than once", SLICE_ARGS(it->name));
		}
	}
	u->block_uses = uses;
	return true;
}

// ---- order ----

// What the items of a body name. Only `use` and `include` need the other node to be resolved before.
static bool collect_edges(struct universe *u, uint32_t from, const struct ast_item *items, uint32_t n)
{
	struct wit_resolver *r = &u->r;
	for (uint32_t i = 0; i < n; i++) {
		const struct ast_item *it = &items[i];
		uint32_t to;
		if (!wit__gate_is_open(r, &it->gate))
			continue;
		if (it->has_body) {
			// One level: there is no interface within an interface.
			for (uint32_t k = 0; k < it->n_items; k++)
				if (it->items[k].kind == AST_USE && wit__gate_is_open(r, &it->items[k].gate) && !collect_edges(u, from, &it->items[k], 1))
					return false;
			continue;
		}
		if (it->kind != AST_USE && it->kind != AST_INCLUDE && !it->has_path)
			continue;
		if (!node_index(u, r->nodes[from].block, &it->path, &to))
			return false;
		if (!it->has_path && !VEC_PUSH(r->a, &u->edges, ((struct wit_edge){from, to}), WIT_MAX_TEXT))
			return nomem(u);
		struct wit_edge e = {r->nodes[from].package, r->nodes[to].package};
		if (e.from != e.to && !VEC_PUSH(r->a, &u->package_edges, e, WIT_MAX_TEXT))
			return nomem(u);
	}
	return true;
}

static bool resolve_nodes(struct universe *u)
{
	struct wit_resolver *r = &u->r;
	uint32_t cycle, *order = ARENA_ARRAY(r->a, uint32_t, r->n_nodes + 1u);
	if (!order)
		return nomem(u);
	for (uint32_t i = 0; i < r->n_nodes; i++)
		if (!r->nodes[i].is_hidden && !collect_edges(u, i, r->nodes[i].item->items, r->nodes[i].item->n_items))
			return false;
	if (!wit__order(r->a, r->n_nodes, u->edges.ptr, u->edges.len, order, &cycle)) {
		if (cycle == r->n_nodes)
			return nomem(u);
		return wit__err_at(&r->ast, r->e, ERR_INVALID, r->nodes[cycle].item->pos, "%s `%.*s` depends on itself", r->nodes[cycle].iface ? "interface" : "world",
			SLICE_ARGS(r->nodes[cycle].item->name));
	}
	for (uint32_t i = 0; i < r->n_nodes; i++) {
		struct wit_node *n = &r->nodes[order[i]];
		if (n->is_hidden)
			continue;
		if (n->iface ? !wit__resolve_interface(r, &n->scope, n->iface, n->block, n->item->items, n->item->n_items) : !wit__resolve_world(r, n))
			return false;
	}
	return true;
}

// ---- the model ----

static bool fill_packages(struct universe *u)
{
	struct wit_resolver *r = &u->r;
	for (uint32_t i = 0; i < u->n_packages; i++) {
		struct package *p = &u->packages[i];
		p->model->interfaces = ARENA_ARRAY(r->a, const struct wit_interface *, p->n_interfaces + 1u);
		p->model->worlds = ARENA_ARRAY(r->a, const struct wit_world *, p->n_worlds + 1u);
		if (!p->model->interfaces || !p->model->worlds)
			return nomem(u);
	}
	for (uint32_t i = 0; i < r->n_nodes; i++) {
		struct wit_node *n = &r->nodes[i];
		struct wit_package *m = u->packages[n->package].model;
		if (n->is_hidden)
			continue;
		if (n->iface)
			((const struct wit_interface **)UNCONST(m->interfaces))[m->n_interfaces++] = n->iface;
		else
			((const struct wit_world **)UNCONST(m->worlds))[m->n_worlds++] = n->world;
	}
	return true;
}

// Packages after those they name; the main one, which none but nested ones can name, last.
static bool order_packages(struct universe *u, uint32_t main_package, struct wit_packages *ret)
{
	uint32_t cycle, *order = ARENA_ARRAY(u->r.a, uint32_t, u->n_packages + 1u), n = 0;
	const struct wit_package **list = ARENA_ARRAY(u->r.a, const struct wit_package *, u->n_packages + 1u);
	if (!order || !list)
		return nomem(u);
	if (!wit__order(u->r.a, u->n_packages, u->package_edges.ptr, u->package_edges.len, order, &cycle)) {
		if (cycle == u->n_packages)
			return nomem(u);
		return wit__err_at(&u->r.ast, u->r.e, ERR_INVALID, u->packages[cycle].pos, "package `%.*s` depends on itself", SLICE_ARGS(u->packages[cycle].id));
	}
	for (uint32_t i = 0; i < u->n_packages; i++)
		if (order[i] != main_package)
			list[n++] = u->packages[order[i]].model;
	if (u->n_packages)
		list[n++] = u->packages[main_package].model;
	*ret = (struct wit_packages){list, n};
	return true;
}

static uint32_t find_main(const struct universe *u, uint32_t group)
{
	uint32_t found = u->n_packages - 1;
	for (uint32_t i = 0; i < u->r.ast.n_blocks; i++) {
		const struct ast_block *b = &u->r.ast.blocks[i];
		if (b->group != group)
			continue;
		found = u->block_package[i];
		if (!b->is_nested)
			break;
	}
	return found;
}

bool wit_text_resolve(struct arena *a, const struct wit_source *sources, uint32_t n, const struct wit_options *o, struct wit_packages *ret, struct err *e)
{
	struct universe u = {.r = {.a = a, .options = o, .e = e, .ast = {.arena = a, .sources = sources}}};
	uint32_t last_group = 0;
	map_init(&u.ids, a);
	for (uint32_t i = 0; i < n; i++) {
		if (sources[i].group >= WIT_MAX_PACKAGES)
			return err_set(e, ERR_LIMIT, "more than %u packages", WIT_MAX_PACKAGES);
		if (sources[i].group > last_group)
			last_group = sources[i].group;
		if (!wit__parse(&u.r.ast, i, e))
			return false;
	}
	if (u.r.ast.n_blocks == 0)
		return err_set(e, ERR_INVALID, "no `package` in the WIT text");
	if (!collect_packages(&u, last_group + 1) || !collect_nodes(&u) || !resolve_nodes(&u) || !fill_packages(&u))
		return false;
	return order_packages(&u, find_main(&u, last_group), ret);
}

// ---- looking up ----

const struct wit_package *wit_packages_find(const struct wit_packages *p, struct slice ns, struct slice name, const struct wit_version *version)
{
	const struct wit_package *best = NULL;
	for (uint32_t i = 0; i < p->n; i++) {
		const struct wit_package *x = p->list[i];
		if (!slice_eq(x->ns, ns) || !slice_eq(x->name, name))
			continue;
		if (version && version->present) {
			if (slice_eq(x->version.text, version->text))
				return x;
			continue;
		}
		if (!best || wit__version_compare(&best->version, &x->version) < 0)
			best = x;
	}
	return best;
}

const struct wit_interface *wit_package_interface(const struct wit_package *p, struct slice name)
{
	for (uint32_t i = 0; i < p->n_interfaces; i++)
		if (slice_eq(p->interfaces[i]->name, name))
			return p->interfaces[i];
	return NULL;
}

const struct wit_world *wit_package_world(const struct wit_package *p, struct slice name)
{
	for (uint32_t i = 0; i < p->n_worlds; i++)
		if (slice_eq(p->worlds[i]->name, name))
			return p->worlds[i];
	return NULL;
}

const struct wit_typedef *wit_interface_type(const struct wit_interface *x, struct slice name)
{
	for (uint32_t i = 0; i < x->n_types; i++)
		if (slice_eq(x->types[i].name, name))
			return &x->types[i];
	return NULL;
}

const struct wit_func *wit_interface_func(const struct wit_interface *x, struct slice name)
{
	for (uint32_t i = 0; i < x->n_funcs; i++)
		if (slice_eq(x->funcs[i].name, name))
			return &x->funcs[i];
	return NULL;
}

bool wit_interface_put_id(struct buf *b, const struct wit_interface *i)
{
	const struct wit_package *p = i->package;
	buf_printf(b, "%.*s:%.*s/%.*s", SLICE_ARGS(p->ns), SLICE_ARGS(p->name), SLICE_ARGS(i->name));
	return p->version.present ? buf_printf(b, "@%.*s", SLICE_ARGS(p->version.text)) : !b->failed;
}
