// The tree into the model, row by row of keys.def: one function a type. What must agree between values is checked by check.c.
#include "app_int.h"

static bool read_value(struct app__load *l, const struct app__key *k, const struct toml *v, const struct app__path *path, void *field);

// ---- names -----------------------------------------------------------------------------------------------------------------------------------

// "component.api.instances.max", for errors.
static const char *full_name(struct app__load *l, const struct app__path *path, const char *key)
{
	const char *names[APP_MAX_DEPTH + 2];
	uint32_t n = 0;
	struct buf b = {.max = 4096};
	for (const struct app__path *p = path; p && n < ARRAY_LEN(names); p = p->above)
		names[n++] = p->name;
	while (n > 0)
		buf_printf(&b, "%s.", names[--n]);
	buf_put_str(&b, key);
	char *text = app__copy(l, buf_view(&b));
	buf_release(&b);
	return text ? text : key;
}

static bool wrong_kind(struct app__load *l, const struct app__key *k, const struct app__path *path, const struct toml *v, const char *want)
{
	return app__fail(l, v->at, "%s is %s, not %s", full_name(l, path, k->name), want, toml_kind_name(v));
}

static const char *key_at(const void *list, uint32_t i)
{
	return ((const struct app__key *)list)[i].name;
}

bool app__hint_keys(struct app__load *l, enum app__table table, struct slice name)
{
	struct app__rows r = app__rows(table);
	struct buf b = {.max = sizeof l->e->hint};
	for (uint32_t i = 0; i < r.n; i++)
		buf_printf(&b, "%s%s", i ? ", " : "", r.keys[i].name);
	if (l->e)
		err_hint(l->e, "the nearest one is '%s'; known here: %.*s", app__nearest(name, key_at, r.keys, r.n), SLICE_ARGS(buf_view(&b)));
	buf_release(&b);
	return false;
}

// ---- texts -----------------------------------------------------------------------------------------------------------------------------------

// What is shown, in errors or in what runs, has no secrets in it, unless they are exposed. Of a URL the password is not shown.
static bool check_secrets(struct app__load *l, unsigned flags, const char *name, const struct app_text *t)
{
	size_t from = strlen(t->raw), to = from;
	if (!t->is_secret || flags & APP__SECRET || l->app->format == APP_SPIN)  // a spin.toml can't say that it may be
		return true;
	if (flags & APP__URL)
		(void)app__url_password(t->raw, &from, &to);
	const char *before = app__copy(l, slice_of(t->raw, from));
	if (!before)
		return false;
	const char *variable = app__hidden_variable(l, before);
	variable = variable ? variable : app__hidden_variable(l, t->raw + to);
	if (!variable)
		return true;
	app__fail(l, t->at, "%s has the secret '%s' in it, and is shown", name, variable);
	return l->e ? err_hint(l->e, flags & APP__URL ? "the password of a url isn't; or say expose = true at the variable" : "say expose = true at the variable if it may be") : false;
}

// text NULL: what a spin.toml says there is nothing that could be granted.
static bool read_text(struct app__load *l, unsigned flags, enum app__format f, const char *name, const struct toml *v, struct app_text *ret)
{
	if (v->kind != TOML_STRING) {
		app__fail(l, v->at, "%s is %s, not %s", name, app__format_what(f), toml_kind_name(v));
		return l->e ? err_hint(l->e, "text stands in quotes") : false;
	}
	if (slice_find(v->text, 0) != v->text.len)
		return app__fail(l, v->at, "%s has a zero byte in it", name);
	const char *raw = app__copy(l, v->text);
	if (!raw)
		return false;
	*ret = (struct app_text){.text = raw, .raw = raw, .at = v->at};
	bool is_spin_host = f == APP__FORMAT_network && l->app->format == APP_SPIN && v->at.in == APP_IN_MANIFEST;
	if (!app__fill_in(l, flags, ret) || !check_secrets(l, flags, name, ret) || (is_spin_host && !app__spin_host(l, ret)))
		return false;
	return !ret->text || (l->is_partial && flags & APP__TEMPLATE) || app__check_text(l, f, ret, name);
}

static bool read_texts(struct app__load *l, const struct app__key *k, const struct toml *v, const char *name, struct app_texts *ret)
{
	bool is_one = k->flags & APP__ONE && v->kind == TOML_STRING;
	if (v->kind != TOML_ARRAY && !is_one)
		return app__fail(l, v->at, "%s is an array of texts, not %s", name, toml_kind_name(v));
	uint32_t n = 0;
	struct app_text *list = ARENA_ARRAY(l->arena, struct app_text, is_one ? 1 : v->n);
	if (!list && (is_one || v->n))
		return err_nomem(l->e);
	for (const struct toml *x = is_one ? v : v->first; x; x = is_one ? NULL : x->next) {
		if (!read_text(l, k->flags, k->of, name, x, &list[n]))
			return false;
		n += list[n].text != NULL;
	}
	*ret = (struct app_texts){list, n, v->at, true};
	return true;
}

// Names on the left, of the format's kind (links: a name of a link on the right).
static bool read_pairs(struct app__load *l, const struct app__key *k, const struct toml *v, const char *name, struct app_pairs *ret)
{
	if (v->kind != TOML_TABLE)
		return app__fail(l, v->at, "%s is a table of texts, not %s", name, toml_kind_name(v));
	struct app_pair *list = ARENA_ARRAY(l->arena, struct app_pair, v->n);
	uint32_t n = 0;
	if (!list && v->n)
		return err_nomem(l->e);
	for (const struct toml *x = v->first; x; x = x->next) {
		struct app_pair *p = &list[n++];
		p->name = app__copy(l, x->key);
		p->at = x->key_at;
		const char *value_name = p->name ? app__format_text(l, "%s.%s", name, p->name) : NULL;
		if (!value_name)
			return false;
		if (slice_find(x->key, 0) != x->key.len)
			return app__fail(l, x->key_at, "%s has a zero byte in it", name);
		if (x->kind == TOML_TABLE && k->of == APP__FORMAT_link)
			return app__fail(l, x->key_at, "'%s' is the key of an import and stands in quotes where it has a dot", p->name);
		enum app__format f = k->of == APP__FORMAT_link ? APP__FORMAT_link : k->of == APP__FORMAT_header && x->text.len ? APP__FORMAT_line
																													   : APP__FORMAT_any;
		bool ok = (k->of == APP__FORMAT_link || app__check_name(l, k->of, p->name, name, x->key_at)) && read_text(l, k->flags, f, value_name, x, &p->value);
		if (!ok)
			return false;
	}
	*ret = (struct app_pairs){list, n, v->at, true};
	return true;
}

// ---- numbers ---------------------------------------------------------------------------------------------------------------------------------

static bool read_word(struct app__load *l, const struct app__key *k, const struct toml *v, const struct app__path *path, struct app_number *ret)
{
	if (v->kind != TOML_STRING)
		return wrong_kind(l, k, path, v, "a word");
	struct slice rest = slice_str(k->words);
	for (uint64_t i = 0;; i++) {
		struct slice word = slice_sub(rest, 0, slice_find(rest, '|'));
		if (slice_eq(word, v->text)) {
			*ret = (struct app_number){i, v->at, true};
			return true;
		}
		if (word.len == rest.len)
			break;
		rest = slice_sub(rest, word.len + 1, rest.len);
	}
	app__fail(l, v->at, "%s can't be '%.*s'", full_name(l, path, k->name), (int)min_u64(v->text.len, 64), (const char *)v->text.ptr);
	return l->e ? err_hint(l->e, "one of: %s", k->words) : false;
}

static bool read_count(struct app__load *l, const struct app__key *k, const struct toml *v, const struct app__path *path, struct app_number *ret)
{
	if (v->kind == TOML_STRING && slice_eq_str(v->text, "none") && k->flags & APP__NONE) {
		*ret = (struct app_number){0, v->at, true};
		return true;
	}
	if (v->kind != TOML_INTEGER)
		return wrong_kind(l, k, path, v, k->flags & APP__NONE ? "a whole number or \"none\"" : "a whole number");
	if (v->integer < 0 || (v->integer == 0 && !(k->flags & APP__ZERO))) {
		app__fail(l, v->at, "%s can't be %lld", full_name(l, path, k->name), (long long)v->integer);
		return k->flags & APP__NONE && l->e ? err_hint(l->e, "\"none\" means no limit") : false;
	}
	*ret = (struct app_number){(uint64_t)v->integer, v->at, true};
	return true;
}

static bool read_quantity(struct app__load *l, const char *name, char unit, bool allow_none, const struct toml *v, struct app_number *ret)
{
	const char *why;
	uint64_t value;
	if (app_quantity(v->kind == TOML_STRING ? v->text : SLICE_LIT(""), unit, allow_none, &value, &why)) {
		*ret = (struct app_number){value, v->at, true};
		return true;
	}
	app__fail(l, v->at, "%s can't be %s%.*s%s", name, v->kind == TOML_STRING ? "\"" : "", (int)min_u64(v->text.len, 64),
		v->text.len ? (const char *)v->text.ptr : "", v->kind == TOML_STRING ? "\"" : v->text.len ? ""
																								  : toml_kind_name(v));
	return l->e ? err_hint(l->e, "%s", why) : false;
}

// ---- limits ----------------------------------------------------------------------------------------------------------------------------------

static const char *limit_at(const void *list, uint32_t i)
{
	return app__limit_row(((const enum app_limit_kind *)list)[i])->flag;
}

static bool unknown_limit(struct app__load *l, enum app__whose whose, const char *name, const struct toml *v)
{
	enum app_limit_kind kind, fit[APP_LIMITS];
	uint32_t n = 0;
	bool known = app__limit_find(v->key, &kind);
	for (kind = 0; kind < APP_LIMITS; kind++)
		if (app__limit_fits(kind, whose))
			fit[n++] = kind;
	app__fail(l, v->key_at, "%s %.*s in %s", known ? "there is no limit" : "unknown limit", (int)min_u64(v->key.len, 64), (const char *)v->key.ptr, name);
	if (!known)
		return l->e ? err_hint(l->e, "the nearest one is '%s'", app__nearest(v->key, limit_at, fit, n)) : false;
	(void)app__limit_find(v->key, &kind);
	switch (app__limit_row(kind)->whose) {
	case APP__WHOSE_process:
		return l->e ? err_hint(l->e, "it is the process's: an option of tenon up") : false;
	case APP__WHOSE_listener:
		return l->e ? err_hint(l->e, "it is the listener's: [http] limits") : false;
	default:
		return l->e ? err_hint(l->e, "it is a component's: [component.NAME] limits") : false;
	}
}

static bool read_limit(struct app__load *l, enum app__whose whose, const char *name, const struct toml *v, struct app_limit *ret)
{
	struct app_number value = {0};
	uint64_t least, most;
	if (!app__limit_find(v->key, &ret->kind) || !app__limit_fits(ret->kind, whose))
		return unknown_limit(l, whose, name, v);
	const struct app__limit_row *row = app__limit_row(ret->kind);
	struct app__key k = {.name = row->flag, .flags = APP__NONE};
	struct app__path path = {NULL, name};
	bool ok = row->unit == 'n' ? read_count(l, &k, v, &path, &value) : read_quantity(l, app__format_text(l, "%s.%s", name, row->flag), row->unit, true, v, &value);
	if (!ok)
		return false;
	ret->value = value.value;
	ret->at = v->at;
	if (app__limit_in_range(ret->kind, ret->value, &least, &most))
		return true;
	return app__fail(l, v->at, "%s.%s is out of range: from %llu to %llu%s", name, row->flag, (unsigned long long)least, (unsigned long long)most,
		row->unit == 'b' ? " bytes" : "");
}

static bool read_limits(struct app__load *l, const struct app__key *k, const struct toml *v, const struct app__path *path, struct app_limits *ret)
{
	const char *name = full_name(l, path, k->name);
	if (v->kind != TOML_TABLE)
		return wrong_kind(l, k, path, v, "a table of limits");
	struct app_limit *list = ARENA_ARRAY(l->arena, struct app_limit, v->n), sorted[APP_LIMITS];
	bool given[APP_LIMITS] = {false};
	uint32_t n = 0;
	if (!list && v->n)
		return err_nomem(l->e);
	for (const struct toml *x = v->first; x; x = x->next) {
		struct app_limit limit;
		if (!read_limit(l, k->of, name, x, &limit))
			return false;
		given[limit.kind] = true;
		sorted[limit.kind] = limit;
	}
	for (uint32_t i = 0; i < APP_LIMITS; i++)
		if (given[i])
			list[n++] = sorted[i];
	*ret = (struct app_limits){list, n, v->at, true};
	return true;
}

// ---- tables ----------------------------------------------------------------------------------------------------------------------------------

static bool read_tables(struct app__load *l, const struct app__key *k, const struct toml *v, const struct app__path *path, void *field)
{
	APP_LIST(struct app_item) *list = field;
	struct app__path inner = {path, k->name};
	size_t size = app__rows(k->of).size;
	if (v->kind != TOML_TABLE)
		return wrong_kind(l, k, path, v, "a table of tables");
	char *items = arena_array_raw(l->arena, v->n, size, 16);
	uint32_t n = 0;
	if (!items && v->n)
		return err_nomem(l->e);
	for (const struct toml *x = v->first; x; x = x->next) {
		struct app_item *item = (struct app_item *)(void *)(items + size * n);
		const char *name = app__copy(l, x->key);
		if (!name || !app__check_name(l, k->of == APP__variable ? APP__FORMAT_variable : APP__FORMAT_name, name, full_name(l, path, k->name), x->key_at))
			return false;
		if (l->is_partial && x->kind == TOML_STRING && slice_eq_str(x->text, "unset"))
			continue;
		struct app__path one = {&inner, name};
		if (!app__read_table(l, k->of, x, &one, item))
			return false;
		item->name = name;
		n++;
	}
	list->list = (const void *)items;
	list->n = n;
	return true;
}

static bool read_array(struct app__load *l, const struct app__key *k, const struct toml *v, const struct app__path *path, void *field)
{
	APP_LIST(struct app_item) *list = field;
	struct app__path inner = {path, k->name};
	size_t size = app__rows(k->of).size;
	if (v->kind != TOML_ARRAY)
		return wrong_kind(l, k, path, v, "an array of tables");
	char *items = arena_array_raw(l->arena, v->n, size, 16);
	uint32_t n = 0;
	if (!items && v->n)
		return err_nomem(l->e);
	for (const struct toml *x = v->first; x; x = x->next)
		if (!app__read_table(l, k->of, x, &inner, items + size * n++))
			return false;
	list->list = (const void *)items;
	list->n = n;
	return true;
}

// Their names; what is in them is read when one is laid over, and checked in app_load.
static bool read_profiles(struct app__load *l, const struct app__key *k, const struct toml *v, struct app_texts *ret)
{
	if (v->kind != TOML_TABLE)
		return wrong_kind(l, k, NULL, v, "a table of tables");
	struct app_text *list = ARENA_ARRAY(l->arena, struct app_text, v->n);
	uint32_t n = 0;
	if (!list && v->n)
		return err_nomem(l->e);
	for (const struct toml *x = v->first; x; x = x->next) {
		const char *name = app__copy(l, x->key);
		if (!name || !app__check_name(l, APP__FORMAT_name, name, k->name, x->key_at))
			return false;
		list[n++] = (struct app_text){name, name, x->key_at, false};
	}
	*ret = (struct app_texts){list, n, v->at, true};
	return true;
}

static bool unknown_key(struct app__load *l, enum app__table table, const struct toml *x, const struct app__path *path)
{
	static const char *const reserved[] = {"message", "keyvalue", "job"};
	for (size_t i = 0; table == APP__triggers && i < ARRAY_LEN(reserved); i++)
		if (slice_eq_str(x->key, reserved[i])) {
			app__fail(l, x->key_at, "trigger.%s is reserved: no such trigger is served yet", reserved[i]);
			return l->e ? err_hint(l->e, "there are http, cron, start and command") : false;
		}
	app__fail(l, x->key_at, "unknown key '%.*s'%s%s", (int)min_u64(x->key.len, 64), (const char *)x->key.ptr, path ? " in " : "",
		path ? full_name(l, path->above, path->name) : "");
	return app__hint_keys(l, table, x->key);
}

// A text may stand for the table (rows().shorthand).
static bool read_short(struct app__load *l, enum app__table table, const struct toml *v, const struct app__path *path, void *into)
{
	struct app__rows r = app__rows(table);
	for (uint32_t i = 0; i < r.n; i++) {
		bool is_it = strcmp(r.keys[i].name, r.shorthand) == 0;
		if (!app__read_key(l, &r.keys[i], is_it ? v : NULL, path, (char *)into + r.keys[i].offset))
			return false;
	}
	return true;
}

bool app__missing(struct app__load *l, struct app_place at, const struct app__key *k, const struct app__path *path)
{
	app__fail(l, at, "%s is missing", full_name(l, path, k->name));
	return l->e ? err_hint(l->e, "%s: %s", k->name, k->help) : false;
}

bool app__read_table(struct app__load *l, enum app__table table, const struct toml *node, const struct app__path *path, void *into)
{
	struct app__rows r = app__rows(table);
	struct app_item *item = into;
	item->at = node->at;
	item->is_given = true;
	if (node->kind == TOML_STRING && r.shorthand[0])
		return read_short(l, table, node, path, into);
	if (node->kind != TOML_TABLE) {
		app__fail(l, node->at, "%s is a table, not %s", path ? full_name(l, path->above, path->name) : "the file", toml_kind_name(node));
		return app__hint_keys(l, table, SLICE_LIT(""));
	}
	for (const struct toml *x = node->first; x; x = x->next)
		if (!app__key_find(table, x->key))
			return unknown_key(l, table, x, path);
	for (uint32_t i = 0; i < r.n; i++) {
		const struct app__key *k = &r.keys[i];
		const struct toml *v = toml_get_str(node, k->name);
		if (!v && k->flags & APP__REQUIRED && !l->is_partial)
			return app__missing(l, node->at, k, path);
		if (k != l->done && !app__read_key(l, k, v, path, (char *)into + k->offset))
			return false;
	}
	return true;
}

// ---- one key ---------------------------------------------------------------------------------------------------------------------------------

// A default is read as if it were written: an array of one, or a text.
static bool read_default(struct app__load *l, const struct app__key *k, const struct app__path *path, void *field)
{
	struct toml text = {.kind = TOML_STRING, .text = slice_str(k->fallback)}, v = text;
	bool is_number = k->type == APP__COUNT && strcmp(k->fallback, "none") != 0;
	if (k->type == APP__TABLE) {
		struct toml empty = {.kind = TOML_TABLE};
		bool was = l->is_partial;
		l->is_partial = true;
		bool ok = app__read_table(l, k->of, &empty, path, field);
		l->is_partial = was;
		((struct app_item *)field)->is_given = false;
		return ok;
	}
	if (!*k->fallback)
		return true;
	if (k->type == APP__TEXTS)
		v = (struct toml){.kind = TOML_ARRAY, .first = &text, .last = &text, .n = 1};
	else if (k->type == APP__BOOL)
		v = (struct toml){.kind = TOML_BOOL, .truth = strcmp(k->fallback, "true") == 0};
	else if (is_number)
		v = (struct toml){.kind = TOML_INTEGER, .integer = strtoll(k->fallback, NULL, 10)};
	if (!read_value(l, k, &v, path, field))
		return false;
	if (k->type == APP__TEXTS)
		((struct app_texts *)field)->is_given = false;
	else if (k->type != APP__TEXT)
		((struct app_number *)field)->is_given = false;
	return true;
}

static bool read_value(struct app__load *l, const struct app__key *k, const struct toml *v, const struct app__path *path, void *field)
{
	struct app__path inner = {path, k->name};
	switch ((enum app__type)k->type) {
	case APP__TEXT:
		return read_text(l, k->flags, k->of, full_name(l, path, k->name), v, field);
	case APP__TEXTS:
		return read_texts(l, k, v, full_name(l, path, k->name), field);
	case APP__PAIRS:
		return read_pairs(l, k, v, full_name(l, path, k->name), field);
	case APP__WORD:
		return read_word(l, k, v, path, field);
	case APP__BOOL:
		*(struct app_number *)field = (struct app_number){v->truth, v->at, true};
		return v->kind == TOML_BOOL || wrong_kind(l, k, path, v, "true or false");
	case APP__COUNT:
		return read_count(l, k, v, path, field);
	case APP__TIME:
	case APP__SIZE:
	case APP__PERCENT:
		return read_quantity(l, full_name(l, path, k->name), k->type == APP__TIME ? 't' : k->type == APP__SIZE ? 'b'
																											   : '%',
			k->flags & APP__NONE, v, field);
	case APP__LIMITS_OF:
		return read_limits(l, k, v, path, field);
	case APP__TABLE:
		return app__read_table(l, k->of, v, &inner, field);
	case APP__TABLES:
		return read_tables(l, k, v, path, field);
	case APP__ARRAY:
		return read_array(l, k, v, path, field);
	case APP__PROFILES:
		return read_profiles(l, k, v, field);
	}
	return false;
}

bool app__read_key(struct app__load *l, const struct app__key *k, const struct toml *node, const struct app__path *path, void *field)
{
	if (!node)
		return read_default(l, k, path, field);
	if (l->is_partial && node->kind == TOML_STRING && slice_eq_str(node->text, "unset"))
		return true;
	return read_value(l, k, node, path, field);
}
