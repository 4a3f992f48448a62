// Services come and leave while others serve. What a service is stands until the process ends: it is named by routes that were taken up, by requests and by who
// counts. What comes and goes is what it runs:
//
//   serve_service_new ── no version ── serve_version_prepare, _commit ──► serves ── serve_service_leave ──► no version ── a version again ──► …
//
// 1. Without a version it takes no requests: they are answered with 503. Who adds one leads routes to it when it is in force, and away from it before it leaves.
// 2. A shard of one that came opens on its thread when the first version reaches it.
#include "serve_int.h"

#include "sys/sys.h"

// The stem of its file, where that is a name; else "app".
static void name_by_file(char name[SERVE_NAME_MAX + 1], const char *path)
{
	const char *base = strrchr(path, '/');
	struct slice stem = slice_str(base ? base + 1 : path);
	stem = slice_sub(stem, 0, slice_find(stem, '.'));
	bool ok = stem.len > 0 && stem.len <= SERVE_NAME_MAX && stem.ptr[0] >= 'a' && stem.ptr[0] <= 'z';
	for (size_t i = 0; ok && i < stem.len; i++) {
		uint8_t c = stem.ptr[i] == '_' ? '-' : stem.ptr[i];
		name[i] = (char)c;
		name[i + 1] = 0;
		ok = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
	}
	if (!ok)
		snprintf(name, SERVE_NAME_MAX + 1, "app");
}

void serve__service_tell(struct serve_service *s, const struct serve_service_config *c)
{
	spinlock_lock(&s->told);
	snprintf(s->path, sizeof s->path, "%s", c->path ? c->path : "");
	s->policy = c->policy;
	spinlock_unlock(&s->told);
}

// That comes first: of one that has nothing in force.
static void set_policy(struct serve_service *s, enum serve_policy policy)
{
	if (!s->version)
		__atomic_store_n(&s->on_one_shard, policy == SERVE_KEEP, __ATOMIC_RELEASE);
}

bool serve__service_new(struct serve_process *p, const char *app, const char *component, const struct serve_service_config *c, struct serve_app *of,
	struct serve_service **ret, struct err *e)
{
	struct serve_service *s = mem_zalloc(sizeof *s);
	struct serve_shard *shards = mem_zalloc(p->n_threads * sizeof *shards);
	if (!s || !shards) {
		mem_free(s);
		mem_free(shards);
		return err_nomem(e);
	}
	*s = (struct serve_service){.process = p, .of = of, .shards = shards};
	set_policy(s, c->policy);
	name_by_file(s->name, c->path);
	if (component)
		snprintf(s->name, sizeof s->name, "%s", component);
	snprintf(s->app, sizeof s->app, "%s", app ? app : s->name);
	for (unsigned i = 0; i < p->n_threads; i++)
		shards[i] = (struct serve_shard){.service = s, .index = i};
	serve__choices_init(s);
	*ret = s;
	return true;
}

struct serve_version *serve__service_ahead(const struct serve_service *s)
{
	return s->coming ? s->coming : s->version;
}

// ---- while others serve --------------------------------------------------------------------------------------------------------------------

static struct serve_app *app_of(struct serve_process *p, const char *app)
{
	for (unsigned i = 0; i < p->n_services; i++)
		if (strcmp(p->services[i]->app, app) == 0)
			return p->services[i]->of;
	struct serve_app *new = mem_zalloc(sizeof *new);
	if (!new)
		return NULL;
	new->next = p->more_apps;
	p->more_apps = new;
	return new;
}

// One that left before, or a new one.
static bool find_place(struct serve_process *p, const char *app, const struct serve_service_config *c, struct serve_service **ret, struct err *e)
{
	struct serve_app *of;
	struct serve_service *s = serve_service_find(p, app, c->name);
	*ret = s;
	if (s)
		return true;
	if (p->n_services == p->max_services)
		return err_set(e, ERR_LIMIT, "%u components have come since the start: no further one before the next", p->max_services);
	of = app_of(p, app);
	if (!of)
		return err_nomem(e);
	if (!serve__service_new(p, app, c->name, c, of, ret, e))
		return false;
	for (unsigned i = 0; i < p->n_threads; i++)
		(*ret)->shards[i].comes = true;
	p->services[p->n_services] = *ret;
	serve__have_one_more(&p->n_services);
	return true;
}

bool serve_service_is_there(const struct serve_service *s)
{
	return s && __atomic_load_n(&s->there, __ATOMIC_ACQUIRE);
}

bool serve_service_new(struct serve_process *p, const char *app, const struct serve_service_config *c, struct serve_service **ret, struct err *e)
{
	if (p->stopping)
		return err_set(e, ERR_ENV, "the process ends");
	if (!find_place(p, app, c, ret, e))
		return false;
	set_policy(*ret, c->policy);
	return true;
}

// Any thread: services only come. NULL: it has none.
static struct serve_app *find_app(const struct serve_process *p, const char *app)
{
	unsigned n = __atomic_load_n(&p->n_services, __ATOMIC_ACQUIRE);
	for (unsigned i = 0; i < n; i++)
		if (strcmp(p->services[i]->app, app) == 0)
			return p->services[i]->of;
	return NULL;
}

void serve_app_set_limits(struct serve_process *p, const char *app, uint64_t max_calls, uint64_t max_memory)
{
	struct serve_app *of = find_app(p, app);
	if (!of)
		return;
	__atomic_store_n(&of->max_memory, max_memory, __ATOMIC_RELAXED);
	__atomic_store_n(&of->max_calls, max_calls, __ATOMIC_SEQ_CST);
	serve__places_tell(p, NULL);  // there may be more of them than before
}

void serve_app_fail(const struct serve_process *p, const char *app, bool fails)
{
	struct serve_app *of = find_app(p, app);
	if (of)
		__atomic_store_n(&of->fails, fails, __ATOMIC_RELAXED);
}

bool serve_app_fails(const struct serve_process *p, const char *app)
{
	const struct serve_app *of = find_app(p, app);
	return of && __atomic_load_n(&of->fails, __ATOMIC_RELAXED);
}
