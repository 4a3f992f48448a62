// Fibers, budgets, interruption. Rows: L31, L41, L44, U10, U25.
#include "guests.h"

#include <pthread.h>
#include <time.h>

#include "vm/vm_int.h"

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

// `arg`: an instance to call before, or NULL.
static void parks_once(void *arg)
{
	uint64_t sum;
	if (arg)
		guest_call(arg, G_ADD, 1, 2, &sum);
	vm_fiber_park(shard);
}

// Page faults are a store's while something runs in it; who waits outside of any names none, since that may be gone when it goes on.
static void a_fiber_that_waits_outside_of_any_store_keeps_none(void **state UNUSED)
{
	struct vm_store *stores[2];
	struct vm_instance *instances[2];
	uint64_t sum;
	for (int i = 0; i < 2; i++) {
		guest_make(shard, &guest, NULL, NULL, NULL, &stores[i], &instances[i]);
		assert_int_equal(guest_call(instances[i], G_ADD, 1, 2, &sum), TRAP_NONE);
	}
	struct vm_fiber *f = vm_fiber_new(shard, parks_once, NULL), *was_in = vm_fiber_new(shard, parks_once, instances[1]);
	assert_int_equal(vm_fiber_resume(f, VM_RESUMED), VM_FIBER_PARKED);
	assert_null(f->owner);
	assert_int_equal(vm_fiber_resume(was_in, VM_RESUMED), VM_FIBER_PARKED);
	assert_ptr_equal(was_in->owner, stores[1]);
	assert_int_equal(guest_call(instances[0], G_ADD, 1, 2, &sum), TRAP_NONE);
	vm_store_free(stores[1]);
	assert_null(was_in->owner);
	assert_int_equal(vm_fiber_resume(was_in, VM_RESUMED), VM_FIBER_DONE);
	assert_int_equal(vm_fiber_resume(f, VM_RESUMED), VM_FIBER_DONE);
	assert_int_equal(stores[0]->named, 0);
	assert_int_equal(guest_call(instances[0], G_ADD, 1, 2, &sum), TRAP_NONE);
	vm_fiber_free(f);
	vm_fiber_free(was_in);
	vm_store_free(stores[0]);
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
	assert_int_equal(vm_trap_info(shard)->frames.list[0].func, G_SPIN);
	vm_fiber_free(f);
	vm_store_free(j.st);
}

struct killer {
	_Atomic(struct vm_fiber *) next;
	_Atomic unsigned killed;
	_Atomic bool over;
};

static void *kill_each(void *arg)
{
	struct killer *k = arg;
	while (!k->over) {
		struct vm_fiber *f = atomic_exchange(&k->next, NULL);
		if (f) {
			vm_fiber_kill(f, TRAP_KILLED);
			k->killed++;
		}
	}
	return NULL;
}

static void another_thread_kills_what_runs_or_is_about_to(void **state UNUSED)
{
	struct killer k = {0};
	struct sys_thread thread;
	assert_int_equal(sys_thread_new(&thread, kill_each, &k), 0);
	for (unsigned i = 0; i < 100; i++) {
		struct job j = {.func = G_SPIN};
		guest_make(shard, &guest, NULL, NULL, NULL, &j.st, &j.inst);
		struct vm_fiber *f = vm_fiber_new(shard, run_job, &j);
		atomic_store(&k.next, f);
		while (vm_fiber_resume(f, VM_RESUMED) == VM_FIBER_PREEMPTED)
			;
		assert_int_equal(j.trap, TRAP_KILLED);
		while (k.killed <= i)
			;
		vm_fiber_free(f);
		vm_store_free(j.st);
	}
	k.over = true;
	sys_thread_join(&thread);
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

// Turns of some microseconds, each ended by a park: none is long enough to be interrupted.
static void work_and_park(void *arg)
{
	struct host_work *w = arg;
	do {
		for (volatile int i = 0; i < 10000; i++)
			;
		w->turns++;
	} while (vm_fiber_park(shard) == VM_RESUMED);
	w->end = vm_fiber_kill_reason(vm_fiber_current(shard));
}

static void turns_that_end_in_a_park_are_counted_and_end_with_the_budget(void **state UNUSED)
{
	struct host_work w = {0};
	struct vm_fiber *f = vm_fiber_new(shard, work_and_park, &w);
	vm_fiber_set_budget(f, (struct vm_budget){20000000, UINT64_MAX});
	while (w.turns < 10000000 && vm_fiber_resume(f, VM_RESUMED) == VM_FIBER_PARKED)
		;
	assert_int_equal(vm_fiber_state(f), VM_FIBER_DONE);
	assert_int_equal(w.end, TRAP_CPU_BUDGET);
	assert_true(w.turns > 10 && vm_fiber_cpu_ns(f) >= 20000000 && vm_fiber_cpu_ns(f) < 200000000);
	vm_fiber_free(f);
}

// Two that go on in each other's turn, at the expense of one budget: no park of the one ends a turn, and the turn is still interrupted.
struct resuming {
	struct vm_fiber *other;
	unsigned turns;
	enum trap end;
};

static void park_for_ever(void *arg UNUSED)
{
	while (vm_fiber_park(shard) == VM_RESUMED)
		;
}

static void resume_for_ever(void *arg)
{
	struct resuming *r = arg;
	while (r->turns++ < 50000000 && vm_fiber_resume(r->other, VM_RESUMED) == VM_FIBER_PARKED)
		if (vm_work_is_due(shard) && vm_fiber_yield(shard) == VM_KILLED)
			break;
	r->end = vm_fiber_kill_reason(vm_fiber_current(shard));
}

static void who_resumes_another_of_his_budget_for_ever_is_ended(void **state UNUSED)
{
	for (int deadline = 0; deadline < 2; deadline++) {
		struct resuming r = {0};
		struct vm_fiber *f = vm_fiber_new(shard, resume_for_ever, &r);
		r.other = vm_fiber_new(shard, park_for_ever, NULL);
		vm_fiber_share_budget(r.other, f);
		vm_fiber_set_budget(f, deadline ? (struct vm_budget){UINT64_MAX, sys_now_ns() + 30000000} : (struct vm_budget){20000000, UINT64_MAX});
		while (vm_fiber_resume(f, VM_RESUMED) == VM_FIBER_PREEMPTED)
			;
		assert_int_equal(r.end, deadline ? TRAP_DEADLINE : TRAP_CPU_BUDGET);
		vm_fiber_resume(r.other, VM_KILLED);
		vm_fiber_free(r.other);
		vm_fiber_free(f);
	}
}

// It may have waited for another that shares the budget, and was ended by that first.
static void who_waited_until_his_deadline_is_over_goes_on_no_more(void **state UNUSED)
{
	struct host_work w = {0};
	struct vm_fiber *f = vm_fiber_new(shard, work_and_park, &w);
	uint64_t deadline = sys_now_ns() + 3600 * SECOND;
	vm_fiber_set_budget(f, (struct vm_budget){UINT64_MAX, deadline});
	assert_int_equal(vm_fiber_resume(f, VM_RESUMED), VM_FIBER_PARKED);
	assert_int_equal(vm_fiber_resume(f, VM_RESUMED), VM_FIBER_PARKED);
	vm_fiber_set_budget(f, (struct vm_budget){UINT64_MAX, sys_now_ns()});
	assert_int_equal(vm_fiber_resume(f, VM_RESUMED), VM_FIBER_DONE);
	assert_int_equal(w.end, TRAP_DEADLINE);
	assert_int_equal(w.turns, 2);
	vm_fiber_free(f);
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

// Between the flag that says that the watchdog sleeps and its last look somebody may come: then it has its whole time again. It went to sleep at once then, with
// a flag that who came just behind that look could not have seen.
static void the_watchdog_that_was_woken_stays_awake_for_a_while(void **state UNUSED)
{
	struct timespec moment = {.tv_nsec = 50000};
	struct job j = {.func = G_ADD, .a = 1, .b = 2};
	guest_make(shard, &guest, NULL, NULL, NULL, &j.st, &j.inst);
	for (int i = 0; i < 4; i++) {
		struct vm_fiber *f = vm_fiber_new(shard, run_job, &j);
		while (!vm__watchdog_asleep)
			nanosleep(&moment, NULL);
		uint64_t end = sys_now_ns() + 6 * MILLISECOND;  // three ticks and more
		assert_int_equal(vm_fiber_resume(f, VM_RESUMED), VM_FIBER_DONE);
		vm_fiber_free(f);
		for (;;) {
			bool asleep = vm__watchdog_asleep;
			if (sys_now_ns() >= end)
				break;
			assert_false(asleep);
			nanosleep(&moment, NULL);
		}
	}
	vm_store_free(j.st);
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

// Sleeps on its turn, as a thread that others keep from running.
static void sleep_and_ask(void *arg)
{
	struct host_work *w = arg;
	const struct vm_fiber *f = vm_fiber_current(shard);
	nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
	uint64_t before = vm_fiber_cpu_ns(f);  // since when it is told apart is known then
	nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	w->checks = vm_fiber_cpu_left_ns(f) + before;
	w->turns = vm_fiber_cpu_ns(f) - before;
}

static void what_is_used_and_left_is_time_on_a_processor_also_while_it_runs(void **state UNUSED)
{
	struct host_work w = {0};
	struct vm_fiber *f = vm_fiber_new(shard, sleep_and_ask, &w);
	vm_fiber_set_budget(f, (struct vm_budget){1000000000, UINT64_MAX});
	assert_int_equal(vm_fiber_resume(f, VM_RESUMED), VM_FIBER_DONE);
	assert_true(w.turns < 25000000 && w.checks > 1000000000 - 25000000);
	assert_true(vm_fiber_cpu_ns(f) >= w.turns);
	vm_fiber_free(f);
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

// Also a guest that should never have come to it ends within its stack.
static void fibers_for_host_code_have_small_stacks_of_their_own(void **state UNUSED)
{
	struct job j = {.func = G_RECURSE};
	guest_make(shard, &guest, NULL, NULL, NULL, &j.st, &j.inst);
	struct vm_fiber *large = vm_fiber_new(shard, parks_once, NULL), *small = vm_fiber_new_for_host(shard, parks_once, NULL);
	assert_true(small->high - small->low >= VM__STACK_MARGIN);
	assert_true(8 * (small->high - (uintptr_t)small->mapped) <= 2 * MIB);
	assert_true(large->high - large->low > MIB);
	for (int i = 0; i < 2; i++) {
		enum vm_fiber_state want = i ? VM_FIBER_DONE : VM_FIBER_PARKED;
		assert_int_equal(vm_fiber_resume(large, VM_RESUMED), want);
		assert_int_equal(vm_fiber_resume(small, VM_RESUMED), want);
	}
	vm_fiber_free(large);
	vm_fiber_free(small);
	struct vm_fiber *again = vm_fiber_new(shard, run_job, &j), *also = vm_fiber_new_for_host(shard, run_job, &j);
	assert_ptr_equal(again, large);
	assert_ptr_equal(also, small);
	assert_int_equal(vm_fiber_resume(also, VM_RESUMED), VM_FIBER_DONE);
	assert_int_equal(j.trap, TRAP_STACK_OVERFLOW);
	vm_fiber_free(again);
	vm_fiber_free(also);
	vm_shard_trim_stacks(shard);
	vm_store_free(j.st);
}

// ---- bulk operations in pieces ----------------------------------------------------------------------------------------------------------
enum { BULK_BYTES = 8 * MIB, BULK_ELEMENTS = 1000000 };
enum bulk_op { BULK_FILL, BULK_COPY, BULK_COPY_BACKWARD, BULK_INIT, BULK_TABLE_FILL, BULK_TABLE_COPY, BULK_TABLE_INIT, BULK_TABLE_GROW, BULK_OPS };

struct bulk {
	struct vm_instance *inst;
	enum bulk_op op;
	bool kill;
	enum trap trap;
};

static enum trap bulk_operate(struct abi_vmctx *ctx, enum bulk_op op)
{
	switch (op) {
	case BULK_FILL:
		return vm__libcalls.memory_fill(ctx, 0, 1, 7, BULK_BYTES - 1);
	case BULK_COPY:
		return vm__libcalls.memory_copy(ctx, 0, 0, 1, BULK_BYTES, BULK_BYTES - 1);
	case BULK_COPY_BACKWARD:
		return vm__libcalls.memory_copy(ctx, 0, 0, BULK_BYTES / 2 + 1, BULK_BYTES / 2, BULK_BYTES);
	case BULK_INIT:
		return vm__libcalls.memory_init(ctx, 0, 0, 1, 0, BULK_BYTES - 1);
	case BULK_TABLE_FILL:
		return vm__libcalls.table_fill(ctx, 0, 1, 7, BULK_ELEMENTS - 1);
	case BULK_TABLE_COPY:
		return vm__libcalls.table_copy(ctx, 0, 0, 1, BULK_ELEMENTS, BULK_ELEMENTS - 1);
	case BULK_TABLE_INIT:
		return vm__libcalls.table_init(ctx, 0, 0, 1, 0, BULK_ELEMENTS - 1);
	default:
		return vm__libcalls.table_grow(ctx, 0, 7, BULK_ELEMENTS);
	}
}

static void run_bulk(void *arg)
{
	struct bulk *b = arg;
	if (b->kill)
		vm_fiber_kill(vm_fiber_current(shard), TRAP_KILLED);
	else
		__atomic_store_n(&shard->exec.interrupt, 1, __ATOMIC_RELAXED);
	b->trap = bulk_operate(vm_instance_vmctx(b->inst), b->op);
}

// Whether the operation reached the end of what it was to write; it began, in any case.
static bool bulk_is_whole(const struct vm_instance *inst, enum bulk_op op)
{
	const uint8_t *bytes = vm_memory_base(vm_instance_extern(inst, WASM_EXTERN_MEMORY, 0).memory);
	const struct vm_table *t = vm_instance_extern(inst, WASM_EXTERN_TABLE, 0).table;
	uint32_t first = 0, last = 0;
	if (op == BULK_TABLE_GROW)
		return vm_table_length(t) == 3 * BULK_ELEMENTS && vm_table_get(t, 3 * BULK_ELEMENTS - 1, &last) && last == 7;
	if (op < BULK_TABLE_FILL)
		return op == BULK_COPY_BACKWARD ? bytes[BULK_BYTES / 2 + 1] == 5 : bytes[1] && bytes[BULK_BYTES - 1];
	assert_true(vm_table_get(t, 1, &first) && vm_table_get(t, BULK_ELEMENTS - 1, &last));
	assert_int_not_equal(first, 0);
	return last != 0;
}

static void bulk_operations_give_way_and_end_between_pieces_L31(void **state UNUSED)
{
	static uint32_t funcs[BULK_ELEMENTS];
	struct vm_limits limits = {.memory = 64 * MIB, .table_elements = 4 * BULK_ELEMENTS, .stack = MIB};
	uint8_t *segment = mem_zalloc(BULK_BYTES);
	struct guest big;
	assert_non_null(segment);
	memset(segment, 9, BULK_BYTES);
	for (uint32_t i = 0; i < BULK_ELEMENTS; i++)
		funcs[i] = G_ADD;
	guest_init(&big, 2 * BULK_BYTES / 65536, 2 * BULK_BYTES / 65536);
	big.data.bytes = (struct slice){segment, BULK_BYTES};
	big.elem.count = BULK_ELEMENTS;
	big.elem.funcs = funcs;
	big.table.type.limits.min = 2 * BULK_ELEMENTS;
	for (enum bulk_op op = 0; op < BULK_OPS; op++) {
		for (int kill = 0; kill < 2; kill++) {
			struct vm_store *st;
			struct bulk b = {.op = op, .kill = kill};
			guest_make(shard, &big, NULL, NULL, &limits, &st, &b.inst);
			uint8_t *bytes = vm_memory_base(vm_instance_extern(b.inst, WASM_EXTERN_MEMORY, 0).memory);
			memset(bytes + BULK_BYTES, 5, BULK_BYTES);
			bytes[BULK_BYTES / 2] = op == BULK_COPY_BACKWARD ? 5 : 0;
			for (uint64_t i = BULK_ELEMENTS; op == BULK_TABLE_COPY && i < 2 * BULK_ELEMENTS; i++)
				assert_true(vm_table_set(vm_instance_extern(b.inst, WASM_EXTERN_TABLE, 0).table, i, 7));
			struct vm_fiber *f = vm_fiber_new(shard, run_bulk, &b);
			while (vm_fiber_resume(f, VM_RESUMED) == VM_FIBER_PREEMPTED)
				;
			assert_int_equal(b.trap, kill ? TRAP_KILLED : TRAP_NONE);
			assert_true(kill || vm_fiber_preemptions(f) > 0);
			assert_int_equal(bulk_is_whole(b.inst, op), !kill);
			vm_fiber_free(f);
			vm_store_free(st);
		}
	}
	guest_release(&big);
	mem_free(segment);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_a_call_on_a_fiber),
		cmocka_unit_test(a_fiber_that_waits_outside_of_any_store_keeps_none),
		cmocka_unit_test(parks_in_a_host_function_while_others_run),
		cmocka_unit_test(resumes_a_parked_host_function_to_kill_it),
		cmocka_unit_test(preempts_an_endless_loop_and_kills_it),
		cmocka_unit_test(another_thread_kills_what_runs_or_is_about_to),
		cmocka_unit_test(ends_a_call_whose_budget_is_spent),
		cmocka_unit_test(host_work_yields_and_ends_with_its_budget),
		cmocka_unit_test(turns_that_end_in_a_park_are_counted_and_end_with_the_budget),
		cmocka_unit_test(what_is_used_and_left_is_time_on_a_processor_also_while_it_runs),
		cmocka_unit_test(who_resumes_another_of_his_budget_for_ever_is_ended),
		cmocka_unit_test(who_waited_until_his_deadline_is_over_goes_on_no_more),
		cmocka_unit_test(bulk_operations_give_way_and_end_between_pieces_L31),
		cmocka_unit_test(a_thread_that_did_not_run_is_left_alone),
		cmocka_unit_test(the_watchdog_that_was_woken_stays_awake_for_a_while),
		cmocka_unit_test(runs_two_endless_loops_side_by_side),
		cmocka_unit_test(survives_ten_thousand_interruptions),
		cmocka_unit_test(upper_halves_of_vector_registers_survive_a_preemption),
		cmocka_unit_test(is_interrupted_anywhere),
		cmocka_unit_test(nests_fibers),
		cmocka_unit_test(ends_endless_recursion_on_a_fiber),
		cmocka_unit_test(fibers_for_host_code_have_small_stacks_of_their_own),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
