// Live changes: a manifest's text that is laid over the file (app_inputs.live). Here texts of that kind are put together, and it is found what of them a file
// that was edited since says otherwise. Nothing here knows keys.def: a change that no manifest could have is found when it is loaded.
#include "toml.h"

// ---- written -------------------------------------------------------------------------------------------------------------------------------

struct path {
	const struct path *above;
	struct slice key;
};

static void put_path(struct buf *b, const struct path *p)
{
	if (p->above) {
		put_path(b, p->above);
		buf_put_byte(b, '.');
	}
	toml_put_key(b, p->key);
}

static void put_inline(struct buf *b, const struct toml *t)
{
	bool is_table = t->kind == TOML_TABLE;
	if (t->kind == TOML_STRING) {
		toml_put_string(b, t->text);
	} else if (t->kind == TOML_BOOL) {
		buf_put_str(b, t->truth ? "true" : "false");
	} else if (!is_table && t->kind != TOML_ARRAY) {
		buf_put_slice(b, t->text);
	} else {
		buf_put_str(b, is_table ? "{ " : "[");
		for (const struct toml *x = t->first; x; x = x->next) {
			if (is_table) {
				toml_put_key(b, x->key);
				buf_put_str(b, " = ");
			}
			put_inline(b, x);
			buf_put_str(b, x->next ? ", " : "");
		}
		buf_put_str(b, is_table ? " }" : "]");
	}
}

// A table of [headers], as deep as it goes: values before tables.
static void put_table(struct buf *b, const struct toml *t, const struct path *path)
{
	bool any = false;
	for (const struct toml *x = t->first; x; x = x->next) {
		if (x->kind == TOML_TABLE)
			continue;
		if (!any && path) {
			buf_put_byte(b, '[');
			put_path(b, path);
			buf_put_str(b, "]\n");
		}
		any = true;
		toml_put_key(b, x->key);
		buf_put_str(b, " = ");
		put_inline(b, x);
		buf_put_byte(b, '\n');
	}
	for (const struct toml *x = t->first; x; x = x->next) {
		struct path below = {path, x->key};
		if (x->kind == TOML_TABLE)
			put_table(b, x, &below);
	}
}

static bool print(struct arena *a, const struct toml *root, struct slice *ret, struct err *e)
{
	struct buf b = {.max = APP_MAX_SOURCE};
	put_table(&b, root, NULL);
	bool ok = (!b.failed || err_set(e, ERR_LIMIT, "live changes have at most %u bytes", APP_MAX_SOURCE)) && (slice_dup(a, buf_view(&b), ret) || err_nomem(e));
	buf_release(&b);
	return ok;
}

static bool parse(struct arena *a, struct slice text, struct toml **ret, struct err *e)
{
	return toml_parse(a, text, APP_IN_LIVE, "live changes", ret, e);
}

// ---- put together ----------------------------------------------------------------------------------------------------------------------------

static bool lay_over(struct arena *a, struct toml *base, const struct toml *over)
{
	for (const struct toml *x = over->first; x; x = x->next) {
		struct toml *b = toml_get(base, x->key);
		if (b && b->kind == TOML_TABLE && x->kind == TOML_TABLE) {
			if (!lay_over(a, b, x))
				return false;
			continue;
		}
		struct toml *copy = b ? b : ARENA_NEW(a, struct toml);
		if (!copy)
			return false;
		struct toml *next = copy->next;
		*copy = *x;
		copy->next = b ? next : NULL;
		if (!b && !toml_append(a, base, copy))
			return false;
	}
	return true;
}

bool app_live_add(struct arena *a, struct slice live, struct slice change, struct slice *ret, struct err *e)
{
	struct toml *base, *over;
	return parse(a, live, &base, e) && parse(a, change, &over, e) && (lay_over(a, base, over) || err_nomem(e)) && print(a, base, ret, e);
}

static struct toml *find(const struct toml *root, struct slice kind, struct slice name)
{
	const struct toml *all = toml_get(root, kind);
	return all && all->kind == TOML_TABLE ? toml_get(all, name) : NULL;
}

// "[kind.name]" with what is in `from`, alone in a document.
static struct toml *alone(struct arena *a, struct slice kind, const struct toml *from)
{
	struct toml *root = ARENA_NEW(a, struct toml), *all = ARENA_NEW(a, struct toml), *one = ARENA_NEW(a, struct toml);
	if (!root || !all || !one)
		return NULL;
	root->kind = all->kind = TOML_TABLE;
	all->key = kind;
	*one = *from;
	return toml_append(a, all, one) && toml_append(a, root, all) ? root : NULL;
}

bool app_live_take(struct arena *a, struct slice live, struct slice then, const char *kind, const char *name, struct slice *ret, struct err *e)
{
	struct toml *base, *old;
	if (!parse(a, live, &base, e) || !parse(a, then, &old, e))
		return false;
	struct toml *mine = find(base, slice_str(kind), slice_str(name)), *theirs = find(old, slice_str(kind), slice_str(name));
	if (mine) {
		mine->kind = TOML_TABLE;  // an empty one isn't written
		mine->first = mine->last = NULL;
		mine->by_key = NULL;
		mine->n = 0;
	}
	if (theirs) {
		struct toml *over = alone(a, slice_str(kind), theirs);
		if (!over || !lay_over(a, base, over))
			return err_nomem(e);
	}
	return print(a, base, ret, e);
}

// ---- the way from one to another -----------------------------------------------------------------------------------------------------------------

static bool say_same(const struct toml *a, const struct toml *b, bool *ret)
{
	struct buf x = {.max = APP_MAX_SOURCE}, y = {.max = APP_MAX_SOURCE};
	put_inline(&x, a);
	put_inline(&y, b);
	bool ok = !x.failed && !y.failed;
	*ret = ok && slice_eq(buf_view(&x), buf_view(&y));
	buf_release(&x);
	buf_release(&y);
	return ok;
}

static struct toml *table_new(struct arena *a, struct slice key)
{
	struct toml *t = ARENA_NEW(a, struct toml);
	if (t)
		*t = (struct toml){.kind = TOML_TABLE, .key = key};
	return t;
}

static bool put_copy(struct arena *a, struct toml *to, const struct toml *from)
{
	struct toml *copy = ARENA_NEW(a, struct toml);
	if (!copy)
		return false;
	*copy = *from;
	copy->next = NULL;
	return toml_append(a, to, copy);
}

static bool put_unset(struct arena *a, struct toml *to, struct slice key)
{
	struct toml *t = ARENA_NEW(a, struct toml);
	if (!t)
		return false;
	*t = (struct toml){.kind = TOML_STRING, .key = key, .text = SLICE_LIT("unset")};
	return toml_append(a, to, t);
}

// Into `to`: what makes `base` say what `wanted` does. Depth: APP_MAX_DEPTH, as both were parsed.
static bool put_between(struct arena *a, struct toml *to, const struct toml *base, const struct toml *wanted)
{
	for (const struct toml *w = wanted->first; w; w = w->next) {
		const struct toml *b = toml_get(base, w->key);
		bool same = false;
		if (b && b->kind == TOML_TABLE && w->kind == TOML_TABLE) {
			struct toml *below = table_new(a, w->key);
			if (!below || !put_between(a, below, b, w) || (below->first && !toml_append(a, to, below)))
				return false;
		} else if ((b && !say_same(b, w, &same)) || (!same && !put_copy(a, to, w))) {
			return false;
		}
	}
	for (const struct toml *b = base->first; b; b = b->next)
		if (!toml_get(wanted, b->key) && !put_unset(a, to, b->key))
			return false;
	return true;
}

bool app_live_between(struct arena *a, struct slice base, struct slice wanted, struct slice *ret, struct err *e)
{
	struct toml *from, *to, *over = table_new(a, slice_of("", 0));
	if (!parse(a, base, &from, e) || !parse(a, wanted, &to, e))
		return false;
	return ((over && put_between(a, over, from, to)) || err_nomem(e)) && print(a, over, ret, e);
}

// ---- a file that was edited -------------------------------------------------------------------------------------------------------------------

static bool put_one(struct arena *a, const struct toml *root, struct slice kind, struct slice name, const char **ret)
{
	struct buf b = {.max = APP_MAX_SOURCE};
	const struct toml *t = find(root, kind, name);
	struct slice text;
	if (t)
		put_inline(&b, t);
	else
		buf_put_str(&b, "nothing");
	bool ok = !b.failed && slice_dup(a, buf_view(&b), &text);
	buf_release(&b);
	*ret = ok ? (const char *)text.ptr : NULL;
	return ok;
}

static bool put_table_name(struct arena *a, struct slice kind, struct slice name, const char **ret)
{
	struct buf b = {0};
	struct slice text;
	buf_printf(&b, "%.*s.%.*s", SLICE_ARGS(kind), SLICE_ARGS(name));
	bool ok = !b.failed && slice_dup(a, buf_view(&b), &text);
	buf_release(&b);
	*ret = ok ? (const char *)text.ptr : NULL;
	return ok;
}

static bool is_edited(struct arena *a, struct toml *const root[3], struct slice kind, struct slice name, struct app_edit *ret, bool *ret_is)
{
	const char *before;
	if (!put_one(a, root[0], kind, name, &before) || !put_one(a, root[1], kind, name, &ret->now) || !put_one(a, root[2], kind, name, &ret->in_force))
		return false;
	*ret_is = strcmp(before, ret->now) != 0 && strcmp(ret->now, ret->in_force) != 0;
	return true;
}

bool app_live_edited(struct arena *a, struct slice live, struct slice before, struct slice now, struct slice in_force, struct app_edit *ret, struct err *e)
{
	struct toml *changes, *root[3];
	bool is = false;
	*ret = (struct app_edit){0};
	if (!parse(a, live, &changes, e) || !parse(a, before, &root[0], e) || !parse(a, now, &root[1], e) || !parse(a, in_force, &root[2], e))
		return false;
	for (const struct toml *kind = changes->first; kind; kind = kind->next)
		for (const struct toml *x = kind->kind == TOML_TABLE ? kind->first : NULL; x; x = x->next) {
			if (!is_edited(a, root, kind->key, x->key, ret, &is))
				return err_nomem(e);
			if (!is)
				continue;
			return put_table_name(a, kind->key, x->key, &ret->table) || err_nomem(e);
		}
	return true;
}

// What [kind.name] of `before` says with what `changes` says of it.
static bool put_changed(struct arena *a, const struct toml *before, const struct toml *changes, struct slice kind, struct slice name, const char **ret)
{
	struct toml *old = find(before, kind, name);
	return lay_over(a, old, find(changes, kind, name)) && put_one(a, before, kind, name, ret);
}

// A link that leads elsewhere since: what its type takes is there.
static bool is_whole(const struct toml *t)
{
	return toml_get_str(t, "type");
}

bool app_live_lost(struct arena *a, struct slice live, struct slice before, struct slice now, struct app_edit *ret, struct err *e)
{
	struct toml *changes, *old, *new;
	*ret = (struct app_edit){0};
	if (!parse(a, live, &changes, e) || !parse(a, before, &old, e) || !parse(a, now, &new, e))
		return false;
	for (const struct toml *kind = changes->first; kind; kind = kind->next)
		for (const struct toml *x = kind->kind == TOML_TABLE ? kind->first : NULL; x; x = x->next) {
			const struct toml *had = find(old, kind->key, x->key);
			if (x->kind != TOML_TABLE || is_whole(x) || !had || had->kind != TOML_TABLE || find(new, kind->key, x->key))
				continue;
			struct toml *rest = table_new(a, x->key);
			if (!rest || !put_changed(a, old, changes, kind->key, x->key, &ret->in_force) || !put_between(a, rest, x, had))
				return err_nomem(e);
			if (!rest->first)
				continue;  // they say all of it
			ret->now = "nothing";
			return put_table_name(a, kind->key, x->key, &ret->table) || err_nomem(e);
		}
	return true;
}

bool app_live_keep(struct arena *a, struct slice live, struct slice before, const char *kind, const char *name, struct slice *ret, struct err *e)
{
	struct slice whole;
	return app_live_take(a, slice_of("", 0), before, kind, name, &whole, e) && app_live_add(a, whole, live, ret, e);
}
