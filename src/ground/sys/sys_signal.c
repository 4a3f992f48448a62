// Signals: handlers on alternate stacks, signals to one thread.
#include "sys.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

bool sys__fault(void);  // ORDER sys fault

#if SANITIZE_THREAD
// The sanitizer's own sigaction delivers signals later, and with a copy of the context, which a handler would edit in vain.
void sys__restorer(void);  // restorer_x64.c

static int set_handler(int sig, sys_signal_fn fn)
{
	struct {
		sys_signal_fn fn;
		unsigned long flags;
		void (*restorer)(void);
		uint64_t mask;
	} sa = {fn, SA_SIGINFO | SA_ONSTACK | SA_RESTART | 0x04000000 /* SA_RESTORER */, sys__restorer, 0};
	return syscall(SYS_rt_sigaction, sig, &sa, NULL, sizeof sa.mask) ? -errno : 0;
}
#else
static int set_handler(int sig, sys_signal_fn fn)
{
	struct sigaction sa = {.sa_sigaction = (void (*)(int, siginfo_t *, void *))(void *)fn, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
	sigemptyset(&sa.sa_mask);
	return sigaction(sig, &sa, NULL) ? -errno : 0;
}
#endif

int sys_signal_handle(int sig, sys_signal_fn fn)
{
	return sys__fault() ? -ENOMEM : set_handler(sig, fn);
}

void sys_signal_default(int sig)
{
	struct sigaction sa = {.sa_handler = SIG_DFL};
	sigemptyset(&sa.sa_mask);
	sigaction(sig, &sa, NULL);
}

void sys_signal_ignore(int sig)
{
	struct sigaction sa = {.sa_handler = SIG_IGN};
	sigemptyset(&sa.sa_mask);
	sigaction(sig, &sa, NULL);
}

struct altstack_head {
	uint64_t mapped;
};

int sys_altstack_new(void **ret)
{
	if (sys__fault())
		return -ENOMEM;
	// The handlers' own frames beside the kernel's, which grow with the processor's registers (L42).
	uint64_t size = align_up_u64(max_u64(getauxval(AT_MINSIGSTKSZ) + 48 * 1024, 64 * 1024), 4096);
	uint64_t mapped = size + 2 * 4096;
	uint8_t *p = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return -errno;
	// head page, guard page, stack
	if (mprotect(p + 4096, 4096, PROT_NONE)) {
		int r = -errno;
		munmap(p, mapped);
		return r;
	}
	((struct altstack_head *)p)->mapped = mapped;
	stack_t s = {.ss_sp = p + 2 * 4096, .ss_size = size};
	if (sigaltstack(&s, NULL)) {
		int r = -errno;
		munmap(p, mapped);
		return r;
	}
	*ret = p;
	return 0;
}

void sys_altstack_free(void *altstack)
{
	if (!altstack)
		return;
	stack_t s = {.ss_flags = SS_DISABLE};
	sigaltstack(&s, NULL);
	munmap(altstack, ((struct altstack_head *)altstack)->mapped);
}

int sys_thread_id(void)
{
	return (int)syscall(SYS_gettid);
}

int sys_thread_signal(int tid, int sig)
{
	return syscall(SYS_tgkill, getpid(), tid, sig) ? -errno : 0;
}

// What arguments and environment may take of a stack that may grow to `limit`, and whatever that is (execve(2)): of a small one half is taken for code's.
#define ARGUMENTS(limit) max_u64((limit) / 4, 128 << 10)

// The main thread's, for which pthread_getattr_np would read /proc/self/maps: from the C library's idea of its end down to where it may grow to at least.
static int main_stack(uintptr_t *ret_low, uintptr_t *ret_high)
{
	extern void *__libc_stack_end;
	struct rlimit limit;
	if (getrlimit(RLIMIT_STACK, &limit))
		return -errno;
	uint64_t most = min_u64(limit.rlim_cur, 8 << 20), arguments = min_u64(ARGUMENTS(most), most / 2);
	*ret_high = align_up_u64((uintptr_t)__libc_stack_end, 4096);
	*ret_low = *ret_high - (most - arguments);
	return 0;
}

int sys_thread_stack(uintptr_t *ret_low, uintptr_t *ret_high)
{
	if (sys__fault())
		return -ENOMEM;
	pthread_attr_t attr;
	void *low;
	size_t size;
	if (getpid() == sys_thread_id())
		return main_stack(ret_low, ret_high);
	int r = pthread_getattr_np(pthread_self(), &attr);
	if (r)
		return -r;
	r = pthread_attr_getstack(&attr, &low, &size);
	pthread_attr_destroy(&attr);
	if (r)
		return -r;
	*ret_low = (uintptr_t)low;
	*ret_high = (uintptr_t)low + size;
	return 0;
}

// ---- what ends a command -------------------------------------------------------------------------------------------------------------

static struct {
	bool came;
	int number;
	void (*wake)(void *arg);
	void *arg;
} stop;

static void on_stop(int sig, void *siginfo, void *ucontext)
{
	if (__atomic_exchange_n(&stop.came, true, __ATOMIC_SEQ_CST))
		_exit(128 + sig);
	stop.number = sig;
	stop.wake(stop.arg);
}

// One that our parent ignores (a job in the background) stays ignored.
static void catch_stop(int sig)
{
	struct sigaction now;
	if (sigaction(sig, NULL, &now) == 0 && now.sa_handler != SIG_IGN)
		sys_signal_handle(sig, on_stop);
}

static void release_stop(int sig)
{
	struct sigaction now;
	if (sigaction(sig, NULL, &now) == 0 && now.sa_handler != SIG_IGN)
		sys_signal_default(sig);
}

const bool *sys_stop_begin(void (*wake)(void *arg), void *arg)
{
	stop.wake = wake;
	stop.arg = arg;
	catch_stop(SIGINT);
	catch_stop(SIGTERM);
	return &stop.came;
}

void sys_stop_at_hangup(void)
{
	catch_stop(SIGHUP);
}

void sys_stop_end(void)
{
	release_stop(SIGINT);
	release_stop(SIGTERM);
	if (!stop.came)
		return;
	kill(getpid(), stop.number);
	_exit(128 + stop.number);  // the first process of a container is not ended by a signal
}

static void unblock(const int *list, size_t n)
{
	sigset_t set;
	sigemptyset(&set);
	for (size_t i = 0; i < n; i++)
		sigaddset(&set, list[i]);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

// As if it had never been caught, also where that alone would not do it: the default actions of the first process of a container are none.
static void on_stop_at_once(int sig, void *siginfo, void *ucontext)
{
	sys_signal_default(sig);
	unblock(&sig, 1);
	kill(getpid(), sig);
	_exit(128 + sig);
}

void sys_stop_at_once(void)
{
	static const int list[] = {SIGINT, SIGTERM};
	struct sigaction now;
	for (size_t i = 0; i < ARRAY_LEN(list); i++)
		if (sigaction(list[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
			sys_signal_handle(list[i], on_stop_at_once);
	unblock(list, ARRAY_LEN(list));
}

void sys_no_sigpipe(void)
{
	sys_signal_ignore(SIGPIPE);
}

void sys_no_sigxfsz(void)
{
	sys_signal_ignore(SIGXFSZ);
}
