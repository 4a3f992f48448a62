// Memory of a server: blocks by size and spare objects, kept for those that come next, so that the steady state allocates nothing. And the date.
#include "http_int.h"

enum { SPARES_MAX = 1024 };
static const struct {
	uint32_t cap, keep;
} classes[BLOCK_CLASSES] = {{BLOCK_HEAD, 2048}, {BLOCK_SMALL, 512}, {BLOCK_IN, 64}, {BLOCK_OUT, 32}};

static uint32_t class_of(size_t cap)
{
	uint32_t i = 0;
	while (i < BLOCK_CLASSES && classes[i].cap < cap)
		i++;
	BUG_ON(i == BLOCK_CLASSES);
	return i;
}

static struct block *make_block(struct http_server *s, uint32_t i)
{
	struct block *b = mem_alloc(sizeof *b + classes[i].cap);
	if (b) {
		*b = (struct block){.cap = classes[i].cap, .class = i};
		s->blocks_owned[i]++;
	}
	return b;
}

struct block *http__block_get(struct http_server *s, size_t cap)
{
	uint32_t i = class_of(cap);
	if (!s->blocks[i]) {
		struct block *new = make_block(s, i);
		if (LIKELY(new))
			return new;
	}
	while (i < BLOCK_CLASSES && !s->blocks[i])
		i++;
	if (i == BLOCK_CLASSES)
		return NULL;
	struct block *b = s->blocks[i];
	s->blocks[i] = b->next;
	s->block_counts[i]--;
	return b;
}

void http__block_put(struct http_server *s, struct block *b)
{
	if (!b)
		return;
	if (s->freed || s->block_counts[b->class] >= classes[b->class].keep) {
		s->blocks_owned[b->class]--;
		mem_free(b);
		return;
	}
	b->next = s->blocks[b->class];
	s->blocks[b->class] = b;
	s->block_counts[b->class]++;
}

bool http__blocks_reserve(struct http_server *s, size_t cap, uint32_t n)
{
	uint32_t i = class_of(cap);
	while (s->blocks_owned[i] < n || !s->blocks[i]) {
		struct block *b = make_block(s, i);
		if (!b)
			return false;
		http__block_put(s, b);
	}
	return true;
}

static void *make_spare(struct http_spares *list, size_t size)
{
	void *object = mem_alloc(size);
	list->owned += object != NULL;
	return object;
}

bool http__spares_reserve(struct http_server *s, struct http_spares *list, size_t size, uint32_t n)
{
	while (list->owned < n || !list->first) {
		void *object = make_spare(list, size);
		if (!object)
			return false;
		http__spare_put(s, list, object);
	}
	return true;
}

void *http__spare_get(struct http_spares *list, size_t size)
{
	void *object = list->first;
	if (!object)
		return make_spare(list, size);
	memcpy(&list->first, object, sizeof list->first);
	list->count--;
	return object;
}

void http__spare_put(struct http_server *s, struct http_spares *list, void *object)
{
	if (s->freed || list->count >= SPARES_MAX) {
		list->owned--;
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
	BUG_ON(sys_unmap(s->scratch, HTTP_SCRATCH) != 0);
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
		struct utc t = utc_of((int64_t)(wall / SECOND));
		s->date_len = (uint32_t)snprintf((char *)s->date, sizeof s->date, "Date: %s, %02u %s %04lld %02u:%02u:%02u GMT\r\n", utc_weekday_name(t.weekday), t.day,
			utc_month_name(t.month), (long long)t.year, t.hour, t.minute, t.second);
		BUG_ON(s->date_len >= sizeof s->date);
		s->date_until_ns = now + SECOND - wall % SECOND;
	}
	return slice_of(s->date, s->date_len);
}
