// What is done with files (fs_int.h): each operation is a small function that may block, with what it takes and gives beside it.
#include "fs_int.h"

#include <errno.h>
#include <limits.h>

// ---- descriptors -----------------------------------------------------------------------------------------------------------------------

static struct wasi_fs_descriptor *descriptor_new(struct wasi_fs *fs, struct wasi_fs_descriptor is)
{
	struct wasi_fs_descriptor *d = pool_alloc(fs->memory, sizeof *d);
	if (!d)
		return NULL;
	*d = is;
	d->fs = fs;
	d->refs = 1;
	return d;
}

struct wasi_fs_descriptor *wasi__fs_granted(struct wasi_fs *fs, const struct seam_folder *folder)
{
	struct wasi_fs_descriptor is = {.fd = folder->fd, .is_granted = true, .read = true, .may_change = !folder->read_only, .type = SYS_FILE_FOLDER};
	is.is_local = folder->is_local;
	return descriptor_new(fs, is);
}

struct wasi_fs_descriptor *wasi__fs_ref(struct wasi_fs_descriptor *d)
{
	d->refs++;
	return d;
}

void wasi__fs_leave_place(struct wasi_fs *fs)
{
	fs->n_open--;
	shared_count_down(&fs->wasi->process->files);
}

void wasi__fs_unref(void *p)
{
	struct wasi_fs_descriptor *d = p;
	if (!d || --d->refs)
		return;
	if (!d->is_granted) {
		sys_close(d->fd);
		wasi__fs_leave_place(d->fs);
	}
	pool_free(d);
}

int wasi__fs_is_folder(const struct wasi_fs_descriptor *d)
{
	return d->type == SYS_FILE_FOLDER ? 0 : -ENOTDIR;
}

int wasi__fs_is_file(const struct wasi_fs_descriptor *d)
{
	return d->type == SYS_FILE_FOLDER ? -EBADF : 0;
}

// ---- operations ------------------------------------------------------------------------------------------------------------------------

static void op_run(void *data)
{
	struct wasi_fs_op *op = data;
	op->result = op->fn(op);
}

void wasi__fs_op_done(struct wasi_fs_op *op)
{
	if (op->owns) {
		sys_close(op->fd);
		sys_close(op->fd2);
	}
	op->owns = false;
	op->fd = op->fd2 = -1;
}

static void op_drop(void *data)
{
	struct wasi_fs_op *op = data;
	wasi__fs_op_done(op);
	sys_close(op->opened);
}

static const struct seam_chore_ops op_ops = {op_run, op_drop};

static char *put_path(struct wasi_fs_op *op, size_t at, struct slice path)
{
	char *p = (char *)op->bytes + at;
	memcpy(p, path.ptr, path.len);
	p[path.len] = 0;
	return p;
}

static int check_path(struct slice path)
{
	if (path.len >= PATH_MAX)
		return -ENAMETOOLONG;
	return slice_find(path, 0) < path.len ? -EINVAL : 0;
}

struct wasi_fs_op *wasi__fs_op_new(struct wasi_fs *fs, int64_t (*fn)(struct wasi_fs_op *op), size_t cap, struct slice path, struct slice path2, int *ret_why)
{
	*ret_why = check_path(path);
	if (*ret_why == 0)
		*ret_why = check_path(path2);
	if (*ret_why)
		return NULL;
	struct wasi_fs_op *op = seam_chore_new(fs->memory, fs->wasi->id, sizeof *op + cap + path.len + path2.len + 2, &op_ops);
	if (!op) {
		*ret_why = -ENOMEM;
		return NULL;
	}
	op->fn = fn;
	op->fd = op->fd2 = op->opened = -1;
	op->cap = cap;
	op->path = put_path(op, cap, path);
	op->path2 = put_path(op, cap + path.len + 1, path2);
	return op;
}

static int own(struct wasi_fs_op *op)
{
	int fd = sys_dup(op->fd), fd2 = op->fd2 < 0 || fd < 0 ? -1 : sys_dup(op->fd2);
	if (fd < 0 || (op->fd2 >= 0 && fd2 < 0)) {
		sys_close(fd);
		return fd < 0 ? fd : fd2;
	}
	op->fd = fd;
	op->fd2 = fd2;
	op->owns = true;
	return 0;
}

int wasi__fs_op_begin(struct wasi_fs *fs, struct wasi_fs_op *op, struct loop *l, void (*done)(void *op, void *ctx), void *ctx)
{
	int why = own(op);
	if (why == 0 && !seam_chore_begin(op, fs->wasi->process->threads, l, done, ctx)) {
		wasi__fs_op_done(op);
		why = -EAGAIN;
	}
	return why;
}

// Runs it on a thread; the op is the caller's again, unless the call ends.
enum seam_result wasi__fs_op_do(struct seam_call *c, struct wasi_fs *fs, struct wasi_fs_op *op, int *ret_why)
{
	bool full;
	*ret_why = own(op);
	if (*ret_why)
		return SEAM_OK;
	enum seam_result r = seam_chore_do(c, fs->wasi->process->threads, op, &full);
	if (r != SEAM_OK)
		return r;
	wasi__fs_op_done(op);
	*ret_why = full ? -EAGAIN : op->result < 0 ? (int)op->result
											   : 0;
	return SEAM_OK;
}

// The same, of one that gives nothing but its success.
static enum seam_result op_do_and_free(struct seam_call *c, struct wasi_fs *fs, struct wasi_fs_op *op, int *ret_why)
{
	enum seam_result r = wasi__fs_op_do(c, fs, op, ret_why);
	if (r == SEAM_OK)
		seam_chore_free(op);
	return r;
}

// The same, of one that gives bytes, or (`into` is NULL) how many it took.
static enum seam_result op_do_and_take(struct seam_call *c, struct wasi_fs *fs, struct wasi_fs_op *op, void *into, size_t *ret_n, int *ret_why)
{
	enum seam_result r = wasi__fs_op_do(c, fs, op, ret_why);
	if (r != SEAM_OK)
		return r;
	*ret_n = *ret_why ? 0 : (size_t)op->result;
	if (into && *ret_n)
		memcpy(into, op->bytes, *ret_n);
	seam_chore_free(op);
	return SEAM_OK;
}

#define NO_PATH slice_of("", 0)

// ---- open ------------------------------------------------------------------------------------------------------------------------------

// Folders and regular files only: others would not say when they can be read.
static int64_t look_at_opened(struct wasi_fs_op *op, bool cached)
{
	int r = sys_file.stat(op->opened, cached, &op->stat);
	if (r == 0 && op->stat.type != SYS_FILE_FOLDER && op->stat.type != SYS_FILE_REGULAR)
		r = -EOPNOTSUPP;
	if (r == 0)
		return 0;
	sys_close(op->opened);
	op->opened = -1;
	return r;
}

static int64_t run_open(struct wasi_fs_op *op)
{
	op->opened = sys_beneath_open(op->fd, op->path, op->how);
	return op->opened < 0 ? op->opened : look_at_opened(op, false);
}

static int64_t open_cached(struct wasi_fs_op *op)
{
	op->opened = sys_beneath_open(op->fd, op->path, op->how | SYS_OPEN_CACHED);
	return op->opened < 0 ? op->opened : look_at_opened(op, true);
}

bool wasi__fs_take_place(struct wasi_fs *fs)
{
	struct wasi_process *p = fs->wasi->process;
	if (fs->grants->max_files && fs->n_open >= fs->grants->max_files)
		return false;
	if (!shared_count_up(&p->files, p->max_files))
		return false;
	fs->n_open++;
	return true;
}

static struct wasi_fs_descriptor *take_opened(struct wasi_fs_op *op, const struct wasi_fs_descriptor *base)
{
	struct wasi_fs_descriptor is = {.fd = op->opened, .read = op->how & SYS_OPEN_READ, .write = op->how & SYS_OPEN_WRITE, .type = op->stat.type};
	is.may_change = base->may_change;
	is.is_local = base->is_local;
	is.sync = op->how & SYS_OPEN_SYNC;
	is.data_sync = op->how & SYS_OPEN_DATA_SYNC;
	struct wasi_fs_descriptor *d = descriptor_new(base->fs, is);
	if (d)
		op->opened = -1;
	return d;
}

static enum seam_result open_in(struct seam_call *c, struct wasi_fs_descriptor *d, struct wasi_fs_op *op, struct wasi_fs_descriptor **ret, int *ret_why)
{
	op->fd = d->fd;
	int64_t r = d->is_local ? open_cached(op) : -EAGAIN;
	*ret_why = r < 0 ? (int)r : 0;
	if (r == -EAGAIN) {
		enum seam_result end = wasi__fs_op_do(c, d->fs, op, ret_why);
		if (end != SEAM_OK)
			return end;
	}
	if (*ret_why == 0 && !(*ret = take_opened(op, d)))
		*ret_why = -ENOMEM;
	seam_chore_free(op);
	return SEAM_OK;
}

enum seam_result wasi__fs_open(struct seam_call *c, struct wasi_fs_descriptor *d, struct slice path, uint32_t how, struct wasi_fs_descriptor **ret, int *ret_why)
{
	*ret_why = wasi__fs_is_folder(d);
	if (*ret_why == 0 && !d->may_change && how & (SYS_OPEN_WRITE | SYS_OPEN_CREATE | SYS_OPEN_TRUNCATE))
		*ret_why = -EPERM;
	if (*ret_why)
		return SEAM_OK;
	struct wasi_fs *fs = d->fs;
	struct wasi_fs_op *op = wasi__fs_op_new(fs, run_open, 0, path, NO_PATH, ret_why);
	if (!op)
		return SEAM_OK;
	op->how = how;
	if (!wasi__fs_take_place(fs)) {
		seam_chore_free(op);
		*ret_why = -EMFILE;
		return SEAM_OK;
	}
	enum seam_result r = open_in(c, d, op, ret, ret_why);
	if (r != SEAM_OK || *ret_why)
		wasi__fs_leave_place(fs);
	return r;
}

// ---- stat ------------------------------------------------------------------------------------------------------------------------------

static int64_t run_stat(struct wasi_fs_op *op)
{
	return sys_file.stat(op->fd, false, &op->stat);
}

enum seam_result wasi__fs_stat(struct seam_call *c, struct wasi_fs_descriptor *d, struct sys_stat *ret, int *ret_why)
{
	if (d->is_local) {
		*ret_why = sys_file.stat(d->fd, true, ret);
		return SEAM_OK;
	}
	struct wasi_fs_op *op = wasi__fs_op_new(d->fs, run_stat, 0, NO_PATH, NO_PATH, ret_why);
	if (!op)
		return SEAM_OK;
	op->fd = d->fd;
	enum seam_result r = wasi__fs_op_do(c, d->fs, op, ret_why);
	if (r != SEAM_OK)
		return r;
	*ret = op->stat;
	seam_chore_free(op);
	return SEAM_OK;
}

static int64_t stat_at(struct wasi_fs_op *op, bool cached)
{
	int fd = sys_beneath_open(op->fd, op->path, op->how | (cached ? SYS_OPEN_CACHED : 0));
	if (fd < 0)
		return fd;
	int r = sys_file.stat(fd, cached, &op->stat);
	sys_close(fd);
	return r;
}

static int64_t run_stat_at(struct wasi_fs_op *op)
{
	return stat_at(op, false);
}

enum seam_result wasi__fs_stat_at(struct seam_call *c, struct wasi_fs_descriptor *d, struct slice path, bool follow, struct sys_stat *ret, int *ret_why)
{
	*ret_why = wasi__fs_is_folder(d);
	struct wasi_fs_op *op = *ret_why ? NULL : wasi__fs_op_new(d->fs, run_stat_at, 0, path, NO_PATH, ret_why);
	if (!op)
		return SEAM_OK;
	op->fd = d->fd;
	op->how = SYS_OPEN_LOOK | (follow ? 0 : SYS_OPEN_NO_FOLLOW);
	int64_t at_once = d->is_local ? stat_at(op, true) : -EAGAIN;
	*ret_why = at_once < 0 ? (int)at_once : 0;
	if (at_once == -EAGAIN) {
		enum seam_result r = wasi__fs_op_do(c, d->fs, op, ret_why);
		if (r != SEAM_OK)
			return r;
	}
	*ret = op->stat;
	seam_chore_free(op);
	return SEAM_OK;
}

enum seam_result wasi__fs_is_same(struct seam_call *c, struct wasi_fs_descriptor *d, struct wasi_fs_descriptor *other, bool *ret)
{
	struct sys_stat a, b;
	int why, why2 = 0;
	enum seam_result r = wasi__fs_stat(c, d, &a, &why);
	if (r == SEAM_OK && why == 0)
		r = wasi__fs_stat(c, other, &b, &why2);
	*ret = r == SEAM_OK && why == 0 && why2 == 0 && a.device == b.device && a.inode == b.inode;
	return r;
}

struct hash128 wasi__fs_hash(const struct wasi_fs *fs, const struct sys_stat *st)
{
	uint64_t words[] = {fs->wasi->process->secret[0], fs->wasi->process->secret[1], st->device, st->inode};
	return hash_128(slice_of(words, sizeof words));
}

// ---- data ------------------------------------------------------------------------------------------------------------------------------

int64_t wasi__fs_run_read(struct wasi_fs_op *op)
{
	return sys_file.read(op->fd, op->bytes, op->n, op->offset, false);
}

enum seam_result wasi__fs_read(struct seam_call *c, struct wasi_fs_descriptor *d, void *into, size_t n, uint64_t offset, size_t *ret_n, int *ret_why)
{
	*ret_n = 0;
	*ret_why = wasi__fs_is_file(d) || !d->read ? -EBADF : 0;
	if (*ret_why)
		return SEAM_OK;
	n = min_u64(n, WASI_FS_PIECE);
	int64_t got = d->is_local ? sys_file.read(d->fd, into, n, offset, true) : -EAGAIN;
	*ret_why = got < 0 ? (int)got : 0;
	*ret_n = got < 0 ? 0 : (size_t)got;
	if (got != -EAGAIN)
		return SEAM_OK;
	struct wasi_fs_op *op = wasi__fs_op_new(d->fs, wasi__fs_run_read, n, NO_PATH, NO_PATH, ret_why);
	if (!op)
		return SEAM_OK;
	op->fd = d->fd;
	op->n = n;
	op->offset = offset;
	return op_do_and_take(c, d->fs, op, into, ret_n, ret_why);
}

// What would go beyond the limit on a file's size is not written: less is, or it fails.
int64_t wasi__fs_run_write(struct wasi_fs_op *op)
{
	uint64_t at = op->offset;
	size_t n = op->n;
	if (op->limit && op->append) {
		int r = sys_file.stat(op->fd, false, &op->stat);
		if (r < 0)
			return r;
		at = op->stat.size;
	}
	if (op->limit && n && at >= op->limit)
		return -EFBIG;
	n = op->limit ? min_u64(n, op->limit - at) : n;
	size_t done = 0;
	while (done < n) {
		int64_t r = sys_file.write(op->fd, op->bytes + done, n - done, op->append ? 0 : op->offset + done, op->append);
		if (r <= 0)
			return done ? (int64_t)done : r;
		done += (size_t)r;
	}
	return (int64_t)done;
}

int wasi__fs_may_write(const struct wasi_fs_descriptor *d)
{
	if (wasi__fs_is_file(d))
		return -EBADF;
	return !d->may_change ? -EPERM : d->write ? 0
											  : -EBADF;
}

enum seam_result wasi__fs_write(struct seam_call *c, struct wasi_fs_descriptor *d, struct slice data, uint64_t offset, bool append, size_t *ret_n, int *ret_why)
{
	*ret_n = 0;
	*ret_why = wasi__fs_may_write(d);
	data = slice_sub(data, 0, WASI_FS_PIECE);
	struct wasi_fs_op *op = *ret_why ? NULL : wasi__fs_op_new(d->fs, wasi__fs_run_write, data.len, NO_PATH, NO_PATH, ret_why);
	if (!op)
		return SEAM_OK;
	if (data.len)
		memcpy(op->bytes, data.ptr, data.len);
	op->fd = d->fd;
	op->n = data.len;
	op->offset = offset;
	op->append = append;
	op->limit = d->fs->grants->max_file_size;
	return op_do_and_take(c, d->fs, op, NULL, ret_n, ret_why);
}

static int64_t run_resize(struct wasi_fs_op *op)
{
	return sys_resize(op->fd, op->offset);
}

enum seam_result wasi__fs_resize(struct seam_call *c, struct wasi_fs_descriptor *d, uint64_t size, int *ret_why)
{
	uint64_t limit = d->fs->grants->max_file_size;
	*ret_why = wasi__fs_may_write(d);
	if (*ret_why == -EBADF && wasi__fs_is_file(d) == 0)
		*ret_why = -EINVAL;  // not open for writing: as ftruncate has it
	if (*ret_why == 0 && limit && size > limit)
		*ret_why = -EFBIG;
	struct wasi_fs_op *op = *ret_why ? NULL : wasi__fs_op_new(d->fs, run_resize, 0, NO_PATH, NO_PATH, ret_why);
	if (!op)
		return SEAM_OK;
	op->fd = d->fd;
	op->offset = size;
	return op_do_and_free(c, d->fs, op, ret_why);
}

static int64_t run_allocate(struct wasi_fs_op *op)
{
	return sys_allocate(op->fd, op->offset, op->limit);
}

enum seam_result wasi__fs_allocate(struct seam_call *c, struct wasi_fs_descriptor *d, uint64_t offset, uint64_t n, int *ret_why)
{
	uint64_t limit = d->fs->grants->max_file_size;
	*ret_why = wasi__fs_may_write(d);
	if (*ret_why == 0 && limit && sat_add_u64(offset, n) > limit)
		*ret_why = -EFBIG;
	struct wasi_fs_op *op = *ret_why ? NULL : wasi__fs_op_new(d->fs, run_allocate, 0, NO_PATH, NO_PATH, ret_why);
	if (!op)
		return SEAM_OK;
	op->fd = d->fd;
	op->offset = offset;
	op->limit = n;
	return op_do_and_free(c, d->fs, op, ret_why);
}

static int64_t run_sync(struct wasi_fs_op *op)
{
	return sys_sync(op->fd, op->flag);
}

enum seam_result wasi__fs_sync(struct seam_call *c, struct wasi_fs_descriptor *d, bool data_only, int *ret_why)
{
	struct wasi_fs_op *op = wasi__fs_op_new(d->fs, run_sync, 0, NO_PATH, NO_PATH, ret_why);
	if (!op)
		return SEAM_OK;
	op->fd = d->fd;
	op->flag = data_only;
	return op_do_and_free(c, d->fs, op, ret_why);
}

static int64_t run_advise(struct wasi_fs_op *op)
{
	return sys_advise(op->fd, op->offset, op->limit, (enum sys_advice)op->how);
}

enum seam_result wasi__fs_advise(struct seam_call *c, struct wasi_fs_descriptor *d, uint64_t offset, uint64_t n, enum sys_advice advice, int *ret_why)
{
	*ret_why = wasi__fs_is_file(d);
	struct wasi_fs_op *op = *ret_why ? NULL : wasi__fs_op_new(d->fs, run_advise, 0, NO_PATH, NO_PATH, ret_why);
	if (!op)
		return SEAM_OK;
	op->fd = d->fd;
	op->offset = offset;
	op->limit = n;
	op->how = advice;
	return op_do_and_free(c, d->fs, op, ret_why);
}

// ---- times -----------------------------------------------------------------------------------------------------------------------------

static int64_t run_set_times(struct wasi_fs_op *op)
{
	return sys_set_times(op->fd, op->accessed, op->modified);
}

static int64_t run_set_times_at(struct wasi_fs_op *op)
{
	int fd = sys_beneath_open(op->fd, op->path, op->how);
	if (fd < 0)
		return fd;
	int r = sys_set_times(fd, op->accessed, op->modified);
	sys_close(fd);
	return r;
}

static bool is_time(struct sys_time t)
{
	return t.nanoseconds < SECOND || t.nanoseconds == SYS_TIME_NOW || t.nanoseconds == SYS_TIME_KEEP;
}

static enum seam_result set_times(struct seam_call *c, struct wasi_fs_descriptor *d, struct wasi_fs_op *op, struct sys_time accessed, struct sys_time modified,
	int *ret_why)
{
	op->fd = d->fd;
	op->accessed = accessed;
	op->modified = modified;
	return op_do_and_free(c, d->fs, op, ret_why);
}

static int may_set_times(const struct wasi_fs_descriptor *d, struct sys_time accessed, struct sys_time modified)
{
	if (!d->may_change)
		return -EPERM;
	return is_time(accessed) && is_time(modified) ? 0 : -EINVAL;
}

enum seam_result wasi__fs_set_times(struct seam_call *c, struct wasi_fs_descriptor *d, struct sys_time accessed, struct sys_time modified, int *ret_why)
{
	*ret_why = may_set_times(d, accessed, modified);
	struct wasi_fs_op *op = *ret_why ? NULL : wasi__fs_op_new(d->fs, run_set_times, 0, NO_PATH, NO_PATH, ret_why);
	return op ? set_times(c, d, op, accessed, modified, ret_why) : SEAM_OK;
}

enum seam_result wasi__fs_set_times_at(struct seam_call *c, struct wasi_fs_descriptor *d, struct slice path, bool follow, struct sys_time accessed,
	struct sys_time modified, int *ret_why)
{
	*ret_why = wasi__fs_is_folder(d);
	if (*ret_why == 0)
		*ret_why = may_set_times(d, accessed, modified);
	struct wasi_fs_op *op = *ret_why ? NULL : wasi__fs_op_new(d->fs, run_set_times_at, 0, path, NO_PATH, ret_why);
	if (!op)
		return SEAM_OK;
	op->how = SYS_OPEN_LOOK | (follow ? 0 : SYS_OPEN_NO_FOLLOW);
	return set_times(c, d, op, accessed, modified, ret_why);
}

// ---- entries ---------------------------------------------------------------------------------------------------------------------------

static int64_t run_mkdir(struct wasi_fs_op *op)
{
	return sys_beneath_mkdir(op->fd, op->path);
}

static int64_t run_rmdir(struct wasi_fs_op *op)
{
	return sys_beneath_rmdir(op->fd, op->path);
}

static int64_t run_unlink(struct wasi_fs_op *op)
{
	return sys_beneath_unlink(op->fd, op->path);
}

static int64_t run_symlink(struct wasi_fs_op *op)
{
	return sys_beneath_symlink(op->path2, op->fd, op->path);
}

static int64_t run_link(struct wasi_fs_op *op)
{
	return sys_beneath_link(op->fd, op->path, op->fd2, op->path2);
}

static int64_t run_rename(struct wasi_fs_op *op)
{
	return sys_beneath_rename(op->fd, op->path, op->fd2, op->path2);
}

// Changes entries of one folder or of two, each of which must be one that may be changed (L72).
static enum seam_result change(struct seam_call *c, int64_t (*fn)(struct wasi_fs_op *op), struct wasi_fs_descriptor *d, struct slice path,
	struct wasi_fs_descriptor *d2, struct slice path2, int *ret_why)
{
	*ret_why = wasi__fs_is_folder(d);
	if (*ret_why == 0 && d2)
		*ret_why = wasi__fs_is_folder(d2);
	if (*ret_why == 0 && (!d->may_change || (d2 && !d2->may_change)))
		*ret_why = -EPERM;
	struct wasi_fs_op *op = *ret_why ? NULL : wasi__fs_op_new(d->fs, fn, 0, path, path2, ret_why);
	if (!op)
		return SEAM_OK;
	op->fd = d->fd;
	op->fd2 = d2 ? d2->fd : -1;
	return op_do_and_free(c, d->fs, op, ret_why);
}

enum seam_result wasi__fs_mkdir(struct seam_call *c, struct wasi_fs_descriptor *d, struct slice path, int *ret_why)
{
	return change(c, run_mkdir, d, path, NULL, NO_PATH, ret_why);
}

enum seam_result wasi__fs_rmdir(struct seam_call *c, struct wasi_fs_descriptor *d, struct slice path, int *ret_why)
{
	return change(c, run_rmdir, d, path, NULL, NO_PATH, ret_why);
}

enum seam_result wasi__fs_unlink(struct seam_call *c, struct wasi_fs_descriptor *d, struct slice path, int *ret_why)
{
	return change(c, run_unlink, d, path, NULL, NO_PATH, ret_why);
}

enum seam_result wasi__fs_symlink(struct seam_call *c, struct slice target, struct wasi_fs_descriptor *d, struct slice path, int *ret_why)
{
	return change(c, run_symlink, d, path, NULL, target, ret_why);
}

enum seam_result wasi__fs_link(struct seam_call *c, struct wasi_fs_descriptor *from, struct slice old_path, struct wasi_fs_descriptor *to, struct slice new_path,
	int *ret_why)
{
	return change(c, run_link, from, old_path, to, new_path, ret_why);
}

enum seam_result wasi__fs_rename(struct seam_call *c, struct wasi_fs_descriptor *from, struct slice old_path, struct wasi_fs_descriptor *to,
	struct slice new_path, int *ret_why)
{
	return change(c, run_rename, from, old_path, to, new_path, ret_why);
}

static int64_t run_readlink(struct wasi_fs_op *op)
{
	int64_t n = sys_beneath_readlink(op->fd, op->path, (char *)op->bytes, op->cap);
	return n > 0 && op->bytes[0] == '/' ? -EPERM : n;
}

enum seam_result wasi__fs_readlink(struct seam_call *c, struct wasi_fs_descriptor *d, struct slice path, char *into, size_t *ret_n, int *ret_why)
{
	*ret_n = 0;
	*ret_why = wasi__fs_is_folder(d);
	struct wasi_fs_op *op = *ret_why ? NULL : wasi__fs_op_new(d->fs, run_readlink, PATH_MAX, path, NO_PATH, ret_why);
	if (!op)
		return SEAM_OK;
	op->fd = d->fd;
	return op_do_and_take(c, d->fs, op, into, ret_n, ret_why);
}
