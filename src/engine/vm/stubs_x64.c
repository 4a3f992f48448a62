// The assembly of room vm on x86-64 that guest code enters and that calls C: host functions, traps, preemption.
//
// 1. vm__host_stub is the code of every host function: r13 points to its struct vm__host. It pops its stack parameters (R2).
// 2. vm__preempt_stub is entered as if guest code had called it at an arbitrary instruction; it preserves every register and the flags.
// 3. Stubs are not guest code: code_find does not know them, so the signal handler never redirects inside of them.
#include "vm_int.h"

#define NAKED __attribute__((naked, noinline, used))

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

// As vm__raise; or on to the handler that `find` has found. rdi = vmctx, esi and rdx are the function's own.
#define THROW(find)                                                                                                        \
	__asm__ volatile(                                                                                                      \
		"mov (%%rsp), %%rax\n sub %[size], %%rsp\n"                                                                        \
		"mov %%rbx, 0(%%rsp)\n mov %%r12, 8(%%rsp)\n mov %%r15, 16(%%rsp)\n mov %%rbp, 24(%%rsp)\n mov %%rax, 32(%%rsp)\n" \
		"mov %%rsp, %%rcx\n call " find "\n"                                                                               \
		"test %%eax, %%eax\n jnz 1f\n"                                                                                     \
		"mov 0(%%rsp), %%rbx\n mov 8(%%rsp), %%r12\n mov 16(%%rsp), %%r15\n mov 24(%%rsp), %%rbp\n mov 32(%%rsp), %%rcx\n" \
		"mov 40(%%rsp), %%r13\n mov %c[mem0](%%r13), %%r14\n mov 56(%%rsp), %%rax\n mov 48(%%rsp), %%rsp\n"                \
		"jmp *%%rcx\n"                                                                                                     \
		"1: mov %%eax, %%esi\n mov %%r13, %%rdi\n add %[size], %%rsp\n jmp vm__raise\n"                                    \
		:                                                                                                                  \
		: [size] "i"(sizeof(struct vm__unwind) + 8), [mem0] "i"(offsetof(struct abi_vmctx, mem0_base)))
_Static_assert(offsetof(struct vm__unwind, pc) == 32 && offsetof(struct vm__unwind, sp) == 48 && sizeof(struct vm__unwind) == 64, "ORDER unwind");

NAKED void vm__throw_entry(struct abi_vmctx *ctx UNUSED, uint32_t tag UNUSED, uint64_t cells UNUSED)
{
	THROW("vm__throw");
}

NAKED void vm__throw_ref_entry(struct abi_vmctx *ctx UNUSED, uint32_t exception UNUSED)
{
	THROW("vm__throw_ref");
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
