// Every edge to Linux: memory, memfd, signals, sockets, clocks. One section an engineer's file, marked.
#ifndef TENON_SYS_H
#define TENON_SYS_H

#include <sys/uio.h>

#include "base/base.h"

// ==== sockets, epoll, eventfd, signals as descriptors, clocks (sys_net.c) ==========================================================
// The calls of the request path go through a table, so that a test can make them fail or come up short. All return -errno on failure.
struct sys_net_table {
	int64_t (*recv)(int fd, void *into, size_t max);
	int64_t (*sendv)(int fd, const struct iovec *iov, int n);  // never raises SIGPIPE
	int64_t (*accept)(int fd, void *addr, uint32_t *len);      // non-blocking, close-on-exec
};
extern struct sys_net_table sys_net;
extern const struct sys_net_table sys_net_real;

// CLOCK_MONOTONIC and CLOCK_REALTIME in ns, from the vDSO.
uint64_t sys_now_ns(void);
uint64_t sys_wall_ns(void);

// A listening TCP socket, non-blocking, TCP_NODELAY (accepted sockets inherit it). `exclusive`: fails if anybody listens on the port; with
// `shared` others may bind it afterwards. `addr` is a struct sockaddr_in or _in6 and gets the real port.
NODISCARD bool sys_listen(void *addr, uint32_t *len, bool exclusive, bool shared, int backlog, int *ret_fd, struct err *e);
void sys_close(int fd);
// Ends our direction only.
void sys_shutdown_write(int fd);
// The next close sends RST.
void sys_linger_zero(int fd);

// All four return -errno on failure. ctl: `op` is EPOLL_CTL_*.
int sys_epoll_new(void);
int sys_epoll_ctl(int epfd, int op, int fd, uint32_t events, void *ptr);
struct epoll_event;
int sys_epoll_wait(int epfd, struct epoll_event *events, int max, int timeout_ms);
int sys_eventfd(void);
void sys_eventfd_signal(int fd);
// Blocks the signals in the calling thread (threads started later inherit that) and makes them readable.
NODISCARD bool sys_signalfd(const int *signals, int n, int *ret_fd, struct err *e);
// The next signal's number, 0 when there is none.
int sys_signalfd_next(int fd);

#endif
