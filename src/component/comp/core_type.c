// Core types in components: function, structure and array types, their recursion groups and subtypes (Binary.md, "Type Definitions"; core
// specification 3.0, "Recursive Types").
//
// A core type is named by a number that is equal for equal types. Function types that core modules of this engine can have are the process's own
// (wasm_intern_func_type); all others are numbered here, from LOCAL on, and live as long as the decoding does: they can only be matched.
#include "comp_int.h"

#define LOCAL (UINT32_C(1) << 31)
#define MAX_SUPERTYPES 63
#define MAX_FIELDS 10000
#define MAX_FUNC_VALUES 1000
enum { REC = 1 };  // wasm_valtype.group: `type` counts within the recursion group

enum form { FORM_FUNC = WASM_FORM_FUNC, FORM_STRUCT = WASM_FORM_STRUCT, FORM_ARRAY = WASM_FORM_ARRAY };
// Fields as values, parameters and results too: params first.
struct comp__subtype {
	uint8_t form;
	bool is_final, has_super;
	struct wasm_valtype super;  // as a reference, so that it may count within the group
	uint32_t depth;             // of supertypes
	uint32_t nparams, n;
	struct wasm_valtype *values;  // packed storage types are WASM_I32 with `nullable` 8 or 16
	uint8_t *mutable;             // of fields
	struct wasm_func_type func;
	uint32_t plain;  // a function type as if it stood alone, or 0
};

static const struct comp__subtype *local(const struct dec *d, uint32_t id)
{
	return id >= LOCAL ? &d->subtypes.ptr[id - LOCAL] : NULL;
}

static unsigned form_of(const struct dec *d, uint32_t id)
{
	const struct comp__subtype *t = local(d, id);
	const struct wasm_type *of_process = t ? NULL : wasm_interned_type(id);
	return t ? t->form : of_process ? of_process->form
									: FORM_FUNC;
}

const struct wasm_func_type *comp__core_func(const struct dec *d, uint32_t id)
{
	const struct comp__subtype *t = local(d, id);
	if (!t)
		return wasm_interned_func_type(id);
	return t->form == FORM_FUNC ? &t->func : NULL;
}

bool comp__core_func_is(const struct dec *d, uint32_t id, uint32_t want)
{
	const struct comp__subtype *t = local(d, id);
	return id == want || (t && t->plain == want);
}

// ---- matching ----

bool comp__core_sub(const struct dec *d, uint32_t id, uint32_t super)
{
	const struct comp__subtype *t;
	while (id != super && (t = local(d, id)) && t->has_super)
		id = t->super.type;
	return id == super || (id < LOCAL && super < LOCAL && wasm_type_is_sub(id, super));
}

static bool heap_sub(const struct dec *d, struct wasm_valtype a, struct wasm_valtype b)
{
	bool concrete = a.heap == WASM_HEAP_CONCRETE;
	unsigned form = concrete ? form_of(d, a.type) : 0;
	if (b.heap == WASM_HEAP_CONCRETE) {
		if (concrete)
			return comp__core_sub(d, a.type, b.type);
		return a.heap == (form_of(d, b.type) == FORM_FUNC ? WASM_HEAP_NOFUNC : WASM_HEAP_NONE);
	}
	switch (b.heap) {
	case WASM_HEAP_FUNC:
		return a.heap == WASM_HEAP_FUNC || a.heap == WASM_HEAP_NOFUNC || (concrete && form == FORM_FUNC);
	case WASM_HEAP_EXTERN:
		return a.heap == WASM_HEAP_EXTERN || a.heap == WASM_HEAP_NOEXTERN;
	case WASM_HEAP_ANY:
	case WASM_HEAP_EQ:
		return (a.heap >= b.heap && a.heap <= WASM_HEAP_NONE) || (concrete && form != FORM_FUNC);
	case WASM_HEAP_STRUCT:
		return a.heap == WASM_HEAP_STRUCT || a.heap == WASM_HEAP_NONE || (concrete && form == FORM_STRUCT);
	case WASM_HEAP_ARRAY:
		return a.heap == WASM_HEAP_ARRAY || a.heap == WASM_HEAP_NONE || (concrete && form == FORM_ARRAY);
	case WASM_HEAP_I31:
		return a.heap == WASM_HEAP_I31 || a.heap == WASM_HEAP_NONE;
	case WASM_HEAP_EXN:
		return a.heap == WASM_HEAP_EXN || a.heap == WASM_HEAP_NOEXN;
	default:
		return a.heap == b.heap;
	}
}

bool comp__valtype_same(struct wasm_valtype a, struct wasm_valtype b)
{
	return a.kind == b.kind && a.nullable == b.nullable && a.heap == b.heap && a.type == b.type && a.group == b.group;
}

bool comp__valtype_sub(const struct dec *d, struct wasm_valtype found, struct wasm_valtype expected)
{
	if (found.kind != WASM_REF || expected.kind != WASM_REF)
		return comp__valtype_same(found, expected);
	return (!found.nullable || expected.nullable) && heap_sub(d, found, expected);
}

static bool fields_match(const struct dec *d, const struct comp__subtype *t, const struct comp__subtype *super)
{
	if (t->n < super->n)
		return false;
	for (uint32_t i = 0; i < super->n; i++)
		if (t->mutable[i] != super->mutable[i] ||
			!(t->mutable[i] ? comp__valtype_same(t->values[i], super->values[i]) : comp__valtype_sub(d, t->values[i], super->values[i])))
			return false;
	return true;
}

static bool subtype_matches(const struct dec *d, const struct comp__subtype *t, const struct comp__subtype *super)
{
	if (t->form != super->form)
		return false;
	if (t->form != FORM_FUNC)
		return fields_match(d, t, super);
	if (t->n != super->n || t->nparams != super->nparams)
		return false;
	for (uint32_t i = 0; i < t->n; i++)
		if (!(i < t->nparams ? comp__valtype_sub(d, super->values[i], t->values[i]) : comp__valtype_sub(d, t->values[i], super->values[i])))
			return false;
	return true;
}

// ---- value types ----

// The types that may be named: those of a scope or module type, and `group` more that are being read.
struct space {
	const struct core_types *known;
	uint32_t group;
};

static bool type_index(struct dec *d, const struct space *s, uint32_t index, struct wasm_valtype *ret)
{
	*ret = (struct wasm_valtype){.kind = WASM_REF, .heap = WASM_HEAP_CONCRETE};
	if (index - s->known->len < s->group) {
		ret->type = index - s->known->len;
		ret->group = REC;
		return true;
	}
	if (index >= s->known->len)
		return FAIL(d, INVALID, "unknown type %u: type index out of bounds", index);
	if (s->known->ptr[index].module)
		return FAIL(d, INVALID, "type index %u is a module type", index);
	ret->type = s->known->ptr[index].id;
	return true;
}

static bool abstract_heap(uint8_t code, uint8_t *ret)
{
	static const struct {
		uint8_t code, heap;
	} heaps[] = {{0x70, WASM_HEAP_FUNC}, {0x6f, WASM_HEAP_EXTERN}, {0x73, WASM_HEAP_NOFUNC}, {0x72, WASM_HEAP_NOEXTERN}, {0x6e, WASM_HEAP_ANY}, {0x6d, WASM_HEAP_EQ},
		{0x6c, WASM_HEAP_I31}, {0x6b, WASM_HEAP_STRUCT}, {0x6a, WASM_HEAP_ARRAY}, {0x71, WASM_HEAP_NONE}, {0x69, WASM_HEAP_EXN}, {0x74, WASM_HEAP_NOEXN}};
	for (size_t i = 0; i < ARRAY_LEN(heaps); i++)
		if (heaps[i].code == code) {
			*ret = heaps[i].heap;
			return true;
		}
	return false;
}

// What a reference needs of the core features.
static bool need_heap(struct dec *d, uint8_t heap, bool is_short)
{
	uint32_t feature = heap <= WASM_HEAP_EXTERN            ? (is_short ? WASM_FEATURE_REFERENCE_TYPES : WASM_FEATURE_FUNCTION_REFERENCES)
		: heap == WASM_HEAP_CONCRETE                       ? WASM_FEATURE_FUNCTION_REFERENCES
		: heap == WASM_HEAP_EXN || heap == WASM_HEAP_NOEXN ? WASM_FEATURE_EXCEPTIONS
														   : WASM_FEATURE_GC;
	return comp__need_core(d, feature, comp__offset(d) - 1, heap <= WASM_HEAP_EXTERN ? "a reference type" : "a reference of this type");
}

// Behind 0x63 or 0x64.
static bool heap_type(struct dec *d, const struct space *s, bool nullable, struct wasm_valtype *ret)
{
	int64_t index;
	*ret = (struct wasm_valtype){.kind = WASM_REF};
	if (d->p < d->end && (*d->p & 0xc0) == 0x40) {
		uint8_t code = *d->p++;
		if (!abstract_heap(code, &ret->heap))
			return comp__bad_byte(d, code, "heap type");
	} else {
		if (!comp__s33(d, &index))
			return false;
		if (index < 0)
			return FAIL(d, MALFORMED, "invalid leading byte for heap type");
		if (!type_index(d, s, (uint32_t)index, ret))
			return false;
	}
	ret->nullable = nullable;
	return need_heap(d, ret->heap, false);
}

static bool valtype(struct dec *d, const struct space *s, struct wasm_valtype *ret)
{
	static const uint8_t numbers[] = {WASM_V128, WASM_F64, WASM_F32, WASM_I64, WASM_I32};  // 0x7b to 0x7f
	uint8_t b;
	if (!comp__u8(d, &b))
		return false;
	*ret = (struct wasm_valtype){0};
	if (b >= 0x7b && b <= 0x7f) {
		ret->kind = numbers[b - 0x7b];
		return b != 0x7b || comp__need_core(d, WASM_FEATURE_SIMD, comp__offset(d) - 1, "v128");
	}
	if (b == 0x63 || b == 0x64)
		return heap_type(d, s, b == 0x63, ret);
	if (!abstract_heap(b, &ret->heap))
		return comp__bad_byte(d, b, "value type");
	ret->kind = WASM_REF;
	ret->nullable = true;
	return need_heap(d, ret->heap, true);
}

bool comp__core_valtype(struct dec *d, const struct core_types *types, struct wasm_valtype *ret)
{
	return valtype(d, &(struct space){.known = types}, ret);
}

// ---- composite types, subtypes, recursion groups ----

static bool grow_values(struct dec *d, struct comp__subtype *t, uint32_t n)
{
	struct wasm_valtype *values = ARENA_ARRAY(&d->s, struct wasm_valtype, t->n + n);
	if (!values)
		return comp__full(d);
	if (t->n)
		memcpy(values, t->values, t->n * sizeof(*values));
	t->values = values;
	t->n += n;
	return true;
}

static bool func_values(struct dec *d, const struct space *s, struct comp__subtype *t)
{
	uint32_t n, from = t->n;
	if (!comp__count(d, &n))
		return false;
	if (n > MAX_FUNC_VALUES)
		return FAIL(d, LIMIT, "a core function type has %u parameters or results; %u are allowed", n, MAX_FUNC_VALUES);
	if (!grow_values(d, t, n))
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!valtype(d, s, &t->values[from + i]))
			return false;
	return true;
}

static bool field(struct dec *d, const struct space *s, struct wasm_valtype *ret, uint8_t *ret_mutable)
{
	if (d->p < d->end && (*d->p == 0x78 || *d->p == 0x77)) {
		*ret = (struct wasm_valtype){.kind = WASM_I32, .nullable = *d->p == 0x78 ? 8 : 16};
		d->p++;
	} else if (!valtype(d, s, ret)) {
		return false;
	}
	if (!comp__u8(d, ret_mutable))
		return false;
	return *ret_mutable <= 1 || FAIL_AT(d, MALFORMED, comp__offset(d) - 1, "malformed mutability");
}

static bool fields(struct dec *d, const struct space *s, struct comp__subtype *t, uint32_t n)
{
	if (n > MAX_FIELDS)
		return FAIL(d, LIMIT, "a core structure type has %u fields; %u are allowed", n, MAX_FIELDS);
	t->mutable = arena_alloc(&d->s, n ? n : 1, 1);
	if (!t->mutable)
		return comp__full(d);
	if (!grow_values(d, t, n))
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!field(d, s, &t->values[i], &t->mutable[i]))
			return false;
	return true;
}

static bool composite(struct dec *d, const struct space *s, uint8_t code, struct comp__subtype *t)
{
	uint32_t n;
	switch (code) {
	case 0x60:
		t->form = FORM_FUNC;
		if (!func_values(d, s, t))
			return false;
		t->nparams = t->n;
		return func_values(d, s, t);
	case 0x5f:
		t->form = FORM_STRUCT;
		return comp__need_core(d, WASM_FEATURE_GC, comp__offset(d) - 1, "a structure type") && comp__count(d, &n) && fields(d, s, t, n);
	case 0x5e:
		t->form = FORM_ARRAY;
		return comp__need_core(d, WASM_FEATURE_GC, comp__offset(d) - 1, "an array type") && fields(d, s, t, 1);
	default:
		return comp__bad_byte(d, code, "type definition");
	}
}

// subtype; `code` has been read. The supertype must come before: `place` is the type's own in the group.
static bool subtype(struct dec *d, const struct space *s, uint8_t code, uint32_t place, struct comp__subtype *t)
{
	uint32_t n, index;
	*t = (struct comp__subtype){.is_final = code != 0x50};
	if (code != 0x50 && code != 0x4f)
		return composite(d, s, code, t);
	if (!comp__need_core(d, WASM_FEATURE_GC, comp__offset(d) - 1, "a subtype") || !comp__count(d, &n))
		return false;
	if (n > 1)
		return FAIL(d, INVALID, "a type has %u supertypes; one is allowed", n);
	t->has_super = n;
	if (n && (!comp__u32(d, &index) || !type_index(d, s, index, &t->super)))
		return false;
	if (n && t->super.group == REC && t->super.type >= place)
		return FAIL(d, INVALID, "supertypes must be defined before subtypes");
	return comp__u8(d, &code) && composite(d, s, code, t);
}

static bool is_plain_value(struct wasm_valtype v)
{
	return v.kind != WASM_REF || v.heap < WASM_HEAP_CONCRETE || (v.heap == WASM_HEAP_CONCRETE && v.type < LOCAL);
}

// Could a core module of this engine have it? Its number then; 0: not. A reference to itself is written as 0 (wasm's rule).
static bool plain_func(struct dec *d, const struct comp__subtype *t, uint32_t *ret)
{
	*ret = 0;
	if (t->form != FORM_FUNC)
		return true;
	struct wasm_valtype *values = arena_copy(&d->s, t->values ? t->values : (const void *)"", t->n * sizeof(*values), _Alignof(struct wasm_valtype));
	if (!values)
		return comp__full(d);
	for (uint32_t i = 0; i < t->n; i++) {
		if (!is_plain_value(values[i]) || (values[i].group == REC && values[i].type != 0))
			return true;
		values[i].group = 0;
	}
	*ret = wasm_intern_func_type(&(struct wasm_func_type){t->nparams, t->n - t->nparams, values, values + t->nparams});
	return *ret || err_nomem(d->e);
}

// What two groups must agree on to be one.
static bool group_key(struct dec *d, const struct comp__subtype *list, uint32_t n, struct slice *ret)
{
	struct buf b = {0};
	for (uint32_t i = 0; i < n; i++) {
		const struct comp__subtype *t = &list[i];
		uint32_t head[] = {t->form, t->is_final, t->has_super, t->nparams, t->n};
		buf_put(&b, head, sizeof head);
		buf_put(&b, &t->super, sizeof t->super);
		if (t->n)
			buf_put(&b, t->values, t->n * sizeof(*t->values));
		if (t->n && t->mutable)
			buf_put(&b, t->mutable, t->n);
	}
	bool ok = !b.failed && slice_dup(&d->s, buf_view(&b), ret);
	buf_release(&b);
	return ok || comp__full(d);
}

static void place_in(struct wasm_valtype *v, uint32_t first)
{
	if (v->group == REC) {
		v->group = 0;
		v->type += first;
	}
}

static bool check_super(struct dec *d, const struct comp__subtype *t, uint32_t *ret_depth)
{
	const struct comp__subtype *super = local(d, t->super.type);
	if (!super || super->is_final)  // those of the process were written without `sub`
		return FAIL(d, INVALID, "sub type cannot have a final super type");
	if (!subtype_matches(d, t, super))
		return FAIL(d, INVALID, "sub type must match super type");
	*ret_depth = super->depth + 1;
	return *ret_depth <= MAX_SUPERTYPES || FAIL(d, LIMIT, "sub type hierarchy too deep: more than %u", MAX_SUPERTYPES);
}

// Numbers a group that was not there before.
static bool add_group(struct dec *d, struct comp__subtype *list, uint32_t n, uint32_t first)
{
	for (uint32_t i = 0; i < n; i++) {
		struct comp__subtype *t = &list[i];
		if (!plain_func(d, t, &t->plain))
			return false;
		place_in(&t->super, first);
		for (uint32_t k = 0; k < t->n; k++)
			place_in(&t->values[k], first);
		t->func = (struct wasm_func_type){t->nparams, t->n - t->nparams, t->values, t->values + t->nparams};
		if (!PUSH(d, &d->subtypes, *t))
			return false;
	}
	for (uint32_t i = 0; i < n; i++) {
		struct comp__subtype *t = &d->subtypes.ptr[first - LOCAL + i];
		if (t->has_super && !check_super(d, t, &t->depth))
			return false;
	}
	return true;
}

static bool number_group(struct dec *d, struct comp__subtype *list, uint32_t n, uint32_t *ret_first)
{
	struct slice key;
	uintptr_t known;
	bool nomem = false;
	if (n == 1 && list->is_final && !list->has_super) {
		if (!plain_func(d, list, ret_first))
			return false;
		if (*ret_first)
			return true;
	}
	if (!group_key(d, list, n, &key))
		return false;
	if (d->groups.len && map_get(&d->groups, key, &known)) {
		*ret_first = (uint32_t)known;
		return true;
	}
	*ret_first = LOCAL + d->subtypes.len;
	if (!d->groups.len)
		map_init(&d->groups, &d->s);
	return add_group(d, list, n, *ret_first) && (map_insert(&d->groups, key, *ret_first, &nomem) || comp__full(d));
}

bool comp__rec_type(struct dec *d, struct core_types *types, uint8_t code)
{
	uint32_t n = 1, first;
	bool is_group = code == 0x4e;
	if (is_group && (!comp__need_core(d, WASM_FEATURE_GC, comp__offset(d) - 1, "a recursion group") || !comp__count(d, &n)))
		return false;
	struct space s = {.known = types, .group = n};
	struct comp__subtype *list = ARENA_ARRAY(&d->s, struct comp__subtype, n);
	if (!list)
		return comp__full(d);
	for (uint32_t i = 0; i < n; i++)
		if ((is_group && !comp__u8(d, &code)) || !subtype(d, &s, code, i, &list[i]))
			return false;
	if (n && !number_group(d, list, n, &first))
		return false;
	for (uint32_t i = 0; i < n; i++) {
		struct core_type t = {.id = first + i};
		if (!PUSH(d, types, t))
			return false;
	}
	return true;
}

// A non-final subtype outside of a group has 0x00 before it, where 0x50 alone is a module type.
bool comp__prefixed_sub_type(struct dec *d, struct core_types *types)
{
	return comp__byte_is(d, 0x50, "non-final sub type") && comp__rec_type(d, types, 0x50);
}
