// Counters that are incremented now: NATS has no increment, and 64 who compare and swap one key against each other starve, or, one after the other, wait for 64
// trips to the server. So one at a time holds a counter, whatever thread it comes from, and what has come meanwhile is in its next write: a sum.
//
//   enter ──► HOLDS ──► (sum ──► tell, or put back) ──► pass on        enter ──► WAITS ──► CARRIED ──► TOLD        WAITS ──► GRANTED ──► HOLDS
//
// 1. A counter is there as long as somebody holds it. The others wait in the order in which they came, and are summed in it.
// 2. What each gives is reckoned when the sum is made: who leaves later is in what was sent, and the others' numbers stay what they are.
// 3. What was written last is known until another key takes its place (`known`): the server compares it, so that it may be old.
#include "nats_counter.h"

#include <xxhash.h>

#include "sys/sys.h"

enum { SLOTS = 256 };

struct slot {
	struct spinlock lock;       // of its counters
	struct nats_counter *first;
	uint64_t known_high;        // which one is known; with the index of the slot
	uint64_t known_low;
	struct nats_known known;
};
struct nats_counters {
	uint64_t seed;              // so that nobody chooses keys of one slot
	struct slot slots[SLOTS];
};
struct list {
	struct nats_waiter *first, **last;
};
struct nats_counter {
	struct nats_counter *next;
	struct slot *slot;
	uint64_t high, low;         // hash
	struct list waiting, carried;
	struct nats_known known;    // the holder's
	size_t len;
	uint8_t subject[];
};

struct nats_counters *nats__counters_new(void)
{
	struct nats_counters *l = mem_zalloc(sizeof *l);
	if (l)
		sys_random(&l->seed, sizeof l->seed);
	return l;
}

void nats__counters_free(struct nats_counters *l)
{
	mem_free(l);
}

// ---- lists of waiters, under the lock ----------------------------------------------------------------------------------------------

static void append(struct list *l, struct nats_waiter *w, enum nats_waiter_state state)
{
	w->state = state;
	w->next = NULL;
	w->prev = l->last;
	*l->last = w;
	l->last = &w->next;
}

static void take_out(struct list *l, struct nats_waiter *w)
{
	*w->prev = w->next;
	if (w->next)
		w->next->prev = w->prev;
	else
		l->last = w->prev;
}

// ---- counters ----------------------------------------------------------------------------------------------------------------------

static struct nats_counter *find(const struct slot *s, struct slice subject)
{
	struct nats_counter *c = s->first;
	while (c && !slice_eq(nats__counter_subject(c), subject))
		c = c->next;
	return c;
}

static struct nats_counter *counter_new(struct slot *s, XXH128_hash_t hash, struct slice subject)
{
	struct nats_counter *c = mem_zalloc(sizeof *c + subject.len);
	if (!c)
		return NULL;
	c->slot = s;
	c->high = hash.high64;
	c->low = hash.low64;
	c->waiting.last = &c->waiting.first;
	c->carried.last = &c->carried.first;
	c->len = subject.len;
	memcpy(c->subject, subject.ptr, subject.len);
	return c;
}

// Under the lock: it is its waiter's from now on.
static void add(struct nats_counter *c, struct nats_waiter *w)
{
	struct slot *s = c->slot;
	c->next = s->first;
	s->first = c;
	if (s->known_high == c->high && s->known_low == c->low)
		c->known = s->known;
	w->state = NATS_HOLDS;
}

// Under the lock: it is nobody's any more.
static void take_away(struct nats_counter *c)
{
	struct slot *s = c->slot;
	struct nats_counter **at = &s->first;
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	s->known_high = c->high;
	s->known_low = c->low;
	s->known = c->known;
}

// `fresh` is the counter's from now on, or NULL, if there is none yet.
static struct nats_counter *enter(struct slot *s, struct slice subject, struct nats_waiter *w, struct nats_counter **fresh, bool *ret_holds)
{
	w->lock = &s->lock;
	spinlock_lock(&s->lock);
	struct nats_counter *c = find(s, subject);
	if (c) {
		append(&c->waiting, w, NATS_WAITS);
	} else if (*fresh) {
		c = *fresh;
		*fresh = NULL;
		*ret_holds = true;
		add(c, w);
	}
	spinlock_unlock(&s->lock);
	return c;
}

bool nats__counter_enter(struct nats_counters *l, struct slice subject, struct nats_waiter *w, struct nats_counter **ret)
{
	XXH128_hash_t hash = XXH3_128bits_withSeed(subject.ptr, subject.len, l->seed);
	struct slot *s = &l->slots[hash.low64 % SLOTS];
	struct nats_counter *fresh = NULL;
	bool holds = false;
	if (!(*ret = enter(s, subject, w, &fresh, &holds)) && (fresh = counter_new(s, hash, subject)))
		*ret = enter(s, subject, w, &fresh, &holds);
	mem_free(fresh);
	return holds;
}

struct slice nats__counter_subject(const struct nats_counter *c)
{
	return slice_of(c->subject, c->len);
}

// ---- the holder's --------------------------------------------------------------------------------------------------------------------

struct nats_known *nats__counter_known(struct nats_counter *c)
{
	return &c->known;
}

static void reckon(struct nats_waiter *w, const int64_t *base, struct nats_sum *sum)
{
	w->share = !base ? NATS_NO_NUMBER : __builtin_add_overflow(sum->number, w->delta, &w->number) ? NATS_OUT_OF_RANGE
																								  : NATS_SUMMED;
	if (w->share == NATS_SUMMED) {
		sum->number = w->number;
		sum->n++;
	} else {
		w->number = sum->number;
	}
}

struct nats_sum nats__counter_sum(struct nats_counter *c, struct nats_waiter *w, const int64_t *base)
{
	struct nats_sum sum = {.number = base ? *base : 0};
	spinlock_lock(&c->slot->lock);
	if (w)
		reckon(w, base, &sum);
	while (c->waiting.first) {
		struct nats_waiter *next = c->waiting.first;
		take_out(&c->waiting, next);
		append(&c->carried, next, NATS_CARRIED);
	}
	for (struct nats_waiter *x = c->carried.first; x; x = x->next) {
		reckon(x, base, &sum);
		sum.latest_ns = max_u64(sum.latest_ns, x->deadline_ns);
	}
	spinlock_unlock(&c->slot->lock);
	return sum;
}

bool nats__counter_carries(struct nats_counter *c)
{
	spinlock_lock(&c->slot->lock);
	bool carries = c->carried.first != NULL;
	spinlock_unlock(&c->slot->lock);
	return carries;
}

// Under the lock.
static void put_back(struct nats_counter *c)
{
	struct list rest = c->waiting;
	if (!c->carried.first)
		return;
	if (rest.first)
		rest.first->prev = c->carried.last;
	*c->carried.last = rest.first;
	c->waiting = (struct list){c->carried.first, rest.first ? rest.last : c->carried.last};
	c->waiting.first->prev = &c->waiting.first;
	for (struct nats_waiter *w = c->waiting.first; w != rest.first; w = w->next)
		w->state = NATS_WAITS;
	c->carried = (struct list){NULL, &c->carried.first};
}

void nats__counter_put_back(struct nats_counter *c)
{
	spinlock_lock(&c->slot->lock);
	put_back(c);
	spinlock_unlock(&c->slot->lock);
}

void nats__counter_tell(struct nats_counter *c, enum link_code code, const char *text)
{
	spinlock_lock(&c->slot->lock);
	struct nats_waiter *list = c->carried.first;
	c->carried = (struct list){NULL, &c->carried.first};
	for (struct nats_waiter *w = list; w; w = w->next) {
		w->state = NATS_TOLD;
		w->code = code != LINK_OK && w->share != NATS_SUMMED ? LINK_UNSENT : code;
		snprintf(w->text, 160, "%s", text);
	}
	spinlock_unlock(&c->slot->lock);
	while (list) {  // once it is posted it may be gone
		struct nats_waiter *w = list;
		list = w->next;
		loop_post_remote(w->loop, &w->told);
	}
}

void nats__counter_pass_on(struct nats_counter *c, struct nats_waiter *w)
{
	struct slot *s = c->slot;
	spinlock_lock(&s->lock);
	put_back(c);
	w->state = NATS_IDLE;
	struct nats_waiter *next = c->waiting.first;
	if (next) {
		take_out(&c->waiting, next);
		next->state = NATS_GRANTED;
	} else {
		take_away(c);
	}
	spinlock_unlock(&s->lock);
	if (next)
		loop_post_remote(next->loop, &next->told);
	else
		mem_free(c);
}

// ---- another waiter's ------------------------------------------------------------------------------------------------------------

enum nats_waiter_state nats__counter_leave(struct nats_counter *c, struct nats_waiter *w, bool only_unsent)
{
	spinlock_lock(w->lock);
	enum nats_waiter_state was = w->state;
	if (was == NATS_WAITS || (was == NATS_CARRIED && !only_unsent)) {
		take_out(was == NATS_WAITS ? &c->waiting : &c->carried, w);
		w->state = NATS_IDLE;
	}
	spinlock_unlock(w->lock);
	return was;
}
