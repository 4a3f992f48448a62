// Every edge to Linux: memory, memfd, signals, sockets, clocks. One section an engineer's file, marked.
#ifndef TENON_SYS_H
#define TENON_SYS_H

#include <pthread.h>
#include <sys/uio.h>

#include "base/base.h"

// ==== sockets, epoll, eventfd, signals as descriptors, clocks (sys_net.c) ==========================================================
struct sys_address {
	uint8_t bytes[28];  // struct sockaddr_in or _in6
	uint32_t len;
};
// A literal address of IPv4 (in dots) or IPv6. false: it is none.
bool sys_address_parse(const char *text, uint16_t port, struct sys_address *ret);
// As an address of IPv6, one of IPv4 as ::ffff:a.b.c.d. true: it is one of IPv6.
bool sys_address_ip(const struct sys_address *a, uint8_t ret[16]);
// The calls of the request path go through a table, so that a test can make them fail or come up short. All return -errno on failure.
struct sys_net_table {
	int64_t (*recv)(int fd, void *into, size_t max);
	int64_t (*sendv)(int fd, const struct iovec *iov, int n);  // never raises SIGPIPE
	int64_t (*accept)(int fd, void *addr, uint32_t *len);      // non-blocking, close-on-exec
	// Addresses of a host as struct sockaddr_in or _in6 with the port, at most `max`, in the order to try them. `numeric`: only what is an address already,
	// asks nobody; else it waits for other machines. Their number, 0: the name has none, or -errno (-ENOENT: there is no such
	// name; -EAGAIN: nobody answered).
	int (*resolve)(const char *host, uint16_t port, bool numeric, struct sys_address *ret, uint32_t max);
	// Begins to connect a TCP socket, non-blocking, close-on-exec, TCP_NODELAY: the descriptor.
	int (*connect)(const struct sys_address *to);
};
extern struct sys_net_table sys_net;
extern const struct sys_net_table sys_net_real;

// CLOCK_MONOTONIC and CLOCK_REALTIME in ns, from the vDSO.
uint64_t sys_now_ns(void);
uint64_t sys_wall_ns(void);

// A listening TCP socket, non-blocking, TCP_NODELAY (accepted sockets inherit it). `exclusive`: fails if anybody listens on the port; with
// `shared` others may bind it afterwards. [::] is all addresses, IPv4's too. `addr` is a struct sockaddr_in or _in6 and gets the real port.
NODISCARD bool sys_listen(void *addr, uint32_t *len, bool exclusive, bool shared, int backlog, int *ret_fd, struct err *e);
// What is written leaves at once; a listening socket's connections inherit it. Of another kind of socket: nothing.
void sys_no_delay(int fd);
// What became of a socket that was being connected, once it is writable: 0, or -errno.
int sys_connect_result(int fd);
void sys_close(int fd);
// All of it, waiting as long as it takes. false: the descriptor does not take it (a full disk, nobody reads).
bool sys_write_all(int fd, const void *data, size_t len);
// As much of it as the descriptor takes without a wait. Returns how much; 0 as well where it fails.
size_t sys_write_some(int fd, const void *data, size_t len);
// A file that lines are added to, made if it is not there (for its owner, and to be read by its group). Waits for nobody to open a FIFO's other side. Returns
// it or -errno.
int sys_open_log(const char *path);
// For reading, without waiting for anybody: -EINVAL where it is no regular file (a pipe, a device, a folder).
int sys_open_regular(const char *path);
// `fd` stands for what `from` stands for, also for who writes to it at this moment; `from` is closed. Returns 0 or -errno.
int sys_replace(int fd, int from);
bool sys_has_ipv6(void);
// Something that changes when the file behind a path is written or replaced; 0: there is none.
uint64_t sys_file_stamp(const char *path);
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
// How many descriptors are open; 0: it can't tell (/proc).
uint64_t sys_descriptors_open(void);
// Whether n more descriptors could be had now. Returns 0 or -errno.
int sys_descriptors_left(unsigned n);

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

// ==== random bytes (sys_random.c) ====================================================================================================
// The kernel's, which are always to be had where we run.
void sys_random(void *into, size_t n);
// A generator (ChaCha20, keyed by the kernel now and then) for who wants few bytes often; of one thread. Neither a child nor a core dump has its state. NULL:
// none is to be had.
struct sys_generator;
struct sys_generator *sys_generator_new(void);
void sys_generator_free(struct sys_generator *g);  // NULL does nothing
// Without one, and more than SYS_GENERATOR_MAX bytes, it is the kernel that gives them. false: it gives none.
enum { SYS_GENERATOR_MAX = 256 };
NODISCARD bool sys_generator_take(struct sys_generator *g, void *into, size_t n);

// ==== libraries that are not linked (sys_library.c) ==================================================================================
// Fills functions[i] with the one called names[i], if the last of them (n of them, at least 1) is not there yet. The library stays. Any thread.
NODISCARD bool sys_library_load(const char *library, const char *const *names, size_t n, void **functions, struct err *e);

// ==== sockets to listen on that are no address, who started us (sys_listen.c) ========================================================
enum { SYS_SOCKET_PATH_MAX = 107, SYS_HANDED_FIRST = 3, SYS_HANDED_MAX = 64 };
struct sys_socket_file {
	uint64_t device, inode;
};
// A listening socket at a path, non-blocking. Who may connect is what the umask leaves of it (writing counts). One that is there and that nobody listens
// on is replaced; one that somebody listens on, and anything else, is not.
NODISCARD bool sys_listen_file(const char *path, int backlog, int *ret_fd, struct sys_socket_file *ret, struct err *e);
// If the path still leads to it.
void sys_remove_socket_file(const char *path, struct sys_socket_file file);
// If it is a socket that nobody listens on, and nobody is about to.
void sys_remove_dead_socket(const char *path);
// Sockets that a service manager handed over (sd_listen_fds(3)), from SYS_HANDED_FIRST on. Once: they are taken out of the environment.
struct sys_handed {
	unsigned n;
	const char *names;  // with colons between; empty: none
};
NODISCARD bool sys_handed_over(struct sys_handed *ret, struct err *e);
// One of them must be a stream socket that listens; it is non-blocking from here on. Its address, or (len 0) the path that it is bound to, empty if to
// none, and with @ before an abstract name.
NODISCARD bool sys_handed_socket(int fd, struct sys_address *ret, char ret_path[SYS_SOCKET_PATH_MAX + 2], struct err *e);
// Is it the number of this process? NULL: no.
bool sys_is_this_process(const char *pid);
// Tells a service manager by the socket that it gave (sd_notify(3)): a path, or with @ an abstract name. `waits`: up to a second, where it has no room.
// Returns 0 or -errno.
int sys_notify(const char *socket_name, const char *text, bool waits);

// ==== sockets that guests have (sys_socket.c) ========================================================================================
// All calls of this section that return something return -errno on failure.
struct sys_endpoint {
	bool v6;
	uint8_t ip[16];  // of IPv4 the first four
	uint16_t port;
	uint32_t flow, scope;  // of IPv6
};
void sys_endpoint_of(const struct sys_address *a, struct sys_endpoint *ret);
void sys_endpoint_address(const struct sys_endpoint *p, struct sys_address *ret);
// "127.0.0.1:80", "[::1]:80".
void sys_endpoint_print(const struct sys_endpoint *p, char *into, size_t cap);
// Non-blocking, close-on-exec, of one family only; of streams also SO_REUSEADDR, TCP_NODELAY.
int sys_socket(bool v6, bool datagrams);
int sys_socket_bind(int fd, const struct sys_endpoint *at);
int sys_socket_connect(int fd, const struct sys_endpoint *to);  // 0: it is, or is on its way (sys_connect_result)
int sys_socket_disconnect(int fd);  // of datagrams; it may lose its port
int sys_socket_listen(int fd, int backlog);
int sys_socket_local(int fd, struct sys_endpoint *ret);
int sys_socket_remote(int fd, struct sys_endpoint *ret);
void sys_shutdown_read(int fd);
enum sys_socket_option {
	SYS_SOCKET_KEEP_ALIVE,
	SYS_SOCKET_KEEP_IDLE,      // seconds
	SYS_SOCKET_KEEP_INTERVAL,  // seconds
	SYS_SOCKET_KEEP_COUNT,
	SYS_SOCKET_HOPS,
	SYS_SOCKET_RECEIVE_BUFFER,  // the kernel takes twice what is set, and says so
	SYS_SOCKET_SEND_BUFFER
};
int sys_socket_get(int fd, bool v6, enum sys_socket_option o, int *ret);
int sys_socket_set(int fd, bool v6, enum sys_socket_option o, int value);
// The length of a datagram, of which at most `max` bytes are given. `look`: it stays.
int64_t sys_datagram_receive(int fd, void *into, size_t max, bool look, struct sys_endpoint *ret_from);
int64_t sys_datagram_send(int fd, const void *from, size_t n, const struct sys_endpoint *to);  // NULL: to whom it is connected

// ==== files, standard streams (sys_file.c) ===========================================================================================
// All calls of this section and the next return -errno on failure.
enum sys_file_type { SYS_FILE_UNKNOWN, SYS_FILE_BLOCK, SYS_FILE_CHAR, SYS_FILE_FOLDER, SYS_FILE_FIFO, SYS_FILE_LINK, SYS_FILE_REGULAR, SYS_FILE_SOCKET };
struct sys_time {
	int64_t seconds;       // since 1970
	uint32_t nanoseconds;  // where a time is set also SYS_TIME_NOW, SYS_TIME_KEEP
};
enum { SYS_TIME_NOW = (1 << 30) - 1, SYS_TIME_KEEP = (1 << 30) - 2 };
struct sys_stat {
	enum sys_file_type type;
	uint64_t device, inode, links, size;
	struct sys_time accessed, modified, changed;
};
// Nobody has written to it, or put another in its place, between the two: then it has another time of change, whatever else is set.
bool sys_is_same_file(const struct sys_stat *a, const struct sys_stat *b);
// Through a table, so that a test can make them slow or fail. `cached`: only what memory has, without waiting for a disk; else -EAGAIN.
struct open_how;
struct sys_file_table {
	int64_t (*take)(int fd, void *into, size_t max);     // read: of what has no offset, or at its own
	int64_t (*put)(int fd, const void *from, size_t n);  // write, likewise
	int (*openat2)(int dir, const char *path, const struct open_how *how);
	int (*openat)(int dir, const char *path, int flags, uint32_t mode);
	int (*stat)(int fd, bool cached, struct sys_stat *ret);  // of anything open, also if only to be looked at; `cached`: never waits
	int64_t (*read)(int fd, void *into, size_t n, uint64_t offset, bool cached);
	int64_t (*write)(int fd, const void *from, size_t n, uint64_t offset, bool append);  // append: at the end, wherever that is
	bool (*is_local)(int fd);  // on a file system of this machine's, which answers from its caches without asking anybody
};
extern struct sys_file_table sys_file;
extern const struct sys_file_table sys_file_real;  // for tests
// Of what a path leads to, by the host's own rules, without opening it.
int sys_look(const char *path, struct sys_stat *ret);
// Would a read, or a write, of something not wait? Also where it would fail.
bool sys_ready(int fd, bool write);
bool sys_is_terminal(int fd);
// A folder of the host, by its own rules of paths.
int sys_open_folder(const char *path);
int sys_dup(int fd);
int sys_sync(int fd, bool data_only);
enum sys_advice { SYS_ADVICE_NORMAL, SYS_ADVICE_SEQUENTIAL, SYS_ADVICE_RANDOM, SYS_ADVICE_WILL_NEED, SYS_ADVICE_DONT_NEED, SYS_ADVICE_NO_REUSE };
int sys_advise(int fd, uint64_t offset, uint64_t n, enum sys_advice advice);
int sys_resize(int fd, uint64_t size);
// Takes the space that these bytes need; the file is as long afterwards. -EOPNOTSUPP where its file system can't.
int sys_allocate(int fd, uint64_t offset, uint64_t n);
// Of what is open, also if only to be looked at (a link then, not what it names).
int sys_set_times(int fd, struct sys_time accessed, struct sys_time modified);
// Entries of a folder from its offset on, as many as fit; 0: no more. sys_entry_next takes them out of the bytes: false at their end.
int64_t sys_list(int fd, void *into, size_t max);
struct sys_entry {
	struct slice name;
	uint64_t inode;
	int64_t next;  // offset behind it
	enum sys_file_type type;
};
bool sys_entry_next(struct slice list, size_t *at, struct sys_entry *ret);
// What comes next is behind the entry with that `next`; 0: the first.
int sys_list_from(int fd, int64_t offset);

// ==== folders and files that are ours alone (sys_private.c) ===========================================================================
enum { SYS_PATH_MAX = 4096 };
unsigned sys_user_id(void);
// A folder of this user, open to nobody else and no link; -EPERM: it is somebody else's, or others may look into it. `make`: with all that leads to it, where
// it isn't there.
int sys_private_folder(const char *path, bool make);
int sys_private_subfolder(int folder, const char *name);  // made where it isn't there
// A regular file of this user for reading and writing, mode 0600 where it is made, no link. `anew`: -EEXIST where there is one.
int sys_private_file(int folder, const char *name, bool make, bool anew);
int sys_private_rename(int folder, const char *from, const char *to);
int sys_private_remove(int folder, const char *name);
int sys_private_remove_folder(int folder, const char *name);  // an empty one
int sys_remove_folder(const char *path);
// For this process, as long as something has the descriptor; -EWOULDBLOCK: somebody else has it; -ESTALE: who had it removed the file.
int sys_lock(int fd);
// Connects to a socket in the file system, and waits for it: the descriptor.
int sys_connect_file(const char *path);
// What has come, waiting until CLOCK_MONOTONIC says so (UINT64_MAX: for ever). 0: the end; -ETIMEDOUT; -EINTR: a signal came.
int64_t sys_socket_receive(int fd, void *into, size_t max, uint64_t until_ns);

// ==== paths beneath a folder (sys_beneath.c) =========================================================================================
// A path is resolved by the kernel (openat2), or where that is not to be had component by component; never as a string. What leads out of the folder
// (absolute, too many "..", a link to such) is -EPERM, at every moment, whatever others rename meanwhile. Links of /proc that are no paths are not followed.
enum {
	SYS_OPEN_READ = 1,
	SYS_OPEN_WRITE = 2,
	SYS_OPEN_LOOK = 4,      // only to be looked at, whatever it is
	SYS_OPEN_FOLDER = 8,
	SYS_OPEN_CREATE = 16,
	SYS_OPEN_EXCLUSIVE = 32,
	SYS_OPEN_TRUNCATE = 64,
	SYS_OPEN_NO_FOLLOW = 128,  // a link at the end is not followed: -ELOOP, or the link itself to be looked at
	SYS_OPEN_SYNC = 256,
	SYS_OPEN_DATA_SYNC = 512,
	SYS_OPEN_CACHED = 1024,  // only with what the caches have; else -EAGAIN
};
// Never waits for the other side of a FIFO.
int sys_beneath_open(int dir, const char *path, uint32_t how);
// Asks the kernel now, and not at the first path, whether it looks up beneath a folder by itself: a look-up may wait for a disk.
void sys_beneath_ask(void);
int sys_beneath_mkdir(int dir, const char *path);
int sys_beneath_rmdir(int dir, const char *path);
int sys_beneath_unlink(int dir, const char *path);
int sys_beneath_link(int from, const char *old_path, int to, const char *new_path);
int sys_beneath_rename(int from, const char *old_path, int to, const char *new_path);
// -EPERM for an absolute target; a relative one is looked at when it is followed.
int sys_beneath_symlink(const char *target, int dir, const char *path);
// The length; at most `max`.
int64_t sys_beneath_readlink(int dir, const char *path, char *into, size_t max);

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
// The pages that hold [at, at + size), which will be written, at once instead of fault by fault. Advice: nothing fails where the kernel knows it not.
void sys_populate(void *at, uint64_t size);
// Huge pages there, where the kernel has some. Advice.
void sys_prefer_huge(void *at, uint64_t size);
// Gives the pages back (MADV_DONTNEED): private file pages show the file again, anonymous ones zero.
int sys_discard(void *at, uint64_t size);
// Once, before there are other threads: large blocks are mapped each, and grow without being copied.
void sys_heap_map_large(void);
// Gives back whole pages that malloc keeps of what was freed, of all threads: a millisecond for some ten MiB of them.
void sys_heap_trim(void);
// What that leaves: the free end of what the calling thread allocates from.
void sys_heap_trim_thread(void);
// Puts together the small blocks that the thread freed and malloc keeps apart: else the next large one that is freed or asked for waits for all of them.
void sys_heap_join(void);
// A memory-only file that can be sealed / seals it: no growing, shrinking, writing.
int sys_memfd(const char *name, uint64_t size);
int sys_memfd_seal(int fd);
// The same file by a descriptor that can't be written to, so that no mapping made of it can be.
int sys_reopen_read_only(int fd);
int sys_write_at(int fd, const void *data, uint64_t size, uint64_t offset);
// Copies [offset, offset + size) of one file to the same place of another. -EIO: the file is shorter.
int sys_copy_range(int from, int to, uint64_t size, uint64_t offset);
// The first `size` bytes. -EIO: the file is shorter.
int sys_read_whole(int fd, void *into, uint64_t size);
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
// Of the whole process so far.
void sys_process_usage(uint64_t *ret_cpu_ns, uint64_t *ret_faults);
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

// ==== what this machine and this process have (sys_machine.c) ==========================================================================
// A small file as it is now, with a zero byte behind it; what does not fit is left out. Its length, or -errno.
int64_t sys_read_text(const char *path, char *into, size_t size);
enum sys_limit { SYS_LIMIT_ADDRESS_SPACE, SYS_LIMIT_DESCRIPTORS, SYS_LIMIT_THREADS, SYS_LIMIT_FILE_SIZE };
// As far as it may be raised, but for the size of files, which is as it is; UINT64_MAX: as far as one likes.
uint64_t sys_limit(enum sys_limit what);
// Could system calls of this process be filtered (sys_confine)?
bool sys_has_call_filters(void);
// How paths beneath a folder are resolved: by the kernel, also without waiting; by the kernel; by our own walk.
enum sys_lookup { SYS_LOOKUP_CACHED, SYS_LOOKUP_BENEATH, SYS_LOOKUP_WALK };
enum sys_lookup sys_lookup(void);
// May files of that folder be mapped to be executed?
bool sys_may_map_code(int dir);

// ==== another process of this program (sys_process.c) ==================================================================================
// All but sys_child_end return -errno on failure.
struct sys_child {
	int pid, out;  // out: what it writes to its standard output
};
// Starts this program again, with `in` as its standard input, no environment, and nothing else of ours that is close-on-exec. argv ends with NULL.
int sys_run_self(char *const *argv, int in, struct sys_child *ret);
// All that it writes, until it ends or closes its output: how many bytes. -ETIMEDOUT; -EFBIG: `max` or more.
int64_t sys_child_read(const struct sys_child *c, void *into, size_t max, uint64_t until_ns);
// Ends it if it hasn't, and waits. Whether it had ended by itself, with 0.
bool sys_child_end(struct sys_child *c);
// From here on this process has its standard streams and no other descriptor, opens nothing, starts nothing, signals nobody, maps nothing executable, comes
// last for the processor, and has so much address space and CPU time. For a process of one thread, before it looks at what nobody vouches for.
int sys_confine(uint64_t memory, unsigned cpu_seconds);

// ==== signals (sys_signal.c) =========================================================================================================
// Handlers run on the alternate stack with SA_SIGINFO and SA_RESTART; the signal itself stays blocked while its handler runs.
typedef void (*sys_signal_fn)(int sig, void *siginfo, void *ucontext);
int sys_signal_handle(int sig, sys_signal_fn fn);
void sys_signal_ignore(int sig);
// The default action again: a fault that is returned from happens again and ends the process with its core dump.
void sys_signal_default(int sig);
// From here on SIGINT and SIGTERM only set what is returned and call `wake` (in their handler); a second one ends the process at once.
const bool *sys_stop_begin(void (*wake)(void *arg), void *arg);
// So does SIGHUP, after that: the terminal is gone.
void sys_stop_at_hangup(void);
// They are as they were. If one came it ends the process now, as if it had never been caught.
void sys_stop_end(void);
// At the end of a process that has still something to do: from here on the next one ends it, also where they were blocked to be read.
void sys_stop_at_once(void);
// A write to a pipe that nobody reads fails, and no more.
void sys_no_sigpipe(void);
// A file, also one in memory, that would get larger than the process may make one (ulimit -f) fails with EFBIG, and no more.
void sys_no_sigxfsz(void);
// An alternate stack for this thread with a guard below; sized by AT_MINSIGSTKSZ, at least 64 KiB.
int sys_altstack_new(void **ret);
void sys_altstack_free(void *altstack);
int sys_thread_id(void);
int sys_thread_signal(int tid, int sig);
// Lowest and one past the highest address of this thread's stack; of the main thread's, which grows, no more than what it certainly has.
int sys_thread_stack(uintptr_t *ret_low, uintptr_t *ret_high);

// ==== threads, locks, conditions (sys_thread.c) ======================================================================================
// Others see what is within through these calls only.
struct sys_mutex {
	pthread_mutex_t mutex;
};
#define SYS_MUTEX {PTHREAD_MUTEX_INITIALIZER}
void sys_mutex_init(struct sys_mutex *m);
void sys_mutex_release(struct sys_mutex *m);
void sys_mutex_lock(struct sys_mutex *m);
void sys_mutex_unlock(struct sys_mutex *m);

// Waits end for no reason, too: what is waited for is to be looked at again.
struct sys_cond {
	pthread_cond_t cond;
};
#define SYS_COND {PTHREAD_COND_INITIALIZER}  // not for sys_cond_wait_until
NODISCARD bool sys_cond_init(struct sys_cond *c);
void sys_cond_release(struct sys_cond *c);
void sys_cond_wait(struct sys_cond *c, struct sys_mutex *m);
bool sys_cond_wait_until(struct sys_cond *c, struct sys_mutex *m, uint64_t ns);  // CLOCK_MONOTONIC; false: it is past
void sys_cond_signal(struct sys_cond *c);
void sys_cond_broadcast(struct sys_cond *c);

// Our threads take no signals: those belong to who started them. Both return 0 or -errno.
// One that ends by itself.
NODISCARD int sys_thread_start(void *(*fn)(void *arg), void *arg, size_t stack);
// One that is waited for.
struct sys_thread {
	pthread_t id;
};
NODISCARD int sys_thread_new(struct sys_thread *t, void *(*fn)(void *arg), void *arg);
void sys_thread_join(struct sys_thread *t);
// This thread gives way to others (nice).
void sys_thread_be_nice(int by);
// That this process may run on.
unsigned sys_cores(void);
int sys_process_id(void);

#endif
