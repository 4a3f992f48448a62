// Counters that are incremented now, in this process (nats_counter.c). Any thread, each waiter on its own.
#ifndef TENON_LINK_NATS_COUNTER_H
#define TENON_LINK_NATS_COUNTER_H

#include "link_int.h"

struct nats_counter;
struct nats_counters;
enum nats_waiter_state {
	NATS_IDLE,
	NATS_WAITS,    // for who holds the counter
	NATS_GRANTED,  // holds it from when `told` is called
	NATS_HOLDS,
	NATS_CARRIED,  // is in the sum that the holder has sent
	NATS_TOLD,     // that has ended: what came of it is said when `told` is called
};
// What becomes of one that is in a sum, if the sum is written.
enum nats_share {
	NATS_SUMMED,        // `number` is the counter behind it
	NATS_OUT_OF_RANGE,  // `number` is the counter before it: it would be out of range, and is left out
	NATS_NO_NUMBER,     // the value is none
};
struct nats_waiter {
	struct spinlock *lock;             // the counter's, which outlives it
	struct nats_waiter *next, **prev;  // under the lock, as what follows but for what its owner sets
	enum nats_waiter_state state;
	enum nats_share share;
	int64_t delta, number;
	uint64_t deadline_ns;              // until when somebody waits for it
	enum link_code code;               // of TOLD
	char *text;  // borrowed, of 160 bytes: of TOLD, why
	struct loop *loop;                 // where `told` is called, once for each time that it is granted or told
	struct loop_remote told;
};
// What the counter is known to be: the server compares it with each write. And how long this process has had it.
struct nats_known {
	uint64_t sequence;       // 0: nothing is known
	int64_t number;
	uint64_t since_ns;       // since when each write has found what it expected; 0: the last one did not
	uint64_t last_ns;        // when the last one was answered
	uint64_t rests_until_ns; // no write before
	uint64_t stale_ns;       // when one did not last
};
struct nats_counters *nats__counters_new(void);
void nats__counters_free(struct nats_counters *l);
// The counter of that subject; the caller has set delta, deadline_ns, text, loop and told.fn. *ret NULL: memory is out. true: the waiter HOLDS it; else it WAITS.
bool nats__counter_enter(struct nats_counters *l, struct slice subject, struct nats_waiter *w, struct nats_counter **ret);
struct slice nats__counter_subject(const struct nats_counter *c);

// ---- the holder's ----------------------------------------------------------------------------------------------------------------
struct nats_known *nats__counter_known(struct nats_counter *c);
struct nats_sum {
	int64_t number;
	uint32_t n;          // that are in it
	uint64_t latest_ns;  // deadline of those that are carried
};
// Carries all that wait, after those that are carried already, and reckons from `base` on (NULL: the value is no number) what each gives, `w` first unless it is
// NULL: nobody wants the holder's own any more.
struct nats_sum nats__counter_sum(struct nats_counter *c, struct nats_waiter *w, const int64_t *base);
bool nats__counter_carries(struct nats_counter *c);
// Those that are carried wait again, before all others: nothing was written.
void nats__counter_put_back(struct nats_counter *c);
// The sum has ended so: all that are carried are told (of another end than OK, those that were not in it as UNSENT).
void nats__counter_tell(struct nats_counter *c, enum link_code code, const char *text);
// The counter is the next one's that waits, those that are carried before others. It may be gone.
void nats__counter_pass_on(struct nats_counter *c, struct nats_waiter *w);

// ---- another waiter's ------------------------------------------------------------------------------------------------------------
// Nobody waits any more for one that does not hold it; `only_unsent`: unless it is carried. As what it was found: WAITS, CARRIED (it is IDLE now, but one that is
// carried with `only_unsent`), or GRANTED, TOLD: `told` is on its way, and whoever is granted passes it on there. Of TOLD the counter may be gone.
enum nats_waiter_state nats__counter_leave(struct nats_counter *c, struct nats_waiter *w, bool only_unsent);

#endif
