// The transition table of the ends of streams and futures, against the sentences of the specification.
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "../canon_async.h"

static bool is_future(unsigned kind)
{
	return kind == END_FUTURE_READABLE || kind == END_FUTURE_WRITABLE;
}

static bool is_writable(unsigned kind)
{
	return kind == END_STREAM_WRITABLE || kind == END_FUTURE_WRITABLE;
}

static bool is_copying(unsigned state)
{
	return state == END_COPYING || state == END_CANCELLING;
}

// stream_copy, cancel_copy, stream_event, future_event, lift_async_value, CopyEnd.drop and WritableFutureEnd.drop.
static unsigned expected(unsigned kind, unsigned state, unsigned action)
{
	switch (action) {
	case END_COPY:
		return state == END_IDLE ? END_COPYING : END_ILLEGAL;
	case END_CANCEL:
		return state == END_COPYING ? END_CANCELLING : END_ILLEGAL;
	case END_COMPLETED:
		return !is_copying(state) ? END_ILLEGAL : is_future(kind) ? END_DONE
																  : END_IDLE;
	case END_DROPPED:
		return is_copying(state) ? END_DONE : END_ILLEGAL;
	case END_CANCELLED:
		return is_copying(state) ? END_IDLE : END_ILLEGAL;
	case END_LIFT:
		return !is_writable(kind) && state == END_IDLE ? END_GONE : END_ILLEGAL;
	default:
		return is_copying(state) || (kind == END_FUTURE_WRITABLE && state != END_DONE) ? END_ILLEGAL : END_GONE;
	}
}

static void every_state_allows_what_the_specification_says(void **state UNUSED)
{
	for (unsigned kind = 0; kind < END_KINDS; kind++)
		for (unsigned s = 0; s < END_STATES; s++)
			for (unsigned action = 0; action < END_ACTIONS; action++)
				if (canon__end_next(kind, s, action) != expected(kind, s, action))
					fail_msg("kind %u, state %u, action %u: %u, should be %u", kind, s, action, canon__end_next(kind, s, action), expected(kind, s, action));
}

static void what_is_illegal_traps_and_says_why(void **state UNUSED)
{
	unsigned told = 0;
	for (unsigned kind = 0; kind < END_KINDS; kind++)
		for (unsigned s = 0; s < END_STATES; s++)
			for (unsigned action = 0; action < END_ACTIONS; action++) {
				if ((action >= END_COMPLETED && action <= END_CANCELLED) || (action == END_LIFT && is_writable(kind)))
					continue;  // no guest can ask for it
				struct canon_trap trap = {0};
				struct canon_task task = {.trap = &trap};
				struct canon__end e = {.kind = (uint8_t)kind, .state = (uint8_t)s};
				enum trap t = canon__end_do(&task, &e, action);
				assert_int_equal(t != TRAP_NONE, expected(kind, s, action) == END_ILLEGAL);
				assert_int_equal(t != TRAP_NONE, trap.text[0] != 0);
				if (t != TRAP_NONE)
					assert_int_equal(e.state, s);
				told += t != TRAP_NONE;
			}
	assert_true(told > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_state_allows_what_the_specification_says),
		cmocka_unit_test(what_is_illegal_traps_and_says_why),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
