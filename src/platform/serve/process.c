// The process of tenon serve: threads, signals, the ready line, the end.
//
// Each thread runs one shard of every server. Thread 0 is the main one and reads the signals; its loop runs from the first instantiation to the end
// of the last thread, so that a signal is always heard. Order of the end: a first SIGTERM or SIGINT ends a start, or drains every shard (no request
// is cut, at most limits.drain), limits.drain_delay after it, so that who sends requests here has looked at /readyz meanwhile; a second one ends the process
// at once.
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
	if (!vm_shard_new(&t->vm, e) || !seam_tasks_new(t->loop, t->vm, &t->tasks, e))
		return false;
	serve__watch_init(&t->watch);
	seam_tasks_watch(t->tasks, &t->watch);
	return http_client_new(t->loop, t->process->names, &http_client_limits_default, &t->http, e);
}

static void close_client(struct serve_thread *t)
{
	struct http_client *http = t->http;
	if (!http)
		return;
	spinlock_lock(&t->lock);
	t->counted = *http_client_counters(http);
	t->counted.connections = 0;
	t->http = NULL;
	spinlock_unlock(&t->lock);
	http_client_free(http);
}

// On the thread itself.
static void close_thread(struct serve_thread *t)
{
	struct serve_process *p = t->process;
	loop_timer_cancel(t->loop, &t->drain_timer);
	loop_timer_cancel(t->loop, &t->trim_timer);
	serve__routes_end(t);
	t->draining = false;
	t->closing = true;
	for (unsigned i = 0; i < serve__have(&p->n_services); i++)
		if (p->services[i]->shards && p->services[i]->shards[t->index].open) {
			serve__triggers_end(&p->services[i]->shards[t->index]);
			serve__requests_end(&p->services[i]->shards[t->index]);
		}
	for (unsigned i = 0; i < serve__have(&p->n_listeners); i++)
		if (p->listeners[i].ports)
			serve__port_close(&p->listeners[i].ports[t->index]);
	for (unsigned i = 0; i < serve__have(&p->n_services); i++)
		if (p->services[i]->shards)
			serve__shard_close(&p->services[i]->shards[t->index]);
	serve__inbox_close(t);
	if (p->begun && (t->vm || t == &p->threads[0]) && p->beside.thread_end)  // on thread 0 something may have been asked before it was opened
		p->beside.thread_end(p->beside.ctx, t->loop);
	seam_tasks_free(t->tasks);
	t->tasks = NULL;
	if (t->vm)
		vm_shard_free(t->vm);
	t->vm = NULL;
	close_client(t);
}

static bool open_shards(struct serve_thread *t, struct err *e)
{
	struct serve_process *p = t->process;
	for (unsigned i = 0; i < p->n_services; i++)
		if (!serve__shard_open(&p->services[i]->shards[t->index], t, e))
			return false;
	return true;
}

static bool open_ports(struct serve_thread *t, struct err *e)
{
	for (unsigned i = 0; i < t->process->n_listeners; i++)
		if (!serve__port_open(&t->process->listeners[i], t, t->index == 0, e))
			return false;
	return true;
}

static void stop_if_last(struct serve_process *p)
{
	if (--p->running == 0)
		loop_stop(p->threads[0].loop);
}

// What was published since its loop has stopped is acknowledged in its place.
static void on_ended(struct loop_remote *r)
{
	struct serve_thread *t = CONTAINER_OF(r, struct serve_thread, ended);
	t->gone = true;
	for (unsigned i = 0; i < t->process->n_services; i++)
		serve__choice_take_up(&t->process->services[i]->shards[t->index]);
	serve__routes_take_up(t);
	serve__triggers_take_up(t);
	serve__addresses_take_up(t);
	stop_if_last(t->process);
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
	for (unsigned i = 0; i < serve__have(&t->process->n_services); i++)
		n += t->process->services[i]->shards[t->index].calls;
	return n;
}

// Nothing of its own is left. With the last thread of which that holds those that waited for it end as well.
static void has_drained(struct serve_thread *t)
{
	struct serve_process *p = t->process;
	if (t->drained)
		return;
	t->drained = true;
	if (__atomic_sub_fetch(&p->undrained, 1, __ATOMIC_ACQ_REL))
		return;
	for (unsigned i = 0; i < p->n_threads; i++)
		loop_post_remote(p->threads[i].loop, &p->threads[i].all_drained);
}

static void end_thread(struct serve_thread *t)
{
	if (t->over)
		return;
	t->over = true;
	has_drained(t);
	if (t->index)
		loop_stop(t->loop);
	else
		stop_if_last(t->process);
}

// No connection is left, and what ran on after its answer has ended.
static void look(struct serve_thread *t)
{
	struct serve_process *p = t->process;
	bool drained = t->draining && calls_of(t) == 0;
	for (unsigned i = 0; i < serve__have(&p->n_listeners); i++) {
		const struct serve_port *port = p->listeners[i].ports ? &p->listeners[i].ports[t->index] : NULL;
		drained = drained && (!port || !port->http || port->drained);
	}
	if (drained)
		has_drained(t);
	// Others may call what is kept here until they have drained, too.
	if (drained && (!serve__have(&p->far) || !serve__have(&p->undrained)))
		end_thread(t);
}

static void on_all_drained(struct loop_remote *r)
{
	look(CONTAINER_OF(r, struct serve_thread, all_drained));
}

static void on_drain_timeout(struct loop_timer *timer)
{
	struct serve_thread *t = CONTAINER_OF(timer, struct serve_thread, drain_timer);
	if (!t->drained)  // else it waited for others, which say it of theirs
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
	serve__triggers_drain(t);
	t->drain_timer.fn = on_drain_timeout;
	if (wait)
		loop_timer_set(t->loop, &t->drain_timer, sat_add_u64(loop_now_fresh_ns(t->loop), wait));
	for (unsigned i = 0; i < serve__have(&t->process->n_listeners); i++)
		if (t->process->listeners[i].ports)
			serve__port_drain(&t->process->listeners[i].ports[t->index]);
	look(t);
}

static void drain(struct serve_process *p)
{
	for (unsigned i = 0; i < p->n_listeners; i++)
		serve__listener_unbind(&p->listeners[i]);
	for (unsigned i = 0; i < p->n_threads; i++) {
		p->threads[i].drain.fn = on_drain;
		loop_post_remote(p->threads[i].loop, &p->threads[i].drain);
	}
}

static void on_drain_delay(struct loop_timer *t)
{
	drain(CONTAINER_OF(t, struct serve_process, drain_delay));
}

void serve__process_drain(struct serve_process *p)
{
	bool ready = p->phase == SERVE_READY;
	uint64_t delay = p->config->limits.drain_delay;
	p->stopping = true;
	if (ready)
		__atomic_store_n(&p->phase, SERVE_DRAINING, __ATOMIC_RELEASE);
	serve__manager_stopping(p);
	if (!ready || !delay) {
		drain(p);
		return;
	}
	p->drain_delay.fn = on_drain_delay;
	loop_timer_set(p->threads[0].loop, &p->drain_delay, sat_add_u64(loop_now_fresh_ns(p->threads[0].loop), delay));
}

// ---- threads, started ----------------------------------------------------------------------------------------------------------------

static void *thread_main(void *arg)
{
	struct serve_thread *t = arg;
	struct loop *first = t->process->threads[0].loop;
	bool ok = open_thread(t, &t->error) && open_shards(t, &t->error) && open_ports(t, &t->error);
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
	for (unsigned i = 0; i < serve__have(&t->process->n_services); i++)
		if (t->process->services[i]->shards[t->index].open)
			serve__log_state(&t->process->services[i]->shards[t->index]);
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

// What was read from files is read again.
static void hang_up(struct serve_process *p)
{
	serve__manager_reloading(p);
	bool any = serve__access_reopen(p->config);
	any |= serve__certificates_reload(p, false);
	any |= p->config->hang_up && p->config->hang_up(p->config->user);
	if (!any)
		serve__log(p->config, SERVE_LOG_INFO, "SIGHUP: there is no file to open again; what is logged goes to stderr");
	serve__manager_reloaded(p);
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
			hang_up(p);
	}
}

// Before anything else: a signal that means nothing to a server does not end it, at no time. SIGTERM and SIGINT do, until they are read.
static void ignore_signals(void)
{
	static const int ignored[] = {SIGPIPE, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO};
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
static void log_absent(const struct serve_process_config *log, const struct serve_config *standard, const struct serve_config *c)
{
#define SERVE_LIMIT(scope, field, flag, unit, commands, server_default, run_default, help) \
	if (standard->scope.limits.field && !c->scope.limits.field)                            \
		serve__log(log, SERVE_LOG_WARN, "--%s none: no limit on %s", flag, help);
#include "app/limits.def"
#undef SERVE_LIMIT
}

static void log_absent_limits(const struct serve_setup *setup)
{
	struct serve_config standard, c;
	serve_limits_default(&standard, true);
	c = standard;
	c.process.limits = setup->process->limits;
	log_absent(setup->process, &standard, &c);
	c = standard;
	for (unsigned i = 0; i < setup->n_listeners; i++) {
		c.listener.limits = setup->listeners[i].limits;
		log_absent(setup->process, &standard, &c);
	}
	c = standard;
	for (unsigned k = 0; k < setup->n_apps; k++)
		for (uint32_t i = 0; i < setup->apps[k].services.len; i++) {
			c.service.limits = setup->apps[k].services.ptr[i].limits;
			log_absent(setup->process, &standard, &c);
		}
}

static void print_admin(const struct serve_process *p, struct buf *line)
{
	struct buf name = {.max = 512};
	if (!p->admin.runs)
		return;
	serve__admin_print(p, &name);
	buf_put_str(line, p->config->json ? ",\"admin\":" : "admin ");
	if (p->config->json)
		buf_put_json_string(line, buf_view(&name));
	else
		buf_put_printable(line, buf_view(&name), "");
	buf_put_str(line, p->config->json ? "" : "\n");
	buf_release(&name);
}

// One line a listener, and one of the admin address; as JSON one for all.
static void print_ready(const struct serve_process *p)
{
	struct buf line = {.max = 1 << 20}, name = {.max = 512};
	buf_put_str(&line, p->config->json ? "{\"event\":\"ready\",\"urls\":[" : "");
	for (unsigned i = 0; i < p->n_listeners; i++) {
		buf_clear(&name);
		serve__listener_print(&p->listeners[i], &name);
		buf_put_str(&line, !p->config->json ? "ready " : i ? ","
														   : "");
		if (p->config->json)
			buf_put_json_string(&line, buf_view(&name));
		else
			buf_put_printable(&line, buf_view(&name), "");
		buf_put_str(&line, p->config->json ? "" : "\n");
	}
	if (p->n_listeners == 0 && !p->config->json)
		buf_put_str(&line, "ready\n");
	buf_put_str(&line, p->config->json ? "]" : "");
	print_admin(p, &line);
	buf_put_str(&line, p->config->json ? "}\n" : "");
	serve__write_line(SERVE_STDOUT, buf_view(&line));
	buf_release(&line);
	buf_release(&name);
}

// What this machine can't do.
static void log_shortcomings(const struct serve_process *p)
{
	const struct serve_process_config *c = p->config;
	if (vm_process_reset_method() == VM_RESET_DISCARD)
		serve__log(c, SERVE_LOG_WARN, "instances are reset in the slow way, by giving their pages back: /proc/self/pagemap can't be read");
	if (!serve__memory_is_known(p))
		serve__log(c, SERVE_LOG_WARN, "the memory of the process is not bounded (--process-memory): /proc/self/statm can't be read");
}

// ---- the whole -------------------------------------------------------------------------------------------------------------------------

// What would do nothing is refused.
static bool limits_apply(const struct serve_service_config *c, struct err *e)
{
	struct serve_config standard;
	serve_limits_default(&standard, true);
	const struct serve_service_limits *l = &c->limits, *s = &standard.service.limits;
	if (c->policy == SERVE_CONCURRENT)
		return true;
	if (l->concurrency != s->concurrency) {
		err_set(e, ERR_USAGE, "--concurrency is about instances that many requests are in at once");
		return err_hint(e, "with --policy concurrent they are");
	}
	if (c->policy != SERVE_REUSE && l->requests_per_instance != s->requests_per_instance) {
		err_set(e, ERR_USAGE, "--requests-per-instance is about instances that are used again");
		return err_hint(e, "with --policy reuse or concurrent they are");
	}
	if (c->policy != SERVE_KEEP || l->idle == s->idle)
		return true;
	err_set(e, ERR_USAGE, "--idle is about instances that go: the one that is kept stays");
	return err_hint(e, "with --policy fresh, reuse or concurrent they do");
}

static bool open_service(struct serve_process *p, const struct serve_app_config *app, struct serve_app *of, const struct serve_service_config *c, struct err *e)
{
	struct serve_service *s;
	if (!serve__service_new(p, app->name, c->name, c, of, &s, e))
		return false;
	p->services[p->n_services++] = s;
	serve__service_tell(s, c);
	s->there = true;
	if (limits_apply(c, e) && serve__version_new(p, c, &s->version, e) && serve__choice_begin(s, e)) {
		s->answers = s->version->answers;
		return true;
	}
	return app->name ? err_note(e, "component %s of %s", s->name, s->app) : false;
}

static bool open_services(struct serve_process *p, const struct serve_setup *setup, struct err *e)
{
	for (unsigned k = 0; k < setup->n_apps; k++) {
		p->apps[k].max_calls = setup->apps[k].max_calls;
		p->apps[k].max_memory = setup->apps[k].max_memory;
		p->apps[k].fails = setup->apps[k].fails;
		for (uint32_t i = 0; i < setup->apps[k].services.len; i++)
			if (!open_service(p, &setup->apps[k], &p->apps[k], &setup->apps[k].services.ptr[i], e))
				return false;
	}
	return true;
}

static unsigned count_services(const struct serve_setup *setup)
{
	unsigned n = 0;
	for (unsigned k = 0; k < setup->n_apps; k++)
		n += setup->apps[k].services.len;
	return n;
}

// Room for what comes while it serves: mapped, so that what nobody uses is not touched at the start.
enum { SPARE_SERVICES = 10000, SPARE_SITES = 1000, SPARE_LISTENERS = 1000 };

static void give_back_spare(void *table, uint64_t size)
{
	BUG_ON(table && sys_unmap(table, size) != 0);
}

static bool allocate(struct serve_process *p, const struct serve_setup *setup, struct err *e)
{
	p->n_threads = p->config->shards ? p->config->shards : tier_cores();
	serve__memory_open(p);
	p->running = 1;
	p->undrained = p->n_threads;
	p->max_services = count_services(setup) + SPARE_SERVICES;
	p->max_sites = setup->n_listeners + SPARE_SITES;
	p->max_listeners = SPARE_LISTENERS;
	p->services = sys_map_anonymous(p->max_services * sizeof *p->services);
	p->apps = mem_zalloc(max_u64(setup->n_apps, 1) * sizeof *p->apps);
	p->sites = sys_map_anonymous(p->max_sites * sizeof *p->sites);
	p->threads = sys_map_anonymous(p->n_threads * sizeof *p->threads);  // what calls to other components need of one is touched by few
	if (!p->services || !p->apps || !p->sites || !p->threads)
		return err_nomem(e);
	for (unsigned i = 0; i < p->n_threads; i++) {
		p->threads[i].process = p;
		p->threads[i].index = i;
		p->threads[i].look = look;
		p->threads[i].all_drained.fn = on_all_drained;
		serve__inbox_init(&p->threads[i]);
		if (!serve__receipts_open(&p->threads[i]))
			return err_nomem(e);
		if (!loop_new(&p->threads[i].loop, e))  // here, so that a signal reaches a thread that is just starting
			return false;
	}
	return true;
}

#define OBS_END (2 * SECOND)  // what is left of traces is sent for so long
enum { DESCRIPTORS_KEPT = 64, DESCRIPTORS_A_THREAD = 8, DESCRIPTORS_OF_CONTROL = 8 };

// The process has one gate for connections: what --connections says, or what descriptors allow besides those that it needs.
// A quarter is for the files of guests, where they have any.
static bool open_gate(struct serve_process *p, const struct serve_setup *setup, unsigned addresses, struct err *e)
{
	const struct serve_process_limits *l = &p->config->limits;
	uint64_t have = sys_raise_descriptors(), kept = DESCRIPTORS_KEPT + DESCRIPTORS_A_THREAD * p->n_threads;
	for (unsigned k = 0; k < setup->n_apps; k++)
		for (uint32_t i = 0; i < setup->apps[k].services.len; i++)
			p->files = setup->apps[k].services.ptr[i].folders.len ? have / 4 : p->files;
	kept += p->files + (uint64_t)addresses * p->n_threads;
	uint64_t most = have > 2 * kept ? have - kept : have / 2;
	p->connections = l->connections ? l->connections : most;
	if (p->connections > most) {
		err_set(e, ERR_ENV, "--connections %llu: descriptors allow %llu", (unsigned long long)p->connections, (unsigned long long)most);
		return err_hint(e, "raise the limit (ulimit -Hn is %llu)", (unsigned long long)have);
	}
	return http_gate_new(p->connections, l->connections_per_client ? l->connections_per_client : HTTP_NO_LIMIT, &p->gate, e);
}

// A server that could accept nobody does not start: one connection a thread, besides what a control socket takes, which opens later.
static bool has_room(const struct serve_process *p, struct err *e)
{
	int r = sys_descriptors_left(p->n_threads + DESCRIPTORS_OF_CONTROL);
	if (r == 0)
		return true;
	err_set_errno(e, -r, "no descriptor is left for a connection");
	return err_hint(e, "raise the limit (ulimit -Hn is %llu)", (unsigned long long)sys_raise_descriptors());
}

// Components that others call come before those: their instances are there for what runs when an image is taken.
static bool make_images(struct serve_process *p, struct err *e)
{
	for (unsigned i = 0; i < p->n_services; i++)
		if (!serve__version_make_image(p->services[i]->version, &p->threads[0], &p->stopping, e) ||
			!serve__shard_open(&p->services[i]->shards[0], &p->threads[0], e))
			return false;
	return !p->stopping || err_set(e, ERR_ENV, "stopped by a signal before it was ready");
}

// ---- the process -------------------------------------------------------------------------------------------------------------------------

static bool begin_beside(struct serve_process *p, const struct serve_setup *setup, struct err *e)
{
	p->beside = setup->beside;
	if (!p->beside.begin)
		return true;
	p->loops = mem_alloc(p->n_threads * sizeof *p->loops);
	if (!p->loops)
		return err_nomem(e);
	for (unsigned i = 0; i < p->n_threads; i++)
		p->loops[i] = p->threads[i].loop;
	p->begun = true;
	struct serve_threads t = {p->loops, p->n_threads, p->wasi.threads, p->names, p};
	return p->beside.begin(p->beside.ctx, &t, e);
}

static void warn_of_obs(void *ctx, const char *text)
{
	serve__log(ctx, SERVE_LOG_WARN, "%s", text);
}

static bool open_obs(struct serve_process *p, struct err *e)
{
	const struct obs_config c = {.url = p->config->otlp,
		.version = TENON_VERSION,
		.names = p->names,
		.threads = p->n_threads,
		.warn = warn_of_obs,
		.ctx = UNCONST(p->config)};
	return !c.url || obs_open(&c, &p->obs, e);
}

bool serve__process_open(struct serve_process *p, const struct serve_setup *setup, struct err *e)
{
	struct sys_handed handed;
	*p = (struct serve_process){.config = setup->process, .signal_fd = -1, .statm_fd = -1, .started_ns = sys_now_ns(), .started_wall_ns = sys_wall_ns()};
	p->end = serve__process_drain;
	p->forgot = serve__relays_look;
	pthread_mutex_init(&p->relays, NULL);
	pthread_mutex_init(&p->listening, NULL);
	serve__manager_init(&p->manager);
	if (!serve__access_open(p->config, e) || !sys_handed_over(&handed, e) || !serve__check_handed(&handed, p->config->admin, e) || !allocate(p, setup, e) ||
		!open_gate(p, setup, serve__count_addresses(setup, &handed), e) || !loop_pool_new(&p->names, SERVE_NAMES_THREADS, SERVE_NAMES_QUEUED, e) ||
		!vm_process_init(e) || !wasi_process_open(&p->wasi, e))
		return false;
	if (!open_obs(p, e))
		return false;
	p->wasi.max_files = p->files;
	p->wasi.names = p->names;
	if (!begin_beside(p, setup, e))
		return false;
	if (!serve__sites_open(p, setup, &handed, e) || !serve__admin_start(p, p->config->admin, serve__handed_for_admin(&handed), e) || !open_services(p, setup, e) ||
		!serve__sites_route(p, setup, e) || !serve__triggers_open(p, setup, e))
		return false;
	if (!open_thread(&p->threads[0], e) || !open_signals(p, e) || !make_images(p, e) || !open_ports(&p->threads[0], e) || !start_threads(p, e) ||
		!wait_for_threads(p, e) || !has_room(p, e))
		return false;
	__atomic_store_n(&p->phase, p->stopping ? SERVE_DRAINING : SERVE_READY, __ATOMIC_RELEASE);
	return true;
}

void serve__process_close(struct serve_process *p)
{
	serve__admin_stop(p);  // it looks at what goes
	p->forgot = NULL;
	serve__preparing_end(p);
	if (p->threads && p->threads[0].loop) {
		loop_timer_cancel(p->threads[0].loop, &p->drain_delay);
		loop_timer_cancel(p->threads[0].loop, &p->settle);
	}
	quit_threads(p);
	for (unsigned i = 1; p->threads && i < p->n_threads; i++)
		if (p->threads[i].started)
			pthread_join(p->threads[i].id, NULL);
	if (p->threads && p->threads[0].loop)
		close_thread(&p->threads[0]);
	for (unsigned i = 0; i < p->n_services; i++) {
		serve__service_forget(p->services[i]);
	}
	while (p->versions || p->rerouting || p->retriggering || p->readdressing)
		loop_run_once(p->threads[0].loop, UINT64_MAX);  // they go through it
	if (p->begun && p->beside.end)
		p->beside.end(p->beside.ctx);
	mem_free(p->loops);
	serve__sites_close(p);
	for (unsigned i = 0; i < p->n_services; i++) {
		serve__relay_free(p->services[i]->relay);
		for (unsigned k = 0; p->services[i]->shards && k < p->n_threads; k++)
			serve__watch_release(&p->services[i]->shards[k]);
		mem_free(p->services[i]->shards);
		mem_free(p->services[i]);
	}
	for (struct serve_app *a = p->more_apps, *next; a; a = next) {
		next = a->next;
		mem_free(a);
	}
	wasi_process_close(&p->wasi);
	for (unsigned i = 0; p->threads && i < p->n_threads; i++) {
		loop_free(p->threads[i].loop);
		serve__receipts_close(&p->threads[i]);
	}
	serve__triggers_close(p);
	obs_close(p->obs, OBS_END);
	loop_pool_free(p->names);
	http_gate_free(p->gate);
	sys_close(p->signal_fd);
	sys_close(p->statm_fd);
	pthread_mutex_destroy(&p->relays);
	pthread_mutex_destroy(&p->listening);
	give_back_spare(p->services, p->max_services * sizeof *p->services);
	give_back_spare(p->sites, p->max_sites * sizeof *p->sites);
	mem_free(p->apps);
	give_back_spare(p->threads, p->n_threads * sizeof *p->threads);
}

void serve__setup_one(const struct serve_config *c, struct serve_one *ret)
{
	*ret = (struct serve_one){.app.services = {.ptr = UNCONST(&c->service), .len = 1}};
	ret->setup = (struct serve_setup){&c->process, &c->listener, 1, &ret->app, 1};
}

static void told_by_tier(void *arg, const char *text)
{
	serve_warn(arg, "%s", text);
}

bool serve_open(const struct serve_setup *setup, struct serve_process **ret, struct err *e)
{
	ignore_signals();
	serve__log_start(setup->process);
	*ret = mem_zalloc(sizeof **ret);
	if (!*ret)
		return err_nomem(e);
	if (!serve__process_open(*ret, setup, e))
		return false;
	tier_tell_by(told_by_tier, *ret);
	log_shortcomings(*ret);
	serve__certificates_watch(*ret);
	log_absent_limits(setup);
	return true;
}

// What no start has to wait for: the thread that works behind it; how much memory there is, while there are descriptors to ask by.
#define SETTLES (SECOND / 10)
static void on_settled(struct loop_timer *t)
{
	tier_behind_go();
	(void)serve__memory_ceiling(CONTAINER_OF(t, struct serve_process, settle));
}

void serve_run(struct serve_process *p)
{
	print_ready(p);
	p->settle.fn = on_settled;
	loop_timer_set(p->threads[0].loop, &p->settle, sat_add_u64(loop_now_fresh_ns(p->threads[0].loop), SETTLES));
	serve__manager_ready(p);
	serve__triggers_begin(p);
	serve__log(p->config, SERVE_LOG_DEBUG, "ready %.1f ms after the start", (double)(sys_now_ns() - p->started_ns) / 1e6);
	loop_run(p->threads[0].loop);
}

int serve_close(struct serve_process *p, struct err *e)
{
	if (!p)
		return err_exit_status(e->code);
	tier_tell_by(NULL, NULL);
	serve__process_close(p);
	if (e->code != ERR_NONE && p->stopping) {
		serve__log(p->config, SERVE_LOG_WARN, "%s", e->text);
		err_clear(e);  // it did what it was told
	}
	serve__writers_flush(SECOND);
	int status = e->code == ERR_NONE && p->ends_by_itself ? p->exit_status : err_exit_status(e->code);
	mem_free(p);
	return status;
}
