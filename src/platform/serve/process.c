// The process of tenon serve: threads, signals, the ready line, the end.
//
// Each thread runs one shard of every server. Thread 0 is the main one and reads the signals. Order of the end: a first SIGTERM or SIGINT drains
// every shard (no request is cut, at most limits.drain), a second one ends the process at once.
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "serve_int.h"
#include "sys/sys.h"

// ---- threads -------------------------------------------------------------------------------------------------------------------------

static bool open_thread(struct serve_thread *t, struct err *e)
{
	return vm_shard_new(&t->vm, e);
}

// On the thread itself.
static void close_thread(struct serve_thread *t)
{
	for (unsigned i = 0; i < t->process->n_servers; i++)
		if (t->process->servers[i].shards)
			serve__shard_close(&t->process->servers[i].shards[t->index]);
	if (t->vm)
		vm_shard_free(t->vm);
}

static bool open_shards(struct serve_thread *t, struct err *e)
{
	for (unsigned i = 0; i < t->process->n_servers; i++) {
		struct serve_server *s = &t->process->servers[i];
		struct serve_shard *shard = &s->shards[t->index];
		struct http_address address = s->address;  // each listener writes its own into what it is given
		if (!serve__shard_open(shard, t, e) || !http_server_listen(shard->http, &address, false, e))
			return false;
	}
	return true;
}

static void *thread_main(void *arg)
{
	struct serve_thread *t = arg;
	struct err e;
	err_clear(&e);
	if (open_thread(t, &e) && open_shards(t, &e))
		loop_run(t->loop);
	else
		serve__log(t->process->servers[0].config, SERVE_LOG_ERROR, "thread %u does not run: %s", t->index, e.text);
	close_thread(t);
	return NULL;
}

static bool start_threads(struct serve_process *p, struct err *e)
{
	for (unsigned i = 1; i < p->n_threads; i++) {
		int errnum = pthread_create(&p->threads[i].id, NULL, thread_main, &p->threads[i]);
		if (errnum)
			return err_set_errno(e, errnum, "cannot start a thread");
		p->threads[i].started = true;
	}
	return true;
}

// ---- signals -------------------------------------------------------------------------------------------------------------------------

static void on_drain(struct loop_remote *r)
{
	struct serve_thread *t = CONTAINER_OF(r, struct serve_thread, drain);
	for (unsigned i = 0; i < t->process->n_servers; i++)
		if (t->process->servers[i].shards[t->index].http)
			serve__shard_drain(&t->process->servers[i].shards[t->index]);
}

static void on_signal(struct loop_io *io, uint32_t ready)
{
	struct serve_process *p = CONTAINER_OF(io, struct serve_process, signal_io);
	int number;
	while ((number = sys_signalfd_next(p->signal_fd)) != 0) {
		if (p->signals++)
			_exit(128 + number);
		for (unsigned i = 0; i < p->n_threads; i++) {
			p->threads[i].drain.fn = on_drain;
			loop_post_remote(p->threads[i].loop, &p->threads[i].drain);
		}
	}
}

static bool open_signals(struct serve_process *p, struct err *e)
{
	static const int signals[] = {SIGTERM, SIGINT};
	signal(SIGPIPE, SIG_IGN);
	return sys_signalfd(signals, 2, &p->signal_fd, e) && loop_io_open(p->threads[0].loop, &p->signal_io, p->signal_fd, LOOP_READ, on_signal, e);
}

// ---- what it says ----------------------------------------------------------------------------------------------------------------------

// What was taken away from the defaults.
static void log_absent_limits(const struct serve_config *c)
{
	struct serve_limits standard;
	serve_limits_default(&standard, true);
#define SERVE_LIMIT(field, flag, unit, server_default, run_default, help) \
	if (standard.field && !c->limits.field)                               \
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

// ---- the whole -------------------------------------------------------------------------------------------------------------------------

static bool allocate(struct serve_process *p, const struct serve_config *const *configs, struct err *e)
{
	p->n_threads = configs[0]->shards ? configs[0]->shards : tier_cores();
	p->servers = mem_zalloc(p->n_servers * sizeof *p->servers);
	p->threads = mem_zalloc(p->n_threads * sizeof *p->threads);
	if (!p->servers || !p->threads)
		return err_nomem(e);
	for (unsigned i = 0; i < p->n_servers; i++)
		p->servers[i] = (struct serve_server){.config = configs[i], .n_shards = p->n_threads};
	for (unsigned i = 0; i < p->n_threads; i++) {
		p->threads[i] = (struct serve_thread){.process = p, .index = i};
		if (!loop_new(&p->threads[i].loop, e))  // here, so that a signal reaches a thread that is just starting
			return false;
	}
	return true;
}

static bool open_process(struct serve_process *p, const struct serve_config *const *configs, struct err *e)
{
	if (!allocate(p, configs, e) || !vm_process_init(e))
		return false;
	for (unsigned i = 0; i < p->n_servers; i++)
		if (!serve__server_load(&p->servers[i], e))
			return false;
	if (!open_thread(&p->threads[0], e) || !open_signals(p, e))
		return false;
	for (unsigned i = 0; i < p->n_servers; i++)
		if (!serve__server_start(&p->servers[i], &p->threads[0], e))
			return false;
	return start_threads(p, e);
}

// Also of one that did not open, but for its threads.
static void close_process(struct serve_process *p)
{
	for (unsigned i = 1; p->threads && i < p->n_threads; i++)
		if (p->threads[i].started)
			pthread_join(p->threads[i].id, NULL);
	if (p->threads && p->threads[0].process)
		close_thread(&p->threads[0]);
	for (unsigned i = 0; p->servers && i < p->n_servers; i++)
		serve__server_release(&p->servers[i]);
	for (unsigned i = 0; p->threads && i < p->n_threads; i++)
		loop_free(p->threads[i].loop);
	mem_free(p->servers);
	mem_free(p->threads);
}

// A server that can't start ends its process: threads that run go with that.
int serve_http_all(const struct serve_config *const *configs, unsigned n, struct err *e)
{
	struct serve_process p = {.n_servers = n, .signal_fd = -1, .started_ns = sys_now_ns()};
	if (!open_process(&p, configs, e)) {
		if (!p.threads || p.n_threads < 2 || !p.threads[1].started)
			close_process(&p);
		return err_exit_status(e->code);
	}
	for (unsigned i = 0; i < n; i++) {
		log_absent_limits(configs[i]);
		print_ready(&p.servers[i]);
	}
	serve__log(configs[0], SERVE_LOG_DEBUG, "ready %.1f ms after the start", (double)(sys_now_ns() - p.started_ns) / 1e6);
	loop_run(p.threads[0].loop);
	close_process(&p);
	return 0;
}

int serve_http(const struct serve_config *c, struct err *e)
{
	return serve_http_all(&c, 1, e);
}
