// What a running server says of itself, to who stands beside it: read while shards go on counting, as metrics.c does.
#include <stdarg.h>

#include "serve_int.h"

struct serve_service *serve_service_find(const struct serve_process *p, const char *app, const char *component)
{
	for (unsigned i = 0, n = serve__have(&p->n_services); i < n; i++)
		if (strcmp(p->services[i]->name, component) == 0 && strcmp(p->services[i]->app, app) == 0)
			return p->services[i];
	return NULL;
}

static uint64_t sum(const struct serve_process *p, const struct serve_service *s, size_t offset)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < p->n_threads; i++)
		n += __atomic_load_n((const uint64_t *)(const void *)((const char *)&s->shards[i] + offset), __ATOMIC_RELAXED);
	return n;
}

static uint64_t memory_peak(const struct serve_process *p, const struct serve_service *s)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < p->n_threads; i++)
		n = max_u64(n, __atomic_load_n(&s->shards[i].meters.memory_peak, __ATOMIC_RELAXED));
	return n;
}

// Of the last one, which has none, the bound below.
uint64_t serve__quantile(const uint64_t buckets[SERVE_BUCKETS], uint64_t rank)
{
	uint64_t n = 0;
	for (unsigned k = 0; k < SERVE_BUCKETS - 1; k++) {
		n += buckets[k];
		if (n >= rank)
			return serve__bounds[k];
	}
	return serve__bounds[SERVE_BUCKETS - 2];
}

static void count_calls(const struct serve_process *p, const struct serve_service *s, struct serve_component_facts *ret)
{
	uint64_t buckets[SERVE_BUCKETS];
	for (unsigned k = 0; k < SERVE_BUCKETS; k++) {
		buckets[k] = sum(p, s, offsetof(struct serve_shard, meters.durations) + k * sizeof(uint64_t));
		ret->requests += buckets[k];
	}
	ret->p50_ns = ret->requests ? serve__quantile(buckets, (ret->requests + 1) / 2) : 0;
	ret->p99_ns = ret->requests ? serve__quantile(buckets, ret->requests - ret->requests / 100) : 0;
	for (unsigned k = 500 - SERVE_STATUS_FIRST; k < SERVE_STATUSES; k++)
		ret->errors += sum(p, s, offsetof(struct serve_shard, meters.statuses) + k * sizeof(uint64_t));
	for (unsigned k = 0; k < SERVE_TRAPS; k++)
		ret->traps += sum(p, s, offsetof(struct serve_shard, meters.traps) + k * sizeof(uint64_t));
}

bool serve_component_facts(const struct serve_process *p, unsigned i, struct serve_component_facts *ret)
{
	static const char *const policies[] = {[SERVE_FRESH] = "fresh", [SERVE_REUSE] = "reuse", [SERVE_KEEP] = "keep", [SERVE_CONCURRENT] = "concurrent"};
	if (i >= serve__have(&p->n_services))
		return false;
	struct serve_service *s = p->services[i];
	uint64_t until_ns = __atomic_load_n(&s->watched_until_ns, __ATOMIC_RELAXED), now_ns = sys_now_ns();
	*ret = (struct serve_component_facts){.app = s->app,
		.component = s->name,
		.is_there = __atomic_load_n(&s->there, __ATOMIC_ACQUIRE),
		.watched = until_ns != 0,
		.watched_ns = until_ns > now_ns ? until_ns - now_ns : 0,
		.calls = sum(p, s, offsetof(struct serve_shard, calls)),
		.queued = sum(p, s, offsetof(struct serve_shard, queued)),
		.inner_calls = sum(p, s, offsetof(struct serve_shard, meters.inner)),
		.instances = sum(p, s, offsetof(struct serve_shard, slots)),
		.cpu_ns = sum(p, s, offsetof(struct serve_shard, meters.cpu_ns)),
		.duration_ns = sum(p, s, offsetof(struct serve_shard, meters.duration_ns)),
		.memory_peak = memory_peak(p, s)};
	spinlock_lock(&s->told);
	snprintf(ret->path, sizeof ret->path, "%s", s->path);
	ret->policy = policies[s->policy];
	spinlock_unlock(&s->told);
	count_calls(p, s, ret);
	return true;
}

const char *serve_component_app(const struct serve_process *p, unsigned i)
{
	return i < serve__have(&p->n_services) ? p->services[i]->app : NULL;
}

bool serve_link_facts(const struct serve_process *p, unsigned component, unsigned i, struct serve_link_facts *ret)
{
	struct serve_link_meters m;
	if (component >= serve__have(&p->n_services) || !serve__link_sum(p->services[component], i, &m))
		return false;
	*ret = (struct serve_link_facts){.duration_ns = m.duration_ns};
	memcpy(ret->link, m.link, sizeof ret->link);
	for (unsigned k = 0; k < SERVE_BUCKETS; k++)
		ret->calls += m.durations[k];
	for (unsigned k = SEAM_WENT_WRONG; k < SERVE_OUTCOMES; k++)
		ret->errors += m.outcomes[k];
	ret->p50_ns = ret->calls ? serve__quantile(m.durations, (ret->calls + 1) / 2) : 0;
	ret->p99_ns = ret->calls ? serve__quantile(m.durations, ret->calls - ret->calls / 100) : 0;
	return true;
}

void serve_process_facts(const struct serve_process *p, struct serve_process_facts *ret)
{
	static const char *const words[] = {[SERVE_STARTING] = "starting", [SERVE_READY] = "ready", [SERVE_DRAINING] = "draining"};
	uint64_t cpu, faults;
	sys_process_usage(&cpu, &faults);
	*ret = (struct serve_process_facts){.state = words[serve__phase(p)],
		.started_ns = p->started_wall_ns,
		.cpu_ns = cpu,
		.memory = serve__memory_resident(p),
		.memory_limit = serve__memory_ceiling(p),
		.shards = p->n_threads,
		.listeners = serve__have(&p->n_listeners)};
}

bool serve_listener_name(struct serve_process *p, unsigned i, struct buf *b)
{
	pthread_mutex_lock(&p->listening);
	bool is = p->listeners[i].state == LISTENER_SERVES;
	if (is)
		serve__listener_print(&p->listeners[i], b);
	pthread_mutex_unlock(&p->listening);
	return is;
}

void serve_warn(const struct serve_process *p, const char *fmt, ...)
{
	char text[512];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	serve__log(p->config, SERVE_LOG_WARN, "%s", text);
}

void serve_process_turn(struct serve_process *p, uint64_t max_wait_ns)
{
	loop_run_once(p->threads[0].loop, max_wait_ns);
}

struct loop *serve_process_loop(const struct serve_process *p)
{
	return p->threads[0].loop;
}
