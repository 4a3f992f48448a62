// Type definitions of components: value, function, resource, component and instance types. Nesting of scopes is bounded by COMP_MAX_NESTING.
#include "comp_int.h"

#define MAX_MEMBERS 100000  // of a record, variant, tuple, enum or parameter list

// ---- index spaces ----

uint32_t comp__space(const struct scope *s, unsigned sort)
{
	switch ((enum sort)sort) {
	case SORT_CORE_TYPE:
		return s->core_types.len;
	case SORT_MODULE:
		return s->modules.len;
	case SORT_CORE_INSTANCE:
		return s->core_instances.len;
	case SORT_FUNC:
		return s->funcs.len;
	case SORT_TYPE:
		return s->types.len;
	case SORT_COMPONENT:
		return s->components.len;
	case SORT_INSTANCE:
		return s->instances.len;
	case SORT_VALUE:
	case SORT_COUNT:
		return 0;
	default:
		return s->core[sort].len;
	}
}

bool comp__index(struct dec *d, const struct scope *s, unsigned sort, uint32_t index)
{
	const char *name = comp__sort_name(sort);
	return index < comp__space(s, sort) || FAIL(d, INVALID, "unknown %s %u: %s index out of bounds", name, index, name);
}

bool comp__scope_init(struct dec *d, struct scope *s, unsigned kind, struct scope *outer)
{
	if (d->nesting >= COMP_MAX_NESTING)
		return FAIL(d, LIMIT, "components and types are nested more than %u deep", COMP_MAX_NESTING);
	*s = (struct scope){.kind = (uint8_t)kind, .outer = outer, .binder = NEW(d, struct binder), .size = 1, .depth = 1};
	if (!s->binder)
		return comp__full(d);
	s->binder->is_component = kind == SCOPE_COMPONENT;
	map_init(&s->import_names.keys, &d->s);
	map_init(&s->import_names.resources, &d->s);
	map_init(&s->export_names.keys, &d->s);
	map_init(&s->export_names.resources, &d->s);
	s->import_names.names_types = s->export_names.names_types = true;
	return true;
}

// ---- value types ----

static const uint8_t primitive_codes[] = {
	[WIT_BOOL] = 0x7f,
	[WIT_S8] = 0x7e,
	[WIT_U8] = 0x7d,
	[WIT_S16] = 0x7c,
	[WIT_U16] = 0x7b,
	[WIT_S32] = 0x7a,
	[WIT_U32] = 0x79,
	[WIT_S64] = 0x78,
	[WIT_U64] = 0x77,
	[WIT_F32] = 0x76,
	[WIT_F64] = 0x75,
	[WIT_CHAR] = 0x74,
	[WIT_STRING] = 0x73,
	[WIT_ERROR_CONTEXT] = 0x64,
};
_Static_assert(ARRAY_LEN(primitive_codes) == WIT_N_PRIMITIVES, "each primitive has a code");

static const struct wit_type *primitive(uint8_t code)
{
	for (unsigned i = 0; i < WIT_N_PRIMITIVES; i++)
		if (primitive_codes[i] == code)
			return wit_type_primitive((enum wit_kind)i);
	return NULL;
}

// The primitive type of a code, which has just been read.
static bool primitive_type(struct dec *d, uint8_t code, const char *what, const struct wit_type **ret)
{
	*ret = primitive(code);
	if (*ret && (*ret)->kind == WIT_ERROR_CONTEXT && !comp__need(d, COMP_FEATURE_ERROR_CONTEXT, comp__offset(d) - 1, "`error-context`"))
		return false;
	return *ret || comp__bad_byte(d, code, what);
}

bool comp__valtype(struct dec *d, struct scope *s, const struct wit_type **ret)
{
	int64_t index;
	if (d->p < d->end && (*d->p & 0xc0) == 0x40)
		return primitive_type(d, *d->p++, "component value type", ret);
	if (!comp__s33(d, &index))
		return false;
	if (index < 0)
		return FAIL(d, MALFORMED, "invalid leading byte for component value type");
	if (!comp__index(d, s, SORT_TYPE, (uint32_t)index))
		return false;
	if (s->types.ptr[index].kind != TY_VALUE)
		return FAIL(d, INVALID, "type index %u is not a defined type", (unsigned)index);
	*ret = s->types.ptr[index].value;
	return true;
}

static bool optional_valtype(struct dec *d, struct scope *s, const struct wit_type **ret)
{
	uint8_t b;
	*ret = NULL;
	if (!comp__u8(d, &b))
		return false;
	return b == 0 || (b == 1 ? comp__valtype(d, s, ret) : comp__bad_byte(d, b, "optional component value type"));
}

static bool member_count(struct dec *d, uint32_t *ret)
{
	if (!comp__count(d, ret))
		return false;
	return *ret <= MAX_MEMBERS || FAIL(d, LIMIT, "a type has %u members; %u are allowed", *ret, MAX_MEMBERS);
}

enum member_form { MEMBER_FIELD, MEMBER_CASE, MEMBER_LABEL, MEMBER_TYPE };

// vec of fields (label and type), cases, labels or types.
static bool members(struct dec *d, struct scope *s, unsigned form, struct wit_member **ret, uint32_t *ret_n)
{
	uint32_t n;
	if (!member_count(d, &n))
		return false;
	struct wit_member *list = ARENA_ARRAY(&d->s, struct wit_member, n);
	if (!list)
		return comp__full(d);
	for (uint32_t i = 0; i < n; i++) {
		if (form != MEMBER_TYPE && !comp__name(d, &list[i].name))
			return false;
		if (form == MEMBER_CASE && (!optional_valtype(d, s, &list[i].type) || !comp__byte_is(d, 0, "zero byte required")))
			return false;
		if ((form == MEMBER_FIELD || form == MEMBER_TYPE) && !comp__valtype(d, s, &list[i].type))
			return false;
	}
	*ret = list;
	*ret_n = n;
	return true;
}

static bool handle_type(struct dec *d, struct scope *s, bool is_own, const struct wit_type **ret)
{
	uint32_t index;
	if (!comp__u32(d, &index) || !comp__index(d, s, SORT_TYPE, index))
		return false;
	if (s->types.ptr[index].kind != TY_RESOURCE)
		return FAIL(d, INVALID, "type index %u is not a resource type", index);
	const struct wit_resource *r = &s->types.ptr[index].res->wit;
	return is_own ? wit_type_own(d->a, r, ret, d->e) : wit_type_borrow(d->a, r, ret, d->e);
}

static bool stream_type(struct dec *d, struct scope *s, bool is_stream, const struct wit_type **ret)
{
	const struct wit_type *elem;
	const char *what = is_stream ? "stream" : "future";
	if (!comp__need(d, COMP_FEATURE_ASYNC, comp__offset(d) - 1, is_stream ? "`stream`" : "`future`"))
		return false;
	if (!optional_valtype(d, s, &elem))
		return false;
	if (elem && elem->flags & WIT_HAS_BORROW)
		return FAIL(d, INVALID, "`%s` element type cannot contain a `borrow` type", what);
	if (is_stream && elem && elem->kind == WIT_CHAR)  // C7
		return FAIL(d, INVALID, "`stream<char>` is not valid at this time");
	return is_stream ? wit_type_stream(d->a, elem, ret, d->e) : wit_type_future(d->a, elem, ret, d->e);
}

static bool empty_is_invalid(struct dec *d, uint32_t n, const char *text)
{
	return n > 0 || FAIL(d, INVALID, "%s", text);
}

static bool labels_type(struct dec *d, struct scope *s, bool is_flags, const struct wit_type **ret)
{
	struct wit_member *list;
	uint32_t n;
	if (!members(d, s, MEMBER_LABEL, &list, &n) ||
		!empty_is_invalid(d, n, is_flags ? "flags must have at least one entry" : "enum type must have at least one variant"))
		return false;
	struct slice *labels = ARENA_ARRAY(&d->s, struct slice, n);
	if (!labels)
		return comp__full(d);
	for (uint32_t i = 0; i < n; i++)
		labels[i] = list[i].name;
	return is_flags ? wit_type_flags(d->a, labels, n, ret, d->e) : wit_type_enum(d->a, labels, n, ret, d->e);
}

static bool tuple_type(struct dec *d, struct scope *s, const struct wit_type **ret)
{
	struct wit_member *list;
	uint32_t n;
	if (!members(d, s, MEMBER_TYPE, &list, &n) || !empty_is_invalid(d, n, "tuple type must have at least one type"))
		return false;
	const struct wit_type **types = ARENA_ARRAY(&d->s, const struct wit_type *, n);
	if (!types)
		return comp__full(d);
	for (uint32_t i = 0; i < n; i++)
		types[i] = list[i].type;
	return wit_type_tuple(d->a, types, n, ret, d->e);
}

static bool value_type(struct dec *d, struct scope *s, uint8_t code, const struct wit_type **ret)
{
	const struct wit_type *t, *u;
	struct wit_member *list;
	uint32_t n;
	switch (code) {
	case 0x72:
		return members(d, s, MEMBER_FIELD, &list, &n) && empty_is_invalid(d, n, "record type must have at least one field") &&
			wit_type_record(d->a, list, n, ret, d->e);
	case 0x71:
		return members(d, s, MEMBER_CASE, &list, &n) && empty_is_invalid(d, n, "variant type must have at least one case") &&
			wit_type_variant(d->a, list, n, ret, d->e);
	case 0x70:
		return comp__valtype(d, s, &t) && wit_type_list(d->a, t, ret, d->e);
	case 0x67:
		return comp__need(d, COMP_FEATURE_FIXED_LISTS, comp__offset(d) - 1, "a list of a fixed length") && comp__valtype(d, s, &t) && comp__u32(d, &n) && empty_is_invalid(d, n, "fixed-length list must have at least one element") &&
			wit_type_fixed_list(d->a, t, n, ret, d->e);
	case 0x6f:
		return tuple_type(d, s, ret);
	case 0x6e:
	case 0x6d:
		return labels_type(d, s, code == 0x6e, ret);
	case 0x6b:
		return comp__valtype(d, s, &t) && wit_type_option(d->a, t, ret, d->e);
	case 0x6a:
		return optional_valtype(d, s, &t) && optional_valtype(d, s, &u) && wit_type_result(d->a, t, u, ret, d->e);
	case 0x69:
	case 0x68:
		return handle_type(d, s, code == 0x69, ret);
	case 0x66:
	case 0x65:
		return stream_type(d, s, code == 0x66, ret);
	case 0x63:
		return comp__need(d, COMP_FEATURE_MAP, comp__offset(d) - 1, "`map`") && comp__valtype(d, s, &t) && comp__valtype(d, s, &u) && wit_type_map(d->a, t, u, ret, d->e);
	default:
		return primitive_type(d, code, "component defined type", ret);
	}
}

// ---- functions, resources ----

bool comp__result_list(struct dec *d, struct scope *s, const struct wit_type **ret)
{
	uint8_t b;
	*ret = NULL;
	if (!comp__u8(d, &b))
		return false;
	if (b == 0)
		return comp__valtype(d, s, ret);
	return b == 1 ? comp__byte_is(d, 0, "number of results") : comp__bad_byte(d, b, "component function results");
}

static bool func_type(struct dec *d, struct scope *s, bool is_async, const struct wit_func_type **ret)
{
	struct wit_member *params;
	const struct wit_type *result;
	uint32_t n;
	return members(d, s, MEMBER_FIELD, &params, &n) && comp__result_list(d, s, &result) &&
		wit_func_type_make(d->a, params, n, result, is_async, ret, d->e);
}

// The canonical id of (func (param rep)).
static uint32_t dtor_type(bool is_rep64)
{
	const struct wasm_valtype rep = {.kind = is_rep64 ? WASM_I64 : WASM_I32};
	return wasm_intern_func_type(&(struct wasm_func_type){.nparams = 1, .params = &rep});
}

static bool resource_rep(struct dec *d, bool *ret_is64)
{
	uint8_t rep;
	if (!comp__u8(d, &rep))
		return false;
	if (rep != 0x7f && rep != 0x7e)
		return FAIL(d, INVALID, "resources can only be represented by `i32`");
	*ret_is64 = rep == 0x7e;
	return !*ret_is64 || comp__need(d, COMP_FEATURE_MEMORY64, comp__offset(d) - 1, "a resource that is represented by `i64`");
}

bool comp__dtor_check(struct dec *d, const struct scope *s, uint32_t func, bool is_rep64)
{
	return comp__core_func_is(d, s->core[SORT_CORE_FUNC].ptr[func].func, dtor_type(is_rep64)) ||
		FAIL(d, INVALID, "wrong signature for a destructor: core function %u is not (func (param %s))", func, is_rep64 ? "i64" : "i32");
}

static bool resource_dtor(struct dec *d, struct scope *s, bool is_rep64, uint32_t *ret)
{
	uint8_t has_dtor;
	*ret = COMP_NONE;
	if (!comp__u8(d, &has_dtor))
		return false;
	if (has_dtor > 1)
		return comp__bad_byte(d, has_dtor, "optional destructor");
	if (!has_dtor)
		return true;
	if (!comp__u32(d, ret) || !comp__index(d, s, SORT_CORE_FUNC, *ret))
		return false;
	return comp__dtor_check(d, s, *ret, is_rep64);
}

static bool resource_type(struct dec *d, struct scope *s, uint64_t at, struct ty *ret)
{
	uint32_t dtor;
	bool is_rep64;
	if (s->kind != SCOPE_COMPONENT)
		return FAIL_AT(d, INVALID, at, "resources can only be defined within a concrete component");
	if (!resource_rep(d, &is_rep64) || !resource_dtor(d, s, is_rep64, &dtor))
		return false;
	struct res *r = comp__res_new(d, s->binder, slice_of("", 0));
	const struct entity e = {.ty = {.kind = TY_RESOURCE, .res = r}};
	struct op *op = r ? comp__op_of(d, s, OP_RESOURCE, at, &e) : NULL;
	if (!op)
		return false;
	r->is_local = true;
	r->is_rep64 = is_rep64;
	*ret = e.ty;
	op->b = dtor;
	return true;
}

// ---- component and instance types ----

static bool type_decl(struct dec *d, struct scope *s)
{
	uint8_t b;
	if (!comp__u8(d, &b))
		return false;
	switch (b) {
	case 0x00:
		return comp__core_type(d, s);
	case 0x01:
		return comp__type(d, s);
	case 0x02:
		return comp__alias(d, s);
	case 0x04:
		return comp__export_decl(d, s);
	case 0x03:
		if (s->kind == SCOPE_CTYPE)
			return comp__import(d, s);
		__attribute__((fallthrough));
	default:
		return comp__bad_byte(d, b, "component or instance type declaration");
	}
}

static bool scope_type(struct dec *d, struct scope *outer, unsigned kind, struct ty *ret)
{
	struct scope s;
	uint32_t n;
	if (!comp__scope_init(d, &s, kind, outer) || !comp__count(d, &n))
		return false;
	d->nesting++;
	for (uint32_t i = 0; i < n; i++)
		if (!type_decl(d, &s))
			return false;
	d->nesting--;
	if (kind == SCOPE_ITYPE) {
		struct itype *t = NEW(d, struct itype);
		if (!t)
			return comp__full(d);
		*t = (struct itype){.binder = s.binder, .exports = s.exports, .size = s.size, .depth = s.depth};
		*ret = (struct ty){.kind = TY_INSTANCE, .inst = t};
	} else {
		struct ctype *t = NEW(d, struct ctype);
		if (!t)
			return comp__full(d);
		*t = (struct ctype){.binder = s.binder, .imports = s.imports, .exports = s.exports, .size = s.size, .depth = s.depth};
		*ret = (struct ty){.kind = TY_COMPONENT, .comp = t};
	}
	return true;
}

static bool def_type(struct dec *d, struct scope *s, uint64_t at, struct ty *ret)
{
	uint8_t b;
	if (!comp__u8(d, &b))
		return false;
	switch (b) {
	case 0x3f:
		return resource_type(d, s, at, ret);
	case 0x40:
	case 0x43:
		ret->kind = TY_FUNC;
		return (b == 0x40 || comp__need(d, COMP_FEATURE_ASYNC, comp__offset(d) - 1, "an async function type")) && func_type(d, s, b == 0x43, &ret->func);
	case 0x41:
		return scope_type(d, s, SCOPE_CTYPE, ret);
	case 0x42:
		return scope_type(d, s, SCOPE_ITYPE, ret);
	default:
		ret->kind = TY_VALUE;
		return value_type(d, s, b, &ret->value);
	}
}

bool comp__type(struct dec *d, struct scope *s)
{
	uint64_t at = comp__offset(d);
	struct ty t = {0};
	if (!def_type(d, s, at, &t))
		return comp__at(d, at);
	if (s->kind == SCOPE_COMPONENT && t.kind != TY_RESOURCE && !comp__op(d, s, OP_TYPE, at))
		return false;
	return PUSH(d, &s->types, t);
}

// ---- extern types ----

static bool typed_index(struct dec *d, struct scope *s, unsigned kind, const char *what, struct ty *ret)
{
	uint32_t index;
	if (!comp__u32(d, &index) || !comp__index(d, s, SORT_TYPE, index))
		return false;
	*ret = s->types.ptr[index];
	return ret->kind == kind || FAIL(d, INVALID, "type index %u is not %s type", index, what);
}

static bool type_bound(struct dec *d, struct scope *s, struct entity *ret)
{
	uint8_t b;
	uint32_t index;
	if (!comp__u8(d, &b))
		return false;
	if (b > 1)
		return comp__bad_byte(d, b, "type bound");
	ret->is_sub = b == 1;
	ret->ty.kind = TY_RESOURCE;
	if (b == 1)
		return true;
	if (!comp__u32(d, &index) || !comp__index(d, s, SORT_TYPE, index))
		return false;
	ret->ty = s->types.ptr[index];
	return true;
}

bool comp__extern_type(struct dec *d, struct scope *s, struct entity *ret)
{
	uint8_t b, core;
	uint32_t index;
	*ret = (struct entity){0};
	if (!comp__u8(d, &b))
		return false;
	if (b > 5)
		return comp__bad_byte(d, b, "component external kind");
	ret->kind = b;
	switch (b) {
	case COMP_EXTERN_MODULE:
		if (!comp__u8(d, &core))
			return false;
		if (core != 0x11)
			return comp__bad_byte(d, core, "component external kind");
		if (!comp__u32(d, &index) || !comp__index(d, s, SORT_CORE_TYPE, index))
			return false;
		ret->module = s->core_types.ptr[index].module;
		return ret->module || FAIL(d, INVALID, "core type index %u is not a module type", index);
	case COMP_EXTERN_FUNC:
		return typed_index(d, s, TY_FUNC, "a function", &ret->ty);
	case COMP_EXTERN_TYPE:
		return type_bound(d, s, ret);
	case COMP_EXTERN_COMPONENT:
		return typed_index(d, s, TY_COMPONENT, "a component", &ret->ty);
	case COMP_EXTERN_INSTANCE:
		return typed_index(d, s, TY_INSTANCE, "an instance", &ret->ty);
	default:
		return FAIL(d, UNSUPPORTED, "component values are not supported");
	}
}
