// Blocks, branches, returns. Every edge to a label goes through baseline__merge (L11); unreachable code is skipped by the driver.
#include "baseline_int.h"

static struct ctl *top(struct comp *c)
{
	return &c->s->ctl.ptr[c->s->ctl.len - 1];
}

struct ctl *baseline__target(struct comp *c, uint32_t depth)
{
	return &c->s->ctl.ptr[c->s->ctl.len - 1 - depth];
}

static uint32_t label_arity(const struct ctl *t)
{
	return t->kind == CTL_LOOP ? t->nparams : t->nresults;
}

static bool by_register(const struct ctl *t)
{
	return t->kind != CTL_LOOP && t->nresults == 1;
}

static uint8_t result_register(const struct ctl *t)
{
	return in_vector(result_type(t, 0).kind) ? XMM0 : RAX;
}

// ---- merges -----------------------------------------------------------------------------------------------------
// Several results of the function go through the pointer that the caller gave.
static void merge_return(struct comp *c, uint32_t n)
{
	struct val *v = &c->stack[c->sp - n];
	for (uint32_t i = 0; i < n; i++) {
		x64_room(&c->a, 64);
		if (v[i].kind == K_REG || (v[i].kind == K_LOCAL && baseline__reg_of(c, &v[i]) != NO_REG))
			baseline__store_val(c, slot_of(c, c->sp - n + i), &v[i]);
	}
	x64_mov_rm(&c->a, W64, RAX, at_rbp(c->results_home));
	uint32_t at = 0;
	for (uint32_t i = 0; i < n; i++) {
		x64_room(&c->a, 64);
		struct x64_mem cell = x64_at(x64_r64(RAX), (int32_t)(8 * at));
		at += abi_cells(v[i].type);
		struct x64_mem from = slot_of(c, c->sp - n + i);
		if (v[i].kind == K_CONST) {
			baseline__store_cell(c, cell, &v[i]);
			continue;
		}
		if (v[i].kind == K_LOCAL && baseline__reg_of(c, &v[i]) == NO_REG)
			from = at_rbp(c->locals[v[i].local].home);
		baseline__copy_to_cell(c, v[i].type, cell, from);
	}
}

// Moves the values that the label takes, from the top of the stack, to where it expects them. What the compiler knows of the stack stays as it is:
// the caller either leaves for good or jumps around this.
void baseline__merge(struct comp *c, const struct ctl *t)
{
	uint32_t n = label_arity(t);
	if (n == 0)
		return;
	if (by_register(t)) {
		baseline__move_to(c, result_register(t), &c->stack[c->sp - 1]);
		return;
	}
	if (t->kind == CTL_FUNC) {
		merge_return(c, n);
		return;
	}
	// Upwards: a slot that is overwritten was moved before.
	for (uint32_t i = 0; i < n; i++) {
		struct val *v = &c->stack[c->sp - n + i];
		x64_room(&c->a, 64);
		if (v->kind != K_SLOT || v->local != t->height + i)
			baseline__store_val(c, slot_of(c, t->height + i), v);
	}
}

static bool is_merged(struct comp *c, const struct ctl *t)
{
	uint32_t n = label_arity(t);
	if (n == 0)
		return true;
	if (by_register(t)) {
		const struct val *v = &c->stack[c->sp - 1];
		return v->kind == K_REG && v->reg == result_register(t) && !c->opt->poison_upper;
	}
	if (t->kind == CTL_FUNC)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		const struct val *v = &c->stack[c->sp - n + i];
		if (v->kind != K_SLOT || v->local != t->height + i)
			return false;
	}
	return true;
}

static void dead_from_here(struct comp *c)
{
	baseline__truncate(c, top(c)->height);
	c->unreachable = true;
}

// The state behind a label.
static void push_results(struct comp *c, const struct ctl *t)
{
	baseline__truncate(c, t->height);
	if (t->nresults == 1) {
		unsigned r = result_register(t);
		baseline__claim(c, r);
		unsigned kind = kind_of(c, result_type(t, 0));
		push_reg(c, kind, r);
		baseline__produced(c, kind, r);
		return;
	}
	for (uint32_t i = 0; i < t->nresults; i++)
		push_slot(c, kind_of(c, t->results[i]));
}

static void push_params(struct comp *c, const struct ctl *t)
{
	baseline__truncate(c, t->height);
	for (uint32_t i = 0; i < t->nparams; i++)
		push_slot(c, kind_of(c, t->params[i]));
}

// ---- blocks -----------------------------------------------------------------------------------------------------
struct ctl *baseline__enter(struct comp *c, unsigned kind)
{
	struct wasm_block_type bt;
	wasm_read_block_type(c->m, &c->p, &bt);
	struct ctl *t = VEC_ADD(NULL, &c->s->ctl, 1u << 24);
	if (!t) {
		baseline__fail_nomem(c);
		return NULL;
	}
	*t = (struct ctl){
		.kind = (uint8_t)kind,
		.height = c->sp - bt.nparams,
		.nparams = bt.nparams,
		.nresults = bt.nresults,
		.params = bt.params,
		.results = bt.results == &bt.inline_result ? NULL : bt.results,
		.inline_result = bt.inline_result,
		.region = c->region,
		.label = X64_LABEL,
		.otherwise = X64_LABEL,
		.stub = X64_LABEL,
	};
	return t;
}

void baseline__emit_block(struct comp *c, unsigned w, unsigned kind)
{
	const uint8_t *p = c->p;
	struct wasm_block_type bt;
	wasm_read_block_type(c->m, &p, &bt);
	baseline__flush(c, kind == CTL_LOOP ? bt.nparams : 0);
	struct ctl *t = baseline__enter(c, kind);
	if (t && kind == CTL_LOOP) {
		x64_align(&c->a, 16);
		baseline__bind(c, &t->label);
	}
}

void baseline__emit_if(struct comp *c, unsigned w, unsigned arg)
{
	const uint8_t *p = c->p;
	struct wasm_block_type bt;
	wasm_read_block_type(c->m, &p, &bt);
	struct val v = pop(c);
	unsigned cc = baseline__cond(c, &v);
	baseline__flush(c, bt.nparams);
	struct ctl *t = baseline__enter(c, CTL_IF);
	if (t)
		baseline__jcc(c, baseline__invert(cc), &t->otherwise);
}

void baseline__emit_else(struct comp *c, unsigned w, unsigned arg)
{
	struct ctl *t = top(c);
	if (!c->unreachable) {
		baseline__merge(c, t);
		x64_jmp(&c->a, &t->label);
	}
	t->kind = CTL_ELSE;
	push_params(c, t);
	baseline__bind(c, &t->otherwise);
	c->unreachable = false;
}

static void end_if(struct comp *c, struct ctl *t)
{
	// Without else: the parameters are the results.
	if (t->nparams) {
		if (!c->unreachable) {
			baseline__merge(c, t);
			x64_jmp(&c->a, &t->label);
		}
		push_params(c, t);
		baseline__bind(c, &t->otherwise);
		baseline__merge(c, t);
	} else {
		baseline__bind(c, &t->otherwise);
	}
	baseline__bind(c, &t->label);
	push_results(c, t);
	c->unreachable = false;
}

static void end_func(struct comp *c, struct ctl *t)
{
	if (!c->unreachable)
		baseline__merge(c, t);
	if (x64_label_used(&t->label))
		baseline__bind(c, &t->label);
	else if (c->unreachable)
		return;
	baseline__epilogue(c);
	c->unreachable = true;
}

void baseline__emit_end(struct comp *c, unsigned w, unsigned arg)
{
	struct ctl *t = top(c);
	bool drops = t->kind == CTL_LEGACY_CATCH && !c->unreachable;  // what was caught
	baseline__catches_end(c, t);
	if (t->kind == CTL_FUNC) {
		end_func(c, t);
	} else if (t->kind == CTL_IF) {
		end_if(c, t);
	} else if (t->kind != CTL_LOOP && (x64_label_used(&t->label) || t->landing || drops)) {
		if (!c->unreachable)
			baseline__merge(c, t);
		baseline__bind(c, &t->label);
		push_results(c, t);
		c->unreachable = false;
	}
	// Otherwise nobody jumps here: the stack stays as it is.
	baseline__region_end(c, t);
	baseline__landed(c, t);
	c->s->ctl.len--;
}

// ---- branches ---------------------------------------------------------------------------------------------------
void baseline__branch(struct comp *c, struct ctl *t)
{
	baseline__merge(c, t);
	if (t->kind == CTL_FUNC)
		baseline__epilogue(c);
	else
		x64_jmp(&c->a, &t->label);
}

void baseline__emit_br(struct comp *c, unsigned w, unsigned arg)
{
	baseline__branch(c, baseline__target(c, wasm_read_u32(&c->p)));
	dead_from_here(c);
}

void baseline__emit_return(struct comp *c, unsigned w, unsigned arg)
{
	baseline__branch(c, &c->s->ctl.ptr[0]);
	dead_from_here(c);
}

static void branch_if(struct comp *c, unsigned cc, struct ctl *t)
{
	if (is_merged(c, t)) {
		baseline__jcc(c, cc, &t->label);
		return;
	}
	if (by_register(t) && !(c->used & BIT(result_register(t)))) {
		// The register is free: the move does no harm if the branch isn't taken.
		c->keep_flags = true;
		drop_cache(c, result_register(t));
		baseline__move_to(c, result_register(t), &c->stack[c->sp - 1]);
		c->keep_flags = false;
		baseline__jcc(c, cc, &t->label);
		return;
	}
	struct x64_label skip = X64_LABEL;
	baseline__jcc(c, baseline__invert(cc), &skip);
	baseline__merge(c, t);
	x64_jmp(&c->a, &t->label);
	x64_bind(&c->a, &skip);
	c->zf_at = UINT32_MAX;
}

void baseline__emit_br_if(struct comp *c, unsigned w, unsigned arg)
{
	struct ctl *t = baseline__target(c, wasm_read_u32(&c->p));
	struct val v = pop(c);
	unsigned cc = baseline__cond(c, &v);
	branch_if(c, cc, t);
}

// br_on_null: the reference stays if it isn't null. br_on_non_null: it is the label's last value.
void baseline__emit_br_on_null(struct comp *c, unsigned w, unsigned non_null)
{
	struct ctl *t = baseline__target(c, wasm_read_u32(&c->p));
	struct val v = pop(c);
	uint8_t r = baseline__own_reg(c, &v);
	if (non_null) {
		push_reg(c, v.type, r);
		x64_test_rr(&c->a, W32, r, r);
		branch_if(c, CC_NE, t);
		pop(c);
	} else {
		c->used |= BIT(r);  // not for others while the branch is made
		c->owner[r] = c->sp;
		x64_test_rr(&c->a, W32, r, r);
		branch_if(c, CC_E, t);
		c->used &= ~BIT(r);
		push_reg(c, v.type, r);
	}
}

// An entry of the table counts from its own end (it is chained like a displacement), which the address below makes good: base + 4 i + 4.
static void jump_by_table(struct comp *c, uint8_t i, struct x64_label *table)
{
	uint8_t t = alloc(c, false);
	x64_lea(&c->a, W64, t, x64_at(x64_r64(X64_RIP), 0));
	c->a.p -= 4;
	x64__label_ref(&c->a, table);
	x64_lea(&c->a, W64, t, x64_at_index(x64_r64(t), x64_zext_view(i), 2, 4));
	x64_movsxd_rm(&c->a, i, x64_at(x64_r64(t), -4));
	x64_alu_rr(&c->a, W64, ALU_ADD, i, t);
	x64_jmp_r(&c->a, i);
}

void baseline__emit_br_table(struct comp *c, unsigned w, unsigned arg)
{
	struct x64 *a = &c->a;
	struct x64_label table = X64_LABEL;
	uint32_t n = wasm_read_u32(&c->p);
	struct val v = pop(c);
	// The index is compared and clamped by the flags of the same compare (L51).
	uint8_t i = v.kind == K_REG ? v.reg : alloc(c, false), limit = alloc(c, false);
	baseline__move_to(c, i, &v);
	x64_mov_ri(a, limit, n);
	x64_alu_rr(a, W32, ALU_CMP, i, limit);
	x64_cmov_rr(a, W32, CC_AE, i, limit);
	c->lock &= ~BIT(limit);
	jump_by_table(c, i, &table);
	uint32_t arity = label_arity(baseline__target(c, 0));
	const uint8_t *labels = c->p;
	c->stamp++;
	// Distinct targets that take values get a stub that moves them.
	for (uint32_t k = 0; k <= n; k++) {
		struct ctl *t = baseline__target(c, wasm_read_u32(&c->p));
		arity = label_arity(t);
		if (arity == 0 || t->stamp == c->stamp)
			continue;
		x64_room(a, 256);
		t->stamp = c->stamp;
		t->stub = X64_LABEL;
		x64_bind(a, &t->stub);
		baseline__merge(c, t);
		x64_jmp(a, &t->label);
	}
	x64_align(a, 4);
	x64_bind(a, &table);
	for (uint32_t k = 0; k <= n; k++) {
		struct ctl *t = baseline__target(c, wasm_read_u32(&labels));
		x64_room(a, 16);
		x64__label_ref(a, arity ? &t->stub : &t->label);
	}
	dead_from_here(c);
}

void baseline__emit_unreachable(struct comp *c, unsigned w, unsigned arg)
{
	baseline__site(c, TRAP_UNREACHABLE);
	x64_ud2(&c->a);
	dead_from_here(c);
}
