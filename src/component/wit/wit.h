// The component type model: value types with their canonical layouts, function types, names and versions; WIT text read, resolved and
// printed; WAVE.
//
// Invariants:
//  1. A wit_type is immutable once its constructor returned it; it lies in an arena or is a constant of the program (witgen).
//  2. Whatever can be computed from a type alone is computed at construction: layouts, flat core types, effective size. Nobody else computes it.
//  3. depth ≤ WIT_MAX_DEPTH, sizes < 2^28 also with 64-bit pointers (C6; a map's entry: < 2^28 + 2^27), effective size ≤ WIT_MAX_EFFECTIVE_SIZE (L55): code that walks a
//     type may recurse on it.
//  4. The layout with 64-bit pointers is the C layout of host values (see "native values").
//  5. Resources are equal when their pointers are equal.
#ifndef TENON_WIT_H
#define TENON_WIT_H

#include "base/base.h"

#define WIT_MAX_DEPTH 100
#define WIT_MAX_EFFECTIVE_SIZE 1000000u
#define WIT_MAX_VALUE_SIZE (UINT64_C(1) << 28)  // sizes are below
#define WIT_MAX_FLAT 16  // MAX_FLAT_PARAMS of the canonical ABI
#define WIT_FLAT_OVER 17  // n_flat of a type that has more than WIT_MAX_FLAT

// ---- value types ----

enum wit_kind {
	WIT_BOOL,
	WIT_S8,
	WIT_U8,
	WIT_S16,
	WIT_U16,
	WIT_S32,
	WIT_U32,
	WIT_S64,
	WIT_U64,
	WIT_F32,
	WIT_F64,
	WIT_CHAR,
	WIT_STRING,
	WIT_ERROR_CONTEXT,
	WIT_N_PRIMITIVES,
	WIT_LIST = WIT_N_PRIMITIVES,
	WIT_FIXED_LIST,  // n elements in line
	WIT_MAP,         // as list<tuple<key, value>>: elem is that tuple
	WIT_RECORD,
	WIT_TUPLE,
	WIT_VARIANT,
	WIT_ENUM,
	WIT_OPTION,  // cases none, some
	WIT_RESULT,  // cases ok, err
	WIT_FLAGS,
	WIT_OWN,
	WIT_BORROW,
	WIT_STREAM,  // elem may be NULL
	WIT_FUTURE,  // elem may be NULL
	WIT_N_KINDS,
};

// Core types of the flat form; the values are those of the binary format.
enum wit_core { WIT_CORE_I32 = 0x7f, WIT_CORE_I64 = 0x7e, WIT_CORE_F32 = 0x7d, WIT_CORE_F64 = 0x7c };

enum wit_type_flag {
	WIT_HAS_PTR = 1,     // holds a string or list: lifting and lowering need memory
	WIT_HAS_HANDLE = 2,  // holds own, borrow, stream, future or error-context
	WIT_HAS_BORROW = 4,
	WIT_HAS_STREAM = 8,  // holds stream or future (not allowed within a borrow's way out)
};

// A kind of resource. Identity is the address; whoever needs more embeds it and uses CONTAINER_OF.
struct wit_interface;
struct wit_resource {
	struct slice name;
	const struct wit_interface *owner;  // that defines it, where it comes from WIT text; else NULL
};

// Field of a record or tuple (tuple: name is empty), case of a variant, enum, option or result, label of flags, parameter of a function.
struct wit_field {
	struct slice name;
	const struct wit_type *type;  // NULL: case without payload, label
	uint32_t offset32, offset64;  // of a field or parameter; of a case: of the payload
};

struct wit_type {
	uint8_t kind;               // enum wit_kind
	uint8_t flags;              // WIT_HAS_*
	uint8_t discriminant_size;  // 1, 2, 4 for variant, enum, option, result; for flags the size of the bits
	uint8_t depth;              // 1 + the deepest part
	uint8_t align32, align64;
	uint8_t n_flat;              // WIT_FLAT_OVER: more than WIT_MAX_FLAT
	uint8_t flat[WIT_MAX_FLAT];  // enum wit_core, with 32-bit pointers; the first 16 when there are more
	uint32_t size32, size64;
	uint32_t payload32, payload64;  // variant and its kin: offset of the payload
	uint32_t effective_size;        // number of parts, counted as often as they occur
	uint32_t n;  // fields, cases, labels; elements of a fixed list
	const struct wit_field *fields;
	const struct wit_type *elem;  // list, fixed list, map, stream, future
	const struct wit_resource *resource;  // own, borrow
};

// Kinds that behave as a record (record, tuple) or as a variant (variant, enum, option, result).
static inline bool wit_kind_is_record(unsigned kind)
{
	return kind == WIT_RECORD || kind == WIT_TUPLE;
}
static inline bool wit_kind_is_variant(unsigned kind)
{
	return kind >= WIT_VARIANT && kind <= WIT_RESULT;
}
static inline bool wit_kind_is_list(unsigned kind)
{
	return kind == WIT_LIST || kind == WIT_MAP;
}
// "record", "u8"…, as WIT spells it.
const char *wit_kind_name(enum wit_kind kind);

// The constant of a primitive kind.
extern const struct wit_type wit_primitives[WIT_N_PRIMITIVES];
static inline const struct wit_type *wit_type_primitive(enum wit_kind kind)
{
	return &wit_primitives[kind];
}

// What a record, variant, enum or flags is made of, as a constructor takes it: name (borrowed, must outlive the arena's types), type or NULL.
struct wit_member {
	struct slice name;
	const struct wit_type *type;
};

// The flat form with 64-bit pointers; with 32-bit ones it stands in the type (flat, n_flat). Takes as many steps as the type's effective size.
struct wit_flat {
	uint8_t n;  // WIT_FLAT_OVER: more than WIT_MAX_FLAT
	uint8_t types[WIT_MAX_FLAT];
};
void wit_type_flatten64(const struct wit_type *t, struct wit_flat *ret);

// Constructors. They check: labels are kebab-case and unique, at least one field/case/label, at most 32 flags, sizes, depth, effective size.
// Texts begin with the specification's wording; errors carry no offset (the caller's err_set_at is not needed: use err_note).
NODISCARD bool wit_type_list(struct arena *a, const struct wit_type *elem, const struct wit_type **ret, struct err *e);
NODISCARD bool wit_type_fixed_list(struct arena *a, const struct wit_type *elem, uint64_t n, const struct wit_type **ret, struct err *e);
NODISCARD bool wit_type_map(struct arena *a, const struct wit_type *key, const struct wit_type *value, const struct wit_type **ret, struct err *e);
NODISCARD bool wit_type_record(struct arena *a, const struct wit_member *fields, uint32_t n, const struct wit_type **ret, struct err *e);
NODISCARD bool wit_type_tuple(struct arena *a, const struct wit_type *const *types, uint32_t n, const struct wit_type **ret, struct err *e);
NODISCARD bool wit_type_variant(struct arena *a, const struct wit_member *cases, uint32_t n, const struct wit_type **ret, struct err *e);
NODISCARD bool wit_type_enum(struct arena *a, const struct slice *names, uint32_t n, const struct wit_type **ret, struct err *e);
NODISCARD bool wit_type_option(struct arena *a, const struct wit_type *some, const struct wit_type **ret, struct err *e);
// `ok`, `err` may be NULL.
NODISCARD bool wit_type_result(struct arena *a, const struct wit_type *ok, const struct wit_type *err, const struct wit_type **ret, struct err *e);
NODISCARD bool wit_type_flags(struct arena *a, const struct slice *names, uint32_t n, const struct wit_type **ret, struct err *e);
NODISCARD bool wit_type_own(struct arena *a, const struct wit_resource *r, const struct wit_type **ret, struct err *e);
NODISCARD bool wit_type_borrow(struct arena *a, const struct wit_resource *r, const struct wit_type **ret, struct err *e);
// `elem` may be NULL.
NODISCARD bool wit_type_stream(struct arena *a, const struct wit_type *elem, const struct wit_type **ret, struct err *e);
NODISCARD bool wit_type_future(struct arena *a, const struct wit_type *elem, const struct wit_type **ret, struct err *e);

// Structural equality. `same_resource` NULL: pointers. false and `e` says where they differ, from the outside in ("expected …, found …").
// `steps` bounds the work over several calls (L55); when it runs out the answer is false with ERR_LIMIT.
struct wit_compare {
	bool (*same_resource)(void *ctx, const struct wit_resource *expected, const struct wit_resource *found);
	void *ctx;
	uint64_t steps;
	bool shapes_only;  // labels of parameters are not compared (wit_func_type_equal)
};
bool wit_type_equal(struct wit_compare *c, const struct wit_type *expected, const struct wit_type *found, struct err *e);

// Calls `visit` for each resource that the type names, with repetition; stops at false and returns it.
bool wit_type_each_resource(const struct wit_type *t, bool (*visit)(void *ctx, const struct wit_resource *r), void *ctx);

// ---- native values: the C form of a value, laid out by align64, size64, offset64, payload64 ----
// bool uint8_t 0/1; integers, floats as in C; char, own, borrow, stream, future, error-context uint32_t; string and list as below;
// record and tuple: struct; variant, enum, option, result: discriminant (discriminant_size bytes), payload at payload64;
// flags: unsigned of discriminant_size bytes; fixed list: array.

struct wit_string {
	const uint8_t *ptr;  // UTF-8
	size_t len;
};
struct wit_list {
	const void *ptr;
	size_t len;  // elements
};
_Static_assert(sizeof(struct wit_string) == 16 && sizeof(struct wit_list) == 16, "native strings and lists are two words");

// `size` is 1, 2 or 4.
static inline uint32_t wit_discriminant_load(const void *p, unsigned size)
{
	uint16_t half;
	uint32_t whole;
	if (size == 1)
		return *(const uint8_t *)p;
	if (size == 2)
		return memcpy(&half, p, sizeof(half)), half;
	return memcpy(&whole, p, sizeof(whole)), whole;
}
static inline void wit_discriminant_store(void *p, unsigned size, uint32_t v)
{
	uint16_t half = (uint16_t)v;
	if (size == 1)
		*(uint8_t *)p = (uint8_t)v;
	else if (size == 2)
		memcpy(p, &half, sizeof(half));
	else
		memcpy(p, &v, sizeof(v));
}

// ---- function types ----

struct wit_func_type {
	struct wit_type params;  // WIT_RECORD of the parameters in order, possibly of none: its layout is that of the spilled parameters
	const struct wit_type *result;  // NULL: none
	bool is_async;
};
// `params` may be of length 0. Checks names as for a record (distinct, kebab-case); a borrow in the result is an error.
NODISCARD bool wit_func_type_make(struct arena *a, const struct wit_member *params, uint32_t n, const struct wit_type *result, bool is_async,
	const struct wit_func_type **ret, struct err *e);
bool wit_func_type_equal(struct wit_compare *c, const struct wit_func_type *expected, const struct wit_func_type *found, struct err *e);

// ---- names (Explainer, "Import and Export Definitions") ----

struct wit_version {
	bool present;
	uint64_t major, minor, patch;
	struct slice pre, build;  // after '-' and '+'
	struct slice text;        // the whole
};
// semver 2.0. `allow_canonical`: also `1`, `0.2`, the canonical forms (C9).
NODISCARD bool wit_version_parse(struct slice s, bool allow_canonical, struct wit_version *ret);
// Same canonical version (C9): `major`, or `0.minor`, or `0.0.patch`; with a pre-release only the same text. Both absent: compatible.
bool wit_version_compatible(const struct wit_version *a, const struct wit_version *b);  // for tests

enum wit_name_kind {
	WIT_NAME_LABEL,        // plain: `run`
	WIT_NAME_CONSTRUCTOR,  // [constructor]r
	WIT_NAME_METHOD,       // [method]r.m
	WIT_NAME_STATIC,       // [static]r.m
	WIT_NAME_INTERFACE,    // ns:pkg/iface@version; nested: a:b:pkg/part/iface, in namespace `a:b` and package `pkg/part`
};
// A name of an import or export, taken apart; slices point into the text.
struct wit_name {
	enum wit_name_kind kind;
	struct slice text;               // the whole
	struct slice label;              // label; the function's part of an annotated name
	struct slice resource;           // annotated names
	struct slice ns, package, iface;  // interface names
	struct wit_version version;
};
// `is_export`: forms that only imports may have are refused.
NODISCARD bool wit_name_parse(struct slice s, bool is_export, struct wit_name *ret, struct err *e);
static inline bool wit_name_is_annotated(const struct wit_name *n)
{
	return n->kind >= WIT_NAME_CONSTRUCTOR && n->kind <= WIT_NAME_STATIC;
}
// Does something offered under `have` serve an import of `want`? Interfaces: same path and compatible versions (the last candidate of WASI 0.3.0 counts as the release);
// else equal text.
bool wit_name_serves(const struct wit_name *have, const struct wit_name *want);  // for tests
// Of `n` names, got by `at`, the one that serves `want` best: the same text, else the newest version. SIZE_MAX: none does. The one rule for imports, for exports
// and for what a user names.
size_t wit_name_find(struct slice want, struct slice (*at)(const void *list, size_t i), const void *list, size_t n);
// The key of which two strongly unique names must differ (C8), written to `out` (cap ≥ s.len + 1); returns its length.
// A name and its constructor do not collide ("[constructor]" stays in the key), `l` and `[method]l.l` do.
size_t wit_name_unique_key(struct slice s, uint8_t *out);

// ---- resolved WIT text ----

struct wit_gate {
	struct slice since;       // @since(version = …); empty: none
	struct slice unstable;    // @unstable(feature = …)
	struct slice deprecated;  // @deprecated(version = …)
};

// A named type of an interface or world: a definition, an alias, or what `use` brought in (then from is set).
struct wit_typedef {
	struct slice name, docs;
	const struct wit_type *type;          // NULL for a resource
	const struct wit_resource *resource;  // set for a resource (and aliases of one)
	const struct wit_interface *from;     // `use`: the interface it comes from …
	struct slice from_name;               // … and its name there
	const struct wit_typedef *alias;      // `type a = b`: b
	struct wit_gate gate;
};

struct wit_func {
	struct slice name;  // with its annotation: "[method]output-stream.write"
	struct slice docs;
	const struct wit_func_type *type;
	const struct wit_resource *resource;  // constructor, method, static
	struct wit_gate gate;
};

struct wit_interface {
	const struct wit_package *package;
	struct slice name, docs;  // name is empty for one written in line in a world
	const struct wit_typedef *types;
	const struct wit_func *funcs;
	uint32_t n_types, n_funcs;
	struct wit_gate gate;
};

// What a world imports or exports: an interface or a function. Types that a world imports are in wit_world.types.
struct wit_extern {
	struct slice name;  // of a function or an interface in line; empty: the interface's own id
	const struct wit_interface *iface;
	const struct wit_func *func;
	struct slice docs;
	struct wit_gate gate;
};

struct wit_world {
	const struct wit_package *package;
	struct slice name, docs;
	const struct wit_typedef *types;
	const struct wit_extern *imports, *exports;
	uint32_t n_types, n_imports, n_exports;
	struct wit_gate gate;
};

struct wit_package {
	struct slice ns, name, docs;
	struct wit_version version;
	const struct wit_interface *const *interfaces;
	const struct wit_world *const *worlds;
	uint32_t n_interfaces, n_worlds;
};

// All packages of one resolution, each after those it names. The last is the main one.
struct wit_packages {
	const struct wit_package *const *list;
	uint32_t n;
};

// One file of WIT text. Files of one `group` form one package (plus any nested ones); the group of the greatest number is the main one.
struct wit_source {
	struct slice path;  // for errors
	struct slice text;
	uint32_t group;
};
struct wit_options {
	const struct slice *features;  // of @unstable that are on
	uint32_t n_features;
	bool all_features;
};
// Errors carry line and column and the path as a note. `o` may be NULL. Texts are borrowed: they must live as long as the arena.
NODISCARD bool wit_text_resolve(struct arena *a, const struct wit_source *sources, uint32_t n, const struct wit_options *o,
	struct wit_packages *ret, struct err *e);  // for tests
// A file, or a folder with the files of one package and, in `deps/`, a file or folder for each other package.
NODISCARD bool wit_dir_resolve(struct arena *a, const char *path, const struct wit_options *o, struct wit_packages *ret, struct err *e);

// Looks up; an empty version finds the only one or the newest.
const struct wit_package *wit_packages_find(const struct wit_packages *p, struct slice ns, struct slice name, const struct wit_version *version);  // for tests
const struct wit_interface *wit_package_interface(const struct wit_package *p, struct slice name);  // for tests
const struct wit_world *wit_package_world(const struct wit_package *p, struct slice name);
const struct wit_typedef *wit_interface_type(const struct wit_interface *i, struct slice name);  // for tests
const struct wit_func *wit_interface_func(const struct wit_interface *i, struct slice name);  // for tests
// "ns:pkg/iface@1.2.3" into `b`.
bool wit_interface_put_id(struct buf *b, const struct wit_interface *i);

// Prints WIT text. What is printed reads back as an equal model.
void wit_print_package(struct buf *b, const struct wit_package *p);  // for tests
// "ns:name@1.2.3", keywords escaped.
void wit_print_package_id(struct buf *b, const struct wit_package *p);
void wit_print_world(struct buf *b, const struct wit_world *w);
void wit_print_interface(struct buf *b, const struct wit_interface *i);
// Anonymous form; names come from `types` (NULL: all is spelled out, resources by their name).
void wit_print_type(struct buf *b, const struct wit_type *t, const struct wit_typedef *types, uint32_t n_types);  // for tests
void wit_print_func_type(struct buf *b, const struct wit_func_type *f, const struct wit_typedef *types, uint32_t n_types);
// Equality of two packages as types: names, order of cases, fields and parameters; docs do not count. `e` says where they differ.
// `subset`: what `found` has more of (interfaces, functions, types, worlds) is no difference.
bool wit_package_equal(const struct wit_package *expected, const struct wit_package *found, bool subset, struct err *e);  // for tests

// ---- WAVE ----

// `f(…)`, `iface#f(…)`, `ns:pkg/iface@1.0.0#f(…)`; slices point into the text.
struct wit_wave_call {
	struct slice iface;  // empty: any
	struct slice func;
	struct slice args;   // with the parentheses
};
NODISCARD bool wit_wave_split(struct slice text, struct wit_wave_call *ret, struct err *e);
// Parses "(a, b)" into a native params record at `ret` (type->params.size64 bytes, zeroed by this). Parts lie in the arena.
NODISCARD bool wit_wave_parse_args(struct arena *a, struct slice args, const struct wit_func_type *type, void *ret, struct err *e);
NODISCARD bool wit_wave_parse(struct arena *a, struct slice text, const struct wit_type *type, void *ret, struct err *e);
// Prints a native value. false: it holds something that WAVE has no form for (a handle).
NODISCARD bool wit_wave_print(struct buf *b, const struct wit_type *type, const void *value, struct err *e);
// The same of what may be long: `take` is called about each KiB of text or each thousand values, may empty the buffer, and ends it with false and *e.
struct wit_wave_sink {
	bool (*take)(void *ctx, struct buf *b, struct err *e);
	void *ctx;
	// What came by a stream or future, by its native value: it is printed as a list, or as the value (of a future exactly one). NULL: they have no form. false: *e.
	bool (*contents)(void *ctx, const struct wit_type *type, uint32_t number, const void **ret, size_t *ret_n, struct err *e);
};
NODISCARD bool wit_wave_print_to(struct buf *b, const struct wit_wave_sink *sink, const struct wit_type *type, const void *value, struct err *e);

#endif
