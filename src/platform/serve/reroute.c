// The routes of all apps change while they serve: made beside those in force, then taken up by each thread between two requests. On thread 0.
//
//   serve_routes_prepare ── routers, and what each port needs of them ──► serve_routes_commit ── posted ──► on_take_up on each thread ── the last ──► `done`
//                                                                    └──► serve_routes_abandon
//
// One change of routes is under way in a process at a time: each names the routes of all apps.
#include "serve_int.h"

struct serve_routes {
	struct serve_process *process;
	struct serve_router **routers;    // one a site; NULL: it stays as it is
	struct serve_routing **routings;  // by listener, then thread; NULL: taken up
	unsigned n_sites, n_listeners;    // that there were when it was made
	uint32_t waiting;                 // threads that have not taken it up
	struct loop_remote acknowledged;
	serve_done_fn *done;
	void *ctx;
};

static void routes_free(struct serve_routes *r)
{
	struct serve_process *p = r->process;
	for (unsigned i = 0; r->routings && i < r->n_listeners * p->n_threads; i++)
		serve__routing_free(r->routings[i]);
	for (unsigned i = 0; r->routers && i < r->n_sites; i++)
		serve__router_unref(r->routers[i]);
	p->rerouting = NULL;
	mem_free(r->routings);
	mem_free(r->routers);
	mem_free(r);
}

static void on_acknowledged(struct loop_remote *m)
{
	struct serve_routes *r = CONTAINER_OF(m, struct serve_routes, acknowledged);
	serve_done_fn *done = r->done;
	void *ctx = r->ctx;
	struct err e = {0};
	routes_free(r);
	if (done)
		done(ctx, &e);
}

// What there is for this thread, at most once; on it, or once it is over.
void serve__routes_take_up(struct serve_thread *t)
{
	struct serve_process *p = t->process;
	struct serve_routes *r = __atomic_exchange_n(&t->offered, NULL, __ATOMIC_ACQ_REL);
	if (!r)
		return;
	for (unsigned i = 0; i < r->n_listeners; i++) {
		struct serve_routing **new = &r->routings[i * p->n_threads + t->index];
		struct serve_port *port = &p->listeners[i].ports[t->index];
		if (!*new || !port->routing)
			continue;  // the site stays as it is, or the port is closed
		serve__port_take_routing(port, *new);
		*new = NULL;
	}
	if (__atomic_sub_fetch(&r->waiting, 1, __ATOMIC_ACQ_REL) == 0)
		loop_post_remote(p->threads[0].loop, &r->acknowledged);
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
	r->routers = mem_zalloc(max_u64(p->n_sites, 1) * sizeof *r->routers);
	r->routings = mem_zalloc(max_u64(p->n_listeners * p->n_threads, 1) * sizeof *r->routings);
	bool ok = (r->routers && r->routings) || err_nomem(e);
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

void serve_routes_commit(struct serve_routes *r, serve_done_fn *done, void *ctx)
{
	struct serve_process *p = r->process;
	r->done = done;
	r->ctx = ctx;
	r->waiting = p->n_threads;
	for (unsigned i = 0; i < r->n_sites; i++) {
		struct serve_router *before = p->sites[i].router;
		if (!r->routers[i])
			continue;
		p->sites[i].router = r->routers[i];
		r->routers[i] = NULL;
		serve__router_unref(before);
	}
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
