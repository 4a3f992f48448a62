// What is in a folder: for calls that wait for it, and for who is told when it has come.
#include "fs_int.h"

#include <errno.h>

#define NO_PATH slice_of("", 0)

enum { LIST_BYTES = 32 << 10 };
struct wasi_fs_list {
	struct wasi_fs_descriptor *folder;  // opened anew: it has an offset of its own
	struct wasi_fs_op *op;
	size_t at, len;
};

static int64_t run_list(struct wasi_fs_op *op)
{
	return sys_list(op->fd, op->bytes, op->cap);
}

enum seam_result wasi__fs_list_open(struct seam_call *c, struct wasi_fs_descriptor *d, struct wasi_fs_list **ret, int *ret_why)
{
	struct wasi_fs_descriptor *folder;
	enum seam_result r = wasi__fs_open(c, d, slice_str("."), SYS_OPEN_READ | SYS_OPEN_FOLDER, &folder, ret_why);
	if (r != SEAM_OK || *ret_why)
		return r;
	struct wasi_fs_op *op = wasi__fs_op_new(d->fs, run_list, LIST_BYTES, NO_PATH, NO_PATH, ret_why);
	struct wasi_fs_list *l = pool_zalloc(d->fs->memory, sizeof *l);
	if (!op || !l) {
		*ret_why = -ENOMEM;
		seam_chore_free(op);
		pool_free(l);
		wasi__fs_unref(folder);
		return SEAM_OK;
	}
	l->folder = folder;
	l->op = op;
	*ret = l;
	return SEAM_OK;
}

void wasi__fs_list_close(struct wasi_fs_list *l)
{
	seam_chore_free(l->op);
	wasi__fs_unref(l->folder);
	pool_free(l);
}

int wasi__fs_list_seek(struct wasi_fs_list *l, uint64_t next)
{
	int why = next > INT64_MAX ? -EINVAL : sys_list_from(l->folder->fd, (int64_t)next);
	if (why == 0)
		l->at = l->len = 0;
	return why;
}

static enum seam_result fill(struct seam_call *c, struct wasi_fs_list *l, int *ret_why)
{
	struct wasi_fs_op *op = l->op;
	op->fd = l->folder->fd;
	l->op = NULL;  // gone if the call ends
	l->at = l->len = 0;
	enum seam_result r = wasi__fs_op_do(c, l->folder->fs, op, ret_why);
	if (r != SEAM_OK)
		return r;
	l->op = op;
	l->len = *ret_why ? 0 : (size_t)op->result;
	return SEAM_OK;
}

enum seam_result wasi__fs_list_next(struct seam_call *c, struct wasi_fs_list *l, struct sys_entry *ret, int *ret_why)
{
	*ret = (struct sys_entry){0};
	*ret_why = 0;
	if (!l->op) {  // of a call that was killed, or another call is at it
		*ret_why = -EBADF;
		return SEAM_OK;
	}
	if (l->at == l->len) {
		enum seam_result r = fill(c, l, ret_why);
		if (r != SEAM_OK)
			return r;
	}
	if (*ret_why == 0)
		sys_entry_next(slice_of(l->op->bytes, l->len), &l->at, ret);
	return SEAM_OK;
}

// ---- for who is told ------------------------------------------------------------------------------------------------------------------

struct wasi_fs_names {
	struct wasi_fs_descriptor *of;
	struct loop *loop;
	struct wasi_event event;
	struct wasi_fs_op *op;  // `opened` is the folder, opened anew
	size_t at, len;         // in op->bytes
	bool busy, over;
	int why;    // what it ended with
};

static int64_t run_names(struct wasi_fs_op *op)
{
	if (op->opened < 0)
		op->opened = sys_beneath_open(op->fd, ".", SYS_OPEN_READ | SYS_OPEN_FOLDER);
	return op->opened < 0 ? op->opened : sys_list(op->opened, op->bytes, op->cap);
}

struct wasi_fs_names *wasi__fs_names_new(struct wasi_fs_descriptor *d, struct loop *l, int *ret_why)
{
	*ret_why = wasi__fs_take_place(d->fs) ? 0 : -EMFILE;
	if (*ret_why)
		return NULL;
	struct wasi_fs_op *op = wasi__fs_op_new(d->fs, run_names, LIST_BYTES, NO_PATH, NO_PATH, ret_why);
	struct wasi_fs_names *n = op ? pool_zalloc(d->fs->memory, sizeof *n) : NULL;
	if (!n) {
		*ret_why = -ENOMEM;
		seam_chore_free(op);
		wasi__fs_leave_place(d->fs);
		return NULL;
	}
	n->of = wasi__fs_ref(d);
	n->loop = l;
	n->op = op;
	return n;
}

void wasi__fs_names_free(struct wasi_fs_names *n)
{
	seam_chore_let_go(n->op, false);
	wasi__fs_leave_place(n->of->fs);
	wasi__fs_unref(n->of);
	pool_free(n);
}

struct wasi_event *wasi__fs_names_event(struct wasi_fs_names *n)
{
	return &n->event;
}

static void on_names(void *op, void *ctx)
{
	struct wasi_fs_names *n = ctx;
	int64_t got = n->op->result;
	wasi__fs_op_done(op);
	n->busy = false;
	n->at = 0;
	n->len = got > 0 ? (size_t)got : 0;
	n->over = got <= 0;
	n->why = got < 0 ? (int)got : 0;
	wasi__event_fire(&n->event);
}

static bool is_dots(struct slice name)
{
	return slice_eq_str(name, ".") || slice_eq_str(name, "..");
}

// The entry at `*at` that is none of the dots. false: what is there ends.
static bool next_name(const struct wasi_fs_names *n, size_t *at, struct sys_entry *ret)
{
	while (*at < n->len) {
		sys_entry_next(slice_of(n->op->bytes, n->len), at, ret);
		if (!is_dots(ret->name))
			return true;
	}
	return false;
}

enum wasi_io wasi__fs_names_look(struct wasi_fs_names *n, size_t max, int64_t *ret)
{
	struct sys_entry e;
	size_t at = n->at;
	*ret = 0;
	if (n->busy)
		return WASI_IO_AGAIN;
	while ((uint64_t)*ret < max && next_name(n, &at, &e)) {
		if (!utf8_is_valid(e.name)) {
			if (*ret == 0)
				*ret = -EILSEQ;
			return *ret < 0 ? WASI_IO_FAILED : WASI_IO_OK;
		}
		++*ret;
	}
	if (*ret)
		return WASI_IO_OK;
	if (n->over) {
		*ret = n->why;
		return n->why ? WASI_IO_FAILED : WASI_IO_CLOSED;
	}
	n->at = n->len = 0;
	n->op->fd = n->of->fd;
	int why = wasi__fs_op_begin(n->of->fs, n->op, n->loop, on_names, n);
	n->busy = why == 0;
	*ret = why;
	return why ? WASI_IO_FAILED : WASI_IO_AGAIN;
}

struct sys_entry wasi__fs_names_take(struct wasi_fs_names *n)
{
	struct sys_entry e = {0};
	next_name(n, &n->at, &e);
	return e;
}
