// Atomics: accesses that are one instruction with a lock, or a loop around one; waiting and waking, which the runtime does. An access that is not aligned
// traps, before its bounds are looked at.
#include "vec_x64.h"

static void check_aligned(struct comp *c, struct val *index, uint64_t offset, unsigned size)
{
	int32_t low = (int32_t)(offset & (size - 1));
	if (size == 1 || (index->kind == K_CONST && !((index->imm + offset) & (size - 1))))
		return;
	uint8_t r = baseline__use_reg(c, index);
	if (low) {
		uint8_t t = alloc(c, false);
		x64_lea(&c->a, W32, t, x64_at(x64_r64(r), low));
		c->lock &= ~BIT(t);
		r = t;
	}
	x64_test_ri(&c->a, W32, r, (int32_t)size - 1);
	baseline__jcc_trap(c, CC_NE, TRAP_UNALIGNED_ATOMIC);
}

// The popped operand's address, checked but for what the processor checks.
static struct x64_mem place(struct comp *c, struct val *index, const struct wasm_memarg *m, unsigned size)
{
	check_aligned(c, index, m->offset, size);
	return baseline__address(c, index, m, size);
}

static void zero_extend(struct comp *c, unsigned size, unsigned r)
{
	if (size < 4)
		x64_ext_rr(&c->a, W32, size == 1 ? EXT_ZX8 : EXT_ZX16, r, r);
}

static unsigned type_of(unsigned w)
{
	return w == W64 ? WASM_I64 : WASM_I32;
}

static void load(struct comp *c, unsigned size, unsigned d, struct x64_mem at)
{
	baseline__site(c, TRAP_MEMORY_OUT_OF_BOUNDS);
	if (size < 4)
		x64_ext_rm(&c->a, W32, size == 1 ? EXT_ZX8 : EXT_ZX16, d, at);
	else
		x64_mov_rm(&c->a, size == 8 ? W64 : W32, d, at);
}

// Loads are in order on this processor; a store that all others are to see in order has a lock.
void baseline__emit_atomic_load(struct comp *c, unsigned w, unsigned size)
{
	struct wasm_memarg m = wasm_read_memarg(&c->p);
	struct val index = pop(c);
	struct x64_mem at = place(c, &index, &m, size);
	uint8_t d = index.kind == K_REG ? index.reg : alloc(c, false);
	load(c, size, d, at);
	baseline__finish(c, type_of(w), d);
}

void baseline__emit_atomic_store(struct comp *c, unsigned w, unsigned size)
{
	struct wasm_memarg m = wasm_read_memarg(&c->p);
	struct val v = pop(c), index = pop(c);
	uint8_t r = baseline__own_reg(c, &v);
	struct x64_mem at = place(c, &index, &m, size);
	baseline__site(c, TRAP_MEMORY_OUT_OF_BOUNDS);
	x64_atomic_mr(&c->a, ATOMIC_OP_XCHG, size, at, r);
}

void baseline__emit_atomic_rmw(struct comp *c, unsigned w, unsigned arg)
{
	struct wasm_memarg m = wasm_read_memarg(&c->p);
	unsigned size = arg & 15, op = arg >> 4;
	struct val v = pop(c), index = pop(c);
	uint8_t r = baseline__own_reg(c, &v);
	struct x64_mem at = place(c, &index, &m, size);
	if (op == ATOMIC_SUB)
		x64_group3(&c->a, w, G3_NEG, r);
	baseline__site(c, TRAP_MEMORY_OUT_OF_BOUNDS);
	x64_atomic_mr(&c->a, op == ATOMIC_XCHG ? ATOMIC_OP_XCHG : ATOMIC_OP_XADD, size, at, r);
	zero_extend(c, size, r);
	baseline__finish(c, type_of(w), r);
}

// The address in a register, and rax free: four registers are there for rax, the address, the operand and one more. What is on the stack lies in its slots
// before the operands are popped.
static uint8_t place_beside_rax(struct comp *c, struct val *index, const struct wasm_memarg *m, unsigned size)
{
	baseline__claim(c, RAX);
	struct x64_mem at = place(c, index, m, size);
	c->lock = BIT(RAX) | (at.base < XMM0 ? BIT(at.base) : 0) | (at.index < XMM0 ? BIT(at.index) : 0);
	uint8_t r = alloc(c, false);
	x64_lea(&c->a, W64, r, at);
	c->lock = BIT(RAX) | BIT(r);
	return r;
}

// and, or, xor: what was there has to be kept, so the new value is made beside it, and stored if nobody was faster.
void baseline__emit_atomic_logic(struct comp *c, unsigned w, unsigned arg)
{
	static const uint8_t ops[] = {[ATOMIC_AND] = ALU_AND, [ATOMIC_OR] = ALU_OR, [ATOMIC_XOR] = ALU_XOR};
	struct wasm_memarg m = wasm_read_memarg(&c->p);
	unsigned size = arg & 15;
	struct x64_label again = X64_LABEL;
	baseline__spill_temps_below(c, c->sp);
	struct val v = pop(c), index = pop(c);
	struct x64_mem at = x64_at(x64_r64(place_beside_rax(c, &index, &m, size)), 0);
	uint8_t r = baseline__use_reg(c, &v), t = alloc(c, false);
	load(c, size, RAX, at);
	x64_bind(&c->a, &again);
	x64_mov_rr(&c->a, w, t, RAX);
	x64_alu_rr(&c->a, w, ops[arg >> 4], t, r);
	baseline__site(c, TRAP_MEMORY_OUT_OF_BOUNDS);
	x64_atomic_mr(&c->a, ATOMIC_OP_CMPXCHG, size, at, t);
	x64_jcc(&c->a, CC_NE, &again);
	zero_extend(c, size, RAX);
	c->zf_at = UINT32_MAX;
	baseline__finish(c, type_of(w), RAX);
}

// Of what was expected only as many bits as the access has are compared (threads, "wraps before comparing").
void baseline__emit_atomic_cmpxchg(struct comp *c, unsigned w, unsigned size)
{
	struct wasm_memarg m = wasm_read_memarg(&c->p);
	struct x64 *a = &c->a;
	baseline__spill_temps_below(c, c->sp);
	struct val v = pop(c), expected = pop(c), index = pop(c);
	struct x64_mem at = x64_at(x64_r64(place_beside_rax(c, &index, &m, size)), 0);
	uint8_t r = baseline__use_reg(c, &v);
	baseline__move_to(c, RAX, &expected);
	baseline__site(c, TRAP_MEMORY_OUT_OF_BOUNDS);
	x64_atomic_mr(a, ATOMIC_OP_CMPXCHG, size, at, r);
	zero_extend(c, size, RAX);
	if (size == 4)
		x64_mov_rr(a, W32, RAX, RAX);
	c->zf_at = UINT32_MAX;
	baseline__finish(c, type_of(w), RAX);
}

void baseline__emit_atomic_fence(struct comp *c, unsigned w, unsigned arg)
{
	c->p++;
	x64_mfence(&c->a);
}

// ---- waiting ----------------------------------------------------------------------------------------------------
static void push_again(struct comp *c, const struct val *v)
{
	if (v->kind == K_LOCAL)
		push_local(c, v->local);
	else
		c->stack[c->sp++] = *v;  // a constant, or what lies in this very slot
}

// The address below n operands becomes one of 64 bits with the offset in it.
static void add_offset(struct comp *c, const struct wasm_memarg *m, unsigned n)
{
	struct val above[2];
	if (!m->offset)
		return;
	baseline__spill_temps_below(c, c->sp);
	for (unsigned i = 0; i < n; i++)
		above[i] = pop(c);
	struct val index = pop(c);
	uint8_t r = baseline__own_reg(c, &index), t = alloc(c, false);
	if (c->opt->poison_upper && index.type == WASM_I32)
		x64_mov_rr(&c->a, W32, r, r);
	x64_mov_ri(&c->a, t, m->offset);
	x64_alu_rr(&c->a, W64, ALU_ADD, r, t);
	baseline__jcc_trap(c, CC_B, TRAP_MEMORY_OUT_OF_BOUNDS);
	push_reg(c, WASM_I64, r);
	while (n)
		push_again(c, &above[--n]);
}

void baseline__emit_atomic_wait(struct comp *c, unsigned w, unsigned arg)
{
	struct wasm_memarg m = wasm_read_memarg(&c->p);
	add_offset(c, &m, 2);
	baseline__libcall(c, w == W64 ? ABI_LIBCALL_ATOMIC_WAIT64 : ABI_LIBCALL_ATOMIC_WAIT32, &m.memory);
	baseline__finish(c, WASM_I32, RAX);
}

void baseline__emit_atomic_notify(struct comp *c, unsigned w, unsigned arg)
{
	struct wasm_memarg m = wasm_read_memarg(&c->p);
	add_offset(c, &m, 1);
	baseline__libcall(c, ABI_LIBCALL_ATOMIC_NOTIFY, &m.memory);
	baseline__finish(c, WASM_I32, RAX);
}
