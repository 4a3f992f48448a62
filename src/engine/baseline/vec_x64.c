// Vectors: operands, and the instructions that treat all lanes alike.
//
//  1. With AVX an instruction has three operands and reads any address; without it the first operand is overwritten, and 16 bytes of memory must be
//     aligned: only constants are read from memory then, everything else is loaded first (L8).
//  2. Memory is an operand only where 16 bytes lie there: a slot or home of a v128, a constant (L7).
//  3. A sequence writes its destination, which may be the first operand's temp (baseline__vec_dst), when it has read that for the last time. A pin
//     (baseline__hint), which may be any operand, is written by single instructions and, with AVX, by the last of a sequence (baseline__vec_last).
//  4. All forms have 128 bits: upper halves of ymm registers are zero and stay so, no vzeroupper is needed.
#include "vec_x64.h"

#define V66(op) X64_VEC(1, 1, op)
#define V38(op) X64_VEC(1, 2, op)
enum {
	PAND = V66(0xdb),
	PXOR = V66(0xef),
	PTEST = V38(0x17),
	PACKUSWB = V66(0x67),
	PACKSSWB = V66(0x63),
	PSUBQ = V66(0xfb),
	PCMPGTQ = V38(0x37),
};

// ---- one instruction --------------------------------------------------------------------------------------------
void baseline__vec3(struct comp *c, unsigned op, unsigned d, unsigned s, unsigned t)
{
	if (baseline__has_avx(c)) {
		x64_vex_rr(&c->a, op, W32, d, s, t);
		return;
	}
	BUG_ON(d == t && d != s);
	if (d != s)
		x64_movaps(&c->a, d, s);
	x64_vec_rr(&c->a, op, W32, d, t);
}

void baseline__vec2(struct comp *c, unsigned op, unsigned d, unsigned s)
{
	if (baseline__has_avx(c))
		x64_vex_rr(&c->a, op, W32, d, 0, s);
	else
		x64_vec_rr(&c->a, op, W32, d, s);
}

void baseline__vec3_imm(struct comp *c, unsigned op, unsigned d, unsigned s, unsigned t, unsigned imm)
{
	baseline__vec3(c, op, d, s, t);
	x64_b(&c->a, imm);
}

void baseline__vec2_imm(struct comp *c, unsigned op, unsigned d, unsigned s, unsigned imm)
{
	baseline__vec2(c, op, d, s);
	x64_b(&c->a, imm);
}

void baseline__vec3_const(struct comp *c, unsigned op, unsigned d, unsigned s, uint64_t low, uint64_t high)
{
	const uint64_t bits[2] = {low, high};
	struct x64_mem at = x64_at(x64_r64(X64_RIP), 0);
	if (baseline__has_avx(c)) {
		x64_vex_rm(&c->a, op, W32, d, s, at);
	} else {
		if (d != s)
			x64_movaps(&c->a, d, s);
		x64_vec_rm(&c->a, op, W32, d, at);
	}
	baseline__pool_vector(c, bits);
}

void baseline__vec_shift(struct comp *c, unsigned op, unsigned form, unsigned d, unsigned s, unsigned n)
{
	if (baseline__has_avx(c)) {
		x64_vex_rr(&c->a, V66(op), W32, form, d, s);
	} else {
		if (d != s)
			x64_movaps(&c->a, d, s);
		x64_vec_rr(&c->a, V66(op), W32, form, d);
	}
	x64_b(&c->a, n);
}

// Without AVX the pin may be an operand that the instruction wants unchanged.
uint8_t baseline__vec_last(struct comp *c, const struct val *a)
{
	uint8_t d = baseline__has_avx(c) ? baseline__hint(c) : NO_REG;
	return d != NO_REG ? d : baseline__vec_dst(c, a);
}

void baseline__vec_zero(struct comp *c, unsigned d)
{
	x64_logic_rr(&c->a, LOGIC_XOR, d, d);
}

void baseline__vec_ones(struct comp *c, unsigned d)
{
	x64_pcmpeqd(&c->a, d);
}

// Equal ones that follow each other closely are shared. Functions begin at multiples of 16, here and in the artifact.
void baseline__vec_pool(struct comp *c)
{
	struct x64 *a = &c->a;
	if (!c->s->vectors.len)
		return;
	struct {
		uint64_t bits[2];
		uint32_t at;
	} seen[64] = {0};
	x64_room(a, 64);
	x64_align(a, 16);
	for (uint32_t i = 0; i < c->s->vectors.len; i++) {
		const struct pooled_vector *p = &c->s->vectors.ptr[i];
		unsigned h = (unsigned)(((p->bits[0] ^ p->bits[1] * 0xc2b2ae3d27d4eb4full) * 0x9e3779b97f4a7c15ull) >> 58);
		x64_room(a, 16);
		if (!seen[h].at || memcmp(seen[h].bits, p->bits, 16) != 0) {
			memcpy(seen[h].bits, p->bits, 16);
			seen[h].at = x64_pos(a);
			x64_q(a, p->bits[0]);
			x64_q(a, p->bits[1]);
		}
		uint32_t disp = seen[h].at - (p->at + 4);
		if (!a->failed)
			memcpy(a->base + p->at, &disp, 4);
	}
}

void baseline__emit_vec_const(struct comp *c, unsigned w, unsigned arg)
{
	static const uint8_t zero[16];
	const uint8_t *bits = c->p;
	c->p += 16;
	push_const(c, WASM_V128, memcmp(bits, zero, 16) != 0 ? (uint64_t)(uintptr_t)bits : 0);
}

// ---- two operands -----------------------------------------------------------------------------------------------
static void swap(struct val *a, struct val *b)
{
	struct val t = *a;
	*a = *b;
	*b = t;
}

static bool in_memory(const struct comp *c, const struct val *v)
{
	return baseline__reg_of(c, v) == NO_REG && (v->kind != K_CONST || v->imm);
}

static void binary_avx(struct comp *c, unsigned op, struct val *a, struct val *b)
{
	uint8_t ra = baseline__use_reg(c, a);
	bool is_pool = b->kind == K_CONST, is_mem = in_memory(c, b);
	struct x64_mem m = x64_at(x64_r64(X64_RIP), 0);
	uint8_t rb = is_mem ? NO_REG : baseline__use_reg(c, b);
	if (is_mem && !is_pool)
		m = baseline__use(c, b).mem;
	uint8_t d = baseline__hint(c);
	if (d == NO_REG)
		d = a->kind == K_REG ? a->reg : b->kind == K_REG ? b->reg
														 : alloc(c, true);
	if (!is_mem) {
		x64_vex_rr(&c->a, op, W32, d, ra, rb);
		return baseline__finish(c, WASM_V128, d);
	}
	x64_vex_rm(&c->a, op, W32, d, ra, m);
	if (is_pool)
		baseline__pool_vector(c, (const void *)(uintptr_t)b->imm);
	baseline__finish(c, WASM_V128, d);
}

static void binary_sse(struct comp *c, unsigned op, bool commutes, struct val *a, struct val *b)
{
	uint8_t rb = baseline__use_reg(c, b), d = baseline__hint(c);
	if (d == NO_REG)
		d = a->kind == K_REG ? a->reg : commutes && b->kind == K_REG ? b->reg
																	 : alloc(c, true);
	if (d != rb || baseline__reg_of(c, a) == d) {
		baseline__move_to(c, d, a);
		x64_vec_rr(&c->a, op, W32, d, rb);
	} else if (commutes) {
		x64_vec_rr(&c->a, op, W32, d, baseline__use_reg(c, a));
	} else {
		x64_movaps(&c->a, XMM15, rb);
		baseline__move_to(c, d, a);
		x64_vec_rr(&c->a, op, W32, d, XMM15);
	}
	baseline__finish(c, WASM_V128, d);
}

// w: prefix, map, how its operands are; arg: opcode
void baseline__emit_vec_binary(struct comp *c, unsigned w, unsigned op)
{
	struct val b = pop(c), a = pop(c);
	if ((w & VEC_SWAPS) || ((w & VEC_COMMUTES) && in_memory(c, &a)))
		swap(&a, &b);
	if (baseline__has_avx(c))
		binary_avx(c, VEC_OP(w, op), &a, &b);
	else
		binary_sse(c, VEC_OP(w, op), w & VEC_COMMUTES, &a, &b);
}

void baseline__emit_vec_unary(struct comp *c, unsigned w, unsigned op)
{
	struct val a = pop(c);
	uint8_t ra = baseline__use_reg(c, &a), d = baseline__hint(c);
	if (d == NO_REG)
		d = baseline__vec_dst(c, &a);
	baseline__vec2(c, VEC_OP(w, op), d, ra);
	baseline__finish(c, WASM_V128, d);
}

void baseline__emit_vec_not(struct comp *c, unsigned w, unsigned arg)
{
	struct val a = pop(c);
	uint8_t ra = baseline__use_reg(c, &a), d = baseline__vec_last(c, &a);
	baseline__vec_ones(c, XMM15);
	baseline__vec3(c, PXOR, d, ra, XMM15);
	baseline__finish(c, WASM_V128, d);
}

// (a & mask) | (b & ~mask) = ((a ^ b) & mask) ^ b
void baseline__emit_vec_select(struct comp *c, unsigned w, unsigned arg)
{
	struct val mask = pop(c), b = pop(c), a = pop(c);
	uint8_t rm = baseline__use_reg(c, &mask), rb = baseline__use_reg(c, &b), ra = baseline__use_reg(c, &a), d = baseline__vec_last(c, &a);
	baseline__vec3(c, PXOR, XMM15, ra, rb);
	baseline__vec3(c, PAND, XMM15, XMM15, rm);
	baseline__vec3(c, PXOR, d, XMM15, rb);
	baseline__finish(c, WASM_V128, d);
}

// ---- comparisons ------------------------------------------------------------------------------------------------
static const uint16_t equal[] = {V66(0x74), V66(0x75), V66(0x76), V38(0x29)};

static void invert(struct comp *c, unsigned d, unsigned s)
{
	BUG_ON(d == s);
	baseline__vec_ones(c, d);
	baseline__vec3(c, PXOR, d, d, s);
}

// There are "equal" and "greater, signed". The rest: a >= b where max(a, b) = a; a > b is not b >= a.
void baseline__emit_vec_cmp(struct comp *c, unsigned lane, unsigned what)
{
	static const uint16_t greater[] = {V66(0x64), V66(0x65), V66(0x66), PCMPGTQ};
	static const uint16_t max_s[] = {V38(0x3c), V66(0xee), V38(0x3d)}, max_u[] = {V66(0xde), V38(0x3e), V38(0x3f)};
	struct val b = pop(c), a = pop(c);
	if (what >= VEC_LT_S) {
		swap(&a, &b);
		what -= VEC_LT_S - VEC_GT_S;
	}
	uint8_t rb = baseline__use_reg(c, &b), ra = baseline__use_reg(c, &a), d = baseline__vec_last(c, &a);
	switch (what) {
	case VEC_EQ:
		baseline__vec3(c, equal[lane], d, ra, rb);
		break;
	case VEC_NE:
		baseline__vec3(c, equal[lane], XMM15, ra, rb);
		invert(c, d, XMM15);
		break;
	case VEC_GT_S:
		baseline__vec3(c, greater[lane], d, ra, rb);
		break;
	case VEC_GT_U:
		baseline__vec3(c, max_u[lane], XMM15, rb, ra);
		baseline__vec3(c, equal[lane], XMM15, XMM15, rb);
		invert(c, d, XMM15);
		break;
	case VEC_GE_S:
		if (lane == LANE_Q) {
			baseline__vec3(c, PCMPGTQ, XMM15, rb, ra);
			invert(c, d, XMM15);
			break;
		}
		baseline__vec3(c, max_s[lane], XMM15, ra, rb);
		baseline__vec3(c, equal[lane], d, ra, XMM15);
		break;
	default:
		baseline__vec3(c, max_u[lane], XMM15, ra, rb);
		baseline__vec3(c, equal[lane], d, ra, XMM15);
	}
	baseline__finish(c, WASM_V128, d);
}

void baseline__emit_vec_any_true(struct comp *c, unsigned w, unsigned arg)
{
	struct val a = pop(c);
	uint8_t ra = baseline__use_reg(c, &a);
	baseline__vec2(c, PTEST, ra, ra);
	baseline__push_flags(c, CC_NE);
}

// No lane equals zero.
void baseline__emit_vec_all_true(struct comp *c, unsigned lane, unsigned arg)
{
	struct val a = pop(c);
	uint8_t ra = baseline__use_reg(c, &a);
	baseline__vec_zero(c, XMM15);
	baseline__vec3(c, equal[lane], XMM15, XMM15, ra);
	baseline__vec2(c, PTEST, XMM15, XMM15);
	baseline__push_flags(c, CC_E);
}

void baseline__emit_vec_bitmask(struct comp *c, unsigned lane, unsigned arg)
{
	static const uint16_t masks[] = {V66(0xd7), V66(0xd7), X64_VEC(0, 1, 0x50), V66(0x50)};
	struct val a = pop(c);
	uint8_t ra = baseline__use_reg(c, &a), d = baseline__hint(c);
	if (d == NO_REG)
		d = alloc(c, false);
	if (lane == LANE_W) {
		baseline__vec3(c, PACKSSWB, XMM15, ra, ra);
		ra = XMM15;
	}
	baseline__vec2(c, masks[lane], d, ra);
	if (lane == LANE_W)
		x64_ext_rr(&c->a, W32, EXT_ZX8, d, d);
	baseline__finish(c, WASM_I32, d);
}

// ---- shifts -----------------------------------------------------------------------------------------------------
// d = the sign bit of each i64, shifted right by n (or by what is in xmm15): what an arithmetic shift is made of: (x >> n ^ d) - d.
static void shift_sign(struct comp *c, unsigned d, int n)
{
	baseline__vec_ones(c, d);
	baseline__vec_shift(c, 0x73, 6, d, d, 63);
	if (n >= 0)
		baseline__vec_shift(c, 0x73, 2, d, d, (unsigned)n);
	else
		baseline__vec3(c, V66(0xd3), d, d, XMM15);
}

// Bytes are shifted as words that hold them twice, by n + 8; `n` negative: xmm15 holds that.
static void shift_bytes_right(struct comp *c, unsigned op, unsigned d, unsigned s, int n)
{
	uint8_t high = alloc(c, true);
	bool sign = op == VEC_SHR_S;
	baseline__vec3(c, V66(0x68), high, s, s);
	baseline__vec3(c, V66(0x60), d, s, s);
	if (n >= 0) {
		baseline__vec_shift(c, 0x71, sign ? 4 : 2, high, high, (unsigned)n + 8);
		baseline__vec_shift(c, 0x71, sign ? 4 : 2, d, d, (unsigned)n + 8);
	} else {
		baseline__vec3(c, V66(sign ? 0xe1 : 0xd1), high, high, XMM15);
		baseline__vec3(c, V66(sign ? 0xe1 : 0xd1), d, d, XMM15);
	}
	baseline__vec3(c, sign ? PACKSSWB : PACKUSWB, d, d, high);
}

static void shift_const(struct comp *c, unsigned lane, unsigned op, struct val *a, unsigned n)
{
	static const uint8_t forms[] = {[VEC_SHL] = 6, [VEC_SHR_S] = 4, [VEC_SHR_U] = 2};
	bool one = n && lane != LANE_B && !(lane == LANE_Q && op == VEC_SHR_S);
	uint8_t ra = baseline__use_reg(c, a), d = one ? baseline__vec_last(c, a) : baseline__vec_dst(c, a);
	if (n == 0) {
		baseline__move_rr(c, WASM_V128, d, ra);
	} else if (lane == LANE_B && op != VEC_SHR_S) {
		// What would leave its byte is taken away first.
		uint64_t kept = (op == VEC_SHL ? 0xffu >> n : 0xffu << n & 0xff) * 0x0101010101010101ull;
		baseline__vec3_const(c, PAND, d, ra, kept, kept);
		baseline__vec_shift(c, 0x71, forms[op], d, d, n);
	} else if (lane == LANE_B) {
		shift_bytes_right(c, op, d, ra, (int)n);
	} else if (lane == LANE_Q && op == VEC_SHR_S) {
		shift_sign(c, XMM15, (int)n);
		baseline__vec_shift(c, 0x73, 2, d, ra, n);
		baseline__vec3(c, PXOR, d, d, XMM15);
		baseline__vec3(c, PSUBQ, d, d, XMM15);
	} else {
		baseline__vec_shift(c, 0x70 + lane, forms[op], d, ra, n);
	}
	baseline__finish(c, WASM_V128, d);
}

static void shift_bytes(struct comp *c, unsigned op, unsigned d, unsigned s, unsigned count)
{
	struct x64 *a = &c->a;
	x64_alu_ri(a, W32, ALU_ADD, count, 8);
	x64_mov_xr(a, W32, XMM15, count);
	if (op != VEC_SHL) {
		shift_bytes_right(c, op, d, s, -1);
		return;
	}
	// The bits that stay: bytes of 0xff >> n.
	uint8_t kept = alloc(c, true);
	baseline__vec_ones(c, kept);
	baseline__vec3(c, V66(0xd1), kept, kept, XMM15);
	baseline__vec3(c, PACKUSWB, kept, kept, kept);
	baseline__vec3(c, PAND, d, s, kept);
	x64_alu_ri(a, W32, ALU_SUB, count, 8);
	x64_mov_xr(a, W32, XMM15, count);
	baseline__vec3(c, V66(0xf1), d, d, XMM15);
}

// The count is taken modulo the lane's width; the processor's own counts saturate.
void baseline__emit_vec_shift(struct comp *c, unsigned lane, unsigned op)
{
	static const uint8_t first[] = {[VEC_SHL] = 0xf0, [VEC_SHR_S] = 0xe0, [VEC_SHR_U] = 0xd0};
	struct val n = pop(c), a = pop(c);
	uint32_t mask = (8u << lane) - 1;
	if (n.kind == K_CONST) {
		shift_const(c, lane, op, &a, (uint32_t)n.imm & mask);
		return;
	}
	uint8_t count = baseline__own_reg(c, &n), ra = baseline__use_reg(c, &a), d = baseline__vec_dst(c, &a);
	x64_alu_ri(&c->a, W32, ALU_AND, count, (int32_t)mask);
	if (lane == LANE_B) {
		shift_bytes(c, op, d, ra, count);
		baseline__finish(c, WASM_V128, d);
		return;
	}
	x64_mov_xr(&c->a, W32, XMM15, count);
	if (lane == LANE_Q && op == VEC_SHR_S) {
		uint8_t sign = alloc(c, true);
		shift_sign(c, sign, -1);
		baseline__vec3(c, V66(0xd3), d, ra, XMM15);
		baseline__vec3(c, PXOR, d, d, sign);
		baseline__vec3(c, PSUBQ, d, d, sign);
	} else {
		baseline__vec3(c, V66(first[op] + lane), d, ra, XMM15);
	}
	baseline__finish(c, WASM_V128, d);
}

// ---- integers, by sequences -------------------------------------------------------------------------------------
void baseline__emit_vec_neg(struct comp *c, unsigned lane, unsigned arg)
{
	struct val a = pop(c);
	uint8_t ra = baseline__use_reg(c, &a), d = alloc(c, true);
	baseline__vec_zero(c, d);
	baseline__vec3(c, V66(0xf8 + lane), d, d, ra);
	baseline__finish(c, WASM_V128, d);
}

void baseline__emit_vec_abs64(struct comp *c, unsigned w, unsigned arg)
{
	struct val a = pop(c);
	uint8_t ra = baseline__use_reg(c, &a), d = baseline__vec_dst(c, &a);
	baseline__vec_zero(c, XMM15);
	baseline__vec3(c, PCMPGTQ, XMM15, XMM15, ra);
	baseline__vec3(c, PXOR, d, ra, XMM15);
	baseline__vec3(c, PSUBQ, d, d, XMM15);
	baseline__finish(c, WASM_V128, d);
}

// By a table of the sixteen counts of four bits.
void baseline__emit_vec_popcnt(struct comp *c, unsigned w, unsigned arg)
{
	static const uint8_t counts[16] = {0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4};
	const uint64_t nibble = 0x0f0f0f0f0f0f0f0full;
	struct val a = pop(c);
	uint8_t ra = baseline__use_reg(c, &a), high = alloc(c, true), d = alloc(c, true);
	baseline__vec_shift(c, 0x71, 2, high, ra, 4);
	baseline__vec3_const(c, PAND, high, high, nibble, nibble);
	baseline__vec3_const(c, PAND, XMM15, ra, nibble, nibble);
	baseline__load_vector(c, d, counts);
	baseline__vec3(c, V38(0x00), d, d, XMM15);
	baseline__load_vector(c, XMM15, counts);
	baseline__vec3(c, V38(0x00), XMM15, XMM15, high);
	baseline__vec3(c, V66(0xfc), d, d, XMM15);
	baseline__finish(c, WASM_V128, d);
}

// a * b = low(a) low(b) + (high(a) low(b) + low(a) high(b)) 2^32
void baseline__emit_vec_mul64(struct comp *c, unsigned w, unsigned arg)
{
	struct val b = pop(c), a = pop(c);
	uint8_t rb = baseline__use_reg(c, &b), ra = baseline__use_reg(c, &a), d = baseline__vec_dst(c, &a), cross = alloc(c, true);
	baseline__vec_shift(c, 0x73, 2, cross, ra, 32);
	baseline__vec3(c, V66(0xf4), cross, cross, rb);
	baseline__vec_shift(c, 0x73, 2, XMM15, rb, 32);
	baseline__vec3(c, V66(0xf4), XMM15, XMM15, ra);
	baseline__vec3(c, V66(0xd4), cross, cross, XMM15);
	baseline__vec_shift(c, 0x73, 6, cross, cross, 32);
	baseline__vec3(c, V66(0xf4), d, ra, rb);
	baseline__vec3(c, V66(0xd4), d, d, cross);
	baseline__finish(c, WASM_V128, d);
}

// -1 * -1 is the one product that doesn't fit; the processor gives 0x8000 there.
void baseline__emit_vec_q15mulr(struct comp *c, unsigned w, unsigned arg)
{
	const uint64_t lowest = 0x8000800080008000ull;
	struct val b = pop(c), a = pop(c);
	uint8_t rb = baseline__use_reg(c, &b), ra = baseline__use_reg(c, &a), d = baseline__vec_dst(c, &a);
	baseline__vec3(c, V38(0x0b), d, ra, rb);
	baseline__vec3_const(c, V66(0x75), XMM15, d, lowest, lowest);
	baseline__vec3(c, PXOR, d, d, XMM15);
	baseline__finish(c, WASM_V128, d);
}

// ---- wider results ----------------------------------------------------------------------------------------------
// w: as of a unary instruction, which reads the low half; arg: opcode. Without sign: with zeros in between.
void baseline__emit_vec_extend_high(struct comp *c, unsigned w, unsigned op)
{
	enum { FROM_BYTES = 0x30, FROM_WORDS = 0x33, FROM_DOUBLE_WORDS = 0x35 };  // pmovzx
	struct val a = pop(c);
	uint8_t ra = baseline__use_reg(c, &a), d = baseline__vec_last(c, &a);
	if (op == FROM_BYTES || op == FROM_WORDS || op == FROM_DOUBLE_WORDS) {
		baseline__vec_zero(c, XMM15);
		baseline__vec3(c, V66(op == FROM_BYTES ? 0x68 : op == FROM_WORDS ? 0x69
																		 : 0x6a),
			d, ra, XMM15);
	} else {
		baseline__vec2_imm(c, V66(0x70), XMM15, ra, 0xee);
		baseline__vec2(c, VEC_OP(w, op), d, XMM15);
	}
	baseline__finish(c, WASM_V128, d);
}

// Sums of neighbours; lane: of the operand. Multiplications by one that add in pairs; pmaddubsw takes its first operand as unsigned.
void baseline__emit_vec_extadd(struct comp *c, unsigned lane, unsigned is_signed)
{
	const uint64_t ones = lane == LANE_B ? 0x0101010101010101ull : 0x0001000100010001ull;
	struct val a = pop(c);
	uint8_t ra = baseline__use_reg(c, &a), d = alloc(c, true);
	if (lane == LANE_B && is_signed) {
		baseline__load_vector(c, d, (const uint64_t[]){ones, ones});
		baseline__vec3(c, V38(0x04), d, d, ra);
	} else if (lane == LANE_B) {
		baseline__vec3_const(c, V38(0x04), d, ra, ones, ones);
	} else if (is_signed) {
		baseline__vec3_const(c, V66(0xf5), d, ra, ones, ones);
	} else {
		baseline__vec_shift(c, 0x72, 2, XMM15, ra, 16);
		baseline__vec_shift(c, 0x72, 6, d, ra, 16);
		baseline__vec_shift(c, 0x72, 2, d, d, 16);
		baseline__vec3(c, V66(0xfe), d, d, XMM15);
	}
	baseline__finish(c, WASM_V128, d);
}

// lane: of the operands; arg: bit 0 signed, bit 1 of the high half
void baseline__emit_vec_extmul(struct comp *c, unsigned lane, unsigned how)
{
	struct val b = pop(c), a = pop(c);
	uint8_t rb = baseline__use_reg(c, &b), ra = baseline__use_reg(c, &a), d = baseline__vec_dst(c, &a);
	bool is_signed = how & 1, high = how & 2;
	if (lane == LANE_B) {
		unsigned extend = V38(is_signed ? 0x20 : 0x30);
		if (high && !is_signed) {
			uint8_t t = alloc(c, true);
			baseline__vec_zero(c, t);
			baseline__vec3(c, V66(0x68), XMM15, rb, t);
			baseline__vec3(c, V66(0x68), d, ra, t);
			baseline__vec3(c, V66(0xd5), d, d, XMM15);
			baseline__finish(c, WASM_V128, d);
			return;
		}
		if (high) {
			baseline__vec2_imm(c, V66(0x70), XMM15, rb, 0xee);
			baseline__vec2_imm(c, V66(0x70), d, ra, 0xee);
		}
		baseline__vec2(c, extend, XMM15, high ? XMM15 : rb);
		baseline__vec2(c, extend, d, high ? d : ra);
		baseline__vec3(c, V66(0xd5), d, d, XMM15);
	} else if (lane == LANE_W) {
		baseline__vec3(c, V66(is_signed ? 0xe5 : 0xe4), XMM15, ra, rb);
		baseline__vec3(c, V66(0xd5), d, ra, rb);
		baseline__vec3(c, V66(high ? 0x69 : 0x61), d, d, XMM15);
	} else {
		baseline__vec2_imm(c, V66(0x70), XMM15, rb, high ? 0xfa : 0x50);
		baseline__vec2_imm(c, V66(0x70), d, ra, high ? 0xfa : 0x50);
		baseline__vec3(c, is_signed ? V38(0x28) : V66(0xf4), d, d, XMM15);
	}
	baseline__finish(c, WASM_V128, d);
}

// i16x8.relaxed_dot_i8x16_i7x16_s as the deterministic profile has it: all bytes are signed, sums wrap at 16 bits. Leaves it in d; a and b are read.
static void dot_bytes(struct comp *c, unsigned d, unsigned ra, unsigned rb)
{
	uint8_t low = alloc(c, true), t = alloc(c, true);
	baseline__vec2(c, V38(0x20), t, ra);
	baseline__vec2(c, V38(0x20), low, rb);
	baseline__vec3(c, V66(0xf5), low, low, t);
	baseline__vec2_imm(c, V66(0x70), t, ra, 0xee);
	baseline__vec2(c, V38(0x20), t, t);
	baseline__vec2_imm(c, V66(0x70), XMM15, rb, 0xee);
	baseline__vec2(c, V38(0x20), XMM15, XMM15);
	baseline__vec3(c, V66(0xf5), t, t, XMM15);
	baseline__vec_shift(c, 0x72, 6, low, low, 16);
	baseline__vec_shift(c, 0x72, 4, low, low, 16);
	baseline__vec_shift(c, 0x72, 6, t, t, 16);
	baseline__vec_shift(c, 0x72, 4, t, t, 16);
	baseline__vec3(c, V66(0x6b), d, low, t);
}

void baseline__emit_vec_dot_bytes(struct comp *c, unsigned w, unsigned add)
{
	const uint64_t ones = 0x0001000100010001ull;
	struct val sum = add ? pop(c) : (struct val){0}, b = pop(c), a = pop(c);
	uint8_t rs = add ? baseline__use_reg(c, &sum) : NO_REG, rb = baseline__use_reg(c, &b), ra = baseline__use_reg(c, &a), d = baseline__vec_dst(c, &a);
	dot_bytes(c, d, ra, rb);
	if (add) {
		baseline__vec3_const(c, V66(0xf5), d, d, ones, ones);
		baseline__vec3(c, V66(0xfe), d, d, rs);
	}
	baseline__finish(c, WASM_V128, d);
}
