// The watchdog: one thread a process that looks at every shard each tick. A fiber that has not been switched for some ticks, and has had about a
// millisecond of the processor meanwhile, gets a signal, and again at each tick with as much until it gives way.
//
// 1. The shard's hot path writes a counter (count_switch) and reads one flag (vm__watchdog_asleep); no clock, no lock. The thread's CPU clock is
//    read by the watchdog (a system call), once a tick that finds a fiber running. A thread that waits for a core is left alone.
// 2. With nothing running for a few ticks the thread sleeps until a fiber is resumed. It looks once more, a tick after it raised the flag:
//    who did not see the flag yet is seen then.
// 3. Without the thread nothing would end a guest that computes for ever: there is no shard then.
#include "vm_int.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

#define TICK_NS 2000000  // one costs as much as a request where there is a core for both only: a timer, two switches, cold caches
#define TURN_NS 800000
#define IDLE_TICKS 3  // one more wake of this thread costs about two of them, and whoever resumes a fiber a system call
#define STACK (256u << 10)

_Atomic bool vm__watchdog_asleep = true;
static struct sys_mutex lock = SYS_MUTEX;
static struct sys_cond wake = SYS_COND;
static struct vm_shard *shards;
static bool started;

static void sleep_tick(void)
{
	struct timespec t = {.tv_nsec = TICK_NS};
	nanosleep(&t, NULL);
}

// A turn that was seen a tick ago still runs.
static void look_at_turn(struct vm_shard *s)
{
	uint64_t cpu = sys_cpu_clock_ns(s->cpu_clock);
	if (cpu - s->watch_cpu >= TURN_NS) {
		s->watch_cpu = cpu;
		sys_thread_signal(s->tid, SIGURG);
	}
}

// true: some shard is inside a fiber, or was since the last look. Who runs fibers all the time, each a moment, is not to wake this thread for each.
static bool look(void)
{
	bool busy = false;
	for (struct vm_shard *s = shards; s; s = s->next_shard) {
		uint64_t n = atomic_load_explicit(&s->switches, memory_order_acquire);
		busy |= n & 1 || n != s->watch_seen;
		if (n != s->watch_seen) {
			s->watch_seen = n;
			if (n & 1)
				s->watch_cpu = sys_cpu_clock_ns(s->cpu_clock);
		} else if (n & 1) {
			look_at_turn(s);
		}
	}
	return busy;
}

// Under the lock, once a tick. The flag that was raised a tick ago, and that nobody has lowered since, was seen by whoever resumed a fiber, or he is seen now.
static void look_or_sleep(uint32_t *idle)
{
	if (look()) {
		*idle = 0;
		vm__watchdog_asleep = false;
	} else if (!vm__watchdog_asleep) {
		*idle = *idle < IDLE_TICKS ? *idle + 1 : 0;
		vm__watchdog_asleep = *idle == IDLE_TICKS;
	} else {
		while (vm__watchdog_asleep)
			sys_cond_wait(&wake, &lock);
		*idle = 0;
	}
}

static void *watch(void *arg UNUSED)
{
	uint32_t idle = 0;
	for (;;) {
		sleep_tick();
		sys_mutex_lock(&lock);
		look_or_sleep(&idle);
		sys_mutex_unlock(&lock);
	}
	return NULL;
}

void vm__watchdog_wake_slow(void)
{
	sys_mutex_lock(&lock);
	vm__watchdog_asleep = false;
	sys_cond_signal(&wake);
	sys_mutex_unlock(&lock);
}

bool vm__watchdog_add(struct vm_shard *s, struct err *e)
{
	sys_mutex_lock(&lock);
	int r = started ? 0 : sys_thread_start(watch, NULL, STACK);
	if (!r) {
		started = true;
		s->next_shard = shards;
		shards = s;
	}
	sys_mutex_unlock(&lock);
	if (!r)
		return true;
	err_set_errno(e, -r, "cannot start a thread");
	return err_note(e, "the one that interrupts guests");
}

void vm__watchdog_remove(struct vm_shard *s)
{
	sys_mutex_lock(&lock);
	for (struct vm_shard **p = &shards; *p; p = &(*p)->next_shard) {
		if (*p == s) {
			*p = s->next_shard;
			break;
		}
	}
	sys_mutex_unlock(&lock);
}
