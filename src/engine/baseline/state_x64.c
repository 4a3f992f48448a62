// Registers and the operand stack: who owns what, how operands reach registers, what happens to them at joins and calls.
#include "baseline_int.h"

const uint8_t baseline__args[6] = {RDI, RSI, RDX, RCX, R8, R9};

bool baseline__fail_nomem(struct comp *c)
{
	c->failed = true;
	return false;
}

// ---- moves ------------------------------------------------------------------------------------------------------
void baseline__move_rr(struct comp *c, unsigned type, unsigned d, unsigned s)
{
	if (d >= XMM0) {
		if (d != s)
			x64_movaps(&c->a, d, s);
	} else if (d != s || (c->opt->poison_upper && width_of(type) == W32)) {
		x64_mov_rr(&c->a, width_of(type), d, s);
	}
}

void baseline__load(struct comp *c, unsigned type, unsigned reg, struct x64_mem m)
{
	if (type == WASM_V128)
		x64_movups_rm(&c->a, reg, m);
	else if (reg >= XMM0)
		x64_movs_rm(&c->a, width_of(type), reg, m);
	else
		x64_mov_rm(&c->a, width_of(type), reg, m);
}

// i32 are stored as four bytes and so come back zero-extended (L2).
void baseline__store(struct comp *c, unsigned type, struct x64_mem m, unsigned reg)
{
	if (type == WASM_V128)
		x64_movups_mr(&c->a, m, reg);
	else if (reg >= XMM0)
		x64_movs_mr(&c->a, width_of(type), m, reg);
	else
		x64_mov_mr(&c->a, width_of(type), m, reg);
}

// The displacement field that was emitted last means a constant at the function's end.
void baseline__pool_ref(struct comp *c, uint64_t bits)
{
	struct pooled *p = VEC_ADD(NULL, &c->s->pool, 1u << 24);
	if (!p)
		baseline__fail_nomem(c);
	else
		*p = (struct pooled){x64_pos(&c->a) - 4, bits};
}

void baseline__pool_vector(struct comp *c, const void *bits)
{
	struct pooled_vector *p = VEC_ADD(NULL, &c->s->vectors, 1u << 24);
	if (!p) {
		baseline__fail_nomem(c);
		return;
	}
	p->at = x64_pos(&c->a) - 4;
	memcpy(p->bits, bits, 16);
}

void baseline__load_vector(struct comp *c, unsigned reg, const void *bits)
{
	uint64_t half[2];
	memcpy(half, bits, 16);
	if (!(half[0] | half[1])) {
		x64_logic_rr(&c->a, LOGIC_XOR, reg, reg);
	} else if (!~(half[0] & half[1])) {
		x64_pcmpeqd(&c->a, reg);
	} else {
		x64_movups_rm(&c->a, reg, x64_at(x64_r64(X64_RIP), 0));
		baseline__pool_vector(c, bits);
	}
}

void baseline__load_const(struct comp *c, unsigned type, unsigned reg, uint64_t imm)
{
	if (reg < XMM0) {
		if (imm || c->keep_flags)
			x64_mov_ri(&c->a, reg, imm);
		else
			x64_zero(&c->a, reg);
	} else if (!imm) {
		x64_logic_rr(&c->a, LOGIC_XOR, reg, reg);
	} else if (type == WASM_V128) {
		baseline__load_vector(c, reg, (const void *)(uintptr_t)imm);
	} else {
		x64_movs_rm(&c->a, width_of(type), reg, x64_at(x64_r64(X64_RIP), 0));
		baseline__pool_ref(c, imm);
	}
}

void baseline__move_to(struct comp *c, unsigned reg, const struct val *v)
{
	uint8_t s = baseline__reg_of(c, v);
	if (s != NO_REG)
		baseline__move_rr(c, v->type, reg, s);
	else if (v->kind == K_CONST)
		baseline__load_const(c, v->type, reg, v->imm);
	else if (v->kind == K_SLOT)
		baseline__load(c, v->type, reg, slot_of(c, v->local));
	else
		baseline__load(c, v->type, reg, at_rbp(c->locals[v->local].home));
}

static void store_const(struct comp *c, unsigned type, struct x64_mem m, uint64_t imm)
{
	if (type == WASM_V128) {
		baseline__load_const(c, type, XMM15, imm);
		x64_movups_mr(&c->a, m, XMM15);
	} else if (width_of(type) == W32) {
		x64_mov_mi(&c->a, W32, m, (uint32_t)imm);
	} else if ((int64_t)imm == (int32_t)imm) {
		x64_mov_mi(&c->a, W64, m, (uint32_t)imm);
	} else {
		x64_mov_mi(&c->a, W32, m, (uint32_t)imm);
		m.disp += 4;
		x64_mov_mi(&c->a, W32, m, (uint32_t)(imm >> 32));
	}
}

// To frame memory, through xmm15 if it is in memory.
void baseline__store_val(struct comp *c, struct x64_mem m, const struct val *v)
{
	uint8_t s = baseline__reg_of(c, v);
	if (s == NO_REG && v->kind != K_CONST) {
		s = XMM15;
		baseline__move_to(c, s, v);
	}
	if (v->kind == K_CONST)
		store_const(c, v->type, m, v->imm);
	else
		baseline__store(c, v->type, m, s);
}

// The same as an 8-byte cell with a zero upper half (R5).
void baseline__store_cell(struct comp *c, struct x64_mem m, const struct val *v)
{
	baseline__store_val(c, m, v);
	if (width_of(v->type) == W32) {
		m.disp += 4;
		x64_mov_mi(&c->a, W32, m, 0);
	}
}

// A 32-bit load into an xmm register clears the rest (R5).
void baseline__copy_to_cell(struct comp *c, unsigned type, struct x64_mem to, struct x64_mem from)
{
	unsigned whole = type == WASM_V128 ? WASM_V128 : WASM_F64;
	baseline__load(c, width_of(type) == W32 ? WASM_F32 : whole, XMM15, from);
	baseline__store(c, whole, to, XMM15);
}

// What a function that may trap left for us, to rax.
void baseline__libcall_result(struct comp *c)
{
	x64_mov_rm(&c->a, W64, RAX, at_vmctx(offsetof(struct abi_vmctx, exec)));
	x64_mov_rm(&c->a, W64, RAX, x64_at(x64_r64(RAX), offsetof(struct abi_exec, libcall_result)));
}

// ---- temps ------------------------------------------------------------------------------------------------------
static void spill_entry(struct comp *c, uint32_t i)
{
	struct val *v = &c->stack[i];
	baseline__store(c, v->type, slot_of(c, i), v->reg);
	c->used &= ~BIT(v->reg);
	v->kind = K_SLOT;
	v->local = i;
}

// The oldest entry that owns one of the registers goes to its slot.
void baseline__spill_one(struct comp *c, uint32_t among)
{
	uint32_t oldest = UINT32_MAX;
	for (uint32_t mask = among & c->used & ~c->lock; mask; mask &= mask - 1) {
		uint32_t i = c->owner[__builtin_ctz(mask)];
		if (i < oldest)
			oldest = i;
	}
	BUG_ON(oldest == UINT32_MAX);
	spill_entry(c, oldest);
}

// The register is nobody's afterwards, and locked. (A popped operand that has it is the caller's concern.)
void baseline__claim(struct comp *c, unsigned reg)
{
	drop_cache(c, reg);
	if (c->used & BIT(reg)) {
		struct val *v = &c->stack[c->owner[reg]];
		uint32_t free = (reg >= XMM0 ? c->temps & ALL_XMM : c->temps & ~ALL_XMM) & ~(c->used | c->lock | c->cached);
		if (free) {
			unsigned to = (unsigned)__builtin_ctz(free);
			if (reg >= XMM0)
				x64_movaps(&c->a, to, reg);
			else
				x64_mov_rr(&c->a, W64, to, reg);
			c->used = (c->used & ~BIT(reg)) | BIT(to);
			c->owner[to] = c->owner[reg];
			v->reg = (uint8_t)to;
		} else {
			spill_entry(c, c->owner[reg]);
		}
	}
	c->lock |= BIT(reg);
}

// ---- operands ---------------------------------------------------------------------------------------------------
unsigned baseline__invert(unsigned cc)
{
	return cc ^ 1;  // CC_FEQ and CC_FNE too
}

// FLAGS become 0 or 1 in a register.
void baseline__materialize(struct comp *c, struct val *v)
{
	c->keep_flags = true;
	uint8_t d = baseline__hint(c);
	c->keep_flags = false;
	if (d == NO_REG)
		d = alloc(c, false);
	if (v->reg >= CC_FEQ) {
		uint8_t t = alloc(c, false);
		bool eq = v->reg == CC_FEQ;
		x64_setcc(&c->a, eq ? CC_NP : CC_P, t);
		x64_setcc(&c->a, eq ? CC_E : CC_NE, d);
		x64_alu_rr(&c->a, W32, eq ? ALU_AND : ALU_OR, d, t);
	} else {
		x64_setcc(&c->a, v->reg, d);
	}
	x64_ext_rr(&c->a, W32, EXT_ZX8, d, d);
	v->kind = K_REG;
	v->reg = d;
}

uint8_t baseline__use_reg_slow(struct comp *c, struct val *v)
{
	uint8_t r = alloc(c, in_vector(v->type));
	baseline__move_to(c, r, v);
	if (v->kind == K_LOCAL) {
		set_cache(c, r, v->local);
	} else {
		v->kind = K_REG;
		v->reg = r;
	}
	return r;
}

// A copy would cost another local its cache, or this one (and the copy would be read from its home): the popped value has the temp itself instead.
bool baseline__take_cache(struct comp *c, struct val *v)
{
	if (v->kind != K_LOCAL || c->locals[v->local].pin != NO_REG || c->locals[v->local].cache == NO_REG)
		return false;
	uint8_t r = c->locals[v->local].cache;
	uint32_t among = r >= XMM0 ? c->temps & ALL_XMM : c->temps & ~ALL_XMM;
	if ((c->lock & BIT(r)) || (among & ~(c->used | c->lock | c->cached)))
		return false;
	c->lock |= BIT(r);
	drop_cache(c, r);
	v->kind = K_REG;
	v->reg = r;
	return true;
}

uint8_t baseline__own_reg(struct comp *c, struct val *v)
{
	if (v->kind == K_REG)
		return v->reg;
	if (baseline__take_cache(c, v))
		return v->reg;
	uint8_t r = alloc(c, in_vector(v->type));
	baseline__move_to(c, r, v);
	v->kind = K_REG;
	v->reg = r;
	return r;
}

struct operand baseline__use(struct comp *c, struct val *v)
{
	uint8_t r = baseline__reg_of(c, v);
	if (r != NO_REG) {
		c->lock |= BIT(r);
		return (struct operand){.reg = r};
	}
	if (v->kind == K_SLOT)
		return (struct operand){.is_mem = true, .reg = NO_REG, .mem = slot_of(c, v->local)};
	if (v->kind == K_LOCAL)
		return (struct operand){.is_mem = true, .reg = NO_REG, .mem = at_rbp(c->locals[v->local].home)};
	if (is_float(v->type) && v->imm)
		return (struct operand){.is_mem = true, .is_pool = true, .reg = NO_REG, .mem = x64_at(x64_r64(X64_RIP), 0), .bits = v->imm};
	return (struct operand){.reg = baseline__use_reg(c, v)};
}

// ---- results ----------------------------------------------------------------------------------------------------
void baseline__flush_refs(struct comp *c, uint32_t local)
{
	struct local *l = &c->locals[local];
	while (l->lazy) {
		uint32_t i = l->lazy - 1;
		struct val *v = &c->stack[i];
		uint32_t older = v->link;
		uint8_t r = alloc(c, in_vector(v->type));
		baseline__move_to(c, r, v);
		baseline__produced(c, v->type, r);
		c->lock &= ~BIT(r);
		c->used |= BIT(r);
		c->owner[r] = i;
		v->kind = K_REG;
		v->reg = r;
		l->lazy = older;
		x64_room(&c->a, 256);
	}
}

uint8_t baseline__hint_slow(struct comp *c, bool tee)
{
	const uint8_t *p = c->p + 1;
	uint32_t local = wasm_read_u32(&p);
	struct local *l = &c->locals[local];
	if (l->pin == NO_REG)
		return NO_REG;
	if (l->lazy)
		baseline__flush_refs(c, local);
	c->hint = local;
	c->hint_next = p;
	c->hint_tee = tee;
	return l->pin;
}

// The debugging modes: garbage into the upper half of an i32, or a check that there is none.
void baseline__produced_slow(struct comp *c, unsigned type, unsigned reg)
{
	if (reg >= XMM0 || width_of(type) != W32 || c->keep_flags)
		return;
	if (c->opt->poison_upper) {
		x64_bts_ri(&c->a, reg, 62);
		x64_bts_ri(&c->a, reg, 33);
	} else {
		x64_push(&c->a, reg);
		x64_alu_mi(&c->a, W32, ALU_CMP, x64_at(x64_r64(RSP), 4), 0);
		uint32_t skip = x64_short_jcc(&c->a, CC_E);
		x64_ud2(&c->a);
		x64_short_bind(&c->a, skip);
		x64_lea(&c->a, W64, RSP, x64_at(x64_r64(RSP), 8));
	}
	c->zf_at = UINT32_MAX;
}

// The hint's instruction is consumed.
void baseline__finish_slow(struct comp *c, unsigned type, unsigned reg)
{
	c->p = c->hint_next;
	c->locals[c->hint].clean = false;
	if (c->hint_tee)
		push_local(c, c->hint);
	c->hint = NO_LOCAL;
}

void baseline__push_flags(struct comp *c, unsigned cc)
{
	struct val v = {.kind = K_FLAGS, .type = WASM_I32, .reg = (uint8_t)cc};
	switch (*c->p) {
	case 0x0d:  // br_if
	case 0x04:  // if
	case 0x1b:  // select
	case 0x45:  // i32.eqz
		c->stack[c->sp++] = v;
		return;
	default:
		baseline__materialize(c, &v);
		baseline__finish(c, WASM_I32, v.reg);
	}
}

void baseline__set_local(struct comp *c, uint32_t local, struct val *v)
{
	struct local *l = &c->locals[local];
	if (v->kind == K_LOCAL && v->local == local)
		return;
	if (l->lazy)
		baseline__flush_refs(c, local);
	if (l->pin != NO_REG) {
		l->clean = false;
		baseline__move_to(c, l->pin, v);
		baseline__produced(c, l->type, l->pin);
		return;
	}
	if (v->kind == K_CONST) {
		if (l->cache != NO_REG)
			drop_cache(c, l->cache);
		store_const(c, l->type, at_rbp(l->home), v->imm);
		return;
	}
	uint8_t r = baseline__use_reg(c, v);
	baseline__store(c, l->type, at_rbp(l->home), r);
	if (v->kind == K_REG)
		set_cache(c, r, local);
	else if (l->cache != NO_REG)
		drop_cache(c, l->cache);
}

// ---- jumps ------------------------------------------------------------------------------------------------------
void baseline__jcc(struct comp *c, unsigned cc, struct x64_label *l)
{
	if (cc == CC_FEQ) {
		uint32_t skip = x64_short_jcc(&c->a, CC_P);
		x64_jcc(&c->a, CC_E, l);
		x64_short_bind(&c->a, skip);
	} else if (cc == CC_FNE) {
		x64_jcc(&c->a, CC_P, l);
		x64_jcc(&c->a, CC_NE, l);
	} else {
		x64_jcc(&c->a, cc, l);
	}
}

struct ool *baseline__ool(struct comp *c, enum ool_kind kind)
{
	static _Thread_local struct ool nowhere;
	struct ool *o = VEC_ADD(NULL, &c->s->ool, 1u << 24);
	if (!o) {
		baseline__fail_nomem(c);
		o = &nowhere;
	}
	*o = (struct ool){.kind = (uint8_t)kind, .wasm_offset = op_offset(c), .from = X64_LABEL, .back = X64_LABEL};
	return o;
}

void baseline__jcc_trap(struct comp *c, unsigned cc, enum trap t)
{
	struct ool *o = baseline__ool(c, OOL_TRAP);
	o->trap = (uint8_t)t;
	x64_jcc(&c->a, cc, &o->from);
}

// ---- joins and calls --------------------------------------------------------------------------------------------
void baseline__forget(struct comp *c)
{
	while (c->cached)
		drop_cache(c, (unsigned)__builtin_ctz(c->cached));
	for (uint32_t mask = c->saved_pins; mask; mask &= mask - 1)
		c->locals[c->pin_local[__builtin_ctz(mask)]].clean = false;
	c->zf_at = UINT32_MAX;
}

void baseline__bind(struct comp *c, struct x64_label *l)
{
	x64_bind_next(&c->a, l);
	baseline__forget(c);
}

static void flush_entry(struct comp *c, uint32_t i, bool constants)
{
	struct val *v = &c->stack[i];
	if (v->kind == K_SLOT || (v->kind == K_CONST && !constants))
		return;
	x64_room(&c->a, 64);
	if (v->kind == K_REG)
		c->used &= ~BIT(v->reg);
	baseline__store_val(c, slot_of(c, i), v);
	if (v->kind == K_LOCAL)
		c->locals[v->local].lazy = v->link;
	v->kind = K_SLOT;
	v->local = i;
}

// From the top down: the newest lazy entry of a local is the head of its chain. Each entry is looked at once: what lies below one that was
// flushed was flushed with it or before.
void baseline__flush(struct comp *c, uint32_t nparams)
{
	uint32_t from = c->s->ctl.ptr[c->s->ctl.len - 1].height;
	for (uint32_t i = c->sp; i-- > from;) {
		bool is_param = i >= c->sp - nparams;
		if (!is_param && c->stack[i].flushed)
			break;
		flush_entry(c, i, is_param);
		c->stack[i].flushed = 1;
	}
}

void baseline__truncate(struct comp *c, uint32_t height)
{
	while (c->sp > height) {
		struct val v = c->stack[--c->sp];
		if (v.kind == K_REG)
			c->used &= ~BIT(v.reg);
		else if (v.kind == K_LOCAL)
			c->locals[v.local].lazy = v.link;
	}
}

void baseline__spill_temps_below(struct comp *c, uint32_t height)
{
	for (uint32_t mask = c->used; mask; mask &= mask - 1) {
		uint32_t i = c->owner[__builtin_ctz(mask)];
		if (i < height)
			spill_entry(c, i);
	}
}

void baseline__save_pins(struct comp *c)
{
	for (uint32_t mask = c->saved_pins; mask; mask &= mask - 1) {
		struct local *l = &c->locals[c->pin_local[__builtin_ctz(mask)]];
		if (!l->clean)
			baseline__store(c, l->type, at_rbp(l->home), l->pin);
		l->clean = true;
	}
}

void baseline__reload_pins(struct comp *c)
{
	for (uint32_t mask = c->saved_pins; mask; mask &= mask - 1) {
		struct local *l = &c->locals[c->pin_local[__builtin_ctz(mask)]];
		baseline__load(c, l->type, l->pin, at_rbp(l->home));
	}
}

static bool is_source(const struct pmove *moves, unsigned n, unsigned reg)
{
	for (unsigned i = 0; i < n; i++) {
		if (moves[i].src == reg)
			return true;
	}
	return false;
}

static void break_cycle(struct comp *c, struct pmove *moves, unsigned n)
{
	uint8_t d = moves[0].dst, s = moves[0].src;
	if (d >= XMM0) {
		x64_movaps(&c->a, XMM15, d);
		for (unsigned i = 0; i < n; i++) {
			if (moves[i].src == d)
				moves[i].src = XMM15;
		}
		return;
	}
	x64_xchg(&c->a, d, s);
	for (unsigned i = 0; i < n; i++)
		moves[i].src = moves[i].src == d ? s : moves[i].src == s ? d
																 : moves[i].src;
}

// All at once: no destination is overwritten before it was read. A destination occurs once; sources may occur often.
void baseline__parallel(struct comp *c, struct pmove *moves, unsigned n)
{
	while (n) {
		bool moved = false;
		for (unsigned i = 0; i < n;) {
			struct pmove m = moves[i];
			if (m.dst != m.src && is_source(moves, n, m.dst)) {
				i++;
				continue;
			}
			if (m.dst == m.src && !c->opt->poison_upper) {
				moves[i] = moves[--n];
				moved = true;
				continue;
			}
			// Poisoned: a move to itself zero-extends, harmless for others that read the same i32.
			baseline__move_rr(c, m.type, m.dst, m.src);
			moves[i] = moves[--n];
			moved = true;
		}
		if (!moved)
			break_cycle(c, moves, n);
	}
}

// ---- regions of handlers ----------------------------------------------------------------------------------------
void baseline__edge(struct comp *c, uint32_t region)
{
	struct edge *e = VEC_ADD(NULL, &c->s->edges, UINT32_MAX / 16);
	if (!e)
		baseline__fail_nomem(c);
	else
		*e = (struct edge){x64_pos(&c->a), region};
	c->a.jump_end = 0;  // what lies before it stays where it is
}

void baseline__landed(struct comp *c, const struct ctl *t)
{
	if (t->landing && t->kind != CTL_LOOP)
		c->s->landings.ptr[t->landing - 1] = t->label;
}

struct region *baseline__region_begin(struct comp *c, struct ctl *t)
{
	struct region *r = VEC_ADD(NULL, &c->s->regions, UINT32_MAX / 64);
	if (!r) {
		baseline__fail_nomem(c);
		return NULL;
	}
	*r = (struct region){.around = c->region};
	c->region = t->own = t->region = c->s->regions.len;
	baseline__edge(c, c->region);
	return r;
}

// Behind the label: where it is bound a jump to it, the last of the body, is taken back.
void baseline__region_end(struct comp *c, const struct ctl *t)
{
	if (!t->own || t->kind == CTL_LEGACY_CATCH)
		return;
	c->region = c->s->regions.ptr[t->own - 1].around;
	baseline__edge(c, c->region);
}

void baseline__catches_end(struct comp *c, const struct ctl *t)
{
	struct baseline_scratch *s = c->s;
	if (t->kind != CTL_LEGACY_CATCH)
		return;
	struct region *r = &s->regions.ptr[t->own - 1];
	r->first = s->clauses.len;
	for (uint32_t i = t->catches; i; i = s->caught.ptr[i - 1].next) {
		struct clause *to = VEC_ADD(NULL, &s->clauses, UINT32_MAX / 64);
		if (!to) {
			baseline__fail_nomem(c);
			return;
		}
		*to = s->caught.ptr[i - 1].clause;
		r->n++;
	}
}

// ---- the frame's bottom -----------------------------------------------------------------------------------------
void baseline__reserve(struct comp *c, uint32_t cells)
{
	if (cells > c->max_results)
		c->max_results = cells;
}
