// NATS JetStream: a store over the connections of nats_wire.c. A bucket is the stream KV_BUCKET, a key the last message of the subject
// $KV.BUCKET.TENANT.APP.BUCKET.KEY (ADR-8 of NATS), a deletion a message that says so (KV-Operation: DEL).
//
// 1. A version is the sequence of the key's last message. What compares is the server, by Nats-Expected-Last-Subject-Sequence.
// 2. An increment reads, adds and swaps, under the key's lock in this process (nats_lock.c); other processes make it begin anew. Who holds the lock knows what
//    he wrote last, and need not read it again.
// 3. A list is a consumer of headers from the cursor's sequence on: pages go by sequence, each key is there once, or again when it was written meanwhile.
// 4. A server may lose a request: one of 2.9 answers nothing to what comes while the stream is being made by several at once. What only reads is asked again
//    (ASK_AGAIN, then twice as long each time); who holds a lock keeps all others of the key waiting.
//
//   GET, EXISTS: READ ──► done                         SET, DELETE: WRITE ──► done
//   SWAP: WRITE ──► done; of a key that is not there, WRITE fails ──► READ (a deletion has a sequence) ──► WRITE_AGAIN ──► done
//   INCREMENT: lock ──► (READ ──►) WRITE ──► done, or READ again       LIST: CONSUME ──► FETCH ──► done       CHECK: ASK ──► done
#include <stdarg.h>
#include <stdio.h>

#include "nats_wire.h"

#define PLAIN "-_"
#define API_WRONG_SEQUENCE 10071
#define ASK_AGAIN (200 * MILLISECOND)
enum { SEPARATOR = '.', PAGE_MAX = 500, ANSWER_MAX = 4 << 20 };

struct nats_call {
	struct link_call c;
	struct nats_call *next, **prev;  // spare; of those that wait for locks
	struct nats_part *part;
	struct link_op *op;              // NULL: taken back while its lock was on its way
	enum { NATS_READ, NATS_WRITE, NATS_WRITE_AGAIN, NATS_CONSUME, NATS_FETCH, NATS_ASK } step;
	struct nats_waiter waiter;
	struct nats_lock *lock;          // that is held or waited for
	bool waits;                // for it
	struct hash128 name;
	uint64_t sequence;               // that is expected
	int64_t number;
	char consumer[48];
	struct loop_timer unanswered;    // of what only reads
	uint64_t patience_ns;
	// of LIST
	uint64_t pending, last;          // messages behind the last one; its sequence
	uint32_t wanted;                 // messages of this fetch that are to come
	struct arena names;
	VEC(struct link_key)
	keys;
};

static struct nats_store *store_of(const struct nats_part *p)
{
	return CONTAINER_OF(p->p.store, struct nats_store, s);
}

static struct nats_call *call_of(struct link_call *c)
{
	return CONTAINER_OF(c, struct nats_call, c);
}

// ---- end -------------------------------------------------------------------------------------------------------------------------

static void leave_lock(struct nats_call *k)
{
	if (k->lock)
		nats__lock_leave(k->lock, &k->waiter);
	k->lock = NULL;
}

static void give_up(struct nats_call *k)
{
	loop_timer_cancel(k->part->p.loop, &k->unanswered);
	leave_lock(k);
	k->op = NULL;
	arena_clear(&k->names);
	VEC_FREE(&k->keys);
	k->next = k->part->spare;
	k->part->spare = k;
}

static void finish(struct nats_call *k, enum link_code code)
{
	struct link_op *op = k->op;
	give_up(k);
	link_op_done(op, code);
}

static void fail(struct nats_call *k, enum link_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void fail(struct nats_call *k, enum link_code code, const char *fmt, ...)
{
	char text[160];
	struct link_op *op = k->op;
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	give_up(k);
	link_op_fail(op, code, "%s", text);
}

static void go_on(struct nats_call *k)
{
	link__pool_call(&k->part->pool, &k->c);
}

static void on_end(struct link_call *c, enum link_call_end end, const char *why)
{
	static const enum link_code codes[] = {
		[CALL_NOT_SENT] = LINK_UNSENT, [CALL_RECALLED] = LINK_RECALLED, [CALL_UNKNOWN] = LINK_UNKNOWN};
	struct nats_call *k = call_of(c);
	if (end == CALL_TOO_LARGE)
		fail(k, LINK_REFUSED, "%zu bytes are more than the %llu that the server takes", k->op->value.len, (unsigned long long)k->part->max_payload);
	else
		fail(k, codes[end], "%s", why);
}

// ---- what is asked ---------------------------------------------------------------------------------------------------------------

// "$KV.BUCKET.…", in p->name until the next one.
static struct slice subject_of(struct nats_part *p, const struct link_op *op, const char *before)
{
	buf_clear(&p->name);
	buf_printf(&p->name, "%s$KV.%s.", before, store_of(p)->bucket);
	link__name_put(&p->name, p->p.store, op->bucket, op->key, PLAIN, SEPARATOR);
	return buf_view(&p->name);
}

static bool write_read(struct nats_wire *x, struct nats_call *k)
{
	char api[128];
	snprintf(api, sizeof api, "$JS.API.DIRECT.GET.KV_%s.", store_of(k->part)->bucket);
	return nats__publish(x, subject_of(k->part, k->op, api), k->c.number, (struct slice){0}, (struct slice){0});
}

static bool write_value(struct nats_wire *x, struct nats_call *k)
{
	const struct link_op *op = k->op;
	char headers[128], text[24];
	int n = 0;
	struct slice value = op->value;
	if (op->kind == LINK_DELETE) {
		n = snprintf(headers, sizeof headers, "NATS/1.0\r\nKV-Operation: DEL\r\n\r\n");
		value.len = 0;
	}
	if (op->kind == LINK_SWAP || op->kind == LINK_INCREMENT)
		n = snprintf(headers, sizeof headers, "NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: %llu\r\n\r\n", (unsigned long long)k->sequence);
	if (op->kind == LINK_INCREMENT)
		value = slice_of(text, (size_t)snprintf(text, sizeof text, "%lld", (long long)k->number));
	return nats__publish(x, subject_of(k->part, op, ""), k->c.number, slice_of(headers, (size_t)n), value);
}

static bool write_consume(struct nats_wire *x, struct nats_call *k)
{
	struct nats_part *p = k->part;
	const struct link_op *op = k->op;
	const char *bucket = store_of(p)->bucket;
	char api[128];
	buf_clear(&p->body);
	buf_printf(&p->body, "{\"stream_name\":\"KV_%s\",\"config\":{", bucket);
	if (op->cursor)
		buf_printf(&p->body, "\"deliver_policy\":\"by_start_sequence\",\"opt_start_seq\":%llu", (unsigned long long)op->cursor + 1);
	else
		buf_put_str(&p->body, "\"deliver_policy\":\"all\"");
	buf_put_str(&p->body, ",\"ack_policy\":\"none\",\"replay_policy\":\"instant\",\"headers_only\":true,\"mem_storage\":true,\"inactive_threshold\":30000000000");
	buf_printf(&p->body, ",\"filter_subject\":\"$KV.%s.", bucket);
	link__name_put_prefix(&p->body, p->p.store, op->all ? NULL : &op->bucket, PLAIN, SEPARATOR);
	buf_put_str(&p->body, ">\"}}");
	x->w.out.failed |= p->body.failed;
	snprintf(api, sizeof api, "$JS.API.CONSUMER.CREATE.KV_%s", bucket);
	return nats__publish(x, slice_str(api), k->c.number, (struct slice){0}, buf_view(&p->body));
}

// What is delivered comes by a subscription of its own: its subjects are the keys'.
static bool write_fetch(struct nats_wire *x, struct nats_call *k)
{
	char api[192], ask[64];
	unsigned long long sid = k->c.number + 2;
	snprintf(api, sizeof api, "$JS.API.CONSUMER.MSG.NEXT.KV_%s.%s", store_of(k->part)->bucket, k->consumer);
	int n = snprintf(ask, sizeof ask, "{\"batch\":%u,\"no_wait\":true}", k->wanted);
	buf_printf(&x->w.out, "SUB %s.f%llu %llu\r\n", x->inbox, sid, sid);
	buf_printf(&x->w.out, "PUB %s %s.f%llu %d\r\n%s\r\n", api, x->inbox, sid, n, ask);
	return true;
}

static void end_fetch(struct link_wire *w, struct nats_call *k)
{
	buf_printf(&w->out, "UNSUB %llu\r\n", (unsigned long long)k->c.number + 2);
	link__wire_flush(w);
}

static void drop_consumer(struct link_wire *w, struct nats_call *k)
{
	buf_printf(&w->out, "PUB $JS.API.CONSUMER.DELETE.KV_%s.%s 0\r\n\r\n", store_of(k->part)->bucket, k->consumer);
	link__wire_flush(w);
}

static bool write_call(struct nats_wire *x, struct link_call *c)
{
	struct nats_call *k = call_of(c);
	char api[128];
	bool ok = true;
	switch (k->step) {
	case NATS_READ:
		ok = write_read(x, k);
		break;
	case NATS_WRITE:
	case NATS_WRITE_AGAIN:
		ok = write_value(x, k);
		break;
	case NATS_CONSUME:
		ok = write_consume(x, k);
		break;
	case NATS_FETCH:
		ok = write_fetch(x, k);
		break;
	case NATS_ASK:
		snprintf(api, sizeof api, "$JS.API.STREAM.INFO.KV_%s", store_of(k->part)->bucket);
		ok = nats__publish(x, slice_str(api), c->number, (struct slice){0}, (struct slice){0});
		break;
	}
	x->w.out.failed |= k->part->name.failed;
	return ok;
}

// ---- increments --------------------------------------------------------------------------------------------------------------------

static void await_answer(struct nats_call *k)
{
	struct loop *loop = k->part->p.loop;
	loop_timer_set(loop, &k->unanswered, loop_now_fresh_ns(loop) + k->patience_ns);
	go_on(k);  // last: it may end the call
}

// The same question once more, which either answer answers: the server may be slow, too.
static void on_unanswered(struct loop_timer *t)
{
	struct nats_call *k = CONTAINER_OF(t, struct nats_call, unanswered);
	struct link_wire *w = k->c.wire;
	if (w) {  // it has left
		k->patience_ns *= 2;
		w->out.failed |= !write_call(CONTAINER_OF(w, struct nats_wire, w), &k->c);
		link__wire_flush(w);
	}
	loop_timer_set(k->part->p.loop, t, loop_now_fresh_ns(k->part->p.loop) + k->patience_ns);
}

static void begin_step(struct nats_call *k, unsigned step)
{
	k->step = step;
	k->c.reads = step == NATS_READ || step == NATS_CONSUME || step == NATS_ASK;
	k->patience_ns = ASK_AGAIN;
	if (k->c.reads)
		await_answer(k);
	else
		go_on(k);
}

// The lock is held.
static void add_to(struct nats_call *k, struct slice old, uint64_t sequence)
{
	char text[LINK_COUNT_MAX], why[160];
	if (!link__count(old, k->op->delta, &k->number, text, why)) {
		fail(k, LINK_REFUSED, "%s", why);
		return;
	}
	k->sequence = sequence;
	begin_step(k, NATS_WRITE);
}

// What is known may be old: the server compares it when it is written to, and a sum that can't be is looked at anew.
static void begin_increment(struct nats_call *k)
{
	struct nats_lock *l = k->lock;
	bool known = l->sequence && l->name.low == k->name.low && l->name.high == k->name.high;
	if (known && !__builtin_add_overflow(l->number, k->op->delta, &k->number)) {
		k->sequence = l->sequence;
		begin_step(k, NATS_WRITE);
	} else {
		begin_step(k, NATS_READ);
	}
}

static void link_in(struct nats_call **list, struct nats_call *k)
{
	k->next = *list;
	k->prev = list;
	if (k->next)
		k->next->prev = &k->next;
	*list = k;
}

static void link_out(struct nats_call *k)
{
	*k->prev = k->next;
	if (k->next)
		k->next->prev = k->prev;
}

static void on_granted(struct loop_remote *r)
{
	struct nats_call *k = CONTAINER_OF(r, struct nats_call, waiter.granted);
	if (!k->part) {  // closed meanwhile
		mem_free(k);
		return;
	}
	link_out(k);
	k->waits = false;
	if (k->op)
		begin_increment(k);
	else
		give_up(k);
}

static void await_lock(struct nats_call *k)
{
	struct nats_part *p = k->part;
	k->name = hash_128(subject_of(p, k->op, ""));
	k->lock = nats__lock_of(store_of(p)->locks, k->name);
	k->waiter.loop = p->p.loop;
	k->waiter.granted.fn = on_granted;
	if (nats__lock_take(k->lock, &k->waiter)) {
		begin_increment(k);
		return;
	}
	k->waits = true;
	link_in(&p->waiting, k);
}

// It waits for a lock: its operation does not any more. The call is given up now, or when its lock comes.
static void stop_waiting(struct nats_call *k)
{
	link_out(k);
	k->op = NULL;
	if (!nats__lock_give_up(k->lock, &k->waiter)) {
		link_in(&k->part->unwanted, k);
		return;
	}
	k->waits = false;
	k->lock = NULL;
	give_up(k);
}

// ---- answers ---------------------------------------------------------------------------------------------------------------------

static bool is_gone(const struct nats_message *m)
{
	struct slice what = nats__header(m->headers, "KV-Operation");
	return slice_eq_str(what, "DEL") || slice_eq_str(what, "PURGE");
}

static void take_read(struct nats_call *k, const struct nats_message *m)
{
	struct link_op *op = k->op;
	unsigned status = nats__status(m->headers);
	uint64_t sequence = 0;
	if (status == 503) {
		fail(k, LINK_UNSENT, "no JetStream answers");
		return;
	}
	if (status != 404 && (status >= 300 || !slice_parse_u64(nats__header(m->headers, "Nats-Sequence"), UINT64_MAX, &sequence))) {
		fail(k, op->kind == LINK_GET || op->kind == LINK_EXISTS ? LINK_REFUSED : LINK_UNSENT, "the server has answered something else (%u)", status);
		return;
	}
	bool found = status != 404 && !is_gone(m);
	if (op->kind == LINK_INCREMENT) {
		add_to(k, found ? m->payload : SLICE_LIT("0"), sequence);
	} else if (op->kind == LINK_SWAP) {  // it was to be not there
		k->sequence = sequence;
		if (found || sequence == 0)
			finish(k, LINK_STALE);
		else
			begin_step(k, NATS_WRITE_AGAIN);
	} else {
		op->found = found;
		op->ret_value = found ? m->payload : (struct slice){0};
		op->ret_version = (struct link_version){.words[0] = found ? sequence : 0};
		finish(k, LINK_OK);
	}
}

// The sequence was another one.
static void take_wrong(struct nats_call *k)
{
	const struct link_op *op = k->op;
	if (op->kind == LINK_INCREMENT) {
		k->lock->sequence = 0;
		begin_step(k, NATS_READ);
	} else if (op->kind == LINK_SWAP && op->version.words[0] == 0 && k->step == NATS_WRITE) {
		begin_step(k, NATS_READ);
	} else {
		finish(k, LINK_STALE);
	}
}

static void take_written(struct nats_call *k, const struct nats_message *m)
{
	struct link_op *op = k->op;
	unsigned code;
	if (nats__status(m->headers) == 503) {
		fail(k, LINK_UNSENT, "no JetStream answers");
		return;
	}
	const struct json *ack = nats__answer(k->part, m->payload);
	struct slice text = nats__answer_error(ack, &code);
	if (code == API_WRONG_SEQUENCE) {
		take_wrong(k);
	} else if (code) {
		fail(k, code == 1 ? LINK_UNKNOWN : LINK_REFUSED, "the server: %.*s (%u)", SLICE_ARGS(text), code);
	} else {
		if (op->kind == LINK_INCREMENT) {
			op->ret_number = k->number;
			k->lock->name = k->name;
			k->lock->number = k->number;
			k->lock->sequence = json_number(ack, "seq", 0);
		}
		finish(k, LINK_OK);
	}
}

// ---- lists -----------------------------------------------------------------------------------------------------------------------

static void end_list(struct nats_call *k)
{
	struct link_op *op = k->op;
	op->ret_keys = k->keys.ptr;
	op->n_ret_keys = k->keys.len;
	op->ret_cursor = k->pending ? k->last : 0;
	link_op_done(op, LINK_OK);
	give_up(k);
}

static void begin_fetch(struct nats_call *k)
{
	k->wanted = (uint32_t)min_u64(min_u64(k->op->limit, PAGE_MAX), k->pending);
	begin_step(k, NATS_FETCH);
}

static void take_consumer(struct link_wire *w, struct nats_call *k, const struct nats_message *m)
{
	unsigned code;
	if (nats__status(m->headers) == 503) {
		fail(k, LINK_UNSENT, "no JetStream answers");
		return;
	}
	const struct json *answer = nats__answer(k->part, m->payload);
	struct slice text = nats__answer_error(answer, &code), name = json_text(answer, "name");
	k->pending = json_number(answer, "num_pending", 0);
	bool fits = name.len && name.len < sizeof k->consumer;
	for (size_t i = 0; fits && i < name.len; i++)
		fits = name.ptr[i] > ' ' && name.ptr[i] < 127 && !strchr(".*>", name.ptr[i]);
	if (code || !fits) {
		fail(k, LINK_REFUSED, "the server: %.*s (%u)", SLICE_ARGS(code ? text : SLICE_LIT("a consumer without a name")), code);
		return;
	}
	snprintf(k->consumer, sizeof k->consumer, "%.*s", SLICE_ARGS(name));
	if (k->pending) {
		begin_fetch(k);
		return;
	}
	drop_consumer(w, k);
	end_list(k);
}

// "$JS.ACK.STREAM.CONSUMER.DELIVERED.SEQUENCE.OF-CONSUMER.TIME.PENDING", or with domain and account before the stream.
static bool read_place(struct slice reply, uint64_t *ret_sequence, uint64_t *ret_pending)
{
	int more = nats__token(reply, 9).len ? 2 : 0;
	return slice_parse_u64(nats__token(reply, 5 + more), UINT64_MAX, ret_sequence) && slice_parse_u64(nats__token(reply, 8 + more), UINT64_MAX, ret_pending);
}

static bool keep_name(struct nats_call *k, struct slice subject)
{
	char prefix[80];
	struct link_key key;
	int n = snprintf(prefix, sizeof prefix, "$KV.%s.", store_of(k->part)->bucket);
	if (!slice_starts_with(subject, slice_of(prefix, (size_t)n)))
		return true;
	struct slice name;
	if (!slice_dup(&k->names, slice_sub(subject, (size_t)n, SIZE_MAX), &name))
		return false;
	return !link__name_parse(&k->names, k->part->p.store, name, PLAIN, SEPARATOR, &key) || VEC_PUSH(NULL, &k->keys, key, PAGE_MAX);
}

// false: the page is not there yet.
static bool take_delivered(struct nats_call *k, const struct nats_message *m, bool *ret_failed)
{
	unsigned status = nats__status(m->headers);
	if (status >= 300) {
		k->pending = 0;
		*ret_failed = status != 404;  // no more messages than these
		return true;
	}
	*ret_failed = !read_place(m->reply, &k->last, &k->pending) || (!is_gone(m) && !keep_name(k, m->subject));
	return *ret_failed || --k->wanted == 0 || k->pending == 0;
}

static void take_fetched(struct link_wire *w, struct nats_call *k, const struct nats_message *m)
{
	bool failed = false;
	if (!take_delivered(k, m, &failed))
		return;
	end_fetch(w, k);
	link__wire_took(w, k->c.number);
	k->c.pool = NULL;
	if (!failed && k->keys.len == 0 && k->pending) {
		begin_fetch(k);
		return;
	}
	drop_consumer(w, k);
	if (failed)
		fail(k, LINK_REFUSED, "memory is out, or the server has answered something else");
	else
		end_list(k);
}

// ---- what the server is ----------------------------------------------------------------------------------------------------------

static void take_stream(struct nats_wire *x, struct nats_call *k, const struct nats_message *m)
{
	struct link_op *op = k->op;
	unsigned code;
	if (nats__status(m->headers) == 503) {
		fail(k, LINK_UNSENT, "no JetStream answers");
		return;
	}
	const struct json *answer = nats__answer(k->part, m->payload);
	struct slice text = nats__answer_error(answer, &code);
	if (code) {
		fail(k, LINK_REFUSED, "the server: %.*s (%u)", SLICE_ARGS(text), code);
		return;
	}
	bool memory = slice_eq_str(json_text(json_member(answer, "config"), "storage"), "memory");
	snprintf(op->ret_text, sizeof op->ret_text, "NATS %s; values up to %llu bytes; %s", x->version, (unsigned long long)x->max_payload,
		memory ? "in memory: a restart takes all" : "synced from time to time (sync_interval): a power failure takes what came since");
	op->ret_caps = k->part->p.store->provider->caps;
	finish(k, LINK_OK);
}

static void take_message(struct nats_wire *x, struct link_call *c, const struct nats_message *m)
{
	struct nats_call *k = call_of(c);
	if (k->step == NATS_FETCH) {
		take_fetched(&x->w, k, m);
		return;
	}
	link__wire_took(&x->w, c->number);
	c->pool = NULL;
	loop_timer_cancel(k->part->p.loop, &k->unanswered);
	switch (k->step) {
	case NATS_READ:
		take_read(k, m);
		break;
	case NATS_WRITE:
	case NATS_WRITE_AGAIN:
		take_written(k, m);
		break;
	case NATS_CONSUME:
		take_consumer(&x->w, k, m);
		break;
	case NATS_ASK:
		take_stream(x, k, m);
		break;
	case NATS_FETCH:
		break;
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

// NULL, or what stands against it.
static const char *check_name(struct nats_part *p, const struct link_op *op)
{
	if (op->kind == LINK_CHECK || op->kind == LINK_LIST)
		return NULL;
	if (subject_of(p, op, "").len > NATS_SUBJECT_MAX)
		return "the key is too long for NATS";
	if (p->p.store->n_parts == 0 && !is_subject(op->key))
		return "the key is none of NATS";
	if (link__name_is_own(p->p.store, op->bucket, op->key, SEPARATOR))
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
		begin_step(k, NATS_ASK);
		break;
	case LINK_GET:
	case LINK_EXISTS:
		begin_step(k, NATS_READ);
		break;
	case LINK_SET:
	case LINK_DELETE:
		begin_step(k, NATS_WRITE);
		break;
	case LINK_SWAP:
		k->sequence = op->version.words[0];
		begin_step(k, NATS_WRITE);
		break;
	case LINK_INCREMENT:
		await_lock(k);
		break;
	case LINK_LIST:
		begin_step(k, NATS_CONSUME);
		break;
	}
}

static struct nats_part *part_of(struct link_part *p)
{
	return CONTAINER_OF(p, struct nats_part, p);
}

static struct nats_call *take_spare(struct nats_part *p)
{
	struct nats_call *k = p->spare;
	if (k) {
		p->spare = k->next;
		return k;
	}
	if ((k = mem_zalloc(sizeof *k)))
		arena_init(&k->names, 0);
	return k;
}

static void nats_submit(struct link_part *part, struct link_op *op)
{
	struct nats_part *p = part_of(part);
	const char *why = check_name(p, op);
	struct nats_call *k = why ? NULL : take_spare(p);
	if (!k) {
		link_op_fail(op, why ? LINK_REFUSED : LINK_UNSENT, "%s", why ? why : "memory is out");
		return;
	}
	bool keyed = op->kind != LINK_CHECK && op->kind != LINK_LIST;
	k->part = p;
	k->op = op;
	k->lock = NULL;
	k->unanswered.fn = on_unanswered;
	k->c = (struct link_call){.done = on_end, .deadline_ns = op->deadline_ns};
	k->c.lane = keyed ? (uint32_t)hash_u64(op->key) % LANES : LANES;
	op->of = k;
	begin(k);
}

static bool nats_cancel(struct link_part *part, struct link_op *op)
{
	struct nats_call *k = op->of;
	struct link_wire *w = k->c.wire;
	if (k->waits) {
		stop_waiting(k);
		return false;
	}
	if (w && k->step == NATS_FETCH) {
		end_fetch(w, k);
		drop_consumer(w, k);
	}
	bool left = link__call_cancel(&k->c), wrote = k->step == NATS_WRITE || k->step == NATS_WRITE_AGAIN;
	give_up(k);
	return left && wrote;
}

// Those that wait now: what is of another link, which isn't held, comes back at once, and waits anew.
static void nats_recall(struct link_part *part)
{
	struct nats_part *p = part_of(part);
	struct nats_call *list = p->waiting;
	p->waiting = NULL;
	if (list)
		list->prev = &list;
	while (list) {
		struct link_op *op = list->op;
		stop_waiting(list);  // takes it out
		link_op_done(op, LINK_RECALLED);
	}
	link__pool_recall(&p->pool);
}

static bool nats_part_open(struct link_part *part, struct err *e)
{
	struct nats_part *p = part_of(part);
	p->write = write_call;
	p->take = take_message;
	arena_init(&p->answer, ANSWER_MAX);
	link__pool_init(&p->pool, part->loop, part->store->host->names, &store_of(p)->server, &nats__protocol, p);
	return true;
}

static void nats_part_close(struct link_part *part)
{
	struct nats_part *p = part_of(part);
	link__pool_release(&p->pool);
	while (p->unwanted) {  // their locks are on their way
		struct nats_call *k = p->unwanted;
		link_out(k);
		leave_lock(k);
		arena_release(&k->names);
		k->part = NULL;
	}
	while (p->spare) {
		struct nats_call *next = p->spare->next;
		arena_release(&p->spare->names);
		mem_free(p->spare);
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

static bool nats_open(struct link_store *store, struct err *e)
{
	struct nats_store *s = CONTAINER_OF(store, struct nats_store, s);
	struct slice path = store->target.path;
	if (!is_bucket(path) || path.len >= sizeof s->bucket) {
		err_set(e, ERR_USAGE, "'%.*s' names no bucket of NATS: letters, digits, - and _, at most 63", SLICE_ARGS(slice_sub(store->target.text, 0, 100)));
		return err_hint(e, "nats://HOST[:PORT]/BUCKET");
	}
	memcpy(s->bucket, path.ptr, path.len);
	if (!link__server_init(&s->server, store, e))
		return false;
	s->server.tls = false;  // after the server has spoken
	s->server.wires = 1;    // answers may come in any order: one is enough
	s->locks = nats__locks_new();
	return s->locks || err_nomem(e);
}

static void nats_close(struct link_store *store)
{
	nats__locks_free(CONTAINER_OF(store, struct nats_store, s)->locks);
}

const struct link_store_ops link__nats_ops = {
	.store_size = sizeof(struct nats_store),
	.part_size = sizeof(struct nats_part),
	.open = nats_open,
	.close = nats_close,
	.part_open = nats_part_open,
	.part_close = nats_part_close,
	.submit = nats_submit,
	.cancel = nats_cancel,
	.recall = nats_recall,
};
