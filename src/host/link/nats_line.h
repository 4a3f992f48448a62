// What one guest asks of one key, in its order (nats_line.c). On the part's thread.
#ifndef TENON_LINK_NATS_LINE_H
#define TENON_LINK_NATS_LINE_H

#include "base/base.h"
#include "loop/loop.h"

struct link_op;
struct nats_call;
struct nats_key;
// Of a call.
struct nats_in_line {
	struct nats_key *key;  // NULL: nobody behind it waits for it, or it was taken out
	bool waits;            // has not begun: it is in the key's list, or in that of who took it out
};
enum { NATS_CHAINS = 64 };
// Of a part.
struct nats_line {
	struct loop *loop;
	void (*begin)(struct nats_call *k);  // its turn has come; from the loop
	struct nats_key *chains[NATS_CHAINS], *ready, *spare;
	struct loop_job turn;
};
void nats__line_init(struct nats_line *l, struct loop *loop, void (*begin)(struct nats_call *k));
enum nats_order { NATS_MAY_BEGIN, NATS_MUST_WAIT, NATS_NO_MEMORY };
// `name`: a hash of the subject.
enum nats_order nats__line_enter(struct nats_line *l, struct nats_call *k, struct hash128 name);
// It has ended, or does not want to begin any more.
void nats__line_leave(struct nats_line *l, struct nats_call *k);
// Takes all that wait out, into a list in which those of a key are in their order, before what is in it. Each leaves as always.
void nats__line_take_all(struct nats_line *l, struct nats_call **list);
void nats__line_release(struct nats_line *l);

#endif
