// Traps: signal handlers, and what is known of a trap afterwards.
//
// 1. A fault is a guest's only if its pc is in the code of a guest function *and* at a site that the compiler registered for it *and*, for
//    memory faults, the address lies in a memory of the instance that r13 names, or in the guard of the stack that runs (L40). Everything
//    else is a bug of ours: the default action again, so that the core dump shows it (U34).
// 2. The handler edits the context and returns (L41): rsp = exec->entry_sp, rip = vm__pad. It takes no lock and allocates nothing.
// 3. The walk over frame pointers stays on the stack that runs and goes upwards only (L38).
#include "vm_int.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <ucontext.h>

#define WALK_MAX 4096  // frames looked at, host's included

static bool frame_add(struct vm_shard *s, uint64_t pc)
{
	struct vm_trap_info *info = &s->info;
	struct code_place place;
	const struct code_object *code = code_find((const void *)(uintptr_t)pc);
	if (!code || !code_object_place(code, (const void *)(uintptr_t)pc, &place))
		return true;
	if (info->nframes == VM_BACKTRACE_MAX) {
		info->more = true;
		return false;
	}
	info->frames[info->nframes] = (struct vm_trap_frame){.func = place.func, .offset = place.offset};
	s->frame_code[info->nframes++] = code;
	return true;
}

void vm__trap_note(struct vm_shard *s, enum trap t, uint64_t pc, uint64_t rbp, uint64_t address)
{
	struct vm_trap_info *info = &s->info;
	uintptr_t low, high;
	info->trap = t;
	info->address = address;
	info->nframes = 0;
	info->more = false;
	info->message[0] = 0;
	if (s->message_trap == t)
		memcpy(info->message, s->message, sizeof info->message);
	s->message_trap = TRAP_NONE;
	s->pending = TRAP_NONE;
	if (pc && !frame_add(s, pc))
		return;
	vm__stack_bounds(s, &low, &high);
	for (int i = 0; i < WALK_MAX && rbp >= low && rbp % 8 == 0 && rbp + 16 <= high; i++) {
		uint64_t next = ((const uint64_t *)rbp)[0], ret = ((const uint64_t *)rbp)[1];
		if (ret && !frame_add(s, ret - 1))
			return;
		if (next <= rbp)
			return;
		rbp = next;
	}
}

// From vm__raise (guest code) and from vm__host_stub (ctx is a struct vm__host's).
struct abi_exec *vm__trap_raised(struct abi_vmctx *ctx, uint32_t trap, uint64_t pc, uint64_t rbp)
{
	struct abi_exec *exec = ctx->exec;
	struct vm_shard *s = exec->shard;
	exec->trap = trap;
	exec->trap_pc = pc;
	// A host function that hands on what its own vm_call returned keeps the first report.
	if (ctx->instance || s->pending != trap)
		vm__trap_note(s, trap, pc ? pc - 1 : 0, rbp, UINT64_MAX);
	return exec;
}

enum trap vm__trap_finish(struct vm_store *st, enum trap t)
{
	struct vm_shard *s = st->shard;
	for (uint32_t i = 0; i < s->info.nframes; i++) {
		for (struct vm_instance *inst = st->instances; inst && !s->info.frames[i].module; inst = inst->next)
			if (inst->code == s->frame_code[i])
				s->info.frames[i].module = inst->mod;
	}
	s->pending = t;
	if (!st->limits.survives_traps)
		st->poisoned = true;
	return t;
}

// ---- signals -----------------------------------------------------------------------------------------------------
static bool in_memories(const struct vm_shard *s, uint64_t r13, uint64_t addr, uint64_t *ret_offset)
{
	const struct abi_vmctx *ctx = (const struct abi_vmctx *)(uintptr_t)r13;
	if (!ctx || r13 % 8 || ctx->exec != &s->exec || !ctx->instance)
		return false;
	const struct vm_instance *inst = ctx->instance;
	for (uint32_t i = 0; i < inst->mod->m->nmemories; i++) {
		uint64_t base = (uintptr_t)inst->memories[i]->abi.base;
		// Below the length nothing faults but a file that was cut short (SIGBUS): no fault of the guest.
		if (addr >= base && addr - base < inst->memories[i]->abi.length)
			return false;
		if (addr >= base && addr - base < VM__CELL_SIZE + 16) {
			*ret_offset = addr - base;
			return true;
		}
	}
	return false;
}

static enum trap trap_of(struct vm_shard *s, int sig, const siginfo_t *si, const ucontext_t *uc, uint64_t *ret_address)
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
		if (site != TRAP_MEMORY_OUT_OF_BOUNDS || !in_memories(s, (uint64_t)uc->uc_mcontext.gregs[REG_R13], addr, ret_address))
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
	enum trap t = s ? trap_of(s, sig, si, uc, &address) : TRAP_NONE;
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

bool vm_process_handle_signals(struct err *e)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
	for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
		int r = sys_signal_handle(signals[i], on_fault);
		if (r)
			return err_set_errno(e, -r, "signal handler");
	}
	return true;
}

// ---- for people --------------------------------------------------------------------------------------------------
const struct vm_trap_info *vm_trap_info(const struct vm_shard *s)
{
	return &s->info;
}

enum trap vm_trapf(struct vm_shard *s, enum trap t, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	vsnprintf(s->message, sizeof s->message, fmt, args);
	va_end(args);
	s->message_trap = t;
	s->pending = TRAP_NONE;
	return t;
}

void vm_trap_print(const struct vm_trap_info *info, struct buf *out)
{
	buf_put_str(out, trap_text(info->trap));
	if (info->message[0])
		buf_printf(out, ": %s", info->message);
	if (info->address != UINT64_MAX)
		buf_printf(out, " (address 0x%llx)", (unsigned long long)info->address);
	buf_put_byte(out, '\n');
	for (uint32_t i = 0; i < info->nframes; i++) {
		char name[1024];
		const struct vm_trap_frame *f = &info->frames[i];
		if (f->module)
			wasm_module_func_name(f->module->m, f->func, name, sizeof name);
		else
			snprintf(name, sizeof name, "func[%u]", f->func);
		buf_put_str(out, "  at ");
		demangle(out, slice_str(name));
		buf_printf(out, " (offset 0x%x)\n", f->offset);
	}
	if (info->more)
		buf_put_str(out, "  ...\n");
}
