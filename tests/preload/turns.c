// Stands before libc (LD_PRELOAD) in a server: the word at the beginning of $TURNS_FILE becomes the CPU time, in nanoseconds, of the longest turn that a loop
// of its has taken, from one epoll_wait to the next. Whoever writes 0 there begins anew.
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static uint64_t *longest;
static _Thread_local uint64_t since;  // the turn of this thread's loop began; 0: none

static uint64_t cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void begin(void)
{
	const char *path = getenv("TURNS_FILE");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *at = fd >= 0 ? mmap(NULL, sizeof *longest, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
	if (at == MAP_FAILED)
		abort();
	close(fd);
	longest = at;
}

static void end_turn(void)
{
	uint64_t took = since ? cpu_ns() - since : 0, before;
	if (!longest)
		begin();
	before = __atomic_load_n(longest, __ATOMIC_RELAXED);
	while (took > before && !__atomic_compare_exchange_n(longest, &before, took, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

typedef long syscall_fn(long number, ...);
typedef int epoll_wait_fn(int fd, struct epoll_event *events, int max, int ms);

static void *next(const char *name)
{
	void *f = dlsym(RTLD_NEXT, name);
	if (!f)
		abort();
	return f;
}

int epoll_wait(int fd, struct epoll_event *events, int max, int ms)
{
	static epoll_wait_fn *real;
	if (!real)
		real = (epoll_wait_fn *)next("epoll_wait");
	end_turn();
	int n = real(fd, events, max, ms);
	since = cpu_ns();
	return n;
}

long syscall(long number, ...)
{
	static syscall_fn *real;
	long a[6];
	va_list args;
	va_start(args, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (!real)
		real = (syscall_fn *)next("syscall");
	if (number != SYS_epoll_wait)
		return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	end_turn();
	long n = real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	since = cpu_ns();
	return n;
}
