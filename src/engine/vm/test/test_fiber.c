// Fibers, budgets, interruption. Rows: L31, L41, L44, U10, U25.
#include "guests.h"

#include <pthread.h>
#include <time.h>

static struct vm_shard *shard;
static struct guest guest;

static int setup(void **state UNUSED)
{
	struct err e = {0};
	if (!vm_shard_new(&shard, &e))
		return -1;
	guest_init(&guest, 1, 10);
	return 0;
}

static int teardown(void **state UNUSED)
{
	guest_release(&guest);
	vm_shard_free(shard);
	return 0;
}

struct job {
	struct vm_store *st;
	struct vm_instance *inst;
	enum guest_func func;
	uint64_t a, b, result;
	enum trap trap;
	int steps;
};

static void run_job(void *arg)
{
	struct job *j = arg;
	j->trap = guest_call(j->inst, j->func, j->a, j->b, &j->result);
	j->steps++;
}

static void runs_a_call_on_a_fiber(void **state UNUSED)
{
	struct job j = {.func = G_ADD, .a = 1, .b = 2};
	guest_make(shard, &guest, NULL, NULL, NULL, &j.st, &j.inst);
	for (int i = 0; i < 1000; i++) {
		struct vm_fiber *f = vm_fiber_new(shard, run_job, &j);
		assert_int_equal(vm_fiber_resume(f, VM_RESUMED), VM_FIBER_DONE);
		assert_int_equal(j.result, 3);
		vm_fiber_free(f);
	}
	assert_int_equal(j.steps, 1000);
	vm_store_free(j.st);
}

static enum trap host_waits(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	int *state = call->data;
	++*state;
	enum vm_wake w = vm_fiber_park(call->shard);
	++*state;
	if (w == VM_KILLED)
		return vm_fiber_kill_reason(vm_fiber_current(call->shard));
	results[0] = (uint32_t)args[0] + 100;
	return TRAP_NONE;
}

static void parks_in_a_host_function_while_others_run(void **state UNUSED)
{
	struct job j[3];
	struct vm_fiber *f[3];
	int waiting = 0;
	for (int i = 0; i < 3; i++) {
		j[i] = (struct job){.func = G_THROUGH, .a = guest_import_offset(&guest), .b = (uint64_t)i};
		guest_make(shard, &guest, host_waits, &waiting, NULL, &j[i].st, &j[i].inst);
		f[i] = vm_fiber_new(shard, run_job, &j[i]);
		assert_int_equal(vm_fiber_resume(f[i], VM_RESUMED), VM_FIBER_PARKED);
	}
	assert_int_equal(waiting, 3);
	assert_null(vm_fiber_current(shard));
	for (int i = 2; i >= 0; i--) {
		assert_int_equal(vm_fiber_resume(f[i], VM_RESUMED), VM_FIBER_DONE);
		assert_int_equal(j[i].result, i + 101);
		vm_fiber_free(f[i]);
		vm_store_free(j[i].st);
	}
}

// L44: the host function returns, then the entry's frames go.
static void resumes_a_parked_host_function_to_kill_it(void **state UNUSED)
{
	struct job j = {.func = G_THROUGH, .a = guest_import_offset(&guest)};
	int waiting = 0;
	guest_make(shard, &guest, host_waits, &waiting, NULL, &j.st, &j.inst);
	struct vm_fiber *f = vm_fiber_new(shard, run_job, &j);
	assert_int_equal(vm_fiber_resume(f, VM_RESUMED), VM_FIBER_PARKED);
	vm_fiber_kill(f, TRAP_DEADLINE);
	assert_int_equal(vm_fiber_resume(f, VM_KILLED), VM_FIBER_DONE);
	assert_int_equal(waiting, 2);
	assert_int_equal(j.steps, 1);
	assert_int_equal(j.trap, TRAP_DEADLINE);
	assert_true(vm_store_is_poisoned(j.st));
	vm_fiber_free(f);
	vm_store_free(j.st);
}

static void preempts_an_endless_loop_and_kills_it(void **state UNUSED)
{
	struct job j = {.func = G_SPIN};
	guest_make(shard, &guest, NULL, NULL, NULL, &j.st, &j.inst);
	struct vm_fiber *f = vm_fiber_new(shard, run_job, &j);
	for (int i = 0; i < 5; i++)
		assert_int_equal(vm_fiber_resume(f, VM_RESUMED), VM_FIBER_PREEMPTED);
	assert_int_equal(vm_fiber_preemptions(f), 5);
	vm_fiber_kill(f, TRAP_KILLED);
	assert_int_equal(vm_fiber_resume(f, VM_KILLED), VM_FIBER_DONE);
	assert_int_equal(j.trap, TRAP_KILLED);
	assert_int_equal(vm_trap_info(shard)->frames[0].func, G_SPIN);
	vm_fiber_free(f);
	vm_store_free(j.st);
}

static void ends_a_call_whose_budget_is_spent(void **state UNUSED)
{
	for (int which = 0; which < 2; which++) {
		struct job j = {.func = G_SPIN};
		guest_make(shard, &guest, NULL, NULL, NULL, &j.st, &j.inst);
		struct vm_fiber *f = vm_fiber_new(shard, run_job, &j);
		uint64_t begin = sys_now_ns();
		vm_fiber_set_budget(f, which ? (struct vm_budget){UINT64_MAX, begin + 30000000} : (struct vm_budget){20000000, UINT64_MAX});
		enum vm_fiber_state s;
		while ((s = vm_fiber_resume(f, VM_RESUMED)) == VM_FIBER_PREEMPTED)
			;
		assert_int_equal(s, VM_FIBER_DONE);
		assert_int_equal(j.trap, which ? TRAP_DEADLINE : TRAP_CPU_BUDGET);
		assert_true(vm_fiber_cpu_ns(f) < 200000000);
		assert_true(sys_now_ns() - begin < 2000000000);
		vm_fiber_free(f);
		vm_store_free(j.st);
	}
}

// Host code on a fiber, in no guest at all: asked to yield about each millisecond, ended when its budget is spent.
struct host_work {
	uint64_t turns, checks;
	enum trap end;
};

static void work_in_the_host(void *arg)
{
	struct host_work *w = arg;
	for (;;) {
		for (volatile int i = 0; i < 10000; i++)
			;
		w->checks++;
		if (!vm_work_is_due(shard))
			continue;
		w->turns++;
		if (vm_fiber_yield(shard) == VM_KILLED)
			break;
	}
	w->end = vm_fiber_kill_reason(vm_fiber_current(shard));
}

static void host_work_yields_and_ends_with_its_budget(void **state UNUSED)
{
	for (int which = 0; which < 3; which++) {
		struct host_work w = {0};
		struct vm_fiber *f = vm_fiber_new(shard, work_in_the_host, &w);
		uint64_t begin = sys_now_ns();
		if (which < 2)
			vm_fiber_set_budget(f, which ? (struct vm_budget){UINT64_MAX, begin + 30000000} : (struct vm_budget){30000000, UINT64_MAX});
		enum vm_fiber_state s;
		int turns = 0;
		while ((s = vm_fiber_resume(f, VM_RESUMED)) == VM_FIBER_PREEMPTED) {
			if (++turns == 3 && which == 2)
				vm_fiber_kill(f, TRAP_KILLED);
		}
		assert_int_equal(s, VM_FIBER_DONE);
		assert_int_equal(w.end, which == 0 ? TRAP_CPU_BUDGET : which == 1 ? TRAP_DEADLINE
																		  : TRAP_KILLED);
		assert_true(which == 1 || w.turns >= 3);
		vm_fiber_free(f);
	}
	assert_false(vm_work_is_due(shard));
	assert_int_equal(vm_fiber_yield(shard), VM_RESUMED);  // on the thread's own stack
}

// What waits for a core, or sleeps, is not interrupted, however long that takes: the watchdog goes by the thread's CPU time.
static void sleep_a_while(void *arg)
{
	struct timespec t = {.tv_nsec = 30000000};
	nanosleep(&t, NULL);
	*(bool *)arg = vm_work_is_due(shard);
}

static void a_thread_that_did_not_run_is_left_alone(void **state UNUSED)
{
	bool due = true;
	struct vm_fiber *f = vm_fiber_new(shard, sleep_a_while, &due);
	assert_int_equal(vm_fiber_resume(f, VM_RESUMED), VM_FIBER_DONE);
	assert_false(due);
	vm_fiber_free(f);
}

static void runs_two_endless_loops_side_by_side(void **state UNUSED)
{
	struct job j[2];
	struct vm_fiber *f[2];
	for (int i = 0; i < 2; i++) {
		j[i] = (struct job){.func = G_BUSY, .a = 30000000};
		guest_make(shard, &guest, NULL, NULL, NULL, &j[i].st, &j[i].inst);
		f[i] = vm_fiber_new(shard, run_job, &j[i]);
	}
	for (int left = 2, i = 0; left; i ^= 1)
		if (vm_fiber_state(f[i]) != VM_FIBER_DONE && vm_fiber_resume(f[i], VM_RESUMED) == VM_FIBER_DONE)
			left--;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(j[i].trap, TRAP_NONE);
		assert_int_equal(j[i].result, BUSY_RESULT);
		vm_fiber_free(f[i]);
		vm_store_free(j[i].st);
	}
}

// A second thread that signals far more often than the watchdog does.
struct pest {
	int tid;
	_Atomic bool stop;
	uint64_t sent;
};

static void *pester(void *arg)
{
	struct pest *p = arg;
	while (!p->stop) {
		sys_thread_signal(p->tid, 23 /* SIGURG */);
		p->sent++;
		for (volatile int i = 0; i < 2000; i++)
			;
	}
	return NULL;
}

// 10,000 interruptions at arbitrary instructions (a machine that is busy gets to fewer in a minute, and has longer for the first 1,000): every register,
// flag and vector register is what it was.
static void survives_ten_thousand_interruptions(void **state UNUSED)
{
	struct pest p = {.tid = sys_thread_id()};
	pthread_t thread;
	struct job j = {.func = G_BUSY, .a = 2000000};
	uint64_t preemptions = 0;
	guest_make(shard, &guest, NULL, NULL, NULL, &j.st, &j.inst);
	assert_int_equal(pthread_create(&thread, NULL, pester, &p), 0);
	uint64_t begin = sys_now_ns();
	while (preemptions < 10000 && sys_now_ns() - begin < (preemptions < 1000 ? 240 : 60) * SECOND) {
		struct vm_fiber *f = vm_fiber_new(shard, run_job, &j);
		j.result = 0;
		while (vm_fiber_resume(f, VM_RESUMED) != VM_FIBER_DONE)
			;
		assert_int_equal(j.trap, TRAP_NONE);
		assert_int_equal(j.result, BUSY_RESULT);
		preemptions += vm_fiber_preemptions(f);
		vm_fiber_free(f);
	}
	p.stop = true;
	pthread_join(thread, NULL);
	assert_true(preemptions >= 1000);
	vm_store_free(j.st);
}

// What runs meanwhile uses the vector registers, too.
static void clobber_vectors(struct vm_fiber *f UNUSED, void *arg)
{
	++*(uint64_t *)arg;
	__asm__ volatile("vpcmpeqd %%xmm0, %%xmm0, %%xmm0\n vinsertf128 $1, %%xmm0, %%ymm0, %%ymm0\n vmovaps %%ymm0, %%ymm7\n vmovaps %%ymm0, %%ymm15\n"
					 "vmovaps %%ymm0, %%ymm1\n vmovaps %%ymm0, %%ymm8\n vzeroupper"
		:
		:
		: "xmm0", "xmm1", "xmm7", "xmm8", "xmm15");
}

static void upper_halves_of_vector_registers_survive_a_preemption(void **state UNUSED)
{
	if (!__builtin_cpu_supports("avx"))
		skip();
	struct pest p = {.tid = sys_thread_id()};
	pthread_t thread;
	struct job j = {.func = G_WIDE, .a = 200000};
	uint64_t clobbered = 0, begin = sys_now_ns();
	guest_make(shard, &guest, NULL, NULL, NULL, &j.st, &j.inst);
	uint8_t *memory = vm_memory_base(vm_instance_extern(j.inst, WASM_EXTERN_MEMORY, 0).memory);
	for (int i = 0; i < 512; i++)
		memory[i] = (uint8_t)(i * 7 + (i >> 8));
	vm_shard_set_on_preempted(shard, clobber_vectors, &clobbered);
	assert_int_equal(pthread_create(&thread, NULL, pester, &p), 0);
	while (clobbered < 300 && sys_now_ns() - begin < 60000000000ull) {
		struct vm_fiber *f = vm_fiber_new(shard, run_job, &j);
		memset(memory + 512, 0, 512);
		while (vm_fiber_resume(f, VM_RESUMED) != VM_FIBER_DONE)
			;
		assert_int_equal(j.trap, TRAP_NONE);
		assert_memory_equal(memory + 512, memory, 512);
		vm_fiber_free(f);
	}
	p.stop = true;
	pthread_join(thread, NULL);
	vm_shard_set_on_preempted(shard, NULL, NULL);
	assert_true(clobbered >= 30);
	vm_store_free(j.st);
}

// The same while guest and host call each other all the time: stubs, trampolines, libcalls, host code, landing pads.
static enum trap host_doubles(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	uint64_t r = 0;
	enum trap t = guest_call(call->data ? *(struct vm_instance **)call->data : NULL, G_ADD, args[0], args[0], &r);
	results[0] = r;
	return t;
}

static void run_many(void *arg)
{
	struct job *j = arg;
	for (int i = 0; i < 20000; i++) {
		uint64_t r = 0;
		if (guest_call(j->inst, G_THROUGH, j->a, 21, &r) != TRAP_NONE || r != 43)
			j->steps++;
		if (i % 16 == 0 && guest_call(j->inst, G_RECURSE, 0, 0, NULL) != TRAP_STACK_OVERFLOW)
			j->steps++;
		if (i % 16 == 1 && guest_call(j->inst, G_LOAD, 70000, 0, NULL) != TRAP_MEMORY_OUT_OF_BOUNDS)
			j->steps++;
	}
}

static void is_interrupted_anywhere(void **state UNUSED)
{
	struct pest p = {.tid = sys_thread_id()};
	pthread_t thread;
	struct job j = {.a = guest_import_offset(&guest)};
	struct vm_limits limits = VM_LIMITS_DEFAULT;
	limits.survives_traps = true;
	guest_make(shard, &guest, host_doubles, &j.inst, &limits, &j.st, &j.inst);
	assert_int_equal(pthread_create(&thread, NULL, pester, &p), 0);
	struct vm_fiber *f = vm_fiber_new(shard, run_many, &j);
	while (vm_fiber_resume(f, VM_RESUMED) != VM_FIBER_DONE)
		;
	p.stop = true;
	pthread_join(thread, NULL);
	assert_int_equal(j.steps, 0);
	vm_fiber_free(f);
	vm_store_free(j.st);
}

// A fiber that resumes another one (a call chain over two stacks).
static void resume_inner(void *arg)
{
	struct vm_fiber *inner = arg;
	while (vm_fiber_resume(inner, VM_RESUMED) == VM_FIBER_PREEMPTED)
		;
}

static void nests_fibers(void **state UNUSED)
{
	struct job j = {.func = G_BUSY, .a = 30000000};
	guest_make(shard, &guest, NULL, NULL, NULL, &j.st, &j.inst);
	struct vm_fiber *inner = vm_fiber_new(shard, run_job, &j), *outer = vm_fiber_new(shard, resume_inner, inner);
	assert_int_equal(vm_fiber_resume(outer, VM_RESUMED), VM_FIBER_DONE);
	assert_int_equal(vm_fiber_state(inner), VM_FIBER_DONE);
	assert_int_equal(j.result, BUSY_RESULT);
	assert_true(vm_fiber_cpu_ns(outer) < vm_fiber_cpu_ns(inner));
	vm_fiber_free(inner);
	vm_fiber_free(outer);
	vm_store_free(j.st);
}

static void ends_endless_recursion_on_a_fiber(void **state UNUSED)
{
	struct job j = {.func = G_RECURSE};
	guest_make(shard, &guest, NULL, NULL, NULL, &j.st, &j.inst);
	struct vm_fiber *f = vm_fiber_new(shard, run_job, &j);
	assert_int_equal(vm_fiber_resume(f, VM_RESUMED), VM_FIBER_DONE);
	assert_int_equal(j.trap, TRAP_STACK_OVERFLOW);
	vm_fiber_free(f);
	vm_store_free(j.st);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_a_call_on_a_fiber),
		cmocka_unit_test(parks_in_a_host_function_while_others_run),
		cmocka_unit_test(resumes_a_parked_host_function_to_kill_it),
		cmocka_unit_test(preempts_an_endless_loop_and_kills_it),
		cmocka_unit_test(ends_a_call_whose_budget_is_spent),
		cmocka_unit_test(host_work_yields_and_ends_with_its_budget),
		cmocka_unit_test(a_thread_that_did_not_run_is_left_alone),
		cmocka_unit_test(runs_two_endless_loops_side_by_side),
		cmocka_unit_test(survives_ten_thousand_interruptions),
		cmocka_unit_test(upper_halves_of_vector_registers_survive_a_preemption),
		cmocka_unit_test(is_interrupted_anywhere),
		cmocka_unit_test(nests_fibers),
		cmocka_unit_test(ends_endless_recursion_on_a_fiber),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
