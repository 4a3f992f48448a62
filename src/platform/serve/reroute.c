// The routes of all apps change while they serve: made beside those in force, then taken up by each thread between two requests. On thread 0.
//
//   serve_routes_prepare ── routers, and what each port needs of them ──► serve_routes_commit ── posted ──► on_take_up on each thread ── the last ──► `done`
//                                                                    └──► serve_routes_abandon
//
// 1. One change of routes is under way in a process at a time: each names the routes of all apps.
// 2. The keeper's thread takes them up first.
// 3. A service that becomes one that is kept is led to the keeper's thread before it is (serve_routes_lead): RENEW, where it is needed, then LEAD: from then on no other
//    thread's shard gets a request of it.
// 4. Streams of HTTP/2 can't move to an instance that is kept. Where the first comes behind a listener those who speak HTTP/2 with other threads are told to come
//    anew before that: RENEW, on each thread, then TAKE_UP. Who has not heard it within RENEW_NS keeps his connection, where such streams are refused.
#include "serve_int.h"

#define RENEW_NS (2 * SECOND)
#define RENEW_LOOK_NS (2 * MILLISECOND)

enum step { RENEW, LEAD, TAKE_UP };
// Of one thread.
struct serve_renewal {
	struct serve_routes *of;
	struct serve_thread *thread;
	struct loop_timer look;
	uint64_t until_ns;
};
struct serve_routes {
	struct serve_process *process;
	enum step step;
	struct serve_renewal *renewals;   // one a thread
	bool *renews;                  // by listener
	bool leads;              // some service is to be kept that isn't yet
	bool led;  // RENEW and LEAD are for serve_routes_lead: `done` is called then
	struct serve_router **routers;    // one a site; NULL: it stays as it is
	struct serve_routing **routings;  // by listener, then thread; NULL: taken up
	unsigned n_sites, n_listeners;    // that there were when it was made
	uint32_t waiting;                 // threads that have not taken it up
	struct loop_remote acknowledged;
	serve_done_fn *done;
	void *ctx;
};

static void on_acknowledged(struct loop_remote *m);

static void routes_free(struct serve_routes *r)
{
	struct serve_process *p = r->process;
	for (unsigned i = 0; r->routings && i < r->n_listeners * p->n_threads; i++)
		serve__routing_free(r->routings[i]);
	for (unsigned i = 0; r->routers && i < r->n_sites; i++)
		serve__router_unref(r->routers[i]);
	p->rerouting = NULL;
	for (unsigned i = 0; i < p->n_services; i++)
		__atomic_store_n(&p->services[i]->leads, false, __ATOMIC_RELAXED);
	mem_free(r->routings);
	mem_free(r->routers);
	mem_free(r->renewals);
	mem_free(r->renews);
	mem_free(r);
}

static void acknowledge(struct serve_routes *r)
{
	if (__atomic_sub_fetch(&r->waiting, 1, __ATOMIC_ACQ_REL) == 0)
		loop_post_remote(r->process->threads[0].loop, &r->acknowledged);
}

// ---- who speaks HTTP/2 comes anew ----------------------------------------------------------------------------------------------------------

// false: they know.
static bool tell_to_renew(const struct serve_renewal *w)
{
	const struct serve_routes *r = w->of;
	bool some = false;
	for (unsigned i = 0; i < r->n_listeners; i++) {
		struct serve_port *p = &r->process->listeners[i].ports[w->thread->index];
		if (!r->renews[i] || !p->feeds || !p->http)
			continue;
		p->passes_h2 = true;
		some |= http_server_renew(p->http);
	}
	return some;
}

static void end_renewal(struct serve_renewal *w)
{
	loop_timer_cancel(w->thread->loop, &w->look);
	w->thread->renewal = NULL;
	acknowledge(w->of);
}

static void on_look(struct loop_timer *t)
{
	struct serve_renewal *w = CONTAINER_OF(t, struct serve_renewal, look);
	uint64_t now = loop_now_ns(w->thread->loop);
	if (now < w->until_ns && tell_to_renew(w))
		loop_timer_set(w->thread->loop, t, now + RENEW_LOOK_NS);
	else
		end_renewal(w);
}

static void renew(struct serve_routes *r, struct serve_thread *t)
{
	struct serve_renewal *w = &r->renewals[t->index];
	*w = (struct serve_renewal){.of = r, .thread = t, .look.fn = on_look, .until_ns = loop_now_ns(t->loop) + RENEW_NS};
	t->renewal = w;
	on_look(&w->look);
}

void serve__routes_end(struct serve_thread *t)
{
	if (t->renewal)
		end_renewal(t->renewal);
}

// ---- requests are led to the keeper ----------------------------------------------------------------------------------------------------------------

static void lead(struct serve_routes *r, struct serve_thread *t)
{
	for (unsigned i = 0; i < r->n_listeners; i++) {
		struct serve_port *p = &r->process->listeners[i].ports[t->index];
		p->leads = p->feeds;
	}
	acknowledge(r);
}

// ---- taken up --------------------------------------------------------------------------------------------------------------------------------

static void take_up(struct serve_routes *r, struct serve_thread *t)
{
	struct serve_process *p = t->process;
	for (unsigned i = 0; i < r->n_listeners; i++) {
		struct serve_routing **new = &r->routings[i * p->n_threads + t->index];
		struct serve_port *port = &p->listeners[i].ports[t->index];
		port->leads = false;
		if (!*new || !port->routing)
			continue;  // the site stays as it is, or the port is closed
		serve__port_take_routing(port, *new);
		*new = NULL;
	}
	acknowledge(r);
}

// What there is for this thread, at most once; on it, or once it is over.
void serve__routes_take_up(struct serve_thread *t)
{
	struct serve_routes *r = __atomic_exchange_n(&t->offered, NULL, __ATOMIC_ACQ_REL);
	if (r && r->step == TAKE_UP)
		take_up(r, t);
	else if (r && t->gone)
		acknowledge(r);
	else if (r && r->step == LEAD)
		lead(r, t);
	else if (r)
		renew(r, t);
}

static void on_take_up(struct loop_remote *m)
{
	serve__routes_take_up(CONTAINER_OF(m, struct serve_thread, reroute));
}

static bool prepare_routings(struct serve_routes *r, struct err *e)
{
	struct serve_process *p = r->process;
	for (unsigned i = 0; i < r->n_listeners; i++) {
		struct serve_router *router = r->routers[p->listeners[i].site - p->sites];
		for (unsigned k = 0; router && k < p->n_threads; k++)
			if (!serve__routing_new(router, &r->routings[i * p->n_threads + k], e))
				return false;
	}
	return true;
}

static bool prepare_site(struct serve_routes *r, const struct serve_app_config *apps, unsigned n_apps, unsigned site, struct err *e)
{
	struct serve_process *p = r->process;
	const struct serve_setup all = {.apps = apps, .n_apps = n_apps};
	bool is_one = p->sites[site].all;
	if (!p->sites[site].there || p->sites[site].leaves)
		return true;  // what it has is there to its end
	for (unsigned k = 0; is_one && k < n_apps; k++)
		if (apps[k].listener == site && apps[k].routes.len) {
			err_set(e, ERR_REFUSED, "routes can't be added to a listener whose one component answers everything");
			return err_hint(e, "give the component a route (/...) and start it so");
		}
	return is_one || serve__site_routes(p, &all, site, NULL, &r->routers[site], e);
}

bool serve_routes_prepare(struct serve_process *p, const struct serve_app_config *apps, unsigned n_apps, struct serve_routes **ret, struct err *e)
{
	if (p->rerouting)
		return err_set(e, ERR_REFUSED, "the routes of another app are being changed");
	struct serve_routes *r = mem_zalloc(sizeof *r);
	if (!r)
		return err_nomem(e);
	*r = (struct serve_routes){.process = p, .n_sites = p->n_sites, .n_listeners = p->n_listeners, .acknowledged.fn = on_acknowledged};
	r->renewals = mem_zalloc(p->n_threads * sizeof *r->renewals);
	r->renews = mem_zalloc(max_u64(p->n_listeners, 1) * sizeof *r->renews);
	r->routers = mem_zalloc(max_u64(p->n_sites, 1) * sizeof *r->routers);
	r->routings = mem_zalloc(max_u64(p->n_listeners * p->n_threads, 1) * sizeof *r->routings);
	bool ok = (r->routers && r->routings && r->renewals && r->renews) || err_nomem(e);
	for (unsigned i = 0; ok && i < p->n_sites; i++)
		ok = prepare_site(r, apps, n_apps, i, e);
	if (!ok || !prepare_routings(r, e)) {
		routes_free(r);
		return false;
	}
	p->rerouting = r;
	*ret = r;
	return true;
}

void serve_routes_abandon(struct serve_routes *r)
{
	if (r)
		routes_free(r);
}

static void tell_threads(struct serve_routes *r, enum step step)
{
	struct serve_process *p = r->process;
	r->step = step;
	r->waiting = p->n_threads;
	for (unsigned i = 0; i < p->n_threads; i++) {
		struct serve_thread *t = &p->threads[i];
		__atomic_store_n(&t->offered, r, __ATOMIC_RELEASE);
		if (t->gone || i == SERVE_KEEPER) {  // at once: before any other has it
			serve__routes_take_up(t);
		} else {
			t->reroute.fn = on_take_up;
			loop_post_remote(t->loop, &t->reroute);
		}
	}
}

static void begin_to_take_up(struct serve_routes *r)
{
	struct serve_process *p = r->process;
	for (unsigned i = 0; i < r->n_sites; i++) {
		struct serve_router *before = p->sites[i].router;
		if (!r->routers[i])
			continue;
		p->sites[i].router = r->routers[i];
		r->routers[i] = NULL;
		serve__router_unref(before);
	}
	tell_threads(r, TAKE_UP);
}

// All threads have done it.
static void end_step(struct serve_routes *r)
{
	serve_done_fn *done = r->done;
	void *ctx = r->ctx;
	struct err e = {0};
	if (r->step == RENEW && r->leads) {
		tell_threads(r, LEAD);
		return;
	}
	if (r->step != TAKE_UP && !r->led) {
		begin_to_take_up(r);
		return;
	}
	if (r->step == TAKE_UP)
		routes_free(r);
	if (done)
		done(ctx, &e);
}

static void on_acknowledged(struct loop_remote *m)
{
	end_step(CONTAINER_OF(m, struct serve_routes, acknowledged));
}

// A version that comes is to be kept, and the one in force isn't.
static bool finds_leads(const struct serve_process *p)
{
	bool some = false;
	for (unsigned i = 0; i < p->n_services; i++) {
		struct serve_service *s = p->services[i];
		bool leads = s->coming && s->version && s->coming->config->policy == SERVE_KEEP && s->version->config->policy != SERVE_KEEP;
		__atomic_store_n(&s->leads, leads, __ATOMIC_RELAXED);  // other threads are told after that
		some |= leads;
	}
	return some;
}

// The first kept instance comes behind some of the listeners, and there are other threads than the keeper's.
static bool finds_renewals(struct serve_routes *r)
{
	const struct serve_process *p = r->process;
	bool some = false;
	r->leads = p->n_threads > 1 && finds_leads(p);
	for (unsigned i = 0; i < r->n_listeners && p->n_threads > 1; i++) {
		const struct serve_routing *comes = r->routings[i * p->n_threads + SERVE_KEEPER], *is = p->listeners[i].ports[SERVE_KEEPER].routing;
		r->renews[i] = comes && is && serve__router_keeps(comes->router) && !serve__router_keeps(is->router);
		some |= r->renews[i];
	}
	return some;
}

// Those of HTTP/2 have heard it before a request of theirs could be another thread's.
static void begin(struct serve_routes *r, serve_done_fn *done, void *ctx)
{
	bool renews = finds_renewals(r);
	r->done = done;
	r->ctx = ctx;
	r->step = renews ? RENEW : LEAD;
	if (renews || r->leads)
		tell_threads(r, r->step);
	else
		end_step(r);
}

void serve_routes_lead(struct serve_routes *r, serve_done_fn *done, void *ctx)
{
	r->led = true;
	begin(r, done, ctx);
}

void serve_routes_commit(struct serve_routes *r, serve_done_fn *done, void *ctx)
{
	bool led = r->led;
	r->led = false;
	if (!led) {
		begin(r, done, ctx);
		return;
	}
	r->done = done;
	r->ctx = ctx;
	begin_to_take_up(r);
}
