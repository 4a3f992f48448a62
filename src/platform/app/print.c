// A model written as a manifest again (app_print), and two compared (app_diff): both walk the rows of keys.def. Of a text only `raw` is shown, where it has a
// secret in it; a password of a URL and the value of a secret variable never.
#include "app_int.h"

// ---- values ------------------------------------------------------------------------------------------------------------------------------------

void app_put_quantity(struct buf *b, uint64_t v, char unit)
{
	static const struct {
		const char *suffix;
		uint64_t factor;
	} times[] = {{"h", 3600 * SECOND}, {"m", 60 * SECOND}, {"s", SECOND}, {"ms", MILLISECOND}, {"us", 1000}, {"ns", 1}}, sizes[] = {{"GiB", GIB}, {"MiB", MIB}, {"KiB", KIB}, {"B", 1}};
	if (v == 0) {
		buf_put_str(b, "\"none\"");
	} else if (unit == '%') {
		buf_printf(b, v % 100 ? "\"%llu.%02llu%%\"" : "\"%llu%%\"", (unsigned long long)v / 100, (unsigned long long)v % 100);
	} else {
		size_t i = 0;
		while (v % (unit == 't' ? times[i].factor : sizes[i].factor))
			i++;
		buf_printf(b, "\"%llu%s\"", (unsigned long long)(v / (unit == 't' ? times[i].factor : sizes[i].factor)), unit == 't' ? times[i].suffix : sizes[i].suffix);
	}
}

static void put_hidden(struct buf *b, const char *text)
{
	size_t from, to;
	if (app__url_password(text, &from, &to))
		buf_printf(b, "%.*s***%s", (int)from, text, text + to);
	else
		buf_put_str(b, text);
}

void app_put_text(struct buf *b, const struct app_text *t)
{
	if (t && t->raw)
		put_hidden(b, t->is_secret ? t->raw : t->text);
}

void app_link_print(const struct app_link *l, struct buf *b)
{
	switch ((enum app_link_type)l->type.value) {
	case APP_LINK_MEMORY:
	case APP_LINK_REDIS:
	case APP_LINK_NATS:
		if (l->url.raw)
			app_put_text(b, &l->url);
		else
			buf_put_str(b, "memory:");
		break;
	case APP_LINK_FILE:
		buf_printf(b, "file:%s", l->file ? l->file : "");
		break;
	case APP_LINK_COMPONENT:
		buf_printf(b, "component:%s", l->component.text ? l->component.text : "");
		break;
	case APP_LINK_HTTP:
		buf_put_str(b, "http:");
		for (uint32_t i = 0; i < l->hosts.n; i++) {
			buf_put_str(b, i ? " " : "");
			app_put_text(b, &l->hosts.list[i]);
		}
		break;
	}
}

// As a manifest has it behind `before`; a password in it is hidden.
static void put_behind(struct buf *b, struct slice before, const char *raw)
{
	struct buf hidden = {0};
	buf_put_slice(&hidden, before);
	put_hidden(&hidden, raw);
	toml_put_string(b, buf_view(&hidden));
	b->failed |= hidden.failed;
	buf_release(&hidden);
}

static void put_raw(struct buf *b, const char *raw)
{
	put_behind(b, slice_of("", 0), raw);
}

// A path by that folder (NULL: as a manifest has it). In a template `${` of the folder is text.
static void put_text(struct buf *b, const struct app__key *k, const struct app_text *t, const char *root)
{
	struct buf before = {0};
	if (app__is_path(k) && root && t->text[0] != '/')
		for (const char *c = root; *c; c++)
			buf_printf(&before, k->flags & APP__TEMPLATE && c[0] == '$' && c[1] == '{' ? "$%c" : "%c", *c);
	put_behind(b, buf_view(&before), t->raw);
	b->failed |= before.failed;
	buf_release(&before);
}

static void put_count(struct buf *b, const struct app__key *k, uint64_t v)
{
	if (v == 0 && k->flags & APP__NONE)
		buf_put_str(b, "\"none\"");
	else
		buf_printf(b, "%llu", (unsigned long long)v);
}

static void put_word(struct buf *b, const char *words, uint64_t v)
{
	struct slice rest = slice_str(words);
	for (; v > 0; v--)
		rest = slice_sub(rest, slice_find(rest, '|') + 1, rest.len);
	toml_put_string(b, slice_sub(rest, 0, slice_find(rest, '|')));
}

bool app__is_given(const struct app__key *k, const void *field)
{
	switch ((enum app__type)k->type) {
	case APP__TEXT:
		return ((const struct app_text *)field)->raw && ((const struct app_text *)field)->at.line;
	case APP__TEXTS:
	case APP__PROFILES:
		return ((const struct app_texts *)field)->is_given;
	case APP__PAIRS:
		return ((const struct app_pairs *)field)->is_given;
	case APP__LIMITS_OF:
		return ((const struct app_limits *)field)->n > 0;
	case APP__TABLE:
		return ((const struct app_item *)field)->is_given;
	case APP__TABLES:
	case APP__ARRAY:
		return ((const struct app__list *)field)->n > 0;
	default:
		return ((const struct app_number *)field)->is_given;
	}
}

static void put_inline(struct buf *b, enum app__table table, const void *from, const char *root);

void app__put_value(struct buf *b, const struct app__key *k, const void *field, const char *root)
{
	const struct app_number *n = field;
	const struct app_texts *texts = field;
	const struct app_pairs *pairs = field;
	const struct app_limits *limits = field;
	const struct app__list *list = field;
	switch ((enum app__type)k->type) {
	case APP__TEXT:
		put_text(b, k, field, root);
		break;
	case APP__TEXTS:
	case APP__PROFILES:
		buf_put_byte(b, '[');
		for (uint32_t i = 0; i < texts->n; i++) {
			buf_put_str(b, i ? ", " : "");
			put_raw(b, texts->list[i].raw);
		}
		buf_put_byte(b, ']');
		break;
	case APP__PAIRS:
		for (uint32_t i = 0; i < pairs->n; i++) {
			buf_put_str(b, i ? ", " : "{ ");
			toml_put_key(b, slice_str(pairs->list[i].name));
			buf_put_str(b, " = ");
			put_raw(b, pairs->list[i].value.raw);
		}
		buf_put_str(b, pairs->n ? " }" : "{}");
		break;
	case APP__LIMITS_OF:
		for (uint32_t i = 0; i < limits->n; i++) {
			buf_printf(b, "%s%s = ", i ? ", " : "{ ", app__limit_row(limits->list[i].kind)->flag);
			app__put_limit(b, &limits->list[i]);
		}
		buf_put_str(b, " }");
		break;
	case APP__WORD:
		put_word(b, k->words, n->value);
		break;
	case APP__BOOL:
		buf_put_str(b, n->value ? "true" : "false");
		break;
	case APP__COUNT:
		put_count(b, k, n->value);
		break;
	case APP__TIME:
	case APP__SIZE:
	case APP__PERCENT:
		app_put_quantity(b, n->value, k->type == APP__TIME ? 't' : k->type == APP__SIZE ? 'b'
																						: '%');
		break;
	case APP__TABLE:
		put_inline(b, k->of, field, root);
		break;
	case APP__TABLES:
	case APP__ARRAY:
		buf_put_byte(b, '[');
		for (uint32_t i = 0; i < list->n; i++) {
			buf_put_str(b, i ? ", " : "");
			put_inline(b, k->of, (const char *)list->list + app__rows(k->of).size * i, root);
		}
		buf_put_byte(b, ']');
		break;
	}
}

void app__put_limit(struct buf *b, const struct app_limit *l)
{
	char unit = app__limit_row(l->kind)->unit;
	if (unit != 'n')
		app_put_quantity(b, l->value, unit);
	else if (l->value)
		buf_printf(b, "%llu", (unsigned long long)l->value);
	else
		buf_put_str(b, "\"none\"");
}

static void put_inline(struct buf *b, enum app__table table, const void *from, const char *root)
{
	struct app__rows r = app__rows(table);
	bool any = false;
	for (uint32_t i = 0; i < r.n; i++) {
		const void *field = (const char *)from + r.keys[i].offset;
		if (!app__is_given(&r.keys[i], field))
			continue;
		buf_printf(b, "%s%s = ", any ? ", " : "{ ", r.keys[i].name);
		app__put_value(b, &r.keys[i], field, root);
		any = true;
	}
	buf_put_str(b, any ? " }" : "{}");
}

// ---- a manifest --------------------------------------------------------------------------------------------------------------------------------

// The lines of a table under its header.
static void put_lines(struct buf *b, enum app__table table, const void *from, const char *root)
{
	struct app__rows r = app__rows(table);
	for (uint32_t i = 0; i < r.n; i++) {
		const struct app__key *k = &r.keys[i];
		const void *field = (const char *)from + k->offset;
		if (!app__is_given(k, field))
			continue;
		buf_printf(b, "%s = ", k->name);
		app__put_value(b, k, field, root);
		buf_put_byte(b, '\n');
	}
}

// In force is a variable's value, from wherever it is.
static void put_variables(struct buf *b, const struct app *app, const char *root)
{
	if (app->variables.n)
		buf_put_str(b, "\n[variables]\n");
	for (uint32_t i = 0; i < app->variables.n; i++) {
		const struct app_variable *v = &app->variables.list[i];
		const char *comma = "";
		buf_printf(b, "%s = { ", v->item.name);
		if (v->value && !v->secret.value) {
			buf_put_str(b, "default = ");
			toml_put_string(b, slice_str(v->value));
			comma = ", ";
		}
		if (v->secret.value && v->file.text) {
			buf_printf(b, "%sfile = ", comma);
			put_text(b, app__key_find(APP__variable, SLICE_LIT("file")), &v->file, root);
			comma = ", ";
		}
		if (v->required.value || (v->secret.value && v->value)) {
			buf_printf(b, "%srequired = true", comma);
			comma = ", ";
		}
		if (v->secret.value)
			buf_printf(b, "%ssecret = true", comma);
		buf_put_str(b, v->expose.value ? ", expose = true }\n" : " }\n");
	}
}

static void put_tables(struct buf *b, const char *name, enum app__table table, const void *list, uint32_t n, const char *root)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct app_item *item = (const void *)((const char *)list + app__rows(table).size * i);
		buf_printf(b, "\n[%s.%s]\n", name, item->name);
		put_lines(b, table, item, root);
	}
}

static void put_triggers(struct buf *b, const struct app_triggers *t, const char *root)
{
	struct app__rows r = app__rows(APP__triggers);
	for (uint32_t k = 0; k < r.n; k++) {
		const struct app__list *list = (const void *)((const char *)t + r.keys[k].offset);
		for (uint32_t i = 0; i < list->n; i++) {
			buf_printf(b, "\n[[trigger.%s]]\n", r.keys[k].name);
			put_lines(b, r.keys[k].of, (const char *)list->list + app__rows(r.keys[k].of).size * i, root);
		}
	}
}

static bool print(const struct app *app, const char *root, struct buf *b)
{
	buf_put_str(b, "tenon = 1\n\n[app]\n");
	put_lines(b, APP__about, &app->about, root);
	if (app->http.item.is_given) {
		buf_put_str(b, "\n[http]\n");
		put_lines(b, APP__http, &app->http, root);
	}
	put_variables(b, app, root);
	put_tables(b, "component", APP__component, app->components.list, app->components.n, root);
	put_tables(b, "link", APP__link, app->links.list, app->links.n, root);
	put_triggers(b, &app->triggers, root);
	return !b->failed;
}

bool app_print(const struct app *app, struct buf *b)
{
	return print(app, NULL, b);
}

bool app_print_whole(const struct app *app, struct buf *b)
{
	return print(app, app->root, b);
}
