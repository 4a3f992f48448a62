// A service's shards: opening, taking up another version, closing.
#include "serve_int.h"
#include "sys/sys.h"

// Between two requests: those that run keep the slots of their version, which go when they end.
static void on_take_up(struct loop_remote *r)
{
	struct serve_shard *s = CONTAINER_OF(r, struct serve_shard, take_up);
	struct serve_version *v = __atomic_exchange_n(&s->offered, NULL, __ATOMIC_ACQ_REL), *old = s->version;
	if (!s->open) {
		serve__version_unref(v, VERSION_IN_SHARD);
		return;
	}
	s->version = v;
	serve__slots_discard(s);
	serve__version_unref(old, VERSION_IN_SHARD);
	serve__queue_wake(s);
}

void serve__shards_init(struct serve_service *service)
{
	for (unsigned i = 0; i < service->process->n_threads; i++) {
		service->shards[i].loop = service->process->threads[i].loop;
		service->shards[i].take_up.fn = on_take_up;
	}
}

void serve_service_replace(struct serve_service *service, struct serve_version *v)
{
	struct serve_process *p = service->process;
	for (unsigned i = 0; i < p->n_threads; i++) {
		struct serve_shard *s = &service->shards[i];
		serve__version_ref(v, VERSION_IN_SHARD);
		struct serve_version *before = __atomic_exchange_n(&s->offered, v, __ATOMIC_ACQ_REL);
		if (before)
			serve__version_unref(before, VERSION_IN_SHARD);  // nobody saw it; the shard is told already
		else
			loop_post_remote(s->loop, &s->take_up);
	}
	serve__version_unref(service->version, VERSION_IN_SERVICE);
	service->version = v;
}

bool serve__shard_open(struct serve_shard *s, struct serve_thread *t, struct err *e)
{
	s->thread = t;
	s->loop = t->loop;
	s->vm = t->vm;
	s->version = s->service->version;
	serve__version_ref(s->version, VERSION_IN_SHARD);
	serve__queue_init(s);
	s->open = true;
	return (s->service->on_one_shard && t->index != 0) || serve__shard_warm(s, e);
}

void serve__shard_close(struct serve_shard *s)
{
	serve__version_unref(__atomic_exchange_n(&s->offered, NULL, __ATOMIC_ACQ_REL), VERSION_IN_SHARD);
	if (!s->open)
		return;
	s->open = false;
	loop_timer_cancel(s->loop, &s->idle_timer);
	serve__slots_discard(s);
	serve__request_pool_release(s);
	serve__version_unref(s->version, VERSION_IN_SHARD);
	s->version = NULL;
}
