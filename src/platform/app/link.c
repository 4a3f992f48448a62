// Links: what each type of provider needs and takes, what the rows of a component name, no circles; and which row an import is bound by.
#include "app_int.h"

// ---- by type -----------------------------------------------------------------------------------------------------------------------------------

static const struct {
	const char *name;
	const char *schemes[3];   // of url
	const char *needs, *takes;  // keys besides type, start, deadline; "" between spaces
	uint64_t deadline;
} types[] = {
	[APP_LINK_MEMORY] = {"memory", {"memory:"}, "", " url namespace buckets keep_old ", 2 * SECOND},
	[APP_LINK_FILE] = {"file", {NULL}, "path", " path namespace buckets keep_old ", 2 * SECOND},
	[APP_LINK_REDIS] = {"redis", {"redis://", "rediss://"}, "url", " url namespace buckets pool keep_old ", 2 * SECOND},
	[APP_LINK_NATS] = {"nats", {"nats://", "tls://"}, "url", " url namespace buckets keep_old ", 2 * SECOND},
	[APP_LINK_HTTP] = {"http", {NULL}, "hosts", " hosts methods headers pool ", 30 * SECOND},
	[APP_LINK_COMPONENT] = {"component", {NULL}, "component", " component ", 0},
};

struct given {
	const char *key;
	struct app_place at;
	bool is;
};

static bool check_keys_of_type(struct app__load *l, const struct app_link *k)
{
	const struct given rows[] = {{"url", k->url.at, k->url.text}, {"path", k->path.at, k->path.text}, {"component", k->component.at, k->component.text},
		{"namespace", k->name_space.at, k->name_space.text}, {"buckets", k->buckets.at, k->buckets.is_given}, {"pool", k->pool.at, k->pool.is_given},
		{"keep_old", k->keep_old.at, k->keep_old.is_given}, {"hosts", k->hosts.at, k->hosts.is_given}, {"methods", k->methods.at, k->methods.is_given},
		{"headers", k->headers.at, k->headers.is_given}};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char word[32];
		snprintf(word, sizeof word, " %s ", rows[i].key);
		if (rows[i].is && !strstr(types[k->type.value].takes, word))
			return app__fail(l, rows[i].at, "link.%s: a link of type %s has no %s", k->item.name, types[k->type.value].name, rows[i].key);
		if (!rows[i].is && strcmp(types[k->type.value].needs, rows[i].key) == 0)
			return app__fail(l, k->item.at, "link.%s.%s is missing: type %s needs it", k->item.name, rows[i].key, types[k->type.value].name);
	}
	return true;
}

static bool check_url(struct app__load *l, const struct app_link *k)
{
	const char *const *s = types[k->type.value].schemes;
	const char *path = k->url.text && strstr(k->url.text, "://") ? strchr(strstr(k->url.text, "://") + 3, '/') : NULL;
	if (!k->url.text)
		return true;
	if (path && strchr(path, '@')) {
		app__fail(l, k->url.at, "link.%s: there is an '@' behind the first '/' of the url", k->item.name);
		return l->e ? err_hint(l->e, "a '/' in a password is written %%2F") : false;
	}
	for (size_t i = 0; i < 3 && s[i]; i++)
		if (slice_starts_with(slice_str(k->url.text), slice_str(s[i])) && strlen(k->url.text) >= strlen(s[i]) + (k->type.value != APP_LINK_MEMORY))
			return true;
	app__fail(l, k->url.at, "link.%s: type %s has no such url", k->item.name, types[k->type.value].name);
	return l->e ? err_hint(l->e, "it begins with %s%s%s", s[0], s[1] ? " or " : "", s[1] ? s[1] : "") : false;
}

// ${x}, and nothing else.
static bool is_reference(struct slice s)
{
	return slice_starts_with(s, SLICE_LIT("${")) && slice_find(s, '}') + 1 == s.len;
}

// A password that stands in the file is no reference (contract, section 4). What comes before the last '@' of the authority is who asks: also '?' and '#', which a
// store takes for a part of it (link_target_parse).
bool app__url_password(const char *url, size_t *ret_from, size_t *ret_to)
{
	const char *authority = strstr(url, "://");
	if (!authority)
		return false;
	bool has_token = slice_starts_with(slice_str(url), SLICE_LIT("nats:")) || slice_starts_with(slice_str(url), SLICE_LIT("tls:"));
	bool is_store = has_token || slice_starts_with(slice_str(url), SLICE_LIT("redis"));  // behind the '/' of these there is no '@': it is one of the password
	authority += 3;
	size_t at = is_store ? strlen(authority) : strcspn(authority, "/");
	while (at > 0 && authority[at - 1] != '@')
		at--;
	if (at == 0)
		return false;
	size_t colon = slice_find(slice_of(authority, at - 1), ':'), from = colon < at - 1 ? colon + 1 : has_token ? 0
																											   : at - 1;
	*ret_from = (size_t)(authority - url) + from;
	*ret_to = (size_t)(authority - url) + at - 1;
	return *ret_to > *ret_from && !is_reference(slice_of(authority + from, at - 1 - from));
}

static bool note_password(struct app__load *l, const struct app_link *k)
{
	size_t from, to;
	if (!k->url.raw || !app__url_password(k->url.raw, &from, &to))
		return true;
	return app__note(l, k->url.at, "link.%s: a password stands in the manifest; ${variable} keeps it out of it", k->item.name);
}

static bool check_link(struct app__load *l, struct app_link *k)
{
	k->target = APP_NONE;
	if (!k->deadline.is_given)
		k->deadline.value = types[k->type.value].deadline;
	if (!check_keys_of_type(l, k) || !check_url(l, k) || !note_password(l, k))
		return false;
	return app__resolve_path(l, &k->path, &k->file) && app__find_component(l, &k->component, &k->target);
}

static const char *place_of(struct app__load *l, const struct app_link *k)
{
	struct slice place;
	if (l->in->store_place && l->in->store_place(l->in->ctx, l->arena, k, &place))
		return (const char *)place.ptr;
	return k->url.text ? k->url.text : k->type.value == APP_LINK_MEMORY ? "memory:"
																		: k->file;
}

// Two links to the same store: what is written by one is seen by the other.
static bool note_shared(struct app__load *l)
{
	struct map seen;
	map_init(&seen, l->arena);
	for (uint32_t i = 0; i < l->app->links.n; i++) {
		const struct app_link *k = &l->app->links.list[i];
		const char *where = app_link_is_store(k) ? place_of(l, k) : NULL;
		bool nomem = false;
		uintptr_t other = 0;
		if (!where)
			continue;
		const char *key = app__format_text(l, "%llu\n%s\n%s", (unsigned long long)k->type.value, where, k->name_space.text ? k->name_space.text : "\n");
		if (!key)
			return false;
		if (map_insert(&seen, slice_str(key), i, &nomem))
			continue;
		if (nomem || !map_get(&seen, slice_str(key), &other))
			return err_nomem(l->e);
		if (!app__note(l, k->item.at, "link.%s and link.%s are one store", l->app->links.list[other].item.name, k->item.name))
			return false;
	}
	return true;
}

// ---- rows of components ------------------------------------------------------------------------------------------------------------------------

static const char *link_at(const void *list, uint32_t i)
{
	return ((const struct app_link *)list)[i].item.name;
}

static bool is_label(struct slice s)
{
	struct wit_name n;
	return wit_name_parse(s, false, &n, NULL) && n.kind == WIT_NAME_LABEL;
}

// "ns:pkg": an interface's name would follow.
static bool is_package(struct slice s)
{
	struct wit_name n;
	struct buf b = {.max = 1024};
	buf_put_slice(&b, s);
	buf_put_str(&b, "/x");
	bool is = !b.failed && slice_find(s, '/') == s.len && slice_find(s, '@') == s.len && wit_name_parse(buf_view(&b), false, &n, NULL) && n.kind == WIT_NAME_INTERFACE;
	buf_release(&b);
	return is;
}

static bool is_interface(struct slice s)
{
	struct wit_name n;
	return wit_name_parse(s, false, &n, NULL) && n.kind == WIT_NAME_INTERFACE;
}

static bool check_row(struct app__load *l, const struct app_component *c, const struct app_pair *p, uint32_t *ret)
{
	struct slice key = slice_str(p->name);
	uintptr_t i;
	if (!is_label(key) && !is_package(key) && !is_interface(key)) {
		app__fail(l, p->at, "component.%s.links: '%.80s' names no import", c->item.name, p->name);
		return l->e ? err_hint(l->e, "a label, ns:pkg/iface@version, ns:pkg/iface or ns:pkg") : false;
	}
	if (map_get(&l->links, slice_str(p->value.text), &i)) {
		*ret = (uint32_t)i;
		return true;
	}
	app__fail(l, p->value.at, "there is no link '%s'", p->value.text);
	if (l->e && l->app->links.n)
		err_hint(l->e, "the nearest one is '%s'", app__nearest(slice_str(p->value.text), link_at, l->app->links.list, l->app->links.n));
	else if (l->e)
		err_hint(l->e, "[link.%s] would say what it is", p->value.text);
	return false;
}

static bool check_rows(struct app__load *l, struct app_component *c)
{
	uint32_t *of = ARENA_ARRAY(l->arena, uint32_t, c->links.n);
	if (c->links.n > APP_MAX_LINKS)
		return app__fail(l, c->links.at, "component.%s.links has more than %u rows", c->item.name, APP_MAX_LINKS);
	if (!of && c->links.n)
		return err_nomem(l->e);
	c->link_of = of;
	for (uint32_t i = 0; i < c->links.n; i++)
		if (!check_row(l, c, &c->links.list[i], &of[i]))
			return false;
	return true;
}

// ---- circles -----------------------------------------------------------------------------------------------------------------------------------

enum { WHITE, GREY, BLACK };
struct walk {
	uint32_t component, row;
};

static bool circle(struct app__load *l, const struct walk *stack, uint32_t depth, uint32_t back_to)
{
	struct buf b = {.max = 256};
	uint32_t from = 0;
	while (stack[from].component != back_to)
		from++;
	for (uint32_t i = from; i < depth; i++)
		buf_printf(&b, "%s -> ", l->app->components.list[stack[i].component].item.name);
	const struct app_component *last = &l->app->components.list[stack[depth - 1].component];
	app__fail(l, last->links.list[stack[depth - 1].row - 1].value.at, "components are linked in a circle: %.*s%s", SLICE_ARGS(buf_view(&b)),
		l->app->components.list[back_to].item.name);
	if (l->e)
		l->e->code = ERR_LINK;
	buf_release(&b);
	return false;
}

// Depth first, each component and row once.
static bool check_circles_from(struct app__load *l, uint8_t *colour, struct walk *stack, uint32_t start)
{
	const struct app *app = l->app;
	uint32_t depth = 1;
	stack[0] = (struct walk){start, 0};
	colour[start] = GREY;
	while (depth > 0) {
		struct walk *w = &stack[depth - 1];
		const struct app_component *c = &app->components.list[w->component];
		if (w->row == c->links.n) {
			colour[w->component] = BLACK;
			depth--;
			continue;
		}
		uint32_t to = app->links.list[c->link_of[w->row++]].target;
		if (to == APP_NONE || colour[to] == BLACK)
			continue;
		if (colour[to] == GREY)
			return circle(l, stack, depth, to);
		colour[to] = GREY;
		stack[depth++] = (struct walk){to, 0};
	}
	return true;
}

static bool check_circles(struct app__load *l)
{
	uint32_t n = l->app->components.n;
	uint8_t *colour = ARENA_ARRAY(l->arena, uint8_t, n + 1);
	struct walk *stack = ARENA_ARRAY(l->arena, struct walk, n + 1);
	if (!colour || !stack)
		return err_nomem(l->e);
	for (uint32_t i = 0; i < n; i++)
		if (colour[i] == WHITE && !check_circles_from(l, colour, stack, i))
			return false;
	return true;
}

bool app__check_links(struct app__load *l)
{
	for (uint32_t i = 0; i < l->app->links.n; i++)
		if (!check_link(l, UNCONST(&l->app->links.list[i])))
			return false;
	for (uint32_t i = 0; i < l->app->components.n; i++)
		if (!check_rows(l, UNCONST(&l->app->components.list[i])))
			return false;
	return note_shared(l) && check_circles(l);
}
