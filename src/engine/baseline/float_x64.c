// Floating point and conversions. Scalar operations read exactly as many bytes as they are wide (L7); NaNs come out as the processor makes them.
#include "baseline_int.h"

static unsigned float_type(unsigned f)
{
	return f == W64 ? WASM_F64 : WASM_F32;
}

static uint8_t dst_for(struct comp *c, struct val *a)
{
	uint8_t d = baseline__hint(c);
	if (d != NO_REG)
		return d;
	return in_vector(a->type) && (a->kind == K_REG || baseline__take_cache(c, a)) ? a->reg : alloc(c, true);
}

static uint8_t int_dst(struct comp *c)
{
	uint8_t d = baseline__hint(c);
	return d != NO_REG ? d : alloc(c, false);
}

void baseline__emit_float_const(struct comp *c, unsigned f, unsigned arg)
{
	uint64_t bits = 0;
	memcpy(&bits, c->p, f == W64 ? 8 : 4);
	c->p += f == W64 ? 8 : 4;
	push_const(c, float_type(f), bits);
}

static void sse_operand(struct comp *c, unsigned f, unsigned op, unsigned d, struct operand b)
{
	if (!b.is_mem) {
		x64_sse_rr(&c->a, f, op, d, b.reg);
		return;
	}
	x64_sse_rm(&c->a, f, op, d, b.mem);
	if (b.is_pool)
		baseline__pool_ref(c, b.bits);
}

void baseline__emit_float_alu(struct comp *c, unsigned f, unsigned op)
{
	struct val b = pop(c), a = pop(c);
	bool commutes = op == SSE_ADD || op == SSE_MUL;
	struct operand ob = baseline__use(c, &b);
	uint8_t d = baseline__hint(c);
	if (d == NO_REG && a.kind == K_REG)
		d = a.reg;
	if (d == NO_REG && commutes && b.kind == K_REG)
		d = b.reg;
	if (d == NO_REG && baseline__take_cache(c, &a))
		d = a.reg;
	uint8_t ra = baseline__reg_of(c, &a);
	if (d == NO_REG) {
		c->lock |= ra != NO_REG ? BIT(ra) : 0;
		d = alloc(c, true);
	}
	if (!ob.is_mem && ob.reg == d && ra != d) {
		if (commutes) {
			sse_operand(c, f, op, d, baseline__use(c, &a));
		} else {
			x64_movaps(&c->a, XMM15, d);
			baseline__move_to(c, d, &a);
			x64_sse_rr(&c->a, f, op, d, XMM15);
		}
	} else if (ra != NO_REG && ra != d && !ob.is_mem && (c->opt->cpu & CODE_CPU_AVX)) {
		x64_avx_rr(&c->a, f, op, d, ra, ob.reg);
	} else {
		baseline__move_to(c, d, &a);
		sse_operand(c, f, op, d, ob);
	}
	baseline__finish(c, float_type(f), d);
}

// min, max: equal values may be zeros of two signs; an unordered pair gives a quiet NaN by addition.
void baseline__emit_float_minmax(struct comp *c, unsigned f, unsigned op)
{
	struct val b = pop(c), a = pop(c);
	uint8_t rb = baseline__use_reg(c, &b), d = baseline__own_reg(c, &a);
	struct x64 *s = &c->a;
	x64_ucomis_rr(s, f, d, rb);
	uint32_t differ = x64_short_jcc(s, CC_NE);
	uint32_t nan = x64_short_jcc(s, CC_P);
	x64_logic_rr(s, op == SSE_MIN ? LOGIC_OR : LOGIC_AND, d, rb);
	uint32_t done = x64_short_jmp(s);
	x64_short_bind(s, nan);
	x64_sse_rr(s, f, SSE_ADD, d, rb);
	uint32_t done2 = x64_short_jmp(s);
	x64_short_bind(s, differ);
	x64_sse_rr(s, f, op, d, rb);
	x64_short_bind(s, done);
	x64_short_bind(s, done2);
	baseline__finish(c, float_type(f), d);
}

void baseline__emit_float_sqrt(struct comp *c, unsigned f, unsigned arg)
{
	struct val a = pop(c);
	uint8_t d = dst_for(c, &a), ra = baseline__use_reg(c, &a);
	x64_sse_rr(&c->a, f, SSE_SQRT, d, ra);
	baseline__finish(c, float_type(f), d);
}

void baseline__emit_float_round(struct comp *c, unsigned f, unsigned mode)
{
	struct val a = pop(c);
	uint8_t d = dst_for(c, &a), ra = baseline__use_reg(c, &a);
	x64_round(&c->a, f, d, ra, mode);
	baseline__finish(c, float_type(f), d);
}

// xmm15 := the sign bit, or all bits but it.
static void sign_mask(struct comp *c, unsigned f, bool only_sign)
{
	x64_pcmpeqd(&c->a, XMM15);
	if (only_sign)
		x64_psll(&c->a, f, XMM15, f == W64 ? 63 : 31);
	else
		x64_psrl(&c->a, f, XMM15, 1);
}

void baseline__emit_float_sign(struct comp *c, unsigned f, unsigned negate)
{
	struct val a = pop(c);
	uint8_t d = dst_for(c, &a);
	baseline__move_to(c, d, &a);
	sign_mask(c, f, negate);
	x64_logic_rr(&c->a, negate ? LOGIC_XOR : LOGIC_AND, d, XMM15);
	baseline__finish(c, float_type(f), d);
}

void baseline__emit_float_copysign(struct comp *c, unsigned f, unsigned arg)
{
	struct val b = pop(c), a = pop(c);
	uint8_t s = baseline__own_reg(c, &b), d = baseline__own_reg(c, &a);
	sign_mask(c, f, true);
	x64_logic_rr(&c->a, LOGIC_AND, s, XMM15);
	x64_logic_rr(&c->a, LOGIC_ANDN, XMM15, d);
	x64_logic_rr(&c->a, LOGIC_OR, XMM15, s);
	x64_movaps(&c->a, d, XMM15);
	baseline__finish(c, float_type(f), d);
}

// a < b is b > a: "above" is false for unordered pairs.
enum { FLOAT_EQ, FLOAT_NE, FLOAT_LT, FLOAT_GT, FLOAT_LE, FLOAT_GE };
void baseline__emit_float_cmp(struct comp *c, unsigned f, unsigned what)
{
	static const uint8_t conditions[] = {[FLOAT_EQ] = CC_FEQ, [FLOAT_NE] = CC_FNE, [FLOAT_LT] = CC_A, [FLOAT_GT] = CC_A, [FLOAT_LE] = CC_AE, [FLOAT_GE] = CC_AE};
	struct val b = pop(c), a = pop(c);
	if (what == FLOAT_LT || what == FLOAT_LE) {
		struct val t = a;
		a = b;
		b = t;
	}
	uint8_t ra = baseline__use_reg(c, &a);
	struct operand ob = baseline__use(c, &b);
	if (ob.is_mem)
		x64_ucomis_rm(&c->a, f, ra, ob.mem);
	else
		x64_ucomis_rr(&c->a, f, ra, ob.reg);
	if (ob.is_pool)
		baseline__pool_ref(c, ob.bits);
	baseline__push_flags(c, conditions[what]);
}

// ---- conversions ------------------------------------------------------------------------------------------------
// arg: type of the operand
void baseline__emit_convert_s(struct comp *c, unsigned f, unsigned from)
{
	struct val a = pop(c);
	uint8_t d = dst_for(c, &a), ra = baseline__use_reg(c, &a);
	x64_logic_rr(&c->a, LOGIC_XOR, d, d);  // no dependency on what was there
	x64_cvt_xr(&c->a, f, width_of(from), d, ra);
	baseline__finish(c, float_type(f), d);
}

void baseline__emit_convert_u(struct comp *c, unsigned f, unsigned from)
{
	struct val a = pop(c);
	struct x64 *s = &c->a;
	if (from == WASM_I32) {
		uint8_t r = baseline__use_zext(c, &a).n, d = dst_for(c, &a);
		x64_logic_rr(s, LOGIC_XOR, d, d);
		x64_cvt_xr(s, f, W64, d, r);
		baseline__finish(c, float_type(f), d);
		return;
	}
	// Halved with the lost bit kept (for rounding), converted, doubled, if the top bit is set.
	uint8_t ra = baseline__use_reg(c, &a), t = alloc(c, false), u = alloc(c, false), d = dst_for(c, &a);
	x64_logic_rr(s, LOGIC_XOR, d, d);
	x64_test_rr(s, W64, ra, ra);
	uint32_t large = x64_short_jcc(s, CC_S);
	x64_cvt_xr(s, f, W64, d, ra);
	uint32_t done = x64_short_jmp(s);
	x64_short_bind(s, large);
	x64_mov_rr(s, W64, t, ra);
	x64_mov_rr(s, W64, u, ra);
	x64_shift_ri(s, W64, SHIFT_SHR, t, 1);
	x64_alu_ri(s, W32, ALU_AND, u, 1);
	x64_alu_rr(s, W64, ALU_OR, t, u);
	x64_cvt_xr(s, f, W64, d, t);
	x64_sse_rr(s, f, SSE_ADD, d, d);
	x64_short_bind(s, done);
	baseline__finish(c, float_type(f), d);
}

// w: of the operand
void baseline__emit_float_resize(struct comp *c, unsigned f, unsigned arg)
{
	struct val a = pop(c);
	uint8_t d = dst_for(c, &a), ra = baseline__use_reg(c, &a);
	x64_cvt_xx(&c->a, f, d, ra);
	baseline__finish(c, f == W64 ? WASM_F32 : WASM_F64, d);
}

enum { TRUNC_SIGNED = 1, TRUNC_SAT = 2, TRUNC_FROM64 = 4 };
// The common range inline: the processor answers 0x8000... for all that it can't convert. The rest is the runtime's.
void baseline__emit_trunc(struct comp *c, unsigned w, unsigned flags)
{
	unsigned f = flags & TRUNC_FROM64 ? W64 : W32;
	const uint8_t *p = c->op_at;
	enum wasm_op op = wasm_read_op(&p);
	struct val a = pop(c);
	struct x64 *s = &c->a;
	uint8_t src = baseline__use_reg(c, &a), d, t = 0;
	bool is_u32 = w == W32 && !(flags & TRUNC_SIGNED);
	if (is_u32)
		t = alloc(c, false);
	uint32_t live = c->used | c->cached | c->pinned;
	d = int_dst(c);
	live |= c->used;
	struct ool *o = baseline__ool(c, OOL_TRUNC);
	o->dst = d;
	o->src = src;
	o->w = (uint8_t)w;
	o->op = (uint16_t)op;
	o->saturating = flags & TRUNC_SAT;
	o->is_float64 = f == W64;
	x64_cvtt_rx(s, f, is_u32 ? W64 : w, d, src);
	if (is_u32) {
		x64_mov_rr(s, W32, t, d);
		x64_alu_rr(s, W64, ALU_CMP, t, d);
		x64_jcc(s, CC_NE, &o->from);
	} else if (flags & TRUNC_SIGNED) {
		x64_alu_ri(s, w, ALU_CMP, d, 1);
		x64_jcc(s, CC_O, &o->from);
	} else {
		x64_test_rr(s, W64, d, d);
		x64_jcc(s, CC_S, &o->from);
	}
	x64_bind(s, &o->back);
	o->live = live & ~BIT(d);
	baseline__finish(c, w == W64 ? WASM_I64 : WASM_I32, d);
}

// w: width of both; arg: type of the result
void baseline__emit_reinterpret(struct comp *c, unsigned w, unsigned to)
{
	struct val a = pop(c);
	if (a.kind == K_CONST) {
		push_const(c, to, a.imm);
		return;
	}
	bool floats = is_float(to);
	uint8_t r = baseline__reg_of(c, &a), d = floats ? dst_for(c, &a) : int_dst(c);
	if (r == NO_REG) {
		a.type = (uint8_t)to;
		baseline__move_to(c, d, &a);
	} else if (floats) {
		x64_mov_xr(&c->a, w, d, r);
	} else {
		x64_mov_rx(&c->a, w, d, r);
	}
	baseline__finish(c, to, d);
}
