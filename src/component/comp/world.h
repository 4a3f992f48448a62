// Inside of room comp: worlds that core modules carry in custom sections, one in the other (world.c), and which of it a module uses (world_live.c).
//
// 1. A section `component-type…` is a component that exports a component type, which exports one: the world. What a world binds is made anew in one binder
//    for all of them.
// 2. Imports that serve the same name (wit_name: compatible versions) are one import, which has what any of them has, under the newest name. What two have
//    must be equal as types, resources of one name being one. Exports are told apart by their whole names.
// 3. Only what the module's own imports and exports reach is live: the rest of a world that a library brought is no import of the component.
#ifndef TENON_COMP_WORLD_H
#define TENON_COMP_WORLD_H

#include "comp_int.h"

struct world_part {
	uint8_t encoding;  // of a function's strings
	bool is_used;      // a function that the module imports
	uint32_t index;    // in the root's index space, once it has a place; COMP_NONE
};
// What a world imports or exports by one name.
struct world_entry {
	struct item item;
	struct itype *inst;  // of an instance: its type, the world's own
	VEC(struct world_part)
	parts;          // by item of the instance; of a function one
	uint64_t offset;    // of the section it came from first
	bool is_live;
	uint32_t index;     // of an import: in the root's index space, once it is imported
};
struct world_entries {
	VEC(struct world_entry *)
	list;
	struct map by_key;  // of imports: with what tells compatible versions apart, else the name
};
struct world {
	struct dec *d;
	struct binder *binder;
	struct world_entries imports, exports;
	struct ptrmap names;   // named type or resource → struct world_name
	struct ptrmap live;    // types and resources that are reached
	struct slice section;  // that is being read
};
struct world_name {
	const void *of;  // that it is a new name of; may be NULL
	uint32_t entry;  // of imports; COMP_NONE: of an export
};

// Reads the section, whose contents the decoder's window is, into the world.
NODISCARD bool comp__world_add(struct world *w, struct slice section);
// The import that a core module calls so / the export of that name, whose version may be the canonical one. NULL: there is none, or the error is set.
struct world_entry *comp__world_import(struct world *w, struct slice name);
struct world_entry *comp__world_export(struct world *w, struct slice name, bool is_canonical);
// "ns:pkg/iface@0.2" of "ns:pkg/iface@0.2.6": the canonical version (C9), which is the same for all that are compatible. Other names stay.
NODISCARD bool comp__world_key(struct dec *d, struct slice name, struct slice *ret);
// The item of an instance; its part is at the same place. NULL: it has none.
const struct item *comp__world_item(struct world *w, struct world_entry *e, struct slice name, struct world_part **ret);

// Each name of a type is known from now on; nothing is live yet.
NODISCARD bool comp__world_names(struct world *w);
NODISCARD bool comp__world_use_func(struct world *w, const struct wit_func_type *f);
NODISCARD bool comp__world_use(struct world *w, const struct ty *t);
// What of the imports is live, in an order in which each comes after those it names: reduces instances to that.
NODISCARD bool comp__world_reduce(struct world *w, struct world_entry ***ret, uint32_t *ret_n);

#endif
