// A client that closes its half of a connection, or does not wait where it said that it would: what has come is answered.
#include "harness.h"

static void a_client_that_closes_its_half_still_gets_the_answer(void **state)
{
	start_server(NULL);
	struct client c = dial();
	say(&c, GET("/hold"));
	shutdown(c.fd, SHUT_WR);
	wait_held(1);
	turn(10);
	assert_false(held->cancelled);
	answer(held->x, "still here");
	let_go(held);
	wait_end(&c);
	assert_true(has(&c, "still here") && !c.reset);
	hang_up(&c);
	stop_server();
}

static void a_body_that_ends_early_is_an_error(void **state)
{
	start_server(NULL);
	struct client c = dial();
	say(&c, "POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
	wait_held(1);
	shutdown(c.fd, SHUT_WR);
	wait_until(&held->cancelled);
	wait_end(&c);
	assert_true(has(&c, "400 Bad Request"));
	let_go(held);
	hang_up(&c);
	stop_server();
}

#define TO_HOLD(framing) "POST /hold HTTP/1.1\r\nHost: a\r\n" framing "\r\n\r\n"

// However late it is read.
static void a_body_that_is_whole_is_read_though_its_client_has_closed_its_half(void **state)
{
	static const char *const heads[] = {TO_HOLD("Content-Length: 10"), TO_HOLD("Transfer-Encoding: chunked")};
	static const char *const bodies[] = {"0123456789", "4\r\n0123\r\n6;x=y\r\n456789\r\n0\r\nX-Last: z\r\n\r\n"};
	for (size_t k = 0; k < ARRAY_LEN(heads); k++)
		for (size_t cut = 0, whole = strlen(bodies[k]); cut <= whole; cut++) {
			start_server(NULL);
			struct client c = dial();
			say(&c, heads[k]);
			wait_held(1);
			send_bytes(&c, bodies[k], cut);
			turn(3);
			shutdown(c.fd, SHUT_WR);
			turn(10);
			assert_int_equal(held->cancelled, cut < whole);
			if (cut < whole)
				let_go(held);
			else
				step_read(held);
			wait_end(&c);
			assert_true(has(&c, cut < whole ? "400 Bad Request" : "got 10") && !c.reset);
			hang_up(&c);
			stop_server();
		}
}

static void who_does_not_wait_for_the_100_gets_none_and_may_ask_again(void **state)
{
	start_server(NULL);
	struct client c = dial();
	say(&c, TO_HOLD("Content-Length: 3\r\nExpect: 100-continue"));
	wait_held(1);
	say(&c, "abc");
	turn(10);
	answer(held->x, "there");
	let_go(held);
	wait_for(&c, "there");
	assert_false(has(&c, "100 Continue") || has(&c, "Connection: close"));
	say(&c, GET("/hello"));
	wait_for(&c, "hello");
	hang_up(&c);
	stop_server();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_client_that_closes_its_half_still_gets_the_answer),
		cmocka_unit_test(a_body_that_ends_early_is_an_error),
		cmocka_unit_test(a_body_that_is_whole_is_read_though_its_client_has_closed_its_half),
		cmocka_unit_test(who_does_not_wait_for_the_100_gets_none_and_may_ask_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
