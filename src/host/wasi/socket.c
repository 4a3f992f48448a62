// Sockets: what they are made of, what they may reach, their states up to a connection.
#include "socket_int.h"

#include <errno.h>
#include <limits.h>

// ---- those of one guest ----------------------------------------------------------------------------------------------------------------

struct wasi_sockets *wasi__sockets_new(struct wasi *w, struct pool *memory, struct seam_grants *grants, struct loop *loop)
{
	struct wasi_sockets *of = pool_zalloc(memory, sizeof *of);
	if (of)
		*of = (struct wasi_sockets){.wasi = w, .memory = memory, .grants = grants, .loop = loop};
	return of;
}

static void socket_free(struct wasi_socket *s);

void wasi__sockets_clear(struct wasi_sockets *of)
{
	if (!of)
		return;
	while (of->leaving)
		socket_free(of->leaving);
	for (uint32_t i = 0; i < WASI_KNOWN_NAMES; i++) {
		pool_free(of->known[i]);
		of->known[i] = NULL;
	}
	of->next_known = 0;
}

void wasi__sockets_free(struct wasi_sockets *of)
{
	wasi__sockets_clear(of);
	pool_free(of);
}

// ---- grants ----------------------------------------------------------------------------------------------------------------------------

// As rules have it: an address of IPv4 is one of IPv6.
static void rule_ip(const struct sys_endpoint *at, uint8_t ret[16])
{
	struct sys_address a;
	sys_endpoint_address(at, &a);
	sys_address_ip(&a, ret);
}

static bool leads_to(const struct wasi_known *k, const uint8_t ip[16])
{
	for (uint32_t i = 0; k && i < k->n; i++)
		if (memcmp(k->ips[i], ip, 16) == 0)
			return true;
	return false;
}

bool wasi__socket_may_reach(const struct wasi_sockets *of, bool datagrams, const struct sys_endpoint *to)
{
	enum seam_net_scheme scheme = datagrams ? SEAM_NET_UDP : SEAM_NET_TCP;
	uint8_t ip[16];
	rule_ip(to, ip);
	if (seam_net_may_connect(of->grants, scheme, slice_of("", 0), to->port, ip))
		return true;
	for (uint32_t i = 0; i < WASI_KNOWN_NAMES; i++)
		if (leads_to(of->known[i], ip) && seam_net_may_connect(of->grants, scheme, slice_str(of->known[i]->name), to->port, ip))
			return true;
	return false;
}

void wasi__sockets_learn(struct wasi_sockets *of, const char *name, const struct sys_address *found, uint32_t n)
{
	struct wasi_known *k = pool_alloc(of->memory, sizeof *k + n * sizeof k->ips[0]), **at = &of->known[of->next_known];
	if (!k)
		return;
	snprintf(k->name, sizeof k->name, "%s", name);
	k->n = n;
	for (uint32_t i = 0; i < n; i++)
		sys_address_ip(&found[i], k->ips[i]);
	pool_free(*at);
	*at = k;
	of->next_known = (of->next_known + 1) % WASI_KNOWN_NAMES;
}

void wasi__socket_deny(struct wasi_sockets *of, enum seam_deny kind, const char *what, bool datagrams, const struct sys_endpoint *at)
{
	char address[64], text[160], flag[128];
	const char *scheme = datagrams ? "udp" : "tcp";
	sys_endpoint_print(at, address, sizeof address);
	snprintf(text, sizeof text, "%s %s over %s", what, address, datagrams ? "UDP" : "TCP");
	if (kind == SEAM_DENY_LISTEN)
		snprintf(flag, sizeof flag, "--listen-%s %s", scheme, address);
	else
		snprintf(flag, sizeof flag, "--net %s://%s", scheme, address);
	seam_grants_deny(of->grants, kind, text, flag);
}

// ---- sending ---------------------------------------------------------------------------------------------------------------------------

void wasi__socket_lost(struct wasi_socket *s, int why)
{
	s->out_over = why == -EPIPE;
	s->out_error = -why;
	wasi__pending_clear(&s->out);
}

struct slice wasi__socket_put(struct wasi_socket *s, struct slice data)
{
	while (data.len) {
		struct iovec v = {UNCONST(data.ptr), data.len};
		int64_t n = sys_net.sendv(s->fd, &v, 1);
		if (n == -EAGAIN)
			return data;
		if (n < 0) {
			wasi__socket_lost(s, (int)n);
			return slice_of(NULL, 0);
		}
		data = slice_sub(data, (size_t)n, data.len);
	}
	return data;
}

bool wasi__socket_push(struct wasi_socket *s)
{
	for (int i = 0; i < 2 && s->out.bytes; i++) {  // room may come before it is watched
		struct slice there = wasi__pending_view(&s->out), rest = wasi__socket_put(s, there);
		if (s->out.bytes)  // else it failed, and nothing of it is left
			wasi__pending_took(&s->out, there.len - rest.len);
		if (rest.len && !wasi__socket_is_ready(s, true))
			return false;
	}
	if (s->out.bytes)
		return false;
	if (s->ends && !s->out_over) {
		sys_shutdown_write(s->fd);
		s->out_over = true;
	}
	return true;
}

// ---- a socket --------------------------------------------------------------------------------------------------------------------------

static int take_place(struct wasi_sockets *of)
{
	struct wasi_process *p = of->wasi->process;
	if (of->grants->max_sockets && of->n_open >= of->grants->max_sockets)
		return -EMFILE;
	if (!shared_count_up(&p->files, p->max_files))
		return -EMFILE;
	of->n_open++;
	return 0;
}

static void leave_place(struct wasi_sockets *of)
{
	of->n_open--;
	shared_count_down(&of->wasi->process->files);
}

int wasi__socket_take(struct wasi_sockets *of, int fd, bool v6, bool datagrams, enum wasi_socket_state state, struct wasi_socket **ret)
{
	int why = take_place(of);
	struct wasi_socket *s = why ? NULL : pool_zalloc(of->memory, sizeof *s);
	if (!s) {
		if (!why)
			leave_place(of);
		sys_close(fd);
		return why ? why : -ENOMEM;
	}
	*s = (struct wasi_socket){.of = of, .refs = 1, .fd = fd, .v6 = v6, .datagrams = datagrams, .state = (uint8_t)state, .backlog = WASI_BACKLOG, .io.fd = -1};
	s->out.pool = of->memory;
	*ret = s;
	return 0;
}

int wasi__socket_new(struct wasi_sockets *of, bool v6, bool datagrams, struct wasi_socket **ret)
{
	bool listens = !datagrams && of->wasi->process->n_handed;
	for (uint32_t i = 0; i < of->grants->n_listens; i++)
		listens |= of->grants->listens[i].udp == datagrams;
	if (!listens && !seam_net_may_reach(of->grants, datagrams ? SEAM_NET_UDP : SEAM_NET_TCP)) {
		const char *kind = datagrams ? "udp" : "tcp", *name = datagrams ? "a UDP socket" : "a TCP socket";
		char flag[96];
		snprintf(flag, sizeof flag, "--net %s://HOST:PORT (or --listen-%s IP:PORT)", kind, kind);
		seam_grants_deny(of->grants, SEAM_DENY_SOCKET, name, flag);
		return -EACCES;
	}
	int fd = sys_socket(v6, datagrams);
	return fd < 0 ? fd : wasi__socket_take(of, fd, v6, datagrams, WASI_SOCKET_NEW, ret);
}

struct wasi_socket *wasi__socket_ref(struct wasi_socket *s)
{
	s->refs++;
	return s;
}

// Of a connection to another server, or of one that is asked for.
static void leave_quota(struct wasi_socket *s)
{
	if (s->has_place)
		http_quota_give(s->of->wasi->quota);
	s->has_place = false;
}

static void socket_free(struct wasi_socket *s)
{
	leave_quota(s);
	if (s->prev) {
		*s->prev = s->next;
		if (s->next)
			s->next->prev = s->prev;
	}
	loop_timer_cancel(s->of->loop, &s->leave);
	loop_io_close(&s->io, !s->handed);
	sys_close(s->fd);
	leave_place(s->of);
	pool_free(s->in);
	pool_free(s->peers);
	wasi__pending_clear(&s->out);
	pool_free(s);
}

static void on_left_long_ago(struct loop_timer *t)
{
	socket_free(CONTAINER_OF(t, struct wasi_socket, leave));
}

void wasi__socket_unref(void *p)
{
	struct wasi_socket *s = p;
	if (!s || --s->refs)
		return;
	if (wasi__socket_push(s)) {
		socket_free(s);
		return;
	}
	s->next = s->of->leaving;
	s->prev = &s->of->leaving;
	if (s->next)
		s->next->prev = &s->next;
	*s->prev = s;
	s->leave.fn = on_left_long_ago;
	loop_timer_set(s->of->loop, &s->leave, sat_add_u64(loop_now_ns(s->of->loop), 30 * SECOND));
}

static void on_ready(struct loop_io *io, uint32_t ready)
{
	struct wasi_socket *s = CONTAINER_OF(io, struct wasi_socket, io);
	if (ready & LOOP_ERROR)
		loop_io_close(io, false);  // it is told again and again
	else
		loop_io_want(io, io->interest & ~ready);
	bool sent = wasi__socket_push(s);
	if (s->refs == 0 && sent)
		socket_free(s);
	else
		wasi__event_fire(&s->event);
}

// What can't be watched for want of memory is asked for again and again.
bool wasi__socket_is_ready(struct wasi_socket *s, bool write)
{
	uint32_t interest = write ? LOOP_WRITE : LOOP_READ;
	if (sys_ready(s->fd, write))
		return true;
	if (s->io.fd < 0)
		return !loop_io_open(s->of->loop, &s->io, s->fd, interest, on_ready, NULL);
	loop_io_want(&s->io, s->io.interest | interest);
	return false;
}

// ---- addresses -------------------------------------------------------------------------------------------------------------------------

static bool all_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

// Of the socket's family; of IPv6 none that leads to one of IPv4.
static bool fits_family(const struct wasi_socket *s, const struct sys_endpoint *p)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	bool compatible = p->v6 && all_zero(p->ip, 12) && !all_zero(p->ip, 16) && !(all_zero(p->ip, 15) && p->ip[15] == 1);
	return p->v6 == s->v6 && !compatible && !(p->v6 && memcmp(p->ip, mapped, sizeof mapped) == 0);
}

static bool is_unicast(const struct sys_endpoint *p)
{
	static const uint8_t broadcast[4] = {255, 255, 255, 255};
	return p->v6 ? p->ip[0] != 0xff : (p->ip[0] & 0xf0) != 0xe0 && memcmp(p->ip, broadcast, 4) != 0;
}

bool wasi__socket_is_same(const struct sys_endpoint *a, const struct sys_endpoint *b)
{
	return a->v6 == b->v6 && a->port == b->port && memcmp(a->ip, b->ip, a->v6 ? 16 : 4) == 0;
}

bool wasi__socket_is_destination(const struct wasi_socket *s, const struct sys_endpoint *p)
{
	return fits_family(s, p) && p->port && !all_zero(p->ip, p->v6 ? 16 : 4);
}

// Why it can't be begun: something else is under way, or it is the wrong state.
static int not_now(const struct wasi_socket *s)
{
	return s->state == WASI_SOCKET_BINDING || s->state == WASI_SOCKET_LISTEN_STARTED || s->state == WASI_SOCKET_CONNECTING ? -EALREADY : -EISCONN;
}

// ---- binding ---------------------------------------------------------------------------------------------------------------------------

// Who may reach something may have any free port for it, and hears from there only what it may reach.
static int may_bind(struct wasi_socket *s, const struct sys_endpoint *at)
{
	uint8_t ip[16];
	rule_ip(at, ip);
	s->hears_all = seam_net_may_listen(s->of->grants, s->datagrams, at->port, ip);
	if (s->hears_all || (at->port == 0 && seam_net_may_reach(s->of->grants, s->datagrams ? SEAM_NET_UDP : SEAM_NET_TCP)))
		return 0;
	wasi__socket_deny(s->of, SEAM_DENY_LISTEN, "binding a socket to", s->datagrams, at);
	return -EACCES;
}

// What was handed over with this address stands for the socket from here on: it is bound, and listens already. 0, -ENOENT: none was, or -errno.
static int take_over(struct wasi_socket *s, const struct sys_endpoint *at)
{
	struct sys_endpoint has;
	for (unsigned i = 0; !s->datagrams && i < s->of->wasi->process->n_handed; i++) {
		if (sys_socket_local(SYS_HANDED_FIRST + (int)i, &has) || !wasi__socket_is_same(&has, at))
			continue;
		int fd = sys_dup(SYS_HANDED_FIRST + (int)i);
		if (fd < 0)
			return fd;
		loop_io_close(&s->io, true);
		sys_close(s->fd);
		s->fd = fd;
		s->hears_all = s->handed = true;
		return 0;
	}
	return -ENOENT;
}

int wasi__socket_bind(struct wasi_socket *s, const struct sys_endpoint *at)
{
	if (s->state != WASI_SOCKET_NEW)
		return not_now(s);
	if (!fits_family(s, at) || (!s->datagrams && !is_unicast(at)))
		return -EINVAL;
	int why = take_over(s, at);
	if (why == -ENOENT) {
		why = may_bind(s, at);
		if (why == 0)
			why = sys_socket_bind(s->fd, at);
	}
	if (why == 0)
		why = sys_socket_local(s->fd, &s->local);
	if (why == 0)
		s->state = WASI_SOCKET_BINDING;
	return why;
}

// ---- connecting ------------------------------------------------------------------------------------------------------------------------

int wasi__socket_connect(struct wasi_socket *s, const struct sys_endpoint *to)
{
	if (s->state != WASI_SOCKET_NEW && s->state != WASI_SOCKET_BOUND)
		return not_now(s);
	if (!wasi__socket_is_destination(s, to) || !is_unicast(to))
		return -EINVAL;
	if (!wasi__socket_may_reach(s->of, false, to)) {
		wasi__socket_deny(s->of, SEAM_DENY_NET, "connecting to", false, to);
		return -EACCES;
	}
	if (!http_quota_take(s->of->wasi->quota))
		return -EMFILE;  // it may come back for it
	s->has_place = true;
	int why = sys_socket_connect(s->fd, to);
	s->state = why ? WASI_SOCKET_FAILED : WASI_SOCKET_CONNECTING;
	if (why)
		leave_quota(s);
	return why == -EADDRNOTAVAIL ? -EADDRINUSE : why;  // no port was free
}

int wasi__socket_connected(struct wasi_socket *s)
{
	if (s->state != WASI_SOCKET_CONNECTING)
		return -ESRCH;
	if (!wasi__socket_is_ready(s, true))
		return -EAGAIN;
	int why = sys_connect_result(s->fd);
	s->state = why ? WASI_SOCKET_FAILED : WASI_SOCKET_CONNECTED;
	if (why)
		leave_quota(s);
	return why;
}

// ---- listening -------------------------------------------------------------------------------------------------------------------------

int wasi__socket_listen(struct wasi_socket *s)
{
	if (s->state != WASI_SOCKET_BOUND)
		return not_now(s);
	if (!s->hears_all) {
		wasi__socket_deny(s->of, SEAM_DENY_LISTEN, "listening on", false, &s->local);
		return -EACCES;
	}
	int why = sys_socket_listen(s->fd, s->backlog);
	if (why == 0)
		s->state = WASI_SOCKET_LISTEN_STARTED;
	return why;
}

int wasi__socket_accept(struct wasi_socket *s, struct wasi_socket **ret)
{
	const struct seam_grants *g = s->of->grants;
	if (s->state != WASI_SOCKET_LISTENING)
		return -EISCONN;
	if (g->max_sockets && s->of->n_open >= g->max_sockets)
		return -EMFILE;  // before it is taken: it may come back for it
	int64_t fd = sys_net.accept(s->fd, NULL, NULL);
	if (fd == -EAGAIN && wasi__socket_is_ready(s, false))  // it came meanwhile
		fd = sys_net.accept(s->fd, NULL, NULL);
	return fd < 0 ? (int)fd : wasi__socket_take(s->of, (int)fd, s->v6, false, WASI_SOCKET_CONNECTED, ret);
}
