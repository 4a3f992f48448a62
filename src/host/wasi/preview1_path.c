// Preview 1: folders that were given, paths beneath them, what they hold.
#include <limits.h>

#include "preview1.h"

static struct p1_file *folder(struct p1_call *c, uint64_t fd, uint64_t rights)
{
	struct p1_file *f = wasi__p1_file(c, fd, 0);
	if (f && f->kind != P1_FOLDER) {
		c->error = P1_NOTDIR;
		return NULL;
	}
	return f ? wasi__p1_file(c, fd, rights) : NULL;
}

// A path of the guest's memory, UTF-8. false: c->error says why, or it is a trap (then *ret_end says so).
static bool read_path(struct p1_call *c, uint64_t at, uint64_t len, struct slice *ret, enum seam_result *ret_end)
{
	const uint8_t *p = wasi__p1_at(c, at, len, 1);
	*ret_end = p ? SEAM_OK : SEAM_TRAP;
	*ret = slice_of(p, len);
	if (p && len >= PATH_MAX)
		c->error = P1_NAMETOOLONG;
	else if (p && !utf8_is_valid(*ret))
		c->error = P1_ILSEQ;
	return p && !c->error;
}

// ---- folders that were given -------------------------------------------------------------------------------------------------------------

enum seam_result wasi__p1_fd_prestat_get(struct p1_call *c, const struct p1_fd_prestat_get_args *a)
{
	const struct p1_file *f = wasi__p1_file(c, a->fd, 0);
	if (!f || !f->given)
		return wasi__p1_fail(c, P1_BADF);
	struct p1_prestat stat = {.name_len = (uint32_t)f->given->name.len};
	return wasi__p1_put(c, a->buf, &stat, sizeof stat, _Alignof(struct p1_prestat));
}

enum seam_result wasi__p1_fd_prestat_dir_name(struct p1_call *c, const struct p1_fd_prestat_dir_name_args *a)
{
	const struct p1_file *f = wasi__p1_file(c, a->fd, 0);
	if (!f)
		return SEAM_OK;
	if (!f->given)
		return wasi__p1_fail(c, P1_NOTDIR);
	struct slice name = f->given->name;
	return name.len > a->path_len ? wasi__p1_fail(c, P1_NAMETOOLONG) : wasi__p1_put(c, a->path, name.ptr, name.len, 1);
}

// ---- opening -----------------------------------------------------------------------------------------------------------------------------

static uint32_t how_of(const struct p1_path_open_args *a)
{
	static const struct {
		uint16_t flag;
		uint32_t how;
	} opens[] = {{P1_CREAT, SYS_OPEN_CREATE}, {P1_OPEN_DIRECTORY, SYS_OPEN_FOLDER}, {P1_EXCL, SYS_OPEN_EXCLUSIVE}, {P1_TRUNC, SYS_OPEN_TRUNCATE}},
	  fds[] = {{P1_DSYNC, SYS_OPEN_DATA_SYNC}, {P1_RSYNC, SYS_OPEN_SYNC}, {P1_SYNC, SYS_OPEN_SYNC}};
	uint32_t how = a->dirflags & P1_SYMLINK_FOLLOW ? 0 : SYS_OPEN_NO_FOLLOW;
	for (size_t i = 0; i < ARRAY_LEN(opens); i++)
		how |= a->oflags & opens[i].flag ? opens[i].how : 0;
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		how |= a->fdflags & fds[i].flag ? fds[i].how : 0;
	how |= a->fs_rights_base & P1_RIGHT_FD_WRITE ? SYS_OPEN_WRITE : 0;
	// What is opened for neither can be read.
	return how | (a->fs_rights_base & P1_RIGHT_FD_READ || !(how & SYS_OPEN_WRITE) ? SYS_OPEN_READ : 0);
}

static bool has_sense(const struct p1_path_open_args *a)
{
	bool makes = a->oflags & (P1_CREAT | P1_EXCL | P1_TRUNC);
	return a->dirflags <= P1_SYMLINK_FOLLOW && a->oflags <= 15 && a->fdflags <= 31 && !(a->oflags & P1_OPEN_DIRECTORY && makes);
}

enum seam_result wasi__p1_path_open(struct p1_call *c, const struct p1_path_open_args *a)
{
	struct wasi_fs_descriptor *opened;
	struct slice path;
	enum seam_result r = SEAM_OK;
	uint32_t fd;
	int why;
	const struct p1_file *in = folder(c, a->fd, P1_RIGHT_PATH_OPEN | (a->oflags & P1_CREAT ? P1_RIGHT_PATH_CREATE_FILE : 0));
	if (!in || !read_path(c, a->path, a->path_len, &path, &r))
		return r;
	if (!has_sense(a))
		return wasi__p1_fail(c, P1_INVAL);
	r = wasi__p1_settle(c, wasi__fs_open(&c->seam, in->fs, path, how_of(a), &opened, &why), why);
	if (r != SEAM_OK || c->error)
		return r;
	c->error = wasi__p1_add_opened(c->p, opened, (uint16_t)a->fdflags, in->inheriting, &fd);
	return c->error ? SEAM_OK : wasi__p1_put_u32(c, a->opened_fd, fd);
}

// ---- attributes --------------------------------------------------------------------------------------------------------------------------

enum seam_result wasi__p1_path_filestat_get(struct p1_call *c, const struct p1_path_filestat_get_args *a)
{
	struct sys_stat st;
	struct slice path;
	enum seam_result r = SEAM_OK;
	int why;
	const struct p1_file *in = folder(c, a->fd, P1_RIGHT_PATH_FILESTAT_GET);
	if (!in || !read_path(c, a->path, a->path_len, &path, &r))
		return r;
	if (a->flags > P1_SYMLINK_FOLLOW)
		return wasi__p1_fail(c, P1_INVAL);
	r = wasi__p1_settle(c, wasi__fs_stat_at(&c->seam, in->fs, path, a->flags & P1_SYMLINK_FOLLOW, &st, &why), why);
	return r != SEAM_OK || c->error ? r : wasi__p1_put_stat(c, &st, a->buf);
}

enum seam_result wasi__p1_path_filestat_set_times(struct p1_call *c, const struct p1_path_filestat_set_times_args *a)
{
	struct sys_time accessed, modified;
	struct slice path;
	enum seam_result r = SEAM_OK;
	int why;
	const struct p1_file *in = folder(c, a->fd, P1_RIGHT_PATH_FILESTAT_SET_TIMES);
	if (!in || !read_path(c, a->path, a->path_len, &path, &r))
		return r;
	if (a->flags > P1_SYMLINK_FOLLOW || !wasi__p1_times(a->atim, a->mtim, a->fst_flags, &accessed, &modified))
		return wasi__p1_fail(c, P1_INVAL);
	r = wasi__fs_set_times_at(&c->seam, in->fs, path, a->flags & P1_SYMLINK_FOLLOW, accessed, modified, &why);
	return wasi__p1_settle(c, r, why);
}

enum seam_result wasi__p1_path_readlink(struct p1_call *c, const struct p1_path_readlink_args *a)
{
	struct slice path;
	enum seam_result r = SEAM_OK;
	size_t n;
	int why;
	const struct p1_file *in = folder(c, a->fd, P1_RIGHT_PATH_READLINK);
	if (!in || !read_path(c, a->path, a->path_len, &path, &r))
		return r;
	char *text = pool_alloc(c->p->pool, PATH_MAX);
	if (!text)
		return wasi__p1_fail(c, P1_NOMEM);
	r = wasi__p1_settle(c, wasi__fs_readlink(&c->seam, in->fs, path, text, &n, &why), why);
	n = min_u64(n, a->buf_len);
	if (r == SEAM_OK && !c->error)
		r = wasi__p1_put(c, a->buf, text, n, 1);
	pool_free(text);
	return r != SEAM_OK || c->error ? r : wasi__p1_put_u32(c, a->bufused, (uint32_t)n);
}

// ---- changes -----------------------------------------------------------------------------------------------------------------------------

typedef enum seam_result change_fn(struct seam_call *c, struct wasi_fs_descriptor *d, struct slice path, int *ret_why);

static enum seam_result change(struct p1_call *c, uint64_t fd, uint64_t right, uint64_t at, uint64_t len, change_fn *fn)
{
	struct slice path;
	enum seam_result r = SEAM_OK;
	int why;
	const struct p1_file *in = folder(c, fd, right);
	if (!in || !read_path(c, at, len, &path, &r))
		return r;
	r = fn(&c->seam, in->fs, path, &why);
	return wasi__p1_settle(c, r, why);
}

enum seam_result wasi__p1_path_create_directory(struct p1_call *c, const struct p1_path_create_directory_args *a)
{
	return change(c, a->fd, P1_RIGHT_PATH_CREATE_DIRECTORY, a->path, a->path_len, wasi__fs_mkdir);
}

enum seam_result wasi__p1_path_remove_directory(struct p1_call *c, const struct p1_path_remove_directory_args *a)
{
	return change(c, a->fd, P1_RIGHT_PATH_REMOVE_DIRECTORY, a->path, a->path_len, wasi__fs_rmdir);
}

enum seam_result wasi__p1_path_unlink_file(struct p1_call *c, const struct p1_path_unlink_file_args *a)
{
	return change(c, a->fd, P1_RIGHT_PATH_UNLINK_FILE, a->path, a->path_len, wasi__fs_unlink);
}

enum seam_result wasi__p1_path_symlink(struct p1_call *c, const struct p1_path_symlink_args *a)
{
	struct slice target, path;
	enum seam_result r = SEAM_OK;
	int why;
	const struct p1_file *in = folder(c, a->fd, P1_RIGHT_PATH_SYMLINK);
	if (!in || !read_path(c, a->old_path, a->old_path_len, &target, &r) || !read_path(c, a->new_path, a->new_path_len, &path, &r))
		return r;
	r = wasi__fs_symlink(&c->seam, target, in->fs, path, &why);
	return wasi__p1_settle(c, r, why);
}

// A link at the end of the old path is never followed; who asks for that is told.
enum seam_result wasi__p1_path_link(struct p1_call *c, const struct p1_path_link_args *a)
{
	struct slice old_path, new_path;
	enum seam_result r = SEAM_OK;
	int why;
	const struct p1_file *from = folder(c, a->old_fd, P1_RIGHT_PATH_LINK_SOURCE), *to = from ? folder(c, a->new_fd, P1_RIGHT_PATH_LINK_TARGET) : NULL;
	if (!to || !read_path(c, a->old_path, a->old_path_len, &old_path, &r) || !read_path(c, a->new_path, a->new_path_len, &new_path, &r))
		return r;
	if (a->old_flags)
		return wasi__p1_fail(c, P1_INVAL);
	r = wasi__fs_link(&c->seam, from->fs, old_path, to->fs, new_path, &why);
	return wasi__p1_settle(c, r, why);
}

enum seam_result wasi__p1_path_rename(struct p1_call *c, const struct p1_path_rename_args *a)
{
	struct slice old_path, new_path;
	enum seam_result r = SEAM_OK;
	int why;
	const struct p1_file *from = folder(c, a->fd, P1_RIGHT_PATH_RENAME_SOURCE), *to = from ? folder(c, a->new_fd, P1_RIGHT_PATH_RENAME_TARGET) : NULL;
	if (!to || !read_path(c, a->old_path, a->old_path_len, &old_path, &r) || !read_path(c, a->new_path, a->new_path_len, &new_path, &r))
		return r;
	r = wasi__fs_rename(&c->seam, from->fs, old_path, to->fs, new_path, &why);
	return wasi__p1_settle(c, r, why);
}
