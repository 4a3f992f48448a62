// A connection leaves its server for another one of the same gate, with what was read of it.
#include "harness.h"

#include "http/h1.h"

static struct http_server *other;
static struct http_gate *gate;
static struct http_passed *on_the_way, **last;
static bool h2_is_others, all_is_others, other_drained;

// Bodies are the other server's.
static bool is_others(void *user, const struct http_request *r)
{
	return all_is_others || (r ? !slice_eq_str(r->target, "/hello") && !slice_eq_str(r->target, "/here") : h2_is_others);
}

static void on_passed(void *user, struct http_passed *c)
{
	c->next = NULL;
	*last = c;
	last = &c->next;
}

static void deliver_to(struct http_server *to)
{
	struct http_passed *list = on_the_way;
	on_the_way = NULL;
	last = &on_the_way;
	for (struct http_passed *c = list, *next; c; c = next) {
		next = c->next;
		http_server_take(to, gate, c);
	}
}

static void start_both(void)
{
	struct err e = {0};
	on_the_way = NULL;
	last = &on_the_way;
	h2_is_others = all_is_others = other_drained = false;
	assert_true(http_gate_new(HTTP_NO_LIMIT, HTTP_NO_LIMIT - 1, &gate, &e));
	struct http_server_config config = {.limits = http_limits_default, .on_request = on_request, .gate = gate, .is_anothers = is_others, .on_passed = on_passed};
	start_server_with(config);
	config.is_anothers = NULL;
	assert_true(http_server_new(loop, &config, &other, &e));
}

// No place is left taken: the gate looks.
static void stop_both(void)
{
	deliver_to(NULL);
	http_server_free(other);
	while (held)
		let_go(held);
	stop_server();
	http_gate_free(gate);
}

static void turn_both(int times)
{
	while (times-- > 0) {
		turn(1);
		deliver_to(other);
	}
}

#define LENGTH "POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
#define CHUNKS "POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
static const char pipeline[] = GET("/hello") LENGTH GET("/hello") CHUNKS GET("/hello");

static void a_pipeline_goes_on_at_the_other_server_wherever_it_is_cut(void **state)
{
	for (size_t cut = 0; cut <= sizeof pipeline - 1; cut++) {
		start_both();
		struct client c = dial();
		send_bytes(&c, pipeline, cut);
		turn_both(3);
		send_bytes(&c, pipeline + cut, sizeof pipeline - 1 - cut);
		turn_both(6);
		wait_times(&c, "hello", 3);
		assert_true(has(&c, "got 3") && has(&c, "got 2"));
		assert_false(c.eof);
		const struct http_counters *a = http_server_counters(server), *b = http_server_counters(other);
		assert_int_equal(a->requests, 1);
		assert_int_equal(b->requests, 4);
		assert_int_equal(a->accepted, 1);
		assert_int_equal(b->accepted, 0);
		assert_int_equal(a->connections, 0);
		assert_int_equal(b->connections, 1);
		hang_up(&c);
		stop_both();
	}
}

// Its authority was moved when the head was parsed the first time.
static void a_target_that_has_no_path_is_the_same_there(void **state)
{
	start_both();
	struct client c = dial();
	say(&c, "GET http://abc.example:80?x=1 HTTP/1.1\r\nHost: a\r\n\r\n");
	turn_both(6);
	assert_int_equal(held_count, 1);
	const struct http_request *r = http_exchange_request(held->x);
	assert_true(slice_eq_str(r->target, "/?x=1"));
	assert_true(slice_eq_str(r->authority, "abc.example:80"));
	answer(held->x, "there");
	let_go(held);
	wait_for(&c, "there");
	hang_up(&c);
	stop_both();
}

static void nobody_serves_one_that_is_on_its_way_when_all_is_over(void **state)
{
	start_both();
	struct client c = dial();
	say(&c, GET("/echo"));
	turn(6);
	assert_non_null(on_the_way);
	deliver_to(NULL);
	wait_end(&c);
	hang_up(&c);
	stop_both();
}

static void where_memory_is_out_it_is_answered_or_closed(void **state)
{
	unsigned answered = 0;
	for (unsigned nth = 1; nth < 12; nth++) {
		start_both();
		struct client c = dial();
		say(&c, GET("/hello"));
		wait_for(&c, "hello");
		mem_fail_nth(nth);
		assert_true(send(c.fd, GET("/read"), strlen(GET("/read")), 0) > 0);
		turn_both(6);
		mem_fail_nth(0);
		uint64_t give_up = sys_now_ns() + 5000 * MS;
		while (!has(&c, "got 0") && !has(&c, "HTTP/1.1 50") && !c.eof && sys_now_ns() < give_up) {
			turn_both(1);
			receive_some(&c);
		}
		assert_true(c.eof || has(&c, "got 0") || has(&c, "HTTP/1.1 50"));
		answered += has(&c, "got 0");
		hang_up(&c);
		stop_both();
	}
	assert_true(answered > 0 && answered < 11);
}

static void note_drained(void *user)
{
	other_drained = true;
}

static void a_server_that_others_may_pass_something_on_to_drains_last(void **state)
{
	start_both();
	http_server_await(other, true);
	struct client c = dial();
	say(&c, GET("/hello"));
	wait_for(&c, "hello");
	http_server_drain(other, note_drained, NULL);
	turn_both(4);
	assert_false(other_drained);
	say(&c, GET("/read"));
	turn_both(6);
	wait_for(&c, "got 0");
	assert_true(has(&c, "Connection: close"));
	http_server_drain(server, on_drained, NULL);
	turn_both(4);
	assert_true(drained && !other_drained);
	hang_up(&c);
	http_server_await(other, false);
	for (uint64_t give_up = sys_now_ns() + 5000 * MS; !other_drained && sys_now_ns() < give_up;)
		turn_both(1);
	assert_true(other_drained);
	stop_both();
}

// ---- HTTP/2 ------------------------------------------------------------------------------------------------------------------------

static const char beginning[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";

static void begin_stream(struct client *c, uint8_t id, const char *path)
{
	uint8_t n = (uint8_t)strlen(path), frame[64] = {0, 0, (uint8_t)(7 + n), 1, 5, 0, 0, 0, id, 0x82, 0x86, 1, 1, 'a', 4, n};
	memcpy(frame + 16, path, n);
	send_bytes(c, frame, (size_t)16 + n);
}

// What a frame of that kind says behind its head; NULL: none has come.
static const uint8_t *frame_of(const struct client *c, uint8_t kind)
{
	const uint8_t *p = c->in.ptr, *end = c->in.len ? p + c->in.len : p;
	while (p && end - p >= 9) {
		size_t n = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
		if (p[3] == kind && (size_t)(end - p) >= 9 + n)
			return p + 9;
		p += min_u64(9 + n, (uint64_t)(end - p));
	}
	return NULL;
}

static void await_frame(struct client *c, uint8_t kind)
{
	for (uint64_t give_up = sys_now_ns() + 5000 * MS; !frame_of(c, kind) && !c->eof && sys_now_ns() < give_up;) {
		turn_both(1);
		receive_some(c);
	}
	assert_non_null(frame_of(c, kind));
}

static void one_that_speaks_http2_moves_before_its_first_request(void **state)
{
	for (size_t cut = 0; cut < sizeof beginning - 1; cut++) {
		start_both();
		h2_is_others = true;
		struct client c = dial();
		send_bytes(&c, beginning, cut);
		turn_both(2);
		send_bytes(&c, beginning + cut, sizeof beginning - 1 - cut);
		begin_stream(&c, 1, "/late");
		await_frame(&c, 4);
		turn_both(4);
		assert_int_equal(held_count, 1);
		assert_int_equal(http_server_counters(other)->requests, 1);
		answer(held->x, "by two");
		let_go(held);
		await_frame(&c, 0);
		hang_up(&c);
		stop_both();
	}
}

static void a_stream_that_comes_too_late_is_refused_and_the_others_end_well(void **state)
{
	start_both();
	struct client c = dial();
	all_is_others = false;
	send_bytes(&c, beginning, sizeof beginning - 1);
	await_frame(&c, 4);
	all_is_others = true;
	begin_stream(&c, 1, "/late");
	await_frame(&c, 3);
	const uint8_t code[] = {0, 0, 0, 7};  // REFUSED_STREAM
	assert_memory_equal(frame_of(&c, 3), code, 4);
	await_frame(&c, 7);
	assert_int_equal(http_server_counters(other)->requests + http_server_counters(server)->requests, 0);
	wait_end(&c);  // who doesn't answer our PING is let go a second later
	hang_up(&c);
	stop_both();
}

static void who_is_to_come_anew_is_answered_first(void **state)
{
	start_both();
	struct client c = dial();
	send_bytes(&c, beginning, sizeof beginning - 1);
	begin_stream(&c, 1, "/here");
	await_frame(&c, 4);
	turn_both(4);
	assert_int_equal(held_count, 1);
	http_server_renew(server);
	await_frame(&c, 7);
	answer(held->x, "here");
	let_go(held);
	await_frame(&c, 0);
	assert_memory_equal(frame_of(&c, 0), "here", 4);
	wait_end(&c);
	hang_up(&c);
	stop_both();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pipeline_goes_on_at_the_other_server_wherever_it_is_cut),
		cmocka_unit_test(a_target_that_has_no_path_is_the_same_there),
		cmocka_unit_test(nobody_serves_one_that_is_on_its_way_when_all_is_over),
		cmocka_unit_test(where_memory_is_out_it_is_answered_or_closed),
		cmocka_unit_test(a_server_that_others_may_pass_something_on_to_drains_last),
		cmocka_unit_test(one_that_speaks_http2_moves_before_its_first_request),
		cmocka_unit_test(a_stream_that_comes_too_late_is_refused_and_the_others_end_well),
		cmocka_unit_test(who_is_to_come_anew_is_answered_first),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
