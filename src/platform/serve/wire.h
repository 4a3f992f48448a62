// Inside the room serve: how what comes to a site is served, but for its routes: certificates, limits, and who is trusted to say who asks.
#ifndef TENON_SERVE_WIRE_H
#define TENON_SERVE_WIRE_H

#include "http/http.h"
#include "seam/seam.h"
#include "serve.h"

// ---- origin: who asks, and for what, told by a proxy that is trusted -------------------------------------------------------------------
struct serve_trust {
	const struct seam_net_rule *ranges;
	uint32_t n;
};
NODISCARD bool serve__trust_parse(struct arena *a, const struct serve_listener_config *c, struct serve_trust *ret, struct err *e);
struct serve_origin {
	struct http_address client;  // port 0: not known
	bool https;
	struct slice authority;      // of the request
};
void serve__origin_of(const struct serve_trust *t, const struct http_request *r, struct serve_origin *ret);

// ---- wire ----------------------------------------------------------------------------------------------------------------------------------
// Of a site. Immutable; another one takes its place while it serves (addresses.c).
struct serve_wire {
	struct arena arena;
	struct serve_listener_config config;  // a copy without addresses
	struct http_tls *tls;                 // NULL: in clear
	struct serve_trust trust;
};
NODISCARD bool serve__wire_new(const struct serve_listener_config *c, struct serve_wire **ret, struct err *e);
// There is an address that its TLS, if it has any, can be spoken on.
NODISCARD bool serve__wire_fits(const struct serve_wire *w, const struct serve_listener_config *c, struct err *e);
void serve__wire_free(struct serve_wire *w);  // no port has it; NULL does nothing

#endif
