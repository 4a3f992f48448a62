// From the model of a manifest to what serve runs: components to services, triggers to routes, addresses to listeners. What can't act yet is refused by its
// name and place: nothing that a manifest says is passed over.
#include "up.h"

// ---- components ----------------------------------------------------------------------------------------------------------------------------

static void take_limit(const struct app_limit *l, struct serve_service_config *ret)
{
	switch (l->kind) {
#define SERVE_LIMIT(scope, ...) SERVE_LIMIT_##scope(__VA_ARGS__)
#define SERVE_LIMIT_process(...)
#define SERVE_LIMIT_listener(...)
#define SERVE_LIMIT_service(field, ...) \
	case APP_LIMIT_##field:             \
		ret->limits.field = l->value;   \
		return;
#include "app/limits.def"
#undef SERVE_LIMIT
#undef SERVE_LIMIT_process
#undef SERVE_LIMIT_listener
#undef SERVE_LIMIT_service
	default:
		ret->tree_memory = l->value;  // it has no flag
	}
}

static bool take_pairs(struct up *u, const struct app_pairs *from, struct serve_service_config *ret, bool env, struct err *e)
{
	for (uint32_t i = 0; i < from->n; i++) {
		struct serve_pair pair = {from->list[i].name, from->list[i].value.text};
		bool ok = env ? VEC_PUSH(u->arena, &ret->env, pair, CLI_MAX_ENV) : VEC_PUSH(u->arena, &ret->settings, pair, CLI_MAX_ENV);
		if (!ok)
			return err_set(e, ERR_LIMIT, "more than %d values", CLI_MAX_ENV);
	}
	return true;
}

static bool take_files(struct up *u, const struct app *app, const struct app_component *from, struct serve_service_config *ret, struct err *e)
{
	for (uint32_t i = 0; i < from->files.n; i++) {
		const struct app_file *f = &from->files.list[i];
		if (!cli__up_folder(app, f, e))
			return false;
		struct serve_folder folder = {f->path, f->guest.text, !f->write.value};
		if (!VEC_PUSH(u->arena, &ret->folders, folder, CLI_MAX_DIRS))
			return err_set(e, ERR_LIMIT, "more than %d folders", CLI_MAX_DIRS);
	}
	return true;
}

static bool take_network(struct up *u, const struct app_component *from, struct serve_service_config *ret, struct err *e)
{
	for (uint32_t i = 0; i < from->network.n; i++)
		if (!VEC_PUSH(u->arena, &ret->nets, from->network.list[i].text, CLI_MAX_NETS))
			return err_set(e, ERR_LIMIT, "more than %d rules", CLI_MAX_NETS);
	for (uint32_t i = 0; i < from->private_ranges.n; i++)
		if (!VEC_PUSH(u->arena, &ret->private_ranges, from->private_ranges.list[i].text, CLI_MAX_NETS))
			return err_set(e, ERR_LIMIT, "more than %d ranges", CLI_MAX_NETS);
	for (uint32_t i = 0; i < from->listen.n; i++) {
		struct slice text = slice_str(from->listen.list[i].text);
		struct seam_listen l;
		if (!seam_listen_parse(slice_sub(text, 6, text.len), slice_starts_with(text, SLICE_LIT("udp://")), &l, e))
			return false;
		if (!VEC_PUSH(u->arena, &ret->listens, l, CLI_MAX_NETS))
			return err_set(e, ERR_LIMIT, "more than %d addresses", CLI_MAX_NETS);
	}
	return true;
}

static bool take_policy(const struct app *app, const struct app_component *from, struct serve_service_config *ret, struct err *e)
{
	static const enum serve_policy policies[] = {[APP_FRESH] = SERVE_FRESH, [APP_REUSE] = SERVE_REUSE, [APP_KEEP] = SERVE_KEEP, [APP_CONCURRENT] = SERVE_CONCURRENT};
	static const enum serve_init inits[] = {[APP_INIT_AUTO] = SERVE_INIT_AUTO, [APP_INIT_ONCE] = SERVE_INIT_ONCE, [APP_INIT_EACH] = SERVE_INIT_EACH};
	bool reuses = from->policy.value == APP_REUSE || from->policy.value == APP_CONCURRENT;
	ret->policy = policies[from->policy.value];
	ret->init = inits[from->init.value];
	ret->max_instances = from->instances.max.value;
	ret->min_instances = from->instances.min.value;
	ret->idle_fresh = ret->policy == SERVE_FRESH ? from->instances.idle.value : 0;
	if (ret->policy == SERVE_CONCURRENT)
		ret->limits.concurrency = from->concurrency.value;
	if (reuses) {
		ret->limits.requests_per_instance = from->requests_per_instance.value;
		ret->limits.idle = from->instances.idle.value;
	}
	return true;
}

static bool take_warm(struct up *u, const struct app *app, const struct app_component *from, struct serve_service_config *ret, struct err *e)
{
	if (from->warm.n > APP_WARM_MAX)
		return err_set(e, ERR_LIMIT, "more than %d paths", APP_WARM_MAX) || cli__up_at(app, from->warm.at, e);
	for (uint32_t i = 0; i < from->warm.n; i++)
		if (!VEC_PUSH(u->arena, &ret->warm, from->warm.list[i].text, APP_WARM_MAX))
			return err_nomem(e);
	return true;
}

bool cli__up_component(struct up *u, const struct app *app, const struct app_component *from, struct serve_service_config *ret, struct err *e)
{
	struct serve_config standard;
	serve_limits_default(&standard, true);
	*ret = (struct serve_service_config){.name = from->item.name, .path = from->path, .limits = standard.service.limits, .sha256 = from->sha256.text, .is_called = true};
	ret->words = app->format == APP_SPIN ? SERVE_WORDS_SPIN : SERVE_WORDS_TENON;
	ret->no_cache = u->c->config.service.no_cache;
	ret->poison_upper = u->c->config.service.poison_upper;
	ret->features_on = u->c->config.service.features_on;
	ret->features_off = u->c->config.service.features_off;
	ret->ca = from->network.n ? u->c->config.service.ca : NULL;
	for (uint32_t i = 0; i < from->limits.n; i++)
		take_limit(&from->limits.list[i], ret);
	if (ret->tree_memory && (!ret->limits.memory || ret->limits.memory > ret->tree_memory))
		ret->limits.memory = ret->tree_memory;  // it is of the tree itself
	if (!cli_check_file(ret, false, e))
		return cli__up_at(app, from->source.at, e);
	ret->quota = cli__up_quota(u, app->about.name.text);
	if (!ret->quota)
		return err_nomem(e);
	if (!cli__up_offer(u, app, from, ret, e) || !take_policy(app, from, ret, e) || !take_warm(u, app, from, ret, e))
		return false;
	if (ret->asks_https)
		ret->ca = u->c->config.service.ca;
	return take_pairs(u, &from->env, ret, true, e) && take_pairs(u, &from->config, ret, false, e) && take_files(u, app, from, ret, e) && take_network(u, from, ret, e);
}

static bool take_one(struct up *u, const struct app *app, const struct app_component *from, struct serve_app_config *ret, struct err *e)
{
	struct serve_service_config *s = VEC_ADD(u->arena, &ret->services, UP_MAX_COMPONENTS);
	if (!s)
		return err_set(e, ERR_LIMIT, "more than %d components", UP_MAX_COMPONENTS);
	if (cli__up_component(u, app, from, s, e))
		return true;
	return err_note(e, "component %s of %s", from->item.name, app->about.name.text);
}

// The links of a component that lead to another one, from row *at on; APP_NONE: no further one.
static uint32_t next_target(const struct app *app, const struct app_component *c, uint32_t *at)
{
	while (*at < c->links.n) {
		uint32_t to = app->links.list[c->link_of[(*at)++]].target;
		if (to != APP_NONE)
			return to;
	}
	return APP_NONE;
}

struct visit {
	uint32_t component, row;
};

// Those that others call come before these: depth first, without recursion (the manifest has no circles).
static bool take_with_targets(struct up *u, const struct app *app, uint32_t first, bool *seen, struct visit *stack, struct serve_app_config *ret, struct err *e)
{
	uint32_t depth = 1;
	stack[0] = (struct visit){first, 0};
	seen[first] = true;
	while (depth) {
		struct visit *v = &stack[depth - 1];
		const struct app_component *c = &app->components.list[v->component];
		uint32_t to = next_target(app, c, &v->row);
		if (to == APP_NONE) {
			depth--;
			if (!take_one(u, app, c, ret, e))
				return false;
		} else if (!seen[to]) {
			seen[to] = true;
			stack[depth++] = (struct visit){to, 0};
		}
	}
	return true;
}

static bool take_components(struct up *u, const struct app *app, struct serve_app_config *ret, struct err *e)
{
	bool *seen = ARENA_ARRAY(u->arena, bool, app->components.n + 1);
	struct visit *stack = ARENA_ARRAY(u->arena, struct visit, app->components.n + 1);
	if (!seen || !stack)
		return err_nomem(e);
	for (uint32_t i = 0; i < app->components.n; i++)
		if (!seen[i] && !take_with_targets(u, app, i, seen, stack, ret, e))
			return false;
	return true;
}

// ---- routes --------------------------------------------------------------------------------------------------------------------------------

static bool take_fields(struct up *u, const struct app_pairs *from, struct serve_route_config *ret, struct err *e)
{
	for (uint32_t i = 0; i < from->n; i++) {
		struct http_field f = {slice_str(from->list[i].name), slice_str(from->list[i].value.text)};
		if (!VEC_PUSH(u->arena, &ret->fields, f, HTTP_FIELDS_MAX - 1))
			return err_set(e, ERR_LIMIT, "more than %d fields", HTTP_FIELDS_MAX - 1);
	}
	return true;
}

static bool take_route_limits(const struct app *app, const struct app_route *from, struct serve_route_config *ret, struct err *e)
{
	for (uint32_t i = 0; i < from->limits.n; i++) {
		const struct app_limit *l = &from->limits.list[i];
		if (l->kind == APP_LIMIT_deadline) {
			ret->has_deadline = true;
			ret->deadline = l->value;
		} else if (l->kind == APP_LIMIT_cpu) {
			ret->has_cpu = true;
			ret->cpu = l->value;
		} else {
			return cli__up_not_yet(app, l->at, "a limit of a route besides deadline and cpu", e);
		}
	}
	return true;
}

static bool take_answer(struct up *u, const struct app_route *from, struct serve_route_config *ret, struct err *e)
{
	if (from->fixed.item.is_given) {
		ret->status = (unsigned)from->fixed.status.value;
		ret->body = from->fixed.body.text ? slice_str(from->fixed.body.text) : slice_of("", 0);
		return take_fields(u, &from->fixed.headers, ret, e);
	}
	struct http_field location = {SLICE_LIT("location"), slice_str(from->redirect.to.text)};
	ret->status = (unsigned)from->redirect.status.value;
	return VEC_PUSH(u->arena, &ret->fields, location, 1) || err_nomem(e);
}

static bool take_route(struct up *u, const struct app *app, const struct app_route *from, struct serve_route_config *ret, struct err *e)
{
	*ret = (struct serve_route_config){.pattern = from->route.text, .id = from->item.name, .app = app->about.name.text};
	ret->host = from->host.text;
	ret->service = from->component.text;
	for (uint32_t i = 0; i < from->methods.n; i++)
		if (!VEC_PUSH(u->arena, &ret->methods, from->methods.list[i].text, 64))
			return err_set(e, ERR_LIMIT, "more than 64 methods");
	return take_route_limits(app, from, ret, e) && (ret->service || take_answer(u, from, ret, e));
}

bool cli__up_routes(struct up *u, const struct app *app, struct serve_app_config *ret, struct err *e)
{
	const struct app_triggers *t = &app->triggers;
	for (uint32_t i = 0; i < t->http.n; i++) {
		if (t->http.list[i].is_private.value)
			continue;
		struct serve_route_config *r = VEC_ADD(u->arena, &ret->routes, UP_MAX_ROUTES);
		if (!r)
			return err_set(e, ERR_LIMIT, "more than %d routes", UP_MAX_ROUTES);
		if (!take_route(u, app, &t->http.list[i], r, e))
			return err_note(e, "route %s of %s", t->http.list[i].item.name, app->about.name.text);
	}
	return true;
}

// ---- apps ----------------------------------------------------------------------------------------------------------------------------------

struct http_quota *cli__up_quota(struct up *u, const char *app)
{
	struct up *whole = u->whole ? u->whole : u;
	spinlock_lock(&whole->quotas_lock);
	struct up_quota *q = whole->quotas;
	while (q && strcmp(q->app, app) != 0)
		q = q->next;
	if (!q && (q = mem_zalloc(sizeof *q))) {
		snprintf(q->app, sizeof q->app, "%s", app);
		q->next = whole->quotas;
		whole->quotas = q;
	}
	spinlock_unlock(&whole->quotas_lock);
	return q ? &q->of : NULL;
}

void cli__up_quota_set(struct up *u, const struct app *app)
{
	struct http_quota *q = cli__up_quota(u, app->about.name.text);
	if (q)
		__atomic_store_n(&q->most, app->about.limits.connections.value, __ATOMIC_RELAXED);
}

bool cli__up_app(struct up *u, const struct app *app, struct err *e)
{
	for (uint32_t i = 0; i < u->apps.len; i++)
		if (strcmp(u->apps.ptr[i].name, app->about.name.text) == 0) {
			err_set(e, ERR_ENV, "two apps are called %s", app->about.name.text);
			return cli__up_at(app, app->about.name.at, e);
		}
	struct serve_app_config *ret = VEC_ADD(u->arena, &u->apps, UP_MAX_APPS);
	if (!ret)
		return err_set(e, ERR_LIMIT, "more than %d apps", UP_MAX_APPS);
	*ret = (struct serve_app_config){.name = app->about.name.text, .max_calls = app->about.limits.calls.value, .max_memory = app->about.limits.memory.value};
	if (!cli__up_quota(u, app->about.name.text))
		return err_nomem(e);
	cli__up_quota_set(u, app);
	return cli__up_links(u, app, e) && take_components(u, app, ret, e) && cli__up_routes(u, app, ret, e) &&
		cli__up_triggers(u, app, ret, e) && (ret->routes.len == 0 || cli__up_listener(u, app, &ret->listener, e));
}
