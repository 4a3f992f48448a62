// What is counted of apps that change: links, and what configurations lie in.
#include "up_live.h"

enum { BATCH_MEMORY = 64 << 20 };

void cli__up_link_unref(struct up_link *l)
{
	if (--l->refs)
		return;
	if (l->link)
		link_unref(l->link);
	mem_free(l);
}

void cli__up_batch_unref(struct up_batch *b)
{
	if (!b || --b->refs)
		return;
	for (uint32_t i = 0; i < b->links.len; i++)
		cli__up_link_unref(b->links.ptr[i]);
	if (b->model)
		ctl_model_unref(b->model);
	arena_release(&b->arena);
	mem_free(b);
}

struct up_batch *cli__up_batch_new(struct ctl_model *m)
{
	struct up_batch *b = mem_zalloc(sizeof *b);
	if (!b)
		return NULL;
	b->refs = 1;
	b->model = m;
	if (m)
		ctl_model_ref(m);
	arena_init(&b->arena, BATCH_MEMORY);
	return b;
}
