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
	canon__object_list(o, list);
	a->n_objects++;
	i->dirty = true;
	return o;
}

void canon__object_free(struct canon_instance *i, struct canon__object *o)
{
	canon__object_unlist(o);
	i->async->n_objects--;
	pool_free(o);
}

uint32_t canon__async_count(const struct canon_instance *i)
{
	return i->async ? i->async->n_threads + i->async->n_objects : 0;
}
