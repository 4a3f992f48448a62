// The server of one shard: listeners, pools, drain, and the deliveries that must come from the loop.
//
// 1. `conns` holds what is open; a closed connection waits in `graveyard` until this turn of the loop is over, so that code which called out
//    may still look at its state.
// 2. An exchange is in `cancels` from the moment the wire lost it until its owner was told; it is recycled there if the owner let go first.
// 3. The server's memory goes when it was freed and its last exchange was released.
#include "http_int.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

const struct http_limits http_limits_default = {
	.head_bytes = HTTP_HEAD_MAX,
	.fields = HTTP_FIELDS_MAX,
	.body_bytes = HTTP_NO_LIMIT,
	.drain_bytes = 65536,
	.idle_ns = 75 * SECOND,
	.head_ns = 10 * SECOND,
	.body_ns = 30 * SECOND,
	.body_total_ns = 3600 * SECOND,
	.write_ns = 30 * SECOND,
	.min_rate = 500,
	.grace_ns = 10 * SECOND,
};

enum { SPARE_CONNS = 1024, SPARE_EXCHANGES = 1024, BACKLOG = 1024 };
static const struct {
	uint32_t cap, keep;
} classes[BLOCK_CLASSES] = {{BLOCK_SMALL, 512}, {BLOCK_IN, 64}, {BLOCK_OUT, 32}};

// ---- pools -----------------------------------------------------------------------------------------------------------------------

struct block *http__block_get(struct http_server *s, size_t cap)
{
	uint32_t i = 0;
	while (i < BLOCK_CLASSES && classes[i].cap < cap)
		i++;
	BUG_ON(i == BLOCK_CLASSES);
	struct block *b = s->blocks[i];
	if (b) {
		s->blocks[i] = b->next;
		s->block_counts[i]--;
		return b;
	}
	b = mem_alloc(sizeof *b + classes[i].cap);
	if (b)
		*b = (struct block){.cap = classes[i].cap, .class = i};
	return b;
}

void http__block_put(struct http_server *s, struct block *b)
{
	if (!b)
		return;
	if (s->freed || s->block_counts[b->class] >= classes[b->class].keep) {
		mem_free(b);
		return;
	}
	b->next = s->blocks[b->class];
	s->blocks[b->class] = b;
	s->block_counts[b->class]++;
}

struct http_exchange *http__exchange_new(struct http_server *s)
{
	struct http_exchange *x = s->spare_exchanges;
	if (x) {
		s->spare_exchanges = x->next;
		s->spare_exchange_count--;
	} else if (!(x = mem_alloc(sizeof *x))) {
		return NULL;
	}
	memset(x, 0, offsetof(struct http_exchange, head));
	x->server = s;
	x->owned = true;
	s->exchanges++;
	return x;
}

static void server_memory_free(struct http_server *s)
{
	if (s->freed && s->exchanges == 0 && !__atomic_load_n(&s->room_asked, __ATOMIC_ACQUIRE))
		mem_free(s);
}

void http__exchange_recycle(struct http_exchange *x)
{
	struct http_server *s = x->server;
	http__block_put(s, x->head_block);
	http__block_put(s, x->trailer_block);
	s->exchanges--;
	if (s->freed || s->spare_exchange_count >= SPARE_EXCHANGES) {
		mem_free(x);
		server_memory_free(s);
		return;
	}
	x->next = s->spare_exchanges;
	s->spare_exchanges = x;
	s->spare_exchange_count++;
}

struct http_conn *http__conn_new(struct http_server *s)
{
	struct http_conn *c = s->spare_conns;
	if (c) {
		s->spare_conns = c->next;
		s->spare_conn_count--;
	} else if (!(c = mem_alloc(sizeof *c))) {
		return NULL;
	}
	memset(c, 0, sizeof *c);
	c->server = s;
	c->next = s->conns;
	c->prev = &s->conns;
	if (c->next)
		c->next->prev = &c->next;
	s->conns = c;
	s->counters.connections++;
	return c;
}

static void resume_accepting(struct http_server *s)
{
	for (uint32_t i = 0; i < s->listener_count; i++)
		loop_io_want(&s->listeners[i].io, LOOP_READ);
	s->paused = false;
}

void http__conn_bury(struct http_conn *c)
{
	struct http_server *s = c->server;
	*c->prev = c->next;
	if (c->next)
		c->next->prev = c->prev;
	c->next = s->graveyard;
	s->graveyard = c;
	s->counters.connections--;
	s->counters.closed++;
	http__gate_leave_client(s->gate, c->client);
	http__gate_leave(s->gate);
	if (s->paused && !loop_timer_is_armed(&s->accept_timer))
		resume_accepting(s);
	loop_post(s->loop, &s->task);
}

static void deliver_cancels(struct http_server *s)
{
	struct http_exchange *x;
	while ((x = s->cancels)) {
		s->cancels = x->next;
		x->cancel_pending = false;
		if (!x->owned)
			http__exchange_recycle(x);
		else if (!x->told && x->ops && x->ops->on_cancel)
			x->ops->on_cancel(x->user, x, x->why);
	}
}

static void clear_graveyard(struct http_server *s)
{
	struct http_conn *c;
	while ((c = s->graveyard)) {
		s->graveyard = c->next;
		if (s->spare_conn_count >= SPARE_CONNS) {
			mem_free(c);
			continue;
		}
		c->next = s->spare_conns;
		s->spare_conns = c;
		s->spare_conn_count++;
	}
}

static void server_turn(struct loop_task *t)
{
	struct http_server *s = CONTAINER_OF(t, struct http_server, task);
	deliver_cancels(s);
	clear_graveyard(s);
	if (s->draining && !s->conns && s->on_drained) {
		void (*fn)(void *user) = s->on_drained;
		s->on_drained = NULL;
		fn(s->drained_user);
	}
}

struct slice http__date(struct http_server *s)
{
	uint64_t now = loop_now_ns(s->loop);
	if (UNLIKELY(now >= s->date_until_ns)) {
		uint64_t wall = sys_wall_ns();
		time_t t = (time_t)(wall / SECOND);
		struct tm tm;
		gmtime_r(&t, &tm);
		s->date_len = (uint32_t)strftime((char *)s->date, sizeof s->date, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
		s->date_until_ns = now + SECOND - wall % SECOND;
	}
	return slice_of(s->date, s->date_len);
}

// ---- accepting -------------------------------------------------------------------------------------------------------------------

enum { EVICT_MOST = 32, EVICT_PART = 64 };

// Closes some of those that are idle longest, so that there is room for a while: one that nobody reads from any more has nothing to lose. false:
// none is idle.
static bool close_idle(struct http_server *s)
{
	struct http_conn *oldest[EVICT_MOST];
	uint64_t most = http__gate_max(s->gate) / EVICT_PART;
	size_t n = 0, max = most > EVICT_MOST ? EVICT_MOST : most ? (size_t)most
															  : 1;
	for (struct http_conn *c = s->conns; c; c = c->next) {
		if (c->state != CONN_IDLE || http__conn_pending(c))
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
		http__conn_evict(oldest[i]);
	return s->counters.evicted > before;
}

static void on_room_asked(struct loop_remote *r)
{
	struct http_server *s = CONTAINER_OF(r, struct http_server, room_remote);
	__atomic_store_n(&s->room_asked, false, __ATOMIC_RELEASE);
	if (s->freed)
		server_memory_free(s);
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
		loop_io_want(&s->listeners[i].io, 0);
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

// Descriptors are short though there are places: somebody else has them.
static bool is_short(int64_t fd)
{
	return fd == -EMFILE || fd == -ENFILE || fd == -ENOBUFS || fd == -ENOMEM;
}

// Takes what waits. At most `max`: the other connections want their turn too.
static void accept_waiting(struct http_listener *l, uint32_t max)
{
	struct http_server *s = l->server;
	for (uint32_t i = 0; i < max; i++) {
		if (!enter(s, i == 0))
			return;
		struct http_address peer = {.len = sizeof peer.bytes};
		int64_t fd = sys_net.accept(l->io.fd, peer.bytes, &peer.len);
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
		if (!http__conn_open(s, (int)fd, &peer, NULL) && s->counters.turned_away)
			say_full(s, HTTP_FULL_CLIENT, &peer);
	}
}

static void on_listener(struct loop_io *io, uint32_t ready)
{
	accept_waiting(CONTAINER_OF(io, struct http_listener, io), 256);
}

bool http_server_listen(struct http_server *s, struct http_address *addr, bool first, struct err *e)
{
	int fd;
	char text[64];
	http_address_print(addr, text, sizeof text);
	if (s->listener_count == LISTENERS_MAX)
		return err_set(e, ERR_LIMIT, "more than %d addresses to listen on", LISTENERS_MAX);
	if (!sys_listen(addr->bytes, &addr->len, first, true, BACKLOG, &fd, e)) {
		err_note(e, "address %s", text);
		return err_hint(e, "another program may use the port; port 0 takes a free one");
	}
	struct http_listener *l = &s->listeners[s->listener_count];
	l->server = s;
	if (!loop_io_open(s->loop, &l->io, fd, LOOP_READ, on_listener, e)) {
		sys_close(fd);
		return false;
	}
	s->listener_count++;
	return true;
}

bool http_server_adopt(struct http_server *s, int fd, struct err *e)
{
	int one = 1;
	struct http_address peer = {0};
	if (s->draining)
		return err_set(e, ERR_ENV, "the server is draining");
	http__gate_enter(s->gate, true);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);  // fails for other kinds of sockets: nothing to do there
	return http__conn_open(s, fd, &peer, e);
}

// ---- life ------------------------------------------------------------------------------------------------------------------------

bool http_server_new(struct loop *l, const struct http_server_config *config, struct http_server **ret, struct err *e)
{
	struct http_server *s = mem_zalloc(sizeof *s);
	if (!s)
		return err_nomem(e);
	BUG_ON(!config->on_request);
	s->gate = config->gate;
	if (!s->gate && !http_gate_new(HTTP_NO_LIMIT, HTTP_NO_LIMIT, &s->gate, e)) {
		mem_free(s);
		return false;
	}
	s->loop = l;
	s->config = *config;
	struct http_limits *m = &s->config.limits;
	m->head_bytes = (uint32_t)min_u64(m->head_bytes, HTTP_HEAD_MAX);
	m->fields = (uint32_t)min_u64(m->fields, HTTP_FIELDS_MAX);
	s->task.fn = server_turn;
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
		loop_io_close(io, true);
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
	loop_post(s->loop, &s->task);
}

void http_server_free(struct http_server *s)
{
	if (!s)
		return;
	s->on_drained = NULL;
	s->draining = true;
	close_listeners(s);
	while (s->conns)
		http__conn_close(s->conns, HTTP_CANCEL_SERVER);
	deliver_cancels(s);
	loop_task_cancel(&s->task);
	clear_graveyard(s);
	http__gate_part(s->gate, s);
	if (!s->config.gate)
		http_gate_free(s->gate);
	s->freed = true;
	for (struct http_conn *c = s->spare_conns, *next; c; c = next) {
		next = c->next;
		mem_free(c);
	}
	for (struct http_exchange *x = s->spare_exchanges, *next; x; x = next) {
		next = x->next;
		mem_free(x);
	}
	for (uint32_t i = 0; i < BLOCK_CLASSES; i++)
		for (struct block *b = s->blocks[i], *next; b; b = next) {
			next = b->next;
			mem_free(b);
		}
	server_memory_free(s);
}

const struct http_counters *http_server_counters(const struct http_server *s)
{
	return &s->counters;
}
