// The server over real sockets: messages and their order.
#include "harness.h"
#include "http/h1.h"

static void an_answer_has_length_and_date_and_keeps_the_connection(void **state)
{
	start_server(NULL);
	struct client c = dial();
	say(&c, GET("/hello"));
	wait_for(&c, "\r\n\r\nhello");
	assert_memory_equal(c.in.ptr, "HTTP/1.1 200 OK\r\n", 17);
	assert_true(has(&c, "Content-Length: 5\r\n") && has(&c, "Date: ") && has(&c, " GMT\r\n"));
	assert_false(has(&c, "Connection"));
	say(&c, GET("/hello"));
	wait_times(&c, "hello", 2);
	assert_false(c.eof);
	hang_up(&c);
	stop_server();
}

static void a_request_costs_one_recv_and_one_send_and_no_memory(void **state)
{
	start_server(NULL);
	struct client c = dial();
	const struct http_counters *n = http_server_counters(server);
	say(&c, GET("/hello"));
	wait_for(&c, "hello");
	uint64_t recv_before = n->recv_calls, send_before = n->send_calls;
	mem_fail_nth(1);  // U19: the next allocation would fail
	for (int i = 0; i < 50; i++) {
		assert_int_equal(send(c.fd, GET("/hello"), strlen(GET("/hello")), 0), strlen(GET("/hello")));
		uint64_t give_up = sys_now_ns() + 1000 * MS;
		while (n->requests < (uint64_t)i + 2 && sys_now_ns() < give_up)
			turn(1);
	}
	mem_fail_nth(0);
	wait_times(&c, "hello", 51);
	assert_int_equal(n->recv_calls - recv_before, 50);
	assert_int_equal(n->send_calls - send_before, 50);
	assert_int_equal(n->want_calls, 0);
	hang_up(&c);
	stop_server();
}

// Thousands may wait at once: what each keeps follows its head.
static void a_request_that_waits_keeps_what_its_head_needs(void **state)
{
	enum { N = 40, HEAD = 0, SMALL = 1 };
	struct client c[N];
	start_server(NULL);
	for (int i = 0; i < N; i++)
		c[i] = dial();
	uint32_t before = server->blocks_owned[SMALL], small = server->block_counts[SMALL];
	for (int i = 0; i < N; i++)
		say(&c[i], GET("/hold"));
	while (held_count < N)
		turn(1);
	assert_int_equal(server->blocks_owned[SMALL], before);
	assert_int_equal(server->block_counts[SMALL], small);
	assert_int_equal(server->blocks_owned[HEAD] - server->block_counts[HEAD], N);
	assert_true(sizeof(struct h1_exchange) <= 1024);
	while (held) {
		answer(held->x, "held");
		let_go(held);
	}
	assert_int_equal(server->blocks_owned[HEAD], server->block_counts[HEAD]);
	for (int i = 0; i < N; i++) {
		wait_for(&c[i], "held");
		hang_up(&c[i]);
	}
	stop_server();
}

// Beyond what lies with an exchange, and larger than each block but the last, in pieces of all sizes.
static void a_head_of_many_fields_is_whole_however_it_comes(void **state)
{
	enum { FIELDS = 120, VALUE = 500 };
	struct buf head = {.max = 1 << 20};
	start_server(NULL);
	struct client c = dial();
	int times = 0;
	buf_put_str(&head, "GET /hold HTTP/1.1\r\nHost: a\r\n");
	for (unsigned i = 0; i < FIELDS; i++)
		buf_printf(&head, "x-%u: %0*u\r\n", i, VALUE, i);
	buf_put_str(&head, "\r\n");
	for (size_t piece = 700; piece < 4 * head.len; piece *= 3, times++) {
		for (size_t at = 0; at < head.len; at += piece) {
			send_bytes(&c, head.ptr + at, min_u64(piece, head.len - at));
			turn(2);
		}
		while (!held)
			turn(1);
		const struct http_request *r = http_exchange_request(held->x);
		assert_int_equal(r->field_count, FIELDS + 1);
		for (unsigned i = 0; i < FIELDS; i++) {
			char name[16], value[VALUE + 1];
			snprintf(name, sizeof name, "x-%u", i);
			snprintf(value, sizeof value, "%0*u", VALUE, i);
			assert_true(slice_eq_str(r->fields[i + 1].name, name) && slice_eq_str(r->fields[i + 1].value, value));
		}
		answer(held->x, "held");
		let_go(held);
	}
	wait_times(&c, "held", times);
	buf_release(&head);
	hang_up(&c);
	stop_server();
}

static void pipelined_requests_are_answered_in_order_and_together(void **state)
{
	start_server(NULL);
	struct client c = dial();
	say(&c, GET("/hello") GET("/status/404") GET("/hello") "POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" GET("/hello"));
	wait_times(&c, "hello", 3);
	assert_int_equal(http_server_counters(server)->send_calls, 1);
	uint8_t *found = memmem(c.in.ptr, c.in.len, " 404 ", 5), *error = memmem(c.in.ptr, c.in.len, " 500 ", 5);
	assert_true(found && error && found < error);
	hang_up(&c);
	stop_server();
}

// Of requests that are there at once: those that nobody is behind are sent before their owner goes on, the others behind the last, or after a while.
static uint64_t sent_before[8];
static int gathered;
static void on_gathered(void *user, struct http_exchange *x)
{
	uint64_t before = http_server_counters(server)->send_calls;
	on_request(NULL, x);
	assert_true(gathered < 8);
	sent_before[gathered++] = http_server_counters(server)->send_calls - before;
}

static void answers_of_connections_that_are_ready_at_once_leave_together(void **state)
{
	enum { N = 8 };
	struct client c[N];
	int waited = 0, tries = 0, times = 0;
	start_server_with((struct http_server_config){.limits = http_limits_default, .on_request = on_gathered});
	for (int i = 0; i < N; i++)
		c[i] = dial();
	for (; tries < 1000 && waited < N - 1; tries++) {  // again where another process took that while
		gathered = waited = 0;
		times++;
		for (int i = 0; i < N; i++)
			assert_int_equal(send(c[i].fd, GET("/hello"), strlen(GET("/hello")), 0), strlen(GET("/hello")));
		for (int i = 0; i < N; i++)
			wait_times(&c[i], "hello", times);
		assert_int_equal(gathered, N);
		assert_int_equal(sent_before[N - 1], 1);
		for (int i = 0; i < N - 1; i++)
			waited += sent_before[i] == 0;
	}
	assert_int_equal(waited, N - 1);
	assert_int_equal(http_server_counters(server)->send_calls, (uint64_t)times * N);
	for (int i = 0; i < N; i++)
		hang_up(&c[i]);
	stop_server();
}

static void a_slow_request_holds_back_the_ones_behind_it(void **state)
{
	start_server(NULL);
	struct client c = dial();
	say(&c, GET("/hello") GET("/hold") GET("/hello"));
	wait_for(&c, "hello");
	turn(5);
	receive_some(&c);
	assert_int_equal(count_of(&c, "hello"), 1);
	assert_int_equal(held_count, 1);
	answer(held->x, "held");
	let_go(held);
	wait_times(&c, "hello", 2);
	assert_true(has(&c, "held"));
	hang_up(&c);
	stop_server();
}

static void a_held_exchange_keeps_its_fields_while_the_connection_goes_on(void **state)
{
	start_server(NULL);
	struct client c = dial();
	say(&c, "GET /hold HTTP/1.1\r\nHost: first\r\nX-A: one\r\n\r\n" GET("/hello"));
	wait_held(1);
	answer(held->x, "held");  // finished, not released: a guest that goes on after its response
	say(&c, GET("/hello") GET("/hello"));
	wait_times(&c, "hello", 3);
	const struct http_request *r = http_exchange_request(held->x);
	assert_true(slice_eq_str(r->authority, "first") && slice_eq_str(r->target, "/hold"));
	assert_true(slice_eq_str(r->fields[1].name, "X-A") && slice_eq_str(r->fields[1].value, "one"));
	hang_up(&c);
	turn(3);
	assert_true(slice_eq_str(r->fields[1].value, "one"));
	assert_int_equal(cancels, 0);
	let_go(held);
	stop_server();
}

// The first answer's chunks, put together; how many there are is a matter of timing.
static bool chunks_are(const struct client *c, const char *text)
{
	const uint8_t *end = c->in.ptr + c->in.len, *p = memmem(c->in.ptr, c->in.len, "\r\n\r\n", 4);
	struct buf all = {.max = 1 << 16};
	size_t size;
	for (p = p ? p + 4 : end; p < end && (size = strtoul((const char *)p, NULL, 16)); p += size + 2) {
		p = memmem(p, (size_t)(end - p), "\r\n", 2);
		if (!p || (size_t)(end - p) < size + 4)
			break;
		buf_put(&all, p += 2, size);
	}
	bool same = slice_eq_str(buf_view(&all), text);
	buf_release(&all);
	return same;
}

static void bodies_are_chunked_both_ways_in_any_pieces(void **state)
{
	start_server(NULL);
	const char *text = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\n\r\n";
	struct client c = dial();
	for (const char *p = text; *p; p++) {
		send_bytes(&c, p, 1);
		turn(1);
	}
	wait_for(&c, "0\r\n\r\n");
	assert_true(has(&c, "Transfer-Encoding: chunked\r\n") && !has(&c, "Content-Length"));
	assert_true(chunks_are(&c, "hello, world"));
	buf_clear(&c.in);
	say(&c, text);
	wait_for(&c, "Content-Length: 12\r\n\r\nhello, world");  // its end is known before its head leaves
	hang_up(&c);
	stop_server();
}

static void a_large_body_streams_through(void **state)
{
	start_server(NULL);
	enum { N = 3 << 20 };
	struct client c = dial();
	char head[128];
	uint8_t *body = mem_alloc(N);
	for (int i = 0; i < N; i++)
		body[i] = (uint8_t)(i * 7 + (i >> 9));
	snprintf(head, sizeof head, "POST /echo HTTP/1.0\r\nContent-Length: %d\r\n\r\n", N);  // HTTP/1.0: the answer ends with the connection
	say(&c, head);
	send_bytes(&c, body, N);
	wait_end(&c);
	assert_false(c.reset);
	assert_false(has(&c, "chunked"));
	assert_true(has(&c, "Connection: close"));
	assert_true(c.in.len > N);
	assert_memory_equal(c.in.ptr + c.in.len - N, body, N);
	mem_free(body);
	hang_up(&c);
	stop_server();
}

static void trailers_go_both_ways_if_the_client_takes_them(void **state)
{
	start_server(NULL);
	struct client c = dial();
	say(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nTE: deflate, trailers\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 97\r\nHost: evil\r\n\r\n");
	wait_for(&c, "1\r\na\r\n0\r\nX-Sum: 97\r\n\r\n");
	buf_clear(&c.in);
	say(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n0\r\nX-Sum: 97\r\n\r\n");
	wait_for(&c, "Content-Length: 1\r\n\r\nb");  // W34: dropped without TE
	hang_up(&c);
	stop_server();
}

static void L86_continue_is_sent_when_the_body_is_first_read(void **state)
{
	start_server(NULL);
	struct client c = dial();
	say(&c, "POST /hold HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
	wait_held(1);
	turn(3);
	receive_some(&c);
	assert_int_equal(c.in.len, 0);
	held->path = SLICE_LIT("/read");
	step(held);
	wait_for(&c, "HTTP/1.1 100 Continue\r\n\r\n");
	say(&c, "hello");
	wait_for(&c, "got 5");
	assert_int_equal(count_of(&c, "100 Continue"), 1);
	assert_false(has(&c, "Connection: close"));
	hang_up(&c);
	stop_server();
}

static void without_continue_the_connection_ends_after_the_answer(void **state)
{
	start_server(NULL);
	struct client c = ask("POST /hello HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
	assert_true(has(&c, "200 OK") && has(&c, "Connection: close") && !has(&c, "100 Continue"));
	hang_up(&c);
	c = dial();  // a client that does not wait gets no 100
	say(&c, "POST /read HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello");
	wait_for(&c, "got 5");
	assert_false(has(&c, "100 Continue"));
	hang_up(&c);
	stop_server();
}

static void answers_without_a_body_have_none(void **state)
{
	start_server(NULL);
	struct client c = dial();
	say(&c, "HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n" GET("/status/204") GET("/status/304") GET("/status/205") GET("/status/200"));
	wait_for(&c, "Content-Length: 4\r\n\r\nbody");
	assert_false(has(&c, "hello"));
	assert_int_equal(count_of(&c, "body"), 1);
	assert_int_equal(count_of(&c, "Content-Length: 5\r\n"), 1);  // HEAD tells the length
	assert_int_equal(count_of(&c, "Content-Length: 0\r\n"), 1);  // 205
	assert_int_equal(count_of(&c, "Content-Length"), 3);
	hang_up(&c);
	stop_server();
}

static void http_1_0_is_served(void **state)
{
	start_server(NULL);
	struct client c = ask("GET /hello HTTP/1.0\r\n\r\n");
	assert_true(has(&c, "hello") && has(&c, "Connection: close") && !c.reset);
	hang_up(&c);
	c = dial();
	say(&c, "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	wait_for(&c, "hello");
	assert_true(has(&c, "Connection: keep-alive"));
	say(&c, "GET /hello HTTP/1.0\r\n\r\n");
	wait_end(&c);
	assert_int_equal(count_of(&c, "hello"), 2);
	hang_up(&c);
	stop_server();
}

static void U33_a_request_that_nobody_answers_is_500(void **state)
{
	start_server(NULL);
	struct client c = dial();
	say(&c, GET("/nothing"));
	wait_for(&c, "500 Internal Server Error\n");
	say(&c, GET("/hello"));
	wait_for(&c, "hello");
	hang_up(&c);
	stop_server();
}

static void W33_a_small_unread_body_is_drained_and_a_large_one_ends_the_connection(void **state)
{
	start_server(NULL);
	struct client c = dial();
	uint8_t *body = mem_zalloc(200000);
	memset(body, 'b', 200000);
	say(&c, "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n");
	wait_for(&c, "hello");
	send_bytes(&c, body, 60000);
	say(&c, GET("/hello"));
	wait_times(&c, "hello", 2);
	say(&c, "POST /hello HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
	wait_times(&c, "hello", 3);
	say(&c, "0\r\nX: y\r\n\r\n" GET("/hello"));
	wait_times(&c, "hello", 4);
	say(&c, "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n");
	send_bytes(&c, body, 200000);
	wait_end(&c);
	assert_int_equal(count_of(&c, "hello"), 5);
	assert_false(c.reset);  // the answer was not lost to a reset
	mem_free(body);
	hang_up(&c);
	stop_server();
}

static void W33_an_unread_body_waits_for_an_owner_that_may_still_read_it(void **state)
{
	start_server(NULL);
	struct client c = dial();
	say(&c, "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
	wait_held(1);
	answer(held->x, "early");
	wait_for(&c, "early");
	say(&c, "def" GET("/hello"));
	turn(5);
	receive_some(&c);
	assert_false(has(&c, "hello"));
	struct slice data;
	assert_int_equal(http_body_peek(held->x, &data), HTTP_READ_DATA);
	assert_true(slice_eq_str(data, "abcdef"));
	http_body_consume(held->x, 6);
	wait_for(&c, "hello");
	assert_int_equal(http_body_peek(held->x, &data), HTTP_READ_END);
	let_go(held);
	hang_up(&c);
	stop_server();
}

static void W33_a_body_that_is_discarded_holds_nothing_up(void **state)
{
	start_server(NULL);
	struct client c = dial();
	say(&c, "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabcdef" GET("/hello"));
	wait_held(1);
	answer(held->x, "early");
	http_body_discard(held->x);
	wait_for(&c, "hello");
	struct slice data;
	assert_int_equal(http_body_peek(held->x, &data), HTTP_READ_END);
	let_go(held);
	hang_up(&c);
	stop_server();
}

static void W32_a_body_shorter_or_longer_than_announced_is_cut(void **state)
{
	start_server(NULL);
	for (int longer = 0; longer < 2; longer++) {
		struct client c = dial();
		say(&c, GET("/hold"));
		wait_held(1);
		assert_true(http_respond_head(held->x, 200, NULL, 0, 5, NULL));
		assert_int_equal(http_body_write(held->x, longer ? SLICE_LIT("hello") : SLICE_LIT("hell")), HTTP_WRITE_OK);
		if (longer)
			assert_int_equal(http_body_write(held->x, SLICE_LIT("!")), HTTP_WRITE_TOO_LONG);
		assert_false(http_body_finish(held->x, NULL, 0));
		assert_int_equal(http_body_write(held->x, SLICE_LIT("o")), HTTP_WRITE_CLOSED);
		let_go(held);
		wait_end(&c);
		assert_int_equal(c.reset, longer);  // where the bytes look whole only a reset tells
		hang_up(&c);
	}
	assert_int_equal(cancels, 0);  // the owner knows
	stop_server();
}

static void L87_an_aborted_response_never_looks_whole(void **state)
{
	start_server(NULL);
	struct client c = dial();
	say(&c, GET("/hold"));
	wait_held(1);
	assert_true(http_respond_head(held->x, 200, NULL, 0, HTTP_LENGTH_UNKNOWN, NULL));
	assert_int_equal(http_body_write(held->x, SLICE_LIT("part")), HTTP_WRITE_OK);
	let_go(held);  // dropped, not finished
	wait_end(&c);
	assert_true(has(&c, "part") && !has(&c, "0\r\n\r\n"));
	hang_up(&c);
	c = dial();
	say(&c, "GET /hold HTTP/1.0\r\n\r\n");
	wait_held(1);
	assert_true(http_respond_head(held->x, 200, NULL, 0, HTTP_LENGTH_UNKNOWN, NULL));
	assert_int_equal(http_body_write(held->x, SLICE_LIT("part")), HTTP_WRITE_OK);
	turn(3);
	http_abort(held->x);
	let_go(held);
	wait_end(&c);
	assert_true(c.reset);
	hang_up(&c);
	stop_server();
}

static void a_client_that_resets_cancels_its_request(void **state)
{
	start_server(NULL);
	struct client c = dial();
	say(&c, GET("/hold"));
	wait_held(1);
	struct linger hard = {1, 0};
	setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	hang_up(&c);
	wait_until(&held->cancelled);
	assert_int_equal(held->why, HTTP_CANCEL_PEER);
	struct slice data;
	assert_int_equal(http_body_peek(held->x, &data), HTTP_READ_ERROR);
	assert_true(http_respond_head(held->x, 200, NULL, 0, 5, NULL));
	assert_int_equal(http_body_write(held->x, SLICE_LIT("hello")), HTTP_WRITE_CLOSED);  // W13
	let_go(held);
	assert_int_equal(http_server_counters(server)->in_flight, 0);
	stop_server();
}

static void L88_a_client_that_does_not_read_holds_the_writer_back(void **state)
{
	start_server(NULL);
	for (int chunked = 0; chunked < 2; chunked++) {
		struct client c = dial();
		int small = 65536;
		setsockopt(c.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
		say(&c, chunked ? GET("/big/chunked") : GET("/big"));
		wait_held(1);
		turn(20);
		assert_true(held->left > 0);
		uint64_t left = held->left;
		turn(20);
		assert_true(held->left == left);
		assert_int_equal(http_body_permit(held->x), 0);
		wait_times(&c, "\r\n\r\n", 1);
		uint64_t give_up = sys_now_ns() + 20000 * MS;
		while ((held_count || c.in.len < (8 << 20) + 50) && sys_now_ns() < give_up) {
			receive_some(&c);
			turn(1);
		}
		assert_true(c.in.len >= 8 << 20);
		hang_up(&c);
	}
	stop_server();
}

static void fields_of_a_response_are_checked_and_kept_in_order(void **state)
{
	start_server(NULL);
	struct client c = dial();
	say(&c, GET("/hold"));
	wait_held(1);
	const struct {
		struct http_field f;
	} bad[] = {
		{{SLICE_LIT("X"), SLICE_LIT("a\r\nSet-Cookie: b")}},
		{{SLICE_LIT("X\r\n"), SLICE_LIT("a")}},
		{{SLICE_LIT("X y"), SLICE_LIT("a")}},
		{{SLICE_LIT("Transfer-Encoding"), SLICE_LIT("chunked")}},
		{{SLICE_LIT("connection"), SLICE_LIT("close")}},
		{{SLICE_LIT("Content-Length"), SLICE_LIT("+5")}},
		{{SLICE_LIT("content-length"), SLICE_LIT("6")}},
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err e = {0};
		assert_false(http_respond_head(held->x, 200, &bad[i].f, 1, 5, &e));
		assert_int_equal(e.code, ERR_INVALID);
	}
	assert_false(http_respond_head(held->x, 101, NULL, 0, 5, NULL));
	assert_false(http_respond_head(held->x, 600, NULL, 0, 5, NULL));  // W35
	struct http_field good[] = {{SLICE_LIT("Set-Cookie"), SLICE_LIT("a")}, {SLICE_LIT("set-cookie"), SLICE_LIT("b")},
		{SLICE_LIT("Content-Length"), SLICE_LIT("2")},
		{SLICE_LIT("date"), SLICE_LIT("never")}};
	assert_true(http_respond_head(held->x, 299, good, 4, HTTP_LENGTH_UNKNOWN, NULL));
	assert_int_equal(http_body_write(held->x, SLICE_LIT("ok")), HTTP_WRITE_OK);
	assert_true(http_body_finish(held->x, NULL, 0));
	let_go(held);
	wait_for(&c, "\r\n\r\nok");
	assert_true(has(&c, "HTTP/1.1 299 \r\nSet-Cookie: a\r\nset-cookie: b\r\n"));
	assert_int_equal(count_of(&c, "Content-Length: 2\r\n"), 1);
	assert_true(has(&c, "date: never") && !has(&c, "Date: "));
	hang_up(&c);
	stop_server();
}

static void a_field_of_the_server_goes_with_the_head_where_there_is_room(void **state)
{
	struct http_field all[HTTP_FIELDS_MAX];
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		all[i] = (struct http_field){SLICE_LIT("x"), SLICE_LIT("y")};
	for (uint32_t n = 0; n <= HTTP_FIELDS_MAX; n += HTTP_FIELDS_MAX / 2) {
		start_server(NULL);
		struct client c = dial();
		say(&c, GET("/hold"));
		wait_held(1);
		http_exchange_add_field(held->x, (struct http_field){SLICE_LIT("set-cookie"), SLICE_LIT("v=1")});
		assert_false(http_respond_head(held->x, 600, all, n, 2, NULL));
		assert_true(http_respond_head(held->x, 200, all, n, 2, NULL));
		assert_int_equal(http_body_write(held->x, SLICE_LIT("ok")), HTTP_WRITE_OK);
		assert_true(http_body_finish(held->x, NULL, 0));
		let_go(held);
		wait_for(&c, "\r\n\r\nok");
		assert_int_equal(count_of(&c, "set-cookie: v=1\r\n"), n < HTTP_FIELDS_MAX);
		assert_int_equal(count_of(&c, "x: y\r\n"), n);
		hang_up(&c);
		stop_server();
	}
}

static void W30_the_head_leaves_before_the_body_is_finished(void **state)
{
	start_server(NULL);
	struct client c = dial();
	say(&c, GET("/hold"));
	wait_held(1);
	uint64_t sends = http_server_counters(server)->send_calls;
	assert_true(http_respond_head(held->x, 200, NULL, 0, HTTP_LENGTH_UNKNOWN, NULL));
	assert_int_equal(http_body_write(held->x, SLICE_LIT("first")), HTTP_WRITE_OK);
	wait_for(&c, "5\r\nfirst\r\n");
	assert_int_equal(http_server_counters(server)->send_calls, sends + 1);  // U26: head and first bytes in one write
	assert_int_equal(http_body_write(held->x, SLICE_LIT("second")), HTTP_WRITE_OK);
	wait_for(&c, "6\r\nsecond\r\n");
	assert_true(http_body_finish(held->x, NULL, 0));
	let_go(held);
	wait_for(&c, "0\r\n\r\n");
	hang_up(&c);
	stop_server();
}

static void H4_continue_goes_before_a_head_that_was_given_first(void **state)
{
	start_server(NULL);
	for (int pipelined = 0; pipelined < 2; pipelined++) {
		struct client c = dial();
		if (pipelined)
			say(&c, GET("/hello") "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
		else
			say(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
		wait_times(&c, "HTTP/1.1 200 OK\r\n", 1 + pipelined);
		uint8_t *go_on = memmem(c.in.ptr, c.in.len, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n", 42);
		assert_non_null(go_on);
		assert_true(pipelined == (go_on > c.in.ptr));
		say(&c, "hello");
		wait_for(&c, "5\r\nhello\r\n0\r\n\r\n");
		assert_int_equal(count_of(&c, "100 Continue"), 1);
		hang_up(&c);
	}
	stop_server();
}

static void H4_an_owner_that_reads_later_finds_the_body_coming(void **state)
{
	start_server(NULL);
	struct client c = dial();
	say(&c, "POST /hold HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
	wait_held(1);
	assert_true(http_respond_head(held->x, 200, NULL, 0, 2, NULL));
	wait_for(&c, "100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n");  // the head leaves, and somebody may still read
	say(&c, "hello");
	turn(3);
	struct slice data;
	assert_int_equal(http_body_peek(held->x, &data), HTTP_READ_DATA);
	assert_true(slice_eq_str(data, "hello"));
	http_body_consume(held->x, 5);
	assert_int_equal(http_body_write(held->x, SLICE_LIT("ok")), HTTP_WRITE_OK);
	assert_true(http_body_finish(held->x, NULL, 0));
	let_go(held);
	wait_end(&c);
	assert_true(has(&c, "\r\n\r\nok"));
	hang_up(&c);
	stop_server();
}

static void H3_the_answer_to_a_body_that_nobody_reads_is_not_lost(void **state)
{
	enum { N = 5 << 20 };
	static const char *const heads[] = {
		"POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 5242880\r\n\r\n",
		"POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 5242880\r\n\r\n",
		"POST /x HTTP/1.1\r\nHost: a b\r\nContent-Length: 5242880\r\n\r\n",
	};
	static const char *const answers[] = {"hello", "413 Content Too Large", "400 Bad Request"};
	struct http_limits l = http_limits_default;
	l.body_bytes = N;
	uint8_t *body = mem_zalloc(N);
	for (size_t k = 0; k < ARRAY_LEN(heads); k++) {
		l.body_bytes -= k == 1;
		start_server(&l);
		struct client c = dial();
		say(&c, heads[k]);
		send_bytes(&c, body, N);
		shutdown(c.fd, SHUT_WR);
		wait_end(&c);
		assert_true(has(&c, answers[k]) && has(&c, "Connection: close") && !c.reset);
		hang_up(&c);
		stop_server();
	}
	mem_free(body);
}

static void H11_what_was_permitted_is_taken(void **state)
{
	static uint8_t data[HTTP_WINDOW], large[30000];
	start_server(NULL);
	memset(data, 'q', sizeof data);
	memset(large, 'l', sizeof large);
	struct http_field fields[2] = {{SLICE_LIT("X-Large"), slice_of(large, sizeof large)}, {SLICE_LIT("X-Too"), slice_of(large, sizeof large)}};
	static const size_t pieces[] = {HTTP_WINDOW, 8192, 1000, 7, 1};
	for (size_t k = 0; k < ARRAY_LEN(pieces); k++) {
		struct client c = dial();
		int small = 4096;
		setsockopt(c.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
		say(&c, GET("/hello") GET("/hello") GET("/hold"));
		wait_held(1);
		assert_int_equal(http_body_permit(held->x), HTTP_WINDOW);  // before there is a head
		assert_true(http_respond_head(held->x, 200, fields, 2, HTTP_LENGTH_UNKNOWN, NULL));
		for (size_t at = 0; at < HTTP_WINDOW; at += pieces[k]) {
			size_t n = min_u64(pieces[k], HTTP_WINDOW - at);
			assert_int_equal(http_body_write(held->x, slice_of(data, n)), HTTP_WRITE_OK);
		}
		assert_true(http_body_finish(held->x, NULL, 0));
		let_go(held);
		uint64_t give_up = sys_now_ns() + 5000 * MS;
		while (count_of(&c, "q") < HTTP_WINDOW && sys_now_ns() < give_up) {
			turn(1);
			receive_some(&c);
		}
		assert_int_equal(count_of(&c, "q"), HTTP_WINDOW);
		hang_up(&c);
	}
	stop_server();
}

static void H11_many_small_writes_to_a_client_that_reads_nothing_are_one_chunk(void **state)
{
	start_server(NULL);
	struct client c = dial();
	int small = 65536;
	setsockopt(c.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	say(&c, GET("/hold"));
	wait_held(1);
	assert_true(http_respond_head(held->x, 200, NULL, 0, HTTP_LENGTH_UNKNOWN, NULL));
	uint64_t total = 0, before = 0;
	for (int round = 0; round < 400 && http_body_permit(held->x); round++, turn(1))
		for (size_t permit = http_body_permit(held->x); permit; permit--, total++)
			assert_int_equal(http_body_write(held->x, slice_of(&"0123456789abcdef"[total % 16], 1)), HTTP_WRITE_OK);
	assert_int_equal(http_body_permit(held->x), 0);
	assert_true(http_body_finish(held->x, NULL, 0));
	let_go(held);
	uint64_t give_up = sys_now_ns() + 20000 * MS;
	while ((c.in.len < 5 || memcmp(c.in.ptr + c.in.len - 5, "0\r\n\r\n", 5)) && sys_now_ns() < give_up) {
		turn(1);
		receive_some(&c);
	}
	uint8_t *p = (uint8_t *)memmem(c.in.ptr, c.in.len, "\r\n\r\n", 4) + 4;
	int chunks = 0;
	for (size_t size; (size = strtoul((char *)p, NULL, 16)); chunks++) {
		p = (uint8_t *)memchr(p, '\n', 20) + 1;
		for (size_t i = 0; i < size; i++)
			assert_int_equal(p[i], "0123456789abcdef"[before++ % 16]);
		p += size + 2;
	}
	assert_true(before == total && chunks < 1000);
	hang_up(&c);
	stop_server();
}

static void H12_a_length_without_a_body_is_kept_or_dropped(void **state)
{
	static const struct {
		unsigned status;
		const char *kept;
	} rows[] = {{304, "Content-Length: 1234\r\n"}, {204, "\r\n\r\n"}, {205, "Content-Length: 0\r\n"}};
	struct http_field length = {SLICE_LIT("content-length"), SLICE_LIT("1234")};
	start_server(NULL);
	for (size_t k = 0; k < ARRAY_LEN(rows); k++) {
		struct client c = dial();
		say(&c, GET("/hold") GET("/hello"));
		wait_held(1);
		assert_false(http_status_has_body(held->x, rows[k].status));
		assert_true(http_respond_head(held->x, rows[k].status, &length, 1, HTTP_LENGTH_UNKNOWN, NULL));
		assert_true(http_body_finish(held->x, NULL, 0));
		let_go(held);
		wait_for(&c, "hello");
		assert_true(has(&c, rows[k].kept));
		assert_int_equal(count_of(&c, "ontent-"), rows[k].status == 204 ? 1 : 2);
		hang_up(&c);
	}
	stop_server();
}

static void H10_an_exchange_knows_how_it_was_lost(void **state)
{
	start_server(NULL);
	struct client c = dial();
	enum http_cancel why;
	unsigned status;
	struct slice data;
	say(&c, "POST /hold HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nZZ\r\n");
	wait_held(1);
	assert_int_equal(http_body_peek(held->x, &data), HTTP_READ_DATA);
	assert_false(http_exchange_is_cancelled(held->x, NULL, NULL));
	http_body_consume(held->x, 5);
	assert_true(http_exchange_is_cancelled(held->x, &why, &status));  // at once: before on_cancel
	assert_int_equal(cancels, 0);
	assert_int_equal(why, HTTP_CANCEL_BAD_BODY);
	assert_int_equal(status, 400);
	assert_int_equal(http_body_peek(held->x, &data), HTTP_READ_ERROR);
	answer(held->x, "too late");
	let_go(held);
	wait_end(&c);
	assert_true(has(&c, "400 Bad Request") && !has(&c, "too late"));
	hang_up(&c);
	stop_server();
}

static void H17_an_absolute_target_says_its_scheme(void **state)
{
	start_server(NULL);
	struct client c = dial();
	say(&c, "GET https://b/hold HTTP/1.1\r\nHost: a\r\n\r\n");
	wait_held(1);
	assert_true(http_exchange_request(held->x)->https);
	assert_true(slice_eq_str(http_exchange_request(held->x)->authority, "b"));
	answer(held->x, "ok");
	let_go(held);
	wait_for(&c, "ok");
	say(&c, "GET http://b/hold HTTP/1.1\r\nHost: a\r\n\r\n");
	wait_held(1);
	assert_false(http_exchange_request(held->x)->https);
	let_go(held);
	hang_up(&c);
	stop_server();
}

// What speaks in clear goes on so, whatever those speak that come after it.
static void a_connection_stays_what_it_began_as_when_others_get_tls(void **state)
{
	static const uint8_t certificate;
	start_server(NULL);
	struct client c = dial();
	say(&c, GET("/hold"));
	wait_held(1);
	answer(held->x, "ok");
	let_go(held);
	wait_for(&c, "ok");
	http_server_change(server, &http_limits_default, UNCONST(&certificate));  // looked at by who comes, and nobody does
	say(&c, GET("/hold"));
	wait_held(1);
	assert_false(http_exchange_request(held->x)->https);
	let_go(held);
	hang_up(&c);
	stop_server();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_has_length_and_date_and_keeps_the_connection),
		cmocka_unit_test(a_request_costs_one_recv_and_one_send_and_no_memory),
		cmocka_unit_test(a_request_that_waits_keeps_what_its_head_needs),
		cmocka_unit_test(a_head_of_many_fields_is_whole_however_it_comes),
		cmocka_unit_test(pipelined_requests_are_answered_in_order_and_together),
		cmocka_unit_test(answers_of_connections_that_are_ready_at_once_leave_together),
		cmocka_unit_test(a_slow_request_holds_back_the_ones_behind_it),
		cmocka_unit_test(a_held_exchange_keeps_its_fields_while_the_connection_goes_on),
		cmocka_unit_test(bodies_are_chunked_both_ways_in_any_pieces),
		cmocka_unit_test(a_large_body_streams_through),
		cmocka_unit_test(trailers_go_both_ways_if_the_client_takes_them),
		cmocka_unit_test(L86_continue_is_sent_when_the_body_is_first_read),
		cmocka_unit_test(without_continue_the_connection_ends_after_the_answer),
		cmocka_unit_test(answers_without_a_body_have_none),
		cmocka_unit_test(http_1_0_is_served),
		cmocka_unit_test(U33_a_request_that_nobody_answers_is_500),
		cmocka_unit_test(W33_a_small_unread_body_is_drained_and_a_large_one_ends_the_connection),
		cmocka_unit_test(W33_an_unread_body_waits_for_an_owner_that_may_still_read_it),
		cmocka_unit_test(W33_a_body_that_is_discarded_holds_nothing_up),
		cmocka_unit_test(W32_a_body_shorter_or_longer_than_announced_is_cut),
		cmocka_unit_test(L87_an_aborted_response_never_looks_whole),
		cmocka_unit_test(a_client_that_resets_cancels_its_request),
		cmocka_unit_test(L88_a_client_that_does_not_read_holds_the_writer_back),
		cmocka_unit_test(fields_of_a_response_are_checked_and_kept_in_order),
		cmocka_unit_test(a_field_of_the_server_goes_with_the_head_where_there_is_room),
		cmocka_unit_test(W30_the_head_leaves_before_the_body_is_finished),
		cmocka_unit_test(H4_continue_goes_before_a_head_that_was_given_first),
		cmocka_unit_test(H4_an_owner_that_reads_later_finds_the_body_coming),
		cmocka_unit_test(H3_the_answer_to_a_body_that_nobody_reads_is_not_lost),
		cmocka_unit_test(H11_what_was_permitted_is_taken),
		cmocka_unit_test(H11_many_small_writes_to_a_client_that_reads_nothing_are_one_chunk),
		cmocka_unit_test(H12_a_length_without_a_body_is_kept_or_dropped),
		cmocka_unit_test(H10_an_exchange_knows_how_it_was_lost),
		cmocka_unit_test(H17_an_absolute_target_says_its_scheme),
		cmocka_unit_test(a_connection_stays_what_it_began_as_when_others_get_tls),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
