// Instructions on variables, tables, memories, segments and references that the body validator checks by hand.
#include "validate_int.h"

static wasm__word address_type(const struct wasm_limits *l)
{
	return l->is64 ? WASM_I64 : WASM_I32;
}

// ---- parametric, variables --------------------------------------------------------------------------------------------------
static bool op_select(struct validator *v, const struct rule *r)
{
	wasm__word a, b;
	if (!wasm__pop_want(v, WASM_I32, NULL) || !wasm__pop(v, &b) || !wasm__pop(v, &a))
		return false;
	if (wasm__is_ref(a) || wasm__is_ref(b)) {
		wasm__fail(&v->c, v->op_at, ERR_INVALID, "type mismatch: select without a type takes numbers and vectors only");
		return err_hint(v->c.e, "select (result t) takes references");
	}
	if (a != b && a != WASM__BOTTOM && b != WASM__BOTTOM)
		return wasm__mismatch(v, b, a);
	return wasm__push(v, a == WASM__BOTTOM ? b : a);
}

static bool op_select_t(struct validator *v, const struct rule *r)
{
	const uint8_t *at = v->c.p;
	uint32_t n;
	struct wasm_valtype t;
	if (!wasm__u32(&v->c, &n))
		return false;
	if (n != 1)
		return wasm__fail(&v->c, at, ERR_INVALID, "invalid result arity: select has one result, not %u", n);
	if (!wasm__valtype(&v->c, v->m->features, v->m->ntypes, &t) || !wasm__pop_want(v, WASM_I32, NULL))
		return false;
	return wasm__pop_want(v, wasm__pack(t), NULL) && wasm__pop_want(v, wasm__pack(t), NULL) && wasm__push(v, wasm__pack(t));
}

static bool op_global_get(struct validator *v, const struct rule *r)
{
	uint32_t g;
	return wasm__index(v, v->m->nglobals, "global", &g) && wasm__push(v, wasm__pack(v->m->globals[g].type.type));
}

static bool op_global_set(struct validator *v, const struct rule *r)
{
	uint32_t g;
	if (!wasm__index(v, v->m->nglobals, "global", &g))
		return false;
	if (!v->m->globals[g].type.mutable)
		return wasm__fail(&v->c, v->op_at, ERR_INVALID, "immutable global: global %u cannot be set", g);
	return wasm__pop_want(v, wasm__pack(v->m->globals[g].type.type), NULL);
}

// ---- tables -------------------------------------------------------------------------------------------------------------------
static bool read_table(struct validator *v, const struct wasm_table_type **ret)
{
	uint32_t t;
	if (!wasm__index(v, v->m->ntables, "table", &t))
		return false;
	*ret = &v->m->tables[t].type;
	return true;
}

static bool op_table_get(struct validator *v, const struct rule *r)
{
	const struct wasm_table_type *t;
	return read_table(v, &t) && wasm__pop_want(v, address_type(&t->limits), NULL) && wasm__push(v, wasm__pack(t->elem));
}

static bool op_table_set(struct validator *v, const struct rule *r)
{
	const struct wasm_table_type *t;
	return read_table(v, &t) && wasm__pop_want(v, wasm__pack(t->elem), NULL) && wasm__pop_want(v, address_type(&t->limits), NULL);
}

static bool op_table_size(struct validator *v, const struct rule *r)
{
	const struct wasm_table_type *t;
	return read_table(v, &t) && wasm__push(v, address_type(&t->limits));
}

static bool op_table_grow(struct validator *v, const struct rule *r)
{
	const struct wasm_table_type *t;
	wasm__count_call(v);
	return read_table(v, &t) && wasm__pop_want(v, address_type(&t->limits), NULL) && wasm__pop_want(v, wasm__pack(t->elem), NULL) &&
		wasm__push(v, address_type(&t->limits));
}

static bool op_table_fill(struct validator *v, const struct rule *r)
{
	const struct wasm_table_type *t;
	wasm__count_call(v);
	return read_table(v, &t) && wasm__pop_want(v, address_type(&t->limits), NULL) && wasm__pop_want(v, wasm__pack(t->elem), NULL) &&
		wasm__pop_want(v, address_type(&t->limits), NULL);
}

// Lengths of copies between an address type of 32 and one of 64 bits are of the smaller.
static bool pop_copy(struct validator *v, const struct wasm_limits *to, const struct wasm_limits *from)
{
	wasm__count_call(v);
	return wasm__pop_want(v, to->is64 && from->is64 ? WASM_I64 : WASM_I32, NULL) && wasm__pop_want(v, address_type(from), NULL) &&
		wasm__pop_want(v, address_type(to), NULL);
}

static bool op_table_copy(struct validator *v, const struct rule *r)
{
	const struct wasm_table_type *to, *from;
	if (!read_table(v, &to) || !read_table(v, &from))
		return false;
	if (!wasm__matches(v->m, wasm__pack(from->elem), wasm__pack(to->elem)))
		return wasm__mismatch(v, wasm__pack(from->elem), wasm__pack(to->elem));
	return pop_copy(v, &to->limits, &from->limits);
}

static bool pop_init(struct validator *v, const struct wasm_limits *to)
{
	wasm__count_call(v);
	return wasm__pop_want(v, WASM_I32, NULL) && wasm__pop_want(v, WASM_I32, NULL) && wasm__pop_want(v, address_type(to), NULL);
}

static bool op_table_init(struct validator *v, const struct rule *r)
{
	uint32_t elem;
	const struct wasm_table_type *t;
	if (!wasm__index(v, v->m->nelems, "elem segment", &elem) || !read_table(v, &t))
		return false;
	if (!wasm__matches(v->m, wasm__pack(v->m->elems[elem].type), wasm__pack(t->elem)))
		return wasm__mismatch(v, wasm__pack(v->m->elems[elem].type), wasm__pack(t->elem));
	return pop_init(v, &t->limits);
}

static bool op_elem_drop(struct validator *v, const struct rule *r)
{
	uint32_t elem;
	return wasm__index(v, v->m->nelems, "elem segment", &elem);
}

// ---- memories -------------------------------------------------------------------------------------------------------------------
static bool read_memory(struct validator *v, const struct wasm_limits **ret)
{
	uint32_t memory;
	if (!wasm__memory_index(v, &memory))
		return false;
	*ret = &v->m->memories[memory].limits;
	return true;
}

static bool op_memory_size(struct validator *v, const struct rule *r)
{
	const struct wasm_limits *l;
	return read_memory(v, &l) && wasm__push(v, address_type(l));
}

static bool op_memory_grow(struct validator *v, const struct rule *r)
{
	const struct wasm_limits *l;
	wasm__count_call(v);
	return read_memory(v, &l) && wasm__pop_want(v, address_type(l), NULL) && wasm__push(v, address_type(l));
}

static bool op_memory_fill(struct validator *v, const struct rule *r)
{
	const struct wasm_limits *l;
	wasm__count_call(v);
	return read_memory(v, &l) && wasm__pop_want(v, address_type(l), NULL) && wasm__pop_want(v, WASM_I32, NULL) && wasm__pop_want(v, address_type(l), NULL);
}

static bool op_memory_copy(struct validator *v, const struct rule *r)
{
	const struct wasm_limits *to, *from;
	return read_memory(v, &to) && read_memory(v, &from) && pop_copy(v, to, from);
}

static bool op_memory_init(struct validator *v, const struct rule *r)
{
	const struct wasm_limits *l;
	uint32_t data;
	return wasm__data_index(v, &data) && read_memory(v, &l) && pop_init(v, l);
}

static bool op_data_drop(struct validator *v, const struct rule *r)
{
	uint32_t data;
	return wasm__data_index(v, &data);
}

// ---- two results ----------------------------------------------------------------------------------------------------------------
// Halves of 128 bits: as many i64 as the row has.
static bool op_wide(struct validator *v, const struct rule *r)
{
	size_t n_in = strcspn(wasm_ops[r->op].sig, ":");
	for (size_t i = 0; i < n_in; i++)
		if (!wasm__pop_want(v, WASM_I64, NULL))
			return false;
	return wasm__push(v, WASM_I64) && wasm__push(v, WASM_I64);
}

// ---- references -------------------------------------------------------------------------------------------------------------------
static bool op_ref_null(struct validator *v, const struct rule *r)
{
	struct wasm_valtype t;
	return wasm__heaptype(&v->c, v->m->features, v->m->ntypes, &t) && wasm__push(v, wasm__pack(t));
}

static bool op_ref_is_null(struct validator *v, const struct rule *r)
{
	wasm__word ref;
	return wasm__pop_ref(v, &ref) && wasm__push(v, WASM_I32);
}

static bool op_ref_func(struct validator *v, const struct rule *r)
{
	uint32_t func;
	if (!wasm__index(v, v->m->nfuncs, "function", &func))
		return false;
	if (!v->m->funcs[func].declared) {
		wasm__fail(&v->c, v->op_at, ERR_INVALID, "undeclared function reference: function %u", func);
		return err_hint(v->c.e, "functions that code refers to must occur in an export, a global or an element segment");
	}
	return wasm__push(v, WASM__REF(0, WASM_HEAP_CONCRETE, v->m->funcs[func].type));
}

static bool op_ref_as_non_null(struct validator *v, const struct rule *r)
{
	wasm__word ref;
	return wasm__pop_ref(v, &ref) && wasm__push(v, wasm__non_null(ref));
}

wasm__hand *const wasm__hands[WASM_OP_COUNT] = {
	[WASM_OP_UNREACHABLE] = wasm__op_unreachable,
	[WASM_OP_BLOCK] = wasm__op_block,
	[WASM_OP_LOOP] = wasm__op_loop,
	[WASM_OP_IF] = wasm__op_if,
	[WASM_OP_ELSE] = wasm__op_else,
	[WASM_OP_THROW] = wasm__op_throw,
	[WASM_OP_THROW_REF] = wasm__op_throw_ref,
	[WASM_OP_TRY_TABLE] = wasm__op_try_table,
	[WASM_OP_TRY] = wasm__op_try,
	[WASM_OP_CATCH] = wasm__op_catch,
	[WASM_OP_CATCH_ALL] = wasm__op_catch_all,
	[WASM_OP_DELEGATE] = wasm__op_delegate,
	[WASM_OP_RETHROW] = wasm__op_rethrow,
	[WASM_OP_END] = wasm__op_end,
	[WASM_OP_BR] = wasm__op_br,
	[WASM_OP_BR_IF] = wasm__op_br_if,
	[WASM_OP_BR_TABLE] = wasm__op_br_table,
	[WASM_OP_RETURN] = wasm__op_return,
	[WASM_OP_CALL] = wasm__op_call,
	[WASM_OP_CALL_INDIRECT] = wasm__op_call_indirect,
	[WASM_OP_RETURN_CALL] = wasm__op_return_call,
	[WASM_OP_RETURN_CALL_INDIRECT] = wasm__op_return_call_indirect,
	[WASM_OP_CALL_REF] = wasm__op_call_ref,
	[WASM_OP_RETURN_CALL_REF] = wasm__op_return_call_ref,
	[WASM_OP_SELECT] = op_select,
	[WASM_OP_SELECT_T] = op_select_t,
	[WASM_OP_GLOBAL_GET] = op_global_get,
	[WASM_OP_GLOBAL_SET] = op_global_set,
	[WASM_OP_TABLE_GET] = op_table_get,
	[WASM_OP_TABLE_SET] = op_table_set,
	[WASM_OP_TABLE_SIZE] = op_table_size,
	[WASM_OP_TABLE_GROW] = op_table_grow,
	[WASM_OP_TABLE_FILL] = op_table_fill,
	[WASM_OP_TABLE_COPY] = op_table_copy,
	[WASM_OP_TABLE_INIT] = op_table_init,
	[WASM_OP_ELEM_DROP] = op_elem_drop,
	[WASM_OP_MEMORY_SIZE] = op_memory_size,
	[WASM_OP_MEMORY_GROW] = op_memory_grow,
	[WASM_OP_MEMORY_FILL] = op_memory_fill,
	[WASM_OP_MEMORY_COPY] = op_memory_copy,
	[WASM_OP_MEMORY_INIT] = op_memory_init,
	[WASM_OP_DATA_DROP] = op_data_drop,
	[WASM_OP_I64_ADD128] = op_wide,
	[WASM_OP_I64_SUB128] = op_wide,
	[WASM_OP_I64_MUL_WIDE_S] = op_wide,
	[WASM_OP_I64_MUL_WIDE_U] = op_wide,
	[WASM_OP_REF_NULL] = op_ref_null,
	[WASM_OP_REF_IS_NULL] = op_ref_is_null,
	[WASM_OP_REF_FUNC] = op_ref_func,
	[WASM_OP_REF_AS_NON_NULL] = op_ref_as_non_null,
	[WASM_OP_BR_ON_NULL] = wasm__op_br_on_null,
	[WASM_OP_BR_ON_NON_NULL] = wasm__op_br_on_non_null,
	[WASM_OP_REF_EQ] = wasm__op_ref_eq,
	[WASM_OP_STRUCT_NEW] = wasm__op_struct_new,
	[WASM_OP_STRUCT_NEW_DEFAULT] = wasm__op_struct_new,
	[WASM_OP_STRUCT_GET] = wasm__op_struct_get,
	[WASM_OP_STRUCT_GET_S] = wasm__op_struct_get,
	[WASM_OP_STRUCT_GET_U] = wasm__op_struct_get,
	[WASM_OP_STRUCT_SET] = wasm__op_struct_set,
	[WASM_OP_ARRAY_NEW] = wasm__op_array_new,
	[WASM_OP_ARRAY_NEW_DEFAULT] = wasm__op_array_new,
	[WASM_OP_ARRAY_NEW_FIXED] = wasm__op_array_new_fixed,
	[WASM_OP_ARRAY_NEW_DATA] = wasm__op_array_new_segment,
	[WASM_OP_ARRAY_NEW_ELEM] = wasm__op_array_new_segment,
	[WASM_OP_ARRAY_GET] = wasm__op_array_get,
	[WASM_OP_ARRAY_GET_S] = wasm__op_array_get,
	[WASM_OP_ARRAY_GET_U] = wasm__op_array_get,
	[WASM_OP_ARRAY_SET] = wasm__op_array_set,
	[WASM_OP_ARRAY_LEN] = wasm__op_array_len,
	[WASM_OP_ARRAY_FILL] = wasm__op_array_fill,
	[WASM_OP_ARRAY_COPY] = wasm__op_array_copy,
	[WASM_OP_ARRAY_INIT_DATA] = wasm__op_array_init,
	[WASM_OP_ARRAY_INIT_ELEM] = wasm__op_array_init,
	[WASM_OP_REF_TEST] = wasm__op_ref_test,
	[WASM_OP_REF_TEST_NULL] = wasm__op_ref_test,
	[WASM_OP_REF_CAST] = wasm__op_ref_cast,
	[WASM_OP_REF_CAST_NULL] = wasm__op_ref_cast,
	[WASM_OP_BR_ON_CAST] = wasm__op_br_on_cast,
	[WASM_OP_BR_ON_CAST_FAIL] = wasm__op_br_on_cast,
	[WASM_OP_ANY_CONVERT_EXTERN] = wasm__op_convert,
	[WASM_OP_EXTERN_CONVERT_ANY] = wasm__op_convert,
	[WASM_OP_REF_I31] = wasm__op_ref_i31,
	[WASM_OP_I31_GET_S] = wasm__op_i31_get,
	[WASM_OP_I31_GET_U] = wasm__op_i31_get,
};
