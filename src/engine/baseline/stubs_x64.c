// The two stubs at the end of a module's code, which functions reach by relocations.
#include "baseline_int.h"

// Return address on the stack is a guest's pc; eax is a trap.
static void emit_raise_stub(struct x64 *a)
{
	x64_mov_rr(a, W32, RSI, RAX);
	x64_mov_rr(a, W64, RDI, R13);
	x64_mov_rm(a, W64, RAX, at_vmctx(offsetof(struct abi_vmctx, libcalls)));
	x64_jmp_m(a, x64_at(x64_r64(RAX), 8 * ABI_LIBCALL_RAISE));
}

// Called in the prologue with parameters in registers and rsp + 8 a multiple of 16; keeps them all around the hook.
static void emit_hook_stub(struct x64 *a)
{
	int32_t size = 8 * 6 + 16 * 8 + 8;
	x64_alu_ri(a, W64, ALU_SUB, RSP, size);
	for (int i = 0; i < 6; i++)
		x64_mov_mr(a, W64, x64_at(x64_r64(RSP), 8 * i), baseline__args[i]);
	for (int i = 0; i < 8; i++)
		x64_movups_mr(a, x64_at(x64_r64(RSP), 48 + 16 * i), (unsigned)(XMM0 + i));
	x64_mov_rr(a, W64, RDI, R13);
	x64_mov_rm(a, W64, RAX, at_vmctx(offsetof(struct abi_vmctx, libcalls)));
	x64_call_m(a, x64_at(x64_r64(RAX), 8 * ABI_LIBCALL_STACK_HOOK));
	for (int i = 0; i < 6; i++)
		x64_mov_rm(a, W64, baseline__args[i], x64_at(x64_r64(RSP), 8 * i));
	for (int i = 0; i < 8; i++)
		x64_movups_rm(a, (unsigned)(XMM0 + i), x64_at(x64_r64(RSP), 48 + 16 * i));
	x64_alu_ri(a, W64, ALU_ADD, RSP, size);
	x64_test_rr(a, W32, RAX, RAX);
	uint32_t fine = x64_short_jcc(a, CC_E);
	emit_raise_stub(a);
	x64_short_bind(a, fine);
	x64_ret(a, 0);
}

bool baseline__stubs_emit(struct buf *text, uint32_t *ret_hook, uint32_t *ret_raise)
{
	struct x64 x;
	x64_begin(&x, text);
	x64_room(&x, 1024);
	*ret_raise = x64_pos(&x);
	emit_raise_stub(&x);
	x64_align(&x, 16);
	*ret_hook = x64_pos(&x);
	emit_hook_stub(&x);
	return x64_finish(&x);
}
