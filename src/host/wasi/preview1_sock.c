// Preview 1: sockets that were given listening, and their connections.
#include <errno.h>

#include "preview1.h"

enum {
	LISTENER_RIGHTS = P1_RIGHT_FD_FDSTAT_SET_FLAGS | P1_RIGHT_FD_FILESTAT_GET | P1_RIGHT_POLL_FD_READWRITE | P1_RIGHT_SOCK_ACCEPT,
	CONNECTION_RIGHTS = P1_RIGHT_FD_FDSTAT_SET_FLAGS | P1_RIGHT_FD_FILESTAT_GET | P1_RIGHT_POLL_FD_READWRITE | P1_RIGHT_FD_READ | P1_RIGHT_FD_WRITE |
		P1_RIGHT_SOCK_SHUTDOWN,
};

// ---- what was given --------------------------------------------------------------------------------------------------------------------

static void tell(const struct wasi *w, int fd)
{
	struct sys_endpoint at;
	char text[64];
	if (!w->log || !w->log->listens || sys_socket_local(fd, &at))
		return;
	sys_endpoint_print(&at, text, sizeof text);
	w->log->listens(w->log->ctx, text);
}

// Takes the descriptor over.
static bool add_listener(struct wasi_preview1 *p, int fd, bool v6, bool handed, struct err *e)
{
	struct p1_file f = {.kind = P1_LISTENER, .filetype = P1_SOCKET_STREAM, .rights = LISTENER_RIGHTS, .inheriting = CONNECTION_RIGHTS};
	uint32_t got;
	bool taken = wasi__socket_take(p->sockets, fd, v6, false, WASI_SOCKET_LISTENING, &f.socket) == 0;
	if (taken)
		f.socket->handed = handed;
	if (taken && wasi__p1_file_add(p, &f, &got) == P1_SUCCESS)
		return true;
	wasi__socket_unref(f.socket);
	return err_set(e, ERR_LIMIT, "no place for another socket");
}

static bool open_listener(struct wasi_preview1 *p, const struct wasi *w, const struct seam_listen *l, struct err *e)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct sys_endpoint at = {.v6 = l->any_ip ? sys_has_ipv6() : memcmp(l->ip, mapped, sizeof mapped) != 0, .port = l->port};
	struct sys_address address;
	int fd;
	if (!l->any_ip)
		memcpy(at.ip, l->ip + (at.v6 ? 0 : 12), at.v6 ? 16 : 4);
	sys_endpoint_address(&at, &address);
	if (!sys_listen(address.bytes, &address.len, false, false, WASI_BACKLOG, &fd, e))
		return err_note(e, "--listen-tcp");
	if (l->port == 0)
		tell(w, fd);
	return add_listener(p, fd, at.v6, false, e);
}

static bool open_handed(struct wasi_preview1 *p, int handed, struct err *e)
{
	struct sys_endpoint at;
	int fd = sys_dup(handed), why = fd < 0 ? fd : sys_socket_local(fd, &at);
	if (why == 0)
		return add_listener(p, fd, at.v6, true, e);
	if (fd >= 0)
		sys_close(fd);
	return err_set_errno(e, -why, "a socket that was handed over");
}

bool wasi__p1_listeners_open(struct wasi_preview1 *p, struct wasi *w, struct err *e)
{
	const struct seam_grants *g = p->seam.grants;
	unsigned n_handed = w->process->n_handed;
	if (g->n_listens == 0 && n_handed == 0)
		return true;
	p->sockets = wasi__sockets_new(w, p->pool, p->seam.grants, p->seam.loop);
	if (!p->sockets)
		return err_nomem(e);
	for (uint32_t i = 0; i < g->n_listens; i++)
		if (!open_listener(p, w, &g->listens[i], e))
			return false;
	for (unsigned i = 0; i < n_handed; i++)
		if (!open_handed(p, SYS_HANDED_FIRST + (int)i, e))
			return false;
	return true;
}

// ---- the functions ---------------------------------------------------------------------------------------------------------------------

// NULL: c->error is set.
static struct p1_file *socket_of(struct p1_call *c, uint64_t fd, enum p1_kind kind, uint64_t rights)
{
	struct p1_file *f = wasi__p1_file(c, fd, 0);
	if (f && !f->socket)
		c->error = P1_NOTSOCK;
	else if (f && f->kind != kind)
		c->error = kind == P1_LISTENER ? P1_INVAL : P1_NOTCONN;
	return f && !c->error ? wasi__p1_file(c, fd, rights) : NULL;
}

static enum p1_errno add_connection(struct wasi_preview1 *p, struct wasi_socket *s, uint16_t flags, uint64_t inheriting, uint32_t *ret)
{
	struct p1_file f = {.kind = P1_CONNECTION, .filetype = P1_SOCKET_STREAM, .flags = flags, .rights = CONNECTION_RIGHTS & inheriting, .socket = s};
	f.in = wasi__socket_input(s);
	f.out = wasi__socket_output(s);
	enum p1_errno error = f.in && f.out ? wasi__p1_file_add(p, &f, ret) : P1_NOMEM;
	if (error) {
		wasi__input_unref(f.in);
		wasi__output_unref(f.out);
		wasi__socket_unref(s);
	}
	return error;
}

enum seam_result wasi__p1_sock_accept(struct p1_call *c, const struct p1_sock_accept_args *a)
{
	const struct p1_file *f = socket_of(c, a->fd, P1_LISTENER, P1_RIGHT_SOCK_ACCEPT);
	struct wasi_socket *s = NULL;
	uint32_t fd = 0;
	if (!f)
		return SEAM_OK;
	if (a->flags & ~(uint64_t)P1_NONBLOCK)
		return wasi__p1_fail(c, P1_INVAL);
	int why;
	while ((why = wasi__socket_accept(f->socket, &s)) == -EAGAIN) {
		if (f->flags & P1_NONBLOCK)
			return wasi__p1_fail(c, P1_AGAIN);
		enum seam_result r = wasi__event_wait(&c->seam, &f->socket->event);
		if (r != SEAM_OK)
			return r;
	}
	if (why)
		return wasi__p1_fail(c, why == -EMFILE || why == -ENFILE ? P1_MFILE : why == -ENOMEM ? P1_NOMEM
																							 : P1_IO);
	c->error = add_connection(c->p, s, (uint16_t)a->flags, f->inheriting, &fd);
	return c->error ? SEAM_OK : wasi__p1_put_u32(c, a->opened_fd, fd);
}

enum seam_result wasi__p1_sock_recv(struct p1_call *c, const struct p1_sock_recv_args *a)
{
	enum { PEEK = 1, WAITALL = 2 };
	const struct p1_file *f = socket_of(c, a->fd, P1_CONNECTION, P1_RIGHT_FD_READ);
	uint64_t n = 0;
	if (!f)
		return SEAM_OK;
	if (a->ri_flags & ~(uint64_t)(PEEK | WAITALL))
		return wasi__p1_fail(c, P1_INVAL);
	enum seam_result r = wasi__p1_read_stream(c, f, wasi__p1_iovs(a->ri_data, a->ri_data_len), a->ri_flags & PEEK, a->ri_flags == WAITALL, &n);
	if (r == SEAM_OK && !c->error)
		r = wasi__p1_put_u32(c, a->ro_datalen, (uint32_t)n);
	const uint16_t flags = 0;  // nothing of a stream is cut
	return r != SEAM_OK || c->error ? r : wasi__p1_put(c, a->ro_flags, &flags, sizeof flags, _Alignof(uint16_t));
}

enum seam_result wasi__p1_sock_send(struct p1_call *c, const struct p1_sock_send_args *a)
{
	const struct p1_file *f = socket_of(c, a->fd, P1_CONNECTION, P1_RIGHT_FD_WRITE);
	uint64_t n = 0;
	if (!f)
		return SEAM_OK;
	if (a->si_flags)
		return wasi__p1_fail(c, P1_INVAL);
	enum seam_result r = wasi__p1_write_stream(c, f, wasi__p1_iovs(a->si_data, a->si_data_len), &n);
	return r != SEAM_OK || c->error ? r : wasi__p1_put_u32(c, a->so_datalen, (uint32_t)n);
}

enum seam_result wasi__p1_sock_shutdown(struct p1_call *c, const struct p1_sock_shutdown_args *a)
{
	const struct p1_file *f = socket_of(c, a->fd, P1_CONNECTION, P1_RIGHT_SOCK_SHUTDOWN);
	if (!f)
		return SEAM_OK;
	if (a->how == 0 || a->how & ~(uint64_t)(P1_RD | P1_WR))
		return wasi__p1_fail(c, P1_INVAL);
	wasi__socket_shutdown(f->socket, a->how & P1_RD, a->how & P1_WR);
	return SEAM_OK;
}
