// The process of tenon serve: threads, signals, the ready line, the end.
//
// Each thread runs one shard of every server. Thread 0 is the main one and reads the signals; its loop runs from the first instantiation to the end
// of the last thread, so that a signal is always heard. Order of the end: a first SIGTERM or SIGINT ends a start, or drains every shard (no request
// is cut, at most limits.drain); a second one ends the process at once.
//
// A thread: started (start_threads) → open or failed (thread_main, told by `opened`) → over (its last shard has ended, or `quit`; told by `ended`).
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

static void stop_if_last(struct serve_process *p)
{
	if (--p->running == 0)
		loop_stop(p->threads[0].loop);
}

static void on_ended(struct loop_remote *r)
{
	stop_if_last(CONTAINER_OF(r, struct serve_thread, ended)->process);
}

static void on_opened(struct loop_remote *r)
{
	struct serve_thread *t = CONTAINER_OF(r, struct serve_thread, opened);
	t->process->opening--;
	if (t->error.code != ERR_NONE && !t->process->failed)
		t->process->failed = &t->error;
}

static void on_quit(struct loop_remote *r)
{
	loop_stop(CONTAINER_OF(r, struct serve_thread, quit)->loop);
}

void serve__thread_end(struct serve_thread *t)
{
	if (t->index)
		loop_stop(t->loop);
	else
		stop_if_last(t->process);
}

static void *thread_main(void *arg)
{
	struct serve_thread *t = arg;
	struct loop *first = t->process->threads[0].loop;
	bool ok = open_thread(t, &t->error) && open_shards(t, &t->error);
	loop_post_remote(first, &t->opened);
	if (ok)
		loop_run(t->loop);
	close_thread(t);
	loop_post_remote(first, &t->ended);
	return NULL;
}

static bool start_threads(struct serve_process *p, struct err *e)
{
	for (unsigned i = 1; i < p->n_threads; i++) {
		struct serve_thread *t = &p->threads[i];
		t->opened.fn = on_opened;
		t->ended.fn = on_ended;
		t->quit.fn = on_quit;
		int errnum = pthread_create(&t->id, NULL, thread_main, t);
		if (errnum) {
			err_set_errno(e, errnum, "cannot start a thread");
			return err_note(e, "thread %u of %u", i + 1, p->n_threads);
		}
		t->started = true;
		p->opening++;
		p->running++;
	}
	return true;
}

// The loop runs meanwhile: what thread 0 accepted is served.
static bool wait_for_threads(struct serve_process *p, struct err *e)
{
	while (p->opening)
		loop_run_once(p->threads[0].loop, UINT64_MAX);
	if (!p->failed)
		return true;
	*e = *p->failed;
	return false;
}

// Of a start that failed: those that run already end at once.
static void quit_threads(struct serve_process *p)
{
	for (unsigned i = 1; p->threads && i < p->n_threads; i++)
		if (p->threads[i].started)
			loop_post_remote(p->threads[i].loop, &p->threads[i].quit);
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
		p->stopping = true;
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
#define SERVE_LIMIT(field, flag, unit, commands, server_default, run_default, help) \
	if (standard.field && !c->limits.field)                                         \
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
	p->running = 1;
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

enum { DESCRIPTORS_KEPT = 64, DESCRIPTORS_A_THREAD = 8 };

// The process has one gate for connections: what --connections says of the first server, or what descriptors allow besides those that it needs.
static bool open_gate(struct serve_process *p, const struct serve_limits *l, struct err *e)
{
	uint64_t have = sys_raise_descriptors(), kept = DESCRIPTORS_KEPT + DESCRIPTORS_A_THREAD * p->n_threads;
	uint64_t most = have > 2 * kept ? have - kept : have / 2, connections = l->connections ? l->connections : most;
	if (connections > most) {
		err_set(e, ERR_ENV, "--connections %llu: descriptors allow %llu", (unsigned long long)connections, (unsigned long long)most);
		return err_hint(e, "raise the limit (ulimit -Hn is %llu)", (unsigned long long)have);
	}
	if (!http_gate_new(connections, l->connections_per_client ? l->connections_per_client : HTTP_NO_LIMIT, &p->gate, e))
		return false;
	for (unsigned i = 0; i < p->n_servers; i++) {
		p->servers[i].gate = p->gate;
		p->servers[i].connections = connections;
	}
	return true;
}

static bool open_process(struct serve_process *p, const struct serve_config *const *configs, struct err *e)
{
	if (!allocate(p, configs, e) || !open_gate(p, &configs[0]->limits, e) || !vm_process_init(e))
		return false;
	for (unsigned i = 0; i < p->n_servers; i++)
		if (!serve__server_load(&p->servers[i], e))
			return false;
	if (!open_thread(&p->threads[0], e) || !open_signals(p, e))
		return false;
	for (unsigned i = 0; i < p->n_servers; i++)
		if (!serve__server_start(&p->servers[i], &p->threads[0], e))
			return false;
	return start_threads(p, e) && wait_for_threads(p, e);
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
	http_gate_free(p->gate);
	mem_free(p->servers);
	mem_free(p->threads);
}

static int end_of_failed_start(struct serve_process *p, const struct serve_config *config, struct err *e)
{
	quit_threads(p);
	close_process(p);
	if (!p->stopping)
		return err_exit_status(e->code);
	serve__log(config, SERVE_LOG_WARN, "%s", e->text);
	err_clear(e);  // it did what it was told
	return 0;
}

int serve_http_all(const struct serve_config *const *configs, unsigned n, struct err *e)
{
	struct serve_process p = {.n_servers = n, .signal_fd = -1, .started_ns = sys_now_ns()};
	if (!open_process(&p, configs, e))
		return end_of_failed_start(&p, configs[0], e);
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
