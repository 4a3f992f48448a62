// How a request came: the routing that its thread had taken up, and what is kept of the match.
//
// A port's routing is the router that its thread has taken up, with the count of the requests that still read it: plain numbers, since only the thread
// looks at them. One that was replaced goes with its last request.
#include "serve_int.h"

// ---- taking up another one -----------------------------------------------------------------------------------------------------------------

void serve__routing_free(struct serve_routing *r)
{
	if (r)
		serve__router_unref(r->router);
	mem_free(r);
}

static void let_go(struct serve_routing *r)
{
	if (r && r->uses == 0)
		serve__routing_free(r);
	else if (r)
		r->replaced = true;
}

// Who holds a place in it.
void serve__routing_unuse(struct serve_routing *r)
{
	if (--r->uses == 0 && r->replaced)
		serve__routing_free(r);
}

bool serve__routing_new(struct serve_router *r, struct serve_routing **ret, struct err *e)
{
	struct serve_routing *new = mem_zalloc(sizeof *new);
	if (!new)
		return err_nomem(e);
	serve__router_ref(r);
	new->router = r;
	*ret = new;
	return true;
}

void serve__port_take_routing(struct serve_port *p, struct serve_routing *r)
{
	let_go(p->routing);
	p->routing = r;
	p->passes_h2 = serve__router_keeps(r->router);
}

void serve__port_release_router(struct serve_port *p)
{
	let_go(p->routing);
	p->routing = NULL;
}

// ---- what a request keeps of it --------------------------------------------------------------------------------------------------------------

// What of the target is the path; "*" is the server as a whole.
struct slice serve__path_of(struct slice target)
{
	struct slice path = slice_sub(target, 0, slice_find(target, '?'));
	return slice_eq_str(path, "*") ? SLICE_LIT("/") : path;
}

// A path that was resolved lies in the port's scratch: it is copied, with the query.
static bool keep_target(struct serve_routed *to, const struct serve_way *way, const struct http_request *r)
{
	struct slice sent = serve__path_of(r->target);
	if (way->path.ptr == sent.ptr)
		return true;
	struct slice query = slice_sub(r->target, sent.len, r->target.len);
	uint8_t *text = mem_alloc(way->path.len + query.len);
	if (!text)
		return false;
	memcpy(text, way->path.ptr, way->path.len);
	if (query.len)
		memcpy(text + way->path.len, query.ptr, query.len);
	to->text = text;
	to->target = slice_of(text, way->path.len + query.len);
	return true;
}

static struct slice moved(const struct serve_routed *to, const struct serve_way *way, struct slice s)
{
	return to->text && s.len ? slice_of(to->text + (s.ptr - way->path.ptr), s.len) : s;
}

bool serve__routed_keep(struct serve_routed *to, const struct serve_way *way, const struct http_request *r)
{
	*to = (struct serve_routed){.route = way->route, .client = way->origin->client, .https = way->origin->https, .authority = way->origin->authority};
	if (!keep_target(to, way, r))
		return false;
	to->rest = moved(to, way, way->match->rest);
	for (unsigned i = 0; i < way->match->n_params; i++)
		to->params[i] = moved(to, way, way->match->params[i]);
	to->routing = way->routing;
	to->routing->uses++;
	return true;
}

void serve__routed_release(struct serve_routed *r)
{
	serve__routing_unuse(r->routing);
	mem_free(r->text);
	*r = (struct serve_routed){0};
}

// Address and port, where there is one.
static struct slice print_client(const struct http_address *a, char text[64])
{
	http_address_print(a, text, 64);
	struct slice s = slice_str(text);
	return slice_ends_with(s, SLICE_LIT(":0")) ? slice_sub(s, 0, s.len - 2) : s;
}

uint32_t serve__routed_fields(struct serve_routed *r, struct http_field ret[SERVE_ROUTED_FIELDS])
{
	uint32_t n = 0;
	ret[n++] = (struct http_field){SLICE_LIT("tenon-route"), slice_str(r->route->config->pattern)};
	ret[n++] = (struct http_field){SLICE_LIT("tenon-path-info"), r->rest};
	ret[n++] = (struct http_field){SLICE_LIT("tenon-client-addr"), print_client(&r->client, r->client_text)};
	for (unsigned i = 0; i < r->route->n_params; i++)
		ret[n++] = (struct http_field){r->route->params[i], r->params[i]};
	return n;
}
