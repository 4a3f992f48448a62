// What differs between two models of an app, by what is to be done. An app that isn't there yet, or is stopped, is a model with nothing in it.
#include "up_live.h"

enum { NAMES_MAX = UP_MAX_COMPONENTS + UP_MAX_LINKS };

static bool starts(const char *text, const char *with)
{
	return text && strncmp(text, with, strlen(with)) == 0;
}

static bool is(const char *text, const char *other)
{
	return text && strcmp(text, other) == 0;
}

static bool refuse(const struct app_change *c, const char *what, const char *hint, struct err *e)
{
	err_set(e, ERR_REFUSED, "%s%s%s%s%s: that isn't changed while the app runs", what, c->name ? " " : "", c->name ? c->name : "", c->key ? " " : "", c->key ? c->key : "");
	return !hint ? false : err_hint(e, "%s", hint);
}

static void add(const char **names, uint32_t *n, const char *name)
{
	if (!cli__up_is_among(names, *n, name))
		names[(*n)++] = name;
}

static void open_link(struct up_plan *p, const struct app_link *l)
{
	for (uint32_t i = 0; i < p->n_open; i++)
		if (p->open[i] == l)
			return;
	p->open[p->n_open++] = l;
}

// ---- what changed ----------------------------------------------------------------------------------------------------------------------------------

// How an update goes, and how it is built, are read when they are needed.
static bool needs_version(const struct app_change *c)
{
	return !starts(c->key, "update") && !starts(c->key, "build");
}

static void plan_component(struct up_plan *p, const struct app_change *c)
{
	if (c->how == APP_REMOVED)
		add(p->leave, &p->n_leave, c->name);
	else if (c->how == APP_ADDED || needs_version(c))
		add(p->load, &p->n_load, c->name);
	p->routes |= is(c->key, "policy") && (is(c->before, "\"keep\"") || is(c->after, "\"keep\""));  // they lead to the thread that has it, or to any
}

// Which store it is; what belongs to some types of them goes with it.
static bool is_of_store(const struct app_change *c)
{
	return is(c->key, "type") || is(c->key, "url") || is(c->key, "path") || is(c->key, "pool");
}

static bool plan_link(struct up_plan *p, const struct ctl_turn *t, const struct app_change *c, struct err *e)
{
	const struct app_link *before = app_link_find(t->from->app, c->name), *after = app_link_find(t->to->app, c->name);
	if (c->how == APP_CHANGED && app_link_is_store(before) && app_link_is_store(after)) {
		if (cli__up_is_among(t->moved, t->n_moved, c->name))
			return is_of_store(c) || refuse(c, "link", "its store moves: change the rest before or after", e);
		if (is(c->key, "namespace"))
			return refuse(c, "link", "a namespace is another store: what is in this one would stay behind", e);
	}
	if (before)
		add(p->close, &p->n_close, c->name);
	if (after)
		open_link(p, after);
	return true;
}

// What is in the stores of an app that is stopped isn't left behind by its start.
static bool check_stores(struct arena *a, const struct app *was, const struct app *to, struct err *e)
{
	const struct app_change *list;
	uint32_t n;
	if (!app_diff(a, was, to, &list, &n, e))
		return false;
	for (uint32_t i = 0; i < n; i++) {
		const struct app_change *c = &list[i];
		const struct app_link *before = app_link_find(was, c->name), *after = app_link_find(to, c->name);
		if (c->part != APP_PART_LINK || c->how != APP_CHANGED || !app_link_is_store(before) || !app_link_is_store(after))
			continue;
		bool moved = is(c->key, "namespace");
		if (!moved && is_of_store(c) && !is(c->key, "pool") && !ctl_link_has_moved(a, before, after, &moved, e))
			return false;
		if (!moved)
			continue;
		err_set(e, ERR_REFUSED, "link %s: app %s was stopped with another store (%s = %s): what is in that one would stay behind", c->name, was->about.name.text, c->key,
			c->before ? c->before : "unset");
		return err_hint(e, "start it with that store (tenon undo %s, or the manifest says so), then: tenon link", was->about.name.text);
	}
	return true;
}

static bool plan_change(struct up_plan *p, const struct ctl_turn *t, const struct app_change *c, struct err *e)
{
	switch (c->part) {
	case APP_PART_APP:
		p->calls |= starts(c->key, "limits");
		return starts(c->key, "version") || starts(c->key, "limits") || refuse(c, "[app]", NULL, e);
	case APP_PART_HTTP:
		p->http = p->routes = true;  // they are on another listener
		return true;
	case APP_PART_LINK:
		return plan_link(p, t, c, e);
	case APP_PART_COMPONENT:
		plan_component(p, c);
		return true;
	case APP_PART_HTTP_TRIGGER:
		p->routes = true;
		return true;
	case APP_PART_CRON:
	case APP_PART_START:
	case APP_PART_COMMAND:
		return true;  // what runs is looked at as a whole
	case APP_PART_VARIABLE:
		break;
	}
	return true;
}

// ---- what follows from it --------------------------------------------------------------------------------------------------------------------------

static bool is_opened(const struct up_plan *p, const struct app_link *l)
{
	for (uint32_t i = 0; i < p->n_open; i++)
		if (p->open[i] == l)
			return true;
	return false;
}

// Components are bound to a link that is made anew once more, and a route's component answers in its place.
static void plan_bound(struct up_plan *p, const struct app *to)
{
	for (uint32_t i = 0; i < to->components.n; i++) {
		const struct app_component *c = &to->components.list[i];
		for (uint32_t k = 0; k < c->links.n; k++)
			if (is_opened(p, &to->links.list[c->link_of[k]]))
				add(p->load, &p->n_load, c->item.name);
	}
}

static void plan_all(struct up_plan *p, const struct app *from, const struct app *to)
{
	p->routes = p->calls = true;
	p->http = to != NULL;
	for (uint32_t i = 0; from && i < from->components.n; i++)
		add(p->leave, &p->n_leave, from->components.list[i].item.name);
	for (uint32_t i = 0; from && i < from->links.n; i++)
		add(p->close, &p->n_close, from->links.list[i].item.name);
	for (uint32_t i = 0; to && i < to->components.n; i++)
		add(p->load, &p->n_load, to->components.list[i].item.name);
	for (uint32_t i = 0; to && i < to->links.n; i++)
		open_link(p, &to->links.list[i]);
}

static bool has_runs(const struct app *app)
{
	return app && (app->triggers.cron.n || app->triggers.start.n || app->triggers.command.n);
}

static uint32_t most(const struct app *from, const struct app *to)
{
	return (from ? from->components.n + from->links.n : 0) + (to ? to->components.n + to->links.n : 0) + 1;
}

bool cli__up_plan(struct arena *a, const struct ctl_turn *t, struct up_plan *ret, struct err *e)
{
	const struct app *from = t->from ? t->from->app : NULL, *to = t->to ? t->to->app : NULL;
	const struct app_change *list;
	uint32_t n, size = most(from, to);
	*ret = (struct up_plan){.load = ARENA_ARRAY(a, const char *, size), .leave = ARENA_ARRAY(a, const char *, size)};
	ret->open = ARENA_ARRAY(a, const struct app_link *, size);
	ret->close = ARENA_ARRAY(a, const char *, size);
	if (!ret->load || !ret->leave || !ret->open || !ret->close)
		return err_nomem(e);
	ret->runs = has_runs(from) || has_runs(to);
	if (!from && to && t->was && !check_stores(a, t->was->app, to, e))
		return false;
	if (!from || !to) {
		plan_all(ret, from, to);
		return true;
	}
	if (!app_diff(a, from, to, &list, &n, e))
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!plan_change(ret, t, &list[i], e))
			return false;
	for (uint32_t i = 0; i < t->n_replaced; i++)
		add(ret->load, &ret->n_load, t->replaced[i]);
	plan_bound(ret, to);
	return true;
}
