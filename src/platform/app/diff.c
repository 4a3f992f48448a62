// What differs between two models: both are made flat, a line a value, and the lines compared by their path.
#include "app_int.h"

struct line {
	struct slice path;      // "component\napi\nlimits.cpu"; of the item itself without a key
	enum app_part part;
	const char *name, *key;  // key NULL: the item is there
	const char *shown;       // as a manifest has it
	const char *real;        // what is compared
	const char *whole;       // of paths: what is told where `shown` says nothing of what differs; NULL: nothing more
};
struct flat {
	struct arena *arena;
	struct err *e;
	const char *root;
	enum app_part part;
	const char *name;
	VEC(struct line)
	lines;
};

static const char *keep(struct flat *f, struct buf *b)
{
	struct slice s = {0};
	bool ok = !b->failed && slice_dup(f->arena, buf_view(b), &s);
	buf_release(b);
	if (!ok)
		err_nomem(f->e);
	return (const char *)s.ptr;
}

static bool add(struct flat *f, const char *key, const char *shown, const char *real)
{
	struct buf b = {0};
	struct line *l = VEC_ADD(f->arena, &f->lines, UINT32_MAX);
	buf_printf(&b, "%d\n%s\n%s", (int)f->part, f->name ? f->name : "", key ? key : "");
	const char *path = keep(f, &b);
	if (!l || !path)
		return err_nomem(f->e);
	*l = (struct line){slice_str(path), f->part, f->name, key, shown, real, NULL};
	return shown && real;
}

static const char *join(struct flat *f, const char *above, const char *key)
{
	struct buf b = {0};
	buf_printf(&b, "%s%s%s", above ? above : "", above ? "." : "", key);
	return keep(f, &b);
}

static bool add_text(struct flat *f, const char *key, const struct app_text *t)
{
	struct app__key k = {.type = APP__TEXT};
	struct buf b = {0};
	if (t->is_secret || t->text == t->raw)
		app__put_value(&b, &k, t, NULL);
	else
		toml_put_string(&b, slice_str(t->text));
	return key && add(f, key, keep(f, &b), t->text);
}

static bool add_table(struct flat *f, enum app__table table, const char *above, const void *from);

static void put_path(const struct flat *f, struct buf *b, const struct app_text *t)
{
	buf_printf(b, "%s%s", t->text[0] == '/' ? "" : f->root, t->text);
}

static bool add_path(struct flat *f, const char *key, const struct app_text *t)
{
	struct buf real = {0}, whole = {0};
	if (!add_text(f, key, t))
		return false;
	struct line *l = &f->lines.ptr[f->lines.len - 1];
	put_path(f, &real, t);
	l->real = keep(f, &real);
	if (l->real && !t->is_secret) {
		toml_put_string(&whole, slice_str(l->real));
		l->whole = keep(f, &whole);
	}
	return l->real != NULL;
}

// Texts of an array are compared as they are filled in.
static const char *real_of(struct flat *f, const struct app__key *k, const void *field)
{
	struct buf b = {0};
	const struct app_texts *texts = field;
	app__put_value(&b, k, field, NULL);
	for (uint32_t i = 0; k->type == APP__TEXTS && i < texts->n; i++)
		buf_printf(&b, "\n%s", texts->list[i].text);
	for (uint32_t i = 0; k->type == APP__ARRAY && k->of == APP__file && i < ((const struct app__list *)field)->n; i++) {
		const struct app_file *file = (const struct app_file *)((const struct app__list *)field)->list + i;
		buf_put_byte(&b, '\n');
		put_path(f, &b, &file->host);
		buf_printf(&b, "\n%s", file->guest.text);
	}
	return keep(f, &b);
}

// Of the line that was added.
static bool tell_folders(struct flat *f, const struct app__list *files)
{
	struct buf b = {0}, path = {0};
	const struct app_file *list = files->list;
	for (uint32_t i = 0; i < files->n; i++)
		if (list[i].host.is_secret)
			return true;
	for (uint32_t i = 0; i < files->n; i++) {
		buf_clear(&path);
		put_path(f, &path, &list[i].host);
		buf_put_str(&b, i ? ", " : "[");
		toml_put_string(&b, buf_view(&path));
	}
	buf_put_byte(&b, ']');
	bool ok = !path.failed;
	buf_release(&path);
	const char *whole = keep(f, &b);
	f->lines.ptr[f->lines.len - 1].whole = whole;
	return ok && whole;
}

static bool add_key(struct flat *f, const struct app__key *k, const char *above, const void *field)
{
	const char *key = join(f, above, k->name);
	const struct app_pairs *pairs = field;
	const struct app_limits *limits = field;
	struct buf b = {0};
	if (!key)
		return false;
	switch ((enum app__type)k->type) {
	case APP__TEXT:
		return app__is_path(k) ? add_path(f, key, field) : add_text(f, key, field);
	case APP__TABLE:
		return add_table(f, k->of, key, field);
	case APP__PAIRS:
		for (uint32_t i = 0; i < pairs->n; i++)
			if (!add_text(f, join(f, key, pairs->list[i].name), &pairs->list[i].value))
				return false;
		return true;
	case APP__LIMITS_OF:
		for (uint32_t i = 0; i < limits->n; i++) {
			struct buf one = {0};
			app__put_limit(&one, &limits->list[i]);
			const char *name = join(f, key, app__limit_row(limits->list[i].kind)->flag), *shown = keep(f, &one);
			if (!name || !shown || !add(f, name, shown, shown))
				return false;
		}
		return true;
	default:
		app__put_value(&b, k, field, NULL);
		const char *shown = keep(f, &b), *real = real_of(f, k, field);
		if (!shown || !real || !add(f, key, shown, real))
			return false;
		return k->type != APP__ARRAY || k->of != APP__file || tell_folders(f, field);
	}
}

static bool add_table(struct flat *f, enum app__table table, const char *above, const void *from)
{
	struct app__rows r = app__rows(table);
	for (uint32_t i = 0; i < r.n; i++) {
		const void *field = (const char *)from + r.keys[i].offset;
		if (app__is_given(&r.keys[i], field) && !add_key(f, &r.keys[i], above, field))
			return false;
	}
	return true;
}

static bool add_items(struct flat *f, enum app_part part, enum app__table table, const void *list, uint32_t n)
{
	f->part = part;
	for (uint32_t i = 0; i < n; i++) {
		const struct app_item *item = (const void *)((const char *)list + app__rows(table).size * i);
		f->name = item->name;
		if (!add(f, NULL, "", "") || !add_table(f, table, NULL, item))
			return false;
	}
	return true;
}

// A variable is its value in force; of a secret only whether it is another one.
static bool add_variables(struct flat *f, const struct app *app)
{
	f->part = APP_PART_VARIABLE;
	for (uint32_t i = 0; i < app->variables.n; i++) {
		const struct app_variable *v = &app->variables.list[i];
		struct app_text value = {.text = v->value, .raw = v->secret.value ? "(secret)" : v->value, .is_secret = v->secret.value};
		f->name = v->item.name;
		if (!add(f, NULL, "", "") || (v->value && !add_text(f, "value", &value)) || !add(f, "secret", v->secret.value ? "true" : "false", v->secret.value ? "true" : "false"))
			return false;
	}
	return true;
}

static bool flatten(struct flat *f, const struct app *app)
{
	const struct app_triggers *t = &app->triggers;
	f->part = APP_PART_APP;
	if (!add_table(f, APP__about, NULL, &app->about))
		return false;
	f->part = APP_PART_HTTP;
	if (!add_table(f, APP__http, NULL, &app->http))
		return false;
	return add_variables(f, app) && add_items(f, APP_PART_COMPONENT, APP__component, app->components.list, app->components.n) &&
		add_items(f, APP_PART_LINK, APP__link, app->links.list, app->links.n) && add_items(f, APP_PART_HTTP_TRIGGER, APP__route, t->http.list, t->http.n) &&
		add_items(f, APP_PART_CRON, APP__cron, t->cron.list, t->cron.n) && add_items(f, APP_PART_START, APP__start, t->start.list, t->start.n) &&
		add_items(f, APP_PART_COMMAND, APP__command, t->command.list, t->command.n);
}

static bool index_lines(const struct flat *f, struct map *ret, struct err *e)
{
	bool nomem = false;
	map_init(ret, f->arena);
	for (uint32_t i = 0; i < f->lines.len; i++)
		if (!map_insert(ret, f->lines.ptr[i].path, i, &nomem) && nomem)
			return err_nomem(e);
	return true;
}

static struct slice item_path(const struct line *l)
{
	return slice_sub(l->path, 0, l->path.len - (l->key ? strlen(l->key) : 0));
}

struct changes {
	VEC(struct app_change)
	list;
};

// Lines of `of` that `other` hasn't, or, looked at from the new one, has with another value. Of an item that is only in one, one change.
static bool compare(struct changes *c, const struct flat *of, const struct flat *other, const struct map *index, bool of_is_new, struct err *e)
{
	for (uint32_t i = 0; i < of->lines.len; i++) {
		const struct line *l = &of->lines.ptr[i];
		uintptr_t at;
		struct app_change x = {l->part, APP_CHANGED, l->name, l->key, NULL, NULL};
		if (map_get(index, l->path, &at)) {
			if (!of_is_new || strcmp(other->lines.ptr[at].real, l->real) == 0)
				continue;
			x.before = other->lines.ptr[at].shown;
			x.after = l->shown;
			if (l->whole && other->lines.ptr[at].whole && strcmp(x.before, x.after) == 0) {
				x.before = other->lines.ptr[at].whole;
				x.after = l->whole;
			}
		} else {
			if (l->key && l->name && !map_has(index, item_path(l)))
				continue;  // told with the item
			x.how = l->key ? APP_CHANGED : of_is_new ? APP_ADDED
													 : APP_REMOVED;
			x.before = of_is_new || !l->key ? NULL : l->shown;
			x.after = of_is_new && l->key ? l->shown : NULL;
		}
		if (!VEC_PUSH(of->arena, &c->list, x, UINT32_MAX))
			return err_nomem(e);
	}
	return true;
}

bool app_diff(struct arena *a, const struct app *old, const struct app *new, const struct app_change **ret, uint32_t *ret_n, struct err *e)
{
	struct flat before = {.arena = a, .e = e, .root = old->root}, after = {.arena = a, .e = e, .root = new->root};
	struct map in_before, in_after;
	struct changes c = {0};
	if (!flatten(&before, old) || !flatten(&after, new))
		return err_nomem(e);
	if (!index_lines(&before, &in_before, e) || !index_lines(&after, &in_after, e))
		return false;
	if (!compare(&c, &before, &after, &in_after, false, e) || !compare(&c, &after, &before, &in_before, true, e))
		return false;
	*ret = c.list.ptr;
	*ret_n = c.list.len;
	return true;
}
