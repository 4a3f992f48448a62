// The end of what an instance has for async, which may come in pieces: others of the thread run between them, and what the host does there finds all of it whole,
// or none of it. Threads first, on whose stacks the host's code names the rest; then each end of the host's parts from its stream or future; then what those
// touched is freed.
#include "canon_async.h"

// Of a stream or future.
static void part_from_host(struct canon__shared *s)
{
	for (unsigned k = 0; k < 2; k++)
		if (s->host[k]) {
			struct canon_end *e = s->host[k];
			s->host[k] = NULL;  // the other end, which it may take along, finds nobody there
			e->shared = NULL;
			e->ops->gone(e);
		}
}

// What an end of the host's that goes does to others of the same instance (canon_end_drop) needs their sets and guests' ends: it goes before any of those.
// false: there are more.
static bool part_some(struct canon__async *a, uint32_t *most)
{
	for (struct canon__object *o; *most && (o = a->shareds) != NULL; --*most) {
		canon__object_move(o, &a->parted);
		part_from_host(CONTAINER_OF(o, struct canon__shared, object));
	}
	return !a->shareds;
}

static bool free_some(struct canon_instance *i, uint32_t *most)
{
	struct canon__async *a = i->async;
	struct canon__object **lists[] = {&a->calls, &a->tasks, &a->sets, &a->ends, &a->parted};
	for (size_t k = 0; k < ARRAY_LEN(lists); k++)
		for (; *most && *lists[k]; --*most) {
			if (lists[k] == &a->calls)
				pool_free(CONTAINER_OF(a->calls, struct canon__call, object)->lends.kept);
			canon__object_free(i, *lists[k]);
		}
	return !a->n_objects;
}

// Nobody has them any more.
static void forget_numbers(struct canon__async *a)
{
	pool_free(a->in_transit.array);
	memset(&a->in_transit, 0, sizeof a->in_transit);
}

bool canon__async_release_some(struct canon_instance *i, uint32_t *most)
{
	struct canon__async *a = i->async;
	if (!a)
		return true;
	if (a->n_threads) {
		i->dead = true;
		vm_store_poison(i->store);
	}
	if (!canon__threads_kill_some(i, most) || !part_some(a, most))
		return false;
	forget_numbers(a);
	if (!free_some(i, most))
		return false;
	for (uint32_t k = 0; k < i->n_components; k++)
		pool_free(a->components[k].indices.array);
	pool_free(a->components);
	pool_free(a);
	i->async = NULL;
	return true;
}

void canon__async_release(struct canon_instance *i)
{
	uint32_t all;
	do
		all = UINT32_MAX;
	while (!canon__async_release_some(i, &all));
}
