// The assembly of room vm on x86-64 that calls nobody of the room: into guests and out of them, fiber switches. (stubs_x64.c)
//
// vm__enter saves the callee-saved registers and leaves exec->entry_sp pointing at {regs, exec, previous entry_sp, registers...}.
// Whoever sets rsp = exec->entry_sp and jumps to vm__pad makes that vm__enter return exec->trap. That is the only way out of guest
// code beside returning.
#include "vm_int.h"

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
		"movups %c[xmm]+0(%%r10), %%xmm0\n movups %c[xmm]+16(%%r10), %%xmm1\n movups %c[xmm]+32(%%r10), %%xmm2\n movups %c[xmm]+48(%%r10), %%xmm3\n"
		"movups %c[xmm]+64(%%r10), %%xmm4\n movups %c[xmm]+80(%%r10), %%xmm5\n movups %c[xmm]+96(%%r10), %%xmm6\n movups %c[xmm]+112(%%r10), %%xmm7\n"
		"mov 0(%%r10), %%rdi\n mov 8(%%r10), %%rsi\n mov 16(%%r10), %%rdx\n mov 24(%%r10), %%rcx\n mov 32(%%r10), %%r8\n mov 40(%%r10), %%r9\n"
		"call *%%rax\n"
		"pop %%rdx\n pop %%rcx\n"
		"mov %%rax, %c[rax](%%rdx)\n"
		"movups %%xmm0, %c[xmm0](%%rdx)\n"
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
		[stack] "i"(offsetof(struct vm__regs, stack)), [xmm] "i"(offsetof(struct vm__regs, xmm)), [rax] "i"(offsetof(struct vm__regs, result)),
		[xmm0] "i"(offsetof(struct vm__regs, vector_result)));
}
_Static_assert(offsetof(struct vm__regs, gpr) == 0, "ORDER regs");

// [rsp] = vmctx of who called, then where he goes on. Results are in their registers.
NAKED void vm__tail_return(struct abi_vmctx *ctx UNUSED)
{
	__asm__ volatile("pop %%r13\n mov %c[mem0](%%r13), %%r14\n ret\n" : : [mem0] "i"(offsetof(struct abi_vmctx, mem0_base)));
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
