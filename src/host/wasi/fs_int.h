// Files: objects and what is done with them, without types of WIT. wasi:filesystem is a face of it, and others are.
//
// 1. Nothing here waits for a disk on the shard's thread: what the caches have is taken at once, the rest is a chore, for which the call parks. A descriptor
//    that a chore uses is a duplicate of its own: what is closed meanwhile, and whoever is killed, takes nothing from it.
// 2. A descriptor's rights are those of the folder that it was opened in: nothing beneath a read-only one is changed, whichever way leads there.
// 3. Functions that return enum seam_result give 0 or -errno (EPERM: not within the rights, or out of the folder) in *ret_why, and results only with 0.
//    Anything but SEAM_OK is returned on. Of the call only its task is used. The caller's reference keeps the descriptor meanwhile.
#ifndef TENON_WASI_FS_INT_H
#define TENON_WASI_FS_INT_H

#include "sys/sys.h"
#include "wasi_int.h"

enum { WASI_FS_PIECE = 64 << 10 };  // bytes of one operation at most

// What the files of one guest have in common.
struct wasi_fs {
	struct wasi *wasi;
	struct pool *memory;
	const struct seam_grants *grants;
	uint64_t n_open;
};

struct wasi_fs_descriptor {
	struct wasi_fs *fs;
	uint32_t refs;
	int fd;
	bool is_granted;     // a folder that was granted: `fd` is the grant's
	bool read, write;    // as it was opened
	bool may_change;     // its rights
	bool mutates;        // of a folder: 0.3 was asked for a descriptor that changes it, and says so
	bool is_local;       // its file system answers from memory at once where it can
	bool sync, data_sync;
	enum sys_file_type type;  // a folder or a regular file
};
// A folder of the grants; one reference. NULL: no memory.
struct wasi_fs_descriptor *wasi__fs_granted(struct wasi_fs *fs, const struct seam_folder *folder);
struct wasi_fs_descriptor *wasi__fs_ref(struct wasi_fs_descriptor *d);
void wasi__fs_unref(void *d);
// 0, -ENOTDIR: it is no folder / 0, -EBADF: it is no file.
int wasi__fs_is_folder(const struct wasi_fs_descriptor *d);
int wasi__fs_is_file(const struct wasi_fs_descriptor *d);
// 0, or why nothing can be written to it.
int wasi__fs_may_write(const struct wasi_fs_descriptor *d);

// `how`: SYS_OPEN_* but LOOK and CACHED.
enum seam_result wasi__fs_open(struct seam_call *c, struct wasi_fs_descriptor *d, struct slice path, uint32_t how, struct wasi_fs_descriptor **ret, int *ret_why);
enum seam_result wasi__fs_stat(struct seam_call *c, struct wasi_fs_descriptor *d, struct sys_stat *ret, int *ret_why);
enum seam_result wasi__fs_stat_at(struct seam_call *c, struct wasi_fs_descriptor *d, struct slice path, bool follow, struct sys_stat *ret, int *ret_why);
// At most WASI_FS_PIECE bytes, into `into` / from `data`; *ret_n: how many. A read of none is the end.
enum seam_result wasi__fs_read(struct seam_call *c, struct wasi_fs_descriptor *d, void *into, size_t n, uint64_t offset, size_t *ret_n, int *ret_why);
enum seam_result wasi__fs_write(struct seam_call *c, struct wasi_fs_descriptor *d, struct slice data, uint64_t offset, bool append, size_t *ret_n, int *ret_why);
enum seam_result wasi__fs_resize(struct seam_call *c, struct wasi_fs_descriptor *d, uint64_t size, int *ret_why);
// Takes the space for n bytes.
enum seam_result wasi__fs_allocate(struct seam_call *c, struct wasi_fs_descriptor *d, uint64_t offset, uint64_t n, int *ret_why);
enum seam_result wasi__fs_sync(struct seam_call *c, struct wasi_fs_descriptor *d, bool data_only, int *ret_why);
enum seam_result wasi__fs_advise(struct seam_call *c, struct wasi_fs_descriptor *d, uint64_t offset, uint64_t n, enum sys_advice advice, int *ret_why);
enum seam_result wasi__fs_set_times(struct seam_call *c, struct wasi_fs_descriptor *d, struct sys_time accessed, struct sys_time modified, int *ret_why);
enum seam_result wasi__fs_set_times_at(struct seam_call *c, struct wasi_fs_descriptor *d, struct slice path, bool follow, struct sys_time accessed,
	struct sys_time modified, int *ret_why);
enum seam_result wasi__fs_mkdir(struct seam_call *c, struct wasi_fs_descriptor *d, struct slice path, int *ret_why);
enum seam_result wasi__fs_rmdir(struct seam_call *c, struct wasi_fs_descriptor *d, struct slice path, int *ret_why);
enum seam_result wasi__fs_unlink(struct seam_call *c, struct wasi_fs_descriptor *d, struct slice path, int *ret_why);
enum seam_result wasi__fs_symlink(struct seam_call *c, struct slice target, struct wasi_fs_descriptor *d, struct slice path, int *ret_why);
enum seam_result wasi__fs_link(struct seam_call *c, struct wasi_fs_descriptor *from, struct slice old_path, struct wasi_fs_descriptor *to, struct slice new_path,
	int *ret_why);
enum seam_result wasi__fs_rename(struct seam_call *c, struct wasi_fs_descriptor *from, struct slice old_path, struct wasi_fs_descriptor *to,
	struct slice new_path, int *ret_why);
// Into `into` (at least PATH_MAX bytes). -EPERM: an absolute target.
enum seam_result wasi__fs_readlink(struct seam_call *c, struct wasi_fs_descriptor *d, struct slice path, char *into, size_t *ret_n, int *ret_why);
// What can't be asked for is not the same.
enum seam_result wasi__fs_is_same(struct seam_call *c, struct wasi_fs_descriptor *d, struct wasi_fs_descriptor *other, bool *ret);
// Stands for device and inode: keyed by a secret of the process.
struct hash128 wasi__fs_hash(const struct wasi_fs *fs, const struct sys_stat *st);

// ---- entries of a folder -------------------------------------------------------------------------------------------------------------------
struct wasi_fs_list;
enum seam_result wasi__fs_list_open(struct seam_call *c, struct wasi_fs_descriptor *d, struct wasi_fs_list **ret, int *ret_why);
void wasi__fs_list_close(struct wasi_fs_list *l);
// What comes next is behind the entry whose `next` it is; 0: the first one. 0 or -errno: it stays where it was.
int wasi__fs_list_seek(struct wasi_fs_list *l, uint64_t next);
// The next one, "." and ".." among them; an empty name: the end. Valid until the next call.
enum seam_result wasi__fs_list_next(struct seam_call *c, struct wasi_fs_list *l, struct sys_entry *ret, int *ret_why);

// The same for who does not wait in a call. NULL: no memory, or (*ret_why) too many files are open.
struct wasi_fs_names *wasi__fs_names_new(struct wasi_fs_descriptor *d, struct loop *l, int *ret_why);
void wasi__fs_names_free(struct wasi_fs_names *n);
// What fires when it is no longer AGAIN.
struct wasi_event *wasi__fs_names_event(struct wasi_fs_names *n);
// How many of the next entries, at most `max`, are at hand (OK: at least one). "." and ".." are not among them. FAILED: -errno in *ret.
enum wasi_io wasi__fs_names_look(struct wasi_fs_names *n, size_t max, int64_t *ret);
// The next one of these.
struct sys_entry wasi__fs_names_take(struct wasi_fs_names *n);

// ---- streams (fs_stream.c) -----------------------------------------------------------------------------------------------------------------
// NULL: no memory.
struct wasi_input *wasi__fs_input(struct wasi_fs_descriptor *d, struct loop *l, uint64_t offset);
struct wasi_output *wasi__fs_output(struct wasi_fs_descriptor *d, struct loop *l, uint64_t offset, bool append);

// ---- what the faces of 0.2 and 0.3 share (filesystem.c) --------------------------------------------------------------------------------------
// Those of the guest; NULL: no memory.
struct wasi_fs *wasi__fs_of(struct wasi_state *s);
// A granted folder in another instance. NULL: it is none, or no memory.
struct wasi_fs_descriptor *wasi__fs_remake(struct canon_instance *i, const struct wasi_fs_descriptor *d);
// As both have flags: WASI_FILESYSTEM_TYPES_*. 0 or -errno in *ret_why.
uint8_t wasi__fs_flags(const struct wasi_fs_descriptor *d);
enum seam_result wasi__fs_open_at(struct seam_call *c, struct wasi_fs_descriptor *d, uint8_t path_flags, struct slice path, uint8_t open_flags, uint8_t flags,
	struct wasi_fs_descriptor **ret, int *ret_why);

// ---- inside (fs.c) -------------------------------------------------------------------------------------------------------------------------
// Something to be done, as a chore's data: what it takes and gives lies in it.
struct wasi_fs_op {
	int64_t (*fn)(struct wasi_fs_op *op);  // 0 or more, or -errno; on a thread of the pool
	int fd, fd2;      // its own (owns) or a descriptor's; -1: none
	bool owns;
	int opened;       // what it opened; -1: nothing
	uint32_t how;
	bool append, flag;
	uint64_t offset, limit;
	size_t n, cap;    // of bytes
	struct sys_time accessed, modified;
	struct sys_stat stat;
	int64_t result;
	char *path, *path2;
	uint8_t bytes[];  // `cap`, then the paths
};
struct wasi_fs_op *wasi__fs_op_new(struct wasi_fs *fs, int64_t (*fn)(struct wasi_fs_op *op), size_t cap, struct slice path, struct slice path2, int *ret_why);
// Begins it on a thread, with duplicates of what it uses. 0 or -errno.
int wasi__fs_op_begin(struct wasi_fs *fs, struct wasi_fs_op *op, struct loop *l, void (*done)(void *op, void *ctx), void *ctx);
// When that is done: what it had of its own is given back.
void wasi__fs_op_done(struct wasi_fs_op *op);
// Runs it on a thread; the op is the caller's again, unless the call ends.
enum seam_result wasi__fs_op_do(struct seam_call *c, struct wasi_fs *fs, struct wasi_fs_op *op, int *ret_why);
// A place among the open files. false: there is none.
bool wasi__fs_take_place(struct wasi_fs *fs);
void wasi__fs_leave_place(struct wasi_fs *fs);
int64_t wasi__fs_run_read(struct wasi_fs_op *op);
int64_t wasi__fs_run_write(struct wasi_fs_op *op);

#endif
