// How many connections the servers of a process have together, and how many each client has. A server asks before it accepts; where all places are
// taken it closes those of its own that are idle longest, or asks another server to do so, and waits.
//
// `open` is counted without the lock; the list of servers and the table of clients under the lock, which nobody holds for longer than a walk
// along a chain. A server joins when it is made and parts when it is freed.
#include "http_int.h"

enum { CLIENT_BUCKETS = 4096, KEY_MAX = 16 };

struct http_client {
	struct http_client *next;
	uint8_t key[KEY_MAX];
	uint64_t connections;
};
struct http_gate {
	uint64_t max, per_client;
	struct shared_count open;
	uint32_t said;  // one bit an enum http_full
	struct spinlock lock;
	struct http_server *servers, *asked;  // the last that was asked to make room
	uint8_t secret[8];                    // which clients share a chain is nobody's choice
	struct http_client **clients;
};

bool http_gate_new(uint64_t connections, uint64_t per_client, struct http_gate **ret, struct err *e)
{
	struct http_gate *g = mem_zalloc(sizeof *g);
	if (g && per_client != HTTP_NO_LIMIT)
		g->clients = mem_zalloc(CLIENT_BUCKETS * sizeof *g->clients);
	if (!g || (per_client != HTTP_NO_LIMIT && !g->clients)) {
		mem_free(g);
		return err_nomem(e);
	}
	g->max = connections;
	g->per_client = per_client;
	sys_random(g->secret, sizeof g->secret);
	*ret = g;
	return true;
}

void http_gate_free(struct http_gate *g)
{
	if (!g)
		return;
	BUG_ON(g->servers || shared_count_now(&g->open));
	mem_free(g->clients);
	mem_free(g);
}

// ---- places ----------------------------------------------------------------------------------------------------------------------

bool http__gate_enter(struct http_gate *g, bool anyway)
{
	return shared_count_up(&g->open, anyway ? UINT64_MAX : g->max);
}

void http__gate_leave(struct http_gate *g)
{
	shared_count_down(&g->open);
}

uint64_t http__gate_max(const struct http_gate *g)
{
	return g->max;
}

bool http__gate_says(struct http_gate *g, enum http_full what)
{
	return !(__atomic_fetch_or(&g->said, 1u << what, __ATOMIC_RELAXED) >> what & 1);
}

// ---- clients ---------------------------------------------------------------------------------------------------------------------

static struct http_client **find_client(struct http_gate *g, const uint8_t key[KEY_MAX])
{
	uint8_t text[sizeof g->secret + KEY_MAX];
	memcpy(text, g->secret, sizeof g->secret);
	memcpy(text + sizeof g->secret, key, KEY_MAX);
	struct http_client **at = &g->clients[hash_u64(slice_of(text, sizeof text)) % CLIENT_BUCKETS];
	while (*at && memcmp((*at)->key, key, KEY_MAX) != 0)
		at = &(*at)->next;
	return at;
}

bool http__gate_enter_client(struct http_gate *g, const struct http_address *peer, struct http_client **ret)
{
	uint8_t key[KEY_MAX] = {0};
	*ret = NULL;
	if (!g->clients || !http__address_key(peer, key))
		return true;
	spinlock_lock(&g->lock);
	struct http_client **at = find_client(g, key), *c = *at;
	if (!c && (c = mem_zalloc(sizeof *c))) {
		memcpy(c->key, key, KEY_MAX);
		*at = c;
	}
	bool ok = c && c->connections < g->per_client;
	if (ok)
		c->connections++;
	spinlock_unlock(&g->lock);
	*ret = ok ? c : NULL;
	return ok;
}

void http__gate_leave_client(struct http_gate *g, struct http_client *c)
{
	if (!c)
		return;
	spinlock_lock(&g->lock);
	struct http_client **at = --c->connections ? NULL : find_client(g, c->key);
	if (at)
		*at = c->next;
	spinlock_unlock(&g->lock);
	if (at)
		mem_free(c);
}

// ---- servers ---------------------------------------------------------------------------------------------------------------------

void http__gate_join(struct http_gate *g, struct http_server *s)
{
	spinlock_lock(&g->lock);
	s->gate_next = g->servers;
	g->servers = s;
	spinlock_unlock(&g->lock);
}

void http__gate_part(struct http_gate *g, struct http_server *s)
{
	spinlock_lock(&g->lock);
	struct http_server **at = &g->servers;
	while (*at != s)
		at = &(*at)->gate_next;
	*at = s->gate_next;
	g->asked = NULL;
	spinlock_unlock(&g->lock);
}

void http__gate_ask_another(struct http_gate *g, struct http_server *but)
{
	spinlock_lock(&g->lock);
	struct http_server *s = g->asked ? g->asked->gate_next : NULL;
	if (!s)
		s = g->servers;
	if (s == but)
		s = s->gate_next ? s->gate_next : g->servers;
	g->asked = s;
	if (s != but && !__atomic_exchange_n(&s->room_asked, true, __ATOMIC_ACQ_REL))
		loop_post_remote(s->loop, &s->room_remote);
	spinlock_unlock(&g->lock);
}
