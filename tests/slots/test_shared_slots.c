// Many requests in one instance, through a server: they wait and go on in any order, and what happens to one is its own, or hits all where the instance ends.
// PROGRAM(test_shared_slots, "serve threads tier cmocka", "")
#include <stdio.h>
#include <sys/mman.h>

#include "scripted.h"

// ---- what the server says -----------------------------------------------------------------------------------------------------------------------

static int said = -1, stderr_before = -1;

// From here on its lines are kept.
static void listen_to_it(void)
{
	config.process.log_level = SERVE_LOG_DEBUG;
	config.process.json = true;
	said = memfd_create("said", MFD_CLOEXEC);
	stderr_before = dup(2);
	assert_true(said >= 0 && dup2(said, 2) == 2);
}

// All that it said. It is heard no longer.
static const char *what_it_said(void)
{
	static char text[1 << 20];
	ssize_t n = pread(said, text, sizeof text - 1, 0);
	dup2(stderr_before, 2);
	close(stderr_before);
	close(said);
	said = -1;
	assert_true(n >= 0);
	text[n] = 0;
	return text;
}

// Of a test that failed: what it says is seen again, and so is what the server had said. What it left open no other test could live with.
static bool broken;

static int before_each(void **state)
{
	return broken ? -1 : 0;
}

static int after_each(void **state)
{
	if (said >= 0) {
		const char *text = what_it_said();
		fprintf(stderr, "%s\n", text);
	}
	broken |= scripted_is_open;
	return 0;
}

// The line that has both.
static bool says(const char *text, const char *a, const char *b)
{
	for (const char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
		struct slice l = slice_of(line, (size_t)(end - line));
		if (memmem(l.ptr, l.len, a, strlen(a)) && memmem(l.ptr, l.len, b, strlen(b)))
			return true;
	}
	return false;
}

static bool receipt_says(const char *text, const struct script *s, const char *part)
{
	char id[64];
	snprintf(id, sizeof id, "\"receipt\":{\"id\":%llu,", (unsigned long long)s->id);
	return says(text, id, part);
}

// ---- together -----------------------------------------------------------------------------------------------------------------------------------

static void two_requests_that_wait_share_a_slot(void **state)
{
	scripted_open(2);
	struct script *a = SEND_AND_WAIT(0, WAITS | STATUS(201)), *b = SEND_AND_WAIT(1, WAITS | STATUS(202));
	assert_ptr_equal(a->instance, b->instance);
	assert_int_equal(the_shard()->slots, 1);
	struct script *c = SEND_AND_WAIT(2, WAITS | STATUS(203));  // it is full
	assert_ptr_not_equal(c->instance, a->instance);
	seam_wake(&b->park);
	assert_int_equal(status_of(b), 202);
	seam_wake(&a->park);
	seam_wake(&c->park);
	assert_int_equal(status_of(a), 201);
	assert_int_equal(status_of(c), 203);
	scripted_close();
}

static void a_thousand_go_on_in_random_order(void **state)
{
	enum { WAITING = 3 };
	scripted_open(SCRIPTS);
	uint32_t order[SCRIPTS], n = SCRIPTS, seed = 1;
	for (unsigned i = 0; i < SCRIPTS; i++) {
		SEND(i, WAITS | PRINT | UINT64_C(0x0a) << 32, WAITS | SUBSCRIBE, WAITS | STATUS(200 + i % 300));
		go_round(1);
		order[i] = i;
	}
	GO_ON_UNTIL(the_shard()->calls == SCRIPTS && scripts[SCRIPTS - 1].waits);
	assert_int_equal(the_shard()->slots, 1);
	while (n) {
		seed = seed * 1664525 + 1013904223;
		uint32_t k = (seed >> 8) % n;
		struct script *s = &scripts[order[k]];
		if (s->waits)
			seam_wake(&s->park);
		go_round(seed >> 28 == 0);
		if (s->waited == WAITING)
			order[k] = order[--n];
	}
	for (unsigned i = 0; i < SCRIPTS; i++)
		assert_int_equal(status_of(&scripts[i]), 200 + i % 300);
	GO_ON_UNTIL(the_shard()->calls == 0 && the_shard()->stable->free_slots);
	assert_int_equal(the_shard()->slots, 1);
	assert_int_equal(canon_host_resource_count(the_shard()->stable->free_slots->canon), 0);  // equal to its image again
	scripted_close();
}

static void who_comes_while_another_computes_gets_another_instance(void **state)
{
	scripted_prepare(1, 8);
	config.service.limits.cpu = SECOND / 2;
	struct err e;
	assert_true(scripted_is_open = open_process(&e));
	struct script *a = SEND(0, SPIN);
	GO_ON_UNTIL(a->at == 1);
	struct script *b = SEND_AND_WAIT(1, WAITS | STATUS(204));
	assert_ptr_not_equal(a->instance, b->instance);
	assert_int_equal(status_of(a), 503);
	seam_wake(&b->park);
	assert_int_equal(status_of(b), 204);
	scripted_close();
}

// ---- ends ---------------------------------------------------------------------------------------------------------------------------------------

// `end`: of one among four; what it gets, and what it is told as.
static void end_one_of_four(uint64_t end, unsigned status, const char *outcome)
{
	struct script *all[4];
	struct err e;
	scripted_prepare(1, 8);
	config.service.limits.cpu = SECOND / 5;
	listen_to_it();
	assert_true(scripted_is_open = open_process(&e));
	for (unsigned i = 0; i < 4; i++)
		all[i] = i == 1 ? SEND_AND_WAIT(i, WAITS | end) : SEND_AND_WAIT(i, WAITS | STATUS(200));
	assert_ptr_equal(all[0]->instance, all[3]->instance);
	seam_wake(&all[1]->park);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(status_of(all[i]), i == 1 ? status : 503);
	GO_ON_UNTIL(the_shard()->calls == 0);
	assert_int_equal(the_shard()->slots, 0);
	struct script *next = SEND(4, STATUS(206));
	assert_int_equal(status_of(next), 206);
	scripted_close();
	const char *text = what_it_said();
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(all[i]->last, i == 1 ? SEAM_OK : SEAM_KILLED);
		if (!receipt_says(text, all[i], i == 1 ? outcome : "\"outcome\":\"ended by a neighbour\",\"status\":503"))
			fail_msg("request %u: %s", i, text);
	}
}

static void a_trap_ends_the_neighbours_each_with_an_answer_of_its_own(void **state)
{
	end_one_of_four(TRAP, 500, "\"outcome\":\"trap\",\"status\":500");
}

static void spent_cpu_time_ends_the_neighbours_too(void **state)
{
	end_one_of_four(SPIN, 503, "\"outcome\":\"cpu budget spent\",\"status\":503");
}

static void an_exit_ends_the_neighbours_too(void **state)
{
	end_one_of_four(EXIT, 500, "\"status\":500");
}

static void a_deadline_answers_its_own_request_and_the_others_go_on(void **state)
{
	scripted_open(8);
	listen_to_it();
	struct script *a = SEND_AND_WAIT(0, WAITS | STATUS(201));
	config.service.limits.deadline = SECOND / 20;
	struct script *b = SEND_AND_WAIT(1, WAITS | STATUS(202));
	config.service.limits.deadline = 0;
	assert_int_equal(status_of(b), 504);
	assert_true(a->waits && b->waits);
	// It takes no other request; what the late one does afterwards reaches nobody.
	struct script *c = SEND_AND_WAIT(2, WAITS | STATUS(203));
	assert_ptr_not_equal(c->instance, a->instance);
	struct script *d = NULL;
	assert_int_equal(the_shard()->slots, 2);
	seam_wake(&a->park);
	assert_int_equal(status_of(a), 201);
	GO_ON_UNTIL(!b->waits && the_shard()->slots == 1);  // ended with the last of the others
	assert_int_equal(b->last, SEAM_KILLED);
	seam_wake(&c->park);
	assert_int_equal(status_of(c), 203);
	// The same where the late one returns before the others.
	a = SEND_AND_WAIT(0, WAITS | STATUS(201));
	config.service.limits.deadline = SECOND / 20;
	d = SEND_AND_WAIT(3, WAITS | STATUS(202));
	config.service.limits.deadline = 0;
	assert_int_equal(status_of(d), 504);
	seam_wake(&d->park);
	GO_ON_UNTIL(!d->waits && the_shard()->calls == 1);
	assert_int_equal(d->last, SEAM_OK);
	seam_wake(&a->park);
	assert_int_equal(status_of(a), 201);
	GO_ON_UNTIL(the_shard()->calls == 0);
	scripted_close();
	const char *text = what_it_said();
	assert_true(receipt_says(text, b, "\"outcome\":\"deadline exceeded\",\"status\":504"));
	assert_true(receipt_says(text, d, "\"outcome\":\"deadline exceeded\",\"status\":504"));
	assert_true(receipt_says(text, a, "\"outcome\":\"ok\",\"status\":201"));
}

static void when_all_are_late_they_end_together(void **state)
{
	scripted_open(8);
	config.service.limits.deadline = SECOND / 20;
	struct script *a = SEND_AND_WAIT(0, WAITS | STATUS(201)), *b = SEND_AND_WAIT(1, WAITS | STATUS(202));
	assert_int_equal(status_of(a), 504);
	assert_int_equal(status_of(b), 504);
	GO_ON_UNTIL(the_shard()->calls == 0);
	assert_int_equal(the_shard()->slots, 0);
	scripted_close();
}

static void who_leaves_ends_nobody(void **state)
{
	scripted_open(8);
	listen_to_it();
	struct script *a = SEND_AND_WAIT(0, WAITS | STATUS(201)), *b = SEND_AND_WAIT(1, WAITS | STATUS(202));
	struct linger at_once = {.l_onoff = 1};
	setsockopt(a->client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
	leave(a);  // with a reset
	go_round(20);
	assert_true(a->waits && b->waits);
	seam_wake(&a->park);
	GO_ON_UNTIL(!a->waits && the_shard()->calls == 1);
	assert_int_equal(a->last, SEAM_OK);
	struct script *c = SEND_AND_WAIT(2, WAITS | STATUS(203));
	assert_ptr_equal(c->instance, b->instance);
	seam_wake(&b->park);
	seam_wake(&c->park);
	assert_int_equal(status_of(b), 202);
	assert_int_equal(status_of(c), 203);
	scripted_close();
	const char *text = what_it_said();
	assert_true(receipt_says(text, a, "\"outcome\":\"client gone\""));
	assert_true(receipt_says(text, b, "\"outcome\":\"ok\",\"status\":202"));
}

static void a_server_that_closes_ends_all_of_them(void **state)
{
	scripted_open(8);
	struct script *all[3];
	for (unsigned i = 0; i < 3; i++)
		all[i] = SEND_AND_WAIT(i, WAITS | STATUS(200));
	scripted_close();
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(all[i]->last, SEAM_KILLED);
		leave(all[i]);
	}
}

// ---- what belongs to whom -----------------------------------------------------------------------------------------------------------------------

static void receipts_count_the_calls_of_their_own_request(void **state)
{
	scripted_open(8);
	listen_to_it();
	// Calls of the host: steps, four for an answer, three for a line.
	struct script *a = SEND_AND_WAIT(0, WAITS | STATUS(200)), *b = SEND_AND_WAIT(1, WAITS | TEXT('x', 'x', 'x', '\n'), WAITS | STATUS(200));
	assert_ptr_equal(a->instance, b->instance);
	seam_wake(&b->park);
	GO_ON_UNTIL(b->waits && b->waited == 1);
	seam_wake(&a->park);
	assert_int_equal(status_of(a), 200);
	seam_wake(&b->park);
	assert_int_equal(status_of(b), 200);
	GO_ON_UNTIL(the_shard()->calls == 0);
	scripted_close();
	const char *text = what_it_said();
	assert_true(receipt_says(text, a, "\"host_calls\":5,"));
	assert_true(receipt_says(text, b, "\"host_calls\":8,"));
	char line[64];
	snprintf(line, sizeof line, "\"request\":%llu,", (unsigned long long)b->id);
	assert_true(says(text, line, "\"guest\":\"xxx\""));
}

static void lines_of_two_that_print_at_once_do_not_mix(void **state)
{
	scripted_open(8);
	listen_to_it();
	struct script *a = SEND_AND_WAIT(0, TEXT('a', 'a', 'a', 'a'), WAITS | TEXT('a', 'a', 'a', '\n'), STATUS(200));
	struct script *b = SEND_AND_WAIT(1, TEXT('b', 'b', 'b', 'b'), WAITS | TEXT('b', 'b', 'b', 'b'), STATUS(200));  // ends without a newline
	assert_ptr_equal(a->instance, b->instance);
	seam_wake(&a->park);
	assert_int_equal(status_of(a), 200);
	seam_wake(&b->park);
	assert_int_equal(status_of(b), 200);
	GO_ON_UNTIL(the_shard()->calls == 0);
	scripted_close();
	const char *text = what_it_said();
	char of_a[64], of_b[64];
	snprintf(of_a, sizeof of_a, "\"request\":%llu,", (unsigned long long)a->id);
	snprintf(of_b, sizeof of_b, "\"request\":%llu,", (unsigned long long)b->id);
	assert_true(says(text, of_a, "\"guest\":\"aaaaaaa\""));
	assert_true(says(text, of_b, "\"guest\":\"bbbbbbbb\""));
}

// ---- what one waits on, in the hands of another -------------------------------------------------------------------------------------------------

static void what_one_waits_on_can_not_be_dropped_by_another(void **state)
{
	scripted_open(8);
	listen_to_it();
	struct script *a = SEND(0, SUBSCRIBE_TO(3600000), BLOCK, STATUS(200));
	GO_ON_UNTIL(a->at == 2 && a->task->parked);
	struct script *b = SEND(1, DROP, STATUS(200));
	assert_int_equal(status_of(b), 500);
	assert_int_equal(status_of(a), 503);
	assert_ptr_equal(a->instance, b->instance);
	GO_ON_UNTIL(the_shard()->calls == 0);
	scripted_close();
	assert_true(receipt_says(what_it_said(), b, "cannot remove owned resource while borrowed"));
}

static void what_nobody_waits_on_any_more_can_be_dropped(void **state)
{
	scripted_open(8);
	struct script *a = SEND(0, SUBSCRIBE_TO(500), BLOCK, STATUS(201));
	GO_ON_UNTIL(a->at == 2 && a->task->parked);
	struct script *b = SEND(1, BLOCK, STATUS(202));  // both wait on one object
	struct script *c = SEND_AND_WAIT(2, WAITS | DROP, STATUS(203));
	assert_int_equal(status_of(a), 201);
	assert_int_equal(status_of(b), 202);
	uint32_t objects = canon_host_resource_count(c->instance->canon);
	seam_wake(&c->park);
	assert_int_equal(status_of(c), 203);
	assert_ptr_equal(a->instance, c->instance);
	assert_true(objects > 0);
	scripted_close();
}

// Those of a thousand instances that are given back in one turn hold up who else is on the thread; those of a version that left go the same way.
static void many_that_are_idle_go_a_few_at_a_time(void **state)
{
	enum { N = 100, FEW = 16, IDLE_MS = 1000 };
	struct err e;
	scripted_prepare(1, 1);
	config.service.idle_fresh = IDLE_MS * MILLISECOND;
	assert_true(scripted_is_open = open_process(&e));
	for (unsigned i = 0; i < N; i++)
		SEND_AND_WAIT(i, WAITS | STATUS(200));
	assert_int_equal(the_shard()->slots, N);
	for (unsigned i = 0; i < N; i++)
		seam_wake(&scripts[i].park);
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(status_of(&scripts[i]), 200);
	usleep(IDLE_MS * 1000);  // all are
	uint64_t left = the_shard()->slots;
	for (unsigned turns = 0; turns < 20000 && left > 1; turns++) {
		go_round(1);
		assert_in_range(left - the_shard()->slots, 0, FEW);
		left = the_shard()->slots;
	}
	assert_in_range(left, 0, 1);
	scripted_close();
}

// Who comes while they do is served, and the shard may end before the last is gone.
static void leave_many(bool is_short)
{
	enum { N = 50 };
	scripted_open(1);
	for (unsigned i = 0; i < N; i++)
		SEND_AND_WAIT(i, WAITS | STATUS(200));
	for (unsigned i = 0; i < N; i++)
		seam_wake(&scripts[i].park);
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(status_of(&scripts[i]), 200);
	GO_ON_UNTIL(the_shard()->calls == 0);
	serve__stock_discard(the_shard()->stable, the_shard());
	assert_in_range(the_shard()->slots, N / 2, N - 1);
	assert_int_equal(the_shard()->n_emptying[true], the_shard()->slots);
	if (is_short)  // guests would be ended for what they hold
		serve__slots_trim(the_shard());
	assert_true(!is_short == (the_shard()->n_emptying[true] > 0));
	struct script *s = SEND_AND_WAIT(0, WAITS | STATUS(201));  // nobody waits for them
	seam_wake(&s->park);
	assert_int_equal(status_of(s), 201);
	scripted_close();
}

static void what_leaves_goes_with_its_shard(void **state)
{
	leave_many(false);
}

static void what_leaves_goes_at_once_where_memory_is_short(void **state)
{
	leave_many(true);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, before_each, after_each)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(two_requests_that_wait_share_a_slot),
		TEST(a_thousand_go_on_in_random_order),
		TEST(who_comes_while_another_computes_gets_another_instance),
		TEST(a_trap_ends_the_neighbours_each_with_an_answer_of_its_own),
		TEST(spent_cpu_time_ends_the_neighbours_too),
		TEST(an_exit_ends_the_neighbours_too),
		TEST(a_deadline_answers_its_own_request_and_the_others_go_on),
		TEST(when_all_are_late_they_end_together),
		TEST(who_leaves_ends_nobody),
		TEST(a_server_that_closes_ends_all_of_them),
		TEST(receipts_count_the_calls_of_their_own_request),
		TEST(lines_of_two_that_print_at_once_do_not_mix),
		TEST(what_one_waits_on_can_not_be_dropped_by_another),
		TEST(what_nobody_waits_on_any_more_can_be_dropped),
		TEST(many_that_are_idle_go_a_few_at_a_time),
		TEST(what_leaves_goes_with_its_shard),
		TEST(what_leaves_goes_at_once_where_memory_is_short),
	};
	seam_provider_init(&scripted_provider, &scripted_provider_ops);
	write_component();
	int n = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(component_path);
	return n;
}
