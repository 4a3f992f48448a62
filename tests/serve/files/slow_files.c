// Put before a server's libc (LD_PRELOAD), so that files are as on a disk that takes half a second: nothing of them is cached, and each open, stat and read
// that may wait does.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static void wait_for_disk(void)
{
	usleep(500000);
}

static int not_cached(void)
{
	errno = EAGAIN;
	return -1;
}

// The C library has no function for openat2.
long syscall(long number, ...)
{
	va_list args;
	va_start(args, number);
	long a = va_arg(args, long), b = va_arg(args, long), c = va_arg(args, long), d = va_arg(args, long), e = va_arg(args, long), f = va_arg(args, long);
	va_end(args);
	if (number == SYS_openat2) {
		if (((const struct open_how *)c)->resolve & RESOLVE_CACHED)
			return not_cached();
		wait_for_disk();
	}
	long (*real)(long, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	return real(number, a, b, c, d, e, f);
}

int statx(int dir, const char *restrict path, int flags, unsigned mask, struct statx *restrict ret)
{
	if (!(flags & AT_STATX_DONT_SYNC))
		wait_for_disk();
	return (int)syscall(SYS_statx, dir, path, flags, mask, ret);
}

ssize_t preadv64v2(int fd, const struct iovec *v, int n, off64_t offset, int flags)
{
	if (flags & RWF_NOWAIT)
		return not_cached();
	wait_for_disk();
	return preadv64(fd, v, n, offset);
}
