// What a component imports and exports as a model of WIT: a world and the interfaces that it names (show.c makes it, print.c prints it).
#ifndef TENON_COMP_SHOW_H
#define TENON_COMP_SHOW_H

#include "comp_int.h"

// A list of types that WIT gives names to: an interface (what the component imports under a name and what it exports under it are one), an
// interface in line, or the world itself.
struct scope_shown {
	struct wit_interface iface;  // of an interface: what is printed
	struct slice id;             // "ns:pkg/iface@version"; empty: in line, or the world
	bool is_world;
	VEC(struct wit_typedef)
	types;
	VEC(struct wit_func)
	funcs;
	VEC(uint32_t)
	alias_of;              // of each type: 1 + index of the type that it is an alias of, or 0
	struct map type_names, func_names;  // → index
	struct ptrmap by_type;  // type, resource or what it is a name of → 1 + index in types
	struct ptrmap memo;     // type → as it is spelled here
};

// Where a type was first given a name.
struct home {
	struct scope_shown *scope;
	uint32_t index;
	bool is_import;
};

struct show {
	struct dec d;  // its scratch, error and steps
	struct err err;
	VEC(struct scope_shown *)
	scopes;          // interfaces, in the order of their first appearance; those in line too
	struct map ids;  // → index in scopes
	struct ptrmap homes, of;  // type or resource → struct home; name → what it is in the end a name of
	VEC(struct wit_package *)
	packages;
	struct scope_shown world;
	VEC(struct wit_extern)
	imports, exports;
	VEC(struct slice)
	notes;  // what WIT can't say
	bool is_import;  // the side that is being shown
};

// false: memory or steps are out.
bool comp__show(struct show *s, const struct comp_component *c);

#endif
