// Put before a server's libc (LD_PRELOAD), so that copies of components (…/blobs/…) take a second to get to the disk.
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int fsync(int fd)
{
	char link[64], path[4096];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof path - 1);
	path[n < 0 ? 0 : n] = 0;
	if (strstr(path, "/blobs"))
		sleep(1);
	return (int)syscall(SYS_fsync, fd);
}
