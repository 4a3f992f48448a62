// Preview 1's functions: their types, pointers, streams, descriptors, waiting.
#include "preview1_harness.h"

#include <errno.h>

#include "sys/sys.h"

// ---- types -------------------------------------------------------------------------------------------------------------------------------

static void a_function_has_as_many_parameters_as_its_type(void **state)
{
	static const size_t cells[] = {
#define PREVIEW1(name, ...) sizeof(struct p1_##name##_args) / 8,
#include "../preview1.def"
#undef PREVIEW1
	};
	assert_int_equal(P1_FUNCS, 46);
	for (int i = 0; i < P1_FUNCS; i++)
		assert_int_equal(cells[i], max_u64(strcspn(sigs[i], ":"), 1));
}

static void what_is_no_function_or_has_another_type_does_not_link(void **state)
{
	struct wasm_valtype types[16];
	struct err e = {0};
	struct wasm_func_type t = type_of("iii:i", types);
	assert_false(wasi_preview1_check(SLICE_LIT("fd_write"), &t, &e));
	assert_int_equal(e.code, ERR_LINK);
	assert_false(wasi_preview1_check(SLICE_LIT("fd_teleport"), &t, NULL));
	t = type_of("iiii:l", types);
	assert_false(wasi_preview1_check(SLICE_LIT("fd_write"), &t, NULL));
	t = type_of("iiii:", types);
	assert_false(wasi_preview1_check(SLICE_LIT("fd_write"), &t, NULL));
	t = type_of("iiii:i", types);
	assert_true(wasi_preview1_check(SLICE_LIT("fd_write"), &t, NULL));
}

// ---- pointers ----------------------------------------------------------------------------------------------------------------------------

// Calls that succeed, each with what one of its parameters, a pointer, points to: bytes and alignment.
static const struct {
	const char *name;
	uint64_t args[10];
	int pointer;
	uint32_t size, align;
} pointers[] = {
	{"args_get", {256, 1024}, 0, 8, 4},
	{"args_get", {256, 1024}, 1, 6, 1},
	{"args_sizes_get", {256, 260}, 0, 4, 4},
	{"args_sizes_get", {256, 260}, 1, 4, 4},
	{"environ_get", {256, 1024}, 0, 4, 4},
	{"environ_get", {256, 1024}, 1, 4, 1},
	{"environ_sizes_get", {256, 260}, 0, 4, 4},
	{"environ_sizes_get", {256, 260}, 1, 4, 4},
	{"clock_res_get", {0, 256}, 1, 8, 8},
	{"clock_time_get", {1, 0, 256}, 2, 8, 8},
	{"fd_fdstat_get", {0, 256}, 1, 24, 8},
	{"fd_filestat_get", {1, 256}, 1, 64, 8},
	{"fd_read", {0, 512, 2, 256}, 1, 16, 4},
	{"fd_read", {0, 512, 2, 256}, 3, 4, 4},
	{"fd_write", {1, 512, 2, 256}, 1, 16, 4},
	{"fd_write", {1, 512, 2, 256}, 3, 4, 4},
	{"random_get", {256, 100}, 0, 100, 1},
	{"poll_oneoff", {2048, 4096, 2, 256}, 0, 96, 8},
	{"poll_oneoff", {2048, 4096, 2, 256}, 1, 64, 8},
	{"poll_oneoff", {2048, 4096, 2, 256}, 3, 4, 4},
};

static void prepare_pointers(void)
{
	static const struct slice args[] = {SLICE_LIT("ab"), SLICE_LIT("cd")};
	static const struct seam_pair env[] = {{SLICE_LIT("a"), SLICE_LIT("b")}};
	guest.grants = (struct seam_grants){.args = args, .n_args = 2, .env = env, .n_env = 1};
	source.there = "abcdefgh";
	sink.len = 0;
	sink.room = sizeof sink.bytes;
	memset(at(0), 0, MEMORY);
	IOVS(512, {600, 2}, {700, 2});
}

static int call_with(size_t row, uint64_t pointer)
{
	uint64_t args[12] = {0};
	memcpy(args, pointers[row].args, sizeof pointers[row].args);
	args[pointers[row].pointer] = pointer;
	return call_until(index_of(pointers[row].name), args, UINT64_MAX, NULL);
}

static void a_pointer_may_reach_the_last_byte_and_not_one_more(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(pointers); i++) {
		uint32_t size = pointers[i].size, align = pointers[i].align;
		prepare_pointers();
		// What is read is copied to where it is read from.
		memcpy(at(MEMORY - size), at((uint32_t)pointers[i].args[pointers[i].pointer]), size);
		assert_int_equal(call_with(i, MEMORY - size), P1_SUCCESS);
		uint64_t beyond[] = {MEMORY - size + align, MEMORY, MEMORY + align, UINT32_MAX - align + 1, 0x80000000};
		for (size_t k = 0; k < ARRAY_LEN(beyond); k++) {
			prepare_pointers();
			if (call_with(i, beyond[k]) != TRAPPED)
				fail_msg("%s, parameter %d: 0x%llx", pointers[i].name, pointers[i].pointer, (unsigned long long)beyond[k]);
			assert_non_null(strstr(guest.told.text, pointers[i].name));
		}
	}
}

static void a_pointer_that_is_not_aligned_traps(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(pointers); i++)
		for (uint32_t by = 1; by < pointers[i].align; by *= 2) {
			prepare_pointers();
			assert_int_equal(call_with(i, pointers[i].args[pointers[i].pointer] + by), TRAPPED);
			assert_non_null(strstr(guest.told.text, "not aligned"));
		}
}

static void what_only_fills_a_gap_is_written_as_zero(void **state)
{
	prepare_pointers();
	memset(at(256), 0xff, 64);
	gives(P1_SUCCESS, fd_fdstat_get, 0, 256);
	assert_int_equal(*at(257) | u32_at(260), 0);
	memset(at(256), 0xff, 64);
	gives(P1_SUCCESS, fd_filestat_get, 0, 256);
	assert_true(u64_at(256 + 16) >> 8 == 0);
	memset(at(4096), 0xff, 64);
	gives(P1_SUCCESS, poll_oneoff, 2048, 4096, 1, 256);
	assert_true(u64_at(4096 + 8) >> 24 == 0 && u64_at(4096 + 24) >> 16 == 0);
}

static void without_a_memory_only_what_needs_none_is_called(void **state)
{
	guest.p->memory = NULL;
	gives(P1_SUCCESS, sched_yield, 0);
	gives(P1_SUCCESS, fd_close, 2);
	gives(TRAPPED, clock_time_get, 0, 0, 256);
	assert_non_null(strstr(guest.told.text, "exports no memory"));
	gives(ENDED, proc_exit, 7);
	assert_int_equal(guest.told.exit_code, 7);
}

// ---- arguments, environment, clocks, the rest ----------------------------------------------------------------------------------------------

static void arguments_and_environment_lie_as_the_pointers_say(void **state)
{
	prepare_pointers();
	gives(P1_SUCCESS, args_sizes_get, 256, 260);
	assert_int_equal(u32_at(256), 2);
	assert_int_equal(u32_at(260), 6);
	gives(P1_SUCCESS, args_get, 256, 1024);
	assert_string_equal(at(u32_at(256)), "ab");
	assert_string_equal(at(u32_at(260)), "cd");
	gives(P1_SUCCESS, environ_sizes_get, 256, 260);
	assert_int_equal(u32_at(256), 1);
	assert_int_equal(u32_at(260), 4);
	gives(P1_SUCCESS, environ_get, 256, 1024);
	assert_string_equal(at(u32_at(256)), "a=b");
	guest.grants = (struct seam_grants){0};
	gives(P1_SUCCESS, environ_sizes_get, 256, 260);
	assert_int_equal(u32_at(256) | u32_at(260), 0);
	gives(P1_SUCCESS, environ_get, MEMORY, MEMORY);  // nothing is written
}

static void clocks_are_the_two_that_there_are(void **state)
{
	uint64_t before = sys_now_ns(), wall = sys_wall_ns();
	gives(P1_SUCCESS, clock_time_get, P1_MONOTONIC, 0, 256);
	assert_in_range(u64_at(256), before, sys_now_ns());
	gives(P1_SUCCESS, clock_time_get, P1_REALTIME, UINT64_MAX, 256);
	assert_in_range(u64_at(256), wall, sys_wall_ns());
	gives(P1_SUCCESS, clock_res_get, P1_MONOTONIC, 256);
	assert_in_range(u64_at(256), 1, 1000000);
	for (uint64_t id = 2; id < 6; id++) {
		gives(P1_INVAL, clock_time_get, id, 0, 256);
		gives(P1_INVAL, clock_res_get, id, 256);
	}
	gives(P1_INVAL, clock_time_get, UINT32_MAX, 0, 256);
}

static void random_bytes_fill_just_what_was_asked_for(void **state)
{
	memset(at(0), 0, MEMORY);
	gives(P1_SUCCESS, random_get, 1000, 0);
	gives(P1_SUCCESS, random_get, 1000, 70000);
	assert_int_equal(*at(999) | *at(71000), 0);
	size_t zeroes = 0;
	for (uint32_t i = 1000; i < 71000; i++)
		zeroes += *at(i) == 0;
	assert_in_range(zeroes, 1, 1000);
	gives(TRAPPED, random_get, 1000, UINT32_MAX);
}

static void an_exit_status_is_passed_on_or_is_a_failure(void **state)
{
	gives(ENDED, proc_exit, 0);
	assert_int_equal(guest.told.exit_code, 0);
	gives(ENDED, proc_exit, 255);
	assert_int_equal(guest.told.exit_code, 255);
	gives(ENDED, proc_exit, 256);
	assert_int_equal(guest.told.exit_code, 1);
	gives(ENDED, proc_exit, UINT32_MAX);
	assert_int_equal(guest.told.exit_code, 1);
	gives(P1_NOTSUP, proc_raise, 15);
	gives(P1_INVAL, proc_raise, 31);
}

// ---- reading and writing -------------------------------------------------------------------------------------------------------------------

static void a_read_fills_one_iovec_after_the_other(void **state)
{
	source.there = "abcdefgh";
	IOVS(512, {600, 0}, {610, 3}, {UINT32_MAX, 0}, {620, 1}, {630, 100});  // an empty one is nowhere
	gives(P1_SUCCESS, fd_read, 0, 512, 5, 256);
	assert_int_equal(u32_at(256), 8);
	assert_memory_equal(at(610), "abc", 4);
	assert_memory_equal(at(620), "d", 2);
	assert_memory_equal(at(630), "efgh", 5);
	source.after = WASI_IO_CLOSED;
	gives(P1_SUCCESS, fd_read, 0, 512, 5, 256);
	assert_int_equal(u32_at(256), 0);
	gives(P1_BADF, fd_read, 1, 512, 5, 256);
	gives(P1_BADF, fd_read, 3, 512, 5, 256);
	gives(P1_BADF, fd_read, UINT32_MAX, 512, 5, 256);
}

static void iovecs_may_overlap_what_is_read_and_themselves(void **state)
{
	source.there = "abcdefghijkl";
	IOVS(512, {512, 8}, {512, 8});  // the first is overwritten by what it says to read
	gives(TRAPPED, fd_read, 0, 512, 2, 256);
	source.there = "abcd";
	memset(at(600), 0, 16);
	IOVS(512, {600, 3}, {601, 3});
	gives(P1_SUCCESS, fd_read, 0, 512, 2, 256);
	assert_memory_equal(at(600), "adc", 4);
}

static void many_or_long_iovecs_are_bounded_by_the_memory(void **state)
{
	source.there = "abc";
	gives(TRAPPED, fd_read, 0, 0, UINT32_MAX, 256);
	gives(TRAPPED, fd_read, 0, MEMORY - 8, 2, 256);
	IOVS(512, {600, UINT32_MAX});
	gives(TRAPPED, fd_read, 0, 512, 1, 256);
	IOVS(512, {MEMORY - 4, 5});
	gives(TRAPPED, fd_read, 0, 512, 1, 256);
	gives(TRAPPED, fd_write, 1, 512, 1, 256);
	assert_int_equal(sink.len, 0);  // of what leaves the memory nothing is written
	assert_string_equal(source.there, "abc");
	gives(P1_SUCCESS, fd_read, 0, 512, 0, 256);
	assert_int_equal(u32_at(256), 0);
}

static void a_transfer_is_as_large_as_linux_makes_it(void **state)
{
	// 16,384 iovecs of all the memory: 2 GiB.
	struct p1_iovec whole = {0, MEMORY};
	for (uint32_t i = 0; i < MEMORY / 8; i++)
		memcpy(at(i * 8), &whole, sizeof whole);
	source.there = "abcdefgh";
	source.after = WASI_IO_CLOSED;
	gives(P1_SUCCESS, fd_read, 0, 8, MEMORY / 8 - 1, 65536);
	assert_int_equal(u32_at(65536), 8);
}

static struct loop_timer later;
static void something_comes(struct loop_timer *t)
{
	source.there = "late";
	sink.room = 3;
	wasi__event_fire(&source.event);
	wasi__event_fire(&sink.event);
	if (sink.refill) {
		sink.refill--;
		loop_timer_set(loop, t, loop_now_ns(loop) + MILLISECOND);
	}
}
static void comes_later(uint64_t again)
{
	sink.refill = again;
	later = (struct loop_timer){.fn = something_comes};
	loop_timer_set(loop, &later, loop_now_fresh_ns(loop) + MILLISECOND);
}

static void a_read_waits_for_what_comes_unless_it_is_not_to(void **state)
{
	source.after = WASI_IO_AGAIN;
	IOVS(512, {600, 100});
	gives(P1_SUCCESS, fd_fdstat_set_flags, 0, P1_NONBLOCK);
	gives(P1_AGAIN, fd_read, 0, 512, 1, 256);
	gives(P1_SUCCESS, fd_fdstat_get, 0, 768);
	assert_int_equal(*at(770), P1_NONBLOCK);
	gives(P1_SUCCESS, fd_fdstat_set_flags, 0, 0);
	comes_later(0);
	gives(P1_SUCCESS, fd_read, 0, 512, 1, 256);
	assert_int_equal(u32_at(256), 4);
	assert_memory_equal(at(600), "late", 4);
	gives(P1_INVAL, fd_fdstat_set_flags, 0, P1_DSYNC);
	gives(P1_INVAL, fd_fdstat_set_flags, 0, 32);
}

static void a_call_that_waits_can_be_ended(void **state)
{
	static const bool stop = true;
	source.after = WASI_IO_AGAIN;
	IOVS(512, {600, 100});
	assert_int_equal(call_until(index_of("fd_read"), CELLS(0, 512, 1, 256), loop_now_fresh_ns(loop) + MILLISECOND, NULL), KILLED);
	assert_int_equal(call_until(index_of("fd_read"), CELLS(0, 512, 1, 256), UINT64_MAX, &stop), KILLED);
	sink.room = 0;
	assert_int_equal(call_until(index_of("fd_write"), CELLS(1, 512, 1, 256), UINT64_MAX, &stop), KILLED);
	memset(at(2048), 0, 48);
	*at(2048 + 16) = P1_MONOTONIC;
	memset(at(2048 + 24), 0xff, 8);  // never
	assert_int_equal(call_until(index_of("poll_oneoff"), CELLS(2048, 4096, 1, 256), UINT64_MAX, &stop), KILLED);
	assert_null(source.event.waiters);
	assert_null(sink.event.waiters);
}

static void a_write_waits_for_room_or_says_how_far_it_came(void **state)
{
	IOVS(512, {600, 3}, {700, 0}, {650, 4});
	memcpy(at(600), "abc", 3);
	memcpy(at(650), "defg", 4);
	sink.room = 2;
	comes_later(2);
	gives(P1_SUCCESS, fd_write, 1, 512, 3, 256);
	assert_int_equal(u32_at(256), 7);
	assert_memory_equal(sink.bytes, "abcdefg", 7);
	loop_timer_cancel(loop, &later);
	sink.room = 5;
	gives(P1_SUCCESS, fd_fdstat_set_flags, 1, P1_NONBLOCK);
	gives(P1_SUCCESS, fd_write, 1, 512, 3, 256);
	assert_int_equal(u32_at(256), 5);
	gives(P1_AGAIN, fd_write, 1, 512, 3, 256);
	gives(P1_BADF, fd_write, 0, 512, 3, 256);
}

static void streams_that_are_over_say_why(void **state)
{
	IOVS(512, {600, 3});
	sink.after = WASI_IO_CLOSED;
	gives(P1_PIPE, fd_write, 2, 512, 1, 256);
	sink.after = WASI_IO_FAILED;
	sink.error = wasi__file_error(ENOSPC);
	gives(P1_NOSPC, fd_write, 2, 512, 1, 256);
	gives(P1_PIPE, fd_write, 2, 512, 1, 256);
	source.after = WASI_IO_FAILED;
	source.error = (struct wasi_error){.text = "of nothing that has a code"};
	gives(P1_IO, fd_read, 0, 512, 1, 256);
	gives(P1_SUCCESS, fd_read, 0, 512, 1, 256);
	assert_int_equal(u32_at(256), 0);
}

// ---- descriptors ---------------------------------------------------------------------------------------------------------------------------

static void what_is_no_descriptor_is_told_so_by_every_function(void **state)
{
	for (int i = 0; i < P1_FUNCS; i++) {
		bool of_one = strncmp(names[i], "fd_", 3) == 0 || strncmp(names[i], "sock_", 5) == 0 || strncmp(names[i], "path_", 5) == 0;
		bool second = strcmp(names[i], "path_symlink") == 0;
		if (!of_one)
			continue;
		uint64_t fds[] = {3, 8, 1000000, 0x80000000, UINT32_MAX};
		for (size_t k = 0; k < ARRAY_LEN(fds); k++)
			if (call_until(i, CELLS(second ? 512 : fds[k], second ? 1 : 512, second ? fds[k] : 1, 512, 1), UINT64_MAX, NULL) != P1_BADF)
				fail_msg("%s", names[i]);
	}
}

static uint16_t port_of(uint32_t fd)
{
	struct sys_endpoint at;
	assert_int_equal(sys_socket_local(guest.p->files[fd].socket->fd, &at), 0);
	return at.port;
}

static int connect_to(uint16_t port)
{
	struct sys_endpoint to = {.ip = {127, 0, 0, 1}, .port = port};
	int fd = sys_socket(false, false);
	assert_int_equal(sys_socket_connect(fd, &to), 0);
	return fd;
}

static int64_t take(int fd, char got[8])
{
	int64_t n;
	while ((n = sys_net.recv(fd, got, 8)) == -EAGAIN)
		loop_run_once(loop, MILLISECOND);
	return n;
}

static void a_socket_that_was_given_accepts_connections(void **state)
{
	struct seam_listen listen = {.ip = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
	struct iovec hello = {(void *)(uintptr_t)"hello", 5};
	char got[8];
	close_guest();
	given_listen = &listen;
	open_guest();
	given_listen = NULL;
	gives(P1_SUCCESS, fd_fdstat_get, 3, 1024);
	assert_int_equal(*at(1024), P1_SOCKET_STREAM);
	gives(P1_BADF, fd_read, 3, 512, 1, 256);
	gives(P1_NOTCONN, sock_shutdown, 3, P1_RD);
	gives(P1_SUCCESS, fd_fdstat_set_flags, 3, P1_NONBLOCK);
	gives(P1_AGAIN, sock_accept, 3, 0, 256);
	gives(P1_INVAL, sock_accept, 3, 1, 256);
	gives(P1_SUCCESS, fd_fdstat_set_flags, 3, 0);
	int peer = connect_to(port_of(3));
	gives(P1_SUCCESS, sock_accept, 3, P1_NONBLOCK, 256);
	uint32_t fd = u32_at(256);
	assert_int_equal(fd, 4);
	gives(P1_INVAL, sock_accept, fd, 0, 256);
	IOVS(512, {1024, 2}, {1026, 6});
	gives(P1_AGAIN, sock_recv, fd, 512, 2, 0, 256, 260);
	assert_int_equal(sys_net.sendv(peer, &hello, 1), 5);
	gives(P1_SUCCESS, fd_fdstat_set_flags, fd, 0);
	for (int keep = 1; keep >= 0; keep--) {
		gives(P1_SUCCESS, sock_recv, fd, 512, 2, keep, 256, 260);
		assert_int_equal(u32_at(256), 5);
		assert_memory_equal(at(1024), "hello", 5);
	}
	gives(P1_INVAL, sock_recv, fd, 512, 2, 4, 256, 260);
	gives(P1_INVAL, sock_send, fd, 512, 2, 1, 256);
	gives(P1_SUCCESS, sock_send, fd, 512, 1, 0, 256);
	gives(P1_SUCCESS, fd_write, fd, 512, 1, 256);
	assert_int_equal(take(peer, got), 4);
	gives(P1_INVAL, sock_shutdown, fd, 0);
	gives(P1_INVAL, sock_shutdown, fd, 4);
	gives(P1_SUCCESS, sock_shutdown, fd, P1_WR);
	assert_int_equal(take(peer, got), 0);
	gives(P1_PIPE, sock_send, fd, 512, 1, 0, 256);
	assert_int_equal(sys_net.sendv(peer, &hello, 1), 5);
	sys_close(peer);
	gives(P1_SUCCESS, sock_recv, fd, 512, 2, 2, 256, 260);  // all: as much as comes
	assert_int_equal(u32_at(256), 5);
	gives(P1_SUCCESS, sock_recv, fd, 512, 2, 0, 256, 260);
	assert_int_equal(u32_at(256), 0);
	gives(P1_SUCCESS, fd_close, fd);
	gives(P1_SUCCESS, fd_close, 3);
}

static void streams_are_neither_files_nor_folders_nor_sockets(void **state)
{
	gives(P1_SPIPE, fd_seek, 0, 0, 0, 256);
	gives(P1_SPIPE, fd_tell, 1, 256);
	gives(P1_SPIPE, fd_pread, 0, 512, 0, 0, 256);
	gives(P1_SPIPE, fd_pwrite, 1, 512, 0, 0, 256);
	gives(P1_BADF, fd_sync, 1);
	gives(P1_BADF, fd_filestat_set_size, 1, 10);
	gives(P1_BADF, fd_prestat_get, 0, 256);
	gives(P1_NOTDIR, fd_readdir, 0, 512, 100, 0, 256);
	gives(P1_NOTDIR, path_open, 1, 0, 512, 1, 0, 0, 0, 0, 256);
	gives(P1_NOTSOCK, sock_accept, 0, 0, 256);
	gives(P1_NOTSOCK, sock_recv, 0, 512, 1, 0, 256, 260);
	gives(P1_NOTSOCK, sock_send, 1, 512, 1, 0, 256);
	gives(P1_NOTSOCK, sock_shutdown, 1, P1_RD);
}

static void a_number_that_was_closed_is_given_again(void **state)
{
	struct p1_file f = {.kind = P1_OUTPUT};
	uint32_t fd;
	gives(P1_SUCCESS, fd_close, 1);
	gives(P1_BADF, fd_close, 1);
	gives(P1_BADF, fd_fdstat_get, 1, 256);
	for (uint32_t want = 1; want < 8; want = want == 1 ? 3 : want + 1) {
		assert_int_equal(wasi__p1_file_add(guest.p, &f, &fd), P1_SUCCESS);
		assert_int_equal(fd, want);
	}
	assert_int_equal(wasi__p1_file_add(guest.p, &f, &fd), P1_MFILE);  // eight are allowed
	gives(P1_SUCCESS, fd_close, 5);
	gives(P1_SUCCESS, fd_close, 4);
	assert_int_equal(wasi__p1_file_add(guest.p, &f, &fd), P1_SUCCESS);
	assert_int_equal(fd, 4);
}

static void renumbering_closes_what_was_there(void **state)
{
	IOVS(512, {600, 1});
	gives(P1_SUCCESS, fd_renumber, 1, 0);
	gives(P1_BADF, fd_fdstat_get, 1, 256);
	gives(P1_SUCCESS, fd_write, 0, 512, 1, 256);
	gives(P1_BADF, fd_renumber, 0, 1);  // only over what is open
	gives(P1_BADF, fd_renumber, 1, 0);
	gives(P1_BADF, fd_renumber, 0, UINT32_MAX);
	gives(P1_SUCCESS, fd_renumber, 0, 0);
	gives(P1_SUCCESS, fd_write, 0, 512, 1, 256);
}

static void rights_are_taken_away_and_never_given(void **state)
{
	IOVS(512, {600, 1});
	gives(P1_SUCCESS, fd_fdstat_get, 1, 256);
	uint64_t rights = u64_at(264), inheriting = u64_at(272);
	assert_true(rights & P1_RIGHT_FD_WRITE && !(rights & (P1_RIGHT_FD_SEEK | P1_RIGHT_FD_TELL)));  // so that isatty looks at the type
	gives(P1_NOTCAPABLE, fd_fdstat_set_rights, 1, rights | P1_RIGHT_FD_READ, inheriting);
	gives(P1_NOTCAPABLE, fd_fdstat_set_rights, 1, rights, UINT64_MAX);
	gives(P1_SUCCESS, fd_fdstat_set_rights, 1, rights & ~(uint64_t)(P1_RIGHT_FD_WRITE | P1_RIGHT_FD_FDSTAT_SET_FLAGS), 0);
	gives(P1_BADF, fd_write, 1, 512, 1, 256);
	gives(P1_NOTCAPABLE, fd_fdstat_set_flags, 1, 0);
	gives(P1_NOTCAPABLE, fd_fdstat_set_rights, 1, rights, 0);
	gives(P1_SUCCESS, fd_write, 2, 512, 1, 256);
}

// ---- poll_oneoff ---------------------------------------------------------------------------------------------------------------------------

static void put_subscription(uint32_t offset, uint64_t userdata, uint8_t tag, uint32_t id, uint64_t timeout, uint16_t flags)
{
	struct p1_subscription s = {.userdata = userdata, .tag = tag, .id = id, .timeout = timeout, .flags = flags};
	memcpy(at(offset), &s, sizeof s);
}
static struct p1_event event_at(uint32_t offset)
{
	struct p1_event e;
	memcpy(&e, at(offset), sizeof e);
	return e;
}

static void a_clock_that_is_past_is_ready_at_once(void **state)
{
	put_subscription(2048, 7, P1_CLOCK, P1_MONOTONIC, 0, 0);
	put_subscription(2096, 8, P1_CLOCK, P1_MONOTONIC, UINT64_MAX, 0);
	put_subscription(2144, 9, P1_CLOCK, P1_REALTIME, 1, P1_ABSTIME);
	put_subscription(2192, 10, P1_CLOCK, P1_MONOTONIC, UINT64_MAX, P1_ABSTIME);
	gives(P1_SUCCESS, poll_oneoff, 2048, 4096, 4, 256);
	assert_int_equal(u32_at(256), 2);
	assert_int_equal(event_at(4096).userdata, 7);
	assert_int_equal(event_at(4128).userdata, 9);
}

static void a_sleep_is_as_long_as_it_was_to_be(void **state)
{
	uint64_t before = sys_now_ns();
	put_subscription(2048, 7, P1_CLOCK, P1_REALTIME, 20 * MILLISECOND, 0);
	gives(P1_SUCCESS, poll_oneoff, 2048, 4096, 1, 256);
	assert_true(sys_now_ns() - before >= 20 * MILLISECOND);
	before = sys_now_ns();
	put_subscription(2048, 7, P1_CLOCK, P1_REALTIME, sys_wall_ns() + 20 * MILLISECOND, P1_ABSTIME);
	gives(P1_SUCCESS, poll_oneoff, 2048, 4096, 1, 256);
	assert_true(sys_now_ns() - before >= 15 * MILLISECOND);
}

static void a_descriptor_is_ready_when_it_has_something_or_is_over(void **state)
{
	source.there = "abc";
	put_subscription(2048, 1, P1_FD_READ, 0, 0, 0);
	put_subscription(2096, 2, P1_FD_WRITE, 1, 0, 0);
	gives(P1_SUCCESS, poll_oneoff, 2048, 4096, 2, 256);
	assert_int_equal(u32_at(256), 2);
	assert_int_equal(event_at(4096).nbytes, 3);
	assert_int_equal(event_at(4128).nbytes, sizeof sink.bytes);
	source.there = "";
	source.after = WASI_IO_CLOSED;
	sink.room = 0;
	gives(P1_SUCCESS, poll_oneoff, 2048, 4096, 2, 256);
	assert_int_equal(u32_at(256), 1);
	assert_int_equal(event_at(4096).flags, P1_HANGUP);
	source.after = WASI_IO_AGAIN;
	comes_later(0);
	gives(P1_SUCCESS, poll_oneoff, 2048, 4096, 2, 256);
	assert_int_equal(event_at(4096).nbytes, 4);
}

static void what_can_not_be_waited_for_is_an_event_with_its_error(void **state)
{
	put_subscription(2048, 1, P1_FD_READ, 77, 0, 0);
	put_subscription(2096, 2, P1_FD_READ, 1, 0, 0);
	put_subscription(2144, 3, P1_CLOCK, 2, 0, 0);
	put_subscription(2192, 4, P1_CLOCK, P1_MONOTONIC, 0, 2);
	put_subscription(2240, 5, P1_CLOCK, P1_MONOTONIC, UINT64_MAX, 0);
	gives(P1_SUCCESS, poll_oneoff, 2048, 4096, 5, 256);
	assert_int_equal(u32_at(256), 4);
	static const enum p1_errno errors[] = {P1_BADF, P1_BADF, P1_INVAL, P1_INVAL};
	for (uint32_t i = 0; i < 4; i++)
		assert_true(event_at(4096 + 32 * i).userdata == i + 1 && event_at(4096 + 32 * i).error == errors[i]);
	put_subscription(2048, 1, 3, 0, 0, 0);
	gives(P1_INVAL, poll_oneoff, 2048, 4096, 1, 256);
}

static void events_may_be_written_over_their_subscriptions_W7(void **state)
{
	for (uint32_t i = 0; i < 8; i++)
		put_subscription(2048 + 48 * i, 100 + i, P1_CLOCK, P1_MONOTONIC, 0, 0);
	gives(P1_SUCCESS, poll_oneoff, 2048, 2048 + 16, 8, 2048);
	assert_int_equal(u32_at(2048), 8);
	for (uint32_t i = 0; i < 8; i++)
		assert_int_equal(event_at(2064 + 32 * i).userdata, 100 + i);
}

static void how_many_are_waited_for_is_bounded(void **state)
{
	gives(P1_INVAL, poll_oneoff, 2048, 4096, 0, 256);
	gives(P1_INVAL, poll_oneoff, 2048, 4096, 10001, 256);
	gives(P1_INVAL, poll_oneoff, 2048, 4096, UINT32_MAX, 256);
	gives(TRAPPED, poll_oneoff, 2048, 4096, 10000, 256);
	source.after = WASI_IO_AGAIN;
	uint64_t used = vm_store_memory_used(guest.store);
	for (uint32_t i = 0; i < 1000; i++)
		put_subscription(48 * i, i, i % 2 ? P1_FD_WRITE : P1_FD_READ, i % 2, 0, 0);
	gives(P1_SUCCESS, poll_oneoff, 0, 65536, 1000, 60000);
	assert_int_equal(u32_at(60000), 500);
	for (uint32_t i = 0; i < 500; i++)
		assert_int_equal(event_at(65536 + 32 * i).userdata, 2 * i + 1);
	assert_true(vm_store_memory_used(guest.store) <= used);
	assert_int_equal(guest.p->files[0].in->refs, 1);
	assert_int_equal(guest.p->files[1].out->refs, 1);
}

static void what_a_poll_needs_is_charged(void **state)
{
	vm_store_account(guest.store)->limit = vm_store_memory_used(guest.store) + 1000;
	put_subscription(2048, 1, P1_CLOCK, P1_MONOTONIC, 0, 0);
	gives(P1_NOMEM, poll_oneoff, 0, 65536, 1000, 60000);
	gives(P1_SUCCESS, poll_oneoff, 2048, 4096, 1, 256);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_function_has_as_many_parameters_as_its_type),
		cmocka_unit_test(what_is_no_function_or_has_another_type_does_not_link),
		TEST(a_pointer_may_reach_the_last_byte_and_not_one_more),
		TEST(a_pointer_that_is_not_aligned_traps),
		TEST(what_only_fills_a_gap_is_written_as_zero),
		TEST(without_a_memory_only_what_needs_none_is_called),
		TEST(arguments_and_environment_lie_as_the_pointers_say),
		TEST(clocks_are_the_two_that_there_are),
		TEST(random_bytes_fill_just_what_was_asked_for),
		TEST(an_exit_status_is_passed_on_or_is_a_failure),
		TEST(a_read_fills_one_iovec_after_the_other),
		TEST(iovecs_may_overlap_what_is_read_and_themselves),
		TEST(many_or_long_iovecs_are_bounded_by_the_memory),
		TEST(a_transfer_is_as_large_as_linux_makes_it),
		TEST(a_read_waits_for_what_comes_unless_it_is_not_to),
		TEST(a_call_that_waits_can_be_ended),
		TEST(a_write_waits_for_room_or_says_how_far_it_came),
		TEST(streams_that_are_over_say_why),
		TEST(what_is_no_descriptor_is_told_so_by_every_function),
		TEST(a_socket_that_was_given_accepts_connections),
		TEST(streams_are_neither_files_nor_folders_nor_sockets),
		TEST(a_number_that_was_closed_is_given_again),
		TEST(renumbering_closes_what_was_there),
		TEST(rights_are_taken_away_and_never_given),
		TEST(a_clock_that_is_past_is_ready_at_once),
		TEST(a_sleep_is_as_long_as_it_was_to_be),
		TEST(a_descriptor_is_ready_when_it_has_something_or_is_over),
		TEST(what_can_not_be_waited_for_is_an_event_with_its_error),
		TEST(events_may_be_written_over_their_subscriptions_W7),
		TEST(how_many_are_waited_for_is_bounded),
		TEST(what_a_poll_needs_is_charged),
	};
	return cmocka_run_group_tests(tests, open_process, close_process);
}
