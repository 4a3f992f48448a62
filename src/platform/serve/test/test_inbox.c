// What threads tell each other: all of it arrives, once, in the order of each sender, also where the thread ends meanwhile.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "serve/serve_int.h"

enum { SENDERS = 4, MESSAGES = 20000 };

struct one {
	struct serve_message message;
	unsigned sender, number;
};
static struct serve_thread to;
static struct one *sent[SENDERS];
static unsigned arrived[SENDERS], here, in_its_place;  // of which on the thread; by who sent, when that had ended
static bool in_order;

static void on_message(struct serve_message *m)
{
	struct one *o = CONTAINER_OF(m, struct one, message);
	in_order &= arrived[o->sender]++ == o->number;
	if (to.inbox.closed)
		in_its_place++;
	else
		here++;
}

static void *send_all(void *arg)
{
	unsigned sender = (unsigned)(uintptr_t)arg;
	for (unsigned i = 0; i < MESSAGES; i++) {
		sent[sender][i] = (struct one){.message.fn = on_message, .sender = sender, .number = i};
		serve__inbox_do(&to, &sent[sender][i].message);
	}
	return NULL;
}

// The thread takes `least` and ends.
static void send_from_all(unsigned least)
{
	struct err e;
	pthread_t threads[SENDERS];
	to = (struct serve_thread){0};
	assert_true(loop_new(&to.loop, &e));
	serve__inbox_init(&to);
	memset(arrived, 0, sizeof arrived);
	here = in_its_place = 0;
	in_order = true;
	for (unsigned i = 0; i < SENDERS; i++) {
		sent[i] = mem_zalloc(MESSAGES * sizeof *sent[i]);
		assert_int_equal(pthread_create(&threads[i], NULL, send_all, (void *)(uintptr_t)i), 0);
	}
	while (here < least)
		loop_run_once(to.loop, UINT64_MAX);
	serve__inbox_close(&to);
	for (unsigned i = 0; i < SENDERS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(arrived[i], MESSAGES);
		mem_free(sent[i]);
	}
	assert_true(in_order);
	assert_int_equal(here + in_its_place, SENDERS * MESSAGES);
	loop_free(to.loop);
}

static void all_that_is_sent_arrives_once_and_in_order(void **state UNUSED)
{
	send_from_all(SENDERS * MESSAGES);
	assert_int_equal(in_its_place, 0);
}

static void what_is_sent_to_a_thread_that_ends_is_done_by_it_or_in_its_place(void **state UNUSED)
{
	for (unsigned least = 1; least < SENDERS * MESSAGES / 4; least *= 8)
		send_from_all(least);
}

static void a_thread_that_has_ended_takes_nothing(void **state UNUSED)
{
	struct err e;
	struct one o = {.message.fn = on_message};
	to = (struct serve_thread){0};
	assert_true(loop_new(&to.loop, &e));
	serve__inbox_init(&to);
	serve__inbox_close(&to);
	memset(arrived, 0, sizeof arrived);
	assert_false(serve__inbox_send(&to, &o.message));
	assert_int_equal(arrived[0], 0);
	loop_free(to.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_that_is_sent_arrives_once_and_in_order),
		cmocka_unit_test(what_is_sent_to_a_thread_that_ends_is_done_by_it_or_in_its_place),
		cmocka_unit_test(a_thread_that_has_ended_takes_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
