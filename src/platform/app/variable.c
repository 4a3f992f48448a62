// Variables: where their values are from, and texts with ${x} in them.
#include "app_int.h"

#include <ctype.h>

#define MAX_FILLED (64u << 20)  // bytes of all texts that something was replaced in

static struct app_variable *variable(struct app__load *l, uint32_t i)
{
	return UNCONST(&l->app->variables.list[i]);
}

static const char *variable_at(const void *list, uint32_t i)
{
	return ((const struct app_variable *)list)[i].item.name;
}

// hint: the variable whose name is nearest.
static bool hint_variables(struct app__load *l, struct slice name)
{
	if (!l->e)
		return false;
	if (l->app->variables.n == 0)
		return err_hint(l->e, "there are no [variables]");
	return err_hint(l->e, "the nearest one is '%s'", app__nearest(name, variable_at, l->app->variables.list, l->app->variables.n));
}

// ---- values ----------------------------------------------------------------------------------------------------------------------------------

static bool take(struct app__load *l, struct app_variable *v, struct slice value, enum app_from from, const char *source)
{
	if (value.len > APP_MAX_VALUE || slice_find(value, 0) != value.len || !utf8_is_valid(value)) {
		err_set(l->e, ERR_USAGE, "the value of the variable '%s' is no text of at most %u bytes", v->item.name, APP_MAX_VALUE);
		return err_note(l->e, "%s", source);
	}
	v->value = app__copy(l, value);
	v->from = from;
	v->source = source;
	return v->value != NULL;
}

// A file's content, without the newline at its end. false without an error: there is none.
static bool take_file(struct app__load *l, struct app_variable *v, const char *path, enum app_from from)
{
	struct slice content = {0};
	if (!l->in->read || !l->in->read(l->in->ctx, l->arena, path, APP_MAX_VALUE + 1, &content, l->e))
		return false;
	if (content.len && content.ptr[content.len - 1] == '\n')
		content.len -= 1 + (content.len > 1 && content.ptr[content.len - 2] == '\r');
	return take(l, v, content, from, path);
}

static bool apply_set(struct app__load *l, const char *set, bool *seen)
{
	const char *eq = strchr(set, '=');
	struct slice name = slice_of(set, eq ? (size_t)(eq - set) : strlen(set));
	uintptr_t i;
	if (!eq) {
		err_set(l->e, ERR_USAGE, "--set takes NAME=VALUE, not '%s'", set);
		return err_hint(l->e, "NAME=@FILE takes what the file says");
	}
	if (!map_get(&l->variables, name, &i) && l->in->sets_may_miss)
		return true;
	if (!map_get(&l->variables, name, &i)) {
		err_set(l->e, ERR_USAGE, "--set: there is no variable '%.*s'", (int)min_u64(name.len, 64), (const char *)name.ptr);
		return hint_variables(l, name);
	}
	if (seen[i])
		return err_set(l->e, ERR_USAGE, "--set gives '%s' twice", variable(l, (uint32_t)i)->item.name);
	seen[i] = true;
	if (eq[1] != '@')
		return take(l, variable(l, (uint32_t)i), slice_str(eq + 1), APP_FROM_SET, "--set");
	return take_file(l, variable(l, (uint32_t)i), eq + 2, APP_FROM_SET) || (l->e && l->e->code != ERR_NONE) ||
		err_set(l->e, ERR_ENV, "--set %s: there is no such file", set);
}

// NULL: memory is out.
static const char *env_name(struct app__load *l, const struct app_variable *v)
{
	char *name = app__format_text(l, "TENON_VAR_%s", v->item.name);
	for (char *c = name; c && *c; c++)
		*c = (char)toupper((unsigned char)*c);
	return name;
}

static bool apply_env(struct app__load *l, struct app_variable *v)
{
	const char *name = env_name(l, v);
	if (!name)
		return false;
	const char *value = l->in->env ? l->in->env(l->in->ctx, name) : NULL;
	return !value || take(l, v, slice_str(value), APP_FROM_ENV, name);
}

static bool apply_credential(struct app__load *l, struct app_variable *v)
{
	const char *folder = l->in->env ? l->in->env(l->in->ctx, "CREDENTIALS_DIRECTORY") : NULL;
	if (!folder || !*folder)
		return true;
	char *path = app__format_text(l, "%s/%s", folder, v->item.name);
	return path && (take_file(l, v, path, APP_FROM_CREDENTIAL) || !l->e || l->e->code == ERR_NONE);
}

static bool apply_file(struct app__load *l, struct app_variable *v)
{
	if (take_file(l, v, v->path, APP_FROM_FILE))
		return true;
	if (l->e && l->e->code == ERR_NONE)
		err_set(l->e, ERR_ENV, "'%s': there is no such file", v->path);
	return l->e && err_note(l->e, "the variable '%s'", v->item.name);
}

// What a manifest's own default was isn't written with what was in force: it is what the manifest says now.
static void apply_known_secret(struct app__load *l, struct app_variable *v)
{
	const struct app *of = l->in->secrets_of;
	for (uint32_t i = 0; of && !v->value && v->secret.value && i < of->variables.n; i++) {
		const struct app_variable *known = &of->variables.list[i];
		if (!known->secret.value || !known->value || strcmp(known->item.name, v->item.name) != 0)
			continue;
		v->value = app__copy(l, slice_str(known->value));
		v->from = APP_FROM_DEFAULT;
	}
}

static bool resolve_one(struct app__load *l, struct app_variable *v)
{
	if (!app__resolve_path(l, &v->file, &v->path))
		return false;
	if (v->file.text && v->file.at.in == APP_IN_LIVE)
		return apply_file(l, v);
	if (v->from == APP_FROM_NOWHERE && !apply_env(l, v))
		return false;
	if (v->from == APP_FROM_NOWHERE && !apply_credential(l, v))
		return false;
	if (v->from == APP_FROM_NOWHERE && v->file.text && !apply_file(l, v))
		return false;
	bool is_live = v->fallback.text && v->fallback.at.in == APP_IN_LIVE;
	if (is_live) {
		v->value = v->fallback.text;
		v->from = APP_FROM_SET;
		v->source = NULL;
	} else if (v->from == APP_FROM_NOWHERE && v->fallback.text) {
		v->value = v->fallback.text;
		v->from = v->fallback.at.in == APP_IN_MANIFEST ? APP_FROM_DEFAULT : APP_FROM_PROFILE;
		v->source = v->fallback.at.in == APP_IN_PROFILE ? l->app->profile : NULL;
	}
	apply_known_secret(l, v);
	if (v->value || !v->required.value)
		return true;
	app__fail(l, v->item.at, "the variable '%s' has no value", v->item.name);
	const char *name = env_name(l, v);
	return l->e && name ? err_hint(l->e, "--set %s=VALUE, --set %s=@FILE, or %s in the environment", v->item.name, v->item.name, name) : false;
}

bool app__resolve(struct app__load *l)
{
	bool nomem = false;
	bool *seen = ARENA_ARRAY(l->arena, bool, l->app->variables.n + 1);
	map_init(&l->variables, l->arena);
	for (uint32_t i = 0; i < l->app->variables.n; i++)
		if (!map_insert(&l->variables, slice_str(variable(l, i)->item.name), i, &nomem))
			return err_nomem(l->e);
	if (!seen)
		return err_nomem(l->e);
	for (uint32_t i = 0; i < l->in->n_sets; i++)
		if (!apply_set(l, l->in->sets[i], seen) || (l->e && l->e->code != ERR_NONE))
			return false;
	for (uint32_t i = 0; i < l->app->variables.n; i++)
		if (!resolve_one(l, variable(l, i)))
			return false;
	return true;
}

// ---- ${x} ------------------------------------------------------------------------------------------------------------------------------------

// Where the next "${" begins, its name and what is behind it. false: there is none, or it doesn't end (name NULL then).
struct hole {
	const char *begin, *end;
	struct slice name;
	bool is_literal;  // "$${"
};
static bool next_hole(const char *text, struct hole *ret)
{
	const char *p = strstr(text, "${");
	if (!p)
		return false;
	*ret = (struct hole){.begin = p, .end = p + 2};
	if (p > text && p[-1] == '$') {
		ret->begin--;
		ret->is_literal = true;
		return true;
	}
	const char *close = p + 2 + strspn(p + 2, "abcdefghijklmnopqrstuvwxyz0123456789_");
	if (*close == '}' && close > p + 2) {
		ret->name = slice_of(p + 2, (size_t)(close - p - 2));
		ret->end = close + 1;
	}
	return true;
}

// Where who asks ends in a URL as it is written: at its last '@' before a path. 0: nobody is named.
static size_t end_of_user(const char *url)
{
	const char *authority = strstr(url, "://");
	if (!authority)
		return 0;
	authority += 3;
	size_t at = strcspn(authority, "/");
	while (at > 0 && authority[at - 1] != '@')
		at--;
	return at ? (size_t)(authority - url) + at : 0;
}

static void put_encoded(struct buf *b, const char *value)
{
	for (const char *c = value; *c; c++) {
		bool plain = isalnum((unsigned char)*c) || strchr("-._~", *c);
		buf_printf(b, plain ? "%c" : "%%%02X", (unsigned char)*c);
	}
}

static bool put_value(struct app__load *l, struct buf *b, const struct hole *h, bool encodes, struct app_text *t)
{
	uintptr_t i;
	if (!h->name.ptr) {
		app__fail(l, t->at, "${ without the name of a variable and }");
		return l->e ? err_hint(l->e, "$${ stands for ${ itself") : false;
	}
	if (l->is_partial)
		return true;
	if (!map_get(&l->variables, h->name, &i)) {
		app__fail(l, t->at, "there is no variable '%.*s'", (int)min_u64(h->name.len, 64), (const char *)h->name.ptr);
		return hint_variables(l, h->name);
	}
	const struct app_variable *v = variable(l, (uint32_t)i);
	if (!v->value) {
		app__fail(l, t->at, "the variable '%s' has no value", v->item.name);
		return l->e ? err_hint(l->e, "give it a default, or --set %s=VALUE", v->item.name) : false;
	}
	t->is_secret |= v->secret.value != 0;
	if (encodes)
		put_encoded(b, v->value);
	else
		buf_put_str(b, v->value);
	return true;
}

static bool fill_in(struct app__load *l, struct buf *b, unsigned flags, struct app_text *t)
{
	const char *rest = t->raw, *user_ends = t->raw + (flags & APP__URL ? end_of_user(t->raw) : 0);
	struct hole h;
	for (; next_hole(rest, &h); rest = h.end) {
		buf_put(b, rest, (size_t)(h.begin - rest));
		if (h.is_literal)
			buf_put_str(b, "${");
		else if (!put_value(l, b, &h, h.begin < user_ends, t))
			return false;
	}
	buf_put_str(b, rest);
	l->filled += b->len;
	if (b->failed || l->filled > MAX_FILLED)
		return app__fail(l, t->at, "the text is too long with the variables' values in it");
	char *text = app__copy(l, buf_view(b));
	t->text = text;
	return text != NULL;
}

bool app__fill_in(struct app__load *l, unsigned flags, struct app_text *t)
{
	struct buf b = {.max = APP_MAX_VALUE};
	if (flags & APP__LITERAL || !strstr(t->raw, "${"))
		return true;
	if (!(flags & APP__TEMPLATE)) {
		app__fail(l, t->at, "${…} isn't replaced here");
		return l->e ? err_hint(l->e, "it is in env, config, files, network, private, listen and links") : false;
	}
	bool ok = fill_in(l, &b, flags, t);
	buf_release(&b);
	return ok;
}

const char *app__hidden_variable(struct app__load *l, const char *raw)
{
	struct hole h;
	uintptr_t i;
	for (; next_hole(raw, &h); raw = h.end)
		if (map_get(&l->variables, h.name, &i) && variable(l, (uint32_t)i)->secret.value && !variable(l, (uint32_t)i)->expose.value)
			return variable(l, (uint32_t)i)->item.name;
	return NULL;
}
