// Purges of a NATS bucket (nats_purge.c). On the part's thread.
#ifndef TENON_LINK_NATS_PURGE_H
#define TENON_LINK_NATS_PURGE_H

#include "nats_call.h"

// `state`: of STREAM.INFO's answer.
void nats__purge_begin(struct nats_call *k, const struct json *state);
// What a purge asks now. false: too large for the server.
bool nats__purge_write(struct nats_wire *x, struct nats_call *k);
// What the server has answered.
void nats__purge_take(struct nats_call *k, const struct nats_message *m);
// Is that what is not permitted, in the words of -ERR?
bool nats__purge_is_meant(struct slice text);

#endif
