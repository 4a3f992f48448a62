// The ends of streams and futures: their states, what is pending between them, and how they are passed. CanonicalABI "Stream State", "Future State",
// lift_stream, lift_future, lower_stream, lower_future.
//
// 1. `transitions` is the one statement of what an end may do: the code asks it, and so do the tests.
// 2. An end's copy is over when its event is delivered, not before: until then its buffer may be filled or drained further.
// 3. Who both ends belong to is told by the component instance, what they carry by the type: structure, resources by identity.
#include "canon_async.h"

enum { I = END_IDLE, C = END_COPYING, X = END_CANCELLING, D = END_DONE, G = END_GONE, no = END_ILLEGAL };
// By kind, state, action: copy, cancel, completed, dropped, cancelled (the three answers to a copy), lift, drop.
static const uint8_t transitions[END_KINDS][END_STATES][END_ACTIONS] = {
	[END_STREAM_READABLE] = {[I] = {C, no, no, no, no, G, G}, [C] = {no, X, I, D, I, no, no}, [X] = {no, no, I, D, I, no, no}, [D] = {no, no, no, no, no, no, G}},
	[END_STREAM_WRITABLE] = {[I] = {C, no, no, no, no, no, G}, [C] = {no, X, I, D, I, no, no}, [X] = {no, no, I, D, I, no, no}, [D] = {no, no, no, no, no, no, G}},
	[END_FUTURE_READABLE] = {[I] = {C, no, no, no, no, G, G}, [C] = {no, X, D, D, I, no, no}, [X] = {no, no, D, D, I, no, no}, [D] = {no, no, no, no, no, no, G}},
	[END_FUTURE_WRITABLE] = {[I] = {C, no, no, no, no, no, no}, [C] = {no, X, D, D, I, no, no}, [X] = {no, no, D, D, I, no, no}, [D] = {no, no, no, no, no, no, G}},
};

uint8_t canon__end_next(enum canon__end_kind kind, enum canon__end_state state, enum canon__end_action action)
{
	return transitions[kind][state][action];
}

static const char *const kind_names[] = {"readable end of a stream", "writable end of a stream", "readable end of a future", "writable end of a future"};

static enum trap illegal(struct canon_task *task, const struct canon__end *e, enum canon__end_action action)
{
	static const char *const actions[] = {
		[END_COPY] = "read or write", [END_CANCEL] = "cancel", [END_LIFT] = "pass", [END_DROP] = "drop"};
	static const char *const states[] = {[END_IDLE] = "no copy is under way",
		[END_COPYING] = "it is busy, a copy is under way",
		[END_CANCELLING] = "it is busy, a cancelled copy is under way",
		[END_DONE] = "it is done: the other end was dropped, or the value passed"};
	if (action == END_DROP && e->state == END_IDLE)
		return canon__report(task, TRAP_CANON, "cannot drop future write end without first writing a value");
	return canon__report(task, TRAP_CANON, "cannot %s the %s with handle index %u: %s", actions[action], kind_names[e->kind], e->waitable.index,
		states[e->state]);
}

enum trap canon__end_do(struct canon_task *task, struct canon__end *e, enum canon__end_action action)
{
	uint8_t next = transitions[e->kind][e->state][action];
	if (next == END_ILLEGAL)
		return illegal(task, e, action);
	if (next != END_GONE)
		e->state = next;
	return TRAP_NONE;
}

bool canon__types_equal(const struct wit_type *a, const struct wit_type *b)
{
	struct wit_compare c = {.steps = 1000000};
	return a == b || (a && b && wit_type_equal(&c, a, b, NULL));
}

// ---- events ----

static enum trap deliver(struct canon_instance *i, struct canon__waitable *w, uint32_t *ret_payload)
{
	static const uint8_t actions[] = {[COPY_COMPLETED] = END_COMPLETED, [COPY_DROPPED] = END_DROPPED, [COPY_CANCELLED] = END_CANCELLED};
	struct canon__end *e = CONTAINER_OF(w, struct canon__end, waitable);
	if (e->fills) {
		e->fills = false;
		enum trap t = e->shared->fill(i, canon__running(i), e);
		if (t != TRAP_NONE)
			return t;
	}
	if (e->reclaims) {
		canon__set_pending(i, e->shared, NULL);
		e->reclaims = false;
	}
	*ret_payload = e->result | (e->shared->is_future ? 0 : e->buffer.progress << 4);
	return canon__end_do(canon__running(i), e, actions[e->result]);
}

static enum canon__event event_of(const struct canon__end *e)
{
	static const uint8_t events[] = {EVENT_STREAM_READ, EVENT_STREAM_WRITE, EVENT_FUTURE_READ, EVENT_FUTURE_WRITE};
	return events[e->kind];
}

void canon__copy_some(struct canon_instance *i, struct canon__end *e)
{
	e->result = COPY_COMPLETED;
	e->reclaims = true;
	canon__set_pending_event(i, &e->waitable, event_of(e));
}

void canon__copy_done(struct canon_instance *i, struct canon__end *e, enum canon__copy_result result)
{
	e->result = (uint8_t)result;
	e->reclaims = false;
	canon__set_pending_event(i, &e->waitable, event_of(e));
}

void canon__notify_pending(struct canon_instance *i, struct canon__shared *s, enum canon__copy_result result)
{
	struct canon__end *e = s->pending;
	canon__set_pending(i, s, NULL);
	canon__copy_done(i, e, result);
}

// ---- making and dropping ----

struct canon__end *canon__end_new(struct canon_instance *i, struct canon__shared *s, enum canon__end_kind kind, uint32_t component)
{
	struct canon__end *e = canon__object_new(i, sizeof *e, &i->async->ends);
	if (!e)
		return NULL;
	struct canon__table *table = canon__table_of(i, component);
	if (!canon__table_add(i, table, (struct canon__handle){.kind = HANDLE_STREAM_READABLE + kind, .rt = NO_RESOURCE, .end = e}, &e->waitable.index)) {
		canon__object_free(i, &e->object);
		return NULL;
	}
	e->waitable.deliver = deliver;
	e->shared = s;
	e->kind = (uint8_t)kind;
	e->component = component;
	s->ends++;
	return e;
}

// The handle and the end go, what is shared stays.
static void let_go(struct canon_instance *i, struct canon__end *e)
{
	canon__waitable_join(i, &e->waitable, NULL);
	canon__table_remove(i, canon__table_of(i, e->component), e->waitable.index);
	e->shared->ends--;
	canon__object_free(i, &e->object);
}

static void shared_unref(struct canon_instance *i, struct canon__shared *s)
{
	if (!s->ends && !s->number)
		canon__object_free(i, &s->object);
}

void canon__shared_drop(struct canon_instance *i, struct canon__shared *s)
{
	if (!s->dropped) {
		s->dropped = true;
		if (s->pending)
			canon__notify_pending(i, s, COPY_DROPPED);
	}
	shared_unref(i, s);
}

void canon__end_drop(struct canon_instance *i, struct canon__end *e)
{
	struct canon__shared *s = e->shared;
	struct canon_end *host = canon__host_of(e);
	let_go(i, e);
	canon__shared_drop(i, s);
	if (host)
		host->ops->changed(host);
}

// ---- passing ----

// The first entry is nobody's. A handle table has room for fewer than MAX_TABLE_LENGTH of them, and so has this one.
bool canon__numbers_reserve(struct canon_instance *i, uint32_t n)
{
	struct canon__async *a = canon__async_get(i);
	uint64_t want = a ? 1 + (uint64_t)a->in_transit.n + n : UINT64_MAX, cap = a && a->in_transit.cap ? a->in_transit.cap : 16;
	if (want > MAX_TABLE_LENGTH)
		return false;
	while (cap < want)
		cap *= 2;
	if (cap == a->in_transit.cap)
		return true;
	struct canon__shared **array = pool_realloc(&i->head.pool, a->in_transit.array, cap * sizeof *array);
	if (!array)
		return false;
	a->in_transit.array = array;
	a->in_transit.cap = (uint32_t)cap;
	if (!a->in_transit.len)
		array[a->in_transit.len++] = NULL;
	return true;
}

bool canon__number(struct canon_instance *i, struct canon__shared *s)
{
	if (!canon__numbers_reserve(i, 1))
		return false;
	struct canon__async *a = i->async;
	uint32_t n = a->in_transit.free;
	if (n)
		a->in_transit.free = (uint32_t)((uintptr_t)a->in_transit.array[n] >> 1);
	else
		n = a->in_transit.len++;
	a->in_transit.array[n] = s;
	a->in_transit.n++;
	canon__await_less(i, s);
	s->number = n;
	canon__await_more(i, s);
	return true;
}

static enum canon__end_kind readable_of(const struct wit_type *t)
{
	return t->kind == WIT_STREAM ? END_STREAM_READABLE : END_FUTURE_READABLE;
}

bool canon__lift_async_value(struct canon__cx *cx, uint32_t index, const struct wit_type *t, uint32_t *ret)
{
	struct canon_instance *i = cx->inst;
	struct canon__handle *h = canon__table_get(canon__table_of(i, cx->component), index);
	if (!h)
		return canon__fail(cx, TRAP_HANDLE, "unknown handle index %u", index);
	if (h->kind != HANDLE_STREAM_READABLE + readable_of(t))
		return canon__fail(cx, TRAP_HANDLE, "handle index %u is no %s", index, kind_names[readable_of(t)]);
	struct canon__end *e = h->end;
	struct canon__shared *s = e->shared;
	if (!canon__types_equal(s->elem, t->elem))
		return canon__fail(cx, TRAP_HANDLE, "handle index %u is a %s of another type", index, wit_kind_name(t->kind));
	cx->trap = canon__end_do(cx->task, e, END_LIFT);
	if (cx->trap != TRAP_NONE)
		return false;
	if (e->waitable.set)
		return canon__fail(cx, TRAP_CANON, "cannot lift a %s after it joined a waitable set: handle index %u", wit_kind_name(t->kind), index);
	if (!canon__number(i, s))
		return canon__no_room(cx, "a stream's number", sizeof(void *));
	let_go(i, e);
	*ret = s->number;
	return true;
}

struct canon__shared *canon__take_number(struct canon_instance *i, uint32_t n)
{
	struct canon__async *a = i->async;
	struct canon__shared *s = a && n && n < a->in_transit.len ? a->in_transit.array[n] : NULL;
	if (!s || (uintptr_t)s & 1)
		return NULL;
	a->in_transit.array[n] = (struct canon__shared *)(uintptr_t)((uint64_t)a->in_transit.free << 1 | 1);
	a->in_transit.free = n;
	a->in_transit.n--;
	canon__await_less(i, s);
	s->number = 0;
	canon__await_more(i, s);
	return s;
}

bool canon__lower_async_value(struct canon__cx *cx, uint32_t n, const struct wit_type *t, uint32_t *ret)
{
	struct canon_instance *i = cx->inst;
	struct canon__shared *s = canon__take_number(i, n);
	if (!s)
		return canon__fail(cx, TRAP_HOST, "the host made an invalid %s: %u", wit_kind_name(t->kind), n);
	if (s->is_new)
		s->elem = t->elem;  // the same type, as the guest has it
	s->is_new = false;
	struct canon__end *e = canon__end_new(i, s, readable_of(t), cx->component);
	if (!e)
		return canon__fail(cx, TRAP_OUT_OF_MEMORY, "%s", canon__handles_full(i, canon__table_of(i, cx->component)->len));
	*ret = e->waitable.index;
	return true;
}
