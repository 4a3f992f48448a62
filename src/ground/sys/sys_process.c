// Another process of this program, and what it gives up before it looks at bytes that nobody vouches for.
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int spawn(char *const *argv, int in, int out, pid_t *ret_pid)
{
	static char *const no_variables[] = {NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t all, none;
	sigfillset(&all);
	sigemptyset(&none);
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	int r = posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
	if (!r)
		r = posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
	if (!r)
		r = posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	if (!r)
		r = posix_spawn(ret_pid, "/proc/self/exe", &files, &attr, argv, no_variables);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return -r;
}

int sys_run_self(char *const *argv, int in, struct sys_child *ret)
{
	int ends[2];
	pid_t pid;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	int r = spawn(argv, in, ends[1], &pid);
	close(ends[1]);
	if (r) {
		close(ends[0]);
		return r;
	}
	*ret = (struct sys_child){.pid = pid, .out = ends[0]};
	return 0;
}

static int wait_readable(int fd, uint64_t until_ns)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	for (;;) {
		uint64_t now = sys_now_ns();
		if (now >= until_ns)
			return -ETIMEDOUT;
		int n = poll(&p, 1, (int)min_u64((until_ns - now) / 1000000 + 1, 60000));
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

int64_t sys_child_read(const struct sys_child *c, void *into, size_t max, uint64_t until_ns)
{
	size_t have = 0;
	for (;;) {
		int r = wait_readable(c->out, until_ns);
		if (r)
			return r;
		ssize_t n = read(c->out, (uint8_t *)into + have, max - have);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return have < max ? (int64_t)have : -EFBIG;
		have += n > 0 ? (size_t)n : 0;
	}
}

bool sys_child_end(struct sys_child *c)
{
	int status = 0;
	pid_t pid;
	close(c->out);
	kill(c->pid, SIGKILL);
	do
		pid = waitpid(c->pid, &status, 0);
	while (pid < 0 && errno == EINTR);
	return pid == c->pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// ---- what a child gives up -------------------------------------------------------------------------------------------------------------

#define ALLOW(number) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define FIELD(name) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, name))

// Reading and writing what is open, memory that is never executed, the end. Everything else fails with EPERM.
static int filter_calls(void)
{
	static struct sock_filter filter[] = {
		FIELD(arch),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		FIELD(nr),
		ALLOW(SYS_read),
		ALLOW(SYS_write),
		ALLOW(SYS_brk),
		ALLOW(SYS_munmap),
		ALLOW(SYS_mremap),
		ALLOW(SYS_exit),
		ALLOW(SYS_exit_group),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		FIELD(args[2]),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	static const struct sock_fprog program = {ARRAY_LEN(filter), filter};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		return -errno;
	return 0;
}

static int limit(int what, uint64_t to)
{
	struct rlimit l = {to, to};
	return setrlimit(what, &l) < 0 ? -errno : 0;
}

int sys_confine(uint64_t memory, unsigned cpu_seconds)
{
	if (syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, 0) < 0)
		return -errno;
	int r = prctl(PR_SET_DUMPABLE, 0) < 0 ? -errno : 0;
	if (!r)
		r = limit(RLIMIT_AS, memory);
	if (!r)
		r = limit(RLIMIT_CPU, cpu_seconds);
	if (!r)
		r = limit(RLIMIT_CORE, 0);
	if (!r)
		r = setpriority(PRIO_PROCESS, 0, 19) < 0 ? -errno : 0;
	return r ? r : filter_calls();
}
