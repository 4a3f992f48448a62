// The server's limits and time-outs, its drain, and what it does when calls of the system or allocations fail.
#include <fcntl.h>

#include "harness.h"

static struct http_limits quick(void)
{
	struct http_limits l = http_limits_default;
	l.idle_ns = l.head_ns = l.body_ns = l.write_ns = 120 * MS;
	return l;
}

static void refused(const char *text, const char *status)
{
	struct client c = ask(text);
	if (!has(&c, status) || !has(&c, "Connection: close") || c.reset)
		fail_msg("'%.60s': '%.*s', not %s", text, SLICE_ARGS(buf_view(&c.in)), status);
	hang_up(&c);
}

static void L83_heads_beyond_the_limits_are_431(void **state)
{
	start_server(NULL);
	struct buf b = {0};
	buf_put_str(&b, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
	while (b.len < 70000)
		buf_put_byte(&b, 'x');
	struct client c = dial();
	send_bytes(&c, b.ptr, b.len);
	wait_end(&c);
	assert_true(has(&c, "HTTP/1.1 431 "));
	hang_up(&c);
	buf_clear(&b);
	buf_put_str(&b, "GET /hello HTTP/1.1\r\nHost: a\r\nX: ");
	while (b.len < 60000)  // below the limit, more than a small block
		buf_put_byte(&b, 'x');
	buf_put_str(&b, "\r\n\r\n");
	c = dial();
	for (int i = 0; i < 2; i++) {
		send_bytes(&c, b.ptr, b.len);
		wait_times(&c, "hello", i + 1);
	}
	hang_up(&c);
	buf_clear(&b);
	buf_put_str(&b, "GET / HTTP/1.1\r\nHost: a\r\n");
	for (int i = 0; i < 128; i++)
		buf_put_str(&b, "X: y\r\n");
	buf_put_str(&b, "\r\n");
	buf_put_byte(&b, 0);
	refused((char *)b.ptr, "HTTP/1.1 431 ");
	buf_release(&b);
	stop_server();
}

static void malformed_messages_are_400_and_the_end(void **state)
{
	start_server(NULL);
	refused("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 ");
	refused("GET / HTTP/1.1\nHost: a\n\n", "HTTP/1.1 400 ");
	refused("POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 400 ");
	refused("POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "HTTP/1.1 400 ");
	refused("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "HTTP/1.1 505 ");
	refused("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 501 ");
	assert_int_equal(held_count, 0);
	struct client c = dial();  // malformed in the middle of a body that is being read
	say(&c, "POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
	wait_held(1);
	say(&c, "oops\r\n");
	wait_end(&c);
	assert_true(has(&c, "HTTP/1.1 400 Bad Request"));
	assert_true(held->cancelled && held->why == HTTP_CANCEL_BAD_BODY);
	let_go(held);
	hang_up(&c);
	c = dial();  // and after the answer began: cut
	say(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
	wait_for(&c, "1\r\na\r\n");
	say(&c, "oops\r\n");
	wait_end(&c);
	assert_false(has(&c, "400") || has(&c, "0\r\n\r\n"));
	let_go(held);
	hang_up(&c);
	stop_server();
}

static void bodies_beyond_the_limit_are_413(void **state)
{
	struct http_limits l = http_limits_default;
	l.body_bytes = 10;
	start_server(&l);
	refused("POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n", "HTTP/1.1 413 ");
	assert_int_equal(held_count, 0);
	struct client c = dial();
	say(&c, "POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789");
	wait_for(&c, "got 10");
	say(&c, "POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n012345\r\n");
	wait_held(1);
	say(&c, "5\r\n01234\r\n0\r\n\r\n");
	wait_end(&c);
	assert_true(has(&c, "HTTP/1.1 413 "));
	assert_true(held->cancelled && held->why == HTTP_CANCEL_TOO_LARGE);
	let_go(held);
	hang_up(&c);
	stop_server();
}

static void an_idle_connection_is_closed(void **state)
{
	struct http_limits l = quick();
	start_server(&l);
	struct client c = dial();
	wait_end(&c);
	assert_int_equal(c.in.len, 0);
	hang_up(&c);
	c = dial();
	for (int i = 0; i < 6; i++) {  // each request puts it off
		say(&c, GET("/hello"));
		wait_times(&c, "hello", i + 1);
		uint64_t until = sys_now_ns() + 20 * MS;
		while (sys_now_ns() < until)
			turn(1);
	}
	assert_false(c.eof);
	wait_end(&c);
	assert_false(has(&c, "408"));
	hang_up(&c);
	stop_server();
}

static void a_head_that_takes_too_long_is_408(void **state)
{
	struct http_limits l = quick();
	l.idle_ns = 5000 * MS;
	start_server(&l);
	struct client c = dial();
	for (const char *p = "GET /hello HTTP/1.1\r\nHost: aaaaaaaaaaaaaaaaaaaaaaaa"; *p && !c.eof; p++) {  // a byte now and then does not help
		send_bytes(&c, p, 1);
		uint64_t until = sys_now_ns() + 5 * MS;
		while (sys_now_ns() < until)
			turn(1);
		receive_some(&c);
	}
	wait_end(&c);
	assert_true(has(&c, "HTTP/1.1 408 "));
	hang_up(&c);
	stop_server();
}

static void a_body_without_progress_is_408_or_the_end(void **state)
{
	struct http_limits l = quick();
	l.idle_ns = l.head_ns = 5000 * MS;
	start_server(&l);
	struct client c = dial();
	say(&c, "POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
	wait_end(&c);
	assert_true(has(&c, "HTTP/1.1 408 "));
	assert_true(held->cancelled && held->why == HTTP_CANCEL_TIMEOUT);
	let_go(held);
	hang_up(&c);
	c = dial();
	say(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
	wait_end(&c);
	assert_false(has(&c, "408"));
	assert_true(has(&c, "3\r\nabc\r\n") && !has(&c, "0\r\n\r\n"));
	let_go(held);
	hang_up(&c);
	c = dial();  // an owner that does not wait for the body is not hurried
	say(&c, "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
	wait_held(1);
	uint64_t until = sys_now_ns() + 300 * MS;
	while (sys_now_ns() < until)
		turn(1);
	assert_false(held->cancelled);
	let_go(held);
	hang_up(&c);
	stop_server();
}

static void a_client_that_takes_nothing_is_cut_off(void **state)
{
	struct http_limits l = quick();
	l.idle_ns = 5000 * MS;
	start_server(&l);
	struct client c = dial();
	say(&c, GET("/big"));
	wait_held(1);
	wait_until(&held->cancelled);
	assert_int_equal(held->why, HTTP_CANCEL_TIMEOUT);
	let_go(held);
	hang_up(&c);
	stop_server();
}

static struct http_gate *gate;
static int full_count, accepts_left;
static enum http_full last_full;

static void on_full(void *user, enum http_full what, const struct http_address *peer)
{
	full_count++;
	last_full = what;
}

static void start_gated(uint64_t connections, uint64_t per_client)
{
	full_count = 0;
	assert_true(http_gate_new(connections, per_client, &gate, NULL));
	start_server_with((struct http_server_config){.limits = http_limits_default, .on_request = on_request, .gate = gate, .on_full = on_full});
}

static void stop_gated(void)
{
	stop_server();
	http_gate_free(gate);
}

static void wait_ms(unsigned ms)
{
	uint64_t until = sys_now_ns() + ms * MS;
	while (sys_now_ns() < until)
		turn(1);
}

static void connections_beyond_the_limit_wait(void **state)
{
	start_gated(2, HTTP_NO_LIMIT);
	struct client a = dial(), b = dial();
	say(&a, GET("/hold"));
	say(&b, GET("/hold"));
	wait_held(2);
	struct client c = dial();
	say(&c, GET("/hello"));
	turn(10);
	receive_some(&c);
	assert_int_equal(c.in.len, 0);  // none is idle
	assert_int_equal(http_server_counters(server)->connections, 2);
	let_go(held);
	wait_for(&c, "hello");
	assert_int_equal(full_count, 1);
	hang_up(&a);
	hang_up(&b);
	hang_up(&c);
	stop_gated();
}

static void H6_the_longest_idle_makes_room(void **state)
{
	start_gated(3, HTTP_NO_LIMIT);
	struct client c[6];
	for (int i = 0; i < 3; i++) {
		c[i] = dial();
		say(&c[i], GET("/hello"));
		wait_for(&c[i], "hello");
		wait_ms(3);
	}
	say(&c[0], GET("/hello"));  // now the second is idle longest
	wait_times(&c[0], "hello", 2);
	for (int i = 3; i < 6; i++) {
		c[i] = dial();
		say(&c[i], GET("/hello"));
		wait_for(&c[i], "hello");
		wait_end(&c[i == 5 ? 0 : i - 2]);
		wait_ms(3);
	}
	assert_int_equal(http_server_counters(server)->evicted, 3);
	assert_int_equal(http_server_counters(server)->connections, 3);
	assert_int_equal(full_count, 1);  // said once
	for (int i = 0; i < 6; i++)
		hang_up(&c[i]);
	stop_gated();
}

// Who connects and says nothing, or a part of a head, holds his place only as long as a first packet needs.
static void H6_the_silent_and_the_slow_make_room(void **state)
{
	start_gated(2, HTTP_NO_LIMIT);
	struct client silent = dial(), slow = dial();
	say(&slow, "GET /hello HTTP/1.1\r\nHo");
	turn(10);
	struct client c = dial(), d = dial();
	say(&c, GET("/hold"));
	wait_end(&silent);
	wait_held(1);
	say(&d, GET("/hello"));
	wait_end(&slow);
	wait_for(&d, "hello");
	assert_int_equal(http_server_counters(server)->evicted, 2);
	let_go(held);
	wait_for(&c, "500 ");
	hang_up(&silent);
	hang_up(&slow);
	hang_up(&c);
	hang_up(&d);
	stop_gated();
}

static void H6_another_server_is_asked_for_room(void **state)
{
	struct http_server *first;
	start_gated(2, HTTP_NO_LIMIT);
	struct client a = dial(), b = dial();
	say(&a, GET("/hello"));
	say(&b, GET("/hello"));
	wait_for(&a, "hello");
	wait_for(&b, "hello");
	first = server;
	struct http_server_config config = {.limits = http_limits_default, .on_request = on_request, .gate = gate};
	assert_true(http_server_new(loop, &config, &server, NULL));
	assert_true(http_address_parse(SLICE_LIT("127.0.0.1:0"), &address, NULL));
	assert_true(http_server_listen(server, &address, true, NULL));
	struct client c = dial();
	say(&c, GET("/hello"));
	wait_for(&c, "hello");
	assert_int_equal(http_server_counters(first)->connections, 1);
	http_server_free(server);
	server = first;
	hang_up(&a);
	hang_up(&b);
	hang_up(&c);
	stop_gated();
}

static int64_t accept_short(int fd, void *addr, uint32_t *len)
{
	return accepts_left-- > 0 ? sys_net_real.accept(fd, addr, len) : -EMFILE;
}

static void H6_where_descriptors_are_short_idle_ones_are_closed(void **state)
{
	start_gated(1000, HTTP_NO_LIMIT);
	struct client a = dial(), b = dial();
	say(&a, GET("/hello"));
	say(&b, GET("/hello"));
	wait_for(&a, "hello");
	wait_for(&b, "hello");
	accepts_left = 0;
	sys_net.accept = accept_short;
	struct client c = dial();
	say(&c, GET("/hello"));
	wait_end(&a);
	wait_end(&b);
	sys_net = sys_net_real;
	wait_for(&c, "hello");
	assert_int_equal(last_full, HTTP_FULL_DESCRIPTORS);
	hang_up(&a);
	hang_up(&b);
	hang_up(&c);
	stop_gated();
}

static void who_finds_no_memory_waits_until_there_is_some(void **state)
{
	start_gated(1000, HTTP_NO_LIMIT);
	struct client a = dial();
	say(&a, GET("/hold"));
	wait_held(1);
	mem_fail_nth(1);
	struct client b = dial();
	say(&b, GET("/hello"));
	wait_for(&b, "hello");
	mem_fail_nth(0);
	assert_int_equal(full_count, 1);
	assert_int_equal(last_full, HTTP_FULL_MEMORY);
	hang_up(&a);
	hang_up(&b);
	stop_gated();
}

static void who_has_just_come_is_not_idle(void **state)
{
	start_gated(2, HTTP_NO_LIMIT);
	struct client a = dial(), b = dial();
	wait_ms(20);
	struct client c = dial();
	say(&c, GET("/hello"));
	wait_ms(50);
	say(&a, GET("/hello"));
	say(&b, GET("/hello"));
	wait_for(&a, "hello");
	wait_for(&b, "hello");
	wait_for(&c, "hello");
	hang_up(&a);
	hang_up(&b);
	hang_up(&c);
	stop_gated();
}

static void H5_a_client_has_so_many_connections(void **state)
{
	start_gated(HTTP_NO_LIMIT, 2);
	struct client a = dial(), b = dial(), c = dial();
	say(&a, GET("/hello"));
	wait_for(&a, "hello");
	wait_end(&c);
	assert_int_equal(c.in.len, 0);
	assert_int_equal(http_server_counters(server)->turned_away, 1);
	assert_int_equal(last_full, HTTP_FULL_CLIENT);
	hang_up(&b);
	hang_up(&c);
	turn(5);
	c = dial();
	say(&c, GET("/hello"));
	wait_for(&c, "hello");
	hang_up(&a);
	hang_up(&c);
	stop_gated();
}

static void H5_a_body_in_drops_is_too_slow(void **state)
{
	struct http_limits l = http_limits_default;
	l.min_rate = 1000;
	l.grace_ns = 100 * MS;
	start_server(&l);
	for (int echo = 0; echo < 2; echo++) {
		struct client c = dial();
		say(&c, echo ? "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" : "POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
		for (int i = 0; i < 500 && !c.eof; i++) {  // 200 bytes a second
			send_bytes(&c, "x", 1);
			wait_ms(5);
			receive_some(&c);
		}
		wait_end(&c);
		assert_int_equal(has(&c, "HTTP/1.1 408 "), !echo);
		assert_true(held->cancelled && held->why == HTTP_CANCEL_TIMEOUT);
		let_go(held);
		hang_up(&c);
	}
	stop_server();
}

static void H5_a_body_that_is_quick_enough_goes_on_beyond_the_grace(void **state)
{
	struct http_limits l = http_limits_default;
	l.min_rate = 1;
	l.grace_ns = 200 * MS;
	start_server(&l);
	struct client c = dial();
	say(&c, "POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n");
	for (int i = 0; i < 20; i++) {
		send_bytes(&c, "x", 1);  // each is worth a second
		turn(15);
	}
	wait_for(&c, "got 20");
	hang_up(&c);
	stop_server();
}

static void H5_a_body_has_a_total_time(void **state)
{
	struct http_limits l = http_limits_default;
	l.body_total_ns = 100 * MS;
	start_server(&l);
	struct client c = dial();
	say(&c, "POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
	for (int i = 0; i < 1000 && !c.eof; i++) {
		send_bytes(&c, "0123456789", 10);
		wait_ms(2);
		receive_some(&c);
	}
	wait_end(&c);
	assert_true(has(&c, "HTTP/1.1 408 "));
	let_go(held);
	hang_up(&c);
	stop_server();
}

static void H5_a_client_that_takes_drops_is_cut_off(void **state)
{
	struct http_limits l = http_limits_default;
	l.min_rate = 100000000;
	l.grace_ns = 150 * MS;
	start_server(&l);
	struct client c = dial();
	say(&c, GET("/big"));
	wait_held(1);
	uint64_t give_up = sys_now_ns() + 20000 * MS;
	while (!held->cancelled && sys_now_ns() < give_up) {
		char some[100];
		ssize_t got = recv(c.fd, some, sizeof some, 0);
		(void)got;
		wait_ms(2);
	}
	assert_true(held->cancelled && held->why == HTTP_CANCEL_TIMEOUT);
	let_go(held);
	hang_up(&c);
	stop_server();
}

// Each time all that is there, after a wait that is less than the grace; all of them together are more.
static void H5_a_client_that_takes_steadily_gets_all_however_long_that_is(void **state)
{
	struct http_limits l = http_limits_default;
	l.min_rate = 1000;
	l.grace_ns = 600 * MS;
	start_server(&l);
	struct client c = dial();
	int small = 65536;
	setsockopt(c.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	say(&c, GET("/big") GET("/big") GET("/big") GET("/big"));
	wait_held(1);
	uint64_t give_up = sys_now_ns() + 60000 * MS;
	while (c.in.len < 32 << 20 && !c.eof && sys_now_ns() < give_up) {
		wait_ms(200);
		receive_some(&c);
		turn(3);
	}
	assert_true(c.in.len >= 32 << 20);
	hang_up(&c);
	stop_server();
}

static void an_owner_that_asks_again_gives_the_client_no_time(void **state)
{
	struct http_limits l = http_limits_default;
	l.body_ns = 100 * MS;
	start_server(&l);
	struct client c = dial();
	say(&c, "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
	wait_held(1);
	uint64_t give_up = sys_now_ns() + 5000 * MS;
	struct slice data;
	while (http_body_peek(held->x, &data) == HTTP_READ_AGAIN && sys_now_ns() < give_up)
		wait_ms(5);
	assert_int_equal(http_body_peek(held->x, &data), HTTP_READ_ERROR);
	let_go(held);
	hang_up(&c);
	stop_server();
}

static void a_drain_cuts_no_request(void **state)
{
	enum { N = 100 };
	start_server(NULL);
	static struct client c[N], idle, partial, late[5];
	idle = dial();
	say(&idle, GET("/hello"));
	wait_for(&idle, "hello");
	for (int i = 0; i < N; i++) {
		c[i] = dial();
		say(&c[i], i % 2 ? GET("/hold") : GET("/hello") GET("/hold") GET("/hello"));
	}
	wait_held(N);
	partial = dial();
	say(&partial, "GET /hello HTTP/1.1\r\nHo");
	turn(2);
	for (int i = 1; i < N; i += 4)  // behind one in flight, and not read when the drain begins
		say(&c[i], GET("/hello"));
	for (int i = 0; i < 5; i++) {  // in the listener's queue when it closes
		late[i] = (struct client){.fd = socket(AF_INET, SOCK_STREAM, 0), .in.max = 1 << 20};
		assert_int_equal(connect(late[i].fd, (void *)address.bytes, address.len), 0);
		fcntl(late[i].fd, F_SETFL, O_NONBLOCK);
	}
	http_server_drain(server, on_drained, NULL);
	int refused_fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(refused_fd, (void *)address.bytes, address.len), -1);
	assert_int_equal(errno, ECONNREFUSED);
	close(refused_fd);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(send(late[i].fd, GET("/hello"), strlen(GET("/hello")), MSG_NOSIGNAL), strlen(GET("/hello")));
		wait_for(&late[i], "hello");
		assert_true(has(&late[i], "Connection: close"));
	}
	wait_end(&idle);
	say(&partial, "st: a\r\n\r\n");
	wait_for(&partial, "hello");
	assert_true(has(&partial, "Connection: close"));
	assert_false(drained);
	while (held) {
		answer(held->x, "held");
		let_go(held);
	}
	for (int i = 0; i < N; i++) {
		wait_end(&c[i]);
		assert_true(has(&c[i], "held") && !c[i].reset);
		assert_int_equal(count_of(&c[i], "hello"), i % 4 == 1 ? 1 : i % 2 ? 0
																		  : 2);
		assert_int_equal(count_of(&c[i], "Connection: close"), 1);
		hang_up(&c[i]);
	}
	hang_up(&idle);
	hang_up(&partial);
	for (int i = 0; i < 5; i++)
		hang_up(&late[i]);
	wait_until(&drained);
	assert_int_equal(http_server_counters(server)->connections, 0);
	stop_server();
}

static void two_servers_never_share_a_port_by_accident(void **state)
{
	struct err e = {0};
	struct http_server *other, *shard;
	struct http_server_config config = {.limits = http_limits_default, .on_request = on_request};
	start_server(NULL);
	struct http_address same = address;
	assert_true(http_address_port(&same) != 0);
	assert_true(http_server_new(loop, &config, &other, &e));
	assert_false(http_server_listen(other, &same, true, &e));
	assert_int_equal(e.code, ERR_ENV);
	assert_true(http_server_new(loop, &config, &shard, &e));
	err_clear(&e);
	assert_true(http_server_listen(shard, &same, false, &e));
	for (int i = 0; i < 64; i++) {
		struct client c = dial();
		say(&c, GET("/hello"));
		wait_for(&c, "hello");
		hang_up(&c);
	}
	assert_true(http_server_counters(shard)->requests > 0);  // both get connections
	assert_true(http_server_counters(server)->requests > 0);
	http_server_free(shard);
	http_server_free(other);
	stop_server();
}

static void freeing_the_server_cancels_what_owners_hold(void **state)
{
	start_server(NULL);
	struct client c = dial();
	say(&c, GET("/hold") GET("/hello"));
	wait_held(1);
	http_server_free(server);
	assert_true(held->cancelled && held->why == HTTP_CANCEL_SERVER);
	assert_true(slice_eq_str(http_exchange_request(held->x)->authority, "a"));
	let_go(held);
	wait_end(&c);
	hang_up(&c);
	loop_free(loop);
}

// ---- faults ----------------------------------------------------------------------------------------------------------------------

static int64_t send_nothing(int fd, const struct iovec *iov, int n)
{
	return -EAGAIN;
}

// How many bytes of a body of zeros stand at p, as chunks up to the last one.
static size_t zeros_in_chunks(const char *p, const char *end)
{
	size_t total = 0, size;
	do {
		char *data;
		size = strtoul(p, &data, 16);
		assert_true(memcmp(data, "\r\n", 2) == 0 && (size_t)(end - data) >= size + 4);
		for (p = data + 2; p < data + 2 + size; p++)
			assert_int_equal(*p, 0);
		assert_memory_equal(p, "\r\n", 2);
		p += 2;
		total += size;
	} while (size);
	assert_ptr_equal(p, end);
	return total;
}

// The kernel took all of the answer before, and is full with it: nothing of this one's head has left when it is finished, however it was written.
static void a_body_that_is_written_in_pieces_to_a_full_socket_is_whole(void **state)
{
	static uint8_t zeros[20000];
	static const struct {
		size_t sizes[3];
		bool chunked;
	} cases[] = {{{20000, 10, 1}, false}, {{10, 20000, 1}, true}, {{20000, 20000, 20000}, false}, {{1, 1, 1}, false}};
	start_server(NULL);
	struct client c = dial();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char length[64];
		const size_t *sizes = cases[i].sizes, total = sizes[0] + sizes[1] + sizes[2];
		say(&c, GET("/hold"));
		wait_held(1);
		sys_net.sendv = send_nothing;
		assert_true(http_respond_head(held->x, 200, NULL, 0, HTTP_LENGTH_UNKNOWN, NULL));
		for (size_t k = 0; k < 3; k++)
			assert_int_equal(http_body_write(held->x, slice_of(zeros, sizes[k])), HTTP_WRITE_OK);
		assert_true(http_body_finish(held->x, NULL, 0));
		let_go(held);
		sys_net = sys_net_real;
		wait_for(&c, "\r\n\r\n");
		char *body = (char *)memmem(c.in.ptr, c.in.len, "\r\n\r\n", 4) + 4;
		size_t head = (size_t)(body - (char *)c.in.ptr);
		if (cases[i].chunked)
			wait_for(&c, "\r\n0\r\n\r\n");
		for (int k = 0; k < 1000 && c.in.len < head + total; k++) {
			turn(1);
			receive_some(&c);
		}
		body = (char *)c.in.ptr + head;
		snprintf(length, sizeof length, "\r\nContent-Length: %zu\r\n\r\n", total);
		assert_int_equal(has(&c, length), !cases[i].chunked);
		if (cases[i].chunked)
			assert_int_equal(zeros_in_chunks(body, (char *)c.in.ptr + c.in.len), total);
		else
			assert_int_equal(c.in.len, head + total);
		buf_clear(&c.in);
	}
	hang_up(&c);
	stop_server();
}

// What was answered before the body came is sent, though the client never sends the rest of that.
static void an_answer_that_waits_is_sent_to_who_ends_in_the_middle_of_a_body(void **state)
{
	start_server(NULL);
	struct client c = dial();
	sys_net.sendv = send_nothing;
	say(&c, "POST /status/200 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
	turn(4);
	shutdown(c.fd, SHUT_WR);
	turn(4);
	sys_net = sys_net_real;
	wait_end(&c);
	assert_true(has(&c, "HTTP/1.1 200 OK") && has(&c, "\r\n\r\nbody"));
	hang_up(&c);
	stop_server();
}

static int64_t recv_byte(int fd, void *into, size_t max)
{
	return sys_net_real.recv(fd, into, 1);
}
static int64_t send_byte(int fd, const struct iovec *iov, int n)
{
	for (int i = 0; i < n; i++)
		if (iov[i].iov_len)
			return sys_net_real.sendv(fd, &(struct iovec){iov[i].iov_base, 1}, 1);
	return 0;
}
static unsigned again_seed;
static int64_t send_sometimes(int fd, const struct iovec *iov, int n)
{
	again_seed = again_seed * 1103515245 + 12345;
	if (again_seed >> 16 & 1)
		return -EAGAIN;
	struct iovec v = iov[0];
	if (v.iov_len > 700)
		v.iov_len = 700;
	return sys_net_real.sendv(fd, &v, 1);
}

#define CHUNKED "Transfer-Encoding: chunked\r\n\r\n"
static const char *const mixture = GET("/hello") "POST /echo HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n" CHUNKED
												 "3\r\nabc\r\n4\r\ndefg\r\n0\r\nX: y\r\n\r\n"
												 "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nlost" GET("/status/304") "POST /read HTTP/1.0\r\nContent-Length: 3\r\n\r\nxyz";

static void answers_are_the_same_when_every_call_comes_up_short(void **state)
{
	start_server(NULL);
	struct client whole = ask(mixture);
	assert_true(has(&whole, "got 3") && has(&whole, "X: y\r\n\r\n"));
	for (int mode = 0; mode < 4; mode++) {
		if (mode & 1)
			sys_net.recv = recv_byte;
		sys_net.sendv = mode & 2 ? send_sometimes : send_byte;
		struct client c = ask(mixture);
		sys_net = sys_net_real;
		// Chunks may be cut in other places, the number and kind of the answers may not.
		assert_int_equal(count_of(&c, "HTTP/1.1 200 OK"), 4);
		assert_int_equal(count_of(&c, "HTTP/1.1 304 "), 1);
		assert_true(has(&c, "got 3") && has(&c, "0\r\nX: y\r\n\r\n"));
		assert_int_equal(count_of(&c, "hello"), 2);
		hang_up(&c);
	}
	hang_up(&whole);
	assert_int_equal(held_count, 0);
	stop_server();
}

static void failing_allocations_end_connections_not_the_server(void **state)
{
	for (uint64_t n = 1; n < 24; n++) {
		start_server(NULL);
		mem_fail_nth(n);
		struct client c = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)};
		connect(c.fd, (void *)address.bytes, address.len);
		turn(2);
		ssize_t sent = send(c.fd, mixture, strlen(mixture), MSG_NOSIGNAL);
		(void)sent;
		turn(8);
		mem_fail_nth(0);
		hang_up(&c);
		turn(4);
		while (held)
			let_go(held);
		struct client again = dial();
		say(&again, GET("/hello"));
		wait_for(&again, "hello");
		hang_up(&again);
		stop_server();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(L83_heads_beyond_the_limits_are_431),
		cmocka_unit_test(malformed_messages_are_400_and_the_end),
		cmocka_unit_test(bodies_beyond_the_limit_are_413),
		cmocka_unit_test(an_idle_connection_is_closed),
		cmocka_unit_test(a_head_that_takes_too_long_is_408),
		cmocka_unit_test(a_body_without_progress_is_408_or_the_end),
		cmocka_unit_test(a_client_that_takes_nothing_is_cut_off),
		cmocka_unit_test(connections_beyond_the_limit_wait),
		cmocka_unit_test(H6_the_longest_idle_makes_room),
		cmocka_unit_test(H6_the_silent_and_the_slow_make_room),
		cmocka_unit_test(H6_another_server_is_asked_for_room),
		cmocka_unit_test(H6_where_descriptors_are_short_idle_ones_are_closed),
		cmocka_unit_test(who_finds_no_memory_waits_until_there_is_some),
		cmocka_unit_test(who_has_just_come_is_not_idle),
		cmocka_unit_test(H5_a_client_has_so_many_connections),
		cmocka_unit_test(H5_a_body_in_drops_is_too_slow),
		cmocka_unit_test(H5_a_body_that_is_quick_enough_goes_on_beyond_the_grace),
		cmocka_unit_test(H5_a_client_that_takes_steadily_gets_all_however_long_that_is),
		cmocka_unit_test(H5_a_body_has_a_total_time),
		cmocka_unit_test(H5_a_client_that_takes_drops_is_cut_off),
		cmocka_unit_test(an_owner_that_asks_again_gives_the_client_no_time),
		cmocka_unit_test(a_drain_cuts_no_request),
		cmocka_unit_test(two_servers_never_share_a_port_by_accident),
		cmocka_unit_test(freeing_the_server_cancels_what_owners_hold),
		cmocka_unit_test(a_body_that_is_written_in_pieces_to_a_full_socket_is_whole),
		cmocka_unit_test(an_answer_that_waits_is_sent_to_who_ends_in_the_middle_of_a_body),
		cmocka_unit_test(answers_are_the_same_when_every_call_comes_up_short),
		cmocka_unit_test(failing_allocations_end_connections_not_the_server),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
