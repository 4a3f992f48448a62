// Inside of fuzz_joints: what its schedule and the objects in its streams (joint_things.c) know of each other.
#ifndef FUZZ_JOINTS_H
#define FUZZ_JOINTS_H

#include "../tests/canon/endpoints.h"

enum { RING = 256, LARGEST = 7 };
// stream<u8>, stream<string>, future<string>, stream<stream<u8>>, stream<own<h>>, future<own<h>>, stream<own<r>>
enum kind { BYTES, TEXTS, TEXT, NEST, HANDS, HAND, OWNS, KINDS };
// What becomes of an object that passes: a guest's own becomes one of the host's, that becomes its guest's again, or goes on as what it is.
enum way { NO_OBJECT, OUT, IN, ON };

// What is written and read is known by its place in the stream.
struct pipe {
	enum kind kind;
	uint32_t refs, wrote, got;
	struct pipe **inner;  // of a stream of streams: what was written at each place, as long as nobody has read it
	uint32_t ids[RING];   // of objects: what was written at each place
};
struct home {
	struct canon_instance *i;
	uint32_t set;
	bool is_doomed;  // it has written what is no value, or did what it may not
};
struct held;
// An end in a guest, or (home NULL) the host's.
struct end {
	struct canon_end host;
	struct home *home;
	struct pipe *pipe;
	enum kind kind;
	bool writes, busy, told;  // told: that the other end has gone, or the value has passed
	uint32_t handle, n, slot;
	// Of a stream of streams: those that a write has in its buffer, of which each may have gone already; and is it one of those?
	struct end *sent[LARGEST];
	bool is_sent;
	struct held *things[LARGEST];  // of one of objects
};

extern struct vm_shard *joints_shard;
uint8_t joints_take(void);
// One that may not trap, and one that may: false: it has.
uint32_t joints_must(struct home *p, enum endpoint op, uint32_t a, uint32_t b, uint32_t c);
bool joints_may(struct home *p, enum endpoint op, uint32_t a, uint32_t *ret);
uint32_t joints_buffer(const struct end *e);

static inline bool kind_is_future(enum kind k)
{
	return k == TEXT || k == HAND;
}
static inline bool kind_is_of_things(enum kind k)
{
	return k >= HANDS;
}

// Objects into the buffer of a write, e->n at most: what there is.
void things_fill(struct end *e);
// The first n of those are gone.
void things_went(struct end *e, uint32_t n);
// What was read at the k-th place of its buffer, `place` of the stream.
void things_arrived(struct end *e, uint32_t k, uint32_t place);
// Something is done with the objects of that guest, one of which may go to the other, which may be the same or none.
void things_step(struct home *p, struct home *to);
void things_forget(const struct home *p);
// Does nobody have one any more?
bool things_are_gone(void);
// canon_joint_ops
bool things_pass(struct canon_joint *j, enum way way, uint32_t *native, const char **ret_why);
void things_close(struct canon_joint *j, enum way way, uint32_t *native);
// give-one, take-one, lend, who
extern const struct canon_host_func things_give, things_take, things_lend, things_who;
#endif
