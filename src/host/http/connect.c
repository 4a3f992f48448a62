// From an origin to a connected descriptor.
//
//   look-up (on the pool of names; an address needs none) ──► vetting ──► one address after the other ──► done
//
// 1. What is connected to is an address that may_connect was asked for, itself: no name is looked up twice.
// 2. One deadline bounds all of it. An address that does not answer gets its share of what is left, so that the next one has a chance.
// 3. A look-up that nobody waits for any more is let go: its memory is its own. It does not count any more: threads and queue of the pool bound those.
#include "client.h"

#include <errno.h>

_Static_assert(sizeof(struct sys_address) <= offsetof(struct http_address, all), "an http_address begins as a sys_address does");

// ---- addresses, one after the other ----------------------------------------------------------------------------------------------

static void finish(struct http_connect *k, int fd, enum http_failure failure)
{
	loop_timer_cancel(k->loop, &k->timer);
	k->done(k, fd, failure);
}

static enum http_failure failure_of(int why)
{
	switch (why) {
	case -ECONNREFUSED:
		return HTTP_FAILURE_CONNECTION_REFUSED;
	case -ETIMEDOUT:
		return HTTP_FAILURE_CONNECTION_TIMEOUT;
	case -ENETUNREACH:
	case -EHOSTUNREACH:
	case -EADDRNOTAVAIL:
	case -EAFNOSUPPORT:
		return HTTP_FAILURE_DESTINATION_IP_UNROUTABLE;
	case -EMFILE:
	case -ENFILE:
		return HTTP_FAILURE_CONNECTION_LIMIT_REACHED;
	default:
		return HTTP_FAILURE_DESTINATION_UNAVAILABLE;
	}
}

static void close_socket(struct http_connect *k)
{
	int fd = k->io.fd;
	loop_io_close(&k->io, true);
	sys_close(fd);
	k->io.fd = -1;
}

static void on_connected(struct loop_io *io, uint32_t ready);

static void try_next(struct http_connect *k)
{
	while (k->at < k->n) {
		uint64_t now = loop_now_ns(k->loop), left = k->deadline_ns - min_u64(k->deadline_ns, now);
		struct sys_address to = {.len = k->list[k->at].len};
		memcpy(to.bytes, k->list[k->at].bytes, sizeof to.bytes);
		int fd = sys_net.connect(&to);
		if (fd >= 0 && loop_io_open(k->loop, &k->io, fd, LOOP_WRITE, on_connected, NULL)) {
			loop_timer_set(k->loop, &k->timer, sat_add_u64(now, left / (k->n - k->at)));
			return;
		}
		if (fd >= 0)
			sys_close(fd);
		k->failure = fd >= 0 ? HTTP_FAILURE_INTERNAL_ERROR : failure_of(fd);
		k->at++;
	}
	finish(k, -1, k->failure);
}

static void on_connected(struct loop_io *io, uint32_t ready)
{
	struct http_connect *k = CONTAINER_OF(io, struct http_connect, io);
	int fd = io->fd, why = sys_connect_result(fd);
	if (why) {
		close_socket(k);
		k->failure = failure_of(why);
		k->at++;
		try_next(k);
		return;
	}
	loop_io_close(io, false);
	io->fd = -1;
	finish(k, fd, HTTP_FAILURE_NONE);
}

static void vet(struct http_connect *k, const struct sys_address *found, int n)
{
	for (int i = 0; i < n; i++) {
		struct http_address a = {.len = found[i].len};
		memcpy(a.bytes, found[i].bytes, sizeof a.bytes);
		if (!k->may_connect || k->may_connect(k->user, &a))
			k->list[k->n++] = a;
	}
	k->rcode = n == -ENOENT ? 3 : n == -EIO ? 2
											: 0;
	if (k->n)
		try_next(k);
	else
		finish(k, -1, n > 0 ? HTTP_FAILURE_DESTINATION_IP_PROHIBITED : n == -EAGAIN ? HTTP_FAILURE_DNS_TIMEOUT
																					: HTTP_FAILURE_DNS_ERROR);
}

// ---- names -----------------------------------------------------------------------------------------------------------------------

struct http_lookup {
	struct loop_work work;
	struct http_connect *of;  // NULL: nobody waits for it any more
	uint16_t port;
	int n;
	struct sys_address found[HTTP_ADDRESSES_MAX];
	char host[HTTP_HOST_MAX + 1];
};

static void end_lookup(struct http_connect *k)
{
	k->lookup = NULL;
	if (k->lookups_left)
		++*k->lookups_left;
}

static void look_up(struct loop_work *w)
{
	struct http_lookup *l = CONTAINER_OF(w, struct http_lookup, work);
	l->n = sys_net.resolve(l->host, l->port, false, l->found, HTTP_ADDRESSES_MAX);
}

static void on_found(struct loop_work *w)
{
	struct http_lookup *l = CONTAINER_OF(w, struct http_lookup, work);
	struct http_connect *k = l->of;
	if (k) {
		end_lookup(k);
		vet(k, l->found, l->n);
	}
	mem_free(l);
}

static void start_lookup(struct http_connect *k, const char *host, uint16_t port)
{
	size_t len = strlen(host);
	struct http_lookup *l = !k->lookups_left || *k->lookups_left ? mem_zalloc(sizeof *l) : NULL;
	if (!l || len > HTTP_HOST_MAX) {
		mem_free(l);
		finish(k, -1, l ? HTTP_FAILURE_DNS_ERROR : HTTP_FAILURE_CONNECTION_LIMIT_REACHED);
		return;
	}
	l->work = (struct loop_work){.run = look_up, .done = on_found};
	l->of = k;
	l->port = port;
	memcpy(l->host, host, len + 1);
	if (!loop_work_submit(k->names, k->loop, &l->work)) {
		mem_free(l);
		finish(k, -1, HTTP_FAILURE_CONNECTION_LIMIT_REACHED);
		return;
	}
	k->lookup = l;
	if (k->lookups_left)
		--*k->lookups_left;
}

static void stop_lookup(struct http_connect *k)
{
	struct http_lookup *l = k->lookup;
	end_lookup(k);
	l->of = NULL;
	loop_work_let_go(k->names, &l->work, false);
}

// ---- the whole -------------------------------------------------------------------------------------------------------------------

static void on_late(struct loop_timer *t)
{
	struct http_connect *k = CONTAINER_OF(t, struct http_connect, timer);
	if (k->lookup) {
		stop_lookup(k);
		finish(k, -1, HTTP_FAILURE_DNS_TIMEOUT);
		return;
	}
	close_socket(k);
	k->failure = HTTP_FAILURE_CONNECTION_TIMEOUT;
	k->at = loop_now_ns(k->loop) >= k->deadline_ns ? k->n : k->at + 1;
	try_next(k);
}

void http_connect_start(struct http_connect *k, const char *host, uint16_t port)
{
	struct sys_address found[HTTP_ADDRESSES_MAX];
	k->lookup = NULL;
	k->io.fd = -1;
	k->n = k->at = 0;
	k->timer.fn = on_late;
	int n = sys_net.resolve(host, port, true, found, HTTP_ADDRESSES_MAX);
	if (n > 0) {
		vet(k, found, n);
		return;
	}
	loop_timer_set(k->loop, &k->timer, k->deadline_ns);
	start_lookup(k, host, port);
}

void http_connect_stop(struct http_connect *k)
{
	if (k->lookup)
		stop_lookup(k);
	if (k->io.fd >= 0)
		close_socket(k);
	loop_timer_cancel(k->loop, &k->timer);
}
