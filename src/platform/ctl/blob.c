// Components' bytes of an app's releases: STATE/TENANT/APP/blobs/SHA256, so that a restart, an undo and a rollback have them whatever became of the files that
// they came from. What components are at the start is kept, too: who builds anew writes over it.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "app/app.h"
#include "ctl_int.h"
#include "serve/serve.h"
#include "tier/tier.h"
#include "upload.h"

enum { RELEASES_KEPT = 10 };

// ---- written ---------------------------------------------------------------------------------------------------------------------------------

static int open_folder(const struct ctl_state *s)
{
	return sys_private_subfolder(ctl_journal_folder(s->journal), "blobs");
}

static int write_new(int folder, const char *name, struct slice bytes)
{
	int fd = sys_private_file(folder, name, true, false);
	if (fd < 0)
		return fd;
	int why = sys_resize(fd, 0);
	why = why < 0 ? why : sys_write_at(fd, bytes.ptr, bytes.len, 0);
	why = why < 0 ? why : sys_sync(fd, false);
	sys_close(fd);
	return why;
}

static bool is_there(int folder, const char *name, uint64_t size)
{
	int fd = sys_private_file(folder, name, false, false);
	struct sys_stat st;
	bool is = fd >= 0 && sys_file.stat(fd, false, &st) == 0 && st.size == size;
	sys_close(fd);
	return is;
}

bool ctl__blob_add(const struct ctl_state *s, struct slice bytes, char ret_sha256[65], struct err *e)
{
	tier_sha256(bytes, ret_sha256);
	int folder = open_folder(s), why = folder < 0 ? folder : 0;
	if (why == 0 && !is_there(folder, ret_sha256, bytes.len)) {
		why = write_new(folder, "new", bytes);
		why = why < 0 ? why : sys_private_rename(folder, "new", ret_sha256);
		why = why < 0 ? why : sys_sync(folder, false);
	}
	sys_close(folder);
	return why >= 0 || err_set_errno(e, -why, "the component's bytes can't be kept");
}

int ctl__blob_take(const struct ctl_state *s, int file, const char *name, uint64_t size, const char *sha256)
{
	int folder = open_folder(s), why = folder < 0 ? folder : 0;
	bool is_new = why == 0 && !is_there(folder, sha256, size);
	if (is_new) {
		why = sys_sync(file, false);
		why = why < 0 ? why : sys_private_rename(folder, name, sha256);
		why = why < 0 ? why : sys_sync(folder, false);
	}
	sys_close(folder);
	return why < 0 ? why : is_new;
}

// ---- named -----------------------------------------------------------------------------------------------------------------------------------

// Beneath the manifest's folder as a path from there, so that both can be moved together.
static char *path_of(const struct ctl_app *app, const char *folder)
{
	char link[64];
	snprintf(link, sizeof link, "/proc/self/fd/%d", ctl_journal_folder(app->state->journal));
	char *state = realpath(link, NULL), *manifest = realpath(*folder ? folder : ".", NULL);
	size_t n = manifest ? strlen(manifest) : 0;
	if (state && n > 1 && strncmp(state, manifest, n) == 0 && state[n] == '/')
		memmove(state, state + n + 1, strlen(state + n + 1) + 1);
	free(manifest);
	return state;
}

static void put_toml(struct buf *b, const char *text)
{
	for (; *text; text++)
		buf_printf(b, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
}

static bool is_kept(const struct ctl_state *s, const char *component, const char *sha256, struct err *e)
{
	int folder = open_folder(s), fd = folder < 0 ? folder : sys_private_file(folder, sha256, false, false);
	sys_close(folder);
	sys_close(fd);
	if (fd >= 0)
		return true;
	if (fd != -ENOENT)
		return err_set_errno(e, -fd, "the bytes of component %s", component);
	err_set(e, ERR_REFUSED, "the bytes that component %s had are not kept any more: sha256 %s", component, sha256);
	return err_hint(e, "those of the last %d releases are; tenon update %s FILE gives it any others", RELEASES_KEPT, component);
}

bool ctl__blob_text(const struct ctl_app *app, struct arena *a, const char *folder, const char *component, const char *sha256, struct slice *ret, struct err *e)
{
	struct buf b = {0};
	if (!is_kept(app->state, component, sha256, e))
		return false;
	char *path = path_of(app, folder);
	if (!path)
		return err_set_errno(e, errno, "the folder of the components' bytes");
	buf_printf(&b, "[component.%s]\nsource = \"", component);
	put_toml(&b, path);
	buf_printf(&b, "/blobs/%s\"\nsha256 = \"%s\"\n", sha256, sha256);
	free(path);
	bool ok = !b.failed && slice_dup(a, buf_view(&b), ret);
	buf_release(&b);
	return ok || err_nomem(e);
}

// ---- trimmed ---------------------------------------------------------------------------------------------------------------------------------

static bool contains(struct slice text, struct slice what)
{
	for (size_t i = 0; i + what.len <= text.len; i++)
		if (memcmp(text.ptr + i, what.ptr, what.len) == 0)
			return true;
	return false;
}

static bool is_named(const struct ctl_app *app, struct slice name)
{
	unsigned n = 0;
	for (const struct ctl__release *r = app->state->newest; r && n < RELEASES_KEPT; r = r->older, n++)
		if (contains(r->live, name) || contains(r->members, name))
			return true;
	for (uint32_t i = 0; i < app->n_kept; i++)
		if (slice_eq_str(name, app->kept[i].sha256))
			return true;
	return slice_eq_str(name, app->tried.sha256);
}

void ctl__blobs_trim(const struct ctl_app *app)
{
	static const size_t size = 64 << 10;
	int folder = open_folder(app->state);
	uint8_t *list = mem_alloc(size);
	int64_t n;
	while (folder >= 0 && list && (n = sys_list(folder, list, size)) > 0) {
		size_t at = 0;
		struct sys_entry entry;
		while (sys_entry_next(slice_of(list, (size_t)n), &at, &entry)) {
			char name[65];
			if (entry.name.len != 64 || is_named(app, entry.name))
				continue;
			snprintf(name, sizeof name, "%.*s", SLICE_ARGS(entry.name));
			sys_private_remove(folder, name);
		}
	}
	mem_free(list);
	sys_close(folder);
}

// ---- at the start ----------------------------------------------------------------------------------------------------------------------------

static FILE *open_file(const char *path, struct err *e)
{
	int fd = sys_open_regular(path);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "rb");
	if (f)
		return f;
	if (fd == -EINVAL) {  // a pipe would keep all changes of the app waiting for who writes to it
		err_set(e, ERR_ENV, "'%s' is not a file", path);
		err_hint(e, "write what it gives to a file and give that");
		return NULL;
	}
	err_set_errno(e, fd < 0 ? -fd : errno, "cannot open '%s'", path);
	sys_close(fd);
	return NULL;
}

void ctl_file_look(const char *path, struct sys_stat *ret)
{
	int fd = sys_open_regular(path);
	if (fd < 0 || sys_file.stat(fd, false, ret) < 0)
		*ret = (struct sys_stat){0};
	sys_close(fd);
}

// *ret: what it was before and after that.
static bool read_file(const char *path, struct buf *b, struct sys_stat *ret, struct err *e)
{
	struct sys_stat after = {0};
	FILE *f = open_file(path, e);
	if (!f)
		return false;
	b->max = SERVE_COMPONENT_MAX;
	int why = sys_file.stat(fileno(f), false, ret);
	bool ok = buf_read(b, f, path, e);
	why = why < 0 ? why : sys_file.stat(fileno(f), false, &after);
	fclose(f);
	if (ok && why < 0)
		return err_set_errno(e, -why, "cannot read '%s'", path);
	return ok && (sys_is_same_file(ret, &after) || err_set(e, ERR_REFUSED, "'%s' was written to while it was read", path));
}

// What processes before this one left behind.
static void clear_uploads(const struct ctl_app *app)
{
	static const size_t size = 16 << 10;
	char ours[64];
	int folder = open_folder(app->state);
	uint8_t *list = mem_alloc(size);
	int64_t n;
	snprintf(ours, sizeof ours, CTL_UPLOAD_NAME, (unsigned long long)app->ctl->began_ns);
	while (folder >= 0 && list && (n = sys_list(folder, list, size)) > 0) {
		size_t at = 0;
		struct sys_entry entry;
		while (sys_entry_next(slice_of(list, (size_t)n), &at, &entry)) {
			char name[64];
			if (!slice_starts_with(entry.name, SLICE_LIT("upload-")) || slice_starts_with(entry.name, slice_str(ours)) || entry.name.len >= sizeof name)
				continue;
			snprintf(name, sizeof name, "%.*s", SLICE_ARGS(entry.name));
			sys_private_remove(folder, name);
		}
	}
	mem_free(list);
	sys_close(folder);
}

static void keep_app(struct ctl_app *app)
{
	const struct app *a = app->config->app;
	struct err e;
	if (app->state)
		clear_uploads(app);
	if (!a || !app->state)
		return;
	app->kept = mem_zalloc((a->components.n + 1) * sizeof *app->kept);
	app->n_kept = app->kept ? a->components.n : 0;
	for (uint32_t i = 0; i < app->n_kept; i++) {
		struct buf b = {0};
		const char *path = a->components.list[i].path;
		err_clear(&e);
		snprintf(app->kept[i].component, sizeof app->kept[i].component, "%s", a->components.list[i].item.name);
		bool ok = read_file(path, &b, &app->kept[i].file, &e) &&
			(sys_is_same_file(&app->kept[i].file, &app->config->files[i]) || err_set(&e, ERR_REFUSED, "'%s' was written over since it was loaded", path));
		if (!ok || !ctl__blob_add(app->state, buf_view(&b), app->kept[i].sha256, &e)) {
			app->kept[i].sha256[0] = 0;
			app->kept[i].file = app->config->files[i];
			serve_warn(app->ctl->config.process, "no way back to component %s of %s as it is at the start: %s", a->components.list[i].item.name, app->name, e.text);
		}
		buf_release(&b);
	}
}

static void *keep(void *arg)
{
	struct ctl *ctl = arg;
	for (uint32_t i = 0; i < ctl->n_apps; i++)
		keep_app(ctl->apps[i]);
	sys_mutex_lock(&ctl->lock);
	ctl->kept = true;
	sys_cond_broadcast(&ctl->moved);
	sys_mutex_unlock(&ctl->lock);
	return NULL;
}

static bool keeps_any(const struct ctl *ctl)
{
	for (uint32_t i = 0; i < ctl->n_apps; i++)
		if (ctl->apps[i]->state)
			return true;
	return false;
}

void ctl__keeper_start(struct ctl *ctl)
{
	ctl->kept = false;  // before there is the thread, which may be done at once
	ctl->keeper_runs = keeps_any(ctl) && sys_thread_new(&ctl->keeper, keep, ctl) == 0;
	if (!ctl->keeper_runs)
		ctl->kept = true;
}

void ctl__keeper_wait(struct ctl *ctl)
{
	sys_mutex_lock(&ctl->lock);
	while (!ctl->kept)
		sys_cond_wait(&ctl->moved, &ctl->lock);
	sys_mutex_unlock(&ctl->lock);
}

void ctl__keeper_stop(struct ctl *ctl)
{
	if (ctl->keeper_runs)
		sys_thread_join(&ctl->keeper);
	ctl->keeper_runs = false;
}

static const struct ctl__kept *find_kept(const struct ctl_app *app, const char *component)
{
	for (uint32_t i = 0; i < app->n_kept; i++)
		if (strcmp(app->kept[i].component, component) == 0)
			return &app->kept[i];
	return NULL;
}

const char *ctl__kept_sha256(const struct ctl_app *app, const char *component)
{
	const struct ctl__kept *k = find_kept(app, component);
	return k && k->sha256[0] ? k->sha256 : NULL;
}

// ---- compared ----------------------------------------------------------------------------------------------------------------------------------

static void put_updated(struct buf *b, const char *component, const char *sha256, const char *replaced)
{
	buf_put_str(b, b->len ? "," : ",\"updated\":[");
	buf_printf(b, "{\"component\":\"%s\",\"sha256\":\"%s\",\"replaced\":\"%s\"}", component, sha256, replaced);
}

static bool keep_file(const struct ctl_app *app, const struct app_component *c, struct ctl__kept *to, struct err *e)
{
	struct buf b = {0};
	bool ok = read_file(c->path, &b, &to->file, e) && ctl__blob_add(app->state, buf_view(&b), to->sha256, e);
	buf_release(&b);
	return ok || err_note(e, "component %s of %s", c->item.name, app->name);
}

// One component; *to: what is known of it.
static bool compare(struct ctl_op *op, const struct app_component *c, bool reads, struct ctl__kept *to, struct ctl__bytes *ret, struct err *e)
{
	const struct ctl_app *app = op->app;
	const struct app_component *before = app_component_find(app->model ? app->model->app : NULL, c->item.name);
	const char *known = ctl__kept_sha256(app, c->item.name), *had = !before ? NULL : before->sha256.text ? before->sha256.text
																										 : known;
	snprintf(to->component, sizeof to->component, "%s", c->item.name);
	if (!c->sha256.text && reads && !keep_file(app, c, to, e))
		return false;
	if (!reads && find_kept(app, c->item.name))
		*to = *find_kept(app, c->item.name);
	const char *has = c->sha256.text ? c->sha256.text : to->sha256[0] ? to->sha256
																	  : NULL;
	if (before && !had && has && reads)
		ret->replaced[ret->n_replaced++] = c->item.name;  // what runs is not known: it is made anew
	if (!had || !has || strcmp(had, has) == 0)
		return true;
	put_updated(&ret->updated, c->item.name, has, had);
	ret->others[ret->n_others++] = c->item.name;
	if (!c->sha256.text && !before->sha256.text)
		ret->replaced[ret->n_replaced++] = c->item.name;
	return true;
}

// What goes, by the bytes that it had: nobody else would know them when it comes back.
static void put_gone(const struct ctl_app *app, const struct app *to, struct buf *b)
{
	const struct app *from = app->model ? app->model->app : NULL;
	for (uint32_t i = 0; from && i < from->components.n; i++) {
		const struct app_component *c = &from->components.list[i];
		const char *known = c->sha256.text ? NULL : ctl__kept_sha256(app, c->item.name);
		if (known && !app_component_find(to, c->item.name))
			buf_printf(b, "%s{\"component\":\"%s\",\"replaced\":\"%s\"}", b->len ? "," : ",\"gone\":[", c->item.name, known);
	}
	buf_put_str(b, b->len ? "]" : "");
}

bool ctl__bytes_compare(struct ctl_op *op, const struct app *to, bool reads, struct ctl__bytes *ret, struct err *e)
{
	*ret = (struct ctl__bytes){.updated.max = 16 << 20, .gone.max = 16 << 20};
	put_gone(op->app, to, &ret->gone);
	if (!to)
		return !ret->gone.failed || err_nomem(e);
	ret->kept = mem_zalloc((to->components.n + 1) * sizeof *ret->kept);
	ret->replaced = ARENA_ARRAY(&op->arena, const char *, to->components.n + 1);
	ret->others = ARENA_ARRAY(&op->arena, const char *, to->components.n + 1);
	if (!ret->kept || !ret->replaced || !ret->others)
		return err_nomem(e);
	for (; ret->n_kept < to->components.n; ret->n_kept++)
		if (!compare(op, &to->components.list[ret->n_kept], reads, &ret->kept[ret->n_kept], ret, e))
			return false;
	buf_put_str(&ret->updated, ret->updated.len ? "]" : "");
	return (!ret->updated.failed && !ret->gone.failed) || err_nomem(e);
}

// It was loaded from its file, which was that before.
static bool is_as_before(const struct app_component *c, const struct sys_stat *before, struct err *e)
{
	struct sys_stat now;
	ctl_file_look(c->path, &now);
	if (sys_is_same_file(before, &now))
		return true;
	err_set(e, ERR_REFUSED, "component %s: '%s' was written over while it was made ready", c->item.name, c->path);
	return err_hint(e, "ask for it again when it is whole");
}

bool ctl__bytes_are_as_compared(const struct app *to, const struct ctl__kept *kept, uint32_t n, struct err *e)
{
	for (uint32_t i = 0; to && i < n; i++)
		if (!to->components.list[i].sha256.text && kept[i].file.inode && !is_as_before(&to->components.list[i], &kept[i].file, e))
			return false;
	return true;
}

bool ctl__bytes_as_loaded(struct ctl_op *op, const struct ctl__change *c, struct ctl_as_loaded **ret, uint32_t *ret_n, struct err *e)
{
	const struct app *from = op->app->model ? op->app->model->app : NULL, *to = c->model ? c->model->app : NULL;
	struct ctl_as_loaded *list = ARENA_ARRAY(&op->arena, struct ctl_as_loaded, c->n_kept + 1);
	*ret = list;
	*ret_n = 0;
	if (!list)
		return err_nomem(e);
	for (uint32_t i = 0; to && i < c->n_kept; i++) {
		const struct ctl__kept *k = &c->kept[i];
		const struct app_component *before = app_component_find(from, k->component);
		struct buf path = {.max = SYS_PATH_MAX};
		struct slice copy = {0};
		if (!before || strcmp(before->path, to->components.list[i].path) != 0)
			continue;  // it is about another file
		buf_printf(&path, "%s/blobs/%s", op->app->state->path, k->sha256);
		bool ok = !k->sha256[0] || (!path.failed && slice_dup(&op->arena, buf_view(&path), &copy));
		buf_release(&path);
		if (!ok)
			return err_nomem(e);
		list[(*ret_n)++] = (struct ctl_as_loaded){.component = k->component, .sha256 = k->sha256, .copy = (const char *)copy.ptr, .file = &k->file};
	}
	return true;
}

bool ctl__bytes_are_as_loaded(const struct app *to, const struct ctl_as_loaded *list, uint32_t n, struct err *e)
{
	for (uint32_t i = 0; i < n; i++)
		if (list[i].is_file && !is_as_before(app_component_find(to, list[i].component), list[i].file, e))
			return false;
	return true;
}

void ctl__bytes_release(struct ctl__bytes *b)
{
	mem_free(b->kept);
	buf_release(&b->updated);
	buf_release(&b->gone);
	*b = (struct ctl__bytes){0};
}
