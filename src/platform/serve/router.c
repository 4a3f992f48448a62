// The routes of a site: an immutable trie of hosts and segments of paths, made once and read by all threads.
//
//   root ─ host ("" : any) ─ segment ─ … ─ segment ─ exact: routes that end here
//                                        └ rest: routes that end with "..."
//
// 1. A pattern's segments are literal, ":param" (one segment, not empty) or, at the end, "..." (any number of segments, also none: "/api/..." matches /api).
// 2. From left to right a literal beats a parameter and that beats "..."; what leads nowhere is gone back from. A host's routes beat those of any host.
// 3. Routes of one pattern differ in their methods: one that names the method beats one that takes all. HEAD goes where GET does, unless a route names it.
// 4. A walk looks at each node of the trie at most once: a client's path makes it no longer than the operator's routes are.
#include "serve_int.h"

enum { ROUTES_MAX = 100000, SEGMENTS_MAX = 64, TEXT_MAX = 8192 };

// Indices are one more than the place; 0: there is none.
struct node {
	uint32_t param;        // the node behind a parameter
	uint32_t exact, rest;  // first of the routes that end here
};

struct edge {
	uint32_t from, to;  // nodes; to 0: free
	struct slice segment;
};

struct leaf {
	const struct serve_route *route;
	uint32_t next;
};

struct serve_router {
	struct arena arena;
	uint32_t refs;  // any thread
	VEC(struct node)
	nodes;
	VEC(struct leaf)
	leaves;
	struct edge *edges;  // by hash of where they come from and segment
	uint32_t n_edges, mask;
	const struct serve_route *routes;
	uint32_t n_routes;
	struct serve_service *all;
	bool keeps;
	uint32_t any_host;  // node of the routes without a host; 0: there are none
};

// ---- edges -------------------------------------------------------------------------------------------------------------------------------

static struct edge *find_edge(const struct serve_router *r, uint32_t from, struct slice segment)
{
	uint32_t i = (uint32_t)(hash_u64(segment) + from * UINT64_C(0x9e3779b97f4a7c15)) & r->mask;
	while (r->edges[i].to && (r->edges[i].from != from || !slice_eq(r->edges[i].segment, segment)))
		i = (i + 1) & r->mask;
	return &r->edges[i];
}

static uint32_t add_node(struct serve_router *r)
{
	return VEC_PUSH(&r->arena, &r->nodes, (struct node){0}, UINT32_MAX) ? r->nodes.len - 1 : 0;
}

// The node behind; 0: no memory.
static uint32_t literal(struct serve_router *r, uint32_t from, struct slice segment)
{
	struct edge *e = find_edge(r, from, segment);
	if (!e->to) {
		uint32_t to = add_node(r);
		if (!to)
			return 0;
		*e = (struct edge){from, to, segment};
	}
	return e->to;
}

static uint32_t parameter(struct serve_router *r, uint32_t from)
{
	if (!r->nodes.ptr[from].param) {
		uint32_t to = add_node(r);
		r->nodes.ptr[from].param = to;
	}
	return r->nodes.ptr[from].param;
}

// ---- patterns ----------------------------------------------------------------------------------------------------------------------------

struct segments {
	struct slice path;
	size_t at;  // of the '/' before the next one; path.len: there is none
};

static struct slice next_segment(struct segments *s)
{
	struct slice rest = slice_sub(s->path, s->at + 1, s->path.len);
	struct slice segment = slice_sub(rest, 0, slice_find(rest, '/'));
	s->at += 1 + segment.len;
	return segment;
}

static bool bad_pattern(const struct serve_route_config *c, const char *why, struct err *e)
{
	err_set(e, ERR_USAGE, "the route '%.200s': %s", c->pattern, why);
	return err_hint(e, "a route is as /users/:id/files/...: literal segments, :NAME for one, ... at the end for all that follow");
}

static bool is_name(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.ptr[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
			return false;
	}
	return s.len > 0;
}

static bool add_param(struct serve_router *r, struct serve_route *route, struct slice name, struct err *e)
{
	static const char prefix[] = "tenon-param-";
	struct buf field = {.max = TEXT_MAX};
	if (!is_name(name))
		return bad_pattern(route->config, "a parameter's name has letters, digits, - and _", e);
	if (route->n_params == SERVE_PARAMS_MAX)
		return bad_pattern(route->config, "it has too many parameters", e);
	buf_put_str(&field, prefix);
	for (size_t i = 0; i < name.len; i++)
		buf_put_byte(&field, name.ptr[i] >= 'A' && name.ptr[i] <= 'Z' ? name.ptr[i] + 32 : name.ptr[i]);
	bool ok = !field.failed && slice_dup(&r->arena, buf_view(&field), &route->params[route->n_params]);
	buf_release(&field);
	if (!ok)
		return err_nomem(e);
	for (unsigned i = 0; i < route->n_params; i++)
		if (slice_eq(route->params[i], route->params[route->n_params]))
			return bad_pattern(route->config, "two parameters have the same name", e);
	route->n_params++;
	return true;
}

static bool check_pattern(const struct serve_route_config *c, struct err *e)
{
	struct slice pattern = slice_str(c->pattern), resolved;
	struct buf scratch = {.max = TEXT_MAX};
	if (pattern.len > TEXT_MAX || !http_target_is_valid(pattern) || slice_find(pattern, '?') < pattern.len)
		return bad_pattern(c, "it is no path of a request", e);
	bool same = serve__path_resolve(pattern, &scratch, &resolved) && slice_eq(pattern, resolved);
	if (!same) {
		err_set(e, ERR_USAGE, "the route '%.200s' matches nothing: what is requested is resolved first", c->pattern);
		err_hint(e, "write it as '%.*s'", SLICE_ARGS(resolved));
	}
	buf_release(&scratch);
	return same;
}

// Where its segments lead. *ret_rest: it ends with "...".
static bool walk_pattern(struct serve_router *r, struct serve_route *route, uint32_t from, uint32_t *ret, bool *ret_rest, struct err *e)
{
	struct segments s = {slice_str(route->config->pattern), 0};
	*ret_rest = false;
	for (unsigned n = 0; s.at < s.path.len; n++) {
		struct slice segment = next_segment(&s);
		bool is_last = s.at == s.path.len;
		if (n == SEGMENTS_MAX)
			return bad_pattern(route->config, "it has too many segments", e);
		if (slice_eq_str(segment, "...")) {
			if (!is_last)
				return bad_pattern(route->config, "... stands at the end", e);
			*ret_rest = true;
			break;
		}
		if (segment.len && segment.ptr[0] == ':' && !add_param(r, route, slice_sub(segment, 1, segment.len), e))
			return false;
		from = segment.len && segment.ptr[0] == ':' ? parameter(r, from) : literal(r, from, segment);
		if (!from)
			return err_nomem(e);
	}
	*ret = from;
	return true;
}

// ---- methods -----------------------------------------------------------------------------------------------------------------------------

static bool names(const struct serve_route_config *c, struct slice method)
{
	for (uint32_t i = 0; i < c->methods.len; i++)
		if (slice_eq_str(method, c->methods.ptr[i]))
			return true;
	return false;
}

static bool overlap(const struct serve_route_config *a, const struct serve_route_config *b)
{
	if (a->methods.len == 0 || b->methods.len == 0)
		return a->methods.len == b->methods.len;
	for (uint32_t i = 0; i < a->methods.len; i++)
		if (names(b, slice_str(a->methods.ptr[i])))
			return true;
	return false;
}

static const char *text_or(const char *text, const char *other)
{
	return text ? text : other;
}

static bool is_twice(const struct serve_route_config *a, const struct serve_route_config *b, struct err *e)
{
	bool apps = a->app && b->app && strcmp(a->app, b->app) != 0;
	err_set(e, ERR_USAGE, "two routes are the same: '%.200s' of %s%s%s and '%.200s' of %s%s%s%s%s", a->pattern, apps ? a->app : "", apps ? "/" : "", text_or(a->id, "-"),
		b->pattern, apps ? b->app : "", apps ? "/" : "", text_or(b->id, "-"), b->host ? ", host " : "", text_or(b->host, ""));
	return err_hint(e, "routes of one pattern differ in their host or in their methods");
}

// Those that name methods come first.
static bool add_leaf(struct serve_router *r, uint32_t node, bool rest, const struct serve_route *route, struct err *e)
{
	uint32_t *first = rest ? &r->nodes.ptr[node].rest : &r->nodes.ptr[node].exact, *at = NULL;
	for (uint32_t i = *first; i; i = r->leaves.ptr[i - 1].next) {
		if (overlap(r->leaves.ptr[i - 1].route->config, route->config))
			return is_twice(r->leaves.ptr[i - 1].route->config, route->config, e);
		if (r->leaves.ptr[i - 1].route->config->methods.len)
			at = &r->leaves.ptr[i - 1].next;
	}
	uint32_t before = at ? (uint32_t)(CONTAINER_OF(at, struct leaf, next) - r->leaves.ptr) + 1 : 0;
	uint32_t next = before ? *at : *first;
	if (!VEC_PUSH(&r->arena, &r->leaves, ((struct leaf){route, next}), ROUTES_MAX))
		return err_nomem(e);
	if (before)
		r->leaves.ptr[before - 1].next = r->leaves.len;
	else
		*first = r->leaves.len;
	return true;
}

// ---- copied: it is read by requests of the router, long after who configured it --------------------------------------------------------------

static bool copy_text(struct arena *a, const char **text)
{
	struct slice copy;
	if (!*text)
		return true;
	if (!slice_dup(a, slice_str(*text), &copy))
		return false;
	*text = (const char *)copy.ptr;
	return true;
}

static bool copy_lists(struct arena *a, struct serve_route_config *c)
{
	const char **methods = ARENA_ARRAY(a, const char *, c->methods.len + 1);
	struct http_field *fields = ARENA_ARRAY(a, struct http_field, c->fields.len + 1);
	bool ok = methods && fields;
	for (uint32_t i = 0; ok && i < c->methods.len; i++) {
		methods[i] = c->methods.ptr[i];
		ok = copy_text(a, &methods[i]);
	}
	for (uint32_t i = 0; ok && i < c->fields.len; i++)
		ok = slice_dup(a, c->fields.ptr[i].name, &fields[i].name) && slice_dup(a, c->fields.ptr[i].value, &fields[i].value);
	c->methods.ptr = methods;
	c->fields.ptr = fields;
	return ok && slice_dup(a, c->body, &c->body);
}

static bool copy_config(struct arena *a, const struct serve_route_config **config)
{
	struct serve_route_config *c = ARENA_NEW(a, struct serve_route_config);
	if (!c)
		return false;
	*c = **config;
	*config = c;
	return copy_text(a, &c->pattern) && copy_text(a, &c->id) && copy_text(a, &c->app) && copy_text(a, &c->host) && copy_text(a, &c->service) && copy_lists(a, c);
}

// ---- made --------------------------------------------------------------------------------------------------------------------------------

bool serve_check_host(const char *text, struct err *e)
{
	struct slice host, port;
	if (http_authority_is_valid(slice_str(text), &host, &port) && host.len && port.len == 0)
		return true;
	err_set(e, ERR_USAGE, "'%.200s' is no host", text);
	return err_hint(e, "a host has no port and no scheme, as shop.example");
}

bool serve_check_pattern(const char *pattern, struct err *e)
{
	return check_pattern(&(struct serve_route_config){.pattern = pattern}, e);
}

static bool check_host(const struct serve_route_config *c, struct err *e)
{
	return !c->host || serve_check_host(c->host, e) || err_note(e, "the route '%.200s'", c->pattern);
}

static bool check_methods(const struct serve_route_config *c, struct err *e)
{
	for (uint32_t i = 0; i < c->methods.len; i++)
		if (!http_method_is_valid(slice_str(c->methods.ptr[i])))
			return err_set(e, ERR_USAGE, "the route '%.200s': '%.100s' is no method", c->pattern, c->methods.ptr[i]);
	return true;
}

// The node of its host.
static bool find_host(struct serve_router *r, const struct serve_route_config *c, uint32_t *ret, struct err *e)
{
	char host[HTTP_HOST_MAX + 1];
	uint16_t port;
	struct slice name;
	if (!c->host) {
		*ret = r->any_host = r->any_host ? r->any_host : add_node(r);
		return *ret || err_nomem(e);
	}
	if (!http_authority_split(slice_str(c->host), false, host, &port))
		return err_set(e, ERR_USAGE, "the route '%.200s': '%.200s' is no host", c->pattern, c->host);
	if (!slice_dup(&r->arena, slice_str(host), &name))
		return err_nomem(e);
	*ret = literal(r, 0, name);
	return *ret || err_nomem(e);
}

static bool add_route(struct serve_router *r, struct serve_route *route, struct err *e)
{
	uint32_t node = 0;
	bool rest;
	const struct serve_route_config *c = route->config;
	return check_pattern(c, e) && check_host(c, e) && check_methods(c, e) && find_host(r, c, &node, e) && walk_pattern(r, route, node, &node, &rest, e) &&
		add_leaf(r, node, rest, route, e);
}

// Room for an edge a segment, half of it free.
static bool make_edges(struct serve_router *r, struct err *e)
{
	uint64_t n = 1;
	for (uint32_t i = 0; i < r->n_routes; i++)
		for (const char *c = r->routes[i].config->pattern; *c; c++)
			n += *c == '/';
	n += r->n_routes;
	uint32_t size = 8;
	while (size < 2 * n)
		size *= 2;
	r->edges = ARENA_ARRAY(&r->arena, struct edge, size);
	r->mask = size - 1;
	return r->edges || err_nomem(e);
}

bool serve__router_new(const struct serve_route *routes, uint32_t n, struct serve_service *all, struct serve_router **ret, struct err *e)
{
	struct serve_router *r = mem_zalloc(sizeof *r);
	if (!r)
		return err_nomem(e);
	arena_init(&r->arena, 0);
	r->refs = 1;
	r->all = all;
	struct serve_route *copies = ARENA_ARRAY(&r->arena, struct serve_route, n ? n : 1);
	bool ok = copies || err_nomem(e);
	r->routes = copies;
	r->n_routes = n;
	ok = ok && (n <= ROUTES_MAX || err_set(e, ERR_USAGE, "more than %d routes", ROUTES_MAX));
	ok = ok && (VEC_PUSH(&r->arena, &r->nodes, (struct node){0}, UINT32_MAX) || err_nomem(e));
	for (uint32_t i = 0; ok && i < n; i++) {
		copies[i] = routes[i];
		r->keeps |= routes[i].is_kept;
		ok = copy_config(&r->arena, &copies[i].config) || err_nomem(e);
	}
	ok = ok && make_edges(r, e);
	for (uint32_t i = 0; ok && i < n; i++)
		ok = add_route(r, &copies[i], e);
	if (!ok) {
		serve__router_unref(r);
		return false;
	}
	*ret = r;
	return true;
}

void serve__router_ref(struct serve_router *r)
{
	__atomic_add_fetch(&r->refs, 1, __ATOMIC_RELAXED);
}

void serve__router_unref(struct serve_router *r)
{
	if (!r || __atomic_sub_fetch(&r->refs, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	arena_release(&r->arena);
	mem_free(r);
}

struct serve_service *serve__router_all(const struct serve_router *r)
{
	return r->all;
}

bool serve__router_keeps(const struct serve_router *r)
{
	return r->keeps;
}

// ---- asked -------------------------------------------------------------------------------------------------------------------------------

struct search {
	const struct serve_router *router;
	struct slice method, path;
	struct serve_match *match;
};

static bool take(struct search *s, uint32_t first, size_t at, unsigned n_params)
{
	bool is_head = slice_eq_str(s->method, "HEAD");
	const struct serve_route *found = NULL;
	for (uint32_t i = first; i && !(found && found->config->methods.len == 0); i = s->router->leaves.ptr[i - 1].next) {
		const struct serve_route *route = s->router->leaves.ptr[i - 1].route;
		if (names(route->config, s->method)) {
			found = route;
			break;
		}
		if (!found && (route->config->methods.len == 0 || (is_head && names(route->config, SLICE_LIT("GET")))))
			found = route;
	}
	if (!found) {
		if (first && !s->match->other)
			s->match->other = s->router->leaves.ptr[first - 1].route;
		return false;
	}
	s->match->route = found;
	s->match->n_params = n_params;
	s->match->rest = slice_sub(s->path, at, s->path.len);
	return true;
}

// Depth: SEGMENTS_MAX, the trie's.
static bool walk(struct search *s, uint32_t node, size_t at, unsigned n_params)
{
	const struct serve_router *r = s->router;
	const struct node *n = &r->nodes.ptr[node];
	if (at == s->path.len) {
		if (take(s, n->exact, at, n_params))
			return true;
	} else {
		struct segments rest = {s->path, at};
		struct slice segment = next_segment(&rest);
		const struct edge *e = find_edge(r, node, segment);
		if (e->to && walk(s, e->to, rest.at, n_params))
			return true;
		if (n->param && segment.len) {
			s->match->params[n_params] = segment;
			if (walk(s, n->param, rest.at, n_params + 1))
				return true;
		}
	}
	return take(s, n->rest, at, n_params);
}

bool serve__router_find(const struct serve_router *r, struct slice host, struct slice method, struct slice path, struct serve_match *ret)
{
	struct search s = {r, method, path, ret};
	ret->route = ret->other = NULL;
	const struct edge *e = host.len ? find_edge(r, 0, host) : NULL;
	return (e && e->to && walk(&s, e->to, 0, 0)) || (r->any_host && walk(&s, r->any_host, 0, 0));
}

void serve__router_put_methods(const struct serve_route *of, struct buf *b)
{
	for (uint32_t i = 0; i < of->config->methods.len; i++)
		buf_printf(b, "%s%s", i ? ", " : "", of->config->methods.ptr[i]);
}
