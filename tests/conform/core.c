// Core modules of a script: loaded, compiled, linked by name, called.
#include "conform.h"
#include "tier/tier.h"

struct core_module {
	struct wasm_module *wasm;
	struct vm_module *vm;
};

// Survives traps, so that the script goes on in the same instances.
bool core_script_begin(struct script *s, struct err *e)
{
	struct vm_limits limits = VM_LIMITS_DEFAULT;
	limits.memory = UINT64_MAX;
	limits.table_elements = 20000000;
	limits.survives_traps = true;
	limits.may_block = true;
	return vm_process_init(e) && vm_shard_new(&s->shard, e) && vm_store_new(s->shard, &limits, &s->store, e) && spectest_make(s, e);
}

void core_script_end(struct script *s)
{
	vm_store_free(s->store);
	vm_shard_free(s->shard);
}

bool core_load(struct script *s, struct slice bytes, struct core_module **ret, struct err *e)
{
	struct core_module *m = ARENA_NEW(&s->arena, struct core_module);
	if (!m)
		return err_nomem(e);
	if (!wasm_decode(&s->arena, bytes, WASM_FEATURES_FINISHED, 0, &m->wasm, e) || !wasm_validate(m->wasm, e))
		return false;
	struct tier_options opt = {.no_cache = true, .poison_upper = s->options->poison, .threads = 1, .lazy_from = s->options->lazy};
	struct tier_stats stats;
	const struct wasm_module *modules[] = {m->wasm};
	if (!tier_compile(modules, 1, bytes, &opt, &m->vm, &stats, e))
		return false;
	*ret = m;
	return true;
}

bool on_fiber(struct script *s, void (*fn)(void *), void *arg)
{
	struct vm_fiber *f = vm_fiber_new(s->shard, fn, arg);
	if (!f)
		return false;
	while (vm_fiber_resume(f, VM_RESUMED) != VM_FIBER_DONE)
		;
	vm_fiber_free(f);
	return true;
}

static bool find_import(struct script *s, const struct wasm_import *im, struct vm_extern *ret, struct err *e)
{
	bool found;
	struct entity *owner = names_find(&s->registered, (const char *)im->module.ptr, im->module.len);
	if (!owner && !slice_eq_str(im->module, "spectest"))  // some scripts import an instance by the name that it has in the script
		owner = names_find(&s->instances, (const char *)im->module.ptr, im->module.len);
	if (owner)
		found = owner->kind == ENTITY_CORE_INSTANCE && vm_instance_export(owner->core_instance, im->name, ret);
	else
		found = slice_eq_str(im->module, "spectest") && spectest_find(s, im->name, ret);
	return found || err_set(e, ERR_LINK, "unknown import %.*s.%.*s", SLICE_ARGS(im->module), SLICE_ARGS(im->name));
}

struct instantiation {
	struct vm_instance *instance;
	enum trap trap;
};
static void initialize(void *arg)
{
	struct instantiation *i = arg;
	i->trap = vm_instance_initialize(i->instance);
}

bool core_instantiate(struct script *s, struct core_module *m, struct vm_instance **ret, enum trap *ret_trap, struct err *e)
{
	uint32_t n = m->wasm->nimports;
	struct vm_extern *imports = ARENA_ARRAY(&s->arena, struct vm_extern, n ? n : 1);
	*ret_trap = TRAP_NONE;
	if (!imports)
		return err_nomem(e);
	for (uint32_t i = 0; i < n; i++)
		if (!find_import(s, &m->wasm->imports[i], &imports[i], e))
			return false;
	struct instantiation inst = {0};
	if (!vm_imports_check(s->store, m->vm, imports, n, e) || !vm_instance_allocate(s->store, m->vm, imports, n, &inst.instance, e))
		return false;
	if (!on_fiber(s, initialize, &inst))
		return err_nomem(e);
	*ret = inst.instance;
	*ret_trap = inst.trap;
	return inst.trap == TRAP_NONE;
}

static bool find_export(struct vm_instance *i, const json_t *action, enum wasm_extern_kind kind, struct vm_extern *ret)
{
	json_t *field = json_object_get(action, "field");
	struct slice name = slice_of(json_string_value(field), json_string_length(field));
	return vm_instance_export(i, name, ret) && ret->kind == kind;
}

#define MAX_VALUES 1000  // as many as a function type may have
struct invocation {
	struct vm_store *store;
	uint32_t func;
	uint64_t args[2 * MAX_VALUES], results[2 * MAX_VALUES];  // cells (abi.h R9)
	enum trap trap;
};
static void invoke(void *arg)
{
	struct invocation *c = arg;
	c->trap = vm_call(c->store, c->func, c->args, c->results);
}

static struct call_result not_done(const char *why)
{
	struct call_result r = {.end = CALL_NOT_DONE};
	snprintf(r.text, sizeof(r.text), "%s", why);
	return r;
}

static struct outcome compare(const struct vm_store *st, const struct wasm_func_type *type, const uint64_t *results, const json_t *expected)
{
	if (json_array_size(expected) != type->nresults)
		return failed("%u results, expected %zu", type->nresults, json_array_size(expected));
	for (uint32_t i = 0; i < type->nresults; results += abi_cells(type->results[i].kind), i++) {
		json_t *want = json_array_get(expected, i);
		if (!core_value_equal(st, want, type->results[i], results)) {
			char got[64];
			core_value_print(type->results[i], results, got, sizeof(got));
			return failed("result %u is %s, expected %s %s", i, got, json_text(want, "type"), json_text(want, "value"));
		}
	}
	return OUTCOME_PASSED;
}

struct call_result core_invoke(struct script *s, struct vm_instance *i, const json_t *action, const json_t *expected, struct outcome *mismatch)
{
	struct vm_extern f;
	if (!find_export(i, action, WASM_EXTERN_FUNC, &f))
		return not_done("no such function");
	struct invocation call = {.store = s->store, .func = f.func};
	const struct wasm_func_type *type = vm_func_type(s->store, f.func);
	json_t *args = json_object_get(action, "args");
	if (type->nparams > MAX_VALUES || type->nresults > MAX_VALUES || json_array_size(args) != type->nparams)
		return not_done("wrong number of arguments");
	uint64_t *cell = call.args;
	for (uint32_t k = 0; k < type->nparams; cell += abi_cells(type->params[k].kind), k++)
		if (!core_value_read(json_array_get(args, k), cell))
			return not_done("an argument that has no form here");
	if (!on_fiber(s, invoke, &call))
		return not_done("no fiber");
	struct call_result r = {.end = call.trap == TRAP_NONE ? CALL_RETURNED : CALL_TRAPPED, .trap = call.trap};
	snprintf(r.text, sizeof(r.text), "%s", trap_text(call.trap));
	if (r.end == CALL_RETURNED && expected)
		*mismatch = compare(s->store, type, call.results, expected);
	return r;
}

struct outcome core_get(struct script *s, struct vm_instance *i, const json_t *action, const json_t *expected)
{
	struct vm_extern x;
	if (!find_export(i, action, WASM_EXTERN_GLOBAL, &x))
		return failed("no such global");
	uint64_t got[2] = {0};
	vm_global_get(x.global, got);
	struct wasm_valtype type = vm_global_type(x.global)->type;
	struct wasm_func_type as_result = {.nresults = 1, .results = &type};
	return expected ? compare(s->store, &as_result, got, expected) : OUTCOME_PASSED;
}
