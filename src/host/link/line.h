// What one guest asks of one key, in its order (store.h, rule 2): of a store in which it would not be. On the part's thread.
#ifndef TENON_LINK_LINE_H
#define TENON_LINK_LINE_H

#include "base/base.h"
#include "loop/loop.h"

struct link__line_key;
enum link__line_kind {
	LINK__LINE_READ,
	LINK__LINE_WRITE,
	LINK__LINE_COUNT,  // takes several steps, and the store has an order of its own for several of them
	LINK__LINE_ALONE,  // takes several steps
};
// Of an operation, from `enter` to `leave`.
struct link__in_line {
	struct link__in_line *next, **prev;  // while it waits
	struct link__line_key *key;          // NULL: nobody behind it waits for it, or it was taken out
	enum link__line_kind kind;
	bool waits;  // has not begun: it is in the key's list, or in that of who took it out
};
enum { LINK__LINE_CHAINS = 64 };
struct link__line {
	struct loop *loop;
	void (*begin)(struct link__in_line *x);
	bool writes_wait;
	struct link__line_key *chains[LINK__LINE_CHAINS], *ready, *spare;
	struct loop_job turn;
};
// `begin`: the turn of one that had to wait has come; from the loop. `writes_wait`: the store would do a write before a read that was asked before.
void link__line_init(struct link__line *l, struct loop *loop, bool writes_wait, void (*begin)(struct link__in_line *x));
enum link__line_order { LINK__LINE_MAY_BEGIN, LINK__LINE_MUST_WAIT, LINK__LINE_NO_MEMORY };
// `name`: a hash of bucket and key: two of one hash wait for each other without need. `guest`: its memory.
enum link__line_order link__line_enter(struct link__line *l, struct link__in_line *x, enum link__line_kind kind, struct hash128 name, const struct pool *guest);
// It has ended, or does not want to begin any more.
void link__line_leave(struct link__line *l, struct link__in_line *x);
// Takes all that wait out, into a list in which those of a key are in their order, before what is in it. Each leaves as always.
void link__line_take_all(struct link__line *l, struct link__in_line **list);
// Nothing waits, and nothing leaves any more.
void link__line_release(struct link__line *l);

#endif
