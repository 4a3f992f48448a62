// Integer instructions.
#include "baseline_int.h"

static unsigned int_type(unsigned w)
{
	return w == W64 ? WASM_I64 : WASM_I32;
}

static bool is_imm32(const struct val *v, unsigned w)
{
	return v->kind == K_CONST && (w == W32 || (int64_t)v->imm == (int32_t)v->imm);
}

// Where a result goes: the hint's pin, or an operand's temp, or a new one.
static uint8_t dst_for(struct comp *c, struct val *a)
{
	uint8_t d = baseline__hint(c);
	if (d != NO_REG)
		return d;
	return a->kind == K_REG || baseline__take_cache(c, a) ? a->reg : alloc(c, false);
}

static void note_zf(struct comp *c, unsigned w, uint8_t reg)
{
	if (c->opt->poison_upper || c->opt->verify_upper)
		return;
	c->zf_at = x64_pos(&c->a);
	c->zf_reg = reg;
	c->zf_width = (uint8_t)w;
}

// d = a OP operand, where d may be the register of either.
static void alu_operand(struct comp *c, unsigned w, unsigned op, unsigned d, struct operand b)
{
	if (b.is_mem)
		x64_alu_rm(&c->a, w, op, d, b.mem);
	else
		x64_alu_rr(&c->a, w, op, d, b.reg);
}

static bool flags_wanted(const struct comp *c)
{
	return *c->p == 0x0d || *c->p == 0x04 || *c->p == 0x45;  // br_if, if, i32.eqz
}

// i32.and or i64.and whose only use is whether it is zero. (An i64 can't be a condition: its eqz comes first.)
static bool fuse_test(struct comp *c, unsigned w, struct val *a, struct val *b)
{
	if (w == W32 ? !flags_wanted(c) : *c->p != 0x50)
		return false;
	uint8_t ra = baseline__use_reg(c, a);
	if (is_imm32(b, w)) {
		x64_test_ri(&c->a, w, ra, (int32_t)b->imm);
	} else {
		struct operand o = baseline__use(c, b);
		if (o.is_mem)
			x64_test_rm(&c->a, w, ra, o.mem);
		else
			x64_test_rr(&c->a, w, ra, o.reg);
	}
	if (w == W64) {  // i64.eqz is consumed here
		c->p++;
		baseline__push_flags(c, CC_E);
	} else {
		c->stack[c->sp++] = (struct val){.kind = K_FLAGS, .type = WASM_I32, .reg = CC_NE};
	}
	return true;
}

static void alu_imm(struct comp *c, unsigned w, unsigned op, struct val *a, int32_t imm)
{
	struct x64 *s = &c->a;
	uint8_t ra, d;
	if (op == ALU_ADD || op == ALU_SUB) {
		int32_t add = op == ALU_SUB ? (int32_t)(0u - (uint32_t)imm) : imm;
		d = dst_for(c, a);
		ra = baseline__use_reg(c, a);
		if (d != ra) {
			x64_lea(s, w, d, x64_at(x64_r64(ra), add));
		} else {
			x64_alu_ri(s, w, ALU_ADD, d, add);
			note_zf(c, w, d);
		}
	} else if (op == ALU_AND && (imm == 0xff || imm == 0xffff)) {
		d = dst_for(c, a);
		ra = baseline__use_reg(c, a);
		x64_ext_rr(s, W32, imm == 0xff ? EXT_ZX8 : EXT_ZX16, d, ra);
	} else {
		d = dst_for(c, a);
		baseline__move_to(c, d, a);
		x64_alu_ri(s, w, op, d, imm);
		note_zf(c, w, d);
	}
	baseline__finish(c, int_type(w), d);
}

static void swap(struct val *a, struct val *b)
{
	struct val t = *a;
	*a = *b;
	*b = t;
}

void baseline__emit_alu(struct comp *c, unsigned w, unsigned op)
{
	struct val b = pop(c), a = pop(c);
	bool commutes = op != ALU_SUB;
	if (commutes && a.kind == K_CONST)
		swap(&a, &b);
	if (op == ALU_AND && fuse_test(c, w, &a, &b))
		return;
	if (is_imm32(&b, w) && !(op == ALU_SUB && (int32_t)b.imm == INT32_MIN)) {
		alu_imm(c, w, op, &a, (int32_t)b.imm);
		return;
	}
	struct operand ob = baseline__use(c, &b), oa;
	uint8_t d = baseline__hint(c);
	if (d == NO_REG && a.kind == K_REG)
		d = a.reg;
	if (d == NO_REG && commutes && b.kind == K_REG)
		d = b.reg;
	if (d == NO_REG && baseline__take_cache(c, &a))
		d = a.reg;
	uint8_t ra = baseline__reg_of(c, &a);
	if (d != NO_REG && d != ra && !ob.is_mem && d == ob.reg) {
		oa = baseline__use(c, &a);
		if (!commutes) {
			x64_group3(&c->a, w, G3_NEG, d);
			op = ALU_ADD;
		}
		alu_operand(c, w, op, d, oa);
	} else if (op == ALU_ADD && ra != NO_REG && ra != d && !ob.is_mem) {
		c->lock |= BIT(ra);
		if (d == NO_REG)
			d = alloc(c, false);
		x64_lea(&c->a, w, d, x64_at_index(x64_r64(ra), x64_r64(ob.reg), 0, 0));
		baseline__finish(c, int_type(w), d);
		return;
	} else {
		if (d == NO_REG)
			d = alloc(c, false);
		baseline__move_to(c, d, &a);
		alu_operand(c, w, op, d, ob);
	}
	note_zf(c, w, d);
	baseline__finish(c, int_type(w), d);
}

// ---- comparisons ------------------------------------------------------------------------------------------------
static unsigned swapped(unsigned cc)
{
	static const uint8_t other[16] = {
		[CC_E] = CC_E,
		[CC_NE] = CC_NE,
		[CC_L] = CC_G,
		[CC_G] = CC_L,
		[CC_LE] = CC_GE,
		[CC_GE] = CC_LE,
		[CC_B] = CC_A,
		[CC_A] = CC_B,
		[CC_BE] = CC_AE,
		[CC_AE] = CC_BE,
	};
	return other[cc];
}

void baseline__emit_cmp(struct comp *c, unsigned w, unsigned cc)
{
	struct val b = pop(c), a = pop(c);
	if (a.kind == K_CONST) {
		swap(&a, &b);
		cc = swapped(cc);
	}
	if (is_imm32(&b, w)) {
		int32_t imm = (int32_t)b.imm;
		struct operand oa = a.kind == K_CONST ? (struct operand){.reg = baseline__use_reg(c, &a)} : baseline__use(c, &a);
		if (oa.is_mem)
			x64_alu_mi(&c->a, w, ALU_CMP, oa.mem, imm);
		else if (imm == 0)
			x64_test_rr(&c->a, w, oa.reg, oa.reg);
		else
			x64_alu_ri(&c->a, w, ALU_CMP, oa.reg, imm);
	} else {
		struct operand ob = baseline__use(c, &b);
		struct operand oa = ob.is_mem ? (struct operand){.reg = baseline__use_reg(c, &a)} : baseline__use(c, &a);
		if (oa.is_mem)
			x64_alu_mr(&c->a, w, ALU_CMP, oa.mem, ob.reg);
		else
			alu_operand(c, w, ALU_CMP, oa.reg, ob);
	}
	baseline__push_flags(c, cc);
}

// The flags for "v is not zero" are set; a popped FLAGS value gives its own condition.
uint8_t baseline__cond(struct comp *c, struct val *v)
{
	if (v->kind == K_FLAGS)
		return v->reg;
	unsigned w = width_of(v->type);
	if (v->kind == K_CONST) {
		uint8_t r = baseline__use_reg(c, v);
		x64_test_rr(&c->a, w, r, r);
		return CC_NE;
	}
	struct operand o = baseline__use(c, v);
	if (o.is_mem)
		x64_alu_mi(&c->a, w, ALU_CMP, o.mem, 0);
	else if (c->zf_at != x64_pos(&c->a) || c->zf_reg != o.reg || c->zf_width != w)
		x64_test_rr(&c->a, w, o.reg, o.reg);
	return CC_NE;
}

void baseline__emit_eqz(struct comp *c, unsigned w, unsigned arg)
{
	struct val v = pop(c);
	baseline__push_flags(c, baseline__invert(baseline__cond(c, &v)));
}

// ---- multiplication, shifts -------------------------------------------------------------------------------------
static void mul_imm(struct comp *c, unsigned w, struct val *a, uint64_t imm)
{
	uint64_t value = w == W32 ? (uint32_t)imm : imm;
	uint8_t d, ra;
	if (value && !(value & (value - 1))) {
		unsigned n = (unsigned)__builtin_ctzll(value);
		d = dst_for(c, a);
		baseline__move_to(c, d, a);
		if (n == 1)
			x64_alu_rr(&c->a, w, ALU_ADD, d, d);
		else if (n)
			x64_shift_ri(&c->a, w, SHIFT_SHL, d, n);
	} else if (value == 3 || value == 5 || value == 9) {
		d = dst_for(c, a);
		ra = baseline__use_reg(c, a);
		x64_lea(&c->a, w, d, x64_at_index(x64_r64(ra), x64_r64(ra), value == 3 ? 1 : value == 5 ? 2
																								: 3,
								 0));
	} else {
		d = dst_for(c, a);
		ra = baseline__use_reg(c, a);
		x64_imul_rri(&c->a, w, d, ra, (int32_t)imm);
	}
	baseline__finish(c, int_type(w), d);
}

void baseline__emit_mul(struct comp *c, unsigned w, unsigned arg)
{
	struct val b = pop(c), a = pop(c);
	if (a.kind == K_CONST)
		swap(&a, &b);
	if (is_imm32(&b, w)) {
		mul_imm(c, w, &a, b.imm);
		return;
	}
	struct operand ob = baseline__use(c, &b);
	uint8_t d = baseline__hint(c);
	if (d == NO_REG)
		d = a.kind == K_REG ? a.reg : b.kind == K_REG ? b.reg
			: baseline__take_cache(c, &a)             ? a.reg
													  : alloc(c, false);
	if (!ob.is_mem && ob.reg == d)
		ob = baseline__use(c, &a);
	else
		baseline__move_to(c, d, &a);
	if (ob.is_mem)
		x64_imul_rm(&c->a, w, d, ob.mem);
	else
		x64_imul_rr(&c->a, w, d, ob.reg);
	baseline__finish(c, int_type(w), d);
}

static void shift_imm(struct comp *c, unsigned w, unsigned op, struct val *a, unsigned n)
{
	n &= w == W64 ? 63 : 31;
	uint8_t d = dst_for(c, a), ra = baseline__reg_of(c, a);
	if (n && (op == SHIFT_ROL || op == SHIFT_ROR) && ra != NO_REG && ra != d && (c->opt->cpu & CODE_CPU_BMI2)) {
		x64_rorx(&c->a, w, d, ra, op == SHIFT_ROR ? n : (w == W64 ? 64 : 32) - n);
	} else if (n == 1 && op == SHIFT_SHL && ra != NO_REG && ra != d) {
		x64_lea(&c->a, w, d, x64_at_index(x64_r64(ra), x64_r64(ra), 0, 0));
	} else {
		baseline__move_to(c, d, a);
		if (n)
			x64_shift_ri(&c->a, w, op, d, n);
	}
	baseline__finish(c, int_type(w), d);
}

void baseline__emit_shift(struct comp *c, unsigned w, unsigned op)
{
	struct val b = pop(c), a = pop(c);
	if (b.kind == K_CONST) {
		shift_imm(c, w, op, &a, (unsigned)b.imm);
		return;
	}
	uint8_t d;
	if (op >= SHIFT_SHL && (c->opt->cpu & CODE_CPU_BMI2)) {
		uint8_t rb = baseline__use_reg(c, &b), ra = baseline__use_reg(c, &a);
		d = baseline__hint(c);
		if (d == NO_REG)
			d = a.kind == K_REG ? a.reg : b.kind == K_REG ? b.reg
														  : alloc(c, false);
		x64_shiftx(&c->a, w, op, d, ra, rb);
	} else {
		// The count goes to rcx, what was there to elsewhere.
		baseline__claim(c, RCX);
		if (a.kind == K_REG && a.reg == RCX) {
			uint8_t t = alloc(c, false);
			x64_mov_rr(&c->a, W64, t, RCX);
			a.reg = t;
		}
		baseline__move_to(c, RCX, &b);
		d = dst_for(c, &a);
		baseline__move_to(c, d, &a);
		x64_shift_cl(&c->a, w, op, d);
	}
	baseline__finish(c, int_type(w), d);
}

// ---- division ---------------------------------------------------------------------------------------------------
enum { DIV_SIGNED = 1, DIV_REM = 2 };

static bool div_imm_unsigned(struct comp *c, unsigned w, struct val *a, uint64_t n, bool rem)
{
	uint8_t d;
	if (!(n & (n - 1))) {
		if (rem && n - 1 > INT32_MAX)
			return false;
		d = dst_for(c, a);
		baseline__move_to(c, d, a);
		if (rem)
			x64_alu_ri(&c->a, w, ALU_AND, d, (int32_t)(n - 1));
		else if (n > 1)
			x64_shift_ri(&c->a, w, SHIFT_SHR, d, (unsigned)__builtin_ctzll(n));
		baseline__finish(c, int_type(w), d);
		return true;
	}
	if (w == W64)
		return false;
	// floor(x / n) = x * m >> 32 + s for all x < 2^32, with m = ceil(2^(32+s) / n) < 2^33 and s = ceil(log2 n): the smallest s that is exact.
	unsigned s = 0;
	uint64_t m = 0;
	for (; s < 32; s++) {
		m = (((uint64_t)1 << (32 + s)) + n - 1) / n;
		if (m * n - ((uint64_t)1 << (32 + s)) <= (uint64_t)1 << s)
			break;
	}
	if (s == 32 || m > UINT32_MAX)
		return false;
	uint8_t ra = baseline__use_zext(c, a).n, q = alloc(c, false);
	// The product of two 32-bit values: exact in 64 bits, unsigned.
	x64_mov_ri(&c->a, q, m);
	x64_imul_rr(&c->a, W64, q, ra);
	x64_shift_ri(&c->a, W64, SHIFT_SHR, q, 32 + s);
	if (!rem) {
		d = q;
	} else {
		x64_imul_rri(&c->a, W32, q, q, (int32_t)n);
		d = a->kind == K_REG ? a->reg : alloc(c, false);
		baseline__move_to(c, d, a);
		x64_alu_rr(&c->a, W32, ALU_SUB, d, q);
	}
	baseline__finish(c, WASM_I32, d);
	return true;
}

static bool div_imm_signed(struct comp *c, unsigned w, struct val *a, int64_t n, bool rem)
{
	unsigned bits = w == W64 ? 64 : 32;
	struct x64 *s = &c->a;
	if (n > 1 && !(n & (n - 1))) {
		unsigned k = (unsigned)__builtin_ctzll((uint64_t)n);
		if (rem && k > 30)
			return false;
		uint8_t ra = baseline__use_reg(c, a), t = alloc(c, false);
		// t = x + (x < 0 ? n - 1 : 0)
		x64_mov_rr(s, w, t, ra);
		if (k > 1)
			x64_shift_ri(s, w, SHIFT_SAR, t, bits - 1);
		x64_shift_ri(s, w, SHIFT_SHR, t, bits - k);
		x64_alu_rr(s, w, ALU_ADD, t, ra);
		if (!rem) {
			x64_shift_ri(s, w, SHIFT_SAR, t, k);
			baseline__finish(c, int_type(w), t);
			return true;
		}
		x64_alu_ri(s, w, ALU_AND, t, (int32_t)-n);
		uint8_t d = baseline__own_reg(c, a);
		x64_alu_rr(s, w, ALU_SUB, d, t);
		baseline__finish(c, int_type(w), d);
		return true;
	}
	if (w == W64 || n < 3)
		return false;
	// Signed magic: q = (x * m >> 32 + k) + (x < 0), m = floor(2^(32+k) / n) + 1, exact when m * n - 2^(32+k) <= 2^(k+1).
	for (unsigned k = 0; k < 31; k++) {
		uint64_t m = ((uint64_t)1 << (32 + k)) / (uint64_t)n + 1;
		if (m > UINT32_MAX)
			return false;
		if (m * (uint64_t)n - ((uint64_t)1 << (32 + k)) > (uint64_t)1 << (k + 1))
			continue;
		uint8_t ra = baseline__use_reg(c, a), q = alloc(c, false), t = alloc(c, false);
		x64_movsxd_rr(s, q, ra);
		x64_mov_ri(s, t, m);
		x64_imul_rr(s, W64, q, t);
		x64_mov_rr(s, W64, t, q);
		x64_shift_ri(s, W64, SHIFT_SAR, q, 32 + k);
		x64_shift_ri(s, W64, SHIFT_SHR, t, 63);
		x64_alu_rr(s, W32, ALU_ADD, q, t);
		uint8_t d = q;
		if (rem) {
			x64_imul_rri(s, W32, q, q, (int32_t)n);
			d = baseline__own_reg(c, a);
			x64_alu_rr(s, W32, ALU_SUB, d, q);
		}
		baseline__finish(c, WASM_I32, d);
		return true;
	}
	return false;
}

static bool div_imm(struct comp *c, unsigned w, struct val *a, uint64_t imm, unsigned flags)
{
	if (!imm)
		return false;
	if (flags & DIV_SIGNED)
		return div_imm_signed(c, w, a, w == W64 ? (int64_t)imm : (int32_t)imm, flags & DIV_REM);
	return div_imm_unsigned(c, w, a, imm, flags & DIV_REM);
}

// The divisor somewhere else than in rax and rdx, the dividend in rax.
static uint8_t div_operands(struct comp *c, struct val *b, struct val *a)
{
	baseline__claim(c, RAX);
	baseline__claim(c, RDX);
	uint8_t rb;
	if (b->kind == K_REG && (b->reg == RAX || b->reg == RDX)) {
		rb = alloc(c, false);
		x64_mov_rr(&c->a, W64, rb, b->reg);
	} else {
		rb = baseline__use_reg(c, b);
	}
	baseline__move_to(c, RAX, a);
	return rb;
}

void baseline__emit_div(struct comp *c, unsigned w, unsigned flags)
{
	struct val b = pop(c), a = pop(c);
	if (b.kind == K_CONST && div_imm(c, w, &a, b.imm, flags))
		return;
	bool nonzero = b.kind == K_CONST && b.imm, not_minus_one = nonzero && (w == W64 ? (int64_t)b.imm != -1 : (int32_t)b.imm != -1);
	uint8_t rb = div_operands(c, &b, &a);
	if (!nonzero) {
		x64_test_rr(&c->a, w, rb, rb);
		baseline__jcc_trap(c, CC_E, TRAP_DIVIDE_BY_ZERO);
	}
	if (flags & DIV_SIGNED) {
		struct ool *o = NULL;
		if (!not_minus_one) {
			x64_alu_ri(&c->a, w, ALU_CMP, rb, -1);
			o = baseline__ool(c, flags & DIV_REM ? OOL_REM : OOL_DIV);
			o->w = (uint8_t)w;
			x64_jcc(&c->a, CC_E, &o->from);
		}
		x64_sign_rax(&c->a, w);
		x64_group3(&c->a, w, G3_IDIV, rb);
		if (o)
			x64_bind(&c->a, &o->back);
	} else {
		x64_zero(&c->a, RDX);
		x64_group3(&c->a, w, G3_DIV, rb);
	}
	baseline__finish(c, int_type(w), flags & DIV_REM ? RDX : RAX);
}

// ---- 128 bits ---------------------------------------------------------------------------------------------------
static void push_halves(struct comp *c, uint8_t low, uint8_t high)
{
	push_reg(c, WASM_I64, low);
	push_reg(c, WASM_I64, high);
}

// The halves that are only read first: nothing may come between the two instructions, of which the second takes the first one's carry.
void baseline__emit_wide_add(struct comp *c, unsigned w, unsigned op)
{
	struct val b_high = pop(c), b_low = pop(c), a_high = pop(c), a_low = pop(c);
	uint8_t low = baseline__use_reg(c, &b_low), high = baseline__use_reg(c, &b_high);
	uint8_t ret_low = baseline__own_reg(c, &a_low), ret_high = baseline__own_reg(c, &a_high);
	x64_alu_rr(&c->a, W64, op, ret_low, low);
	x64_alu_rr(&c->a, W64, op == ALU_ADD ? ALU_ADC : ALU_SBB, ret_high, high);
	push_halves(c, ret_low, ret_high);
}

void baseline__emit_wide_mul(struct comp *c, unsigned w, unsigned op)
{
	struct val b = pop(c), a = pop(c);
	x64_group3(&c->a, W64, op, div_operands(c, &b, &a));
	push_halves(c, RAX, RDX);
}

// ---- one operand ------------------------------------------------------------------------------------------------
// arg: the low byte of enum x64_bits with its prefix
void baseline__emit_bits(struct comp *c, unsigned w, unsigned op)
{
	op |= 0x100;
	struct val a = pop(c);
	uint8_t d = dst_for(c, &a), ra = baseline__use_reg(c, &a);
	unsigned bits = w == W64 ? 64 : 32;
	bool has = op == BITS_POPCNT || (c->opt->cpu & (op == BITS_LZCNT ? CODE_CPU_LZCNT : CODE_CPU_BMI1));
	if (has) {
		x64_bits_rr(&c->a, w, op, d, ra);
	} else {
		uint8_t t = alloc(c, false);
		x64_bits_rr(&c->a, w, op == BITS_LZCNT ? BITS_BSR : BITS_BSF, d, ra);
		x64_mov_ri(&c->a, t, op == BITS_LZCNT ? 2 * bits - 1 : bits);
		x64_cmov_rr(&c->a, w, CC_E, d, t);
		if (op == BITS_LZCNT)
			x64_alu_ri(&c->a, w, ALU_XOR, d, (int32_t)bits - 1);
	}
	baseline__finish(c, int_type(w), d);
}

// arg: enum x64_ext, or 32 for i64.extend32_s and i64.extend_i32_s
void baseline__emit_sign_extend(struct comp *c, unsigned w, unsigned arg)
{
	struct val a = pop(c);
	uint8_t d = dst_for(c, &a), ra = baseline__use_reg(c, &a);
	if (arg == 32)
		x64_movsxd_rr(&c->a, d, ra);
	else
		x64_ext_rr(&c->a, w, arg, d, ra);
	baseline__finish(c, int_type(w), d);
}

void baseline__emit_wrap(struct comp *c, unsigned w, unsigned arg)
{
	struct val a = pop(c);
	if (a.kind == K_CONST) {
		push_const(c, WASM_I32, (uint32_t)a.imm);
		return;
	}
	uint8_t d = dst_for(c, &a);
	a.type = WASM_I32;
	uint8_t r = baseline__reg_of(c, &a);
	if (r != NO_REG)
		x64_mov_rr(&c->a, W32, d, r);
	else
		baseline__move_to(c, d, &a);
	baseline__finish(c, WASM_I32, d);
}

// The upper half is zero already, unless in the poisoned mode.
void baseline__emit_extend_u(struct comp *c, unsigned w, unsigned arg)
{
	struct val a = pop(c);
	if (a.kind == K_CONST) {
		push_const(c, WASM_I64, a.imm);
		return;
	}
	uint8_t d = dst_for(c, &a);
	baseline__move_to(c, d, &a);
	baseline__finish(c, WASM_I64, d);
}

// ---- stack and locals -------------------------------------------------------------------------------------------
void baseline__emit_i32_const(struct comp *c, unsigned w, unsigned arg)
{
	push_const(c, WASM_I32, (uint32_t)wasm_read_s32(&c->p));
}

void baseline__emit_i64_const(struct comp *c, unsigned w, unsigned arg)
{
	push_const(c, WASM_I64, (uint64_t)wasm_read_s64(&c->p));
}

void baseline__emit_nop(struct comp *c, unsigned w, unsigned arg)
{
}

void baseline__emit_drop(struct comp *c, unsigned w, unsigned arg)
{
	pop(c);
}

void baseline__emit_local_get(struct comp *c, unsigned w, unsigned arg)
{
	push_local(c, wasm_read_u32(&c->p));
}

void baseline__emit_local_set(struct comp *c, unsigned w, unsigned arg)
{
	uint32_t local = wasm_read_u32(&c->p);
	struct val v = pop(c);
	baseline__set_local(c, local, &v);
}

void baseline__emit_local_tee(struct comp *c, unsigned w, unsigned arg)
{
	uint32_t local = wasm_read_u32(&c->p);
	struct val v = pop(c);
	baseline__set_local(c, local, &v);
	// A constant of floats or vectors that is in a pin already isn't read from memory once more.
	if (v.kind == K_CONST && !(in_vector(v.type) && c->locals[local].pin != NO_REG))
		push_const(c, v.type, v.imm);
	else
		push_local(c, local);
}

// The flags are set first; everything after is moves.
void baseline__emit_select(struct comp *c, unsigned w, unsigned typed)
{
	unsigned type = 0;
	if (typed) {
		for (uint32_t n = wasm_read_u32(&c->p); n; n--)
			type = kind_of(c, wasm_read_valtype(&c->p));
	}
	struct val v = pop(c), b = pop(c), a = pop(c);
	if (!typed)
		type = a.type;
	unsigned cc = baseline__cond(c, &v);
	bool floats = in_vector(a.type);
	w = width_of(a.type);
	c->keep_flags = true;
	uint8_t d = baseline__hint(c);
	if (d != NO_REG && baseline__reg_of(c, &b) == d) {
		swap(&a, &b);
		cc = baseline__invert(cc);
	}
	if (d == NO_REG)
		d = a.kind == K_REG || baseline__take_cache(c, &a) ? a.reg : alloc(c, floats);
	if (floats) {
		struct x64_label keep = X64_LABEL;
		baseline__move_to(c, d, &a);
		baseline__jcc(c, cc, &keep);
		baseline__move_to(c, d, &b);
		x64_bind(&c->a, &keep);
	} else {
		struct operand ob = baseline__use(c, &b);
		if (cc == CC_FNE) {  // a if unequal or unordered: begin with b
			uint8_t ra = baseline__use_reg(c, &a);
			if (d == ra) {
				uint8_t t = alloc(c, false);
				x64_mov_rr(&c->a, W64, t, ra);
				ra = t;
			}
			baseline__move_to(c, d, &b);
			x64_cmov_rr(&c->a, w, CC_NE, d, ra);
			x64_cmov_rr(&c->a, w, CC_P, d, ra);
		} else {
			baseline__move_to(c, d, &a);
			for (unsigned k = 0; k < (cc == CC_FEQ ? 2u : 1u); k++) {
				unsigned not = cc == CC_FEQ ? (k ? CC_P : CC_NE) : baseline__invert(cc);
				if (ob.is_mem)
					x64_cmov_rm(&c->a, w, not, d, ob.mem);
				else
					x64_cmov_rr(&c->a, w, not, d, ob.reg);
			}
		}
	}
	c->keep_flags = false;
	baseline__finish(c, type, d);
}
