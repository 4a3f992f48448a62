// Operations of one guest on one key are applied in the order in which it asked (store.h, rule 2). What is published on one connection is: so writes follow each
// other at once. What takes several requests (an increment; a swap of what is not there) lets nothing begin behind it but, of increments, further ones, which have
// an order of their own (nats_counter.c). And a read, which the server answers before what it has not written yet, waits for writes.
//
// A key is here as long as something has begun that others may have to wait for, or waits. Guests are told apart by their memory: of two, nobody can say
// which was first.
#include "nats_line.h"

#include "nats_call.h"

struct nats_key {
	struct nats_key *next, **prev;  // of its chain; spare
	struct nats_key *next_ready;
	struct hash128 name;
	const struct pool *guest;
	uint32_t writes, counts, swaps;  // that have begun and have no end
	struct nats_call *first, **last;  // that wait
	bool is_ready;
};

static bool is_read(const struct nats_call *k)
{
	return k->op->kind == LINK_GET || k->op->kind == LINK_EXISTS;
}

static uint32_t *count_of(struct nats_key *key, const struct nats_call *k)
{
	bool creates = k->op->kind == LINK_SWAP && k->op->version.words[0] == 0;
	return k->op->kind == LINK_INCREMENT ? &key->counts : creates ? &key->swaps
																  : &key->writes;
}

static struct nats_key **chain_of(struct nats_line *l, struct hash128 name)
{
	return &l->chains[name.low % NATS_CHAINS];
}

static struct nats_key *find(struct nats_line *l, struct hash128 name, const struct pool *guest)
{
	struct nats_key *key = *chain_of(l, name);
	while (key && (key->name.low != name.low || key->name.high != name.high || key->guest != guest))
		key = key->next;
	return key;
}

static struct nats_key *key_new(struct nats_line *l, struct hash128 name, const struct pool *guest)
{
	struct nats_key *key = l->spare, **chain = chain_of(l, name);
	if (key)
		l->spare = key->next;
	else if (!(key = mem_alloc(sizeof *key)))
		return NULL;
	*key = (struct nats_key){.next = *chain, .prev = chain, .name = name, .guest = guest};
	key->last = &key->first;
	if (key->next)
		key->next->prev = &key->next;
	*chain = key;
	return key;
}

static void key_free(struct nats_line *l, struct nats_key *key)
{
	*key->prev = key->next;
	if (key->next)
		key->next->prev = key->prev;
	key->next = l->spare;
	l->spare = key;
}

static bool may_begin(const struct nats_key *key, const struct nats_call *k)
{
	if (key->swaps)
		return false;
	if (k->op->kind == LINK_INCREMENT)
		return true;
	return !key->counts && !(is_read(k) && key->writes);
}

static void begins(struct nats_key *key, struct nats_call *k)
{
	k->line.waits = false;
	k->line.key = is_read(k) ? NULL : key;  // for a read nobody waits
	if (k->line.key)
		++*count_of(key, k);
}

static bool is_over(const struct nats_key *key)
{
	return !key->first && !(key->writes | key->counts | key->swaps);
}

// Its first may begin, on the loop, or it is of no use any more.
static void look_at(struct nats_line *l, struct nats_key *key)
{
	if (key->is_ready)
		return;
	if (is_over(key)) {
		key_free(l, key);
		return;
	}
	if (!key->first || !may_begin(key, key->first))
		return;
	key->is_ready = true;
	key->next_ready = l->ready;
	l->ready = key;
	loop_post(l->loop, &l->turn);
}

static void take_out(struct nats_key *key, struct nats_call *k)
{
	*k->prev = k->next;
	if (k->next)
		k->next->prev = k->prev;
	else if (key)
		key->last = k->prev;
}

static void on_turn(struct loop_job *j)
{
	struct nats_line *l = CONTAINER_OF(j, struct nats_line, turn);
	while (l->ready) {
		struct nats_key *key = l->ready;
		struct nats_call *k = key->first;
		if (k && may_begin(key, k)) {
			take_out(key, k);
			begins(key, k);
			l->begin(k);  // another may be ready now
			continue;
		}
		struct nats_key **at = &l->ready;
		while (*at != key)
			at = &(*at)->next_ready;
		*at = key->next_ready;
		key->is_ready = false;
		if (is_over(key))
			key_free(l, key);
	}
}

void nats__line_init(struct nats_line *l, struct loop *loop, void (*begin)(struct nats_call *k))
{
	*l = (struct nats_line){.loop = loop, .begin = begin, .turn.fn = on_turn};
}

enum nats_order nats__line_enter(struct nats_line *l, struct nats_call *k, struct hash128 name)
{
	struct nats_key *key = find(l, name, k->op->memory);
	k->line = (struct nats_in_line){0};
	if (!key && is_read(k))
		return NATS_MAY_BEGIN;
	if (!key && !(key = key_new(l, name, k->op->memory)))
		return NATS_NO_MEMORY;
	if (!key->first && may_begin(key, k)) {
		begins(key, k);
		return NATS_MAY_BEGIN;
	}
	k->line = (struct nats_in_line){key, true};
	k->next = NULL;
	k->prev = key->last;
	*key->last = k;
	key->last = &k->next;
	return NATS_MUST_WAIT;
}

void nats__line_leave(struct nats_line *l, struct nats_call *k)
{
	struct nats_key *key = k->line.key;
	if (k->line.waits)
		take_out(key, k);
	else if (key)
		--*count_of(key, k);
	k->line = (struct nats_in_line){0};
	if (key)
		look_at(l, key);
}

void nats__line_take_all(struct nats_line *l, struct nats_call **list)
{
	for (unsigned i = 0; i < NATS_CHAINS; i++)
		for (struct nats_key *key = l->chains[i], *next; key; key = next) {
			struct nats_call *k = key->first, **last = key->last;
			next = key->next;
			if (!k)
				continue;
			for (struct nats_call *x = k; x; x = x->next)
				x->line.key = NULL;
			key->first = NULL;
			key->last = &key->first;
			look_at(l, key);
			*last = *list;
			if (*list)
				(*list)->prev = last;
			*list = k;
			k->prev = list;
		}
}

void nats__line_release(struct nats_line *l)
{
	loop_job_cancel(&l->turn);
	for (unsigned i = 0; i < NATS_CHAINS; i++)
		while (l->chains[i])
			key_free(l, l->chains[i]);
	while (l->spare) {
		struct nats_key *next = l->spare->next;
		mem_free(l->spare);
		l->spare = next;
	}
}
