// Places among the calls: how many of a service, of its app and of the process are under way at once, of all threads together.
//
// Who finds none waits, in the queue of his shard (request.c). Whoever gives one back tells all shards that wait; each looks by itself.
#include "serve_int.h"

const struct serve_service_config *serve__config_of_queue(const struct serve_shard *s)
{
	return (s->last ? s->last->versions[0] : s->stable->version)->config;
}

// What is kept is bound by its one slot, not by calls of a version before, which may last.
static uint64_t most_of_service(const struct serve_service_config *c)
{
	return c->policy == SERVE_KEEP ? 0 : sat_mul_u64(c->max_instances, serve__max_tasks(c));
}

// Among those of its service, its app and the process, where these are limited: the wider ones last. Who was refused by one that is taken and given back in here was
// so for the sake of a wider one that was full, and is told when a place of that is free. What is counted is counted with a limit or without, so that one may come
// and go.
bool serve__place_take(struct serve_shard *s)
{
	struct serve_service *service = s->service;
	struct serve_app *of = service->of;
	struct serve_process *p = service->process;
	const struct serve_service_config *c = serve__config_of_queue(s);
	if ((c->policy == SERVE_KEEP && s->taken) || !shared_count_up(&service->calls, serve__or_endless(most_of_service(c))))
		return false;
	if (shared_count_up(&of->calls, serve__or_endless(__atomic_load_n(&of->max_calls, __ATOMIC_RELAXED)))) {
		if (shared_count_up(&p->calls, serve__or_endless(p->config->limits.calls)))
			return true;
		shared_count_down(&of->calls);
	}
	shared_count_down(&service->calls);
	return false;
}

// Of a shard's `waiting`: somebody waits for a place; he was told that there may be one, and has not looked yet.
enum { NOBODY, WAITS, TOLD };

static bool change_waiting(struct serve_shard *s, int from, int to)
{
	return __atomic_compare_exchange_n(&s->waiting, &from, to, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static void on_wake(struct loop_remote *r)
{
	struct serve_shard *s = CONTAINER_OF(r, struct serve_shard, wake);
	__atomic_store_n(&s->waiting, NOBODY, __ATOMIC_SEQ_CST);
	serve__queue_wake(s);
}

static void tell(struct serve_shard *s)
{
	if (!change_waiting(s, WAITS, TOLD))
		return;
	shared_count_down(&s->service->process->waiting);
	loop_post_remote(s->loop, &s->wake);
}

// Who waits says so before he asks for a place again, and this asks after one was given back: one of both sees it.
void serve__places_tell(struct serve_process *p, const struct serve_shard *but)
{
	if (LIKELY(shared_count_now(&p->waiting) == 0))
		return;
	for (unsigned k = 0, n = serve__have(&p->n_services); k < n; k++)
		for (unsigned i = 0; i < p->n_threads; i++)
			if (&p->services[k]->shards[i] != but)
				tell(&p->services[k]->shards[i]);
}

void serve__place_give(struct serve_shard *s)
{
	struct serve_process *p = s->service->process;
	shared_count_down(&s->service->of->calls);
	shared_count_down(&s->service->calls);
	shared_count_down(&p->calls);
	serve__places_tell(p, s);
}

void serve__place_wait(struct serve_shard *s)
{
	if (change_waiting(s, NOBODY, WAITS))
		shared_count_up(&s->service->process->waiting, UINT64_MAX);
}

void serve__place_wait_no_more(struct serve_shard *s)
{
	if (change_waiting(s, WAITS, NOBODY))
		shared_count_down(&s->service->process->waiting);
}

void serve__places_init(struct serve_shard *s)
{
	s->wake.fn = on_wake;
}
