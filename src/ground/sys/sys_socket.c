// Sockets that guests have: thin, no state.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "sys.h"

void sys_endpoint_of(const struct sys_address *a, struct sys_endpoint *ret)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	*ret = (struct sys_endpoint){.v6 = a->len == sizeof in6};
	if (ret->v6) {
		memcpy(&in6, a->bytes, sizeof in6);
		memcpy(ret->ip, &in6.sin6_addr, 16);
		ret->port = ntohs(in6.sin6_port);
		ret->flow = ntohl(in6.sin6_flowinfo);
		ret->scope = in6.sin6_scope_id;
	} else {
		memcpy(&in, a->bytes, sizeof in);
		memcpy(ret->ip, &in.sin_addr, 4);
		ret->port = ntohs(in.sin_port);
	}
}

void sys_endpoint_address(const struct sys_endpoint *p, struct sys_address *ret)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(p->port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(p->port), .sin6_flowinfo = htonl(p->flow), .sin6_scope_id = p->scope};
	*ret = (struct sys_address){0};
	memcpy(&in.sin_addr, p->ip, 4);
	memcpy(&in6.sin6_addr, p->ip, 16);
	ret->len = p->v6 ? sizeof in6 : sizeof in;
	memcpy(ret->bytes, p->v6 ? (const void *)&in6 : &in, ret->len);
}

void sys_endpoint_print(const struct sys_endpoint *p, char *into, size_t cap)
{
	char ip[INET6_ADDRSTRLEN];
	inet_ntop(p->v6 ? AF_INET6 : AF_INET, p->ip, ip, sizeof ip);
	snprintf(into, cap, p->v6 ? "[%s]:%u" : "%s:%u", ip, p->port);
}

static int result(int r)
{
	return r < 0 ? -errno : r;
}

int sys_socket(bool v6, bool datagrams)
{
	int one = 1, fd = socket(v6 ? AF_INET6 : AF_INET, (datagrams ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	bool ok = !v6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) == 0;
	if (ok && !datagrams)
		ok = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0;
	if (ok)
		return fd;
	int why = errno;
	sys_close(fd);
	return -why;
}

int sys_socket_bind(int fd, const struct sys_endpoint *at)
{
	struct sys_address a;
	sys_endpoint_address(at, &a);
	return result(bind(fd, (const void *)a.bytes, a.len));
}

int sys_socket_connect(int fd, const struct sys_endpoint *to)
{
	struct sys_address a;
	sys_endpoint_address(to, &a);
	int r = result(connect(fd, (const void *)a.bytes, a.len));
	return r == -EINPROGRESS || r == -EINTR ? 0 : r;
}

int sys_socket_disconnect(int fd)
{
	struct sockaddr none = {.sa_family = AF_UNSPEC};
	return result(connect(fd, &none, sizeof none));
}

int sys_socket_listen(int fd, int backlog)
{
	return result(listen(fd, backlog));
}

static int take(int r, const struct sys_address *a, struct sys_endpoint *ret)
{
	if (r == 0)
		sys_endpoint_of(a, ret);
	return r;
}

int sys_socket_local(int fd, struct sys_endpoint *ret)
{
	struct sys_address a = {.len = sizeof a.bytes};
	return take(result(getsockname(fd, (void *)a.bytes, &a.len)), &a, ret);
}

int sys_socket_remote(int fd, struct sys_endpoint *ret)
{
	struct sys_address a = {.len = sizeof a.bytes};
	return take(result(getpeername(fd, (void *)a.bytes, &a.len)), &a, ret);
}

void sys_shutdown_read(int fd)
{
	shutdown(fd, SHUT_RD);
}

static void option_of(enum sys_socket_option o, bool v6, int *ret_level, int *ret_name)
{
	static const struct {
		int level, name;
	} options[] = {
		[SYS_SOCKET_KEEP_ALIVE] = {SOL_SOCKET, SO_KEEPALIVE},
		[SYS_SOCKET_KEEP_IDLE] = {IPPROTO_TCP, TCP_KEEPIDLE},
		[SYS_SOCKET_KEEP_INTERVAL] = {IPPROTO_TCP, TCP_KEEPINTVL},
		[SYS_SOCKET_KEEP_COUNT] = {IPPROTO_TCP, TCP_KEEPCNT},
		[SYS_SOCKET_HOPS] = {IPPROTO_IP, IP_TTL},
		[SYS_SOCKET_RECEIVE_BUFFER] = {SOL_SOCKET, SO_RCVBUF},
		[SYS_SOCKET_SEND_BUFFER] = {SOL_SOCKET, SO_SNDBUF},
	};
	*ret_level = o == SYS_SOCKET_HOPS && v6 ? IPPROTO_IPV6 : options[o].level;
	*ret_name = o == SYS_SOCKET_HOPS && v6 ? IPV6_UNICAST_HOPS : options[o].name;
}

int sys_socket_get(int fd, bool v6, enum sys_socket_option o, int *ret)
{
	int level, name;
	socklen_t len = sizeof *ret;
	option_of(o, v6, &level, &name);
	return result(getsockopt(fd, level, name, ret, &len));
}

int sys_socket_set(int fd, bool v6, enum sys_socket_option o, int value)
{
	int level, name;
	option_of(o, v6, &level, &name);
	return result(setsockopt(fd, level, name, &value, sizeof value));
}

int64_t sys_datagram_receive(int fd, void *into, size_t max, bool look, struct sys_endpoint *ret_from)
{
	struct sys_address a = {.len = sizeof a.bytes};
	ssize_t n;
	do
		n = recvfrom(fd, into, max, MSG_TRUNC | (look ? MSG_PEEK : 0), (void *)a.bytes, &a.len);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	sys_endpoint_of(&a, ret_from);
	return n;
}

int64_t sys_datagram_send(int fd, const void *from, size_t n, const struct sys_endpoint *to)
{
	struct sys_address a = {0};
	ssize_t sent;
	if (to)
		sys_endpoint_address(to, &a);
	do
		sent = sendto(fd, from, n, MSG_NOSIGNAL, to ? (const void *)a.bytes : NULL, a.len);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : sent;
}
