// The server of one shard: listeners, drain, and the deliveries that must come from the loop.
//
// 1. `conns` holds what is open; a closed connection waits in `graveyard` until this turn of the loop is over, so that code which called out
//    may still look at its state.
// 2. An exchange is in `cancels` from the moment the wire lost it until its owner was told; it is recycled there if the owner let go first.
// 3. The server's memory goes when it was freed and its last exchange was released.
#include "http_int.h"

#include <errno.h>

const struct http_limits http_limits_default = {
	.head_bytes = HTTP_HEAD_MAX,
	.fields = HTTP_FIELDS_MAX,
	.streams = 100,
	.body_bytes = HTTP_NO_LIMIT,
	.drain_bytes = 65536,
	.idle_ns = 75 * SECOND,
	.coming_ns = SECOND / 4,
	.head_ns = 10 * SECOND,
	.body_ns = 30 * SECOND,
	.body_total_ns = 3600 * SECOND,
	.write_ns = 30 * SECOND,
	.min_rate = 500,
	.grace_ns = 10 * SECOND,
};

enum { BACKLOG = 1024, RESERVED = 64 };  // RESERVED: so many connections have what they need when memory runs out

// ---- after a turn of the loop ----------------------------------------------------------------------------------------------------

static void watch(struct http_listener *l, uint32_t interest)
{
	loop_io_want(&l->io, interest | (l->io.interest & LOOP_ONE));
}

static void resume_accepting(struct http_server *s)
{
	bool all = true;
	for (uint32_t i = 0; i < s->listener_count; i++) {
		watch(&s->listeners[i], LOOP_READ);
		all = all && s->listeners[i].io.interest & LOOP_READ;
	}
	s->paused = !all;
	if (!all)
		loop_timer_set(s->loop, &s->accept_timer, loop_now_ns(s->loop) + SECOND / 10);
}

static void deliver_cancels(struct http_server *s)
{
	struct http_exchange *x;
	while ((x = s->cancels)) {
		s->cancels = x->next;
		x->cancel_pending = false;
		if (!x->owned)
			x->wire->recycle(x);
		else if (!x->told && x->ops && x->ops->on_cancel)
			x->ops->on_cancel(x->user, x, x->why);
	}
}

static void clear_graveyard(struct http_server *s)
{
	struct http_conn *c;
	while ((c = s->graveyard)) {
		s->graveyard = c->next;
		http__spare_put(s, &s->spare_conns, c);
	}
}

static void server_turn(struct loop_job *t)
{
	struct http_server *s = CONTAINER_OF(t, struct http_server, job);
	deliver_cancels(s);
	if (s->graveyard && s->paused && !loop_timer_is_armed(&s->accept_timer))
		resume_accepting(s);
	clear_graveyard(s);
	if (s->draining && !s->conns && !s->awaits && s->on_drained) {
		void (*fn)(void *user) = s->on_drained;
		s->on_drained = NULL;
		fn(s->drained_user);
	}
}

// ---- accepting -------------------------------------------------------------------------------------------------------------------

enum { EVICT_MOST = 32, EVICT_PART = 64 };

// Closes some of those that are idle longest, so that there is room for a while: one that nobody reads from any more has nothing to lose. false:
// none is idle.
static bool close_idle(struct http_server *s)
{
	struct http_conn *oldest[EVICT_MOST];
	uint64_t most = http__gate_max(s->gate) / EVICT_PART, now = loop_now_ns(s->loop);
	size_t n = 0, max = most > EVICT_MOST ? EVICT_MOST : most ? (size_t)most
															  : 1;
	for (struct http_conn *c = s->conns; c; c = c->next) {
		if (c->idle_since > now || http__conn_pending(c))
			continue;
		if (n == max && c->idle_since >= oldest[n - 1]->idle_since)
			continue;
		size_t at = n < max ? n++ : n - 1;
		for (; at > 0 && oldest[at - 1]->idle_since > c->idle_since; at--)
			oldest[at] = oldest[at - 1];
		oldest[at] = c;
	}
	uint64_t before = s->counters.evicted;
	for (size_t i = 0; i < n; i++)
		oldest[i]->protocol->evict(oldest[i]);
	return s->counters.evicted > before;
}

static void on_room_asked(struct loop_remote *r)
{
	struct http_server *s = CONTAINER_OF(r, struct http_server, room_remote);
	__atomic_store_n(&s->room_asked, false, __ATOMIC_RELEASE);
	if (s->freed)
		http__server_memory_free(s);
	else
		close_idle(s);
}

static void say_full(struct http_server *s, enum http_full what, const struct http_address *peer)
{
	if (s->config.on_full && http__gate_says(s->gate, what))
		s->config.on_full(s->config.user, what, peer);
}

static void on_accept_timer(struct loop_timer *t)
{
	resume_accepting(CONTAINER_OF(t, struct http_server, accept_timer));
}

static void pause_accepting(struct http_server *s, uint64_t for_ns)
{
	for (uint32_t i = 0; i < s->listener_count; i++)
		watch(&s->listeners[i], 0);
	s->paused = true;
	if (for_ns)
		loop_timer_set(s->loop, &s->accept_timer, loop_now_ns(s->loop) + for_ns);
}

// A place for one more. Where there is none, and one is known to wait for it: one is made, or accepting waits.
static bool enter(struct http_server *s, bool waits)
{
	if (http__gate_enter(s->gate, s->draining))
		return true;
	if (!waits)
		return false;
	say_full(s, HTTP_FULL_CONNECTIONS, NULL);
	if (close_idle(s) && http__gate_enter(s->gate, false))
		return true;
	http__gate_ask_another(s->gate, s);
	pause_accepting(s, SECOND / 100);
	return false;
}

// Nobody is accepted who could not even be told that there is no memory. Where it is short those that come wait, as long as idle connections don't
// make room.
static bool reserve(struct http_server *s)
{
	if (http__h1_reserve(s, (uint32_t)min_u64(s->counters.connections + 1, RESERVED)))
		return true;
	say_full(s, HTTP_FULL_MEMORY, NULL);
	http__gate_leave(s->gate);
	if (!close_idle(s))
		pause_accepting(s, SECOND / 10);
	return false;
}

// Descriptors are short though there are places: somebody else has them.
static bool is_short(int64_t fd)
{
	return fd == -EMFILE || fd == -ENFILE || fd == -ENOBUFS || fd == -ENOMEM;
}

static void pass_accepted(struct http_server *s, int fd, const struct http_address *peer)
{
	struct http_passed *c = http__accepted_new(fd, peer);
	if (c) {
		s->config.on_passed(s->config.user, c);
		return;
	}
	sys_close(fd);
	http__gate_leave(s->gate);
}

static void open_accepted(struct http_server *s, int fd, const struct http_address *peer)
{
	if (!http__serve_open(s, fd, peer, NULL) && s->counters.turned_away)
		say_full(s, HTTP_FULL_CLIENT, peer);
}

// Takes what waits. At most `max`: the other connections want their turn too.
static void accept_waiting(struct http_listener *l, uint32_t max)
{
	struct http_server *s = l->server;
	for (uint32_t i = 0; i < max; i++) {
		if (!enter(s, i == 0) || !reserve(s))
			return;
		struct http_address peer = {.len = sizeof peer.bytes};
		int64_t fd = sys_net.accept(l->io.fd, peer.bytes, &peer.len);
		peer.len = (uint32_t)min_u64(peer.len, sizeof peer.bytes);  // that of a path is longer
		if (fd < 0)
			http__gate_leave(s->gate);
		if (is_short(fd)) {
			say_full(s, HTTP_FULL_DESCRIPTORS, NULL);
			if (close_idle(s))
				continue;
			pause_accepting(s, SECOND / 10);  // level-triggered: else the loop would spin on it
		}
		if (fd < 0)
			return;
		if (s->config.passes_all)
			pass_accepted(s, (int)fd, &peer);
		else
			open_accepted(s, (int)fd, &peer);
	}
}

static void on_listener(struct loop_io *io, uint32_t ready)
{
	accept_waiting(CONTAINER_OF(io, struct http_listener, io), 256);
}

static bool add_listener(struct http_server *s, int fd, uint32_t interest, struct err *e)
{
	struct http_listener *l = &s->listeners[s->listener_count];
	bool ok = s->listener_count < LISTENERS_MAX || err_set(e, ERR_LIMIT, "more than %d addresses to listen on", LISTENERS_MAX);
	if (!ok || !loop_io_open(s->loop, &l->io, fd, interest, on_listener, e)) {
		sys_close(fd);
		return false;
	}
	l->server = s;
	s->listener_count++;
	return true;
}

bool http_server_listen(struct http_server *s, struct http_address *addr, bool first, struct err *e)
{
	int fd;
	char text[64];
	http_address_print(addr, text, sizeof text);
	bool ok = sys_listen(addr->bytes, &addr->len, first, true, BACKLOG, &fd, e);
	if (!ok && addr->all && http__address_to_v4(addr)) {  // a machine without IPv6
		err_clear(e);
		ok = sys_listen(addr->bytes, &addr->len, first, true, BACKLOG, &fd, e);
	}
	return ok ? add_listener(s, fd, LOOP_READ, e) : err_note(e, "address %s", text);
}

bool http_server_listen_on(struct http_server *s, int fd, struct err *e)
{
	return add_listener(s, fd, LOOP_READ | LOOP_ONE, e);
}

void http_server_hold(struct http_server *s, bool holds)
{
	if (holds)
		pause_accepting(s, 0);
	else
		resume_accepting(s);
}

bool http_server_adopt(struct http_server *s, int fd, struct err *e)
{
	struct http_address peer = {0};
	if (s->draining)
		return err_set(e, ERR_ENV, "the server is draining");
	http__gate_enter(s->gate, true);
	sys_no_delay(fd);
	return http__serve_open(s, fd, &peer, e);
}

void http_server_take(struct http_server *s, struct http_gate *gate, struct http_passed *c)
{
	struct passed_conn *k = CONTAINER_OF(c, struct passed_conn, passed);
	if (!s)
		http__passed_drop(gate, k);
	else if (k->ops)
		http__serve_passed(s, k);
	else
		open_accepted(s, k->fd, &k->peer);
	mem_free(k);
}

void http_server_await(struct http_server *s, bool more)
{
	s->awaits = more;
	loop_post(s->loop, &s->job);
}

bool http_server_renew(struct http_server *s)
{
	bool all = true;
	for (struct http_conn *c = s->conns; c; c = c->next)
		if (c->state == CONN_OPEN && c->protocol->renew)
			all &= c->protocol->renew(c);
	return !all;
}

// ---- life ------------------------------------------------------------------------------------------------------------------------

void http_server_change(struct http_server *s, const struct http_limits *limits, struct http_tls *tls)
{
	struct http_limits *m = &s->config.limits;
	*m = *limits;
	m->head_bytes = (uint32_t)min_u64(m->head_bytes, HTTP_HEAD_MAX);
	m->fields = (uint32_t)min_u64(m->fields, HTTP_FIELDS_MAX);
	s->config.tls = tls;
}

bool http_server_new(struct loop *l, const struct http_server_config *config, struct http_server **ret, struct err *e)
{
	struct http_server *s = mem_zalloc(sizeof *s);
	if (!s)
		return err_nomem(e);
	s->scratch = sys_map_anonymous(HTTP_SCRATCH);
	if (!s->scratch) {
		mem_free(s);
		return err_nomem(e);
	}
	s->gate = config->gate;
	if (!s->gate && !http_gate_new(HTTP_NO_LIMIT, HTTP_NO_LIMIT, &s->gate, e)) {
		http__pools_release(s);
		mem_free(s);
		return false;
	}
	s->loop = l;
	s->config = *config;
	if (config->on_request && !http__h1_reserve(s, 1)) {
		http__pools_release(s);
		if (!config->gate)
			http_gate_free(s->gate);
		mem_free(s);
		return err_nomem(e);
	}
	http_server_change(s, &config->limits, config->tls);
	s->job.fn = server_turn;
	s->accept_timer.fn = on_accept_timer;
	s->room_remote.fn = on_room_asked;
	http__gate_join(s->gate, s);
	*ret = s;
	return true;
}

static void close_listeners(struct http_server *s)
{
	for (uint32_t i = 0; i < s->listener_count; i++) {
		struct loop_io *io = &s->listeners[i].io;
		int fd = io->fd;
		loop_io_close(io, false);  // others may have the socket, too
		sys_close(fd);
	}
	s->listener_count = 0;
	loop_timer_cancel(s->loop, &s->accept_timer);
}

void http_server_drain(struct http_server *s, void (*on_drained)(void *user), void *user)
{
	if (s->draining)
		return;
	s->draining = true;
	s->on_drained = on_drained;
	s->drained_user = user;
	for (uint32_t i = 0; i < s->listener_count; i++)
		accept_waiting(&s->listeners[i], UINT32_MAX);  // closing a listener drops its queue
	close_listeners(s);
	for (struct http_conn *c = s->conns; c; c = c->next)
		http__conn_turn_later(c);  // idle ones are looked at one by one
	loop_post(s->loop, &s->job);
}

void http_server_free(struct http_server *s)
{
	if (!s)
		return;
	s->on_drained = NULL;
	s->draining = true;
	close_listeners(s);
	while (s->conns)
		http__conn_close(s->conns, HTTP_CANCEL_SERVER, false);
	deliver_cancels(s);
	loop_job_cancel(&s->job);
	clear_graveyard(s);
	http__gate_part(s->gate, s);
	if (!s->config.gate)
		http_gate_free(s->gate);
	s->freed = true;
	http__pools_release(s);
	http__server_memory_free(s);
}

const struct http_counters *http_server_counters(const struct http_server *s)
{
	return &s->counters;
}
