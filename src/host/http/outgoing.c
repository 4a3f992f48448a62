// Requests that go out and connections of ours, whatever is spoken on them: where they stand, and what is given back when they are over.
#include "client.h"

// ---- connections -----------------------------------------------------------------------------------------------------------------

struct client_conn *http__client_conn_open(struct http_origin *origin, const struct http_protocol *p, int fd, const struct http_address *peer,
	struct http_tls *tls)
{
	struct http_client *cl = origin->client;
	http__gate_enter(cl->hub->gate, true);
	struct http_conn *conn = http__conn_open(cl->hub, p, fd, peer, tls, origin->host, NULL);
	if (!conn)
		return NULL;
	struct client_conn *c = CONTAINER_OF(conn, struct client_conn, conn);
	c->client = cl;
	c->origin = http__origin_ref(origin);
	return c;
}

void http__client_conn_lost(struct client_conn *c)
{
	http__client_conn_leave_idle(c);
	c->client->connections--;
	http__place_lost(c);
	if (c->session_prev) {
		*c->session_prev = c->session_next;
		if (c->session_next)
			c->session_next->session_prev = c->session_prev;
		c->session_prev = NULL;
	}
	if (c->dials)
		http__origin_end_dial(c->origin, true);
	http__origin_unref(c->origin);
	c->dials = false;
	c->origin = NULL;
}

bool http__client_conn_rest(struct client_conn *c)
{
	struct http_client *cl = c->client;
	if (c->idle_prev || cl->idle_count >= cl->limits.idle || http__place_is_too_much(c))
		return c->idle_prev;
	c->idle_next = cl->idle;
	c->idle_prev = &cl->idle;
	if (c->idle_next)
		c->idle_next->idle_prev = &c->idle_next;
	cl->idle = c;
	cl->idle_count++;
	http__place_rests(c);
	return true;
}

void http__client_conn_leave_idle(struct client_conn *c)
{
	if (!c->idle_prev)
		return;
	*c->idle_prev = c->idle_next;
	if (c->idle_next)
		c->idle_next->idle_prev = c->idle_prev;
	c->idle_prev = NULL;
	c->client->idle_count--;
}

// ---- requests ------------------------------------------------------------------------------------------------------------------------

void http__outgoing_wait(struct http_outgoing *o)
{
	o->x.wire = o->waits;
	o->next = o->client->waiting;
	o->prev = &o->client->waiting;
	if (o->next)
		o->next->prev = &o->next;
	o->client->waiting = o;
	o->start.fn = o->begins;
	loop_post(o->client->loop, &o->start);
}

void http__outgoing_wait_no_more(struct http_outgoing *o)
{
	if (!o->prev)
		return;
	*o->prev = o->next;
	if (o->next)
		o->next->prev = o->prev;
	o->prev = NULL;
	http__origin_wait_no_more(o);
	http__line_leave(o);
	loop_job_cancel(&o->start);
}

void http__outgoing_fail(struct http_outgoing *o, enum http_failure why)
{
	http__outgoing_wait_no_more(o);
	o->x.failure = (uint8_t)why;
	http__exchange_cancel(&o->x, HTTP_CANCEL_PEER);
}

void http__outgoing_begun(struct http_outgoing *o)
{
	struct block **blocks[] = {&o->head, &o->early, &o->tail};
	o->begun = true;
	for (size_t i = 0; i < ARRAY_LEN(blocks); i++) {
		http__block_put(o->x.server, *blocks[i]);
		*blocks[i] = NULL;
	}
}

void http__outgoing_recycle(struct http_exchange *x)
{
	struct http_outgoing *o = CONTAINER_OF(x, struct http_outgoing, x);
	struct http_server *s = x->server;
	loop_job_cancel(&o->start);
	http__outgoing_begun(o);
	http__block_put(s, o->in);
	http__block_put(s, o->answer_block);
	http__block_put(s, o->trailer_block);
	if (o->held_by) {
		h2_stream_release(&o->stream);
		h2_session_unhold(o->held_by);
	}
	http__origin_unref(o->origin);
	if (o->line)
		http__line_wake(o->line);  // of HTTP/2: its connection takes one more
	http__line_unref(o->line);
	http__spare_put(s, &s->spare_exchanges, o);
	http__server_forget_exchange(s);
}
