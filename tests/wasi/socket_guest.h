// A guest with sockets, the peers that it has, and what tests of both ask.
#ifndef TESTS_WASI_SOCKET_GUEST_H
#define TESTS_WASI_SOCKET_GUEST_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "puppet.h"
#include "sys/sys.h"

#define TCP "[method]tcp-socket."
#define UDP "[method]udp-socket."
#define OUT "[method]output-stream."
#define IN "[method]input-stream."
#define EC(name) WASI_SOCKETS_NETWORK_ERROR_CODE_##name
enum { DONE = -1 };  // what `did` gives for a success

static struct loop *loop;
static struct puppet p;
static struct wasi_process process;
static struct seam_net_rule rules[4];
static struct seam_listen listens[4];
static struct arena arena;
static char denied[4][256];  // the last denial: what, flag; by order of kinds
static unsigned n_denied;

__attribute__((unused)) static void on_denial(void *ctx, enum seam_deny kind, const char *what, const char *flag)
{
	snprintf(denied[n_denied++ % 4], sizeof denied[0], "%s; %s", what, flag);
}

__attribute__((unused)) static void grant(const char *rule)
{
	assert_true(seam_net_rule_parse(&arena, slice_str(rule), &rules[p.grants.n_nets++], NULL));
}

__attribute__((unused)) static void let_listen(const char *address, bool udp)
{
	assert_true(seam_listen_parse(slice_str(address), udp, &listens[p.grants.n_listens++], NULL));
}

__attribute__((unused)) static int open_bare(void **s)
{
	static const char *const functions[] = {"wasi:sockets/tcp", "*", "wasi:sockets/tcp-create-socket", "*", "wasi:sockets/udp", "*",
		"wasi:sockets/udp-create-socket", "*", "wasi:sockets/instance-network", "*", "wasi:sockets/network", "*", "wasi:sockets/ip-name-lookup", "*",
		"wasi:io/streams", "*", "wasi:io/poll", "*", NULL};
	struct err e = {0};
	arena_init(&arena, 0);
	n_denied = 0;
	memset(denied, 0, sizeof denied);
	assert_true(wasi_process_open(&process, &e));
	p = (struct puppet){.loop = loop, .grants = {.nets = rules, .listens = listens, .log_denial = on_denial}};
	puppet_open(&p, functions);
	p.wasi.process = &process;
	return 0;
}

__attribute__((unused)) static int open_one(void **s)
{
	open_bare(s);
	grant("127.0.0.0/8");
	grant("::1");
	let_listen(":*", false);
	let_listen(":*", true);
	return 0;
}

__attribute__((unused)) static int close_one(void **s)
{
	puppet_close(&p);
	assert_int_equal(process.files.n, 0);
	wasi_process_close(&process);
	sys_net = sys_net_real;
	arena_release(&arena);
	return 0;
}

// ---- calls -----------------------------------------------------------------------------------------------------------------------------

__attribute__((unused)) static uint32_t net(void)
{
	return (uint32_t)CALL0(&p, "instance-network");
}

// The result of the last call, where it gives nothing else but an error-code (at `at`).
__attribute__((unused)) static int did_at(uint32_t at)
{
	return puppet_peek(&p, PUPPET_RESULT) ? (int)puppet_peek(&p, PUPPET_RESULT + at) : DONE;
}
__attribute__((unused)) static int did(void)
{
	return did_at(1);
}
#define GIVES(want, name, ...) (CALL(&p, name, __VA_ARGS__), assert_int_equal(did(), want))
#define GIVES4(want, name, ...) (CALL(&p, name, __VA_ARGS__), assert_int_equal(did_at(4), want))
#define GIVES8(want, name, ...) (CALL(&p, name, __VA_ARGS__), assert_int_equal(did_at(8), want))

__attribute__((unused)) static uint32_t new_socket(bool udp, bool v6)
{
	CALL(&p, udp ? "create-udp-socket" : "create-tcp-socket", v6);
	assert_int_equal(did_at(4), DONE);
	return puppet_word(&p, PUPPET_RESULT + 4);
}

// An address of IPv4 or IPv6 as its flat form behind (self, network).
__attribute__((unused)) static const char *address_text = "127.0.0.1";
__attribute__((unused)) static int at_address(const char *name, uint32_t self, const char *text, uint16_t port, bool with_net)
{
	uint64_t args[16] = {self, net()};
	uint64_t *a = args + (with_net ? 2 : 1);
	struct in6_addr v6;
	struct in_addr v4;
	if (inet_pton(AF_INET, text, &v4) == 1) {
		a[1] = port;
		for (int i = 0; i < 4; i++)
			a[2 + i] = ((const uint8_t *)&v4)[i];
	} else {
		assert_int_equal(inet_pton(AF_INET6, text, &v6), 1);
		a[0] = 1;
		a[1] = port;
		for (int i = 0; i < 8; i++)
			a[3 + i] = (uint64_t)(v6.s6_addr[2 * i] << 8 | v6.s6_addr[2 * i + 1]);
	}
	puppet_call(&p, name, args, with_net ? 14 : 13);
	return did();
}
__attribute__((unused)) static int start_bind(uint32_t s, const char *ip, uint16_t port)
{
	return at_address(TCP "start-bind", s, ip, port, true);
}
__attribute__((unused)) static int start_connect(uint32_t s, const char *ip, uint16_t port)
{
	return at_address(TCP "start-connect", s, ip, port, true);
}
__attribute__((unused)) static void bind_to(uint32_t s, const char *ip, uint16_t port)
{
	assert_int_equal(start_bind(s, ip, port), DONE);
	GIVES(DONE, TCP "finish-bind", s);
}
__attribute__((unused)) static void wait_for(uint32_t s, const char *subscribe)
{
	uint32_t w = (uint32_t)CALL(&p, subscribe, s);
	CALL(&p, "[method]pollable.block", w);
	puppet_drop(&p, &wasi_io_poll_pollable_resource, w);
}
__attribute__((unused)) static uint16_t port_of(const char *name, uint32_t s)
{
	CALL(&p, name, s);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT), 0);
	return (uint16_t)(puppet_peek(&p, PUPPET_RESULT + 8) | puppet_peek(&p, PUPPET_RESULT + 9) << 8);
}

struct stream {
	uint32_t socket, in, out;
};
__attribute__((unused)) static int finish_connect(uint32_t s, struct stream *ret)
{
	wait_for(s, TCP "subscribe");
	CALL(&p, TCP "finish-connect", s);
	*ret = (struct stream){s, puppet_word(&p, PUPPET_RESULT + 4), puppet_word(&p, PUPPET_RESULT + 8)};
	return did_at(4);
}
__attribute__((unused)) static struct stream connect_to(const char *ip, uint16_t port)
{
	struct stream c;
	uint32_t s = new_socket(false, strchr(ip, ':'));
	assert_int_equal(start_connect(s, ip, port), DONE);
	assert_int_equal(finish_connect(s, &c), DONE);
	return c;
}
__attribute__((unused)) static uint32_t listen_at(const char *ip, uint16_t *ret_port)
{
	uint32_t s = new_socket(false, strchr(ip, ':'));
	bind_to(s, ip, 0);
	GIVES(DONE, TCP "start-listen", s);
	GIVES(DONE, TCP "finish-listen", s);
	*ret_port = port_of(TCP "local-address", s);
	return s;
}
__attribute__((unused)) static struct stream accept_one(uint32_t listener)
{
	wait_for(listener, TCP "subscribe");
	GIVES4(DONE, TCP "accept", listener);
	return (struct stream){puppet_word(&p, PUPPET_RESULT + 4), puppet_word(&p, PUPPET_RESULT + 8), puppet_word(&p, PUPPET_RESULT + 12)};
}
__attribute__((unused)) static void drop_stream(const struct stream *c)
{
	puppet_drop(&p, &wasi_io_streams_input_stream_resource, c->in);
	puppet_drop(&p, &wasi_io_streams_output_stream_resource, c->out);
	puppet_drop(&p, &wasi_sockets_tcp_tcp_socket_resource, c->socket);
}
// Of a stream's function: 0, or 1 + the case of stream-error.
__attribute__((unused)) static unsigned stream_did(uint32_t at)
{
	return puppet_peek(&p, PUPPET_RESULT) ? 1 + puppet_peek(&p, PUPPET_RESULT + at) : 0;
}
enum { FINE, FAILED, CLOSED };
__attribute__((unused)) static void reads(uint32_t in, const char *want)
{
	CALL(&p, IN "blocking-read", in, 1000);
	assert_int_equal(stream_did(4), FINE);
	uint32_t at = puppet_word(&p, PUPPET_RESULT + 4), n = puppet_word(&p, PUPPET_RESULT + 8);
	assert_int_equal(n, strlen(want));
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(puppet_peek(&p, at + i), want[i]);
}
__attribute__((unused)) static void writes(uint32_t out, const char *text)
{
	uint32_t at = puppet_poke(&p, 0, slice_str(text));
	CALL(&p, OUT "blocking-write-and-flush", out, at, strlen(text));
	assert_int_equal(stream_did(4), FINE);
}
__attribute__((unused)) static uint32_t permit(uint32_t out)
{
	CALL(&p, OUT "check-write", out);
	assert_int_equal(stream_did(8), FINE);
	return puppet_word(&p, PUPPET_RESULT + 8);
}

// ---- peers of the guest's ----------------------------------------------------------------------------------------------------------------

__attribute__((unused)) static int peer_listens(const char *ip, uint16_t *ret_port)
{
	struct sys_address a;
	assert_true(sys_address_parse(ip, 0, &a));
	int fd = socket(strchr(ip, ':') ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (const void *)a.bytes, a.len), 0);
	assert_int_equal(listen(fd, 16), 0);
	socklen_t len = sizeof a.bytes;
	assert_int_equal(getsockname(fd, (void *)a.bytes, &len), 0);
	memcpy(ret_port, a.bytes + 2, 2);
	*ret_port = ntohs(*ret_port);
	return fd;
}
__attribute__((unused)) static int peer_connects(const char *ip, uint16_t port)
{
	struct sys_address a;
	assert_true(sys_address_parse(ip, port, &a));
	int fd = socket(strchr(ip, ':') ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (const void *)a.bytes, a.len), 0);
	return fd;
}
__attribute__((unused)) static void peer_resets(int fd)
{
	struct linger l = {.l_onoff = 1};
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l), 0);
	close(fd);
}
__attribute__((unused)) static int free_port(void)
{
	uint16_t port;
	close(peer_listens("127.0.0.1", &port));
	return port;
}

// ---- datagrams -------------------------------------------------------------------------------------------------------------------------

struct pair {
	uint32_t socket, in, out;
};
__attribute__((unused)) static int udp_stream(uint32_t s, const char *ip, uint16_t port, struct pair *ret)
{
	uint64_t args[14] = {s, ip != NULL};
	struct in_addr v4;
	if (ip) {
		assert_int_equal(inet_pton(AF_INET, ip, &v4), 1);
		args[3] = port;
		for (int i = 0; i < 4; i++)
			args[4 + i] = ((const uint8_t *)&v4)[i];
	}
	puppet_call(&p, UDP "stream", args, 14);
	*ret = (struct pair){s, puppet_word(&p, PUPPET_RESULT + 4), puppet_word(&p, PUPPET_RESULT + 8)};
	return did_at(4);
}
__attribute__((unused)) static void drop_pair(const struct pair *d)
{
	puppet_drop(&p, &wasi_sockets_udp_incoming_datagram_stream_resource, d->in);
	puppet_drop(&p, &wasi_sockets_udp_outgoing_datagram_stream_resource, d->out);
}
__attribute__((unused)) static uint32_t udp_bound(const char *ip, uint16_t port)
{
	uint32_t s = new_socket(true, false);
	assert_int_equal(at_address(UDP "start-bind", s, ip, port, true), DONE);
	GIVES(DONE, UDP "finish-bind", s);
	return s;
}
// As it lies in memory: {list {at, len}, option {some @8, address {tag @12, port @16, ip @18}}}, 44 bytes.
enum { DATAGRAM = 44 };
__attribute__((unused)) static void put_datagram(uint32_t k, uint32_t at, uint32_t len, const char *ip, uint16_t port)
{
	uint8_t d[DATAGRAM] = {0};
	memcpy(d, &at, 4);
	memcpy(d + 4, &len, 4);
	if (ip) {
		d[8] = 1;
		memcpy(d + 16, &port, 2);
		assert_int_equal(inet_pton(AF_INET, ip, d + 18), 1);
	}
	puppet_poke(&p, 1024 + k * DATAGRAM, slice_of(d, sizeof d));
}
__attribute__((unused)) static int sends(uint32_t out, uint32_t n)
{
	CALL(&p, "[method]outgoing-datagram-stream.check-send", out);
	assert_int_equal(puppet_word(&p, PUPPET_RESULT + 8), 16);
	CALL(&p, "[method]outgoing-datagram-stream.send", out, PUPPET_ARGS + 1024, n);
	return did_at(8);
}
// How many come (of at most `max`), and the bytes of the first.
__attribute__((unused)) static uint32_t hears(uint32_t in, uint64_t max, const char *first)
{
	CALL(&p, "[method]incoming-datagram-stream.receive", in, max);
	assert_int_equal(did_at(4), DONE);
	uint32_t list = puppet_word(&p, PUPPET_RESULT + 4), n = puppet_word(&p, PUPPET_RESULT + 8);
	uint32_t at = n ? puppet_word(&p, list) : 0;
	for (uint32_t i = 0; n && first && first[i]; i++)
		assert_int_equal(puppet_peek(&p, at + i), first[i]);
	return n;
}
__attribute__((unused)) static void wait_to_hear(uint32_t in)
{
	wait_for(in, "[method]incoming-datagram-stream.subscribe");
}
__attribute__((unused)) static int peer_datagrams(uint16_t *ret_port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof a;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (const void *)&a, len), 0);
	assert_int_equal(getsockname(fd, (void *)&a, &len), 0);
	*ret_port = ntohs(a.sin_port);
	return fd;
}
__attribute__((unused)) static void peer_sends(int fd, const char *text, uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
	assert_int_equal(sendto(fd, text, strlen(text), 0, (const void *)&a, sizeof a), strlen(text));
}

// ---- names -----------------------------------------------------------------------------------------------------------------------------

__attribute__((unused)) static int delay_ms;
__attribute__((unused)) static int answers(const char *host, uint16_t port, bool numeric, struct sys_address *ret, uint32_t max)
{
	char text[32];
	usleep((useconds_t)delay_ms * 1000);
	if (strcmp(host, "none.test") == 0)
		return 0;
	if (strcmp(host, "silent.test") == 0)
		return -EAGAIN;
	if (strcmp(host, "broken.test") == 0)
		return -EIO;
	if (strcmp(host, "many.test") == 0) {
		for (uint32_t i = 0; i < max; i++) {
			snprintf(text, sizeof text, "10.0.%u.1", i);
			sys_address_parse(text, port, &ret[i]);
		}
		return (int)max;
	}
	sys_address_parse("127.0.0.1", port, &ret[0]);
	sys_address_parse("127.0.0.1", port, &ret[1]);
	sys_address_parse("::ffff:10.0.0.7", port, &ret[2]);
	sys_address_parse("::1", port, &ret[3]);
	return 4;
}

__attribute__((unused)) static int look_up(const char *name, uint32_t *ret)
{
	puppet_poke(&p, 0, slice_str(name));
	CALL(&p, "resolve-addresses", net(), PUPPET_ARGS, strlen(name));
	*ret = puppet_word(&p, PUPPET_RESULT + 4);
	return did_at(4);
}
__attribute__((unused)) static int next_address(uint32_t stream, char *ip, size_t cap)
{
	uint8_t bytes[16];
	CALL(&p, "[method]resolve-address-stream.resolve-next-address", stream);
	*ip = 0;
	if (puppet_peek(&p, PUPPET_RESULT) == 0 && puppet_peek(&p, PUPPET_RESULT + 2)) {
		bool v6 = puppet_peek(&p, PUPPET_RESULT + 4);
		for (uint32_t i = 0; i < 16; i++)
			bytes[i] = (uint8_t)puppet_peek(&p, PUPPET_RESULT + 6 + (v6 ? i ^ 1 : i));
		inet_ntop(v6 ? AF_INET6 : AF_INET, bytes, ip, (socklen_t)cap);
	}
	return did_at(2);
}
__attribute__((unused)) static void wait_for_answer(uint32_t stream)
{
	wait_for(stream, "[method]resolve-address-stream.subscribe");
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, open_one, close_one)
#define BARE(t) cmocka_unit_test_setup_teardown(t, open_bare, close_one)

__attribute__((unused)) static int setup(void **state)
{
	struct err e = {0};
	return vm_process_init(&e) && loop_new(&loop, &e) && vm_shard_new(&shard, &e) ? 0 : -1;
}

__attribute__((unused)) static int teardown(void **state)
{
	vm_shard_free(shard);
	loop_free(loop);
	return 0;
}

#endif
