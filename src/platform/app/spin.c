// spin.toml, version 2, as the tree of a tenon.toml: what is read of it is the same model, and places stay those of the file. What has no place in it is refused
// by its name, or noted where leaving it out only takes something away from the guest.
#include "app_int.h"

#include <ctype.h>

struct spin {
	struct app__load *l;
	struct toml *root;           // of the spin.toml
	struct toml *to;             // of the tenon.toml
	struct map stores;           // sets of labels: the link's name
	uint32_t n_stores;
};

// ---- nodes -------------------------------------------------------------------------------------------------------------------------------------

static struct toml *node(struct spin *s, enum toml_kind kind, struct app_place at)
{
	struct toml *t = ARENA_NEW(s->l->arena, struct toml);
	if (!t) {
		err_nomem(s->l->e);
		return NULL;
	}
	t->kind = (uint8_t)kind;
	t->at = t->key_at = at;
	return t;
}

static bool add(struct spin *s, struct toml *to, const char *key, struct toml *value)
{
	if (!value)
		return false;
	value->key = slice_str(key);
	return toml_append(s->l->arena, to, value) || err_nomem(s->l->e);
}

static struct toml *add_table(struct spin *s, struct toml *to, const char *key, struct app_place at)
{
	struct toml *t = node(s, TOML_TABLE, at);
	return t && add(s, to, key, t) ? t : NULL;
}

static bool add_text(struct spin *s, struct toml *to, const char *key, const char *text, struct app_place at)
{
	struct toml *t = node(s, TOML_STRING, at);
	if (t)
		t->text = slice_str(text);
	return t && add(s, to, key, t);
}

// The same value under another name.
static bool move(struct spin *s, struct toml *to, const char *key, const struct toml *value)
{
	struct toml *t = node(s, TOML_STRING, value->at);
	if (!t)
		return false;
	*t = *value;
	return add(s, to, key, t);
}

// ---- what is known -----------------------------------------------------------------------------------------------------------------------------

static const char *name_at(const void *list, uint32_t i)
{
	return ((const char *const *)list)[i];
}

static bool wrong(struct spin *s, const struct toml *t, const char *what, const char *want)
{
	return app__fail(s->l, t->at, "%s is %s, not %s", what, want, toml_kind_name(t));
}

// Every key of the table is one of the names.
static bool known_keys(struct spin *s, const struct toml *table, const char *what, const char *const *names, uint32_t n)
{
	if (table->kind != TOML_TABLE)
		return wrong(s, table, what, "a table");
	for (const struct toml *x = table->first; x; x = x->next) {
		uint32_t i = 0;
		while (i < n && !slice_eq_str(x->key, names[i]))
			i++;
		if (i < n)
			continue;
		app__fail(s->l, x->key_at, "unknown key '%.*s' in %s", (int)min_u64(x->key.len, 64), (const char *)x->key.ptr, what);
		return s->l->e ? err_hint(s->l->e, "the nearest one is '%s'", app__nearest(x->key, name_at, names, n)) : false;
	}
	return true;
}

static bool refuse(struct spin *s, const struct toml *t, const char *what, const char *hint)
{
	app__fail(s->l, t->key_at.line ? t->key_at : t->at, "spin.toml: %s is not served", what);
	return s->l->e ? err_hint(s->l->e, "%s", hint) : false;
}

// ---- texts -------------------------------------------------------------------------------------------------------------------------------------

// {{ x }} is ${x}; ${ itself is $${. `is_template`: else {{ stands for itself.
static const char *translate(struct spin *s, const struct toml *t, bool is_template)
{
	struct buf b = {.max = APP_MAX_SOURCE * 2};
	struct slice x = t->text;
	for (size_t i = 0; i < x.len; i++) {
		struct slice rest = slice_sub(x, i, x.len);
		if (slice_starts_with(rest, SLICE_LIT("${")))
			buf_put_byte(&b, '$');
		if (!is_template || !slice_starts_with(rest, SLICE_LIT("{{"))) {
			buf_put_byte(&b, x.ptr[i]);
			continue;
		}
		size_t from = i + 2, to;
		while (from < x.len && (x.ptr[from] == ' ' || x.ptr[from] == '\t'))
			from++;
		for (to = from; to < x.len && (islower(x.ptr[to]) || isdigit(x.ptr[to]) || x.ptr[to] == '_');)
			to++;
		size_t end = to;
		while (end < x.len && (x.ptr[end] == ' ' || x.ptr[end] == '\t'))
			end++;
		if (to == from || !slice_starts_with(slice_sub(x, end, x.len), SLICE_LIT("}}"))) {
			buf_release(&b);
			app__fail(s->l, t->at, "{{ without the name of a variable and }}");
			return NULL;
		}
		buf_printf(&b, "${%.*s}", (int)(to - from), (const char *)x.ptr + from);
		i = end + 1;
	}
	char *text = b.failed ? NULL : app__copy(s->l, buf_view(&b));
	if (b.failed)
		app__fail(s->l, t->at, "the text is too long");
	buf_release(&b);
	return text;
}

// A table of texts, as ours.
static bool pairs(struct spin *s, const struct toml *from, struct toml *to, const char *key, const char *what, bool is_template)
{
	if (from->kind != TOML_TABLE)
		return wrong(s, from, what, "a table of texts");
	struct toml *t = add_table(s, to, key, from->at);
	for (const struct toml *x = from->first; t && x; x = x->next) {
		struct toml *copy = node(s, TOML_STRING, x->at);
		const char *text = x->kind == TOML_STRING ? translate(s, x, is_template) : "";
		if (x->kind != TOML_STRING)
			return wrong(s, x, what, "a table of texts");
		if (!copy || !text)
			return false;
		copy->text = slice_str(text);
		copy->key = x->key;
		copy->key_at = x->key_at;
		if (!toml_append(s->l->arena, t, copy))
			return err_nomem(s->l->e);
	}
	return t != NULL;
}

// ---- where it may connect to -------------------------------------------------------------------------------------------------------------------

// As they are: their values of variables come first, then each becomes a rule of `network` (app__spin_host).
static bool hosts(struct spin *s, const struct toml *from, struct toml *to)
{
	struct toml *list = node(s, TOML_ARRAY, from->at);
	if (from->kind != TOML_ARRAY)
		return wrong(s, from, "allowed_outbound_hosts", "an array of texts");
	for (const struct toml *x = from->first; list && x; x = x->next) {
		if (x->kind != TOML_STRING)
			return wrong(s, x, "allowed_outbound_hosts", "an array of texts");
		const char *text = translate(s, x, true);
		struct toml *t = text ? node(s, TOML_STRING, x->at) : NULL;
		if (!t)
			return false;
		t->text = slice_str(text);
		if (!toml_append(s->l->arena, list, t))
			return err_nomem(s->l->e);
	}
	return list && add(s, to, "network", list);
}

// ---- files -------------------------------------------------------------------------------------------------------------------------------------

// A pattern that means a whole folder, as that folder.
static bool folder_of(struct spin *s, const struct toml *x, struct slice *ret)
{
	static const char *const all[] = {"/**/*", "/**", "/*"};
	struct slice t = x->text;
	for (size_t i = 0; i < ARRAY_LEN(all) - 1; i++)
		if (slice_ends_with(t, slice_str(all[i])))
			t = slice_sub(t, 0, t.len - strlen(all[i]));
	for (size_t i = 0; i < t.len; i++)
		if (strchr("*?[{", t.ptr[i]) && t.ptr[i])
			return refuse(s, &(struct toml){.at = x->at}, "a pattern of `files` that is less than a folder", "give a folder: { source = \"assets\", destination = \"/assets\" }");
	*ret = t;
	return true;
}

static bool one_file(struct spin *s, const struct toml *x, struct toml *list)
{
	static const char *const names[] = {"source", "destination"};
	struct toml *t = node(s, TOML_TABLE, x->at);
	struct slice folder;
	if (!t || !toml_append(s->l->arena, list, t))
		return err_nomem(s->l->e);
	if (x->kind == TOML_STRING) {
		if (!folder_of(s, x, &folder))
			return false;
		struct toml as_text = {.text = folder, .at = x->at};
		const char *host = translate(s, &as_text, false), *guest = host ? app__format_text(s->l, "/%s", host) : NULL;
		return guest && add_text(s, t, "host", host, x->at) && add_text(s, t, "guest", guest, x->at);
	}
	if (!known_keys(s, x, "files", names, ARRAY_LEN(names)))
		return false;
	for (size_t i = 0; i < 2; i++) {
		const struct toml *v = toml_get_str(x, names[i]);
		if (!v || v->kind != TOML_STRING)
			return app__fail(s->l, v ? v->at : x->at, "files: %s is a text", names[i]);
		const char *text = translate(s, v, false);
		if (!text || !add_text(s, t, i ? "guest" : "host", text, v->at))
			return false;
	}
	return true;
}

static bool files(struct spin *s, const struct toml *from, struct toml *to)
{
	struct toml *list = node(s, TOML_ARRAY, from->at);
	if (from->kind != TOML_ARRAY)
		return wrong(s, from, "files", "an array");
	for (const struct toml *x = from->first; list && x; x = x->next)
		if (!one_file(s, x, list))
			return false;
	return list && add(s, to, "files", list);
}

// ---- stores ------------------------------------------------------------------------------------------------------------------------------------

static int by_label(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// Where Spin keeps its default store: a file in the app's state.
static bool new_store(struct spin *s, const char *name, const char *const *labels, uint32_t n, struct app_place at)
{
	struct app__load *l = s->l;
	const char *state = l->in->env ? l->in->env(l->in->ctx, "TENON_STATE") : NULL;
	const char *path = app__format_text(l, "%s/default/%s/key-value.db", state && *state ? state : ".tenon", l->app->about.name.text);
	struct toml *links = toml_get_str(s->to, "link"), *link, *buckets = node(s, TOML_ARRAY, at);
	if (!links)
		links = add_table(s, s->to, "link", at);
	link = links ? add_table(s, links, name, at) : NULL;
	for (uint32_t i = 0; buckets && i < n; i++) {
		struct toml *t = node(s, TOML_STRING, at);
		if (!t || !toml_append(l->arena, buckets, t))
			return err_nomem(l->e);
		struct toml as_text = {.text = slice_str(labels[i]), .at = at};
		const char *text = translate(s, &as_text, false);
		if (!text)
			return false;
		t->text = slice_str(text);
	}
	return path && link && add_text(s, link, "type", "file", at) && add_text(s, link, "path", path, at) && add(s, link, "buckets", buckets);
}

// The link for that set of labels: components with the same grant share it.
static const char *store_for(struct spin *s, const char *const *labels, uint32_t n, struct app_place at)
{
	struct buf b = {.max = APP_MAX_SOURCE};
	uintptr_t found;
	bool nomem = false;
	for (uint32_t i = 0; i < n; i++)
		buf_printf(&b, "%s\n", labels[i]);
	const char *set = b.failed ? NULL : app__copy(s->l, buf_view(&b));
	buf_release(&b);
	if (!set)
		return NULL;
	if (map_get(&s->stores, slice_str(set), &found))
		return (const char *)found;
	const char *name = s->n_stores++ ? app__format_text(s->l, "key-value-%u", s->n_stores) : "key-value";
	if (!name || !new_store(s, name, labels, n, at) || !map_insert(&s->stores, slice_str(set), (uintptr_t)name, &nomem))
		return NULL;
	return name;
}

static bool stores(struct spin *s, const struct toml *from, struct toml *to)
{
	static const char *const imports[] = {"fermyon:spin/key-value", "spin:key-value", "wasi:keyvalue"};
	if (from->kind != TOML_ARRAY)
		return wrong(s, from, "key_value_stores", "an array of texts");
	const char **labels = ARENA_ARRAY(s->l->arena, const char *, from->n + 1);
	uint32_t n = 0, unique = 0;
	if (!labels)
		return err_nomem(s->l->e);
	for (const struct toml *x = from->first; x; x = x->next) {
		if (x->kind != TOML_STRING || x->text.len == 0)
			return app__fail(s->l, x->at, "key_value_stores: a label is a text");
		labels[n] = app__copy(s->l, x->text);
		if (!labels[n++])
			return false;
	}
	if (n == 0)
		return true;
	qsort(labels, n, sizeof *labels, by_label);
	for (uint32_t i = 0; i < n; i++)
		if (unique == 0 || strcmp(labels[unique - 1], labels[i]) != 0)
			labels[unique++] = labels[i];
	const char *link = store_for(s, labels, unique, from->at);
	struct toml *links = link ? add_table(s, to, "links", from->at) : NULL;
	for (size_t i = 0; links && i < ARRAY_LEN(imports); i++)
		if (!add_text(s, links, imports[i], link, from->at))
			return false;
	return links || !s->l->e || s->l->e->code != ERR_NONE ? links != NULL : err_nomem(s->l->e);
}

// ---- components --------------------------------------------------------------------------------------------------------------------------------

static bool build(struct spin *s, const struct toml *from, struct toml *to)
{
	static const char *const names[] = {"command", "workdir", "watch"};
	if (!known_keys(s, from, "build", names, ARRAY_LEN(names)))
		return false;
	const struct toml *command = toml_get_str(from, "command"), *workdir = toml_get_str(from, "workdir"), *watch = toml_get_str(from, "watch");
	struct toml *t = add_table(s, to, "build", from->at);
	struct buf b = {.max = APP_MAX_SOURCE};
	if (!t || !command)
		return t && app__fail(s->l, from->at, "build.command is missing");
	if (workdir && workdir->kind == TOML_STRING)
		buf_printf(&b, "cd '%.*s' && ", SLICE_ARGS(workdir->text));
	for (const struct toml *x = command->kind == TOML_ARRAY ? command->first : command; x; x = command->kind == TOML_ARRAY ? x->next : NULL)
		if (x->kind == TOML_STRING)
			buf_printf(&b, "%s%.*s", x == command || x == command->first ? "" : " && ", SLICE_ARGS(x->text));
	const char *text = b.failed ? NULL : app__copy(s->l, buf_view(&b));
	buf_release(&b);
	return text && add_text(s, t, "command", text, command->at) && (!watch || move(s, t, "watch", watch));
}

// What is granted by key and has no provider: the interfaces are there, and answer access-denied.
static bool note_denied(struct spin *s, const struct toml *x)
{
	return (x->kind == TOML_ARRAY && x->n == 0) ||
		app__note(s->l, x->at, "%.*s: no provider yet; what opens one is answered access-denied", SLICE_ARGS(x->key));
}

// `of`: the component.
static bool component_key(struct spin *s, const struct toml *x, const struct toml *of, struct toml *to)
{
	const struct toml *given = toml_get_str(of, "files");
	bool is_empty = (x->kind == TOML_ARRAY || x->kind == TOML_TABLE) && x->n == 0;
	if (slice_eq_str(x->key, "source"))
		return x->kind == TOML_STRING ? move(s, to, "source", x)
									  : refuse(s, x, "a source that is no file", "registries aren't served yet: fetch the component and give the file");
	if (slice_eq_str(x->key, "variables"))
		return pairs(s, x, to, "config", "variables", true);
	if (slice_eq_str(x->key, "environment"))
		return pairs(s, x, to, "env", "environment", false);
	if (slice_eq_str(x->key, "files"))
		return files(s, x, to);
	if (slice_eq_str(x->key, "allowed_outbound_hosts"))
		return hosts(s, x, to);
	if (slice_eq_str(x->key, "key_value_stores"))
		return stores(s, x, to);
	if (slice_eq_str(x->key, "build"))
		return build(s, x, to);
	if (slice_eq_str(x->key, "sqlite_databases") || slice_eq_str(x->key, "ai_models"))
		return note_denied(s, x);
	if (slice_eq_str(x->key, "exclude_files") && !is_empty && given && given->n)  // else there is nothing that it could be left out of
		return refuse(s, x, "exclude_files", "a folder is given whole: keep what is excluded out of it");
	if (slice_eq_str(x->key, "allowed_http_hosts") && !is_empty)
		return refuse(s, x, "allowed_http_hosts", "allowed_outbound_hosts took its place: [\"https://HOST\"]");
	if ((slice_eq_str(x->key, "dependencies") || slice_eq_str(x->key, "profile")) && !is_empty)
		return refuse(s, x, slice_eq_str(x->key, "profile") ? "profile" : "dependencies", "a tenon.toml has links and profiles");
	return true;  // description, targets, tool: nothing acts on them in Spin either; dependencies_inherit_configuration: of no dependencies
}

static bool component(struct spin *s, const struct toml *x, struct toml *to)
{
	static const char *const names[] = {"source", "description", "variables", "environment", "files", "exclude_files", "allowed_http_hosts", "allowed_outbound_hosts",
		"key_value_stores", "sqlite_databases", "ai_models", "targets", "build", "tool", "dependencies_inherit_configuration", "dependencies", "profile"};
	const char *what = app__format_text(s->l, "component.%.*s", (int)min_u64(x->key.len, 64), (const char *)x->key.ptr);
	struct toml *t = what && known_keys(s, x, what, names, ARRAY_LEN(names)) ? node(s, TOML_TABLE, x->at) : NULL;
	if (!t)
		return false;
	t->key = x->key;
	t->key_at = x->key_at;
	if (!toml_append(s->l->arena, to, t))
		return err_nomem(s->l->e);
	for (const struct toml *k = x->first; k; k = k->next)
		if (!component_key(s, k, x, t))
			return false;
	return true;
}

// ---- triggers ----------------------------------------------------------------------------------------------------------------------------------

static bool static_response(struct spin *s, const struct toml *x, struct toml *to)
{
	static const char *const names[] = {"status_code", "headers", "body"};
	if (!known_keys(s, x, "static_response", names, ARRAY_LEN(names)))
		return false;
	struct toml *t = add_table(s, to, "static", x->at);
	const struct toml *status = toml_get_str(x, "status_code"), *headers = toml_get_str(x, "headers"), *body = toml_get_str(x, "body");
	return t && (!status || move(s, t, "status", status)) && (!body || move(s, t, "body", body)) && (!headers || move(s, t, "headers", headers));
}

// A route without the slash at its end, under the base; or private.
static bool route_of(struct spin *s, const struct toml *x, struct slice base, struct toml *to)
{
	static const char *const names[] = {"private"};
	if (x->kind == TOML_TABLE) {
		const struct toml *v = known_keys(s, x, "route", names, ARRAY_LEN(names)) ? toml_get_str(x, "private") : NULL;
		return v ? move(s, to, "private", v) : !s->l->e || s->l->e->code == ERR_NONE ? app__fail(s->l, x->at, "route is a text, or { private = true }")
																					 : false;
	}
	if (x->kind != TOML_STRING)
		return wrong(s, x, "route", "a text, or { private = true }");
	struct slice text = x->text;
	while (text.len > 1 && text.ptr[text.len - 1] == '/')
		text.len--;
	while (base.len && base.ptr[base.len - 1] == '/')
		base.len--;
	const char *all = slice_ends_with(text, SLICE_LIT("/*")) ? "..." : "";  // Spin has two words for the rest
	text.len -= *all ? 1 : 0;
	const char *route = base.len ? app__format_text(s->l, "%.*s%.*s%s", SLICE_ARGS(base), text.len > 1 || *all ? (int)text.len : 0, (const char *)text.ptr, all)
								 : app__format_text(s->l, "%.*s%s", SLICE_ARGS(text), all);
	return route && add_text(s, to, "route", route, x->at);
}

static bool http_trigger(struct spin *s, const struct toml *x, struct slice base, struct toml *list)
{
	static const char *const names[] = {"id", "component", "route", "executor", "static_response", "components", "dependencies"};
	if (!known_keys(s, x, "trigger.http", names, ARRAY_LEN(names)))
		return false;
	struct toml *t = node(s, TOML_TABLE, x->at);
	const struct toml *id = toml_get_str(x, "id"), *name = toml_get_str(x, "component"), *route = toml_get_str(x, "route"), *executor = toml_get_str(x, "executor"),
					  *fixed = toml_get_str(x, "static_response"), *type = executor && executor->kind == TOML_TABLE ? toml_get_str(executor, "type") : NULL;
	if (!t || !toml_append(s->l->arena, list, t))
		return err_nomem(s->l->e);
	for (size_t i = 5; i < ARRAY_LEN(names); i++)
		if (toml_get_str(x, names[i]))
			return refuse(s, toml_get_str(x, names[i]), names[i], "compose them into one component");
	if (executor && (!type || type->kind != TOML_STRING || !(slice_eq_str(type->text, "http") || slice_eq_str(type->text, "spin"))))
		return refuse(s, executor, "this executor", "components that export wasi:http/incoming-handler are served");
	if (name && name->kind != TOML_STRING)
		return refuse(s, name, "a component within a trigger", "[component.NAME] has it, and the trigger its name");
	if (id && id->kind == TOML_STRING && app__is_name(id->text) && !move(s, t, "id", id))
		return false;
	return (!route || route_of(s, route, base, t)) && (!name || move(s, t, "component", name)) && (!fixed || static_response(s, fixed, t));
}

static bool triggers(struct spin *s, const struct toml *from, struct slice base)
{
	struct toml *to = add_table(s, s->to, "trigger", from->at);
	if (from->kind != TOML_TABLE)
		return wrong(s, from, "trigger", "a table");
	for (const struct toml *x = from->first; to && x; x = x->next) {
		bool is_http = slice_eq_str(x->key, "http");
		struct toml *list = node(s, TOML_ARRAY, x->at);
		if (!is_http && !slice_eq_str(x->key, "command")) {
			const char *what = app__format_text(s->l, "trigger.%.*s", (int)min_u64(x->key.len, 64), (const char *)x->key.ptr);
			return what && refuse(s, x, what, "http and command are");
		}
		if (x->kind != TOML_ARRAY)
			return wrong(s, x, "trigger", "an array of tables");
		if (!is_http) {
			if (!move(s, to, "command", x))
				return false;
			continue;
		}
		for (const struct toml *one = x->first; list && one; one = one->next)
			if (!http_trigger(s, one, base, list))
				return false;
		if (!list || !add(s, to, "http", list))
			return false;
	}
	return to != NULL;
}

// ---- the whole ---------------------------------------------------------------------------------------------------------------------------------

// Names of Spin may have capitals, _ and spaces.
static const char *app_name(struct spin *s, const struct toml *name)
{
	char *text = app__copy(s->l, name->text);
	for (char *c = text; c && *c; c++)
		*c = *c == '_' || *c == ' ' ? '-' : (char)tolower((unsigned char)*c);
	return text;
}

static bool application(struct spin *s, struct slice *ret_base)
{
	static const char *const names[] = {"name", "version", "description", "authors", "trigger", "tool", "targets"}, *const http_names[] = {"base"};
	const struct toml *a = toml_get_str(s->root, "application");
	if (!a)
		return app__fail(s->l, s->root->at, "[application] is missing");
	if (!known_keys(s, a, "application", names, ARRAY_LEN(names)))
		return false;
	const struct toml *name = toml_get_str(a, "name"), *version = toml_get_str(a, "version"), *trigger = toml_get_str(a, "trigger");
	struct toml *t = add_table(s, s->to, "app", a->at);
	if (!name || name->kind != TOML_STRING)
		return app__fail(s->l, name ? name->at : a->at, "application.name is missing");
	const char *text = app_name(s, name);
	if (!t || !text || !add_text(s, t, "name", text, name->at) || (version && !move(s, t, "version", version)))
		return false;
	s->l->app->about.name.text = text;
	if (!trigger)
		return true;
	if (trigger->kind != TOML_TABLE)
		return wrong(s, trigger, "application.trigger", "a table");
	const struct toml *http = toml_get_str(trigger, "http"), *base = http && http->kind == TOML_TABLE ? toml_get_str(http, "base") : NULL;
	if (http && !known_keys(s, http, "application.trigger.http", http_names, ARRAY_LEN(http_names)))
		return false;
	if (base && base->kind != TOML_STRING)
		return wrong(s, base, "application.trigger.http.base", "a text");
	*ret_base = base ? base->text : SLICE_LIT("");
	return true;
}

static bool variables(struct spin *s, const struct toml *from)
{
	static const char *const names[] = {"default", "required", "secret", "description"};
	struct toml *to = add_table(s, s->to, "variables", from->at);
	if (from->kind != TOML_TABLE)
		return wrong(s, from, "variables", "a table");
	for (const struct toml *x = from->first; to && x; x = x->next) {
		struct toml *t = node(s, TOML_TABLE, x->at);
		if (!t || !known_keys(s, x, "variables", names, ARRAY_LEN(names)))
			return false;
		t->key = x->key;
		t->key_at = x->key_at;
		if (!toml_append(s->l->arena, to, t))
			return err_nomem(s->l->e);
		for (size_t i = 0; i < 3; i++)
			if (toml_get_str(x, names[i]) && !move(s, t, names[i], toml_get_str(x, names[i])))
				return false;
	}
	return to != NULL;
}

bool app__is_spin(const struct toml *root)
{
	return toml_get_str(root, "spin_manifest_version") || toml_get_str(root, "spin_version");
}

bool app__spin(struct app__load *l, struct toml *root, struct toml **ret)
{
	static const char *const names[] = {"spin_manifest_version", "application", "variables", "trigger", "component"};
	struct spin s = {.l = l, .root = root};
	const struct toml *version = toml_get_str(root, "spin_manifest_version"), *x;
	struct slice base = {0};
	map_init(&s.stores, l->arena);
	if (!version || version->kind != TOML_INTEGER || version->integer != 2) {
		app__fail(l, version ? version->at : toml_get_str(root, "spin_version")->at, "only version 2 of spin.toml is read");
		return l->e ? err_hint(l->e, "spin doctor brings older ones up to date") : false;
	}
	l->app->format = APP_SPIN;
	s.to = node(&s, TOML_TABLE, root->at);
	struct toml *one = s.to ? node(&s, TOML_INTEGER, version->at) : NULL;
	if (!one || !known_keys(&s, root, "spin.toml", names, ARRAY_LEN(names)))
		return false;
	one->integer = 1;
	if (!add(&s, s.to, "tenon", one) || !application(&s, &base))
		return false;
	if ((x = toml_get_str(root, "variables")) && !variables(&s, x))
		return false;
	if ((x = toml_get_str(root, "trigger")) && !triggers(&s, x, base))
		return false;
	x = toml_get_str(root, "component");
	struct toml *components = x ? add_table(&s, s.to, "component", x->at) : s.to;
	if (x && x->kind != TOML_TABLE)
		return wrong(&s, x, "component", "a table");
	for (x = x ? x->first : NULL; components && x; x = x->next)
		if (!component(&s, x, components))
			return false;
	*ret = s.to;
	return components != NULL;
}
