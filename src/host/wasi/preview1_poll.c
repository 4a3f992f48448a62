// Preview 1: waiting for one of several things.
#include "preview1.h"
#include "sys/sys.h"

enum { SUBSCRIPTIONS_MAX = 10000,
	READ_LOOK = 4096 /* bytes that are looked for, to say how many there are */ };

struct p1_wait {
	struct p1_subscription of;
	struct wasi_pollable pollable;  // of nothing where there is an error: ready at once
	enum p1_errno error;
};
struct p1_poll {
	uint32_t n;
	struct p1_wait *waits;
	struct wasi_pollable **list;
	struct wasi_waiter *waiters;
	uint32_t n_given;
};

// A point of the monotonic clock. What is given by the other one is as far away as it is now.
static uint64_t when(const struct p1_subscription *s)
{
	uint64_t now = sys_now_ns();
	if (!(s->flags & P1_ABSTIME))
		return sat_add_u64(now, s->timeout);
	if (s->id == P1_MONOTONIC)
		return s->timeout;
	uint64_t wall = sys_wall_ns();
	return s->timeout > wall ? sat_add_u64(now, s->timeout - wall) : 0;
}

static enum p1_errno subscribe_clock(struct p1_wait *w)
{
	if (w->of.id > P1_MONOTONIC || w->of.flags & ~P1_ABSTIME)
		return P1_INVAL;
	w->pollable.when_ns = when(&w->of);
	return P1_SUCCESS;
}

static bool is_acceptable(const struct wasi_pollable *p, uint64_t now_ns)
{
	return wasi__socket_is_ready(p->of, false);
}

static enum p1_errno subscribe_file(struct p1_call *c, struct p1_wait *w)
{
	bool writes = w->of.tag == P1_FD_WRITE, listens = !writes && w->of.id < c->p->n_files && c->p->files[w->of.id].kind == P1_LISTENER;
	uint64_t right = writes ? P1_RIGHT_FD_WRITE : listens ? P1_RIGHT_SOCK_ACCEPT
														  : P1_RIGHT_FD_READ;
	const struct p1_file *f = wasi__p1_file(c, w->of.id, P1_RIGHT_POLL_FD_READWRITE | right);
	enum p1_errno error = c->error;
	c->error = P1_SUCCESS;
	if (f && listens)
		w->pollable = (struct wasi_pollable){is_acceptable, &f->socket->event, wasi__socket_ref(f->socket), wasi__socket_unref, UINT64_MAX};
	else if (f && f->in && !writes)
		w->pollable = wasi__input_pollable(f->in);
	else if (f && f->out)
		w->pollable = wasi__output_pollable(f->out);
	return f && f->kind == P1_FOLDER ? P1_BADF : error;  // a file is ready at any time
}

// Copies the subscriptions: their events may be written over them.
static enum seam_result subscribe_all(struct p1_call *c, struct p1_poll *p, uint64_t in)
{
	const struct p1_subscription *from = wasi__p1_at(c, in, (uint64_t)p->n * sizeof *from, _Alignof(struct p1_subscription));
	if (!from)
		return SEAM_TRAP;
	for (uint32_t i = 0; i < p->n; i++) {
		struct p1_wait *w = &p->waits[i];
		w->of = from[i];
		p->list[i] = &w->pollable;
		if (w->of.tag > P1_FD_WRITE)
			return wasi__p1_fail(c, P1_INVAL);
		w->error = w->of.tag == P1_CLOCK ? subscribe_clock(w) : subscribe_file(c, w);
	}
	return seam_work(&c->seam, (uint64_t)p->n * sizeof *from);
}

// How much a file has behind its position.
static enum seam_result describe_file(struct p1_call *c, const struct p1_file *f, struct p1_event *ret)
{
	struct sys_stat st;
	int why;
	enum seam_result r = wasi__p1_settle(c, wasi__fs_stat(&c->seam, f->fs, &st, &why), why);
	if (r != SEAM_OK || c->error)
		return r;
	ret->nbytes = st.size > f->position ? st.size - f->position : 0;
	ret->flags = ret->nbytes ? 0 : P1_HANGUP;
	return r;
}

// Of one that is ready: how much there is to read, or room to write.
static enum seam_result describe(struct p1_call *c, const struct p1_wait *w, struct p1_event *ret)
{
	const struct p1_file *f = w->of.tag != P1_CLOCK && w->error == P1_SUCCESS ? wasi__p1_file(c, w->of.id, 0) : NULL;
	struct slice there = {0};
	size_t room = 0;
	enum wasi_io io = WASI_IO_OK;
	if (f && f->kind == P1_FILE && w->of.tag == P1_FD_READ)
		return describe_file(c, f, ret);
	if (f && f->kind == P1_LISTENER)
		room = 1;
	else if (f && f->in && w->of.tag == P1_FD_READ)
		io = f->in->ops->peek(f->in, READ_LOOK, &there);
	else if (f && f->out)
		io = f->out->ops->permit(f->out, &room);
	else if (f)
		room = WASI_FS_PIECE;
	ret->nbytes = io == WASI_IO_OK ? there.len + room : 0;
	ret->flags = io == WASI_IO_CLOSED ? P1_HANGUP : 0;
	return SEAM_OK;
}

static enum seam_result give_events(struct p1_call *c, struct p1_poll *p, uint64_t out)
{
	uint64_t now = loop_now_fresh_ns(c->seam.task->loop);
	struct p1_event *to = wasi__p1_at(c, out, (uint64_t)p->n * sizeof *to, _Alignof(struct p1_event));
	if (!to)
		return SEAM_TRAP;
	for (uint32_t i = 0; i < p->n; i++) {
		const struct p1_wait *w = &p->waits[i];
		if (!wasi__pollable_is_ready(&w->pollable, now))
			continue;
		struct p1_event event = {.userdata = w->of.userdata, .error = (uint16_t)w->error, .type = w->of.tag};
		enum seam_result r = describe(c, w, &event);
		if (r != SEAM_OK || c->error)
			return r;
		to[p->n_given++] = event;
	}
	return SEAM_OK;
}

// What looks at descriptors; pollables hold what they are of while they are waited for.
static enum seam_result in_turn(struct p1_call *c, struct p1_poll *p, uint64_t at, enum seam_result (*fn)(struct p1_call *c, struct p1_poll *p, uint64_t at))
{
	enum seam_result r = wasi__p1_take(c);
	if (r != SEAM_OK)
		return r;
	r = fn(c, p, at);
	wasi__p1_give(c->p);
	return r;
}

static bool open_poll(struct p1_call *c, struct p1_poll *p)
{
	p->waits = pool_zalloc(c->p->pool, p->n * sizeof *p->waits);
	p->list = pool_zalloc(c->p->pool, p->n * sizeof(struct wasi_pollable *));
	p->waiters = pool_zalloc(c->p->pool, p->n * sizeof *p->waiters);
	return p->waits && p->list && p->waiters;
}

static void close_poll(struct p1_poll *p)
{
	for (uint32_t i = 0; p->waits && i < p->n; i++)
		if (p->waits[i].pollable.release)
			p->waits[i].pollable.release(p->waits[i].pollable.of);
	pool_free(p->waits);
	pool_free(p->list);
	pool_free(p->waiters);
}

enum seam_result wasi__p1_poll_oneoff(struct p1_call *c, const struct p1_poll_oneoff_args *a)
{
	if (a->nsubscriptions == 0 || a->nsubscriptions > SUBSCRIPTIONS_MAX)
		return wasi__p1_fail(c, P1_INVAL);
	struct p1_poll p = {.n = (uint32_t)a->nsubscriptions};
	enum seam_result r = open_poll(c, &p) ? in_turn(c, &p, a->in, subscribe_all) : wasi__p1_fail(c, P1_NOMEM);
	if (r == SEAM_OK && !c->error)
		r = wasi__pollables_wait(&c->seam, p.list, p.waiters, p.n);
	if (r == SEAM_OK && !c->error)
		r = in_turn(c, &p, a->out, give_events);
	close_poll(&p);
	return r != SEAM_OK || c->error ? r : wasi__p1_put_u32(c, a->nevents, p.n_given);
}
