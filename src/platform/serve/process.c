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
	struct serve_process *p = t->process;
	loop_timer_cancel(t->loop, &t->drain_timer);
	t->draining = false;
	for (unsigned i = 0; i < p->n_services; i++)
		if (p->services[i].shards && p->services[i].shards[t->index].open)
			serve__requests_end(&p->services[i].shards[t->index]);
	for (unsigned i = 0; i < p->n_services; i++)
		if (p->listeners[i].ports)
			serve__port_close(&p->listeners[i].ports[t->index]);
	for (unsigned i = 0; i < p->n_services; i++)
		if (p->services[i].shards)
			serve__shard_close(&p->services[i].shards[t->index]);
	if (t->vm)
		vm_shard_free(t->vm);
	t->vm = NULL;
}

static bool open_shards(struct serve_thread *t, struct err *e)
{
	struct serve_process *p = t->process;
	for (unsigned i = 0; i < p->n_services; i++)
		if (!serve__shard_open(&p->services[i].shards[t->index], t, e) || !serve__port_open(&p->listeners[i], t, t->index == 0, e))
			return false;
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

// ---- drain ---------------------------------------------------------------------------------------------------------------------------

static uint64_t calls_of(const struct serve_thread *t)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < t->process->n_services; i++)
		n += t->process->services[i].shards[t->index].calls;
	return n;
}

static void end_thread(struct serve_thread *t)
{
	if (t->over)
		return;
	t->over = true;
	if (t->index)
		loop_stop(t->loop);
	else
		stop_if_last(t->process);
}

// No connection is left, and what ran on after its answer has ended.
static void look(struct serve_thread *t)
{
	bool drained = t->draining && calls_of(t) == 0;
	for (unsigned i = 0; i < t->process->n_services; i++)
		drained = drained && t->process->listeners[i].ports[t->index].drained;
	if (drained)
		end_thread(t);
}

static void on_drain_timeout(struct loop_timer *timer)
{
	struct serve_thread *t = CONTAINER_OF(timer, struct serve_thread, drain_timer);
	serve__log(t->process->config, SERVE_LOG_WARN, "%llu requests did not end within the time to drain", (unsigned long long)calls_of(t));
	end_thread(t);
}

static void on_drain(struct loop_remote *r)
{
	struct serve_thread *t = CONTAINER_OF(r, struct serve_thread, drain);
	uint64_t wait = t->process->config->limits.drain;
	if (!t->vm)
		return;  // it did not open
	t->draining = true;
	t->drain_timer.fn = on_drain_timeout;
	if (wait)
		loop_timer_set(t->loop, &t->drain_timer, sat_add_u64(loop_now_fresh_ns(t->loop), wait));
	for (unsigned i = 0; i < t->process->n_services; i++)
		serve__port_drain(&t->process->listeners[i].ports[t->index]);
	look(t);
}

void serve__process_drain(struct serve_process *p)
{
	p->stopping = true;
	for (unsigned i = 0; i < p->n_threads; i++) {
		p->threads[i].drain.fn = on_drain;
		loop_post_remote(p->threads[i].loop, &p->threads[i].drain);
	}
}

// ---- threads, started ----------------------------------------------------------------------------------------------------------------

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

static void on_dump(struct loop_remote *r)
{
	struct serve_thread *t = CONTAINER_OF(r, struct serve_thread, dump);
	for (unsigned i = 0; i < t->process->n_services; i++)
		if (t->process->services[i].shards[t->index].open)
			serve__log_state(&t->process->services[i].shards[t->index]);
	__atomic_store_n(&t->dumping, false, __ATOMIC_RELEASE);
}

// One that is still being written is not asked for again.
static void dump_state(struct serve_process *p)
{
	for (unsigned i = 0; i < p->n_threads; i++) {
		struct serve_thread *t = &p->threads[i];
		if (__atomic_exchange_n(&t->dumping, true, __ATOMIC_ACQUIRE))
			continue;
		t->dump.fn = on_dump;
		loop_post_remote(t->loop, &t->dump);
	}
}

static void on_signal(struct loop_io *io, uint32_t ready)
{
	struct serve_process *p = CONTAINER_OF(io, struct serve_process, signal_io);
	int number;
	while ((number = sys_signalfd_next(p->signal_fd)) != 0) {
		if ((number == SIGTERM || number == SIGINT) && p->stopping)
			_exit(128 + number);
		else if (number == SIGTERM || number == SIGINT)
			serve__process_drain(p);
		else if (number == SIGQUIT)
			dump_state(p);
		else
			serve__log(p->config, SERVE_LOG_INFO, "SIGHUP: there is no file to open again; what is logged goes to stderr");
	}
}

// Before anything else: a signal that means nothing to a server does not end it, at no time. SIGTERM and SIGINT do, until they are read.
static void ignore_signals(void)
{
	static const int ignored[] = {SIGPIPE, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO, SIGXFSZ};
	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		sys_signal_ignore(ignored[i]);
}

static bool open_signals(struct serve_process *p, struct err *e)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT};
	return sys_signalfd(signals, ARRAY_LEN(signals), &p->signal_fd, e) &&
		loop_io_open(p->threads[0].loop, &p->signal_io, p->signal_fd, LOOP_READ, on_signal, e);
}

// ---- what it says ----------------------------------------------------------------------------------------------------------------------

// What was taken away from the defaults.
static void log_absent_limits(const struct serve_config *c)
{
	struct serve_config standard;
	serve_limits_default(&standard, true);
#define SERVE_LIMIT(scope, field, flag, unit, commands, server_default, run_default, help) \
	if (standard.scope.limits.field && !c->scope.limits.field)                             \
		serve__log(&c->process, SERVE_LOG_WARN, "--%s none: no limit on %s", flag, help);
#include "limits.def"
#undef SERVE_LIMIT
}

static void print_ready(const struct serve_listener *l)
{
	char address[64];
	http_address_print(&l->address, address, sizeof address);
	char line[128];
	snprintf(line, sizeof line, l->process->config->json ? "{\"event\":\"ready\",\"urls\":[\"http://%s\"]}\n" : "ready http://%s\n", address);
	serve__write_line(1, slice_str(line));
}

// What this machine can't do.
static void log_shortcomings(const struct serve_process_config *c)
{
	if (vm_process_reset_method() == VM_RESET_DISCARD)
		serve__log(c, SERVE_LOG_WARN, "instances are reset in the slow way, by giving their pages back: /proc/self/pagemap can't be read");
	if (!serve__memory_is_known())
		serve__log(c, SERVE_LOG_WARN, "the memory of the process is not bounded (--process-memory): /proc/self/statm can't be read");
}

// ---- the whole -------------------------------------------------------------------------------------------------------------------------

// What would do nothing is refused.
static bool limits_apply(const struct serve_service_config *c, struct err *e)
{
	struct serve_config standard;
	serve_limits_default(&standard, true);
	bool changed = c->limits.requests_per_instance != standard.service.limits.requests_per_instance || c->limits.idle != standard.service.limits.idle;
	if (!changed || c->policy == SERVE_REUSE)
		return true;
	err_set(e, ERR_USAGE, "--requests-per-instance and --idle are about instances that are used again");
	return err_hint(e, "with --policy reuse they are");
}

static bool open_service(struct serve_process *p, struct serve_service *s, const struct serve_service_config *c, struct err *e)
{
	*s = (struct serve_service){.process = p, .config = c, .on_one_shard = c->policy == SERVE_KEEP};
	s->shards = mem_zalloc(p->n_threads * sizeof *s->shards);
	if (!s->shards)
		return err_nomem(e);
	for (unsigned i = 0; i < p->n_threads; i++)
		s->shards[i] = (struct serve_shard){.service = s, .index = i};
	serve__shards_init(s);
	return limits_apply(c, e) && serve__version_new(p, c, &s->version, e);
}

static bool allocate(struct serve_process *p, struct err *e)
{
	p->n_threads = p->config->shards ? p->config->shards : tier_cores();
	p->memory = serve__process_memory_limit(&p->config->limits);
	p->running = 1;
	p->services = mem_zalloc(p->n_services * sizeof *p->services);
	p->listeners = mem_zalloc(p->n_services * sizeof *p->listeners);
	p->threads = mem_zalloc(p->n_threads * sizeof *p->threads);
	if (!p->services || !p->listeners || !p->threads)
		return err_nomem(e);
	for (unsigned i = 0; i < p->n_threads; i++) {
		p->threads[i] = (struct serve_thread){.process = p, .index = i, .look = look};
		if (!loop_new(&p->threads[i].loop, e))  // here, so that a signal reaches a thread that is just starting
			return false;
	}
	return true;
}

enum { DESCRIPTORS_KEPT = 64, DESCRIPTORS_A_THREAD = 8 };

// The process has one gate for connections: what --connections says, or what descriptors allow besides those that it needs.
static bool open_gate(struct serve_process *p, struct err *e)
{
	const struct serve_process_limits *l = &p->config->limits;
	uint64_t have = sys_raise_descriptors(), kept = DESCRIPTORS_KEPT + DESCRIPTORS_A_THREAD * p->n_threads;
	uint64_t most = have > 2 * kept ? have - kept : have / 2;
	p->connections = l->connections ? l->connections : most;
	if (p->connections > most) {
		err_set(e, ERR_ENV, "--connections %llu: descriptors allow %llu", (unsigned long long)p->connections, (unsigned long long)most);
		return err_hint(e, "raise the limit (ulimit -Hn is %llu)", (unsigned long long)have);
	}
	return http_gate_new(p->connections, l->connections_per_client ? l->connections_per_client : HTTP_NO_LIMIT, &p->gate, e);
}

static bool make_images(struct serve_process *p, struct err *e)
{
	for (unsigned i = 0; i < p->n_services; i++)
		if (!serve__version_make_image(p->services[i].version, &p->threads[0], &p->stopping, e))
			return false;
	return !p->stopping || err_set(e, ERR_ENV, "stopped by a signal before it was ready");
}

bool serve__process_open(struct serve_process *p, const struct serve_config *const *configs, unsigned n, struct err *e)
{
	*p = (struct serve_process){.config = &configs[0]->process, .n_services = n, .signal_fd = -1, .started_ns = sys_now_ns()};
	if (!allocate(p, e) || !open_gate(p, e) || !vm_process_init(e))
		return false;
	for (unsigned i = 0; i < n; i++)
		if (!open_service(p, &p->services[i], &configs[i]->service, e) ||
			!serve__listener_init(&p->listeners[i], p, &configs[i]->listener, &p->services[i], e))
			return false;
	return open_thread(&p->threads[0], e) && open_signals(p, e) && make_images(p, e) && open_shards(&p->threads[0], e) && start_threads(p, e) &&
		wait_for_threads(p, e);
}

void serve__process_close(struct serve_process *p)
{
	quit_threads(p);
	for (unsigned i = 1; p->threads && i < p->n_threads; i++)
		if (p->threads[i].started)
			pthread_join(p->threads[i].id, NULL);
	if (p->threads && p->threads[0].loop)
		close_thread(&p->threads[0]);
	for (unsigned i = 0; p->services && i < p->n_services; i++) {
		serve__version_unref(p->services[i].version, VERSION_IN_SERVICE);
		p->services[i].version = NULL;
	}
	while (p->versions)
		loop_run_once(p->threads[0].loop, UINT64_MAX);  // they go through it
	for (unsigned i = 0; p->services && p->listeners && i < p->n_services; i++) {
		serve__listener_release(&p->listeners[i]);
		mem_free(p->services[i].shards);
	}
	for (unsigned i = 0; p->threads && i < p->n_threads; i++)
		loop_free(p->threads[i].loop);
	http_gate_free(p->gate);
	sys_close(p->signal_fd);
	mem_free(p->services);
	mem_free(p->listeners);
	mem_free(p->threads);
}

static int end_of_failed_start(struct serve_process *p, struct err *e)
{
	serve__process_close(p);
	if (p->stopping) {
		serve__log(p->config, SERVE_LOG_WARN, "%s", e->text);
		err_clear(e);  // it did what it was told
	}
	serve__writers_flush(SECOND);
	return err_exit_status(e->code);
}

int serve_http_all(const struct serve_config *const *configs, unsigned n, struct err *e)
{
	struct serve_process p;
	ignore_signals();
	serve__log_start(&configs[0]->process);
	if (!serve__process_open(&p, configs, n, e))
		return end_of_failed_start(&p, e);
	log_shortcomings(p.config);
	for (unsigned i = 0; i < n; i++) {
		log_absent_limits(configs[i]);
		print_ready(&p.listeners[i]);
	}
	serve__log(p.config, SERVE_LOG_DEBUG, "ready %.1f ms after the start", (double)(sys_now_ns() - p.started_ns) / 1e6);
	loop_run(p.threads[0].loop);
	serve__process_close(&p);
	serve__writers_flush(SECOND);
	return 0;
}

int serve_http(const struct serve_config *c, struct err *e)
{
	return serve_http_all(&c, 1, e);
}
