// From outputs to an artifact: functions in order of their index, direct calls resolved, two stubs at the end.
#include "baseline_int.h"

void baseline_output_clear(struct baseline_output *out)
{
	out->text.len = out->sites.len = out->handlers.len = 0;
	out->funcs.len = out->relocs.len = 0;
}

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

// Where its parts end in the output.
static bool is_last(const struct where *w)
{
	return w->index + 1 == w->out->funcs.len;
}

static uint32_t words_end(const struct where *w)
{
	return is_last(w) ? (uint32_t)(w->out->handlers.len / 4) : w->out->funcs.ptr[w->index + 1].place.handlers;
}

static uint32_t sites_end(const struct where *w)
{
	return is_last(w) ? (uint32_t)w->out->sites.len : w->out->funcs.ptr[w->index + 1].place.sites;
}

static uint32_t relocs_end(const struct where *w)
{
	return is_last(w) ? w->out->relocs.len : w->out->funcs.ptr[w->index + 1].relocs;
}

static bool is_too_far(uint64_t text, uint32_t reach, struct err *e)
{
	return text > reach && !err_set(e, ERR_LIMIT, "the module's machine code would exceed %u bytes, which calls span", reach);
}

static bool place_functions(const struct where *where, uint32_t reach, struct code_artifact *a, struct buf *stubs, uint32_t *ret_hook, uint32_t *ret_raise,
	struct err *e)
{
	uint64_t text = 0, sites = 0, handlers = 0;
	for (uint32_t i = 0; i < a->nfuncs; i++) {
		const struct baseline_output *out = where[i].out;
		if (!out)
			return err_set(e, ERR_NOMEM, "function %u was not compiled", a->first_func + i);
		const struct baseline_func *f = &out->funcs.ptr[where[i].index];
		a->funcs[i] = f->place;
		a->funcs[i].offset = (uint32_t)text;
		a->funcs[i].sites = (uint32_t)sites;
		a->funcs[i].handlers = (uint32_t)handlers;
		handlers += words_end(&where[i]) - f->place.handlers;
		text = align_up_u64(text + f->place.size, 16);
		sites += sites_end(&where[i]) - f->place.sites;
		if (is_too_far(text, reach, e))
			return false;
		if (sites > INT32_MAX || handlers > INT32_MAX / 4)
			return err_set(e, ERR_LIMIT, "what stands beside the module's machine code would exceed 2 GiB");
	}
	if (!baseline__stubs_emit(stubs, ret_hook, ret_raise))
		return err_nomem(e);
	*ret_hook += (uint32_t)text;
	*ret_raise += (uint32_t)text;
	text += stubs->len;
	if (is_too_far(text, reach, e))
		return false;
	a->text_size = text;
	a->sites_size = sites;
	a->nhandlers = (uint32_t)handlers;
	return true;
}

// Everything lies within CODE_REACH: no displacement is out of range (L19).
static void resolve(const struct where *w, struct code_artifact *a, uint32_t i, uint32_t hook, uint32_t raise)
{
	const struct baseline_func *f = &w->out->funcs.ptr[w->index];
	for (uint32_t r = f->relocs, end = relocs_end(w); r < end; r++) {
		struct baseline_reloc reloc = w->out->relocs.ptr[r];
		uint32_t to = reloc.target == BASELINE_STUB_HOOK ? hook : reloc.target == BASELINE_STUB_RAISE ? raise
																									  : a->funcs[reloc.target - a->first_func].offset;
		uint32_t from = a->funcs[i].offset + reloc.at + 4, disp = to - from;
		BUG_ON(reloc.at + 4 > f->place.size);
		memcpy(a->text + from - 4, &disp, 4);
	}
}

static bool fill(const struct where *where, uint32_t reach, struct code_artifact *a, struct buf *stubs, struct err *e)
{
	uint32_t hook, raise;
	if (!place_functions(where, reach, a, stubs, &hook, &raise, e))
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
		uint32_t sites = sites_end(&where[i]) - from->sites;
		if (sites)
			memcpy(a->sites + a->funcs[i].sites, where[i].out->sites.ptr + from->sites, sites);
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

static uint32_t flags_of(const struct baseline_options *opt)
{
	return (opt->poison_upper ? CODE_POISONS_UPPER : 0u) | (opt->verify_upper ? CODE_VERIFIES_UPPER : 0u) | (opt->check_memories ? CODE_CHECKS_MEMORIES : 0u);
}

bool baseline_link(const struct wasm_module *m, struct baseline_output *const *outputs, uint32_t noutputs, const struct baseline_options *opt,
	struct code_artifact *ret, struct err *e)
{
	struct code_artifact a = {
		.first_func = m->nimported_funcs,
		.nfuncs = m->nfuncs - m->nimported_funcs,
		.cpu = opt->cpu,
		.flags = flags_of(opt),
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
	bool ok = fill(where, opt->reach ? opt->reach : CODE_REACH, &a, &stubs, e);
	mem_free(where);
	if (!ok) {
		code_artifact_release(&a);
		return false;
	}
	*ret = a;
	return true;
}

// ---- function by function ----------------------------------------------------------------------------------------------------------------
bool baseline_publish_lazy(const struct wasm_module *m, const struct baseline_options *opt, const struct code_lazy *how, struct baseline_lazy *ret,
	struct err *e)
{
	AUTO(buf)
	entries = {0};
	struct code_lazy lazy = *how;
	lazy.first_func = m->nimported_funcs;
	lazy.nfuncs = m->nfuncs - m->nimported_funcs;
	lazy.flags = flags_of(opt);
	if (!lazy.text_max)
		lazy.text_max = baseline__text_max(m);
	if (!baseline__entries_emit(&entries, lazy.first_func, lazy.nfuncs, &ret->hook, &ret->raise))
		return err_nomem(e);
	lazy.entries = buf_view(&entries);
	return code_publish_lazy(&lazy, &ret->code, e);
}

// Calls go to functions that are there, or to entries: all of it lies within CODE_REACH (L19).
static void resolve_lazy(const struct where *w, uint8_t *text, const uint8_t *at, const struct baseline_lazy *to, uint32_t first_func)
{
	const struct baseline_func *f = &w->out->funcs.ptr[w->index];
	const uint8_t *entries = code_object_func(to->code, 0);
	for (uint32_t r = f->relocs, end = relocs_end(w); r < end; r++) {
		struct baseline_reloc reloc = w->out->relocs.ptr[r];
		const uint8_t *target;
		if (reloc.target == BASELINE_STUB_HOOK || reloc.target == BASELINE_STUB_RAISE) {
			target = entries + (reloc.target == BASELINE_STUB_HOOK ? to->hook : to->raise);
		} else if (reloc.target == f->func) {
			target = at;
		} else if (!(target = code_lazy_find(to->code, reloc.target - first_func))) {
			target = code_object_func(to->code, reloc.target - first_func);
		}
		BUG_ON(reloc.at + 4 > f->place.size);
		int32_t disp = (int32_t)(target - (at + reloc.at + 4));
		memcpy(text + reloc.at, &disp, 4);
	}
}

bool baseline_put_lazy(const struct wasm_module *m, struct baseline_output *out, uint32_t i, const struct baseline_lazy *to, struct err *e)
{
	struct where w = {out, i};
	struct code_func f = out->funcs.ptr[i].place;
	struct code_artifact a = {.borrowed = true, .first_func = out->funcs.ptr[i].func, .nfuncs = 1, .funcs = &f};
	const uint8_t *at = code_lazy_room(to->code, f.size);
	a.text = out->text.ptr + f.offset;
	a.text_size = f.size;
	a.sites_size = sites_end(&w) - f.sites;
	a.sites = a.sites_size ? out->sites.ptr + f.sites : NULL;
	a.nhandlers = words_end(&w) - f.handlers;
	a.handlers = a.nhandlers ? (uint32_t *)(void *)out->handlers.ptr + f.handlers : NULL;
	f.offset = f.sites = f.handlers = 0;
	if (at)
		resolve_lazy(&w, a.text, at, to, m->nimported_funcs);
	return code_lazy_add(to->code, &a, m, e);
}
