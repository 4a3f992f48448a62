// Host functions, as functions of a store: their code is vm__host_stub, which calls vm__host_dispatch (call.c).
#include "vm_int.h"

static bool host_func_new(struct vm_store *st, uint32_t type_id, vm_host_fn fn, void *data, const char *name, uint32_t *ret_func, struct err *e)
{
	struct vm__sig *sig = vm__sig_of(st->shard, type_id);
	if (!vm_store_charge_records(st, sizeof(struct vm__host) + sizeof(struct abi_func), e))
		return false;
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
