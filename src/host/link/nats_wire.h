// A connection to a NATS server and what is asked on it: between nats_wire.c (greeting, stream, demultiplexing) and nats.c (operations).
#ifndef TENON_LINK_NATS_WIRE_H
#define TENON_LINK_NATS_WIRE_H

#include "base/json.h"
#include "line.h"
#include "link_int.h"
#include "nats.h"
#include "nats_counter.h"
#include "transport.h"

// Subjects must fit into a line of the server with all that stands beside them (max_control_line, 4096).
enum { NATS_SUBJECT_MAX = 3700 };
enum { NATS_WRONG_SEQUENCE = 10071 };  // an error of the API: what was expected is not what is there
struct nats_store {
	struct link_store s;
	struct link_server server;
	struct nats_counters *counters;
	char bucket[64];
};
struct nats_call;
struct nats_wire;
struct nats_part {
	struct link_part p;
	struct link_pool pool;
	struct link__line line;
	// counting: wait for counters, or are carried; unwanted: whose operations were taken back while they were to be told.
	struct nats_call *spare, *counting, *unwanted;
	uint32_t recalls;
	// Of nats.c. Puts what the call asks now; false: too large for the server.
	bool (*write)(struct nats_wire *x, struct link_call *c);
	// A message for the call has come, whose answers are not all there.
	void (*take)(struct nats_wire *x, struct link_call *c, const struct nats_message *m);
	// One of its requests is not permitted, in the server's words: it gets no other answer.
	void (*denied)(struct nats_wire *x, struct slice text);
	struct buf name, body;
	struct arena answer;
	uint64_t max_payload;  // of the server that was spoken to last
};
struct nats_wire {
	struct link_wire w;
	struct nats_input input;
	enum { NATS_AWAITS_INFO, NATS_AWAITS_PONG, NATS_AWAITS_STREAM, NATS_AWAITS_CREATED, NATS_IS_READY } state;
	char inbox[40];           // "_INBOX.…", ours
	uint64_t max_payload;
	char version[16];         // of the server
	uint32_t pongs;           // that were put to what is to be sent since there was nothing
};
extern const struct link_protocol nats__protocol;

// PUB, or HPUB where `headers` (whole, with their end) is not empty; answered to the call with that number. false: too large.
bool nats__publish(struct nats_wire *x, struct slice subject, uint64_t number, struct slice headers, struct slice payload);
// An answer of the JetStream API, in the arena of the part until the next one. NULL: it is none.
const struct json *nats__answer(struct nats_part *p, struct slice text);
// What it says went wrong: *ret_code is 0 where nothing did (1: it is no answer), and its words.
struct slice nats__answer_error(const struct json *answer, unsigned *ret_code);

#endif
