// Preview 1: the entries of a folder.
#include "preview1.h"

// Cookies are the system's offsets: 0 is the beginning, any that was given leads behind its entry. The folder's list goes on where the last call ended; an
// entry that did not fit is asked for again, by the cookie of the one before it.
static enum seam_result open_list(struct p1_call *c, struct p1_file *f)
{
	int why;
	struct p1_list *l = pool_zalloc(c->p->pool, sizeof *l);
	if (!l)
		return wasi__p1_fail(c, P1_NOMEM);
	enum seam_result r = wasi__p1_settle(c, wasi__fs_list_open(&c->seam, f->fs, &l->entries, &why), why);
	if (r == SEAM_OK && !c->error)
		f->list = l;
	else
		pool_free(l);
	return r;
}

// The list stands behind the cookie.
static enum seam_result find(struct p1_call *c, struct p1_file *f, uint64_t cookie)
{
	enum seam_result r = f->list ? SEAM_OK : open_list(c, f);
	if (r != SEAM_OK || c->error || f->list->cookie == cookie)
		return r;
	int why = wasi__fs_list_seek(f->list->entries, cookie);
	if (why == 0)
		f->list->cookie = cookie;
	return wasi__p1_settle(c, SEAM_OK, why);
}

// As much as fits, and no more: an entry may be cut anywhere. *at: bytes written.
static void put_some(uint8_t *to, uint64_t room, uint64_t *at, const void *from, size_t n)
{
	n = min_u64(n, room - *at);
	memcpy(to + *at, from, n);
	*at += n;
}

static enum seam_result put_entries(struct p1_call *c, struct p1_file *f, const struct sys_stat *folder, uint8_t *to, uint64_t room, uint64_t *ret)
{
	while (*ret < room) {
		struct sys_entry e;
		int why;
		enum seam_result r = wasi__p1_settle(c, wasi__fs_list_next(&c->seam, f->list->entries, &e, &why), why);
		if (r != SEAM_OK || c->error || e.name.len == 0)
			return r;
		struct sys_stat st = {.device = folder->device, .inode = slice_eq_str(e.name, "..") ? folder->inode : e.inode};
		struct p1_dirent d = {.next = (uint64_t)e.next, .namlen = (uint32_t)e.name.len, .type = wasi__p1_filetype(e.type)};
		d.ino = wasi__fs_hash(c->p->fs, &st).low;
		put_some(to, room, ret, &d, sizeof d);
		put_some(to, room, ret, e.name.ptr, e.name.len);
		f->list->cookie = d.next;
		r = seam_work(&c->seam, sizeof d + e.name.len);
		if (r != SEAM_OK)
			return r;
	}
	return SEAM_OK;
}

enum seam_result wasi__p1_fd_readdir(struct p1_call *c, const struct p1_fd_readdir_args *a)
{
	struct p1_file *f = wasi__p1_file(c, a->fd, 0);
	struct sys_stat folder;
	uint64_t used = 0;
	int why;
	if (f && f->kind != P1_FOLDER)
		return wasi__p1_fail(c, P1_NOTDIR);
	if (!f || !wasi__p1_file(c, a->fd, P1_RIGHT_FD_READDIR))
		return SEAM_OK;
	uint8_t *to = wasi__p1_at(c, a->buf, a->buf_len, 1);
	if (!to)
		return SEAM_TRAP;
	if (a->cookie > INT64_MAX)  // behind all that there can be
		return wasi__p1_put_u32(c, a->bufused, 0);
	enum seam_result r = find(c, f, a->cookie);
	if (r == SEAM_OK && !c->error)
		r = wasi__p1_settle(c, wasi__fs_stat(&c->seam, f->fs, &folder, &why), why);
	if (r == SEAM_OK && !c->error)
		r = put_entries(c, f, &folder, to, a->buf_len, &used);
	return r != SEAM_OK || c->error ? r : wasi__p1_put_u32(c, a->bufused, (uint32_t)used);
}
