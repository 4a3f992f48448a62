// The assembly of room vm on x86-64: into guests and out of them, host functions, traps, preemption, fiber switches.
//
// 1. vm__enter saves the callee-saved registers and leaves exec->entry_sp pointing at {regs, exec, previous entry_sp, registers...}.
//    Whoever sets rsp = exec->entry_sp and jumps to vm__pad makes that vm__enter return exec->trap. That is the only way out of guest
//    code beside returning.
// 2. vm__host_stub is the code of every host function: r13 points to its struct vm__host. It pops its stack parameters (R2).
// 3. vm__preempt_stub is entered as if guest code had called it at an arbitrary instruction; it preserves every register and the flags.
// 4. Stubs are not guest code: code_find does not know them, so the signal handler never redirects inside of them.
#include "vm_int.h"

#define REG_GPR(i) (offsetof(struct vm__regs, gpr) + 8 * (i))
#define REG_XMM(i) (offsetof(struct vm__regs, xmm) + 8 * (i))
#define NAKED __attribute__((naked, noinline, used))

NAKED enum trap vm__enter(struct abi_vmctx *ctx UNUSED, const void *code UNUSED, struct vm__regs *regs UNUSED, struct abi_exec *exec UNUSED)
{
	__asm__ volatile(
		"push %%rbp\n mov %%rsp, %%rbp\n"
		"push %%rbx\n push %%r12\n push %%r13\n push %%r14\n push %%r15\n"
		"pushq %c[entry_sp](%%rcx)\n"
		"push %%rcx\n push %%rdx\n"
		"mov %%rsp, %c[entry_sp](%%rcx)\n"
		"mov %%rdi, %%r13\n"
		"mov %c[mem0](%%rdi), %%r14\n"
		"mov %%rsi, %%rax\n"
		"mov %%rdx, %%r10\n"
		// stack parameters, the last one first
		"mov %c[nstack](%%r10), %%rcx\n"
		"test %%rcx, %%rcx\n jz 2f\n"
		"mov %c[stack](%%r10), %%rsi\n"
		"1: pushq -8(%%rsi,%%rcx,8)\n"
		"dec %%rcx\n jnz 1b\n"
		"2:\n"
		"movsd %c[xmm]+0(%%r10), %%xmm0\n movsd %c[xmm]+8(%%r10), %%xmm1\n movsd %c[xmm]+16(%%r10), %%xmm2\n movsd %c[xmm]+24(%%r10), %%xmm3\n"
		"movsd %c[xmm]+32(%%r10), %%xmm4\n movsd %c[xmm]+40(%%r10), %%xmm5\n movsd %c[xmm]+48(%%r10), %%xmm6\n movsd %c[xmm]+56(%%r10), %%xmm7\n"
		"mov 0(%%r10), %%rdi\n mov 8(%%r10), %%rsi\n mov 16(%%r10), %%rdx\n mov 24(%%r10), %%rcx\n mov 32(%%r10), %%r8\n mov 40(%%r10), %%r9\n"
		"call *%%rax\n"
		"pop %%rdx\n pop %%rcx\n"
		"mov %%rax, %c[rax](%%rdx)\n"
		"movsd %%xmm0, %c[xmm0](%%rdx)\n"
		"xor %%eax, %%eax\n"
		"3: popq %c[entry_sp](%%rcx)\n"
		"pop %%r15\n pop %%r14\n pop %%r13\n pop %%r12\n pop %%rbx\n pop %%rbp\n"
		"ret\n"
		".globl vm__pad\n .hidden vm__pad\n vm__pad:\n"
		"cld\n"
		"pop %%rdx\n pop %%rcx\n"
		"mov %c[trap](%%rcx), %%eax\n"
		"jmp 3b\n"
		:
		: [entry_sp] "i"(offsetof(struct abi_exec, entry_sp)), [trap] "i"(offsetof(struct abi_exec, trap)),
		[mem0] "i"(offsetof(struct abi_vmctx, mem0_base)), [nstack] "i"(offsetof(struct vm__regs, nstack)),
		[stack] "i"(offsetof(struct vm__regs, stack)), [xmm] "i"(offsetof(struct vm__regs, xmm)), [rax] "i"(offsetof(struct vm__regs, rax)),
		[xmm0] "i"(offsetof(struct vm__regs, xmm0)));
}
_Static_assert(offsetof(struct vm__regs, gpr) == 0, "ORDER regs");

// On entry: parameters by the guest convention, r13 = struct vm__host. Frame: struct vm__host_regs at rsp.
NAKED void vm__host_stub(void)
{
	__asm__ volatile(
		"push %%rbp\n mov %%rsp, %%rbp\n"
		"sub %[frame], %%rsp\n"
		"mov %%rdi, 0(%%rsp)\n mov %%rsi, 8(%%rsp)\n mov %%rdx, 16(%%rsp)\n mov %%rcx, 24(%%rsp)\n mov %%r8, 32(%%rsp)\n mov %%r9, 40(%%rsp)\n"
		"movsd %%xmm0, 48(%%rsp)\n movsd %%xmm1, 56(%%rsp)\n movsd %%xmm2, 64(%%rsp)\n movsd %%xmm3, 72(%%rsp)\n"
		"movsd %%xmm4, 80(%%rsp)\n movsd %%xmm5, 88(%%rsp)\n movsd %%xmm6, 96(%%rsp)\n movsd %%xmm7, 104(%%rsp)\n"
		"mov %%r13, %%rdi\n mov %%rsp, %%rsi\n lea 16(%%rbp), %%rdx\n"
		"call vm__host_dispatch\n"
		"test %%eax, %%eax\n jnz 2f\n"
		"mov 0(%%rsp), %%rax\n movsd 48(%%rsp), %%xmm0\n"
		"mov %c[pop](%%r13), %%rcx\n"
		"leave\n"
		"test %%rcx, %%rcx\n jnz 1f\n"
		"ret\n"
		"1: pop %%rdx\n add %%rcx, %%rsp\n jmp *%%rdx\n"
		"2: mov %%r13, %%rdi\n mov %%eax, %%esi\n mov 8(%%rbp), %%rdx\n mov (%%rbp), %%rcx\n"
		"call vm__trap_raised\n"
		"mov %c[entry_sp](%%rax), %%rsp\n"
		"jmp vm__pad\n"
		:
		: [frame] "i"(sizeof(struct vm__host_regs)), [pop] "i"(offsetof(struct vm__host, pop)), [entry_sp] "i"(offsetof(struct abi_exec, entry_sp)));
}
_Static_assert(sizeof(struct vm__host_regs) == 128 && offsetof(struct vm__host_regs, xmm) == 48, "frame of vm__host_stub, a multiple of 16");
_Static_assert(offsetof(struct vm__host, ctx) == 0, "r13 is both");

// rdi = vmctx, esi = trap, [rsp] = guest pc.
NAKED void vm__raise(struct abi_vmctx *ctx UNUSED, uint32_t trap UNUSED)
{
	__asm__ volatile(
		"mov (%%rsp), %%rdx\n mov %%rbp, %%rcx\n"
		"and $-16, %%rsp\n"
		"call vm__trap_raised\n"
		"mov %c[entry_sp](%%rax), %%rsp\n"
		"jmp vm__pad\n"
		:
		: [entry_sp] "i"(offsetof(struct abi_exec, entry_sp)));
}

// [rsp] = pc of the interrupted instruction; every register as it was there.
NAKED void vm__preempt_stub(void)
{
	__asm__ volatile(
		"pushfq\n cld\n"
		"push %%rax\n push %%rcx\n push %%rdx\n push %%rbx\n push %%rbp\n push %%rsi\n push %%rdi\n"
		"push %%r8\n push %%r9\n push %%r10\n push %%r11\n push %%r12\n push %%r13\n push %%r14\n push %%r15\n"
		"mov %%rsp, %%rbx\n"
		"and $-16, %%rsp\n sub $256, %%rsp\n"
		"movaps %%xmm0, 0(%%rsp)\n movaps %%xmm1, 16(%%rsp)\n movaps %%xmm2, 32(%%rsp)\n movaps %%xmm3, 48(%%rsp)\n"
		"movaps %%xmm4, 64(%%rsp)\n movaps %%xmm5, 80(%%rsp)\n movaps %%xmm6, 96(%%rsp)\n movaps %%xmm7, 112(%%rsp)\n"
		"movaps %%xmm8, 128(%%rsp)\n movaps %%xmm9, 144(%%rsp)\n movaps %%xmm10, 160(%%rsp)\n movaps %%xmm11, 176(%%rsp)\n"
		"movaps %%xmm12, 192(%%rsp)\n movaps %%xmm13, 208(%%rsp)\n movaps %%xmm14, 224(%%rsp)\n movaps %%xmm15, 240(%%rsp)\n"
		"mov 128(%%rbx), %%rdi\n mov %%rbp, %%rsi\n"
		"call vm__interrupted\n"
		"test %%rax, %%rax\n jnz 1f\n"
		"movaps 0(%%rsp), %%xmm0\n movaps 16(%%rsp), %%xmm1\n movaps 32(%%rsp), %%xmm2\n movaps 48(%%rsp), %%xmm3\n"
		"movaps 64(%%rsp), %%xmm4\n movaps 80(%%rsp), %%xmm5\n movaps 96(%%rsp), %%xmm6\n movaps 112(%%rsp), %%xmm7\n"
		"movaps 128(%%rsp), %%xmm8\n movaps 144(%%rsp), %%xmm9\n movaps 160(%%rsp), %%xmm10\n movaps 176(%%rsp), %%xmm11\n"
		"movaps 192(%%rsp), %%xmm12\n movaps 208(%%rsp), %%xmm13\n movaps 224(%%rsp), %%xmm14\n movaps 240(%%rsp), %%xmm15\n"
		"mov %%rbx, %%rsp\n"
		"pop %%r15\n pop %%r14\n pop %%r13\n pop %%r12\n pop %%r11\n pop %%r10\n pop %%r9\n pop %%r8\n"
		"pop %%rdi\n pop %%rsi\n pop %%rbp\n pop %%rbx\n pop %%rdx\n pop %%rcx\n pop %%rax\n"
		"popfq\n ret\n"
		"1: mov %c[entry_sp](%%rax), %%rsp\n"
		"jmp vm__pad\n"
		:
		: [entry_sp] "i"(offsetof(struct abi_exec, entry_sp)));
}

// Saves the callee-saved registers and rsp (in *save), takes those that a former vm__switch or vm__switch_prepare left at `to`.
NAKED void vm__switch(void **save UNUSED, void *to UNUSED)
{
	__asm__ volatile(
		"push %%rbp\n push %%rbx\n push %%r12\n push %%r13\n push %%r14\n push %%r15\n"
		"mov %%rsp, (%%rdi)\n mov %%rsi, %%rsp\n"
		"pop %%r15\n pop %%r14\n pop %%r13\n pop %%r12\n pop %%rbx\n pop %%rbp\n"
		"ret\n" ::);
}

void *vm__switch_prepare(void *stack_top, void (*fn)(void))
{
	// fn is reached by `ret`: rsp + 8 must be 16-aligned there, and its return address is 0 so that backtraces end.
	uint64_t *sp = (uint64_t *)((uintptr_t)stack_top & ~(uintptr_t)15);
	*--sp = 0;
	*--sp = (uintptr_t)fn;
	for (int i = 0; i < 6; i++)
		*--sp = 0;
	return sp;
}
