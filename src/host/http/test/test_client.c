// Requests that go out, against a peer that says what each test has it say: answers of all kinds, whole and byte by byte; failures and when they are told;
// connections that are used again.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "http/http.h"
#include "sys/sys.h"

#define MS UINT64_C(1000000)

static struct loop *loop;
static struct loop_pool *names;
static struct http_client *client;
static int listener;
static char authority[32];

// One request and what became of it.
struct asked {
	struct http_exchange *x;
	bool head, readable, writable, over;
	enum http_failure failure;
	char body[1 << 17];
	size_t len;
	enum http_read end;
};
static bool deny_all;
static int says_before = -1;  // on which the peer says something just before a request leaves
static struct asked asked;

static bool may_connect(void *user, const struct http_address *a)
{
	static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
	if (says_before >= 0)
		assert_int_equal(send(says_before, text, sizeof text - 1, 0), sizeof text - 1);
	says_before = -1;
	return !deny_all;
}

static void on_head(void *user, struct http_exchange *x)
{
	((struct asked *)user)->head = true;
}

static void on_readable(void *user, struct http_exchange *x)
{
	((struct asked *)user)->readable = true;
}

static void on_writable(void *user, struct http_exchange *x)
{
	((struct asked *)user)->writable = true;
}

static void on_cancel(void *user, struct http_exchange *x, enum http_cancel why)
{
	struct asked *a = user;
	a->over = true;
	a->failure = http_exchange_failure(x);
}

static void turn(void)
{
	loop_run_once(loop, 2 * MS);
}

static int setup(void **state)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof in;
	struct http_client_limits limits = http_client_limits_default;
	listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&in, sizeof in), 0);
	assert_int_equal(listen(listener, 16), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&in, &len), 0);
	snprintf(authority, sizeof authority, "127.0.0.1:%u", ntohs(in.sin_port));
	assert_true(loop_new(&loop, NULL) && loop_pool_new(&names, 2, 10, NULL) && http_client_new(loop, names, &limits, &client, NULL));
	deny_all = false;
	return 0;
}

static int teardown(void **state)
{
	http_client_free(client);
	loop_pool_free(names);
	loop_free(loop);
	close(listener);
	sys_net = sys_net_real;
	return 0;
}

static const struct http_exchange_ops ops = {on_head, on_readable, on_writable, on_cancel};

static enum http_failure begin(struct http_outgoing_request r)
{
	enum http_failure why;
	asked = (struct asked){0};
	if (!r.method.len)
		r.method = SLICE_LIT("GET");
	if (!r.authority.len)
		r.authority = slice_str(authority);
	if (!r.target.len)
		r.target = SLICE_LIT("/");
	r.may_connect = may_connect;
	r.ops = &ops;
	r.user = &asked;
	return http_client_send(client, &r, &asked.x, &why) ? HTTP_FAILURE_NONE : why;
}

static void ask(struct http_outgoing_request r)
{
	assert_int_equal(begin(r), HTTP_FAILURE_NONE);
	assert_true(http_body_finish(asked.x, NULL, 0));
}

static int peer(void)
{
	struct pollfd p = {.fd = listener, .events = POLLIN};
	for (int i = 0; i < 2000 && poll(&p, 1, 0) == 0; i++)
		turn();
	assert_int_equal(poll(&p, 1, 0), 1);
	int fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	return fd;
}

// What the peer has got, once `end` is in it.
static const char *heard(int fd, const char *end)
{
	static char text[1 << 18];
	size_t len = 0;
	text[0] = 0;
	for (int i = 0; i < 5000 && !strstr(text, end); i++) {
		ssize_t n = recv(fd, text + len, sizeof text - 1 - len, MSG_DONTWAIT);
		if (n > 0)
			len += (size_t)n;
		text[len] = 0;
		turn();
	}
	assert_non_null(strstr(text, end));
	return text;
}

static void say(int fd, const char *text, size_t piece)
{
	size_t len = strlen(text);
	for (size_t at = 0; at < len; at += piece) {
		size_t n = min_u64(piece, len - at);
		if (send(fd, text + at, n, MSG_NOSIGNAL) < 0)
			return;
		if (piece < len)
			turn();
	}
}

static void read_all(void)
{
	for (int i = 0; i < 5000 && !asked.over; i++) {
		size_t n;
		if (asked.head) {
			asked.end = http_body_read(asked.x, asked.body + asked.len, sizeof asked.body - 1 - asked.len, &n);
			asked.len += n;
			if (asked.end == HTTP_READ_END)
				return;
			if (asked.end == HTTP_READ_DATA)
				continue;
		}
		turn();
	}
}

static void let_go(void)
{
	http_exchange_release(asked.x);
	turn();
}

// ---- answers -----------------------------------------------------------------------------------------------------------------------

static const struct answer {
	const char *method, *text;
	bool end;  // the peer ends its side behind it
	unsigned status;
	const char *body;
	enum http_failure failure;
} answers[] = {
	{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, 200, "hello", 0},
	{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", false, 200, "hello", 0},
	{"GET", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", false, 200, "", 0},
	{"GET", "HTTP/1.1 599 \x80\r\nContent-Length: 1\r\n\r\nx", false, 599, "x", 0},
	{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;a=b\r\n!\r\n0\r\n\r\n", false, 200, "hello!", 0},
	{"GET", "HTTP/1.1 200 OK\r\n\r\nuntil the end", true, 200, "until the end", 0},
	{"GET", "HTTP/1.0 200 OK\r\n\r\nuntil the end", true, 200, "until the end", 0},
	{"GET", "HTTP/1.1 200 OK\r\n\r\n", true, 200, "", 0},
	{"GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", false, 200, "x", 0},
	{"GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", false, 204, "", 0},
	{"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", false, 304, "", 0},
	{"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false, 200, "", 0},
	{"HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false, 200, "", 0},
	{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more", false, 200, "hello", 0},
	// The head.
	{"GET", "", true, 0, "", HTTP_FAILURE_CONNECTION_TERMINATED},
	{"GET", "HTTP/1.1 200 OK\r\nContent-Le", true, 0, "", HTTP_FAILURE_HTTP_RESPONSE_INCOMPLETE},
	{"GET", "HTTP/1.1 100 Continue\r\n\r\n", true, 0, "", HTTP_FAILURE_HTTP_RESPONSE_INCOMPLETE},
	{"GET", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", false, 0, "", HTTP_FAILURE_HTTP_UPGRADE_FAILED},
	{"GET", "SSH-2.0-OpenSSH_9.2\r\n", false, 0, "", HTTP_FAILURE_HTTP_PROTOCOL_ERROR},
	{"GET", "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", false, 0, "", HTTP_FAILURE_HTTP_PROTOCOL_ERROR},
	{"GET", "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, 0, "", HTTP_FAILURE_HTTP_PROTOCOL_ERROR},
	{"GET", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", false, 0, "", HTTP_FAILURE_HTTP_PROTOCOL_ERROR},
	{"GET", "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n", false, 0, "", HTTP_FAILURE_HTTP_PROTOCOL_ERROR},
	{"GET", "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", false, 0, "", HTTP_FAILURE_HTTP_PROTOCOL_ERROR},
	{"GET", "HTTP/1.1 200 OK\r\nA : b\r\n\r\n", false, 0, "", HTTP_FAILURE_HTTP_PROTOCOL_ERROR},
	{"GET", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", false, 0, "", HTTP_FAILURE_HTTP_PROTOCOL_ERROR},
	// The framing.
	{"GET", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello", false, 0, "", HTTP_FAILURE_HTTP_PROTOCOL_ERROR},
	{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello", false, 0, "", HTTP_FAILURE_HTTP_PROTOCOL_ERROR},
	{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", false, 0, "", HTTP_FAILURE_HTTP_PROTOCOL_ERROR},
	{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false, 0, "", HTTP_FAILURE_HTTP_PROTOCOL_ERROR},
	{"GET", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false, 0, "", HTTP_FAILURE_HTTP_PROTOCOL_ERROR},
	{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", false, 0, "", HTTP_FAILURE_HTTP_RESPONSE_TRANSFER_CODING},
	// The body.
	{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nbye", true, 200, "bye", HTTP_FAILURE_HTTP_RESPONSE_INCOMPLETE},
	{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", true, 200, "hello", HTTP_FAILURE_HTTP_RESPONSE_INCOMPLETE},
	{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", true, 200, "hello", HTTP_FAILURE_HTTP_RESPONSE_INCOMPLETE},
	{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX", false, 200, "hello", HTTP_FAILURE_HTTP_PROTOCOL_ERROR},
	{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\n", false, 0, "", HTTP_FAILURE_HTTP_PROTOCOL_ERROR},
	{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA : b\r\n\r\n", false, 0, "", HTTP_FAILURE_HTTP_PROTOCOL_ERROR},
};

// A body that is malformed where it begins may be found so before the head was told: then there is none.
static void check_answer(const struct answer *a, size_t piece)
{
	ask((struct http_outgoing_request){.method = slice_str(a->method)});
	int fd = peer();
	heard(fd, "\r\n\r\n");
	say(fd, a->text, piece);
	if (a->end)
		shutdown(fd, SHUT_WR);
	read_all();
	if (asked.failure != a->failure || strcmp(asked.body, a->body) != 0 || (a->status && http_exchange_answer(asked.x)->status != a->status))
		fail_msg("%s in pieces of %zu: %s, %s", a->text, piece, http_failure_text(asked.failure), asked.body);
	assert_true(a->failure || asked.end == HTTP_READ_END);
	let_go();
	close(fd);
	for (int i = 0; i < 3; i++)
		turn();
}

static void an_answer_is_understood_in_one_way_however_it_comes(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		check_answer(&answers[i], 1 << 20);
		check_answer(&answers[i], 1);
	}
}

static void trailers_of_an_answer_are_there_at_its_end(void **state)
{
	uint32_t n;
	ask((struct http_outgoing_request){0});
	int fd = peer();
	heard(fd, "\r\n\r\n");
	say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nA: b\r\nContent-Length: 7\r\n\r\n", 1 << 20);
	read_all();
	const struct http_field *t = http_body_trailers(asked.x, &n);
	assert_int_equal(n, 1);
	assert_true(slice_eq_str(t[0].name, "A") && slice_eq_str(t[0].value, "b"));
	let_go();
	close(fd);
}

static void a_head_is_at_most_64_kib_and_128_fields(void **state)
{
	static char text[80000];
	for (int over = 0; over < 2; over++) {
		ask((struct http_outgoing_request){0});
		int fd = peer(), n = snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: ");
		memset(text + n, 'x', (size_t)(HTTP_HEAD_MAX - n - 4 + over));
		snprintf(text + HTTP_HEAD_MAX - 4 + over, 5, "\r\n\r\n");
		heard(fd, "\r\n\r\n");
		say(fd, text, 1 << 20);
		read_all();
		assert_int_equal(asked.failure, over ? HTTP_FAILURE_HTTP_RESPONSE_HEADER_SECTION_SIZE : HTTP_FAILURE_NONE);
		let_go();
		close(fd);
	}
	for (int over = 0; over < 2; over++) {
		ask((struct http_outgoing_request){0});
		int fd = peer(), n = snprintf(text, sizeof text, "HTTP/1.1 204 OK\r\n");
		for (int i = 0; i < HTTP_FIELDS_MAX + over; i++)
			n += snprintf(text + n, sizeof text - (size_t)n, "A: b\r\n");
		snprintf(text + n, 3, "\r\n");
		heard(fd, "\r\n\r\n");
		say(fd, text, 1 << 20);
		read_all();
		assert_int_equal(asked.failure, over ? HTTP_FAILURE_HTTP_RESPONSE_HEADER_SECTION_SIZE : HTTP_FAILURE_NONE);
		let_go();
		close(fd);
	}
}

static void answers_before_the_final_one_have_an_end(void **state)
{
	ask((struct http_outgoing_request){0});
	int fd = peer();
	heard(fd, "\r\n\r\n");
	for (int i = 0; i < 20; i++)
		say(fd, "HTTP/1.1 103 Early Hints\r\n\r\n", 1 << 20);
	read_all();
	assert_int_equal(asked.failure, HTTP_FAILURE_HTTP_PROTOCOL_ERROR);
	let_go();
	close(fd);
}

// ---- requests ----------------------------------------------------------------------------------------------------------------------

static void a_body_that_is_whole_before_it_leaves_has_its_length(void **state)
{
	static const struct {
		const char *method, *body, *end, *framing;
	} cases[] = {
		{"POST", "hello", "hello", "Content-Length: 5\r\n\r\nhello"},
		{"POST", "", "\r\n\r\n", "Content-Length: 0\r\n\r\n"},
		{"GET", "", "\r\n\r\n", "Connection: TE\r\n\r\n"},
		{"DELETE", "", "\r\n\r\n", "Connection: TE\r\n\r\n"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(begin((struct http_outgoing_request){.method = slice_str(cases[i].method)}), 0);
		assert_int_equal(http_body_write(asked.x, slice_str(cases[i].body)), HTTP_WRITE_OK);
		assert_true(http_body_finish(asked.x, NULL, 0));
		int fd = peer();
		assert_non_null(strstr(heard(fd, cases[i].end), cases[i].framing));
		let_go();
		close(fd);
	}
}

static void a_body_that_comes_later_goes_in_chunks_with_its_trailers(void **state)
{
	struct http_field trailer = {SLICE_LIT("a"), SLICE_LIT("b")};
	assert_int_equal(begin((struct http_outgoing_request){.method = SLICE_LIT("POST")}), 0);
	int fd = peer();
	assert_int_equal(http_body_write(asked.x, SLICE_LIT("hello")), HTTP_WRITE_OK);
	heard(fd, "hello");
	assert_true(http_body_finish(asked.x, &trailer, 1));
	heard(fd, "0\r\na: b\r\n\r\n");
	let_go();
	close(fd);
	assert_int_equal(begin((struct http_outgoing_request){.method = SLICE_LIT("POST")}), 0);
	assert_int_equal(http_body_write(asked.x, SLICE_LIT("hello")), HTTP_WRITE_OK);
	assert_true(http_body_finish(asked.x, &trailer, 1));
	fd = peer();
	assert_non_null(strstr(heard(fd, "0\r\na: b\r\n\r\n"), "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"));
	let_go();
	close(fd);
}

static void a_body_is_as_long_as_was_announced_or_the_request_is_cut(void **state)
{
	struct http_field length = {SLICE_LIT("content-length"), SLICE_LIT("5")};
	assert_int_equal(begin((struct http_outgoing_request){.method = SLICE_LIT("POST"), .fields = &length, .n = 1}), 0);
	assert_int_equal(http_body_write(asked.x, SLICE_LIT("hello!")), HTTP_WRITE_TOO_LONG);
	assert_int_equal(http_body_write(asked.x, SLICE_LIT("bye")), HTTP_WRITE_OK);
	int fd = peer();
	heard(fd, "Content-Length: 5\r\n\r\nbye");
	assert_false(http_body_finish(asked.x, NULL, 0));
	char more[8];
	turn();
	assert_true(recv(fd, more, sizeof more, 0) <= 0);
	let_go();
	close(fd);
}

// The kernel's buffers, and a window: how much that is.
static size_t write_until_full(void)
{
	static uint8_t some[HTTP_WINDOW];
	size_t total = 0, n;
	for (int i = 0; i < 2000; i++) {
		while ((n = http_body_permit(asked.x)) > 0) {
			assert_int_equal(http_body_write(asked.x, slice_of(some, n)), HTTP_WRITE_OK);
			total += n;
		}
		turn();
		if (i > 50 && http_body_permit(asked.x) == 0)
			break;
	}
	return total;
}

static void a_peer_that_takes_nothing_stops_the_writer(void **state)
{
	assert_int_equal(begin((struct http_outgoing_request){.method = SLICE_LIT("POST")}), 0);
	int fd = peer();
	size_t total = write_until_full();
	assert_int_equal(http_body_permit(asked.x), 0);
	assert_true(total < 64 << 20);
	// What the peer says meanwhile is heard, also when it takes nothing any more.
	say(fd, "HTTP/1.1 413 Too Large\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx", 1 << 20);
	read_all();
	assert_int_equal(http_exchange_answer(asked.x)->status, 413);
	assert_string_equal(asked.body, "x");
	let_go();
	close(fd);
}

static void what_is_malformed_is_not_sent(void **state)
{
	struct http_field bad[] = {{SLICE_LIT("a"), SLICE_LIT("b\r\nc: d")}, {SLICE_LIT("host"), SLICE_LIT("b")}, {SLICE_LIT("transfer-encoding"), SLICE_LIT("chunked")}};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(begin((struct http_outgoing_request){.fields = &bad[i], .n = 1}), HTTP_FAILURE_HTTP_REQUEST_HEADER_SECTION_SIZE);
	assert_int_equal(begin((struct http_outgoing_request){.method = SLICE_LIT("GE T")}), HTTP_FAILURE_HTTP_REQUEST_METHOD_INVALID);
	assert_int_equal(begin((struct http_outgoing_request){.method = SLICE_LIT("CONNECT")}), HTTP_FAILURE_HTTP_REQUEST_METHOD_INVALID);
	static const char *const targets[] = {"x", "/a b", "/a#b", "*", "/\r\n"};
	for (size_t i = 0; i < ARRAY_LEN(targets); i++)
		assert_int_equal(begin((struct http_outgoing_request){.target = slice_str(targets[i])}), HTTP_FAILURE_HTTP_REQUEST_URI_INVALID);
	static const char *const hosts[] = {"user@a", "a:b", "a:0", "a:65536", "[::1", ":80", "a b", "a%00"};
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
		assert_int_equal(begin((struct http_outgoing_request){.authority = slice_str(hosts[i])}), HTTP_FAILURE_HTTP_REQUEST_URI_INVALID);
}

// ---- connections -------------------------------------------------------------------------------------------------------------------

static void answer_well(int fd)
{
	heard(fd, "\r\n\r\n");
	say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 1 << 20);
	read_all();
	assert_string_equal(asked.body, "ok");
	let_go();
}

static void a_connection_is_used_again_by_the_same_tenant(void **state)
{
	ask((struct http_outgoing_request){.tenant = 1});
	int fd = peer();
	answer_well(fd);
	ask((struct http_outgoing_request){.tenant = 1});
	answer_well(fd);
	ask((struct http_outgoing_request){.tenant = 2});
	int another = peer();
	answer_well(another);
	close(fd);
	close(another);
}

static void a_connection_that_brought_too_much_is_not_used_again(void **state)
{
	ask((struct http_outgoing_request){0});
	int fd = peer();
	heard(fd, "\r\n\r\n");
	say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", 1 << 20);
	read_all();
	assert_string_equal(asked.body, "ok");
	let_go();
	ask((struct http_outgoing_request){0});
	int another = peer();
	answer_well(another);
	close(fd);
	close(another);
}

// RFC 9112, 9.2: what came before the request was sent is no answer to it.
static void what_an_idle_connection_says_is_no_answer(void **state)
{
	ask((struct http_outgoing_request){0});
	int fd = peer();
	answer_well(fd);
	says_before = fd;
	ask((struct http_outgoing_request){.method = SLICE_LIT("POST")});
	int another = peer();
	answer_well(another);
	close(fd);
	close(another);
}

// U5: the peer has closed what was idle; a request that nobody has begun to answer is sent anew, once, if it may be sent twice.
static void a_stale_connection_costs_an_idempotent_request_nothing(void **state)
{
	ask((struct http_outgoing_request){0});
	int fd = peer();
	answer_well(fd);
	ask((struct http_outgoing_request){.method = SLICE_LIT("PUT")});
	heard(fd, "\r\n\r\n");
	close(fd);
	fd = peer();
	answer_well(fd);
	ask((struct http_outgoing_request){0});
	heard(fd, "\r\n\r\n");
	close(fd);
	fd = peer();
	heard(fd, "\r\n\r\n");
	close(fd);
	read_all();
	assert_int_equal(asked.failure, HTTP_FAILURE_CONNECTION_TERMINATED);
	let_go();
}

static void a_request_that_may_not_be_sent_twice_is_not(void **state)
{
	ask((struct http_outgoing_request){0});
	int fd = peer();
	answer_well(fd);
	ask((struct http_outgoing_request){.method = SLICE_LIT("POST")});
	heard(fd, "\r\n\r\n");
	close(fd);
	read_all();
	assert_int_equal(asked.failure, HTTP_FAILURE_CONNECTION_TERMINATED);
	let_go();
	struct pollfd p = {.fd = listener, .events = POLLIN};
	assert_int_equal(poll(&p, 1, 20), 0);
}

// ---- time, and ways to fail ----------------------------------------------------------------------------------------------------------

static void each_time_out_has_its_failure(void **state)
{
	ask((struct http_outgoing_request){.first_byte_ns = 30 * MS});
	int fd = peer();
	read_all();
	assert_int_equal(asked.failure, HTTP_FAILURE_HTTP_RESPONSE_TIMEOUT);
	let_go();
	close(fd);
	ask((struct http_outgoing_request){.between_ns = 30 * MS});
	fd = peer();
	heard(fd, "\r\n\r\n");
	say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nbye", 1 << 20);
	read_all();
	assert_int_equal(asked.failure, HTTP_FAILURE_CONNECTION_READ_TIMEOUT);
	let_go();
	close(fd);
	size_t n;
	ask((struct http_outgoing_request){.between_ns = 30 * MS});
	fd = peer();
	heard(fd, "\r\n\r\n");
	say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 1 << 20);
	while (!asked.head)
		turn();
	assert_int_equal(http_body_read(asked.x, asked.body, sizeof asked.body, &n), HTTP_READ_AGAIN);
	say(fd, "5", 1 << 20);  // the beginning of a chunk's size, of which nothing can be read
	for (int i = 0; i < 1000 && !asked.over; i++)
		turn();
	assert_int_equal(asked.failure, HTTP_FAILURE_CONNECTION_READ_TIMEOUT);
	let_go();
	close(fd);
}

// In the middle of a chunk's size, of a trailer, of data: nothing of it is left to be read, and whoever waits for more is told.
static void who_waits_for_more_hears_of_a_reset(void **state)
{
	static const char *const texts[] = {"1", "1\r\nx\r\n0\r\nA: b", "2\r\nx"};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct linger hard = {.l_onoff = 1};
		ask((struct http_outgoing_request){0});
		int fd = peer();
		heard(fd, "\r\n\r\n");
		say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 1 << 20);
		say(fd, texts[i], 1 << 20);
		size_t n;
		while (!asked.head || http_body_read(asked.x, asked.body, sizeof asked.body, &n) == HTTP_READ_DATA)
			turn();
		turn();
		while (http_body_read(asked.x, asked.body, sizeof asked.body, &n) == HTTP_READ_DATA)
			;
		asked.readable = false;
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
		close(fd);
		for (int j = 0; j < 1000 && !asked.over && !asked.readable; j++)
			turn();
		assert_true(asked.over);
		assert_int_equal(asked.failure, HTTP_FAILURE_HTTP_RESPONSE_INCOMPLETE);
		let_go();
	}
}

static void who_waits_to_write_hears_when_nobody_takes_it(void **state)
{
	static const char *const texts[] = {"2\r\nok\r\n0\r\n\r\n", "2\r\nok\r\n"};
	struct http_client_limits limits = http_client_limits_default;
	limits.write_ns = 200 * MS;
	http_client_free(client);
	assert_true(http_client_new(loop, names, &limits, &client, NULL));
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		size_t n;
		assert_int_equal(begin((struct http_outgoing_request){.method = SLICE_LIT("POST")}), 0);
		int fd = peer();
		write_until_full();
		asked.writable = false;
		say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 1 << 20);
		say(fd, texts[i], 1 << 20);
		for (int j = 0; j < 2000 && !asked.writable; j++)
			turn();
		assert_true(asked.head && asked.writable && !asked.over);
		assert_int_equal(http_body_read(asked.x, asked.body, sizeof asked.body, &n), HTTP_READ_DATA);
		assert_int_equal(n, 2);
		let_go();
		close(fd);
	}
}

static void nobody_listens(void **state)
{
	close(listener);
	listener = -1;
	ask((struct http_outgoing_request){0});
	read_all();
	assert_int_equal(asked.failure, HTTP_FAILURE_CONNECTION_REFUSED);
	let_go();
}

static volatile bool slow_names;
static int resolve(const char *host, uint16_t port, bool numeric, struct sys_address *ret, uint32_t max)
{
	if (numeric)
		return sys_net_real.resolve(host, port, true, ret, max);
	while (slow_names)
		usleep(1000);
	if (strcmp(host, "none.example") == 0)
		return -ENOENT;
	if (strcmp(host, "empty.example") == 0)
		return 0;
	if (strcmp(host, "broken.example") == 0)
		return -EIO;
	return sys_net_real.resolve("127.0.0.1", port, true, ret, max);
}

static void names_are_looked_up_elsewhere_and_vetted_before_they_are_connected_to(void **state)
{
	char text[64];
	snprintf(text, sizeof text, "some.example.%s", strchr(authority, ':'));
	sys_net.resolve = resolve;
	ask((struct http_outgoing_request){.authority = slice_str(text)});
	int fd = peer();
	assert_non_null(strstr(heard(fd, "\r\n\r\n"), text));
	let_go();
	close(fd);
	static const char *const names_and_codes[][2] = {{"none.example", "NXDOMAIN"}, {"empty.example", NULL}, {"broken.example", "SERVFAIL"}};
	for (size_t i = 0; i < ARRAY_LEN(names_and_codes); i++) {
		ask((struct http_outgoing_request){.authority = slice_str(names_and_codes[i][0])});
		read_all();
		assert_int_equal(asked.failure, HTTP_FAILURE_DNS_ERROR);
		unsigned number;
		const char *detail = http_exchange_failure_detail(asked.x, &number), *want = names_and_codes[i][1];
		assert_true(want ? detail && strcmp(detail, want) == 0 : !detail);
		let_go();
	}
	deny_all = true;
	ask((struct http_outgoing_request){.authority = slice_str(text)});
	read_all();
	assert_int_equal(asked.failure, HTTP_FAILURE_DESTINATION_IP_PROHIBITED);
	let_go();
}

static void a_name_that_nobody_answers_for_ends_in_time_and_so_does_who_lets_go(void **state)
{
	slow_names = true;
	sys_net.resolve = resolve;
	ask((struct http_outgoing_request){.authority = SLICE_LIT("slow.example"), .connect_ns = 30 * MS});
	read_all();
	assert_int_equal(asked.failure, HTTP_FAILURE_DNS_TIMEOUT);
	let_go();
	ask((struct http_outgoing_request){.authority = SLICE_LIT("slow.example")});
	turn();
	let_go();
	slow_names = false;
}

enum { SILENT = 4 };
static int others[SILENT];
static unsigned n_asked;
static uint64_t asked_ns[SILENT];

static int resolve_to_many(const char *host, uint16_t port, bool numeric, struct sys_address *ret, uint32_t max)
{
	if (numeric)
		return sys_net_real.resolve(host, port, true, ret, max);
	for (uint32_t i = 0; i < SILENT; i++)
		assert_int_equal(sys_net_real.resolve("127.0.0.1", (uint16_t)(port + i), true, &ret[i], 1), 1);
	return SILENT;
}

// A socket that never says that it is connected.
static int connect_to_nobody(const struct sys_address *to)
{
	int pair[2];
	assert_true(n_asked < SILENT);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	while (write(pair[0], asked.body, sizeof asked.body) > 0)
		;
	asked_ns[n_asked] = loop_now_fresh_ns(loop);
	others[n_asked++] = pair[1];
	return pair[0];
}

// A second for all of them, not for each: had each its own, the last would be asked after three.
static void all_addresses_of_a_name_have_one_time_U6(void **state)
{
	sys_net.resolve = resolve_to_many;
	sys_net.connect = connect_to_nobody;
	ask((struct http_outgoing_request){.authority = SLICE_LIT("silent.example"), .connect_ns = 1000 * MS});
	for (int i = 0; i < 10000 && !asked.over; i++)
		turn();
	assert_int_equal(asked.failure, HTTP_FAILURE_CONNECTION_TIMEOUT);
	assert_int_equal(n_asked, SILENT);
	assert_true(asked_ns[SILENT - 1] - asked_ns[0] < 2900 * MS);
	let_go();
	for (unsigned i = 0; i < n_asked; i++)
		close(others[i]);
}

static void a_client_that_is_freed_tells_those_that_wait(void **state)
{
	ask((struct http_outgoing_request){0});
	int fd = peer();
	http_client_free(client);
	assert_true(asked.over);
	http_exchange_release(asked.x);
	close(fd);
	assert_true(http_client_new(loop, names, &http_client_limits_default, &client, NULL));
	ask((struct http_outgoing_request){0});  // it has no connection yet
	http_client_free(client);
	assert_true(asked.over);
	http_exchange_release(asked.x);
	assert_true(http_client_new(loop, names, &http_client_limits_default, &client, NULL));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_answer_is_understood_in_one_way_however_it_comes),
		TEST(trailers_of_an_answer_are_there_at_its_end),
		TEST(a_head_is_at_most_64_kib_and_128_fields),
		TEST(answers_before_the_final_one_have_an_end),
		TEST(a_body_that_is_whole_before_it_leaves_has_its_length),
		TEST(a_body_that_comes_later_goes_in_chunks_with_its_trailers),
		TEST(a_body_is_as_long_as_was_announced_or_the_request_is_cut),
		TEST(a_peer_that_takes_nothing_stops_the_writer),
		TEST(what_is_malformed_is_not_sent),
		TEST(a_connection_is_used_again_by_the_same_tenant),
		TEST(a_connection_that_brought_too_much_is_not_used_again),
		TEST(what_an_idle_connection_says_is_no_answer),
		TEST(a_stale_connection_costs_an_idempotent_request_nothing),
		TEST(a_request_that_may_not_be_sent_twice_is_not),
		TEST(each_time_out_has_its_failure),
		TEST(who_waits_for_more_hears_of_a_reset),
		TEST(who_waits_to_write_hears_when_nobody_takes_it),
		TEST(nobody_listens),
		TEST(names_are_looked_up_elsewhere_and_vetted_before_they_are_connected_to),
		TEST(a_name_that_nobody_answers_for_ends_in_time_and_so_does_who_lets_go),
		TEST(all_addresses_of_a_name_have_one_time_U6),
		TEST(a_client_that_is_freed_tells_those_that_wait),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
