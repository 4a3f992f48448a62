// tenon serve: loading, shards, the ready line, drain.
//
// Shard 0 runs on the main thread and reads the signals; the others are threads. Order of the end: a first SIGTERM or SIGINT drains every shard
// (no request is cut, at most limits.drain), a second one ends the process at once.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

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
	h.head_bytes = (uint32_t)min_u64(or_none(l->head_bytes), HTTP_HEAD_MAX);
	h.fields = (uint32_t)min_u64(or_none(l->head_fields), HTTP_FIELDS_MAX);
	h.body_bytes = or_none(l->max_body);
	h.idle_ns = or_none(l->idle_timeout);
	h.head_ns = or_none(l->head_timeout);
	h.body_ns = or_none(l->body_timeout);
	h.write_ns = or_none(l->write_timeout);
	return h;
}

static uint64_t share(uint64_t limit, unsigned n)
{
	return limit ? (limit + n - 1) / n : UINT64_MAX;
}

static bool shard_open(struct serve_shard *s, struct err *e)
{
	struct serve_server *server = s->server;
	const struct serve_limits *l = &server->config->limits;
	s->max_calls = share(l->calls, server->n_shards);
	s->max_queue = share(l->queue, server->n_shards);
	struct http_server_config config = {.limits = http_limits_of(l), .on_request = on_request, .user = s};
	if ((!s->loop && !loop_new(&s->loop, e)) || !vm_shard_new(&s->vm, e) || !http_server_new(s->loop, &config, &s->http, e))
		return false;
	return true;
}

// On the thread that opened it.
static void shard_close(struct serve_shard *s)
{
	if (s->http)
		serve__calls_end(s);
	http_server_free(s->http);
	serve__call_pool_release(s);
	vm_shard_free(s->vm);
	s->http = NULL;
	s->vm = NULL;
}

// No connection is left; what runs on after its answer is still waited for.
static void on_drained(void *user)
{
	struct serve_shard *s = user;
	s->drained = true;
	if (s->calls == 0)
		loop_stop(s->loop);
}

static void on_drain_timeout(struct loop_timer *t)
{
	struct serve_shard *s = CONTAINER_OF(t, struct serve_shard, drain_timer);
	serve__log(s->server->config, SERVE_LOG_WARN, "%llu requests did not end within the time to drain", (unsigned long long)s->calls);
	loop_stop(s->loop);
}

static void drain(struct serve_shard *s)
{
	if (s->draining)
		return;
	s->draining = true;
	uint64_t wait = s->server->config->limits.drain;
	s->drain_timer.fn = on_drain_timeout;
	if (wait)
		loop_timer_set(s->loop, &s->drain_timer, sat_add_u64(loop_now_fresh_ns(s->loop), wait));
	http_server_drain(s->http, on_drained, s);
}

static void on_drain_remote(struct loop_remote *r)
{
	drain(CONTAINER_OF(r, struct serve_shard, drain));
}

static void *shard_main(void *arg)
{
	struct serve_shard *s = arg;
	struct err e;
	err_clear(&e);
	if (shard_open(s, &e) && http_server_listen(s->http, &s->server->address, false, &e))
		loop_run(s->loop);
	else
		serve__log(s->server->config, SERVE_LOG_ERROR, "shard %u does not run: %s", s->index, e.text);
	shard_close(s);
	return NULL;
}

// ---- signals -----------------------------------------------------------------------------------------------------------------------

static void on_signal(struct loop_io *io, uint32_t ready)
{
	struct serve_server *server = CONTAINER_OF(io, struct serve_server, signal_io);
	int number;
	while ((number = sys_signalfd_next(server->signal_fd)) != 0) {
		if (server->signals++)
			_exit(128 + number);
		for (unsigned i = 0; i < server->n_shards; i++) {
			struct serve_shard *s = &server->shards[i];
			s->drain.fn = on_drain_remote;
			loop_post_remote(s->loop, &s->drain);
		}
	}
}

static bool open_signals(struct serve_server *server, struct err *e)
{
	static const int signals[] = {SIGTERM, SIGINT};
	signal(SIGPIPE, SIG_IGN);
	return sys_signalfd(signals, 2, &server->signal_fd, e) &&
		loop_io_open(server->shards[0].loop, &server->signal_io, server->signal_fd, LOOP_READ, on_signal, e);
}

// ---- the image -----------------------------------------------------------------------------------------------------------------------

struct image_job {
	struct serve_server *server;
	struct seam_task task;
	struct canon_trap trap;
	struct err *e;
	bool ok, done;
};

static void image_main(void *arg)
{
	static const enum canon_init inits[] = {[SERVE_INIT_AUTO] = CANON_INIT_AUTO, [SERVE_INIT_ONCE] = CANON_INIT_ONCE, [SERVE_INIT_EACH] = CANON_INIT_EACH};
	struct image_job *j = arg;
	struct serve_server *server = j->server;
	struct serve_deployment *d = &server->deployment;
	j->ok = canon_image_new(server->shards[0].vm, d->canon, seam_link_host(d->link), &d->limits, inits[server->config->init], &server->image_seam,
		&j->task, &server->image, &j->trap, j->e);
}

static void image_done(struct seam_task *t)
{
	CONTAINER_OF(t, struct image_job, task)->done = true;
}

// Instantiates once; the loop runs meanwhile, since what instantiation calls may wait.
static bool take_image(struct serve_server *server, struct err *e)
{
	struct serve_shard *s = &server->shards[0];
	struct image_job j = {.server = server, .e = e};
	uint64_t deadline = server->config->limits.deadline;
	struct vm_budget budget = {UINT64_MAX, deadline ? sat_add_u64(loop_now_fresh_ns(s->loop), deadline) : UINT64_MAX};
	seam_instance_init(&server->image_seam, s->loop, s->vm, &server->deployment.grants, NULL);
	wasi_instance_init(&server->image_seam, &server->deployment.log);
	seam_task_init(&j.task, s->loop, s->vm, NULL);
	if (!seam_task_run(&j.task, image_main, &j, budget, image_done))
		return err_nomem(e);
	while (!j.done)
		loop_run_once(s->loop, UINT64_MAX);
	wasi_flush_logs(&server->image_seam, &j.task);
	if (!j.ok && e->code == ERR_NONE) {
		bool late = j.trap.trap == TRAP_DEADLINE || j.trap.trap == TRAP_CPU_BUDGET;
		err_set(e, late ? ERR_TIMEOUT : ERR_TRAP, "the component traps while it is instantiated: %s", j.trap.text);
		if (j.trap.backtrace[0])
			err_note(e, "%s", j.trap.backtrace);
	}
	return j.ok;
}

// ---- the server ----------------------------------------------------------------------------------------------------------------------

static bool nothing_to_serve(struct serve_server *server, struct err *e)
{
	const struct serve_deployment *d = &server->deployment;
	for (uint32_t i = 0; i < d->comp->nexports; i++) {
		if (!slice_starts_with(d->comp->exports[i].name, SLICE_LIT("wasi:http/handler@")))
			continue;
		err_set(e, ERR_LINK, "the component exports %.*s, which is not served yet", SLICE_ARGS(d->comp->exports[i].name));
		return err_hint(e, "build it against " WASI_HTTP_HANDLER "@0.2");
	}
	err_set(e, ERR_LINK, "the component exports nothing to serve");
	return err_hint(e, "serve wants an export of " WASI_HTTP_HANDLER "; tenon run calls other exports");
}

static bool find_handler(struct serve_server *server, struct err *e)
{
	const struct comp_plan *plan = &server->deployment.comp->plan;
	for (uint32_t i = 0; i < plan->nexport_funcs && !server->handler; i++) {
		const struct comp_export_func *f = &plan->export_funcs[i];
		if (slice_starts_with(f->interface, SLICE_LIT(WASI_HTTP_HANDLER "@0.2.")) && slice_eq_str(f->name, "handle"))
			server->handler = f;
	}
	return server->handler || nothing_to_serve(server, e);
}

// What was taken away from the defaults.
static void log_absent_limits(const struct serve_config *c)
{
	struct serve_limits standard;
	serve_limits_default(&standard, true);
#define SERVE_LIMIT(field, flag, unit, server_default, run_default, help)                                                                  \
	if (standard.field && !c->limits.field)                                                                                                \
		serve__log(c, SERVE_LOG_WARN, "--%s none: no limit on %s", flag, help);
#include "limits.def"
#undef SERVE_LIMIT
}

static void print_ready(const struct serve_server *server)
{
	char address[64];
	http_address_print(&server->address, address, sizeof address);
	if (server->config->json)
		printf("{\"event\":\"ready\",\"urls\":[\"http://%s\"]}\n", address);
	else
		printf("ready http://%s\n", address);
	fflush(stdout);
}

static bool start_threads(struct serve_server *server, struct err *e)
{
	for (unsigned i = 1; i < server->n_shards; i++)
		if (!loop_new(&server->shards[i].loop, e))  // here, so that a signal reaches a shard that is just being opened
			return false;
	for (unsigned i = 1; i < server->n_shards; i++) {
		int errnum = pthread_create(&server->shards[i].thread, NULL, shard_main, &server->shards[i]);
		if (errnum) {
			return err_set_errno(e, errnum, "cannot start a thread");
		}
	}
	return true;
}

static bool open_server(struct serve_server *server, struct err *e)
{
	const struct serve_config *c = server->config;
	char address[300];
	snprintf(address, sizeof address, strchr(c->host, ':') ? "[%s]:%u" : "%s:%u", c->host, c->port);
	server->process_memory = serve__process_memory_limit(&c->limits);
	server->n_shards = c->shards ? c->shards : tier_cores();
	server->shards = mem_zalloc(server->n_shards * sizeof *server->shards);
	if (!server->shards)
		return err_nomem(e);
	for (unsigned i = 0; i < server->n_shards; i++)
		server->shards[i] = (struct serve_shard){.server = server, .index = i};
	return http_address_parse(slice_str(address), &server->address, e) && vm_process_init(e) &&
		serve__deployment_load(&server->deployment, c, e) && find_handler(server, e) && shard_open(&server->shards[0], e) &&
		open_signals(server, e) && take_image(server, e) && http_server_listen(server->shards[0].http, &server->address, true, e) &&
		start_threads(server, e);
}

static void close_server(struct serve_server *server)
{
	for (unsigned i = 1; i < server->n_shards; i++)
		if (server->shards[i].thread)
			pthread_join(server->shards[i].thread, NULL);
	shard_close(&server->shards[0]);
	for (unsigned i = 0; i < server->n_shards; i++)
		loop_free(server->shards[i].loop);
	canon_image_free(server->image);
	seam_instance_reset(&server->image_seam);
	serve__deployment_release(&server->deployment);
	mem_free(server->shards);
}

int serve_http(const struct serve_config *c, struct err *e)
{
	struct serve_server server = {.config = c, .signal_fd = -1, .started_ns = sys_now_ns()};
	if (!open_server(&server, e))
		return err_exit_status(e->code);
	log_absent_limits(c);
	print_ready(&server);
	serve__log(c, SERVE_LOG_DEBUG, "ready %.1f ms after the start", (double)(sys_now_ns() - server.started_ns) / 1e6);
	loop_run(server.shards[0].loop);
	close_server(&server);
	return 0;
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
