// A service gets another version while it serves: prepared beside it, committed for all requests or for a share, promoted, taken back. On thread 0.
//
//   a version:  serve_version_prepare ── loaded on a thread of its own ──► image taken on thread 0's loop ──► ready ──► serve_version_commit, or _abandon
//   a service:  one ── commit of a share ──► two ── promote, or a share of 100 ──► one (the new)
//                                              └── roll back, by hand or by its thresholds ──► one (the old)
//               one ── commit, with thresholds ──► one, watched: the version before is kept for so long, and comes back where they are passed
#include <errno.h>

#include "relay.h"

#include "sys/sys.h"

// ---- prepared ------------------------------------------------------------------------------------------------------------------------------

// A version on its way. Owned by the process until it is told.
struct serve_preparing {
	struct serve_preparing *next, **prev;
	struct serve_service *service;
	struct serve_version *version;
	struct sys_thread thread;
	struct loop_remote loaded;
	struct serve_image_job *image;  // while it is taken
	bool answers, is_run;  // as the service was when it was begun, which thread 0 changes
	bool stop;
	bool ok;
	struct err err;
	void (*ready)(void *ctx, struct serve_version *v, const struct err *e);
	void *ctx;
};

// Other versions are loaded meanwhile, and linked to it.
static void set_coming(struct serve_service *s, struct serve_version *v)
{
	pthread_mutex_lock(&s->process->relays);
	s->coming = v;
	pthread_mutex_unlock(&s->process->relays);
}

static void tell(struct serve_preparing *g, bool ok)
{
	struct serve_version *v = ok ? g->version : NULL;
	*g->prev = g->next;
	if (g->next)
		g->next->prev = g->prev;
	if (ok)
		set_coming(g->version->service, g->version);
	else
		serve__version_unref(g->version, VERSION_IN_SERVICE);
	g->ready(g->ctx, v, &g->err);
	mem_free(g);
}

static void on_image(void *ctx, bool ok)
{
	struct serve_preparing *g = ctx;
	g->image = NULL;
	tell(g, ok);
}

static void on_loaded(struct loop_remote *r)
{
	struct serve_preparing *g = CONTAINER_OF(r, struct serve_preparing, loaded);
	struct serve_process *p = g->version->process;
	sys_thread_join(&g->thread);
	if (g->stop && g->ok)
		g->ok = err_set(&g->err, ERR_ENV, "the process ends");
	if (!g->ok)
		tell(g, false);
	else
		serve__version_begin_image(g->version, &p->threads[0], &g->image, on_image, g, &g->err);
}

// Those who call the service can call this one.
static bool fits(const struct serve_preparing *g, struct err *e)
{
	struct serve_version *v = g->version;
	return serve__relay_fits(g->service, v, e) && (!g->answers || serve__version_must_answer(v, e)) && (!g->is_run || serve__version_must_run(v, e));
}

static void *load(void *arg)
{
	struct serve_preparing *g = arg;
	g->ok = serve__version_load(g->version, &g->err) && fits(g, &g->err);
	loop_post_remote(g->version->process->threads[0].loop, &g->loaded);
	return NULL;
}

static void fail_at_once(void (*ready)(void *ctx, struct serve_version *v, const struct err *e), void *ctx, int errnum)
{
	struct err e = {0};
	err_set_errno(&e, errnum, "a new version can't be prepared");
	ready(ctx, NULL, &e);
}

void serve_version_prepare(struct serve_service *s, const struct serve_service_config *c, void (*ready)(void *ctx, struct serve_version *v, const struct err *e),
	void *ctx)
{
	struct serve_process *p = s->process;
	struct serve_preparing *g = mem_zalloc(sizeof *g);
	serve__relays_look(p);
	if (!s->spare)
		s->spare = serve__choice_alloc();
	if (!g || !s->spare || !serve__version_alloc(p, c, &g->version)) {
		mem_free(g);
		if (c->forget)
			c->forget(c);
		fail_at_once(ready, ctx, ENOMEM);
		return;
	}
	g->service = s;
	g->answers = s->answers;
	g->is_run = s->is_run;
	g->version->service = s;
	g->loaded.fn = on_loaded;
	g->ready = ready;
	g->ctx = ctx;
	int errnum = sys_thread_new(&g->thread, load, g);
	if (errnum) {
		serve__version_unref(g->version, VERSION_IN_SERVICE);
		mem_free(g);
		fail_at_once(ready, ctx, errnum);
		return;
	}
	g->next = p->preparing;
	g->prev = &p->preparing;
	if (g->next)
		g->next->prev = &g->next;
	p->preparing = g;
}

void serve_version_abandon(struct serve_version *v)
{
	set_coming(v->service, NULL);
	serve__version_unref(v, VERSION_IN_SERVICE);
}

void serve__preparing_end(struct serve_process *p)
{
	for (struct serve_preparing *g = p->preparing; g; g = g->next) {
		g->stop = true;
		serve__image_stop(g->image);
	}
	while (p->preparing)
		loop_run_once(p->threads[0].loop, UINT64_MAX);
}

static void watch(struct serve_service *s, struct serve_version *v, uint64_t left_ns);
static void set_watched(struct serve_service *s, uint64_t until_ns);

// ---- in force ------------------------------------------------------------------------------------------------------------------------------

// Before it is published that the version leaves: shards look at it then. NULL does nothing.
static void retire(struct serve_service *s, struct serve_version *v)
{
	if (!v)
		return;
	uint64_t now = loop_now_fresh_ns(s->process->threads[0].loop);
	__atomic_store_n(&v->ends_ns, s->update.drain_ns ? sat_add_u64(now, s->update.drain_ns) : UINT64_MAX, __ATOMIC_RELAXED);
}

static void forget_previous(struct serve_service *s)
{
	loop_timer_cancel(s->process->threads[0].loop, &s->watch);
	set_watched(s, 0);
	serve__version_unref(s->previous, VERSION_IN_SERVICE);
	s->previous = NULL;
}

// Who asks from another thread holds the lock while he takes a reference.
static void set_version(struct serve_service *s, struct serve_version *v)
{
	pthread_mutex_lock(&s->process->relays);
	s->version = v;
	pthread_mutex_unlock(&s->process->relays);
}

// What `stable` and `tried` are from here on; the service's references stand. Takes the empty choice over. false: there is none (no memory), nothing has happened.
static bool publish(struct serve_service *s, struct serve_choice *c, struct serve_version *stable, struct serve_version *tried, serve_done_fn *done, void *ctx)
{
	const struct serve_update *u = &s->update;
	struct serve_choice like = {.versions = {stable, tried}, .percent = u->percent, .cookie = u->cookie, .header = u->header, .done = done, .ctx = ctx};
	if (!c)
		return false;
	serve__choice_init(c, &like);
	__atomic_store_n(&stable->ends_ns, UINT64_MAX, __ATOMIC_RELAXED);
	serve__choice_publish(s, c);
	return true;
}

static bool is_watched(const struct serve_update *u)
{
	return u->errors || u->p99_ns;
}

void serve_version_commit(struct serve_service *s, struct serve_version *v, const struct serve_update *u, serve_done_fn *done, void *ctx)
{
	struct serve_choice *c = v->choice;
	bool all = u->percent >= 100 || !s->version;
	uint64_t until_ns = s->watched_until_ns, now_ns = loop_now_fresh_ns(s->process->threads[0].loop);
	bool keeps = v->config->policy == SERVE_KEEP, other_policy = s->version && keeps != (s->version->config->policy == SERVE_KEEP);
	s->update = *u;
	s->leaves = false;
	__atomic_store_n(&s->on_one_shard, keeps, __ATOMIC_RELEASE);
	v->number = ++s->numbers;
	serve__version_set_slow(v, u->p99_ns);
	v->choice = NULL;
	retire(s, s->tried);
	if (all)
		retire(s, s->version);
	(void)publish(s, c, all ? v : s->version, all ? NULL : v, done, ctx);
	serve__version_unref(s->tried, VERSION_IN_SERVICE);
	s->tried = all ? NULL : v;
	forget_previous(s);
	pthread_mutex_lock(&s->process->relays);
	s->coming = NULL;
	if (all) {
		s->answers = s->version ? s->answers : v->answers;
		s->previous = s->version;
		s->version = v;
	}
	pthread_mutex_unlock(&s->process->relays);
	if (all)
		serve__service_tell(s, v->config);
	__atomic_store_n(&s->there, true, __ATOMIC_RELEASE);
	if (u->same_bytes || other_policy)
		forget_previous(s);  // the bytes may have to go, not what they were made anew for; and routes lead to where it is
	if (is_watched(u) && other_policy && !u->same_bytes)
		watch(s, v, u->over_ns);
	else if (is_watched(u) && u->same_bytes && until_ns)
		watch(s, v, until_ns > now_ns ? until_ns - now_ns : 0);
	else if (is_watched(u) && (s->tried || s->previous))
		watch(s, v, u->over_ns);
	else
		forget_previous(s);
}

static void leave(struct serve_service *s, serve_done_fn *done, void *ctx)
{
	struct serve_choice *c = s->spare;
	const struct serve_choice like = {.done = done, .ctx = ctx};
	s->spare = NULL;
	s->leaves = false;
	serve__choice_init(c, &like);
	retire(s, s->version);
	retire(s, s->tried);
	serve__choice_publish(s, c);
	__atomic_store_n(&s->there, false, __ATOMIC_RELEASE);
	forget_previous(s);
	serve__version_unref(s->tried, VERSION_IN_SERVICE);
	serve__version_unref(s->version, VERSION_IN_SERVICE);
	s->tried = NULL;
	s->answers = false;
	set_version(s, NULL);
}

void serve__relays_look(struct serve_process *p)
{
	for (unsigned i = 0; i < p->n_services && !p->preparing; i++) {  // what is being loaded may be about to call it
		struct serve_service *s = p->services[i];
		pthread_mutex_lock(&p->relays);
		bool went = serve__relay_let_go(s);
		pthread_mutex_unlock(&p->relays);
		if (went && s->leaves && s->version && s->spare)
			leave(s, NULL, NULL);
	}
}

void serve_service_leave(struct serve_service *s, uint64_t drain_ns, serve_done_fn *done, void *ctx)
{
	s->update.drain_ns = drain_ns;
	serve__relays_look(s->process);
	// What others are linked to stays for their calls that run, though nothing leads to it.
	if (!s->version || s->relay) {
		s->leaves = s->version != NULL;
		__atomic_store_n(&s->there, false, __ATOMIC_RELEASE);
		done(ctx, &(struct err){0});
		return;
	}
	leave(s, done, ctx);
}

bool serve_service_leave_prepare(struct serve_service *s, struct err *e)
{
	if (!s->spare)
		s->spare = serve__choice_alloc();
	return s->spare || err_nomem(e);
}

bool serve_service_promote(struct serve_service *s, serve_done_fn *done, void *ctx, struct err *e)
{
	if (!s->tried)
		return err_set(e, ERR_USAGE, "component %s: there is no version that is tried", s->name);
	struct serve_choice *c = serve__choice_alloc();
	if (!c)
		return err_nomem(e);
	retire(s, s->version);
	(void)publish(s, c, s->tried, NULL, done, ctx);
	forget_previous(s);
	s->previous = s->version;
	set_version(s, s->tried);
	s->tried = NULL;
	serve__service_tell(s, s->version->config);
	if (is_watched(&s->update))
		watch(s, s->version, s->update.over_ns);
	else
		forget_previous(s);
	return true;
}

bool serve_service_split(struct serve_service *s, unsigned percent, serve_done_fn *done, void *ctx, struct err *e)
{
	unsigned before = s->update.percent;
	if (!s->tried)
		return err_set(e, ERR_USAGE, "component %s: there is no version that is tried", s->name);
	if (percent >= 100)
		return serve_service_promote(s, done, ctx, e);
	s->update.percent = percent;
	if (publish(s, serve__choice_alloc(), s->version, s->tried, done, ctx))
		return true;
	s->update.percent = before;
	return err_nomem(e);
}

bool serve_service_rollback(struct serve_service *s, serve_done_fn *done, void *ctx, struct err *e)
{
	if (!s->tried && !s->previous)
		return err_set(e, ERR_USAGE, "component %s: there is no version to go back to", s->name);
	struct serve_choice *c = serve__choice_alloc();
	struct serve_version *leaves = s->tried ? s->tried : s->version;
	if (!c)
		return err_nomem(e);
	retire(s, leaves);
	(void)publish(s, c, s->tried ? s->version : s->previous, NULL, done, ctx);
	if (!s->tried) {
		set_version(s, s->previous);
		s->previous = NULL;
		serve__service_tell(s, s->version->config);
	}
	s->tried = NULL;
	serve__version_unref(leaves, VERSION_IN_SERVICE);
	forget_previous(s);
	return true;
}

struct serve_numbers serve_service_numbers(const struct serve_service *s)
{
	return (struct serve_numbers){.in_force = s->version ? s->version->number : 0, .tried = s->tried ? s->tried->number : 0};
}

// ---- watched -------------------------------------------------------------------------------------------------------------------------------

enum { CALLS_LEAST = 10 };

// What it has counted so far, on all threads.
struct serve_tally serve__version_tally(const struct serve_version *v)
{
	struct serve_tally sum = {0};
	for (unsigned i = 0; i < v->process->n_threads; i++) {
		const struct serve_tally *t = &v->tallies[i].of;
		sum.begun += __atomic_load_n(&t->begun, __ATOMIC_RELAXED);
		sum.calls += __atomic_load_n(&t->calls, __ATOMIC_RELAXED);
		sum.errors += __atomic_load_n(&t->errors, __ATOMIC_RELAXED);
		sum.slow += __atomic_load_n(&t->slow, __ATOMIC_RELAXED);
	}
	return sum;
}

static void note_look(struct serve_service *s, struct serve_tally now, uint64_t now_ns)
{
	unsigned i = s->n_looks++ % SERVE_LOOKS;
	s->looks[i] = now;
	s->looked_ns[i] = now_ns;
}

// Calls that run for longer than p99 says, and haven't ended: at least so many had begun by a look that long ago. Who hangs doesn't fail until its deadline.
static uint64_t count_overdue(const struct serve_service *s, struct serve_tally now, uint64_t now_ns)
{
	uint64_t begun = 0;
	for (unsigned i = 0; i < SERVE_LOOKS && s->update.p99_ns; i++)
		if (now_ns - s->looked_ns[i] >= s->update.p99_ns)
			begun = max_u64(begun, s->looks[i].begun);
	return begun > now.calls ? begun - now.calls : 0;
}

// Of the calls within the window: since the oldest look that is kept.
static bool has_failed(struct serve_service *s, struct serve_tally now, uint64_t now_ns, char *why, size_t size)
{
	const struct serve_update *u = &s->update;
	struct serve_tally then = s->looks[s->n_looks % SERVE_LOOKS];
	uint64_t overdue = count_overdue(s, now, now_ns), ended = now.calls - then.calls;
	uint64_t calls = ended + overdue, errors = now.errors - then.errors, slow = now.slow - then.slow + overdue;
	if (u->errors && ended >= CALLS_LEAST && errors * 10000 > ended * u->errors) {
		snprintf(why, size, "%llu of %llu calls failed, more than %g %%", (unsigned long long)errors, (unsigned long long)ended, u->errors / 100.0);
		return true;
	}
	if (u->p99_ns && calls >= CALLS_LEAST && slow * 100 > calls) {
		snprintf(why, size, "%llu of %llu calls took longer than %g ms: p99 is above that", (unsigned long long)slow, (unsigned long long)calls,
			(double)u->p99_ns / 1e6);
		return true;
	}
	return false;
}

// Calls that began within its time may be under way still: who hangs fails by his deadline, after that. Who is never idle is watched for as long.
static bool awaits_ends(const struct serve_service *s, struct serve_tally now, uint64_t now_ns)
{
	uint64_t deadline_ns = s->version->config->limits.deadline;
	return s->update.errors && deadline_ns && now.begun > now.calls && now_ns < sat_add_u64(s->watched_until_ns, sat_add_u64(deadline_ns, SECOND));
}

static void set_watched(struct serve_service *s, uint64_t until_ns)
{
	__atomic_store_n(&s->watched_until_ns, until_ns, __ATOMIC_RELAXED);
}

// The one before isn't here, but whoever is told knows its bytes: this one serves until that has taken over.
static void ask_for_the_one_before(struct serve_service *s, const char *why)
{
	struct serve_process *p = s->process;
	uint64_t number = s->version->number;
	forget_previous(s);
	serve__log(p->config, SERVE_LOG_WARN, "component %s of %s: version %llu is to be taken back: %s", s->name, s->app, (unsigned long long)number, why);
	if (p->config->taken_back)
		p->config->taken_back(p->config->user, s->app, s->name, number, why);
}

// false: it can't be, for now.
static bool take_back(struct serve_service *s, const char *why)
{
	struct serve_process *p = s->process;
	struct serve_version *v = s->tried ? s->tried : s->version;
	struct err e = {0};
	uint64_t number = v->number;
	if (!s->tried && !s->previous) {
		ask_for_the_one_before(s, why);
		return true;
	}
	if (!serve_service_rollback(s, NULL, NULL, &e)) {
		serve__log(p->config, SERVE_LOG_ERROR, "component %s: version %llu can't be taken back: %s", s->name, (unsigned long long)number, e.text);
		return false;
	}
	serve__log(p->config, SERVE_LOG_WARN, "component %s of %s: version %llu was taken back: %s", s->name, s->app, (unsigned long long)number, why);
	if (p->config->taken_back)
		p->config->taken_back(p->config->user, s->app, s->name, number, why);
	return true;
}

static void on_watch(struct loop_timer *t)
{
	struct serve_service *s = CONTAINER_OF(t, struct serve_service, watch);
	struct loop *l = s->process->threads[0].loop;
	char why[200];
	uint64_t now_ns = loop_now_fresh_ns(l);
	struct serve_tally now = serve__version_tally(s->tried ? s->tried : s->version);
	bool fails = has_failed(s, now, now_ns, why, sizeof why);
	if (fails && take_back(s, why))
		return;
	if (!fails)
		note_look(s, now, now_ns);
	if (!fails && !s->tried && now_ns >= s->watched_until_ns && !awaits_ends(s, now, now_ns))
		forget_previous(s);
	else
		loop_timer_set(l, t, now_ns + max_u64(s->update.over_ns / SERVE_LOOKS, 10 * MILLISECOND));
}

// From here on: a version that is tried as long as it is, one that has taken over for the time that its thresholds are measured over.
static void watch(struct serve_service *s, struct serve_version *v, uint64_t left_ns)
{
	struct loop *l = s->process->threads[0].loop;
	uint64_t now_ns = loop_now_fresh_ns(l);
	s->n_looks = 0;
	for (unsigned i = 0; i < SERVE_LOOKS; i++)
		note_look(s, serve__version_tally(v), now_ns);
	set_watched(s, sat_add_u64(now_ns, left_ns));
	s->watch.fn = on_watch;
	loop_timer_set(l, &s->watch, now_ns + max_u64(s->update.over_ns / SERVE_LOOKS, 10 * MILLISECOND));
}

void serve_service_watch(struct serve_service *s, const struct serve_update *u, uint64_t left_ns)
{
	if (!s->version || s->tried || s->previous || !is_watched(u))
		return;
	s->update = *u;
	serve__version_set_slow(s->version, u->p99_ns);
	watch(s, s->version, left_ns);
}

// The version whose interfaces others were linked to.
static void let_base_go(struct serve_relay *r)
{
	if (!r || !r->base)
		return;
	serve__version_unref(r->base, VERSION_IN_RELAY);
	r->base = NULL;
}

void serve__service_forget(struct serve_service *s)
{
	let_base_go(s->relay);
	struct serve_version *v = s->version;
	forget_previous(s);
	set_version(s, NULL);
	serve__version_unref(s->tried, VERSION_IN_SERVICE);
	serve__version_unref(v, VERSION_IN_SERVICE);
	s->tried = NULL;
	serve__choice_forget(s);
}
