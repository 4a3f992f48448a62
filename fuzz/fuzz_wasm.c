// Core modules: decode, validate, run. An input that begins as a module is taken as it is: decoded and validated with all features and with the first
// ones only, its bodies walked as a compiler walks them, then compiled and run. Of any other input a valid module is made. What runs is compiled twice,
// the second time with the upper halves of 32-bit values poisoned, and run a third time with a collection at each object that is made: traps, results,
// memory, globals and what imports were called with must be equal, unless a run ended by what it used of time or stack.
// PROGRAM(fuzz_wasm, "tier", "generate.c")
#include "generate.h"
#include "tier/tier.h"
#include "vm/vm.h"

enum { ARENA_MAX = 256 << 20, CPU_NS = 20000000, MAX_IMPORTS = 32, MAX_CELLS = 16, MAX_EXPORTS = 16 };

static struct vm_shard *the_shard(void)
{
	static struct vm_shard *shard;
	struct err e = {0};
	if (!shard)
		BUG_ON(!vm_process_init(&e) || !vm_shard_new(&shard, &e));
	return shard;
}

// ---- decoding, validating ----

// Walks a body that has passed as a compiler does, and must arrive at its end.
static void walk(const struct wasm_module *m, uint32_t func)
{
	const uint8_t *p = m->bytes.ptr + m->funcs[func].offset, *end = p + m->funcs[func].size;
	for (uint32_t n = wasm_read_u32(&p); n; n--) {
		wasm_read_u32(&p);
		wasm_read_valtype(&p);
	}
	while (p < end) {
		enum wasm_op op = wasm_read_op(&p);
		BUG_ON(op >= WASM_OP_COUNT);
		wasm_skip_immediate(op, &p);
	}
	BUG_ON(p != end || p[-1] != 0x0b);
}

// All bodies: as a compiler wants them, and as they are checked where none is compiled. Both say the same of each.
static bool validate(const struct wasm_module *m, struct err *e)
{
	struct wasm_scratch *s = wasm_scratch_new();  // most often the one of the module before
	bool all = true;
	BUG_ON(!s || !wasm_check_begin(s, m, e));
	for (uint32_t f = m->nimported_funcs; f < m->nfuncs; f++) {
		struct wasm_func_info info;
		struct err validated = {0}, checked = {0};
		uint64_t listed;
		bool ok = wasm_validate_func(m, f, s, &info, &validated);
		BUG_ON(ok != wasm_check_func(s, f, &listed, &checked) || (ok && listed != info.nlisted));
		BUG_ON(checked.code != validated.code || checked.offset != validated.offset || strcmp(checked.text, validated.text) != 0);
		if (all && !ok)
			*e = validated;
		all = all && ok;
	}
	wasm_scratch_free(s);
	return all;
}

// NULL: refused.
static const struct wasm_module *validated(struct arena *a, struct slice bytes, uint32_t features)
{
	struct wasm_module *m;
	struct err e = {0};
	char name[64];
	bool decoded = wasm_decode(a, bytes, features, 0, &m, &e);
	bool ok = decoded && validate(m, &e);
	BUG_ON(ok != (e.code == ERR_NONE) || (!ok && !e.text[0]));
	if (decoded) {
		struct wasm_names names;
		wasm_names_make(&names, m);
		wasm_names_put(&names, 0, name, sizeof name);
		wasm_names_release(&names);
	}
	return ok ? m : NULL;
}

// ---- running ----

struct outcome {
	bool ran, incomplete;  // incomplete: time or stack was up, the end depends on more than the module
	uint64_t hash;
};

struct run {
	struct vm_store *store;
	struct vm_instance *instance;
	uint64_t cpu_left;
	uint32_t func;
	bool initialize;
	enum trap trap;
	uint64_t args[MAX_CELLS], results[MAX_CELLS];
	struct outcome out;
};

static void mix(struct outcome *o, uint64_t v)
{
	o->hash = (o->hash ^ v) * UINT64_C(0x9e3779b97f4a7c15);
	o->hash ^= o->hash >> 29;
}

// Which number an exception got is no property of the module.
static uint64_t without_number(uint64_t v)
{
	return v >> 24 == 0x5e ? 0x5e : v;
}

// Nor where an object lies. `m`: NULL for canonical types.
static uint64_t value_of(const struct wasm_module *m, struct wasm_valtype t, uint64_t v)
{
	return wasm_valtype_is_object(m, t) ? (v & ABI_REF_I31 ? v : v != 0) : without_number(v);
}

static void on_fiber(void *arg)
{
	struct run *r = arg;
	r->trap = r->initialize ? vm_instance_initialize(r->instance) : vm_call(r->store, r->func, r->args, r->results);
}

static void run_call(struct run *r)
{
	struct vm_fiber *f = vm_fiber_new(the_shard(), on_fiber, r);
	BUG_ON(!f);
	memset(r->results, 0, sizeof(r->results));
	vm_fiber_set_budget(f, (struct vm_budget){.cpu_ns = r->cpu_left, .deadline_ns = UINT64_MAX});
	while (vm_fiber_resume(f, VM_RESUMED) != VM_FIBER_DONE)
		;
	r->cpu_left -= min_u64(r->cpu_left, vm_fiber_cpu_ns(f));
	vm_fiber_free(f);
	if (r->trap == TRAP_CPU_BUDGET || r->trap == TRAP_STACK_OVERFLOW || r->trap == TRAP_OUT_OF_MEMORY || !r->cpu_left)
		r->out.incomplete = true;
	mix(&r->out, r->trap);
}

static void mix_values(struct outcome *o, const struct wasm_valtype *t, uint32_t n, const uint64_t *cells)
{
	for (uint32_t i = 0; i < n; i++)
		for (unsigned k = abi_cells(t[i].kind); k; k--)
			mix(o, value_of(NULL, t[i], *cells++));
}

static bool may_be_null(const struct wasm_valtype *t, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (t[i].kind == WASM_REF && !t[i].nullable)
			return false;
	return true;
}

static void call_export(struct run *r, uint32_t func, struct bytes *args)
{
	const struct wasm_func_type *t = vm_func_type(r->store, func);
	if (t->nparams > MAX_CELLS || t->nresults > MAX_CELLS || !may_be_null(t->params, t->nparams))
		return;
	for (uint32_t k = 0; k < t->nparams; k++) {
		uint64_t v = bytes_take_u64(args);
		unsigned kind = t->params[k].kind;
		r->args[k] = kind == WASM_REF ? 0 : v;
		if (kind == WASM_I32 || kind == WASM_F32)
			r->args[k] = (uint32_t)v;
	}
	r->func = func;
	run_call(r);
	if (r->trap == TRAP_NONE)
		mix_values(&r->out, t->results, t->nresults, r->results);
}

// Every imported function: notes what it is called with, returns zeros.
static enum trap imported(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	struct run *r = call->data;
	mix_values(&r->out, call->type->params, call->type->nparams, args);
	for (uint32_t i = 0; i < call->type->nresults; i++)
		results[i] = 0;
	return TRAP_NONE;
}

static bool make_import(struct run *r, const struct wasm_module *m, const struct wasm_import *im, struct vm_extern *ret)
{
	ret->kind = im->kind;
	if (im->kind == WASM_EXTERN_FUNC) {
		const struct wasm_type *t = &m->types[m->funcs[im->index].type];
		return may_be_null(t->func.results, t->func.nresults) && vm_host_func_new_id(r->store, t->id, imported, r, "imported", &ret->func, NULL);
	}
	if (im->kind == WASM_EXTERN_TAG)
		return vm_tag_new(r->store, m->types[m->tags[im->index].type].id, &ret->tag, NULL);
	if (im->kind == WASM_EXTERN_MEMORY)
		return vm_memory_new(r->store, &m->memories[im->index], &ret->memory, NULL);
	if (im->kind == WASM_EXTERN_TABLE)
		return may_be_null(&m->tables[im->index].type.elem, 1) && vm_table_new(r->store, &m->tables[im->index].type, m, 0, &ret->table, NULL);
	return may_be_null(&m->globals[im->index].type.type, 1) && vm_global_new(r->store, &m->globals[im->index].type, m, (const uint64_t[2]){0}, &ret->global, NULL);
}

static bool instantiate(struct run *r, struct vm_module *mod)
{
	struct vm_extern imports[MAX_IMPORTS];
	const struct wasm_module *m = mod->m;
	struct err e = {0};
	if (m->nimports > MAX_IMPORTS)
		return false;
	for (uint32_t i = 0; i < m->nimports; i++)
		if (!make_import(r, m, &m->imports[i], &imports[i]))
			return false;
	BUG_ON(!vm_imports_check(r->store, mod, imports, m->nimports, &e));
	return vm_instance_allocate(r->store, mod, imports, m->nimports, &r->instance, &e);
}

static void look_at(struct run *r, const struct wasm_module *m)
{
	for (uint32_t i = 0; i < m->nmemories; i++) {
		struct vm_memory *mem = vm_instance_extern(r->instance, WASM_EXTERN_MEMORY, i).memory;
		mix(&r->out, vm_memory_length(mem));
		mix(&r->out, hash_u64(slice_of(vm_memory_base(mem), min_u64(vm_memory_length(mem), 1 << 20))));
	}
	for (uint32_t i = 0; i < m->nglobals; i++) {
		uint64_t v[2];
		vm_global_get(vm_instance_extern(r->instance, WASM_EXTERN_GLOBAL, i).global, v);
		mix(&r->out, value_of(m, m->globals[i].type.type, v[0]));
	}
	for (uint32_t i = 0; i < m->ntables; i++) {
		struct vm_table *t = vm_instance_extern(r->instance, WASM_EXTERN_TABLE, i).table;
		uint32_t ref;
		mix(&r->out, vm_table_length(t));
		for (uint64_t k = 0; k < 64 && vm_table_get(t, k, &ref); k++)
			mix(&r->out, value_of(m, m->tables[i].type.elem, ref));
	}
}

// Instantiates and calls exported functions; traps don't end it.
static struct outcome run(struct vm_module *mod, struct bytes args)
{
	struct vm_limits limits = VM_LIMITS_DEFAULT;
	struct err e = {0};
	struct run r = {.initialize = true, .cpu_left = CPU_NS};
	limits.memory = 64 << 20;
	limits.survives_traps = true;
	BUG_ON(!vm_store_new(the_shard(), &limits, &r.store, &e));
	if (instantiate(&r, mod)) {
		r.out.ran = true;
		run_call(&r);
		r.initialize = false;
		for (uint32_t i = 0; i < mod->m->nexports && i < MAX_EXPORTS && !r.out.incomplete; i++) {
			struct vm_extern x;
			if (vm_instance_export(r.instance, mod->m->exports[i].name, &x) && x.kind == WASM_EXTERN_FUNC)
				call_export(&r, x.func, &args);
		}
		look_at(&r, mod->m);
	}
	vm_store_free(r.store);
	return r.out;
}

// ---- comparing ----

static bool compile(const struct wasm_module *m, bool poison, bool lazy, struct vm_module **ret)
{
	struct err e = {0};
	struct tier_options opt = {.no_cache = true, .poison_upper = poison, .threads = 1, .lazy_from = lazy};
	struct tier_stats stats;
	bool ok = tier_compile(&m, 1, m->bytes, &opt, ret, &stats, &e);
	BUG_ON(!ok && e.code != ERR_LIMIT && e.code != ERR_NOMEM && e.code != ERR_UNSUPPORTED);  // what is valid compiles
	return ok;
}

// What is collected at each object is compiled when it is called, too.
static bool run_once(const struct wasm_module *m, bool poison, bool collect, struct bytes args, struct outcome *ret)
{
	struct vm_module *mod;
	if (!compile(m, poison, collect, &mod))
		return false;
	vm_process_set_collect_always(collect);
	*ret = run(mod, args);
	vm_process_set_collect_always(false);
	vm_module_unref(mod);
	return !ret->incomplete;
}

static void run_all(const struct wasm_module *m, struct bytes args)
{
	struct outcome plain, poisoned, collected;
	if (!run_once(m, false, false, args, &plain) || !run_once(m, true, false, args, &poisoned))
		return;
	BUG_ON(plain.ran != poisoned.ran || plain.hash != poisoned.hash);
	if (run_once(m, false, true, args, &collected))
		BUG_ON(plain.ran != collected.ran || plain.hash != collected.hash);
}

static void as_it_is(struct slice bytes)
{
	struct arena a;
	arena_init(&a, ARENA_MAX);
	bool first = validated(&a, bytes, WASM_FEATURE_MVP);
	const struct wasm_module *m = validated(&a, bytes, WASM_FEATURES_DEFAULT);
	BUG_ON(first && !m);  // features only add
	if (m) {
		for (uint32_t i = m->nimported_funcs; i < m->nfuncs; i++)
			walk(m, i);
		run_all(m, (struct bytes){0});
	}
	arena_release(&a);
}

static void made(struct bytes in)
{
	struct buf module = {.max = 1 << 23};
	struct bytes args = in;
	struct arena a;
	in.p = in.end - in.p > 24 ? in.p + 24 : in.end;
	generate_module(&in, &module);
	arena_init(&a, ARENA_MAX);
	const struct wasm_module *m = validated(&a, buf_view(&module), WASM_FEATURES_FINISHED);
	BUG_ON(!m);
	run_all(m, args);
	arena_release(&a);
	buf_release(&module);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] == 0)  // a module begins with 0, so that seeds are plain modules
		as_it_is(slice_of(data, size));
	else
		made((struct bytes){data + 1, data + size});
	return 0;
}
