// Signatures by canonical type id, once a type and shard: where parameters go (abi_classify).
#include "vm_int.h"

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

NOINLINE static struct vm__sig *sig_find(struct vm_shard *s, uint32_t type_id)
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

// NULL: memory is out.
struct vm__sig *vm__sig_of(struct vm_shard *s, uint32_t type_id)
{
	struct vm__sig *sig = LIKELY(s->sigs_cap) ? s->sigs[type_id & (s->sigs_cap - 1)] : NULL;
	return LIKELY(sig && sig->type_id == type_id) ? sig : sig_find(s, type_id);
}
