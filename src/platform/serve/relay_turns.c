// Policy keep: whose turn it is, where requests by a route and calls of other components want the one instance.
//
// 1. By turns: after calls a request has it, after a request all calls that wait by then; who has the turn and can't begin (memory, a place) leaves it to the others.
//    Without that the queue would take it again with the end of each request, or calls without end would keep it.
// 2. Nobody polls: a slot that is given back wakes the queue (serve__queue_wake), and its turn on the loop tells who seeks. What was told may join a guest that takes
//    no other calls any more. A timer is only for what comes back from elsewhere: memory, an instance after a trap.
// 3. First come, first served among calls: who comes takes no instance past those that wait for it.
#include "relay.h"

// It takes no further call, and gives its instance back when those in line have had their turn. Another version is in force, or a request waits for the instance: who
// calls without end would keep it for ever. While handles of it are out it stays.
static bool is_leaving(const struct relay_guest *g, bool told)
{
	const struct serve_shard *s = g->shard;
	bool is_old = s->stable && g->slot && s->stable->version != g->slot->version;
	return g->slot && !g->handles && !g->closing && (is_old || (s->queue_head && !told));
}

struct relay_guest *serve__relay_kept(const struct serve_shard *s, bool told)
{
	struct relay_guest *g = s->guests;
	while (g && (!g->is_kept || g->dead || is_leaving(g, told)))
		g = g->next;
	return g;
}

static bool is_requests_turn(const struct serve_shard *s)
{
	return s->queue_head && s->calls_had_it;
}

bool serve__relay_may_take(const struct serve_shard *s, bool told)
{
	return !is_requests_turn(s) && (told || !s->seeking);
}

void serve__seekers_tell(struct serve_shard *s)
{
	for (struct relay_wait *w = s->seeking; w; w = w->next) {
		w->told = true;
		if (w->turn)
			w->turn(w);
		else
			seam_wake(&w->park);
	}
}

bool serve__is_calls_turn(const struct serve_shard *s)
{
	return s->seeking && !is_requests_turn(s);
}

bool serve__calls_turn(struct serve_shard *s)
{
	bool theirs = serve__is_calls_turn(s);
	if (s->seeking && ((theirs && !s->taken) || serve__relay_kept(s, false)))
		serve__seekers_tell(s);
	return theirs;
}

void serve__relay_seek_on(struct serve_shard *s, struct relay_wait *w)
{
	bool tried = w->told;
	w->told = false;
	if (!w->seeks) {
		w->seeks = true;
		w->next = NULL;
		if (!s->seeking)
			s->seeking_last = &s->seeking;
		*s->seeking_last = w;
		s->seeking_last = &w->next;
	}
	if (s->taken)
		return;  // who has it gives it back
	s->calls_had_it |= tried;
	if (tried && s->queue_head)
		serve__queue_wake(s);
	else
		serve__queue_retry(s);
}

void serve__relay_seek_no_more(struct serve_shard *s, struct relay_wait *w)
{
	struct relay_wait **at = &s->seeking;
	if (!w->seeks)
		return;
	w->seeks = w->told = false;
	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	if (!w->next)
		s->seeking_last = at;
	if (!s->closing)
		serve__queue_wake(s);  // it may have been held for this one
}
