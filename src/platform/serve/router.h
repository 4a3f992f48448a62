// Inside of room serve: which service answers a request.
#ifndef TENON_SERVE_ROUTER_H
#define TENON_SERVE_ROUTER_H

#include "serve.h"

struct serve_service;

// ---- path: what a route sees of a target ---------------------------------------------------------------------------------------------
// *ret is the path itself or, where something was to be resolved, in the scratch. false: no memory.
NODISCARD bool serve__path_resolve(struct slice path, struct buf *scratch, struct slice *ret);

// ---- router: which service answers a request -------------------------------------------------------------------------------------------
enum { SERVE_PARAMS_MAX = 16 };
struct serve_route {
	const struct serve_route_config *config;
	struct serve_service *service;  // NULL: the route answers by itself
	bool is_kept;                  // it is answered by the only instance that there is
	struct slice params[SERVE_PARAMS_MAX];  // names of the fields that tell them: "tenon-param-id"
	unsigned n_params;
};
struct serve_match {
	const struct serve_route *route;
	const struct serve_route *other;  // where there is none: one of the path and of other methods
	struct slice rest;                // of the path: what "..." stands for
	struct slice params[SERVE_PARAMS_MAX];
	unsigned n_params;
};
// Immutable, counted, read by all threads.
struct serve_router;
// `routes` have `config` and `service`; they are copied, with their configurations. `all` (else NULL): every request is that service's, and there are no routes.
NODISCARD bool serve__router_new(const struct serve_route *routes, uint32_t n, struct serve_service *all, struct serve_router **ret, struct err *e);
void serve__router_ref(struct serve_router *r);
void serve__router_unref(struct serve_router *r);
struct serve_service *serve__router_all(const struct serve_router *r);
// One of its routes is kept.
bool serve__router_keeps(const struct serve_router *r);
// `host` in lower case without port, `path` resolved; what *ret names lies in them and in the router.
bool serve__router_find(const struct serve_router *r, struct slice host, struct slice method, struct slice path, struct serve_match *ret);
// "GET, POST".
void serve__router_put_methods(const struct serve_route *of, struct buf *b);

#endif
