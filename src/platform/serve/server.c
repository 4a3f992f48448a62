// tenon serve: one component on its threads: loading, its image, a shard a thread, drain.
#include <stdio.h>

#include "serve_int.h"
#include "sys/sys.h"

// ---- one shard ---------------------------------------------------------------------------------------------------------------------

static void on_request(void *user, struct http_exchange *x)
{
	serve__call_begin(user, x);
}

static uint64_t or_none(uint64_t limit)
{
	return limit ? limit : HTTP_NO_LIMIT;
}

static struct http_limits http_limits_of(const struct serve_limits *l)
{
	struct http_limits h = http_limits_default;
	h.head_bytes = (uint32_t)l->head_bytes;  // in limits.def's range
	h.fields = (uint32_t)l->head_fields;
	h.body_bytes = or_none(l->max_body);
	h.idle_ns = or_none(l->idle_timeout);
	h.head_ns = or_none(l->head_timeout);
	h.body_ns = or_none(l->body_timeout);
	h.body_total_ns = or_none(l->body_total);
	h.write_ns = or_none(l->write_timeout);
	h.min_rate = l->min_rate;
	return h;
}

static void on_full(void *user, enum http_full what, const struct http_address *peer)
{
	const struct serve_shard *s = user;
	char client[64];
	switch (what) {
	case HTTP_FULL_CONNECTIONS:
		serve__log(s->server->config, SERVE_LOG_WARN, "%llu connections are open: the longest idle are closed for new ones (--connections)",
			(unsigned long long)s->server->connections);
		break;
	case HTTP_FULL_CLIENT:
		http_address_print(peer, client, sizeof client);
		serve__log(s->server->config, SERVE_LOG_WARN, "client %s has as many connections as it may: others are closed at once (--connections-per-client)", client);
		break;
	case HTTP_FULL_DESCRIPTORS:
		serve__log(s->server->config, SERVE_LOG_WARN, "no descriptor is left: the longest idle connections are closed for new ones");
		break;
	}
}

static uint64_t share(uint64_t limit, unsigned n)
{
	return limit ? limit / n + (limit % n != 0) : UINT64_MAX;
}

bool serve__shard_open(struct serve_shard *s, struct serve_thread *t, struct err *e)
{
	struct serve_server *server = s->server;
	const struct serve_limits *l = &server->config->limits;
	s->max_calls = share(l->calls, server->n_shards);
	s->max_queue = share(l->queue, server->n_shards);
	struct http_server_config config = {.limits = http_limits_of(l), .on_request = on_request, .user = s, .gate = server->gate, .on_full = on_full};
	s->thread = t;
	s->loop = t->loop;
	s->vm = t->vm;
	if (!http_server_new(s->loop, &config, &s->http, e))
		return false;
	t->open++;
	return true;
}

void serve__shard_close(struct serve_shard *s)
{
	if (!s->http)
		return;
	serve__calls_end(s);
	http_server_free(s->http);
	serve__call_pool_release(s);
	loop_timer_cancel(s->loop, &s->drain_timer);
	s->http = NULL;
}

void serve__shard_end(struct serve_shard *s)
{
	if (s->ended)
		return;
	s->ended = true;
	if (--s->thread->open == 0)
		serve__thread_end(s->thread);
}

// No connection is left; what runs on after its answer is still waited for.
static void on_drained(void *user)
{
	struct serve_shard *s = user;
	s->drained = true;
	if (s->calls == 0)
		serve__shard_end(s);
}

static void on_drain_timeout(struct loop_timer *t)
{
	struct serve_shard *s = CONTAINER_OF(t, struct serve_shard, drain_timer);
	serve__log(s->server->config, SERVE_LOG_WARN, "%llu requests did not end within the time to drain", (unsigned long long)s->calls);
	serve__shard_end(s);
}

void serve__shard_drain(struct serve_shard *s)
{
	uint64_t wait = s->server->config->limits.drain;
	s->drain_timer.fn = on_drain_timeout;
	if (wait)
		loop_timer_set(s->loop, &s->drain_timer, sat_add_u64(loop_now_fresh_ns(s->loop), wait));
	http_server_drain(s->http, on_drained, s);
}

// ---- the image -----------------------------------------------------------------------------------------------------------------------

struct image_job {
	struct serve_server *server;
	struct seam_task task;
	struct canon_trap trap;
	struct err *e;
	bool ok;
};

static enum canon_init init_of(const struct serve_server *server)
{
	static const enum canon_init inits[] = {[SERVE_INIT_AUTO] = CANON_INIT_AUTO, [SERVE_INIT_ONCE] = CANON_INIT_ONCE, [SERVE_INIT_EACH] = CANON_INIT_EACH};
	return inits[server->config->init];
}

static void image_main(void *arg)
{
	struct image_job *j = arg;
	struct serve_server *server = j->server;
	struct serve_deployment *d = &server->deployment;
	j->ok = canon_image_new(server->shards[0].vm, d->canon, seam_link_host(d->link), &d->limits, init_of(server), &server->image_seam,
		&j->task, &server->image, &j->trap, j->e);
}

static void explain_image(const struct image_job *j, struct err *e)
{
	enum trap t = j->trap.trap;
	if (t == TRAP_KILLED) {
		err_set(e, ERR_ENV, "stopped by a signal before it was ready");
		return;
	}
	err_set(e, t == TRAP_DEADLINE || t == TRAP_CPU_BUDGET ? ERR_TIMEOUT : ERR_TRAP, "the component traps while it is instantiated: %s", j->trap.text);
	if (j->trap.backtrace[0])
		err_note(e, "%s", j->trap.backtrace);
}

// Instantiates once; the loop runs meanwhile, since what instantiation calls may wait.
static bool take_image(struct serve_server *server, const bool *stop, struct err *e)
{
	struct serve_shard *s = &server->shards[0];
	struct image_job j = {.server = server, .e = e};
	seam_instance_init(&server->image_seam, s->loop, s->vm, &server->deployment.grants, NULL);
	seam_task_init(&j.task, s->loop, s->vm, NULL);
	if (!seam_task_run_to_end(&j.task, image_main, &j, serve__budget(&server->config->limits, loop_now_fresh_ns(s->loop)), stop))
		return err_nomem(e);
	seam_instance_task_end(&server->image_seam, &j.task);
	if (!j.ok && e->code == ERR_NONE)
		explain_image(&j, e);
	return j.ok;
}

// What an image that saw no answer of the host depends on besides the code.
struct image_variant {
	uint64_t init, memory_bytes, table_elements, handles, call_depth, call_bytes, stack;
};

static struct image_variant variant_of(const struct serve_server *server)
{
	const struct canon_limits *l = &server->deployment.limits;
	return (struct image_variant){init_of(server), l->memory_bytes, l->table_elements, l->handles, l->call_depth, l->call_bytes, l->stack};
}

// Instances that are kept are never made anew from a copy: they get one at once.
static bool load_image(struct serve_server *server)
{
	struct serve_deployment *d = &server->deployment;
	struct image_variant variant = variant_of(server);
	struct vm_image *vm;
	if (!tier_file_load_image(d->cached, slice_of(&variant, sizeof variant), server->config->policy != SERVE_FRESH, &vm))
		return false;
	bool ok = canon_image_from(d->canon, seam_link_host(d->link), &d->limits, vm, vm_image_extra(vm), &server->image, NULL);
	vm_image_unref(vm);
	return ok;
}

static void save_image(struct serve_server *server)
{
	struct image_variant variant = variant_of(server);
	struct buf extra = {0};
	struct vm_image *vm = canon_image_pure(server->image, &extra);
	if (vm)
		tier_file_save_image(server->deployment.cached, slice_of(&variant, sizeof variant), vm, buf_view(&extra));
	buf_release(&extra);
}

static bool have_image(struct serve_server *server, const bool *stop, struct err *e)
{
	bool ok = load_image(server);
	if (!ok && (ok = take_image(server, stop, e)))
		save_image(server);
	tier_file_close(server->deployment.cached);
	server->deployment.cached = NULL;
	return ok;
}

// ---- the server ----------------------------------------------------------------------------------------------------------------------

static bool nothing_to_serve(struct serve_server *server, struct err *e)
{
	const struct serve_deployment *d = &server->deployment;
	for (uint32_t i = 0; i < d->comp->nexports; i++) {
		struct slice name = d->comp->exports[i].name;
		if (!slice_starts_with(name, SLICE_LIT("wasi:http/handler@")) && !slice_starts_with(name, SLICE_LIT(WASI_HTTP_HANDLER "@")))
			continue;
		err_set(e, ERR_LINK, "cannot link: the component exports %.*s, which is not served", SLICE_ARGS(name));
		return err_hint(e, "build it against " WASI_HTTP_HANDLER "@0.2");
	}
	err_set(e, ERR_LINK, "cannot link: the component exports nothing to serve");
	return err_hint(e, "serve wants an export of " WASI_HTTP_HANDLER "; tenon run calls other exports");
}

static bool find_handler(struct serve_server *server, struct err *e)
{
	const struct serve_deployment *d = &server->deployment;
	if (!seam_export_is_there(d->comp, &wasi_http_incoming_handler_interface))
		return nothing_to_serve(server, e);
	return wasi_http_incoming_handler_bind(d->comp, d->link, &server->handler, e);
}

// A request can't be served with less: its own handle and that of its answer.
static bool has_handles(const struct serve_limits *l, struct err *e)
{
	if (l->handles != 1)
		return true;
	err_set(e, ERR_LIMIT, "each request needs two handles, the limit is 1");
	return err_hint(e, "raise the limit (--handles)");
}

bool serve__server_load(struct serve_server *s, struct err *e)
{
	const struct serve_config *c = s->config;
	char address[300];
	snprintf(address, sizeof address, strchr(c->host, ':') ? "[%s]:%u" : "%s:%u", c->host, c->port);
	s->process_memory = serve__process_memory_limit(&c->limits);
	s->shards = mem_zalloc(s->n_shards * sizeof *s->shards);
	if (!s->shards)
		return err_nomem(e);
	for (unsigned i = 0; i < s->n_shards; i++)
		s->shards[i] = (struct serve_shard){.server = s, .index = i};
	return has_handles(&c->limits, e) && http_address_parse(slice_str(address), &s->address, e) && serve__deployment_load(&s->deployment, c, e) && find_handler(s, e);
}

bool serve__server_start(struct serve_server *s, struct serve_thread *first, struct err *e)
{
	return serve__shard_open(&s->shards[0], first, e) && have_image(s, &first->process->stopping, e) &&
		http_server_listen(s->shards[0].http, &s->address, true, e);
}

void serve__server_release(struct serve_server *s)
{
	canon_image_free(s->image);
	serve__deployment_release(&s->deployment);
	mem_free(s->shards);
}

bool serve_compile(const struct serve_config *c, struct err *e)
{
	struct serve_deployment d;
	bool ok = vm_process_init(e) && serve__deployment_compile(&d, c, e);
	if (ok)
		serve__log(c, SERVE_LOG_INFO, "%llu bytes of code compiled to %llu in %.1f ms%s", (unsigned long long)d.tier.code_bytes,
			(unsigned long long)d.tier.native_bytes, (double)d.tier.compile_ns / 1e6, d.tier.from_cache ? " (from the cache)" : "");
	return ok;
}
