// A process at its end is ended by the next SIGTERM or SIGINT: as by one that was never caught, also the first process of a container, for which that does nothing.
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"
#include "sys/sys.h"

enum { NOT_ENDED = 77, NO_CONTAINER = 78 };

static void nothing(void *arg)
{
}

// Of a child: it was asked to stop, has something to do yet, and is asked again.
static void end_by(int sig)
{
	sigset_t blocked;
	sigemptyset(&blocked);
	sigaddset(&blocked, sig);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	sys_stop_begin(nothing, NULL);
	sys_stop_at_once();
	kill(getpid(), sig);
	_exit(NOT_ENDED);
}

static int status_of(pid_t pid)
{
	int status;
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static const int signals[] = {SIGTERM, SIGINT};

static void it_ends_by_the_signal(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
		pid_t pid = fork();
		if (pid == 0)
			end_by(signals[i]);
		int status = status_of(pid);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), signals[i]);
	}
}

static void be_the_first_and_end_by(int sig)
{
	int status;
	if (unshare(CLONE_NEWPID) && unshare(CLONE_NEWUSER | CLONE_NEWPID))
		_exit(NO_CONTAINER);
	pid_t first = fork();
	if (first == 0)
		end_by(sig);
	if (first < 0 || waitpid(first, &status, 0) != first)
		_exit(NO_CONTAINER);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

static void the_first_process_ends_with_its_number(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
		pid_t pid = fork();
		if (pid == 0)
			be_the_first_and_end_by(signals[i]);
		int status = status_of(pid);
		assert_true(WIFEXITED(status));
		if (WEXITSTATUS(status) == NO_CONTAINER)
			skip();
		assert_int_equal(WEXITSTATUS(status), 128 + signals[i]);
	}
}

static void what_is_ignored_stays_ignored(void **state)
{
	pid_t pid = fork();
	if (pid == 0) {
		signal(SIGINT, SIG_IGN);
		end_by(SIGINT);
	}
	int status = status_of(pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), NOT_ENDED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_ends_by_the_signal),
		cmocka_unit_test(the_first_process_ends_with_its_number),
		cmocka_unit_test(what_is_ignored_stays_ignored),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
