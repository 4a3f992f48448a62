// What a request of a site with 1,000 routes costs before its component is called: nanoseconds of each part, the least of two thousand rounds, as one JSON object.
// PROGRAM(bench-routing, "serve", "")
#include <stdio.h>

#include "serve/serve_int.h"
#include "sys/sys.h"

enum { ROUTES = 1000, TIMES = 1000, ROUNDS = 2000 };

static struct serve_route_config configs[ROUTES];
static struct serve_route routes[ROUTES];
static char patterns[ROUTES][64];
static struct serve_routing routing;
static struct serve_trust trust;
static struct buf scratch;

// Half of them lead to a component by a parameter, half by their beginning; of the paths asked for one needs resolving.
static struct http_request requests[4];

static void fill_requests(void)
{
	requests[0] = (struct http_request){.method = SLICE_LIT("GET"), .target = SLICE_LIT("/api/v1/thing7/4711"), .authority = SLICE_LIT("shop.example:8080")};
	requests[1] = (struct http_request){.method = SLICE_LIT("GET"), .target = SLICE_LIT("/service6/a/b?c=d"), .authority = SLICE_LIT("shop.example")};
	requests[2] = (struct http_request){.method = SLICE_LIT("POST"), .target = SLICE_LIT("/api/v1/thing991/%34711"), .authority = SLICE_LIT("shop.example")};
	requests[3] = (struct http_request){.method = SLICE_LIT("GET"), .target = SLICE_LIT("/service998"), .authority = SLICE_LIT("shop.example")};
}

static bool resolve(const struct http_request *r, struct serve_origin *origin, char host[HTTP_HOST_MAX + 1], struct slice *ret_path)
{
	uint16_t port;
	serve__origin_of(&trust, r, origin);
	return serve__path_resolve(serve__path_of(r->target), &scratch, ret_path) && http_authority_split(origin->authority, origin->https, host, &port);
}

static bool one(const struct http_request *r, int parts)
{
	struct serve_origin origin;
	struct serve_match match;
	struct serve_routed kept = {0};
	struct http_field fields[SERVE_ROUTED_FIELDS];
	char host[HTTP_HOST_MAX + 1];
	struct slice path;
	if (!resolve(r, &origin, host, &path))
		return false;
	if (parts < 2)
		return true;
	if (!serve__router_find(routing.router, slice_str(host), r->method, path, &match))
		return false;
	if (parts < 3)
		return true;
	struct serve_way way = {&routing, match.route, &match, &origin, path};
	bool ok = serve__routed_keep(&kept, &way, r) && serve__routed_fields(&kept, fields);
	serve__routed_release(&kept);
	return ok;
}

// The least of the rounds: 0 where a request was not matched.
static double least_ns(int parts)
{
	uint64_t best = UINT64_MAX;
	for (unsigned k = 0; k < ROUNDS; k++) {
		uint64_t began = sys_now_ns();
		for (unsigned i = 0; i < TIMES; i++)
			if (!one(&requests[i % ARRAY_LEN(requests)], parts))
				return 0;
		best = min_u64(best, sys_now_ns() - began);
	}
	return (double)best / (double)TIMES;
}

int main(void)
{
	struct err e = {0};
	fill_requests();
	for (unsigned i = 0; i < ROUTES; i++) {
		snprintf(patterns[i], sizeof patterns[i], i % 2 ? "/api/v1/thing%u/:id" : "/service%u/...", i);
		configs[i] = (struct serve_route_config){.pattern = patterns[i], .id = "one", .status = 200};
		routes[i].config = &configs[i];
	}
	if (!serve__router_new(routes, ROUTES, NULL, &routing.router, &e)) {
		fprintf(stderr, "%s\n", e.text);
		return 1;
	}
	double resolved = least_ns(1), found = least_ns(2), all = least_ns(3);
	if (resolved <= 0 || found <= 0 || all <= 0) {
		fprintf(stderr, "a request was not matched\n");
		return 1;
	}
	printf("{\"origin, host and path\": %.1f, \"the route\": %.1f, \"what the guest is told of it\": %.1f, \"all\": %.1f}\n", resolved, found - resolved, all - found, all);
	serve__router_unref(routing.router);
	buf_release(&scratch);
	return 0;
}
