// Wires, from a name to the end of a connection, and the pool of a thread: calls that wait, wires that take them, when a connection is tried for (transport.h).
//
// The breaker: an attempt that fails sets the time of the next (BACK_OFF doubled each time up to BACK_OFF_MAX, less a random part of half of it). Calls wait
// for it until attempts have failed for BREAK_AFTER, or the server has refused us; then all that wait end, and those that come before that time end at once.
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "link_int.h"
#include "sys/sys.h"
#include "transport.h"

enum {
	CALLS_MAX = 1024,          // without an answer, a wire
	CALLS_MANY = 128,          // another wire is opened, if there may be one
	OUT_MAX = 256 << 10,       // bytes that wait to be sent: the wire takes no more calls
	OUT_MANY = 64 << 10,       // another wire is opened
	OUT_KEPT = 64 << 10,       // of an empty buffer
};
#define BACK_OFF (10 * MILLISECOND)
#define BACK_OFF_MAX (1000 * MILLISECOND)
#define BREAK_AFTER (1000 * MILLISECOND)
#define CONNECT_WITHIN (1500 * MILLISECOND)
#define IDLE (60 * SECOND)

static size_t waiting(const struct link_wire *w)
{
	return w->out.len - w->out_start;
}

static bool has_room(const struct link_wire *w);
static void pump(struct link_pool *p);
static void is_connected(struct link_pool *p);
static void has_failed(struct link_pool *p, bool refused, uint64_t began_ns);
static void end_call(struct link_call *c, enum link_call_end end, const char *why);
static void lose_call(struct link_call *c, bool left, const char *why);

// ---- end -------------------------------------------------------------------------------------------------------------------------

static void close_transport(struct link_wire *w)
{
	if (w->open)
		w->transport.ops->close(&w->transport, false);
	w->open = false;
}

static void unlink_wire(struct link_wire *w)
{
	*w->prev = w->next;
	if (w->next)
		w->next->prev = w->prev;
	w->pool->count--;
	if (w->state == WIRE_CONNECTS || w->state == WIRE_GREETS)
		w->pool->opening--;
}

static struct link_call **slot(const struct link_wire *w, uint64_t number)
{
	return &w->calls[number & (w->calls_cap - 1)];
}

static void enter_lane(struct link_wire *w, const struct link_call *c)
{
	if (c->lane < LANES) {
		w->pool->lanes[c->lane].wire = w;
		w->pool->lanes[c->lane].calls++;
	}
}

static void release_call(struct link_wire *w, struct link_call *c)
{
	c->wire = NULL;
	w->live--;
	if (c->lane < LANES)
		w->pool->lanes[c->lane].calls--;
}

// Its calls are told when it is out of the pool's sight: what they begin goes elsewhere. The last comes first, so that those which are given back stand in
// the order in which they came.
static void end_calls(struct link_wire *w)
{
	char why[sizeof w->pool->why];
	memcpy(why, w->pool->why, sizeof why);
	for (uint64_t n = w->end; n != w->first; n--) {
		struct link_call *c = *slot(w, n - 1);
		*slot(w, n - 1) = NULL;
		if (c) {
			release_call(w, c);
			lose_call(c, w->sent > c->begins, why);
		}
	}
}

static void free_wire(struct link_wire *w)
{
	loop_timer_cancel(w->pool->loop, &w->timer);
	loop_job_cancel(&w->flush);
	if (w->state == WIRE_CONNECTS && !w->open)
		http_connect_stop(&w->connect);
	close_transport(w);
	if (w->state != WIRE_CONNECTS)
		w->pool->protocol->gone(w);
	unlink_wire(w);
	end_calls(w);
	buf_release(&w->out);
	mem_free(w->calls);
	mem_free(w);
}

static void end(struct link_wire *w, bool refused)
{
	struct link_pool *p = w->pool;
	bool was_ready = w->state == WIRE_READY || w->state == WIRE_SUSPECT, went_well = was_ready && (w->served || !w->failed);
	uint64_t began_ns = was_ready ? loop_now_ns(p->loop) : w->connect.deadline_ns - p->server->connect_ns;
	free_wire(w);
	if (went_well)
		pump(p);
	else
		has_failed(p, refused, began_ns);  // also one that greeted and then answered nothing: the next one may do the same
}

void link__wire_fail(struct link_wire *w, bool refused, const char *fmt, ...)
{
	va_list args;
	if (w->failed)
		return;
	va_start(args, fmt);
	vsnprintf(w->pool->why, sizeof w->pool->why, fmt, args);
	va_end(args);
	w->failed = true;
	w->refused = refused;
	if (!w->in_read)
		end(w, refused);
}

// ---- bytes -----------------------------------------------------------------------------------------------------------------------

static void lost(struct link_wire *w, int64_t why)
{
	if (w->transport.failure)
		link__wire_fail(w, true, "%s", http_failure_text((enum http_failure)w->transport.failure));
	else if (why == 0)
		link__wire_fail(w, false, "the server has closed the connection");
	else
		link__wire_fail(w, false, "the connection was lost: %s", strerrordesc_np((int)-why));
}

static void want(struct link_wire *w)
{
	w->transport.ops->want(&w->transport, LOOP_READ | (waiting(w) ? LOOP_WRITE : 0u));
}

static void reset_out(struct link_wire *w)
{
	w->out_start = 0;
	if (w->out.cap > OUT_KEPT)
		buf_release(&w->out);
	else
		buf_clear(&w->out);
}

// Where there is always something left the buffer never is empty: what was sent goes when it is half of it, so that each byte is moved once.
static void drop_sent(struct link_wire *w)
{
	size_t left = waiting(w);
	memcpy(w->out.ptr, w->out.ptr + w->out_start, left);
	w->out.len = left;
	w->out_start = 0;
}

// false: the wire is gone.
static bool send_some(struct link_wire *w)
{
	bool was_full = waiting(w) > OUT_MANY;
	while (waiting(w)) {
		struct iovec v = {w->out.ptr + w->out_start, waiting(w)};
		int64_t n = w->transport.ops->sendv(&w->transport, &v, 1);
		if (n == -EAGAIN)
			break;
		if (n < 0) {
			lost(w, n);
			return false;
		}
		w->sent += (uint64_t)n;
		w->out_start += (size_t)n;
	}
	if (!waiting(w))
		reset_out(w);
	else if (w->out_start >= waiting(w))
		drop_sent(w);
	want(w);
	if (was_full && has_room(w))
		pump(w->pool);
	return true;
}

static void on_flush(struct loop_job *j)
{
	struct link_wire *w = CONTAINER_OF(j, struct link_wire, flush);
	if (w->out.failed)
		link__wire_fail(w, false, "memory is out");
	else
		(void)send_some(w);
}

void link__wire_flush(struct link_wire *w)
{
	loop_post(w->pool->loop, &w->flush);
}

static void heard(struct link_wire *w)
{
	w->heard_ns = loop_now_ns(w->pool->loop);
	if (w->state == WIRE_SUSPECT)
		w->state = WIRE_READY;
}

// Some of what has come: one who sends without end does not hold the loop.
static void receive(struct link_wire *w)
{
	enum { TURNS = 16 };
	uint8_t some[16384];
	int64_t n = 1;
	w->in_read = true;
	for (int i = 0; i < TURNS && !w->failed; i++) {
		n = w->transport.ops->recv(&w->transport, some, sizeof some);
		if (n <= 0)
			break;
		heard(w);
		if (!w->pool->protocol->read(w, slice_of(some, (size_t)n)) || n < (int64_t)sizeof some)
			break;
	}
	if (n <= 0 && n != -EAGAIN && !w->failed)
		lost(w, n);
	w->in_read = false;
	if (w->failed)
		end(w, w->refused);
	else
		pump(w->pool);
}

static void on_io(struct loop_io *io, uint32_t ready)
{
	struct http_transport *t = CONTAINER_OF(io, struct http_transport, io);
	struct link_wire *w = CONTAINER_OF(t, struct link_wire, transport);
	if (ready & LOOP_WRITE && waiting(w) && !send_some(w))
		return;
	if (ready & (LOOP_READ | LOOP_ERROR))
		receive(w);
}

// ---- it begins -------------------------------------------------------------------------------------------------------------------

static bool open_transport(struct link_wire *w, int fd, bool tls)
{
	const struct link_server *s = w->pool->server;
	struct err e = {0};
	if (tls && !s->tls_of) {
		sys_close(fd);
		link__wire_fail(w, true, "TLS can't be spoken");
		return false;
	}
	w->open = http_transport_open(&w->transport, w->pool->loop, fd, tls ? s->tls_of : NULL, s->host, on_io, &e);
	if (!w->open)
		link__wire_fail(w, false, "%s", e.text);
	return w->open;
}

static void on_connected(struct http_connect *k, int fd, enum http_failure failure)
{
	struct link_wire *w = CONTAINER_OF(k, struct link_wire, connect);
	if (fd < 0) {
		link__wire_fail(w, false, "%s:%u: %s", w->pool->server->host, w->pool->server->port, http_failure_text(failure));
		return;
	}
	if (!open_transport(w, fd, w->pool->server->tls))
		return;
	w->state = WIRE_GREETS;
	w->heard_ns = loop_now_ns(w->pool->loop);
	loop_timer_set(w->pool->loop, &w->timer, w->connect.deadline_ns);
	if (!w->pool->protocol->greet(w))
		link__wire_fail(w, false, "memory is out");
}

bool link__wire_start_tls(struct link_wire *w)
{
	int fd = w->transport.io.fd;
	loop_io_close(&w->transport.io, false);
	w->open = false;
	w->transport = (struct http_transport){0};
	return open_transport(w, fd, true);
}

static void on_time(struct loop_timer *t)
{
	struct link_wire *w = CONTAINER_OF(t, struct link_wire, timer);
	struct link_pool *p = w->pool;
	if (w->state == WIRE_GREETS) {
		link__wire_fail(w, false, "%s:%u: the server does not answer", p->server->host, p->server->port);
		return;
	}
	uint64_t now = loop_now_ns(p->loop), until = sat_add_u64(w->live ? now : w->heard_ns, p->server->idle_ns);
	if (now < until && w->state == WIRE_READY)
		loop_timer_set(p->loop, t, until);
	else
		end(w, false);  // what it gives back goes elsewhere
}

static void start(struct loop_job *j)
{
	struct link_wire *w = CONTAINER_OF(j, struct link_wire, flush);
	w->flush.fn = on_flush;
	http_connect_start(&w->connect, w->pool->server->host, w->pool->server->port);
}

static bool open_wire(struct link_pool *p)
{
	struct link_wire *w = mem_zalloc(p->protocol->wire_size);
	if (!w)
		return false;
	w->pool = p;
	w->timer.fn = on_time;
	w->flush.fn = start;
	w->connect = (struct http_connect){.loop = p->loop, .names = p->names, .done = on_connected, .io.fd = -1};
	w->connect.deadline_ns = sat_add_u64(loop_now_fresh_ns(p->loop), p->server->connect_ns);
	w->next = p->wires;
	w->prev = &p->wires;
	if (w->next)
		w->next->prev = &w->next;
	p->wires = w;
	p->count++;
	p->opening++;
	loop_post(p->loop, &w->flush);  // what its end would call is not within a call of the pool
	return true;
}

void link__wire_greeted(struct link_wire *w)
{
	struct link_pool *p = w->pool;
	w->state = WIRE_READY;
	p->opening--;
	loop_timer_set(p->loop, &w->timer, sat_add_u64(loop_now_ns(p->loop), p->server->idle_ns));
	is_connected(p);
}

// ---- calls on it -----------------------------------------------------------------------------------------------------------------

static bool grow_ring(struct link_wire *w)
{
	uint32_t cap = w->calls_cap ? w->calls_cap * 2 : 16;
	struct link_call **calls = mem_zalloc(cap * sizeof *calls);
	if (!calls)
		return false;
	for (uint64_t n = w->first; n != w->end; n++)
		calls[n & (cap - 1)] = *slot(w, n);
	mem_free(w->calls);
	w->calls = calls;
	w->calls_cap = cap;
	return true;
}

static bool has_room(const struct link_wire *w)
{
	return w->state == WIRE_READY && !w->failed && w->end - w->first < CALLS_MAX && waiting(w) <= OUT_MAX;
}

static void give(struct link_wire *w, struct link_call *c)
{
	if (w->end - w->first == w->calls_cap && !grow_ring(w)) {
		end_call(c, CALL_NOT_SENT, "memory is out");
		return;
	}
	c->wire = w;
	c->number = w->end++;
	c->begins = w->sent + waiting(w);
	c->left_ns = loop_now_ns(w->pool->loop);
	*slot(w, c->number) = c;
	w->live++;
	enter_lane(w, c);
	if (w->pool->protocol->write(w, c)) {
		link__wire_flush(w);
		return;
	}
	w->end--;
	*slot(w, c->number) = NULL;
	release_call(w, c);
	end_call(c, CALL_TOO_LARGE, "it is more than the server takes");
}

struct link_call *link__wire_next(const struct link_wire *w, bool *ret_any)
{
	*ret_any = w->first != w->end;
	return *ret_any ? *slot(w, w->first) : NULL;
}

struct link_call *link__wire_find(const struct link_wire *w, uint64_t number)
{
	return number >= w->first && number < w->end ? *slot(w, number) : NULL;
}

static void skip_empty(struct link_wire *w)
{
	while (w->first != w->end && !*slot(w, w->first))
		w->first++;
}

void link__wire_took(struct link_wire *w, uint64_t number)
{
	struct link_call *c = *slot(w, number);
	if (c)
		release_call(w, c);
	*slot(w, number) = NULL;
	w->served = true;
	if (w->pool->protocol->in_order)
		w->first++;
	else
		skip_empty(w);
}

static void suspect(struct link_wire *w, const struct link_call *c)
{
	if (w->heard_ns <= c->left_ns && w->state == WIRE_READY && loop_now_ns(w->pool->loop) >= c->deadline_ns)
		w->state = WIRE_SUSPECT;
}

static void forget(struct link_wire *w, struct link_call *c)
{
	*slot(w, c->number) = NULL;
	release_call(w, c);
	if (!w->pool->protocol->in_order)
		skip_empty(w);
	suspect(w, c);
}

// ---- the queue -------------------------------------------------------------------------------------------------------------------

static void append(struct link_pool *p, struct link_call *c)
{
	c->next = NULL;
	c->prev = p->last;
	*p->last = c;
	p->last = &c->next;
}

static void prepend(struct link_pool *p, struct link_call *c)
{
	c->next = p->first;
	c->prev = &p->first;
	if (c->next)
		c->next->prev = &c->next;
	else
		p->last = &c->next;
	p->first = c;
}

static void take_out(struct link_pool *p, struct link_call *c)
{
	*c->prev = c->next;
	if (c->next)
		c->next->prev = c->prev;
	else
		p->last = c->prev;
	c->prev = NULL;
}

static void end_call(struct link_call *c, enum link_call_end end, const char *why)
{
	struct link_pool *p = c->pool;
	if (c->prev)
		take_out(p, c);
	c->pool = NULL;
	c->wire = NULL;
	c->done(c, end, why);
}

void link__call_answered(struct link_call *c)
{
	end_call(c, CALL_ANSWERED, NULL);
}

void link__call_not_taken(struct link_call *c, const char *why)
{
	end_call(c, CALL_NOT_SENT, why);
}

static void lose_call(struct link_call *c, bool left, const char *why)
{
	struct link_pool *p = c->pool;
	bool again = !left || (c->reads && !c->again);
	c->wire = NULL;
	if (!again || p->closed) {
		end_call(c, left ? CALL_UNKNOWN : CALL_NOT_SENT, why);
		return;
	}
	c->again |= left;
	prepend(p, c);
}

// All that wait now; what they begin waits for another time.
static void end_waiting(struct link_pool *p, enum link_call_end end, const char *why)
{
	struct link_call *list = p->first;
	char text[sizeof p->why];
	snprintf(text, sizeof text, "%s", why);
	p->first = NULL;
	p->last = &p->first;
	if (list)
		list->prev = &list;
	while (list) {
		struct link_call *c = list;
		list = c->next;
		if (list)
			list->prev = &list;
		c->prev = NULL;
		end_call(c, end, text);
	}
}

// ---- attempts --------------------------------------------------------------------------------------------------------------------

static uint64_t next_random(struct link_pool *p)
{
	p->random ^= p->random << 13;
	p->random ^= p->random >> 7;
	p->random ^= p->random << 17;
	return p->random;
}

// A server that lets no more connections in still serves those that are.
static bool has_ready_wire(const struct link_pool *p)
{
	for (const struct link_wire *w = p->wires; w; w = w->next)
		if (w->state == WIRE_READY && !w->failed)
			return true;
	return false;
}

static bool is_broken(const struct link_pool *p, uint64_t now)
{
	return p->failing_since_ns && (p->refused || now - p->failing_since_ns >= BREAK_AFTER) && !has_ready_wire(p);
}

static void is_connected(struct link_pool *p)
{
	p->failures = 0;
	p->failing_since_ns = 0;
	p->refused = false;
	loop_timer_cancel(p->loop, &p->retry);
	pump(p);
}

static void has_failed(struct link_pool *p, bool refused, uint64_t began_ns)
{
	uint64_t now = loop_now_ns(p->loop), wait = min_u64(BACK_OFF << min_u64(p->failures, 10), BACK_OFF_MAX);
	if (p->closed)
		return;
	p->failures++;
	p->refused = refused;
	if (!p->failing_since_ns)
		p->failing_since_ns = began_ns;
	p->next_try_ns = now + wait - next_random(p) % (wait / 2);
	if (is_broken(p, now))
		end_waiting(p, CALL_NOT_SENT, p->why);
	else
		loop_timer_set(p->loop, &p->retry, p->next_try_ns);
}

static void on_retry(struct loop_timer *t)
{
	pump(CONTAINER_OF(t, struct link_pool, retry));
}

static void on_turn(struct loop_job *j)
{
	pump(CONTAINER_OF(j, struct link_pool, turn));
}

// ---- calls meet wires ------------------------------------------------------------------------------------------------------------

// Where the call's lane is, if it has calls: NULL where that takes none now. Else the ready wire with the least to do. Those that nobody waits for and that
// do not answer are given up.
static struct link_wire *choose(struct link_pool *p, const struct link_call *c, uint32_t *ret_useful)
{
	struct link_wire *best = NULL;
	*ret_useful = 0;
	for (struct link_wire *w = p->wires, *next; w; w = next) {
		next = w->next;
		if (w->state == WIRE_SUSPECT) {
			if (w->live == 0)
				free_wire(w);
			continue;
		}
		++*ret_useful;
		if (!has_room(w))
			continue;
		if (!best || waiting(w) + w->live < waiting(best) + best->live)
			best = w;
	}
	if (c->lane < LANES && p->lanes[c->lane].calls)
		return has_room(p->lanes[c->lane].wire) ? p->lanes[c->lane].wire : NULL;
	return best;
}

static bool is_busy(const struct link_wire *w)
{
	return w->live >= CALLS_MANY || waiting(w) > OUT_MANY;
}

// One more, if there may be: one attempt at a time, none before its time, and those that do not answer count half.
static void open_another(struct link_pool *p, uint32_t useful)
{
	const struct link_server *s = p->server;
	uint32_t most = __atomic_load_n(&s->wires, __ATOMIC_RELAXED);
	if (p->opening || useful >= most || p->count / 2 >= most || loop_now_ns(p->loop) < p->next_try_ns)
		return;
	if (!open_wire(p) && p->count == 0)
		end_waiting(p, CALL_NOT_SENT, "memory is out");
}

static void pump(struct link_pool *p)
{
	if (p->pumping || p->closed)
		return;
	p->pumping = true;
	while (p->first) {
		uint32_t useful;
		struct link_call *c = p->first;
		struct link_wire *w = choose(p, c, &useful);
		if (!w || is_busy(w))
			open_another(p, useful);
		if (!w || c != p->first)
			break;
		take_out(p, c);
		give(w, c);
	}
	p->pumping = false;
}

void link__pool_call(struct link_pool *p, struct link_call *c)
{
	uint64_t now = loop_now_ns(p->loop);
	c->pool = p;
	c->wire = NULL;
	c->prev = NULL;
	c->again = false;
	if (p->closed || (is_broken(p, now) && now < p->next_try_ns && !p->opening)) {
		end_call(c, CALL_NOT_SENT, p->closed ? "the store is closed" : p->why);
		return;
	}
	append(p, c);
	pump(p);
}

bool link__call_cancel(struct link_call *c)
{
	struct link_pool *p = c->pool;
	struct link_wire *w = c->wire;
	bool left = false;
	if (!p)
		return false;
	if (c->prev)
		take_out(p, c);
	if (w) {
		left = true;
		forget(w, c);
	}
	c->pool = NULL;
	if (p->first)  // its lane may be free, or its wire be of no use any more
		loop_post(p->loop, &p->turn);
	return left;
}

void link__call_is_late(struct link_call *c)
{
	if (!c->wire)
		return;
	suspect(c->wire, c);
	if (c->pool->first)
		loop_post(c->pool->loop, &c->pool->turn);
}

void link__pool_recall(struct link_pool *p)
{
	end_waiting(p, CALL_RECALLED, "the store is being changed");
}

uint32_t link__pool_on_wires(const struct link_pool *p)
{
	uint32_t n = 0;
	for (const struct link_wire *w = p->wires; w; w = w->next)
		n += w->live;
	return n;
}

// ---- the server ----------------------------------------------------------------------------------------------------------------

bool link__server_init(struct link_server *s, const struct link_store *store, struct err *e)
{
	const struct link_target *t = &store->target;
	if (t->host.len == 0 || t->host.len > HTTP_HOST_MAX) {
		err_set(e, ERR_USAGE, "'%.*s' names no host", SLICE_ARGS(slice_sub(t->text, 0, 100)));
		return false;
	}
	struct http_tls *tls = __atomic_load_n(&store->host->tls, __ATOMIC_ACQUIRE);
	if (t->tls && !tls)
		return err_set(e, ERR_USAGE, "'%.*s': TLS is not to be had here", SLICE_ARGS(slice_sub(t->text, 0, 100)));
	memcpy(s->host, t->host.ptr, t->host.len);
	s->host[t->host.len] = 0;
	s->port = t->port ? t->port : store->provider->port;
	s->tls = t->tls;
	s->tls_of = tls;
	s->wires = store->pool;
	s->connect_ns = CONNECT_WITHIN;
	s->idle_ns = IDLE;
	return true;
}

// ---- life ------------------------------------------------------------------------------------------------------------------------

void link__pool_init(struct link_pool *p, struct loop *l, struct loop_pool *names, const struct link_server *server, const struct link_protocol *protocol,
	void *user)
{
	*p = (struct link_pool){.loop = l, .names = names, .server = server, .protocol = protocol, .user = user};
	p->last = &p->first;
	p->retry.fn = on_retry;
	p->turn.fn = on_turn;
	p->random = sys_now_ns() | 1;
}

void link__pool_release(struct link_pool *p)
{
	p->closed = true;
	snprintf(p->why, sizeof p->why, "the store is closed");
	end_waiting(p, CALL_NOT_SENT, p->why);
	while (p->wires)
		free_wire(p->wires);
	loop_timer_cancel(p->loop, &p->retry);
	loop_job_cancel(&p->turn);
}
