// Any bytes as a component: decoded, linked and printed, or refused with a reason. Nothing crashes, hangs or takes memory without bound; what was
// accepted has a plan whose references are all within its tables.
// PROGRAM(fuzz_component, "comp", "")
#include "comp/comp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_core(const struct comp_component *c, const struct comp_core_ref *r)
{
	const struct comp_plan *p = &c->plan;
	switch ((enum comp_core_ref_kind)r->kind) {
	case COMP_CORE_NONE:
		return;
	case COMP_CORE_EXPORT: {
		BUG_ON(r->instance >= p->ncore_instances);
		const struct wasm_module *m = c->modules[p->core_instances[r->instance].module].wasm;
		const uint32_t spaces[] = {m->nfuncs, m->ntables, m->nmemories, m->nglobals};
		BUG_ON(r->extern_kind >= ARRAY_LEN(spaces) || r->index >= spaces[r->extern_kind]);
		return;
	}
	case COMP_CORE_LOWER:
		BUG_ON(r->index >= p->nlowers);
		return;
	case COMP_CORE_BUILTIN:
		BUG_ON(r->index >= p->nbuiltins);
		return;
	case COMP_CORE_HOST:
		BUG_ON(r->index >= p->ncore_funcs);
		return;
	}
	BUG_ON(true);
}

static void check_func(const struct comp_plan *p, struct comp_func_ref r)
{
	BUG_ON(r.index >= (r.kind == COMP_FUNC_LIFT ? p->nlifts : p->nhost_funcs));
}

static void check_options(const struct comp_component *c, const struct comp_canon_options *o)
{
	check_core(c, &o->memory);
	check_core(c, &o->realloc);
	check_core(c, &o->post_return);
	check_core(c, &o->callback);
}

static bool check_resource(void *ctx, const struct wit_resource *r)
{
	const struct comp_plan *p = ctx;
	const struct comp_resource *x = comp_resource_of(r);
	BUG_ON(x->index >= p->nresources || p->resources[x->index] != x);
	return true;
}

static void check_type(const struct comp_plan *p, const struct wit_func_type *f)
{
	wit_type_each_resource(&f->params, check_resource, (void *)(uintptr_t)p);
	if (f->result)
		wit_type_each_resource(f->result, check_resource, (void *)(uintptr_t)p);
}

static void check_plan(const struct comp_component *c)
{
	const struct comp_plan *p = &c->plan;
	for (uint32_t i = 0; i < p->ncore_instances; i++) {
		const struct comp_core_instance *x = &p->core_instances[i];
		BUG_ON(x->module >= c->nmodules || x->instance >= p->ninstances || x->nimports != c->modules[x->module].wasm->nimports);
		for (uint32_t j = 0; j < x->nimports; j++) {
			check_core(c, &x->imports[j]);
			BUG_ON(x->imports[j].kind == COMP_CORE_EXPORT && x->imports[j].instance >= i);  // made before it is used
		}
	}
	for (uint32_t i = 0; i < p->nlifts; i++) {
		check_core(c, &p->lifts[i].func);
		check_options(c, &p->lifts[i].options);
		check_type(p, p->lifts[i].type);
	}
	for (uint32_t i = 0; i < p->nlowers; i++) {
		check_func(p, p->lowers[i].callee);
		check_options(c, &p->lowers[i].options);
		check_type(p, p->lowers[i].type);
	}
	for (uint32_t i = 0; i < p->ncore_funcs; i++)
		check_core(c, &p->core_funcs[i].memory);
	for (uint32_t i = 0; i < p->nresources; i++)
		check_core(c, &p->resources[i]->dtor);
	for (uint32_t i = 0; i < p->nexport_funcs; i++) {
		check_func(p, p->export_funcs[i].func);
		check_type(p, p->export_funcs[i].type);
	}
	for (uint32_t i = 1; i < p->ninstances; i++)
		BUG_ON(p->instances[i].parent >= i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a;
	struct err e;
	struct buf b = {.max = 1 << 20};
	struct comp_component *c;
	struct comp_options opt = COMP_OPTIONS_DEFAULT;
	if (size & 1) {
		opt.features = COMP_FEATURES_ALL;
		opt.core_features |= WASM_FEATURE_GC | WASM_FEATURE_MEMORY64 | WASM_FEATURE_THREADS | WASM_FEATURE_SIMD;
	}
	arena_init(&a, (size_t)512 << 20);
	err_clear(&e);
	if (comp_decode(&a, slice_of(data, size), &opt, &c, &e)) {
		check_plan(c);
		BUG_ON(!(size & 1) && !comp_can_run(c, NULL));  // what can't be run is refused
		(void)!comp_print(&b, c, NULL);
	} else {
		BUG_ON(e.code == ERR_NONE || !e.text[0]);
	}
	buf_release(&b);
	arena_release(&a);
	return 0;
}
