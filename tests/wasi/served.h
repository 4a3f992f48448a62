// A server in the test's own thread, a client of it, and the request that it brought.
#ifndef TESTS_WASI_SERVED_H
#define TESTS_WASI_SERVED_H

#include <sys/socket.h>
#include <unistd.h>

#include "puppet.h"

static struct loop *loop;
static struct http_server *server;
static struct http_exchange *arrived;
static int client = -1;

static void on_request(void *user, struct http_exchange *x)
{
	arrived = x;
}

__attribute__((unused)) static void new_client(void)
{
	struct err e = {0};
	int pair[2];
	if (client >= 0)
		close(client);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0 || !http_server_adopt(server, pair[0], &e))
		fail_msg("%s", e.text);
	client = pair[1];
}

// The client sends it, and the server has it: `arrived`.
__attribute__((unused)) static void send_request(const char *text)
{
	arrived = NULL;
	assert_int_equal(write(client, text, strlen(text)), strlen(text));
	for (int i = 0; i < 1000 && !arrived; i++)
		loop_run_once(loop, MILLISECOND);
	assert_non_null(arrived);
}

static int setup(void **s)
{
	struct err e = {0};
	struct http_server_config config = {.limits = http_limits_default, .on_request = on_request};
	if (!vm_process_init(&e) || !vm_shard_new(&shard, &e) || !loop_new(&loop, &e) || !http_server_new(loop, &config, &server, &e))
		fail_msg("%s", e.text);
	return 0;
}

static int teardown(void **s)
{
	http_server_free(server);
	vm_shard_free(shard);
	loop_free(loop);
	return 0;
}

#endif
