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
// `shared` others may bind it afterwards. [::] is all addresses, IPv4's too. `addr` is a struct sockaddr_in or _in6 and gets the real port.
NODISCARD bool sys_listen(void *addr, uint32_t *len, bool exclusive, bool shared, int backlog, int *ret_fd, struct err *e);
void sys_close(int fd);
// All of it, waiting as long as it takes. false: the descriptor does not take it (a full disk, nobody reads).
bool sys_write_all(int fd, const void *data, size_t len);
bool sys_has_ipv6(void);
// Where one of the descriptors 0 to 2 is not open, /dev/null: what is opened next must not be taken for a standard stream.
void sys_standard_fds(void);
// Ends our direction only.
void sys_shutdown_write(int fd);
// The next close sends RST.
void sys_linger_zero(int fd);
// Bytes that were sent and have not been taken by the other side's kernel.
uint64_t sys_out_queue(int fd);
// Raises the limit on descriptors to what it may be. Returns that.
uint64_t sys_raise_descriptors(void);
void sys_random(void *into, size_t n);

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

// ==== memory, memfd, page tables (sys_mem.c) =========================================================================================
// Every call in this section and the next returns 0 (or a pointer, a descriptor) or fails with -errno (NULL), and can be made to fail:
// the n-th one from now in this thread fails with ENOMEM (1 = the next one); 0 turns it off.
void sys_fail_nth(uint64_t n);  // for tests
#define SYS_PAGE 4096u

// Address space without memory: PROT_NONE, not reserved, not in core dumps, not for children.
void *sys_reserve(uint64_t size);
void *sys_map_anonymous(uint64_t size);  // zeroed, readable and writable
int sys_unmap(void *at, uint64_t size);
int sys_protect(void *at, uint64_t size, bool access);  // PROT_NONE or read and write
// Private copy-on-write mapping of a memfd at a fixed place, no huge pages, not for children.
int sys_map_private_at(void *at, uint64_t size, int fd, uint64_t offset);
// Puts the emptiness of sys_reserve back at a fixed place.
int sys_wipe(void *at, uint64_t size);
// Gives the pages back (MADV_DONTNEED): private file pages show the file again, anonymous ones zero.
int sys_discard(void *at, uint64_t size);
// A memory-only file that can be sealed / seals it: no growing, shrinking, writing.
int sys_memfd(const char *name, uint64_t size);
int sys_memfd_seal(int fd);
int sys_write_at(int fd, const void *data, uint64_t size, uint64_t offset);
// Copies [offset, offset + size) of one file to the same place of another. -EIO: the file is shorter.
int sys_copy_range(int from, int to, uint64_t size, uint64_t offset);
int sys_set_size(int fd, uint64_t size);
void *sys_map_shared_read(int fd, uint64_t size);
void *sys_map_code(int fd, uint64_t size);  // read and execute
// A file that may change, private and read-only, all of its pages at hand as far as they are in memory.
void *sys_map_file(int fd, uint64_t size);
int sys_protect_code(void *at, uint64_t size);  // read and execute
// Puts a part of a memfd in the place of what is mapped there, at once for all threads.
int sys_map_over(void *at, uint64_t size, int fd, uint64_t offset, bool code);
// Page faults of this thread so far, minor and major.
uint64_t sys_thread_faults(void);
uint64_t sys_thread_cpu_ns(void);
// This thread's CPU clock, for others (while the thread lives) / what a clock says; 0: the thread is gone.
int sys_thread_cpu_clock(void);
uint64_t sys_cpu_clock_ns(int clock);
// Private pages (those that are not the file's, present or swapped out) between two page-aligned addresses, as runs [start, end).
// Calls `fn` in ascending order; stops when it returns false (then -ECANCELED).
struct sys_page_run {
	uint64_t start, end;
};
typedef bool (*sys_page_run_fn)(void *arg, struct sys_page_run run);
int sys_private_pages_scan(void *start, uint64_t size, sys_page_run_fn fn, void *arg);     // PAGEMAP_SCAN: Linux 6.7
int sys_private_pages_pagemap(void *start, uint64_t size, sys_page_run_fn fn, void *arg);  // reads /proc/self/pagemap
int sys_touched_pages(void *start, uint64_t size, sys_page_run_fn fn, void *arg);          // present or swapped, the file's too
uint64_t sys_max_map_count(void);

// ==== signals (sys_signal.c) =========================================================================================================
// Handlers run on the alternate stack with SA_SIGINFO and SA_RESTART; the signal itself stays blocked while its handler runs.
typedef void (*sys_signal_fn)(int sig, void *siginfo, void *ucontext);
int sys_signal_handle(int sig, sys_signal_fn fn);
void sys_signal_ignore(int sig);
// The default action again: a fault that is returned from happens again and ends the process with its core dump.
void sys_signal_default(int sig);
// An alternate stack for this thread with a guard below; sized by AT_MINSIGSTKSZ, at least 64 KiB.
int sys_altstack_new(void **ret);
void sys_altstack_free(void *altstack);
int sys_thread_id(void);
int sys_thread_signal(int tid, int sig);
// A thread that ends by itself, and takes no signals: those belong to who started it. false: none is to be had.
NODISCARD bool sys_thread_start(void *(*fn)(void *arg), void *arg, size_t stack);
// Lowest and one past the highest address of this thread's stack.
int sys_thread_stack(uintptr_t *ret_low, uintptr_t *ret_high);

#endif
