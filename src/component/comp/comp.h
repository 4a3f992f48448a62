// The component binary format decoded, validated and linked into a plan: everything a component does at run time with each index resolved.
// Executes nothing: comp is to canon what wasm is to vm.
//
// Invariants:
//  1. What comp_decode returned keeps slices into the input and lies in the arena given: both must outlive it. It is immutable.
//  2. Function bodies of core modules are not validated here: whoever compiles the modules does that. All else is.
//  3. All component instantiations, aliases, arguments and re-exports are flattened: the plan names only core modules, core instances,
//     component instances, functions of the host, lifts, lowers, built-ins and resources, by index into its tables.
//  4. Resource types in the plan's types are `struct comp_resource` (comp_resource_of): one for each instance of a definition (C13), and one
//     for each resource type imported by the root.
//  5. Sizes of types, nesting (≤ COMP_MAX_NESTING), instances and the steps of checking are bounded (L55, L56): hostile input costs at most
//     c · input + 1,000,000 steps.
#ifndef TENON_COMP_H
#define TENON_COMP_H

#include "base/base.h"
#include "wasm/wasm.h"
#include "wit/wit.h"

#define COMP_NONE UINT32_MAX
#define COMP_MAX_NESTING 100       // of components and types in each other
#define COMP_MAX_INSTANCES 1000    // component instances of a plan
#define COMP_MAX_CORE_INSTANCES 10000

// What of the component model decodes and validates, as the Explainer's emoji group it. Core types, whether of a module inside or of a core type in
// a component, go by the features of `wasm`.
enum comp_feature {
#define FEATURE(name, bit, ...) COMP_FEATURE_##name = 1 << bit,
#include "features.def"
#undef FEATURE
};
#define COMP_FEATURES_ALL 0x7fu
// What is run.
#define COMP_FEATURES_DEFAULT (COMP_FEATURE_ASYNC | COMP_FEATURE_THREADING | COMP_FEATURE_FIXED_LISTS | COMP_FEATURE_MAP | COMP_FEATURE_MEMORY64)
struct comp_options {
	uint32_t features;       // enum comp_feature; what needs another is refused by name and offset
	// enum wasm_feature, for the core modules inside. With WASM_DECODE_KNOWN these very bytes were decoded before by this build, with the same options: that
	// names differ, imports match and types are visible is not looked at again.
	uint32_t core_features;
};
#define COMP_OPTIONS_DEFAULT ((struct comp_options){.features = COMP_FEATURES_DEFAULT, .core_features = WASM_FEATURES_DEFAULT})

// ---- references between the plan's tables -------------------------------------------------------------------------------------------

// A core function, table, memory, global or tag.
enum comp_core_ref_kind {
	COMP_CORE_NONE,     // option absent
	COMP_CORE_EXPORT,   // of core instance `instance`: item `index` of its module's index space of kind `extern_kind`
	COMP_CORE_LOWER,    // function plan->lowers[index]
	COMP_CORE_BUILTIN,  // function plan->builtins[index]
	COMP_CORE_HOST,     // function plan->core_funcs[index]
};
struct comp_core_ref {
	uint8_t kind;         // enum comp_core_ref_kind
	uint8_t extern_kind;  // enum wasm_extern_kind
	uint32_t instance;    // index in plan->core_instances
	uint32_t index;
};

// A component function.
enum comp_func_kind { COMP_FUNC_HOST, COMP_FUNC_LIFT };
struct comp_func_ref {
	uint8_t kind;    // enum comp_func_kind
	uint32_t index;  // in plan->host_funcs or plan->lifts
};

enum comp_encoding { COMP_UTF8, COMP_UTF16, COMP_LATIN1_UTF16 };

// canonopts of a lift, lower or built-in. Validated: what the type needs is there, with the right signature.
struct comp_canon_options {
	uint8_t encoding;  // enum comp_encoding
	bool is_async;
	bool memory64;     // addresses of the memory are i64
	struct comp_core_ref memory, realloc, post_return, callback;
};

// ---- the plan -----------------------------------------------------------------------------------------------------------------------

// A component instance at run time: own handle table, may_leave, the tree of C40. [0] is the root. A parent comes before its children.
struct comp_instance {
	uint32_t parent;      // COMP_NONE for the root
	uint32_t definition;  // ordinal of the component definition in the binary, root = 0
	uint64_t offset;      // of that definition in the input
};

// A resource type of one component instance, or imported from the host. Identity is the address of `wit`.
struct comp_resource {
	struct wit_resource wit;  // first; the name is that of its first import or export, or empty
	uint32_t index;           // in plan->resources
	uint32_t instance;        // component instance that defines it; COMP_NONE: the host
	struct comp_core_ref dtor;  // of a guest's
	bool rep64;               // the same: it is represented by i64, not i32
	// Imported from the host: by which name. `import` is in plan->imports; `path` is the name of the type in the instance imported
	// (or the import's own name for a type imported at the root).
	uint32_t import;
	uint32_t host_index;      // among the resources of the host, in order; COMP_NONE for a guest's
	struct slice path;
	struct slice inner;  // as comp_host_func's
};
static inline const struct comp_resource *comp_resource_of(const struct wit_resource *r)
{
	return (const struct comp_resource *)(const void *)r;
}

// Core instance: canon allocates, initialises and starts them in order.
struct comp_core_instance {
	uint32_t module;              // in comp->modules
	uint32_t instance;            // component instance it belongs to
	uint32_t nimports;            // = module's nimports, in its order
	const struct comp_core_ref *imports;
	uint64_t offset;              // of the definition, for backtraces
};

// canon lift: a core function as a component function.
struct comp_lift {
	struct comp_core_ref func;
	struct comp_canon_options options;
	const struct wit_func_type *type;
	uint32_t instance;   // that lifts: entered by calls
	uint32_t core_type;  // canonical id of the core function's type
};
// canon lower: a component function as a core function.
struct comp_lower {
	struct comp_func_ref callee;
	struct comp_canon_options options;
	const struct wit_func_type *type;  // as equal to the callee's, resources included
	uint32_t instance;                 // that lowers: the caller
	uint32_t core_type;                // canonical id of the core function made
};

enum comp_builtin_kind {
#define BUILTIN(name, ...) COMP_BUILTIN_##name,
#include "builtins.def"
#undef BUILTIN
	COMP_BUILTIN_COUNT
};
// Core functions made from built-ins.
struct comp_builtin {
	uint8_t kind;        // enum comp_builtin_kind
	bool is_async;
	uint32_t instance;   // component instance
	uint32_t core_type;  // canonical id
	const struct comp_resource *resource;  // resource.*
	const struct wit_type *type;           // stream.*, future.*: that type; task.return: the result, or NULL
	struct comp_canon_options options;
	uint32_t imm;        // context.*: slot
	// thread.new-indirect: where its function is found, and the canonical id of its type.
	struct comp_core_ref table;
	uint32_t func_type;
};
const char *comp_builtin_text(enum comp_builtin_kind kind);

// A core function that the host provides as it is, without the canonical ABI: preview 1, to a core module with worlds. Who links says which ones there are.
struct comp_core_func {
	struct slice module, name;    // "wasi_snapshot_preview1", "fd_write"
	uint32_t core_type;           // canonical id
	struct comp_core_ref memory;  // that its pointers are into; COMP_CORE_NONE: the module exports none
	uint64_t offset;              // of the import in the input
};

// What the root imports, in order. Instances and functions are what a host serves; core modules and components are never served.
enum comp_extern_kind { COMP_EXTERN_MODULE, COMP_EXTERN_FUNC, COMP_EXTERN_VALUE, COMP_EXTERN_TYPE, COMP_EXTERN_COMPONENT, COMP_EXTERN_INSTANCE };
struct comp_import {
	struct slice name;
	struct wit_name parsed;
	uint8_t kind;      // enum comp_extern_kind
	uint32_t first_func, n_funcs;     // in plan->host_funcs: an instance's functions, or the function
	uint32_t first_resource, n_resources;  // by host_index
};
// A function that the host provides.
struct comp_host_func {
	uint32_t import;       // in plan->imports
	struct slice interface;  // import's name if it lies in an instance, else empty
	struct slice inner;    // it lies in an instance inside of that, which is called so, else empty
	struct slice name;     // "[method]output-stream.write", or the import's name
	const struct wit_func_type *type;
	bool used;             // a lower or an export reaches it; others need not be provided
};

// An export of the root that is a function, or a function in an exported instance.
struct comp_export_func {
	struct slice interface;  // name of the instance ("wasi:http/incoming-handler@0.2.0"), or empty; nested instances: "outer/inner" is not looked up
	struct slice name;
	const struct wit_func_type *type;
	struct comp_func_ref func;
};

enum comp_step_kind { COMP_STEP_CORE_INSTANCE };
struct comp_step {
	uint8_t kind;    // enum comp_step_kind
	uint32_t index;  // in core_instances
};

struct comp_plan {
	uint32_t nsteps, ninstances, nresources, ncore_instances, nlifts, nlowers, nbuiltins, ncore_funcs, nimports, nhost_funcs, nhost_resources, nexport_funcs;
	const struct comp_step *steps;
	const struct comp_instance *instances;
	const struct comp_resource *const *resources;       // all, by index
	const struct comp_core_instance *core_instances;
	const struct comp_lift *lifts;
	const struct comp_lower *lowers;
	const struct comp_builtin *builtins;
	const struct comp_core_func *core_funcs;
	const struct comp_import *imports;
	const struct comp_host_func *host_funcs;
	const struct comp_resource *const *host_resources;  // by host_index
	const struct comp_export_func *export_funcs;
	// Set when the root imports a core module or component that it instantiates: nothing can be run; seam reports it (ERR_LINK).
	// Then nsteps is 0.
	const char *unlinkable;
};

// ---- the component ------------------------------------------------------------------------------------------------------------------

// A core module of the binary, at any depth, in the order of the binary.
struct comp_module {
	const struct wasm_module *wasm;
	struct slice bytes;
	uint64_t offset;  // of bytes in the input; 0 of what is made for a core module with worlds, whose bytes lie elsewhere
};

// The root's interface as declared: for printing and for compatibility checks of whoever links.
struct comp_extern {
	struct slice name;
	uint8_t kind;      // enum comp_extern_kind
	const struct wit_func_type *func;    // FUNC, and TYPE of a function type
	const struct wit_type *type;         // TYPE: a value type, or
	const struct wit_resource *resource; // TYPE: a resource type
	// TYPE: each name that the binary gives a type is an address of its own (of a value type `type` itself), never to be looked into; `of` is the
	// name, or the type without name, that this is a new name of, or NULL.
	const void *name_id, *of;
	uint32_t n;        // INSTANCE
	const struct comp_extern *items;
	struct slice implements, external_id;  // attributes; may be empty
};

// A feature that the component makes use of, and where it does first.
struct comp_need {
	uint32_t feature;  // one of enum comp_feature
	uint64_t offset;
	char what[64];     // "canonical option `async`"
};
#define COMP_MAX_NEEDS 8

struct comp_component {
	struct arena *arena;
	struct slice bytes;
	bool is_module;  // a core module with worlds
	uint32_t nneeds;
	struct comp_need needs[COMP_MAX_NEEDS];  // in the order of the binary
	uint32_t nmodules, ndefinitions;
	const struct comp_module *modules;
	uint32_t nimports, nexports;
	const struct comp_extern *imports, *exports;
	struct comp_plan plan;
};

// Decodes, validates and links a component, or a core module with worlds. Errors: MALFORMED, INVALID, UNSUPPORTED (a feature that is off), LIMIT, NOMEM; all
// with an offset.
NODISCARD bool comp_decode(struct arena *a, struct slice bytes, const struct comp_options *opt, struct comp_component **ret, struct err *e);

// A core module with worlds (custom sections `component-type…`, as wit-bindgen's generators leave them) stands for the component that `wasm-tools component new`
// would make of it; its functions of preview 1 are core functions of the host. comp_decode takes it as that component. Looks at the sections' heads only; where
// `bytes` end before they do it has none.
bool comp_module_has_world(struct slice bytes);
// The same of what `read` gives: as many bytes from `at` on as there are, at most `n`.
bool comp_module_has_world_by(size_t (*read)(void *ctx, uint64_t at, uint8_t *to, size_t n), void *ctx);

// Can what was decoded be run here? Else UNSUPPORTED: the first thing that can't, as comp_decode with COMP_OPTIONS_DEFAULT would have refused it.
NODISCARD bool comp_can_run(const struct comp_component *c, struct err *e);
// "async", as features.def names it.
const char *comp_feature_name(uint32_t feature);

// The instance exported at the root that serves `name` best (wit_name_find). NULL: none.
const struct comp_extern *comp_find_interface(const struct comp_component *c, struct slice name);
// A function of that instance; of the root where `interface_name` is empty. NULL: none.
const struct comp_export_func *comp_find_export(const struct comp_component *c, struct slice interface_name, struct slice name);

// Prints imports and exports as WIT: a world `root` and, behind it, the interfaces that it names, by package. What is read from that is equal as
// types, but where a comment "Not in WIT" says what WIT has no form for. Errors: LIMIT, NOMEM.
NODISCARD bool comp_print(struct buf *b, const struct comp_component *c, struct err *e);

#endif
