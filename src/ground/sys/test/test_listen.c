// Sockets to listen on: of two that want one place, one gets it.
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "sys/sys.h"

enum { ROUNDS = 300 };
static struct sockaddr_in wanted;
static char path[SYS_SOCKET_PATH_MAX + 1];
static pthread_barrier_t start, end;
static int got[2];

static int listen_there(void)
{
	struct sockaddr_in address = wanted;
	uint32_t len = sizeof address;
	int fd = -1;
	return sys_listen(&address, &len, true, true, 8, &fd, NULL) ? fd : -1;
}

static int listen_at_path(void)
{
	struct sys_socket_file file;
	int fd = -1;
	return sys_listen_file(path, 8, &fd, &file, NULL) ? fd : -1;
}

struct competitor {
	int (*listen)(void);
	int index;
};

static void *compete(void *arg)
{
	const struct competitor *c = arg;
	for (int i = 0; i < ROUNDS; i++) {
		pthread_barrier_wait(&start);
		got[c->index] = c->listen();
		pthread_barrier_wait(&end);
	}
	return NULL;
}

static void at_most_one_gets_it(int (*listen_somewhere)(void))
{
	pthread_t threads[2];
	struct competitor competitors[2] = {{listen_somewhere, 0}, {listen_somewhere, 1}};
	unsigned times = 0;
	pthread_barrier_init(&start, NULL, 3);
	pthread_barrier_init(&end, NULL, 3);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, compete, &competitors[i]), 0);
	for (int i = 0; i < ROUNDS; i++) {
		pthread_barrier_wait(&start);
		pthread_barrier_wait(&end);
		assert_true(got[0] < 0 || got[1] < 0);
		times += got[0] >= 0 || got[1] >= 0;
		sys_close(got[0]);
		sys_close(got[1]);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_true(times > 0);
}

static void two_servers_never_have_one_port(void **state)
{
	uint32_t len = sizeof wanted;
	int fd;
	wanted = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	assert_true(sys_listen(&wanted, &len, true, false, 8, &fd, NULL));
	close(fd);
	at_most_one_gets_it(listen_there);
}

static void nor_one_path(void **state)
{
	char folder[] = "/tmp/tenon-listen-XXXXXX";
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/s", folder);
	at_most_one_gets_it(listen_at_path);
	unlink(path);
	rmdir(folder);
}

static void others_of_the_same_process_may_share_a_port_that_was_had_alone(void **state)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	uint32_t len = sizeof address;
	int first, second, third;
	assert_true(sys_listen(&address, &len, true, true, 8, &first, NULL));
	assert_true(sys_listen(&address, &len, false, true, 8, &second, NULL));
	assert_false(sys_listen(&address, &len, true, true, 8, &third, NULL));
	close(first);
	assert_false(sys_listen(&address, &len, true, true, 8, &third, NULL));
	close(second);
}

static bool leaves_at_once(int fd)
{
	int value = 0;
	socklen_t len = sizeof value;
	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &len), 0);
	return value;
}

// U26: listened on and accepted, asked for, a guest's, handed over.
static void no_socket_waits_for_more_to_send_U26(void **state)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	uint32_t len = sizeof address;
	struct sys_address to;
	char at[SYS_SOCKET_PATH_MAX + 2];
	int listener, handed = socket(AF_INET, SOCK_STREAM, 0);
	assert_true(sys_listen(&address, &len, true, false, 8, &listener, NULL));
	assert_true(sys_address_parse("127.0.0.1", ntohs(address.sin_port), &to));
	int out = sys_net.connect(&to), in = accept(listener, NULL, NULL), v4 = sys_socket(false, false);
	assert_true(out >= 0 && in >= 0 && v4 >= 0 && handed >= 0);
	assert_true(leaves_at_once(out) && leaves_at_once(in) && leaves_at_once(v4));
	assert_int_equal(listen(handed, 8), 0);
	assert_false(leaves_at_once(handed));
	assert_true(sys_handed_socket(handed, &to, at, NULL) && leaves_at_once(handed));
	const int all[] = {out, in, v4, handed, listener};
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		close(all[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_servers_never_have_one_port),
		cmocka_unit_test(nor_one_path),
		cmocka_unit_test(no_socket_waits_for_more_to_send_U26),
		cmocka_unit_test(others_of_the_same_process_may_share_a_port_that_was_had_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
