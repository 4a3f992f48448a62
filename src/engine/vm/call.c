// Calls: from C into guest code (vm_call) and from guest code into host functions (vm__host_dispatch). Where parameters go: sig.c.
#include "vm_int.h"

// ---- into the guest ----------------------------------------------------------------------------------------------
static void put_param(struct vm__regs *regs, struct abi_loc loc, const uint64_t *value)
{
	uint64_t *to = loc.place == ABI_GPR ? &regs->gpr[loc.index] : loc.place == ABI_XMM ? regs->xmm[loc.index]
																					   : &regs->stack[loc.index];
	to[0] = value[0];
	if (UNLIKELY(loc.cells == 2))
		to[1] = value[1];
}

static void put_params(struct vm__regs *regs, const struct vm__sig *sig, const uint64_t *args, uint64_t *results)
{
	const struct abi_sig *abi = &sig->abi;
	if (LIKELY(sig->direct))
		for (uint32_t i = 0; i < abi->nparams; i++)
			regs->gpr[i] = args[i];
	else
		for (uint32_t i = 0; i < abi->nparams; i++)
			put_param(regs, abi->params[i], args + abi->params[i].at);
	uint64_t pointer = (uintptr_t)results;
	if (abi->by_pointer)
		put_param(regs, abi->results_pointer, &pointer);
}

static enum trap refuse(struct vm_shard *s, struct vm_store *st, enum trap t)
{
	vm__trap_note(s, t, 0, 0, UINT64_MAX);
	return vm__trap_finish(st, t);
}

// The limit that holds for an outermost entry: the store's own bound, but never into the margin of the stack.
static void set_stack_limit(struct vm_shard *s, const struct vm_store *st, uintptr_t sp)
{
	uintptr_t low, high;
	vm__stack_bounds(s, &low, &high);
	uintptr_t limit = low + VM__STACK_MARGIN;
	if (sp > st->limits.stack && sp - st->limits.stack > limit)
		limit = sp - st->limits.stack;
	s->stack_limit = s->exec.stack_limit = limit;
	if (s->current)
		s->current->stack_limit = limit;
}

static enum trap enter_on_stack(struct vm_store *st, const struct abi_func *f, const struct vm__sig *sig, struct vm__regs *regs, const uint64_t *args,
	uint64_t *results)
{
	uint64_t cells[VM__MAX_CELLS + 1];
	regs->stack = cells;
	regs->nstack = sig->abi.stack_cells;
	if (regs->nstack)
		cells[regs->nstack - 1] = 0;
	put_params(regs, sig, args, results);
	return vm__enter(f->vmctx, f->code, regs, &st->shard->exec);
}

enum trap vm_call(struct vm_store *st, uint32_t func, const uint64_t *args, uint64_t *results)
{
	struct vm_shard *s = st->shard;
	struct abi_exec *exec = &s->exec;
	BUG_ON(func == 0 || func >= st->nfuncs);
	struct abi_func f = st->funcs[func];
	if (UNLIKELY(st->poisoned))
		return refuse(s, st, TRAP_POISONED);
	if (UNLIKELY(s->current && s->current->kill))
		return refuse(s, st, s->current->kill);
	struct vm__sig *sig = vm__sig_of(s, f.type);
	if (UNLIKELY(!sig))
		return refuse(s, st, TRAP_OUT_OF_MEMORY);
	uintptr_t sp = (uintptr_t)__builtin_frame_address(0);
	bool nested = exec->entry_sp != NULL;
	if (!nested)
		set_stack_limit(s, st, sp);
	if (UNLIKELY(sp < s->stack_limit))
		return refuse(s, st, TRAP_STACK_OVERFLOW);
	struct vm_store *charged = s->owner;
	vm__own(s, st);
	s->pending = TRAP_NONE;

	struct vm__regs regs;
	enum trap t;
	regs.nstack = 0;
	if (LIKELY(!sig->abi.stack_cells)) {
		put_params(&regs, sig, args, results);
		t = vm__enter(f.vmctx, f.code, &regs, exec);
	} else {
		t = enter_on_stack(st, &f, sig, &regs, args, results);
	}
	if (nested && charged)
		vm__own(s, charged);
	if (UNLIKELY(t))
		return vm__trap_finish(st, t);
	switch (sig->result) {
	case VM__RESULT_INT:
		results[0] = regs.result;
		break;
	case VM__RESULT_F32:
		results[0] = (uint32_t)regs.vector_result[0];
		break;
	case VM__RESULT_F64:
	case VM__RESULT_V128:
		memcpy(results, regs.vector_result, sig->result == VM__RESULT_V128 ? 16 : 8);
		break;
	default:
		break;
	}
	return TRAP_NONE;
}

uint32_t vm_func_type_id(const struct vm_store *st, uint32_t func)
{
	return func < st->nfuncs ? st->funcs[func].type : 0;
}

const struct wasm_func_type *vm_func_type(const struct vm_store *st, uint32_t func)
{
	uint32_t id = vm_func_type_id(st, func);
	return id ? wasm_interned_func_type(id) : NULL;
}

// ---- into the host -----------------------------------------------------------------------------------------------
static const uint64_t *get_param(const struct vm__host_regs *r, const uint64_t *stack, struct abi_loc loc)
{
	return loc.place == ABI_GPR ? &r->gpr[loc.index] : loc.place == ABI_XMM ? r->xmm[loc.index]
																			: &stack[loc.index];
}

// f32 cells have zero upper bits (R5), a register need not.
static void gather(const struct vm__host *h, const struct vm__host_regs *r, const uint64_t *stack, uint64_t *args)
{
	const struct vm__sig *sig = h->sig;
	for (uint32_t i = 0; i < sig->abi.nparams; i++) {
		struct abi_loc loc = sig->abi.params[i];
		const uint64_t *v = get_param(r, stack, loc);
		args[loc.at] = sig->type->params[i].kind == WASM_F32 ? (uint32_t)v[0] : v[0];
		if (UNLIKELY(loc.cells == 2))
			args[loc.at + 1] = v[1];
	}
}

// With an array of the arguments; as many as there may be take four pages of stack.
NOINLINE static enum trap call_few(struct vm__host *h, struct vm_call *call, struct vm__host_regs *r, uint64_t *stack, uint64_t *results)
{
	uint64_t args[VM__FEW_CELLS];
	gather(h, r, stack, args);
	return h->fn(call, args, results);
}

NOINLINE static enum trap call_many(struct vm__host *h, struct vm_call *call, struct vm__host_regs *r, uint64_t *stack, uint64_t *results)
{
	uint64_t args[VM__MAX_CELLS];
	gather(h, r, stack, args);
	return h->fn(call, args, results);
}

// The way back into the guest: it was interrupted meanwhile. Is it to end?
NOINLINE static enum trap interrupted_in_host(struct vm_shard *s, enum trap t)
{
	s->exec.interrupt = 0;
	enum trap end = t ? vm__fiber_check(s) : vm__fiber_give_way(s);
	return end ? end : t;
}

uint32_t vm__host_dispatch(struct vm__host *h, struct vm__host_regs *r, uint64_t *stack)
{
	struct abi_exec *exec = h->ctx.exec;
	struct vm_shard *s = exec->shard;
	const struct vm__sig *sig = h->sig;
	if (UNLIKELY((uintptr_t)r < s->stack_limit))
		return TRAP_STACK_OVERFLOW;
	struct vm__exit exit = {.outer = s->exits, .store = h->store, .frame = (uintptr_t)(stack - 2), .cells = h->pop / 8};
	s->exits = &exit;
	struct vm_call call = {.store = h->store, .shard = s, .exec = exec, .data = h->data, .type = sig->type};
	uint64_t result[2] = {0};
	uint64_t *results = sig->result == VM__RESULT_POINTER ? (uint64_t *)(uintptr_t)*get_param(r, stack, sig->abi.results_pointer) : result;
	enum trap t;
	if (LIKELY(sig->direct))
		t = h->fn(&call, r->gpr, results);
	else
		t = (sig->abi.arg_cells <= VM__FEW_CELLS ? call_few : call_many)(h, &call, r, stack, results);
	r->gpr[0] = result[0];
	memcpy(r->xmm[0], result, sizeof result);
	if (UNLIKELY(exec->interrupt))
		t = interrupted_in_host(s, t);
	s->exits = exit.outer;
	return t;
}
