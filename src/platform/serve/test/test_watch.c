// What is kept of calls through links: meters by link, calls of a receipt, within their bounds. No guest runs.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "serve/serve_int.h"

// A process of two threads with one service, and a request that runs on the first.
struct world {
	struct serve_process process;
	struct serve_service service;
	struct serve_service *services[1];
	struct serve_shard shards[2];
	struct serve_thread threads[2];
	struct serve_slot slots[2];
	struct seam_instance instances[2];
	struct seam_task *task;
	struct serve_request request;
};

static int setup(void **state)
{
	struct world *w = mem_zalloc(sizeof *w);
	struct err e = {0};
	assert_non_null(w);
	w->services[0] = &w->service;
	w->service = (struct serve_service){.name = "c", .app = "a", .process = &w->process, .shards = w->shards};
	w->process = (struct serve_process){.threads = w->threads, .n_threads = 2, .services = w->services, .n_services = 1};
	for (unsigned i = 0; i < 2; i++) {
		w->shards[i] = (struct serve_shard){.service = &w->service, .thread = &w->threads[i], .index = i};
		w->slots[i].shard = &w->shards[i];
		w->instances[i].owner = &w->slots[i];
		assert_true(loop_new(&w->threads[i].loop, &e) && seam_tasks_new(w->threads[i].loop, NULL, &w->threads[i].tasks, &e));
		assert_true(serve__receipts_open(&w->threads[i]));
		serve__watch_init(&w->threads[i].watch);
	}
	w->task = seam_task_new(w->threads[0].tasks, NULL);
	assert_non_null(w->task);
	w->request = (struct serve_request){.shard = &w->shards[0], .id = 7};
	w->task->request = &w->request;
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	seam_task_free(w->task);
	for (unsigned i = 0; i < 2; i++) {
		serve__watch_release(&w->shards[i]);
		serve__receipts_close(&w->threads[i]);
		seam_tasks_free(w->threads[i].tasks);
		loop_free(w->threads[i].loop);
	}
	mem_free(w);
	return 0;
}

static void call(struct world *w, unsigned thread, const struct seam_task *t, const struct seam_seen *seen)
{
	struct seam_watch *watch = &w->threads[thread].watch;
	struct seam_watched kept;
	watch->begin(watch, t, &w->instances[thread], &kept);
	watch->end(watch, &kept, seen);
}

static struct seam_seen seen_of(const char *link, enum seam_outcome outcome)
{
	return (struct seam_seen){.link = link, .interface = SLICE_LIT("a:b/c@1.0.0"), .func = SLICE_LIT("f"), .outcome = outcome};
}

struct found {
	struct serve_receipt_call list[64];
	unsigned n;
};

static void take(void *user, const struct serve_receipt_call *c)
{
	struct found *f = user;
	if (f->n < ARRAY_LEN(f->list))
		f->list[f->n++] = *c;
}

static void the_first_calls_of_a_request_are_kept_and_all_are_counted(void **state)
{
	struct world *w = *state;
	struct found f = {0};
	for (unsigned i = 0; i < SERVE_RECEIPT_CALLS + 8; i++) {
		const struct seam_seen s = seen_of("store", i == 1 ? SEAM_WENT_WRONG : SEAM_WENT_WELL);
		call(w, 0, w->task, &s);
	}
	serve_receipt_calls(&w->process, take, &f);
	assert_int_equal(f.n, SERVE_RECEIPT_CALLS);
	assert_int_equal(w->request.link_calls, SERVE_RECEIPT_CALLS + 8);
	assert_int_equal(f.list[0].request, 7);
	assert_string_equal(f.list[0].link, "store");
	assert_string_equal(f.list[0].component, "c");
	assert_string_equal(f.list[0].call, "a:b/c@1.0.0#f");
	assert_string_equal(f.list[0].outcome, "ok");
	assert_string_equal(f.list[1].outcome, "error");
}

static void a_request_that_went_out_may_end_after_the_call_that_sent_it(void **state)
{
	struct world *w = *state;
	struct found f = {0};
	struct seam_watch *watch = &w->threads[0].watch;
	const struct seam_seen s = {.interface = SLICE_LIT("https://a.example:443"), .func = SLICE_LIT("GET"), .is_request = true, .status = 204};
	struct seam_task *gone = seam_task_new(w->threads[0].tasks, NULL);
	struct seam_watched kept;
	struct serve_link_facts facts;
	assert_non_null(gone);
	gone->request = &w->request;
	watch->begin(watch, gone, &w->instances[0], &kept);
	seam_task_free(gone);
	watch->end(watch, &kept, &s);
	serve_receipt_calls(&w->process, take, &f);
	assert_int_equal(f.n, 0);
	assert_int_equal(w->request.link_calls, 0);
	assert_true(serve_link_facts(&w->process, 0, 0, &facts));
	assert_string_equal(facts.link, SERVE_NO_LINK);
	assert_int_equal(facts.calls, 1);
	call(w, 0, w->task, &s);
	serve_receipt_calls(&w->process, take, &f);
	assert_int_equal(f.n, 1);
	assert_string_equal(f.list[0].call, "GET https://a.example:443");
	assert_string_equal(f.list[0].link, "");
	assert_int_equal(f.list[0].status, 204);
}

static void what_an_image_calls_is_nobodys(void **state)
{
	struct world *w = *state;
	struct seam_instance image = {0};
	struct seam_watch *watch = &w->threads[0].watch;
	struct seam_task *t = seam_task_new(w->threads[0].tasks, NULL);
	const struct seam_seen s = seen_of("store", SEAM_TRAPPED);
	struct seam_watched kept;
	struct serve_link_facts facts;
	assert_non_null(t);
	watch->begin(watch, t, &image, &kept);
	watch->end(watch, &kept, &s);
	seam_task_free(t);
	assert_false(serve_link_facts(&w->process, 0, 0, &facts));
}

static void what_two_threads_call_through_a_link_is_one_sum(void **state)
{
	struct world *w = *state;
	static const char *const links[] = {"a", "b", "a"};
	struct serve_link_facts facts;
	for (unsigned i = 0; i < ARRAY_LEN(links); i++) {
		const struct seam_seen s = seen_of(links[i], i ? SEAM_WENT_WELL : SEAM_ENDED);
		call(w, i == 2, w->task, &s);
	}
	unsigned n = 0, calls = 0, errors = 0;
	for (; serve_link_facts(&w->process, 0, n, &facts); n++) {
		calls += (unsigned)facts.calls;
		errors += (unsigned)facts.errors;
		assert_int_equal(facts.calls, facts.link[0] == 'a' ? 2 : 1);
	}
	assert_int_equal(n, 2);
	assert_int_equal(calls, 3);
	assert_int_equal(errors, 1);
	assert_false(serve_link_facts(&w->process, 1, 0, &facts));
}

static void links_beyond_the_bound_are_counted_together(void **state)
{
	struct world *w = *state;
	struct serve_link_facts facts;
	char name[16];
	for (unsigned i = 0; i < SERVE_LINKS_MAX + 9; i++) {
		snprintf(name, sizeof name, "l%u", i);
		const struct seam_seen s = seen_of(name, SEAM_WENT_WELL);
		call(w, 0, w->task, &s);
	}
	assert_true(serve_link_facts(&w->process, 0, SERVE_LINKS_MAX, &facts));
	assert_string_equal(facts.link, SERVE_OTHER_LINKS);
	assert_int_equal(facts.calls, 9);
	assert_false(serve_link_facts(&w->process, 0, SERVE_LINKS_MAX + 1, &facts));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_first_calls_of_a_request_are_kept_and_all_are_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(a_request_that_went_out_may_end_after_the_call_that_sent_it, setup, teardown),
		cmocka_unit_test_setup_teardown(what_an_image_calls_is_nobodys, setup, teardown),
		cmocka_unit_test_setup_teardown(what_two_threads_call_through_a_link_is_one_sum, setup, teardown),
		cmocka_unit_test_setup_teardown(links_beyond_the_bound_are_counted_together, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
