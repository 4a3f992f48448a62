// Vectors of floats: what is more than one instruction. NaNs come out as the processor makes them, but of min and max, which give a canonical one.
// Relaxed instructions give what the specification's deterministic profile says.
#include "vec_x64.h"

#define V66(op) X64_VEC(1, 1, op)
#define V38(op) X64_VEC(1, 2, op)
#define V3A(op) X64_VEC(1, 3, op)
#define VPS(op) X64_VEC(0, 1, op)
enum {
	ANDPS = VPS(0x54),
	ANDNPS = VPS(0x55),
	ORPS = VPS(0x56),
	XORPS = VPS(0x57),
	CVTDQ2PS = VPS(0x5b),
	CVTTPS2DQ = X64_VEC(2, 1, 0x5b),
	CVTTPD2DQ = V66(0xe6),
};

// w: VEC_PS or VEC_66 (of doubles)
static unsigned float_op(unsigned w, unsigned op)
{
	return VEC_OP(w, op);
}

// arg: predicate of cmpps
void baseline__emit_vec_float_cmp(struct comp *c, unsigned w, unsigned predicate)
{
	struct val b = pop(c), a = pop(c);
	if (w & VEC_SWAPS) {
		struct val t = a;
		a = b;
		b = t;
	}
	uint8_t rb = baseline__use_reg(c, &b), ra = baseline__use_reg(c, &a), d = baseline__vec_last(c, &a);
	baseline__vec3_imm(c, float_op(w, 0xc2), d, ra, rb, predicate);
	baseline__finish(c, WASM_V128, d);
}

void baseline__emit_vec_float_sign(struct comp *c, unsigned w, unsigned negate)
{
	unsigned shift = w == VEC_66 ? 0x73 : 0x72;
	struct val a = pop(c);
	uint8_t ra = baseline__use_reg(c, &a), d = baseline__vec_last(c, &a);
	baseline__vec_ones(c, XMM15);
	if (negate)
		baseline__vec_shift(c, shift, 6, XMM15, XMM15, w == VEC_66 ? 63 : 31);
	else
		baseline__vec_shift(c, shift, 2, XMM15, XMM15, 1);
	baseline__vec3(c, negate ? XORPS : ANDPS, d, ra, XMM15);
	baseline__finish(c, WASM_V128, d);
}

void baseline__emit_vec_float_round(struct comp *c, unsigned w, unsigned mode)
{
	struct val a = pop(c);
	uint8_t ra = baseline__use_reg(c, &a), d = baseline__hint(c);
	if (d == NO_REG)
		d = baseline__vec_dst(c, &a);
	baseline__vec2_imm(c, V3A(w == VEC_66 ? 0x09 : 0x08), d, ra, mode);
	baseline__finish(c, WASM_V128, d);
}

// The processor's min gives the second operand for equal zeros and NaNs: taken both ways and put together. The bits of a NaN's payload below the top
// one are cleared then.
static void minimum(struct comp *c, unsigned w, unsigned d, unsigned ra, unsigned rb)
{
	uint8_t t = alloc(c, true);
	baseline__vec3(c, float_op(w, 0x5d), XMM15, ra, rb);
	baseline__vec3(c, float_op(w, 0x5d), t, rb, ra);
	baseline__vec3(c, ORPS, XMM15, XMM15, t);        // -0, and all of NaNs
	baseline__vec3_imm(c, float_op(w, 0xc2), t, t, XMM15, 3);  // unordered
	baseline__vec3(c, ORPS, XMM15, XMM15, t);
	baseline__vec_shift(c, w == VEC_66 ? 0x73 : 0x72, 2, t, t, w == VEC_66 ? 13 : 10);
	baseline__vec3(c, ANDNPS, d, t, XMM15);
}

static void maximum(struct comp *c, unsigned w, unsigned d, unsigned ra, unsigned rb)
{
	uint8_t t = alloc(c, true);
	baseline__vec3(c, float_op(w, 0x5f), XMM15, ra, rb);
	baseline__vec3(c, float_op(w, 0x5f), t, rb, ra);
	baseline__vec3(c, XORPS, t, t, XMM15);           // where they differ: zeros' signs, NaNs
	baseline__vec3(c, ORPS, XMM15, XMM15, t);
	baseline__vec3(c, float_op(w, 0x5c), XMM15, XMM15, t);     // -0 - -0 = +0; NaNs become quiet
	baseline__vec3_imm(c, float_op(w, 0xc2), t, t, XMM15, 3);
	baseline__vec_shift(c, w == VEC_66 ? 0x73 : 0x72, 2, t, t, w == VEC_66 ? 13 : 10);
	baseline__vec3(c, ANDNPS, d, t, XMM15);
}

void baseline__emit_vec_float_minmax(struct comp *c, unsigned w, unsigned is_max)
{
	struct val b = pop(c), a = pop(c);
	uint8_t rb = baseline__use_reg(c, &b), ra = baseline__use_reg(c, &a), d = alloc(c, true);
	if (is_max)
		maximum(c, w, d, ra, rb);
	else
		minimum(c, w, d, ra, rb);
	baseline__finish(c, WASM_V128, d);
}

// Rounded twice.
void baseline__emit_vec_float_madd(struct comp *c, unsigned w, unsigned negate)
{
	struct val sum = pop(c), b = pop(c), a = pop(c);
	uint8_t rs = baseline__use_reg(c, &sum), rb = baseline__use_reg(c, &b), ra = baseline__use_reg(c, &a), d = baseline__vec_dst(c, &a);
	baseline__vec3(c, float_op(w, 0x59), XMM15, ra, rb);
	baseline__vec3(c, float_op(w, negate ? 0x5c : 0x58), d, negate ? rs : XMM15, negate ? XMM15 : rs);
	baseline__finish(c, WASM_V128, d);
}

// ---- conversions ------------------------------------------------------------------------------------------------
// Halves of 16 bits each are exact: the low ones, and the rest (halved, so that it is not negative, and doubled). One rounding, in the sum.
void baseline__emit_vec_convert_u(struct comp *c, unsigned w, unsigned arg)
{
	struct val a = pop(c);
	uint8_t ra = baseline__use_reg(c, &a), d = baseline__vec_dst(c, &a);
	baseline__vec_zero(c, XMM15);
	baseline__vec3_imm(c, V3A(0x0e), XMM15, XMM15, ra, 0x55);
	baseline__vec3(c, V66(0xfa), d, ra, XMM15);
	baseline__vec2(c, CVTDQ2PS, XMM15, XMM15);
	baseline__vec_shift(c, 0x72, 2, d, d, 1);
	baseline__vec2(c, CVTDQ2PS, d, d);
	baseline__vec3(c, VPS(0x58), d, d, d);
	baseline__vec3(c, VPS(0x58), d, d, XMM15);
	baseline__finish(c, WASM_V128, d);
}

// 2^52 + x, as bits, less 2^52.
void baseline__emit_vec_convert_low_u(struct comp *c, unsigned w, unsigned arg)
{
	const uint64_t exponents = 0x4330000043300000ull, base = 0x4330000000000000ull;
	struct val a = pop(c);
	uint8_t ra = baseline__use_reg(c, &a), d = baseline__vec_dst(c, &a);
	baseline__vec3_const(c, VPS(0x14), d, ra, exponents, exponents);
	baseline__vec3_const(c, V66(0x5c), d, d, base, base);
	baseline__finish(c, WASM_V128, d);
}

// NaN becomes 0. What is too large comes out as 0x80000000; that is turned over where the operand was positive.
static void trunc_s(struct comp *c, unsigned d, unsigned ra)
{
	baseline__vec3_imm(c, VPS(0xc2), XMM15, ra, ra, 0);
	baseline__vec3(c, ANDPS, d, ra, XMM15);
	baseline__vec3(c, XORPS, XMM15, XMM15, d);  // top bit: not negative
	baseline__vec2(c, CVTTPS2DQ, d, d);
	baseline__vec3(c, ANDPS, XMM15, XMM15, d);
	baseline__vec_shift(c, 0x72, 4, XMM15, XMM15, 31);
	baseline__vec3(c, XORPS, d, d, XMM15);
}

// NaN and negative become 0. Below 2^31 the processor converts; above, x - 2^31 is converted too, clamped to 0 ... 2^31 - 1, and added to the
// 0x80000000 that x itself gave.
static void trunc_u(struct comp *c, unsigned d, unsigned ra)
{
	const uint64_t two31 = 0x4f0000004f000000ull;
	uint8_t t = alloc(c, true), big = alloc(c, true);
	baseline__vec_zero(c, XMM15);
	baseline__vec3(c, VPS(0x5f), d, ra, XMM15);
	baseline__vec3_const(c, VPS(0x5c), t, d, two31, two31);
	baseline__load_vector(c, big, (const uint64_t[]){two31, two31});
	baseline__vec3_imm(c, VPS(0xc2), big, big, t, 2);  // 2^31 <= x - 2^31
	baseline__vec2(c, CVTTPS2DQ, t, t);
	baseline__vec3(c, XORPS, t, t, big);
	baseline__vec3(c, V38(0x3d), t, t, XMM15);
	baseline__vec2(c, CVTTPS2DQ, d, d);
	baseline__vec3(c, V66(0xfe), d, d, t);
}

void baseline__emit_vec_trunc(struct comp *c, unsigned w, unsigned is_signed)
{
	struct val a = pop(c);
	uint8_t ra = baseline__use_reg(c, &a), d = alloc(c, true);
	if (is_signed)
		trunc_s(c, d, ra);
	else
		trunc_u(c, d, ra);
	baseline__finish(c, WASM_V128, d);
}

// Of doubles: clamped before they are converted; min and max give their second operand for a NaN.
void baseline__emit_vec_trunc_low(struct comp *c, unsigned w, unsigned is_signed)
{
	const uint64_t max_s = 0x41dfffffffc00000ull, max_u = 0x41efffffffe00000ull, two52 = 0x4330000000000000ull;
	struct val a = pop(c);
	uint8_t ra = baseline__use_reg(c, &a), d = alloc(c, true);
	if (is_signed) {
		baseline__vec3_imm(c, V66(0xc2), XMM15, ra, ra, 0);
		baseline__vec3_const(c, V66(0x54), XMM15, XMM15, max_s, max_s);
		baseline__vec3(c, V66(0x5d), d, ra, XMM15);
		baseline__vec2(c, CVTTPD2DQ, d, d);
	} else {
		baseline__vec_zero(c, XMM15);
		baseline__vec3(c, V66(0x5f), d, ra, XMM15);
		baseline__vec3_const(c, V66(0x5d), d, d, max_u, max_u);
		baseline__vec2_imm(c, V3A(0x09), d, d, ROUND_TRUNC);
		baseline__vec3_const(c, V66(0x58), d, d, two52, two52);  // the integer stands in the low half
		baseline__vec3_imm(c, VPS(0xc6), d, d, XMM15, 0x88);
	}
	baseline__finish(c, WASM_V128, d);
}
