// PROGRAM(fuzz_answers, "link", "")
// Answers of servers of stores: the first byte says of which (its lowest bit: Redis or NATS) and how they are cut; the others are the answer.
#include "link/nats.h"
#include "link/redis.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take_redis(struct slice bytes, size_t step)
{
	struct redis_replies r;
	if (!redis__replies_init(&r, 65536, 1 << 20))
		return;
	for (size_t at = 0; at < bytes.len; at += step) {
		struct slice in = slice_sub(bytes, at, step);
		while (in.len) {
			redisReply *a;
			if (!redis__replies_next(&r, &in, &a)) {
				BUG_ON(!r.why);
				redis__replies_release(&r);
				return;
			}
			freeReplyObject(a);
		}
	}
	redis__replies_release(&r);
}

static void look(const struct nats_message *m)
{
	(void)nats__status(m->headers);
	(void)nats__header(m->headers, "Nats-Sequence");
	for (int i = -12; i < 12; i++)
		BUG_ON(nats__token(m->reply, i).len > m->reply.len);
}

static void take_nats(struct slice bytes, size_t step)
{
	struct nats_input n = {.max_message = 65536};
	struct nats_message m;
	bool any = false, ok = true;
	for (size_t at = 0; ok && at < bytes.len; at += step) {
		ok = nats__input_put(&n, slice_sub(bytes, at, step));
		while (ok && (ok = nats__input_next(&n, &m, &any)) && any)
			look(&m);
	}
	BUG_ON(!ok && !n.why);
	nats__input_release(&n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	size_t step = data[0] >> 1 ? data[0] >> 1 : SIZE_MAX;
	struct slice bytes = slice_of(data + 1, size - 1);
	step = min_u64(step, bytes.len);
	if (data[0] & 1)
		take_nats(bytes, step);
	else
		take_redis(bytes, step);
	return 0;
}
