// What stands outside of a function's straight line: traps and rare cases of instructions, and constants.
#include "baseline_int.h"

static void call_stub(struct comp *c, uint32_t stub)
{
	baseline__site(c, TRAP_NONE);
	struct baseline_reloc *r = VEC_ADD(NULL, &c->out->relocs, UINT32_MAX / 16);
	uint32_t at = x64_call_rel(&c->a);
	if (!r)
		baseline__fail_nomem(c);
	else
		*r = (struct baseline_reloc){at, stub};
}

static void trap(struct comp *c, enum trap t)
{
	baseline__site(c, t);
	x64_ud2(&c->a);
}

// Everything that is live is kept around the call; the operand's bits are the third argument.
static void ool_trunc(struct comp *c, const struct ool *o)
{
	struct x64 *a = &c->a;
	uint32_t live = o->live & ~(c->preserved | BIT(XMM15));
	int32_t step[2] = {8, (int32_t)c->slot_size}, at = 0;  // of a general register, of a vector register
	int32_t size = (step[0] * __builtin_popcount(live & ~ALL_XMM) + step[1] * __builtin_popcount(live & ALL_XMM) + 15) & ~15;
	unsigned vector = c->slot_size == 16 ? WASM_V128 : WASM_F64;
	x64_alu_ri(a, W64, ALU_SUB, RSP, size);
	for (uint32_t mask = live; mask; mask &= mask - 1) {
		unsigned r = (unsigned)__builtin_ctz(mask);
		baseline__store(c, r >= XMM0 ? vector : WASM_I64, x64_at(x64_r64(RSP), at), r);
		at += step[r >= XMM0];
	}
	x64_mov_rx(a, o->is_float64 ? W64 : W32, RDX, o->src);
	x64_mov_ri(a, RSI, o->op);
	x64_mov_rr(a, W64, RDI, R13);
	x64_mov_rm(a, W64, RAX, at_vmctx(offsetof(struct abi_vmctx, libcalls)));
	baseline__site(c, TRAP_NONE);
	x64_call_m(a, x64_at(x64_r64(RAX), 8 * (o->saturating ? ABI_LIBCALL_TRUNC_SAT : ABI_LIBCALL_TRUNC)));
	if (!o->saturating) {
		x64_test_rr(a, W32, RAX, RAX);
		uint32_t fine = x64_short_jcc(a, CC_E);
		call_stub(c, BASELINE_STUB_RAISE);
		x64_short_bind(a, fine);
		baseline__libcall_result(c);
	}
	x64_mov_rr(a, o->w, o->dst, RAX);
	at = 0;
	for (uint32_t mask = live; mask; mask &= mask - 1) {
		unsigned r = (unsigned)__builtin_ctz(mask);
		baseline__load(c, r >= XMM0 ? vector : WASM_I64, r, x64_at(x64_r64(RSP), at));
		at += step[r >= XMM0];
	}
	x64_alu_ri(a, W64, ALU_ADD, RSP, size);
}

// rax points to the callee's struct abi_func, whose type is another: is it one below the one that is wanted? All arguments are in their registers.
static void ool_indirect_sub(struct comp *c, const struct ool *o)
{
	struct x64 *a = &c->a;
	int32_t size = 8 * 8 + 16 * 8;
	x64_alu_ri(a, W64, ALU_SUB, RSP, size);
	for (int i = 0; i < 6; i++)
		x64_mov_mr(a, W64, x64_at(x64_r64(RSP), 8 * i), baseline__args[i]);
	x64_mov_mr(a, W64, x64_at(x64_r64(RSP), 48), RAX);
	for (int i = 0; i < 8; i++)
		x64_movups_mr(a, x64_at(x64_r64(RSP), 64 + 16 * i), (unsigned)(XMM0 + i));
	x64_mov_rr(a, W64, RCX, RAX);
	x64_alu_rm(a, W64, ALU_SUB, RCX, at_vmctx(offsetof(struct abi_vmctx, funcs)));
	x64_shift_ri(a, W64, SHIFT_SHR, RCX, 5);
	x64_mov_ri(a, RSI, o->type);
	x64_zero(a, RDX);
	x64_mov_rr(a, W64, RDI, R13);
	x64_mov_rm(a, W64, RAX, at_vmctx(offsetof(struct abi_vmctx, libcalls)));
	baseline__site(c, TRAP_NONE);
	x64_call_m(a, x64_at(x64_r64(RAX), 8 * ABI_LIBCALL_FUNC_IS));
	x64_mov_rr(a, W32, R11, RAX);
	for (int i = 0; i < 6; i++)
		x64_mov_rm(a, W64, baseline__args[i], x64_at(x64_r64(RSP), 8 * i));
	x64_mov_rm(a, W64, RAX, x64_at(x64_r64(RSP), 48));
	for (int i = 0; i < 8; i++)
		x64_movups_rm(a, (unsigned)(XMM0 + i), x64_at(x64_r64(RSP), 64 + 16 * i));
	x64_alu_ri(a, W64, ALU_ADD, RSP, size);
	x64_test_rr(a, W32, R11, R11);
	struct x64_label is = o->back;
	x64_jcc(a, CC_NE, &is);
}

static void emit_ool(struct comp *c, struct ool *o)
{
	struct x64 *a = &c->a;
	x64_room(a, 1024);
	c->op_at = c->body + o->wasm_offset;
	x64_bind(a, &o->from);
	switch ((enum ool_kind)o->kind) {
	case OOL_TRAP:
		trap(c, o->trap);
		return;
	case OOL_RAISE:
		call_stub(c, BASELINE_STUB_RAISE);
		return;
	case OOL_INDIRECT_SUB:
		ool_indirect_sub(c, o);
		__attribute__((fallthrough));
	case OOL_INDIRECT:
		x64_alu_rm(a, W64, ALU_CMP, RAX, at_vmctx(offsetof(struct abi_vmctx, funcs)));
		uint32_t null = x64_short_jcc(a, CC_E);
		trap(c, TRAP_INDIRECT_CALL_TYPE);
		x64_short_bind(a, null);
		trap(c, TRAP_UNINITIALIZED_ELEMENT);
		return;
	case OOL_STACK:
		// Without the frame, which may not fit; back to where it is made.
		x64_mov_rr(a, W64, RSP, RBP);
		call_stub(c, BASELINE_STUB_HOOK);
		break;
	case OOL_DIV: {
		x64_group3(a, o->w, G3_NEG, RAX);
		uint32_t fine = x64_short_jcc(a, CC_NO);
		trap(c, TRAP_INTEGER_OVERFLOW);
		x64_short_bind(a, fine);
		break;
	}
	case OOL_REM:
		x64_zero(a, RDX);
		break;
	case OOL_TRUNC:
		ool_trunc(c, o);
		break;
	}
	x64_jmp(a, &o->back);
}

// Float constants, eight bytes each; equal ones that follow each other closely are shared.
static void emit_pool(struct comp *c)
{
	struct x64 *a = &c->a;
	if (!c->s->pool.len)
		return;
	struct {
		uint64_t bits;
		uint32_t at;
	} seen[64] = {0};
	x64_room(a, 64);
	x64_align(a, 8);
	for (uint32_t i = 0; i < c->s->pool.len; i++) {
		const struct pooled *p = &c->s->pool.ptr[i];
		unsigned h = (unsigned)((p->bits * 0x9e3779b97f4a7c15ull) >> 58);
		x64_room(a, 16);
		if (seen[h].bits != p->bits) {
			seen[h].bits = p->bits;
			seen[h].at = x64_pos(a);
			x64_q(a, p->bits);
		}
		uint32_t disp = seen[h].at - (p->at + 4);
		if (!a->failed)
			memcpy(a->base + p->at, &disp, 4);
	}
}

static void emit_all(struct comp *c)
{
	for (uint32_t i = 0; i < c->s->ool.len && !c->failed; i++)
		emit_ool(c, &c->s->ool.ptr[i]);
	c->s->ool.len = 0;
}

void baseline__ool_island(struct comp *c)
{
	struct x64_label over = X64_LABEL;
	x64_room(&c->a, 64);
	x64_jmp(&c->a, &over);
	emit_all(c);
	x64_bind(&c->a, &over);
}

bool baseline__func_end(struct comp *c)
{
	baseline__landings(c);
	baseline__frame_patch(c);
	emit_all(c);
	baseline__vec_pool(c);
	emit_pool(c);
	return x64_finish(&c->a);
}
