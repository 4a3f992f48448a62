// Answers of hostile servers, HTTP/1.1 and 2, into exchanges of requests that go out: connections of a client over socket pairs. The input is a program that says
// bytes, good messages and frames, and any others, ends connections, asks more, and does what owners do. The first byte says which allocation fails, the second what
// is spoken.
//
// PROGRAM(fuzz_http_answers, "base sys loop http", "")
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PEERS = 8 };

struct owner {
	struct http_exchange *x;
	struct owner *next;
	bool lazy;
	uint32_t left;
};
static struct owner *owners;
static struct loop *loop;
static struct loop_pool *names;
static struct http_client *client;
static int peers[PEERS];  // their ends of connections, -1: none
static bool h2;

// ---- owners --------------------------------------------------------------------------------------------------------------------------

static void let_go(struct owner *o)
{
	struct owner **at = &owners;
	while (*at != o)
		at = &(*at)->next;
	*at = o->next;
	http_exchange_release(o->x);
	mem_free(o);
}

static void check_fields(const struct http_field *f, uint32_t n)
{
	BUG_ON(n > HTTP_FIELDS_MAX);
	for (uint32_t i = 0; i < n; i++)
		BUG_ON(!http_field_name_is_valid(f[i].name) || !http_field_value_is_valid(f[i].value));
}

static void read_some(struct owner *o)
{
	struct slice data;
	enum http_read got;
	while ((got = http_body_peek(o->x, &data)) == HTTP_READ_DATA)
		http_body_consume(o->x, data.len);
	if (got == HTTP_READ_END) {
		uint32_t n;
		const struct http_field *t = http_body_trailers(o->x, &n);
		check_fields(t, n);
	}
}

static void write_some(struct owner *o)
{
	static const uint8_t zeros[HTTP_WINDOW];
	size_t permit;
	while (o->left && (permit = http_body_permit(o->x)) > 0) {
		size_t n = min_u64(permit, o->left);
		if (http_body_write(o->x, slice_of(zeros, n)) != HTTP_WRITE_OK)
			return;
		o->left -= (uint32_t)n;
		if (!o->left)
			(void)!http_body_finish(o->x, NULL, 0);
	}
}

static void on_head(void *user, struct http_exchange *x)
{
	struct owner *o = user;
	const struct http_answer *a = http_exchange_answer(x);
	BUG_ON(!a || a->status < 100 || a->status > 999);
	check_fields(a->fields, a->n);
	if (!o->lazy)
		read_some(o);
}

static void on_readable(void *user, struct http_exchange *x)
{
	read_some(user);
}

static void on_writable(void *user, struct http_exchange *x)
{
	write_some(user);
}

static void on_cancel(void *user, struct http_exchange *x, enum http_cancel why)
{
	unsigned number;
	BUG_ON(!http_failure_text(http_exchange_failure(x)));
	http_exchange_failure_detail(x, &number);
	let_go(user);
}

static const struct http_exchange_ops ops = {on_head, on_readable, on_writable, on_cancel};

// ---- connections -----------------------------------------------------------------------------------------------------------------------

// Another connection of a socket pair. -1: as many as there may be.
static int new_pair(void)
{
	int pair[2];
	for (int i = 0; i < PEERS; i++)
		if (peers[i] < 0) {
			if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) < 0)
				return -1;
			peers[i] = pair[1];
			return pair[0];
		}
	return -1;
}

static int connect_pair(const struct sys_address *to)
{
	int fd = new_pair();
	return fd < 0 ? -ECONNREFUSED : fd;
}

static bool may_connect(void *user, const struct http_address *a)
{
	return true;
}

static void say(int peer, const void *p, size_t n)
{
	if (peers[peer] >= 0 && n && send(peers[peer], p, n, MSG_NOSIGNAL) < 0)
		return;  // it has closed
}

static void put_frame(int peer, uint8_t type, uint8_t flags, uint32_t id, const void *payload, size_t n)
{
	uint8_t f[9 + 16384] = {
		(uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n, type, flags, (uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id};
	memcpy(f + 9, payload, n);
	say(peer, f, 9 + n);
}

// HTTP/2 on a connection, as after a handshake: the peer has said SETTINGS, so that requests may begin.
static void open_session(void)
{
	int fd = new_pair();
	struct http_origin *origin = fd >= 0 ? http__origin_get(client, 0, true, "a", 443) : NULL;
	struct http_address peer = {.len = 16};
	struct client_conn *c = origin ? http__client_conn_open(origin, &http__h1c_protocol, fd, &peer, NULL) : NULL;
	if (fd >= 0 && !origin)
		close(fd);
	if (c) {
		static const uint8_t settings[9] = {0, 0, 0, NGHTTP2_SETTINGS, 0, 0, 0, 0, 0};
		client->connections++;
		if (http__h2c_begin(c))
			http__h2c_feed(c, settings, sizeof settings);
	}
	http__origin_unref(origin);
}

static void turn(void)
{
	static uint8_t sink[65536];
	for (int i = 0; i < 3; i++) {
		loop_run_once(loop, 0);
		for (int k = 0; k < PEERS; k++)
			while (peers[k] >= 0 && recv(peers[k], sink, sizeof sink, 0) > 0)
				;
	}
}

static void ask(uint8_t how)
{
	static const char *const methods[] = {"GET", "POST", "HEAD", "PUT"};
	static uint8_t no_tls;  // connections that stand need none
	enum http_failure why;
	struct owner *o = mem_zalloc(sizeof *o);
	struct http_outgoing_request r = {
		.method = slice_str(methods[how & 3]),
		.authority = h2 ? SLICE_LIT("a") : SLICE_LIT("127.0.0.1:80"),
		.target = SLICE_LIT("/"),
		.https = h2,
		.tls = h2 ? (void *)&no_tls : NULL,
		.may_connect = may_connect,
		.ops = &ops,
		.user = o,
	};
	if (!o)
		return;
	*o = (struct owner){.lazy = how & 4, .left = how & 8 ? 200000 : 0, .next = owners};
	if (!http_client_send(client, &r, &o->x, &why)) {
		mem_free(o);
		return;
	}
	owners = o;
	if (o->left)
		write_some(o);
	else
		(void)!http_body_finish(o->x, NULL, 0);
}

static uint32_t take(const uint8_t **p, const uint8_t *end, int bytes)
{
	uint32_t v = 0;
	for (; bytes > 0 && *p < end; bytes--)
		v = v << 8 | *(*p)++;
	return v;
}

static void say_good(int peer, uint8_t how, uint32_t id)
{
	static const char *const texts[] = {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		"4\r\ngood\r\n", "0\r\nt: v\r\n\r\n", "HTTP/1.1 103 Early\r\na: b\r\n\r\n", "HTTP/1.1 204 No\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nuntil the end", "HTTP/1.1 304 N\r\n\r\n"};
	static const uint8_t ok[] = {0x88}, early[] = {0x08, 3, '1', '0', '3'}, trailer[] = {0, 1, 't', 1, 'v'}, zeros[1000];
	if (!h2) {
		say(peer, texts[how & 7], strlen(texts[how & 7]));
		return;
	}
	switch (how & 7) {
	case 0:
	case 1:
		put_frame(peer, NGHTTP2_HEADERS, (uint8_t)(NGHTTP2_FLAG_END_HEADERS | (how & 1)), id, ok, sizeof ok);
		break;
	case 2:
	case 3:
		put_frame(peer, NGHTTP2_DATA, how & 1, id, zeros, sizeof zeros);
		break;
	case 4:
		put_frame(peer, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, id, early, sizeof early);
		break;
	case 5:
		put_frame(peer, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, id, trailer, sizeof trailer);
		break;
	case 6:
		put_frame(peer, NGHTTP2_RST_STREAM, 0, id, (uint8_t[]){0, 0, 0, how >> 3}, 4);
		break;
	default:
		put_frame(peer, NGHTTP2_GOAWAY, 0, 0, (uint8_t[]){0, 0, 0, (uint8_t)id, 0, 0, 0, how >> 3}, 8);
		break;
	}
}

static void run_one(const uint8_t **p, const uint8_t *end)
{
	uint8_t op = (uint8_t)take(p, end, 1);
	int peer = op >> 4 & 7;
	size_t n;
	switch (op & 7) {
	case 0:
		n = min_u64(take(p, end, 1), (size_t)(end - *p));
		say(peer, *p, n);
		*p += n;
		break;
	case 1:
		n = take(p, end, 1);
		say_good(peer, (uint8_t)n, (uint32_t)take(p, end, 1) * 2 + 1);
		break;
	case 2:
		turn();
		break;
	case 3:
		ask((uint8_t)take(p, end, 1));
		break;
	case 4: {
		uint8_t type = (uint8_t)take(p, end, 1), flags = (uint8_t)take(p, end, 1), id = (uint8_t)take(p, end, 1);
		n = min_u64(take(p, end, 1), (size_t)(end - *p));
		put_frame(peer, type, flags, id, *p, n);
		*p += n;
		break;
	}
	case 5:
		if (peers[peer] >= 0)
			op & 8 ? shutdown(peers[peer], SHUT_WR) : close(peers[peer]);
		peers[peer] = op & 8 ? peers[peer] : -1;
		break;
	case 6:
		if (owners && op & 8)
			let_go(owners);
		else if (owners)
			http_body_discard(owners->x);
		break;
	default:
		if (owners)
			read_some(owners);
		if (h2 && op & 8)
			open_session();
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_client_limits limits = http_client_limits_default;
	const uint8_t *p = data + 2, *end = data + size;
	if (size < 3 || size > 4096)
		return 0;
	limits.connections = 4;
	if (!loop && (!loop_new(&loop, NULL) || !loop_pool_new(&names, 1, 10, NULL)))
		return 0;
	if (!http_client_new(loop, names, &limits, &client, NULL))
		return 0;
	for (int i = 0; i < PEERS; i++)
		peers[i] = -1;
	sys_net.connect = connect_pair;
	h2 = data[1] & 1;
	if (h2)
		open_session();
	mem_fail_nth(data[0] & 0x80 ? 0 : data[0]);
	while (p < end)
		run_one(&p, end);
	turn();
	mem_fail_nth(0);
	for (int i = 0; i < PEERS; i++)
		if (peers[i] >= 0)
			close(peers[i]);
	for (int i = 0; i < 4; i++)
		loop_run_once(loop, 0);
	while (owners)
		let_go(owners);
	for (int i = 0; i < 4; i++)
		loop_run_once(loop, 0);
	BUG_ON(client->waiting || client->hub->counters.in_flight);
	http_client_free(client);
	return 0;
}
