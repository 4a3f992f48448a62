// NATS JetStream: a store over the connections of nats_wire.c. A bucket is the stream KV_BUCKET, a key the last message of the subject
// $KV.BUCKET.TENANT.APP.BUCKET.KEY (ADR-8 of NATS), a deletion a message that says so (KV-Operation: DEL).
//
// 1. A version is the sequence of the key's last message. What compares is the server, by Nats-Expected-Last-Subject-Sequence.
// 2. An increment reads, adds and swaps; those of this process that come meanwhile are in the next write together (nats_count.c). Other processes make it begin
//    anew.
// 3. A list is a consumer of headers from the cursor's sequence on: pages go by sequence, each key is there once, or again when it was written meanwhile.
// 4. A server may lose a request: one of 2.9 answers nothing to what comes while the stream is being made by several at once. What only reads is asked again
//    (ASK_AGAIN, then twice as long each time); who counts keeps all others of the key waiting.
// 5. One guest's operations on one key go in its order (line.c).
//
//   GET, EXISTS: READ ──► done                         SET, DELETE: WRITE ──► done
//   SWAP: WRITE ──► done; of a key that is not there, WRITE fails ──► READ (a deletion has a sequence) ──► WRITE_AGAIN ──► done
//   LIST: CONSUME ──► FETCH ──► done                   CHECK: ASK ──► done
//   PURGE: ASK ──► PURGE (again, where there is much) ──► done
#include <stdio.h>

#include "nats_call.h"
#include "nats_count.h"
#include "nats_list.h"
#include "nats_purge.h"

enum { ANSWER_MAX = 4 << 20 };

// ---- ends ------------------------------------------------------------------------------------------------------------------------

static void on_end(struct link_call *c, enum link_call_end end, const char *why)
{
	static const enum link_code codes[] = {
		[CALL_NOT_SENT] = LINK_UNSENT, [CALL_RECALLED] = LINK_RECALLED, [CALL_TOO_LARGE] = LINK_REFUSED, [CALL_UNKNOWN] = LINK_UNKNOWN};
	struct nats_call *k = nats__call_of(c);
	enum link_code code = codes[end];
	char text[160];
	if (end == CALL_TOO_LARGE) {
		snprintf(text, sizeof text, "%zu bytes are more than the %llu that the server takes", k->op ? k->op->value.len : 0, (unsigned long long)k->part->max_payload);
		why = text;
	}
	if (code == LINK_UNKNOWN && k->step == NATS_READ)
		code = LINK_UNSENT;  // it only read until now
	if (!k->counter)
		nats__fail(k, code, "%s", why);
	else if (k->step == NATS_WRITE && (end == CALL_UNKNOWN || end == CALL_TOO_LARGE))
		nats__count_not_written(k, code, why);
	else
		nats__count_not_sent(k, code, why);
}

// ---- what is asked ---------------------------------------------------------------------------------------------------------------

static bool write_value(struct nats_wire *x, struct nats_call *k)
{
	const struct link_op *op = k->op;
	char headers[128];
	int n = 0;
	struct slice value = op->value;
	if (op->kind == LINK_DELETE) {
		n = snprintf(headers, sizeof headers, "NATS/1.0\r\nKV-Operation: DEL\r\n\r\n");
		value.len = 0;
	}
	if (op->kind == LINK_SWAP)
		n = snprintf(headers, sizeof headers, "NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: %llu\r\n\r\n", (unsigned long long)k->sequence);
	return nats__publish(x, nats__subject(k->part, op), k->c.number, slice_of(headers, (size_t)n), value);
}

static bool write_call(struct nats_wire *x, struct link_call *c)
{
	struct nats_call *k = nats__call_of(c);
	char api[128];
	bool ok = true;
	switch (k->step) {
	case NATS_READ:
		ok = k->counter ? nats__count_write(x, k) : nats__write_read(x, k, nats__subject(k->part, k->op));
		break;
	case NATS_WRITE:
	case NATS_WRITE_AGAIN:
		ok = k->counter ? nats__count_write(x, k) : write_value(x, k);
		break;
	case NATS_CONSUME:
		ok = nats__list_write_consume(x, k);
		break;
	case NATS_FETCH:
		ok = nats__list_write_fetch(x, k);
		break;
	case NATS_ASK:
		snprintf(api, sizeof api, "$JS.API.STREAM.INFO.KV_%s", nats__store_of(k->part)->bucket);
		ok = nats__publish(x, slice_str(api), c->number, (struct slice){0}, (struct slice){0});
		break;
	case NATS_PURGE:
		ok = nats__purge_write(x, k);
		break;
	}
	x->w.out.failed |= k->part->name.failed;
	return ok;
}

// ---- answers ---------------------------------------------------------------------------------------------------------------------

static void take_read(struct nats_call *k, const struct nats_message *m)
{
	struct link_op *op = k->op;
	unsigned status = nats__status(m->headers);
	uint64_t sequence = 0;
	if (status == 503) {
		nats__fail(k, LINK_UNSENT, "no JetStream answers");
		return;
	}
	if (status != 404 && (status >= 300 || !slice_parse_u64(nats__header(m->headers, "Nats-Sequence"), UINT64_MAX, &sequence))) {
		nats__fail(k, op->kind == LINK_SWAP ? LINK_UNSENT : LINK_REFUSED, "the server has answered something else (%u)", status);
		return;
	}
	bool found = status != 404 && !nats__is_gone(m);
	if (op->kind == LINK_SWAP) {  // it was to be not there
		k->sequence = sequence;
		if (found || sequence == 0)
			nats__finish(k, LINK_STALE);
		else
			nats__begin_step(k, NATS_WRITE_AGAIN);
		return;
	}
	op->found = found;
	op->ret_value = found ? m->payload : (struct slice){0};
	op->ret_version = (struct link_version){.words[0] = found ? sequence : 0};
	nats__finish(k, LINK_OK);
}

// The sequence was another one.
static void take_wrong(struct nats_call *k)
{
	if (k->op->kind == LINK_SWAP && k->op->version.words[0] == 0 && k->step == NATS_WRITE)
		nats__begin_step(k, NATS_READ);
	else
		nats__finish(k, LINK_STALE);
}

static void take_written(struct nats_call *k, const struct nats_message *m)
{
	unsigned code;
	if (nats__status(m->headers) == 503) {
		nats__fail(k, LINK_UNSENT, "no JetStream answers");
		return;
	}
	struct slice text = nats__answer_error(nats__answer(k->part, m->payload), &code);
	if (code == NATS_WRONG_SEQUENCE)
		take_wrong(k);
	else if (code)
		nats__fail(k, code == 1 ? LINK_UNKNOWN : LINK_REFUSED, "the server: %.*s (%u)", SLICE_ARGS(text), code);
	else
		nats__finish(k, LINK_OK);
}

// ---- what the server is ----------------------------------------------------------------------------------------------------------

static void take_stream(struct nats_wire *x, struct nats_call *k, const struct nats_message *m)
{
	struct link_op *op = k->op;
	const struct json *answer = nats__take_answer(k, m);
	if (!answer)
		return;
	if (op->kind == LINK_PURGE) {
		nats__purge_begin(k, json_member(answer, "state"));
		return;
	}
	bool memory = slice_eq_str(json_text(json_member(answer, "config"), "storage"), "memory");
	snprintf(op->ret_text, sizeof op->ret_text, "NATS %s; values up to %llu bytes; %s", x->version, (unsigned long long)x->max_payload,
		memory ? "in memory: a restart takes all" : "synced from time to time (sync_interval): a power failure takes what came since");
	op->ret_caps = k->part->p.store->provider->caps;
	nats__finish(k, LINK_OK);
}

static void take_message(struct nats_wire *x, struct link_call *c, const struct nats_message *m)
{
	struct nats_call *k = nats__call_of(c);
	if (k->step == NATS_FETCH) {
		nats__list_take_fetched(&x->w, k, m);
		return;
	}
	link__wire_took(&x->w, c->number);
	c->pool = NULL;
	loop_timer_cancel(k->part->p.loop, &k->unanswered);
	if (k->counter) {
		nats__count_take(k, m);
		return;
	}
	switch (k->step) {
	case NATS_READ:
		take_read(k, m);
		break;
	case NATS_WRITE:
	case NATS_WRITE_AGAIN:
		take_written(k, m);
		break;
	case NATS_CONSUME:
		nats__list_take_consumer(&x->w, k, m);
		break;
	case NATS_ASK:
		take_stream(x, k, m);
		break;
	case NATS_PURGE:
		nats__purge_take(k, m);
		break;
	case NATS_FETCH:
		break;
	}
}

// Of what is asked, a server may have forbidden to purge alone: the keys can be deleted one by one. Any other request has its deadline.
static void take_denial(struct nats_wire *x, struct slice text)
{
	for (uint64_t n = x->w.first; n < x->w.end; n++) {
		struct link_call *c = link__wire_find(&x->w, n);
		struct nats_call *k = c ? nats__call_of(c) : NULL;
		if (!k || k->step != NATS_PURGE || !nats__purge_is_meant(text))
			continue;
		link__wire_took(&x->w, n);
		c->pool = NULL;
		nats__fail(k, LINK_REFUSED, "the server: %.*s", SLICE_ARGS(slice_sub(text, 0, 100)));
	}
}

// ---- operations ------------------------------------------------------------------------------------------------------------------

// What a subject of NATS may be where keys are as they are.
static bool is_subject(struct slice s)
{
	if (s.len == 0 || s.ptr[0] == '.' || s.ptr[s.len - 1] == '.')
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] <= ' ' || s.ptr[i] >= 127 || strchr("*>", s.ptr[i]) || (s.ptr[i] == '.' && s.ptr[i - 1] == '.'))
			return false;
	return true;
}

static bool is_of_key(const struct link_op *op)
{
	return op->kind != LINK_CHECK && op->kind != LINK_LIST && op->kind != LINK_PURGE;
}

// NULL, or what stands against it.
static const char *check_name(struct nats_part *p, const struct link_op *op)
{
	if (!is_of_key(op))
		return NULL;
	if (nats__subject(p, op).len > NATS_SUBJECT_MAX)
		return "the key is too long for NATS";
	if (p->p.store->n_parts == 0 && !is_subject(op->key))
		return "the key is none of NATS";
	if (link__name_is_own(p->p.store, op->bucket, op->key, NATS_SEPARATOR))
		return LINK__NAME_IS_OWN;
	if (op->ttl_ms)
		return "NATS keeps no times to live";
	return NULL;
}

static void begin(struct nats_call *k)
{
	const struct link_op *op = k->op;
	switch (op->kind) {
	case LINK_CHECK:
	case LINK_PURGE:
		nats__begin_step(k, NATS_ASK);
		break;
	case LINK_GET:
	case LINK_EXISTS:
		nats__begin_step(k, NATS_READ);
		break;
	case LINK_SET:
	case LINK_DELETE:
		nats__begin_step(k, NATS_WRITE);
		break;
	case LINK_SWAP:
		k->sequence = op->version.words[0];
		nats__begin_step(k, NATS_WRITE);
		break;
	case LINK_INCREMENT:
		nats__count_begin(k);
		break;
	case LINK_LIST:
		nats__begin_step(k, NATS_CONSUME);
		break;
	}
}

static struct nats_part *part_of(struct link_part *p)
{
	return CONTAINER_OF(p, struct nats_part, p);
}

// What is published on one connection is done in its order; reads are answered before what is not written yet.
static enum link__line_kind kind_of(const struct link_op *op)
{
	if (op->kind == LINK_GET || op->kind == LINK_EXISTS)
		return LINK__LINE_READ;
	if (op->kind == LINK_INCREMENT)
		return LINK__LINE_COUNT;
	return op->kind == LINK_SWAP && op->version.words[0] == 0 ? LINK__LINE_ALONE : LINK__LINE_WRITE;
}

static void on_turn(struct link__in_line *x)
{
	begin(CONTAINER_OF(x, struct nats_call, line));
}

static void nats_submit(struct link_part *part, struct link_op *op)
{
	struct nats_part *p = part_of(part);
	const char *why = check_name(p, op);
	struct nats_call *k = why ? NULL : nats__call_new(p, op);
	if (!k) {
		link_op_fail(op, why ? LINK_REFUSED : LINK_UNSENT, "%s", why ? why : "memory is out");
		return;
	}
	bool keyed = is_of_key(op);
	k->c = (struct link_call){.done = on_end, .deadline_ns = op->deadline_ns};
	k->c.lane = keyed ? (uint32_t)hash_u64(op->key) % LANES : LANES;
	op->of = k;
	enum link__line_order order = keyed ? link__line_enter(&p->line, &k->line, kind_of(op), hash_128(buf_view(&p->name)), op->memory) : LINK__LINE_MAY_BEGIN;
	if (order == LINK__LINE_NO_MEMORY)
		nats__fail(k, LINK_UNSENT, "memory is out");
	else if (order == LINK__LINE_MAY_BEGIN)
		begin(k);
}

static bool nats_cancel(struct link_part *part, struct link_op *op)
{
	struct nats_call *k = op->of;
	if (k->counter)
		return nats__count_cancel(k);
	if (k->c.wire && k->step == NATS_FETCH)
		nats__list_cancel(k->c.wire, k);
	bool left = link__call_cancel(&k->c), wrote = k->step == NATS_WRITE || k->step == NATS_WRITE_AGAIN || k->step == NATS_PURGE;
	nats__give_up(k);
	return left && wrote;
}

// What is of another link, which isn't held, comes back at once, and waits anew: so of each only those that wait now. What has begun is older than what waits.
static void nats_recall(struct link_part *part)
{
	struct nats_part *p = part_of(part);
	struct link__in_line *list = NULL;
	p->recalls++;
	link__line_take_all(&p->line, &list);
	link__pool_recall(&p->pool);
	nats__count_recall(p);
	while (list) {
		struct nats_call *k = CONTAINER_OF(list, struct nats_call, line);
		struct link_op *op = k->op;
		nats__give_up(k);  // takes it out
		link_op_done(op, LINK_RECALLED);
	}
}

static bool nats_part_open(struct link_part *part, struct err *e)
{
	struct nats_part *p = part_of(part);
	p->write = write_call;
	p->take = take_message;
	p->denied = take_denial;
	arena_init(&p->answer, ANSWER_MAX);
	link__line_init(&p->line, part->loop, false, on_turn);
	link__pool_init(&p->pool, part->loop, part->store->host->names, &nats__store_of(p)->server, &nats__protocol, p);
	return true;
}

static void nats_part_close(struct link_part *part)
{
	struct nats_part *p = part_of(part);
	link__pool_release(&p->pool);
	nats__count_close(p);
	link__line_release(&p->line);
	while (p->spare) {
		struct nats_call *next = p->spare->next;
		nats__call_free(p->spare);
		p->spare = next;
	}
	buf_release(&p->name);
	buf_release(&p->body);
	arena_release(&p->answer);
}

static bool is_bucket(struct slice name)
{
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.ptr[i];
		if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '_'))
			return false;
	}
	return name.len > 0;
}

static bool nats_check(const struct link_target *t, struct err *e)
{
	if (is_bucket(t->path) && t->path.len < sizeof((struct nats_store *)0)->bucket)
		return true;
	err_set(e, ERR_USAGE, "'%.*s' names no bucket of NATS: letters, digits, - and _, at most 63", SLICE_ARGS(slice_sub(t->text, 0, 100)));
	return err_hint(e, "nats://HOST[:PORT]/BUCKET");
}

static bool nats_open(struct link_store *store, struct err *e)
{
	struct nats_store *s = CONTAINER_OF(store, struct nats_store, s);
	struct slice path = store->target.path;
	memcpy(s->bucket, path.ptr, path.len);
	if (!link__server_init(&s->server, store, e))
		return false;
	s->server.tls = false;  // after the server has spoken
	s->server.wires = 1;    // answers may come in any order: one is enough
	s->counters = nats__counters_new();
	return s->counters || err_nomem(e);
}

static void nats_close(struct link_store *store)
{
	nats__counters_free(CONTAINER_OF(store, struct nats_store, s)->counters);
}

const struct link_store_ops link__nats_ops = {
	.store_size = sizeof(struct nats_store),
	.part_size = sizeof(struct nats_part),
	.check = nats_check,
	.open = nats_open,
	.close = nats_close,
	.part_open = nats_part_open,
	.part_close = nats_part_close,
	.submit = nats_submit,
	.cancel = nats_cancel,
	.purges = true,
	.recall = nats_recall,
};
