// What of a choice a shard has: its stocks of slots, one a version; and the choice itself, which is counted.
#include "serve_int.h"

void serve__choice_unref(struct serve_choice *c)
{
	if (!c || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	serve__version_unref(c->versions[0], VERSION_IN_CHOICE);
	serve__version_unref(c->versions[1], VERSION_IN_CHOICE);
	mem_free(c);
}

bool serve__choice_has(const struct serve_choice *c, const struct serve_version *v)
{
	return v == c->versions[0] || v == c->versions[1];
}

struct serve_stock *serve__stock_of(struct serve_shard *s, const struct serve_version *v)
{
	for (unsigned i = 0; i < ARRAY_LEN(s->stocks); i++)
		if (s->stocks[i].version == v)
			return &s->stocks[i];
	return NULL;
}

void serve__stocks_discard(struct serve_shard *s, const struct serve_choice *but)
{
	for (unsigned i = 0; i < ARRAY_LEN(s->stocks); i++)
		if (s->stocks[i].version && !(but && serve__choice_has(but, s->stocks[i].version))) {
			serve__stock_discard(&s->stocks[i], s);
			s->stocks[i].version = NULL;
		}
}

// ---- where the service has left ----------------------------------------------------------------------------------------------------------------

struct serve_stock *serve__choice_last(struct serve_shard *s, bool tries)
{
	struct serve_version *tried = s->last->versions[1];
	return serve__stock_of(s, tries && tried ? tried : s->last->versions[0]);
}

void serve__choice_forget_last(struct serve_shard *s)
{
	serve__choice_unref(s->last);
	s->last = NULL;
}

void serve__choice_left(struct serve_shard *s)
{
	serve__stocks_discard(s, NULL);
	serve__choice_forget_last(s);
}
