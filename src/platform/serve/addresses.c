// Addresses come and go while it serves: those that come are bound, and hold who comes, before anything has changed; then they accept; then those that go drain.
// Asked for on thread 0; each thread has a port of each, and is told what to do with it.
//
//   serve_addresses_prepare ── thread 0 binds ──► OPEN: each thread has a port that holds ──► ready
//   serve_addresses_commit ── SERVE: they accept, and the site's have its other settings ──► LEAVE: those that go drain ──► done
//   serve_addresses_abandon ── CLOSE: nothing of it was ever there
//
// A listener: free ──► held (prepared) ──► serves ──► drains ──► free, with the last of its ports. Its place in the list is used again then, and that of its site
// with the last listener. One change is under way at a time; another one waits for its end.
#include "serve_int.h"

enum action { OPEN, SERVE, LEAVE, CLOSE };
struct serve_addresses {
	struct serve_process *process;
	struct serve_addresses *next;  // that waits for this one
	struct serve_address_change change;
	struct serve_site *site;       // where some come
	bool is_new;                   // it came for them
	struct serve_wire *wire, *was; // that the site gets, until it has it; that it had, until no thread looks at it
	struct serve_listener **come, **go, **rewired;
	unsigned n_come, n_go, n_rewired;
	enum action action;
	uint32_t waiting;              // threads that have not done it
	struct loop_remote did;
	struct spinlock lock;          // of what follows
	struct err err;                // the first
	void (*ready)(void *ctx, struct serve_addresses *a, const struct err *e);
	serve_done_fn *done;
	void *ctx;
};

// ---- on a thread ---------------------------------------------------------------------------------------------------------------------------------

static void note_failure(struct serve_addresses *a, const struct err *e)
{
	spinlock_lock(&a->lock);
	if (a->err.code == ERR_NONE)
		a->err = *e;
	spinlock_unlock(&a->lock);
}

static bool open_held(struct serve_listener *l, struct serve_thread *t, bool first, struct err *e)
{
	if (!serve__port_open(l, t, first, e))
		return false;
	http_server_hold(l->ports[t->index].http, true);
	return true;
}

static void act_on(struct serve_addresses *a, struct serve_listener *l, struct serve_thread *t)
{
	struct serve_port *p = &l->ports[t->index];
	struct err e = {0};
	switch (a->action) {
	case OPEN:
		if (!t->draining && !t->closing && t->vm && !open_held(l, t, false, &e))
			note_failure(a, &e);
		break;
	case SERVE:
		if (p->http)
			http_server_hold(p->http, false);
		break;
	case LEAVE:
		serve__port_leave(p, a->process->config->limits.drain);
		break;
	case CLOSE:
		serve__port_close(p);
		serve__listener_port_closed(l);
		break;
	}
}

void serve__addresses_take_up(struct serve_thread *t)
{
	struct serve_addresses *a = __atomic_exchange_n(&t->readdresses, NULL, __ATOMIC_ACQ_REL);
	if (!a)
		return;
	for (unsigned i = 0; a->action == SERVE && i < a->n_rewired; i++)
		serve__port_take_wire(&a->rewired[i]->ports[t->index], a->site->wire);
	struct serve_listener **list = a->action == LEAVE ? a->go : a->come;
	for (unsigned i = 0, n = a->action == LEAVE ? a->n_go : a->n_come; i < n; i++)
		act_on(a, list[i], t);
	if (__atomic_sub_fetch(&a->waiting, 1, __ATOMIC_ACQ_REL) == 0)
		loop_post_remote(a->process->threads[0].loop, &a->did);
}

static void on_take_up(struct loop_remote *m)
{
	serve__addresses_take_up(CONTAINER_OF(m, struct serve_thread, readdress));
}

// `but_first`: thread 0 has done it.
static void tell_threads(struct serve_addresses *a, enum action action, bool but_first)
{
	struct serve_process *p = a->process;
	a->action = action;
	a->waiting = p->n_threads - but_first;
	if (a->waiting == 0)
		loop_post_remote(p->threads[0].loop, &a->did);
	for (unsigned i = but_first; i < p->n_threads; i++) {
		struct serve_thread *t = &p->threads[i];
		__atomic_store_n(&t->readdresses, a, __ATOMIC_RELEASE);
		if (t->gone) {
			serve__addresses_take_up(t);
		} else {
			t->readdress.fn = on_take_up;
			loop_post_remote(t->loop, &t->readdress);
		}
	}
}

// ---- listeners and sites that are free again ---------------------------------------------------------------------------------------------------------

static void free_site_without(struct serve_site *s)
{
	const struct serve_process *p = s->process;
	for (unsigned i = 0; i < p->n_listeners; i++)
		if (p->listeners[i].site == s && p->listeners[i].state != LISTENER_FREE)
			return;
	if (s->leaves)
		serve__site_free(s);
}

static void set_state(struct serve_listener *l, enum serve_listener_state state)
{
	pthread_mutex_lock(&l->process->listening);
	__atomic_store_n(&l->state, state, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&l->process->listening);
}

static void let_go(struct serve_listener *l)
{
	serve__listener_unbind(l);
	for (unsigned i = 0; l->ports && i < l->process->n_threads; i++) {
		sys_close(l->ports[i].fd);
		l->ports[i].fd = -1;
	}
	set_state(l, LISTENER_FREE);
	free_site_without(l->site);
}

static void on_closed(struct loop_remote *r)
{
	let_go(CONTAINER_OF(r, struct serve_listener, closed));
}

static struct serve_listener *take_listener(struct serve_process *p, struct err *e)
{
	for (unsigned i = 0; i < p->n_listeners; i++)
		if (p->listeners[i].state == LISTENER_FREE)
			return &p->listeners[i];
	if (p->n_listeners == p->max_listeners) {
		err_set(e, ERR_LIMIT, "%u addresses are listened on, or drain", p->n_listeners);
		return NULL;
	}
	return &p->listeners[p->n_listeners];  // it is counted once it is one
}

// ---- prepared ------------------------------------------------------------------------------------------------------------------------------------

static bool is_wanted(const struct serve_listener_config *c, const struct serve_listener *l)
{
	for (uint32_t i = 0; i < c->addresses.len; i++)
		if (!l->handed && strcmp(c->addresses.ptr[i], l->name) == 0)
			return true;
	return c->addresses.len == 0 && (l->handed || strcmp(l->name, SERVE_ADDRESS) == 0);
}

static bool has(const struct serve_addresses *a, const char *address)
{
	const struct serve_process *p = a->process;
	for (unsigned i = 0; i < p->n_listeners; i++) {
		const struct serve_listener *l = &p->listeners[i];
		if (l->site == a->site && l->state == LISTENER_SERVES && (address ? !l->handed && strcmp(l->name, address) == 0 : l->handed))
			return true;
	}
	return false;
}

static bool come(struct serve_addresses *a, const char *address, struct err *e)
{
	struct serve_process *p = a->process;
	struct serve_listener *l = take_listener(p, e);
	if (!l)
		return false;
	if (!serve__listener_init(l, a->site, address, e)) {
		let_go(l);
		return false;
	}
	if (l == &p->listeners[p->n_listeners])
		serve__have_one_more(&p->n_listeners);
	l->closed.fn = on_closed;
	a->come[a->n_come++] = l;
	return open_held(l, &p->threads[0], true, e);
}

// Those of the site that are not wanted any more, and all of the one that is left.
static void find_going(struct serve_addresses *a)
{
	struct serve_process *p = a->process;
	for (unsigned i = 0; i < p->n_listeners; i++) {
		struct serve_listener *l = &p->listeners[i];
		bool left = a->change.leaves != SERVE_NO_SITE && l->site == &p->sites[a->change.leaves];
		if (l->state == LISTENER_SERVES && (left || (a->change.config && l->site == a->site && !is_wanted(a->change.config, l))))
			a->go[a->n_go++] = l;
	}
}

// What the site's addresses are served by, once they are those of the configuration.
static bool make_wire(struct serve_addresses *a, struct err *e)
{
	struct serve_process *p = a->process;
	const struct serve_listener_config *c = a->change.config;
	if (a->is_new)
		return true;
	if (a->change.rewires && !serve__wire_new(c, &a->wire, e))
		return false;
	a->rewired = mem_zalloc(p->max_listeners * sizeof *a->rewired);
	return (a->rewired || err_nomem(e)) && serve__wire_fits(a->wire ? a->wire : a->site->wire, c, e);
}

static bool make(struct serve_addresses *a, struct err *e)
{
	struct serve_process *p = a->process;
	const struct serve_listener_config *c = a->change.config;
	a->come = mem_zalloc((c ? c->addresses.len + 1 : 1) * sizeof *a->come);
	a->go = mem_zalloc((p->n_listeners + 1) * sizeof *a->go);
	if (!a->come || !a->go)
		return err_nomem(e);
	if (!c)
		return true;
	if (p->stopping || p->threads[0].closing)  // nobody would drain what opens now
		return err_set(e, ERR_REFUSED, "the process ends");
	if (a->change.site == SERVE_NO_SITE && !serve__site_new(p, c, &a->site, e))
		return false;
	a->is_new = a->change.site == SERVE_NO_SITE;
	a->site = a->is_new ? a->site : &p->sites[a->change.site];
	if (!make_wire(a, e))
		return false;
	for (uint32_t i = 0; i < c->addresses.len; i++)
		if (!has(a, c->addresses.ptr[i]) && !come(a, c->addresses.ptr[i], e))
			return false;
	if (c->addresses.len == 0 && !has(a, NULL) && !has(a, SERVE_ADDRESS))
		return come(a, SERVE_ADDRESS, e);
	return true;
}

static void begin(struct serve_addresses *a)
{
	struct err e = {0};
	if (!make(a, &e)) {
		note_failure(a, &e);
		a->action = OPEN;
		loop_post_remote(a->process->threads[0].loop, &a->did);
		return;
	}
	find_going(a);
	tell_threads(a, OPEN, true);
}

static void change_free(struct serve_addresses *a)
{
	struct serve_process *p = a->process;
	p->readdressing = a->next;
	mem_free(a->come);
	mem_free(a->go);
	mem_free(a->rewired);
	serve__wire_free(a->wire);
	mem_free(a);
	if (p->readdressing)
		begin(p->readdressing);
}

// ---- done ------------------------------------------------------------------------------------------------------------------------------------------

static void say(const struct serve_listener *l, const char *what)
{
	struct buf name = {.max = 512};
	serve__listener_print(l, &name);
	serve__log(l->process->config, SERVE_LOG_INFO, "%s %.*s", what, SLICE_ARGS(buf_view(&name)));
	buf_release(&name);
}

static void all_are_open(struct serve_addresses *a)
{
	struct err e = a->err;
	void (*ready)(void *ctx, struct serve_addresses *, const struct err *) = a->ready;
	void *ctx = a->ctx;
	bool failed = e.code != ERR_NONE;
	if (failed)
		serve_addresses_abandon(a);
	ready(ctx, failed ? NULL : a, &e);
}

static void leave(struct serve_addresses *a)
{
	struct serve_process *p = a->process;
	if (a->change.leaves != SERVE_NO_SITE)
		p->sites[a->change.leaves].leaves = true;
	for (unsigned i = 0; i < a->n_go; i++) {
		a->go[i]->closed.fn = on_closed;
		set_state(a->go[i], LISTENER_DRAINS);
		serve__listener_unbind(a->go[i]);
		say(a->go[i], "listens no more on");
	}
	tell_threads(a, LEAVE, false);
}

static void on_did(struct loop_remote *m)
{
	struct serve_addresses *a = CONTAINER_OF(m, struct serve_addresses, did);
	serve_done_fn *done = a->done;
	void *ctx = a->ctx;
	struct err none = {0};
	switch (a->action) {
	case OPEN:
		all_are_open(a);
		break;
	case SERVE:
		serve__wire_free(a->was);
		leave(a);
		break;
	case LEAVE:
		change_free(a);
		done(ctx, &none);
		break;
	case CLOSE:
		change_free(a);
		break;
	}
}

void serve_addresses_prepare(struct serve_process *p, const struct serve_address_change *c,
	void (*ready)(void *ctx, struct serve_addresses *a, const struct err *e), void *ctx)
{
	struct serve_addresses *a = mem_zalloc(sizeof *a), **at = &p->readdressing;
	if (!a) {
		struct err e = {0};
		err_nomem(&e);
		ready(ctx, NULL, &e);
		return;
	}
	*a = (struct serve_addresses){.process = p, .change = *c, .ready = ready, .ctx = ctx, .did.fn = on_did};
	while (*at)
		at = &(*at)->next;
	*at = a;
	if (p->readdressing == a)
		begin(a);
}

unsigned serve_addresses_site(const struct serve_addresses *a)
{
	return a->site ? (unsigned)(a->site - a->process->sites) : SERVE_NO_SITE;
}

// Also of those that drain: a request on an old connection looks at it.
static void rewire(struct serve_addresses *a)
{
	struct serve_process *p = a->process;
	a->was = a->site->wire;
	a->site->wire = a->wire;
	a->wire = NULL;
	pthread_mutex_lock(&p->listening);
	for (unsigned i = 0; i < p->n_listeners; i++) {
		struct serve_listener *l = &p->listeners[i];
		if (l->site != a->site || l->state == LISTENER_FREE)
			continue;
		a->rewired[a->n_rewired++] = l;
		l->is_tls = l->address.len && a->site->wire->tls;
	}
	pthread_mutex_unlock(&p->listening);
	for (unsigned i = 0; i < a->n_rewired; i++)
		if (a->rewired[i]->state == LISTENER_SERVES)
			say(a->rewired[i], "serves who comes with other settings on");
}

void serve_addresses_commit(struct serve_addresses *a, serve_done_fn *done, void *ctx)
{
	if (a->wire)
		rewire(a);
	a->done = done;
	a->ctx = ctx;
	for (unsigned i = 0; i < a->n_come; i++) {
		set_state(a->come[i], LISTENER_SERVES);
		say(a->come[i], "listens on");
	}
	tell_threads(a, SERVE, false);
}

void serve_addresses_abandon(struct serve_addresses *a)
{
	if (!a)
		return;
	if (a->is_new)
		a->site->leaves = true;
	if (a->is_new && a->n_come == 0)
		free_site_without(a->site);
	tell_threads(a, CLOSE, false);
}
