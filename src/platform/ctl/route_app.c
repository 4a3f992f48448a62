// What an app's variables, and a component's instances and versions, are now, as JSON: what can be changed at the same paths.
#include "app/app.h"
#include "ctl_int.h"

enum { VERSIONS_MEMORY = 16 << 20 };  // of what releases say

static void put_text(struct buf *b, const char *name, const char *text)
{
	buf_printf(b, ",\"%s\":", name);
	buf_put_json_string(b, slice_str(text));
}

// Within the lock, in r->out what `put` says of the component, where the path has one. Answered.
static void answer(struct ctl_request *r, const char *component, void (*put)(const struct ctl_app *app, const struct app_component *c, struct buf *b))
{
	struct err e = {0};
	struct ctl *ctl = r->ctl;
	sys_mutex_lock(&ctl->lock);
	struct ctl_app *app = ctl__app_find(ctl, r->params[0]);
	const struct app *in_force = app && app->model ? app->model->app : NULL;
	const struct app_component *c = in_force && component ? app_component_find(in_force, component) : NULL;
	bool found = in_force && (c || !component);
	if (found) {
		buf_printf(&r->out, "{\"app\":\"%s\"", app->name);
		if (c)
			put_text(&r->out, "component", component);
		put(app, c, &r->out);
		buf_put_byte(&r->out, '}');
	}
	sys_mutex_unlock(&ctl->lock);
	if (found) {
		ctl__answer(r, 200);
	} else if (!app) {
		ctl__answer_not_found(r, "app", r->params[0]);
	} else if (!in_force) {
		err_set(&e, ERR_REFUSED, app->state ? "app %s is stopped" : "app %s has no manifest", app->name);
		ctl__answer_error(r, 409, &e);
	} else {
		ctl__answer_not_found(r, "component", r->params[1]);
	}
}

// ---- variables -----------------------------------------------------------------------------------------------------------------------------

// A secret's value is shown nowhere.
static void put_variables(const struct ctl_app *app, const struct app_component *c, struct buf *b)
{
	static const char *const from[] = {[APP_FROM_NOWHERE] = "nowhere",
		[APP_FROM_DEFAULT] = "default",
		[APP_FROM_PROFILE] = "profile",
		[APP_FROM_FILE] = "file",
		[APP_FROM_CREDENTIAL] = "credential",
		[APP_FROM_ENV] = "environment",
		[APP_FROM_SET] = "set"};
	const struct app *a = app->model->app;
	buf_put_str(b, ",\"variables\":[");
	for (uint32_t i = 0; i < a->variables.n; i++) {
		const struct app_variable *v = &a->variables.list[i];
		buf_printf(b, "%s{\"variable\":\"%s\",\"secret\":%s", i ? "," : "", v->item.name, v->secret.value ? "true" : "false");
		put_text(b, "from", from[v->from]);
		if (v->value && !v->secret.value)
			put_text(b, "value", v->value);
		buf_put_byte(b, '}');
	}
	buf_put_byte(b, ']');
}

void ctl__route_variables(struct ctl_request *r)
{
	answer(r, NULL, put_variables);
}

// ---- scale ---------------------------------------------------------------------------------------------------------------------------------

static void put_scale(const struct ctl_app *app, const struct app_component *c, struct buf *b)
{
	static const char *const policies[] = {[APP_FRESH] = "fresh", [APP_REUSE] = "reuse", [APP_KEEP] = "keep", [APP_CONCURRENT] = "concurrent"};
	put_text(b, "policy", policies[c->policy.value]);
	buf_printf(b, ",\"min\":%llu,\"max\":", (unsigned long long)c->instances.min.value);
	if (c->instances.max.value)
		buf_printf(b, "%llu", (unsigned long long)c->instances.max.value);
	else
		buf_put_str(b, "\"none\"");
	buf_put_str(b, ",\"idle\":");
	app_put_quantity(b, c->instances.idle.value, 't');
}

static const char *component_of(struct ctl_request *r)
{
	struct slice name;
	return slice_dup(&r->arena, r->params[1], &name) ? (const char *)name.ptr : "";
}

void ctl__route_scale_now(struct ctl_request *r)
{
	answer(r, component_of(r), put_scale);
}

// ---- versions ------------------------------------------------------------------------------------------------------------------------------

// The one in force, and the one that is tried.
static void put_versions(const struct ctl_app *app, const struct app_component *c, struct buf *b)
{
	struct ctl__tried tried = {0};
	struct arena a;
	const char *sha256 = c->sha256.text ? c->sha256.text : app->ctl->kept ? ctl__kept_sha256(app, c->item.name)
																		  : NULL;
	arena_init(&a, VERSIONS_MEMORY);
	bool is_tried = app->state && ctl__release_tried(&a, app->state->newest, &tried) && strcmp(tried.component, c->item.name) == 0;
	arena_release(&a);
	buf_printf(b, ",\"versions\":[{\"percent\":%u", is_tried ? 100 - tried.percent : 100);
	if (sha256)
		put_text(b, "sha256", sha256);
	if (c->path)
		put_text(b, "source", c->path);
	if (is_tried)
		buf_printf(b, "},{\"percent\":%u,\"sha256\":\"%s\",\"tried\":true", tried.percent, tried.sha256);
	buf_put_str(b, "}]");
}

void ctl__route_versions(struct ctl_request *r)
{
	answer(r, component_of(r), put_versions);
}
