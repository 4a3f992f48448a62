// A service manager is given signs of life as long as every thread's loop goes round.
#include <sys/un.h>

#include "harness.h"

static int manager = -1;

static void listen_for_signs(void)
{
	char name[64];
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int n = snprintf(name, sizeof name, "@tenon-test-%d", (int)getpid());
	memcpy(un.sun_path, name, (size_t)n);
	un.sun_path[0] = 0;
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(manager, (struct sockaddr *)&un, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n)), 0);
	setenv("NOTIFY_SOCKET", name, 1);
	setenv("WATCHDOG_USEC", "8000", 1);
	unsetenv("WATCHDOG_PID");
}

static unsigned signs(void)
{
	char text[1024];
	unsigned n = 0;
	ssize_t len;
	while ((len = recv(manager, text, sizeof text - 1, 0)) >= 0) {
		text[len] = 0;
		n += strcmp(text, "WATCHDOG=1") == 0;
	}
	return n;
}

static atomic_bool held, holds;

static void hold(struct loop_remote *r)
{
	atomic_store(&holds, true);
	while (atomic_load(&held))
		usleep(100);
}

static void a_thread_that_hangs_is_noticed(void **state)
{
	struct loop_remote job = {.fn = hold};
	listen_for_signs();
	must_open(2);
	serve__manager_ready(&process);
	for (unsigned i = 0, seen = 0; seen < 3; i++) {
		assert_true(i < 20000);
		go_round(1);
		seen += signs();
	}
	atomic_store(&held, true);
	loop_post_remote(process.threads[1].loop, &job);
	for (unsigned i = 0; !atomic_load(&holds); i++) {
		assert_true(i < 20000);
		go_round(1);
	}
	go_round(20);
	signs();
	go_round(50);  // of a millisecond and more, unless something happens
	unsigned meanwhile = signs();
	atomic_store(&held, false);
	assert_int_equal(meanwhile, 0);
	for (unsigned i = 0, seen = 0; seen < 3; i++) {
		assert_true(i < 20000);
		go_round(1);
		seen += signs();
	}
	serve__process_close(&process);
	close(manager);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(a_thread_that_hangs_is_noticed)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
