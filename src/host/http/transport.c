// Plain TCP: recv and send on the descriptor, through sys_net, so that a test can make them fail.
#include "http_int.h"

static int64_t plain_recv(struct http_transport *t, void *into, size_t max)
{
	return sys_net.recv(t->io.fd, into, max);
}

static int64_t plain_sendv(struct http_transport *t, const struct iovec *parts, int n)
{
	return sys_net.sendv(t->io.fd, parts, n);
}

static void plain_shutdown(struct http_transport *t)
{
	sys_shutdown_write(t->io.fd);
}

static void plain_close(struct http_transport *t, bool reset)
{
	int fd = t->io.fd;
	if (reset)
		sys_linger_zero(fd);
	loop_io_close(&t->io, true);
	sys_close(fd);
}

static void plain_want(struct http_transport *t, uint32_t interest)
{
	loop_io_want(&t->io, interest);
}

static uint64_t plain_unsent(struct http_transport *t)
{
	return sys_out_queue(t->io.fd);
}

static int plain_detach(struct http_transport *t)
{
	int fd = t->io.fd;
	loop_io_close(&t->io, false);
	return fd;
}

static bool plain_attach(struct http_transport *t, struct loop *l, int fd, void (*fn)(struct loop_io *io, uint32_t ready))
{
	return loop_io_open(l, &t->io, fd, LOOP_READ, fn, NULL);
}

static void plain_drop(int fd, void *of UNUSED)
{
	sys_close(fd);
}

static const struct http_transport_ops plain = {
	.recv = plain_recv,
	.sendv = plain_sendv,
	.shutdown = plain_shutdown,
	.close = plain_close,
	.want = plain_want,
	.unsent = plain_unsent,
	.detach = plain_detach,
	.attach = plain_attach,
	.drop = plain_drop,
};

bool http__transport_open_plain(struct http_transport *t, struct loop *l, int fd, void (*fn)(struct loop_io *io, uint32_t ready), struct err *e)
{
	t->ops = &plain;
	if (loop_io_open(l, &t->io, fd, LOOP_READ, fn, e))
		return true;
	sys_close(fd);
	t->io.fd = -1;
	return false;
}
