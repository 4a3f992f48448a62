// The watchdog: one thread a process that looks at every shard each tick. A fiber that has not been switched for some ticks, and has had about a
// millisecond of the processor meanwhile, gets a signal, and again after each millisecond until it gives way.
//
// 1. The shard's hot path writes a counter (count_switch) and reads one flag (vm__watchdog_asleep); no clock, no lock. The thread's CPU clock is
//    read (by the watchdog: a system call) only of a turn that is older than a tick. A thread that waits for a core is left alone.
// 2. With nothing running for a while the thread sleeps until a fiber is resumed. It looks once more, a tick after it raised the flag:
//    who did not see the flag yet is seen then.
// 3. The handler runs on the shard's thread. In guest code, with the stack in order, it continues at vm__preempt_stub; else it leaves
//    two notes: exec->interrupt, found by host code that works long (vm_work) and on the way back into the guest, and a stack limit that
//    calls the hook.
#include "vm_int.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <ucontext.h>

#define TICK_NS 1000000
#define TURN_NS 800000  // ticks come a little early or late
#define CPU_UNKNOWN UINT64_MAX
#define IDLE_TICKS 100

_Atomic bool vm__watchdog_asleep = true;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static struct vm_shard *shards;
static bool started;

#if SANITIZE_THREAD
// What the sanitizer does is not to be entered again from a handler: what is in the executable itself counts as not the place.
extern const char __executable_start[], etext[];
static NO_SANITIZER bool may_look_up(const void *pc)
{
	return (uintptr_t)pc < (uintptr_t)__executable_start || (uintptr_t)pc >= (uintptr_t)etext;
}
#else
static bool may_look_up(const void *pc UNUSED)
{
	return true;
}
#endif

static NO_SANITIZER void on_interrupt(int sig UNUSED, void *siginfo UNUSED, void *ucontext)
{
	struct vm_shard *s = vm__shard;
	if (!s || !s->current)
		return;
	ucontext_t *uc = ucontext;
	greg_t *regs = uc->uc_mcontext.gregs;
	const void *pc = (const void *)(uintptr_t)regs[REG_RIP];
	const struct code_object *code = may_look_up(pc) ? code_find(pc) : NULL;
	struct code_place place;
	__atomic_store_n(&s->exec.interrupt, 1, __ATOMIC_RELAXED);
	if (!s->exec.entry_sp)
		return;
	// A prologue may have moved rsp below the limit before it checks it: not the place to push anything.
	if (!code || !code_object_place(code, pc, &place) || (uintptr_t)regs[REG_RSP] < s->stack_limit) {
		s->exec.stack_limit = UINTPTR_MAX;
		return;
	}
	regs[REG_RSP] -= 8;
	*(uint64_t *)regs[REG_RSP] = (uint64_t)regs[REG_RIP];
	regs[REG_RIP] = (greg_t)(uintptr_t)vm__preempt_stub;
}

static void sleep_tick(void)
{
	struct timespec t = {.tv_nsec = TICK_NS};
	nanosleep(&t, NULL);
}

// A turn that was seen a tick ago still runs.
static void look_at_turn(struct vm_shard *s)
{
	uint64_t cpu = sys_cpu_clock_ns(s->cpu_clock);
	if (s->watch_cpu == CPU_UNKNOWN) {
		s->watch_cpu = cpu;
	} else if (cpu - s->watch_cpu >= TURN_NS) {
		s->watch_cpu = cpu;
		sys_thread_signal(s->tid, SIGURG);
	}
}

// true: some shard is inside a fiber.
static bool look(void)
{
	bool busy = false;
	for (struct vm_shard *s = shards; s; s = s->next_shard) {
		uint64_t n = atomic_load_explicit(&s->switches, memory_order_acquire);
		busy |= n & 1;
		if (n != s->watch_seen) {
			s->watch_seen = n;
			s->watch_cpu = CPU_UNKNOWN;
		} else if (n & 1) {
			look_at_turn(s);
		}
	}
	return busy;
}

static void *watch(void *arg UNUSED)
{
	uint32_t idle = 0;
	for (;;) {
		sleep_tick();
		pthread_mutex_lock(&lock);
		if (look())
			idle = 0;
		else if (++idle >= IDLE_TICKS)
			vm__watchdog_asleep = true;
		if (idle > IDLE_TICKS) {
			while (vm__watchdog_asleep)
				pthread_cond_wait(&wake, &lock);
			idle = 0;
		} else if (idle == 0) {
			vm__watchdog_asleep = false;
		}
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

// Under the lock. Where no thread is to be had nothing is interrupted until one is.
static void start(void)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, old;
	if (pthread_attr_init(&attr))
		return;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 256 * 1024);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	started = pthread_create(&thread, &attr, watch, NULL) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
}

void vm__watchdog_wake_slow(void)
{
	pthread_mutex_lock(&lock);
	vm__watchdog_asleep = false;
	if (!started)
		start();
	pthread_cond_signal(&wake);
	pthread_mutex_unlock(&lock);
}

void vm__watchdog_add(struct vm_shard *s)
{
	pthread_mutex_lock(&lock);
	s->next_shard = shards;
	shards = s;
	pthread_mutex_unlock(&lock);
}

void vm__watchdog_remove(struct vm_shard *s)
{
	pthread_mutex_lock(&lock);
	for (struct vm_shard **p = &shards; *p; p = &(*p)->next_shard) {
		if (*p == s) {
			*p = s->next_shard;
			break;
		}
	}
	pthread_mutex_unlock(&lock);
}

bool vm__watchdog_init(struct err *e)
{
	int r = sys_signal_handle(SIGURG, on_interrupt);
	return r ? err_set_errno(e, -r, "signal handler") : true;
}
