// What a NATS server sends (its client protocol: INFO, MSG, HMSG, PING, PONG, +OK, -ERR), taken from its bytes as they come. The bytes are nobody's we trust.
#ifndef TENON_LINK_NATS_H
#define TENON_LINK_NATS_H

#include "base/base.h"

enum { NATS_LINE_MAX = 32768 };
enum nats_verb { NATS_INFO, NATS_MSG, NATS_PING, NATS_PONG, NATS_OK, NATS_ERR };
struct nats_message {
	enum nats_verb verb;
	struct slice text;     // of INFO and -ERR
	// of MSG and HMSG
	struct slice subject, reply;
	uint64_t sid;
	struct slice headers;  // "NATS/1.0 …", empty: none
	struct slice payload;
};
struct nats_input {
	struct buf in;
	size_t at;             // up to there it has been taken
	size_t looked;         // from there on nobody has looked for the end of a line
	uint64_t max_message;
	const char *why;
};
// A zeroed struct with max_message (headers and payload, bytes) is one to which nothing has come.
void nats__input_release(struct nats_input *n);
// false: memory is out.
NODISCARD bool nats__input_put(struct nats_input *n, struct slice bytes);
// The next message that is there whole: its slices live until the next call of nats__input_put. *ret_any false: there is none. false: these are none (n->why).
NODISCARD bool nats__input_next(struct nats_input *n, struct nats_message *ret, bool *ret_any);

// The status of headers ("NATS/1.0 404 …"), 0: none.
unsigned nats__status(struct slice headers);
// The first of that name, without the white space around it; empty: there is none.
struct slice nats__header(struct slice headers, const char *name);
// Token i of a subject, from 0; negative ones count from the end. Empty: there is none.
struct slice nats__token(struct slice subject, int i);

#endif
