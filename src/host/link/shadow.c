// A share of the calls that only read, asked of another store as well (contract §3, --shadow): how it would answer, before anything is changed.
//
// 1. The guest has its answer first: what is asked of the other store is posted behind what wakes the guest, and nobody waits for it.
// 2. At most SHADOWS_MAX are under way on a thread; what comes beyond them is not asked, and counted.
// 3. A shadow is held by its link, by each shard that has taken it up and by each call under way; the last one has it buried.
#include "link_int.h"

enum { SHADOWS_MAX = 64 };

struct shadow_call {
	struct link_op op;
	struct loop_job begin;
	struct shadow_call *next, **prev;
	struct link_shard *shard;
	struct link__shadow *shadow;
	bool found, is_out;
	struct hash128 value;
	uint64_t begun_ns, guest_ns;
	uint8_t bytes[];  // bucket, key
};

static struct hash128 hash_of(struct slice value, bool found)
{
	return found ? hash_128(value) : (struct hash128){0};
}

static void free_shadow(struct link__body *b)
{
	struct link__shadow *x = CONTAINER_OF(b, struct link__shadow, body);
	link__store_unref(x->store);
	mem_free(x);
}

static void unref(struct link_host *h, struct link__shadow *x)
{
	if (x && __atomic_sub_fetch(&x->refs, 1, __ATOMIC_ACQ_REL) == 0)
		link__bury(h, &x->body);
}

// ---- calls --------------------------------------------------------------------------------------------------------------------------------

static void end(struct shadow_call *c)
{
	struct link_shard *s = c->shard;
	*c->prev = c->next;
	if (c->next)
		c->next->prev = c->prev;
	s->n_shadow_calls--;
	unref(s->link->host, c->shadow);
	link__unref(s->link);
	mem_free(c);
}

static void count(uint64_t *at, uint64_t n)
{
	__atomic_store_n(at, *at + n, __ATOMIC_RELAXED);  // one thread writes
}

static void on_answered(struct link_op *op)
{
	struct shadow_call *c = CONTAINER_OF(op, struct shadow_call, op);
	struct link__shadow_counts *n = &c->shadow->by_thread[c->shard->thread];
	struct hash128 value = hash_of(op->ret_value, op->found && op->kind == LINK_GET);
	bool same = op->found == c->found && value.low == c->value.low && value.high == c->value.high;
	count(op->code != LINK_OK ? &n->failed : same ? &n->equal
												  : &n->different,
		1);
	count(&n->guest_ns, c->guest_ns);
	count(&n->shadow_ns, loop_now_fresh_ns(c->shard->loop) - c->begun_ns);
	end(c);
}

static void on_begin(struct loop_job *j)
{
	struct shadow_call *c = CONTAINER_OF(j, struct shadow_call, begin);
	c->begun_ns = loop_now_fresh_ns(c->shard->loop);
	c->op.deadline_ns = sat_add_u64(c->begun_ns, min_u64(c->shard->link->deadline_ns, LINK_DEADLINE_NS));
	c->is_out = true;
	link__store_submit(c->shadow->store, c->shard->thread, &c->op);
}

static void shadow_call(struct link_shard *s, const struct link_op *op, uint64_t guest_ns)
{
	struct link__shadow *x = s->shadow;
	if ((op->kind != LINK_GET && op->kind != LINK_EXISTS) || op->code != LINK_OK || (s->shadow_share += x->percent) < 100)
		return;
	s->shadow_share -= 100;
	struct shadow_call *c = s->n_shadow_calls < SHADOWS_MAX ? mem_zalloc(sizeof *c + op->bucket.len + op->key.len) : NULL;
	if (!c) {
		count(&x->by_thread[s->thread].left_out, 1);
		return;
	}
	memcpy(c->bytes, op->bucket.ptr, op->bucket.len);
	if (op->key.len)
		memcpy(c->bytes + op->bucket.len, op->key.ptr, op->key.len);
	c->op = (struct link_op){.kind = op->kind, .bucket = slice_of(c->bytes, op->bucket.len), .done = on_answered};
	c->op.key = slice_of(c->bytes + op->bucket.len, op->key.len);
	c->found = op->found;
	c->value = hash_of(op->ret_value, op->found && op->kind == LINK_GET);
	c->guest_ns = guest_ns;
	c->shard = s;
	c->shadow = x;
	__atomic_add_fetch(&x->refs, 1, __ATOMIC_RELAXED);
	link__ref(s->link);
	c->next = s->shadow_calls;
	c->prev = &s->shadow_calls;
	if (c->next)
		c->next->prev = &c->next;
	s->shadow_calls = c;
	s->n_shadow_calls++;
	c->begin.fn = on_begin;
	loop_post(s->loop, &c->begin);
}

static void stop(struct link_shard *s)
{
	while (s->shadow_calls) {
		struct shadow_call *c = s->shadow_calls;
		loop_job_cancel(&c->begin);
		if (c->is_out)
			link__cancel(&c->op);
		end(c);
	}
}

// ---- begun, and ended -----------------------------------------------------------------------------------------------------------------------

static const struct link__shadow_ops ops = {shadow_call, stop};

// On the shard's loop.
void link__shadow_take_up(struct loop_remote *r)
{
	struct link_shard *s = CONTAINER_OF(r, struct link_shard, take_up_shadow);
	struct link__shadow *before = s->shadow;
	spinlock_lock(&s->lock);
	s->shadow = s->next_shadow;
	s->shadow_ops = &ops;
	s->next_shadow = NULL;
	s->shadow_is_posted = false;
	spinlock_unlock(&s->lock);
	unref(s->link->host, before);
	link__unref(s->link);
}

// `x` is the link's (counted), NULL: none from here on.
static void set(struct link *l, struct link__shadow *x)
{
	struct link_host *h = l->host;
	struct link__shadow *before = l->shadow;
	spinlock_lock(&h->lock);
	l->shadow = x;
	spinlock_unlock(&h->lock);
	for (unsigned i = 0; i < l->n_shards; i++) {
		struct link_shard *s = &l->shards[i];
		if (x)
			__atomic_add_fetch(&x->refs, 1, __ATOMIC_RELAXED);
		spinlock_lock(&s->lock);
		struct link__shadow *unseen = s->next_shadow;
		bool post = !s->shadow_is_posted;
		s->next_shadow = x;
		s->shadow_is_posted = true;
		spinlock_unlock(&s->lock);
		unref(h, unseen);
		if (!post)
			continue;
		link__ref(l);
		loop_post_remote(s->loop, &s->take_up_shadow);
	}
	unref(h, before);
}

void link__shadow_free(struct link *l)
{
	for (unsigned i = 0; i < l->n_shards; i++) {
		unref(l->host, l->shards[i].next_shadow);
		unref(l->host, l->shards[i].shadow);
	}
	unref(l->host, l->shadow);
}

void link__shadow_end(struct link *l)
{
	if (l->shadow)
		set(l, NULL);
}

bool link_shadow(struct link *l, const struct link_target *t, unsigned percent, struct err *e)
{
	struct link_host *h = l->host;
	struct link_store *store;
	if (percent == 0) {
		link__shadow_end(l);
		return true;
	}
	if (t->kind != LINK_TARGET_STORE)
		return err_set(e, ERR_USAGE, "'%.*s' is no store", SLICE_ARGS(t->text));
	if (!link__store_open(h, t, &l->space, l->pool, &store, e))
		return false;
	struct link__shadow *x = mem_zalloc(sizeof *x + h->n_loops * sizeof x->by_thread[0]);
	if (!x || store == l->store) {
		link__store_unref(store);
		mem_free(x);
		return x ? err_set(e, ERR_ENV, "the target is the store that is in force") : err_nomem(e);
	}
	x->store = store;
	x->percent = percent;
	x->refs = 1;
	x->body.free = free_shadow;
	set(l, x);
	return true;
}

void link__shadow_tell(const struct link *l, struct link_facts *ret)
{
	const struct link__shadow *x = l->shadow;
	if (!x)
		return;
	snprintf(ret->shadow.target, sizeof ret->shadow.target, "%.*s", SLICE_ARGS(x->store->target.text));
	ret->shadow.percent = x->percent;
	for (unsigned i = 0; i < l->n_shards; i++) {
		const struct link__shadow_counts *n = &x->by_thread[i];
		ret->shadow.equal += __atomic_load_n(&n->equal, __ATOMIC_RELAXED);
		ret->shadow.different += __atomic_load_n(&n->different, __ATOMIC_RELAXED);
		ret->shadow.failed += __atomic_load_n(&n->failed, __ATOMIC_RELAXED);
		ret->shadow.left_out += __atomic_load_n(&n->left_out, __ATOMIC_RELAXED);
		ret->shadow.guest_ns += __atomic_load_n(&n->guest_ns, __ATOMIC_RELAXED);
		ret->shadow.shadow_ns += __atomic_load_n(&n->shadow_ns, __ATOMIC_RELAXED);
	}
}
