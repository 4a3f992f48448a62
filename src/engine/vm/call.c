// Calls: from C into guest code (vm_call) and from guest code into host functions (vm__host_dispatch). Where parameters go is decided by
// abi_classify, once a type and shard.
#include "vm_int.h"

#include <stdio.h>

// ---- signatures, by canonical type id ----------------------------------------------------------------------------
static struct vm__sig *sig_new(uint32_t type_id)
{
	const struct wasm_func_type *type = wasm_interned_func_type(type_id);
	if (!type || type->nparams > VM__MAX_CELLS / 2)
		return NULL;
	struct vm__sig *sig = mem_zalloc(sizeof *sig);
	struct abi_loc *locs = mem_zalloc(sizeof *locs * (type->nparams + 1));
	if (!sig || !locs) {
		mem_free(sig);
		mem_free(locs);
		return NULL;
	}
	sig->type_id = type_id;
	sig->type = type;
	abi_classify(type, locs, &sig->abi);
	sig->direct = true;
	for (uint32_t i = 0; i < type->nparams; i++)
		if (sig->abi.params[i].place != ABI_GPR || sig->abi.params[i].index != i)
			sig->direct = false;
	if (sig->abi.by_pointer)
		sig->result = VM__RESULT_POINTER;
	else if (!type->nresults)
		sig->result = VM__RESULT_NONE;
	else if (type->results[0].kind == WASM_F32)
		sig->result = VM__RESULT_F32;
	else if (type->results[0].kind == WASM_V128)
		sig->result = VM__RESULT_V128;
	else
		sig->result = type->results[0].kind == WASM_F64 ? VM__RESULT_F64 : VM__RESULT_INT;
	return sig;
}

static bool sigs_grow(struct vm_shard *s)
{
	uint32_t cap = s->sigs_cap ? s->sigs_cap * 2 : 64;
	struct vm__sig **sigs = mem_zalloc(sizeof *sigs * cap);
	if (!sigs)
		return false;
	for (uint32_t i = 0; i < s->sigs_cap; i++) {
		struct vm__sig *sig = s->sigs[i];
		if (!sig)
			continue;
		uint32_t at = sig->type_id & (cap - 1);
		while (sigs[at])
			at = (at + 1) & (cap - 1);
		sigs[at] = sig;
	}
	mem_free(s->sigs);
	s->sigs = sigs;
	s->sigs_cap = cap;
	return true;
}

// NULL: memory is out.
struct vm__sig *vm__sig_of(struct vm_shard *s, uint32_t type_id)
{
	for (uint32_t at = type_id;; at++) {
		if (UNLIKELY(!s->sigs_cap))
			break;
		struct vm__sig *sig = s->sigs[at & (s->sigs_cap - 1)];
		if (!sig)
			break;
		if (LIKELY(sig->type_id == type_id))
			return sig;
	}
	if (s->nsigs >= s->sigs_cap / 2 && !sigs_grow(s))
		return NULL;
	struct vm__sig *sig = sig_new(type_id);
	if (!sig)
		return NULL;
	uint32_t at = type_id & (s->sigs_cap - 1);
	while (s->sigs[at])
		at = (at + 1) & (s->sigs_cap - 1);
	s->sigs[at] = sig;
	s->nsigs++;
	return sig;
}

// ---- into the guest ----------------------------------------------------------------------------------------------
static void put_param(struct vm__regs *regs, struct abi_loc loc, const uint64_t *value)
{
	uint64_t *to = loc.place == ABI_GPR ? &regs->gpr[loc.index] : loc.place == ABI_XMM ? regs->xmm[loc.index]
																					   : &regs->stack[loc.index];
	to[0] = value[0];
	if (UNLIKELY(loc.cells == 2))
		to[1] = value[1];
}

static void put_params(struct vm__regs *regs, const struct abi_sig *sig, const uint64_t *args, uint64_t *results)
{
	for (uint32_t i = 0; i < sig->nparams; i++)
		put_param(regs, sig->params[i], args + sig->params[i].at);
	uint64_t pointer = (uintptr_t)results;
	if (sig->by_pointer)
		put_param(regs, sig->results_pointer, &pointer);
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
	put_params(regs, &sig->abi, args, results);
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
		put_params(&regs, &sig->abi, args, results);
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
		results[0] = regs.rax;
		break;
	case VM__RESULT_F32:
		results[0] = (uint32_t)regs.xmm0[0];
		break;
	case VM__RESULT_F64:
	case VM__RESULT_V128:
		memcpy(results, regs.xmm0, sig->result == VM__RESULT_V128 ? 16 : 8);
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

__attribute__((noinline)) static enum trap call_many(struct vm__host *h, struct vm_call *call, struct vm__host_regs *r, uint64_t *stack, uint64_t *results)
{
	uint64_t args[VM__MAX_CELLS];
	gather(h, r, stack, args);
	return h->fn(call, args, results);
}

// The way back into the guest: it was interrupted meanwhile. Is it to end?
__attribute__((noinline)) static enum trap interrupted_in_host(struct vm_shard *s, enum trap t)
{
	s->exec.interrupt = 0;
	enum trap end = t ? vm__fiber_check(s) : vm__fiber_give_way(s);
	return end ? end : t;
}

#define FEW 16
uint32_t vm__host_dispatch(struct vm__host *h, struct vm__host_regs *r, uint64_t *stack)
{
	struct abi_exec *exec = h->ctx.exec;
	struct vm_shard *s = exec->shard;
	const struct vm__sig *sig = h->sig;
	if (UNLIKELY((uintptr_t)r < s->stack_limit))
		return TRAP_STACK_OVERFLOW;
	struct vm_call call = {.store = h->store, .shard = s, .exec = exec, .data = h->data, .type = sig->type};
	uint64_t result[2] = {0};
	uint64_t *results = sig->result == VM__RESULT_POINTER ? (uint64_t *)(uintptr_t)*get_param(r, stack, sig->abi.results_pointer) : result;
	enum trap t;
	if (sig->direct) {
		t = h->fn(&call, r->gpr, results);
	} else if (LIKELY(sig->abi.arg_cells <= FEW)) {
		uint64_t args[FEW];
		gather(h, r, stack, args);
		t = h->fn(&call, args, results);
	} else {
		t = call_many(h, &call, r, stack, results);
	}
	r->gpr[0] = result[0];
	memcpy(r->xmm[0], result, sizeof result);
	if (UNLIKELY(exec->interrupt))
		t = interrupted_in_host(s, t);
	return t;
}

static bool host_func_new(struct vm_store *st, uint32_t type_id, vm_host_fn fn, void *data, const char *name, uint32_t *ret_func, struct err *e)
{
	struct vm__sig *sig = vm__sig_of(st->shard, type_id);
	struct vm__host *h = sig ? ARENA_NEW(&st->arena, struct vm__host) : NULL;
	if (!h)
		return err_nomem(e);
	h->ctx = (struct abi_vmctx){.exec = &st->shard->exec, .libcalls = &vm__libcalls};
	h->sig = sig;
	h->pop = (uint64_t)sig->abi.stack_cells * 8;
	h->fn = fn;
	h->data = data;
	h->store = st;
	h->name = name;
	if (!vm__func_add(st, (struct abi_func){.code = (const void *)vm__host_stub, .vmctx = &h->ctx, .type = type_id}, ret_func, e))
		return false;
	h->next = st->hosts;
	st->hosts = h;
	return true;
}

bool vm_host_func_new(struct vm_store *st, const struct wasm_func_type *type, vm_host_fn fn, void *data, const char *name, uint32_t *ret_func,
	struct err *e)
{
	if (type->nparams > VM__MAX_CELLS / 2)
		return err_set(e, ERR_LIMIT, "host function '%s' has too many parameters", name ? name : "");
	uint32_t id = wasm_intern_func_type(type);
	return id ? host_func_new(st, id, fn, data, name, ret_func, e) : err_nomem(e);
}

bool vm_host_func_new_id(struct vm_store *st, uint32_t type_id, vm_host_fn fn, void *data, const char *name, uint32_t *ret_func, struct err *e)
{
	return host_func_new(st, type_id, fn, data, name, ret_func, e);
}
