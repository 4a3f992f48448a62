// From outputs to an artifact: functions in order of their index, direct calls resolved, two stubs at the end.
#include "baseline_int.h"

void baseline_output_release(struct baseline_output *out)
{
	if (!out)
		return;
	buf_release(&out->text);
	buf_release(&out->sites);
	VEC_FREE(&out->funcs);
	VEC_FREE(&out->relocs);
	if (out->scratch) {
		mem_free(out->scratch->stack);
		mem_free(out->scratch->locals);
		mem_free(out->scratch->used);
		mem_free(out->scratch->locs);
		VEC_FREE(&out->scratch->ctl);
		VEC_FREE(&out->scratch->ool);
		VEC_FREE(&out->scratch->pool);
		mem_free(out->scratch);
	}
	*out = (struct baseline_output){0};
}

bool baseline_check_module(const struct wasm_module *m, struct err *e)
{
	for (uint32_t i = 0; i < m->nmemories; i++) {
		const struct wasm_memory_type *t = &m->memories[i];
		if (t->limits.is64 || t->limits.shared || t->page_shift != 16)
			return err_set(e, ERR_UNSUPPORTED, "memory %u: %s memories are not supported", i, t->limits.is64 ? "64-bit" : t->limits.shared ? "shared"
																																		   : "odd-paged");
	}
	for (uint32_t i = 0; i < m->ntables; i++) {
		if (m->tables[i].type.limits.is64)
			return err_set(e, ERR_UNSUPPORTED, "table %u: 64-bit tables are not supported", i);
	}
	return true;
}

// Where each defined function is: output and index in it.
struct where {
	const struct baseline_output *out;
	uint32_t index;
};

// Return address on the stack is a guest's pc; eax is a trap.
static void emit_raise_stub(struct x64 *a)
{
	x64_mov_rr(a, W32, RSI, RAX);
	x64_mov_rr(a, W64, RDI, R13);
	x64_mov_rm(a, W64, RAX, at_vmctx(offsetof(struct abi_vmctx, libcalls)));
	x64_jmp_m(a, x64_at(x64_r64(RAX), 8 * ABI_LIBCALL_RAISE));
}

// Called in the prologue with parameters in registers and rsp + 8 a multiple of 16; keeps them all around the hook.
static void emit_hook_stub(struct x64 *a)
{
	int32_t size = 8 * 6 + 16 * 8 + 8;
	x64_alu_ri(a, W64, ALU_SUB, RSP, size);
	for (int i = 0; i < 6; i++)
		x64_mov_mr(a, W64, x64_at(x64_r64(RSP), 8 * i), baseline__args[i]);
	for (int i = 0; i < 8; i++)
		x64_movups_mr(a, x64_at(x64_r64(RSP), 48 + 16 * i), (unsigned)(XMM0 + i));
	x64_mov_rr(a, W64, RDI, R13);
	x64_mov_rm(a, W64, RAX, at_vmctx(offsetof(struct abi_vmctx, libcalls)));
	x64_call_m(a, x64_at(x64_r64(RAX), 8 * ABI_LIBCALL_STACK_HOOK));
	for (int i = 0; i < 6; i++)
		x64_mov_rm(a, W64, baseline__args[i], x64_at(x64_r64(RSP), 8 * i));
	for (int i = 0; i < 8; i++)
		x64_movups_rm(a, (unsigned)(XMM0 + i), x64_at(x64_r64(RSP), 48 + 16 * i));
	x64_alu_ri(a, W64, ALU_ADD, RSP, size);
	x64_test_rr(a, W32, RAX, RAX);
	uint32_t fine = x64_short_jcc(a, CC_E);
	emit_raise_stub(a);
	x64_short_bind(a, fine);
	x64_ret(a, 0);
}

static bool place_functions(const struct where *where, struct code_artifact *a, struct buf *stubs, uint32_t *ret_hook, uint32_t *ret_raise, struct err *e)
{
	uint64_t text = 0, sites = 0;
	for (uint32_t i = 0; i < a->nfuncs; i++) {
		const struct baseline_output *out = where[i].out;
		if (!out)
			return err_set(e, ERR_NOMEM, "function %u was not compiled", a->first_func + i);
		const struct baseline_func *f = &out->funcs.ptr[where[i].index];
		uint32_t sites_end = where[i].index + 1 < out->funcs.len ? f[1].place.sites : (uint32_t)out->sites.len;
		a->funcs[i] = f->place;
		a->funcs[i].offset = (uint32_t)text;
		a->funcs[i].sites = (uint32_t)sites;
		text = align_up_u64(text + f->place.size, 16);
		sites += sites_end - f->place.sites;
		if (text > INT32_MAX || sites > INT32_MAX)
			return err_set(e, ERR_LIMIT, "the module's machine code exceeds 2 GiB");
	}
	struct x64 x;
	x64_begin(&x, stubs);
	x64_room(&x, 1024);
	*ret_raise = (uint32_t)text + x64_pos(&x);
	emit_raise_stub(&x);
	x64_align(&x, 16);
	*ret_hook = (uint32_t)text + x64_pos(&x);
	emit_hook_stub(&x);
	if (!x64_finish(&x))
		return err_nomem(e);
	text += stubs->len;
	if (text > INT32_MAX)
		return err_set(e, ERR_LIMIT, "the module's machine code exceeds 2 GiB");
	a->text_size = text;
	a->sites_size = sites;
	return true;
}

// Everything lies within 2 GiB: no displacement is out of range (L19).
static void resolve(const struct where *w, struct code_artifact *a, uint32_t i, uint32_t hook, uint32_t raise)
{
	const struct baseline_func *f = &w->out->funcs.ptr[w->index];
	uint32_t end = w->index + 1 < w->out->funcs.len ? f[1].relocs : w->out->relocs.len;
	for (uint32_t r = f->relocs; r < end; r++) {
		struct baseline_reloc reloc = w->out->relocs.ptr[r];
		uint32_t to = reloc.target == BASELINE_STUB_HOOK ? hook : reloc.target == BASELINE_STUB_RAISE ? raise
																									  : a->funcs[reloc.target - a->first_func].offset;
		uint32_t from = a->funcs[i].offset + reloc.at + 4, disp = to - from;
		BUG_ON(reloc.at + 4 > f->place.size);
		memcpy(a->text + from - 4, &disp, 4);
	}
}

static bool fill(const struct where *where, struct code_artifact *a, struct buf *stubs, struct err *e)
{
	uint32_t hook, raise;
	if (!place_functions(where, a, stubs, &hook, &raise, e))
		return false;
	a->text = mem_alloc(a->text_size);
	a->sites = mem_alloc(a->sites_size ? a->sites_size : 1);
	if (!a->text || !a->sites)
		return err_nomem(e);
	uint32_t at = 0;
	for (uint32_t i = 0; i < a->nfuncs; i++) {
		const struct code_func *from = &where[i].out->funcs.ptr[where[i].index].place;
		memset(a->text + at, 0xcc, a->funcs[i].offset - at);
		memcpy(a->text + a->funcs[i].offset, where[i].out->text.ptr + from->offset, from->size);
		at = a->funcs[i].offset + from->size;
		uint64_t sites_end = i + 1 < a->nfuncs ? a->funcs[i + 1].sites : a->sites_size;
		if (sites_end > a->funcs[i].sites)
			memcpy(a->sites + a->funcs[i].sites, where[i].out->sites.ptr + from->sites, sites_end - a->funcs[i].sites);
		resolve(&where[i], a, i, hook, raise);
	}
	size_t stubs_at = a->text_size - stubs->len;
	memset(a->text + at, 0xcc, stubs_at - at);
	memcpy(a->text + stubs_at, stubs->ptr, stubs->len);
	return true;
}

bool baseline_link(const struct wasm_module *m, struct baseline_output *const *outputs, uint32_t noutputs, const struct baseline_options *opt,
	struct code_artifact *ret, struct err *e)
{
	struct code_artifact a = {
		.first_func = m->nimported_funcs,
		.nfuncs = m->nfuncs - m->nimported_funcs,
		.cpu = opt->cpu,
		.flags = (opt->poison_upper ? 1u : 0) | (opt->verify_upper ? 2u : 0),
	};
	AUTO(buf)
	stubs = {0};
	struct where *where = mem_zalloc((a.nfuncs + 1) * sizeof *where);
	a.funcs = mem_zalloc((a.nfuncs + 1) * sizeof *a.funcs);
	if (!where || !a.funcs) {
		mem_free(where);
		code_artifact_release(&a);
		return err_nomem(e);
	}
	for (uint32_t i = 0; i < noutputs; i++) {
		for (uint32_t k = 0; k < outputs[i]->funcs.len; k++)
			where[outputs[i]->funcs.ptr[k].func - a.first_func] = (struct where){outputs[i], k};
	}
	bool ok = fill(where, &a, &stubs, e);
	mem_free(where);
	if (!ok) {
		code_artifact_release(&a);
		return false;
	}
	*ret = a;
	return true;
}
