// Looks at all that an instance has of async: whether its lists, counts and tables agree with each other, and whether anything is left.
#ifndef TESTS_CANON_ASYNC_STATE_H
#define TESTS_CANON_ASYNC_STATE_H

#include "canon/canon_async.h"

// Handles of all component instances.
static inline uint32_t state_handles(const struct canon_instance *i)
{
	uint32_t n = 0;
	for (uint32_t c = 0; c < i->n_components; c++)
		for (uint32_t k = 1; k < i->components[c].handles.len; k++)
			n += i->components[c].handles.array[k].kind != HANDLE_FREE;
	return n;
}

static inline uint32_t state_count(const struct canon__object *o)
{
	uint32_t n = 0;
	for (; o; o = o->next)
		n++;
	return n;
}

// Blocks of the pool that are there for good once they were made: tables.
static inline uint64_t state_tables(const struct canon_instance *i)
{
	uint64_t n = 0;
	for (uint32_t c = 0; c < i->n_components; c++)
		n += i->components[c].handles.array != NULL;
	if (!i->async)
		return n;
	n += 2 + (i->async->in_transit.array != NULL);
	for (uint32_t c = 0; c < i->n_components; c++)
		n += i->async->components[c].indices.array != NULL;
	return n;
}

static inline uint32_t state_in_transit(const struct canon__async *a)
{
	uint32_t n = 0;
	for (uint32_t k = 1; k < a->in_transit.len; k++)
		n += !((uintptr_t)a->in_transit.array[k] & 1);
	return n;
}

static inline void state_check_waitable(const struct canon__waitable *w)
{
	bool listed = false;
	for (const struct canon__waitable *x = w->set ? w->set->first : NULL; x; x = x->next)
		listed |= x == w;
	BUG_ON(listed != (w->set && w->event));
	BUG_ON(!listed && w->prev);
	BUG_ON(w->has_sync_waiter != (w->waiter != NULL));
}

static inline void state_check_set(const struct canon__async *a, const struct canon__set *s)
{
	uint32_t elems = 0, waiting = 0;
	for (const struct canon__object *o = a->ends; o; o = o->next)
		elems += CONTAINER_OF(UNCONST(o), struct canon__end, object)->waitable.set == s;
	for (const struct canon__object *o = a->calls; o; o = o->next)
		elems += CONTAINER_OF(UNCONST(o), struct canon__call, object)->waitable.set == s;
	for (const struct canon__object *o = a->threads; o; o = o->next) {
		const struct canon__thread *th = CONTAINER_OF(UNCONST(o), struct canon__thread, object);
		waiting += (th->wait == WAIT_SET || th->wait == WAIT_SET_EXCLUSIVE) && th->on.set == s;
	}
	BUG_ON(elems != s->n_elems || waiting > s->num_waiting);
	const void *last = &s->first;
	for (const struct canon__waitable *w = s->first; w; w = w->next) {
		BUG_ON(w->set != s || !w->event || w->prev != last);
		last = &w->next;
	}
	BUG_ON(s->first && s->last != last);
}

static inline void state_check_end(const struct canon_instance *i, const struct canon__end *e)
{
	const struct canon__handle *h = canon__table_get(canon__table_of(UNCONST(i), e->component), e->waitable.index);
	const struct canon__shared *s = e->shared;
	BUG_ON(!h || h->kind != HANDLE_STREAM_READABLE + e->kind || h->end != e);
	state_check_waitable(&e->waitable);
	bool copies = e->state == END_COPYING || e->state == END_CANCELLING;
	BUG_ON(e->waitable.event && !copies);
	BUG_ON(s->pending == e && !copies);
	BUG_ON(copies && !e->waitable.event && s->pending != e);
	BUG_ON(copies && e->buffer.progress > e->buffer.length);
}

static inline void state_check_call(const struct canon_instance *i, const struct canon__call *c)
{
	const struct canon__handle *h = c->waitable.index ? canon__table_get(canon__table_of(UNCONST(i), c->component), c->waitable.index) : NULL;
	BUG_ON(c->waitable.index && (!h || h->kind != HANDLE_SUBTASK || h->call != c));
	state_check_waitable(&c->waitable);
	BUG_ON(c->callee && (c->callee->call != c || canon__call_is_resolved(c)));
	BUG_ON(c->is_delivered && !canon__call_is_resolved(c));
}

static inline void state_check_shared(const struct canon__async *a, const struct canon__shared *s)
{
	uint32_t ends = (s->host[0] != NULL) + (s->host[1] != NULL);
	for (const struct canon__object *o = a->ends; o; o = o->next)
		ends += CONTAINER_OF(UNCONST(o), struct canon__end, object)->shared == s;
	BUG_ON(ends != s->ends || ends > 2 || (!ends && !s->number));
	BUG_ON(s->number && a->in_transit.array[s->number] != s);
	BUG_ON(s->pending && s->dropped);
}

static inline void state_check_threads(const struct canon_instance *i)
{
	const struct canon__async *a = i->async;
	uint32_t n = 0;
	for (const struct canon__object *o = a->threads; o; o = o->next, n++) {
		const struct canon__thread *th = CONTAINER_OF(UNCONST(o), struct canon__thread, object);
		bool listed = false;
		for (const struct canon__thread *x = a->components[th->component].threads; x; x = x->next)
			listed |= x == th;
		BUG_ON(listed != th->is_registered);
		BUG_ON(th->index && canon__thread_find(UNCONST(i), th->component, th->index) != th);
		// Whoever can go on is in a queue, or will be put there by who leaves the component instance.
		bool at_gate = th->wait == WAIT_ENTER || th->wait == WAIT_EXCLUSIVE || (th->wait == WAIT_SET_EXCLUSIVE && th->woken);
		BUG_ON(!th->is_inline && !at_gate && th->wait != WAIT_NOT && canon__thread_is_ready(i, th) && !th->prev_ready && a->held != th);
	}
	BUG_ON(n != a->n_threads);
}

// In a guest's call or between them.
static inline void state_check(const struct canon_instance *i)
{
	const struct canon__async *a = i->async;
	if (!a || i->dead)
		return;
	for (const struct canon__object *o = a->sets; o; o = o->next)
		state_check_set(a, CONTAINER_OF(UNCONST(o), struct canon__set, object));
	for (const struct canon__object *o = a->ends; o; o = o->next)
		state_check_end(i, CONTAINER_OF(UNCONST(o), struct canon__end, object));
	for (const struct canon__object *o = a->calls; o; o = o->next)
		state_check_call(i, CONTAINER_OF(UNCONST(o), struct canon__call, object));
	uint32_t awaited = 0, host_ends = 0;
	for (const struct canon__object *o = a->shareds; o; o = o->next) {
		const struct canon__shared *s = CONTAINER_OF(UNCONST(o), struct canon__shared, object);
		state_check_shared(a, s);
		awaited += canon__is_awaited(s);
		for (int writes = 0; writes < 2; writes++)
			host_ends += s->host[writes] && !s->host[writes]->ops->is_passive;
	}
	BUG_ON(awaited != a->n_awaited || host_ends != a->n_host_ends);
	state_check_threads(i);
	BUG_ON(state_count(a->sets) + state_count(a->ends) + state_count(a->calls) + state_count(a->shareds) + state_count(a->tasks) != a->n_objects);
}

// No call is under way and the guests have dropped what they had.
static inline void state_check_empty(const struct canon_instance *i)
{
	const struct canon__async *a = i->async;
	BUG_ON(state_handles(i) || i->n_tasks);
	if (!a)
		return;
	BUG_ON(a->n_threads || a->threads || a->n_objects || a->n_host_ends || a->n_awaited || a->held || state_in_transit(a));
	BUG_ON(a->nobody.n_threads || a->nobody.outside || a->nobody.first_ready);
	for (uint32_t c = 0; c < i->n_components; c++) {
		const struct canon__async_component *x = &a->components[c];
		BUG_ON(x->exclusive || x->num_waiting_to_enter || x->threads || x->entering.first || x->entering_free.first || x->going_on.first);
		BUG_ON(i->components[c].backpressure || !i->components[c].may_leave);
		for (uint32_t k = 1; k < x->indices.len; k++)
			BUG_ON(!((uintptr_t)x->indices.array[k] & 1));
	}
}

#endif
