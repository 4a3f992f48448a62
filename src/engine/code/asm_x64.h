// The x86-64 assembler: one function an instruction form, each writes its bytes and nothing else. Included by code.h for those who define
// CODE_ASSEMBLER.
//
// 1. Registers are numbers 0..15, and what an instruction does with them is told by its width argument; but an address is made of struct r64 only,
//    and the one way from a 32-bit value to it is x64_zext_view, by which the caller says that the upper half is zero (L4).
// 2. The caller has made room (x64_room) before it emits; an instruction takes at most 15 bytes.
// 3. Forward branches are 32 bits wide and are chained through their own displacement fields until the label is bound.
#ifndef TENON_ASM_X64_H
#define TENON_ASM_X64_H

#include "base/base.h"

enum x64_gpr { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };
enum x64_width { W32, W64 };
enum x64_alu { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP };
enum x64_shift { SHIFT_ROL, SHIFT_ROR, SHIFT_SHL = 4, SHIFT_SHR = 5, SHIFT_SAR = 7 };
enum x64_cc { CC_O, CC_NO, CC_B, CC_AE, CC_E, CC_NE, CC_BE, CC_A, CC_S, CC_NS, CC_P, CC_NP, CC_L, CC_GE, CC_LE, CC_G };
enum x64_group3 { G3_NOT = 2, G3_NEG, G3_MUL, G3_IMUL, G3_DIV, G3_IDIV };

struct r64 {
	uint8_t n;
};
static inline struct r64 x64_r64(unsigned n)
{
	return (struct r64){(uint8_t)n};
}
// The register holds a 32-bit value whose upper half is zero.
static inline struct r64 x64_zext_view(unsigned n)
{
	return (struct r64){(uint8_t)n};
}

#define X64_NO_INDEX 0xff
#define X64_RIP 0xfe
struct x64_mem {
	uint8_t base, index, scale;  // scale: log2
	int32_t disp;
};
static inline struct x64_mem x64_at(struct r64 base, int32_t disp)
{
	return (struct x64_mem){base.n, X64_NO_INDEX, 0, disp};
}
static inline struct x64_mem x64_at_index(struct r64 base, struct r64 index, uint8_t scale, int32_t disp)
{
	return (struct x64_mem){base.n, index.n, scale, disp};
}

struct x64 {
	uint8_t *p;     // next byte
	uint8_t *base;  // the function's first byte
	uint8_t *end;
	struct buf *buf;
	size_t start;   // of the function in buf
	uint32_t jump_end;  // where the last forward x64_jmp ends; 0 once a label is bound behind it
	bool avx;       // the processor has it, and instructions on xmm registers take its form: set by the caller
	bool failed, full;  // full: by the buffer's bound, not for want of memory
};

static inline void x64_begin(struct x64 *a, struct buf *buf)
{
	*a = (struct x64){.buf = buf, .start = buf->len};
	a->p = a->base = buf->ptr ? buf->ptr + buf->len : NULL;
	a->end = buf->ptr ? buf->ptr + buf->cap : NULL;
}
void x64_room_slow(struct x64 *a, size_t n);
// Room for n bytes; when memory is out, `failed` is set and the bytes go to the same place again and again.
static inline void x64_room(struct x64 *a, size_t n)
{
	if (UNLIKELY((size_t)(a->end - a->p) < n))
		x64_room_slow(a, n);
}
// The bytes become the buffer's. false: memory was out on the way.
bool x64_finish(struct x64 *a);
static inline uint32_t x64_pos(const struct x64 *a)
{
	return (uint32_t)(a->p - a->base);
}

static inline void x64_b(struct x64 *a, unsigned v)
{
	*a->p++ = (uint8_t)v;
}
static inline void x64_d(struct x64 *a, uint32_t v)
{
	memcpy(a->p, &v, 4);
	a->p += 4;
}
static inline void x64_q(struct x64 *a, uint64_t v)
{
	memcpy(a->p, &v, 8);
	a->p += 8;
}

// ---- prefixes, modrm --------------------------------------------------------------------------------------------
// x64__put_…: at p, which they return behind it. A store of a byte may change anything, a->p too: an instruction keeps its place in a register and notes it once.
static inline uint8_t *x64__put_rex(uint8_t *p, unsigned w, unsigned reg, unsigned index, unsigned base, bool force)
{
	unsigned rex = w << 3 | (reg >> 3 & 1) << 2 | (index >> 3 & 1) << 1 | (base >> 3 & 1);
	if (rex || force)
		*p++ = (uint8_t)(0x40 | rex);
	return p;
}
static inline uint8_t *x64__put_rex_mem(uint8_t *p, unsigned w, unsigned reg, struct x64_mem m, bool force)
{
	return x64__put_rex(p, w, reg, m.index == X64_NO_INDEX ? 0 : m.index, m.base == X64_RIP ? 0 : m.base, force);
}
static inline uint8_t *x64__put_rr(uint8_t *p, unsigned reg, unsigned rm)
{
	*p++ = (uint8_t)(0xc0 | (reg & 7) << 3 | (rm & 7));
	return p;
}
static inline uint8_t *x64__put_d(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, 4);
	return p + 4;
}
static inline uint8_t *x64__put_rm(uint8_t *p, unsigned reg, struct x64_mem m)
{
	reg = (reg & 7) << 3;
	if (m.base == X64_RIP) {
		*p++ = (uint8_t)(reg | 5);
		return x64__put_d(p, (uint32_t)m.disp);
	}
	unsigned mod = m.disp == 0 && (m.base & 7) != 5 ? 0 : m.disp == (int8_t)m.disp ? 0x40
																				   : 0x80;
	if (m.index != X64_NO_INDEX) {
		*p++ = (uint8_t)(mod | reg | 4);
		*p++ = (uint8_t)((unsigned)m.scale << 6 | (m.index & 7u) << 3 | (m.base & 7u));
	} else {
		*p++ = (uint8_t)(mod | reg | (m.base & 7u));
		if ((m.base & 7) == 4)
			*p++ = 0x24;
	}
	if (mod == 0x40)
		*p++ = (uint8_t)m.disp;
	else if (mod)
		p = x64__put_d(p, (uint32_t)m.disp);
	return p;
}
static inline void x64__rex(struct x64 *a, unsigned w, unsigned reg, unsigned index, unsigned base, bool force)
{
	a->p = x64__put_rex(a->p, w, reg, index, base, force);
}
static inline void x64__rex_mem(struct x64 *a, unsigned w, unsigned reg, struct x64_mem m, bool force)
{
	a->p = x64__put_rex_mem(a->p, w, reg, m, force);
}
static inline void x64__rr(struct x64 *a, unsigned reg, unsigned rm)
{
	a->p = x64__put_rr(a->p, reg, rm);
}
static inline void x64__rm(struct x64 *a, unsigned reg, struct x64_mem m)
{
	a->p = x64__put_rm(a->p, reg, m);
}
static inline void x64__op_rr(struct x64 *a, unsigned w, unsigned op, unsigned reg, unsigned rm)
{
	uint8_t *p = x64__put_rex(a->p, w, reg, 0, rm, false);
	*p++ = (uint8_t)op;
	a->p = x64__put_rr(p, reg, rm);
}
static inline void x64__op_rm(struct x64 *a, unsigned w, unsigned op, unsigned reg, struct x64_mem m)
{
	uint8_t *p = x64__put_rex_mem(a->p, w, reg, m, false);
	*p++ = (uint8_t)op;
	a->p = x64__put_rm(p, reg, m);
}
static inline void x64__0f_rr(struct x64 *a, unsigned w, unsigned op, unsigned reg, unsigned rm)
{
	uint8_t *p = x64__put_rex(a->p, w, reg, 0, rm, false);
	*p++ = 0x0f;
	*p++ = (uint8_t)op;
	a->p = x64__put_rr(p, reg, rm);
}
static inline void x64__0f_rm(struct x64 *a, unsigned w, unsigned op, unsigned reg, struct x64_mem m)
{
	uint8_t *p = x64__put_rex_mem(a->p, w, reg, m, false);
	*p++ = 0x0f;
	*p++ = (uint8_t)op;
	a->p = x64__put_rm(p, reg, m);
}

// ---- moves ------------------------------------------------------------------------------------------------------
static inline void x64_mov_rr(struct x64 *a, enum x64_width w, unsigned d, unsigned s)
{
	x64__op_rr(a, w, 0x8b, d, s);
}
// Leaves the flags alone.
static inline void x64_mov_ri(struct x64 *a, unsigned d, uint64_t imm)
{
	if (imm <= UINT32_MAX) {
		x64__rex(a, 0, 0, 0, d, false);
		x64_b(a, 0xb8 | (d & 7));
		x64_d(a, (uint32_t)imm);
	} else if ((int64_t)imm == (int32_t)imm) {
		x64__rex(a, 1, 0, 0, d, false);
		x64_b(a, 0xc7);
		x64__rr(a, 0, d);
		x64_d(a, (uint32_t)imm);
	} else {
		x64__rex(a, 1, 0, 0, d, false);
		x64_b(a, 0xb8 | (d & 7));
		x64_q(a, imm);
	}
}
// Changes the flags.
static inline void x64_zero(struct x64 *a, unsigned d)
{
	x64__op_rr(a, 0, 0x33, d, d);
}
static inline void x64_mov_rm(struct x64 *a, enum x64_width w, unsigned d, struct x64_mem m)
{
	x64__op_rm(a, w, 0x8b, d, m);
}
static inline void x64_mov_mr(struct x64 *a, enum x64_width w, struct x64_mem m, unsigned s)
{
	x64__op_rm(a, w, 0x89, s, m);
}
static inline void x64_mov_mr16(struct x64 *a, struct x64_mem m, unsigned s)
{
	x64_b(a, 0x66);
	x64__op_rm(a, 0, 0x89, s, m);
}
static inline void x64_mov_mr8(struct x64 *a, struct x64_mem m, unsigned s)
{
	x64__rex_mem(a, 0, s, m, s >= 4);
	x64_b(a, 0x88);
	x64__rm(a, s, m);
}
static inline void x64_mov_mi(struct x64 *a, enum x64_width w, struct x64_mem m, uint32_t imm)
{
	x64__op_rm(a, w, 0xc7, 0, m);
	x64_d(a, imm);
}
static inline void x64_mov_mi16(struct x64 *a, struct x64_mem m, uint32_t imm)
{
	x64_b(a, 0x66);
	x64__op_rm(a, 0, 0xc7, 0, m);
	x64_b(a, imm & 0xff);
	x64_b(a, imm >> 8 & 0xff);
}
static inline void x64_mov_mi8(struct x64 *a, struct x64_mem m, uint32_t imm)
{
	x64__op_rm(a, 0, 0xc6, 0, m);
	x64_b(a, imm & 0xff);
}
enum x64_ext { EXT_ZX8 = 0xb6, EXT_ZX16 = 0xb7, EXT_SX8 = 0xbe, EXT_SX16 = 0xbf };
static inline void x64_ext_rm(struct x64 *a, enum x64_width w, enum x64_ext op, unsigned d, struct x64_mem m)
{
	x64__0f_rm(a, w, op, d, m);
}
static inline void x64_ext_rr(struct x64 *a, enum x64_width w, enum x64_ext op, unsigned d, unsigned s)
{
	x64__rex(a, w, d, 0, s, s >= 4 && (op == EXT_ZX8 || op == EXT_SX8));
	x64_b(a, 0x0f);
	x64_b(a, op);
	x64__rr(a, d, s);
}
static inline void x64_movsxd_rr(struct x64 *a, unsigned d, unsigned s)
{
	x64__op_rr(a, 1, 0x63, d, s);
}
static inline void x64_movsxd_rm(struct x64 *a, unsigned d, struct x64_mem m)
{
	x64__op_rm(a, 1, 0x63, d, m);
}
static inline void x64_lea(struct x64 *a, enum x64_width w, unsigned d, struct x64_mem m)
{
	x64__op_rm(a, w, 0x8d, d, m);
}
static inline void x64_xchg(struct x64 *a, unsigned r, unsigned s)
{
	x64__op_rr(a, 1, 0x87, r, s);
}
// Atomic at `size` bytes (1, 2, 4, 8): r and memory exchanged; r added to memory, which r gets; r stored where rax is what memory has, else memory to rax.
// The register keeps what it had above a size of 1 or 2.
enum x64_atomic { ATOMIC_OP_XCHG = 0x86, ATOMIC_OP_XADD = 0x0fc0, ATOMIC_OP_CMPXCHG = 0x0fb0 };
static inline void x64_atomic_mr(struct x64 *a, enum x64_atomic op, unsigned size, struct x64_mem m, unsigned r)
{
	x64_b(a, 0xf0);
	if (size == 2)
		x64_b(a, 0x66);
	x64__rex_mem(a, size == 8, r, m, size == 1 && r >= 4);
	if (op >> 8)
		x64_b(a, op >> 8);
	x64_b(a, (op & 0xff) | (size != 1));
	x64__rm(a, r, m);
}
static inline void x64_mfence(struct x64 *a)
{
	x64_b(a, 0x0f);
	x64_b(a, 0xae);
	x64_b(a, 0xf0);
}
static inline void x64_push(struct x64 *a, unsigned r)
{
	x64__rex(a, 0, 0, 0, r, false);
	x64_b(a, 0x50 | (r & 7));
}
static inline void x64_pop(struct x64 *a, unsigned r)
{
	x64__rex(a, 0, 0, 0, r, false);
	x64_b(a, 0x58 | (r & 7));
}

// ---- integer arithmetic -----------------------------------------------------------------------------------------
static inline void x64_alu_rr(struct x64 *a, enum x64_width w, enum x64_alu op, unsigned d, unsigned s)
{
	x64__op_rr(a, w, (unsigned)op << 3 | 3, d, s);
}
static inline void x64_alu_rm(struct x64 *a, enum x64_width w, enum x64_alu op, unsigned d, struct x64_mem m)
{
	x64__op_rm(a, w, (unsigned)op << 3 | 3, d, m);
}
static inline void x64_alu_mr(struct x64 *a, enum x64_width w, enum x64_alu op, struct x64_mem m, unsigned s)
{
	x64__op_rm(a, w, (unsigned)op << 3 | 1, s, m);
}
static inline void x64_alu_ri(struct x64 *a, enum x64_width w, enum x64_alu op, unsigned d, int32_t imm)
{
	uint8_t *p = x64__put_rex(a->p, w, 0, 0, d, false);
	if (imm == (int8_t)imm) {
		*p++ = 0x83;
		p = x64__put_rr(p, op, d);
		*p++ = (uint8_t)imm;
	} else {
		*p++ = d == RAX ? (uint8_t)((unsigned)op << 3 | 5) : 0x81;
		if (d != RAX)
			p = x64__put_rr(p, op, d);
		p = x64__put_d(p, (uint32_t)imm);
	}
	a->p = p;
}
static inline void x64_alu_mi(struct x64 *a, enum x64_width w, enum x64_alu op, struct x64_mem m, int32_t imm)
{
	bool small = imm == (int8_t)imm;
	x64__op_rm(a, w, small ? 0x83 : 0x81, op, m);
	if (small)
		x64_b(a, (uint8_t)imm);
	else
		x64_d(a, (uint32_t)imm);
}
static inline void x64_test_rr(struct x64 *a, enum x64_width w, unsigned r, unsigned s)
{
	x64__op_rr(a, w, 0x85, s, r);
}
static inline void x64_test_rm(struct x64 *a, enum x64_width w, unsigned r, struct x64_mem m)
{
	x64__op_rm(a, w, 0x85, r, m);
}
static inline void x64_test_ri(struct x64 *a, enum x64_width w, unsigned r, int32_t imm)
{
	if (imm >= 0 && imm <= 0x7f) {  // low byte only: the sign flag is zero either way
		x64__rex(a, 0, 0, 0, r, r >= 4);
		x64_b(a, 0xf6);
		x64__rr(a, 0, r);
		x64_b(a, (uint8_t)imm);
		return;
	}
	x64__rex(a, w, 0, 0, r, false);
	x64_b(a, 0xf7);
	x64__rr(a, 0, r);
	x64_d(a, (uint32_t)imm);
}
static inline void x64_imul_rr(struct x64 *a, enum x64_width w, unsigned d, unsigned s)
{
	x64__0f_rr(a, w, 0xaf, d, s);
}
static inline void x64_imul_rm(struct x64 *a, enum x64_width w, unsigned d, struct x64_mem m)
{
	x64__0f_rm(a, w, 0xaf, d, m);
}
static inline void x64_imul_rri(struct x64 *a, enum x64_width w, unsigned d, unsigned s, int32_t imm)
{
	bool small = imm == (int8_t)imm;
	x64__op_rr(a, w, small ? 0x6b : 0x69, d, s);
	if (small)
		x64_b(a, (uint8_t)imm);
	else
		x64_d(a, (uint32_t)imm);
}
static inline void x64_group3(struct x64 *a, enum x64_width w, enum x64_group3 op, unsigned r)
{
	x64__op_rr(a, w, 0xf7, op, r);
}
// cdq, cqo
static inline void x64_sign_rax(struct x64 *a, enum x64_width w)
{
	x64__rex(a, w, 0, 0, 0, false);
	x64_b(a, 0x99);
}
static inline void x64_shift_ri(struct x64 *a, enum x64_width w, enum x64_shift op, unsigned d, unsigned n)
{
	x64__op_rr(a, w, n == 1 ? 0xd1 : 0xc1, op, d);
	if (n != 1)
		x64_b(a, n);
}
static inline void x64_shift_cl(struct x64 *a, enum x64_width w, enum x64_shift op, unsigned d)
{
	x64__op_rr(a, w, 0xd3, op, d);
}
static inline void x64__vex(struct x64 *a, unsigned map, unsigned pp, unsigned w, unsigned reg, unsigned vvvv, unsigned rm)
{
	x64_b(a, 0xc4);
	x64_b(a, (~reg >> 3 & 1) << 7 | 1 << 6 | (~rm >> 3 & 1) << 5 | map);
	x64_b(a, w << 7 | (~vvvv & 15) << 3 | pp);
}
// BMI2: shlx, shrx, sarx
static inline void x64_shiftx(struct x64 *a, enum x64_width w, enum x64_shift op, unsigned d, unsigned s, unsigned count)
{
	x64__vex(a, 2, op == SHIFT_SHL ? 1 : op == SHIFT_SHR ? 3
														 : 2,
		w, d, count, s);
	x64_b(a, 0xf7);
	x64__rr(a, d, s);
}
static inline void x64_rorx(struct x64 *a, enum x64_width w, unsigned d, unsigned s, unsigned n)
{
	x64__vex(a, 3, 3, w, d, 0, s);
	x64_b(a, 0xf0);
	x64__rr(a, d, s);
	x64_b(a, n);
}
// BMI1: d = ~s & t
static inline void x64_andn(struct x64 *a, enum x64_width w, unsigned d, unsigned s, unsigned t)
{
	x64__vex(a, 2, 0, w, d, s, t);
	x64_b(a, 0xf2);
	x64__rr(a, d, t);
}
enum x64_bits { BITS_BSF = 0xbc, BITS_BSR = 0xbd, BITS_TZCNT = 0x1bc, BITS_LZCNT = 0x1bd, BITS_POPCNT = 0x1b8 };
static inline void x64_bits_rr(struct x64 *a, enum x64_width w, enum x64_bits op, unsigned d, unsigned s)
{
	if (op & 0x100)
		x64_b(a, 0xf3);
	x64__0f_rr(a, w, op & 0xff, d, s);
}
static inline void x64_bts_ri(struct x64 *a, unsigned d, unsigned bit)
{
	x64__0f_rr(a, 1, 0xba, 5, d);
	x64_b(a, bit);
}
static inline void x64_cmov_rr(struct x64 *a, enum x64_width w, enum x64_cc cc, unsigned d, unsigned s)
{
	x64__0f_rr(a, w, 0x40u | cc, d, s);
}
static inline void x64_cmov_rm(struct x64 *a, enum x64_width w, enum x64_cc cc, unsigned d, struct x64_mem m)
{
	x64__0f_rm(a, w, 0x40u | cc, d, m);
}
static inline void x64_setcc(struct x64 *a, enum x64_cc cc, unsigned d)
{
	x64__rex(a, 0, 0, 0, d, d >= 4);
	x64_b(a, 0x0f);
	x64_b(a, 0x90u | cc);
	x64__rr(a, 0, d);
}

// ---- vectors ----------------------------------------------------------------------------------------------------
// An instruction of vectors as a number, in VEX's terms: prefix 0 none, 1 66, 2 f3, 3 f2; map 1 0f, 2 0f 38, 3 0f 3a. Immediates are the caller's.
#define X64_VEC(prefix, map, op) ((unsigned)(prefix) | (unsigned)(map) << 2 | (unsigned)(op) << 8)
static inline void x64__vec_prefix(struct x64 *a, unsigned v)
{
	static const uint8_t prefixes[] = {0, 0x66, 0xf3, 0xf2};
	if (v & 3)
		x64_b(a, prefixes[v & 3]);
}
static inline void x64__vec_opcode(struct x64 *a, unsigned v)
{
	x64_b(a, 0x0f);
	if ((v >> 2 & 3) > 1)
		x64_b(a, (v >> 2 & 3) == 2 ? 0x38 : 0x3a);
	x64_b(a, v >> 8);
}
// d = d op s, or op s. An operand of 16 bytes in memory must be aligned (L8).
static inline void x64_vec_rr(struct x64 *a, unsigned v, enum x64_width w, unsigned d, unsigned s)
{
	x64__vec_prefix(a, v);
	x64__rex(a, w, d, 0, s, false);
	x64__vec_opcode(a, v);
	x64__rr(a, d, s);
}
static inline void x64_vec_rm(struct x64 *a, unsigned v, enum x64_width w, unsigned d, struct x64_mem m)
{
	x64__vec_prefix(a, v);
	x64__rex_mem(a, w, d, m, false);
	x64__vec_opcode(a, v);
	x64__rm(a, d, m);
}
static inline void x64__vex_head(struct x64 *a, unsigned v, enum x64_width w, unsigned reg, unsigned vvvv, unsigned index, unsigned base)
{
	unsigned last = (unsigned)w << 7 | (~vvvv & 15) << 3 | (v & 3);
	if ((v >> 2 & 3) == 1 && w == W32 && !(index & 8) && !(base & 8)) {
		x64_b(a, 0xc5);
		x64_b(a, (~reg >> 3 & 1) << 7 | last);
	} else {
		x64_b(a, 0xc4);
		x64_b(a, (~reg >> 3 & 1) << 7 | (~index >> 3 & 1) << 6 | (~base >> 3 & 1) << 5 | (v >> 2 & 3));
		x64_b(a, last);
	}
	x64_b(a, v >> 8);
}
// AVX, 128 bits: d = s op t; s is 0 where there is one operand. Addresses need not be aligned.
static inline void x64_vex_rr(struct x64 *a, unsigned v, enum x64_width w, unsigned d, unsigned s, unsigned t)
{
	x64__vex_head(a, v, w, d, s, 0, t);
	x64__rr(a, d, t);
}
static inline void x64_vex_rm(struct x64 *a, unsigned v, enum x64_width w, unsigned d, unsigned s, struct x64_mem m)
{
	x64__vex_head(a, v, w, d, s, m.index == X64_NO_INDEX ? 0 : m.index, m.base == X64_RIP ? 0 : m.base);
	x64__rm(a, d, m);
}

// ---- floats -----------------------------------------------------------------------------------------------------
// `d`: double (W64) or float (W32). In the forms of AVX where they are asked for (struct x64): where both occur a processor may keep what lies above 128 bits
// for those of SSE, and have them wait for it.
enum x64_sse { SSE_SQRT = 0x51, SSE_ADD = 0x58, SSE_MUL = 0x59, SSE_SUB = 0x5c, SSE_MIN = 0x5d, SSE_DIV = 0x5e, SSE_MAX = 0x5f };
// `s`: where upper lanes come from, or the first operand: that of SSE is d.
static inline void x64__sse_rr(struct x64 *a, unsigned v, enum x64_width w, unsigned d, unsigned s, unsigned t)
{
	if (a->avx)
		x64_vex_rr(a, v, w, d, s, t);
	else
		x64_vec_rr(a, v, w, d, t);
}
static inline void x64__sse_rm(struct x64 *a, unsigned v, enum x64_width w, unsigned d, unsigned s, struct x64_mem m)
{
	if (a->avx)
		x64_vex_rm(a, v, w, d, s, m);
	else
		x64_vec_rm(a, v, w, d, m);
}
static inline unsigned x64__scalar(enum x64_width d, unsigned op)
{
	return d == W64 ? X64_VEC(3, 1, op) : X64_VEC(2, 1, op);
}
static inline void x64_sse_rr(struct x64 *a, enum x64_width f, enum x64_sse op, unsigned d, unsigned s)
{
	x64__sse_rr(a, x64__scalar(f, op), W32, d, op == SSE_SQRT ? s : d, s);
}
static inline void x64_sse_rm(struct x64 *a, enum x64_width f, enum x64_sse op, unsigned d, struct x64_mem m)
{
	x64__sse_rm(a, x64__scalar(f, op), W32, d, d, m);
}
// AVX: d = s op t, upper lanes from s
static inline void x64_avx_rr(struct x64 *a, enum x64_width f, enum x64_sse op, unsigned d, unsigned s, unsigned t)
{
	x64_vex_rr(a, x64__scalar(f, op), W32, d, s, t);
}
static inline void x64_movaps(struct x64 *a, unsigned d, unsigned s)
{
	x64__sse_rr(a, X64_VEC(0, 1, 0x28), W32, d, 0, s);
}
static inline void x64_movs_rm(struct x64 *a, enum x64_width f, unsigned d, struct x64_mem m)
{
	x64__sse_rm(a, x64__scalar(f, 0x10), W32, d, 0, m);
}
static inline void x64_movs_mr(struct x64 *a, enum x64_width f, struct x64_mem m, unsigned s)
{
	x64__sse_rm(a, x64__scalar(f, 0x11), W32, s, 0, m);
}
static inline void x64_movups_rm(struct x64 *a, unsigned d, struct x64_mem m)
{
	x64__sse_rm(a, X64_VEC(0, 1, 0x10), W32, d, 0, m);
}
static inline void x64_movups_mr(struct x64 *a, struct x64_mem m, unsigned s)
{
	x64__sse_rm(a, X64_VEC(0, 1, 0x11), W32, s, 0, m);
}
// Integer register to xmm (upper lanes zero) and back; W32 writes zero-extend.
static inline void x64_mov_xr(struct x64 *a, enum x64_width w, unsigned d, unsigned s)
{
	x64__sse_rr(a, X64_VEC(1, 1, 0x6e), w, d, 0, s);
}
static inline void x64_mov_rx(struct x64 *a, enum x64_width w, unsigned d, unsigned s)
{
	x64__sse_rr(a, X64_VEC(1, 1, 0x7e), w, s, 0, d);
}
static inline void x64_ucomis_rr(struct x64 *a, enum x64_width f, unsigned r, unsigned s)
{
	x64__sse_rr(a, X64_VEC(f == W64, 1, 0x2e), W32, r, 0, s);
}
static inline void x64_ucomis_rm(struct x64 *a, enum x64_width f, unsigned r, struct x64_mem m)
{
	x64__sse_rm(a, X64_VEC(f == W64, 1, 0x2e), W32, r, 0, m);
}
enum x64_logic { LOGIC_AND = 0x54, LOGIC_ANDN = 0x55, LOGIC_OR = 0x56, LOGIC_XOR = 0x57 };
static inline void x64_logic_rr(struct x64 *a, enum x64_logic op, unsigned d, unsigned s)
{
	x64__sse_rr(a, X64_VEC(0, 1, op), W32, d, d, s);
}
static inline void x64_pcmpeqd(struct x64 *a, unsigned d)
{
	x64__sse_rr(a, X64_VEC(1, 1, 0x76), W32, d, d, d);
}
// Each lane of the width is shifted left / right.
static inline void x64_psll(struct x64 *a, enum x64_width lane, unsigned d, unsigned n)
{
	x64__sse_rr(a, X64_VEC(1, 1, lane == W64 ? 0x73 : 0x72), W32, 6, d, d);
	x64_b(a, n);
}
static inline void x64_psrl(struct x64 *a, enum x64_width lane, unsigned d, unsigned n)
{
	x64__sse_rr(a, X64_VEC(1, 1, lane == W64 ? 0x73 : 0x72), W32, 2, d, d);
	x64_b(a, n);
}
enum x64_round { ROUND_NEAREST = 8, ROUND_FLOOR, ROUND_CEIL, ROUND_TRUNC };
static inline void x64_round(struct x64 *a, enum x64_width f, unsigned d, unsigned s, enum x64_round mode)
{
	x64__sse_rr(a, X64_VEC(1, 3, f == W64 ? 0x0b : 0x0a), W32, d, s, s);
	x64_b(a, mode);
}
// integer (w) to float (f), float to integer by truncation, float to the other float
static inline void x64_cvt_xr(struct x64 *a, enum x64_width f, enum x64_width w, unsigned d, unsigned s)
{
	x64__sse_rr(a, x64__scalar(f, 0x2a), w, d, d, s);
}
static inline void x64_cvtt_rx(struct x64 *a, enum x64_width f, enum x64_width w, unsigned d, unsigned s)
{
	x64__sse_rr(a, x64__scalar(f, 0x2c), w, d, 0, s);
}
static inline void x64_cvt_xx(struct x64 *a, enum x64_width from, unsigned d, unsigned s)
{
	x64__sse_rr(a, x64__scalar(from, 0x5a), W32, d, s, s);
}

// ---- control ----------------------------------------------------------------------------------------------------
#define X64_UNBOUND 0xffffffffu
// `at`: position once bound; `chain`: last displacement that waits for it.
struct x64_label {
	uint32_t at, chain;
};
#define X64_LABEL ((struct x64_label){X64_UNBOUND, X64_UNBOUND})
static inline void x64__label_ref(struct x64 *a, struct x64_label *l)
{
	uint32_t pos = x64_pos(a);
	if (l->at != X64_UNBOUND) {
		x64_d(a, l->at - (pos + 4));
	} else {
		x64_d(a, l->chain);
		l->chain = pos;
	}
}
static inline bool x64_label_used(const struct x64_label *l)
{
	return l->chain != X64_UNBOUND;
}
// Positions fit 31 bits (the buffer's maximum), so that no displacement can be out of range (L19).
static inline void x64_bind_at(struct x64 *a, struct x64_label *l, uint32_t at)
{
	uint32_t ref = l->chain;
	l->at = at;
	l->chain = X64_UNBOUND;
	if (UNLIKELY(a->failed))
		return;
	while (ref != X64_UNBOUND) {
		uint32_t next, disp = at - (ref + 4);
		memcpy(&next, a->base + ref, 4);
		memcpy(a->base + ref, &disp, 4);
		ref = next;
	}
}
static inline void x64_bind(struct x64 *a, struct x64_label *l)
{
	x64_bind_at(a, l, x64_pos(a));
	a->jump_end = 0;
}
// The same, without a jump to the label that is the last instruction: it is taken back. Not if another label is bound behind it: who jumps there
// doesn't come through it. What was emitted last is remembered, never read from the bytes: the entries of a jump table may look like anything.
static inline void x64_bind_next(struct x64 *a, struct x64_label *l)
{
	uint32_t pos = x64_pos(a);
	if (a->jump_end == pos && l->chain == pos - 4 && !a->failed) {
		memcpy(&l->chain, a->p - 4, 4);
		a->p -= 5;
	}
	x64_bind(a, l);
}
static inline void x64_jmp(struct x64 *a, struct x64_label *l)
{
	int64_t back = (int64_t)l->at - (x64_pos(a) + 2);
	if (l->at != X64_UNBOUND && back >= -128) {
		x64_b(a, 0xeb);
		x64_b(a, (uint8_t)back);
		return;
	}
	x64_b(a, 0xe9);
	x64__label_ref(a, l);
	a->jump_end = x64_pos(a);
}
static inline void x64_jcc(struct x64 *a, enum x64_cc cc, struct x64_label *l)
{
	int64_t back = (int64_t)l->at - (x64_pos(a) + 2);
	if (l->at != X64_UNBOUND && back >= -128) {
		x64_b(a, 0x70u | cc);
		x64_b(a, (uint8_t)back);
		return;
	}
	x64_b(a, 0x0f);
	x64_b(a, 0x80u | cc);
	x64__label_ref(a, l);
}
// Short forward branches over a few instructions: returns where the displacement is; x64_short_bind patches it.
static inline uint32_t x64_short_jcc(struct x64 *a, enum x64_cc cc)
{
	x64_b(a, 0x70u | cc);
	x64_b(a, 0);
	return x64_pos(a) - 1;
}
static inline uint32_t x64_short_jmp(struct x64 *a)
{
	x64_b(a, 0xeb);
	x64_b(a, 0);
	return x64_pos(a) - 1;
}
static inline void x64_short_bind(struct x64 *a, uint32_t at)
{
	uint32_t disp = x64_pos(a) - (at + 1);
	BUG_ON(disp > 127 && !a->failed);
	if (LIKELY(!a->failed))
		a->base[at] = (uint8_t)disp;
	a->jump_end = 0;
}
static inline void x64_jmp_r(struct x64 *a, unsigned r)
{
	x64__op_rr(a, 0, 0xff, 4, r);
}
static inline void x64_jmp_m(struct x64 *a, struct x64_mem m)
{
	x64__op_rm(a, 0, 0xff, 4, m);
}
static inline void x64_call_r(struct x64 *a, unsigned r)
{
	x64__op_rr(a, 0, 0xff, 2, r);
}
static inline void x64_call_m(struct x64 *a, struct x64_mem m)
{
	x64__op_rm(a, 0, 0xff, 2, m);
}
// Returns where the rel32 is.
static inline uint32_t x64_call_rel(struct x64 *a)
{
	x64_b(a, 0xe8);
	x64_d(a, 0);
	return x64_pos(a) - 4;
}
static inline uint32_t x64_jmp_rel(struct x64 *a)
{
	x64_b(a, 0xe9);
	x64_d(a, 0);
	return x64_pos(a) - 4;
}
static inline void x64_leave(struct x64 *a)
{
	x64_b(a, 0xc9);
}
static inline void x64_ret(struct x64 *a, unsigned pop)
{
	if (!pop) {
		x64_b(a, 0xc3);
		return;
	}
	x64_b(a, 0xc2);
	x64_b(a, pop & 0xff);
	x64_b(a, pop >> 8);
}
static inline void x64_ud2(struct x64 *a)
{
	x64_b(a, 0x0f);
	x64_b(a, 0x0b);
}
// Zeroes rcx quadwords from rdi.
static inline void x64_rep_stosq(struct x64 *a)
{
	x64_b(a, 0xf3);
	x64_b(a, 0x48);
	x64_b(a, 0xab);
}
// Fills up to the next multiple of `align` with long no-ops.
void x64_align(struct x64 *a, unsigned align);

#endif
