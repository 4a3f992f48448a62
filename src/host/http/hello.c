// What comes before the first message of a connection: by TLS a handshake, which also tells what is spoken.
//
//   in clear: HTTP/1, until the client says otherwise (h1.c); by TLS: HELLO ── the handshake is over: on_readable ──► HTTP/1 or HTTP/2
//
// A handshake has the time of a head.
#include "h1.h"
#include "h2.h"

#define FRESH_NS SECOND

static void go_on(struct http_conn *c, bool is_h2, const uint8_t *p, size_t n, uint64_t requests)
{
	if (is_h2)
		http__h2_take(c, p, n);
	else
		http__h1_take(c, p, n, requests);
}

static void on_readable(struct http_conn *c)
{
	uint8_t *into = c->server->scratch;
	int64_t got = http__conn_recv(c, into, BLOCK_SMALL);
	if (got == 0)
		http__conn_close(c, HTTP_CANCEL_PEER, false);
	if (c->state != CONN_OPEN || !http__transport_is_ready(&c->transport))
		return;
	size_t n = got > 0 ? (size_t)got : 0;
	bool is_h2 = c->transport.ops->is_h2(&c->transport);
	if (is_h2 && http__is_anothers(c->server, NULL))
		http__conn_pass(c, slice_of(into, n), 0);
	else
		go_on(c, is_h2, into, n, 0);
}

static bool wants_read(const struct http_conn *c)
{
	return true;
}

static void on_turn(struct http_conn *c)
{
	if (c->server->draining)
		http__conn_read_by(c, min_u64(c->read_deadline, loop_now_ns(c->server->loop) + FRESH_NS));
}

static void on_writable(struct http_conn *c)
{
}

static void on_late(struct http_conn *c)
{
	http__conn_close(c, HTTP_CANCEL_TIMEOUT, false);
}

static void on_evict(struct http_conn *c)
{
	c->server->counters.evicted++;
	http__conn_close(c, HTTP_CANCEL_SERVER, false);
}

static void on_lost(struct http_conn *c, enum http_cancel why)
{
}

static const struct http_protocol protocol = {
	.conn_size = sizeof(struct h1_conn),
	.readable = on_readable,
	.wants_read = wants_read,
	.writable = on_writable,
	.turn = on_turn,
	.late = on_late,
	.evict = on_evict,
	.lost = on_lost,
};

void http__serve_passed(struct http_server *s, struct passed_conn *k)
{
	struct http_conn *c = http__conn_take(s, &protocol, k);
	if (c)
		go_on(c, c->transport.ops->is_h2 && c->transport.ops->is_h2(&c->transport), k->came, k->n, k->requests);
}

bool http__serve_open(struct http_server *s, int fd, const struct http_address *peer, struct err *e)
{
	const struct http_limits *l = &s->config.limits;
	if (!s->config.tls)
		return http__h1_open(s, fd, peer, e);
	struct http_conn *c = http__conn_open(s, &protocol, fd, peer, s->config.tls, NULL, e);
	if (c)
		http__conn_read_by(c, sat_add_u64(loop_now_ns(s->loop), min_u64(l->head_ns, l->idle_ns)));
	return c != NULL;
}
