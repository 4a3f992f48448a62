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
		"movups %%xmm0, 48(%%rsp)\n movups %%xmm1, 64(%%rsp)\n movups %%xmm2, 80(%%rsp)\n movups %%xmm3, 96(%%rsp)\n"
		"movups %%xmm4, 112(%%rsp)\n movups %%xmm5, 128(%%rsp)\n movups %%xmm6, 144(%%rsp)\n movups %%xmm7, 160(%%rsp)\n"
		"mov %%r13, %%rdi\n mov %%rsp, %%rsi\n lea 16(%%rbp), %%rdx\n"
		"call vm__host_dispatch\n"
		"test %%eax, %%eax\n jnz 2f\n"
		"mov 0(%%rsp), %%rax\n movups 48(%%rsp), %%xmm0\n"
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
_Static_assert(sizeof(struct vm__host_regs) == 176 && offsetof(struct vm__host_regs, xmm) == 48, "frame of vm__host_stub, a multiple of 16");
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

// What vm__preempt_stub saves of vector registers, by what the processor has and the system has turned on. mask 0: fxsave.
static struct {
	uint64_t size;  // of the area, a multiple of 64
	uint32_t mask;  // of XSAVE's components
	uint32_t compact;
} xstate __asm__("vm__xstate") __attribute__((used)) = {.size = 512};

void vm__xstate_probe(void)
{
	struct code_vectors v;
	if (!code_cpu_vectors(&v))
		return;
	xstate.size = v.size;
	xstate.mask = v.mask;
	xstate.compact = v.compact;
}

// [rsp] = pc of the interrupted instruction; every register as it was there. The header of the area is zero but for what xsave writes.
NAKED void vm__preempt_stub(void)
{
	__asm__ volatile(
		"pushfq\n cld\n"
		"push %%rax\n push %%rcx\n push %%rdx\n push %%rbx\n push %%rbp\n push %%rsi\n push %%rdi\n"
		"push %%r8\n push %%r9\n push %%r10\n push %%r11\n push %%r12\n push %%r13\n push %%r14\n push %%r15\n"
		"mov %%rsp, %%rbx\n"
		"sub vm__xstate(%%rip), %%rsp\n and $-64, %%rsp\n"
		"mov vm__xstate+8(%%rip), %%eax\n xor %%edx, %%edx\n"
		"test %%eax, %%eax\n jz 3f\n"
		"mov %%rdx, 512(%%rsp)\n mov %%rdx, 520(%%rsp)\n mov %%rdx, 528(%%rsp)\n mov %%rdx, 536(%%rsp)\n"
		"mov %%rdx, 544(%%rsp)\n mov %%rdx, 552(%%rsp)\n mov %%rdx, 560(%%rsp)\n mov %%rdx, 568(%%rsp)\n"
		"cmpl $0, vm__xstate+12(%%rip)\n jne 2f\n"
		"xsave64 (%%rsp)\n jmp 4f\n"
		"2: xsavec64 (%%rsp)\n jmp 4f\n"
		"3: fxsave64 (%%rsp)\n"
		"4: mov 128(%%rbx), %%rdi\n mov %%rbp, %%rsi\n"
		"call vm__interrupted\n"
		"test %%rax, %%rax\n jnz 1f\n"
		"mov vm__xstate+8(%%rip), %%eax\n xor %%edx, %%edx\n"
		"test %%eax, %%eax\n jz 5f\n"
		"xrstor64 (%%rsp)\n jmp 6f\n"
		"5: fxrstor64 (%%rsp)\n"
		"6: mov %%rbx, %%rsp\n"
		"pop %%r15\n pop %%r14\n pop %%r13\n pop %%r12\n pop %%r11\n pop %%r10\n pop %%r9\n pop %%r8\n"
		"pop %%rdi\n pop %%rsi\n pop %%rbp\n pop %%rbx\n pop %%rdx\n pop %%rcx\n pop %%rax\n"
		"popfq\n ret\n"
		"1: mov %c[entry_sp](%%rax), %%rsp\n"
		"jmp vm__pad\n"
		:
		: [entry_sp] "i"(offsetof(struct abi_exec, entry_sp)));
}
_Static_assert(offsetof(__typeof__(xstate), mask) == 8 && offsetof(__typeof__(xstate), compact) == 12, "the stub's view of xstate");

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
