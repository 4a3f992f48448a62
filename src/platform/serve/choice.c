// What the requests of a service run in: one version, or two by a share of them (a new one is tried on some). Published by thread 0, taken up by each shard
// between two requests; those that run stay in the version that they began in.
//
//   serve__choice_publish ── offered, posted ──► on_take_up on each thread ── the last of them ──► acknowledged: `done` on thread 0
//
// 1. A choice is immutable. Shards hold the one that they have taken up; it holds its versions.
// 2. A shard has two stocks of slots, for the version that stays and the one that is tried. A slot whose version has left its stock goes when its last
//    request ends.
// 3. What still runs in a version that no choice names any more is ended when the time is over that was set for it (`ends_ns`).
// 4. A version of policy keep is the keeper's alone: other shards have it as their choice, and nothing in force. No requests are led to them any more by then.
// 5. Requests in the queue run in what is in force when their turn comes. Where nothing is any more (an empty choice: the service leaves) they came before that,
//    and run in what was: its choice and its stocks stay as `last` until the queue is empty, or the time of 3 is over.
#include "serve_int.h"

#include "sys/sys.h"

// ---- acknowledged --------------------------------------------------------------------------------------------------------------------------

static void on_acknowledged(struct loop_remote *r)
{
	struct serve_choice *c = CONTAINER_OF(r, struct serve_choice, acknowledged);
	void (*done)(void *ctx, const struct err *e) = c->done;
	void *ctx = c->ctx;
	struct err e = {0};
	serve__choice_unref(c);
	if (done)
		done(ctx, &e);
}

// A shard has taken it up, or was given another one before it did.
static void acknowledge(struct serve_process *p, struct serve_choice *c)
{
	if (__atomic_sub_fetch(&c->waiting, 1, __ATOMIC_ACQ_REL) == 0)
		loop_post_remote(p->threads[0].loop, &c->acknowledged);
}

// ---- on a shard ----------------------------------------------------------------------------------------------------------------------------

static struct serve_stock *stock_for(struct serve_shard *s, struct serve_version *v)
{
	struct serve_stock *stock = serve__stock_of(s, v);
	if (!stock) {
		stock = serve__stock_of(s, NULL);
		stock->version = v;
	}
	return stock;
}

// What runs in versions that have left is ended in time.
static void on_retire(struct loop_timer *t)
{
	struct serve_shard *s = CONTAINER_OF(t, struct serve_shard, retire_timer);
	uint64_t now = loop_now_ns(s->loop), next = UINT64_MAX;
	for (struct serve_request *c = s->running; c; c = c->list_next) {
		const struct serve_version *v = c->slot->version;
		if (serve__choice_has(s->choice, v))
			continue;
		uint64_t ends = __atomic_load_n(&v->ends_ns, __ATOMIC_RELAXED);
		if (ends <= now)
			serve__request_kill(c);
		else
			next = min_u64(next, ends);
	}
	if (s->last) {
		uint64_t ends = __atomic_load_n(&s->last->versions[0]->ends_ns, __ATOMIC_RELAXED);
		if (ends <= now)
			serve__queue_refuse(s);
		else
			next = min_u64(next, ends);
	}
	next = serve__relays_retire(s, now, next);
	loop_timer_set(s->loop, t, serve__triggers_retire(s, now, next));
}

static void take_up(struct serve_shard *s, struct serve_choice *c)
{
	struct serve_choice *before = s->choice;
	bool kept_before = s->keeps, is_another = before && before->versions[0] != c->versions[0];
	s->keeps = c->versions[0] && c->versions[0]->config->policy == SERVE_KEEP;
	bool has_any = c->versions[0] && (!s->keeps || s->index == SERVE_KEEPER);
	if (!has_any && s->queue_head) {
		if (!s->last) {
			s->last = before;
			before = NULL;
		}
	} else {
		serve__stocks_discard(s, c);
		serve__choice_forget_last(s);
	}
	s->choice = c;
	s->stable = has_any ? stock_for(s, c->versions[0]) : NULL;
	s->tried = has_any && c->versions[1] ? stock_for(s, c->versions[1]) : NULL;
	s->turn = 0;
	if (is_another) {  // it has not failed yet
		s->failures = 0;
		s->not_before_ns = 0;
	}
	s->retire_timer.fn = on_retire;
	loop_timer_set(s->loop, &s->retire_timer, loop_now_ns(s->loop));
	serve__choice_unref(before);
	if (s->open && s->keeps && !kept_before)
		serve__queue_rearm(s);
	if (s->open && kept_before && !s->keeps)
		serve__seekers_tell(s);  // there is no such instance to be had any more
}

// Of a service that came while its thread served.
static void open_late(struct serve_shard *s)
{
	s->comes = false;
	s->thread = &s->service->process->threads[s->index];
	s->vm = s->thread->vm;
	serve__queue_init(s);
	s->open = true;
}

void serve__choice_take_up(struct serve_shard *s)
{
	struct serve_choice *c = __atomic_exchange_n(&s->offered, NULL, __ATOMIC_ACQ_REL);
	if (!c)
		return;  // the shard was closed
	if (s->comes && !s->service->process->threads[s->index].closing)
		open_late(s);
	if (s->open)
		take_up(s, c);
	acknowledge(s->service->process, c);
	if (!s->open)
		serve__choice_unref(c);
	if (s->open) {
		serve__queue_wake(s);
		serve__slots_refill(s);
		serve__triggers_changed(s);
	}
}

// Between two requests.
static void on_take_up(struct loop_remote *r)
{
	serve__choice_take_up(CONTAINER_OF(r, struct serve_shard, take_up));
}

void serve__choice_open(struct serve_shard *s)
{
	struct serve_choice *c = s->service->choice;
	__atomic_add_fetch(&c->refs, 1, __ATOMIC_RELAXED);
	take_up(s, c);
}

void serve__choice_close(struct serve_shard *s)
{
	struct serve_choice *offered = __atomic_exchange_n(&s->offered, NULL, __ATOMIC_ACQ_REL);
	if (offered)
		acknowledge(s->service->process, offered);
	serve__choice_unref(offered);
	loop_timer_cancel(s->loop, &s->retire_timer);
	serve__stocks_discard(s, NULL);
	serve__choice_forget_last(s);
	serve__choice_unref(s->choice);
	s->choice = NULL;
}

// ---- published -----------------------------------------------------------------------------------------------------------------------------

void serve__choice_init(struct serve_choice *c, const struct serve_choice *like)
{
	*c = *like;
	c->refs = 1;
	c->acknowledged.fn = on_acknowledged;
	for (unsigned i = 0; i < ARRAY_LEN(c->versions); i++)
		if (c->versions[i])
			serve__version_ref(c->versions[i], VERSION_IN_CHOICE);
}

bool serve__choice_new(const struct serve_choice *like, struct serve_choice **ret)
{
	struct serve_choice *c = serve__choice_alloc();
	if (!c)
		return false;
	serve__choice_init(c, like);
	*ret = c;
	return true;
}

void serve__choice_publish(struct serve_service *service, struct serve_choice *c)
{
	struct serve_process *p = service->process;
	c->waiting = p->n_threads;
	__atomic_add_fetch(&c->refs, p->n_threads + 1, __ATOMIC_RELAXED);  // one that it is acknowledged with
	for (unsigned i = 0; i < p->n_threads; i++) {
		struct serve_shard *s = &service->shards[i];
		struct serve_choice *before = __atomic_exchange_n(&s->offered, c, __ATOMIC_ACQ_REL);
		if (before) {  // nobody saw it; the shard is told already
			acknowledge(p, before);
			serve__choice_unref(before);
		} else if (p->threads[i].gone) {
			serve__choice_take_up(s);
		} else {
			loop_post_remote(s->loop, &s->take_up);
		}
	}
	serve__choice_unref(service->choice);
	service->choice = c;
}

bool serve__choice_begin(struct serve_service *service, struct err *e)
{
	struct serve_choice like = {.versions = {service->version}};
	service->version->number = ++service->numbers;
	return serve__choice_new(&like, &service->choice) || err_nomem(e);
}

void serve__choice_forget(struct serve_service *service)
{
	serve__choice_unref(service->choice);
	service->choice = NULL;
	mem_free(service->spare);
	service->spare = NULL;
}

void serve__choices_init(struct serve_service *service)
{
	for (unsigned i = 0; i < service->process->n_threads; i++) {
		service->shards[i].loop = service->process->threads[i].loop;
		service->shards[i].take_up.fn = on_take_up;
	}
}
