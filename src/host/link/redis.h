// What a Redis server answers (RESP2), taken from its bytes as they come: hiredis' reader behind a look at what is announced. The bytes are nobody's we trust.
#ifndef TENON_LINK_REDIS_H
#define TENON_LINK_REDIS_H

#include <hiredis/hiredis.h>

#include "base/base.h"

// Bounds of one answer.
enum {
	REDIS_LINE_MAX = 65536,      // of a line
	REDIS_ITEMS_MAX = 1 << 17,   // of its arrays, all together; an array announces half of it at most
};
struct redis_replies {
	redisReader *reader;
	enum { REDIS_LINE, REDIS_PAYLOAD, REDIS_SKIPPED } state;
	uint64_t left;               // of a payload, with its end
	uint64_t max_value;          // of a string; a longer one is left out, and an error stands in its place
	uint64_t max_bytes, bytes;   // of an answer; of this one, so far
	uint32_t items;
	uint32_t line;               // of the line so far
	char head[24];               // its beginning, not fed yet: of strings and arrays all of it
	const char *why;             // redis__replies_next gave false
};
NODISCARD bool redis__replies_init(struct redis_replies *r, uint64_t max_value, uint64_t max_bytes);
void redis__replies_release(struct redis_replies *r);
// Takes bytes off the front of *in until an answer is whole: *ret is the caller's (freeReplyObject), or NULL: all are taken and there is none. false: these are
// no answers, or too much (r->why); nothing more can be had.
NODISCARD bool redis__replies_next(struct redis_replies *r, struct slice *in, redisReply **ret);

#endif
