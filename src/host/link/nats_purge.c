// Purges: all messages of a space that are older than a sequence, deletions among them, go by few requests and leave nothing behind (STREAM.PURGE with `filter` and
// `seq`). A request that comes late, or twice, takes nothing that was written since.
//
// While a server purges it does nothing else of this stream, which others may use, too: 10 µs a message (2.9). So what is much is purged in parts, by sequence.
#include "nats_purge.h"

#include <stdio.h>

enum { AT_ONCE = 20000 };

static void purge_on(struct nats_call *k)
{
	k->sequence = min_u64(sat_add_u64(k->sequence, k->stride), k->op->version.words[0]);
	nats__begin_step(k, NATS_PURGE);
}

void nats__purge_begin(struct nats_call *k, const struct json *state)
{
	uint64_t first = json_number(state, "first_seq", 0), end = k->op->version.words[0];
	if (!state || first >= end) {
		nats__finish(k, state ? LINK_OK : LINK_REFUSED);
		return;
	}
	uint64_t messages = json_number(state, "messages", end - first);  // there can't be more of them that go
	k->sequence = first;
	k->stride = (end - first) / (messages / AT_ONCE + 1) + 1;
	purge_on(k);
}

bool nats__purge_write(struct nats_wire *x, struct nats_call *k)
{
	struct nats_part *p = k->part;
	const char *bucket = nats__store_of(p)->bucket;
	char api[128];
	buf_clear(&p->body);
	buf_printf(&p->body, "{\"filter\":\"$KV.%s.", bucket);
	link__name_put_prefix(&p->body, p->p.store, NULL, NATS_PLAIN, NATS_SEPARATOR);
	buf_printf(&p->body, ">\",\"seq\":%llu}", (unsigned long long)k->sequence);
	x->w.out.failed |= p->body.failed;
	snprintf(api, sizeof api, "$JS.API.STREAM.PURGE.KV_%s", bucket);
	return nats__publish(x, slice_str(api), k->c.number, (struct slice){0}, buf_view(&p->body));
}

void nats__purge_take(struct nats_call *k, const struct nats_message *m)
{
	const struct json *answer = nats__take_answer(k, m);
	if (!answer)
		return;
	if (!json_is_true(answer, "success"))
		nats__fail(k, LINK_REFUSED, "the server: it did not purge");
	else if (k->sequence < k->op->version.words[0])
		purge_on(k);
	else
		nats__finish(k, LINK_OK);
}

bool nats__purge_is_meant(struct slice text)
{
	static const char what[] = "$JS.API.STREAM.PURGE.";
	return memmem(text.ptr, text.len, what, sizeof what - 1) != NULL;
}
