// Events and pollables: how a call waits for one of several things.
#include "wasi_int.h"

void wasi__event_watch(struct wasi_event *ev, struct wasi_waiter *w, struct seam_park *park)
{
	w->park = park;
	w->next = ev->waiters;
	w->prev = &ev->waiters;
	if (w->next)
		w->next->prev = &w->next;
	ev->waiters = w;
}

void wasi__event_unwatch(struct wasi_waiter *w)
{
	if (!w->prev)
		return;
	*w->prev = w->next;
	if (w->next)
		w->next->prev = w->prev;
	w->prev = NULL;
}

void wasi__event_fire(struct wasi_event *ev)
{
	for (struct wasi_waiter *w = ev->waiters; w; w = w->next) {
		if (w->park)
			seam_wake(w->park);
		else
			w->fn(w);
	}
}

enum seam_result wasi__event_wait(struct seam_call *c, struct wasi_event *ev)
{
	struct seam_park park;
	struct wasi_waiter w = {0};
	seam_park_init(&park);
	wasi__event_watch(ev, &w, &park);
	enum seam_result r = seam_park(c, &park);
	wasi__event_unwatch(&w);
	return r;
}
