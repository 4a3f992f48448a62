// Inside of room comp: what the two files share that make a definition of a core module with worlds (module.c, module_async.c).
#ifndef TENON_COMP_MODULE_H
#define TENON_COMP_MODULE_H

#include "world.h"

// How a build calls what it imports and exports.
struct affix {
	const char *text;
	bool is_suffix;
};
struct naming {
	const char *root;              // module of what no interface has
	const char *imported, *exported;  // before the name of an interface: its functions / what is made for the one that is exported
	struct affix drop, make, rep;     // of a resource
	const char *before, *between;     // an exported function's name
	struct affix post_return, dtor;
	bool canonical;                   // versions
};
enum place_kind { PLACE_NOWHERE, PLACE_ROOT, PLACE_IMPORT, PLACE_EXPORT, PLACE_PREVIEW1 };
// What a core module name stands for.
struct place {
	enum place_kind kind;
	const struct naming *naming;
	struct world_entry *entry;
};
// What stands behind a core import.
struct target {
	enum { TARGET_HOST, TARGET_FUNC, TARGET_BUILTIN } kind;
	struct world_entry *entry;
	struct slice name;        // of the function
	bool is_async;            // that, or the built-in
	uint8_t builtin, imm, encoding;
	bool memory, realloc, is_export;  // which of the module's it needs; the realloc of exports
	const struct res *res;
	const struct wit_type *type;
};
struct build {
	struct dec *d;
	const struct wasm_module *m;
	struct world w;
	struct scope s;
	struct map places;        // core module name → struct place
	struct target *targets;   // by import
	uint32_t memory, import_realloc, export_realloc;  // in the index spaces
	uint32_t n_core_instances;
	uint32_t run;             // core function; COMP_NONE: there is no `_start`
	struct world_entry *run_entry;
};

// false: `name` has not that affix. *ret: what remains.
static inline bool comp__strip(struct slice name, struct affix a, struct slice *ret)
{
	struct slice text = slice_str(a.text);
	if (a.is_suffix ? !slice_ends_with(name, text) : !slice_starts_with(name, text))
		return false;
	*ret = a.is_suffix ? slice_sub(name, 0, name.len - text.len) : slice_sub(name, text.len, name.len);
	return true;
}

// Is it one of async's: a built-in of the world's root, of what the module exports, of a function's streams and futures? *ret_is says so; false: an error.
NODISCARD bool comp__async_builtin(struct build *b, const struct place *p, struct slice name, struct target *t, bool *ret_is);

#endif
