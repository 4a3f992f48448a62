// The two stubs at the end of a module's code, which functions reach by relocations; entries of functions that come later.
#include "baseline_int.h"

// Return address on the stack is a guest's pc; eax is a trap.
static void emit_raise_stub(struct x64 *a)
{
	x64_mov_rr(a, W32, RSI, RAX);
	x64_mov_rr(a, W64, RDI, R13);
	x64_mov_rm(a, W64, RAX, at_vmctx(offsetof(struct abi_vmctx, libcalls)));
	x64_jmp_m(a, x64_at(x64_r64(RAX), 8 * ABI_LIBCALL_RAISE));
}

// A call of the runtime that keeps the parameters in their registers, where rsp + 8 is a multiple of 16; goes on behind it if that gave no trap.
static void emit_kept_call(struct x64 *a, enum abi_libcall id)
{
	int32_t size = 8 * 6 + 16 * 8 + 8;
	x64_alu_ri(a, W64, ALU_SUB, RSP, size);
	for (int i = 0; i < 6; i++)
		x64_mov_mr(a, W64, x64_at(x64_r64(RSP), 8 * i), baseline__args[i]);
	for (int i = 0; i < 8; i++)
		x64_movups_mr(a, x64_at(x64_r64(RSP), 48 + 16 * i), (unsigned)(XMM0 + i));
	x64_mov_rr(a, W32, RSI, RAX);
	x64_mov_rr(a, W64, RDI, R13);
	x64_mov_rm(a, W64, RAX, at_vmctx(offsetof(struct abi_vmctx, libcalls)));
	x64_call_m(a, x64_at(x64_r64(RAX), (int32_t)(8 * id)));
	for (int i = 0; i < 6; i++)
		x64_mov_rm(a, W64, baseline__args[i], x64_at(x64_r64(RSP), 8 * i));
	for (int i = 0; i < 8; i++)
		x64_movups_rm(a, (unsigned)(XMM0 + i), x64_at(x64_r64(RSP), 48 + 16 * i));
	x64_alu_ri(a, W64, ALU_ADD, RSP, size);
	x64_test_rr(a, W32, RAX, RAX);
	uint32_t fine = x64_short_jcc(a, CC_E);
	emit_raise_stub(a);
	x64_short_bind(a, fine);
}

// Called in the prologue.
static void emit_hook_stub(struct x64 *a)
{
	emit_kept_call(a, ABI_LIBCALL_STACK_HOOK);
	x64_ret(a, 0);
}

// Jumped to in place of a function that isn't there yet; eax: its index.
static void emit_compile_stub(struct x64 *a)
{
	emit_kept_call(a, ABI_LIBCALL_COMPILE);
	x64_mov_rm(a, W64, RAX, at_vmctx(offsetof(struct abi_vmctx, exec)));
	x64_jmp_m(a, x64_at(x64_r64(RAX), offsetof(struct abi_exec, libcall_result)));
}

static void emit_both(struct x64 *x, uint32_t *ret_hook, uint32_t *ret_raise)
{
	x64_room(x, 1024);
	*ret_raise = x64_pos(x);
	emit_raise_stub(x);
	x64_align(x, 16);
	*ret_hook = x64_pos(x);
	emit_hook_stub(x);
}

bool baseline__stubs_emit(struct buf *text, uint32_t *ret_hook, uint32_t *ret_raise)
{
	struct x64 x;
	x64_begin(&x, text);
	emit_both(&x, ret_hook, ret_raise);
	return x64_finish(&x);
}

// ORDER entry: 6 bytes, then the way to the compiler (code.h).
bool baseline__entries_emit(struct buf *text, uint32_t first_func, uint32_t nfuncs, uint32_t *ret_hook, uint32_t *ret_raise)
{
	struct x64 x;
	int64_t slots = (int64_t)code_lazy_slots(nfuncs), compile = 16ll * nfuncs;
	x64_begin(&x, text);
	for (uint32_t i = 0; i < nfuncs; i++) {
		int64_t at = 16ll * i;
		x64_room(&x, 32);
		x64_jmp_m(&x, (struct x64_mem){.base = X64_RIP, .index = X64_NO_INDEX, .disp = (int32_t)(8ll * i - slots - at - 6)});
		x64_mov_ri(&x, RAX, first_func + i);
		x64_jmp_rel(&x);
		int32_t disp = (int32_t)(compile - at - 16);
		memcpy(x.p - 4, &disp, 4);
	}
	x64_room(&x, 1024);
	emit_compile_stub(&x);
	x64_align(&x, 16);
	emit_both(&x, ret_hook, ret_raise);
	return x64_finish(&x);
}
