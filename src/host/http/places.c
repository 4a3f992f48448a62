// Places for connections to servers, where they are bounded: those of a line (a link's, on a shard), and those of an app in the whole process (http_quota).
//
//   a request that needs a connection of its own ── place ──► dials ──► the connection has the place, until it is lost
//     └── none: the longest idle one of the line makes way; else it waits in the line, the first of it looks again when one rests or is lost
//
// 1. Who comes later waits behind those who wait; what can go on a session of HTTP/2 takes no place and waits for none.
// 2. What other lines and shards give back of an app's the first of a line finds by looking again (LOOK). A shard that has idle connections of an app looks as
//    often whether anybody wants a place, or there are more than there may be by now.
#include "client.h"

#define LOOK (10 * MILLISECOND)
#define LOOK_UNBOUNDED SECOND  // whether there is a bound by now

static void on_look(struct loop_timer *t);

// NULL: memory is out.
static struct http_line **bucket(struct http_client *cl, const struct http_outgoing_request *r)
{
	if (!cl->lines && !(cl->lines = mem_zalloc(LINE_BUCKETS * sizeof(struct http_line *))))
		return NULL;
	return &cl->lines[map_hash_word(r->line ^ map_hash_word((uintptr_t)r->quota)) % LINE_BUCKETS];
}

struct http_line *http__line_get(struct http_client *cl, const struct http_outgoing_request *r)
{
	struct http_line **list = bucket(cl, r), *l = list ? *list : NULL;
	if (!list)
		return NULL;
	while (l && !(l->id == r->line && l->quota == r->quota))
		l = l->next;
	if (!l) {
		l = mem_zalloc(sizeof *l);
		if (!l)
			return NULL;
		*l = (struct http_line){.client = cl, .id = r->line, .quota = r->quota, .last = &l->first, .look.fn = on_look, .next = *list, .prev = list};
		if (l->next)
			l->next->prev = &l->next;
		*list = l;
	}
	if (r->tenant >= l->said_by) {  // what leaves meanwhile has it as it was
		l->said_by = r->tenant;
		l->most = r->line_most;
	}
	l->refs++;
	return l;
}

void http__line_unref(struct http_line *l)
{
	if (!l || --l->refs)
		return;
	if (l->client) {
		loop_timer_cancel(l->client->loop, &l->look);
		*l->prev = l->next;
		if (l->next)
			l->next->prev = l->prev;
	}
	mem_free(l);
}

void http__lines_forget(struct http_client *cl)
{
	for (size_t i = 0; cl->lines && i < LINE_BUCKETS; i++)
		for (struct http_line *l = cl->lines[i], *next; l; l = next) {
			next = l->next;
			loop_timer_cancel(cl->loop, &l->look);
			l->client = NULL;
		}
	mem_free(cl->lines);
	cl->lines = NULL;
}

// ---- waiting ---------------------------------------------------------------------------------------------------------------------

static uint64_t most_of(const struct http_quota *q)
{
	uint64_t most = q ? __atomic_load_n(&q->most, __ATOMIC_RELAXED) : 0;
	return most ? most : UINT64_MAX;
}

bool http_quota_take(struct http_quota *q)
{
	if (!q || shared_count_up(&q->open, most_of(q)))
		return true;
	__atomic_store_n(&q->wanted, true, __ATOMIC_RELAXED);
	return false;
}

void http_quota_give(struct http_quota *q)
{
	if (q)
		shared_count_down(&q->open);
}

static void look_soon(struct http_line *l)
{
	uint64_t after = most_of(l->quota) == UINT64_MAX ? LOOK_UNBOUNDED : LOOK;
	if (l->client && l->quota && !loop_timer_is_armed(&l->look))
		loop_timer_set(l->client->loop, &l->look, sat_add_u64(loop_now_ns(l->client->loop), after));
}

// Of the line, or of all that its quota counts; NULL: none.
static struct client_conn *longest_idle(const struct http_line *l, bool of_line)
{
	struct client_conn *found = NULL;
	for (struct client_conn *c = l->client->idle; c; c = c->idle_next)
		if (c->line && (of_line ? c->line == l : l->quota && c->line->quota == l->quota))
			found = c;
	return found;
}

static void make_way(struct client_conn *idle)
{
	http__conn_close(&idle->conn, HTTP_CANCEL_SERVER, false);
}

void http__line_wake(struct http_line *l)
{
	if (l->client && l->first)
		loop_post(l->client->loop, &l->first->start);
}

static void on_look(struct loop_timer *t)
{
	struct http_line *l = CONTAINER_OF(t, struct http_line, look);
	struct http_quota *q = l->quota;
	struct client_conn *idle = longest_idle(l, true);
	l->refs++;  // it may be of its last connection
	while (idle && (shared_count_now(&q->open) > most_of(q) || __atomic_exchange_n(&q->wanted, false, __ATOMIC_RELAXED))) {
		make_way(idle);
		idle = longest_idle(l, true);
	}
	http__line_wake(l);
	if (idle || l->first)
		look_soon(l);
	http__line_unref(l);
}

void http__line_wait(struct http_outgoing *o)
{
	struct http_line *l = o->line;
	if (l->quota)
		__atomic_store_n(&l->quota->wanted, true, __ATOMIC_RELAXED);
	look_soon(l);
	if (o->line_prev)
		return;
	o->line_prev = l->last;
	o->line_next = NULL;
	*l->last = o;
	l->last = &o->line_next;
}

void http__line_leave(struct http_outgoing *o)
{
	struct http_line *l = o->line;
	if (!o->line_prev)
		return;
	*o->line_prev = o->line_next;
	if (o->line_next)
		o->line_next->line_prev = o->line_prev;
	else
		l->last = o->line_prev;
	o->line_prev = NULL;
	if (l->client)
		loop_timer_cancel(l->client->loop, &o->connect.timer);
	http__line_wake(l);  // whoever is first now
}

// ---- places ----------------------------------------------------------------------------------------------------------------------

bool http__line_is_ahead(const struct http_outgoing *o)
{
	return o->line && o->line->first && o->line->first != o;
}

static bool is_full(const struct http_line *l)
{
	return l->most && l->open >= l->most;
}

bool http__place_take(struct http_outgoing *o)
{
	struct http_line *l = o->line;
	if (!l)
		return true;
	if (http__line_is_ahead(o))
		return false;
	struct client_conn *idle;
	while (is_full(l) || (l->quota && !shared_count_up(&l->quota->open, most_of(l->quota)))) {
		if (!(idle = longest_idle(l, is_full(l))))
			return false;
		make_way(idle);
	}
	l->open++;
	o->has_place = true;
	return true;
}

static void give(struct http_line *l)
{
	l->open--;
	if (l->quota)
		shared_count_down(&l->quota->open);
	http__line_wake(l);
}

void http__place_give(struct http_outgoing *o)
{
	if (o->has_place)
		give(o->line);
	o->has_place = false;
}

void http__place_pass(struct http_outgoing *o, struct client_conn *c)
{
	if (!o->has_place)
		return;
	o->has_place = false;
	c->line = o->line;
	c->line->refs++;
}

void http__place_lost(struct client_conn *c)
{
	struct http_line *l = c->line;
	c->line = NULL;
	if (!l)
		return;
	give(l);
	http__line_unref(l);
}

bool http__place_is_too_much(const struct client_conn *c)
{
	const struct http_line *l = c->line;
	return l && ((l->most && l->open > l->most) || (l->quota && shared_count_now(&l->quota->open) > most_of(l->quota)));
}

void http__place_rests(struct client_conn *c)
{
	if (!c->line)
		return;
	http__line_wake(c->line);
	look_soon(c->line);
}
