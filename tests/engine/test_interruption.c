// Asynchronous interruption: a guest that does everything is stopped ten thousand times and more, at every kind of place, and its sum is right.
// PROGRAM(test_interruption, "comp code vm tier cmocka threads", "")
#include "guest.h"

#include <pthread.h>
#include <signal.h>
#include <ucontext.h>

#include "code/code.h"

// run(n): for i = n … 1: sum = sum * 31 + (i of the host) + fib(i & 7) + table[i & 1](i) + grow(i % 1024 == 0) + bulk operations' words
// + float arithmetic + a jump table + what a handler catches, with 12 values alive all along.
#define WORKER                                                                                                                                                                            \
	MODULE TYPES "[ 03 60 01 7f 01 7f 60 01 7f 01 7e 60 01 7f 00 ] " IMPORTS "[ 01 00 00 00 00 ] " FUNCS "[ 05 00 00 00 01 00 ] " TABLES "[ 01 70 00 04 ] " MEMORIES "[ 01 01 02 #500 ] " \
				 "0d [ 01 00 02 ] " EXPORTS "[ 01 'run' 00 04 ] " ELEMS "[ 01 00 i32.const #0 end 02 02 03 ] " DATA_COUNT "01 01 " CODE                                                   \
				 "[ 05 " FIB TWICE TABLE_OF_JUMPS RUN THROWS "] " DATA "[ 01 01 #8 11 22 33 44 55 66 77 08 ] "
#define FIB                                                                                                                                \
	"[ 00 local.get #0 i32.const #2 i32.lt_u if 7f local.get #0 else local.get #0 i32.const #1 i32.sub call #1 local.get #0 i32.const #2 " \
	"i32.sub call #1 i32.add end end ] "
#define TWICE "[ 00 local.get #0 i32.const #1 i32.shl end ] "
#define TABLE_OF_JUMPS                                                                                                                     \
	"[ 00 block 40 block 40 block 40 local.get #0 i32.const #3 i32.and br_table #2 #0 #1 #2 end i32.const #100 return end i32.const #200 " \
	"return end i32.const #300 end ] "
#define THROWS "[ 00 local.get #0 i32.const #3 i32.mul throw #0 end ] "
// Adds what the host function gives.
#define HOST "local.get #0 call #0 i64.extend_i32_u i64.add "
#define RUN                                                                                                         \
	"[ 02 #1 7e #2 7c loop 40 local.get #1 i64.const #31 i64.mul " HOST                                             \
	"local.get #0 i32.const #7 i32.and call #1 i64.extend_i32_u i64.add "                                           \
	"local.get #0 local.get #0 i32.const #1 i32.and call_indirect #0 #0 i64.extend_i32_u i64.add "                  \
	"local.get #0 i32.const #15 i32.and i32.eqz memory.grow #0 i64.extend_i32_u i64.add " HOST                      \
	"i32.const #1000 local.get #0 i32.const #600 memory.fill #0 " HOST                                              \
	"i32.const #3001 i32.const #2600 i32.const #700 memory.copy #0 #0 " HOST                                        \
	"i32.const #3599 i32.const #0 i32.const #8 memory.init #0 #0 " HOST "i32.const #3597 i64.load #0 #0 i64.add "   \
	"local.get #2 f64.const 00 00 00 00 00 00 f8 3f f64.add local.tee #2 f64.sqrt local.set #3 "                    \
	"local.get #2 local.get #3 f64.min i64.trunc_sat_f64_u i64.add " HOST                                           \
	"i32.const #2 i32.const #0 table.get #0 i32.const #1 table.fill #0 " HOST                                       \
	"block 7f try_table 7f 01 00 00 00 local.get #0 call #5 end end i64.extend_i32_u i64.add " HOST "local.set #1 " \
	"local.get #0 i32.const #1 i32.sub local.tee #0 br_if #0 end local.get #1 end ] "

static enum trap host_same(struct vm_call *call, const uint64_t *args, uint64_t *results);

static uint64_t run_alone(uint32_t n)
{
	struct guest g;
	guest_init_host(&g, WORKER, host_same, NULL, &ample);
	assert_int_equal(vm_instance_initialize(g.inst), TRAP_NONE);
	uint64_t r = result_of(&g, "run", ARGS(n));  // on the thread's own stack nothing interrupts it
	guest_release(&g);
	return r;
}

// ---- signals from another thread ----------------------------------------------------------------------------------------------------
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

static void computes_right_in_a_storm_of_signals_L31(void **state UNUSED)
{
	enum { N = 3000, ENOUGH = 20 };  // on a busy machine the other thread seldom runs
	struct pest p = {.tid = sys_thread_id()};
	pthread_t thread;
	uint64_t want = run_alone(N), r, preemptions, all = 0, begin = sys_now_ns();
	assert_int_equal(pthread_create(&thread, NULL, pester, &p), 0);
	while (all < 3000 && sys_now_ns() - begin < (all < ENOUGH ? 120000000000ull : 3000000000ull)) {
		struct guest g;
		guest_init_host(&g, WORKER, host_same, NULL, &ample);
		assert_int_equal(vm_instance_initialize(g.inst), TRAP_NONE);
		assert_int_equal(guest_on_fiber(&g, "run", ARGS(N), &r, &preemptions, VM_BUDGET_NONE), TRAP_NONE);
		assert_true(r == want);
		all += preemptions;
		guest_release(&g);
	}
	p.stop = true;
	pthread_join(thread, NULL);
	assert_true(all >= ENOUGH);  // as many as the scheduler lets the other thread send; the exact places are the next test's
}

// ---- at chosen instructions -----------------------------------------------------------------------------------------------------------
// The processor's trap flag brings SIGTRAP after each instruction of the fiber. The handler signals the interruption for the n-th of them, which
// is then delivered exactly there. In guest code the preemption stub saves the flag with the others, so that stepping goes on with the guest; the
// first step in the stub takes it away until then. A step costs ten microseconds and more, so that most ways through the runtime are not stepped:
// the host function, which the guest calls after each of them, sets the flag again.
enum place { PROLOGUE, BODY, STUB, LIBCALL, PLACES };  // STUB: of the module's code; those of room vm count as the runtime
static uint64_t steps, steps_left, at_place[PLACES], ways_in, stub_steps;
static enum place last_place;
static bool armed, in_guest, flag_is_saved, stop_here;

static void set_trap_flag(void)
{
	__asm__ volatile("pushfq\n orq $0x100, (%%rsp)\n popfq" ::: "memory", "cc");
}

static enum trap host_same(struct vm_call *call UNUSED, const uint64_t *args, uint64_t *results)
{
	results[0] = args[0];
	stop_here = false;
	if (armed)
		set_trap_flag();
	return TRAP_NONE;
}

static enum place place_of(const void *pc)
{
	const struct code_object *o = code_find(pc);
	struct code_place where;
	if (!o)
		return LIBCALL;
	if (!code_object_place(o, pc, &where))
		return STUB;
	for (uint32_t f = 0; f < 5; f++) {
		const uint8_t *entry = code_object_func(o, f);
		if ((const uint8_t *)pc >= entry && (const uint8_t *)pc < entry + 16)
			return PROLOGUE;
	}
	return BODY;
}

static void on_step(int sig UNUSED, siginfo_t *info UNUSED, void *ucontext)
{
	greg_t *regs = ((ucontext_t *)ucontext)->uc_mcontext.gregs;
	const void *pc = (const void *)(uintptr_t)regs[REG_RIP];
	steps++;
	if (!armed) {
		regs[REG_EFL] &= ~0x100ll;
		return;
	}
	enum place place = place_of(pc), before = last_place;
	last_place = place;
	in_guest |= place != LIBCALL;  // before that the scheduler is still on its way
	if (!in_guest)
		return;
	if (place == LIBCALL && before != LIBCALL) {
		stop_here = ways_in++ % 3 == 0;
		steps_left = stop_here ? 1 + ways_in % 97 : steps_left;
	}
	if (place == LIBCALL && !stop_here && before != LIBCALL)
		regs[REG_EFL] &= ~0x100ll;
	if (place == STUB && stub_steps++ % 3)  // a check of the stack that is interrupted is made again: it must get on
		return;
	if ((place == LIBCALL && !stop_here) || --steps_left)
		return;
	flag_is_saved = place == PROLOGUE || place == BODY;
	if (!flag_is_saved)
		regs[REG_EFL] &= ~0x100ll;
	armed = false;
	at_place[place]++;
	sys_thread_signal(sys_thread_id(), SIGURG);  // blocked until this handler returns
}

static enum vm_fiber_state resume_and_stop_after(struct vm_fiber *f, uint64_t after)
{
	steps_left = after;
	armed = true;
	in_guest = flag_is_saved;
	flag_is_saved = false;
	enum vm_fiber_state s = vm_fiber_resume(f, VM_RESUMED);
	armed = false;
	return s;
}

static bool stopped_everywhere(uint64_t stops)
{
	return at_place[PROLOGUE] >= stops / 100 && at_place[BODY] >= stops / 100 && at_place[STUB] + at_place[LIBCALL] >= stops / 200;
}

static void computes_right_when_stopped_at_every_instruction_L31(void **state UNUSED)
{
#if SANITIZE_THREAD
	skip();  // each step's handler takes steps in the sanitizer: it does not end
#endif
#if SANITIZE_ADDRESS
	enum { N = 40, WANTED = 500 };
#else
	enum { N = 17, WANTED = 10000 };
#endif
	uint64_t want = run_alone(N), stops = 0, random = 1, begin = sys_now_ns();
	while ((stops < WANTED || !stopped_everywhere(stops)) && sys_now_ns() - begin < 60000000000ull) {
		struct guest g;
		guest_init_host(&g, WORKER, host_same, NULL, &ample);
		assert_int_equal(vm_instance_initialize(g.inst), TRAP_NONE);
		struct sigaction act = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
		sigaddset(&act.sa_mask, SIGURG);
		assert_int_equal(sigaction(SIGTRAP, &act, NULL), 0);
		struct guest_job j = {.g = &g, .name = "run", .args = ARGS(N)};
		struct vm_fiber *f = vm_fiber_new(shard, guest_run_job, &j);
		while (resume_and_stop_after(f, 1 + (random = random * 6364136223846793005ull + 1442695040888963407ull) / (1ull << 62)) != VM_FIBER_DONE)
			;
		assert_int_equal(j.trap, TRAP_NONE);
		assert_true(j.result[0] == want);
		stops += vm_fiber_preemptions(f);
		vm_fiber_free(f);
		guest_release(&g);
	}
	sys_signal_default(SIGTRAP);
	print_message("# stopped %llu times; prologues %llu, bodies %llu, stubs %llu, runtime %llu; %llu steps, %llu ms\n", (unsigned long long)stops,
		(unsigned long long)at_place[PROLOGUE], (unsigned long long)at_place[BODY], (unsigned long long)at_place[STUB],
		(unsigned long long)at_place[LIBCALL], (unsigned long long)steps, (unsigned long long)((sys_now_ns() - begin) / 1000000));
	assert_true(stops >= WANTED);
	assert_true(stopped_everywhere(stops));
}

// ---- at the end of the stack --------------------------------------------------------------------------------------------------------
// deep(x, forever) calls itself x times and then, itself or through the host, a function that calls nothing, has a frame of 800 bytes without asking for room, and
// may loop for ever.
static void put_leaf(struct buf *text, uint32_t params)
{
	buf_printf(text, "[ 01 #100 7e ");
	for (uint32_t i = params; i < params + 100; i++)
		buf_printf(text, "local.get #%u i64.const #1 i64.add local.set #%u ", i, i);
	buf_printf(text, "loop 40 local.get #0 br_if #0 end local.get #%u i32.wrap_i64 end ] ", params + 50);
}

#define DEEP(BOTTOM) "[ 00 local.get #0 if 7f local.get #0 i32.const #1 i32.sub local.get #1 call #1 else local.get #1 call #" BOTTOM " end end ] "
static const struct bottom {
	const char *deep, *called;  // by the host
} bottoms[] = {{DEEP("2"), NULL}, {DEEP("0"), "leaf"}, {DEEP("0"), "wide"}};

static struct guest *deep_guest;

static enum trap host_calls(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	const struct bottom *b = call->data;
	const uint64_t given[16] = {args[0]};
	return guest_call(deep_guest, b->called, given, results);
}

static void begin_deep(struct guest *g, const struct bottom *b)
{
	struct buf text = {0};
	deep_guest = g;
	buf_printf(&text, MODULE TYPES "[ 03 60 01 7f 01 7f 60 02 7f 7f 01 7f 60 10 7f 7e 7e 7e 7e 7e 7e 7e 7e 7e 7e 7e 7e 7e 7e 7e 01 7f ] " IMPORTS "[ 01 00 00 00 00 ] " FUNCS "[ 03 01 00 02 ] " EXPORTS "[ 03 'deep' 00 01 'leaf' 00 02 'wide' 00 03 ] " CODE "[ 03 %s", b->deep);
	put_leaf(&text, 1);
	put_leaf(&text, 16);
	buf_printf(&text, "] ");
	buf_put_byte(&text, 0);
	guest_init_host(g, (const char *)text.ptr, host_calls, UNCONST(b), &ample);
	assert_int_equal(vm_instance_initialize(g->inst), TRAP_NONE);
	buf_release(&text);
}

static enum trap go_deep(const struct guest *g, uint32_t depth, bool forever)
{
	return guest_on_fiber(g, "deep", ARGS(depth, forever), NULL, NULL, (struct vm_budget){50000000, UINT64_MAX});
}

// R6: below the limit, where nothing else of a guest runs.
static void a_function_that_calls_nothing_is_interrupted_at_the_end_of_the_stack(void **state)
{
	for (size_t k = 0; k < ARRAY_LEN(bottoms); k++) {
		struct guest g;
		uint32_t fits = 0, not = 1 << 20;
		begin_deep(&g, &bottoms[k]);
		while (not-fits > 1) {
			uint32_t mid = fits + (not-fits) / 2;
			enum trap t = go_deep(&g, mid, false);
			assert_true(t == TRAP_NONE || t == TRAP_STACK_OVERFLOW);
			*(t ? &not : &fits) = mid;
		}
		assert_true(fits > 1000);
		for (uint32_t less = 0; less < 30; less += 1 + less / 4)
			assert_int_equal(go_deep(&g, fits - less, true), TRAP_CPU_BUDGET);
		guest_release(&g);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(computes_right_in_a_storm_of_signals_L31),
		cmocka_unit_test(computes_right_when_stopped_at_every_instruction_L31),
		cmocka_unit_test(a_function_that_calls_nothing_is_interrupted_at_the_end_of_the_stack),
	};
	return cmocka_run_group_tests(tests, guest_setup, guest_teardown);
}
