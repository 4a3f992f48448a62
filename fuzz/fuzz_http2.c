// HTTP/2 from hostile clients, into exchanges: a connection of a server over a socket pair. The input is a program that writes frames, good ones and any others,
// reads what comes back or does not, and turns the loop; owners echo, answer much, hold on to what they have, or let go. The first byte says which allocation
// fails.
//
// PROGRAM(fuzz_http2, "base sys loop http", "")
#include <sys/socket.h>
#include <unistd.h>

#include "http/h2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct owner {
	struct http_exchange *x;
	struct owner *next;
	bool told, head;
	uint8_t kind;
	uint32_t left;
};
static struct owner *owners;
static struct loop *loop;
static struct http_server *server;

static void let_go(struct owner *o)
{
	struct owner **at = &owners;
	while (*at != o)
		at = &(*at)->next;
	*at = o->next;
	http_exchange_release(o->x);
	mem_free(o);
}

static void echo(struct owner *o)
{
	static uint8_t some[HTTP_WINDOW];
	struct http_exchange *x = o->x;
	size_t n, permit;
	while ((permit = http_body_permit(x)) > 0) {
		enum http_read got = http_body_read(x, some, permit, &n);
		if (got == HTTP_READ_DATA && http_body_write(x, slice_of(some, n)) == HTTP_WRITE_OK)
			continue;
		if (got == HTTP_READ_END) {
			uint32_t trailers;
			const struct http_field *t = http_body_trailers(x, &trailers);
			for (uint32_t i = 0; i < trailers; i++)
				BUG_ON(!http_field_name_is_valid(t[i].name) || !http_field_value_is_valid(t[i].value));
			(void)!http_body_finish(x, t, trailers);
			let_go(o);
		}
		return;
	}
}

static void flood(struct owner *o)
{
	static const uint8_t zeros[HTTP_WINDOW];
	size_t permit;
	while (o->left && (permit = http_body_permit(o->x)) > 0) {
		size_t n = min_u64(permit, o->left);
		if (http_body_write(o->x, slice_of(zeros, n)) != HTTP_WRITE_OK)
			return;
		o->left -= (uint32_t)n;
	}
	if (!o->left) {
		(void)!http_body_finish(o->x, NULL, 0);
		let_go(o);
	}
}

static void step(void *user, struct http_exchange *x)
{
	struct owner *o = user;
	if (o->kind == 'e')
		echo(o);
	else if (o->kind == 'b')
		flood(o);
}

static void on_cancel(void *user, struct http_exchange *x, enum http_cancel why)
{
	struct owner *o = user;
	if (o->kind == 'h')
		o->told = true;
	else
		let_go(o);
}

static const struct http_exchange_ops ops = {.on_readable = step, .on_writable = step, .on_cancel = on_cancel};

static void check_request(const struct http_request *r)
{
	BUG_ON(!http_method_is_valid(r->method) || !http_authority_is_valid(r->authority, NULL, NULL) || r->field_count > HTTP_FIELDS_MAX);
	BUG_ON(!http_target_is_valid(r->target) && !slice_eq_str(r->target, "*"));
	for (uint32_t i = 0; i < r->field_count; i++)
		BUG_ON(!http_field_name_is_valid(r->fields[i].name) || !http_field_value_is_valid(r->fields[i].value));
}

static void on_request(void *user, struct http_exchange *x)
{
	const struct http_request *r = http_exchange_request(x);
	check_request(r);
	struct owner *o = r->target.len > 1 && r->target.ptr[1] == 'd' ? NULL : mem_zalloc(sizeof *o);
	if (!o) {
		http_exchange_release(x);
		return;
	}
	*o = (struct owner){.x = x, .next = owners, .kind = r->target.len > 1 ? r->target.ptr[1] : 'h', .left = 200000};
	owners = o;
	http_exchange_set_owner(x, &ops, o);
	if (o->kind != 'h' && http_respond_head(x, 200, NULL, 0, HTTP_LENGTH_UNKNOWN, NULL))
		step(o, x);
}

// ---- the client ----------------------------------------------------------------------------------------------------------------------

struct client {
	int fd;
	bool reads;
	uint32_t next_id;
	uint8_t out[1 << 16];
	size_t len;
};

static void turn(struct client *c)
{
	static uint8_t sink[65536];
	if (c->len && send(c->fd, c->out, c->len, MSG_NOSIGNAL) < 0)
		c->reads = true;
	c->len = 0;
	for (int i = 0; i < 3; i++) {
		loop_run_once(loop, 0);
		while (c->reads && recv(c->fd, sink, sizeof sink, 0) > 0)
			;
	}
}

static void put_frame(struct client *c, uint8_t type, uint8_t flags, uint32_t id, const void *payload, size_t n)
{
	if (sizeof c->out - c->len < n + 9)
		turn(c);
	uint8_t head[9] = {(uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n, type, flags, (uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id};
	memcpy(c->out + c->len, head, 9);
	if (n)
		memcpy(c->out + c->len + 9, payload, n);
	c->len += n + 9;
}

static void put_head(struct client *c, uint8_t how)
{
	static const char paths[] = "edbh";
	uint8_t block[] = "\x83\x86\x41\x01"
					  "a"
					  "\x04\x02/x";  // POST, http, authority a, a path
	block[8] = (uint8_t)paths[how & 3];
	put_frame(c, NGHTTP2_HEADERS, (uint8_t)(NGHTTP2_FLAG_END_HEADERS | (how & 4 ? NGHTTP2_FLAG_END_STREAM : 0)), c->next_id, block, sizeof block - 1);
	c->next_id += 2;
}

static uint32_t take(const uint8_t **p, const uint8_t *end, int bytes)
{
	uint32_t v = 0;
	for (; bytes > 0 && *p < end; bytes--)
		v = v << 8 | *(*p)++;
	return v;
}

static void run_one(struct client *c, const uint8_t **p, const uint8_t *end)
{
	static const uint8_t zeros[16384];
	uint8_t op = (uint8_t)take(p, end, 1), word[6];
	uint32_t id = op >> 4 ? (uint32_t)(op >> 4) * 2 - 1 : 0, v;
	switch (op & 7) {
	case 0: {
		uint8_t type = (uint8_t)take(p, end, 1), flags = (uint8_t)take(p, end, 1);
		size_t n = min_u64(take(p, end, 1), (size_t)(end - *p));
		put_frame(c, type, flags, id, *p, n);
		*p += n;
		break;
	}
	case 1:
		put_head(c, (uint8_t)take(p, end, 1));
		break;
	case 2:
		v = take(p, end, 2);
		put_frame(c, NGHTTP2_DATA, op & 8 ? NGHTTP2_FLAG_END_STREAM : 0, id, zeros, v % sizeof zeros);
		break;
	case 3:
		c->reads ^= (op & 8) != 0;
		turn(c);
		break;
	case 4:
		v = take(p, end, 1);
		put_frame(c, NGHTTP2_RST_STREAM, 0, id, (uint8_t[]){0, 0, 0, (uint8_t)v}, 4);
		break;
	case 5:
		v = take(p, end, 3) + 1;
		put_frame(c, NGHTTP2_WINDOW_UPDATE, 0, id, (uint8_t[]){0, (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v}, 4);
		break;
	case 6:
		for (size_t i = 0; i < sizeof word; i++)
			word[i] = i ? (uint8_t)take(p, end, 1) : 0;
		put_frame(c, NGHTTP2_SETTINGS, 0, 0, word, sizeof word);
		break;
	default:
		if (owners)  // who holds on does something
			http_body_discard(owners->x);
		if (owners && op & 8)
			let_go(owners);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct client c;
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
	struct http_server_config config = {.limits = http_limits_default, .on_request = on_request, .no_date = true};
	const uint8_t *p = data + 1, *end = data + size;
	int pair[2];
	if (size < 2 || size > 4096)
		return 0;
	config.limits.streams = 20;
	if (!server && (!loop_new(&loop, NULL) || !http_server_new(loop, &config, &server, NULL)))
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) < 0 || !http_server_adopt(server, pair[0], NULL))
		return 0;
	c = (struct client){.fd = pair[1], .reads = true, .next_id = 1, .len = sizeof preface - 1};
	memcpy(c.out, preface, sizeof preface - 1);
	put_frame(&c, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
	mem_fail_nth(data[0] & 0x80 ? 0 : data[0]);
	while (p < end)
		run_one(&c, &p, end);
	turn(&c);
	mem_fail_nth(0);
	close(pair[1]);
	for (int i = 0; i < 8; i++)
		loop_run_once(loop, 0);
	while (owners)
		let_go(owners);
	BUG_ON(http_server_counters(server)->connections || http_server_counters(server)->in_flight);
	return 0;
}
