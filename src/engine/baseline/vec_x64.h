// Inside room baseline: what the emitters of vectors have in common (vec_x64.c).
#ifndef TENON_VEC_X64_H
#define TENON_VEC_X64_H

#include "baseline_int.h"

// memory_x64.c: where a popped index and a memarg point to, for an access of `size` bytes. The access is a site (baseline__site).
struct x64_mem baseline__address(struct comp *c, struct val *index, const struct wasm_memarg *m, unsigned size);

#define VEC_OP(w, op) (((w) & 15u) | (unsigned)(op) << 8)

// d = s op t; without AVX t must not be d unless s is. d = op s. With an immediate. With a constant for t. Shifts by a constant: their opcodes
// stand with /2 (right), /4 (right, signed), /6 (left); bytes of the whole: 0x73 with /3 (right).
void baseline__vec3(struct comp *c, unsigned op, unsigned d, unsigned s, unsigned t);
void baseline__vec2(struct comp *c, unsigned op, unsigned d, unsigned s);
void baseline__vec3_imm(struct comp *c, unsigned op, unsigned d, unsigned s, unsigned t, unsigned imm);
void baseline__vec2_imm(struct comp *c, unsigned op, unsigned d, unsigned s, unsigned imm);
void baseline__vec3_const(struct comp *c, unsigned op, unsigned d, unsigned s, uint64_t low, uint64_t high);
void baseline__vec_shift(struct comp *c, unsigned op, unsigned form, unsigned d, unsigned s, unsigned n);
void baseline__vec_zero(struct comp *c, unsigned d);
void baseline__vec_ones(struct comp *c, unsigned d);
// The temp of a (in a register already), or a new one: may be written before b, which was popped with a, is read.
static inline uint8_t baseline__vec_dst(struct comp *c, const struct val *a)
{
	return a->kind == K_REG && a->reg >= XMM0 ? a->reg : alloc(c, true);
}
// The same, or the pin that the result goes to: for what reads its operands no later than in the instruction that writes it.
uint8_t baseline__vec_last(struct comp *c, const struct val *a);
static inline bool baseline__has_avx(const struct comp *c)
{
	return c->opt->cpu & CODE_CPU_AVX;
}

#endif
