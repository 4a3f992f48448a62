// What else calls components of an app changes while it serves: triggers come, go, or get other limits. Made on thread 0, taken up by each thread between two
// turns of its loop.
//
//   serve_triggers_prepare ── those that come are made ──► serve_triggers_commit ── posted ──► on_take_up on each thread ── the last ──► `done`
//                                                     └──► serve_triggers_abandon
//
// One that is the same but for limits and `overlap` stays, with its times and its runs: a command that ran doesn't run again. One change is under way in a
// process at a time.
#include "trigger.h"

#include "app/app.h"

enum step { STAYS, COMES, GOES };
struct row {
	enum step step;
	struct serve_trigger *trigger;       // its thread's: when that has taken it up, one that goes may be freed
	const struct serve_thread *thread;
	struct serve_trigger_config config;  // of one that stays: what counts from here on
};
struct serve_triggers {
	struct serve_process *process;
	struct row *rows;
	uint32_t n, waiting;  // waiting: threads that have not taken it up
	struct loop_remote acknowledged;
	serve_done_fn *done;
	void *ctx;
};

static void change_free(struct serve_triggers *g)
{
	g->process->retriggering = NULL;
	mem_free(g->rows);
	mem_free(g);
}

static void on_acknowledged(struct loop_remote *m)
{
	struct serve_triggers *g = CONTAINER_OF(m, struct serve_triggers, acknowledged);
	serve_done_fn *done = g->done;
	void *ctx = g->ctx;
	struct err e = {0};
	change_free(g);
	done(ctx, &e);
}

static void take_up(const struct row *r)
{
	switch (r->step) {
	case STAYS:
		serve__trigger_change(r->trigger, &r->config);
		break;
	case COMES:
		serve__trigger_begin(r->trigger);
		break;
	case GOES:
		serve__trigger_leave(r->trigger);
		break;
	}
}

void serve__triggers_take_up(struct serve_thread *t)
{
	struct serve_triggers *g = __atomic_exchange_n(&t->retriggers, NULL, __ATOMIC_ACQ_REL);
	if (!g)
		return;
	for (uint32_t i = 0; i < g->n; i++)
		if (g->rows[i].thread == t)
			take_up(&g->rows[i]);
	if (__atomic_sub_fetch(&g->waiting, 1, __ATOMIC_ACQ_REL) == 0)
		loop_post_remote(g->process->threads[0].loop, &g->acknowledged);
}

static void on_take_up(struct loop_remote *m)
{
	serve__triggers_take_up(CONTAINER_OF(m, struct serve_thread, retrigger));
}

// ---- one ----------------------------------------------------------------------------------------------------------------------------------------

static bool keep_config(struct serve_trigger *t, const struct serve_trigger_config *c)
{
	struct app_schedule *when = c->when ? ARENA_NEW(&t->arena, struct app_schedule) : NULL;
	struct slice id, zone = {0};
	if ((c->when && !when) || !slice_dup(&t->arena, slice_str(c->id), &id) || (c->timezone && !slice_dup(&t->arena, slice_str(c->timezone), &zone)))
		return false;
	if (when)
		*when = *c->when;
	t->config = *c;
	t->config.id = (const char *)id.ptr;
	t->config.service = t->service->name;
	t->config.when = when;
	t->config.timezone = c->timezone ? (const char *)zone.ptr : NULL;
	return true;
}

bool serve__trigger_new(struct serve_process *p, const char *app, const struct serve_trigger_config *c, struct serve_trigger **ret, struct err *e)
{
	struct serve_trigger *t = mem_zalloc(sizeof *t);
	if (!t)
		return err_nomem(e);
	arena_init(&t->arena, 0);
	t->service = serve_service_find(p, app, c->service);
	BUG_ON(!t->service);  // the manifest was checked
	bool kept = serve__service_ahead(t->service) && serve__service_ahead(t->service)->config->policy == SERVE_KEEP;
	t->thread = &p->threads[kept ? SERVE_KEEPER : p->n_threads - 1 - p->triggers_made++ % p->n_threads];
	bool ok = (keep_config(t, c) || err_nomem(e)) && (serve__version_must_run(serve__service_ahead(t->service), e) || err_note(e, "trigger %s of %s", c->id, app)) &&
		(c->kind != SERVE_TRIGGER_CRON || serve__zone_open(c->timezone, &t->zone, e));
	if (ok)
		*ret = t;
	else
		serve__trigger_free(t);
	return ok;
}

bool serve__triggers_open(struct serve_process *p, const struct serve_setup *setup, struct err *e)
{
	for (unsigned k = 0; k < setup->n_apps; k++)
		for (uint32_t i = 0; i < setup->apps[k].triggers.len; i++) {
			struct serve_trigger *t;
			if (!serve__trigger_new(p, setup->apps[k].name, &setup->apps[k].triggers.ptr[i], &t, e))
				return false;
			serve__trigger_add(t);
		}
	return true;
}

bool serve_service_may_be(const struct serve_service *s, enum serve_policy policy, struct err *e)
{
	for (const struct serve_trigger *t = s->process->triggers; t && policy == SERVE_KEEP; t = t->all_next) {
		if (t->service != s || t->removed || t->thread->index == SERVE_KEEPER)
			continue;
		err_set(e, ERR_REFUSED, "component %s of %s: its trigger %s runs on another thread than the one that has all instances that are kept, from its start to its end", s->name, s->app,
			t->config.id);
		return err_hint(e, "take its triggers out first, and add them again with or after the policy; or start anew with its manifest");
	}
	return true;
}

// ---- made ----------------------------------------------------------------------------------------------------------------------------------------

static bool is_of(const struct serve_trigger *t, const char *app)
{
	return !t->removed && strcmp(t->service->app, app) == 0;
}

static const struct serve_trigger_config *find_same(const struct serve_trigger *t, const struct serve_trigger_config *list, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (serve__trigger_is(t, &list[i]))
			return &list[i];
	return NULL;
}

static bool is_there(const struct serve_triggers *g, const struct serve_trigger_config *c)
{
	for (uint32_t i = 0; i < g->n; i++)
		if (g->rows[i].step == STAYS && serve__trigger_is(g->rows[i].trigger, c))
			return true;
	return false;
}

static bool make_rows(struct serve_triggers *g, const char *app, const struct serve_trigger_config *list, uint32_t n, struct err *e)
{
	for (struct serve_trigger *t = g->process->triggers; t; t = t->all_next) {
		const struct serve_trigger_config *c = is_of(t, app) ? find_same(t, list, n) : NULL;
		if (c)
			g->rows[g->n++] = (struct row){STAYS, t, t->thread, *c};
		else if (is_of(t, app))
			g->rows[g->n++] = (struct row){.step = GOES, .trigger = t, .thread = t->thread};
	}
	for (uint32_t i = 0; i < n; i++) {
		struct serve_trigger *t;
		if (is_there(g, &list[i]))
			continue;
		if (!serve__trigger_new(g->process, app, &list[i], &t, e))
			return false;
		g->rows[g->n++] = (struct row){.step = COMES, .trigger = t, .thread = t->thread};
	}
	return true;
}

bool serve_triggers_prepare(struct serve_process *p, const char *app, const struct serve_trigger_config *list, uint32_t n, struct serve_triggers **ret, struct err *e)
{
	uint64_t all = n;
	if (p->retriggering)
		return err_set(e, ERR_REFUSED, "triggers of another app are being changed");
	for (const struct serve_trigger *t = p->triggers; t; t = t->all_next)
		all += is_of(t, app);
	struct serve_triggers *g = mem_zalloc(sizeof *g);
	struct row *rows = mem_zalloc(max_u64(all, 1) * sizeof *rows);
	if (!g || !rows) {
		mem_free(g);
		mem_free(rows);
		return err_nomem(e);
	}
	*g = (struct serve_triggers){.process = p, .rows = rows, .acknowledged.fn = on_acknowledged};
	p->retriggering = g;
	if (make_rows(g, app, list, n, e)) {
		*ret = g;
		return true;
	}
	serve_triggers_abandon(g);
	return false;
}

void serve_triggers_abandon(struct serve_triggers *g)
{
	if (!g)
		return;
	for (uint32_t i = 0; i < g->n; i++)
		if (g->rows[i].step == COMES)
			serve__trigger_free(g->rows[i].trigger);
	change_free(g);
}

void serve_triggers_commit(struct serve_triggers *g, serve_done_fn *done, void *ctx)
{
	struct serve_process *p = g->process;
	g->done = done;
	g->ctx = ctx;
	g->waiting = p->n_threads;
	for (uint32_t i = 0; i < g->n; i++) {
		struct serve_trigger *t = g->rows[i].trigger;
		if (g->rows[i].step == COMES)
			serve__trigger_add(t);
		t->removed = g->rows[i].step == GOES;
	}
	for (uint32_t i = 0; i < g->n; i++)
		g->rows[i].trigger->service->is_run = serve__triggers_run(p, g->rows[i].trigger->service);
	for (unsigned i = 0; i < p->n_threads; i++) {
		struct serve_thread *t = &p->threads[i];
		__atomic_store_n(&t->retriggers, g, __ATOMIC_RELEASE);
		if (t->gone) {
			serve__triggers_take_up(t);
		} else {
			t->retrigger.fn = on_take_up;
			loop_post_remote(t->loop, &t->retrigger);
		}
	}
}
