// An HTTP component that does what a host must be ready for. `/` behaves; the other paths are named in README.md.
#include "misbehave.h"

#include <string.h>

typedef exports_wasi_http_incoming_handler_own_incoming_request_t own_request;
typedef exports_wasi_http_incoming_handler_own_response_outparam_t own_outparam;

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

// Each frame calls the host on its way down, so that host code runs at every depth of the stack.
static __attribute__((noinline)) unsigned recurse(unsigned depth)
{
	volatile unsigned frame[16];
	frame[depth % 16] = depth;
	wasi_clocks_monotonic_clock_now();
	return recurse(depth + 1) + frame[depth % 16];
}

// Leaves a trace in memory, in grown memory and in a handle that is not dropped.
static void mark(own_outparam out)
{
	for (unsigned k = 0; k < 1024; k++)
		marks[k] = k + 1;
	int page = __builtin_wasm_memory_grow(0, 4);
	if (page >= 0)
		memset((void *)((uintptr_t)page << 16), 0x5a, 4 << 16);
	wasi_clocks_monotonic_clock_subscribe_duration(1);
	respond(out, "marked\n");
}

static void check(own_outparam out)
{
	unsigned found = 0;
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

static void unfinished(own_outparam out)
{
	wasi_http_types_own_outgoing_body_t body;
	say(begin(out, &body), "the beginning, and never an end");
}

static void late(own_outparam out)
{
	respond(out, "answered\n");
	sleep_for(3600ull * 1000000000ull);
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
		sleep_for(3600ull * 1000000000ull);
	else if (IS("/grow"))
		grow();
	else if (IS("/recurse"))
		marks[0] = recurse(0);
	else if (IS("/trap"))
		__builtin_trap();
	else if (IS("/mark"))
		mark(out);
	else if (IS("/check"))
		check(out);
	else if (IS("/silent"))
		return;
	else if (IS("/unfinished"))
		unfinished(out);
	else if (IS("/late"))
		late(out);
	else
		respond(out, "see README.md\n");
}
