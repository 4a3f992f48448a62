// Preview 1: the table of descriptors is one call's at a time, first come, first served.
#include "preview1.h"

enum seam_result wasi__p1_take(struct p1_call *c)
{
	struct wasi_preview1 *p = c->p;
	struct p1_turn turn = {.next = NULL, .waits = true}, **at = &p->turns;
	if (!p->is_taken) {
		p->is_taken = true;
		return SEAM_OK;
	}
	while (*at)
		at = &(*at)->next;
	*at = &turn;
	seam_park_init(&turn.park);
	enum seam_result r = seam_park(&c->seam, &turn.park);
	if (r == SEAM_OK)
		return r;  // it was handed over
	if (!turn.waits) {
		wasi__p1_give(p);
		return r;
	}
	for (at = &p->turns; *at != &turn;)
		at = &(*at)->next;
	*at = turn.next;
	return r;
}

void wasi__p1_give(struct wasi_preview1 *p)
{
	struct p1_turn *next = p->turns;
	p->is_taken = next != NULL;
	if (!next)
		return;
	p->turns = next->next;
	next->waits = false;
	seam_wake(&next->park);
}
