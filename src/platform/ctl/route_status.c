// What runs, as JSON.
#include <stdio.h>
#include <stdlib.h>

#include "app/app.h"
#include "ctl_int.h"
#include "link/link.h"
#include "serve/serve.h"

enum { TRIED_MEMORY = 16 << 20 };  // of what releases say

static void put_string(struct buf *b, const char *name, struct slice text)
{
	buf_printf(b, ",\"%s\":", name);
	buf_put_json_string(b, text);
}

static void put_number(struct buf *b, const char *name, uint64_t n)
{
	buf_printf(b, ",\"%s\":%llu", name, (unsigned long long)n);
}

static void put_seconds(struct buf *b, const char *name, uint64_t ns)
{
	buf_printf(b, ",\"%s\":%llu.%03llu", name, (unsigned long long)(ns / SECOND), (unsigned long long)(ns / MILLISECOND % 1000));
}

static void put_link_calls(struct buf *b, const struct serve_link_facts *f)
{
	buf_printf(b, "{\"link\":\"%s\"", f->link);
	put_number(b, "calls", f->calls);
	put_number(b, "errors", f->errors);
	put_number(b, "total_us", f->duration_ns / 1000);
	put_number(b, "mean_us", f->calls ? f->duration_ns / f->calls / 1000 : 0);
	put_number(b, "p50_us", f->p50_ns / 1000);
	put_number(b, "p99_us", f->p99_ns / 1000);
	buf_put_byte(b, '}');
}

// What the `i`-th of the process has called.
static void put_component(struct buf *b, const struct serve_process *p, unsigned i, const struct serve_component_facts *f)
{
	struct serve_link_facts link;
	buf_printf(b, "{\"component\":\"%s\",\"policy\":\"%s\"", f->component, f->policy);
	put_string(b, "source", slice_str(f->path));
	put_number(b, "requests", f->requests);
	put_number(b, "errors", f->errors);
	put_number(b, "traps", f->traps);
	put_number(b, "in_flight", f->calls);
	put_number(b, "queued", f->queued);
	put_number(b, "instances", f->instances);
	put_seconds(b, "cpu", f->cpu_ns);
	put_number(b, "total_us", f->duration_ns / 1000);
	put_number(b, "mean_us", f->requests ? f->duration_ns / f->requests / 1000 : 0);
	put_number(b, "p50_us", f->p50_ns / 1000);
	put_number(b, "p99_us", f->p99_ns / 1000);
	put_number(b, "memory_peak", f->memory_peak);
	put_number(b, "inner_calls", f->inner_calls);
	if (f->watched)
		put_seconds(b, "watched", f->watched_ns);
	buf_put_str(b, ",\"links\":[");
	for (unsigned k = 0; serve_link_facts(p, i, k, &link); k++) {
		buf_put_str(b, k ? "," : "");
		put_link_calls(b, &link);
	}
	buf_put_str(b, "]}");
}

// ---- links ---------------------------------------------------------------------------------------------------------------------------------

static void put_shadow(const struct link_facts *f, struct buf *b)
{
	uint64_t asked = f->shadow.equal + f->shadow.different + f->shadow.failed;
	buf_printf(b, ",\"shadow\":{\"percent\":%u", f->shadow.percent);
	put_string(b, "target", slice_str(f->shadow.target));
	put_number(b, "equal", f->shadow.equal);
	put_number(b, "different", f->shadow.different);
	put_number(b, "failed", f->shadow.failed);
	put_number(b, "left_out", f->shadow.left_out);
	put_number(b, "mean_us", asked ? f->shadow.guest_ns / asked / 1000 : 0);
	put_number(b, "shadow_mean_us", asked ? f->shadow.shadow_ns / asked / 1000 : 0);
	buf_put_byte(b, '}');
}

static void put_link_facts(const struct ctl_app *app, const struct app_link *l, struct buf *b)
{
	struct link_facts f;
	if (!app->config->ops || !app->config->ops->link_facts(app->config->user, l->item.name, &f))
		return;
	put_string(b, "state", slice_str(f.state));
	put_number(b, "calls", f.calls);
	put_number(b, "errors", f.errors);
	put_number(b, "in_flight", f.in_flight);
	put_number(b, "waiting", f.waiting);
	put_number(b, "mean_us", f.calls ? f.call_ns / f.calls / 1000 : 0);
	if (f.shadow.percent)
		put_shadow(&f, b);
}

static void put_link(const struct ctl_app *app, const struct app_link *l, struct buf *b)
{
	struct buf target = {0};
	buf_printf(b, "{\"link\":\"%s\"", l->item.name);
	app_link_print(l, &target);
	put_string(b, "target", buf_view(&target));
	buf_release(&target);
	if (app_link_is_store(l) && app->state)
		put_number(b, "epoch", ctl_state_epoch(app->state, l->item.name));
	put_link_facts(app, l, b);
	buf_put_byte(b, '}');
}

static void put_links(const struct ctl_app *app, struct buf *b)
{
	buf_put_byte(b, '[');
	for (uint32_t i = 0; app->model && i < app->model->app->links.n; i++) {
		buf_put_str(b, i ? "," : "");
		put_link(app, &app->model->app->links.list[i], b);
	}
	buf_put_byte(b, ']');
}

void ctl__route_links(struct ctl_request *r)
{
	struct ctl *ctl = r->ctl;
	sys_mutex_lock(&ctl->lock);
	struct ctl_app *app = ctl__app_find(ctl, r->params[0]);
	if (app) {
		buf_printf(&r->out, "{\"app\":\"%s\",\"links\":", app->name);
		put_links(app, &r->out);
		buf_put_byte(&r->out, '}');
	}
	sys_mutex_unlock(&ctl->lock);
	if (app)
		ctl__answer(r, 200);
	else
		ctl__answer_not_found(r, "app", r->params[0]);
}

// Of an app with one link what it leads to stands beside the app's name, too.
static void put_app_links(const struct ctl_app *app, struct buf *b)
{
	const struct app *a = app->model ? app->model->app : NULL;
	struct buf target = {0};
	if (!a || !a->links.n)
		return;
	buf_put_str(b, ",\"links\":");
	put_links(app, b);
	if (a->links.n > 1)
		return;
	app_link_print(&a->links.list[0], &target);
	put_string(b, "target", buf_view(&target));
	buf_release(&target);
	if (app->state)
		put_number(b, "epoch", ctl_state_epoch(app->state, a->links.list[0].item.name));
}

// ---- apps ----------------------------------------------------------------------------------------------------------------------------------

// The components of the process by their app, each in the order that it has there.
struct of_app {
	const char *app;
	unsigned i;
};
struct by_app {
	struct of_app *list;
	unsigned n;
};

static int in_order(const void *a, const void *b)
{
	const struct of_app *x = a, *y = b;
	int r = strcmp(x->app, y->app);
	return r ? r : (x->i > y->i) - (x->i < y->i);
}

static bool by_app_new(struct arena *a, const struct serve_process *p, struct by_app *ret)
{
	unsigned most = 0;
	while (serve_component_app(p, most))
		most++;
	ret->list = ARENA_ARRAY(a, struct of_app, most + 1);
	if (!ret->list)
		return false;
	for (ret->n = 0; ret->n < most; ret->n++)
		ret->list[ret->n] = (struct of_app){serve_component_app(p, ret->n), ret->n};
	qsort(ret->list, most, sizeof *ret->list, in_order);
	return true;
}

static const struct of_app *first_of(const struct by_app *all, const char *app)
{
	unsigned low = 0, high = all->n;
	while (low < high) {
		unsigned middle = low + (high - low) / 2;
		if (strcmp(all->list[middle].app, app) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return &all->list[low];
}

// A version that is tried on a share of the requests.
static void put_tried(const struct ctl_app *app, struct buf *b)
{
	struct ctl__tried tried;
	struct arena a;
	arena_init(&a, TRIED_MEMORY);
	if (app->state && app->model && ctl__release_tried(&a, app->state->newest, &tried))
		buf_printf(b, ",\"tried\":{\"component\":\"%s\",\"sha256\":\"%s\",\"percent\":%u}", tried.component, tried.sha256, tried.percent);
	arena_release(&a);
}

static void put_app(struct ctl *ctl, const struct ctl_app *app, const struct by_app *all, struct buf *b)
{
	struct serve_component_facts f;
	bool any = false;
	buf_printf(b, "{\"app\":\"%s\",\"tenant\":\"%s\",\"state\":\"%s\",\"busy\":%s,\"release\":%llu,\"components\":[", app->name, app->tenant,
		app->state && !app->model ? "stopped" : serve_app_fails(ctl->config.process, app->name) ? "failed"
																								: "running",
		app->running ? "true" : "false", (unsigned long long)app->release);
	for (const struct of_app *c = first_of(all, app->name); c < all->list + all->n && strcmp(c->app, app->name) == 0; c++) {
		if (!serve_component_facts(ctl->config.process, c->i, &f) || !f.is_there)
			continue;
		if (any)
			buf_put_byte(b, ',');
		put_component(b, ctl->config.process, c->i, &f);
		any = true;
	}
	buf_put_byte(b, ']');
	put_app_links(app, b);
	put_tried(app, b);
	buf_printf(b, ",\"pid\":%d}", sys_process_id());
}

static void put_process(struct ctl *ctl, const struct by_app *all, struct buf *b)
{
	struct serve_process_facts f;
	struct buf name = {.max = 512};
	serve_process_facts(ctl->config.process, &f);
	buf_printf(b, "{\"format\":\"tenon.status/1\",\"pid\":%d,\"version\":\"" TENON_VERSION "\",\"state\":\"%s\"", sys_process_id(), f.state);
	put_seconds(b, "started", f.started_ns);
	put_seconds(b, "cpu", f.cpu_ns);
	put_number(b, "memory", f.memory);
	put_number(b, "memory_limit", f.memory_limit);
	put_number(b, "shards", f.shards);
	buf_put_str(b, ",\"urls\":[");
	for (unsigned i = 0, n = 0; i < f.listeners; i++) {
		buf_clear(&name);
		if (!serve_listener_name(ctl->config.process, i, &name))
			continue;
		buf_put_str(b, n++ ? "," : "");
		buf_put_json_string(b, buf_view(&name));
	}
	buf_release(&name);
	buf_put_str(b, "],\"apps\":[");
	for (uint32_t i = 0, n = 0; i < ctl->n_apps; i++) {
		if (ctl->apps[i]->hidden)
			continue;
		buf_put_str(b, n++ ? "," : "");
		put_app(ctl, ctl->apps[i], all, b);
	}
	buf_put_str(b, "]}");
}

static void answer_no_memory(struct ctl_request *r)
{
	struct err e = {0};
	err_nomem(&e);
	ctl__answer_error(r, 500, &e);
}

void ctl__route_status(struct ctl_request *r)
{
	struct ctl *ctl = r->ctl;
	struct arena a;
	struct by_app all;
	arena_init(&a, 0);
	sys_mutex_lock(&ctl->lock);
	bool ok = by_app_new(&a, ctl->config.process, &all);
	if (ok)
		put_process(ctl, &all, &r->out);
	sys_mutex_unlock(&ctl->lock);
	arena_release(&a);
	if (ok)
		ctl__answer(r, 200);
	else
		answer_no_memory(r);
}

void ctl__route_app_status(struct ctl_request *r)
{
	struct ctl *ctl = r->ctl;
	struct arena a;
	struct by_app all;
	arena_init(&a, 0);
	sys_mutex_lock(&ctl->lock);
	struct ctl_app *app = ctl__app_find(ctl, r->params[0]);
	bool ok = by_app_new(&a, ctl->config.process, &all);
	if (app && ok)
		put_app(ctl, app, &all, &r->out);
	sys_mutex_unlock(&ctl->lock);
	arena_release(&a);
	if (!app)
		ctl__answer_not_found(r, "app", r->params[0]);
	else if (!ok)
		answer_no_memory(r);
	else
		ctl__answer(r, 200);
}

// ---- releases ------------------------------------------------------------------------------------------------------------------------------

// The newest first; `whole`: with the live changes, else with the operation that made each.
static void put_release(const struct ctl_app *app, const struct ctl__release *r, bool whole, struct buf *b)
{
	buf_printf(b, "{\"release\":%llu,\"time\":%llu.%03u,\"in_force\":%s", (unsigned long long)r->number, (unsigned long long)(r->time_ms / 1000),
		(unsigned)(r->time_ms % 1000), r == app->state->newest ? "true" : "false");
	put_string(b, "what", slice_str(r->what));
	if (whole)
		put_string(b, "live", r->live);
	else if (r->operation)
		buf_printf(b, ",\"operation\":\"%s-%llu\"", app->name, (unsigned long long)r->operation);
	if (r->link[0]) {
		put_string(b, "link", slice_str(r->link));
		put_number(b, "epoch", r->epoch);
		buf_put_str(b, r->copy ? ",\"copy\":true" : ",\"copy\":false");
		ctl__put_with(b, r->with);
	}
	buf_put_slice(b, r->members);
	buf_put_byte(b, '}');
}

static void answer_releases(struct ctl_request *r, const char *name, bool whole)
{
	struct ctl *ctl = r->ctl;
	sys_mutex_lock(&ctl->lock);
	struct ctl_app *app = ctl__app_find(ctl, r->params[0]);
	if (app)
		buf_printf(&r->out, "{\"app\":\"%s\",\"%s\":[", app->name, name);
	for (const struct ctl__release *x = app && app->state ? app->state->newest : NULL; x; x = x->older) {
		buf_put_str(&r->out, x == app->state->newest ? "" : ",");
		put_release(app, x, whole, &r->out);
	}
	sys_mutex_unlock(&ctl->lock);
	if (!app) {
		ctl__answer_not_found(r, "app", r->params[0]);
		return;
	}
	buf_put_str(&r->out, "]}");
	ctl__answer(r, 200);
}

void ctl__route_releases(struct ctl_request *r)
{
	answer_releases(r, "releases", true);
}

void ctl__route_history(struct ctl_request *r)
{
	answer_releases(r, "history", false);
}

void ctl__route_manifest(struct ctl_request *r)
{
	struct ctl *ctl = r->ctl;
	struct buf text = {.max = 4 << 20};
	struct err e = {0};
	sys_mutex_lock(&ctl->lock);
	struct ctl_app *app = ctl__app_find(ctl, r->params[0]);
	bool runs = app && app->model;
	if (runs && app->model->app->format == APP_SPIN)  // it grants what `links` can't: rows for whatever the component may import
		buf_put_str(&text, "# What is in force of a spin.toml, in the words of a tenon.toml. It is no manifest to run: a row of `links` that\n"
						   "# the component imports nothing for is refused there, and what is neither linked nor imported isn't denied.\n");
	if (runs && app_print(app->model->app, &text)) {
		buf_printf(&r->out, "{\"app\":\"%s\",\"release\":%llu,\"manifest\":", app->name, (unsigned long long)app->release);
		buf_put_json_string(&r->out, buf_view(&text));
		buf_put_byte(&r->out, '}');
	}
	sys_mutex_unlock(&ctl->lock);
	bool failed = text.failed;
	buf_release(&text);
	if (!app) {
		ctl__answer_not_found(r, "app", r->params[0]);
	} else if (!runs || failed) {
		err_set(&e, ERR_REFUSED, runs ? "the manifest is too long" : "the app is stopped, or has no manifest");
		ctl__answer_error(r, 409, &e);
	} else {
		ctl__answer(r, 200);
	}
}
