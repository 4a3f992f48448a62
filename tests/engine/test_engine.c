// Compiled guests against the runtime: what only generated code and room vm together can show. Rows: L26, L31, L37, L38, L44.
// PROGRAM(test_engine, "wasm code vm tier cmocka", "")
//
// Modules are written here byte by byte: sections from the small builder below.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>

#include "sys/sys.h"
#include "tier/tier.h"
#include "vm/vm.h"
#include "wasm/wasm.h"

static struct vm_shard *shard;

static void leb(struct buf *b, uint64_t v)
{
	do
		assert_true(buf_put_byte(b, (uint8_t)((v & 0x7f) | (v > 0x7f) << 7)));
	while (v >>= 7);
}

static void section(struct buf *m, uint8_t id, const struct buf *body)
{
	assert_true(buf_put_byte(m, id));
	leb(m, body->len);
	assert_true(buf_put_slice(m, buf_view(body)));
}

struct body {
	const uint8_t *bytes;
	size_t len;
	uint32_t locals;  // i64, many
};
#define BODY(nlocals, ...) ((struct body){(const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), (nlocals)})

// A module of functions of type (i32) -> (i32), exported as "0", "1"...; an imported one ("", "") of that type is function 0; a memory of
// one page, at most 16.
static void build(struct buf *m, const struct body *bodies, uint32_t n)
{
	struct buf s = {0}, code = {0};
	assert_true(buf_put(m, "\0asm\1\0\0\0", 8));
	assert_true(buf_put(&s, "\1\x60\1\x7f\1\x7f", 6));
	section(m, 1, &s);
	buf_clear(&s);
	assert_true(buf_put(&s, "\1\0\0\0\0", 5));
	section(m, 2, &s);
	buf_clear(&s);
	leb(&s, n);
	for (uint32_t i = 0; i < n; i++)
		leb(&s, 0);
	section(m, 3, &s);
	buf_clear(&s);
	assert_true(buf_put(&s, "\1\1\1\x10", 4));
	section(m, 5, &s);
	buf_clear(&s);
	leb(&s, n);
	for (uint32_t i = 0; i < n; i++) {
		uint8_t name[2] = {1, (uint8_t)('0' + i)};
		assert_true(buf_put(&s, name, 2) && buf_put_byte(&s, 0));
		leb(&s, i + 1);
	}
	section(m, 7, &s);
	buf_clear(&s);
	leb(&s, n);
	for (uint32_t i = 0; i < n; i++) {
		buf_clear(&code);
		leb(&code, bodies[i].locals ? 1 : 0);
		if (bodies[i].locals) {
			leb(&code, bodies[i].locals);
			assert_true(buf_put_byte(&code, 0x7e));
		}
		assert_true(buf_put(&code, bodies[i].bytes, bodies[i].len));
		leb(&s, code.len);
		assert_true(buf_put_slice(&s, buf_view(&code)));
	}
	section(m, 10, &s);
	buf_release(&s);
	buf_release(&code);
}

struct unit {
	struct arena arena;
	struct buf bytes;
	struct wasm_module *m;
	struct vm_module *mod;
	struct vm_store *st;
	struct vm_instance *inst;
};

static enum trap host_same(struct vm_call *call UNUSED, const uint64_t *args, uint64_t *results)
{
	results[0] = args[0];
	return TRAP_NONE;
}

static void unit_init(struct unit *u, const struct body *bodies, uint32_t n, vm_host_fn fn, void *data, bool survives)
{
	struct err e = {0};
	struct vm_limits limits = VM_LIMITS_DEFAULT;
	struct vm_extern x = {.kind = WASM_EXTERN_FUNC};
	const struct wasm_module *m;
	struct tier_options opt = {.no_cache = true, .threads = 1};
	struct tier_stats stats;
	*u = (struct unit){0};
	limits.survives_traps = survives;
	build(&u->bytes, bodies, n);
	arena_init(&u->arena, 0);
	if (!vm_process_handle_signals(&e) || !wasm_decode(&u->arena, buf_view(&u->bytes), WASM_FEATURES_DEFAULT, 0, &u->m, &e))
		fail_msg("%s", e.text);
	m = u->m;
	if (!tier_compile(&m, 1, buf_view(&u->bytes), NULL, &opt, &u->mod, &stats, &e) || !vm_store_new(shard, &limits, &u->st, &e))
		fail_msg("%s", e.text);
	if (!vm_host_func_new(u->st, &u->m->types[0].func, fn ? fn : host_same, data, "import", &x.func, &e) || !vm_imports_check(u->st, u->mod, &x, 1, &e) ||
		!vm_instance_allocate(u->st, u->mod, &x, 1, &u->inst, &e))
		fail_msg("%s", e.text);
	assert_int_equal(vm_instance_initialize(u->inst), TRAP_NONE);
}

static void unit_release(struct unit *u)
{
	vm_store_free(u->st);
	vm_module_unref(u->mod);
	arena_release(&u->arena);
	buf_release(&u->bytes);
}

static enum trap call(struct unit *u, char name, uint32_t arg, uint32_t *ret)
{
	struct vm_extern x;
	uint64_t a = arg, r = 0;
	assert_true(vm_instance_export(u->inst, slice_of(&name, 1), &x));
	enum trap t = vm_call(u->st, x.func, &a, &r);
	if (ret)
		*ret = (uint32_t)r;
	return t;
}

struct job {
	struct unit *u;
	char name;
	uint32_t arg, result;
	enum trap trap;
};

static void run_job(void *arg)
{
	struct job *j = arg;
	j->trap = call(j->u, j->name, j->arg, &j->result);
}

static enum trap on_fiber(struct unit *u, char name, uint32_t arg, uint32_t *ret, uint64_t *ret_preemptions, struct vm_budget budget)
{
	struct job j = {.u = u, .name = name, .arg = arg};
	struct vm_fiber *f = vm_fiber_new(shard, run_job, &j);
	vm_fiber_set_budget(f, budget);
	while (vm_fiber_resume(f, VM_RESUMED) != VM_FIBER_DONE)
		;
	if (ret)
		*ret = j.result;
	if (ret_preemptions)
		*ret_preemptions = vm_fiber_preemptions(f);
	vm_fiber_free(f);
	return j.trap;
}

// fib(n) = n < 2 ? n : fib(n-1) + fib(n-2), as function 1
#define FIB BODY(0, 0x20, 0, 0x41, 2, 0x49, 0x04, 0x7f, 0x20, 0, 0x05, 0x20, 0, 0x41, 1, 0x6b, 0x10, 1, 0x20, 0, 0x41, 2, 0x6b, 0x10, 1, 0x6a, 0x0b, 0x0b)

static void computes_through_many_preemptions(void **state UNUSED)
{
	struct body b[] = {FIB};
	struct unit u;
	uint32_t r;
	uint64_t preemptions;
	unit_init(&u, b, 1, NULL, NULL, false);
	assert_int_equal(on_fiber(&u, '0', 36, &r, &preemptions, VM_BUDGET_NONE), TRAP_NONE);
	assert_int_equal(r, 14930352);
	assert_true(preemptions > 3);
	unit_release(&u);
}

struct pest {
	int tid;
	_Atomic bool stop;
};

static void *pester(void *arg)
{
	struct pest *p = arg;
	while (!p->stop) {
		sys_thread_signal(p->tid, SIGURG);
		for (volatile int i = 0; i < 3000; i++)
			;
	}
	return NULL;
}

// n calls of the import, of memory.grow(0) and of f64 arithmetic in a loop: sum += import(i) + grow(0) + trunc(sqrt(f64(i * i)))
#define MIXTURE                                                                                                                                       \
	BODY(2, 0x03, 0x40, 0x20, 1, 0x20, 0, 0x10, 0, 0xac, 0x7c, 0x41, 0, 0x40, 0, 0xac, 0x7c, 0x20, 0, 0x20, 0, 0x6c, 0xb8, 0x9f, 0xb1, 0x7c, 0x21, 1, \
		0x20, 0, 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, 0x0b, 0x20, 1, 0xa7, 0x0b)

static void computes_right_in_a_storm_of_interruptions(void **state UNUSED)
{
	struct body b[] = {FIB, MIXTURE};
	struct unit u;
	struct pest p = {.tid = sys_thread_id()};
	pthread_t thread;
	uint32_t r;
	uint64_t preemptions, all = 0;
	unit_init(&u, b, 2, NULL, NULL, false);
	assert_int_equal(pthread_create(&thread, NULL, pester, &p), 0);
	for (uint64_t begin = sys_now_ns(); all < 1000 && sys_now_ns() - begin < 20000000000ull;) {
		assert_int_equal(on_fiber(&u, '0', 25, &r, &preemptions, VM_BUDGET_NONE), TRAP_NONE);
		assert_int_equal(r, 75025);
		all += preemptions;
		assert_int_equal(on_fiber(&u, '1', 20000, &r, &preemptions, VM_BUDGET_NONE), TRAP_NONE);
		assert_int_equal(r, 20000u * 20001u + 20000u);
		all += preemptions;
	}
	p.stop = true;
	pthread_join(thread, NULL);
	assert_true(all > 100);
	unit_release(&u);
}

static void ends_an_endless_loop_by_its_budget(void **state UNUSED)
{
	struct body b[] = {BODY(0, 0x03, 0x40, 0x0c, 0, 0x0b, 0x20, 0, 0x0b)};  // loop br 0 end
	struct unit u;
	unit_init(&u, b, 1, NULL, NULL, false);
	assert_int_equal(on_fiber(&u, '0', 0, NULL, NULL, (struct vm_budget){20000000, UINT64_MAX}), TRAP_CPU_BUDGET);
	assert_true(vm_trap_info(shard)->nframes >= 1);
	assert_int_equal(vm_trap_info(shard)->frames[0].func, 1);
	assert_ptr_equal(vm_trap_info(shard)->frames[0].module, u.mod);
	unit_release(&u);
}

// L37: frames of a few bytes, of pages, and of more than a stack has.
static void ends_endless_recursion_with_frames_of_any_size(void **state UNUSED)
{
	static const uint32_t locals[] = {0, 1, 100, 5000, 20000, 49000};
	for (size_t i = 0; i < ARRAY_LEN(locals); i++) {
		struct body b[] = {BODY(locals[i], 0x20, 0, 0x10, 1, 0x41, 1, 0x6a, 0x0b)};  // 1 + self(n)
		struct unit u;
		unit_init(&u, b, 1, NULL, NULL, true);
		for (int k = 0; k < 3; k++) {
			assert_int_equal(call(&u, '0', 0, NULL), TRAP_STACK_OVERFLOW);
			assert_int_equal(on_fiber(&u, '0', 0, NULL, NULL, VM_BUDGET_NONE), TRAP_STACK_OVERFLOW);
			assert_true(vm_trap_info(shard)->nframes >= 1);
		}
		unit_release(&u);
	}
}

static void traps_at_the_edge_of_memory(void **state UNUSED)
{
	struct body b[] = {
		BODY(0, 0x20, 0, 0x28, 2, 0, 0x0b),              // i32.load
		BODY(0, 0x20, 0, 0x28, 2, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x0b),                             // i32.load offset=0xffffffff
		BODY(0, 0x20, 0, 0x28, 2, 0xff, 0xff, 0xff, 0xff, 0x07, 0x0b),                             // i32.load offset=0x7fffffff
		BODY(0, 0x20, 0, 0x40, 0, 0x0b),                 // memory.grow
		BODY(0, 0x41, 10, 0x20, 0, 0x6d, 0x0b),             // 10 / n
		BODY(0, 0x20, 0, 0x42, 1, 0x37, 3, 0, 0x20, 0, 0x0b),                                      // i64.store 1 at n
	};
	struct unit u;
	uint32_t r;
	unit_init(&u, b, ARRAY_LEN(b), NULL, NULL, true);
	assert_int_equal(call(&u, '0', 65532, &r), TRAP_NONE);
	assert_int_equal(call(&u, '0', 65533, &r), TRAP_MEMORY_OUT_OF_BOUNDS);
	assert_int_equal(call(&u, '0', UINT32_MAX, &r), TRAP_MEMORY_OUT_OF_BOUNDS);
	assert_int_equal(call(&u, '1', 0, &r), TRAP_MEMORY_OUT_OF_BOUNDS);
	assert_int_equal(call(&u, '1', UINT32_MAX, &r), TRAP_MEMORY_OUT_OF_BOUNDS);
	assert_int_equal(call(&u, '2', UINT32_MAX, &r), TRAP_MEMORY_OUT_OF_BOUNDS);
	assert_int_equal(call(&u, '3', 1, &r), TRAP_NONE);
	assert_int_equal(r, 1);
	assert_int_equal(call(&u, '0', 65533, &r), TRAP_NONE);
	assert_int_equal(call(&u, '0', 131069, &r), TRAP_MEMORY_OUT_OF_BOUNDS);
	assert_int_equal(call(&u, '4', 0, &r), TRAP_DIVIDE_BY_ZERO);
	assert_int_equal(call(&u, '4', 3, &r), TRAP_NONE);
	assert_int_equal(r, 3);
	// L14: a store over the edge writes nothing
	assert_int_equal(call(&u, '5', 131068, &r), TRAP_MEMORY_OUT_OF_BOUNDS);
	assert_int_equal(call(&u, '0', 131068, &r), TRAP_NONE);
	assert_int_equal(r, 0);
	unit_release(&u);
}

// A host function that calls the guest again, with a trap at the bottom.
struct nest {
	struct unit *u;
	int returned;
};

static enum trap host_nests(struct vm_call *c, const uint64_t *args, uint64_t *results)
{
	struct nest *n = c->data;
	uint32_t r = 0;
	enum trap t = args[0] ? call(n->u, '0', (uint32_t)args[0] - 1, &r) : call(n->u, '1', 0, &r);
	n->returned++;
	results[0] = r;
	return t;
}

static void unwinds_entry_by_entry(void **state UNUSED)
{
	struct body b[] = {BODY(0, 0x20, 0, 0x10, 0, 0x41, 1, 0x6a, 0x0b), BODY(0, 0x00, 0x0b)};  // 1 + import(n); unreachable
	struct unit u;
	struct nest n = {&u, 0};
	unit_init(&u, b, 2, host_nests, &n, true);
	for (int i = 0; i < 2; i++) {
		n.returned = 0;
		assert_int_equal(i ? on_fiber(&u, '0', 9, NULL, NULL, VM_BUDGET_NONE) : call(&u, '0', 9, NULL), TRAP_UNREACHABLE);
		assert_int_equal(n.returned, 10);
		if (!i) {
			assert_int_equal(vm_trap_info(shard)->nframes, 11);
			assert_int_equal(vm_trap_info(shard)->frames[0].func, 2);
			assert_int_equal(vm_trap_info(shard)->frames[10].func, 1);
		}
	}
	unit_release(&u);
}

static int setup(void **state UNUSED)
{
	struct err e = {0};
	return vm_shard_new(&shard, &e) ? 0 : -1;
}

static int teardown(void **state UNUSED)
{
	vm_shard_free(shard);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(traps_at_the_edge_of_memory),
		cmocka_unit_test(computes_through_many_preemptions),
		cmocka_unit_test(computes_right_in_a_storm_of_interruptions),
		cmocka_unit_test(ends_an_endless_loop_by_its_budget),
		cmocka_unit_test(ends_endless_recursion_with_frames_of_any_size),
		cmocka_unit_test(unwinds_entry_by_entry),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
