// A connection, whatever is spoken on it: its output, its time, its end. What comes in is the protocol's business.
//
//   OPEN ── begin_close ──► CLOSING ── all is sent: finish_close ──► LINGER ── nothing comes, or long enough: close ──► DEAD
//     └───────────────────────── close: at once, from any of them ────────────────────────────────────────────────────────┘
//   OPEN ── pass: to another server, where nothing is on it ──► DEAD here, OPEN there
//
// OPEN: the protocol reads and writes. CLOSING: what waits is sent, nothing is read. LINGER: our side is shut, what still comes is thrown away: where
// the client may be sending, a close would answer with RST and take the answer out of its hands (RFC 9112, 9.6).
// write_blocked: set by block_writes when the kernel takes no more, cleared by on_io; meanwhile nothing is sent.
//
// 1. Output leaves in order, at once where the kernel takes it. At most half a window of earlier answers of a pipeline, a head, a window, trailers
//    and the framing of one write wait, so the largest block is enough (a static assert says so).
// 2. DEAD is for the rest of this turn of the loop: code that called out may still look at the state.
// 3. The read interest stays on where it may be wanted again; it is dropped only when an event comes that can't be used, so that a quick request costs
//    no epoll_ctl.
#include "tls.h"

#include <errno.h>

#define LINGER_NS (30 * SECOND)      // what is sent to no purpose is read away for at most so long,
#define LINGER_IDLE_NS (2 * SECOND)  // as long as some of it comes within this

_Static_assert(BLOCK_OUT >= HTTP_WINDOW / 2 + HTTP_HEAD_MAX + 1024 + HTTP_WINDOW + HTTP_HEAD_MAX / 2 + 8192,
	"an output block holds earlier answers, a head, a window and trailers");

// ---- time ------------------------------------------------------------------------------------------------------------------------

static void arm(struct http_conn *c)
{
	uint64_t at = min_u64(c->read_deadline, c->write_deadline);
	if (at != UINT64_MAX)  // else a timer that is armed is left to fire once for nothing: cheaper than to take it out
		loop_timer_set(c->server->loop, &c->timer, at);
}

void http__conn_read_by(struct http_conn *c, uint64_t deadline_ns)
{
	c->read_deadline = deadline_ns;
	arm(c);
}

void http__conn_read_away_on(struct http_conn *c)
{
	uint64_t now = loop_now_ns(c->server->loop);
	if (c->server->draining)
		c->end_deadline = min_u64(c->end_deadline, sat_add_u64(now, LINGER_IDLE_NS));
	http__conn_read_by(c, min_u64(sat_add_u64(now, LINGER_IDLE_NS), c->end_deadline));
}

void http__conn_begin_read_away(struct http_conn *c)
{
	c->end_deadline = sat_add_u64(loop_now_ns(c->server->loop), LINGER_NS);
	http__conn_read_away_on(c);
}

// What the client has taken since we looked last, of what was offered meanwhile. The kernel holds megabytes and tells of room only when much of it is
// free: it is asked what is left.
static void look_at_queue(struct http_conn *c, uint64_t offered)
{
	const struct http_limits *l = &c->limits;
	uint64_t now = loop_now_ns(c->server->loop), left = c->transport.ops->unsent(&c->transport), there = c->out_queue + offered;
	uint64_t took = c->taking.since_ns && there > left ? there - left : 0;
	if (took || !c->taking.since_ns)
		c->took_ns = now;
	http__meter_wait(&c->taking, now);
	http__meter_take(&c->taking, l, now, took);
	c->out_queue = left;
	c->write_deadline = min_u64(sat_add_u64(c->took_ns, l->write_ns), http__meter_deadline(&c->taking, l, HTTP_NO_LIMIT));
	arm(c);
}

static void on_timer(struct loop_timer *t)
{
	struct http_conn *c = CONTAINER_OF(t, struct http_conn, timer);
	uint64_t now = loop_now_ns(c->server->loop);
	if (now >= c->write_deadline)
		look_at_queue(c, 0);
	if (now >= c->write_deadline) {
		c->server->counters.timeouts++;
		http__conn_close(c, HTTP_CANCEL_TIMEOUT, true);
		return;
	}
	if (now >= c->read_deadline) {
		c->read_deadline = UINT64_MAX;
		if (c->state == CONN_OPEN)
			c->protocol->late(c);
		else
			http__conn_close(c, HTTP_CANCEL_TIMEOUT, false);
	}
	if (c->state != CONN_DEAD)
		arm(c);
}

// ---- events ----------------------------------------------------------------------------------------------------------------------

void http__conn_update_interest(struct http_conn *c)
{
	bool read = c->state == CONN_LINGER || (c->state == CONN_OPEN && c->protocol->wants_read(c));
	uint32_t want = (read ? LOOP_READ : 0) | (c->write_blocked ? LOOP_WRITE : 0);
	if (c->state != CONN_DEAD && c->transport.io.interest != want) {
		c->server->counters.want_calls++;
		c->transport.ops->want(&c->transport, want);
	}
}

int64_t http__conn_recv(struct http_conn *c, void *into, size_t max)
{
	struct http_counters *n = &c->server->counters;
	n->recv_calls++;
	int64_t got = c->transport.ops->recv(&c->transport, into, max);
	if (got > 0)
		n->bytes_in += (uint64_t)got;
	else if (got == 0)
		c->read_eof = true;
	else if (got != -EAGAIN)
		http__conn_close(c, HTTP_CANCEL_PEER, false);
	return got;
}

static void read_away(struct http_conn *c)
{
	int64_t got = c->transport.ops->recv(&c->transport, c->server->scratch, HTTP_SCRATCH);
	if (got > 0)
		http__conn_read_away_on(c);
	else if (got != -EAGAIN)
		http__conn_close(c, HTTP_CANCEL_PEER, false);
}

static void on_readable(struct http_conn *c)
{
	if (c->state == CONN_OPEN)
		c->protocol->readable(c);
	else if (c->state == CONN_LINGER)
		read_away(c);
	else
		http__conn_update_interest(c);
}

static void on_io(struct loop_io *io, uint32_t ready)
{
	struct http_conn *c = CONTAINER_OF(io, struct http_conn, transport.io);
	if (ready & LOOP_WRITE && c->write_blocked) {
		c->write_blocked = false;
		if (!http__out_flush(c))
			return;
		if (!c->write_blocked)
			http__conn_update_interest(c);
		if (c->state == CONN_OPEN)
			c->protocol->writable(c);
	}
	if (c->state == CONN_DEAD)
		return;
	if (ready & LOOP_READ && io->interest & LOOP_READ)
		on_readable(c);
	else if (ready & LOOP_ERROR)
		http__conn_close(c, HTTP_CANCEL_PEER, false);
}

static void on_turn(struct loop_job *t)
{
	struct http_conn *c = CONTAINER_OF(t, struct http_conn, job);
	if (http__conn_pending(c) && !http__out_flush(c))
		return;
	if (c->state == CONN_OPEN)
		c->protocol->turn(c);
	else if (c->state == CONN_LINGER)
		http__conn_read_away_on(c);  // a drain has begun: shorter
}

void http__conn_turn_later(struct http_conn *c)
{
	loop_post(c->server->loop, &c->job);
}

// ---- begin and end ---------------------------------------------------------------------------------------------------------------

static struct http_conn *make(struct http_server *s, const struct http_protocol *p, const struct http_address *peer)
{
	struct http_conn *c = http__spare_get(&s->spare_conns, p->conn_size);
	if (!c)
		return NULL;
	memset(c, 0, p->conn_size);
	c->server = s;
	c->protocol = p;
	c->state = CONN_OPEN;
	c->peer = *peer;
	c->limits = s->config.limits;
	c->timer.fn = on_timer;
	c->job.fn = on_turn;
	c->read_deadline = c->write_deadline = UINT64_MAX;
	c->idle_since = sat_add_u64(loop_now_ns(s->loop), c->limits.coming_ns);
	http__meter_start(&c->taking, &c->limits);
	return c;
}

// Where it drains the connection is looked at as those that were there when that began.
static void list(struct http_conn *c)
{
	struct http_server *s = c->server;
	c->next = s->conns;
	c->prev = &s->conns;
	if (c->next)
		c->next->prev = &c->next;
	s->conns = c;
	s->counters.connections++;
	if (UNLIKELY(s->draining))
		http__conn_turn_later(c);
}

static bool open_transport(struct http_conn *c, int fd, struct http_tls *tls, const char *host, struct err *e)
{
	if (tls)
		return http__transport_open_tls(&c->transport, c->server->loop, fd, tls, host, on_io, e);
	return http__transport_open_plain(&c->transport, c->server->loop, fd, on_io, e);
}

struct http_conn *http__conn_open(struct http_server *s, const struct http_protocol *p, int fd, const struct http_address *peer, struct http_tls *tls,
	const char *host, struct err *e)
{
	struct http_client *client = NULL;
	struct http_conn *c = NULL;
	if (!http__gate_enter_client(s->gate, peer, &client)) {
		s->counters.turned_away++;
		err_set(e, ERR_LIMIT, "the client has too many connections");
		sys_close(fd);
	} else if (!(c = make(s, p, peer))) {
		err_nomem(e);
		sys_close(fd);
	} else if (open_transport(c, fd, tls, host, e)) {
		c->client = client;
		c->is_tls = tls;
		s->counters.accepted++;
		list(c);
		return c;
	}
	if (c)
		http__spare_put(s, &s->spare_conns, c);
	http__gate_leave_client(s->gate, client);
	http__gate_leave(s->gate);
	return NULL;
}

// Its transport is gone.
static void leave_server(struct http_conn *c, enum http_cancel why)
{
	struct http_server *s = c->server;
	loop_timer_cancel(s->loop, &c->timer);
	loop_job_cancel(&c->job);
	c->protocol->lost(c, why);
	http__block_put(s, c->out);
	c->out = NULL;
	c->out_start = c->out_len = 0;
	*c->prev = c->next;
	if (c->next)
		c->next->prev = c->prev;
	c->next = s->graveyard;
	s->graveyard = c;
	s->counters.connections--;
	loop_post(s->loop, &s->job);
}

void http__conn_close(struct http_conn *c, enum http_cancel why, bool reset)
{
	if (c->state == CONN_DEAD)
		return;
	struct http_server *s = c->server;
	c->state = CONN_DEAD;
	c->transport.ops->close(&c->transport, reset);
	http__gate_leave_client(s->gate, c->client);
	http__gate_leave(s->gate);
	s->counters.closed++;
	leave_server(c, why);
}

static void finish_close(struct http_conn *c)
{
	if (c->read_eof || !c->linger) {
		http__conn_close(c, HTTP_CANCEL_PEER, false);
		return;
	}
	c->state = CONN_LINGER;
	http__gate_leave_client(c->server->gate, c->client);  // who sees the end may come again
	c->client = NULL;
	c->transport.ops->shutdown(&c->transport);
	http__conn_begin_read_away(c);
	http__conn_update_interest(c);
}

void http__conn_begin_close(struct http_conn *c)
{
	c->state = CONN_CLOSING;
	c->idle_since = UINT64_MAX;
	c->read_deadline = UINT64_MAX;
	if (http__conn_pending(c) == 0)
		finish_close(c);
	else if (!c->write_blocked)
		http__out_flush(c);  // finishes when it is through
	else
		http__conn_update_interest(c);
}

// ---- from server to server ---------------------------------------------------------------------------------------------------------

struct http_passed *http__accepted_new(int fd, const struct http_address *peer)
{
	struct passed_conn *k = mem_zalloc(sizeof *k);
	if (!k)
		return NULL;
	k->fd = fd;
	k->peer = *peer;
	return &k->passed;
}

void http__conn_pass(struct http_conn *c, struct slice came, uint64_t requests)
{
	const struct http_server *s = c->server;
	struct passed_conn *k = mem_alloc(sizeof *k + came.len);
	BUG_ON(http__conn_pending(c) || c->state != CONN_OPEN);
	if (!k) {
		http__conn_close(c, HTTP_CANCEL_NOMEM, false);
		return;
	}
	*k = (struct passed_conn){
		.peer = c->peer,
		.ops = c->transport.ops,
		.of = c->transport.of,
		.client = c->client,
		.limits = c->limits,
		.is_tls = c->is_tls,
		.requests = requests,
		.n = came.len,
	};
	if (came.len)
		memcpy(k->came, came.ptr, came.len);
	k->fd = c->transport.ops->detach(&c->transport);
	c->state = CONN_DEAD;
	leave_server(c, HTTP_CANCEL_SERVER);
	s->config.on_passed(s->config.user, &k->passed);
}

void http__passed_drop(struct http_gate *g, struct passed_conn *k)
{
	if (k->ops)
		k->ops->drop(k->fd, k->of);
	else
		sys_close(k->fd);
	http__gate_leave_client(g, k->client);
	http__gate_leave(g);
}

struct http_conn *http__conn_take(struct http_server *s, const struct http_protocol *p, struct passed_conn *from)
{
	struct http_conn *c = make(s, p, &from->peer);
	if (c) {
		c->limits = from->limits;
		http__meter_start(&c->taking, &c->limits);
		c->transport.ops = from->ops;
		c->transport.of = from->of;
		c->client = from->client;
		c->is_tls = from->is_tls;
	}
	if (c && from->ops->attach(&c->transport, s->loop, from->fd, on_io)) {
		list(c);
		return c;
	}
	if (c)
		http__spare_put(s, &s->spare_conns, c);
	http__passed_drop(s->gate, from);
	return NULL;
}

// ---- output ----------------------------------------------------------------------------------------------------------------------

uint8_t *http__out_reserve(struct http_conn *c, size_t n)
{
	struct http_server *s = c->server;
	size_t pending = http__conn_pending(c);
	if (c->state == CONN_DEAD)
		return NULL;
	if (c->out && c->out->cap - c->out_len >= n)
		return c->out->data + c->out_len;
	if (c->out && c->out->cap - pending >= n) {
		memmove(c->out->data, c->out->data + c->out_start, pending);
	} else {
		struct block *b = pending + n <= BLOCK_OUT ? http__block_get(s, max_u64(pending + n, BLOCK_SMALL)) : NULL;
		if (!b) {
			http__conn_close(c, HTTP_CANCEL_NOMEM, false);
			return NULL;
		}
		if (c->out)
			memcpy(b->data, c->out->data + c->out_start, pending);
		http__block_put(s, c->out);
		c->out = b;
	}
	c->out_start = 0;
	c->out_len = pending;
	return c->out->data + c->out_len;
}

bool http__out_put(struct http_conn *c, const void *data, size_t n)
{
	uint8_t *to = http__out_reserve(c, n);
	if (!to)
		return false;
	memcpy(to, data, n);
	c->out_len += n;
	return true;
}

// The kernel took n bytes of what was offered.
static bool sent(struct http_conn *c, int64_t n)
{
	struct http_counters *k = &c->server->counters;
	k->send_calls++;
	if (n < 0 && n != -EAGAIN && c->protocol->deaf && c->protocol->deaf(c)) {
		c->is_deaf = true;
		return true;
	}
	if (n < 0 && n != -EAGAIN) {
		http__conn_close(c, HTTP_CANCEL_PEER, false);
		return false;
	}
	size_t took = n > 0 ? (size_t)n : 0, gone = took + c->transport.fixed - c->out_fixed;
	k->bytes_out += took;
	c->out_fixed = c->transport.fixed;
	if (gone && c->watches_output)
		c->protocol->sent(c, gone);
	return true;
}

static void block_writes(struct http_conn *c, int64_t sent_now)
{
	c->write_blocked = true;
	look_at_queue(c, sent_now > 0 ? (uint64_t)sent_now : 0);
	http__conn_update_interest(c);
}

static bool all_sent(struct http_conn *c, int64_t sent_now)
{
	http__block_put(c->server, c->out);
	c->out = NULL;
	c->out_start = c->out_len = c->out_fixed = 0;
	if (UNLIKELY(c->taking.since_ns)) {
		look_at_queue(c, sent_now > 0 ? (uint64_t)sent_now : 0);  // it is why there was room
		http__meter_stop(&c->taking, &c->limits, loop_now_ns(c->server->loop));
	}
	c->write_deadline = UINT64_MAX;
	if (c->state == CONN_CLOSING)
		finish_close(c);
	return c->state != CONN_DEAD;
}

bool http__out_flush(struct http_conn *c)
{
	if (c->state == CONN_DEAD)
		return false;
	if (http__conn_pending(c) == 0 || c->write_blocked)
		return true;
	if (c->watches_output && !c->protocol->before_send(c))
		return false;
	struct iovec v = {c->out->data + c->out_start, http__conn_pending(c)};
	int64_t n = c->transport.ops->sendv(&c->transport, &v, 1);
	if (!sent(c, n))
		return false;
	c->out_start += n > 0 ? (size_t)n : 0;
	if (http__conn_pending(c) == 0 || c->is_deaf)
		return all_sent(c, n);
	block_writes(c, n);
	return true;
}

bool http__out_gather(struct http_conn *c, const struct iovec *parts, int count)
{
	struct iovec v[8];
	int m = 0;
	BUG_ON(count > 7 || c->write_blocked);
	if (c->watches_output && !c->protocol->before_send(c))
		return false;
	size_t pending = http__conn_pending(c);
	if (pending)
		v[m++] = (struct iovec){c->out->data + c->out_start, pending};
	for (int i = 0; i < count; i++)
		v[m++] = parts[i];
	int64_t n = c->transport.ops->sendv(&c->transport, v, m);
	if (!sent(c, n))
		return false;
	if (c->is_deaf)
		return all_sent(c, n);
	size_t left = n > 0 ? (size_t)n : 0, own = min_u64(left, pending);
	c->out_start += own;
	left -= own;
	for (int i = 0; i < count; i++) {
		size_t skip = min_u64(left, parts[i].iov_len);
		left -= skip;
		if (parts[i].iov_len > skip && !http__out_put(c, (const uint8_t *)parts[i].iov_base + skip, parts[i].iov_len - skip))
			return false;
	}
	if (http__conn_pending(c) == 0)
		return all_sent(c, n);
	block_writes(c, n);
	return true;
}
