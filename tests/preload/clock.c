// Stands before libc (LD_PRELOAD) in a process whose clocks are to jump: $CLOCK_FILE holds by how many nanoseconds each is off, two numbers of 64 bits, the time
// of day's and the others'; who writes them there moves the clocks.
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const int64_t *off;

static void begin(void)
{
	const char *path = getenv("CLOCK_FILE");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *at = fd >= 0 ? mmap(NULL, 16, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
	if (at == MAP_FAILED)
		abort();
	close(fd);
	off = at;
}

static int64_t off_by(clockid_t clock)
{
	switch (clock) {
	case CLOCK_REALTIME:
	case CLOCK_REALTIME_COARSE:
		return __atomic_load_n(&off[0], __ATOMIC_RELAXED);
	case CLOCK_MONOTONIC:
	case CLOCK_MONOTONIC_COARSE:
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_BOOTTIME:
		return __atomic_load_n(&off[1], __ATOMIC_RELAXED);
	default:  // CPU time
		return 0;
	}
}

int clock_gettime(clockid_t clock, struct timespec *ret)
{
	if (!off)
		begin();
	int rc = (int)syscall(SYS_clock_gettime, clock, ret);  // dlsym would ask for memory, and who gives that may ask for the time
	int64_t ns = rc == 0 ? ret->tv_nsec + off_by(clock) % 1000000000 : 0;
	if (rc != 0)
		return rc;
	ret->tv_sec += off_by(clock) / 1000000000 + (ns < 0 ? -1 : ns >= 1000000000 ? 1
																				: 0);
	ret->tv_nsec = ns < 0 ? ns + 1000000000 : ns >= 1000000000 ? ns - 1000000000
															   : ns;
	return 0;
}

int gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
	(void)zone;
	struct timespec t;
	if (clock_gettime(CLOCK_REALTIME, &t) != 0)
		return -1;
	*ret = (struct timeval){.tv_sec = t.tv_sec, .tv_usec = t.tv_nsec / 1000};
	return 0;
}

time_t time(time_t *ret)
{
	struct timespec t;
	if (clock_gettime(CLOCK_REALTIME, &t) != 0)
		return (time_t)-1;
	if (ret)
		*ret = t.tv_sec;
	return t.tv_sec;
}
