// An app changes while it runs: from the model in force to another one, of which either may be none. What comes or differs is made ready beside what serves, link
// by link, component by component (one that others are linked to before those), then addresses and routes; all of it comes into force together; then what is
// not there any more goes. On thread 0.
//
//   cli__up_prepare ── links asked ──► components loaded ──► addresses open ──► routes made ──► ready ──► cli__up_commit, or cli__up_abandon
//   cli__up_commit ── versions ──► routes ──► triggers ──► addresses ──► components, links that go ──► done
//
// What a version is configured by lies in a batch, which holds the model that its texts are of, and goes when serve has forgotten the last of it.
#include "up_live.h"

#include "sys/sys.h"

struct live_service {
	struct serve_service_config config;  // first
	struct up_batch *batch;
};

enum piece_state { WAITS, LOADS, READY };
struct piece {
	struct change *of;
	const struct app_component *from;
	struct serve_service *service;
	struct live_service *config;
	struct serve_version *version;
	struct serve_update update;
	enum piece_state state;
};

struct leaving {
	struct serve_service *service;
	uint64_t drain_ns;  // what is in flight there has so long; 0: no end
};

struct change {
	struct up_app *app;
	struct up up;  // the process's, with what this change adds
	struct up_batch *batch;
	struct serve_process *process;
	const struct app *to;  // NULL: it stops
	const char *busy;
	struct ctl_imports *more;  // that versions which come import; until it is ready
	struct up_plan plan;
	struct piece *pieces;
	struct up_link **links;  // that come, by plan.open
	struct leaving *leave;
	uint32_t n_pieces, n_links, waiting;
	unsigned percent;  // of requests, for versions that come
	bool has_routes, has_place, looked;  // looked: at where it is asked
	struct up_place place;
	struct serve_addresses *addresses;
	struct serve_app_config routed;  // the app with its new routes
	struct serve_routes *routes;
	struct serve_triggers *triggers;
	struct err err;
	void (*ready)(void *ctx, void *prepared, const struct err *e);
	void (*done)(void *ctx);
	void *ctx;
};

// ---- batches -------------------------------------------------------------------------------------------------------------------------------------

static void forget(const struct serve_service_config *c)
{
	const struct live_service *s = (const struct live_service *)c;
	cli__up_batch_unref(s->batch);
}

static void change_free(struct change *g)
{
	if (g->has_place)
		cli__up_place_release(&g->place);
	cli__up_batch_unref(g->batch);
	mem_free(g);
}

// ---- ready, or not -------------------------------------------------------------------------------------------------------------------------------

void cli__up_abandon(void *user, void *prepared)
{
	struct change *g = prepared;
	serve_addresses_abandon(g->addresses);
	serve_triggers_abandon(g->triggers);
	serve_routes_abandon(g->routes);
	for (uint32_t i = g->n_pieces; i-- > 0;)  // those that others are linked to last
		if (g->pieces[i].version)
			serve_version_abandon(g->pieces[i].version);
	for (uint32_t i = 0; i < g->n_links; i++)
		cli__up_link_unref(g->links[i]);
	change_free(g);
}

static void tell_ready(struct change *g)
{
	void (*ready)(void *ctx, void *prepared, const struct err *e) = g->ready;
	void *ctx = g->ctx;
	struct err e = g->err;
	if (e.code != ERR_NONE)
		cli__up_abandon(g->app, g);
	ready(ctx, e.code == ERR_NONE ? g : NULL, &e);
}

static void open_addresses(struct change *g);
static bool make_routes(struct change *g, struct err *e);
static bool make_triggers(struct change *g, struct err *e);
static bool load_pieces(struct change *g, struct err *e);

static bool all_are_ready(const struct change *g)
{
	for (uint32_t i = 0; i < g->n_pieces; i++)
		if (g->pieces[i].state != READY)
			return false;
	return true;
}

// Something of it is over.
static void go_on(struct change *g)
{
	if (--g->waiting)
		return;
	g->waiting = 1;  // what begins here may be over at once
	bool ok = g->err.code == ERR_NONE && load_pieces(g, &g->err);
	if (--g->waiting)
		return;
	if (ok && !all_are_ready(g)) {
		g->waiting = 1;
		go_on(g);
		return;
	}
	if (ok && !g->looked) {
		open_addresses(g);
		return;
	}
	if (ok)
		(void)(make_routes(g, &g->err) && make_triggers(g, &g->err));
	tell_ready(g);
}

static void note_failure(struct change *g, const struct err *e)
{
	if (g->err.code == ERR_NONE && e->code != ERR_NONE)
		g->err = *e;
}

// ---- links ---------------------------------------------------------------------------------------------------------------------------------------

static void on_link(void *ctx, const struct err *e)
{
	struct change *g = ctx;
	struct err why = *e;
	if (why.code == ERR_ENV)
		why.code = ERR_REFUSED;
	note_failure(g, &why);
	go_on(g);
}

static bool open_links(struct change *g, struct err *e)
{
	struct up_plan *p = &g->plan;
	g->links = ARENA_ARRAY(&g->batch->arena, struct up_link *, p->n_open + 1);
	if (!g->links)
		return err_nomem(e);
	if (!cli__up_links_reserve(g->up.whole, p->n_open))
		return err_set(e, ERR_LIMIT, "more than %d links", UP_MAX_LINKS);
	for (uint32_t i = 0; i < p->n_open; i++) {
		if (!cli__up_link_new(&g->up, g->to, p->open[i], &g->links[i], e))
			return false;
		g->n_links++;
		if (!cli__up_link_open(g->links[i], e))
			return false;
	}
	g->up.coming = g->links;
	g->up.n_coming = g->n_links;
	return true;
}

static void ask_links(struct change *g)
{
	for (uint32_t i = 0; i < g->n_links; i++) {
		if (!g->links[i]->link || g->plan.open[i]->start.value == APP_START_LAZY)
			continue;
		g->waiting++;
		link_ask(g->links[i]->link, on_link, g);
	}
}

// ---- components ----------------------------------------------------------------------------------------------------------------------------------

// As long as the process.
static bool keep_text(struct up *u, const char **text)
{
	struct slice copy;
	if (!*text)
		return true;
	for (uint32_t i = 0; i < u->kept.len; i++)
		if (strcmp(u->kept.ptr[i], *text) == 0) {
			*text = u->kept.ptr[i];
			return true;
		}
	if (!slice_dup(&u->c->arena, slice_str(*text), &copy))
		return false;
	*text = (const char *)copy.ptr;
	return VEC_PUSH(&u->c->arena, &u->kept, *text, UP_MAX_COMPONENTS);
}

static bool take_update(struct up *u, const struct app_component *from, struct serve_update *ret)
{
	const struct app_update *c = &from->update;
	*ret = (struct serve_update){.percent = 100,
		.cookie = c->sticky.cookie.text,
		.header = c->sticky.header.text,
		.drain_ns = c->drain.value,
		.errors = (unsigned)c->rollback.errors.value,
		.p99_ns = c->rollback.p99.value,
		.over_ns = c->rollback.over.value};
	return keep_text(u, &ret->cookie) && keep_text(u, &ret->header);
}

// The component as what runs was loaded: by its file, if that is what it was then; else by the copy that is kept of it.
static const struct app_component *as_loaded(struct change *g, const struct ctl_turn *t, const struct app_component *c, struct err *e)
{
	struct sys_stat now;
	struct slice path, sha256;
	uint32_t i = 0;
	while (i < t->n_as_loaded && strcmp(t->as_loaded[i].component, c->item.name) != 0)
		i++;
	if (i == t->n_as_loaded || c->sha256.text || !t->as_loaded[i].file->inode)
		return c;
	struct ctl_as_loaded *k = &t->as_loaded[i];
	ctl_file_look(c->path, &now);
	k->is_file = sys_is_same_file(k->file, &now);
	if (k->is_file)
		return c;
	if (!k->copy) {
		err_set(e, ERR_REFUSED, "'%s' was written over since it was loaded, and there is no copy of what runs", c->path);
		err_hint(e, "tenon apply takes what it has now");
		return NULL;
	}
	struct app_component *copy = ARENA_NEW(&g->batch->arena, struct app_component);
	if (!copy || !slice_dup(&g->batch->arena, slice_str(k->copy), &path) || !slice_dup(&g->batch->arena, slice_str(k->sha256), &sha256)) {
		err_nomem(e);
		return NULL;
	}
	*copy = *c;
	copy->path = (const char *)path.ptr;
	copy->sha256.text = (const char *)sha256.ptr;
	return copy;
}

// Thresholds take other bytes back, which is a release that ctl knows the way to; not what a version that is made anew for something else says: its bytes go on being
// watched, where they were.
static void set_thresholds(const struct ctl_turn *t, const char *name, struct serve_update *u)
{
	bool others = cli__up_is_among(t->others, t->n_others, name);
	u->same_bytes = !others && !cli__up_is_among(t->replaced, t->n_replaced, name);  // replaced, and no others: what they were is not known
	if (!u->same_bytes && !(others && t->updates))
		u->errors = u->p99_ns = 0;
}

static bool prepare_piece(struct change *g, const struct ctl_turn *t, const char *name, struct err *e)
{
	struct piece *p = &g->pieces[g->n_pieces];
	if (g->busy && strcmp(g->busy, name) == 0) {
		err_set(e, ERR_REFUSED, "component %s: a version of it is tried", name);
		return err_hint(e, "promote it, or roll it back: tenon update %s --promote", name);
	}
	const char *app = g->to->about.name.text;
	struct live_service *s = ARENA_NEW(&g->batch->arena, struct live_service);
	*p = (struct piece){.of = g, .from = app_component_find(g->to, name), .config = s};
	if (!s || !take_update(g->up.whole, p->from, &p->update))
		return err_nomem(e);
	set_thresholds(t, name, &p->update);
	const struct app_component *from = as_loaded(g, t, p->from, e);
	if (!from || !cli__up_component(&g->up, g->to, from, &s->config, e))
		return err_note(e, "component %s of %s", name, app);
	s->batch = g->batch;
	s->config.forget = forget;
	p->service = serve_service_find(g->process, app, name);
	if (serve_service_is_there(p->service) && !serve_service_may_be(p->service, s->config.policy, e))
		return false;
	if (!serve_service_is_there(p->service) && !serve_service_new(g->process, app, &s->config, &p->service, e))
		return false;
	g->n_pieces++;
	return true;
}

// By it the version reaches something outside of itself: who only reads what its manifest says to it doesn't.
static bool reaches_out(const struct serve_import_facts *f)
{
	return (f->link && !f->is_denied) || (f->grant && (strcmp(f->grant, "net") == 0 || strcmp(f->grant, "dir") == 0));
}

static void put_import(void *user, const struct serve_import_facts *f)
{
	struct piece *p = user;
	struct ctl_imports *more = p->of->more;
	bool is_link = f->link && !f->is_denied;
	buf_printf(&more->list, "%s{\"component\":\"%s\",\"import\":", more->list.len ? "," : "", p->from->item.name);
	buf_put_json_string(&more->list, f->import);
	if (is_link || f->grant)
		buf_printf(&more->list, ",\"%s\":\"%s\"", is_link ? "link" : "grant", is_link ? f->link : f->grant);
	if (reaches_out(f))
		buf_printf(&more->text, "%s%.*s (%s%s)", more->text.len ? ", " : "", SLICE_ARGS(slice_sub(f->import, 0, 200)), is_link ? "@" : "", is_link ? f->link : f->grant);
	buf_put_byte(&more->list, '}');
}

static void on_version(void *ctx, struct serve_version *v, const struct err *e)
{
	struct piece *p = ctx;
	struct change *g = p->of;
	p->version = v;
	p->state = READY;
	note_failure(g, e);
	struct err why = {0};
	if (v && !serve_imports_more(p->service, v, put_import, p, &why))
		note_failure(g, &why);
	go_on(g);
}

static const struct piece *find_piece(const struct change *g, const char *name)
{
	for (uint32_t i = 0; i < g->n_pieces; i++)
		if (strcmp(g->pieces[i].from->item.name, name) == 0)
			return &g->pieces[i];
	return NULL;
}

// What it is linked to is there.
static bool may_load(const struct change *g, const struct piece *p)
{
	for (uint32_t k = 0; k < p->from->links.n; k++) {
		uint32_t to = g->to->links.list[p->from->link_of[k]].target;
		const struct piece *target = to == APP_NONE ? NULL : find_piece(g, g->to->components.list[to].item.name);
		if (target && target->state != READY)
			return false;
	}
	return true;
}

static bool load_pieces(struct change *g, struct err *e)
{
	for (uint32_t i = 0; i < g->n_pieces && g->err.code == ERR_NONE; i++) {
		struct piece *p = &g->pieces[i];
		if (p->state != WAITS || !may_load(g, p))
			continue;
		p->state = LOADS;
		g->waiting++;
		g->batch->refs++;
		serve_version_prepare(p->service, &p->config->config, on_version, p);
	}
	return g->err.code == ERR_NONE;
}

static bool prepare_pieces(struct change *g, const struct ctl_turn *t, struct err *e)
{
	const struct app *from = t->from ? t->from->app : NULL;
	struct up_plan *p = &g->plan;
	g->pieces = ARENA_ARRAY(&g->batch->arena, struct piece, p->n_load + 1);
	g->leave = ARENA_ARRAY(&g->batch->arena, struct leaving, p->n_leave + 1);
	if (!g->pieces || !g->leave)
		return err_nomem(e);
	for (uint32_t i = 0; i < p->n_load; i++)
		if (!prepare_piece(g, t, p->load[i], e))
			return false;
	for (uint32_t i = 0; i < p->n_leave; i++) {
		if (g->busy && strcmp(g->busy, p->leave[i]) == 0)
			return err_set(e, ERR_REFUSED, "component %s: a version of it is tried", p->leave[i]);
		g->leave[i] = (struct leaving){serve_service_find(g->process, g->app->name, p->leave[i]), app_component_find(from, p->leave[i])->update.drain.value};
		if (!serve_service_leave_prepare(g->leave[i].service, e))
			return false;
	}
	return true;
}

// ---- routes ----------------------------------------------------------------------------------------------------------------------------------------

static const struct serve_app_config *find_app(const struct up *u, const char *name)
{
	for (uint32_t i = 0; i < u->apps.len; i++)
		if (strcmp(u->apps.ptr[i].name, name) == 0)
			return &u->apps.ptr[i];
	return NULL;
}

// Room for one more.
static bool reserve_app(struct up *u)
{
	if (!VEC_ADD(&u->c->arena, &u->apps, UP_MAX_APPS))
		return false;
	u->apps.len--;
	return true;
}

static bool route_app(struct change *g, struct err *e)
{
	const struct serve_app_config *before = find_app(g->up.whole, g->app->name);
	g->routed = (struct serve_app_config){.name = g->app->name};
	if (!g->to)
		return true;
	if (!before && !reserve_app(g->up.whole))
		return err_set(e, ERR_LIMIT, "more than %d apps", UP_MAX_APPS);
	g->routed.max_calls = g->to->about.limits.calls.value;
	g->routed.max_memory = g->to->about.limits.memory.value;
	g->routed.listener = before ? before->listener : 0;
	if (!cli__up_routes(&g->up, g->to, &g->routed, e))
		return false;
	bool stays = before && before->routes.len && !g->plan.http;
	if (stays || g->routed.routes.len == 0)
		return true;
	g->has_place = true;
	return cli__up_find_place(&g->up, g->to, g->app->name, &g->place, e);
}

// ---- addresses -------------------------------------------------------------------------------------------------------------------------------------

static void on_addresses(void *ctx, struct serve_addresses *a, const struct err *e)
{
	struct change *g = ctx;
	struct err why = *e;
	g->addresses = a;
	if (a && g->place.opens)
		g->place.site = serve_addresses_site(a);
	if (why.code == ERR_ENV || why.code == ERR_USAGE)
		why.code = ERR_REFUSED;
	note_failure(g, &why);
	go_on(g);
}

// Those that come are bound, and hold who comes. The last of what may take its time.
static void open_addresses(struct change *g)
{
	const struct up_place *p = &g->place;
	const struct serve_address_change c = {p->site, p->opens ? &p->config : NULL, p->leaves, p->rewires};
	g->looked = true;
	g->waiting = 1;
	if (g->has_place && (p->opens || p->leaves != SERVE_NO_SITE))
		serve_addresses_prepare(g->process, &c, on_addresses, g);
	else
		go_on(g);
}

static bool make_routes(struct change *g, struct err *e)
{
	const struct up *whole = g->up.whole;
	struct serve_app_config *all = ARENA_ARRAY(&g->batch->arena, struct serve_app_config, whole->apps.len + 3);
	unsigned n = 0;
	if (g->has_place)
		g->routed.listener = g->place.site;
	if (!all)
		return err_nomem(e);
	if (!g->plan.routes)
		return true;
	for (uint32_t i = 0; i < whole->apps.len; i++)
		if (strcmp(whole->apps.ptr[i].name, g->app->name) != 0)
			all[n++] = whole->apps.ptr[i];
	if (g->to)
		all[n++] = g->routed;
	if (g->has_place && g->place.leaves != SERVE_NO_SITE) {  // who comes there until it has drained is answered as well
		all[n] = g->routed;
		all[n++].listener = g->place.leaves;
	}
	g->has_routes = serve_routes_prepare(g->process, all, n, &g->routes, e);
	if (!g->has_routes && e->code == ERR_USAGE)
		e->code = ERR_REFUSED;
	return g->has_routes;
}

// What else calls components, of an app that stops nothing does.
static bool make_triggers(struct change *g, struct err *e)
{
	if (!g->plan.runs)
		return true;
	if (g->to && !cli__up_triggers(&g->up, g->to, &g->routed, e))
		return false;
	return serve_triggers_prepare(g->process, g->app->name, g->routed.triggers.ptr, g->routed.triggers.len, &g->triggers, e);
}

// ---- prepared --------------------------------------------------------------------------------------------------------------------------------------

static bool begin(struct change *g, const struct ctl_turn *t, struct err *e)
{
	g->up = *g->app->up;
	g->up.whole = g->app->up;
	g->up.arena = &g->batch->arena;
	g->up.batch = g->batch;
	g->up.now = g->app;
	return cli__up_plan(&g->batch->arena, t, &g->plan, e) && open_links(g, e) && prepare_pieces(g, t, e) && route_app(g, e);
}

void cli__up_prepare(void *user, const struct ctl_turn *t, void (*ready)(void *ctx, void *prepared, const struct err *e), void *ctx)
{
	struct change *g = mem_zalloc(sizeof *g);
	struct up_batch *b = g ? cli__up_batch_new(t->to) : NULL;
	struct err e = {0};
	if (!b) {
		mem_free(g);
		err_nomem(&e);
		ready(ctx, NULL, &e);
		return;
	}
	*g = (struct change){.app = user, .batch = b, .process = t->process, .to = t->to ? t->to->app : NULL, .busy = t->busy, .more = t->more, .ready = ready, .ctx = ctx};
	if (!begin(g, t, &e)) {
		cli__up_abandon(user, g);
		ready(ctx, NULL, &e);
		return;
	}
	g->waiting = 1;
	ask_links(g);
	go_on(g);
}

// ---- in force --------------------------------------------------------------------------------------------------------------------------------------

static void finish(struct change *g)
{
	void (*done)(void *ctx) = g->done;
	void *user = g->ctx;
	change_free(g);
	done(user);
}

static void on_left(void *ctx, const struct err *e)
{
	struct change *g = ctx;
	if (--g->waiting == 0)
		finish(g);
}

// What is not in the app any more: nothing leads to it by now.
static void let_go(struct change *g)
{
	g->waiting = g->plan.n_leave + 1;
	for (uint32_t i = 0; i < g->plan.n_leave; i++)
		serve_service_leave(g->leave[i].service, g->leave[i].drain_ns, on_left, g);
	for (uint32_t i = 0; i < g->plan.n_close; i++)
		cli__up_link_close(g->up.whole, g->app->name, g->plan.close[i]);
	for (uint32_t i = 0; i < g->n_links; i++)
		cli__up_link_add(g->up.whole, g->links[i]);
	cli__up_ask_now(g->app, g->to != NULL);
	on_left(g, NULL);
}

static void on_addressed(void *ctx, const struct err *e)
{
	let_go(ctx);
}

static void on_triggers(void *ctx, const struct err *e)
{
	struct change *g = ctx;
	struct serve_addresses *a = g->addresses;
	g->addresses = NULL;
	if (a)
		serve_addresses_commit(a, on_addressed, g);
	else
		let_go(g);
}

static void on_routed(void *ctx, const struct err *e)
{
	struct change *g = ctx;
	struct err why = {0};
	if (g->plan.runs && !ctl_state_crons(g->app->state, g->to, g->process, &why))  // before one of them runs
		serve_warn(g->process, "when cron triggers run is not written: %s", why.text);
	if (g->triggers)
		serve_triggers_commit(g->triggers, on_triggers, g);
	else
		on_triggers(g, e);
}

static void on_taken_up(void *ctx, const struct err *e)
{
	struct change *g = ctx;
	if (--g->waiting)
		return;
	if (g->has_routes)
		serve_routes_commit(g->routes, on_routed, g);
	else
		on_routed(g, e);
}

// The list of apps, as routes are made by it from here on.
static void keep_app(struct change *g)
{
	struct up *u = g->up.whole;
	uint32_t i = 0;
	while (i < u->apps.len && strcmp(u->apps.ptr[i].name, g->app->name) != 0)
		i++;
	if (g->to && i < u->apps.len)
		u->apps.ptr[i] = g->routed;
	else if (g->to)
		u->apps.ptr[u->apps.len++] = g->routed;  // there is room for it since it was prepared
	else if (i < u->apps.len)
		u->apps.ptr[i] = u->apps.ptr[--u->apps.len];
	if (g->has_place)
		cli__up_take_place(u, g->app->name, &g->place);
	cli__up_batch_unref(g->app->routes);
	g->app->routes = g->batch;
	g->batch->refs++;
}

// Requests go to where they are to be answered.
static void on_led(void *ctx, const struct err *e)
{
	struct change *g = ctx;
	g->waiting = g->n_pieces + 1;
	if (g->has_routes)
		keep_app(g);
	if (g->to)
		cli__up_quota_set(&g->up, g->to);
	if (g->plan.calls && g->to)
		serve_app_set_limits(g->process, g->app->name, g->routed.max_calls, g->routed.max_memory);
	for (uint32_t i = 0; i < g->n_pieces; i++) {
		g->pieces[i].update.percent = g->percent;
		serve_version_commit(g->pieces[i].service, g->pieces[i].version, &g->pieces[i].update, on_taken_up, g);
	}
	on_taken_up(g, e);
}

void cli__up_commit(void *user, void *prepared, unsigned percent, void (*done)(void *ctx), void *ctx)
{
	struct change *g = prepared;
	static const struct err none;
	g->done = done;
	g->ctx = ctx;
	g->percent = percent;
	if (g->has_routes)
		serve_routes_lead(g->routes, on_led, g);
	else
		on_led(g, &none);
}
