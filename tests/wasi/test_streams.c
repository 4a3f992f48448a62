// Guests that misuse wasi:io: more than was permitted, wrong orders of drops, polls on nothing, handles that are gone (W7 to W16); random bytes (W4).
// PROGRAM(test_wasi_streams, "wasi tier cmocka", "")
#include "puppet.h"

#define STREAMS "wasi:io/streams"
#define POLL "wasi:io/poll"
#define CLOCK "wasi:clocks/monotonic-clock"
#define CHECK_WRITE "[method]output-stream.check-write"
#define WRITE "[method]output-stream.write"
#define BLOCKING_WRITE "[method]output-stream.blocking-write-and-flush"
#define WRITE_ZEROES "[method]output-stream.write-zeroes"
#define BLOCKING_ZEROES "[method]output-stream.blocking-write-zeroes-and-flush"
#define SUBSCRIBE_OUT "[method]output-stream.subscribe"
#define SPLICE "[method]output-stream.splice"
#define BLOCKING_SPLICE "[method]output-stream.blocking-splice"
#define READ "[method]input-stream.read"
#define BLOCKING_READ "[method]input-stream.blocking-read"
#define SKIP "[method]input-stream.skip"
#define SUBSCRIBE_IN "[method]input-stream.subscribe"
#define BLOCK "[method]pollable.block"
#define READY "[method]pollable.ready"

enum { RANDOM_MAX = 1 << 20 };  // bytes a call

static struct loop *loop;
static char printed[65536];
static size_t n_printed;

static void on_line(void *ctx, struct seam_task *task, int fd, struct slice text)
{
	n_printed += (size_t)snprintf(printed + n_printed, sizeof printed - n_printed, "%d:%.*s\n", fd, SLICE_ARGS(text));
}

static struct puppet p;

static int open_one(void **s)
{
	static const char *const functions[] = {"wasi:cli/stdout", "get-stdout", "wasi:cli/stdin", "get-stdin", STREAMS, CHECK_WRITE, STREAMS, WRITE, STREAMS,
		BLOCKING_WRITE, STREAMS, WRITE_ZEROES, STREAMS, BLOCKING_ZEROES, STREAMS, SUBSCRIBE_OUT, STREAMS, SPLICE, STREAMS, BLOCKING_SPLICE, STREAMS, READ, STREAMS,
		BLOCKING_READ, STREAMS, SKIP, STREAMS, SUBSCRIBE_IN, POLL, "poll", POLL, BLOCK, POLL, READY, CLOCK, "subscribe-duration", CLOCK, "subscribe-instant", "wasi:random/random", "get-random-bytes", NULL};
	n_printed = 0;
	p = (struct puppet){.loop = loop, .log = {.line = on_line}};
	puppet_open(&p, functions);
	return 0;
}

static int close_one(void **s)
{
	puppet_close(&p);
	return 0;
}

static uint32_t get(const char *name)
{
	return (uint32_t)CALL0(&p, name);
}

// ---- streams ---------------------------------------------------------------------------------------------------------------------------------

static void a_write_that_was_not_permitted_traps(void **s)
{
	uint32_t out = get("get-stdout");
	TRAPS(&p, TRAP_HOST, "check-write permits 0", WRITE, out, PUPPET_ARGS, 1);
}

static void a_write_over_what_was_permitted_traps(void **s)
{
	uint32_t out = get("get-stdout");
	CALL(&p, CHECK_WRITE, out);
	uint32_t permitted = puppet_word(&p, PUPPET_RESULT + 8);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT), 0);
	assert_true(permitted > 0);
	CALL(&p, WRITE, out, PUPPET_ARGS, 0);
	TRAPS(&p, TRAP_HOST, "check-write permits", WRITE, out, PUPPET_HEAP, permitted + 1);
}

static void a_permission_is_used_up_by_what_is_written(void **s)
{
	uint32_t out = get("get-stdout");
	CALL(&p, CHECK_WRITE, out);
	uint32_t permitted = puppet_word(&p, PUPPET_RESULT + 8);
	CALL(&p, WRITE, out, PUPPET_HEAP, permitted - 1);
	CALL(&p, WRITE, out, PUPPET_HEAP, 1);
	TRAPS(&p, TRAP_HOST, "check-write permits 0", WRITE, out, PUPPET_ARGS, 1);
}

static void zeroes_over_what_was_permitted_trap(void **s)
{
	uint32_t out = get("get-stdout");
	CALL(&p, CHECK_WRITE, out);
	TRAPS(&p, TRAP_HOST, "write-zeroes", WRITE_ZEROES, out, UINT64_MAX);
}

static void a_blocking_write_takes_4096_bytes_and_no_more(void **s)
{
	uint32_t out = get("get-stdout");
	CALL(&p, BLOCKING_WRITE, out, PUPPET_HEAP, 4096);
	CALL(&p, BLOCKING_ZEROES, out, 4096);
	TRAPS(&p, TRAP_HOST, "4096 at most", BLOCKING_WRITE, out, PUPPET_HEAP, 4097);
}

static void blocking_zeroes_over_4096_trap(void **s)
{
	TRAPS(&p, TRAP_HOST, "4096 at most", BLOCKING_ZEROES, get("get-stdout"), UINT64_MAX);
}

static void bytes_outside_the_memory_trap(void **s)
{
	uint32_t out = get("get-stdout");
	CALL(&p, CHECK_WRITE, out);
	TRAPS(&p, TRAP_CANON, NULL, WRITE, out, PUPPET_PAGES * 65536 - 1, 2);
}

static void a_stream_that_was_not_granted_is_at_its_end_whatever_is_asked(void **s)
{
	static const uint64_t lengths[] = {1, 65536, UINT32_MAX, UINT64_MAX};
	uint32_t in = get("get-stdin");
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		static const char *const calls[] = {READ, BLOCKING_READ, SKIP};
		for (size_t k = 0; k < ARRAY_LEN(calls); k++) {
			CALL(&p, calls[k], in, lengths[i]);
			assert_int_equal(puppet_peek(&p, PUPPET_RESULT), 1);
		}
	}
	CALL(&p, READ, in, 0);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT), 0);
}

static void a_splice_of_nothing_ends_at_once(void **s)
{
	uint32_t in = get("get-stdin"), out = get("get-stdout");
	CALL(&p, SPLICE, out, in, UINT64_MAX);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT), 1);
	CALL(&p, BLOCKING_SPLICE, out, in, 0);
	CALL(&p, SPLICE, out, in, 0);
}

// ---- handles ---------------------------------------------------------------------------------------------------------------------------------

static void a_stream_may_go_before_what_watches_it(void **s)
{
	uint32_t in = get("get-stdin"), out = get("get-stdout");
	uint32_t of_in = (uint32_t)CALL(&p, SUBSCRIBE_IN, in), of_out = (uint32_t)CALL(&p, SUBSCRIBE_OUT, out);
	puppet_drop(&p, &wasi_io_streams_input_stream_resource, in);
	puppet_drop(&p, &wasi_io_streams_output_stream_resource, out);
	assert_int_equal(CALL(&p, READY, of_in), 1);
	CALL(&p, BLOCK, of_out);
	puppet_drop(&p, &wasi_io_poll_pollable_resource, of_in);
	puppet_drop(&p, &wasi_io_poll_pollable_resource, of_out);
}

static void a_handle_that_is_gone_traps(void **s)
{
	uint32_t out = get("get-stdout");
	puppet_drop(&p, &wasi_io_streams_output_stream_resource, out);
	TRAPS(&p, TRAP_HANDLE, NULL, CHECK_WRITE, out);
}

static void a_handle_dropped_twice_traps(void **s)
{
	uint32_t out = get("get-stdout");
	puppet_drop(&p, &wasi_io_streams_output_stream_resource, out);
	TRAPS(&p, TRAP_HANDLE, NULL, puppet_of("drop", &p, &wasi_io_streams_output_stream_resource), out);
}

static void a_handle_of_another_resource_traps(void **s)
{
	TRAPS(&p, TRAP_HANDLE, NULL, READY, get("get-stdout"));
}

static void handles_that_were_never_given_trap(void **s)
{
	static const uint64_t none[] = {0, 1, 77, INT32_MAX, UINT32_MAX};
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		TRAPS(&p, TRAP_HANDLE, NULL, CHECK_WRITE, none[i]);
		close_one(NULL);
		open_one(NULL);
	}
}

static void handles_without_end_end_in_a_trap(void **s)
{
	bool ok = true;
	uint32_t n = 0;
	for (; ok && n < 100000; n++)
		ok = puppet_try(&p, "get-stdout", NULL, 0);
	assert_false(ok);
	assert_true(n > 1000);
	puppet_traps(&p, TRAP_POISONED, NULL, "get-stdout", NULL, 0);
}

// ---- poll ------------------------------------------------------------------------------------------------------------------------------------

static uint32_t list_of(const uint32_t *handles, uint32_t n)
{
	return puppet_poke(&p, 0, slice_of(handles, n * sizeof *handles));
}

static void a_poll_on_nothing_traps(void **s)
{
	TRAPS(&p, TRAP_HOST, "empty list", "poll", PUPPET_ARGS, 0);
}

static void a_poll_on_what_is_no_pollable_traps(void **s)
{
	uint32_t handles[] = {(uint32_t)CALL(&p, "subscribe-duration", 0), get("get-stdout")};
	TRAPS(&p, TRAP_HANDLE, NULL, "poll", list_of(handles, 2), 2);
}

static void a_poll_on_a_list_outside_the_memory_traps(void **s)
{
	TRAPS(&p, TRAP_CANON, NULL, "poll", PUPPET_PAGES * 65536 - 4, 2);
}

static void a_poll_on_a_list_that_is_longer_than_the_memory_traps(void **s)
{
	TRAPS(&p, TRAP_CANON, NULL, "poll", PUPPET_ARGS, UINT32_MAX);
}

static void a_poll_on_an_unaligned_list_traps(void **s)
{
	TRAPS(&p, TRAP_CANON, NULL, "poll", PUPPET_ARGS + 2, 1);
}

static void a_pollable_may_stand_twice_in_a_list(void **s)
{
	uint32_t a = (uint32_t)CALL(&p, "subscribe-duration", UINT64_MAX), b = (uint32_t)CALL(&p, SUBSCRIBE_IN, get("get-stdin"));
	CALL(&p, "poll", list_of((uint32_t[]){b, a, b, a, b}, 5), 5);
	uint32_t at = puppet_word(&p, PUPPET_RESULT);
	assert_int_equal(puppet_word(&p, PUPPET_RESULT + 4), 3);
	assert_int_equal(puppet_word(&p, at), 0);
	assert_int_equal(puppet_word(&p, at + 4), 2);
	assert_int_equal(puppet_word(&p, at + 8), 4);
}

static void a_time_that_never_comes_is_not_ready(void **s)
{
	uint32_t never = (uint32_t)CALL(&p, "subscribe-duration", UINT64_MAX), now = (uint32_t)CALL(&p, "subscribe-duration", 0);
	assert_int_equal(CALL(&p, READY, never), 0);
	CALL(&p, "poll", list_of((uint32_t[]){never, now}, 2), 2);
	assert_int_equal(puppet_word(&p, puppet_word(&p, PUPPET_RESULT)), 1);
}

static void a_time_that_is_past_is_ready_at_once_and_for_ever_W9(void **s)
{
	uint32_t past[] = {(uint32_t)CALL(&p, "subscribe-duration", 0), (uint32_t)CALL(&p, "subscribe-instant", 0), (uint32_t)CALL(&p, "subscribe-instant", 1)};
	for (int round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < ARRAY_LEN(past); i++) {
			assert_int_equal(CALL(&p, READY, past[i]), 1);
			CALL(&p, BLOCK, past[i]);
		}
		CALL(&p, "poll", list_of(past, 3), 3);
		assert_int_equal(puppet_word(&p, PUPPET_RESULT + 4), 3);
	}
	assert_int_equal(CALL(&p, READY, CALL(&p, "subscribe-instant", UINT64_MAX)), 0);
	assert_int_equal(CALL(&p, READY, CALL(&p, "subscribe-duration", UINT64_MAX - 1)), 0);
}

static void what_a_poll_says_may_lie_where_it_was_asked_W7(void **s)
{
	uint32_t never = (uint32_t)CALL(&p, "subscribe-duration", UINT64_MAX), now = (uint32_t)CALL(&p, "subscribe-duration", 0);
	uint32_t list[] = {never, now, now, now};
	CALL(&p, "poll", list_of(list, 4), 4);
	uint32_t next = puppet_word(&p, PUPPET_RESULT) + 4 * puppet_word(&p, PUPPET_RESULT + 4);  // what realloc gives then
	CALL(&p, "poll", puppet_poke(&p, next - PUPPET_ARGS, slice_of(list, sizeof list)), 4);
	assert_int_equal(puppet_word(&p, PUPPET_RESULT), next);
	assert_int_equal(puppet_word(&p, PUPPET_RESULT + 4), 3);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(puppet_word(&p, next + 4 * i), 1 + i);
}

static void a_wait_for_what_never_comes_ends_when_the_task_is_killed(void **s)
{
	uint32_t never = (uint32_t)CALL(&p, "subscribe-duration", UINT64_MAX);
	puppet_set(&p, BLOCK, WORDS(never));
	puppet_begin(&p);
	assert_false(p.done);
	seam_task_kill(p.task, TRAP_DEADLINE);
	for (int i = 0; i < 1000 && !p.done; i++)
		loop_run_once(loop, MILLISECOND);
	assert_true(p.done && !p.ok);
	assert_int_equal(p.trap.trap, TRAP_DEADLINE);
}

// ---- what is printed -------------------------------------------------------------------------------------------------------------------------

static void print(uint32_t out, const char *text)
{
	CALL(&p, BLOCKING_WRITE, out, puppet_poke(&p, 0, slice_str(text)), (uint32_t)strlen(text));
}

static void output_is_cut_at_its_limit_and_says_so_once(void **s)
{
	uint32_t out = get("get-stdout");
	p.log.max_bytes = 10;
	print(out, "12345");
	print(out, "6789\nab\ncd\n");
	print(out, "more\n");
	assert_string_equal(printed, "1:123456789\n1:… (cut: the limit of log output a call is reached)\n");
}

static void lines_without_end_are_cut(void **s)
{
	uint32_t out = get("get-stdout");
	for (int i = 0; i < 5; i++)
		CALL(&p, BLOCKING_ZEROES, out, 4096);
	assert_string_equal(printed, "1:\n1:\n1:\n1:\n");  // the fifth is not full yet
}

// ---- random bytes ----------------------------------------------------------------------------------------------------------------------------

static void a_call_gives_as_many_random_bytes_as_were_asked_for_W4(void **s)
{
	static const uint32_t lengths[] = {0, 1, 255, 256, 257, 65535, 65536, 65537, RANDOM_MAX};
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		CALL(&p, "get-random-bytes", lengths[i]);
		assert_int_equal(puppet_word(&p, PUPPET_RESULT + 4), lengths[i]);
		uint32_t end = puppet_word(&p, PUPPET_RESULT) + lengths[i], zeros = 0;
		for (uint32_t k = 1; lengths[i] > 16 && k <= 16; k++)
			zeros += puppet_peek(&p, end - k) == 0;
		assert_true(zeros < 16);  // filled to the last
	}
	TRAPS(&p, TRAP_HOST, "random bytes in one call", "get-random-bytes", RANDOM_MAX + 1);
	close_one(NULL);
	open_one(NULL);
	TRAPS(&p, TRAP_HOST, "random bytes in one call", "get-random-bytes", UINT64_MAX);
}

static int setup(void **s)
{
	struct err e = {0};
	if (!vm_process_init(&e) || !vm_shard_new(&shard, &e) || !loop_new(&loop, &e))
		fail_msg("%s", e.text);
	return 0;
}

static int teardown(void **s)
{
	vm_shard_free(shard);
	loop_free(loop);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_one, close_one)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_write_that_was_not_permitted_traps),
		TEST(a_write_over_what_was_permitted_traps),
		TEST(a_permission_is_used_up_by_what_is_written),
		TEST(zeroes_over_what_was_permitted_trap),
		TEST(a_blocking_write_takes_4096_bytes_and_no_more),
		TEST(blocking_zeroes_over_4096_trap),
		TEST(bytes_outside_the_memory_trap),
		TEST(a_stream_that_was_not_granted_is_at_its_end_whatever_is_asked),
		TEST(a_splice_of_nothing_ends_at_once),
		TEST(a_stream_may_go_before_what_watches_it),
		TEST(a_handle_that_is_gone_traps),
		TEST(a_handle_dropped_twice_traps),
		TEST(a_handle_of_another_resource_traps),
		TEST(handles_that_were_never_given_trap),
		TEST(handles_without_end_end_in_a_trap),
		TEST(a_poll_on_nothing_traps),
		TEST(a_poll_on_what_is_no_pollable_traps),
		TEST(a_poll_on_a_list_outside_the_memory_traps),
		TEST(a_poll_on_a_list_that_is_longer_than_the_memory_traps),
		TEST(a_poll_on_an_unaligned_list_traps),
		TEST(a_pollable_may_stand_twice_in_a_list),
		TEST(a_time_that_never_comes_is_not_ready),
		TEST(a_time_that_is_past_is_ready_at_once_and_for_ever_W9),
		TEST(what_a_poll_says_may_lie_where_it_was_asked_W7),
		TEST(a_call_gives_as_many_random_bytes_as_were_asked_for_W4),
		TEST(a_wait_for_what_never_comes_ends_when_the_task_is_killed),
		TEST(output_is_cut_at_its_limit_and_says_so_once),
		TEST(lines_without_end_are_cut),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
