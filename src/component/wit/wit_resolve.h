// What the two halves of the resolver share: packages and their interfaces (wit_resolve.c), what is inside of those (wit_items.c).
#ifndef TENON_WIT_RESOLVE_H
#define TENON_WIT_RESOLVE_H

#include "wit_ast.h"

// Copies that `include` makes, over the whole resolution: the only thing that grows faster than the text.
#define WIT_MAX_INCLUDED (1u << 20)

// Types of an interface or world by name. `types` is allocated once, so that pointers into it stay good.
struct wit_scope {
	struct map types;  // name → index into list
	struct map names;  // unique key (C8) of all that is declared → 1
	struct wit_typedef *list;
	uint32_t n, cap;
};

// An interface or a world.
struct wit_node {
	const struct ast_item *item;
	const struct ast_block *block;
	uint32_t package;
	bool is_hidden;  // @unstable, and the feature is off
	struct wit_interface *iface;
	struct wit_world *world;
	struct wit_scope scope;
};

struct wit_resolver {
	struct arena *a;
	struct wit_ast ast;
	const struct wit_options *options;
	struct err *e;
	struct wit_node *nodes;
	uint32_t n_nodes, cap_nodes;
	uint32_t included;
};

// The node that a path means, seen from a block; NULL and an error if there is none.
const struct wit_node *wit__find_node(struct wit_resolver *r, const struct ast_block *block, const struct ast_path *path);
// Is the item there, or is its feature off?
bool wit__gate_is_open(const struct wit_resolver *r, const struct wit_gate *g);
// Order of n things such that edges' `to` comes before `from`. false: a cycle, *ret_cycle is one in it (or memory is out: ret_cycle = n).
struct wit_edge {
	uint32_t from, to;
};
NODISCARD bool wit__order(struct arena *a, uint32_t n, const struct wit_edge *edges, uint32_t n_edges, uint32_t *order, uint32_t *ret_cycle);
// What is inside of an interface, world.
NODISCARD bool wit__resolve_interface(struct wit_resolver *r, struct wit_scope *scope, struct wit_interface *out, const struct ast_block *block,
	const struct ast_item *items, uint32_t n_items);
NODISCARD bool wit__resolve_world(struct wit_resolver *r, struct wit_node *node);

#endif
