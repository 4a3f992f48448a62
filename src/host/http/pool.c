// Memory of a server: blocks by size and spare objects, kept for those that come next, so that the steady state allocates nothing. And the date.
#include "http_int.h"

#include <time.h>

enum { SPARES_MAX = 1024 };
static const struct {
	uint32_t cap, keep;
} classes[BLOCK_CLASSES] = {{BLOCK_SMALL, 512}, {BLOCK_IN, 64}, {BLOCK_OUT, 32}};

struct block *http__block_get(struct http_server *s, size_t cap)
{
	uint32_t i = 0;
	while (i < BLOCK_CLASSES && classes[i].cap < cap)
		i++;
	BUG_ON(i == BLOCK_CLASSES);
	struct block *b = s->blocks[i];
	if (b) {
		s->blocks[i] = b->next;
		s->block_counts[i]--;
		return b;
	}
	b = mem_alloc(sizeof *b + classes[i].cap);
	if (b)
		*b = (struct block){.cap = classes[i].cap, .class = i};
	return b;
}

void http__block_put(struct http_server *s, struct block *b)
{
	if (!b)
		return;
	if (s->freed || s->block_counts[b->class] >= classes[b->class].keep) {
		mem_free(b);
		return;
	}
	b->next = s->blocks[b->class];
	s->blocks[b->class] = b;
	s->block_counts[b->class]++;
}

void *http__spare_get(struct http_spares *list, size_t size)
{
	void *object = list->first;
	if (!object)
		return mem_alloc(size);
	memcpy(&list->first, object, sizeof list->first);
	list->count--;
	return object;
}

void http__spare_put(struct http_server *s, struct http_spares *list, void *object)
{
	if (s->freed || list->count >= SPARES_MAX) {
		mem_free(object);
		return;
	}
	memcpy(object, &list->first, sizeof list->first);
	list->first = object;
	list->count++;
}

static void release_spares(struct http_spares *list)
{
	for (void *object = list->first, *next; object; object = next) {
		memcpy(&next, object, sizeof next);
		mem_free(object);
	}
	*list = (struct http_spares){0};
}

void http__pools_release(struct http_server *s)
{
	release_spares(&s->spare_conns);
	release_spares(&s->spare_exchanges);
	for (uint32_t i = 0; i < BLOCK_CLASSES; i++)
		for (struct block *b = s->blocks[i], *next; b; b = next) {
			next = b->next;
			mem_free(b);
		}
}

void http__server_memory_free(struct http_server *s)
{
	if (s->freed && s->exchanges == 0 && !__atomic_load_n(&s->room_asked, __ATOMIC_ACQUIRE))
		mem_free(s);
}

void http__server_forget_exchange(struct http_server *s)
{
	s->exchanges--;
	http__server_memory_free(s);
}

struct slice http__date(struct http_server *s)
{
	uint64_t now = loop_now_ns(s->loop);
	if (UNLIKELY(now >= s->date_until_ns)) {
		uint64_t wall = sys_wall_ns();
		time_t t = (time_t)(wall / SECOND);
		struct tm tm;
		gmtime_r(&t, &tm);
		s->date_len = (uint32_t)strftime((char *)s->date, sizeof s->date, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
		s->date_until_ns = now + SECOND - wall % SECOND;
	}
	return slice_of(s->date, s->date_len);
}
