// Waitables and waitable sets. CanonicalABI "Waitable State".
//
// 1. An event is pending until it is delivered; whatever it changes is changed then (canon__deliver_fn), so that a newer one may take its place before.
// 2. A set keeps those of its waitables that have an event in the order in which they got it, and its waiters in the order of coming: whichever event comes
//    wakes one of them. One that was woken and does not take it (it was cancelled, or may not run yet) leaves it to the next.
#include "canon_async.h"

static void leave_pending(struct canon__waitable *w)
{
	if (!w->prev)
		return;
	*w->prev = w->next;
	if (w->next)
		w->next->prev = w->prev;
	else
		w->set->last = w->prev;
	w->prev = NULL;
}

static void enter_pending(struct canon_instance *i, struct canon__waitable *w)
{
	struct canon__set *s = w->set;
	if (!s->first)
		s->last = &s->first;
	w->next = NULL;
	w->prev = s->last;
	*s->last = w;
	s->last = &w->next;
	canon__set_wake(i, s);
}

void canon__set_pending_event(struct canon_instance *i, struct canon__waitable *w, enum canon__event event)
{
	w->event = (uint8_t)event;
	if (w->set && !w->prev)
		enter_pending(i, w);
	if (w->waiter)
		canon__thread_wake(i, w->waiter);
}

void canon__forget_pending_event(struct canon__waitable *w)
{
	leave_pending(w);
	w->event = EVENT_NONE;
}

enum trap canon__get_pending_event(struct canon_instance *i, struct canon__waitable *w, struct canon__event_tuple *ret)
{
	*ret = (struct canon__event_tuple){.code = w->event, .index = w->index};
	canon__forget_pending_event(w);
	return w->deliver(i, w, &ret->payload);
}

enum trap canon__set_get_pending_event(struct canon_instance *i, struct canon__set *s, struct canon__event_tuple *ret)
{
	return canon__get_pending_event(i, s->first, ret);
}

void canon__waitable_join(struct canon_instance *i, struct canon__waitable *w, struct canon__set *s)
{
	leave_pending(w);
	if (w->set)
		w->set->n_elems--;
	w->set = s;
	if (!s)
		return;
	s->n_elems++;
	if (w->event)
		enter_pending(i, w);
}

enum trap canon__wait_for_pending_event(struct canon_instance *i, struct canon__waitable *w)
{
	struct canon__thread *th = canon__current_thread(i, canon__running(i));
	if (!th)
		return canon__report(canon__running(i), TRAP_OUT_OF_MEMORY, "%s", canon__handles_full(i, 0));
	w->has_sync_waiter = true;
	w->waiter = th;
	enum trap t = canon__thread_block(i, th, WAIT_EVENT, w, false, NULL);
	w->has_sync_waiter = false;  // also of a thread that was killed: what it waited for may come yet
	w->waiter = NULL;
	return t;
}

struct canon__set *canon__set_find(struct canon_instance *i, struct canon_task *task, uint32_t component, uint32_t index, enum trap *ret)
{
	struct canon__handle *h = canon__table_get(canon__table_of(i, component), index);
	if (h && h->kind == HANDLE_SET)
		return h->set;
	*ret = canon__report(task, TRAP_HANDLE, h ? "handle index %u is no waitable set" : "unknown handle index %u", index);
	return NULL;
}
