// Streams and futures at work: stream.new, read, write, cancel, drop, and the copy from one guest's buffer to another's. CanonicalABI "Buffer State", "canon
// {stream,future}.{new,read,write,cancel-read,…}".
//
// 1. Bytes go once: from memory to memory, where both sides have the same bytes for the element; else element by element as values, with the reader's realloc.
// 2. A buffer is checked when the copy begins, also where nothing is copied; memories never shrink.
#include "canon_async.h"

enum { MAX_BUFFER_LENGTH = (1 << 28) - 1, BATCH = 64 };

// ---- copying ----

static uint64_t bytes_of(const struct canon__options *o, const struct wit_type *elem, uint64_t n)
{
	return elem ? n * canon__size(o->wide, elem) : 0;
}

void canon__buffer_advance(struct canon__buffer *b, const struct wit_type *elem, uint32_t n)
{
	b->ptr += bytes_of(b->options, elem, n);
	b->progress += n;
}

static bool copy_values(struct canon__cx *from, struct canon__cx *to, const struct wit_type *elem, uint64_t src, uint64_t dst, uint32_t n)
{
	uint64_t src_size = canon__size(from->wide, elem), dst_size = canon__size(to->wide, elem);
	uint32_t batch = elem->size64 < 4096 / BATCH ? BATCH : 1;
	for (uint32_t done = 0; done < n; done += batch) {
		uint32_t k = n - done < batch ? n - done : batch;
		struct arena_mark mark = arena_mark(from->arena);
		uint8_t *values = arena_zalloc(from->arena, (size_t)k * elem->size64 + 8, 8);
		if (!values)
			return canon__no_room(from, "elements of a stream", (uint64_t)k * elem->size64);
		for (uint32_t x = 0; x < k; x++)
			if (!canon__work(from, VM_WORK_ITEM) || !canon__load(from, src + (done + x) * src_size, elem, values + (size_t)x * elem->size64))
				return false;
		for (uint32_t x = 0; x < k; x++)
			if (!canon__work(to, VM_WORK_ITEM) || !canon__store(to, values + (size_t)x * elem->size64, elem, dst + (done + x) * dst_size)) {
				from->trap = to->trap;
				return false;
			}
		arena_rewind(from->arena, mark);
	}
	return true;
}

// dst_buffer.write(src_buffer.read(n))
static enum trap copy(struct canon_instance *i, struct canon_task *task, struct canon__end *src, struct canon__end *dst, uint32_t n)
{
	const struct wit_type *elem = src->shared->elem;
	struct canon__buffer *s = &src->buffer, *d = &dst->buffer;
	struct canon__cx from = canon__context(i, task, s->options, src->component);
	struct canon__cx to = canon__context(i, task, d->options, dst->component);
	from.between = to.between = true;
	from.copy = from.memory == to.memory;
	bool ok = true;
	if (elem && canon__is_plain(elem))
		ok = canon__copy(&from, to.memory->base + d->ptr, from.memory->base + s->ptr, bytes_of(s->options, elem, n));
	else if (elem)
		ok = copy_values(&from, &to, elem, s->ptr, d->ptr, n);
	if (!ok)
		return from.trap;
	canon__buffer_advance(s, elem, n);
	canon__buffer_advance(d, elem, n);
	return TRAP_NONE;
}

// Room for a future's native value, and its way from or to the guest's buffer.
enum trap canon__host_value(struct canon_instance *i, struct canon_task *task, struct canon__end *e, struct canon_end *host, bool stores)
{
	const struct wit_type *elem = e->shared->elem;
	struct canon__cx cx = canon__context(i, task, e->buffer.options, e->component);
	struct arena *arena = host->arena ? host->arena : &task->arena;
	struct arena_mark mark = arena_mark(arena);
	cx.copy = true;
	cx.arena = arena;
	void *native = elem ? arena_zalloc(arena, elem->size64, 8) : NULL;
	if (elem && !native)
		return canon__no_room(&cx, "a future's value", elem->size64) ? TRAP_NONE : cx.trap;
	if (elem && !stores && !canon__load(&cx, e->buffer.ptr, elem, native))
		return cx.trap;
	if (host->ops->value && !host->ops->value(host, task, native))
		return TRAP_HOST;
	if (elem && stores && !canon__store(&cx, native, elem, e->buffer.ptr))
		return cx.trap;
	if (!host->arena)
		arena_rewind(arena, mark);
	e->buffer.progress = 1;
	e->shared->done = true;
	host->ops->changed(host);
	return TRAP_NONE;
}

// The values of a stream that the host offered. While one is stored others may run: of a joint's end the giver may be gone then, and the end with it.
static enum trap store_offered(struct canon_instance *i, struct canon_task *task, struct canon__end *e)
{
	const struct wit_type *elem = e->shared->elem;
	struct canon__cx cx = canon__context(i, task, e->buffer.options, e->component);
	cx.copy = true;
	for (; e->offered; e->offered--) {
		struct canon_end *host = canon__host_of(e);
		if (!host) {
			e->offered = 0;
			e->result = COPY_DROPPED;
			break;
		}
		struct arena_mark mark = arena_mark(&task->arena);
		void *native = arena_zalloc(&task->arena, elem->size64, 8);
		if (!native)
			return canon__no_room(&cx, "a stream's value", elem->size64) ? TRAP_NONE : cx.trap;
		if (!host->ops->value(host, task, native))
			return TRAP_HOST;
		if (!canon__work(&cx, VM_WORK_ITEM) || !canon__store(&cx, native, elem, e->buffer.ptr))
			return cx.trap;
		arena_rewind(&task->arena, mark);
		canon__buffer_advance(&e->buffer, elem, 1);
		host = canon__host_of(e);
		if (host && host->twin)  // it holds what was stored until now
			host->ops->changed(host);
	}
	return TRAP_NONE;
}

enum trap canon__fill_from_host(struct canon_instance *i, struct canon_task *task, struct canon__end *e)
{
	return e->shared->is_future ? canon__host_value(i, task, e, canon__host_of(e), true) : store_offered(i, task, e);
}

// `e` has come to an end of the host: a future's value passes now, or when there is one; for a stream's bytes the host comes when it likes.
static enum trap meet_host(struct canon_instance *i, struct canon_task *task, struct canon__end *e, struct canon_end *host)
{
	if (e->shared->is_future && (canon__end_is_writable(e) ? !host->ops->waits : host->is_ready)) {
		enum trap t = canon__host_value(i, task, e, host, !canon__end_is_writable(e));
		if (t == TRAP_NONE)
			canon__copy_done(i, e, COPY_COMPLETED);
		return t;
	}
	canon__set_pending(i, e->shared, e);
	host->ops->changed(host);
	return TRAP_NONE;
}

static bool none_or_number_type(const struct wit_type *t)
{
	return !t || (t->kind >= WIT_S8 && t->kind <= WIT_F64);
}

// read and write of SharedStreamImpl and SharedFutureImpl: `e` has come, the other end's buffer may wait.
static enum trap meet(struct canon_instance *i, struct canon_task *task, struct canon__end *e)
{
	struct canon__shared *s = e->shared;
	struct canon__end *p = s->pending;
	if (s->dropped) {
		canon__copy_done(i, e, COPY_DROPPED);
		return TRAP_NONE;
	}
	if (canon__host_of(e))
		return meet_host(i, task, e, canon__host_of(e));
	if (!p) {
		canon__set_pending(i, s, e);
		return TRAP_NONE;
	}
	if (p->component == e->component && !none_or_number_type(s->elem))
		return canon__report(task, TRAP_CANON, "cannot read from and write to a %s of such a type in one component instance", s->is_future ? "future" : "stream");
	bool writes = canon__end_is_writable(e);
	if (canon__remain(p)) {
		if (canon__remain(e)) {
			enum trap t = copy(i, task, writes ? e : p, writes ? p : e, canon__remain(e) < canon__remain(p) ? canon__remain(e) : canon__remain(p));
			if (t != TRAP_NONE)
				return t;
			if (s->is_future)
				canon__notify_pending(i, s, COPY_COMPLETED);
			else
				canon__copy_some(i, p);
		}
		canon__copy_done(i, e, COPY_COMPLETED);
	} else if (writes && !e->buffer.length && !p->buffer.length) {
		canon__copy_done(i, e, COPY_COMPLETED);
	} else {
		canon__notify_pending(i, s, COPY_COMPLETED);
		canon__set_pending(i, s, e);
	}
	return TRAP_NONE;
}

// ---- built-ins ----

static enum canon__end_kind kind_of(unsigned builtin)
{
	switch (builtin) {
	case COMP_BUILTIN_STREAM_READ:
	case COMP_BUILTIN_STREAM_CANCEL_READ:
	case COMP_BUILTIN_STREAM_DROP_READABLE:
		return END_STREAM_READABLE;
	case COMP_BUILTIN_STREAM_WRITE:
	case COMP_BUILTIN_STREAM_CANCEL_WRITE:
	case COMP_BUILTIN_STREAM_DROP_WRITABLE:
		return END_STREAM_WRITABLE;
	case COMP_BUILTIN_FUTURE_READ:
	case COMP_BUILTIN_FUTURE_CANCEL_READ:
	case COMP_BUILTIN_FUTURE_DROP_READABLE:
		return END_FUTURE_READABLE;
	default:
		return END_FUTURE_WRITABLE;
	}
}

// The end that the built-in is for. NULL: *ret is the trap.
static struct canon__end *find(const struct canon__builtin *b, struct canon_task *task, uint32_t index, enum trap *ret)
{
	struct canon_instance *i = b->inst;
	enum canon__end_kind kind = kind_of(b->plan->kind);
	const struct canon__handle *h = canon__table_get(canon__table_of(i, b->plan->instance), index);
	if (!h) {
		*ret = canon__report(task, TRAP_HANDLE, "unknown handle index %u", index);
		return NULL;
	}
	if (h->kind != HANDLE_STREAM_READABLE + kind) {
		*ret = canon__report(task, TRAP_HANDLE, "handle index %u is used with the wrong type: %s wants another", index, comp_builtin_text(b->plan->kind));
		return NULL;
	}
	struct canon__end *e = h->end;
	const struct wit_type *elem = b->plan->type->elem;
	if (elem != e->known && !canon__types_equal(e->shared->elem, elem)) {
		*ret = canon__report(task, TRAP_HANDLE, "handle index %u is used with the wrong type: its elements are others", index);
		return NULL;
	}
	e->known = elem;
	return e;
}

enum trap canon__stream_new(struct canon_instance *i, struct canon_task *task, const struct comp_builtin *b, uint64_t *ret)
{
	struct canon__shared *s = canon__async_get(i) ? canon__object_new(i, sizeof *s, &i->async->shareds) : NULL;
	if (!s)
		return canon__report(task, TRAP_OUT_OF_MEMORY, "%s", canon__handles_full(i, i->limits.handles));
	s->elem = b->type->elem;
	s->is_future = b->kind == COMP_BUILTIN_FUTURE_NEW;
	const struct canon__end *r = canon__end_new(i, s, s->is_future ? END_FUTURE_READABLE : END_STREAM_READABLE, b->instance);
	const struct canon__end *w = r ? canon__end_new(i, s, s->is_future ? END_FUTURE_WRITABLE : END_STREAM_WRITABLE, b->instance) : NULL;
	if (!w)
		return canon__report(task, TRAP_OUT_OF_MEMORY, "%s", canon__handles_full(i, canon__table_of(i, b->instance)->len));
	*ret = r->waitable.index | (uint64_t)w->waitable.index << 32;
	return TRAP_NONE;
}

static enum trap check_buffer(struct canon_task *task, const struct canon__options *o, const struct wit_type *elem, uint64_t ptr, uint64_t length)
{
	if (length > MAX_BUFFER_LENGTH)
		return canon__report(task, TRAP_CANON, "a buffer of %llu elements is too long", (unsigned long long)length);
	if (!elem || !length)
		return TRAP_NONE;
	if (!canon__is_aligned(ptr, canon__align(o->wide, elem)))
		return canon__report(task, TRAP_CANON, "buffer pointer 0x%llx is not aligned to %u", (unsigned long long)ptr, canon__align(o->wide, elem));
	if (!vm_memory_map(o->memory, ptr, bytes_of(o, elem, length)))
		return canon__report(task, TRAP_CANON, "buffer pointer/length out of bounds of memory: 0x%llx, %llu", (unsigned long long)ptr, (unsigned long long)length);
	return TRAP_NONE;
}

// The event that has come, or has to be waited for; of an async one BLOCKED.
static enum trap finish(struct canon_instance *i, struct canon__end *e, bool is_async, uint64_t *ret)
{
	struct canon__event_tuple event;
	if (!e->waitable.event && is_async) {
		*ret = BLOCKED;
		return TRAP_NONE;
	}
	enum trap t = e->waitable.event ? TRAP_NONE : canon__wait_for_pending_event(i, &e->waitable);
	if (t == TRAP_NONE)
		t = canon__get_pending_event(i, &e->waitable, &event);
	if (t == TRAP_NONE)
		*ret = event.payload;
	return t;
}

static enum trap not_in_set(struct canon_task *task, const struct canon__end *e, bool is_async)
{
	if (!e->waitable.set || is_async)
		return TRAP_NONE;
	return canon__report(task, TRAP_CANON, "a synchronous operation on handle index %u, which is in a waitable set", e->waitable.index);
}

// stream_copy and future_copy.
enum trap canon__stream_copy(const struct canon__builtin *b, struct canon_task *task, const uint64_t *args, uint64_t *results)
{
	struct canon_instance *i = b->inst;
	bool is_async = b->plan->options.is_async;
	enum trap t;
	struct canon__end *e = find(b, task, (uint32_t)args[0], &t);
	if (!e)
		return t;
	uint64_t ptr = canon__ptr(b->options.wide, args[1]), length = e->shared->is_future ? 1 : canon__ptr(b->options.wide, args[2]);
	if (canon__end_next(e->kind, e->state, END_COPY) == END_ILLEGAL)
		return canon__end_do(task, e, END_COPY);
	if ((t = not_in_set(task, e, is_async)) != TRAP_NONE || (t = check_buffer(task, &b->options, e->shared->elem, ptr, length)) != TRAP_NONE)
		return t;
	e->buffer = (struct canon__buffer){.options = &b->options, .ptr = ptr, .length = (uint32_t)length};
	struct arena_mark mark = arena_mark(&task->arena);
	if ((t = canon__end_do(task, e, END_COPY)) != TRAP_NONE || (t = meet(i, task, e)) != TRAP_NONE)
		return t;
	arena_rewind(&task->arena, mark);
	return finish(i, e, is_async, results);
}

// cancel_copy.
enum trap canon__cancel_copy(const struct canon__builtin *b, struct canon_task *task, const uint64_t *args, uint64_t *results)
{
	struct canon_instance *i = b->inst;
	enum trap t;
	struct canon__end *e = find(b, task, (uint32_t)args[0], &t);
	if (!e)
		return t;
	if (e->waitable.has_sync_waiter)
		return canon__report(task, TRAP_CANON, "cannot cancel a synchronous copy: handle index %u", e->waitable.index);
	if (canon__end_next(e->kind, e->state, END_CANCEL) == END_ILLEGAL)
		return canon__end_do(task, e, END_CANCEL);
	if ((t = not_in_set(task, e, b->plan->is_async)) != TRAP_NONE || (t = canon__end_do(task, e, END_CANCEL)) != TRAP_NONE)
		return t;
	if (!e->waitable.event)
		canon__notify_pending(i, e->shared, COPY_CANCELLED);
	else if (e->result == COPY_COMPLETED && !e->shared->is_future)  // what was copied counts, and no more will be (test/async/cancel-stream)
		e->result = COPY_CANCELLED;
	return finish(i, e, b->plan->is_async, results);
}

enum trap canon__drop_end(const struct canon__builtin *b, struct canon_task *task, const uint64_t *args)
{
	enum trap t;
	struct canon__end *e = find(b, task, (uint32_t)args[0], &t);
	if (!e || (t = canon__end_do(task, e, END_DROP)) != TRAP_NONE)
		return t;
	canon__end_drop(b->inst, e);
	return TRAP_NONE;
}
