// /metrics: what the shards count (meters.c), added up, and what the process says of itself, in the text form of Prometheus or as OpenMetrics. Shards go on
// counting meanwhile: sums of one reading may be a few requests apart.
#include "serve_int.h"

static const char *const trap_names[] = {
#define TRAP(name, text) #name,
#include "abi/traps.def"
#undef TRAP
};
_Static_assert(ARRAY_LEN(trap_names) <= SERVE_TRAPS, "a counter for each");

// ---- adding up -------------------------------------------------------------------------------------------------------------------------

static uint64_t now_of(const uint64_t *n)
{
	return __atomic_load_n(n, __ATOMIC_RELAXED);
}

// Of a counter at that place in each shard.
static uint64_t sum(const struct serve_process *p, const struct serve_service *s, size_t offset)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < p->n_threads; i++)
		n += now_of((const uint64_t *)(const void *)((const char *)&s->shards[i] + offset));
	return n;
}

static uint64_t most(const struct serve_process *p, const struct serve_service *s, size_t offset)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < p->n_threads; i++)
		n = max_u64(n, now_of((const uint64_t *)(const void *)((const char *)&s->shards[i] + offset)));
	return n;
}
// What a port's or a client's server counts is there until its thread closes it.
static void add_counters(struct http_counters *to, const struct http_counters *from)
{
	const uint64_t *n = (const uint64_t *)(const void *)from;
	uint64_t *sums = (uint64_t *)(void *)to;
	for (size_t i = 0; i < sizeof *to / sizeof *n; i++)
		sums[i] += now_of(&n[i]);
}

static struct http_counters listener_counters(const struct serve_process *p, const struct serve_listener *l)
{
	struct http_counters sums = {0};
	for (unsigned i = 0; i < p->n_threads; i++) {
		struct serve_port *port = &l->ports[i];
		spinlock_lock(&port->lock);
		add_counters(&sums, port->http ? http_server_counters(port->http) : &port->counted);
		spinlock_unlock(&port->lock);
	}
	return sums;
}

static struct http_counters outgoing_counters(const struct serve_process *p)
{
	struct http_counters sums = {0};
	for (unsigned i = 0; i < p->n_threads; i++) {
		struct serve_thread *t = &p->threads[i];
		spinlock_lock(&t->lock);
		add_counters(&sums, t->http ? http_client_counters(t->http) : &t->counted);
		spinlock_unlock(&t->lock);
	}
	return sums;
}

// ---- text ------------------------------------------------------------------------------------------------------------------------------

struct page {
	const struct serve_process *p;
	bool open;  // OpenMetrics
	struct buf *b;
};

static void put_escaped(struct buf *b, struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] == '\\' || s.ptr[i] == '"')
			buf_put_byte(b, '\\');
		if (s.ptr[i] == '\n')
			buf_put_str(b, "\\n");
		else
			buf_put_byte(b, s.ptr[i]);
	}
}

// OpenMetrics names a counter's family without the end of its samples' name.
static void put_family(const struct page *g, const char *name, const char *type, const char *help)
{
	struct slice family = slice_str(name);
	if (g->open && slice_ends_with(family, SLICE_LIT("_total")))
		family = slice_sub(family, 0, family.len - 6);
	buf_printf(g->b, "# HELP tenon_%.*s %s\n# TYPE tenon_%.*s %s\n", SLICE_ARGS(family), help, SLICE_ARGS(family), type);
}

// A whole number, or nanoseconds as seconds.
static void put_value(struct buf *b, uint64_t n, bool ns)
{
	if (ns)
		buf_printf(b, " %llu.%09llu\n", (unsigned long long)(n / SECOND), (unsigned long long)(n % SECOND));
	else
		buf_printf(b, " %llu\n", (unsigned long long)n);
}

static void put_sample(const struct page *g, const char *name, const char *suffix, const struct serve_service *s, const char *label, const char *value,
	uint64_t n, bool ns)
{
	buf_printf(g->b, "tenon_%s%s{tenant=\"default\",app=\"%s\",component=\"%s\"", name, suffix, s->app, s->name);
	if (label)
		buf_printf(g->b, ",%s=\"%s\"", label, value);
	buf_put_byte(g->b, '}');
	put_value(g->b, n, ns);
}

static void put_statuses(const struct page *g, const char *name, const struct serve_service *s)
{
	for (unsigned k = 0; k < SERVE_STATUSES; k++) {
		char status[8];
		uint64_t n = sum(g->p, s, offsetof(struct serve_shard, meters.statuses) + k * sizeof(uint64_t));
		snprintf(status, sizeof status, "%u", SERVE_STATUS_FIRST + k);
		if (n)
			put_sample(g, name, "", s, "status", status, n, false);
	}
}

// Of a bucket: "0.0025"; of the last one "+Inf".
static void put_bound(const struct page *g, unsigned k, char ret[24])
{
	if (k < ARRAY_LEN(serve__bounds))
		snprintf(ret, 24, g->open && serve__bounds[k] % SECOND == 0 ? "%.1f" : "%g", (double)serve__bounds[k] / 1e9);
	else
		snprintf(ret, 24, "+Inf");
}

static void put_durations(const struct page *g, const char *name, const struct serve_service *s)
{
	uint64_t n = 0;
	for (unsigned k = 0; k < SERVE_BUCKETS; k++) {
		char le[24];
		n += sum(g->p, s, offsetof(struct serve_shard, meters.durations) + k * sizeof(uint64_t));
		put_bound(g, k, le);
		put_sample(g, name, "_bucket", s, "le", le, n, false);
	}
	put_sample(g, name, "_sum", s, NULL, NULL, sum(g->p, s, offsetof(struct serve_shard, meters.duration_ns)), true);
	put_sample(g, name, "_count", s, NULL, NULL, n, false);
}

static void put_traps(const struct page *g, const char *name, const struct serve_service *s)
{
	for (unsigned k = 0; k < ARRAY_LEN(trap_names); k++) {
		uint64_t n = sum(g->p, s, offsetof(struct serve_shard, meters.traps) + k * sizeof(uint64_t));
		char kind[40];
		for (size_t i = 0; i < sizeof kind && (i == 0 || trap_names[k][i - 1]); i++)
			kind[i] = trap_names[k][i] >= 'A' && trap_names[k][i] <= 'Z' ? (char)(trap_names[k][i] + 32) : trap_names[k][i];
		kind[sizeof kind - 1] = 0;
		if (n)
			put_sample(g, name, "", s, "kind", kind, n, false);
	}
}

static void put_component(const struct page *g, const char *name, const struct serve_service *s)
{
	static const struct {
		const char *name;
		size_t offset;
		bool ns, most;
	} plain[] = {
		{"inner_calls_total", offsetof(struct serve_shard, meters.inner), false, false},
		{"guest_cpu_seconds_total", offsetof(struct serve_shard, meters.cpu_ns), true, false},
		{"requests_in_flight", offsetof(struct serve_shard, calls), false, false},
		{"requests_queued", offsetof(struct serve_shard, queued), false, false},
		{"instances", offsetof(struct serve_shard, slots), false, false},
		{"instances_made_total", offsetof(struct serve_shard, meters.made), false, false},
		{"instance_memory_peak_bytes", offsetof(struct serve_shard, meters.memory_peak), false, true},
	};
	if (strcmp(name, "requests_total") == 0)
		put_statuses(g, name, s);
	else if (strcmp(name, "request_duration_seconds") == 0)
		put_durations(g, name, s);
	else if (strcmp(name, "traps_total") == 0)
		put_traps(g, name, s);
	for (size_t i = 0; i < ARRAY_LEN(plain); i++)
		if (strcmp(name, plain[i].name) == 0)
			put_sample(g, name, "", s, NULL, NULL, plain[i].most ? most(g->p, s, plain[i].offset) : sum(g->p, s, plain[i].offset), plain[i].ns);
}

// ---- links -----------------------------------------------------------------------------------------------------------------------------

static void put_link_sample(const struct page *g, const char *name, const char *suffix, const struct serve_service *s, const char *link, const char *label,
	const char *value, uint64_t n, bool ns)
{
	buf_printf(g->b, "tenon_%s%s{tenant=\"default\",app=\"%s\",component=\"%s\",link=\"%s\"", name, suffix, s->app, s->name, link);
	if (label)
		buf_printf(g->b, ",%s=\"%s\"", label, value);
	buf_put_byte(g->b, '}');
	put_value(g->b, n, ns);
}

static void put_link_durations(const struct page *g, const char *name, const struct serve_service *s, const struct serve_link_meters *m)
{
	uint64_t n = 0;
	for (unsigned k = 0; k < SERVE_BUCKETS; k++) {
		char le[24];
		n += m->durations[k];
		put_bound(g, k, le);
		put_link_sample(g, name, "_bucket", s, m->link, "le", le, n, false);
	}
	put_link_sample(g, name, "_sum", s, m->link, NULL, NULL, m->duration_ns, true);
	put_link_sample(g, name, "_count", s, m->link, NULL, NULL, n, false);
}

static void put_links(const struct page *g, const char *name, const struct serve_service *s)
{
	struct serve_link_meters m;
	bool calls = strcmp(name, "link_calls_total") == 0;
	if (!calls && strcmp(name, "link_call_duration_seconds") != 0)
		return;
	for (unsigned i = 0; serve__link_sum(s, i, &m); i++) {
		for (unsigned k = 0; calls && k < SERVE_OUTCOMES; k++)
			put_link_sample(g, name, "", s, m.link, "outcome", serve__outcomes[k], m.outcomes[k], false);
		if (!calls)
			put_link_durations(g, name, s, &m);
	}
}

// Requests that no service got: answered by a route, or for none.
static void put_own(const struct page *g, const char *name)
{
	if (strcmp(name, "requests_total") != 0)
		return;
	for (unsigned k = 0; k < SERVE_STATUSES; k++) {
		uint64_t n = 0;
		for (unsigned i = 0; i < g->p->n_threads; i++)
			n += now_of(&g->p->threads[i].own.statuses[k]);
		if (!n)
			continue;
		buf_printf(g->b, "tenon_%s{tenant=\"default\",app=\"\",component=\"\",status=\"%u\"}", name, SERVE_STATUS_FIRST + k);
		put_value(g->b, n, false);
	}
}

static void put_listener(const struct page *g, const char *name, const struct serve_listener *l)
{
	static const struct {
		const char *name;
		size_t offset;
	} plain[] = {
		{"connections", offsetof(struct http_counters, connections)},
		{"connections_accepted_total", offsetof(struct http_counters, accepted)},
		{"received_bytes_total", offsetof(struct http_counters, bytes_in)},
		{"sent_bytes_total", offsetof(struct http_counters, bytes_out)},
		{"refused_requests_total", offsetof(struct http_counters, refused)},
	};
	for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
		if (strcmp(name, plain[i].name) != 0)
			continue;
		struct http_counters n = listener_counters(g->p, l);
		struct buf url = {.max = 512};
		serve__listener_print(l, &url);
		buf_printf(g->b, "tenon_%s{listener=\"", name);
		put_escaped(g->b, buf_view(&url));
		buf_put_str(g->b, "\"}");
		put_value(g->b, *(const uint64_t *)(const void *)((const char *)&n + plain[i].offset), false);
		buf_release(&url);
	}
}

// It may become another one.
static void put_one_listener(const struct page *g, const char *name, struct serve_listener *l)
{
	pthread_mutex_t *lock = &l->process->listening;
	if (!serve__listener_is_there(l))
		return;
	pthread_mutex_lock(lock);
	if (serve__listener_is_there(l))
		put_listener(g, name, l);
	pthread_mutex_unlock(lock);
}

static void put_plain(const struct page *g, const char *name, uint64_t n, bool ns)
{
	buf_printf(g->b, "tenon_%s", name);
	put_value(g->b, n, ns);
}

static void put_process(const struct page *g, const char *name)
{
	const struct serve_process *p = g->p;
	uint64_t cpu_ns, faults;
	sys_process_usage(&cpu_ns, &faults);
	if (strcmp(name, "process_cpu_seconds_total") == 0)
		put_plain(g, name, cpu_ns, true);
	else if (strcmp(name, "process_page_faults_total") == 0)
		put_plain(g, name, faults, false);
	else if (strcmp(name, "process_resident_memory_bytes") == 0)
		put_plain(g, name, serve__memory_resident(p), false);
	else if (strcmp(name, "process_memory_limit_bytes") == 0)
		put_plain(g, name, serve__memory_ceiling(p), false);
	else if (strcmp(name, "process_open_descriptors") == 0)
		put_plain(g, name, sys_descriptors_open(), false);
	else if (strcmp(name, "process_start_time_seconds") == 0)
		put_plain(g, name, p->started_wall_ns, true);
	else if (strcmp(name, "ready") == 0)
		put_plain(g, name, serve__phase(p) == SERVE_READY, false);
	else if (strcmp(name, "build_info") == 0)
		buf_printf(g->b, "tenon_build_info{version=\"%s\"} 1\n", TENON_VERSION);
}

static void put_logs(const struct page *g, const char *name)
{
	static const char *const logs[] = {[SERVE_STDOUT] = "stdout", [SERVE_ACCESS] = "access", [SERVE_STDERR] = "log"};
	for (unsigned i = 0; strcmp(name, "log_lines_lost_total") == 0 && i < ARRAY_LEN(logs); i++) {
		buf_printf(g->b, "tenon_%s{log=\"%s\"}", name, logs[i]);
		put_value(g->b, serve__writer_lost((enum serve_stream)i), false);
	}
}

static void put_spans(const struct page *g, const char *name)
{
	if (!g->p->obs || strcmp(name, "trace_spans_total") != 0)
		return;
	struct obs_counts n = obs_counts(g->p->obs);
	const struct {
		const char *state;
		uint64_t n;
	} rows[] = {{"sent", n.sent}, {"lost", n.lost}, {"failed", n.failed}};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		buf_printf(g->b, "tenon_%s{state=\"%s\"}", name, rows[i].state);
		put_value(g->b, rows[i].n, false);
	}
}

static void put_outgoing(const struct page *g, const char *name)
{
	if (strncmp(name, "outgoing_", 9) != 0)
		return;
	struct http_counters n = outgoing_counters(g->p);
	put_plain(g, name, strcmp(name, "outgoing_requests_total") == 0 ? n.requests : strcmp(name, "outgoing_answers_total") == 0 ? n.responses
																															   : n.connections,
		false);
}

static void put_metric(const struct page *g, const char *name, const char *type, const char *help)
{
	const struct serve_process *p = g->p;
	bool stands = serve__phase(p) != SERVE_STARTING;
	put_family(g, name, type, help);
	for (unsigned i = 0, n = serve__have(&p->n_services); stands && i < n; i++)
		put_component(g, name, p->services[i]);
	for (unsigned i = 0, n = serve__have(&p->n_services); stands && i < n; i++)
		put_links(g, name, p->services[i]);
	if (stands)
		put_own(g, name);
	for (unsigned i = 0, n = serve__have(&p->n_listeners); stands && i < n; i++)
		put_one_listener(g, name, &p->listeners[i]);
	if (stands) {
		put_outgoing(g, name);
		put_spans(g, name);
	}
	put_logs(g, name);
	put_process(g, name);
}

void serve__metrics_print(const struct serve_process *p, bool open, struct buf *b)
{
	struct page g = {p, open, b};
#define METRIC(name, type, help) put_metric(&g, #name, #type, help);
#include "metrics.def"
#undef METRIC
	if (open)
		buf_put_str(b, "# EOF\n");
}
