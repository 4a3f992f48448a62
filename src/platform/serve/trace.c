// Traces: a span for each request, each call through a link and each request that goes out, told to room obs where --otlp names a collector. The context of
// who asks (W3C) is taken, his choice whether it is sampled with it; else --trace-sample of the requests are.
#include "relay.h"
#include "sys/sys.h"

enum { PATH_MAX_BYTES = 256 };

// Not for secrets: ids that are told to anybody.
static uint64_t random_of(struct serve_thread *t)
{
	if (UNLIKELY(!t->trace_random))
		sys_random(&t->trace_random, sizeof t->trace_random);
	uint64_t z = t->trace_random += 0x9e3779b97f4a7c15;  // SplitMix64
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

uint64_t serve__trace_id(struct serve_thread *t)
{
	uint64_t id;
	while ((id = random_of(t)) == 0)
		;
	return id;
}

static void begin_anew(struct serve_thread *t, struct obs_context *ret)
{
	uint64_t halves[2] = {serve__trace_id(t), random_of(t)};
	memcpy(ret->trace, halves, sizeof halves);
	ret->sampled = random_of(t) % 1000000 < t->process->config->trace_ppm;
}

// The only traceparent of a request. false: it has none, or several.
static bool parent_of(const struct http_request *r, struct obs_context *ret)
{
	struct slice found = {0};
	unsigned n = 0;
	for (uint32_t i = 0; i < r->field_count; i++)
		if (http_name_eq(r->fields[i].name, SLICE_LIT("traceparent"))) {
			found = r->fields[i].value;
			n++;
		}
	return n == 1 && obs_context_parse(found, ret);
}

void serve__trace_begin(struct serve_request *c)
{
	struct serve_thread *t = c->shard->thread;
	struct serve_trace *to = &c->trace;
	if (LIKELY(!t->process->obs))
		return;
	if (parent_of(http_exchange_request(c->x), &to->self)) {
		to->parent = to->self.span;
		to->has_parent = true;
	} else {
		begin_anew(t, &to->self);
	}
	to->self.span = serve__trace_id(t);
	to->is_there = true;
}

struct slice serve__trace_state(const struct http_request *r, char room[SERVE_STATE_MAX])
{
	size_t n = 0;
	for (uint32_t i = 0; i < r->field_count; i++) {
		struct slice v = r->fields[i].value;
		if (!http_name_eq(r->fields[i].name, SLICE_LIT("tracestate")) || !v.len)
			continue;
		if ((n ? n + 1 : 0) + v.len > SERVE_STATE_MAX)
			return slice_of("", 0);
		if (n)
			room[n++] = ',';
		for (size_t k = 0; k < v.len; k++) {
			if ((v.ptr[k] < ' ' && v.ptr[k] != '\t') || v.ptr[k] > '~')
				return slice_of("", 0);
			room[n++] = (char)v.ptr[k];
		}
	}
	return slice_of(room, n);
}

// ---- of a request ------------------------------------------------------------------------------------------------------------------------

static bool is_known(struct slice method)
{
	static const char *const known[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (slice_eq_str(method, known[i]))
			return true;
	return false;
}

// Semantic conventions of OpenTelemetry for HTTP servers; what is tenon's own is called tenon.….
static void put_request(struct obs_span *s, const struct serve_request *c, const struct http_request *r, unsigned status)
{
	char client[64];
	http_address_print(c->routed.routing ? &c->routed.client : &r->peer, client, sizeof client);
	obs_span_text(s, "http.request.method", is_known(r->method) ? r->method : SLICE_LIT("_OTHER"));
	obs_span_number(s, "http.response.status_code", status);
	obs_span_text(s, "url.scheme", r->https ? SLICE_LIT("https") : SLICE_LIT("http"));
	obs_span_text(s, "url.path", serve__cut(serve__path_of(r->target), PATH_MAX_BYTES));
	if (c->routed.routing)
		obs_span_text(s, "http.route", slice_str(c->routed.route->config->pattern));
	obs_span_text(s, "network.protocol.version", slice_sub(slice_str(http_version_name(r->version)), 5, SIZE_MAX));
	obs_span_text(s, "client.address", slice_str(client));
	obs_span_text(s, "tenon.component", slice_str(c->shard->service->name));
	obs_span_text(s, "tenon.outcome", slice_str(serve__outcome(c)));
	obs_span_number(s, "tenon.request", c->id);
	obs_span_number(s, "tenon.cpu_us", (c->task ? c->task->cpu_ns : 0) / 1000);
	if (c->release)
		obs_span_number(s, "tenon.release", c->release);
}

void serve__trace_end(const struct serve_request *c, unsigned status, uint64_t took_ns)
{
	const struct serve_trace *from = &c->trace;
	if (LIKELY(!from->is_there || !from->self.sampled))
		return;
	const struct http_request *r = http_exchange_request(c->x);
	struct slice method = is_known(r->method) ? r->method : SLICE_LIT("HTTP");
	const char *route = c->routed.routing ? c->routed.route->config->pattern : NULL;
	char name[160], state[SERVE_STATE_MAX];
	struct obs_span s;
	snprintf(name, sizeof name, "%.*s%s%.120s", SLICE_ARGS(method), route ? " " : "", route ? route : "");
	obs_span_init(&s, &from->self, from->parent, OBS_SERVER, slice_str(c->shard->service->app), slice_str(name), took_ns);
	s.is_error = status >= 500;
	put_request(&s, c, r, status);
	if (from->has_parent)
		obs_span_state(&s, serve__trace_state(r, state));
	obs_send(c->shard->service->process->obs, c->shard->thread->index, &s);
}

// ---- of what it calls ----------------------------------------------------------------------------------------------------------------------

void serve__trace_call(struct serve_thread *t, const struct serve_shard *by, const struct serve_trace *of, const struct seam_seen *seen, uint64_t took_ns)
{
	struct obs_span s;
	char name[160];
	if (seen->is_request)
		snprintf(name, sizeof name, "%.*s", SLICE_ARGS(seen->func));
	else
		snprintf(name, sizeof name, "%.*s#%.*s", (int)slice_find(seen->interface, '@'), (const char *)seen->interface.ptr, SLICE_ARGS(seen->func));
	obs_span_init(&s, &of->self, of->parent, seen->is_request ? OBS_CLIENT : OBS_INTERNAL, slice_str(by->service->app), slice_str(name), took_ns);
	s.is_error = seen->outcome != SEAM_WENT_WELL || seen->status >= 500;
	obs_span_text(&s, "tenon.component", slice_str(by->service->name));
	obs_span_text(&s, "tenon.link", slice_str(seen->link ? seen->link : ""));
	obs_span_text(&s, "tenon.outcome", slice_str(serve__outcomes[seen->outcome]));
	if (seen->is_request) {
		obs_span_text(&s, "http.request.method", is_known(seen->func) ? seen->func : SLICE_LIT("_OTHER"));
		obs_span_text(&s, "url.full", seen->interface);
		if (seen->status)
			obs_span_number(&s, "http.response.status_code", seen->status);
	}
	obs_send(t->process->obs, t->index, &s);
}

struct slice serve__trace_context(struct serve_thread *t, const struct serve_trace *of, uint64_t span)
{
	struct obs_context self = of->self;
	self.span = span ? span : serve__trace_id(t);
	obs_context_print(&self, t->trace_parent);
	return slice_of(t->trace_parent, OBS_PARENT_LEN);
}
