// Inside the room wasi: preview 1, a face for core modules over the objects that 0.2 has. Types and numbers are those of witx
// (WASI, legacy/preview1/witx).
//
// Invariants:
//  1. A function sees the module's memory through wasi__p1_at and what is built on it, which check place and alignment: outside of it, or not aligned, is a
//     trap (witx, "Pointers"). What it finds stays: a memory neither moves nor shrinks.
//  2. A number in the guest's hands is an index of `files`, or nothing.
#ifndef TENON_WASI_PREVIEW1_H
#define TENON_WASI_PREVIEW1_H

#include "fs_int.h"
#include "socket_int.h"

// ---- what crosses ------------------------------------------------------------------------------------------------------------------------
enum p1_errno {
	P1_SUCCESS,
	P1_2BIG,
	P1_ACCESS,
	P1_ADDRINUSE,
	P1_ADDRNOTAVAIL,
	P1_AFNOSUPPORT,
	P1_AGAIN,
	P1_ALREADY,
	P1_BADF,
	P1_BADMSG,
	P1_BUSY,
	P1_CANCELED,
	P1_CHILD,
	P1_CONNABORTED,
	P1_CONNREFUSED,
	P1_CONNRESET,
	P1_DEADLK,
	P1_DESTADDRREQ,
	P1_DOM,
	P1_DQUOT,
	P1_EXIST,
	P1_FAULT,
	P1_FBIG,
	P1_HOSTUNREACH,
	P1_IDRM,
	P1_ILSEQ,
	P1_INPROGRESS,
	P1_INTR,
	P1_INVAL,
	P1_IO,
	P1_ISCONN,
	P1_ISDIR,
	P1_LOOP,
	P1_MFILE,
	P1_MLINK,
	P1_MSGSIZE,
	P1_MULTIHOP,
	P1_NAMETOOLONG,
	P1_NETDOWN,
	P1_NETRESET,
	P1_NETUNREACH,
	P1_NFILE,
	P1_NOBUFS,
	P1_NODEV,
	P1_NOENT,
	P1_NOEXEC,
	P1_NOLCK,
	P1_NOLINK,
	P1_NOMEM,
	P1_NOMSG,
	P1_NOPROTOOPT,
	P1_NOSPC,
	P1_NOSYS,
	P1_NOTCONN,
	P1_NOTDIR,
	P1_NOTEMPTY,
	P1_NOTRECOVERABLE,
	P1_NOTSOCK,
	P1_NOTSUP,
	P1_NOTTY,
	P1_NXIO,
	P1_OVERFLOW,
	P1_OWNERDEAD,
	P1_PERM,
	P1_PIPE,
	P1_PROTO,
	P1_PROTONOSUPPORT,
	P1_PROTOTYPE,
	P1_RANGE,
	P1_ROFS,
	P1_SPIPE,
	P1_SRCH,
	P1_STALE,
	P1_TIMEDOUT,
	P1_TXTBSY,
	P1_XDEV,
	P1_NOTCAPABLE
};
enum p1_clock { P1_REALTIME, P1_MONOTONIC };  // the other two are of processes and threads, which there are none of
enum p1_filetype { P1_UNKNOWN, P1_BLOCK_DEVICE, P1_CHARACTER_DEVICE, P1_DIRECTORY, P1_REGULAR_FILE, P1_SOCKET_DGRAM, P1_SOCKET_STREAM, P1_SYMBOLIC_LINK };
enum p1_whence { P1_SET, P1_CUR, P1_END };
enum p1_eventtype { P1_CLOCK, P1_FD_READ, P1_FD_WRITE };
enum { P1_APPEND = 1, P1_DSYNC = 2, P1_NONBLOCK = 4, P1_RSYNC = 8, P1_SYNC = 16 };             // fdflags
enum { P1_CREAT = 1, P1_OPEN_DIRECTORY = 2, P1_EXCL = 4, P1_TRUNC = 8 };                       // oflags
enum { P1_ATIM = 1, P1_ATIM_NOW = 2, P1_MTIM = 4, P1_MTIM_NOW = 8 };                           // fstflags
enum { P1_SYMLINK_FOLLOW = 1, P1_ABSTIME = 1, P1_HANGUP = 1, P1_RD = 1, P1_WR = 2 };           // lookupflags, subclockflags, eventrwflags, sdflags
enum p1_right {
	P1_RIGHT_FD_DATASYNC = 1 << 0,
	P1_RIGHT_FD_READ = 1 << 1,
	P1_RIGHT_FD_SEEK = 1 << 2,
	P1_RIGHT_FD_FDSTAT_SET_FLAGS = 1 << 3,
	P1_RIGHT_FD_SYNC = 1 << 4,
	P1_RIGHT_FD_TELL = 1 << 5,
	P1_RIGHT_FD_WRITE = 1 << 6,
	P1_RIGHT_FD_ADVISE = 1 << 7,
	P1_RIGHT_FD_ALLOCATE = 1 << 8,
	P1_RIGHT_PATH_CREATE_DIRECTORY = 1 << 9,
	P1_RIGHT_PATH_CREATE_FILE = 1 << 10,
	P1_RIGHT_PATH_LINK_SOURCE = 1 << 11,
	P1_RIGHT_PATH_LINK_TARGET = 1 << 12,
	P1_RIGHT_PATH_OPEN = 1 << 13,
	P1_RIGHT_FD_READDIR = 1 << 14,
	P1_RIGHT_PATH_READLINK = 1 << 15,
	P1_RIGHT_PATH_RENAME_SOURCE = 1 << 16,
	P1_RIGHT_PATH_RENAME_TARGET = 1 << 17,
	P1_RIGHT_PATH_FILESTAT_GET = 1 << 18,
	P1_RIGHT_PATH_FILESTAT_SET_SIZE = 1 << 19,
	P1_RIGHT_PATH_FILESTAT_SET_TIMES = 1 << 20,
	P1_RIGHT_FD_FILESTAT_GET = 1 << 21,
	P1_RIGHT_FD_FILESTAT_SET_SIZE = 1 << 22,
	P1_RIGHT_FD_FILESTAT_SET_TIMES = 1 << 23,
	P1_RIGHT_PATH_SYMLINK = 1 << 24,
	P1_RIGHT_PATH_REMOVE_DIRECTORY = 1 << 25,
	P1_RIGHT_PATH_UNLINK_FILE = 1 << 26,
	P1_RIGHT_POLL_FD_READWRITE = 1 << 27,
	P1_RIGHT_SOCK_SHUTDOWN = 1 << 28,
	P1_RIGHT_SOCK_ACCEPT = 1 << 29
};

// As they lie in memory. What only fills a gap has a name: it is written to guests as zero, not as what the host's stack held.
struct p1_iovec {
	uint32_t buf, len;
};
struct p1_fdstat {
	uint8_t filetype, gap;
	uint16_t flags;
	uint32_t gap2;
	uint64_t rights, inheriting;
};
struct p1_filestat {
	uint64_t dev, ino;
	uint8_t filetype, gap[7];
	uint64_t nlink, size, atim, mtim, ctim;
};
struct p1_dirent {
	uint64_t next, ino;
	uint32_t namlen;
	uint8_t type, gap[3];
};
struct p1_prestat {
	uint8_t tag, gap[3];
	uint32_t name_len;
};
struct p1_event {
	uint64_t userdata;
	uint16_t error;
	uint8_t type, gap[5];
	uint64_t nbytes;
	uint16_t flags, gap2[3];
};
struct p1_subscription {
	uint64_t userdata;
	uint8_t tag, gap[7];
	uint32_t id;  // a clock, or a descriptor
	uint32_t gap2;
	uint64_t timeout, precision;
	uint16_t flags, gap3[3];
};
_Static_assert(sizeof(struct p1_iovec) == 8 && sizeof(struct p1_fdstat) == 24 && sizeof(struct p1_filestat) == 64 && sizeof(struct p1_dirent) == 24 &&
		sizeof(struct p1_prestat) == 8 && sizeof(struct p1_event) == 32 && sizeof(struct p1_subscription) == 48,
	"the sizes that witx gives");

// Parameters as cells (vm.h, rule 6): struct p1_NAME_args.
#define PREVIEW1(name, sig, how, ...) \
	struct p1_##name##_args {         \
		uint64_t __VA_ARGS__;         \
	};
#include "preview1.def"
#undef PREVIEW1

// ---- an instance's side ------------------------------------------------------------------------------------------------------------------
enum p1_kind { P1_FREE, P1_INPUT, P1_OUTPUT, P1_FILE, P1_FOLDER, P1_LISTENER, P1_CONNECTION };
// A folder's entries, where they were read to last: what comes next is behind `cookie`.
struct p1_list {
	struct wasi_fs_list *entries;
	uint64_t cookie;
};
struct p1_file {
	uint8_t kind;
	uint8_t filetype;
	uint16_t flags;               // fdflags
	uint64_t rights, inheriting;  // what it may, what is opened below it may
	struct wasi_input *in;           // of an input, a connection
	struct wasi_output *out;         // of an output, a connection
	struct wasi_fs_descriptor *fs;   // of a file, a folder
	struct wasi_socket *socket;      // of a listener, a connection
	uint64_t position;                 // of a file
	const struct seam_folder *given;   // the folder of the grants that it is; NULL: it was opened
	struct p1_list *list;              // of a folder, while its entries are read
};

struct wasi_preview1;
struct p1_call {
	struct seam_call seam;  // of it what waits, works and traps looks at: task, instance
	struct wasi_preview1 *p;
	const struct p1_func *func;
	enum p1_errno error;  // what it returns
};
enum p1_how { P1_IS_PLAIN, P1_IS_FIXED, P1_IS_TABLE };  // preview1.def
struct p1_func {
	const char *name, *sig;
	enum p1_how how;
	enum seam_result (*call)(struct p1_call *c, const void *args);
};
// Who waits until the table is nobody's.
struct p1_turn {
	struct seam_park park;
	struct p1_turn *next;
	bool waits;
};
struct p1_import {
	struct wasi_preview1 *p;
	const struct p1_func *func;
};
enum {
#define PREVIEW1(name, ...) P1_##name##_index,
#include "preview1.def"
#undef PREVIEW1
	P1_FUNCS
};
struct wasi_preview1 {
	struct seam_instance seam;
	struct seam_task *task;           // of a module alone, as its store: all its calls
	struct vm_store *store;
	const struct abi_memory *memory;  // NULL: the module exports none
	struct pool own, *pool;           // what is charged: the store, or the component instance's
	struct wasi_fs own_fs, *fs;       // of a component instance its own, whose files count together
	struct wasi_sockets *sockets;     // NULL: nothing was given
	struct p1_file *files;
	uint32_t n_files, cap_files;
	uint32_t first_free;              // no lower number is
	uint32_t max_files;
	struct p1_import imports[P1_FUNCS];
	bool is_taken;                  // the table of descriptors, by a call
	struct p1_turn *turns;            // first come, first served
};

// ---- the functions -----------------------------------------------------------------------------------------------------------------------
// Each fills c->error or says how the call ends.
#define PREVIEW1(name, ...) enum seam_result wasi__p1_##name(struct p1_call *c, const struct p1_##name##_args *a);
#include "preview1.def"
#undef PREVIEW1

static inline enum seam_result wasi__p1_fail(struct p1_call *c, enum p1_errno error)
{
	c->error = error;
	return SEAM_OK;
}

// A module's threads call beside each other: what looks at descriptors has their table for itself from here to there. It waits for it; not SEAM_OK: killed.
enum seam_result wasi__p1_take(struct p1_call *c);
void wasi__p1_give(struct wasi_preview1 *p);

// [at, at + len) of the memory, aligned. NULL: a trap, return SEAM_TRAP.
NODISCARD void *wasi__p1_at(struct p1_call *c, uint64_t at, uint64_t len, uint32_t align);
// Writes what a function gives.
enum seam_result wasi__p1_put(struct p1_call *c, uint64_t at, const void *value, size_t size, uint32_t align);
enum seam_result wasi__p1_put_u32(struct p1_call *c, uint64_t at, uint32_t value);
enum seam_result wasi__p1_put_u64(struct p1_call *c, uint64_t at, uint64_t value);

// A list of iovecs on its way from its first byte to its last.
struct p1_iovs {
	uint64_t at;        // the iovec that is used now
	uint64_t left;      // how many there are from it on
	uint64_t used;      // bytes of it
};
static inline struct p1_iovs wasi__p1_iovs(uint64_t at, uint64_t n)
{
	return (struct p1_iovs){at, n, 0};
}
// The bytes that come next, in one piece, at most `max`; *ret_len 0: there are none. Looked at anew each time.
enum seam_result wasi__p1_iovs_next(struct p1_call *c, struct p1_iovs *v, uint64_t max, uint8_t **ret, size_t *ret_len);
struct p1_file;
// A stream into a list, what there is of it, `keep`: and leaves it there, `all`: waits until all is full or nothing more comes / from a list, all of it.
enum seam_result wasi__p1_read_stream(struct p1_call *c, const struct p1_file *f, struct p1_iovs v, bool keep, bool all, uint64_t *ret);
enum seam_result wasi__p1_write_stream(struct p1_call *c, const struct p1_file *f, struct p1_iovs v, uint64_t *ret);
static inline void wasi__p1_iovs_skip(struct p1_iovs *v, uint64_t n)
{
	v->used += n;
}

// ---- descriptors -------------------------------------------------------------------------------------------------------------------------
// Opens the standard streams / the folders that were given. false: no memory.
// `c`: of a component instance, which has its own; NULL: the process's.
NODISCARD bool wasi__p1_streams_open(struct wasi_preview1 *p, const struct wasi *w, struct seam_call *c);
NODISCARD bool wasi__p1_folders_open(struct wasi_preview1 *p);
// The sockets that were given to listen (preview1_sock.c).
NODISCARD bool wasi__p1_listeners_open(struct wasi_preview1 *p, struct wasi *w, struct err *e);
void wasi__p1_files_close(struct wasi_preview1 *p);
// At the lowest number that is free.
enum p1_errno wasi__p1_file_add(struct wasi_preview1 *p, const struct p1_file *file, uint32_t *ret);
// The descriptor if it is open and has the rights; NULL: c->error is set.
// What was opened in a folder whose descriptor gives the rights `inheriting`; takes it over.
enum p1_errno wasi__p1_add_opened(struct wasi_preview1 *p, struct wasi_fs_descriptor *d, uint16_t flags, uint64_t inheriting, uint32_t *ret);
// Of WASI_FILESYSTEM_TYPES_ERROR_CODE_*, and of why a stream failed.
enum p1_errno wasi__p1_file_error(uint8_t code);
enum p1_errno wasi__p1_stream_error(struct wasi_error error);
struct p1_file *wasi__p1_file(struct p1_call *c, uint64_t fd, uint64_t rights);
// The same of a file or folder; `of_streams`: what is told of a stream.
struct p1_file *wasi__p1_disk(struct p1_call *c, uint64_t fd, uint64_t rights, enum p1_errno of_streams);
// The end of an operation of fs_int.h: sets c->error.
enum seam_result wasi__p1_settle(struct p1_call *c, enum seam_result r, int why);
uint8_t wasi__p1_filetype(enum sys_file_type t);
enum seam_result wasi__p1_put_stat(struct p1_call *c, const struct sys_stat *st, uint64_t at);
// false: flags that contradict each other, or that there aren't.
bool wasi__p1_times(uint64_t atim, uint64_t mtim, uint64_t flags, struct sys_time *ret_accessed, struct sys_time *ret_modified);

#endif
