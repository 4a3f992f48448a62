// An HTTP component that does what a host must be ready for. `/` behaves; the other paths are named in README.md.
#include "misbehave.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef exports_wasi_http_incoming_handler_own_incoming_request_t own_request;
typedef exports_wasi_http_incoming_handler_own_response_outparam_t own_outparam;

#define MILLISECOND 1000000ull
#define HOUR (3600000 * MILLISECOND)

static __externref_t refs[0];   // a table
static unsigned marks[1024];  // memory that `/mark` writes and `/check` reads: a fresh instance has none

static wasi_io_streams_own_output_stream_t begin(own_outparam out, wasi_http_types_own_outgoing_body_t *body)
{
	wasi_http_types_own_outgoing_response_t response = wasi_http_types_constructor_outgoing_response(wasi_http_types_constructor_fields());
	wasi_http_types_method_outgoing_response_body(wasi_http_types_borrow_outgoing_response(response), body);
	wasi_http_types_result_own_outgoing_response_error_code_t ok = {.is_err = false, .val.ok = response};
	wasi_http_types_static_response_outparam_set(out, &ok);
	wasi_io_streams_own_output_stream_t stream;
	wasi_http_types_method_outgoing_body_write(wasi_http_types_borrow_outgoing_body(*body), &stream);
	return stream;
}

static void say(wasi_io_streams_own_output_stream_t stream, const char *text)
{
	misbehave_list_u8_t chunk = {(uint8_t *)text, strlen(text)};
	wasi_io_streams_stream_error_t error;
	wasi_io_streams_method_output_stream_blocking_write_and_flush(wasi_io_streams_borrow_output_stream(stream), &chunk, &error);
}

static void respond(own_outparam out, const char *text)
{
	wasi_http_types_own_outgoing_body_t body;
	wasi_io_streams_own_output_stream_t stream = begin(out, &body);
	say(stream, text);
	wasi_io_streams_output_stream_drop_own(stream);
	wasi_http_types_error_code_t error;
	wasi_http_types_static_outgoing_body_finish(body, NULL, &error);
}

static void spin(void)
{
	for (volatile unsigned n = 0;; n++)
		;
}

static void sleep_for(uint64_t ns)
{
	wasi_clocks_monotonic_clock_own_pollable_t p = wasi_clocks_monotonic_clock_subscribe_duration(ns);
	wasi_io_poll_method_pollable_block(wasi_io_poll_borrow_pollable(p));
	wasi_io_poll_pollable_drop_own(p);
}

// Grows page by page and writes to each until nothing is given any more, for ever.
static void grow(void)
{
	for (;;) {
		int page = __builtin_wasm_memory_grow(0, 1);
		if (page >= 0)
			*(volatile unsigned *)((uintptr_t)page << 16) = 1;
	}
}

// Fills memory for ever: nearly all of it is spent in one instruction.
__attribute__((target("bulk-memory"))) static void fill(void)
{
	int page = __builtin_wasm_memory_grow(0, 32);
	for (int k = 0;; k++)
		__asm__ volatile("local.get %0\n local.get %1\n local.get %2\n memory.fill 0" : : "r"(page << 16), "r"(k), "r"(32 << 16) : "memory");
}

// Each frame calls the host on its way down, so that host code runs at every depth of the stack. Through a pointer, so that it stays a recursion.
static unsigned recurse(unsigned depth);
static unsigned (*volatile deeper)(unsigned) = recurse;

static unsigned recurse(unsigned depth)
{
	unsigned now = (unsigned)wasi_clocks_monotonic_clock_now();
	return deeper(depth + 1) ^ now;
}

static unsigned descend(unsigned depth);
static unsigned (*volatile down)(unsigned) = descend;

static unsigned descend(unsigned depth)
{
	return depth ? down(depth - 1) + depth : 0;
}

// Leaves traces in memory, in grown memory, in a grown table and in a handle that is not dropped.
static void mark(void)
{
	for (unsigned k = 0; k < 1024; k++)
		marks[k] = k + 1;
	int page = __builtin_wasm_memory_grow(0, 4);
	if (page >= 0)
		memset((void *)((uintptr_t)page << 16), 0x5a, 4 << 16);
	__builtin_wasm_table_grow(refs, __builtin_wasm_ref_null_extern(), 7);
	wasi_clocks_monotonic_clock_subscribe_duration(1);
}

static void check(own_outparam out)
{
	unsigned found = __builtin_wasm_table_size(refs) != 0;
	for (unsigned k = 0; k < 1024; k++)
		found += marks[k] != 0;
	int page = __builtin_wasm_memory_grow(0, 4);
	const unsigned char *grown = (const unsigned char *)((uintptr_t)page << 16);
	for (unsigned k = 0; page >= 0 && k < 4 << 16; k++)
		found += grown[k] != 0;
	int handle = wasi_clocks_monotonic_clock_subscribe_duration(1).__handle;
	found += (unsigned)handle > 8;  // the first free indexes are low in a fresh table
	respond(out, found ? "traces of another request\n" : "clean\n");
}

static void respond_number(own_outparam out, unsigned n, const char *what)
{
	char text[64], digits[10];
	unsigned at = 0, k = 0;
	do
		digits[k++] = (char)('0' + n % 10);
	while (n /= 10);
	while (k)
		text[at++] = digits[--k];
	memcpy(text + at, what, strlen(what) + 1);
	respond(out, text);
}

// How much it is given of what is limited.
static void memory(own_outparam out)
{
	for (unsigned step = 16; step; step /= 16)
		while (__builtin_wasm_memory_grow(0, step) != SIZE_MAX)
			;
	respond_number(out, (unsigned)__builtin_wasm_memory_size(0) * 64, " KiB\n");
}

static void table(own_outparam out)
{
	for (int step = 65536; step; step /= 2)
		while (__builtin_wasm_table_grow(refs, __builtin_wasm_ref_null_extern(), step) >= 0)
			;
	respond_number(out, (unsigned)__builtin_wasm_table_size(refs), " elements\n");
}

static void handles(own_outparam out)
{
	for (unsigned n = 0; n < 5000; n++)
		wasi_clocks_monotonic_clock_subscribe_duration(1);
	respond(out, "5000 handles\n");
}

// ---- bodies ----------------------------------------------------------------------------------------------------------------------------

static wasi_http_types_own_incoming_body_t request_body(own_request request, wasi_io_streams_own_input_stream_t *stream)
{
	wasi_http_types_own_incoming_body_t body;
	wasi_http_types_method_incoming_request_consume(wasi_http_types_borrow_incoming_request(request), &body);
	wasi_http_types_method_incoming_body_stream(wasi_http_types_borrow_incoming_body(body), stream);
	return body;
}

// The trailers of the request become those of the response.
static void finish_with_trailers(wasi_http_types_own_incoming_body_t in, wasi_http_types_own_outgoing_body_t out)
{
	wasi_http_types_own_future_trailers_t future = wasi_http_types_static_incoming_body_finish(in);
	wasi_http_types_result_result_option_own_trailers_error_code_void_t got;
	wasi_http_types_own_pollable_t ready = wasi_http_types_method_future_trailers_subscribe(wasi_http_types_borrow_future_trailers(future));
	wasi_io_poll_method_pollable_block(wasi_io_poll_borrow_pollable(ready));
	wasi_io_poll_pollable_drop_own(ready);
	bool some = wasi_http_types_method_future_trailers_get(wasi_http_types_borrow_future_trailers(future), &got) && !got.is_err && !got.val.ok.is_err &&
		got.val.ok.val.ok.is_some;
	wasi_http_types_error_code_t error;
	wasi_http_types_static_outgoing_body_finish(out, some ? &got.val.ok.val.ok.val : NULL, &error);
}

// Byte by byte through the guest's memory.
static void echo(own_request request, own_outparam outparam)
{
	wasi_io_streams_own_input_stream_t in;
	wasi_http_types_own_incoming_body_t from = request_body(request, &in);
	wasi_http_types_own_outgoing_body_t to;
	wasi_io_streams_own_output_stream_t out = begin(outparam, &to);
	size_t heap = heap_mark();
	misbehave_list_u8_t chunk;
	wasi_io_streams_stream_error_t error;
	while (wasi_io_streams_method_input_stream_blocking_read(wasi_io_streams_borrow_input_stream(in), 4096, &chunk, &error) &&
		   wasi_io_streams_method_output_stream_blocking_write_and_flush(wasi_io_streams_borrow_output_stream(out), &chunk, &error))
		heap_release(heap);
	wasi_io_streams_input_stream_drop_own(in);
	wasi_io_streams_output_stream_drop_own(out);
	finish_with_trailers(from, to);
}

// The host moves the bytes.
static void splice(own_request request, own_outparam outparam)
{
	wasi_io_streams_own_input_stream_t in;
	wasi_http_types_own_incoming_body_t from = request_body(request, &in);
	wasi_http_types_own_outgoing_body_t to;
	wasi_io_streams_own_output_stream_t out = begin(outparam, &to);
	wasi_io_streams_stream_error_t error;
	uint64_t n;
	while (wasi_io_streams_method_output_stream_blocking_splice(wasi_io_streams_borrow_output_stream(out), wasi_io_streams_borrow_input_stream(in), 65536, &n, &error))
		;
	wasi_io_streams_input_stream_drop_own(in);
	wasi_io_streams_output_stream_drop_own(out);
	finish_with_trailers(from, to);
}

// 64 MiB, as fast as they are taken.
static void flood(own_outparam outparam)
{
	wasi_http_types_own_outgoing_body_t body;
	wasi_io_streams_own_output_stream_t out = begin(outparam, &body);
	wasi_io_streams_stream_error_t error;
	for (unsigned n = 0; n < 16384; n++)
		if (!wasi_io_streams_method_output_stream_blocking_write_zeroes_and_flush(wasi_io_streams_borrow_output_stream(out), 4096, &error))
			break;
	wasi_io_streams_output_stream_drop_own(out);
	wasi_http_types_error_code_t code;
	wasi_http_types_static_outgoing_body_finish(body, NULL, &code);
}

// A mebibyte of log, in lines of 64 bytes.
static void print(own_outparam out)
{
	static char lines[4096];
	memset(lines, 'x', sizeof lines);
	for (unsigned k = 63; k < sizeof lines; k += 64)
		lines[k] = '\n';
	wasi_io_streams_own_output_stream_t stream = wasi_cli_stdout_get_stdout();
	misbehave_list_u8_t chunk = {(uint8_t *)lines, sizeof lines};
	wasi_io_streams_stream_error_t error;
	for (unsigned n = 0; n < 256; n++)
		wasi_io_streams_method_output_stream_blocking_write_and_flush(wasi_io_streams_borrow_output_stream(stream), &chunk, &error);
	respond(out, "printed\n");
}

static void environment(own_outparam outparam)
{
	misbehave_list_tuple2_string_string_t env;
	wasi_cli_environment_get_environment(&env);
	wasi_http_types_own_outgoing_body_t body;
	wasi_io_streams_own_output_stream_t out = begin(outparam, &body);
	for (size_t k = 0; k < env.len; k++) {
		misbehave_list_u8_t name = {env.ptr[k].f0.ptr, env.ptr[k].f0.len}, value = {env.ptr[k].f1.ptr, env.ptr[k].f1.len};
		wasi_io_streams_stream_error_t error;
		wasi_io_streams_method_output_stream_blocking_write_and_flush(wasi_io_streams_borrow_output_stream(out), &name, &error);
		say(out, "=");
		wasi_io_streams_method_output_stream_blocking_write_and_flush(wasi_io_streams_borrow_output_stream(out), &value, &error);
		say(out, "\n");
	}
	wasi_io_streams_output_stream_drop_own(out);
	wasi_http_types_error_code_t error;
	wasi_http_types_static_outgoing_body_finish(body, NULL, &error);
}

static void unfinished(own_outparam out)
{
	wasi_http_types_own_outgoing_body_t body;
	say(begin(out, &body), "the beginning, and never an end");
}

static void late(own_outparam out)
{
	respond(out, "answered\n");
	sleep_for(HOUR);
}

void exports_wasi_http_incoming_handler_handle(own_request request, own_outparam out)
{
	misbehave_string_t path = {0};
	wasi_http_types_method_incoming_request_path_with_query(wasi_http_types_borrow_incoming_request(request), &path);
#define IS(text) (path.len == sizeof(text) - 1 && memcmp(path.ptr, text, sizeof(text) - 1) == 0)
	if (IS("/"))
		respond(out, "well-behaved\n");
	else if (IS("/spin"))
		spin();
	else if (IS("/sleep"))
		sleep_for(HOUR);
	else if (IS("/delay"))
		sleep_for(300 * MILLISECOND), respond(out, "delayed\n");
	else if (IS("/grow"))
		grow();
	else if (IS("/fill"))
		fill();
	else if (IS("/recurse"))
		marks[0] = recurse(0);
	else if (IS("/deep"))
		respond_number(out, descend(3000), " is the sum\n");
	else if (IS("/trap"))
		__builtin_trap();
	else if (IS("/mark"))
		mark(), respond(out, "marked\n");
	else if (IS("/mark-trap"))
		mark(), __builtin_trap();
	else if (IS("/mark-spin"))
		mark(), spin();
	else if (IS("/mark-sleep"))
		mark(), sleep_for(HOUR);
	else if (IS("/check"))
		check(out);
	else if (IS("/memory"))
		memory(out);
	else if (IS("/beyond"))
		marks[0] = *(volatile unsigned *)(__builtin_wasm_memory_size(0) << 16), respond(out, "there is memory behind the end of memory\n");
	else if (IS("/table"))
		table(out);
	else if (IS("/handles"))
		handles(out);
	else if (IS("/echo"))
		echo(request, out);
	else if (IS("/splice"))
		splice(request, out);
	else if (IS("/flood"))
		flood(out);
	else if (IS("/print"))
		print(out);
	else if (IS("/env"))
		environment(out);
	else if (IS("/silent"))
		return;
	else if (IS("/unfinished"))
		unfinished(out);
	else if (IS("/late"))
		late(out);
	else
		respond(out, "see README.md\n");
}
