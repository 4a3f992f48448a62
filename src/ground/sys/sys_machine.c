// What this machine and this process have, for whoever wants to tell.
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

int64_t sys_read_text(const char *path, char *into, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t n = read(fd, into, size - 1);
	int r = n < 0 ? -errno : 0;
	close(fd);
	into[n < 0 ? 0 : n] = 0;
	return r ? r : n;
}

uint64_t sys_limit(enum sys_limit what)
{
	static const int resources[] = {
		[SYS_LIMIT_ADDRESS_SPACE] = RLIMIT_AS,
		[SYS_LIMIT_DESCRIPTORS] = RLIMIT_NOFILE,
		[SYS_LIMIT_THREADS] = RLIMIT_NPROC,
		[SYS_LIMIT_FILE_SIZE] = RLIMIT_FSIZE,
	};
	struct rlimit l;
	if (getrlimit(resources[what], &l) < 0)
		return UINT64_MAX;
	rlim_t limit = what == SYS_LIMIT_FILE_SIZE ? l.rlim_cur : l.rlim_max;
	return limit == RLIM_INFINITY ? UINT64_MAX : limit;
}

bool sys_has_call_filters(void)
{
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL) < 0 && errno == EFAULT;  // it would have looked at one
}

enum sys_lookup sys_lookup(void)
{
	struct open_how beneath = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH}, cached = beneath;
	cached.resolve |= RESOLVE_CACHED;
	int fd = sys_file.openat2(AT_FDCWD, ".", &beneath);
	if (fd < 0)
		return SYS_LOOKUP_WALK;
	close(fd);
	fd = sys_file.openat2(AT_FDCWD, ".", &cached);
	if (fd >= 0)
		close(fd);
	return fd >= 0 || fd == -EAGAIN ? SYS_LOOKUP_CACHED : SYS_LOOKUP_BENEATH;
}

bool sys_may_map_code(int dir)
{
	struct statvfs st;
	return fstatvfs(dir, &st) == 0 && !(st.f_flag & ST_NOEXEC);
}
