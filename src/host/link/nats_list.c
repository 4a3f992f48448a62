// Lists of a NATS bucket: a consumer of headers from the cursor's sequence on, from which pages are fetched.
//
//   CONSUME ──► FETCH ──► (FETCH again, while nothing but deletions comes and nobody waits for its end ──►) the consumer is dropped, done
#include "nats_list.h"

#include <stdio.h>

bool nats__list_write_consume(struct nats_wire *x, struct nats_call *k)
{
	struct nats_part *p = k->part;
	const struct link_op *op = k->op;
	const char *bucket = nats__store_of(p)->bucket;
	char api[128];
	buf_clear(&p->body);
	buf_printf(&p->body, "{\"stream_name\":\"KV_%s\",\"config\":{", bucket);
	if (op->cursor)
		buf_printf(&p->body, "\"deliver_policy\":\"by_start_sequence\",\"opt_start_seq\":%llu", (unsigned long long)op->cursor + 1);
	else
		buf_put_str(&p->body, "\"deliver_policy\":\"all\"");
	buf_put_str(&p->body, ",\"ack_policy\":\"none\",\"replay_policy\":\"instant\",\"headers_only\":true,\"mem_storage\":true,\"inactive_threshold\":30000000000");
	buf_printf(&p->body, ",\"filter_subject\":\"$KV.%s.", bucket);
	link__name_put_prefix(&p->body, p->p.store, op->all ? NULL : &op->bucket, NATS_PLAIN, NATS_SEPARATOR);
	buf_put_str(&p->body, ">\"}}");
	x->w.out.failed |= p->body.failed;
	snprintf(api, sizeof api, "$JS.API.CONSUMER.CREATE.KV_%s", bucket);
	return nats__publish(x, slice_str(api), k->c.number, (struct slice){0}, buf_view(&p->body));
}

// What is delivered comes by a subscription of its own: its subjects are the keys'.
bool nats__list_write_fetch(struct nats_wire *x, struct nats_call *k)
{
	char api[192], ask[64];
	unsigned long long sid = k->c.number + 2;
	snprintf(api, sizeof api, "$JS.API.CONSUMER.MSG.NEXT.KV_%s.%s", nats__store_of(k->part)->bucket, k->consumer);
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
	buf_printf(&w->out, "PUB $JS.API.CONSUMER.DELETE.KV_%s.%s 0\r\n\r\n", nats__store_of(k->part)->bucket, k->consumer);
	link__wire_flush(w);
}

// ---- pages -----------------------------------------------------------------------------------------------------------------------

static void end_list(struct nats_call *k)
{
	struct link_op *op = k->op;
	op->ret_keys = k->keys.ptr;
	op->n_ret_keys = k->keys.len;
	op->ret_cursor = k->pending ? k->last : 0;
	link_op_done(op, LINK_OK);
	nats__give_up(k);
}

static void begin_fetch(struct nats_call *k)
{
	k->wanted = (uint32_t)min_u64(min_u64(k->op->limit, NATS_PAGE_MAX), k->pending);
	nats__begin_step(k, NATS_FETCH);
}

void nats__list_take_consumer(struct link_wire *w, struct nats_call *k, const struct nats_message *m)
{
	const struct json *answer = nats__take_answer(k, m);
	if (!answer)
		return;
	struct slice name = json_text(answer, "name");
	k->pending = json_number(answer, "num_pending", 0);
	bool fits = name.len && name.len < sizeof k->consumer;
	for (size_t i = 0; fits && i < name.len; i++)
		fits = name.ptr[i] > ' ' && name.ptr[i] < 127 && !strchr(".*>", name.ptr[i]);
	if (!fits) {
		nats__fail(k, LINK_REFUSED, "the server: a consumer without a name");
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
	int n = snprintf(prefix, sizeof prefix, "$KV.%s.", nats__store_of(k->part)->bucket);
	if (!slice_starts_with(subject, slice_of(prefix, (size_t)n)))
		return true;
	struct slice name;
	if (!slice_dup(&k->names, slice_sub(subject, (size_t)n, SIZE_MAX), &name))
		return false;
	enum link__parsed r = link__name_parse(&k->names, k->part->p.store, name, NATS_PLAIN, NATS_SEPARATOR, &key);
	return r == LINK__NO_NAME || (r == LINK__NAME && VEC_PUSH(NULL, &k->keys, key, NATS_PAGE_MAX));
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
	*ret_failed = !read_place(m->reply, &k->last, &k->pending) || (!nats__is_gone(m) && !keep_name(k, m->subject));
	return *ret_failed || --k->wanted == 0 || k->pending == 0;
}

void nats__list_take_fetched(struct link_wire *w, struct nats_call *k, const struct nats_message *m)
{
	bool failed = false;
	if (!take_delivered(k, m, &failed))
		return;
	end_fetch(w, k);
	link__wire_took(w, k->c.number);
	k->c.pool = NULL;
	if (!failed && k->keys.len == 0 && k->pending && k->recalls == k->part->recalls) {  // else who waits for all to end is not to wait for all deletions
		begin_fetch(k);
		return;
	}
	drop_consumer(w, k);
	if (failed)
		nats__fail(k, LINK_REFUSED, "memory is out, or the server has answered something else");
	else
		end_list(k);
}

void nats__list_cancel(struct link_wire *w, struct nats_call *k)
{
	end_fetch(w, k);
	drop_consumer(w, k);
}
