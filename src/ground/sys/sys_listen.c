// Sockets to listen on that are no address: in the file system, or handed over by who started the process; and what that one is told of us.
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof((struct sockaddr_un *)NULL)->sun_path == SYS_SOCKET_PATH_MAX + 1, "a path and its zero");

// ---- in the file system ----------------------------------------------------------------------------------------------------------------

static bool path_to_address(const char *path, struct sockaddr_un *ret, struct err *e)
{
	size_t n = strlen(path);
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (n > SYS_SOCKET_PATH_MAX) {
		err_set(e, ERR_ENV, "the path of a socket has at most %d bytes, this one %zu", SYS_SOCKET_PATH_MAX, n);
		return err_hint(e, "a shorter one, or one relative to the working directory");
	}
	memcpy(ret->sun_path, path, n);
	return true;
}

// Who removes a socket that was left over and binds another is alone in the folder meanwhile: of two servers that start together one would remove the
// other's. Who holds the lock for no reason of ours is not waited for long. -1: no folder.
static int lock_folder(const char *path)
{
	char folder[SYS_SOCKET_PATH_MAX + 1];
	snprintf(folder, sizeof folder, "%s", path);
	char *slash = strrchr(folder, '/');
	if (slash)
		slash[slash == folder] = 0;
	int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct timespec pause = {.tv_nsec = 10 * MILLISECOND};
	for (unsigned i = 0; fd >= 0 && i < 100 && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK; i++)
		nanosleep(&pause, NULL);
	return fd;
}

// 0, or why not.
static int try_connect(const struct sockaddr_un *un)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno;
	int why = connect(fd, (const struct sockaddr *)un, sizeof *un) == 0 ? 0 : errno;
	close(fd);
	return why;
}

// Nothing is at the path afterwards, if what was there is a socket that nobody listens on.
static bool remove_left_over(const struct sockaddr_un *un, struct err *e)
{
	struct stat st;
	if (lstat(un->sun_path, &st) < 0)
		return errno == ENOENT || err_set_errno(e, errno, "cannot look for a socket");
	if (!S_ISSOCK(st.st_mode)) {
		err_set(e, ERR_ENV, "something is there that is no socket");
		return err_hint(e, "remove it, or take another path");
	}
	int why = try_connect(un);
	if (why == 0 || why == EAGAIN) {
		err_set(e, ERR_ENV, "another program listens there");
		return err_hint(e, "stop it, or take another path");
	}
	if (why != ECONNREFUSED && why != ENOENT)
		return err_set_errno(e, why, "cannot tell whether another program listens there");
	return unlink(un->sun_path) == 0 || errno == ENOENT || err_set_errno(e, errno, "cannot remove the socket that was left there");
}

static bool listen_at(const struct sockaddr_un *un, int fd, int backlog, struct sys_socket_file *ret, struct err *e)
{
	struct stat st;
	if (bind(fd, (const struct sockaddr *)un, sizeof *un) < 0)
		return err_set_errno(e, errno, "listen");
	if (listen(fd, backlog) < 0 || lstat(un->sun_path, &st) < 0) {
		err_set_errno(e, errno, "listen");
		unlink(un->sun_path);
		return false;
	}
	*ret = (struct sys_socket_file){st.st_dev, st.st_ino};
	return true;
}

bool sys_listen_file(const char *path, int backlog, int *ret_fd, struct sys_socket_file *ret, struct err *e)
{
	struct sockaddr_un un;
	if (!path_to_address(path, &un, e))
		return false;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set_errno(e, errno, "socket");
	int folder = lock_folder(path);
	bool ok = remove_left_over(&un, e) && listen_at(&un, fd, backlog, ret, e);
	sys_close(folder);
	if (ok)
		*ret_fd = fd;
	else
		close(fd);
	return ok;
}

void sys_remove_socket_file(const char *path, struct sys_socket_file file)
{
	struct stat st;
	if (lstat(path, &st) == 0 && st.st_dev == file.device && st.st_ino == file.inode)
		unlink(path);
}

void sys_remove_dead_socket(const char *path)
{
	struct sockaddr_un un;
	struct stat st;
	if (!path_to_address(path, &un, NULL))
		return;
	int folder = lock_folder(path);
	if (folder >= 0 && lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) && try_connect(&un) == ECONNREFUSED)
		unlink(path);
	sys_close(folder);
}

// ---- handed over -------------------------------------------------------------------------------------------------------------------------

bool sys_is_this_process(const char *pid)
{
	uint64_t n;
	return pid && slice_parse_u64(slice_str(pid), UINT64_MAX, &n) && n == (uint64_t)getpid();
}

// The strings of an environment stay where they are.
bool sys_handed_over(struct sys_handed *ret, struct err *e)
{
	const char *pid = getenv("LISTEN_PID"), *number = getenv("LISTEN_FDS"), *names = getenv("LISTEN_FDNAMES");
	uint64_t n = 0;
	*ret = (struct sys_handed){0};
	if (!number || !sys_is_this_process(pid))
		return true;
	if (!slice_parse_u64(slice_str(number), SYS_HANDED_MAX, &n))
		return err_set(e, ERR_ENV, "LISTEN_FDS is no number of sockets from 0 to %d", SYS_HANDED_MAX);
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	ret->n = (unsigned)n;
	ret->names = names ? names : "";
	for (int fd = SYS_HANDED_FIRST; fd < SYS_HANDED_FIRST + (int)n; fd++)
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			return err_set(e, ERR_ENV, "descriptor %d, which LISTEN_FDS names, is not open", fd);
	return true;
}

static int option_of(int fd, int name)
{
	int value = -1;
	socklen_t len = sizeof value;
	return getsockopt(fd, SOL_SOCKET, name, &value, &len) < 0 ? -1 : value;
}

bool sys_handed_socket(int fd, struct sys_address *ret, char ret_path[SYS_SOCKET_PATH_MAX + 2], struct err *e)
{
	struct sockaddr_storage at = {0};
	const struct sockaddr_un *un = (const void *)&at;
	socklen_t len = sizeof at;
	*ret = (struct sys_address){0};
	*ret_path = 0;
	if (option_of(fd, SO_TYPE) != SOCK_STREAM || option_of(fd, SO_ACCEPTCONN) != 1) {
		err_set(e, ERR_ENV, "descriptor %d, which was handed over (LISTEN_FDS), is no stream socket that listens", fd);
		return err_hint(e, "of a systemd socket unit: ListenStream= and Accept=no");
	}
	if (getsockname(fd, (struct sockaddr *)&at, &len) < 0)
		return err_set_errno(e, errno, "getsockname");
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
		return err_set_errno(e, errno, "fcntl");
	if (at.ss_family == AF_UNIX) {
		size_t n = len > offsetof(struct sockaddr_un, sun_path) ? len - offsetof(struct sockaddr_un, sun_path) : 0;
		memcpy(ret_path, un->sun_path, n);
		ret_path[n] = 0;
		if (n && !un->sun_path[0])
			ret_path[0] = '@';  // an abstract name
		return true;
	}
	if ((at.ss_family != AF_INET && at.ss_family != AF_INET6) || len > sizeof ret->bytes)
		return err_set(e, ERR_ENV, "descriptor %d, which was handed over (LISTEN_FDS), is neither of IP nor in the file system", fd);
	memcpy(ret->bytes, &at, len);
	ret->len = len;
	sys_no_delay(fd);
	return true;
}

// ---- who started us ----------------------------------------------------------------------------------------------------------------------

int sys_notify(const char *socket_name, const char *text, bool waits)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	size_t n = strlen(socket_name);
	struct timeval second = {.tv_sec = 1};
	if ((*socket_name != '/' && *socket_name != '@') || n >= sizeof un.sun_path)
		return -EINVAL;
	memcpy(un.sun_path, socket_name, n);
	if (*socket_name == '@')
		un.sun_path[0] = 0;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &second, sizeof second);
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	ssize_t sent = sendto(fd, text, strlen(text), MSG_NOSIGNAL | (waits ? 0 : MSG_DONTWAIT), (const struct sockaddr *)&un, len);
	int why = sent < 0 ? -errno : 0;
	close(fd);
	return why;
}
