// What an output took and could not pass on yet.
#include "wasi_int.h"

enum { LEAST = 4096 };

bool wasi__pending_put(struct wasi_pending *p, struct slice data)
{
	size_t have = p->to - p->from;
	if (p->from && data.len > p->cap - p->to) {
		memmove(p->bytes, p->bytes + p->from, have);
		p->from = 0;
		p->to = have;
	}
	if (data.len > p->cap - p->to) {
		size_t cap = max_u64(LEAST, max_u64(p->cap * 2, have + data.len));
		uint8_t *bytes = pool_realloc(p->pool, p->bytes, cap);
		if (!bytes)
			return false;
		p->bytes = bytes;
		p->cap = cap;
	}
	if (data.len)
		memcpy(p->bytes + p->to, data.ptr, data.len);
	p->to += data.len;
	return true;
}

void wasi__pending_took(struct wasi_pending *p, size_t n)
{
	p->from += n;
	if (p->from == p->to)
		wasi__pending_clear(p);
}

void wasi__pending_clear(struct wasi_pending *p)
{
	pool_free(p->bytes);
	*p = (struct wasi_pending){.pool = p->pool};
}

void wasi__pending_keep(struct wasi_pending *p)
{
	if (p->bytes)
		pool_disown(p->bytes);
	p->pool = NULL;
}
