// A service's shards: opening, closing.
#include "serve_int.h"
#include "sys/sys.h"

bool serve__shard_open(struct serve_shard *s, struct serve_thread *t, struct err *e)
{
	s->thread = t;
	s->loop = t->loop;
	s->vm = t->vm;
	serve__queue_init(s);
	serve__choice_open(s);
	s->open = true;
	return serve__shard_warm(s, e);
}

void serve__shard_close(struct serve_shard *s)
{
	bool open = s->open;
	s->open = s->comes = false;
	if (open)
		serve__slots_let_be(s);
	if (open)
		serve__relays_close(s);
	serve__choice_close(s);
	if (open) {
		serve__slots_emptied(s);
		serve__request_pool_release(s);
	}
}
