// A server within the test's own process: thread 0 is the test's, which runs its loop; clients are threads.
#ifndef TENON_SERVE_TEST_HARNESS_H
#define TENON_SERVE_TEST_HARNESS_H

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include "serve/serve_int.h"
#include "sys/sys.h"

static struct serve_process process;
static struct serve_config config;
static char path[1024];
static atomic_uint answered, refused, failed;

// Of examples/misbehave, with what the test changes afterwards.
static inline void prepare(unsigned shards)
{
	const char *source = getenv("TENON_SOURCE");
	assert_true(vm_process_handle_signals(NULL));  // cmocka has taken them for each test
	snprintf(path, sizeof path, "%s/examples/misbehave/misbehave.wasm", source ? source : ".");
	static const char *addresses[] = {"127.0.0.1:0"};
	config = (struct serve_config){.listener.addresses = {.ptr = addresses, .len = 1}, .process.log_level = SERVE_LOG_ERROR, .service = {.path = path, .no_cache = true}};
	serve_limits_default(&config, true);
	config.process.shards = shards;
	config.service.limits.memory = 16 * MIB;
	atomic_store(&answered, 0);
	atomic_store(&refused, 0);
	atomic_store(&failed, 0);
}

static inline bool open_process(struct err *e)
{
	static struct serve_one one;
	serve__setup_one(&config, &one);
	if (e)
		err_clear(e);
	return serve__process_open(&process, &one.setup, e);
}

static inline void must_open(unsigned shards)
{
	struct err e;
	prepare(shards);
	if (!open_process(&e))
		fail_msg("%s", e.text);
}

static inline void go_round(unsigned times)
{
	for (unsigned i = 0; i < times; i++)
		loop_run_once(process.threads[0].loop, MILLISECOND);
}

static inline int connect_to_it(void)
{
	struct sockaddr_in to;
	struct timeval patience = {.tv_sec = 60};
	memcpy(&to, process.listeners[0].address.bytes, sizeof to);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
		return fd;
	close(fd);
	return -1;
}

// One request on a connection of its own; its status, 0: none.
static inline unsigned ask(const char *target)
{
	char text[512];
	int fd = connect_to_it(), n = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", target);
	unsigned status = 0;
	if (fd >= 0 && send(fd, text, (size_t)n, MSG_NOSIGNAL) == n && recv(fd, text, sizeof text, MSG_WAITALL) > 12)
		status = (unsigned)strtoul(text + 9, NULL, 10);
	if (fd >= 0)
		close(fd);
	return status;
}

static inline void *ask_once(void *target)
{
	unsigned status = ask(target);
	atomic_fetch_add(status == 200 ? &answered : status >= 500 ? &refused
															   : &failed,
		1);
	return NULL;
}

// While the loop goes round.
static inline void join(pthread_t thread)
{
	while (pthread_tryjoin_np(thread, NULL) == EBUSY)
		go_round(1);
}

static inline pthread_t start_client(void *(*fn)(void *), const char *target)
{
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, fn, UNCONST(target)), 0);
	return thread;
}

#endif
