// app_load: from the text to the model, as a table of contents.
#include "app_int.h"

// ---- what is laid over the file ------------------------------------------------------------------------------------------------------------------

// A profile has no profiles, and the format is the file's.
static bool check_over(struct app__load *l, const struct toml *over, const struct app__path *path)
{
	static const char *const not_here[] = {"tenon", "profile"};
	struct app *scratch = ARENA_NEW(l->arena, struct app);
	if (!scratch)
		return err_nomem(l->e);
	for (size_t i = 0; over->kind == TOML_TABLE && i < ARRAY_LEN(not_here); i++) {
		const struct toml *t = toml_get_str(over, not_here[i]);
		if (t)
			return app__fail(l, t->key_at, "'%s' is the file's, not a profile's", not_here[i]);
	}
	l->is_partial = true;
	bool ok = app__read_table(l, APP__root, over, path, scratch);
	l->is_partial = false;
	return ok;
}

static bool is_unset(const struct toml *t)
{
	return t && t->kind == TOML_STRING && slice_eq_str(t->text, "unset");
}

// Tables by name, of which each would have all that it needs if the profile were taken: of its own, or of the file's table that it is laid over (merge.c).
static bool check_required(struct app__load *l, const struct app__key *of, struct toml *base, const struct toml *over, const struct app__path *path)
{
	struct app__rows rows = app__rows(of->of);
	struct app__path inner = {path, of->name};
	for (const struct toml *x = over->first; x; x = x->next) {
		struct toml *b = base ? toml_get(base, x->key) : NULL;
		const char *name = app__copy(l, x->key);
		struct app__path one = {&inner, name};
		if (!name)
			return false;
		if (is_unset(x) && !b)
			return app__fail(l, x->at, "there is no '%s' to be unset", name);
		for (uint32_t i = 0; i < rows.n && x->kind == TOML_TABLE; i++) {
			const struct app__key *k = &rows.keys[i];
			const struct toml *v = toml_get_str(x, k->name);
			bool below = b && b->kind == TOML_TABLE && !app__replaces_whole(of->of, x) && toml_get_str(b, k->name);
			if (k->flags & APP__REQUIRED && (is_unset(v) || !(v || below)))
				return app__missing(l, is_unset(v) ? v->at : x->at, k, &one);
		}
	}
	return true;
}

static bool check_profile(struct app__load *l, const struct toml *root, const struct toml *over, const struct app__path *path)
{
	struct app__rows rows = app__rows(APP__root);
	if (!check_over(l, over, path))
		return false;
	for (uint32_t i = 0; i < rows.n; i++) {
		const struct app__key *k = &rows.keys[i];
		const struct toml *x = k->type == APP__TABLES ? toml_get_str(over, k->name) : NULL;
		if (x && x->kind == TOML_TABLE && !check_required(l, k, toml_get_str(root, k->name), x, path))
			return false;
	}
	return true;
}

static void mark_places(struct toml *t, enum app_in in)
{
	t->at.in = t->key_at.in = in;
	for (struct toml *x = t->first; x; x = x->next)
		mark_places(x, in);
}

static const char *profile_at(const void *list, uint32_t i)
{
	return ((const struct app_text *)list)[i].text;
}

static bool unknown_profile(struct app__load *l, const struct app_texts *profiles)
{
	err_set(l->e, ERR_USAGE, "there is no profile '%s'", l->in->profile);
	if (profiles->n)
		return err_hint(l->e, "the nearest one is '%s'", app__nearest(slice_str(l->in->profile), profile_at, profiles->list, profiles->n));
	return err_hint(l->e, "[profile.%s…] would make one", l->in->profile);
}

// Every profile is checked, and the one that was asked for laid over the rest.
static bool lay_profile_over(struct app__load *l, struct toml *root)
{
	struct toml *all = toml_get_str(root, "profile");
	struct app__path above = {NULL, "profile"};
	const struct app__key *k = app__key_find(APP__root, SLICE_LIT("profile"));
	if (all && !app__read_key(l, k, all, NULL, &l->app->profiles))
		return false;
	for (struct toml *x = all ? all->first : NULL; x; x = x->next) {
		const char *name = app__copy(l, x->key);
		struct app__path path = {&above, name};
		if (!name || !check_profile(l, root, x, &path))
			return false;
	}
	if (!l->in->profile)
		return true;
	struct toml *chosen = all ? toml_get_str(all, l->in->profile) : NULL;
	if (!chosen)
		return unknown_profile(l, &l->app->profiles);
	l->app->profile = app__copy(l, slice_str(l->in->profile));
	mark_places(chosen, APP_IN_PROFILE);
	return l->app->profile && app__merge(l, APP__root, root, chosen);
}

static bool lay_live_over(struct app__load *l, struct toml *root)
{
	struct toml *live;
	if (l->in->live.len == 0)
		return true;
	return toml_parse(l->arena, l->in->live, APP_IN_LIVE, "live changes", &live, l->e) && check_over(l, live, NULL) && app__merge(l, APP__root, root, live);
}

// ---- the model -----------------------------------------------------------------------------------------------------------------------------------

// Variables first: other texts have their values in them.
static bool read_model(struct app__load *l, struct toml *root)
{
	const struct app__key *k = app__key_find(APP__root, SLICE_LIT("variables"));
	const struct toml *variables = toml_get_str(root, "variables");
	if (variables && !app__read_key(l, k, variables, NULL, &l->app->variables))
		return false;
	l->done = k;
	return app__resolve(l) && app__read_table(l, APP__root, root, NULL, l->app);
}

static bool set_path(struct app__load *l, const char *path)
{
	const char *slash = strrchr(path, '/');
	l->app->path = app__copy(l, slice_str(path));
	l->app->folder = app__copy(l, slice_of(path, slash ? (size_t)(slash - path) + 1 : 0));
	l->app->root = l->in->root ? app__copy(l, slice_str(l->in->root)) : l->app->folder;
	return l->app->path && l->app->folder && l->app->root;
}

bool app_load(struct arena *a, struct slice source, const char *path, const struct app_inputs *in, struct app **ret, struct err *e)
{
	struct app__load l = {.arena = a, .in = in, .e = e, .app = ARENA_NEW(a, struct app)};
	struct toml *root;
	if (!l.app)
		return err_nomem(e);
	if (!set_path(&l, path) || !toml_parse(a, source, APP_IN_MANIFEST, path, &root, e))
		return false;
	if (app__is_spin(root) && !app__spin(&l, root, &root))
		return false;
	if (!lay_profile_over(&l, root) || !lay_live_over(&l, root) || !read_model(&l, root) || !app__check(&l))
		return false;
	*ret = l.app;
	return true;
}

bool app_name_of(struct arena *a, struct slice source, const char *path, const char **ret, struct err *e)
{
	const struct app_inputs none = {0};
	struct app__load l = {.arena = a, .in = &none, .e = e, .app = ARENA_NEW(a, struct app)};
	struct toml *root;
	struct slice name;
	if (!l.app)
		return err_nomem(e);
	if (!set_path(&l, path) || !toml_parse(a, source, APP_IN_MANIFEST, path, &root, e))
		return false;
	if (app__is_spin(root) && !app__spin(&l, root, &root))
		return false;
	const struct toml *about = toml_get_str(root, "app"), *t = about && about->kind == TOML_TABLE ? toml_get_str(about, "name") : NULL;
	if (!t || t->kind != TOML_STRING)
		return err_set(e, ERR_USAGE, "%s: [app] name is missing", path);
	if (!slice_dup(a, t->text, &name))
		return err_nomem(e);
	*ret = (const char *)name.ptr;
	return true;
}
