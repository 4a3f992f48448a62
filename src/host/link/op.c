// Operations on their way: through a link to its store, and back (contract §3).
//
// An operation: in the line of a shard that holds (op->waits) → at the store (op->part) → answered, or taken back (link__cancel, on_late). One that the store
// gives back unsent (LINK_RECALLED) returns to the line. Whoever submitted hears of exactly one end, or took it back.
#include <stdarg.h>

#include "link_int.h"

// ---- links are held, and told ---------------------------------------------------------------------------------------------------------------

void link__ref(struct link *l)
{
	__atomic_add_fetch(&l->refs, 1, __ATOMIC_RELAXED);
}

void link__unref(struct link *l)
{
	if (__atomic_sub_fetch(&l->refs, 1, __ATOMIC_ACQ_REL) == 0)
		link__bury(l->host, &l->body);
}

static void acknowledge(struct link_shard *s)
{
	struct link *l = s->link;
	spinlock_lock(&s->lock);
	s->acknowledged = s->serial;
	spinlock_unlock(&s->lock);
	s->serial = 0;
	link__ref(l);  // until the main thread has looked
	if (!__atomic_exchange_n(&l->looking, true, __ATOMIC_ACQ_REL))
		loop_post_remote(l->host->loops[0], &l->look);
	else
		link__unref(l);
}

void link__look(struct link_shard *s)
{
	if (LIKELY(!s->serial))
		return;
	uint32_t left = s->when == LINK__AT_ONCE ? 0 : s->when == LINK__OLD_ENDED ? s->in_flight[s->generation ^ 1]
																			  : s->in_flight[0] + s->in_flight[1];
	if (left == 0)
		acknowledge(s);
}

// ---- notes ----------------------------------------------------------------------------------------------------------------------------------

static bool is_write(const struct link_op *op)
{
	return op->kind == LINK_SET || op->kind == LINK_DELETE || op->kind == LINK_INCREMENT || op->kind == LINK_SWAP;
}

static void note(struct link_shard *s, const struct link_op *op)
{
	if (!is_write(op))
		return;
	spinlock_lock(&s->lock);
	link__notes_put(&s->notes, op->bucket, op->key);
	spinlock_unlock(&s->lock);
}

// ---- the line -----------------------------------------------------------------------------------------------------------------------------

static void line_put(struct link_shard *s, struct link_op *op)
{
	op->waits = true;
	op->next = NULL;
	op->prev = s->last;
	*s->last = op;
	s->last = &op->next;
	s->waiting++;
}

static void line_take(struct link_shard *s, struct link_op *op)
{
	op->waits = false;
	*op->prev = op->next;
	if (op->next)
		op->next->prev = op->prev;
	else
		s->last = op->prev;
	s->waiting--;
}

// ---- there and back -------------------------------------------------------------------------------------------------------------------------

static void on_late(struct loop_timer *t);

static void set_alarm(struct loop *loop, struct link_op *op)
{
	op->timer.fn = on_late;
	if (op->deadline_ns != UINT64_MAX)
		loop_timer_set(loop, &op->timer, op->deadline_ns);
}

// It is not in flight any more.
static void has_left(struct link_shard *s, struct link_op *op)
{
	s->in_flight[op->generation]--;
	link__look(s);
}

static void at_store(struct link_part *p, struct link_op *op)
{
	bool inside = false;
	op->part = p;
	op->answered_inside = &inside;
	p->store->provider->ops->submit(p, op);
	if (inside)
		return;
	op->answered_inside = NULL;
	op->begun_ns = loop_now_fresh_ns(p->loop);
	set_alarm(p->loop, op);
}

static void answer_unsent(struct link_op *op, enum link_code code, const char *why)
{
	op->code = code;
	op->ret_text[0] = 0;
	if (why)
		snprintf(op->ret_text, sizeof op->ret_text, "%s", why);
	op->done(op);
}

static bool open_part(struct link_shard *s, struct link_op *op)
{
	struct err e = {0};
	if ((s->part = link__part(s->store, s->thread, &e)))
		return true;
	s->errors++;
	answer_unsent(op, LINK_UNSENT, e.text);
	return false;
}

static void send(struct link_shard *s, struct link_op *op)
{
	if (op->epoch && op->epoch != s->epoch) {
		answer_unsent(op, LINK_STALE, "the store was changed");
		return;
	}
	if (UNLIKELY(!s->part) && !open_part(s, op))
		return;
	op->answered_epoch = s->epoch;
	op->generation = s->generation;
	s->in_flight[s->generation]++;
	s->calls++;
	if (UNLIKELY(s->noting))
		note(s, op);
	at_store(s->part, op);
}

void link__submit(struct link_shard *s, struct link_op *op)
{
	op->shard = s;
	op->part = NULL;
	op->answered_inside = NULL;
	op->waits = false;
	op->ret_text[0] = 0;
	if (LIKELY(!s->holding)) {
		send(s, op);
		return;
	}
	line_put(s, op);
	set_alarm(s->loop, op);
}

void link__store_submit(struct link_store *s, unsigned thread, struct link_op *op)
{
	struct err e = {0};
	struct link_part *p = link__part(s, thread, &e);
	op->shard = NULL;
	op->part = NULL;
	op->answered_inside = NULL;
	op->waits = false;
	op->ret_text[0] = 0;
	if (p)
		at_store(p, op);
	else
		answer_unsent(op, LINK_UNSENT, e.text);
}

// What held it up is over: those that wait go on, in their order.
void link__line_go(struct link_shard *s)
{
	while (s->first && !s->holding) {
		struct link_op *op = s->first;
		line_take(s, op);
		loop_timer_cancel(s->loop, &op->timer);
		send(s, op);
	}
}

static void give_back(struct link_part *p, struct link_op *op)
{
	struct link_shard *s = op->shard;
	if (s && s->holding) {
		line_put(s, op);
		set_alarm(s->loop, op);
		has_left(s, op);
	} else {
		at_store(p, op);  // another link of this store is held
	}
}

void link_op_done(struct link_op *op, enum link_code code)
{
	struct link_part *p = op->part;
	struct link_shard *s = op->shard;
	op->code = code;
	op->part = NULL;
	if (op->answered_inside)
		*op->answered_inside = true;
	else
		loop_timer_cancel(p->loop, &op->timer);
	op->answered_inside = NULL;
	if (code == LINK_RECALLED) {
		give_back(p, op);
		return;
	}
	if (s) {
		uint64_t ns = op->begun_ns ? loop_now_fresh_ns(s->loop) - op->begun_ns : 0;
		if (UNLIKELY(s->noting))
			note(s, op);
		if (UNLIKELY(s->shadow != NULL))
			s->shadow_ops->call(s, op, ns);
		s->errors += code >= LINK_REFUSED;
		s->call_ns += ns;
		has_left(s, op);
	}
	op->begun_ns = 0;
	op->done(op);
}

void link_op_fail(struct link_op *op, enum link_code code, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(op->ret_text, sizeof op->ret_text, fmt, ap);
	va_end(ap);
	link_op_done(op, code);
}

// ---- taken back -----------------------------------------------------------------------------------------------------------------------------

// true: it may have happened.
static bool take_back(struct link_op *op)
{
	struct link_shard *s = op->shard;
	struct link_part *p = op->part;
	if (op->waits) {
		line_take(s, op);
		return false;
	}
	if (!p)
		return false;
	bool was_sent = p->store->provider->ops->cancel(p, op);
	op->part = NULL;
	op->begun_ns = 0;
	if (s) {
		if (s->noting && was_sent)
			note(s, op);  // what became of it is seen when its key is copied once more
		has_left(s, op);
	}
	return was_sent;
}

void link__cancel(struct link_op *op)
{
	struct loop *loop = op->shard ? op->shard->loop : op->part ? op->part->loop
															   : NULL;
	if (loop)
		loop_timer_cancel(loop, &op->timer);
	take_back(op);
}

static void on_late(struct loop_timer *t)
{
	struct link_op *op = CONTAINER_OF(t, struct link_op, timer);
	struct link_shard *s = op->shard;
	bool waited = op->waits;
	op->code = take_back(op) ? LINK_UNKNOWN : LINK_UNSENT;
	if (s)
		s->errors++;
	snprintf(op->ret_text, sizeof op->ret_text, "%s",
		waited                        ? "the store was being changed until the deadline of the call"
			: op->code == LINK_UNSENT ? is_write(op) ? "the store did not take it before the deadline of the call"
													 : "the store did not answer before the deadline of the call"
									  : "the store did not answer before the deadline of the call: it may have happened");
	op->done(op);
}
