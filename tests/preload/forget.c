// Stands before libc (LD_PRELOAD) in a process whose machine is to lose its power: what it writes into files beneath $FORGET_UNDER is written down in $FORGET_LOG
// with what was there before, and each sync with it, so that what was not synced can be taken back once the process is dead (tests/crashes/run.py). Nothing
// is really synced: that is what makes a thousand of them quick.
//
// A record: struct record, the path, the bytes before, the bytes written. One lock around a record and what it tells of: a sync covers the writes before it.
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FILES = 4096 };
enum kind { WRITTEN, CUT, SYNCED, MADE };
struct record {
	uint32_t kind, path_len;
	uint64_t offset, before_len, len, size_before;  // of CUT `offset` is the new size
};

static struct {
	pthread_mutex_t lock;
	const char *under;
	int log;
	char *paths[FILES];  // of descriptors beneath the folder
} it = {.lock = PTHREAD_MUTEX_INITIALIZER, .log = -1};

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void)
{
	const char *log = getenv("FORGET_LOG");
	it.under = getenv("FORGET_UNDER");
	if (log && it.under)
		it.log = REAL(open)(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static char *path_of(int fd)
{
	return it.log >= 0 && fd >= 0 && fd < FILES ? it.paths[fd] : NULL;
}

// A record that can't be written would be a lie about the disk.
static void put(enum kind kind, const char *path, struct record r, const void *before, const void *bytes)
{
	r.kind = kind;
	r.path_len = (uint32_t)strlen(path);
	struct iovec parts[] = {{&r, sizeof r}, {(void *)(uintptr_t)path, r.path_len}, {(void *)(uintptr_t)before, r.before_len}, {(void *)(uintptr_t)bytes, r.len}};
	if (writev(it.log, parts, 4) != (ssize_t)(sizeof r + r.path_len + r.before_len + r.len))
		abort();
}

static uint64_t size_of(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

// What stands there now, as far as the file goes.
static void *read_before(int fd, uint64_t offset, uint64_t len, uint64_t *ret)
{
	char *at = malloc(len + 1);
	ssize_t n = at ? pread(fd, at, len, (off_t)offset) : -1;
	if (n < 0)
		abort();
	*ret = (uint64_t)n;
	return at;
}

static ssize_t put_write(int fd, const void *bytes, size_t len, off_t offset)
{
	struct record r = {.offset = (uint64_t)offset, .len = len, .size_before = size_of(fd)};
	pthread_mutex_lock(&it.lock);
	void *before = read_before(fd, r.offset, len, &r.before_len);
	put(WRITTEN, path_of(fd), r, before, bytes);
	free(before);
	ssize_t n = REAL(pwrite)(fd, bytes, len, offset);
	pthread_mutex_unlock(&it.lock);
	return n;
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
	return path_of(fd) ? put_write(fd, bytes, len, offset) : REAL(pwrite)(fd, bytes, len, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t offset)
{
	return pwrite(fd, bytes, len, offset);
}

ssize_t write(int fd, const void *bytes, size_t len)
{
	if (!path_of(fd))
		return REAL(write)(fd, bytes, len);
	off_t at = lseek(fd, 0, SEEK_CUR);
	ssize_t n = put_write(fd, bytes, len, at);
	if (n > 0)
		lseek(fd, at + n, SEEK_SET);
	return n;
}

int ftruncate(int fd, off_t size)
{
	if (!path_of(fd))
		return REAL(ftruncate)(fd, size);
	pthread_mutex_lock(&it.lock);
	struct record r = {.offset = (uint64_t)size, .size_before = size_of(fd)};
	void *before = r.size_before > r.offset ? read_before(fd, r.offset, r.size_before - r.offset, &r.before_len) : NULL;
	put(CUT, path_of(fd), r, before, NULL);
	free(before);
	int rc = REAL(ftruncate)(fd, size);
	pthread_mutex_unlock(&it.lock);
	return rc;
}

int ftruncate64(int fd, off_t size)
{
	return ftruncate(fd, size);
}

int fsync(int fd)
{
	if (!path_of(fd))
		return REAL(fsync)(fd);
	usleep(2000);  // most of the time a disk is at this, and so most of those that die
	pthread_mutex_lock(&it.lock);
	put(SYNCED, path_of(fd), (struct record){0}, NULL, NULL);
	pthread_mutex_unlock(&it.lock);
	return 0;
}

int fdatasync(int fd)
{
	return path_of(fd) ? fsync(fd) : REAL(fdatasync)(fd);
}

static int opened(int fd, const char *path, bool is_new)
{
	size_t len = it.log >= 0 ? strlen(it.under) : 0, n = strlen(path);
	if (!len || fd < 0 || fd >= FILES || strncmp(path, it.under, len) != 0 || (n > 4 && strcmp(path + n - 4, "-shm") == 0))
		return fd;  // what is shared in memory is made anew by who comes first
	free(it.paths[fd]);
	it.paths[fd] = strdup(path);
	if (is_new)
		put(MADE, path, (struct record){0}, NULL, NULL);
	return fd;
}

int open(const char *path, int flags, ...)
{
	va_list args;
	va_start(args, flags);
	mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
	va_end(args);
	bool is_new = (flags & O_CREAT) && access(path, F_OK) != 0;
	return opened(REAL(open)(path, flags, mode), path, is_new);
}

int open64(const char *path, int flags, ...)
{
	va_list args;
	va_start(args, flags);
	mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
	va_end(args);
	return open(path, flags, mode);
}

int close(int fd)
{
	if (path_of(fd)) {
		free(it.paths[fd]);
		it.paths[fd] = NULL;
	}
	return REAL(close)(fd);
}
