// What tenon dev asks of Linux about processes: builds and the server. And a folder of its own.
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dev.h"
#include "sys/sys.h"

// ---- a child -------------------------------------------------------------------------------------------------------------------------------------

// In the child, before its program runs: only what is safe after a fork. Returns what failed, as errno.
static int become(const char *const *argv, const char *folder, int out, int parent)
{
	sigset_t none;
	int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	sigemptyset(&none);
	for (int s = 1; s < NSIG; s++)
		(void)signal(s, SIG_DFL);  // some can't be set, and needn't
	(void)setpgid(0, 0);
	if (in < 0 || dup2(in, 0) < 0 || (out >= 0 && (dup2(out, 1) < 0 || dup2(out, 2) < 0)) || (folder && chdir(folder) != 0))
		return errno;
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0)
		return errno;
	if (getppid() != parent)
		_exit(1);  // it died before that was set
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	execvp(argv[0], UNCONST(argv));
	return errno;
}

// 0, or the errno of what failed in it.
static int spawn(const char *const *argv, const char *folder, int out, pid_t *ret)
{
	int ends[2], failure = 0, parent = getpid();
	if (pipe2(ends, O_CLOEXEC) != 0)
		return errno;
	pid_t pid = fork();
	if (pid == 0) {
		failure = become(argv, folder, out, parent);
		_exit(write(ends[1], &failure, sizeof failure) > 0 ? 127 : 126);
	}
	if (pid < 0)
		failure = errno;
	close(ends[1]);
	while (pid > 0 && read(ends[0], &failure, sizeof failure) < 0 && errno == EINTR)
		;
	close(ends[0]);
	if (pid > 0 && failure)
		(void)waitpid(pid, NULL, 0);
	*ret = pid;
	return failure;
}

bool dev_start(const char *const *argv, const char *folder, bool piped, struct dev_process *ret, struct err *e)
{
	int ends[2] = {-1, -1};
	pid_t pid = 0;
	*ret = (struct dev_process)DEV_NO_PROCESS;
	if (piped && pipe2(ends, O_CLOEXEC) != 0)
		return err_set_errno(e, errno, "cannot make a pipe");
	int r = spawn(argv, folder, ends[1], &pid);
	if (piped)
		close(ends[1]);
	if (r) {
		if (piped)
			close(ends[0]);
		return err_set_errno(e, r, "cannot start %s", argv[0]);
	}
	if (piped)
		(void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
	*ret = (struct dev_process){pid, ends[0], (int)syscall(SYS_pidfd_open, pid, 0)};  // Linux 5.3; without it one looks from time to time
	return true;
}

void dev_wait(const struct dev_watch *w, const struct dev_process *const *list, uint32_t n, int ms)
{
	enum { MOST = 256 };  // of more it is looked at from time to time
	struct pollfd fds[2 * MOST + 1];
	nfds_t k = 0;
	for (uint32_t i = 0; i < n && i < MOST; i++) {
		fds[k++] = (struct pollfd){.fd = list[i]->out, .events = POLLIN};
		fds[k++] = (struct pollfd){.fd = list[i]->fd, .events = POLLIN};
	}
	fds[k++] = (struct pollfd){.fd = w ? dev_watch_fd(w) : -1, .events = POLLIN};
	(void)!poll(fds, k, ms);
}

static void close_out(struct dev_process *p)
{
	if (p->out >= 0)
		close(p->out);
	p->out = -1;
}

void dev_read(struct dev_process *p, struct buf *b, uint64_t *ret_left_out)
{
	enum { MOST = 64 };  // of one that never stops talking
	char in[16 << 10];
	ssize_t n = -1;
	errno = EAGAIN;
	for (unsigned i = 0; i < MOST && p->out >= 0 && (n = read(p->out, in, sizeof in)) > 0; i++) {
		if (!buf_put(b, in, (size_t)n))
			*ret_left_out += (uint64_t)n;  // memory is out
		if (b->len > 2 * DEV_OUTPUT) {
			*ret_left_out += b->len - DEV_OUTPUT;
			memmove(b->ptr, b->ptr + b->len - DEV_OUTPUT, DEV_OUTPUT);
			b->len = DEV_OUTPUT;
		}
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		close_out(p);
}

bool dev_has_ended(const struct dev_process *p)
{
	siginfo_t info = {0};
	return p->pid && (waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid != 0);
}

int dev_reap(struct dev_process *p)
{
	int status, r;
	while ((r = waitpid(p->pid, &status, 0)) < 0 && errno == EINTR)
		;
	close_out(p);
	if (p->fd >= 0)
		close(p->fd);
	*p = (struct dev_process)DEV_NO_PROCESS;
	return r < 0 ? 5 : WIFEXITED(status) ? WEXITSTATUS(status)
										 : 128 + WTERMSIG(status);
}

// Its number, which is the group's, is nobody else's until it is reaped.
void dev_stop(struct dev_process *p, int ms)
{
	uint64_t until = sys_now_ns() + (uint64_t)ms * MILLISECOND;
	struct buf ignored = {0};
	uint64_t n = 0;
	if (!p->pid)
		return;
	kill(-p->pid, SIGTERM);
	while (sys_now_ns() < until && !(dev_has_ended(p) && p->out < 0)) {
		dev_wait(NULL, NULL, 0, 5);
		dev_read(p, &ignored, &n);
	}
	buf_release(&ignored);
	kill(-p->pid, SIGKILL);
	(void)dev_reap(p);
}

// ---- a folder ------------------------------------------------------------------------------------------------------------------------------------

// Locked as long as its process lives.
static int take_lock(const char *path, bool anew)
{
	int folder = sys_private_folder(path, false), fd = folder < 0 ? folder : sys_private_file(folder, "lock", anew, anew);
	sys_close(folder);
	int why = fd < 0 ? fd : sys_lock(fd);
	if (why == 0)
		return fd;
	sys_close(fd);
	return why;
}

// Who cleans up may take it for one that was left, until it is locked: then there is another.
bool dev_folder_new(char ret[64], int *ret_lock, struct err *e)
{
	enum { TRIES = 100 };
	*ret_lock = -EWOULDBLOCK;
	for (unsigned i = 0; i < TRIES && (*ret_lock == -EWOULDBLOCK || *ret_lock == -ESTALE); i++) {
		snprintf(ret, 64, "/tmp/tenon-dev-XXXXXX");
		if (!mkdtemp(ret)) {
			ret[0] = 0;
			return err_set_errno(e, errno, "cannot make a folder in /tmp");
		}
		*ret_lock = take_lock(ret, true);
	}
	return *ret_lock >= 0 || err_set_errno(e, -*ret_lock, "cannot lock the folder '%s'", ret);
}

// Those of processes that were killed: nobody has the lock.
void dev_folders_clean(void)
{
	glob_t found;
	if (glob("/tmp/tenon-dev-??????", GLOB_NOSORT, NULL, &found) != 0)
		return;
	for (size_t i = 0; i < found.gl_pathc; i++) {
		int lock = take_lock(found.gl_pathv[i], false);
		if (lock < 0)
			continue;
		dev_folder_remove(found.gl_pathv[i]);
		sys_close(lock);
	}
	globfree(&found);
}

bool dev_is_there(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0;
}

static int remove_one(const char *path, const struct stat *st UNUSED, int kind UNUSED, struct FTW *at UNUSED)
{
	return remove(path);
}

void dev_folder_remove(const char *path)
{
	(void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
