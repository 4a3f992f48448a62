// Preview 1: what can be done with an open file or folder, and is refused of a stream.
#include <errno.h>

#include "preview1.h"

// ---- what the files share (preview1.h) ---------------------------------------------------------------------------------------------------

enum seam_result wasi__p1_settle(struct p1_call *c, enum seam_result r, int why)
{
	if (r == SEAM_OK && why)
		c->error = why == -EMFILE ? P1_MFILE : wasi__p1_file_error(wasi__file_code(-why));
	return r;
}

struct p1_file *wasi__p1_disk(struct p1_call *c, uint64_t fd, uint64_t rights, enum p1_errno of_streams)
{
	struct p1_file *f = wasi__p1_file(c, fd, 0);
	if (f && f->kind != P1_FILE && f->kind != P1_FOLDER) {
		c->error = of_streams;
		return NULL;
	}
	return f ? wasi__p1_file(c, fd, rights) : NULL;
}

uint8_t wasi__p1_filetype(enum sys_file_type t)
{
	static const uint8_t types[] = {
		[SYS_FILE_BLOCK] = P1_BLOCK_DEVICE,
		[SYS_FILE_CHAR] = P1_CHARACTER_DEVICE,
		[SYS_FILE_FOLDER] = P1_DIRECTORY,
		[SYS_FILE_LINK] = P1_SYMBOLIC_LINK,
		[SYS_FILE_REGULAR] = P1_REGULAR_FILE,
		[SYS_FILE_SOCKET] = P1_SOCKET_STREAM,
	};
	return types[t];  // a FIFO has no number
}

// false: it is no number of nanoseconds since 1970 that fits.
static bool nanoseconds(struct sys_time t, uint64_t *ret)
{
	*ret = 0;
	return t.seconds < 0 || (!__builtin_mul_overflow((uint64_t)t.seconds, SECOND, ret) && !__builtin_add_overflow(*ret, t.nanoseconds, ret));
}

// Device and inode are what stands for them: one device, and an inode for each file.
enum seam_result wasi__p1_put_stat(struct p1_call *c, const struct sys_stat *st, uint64_t at)
{
	struct p1_filestat stat = {.dev = 1, .ino = wasi__fs_hash(c->p->fs, st).low, .filetype = wasi__p1_filetype(st->type), .nlink = st->links, .size = st->size};
	if (!nanoseconds(st->accessed, &stat.atim) || !nanoseconds(st->modified, &stat.mtim) || !nanoseconds(st->changed, &stat.ctim))
		return wasi__p1_fail(c, P1_OVERFLOW);
	return wasi__p1_put(c, at, &stat, sizeof stat, _Alignof(struct p1_filestat));
}

static struct sys_time time_of(uint64_t ns, bool set, bool now)
{
	if (set)
		return (struct sys_time){(int64_t)(ns / SECOND), (uint32_t)(ns % SECOND)};
	return (struct sys_time){0, now ? SYS_TIME_NOW : SYS_TIME_KEEP};
}

bool wasi__p1_times(uint64_t atim, uint64_t mtim, uint64_t flags, struct sys_time *ret_accessed, struct sys_time *ret_modified)
{
	if (flags > 15 || (flags & P1_ATIM && flags & P1_ATIM_NOW) || (flags & P1_MTIM && flags & P1_MTIM_NOW))
		return false;
	*ret_accessed = time_of(atim, flags & P1_ATIM, flags & P1_ATIM_NOW);
	*ret_modified = time_of(mtim, flags & P1_MTIM, flags & P1_MTIM_NOW);
	return true;
}

// ---- what it is --------------------------------------------------------------------------------------------------------------------------

enum seam_result wasi__p1_fd_filestat_get(struct p1_call *c, const struct p1_fd_filestat_get_args *a)
{
	const struct p1_file *f = wasi__p1_file(c, a->fd, P1_RIGHT_FD_FILESTAT_GET);
	if (!f)
		return SEAM_OK;
	if (!f->fs) {
		struct p1_filestat stat = {.filetype = f->filetype};
		return wasi__p1_put(c, a->buf, &stat, sizeof stat, _Alignof(struct p1_filestat));
	}
	struct sys_stat st;
	int why;
	enum seam_result r = wasi__p1_settle(c, wasi__fs_stat(&c->seam, f->fs, &st, &why), why);
	return r != SEAM_OK || c->error ? r : wasi__p1_put_stat(c, &st, a->buf);
}

enum seam_result wasi__p1_fd_filestat_set_size(struct p1_call *c, const struct p1_fd_filestat_set_size_args *a)
{
	const struct p1_file *f = wasi__p1_disk(c, a->fd, P1_RIGHT_FD_FILESTAT_SET_SIZE, P1_BADF);
	int why;
	if (!f)
		return SEAM_OK;
	enum seam_result r = wasi__fs_resize(&c->seam, f->fs, a->size, &why);
	return wasi__p1_settle(c, r, why);
}

enum seam_result wasi__p1_fd_filestat_set_times(struct p1_call *c, const struct p1_fd_filestat_set_times_args *a)
{
	struct sys_time accessed, modified;
	int why;
	const struct p1_file *f = wasi__p1_disk(c, a->fd, P1_RIGHT_FD_FILESTAT_SET_TIMES, P1_BADF);
	if (!f)
		return SEAM_OK;
	if (!wasi__p1_times(a->atim, a->mtim, a->fst_flags, &accessed, &modified))
		return wasi__p1_fail(c, P1_INVAL);
	enum seam_result r = wasi__fs_set_times(&c->seam, f->fs, accessed, modified, &why);
	return wasi__p1_settle(c, r, why);
}

// ---- what it is to do --------------------------------------------------------------------------------------------------------------------

enum seam_result wasi__p1_fd_advise(struct p1_call *c, const struct p1_fd_advise_args *a)
{
	const struct p1_file *f = wasi__p1_disk(c, a->fd, P1_RIGHT_FD_ADVISE, P1_BADF);
	int why;
	if (!f)
		return SEAM_OK;
	if (a->advice > SYS_ADVICE_NO_REUSE)
		return wasi__p1_fail(c, P1_INVAL);
	enum seam_result r = wasi__fs_advise(&c->seam, f->fs, a->offset, a->len, (enum sys_advice)a->advice, &why);
	return wasi__p1_settle(c, r, why);
}

enum seam_result wasi__p1_fd_allocate(struct p1_call *c, const struct p1_fd_allocate_args *a)
{
	const struct p1_file *f = wasi__p1_disk(c, a->fd, P1_RIGHT_FD_ALLOCATE, P1_BADF);
	int why;
	if (!f)
		return SEAM_OK;
	enum seam_result r = wasi__fs_allocate(&c->seam, f->fs, a->offset, a->len, &why);
	return wasi__p1_settle(c, r, why);
}

static enum seam_result sync_file(struct p1_call *c, uint64_t fd, uint64_t right, bool data_only)
{
	const struct p1_file *f = wasi__p1_disk(c, fd, right, P1_BADF);
	int why;
	if (!f)
		return SEAM_OK;
	enum seam_result r = wasi__fs_sync(&c->seam, f->fs, data_only, &why);
	return wasi__p1_settle(c, r, why);
}

enum seam_result wasi__p1_fd_datasync(struct p1_call *c, const struct p1_fd_datasync_args *a)
{
	return sync_file(c, a->fd, P1_RIGHT_FD_DATASYNC, true);
}

enum seam_result wasi__p1_fd_sync(struct p1_call *c, const struct p1_fd_sync_args *a)
{
	return sync_file(c, a->fd, P1_RIGHT_FD_SYNC, false);
}

// ---- where it is -------------------------------------------------------------------------------------------------------------------------

static struct p1_file *seekable(struct p1_call *c, uint64_t fd, uint64_t rights)
{
	struct p1_file *f = wasi__p1_disk(c, fd, 0, P1_SPIPE);
	if (f && f->kind == P1_FOLDER) {
		c->error = P1_BADF;
		return NULL;
	}
	return f ? wasi__p1_file(c, fd, rights) : NULL;
}

static enum seam_result seek_base(struct p1_call *c, const struct p1_file *f, uint64_t whence, uint64_t *ret)
{
	struct sys_stat st;
	int why;
	*ret = whence == P1_CUR ? f->position : 0;
	if (whence != P1_END)
		return SEAM_OK;
	enum seam_result r = wasi__p1_settle(c, wasi__fs_stat(&c->seam, f->fs, &st, &why), why);
	*ret = r == SEAM_OK && !why ? st.size : 0;
	return r;
}

enum seam_result wasi__p1_fd_seek(struct p1_call *c, const struct p1_fd_seek_args *a)
{
	bool only_tells = a->offset == 0 && a->whence == P1_CUR;
	struct p1_file *f = seekable(c, a->fd, only_tells ? P1_RIGHT_FD_TELL : P1_RIGHT_FD_SEEK);
	uint64_t base;
	int64_t to;
	if (!f)
		return SEAM_OK;
	if (a->whence > P1_END)
		return wasi__p1_fail(c, P1_INVAL);
	enum seam_result r = seek_base(c, f, a->whence, &base);
	if (r != SEAM_OK || c->error)
		return r;
	if (__builtin_add_overflow(base, (int64_t)a->offset, &to) || to < 0)
		return wasi__p1_fail(c, P1_INVAL);
	f->position = (uint64_t)to;
	return wasi__p1_put_u64(c, a->newoffset, f->position);
}

enum seam_result wasi__p1_fd_tell(struct p1_call *c, const struct p1_fd_tell_args *a)
{
	const struct p1_file *f = seekable(c, a->fd, P1_RIGHT_FD_TELL);
	return f ? wasi__p1_put_u64(c, a->offset, f->position) : SEAM_OK;
}
