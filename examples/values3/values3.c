// Functions whose results come by and by: each returns first and writes then, in one piece of code that waits where it is.
#include "values3.h"

#include <stdlib.h>
#include <string.h>

// What an operation on a stream or future ended with, which may have to be waited for.
static uint32_t await(uint32_t waitable, uint32_t status)
{
	values3_event_t event;
	if (status != VALUES3_WAITABLE_STATUS_BLOCKED)
		return status;
	values3_waitable_set_t set = values3_waitable_set_new();
	values3_waitable_join(waitable, set);
	values3_waitable_set_wait(set, &event);
	values3_waitable_join(waitable, 0);
	values3_waitable_set_drop(set);
	return event.code;
}

static bool goes_on(uint32_t status)
{
	return VALUES3_WAITABLE_STATE(status) == VALUES3_WAITABLE_COMPLETED;
}

values3_callback_code_t exports_values3_countdown(uint32_t n)
{
	values3_stream_u32_writer_t to;
	exports_values3_countdown_return(values3_stream_u32_new(&to));
	while (n && goes_on(await(to, values3_stream_u32_write(to, &n, 1))))
		n--;
	values3_stream_u32_drop_writable(to);
	return VALUES3_CALLBACK_CODE_EXIT;
}

values3_callback_code_t exports_values3_words(values3_string_t *text)
{
	values3_stream_string_writer_t to;
	exports_values3_words_return(values3_stream_string_new(&to));
	for (size_t at = 0, end; at < text->len; at = end + 1) {
		for (end = at; end < text->len && text->ptr[end] != ' '; end++)
			;
		values3_string_t word = {text->ptr + at, end - at};
		if (!goes_on(await(to, values3_stream_string_write(to, &word, 1))))
			break;
	}
	values3_stream_string_drop_writable(to);
	return VALUES3_CALLBACK_CODE_EXIT;
}

values3_callback_code_t exports_values3_promise(values3_string_t *name)
{
	static const char hello[] = "Hello, ";
	values3_future_string_writer_t to;
	size_t n = sizeof hello - 1;
	values3_string_t text = {malloc(n + name->len + 1), n + name->len + 1};
	exports_values3_promise_return(values3_future_string_new(&to));
	memcpy(text.ptr, hello, n);
	memcpy(text.ptr + n, name->ptr, name->len);
	text.ptr[text.len - 1] = '!';
	await(to, values3_future_string_write(to, &text));
	values3_future_string_drop_writable(to);
	return VALUES3_CALLBACK_CODE_EXIT;
}

values3_callback_code_t exports_values3_broken(uint32_t n)
{
	values3_stream_u8_writer_t bytes;
	values3_future_result_void_string_writer_t end;
	values3_tuple2_stream_u8_future_result_void_string_t both = {values3_stream_u8_new(&bytes), values3_future_result_void_string_new(&end)};
	values3_result_void_string_t why = {.is_err = true};
	exports_values3_broken_return(both);
	for (uint32_t i = 0; i < n; i++) {
		uint8_t byte = (uint8_t)i;
		await(bytes, values3_stream_u8_write(bytes, &byte, 1));
	}
	values3_stream_u8_drop_writable(bytes);
	values3_string_set(&why.val.err, "broken");
	await(end, values3_future_result_void_string_write(end, &why));
	values3_future_result_void_string_drop_writable(end);
	return VALUES3_CALLBACK_CODE_EXIT;
}

values3_callback_code_t exports_values3_lines(uint32_t n)
{
	values3_stream_stream_point_writer_t to;
	exports_values3_lines_return(values3_stream_stream_point_new(&to));
	for (uint32_t i = 0; i < n; i++) {
		values3_stream_point_writer_t points;
		values3_stream_point_t line = values3_stream_point_new(&points);
		values3_point_t p = {(int32_t)i, -(int32_t)i};
		await(to, values3_stream_stream_point_write(to, &line, 1));
		await(points, values3_stream_point_write(points, &p, 1));
		values3_stream_point_drop_writable(points);
	}
	values3_stream_stream_point_drop_writable(to);
	return VALUES3_CALLBACK_CODE_EXIT;
}

values3_callback_code_t exports_values3_flood(void)
{
	static uint8_t bytes[4096];
	values3_stream_u8_writer_t to;
	exports_values3_flood_return(values3_stream_u8_new(&to));
	while (goes_on(await(to, values3_stream_u8_write(to, bytes, sizeof bytes))))
		;
	values3_stream_u8_drop_writable(to);
	return VALUES3_CALLBACK_CODE_EXIT;
}

values3_callback_code_t exports_values3_stuck(void)
{
	values3_future_u32_writer_t to, other;
	uint32_t value;
	exports_values3_stuck_return(values3_future_u32_new(&to));
	values3_future_u32_t mine = values3_future_u32_new(&other);
	await(mine, values3_future_u32_read(mine, &value));
	return VALUES3_CALLBACK_CODE_EXIT;
}

static unsigned turns;

values3_callback_code_t exports_values3_nothing(void)
{
	turns = 3;
	return VALUES3_CALLBACK_CODE_YIELD;
}

values3_callback_code_t exports_values3_nothing_callback(values3_event_t *event)
{
	if (--turns)
		return VALUES3_CALLBACK_CODE_YIELD;
	exports_values3_nothing_return();
	return VALUES3_CALLBACK_CODE_EXIT;
}

// The others never give a set back to wait for: they are called no second time.
#define NEVER(name)                                                                    \
	values3_callback_code_t exports_values3_##name##_callback(values3_event_t *event) \
	{                                                                                  \
		__builtin_trap();                                                              \
	}
NEVER(countdown)
NEVER(words)
NEVER(promise)
NEVER(broken)
NEVER(lines)
NEVER(flood)
NEVER(stuck)
