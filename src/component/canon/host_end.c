// The host's end of a stream or future: made by the host for a guest to read, or taken from a guest. What the specification leaves to the host (ReadableStream,
// WritableStream): bytes are moved straight from and to the buffer that the guest's end waits with, by whoever has them, whenever they come.
#include "canon_async.h"

static void attach(struct canon_instance *i, struct canon__shared *s, struct canon_end *e, const struct canon_end_ops *ops, bool writes)
{
	*e = (struct canon_end){.ops = ops, .instance = i, .shared = s, .writes = writes};
	canon__await_less(i, s);
	s->host[writes] = e;
	canon__await_more(i, s);
	s->ends++;
	i->async->n_host_ends += !ops->is_passive;
	if (i->async->parted)  // its instance ends: so does this end
		canon__object_move(&s->object, &i->async->shareds);
}

bool canon_end_new(struct canon_instance *i, const struct wit_type *type, const struct canon_end_ops *ops, struct canon_end *e, uint32_t *ret)
{
	struct canon__shared *s = canon__async_get(i) ? canon__object_new(i, sizeof *s, &i->async->shareds) : NULL;
	if (!s)
		return false;
	s->elem = type->elem;
	s->is_new = true;
	s->is_future = type->kind == WIT_FUTURE;
	s->fill = canon__fill_from_host;
	if (!canon__number(i, s)) {
		canon__object_free(i, &s->object);
		return false;
	}
	attach(i, s, e, ops, true);
	*ret = s->number;
	return true;
}

// Through joints: the end that stands in for this one where its other end is.
struct canon_end *canon__end_far(const struct canon_end *e)
{
	const struct canon_end *peer;
	while ((peer = e->shared->host[!e->writes]) != NULL && peer->twin && peer->twin->shared)
		e = peer->twin;
	return UNCONST(e);
}

static void drop_taken(struct canon_instance *i, struct canon__shared *s)
{
	struct canon_end *host = s->host[true];
	canon__shared_drop(i, s);
	if (host)
		host->ops->changed(host);
}

bool canon_end_take(struct canon_instance *i, uint32_t number, const struct canon_end_ops *ops, struct canon_end *e)
{
	struct canon__shared *s = canon__take_number(i, number);
	if (!s)
		return false;
	if (s->is_future && !ops->waits && !ops->joins && (s->lost || (s->host[true] && s->host[true]->twin))) {
		drop_taken(i, s);
		return false;
	}
	attach(i, s, e, ops, false);
	return true;
}

// The guest's end that waits for this one.
struct canon__end *canon__end_waiting(const struct canon_end *e)
{
	struct canon__end *p = e->shared->pending;
	return p && canon__end_is_writable(p) != e->writes ? p : NULL;
}

void canon_end_drop_number(struct canon_instance *i, uint32_t number)
{
	struct canon__shared *s = canon__take_number(i, number);
	if (s)
		drop_taken(i, s);
}

bool canon_end_fetch(struct canon_end *e, struct canon_task *t)
{
	struct canon_instance *i = e->instance;
	struct canon__end *p = canon__end_waiting(e);
	if (canon_end_is_joined(e)) {  // whoever writes it hears that it is read
		struct canon_end *joint = e->shared->host[true];
		joint->ops->changed(joint);
		return true;
	}
	if (!p)
		return true;
	canon__set_pending(i, e->shared, NULL);
	enum trap trap = canon__host_value(i, t, p, e, false);
	if (trap == TRAP_NONE)
		canon__copy_done(i, p, COPY_COMPLETED);
	return trap == TRAP_NONE;
}

bool canon_end_is_joined(const struct canon_end *e)
{
	const struct canon_end *peer = e->shared ? e->shared->host[!e->writes] : NULL;
	return peer && peer->twin;
}

bool canon_end_future(struct canon_end *e, struct canon_task *t, void *native)
{
	struct canon_end *joint = e->shared->host[true];
	return joint && joint->twin && joint->is_ready && !e->shared->done && joint->ops->value(joint, t, native);
}

void canon_end_took(struct canon_end *e)
{
	struct canon_end *joint = e->shared->host[true];
	e->shared->done = true;
	joint->ops->changed(joint);
}

struct canon_task *canon_instance_running(const struct canon_instance *i)
{
	struct canon_task *t = canon__running(i);
	return t && t->instance == i ? t : NULL;
}

struct canon_end *canon_end_peer(const struct canon_end *e)
{
	struct canon_end *peer = canon__end_far(e)->shared->host[!e->writes];
	return peer && !peer->twin ? peer : NULL;
}

bool canon_end_is_over(const struct canon_end *e)
{
	return e->shared->dropped || e->shared->lost;
}

bool canon_end_room(const struct canon_end *near, uint8_t **ret, size_t *ret_len)
{
	const struct canon_end *e = canon__end_far(near);
	const struct canon__end *p = canon__end_waiting(e);
	*ret = NULL;
	*ret_len = 0;
	if (!p)
		return false;
	*ret_len = canon__remain(p);
	if (e->writes)  // into it, whoever's turn it is
		vm_store_touch(e->instance->store);
	if (*ret_len)
		*ret = p->buffer.options->memory->base + p->buffer.ptr;
	return true;
}

static void advance(struct canon_end *e, struct canon__end *p, size_t n)
{
	const struct wit_type *elem = e->shared->elem;
	BUG_ON(!p || n > canon__remain(p));
	canon__buffer_advance(&p->buffer, elem, (uint32_t)n);
}

void canon_end_move(struct canon_end *near, size_t n)
{
	struct canon_end *e = canon__end_far(near);
	struct canon__end *p = canon__end_waiting(e);
	advance(e, p, n);
	if (n)
		canon__copy_some(e->instance, p);
	else
		canon__notify_pending(e->instance, e->shared, COPY_COMPLETED);
}

bool canon_end_take_values(struct canon_end *near, struct canon_task *t, size_t n, void *native)
{
	struct canon_end *e = canon__end_far(near);
	struct canon__end *p = canon__end_waiting(e);
	const struct wit_type *elem = e->shared->elem;
	struct canon__cx cx = canon__context(e->instance, t, p->buffer.options, p->component);
	cx.copy = true;
	cx.arena = near->arena;
	for (size_t k = 0; elem && k < n; k++)
		if (!canon__work(&cx, VM_WORK_ITEM) || !canon__load_whole(&cx, p->buffer.ptr + k * canon__size(cx.wide, elem), elem, (uint8_t *)native + k * elem->size64))
			return false;
	advance(e, p, n);
	if (e->shared->is_future) {
		e->shared->done = true;
		canon__notify_pending(e->instance, e->shared, COPY_COMPLETED);
	} else {
		canon__copy_some(e->instance, p);
	}
	return true;
}

void canon_end_offer(struct canon_end *near, size_t n)
{
	struct canon_end *e = canon__end_far(near);
	struct canon__end *p = canon__end_waiting(e);
	BUG_ON(!p || !n || n > canon__remain(p));
	p->offered = (uint32_t)n;
	p->fills = true;
	canon__notify_pending(e->instance, e->shared, COPY_COMPLETED);
}

void canon_end_resolve(struct canon_end *near)
{
	struct canon_end *e = canon__end_far(near);
	struct canon__end *p = canon__end_waiting(e);
	struct canon_end *reader = e->shared->host[false];
	near->is_ready = true;
	e->is_ready = true;
	if (reader && reader->ops->joins) {
		reader->ops->changed(reader);
		return;
	}
	if (!p)
		return;
	p->fills = true;
	e->shared->told = p;
	canon__notify_pending(e->instance, e->shared, COPY_COMPLETED);
}

void canon__end_take_back(struct canon_end *near)
{
	struct canon_end *e = canon__end_far(near);
	struct canon__end *p = e->shared->told;
	near->is_ready = e->is_ready = false;
	if (!p || !p->fills)
		return;
	p->fills = false;
	canon__forget_pending_event(&p->waitable);
	canon__set_pending(e->instance, e->shared, p);
}

// It is nobody's any more. What was shared stays, and the host's other end.
static void detach(struct canon_end *e)
{
	struct canon__shared *s = e->shared;
	canon__await_less(e->instance, s);
	s->host[e->writes] = NULL;
	canon__await_more(e->instance, s);
	e->shared = NULL;
	e->instance->async->n_host_ends -= !e->ops->is_passive;
	s->ends--;
}

// Two ends of other owners know of each other.
static void tell_peer(const struct canon_end *e, struct canon_end *peer)
{
	if (peer && (peer->twin || e->twin))
		peer->ops->changed(peer);
}

void canon_end_drop(struct canon_end *e)
{
	struct canon__shared *s = e->shared;
	if (!s)
		return;
	BUG_ON(e->writes && s->is_future && !s->done && !s->dropped);
	struct canon_end *peer = s->host[!e->writes];
	detach(e);
	canon__shared_drop(e->instance, s);
	tell_peer(e, peer);
}

void canon__end_lose(struct canon_end *e)
{
	struct canon__shared *s = e->shared;
	if (!s || s->dropped) {
		canon_end_drop(e);
		return;
	}
	BUG_ON(!e->writes || !s->is_future || s->done);
	s->lost = true;
	detach(e);
	tell_peer(e, s->host[false]);
}
