// What core modules import and export: module types, and what may stand for what when modules are instantiated. Core types themselves: core_type.c.
#include "comp_int.h"

static const char *const kind_names[] = {"func", "table", "memory", "global", "tag"};

const char *comp__core_kind_name(unsigned kind)
{
	return kind < ARRAY_LEN(kind_names) ? kind_names[kind] : "?";
}

// ---- types of real modules ----

// References to a module's own types become canonical ids.
static struct wasm_valtype canonical(const struct wasm_module *m, struct wasm_valtype t)
{
	if (t.kind == WASM_REF && t.heap == WASM_HEAP_CONCRETE && t.type < m->ntypes)
		t.type = m->types[t.type].id;
	return t;
}

static void extern_of(const struct wasm_module *m, unsigned kind, uint32_t index, struct core_extern *ret)
{
	ret->kind = (uint8_t)kind;
	switch ((enum wasm_extern_kind)kind) {
	case WASM_EXTERN_FUNC:
		ret->func = m->types[m->funcs[index].type].id;
		return;
	case WASM_EXTERN_TABLE:
		ret->table = m->tables[index].type;
		ret->table.elem = canonical(m, ret->table.elem);
		return;
	case WASM_EXTERN_MEMORY:
		ret->memory = m->memories[index];
		return;
	case WASM_EXTERN_GLOBAL:
		ret->global = m->globals[index].type;
		ret->global.type = canonical(m, ret->global.type);
		return;
	case WASM_EXTERN_TAG:
		ret->func = m->types[m->tags[index].type].id;
		return;
	}
}

static void import_names(const struct mtype *m, uint32_t i, struct slice *ret_module, struct slice *ret_name)
{
	*ret_module = m->wasm ? m->wasm->imports[i].module : m->imports[i].module;
	*ret_name = m->wasm ? m->wasm->imports[i].name : m->imports[i].name;
}

// Imports of one module mostly follow each other: its name is hashed once then.
bool comp__imports_differ(struct dec *d, const struct mtype *m)
{
	struct slots seen;
	struct slice module, name, before = {0}, module2, name2;
	uint64_t module_hash = map_hash(before);
	if (comp__is_known(d))
		return true;
	if (!slots_make(&seen, &d->s, m->nimports))
		return comp__full(d);
	for (uint32_t i = 0; i < m->nimports; i++, before = module) {
		uint32_t *slot;
		import_names(m, i, &module, &name);
		if (!slice_eq(module, before))
			module_hash = map_hash(module);
		for (uint64_t h = map_hash(name) + 3 * module_hash; *(slot = slots_at(&seen, h)); h++) {
			import_names(m, *slot - 1, &module2, &name2);
			if (slice_eq(name, name2) && slice_eq(module, module2))
				return FAIL(d, INVALID, "duplicate import name `%.*s:%.*s`", SLICE_ARGS(module), SLICE_ARGS(name));
		}
		*slot = i + 1;
	}
	return true;
}

bool comp__mtype_of(struct dec *d, const struct wasm_module *m, const struct mtype **ret)
{
	struct mtype *t = NEW(d, struct mtype);
	if (!t)
		return comp__full(d);
	*t = (struct mtype){.wasm = m, .nimports = m->nimports, .nexports = m->nexports};
	*ret = t;
	return true;
}

void comp__mtype_import(const struct mtype *m, uint32_t index, struct core_item *ret)
{
	if (!m->wasm) {
		*ret = m->imports[index];
		return;
	}
	const struct wasm_import *x = &m->wasm->imports[index];
	ret->module = x->module;
	ret->name = x->name;
	extern_of(m->wasm, x->kind, x->index, &ret->type);
}

bool comp__mtype_index(struct dec *d, struct mtype *m)
{
	map_init(&m->by_name, &d->s);
	if (!map_reserve(&m->by_name, m->nexports))
		return comp__full(d);
	for (uint32_t i = 0; i < m->nexports; i++) {
		bool nomem = false;
		if (!map_insert(&m->by_name, m->exports[i].name, i, &nomem))
			return nomem ? comp__full(d)
						 : FAIL(d, INVALID, "export name `%.*s` already defined", SLICE_ARGS(m->exports[i].name));
	}
	return true;
}

bool comp__mtype_find(const struct mtype *m, struct slice name, struct core_extern *ret, uint32_t *ret_index)
{
	uintptr_t i;
	if (m->wasm) {
		const struct wasm_export *x = wasm_module_find_export(m->wasm, name);
		if (!x)
			return false;
		*ret_index = (uint32_t)(x - m->wasm->exports);
		extern_of(m->wasm, x->kind, x->index, ret);
		return true;
	}
	if (!m->by_name.len || !map_get(&m->by_name, name, &i))
		return false;
	*ret_index = (uint32_t)i;
	*ret = m->exports[i].type;
	return true;
}

// ---- matching ----

static bool limits_match(const struct wasm_limits *found, const struct wasm_limits *expected)
{
	if (found->is64 != expected->is64 || found->min < expected->min)
		return false;
	return !expected->has_max || (found->has_max && found->max <= expected->max);
}

static const char *valtype_name(struct wasm_valtype t)
{
	static const char *const names[] = {"i32", "i64", "f32", "f64", "v128"};
	if (t.kind != WASM_REF)
		return names[t.kind];
	return t.heap == WASM_HEAP_FUNC ? "funcref" : t.heap == WASM_HEAP_EXTERN ? "externref"
																			 : "(ref …)";
}

static void put_func(struct dec *d, struct buf *b, uint32_t id)
{
	const struct wasm_func_type *f = comp__core_func(d, id);
	buf_put_str(b, "(func");
	for (uint32_t i = 0; f && i < f->nparams; i++)
		buf_printf(b, "%s%s", i ? " " : " (param ", valtype_name(f->params[i]));
	buf_put_str(b, f && f->nparams ? ")" : "");
	for (uint32_t i = 0; f && i < f->nresults; i++)
		buf_printf(b, "%s%s", i ? " " : " (result ", valtype_name(f->results[i]));
	buf_put_str(b, f && f->nresults ? "))" : ")");
}

static bool func_differs(struct dec *d, uint32_t found, uint32_t expected)
{
	struct buf b = {.max = 2000};
	buf_put_str(&b, "type mismatch: expected: ");
	put_func(d, &b, expected);
	buf_put_str(&b, ", found: ");
	put_func(d, &b, found);
	FAIL(d, INVALID, "%.*s", SLICE_ARGS(buf_view(&b)));
	buf_release(&b);
	return false;
}

bool comp__core_match(struct dec *d, const struct core_extern *found, const struct core_extern *expected)
{
	if (found->kind != expected->kind)
		return FAIL(d, INVALID, "type mismatch: expected %s, found %s", comp__core_kind_name(expected->kind), comp__core_kind_name(found->kind));
	switch (found->kind) {
	case WASM_EXTERN_TABLE:
		if (!comp__valtype_same(found->table.elem, expected->table.elem))
			return FAIL(d, INVALID, "type mismatch: expected table element type %s, found %s", valtype_name(expected->table.elem),
				valtype_name(found->table.elem));
		return limits_match(&found->table.limits, &expected->table.limits) || FAIL(d, INVALID, "type mismatch: mismatch in table limits");
	case WASM_EXTERN_MEMORY:
		if (found->memory.limits.shared != expected->memory.limits.shared)
			return FAIL(d, INVALID, "type mismatch: mismatch in the shared flag for memories");
		return (found->memory.page_shift == expected->memory.page_shift && limits_match(&found->memory.limits, &expected->memory.limits)) ||
			FAIL(d, INVALID, "type mismatch: mismatch in memory limits");
	case WASM_EXTERN_GLOBAL:
		if (found->global.mutable != expected->global.mutable)
			return FAIL(d, INVALID, "type mismatch: global types differ in mutability");
		if (expected->global.mutable ? comp__valtype_same(found->global.type, expected->global.type) : comp__valtype_sub(d, found->global.type, expected->global.type))
			return true;
		return FAIL(d, INVALID, "type mismatch: expected global type %s, found %s", valtype_name(expected->global.type),
			valtype_name(found->global.type));
	case WASM_EXTERN_TAG:
		return found->func == expected->func || func_differs(d, found->func, expected->func);
	default:
		return comp__core_sub(d, found->func, expected->func) || func_differs(d, found->func, expected->func);
	}
}

static bool find_import(const struct mtype *m, const struct core_item *want, struct core_item *ret)
{
	struct slice module, name;
	for (uint32_t i = 0; i < m->nimports; i++) {
		import_names(m, i, &module, &name);
		if (slice_eq(name, want->name) && slice_eq(module, want->module)) {
			comp__mtype_import(m, i, ret);
			return true;
		}
	}
	return false;
}

// A module that needs no more and gives no less.
bool comp__module_match(struct dec *d, const struct mtype *found, const struct mtype *expected)
{
	if (!comp__steps(d, 1 + (uint64_t)found->nimports * expected->nimports + expected->nexports))
		return false;
	for (uint32_t i = 0; i < found->nimports; i++) {
		struct core_item f, x;
		comp__mtype_import(found, i, &f);
		if (!find_import(expected, &f, &x))
			return FAIL(d, INVALID, "missing expected import `%.*s::%.*s`", SLICE_ARGS(f.module), SLICE_ARGS(f.name));
		if (!comp__core_match(d, &x.type, &f.type))
			return err_note(d->e, "type mismatch in import `%.*s::%.*s`", SLICE_ARGS(f.module), SLICE_ARGS(f.name));
	}
	for (uint32_t i = 0; i < expected->nexports; i++) {
		struct core_extern f, x;
		uint32_t at;
		struct slice name = expected->wasm ? expected->wasm->exports[i].name : expected->exports[i].name;
		if (!comp__mtype_find(expected, name, &x, &at) || !comp__mtype_find(found, name, &f, &at))
			return FAIL(d, INVALID, "missing expected export `%.*s`", SLICE_ARGS(name));
		if (!comp__core_match(d, &f, &x))
			return err_note(d->e, "type mismatch in export `%.*s`", SLICE_ARGS(name));
	}
	return true;
}

// ---- module types ----

static bool core_limits(struct dec *d, struct wasm_limits *ret, bool is_memory)
{
	uint8_t flags;
	uint32_t min32 = 0, max32 = 0;
	struct wasm_limits l = {0};
	if (!comp__u8(d, &flags))
		return false;
	if (flags > 0x07)
		return comp__bad_byte(d, flags, "limits");
	if (flags & 2 && !comp__need_core(d, WASM_FEATURE_THREADS, comp__offset(d) - 1, "shared memory"))
		return false;
	if (flags & 4 && !comp__need_core(d, WASM_FEATURE_MEMORY64, comp__offset(d) - 1, "a 64-bit memory or table"))
		return false;
	l.has_max = flags & 1;
	l.shared = flags & 2;
	l.is64 = flags & 4;
	if (l.is64 ? !comp__u64(d, &l.min) || (l.has_max && !comp__u64(d, &l.max)) : !comp__u32(d, &min32) || (l.has_max && !comp__u32(d, &max32)))
		return false;
	if (!l.is64) {
		l.min = min32;
		l.max = max32;
	}
	uint64_t most = UINT64_C(1) << (l.is64 ? 48 : 16);
	if (l.has_max && l.max < l.min)
		return FAIL(d, INVALID, "size minimum must not be greater than maximum");
	if (is_memory && (l.min > most || l.max > most))
		return FAIL(d, INVALID, "memory size must be at most %s", l.is64 ? "2**48 pages" : "65536 pages (4GiB)");
	if (l.shared && (!is_memory || !l.has_max))
		return FAIL(d, INVALID, "shared memory must have maximum size");
	*ret = l;
	return true;
}

static bool core_extern_type(struct dec *d, const struct core_types *types, struct core_extern *ret)
{
	uint8_t kind, mut;
	uint32_t index;
	if (!comp__u8(d, &kind))
		return false;
	*ret = (struct core_extern){.kind = kind};
	switch (kind) {
	case WASM_EXTERN_TAG:
		if (!comp__need_core(d, WASM_FEATURE_EXCEPTIONS, comp__offset(d) - 1, "a tag") || !comp__byte_is(d, 0, "tag attribute"))
			return false;
		__attribute__((fallthrough));
	case WASM_EXTERN_FUNC:
		if (!comp__u32(d, &index))
			return false;
		if (index >= types->len)
			return FAIL(d, INVALID, "unknown type %u: type index out of bounds", index);
		ret->func = types->ptr[index].id;
		return comp__core_func(d, ret->func) || FAIL(d, INVALID, "type index %u is not a function type", index);
	case WASM_EXTERN_TABLE:
		return comp__core_valtype(d, types, &ret->table.elem) &&
			(ret->table.elem.kind == WASM_REF || FAIL(d, MALFORMED, "malformed reference type")) && core_limits(d, &ret->table.limits, false);
	case WASM_EXTERN_MEMORY:
		ret->memory.page_shift = 16;
		return core_limits(d, &ret->memory.limits, true);
	case WASM_EXTERN_GLOBAL:
		if (!comp__core_valtype(d, types, &ret->global.type) || !comp__u8(d, &mut))
			return false;
		if (mut > 1)
			return FAIL(d, MALFORMED, "malformed mutability");
		ret->global.mutable = mut;
		return true;
	default:
		return comp__bad_byte(d, kind, "core external kind");
	}
}

struct module_decl {
	struct core_types types;
	VEC(struct core_item)
	imports, exports;
};

static bool module_alias(struct dec *d, struct scope *s, struct module_decl *m)
{
	uint8_t sort, target;
	uint32_t count, index;
	if (!comp__u8(d, &sort))
		return false;
	if (sort != 0x10)
		return comp__bad_byte(d, sort, "outer alias kind");
	if (!comp__u8(d, &target))
		return false;
	if (target != 0x01)
		return comp__bad_byte(d, target, "outer alias target");
	if (!comp__u32(d, &count) || !comp__u32(d, &index))
		return false;
	if (count == 0) {
		if (index >= m->types.len)
			return FAIL(d, INVALID, "unknown type %u: type index out of bounds", index);
		return PUSH(d, &m->types, m->types.ptr[index]);
	}
	for (; s && count > 1; count--)
		s = s->outer;
	if (!s)
		return FAIL(d, INVALID, "invalid outer alias count of %u", count);
	if (index >= s->core_types.len)
		return FAIL(d, INVALID, "unknown type %u: type index out of bounds", index);
	if (s->core_types.ptr[index].module)
		return FAIL(d, INVALID, "outer type alias of a module type is not allowed in a module type");
	return PUSH(d, &m->types, s->core_types.ptr[index]);
}

// A bare 0x50 is a subtype here: there are no module types in module types.
static bool module_type_decl(struct dec *d, struct module_decl *m)
{
	uint8_t b;
	if (!comp__u8(d, &b))
		return false;
	return b == 0 ? comp__prefixed_sub_type(d, &m->types) : comp__rec_type(d, &m->types, b);
}

static bool module_decl(struct dec *d, struct scope *s, struct module_decl *m)
{
	uint8_t b;
	struct core_item it = {0};
	if (!comp__u8(d, &b))
		return false;
	switch (b) {
	case 0x00:
		return comp__name(d, &it.module) && comp__name(d, &it.name) && core_extern_type(d, &m->types, &it.type) &&
			PUSH(d, &m->imports, it);
	case 0x01:
		return module_type_decl(d, m);
	case 0x02:
		return module_alias(d, s, m);
	case 0x03:
		return comp__name(d, &it.name) && core_extern_type(d, &m->types, &it.type) && PUSH(d, &m->exports, it);
	default:
		return comp__bad_byte(d, b, "type definition");
	}
}

static bool module_type(struct dec *d, struct scope *s, struct core_type *ret)
{
	struct module_decl m = {0};
	uint32_t n;
	if (!comp__count(d, &n))
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!module_decl(d, s, &m))
			return false;
	struct mtype *t = NEW(d, struct mtype);
	if (!t)
		return comp__full(d);
	*t = (struct mtype){.nimports = m.imports.len, .nexports = m.exports.len, .imports = m.imports.ptr, .exports = m.exports.ptr};
	*ret = (struct core_type){.module = t};
	return comp__imports_differ(d, t) && comp__mtype_index(d, t);
}

bool comp__core_type(struct dec *d, struct scope *s)
{
	uint8_t b;
	struct core_type t;
	if (!comp__u8(d, &b))
		return false;
	if (b == 0x50)  // C4
		return module_type(d, s, &t) && PUSH(d, &s->core_types, t);
	return b == 0 ? comp__prefixed_sub_type(d, &s->core_types) : comp__rec_type(d, &s->core_types, b);
}
