// HTTP/2 that is served, frame by frame: what answers of the server's own say, whom windows hold up, what a connection may cost, how it ends.
#include <nghttp2/nghttp2.h>

#include "harness.h"

// A client that says frames as a test wants them, and goes through those that come.
struct peer {
	struct client c;
	size_t at;  // of c.in: what was gone through
	nghttp2_hd_inflater *hd;
};
struct frame {
	uint8_t kind, flags;
	int32_t stream;
	struct slice payload;
	char fields[512];  // "name: value\n" of each, of HEADERS
};

static void put_frame(struct peer *p, uint8_t kind, uint8_t flags, uint32_t stream, struct slice payload)
{
	static uint8_t bytes[9 + 16384];  // not of the memory that tests let run out
	uint8_t head[9] = {(uint8_t)(payload.len >> 16), (uint8_t)(payload.len >> 8), (uint8_t)payload.len, kind, flags, (uint8_t)(stream >> 24),
		(uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream};
	assert_true(payload.len <= sizeof bytes - 9);
	memcpy(bytes, head, 9);
	if (payload.len)
		memcpy(bytes + 9, payload.ptr, payload.len);
	send_bytes(&p->c, bytes, 9 + payload.len);
}

static void put_number(struct peer *p, uint8_t kind, uint32_t stream, uint32_t n)
{
	uint8_t bytes[4] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
	put_frame(p, kind, 0, stream, slice_of(bytes, 4));
}

// Names and values in clear, a literal that is not indexed each (RFC 7541, 6.2.2).
static size_t put_field(uint8_t *to, const char *name, const char *value)
{
	size_t n = strlen(name), m = strlen(value);
	assert_true(n < 127 && m < 127);
	to[0] = 0;
	to[1] = (uint8_t)n;
	memcpy(to + 2, name, n);
	to[2 + n] = (uint8_t)m;
	memcpy(to + 3 + n, value, m);
	return 3 + n + m;
}

static void put_head(struct peer *p, uint32_t stream, uint8_t flags, const char *method, const char *path, const char *name, const char *value)
{
	uint8_t block[1024];
	size_t n = put_field(block, ":method", method);
	n += put_field(block + n, ":scheme", "http");
	n += put_field(block + n, ":authority", "a");
	n += put_field(block + n, ":path", path);
	if (name)
		n += put_field(block + n, name, value);
	put_frame(p, NGHTTP2_HEADERS, flags, stream, slice_of(block, n));
}

enum { END = NGHTTP2_FLAG_END_STREAM, WHOLE = NGHTTP2_FLAG_END_HEADERS };

static void get(struct peer *p, uint32_t stream, const char *path)
{
	put_head(p, stream, WHOLE | END, "GET", path, NULL, NULL);
}

// `window`: SETTINGS_INITIAL_WINDOW_SIZE.
static struct peer greet(uint32_t window)
{
	struct peer p = {.c = dial()};
	uint8_t setting[6] = {0, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, (uint8_t)(window >> 24), (uint8_t)(window >> 16), (uint8_t)(window >> 8), (uint8_t)window};
	assert_int_equal(nghttp2_hd_inflate_new(&p.hd), 0);
	say(&p.c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
	put_frame(&p, NGHTTP2_SETTINGS, 0, 0, slice_of(setting, sizeof setting));
	return p;
}

static void leave(struct peer *p)
{
	nghttp2_hd_inflate_del(p->hd);
	hang_up(&p->c);
	turn(4);
}

static void read_fields(struct peer *p, struct frame *f)
{
	struct slice in = f->payload;
	size_t len = 0;
	int flags;
	nghttp2_nv nv;
	ssize_t n;
	f->fields[0] = 0;
	do {
		n = nghttp2_hd_inflate_hd2(p->hd, &nv, &flags, in.ptr, in.len, 1);
		assert_true(n >= 0);
		in = slice_sub(in, (size_t)n, in.len);
		if (flags & NGHTTP2_HD_INFLATE_EMIT)
			len += (size_t)snprintf(f->fields + len, sizeof f->fields - len, "%.*s: %.*s\n", (int)nv.namelen, nv.name, (int)nv.valuelen, nv.value);
		assert_true(len < sizeof f->fields);
	} while (!(flags & NGHTTP2_HD_INFLATE_FINAL));
	nghttp2_hd_inflate_end_headers(p->hd);
}

// The next frame, if it has come.
static bool next_frame(struct peer *p, struct frame *f)
{
	receive_some(&p->c);
	struct slice in = slice_sub(buf_view(&p->c.in), p->at, p->c.in.len);
	size_t n = in.len >= 9 ? (size_t)in.ptr[0] << 16 | (size_t)in.ptr[1] << 8 | in.ptr[2] : 0;
	if (in.len < 9 + n)
		return false;
	*f = (struct frame){in.ptr[3], in.ptr[4], in.ptr[5] << 24 | in.ptr[6] << 16 | in.ptr[7] << 8 | in.ptr[8], slice_sub(in, 9, n), {0}};
	p->at += 9 + n;
	if (f->kind == NGHTTP2_HEADERS)
		read_fields(p, f);
	return true;
}

// The next of that kind; those before it are skipped.
static struct frame wait_frame(struct peer *p, uint8_t kind)
{
	struct frame f;
	uint64_t give_up = sys_now_ns() + 10 * SECOND;
	for (;;) {
		while (next_frame(p, &f))
			if (f.kind == kind)
				return f;
		if (p->c.eof || sys_now_ns() > give_up)
			fail_msg("no frame of kind %u%s", kind, p->c.eof ? ": the connection ended" : "");
		turn(1);
	}
}

static uint32_t number(const struct frame *f, size_t at)
{
	const uint8_t *b = f->payload.ptr + at;
	assert_true(f->payload.len >= at + 4);
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static void expect_answer(struct peer *p, int32_t stream, const char *status, const char *body)
{
	char line[32], length[40];
	struct frame f = wait_frame(p, NGHTTP2_HEADERS);
	snprintf(line, sizeof line, ":status: %s\n", status);
	snprintf(length, sizeof length, "content-length: %zu\n", strlen(body));
	assert_int_equal(f.stream, stream);
	if (!strstr(f.fields, line) || !strstr(f.fields, length))
		fail_msg("'%s', not %s", f.fields, status);
	f = wait_frame(p, NGHTTP2_DATA);
	assert_true(f.stream == stream && f.flags & END);
	if (!slice_eq_str(f.payload, body))
		fail_msg("'%.*s', not '%s'", SLICE_ARGS(f.payload), body);
}

// ---- answers of the server's own ---------------------------------------------------------------------------------------------------------

static void refusals_say_what_was_wrong(void **state)
{
	struct http_limits l = http_limits_default;
	l.body_bytes = 10;
	start_server(&l);
	struct peer p = greet(65535);
	put_head(&p, 1, WHOLE | END, "GET", "/hello", "host", "b");
	expect_answer(&p, 1, "400", "400 Bad Request: malformed authority\n");
	put_head(&p, 3, WHOLE | END, "GET", "/hello", "expect", "what");
	expect_answer(&p, 3, "417", "417 Expectation Failed: unknown expectation\n");
	put_head(&p, 5, WHOLE, "POST", "/read", "content-length", "11");
	expect_answer(&p, 5, "413", "413 Content Too Large: the body is longer than allowed\n");
	put_head(&p, 7, WHOLE, "POST", "/read", NULL, NULL);
	wait_held(1);
	put_frame(&p, NGHTTP2_DATA, 0, 7, SLICE_LIT("01234567890"));
	expect_answer(&p, 7, "413", "413 Content Too Large: the body is longer than allowed\n");
	unsigned status;
	enum http_cancel why;
	assert_true(http_exchange_is_cancelled(held->x, &why, &status) && why == HTTP_CANCEL_TOO_LARGE && status == 413);
	let_go(held);
	get(&p, 9, "/hello");
	expect_answer(&p, 9, "200", "hello");
	leave(&p);
	stop_server();
}

static void to_head_a_refusal_has_no_body(void **state)
{
	start_server(NULL);
	struct peer p = greet(65535);
	put_head(&p, 1, WHOLE | END, "HEAD", "/hello", "host", "b");
	struct frame f = wait_frame(&p, NGHTTP2_HEADERS);
	assert_true(f.flags & END && strstr(f.fields, ":status: 400\n") && strstr(f.fields, "content-length: 37\n"));
	get(&p, 3, "/hello");
	expect_answer(&p, 3, "200", "hello");
	leave(&p);
	stop_server();
}

static void a_body_that_does_not_come_is_408_in_words(void **state)
{
	struct http_limits l = http_limits_default;
	l.body_ns = 60 * MS;
	start_server(&l);
	struct peer p = greet(65535);
	put_head(&p, 1, WHOLE, "POST", "/read", NULL, NULL);
	expect_answer(&p, 1, "408", "408 Request Timeout: the body did not arrive in time\n");
	assert_true(held->cancelled && held->why == HTTP_CANCEL_TIMEOUT);
	let_go(held);
	leave(&p);
	stop_server();
}

static void a_refusal_goes_in_pieces_through_a_small_window(void **state)
{
	start_server(NULL);
	struct peer p = greet(10);
	put_head(&p, 1, WHOLE | END, "GET", "/hello", "host", "b");
	struct frame f = wait_frame(&p, NGHTTP2_DATA);
	assert_true(slice_eq_str(f.payload, "400 Bad Re") && !(f.flags & END));
	put_number(&p, NGHTTP2_WINDOW_UPDATE, 1, 5);
	f = wait_frame(&p, NGHTTP2_DATA);
	assert_true(slice_eq_str(f.payload, "quest") && !(f.flags & END));
	put_number(&p, NGHTTP2_WINDOW_UPDATE, 1, 1000);
	f = wait_frame(&p, NGHTTP2_DATA);
	assert_true(slice_eq_str(f.payload, ": malformed authority\n") && f.flags & END);
	leave(&p);
	stop_server();
}

// ---- windows -------------------------------------------------------------------------------------------------------------------------------

static void an_answer_is_as_long_as_its_window_and_goes_on_when_that_opens(void **state)
{
	start_server(NULL);
	struct peer p = greet(20000);
	get(&p, 1, "/big");
	size_t got = 0;
	while (got < 20000)
		got += wait_frame(&p, NGHTTP2_DATA).payload.len;
	assert_int_equal(got, 20000);
	get(&p, 3, "/hello");  // another is not held up
	for (struct frame f = wait_frame(&p, NGHTTP2_DATA); f.stream != 3; f = wait_frame(&p, NGHTTP2_DATA))
		fail_msg("%zu bytes beyond the window", f.payload.len);
	put_number(&p, NGHTTP2_WINDOW_UPDATE, 1, 1);
	assert_int_equal(wait_frame(&p, NGHTTP2_DATA).payload.len, 1);
	put_number(&p, NGHTTP2_RST_STREAM, 1, NGHTTP2_CANCEL);
	wait_until(&held->cancelled);
	let_go(held);
	leave(&p);
	stop_server();
}

static void a_body_that_nobody_reads_opens_no_window(void **state)
{
	static const uint8_t zeros[16384];
	struct frame f;
	start_server(NULL);
	struct peer p = greet(65535);
	put_head(&p, 1, WHOLE, "POST", "/hold", NULL, NULL);
	for (int i = 0; i < 3; i++)
		put_frame(&p, NGHTTP2_DATA, 0, 1, slice_of(zeros, sizeof zeros));
	get(&p, 3, "/hello");
	for (bool answered = false; !answered; turn(1))
		while (next_frame(&p, &f)) {
			if (f.kind == NGHTTP2_WINDOW_UPDATE && f.stream == 1)
				fail_msg("a window of %u", number(&f, 0));
			answered |= f.kind == NGHTTP2_DATA && f.stream == 3;
		}
	size_t n;
	static uint8_t some[65536];
	assert_int_equal(http_body_read(held->x, some, sizeof some, &n), HTTP_READ_DATA);
	assert_int_equal(n, 49152);
	for (f = wait_frame(&p, NGHTTP2_WINDOW_UPDATE); f.stream != 1;)
		f = wait_frame(&p, NGHTTP2_WINDOW_UPDATE);
	assert_int_equal(number(&f, 0), 49152);
	let_go(held);
	leave(&p);
	stop_server();
}

static void bodies_and_trailers_come_back(void **state)
{
	uint8_t block[64];
	start_server(NULL);
	struct peer p = greet(65535);
	put_head(&p, 1, WHOLE, "POST", "/echo", NULL, NULL);
	put_frame(&p, NGHTTP2_DATA, 0, 1, SLICE_LIT("some"));
	put_frame(&p, NGHTTP2_HEADERS, WHOLE | END, 1, slice_of(block, put_field(block, "x-t", "y")));
	assert_true(strstr(wait_frame(&p, NGHTTP2_HEADERS).fields, ":status: 200\n"));
	struct frame f = wait_frame(&p, NGHTTP2_DATA);
	assert_true(slice_eq_str(f.payload, "some") && !(f.flags & END));
	f = wait_frame(&p, NGHTTP2_HEADERS);
	assert_string_equal(f.fields, "x-t: y\n");
	assert_true(f.flags & END);
	leave(&p);
	stop_server();
}

// ---- what it may cost ------------------------------------------------------------------------------------------------------------------------

static void expect_calmed(struct peer *p)
{
	struct frame f = wait_frame(p, NGHTTP2_GOAWAY);
	assert_int_equal(number(&f, 4), NGHTTP2_ENHANCE_YOUR_CALM);
	wait_end(&p->c);
	while (held)
		let_go(held);
	leave(p);
}

static void L84_resets_end_the_connection_when_there_are_too_many(void **state)
{
	start_server(NULL);
	struct peer p = greet(65535);
	for (uint32_t id = 1; id < 4000 && !p.c.eof && !p.c.reset; id += 2) {
		get(&p, id, "/hold");
		turn(1);
		put_number(&p, NGHTTP2_RST_STREAM, id, NGHTTP2_CANCEL);
		receive_some(&p.c);
		while (held)
			let_go(held);
	}
	assert_in_range(http_server_counters(server)->requests, 100, 1000);
	expect_calmed(&p);
	stop_server();
}

static void L84_a_head_without_an_end_ends_the_connection(void **state)
{
	static uint8_t block[16384];
	size_t n = 0;
	start_server(NULL);
	while (n + 120 < sizeof block)
		n += put_field(block + n, "x", "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789");
	struct peer p = greet(65535);
	put_head(&p, 1, END, "GET", "/hello", NULL, NULL);
	for (int i = 0; i < 1000 && !p.c.eof && !p.c.reset; i++) {
		put_frame(&p, NGHTTP2_CONTINUATION, 0, 1, slice_of(block, n));
		receive_some(&p.c);
	}
	assert_in_range(http_server_counters(server)->bytes_in, 65536, 1 << 20);
	assert_int_equal(http_server_counters(server)->requests, 0);
	expect_calmed(&p);
	stop_server();
}

static void L84_frames_that_bring_nothing_end_the_connection(void **state)
{
	for (int kind = 0; kind < 3; kind++) {
		start_server(NULL);
		struct peer p = greet(65535);
		put_head(&p, 1, WHOLE, "POST", "/read", NULL, NULL);
		for (int i = 0; i < 20000 && !p.c.eof && !p.c.reset; i++) {
			if (kind == 0)
				put_frame(&p, NGHTTP2_PING, 0, 0, SLICE_LIT("12345678"));
			else if (kind == 1)
				put_frame(&p, NGHTTP2_SETTINGS, 0, 0, slice_of(NULL, 0));
			else
				put_frame(&p, NGHTTP2_DATA, 0, 1, slice_of(NULL, 0));
			receive_some(&p.c);
		}
		expect_calmed(&p);
		stop_server();
	}
}

// HAProxy gives each window back three times a frame: more often than frames of an answer leave.
static void who_gives_a_window_back_in_pieces_gets_all_of_a_long_body(void **state)
{
	size_t got = 0;
	start_server(NULL);
	struct peer p = greet(65535);
	get(&p, 1, "/big");
	while (got < 8 << 20) {
		uint32_t n = (uint32_t)wait_frame(&p, NGHTTP2_DATA).payload.len;
		for (uint32_t left = n; left; left -= (uint32_t)min_u64(left, 1500)) {
			put_number(&p, NGHTTP2_WINDOW_UPDATE, 0, (uint32_t)min_u64(left, 1500));
			put_number(&p, NGHTTP2_WINDOW_UPDATE, 1, (uint32_t)min_u64(left, 1500));
		}
		got += n;
	}
	assert_int_equal(got, 8 << 20);
	leave(&p);
	stop_server();
}

static void L84_a_stream_that_was_reset_counts_until_its_owner_has_let_go(void **state)
{
	struct http_limits l = http_limits_default;
	l.streams = 2;
	start_server(&l);
	struct peer p = greet(65535);
	for (uint32_t id = 1; id < 5; id += 2) {
		get(&p, id, "/hold");
		wait_held((int)(id + 1) / 2);
		put_number(&p, NGHTTP2_RST_STREAM, id, NGHTTP2_CANCEL);
		wait_until(&held->cancelled);
	}
	get(&p, 5, "/hello");
	struct frame f = wait_frame(&p, NGHTTP2_RST_STREAM);
	assert_int_equal(number(&f, 0), NGHTTP2_REFUSED_STREAM);
	let_go(held);
	turn(2);
	get(&p, 7, "/hello");
	expect_answer(&p, 7, "200", "hello");
	let_go(held);
	leave(&p);
	stop_server();
}

// nghttp2 passes over priorities where they are not used (RFC 9113, 6.3).
static void a_priority_is_of_a_stream(void **state)
{
	start_server(NULL);
	struct peer p = greet(65535);
	put_frame(&p, NGHTTP2_PRIORITY, 0, 1, SLICE_LIT("\0\0\0\3\20"));
	get(&p, 1, "/hello");
	expect_answer(&p, 1, "200", "hello");
	put_frame(&p, NGHTTP2_PRIORITY, 0, 0, SLICE_LIT("\0\0\0\3\20"));
	struct frame f = wait_frame(&p, NGHTTP2_GOAWAY);
	assert_int_equal(number(&f, 4), NGHTTP2_PROTOCOL_ERROR);
	leave(&p);
	stop_server();
}

// The end of a head whose stream is gone meanwhile is an end, too: the others are not told that it did not come in time.
static void a_head_that_ends_when_its_stream_is_gone_has_ended(void **state)
{
	struct http_limits l = http_limits_default;
	l.streams = 2;
	l.head_ns = 1000 * MS;
	start_server(&l);
	struct peer p = greet(65535);
	get(&p, 1, "/held");
	put_head(&p, 3, WHOLE, "POST", "/read", NULL, NULL);
	wait_held(2);
	put_number(&p, NGHTTP2_RST_STREAM, 1, NGHTTP2_CANCEL);
	put_head(&p, 5, END, "GET", "/hello", NULL, NULL);  // the first one still counts
	struct frame f = wait_frame(&p, NGHTTP2_RST_STREAM);
	assert_int_equal(number(&f, 0), NGHTTP2_REFUSED_STREAM);
	put_frame(&p, NGHTTP2_CONTINUATION, WHOLE, 5, (struct slice){0});
	for (uint64_t until = sys_now_ns() + 400 * MS; sys_now_ns() < until;)
		turn(1);
	put_frame(&p, NGHTTP2_DATA, END, 3, SLICE_LIT("abc"));
	expect_answer(&p, 3, "200", "got 3");
	let_go(held);
	leave(&p);
	stop_server();
}

// ---- its end ---------------------------------------------------------------------------------------------------------------------------------

static void a_drain_answers_what_was_begun_until_it_is_heard(void **state)
{
	start_server(NULL);
	struct peer p = greet(65535);
	put_head(&p, 1, WHOLE, "POST", "/read", NULL, NULL);
	wait_held(1);
	http_server_drain(server, on_drained, NULL);
	struct frame f = wait_frame(&p, NGHTTP2_GOAWAY);
	assert_int_equal(number(&f, 0), INT32_MAX);
	wait_frame(&p, NGHTTP2_PING);
	get(&p, 3, "/hello");
	expect_answer(&p, 3, "200", "hello");
	put_frame(&p, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, SLICE_LIT("\0\0\0\0\0\0\0\0"));
	f = wait_frame(&p, NGHTTP2_GOAWAY);
	assert_int_equal(number(&f, 0), 3);
	put_frame(&p, NGHTTP2_DATA, END, 1, SLICE_LIT("abc"));
	expect_answer(&p, 1, "200", "got 3");
	wait_end(&p.c);
	wait_until(&drained);
	leave(&p);
	stop_server();
}

static void failing_allocations_end_a_connection_not_the_server(void **state)
{
	for (uint64_t n = 1; n < 60; n++) {
		start_server(NULL);
		struct peer p = greet(65535);
		mem_fail_nth(n);
		put_head(&p, 1, WHOLE, "POST", "/read", NULL, NULL);
		put_frame(&p, NGHTTP2_DATA, END, 1, SLICE_LIT("some"));
		put_head(&p, 3, WHOLE | END, "GET", "/hello", "host", "b");
		turn(6);
		mem_fail_nth(0);
		leave(&p);
		while (held)
			let_go(held);
		struct client again = dial();
		say(&again, GET("/hello"));
		wait_for(&again, "hello");
		hang_up(&again);
		stop_server();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refusals_say_what_was_wrong),
		cmocka_unit_test(to_head_a_refusal_has_no_body),
		cmocka_unit_test(a_body_that_does_not_come_is_408_in_words),
		cmocka_unit_test(a_refusal_goes_in_pieces_through_a_small_window),
		cmocka_unit_test(an_answer_is_as_long_as_its_window_and_goes_on_when_that_opens),
		cmocka_unit_test(a_body_that_nobody_reads_opens_no_window),
		cmocka_unit_test(bodies_and_trailers_come_back),
		cmocka_unit_test(L84_resets_end_the_connection_when_there_are_too_many),
		cmocka_unit_test(L84_a_head_without_an_end_ends_the_connection),
		cmocka_unit_test(L84_frames_that_bring_nothing_end_the_connection),
		cmocka_unit_test(who_gives_a_window_back_in_pieces_gets_all_of_a_long_body),
		cmocka_unit_test(L84_a_stream_that_was_reset_counts_until_its_owner_has_let_go),
		cmocka_unit_test(a_priority_is_of_a_stream),
		cmocka_unit_test(a_head_that_ends_when_its_stream_is_gone_has_ended),
		cmocka_unit_test(a_drain_answers_what_was_begun_until_it_is_heard),
		cmocka_unit_test(failing_allocations_end_a_connection_not_the_server),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
