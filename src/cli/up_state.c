// What lasts of an app over a restart, on the side of `tenon up`: where it lies, that it is laid over the manifest, and how ctl makes the app anew.
#include <errno.h>
#include <stdlib.h>

#include "sys/sys.h"
#include "up.h"

enum { SOURCE_MEMORY = 16 << 20, MODEL_MEMORY = 256 << 20 };

static bool is_named(void)
{
	const char *named = getenv("TENON_STATE");
	return named && *named;
}

// $TENON_STATE, else .tenon beside the manifest. NULL: none is named, and none can be made there.
static const char *folder_of(struct arena *a, const struct app *app)
{
	struct buf b = {0};
	struct slice path;
	if (is_named())
		return getenv("TENON_STATE");
	buf_printf(&b, "%s.tenon", app->folder);
	bool ok = !b.failed && slice_dup(a, buf_view(&b), &path);
	buf_release(&b);
	int fd = ok ? sys_private_folder((const char *)path.ptr, true) : -ENOMEM;
	if (fd >= 0)
		sys_close(fd);
	return ok && fd != -EACCES && fd != -EROFS ? (const char *)path.ptr : NULL;  // any other failure is told
}

static bool print(struct cli *c, const struct app *app, struct slice *ret, struct err *e)
{
	struct buf b = {0};
	bool ok = app_print(app, &b) && slice_dup(&c->arena, buf_view(&b), ret);
	buf_release(&b);
	return ok || err_nomem(e);
}

// The file loads by itself: where it doesn't with the live changes, these don't go with it any more.
static bool load_live(struct up_app *a, struct slice manifest, enum ctl_edited how, struct app **ret, struct err *e)
{
	struct cli *c = a->up->c;
	if (!ctl_state_settle_lost(a->state, manifest, how, e))
		return false;
	if (cli__manifest_load(c, &c->arena, &a->manifest, ctl_state_live(a->state), ret, e))
		return true;
	if (!ctl_state_live(a->state).len)
		return false;
	if (how != CTL_EDITED_MANIFEST) {
		e->hint[0] = 0;  // it would be about a file that nobody wrote
		return err_hint(e, "what was changed live doesn't go with the manifest any more: with --manifest that counts, and no live change");
	}
	err_clear(e);
	return ctl_state_drop_live(a->state, e) && cli__manifest_load(c, &c->arena, &a->manifest, slice_of("", 0), ret, e);
}

// The app with what was changed live, once it is clear that this is still meant.
static bool lay_live_over(struct up_app *a, const struct app *of_file, struct err *e)
{
	struct cli *c = a->up->c;
	enum ctl_edited how = c->live ? CTL_EDITED_LIVE : c->manifest ? CTL_EDITED_MANIFEST
																  : CTL_EDITED_REFUSED;
	struct slice manifest, in_force;
	struct app *app;
	bool again = true;
	if (!print(c, of_file, &manifest, e))
		return false;
	while (again) {
		if (!load_live(a, manifest, how, &app, e) || !print(c, app, &in_force, e) ||
			!ctl_state_settle(a->state, manifest, in_force, how, &again, e))
			return err_note(e, "%s", a->manifest.path);
	}
	a->app = app;
	return ctl_state_begin(a->state, manifest, slice_str(of_file->root), e) && ctl_state_crons(a->state, app, NULL, e);
}

bool cli__up_read(struct up *u, const char *path, struct err *e)
{
	struct up_app *a = ARENA_NEW(&u->c->arena, struct up_app);
	struct app *of_file;
	if (!a || !VEC_PUSH(&u->c->arena, &u->of, a, UP_MAX_APPS))
		return err_nomem(e);
	a->up = u;
	if (!cli__manifest_read(&u->c->arena, path, &a->manifest, e) || !cli__manifest_load(u->c, &u->c->arena, &a->manifest, slice_of("", 0), &of_file, e))
		return false;
	a->app = of_file;
	snprintf(a->name, sizeof a->name, "%s", of_file->about.name.text);
	const char *folder = folder_of(&u->c->arena, of_file);
	if (!folder)
		return true;
	if (!ctl_state_open(folder, "default", a->name, &a->state, e))
		return false;
	if (!ctl_state_is_stopped(a->state))
		return lay_live_over(a, of_file, e);
	a->app = NULL;
	a->stopped = of_file;
	return true;
}

// ---- asked by ctl --------------------------------------------------------------------------------------------------------------------------

// With the memory that it lies in.
struct ctl_source {
	struct arena arena;
	struct cli_manifest manifest;
};

static void drop(struct ctl_source *s)
{
	if (!s)
		return;
	arena_release(&s->arena);
	mem_free(s);
}

static struct ctl_source *source_new(void)
{
	struct ctl_source *s = mem_zalloc(sizeof *s);
	if (s)
		arena_init(&s->arena, SOURCE_MEMORY);
	return s;
}

static bool read(void *user, const char *path, struct ctl_source **ret, struct err *e)
{
	const struct up_app *of = user;
	struct ctl_source *s = source_new();
	struct slice copy;
	bool ok = (s && slice_dup(&s->arena, slice_str(path ? path : of->manifest.path), &copy)) || err_nomem(e);
	if (ok && cli__manifest_read(&s->arena, (const char *)copy.ptr, &s->manifest, e)) {
		*ret = s;
		return true;
	}
	drop(s);
	return false;
}

// A file of the app's name for it in that folder.
static bool put_there(struct ctl_source *s, const struct up_app *of, struct slice folder)
{
	const char *slash = strrchr(of->manifest.path, '/');
	struct slice path, root;
	struct buf b = {0};
	buf_put_slice(&b, folder);
	buf_put_str(&b, slash ? slash + 1 : of->manifest.path);
	bool ok = !b.failed && slice_dup(&s->arena, buf_view(&b), &path) && slice_dup(&s->arena, folder, &root);
	buf_release(&b);
	if (ok) {
		s->manifest.path = (const char *)path.ptr;
		s->manifest.root = (const char *)root.ptr;
	}
	return ok;
}

// Where the app's own is.
static bool put_here(struct ctl_source *s, const struct up_app *of)
{
	struct slice path, root = {0};
	const char *known = of->manifest.root;
	if (!slice_dup(&s->arena, slice_str(of->manifest.path), &path) || (known && !slice_dup(&s->arena, slice_str(known), &root)))
		return false;
	s->manifest.path = (const char *)path.ptr;
	s->manifest.root = known ? (const char *)root.ptr : NULL;
	return true;
}

static bool written(void *user, struct slice text, struct slice folder, struct ctl_source **ret, struct err *e)
{
	const struct up_app *of = user;
	struct ctl_source *s = source_new();
	const char *root = of->manifest.root;
	bool here = !folder.len || (root && slice_eq_str(folder, root));
	if (s && slice_dup(&s->arena, text, &s->manifest.text) && (here ? put_here(s, of) : put_there(s, of, folder))) {
		s->manifest.is_written = true;
		*ret = s;
		return true;
	}
	drop(s);
	return err_nomem(e);
}

static void take(void *user, struct ctl_source *s)
{
	struct up_app *of = user;
	drop(of->source);
	of->source = s;
	of->manifest = s->manifest;
}

static void left(void *user)
{
	struct up_app *of = user;
	ctl_state_leave(of->state, !is_named());
	of->state = NULL;
}

// `left` has closed its state.
static void forget(void *user)
{
	struct up_app *of = user, **at = &of->up->came;
	while (*at != of)
		at = &(*at)->next;
	*at = of->next;
	drop(of->source);
	mem_free(of);
}

// What was in force once and is laid out again knows no secrets: those whose only value is a manifest's default have that of the app's manifest now.
static bool load_written(const struct up_app *of, struct arena *a, struct cli_manifest m, struct slice live, struct app **ret, struct err *e)
{
	struct arena scratch;
	struct app *now;
	struct err why = {0};
	arena_init(&scratch, MODEL_MEMORY);
	if (!of->manifest.is_written && cli__manifest_load(of->up->c, &scratch, &of->manifest, slice_of("", 0), &now, &why))
		m.secrets_of = now;
	bool ok = cli__manifest_load(of->up->c, a, &m, live, ret, e);
	arena_release(&scratch);
	return ok;
}

static bool load(void *user, struct arena *a, const struct ctl_source *s, struct slice live, const struct app **ret, struct err *e)
{
	const struct up_app *of = user;
	const struct cli_manifest *m = s ? &s->manifest : &of->manifest;
	struct app *app;
	if (!(m->is_written ? load_written(of, a, *m, live, &app, e) : cli__manifest_load(of->up->c, a, m, live, &app, e)))
		return false;
	if (strcmp(app->about.name.text, of->name) != 0) {
		err_set(e, ERR_USAGE, "this is the manifest of app %s, not of %s", app->about.name.text, of->name);
		return err_note(e, "%s", app->path);
	}
	*ret = app;
	return cli__up_tls(of->up, app, e);
}

static struct link *find_link(void *user, const char *name)
{
	const struct up_app *of = user;
	struct up_link *l = cli__up_link_find(of->up, of->name, name);
	return l ? l->link : NULL;
}

static bool link_facts(void *user, const char *name, struct link_facts *ret)
{
	const struct up_app *of = user;
	return of->up->host && link_tell_of(of->up->host, slice_str(of->name), slice_str(name), ret);
}

static const struct ctl_app_ops ops = {.read = read,
	.written = written,
	.take = take,
	.drop = drop,
	.left = left,
	.forget = forget,
	.load = load,
	.link = find_link,
	.link_facts = link_facts,
	.prepare = cli__up_prepare,
	.commit = cli__up_commit,
	.abandon = cli__up_abandon};

static struct ctl_app_config config_of(struct up_app *a)
{
	return (struct ctl_app_config){.name = a->name, .app = a->app, .state = a->state, .ops = &ops, .user = a};
}

// Before they are loaded: what is kept of them later must be the same.
static const struct sys_stat *look_at_files(struct up *u, const struct app *app)
{
	struct sys_stat *list = ARENA_ARRAY(&u->c->arena, struct sys_stat, app->components.n + 1);
	for (uint32_t i = 0; list && i < app->components.n; i++)
		ctl_file_look(app->components.list[i].path, &list[i]);
	return list;
}

struct ctl_app_config *cli__up_ctl(struct up *u)
{
	struct ctl_app_config *list = ARENA_ARRAY(&u->c->arena, struct ctl_app_config, u->of.len + 1);
	for (uint32_t i = 0; list && i < u->of.len; i++) {
		list[i] = config_of(u->of.ptr[i]);
		if (list[i].app && !(list[i].files = look_at_files(u, list[i].app)))
			return NULL;
	}
	return list;
}

// ---- one that comes ------------------------------------------------------------------------------------------------------------------------

static bool open_state(struct up_app *a, const struct app *app, struct err *e)
{
	struct arena scratch;
	arena_init(&scratch, SOURCE_MEMORY);
	const char *folder = folder_of(&scratch, app);
	bool ok = !folder || ctl_state_open(folder, "default", a->name, &a->state, e);
	arena_release(&scratch);
	return ok;
}

static bool come(struct up_app *a, struct slice name, const char *path, struct err *e)
{
	struct arena scratch;
	struct app *app;
	if (!read(a, path, &a->source, e))
		return false;
	a->manifest = a->source->manifest;
	arena_init(&scratch, MODEL_MEMORY);
	bool ok = cli__manifest_load(a->up->c, &scratch, &a->manifest, slice_of("", 0), &app, e);
	if (ok && !slice_eq_str(name, app->about.name.text))
		ok = err_set(e, ERR_USAGE, "'%s' is the manifest of app %s", path, app->about.name.text);
	if (ok)
		snprintf(a->name, sizeof a->name, "%s", app->about.name.text);
	ok = ok && open_state(a, app, e);
	arena_release(&scratch);
	return ok;
}

bool cli__up_add(void *user, struct slice name, const char *path, struct ctl_app_config *ret, struct err *e)
{
	struct up *u = user;
	struct up_app *a = mem_zalloc(sizeof *a);
	if (!a)
		return err_nomem(e);
	a->up = u;
	if (!come(a, name, path, e)) {
		drop(a->source);
		mem_free(a);
		return false;
	}
	a->next = u->came;
	u->came = a;
	*ret = config_of(a);
	return true;
}

void cli__up_close(struct up *u)
{
	cli__up_listeners_release(u);
	for (struct up_quota *q; (q = u->quotas) != NULL;) {
		u->quotas = q->next;
		mem_free(q);
	}
	for (uint32_t i = 0; i < u->of.len; i++) {
		ctl_state_close(u->of.ptr[i]->state);
		drop(u->of.ptr[i]->source);
	}
	for (struct up_app *a = u->came, *next; a; a = next) {
		next = a->next;
		ctl_state_close(a->state);
		drop(a->source);
		mem_free(a);
	}
}
