// Folders and files that are ours alone: state, sockets. Who else may look into one is refused, not warned of.
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

unsigned sys_user_id(void)
{
	return (unsigned)geteuid();
}

// What leads to it may be anybody's: whether it can be trusted is asked of the last one.
static void make_folders(const char *path)
{
	char part[SYS_PATH_MAX];
	snprintf(part, sizeof part, "%s", path);
	for (char *p = part + 1; *p; p++)
		if (*p == '/') {
			*p = 0;
			mkdir(part, 0700);
			*p = '/';
		}
	mkdir(part, 0700);
}

static int open_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

int sys_private_folder(const char *path, bool make)
{
	struct stat st;
	if (strlen(path) >= SYS_PATH_MAX)
		return -ENAMETOOLONG;
	int fd = open_folder(path);
	if (fd == -ENOENT && make) {
		make_folders(path);
		fd = open_folder(path);
	}
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 077) == 0)
		return fd;
	close(fd);
	return -EPERM;
}

int sys_private_subfolder(int folder, const char *name)
{
	struct stat st;
	if (mkdirat(folder, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 077) == 0)
		return fd;
	close(fd);
	return -EPERM;
}

int sys_private_file(int folder, const char *name, bool make, bool anew)
{
	struct stat st;
	int fd = openat(folder, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | (make ? O_CREAT : 0) | (anew ? O_EXCL : 0), 0600);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid())
		return fd;
	close(fd);
	return -EPERM;
}

int sys_private_rename(int folder, const char *from, const char *to)
{
	return renameat(folder, from, folder, to) < 0 ? -errno : 0;
}

int sys_private_remove(int folder, const char *name)
{
	return unlinkat(folder, name, 0) < 0 ? -errno : 0;
}

int sys_private_remove_folder(int folder, const char *name)
{
	return unlinkat(folder, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

int sys_remove_folder(const char *path)
{
	return rmdir(path) < 0 ? -errno : 0;
}

int sys_lock(int fd)
{
	struct stat st;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &st) < 0)
		return -errno;
	return st.st_nlink ? 0 : -ESTALE;
}

// ---- a socket in the file system, as its client -------------------------------------------------------------------------------------------

// Who listens may be stopped, its queue full: then connecting waits, and so does sending.
int sys_connect_file(const char *path)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct timeval connects = {.tv_sec = 2}, sends = {.tv_sec = 60};
	if (strlen(path) > SYS_SOCKET_PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(un.sun_path, path, strlen(path));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &connects, sizeof connects);
	if (connect(fd, (const struct sockaddr *)&un, sizeof un) == 0) {
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &sends, sizeof sends);
		return fd;
	}
	int why = -errno;
	close(fd);
	return why;
}

int64_t sys_socket_receive(int fd, void *into, size_t max, uint64_t until_ns)
{
	for (;;) {
		uint64_t now = sys_now_ns(), left = until_ns > now ? (until_ns - now) / MILLISECOND + 1 : 0;
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int n = poll(&p, 1, left > 1000000 ? 1000000 : (int)left);
		if (n < 0)
			return -errno;  // also EINTR: a signal is the caller's to hear
		if (n > 0) {
			ssize_t got = recv(fd, into, max, 0);
			return got < 0 ? -errno : got;
		}
		if (until_ns != UINT64_MAX && sys_now_ns() >= until_ns)
			return -ETIMEDOUT;
	}
}
