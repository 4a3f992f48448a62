// One operation's requests, one after the other (nats_call.h).
#include "nats_call.h"

#include <stdarg.h>
#include <stdio.h>

#define ASK_AGAIN (200 * MILLISECOND)
#define PURGE_AGAIN (2 * SECOND)

void nats__link_in(struct nats_call **list, struct nats_call *k)
{
	k->next = *list;
	k->prev = list;
	if (k->next)
		k->next->prev = &k->next;
	*list = k;
}

void nats__link_out(struct nats_call *k)
{
	*k->prev = k->next;
	if (k->next)
		k->next->prev = k->prev;
}

// ---- life ------------------------------------------------------------------------------------------------------------------------

static void on_unanswered(struct loop_timer *t);

struct nats_call *nats__call_new(struct nats_part *p, struct link_op *op)
{
	struct nats_call *k = p->spare;
	if (k) {
		p->spare = k->next;
	} else {
		if (!(k = mem_zalloc(sizeof *k)))
			return NULL;
		arena_init(&k->names, 0);
	}
	k->part = p;
	k->op = op;
	k->line = (struct link__in_line){0};
	k->recalls = p->recalls;
	k->unanswered.fn = on_unanswered;
	return k;
}

void nats__call_free(struct nats_call *k)
{
	arena_release(&k->names);
	VEC_FREE(&k->keys);
	mem_free(k);
}

void nats__give_up(struct nats_call *k)
{
	loop_timer_cancel(k->part->p.loop, &k->unanswered);
	if (k->op)
		link__line_leave(&k->part->line, &k->line);
	k->op = NULL;
	arena_clear(&k->names);
	VEC_FREE(&k->keys);
	k->next = k->part->spare;
	k->part->spare = k;
}

void nats__finish(struct nats_call *k, enum link_code code)
{
	struct link_op *op = k->op;
	nats__give_up(k);
	link_op_done(op, code);
}

void nats__fail(struct nats_call *k, enum link_code code, const char *fmt, ...)
{
	char text[160];
	struct link_op *op = k->op;
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	nats__give_up(k);
	link_op_fail(op, code, "%s", text);
}

const struct json *nats__take_answer(struct nats_call *k, const struct nats_message *m)
{
	unsigned code;
	if (nats__status(m->headers) == 503) {
		nats__fail(k, LINK_UNSENT, "no JetStream answers");
		return NULL;
	}
	const struct json *answer = nats__answer(k->part, m->payload);
	struct slice text = nats__answer_error(answer, &code);
	if (!code)
		return answer;
	nats__fail(k, LINK_REFUSED, "the server: %.*s (%u)", SLICE_ARGS(text), code);
	return NULL;
}

// ---- requests --------------------------------------------------------------------------------------------------------------------

struct slice nats__subject(struct nats_part *p, const struct link_op *op)
{
	buf_clear(&p->name);
	buf_printf(&p->name, "$KV.%s.", nats__store_of(p)->bucket);
	link__name_put(&p->name, p->p.store, op->bucket, op->key, NATS_PLAIN, NATS_SEPARATOR);
	return buf_view(&p->name);
}

bool nats__is_gone(const struct nats_message *m)
{
	struct slice what = nats__header(m->headers, "KV-Operation");
	return slice_eq_str(what, "DEL") || slice_eq_str(what, "PURGE");
}

bool nats__write_read(struct nats_wire *x, struct nats_call *k, struct slice subject)
{
	struct nats_part *p = k->part;
	buf_clear(&p->body);
	buf_printf(&p->body, "$JS.API.DIRECT.GET.KV_%s.", nats__store_of(p)->bucket);
	buf_put_slice(&p->body, subject);
	x->w.out.failed |= p->body.failed;
	return nats__publish(x, buf_view(&p->body), k->c.number, (struct slice){0}, (struct slice){0});
}

// The same question once more, which either answer answers: the server may be slow, too.
static void on_unanswered(struct loop_timer *t)
{
	struct nats_call *k = CONTAINER_OF(t, struct nats_call, unanswered);
	struct link_wire *w = k->c.wire;
	if (w) {  // it has left
		k->patience_ns *= 2;
		w->out.failed |= !k->part->write(CONTAINER_OF(w, struct nats_wire, w), &k->c);
		link__wire_flush(w);
	}
	loop_timer_set(k->part->p.loop, t, loop_now_fresh_ns(k->part->p.loop) + k->patience_ns);
}

static void set_step(struct nats_call *k, enum nats_step step)
{
	struct loop *loop = k->part->p.loop;
	k->step = step;
	k->c.reads = step == NATS_READ || step == NATS_CONSUME || step == NATS_ASK || step == NATS_PURGE;
	k->patience_ns = step == NATS_PURGE ? PURGE_AGAIN : ASK_AGAIN;
	if (k->c.reads)
		loop_timer_set(loop, &k->unanswered, loop_now_fresh_ns(loop) + k->patience_ns);
}

void nats__begin_step(struct nats_call *k, enum nats_step step)
{
	set_step(k, step);
	link__pool_call(&k->part->pool, &k->c);  // last: it may end the call
}

void nats__reads_instead(struct nats_call *k)
{
	set_step(k, NATS_READ);
}
