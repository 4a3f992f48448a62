// A key is here as long as something has begun that others may have to wait for, or waits. Guests are told apart by their memory: of two, nobody can say who was
// first.
//
// Writes follow each other at once: stores keep their order. A read waits for writes, which the store may do later, and, where `writes_wait`, a write for reads.
// Nothing begins behind what takes several steps, but, of those that have an order of their own, further ones.
#include "line.h"

struct link__line_key {
	struct link__line_key *next, **prev;  // of its chain; spare
	struct link__line_key *next_ready;
	struct hash128 name;
	const struct pool *guest;
	uint32_t begun[LINK__LINE_ALONE + 1];  // of each kind: that have no end
	struct link__in_line *first, **last;   // that wait
	bool is_ready;
};

static struct link__line_key **chain_of(struct link__line *l, struct hash128 name)
{
	return &l->chains[name.low % LINK__LINE_CHAINS];
}

static struct link__line_key *find(struct link__line *l, struct hash128 name, const struct pool *guest)
{
	struct link__line_key *key = *chain_of(l, name);
	while (key && (key->name.low != name.low || key->name.high != name.high || key->guest != guest))
		key = key->next;
	return key;
}

static struct link__line_key *key_new(struct link__line *l, struct hash128 name, const struct pool *guest)
{
	struct link__line_key *key = l->spare, **chain = chain_of(l, name);
	if (key)
		l->spare = key->next;
	else if (!(key = mem_alloc(sizeof *key)))
		return NULL;
	*key = (struct link__line_key){.next = *chain, .prev = chain, .name = name, .guest = guest};
	key->last = &key->first;
	if (key->next)
		key->next->prev = &key->next;
	*chain = key;
	return key;
}

static void key_free(struct link__line *l, struct link__line_key *key)
{
	*key->prev = key->next;
	if (key->next)
		key->next->prev = key->prev;
	key->next = l->spare;
	l->spare = key;
}

static bool may_begin(const struct link__line *l, const struct link__line_key *key, const struct link__in_line *x)
{
	const uint32_t *n = key->begun;
	if (n[LINK__LINE_ALONE])
		return false;
	switch (x->kind) {
	case LINK__LINE_READ:
		return !n[LINK__LINE_COUNT] && !n[LINK__LINE_WRITE];
	case LINK__LINE_COUNT:
		return !(l->writes_wait && n[LINK__LINE_READ]);
	case LINK__LINE_WRITE:
	case LINK__LINE_ALONE:
		break;
	}
	return !n[LINK__LINE_COUNT] && !(l->writes_wait && n[LINK__LINE_READ]);
}

static bool is_counted(const struct link__line *l, enum link__line_kind kind)
{
	return kind != LINK__LINE_READ || l->writes_wait;  // else nobody waits for it
}

static void begins(const struct link__line *l, struct link__line_key *key, struct link__in_line *x)
{
	x->waits = false;
	x->key = is_counted(l, x->kind) ? key : NULL;
	if (x->key)
		key->begun[x->kind]++;
}

static bool is_over(const struct link__line_key *key)
{
	for (unsigned i = 0; i < ARRAY_LEN(key->begun); i++)
		if (key->begun[i])
			return false;
	return !key->first;
}

// Its first may begin, on the loop, or it is of no use any more.
static void look_at(struct link__line *l, struct link__line_key *key)
{
	if (key->is_ready)
		return;
	if (is_over(key)) {
		key_free(l, key);
		return;
	}
	if (!key->first || !may_begin(l, key, key->first))
		return;
	key->is_ready = true;
	key->next_ready = l->ready;
	l->ready = key;
	loop_post(l->loop, &l->turn);
}

static void take_out(struct link__line_key *key, struct link__in_line *x)
{
	*x->prev = x->next;
	if (x->next)
		x->next->prev = x->prev;
	else if (key)
		key->last = x->prev;
}

static void on_turn(struct loop_job *j)
{
	struct link__line *l = CONTAINER_OF(j, struct link__line, turn);
	while (l->ready) {
		struct link__line_key *key = l->ready;
		struct link__in_line *x = key->first;
		if (x && may_begin(l, key, x)) {
			take_out(key, x);
			begins(l, key, x);
			l->begin(x);  // another key may be ready now
			continue;
		}
		struct link__line_key **at = &l->ready;
		while (*at != key)
			at = &(*at)->next_ready;
		*at = key->next_ready;
		key->is_ready = false;
		if (is_over(key))
			key_free(l, key);
	}
}

void link__line_init(struct link__line *l, struct loop *loop, bool writes_wait, void (*begin)(struct link__in_line *x))
{
	*l = (struct link__line){.loop = loop, .begin = begin, .writes_wait = writes_wait, .turn.fn = on_turn};
}

enum link__line_order link__line_enter(struct link__line *l, struct link__in_line *x, enum link__line_kind kind, struct hash128 name, const struct pool *guest)
{
	struct link__line_key *key = find(l, name, guest);
	*x = (struct link__in_line){.kind = kind};
	if (!key && !is_counted(l, kind))
		return LINK__LINE_MAY_BEGIN;
	if (!key && !(key = key_new(l, name, guest)))
		return LINK__LINE_NO_MEMORY;
	if (!key->first && may_begin(l, key, x)) {
		begins(l, key, x);
		return LINK__LINE_MAY_BEGIN;
	}
	x->key = key;
	x->waits = true;
	x->prev = key->last;
	*key->last = x;
	key->last = &x->next;
	return LINK__LINE_MUST_WAIT;
}

void link__line_leave(struct link__line *l, struct link__in_line *x)
{
	struct link__line_key *key = x->key;
	if (x->waits)
		take_out(key, x);
	else if (key)
		key->begun[x->kind]--;
	x->waits = false;
	x->key = NULL;
	if (key)
		look_at(l, key);
}

void link__line_take_all(struct link__line *l, struct link__in_line **list)
{
	for (unsigned i = 0; i < LINK__LINE_CHAINS; i++)
		for (struct link__line_key *key = l->chains[i], *next; key; key = next) {
			struct link__in_line *x = key->first, **last = key->last;
			next = key->next;
			if (!x)
				continue;
			for (struct link__in_line *k = x; k; k = k->next)
				k->key = NULL;
			key->first = NULL;
			key->last = &key->first;
			look_at(l, key);
			*last = *list;
			if (*list)
				(*list)->prev = last;
			*list = x;
			x->prev = list;
		}
}

void link__line_release(struct link__line *l)
{
	loop_job_cancel(&l->turn);
	for (unsigned i = 0; i < LINK__LINE_CHAINS; i++)
		while (l->chains[i])
			key_free(l, l->chains[i]);
	while (l->spare) {
		struct link__line_key *next = l->spare->next;
		mem_free(l->spare);
		l->spare = next;
	}
}
