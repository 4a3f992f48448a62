// Versions of a module's code: other code arrives at a slot's reset, while calls run and are parked, and the old one goes when nobody is left in it.
// PROGRAM(test_versions, "comp code vm tier cmocka threads", "")
#include "guest.h"

#include <pthread.h>
#include <unistd.h>

#include "code/code.h"

// fib(n), called through a table; before it ends it calls the host and adds what that gives.
#define FIB                                                                                                                                                                                          \
	MODULE TYPES "[ 01 60 01 7f 01 7f ] " IMPORTS "[ 01 00 00 00 00 ] " FUNCS "[ 02 00 00 ] " TABLES "[ 01 70 00 01 ] " EXPORTS "[ 01 'run' 00 02 ] " ELEMS "[ 01 00 i32.const #0 end 01 01 ] " CODE \
				 "[ 02 [ 00 local.get #0 i32.const #2 i32.lt_u if 7f local.get #0 else local.get #0 i32.const #1 i32.sub i32.const #0 "                                                              \
				 "call_indirect #0 #0 local.get #0 i32.const #2 i32.sub call #1 i32.add end end ] "                                                                                                  \
				 "[ 00 local.get #0 call #1 local.get #0 call #0 i32.add end ] "

enum { SHARDS = 2, ROUNDS = 1000 };
static struct guest two[2];  // the same module, compiled in two ways
static _Atomic uint64_t ready, seen[SHARDS];
static _Atomic bool stop, failed;

static enum trap host_parks(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	results[0] = (uint32_t)args[0];
	return vm_fiber_park(call->shard) == VM_KILLED ? TRAP_KILLED : TRAP_NONE;
}

struct run {
	struct vm_store *st;
	struct vm_instance *inst;
	uint64_t result[1];
	enum trap trap;
};

static void run_fib(void *arg)
{
	struct run *r = arg;
	struct vm_extern x;
	if (vm_instance_export(r->inst, SLICE_LIT("run"), &x))
		r->trap = vm_call(r->st, x.func, ARGS(15), r->result);
}

static bool make_store(struct vm_shard *s, struct vm_store **ret, struct vm_instance **ret_inst, struct err *e)
{
	struct vm_extern x = {.kind = WASM_EXTERN_FUNC};
	return vm_store_new(s, &ample, ret, e) && vm_host_func_new(*ret, &two[0].m->types[0].func, host_parks, NULL, "import", &x.func, e) &&
		vm_instance_allocate(*ret, two[0].mod, &x, 1, ret_inst, e);
}

// A slot that serves calls one after the other; each is parked once, and is reset after it.
static void *serve(void *arg)
{
	uint32_t which = (uint32_t)(uintptr_t)arg;
	struct vm_shard *s;
	struct vm_image *img = NULL;
	struct run r = {0};
	struct err e = {0};
	uintptr_t wrong = 0;
	if (!vm_shard_new(&s, &e) || !make_store(s, &r.st, &r.inst, &e) || vm_instance_initialize(r.inst) || !vm_image_capture(r.st, &img, &e) ||
		!vm_store_attach(r.st, img, &e)) {
		failed = true;
		return (void *)1;
	}
	vm_image_unref(img);
	ready++;
	while (!stop) {
		const struct code_object *before = vm_instance_code(r.inst);
		struct vm_fiber *f = vm_fiber_new(s, run_fib, &r);
		r.result[0] = 0;
		while (vm_fiber_resume(f, VM_RESUMED) != VM_FIBER_DONE)
			;
		wrong += r.trap != TRAP_NONE || r.result[0] != 610 + 15 || vm_instance_code(r.inst) != before;
		vm_fiber_free(f);
		wrong += !vm_store_reset(r.st);
		seen[which] += vm_instance_code(r.inst) != before;
	}
	vm_store_free(r.st);
	vm_shard_free(s);
	return (void *)wrong;
}

static void two_variants_alternate_at_reset_under_load(void **state UNUSED)
{
	pthread_t threads[SHARDS];
	for (uintptr_t i = 0; i < SHARDS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, serve, (void *)i), 0);
	struct code_object *code[2] = {code_object_ref(two[0].mod->code), code_object_ref(two[1].mod->code)};
	while (ready < SHARDS && !failed)
		usleep(10);
	for (uint64_t n = 1; n <= ROUNDS; n++) {
		vm_module_set_code(two[0].mod, code[n % 2]);
		for (int i = 0; i < SHARDS; i++)
			while (seen[i] < n && !failed)
				usleep(10);
	}
	stop = true;
	for (int i = 0; i < SHARDS; i++) {
		void *wrong;
		pthread_join(threads[i], &wrong);
		assert_null(wrong);
		assert_int_equal(seen[i], ROUNDS);
	}
	code_object_unref(code[0]);
	code_object_unref(code[1]);
}

// What runs keeps its code alive; with the last instance that is linked to it, it goes.
static void old_code_lives_as_long_as_it_is_used(void **state UNUSED)
{
	struct vm_store *st;
	struct vm_image *img = NULL;
	struct run r = {0};
	struct err e = {0};
	struct code_object *code = code_object_ref(two[1].mod->code);
	struct guest g = {0};
	buf_put_slice(&g.bytes, buf_view(&two[0].bytes));
	assert_true(guest_compile(&g, &e));  // a third object, which nobody holds but the module
	assert_true(make_store(shard, &r.st, &r.inst, &e) && vm_instance_initialize(r.inst) == TRAP_NONE && vm_image_capture(r.st, &img, &e) &&
		vm_store_attach(r.st, img, &e));
	st = r.st;
	vm_image_unref(img);
	const void *at = code_object_func(g.mod->code, 0);
	vm_module_set_code(two[0].mod, g.mod->code);
	assert_true(vm_store_reset(st));
	struct vm_fiber *f = vm_fiber_new(shard, run_fib, &r);
	assert_int_equal(vm_fiber_resume(f, VM_RESUMED), VM_FIBER_PARKED);
	vm_module_set_code(two[0].mod, code);
	vm_module_unref(g.mod);
	assert_non_null(code_find(at));  // a call is parked in it
	assert_int_equal(vm_fiber_resume(f, VM_RESUMED), VM_FIBER_DONE);
	assert_int_equal(r.result[0], 625);
	vm_fiber_free(f);
	assert_non_null(code_find(at));
	vm_store_relink(st);  // as for what nobody calls, and for what is never reset
	assert_null(code_find(at));
	assert_int_equal(vm_fiber_resume(f = vm_fiber_new(shard, run_fib, &r), VM_RESUMED), VM_FIBER_PARKED);
	assert_int_equal(vm_fiber_resume(f, VM_RESUMED), VM_FIBER_DONE);
	vm_fiber_free(f);
	assert_true(r.trap == TRAP_NONE && vm_store_reset(st));
	vm_store_free(st);
	code_object_unref(code);
	arena_release(&g.arena);
	buf_release(&g.bytes);
}

static int setup(void **state)
{
	struct err e = {0};
	if (guest_setup(state))
		return -1;
	for (int i = 0; i < 2; i++) {
		poison = i;
		build_text(&two[i].bytes, FIB "] ");
		if (!guest_compile(&two[i], &e))
			fail_msg("%s", e.text);
	}
	return 0;
}

static int teardown(void **state)
{
	for (int i = 0; i < 2; i++)
		guest_release(&two[i]);
	return guest_teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_variants_alternate_at_reset_under_load),
		cmocka_unit_test(old_code_lives_as_long_as_it_is_used),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
