// Files that change, by inotify: folders by the number that the kernel gives each, and the folders that were asked for, which are looked at again from time to
// time: who moves what lies above one tells nobody.
#include <dirent.h>
#include <errno.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dev.h"

enum { FOLDERS_MAX = 20000, ROOTS_MAX = 1000 };
#define EVENTS (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE | IN_ONLYDIR)

// Ordered by number. A folder that two paths lead to has two entries.
struct folder {
	int wd;
	bool deep;
	char *path;
};
struct root {
	char *path;
	bool deep, is_there;
	dev_t device;
	ino_t inode;
};
struct dev_watch {
	int fd;
	VEC(struct folder)
	folders;
	VEC(struct root)
	roots;
};
// Who hears of changes; fn NULL: nobody yet.
struct listener {
	dev_change_fn fn;
	void *ctx;
};

bool dev_watch_open(struct dev_watch **ret, struct err *e)
{
	struct dev_watch *w = mem_zalloc(sizeof *w);
	if (!w)
		return err_nomem(e);
	w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (w->fd < 0) {
		err_set_errno(e, errno, "cannot watch files");
		mem_free(w);
		return false;
	}
	*ret = w;
	return true;
}

void dev_watch_close(struct dev_watch *w)
{
	if (!w)
		return;
	for (uint32_t i = 0; i < w->folders.len; i++)
		mem_free(w->folders.ptr[i].path);
	for (uint32_t i = 0; i < w->roots.len; i++)
		mem_free(w->roots.ptr[i].path);
	VEC_FREE(&w->folders);
	VEC_FREE(&w->roots);
	close(w->fd);
	mem_free(w);
}

int dev_watch_fd(const struct dev_watch *w)
{
	return w->fd;
}

static char *copy(const char *text)
{
	size_t n = strlen(text) + 1;
	char *to = mem_alloc(n);
	if (to)
		memcpy(to, text, n);
	return to;
}

// ---- folders -------------------------------------------------------------------------------------------------------------------------------------

// The first entry of that number or of a larger one.
static uint32_t first_of(const struct dev_watch *w, int wd)
{
	uint32_t low = 0, high = w->folders.len;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		if (w->folders.ptr[mid].wd < wd)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool is_beneath(const char *path, const char *folder)
{
	size_t n = strlen(folder);
	return strncmp(path, folder, n) == 0 && (path[n] == 0 || path[n] == '/' || n == 1);
}

// Lets the folders go that `fits` says; their numbers too, where no entry is left of one.
static void drop(struct dev_watch *w, bool (*fits)(const struct folder *f, const void *what), const void *what)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < w->folders.len; i++) {
		struct folder f = w->folders.ptr[i];
		if (!fits(&f, what)) {
			w->folders.ptr[kept++] = f;
			continue;
		}
		bool is_shared = (kept && w->folders.ptr[kept - 1].wd == f.wd) || (i + 1 < w->folders.len && w->folders.ptr[i + 1].wd == f.wd);
		if (!is_shared)
			(void)inotify_rm_watch(w->fd, f.wd);  // fails where the kernel has let it go already
		mem_free(f.path);
	}
	w->folders.len = kept;
}

static bool fits_path(const struct folder *f, const void *path)
{
	return is_beneath(f->path, path);
}

static bool fits_number(const struct folder *f, const void *wd)
{
	return f->wd == *(const int *)wd;
}

static bool put(struct dev_watch *w, struct folder f, struct err *e)
{
	uint32_t at = first_of(w, f.wd);
	for (uint32_t i = at; i < w->folders.len && w->folders.ptr[i].wd == f.wd; i++)
		if (strcmp(w->folders.ptr[i].path, f.path) == 0) {
			w->folders.ptr[i].deep |= f.deep;
			return true;
		}
	f.path = copy(f.path);
	if (!f.path)
		return err_nomem(e);
	if (!VEC_ADD(NULL, &w->folders, FOLDERS_MAX)) {
		mem_free(f.path);
		err_set(e, ERR_LIMIT, "more than %d folders are watched", FOLDERS_MAX);
		return err_hint(e, "name less in build.watch");
	}
	memmove(&w->folders.ptr[at + 1], &w->folders.ptr[at], (w->folders.len - 1 - at) * sizeof f);
	w->folders.ptr[at] = f;
	return true;
}

static bool add_one(struct dev_watch *w, const char *path, bool deep, struct err *e)
{
	int wd = inotify_add_watch(w->fd, path, EVENTS);
	if (wd >= 0)
		return put(w, (struct folder){wd, deep, UNCONST(path)}, e);
	if (errno == ENOSPC)
		return err_set_errno(e, errno, "cannot watch the folder '%.500s'", path) || err_hint(e, "raise fs.inotify.max_user_watches, or name less in build.watch");
	// Gone again, or not to be read: a build can't read it either.
	return true;
}

// A queue of folders that were found and not looked into yet.
struct queue {
	VEC(char *)
	list;
};

static bool look_into(struct dev_watch *w, const char *folder, struct queue *q, struct listener to, struct err *e)
{
	char path[DEV_PATH];
	struct stat st;
	bool ok = true;
	DIR *d = opendir(folder);
	for (struct dirent *x; ok && d && (x = readdir(d)) != NULL;) {
		int n = snprintf(path, sizeof path, "%s/%s", folder[1] ? folder : "", x->d_name);
		if (x->d_name[0] == '.' || n >= (int)sizeof path || lstat(path, &st) != 0)
			continue;
		if (!S_ISDIR(st.st_mode)) {
			if (to.fn)
				to.fn(to.ctx, slice_str(path), DEV_WRITTEN);
			continue;
		}
		char *found = copy(path);
		ok = found && VEC_PUSH(NULL, &q->list, found, FOLDERS_MAX);
		if (!ok) {
			mem_free(found);
			err_set(e, ERR_LIMIT, "more than %d folders are watched", FOLDERS_MAX);
		}
	}
	if (d)
		closedir(d);
	return ok;
}

// The folder is watched before it is looked into: what comes in between is told twice and not missed.
static bool add_deep(struct dev_watch *w, const char *folder, struct listener to, struct err *e)
{
	struct queue q = {0};
	bool ok = add_one(w, folder, true, e) && look_into(w, folder, &q, to, e);
	for (uint32_t i = 0; ok && i < q.list.len; i++)
		ok = add_one(w, q.list.ptr[i], true, e) && look_into(w, q.list.ptr[i], &q, to, e);
	for (uint32_t i = 0; i < q.list.len; i++)
		mem_free(q.list.ptr[i]);
	VEC_FREE(&q.list);
	return ok;
}

// ---- folders that were asked for -----------------------------------------------------------------------------------------------------------------

static bool watch_root(struct dev_watch *w, struct root *r, const struct stat *st, struct err *e)
{
	r->is_there = true;
	r->device = st->st_dev;
	r->inode = st->st_ino;
	return r->deep ? add_deep(w, r->path, (struct listener){0}, e) : add_one(w, r->path, false, e);
}

bool dev_watch_add(struct dev_watch *w, const char *folder, bool deep, struct err *e)
{
	struct stat st;
	if (stat(folder, &st) != 0)
		return err_set_errno(e, errno, "cannot watch the folder '%.500s'", folder);
	if (!S_ISDIR(st.st_mode))
		return err_set(e, ERR_ENV, "cannot watch '%.500s': it is no folder", folder);
	for (uint32_t i = 0; i < w->roots.len; i++)
		if (strcmp(w->roots.ptr[i].path, folder) == 0) {
			w->roots.ptr[i].deep |= deep;
			return watch_root(w, &w->roots.ptr[i], &st, e);
		}
	struct root r = {.path = copy(folder), .deep = deep};
	if (!r.path)
		return err_nomem(e);
	if (VEC_PUSH(NULL, &w->roots, r, ROOTS_MAX))
		return watch_root(w, &w->roots.ptr[w->roots.len - 1], &st, e);
	mem_free(r.path);
	return err_set(e, ERR_LIMIT, "more than %d folders are named to be watched", ROOTS_MAX);
}

// Is each still the one that is watched? A folder that another lies in may be known for that one: it is found again with it.
static bool look_at_roots(struct dev_watch *w, struct listener to, struct err *e)
{
	bool ok = true;
	for (uint32_t i = 0; i < w->roots.len; i++) {
		struct root *r = &w->roots.ptr[i];
		struct stat st;
		bool is_there = stat(r->path, &st) == 0 && S_ISDIR(st.st_mode);
		if (is_there == r->is_there && (!is_there || (st.st_dev == r->device && st.st_ino == r->inode)))
			continue;
		drop(w, fits_path, r->path);
		r->is_there = false;
		for (uint32_t k = 0; k < w->roots.len; k++)
			if (k != i && is_beneath(w->roots.ptr[k].path, r->path))
				w->roots.ptr[k].is_there = false;
		ok = (!is_there || watch_root(w, r, &st, e)) && ok;
		to.fn(to.ctx, slice_str(r->path), DEV_BENEATH);
	}
	return ok;
}

// ---- what the kernel tells -----------------------------------------------------------------------------------------------------------------------

// The kernel has let it go: it was removed. One that was asked for may be made anew.
static void on_ignored(struct dev_watch *w, int wd)
{
	for (uint32_t i = first_of(w, wd); i < w->folders.len && w->folders.ptr[i].wd == wd; i++)
		for (uint32_t k = 0; k < w->roots.len; k++)
			if (strcmp(w->roots.ptr[k].path, w->folders.ptr[i].path) == 0)
				w->roots.ptr[k].is_there = false;
	drop(w, fits_number, &wd);
}

static bool tell_folder(struct dev_watch *w, const char *path, uint32_t mask, struct listener to, struct err *e)
{
	if (mask & IN_MOVED_FROM) {
		drop(w, fits_path, path);
		to.fn(to.ctx, slice_str(path), DEV_BENEATH);
		return true;
	}
	return !(mask & (IN_CREATE | IN_MOVED_TO)) || add_deep(w, path, to, e);  // what is in it already may have been missed
}

// Of a new file the end of writing is told, too; of a link there is none.
static void tell_file(const char *path, uint32_t mask, struct listener to)
{
	struct stat st;
	bool is_whole = !(mask & IN_CREATE) || (lstat(path, &st) == 0 && (S_ISLNK(st.st_mode) || st.st_nlink > 1));
	to.fn(to.ctx, slice_str(path), is_whole ? DEV_WRITTEN : DEV_MADE);
}

static bool tell(struct dev_watch *w, const struct inotify_event *v, struct listener to, struct err *e)
{
	bool ok = true;
	if (v->mask & IN_Q_OVERFLOW) {
		to.fn(to.ctx, slice_of("", 0), DEV_BENEATH);
		return true;
	}
	if (v->mask & IN_IGNORED)
		on_ignored(w, v->wd);
	if (!v->len)
		return true;
	// Folders come and go while they are told of: each path of that number by itself.
	for (uint32_t nth = 0;; nth++) {
		uint32_t i = first_of(w, v->wd) + nth;
		if (i >= w->folders.len || w->folders.ptr[i].wd != v->wd)
			return ok;
		char path[DEV_PATH];
		const struct folder *f = &w->folders.ptr[i];
		if (snprintf(path, sizeof path, "%s/%s", f->path[1] ? f->path : "", v->name) >= (int)sizeof path)
			continue;
		if (!(v->mask & IN_ISDIR))
			tell_file(path, v->mask, to);
		else if (f->deep && v->name[0] != '.')
			ok = tell_folder(w, path, v->mask, to, e) && ok;
	}
}

bool dev_watch_read(struct dev_watch *w, dev_change_fn fn, void *ctx, struct err *e)
{
	_Alignas(struct inotify_event) char in[64 << 10];
	struct listener to = {fn, ctx};
	bool ok = true;
	for (ssize_t n; (n = read(w->fd, in, sizeof in)) > 0;)
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *v = (const struct inotify_event *)(const void *)(in + at);
			ok = tell(w, v, to, e) && ok;
			at += (ssize_t)(sizeof *v + v->len);
		}
	return look_at_roots(w, to, e) && ok;
}
