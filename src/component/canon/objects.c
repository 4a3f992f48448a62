// What an instance has for async: the objects that its guests make, each in a list, so that its end frees them all.
#include "canon_async.h"

struct canon__async *canon__async_make(struct canon_instance *i)
{
	struct canon__async *a = pool_zalloc(&i->head.pool, sizeof *a);
	struct canon__async_component *components = pool_zalloc(&i->head.pool, (i->n_components + 1) * sizeof *components);
	if (!a || !components) {
		pool_free(a);
		pool_free(components);
		return NULL;
	}
	for (uint32_t k = 0; k < i->n_components; k++) {
		struct canon__async_component *c = &components[k];
		c->last_thread = &c->threads;
	}
	a->components = components;
	i->async = a;
	return a;
}

void *canon__object_new(struct canon_instance *i, size_t size, struct canon__object **list)
{
	struct canon__async *a = i->async;
	if (i->limits.handles && a->n_objects / 4 >= i->limits.handles)
		return NULL;
	struct canon__object *o = pool_zalloc(&i->head.pool, size);
	if (!o)
		return NULL;
	o->next = *list;
	o->prev = list;
	if (o->next)
		o->next->prev = &o->next;
	*list = o;
	a->n_objects++;
	i->dirty = true;
	return o;
}

void canon__object_free(struct canon_instance *i, struct canon__object *o)
{
	*o->prev = o->next;
	if (o->next)
		o->next->prev = o->prev;
	i->async->n_objects--;
	pool_free(o);
}

void canon__objects_release(struct canon_instance *i)
{
	struct canon__async *a = i->async;
	for (struct canon__object *o = a->calls; o; o = o->next)
		pool_free(CONTAINER_OF(o, struct canon__call, object)->lends.kept);
	for (struct canon__object *o = a->shareds; o; o = o->next) {
		struct canon__shared *s = CONTAINER_OF(o, struct canon__shared, object);
		for (unsigned k = 0; k < 2; k++)
			if (s->host[k]) {
				struct canon_end *e = s->host[k];
				s->host[k] = NULL;  // the other end, which it may take along, finds nobody there
				e->shared = NULL;
				e->ops->gone(e);
			}
	}
	struct canon__object **lists[] = {&a->calls, &a->tasks, &a->sets, &a->ends, &a->shareds};
	for (size_t k = 0; k < ARRAY_LEN(lists); k++)
		while (*lists[k])
			canon__object_free(i, *lists[k]);
	for (uint32_t k = 0; k < i->n_components; k++)
		pool_free(a->components[k].indices.array);
	pool_free(a->in_transit.array);
	pool_free(a->components);
	pool_free(a);
	i->async = NULL;
}
