// Core modules for tests, written as text (comp/test/build.h), compiled and run.
#ifndef TESTS_ENGINE_GUEST_H
#define TESTS_ENGINE_GUEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "comp/test/build.h"
#include "sys/sys.h"
#include "tier/tier.h"
#include "vm/vm.h"

// Sections.
#define TYPES "01 "
#define IMPORTS "02 "
#define FUNCS "03 "
#define TABLES "04 "
#define MEMORIES "05 "
#define GLOBALS "06 "
#define EXPORTS "07 "
#define START "08 "
#define ELEMS "09 "
#define CODE "0a "
#define DATA "0b "
#define DATA_COUNT "0c "

static struct vm_shard *shard;
static uint32_t features = WASM_FEATURES_DEFAULT;
static bool lazy UNUSED;  // compile functions when they are called
static bool poison;  // compile in the debug mode that fills the upper halves of 32-bit values
// Much of everything, and a trap is not the end.
static const struct vm_limits ample = {.memory = 16ull << 30, .table_elements = 20000000, .stack = 1u << 20, .survives_traps = true};

struct guest {
	struct arena arena;
	struct buf bytes;
	struct wasm_module *m;
	struct vm_module *mod;
	struct vm_store *st;
	struct vm_instance *inst;
	bool shares_store;
};

static inline bool guest_compile(struct guest *g, struct err *e)
{
	const struct wasm_module *m;
	struct tier_options opt = {.no_cache = true, .threads = 1, .poison_upper = poison, .lazy_from = lazy};
	struct tier_stats stats;
	arena_init(&g->arena, 0);
	if (!vm_process_handle_signals(e) || !wasm_decode(&g->arena, buf_view(&g->bytes), features, 0, &g->m, e))
		return false;
	m = g->m;
	return tier_compile(&m, 1, buf_view(&g->bytes), &opt, &g->mod, &stats, e);
}

// Of g->bytes, in g->st (made if it is NULL).
static inline void guest_instantiate(struct guest *g, const struct vm_extern *imports, uint32_t n)
{
	struct err e = {0};
	if (!guest_compile(g, &e) || (!g->st && !vm_store_new(shard, &ample, &g->st, &e)) || !vm_imports_check(g->st, g->mod, imports, n, &e) ||
		!vm_instance_allocate(g->st, g->mod, imports, n, &g->inst, &e))
		fail_msg("%s (%s)", e.text, e.where);
}

static inline void guest_init(struct guest *g, const char *text)
{
	*g = (struct guest){0};
	build_text(&g->bytes, text);
	guest_instantiate(g, NULL, 0);
	assert_int_equal(vm_instance_initialize(g->inst), TRAP_NONE);
}

// Its one import is `fn`, of type 0.
static inline void guest_init_host(struct guest *g, const char *text, vm_host_fn fn, void *data, const struct vm_limits *limits)
{
	struct err e = {0};
	struct vm_extern x = {.kind = WASM_EXTERN_FUNC};
	*g = (struct guest){0};
	build_text(&g->bytes, text);
	if (!guest_compile(g, &e) || !vm_store_new(shard, limits, &g->st, &e) ||
		!vm_host_func_new(g->st, &g->m->types[0].func, fn, data, "import", &x.func, &e) || !vm_imports_check(g->st, g->mod, &x, 1, &e) ||
		!vm_instance_allocate(g->st, g->mod, &x, 1, &g->inst, &e))
		fail_msg("%s (%s)", e.text, e.where);
}

// In the store of another one, whose exports it imports by their names.
static inline void guest_init_with(struct guest *g, const char *text, const struct guest *other)
{
	struct vm_extern x[16];
	struct err e = {0};
	*g = (struct guest){.st = other->st, .shares_store = true};
	build_text(&g->bytes, text);
	if (!guest_compile(g, &e))
		fail_msg("%s (%s)", e.text, e.where);
	assert_true(g->m->nimports <= ARRAY_LEN(x));
	for (uint32_t i = 0; i < g->m->nimports; i++)
		assert_true(vm_instance_export(other->inst, g->m->imports[i].name, &x[i]));
	if (!vm_imports_check(g->st, g->mod, x, g->m->nimports, &e) || !vm_instance_allocate(g->st, g->mod, x, g->m->nimports, &g->inst, &e))
		fail_msg("%s (%s)", e.text, e.where);
	assert_int_equal(vm_instance_initialize(g->inst), TRAP_NONE);
}

static inline void guest_release(struct guest *g)
{
	if (!g->shares_store)
		vm_store_free(g->st);
	vm_module_unref(g->mod);
	arena_release(&g->arena);
	buf_release(&g->bytes);
}

static inline enum trap guest_call(const struct guest *g, const char *name, const uint64_t *args, uint64_t *results)
{
	struct vm_extern x;
	if (!vm_instance_export(g->inst, slice_of(name, strlen(name)), &x))
		fail_msg("no export '%s'", name);
	return vm_call(g->st, x.func, args, results);
}

#define ARGS(...) ((const uint64_t[16]){__VA_ARGS__})
// The first result of a call that must not trap / the trap of one that must.
static inline uint64_t result_of(const struct guest *g, const char *name, const uint64_t *args)
{
	uint64_t results[16] = {0};
	enum trap t = guest_call(g, name, args, results);
	if (t)
		fail_msg("%s traps: %s (%s)", name, trap_text(t), vm_trap_info(shard)->message);
	return results[0];
}
#define gives(g, want, name, ...) assert_int_equal(result_of(g, name, ARGS(__VA_ARGS__)), want)
#define traps(g, want, name, ...) assert_int_equal(guest_call(g, name, ARGS(__VA_ARGS__), (uint64_t[16]){0}), want)

// ---- on fibers --------------------------------------------------------------------------------------------------------------------
struct guest_job {
	const struct guest *g;
	const char *name;
	const uint64_t *args;
	uint64_t result[16];
	enum trap trap;
};

static inline void guest_run_job(void *arg)
{
	struct guest_job *j = arg;
	j->trap = guest_call(j->g, j->name, j->args, j->result);
}

static inline enum trap guest_on_fiber(const struct guest *g, const char *name, const uint64_t *args, uint64_t *ret, uint64_t *ret_preemptions,
	struct vm_budget budget)
{
	struct guest_job j = {.g = g, .name = name, .args = args};
	struct vm_fiber *f = vm_fiber_new(shard, guest_run_job, &j);
	assert_non_null(f);
	vm_fiber_set_budget(f, budget);
	while (vm_fiber_resume(f, VM_RESUMED) != VM_FIBER_DONE)
		;
	if (ret)
		*ret = j.result[0];
	if (ret_preemptions)
		*ret_preemptions = vm_fiber_preemptions(f);
	vm_fiber_free(f);
	return j.trap;
}

static inline int guest_setup(void **state UNUSED)
{
	struct err e = {0};
	return vm_shard_new(&shard, &e) ? 0 : -1;
}

static inline int guest_setup_poisoned(void **state)
{
	poison = true;
	return guest_setup(state);
}

// All accesses are checked by code; still poisoned, if it was. The last group of a program: code from before does not run any more.
static inline int guest_setup_without_cells(void **state)
{
	vm_process_set_cells(false);
	return guest_setup(state);
}

static inline int guest_teardown(void **state UNUSED)
{
	vm_shard_free(shard);
	return 0;
}

#endif
