// Datagrams.
//
// A socket that was bound to what was given for listening hears everybody, and may answer those that it heard last. Any other one hears whom it may reach.
#include "socket_int.h"

#include <errno.h>

enum { UNHEARD_MAX = 64 };  // datagrams of others that are thrown away in one go

// ---- who is heard ----------------------------------------------------------------------------------------------------------------------

static void remember(struct wasi_socket *s, const struct sys_endpoint *peer)
{
	for (uint32_t i = 0; i < s->n_peers; i++)
		if (wasi__socket_is_same(&s->peers[i], peer))
			return;
	if (!s->peers)
		s->peers = pool_alloc(s->of->memory, WASI_KNOWN_PEERS * sizeof *s->peers);
	if (!s->peers)
		return;
	s->peers[s->next_peer] = *peer;
	s->next_peer = (s->next_peer + 1) % WASI_KNOWN_PEERS;
	s->n_peers = (uint32_t)min_u64(s->n_peers + 1, WASI_KNOWN_PEERS);
}

static bool is_known(const struct wasi_socket *s, const struct sys_endpoint *peer)
{
	for (uint32_t i = 0; i < s->n_peers; i++)
		if (wasi__socket_is_same(&s->peers[i], peer))
			return true;
	return false;
}

static bool may_hear(const struct wasi_socket *s, const struct sys_endpoint *peer)
{
	if (s->connected)
		return wasi__socket_is_same(peer, &s->remote);
	return s->hears_all || wasi__socket_may_reach(s->of, true, peer);
}

// Throws away what may not be heard, some of it. true: something is there, or an error (s->error).
static bool look(struct wasi_socket *s)
{
	for (int i = 0; i < UNHEARD_MAX && !s->error; i++) {
		struct sys_endpoint from;
		int64_t n = sys_datagram_receive(s->fd, NULL, 0, true, &from);
		if (n == -EAGAIN)
			return false;
		if (n < 0)
			s->error = (int)-n;
		else if (may_hear(s, &from))
			return true;
		else
			sys_datagram_receive(s->fd, NULL, 0, false, &from);
	}
	return true;
}

bool wasi__socket_hears(struct wasi_socket *s)
{
	for (int i = 0; i < 2 && !s->error; i++) {
		if (!wasi__socket_is_ready(s, false))
			return false;
		if (look(s))
			return true;
	}
	return true;  // or not: they come faster than they are thrown away
}

int64_t wasi__socket_receive(struct wasi_socket *s, void *into, size_t max, struct sys_endpoint *ret_from)
{
	for (int i = 0; i < UNHEARD_MAX && !s->error; i++) {
		int64_t n = sys_datagram_receive(s->fd, into, max, false, ret_from);
		if (n < 0)
			return n;
		if (!may_hear(s, ret_from))
			continue;
		if (s->hears_all)
			remember(s, ret_from);
		return (int64_t)min_u64((uint64_t)n, max);
	}
	int why = s->error;
	s->error = 0;
	return why ? -why : -EAGAIN;
}

// ---- who is sent to --------------------------------------------------------------------------------------------------------------------

static int may_send(struct wasi_socket *s, const struct sys_endpoint *to)
{
	if (wasi__socket_may_reach(s->of, true, to) || is_known(s, to))
		return 0;
	wasi__socket_deny(s->of, SEAM_DENY_NET, "sending to", true, to);
	return -EACCES;
}

int wasi__socket_send(struct wasi_socket *s, struct slice data, const struct sys_endpoint *to)
{
	if (data.len > UINT16_MAX)
		return -EMSGSIZE;
	if (to ? !wasi__socket_is_destination(s, to) || (s->connected && !wasi__socket_is_same(to, &s->remote)) : !s->connected)
		return -EINVAL;
	int why = may_send(s, to ? to : &s->remote);
	if (why)
		return why;
	int64_t n = sys_datagram_send(s->fd, data.ptr, data.len, s->connected ? NULL : to);
	return n < 0 ? (int)n : 0;
}

// A socket that gives up its association may lose its port with it: it gets that again.
static int disconnect(struct wasi_socket *s)
{
	struct sys_endpoint now;
	if (!s->connected)
		return 0;
	int why = sys_socket_disconnect(s->fd);
	s->connected = false;
	if (why == 0)
		why = sys_socket_local(s->fd, &now);
	return why == 0 && now.port == 0 ? sys_socket_bind(s->fd, &s->local) : why;
}

int wasi__socket_associate(struct wasi_socket *s, const struct sys_endpoint *with)
{
	if (s->state != WASI_SOCKET_BOUND)
		return s->state == WASI_SOCKET_BINDING ? -EALREADY : -EISCONN;
	if (with && !wasi__socket_is_destination(s, with))
		return -EINVAL;
	int why = with ? may_send(s, with) : 0;
	if (why == 0)
		why = disconnect(s);
	if (why == 0 && with)
		why = sys_socket_connect(s->fd, with);
	if (why == 0 && with) {
		s->connected = true;
		s->remote = *with;
	}
	return why == -EADDRNOTAVAIL ? -EADDRINUSE : why;
}
