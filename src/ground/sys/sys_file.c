// Files and standard streams: thin, no state.
#include "sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

_Static_assert((int)SYS_TIME_NOW == UTIME_NOW && (int)SYS_TIME_KEEP == UTIME_OMIT, "as the kernel has them");

static int64_t real_take(int fd, void *into, size_t max)
{
	ssize_t n;
	do
		n = read(fd, into, max);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static int64_t real_put(int fd, const void *from, size_t n)
{
	ssize_t put;
	do
		put = write(fd, from, n);
	while (put < 0 && errno == EINTR);
	return put < 0 ? -errno : put;
}

int sys_open_log(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
	if (fd < 0)
		return -errno;
	if (fcntl(fd, F_SETFL, O_APPEND) == 0)  // it may block from here on
		return fd;
	int why = -errno;
	close(fd);
	return why;
}

int sys_open_regular(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fd;
	close(fd);
	return -EINVAL;
}

uint64_t sys_descriptors_open(void)
{
	DIR *d = opendir("/proc/self/fd");
	uint64_t n = 0;
	if (!d)
		return 0;
	while (readdir(d))
		n++;
	closedir(d);
	return n > 3 ? n - 3 : 0;  // . and .., and its own
}

int sys_replace(int fd, int from)
{
	int why = dup3(from, fd, O_CLOEXEC) < 0 ? -errno : 0;
	close(from);
	return why;
}

static int real_openat2(int dir, const char *path, const struct open_how *how)
{
	long fd;
	do
		fd = syscall(SYS_openat2, dir, path, how, sizeof *how);
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : (int)fd;
}

static int real_openat(int dir, const char *path, int flags, uint32_t mode)
{
	int fd;
	do
		fd = openat(dir, path, flags, mode);
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

static enum sys_file_type type_of(unsigned mode)
{
	static const enum sys_file_type types[] = {
		[S_IFBLK >> 12] = SYS_FILE_BLOCK,
		[S_IFCHR >> 12] = SYS_FILE_CHAR,
		[S_IFDIR >> 12] = SYS_FILE_FOLDER,
		[S_IFIFO >> 12] = SYS_FILE_FIFO,
		[S_IFLNK >> 12] = SYS_FILE_LINK,
		[S_IFREG >> 12] = SYS_FILE_REGULAR,
		[S_IFSOCK >> 12] = SYS_FILE_SOCKET,
	};
	unsigned kind = (mode & S_IFMT) >> 12;
	return kind < ARRAY_LEN(types) ? types[kind] : SYS_FILE_UNKNOWN;
}

static bool is_same_time(const struct sys_time *a, const struct sys_time *b)
{
	return a->seconds == b->seconds && a->nanoseconds == b->nanoseconds;
}

bool sys_is_same_file(const struct sys_stat *a, const struct sys_stat *b)
{
	return a->type == b->type && a->device == b->device && a->inode == b->inode && a->size == b->size && is_same_time(&a->modified, &b->modified) &&
		is_same_time(&a->changed, &b->changed);
}

static int stat_at(int fd, const char *path, int flags, struct sys_stat *ret)
{
	struct statx st;
	if (statx(fd, path, flags, STATX_BASIC_STATS, &st) < 0)
		return -errno;
	*ret = (struct sys_stat){.type = type_of(st.stx_mode),
		.device = makedev(st.stx_dev_major, st.stx_dev_minor),
		.inode = st.stx_ino,
		.links = st.stx_nlink,
		.size = st.stx_size,
		.accessed = {st.stx_atime.tv_sec, st.stx_atime.tv_nsec},
		.modified = {st.stx_mtime.tv_sec, st.stx_mtime.tv_nsec},
		.changed = {st.stx_ctime.tv_sec, st.stx_ctime.tv_nsec}};
	return 0;
}

static int real_stat(int fd, bool cached, struct sys_stat *ret)
{
	return stat_at(fd, "", AT_EMPTY_PATH | (cached ? AT_STATX_DONT_SYNC : 0), ret);
}

int sys_look(const char *path, struct sys_stat *ret)
{
	return stat_at(AT_FDCWD, path, 0, ret);
}

// A file system that can't tell what it has in memory is read by somebody who may wait.
static int64_t real_read(int fd, void *into, size_t n, uint64_t offset, bool cached)
{
	struct iovec v = {into, n};
	ssize_t got;
	if (offset > INT64_MAX)
		return -EINVAL;
	do
		got = preadv2(fd, &v, 1, (off_t)offset, cached ? RWF_NOWAIT : 0);
	while (got < 0 && errno == EINTR);
	if (got < 0 && cached && errno == EOPNOTSUPP)
		return -EAGAIN;
	return got < 0 ? -errno : got;
}

static int64_t real_write(int fd, const void *from, size_t n, uint64_t offset, bool append)
{
	struct iovec v = {UNCONST(from), n};
	ssize_t put;
	if (offset > INT64_MAX)
		return -EINVAL;
	do
		put = pwritev2(fd, &v, 1, (off_t)offset, append ? RWF_APPEND : 0);
	while (put < 0 && errno == EINTR);
	return put < 0 ? -errno : put;
}

static bool real_is_local(int fd)
{
	static const uint32_t magics[] = {EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC, F2FS_SUPER_MAGIC, TMPFS_MAGIC, RAMFS_MAGIC,
		OVERLAYFS_SUPER_MAGIC, SQUASHFS_MAGIC, EROFS_SUPER_MAGIC_V1, 0x2fc12fc1 /* ZFS */, 0xca451a4e /* bcachefs */};
	struct statfs fs;
	if (fstatfs(fd, &fs) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(magics); i++)
		if ((uint32_t)fs.f_type == magics[i])
			return true;
	return false;
}

const struct sys_file_table sys_file_real = {real_take, real_put, real_openat2, real_openat, real_stat, real_read, real_write, real_is_local};
struct sys_file_table sys_file = {real_take, real_put, real_openat2, real_openat, real_stat, real_read, real_write, real_is_local};

bool sys_ready(int fd, bool write)
{
	struct pollfd p = {.fd = fd, .events = write ? POLLOUT : POLLIN};
	return poll(&p, 1, 0) != 0;
}

bool sys_is_terminal(int fd)
{
	return isatty(fd);
}

int sys_open_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int sys_dup(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return copy < 0 ? -errno : copy;
}

int sys_sync(int fd, bool data_only)
{
	return (data_only ? fdatasync(fd) : fsync(fd)) < 0 ? -errno : 0;
}

int sys_advise(int fd, uint64_t offset, uint64_t n, enum sys_advice advice)
{
	static const int advices[] = {POSIX_FADV_NORMAL, POSIX_FADV_SEQUENTIAL, POSIX_FADV_RANDOM, POSIX_FADV_WILLNEED, POSIX_FADV_DONTNEED, POSIX_FADV_NOREUSE};
	if (offset > INT64_MAX || n > INT64_MAX)
		return -EINVAL;
	return -posix_fadvise(fd, (off_t)offset, (off_t)n, advices[advice]);
}

int sys_resize(int fd, uint64_t size)
{
	if (size > INT64_MAX)
		return -EINVAL;
	return ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
}

int sys_allocate(int fd, uint64_t offset, uint64_t n)
{
	if (n == 0 || offset > INT64_MAX || n > INT64_MAX)
		return -EINVAL;
	return fallocate(fd, 0, (off_t)offset, (off_t)n) < 0 ? -errno : 0;
}

int sys_set_times(int fd, struct sys_time accessed, struct sys_time modified)
{
	struct timespec times[2] = {{accessed.seconds, accessed.nanoseconds}, {modified.seconds, modified.nanoseconds}};
	return utimensat(fd, "", times, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

int64_t sys_list(int fd, void *into, size_t max)
{
	long n = syscall(SYS_getdents64, fd, into, max);
	return n < 0 ? -errno : n;
}

int sys_list_from(int fd, int64_t offset)
{
	return lseek(fd, offset, SEEK_SET) < 0 ? -errno : 0;
}

bool sys_entry_next(struct slice list, size_t *at, struct sys_entry *ret)
{
	if (*at >= list.len)
		return false;
	const struct dirent64 *d = (const void *)(list.ptr + *at);
	*ret = (struct sys_entry){slice_str(d->d_name), d->d_ino, d->d_off, type_of(DTTOIF(d->d_type))};
	*at += d->d_reclen;
	return true;
}
