// Guests that misuse wasi:http/types: handles kept over calls, wrong orders of drops, bodies finished twice, streams used after their parents (W26 to W35, L87).
// PROGRAM(test_wasi_http, "wasi tier cmocka", "")
#include "fields.h"

#define STREAMS "wasi:io/streams"
#define METHOD "[method]incoming-request.method"
#define REQUEST_HEADERS "[method]incoming-request.headers"
#define CONSUME "[method]incoming-request.consume"
#define IN_STREAM "[method]incoming-body.stream"
#define IN_FINISH "[static]incoming-body.finish"
#define GET_TRAILERS "[method]future-trailers.get"
#define WAIT_TRAILERS "[method]future-trailers.subscribe"
#define NEW_RESPONSE "[constructor]outgoing-response"
#define SET_STATUS "[method]outgoing-response.set-status-code"
#define RESPONSE_HEADERS "[method]outgoing-response.headers"
#define RESPONSE_BODY "[method]outgoing-response.body"
#define OUT_STREAM "[method]outgoing-body.write"
#define OUT_FINISH "[static]outgoing-body.finish"
#define SET_RESPONSE "[static]response-outparam.set"
#define REQUEST_BODY "[method]outgoing-request.body"
#define PATH "[method]incoming-request.path-with-query"
#define SCHEME "[method]incoming-request.scheme"
#define AUTHORITY "[method]incoming-request.authority"
#define ERROR_CODE "http-error-code"
#define SEED "insecure-seed"
#define CHECK_WRITE "[method]output-stream.check-write"
#define WRITE "[method]output-stream.write"
#define BLOCKING_WRITE "[method]output-stream.blocking-write-and-flush"
#define BLOCKING_ZEROES "[method]output-stream.blocking-write-zeroes-and-flush"
#define FLUSH "[method]output-stream.flush"
#define BLOCKING_FLUSH "[method]output-stream.blocking-flush"
#define SPLICE "[method]output-stream.splice"
#define BLOCKING_READ "[method]input-stream.blocking-read"
#define READ "[method]input-stream.read"

static const char *const functions[] = {
	TYPES_,
	NEW_FIELDS,
	TYPES_,
	APPEND,
	TYPES_,
	GET,
	TYPES_,
	ENTRIES,
	TYPES_,
	METHOD,
	TYPES_,
	REQUEST_HEADERS,
	TYPES_,
	CONSUME,
	TYPES_,
	IN_STREAM,
	TYPES_,
	IN_FINISH,
	TYPES_,
	GET_TRAILERS,
	TYPES_,
	WAIT_TRAILERS,
	TYPES_,
	NEW_RESPONSE,
	TYPES_,
	SET_STATUS,
	TYPES_,
	RESPONSE_HEADERS,
	TYPES_,
	RESPONSE_BODY,
	TYPES_,
	OUT_STREAM,
	TYPES_,
	OUT_FINISH,
	TYPES_,
	SET_RESPONSE,
	TYPES_,
	NEW_REQUEST,
	TYPES_,
	REQUEST_BODY,
	TYPES_,
	PATH,
	TYPES_,
	SCHEME,
	TYPES_,
	AUTHORITY,
	TYPES_,
	ERROR_CODE,
	"wasi:random/insecure-seed",
	SEED,
	STREAMS,
	CHECK_WRITE,
	STREAMS,
	WRITE,
	STREAMS,
	BLOCKING_WRITE,
	STREAMS,
	BLOCKING_ZEROES,
	STREAMS,
	FLUSH,
	STREAMS,
	BLOCKING_FLUSH,
	STREAMS,
	SPLICE,
	STREAMS,
	BLOCKING_READ,
	STREAMS,
	READ,
	NULL,
};

static struct wasi_http_call call;
static char answer[1 << 20];
static uint32_t request, outparam;  // the guest's handles

static void turn(void)
{
	for (int i = 0; i < 20; i++)
		loop_run_once(loop, 0);
}

// A request comes in; the guest holds its two handles.
static void begin(const char *text)
{
	struct wasi_http_args args;
	if (client < 0)
		new_client();
	send_request(text);
	call = (struct wasi_http_call){.wasi = &p.wasi};
	assert_true(wasi_http_begin(&call, p.instance, arrived, &args));
	request = puppet_adopt(&p, &wasi_http_types_incoming_request_resource, args.request);
	outparam = puppet_adopt(&p, &wasi_http_types_response_outparam_resource, args.outparam);
}

// The export has returned; what the client got.
static const char *end(bool clean)
{
	wasi_http_end(&call, clean, 500);
	size_t n = 0;
	for (int i = 0; i < 50; i++) {
		turn();
		ssize_t got = read(client, answer + n, sizeof answer - 1 - n);
		n += got > 0 ? (size_t)got : 0;
	}
	answer[n] = 0;
	return answer;
}
#define STARTS(text, with) assert_memory_equal(text, with, strlen(with))

static int open_one(void **s)
{
	p = (struct puppet){.loop = loop};
	puppet_open(&p, functions);
	return 0;
}

static int close_one(void **s)
{
	puppet_close(&p);
	if (client >= 0)
		close(client);
	client = -1;
	turn();
	return 0;
}

// The puppet goes on where its instance has trapped: a new one.
static void renew(void)
{
	puppet_close(&p);
	open_one(NULL);
}

// Results: an option's or result's payload lies behind its tag, aligned.
static uint32_t ok_handle(const char *name, uint32_t self)
{
	CALL(&p, name, self);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT), 0);
	return puppet_word(&p, PUPPET_RESULT + 4);
}
static uint32_t new_response(void)
{
	return (uint32_t)CALL(&p, NEW_RESPONSE, new_fields());
}
static void set_ok(uint32_t response)
{
	CALL(&p, SET_RESPONSE, outparam, 0, response);
}
static void finish(uint32_t body)
{
	CALL(&p, OUT_FINISH, body);
}

#define HELLO "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define POSTED "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"

// ---- the response ----------------------------------------------------------------------------------------------------------------------------

static void a_response_is_set_and_its_body_written(void **s)
{
	begin(HELLO);
	uint32_t response = new_response(), body = ok_handle(RESPONSE_BODY, response);
	set_ok(response);
	uint32_t stream = ok_handle(OUT_STREAM, body);
	CALL(&p, BLOCKING_WRITE, stream, puppet_poke(&p, 0, SLICE_LIT("hello")), 5);
	puppet_drop(&p, &wasi_io_streams_output_stream_resource, stream);
	finish(body);
	const char *a = end(true);
	STARTS(a, "HTTP/1.1 200 ");
	assert_non_null(strstr(a, "hello"));
}

static void a_response_set_twice_traps(void **s)
{
	begin(HELLO);
	set_ok(new_response());
	TRAPS(&p, TRAP_HANDLE, NULL, SET_RESPONSE, outparam, 0, new_response());
	STARTS(end(false), "HTTP/1.1 200 ");
}

static void a_response_that_was_never_set_is_a_500(void **s)
{
	begin(HELLO);
	puppet_drop(&p, &wasi_http_types_response_outparam_resource, outparam);
	puppet_drop(&p, &wasi_http_types_incoming_request_resource, request);
	STARTS(end(true), "HTTP/1.1 500 ");
}

static void an_error_for_a_response_is_a_500_and_its_body_closed(void **s)
{
	begin(HELLO);
	CALL(&p, SET_RESPONSE, outparam, 1);
	STARTS(end(true), "HTTP/1.1 500 ");
}

static void a_body_is_given_once(void **s)
{
	begin(POSTED);
	uint32_t response = new_response(), body = ok_handle(RESPONSE_BODY, response);
	CALL(&p, RESPONSE_BODY, response);
	assert_true(is_err());
	ok_handle(OUT_STREAM, body);
	CALL(&p, OUT_STREAM, body);
	assert_true(is_err());
	uint32_t in = ok_handle(CONSUME, request);
	CALL(&p, CONSUME, request);
	assert_true(is_err());
	ok_handle(IN_STREAM, in);
	CALL(&p, IN_STREAM, in);
	assert_true(is_err());
	STARTS(end(true), "HTTP/1.1 500 ");
}

static void a_body_finished_twice_traps(void **s)
{
	begin(HELLO);
	uint32_t response = new_response(), body = ok_handle(RESPONSE_BODY, response);
	finish(body);
	set_ok(response);
	TRAPS(&p, TRAP_HANDLE, NULL, OUT_FINISH, body);
	STARTS(end(false), "HTTP/1.1 200 ");
}

static void a_body_finished_under_its_stream_traps(void **s)
{
	begin(HELLO);
	uint32_t response = new_response(), body = ok_handle(RESPONSE_BODY, response);
	ok_handle(OUT_STREAM, body);
	TRAPS(&p, TRAP_HOST, "while its stream is alive", OUT_FINISH, body);
	STARTS(end(false), "HTTP/1.1 500 ");
}

static void a_body_read_to_its_trailers_under_its_stream_traps(void **s)
{
	begin(POSTED);
	uint32_t in = ok_handle(CONSUME, request);
	ok_handle(IN_STREAM, in);
	TRAPS(&p, TRAP_HOST, "while its stream is alive", IN_FINISH, in);
	end(false);
}

// result<u64, stream-error>
static uint32_t spliced(uint32_t out, uint32_t in, uint32_t len)
{
	CALL(&p, SPLICE, out, in, len);
	assert_false(is_err());
	return puppet_word(&p, PUPPET_RESULT + 8);
}

static void send_more(const char *text)
{
	assert_int_equal(write(client, text, strlen(text)), strlen(text));
	turn();
}

static void a_splice_moves_all_the_pieces_that_are_there(void **s)
{
	begin("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n1\r\nf\r\n4\r\nghij\r\n");
	uint32_t response = new_response(), body = ok_handle(RESPONSE_BODY, response);
	set_ok(response);
	uint32_t from = ok_handle(CONSUME, request), in = ok_handle(IN_STREAM, from), out = ok_handle(OUT_STREAM, body);
	assert_int_equal(spliced(out, in, 0), 0);
	assert_int_equal(spliced(out, in, 7), 7);
	assert_int_equal(spliced(out, in, 65536), 3);
	assert_int_equal(spliced(out, in, 65536), 0);
	send_more("2\r\nkl\r\n1\r\nm\r\n0\r\n\r\n");
	assert_int_equal(spliced(out, in, 65536), 3);  // the end behind it is told by the next
	CALL(&p, SPLICE, out, in, 65536);
	assert_true(is_err());
	puppet_drop(&p, &wasi_io_streams_output_stream_resource, out);
	puppet_drop(&p, &wasi_io_streams_input_stream_resource, in);
	finish(body);
	const char *a = end(true);
	STARTS(a, "HTTP/1.1 200 ");
	assert_non_null(strstr(a, "\r\n\r\na\r\nabcdefghij\r\n3\r\nklm\r\n0\r\n\r\n"));  // one chunk for what moved at once
}

static void a_splice_moves_no_more_than_its_output_has_room_for(void **s)
{
	char head[128];
	static char piece[4096];
	memset(piece, 'x', sizeof piece);
	snprintf(head, sizeof head, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", 300000);
	begin(head);
	uint32_t response = new_response(), body = ok_handle(RESPONSE_BODY, response);
	uint32_t from = ok_handle(CONSUME, request), in = ok_handle(IN_STREAM, from), out = ok_handle(OUT_STREAM, body), moved = 0;
	for (int i = 0; i < 40; i++) {  // the response is not set: what is written is held, a window at most
		ssize_t n = write(client, piece, sizeof piece);
		(void)n;
		turn();
		moved += spliced(out, in, 1 << 30);
	}
	assert_int_equal(moved, HTTP_WINDOW);
	assert_int_equal(spliced(out, in, 1 << 30), 0);
	end(false);
}

// Nobody will ever take what is written: the stream is closed, and a write that would wait for ever is not begun.
static void the_body_of_a_response_that_was_dropped_is_closed(void **s)
{
	begin(HELLO);
	uint32_t response = new_response(), body = ok_handle(RESPONSE_BODY, response), stream = ok_handle(OUT_STREAM, body);
	puppet_drop(&p, &wasi_http_types_outgoing_response_resource, response);
	int n = 0;
	do
		CALL(&p, BLOCKING_ZEROES, stream, 4096);
	while (!is_err() && ++n < 1000);
	assert_true(is_err());
	STARTS(end(true), "HTTP/1.1 500 ");
}

static void the_body_of_a_response_that_could_not_be_sent_is_closed(void **s)
{
	begin(HELLO);
	uint32_t fields = new_fields();
	append(fields, SLICE_LIT("content-length"), SLICE_LIT("not a number"));
	uint32_t response = (uint32_t)CALL(&p, NEW_RESPONSE, fields), body = ok_handle(RESPONSE_BODY, response), stream = ok_handle(OUT_STREAM, body);
	set_ok(response);
	int n = 0;
	do
		CALL(&p, BLOCKING_ZEROES, stream, 4096);
	while (!is_err() && ++n < 1000);
	assert_true(is_err());
	STARTS(end(true), "HTTP/1.1 500 ");
}

static void the_body_of_a_request_that_was_dropped_is_closed(void **s)
{
	uint32_t out = (uint32_t)CALL(&p, NEW_REQUEST, new_fields()), body = ok_handle(REQUEST_BODY, out), stream = ok_handle(OUT_STREAM, body);
	puppet_drop(&p, &wasi_http_types_outgoing_request_resource, out);
	CALL(&p, CHECK_WRITE, stream);
	assert_true(is_err());
}

// A body of a request that announces eleven bytes, and its stream.
static uint32_t eleven_bytes(uint32_t *ret_stream)
{
	uint32_t fields = new_fields();
	append(fields, SLICE_LIT("content-length"), SLICE_LIT("11"));
	uint32_t out = (uint32_t)CALL(&p, NEW_REQUEST, fields), body = ok_handle(REQUEST_BODY, out);
	*ret_stream = ok_handle(OUT_STREAM, body);
	return body;
}

// What lies at `at` is error-code.HTTP-request-body-size(some(n)).
static void expect_size(uint32_t at, uint32_t n)
{
	assert_int_equal(puppet_peek(&p, at), WASI_HTTP_TYPES_ERROR_CODE_HTTP_REQUEST_BODY_SIZE);
	assert_int_equal(puppet_peek(&p, at + 8), 1);
	assert_int_equal(puppet_word(&p, at + 16), n);
}

static void a_body_that_was_never_sent_is_held_to_its_length_too(void **s)
{
	uint32_t stream, body = eleven_bytes(&stream);
	CALL(&p, BLOCKING_WRITE, stream, puppet_poke(&p, 0, SLICE_LIT("long enough")), 11);
	assert_false(is_err());
	puppet_drop(&p, &wasi_io_streams_output_stream_resource, stream);
	CALL(&p, OUT_FINISH, body);
	assert_false(is_err());

	body = eleven_bytes(&stream);
	CALL(&p, BLOCKING_WRITE, stream, puppet_poke(&p, 0, SLICE_LIT("short")), 5);
	puppet_drop(&p, &wasi_io_streams_output_stream_resource, stream);
	CALL(&p, OUT_FINISH, body);
	assert_true(is_err());
	expect_size(PUPPET_RESULT + 8, 5);

	body = eleven_bytes(&stream);
	CALL(&p, BLOCKING_WRITE, stream, puppet_poke(&p, 0, SLICE_LIT("much too long for that")), 22);
	assert_true(is_err());
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT + 4), 0);  // last-operation-failed
	CALL(&p, ERROR_CODE, puppet_word(&p, PUPPET_RESULT + 8));
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT), 1);
	expect_size(PUPPET_RESULT + 8, 22);
	CALL(&p, CHECK_WRITE, stream);
	assert_true(is_err());
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT + 8), 1);  // closed
	puppet_drop(&p, &wasi_io_streams_output_stream_resource, stream);
	CALL(&p, OUT_FINISH, body);
	assert_true(is_err());
	expect_size(PUPPET_RESULT + 8, 22);
}

static void the_insecure_seed_stays_with_the_instance(void **s)
{
	CALL(&p, SEED);
	uint64_t first = puppet_word(&p, PUPPET_RESULT), second = puppet_word(&p, PUPPET_RESULT + 8);
	for (int i = 0; i < 3; i++) {
		CALL(&p, SEED);
		assert_true(puppet_word(&p, PUPPET_RESULT) == first && puppet_word(&p, PUPPET_RESULT + 8) == second);
	}
	renew();
	CALL(&p, SEED);
	assert_false(puppet_word(&p, PUPPET_RESULT) == first && puppet_word(&p, PUPPET_RESULT + 8) == second);
}

// What the client gets of five bytes where another number was announced; the connection is closed.
static const char *five_bytes_of(const char *announced)
{
	char byte;
	begin(HELLO);
	uint32_t fields = new_fields();
	append(fields, SLICE_LIT("content-length"), slice_str(announced));
	uint32_t response = (uint32_t)CALL(&p, NEW_RESPONSE, fields), body = ok_handle(RESPONSE_BODY, response), stream = ok_handle(OUT_STREAM, body);
	set_ok(response);
	CALL(&p, BLOCKING_WRITE, stream, puppet_poke(&p, 0, SLICE_LIT("12345")), 5);
	puppet_drop(&p, &wasi_io_streams_output_stream_resource, stream);
	CALL(&p, OUT_FINISH, body);
	assert_true(is_err());
	const char *a = end(true);
	assert_int_equal(read(client, &byte, 1), 0);
	return a;
}

static void more_than_was_announced_is_no_clean_end(void **s)
{
	assert_null(strstr(five_bytes_of("3"), "12345"));
}

static void less_than_was_announced_is_no_clean_end(void **s)
{
	five_bytes_of("10");
}

static void a_status_is_from_200_to_599(void **s)
{
	static const struct {
		uint32_t status;
		bool ok;
	} rows[] = {{0, false}, {99, false}, {100, false}, {101, false}, {199, false}, {200, true}, {599, true}, {600, false}, {65535, false}};
	begin(HELLO);
	uint32_t response = new_response();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(CALL(&p, SET_STATUS, response, rows[i].status) == 0, rows[i].ok);
	set_ok(response);
	STARTS(end(true), "HTTP/1.1 599 ");
}

// ---- parents and children --------------------------------------------------------------------------------------------------------------------

static void streams_outlive_their_parents(void **s)
{
	begin(POSTED);
	uint32_t in = ok_handle(CONSUME, request), in_stream = ok_handle(IN_STREAM, in);
	puppet_drop(&p, &wasi_http_types_incoming_body_resource, in);
	puppet_drop(&p, &wasi_http_types_incoming_request_resource, request);
	CALL(&p, BLOCKING_READ, in_stream, 100);
	assert_false(is_err());
	assert_int_equal(puppet_word(&p, PUPPET_RESULT + 8), 5);
	uint32_t response = new_response(), body = ok_handle(RESPONSE_BODY, response), out_stream = ok_handle(OUT_STREAM, body);
	set_ok(response);
	puppet_drop(&p, &wasi_http_types_outgoing_body_resource, body);  // never a clean end
	CALL(&p, BLOCKING_WRITE, out_stream, PUPPET_ARGS, 5);
	assert_true(is_err());
	end(true);
	char byte;
	assert_int_equal(read(client, &byte, 1), 0);
}

static uint32_t fields_of_host(struct wasi_http_call *c, struct http_field ret[WASI_HTTP_FIELDS])
{
	static char path[40000];
	memset(path, 'x', sizeof path);
	for (uint32_t k = 0; k < 3; k++)
		ret[k] = (struct http_field){slice_str((const char *[]){"tenon-route", "tenon-path-info", "tenon-param-p"}[k]), slice_of(path, k ? sizeof path : 2)};
	return 3;
}

// As many as a head may have, and as long, are not too many for those that the host adds.
static void a_head_that_is_full_has_room_for_fields_of_the_host(void **s)
{
	struct buf text = {0};
	buf_put_str(&text, "GET / HTTP/1.1\r\nHost: a\r\n");
	for (int k = 1; k < HTTP_FIELDS_MAX; k++)
		buf_put_str(&text, "x: y\r\n");
	buf_put_str(&text, "\r\n");
	buf_put_byte(&text, 0);
	begin((const char *)text.ptr);
	call.fields = fields_of_host;
	uint32_t headers = (uint32_t)CALL(&p, REQUEST_HEADERS, request);
	CALL(&p, ENTRIES, headers);
	assert_int_equal(puppet_word(&p, PUPPET_RESULT + 4), HTTP_FIELDS_MAX - 1 + 3);
	puppet_drop(&p, &wasi_http_types_fields_resource, headers);
	end(true);
	buf_release(&text);
}

static void headers_of_a_response_outlive_it_and_can_not_be_changed(void **s)
{
	begin(HELLO);
	uint32_t response = new_response(), headers = (uint32_t)CALL(&p, RESPONSE_HEADERS, response);
	append(headers, SLICE_LIT("a"), SLICE_LIT("b"));
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT), 1);
	set_ok(response);
	CALL(&p, GET, headers, puppet_poke(&p, 0, SLICE_LIT("a")), 1);
	STARTS(end(true), "HTTP/1.1 200 ");
	CALL(&p, ENTRIES, headers);
	assert_int_equal(puppet_word(&p, PUPPET_RESULT + 4), 0);
}

// ---- handles kept over calls -----------------------------------------------------------------------------------------------------------------

static void the_request_of_a_call_that_is_over_traps(void **s)
{
	static const char *const calls[] = {METHOD, REQUEST_HEADERS, CONSUME};
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		begin(HELLO);
		STARTS(end(true), "HTTP/1.1 500 ");
		TRAPS(&p, TRAP_HOST, "is over", calls[i], request);
		renew();
	}
}

static void a_response_for_a_call_that_is_over_goes_nowhere(void **s)
{
	begin(HELLO);
	uint32_t response = new_response(), body = ok_handle(RESPONSE_BODY, response), stream = ok_handle(OUT_STREAM, body);
	end(true);
	set_ok(response);
	int n = 0;
	do
		CALL(&p, BLOCKING_ZEROES, stream, 4096);
	while (!is_err() && ++n < 1000);
	assert_true(is_err());
	puppet_drop(&p, &wasi_io_streams_output_stream_resource, stream);
	CALL(&p, OUT_FINISH, body);
	assert_true(is_err());
}

static void bodies_of_a_call_that_is_over_are_at_their_end(void **s)
{
	begin(POSTED);
	uint32_t in = ok_handle(CONSUME, request), in_stream = ok_handle(IN_STREAM, in);
	uint32_t response = new_response(), body = ok_handle(RESPONSE_BODY, response), stream = ok_handle(OUT_STREAM, body);
	set_ok(response);
	CALL(&p, BLOCKING_WRITE, stream, PUPPET_ARGS, 5);
	end(true);
	close(client);  // the answer was not finished
	client = -1;
	begin(HELLO);
	CALL(&p, READ, in_stream, 100);
	assert_true(is_err());
	CALL(&p, BLOCKING_WRITE, stream, PUPPET_ARGS, 5);
	assert_true(is_err());
	puppet_drop(&p, &wasi_io_streams_input_stream_resource, in_stream);
	uint32_t trailers = (uint32_t)CALL(&p, IN_FINISH, in);
	CALL(&p, GET_TRAILERS, trailers);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT), 1);
	CALL(&p, GET_TRAILERS, trailers);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT), 1);
	set_ok(new_response());
	STARTS(end(true), "HTTP/1.1 200 ");
}

// option<result<result<option<own<trailers>>, error-code>>>: some(ok(ok(none))), then some(err) for ever.
static void trailers_are_given_once_W34(void **s)
{
	begin("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
	uint32_t in = ok_handle(CONSUME, request), in_stream = ok_handle(IN_STREAM, in);
	puppet_drop(&p, &wasi_io_streams_input_stream_resource, in_stream);
	uint32_t trailers = (uint32_t)CALL(&p, IN_FINISH, in);
	CALL(&p, GET_TRAILERS, trailers);
	assert_int_equal(puppet_peek(&p, PUPPET_RESULT), 0);  // the body has not ended
	assert_int_equal(write(client, "hello", 5), 5);
	for (int i = 0; i < 1000 && !puppet_peek(&p, PUPPET_RESULT); i++) {
		loop_run_once(loop, MILLISECOND);
		CALL(&p, GET_TRAILERS, trailers);
	}
	const uint32_t tags[] = {0, 8, 16, 24}, given[] = {1, 0, 0, 0};
	for (size_t i = 0; i < ARRAY_LEN(tags); i++)
		assert_int_equal(puppet_peek(&p, PUPPET_RESULT + tags[i]), given[i]);
	for (int again = 0; again < 2; again++) {
		CALL(&p, GET_TRAILERS, trailers);
		assert_true(puppet_peek(&p, PUPPET_RESULT) == 1 && puppet_peek(&p, PUPPET_RESULT + 8) == 1);
	}
	set_ok(new_response());
	STARTS(end(true), "HTTP/1.1 200 ");
}

static void a_client_that_goes_closes_the_streams(void **s)
{
	begin("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nhello");
	uint32_t in = ok_handle(CONSUME, request), in_stream = ok_handle(IN_STREAM, in);
	uint32_t response = new_response(), body = ok_handle(RESPONSE_BODY, response), stream = ok_handle(OUT_STREAM, body);
	set_ok(response);
	close(client);
	client = -1;
	for (int i = 0; i < 1000 && !call.flow.cancelled; i++)
		loop_run_once(loop, MILLISECOND);
	assert_true(call.flow.cancelled);
	CALL(&p, BLOCKING_READ, in_stream, 100);
	CALL(&p, BLOCKING_READ, in_stream, 100);
	assert_true(is_err());
	static const char *const writes[] = {CHECK_WRITE, BLOCKING_FLUSH, FLUSH, CHECK_WRITE};  // a guest ends itself for another error (W13)
	for (size_t i = 0; i < 2 * ARRAY_LEN(writes); i++) {
		CALL(&p, writes[i / 2], stream);
		assert_true(is_err() && puppet_peek(&p, PUPPET_RESULT + (i / 2 % 3 ? 4 : 8)) == WASI_IO_STREAMS_STREAM_ERROR_CLOSED);
	}
	CALL(&p, BLOCKING_WRITE, stream, PUPPET_ARGS, 5);
	assert_true(is_err() && puppet_peek(&p, PUPPET_RESULT + 4) == WASI_IO_STREAMS_STREAM_ERROR_CLOSED);
	wasi_http_end(&call, true, 500);
}

// ---- fields ----------------------------------------------------------------------------------------------------------------------------------

static void a_request_has_a_path_a_scheme_and_an_authority_W26_W28(void **s)
{
	static const char *const rows[][3] = {{"GET /p?q HTTP/1.1\r\nHost: Shop.example:80\r\n", "/p?q", "Shop.example:80"},
		{"GET http://b:1?q HTTP/1.1\r\nHost: b:1\r\n", "/?q", "b:1"}, {"GET http://b HTTP/1.1\r\nHost: b\r\n", "/", "b"},
		{"GET / HTTP/1.0\r\n", "/", "localhost"}};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[512];
		snprintf(text, sizeof text, "%sX: 1\r\nConnection: keep-alive, y\r\nKeep-Alive: 5\r\nProxy-Connection: close\r\nTE: trailers\r\nUpgrade: z\r\nX: 1\r\n\r\n",
			rows[i][0]);
		begin(text);
		CALL(&p, PATH, request);
		assert_true(puppet_peek(&p, PUPPET_RESULT) == 1 && text_is(PUPPET_RESULT + 4, rows[i][1]));
		CALL(&p, SCHEME, request);
		assert_true(puppet_peek(&p, PUPPET_RESULT) == 1 && puppet_peek(&p, PUPPET_RESULT + 4) == WASI_HTTP_TYPES_SCHEME_HTTP);
		CALL(&p, AUTHORITY, request);
		assert_true(puppet_peek(&p, PUPPET_RESULT) == 1 && text_is(PUPPET_RESULT + 4, rows[i][2]));
		uint32_t fields = (uint32_t)CALL(&p, REQUEST_HEADERS, request);
		assert_int_equal(entries(fields, 0, "x", "1"), 2);
		assert_int_equal(entries(fields, 1, "x", "1"), 2);
		append(fields, SLICE_LIT("a"), SLICE_LIT("b"));
		assert_true(is_err());
		end(false);
		close(client);
		client = -1;
		turn();
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_one, close_one)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_response_is_set_and_its_body_written),
		TEST(a_response_set_twice_traps),
		TEST(a_response_that_was_never_set_is_a_500),
		TEST(an_error_for_a_response_is_a_500_and_its_body_closed),
		TEST(a_body_is_given_once),
		TEST(a_body_finished_twice_traps),
		TEST(a_body_finished_under_its_stream_traps),
		TEST(a_body_read_to_its_trailers_under_its_stream_traps),
		TEST(a_splice_moves_all_the_pieces_that_are_there),
		TEST(a_splice_moves_no_more_than_its_output_has_room_for),
		TEST(the_body_of_a_response_that_was_dropped_is_closed),
		TEST(the_body_of_a_response_that_could_not_be_sent_is_closed),
		TEST(the_body_of_a_request_that_was_dropped_is_closed),
		TEST(more_than_was_announced_is_no_clean_end),
		TEST(less_than_was_announced_is_no_clean_end),
		TEST(a_body_that_was_never_sent_is_held_to_its_length_too),
		TEST(the_insecure_seed_stays_with_the_instance),
		TEST(a_status_is_from_200_to_599),
		TEST(streams_outlive_their_parents),
		TEST(a_head_that_is_full_has_room_for_fields_of_the_host),
		TEST(headers_of_a_response_outlive_it_and_can_not_be_changed),
		TEST(the_request_of_a_call_that_is_over_traps),
		TEST(a_response_for_a_call_that_is_over_goes_nowhere),
		TEST(bodies_of_a_call_that_is_over_are_at_their_end),
		TEST(trailers_are_given_once_W34),
		TEST(a_client_that_goes_closes_the_streams),
		TEST(a_request_has_a_path_a_scheme_and_an_authority_W26_W28),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
