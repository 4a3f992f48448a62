// Sockets, epoll, eventfd, signalfd, clocks: thin, no state. Failures of set-up calls teach through struct err, those of the request path
// are -errno.
#include "sys.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// What each request calls. libc's are cancellation points: with more than one thread each has two locked instructions more. Nobody is cancelled here. The
// sanitizers know memory that was written and what came before what by libc's.
#if SANITIZE_ADDRESS || SANITIZE_THREAD || !defined SYS_epoll_wait
#define CALL_RECV(fd, into, max) recv(fd, into, max, 0)
#define CALL_SEND(fd, from, n, flags) send(fd, from, n, flags)
#define CALL_EPOLL_WAIT(fd, events, max, ms) epoll_wait(fd, events, max, ms)
#else
#define CALL_RECV(fd, into, max) syscall(SYS_recvfrom, fd, into, max, 0, NULL, NULL)
#define CALL_SEND(fd, from, n, flags) syscall(SYS_sendto, fd, from, n, flags, NULL, 0)
#define CALL_EPOLL_WAIT(fd, events, max, ms) (int)syscall(SYS_epoll_wait, fd, events, max, ms)
#endif

static int64_t real_recv(int fd, void *into, size_t max)
{
	ssize_t n;
	do
		n = CALL_RECV(fd, into, max);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static int64_t real_sendv(int fd, const struct iovec *iov, int count)
{
	ssize_t n;
	struct msghdr m = {.msg_iov = UNCONST(iov), .msg_iovlen = (size_t)count};
	do
		n = count == 1 ? CALL_SEND(fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL) : sendmsg(fd, &m, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static int64_t real_accept(int fd, void *addr, uint32_t *len)
{
	int got;
	do
		got = accept4(fd, addr, len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	while (got < 0 && (errno == EINTR || errno == ECONNABORTED));
	return got < 0 ? -errno : got;
}

bool sys_address_parse(const char *text, uint16_t port, struct sys_address *ret)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	*ret = (struct sys_address){0};
	if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
		ret->len = sizeof in;
		memcpy(ret->bytes, &in, sizeof in);
	} else if (inet_pton(AF_INET6, text, &in6.sin6_addr) == 1) {
		ret->len = sizeof in6;
		memcpy(ret->bytes, &in6, sizeof in6);
	}
	return ret->len > 0;
}

bool sys_address_ip(const struct sys_address *a, uint8_t ret[16])
{
	if (a->len == sizeof(struct sockaddr_in6)) {
		memcpy(ret, a->bytes + offsetof(struct sockaddr_in6, sin6_addr), 16);
		return true;
	}
	memset(ret, 0, 10);
	ret[10] = ret[11] = 0xff;
	memcpy(ret + 12, a->bytes + offsetof(struct sockaddr_in, sin_addr), 4);
	return false;
}

static int resolve_error(int why, int errnum)
{
	switch (why) {
	case EAI_NONAME:
		return -ENOENT;
	case EAI_NODATA:
	case EAI_ADDRFAMILY:
		return 0;
	case EAI_AGAIN:
		return -EAGAIN;
	case EAI_MEMORY:
		return -ENOMEM;
	case EAI_SYSTEM:
		return errnum == EAGAIN || errnum == 0 ? -EIO : -errnum;
	default:
		return -EIO;
	}
}

static int real_resolve(const char *host, uint16_t port, bool numeric, struct sys_address *ret, uint32_t max)
{
	char service[8];
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | (numeric ? AI_NUMERICHOST : AI_ADDRCONFIG)}, *list;
	snprintf(service, sizeof service, "%u", port);
	int why = getaddrinfo(host, service, &hints, &list);
	if (why)
		return resolve_error(why, errno);
	uint32_t n = 0;
	for (const struct addrinfo *a = list; a && n < max; a = a->ai_next) {
		if (a->ai_addrlen > sizeof ret->bytes || (a->ai_family != AF_INET && a->ai_family != AF_INET6))
			continue;
		ret[n] = (struct sys_address){.len = a->ai_addrlen};
		memcpy(ret[n++].bytes, a->ai_addr, a->ai_addrlen);
	}
	freeaddrinfo(list);
	return (int)n;
}

static int real_connect(const struct sys_address *to)
{
	uint16_t family;
	int one = 1;
	memcpy(&family, to->bytes, sizeof family);
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (connect(fd, (const void *)to->bytes, to->len) == 0 || errno == EINPROGRESS || errno == EINTR)
		return fd;
	int why = errno;
	close(fd);
	return -why;
}

const struct sys_net_table sys_net_real = {real_recv, real_sendv, real_accept, real_resolve, real_connect};
struct sys_net_table sys_net = {real_recv, real_sendv, real_accept, real_resolve, real_connect};

int sys_connect_result(int fd)
{
	int why = 0;
	socklen_t len = sizeof why;
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &len) < 0 ? -errno : -why;
}

static uint64_t clock_ns(clockid_t which)
{
	struct timespec t;
	clock_gettime(which, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t sys_now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t sys_wall_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

void sys_no_delay(int fd)
{
	int one = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static bool is_any6(const struct sockaddr *sa)
{
	return sa->sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr);
}

static bool listen_failed(struct err *e, int why)
{
	err_set_errno(e, why, "listen");
	if (why == EACCES || why == EPERM)
		return err_hint(e, "ports below 1024 need privileges: take a higher one, or give the program CAP_NET_BIND_SERVICE");
	if (why == EADDRNOTAVAIL)
		return err_hint(e, "the address is none of this machine's; 127.0.0.1 is this machine, :PORT all of its addresses");
	if (why == EADDRINUSE)
		return err_hint(e, "another program listens on the port: stop it, or take another; port 0 is any free one");
	return false;
}

// [::] is all addresses of both families. SO_REUSEPORT is set once an exclusive socket listens: until then the kernel refuses it if anybody, sharing or
// not, listens on the port already, at bind and again at listen.
bool sys_listen(void *addr, uint32_t *len, bool exclusive, bool shared, int backlog, int *ret_fd, struct err *e)
{
	struct sockaddr *sa = addr;
	int one = 1, v6only = !is_any6(sa), fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set_errno(e, errno, "socket");
	bool ok = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0;
	if (ok && sa->sa_family == AF_INET6)
		ok = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof v6only) == 0;
	if (ok && shared && !exclusive)
		ok = setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) == 0;
	ok = ok && bind(fd, sa, *len) == 0 && listen(fd, backlog) == 0 && getsockname(fd, sa, len) == 0;
	if (ok && shared && exclusive)
		ok = setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) == 0;
	if (ok) {
		*ret_fd = fd;
		return true;
	}
	int why = errno;
	close(fd);
	return listen_failed(e, why);
}

void sys_close(int fd)
{
	if (fd >= 0)
		close(fd);
}

bool sys_write_all(int fd, const void *data, size_t len)
{
	const uint8_t *at = data;
	while (len) {
		ssize_t n = write(fd, at, len);
		if (n < 0 && errno == EAGAIN)  // somebody else made it so: standard streams are shared
			poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
		else if (n < 0 && errno != EINTR)
			return false;
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
	}
	return true;
}

size_t sys_write_some(int fd, const void *data, size_t len)
{
	const uint8_t *at = data;
	size_t done = 0;
	while (done < len) {
		struct pollfd p = {.fd = fd, .events = POLLOUT};
		if (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT))
			break;
		ssize_t n = write(fd, at + done, min_u64(len - done, PIPE_BUF));  // a pipe that is ready takes so much
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return done;
}

uint64_t sys_file_stamp(const char *path)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return 0;
	return (uint64_t)st.st_ino * 1000003 + (uint64_t)st.st_mtim.tv_sec * SECOND + (uint64_t)st.st_mtim.tv_nsec + (uint64_t)st.st_size + 1;
}

bool sys_has_ipv6(void)
{
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	sys_close(fd);
	return fd >= 0 || errno != EAFNOSUPPORT;
}

void sys_standard_fds(void)
{
	int fd;
	do
		fd = open("/dev/null", O_RDWR);  // the lowest that is free
	while (fd >= 0 && fd <= STDERR_FILENO);
	sys_close(fd);
}

void sys_shutdown_write(int fd)
{
	shutdown(fd, SHUT_WR);
}

void sys_linger_zero(int fd)
{
	struct linger l = {.l_onoff = 1, .l_linger = 0};
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
}

uint64_t sys_out_queue(int fd)
{
	int n = 0;
	return ioctl(fd, SIOCOUTQ, &n) < 0 || n < 0 ? 0 : (uint64_t)n;
}

int sys_descriptors_left(unsigned n)
{
	int fd = fcntl(0, F_DUPFD_CLOEXEC, 0);  // it is always open (sys_standard_fds)
	if (fd < 0)
		return -errno;
	int r = n > 1 ? sys_descriptors_left(n - 1) : 0;
	close(fd);
	return r;
}

uint64_t sys_raise_descriptors(void)
{
	struct rlimit l;
	if (getrlimit(RLIMIT_NOFILE, &l) < 0)
		return 1024;
	rlim_t soft = l.rlim_cur;
	l.rlim_cur = l.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &l) < 0 ? soft : l.rlim_cur;
}

int sys_epoll_new(void)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int sys_epoll_ctl(int epfd, int op, int fd, uint32_t events, void *ptr)
{
	struct epoll_event ev = {.events = events, .data.ptr = ptr};
	return epoll_ctl(epfd, op, fd, &ev) < 0 ? -errno : 0;
}

int sys_epoll_wait(int epfd, struct epoll_event *events, int max, int timeout_ms)
{
	int n = CALL_EPOLL_WAIT(epfd, events, max, timeout_ms);
	return n < 0 ? -errno : n;
}

int sys_eventfd(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

void sys_eventfd_signal(int fd)
{
	uint64_t one = 1;
	int saved = errno;
	ssize_t n = write(fd, &one, sizeof one);
	(void)n;  // full means it is signalled already
	errno = saved;
}

bool sys_signalfd(const int *signals, int n, int *ret_fd, struct err *e)
{
	sigset_t set;
	sigemptyset(&set);
	for (int i = 0; i < n; i++)
		sigaddset(&set, signals[i]);
	int why = pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (why)
		return err_set_errno(e, why, "pthread_sigmask");
	int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return err_set_errno(e, errno, "signalfd");
	*ret_fd = fd;
	return true;
}

int sys_signalfd_next(int fd)
{
	struct signalfd_siginfo info;
	return read(fd, &info, sizeof info) == (ssize_t)sizeof info ? (int)info.ssi_signo : 0;
}
