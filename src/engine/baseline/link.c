// From outputs to an artifact: functions in order of their index, direct calls resolved, two stubs at the end.
#include "baseline_int.h"

void baseline_output_release(struct baseline_output *out)
{
	if (!out)
		return;
	buf_release(&out->text);
	buf_release(&out->sites);
	buf_release(&out->handlers);
	VEC_FREE(&out->funcs);
	VEC_FREE(&out->relocs);
	if (out->scratch) {
		mem_free(out->scratch->stack);
		mem_free(out->scratch->locals);
		mem_free(out->scratch->used);
		mem_free(out->scratch->locs);
		mem_free(out->scratch->map);
		VEC_FREE(&out->scratch->ctl);
		VEC_FREE(&out->scratch->ool);
		VEC_FREE(&out->scratch->pool);
		VEC_FREE(&out->scratch->vectors);
		VEC_FREE(&out->scratch->edges);
		VEC_FREE(&out->scratch->regions);
		VEC_FREE(&out->scratch->clauses);
		VEC_FREE(&out->scratch->landings);
		VEC_FREE(&out->scratch->caught);
		mem_free(out->scratch);
	}
	*out = (struct baseline_output){0};
}

// Where each defined function is: output and index in it.
struct where {
	const struct baseline_output *out;
	uint32_t index;
};

static uint32_t words_end(const struct where *w)
{
	return w->index + 1 < w->out->funcs.len ? w->out->funcs.ptr[w->index + 1].place.handlers : (uint32_t)(w->out->handlers.len / 4);
}

static bool place_functions(const struct where *where, struct code_artifact *a, struct buf *stubs, uint32_t *ret_hook, uint32_t *ret_raise, struct err *e)
{
	uint64_t text = 0, sites = 0, handlers = 0;
	for (uint32_t i = 0; i < a->nfuncs; i++) {
		const struct baseline_output *out = where[i].out;
		if (!out)
			return err_set(e, ERR_NOMEM, "function %u was not compiled", a->first_func + i);
		const struct baseline_func *f = &out->funcs.ptr[where[i].index];
		uint32_t sites_end = where[i].index + 1 < out->funcs.len ? f[1].place.sites : (uint32_t)out->sites.len;
		a->funcs[i] = f->place;
		a->funcs[i].offset = (uint32_t)text;
		a->funcs[i].sites = (uint32_t)sites;
		a->funcs[i].handlers = (uint32_t)handlers;
		handlers += words_end(&where[i]) - f->place.handlers;
		text = align_up_u64(text + f->place.size, 16);
		sites += sites_end - f->place.sites;
		if (text > INT32_MAX || sites > INT32_MAX || handlers > INT32_MAX / 4)
			return err_set(e, ERR_LIMIT, "the module's machine code exceeds 2 GiB");
	}
	if (!baseline__stubs_emit(stubs, ret_hook, ret_raise))
		return err_nomem(e);
	*ret_hook += (uint32_t)text;
	*ret_raise += (uint32_t)text;
	text += stubs->len;
	if (text > INT32_MAX)
		return err_set(e, ERR_LIMIT, "the module's machine code exceeds 2 GiB");
	a->text_size = text;
	a->sites_size = sites;
	a->nhandlers = (uint32_t)handlers;
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
	a->handlers = mem_alloc(a->nhandlers ? a->nhandlers * sizeof *a->handlers : 1);
	if (!a->text || !a->sites || !a->handlers)
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
		uint32_t words = words_end(&where[i]) - from->handlers;
		if (words)
			memcpy(a->handlers + a->funcs[i].handlers, where[i].out->handlers.ptr + 4 * (size_t)from->handlers, 4 * (size_t)words);
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
		.flags = (opt->poison_upper ? CODE_POISONS_UPPER : 0u) | (opt->verify_upper ? CODE_VERIFIES_UPPER : 0u) |
			(opt->check_memories ? CODE_CHECKS_MEMORIES : 0u),
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
