// Receipts of requests, what one means, and what stands behind the imports of components.
#include <stdio.h>

#include "app/app.h"
#include "ctl_int.h"
#include "serve/serve.h"

// ---- receipts --------------------------------------------------------------------------------------------------------------------------------------

enum { RECEIPTS_MAX = 1000 };

struct wanted {
	struct slice app;
	uint64_t id, since_ms;  // id: that one alone; 0: those that were over then or later, since 1970
	struct serve_receipt *list;
	uint32_t n;
	struct serve_receipt_call *calls;  // of that one; NULL: they are not asked for
	uint32_t n_calls;
};

static void take(void *user, const struct serve_receipt *r)
{
	struct wanted *w = user;
	bool is_it = slice_eq_str(w->app, r->app) && (w->id ? r->id == w->id : r->time_ns / MILLISECOND >= w->since_ms);
	if (!is_it)
		return;
	if (w->n < RECEIPTS_MAX) {
		w->list[w->n++] = *r;
		return;
	}
	uint32_t oldest = 0;
	for (uint32_t i = 1; i < w->n; i++)
		oldest = w->list[i].time_ns < w->list[oldest].time_ns ? i : oldest;
	if (r->time_ns > w->list[oldest].time_ns)
		w->list[oldest] = *r;
}

static int by_time(const void *a, const void *b)
{
	const struct serve_receipt *x = a, *y = b;
	return (x->time_ns > y->time_ns) - (x->time_ns < y->time_ns);
}

// Those of several threads: what called comes behind what it called.
static int by_end(const void *a, const void *b)
{
	const struct serve_receipt_call *x = a, *y = b;
	uint64_t x_ns = x->after_ns + x->took_ns, y_ns = y->after_ns + y->took_ns;
	int by_start = (x->after_ns < y->after_ns) - (x->after_ns > y->after_ns);
	return x_ns != y_ns ? (x_ns > y_ns) - (x_ns < y_ns) : by_start;
}

static void put_text(struct buf *b, const char *name, const char *text)
{
	if (!*text)
		return;
	buf_printf(b, ",\"%s\":", name);
	buf_put_json_string(b, slice_str(text));
}

static void put_call(struct buf *b, const struct serve_receipt_call *c)
{
	buf_printf(b, "{\"component\":\"%s\"", c->component);
	put_text(b, "link", c->link);
	put_text(b, "call", c->call);
	buf_printf(b, ",\"after_us\":%llu,\"took_us\":%llu,\"outcome\":\"%s\"", (unsigned long long)c->after_ns / 1000, (unsigned long long)c->took_ns / 1000, c->outcome);
	if (c->status)
		buf_printf(b, ",\"status\":%u", c->status);
	buf_put_byte(b, '}');
}

static void put_instance(struct buf *b, const struct serve_receipt *r)
{
	if (r->release)
		buf_printf(b, ",\"release\":%llu", (unsigned long long)r->release);
	if (r->instance)
		buf_printf(b, ",\"version\":%llu,\"instance\":%llu,\"uses\":%llu", (unsigned long long)r->version, (unsigned long long)r->instance, (unsigned long long)r->uses);
}

// `w`: of that one alone, whose calls are told; NULL: of many.
static void put_receipt(struct buf *b, const struct serve_receipt *r, const struct wanted *w)
{
	uint64_t ms = r->time_ns / MILLISECOND;
	buf_printf(b, "{\"id\":%llu,\"time\":%llu.%03u,\"app\":\"%s\",\"component\":\"%s\"", (unsigned long long)r->id, (unsigned long long)(ms / 1000), (unsigned)(ms % 1000),
		r->app, r->component);
	put_text(b, "route", r->route);
	put_text(b, "method", r->method);
	put_text(b, "path", r->path);
	buf_printf(b, ",\"outcome\":\"%s\",\"status\":%u,\"shard\":%u,\"wall_us\":%llu,\"cpu_us\":%llu,\"wait_us\":%llu,\"host_calls\":%llu,\"peak_memory\":%llu", r->outcome, r->status,
		r->shard, (unsigned long long)r->wall_ns / 1000, (unsigned long long)r->cpu_ns / 1000, (unsigned long long)r->wait_ns / 1000,
		(unsigned long long)r->host_calls, (unsigned long long)r->memory_peak);
	put_instance(b, r);
	buf_printf(b, ",\"link_calls\":%llu,\"link_us\":%llu", (unsigned long long)r->link_calls, (unsigned long long)r->link_ns / 1000);
	buf_put_str(b, w ? ",\"calls\":[" : "");
	for (uint32_t i = 0; w && i < w->n_calls; i++) {
		buf_put_str(b, i ? "," : "");
		put_call(b, &w->calls[i]);
	}
	buf_put_str(b, w ? "]}" : "}");
}

static bool number_of(struct ctl_request *r, const char *name, uint64_t *ret)
{
	struct slice text;
	if (!ctl__request_query(r, name, &text) || slice_parse_u64(text, UINT64_MAX, ret))
		return true;
	struct err e;
	err_clear(&e);
	err_set(&e, ERR_USAGE, "%s is a number", name);
	ctl__answer_error(r, 400, &e);
	return false;
}

// "1795919656" or "1795919656.874": seconds, as receipts have their time.
static bool since_of(struct ctl_request *r, uint64_t *ret_ms)
{
	struct slice text, rest;
	uint64_t s, part = 0;
	if (!ctl__request_query(r, "since", &text))
		return true;
	size_t dot = slice_find(text, '.');
	rest = slice_sub(text, min_u64(dot + 1, text.len), SIZE_MAX);
	if (slice_parse_u64(slice_sub(text, 0, dot), UINT32_MAX * 1000ull, &s) && (dot == text.len || (rest.len == 3 && slice_parse_u64(rest, 999, &part)))) {
		*ret_ms = s * 1000 + part;
		return true;
	}
	struct err e;
	err_clear(&e);
	err_set(&e, ERR_USAGE, "since is a time in seconds, as receipts have it: 1795919656.874");
	ctl__answer_error(r, 400, &e);
	return false;
}

static void take_call(void *user, const struct serve_receipt_call *c)
{
	struct wanted *w = user;
	if (c->request == w->id && w->n_calls < SERVE_RECEIPT_CALLS)
		w->calls[w->n_calls++] = *c;
}

static void wanted_release(struct wanted *w)
{
	mem_free(w->list);
	mem_free(w->calls);
}

static bool look_for(struct ctl_request *r, struct wanted *w)
{
	w->app = r->params[0];
	w->list = mem_zalloc(RECEIPTS_MAX * sizeof *w->list);
	w->calls = w->id ? mem_zalloc(SERVE_RECEIPT_CALLS * sizeof *w->calls) : NULL;
	if (w->list && (w->calls || !w->id)) {
		serve_receipts(r->ctl->config.process, take, w);
		qsort(w->list, w->n, sizeof *w->list, by_time);
		if (w->id && w->n) {
			serve_receipt_calls(r->ctl->config.process, take_call, w);
			qsort(w->calls, w->n_calls, sizeof *w->calls, by_end);
		}
		return true;
	}
	wanted_release(w);
	struct err e;
	err_clear(&e);
	err_nomem(&e);
	ctl__answer_failed(r, &e);
	return false;
}

void ctl__route_receipts(struct ctl_request *r)
{
	struct wanted w = {0};
	if (!ctl__app_is_there(r) || !number_of(r, "id", &w.id) || !since_of(r, &w.since_ms) || !look_for(r, &w))
		return;
	buf_put_str(&r->out, "{\"receipts\":[");
	for (uint32_t i = 0; i < w.n; i++) {
		buf_put_str(&r->out, i ? "," : "");
		put_receipt(&r->out, &w.list[i], w.id ? &w : NULL);
	}
	wanted_release(&w);
	buf_put_str(&r->out, "]}");
	ctl__answer(r, 200);
}

// ---- what it means ---------------------------------------------------------------------------------------------------------------------------------

static const struct {
	const char *outcome, *means;
} meanings[] = {
	{"ok", "the guest answered and returned"},
	{"no response", "the guest returned or exited without an answer"},
	{"trap", "the guest trapped; the log has where (tenon logs)"},
	{"exit", "the guest exited with an error"},
	{"cpu budget spent", "the guest computed longer than --cpu allows"},
	{"deadline exceeded", "the guest had not answered within --deadline"},
	{"linger over", "the guest went on longer than --linger after its answer"},
	{"error", "the guest answered with an error code"},
	{"client gone", "the client left before it had its answer"},
	{"ended by a neighbour", "another call in the same instance trapped, exited or spent its CPU time"},
	{"ended for memory", "it used most when the process came to --process-memory"},
	{"ended by the server", "it was still at work when the time to drain was over"},
	{"refused", "it found no place within --queue-timeout: --calls, --process-memory or the instances of the component were spent"},
	{"body too slow", "the client sent or took a body more slowly than --body-timeout and --min-rate allow"},
	{"malformed body", "the body of the request was malformed"},
	{"body too large", "the body of the request was longer than --max-body allows"},
};

static void explain_request(struct ctl_request *r, uint64_t id)
{
	struct wanted w = {.id = id};
	char text[24];
	if (!look_for(r, &w))
		return;
	if (w.n) {
		buf_put_str(&r->out, "{\"request\":");
		put_receipt(&r->out, &w.list[0], &w);
		for (size_t i = 0; i < ARRAY_LEN(meanings); i++)
			if (strcmp(meanings[i].outcome, w.list[0].outcome) == 0)
				put_text(&r->out, "means", meanings[i].means);
		buf_put_byte(&r->out, '}');
	}
	bool found = w.n > 0;
	wanted_release(&w);
	if (found) {
		ctl__answer(r, 200);
		return;
	}
	snprintf(text, sizeof text, "%llu", (unsigned long long)id);
	ctl__answer_not_found(r, "receipt of a request", slice_str(text));
}

// ---- imports -----------------------------------------------------------------------------------------------------------------------------------------

struct telling {
	struct ctl_request *r;
	bool any;
};

// What a link of the manifest in force leads to.
static void put_target(struct ctl_request *r, const char *link)
{
	struct buf target = {.max = 4096};
	struct ctl *ctl = r->ctl;
	sys_mutex_lock(&ctl->lock);
	const struct ctl_app *app = ctl__app_find(ctl, r->params[0]);
	const struct app_link *l = app_link_find(app && app->model ? app->model->app : NULL, link);
	if (l)
		app_link_print(l, &target);
	sys_mutex_unlock(&ctl->lock);
	if (target.len) {
		buf_put_str(&r->out, ",\"target\":");
		buf_put_json_string(&r->out, buf_view(&target));
	}
	buf_release(&target);
}

// The line that would grant it, of the app's own format.
static const char *grant_line(struct ctl_request *r, const struct serve_import_facts *f)
{
	struct ctl *ctl = r->ctl;
	sys_mutex_lock(&ctl->lock);
	const struct ctl_app *app = ctl__app_find(ctl, r->params[0]);
	const char *line = f->flag && app && app->model ? app_grant_line(app->model->app, f->flag, f->line) : f->line;
	sys_mutex_unlock(&ctl->lock);
	return line;
}

static void put_import(void *user, const struct serve_import_facts *f)
{
	struct telling *t = user;
	struct buf *b = &t->r->out;
	buf_put_str(b, t->any ? ",{\"import\":" : "{\"import\":");
	t->any = true;
	buf_put_json_string(b, f->import);
	if (f->provider) {
		put_text(b, "provider", f->provider);
		put_text(b, "as", f->interface);
	}
	if (f->link) {
		put_text(b, "link", f->link);
		put_text(b, "rule", f->rule);
		put_target(t->r, f->link);
	}
	if (f->line)
		put_text(b, "grant", grant_line(t->r, f));
	buf_put_byte(b, '}');
}

static void explain_component(struct ctl_request *r, struct slice component)
{
	char app[64], name[64];
	struct telling t = {.r = r};
	snprintf(app, sizeof app, "%.*s", (int)min_u64(r->params[0].len, sizeof app - 1), (const char *)r->params[0].ptr);
	snprintf(name, sizeof name, "%.*s", (int)min_u64(component.len, sizeof name - 1), (const char *)component.ptr);
	buf_printf(&r->out, "{\"component\":");
	buf_put_json_string(&r->out, component);
	buf_put_str(&r->out, ",\"imports\":[");
	if (component.len < sizeof name && serve_imports(r->ctl->config.process, app, name, put_import, &t)) {
		buf_put_str(&r->out, "]}");
		ctl__answer(r, 200);
		return;
	}
	buf_clear(&r->out);
	ctl__answer_not_found(r, "component", component);
}

void ctl__route_explain(struct ctl_request *r)
{
	uint64_t id = 0;
	struct slice component;
	struct err e;
	if (!ctl__app_is_there(r) || !number_of(r, "request", &id))
		return;
	bool of_component = ctl__request_query(r, "component", &component);
	if (of_component && !id) {
		explain_component(r, component);
	} else if (id && !of_component) {
		explain_request(r, id);
	} else {
		err_clear(&e);
		err_set(&e, ERR_USAGE, "?request=ID says which request, or ?component=NAME which component's imports");
		ctl__answer_error(r, 400, &e);
	}
}
