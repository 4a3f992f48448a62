// The operand and control stacks of the body validator, as the specification's appendix has them.
#include "validate_int.h"

// Of the instruction being validated; op_at lies in the body, and a code after 0xfc has been read already.
static const char *op_text(const struct validator *v)
{
	const uint8_t *p = v->op_at;
	return wasm_op_text(wasm_read_op(&p));
}

bool wasm__mismatch(struct validator *v, wasm__word have, wasm__word want)
{
	char a[48], b[48];
	return wasm__fail(&v->c, v->op_at, ERR_INVALID, "type mismatch: %s: expected %s, found %s", op_text(v), wasm__type_text(want, a), wasm__type_text(have, b));
}

bool wasm__push(struct validator *v, wasm__word type)
{
	if (v->sp == v->s->stack + LIMIT_STACK_HEIGHT)
		return wasm__fail_limit(&v->c, v->op_at, "operands on the stack of a function", LIMIT_STACK_HEIGHT);
	*v->sp++ = type;
	if (v->sp > v->top)
		v->top = v->sp;
	return true;
}

bool wasm__pop(struct validator *v, wasm__word *ret)
{
	if (v->sp == v->base) {
		if (!v->frame->unreachable)
			return wasm__fail(&v->c, v->op_at, ERR_INVALID, "type mismatch: %s finds too few operands on the stack", op_text(v));
		*ret = WASM__BOTTOM;
		return true;
	}
	*ret = *--v->sp;
	return true;
}

bool wasm__pop_want(struct validator *v, wasm__word want, wasm__word *ret)
{
	wasm__word have;
	if (v->sp == v->base && !v->frame->unreachable) {
		char text[48];
		return wasm__fail(&v->c, v->op_at, ERR_INVALID, "type mismatch: %s expects %s, but the stack of this block is empty",
			op_text(v), wasm__type_text(want, text));
	}
	if (!wasm__pop(v, &have))
		return false;
	if (!wasm__matches(v->m, have, want))
		return wasm__mismatch(v, have, want);
	if (ret)
		*ret = have;
	return true;
}

bool wasm__pop_ref(struct validator *v, wasm__word *ret)
{
	wasm__word have;
	if (!wasm__pop(v, &have))
		return false;
	if (have == WASM__BOTTOM)
		have = WASM__REF(0, WASM__HEAP_BOTTOM, 0);
	if (!wasm__is_ref(have)) {
		char text[48];
		return wasm__fail(&v->c, v->op_at, ERR_INVALID, "type mismatch: expected a reference, found %s", wasm__type_text(have, text));
	}
	*ret = have;
	return true;
}

bool wasm__list_values(struct validator *v, uint32_t n)
{
	if (LIKELY(n <= v->values_left)) {
		v->values_left -= n;
		return true;
	}
	return wasm__fail(&v->c, v->op_at, ERR_LIMIT, "too many values are listed by the function's blocks, branches and calls: at most %d a byte are supported",
		VALUES_A_BYTE);
}

bool wasm__push_all(struct validator *v, const wasm__word *types, uint32_t n)
{
	if (!wasm__list_values(v, n))
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!wasm__push(v, types[i]))
			return false;
	return true;
}

bool wasm__pop_all(struct validator *v, const wasm__word *types, uint32_t n)
{
	if (!wasm__list_values(v, n))
		return false;
	while (n)
		if (!wasm__pop_want(v, types[--n], NULL))
			return false;
	return true;
}

// Where enough operands are there, they stay as they are; else the missing ones are bottom types under those that are there.
bool wasm__check_all(struct validator *v, const wasm__word *types, uint32_t n)
{
	uint32_t have = (uint32_t)(v->sp - v->base);
	if (have >= n) {
		const wasm__word *at = v->sp - n;
		if (!wasm__list_values(v, n))
			return false;
		for (uint32_t i = n; i; i--)
			if (!wasm__matches(v->m, at[i - 1], types[i - 1]))
				return wasm__mismatch(v, at[i - 1], types[i - 1]);
		return true;
	}
	uint32_t missing = n - have;
	if (!wasm__pop_all(v, types, n))
		return false;
	if (missing > (uint32_t)(v->s->stack + LIMIT_STACK_HEIGHT - (v->sp + have)))
		return wasm__fail_limit(&v->c, v->op_at, "operands on the stack of a function", LIMIT_STACK_HEIGHT);
	memmove(v->base + missing, v->base, have * sizeof(wasm__word));
	for (uint32_t i = 0; i < missing; i++)
		v->base[i] = WASM__BOTTOM;
	v->sp = v->base + n;
	if (v->sp > v->top)
		v->top = v->sp;
	return true;
}

bool wasm__push_ctrl(struct validator *v, uint16_t op, const wasm__word *params, uint32_t nparams, const wasm__word *results, uint32_t nresults)
{
	uint32_t depth = (uint32_t)(v->frame - v->s->frames) + 1;
	if (depth > LIMIT_CONTROL_DEPTH)
		return wasm__fail_limit(&v->c, v->op_at, "blocks nested in each other", LIMIT_CONTROL_DEPTH);
	if (depth + 1 > v->max_control)
		v->max_control = depth + 1;
	*++v->frame = (struct frame){.base = v->sp, .ninit = v->ninit, .weight = v->weight, .op = op};
	v->frame->params = params;
	v->frame->nparams = nparams;
	v->frame->results = results;
	v->frame->nresults = nresults;
	v->base = v->sp;
	return wasm__push_all(v, params, nparams);
}

bool wasm__pop_ctrl(struct validator *v, struct frame *ret)
{
	struct frame *f = v->frame;
	if (!wasm__pop_all(v, f->results, f->nresults))
		return false;
	if (v->sp != f->base)
		return wasm__fail(&v->c, v->op_at, ERR_INVALID, "type mismatch: values remaining on stack at end of block: %zu", (size_t)(v->sp - f->base));
	while (v->ninit > f->ninit)
		v->s->is_init[v->s->init_order[--v->ninit]] = 0;
	v->weight = f->weight;
	*ret = *f;
	if (ret->results == &f->inline_result)
		ret->results = &ret->inline_result;
	if (f != v->s->frames) {
		v->frame--;
		v->base = v->frame->base;
	}
	return true;
}

void wasm__unreachable(struct validator *v)
{
	v->sp = v->base;
	v->frame->unreachable = true;
}

void wasm__init_local(struct validator *v, uint32_t local)
{
	if (v->s->is_init[local])
		return;
	v->s->is_init[local] = 1;
	v->s->init_order[v->ninit++] = local;
}

bool wasm__index(struct validator *v, uint32_t n, const char *what, uint32_t *ret)
{
	const uint8_t *at = v->c.p;
	if (!wasm__u32(&v->c, ret))
		return false;
	return LIKELY(*ret < n) ? true : wasm__fail(&v->c, at, ERR_INVALID, "unknown %s %u", what, *ret);
}

bool wasm__type_index(struct validator *v, enum wasm_form form, uint32_t *ret)
{
	static const char *const forms[] = {"a function's", "a structure's", "an array's"};
	const uint8_t *at = v->c.p;
	if (!wasm__index(v, v->m->ntypes, "type", ret))
		return false;
	return v->m->types[*ret].form == form ? true : wasm__fail(&v->c, at, ERR_INVALID, "type mismatch: type %u is not %s", *ret, forms[form]);
}

bool wasm__data_index(struct validator *v, uint32_t *ret)
{
	if (!v->m->has_data_count)
		return wasm__fail(&v->c, v->op_at, ERR_MALFORMED, "data count section required");
	return wasm__index(v, v->m->ndata, "data segment", ret);
}

// The memory of size, grow, fill and so on; a zero byte unless there may be several memories.
bool wasm__memory_index(struct validator *v, uint32_t *ret)
{
	const uint8_t *at = v->c.p;
	if (!(v->m->features & WASM_FEATURE_MULTI_MEMORY)) {
		if (at < v->c.end && *at != 0)
			return wasm__fail(&v->c, at, ERR_MALFORMED, "zero byte expected");
	}
	if (!wasm__index(v, v->m->nmemories, "memory", ret))
		return false;
	if (*ret == 0)
		v->uses_memory0 = true;
	return true;
}
