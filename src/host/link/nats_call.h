// What is asked of a NATS server for one operation, by one request after the other (nats_call.c): what operations (nats.c), increments (nats_count.c) and lists
// (nats_list.c) have alike.
#ifndef TENON_LINK_NATS_CALL_H
#define TENON_LINK_NATS_CALL_H

#include "nats_counter.h"
#include "nats_wire.h"

#define NATS_PLAIN "-_"
#define NATS_SEPARATOR '.'
enum { NATS_PAGE_MAX = 500 };
enum nats_step { NATS_READ, NATS_WRITE, NATS_WRITE_AGAIN, NATS_CONSUME, NATS_FETCH, NATS_ASK, NATS_PURGE };

struct nats_call {
	struct link_call c;
	struct nats_call *next, **prev;  // spare; of those that wait for counters
	struct nats_part *part;          // NULL: closed while `waiter.told` was on its way
	struct link_op *op;              // NULL: nobody wants it any more
	struct link__in_line line;
	enum nats_step step;
	uint64_t sequence;               // that is expected; of PURGE: up to which, without it
	uint64_t stride;                 // of PURGE: sequences at once
	struct loop_timer unanswered;    // of what only reads
	uint64_t patience_ns;
	// of INCREMENT
	struct nats_counter *counter;    // NULL: it neither holds one nor waits for one
	struct nats_waiter waiter;
	bool holds, rests;               // rests: holds it, and has not begun; it is among those that wait
	int64_t base;  // what it is at that sequence
	struct nats_sum sum;             // that was written last
	struct loop_timer late;          // of those that are carried, where its own operation has gone
	// of LIST
	char consumer[48];
	uint64_t pending, last;          // messages behind the last one; its sequence
	uint32_t wanted;                 // messages of this fetch that are to come
	uint32_t recalls;                // of the part, when it began
	struct arena names;
	VEC(struct link_key)
	keys;
};

static inline struct nats_store *nats__store_of(const struct nats_part *p)
{
	return CONTAINER_OF(p->p.store, struct nats_store, s);
}

static inline struct nats_call *nats__call_of(struct link_call *c)
{
	return CONTAINER_OF(c, struct nats_call, c);
}

// NULL: memory is out.
struct nats_call *nats__call_new(struct nats_part *p, struct link_op *op);
void nats__call_free(struct nats_call *k);
// The next request; it may end the call.
void nats__begin_step(struct nats_call *k, enum nats_step step);
// From within `write` of the part: what is put is a read, in place of what was to be written.
void nats__reads_instead(struct nats_call *k);
// It is nobody's any more: the operation, if there is one, is the caller's to answer.
void nats__give_up(struct nats_call *k);
void nats__finish(struct nats_call *k, enum link_code code);
// An answer of the JetStream API, in the arena of the part until the next one. NULL: it is none, or an error, and the call was ended with that.
const struct json *nats__take_answer(struct nats_call *k, const struct nats_message *m);
void nats__fail(struct nats_call *k, enum link_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);
// "$KV.BUCKET.…", in p->name until the next one.
struct slice nats__subject(struct nats_part *p, const struct link_op *op);
bool nats__is_gone(const struct nats_message *m);  // a deletion
bool nats__write_read(struct nats_wire *x, struct nats_call *k, struct slice subject);
void nats__link_in(struct nats_call **list, struct nats_call *k);
void nats__link_out(struct nats_call *k);

#endif
