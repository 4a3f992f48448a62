// Inside of room serve: what the rest of the room asks of components that others call (relay.h).
#ifndef TENON_SERVE_RELAYS_H
#define TENON_SERVE_RELAYS_H

#include "base/base.h"

struct serve_relay;
struct serve_service;
struct serve_shard;
struct serve_version;
// The shard is being closed: destructors that run are ended; nothing is called any more (and nobody holds a slot).
void serve__relays_end(struct serve_shard *s);
void serve__relays_close(struct serve_shard *s);
// Calls in versions that have left and whose time is over are ended. Returns when the next is, at most `next`.
uint64_t serve__relays_retire(struct serve_shard *s, uint64_t now_ns, uint64_t next_ns);
// Another version can be called by those who are linked to the service. ERR_LINK: it lacks what they call, or has it otherwise. From any thread.
NODISCARD bool serve__relay_fits(struct serve_service *s, struct serve_version *v, struct err *e);
void serve__relay_forget_version(struct serve_version *v);
// Nobody is linked to it any more: it is none, and its versions are bound to nothing. Within the lock of relays, while nothing is being loaded. false: somebody is.
bool serve__relay_let_go(struct serve_service *s);
// All versions are gone. NULL does nothing.
void serve__relay_free(struct serve_relay *r);

#endif
