// The links of manifests: opened beside the process, before its components are loaded, and offered to those that name them.
#include "up_live.h"

enum { LINK_MEMORY = 16 << 20 };

// ---- one -----------------------------------------------------------------------------------------------------------------------------------

static bool is_of(const struct up_link *l, const char *app, const char *name)
{
	return strcmp(l->name, name) == 0 && strcmp(l->app, app) == 0;
}

struct up_link *cli__up_link_find(const struct up *u, const char *app, const char *name)
{
	for (uint32_t i = 0; i < u->n_coming; i++)
		if (is_of(u->coming[i], app, name))
			return u->coming[i];
	for (uint32_t i = 0; i < u->links.len; i++)
		if (is_of(u->links.ptr[i], app, name))
			return u->links.ptr[i];
	return NULL;
}

bool cli__up_link_new(struct up *u, const struct app *app, const struct app_link *of, struct up_link **ret, struct err *e)
{
	static uint64_t last;
	const struct up_link *before = cli__up_link_find(u, app->about.name.text, of->item.name);
	struct up_link *l = mem_zalloc(sizeof *l);
	if (!l)
		return err_nomem(e);
	*l = (struct up_link){.refs = 1, .up = u->whole ? u->whole : u, .of = of, .epoch = u->now && u->now->state ? ctl_state_epoch(u->now->state, of->item.name) : 0};
	l->number = before ? before->number : __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
	snprintf(l->app, sizeof l->app, "%s", app->about.name.text);
	snprintf(l->name, sizeof l->name, "%s", of->item.name);
	l->is_store = app_link_is_store(of);
	l->is_required = of->start.value != APP_START_LAZY;
	if (of->type.value == APP_LINK_COMPONENT)
		snprintf(l->component, sizeof l->component, "%s", of->component.text);
	*ret = l;
	return true;
}

bool cli__up_links_reserve(struct up *u, uint32_t n)
{
	uint32_t len = u->links.len;
	for (uint32_t i = 0; i < n; i++)
		if (!VEC_PUSH(&u->c->arena, &u->links, NULL, UP_MAX_LINKS)) {
			u->links.len = len;
			return false;
		}
	u->links.len = len;
	return true;
}

void cli__up_link_add(struct up *u, struct up_link *l)
{
	u->links.ptr[u->links.len++] = l;
	l->of = NULL;
}

void cli__up_link_close(struct up *u, const char *app, const char *name)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < u->links.len; i++) {
		struct up_link *l = u->links.ptr[i];
		if (is_of(l, app, name))
			cli__up_link_unref(l);
		else
			u->links.ptr[n++] = l;
	}
	u->links.len = n;
}

// ---- opened --------------------------------------------------------------------------------------------------------------------------------

static struct slice text_of(const char *text)
{
	return text ? slice_str(text) : slice_of("", 0);
}

// What TLS to a server of a store needs is read when a model first names one: at the start, by the thread of the operation that brings it, or where it is opened.
static bool wants_tls(const struct app_link *l)
{
	return l->type.value == APP_LINK_NATS || (l->type.value == APP_LINK_REDIS && l->url.text && strncmp(l->url.text, "rediss:", 7) == 0);
}

static bool give_tls(struct up *u, struct err *e)
{
	struct http_tls *tls;
	if (!u->host || __atomic_load_n(&u->tls, __ATOMIC_ACQUIRE))
		return true;
	if (!http_tls_client_new(u->c->config.service.ca, &tls, e))
		return false;
	if (link_host_give_tls(u->host, tls))
		__atomic_store_n(&u->tls, tls, __ATOMIC_RELEASE);
	else
		http_tls_free(tls);  // another operation was first
	return true;
}

bool cli__up_tls(struct up *u, const struct app *app, struct err *e)
{
	for (uint32_t i = 0; i < app->links.n; i++)
		if (wants_tls(&app->links.list[i]))
			return give_tls(u, e);
	return true;
}

static bool open_host(struct up *u, const struct app_link *of, struct err *e)
{
	return (u->host || link_host_open(&u->host_config, &u->host, e)) && (!wants_tls(of) || give_tls(u, e));
}

bool cli__link_config(struct arena *a, const char *app, const struct app_link *of, struct link_config *ret, struct err *e)
{
	struct link_target *target = ARENA_NEW(a, struct link_target);
	struct slice *space = ARENA_NEW(a, struct slice), *buckets = ARENA_ARRAY(a, struct slice, of->buckets.n + 1);
	if (!target || !space || !buckets)
		return err_nomem(e);
	*space = text_of(of->name_space.text);
	for (uint32_t i = 0; i < of->buckets.n; i++)
		buckets[i] = slice_str(of->buckets.list[i].text);
	*ret = (struct link_config){
		.app = slice_str(app),
		.name = slice_str(of->item.name),
		.target = target,
		.space = of->name_space.text ? space : NULL,
		.buckets = buckets,
		.n_buckets = of->buckets.n,
		.deadline_ns = of->deadline.value ? of->deadline.value : UINT64_MAX,
		.pool = (uint32_t)min_u64(of->pool.value, UINT32_MAX),
		.keep_old_ns = of->keep_old.is_given ? of->keep_old.value : 0,
	};
	return ctl_link_target(a, of, target, e);
}

bool cli__up_link_open(struct up_link *l, struct err *e)
{
	struct up *u = l->up;
	struct arena a;
	struct link_config c;
	if (!l->is_store)
		return true;
	arena_init(&a, LINK_MEMORY);
	bool ok = open_host(u, l->of, e) && cli__link_config(&a, l->app, l->of, &c, e);
	if (ok) {
		c.epoch = l->epoch;
		ok = link_new(u->host, &c, &l->link, e);
	}
	arena_release(&a);
	return ok || err_note(e, "link %s of %s", l->name, l->app);
}

// ---- what an app requires is there when it starts --------------------------------------------------------------------------------------------
// All of them are asked at once. One that isn't there ends the start of an app that is alone; of several, its app fails: it is asked again, with back-off, and
// serves once all that it requires is there.

#define RETRY (250 * MILLISECOND)
#define RETRY_MOST (5 * SECOND)

static bool is_needed_by(const struct up_link *l, const char *app)
{
	return l->link && l->is_required && strcmp(l->app, app) == 0;
}

static void retry_later(struct up_app *a)
{
	struct loop *loop = a->up->host_config.loops[0];
	loop_timer_set(loop, &a->retry, sat_add_u64(loop_now_fresh_ns(loop), a->retry_ns));
	a->retry_ns = min_u64(2 * a->retry_ns, RETRY_MOST);
}

static void have_all_answers(struct up_app *a)
{
	if (!a->retry_ns)
		return;  // the process ends
	if (a->lacks) {
		retry_later(a);
		return;
	}
	a->retry_ns = 0;
	serve_app_fail(a->up->process, a->name, false);
	serve_warn(a->up->process, "app %s serves: what it requires is there", a->name);
}

static void on_asked_again(void *ctx, const struct err *e)
{
	struct up_app *a = ctx;
	a->lacks |= e->code != ERR_NONE;
	if (--a->asked == 0)
		have_all_answers(a);
}

static void ask_again(struct loop_timer *t)
{
	struct up_app *a = CONTAINER_OF(t, struct up_app, retry);
	a->asked = 1;  // until all are asked
	a->lacks = false;
	for (uint32_t i = 0; i < a->up->links.len; i++)
		if (is_needed_by(a->up->links.ptr[i], a->name)) {
			a->asked++;
			link_ask(a->up->links.ptr[i]->link, on_asked_again, a);
		}
	on_asked_again(a, &(struct err){0});
}

void cli__up_ask_now(struct up_app *a, bool runs)
{
	if (!a->retry_ns)
		return;
	if (!a->asked)
		loop_timer_cancel(a->up->host_config.loops[0], &a->retry);
	a->retry_ns = runs ? RETRY : 0;
	if (!runs)
		serve_app_fail(a->up->process, a->name, false);
	else if (!a->asked)
		ask_again(&a->retry);
}

static struct up_app *app_of(const struct up *u, const char *name)
{
	uint32_t i = 0;
	while (strcmp(u->of.ptr[i]->name, name) != 0)
		i++;
	return u->of.ptr[i];
}

static void fail_app(struct up *u, struct up_app *a, const struct err *why)
{
	serve_warn(u->process, "app %s fails, and answers 503 until it is there: %s", a->name, why->text);
	if (a->retry_ns)
		return;
	for (uint32_t i = 0; i < u->apps.len; i++)
		if (strcmp(u->apps.ptr[i].name, a->name) == 0)
			u->apps.ptr[i].fails = true;
	a->retry.fn = ask_again;
	a->retry_ns = RETRY;
	retry_later(a);
}

struct answer {
	uint32_t *open;  // that are to come
	struct err err;
};

static void on_answer(void *ctx, const struct err *e)
{
	struct answer *a = ctx;
	a->err = *e;
	--*a->open;
}

static bool ask_all(struct up *u, struct loop *loop, struct err *e)
{
	uint32_t n = u->links.len, open = 0;
	struct answer *answers = mem_zalloc((n + 1) * sizeof *answers);
	if (!answers)
		return err_nomem(e);
	for (uint32_t i = 0; i < n; i++) {
		answers[i].open = &open;
		if (!is_needed_by(u->links.ptr[i], u->links.ptr[i]->app))
			continue;
		open++;
		link_ask(u->links.ptr[i]->link, on_answer, &answers[i]);
	}
	while (open)
		loop_run_once(loop, UINT64_MAX);
	for (uint32_t i = 0; i < n && e->code == ERR_NONE; i++) {
		const struct up_link *l = u->links.ptr[i];
		if (answers[i].err.code != ERR_NONE && u->of.len > 1)
			fail_app(u, app_of(u, l->app), &answers[i].err);
		else if (answers[i].err.code != ERR_NONE)
			*e = answers[i].err;
		if (e->code != ERR_NONE)
			(void)err_note(e, "link %s of %s", l->name, l->app);
	}
	mem_free(answers);
	return e->code == ERR_NONE;
}

static bool begin(void *ctx, const struct serve_threads *t, struct err *e)
{
	struct up *u = ctx;
	u->process = t->process;
	u->host_config = (struct link_host_config){.loops = t->loops, .n_loops = t->n, .threads = t->pool, .names = t->names};
	for (uint32_t i = 0; i < u->links.len; i++)
		if (!cli__up_link_open(u->links.ptr[i], e))
			return false;
	return ask_all(u, t->loops[0], e);
}

static void thread_end(void *ctx, struct loop *loop)
{
	const struct up *u = ctx;
	for (uint32_t i = 0; i < u->of.len; i++)
		if (loop == u->host_config.loops[0] && u->of.ptr[i]->retry_ns) {
			u->of.ptr[i]->retry_ns = 0;
			loop_timer_cancel(loop, &u->of.ptr[i]->retry);
		}
	if (u->host)
		link_thread_close(u->host, loop);
}

// What routes lie in holds links, too.
static void drop_routes(struct up_app *a)
{
	cli__up_batch_unref(a->routes);
	a->routes = NULL;
}

static void end(void *ctx)
{
	struct up *u = ctx;
	for (uint32_t i = 0; i < u->of.len; i++)
		drop_routes(u->of.ptr[i]);
	for (struct up_app *a = u->came; a; a = a->next)
		drop_routes(a);
	for (uint32_t i = 0; i < u->links.len; i++)
		cli__up_link_unref(u->links.ptr[i]);
	u->links.len = 0;
	link_host_close(u->host);
	http_tls_free(u->tls);
	u->host = NULL;
	u->tls = NULL;
}

struct serve_beside cli__up_beside(struct up *u)
{
	return (struct serve_beside){begin, thread_end, end, u};
}

// ---- offered -------------------------------------------------------------------------------------------------------------------------------

// What one of a component's `links` says: a link of the process, and what of it is the manifest's.
struct row {
	struct up_link *at;
	struct wasi_http_link *http;  // where it is of that type
	uint64_t deadline_ns;         // of a component's; 0: none
};
struct rows {
	const struct app_component *of;
	struct row *list;  // of each
	bool deny_rest;
};

static bool offer_component(void *ctx, struct slice interface, struct seam_offer *ret, struct err *e)
{
	const struct row *r = ctx;
	const struct up_link *l = r->at;
	if (serve_component_offer(l->up->process, l->app, l->component, interface, r->deadline_ns, ret, e))
		return true;
	return err_note(e, "link %s of %s", l->name, l->app);
}

static bool offer(const struct serve_service_config *c, struct arena *a, const struct comp_component *comp, struct seam_offer **ret, uint32_t *ret_n, struct err *e)
{
	const struct rows *r = c->links;
	const struct app_pairs *pairs = &r->of->links;
	struct link_row *list = ARENA_ARRAY(a, struct link_row, pairs->n);
	if (!list)
		return err_nomem(e);
	for (uint32_t i = 0; i < pairs->n; i++) {
		struct row *row = &r->list[i];
		list[i] = (struct link_row){.import = slice_str(pairs->list[i].name), .link = row->at->link, .name = row->at->name};
		if (row->at->component[0]) {
			list[i].offer = offer_component;
			list[i].ctx = row;
		}
		if (row->http) {
			list[i].offer = cli__up_http_offer;
			list[i].ctx = row->http;
		}
	}
	return link_offers(a, comp, list, pairs->n, r->deny_rest, ret, ret_n, e);
}

bool cli__up_links(struct up *u, const struct app *app, struct err *e)
{
	for (uint32_t i = 0; i < app->links.n; i++) {
		struct up_link *l;
		if (!cli__up_link_new(u, app, &app->links.list[i], &l, e))
			return false;
		if (!VEC_PUSH(u->arena, &u->links, l, UP_MAX_LINKS)) {
			cli__up_link_unref(l);
			return err_set(e, ERR_LIMIT, "more than %d links", UP_MAX_LINKS);
		}
	}
	return true;
}

static bool hold(struct up *u, struct up_link *l)
{
	if (!u->batch)
		return true;  // as long as the process
	l->refs++;
	if (VEC_PUSH(&u->batch->arena, &u->batch->links, l, UINT32_MAX))
		return true;
	l->refs--;
	return false;
}

bool cli__up_offer(struct up *u, const struct app *app, const struct app_component *from, struct serve_service_config *ret, struct err *e)
{
	struct rows *r = ARENA_NEW(u->arena, struct rows);
	struct row *list = ARENA_ARRAY(u->arena, struct row, from->links.n + 1);
	if (!r || !list)
		return err_nomem(e);
	for (uint32_t i = 0; i < from->links.n; i++) {
		const struct app_link *l = &app->links.list[from->link_of[i]];
		struct row *row = &list[i];
		row->at = cli__up_link_find(u, app->about.name.text, l->item.name);
		BUG_ON(!row->at);  // the manifest names it
		if (!hold(u, row->at))
			return err_nomem(e);
		row->deadline_ns = l->type.value == APP_LINK_COMPONENT ? l->deadline.value : 0;
		if (l->type.value == APP_LINK_HTTP && !cli__up_http(u, app, from, l, &row->http, e))
			return false;
		if (row->http)
			row->http->number = row->at->number;
		ret->asks_https |= row->http && cli__up_http_is_tls(row->http);
	}
	*r = (struct rows){from, list, app->format == APP_SPIN};
	ret->offer = offer;
	ret->links = r;
	return true;
}
