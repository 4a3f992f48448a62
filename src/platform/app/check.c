// What more than one value tells: references, what goes with what, what is found from what was given.
#include "app_int.h"

// ---- names ------------------------------------------------------------------------------------------------------------------------

static bool index_items(struct app__load *l, struct map *map, const void *list, size_t size, uint32_t n)
{
	bool nomem = false;
	map_init(map, l->arena);
	for (uint32_t i = 0; i < n; i++)
		if (!map_insert(map, slice_str(((const struct app_item *)(const void *)((const char *)list + size * i))->name), i, &nomem))
			return err_nomem(l->e);
	return true;
}

// ---- components --------------------------------------------------------------------------------------------------------------------------------

// What flags say that have a field of their own moves there.
static bool move_limit(struct app__load *l, struct app_component *c, enum app_limit_kind kind, struct app_number *field, const char *also)
{
	struct app_limit *list = UNCONST(c->limits.list);
	for (uint32_t i = 0; i < c->limits.n; i++) {
		if (list[i].kind != kind)
			continue;
		if (field->is_given)
			return app__fail(l, list[i].at, "%s is given twice, also as %s in line %u", app__limit_row(kind)->flag, also, field->at.line);
		*field = (struct app_number){list[i].value, list[i].at, true};
		memmove(list + i, list + i + 1, (c->limits.n - i - 1) * sizeof *list);
		c->limits.n--;
	}
	return true;
}

static bool check_instances(struct app__load *l, struct app_component *c)
{
	struct app_instances *i = &c->instances;
	if (c->idle.is_given && i->idle.is_given)
		return app__fail(l, c->idle.at, "idle is given twice, also in line %u", i->idle.at.line);
	if (c->idle.is_given)
		i->idle = c->idle;
	if (!move_limit(l, c, APP_LIMIT_idle, &i->idle, "instances.idle") ||
		!move_limit(l, c, APP_LIMIT_requests_per_instance, &c->requests_per_instance, "requests-per-instance") ||
		!move_limit(l, c, APP_LIMIT_concurrency, &c->concurrency, "concurrency"))
		return false;
	// It is there once, whatever it was written as.
	i->item.is_given |= i->idle.is_given;
	c->idle = (struct app_number){i->idle.value, {0}, false};
	if (c->policy.value == APP_KEEP) {
		const struct app_number *wrong = i->min.is_given && i->min.value != 1 ? &i->min : i->max.is_given && i->max.value != 1 ? &i->max
			: i->idle.is_given && i->idle.value != 0                                                                           ? &i->idle
																															   : NULL;
		if (wrong) {
			app__fail(l, wrong->at, "policy keep has one instance for all calls, for ever");
			return l->e ? err_hint(l->e, "it means min = max = 1, idle = \"none\": leave instances out, or choose another policy") : false;
		}
		i->min.value = i->max.value = 1;
		i->idle.value = 0;
	}
	if (i->max.value && i->min.value > i->max.value)
		return app__fail(l, i->min.is_given ? i->min.at : i->max.at, "instances: min %llu is more than max %llu", (unsigned long long)i->min.value, (unsigned long long)i->max.value);
	if (c->concurrency.is_given && c->policy.value != APP_CONCURRENT)
		return app__note(l, c->concurrency.at, "component.%s: concurrency is about policy concurrent", c->item.name);
	if (c->requests_per_instance.is_given && c->policy.value != APP_REUSE && c->policy.value != APP_CONCURRENT)
		return app__note(l, c->requests_per_instance.at, "component.%s: requests-per-instance is about policies reuse and concurrent", c->item.name);
	return true;
}

static bool check_env(struct app__load *l, const struct app_component *c)
{
	for (uint32_t i = 0; i < c->env.n && !c->expose.value; i++) {
		const struct app_text *t = &c->env.list[i].value;
		const char *name = t->is_secret ? app__hidden_variable(l, t->raw) : NULL;
		if (name) {
			app__fail(l, t->at, "component.%s.env.%s has the secret '%s' in it, and an environment is easily shown", c->item.name, c->env.list[i].name, name);
			return l->e ? err_hint(l->e, "give it by config, or say expose = true in the component or at the variable") : false;
		}
	}
	return true;
}

static bool check_files(struct app__load *l, const struct app_component *c)
{
	struct map seen;
	bool nomem = false;
	map_init(&seen, l->arena);
	for (uint32_t i = 0; i < c->files.n; i++) {
		struct app_file *f = UNCONST(&c->files.list[i]);
		if (f->guest.text[0] == 0)
			return app__fail(l, f->guest.at, "component.%s.files: the guest has no name for the folder", c->item.name);
		if (!map_insert(&seen, slice_str(f->guest.text), i, &nomem))
			return nomem ? err_nomem(l->e) : app__fail(l, f->guest.at, "component.%s.files: two folders that the guest calls '%s'", c->item.name, f->guest.raw);
		if (!app__resolve_path(l, &f->host, &f->path))
			return false;
	}
	return true;
}

// What takes nothing back.
static bool look_at_rollback(struct app__load *l, const struct app_component *c)
{
	const struct app_rollback *r = &c->update.rollback;
	enum { ALL = 10000 };  // hundredths of a percent
	if (r->item.is_given && !r->errors.value && !r->p99.value)
		return app__note(l, r->item.at, "component.%s: update.rollback takes nothing back without errors or p99", c->item.name);
	return r->errors.value < ALL || app__note(l, r->errors.at, "component.%s: no more than 100 %% of the calls can fail: errors takes nothing back", c->item.name);
}

static bool check_component(struct app__load *l, struct app_component *c)
{
	const struct app_sticky *s = &c->update.sticky;
	if (s->item.is_given && (s->cookie.text != NULL) == (s->header.text != NULL))
		return app__fail(l, s->item.at, "component.%s.update.sticky is by a cookie or by a header", c->item.name);
	if (c->private_ranges.n && c->network.n == 0 && c->links.n == 0)
		return app__fail(l, c->private_ranges.at, "component.%s: private is about what network lets out, and there is none", c->item.name);
	return app__resolve_path(l, &c->source, &c->path) && check_instances(l, c) && look_at_rollback(l, c) && check_env(l, c) && check_files(l, c);
}

// ---- triggers ----------------------------------------------------------------------------------------------------------------------------------

static bool check_route(struct app__load *l, struct app_route *r)
{
	int answers = (r->component.text != NULL) + r->fixed.item.is_given + r->redirect.item.is_given;
	uint64_t status = r->redirect.status.value, fixed = r->fixed.status.value;
	if (answers != 1) {
		app__fail(l, r->item.at, answers ? "trigger.http has more than one answer" : "trigger.http without an answer");
		return l->e ? err_hint(l->e, "one of component, static, redirect") : false;
	}
	if ((r->route.text != NULL) == (r->is_private.value != 0))
		return app__fail(l, r->item.at, r->route.text ? "trigger.http has a route and is private" : "trigger.http.route is missing");
	if (r->is_private.value && !r->component.text)
		return app__fail(l, r->is_private.at, "trigger.http: only a component is reached by others");
	if (r->limits.n && !r->component.text)
		return app__fail(l, r->limits.at, "trigger.http.limits are those of a component's call");
	if (r->redirect.item.is_given && (status < 301 || (status > 303 && status != 307 && status != 308)))
		return app__fail(l, r->redirect.status.at, "trigger.http.redirect.status is 301, 302, 303, 307 or 308");
	if (r->fixed.item.is_given && (fixed < 200 || fixed > 599))
		return app__fail(l, r->fixed.status.at, "trigger.http.static.status is 200 to 599");
	return app__find_component(l, &r->component, &r->target);
}

static bool check_triggers(struct app__load *l)
{
	struct app_triggers *t = &l->app->triggers;
	for (uint32_t i = 0; i < t->http.n; i++)
		if (!check_route(l, UNCONST(&t->http.list[i])))
			return false;
	for (uint32_t i = 0; i < t->cron.n; i++) {
		struct app_cron *c = UNCONST(&t->cron.list[i]);
		if (!app__find_component(l, &c->component, &c->target) || !app__schedule(l, c))
			return false;
	}
	for (uint32_t i = 0; i < t->start.n; i++)
		if (!app__find_component(l, &t->start.list[i].component, UNCONST(&t->start.list[i].target)))
			return false;
	for (uint32_t i = 0; i < t->command.n; i++)
		if (!app__find_component(l, &t->command.list[i].component, UNCONST(&t->command.list[i].target)))
			return false;
	return app__check_routes(l);
}

// A trigger, whatever its kind.
struct trigger {
	struct app_item *item;
	const struct app_text *id;
	const char *called;  // what it is named after
};

static uint32_t n_triggers(const struct app_triggers *t)
{
	return t->http.n + t->cron.n + t->start.n + t->command.n;
}

static struct trigger trigger_at(const struct app_triggers *t, uint32_t i)
{
	if (i < t->http.n) {
		const struct app_route *r = &t->http.list[i];
		return (struct trigger){UNCONST(&r->item), &r->id, r->component.text ? r->component.text : r->fixed.item.is_given ? "static"
																														  : "redirect"};
	}
	i -= t->http.n;
	if (i < t->cron.n)
		return (struct trigger){UNCONST(&t->cron.list[i].item), &t->cron.list[i].id, t->cron.list[i].component.text};
	i -= t->cron.n;
	if (i < t->start.n)
		return (struct trigger){UNCONST(&t->start.list[i].item), &t->start.list[i].id, t->start.list[i].component.text};
	i -= t->start.n;
	return (struct trigger){UNCONST(&t->command.list[i].item), &t->command.list[i].id, t->command.list[i].component.text};
}

// NAME, else NAME-2, NAME-3…: the first that is free. `counts` has how far a name has come, so that many of one name cost no more than others.
static bool name_trigger(struct app__load *l, struct map *taken, struct map *counts, struct trigger t)
{
	bool nomem = false;
	uintptr_t n = 0;
	uint32_t *count;
	if (!map_get(counts, slice_str(t.called), &n)) {
		count = ARENA_NEW(l->arena, uint32_t);
		if (!count || !map_insert(counts, slice_str(t.called), (uintptr_t)count, &nomem))
			return err_nomem(l->e);
	} else {
		count = (uint32_t *)n;
	}
	do {
		++*count;
		t.item->name = *count == 1 ? t.called : app__format_text(l, "%s-%u", t.called, *count);
		if (!t.item->name)
			return false;
	} while (!map_insert(taken, slice_str(t.item->name), 0, &nomem) && !nomem);
	return !nomem || err_nomem(l->e);
}

static bool name_triggers(struct app__load *l)
{
	const struct app_triggers *all = &l->app->triggers;
	struct map taken, counts;
	bool nomem = false;
	map_init(&taken, l->arena);
	map_init(&counts, l->arena);
	for (uint32_t i = 0; i < n_triggers(all); i++) {
		struct trigger t = trigger_at(all, i);
		t.item->name = t.id->text;
		if (t.id->text && !map_insert(&taken, slice_str(t.id->text), 0, &nomem))
			return nomem ? err_nomem(l->e) : app__fail(l, t.id->at, "two triggers are called '%s'", t.id->text);
	}
	for (uint32_t i = 0; i < n_triggers(all); i++)
		if (!trigger_at(all, i).id->text && !name_trigger(l, &taken, &counts, trigger_at(all, i)))
			return false;
	return true;
}

// ---- the whole ---------------------------------------------------------------------------------------------------------------------------------

static bool check_unused(struct app__load *l)
{
	const struct app *app = l->app;
	bool *used = ARENA_ARRAY(l->arena, bool, app->components.n + 1);
	if (!used)
		return err_nomem(l->e);
	for (uint32_t i = 0; i < app->links.n; i++)
		if (app->links.list[i].target != APP_NONE)
			used[app->links.list[i].target] = true;
	for (uint32_t i = 0; i < n_triggers(&app->triggers); i++) {
		struct trigger t = trigger_at(&app->triggers, i);
		uintptr_t at;
		if (map_get(&l->components, slice_str(t.called), &at))
			used[at] = true;
	}
	for (uint32_t i = 0; i < app->components.n; i++)
		if (!used[i] && !app__note(l, app->components.list[i].item.at, "component.%s: no trigger and no link calls it", app->components.list[i].item.name))
			return false;
	return true;
}

bool app__check(struct app__load *l)
{
	struct app *app = l->app;
	if (app->tenon.value != 1) {
		app__fail(l, app->tenon.at, "this is format %llu of tenon.toml, and only 1 is known", (unsigned long long)app->tenon.value);
		return l->e ? err_hint(l->e, "a newer tenon may read it") : false;
	}
	if (!index_items(l, &l->components, app->components.list, sizeof *app->components.list, app->components.n) ||
		!index_items(l, &l->links, app->links.list, sizeof *app->links.list, app->links.n))
		return false;
	if (!app__resolve_path(l, &app->http.tls.cert, &app->http.tls.cert_path) || !app__resolve_path(l, &app->http.tls.key, &app->http.tls.key_path))
		return false;
	for (uint32_t i = 0; i < app->components.n; i++)
		if (!check_component(l, UNCONST(&app->components.list[i])))
			return false;
	return check_triggers(l) && name_triggers(l) && app__check_links(l) && check_unused(l);
}
