// What the files of room comp share: the reader, types of components and instances, scopes (decode time), operations (link time).
//
// Rules of the game:
//  1. While it is decoded, each component definition and each component or instance type is a `scope` with index spaces that hold *types*.
//     A component definition also leaves `ops`: one for each definition, in order; link.c executes them once an instantiation.
//  2. A resource type is named by (owner, slot): owner is the binder of the scope that introduced it. Two `struct res` of the same owner and
//     slot are the same type; they differ in address so that "is this name visible from outside" can tell them apart (an export of a type
//     makes a new one).
//  3. A binder's resources are *bound* in the type that owns it: whoever uses such a type for an import, export or instance first replaces
//     them (comp__open, comp__instantiate).
//  4. Everything that may be walked has a bounded depth (COMP_MAX_NESTING) and a bounded size (WIT_MAX_EFFECTIVE_SIZE); each walk that is
//     repeated takes from dec.steps.
//  5. dec.s (scratch) holds what dies with the decoding; dec.a what the caller keeps.
#ifndef TENON_COMP_INT_H
#define TENON_COMP_INT_H

#include "comp.h"

#define COMP_MAX_SPACE 100000  // entries of an index space: two bytes may make one, which takes 300 of memory

// ---- types --------------------------------------------------------------------------------------------------------------------------
enum sort {
	SORT_CORE_FUNC,  // ORDER core sorts are enum wasm_extern_kind
	SORT_CORE_TABLE,
	SORT_CORE_MEMORY,
	SORT_CORE_GLOBAL,
	SORT_CORE_TAG,
	SORT_CORE_TYPE,
	SORT_MODULE,
	SORT_CORE_INSTANCE,
	SORT_FUNC,
	SORT_VALUE,
	SORT_TYPE,
	SORT_COMPONENT,
	SORT_INSTANCE,
	SORT_COUNT,
};
_Static_assert((int)SORT_CORE_TAG == (int)WASM_EXTERN_TAG && (int)SORT_CORE_MEMORY == (int)WASM_EXTERN_MEMORY, "ORDER core sorts");

// Type of a core item. In reference types `type` is a canonical id.
struct core_extern {
	uint8_t kind;  // enum wasm_extern_kind
	union {
		uint32_t func;  // canonical id; also of a tag
		struct wasm_table_type table;
		struct wasm_memory_type memory;
		struct wasm_global_type global;
	};
};
struct core_item {
	struct slice module, name;  // module is empty for exports
	struct core_extern type;
};
// Type of a core module, or of a core instance (then there are no imports). Of a real module the items are made when they are asked for.
struct mtype {
	const struct wasm_module *wasm;  // a real module; else what follows has its items
	uint32_t nimports, nexports;
	const struct core_item *imports, *exports;
	struct map by_name;  // exports
};
struct core_type {
	const struct mtype *module;
	uint32_t id;  // of another type: equal types have equal numbers (core_type.c)
};
struct core_types {
	struct core_type *ptr;
	uint32_t len, cap;
};

struct binder {
	uint32_t n;  // slots given out
	bool is_component;
};
struct res {
	struct wit_resource wit;  // first
	struct binder *owner;
	uint32_t slot;
	bool is_import;  // introduced by an import
	bool is_rep64;   // represented by i64
	bool is_local;   // defined by a resource type of the owner
};
static inline const struct res *res_of(const struct wit_resource *r)
{
	return (const struct res *)(const void *)r;
}
static inline bool res_same(const struct res *a, const struct res *b)
{
	return a->owner == b->owner && a->slot == b->slot;
}

enum ty_kind { TY_VALUE, TY_FUNC, TY_COMPONENT, TY_INSTANCE, TY_RESOURCE };
struct ty {
	uint8_t kind;
	union {
		const void *p;
		const struct wit_type *value;
		const struct wit_func_type *func;
		const struct ctype *comp;
		const struct itype *inst;
		const struct res *res;
	};
};
// What an import or export is: kind says which, ty (or module) of which type.
struct entity {
	uint8_t kind;  // enum comp_extern_kind
	bool is_sub;   // TYPE: introduces the resource
	struct ty ty;
	const struct mtype *module;
	const void *of;  // TYPE: the wit_type or res that this is a new name of; may be NULL
};
struct item {
	struct slice name, implements, external_id;
	struct entity e;
};
struct items {
	struct item *ptr;
	uint32_t len, cap;
	struct map by_name;  // of the first `indexed`
	uint32_t indexed;
};
struct itype {
	struct binder *binder;  // NULL: nothing bound (an instance, not a type of one)
	struct items exports;
	uint32_t size, depth;
};
struct ctype {
	struct binder *binder;
	struct items imports, exports;
	uint32_t size, depth;
};

struct ptrmap {
	const void **keys;
	const void **vals;
	uint32_t len, cap;
};

// ---- operations: what a component definition does when instantiated -----------------------------------------------------------------
enum op_kind {
	OP_MODULE,            // a: index in comp->modules
	OP_CORE_INSTANTIATE,  // a: module, args, p: struct core_links
	OP_CORE_EXPORTS,      // args, p: the instance's struct mtype
	OP_CORE_ALIAS,        // sort, a: core instance, name, p: its struct mtype, b: the export's index there
	OP_COMPONENT,         // p: struct def
	OP_INSTANTIATE,       // a: component, args, entity: the result
	OP_EXPORTS,           // args
	OP_ALIAS,             // sort, a: instance, name
	OP_OUTER,             // sort, a: scopes outward, b: index
	OP_TYPE,
	OP_RESOURCE,          // entity->ty.res, b: destructor or COMP_NONE
	OP_LIFT,     // a: core function, p: struct canon
	OP_LOWER,             // a: function, p: struct canon
	OP_BUILTIN,           // p: struct canon
	OP_IMPORT,            // name, entity
	// Of a core module with worlds (module.c): its own instances in the plan are numbered as they will be, so that what it imports may name what it exports.
	OP_FORWARD,           // sort, a: core instance of the plan, b: index of the item in its module
	OP_CORE_HOST,         // p: struct core_host
	OP_CORE_DIRECT,       // a: module, args: by import
	OP_EXPORT,            // sort, a: index, entity: as exported
};
struct arg {
	struct slice name;
	uint8_t sort;
	uint32_t index;
};
// Options and types of a canonical definition. Indices are of the definition's index spaces.
struct canon {
	uint8_t encoding, builtin;
	bool is_async, has_encoding;
	bool is64;            // the memory's addresses
	uint8_t wide;         // built-ins: which immediates are i64 (enum wide)
	uint32_t memory, realloc, post_return, callback, table;  // COMP_NONE: absent
	uint32_t core_type, imm, func_type;
	const struct wit_func_type *func;
	const struct wit_type *type;
	const struct res *res;
};
// Where a core module's imports were found: by import the argument, and the index of the export in the type that the argument had (`types`, by argument).
// A type may be what a component says of a module that it imports: the module itself may have other imports and exports, and in another order.
struct core_links {
	const struct mtype *module;
	const struct mtype **types;
	struct core_link {
		uint32_t arg, item;
	} *imports;
};
// A core function that the host provides.
struct core_host {
	struct slice module, name;
	uint32_t core_type, memory;  // COMP_NONE: absent
	uint64_t offset;
};
struct op {
	uint8_t kind, sort;
	uint32_t a, b, nargs;
	uint64_t offset;
	const struct arg *args;
	union {
		const void *p;
		const struct entity *entity;
	};
	struct slice name;
};
struct def {
	struct ctype type;
	uint32_t ordinal;
	uint64_t offset;
	VEC(struct op)
	ops;
	struct def *outer;
	uint32_t counts[SORT_COUNT];
};

// ---- scopes -------------------------------------------------------------------------------------------------------------------------
enum scope_kind { SCOPE_COMPONENT, SCOPE_CTYPE, SCOPE_ITYPE };
// Names of the imports, or of the exports, of a scope.
struct names {
	struct map keys;       // strongly unique keys → 1
	struct map resources;  // label → const struct res *
	bool names_types;      // types get a name here; false for instances made of what is there already
};
struct scope {
	uint8_t kind;
	struct scope *outer;
	struct binder *binder;
	struct def *def;  // of a component
	VEC(struct core_extern)
	core[SORT_CORE_TAG + 1];
	struct core_types core_types;
	VEC(const struct mtype *)
	modules, core_instances;
	VEC(const struct wit_func_type *)
	funcs;
	VEC(struct ty)
	types;
	VEC(const struct ctype *)
	components;
	VEC(const struct itype *)
	instances;
	struct items imports, exports;
	struct names import_names, export_names;
	uint8_t context_type;              // core type of context.get and context.set; 0: none so far
	struct ptrmap imported, exported;  // types and resources that have a name outside; `exported` holds both
	uint32_t size, depth;              // of the type it becomes
};

struct comp__subtype;

// ---- the decoder --------------------------------------------------------------------------------------------------------------------
struct dec {
	struct arena *a;
	struct arena s;
	const struct comp_options *opt;
	struct comp_component *comp;
	struct err *e;
	const uint8_t *start, *p, *end;  // input; the window that is read
	uint64_t steps;
	uint32_t nesting, ndefs;
	struct slice encoding;  // contents of the root's section `wit-component-encoding`; NULL: there was none
	VEC(struct comp_module)
	modules;
	VEC(struct comp__subtype)
	subtypes;           // core types that are numbered by this decoding
	struct map groups;  // their recursion groups → first number
};

static inline uint64_t comp__offset(const struct dec *d)
{
	return (uint64_t)(d->p - d->start);
}
// What only finds what is wrong with these bytes need not be done again.
static inline bool comp__is_known(const struct dec *d)
{
	return d->opt->core_features & WASM_DECODE_KNOWN;
}
#define FAIL(d, code, ...) err_set_at((d)->e, ERR_##code, comp__offset(d), __VA_ARGS__)
#define FAIL_AT(d, code, at, ...) err_set_at((d)->e, ERR_##code, (at), __VA_ARGS__)
#define NEW(d, T) ARENA_NEW(&(d)->s, T)
// Pushes on an index space (or any vector) in scratch; false: the error is set.
#define PUSH(d, v, value) (VEC_PUSH(&(d)->s, (v), (value), COMP_MAX_SPACE) || comp__no_place(d, (v)->len))
// Room for n entries of a vector that is empty, without those that growing would leave behind. false: no memory.
#define RESERVE(d, v, n) \
	((((v)->ptr = ARENA_ARRAY(&(d)->s, __typeof__(*(v)->ptr), (n))) && ((v)->cap = (uint32_t)(n), true)) || comp__full(d))
bool comp__full(struct dec *d);
// There are `len` of something already, or memory is out.
bool comp__no_place(struct dec *d, uint32_t len);
// A failure below (wit, wasm) gets our offset if it has none; ERR_LINK becomes ERR_INVALID. Returns false.
bool comp__at(struct dec *d, uint64_t offset);

// read.c
bool comp__u8(struct dec *d, uint8_t *ret);
bool comp__u32(struct dec *d, uint32_t *ret);
bool comp__u64(struct dec *d, uint64_t *ret);
bool comp__s33(struct dec *d, int64_t *ret);
bool comp__count(struct dec *d, uint32_t *ret);  // of a vec: not more than bytes remain
bool comp__name(struct dec *d, struct slice *ret);
bool comp__bool(struct dec *d, bool *ret);
bool comp__byte_is(struct dec *d, uint8_t want, const char *what);
bool comp__bad_byte(struct dec *d, uint8_t byte, const char *what);
bool comp__steps(struct dec *d, uint64_t n);
// Is the feature on? Then the component's needs have it; else an error at `at` that names `what` and the feature.
bool comp__need(struct dec *d, uint32_t feature, uint64_t at, const char *what);
bool comp__need_core(struct dec *d, uint32_t feature, uint64_t at, const char *what);
bool comp__sort(struct dec *d, uint8_t *ret);
bool comp__core_sort(struct dec *d, uint8_t *ret);
const char *comp__sort_name(unsigned sort);

// core_type.c
// rectype, whose first byte has been read: its types are added.
bool comp__rec_type(struct dec *d, struct core_types *types, uint8_t code);
bool comp__prefixed_sub_type(struct dec *d, struct core_types *types);  // behind the 0x00
bool comp__core_valtype(struct dec *d, const struct core_types *types, struct wasm_valtype *ret);
bool comp__valtype_same(struct wasm_valtype a, struct wasm_valtype b);
bool comp__valtype_sub(const struct dec *d, struct wasm_valtype found, struct wasm_valtype expected);
// Is the type `super`, or declared a subtype of it?
bool comp__core_sub(const struct dec *d, uint32_t id, uint32_t super);
// The function type of a number; NULL: another type.
const struct wasm_func_type *comp__core_func(const struct dec *d, uint32_t id);
// Has the type the parameters and results of `want`, an interned function type?
bool comp__core_func_is(const struct dec *d, uint32_t id, uint32_t want);

// core.c
bool comp__core_type(struct dec *d, struct scope *s);
// Pairs of module and name are distinct (they are one name to a component).
bool comp__imports_differ(struct dec *d, const struct mtype *m);
bool comp__mtype_of(struct dec *d, const struct wasm_module *m, const struct mtype **ret);
bool comp__mtype_index(struct dec *d, struct mtype *m);
void comp__mtype_import(const struct mtype *m, uint32_t index, struct core_item *ret);
// Type and index of an export. false: there is none of that name.
bool comp__mtype_find(const struct mtype *m, struct slice name, struct core_extern *ret, uint32_t *ret_index);
bool comp__core_match(struct dec *d, const struct core_extern *found, const struct core_extern *expected);
bool comp__module_match(struct dec *d, const struct mtype *found, const struct mtype *expected);
const char *comp__core_kind_name(unsigned kind);

// type.c
uint32_t comp__entity_size(const struct entity *e);
uint32_t comp__entity_depth(const struct entity *e);
const char *comp__entity_name(const struct entity *e);
bool comp__items_add(struct dec *d, struct items *items, const struct item *item);
const struct item *comp__items_find(struct dec *d, const struct items *items, struct slice name);
struct res *comp__res_new(struct dec *d, struct binder *owner, struct slice name);
// A new name for a type: same type, another identity.
bool comp__ty_rename(struct dec *d, const struct ty *t, struct slice name, struct ty *ret);
// The type with its bound resources replaced by fresh ones of `into`.
bool comp__open(struct dec *d, const struct itype *t, struct binder *into, bool is_import, const struct itype **ret);
bool comp__match(struct dec *d, const struct entity *found, const struct entity *expected);
struct subst;
// The same where the expected type's resources are bound by `s`, or are now (those that imports introduced, or else the others): as those found. `s` replaces
// names that were expected by those found from then on.
bool comp__match_bound(struct dec *d, struct subst *s, bool imports, const struct entity *found, const struct entity *expected);
struct named_entity {
	struct slice name;
	struct entity e;
};
bool comp__instantiate(struct dec *d, const struct ctype *c, const struct named_entity *args, uint32_t nargs, struct binder *into,
	const struct itype **ret);
bool comp__reaches_resource(struct dec *d, const struct ty *t, bool *ret);
// Are all types that `e` refers to visible? If so, what it names becomes visible.
bool comp__visible(struct dec *d, struct scope *s, const struct entity *e, bool is_import, bool *ret);
bool comp__ptrmap_put(struct dec *d, struct ptrmap *m, const void *key, const void *val);
const void *comp__ptrmap_get(const struct ptrmap *m, const void *key);

// Replacement of resources in types (and of types by types: `memo` may be filled before).
struct subst {
	struct dec *d;
	const struct binder *from;
	const struct res **targets;  // by slot; NULL entries: made fresh in `into`
	struct binder *into;
	bool is_import;
	const struct wit_resource *(*resolve)(void *ctx, const struct res *r);  // instead of from, targets
	void *ctx;
	bool has_pairs;
	struct ptrmap memo;
};
bool comp__subst_type(struct subst *s, const struct wit_type *t, const struct wit_type **ret);
bool comp__subst_func(struct subst *s, const struct wit_func_type *f, const struct wit_func_type **ret);
bool comp__subst_entity(struct subst *s, const struct entity *e, struct entity *ret);

// types.c: type definitions
bool comp__type(struct dec *d, struct scope *s);
bool comp__valtype(struct dec *d, struct scope *s, const struct wit_type **ret);
bool comp__result_list(struct dec *d, struct scope *s, const struct wit_type **ret);
bool comp__extern_type(struct dec *d, struct scope *s, struct entity *ret);
bool comp__scope_init(struct dec *d, struct scope *s, unsigned kind, struct scope *outer);
bool comp__index(struct dec *d, const struct scope *s, unsigned sort, uint32_t index);
uint32_t comp__space(const struct scope *s, unsigned sort);
// Has the core function the type of a destructor?
bool comp__dtor_check(struct dec *d, const struct scope *s, uint32_t func, bool is_rep64);

// extern.c: names, imports, exports, aliases
bool comp__import(struct dec *d, struct scope *s);
bool comp__export_decl(struct dec *d, struct scope *s);
bool comp__export(struct dec *d, struct scope *s);
bool comp__alias(struct dec *d, struct scope *s);
bool comp__extern_name(struct dec *d, struct item *ret);
bool comp__names_add(struct dec *d, struct names *n, bool is_export, const struct item *item, const char *what);
bool comp__entity_at(struct dec *d, const struct scope *s, unsigned sort, uint32_t index, struct entity *ret);
bool comp__push_entity(struct dec *d, struct scope *s, const struct entity *e);
struct op *comp__op(struct dec *d, struct scope *s, unsigned kind, uint64_t offset);
// The same with an entity, which is copied.
struct op *comp__op_of(struct dec *d, struct scope *s, unsigned kind, uint64_t offset, const struct entity *e);

// decode.c
// One definition, from its preamble to the end of the window.
bool comp__component(struct dec *d, struct scope *outer, struct def **ret);
bool comp__add_module(struct dec *d, struct scope *s, const struct comp_module *m, uint64_t at);

// canondef.c
bool comp__canon(struct dec *d, struct scope *s);
// Made by hand: without options, which comp__canon_check looks at when they are there. NULL: the error is set.
struct canon *comp__canon_new(struct dec *d);
bool comp__canon_check(struct dec *d, const struct scope *s, struct canon *c);
// The definitions themselves. c->func of a lift is what it gives; a builtin's kind and immediates stand in `c`.
bool comp__lift(struct dec *d, struct scope *s, struct canon *c, uint32_t func, uint64_t at);
bool comp__lower(struct dec *d, struct scope *s, struct canon *c, uint32_t func, uint64_t at);
bool comp__builtin(struct dec *d, struct scope *s, struct canon *c, uint64_t at);
bool comp__builtin_need(struct dec *d, const struct canon *c, uint64_t at);

// module.c: a core module with worlds as the definition of the component that it stands for.
bool comp__module(struct dec *d, struct def **ret);

// link.c
bool comp__link(struct dec *d, struct def *root);

#endif
