// A handshake of ours, and what comes of it: HTTP/2 where both sides have agreed on it (RFC 7301), else HTTP/1.1.
//
// 1. Nothing of the request is sent before that is known.
// 2. Looking up, connecting and the handshake have one time together (U6).
#include "client.h"
#include "tls.h"

static struct client_conn *conn_of(struct http_conn *c)
{
	return CONTAINER_OF(c, struct client_conn, conn);
}

// It speaks HTTP/1.1. Who says something before he was asked is not listened to (RFC 9112, 9.2).
static void begin_h1(struct client_conn *c, struct http_outgoing *o, bool has_spoken)
{
	c->conn.protocol = &http__h1c_protocol;
	c->conn.read_deadline = UINT64_MAX;
	if (c->dials) {
		c->origin->is_h1 = true;
		http__origin_end_dial(c->origin, false);
	}
	c->dials = false;
	if (has_spoken) {
		c->failure = HTTP_FAILURE_HTTP_PROTOCOL_ERROR;
		http__conn_close(&c->conn, HTTP_CANCEL_BAD_BODY, false);
		http__outgoing_fail(o, HTTP_FAILURE_HTTP_PROTOCOL_ERROR);
		return;
	}
	http__h1c_send(c, o);
}

static void go_on(struct http_conn *conn)
{
	struct client_conn *c = conn_of(conn);
	uint8_t *into = conn->server->scratch;
	int64_t got = http__conn_recv(conn, into, BLOCK_SMALL);
	if (got == 0)
		http__conn_close(conn, HTTP_CANCEL_PEER, false);
	if (conn->state != CONN_OPEN || !http__transport_is_ready(&conn->transport))
		return;
	struct http_outgoing *o = c->o;
	size_t n = got > 0 ? (size_t)got : 0;
	c->o = NULL;
	o->hello = NULL;
	if (!conn->transport.ops->is_h2(&conn->transport)) {
		begin_h1(c, o, n > 0);
	} else if (http__h2c_begin(c)) {
		http__h2c_send(c, o);
		http__h2c_feed(c, into, n);
	} else {
		http__outgoing_fail(o, HTTP_FAILURE_INTERNAL_ERROR);
	}
}

static bool wants_read(const struct http_conn *c)
{
	return true;
}

static void on_turn(struct http_conn *c)
{
}

static void on_late(struct http_conn *conn)
{
	conn_of(conn)->failure = HTTP_FAILURE_CONNECTION_TIMEOUT;
	http__conn_close(conn, HTTP_CANCEL_TIMEOUT, false);
}

static void on_evict(struct http_conn *c)
{
}

static void on_lost(struct http_conn *conn, enum http_cancel why)
{
	struct client_conn *c = conn_of(conn);
	struct http_outgoing *o = c->o;
	enum http_failure failure = c->failure ? c->failure : (enum http_failure)conn->transport.failure;
	http__client_conn_lost(c);
	c->o = NULL;
	if (!o)
		return;
	o->hello = NULL;
	o->x.failure_number = conn->transport.alert;
	http__outgoing_fail(o, failure ? failure : HTTP_FAILURE_CONNECTION_TERMINATED);
}

static const struct http_protocol protocol = {
	.conn_size = sizeof(struct client_conn),
	.readable = go_on,
	.wants_read = wants_read,
	.writable = go_on,
	.turn = on_turn,
	.late = on_late,
	.evict = on_evict,
	.lost = on_lost,
};

bool http__client_hello(struct http_outgoing *o, int fd, const struct http_address *peer)
{
	struct client_conn *c = http__client_conn_open(o->origin, &protocol, fd, peer, o->tls);
	if (!c)
		return false;
	http__place_pass(o, c);
	if (o->needs_h1)
		http__transport_offer_h1(&c->conn.transport);
	c->o = o;
	o->hello = c;
	c->dials = o->dials;
	o->dials = false;
	http__conn_read_by(&c->conn, o->connect_by_ns);
	go_on(&c->conn);
	return true;
}
