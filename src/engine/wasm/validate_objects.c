// Instructions on structures, arrays, i31 and casts of the body validator.
#include "validate_int.h"

static wasm__word ref_null(uint32_t type)
{
	return WASM__REF(1, WASM_HEAP_CONCRETE, type);
}

static bool push_ref(struct validator *v, uint32_t type)
{
	return wasm__push(v, WASM__REF(0, WASM_HEAP_CONCRETE, type));
}

static bool check_defaults(struct validator *v, uint32_t type)
{
	const struct wasm_type *t = &v->m->types[type];
	for (uint32_t i = 0; i < t->nfields; i++)
		if (!wasm__is_defaultable(t->fields[i].type))
			return wasm__fail(&v->c, v->op_at, ERR_INVALID, "type mismatch: a field of type %u has no default value", type);
	return true;
}

// Where the sign is said the field is packed, and nowhere else.
static bool check_packed(struct validator *v, const struct wasm_field *f, bool says_sign)
{
	if (says_sign == (f->packed != 0))
		return true;
	return wasm__fail(&v->c, v->op_at, ERR_INVALID, f->packed ? "type mismatch: the field is packed: _s or _u" : "type mismatch: the field is not packed");
}

static bool check_mutable(struct validator *v, const struct wasm_field *f)
{
	return f->mutable ? true : wasm__fail(&v->c, v->op_at, ERR_INVALID, "immutable field or array");
}

// ---- structures -----------------------------------------------------------------------------------------------------
bool wasm__op_struct_new(struct validator *v, const struct rule *r)
{
	uint32_t type;
	wasm__count_call(v);
	if (!wasm__type_index(v, WASM_FORM_STRUCT, &type))
		return false;
	const struct wasm_type *t = &v->m->types[type];
	if (!wasm__list_values(v, t->nfields))
		return false;
	if (r->op == WASM_OP_STRUCT_NEW_DEFAULT)
		return check_defaults(v, type) && push_ref(v, type);
	for (uint32_t i = t->nfields; i; i--)
		if (!wasm__pop_want(v, wasm__pack(t->fields[i - 1].type), NULL))
			return false;
	return push_ref(v, type);
}

static bool read_field(struct validator *v, uint32_t *ret_type, const struct wasm_field **ret)
{
	uint32_t field;
	if (!wasm__type_index(v, WASM_FORM_STRUCT, ret_type) || !wasm__index(v, v->m->types[*ret_type].nfields, "field", &field))
		return false;
	*ret = &v->m->types[*ret_type].fields[field];
	return true;
}

bool wasm__op_struct_get(struct validator *v, const struct rule *r)
{
	uint32_t type;
	const struct wasm_field *f;
	return read_field(v, &type, &f) && check_packed(v, f, r->op != WASM_OP_STRUCT_GET) && wasm__pop_want(v, ref_null(type), NULL) &&
		wasm__push(v, wasm__pack(f->type));
}

bool wasm__op_struct_set(struct validator *v, const struct rule *r)
{
	uint32_t type;
	const struct wasm_field *f;
	return read_field(v, &type, &f) && check_mutable(v, f) && wasm__pop_want(v, wasm__pack(f->type), NULL) && wasm__pop_want(v, ref_null(type), NULL);
}

// ---- arrays ---------------------------------------------------------------------------------------------------------
static bool read_array(struct validator *v, uint32_t *ret_type, const struct wasm_field **ret)
{
	if (!wasm__type_index(v, WASM_FORM_ARRAY, ret_type))
		return false;
	*ret = v->m->types[*ret_type].fields;
	return true;
}

bool wasm__op_array_new(struct validator *v, const struct rule *r)
{
	uint32_t type;
	const struct wasm_field *f;
	wasm__count_call(v);
	if (!read_array(v, &type, &f) || !wasm__pop_want(v, WASM_I32, NULL))
		return false;
	if (r->op == WASM_OP_ARRAY_NEW_DEFAULT)
		return check_defaults(v, type) && push_ref(v, type);
	return wasm__pop_want(v, wasm__pack(f->type), NULL) && push_ref(v, type);
}

bool wasm__op_array_new_fixed(struct validator *v, const struct rule *r)
{
	uint32_t type, n;
	const struct wasm_field *f;
	wasm__count_call(v);
	if (!read_array(v, &type, &f))
		return false;
	const uint8_t *at = v->c.p;
	if (!wasm__u32(&v->c, &n))
		return false;
	if (n > LIMIT_FIXED_OPERANDS)
		return wasm__fail_limit(&v->c, at, "operands of array.new_fixed", LIMIT_FIXED_OPERANDS);
	if (!wasm__list_values(v, n))
		return false;
	for (; n; n--)
		if (!wasm__pop_want(v, wasm__pack(f->type), NULL))
			return false;
	return push_ref(v, type);
}

// Segments: bytes for numbers and vectors, elements for references.
static bool read_segment(struct validator *v, bool is_data, const struct wasm_field *f)
{
	uint32_t segment;
	if (is_data) {
		if (f->type.kind == WASM_REF)
			return wasm__fail(&v->c, v->op_at, ERR_INVALID, "type mismatch: an array of references has no bytes of data: array type is not numeric or vector");
		return wasm__data_index(v, &segment);
	}
	if (!wasm__index(v, v->m->nelems, "elem segment", &segment))
		return false;
	wasm__word have = wasm__pack(v->m->elems[segment].type), want = wasm__pack(f->type);
	return wasm__matches(v->m, have, want) ? true : wasm__mismatch(v, have, want);
}

bool wasm__op_array_new_segment(struct validator *v, const struct rule *r)
{
	uint32_t type;
	const struct wasm_field *f;
	wasm__count_call(v);
	return read_array(v, &type, &f) && read_segment(v, r->op == WASM_OP_ARRAY_NEW_DATA, f) && wasm__pop_want(v, WASM_I32, NULL) &&
		wasm__pop_want(v, WASM_I32, NULL) && push_ref(v, type);
}

bool wasm__op_array_get(struct validator *v, const struct rule *r)
{
	uint32_t type;
	const struct wasm_field *f;
	return read_array(v, &type, &f) && check_packed(v, f, r->op != WASM_OP_ARRAY_GET) && wasm__pop_want(v, WASM_I32, NULL) &&
		wasm__pop_want(v, ref_null(type), NULL) && wasm__push(v, wasm__pack(f->type));
}

bool wasm__op_array_set(struct validator *v, const struct rule *r)
{
	uint32_t type;
	const struct wasm_field *f;
	return read_array(v, &type, &f) && check_mutable(v, f) && wasm__pop_want(v, wasm__pack(f->type), NULL) && wasm__pop_want(v, WASM_I32, NULL) &&
		wasm__pop_want(v, ref_null(type), NULL);
}

bool wasm__op_array_len(struct validator *v, const struct rule *r)
{
	return wasm__pop_want(v, WASM__REF(1, WASM_HEAP_ARRAY, 0), NULL) && wasm__push(v, WASM_I32);
}

bool wasm__op_array_fill(struct validator *v, const struct rule *r)
{
	uint32_t type;
	const struct wasm_field *f;
	wasm__count_call(v);
	return read_array(v, &type, &f) && check_mutable(v, f) && wasm__pop_want(v, WASM_I32, NULL) && wasm__pop_want(v, wasm__pack(f->type), NULL) &&
		wasm__pop_want(v, WASM_I32, NULL) && wasm__pop_want(v, ref_null(type), NULL);
}

bool wasm__op_array_copy(struct validator *v, const struct rule *r)
{
	uint32_t to, from;
	const struct wasm_field *f, *g;
	wasm__count_call(v);
	if (!read_array(v, &to, &f) || !read_array(v, &from, &g) || !check_mutable(v, f))
		return false;
	if (f->packed != g->packed || !wasm__matches(v->m, wasm__pack(g->type), wasm__pack(f->type)))
		return wasm__fail(&v->c, v->op_at, ERR_INVALID, "type mismatch: array types do not match: elements of type %u can't be copied to type %u", from, to);
	return wasm__pop_want(v, WASM_I32, NULL) && wasm__pop_want(v, WASM_I32, NULL) && wasm__pop_want(v, ref_null(from), NULL) &&
		wasm__pop_want(v, WASM_I32, NULL) && wasm__pop_want(v, ref_null(to), NULL);
}

bool wasm__op_array_init(struct validator *v, const struct rule *r)
{
	uint32_t type;
	const struct wasm_field *f;
	wasm__count_call(v);
	return read_array(v, &type, &f) && check_mutable(v, f) && read_segment(v, r->op == WASM_OP_ARRAY_INIT_DATA, f) && wasm__pop_want(v, WASM_I32, NULL) &&
		wasm__pop_want(v, WASM_I32, NULL) && wasm__pop_want(v, WASM_I32, NULL) && wasm__pop_want(v, ref_null(type), NULL);
}

// ---- casts ----------------------------------------------------------------------------------------------------------
// The top of the hierarchy that a reference to t belongs to.
static unsigned top_of(const struct wasm_module *m, struct wasm_valtype t)
{
	switch (t.heap) {
	case WASM_HEAP_FUNC:
	case WASM_HEAP_NOFUNC:
		return WASM_HEAP_FUNC;
	case WASM_HEAP_EXTERN:
	case WASM_HEAP_NOEXTERN:
		return WASM_HEAP_EXTERN;
	case WASM_HEAP_EXN:
	case WASM_HEAP_NOEXN:
		return WASM_HEAP_EXN;
	case WASM_HEAP_CONCRETE:
		return m->types[t.type].form == WASM_FORM_FUNC ? WASM_HEAP_FUNC : WASM_HEAP_ANY;
	}
	return WASM_HEAP_ANY;
}

// Pops what may be cast to the type that follows.
static bool pop_castable(struct validator *v, const struct rule *r, struct wasm_valtype *ret)
{
	if (!wasm__heaptype(&v->c, v->m->features, v->m->ntypes, ret))
		return false;
	ret->nullable = r->op == WASM_OP_REF_TEST_NULL || r->op == WASM_OP_REF_CAST_NULL;
	return wasm__pop_want(v, WASM__REF(1, (uint8_t)top_of(v->m, *ret), 0), NULL);
}

bool wasm__op_ref_test(struct validator *v, const struct rule *r)
{
	struct wasm_valtype t;
	return pop_castable(v, r, &t) && wasm__push(v, WASM_I32);
}

bool wasm__op_ref_cast(struct validator *v, const struct rule *r)
{
	struct wasm_valtype t;
	return pop_castable(v, r, &t) && wasm__push(v, wasm__pack(t));
}

bool wasm__op_ref_eq(struct validator *v, const struct rule *r)
{
	wasm__word eq = WASM__REF(1, WASM_HEAP_EQ, 0);
	return wasm__pop_want(v, eq, NULL) && wasm__pop_want(v, eq, NULL) && wasm__push(v, WASM_I32);
}

bool wasm__op_convert(struct validator *v, const struct rule *r)
{
	bool to_any = r->op == WASM_OP_ANY_CONVERT_EXTERN;
	wasm__word have;
	if (!wasm__pop_want(v, WASM__REF(1, to_any ? WASM_HEAP_EXTERN : WASM_HEAP_ANY, 0), &have))
		return false;
	bool nullable = have != WASM__BOTTOM && wasm__unpack(have).nullable;
	return wasm__push(v, WASM__REF(nullable, to_any ? WASM_HEAP_ANY : WASM_HEAP_EXTERN, 0));
}

bool wasm__op_ref_i31(struct validator *v, const struct rule *r)
{
	return wasm__pop_want(v, WASM_I32, NULL) && wasm__push(v, WASM__REF(0, WASM_HEAP_I31, 0));
}

bool wasm__op_i31_get(struct validator *v, const struct rule *r)
{
	return wasm__pop_want(v, WASM__REF(1, WASM_HEAP_I31, 0), NULL) && wasm__push(v, WASM_I32);
}
