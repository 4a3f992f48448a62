// What signals do to the registers of a guest: faults become traps, the watchdog's signal an interruption.
//
// 1. A fault is a guest's only if its pc is in the code of a guest function *and* at a site that the compiler registered for it *and*, for
//    memory faults, the address lies in a cell of the instance that r13 names, or in the guard of the stack that runs (L40). Everything
//    else is a bug of ours: the default action again, so that the core dump shows it (U34).
// 2. A handler edits the context and returns (L41): of a trap rsp = exec->entry_sp, rip = vm__pad. It takes no lock and allocates nothing.
// 3. The watchdog's signal comes on the shard's thread. In guest code, with the stack in order, it goes on at vm__preempt_stub; else the handler
//    leaves two notes: exec->interrupt, found by host code that works long (vm_work) and on the way back into the guest, and a stack limit that
//    calls the hook.
#include "vm_int.h"

#include <signal.h>
#include <ucontext.h>

// ---- faults ------------------------------------------------------------------------------------------------------
enum fault { NO_GUESTS, OUT_OF_BOUNDS, GROWN };

static enum fault fault_of(const struct vm_shard *s, uint64_t r13, uint64_t addr, uint64_t *ret_offset)
{
	const struct abi_vmctx *ctx = (const struct abi_vmctx *)(uintptr_t)r13;
	if (!ctx || r13 % 8 || ctx->exec != &s->exec || !ctx->instance)
		return NO_GUESTS;
	const struct vm_instance *inst = ctx->instance;
	for (uint32_t i = 0; i < inst->mod->m->nmemories; i++) {
		const struct vm_memory *m = inst->memories[i];
		uint64_t base = (uintptr_t)m->abi.base;
		// Below the length nothing faults but a file that was cut short (SIGBUS), which is no fault of the guest, and a shared memory that has grown since.
		if (addr >= base && addr - base < __atomic_load_n(&m->abi.length, __ATOMIC_ACQUIRE))
			return m->shared ? GROWN : NO_GUESTS;
		if (addr >= base && m->cell && addr - base < m->reserved) {
			*ret_offset = addr - base;
			return OUT_OF_BOUNDS;
		}
	}
	return NO_GUESTS;
}

static enum trap trap_of(struct vm_shard *s, int sig, const siginfo_t *si, const ucontext_t *uc, uint64_t *ret_address, bool *ret_again)
{
	const void *pc = (const void *)(uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
	const struct code_object *code = code_find(pc);
	*ret_address = UINT64_MAX;
	if (!code || !s->exec.entry_sp || si->si_code <= 0)
		return TRAP_NONE;
	enum trap site = code_object_trap(code, pc);
	if (sig == SIGSEGV || sig == SIGBUS) {
		uint64_t addr = (uintptr_t)si->si_addr;
		if (vm__in_stack_guard(s, addr))
			return TRAP_STACK_OVERFLOW;
		if (site != TRAP_MEMORY_OUT_OF_BOUNDS)
			return TRAP_NONE;
		enum fault f = fault_of(s, (uint64_t)uc->uc_mcontext.gregs[REG_R13], addr, ret_address);
		*ret_again = f == GROWN;
		if (f != OUT_OF_BOUNDS)
			return TRAP_NONE;
		s->exec.trap_addr = addr;
		return site;
	}
	// ud2 (also of explicit bounds checks) and idiv: the site says which trap.
	return sig == SIGFPE && site == TRAP_MEMORY_OUT_OF_BOUNDS ? TRAP_NONE : site;
}

static void on_fault(int sig, void *siginfo, void *ucontext)
{
	const siginfo_t *si = siginfo;
	ucontext_t *uc = ucontext;
	struct vm_shard *s = vm__shard;
	uint64_t address = 0;
	bool again = false;
	enum trap t = s ? trap_of(s, sig, si, uc, &address, &again) : TRAP_NONE;
	if (again)
		return;
	if (!t) {
		sys_signal_default(sig);
		if (si->si_code <= 0)
			raise(sig);  // sent, not caused: it is delivered when this handler returns
		return;
	}
	uint64_t pc = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];
	s->exec.trap = t;
	s->exec.trap_pc = pc;
	vm__trap_note(s, t, pc, (uint64_t)uc->uc_mcontext.gregs[REG_RBP], address);
	uc->uc_mcontext.gregs[REG_RSP] = (greg_t)(uintptr_t)s->exec.entry_sp;
	uc->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)vm__pad;
}

// ---- interruption ------------------------------------------------------------------------------------------------
#if SANITIZE_THREAD
// What the sanitizer does is not to be entered again from a handler: what is in the executable itself counts as not the place.
extern const char __executable_start[], etext[];
static NO_SANITIZER bool may_look_up(const void *pc)
{
	return (uintptr_t)pc < (uintptr_t)__executable_start || (uintptr_t)pc >= (uintptr_t)etext;
}
#else
static bool may_look_up(const void *pc UNUSED)
{
	return true;
}
#endif

static NO_SANITIZER void on_interrupt(int sig UNUSED, void *siginfo UNUSED, void *ucontext)
{
	struct vm_shard *s = vm__shard;
	if (!s || !s->current)
		return;
	ucontext_t *uc = ucontext;
	greg_t *regs = uc->uc_mcontext.gregs;
	const void *pc = (const void *)(uintptr_t)regs[REG_RIP];
	const struct code_object *code = may_look_up(pc) ? code_find(pc) : NULL;
	struct code_place place;
	__atomic_store_n(&s->exec.interrupt, 1, __ATOMIC_RELAXED);
	if (!s->exec.entry_sp)
		return;
	// A prologue may have moved rsp below the limit before it checks it: far below is not the place to push anything. A function that asks for no room (R6) may
	// lie there as well, called by another at the limit or by the host, with its arguments on the stack: within half of the margin.
	if (!code || !code_object_place(code, pc, &place) || (uintptr_t)regs[REG_RSP] < s->stack_limit - VM__STACK_MARGIN / 2) {
		s->exec.stack_limit = UINTPTR_MAX;
		return;
	}
	regs[REG_RSP] -= 8;
	*(uint64_t *)regs[REG_RSP] = (uint64_t)regs[REG_RIP];
	regs[REG_RIP] = (greg_t)(uintptr_t)vm__preempt_stub;
}

bool vm_process_handle_signals(struct err *e)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
	int r = sys_signal_handle(SIGURG, on_interrupt);
	for (size_t i = 0; i < ARRAY_LEN(signals) && !r; i++)
		r = sys_signal_handle(signals[i], on_fault);
	return r ? err_set_errno(e, -r, "signal handler") : true;
}
