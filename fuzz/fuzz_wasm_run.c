// Core modules decoded, validated, compiled and run. The first byte chooses: the bytes are a module as they are (whatever it does, it ends within its
// budget), or a valid module is made of them, compiled twice, the second time with the upper halves of 32-bit values poisoned: results, traps,
// memory and globals must be equal.
// PROGRAM(fuzz_wasm_run, "tier", "generate.c")
#include "generate.h"
#include "tier/tier.h"
#include "vm/vm.h"

static struct vm_shard *the_shard(void)
{
	static struct vm_shard *shard;
	struct err e = {0};
	if (!shard)
		BUG_ON(!vm_process_init(&e) || !vm_shard_new(&shard, &e));
	return shard;
}

struct outcome {
	enum trap trap;
	uint64_t results[16];
	uint64_t memory, globals[4];
};

struct call {
	struct vm_store *store;
	struct vm_instance *instance;
	uint32_t func;
	bool initialize;
	uint64_t args[16];
	struct outcome out;
};

static void on_fiber(void *arg)
{
	struct call *c = arg;
	c->out.trap = c->initialize ? vm_instance_initialize(c->instance) : vm_call(c->store, c->func, c->args, c->out.results);
}

static void run_call(struct call *c)
{
	struct vm_fiber *f = vm_fiber_new(the_shard(), on_fiber, c);
	BUG_ON(!f);
	vm_fiber_set_budget(f, (struct vm_budget){.cpu_ns = 100000000, .deadline_ns = UINT64_MAX});
	while (vm_fiber_resume(f, VM_RESUMED) != VM_FIBER_DONE)
		;
	vm_fiber_free(f);
}

static bool compile(struct arena *a, struct slice bytes, bool poison, struct vm_module **ret)
{
	struct err e = {0};
	struct wasm_module *m;
	struct tier_options opt = {.no_cache = true, .poison_upper = poison, .threads = 1};
	struct tier_stats stats;
	if (!wasm_decode(a, bytes, WASM_FEATURES_DEFAULT, 0, &m, &e) || m->nimports)
		return false;
	return tier_compile((const struct wasm_module *const[]){m}, 1, bytes, NULL, &opt, ret, &stats, &e);
}

static uint64_t global_value(struct vm_instance *i, const char *name)
{
	struct vm_extern x;
	return vm_instance_export(i, slice_str(name), &x) && x.kind == WASM_EXTERN_GLOBAL ? vm_global_get(x.global) : 0;
}

static void look_at(struct call *c)
{
	static const char *const globals[] = {"i", "l", "f32", "f64"};
	struct vm_extern x;
	if (vm_instance_export(c->instance, SLICE_LIT("m"), &x) && x.kind == WASM_EXTERN_MEMORY)
		c->out.memory = hash_u64(slice_of(vm_memory_base(x.memory), vm_memory_length(x.memory)));
	for (unsigned i = 0; i < ARRAY_LEN(globals); i++)
		c->out.globals[i] = global_value(c->instance, globals[i]);
}

static void call_export(struct call *c, uint32_t func, struct bytes *args)
{
	const struct wasm_func_type *t = vm_func_type(c->store, func);
	if (t->nparams > 16 || t->nresults > 16)
		return;
	for (uint32_t k = 0; k < t->nparams; k++) {
		uint64_t v = bytes_take_u64(args);
		unsigned kind = t->params[k].kind;
		if (kind == WASM_REF && !t->params[k].nullable)
			return;
		c->args[k] = kind == WASM_REF ? 0 : kind == WASM_I32 || kind == WASM_F32 ? (uint32_t)v
																				 : v;
	}
	c->func = func;
	run_call(c);
}

// Instantiates and calls each exported function.
static struct outcome run(struct vm_module *m, struct bytes args)
{
	struct vm_limits limits = VM_LIMITS_DEFAULT;
	struct err e = {0};
	struct call c = {.initialize = true};
	limits.memory = 64 << 20;
	limits.survives_traps = true;
	BUG_ON(!vm_store_new(the_shard(), &limits, &c.store, &e));
	if (vm_instance_allocate(c.store, m, NULL, 0, &c.instance, &e)) {
		run_call(&c);
		c.initialize = false;
		for (uint32_t i = 0; i < m->m->nexports && i < 8; i++) {
			struct vm_extern x;
			if (vm_instance_export(c.instance, m->m->exports[i].name, &x) && x.kind == WASM_EXTERN_FUNC)
				call_export(&c, x.func, &args);
		}
		look_at(&c);
	}
	vm_store_free(c.store);
	return c.out;
}

static void as_it_is(struct slice bytes)
{
	struct arena a;
	struct vm_module *m;
	arena_init(&a, 256 << 20);
	if (compile(&a, bytes, false, &m)) {
		run(m, (struct bytes){0});
		vm_module_unref(m);
	}
	arena_release(&a);
}

static void compare(struct outcome a, struct outcome b)
{
	if (a.trap == TRAP_CPU_BUDGET || b.trap == TRAP_CPU_BUDGET)
		return;
	BUG_ON(a.trap != b.trap);
	BUG_ON(a.trap == TRAP_NONE && a.results[0] != b.results[0]);
	BUG_ON(a.memory != b.memory);
	BUG_ON(memcmp(a.globals, b.globals, sizeof(a.globals)) != 0);
}

static void made(struct bytes in)
{
	struct buf module = {.max = 1 << 23};
	struct bytes args = in;
	struct arena a;
	struct vm_module *plain, *poisoned;
	in.p = in.end - in.p > 24 ? in.p + 24 : in.end;
	generate_module(&in, &module);
	arena_init(&a, 256 << 20);
	BUG_ON(!compile(&a, buf_view(&module), false, &plain));
	BUG_ON(!compile(&a, buf_view(&module), true, &poisoned));
	compare(run(plain, args), run(poisoned, args));
	vm_module_unref(plain);
	vm_module_unref(poisoned);
	arena_release(&a);
	buf_release(&module);
}

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
