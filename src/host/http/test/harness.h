// A server and its clients in one thread, over loopback: the test sends, turns the loop, and looks. What a request does is in its path.
#ifndef TENON_HTTP_TEST_HARNESS_H
#define TENON_HTTP_TEST_HARNESS_H

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

struct owner {
	struct http_exchange *x;
	struct owner *next;
	struct slice path;
	uint64_t received, left;
	bool head_done, cancelled, done, finish_ok;
	enum http_cancel why;
	enum http_read last_read;
	int readable, writable;
	enum http_write last_write;
};

static struct loop *loop;
static struct http_server *server;
static struct http_address address;
static struct owner *held;      // newest first
static int held_count, cancels;
static bool drained;

static void on_cancel(void *user, struct http_exchange *x, enum http_cancel why)
{
	struct owner *o = user;
	o->cancelled = true;
	o->why = why;
	cancels++;
}
static void on_readable(void *user, struct http_exchange *x);
static void on_writable(void *user, struct http_exchange *x);
static const struct http_exchange_ops owner_ops = {.on_readable = on_readable, .on_writable = on_writable, .on_cancel = on_cancel};

static void let_go(struct owner *o)
{
	struct owner **at = &held;
	while (*at != o)
		at = &(*at)->next;
	*at = o->next;
	held_count--;
	http_exchange_release(o->x);
	mem_free(o);
}

static void answer(struct http_exchange *x, const char *text)
{
	struct slice s = slice_str(text);
	struct err e = {0};
	if (!http_respond_head(x, 200, NULL, 0, s.len, &e)) {
		assert_int_equal(e.code, ERR_NOMEM);
		return;
	}
	if (http_body_write(x, s) == HTTP_WRITE_OK)
		(void)!http_body_finish(x, NULL, 0);
}

// Copies the request's body to the response, trailers too.
static void step_echo(struct owner *o)
{
	static uint8_t some[HTTP_WINDOW];
	struct http_exchange *x = o->x;
	if (!o->head_done) {
		o->head_done = true;
		assert_true(http_respond_head(x, 200, NULL, 0, HTTP_LENGTH_UNKNOWN, NULL));
	}
	for (;;) {
		size_t n, permit = http_body_permit(x);
		if (permit == 0)
			return;
		o->last_read = http_body_read(x, some, permit, &n);
		if (o->last_read != HTTP_READ_DATA)
			break;
		o->received += n;
		o->last_write = http_body_write(x, slice_of(some, n));
		if (o->last_write != HTTP_WRITE_OK)
			return;
	}
	if (o->last_read == HTTP_READ_END) {
		uint32_t n;
		const struct http_field *t = http_body_trailers(x, &n);
		o->done = true;
		o->finish_ok = http_body_finish(x, t, n);
		let_go(o);
	}
}

// Counts the request's body, then answers.
static void step_read(struct owner *o)
{
	struct slice data;
	while ((o->last_read = http_body_peek(o->x, &data)) == HTTP_READ_DATA) {
		o->received += data.len;
		http_body_consume(o->x, data.len);
	}
	if (o->last_read == HTTP_READ_END) {
		char text[32];
		snprintf(text, sizeof text, "got %llu", (unsigned long long)o->received);
		answer(o->x, text);
		let_go(o);
	}
}

static void step_big(struct owner *o)
{
	static const uint8_t zeros[HTTP_WINDOW];
	size_t permit;
	while (o->left && (permit = http_body_permit(o->x))) {
		size_t n = min_u64(permit, o->left);
		o->last_write = http_body_write(o->x, slice_of(zeros, n));
		if (o->last_write != HTTP_WRITE_OK)
			return;
		o->left -= n;
	}
	if (!o->left) {
		o->finish_ok = http_body_finish(o->x, NULL, 0);
		let_go(o);
	}
}

static void step(struct owner *o)
{
	if (slice_starts_with(o->path, SLICE_LIT("/echo")))
		step_echo(o);
	else if (slice_starts_with(o->path, SLICE_LIT("/read")))
		step_read(o);
	else if (slice_starts_with(o->path, SLICE_LIT("/big")))
		step_big(o);
}
static void on_readable(void *user, struct http_exchange *x)
{
	((struct owner *)user)->readable++;
	step(user);
}
static void on_writable(void *user, struct http_exchange *x)
{
	((struct owner *)user)->writable++;
	step(user);
}

static struct owner *hold(struct http_exchange *x)
{
	struct owner *o = mem_zalloc(sizeof *o);
	if (!o) {
		http_exchange_release(x);
		return NULL;
	}
	o->x = x;
	o->path = http_exchange_request(x)->target;
	o->next = held;
	held = o;
	held_count++;
	http_exchange_set_owner(x, &owner_ops, o);
	return o;
}

static void on_request(void *user, struct http_exchange *x)
{
	struct slice path = http_exchange_request(x)->target;
	if (slice_eq_str(path, "/hello")) {
		answer(x, "hello");
	} else if (slice_eq_str(path, "/nothing")) {
	} else if (slice_starts_with(path, SLICE_LIT("/status/"))) {
		uint64_t status;
		assert_true(slice_parse_u64(slice_sub(path, 8, 3), 999, &status));
		assert_true(http_respond_head(x, (unsigned)status, NULL, 0, HTTP_LENGTH_UNKNOWN, NULL));
		assert_int_equal(http_body_write(x, SLICE_LIT("body")), HTTP_WRITE_OK);
		assert_true(http_body_finish(x, NULL, 0));
	} else {
		struct owner *o = hold(x);
		if (!o)
			return;
		if (slice_starts_with(path, SLICE_LIT("/big"))) {
			o->left = 8 << 20;
			assert_true(http_respond_head(x, 200, NULL, 0, path.len > 4 ? HTTP_LENGTH_UNKNOWN : o->left, NULL));
		}
		step(o);
		return;
	}
	http_exchange_release(x);
}

UNUSED static void on_drained(void *user)
{
	drained = true;
}

static void start_server_with(struct http_server_config config)
{
	struct err e = {0};
	held = NULL;
	held_count = cancels = 0;
	drained = false;
	assert_true(loop_new(&loop, &e));
	assert_true(http_server_new(loop, &config, &server, &e));
	assert_true(http_address_parse(SLICE_LIT("127.0.0.1:0"), &address, &e));
	if (!http_server_listen(server, &address, true, &e))
		fail_msg("%s", e.text);
}

UNUSED static void start_server(const struct http_limits *limits)
{
	start_server_with((struct http_server_config){.limits = limits ? *limits : http_limits_default, .on_request = on_request});
}

static void stop_server(void)
{
	http_server_free(server);
	while (held)
		let_go(held);
	loop_free(loop);
}

static void turn(int times)
{
	while (times-- > 0)
		loop_run_once(loop, MS / 4);
}

// ---- clients ---------------------------------------------------------------------------------------------------------------------

struct client {
	int fd;
	struct buf in;
	bool eof, reset;
};

UNUSED static struct client dial(void)
{
	struct client c = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), .in.max = 64 << 20};
	if (connect(c.fd, (void *)address.bytes, address.len) < 0)
		assert_int_equal(errno, EINPROGRESS);
	turn(2);
	return c;
}

UNUSED static void hang_up(struct client *c)
{
	close(c->fd);
	buf_release(&c->in);
}

static void receive_some(struct client *c)
{
	static uint8_t some[65536];
	ssize_t n;
	while ((n = recv(c->fd, some, sizeof some, 0)) > 0)
		buf_put(&c->in, some, (size_t)n);
	if (n == 0)
		c->eof = true;
	else if (errno != EAGAIN && errno != ENOTCONN)
		c->eof = c->reset = true;
}

static void send_bytes(struct client *c, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t give_up = sys_now_ns() + 5000 * MS;
	while (len && sys_now_ns() < give_up && !c->reset) {
		ssize_t n = send(c->fd, p, len, MSG_NOSIGNAL);
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		} else if (errno != EAGAIN && errno != ENOTCONN) {
			c->reset = true;
		}
		if (len) {
			turn(1);
			receive_some(c);
		}
	}
}
static void say(struct client *c, const char *text)
{
	send_bytes(c, text, strlen(text));
}

UNUSED static bool has(const struct client *c, const char *text)
{
	return c->in.len && memmem(c->in.ptr, c->in.len, text, strlen(text));
}

static int count_of(const struct client *c, const char *text)
{
	int n = 0;
	struct slice rest = buf_view(&c->in);
	uint8_t *p;
	while (rest.len && (p = memmem(rest.ptr, rest.len, text, strlen(text)))) {
		n++;
		rest = slice_sub(rest, (size_t)(p - rest.ptr) + strlen(text), rest.len);
	}
	return n;
}

// Turns until `n` times `text` has come, or the end of the stream where text is NULL.
static void wait_times(struct client *c, const char *text, int n)
{
	uint64_t give_up = sys_now_ns() + 5000 * MS;
	for (;;) {
		receive_some(c);
		if (text ? count_of(c, text) >= n : c->eof)
			return;
		if (sys_now_ns() > give_up || (c->eof && text))
			fail_msg("no '%s' (%d times) in '%.*s'%s", text ? text : "end", n, SLICE_ARGS(slice_sub(buf_view(&c->in), 0, 2000)), c->eof ? ", ended" : "");
		turn(1);
	}
}
UNUSED static void wait_for(struct client *c, const char *text)
{
	wait_times(c, text, 1);
}
static void wait_end(struct client *c)
{
	wait_times(c, NULL, 0);
}
UNUSED static void wait_until(const bool *flag)
{
	uint64_t give_up = sys_now_ns() + 5000 * MS;
	while (!*flag && sys_now_ns() < give_up)
		turn(1);
	assert_true(*flag);
}
UNUSED static void wait_held(int n)
{
	uint64_t give_up = sys_now_ns() + 5000 * MS;
	while (held_count != n && sys_now_ns() < give_up)
		turn(1);
	assert_int_equal(held_count, n);
}
// One request, and the whole answer to it, on a fresh connection that the server ends.
UNUSED static struct client ask(const char *text)
{
	struct client c = dial();
	say(&c, text);
	wait_end(&c);
	return c;
}
#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

#endif
