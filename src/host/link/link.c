// Links: an app's names for stores, and how a change of what lies behind one reaches each shard.
//
// A shard: open → noting (writes are noted) → holding (calls wait in line, those under way end) → open, behind another store or the same. The main thread writes
// a wish (link__wish), the shard takes it up on its loop (take_up), and acknowledges when what the wish waits for has ended (link__look).
#include "link_int.h"

enum { NAME_MAX_BYTES = 63, BUCKETS_MAX = 1000 };

// ---- a wish ---------------------------------------------------------------------------------------------------------------------------------

static void move_to(struct link_shard *s, struct link_store *store, uint64_t epoch)
{
	if (s->store == store && s->epoch == epoch)
		return;
	s->store = store;
	s->epoch = epoch;
	s->part = NULL;
}

static void set_noting(struct link_shard *s, bool noting)
{
	if (noting && !s->noting)
		s->generation ^= 1;  // those that began before are waited for: of the one before them none is left
	s->noting = noting;
}

static void set_holding(struct link_shard *s, bool holding)
{
	bool was = s->holding;
	uint64_t now = was != holding ? loop_now_fresh_ns(s->loop) : 0;
	s->holding = holding;
	if (holding && !was) {
		s->held_ns = now;
		if (s->part && s->store->provider->ops->recall)
			s->store->provider->ops->recall(s->part);
	}
	if (was && !holding) {
		s->pause_ns = now - s->held_ns;
		link__line_go(s);
	}
}

// On the shard's loop, between two calls.
static void take_up(struct loop_remote *r)
{
	struct link_shard *s = CONTAINER_OF(r, struct link_shard, take_up);
	spinlock_lock(&s->lock);
	struct link__wish w = s->wish;
	s->posted = false;
	spinlock_unlock(&s->lock);
	s->serial = w.serial;
	s->when = w.holding ? LINK__ALL_ENDED : w.noting && !s->noting ? LINK__OLD_ENDED
																   : LINK__AT_ONCE;
	set_noting(s, w.noting);
	move_to(s, w.store, w.epoch);
	set_holding(s, w.holding);
	link__look(s);
	link__unref(s->link);
}

void link__wish(struct link *l, struct link__wish w)
{
	w.serial = ++l->serial;
	for (unsigned i = 0; i < l->n_shards; i++) {
		struct link_shard *s = &l->shards[i];
		spinlock_lock(&s->lock);
		s->wish = w;
		bool post = !s->posted;
		s->posted = true;
		if (post) {
			link__ref(l);  // until it is taken up
			loop_post_remote(s->gone ? l->host->loops[0] : s->loop, &s->take_up);  // within the lock: the thread may be ending
		}
		spinlock_unlock(&s->lock);
	}
}

bool link__is_there(const struct link *l)
{
	for (unsigned i = 0; i < l->n_shards; i++) {
		struct link_shard *s = UNCONST(&l->shards[i]);
		spinlock_lock(&s->lock);
		bool is = s->acknowledged == l->serial;
		spinlock_unlock(&s->lock);
		if (!is)
			return false;
	}
	return true;
}

static void on_look(struct loop_remote *r)
{
	struct link *l = CONTAINER_OF(r, struct link, look);
	__atomic_store_n(&l->looking, false, __ATOMIC_RELEASE);
	if (l->changed)
		l->changed(l);
	link__unref(l);
}

// ---- links ----------------------------------------------------------------------------------------------------------------------------------

static bool is_name(struct slice s)
{
	bool ok = s.len > 0 && s.len <= NAME_MAX_BYTES && s.ptr[0] >= 'a' && s.ptr[0] <= 'z';
	for (size_t i = 0; ok && i < s.len; i++)
		ok = (s.ptr[i] >= 'a' && s.ptr[i] <= 'z') || (s.ptr[i] >= '0' && s.ptr[i] <= '9') || s.ptr[i] == '-';
	return ok;
}

bool link_config_check(const struct link_config *c, struct err *e)
{
	struct slice tenant = c->tenant.len ? c->tenant : SLICE_LIT("default");
	if (!is_name(tenant) || !is_name(c->app) || !is_name(c->name))
		return err_set(e, ERR_USAGE, "'%.*s', '%.*s', '%.*s': names of tenants, apps and links are [a-z][a-z0-9-]{0,62}", SLICE_ARGS(tenant), SLICE_ARGS(c->app),
			SLICE_ARGS(c->name));
	if (c->target->kind != LINK_TARGET_STORE)
		return err_set(e, ERR_USAGE, "link %.*s: '%.*s' is no store", SLICE_ARGS(c->name), SLICE_ARGS(c->target->text));
	if (c->space && c->space->len > LINK_SPACE_MAX)
		return err_set(e, ERR_USAGE, "link %.*s: a namespace has at most %d bytes", SLICE_ARGS(c->name), LINK_SPACE_MAX);
	if (c->n_buckets > BUCKETS_MAX)
		return err_set(e, ERR_USAGE, "link %.*s: more than %d buckets", SLICE_ARGS(c->name), BUCKETS_MAX);
	if (c->n_buckets > 1 && c->space && !c->space->len)
		return err_set(e, ERR_USAGE, "link %.*s: in the namespace \"\" keys are without bucket: it can have one only", SLICE_ARGS(c->name));
	for (uint32_t i = 0; i < c->n_buckets; i++)
		if (!c->buckets[i].len || c->buckets[i].len > LINK_KEY_MAX)
			return err_set(e, ERR_USAGE, "link %.*s: the name of a bucket has 1 to %llu bytes", SLICE_ARGS(c->name), (unsigned long long)LINK_KEY_MAX);
	return true;
}

static bool set_space(struct link *l, const struct slice *given, struct err *e)
{
	struct buf text = {0};
	struct slice own = given ? *given : slice_of("", 0);
	if (!given) {
		l->space = (struct link__space){.parts = {l->tenant, l->app}, .n_parts = 2};
		buf_printf(&text, "%.*s/%.*s", SLICE_ARGS(l->tenant), SLICE_ARGS(l->app));
	} else if (own.len) {
		if (!slice_dup(&l->arena, own, &l->space.parts[0]))
			return err_nomem(e);
		l->space.n_parts = 1;
		link__name_put_part(&text, own, "-_.:");  // no '/': not TENANT/APP of another
	}
	bool ok = !text.failed && slice_dup(&l->arena, buf_view(&text), &l->space.text);
	buf_release(&text);
	return ok || err_nomem(e);
}

static bool set_buckets(struct link *l, const struct link_config *c, struct err *e)
{
	static const struct slice standard[] = {{(const uint8_t *)"default", 7}};
	const struct slice *from = c->n_buckets ? c->buckets : standard;
	uint32_t n = c->n_buckets ? c->n_buckets : 1;
	struct slice *list = ARENA_ARRAY(&l->arena, struct slice, n);
	if (!list)
		return err_nomem(e);
	for (uint32_t i = 0; i < n; i++)
		if (!slice_dup(&l->arena, from[i], &list[i]))
			return err_nomem(e);
	l->buckets = list;
	l->n_buckets = n;
	return true;
}

static bool fill(struct link *l, const struct link_config *c, struct err *e)
{
	if (!link_config_check(c, e))
		return false;
	if (!slice_dup(&l->arena, c->tenant.len ? c->tenant : SLICE_LIT("default"), &l->tenant) || !slice_dup(&l->arena, c->app, &l->app) ||
		!slice_dup(&l->arena, c->name, &l->name))
		return err_nomem(e);
	return set_space(l, c->space, e) && set_buckets(l, c, e) && link__store_open(l->host, c->target, &l->space, l->pool, &l->store, e);
}

void link__set_past(struct link *l, struct link__past past)
{
	struct loop *loop = l->host->loops[0];
	if (l->past.store)
		link__store_unref(l->past.store);
	l->past = past;
	loop_timer_cancel(loop, &l->forget);
	if (past.store && l->keep_old_ns)
		loop_timer_set(loop, &l->forget, sat_add_u64(loop_now_fresh_ns(loop), l->keep_old_ns));
}

static void on_forget(struct loop_timer *t)
{
	link__set_past(CONTAINER_OF(t, struct link, forget), (struct link__past){0});
}

static void free_link(struct link__body *b)
{
	struct link *l = CONTAINER_OF(b, struct link, body);
	link__shadow_free(l);
	for (unsigned i = 0; i < l->n_shards; i++)
		link__notes_release(&l->shards[i].notes);
	link__set_past(l, (struct link__past){0});
	spinlock_lock(&l->host->lock);
	struct link **at = &l->host->first_link;
	while (*at != l)
		at = &(*at)->next_link;
	*at = l->next_link;
	spinlock_unlock(&l->host->lock);
	if (l->store) {
		link__store_pool(l->store);
		link__store_unref(l->store);
	}
	l->host->links--;
	arena_release(&l->arena);
	mem_free(l);
}

bool link_new(struct link_host *h, const struct link_config *c, struct link **ret, struct err *e)
{
	struct link *l = mem_zalloc(sizeof *l + h->n_loops * sizeof *l->shards);
	if (!l)
		return err_nomem(e);
	*l = (struct link){.host = h, .refs = 1, .epoch = c->epoch ? c->epoch : 1, .n_shards = h->n_loops, .look.fn = on_look, .body.free = free_link};
	l->pool = c->pool ? c->pool : LINK_POOL;
	l->deadline_ns = c->deadline_ns ? c->deadline_ns : LINK_DEADLINE_NS;
	seam_provider_init(&l->seam, &link__face_ops);
	arena_init(&l->arena, 0);
	l->keep_old_ns = c->keep_old_ns;
	l->forget.fn = on_forget;
	h->links++;
	for (unsigned i = 0; i < l->n_shards; i++) {
		l->shards[i] = (struct link_shard){.link = l, .loop = h->loops[i], .thread = i, .epoch = l->epoch, .take_up.fn = take_up};
		l->shards[i].take_up_shadow.fn = link__shadow_take_up;
		l->shards[i].last = &l->shards[i].first;
		link__notes_init(&l->shards[i].notes);
	}
	bool ok = fill(l, c, e);
	spinlock_lock(&h->lock);  // whoever finds it in the list finds its names
	l->next_link = h->first_link;
	h->first_link = l;
	spinlock_unlock(&h->lock);
	if (!ok) {
		free_link(&l->body);
		return false;
	}
	for (unsigned i = 0; i < l->n_shards; i++)
		l->shards[i].store = l->store;
	link__store_pool(l->store);
	*ret = l;
	return true;
}

void link_unref(struct link *l)
{
	if (l)
		seam_provider_unref(&l->seam, SEAM_HELD_BY_MAKER);
}

// ---- is it there? ---------------------------------------------------------------------------------------------------------------------------

struct question {
	struct link_op op;
	struct link *link;
	void (*done)(void *ctx, const struct err *e);
	void *ctx;
};

static void on_asked(struct link_op *op)
{
	struct question *q = CONTAINER_OF(op, struct question, op);
	struct link *l = q->link;
	struct err e = {0};
	if (op->code != LINK_OK) {
		err_set(&e, ERR_ENV, "link %.*s: %.*s: %s", SLICE_ARGS(l->name), SLICE_ARGS(l->store->target.text), op->ret_text);
		err_hint(&e, "`start = \"lazy\"` starts without it: calls fail until it is there");
	}
	q->done(q->ctx, &e);
	mem_free(q);
	link__unref(l);
}

void link_ask(struct link *l, void (*done)(void *ctx, const struct err *e), void *ctx)
{
	struct question *q = mem_zalloc(sizeof *q);
	struct err e = {0};
	if (!q) {
		err_nomem(&e);
		done(ctx, &e);
		return;
	}
	link__ref(l);
	*q = (struct question){.link = l, .done = done, .ctx = ctx};
	q->op = (struct link_op){.kind = LINK_CHECK, .deadline_ns = sat_add_u64(loop_now_fresh_ns(l->host->loops[0]), l->deadline_ns), .done = on_asked};
	link__store_submit(l->store, 0, &q->op);
}

bool link_tell_of(struct link_host *h, struct slice app, struct slice name, struct link_facts *ret)
{
	spinlock_lock(&h->lock);
	const struct link *l = h->first_link;
	while (l && !(slice_eq(l->app, app) && slice_eq(l->name, name)))
		l = l->next_link;
	if (l)
		link_tell(l, ret);
	spinlock_unlock(&h->lock);
	return l != NULL;
}

void link_tell(const struct link *l, struct link_facts *ret)
{
	*ret = (struct link_facts){.state = "open"};
	for (unsigned i = 0; i < l->n_shards; i++) {
		const struct link_shard *s = &l->shards[i];
		ret->calls += __atomic_load_n(&s->calls, __ATOMIC_RELAXED);
		ret->errors += __atomic_load_n(&s->errors, __ATOMIC_RELAXED);
		ret->call_ns += __atomic_load_n(&s->call_ns, __ATOMIC_RELAXED);
		ret->in_flight += __atomic_load_n(&s->in_flight[0], __ATOMIC_RELAXED) + __atomic_load_n(&s->in_flight[1], __ATOMIC_RELAXED);
		ret->waiting += __atomic_load_n(&s->waiting, __ATOMIC_RELAXED);
		if (__atomic_load_n(&s->holding, __ATOMIC_RELAXED))
			ret->state = "holding";
		else if (__atomic_load_n(&s->noting, __ATOMIC_RELAXED) && ret->state[0] == 'o')
			ret->state = "noting";
	}
	link__shadow_tell(l, ret);
}
