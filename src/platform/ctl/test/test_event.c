// The ring of an app's events: it grows with them to its bounds, forgets the oldest there, and says how many were lost. And errors as programs read them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/ctl_int.h"

static char *line_of(uint64_t id)
{
	char *line = mem_alloc(32);
	assert_non_null(line);
	snprintf(line, 32, "line %llu", (unsigned long long)id);
	return line;
}

static void add(struct ctl_events *e, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		ctl__events_put(e, line_of(e->next));
}

// All behind `after`; the number of lines that were printed.
static unsigned print_all(const struct ctl_events *e, uint64_t after, uint64_t *ret_first, bool *ret_lost)
{
	unsigned n = 0;
	*ret_first = 0;
	*ret_lost = false;
	for (uint64_t was = UINT64_MAX; after != was;) {
		was = after;
		struct buf b = {0};
		ctl__events_print(e, &after, &b);
		assert_true(buf_put(&b, "", 1));
		*ret_lost |= strstr((char *)b.ptr, "event: lost") != NULL;
		for (char *at = (char *)b.ptr; (at = strstr(at, "\ndata: line ")); n++) {
			uint64_t id = strtoull(at + 12, &at, 10);
			*ret_first = *ret_first ? *ret_first : id;
			assert_int_equal(id, *ret_first + n);
		}
		buf_release(&b);
	}
	return n;
}

static void all_that_fit_are_there(void **state)
{
	static const unsigned counts[] = {1, 15, 16, 17, 33, CTL_EVENTS - 1, CTL_EVENTS};
	for (unsigned i = 0; i < sizeof counts / sizeof *counts; i++) {
		struct ctl_events e = {.next = 1};
		uint64_t first;
		bool lost;
		add(&e, counts[i]);
		assert_int_equal(print_all(&e, 0, &first, &lost), counts[i]);
		assert_int_equal(first, 1);
		assert_false(lost);
		ctl__events_release(&e);
	}
}

static void beyond_the_bound_the_oldest_are_forgotten_and_that_is_said(void **state)
{
	struct ctl_events e = {.next = 7};
	uint64_t first;
	bool lost;
	add(&e, CTL_EVENTS + 100);
	assert_int_equal(print_all(&e, 50, &first, &lost), CTL_EVENTS);
	assert_int_equal(first, 107);
	assert_true(lost);
	assert_int_equal(print_all(&e, e.next - 2, &first, &lost), 1);
	assert_false(lost);
	ctl__events_release(&e);
}

static char *long_line(size_t n)
{
	char *line = mem_alloc(n + 1);
	assert_non_null(line);
	memset(line, 'x', n);
	line[n] = 0;
	return line;
}

static void beyond_the_bound_of_their_bytes_the_oldest_are_forgotten(void **state)
{
	struct ctl_events e = {.next = 1};
	for (unsigned i = 0; i < 4; i++)
		ctl__events_put(&e, long_line(CTL_EVENT_BYTES / 4));
	assert_int_equal(e.n, 4);
	assert_int_equal(e.bytes, CTL_EVENT_BYTES);
	ctl__events_put(&e, long_line(1));
	assert_int_equal(e.n, 4);
	ctl__events_put(&e, long_line(CTL_EVENT_BYTES + 1));  // the newest stays, whatever its length
	assert_int_equal(e.n, 1);
	assert_int_equal(e.next, 7);
	ctl__events_put(&e, long_line(1));
	assert_int_equal(e.n, 1);
	assert_int_equal(e.bytes, 1);
	ctl__events_release(&e);
	assert_int_equal(e.bytes, 0);
}

static void a_code_is_read_as_it_was_written(void **state)
{
	for (int code = ERR_NONE + 1; code <= ERR_TRAP; code++) {
		struct buf b = {0};
		struct arena a;
		struct json *o;
		struct err e = {0}, again = {0};
		arena_init(&a, 1 << 20);
		err_set(&e, (enum err_code)code, "text");
		ctl__put_error(&b, &e);
		assert_true(json_parse(&a, buf_view(&b), &o, &again));
		(void)ctl_reply_error(o, &again);
		assert_int_equal(again.code, code);
		assert_string_equal(again.text, "text");
		buf_release(&b);
		arena_release(&a);
	}
}

static void without_memory_the_oldest_make_room(void **state)
{
	struct ctl_events e = {.next = 1};
	uint64_t first;
	bool lost;
	add(&e, 16);
	char *line = line_of(17);
	mem_fail_nth(1);
	ctl__events_put(&e, line);
	mem_fail_nth(0);
	assert_int_equal(print_all(&e, 0, &first, &lost), 16);
	assert_int_equal(first, 2);
	ctl__events_release(&e);
	line = line_of(1);
	e = (struct ctl_events){.next = 1};
	mem_fail_nth(1);
	ctl__events_put(&e, line);  // not even the first
	mem_fail_nth(0);
	assert_int_equal(print_all(&e, 0, &first, &lost), 0);
	add(&e, 1);
	assert_int_equal(print_all(&e, 0, &first, &lost), 1);
	assert_int_equal(first, 2);
	ctl__events_release(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_that_fit_are_there),
		cmocka_unit_test(beyond_the_bound_the_oldest_are_forgotten_and_that_is_said),
		cmocka_unit_test(beyond_the_bound_of_their_bytes_the_oldest_are_forgotten),
		cmocka_unit_test(a_code_is_read_as_it_was_written),
		cmocka_unit_test(without_memory_the_oldest_make_room),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
