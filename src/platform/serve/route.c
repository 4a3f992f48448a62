// A request of a site with routes: resolved, matched, and given to who answers it: a service, or the route itself (a text, a redirect), or nobody (404, 405).
#include "serve_int.h"

#include "sys/sys.h"

// ---- answers of our own --------------------------------------------------------------------------------------------------------------------

static void note(const struct serve_port *p, struct http_exchange *x, uint64_t started_ns, unsigned status)
{
	const struct serve_process_config *c = p->listener->process->config;
	serve__log_answered(c, http_exchange_request(x), status, sys_now_ns() - started_ns);
	serve__access_answered(c, x, status, sys_now_ns() - started_ns);
	serve__meter_own(p, status);
}

static void answer_error(struct serve_port *p, struct http_exchange *x, uint64_t started_ns, unsigned status)
{
	http_respond_error(x, status, 0);
	note(p, x, started_ns, status);
	http_exchange_release(x);
}

// What of a text did not go out at once; the routing that it lies in is held meanwhile.
struct rest {
	struct http_exchange *x;
	struct serve_routing *routing;
	struct slice body;
};

static void end_rest(struct rest *r)
{
	http_exchange_release(r->x);
	serve__routing_unuse(r->routing);
	mem_free(r);
}

// As much as goes out now. true: it is over, well or cut.
static bool put(struct http_exchange *x, struct slice *body)
{
	while (body->len) {
		size_t n = min_u64(http_body_permit(x), body->len);
		if (n == 0)
			return false;
		if (http_body_write(x, slice_sub(*body, 0, n)) != HTTP_WRITE_OK) {
			http_abort(x);
			return true;
		}
		*body = slice_sub(*body, n, SIZE_MAX);
	}
	if (!http_body_finish(x, NULL, 0))
		http_abort(x);
	return true;
}

static void on_writable(void *user, struct http_exchange *x)
{
	struct rest *r = user;
	if (put(x, &r->body))
		end_rest(r);
}

static void on_cancel(void *user, struct http_exchange *x, enum http_cancel why)
{
	end_rest(user);
}

static void put_later(const struct serve_port *p, struct http_exchange *x, struct slice body)
{
	static const struct http_exchange_ops ops = {.on_writable = on_writable, .on_cancel = on_cancel};
	struct rest *r = mem_zalloc(sizeof *r);
	if (!r) {
		http_abort(x);
		http_exchange_release(x);
		return;
	}
	p->routing->uses++;
	*r = (struct rest){x, p->routing, body};
	http_exchange_set_owner(x, &ops, r);
}

// Head and body, whole. A body that doesn't fit at once is one of the routing's.
static void answer(struct serve_port *p, struct http_exchange *x, uint64_t started_ns, unsigned status, const struct http_field *fields, uint32_t n,
	struct slice body)
{
	bool has_body = http_status_has_body(x, status);
	bool ok = http_respond_head(x, status, fields, n, http_exchange_request(x)->is_head || has_body ? body.len : HTTP_LENGTH_UNKNOWN, NULL);
	if (!ok) {
		answer_error(p, x, started_ns, 500);
		return;
	}
	note(p, x, started_ns, status);
	body.len = has_body ? body.len : 0;
	if (put(x, &body))
		http_exchange_release(x);
	else
		put_later(p, x, body);
}

static void answer_not_allowed(struct serve_port *p, struct http_exchange *x, uint64_t started_ns, const struct serve_route *other)
{
	struct buf allow = {.max = 4096};
	serve__router_put_methods(other, &allow);
	struct http_field fields[] = {{SLICE_LIT("allow"), buf_view(&allow)}, {SLICE_LIT("content-type"), SLICE_LIT("text/plain; charset=utf-8")}};
	answer(p, x, started_ns, 405, fields, ARRAY_LEN(fields), SLICE_LIT("405 Method Not Allowed\n"));
	buf_release(&allow);
}

static void answer_by_route(struct serve_port *p, struct http_exchange *x, uint64_t started_ns, const struct serve_route_config *c)
{
	answer(p, x, started_ns, c->status, c->fields.ptr, c->fields.len, c->body);
}

// ---- the way -------------------------------------------------------------------------------------------------------------------------------

static struct slice host_of(struct slice authority, bool https, char name[HTTP_HOST_MAX + 1])
{
	uint16_t port;
	return http_authority_split(authority, https, name, &port) ? slice_str(name) : slice_of(NULL, 0);
}

// What a request's fields and target come to; match.route NULL: nothing. false: no memory.
struct found {
	struct serve_origin origin;
	struct slice path;
	struct serve_match match;
};

static bool find(struct serve_port *p, const struct http_request *r, struct found *ret)
{
	char host[HTTP_HOST_MAX + 1];
	serve__origin_of(&p->wire->trust, r, &ret->origin);
	if (!serve__path_resolve(serve__path_of(r->target), &p->scratch, &ret->path))
		return false;
	serve__router_find(p->routing->router, host_of(ret->origin.authority, ret->origin.https, host), r->method, ret->path, &ret->match);
	return true;
}

// Where memory is out it is answered where it is.
bool serve__route_is_kept(struct serve_port *p, const struct http_request *r)
{
	struct found f;
	if (LIKELY(!serve__router_keeps(p->routing->router) && !p->leads))
		return false;
	const struct serve_route *route = find(p, r, &f) ? f.match.route : NULL;
	return route && (route->is_kept || (p->leads && route->service && __atomic_load_n(&route->service->leads, __ATOMIC_RELAXED)));
}

void serve__route(struct serve_port *p, struct http_exchange *x)
{
	struct serve_routing *routing = p->routing;
	uint64_t started_ns = loop_now_ns(p->thread->loop);
	struct found f;
	if (!find(p, http_exchange_request(x), &f)) {
		answer_error(p, x, started_ns, 503);
		return;
	}
	const struct serve_route *route = f.match.route;
	if (route) {
		if (route->service)
			serve__request_begin(&route->service->shards[p->thread->index], x, &(struct serve_way){routing, route, &f.match, &f.origin, f.path});
		else
			answer_by_route(p, x, started_ns, route->config);
	} else if (f.match.other) {
		answer_not_allowed(p, x, started_ns, f.match.other);
	} else {
		answer_error(p, x, started_ns, 404);
	}
}
