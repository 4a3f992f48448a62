// Listeners: addresses, the limits of their wire, and which service answers what comes there.
#include <stdio.h>

#include "serve_int.h"

static void on_request(void *user, struct http_exchange *x)
{
	struct serve_port *p = user;
	struct serve_service *all = serve__router_all(p->routing->router);
	if (all)
		serve__request_begin(&all->shards[p->thread->index], x, NULL);
	else
		serve__route(p, x);
}

static void on_refused(void *user, const struct http_address *peer, unsigned status, const char *why)
{
	struct serve_port *p = user;
	serve__log_refused(p->listener->process->config, peer, status, why);
	serve__access_refused(p->listener->process->config, peer, status);
	serve__meter_own(p, status);
}

static uint64_t or_none(uint64_t limit)
{
	return limit ? limit : HTTP_NO_LIMIT;
}

static struct http_limits http_limits_of(const struct serve_wire *w)
{
	const struct serve_listener_limits *l = &w->config.limits;
	struct http_limits h = http_limits_default;
	h.head_bytes = (uint32_t)l->head_bytes;  // in limits.def's range
	h.fields = (uint32_t)l->head_fields;
	h.streams = (uint32_t)min_u64(l->max_streams, INT32_MAX);
	h.body_bytes = or_none(l->max_body);
	h.idle_ns = or_none(l->idle_timeout);
	h.head_ns = or_none(l->head_timeout);
	h.body_ns = or_none(l->body_timeout);
	h.body_total_ns = or_none(l->body_total);
	h.write_ns = or_none(l->write_timeout);
	h.min_rate = l->min_rate;
	return h;
}

static void on_full(void *user, enum http_full what, const struct http_address *peer)
{
	const struct serve_port *p = user;
	const struct serve_process *process = p->listener->process;
	char client[64];
	switch (what) {
	case HTTP_FULL_CONNECTIONS:
		serve__log(process->config, SERVE_LOG_WARN, "%llu connections are open: the longest idle are closed for new ones (--connections)",
			(unsigned long long)process->connections);
		break;
	case HTTP_FULL_CLIENT:
		http_address_print(peer, client, sizeof client);
		serve__log(process->config, SERVE_LOG_WARN, "client %s has as many connections as it may: others are closed at once (--connections-per-client)", client);
		break;
	case HTTP_FULL_DESCRIPTORS:
		serve__log(process->config, SERVE_LOG_WARN, "no descriptor is left: the longest idle connections are closed for new ones");
		break;
	case HTTP_FULL_MEMORY:
		serve__log(process->config, SERVE_LOG_WARN, "no memory is left for another connection: those that come wait");
		break;
	}
}

// ---- instances that are kept ---------------------------------------------------------------------------------------------------------
// Every thread accepts. Where one service answers everything, and its instance is kept, a connection moves to the keeper's thread before anything was read from
// it; else when its first request for an instance that is kept has been read, or it begins to speak HTTP/2 where there are such: as it is, with what was read.
// There it stays: the other way, handing over each request, costs two wake-ups a request and a copy of each body between threads.

static struct serve_port *keeper_of(const struct serve_port *p)
{
	return &p->listener->ports[SERVE_KEEPER];
}

static struct loop *loop_of(const struct serve_port *p)
{
	return p->listener->process->threads[p - p->listener->ports].loop;
}

static void take_passed(struct serve_port *p)
{
	spinlock_lock(&p->lock);
	struct http_passed *list = p->first_passed;
	p->first_passed = NULL;
	p->last_passed = &p->first_passed;
	spinlock_unlock(&p->lock);
	for (struct http_passed *c = list, *next; c; c = next) {
		next = c->next;
		http_server_take(p->http, p->listener->process->gate, c);
	}
}

static void on_passed(struct loop_remote *r)
{
	struct serve_port *p = CONTAINER_OF(r, struct serve_port, passed);
	spinlock_lock(&p->lock);
	p->told = false;
	spinlock_unlock(&p->lock);
	take_passed(p);
}

static void pass_on(void *user, struct http_passed *c)
{
	struct serve_port *p = user, *to = keeper_of(p);
	c->next = NULL;
	spinlock_lock(&to->lock);
	*to->last_passed = c;
	to->last_passed = &c->next;
	bool tell = !to->told;
	to->told = true;
	spinlock_unlock(&to->lock);
	if (tell)
		loop_post_remote(loop_of(to), &to->passed);
}

static bool is_kept(void *user, const struct http_request *r)
{
	struct serve_port *p = user;
	return r ? serve__route_is_kept(p, r) : p->passes_h2;
}

// The keeper's port is open before the others, and drains as long as they may pass on something.
static void begin_feeding(struct serve_port *p)
{
	p->feeds = p != keeper_of(p);
	if (p->feeds)
		__atomic_add_fetch(&p->listener->feeding, 1, __ATOMIC_ACQ_REL);
}

static void on_fed(struct loop_remote *r)
{
	struct serve_port *keeper = CONTAINER_OF(r, struct serve_port, fed);
	take_passed(keeper);
	if (keeper->http)
		http_server_await(keeper->http, false);
}

static void end_feeding(struct serve_port *p)
{
	struct serve_port *keeper = keeper_of(p);
	if (p->feeds && __atomic_sub_fetch(&p->listener->feeding, 1, __ATOMIC_ACQ_REL) == 0)
		loop_post_remote(loop_of(keeper), &keeper->fed);
	p->feeds = false;
}

// ---- addresses -------------------------------------------------------------------------------------------------------------------------

enum { BACKLOG = 1024 };

// What stands behind "unix:"; NULL: it is none.
static const char *path_of(const char *text)
{
	return strncmp(text, "unix:", 5) == 0 ? text + 5 : NULL;
}

static bool check_path(const char *path, struct err *e)
{
	if (*path && *path != '@')
		return true;
	err_set(e, ERR_USAGE, *path ? "a socket without a file ('%s') is not served: any program on the machine could connect" : "unix: needs a path", path);
	return err_hint(e, "unix:PATH is a socket in the file system, whose permissions say who may connect (unix:./@name for a file of that name)");
}

bool serve__address_parse(const char *text, struct http_address *ret, const char **ret_path, struct err *e)
{
	*ret_path = path_of(text);
	return *ret_path ? check_path(*ret_path, e) : http_address_parse(slice_str(text), ret, e);
}

bool serve_check_address(const char *text, struct err *e)
{
	struct http_address address;
	const char *path;
	return serve__address_parse(text, &address, &path, e);
}

static struct serve_port *ports_new(struct serve_listener *l, const struct serve_process *p)
{
	struct serve_port *ports = mem_zalloc(p->n_threads * sizeof *ports);
	for (unsigned i = 0; ports && i < p->n_threads; i++)
		ports[i] = (struct serve_port){.listener = l, .fd = -1, .last_passed = &ports[i].first_passed, .passed.fn = on_passed, .fed.fn = on_fed};
	return ports;
}

// Of one that is free, or was never anything.
static bool init(struct serve_listener *l, struct serve_site *site, struct err *e)
{
	struct serve_process *p = site->process;
	pthread_mutex_lock(&p->listening);
	l->process = p;
	l->site = site;
	l->address = (struct http_address){0};
	l->path = NULL;
	l->bound = l->handed = false;
	l->state = serve__phase(p) == SERVE_STARTING ? LISTENER_SERVES : LISTENER_HELD;  // not to be told of before it is bound
	l->open_ports = p->n_threads;
	l->name[0] = 0;
	l->is_tls = false;
	if (!l->ports)  // other threads look at those of one that is free
		l->ports = ports_new(l, p);
	pthread_mutex_unlock(&p->listening);
	return l->ports || err_nomem(e);
}

// A socket in the file system is in clear.
static struct http_tls *tls_of(const struct serve_listener *l, const struct serve_wire *w)
{
	return l->address.len ? w->tls : NULL;
}

// Each thread gets a descriptor of a socket that all accept from, the first the one that there is. Before the others start: one of them must not look at
// a descriptor that thread 0 closes.
static bool share(struct serve_listener *l, int fd, struct err *e)
{
	l->ports[0].fd = fd;
	for (unsigned i = 1; i < l->process->n_threads; i++) {
		l->ports[i].fd = sys_dup(fd);
		if (l->ports[i].fd < 0)
			return err_set_errno(e, -l->ports[i].fd, "dup");
	}
	return true;
}

bool serve__listener_init(struct serve_listener *l, struct serve_site *site, const char *text, struct err *e)
{
	if (!init(l, site, e) || !serve__address_parse(text, &l->address, &l->path, e))
		return false;
	snprintf(l->name, sizeof l->name, "%s", text);
	l->path = l->path ? path_of(l->name) : NULL;
	l->is_tls = tls_of(l, site->wire);
	return true;
}

bool serve__listener_init_handed(struct serve_listener *l, struct serve_site *site, int fd, struct err *e)
{
	struct sys_address address;
	char path[SYS_SOCKET_PATH_MAX + 2];
	if (!init(l, site, e) || !share(l, fd, e)) {
		if (!l->ports)
			sys_close(fd);
		return false;
	}
	l->handed = true;
	if (!sys_handed_socket(fd, &address, path, e))
		return false;
	memcpy(l->address.bytes, address.bytes, address.len);
	l->address.len = address.len;
	snprintf(l->name, sizeof l->name, "unix:%s", path);
	l->is_tls = tls_of(l, site->wire);
	return true;
}

void serve__listener_unbind(struct serve_listener *l)
{
	if (l->bound)
		sys_remove_socket_file(l->path, l->file);
	l->bound = false;
}

void serve__listener_release(struct serve_listener *l)
{
	serve__listener_unbind(l);
	for (unsigned i = 0; l->ports && i < l->process->n_threads; i++) {
		take_passed(&l->ports[i]);
		sys_close(l->ports[i].fd);
	}
	mem_free(l->ports);
}

void serve__listener_print(const struct serve_listener *l, struct buf *b)
{
	char address[64];
	http_address_print(&l->address, address, sizeof address);
	if (l->address.len)
		buf_printf(b, "http%s://%s", l->is_tls ? "s" : "", address);
	else
		buf_put_str(b, l->name);
}

// `first`: on thread 0, before the others.
static bool start_listening(struct serve_port *p, bool first, struct err *e)
{
	struct serve_listener *l = p->listener;
	int fd;
	if (l->path && first) {
		if (!sys_listen_file(l->path, BACKLOG, &fd, &l->file, e))
			return err_note(e, "address %s", l->name);
		l->bound = true;
		if (!share(l, fd, e))
			return false;
	}
	if (l->path || p->fd >= 0) {
		fd = p->fd;
		p->fd = -1;
		return http_server_listen_on(p->http, fd, e);
	}
	struct http_address address = l->address;  // each writes its own into what it is given
	return http_server_listen(p->http, first ? &l->address : &address, first, e);
}

bool serve__port_open(struct serve_listener *l, struct serve_thread *t, bool first, struct err *e)
{
	struct serve_port *p = &l->ports[t->index];
	struct http_server_config config = {
		.limits = http_limits_of(l->site->wire),
		.on_request = on_request,
		.on_refused = on_refused,
		.user = p,
		.gate = l->process->gate,
		.tls = tls_of(l, l->site->wire),
		.on_full = on_full,
	};
	p->thread = t;
	p->wire = l->site->wire;
	p->drained = p->leaves = false;
	struct serve_routing *routing;
	struct http_server *http;
	if (!serve__routing_new(l->site->router, &routing, e))
		return false;
	serve__port_take_routing(p, routing);
	const struct serve_service *all = l->site->all;
	if (p != keeper_of(p)) {
		config.on_passed = pass_on;
		config.passes_all = all && serve__keeps(&all->shards[t->index]);
		config.is_anothers = all ? NULL : is_kept;
	}
	if (!http_server_new(t->loop, &config, &http, e))
		return false;
	if (p == keeper_of(p))
		http_server_await(http, l->process->n_threads > 1);
	spinlock_lock(&p->lock);
	p->http = http;
	p->counted = (struct http_counters){0};
	spinlock_unlock(&p->lock);
	begin_feeding(p);
	return start_listening(p, first, e);
}

void serve__port_take_wire(struct serve_port *p, const struct serve_wire *w)
{
	const struct http_limits limits = http_limits_of(w);
	p->wire = w;
	if (p->http)
		http_server_change(p->http, &limits, tls_of(p->listener, w));
}

static void on_drained(void *user)
{
	struct serve_port *p = user;
	p->drained = true;
	end_feeding(p);
	if (p->leaves)
		loop_post_remote(p->thread->loop, &p->closes);  // the server is on the stack
	p->thread->look(p->thread);
}

// What waits to be accepted is accepted first. The keeper's is drained last: what the others pass on until then is served.
void serve__port_drain(struct serve_port *p)
{
	if (!p->http) {  // the start is ended
		p->drained = true;
		return;
	}
	if (p == keeper_of(p) && __atomic_load_n(&p->listener->feeding, __ATOMIC_ACQUIRE) == 0)
		http_server_await(p->http, false);
	http_server_drain(p->http, on_drained, p);
}

void serve__port_close(struct serve_port *p)
{
	struct http_server *http = p->http;
	end_feeding(p);
	if (!http) {
		serve__port_release_router(p);
		return;
	}
	loop_timer_cancel(p->thread->loop, &p->leave_timer);
	spinlock_lock(&p->lock);
	p->counted = *http_server_counters(http);
	p->counted.connections = 0;
	p->http = NULL;
	spinlock_unlock(&p->lock);
	http_server_free(http);
	serve__port_release_router(p);
	buf_release(&p->scratch);
}

// ---- one that leaves ---------------------------------------------------------------------------------------------------------------------

void serve__listener_port_closed(struct serve_listener *l)
{
	if (__atomic_sub_fetch(&l->open_ports, 1, __ATOMIC_ACQ_REL) == 0)
		loop_post_remote(l->process->threads[0].loop, &l->closed);
}

static void close_left(struct serve_port *p)
{
	if (!p->leaves)
		return;
	p->leaves = false;
	serve__port_close(p);
	serve__listener_port_closed(p->listener);
}

static void on_closes(struct loop_remote *r)
{
	close_left(CONTAINER_OF(r, struct serve_port, closes));
}

static void on_leave_timeout(struct loop_timer *t)
{
	struct serve_port *p = CONTAINER_OF(t, struct serve_port, leave_timer);
	serve__log(p->listener->process->config, SERVE_LOG_WARN, "%s: %llu connections did not end within the time to drain", p->listener->name,
		(unsigned long long)http_server_counters(p->http)->connections);
	close_left(p);
}

void serve__port_leave(struct serve_port *p, uint64_t at_most_ns)
{
	if (!p->http) {
		serve__listener_port_closed(p->listener);
		return;
	}
	p->leaves = true;
	p->closes.fn = on_closes;
	p->leave_timer.fn = on_leave_timeout;
	if (at_most_ns)
		loop_timer_set(p->thread->loop, &p->leave_timer, sat_add_u64(loop_now_fresh_ns(p->thread->loop), at_most_ns));
	if (p->drained)
		loop_post_remote(p->thread->loop, &p->closes);  // the process drains, and it has
	else
		serve__port_drain(p);
}
