// Spans on their way to a collector: a socket of ours, which answers as each test says.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/loop.h"
#include "obs/obs.h"

// One connection a request, as its answers say; statuses by turns, the last for good.
static struct {
	int fd;
	char url[64];
	pthread_t thread;
	const int *statuses;
	unsigned n, taken;      // requests
	size_t bytes;           // of bodies
	char head[2048];        // of the last
	uint8_t body[1 << 20];  // likewise
} collector;
static struct loop_pool *names;
static char warned[512];

static size_t receive(int fd)
{
	size_t n = 0, want = SIZE_MAX;
	char *end = NULL;
	static uint8_t in[1 << 21];
	while (n < want) {
		ssize_t got = recv(fd, in + n, sizeof in - 1 - n, 0);
		if (got <= 0)
			return 0;
		n += (size_t)got;
		in[n] = 0;
		if (!end && (end = strstr((char *)in, "\r\n\r\n"))) {
			const char *length = strcasestr((char *)in, "content-length: ");
			want = (size_t)(end + 4 - (char *)in) + strtoul(length ? length + 16 : "0", NULL, 10);
		}
	}
	size_t head = (size_t)(end + 4 - (char *)in);
	snprintf(collector.head, sizeof collector.head, "%.*s", (int)head, in);
	memcpy(collector.body, in + head, min_u64(n - head, sizeof collector.body));
	collector.bytes = n - head;
	return n;
}

static void *collect(void *arg)
{
	for (;;) {
		char answer[128];
		int fd = accept(collector.fd, NULL, NULL);
		if (fd < 0)
			return NULL;
		if (receive(fd)) {
			unsigned i = collector.taken < collector.n ? collector.taken : collector.n - 1;
			int n = snprintf(answer, sizeof answer, "HTTP/1.1 %d X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", collector.statuses[i]);
			__atomic_add_fetch(&collector.taken, 1, __ATOMIC_RELEASE);
			(void)!send(fd, answer, (size_t)n, MSG_NOSIGNAL);
		}
		close(fd);
	}
}

static int setup(void **state)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof in;
	collector.taken = 0;
	warned[0] = 0;
	collector.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(collector.fd, (struct sockaddr *)&in, sizeof in), 0);
	assert_int_equal(getsockname(collector.fd, (struct sockaddr *)&in, &len), 0);
	snprintf(collector.url, sizeof collector.url, "http://127.0.0.1:%u", ntohs(in.sin_port));
	assert_true(loop_pool_new(&names, 2, 10, NULL));
	return 0;
}

static void listen_and_answer(const int *statuses, unsigned n)
{
	collector.statuses = statuses;
	collector.n = n;
	assert_int_equal(listen(collector.fd, 16), 0);
	assert_int_equal(pthread_create(&collector.thread, NULL, collect, NULL), 0);
}

static int teardown(void **state)
{
	shutdown(collector.fd, SHUT_RDWR);
	if (collector.thread)
		pthread_join(collector.thread, NULL);
	collector.thread = 0;
	close(collector.fd);
	loop_pool_free(names);
	return 0;
}

static void on_warn(void *ctx, const char *text)
{
	snprintf(warned, sizeof warned, "%s", text);
}

static struct obs *open_obs(unsigned threads)
{
	struct obs_config c = {.url = collector.url, .version = "1.2", .names = names, .threads = threads, .warn = on_warn};
	struct err e = {0};
	struct obs *o = NULL;
	assert_true(obs_open(&c, &o, &e));
	return o;
}

static const struct obs_context self = {.trace = {1, 2, 3}, .span = 4, .sampled = true};

static void send_one(struct obs *o, unsigned thread)
{
	static struct obs_span s;
	obs_span_init(&s, &self, 0, OBS_SERVER, SLICE_LIT("app"), SLICE_LIT("GET /"), SECOND);
	obs_span_number(&s, "n", 300);
	obs_span_text(&s, "text", SLICE_LIT("a \xff b"));
	obs_send(o, thread, &s);
}

static void wait_for(const struct obs *o, uint64_t sent, uint64_t failed)
{
	for (unsigned i = 0; i < 6000; i++) {
		struct obs_counts n = obs_counts(o);
		if (n.sent == sent && n.failed == failed)
			return;
		usleep(5000);
	}
	struct obs_counts n = obs_counts(o);
	fail_msg("sent %llu, failed %llu", (unsigned long long)n.sent, (unsigned long long)n.failed);
}

static bool body_has(const void *bytes, size_t n)
{
	return memmem(collector.body, collector.bytes, bytes, n) != NULL;
}

static void what_is_sent_is_one_request_of_otlp(void **state)
{
	static const int ok[] = {200};
	struct obs *o = open_obs(2);
	listen_and_answer(ok, 1);
	send_one(o, 0);
	send_one(o, 1);
	wait_for(o, 2, 0);
	assert_int_equal(collector.taken, 1);
	assert_non_null(strstr(collector.head, "POST /v1/traces HTTP/1.1\r\n"));
	assert_non_null(strstr(collector.head, "application/x-protobuf"));
	assert_non_null(strstr(collector.head, "tenon/1.2"));
	static const uint8_t id[] = {0x0a, 16, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12, 8, 0, 0, 0, 0, 0, 0, 0, 4};
	static const uint8_t text[] = {0x0a, 4, 't', 'e', 'x', 't', 0x12, 7, 0x0a, 5, 'a', ' ', '?', ' ', 'b'};
	static const uint8_t number[] = {0x0a, 1, 'n', 0x12, 3, 0x18, 0xac, 0x02};
	assert_true(body_has(id, sizeof id));
	assert_true(body_has(text, sizeof text));
	assert_true(body_has(number, sizeof number));
	obs_close(o, SECOND);
}

static void one_that_is_too_busy_is_asked_again(void **state)
{
	static const int busy_first[] = {503, 200};
	struct obs *o = open_obs(1);
	listen_and_answer(busy_first, 2);
	send_one(o, 0);
	wait_for(o, 1, 0);
	assert_int_equal(collector.taken, 2);
	assert_non_null(strstr(warned, "it answers 503"));
	obs_close(o, SECOND);
}

static void what_one_refuses_is_given_up(void **state)
{
	static const int refuses_first[] = {400, 202};
	struct obs *o = open_obs(1);
	listen_and_answer(refuses_first, 2);
	send_one(o, 0);
	wait_for(o, 0, 1);
	send_one(o, 0);
	wait_for(o, 1, 1);
	assert_int_equal(collector.taken, 2);
	obs_close(o, SECOND);
}

static void where_nobody_listens_nobody_is_held_up_and_what_finds_no_room_is_lost(void **state)
{
	struct obs *o = open_obs(1);
	for (unsigned i = 0; i < 5000; i++)
		send_one(o, 0);
	struct obs_counts n = obs_counts(o);
	assert_in_range(n.lost, 5000 - 2 * 1024, 5000 - 1024);
	obs_close(o, SECOND / 10);
	assert_non_null(strstr(warned, "traces are not taken by"));
}

static void what_is_there_at_the_end_is_sent_first(void **state)
{
	static const int ok[] = {200};
	struct obs *o = open_obs(3);
	listen_and_answer(ok, 1);
	for (unsigned i = 0; i < 900; i++)
		send_one(o, i % 3);
	obs_close(o, 60 * SECOND);
	assert_in_range(collector.taken, 2, 900);
}

static void a_place_that_is_none_is_refused(void **state)
{
	static const char *const wrong[] = {"", "localhost:4318", "ftp://a", "http://", "http:///x", "http://a:99999", "http://a b", "http://user@a", "http://a/x y", "http://a/x#y"},
							 *const right[] = {"http://a", "http://127.0.0.1:4318", "https://[::1]:4318/", "https://a.example/otlp/v1/traces?x=1"};
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct err e = {0};
		assert_false(obs_check_url(wrong[i], &e));
		assert_int_equal(e.code, ERR_USAGE);
	}
	for (size_t i = 0; i < ARRAY_LEN(right); i++) {
		struct err e = {0};
		assert_true(obs_check_url(right[i], &e));
	}
}

static void what_is_too_much_for_a_span_is_cut_at_a_character(void **state)
{
	static struct obs_span s;
	char big[3001];
	for (unsigned i = 0; i < 1000; i++)
		memcpy(big + 3 * i, "\xe2\x80\xa6", 3);
	obs_span_init(&s, &self, 0, OBS_SERVER, SLICE_LIT("app"), SLICE_LIT("n"), 0);
	obs_span_text(&s, "a", slice_of(big, 3000));
	obs_span_text(&s, "b", slice_of(big, 3000));
	for (unsigned i = 0; i < 20; i++)
		obs_span_number(&s, "c", i);
	assert_int_equal(s.facts[0].text.len, 1020);
	assert_int_equal(s.facts[1].text.len, 0);
	assert_int_equal(s.n_facts, OBS_FACTS_MAX);
	assert_in_range(s.len, 1020, OBS_TEXT_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_sent_is_one_request_of_otlp, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_is_too_busy_is_asked_again, setup, teardown),
		cmocka_unit_test_setup_teardown(what_one_refuses_is_given_up, setup, teardown),
		cmocka_unit_test_setup_teardown(where_nobody_listens_nobody_is_held_up_and_what_finds_no_room_is_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_there_at_the_end_is_sent_first, setup, teardown),
		cmocka_unit_test(a_place_that_is_none_is_refused),
		cmocka_unit_test(what_is_too_much_for_a_span_is_cut_at_a_character),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
