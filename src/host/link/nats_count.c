// Increments: NATS has none. Who holds the counter (nats_counter.h) reads it, unless it is known, and writes it by compare and swap; what has come from anybody
// meanwhile is in that write.
//
//   hold ──► (READ ──►) WRITE ──► all are told      WRITE ──► another sequence: all wait again ──► READ
//
// 1. The sum is made when the write is put to what is sent: who leaves before has no part in it, who leaves later hears that it may have happened.
// 2. The write is everybody's: the holder's operation may go while others are carried. The call then goes on without one, until it is answered or nobody
//    waits for it any more.
// 3. A write that got no answer is unknown to all whom it carried, and is not tried again. What the counter is then is read: where the write comes after all, the
//    sequence of the next one is wrong.
// 4. What would be out of range is left out of the sum. That is told when the sum was written, since what is known of a counter may be old; where nothing is left to
//    be written it is read before.
// 5. What is known is old soon (KNOWN_FOR): a sequence says what a key is in one bucket only, and the same name may be another bucket since.
// 6. A process that writes what it knows is always before one that must read first: so who has had a counter for a while lets others have it (`rest`).
#include "nats_count.h"

#include <stdio.h>

// A process that has had a counter for a TURN rests for as long as others take to read and to write: three of its own trips, or longer, as it may be nearer to the
// server. Where others were seen lately, sooner and longer.
#define SEEN_LATELY (10 * SECOND)
static const struct {
	uint64_t turn_ns, least_ns;
} rests[] = {{1 * SECOND, 20 * MILLISECOND}, {300 * MILLISECOND, 60 * MILLISECOND}};
enum { TRIPS = 3 };
// A bucket that is made anew counts its sequences from the beginning: what is known of the one before may lie at a sequence that comes again, once enough was written.
#define KNOWN_FOR (1 * SECOND)

static struct nats_known *known_of(struct nats_call *k)
{
	return nats__counter_known(k->counter);
}

// ---- ends ------------------------------------------------------------------------------------------------------------------------

// Of the operation, by its share in a sum that came to this end.
static void answer(struct nats_call *k, enum link_code code, const char *why)
{
	const struct nats_waiter *w = &k->waiter;
	if (code != LINK_OK) {
		nats__fail(k, code, "%s", why);
	} else if (w->share == NATS_SUMMED) {
		k->op->ret_number = w->number;
		nats__finish(k, LINK_OK);
	} else if (w->share == NATS_OUT_OF_RANGE) {
		nats__fail(k, LINK_REFUSED, "the sum of %lld and %lld is out of range", (long long)w->number, (long long)w->delta);
	} else {
		nats__fail(k, LINK_REFUSED, "the value is no number");
	}
}

static void pass_on(struct nats_call *k)
{
	nats__counter_pass_on(k->counter, &k->waiter);
	k->counter = NULL;
	k->holds = false;
	loop_timer_cancel(k->part->p.loop, &k->late);
}

// All whom it carries, and the holder's own.
static void end_all(struct nats_call *k, enum link_code code, const char *why)
{
	char text[160];
	bool has_part = k->waiter.share == NATS_SUMMED;
	snprintf(text, sizeof text, "%s", why);
	nats__counter_tell(k->counter, code, text);
	pass_on(k);
	if (k->op)
		answer(k, code != LINK_OK && !has_part ? LINK_UNSENT : code, text);
	else
		nats__give_up(k);
}

// The holder's own alone: others try for themselves.
static void end_own(struct nats_call *k, enum link_code code, const char *why)
{
	pass_on(k);
	if (k->op)
		nats__fail(k, code, "%s", why);
	else
		nats__give_up(k);
}

// ---- the holder ------------------------------------------------------------------------------------------------------------------

static void on_rested(struct loop_timer *t);

static void hold(struct nats_call *k)
{
	struct nats_known *known = known_of(k);
	uint64_t now = loop_now_fresh_ns(k->part->p.loop);
	k->holds = true;
	if (now < known->rests_until_ns) {
		k->rests = true;
		nats__link_in(&k->part->counting, k);
		k->late.fn = on_rested;
		loop_timer_set(k->part->p.loop, &k->late, known->rests_until_ns);
		return;
	}
	if (now > known->last_ns + KNOWN_FOR)
		known->sequence = 0;
	k->sequence = known->sequence;
	k->base = known->number;
	nats__begin_step(k, known->sequence ? NATS_WRITE : NATS_READ);
}

static void rest_no_more(struct nats_call *k)
{
	k->rests = false;
	nats__link_out(k);
	loop_timer_cancel(k->part->p.loop, &k->late);
}

static void on_rested(struct loop_timer *t)
{
	struct nats_call *k = CONTAINER_OF(t, struct nats_call, late);
	rest_no_more(k);
	known_of(k)->rests_until_ns = 0;
	hold(k);
}

// It was written.
static void count_turn(struct nats_call *k)
{
	struct nats_known *known = known_of(k);
	uint64_t now = loop_now_fresh_ns(k->part->p.loop), trip = now - k->c.left_ns;
	bool others = known->stale_ns && now - known->stale_ns < SEEN_LATELY;
	uint64_t rest = max_u64(TRIPS * trip, rests[others].least_ns);
	if (!known->since_ns || k->c.left_ns > known->last_ns + rest)  // else nobody had time
		known->since_ns = now;
	known->last_ns = now;
	if (now - known->since_ns < rests[others].turn_ns)
		return;
	known->since_ns = 0;
	known->rests_until_ns = now + rest;
}

static struct nats_waiter *own(struct nats_call *k)
{
	return k->op ? &k->waiter : NULL;
}

bool nats__count_write(struct nats_wire *x, struct nats_call *k)
{
	char headers[96], text[24];
	struct slice subject = nats__counter_subject(k->counter);
	if (k->step == NATS_WRITE) {
		k->sum = nats__counter_sum(k->counter, own(k), &k->base);
		if (!k->sum.n) {
			nats__counter_put_back(k->counter);
			nats__reads_instead(k);
		}
	}
	if (k->step == NATS_READ)
		return nats__write_read(x, k, subject);
	int n = snprintf(headers, sizeof headers, "NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: %llu\r\n\r\n", (unsigned long long)k->sequence);
	int len = snprintf(text, sizeof text, "%lld", (long long)k->sum.number);
	return nats__publish(x, subject, k->c.number, slice_of(headers, (size_t)n), slice_of(text, (size_t)len));
}

static void take_read(struct nats_call *k, const struct nats_message *m)
{
	char text[LINK_COUNT_MAX], why[160];
	int64_t sum;
	unsigned status = nats__status(m->headers);
	k->sequence = 0;
	if (status != 404 && (status >= 300 || !slice_parse_u64(nats__header(m->headers, "Nats-Sequence"), UINT64_MAX, &k->sequence))) {
		snprintf(why, sizeof why, status == 503 ? "no JetStream answers" : "the server has answered something else (%u)", status);
		nats__count_not_sent(k, LINK_UNSENT, why);
		return;
	}
	bool is_number = link__count(status == 404 || nats__is_gone(m) ? SLICE_LIT("0") : m->payload, 0, &k->base, text, why) != 0;
	bool writes = is_number && !__builtin_add_overflow(k->base, k->waiter.delta, &sum);
	if (!writes) {  // of the others perhaps
		writes = nats__counter_sum(k->counter, own(k), is_number ? &k->base : NULL).n;
		if (writes)
			nats__counter_put_back(k->counter);
	}
	if (writes)
		nats__begin_step(k, NATS_WRITE);
	else
		end_all(k, LINK_OK, "");
}

// The sequence was another one.
static void take_stale(struct nats_call *k)
{
	struct nats_known *known = known_of(k);
	known->sequence = known->since_ns = 0;
	known->stale_ns = loop_now_fresh_ns(k->part->p.loop);
	nats__counter_put_back(k->counter);
	if (k->op)
		nats__begin_step(k, NATS_READ);
	else
		end_own(k, LINK_UNSENT, "");
}

static void take_written(struct nats_call *k, const struct nats_message *m)
{
	unsigned code;
	char why[160];
	if (nats__status(m->headers) == 503) {
		nats__count_not_written(k, LINK_UNSENT, "no JetStream answers");
		return;
	}
	const struct json *ack = nats__answer(k->part, m->payload);
	struct slice text = nats__answer_error(ack, &code);
	if (code == NATS_WRONG_SEQUENCE) {
		take_stale(k);
	} else if (code) {
		snprintf(why, sizeof why, "the server: %.*s (%u)", SLICE_ARGS(text), code);
		nats__count_not_written(k, code == 1 ? LINK_UNKNOWN : LINK_REFUSED, why);
	} else {
		known_of(k)->sequence = json_number(ack, "seq", 0);
		known_of(k)->number = k->sum.number;
		count_turn(k);
		end_all(k, LINK_OK, "");
	}
}

void nats__count_take(struct nats_call *k, const struct nats_message *m)
{
	if (k->step == NATS_READ)
		take_read(k, m);
	else
		take_written(k, m);
}

void nats__count_not_sent(struct nats_call *k, enum link_code code, const char *why)
{
	end_own(k, code, why);
}

void nats__count_not_written(struct nats_call *k, enum link_code code, const char *why)
{
	known_of(k)->sequence = 0;
	end_all(k, code, why);
}

// ---- those that wait -------------------------------------------------------------------------------------------------------------

// It holds the counter now, or what carried it has ended.
static void on_told(struct loop_remote *r)
{
	struct nats_call *k = CONTAINER_OF(r, struct nats_call, waiter.told);
	if (!k->part) {  // closed meanwhile
		nats__call_free(k);
		return;
	}
	bool granted = k->waiter.state == NATS_GRANTED;
	nats__link_out(k);
	if (!granted)
		k->counter = NULL;
	if (!k->op) {
		if (granted)
			pass_on(k);
		nats__give_up(k);
	} else if (granted) {
		k->waiter.state = NATS_HOLDS;
		hold(k);
	} else {
		answer(k, k->waiter.code, k->op->ret_text);
	}
}

// What is carried has nobody any more who waits for it.
static void on_late(struct loop_timer *t)
{
	struct nats_call *k = CONTAINER_OF(t, struct nats_call, late);
	(void)link__call_cancel(&k->c);
	nats__count_not_written(k, LINK_UNKNOWN, "the server did not answer");
}

void nats__count_begin(struct nats_call *k)
{
	struct nats_part *p = k->part;
	struct link_op *op = k->op;
	k->c.lane = LANES;  // who else asks for it, by which connection, does not matter
	k->holds = k->rests = false;
	k->waiter = (struct nats_waiter){.delta = op->delta, .deadline_ns = op->deadline_ns, .text = op->ret_text, .loop = p->p.loop, .told.fn = on_told};
	bool holds = nats__counter_enter(nats__store_of(p)->counters, nats__subject(p, op), &k->waiter, &k->counter);
	if (!k->counter)
		nats__fail(k, LINK_UNSENT, "memory is out");
	else if (holds)
		hold(k);
	else
		nats__link_in(&p->counting, k);
}

// The operation is the caller's.
static void let_go(struct nats_call *k)
{
	link__line_leave(&k->part->line, &k->line);
	k->op = NULL;
}

// Its operation is the caller's; what it was found as says whether it will be told.
static void stop_waiting(struct nats_call *k, enum nats_waiter_state was)
{
	let_go(k);
	if (was == NATS_GRANTED || was == NATS_TOLD) {
		nats__link_in(&k->part->unwanted, k);
		return;
	}
	k->counter = NULL;
	nats__give_up(k);
}

bool nats__count_cancel(struct nats_call *k)
{
	if (!k->holds) {
		enum nats_waiter_state was = nats__counter_leave(k->counter, &k->waiter, false);
		nats__link_out(k);
		stop_waiting(k, was);
		return was == NATS_CARRIED || was == NATS_TOLD;
	}
	if (k->rests)
		rest_no_more(k);
	bool wrote = k->step == NATS_WRITE && k->c.wire;
	if (wrote && nats__counter_carries(k->counter)) {
		link__call_is_late(&k->c);
		let_go(k);
		k->late.fn = on_late;
		loop_timer_set(k->part->p.loop, &k->late, k->sum.latest_ns);
		return true;
	}
	(void)link__call_cancel(&k->c);
	if (wrote)
		known_of(k)->sequence = 0;
	pass_on(k);
	nats__give_up(k);
	return wrote;
}

void nats__count_recall(struct nats_part *p)
{
	struct nats_call *list = NULL;
	while (p->counting) {  // the oldest first
		struct nats_call *k = p->counting;
		nats__link_out(k);
		nats__link_in(&list, k);
	}
	while (list) {
		struct nats_call *k = list;
		struct link_op *op = k->op;
		if (k->rests) {
			rest_no_more(k);
			end_own(k, LINK_RECALLED, "the store is being changed");
			continue;
		}
		enum nats_waiter_state was = nats__counter_leave(k->counter, &k->waiter, true);
		nats__link_out(k);
		if (was == NATS_CARRIED || was == NATS_TOLD) {
			nats__link_in(&p->counting, k);
			continue;
		}
		stop_waiting(k, was);
		link_op_done(op, LINK_RECALLED);
	}
}

void nats__count_close(struct nats_part *p)
{
	while (p->unwanted) {  // they are on their way
		struct nats_call *k = p->unwanted;
		nats__link_out(k);
		if (k->waiter.state == NATS_GRANTED)
			pass_on(k);
		k->part = NULL;
	}
}
