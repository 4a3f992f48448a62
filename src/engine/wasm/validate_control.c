// Control instructions of the body validator.
#include "validate_int.h"

// ---- blocks -------------------------------------------------------------------------------------------------------------
struct block_type {
	const wasm__word *params, *results;
	uint32_t nparams, nresults;
	wasm__word inline_result;
};

static bool read_block_type(struct validator *v, struct block_type *ret)
{
	const uint8_t *at = v->c.p;
	*ret = (struct block_type){0};
	if (at == v->c.end)
		return wasm__fail(&v->c, at, ERR_MALFORMED, "unexpected end");
	if (*at == 0x40) {
		v->c.p++;
		return true;
	}
	if ((*at & 0xc0) == 0x40) {
		struct wasm_valtype t;
		if (!wasm__valtype(&v->c, v->m->features, v->m->ntypes, &t))
			return false;
		ret->inline_result = wasm__pack(t);
		ret->nresults = 1;
		return true;
	}
	uint64_t index;
	if (!wasm__leb_slow(&v->c, 33, true, &index))
		return false;
	if ((int64_t)index < 0)
		return wasm__fail(&v->c, at, ERR_MALFORMED, "malformed block type");
	if (!(v->m->features & WASM_FEATURE_MULTI_VALUE))
		return wasm__fail_feature(&v->c, at, WASM_FEATURE_MULTI_VALUE, "block type");
	if (index >= v->m->ntypes)
		return wasm__fail(&v->c, at, ERR_INVALID, "unknown type %llu", (unsigned long long)index);
	if (v->m->types[index].form != WASM_FORM_FUNC)
		return wasm__fail(&v->c, at, ERR_INVALID, "type %llu is not a function's", (unsigned long long)index);
	const struct wasm_func_type *t = &v->m->types[index].func;
	*ret = (struct block_type){wasm__words(t->params), wasm__words(t->results), t->nparams, t->nresults, 0};
	return true;
}

static bool open_block(struct validator *v, uint16_t op, const struct block_type *t)
{
	if (!wasm__push_ctrl(v, op, t->params, t->nparams, t->results, t->nresults))
		return false;
	if (t->nresults && !t->results) {
		v->frame->inline_result = t->inline_result;
		v->frame->results = &v->frame->inline_result;
	}
	return true;
}

static bool begin(struct validator *v, uint16_t op)
{
	struct block_type t;
	if (!read_block_type(v, &t))
		return false;
	if (op == WASM_OP_IF && !wasm__pop_want(v, WASM_I32, NULL))
		return false;
	return wasm__pop_all(v, t.params, t.nparams) && open_block(v, op, &t);
}

bool wasm__op_block(struct validator *v, const struct rule *r)
{
	return begin(v, r->op);
}

bool wasm__op_if(struct validator *v, const struct rule *r)
{
	return begin(v, r->op);
}

bool wasm__op_loop(struct validator *v, const struct rule *r)
{
	if (!begin(v, r->op))
		return false;
	v->has_loops = true;
	v->weight = v->weight > UINT32_MAX / 8 ? UINT32_MAX : v->weight * 8;
	return true;
}

// In the place of a frame that was popped: the next part of its block, with its results.
static bool open_next(struct validator *v, uint16_t op, const struct frame *f, const wasm__word *params, uint32_t nparams)
{
	bool inlined = f->results == &f->inline_result;
	if (!wasm__push_ctrl(v, op, params, nparams, f->results, f->nresults))
		return false;
	if (inlined) {
		v->frame->inline_result = f->inline_result;
		v->frame->results = &v->frame->inline_result;
	}
	return true;
}

// Pops the frame of an `if` and opens that of its `else`. The types of the frame stay where they are.
bool wasm__op_else(struct validator *v, const struct rule *r)
{
	struct frame f;
	if (v->frame->op != WASM_OP_IF)
		return wasm__fail(&v->c, v->op_at, ERR_MALFORMED, "else found outside of an `if` block");
	return wasm__pop_ctrl(v, &f) && open_next(v, WASM_OP_ELSE, &f, f.params, f.nparams);
}

bool wasm__op_end(struct validator *v, const struct rule *r)
{
	struct frame f;
	bool last = v->frame == v->s->frames;
	if (!wasm__pop_ctrl(v, &f))
		return false;
	if (f.op == WASM_OP_IF) {
		// Without an else the parameters are the results.
		bool same = f.nparams == f.nresults;
		for (uint32_t i = 0; same && i < f.nparams; i++)
			same = wasm__matches(v->m, f.params[i], f.results[i]);
		if (!same)
			return wasm__fail(&v->c, v->op_at, ERR_INVALID, "type mismatch: an if without else must leave what it takes");
	}
	v->done = last;
	return last || wasm__push_all(v, f.results, f.nresults);
}

// ---- branches -----------------------------------------------------------------------------------------------------------
struct label {
	const wasm__word *types;
	uint32_t n;
};

static struct label label_of(const struct frame *f)
{
	return f->op == WASM_OP_LOOP ? (struct label){f->params, f->nparams} : (struct label){f->results, f->nresults};
}

static bool read_label(struct validator *v, struct label *ret)
{
	uint32_t depth;
	if (!wasm__index(v, (uint32_t)(v->frame - v->s->frames) + 1, "label", &depth))
		return false;
	*ret = label_of(v->frame - depth);
	return true;
}

bool wasm__op_unreachable(struct validator *v, const struct rule *r)
{
	wasm__unreachable(v);
	return true;
}

bool wasm__op_br(struct validator *v, const struct rule *r)
{
	struct label l;
	if (!read_label(v, &l) || !wasm__pop_all(v, l.types, l.n))
		return false;
	wasm__unreachable(v);
	return true;
}

bool wasm__op_br_if(struct validator *v, const struct rule *r)
{
	struct label l;
	if (!read_label(v, &l) || !wasm__pop_want(v, WASM_I32, NULL))
		return false;
	return wasm__pop_all(v, l.types, l.n) && wasm__push_all(v, l.types, l.n);
}

bool wasm__op_br_table(struct validator *v, const struct rule *r)
{
	uint32_t n;
	struct label l = {0}, before = {0};
	if (!wasm__count(&v->c, LIMIT_BODY_SIZE, "labels of a br_table", 1, &n) || !wasm__pop_want(v, WASM_I32, NULL))
		return false;
	for (uint32_t i = 0; i <= n; i++) {
		if (!read_label(v, &l))
			return false;
		if (i > 0 && l.n != before.n)
			return wasm__fail(&v->c, v->op_at, ERR_INVALID, "type mismatch: br_table target %u takes %u values, the first %u", i, l.n, before.n);
		// Labels of one type have the same array, most often. What each of them takes is moved there by code of its own.
		bool same = i > 0 && l.types == before.types;
		if (!(same ? wasm__list_values(v, l.n) : wasm__check_all(v, l.types, l.n)))
			return false;
		before = l;
	}
	if (!wasm__pop_all(v, l.types, l.n))
		return false;
	wasm__unreachable(v);
	return true;
}

bool wasm__op_return(struct validator *v, const struct rule *r)
{
	const struct frame *f = v->s->frames;
	if (!wasm__pop_all(v, f->results, f->nresults))
		return false;
	wasm__unreachable(v);
	return true;
}

bool wasm__op_br_on_null(struct validator *v, const struct rule *r)
{
	struct label l;
	wasm__word ref;
	if (!read_label(v, &l) || !wasm__pop_ref(v, &ref) || !wasm__pop_all(v, l.types, l.n) || !wasm__push_all(v, l.types, l.n))
		return false;
	return wasm__push(v, wasm__non_null(ref));
}

bool wasm__op_br_on_non_null(struct validator *v, const struct rule *r)
{
	struct label l;
	wasm__word ref;
	if (!read_label(v, &l))
		return false;
	if (l.n == 0 || !wasm__is_ref(l.types[l.n - 1]))
		return wasm__fail(&v->c, v->op_at, ERR_INVALID, "type mismatch: the last value of br_on_non_null's label must be a reference");
	if (!wasm__pop_ref(v, &ref))
		return false;
	if (!wasm__matches(v->m, wasm__non_null(ref), l.types[l.n - 1]))
		return wasm__mismatch(v, wasm__non_null(ref), l.types[l.n - 1]);
	return wasm__pop_all(v, l.types, l.n - 1) && wasm__push_all(v, l.types, l.n - 1);
}

// The type before the cast must be above the one after it, and what the operand may be. What branches is known to have the type after, or to lack it.
bool wasm__op_br_on_cast(struct validator *v, const struct rule *r)
{
	const uint8_t *at = v->c.p;
	struct label l;
	struct wasm_valtype before, after;
	uint8_t flags;
	if (!wasm__byte(&v->c, &flags))
		return false;
	if (flags > (WASM_CAST_NULL_BEFORE | WASM_CAST_NULL_AFTER))
		return wasm__fail(&v->c, at, ERR_MALFORMED, "malformed br_on_cast flags 0x%02x", flags);
	if (!read_label(v, &l) || !wasm__heaptype(&v->c, v->m->features, v->m->ntypes, &before) || !wasm__heaptype(&v->c, v->m->features, v->m->ntypes, &after))
		return false;
	before.nullable = (flags & WASM_CAST_NULL_BEFORE) != 0;
	after.nullable = (flags & WASM_CAST_NULL_AFTER) != 0;
	if (!wasm__matches(v->m, wasm__pack(after), wasm__pack(before)))
		return wasm__mismatch(v, wasm__pack(after), wasm__pack(before));
	struct wasm_valtype rest = before;
	rest.nullable = before.nullable && !after.nullable;
	bool fails = r->op == WASM_OP_BR_ON_CAST_FAIL;
	wasm__word branches = wasm__pack(fails ? rest : after), stays = wasm__pack(fails ? after : rest);
	if (!wasm__pop_want(v, wasm__pack(before), NULL))
		return false;
	if (l.n == 0 || !wasm__matches(v->m, branches, l.types[l.n - 1]))
		return l.n ? wasm__mismatch(v, branches, l.types[l.n - 1])
				   : wasm__fail(&v->c, v->op_at, ERR_INVALID, "type mismatch: the label of a cast takes a reference, this one no value");
	return wasm__pop_all(v, l.types, l.n - 1) && wasm__push_all(v, l.types, l.n - 1) && wasm__push(v, stays);
}

// ---- exceptions ------------------------------------------------------------------------------------------------------------
static bool read_tag(struct validator *v, const struct wasm_func_type **ret)
{
	uint32_t tag;
	if (!wasm__index(v, v->m->ntags, "tag", &tag))
		return false;
	*ret = wasm_tag_type_of(v->m, tag);
	return true;
}

bool wasm__op_throw(struct validator *v, const struct rule *r)
{
	const struct wasm_func_type *t;
	v->has_calls = true;
	if (!read_tag(v, &t) || !wasm__pop_all(v, wasm__words(t->params), t->nparams))
		return false;
	wasm__unreachable(v);
	return true;
}

bool wasm__op_throw_ref(struct validator *v, const struct rule *r)
{
	v->has_calls = true;
	if (!wasm__pop_want(v, WASM__REF(1, WASM_HEAP_EXN, 0), NULL))
		return false;
	wasm__unreachable(v);
	return true;
}

// What the clause gives must be what its label takes. Labels count from outside of the try_table.
static bool read_catch(struct validator *v)
{
	const uint8_t *at = v->c.p;
	static const struct wasm_func_type none;
	const struct wasm_func_type *t = &none;
	struct label l;
	uint8_t kind;
	if (!wasm__byte(&v->c, &kind))
		return false;
	if (kind > WASM_CATCH_ALL_REF)
		return wasm__fail(&v->c, at, ERR_MALFORMED, "malformed catch clause 0x%02x", kind);
	if ((wasm_catch_has_tag(kind) && !read_tag(v, &t)) || !read_label(v, &l))
		return false;
	bool gives_ref = wasm_catch_gives_ref(kind);
	if (l.n != t->nparams + gives_ref)
		return wasm__fail(&v->c, at, ERR_INVALID, "type mismatch: the clause gives %u values, its label takes %u", t->nparams + gives_ref, l.n);
	if (!wasm__list_values(v, l.n))
		return false;
	for (uint32_t i = 0; i < l.n; i++) {
		wasm__word have = i < t->nparams ? wasm__words(t->params)[i] : WASM__REF(0, WASM_HEAP_EXN, 0);
		if (!wasm__matches(v->m, have, l.types[i]))
			return wasm__mismatch(v, have, l.types[i]);
	}
	return true;
}

bool wasm__op_try_table(struct validator *v, const struct rule *r)
{
	struct block_type t;
	uint32_t n;
	if (!read_block_type(v, &t) || !wasm__pop_all(v, t.params, t.nparams) || !wasm__count(&v->c, LIMIT_BODY_SIZE, "catch clauses", 2, &n))
		return false;
	v->has_handlers |= n > 0;
	for (; n; n--)
		if (!read_catch(v))
			return false;
	return open_block(v, r->op, &t);
}

// ---- exceptions, legacy form --------------------------------------------------------------------------------------------------
bool wasm__op_try(struct validator *v, const struct rule *r)
{
	return wasm__list_values(v, 1) && begin(v, r->op);
}

// What was tried, or the catch before this one, ends.
static bool next_catch(struct validator *v, uint16_t op, const struct wasm_func_type *t)
{
	struct frame f;
	if (v->frame->op != WASM_OP_TRY && v->frame->op != WASM_OP_CATCH)
		return wasm__fail(&v->c, v->op_at, ERR_MALFORMED, "%s found outside of a `try` block", wasm_op_text((enum wasm_op)op));
	v->has_handlers = true;
	return wasm__pop_ctrl(v, &f) && open_next(v, op, &f, wasm__words(t->params), t->nparams);
}

bool wasm__op_catch(struct validator *v, const struct rule *r)
{
	const struct wasm_func_type *t;
	return read_tag(v, &t) && next_catch(v, r->op, t);
}

bool wasm__op_catch_all(struct validator *v, const struct rule *r)
{
	static const struct wasm_func_type none;
	return next_catch(v, r->op, &none);
}

// Its label counts from outside of the try that it ends.
bool wasm__op_delegate(struct validator *v, const struct rule *r)
{
	struct frame f;
	uint32_t depth;
	if (v->frame->op != WASM_OP_TRY)
		return wasm__fail(&v->c, v->op_at, ERR_MALFORMED, "delegate found outside of a `try` block");
	return wasm__pop_ctrl(v, &f) && wasm__index(v, (uint32_t)(v->frame - v->s->frames) + 1, "label", &depth) && wasm__push_all(v, f.results, f.nresults);
}

bool wasm__op_rethrow(struct validator *v, const struct rule *r)
{
	uint32_t depth;
	v->has_rethrow = true;
	if (!wasm__index(v, (uint32_t)(v->frame - v->s->frames) + 1, "label", &depth))
		return false;
	uint16_t op = (v->frame - depth)->op;
	if (op != WASM_OP_CATCH && op != WASM_OP_CATCH_ALL)
		return wasm__fail(&v->c, v->op_at, ERR_INVALID, "invalid rethrow label: %u is no catch", depth);
	wasm__unreachable(v);
	return true;
}

// ---- calls ----------------------------------------------------------------------------------------------------------------
// Enough operands with just these types: the usual case.
static bool do_call(struct validator *v, const struct wasm_func_type *t)
{
	const wasm__word *params = wasm__words(t->params);
	v->has_calls = true;
	if (v->c.p == v->c.end || *v->c.p != 0)  // else unreachable is next: the callee doesn't come back
		wasm__count_call(v);
	if (LIKELY(t->nparams <= (size_t)(v->sp - v->base))) {
		const wasm__word *at = v->sp - t->nparams;
		uint32_t i = 0;
		while (i < t->nparams && at[i] == params[i])
			i++;
		if (i == t->nparams) {
			v->sp -= t->nparams;
			return wasm__list_values(v, t->nparams) && wasm__push_all(v, wasm__words(t->results), t->nresults);
		}
	}
	return wasm__pop_all(v, params, t->nparams) && wasm__push_all(v, wasm__words(t->results), t->nresults);
}

static bool do_return_call(struct validator *v, const struct wasm_func_type *t)
{
	const struct frame *f = v->s->frames;
	v->has_calls = true;
	bool same = t->nresults == f->nresults;
	for (uint32_t i = 0; same && i < t->nresults; i++)
		same = wasm__matches(v->m, wasm__words(t->results)[i], f->results[i]);
	if (!same)
		return wasm__fail(&v->c, v->op_at, ERR_INVALID, "type mismatch: the results of the callee are not those of the caller");
	if (!wasm__pop_all(v, wasm__words(t->params), t->nparams))
		return false;
	wasm__unreachable(v);
	return true;
}

static bool callee(struct validator *v, const struct wasm_func_type **ret)
{
	uint32_t func;
	if (!wasm__index(v, v->m->nfuncs, "function", &func))
		return false;
	*ret = wasm_func_type_of(v->m, func);
	return true;
}

static bool indirect_callee(struct validator *v, const struct wasm_func_type **ret)
{
	uint32_t type, table;
	if (!wasm__type_index(v, WASM_FORM_FUNC, &type))
		return false;
	const uint8_t *at = v->c.p;
	if (!(v->m->features & WASM_FEATURE_REFERENCE_TYPES) && at < v->c.end && *at != 0)
		return wasm__fail(&v->c, at, ERR_MALFORMED, "zero byte expected");
	if (!wasm__index(v, v->m->ntables, "table", &table))
		return false;
	const struct wasm_table_type *t = &v->m->tables[table].type;
	if (!wasm__matches(v->m, wasm__pack(t->elem), WASM__REF(1, WASM_HEAP_FUNC, 0)))
		return wasm__mismatch(v, wasm__pack(t->elem), WASM__REF(1, WASM_HEAP_FUNC, 0));
	*ret = &v->m->types[type].func;
	return wasm__pop_want(v, t->limits.is64 ? WASM_I64 : WASM_I32, NULL);
}

static bool ref_callee(struct validator *v, const struct wasm_func_type **ret)
{
	uint32_t type;
	if (!wasm__type_index(v, WASM_FORM_FUNC, &type))
		return false;
	*ret = &v->m->types[type].func;
	return wasm__pop_want(v, WASM__REF(1, WASM_HEAP_CONCRETE, type), NULL);
}

bool wasm__op_call(struct validator *v, const struct rule *r)
{
	const struct wasm_func_type *t;
	return callee(v, &t) && do_call(v, t);
}

bool wasm__op_call_indirect(struct validator *v, const struct rule *r)
{
	const struct wasm_func_type *t;
	return indirect_callee(v, &t) && wasm__list_values(v, 1) && do_call(v, t);  // one more: what it checks takes as much code
}

bool wasm__op_call_ref(struct validator *v, const struct rule *r)
{
	const struct wasm_func_type *t;
	return ref_callee(v, &t) && do_call(v, t);
}

bool wasm__op_return_call(struct validator *v, const struct rule *r)
{
	const struct wasm_func_type *t;
	return callee(v, &t) && do_return_call(v, t);
}

bool wasm__op_return_call_indirect(struct validator *v, const struct rule *r)
{
	const struct wasm_func_type *t;
	return indirect_callee(v, &t) && do_return_call(v, t);
}

bool wasm__op_return_call_ref(struct validator *v, const struct rule *r)
{
	const struct wasm_func_type *t;
	return ref_callee(v, &t) && do_return_call(v, t);
}
