// Stores in the process's memory, shared by all its threads; linearizable, gone with the process.
//
// 1. A key lies in a stripe, and there in a chain, by the top bits of its hash (under a secret of the process). Chains are kept in the order of hashes, so that
//    there is one order of all keys, which growing doesn't change: a cursor is a place in it (the top 56 bits), and a page never ends between two keys of one
//    place.
// 2. A stripe is locked for a step on a chain. A value is immutable while somebody but its entry holds it: who reads takes a reference and no lock.
// 3. Each stripe numbers its writes: a version is never there twice.
// 4. What is there is counted against the host's memory_bytes before it is there.
#include <xxhash.h>

#include "link_int.h"
#include "sys/sys.h"

enum { STRIPE_BITS = 6, STRIPES = 1 << STRIPE_BITS, FIRST_BITS = 3, MOST_BITS = 26, PLACE_BITS = 56, LOOK_MAX = 20000, KEPT_PAGE = 64 << 10 };

struct value {
	uint32_t refs;  // atomic
	uint32_t len;
	uint32_t cap;
	uint8_t bytes[];
};
struct entry {
	struct entry *next;
	uint64_t hash, version;
	uint64_t ends_ns;  // of its time to live, CLOCK_MONOTONIC; UINT64_MAX: never
	struct value *value;
	uint32_t bucket_len, key_len;
	uint8_t name[];  // bucket, key
};
struct stripe {
	struct spinlock lock;
	unsigned bits;           // of chains
	struct entry **chains;   // NULL: none yet
	uint64_t n, writes, mortal;  // entries, versions given, entries that end
	uint64_t swept;          // the chain that was looked at last
};
struct memory {
	struct link_store store;
	struct stripe stripes[STRIPES];
	_Alignas(64) uint8_t secret[XXH3_SECRET_SIZE_MIN];
};
struct part {
	struct link_part part;
	VEC(struct link_key)
	keys;
	struct buf text;  // of the keys
};
static struct memory *memory_of(struct link_part *p)
{
	return CONTAINER_OF(p->store, struct memory, store);
}

// ---- bytes ----------------------------------------------------------------------------------------------------------------------------------

static bool charge(struct link_host *h, uint64_t n)
{
	if (__atomic_add_fetch(&h->memory_used, n, __ATOMIC_RELAXED) <= h->memory_bytes)
		return true;
	__atomic_sub_fetch(&h->memory_used, n, __ATOMIC_RELAXED);
	return false;
}

static void uncharge(struct link_host *h, uint64_t n)
{
	__atomic_sub_fetch(&h->memory_used, n, __ATOMIC_RELAXED);
}

static void value_unref(struct link_host *h, struct value *v)
{
	if (v && __atomic_sub_fetch(&v->refs, 1, __ATOMIC_ACQ_REL) == 0) {
		uncharge(h, sizeof *v + v->cap);
		mem_free(v);
	}
}

// NULL: full, or no memory.
static struct value *value_new(struct link_host *h, struct slice bytes)
{
	uint32_t cap = (uint32_t)max_u64(bytes.len, LINK_COUNT_MAX);
	struct value *v = NULL;
	if (!charge(h, sizeof *v + cap))
		return NULL;
	if (!(v = mem_alloc(sizeof *v + cap))) {
		uncharge(h, sizeof *v + cap);
		return NULL;
	}
	*v = (struct value){.refs = 1, .len = (uint32_t)bytes.len, .cap = cap};
	if (bytes.len)
		memcpy(v->bytes, bytes.ptr, bytes.len);
	return v;
}

// ---- entries, under the stripe's lock -------------------------------------------------------------------------------------------------------

static uint64_t place_of(const struct entry *x)
{
	return x->hash >> (64 - PLACE_BITS);
}

static struct slice bucket_of(const struct entry *x)
{
	return slice_of(x->name, x->bucket_len);
}

static struct slice key_of(const struct entry *x)
{
	return slice_of(x->name + x->bucket_len, x->key_len);
}

static uint64_t hash_of(const struct memory *m, struct slice bucket, struct slice key)
{
	uint64_t b = XXH3_64bits_withSecret(bucket.ptr, bucket.len, m->secret, sizeof m->secret);
	return XXH3_64bits_withSecret(key.ptr, key.len, m->secret, sizeof m->secret) + b * 0x9e3779b97f4a7c15ull;
}

static uint64_t chain_of(uint64_t hash, unsigned bits)
{
	return hash << STRIPE_BITS >> (64 - bits);
}

static void entry_free(struct link_host *h, struct stripe *t, struct entry **at)
{
	struct entry *x = *at;
	*at = x->next;
	t->n--;
	t->mortal -= x->ends_ns != UINT64_MAX;
	value_unref(h, x->value);
	uncharge(h, sizeof *x + x->bucket_len + x->key_len);
	mem_free(x);
}

static void sweep(struct link_host *h, struct stripe *t, uint64_t now)
{
	if (!t->mortal)
		return;
	t->swept = (t->swept + 1) & ((UINT64_C(1) << t->bits) - 1);
	for (struct entry **at = &t->chains[t->swept]; *at;) {
		if ((*at)->ends_ns <= now)
			entry_free(h, t, at);
		else
			at = &(*at)->next;
	}
}

// Where the key is, or would be: in the order of hashes. What has ended is taken out on the way.
static struct entry **find(struct link_host *h, struct stripe *t, uint64_t hash, struct slice bucket, struct slice key, uint64_t now)
{
	struct entry **at = &t->chains[chain_of(hash, t->bits)];
	while (*at && (*at)->hash <= hash) {
		if (UNLIKELY((*at)->ends_ns <= now)) {
			entry_free(h, t, at);
			continue;
		}
		if ((*at)->hash == hash && slice_eq(key_of(*at), key) && slice_eq(bucket_of(*at), bucket))
			return at;
		at = &(*at)->next;
	}
	return at;
}

static bool is_it(struct entry **at, uint64_t hash, struct slice bucket, struct slice key)
{
	return *at && (*at)->hash == hash && slice_eq(key_of(*at), key) && slice_eq(bucket_of(*at), bucket);
}

// Chains twice as many: each goes apart into two that follow each other. Without memory they stay as they are, and grow long.
static void grow(struct stripe *t)
{
	unsigned bits = t->chains ? t->bits + 1 : FIRST_BITS;
	if (bits > MOST_BITS)
		return;
	struct entry **more = mem_zalloc(sizeof(*more) << bits);
	if (!more)
		return;
	for (uint64_t i = 0; t->chains && i < UINT64_C(1) << t->bits; i++) {
		struct entry **ends[] = {&more[2 * i], &more[2 * i + 1]};
		for (struct entry *x = t->chains[i]; x; x = x->next) {
			unsigned half = chain_of(x->hash, bits) & 1;
			*ends[half] = x;
			ends[half] = &x->next;
		}
		*ends[0] = *ends[1] = NULL;
	}
	mem_free(t->chains);
	t->chains = more;
	t->bits = bits;
}

static bool has_room(struct stripe *t)
{
	if (!t->chains || t->n >= UINT64_C(2) << t->bits)
		grow(t);
	return t->chains != NULL;
}

// At *at, which find gave for it. Takes the value over.
static bool entry_new(struct link_host *h, struct stripe *t, struct entry **at, uint64_t hash, const struct link_op *op, struct value *v)
{
	struct entry *x = NULL;
	size_t size = sizeof *x + op->bucket.len + op->key.len;
	if (!charge(h, size))
		return false;
	if (!(x = mem_alloc(size))) {
		uncharge(h, size);
		return false;
	}
	*x = (struct entry){*at, hash, ++t->writes, UINT64_MAX, v, (uint32_t)op->bucket.len, (uint32_t)op->key.len};
	memcpy(x->name, op->bucket.ptr, op->bucket.len);
	if (op->key.len)
		memcpy(x->name + op->bucket.len, op->key.ptr, op->key.len);
	*at = x;
	t->n++;
	return true;
}

static void set_end(struct stripe *t, struct entry *x, uint64_t ends_ns)
{
	t->mortal -= x->ends_ns != UINT64_MAX;
	x->ends_ns = ends_ns;
	t->mortal += x->ends_ns != UINT64_MAX;
}

// ---- operations -----------------------------------------------------------------------------------------------------------------------------

static void is_full(struct link_op *op, struct link_host *h)
{
	link_op_fail(op, LINK_REFUSED, "the stores in memory are full: they may hold %llu bytes", (unsigned long long)h->memory_bytes);
}

static void get(struct link_host *h, struct stripe *t, uint64_t hash, struct link_op *op, uint64_t now)
{
	struct value *v = NULL;
	spinlock_lock(&t->lock);
	struct entry **at = t->chains ? find(h, t, hash, op->bucket, op->key, now) : NULL;
	if (at && is_it(at, hash, op->bucket, op->key)) {
		v = (*at)->value;
		__atomic_add_fetch(&v->refs, 1, __ATOMIC_RELAXED);
		op->ret_version = (struct link_version){{(*at)->version}};
		op->ret_ttl_ms = (*at)->ends_ns == UINT64_MAX ? 0 : ((*at)->ends_ns - now + MILLISECOND - 1) / MILLISECOND;
	}
	spinlock_unlock(&t->lock);
	op->found = v != NULL;
	op->ret_value = v ? slice_of(v->bytes, v->len) : slice_of(NULL, 0);
	link_op_done(op, LINK_OK);
	value_unref(h, v);
}

static void exists(struct link_host *h, struct stripe *t, uint64_t hash, struct link_op *op, uint64_t now)
{
	spinlock_lock(&t->lock);
	op->found = t->chains && is_it(find(h, t, hash, op->bucket, op->key, now), hash, op->bucket, op->key);
	spinlock_unlock(&t->lock);
	link_op_done(op, LINK_OK);
}

static void delete(struct link_host *h, struct stripe *t, uint64_t hash, struct link_op *op, uint64_t now)
{
	spinlock_lock(&t->lock);
	struct entry **at = t->chains ? find(h, t, hash, op->bucket, op->key, now) : NULL;
	if (at && is_it(at, hash, op->bucket, op->key))
		entry_free(h, t, at);
	if (t->chains)
		sweep(h, t, now);
	spinlock_unlock(&t->lock);
	link_op_done(op, LINK_OK);
}

// SET and SWAP.
static void set(struct link_host *h, struct stripe *t, uint64_t hash, struct link_op *op, uint64_t now)
{
	struct value *v = value_new(h, op->value), *old = v;
	bool stale = false, ok = false;
	spinlock_lock(&t->lock);
	if (v && has_room(t)) {
		struct entry **at = find(h, t, hash, op->bucket, op->key, now);
		bool there = is_it(at, hash, op->bucket, op->key);
		stale = op->kind == LINK_SWAP && op->version.words[0] != (there ? (*at)->version : 0);
		ok = !stale && (there || entry_new(h, t, at, hash, op, NULL));
		if (ok) {
			old = (*at)->value;
			(*at)->value = v;
			if (there)
				(*at)->version = ++t->writes;
			set_end(t, *at, op->ttl_ms ? sat_add_u64(now, sat_mul_u64(op->ttl_ms, MILLISECOND)) : UINT64_MAX);
			sweep(h, t, now);
		}
	}
	spinlock_unlock(&t->lock);
	value_unref(h, old);
	if (ok || stale)
		link_op_done(op, stale ? LINK_STALE : LINK_OK);
	else
		is_full(op, h);
}

// The new text of a counter into its entry. false: no room.
static bool put_count(struct link_host *h, struct stripe *t, struct entry *x, struct slice text)
{
	if (x->value && __atomic_load_n(&x->value->refs, __ATOMIC_ACQUIRE) == 1 && x->value->cap >= text.len) {
		memcpy(x->value->bytes, text.ptr, text.len);
		x->value->len = (uint32_t)text.len;
	} else {
		struct value *v = value_new(h, text);
		if (!v)
			return false;
		value_unref(h, x->value);
		x->value = v;
	}
	return true;
}

static void increment(struct link_host *h, struct stripe *t, uint64_t hash, struct link_op *op, uint64_t now)
{
	char text[LINK_COUNT_MAX];
	size_t n = 0;
	bool ok = false;
	spinlock_lock(&t->lock);
	if (has_room(t)) {
		struct entry **at = find(h, t, hash, op->bucket, op->key, now);
		bool there = is_it(at, hash, op->bucket, op->key);
		n = link__count(there ? slice_of((*at)->value->bytes, (*at)->value->len) : SLICE_LIT("0"), op->delta, &op->ret_number, text, op->ret_text);
		ok = n && (there || entry_new(h, t, at, hash, op, NULL));
		if (ok && !put_count(h, t, *at, slice_of(text, n))) {
			ok = false;
			if (!there)
				entry_free(h, t, at);
		} else if (ok && there) {
			(*at)->version = ++t->writes;
		}
	}
	spinlock_unlock(&t->lock);
	if (ok)
		link_op_done(op, LINK_OK);
	else if (n || !op->ret_text[0])
		is_full(op, h);
	else
		link_op_done(op, LINK_REFUSED);
}

// ---- lists ----------------------------------------------------------------------------------------------------------------------------------

struct walk {
	struct part *part;
	struct link_op *op;
	uint64_t now, from;    // place
	uint64_t last;         // place of the key that was taken last
	uint32_t looked;
	bool failed, is_over;  // is_over: the page ends before ret_cursor
};

static bool take_key(struct walk *w, const struct entry *x)
{
	struct link_key k = {{NULL, x->bucket_len}, {NULL, x->key_len}};  // where they lie is seen when all are there
	return buf_put_slice(&w->part->text, bucket_of(x)) && buf_put_slice(&w->part->text, key_of(x)) && VEC_PUSH(NULL, &w->part->keys, k, UINT32_MAX);
}

// Under the stripe's lock.
static void walk_chain(struct walk *w, const struct entry *x)
{
	for (; x && !w->is_over && !w->failed; x = x->next) {
		uint64_t place = place_of(x);
		if (place < w->from)
			continue;
		bool is_full = w->part->keys.len >= w->op->limit || w->part->text.len >= LINK_PAGE_BYTES || w->looked >= LOOK_MAX;
		if (is_full && place != w->last) {
			w->op->ret_cursor = place;
			w->is_over = true;
			return;
		}
		w->last = place;
		w->looked++;
		if (x->ends_ns > w->now && (w->op->all || slice_eq(bucket_of(x), w->op->bucket)))
			w->failed = !take_key(w, x);
	}
}

static void list(struct memory *m, struct part *p, struct link_op *op, uint64_t now)
{
	struct walk w = {.part = p, .op = op, .now = now, .from = op->cursor, .last = UINT64_MAX};
	uint64_t first = op->cursor << (64 - PLACE_BITS);
	p->keys.len = 0;
	buf_clear(&p->text);
	op->ret_cursor = 0;
	for (uint64_t i = first >> (64 - STRIPE_BITS); i < STRIPES && !w.is_over && !w.failed; i++) {
		struct stripe *t = &m->stripes[i];
		spinlock_lock(&t->lock);
		uint64_t c = !t->chains || i != first >> (64 - STRIPE_BITS) ? 0 : chain_of(first, t->bits);
		for (; t->chains && c < UINT64_C(1) << t->bits && !w.is_over && !w.failed; c++)
			walk_chain(&w, t->chains[c]);
		spinlock_unlock(&t->lock);
	}
	const uint8_t *at = p->text.ptr;
	for (uint32_t i = 0; i < p->keys.len; i++) {
		struct link_key *k = &p->keys.ptr[i];
		k->bucket.ptr = at;
		k->key.ptr = at + k->bucket.len;
		at = k->key.ptr + k->key.len;
	}
	op->ret_keys = p->keys.ptr;
	op->n_ret_keys = p->keys.len;
	op->ret_looked = w.looked;
	if (w.failed)
		link_op_fail(op, LINK_REFUSED, "the host is out of memory");
	else
		link_op_done(op, LINK_OK);
	if (p->text.cap > KEPT_PAGE) {
		buf_release(&p->text);
		VEC_FREE(&p->keys);
	}
}

// ---- the store ------------------------------------------------------------------------------------------------------------------------------

static void submit(struct link_part *part, struct link_op *op)
{
	struct memory *m = memory_of(part);
	struct link_host *h = part->store->host;
	uint64_t now = loop_now_ns(part->loop);
	if (op->kind == LINK_LIST) {
		list(m, CONTAINER_OF(part, struct part, part), op, now);
		return;
	}
	if (op->kind == LINK_CHECK) {
		op->ret_caps = part->store->provider->caps;
		link_op_done(op, LINK_OK);
		return;
	}
	uint64_t hash = hash_of(m, op->bucket, op->key);
	struct stripe *t = &m->stripes[hash >> (64 - STRIPE_BITS)];
	switch (op->kind) {
	case LINK_GET:
		get(h, t, hash, op, now);
		break;
	case LINK_EXISTS:
		exists(h, t, hash, op, now);
		break;
	case LINK_DELETE:
		delete (h, t, hash, op, now);
		break;
	case LINK_INCREMENT:
		increment(h, t, hash, op, now);
		break;
	default:
		set(h, t, hash, op, now);
	}
}

static bool cancel(struct link_part *p, struct link_op *op)
{
	return false;  // all are answered before submit returns
}

static bool open(struct link_store *s, struct err *e)
{
	struct memory *m = CONTAINER_OF(s, struct memory, store);
	sys_random(m->secret, sizeof m->secret);
	return true;
}

static void close(struct link_store *s)
{
	struct memory *m = CONTAINER_OF(s, struct memory, store);
	for (unsigned i = 0; i < STRIPES; i++) {
		struct stripe *t = &m->stripes[i];
		for (uint64_t c = 0; t->chains && c < UINT64_C(1) << t->bits; c++)
			while (t->chains[c])
				entry_free(s->host, t, &t->chains[c]);
		mem_free(t->chains);
	}
}

static void part_close(struct link_part *part)
{
	struct part *p = CONTAINER_OF(part, struct part, part);
	VEC_FREE(&p->keys);
	buf_release(&p->text);
}

const struct link_store_ops link__memory_ops = {
	.store_size = sizeof(struct memory),
	.part_size = sizeof(struct part),
	.open = open,
	.close = close,
	.part_close = part_close,
	.submit = submit,
	.cancel = cancel,
};
