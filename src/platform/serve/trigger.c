// Triggers: runs of wasi:cli/run.
//
//   start    waits ── timer ──► runs ── ended ──► waits (BACK_OFF, doubled with each run that did not last)
//                                └── another version is in force: stopped, the next begins at once (or began before, with `overlap`)
//   command  runs ──► over
//   cron     waits for `due` ──► runs; what came due while nobody looked is run once
//
// 1. A trigger lives on one thread; all of it but its configuration is touched there. Runs count among the calls of their shard, so that a shard that is
//    closed, and a drain, wait for them.
// 2. Wall-clock time is asked again at least every LOOK: clocks are set, and machines sleep. Of one that is set back by less than SET_RIGHT nothing runs twice.
// 3. When the process drains nothing begins any more; what was started to run for ever is stopped, the rest may end.
// 4. While its app fails (serve_app_fail) none begins: it looks again every FAILS. A cron that came due meanwhile is run once then.
// 5. One that leaves (retrigger.c) begins nothing any more either, stops what was started to run for ever, and goes with its last run.
#include "trigger.h"

#include "app/app.h"
#include "sys/sys.h"

#define BACK_OFF (100 * MILLISECOND)
#define BACK_OFF_MOST (60 * SECOND)
#define LASTED (10 * SECOND)  // who ran so long begins with the first wait again
#define LOOK (30 * SECOND)
#define FAILS (250 * MILLISECOND)
#define SET_RIGHT 60  // seconds
enum { RUN_ARENA_MAX = 256 << 20, ENDS_BY_GUEST = 1 };

static const char *const kinds[] = {[SERVE_TRIGGER_START] = "start", [SERVE_TRIGGER_COMMAND] = "command", [SERVE_TRIGGER_CRON] = "cron"};

static struct serve_shard *shard_of(const struct serve_trigger *t)
{
	return &t->service->shards[t->thread->index];
}

static void wait_until(struct serve_trigger *t, uint64_t ns)
{
	loop_timer_set(t->thread->loop, &t->timer, ns);
}

// ---- how it ended --------------------------------------------------------------------------------------------------------------------------------

// As `tenon run` would exit.
static int status_of(const struct serve_trigger_run *r)
{
	if (r->ok)
		return r->result.is_err ? ENDS_BY_GUEST : 0;
	switch (r->trap.trap) {
	case TRAP_EXIT:
		return r->trap.exit_code;
	case TRAP_DEADLINE:
	case TRAP_CPU_BUDGET:
		return err_exit_status(ERR_TIMEOUT);
	default:
		return err_exit_status(ERR_TRAP);
	}
}

static void log_end(const struct serve_trigger_run *r, int status)
{
	const struct serve_trigger *t = r->trigger;
	const struct serve_process_config *c = t->service->process->config;
	double ms = (double)(sys_now_ns() - r->began_ns) / 1e6;
	struct buf frames = {.max = SERVE_BACKTRACE_MAX};
	if (r->stopped) {
		serve__log(c, SERVE_LOG_INFO, "%s %s of %s was stopped after %.1f ms", kinds[t->config.kind], t->config.id, t->service->app, ms);
	} else if (r->ok || r->trap.trap == TRAP_EXIT) {
		serve__log(c, status ? SERVE_LOG_WARN : SERVE_LOG_INFO, "%s %s of %s ended with %d after %.1f ms, %.1f ms of CPU", kinds[t->config.kind], t->config.id,
			t->service->app, status, ms, (double)r->task->cpu_ns / 1e6);
	} else {
		serve__put_known(&r->slot->version->deployment, &r->trap.frames, &frames);
		serve__log(c, SERVE_LOG_WARN, "%s %s of %s failed after %.1f ms: %s%s%.*s", kinds[t->config.kind], t->config.id, t->service->app, ms, r->trap.text,
			frames.len ? "\n" : "", (int)min_u64(frames.len, 600), (const char *)frames.ptr);
	}
	buf_release(&frames);
}

static void log_shortage(const struct serve_trigger *t, const struct err *e)
{
	serve__log(t->service->process->config, SERVE_LOG_ERROR, "%s %s of %s could not begin: %s", kinds[t->config.kind], t->config.id, t->service->app, e->text);
}

// ---- a run ---------------------------------------------------------------------------------------------------------------------------------------

static void after_run(struct serve_trigger *t, const struct serve_trigger_run *r, int status);
static void leave_with_last_run(struct serve_trigger *t);

static void unlist(struct serve_trigger_run *r)
{
	*r->prev = r->next;
	if (r->next)
		r->next->prev = r->prev;
}

static void list(struct serve_trigger_run *r)
{
	struct serve_trigger *t = r->trigger;
	r->next = t->runs;
	r->prev = &t->runs;
	if (r->next)
		r->next->prev = &r->next;
	t->runs = r;
}

static void run_main(void *arg)
{
	struct serve_trigger_run *r = arg;
	const struct serve_version *v = r->slot->version;
	struct canon_instance *i = r->slot->canon;
	r->ok = r->slot->used || canon_slot_is_ready(i) || canon_slot_start(i, &r->task->canon, &r->trap);
	if (!r->ok)
		return;
	serve__slot_started(r->slot, shard_of(r->trigger));
	r->ok = v->runs_3 ? wasi_cli3_run_call_run(r->task, i, &v->run_3, &r->result, &r->arena, NULL, &r->trap)
					  : wasi_cli_run_call_run(r->task, i, &v->run, &r->result, &r->arena, &r->trap);
}

static void give_back(struct serve_trigger_run *r, bool clean)
{
	struct serve_shard *s = shard_of(r->trigger);
	serve__slot_give(r->slot, s, clean);
	serve__place_give(s);
	seam_task_free(r->task);
	arena_release(&r->arena);
	mem_free(r);
}

static void on_done(struct seam_task *task)
{
	struct serve_trigger_run *r = task->owner;
	struct serve_trigger *t = r->trigger;
	struct serve_shard *s = shard_of(t);
	int status = status_of(r);
	seam_instance_task_end(&r->slot->seam, task);
	log_end(r, status);
	serve__meter_inner(s, r->slot->canon, task->cpu_ns, r->ok || r->trap.trap == TRAP_EXIT || r->stopped ? TRAP_NONE : r->trap.trap);
	unlist(r);
	after_run(t, r, status);
	serve__slot_ended_by(r->slot, r->trap.trap);
	give_back(r, r->ok);
	serve__count_down(&s->calls);
	serve__queue_wake(s);
	leave_with_last_run(t);  // it may be gone
	if (s->thread->draining && s->calls == 0)
		s->thread->look(s->thread);
}

// NULL: nothing is to be had for it.
static struct serve_trigger_run *run_new(struct serve_trigger *t, struct err *e)
{
	struct serve_shard *s = shard_of(t);
	struct serve_trigger_run *r = mem_zalloc(sizeof *r);
	if (!r) {
		err_nomem(e);
		return NULL;
	}
	if (!serve__place_take(s)) {
		err_set(e, ERR_LIMIT, "all calls that it may have are under way");
		mem_free(r);
		return NULL;
	}
	r->slot = serve__slot_take(s, s->stable, e);
	r->task = r->slot ? seam_task_new(t->thread->tasks, NULL) : NULL;
	if (r->task)
		return r;
	if (e->code == ERR_NONE)
		err_set(e, ERR_LIMIT, "no instance is free");
	if (r->slot)
		serve__slot_give_back(r->slot, s);
	serve__place_give(s);
	mem_free(r);
	return NULL;
}

static struct vm_budget budget_of(const struct serve_trigger *t)
{
	const struct serve_trigger_config *c = &t->config;
	return (struct vm_budget){
		.cpu_ns = c->cpu ? c->cpu : UINT64_MAX,
		.deadline_ns = c->deadline ? sat_add_u64(loop_now_fresh_ns(t->thread->loop), c->deadline) : UINT64_MAX,
	};
}

static bool begin_run(struct serve_trigger *t, struct err *e)
{
	struct serve_shard *s = shard_of(t);
	struct serve_trigger_run *r = run_new(t, e);
	if (!r)
		return false;
	r->trigger = t;
	r->began_ns = sys_now_ns();
	arena_init(&r->arena, RUN_ARENA_MAX);
	r->task->owner = r;
	r->task->instance = &r->slot->seam;
	list(r);
	serve__count(&s->calls, 1);
	if (seam_task_run(r->task, run_main, r, budget_of(t), on_done))
		return true;  // it may be over, and gone
	unlist(r);
	serve__count_down(&s->calls);
	give_back(r, true);
	return err_nomem(e);
}

static void stop_runs(struct serve_trigger *t)
{
	for (struct serve_trigger_run *r = t->runs; r; r = r->next) {
		r->stopped = true;
		seam_task_kill(r->task, TRAP_KILLED);
	}
}

static bool may_begin(const struct serve_trigger *t)
{
	const struct serve_shard *s = shard_of(t);
	return s->open && !s->closing && s->stable && !t->leaves && !t->thread->draining && !t->thread->over;
}

// What its app requires isn't there: it looks again later.
static bool waits_for_app(struct serve_trigger *t)
{
	if (!serve__app_fails(t->service))
		return false;
	wait_until(t, sat_add_u64(loop_now_fresh_ns(t->thread->loop), FAILS));
	return true;
}

// ---- start ---------------------------------------------------------------------------------------------------------------------------------------

static uint64_t back_off(struct serve_trigger *t)
{
	uint64_t wait = BACK_OFF;
	for (unsigned i = 0; i < t->again && wait < BACK_OFF_MOST; i++)
		wait *= 2;
	t->again++;
	return min_u64(wait, BACK_OFF_MOST);
}

static void begin_start(struct serve_trigger *t)
{
	struct err e = {0};
	if (!may_begin(t) || waits_for_app(t) || begin_run(t, &e))
		return;
	log_shortage(t, &e);
	wait_until(t, sat_add_u64(loop_now_fresh_ns(t->thread->loop), back_off(t)));
}

static void start_ended(struct serve_trigger *t, const struct serve_trigger_run *r)
{
	uint64_t now = loop_now_fresh_ns(t->thread->loop);
	bool lasted = sys_now_ns() - r->began_ns >= LASTED;
	if (t->runs || !may_begin(t))
		return;  // the next one runs already, or none is wanted
	t->again = lasted || t->changes ? 0 : t->again;
	wait_until(t, t->changes ? now : sat_add_u64(now, back_off(t)));
	t->changes = false;
}

// Of the version that is in force; while none is, none is.
static bool is_run_of_now(const struct serve_trigger_run *r, const struct serve_shard *s)
{
	return s->stable && r->slot->version == s->stable->version;
}

static bool is_of_now(const struct serve_trigger *t)
{
	for (const struct serve_trigger_run *r = t->runs; r; r = r->next)
		if (is_run_of_now(r, shard_of(t)))
			return true;
	return false;
}

// Another version is in force: what runs in the one before leaves.
static void change_start(struct serve_trigger *t)
{
	if (is_of_now(t) || !may_begin(t))
		return;
	if (!t->runs) {  // it waits
		t->again = 0;
		wait_until(t, loop_now_fresh_ns(t->thread->loop));
		return;
	}
	struct serve_trigger_run *old = t->runs;
	t->changes = !t->config.overlap;
	if (t->config.overlap)
		begin_start(t);
	for (struct serve_trigger_run *r = old; r; r = r->next) {
		r->stopped = true;
		seam_task_kill(r->task, TRAP_KILLED);
	}
}

// ---- command -------------------------------------------------------------------------------------------------------------------------------------

// On thread 0. A process that was there for commands alone ends with the last of them, as the first that failed did.
static void on_command_ended(struct loop_remote *remote)
{
	struct serve_trigger *t = CONTAINER_OF(remote, struct serve_trigger, ended);
	struct serve_process *p = t->service->process;
	t->over = true;
	p->exit_status = p->exit_status ? p->exit_status : t->status;
	for (const struct serve_trigger *other = p->triggers; other; other = other->all_next)
		if (!other->over && !other->removed)
			return;
	if (p->n_listeners == 0 && !p->stopping) {
		p->ends_by_itself = true;
		p->end(p);
	}
}

static void command_ended(struct serve_trigger *t, int status)
{
	t->status = status;
	t->ended.fn = on_command_ended;
	loop_post_remote(t->service->process->threads[0].loop, &t->ended);
}

static void begin_command(struct serve_trigger *t)
{
	struct err e = {0};
	if (!may_begin(t) || waits_for_app(t) || begin_run(t, &e))
		return;
	log_shortage(t, &e);
	command_ended(t, err_exit_status(e.code));
}

// ---- cron ----------------------------------------------------------------------------------------------------------------------------------------

static int64_t wall_seconds(void)
{
	return (int64_t)(sys_wall_ns() / SECOND);
}

static void wait_for_due(struct serve_trigger *t)
{
	uint64_t wall = sys_wall_ns(), due = (uint64_t)t->due * SECOND, wait = t->due == INT64_MAX ? LOOK : due > wall ? due - wall
																												   : 0;
	t->looked = (int64_t)(wall / SECOND);
	wait_until(t, sat_add_u64(loop_now_fresh_ns(t->thread->loop), min_u64(wait, LOOK)));
}

// When it is due next, by what ran or was missed last and what the clock says.
static int64_t next_due(const struct serve_trigger *t, int64_t last, int64_t now)
{
	bool was_set_right = last > now && last - now < SET_RIGHT;
	return serve__cron_next(t->config.when, t->zone, (last && last < now) || was_set_right ? last : now);
}

// false: it could not begin, and is due as before.
static bool run_cron(struct serve_trigger *t, int64_t now)
{
	struct err e = {0};
	bool skips = t->runs && !t->config.overlap;
	if (skips)
		serve__log(t->service->process->config, SERVE_LOG_WARN, "cron %s of %s is skipped: the last one still runs", t->config.id, t->service->app);
	if (!skips && !begin_run(t, &e)) {
		log_shortage(t, &e);
		return false;
	}
	if (t->config.ran)
		t->config.ran(t->config.user, t->config.id, now);
	t->again = 0;
	t->ran = now;
	return true;
}

static void begin_cron(struct serve_trigger *t)
{
	int64_t now = wall_seconds();
	t->ran = t->config.since;
	t->due = next_due(t, t->config.since, now);
	if (t->due <= now)
		serve__log(t->service->process->config, SERVE_LOG_INFO, "cron %s of %s was missed: it runs now", t->config.id, t->service->app);
	wait_for_due(t);
}

static void look_at_clock(struct serve_trigger *t)
{
	int64_t now = wall_seconds();
	if (!may_begin(t) || (now >= t->due && waits_for_app(t)))
		return;
	if (now >= t->due && !run_cron(t, now)) {
		wait_until(t, sat_add_u64(loop_now_fresh_ns(t->thread->loop), back_off(t)));
		return;
	}
	if (now >= t->due)
		t->due = serve__cron_next(t->config.when, t->zone, now);
	else if (now < t->looked - 1)  // the clock was set back
		t->due = next_due(t, t->ran > now ? t->ran : now, now);
	wait_for_due(t);
}

// ---- all -----------------------------------------------------------------------------------------------------------------------------------------

static void after_run(struct serve_trigger *t, const struct serve_trigger_run *r, int status)
{
	if (t->config.kind == SERVE_TRIGGER_START)
		start_ended(t, r);
	else if (t->config.kind == SERVE_TRIGGER_COMMAND)
		command_ended(t, r->stopped ? 0 : status);
}

static void on_timer(struct loop_timer *timer)
{
	struct serve_trigger *t = CONTAINER_OF(timer, struct serve_trigger, timer);
	if (t->config.kind == SERVE_TRIGGER_CRON)
		look_at_clock(t);
	else if (t->config.kind == SERVE_TRIGGER_COMMAND)
		begin_command(t);
	else
		begin_start(t);
}

void serve__trigger_begin(struct serve_trigger *t)
{
	if (t->leaves || t->thread->gone)
		return;
	t->next = t->thread->triggers;
	t->prev = &t->thread->triggers;
	if (t->next)
		t->next->prev = &t->next;
	t->thread->triggers = t;
	t->timer.fn = on_timer;
	switch (t->config.kind) {
	case SERVE_TRIGGER_START:
		begin_start(t);
		break;
	case SERVE_TRIGGER_COMMAND:
		begin_command(t);
		break;
	case SERVE_TRIGGER_CRON:
		begin_cron(t);
		break;
	}
}

static void on_begin(struct loop_remote *remote)
{
	serve__trigger_begin(CONTAINER_OF(remote, struct serve_trigger, begin));
}

// ---- one that comes, changes, leaves ---------------------------------------------------------------------------------------------------------------

void serve__trigger_free(struct serve_trigger *t)
{
	serve__zone_close(t->zone);
	arena_release(&t->arena);
	mem_free(t);
}

void serve__trigger_add(struct serve_trigger *t)
{
	struct serve_process *p = t->service->process;
	t->service->is_run = true;
	t->all_next = p->triggers;
	t->all_prev = &p->triggers;
	if (t->all_next)
		t->all_next->all_prev = &t->all_next;
	p->triggers = t;
}

static bool same_time(const struct serve_trigger_config *a, const struct serve_trigger_config *b)
{
	if (!a->when || !b->when)
		return a->when == b->when;
	const struct app_schedule *x = a->when, *y = b->when;
	return x->seconds == y->seconds && x->minutes == y->minutes && x->hours == y->hours && x->days == y->days && x->months == y->months &&
		x->weekdays == y->weekdays && x->either_day == y->either_day && strcmp(a->timezone ? a->timezone : "", b->timezone ? b->timezone : "") == 0;
}

bool serve__trigger_is(const struct serve_trigger *t, const struct serve_trigger_config *c)
{
	return t->config.kind == c->kind && strcmp(t->config.id, c->id) == 0 && strcmp(t->service->name, c->service) == 0 && same_time(&t->config, c);
}

void serve__trigger_change(struct serve_trigger *t, const struct serve_trigger_config *c)
{
	t->config.cpu = c->cpu;
	t->config.deadline = c->deadline;
	t->config.overlap = c->overlap;
}

// On thread 0: nothing of it is on its thread any more.
static void on_left(struct loop_remote *remote)
{
	struct serve_trigger *t = CONTAINER_OF(remote, struct serve_trigger, left);
	*t->all_prev = t->all_next;
	if (t->all_next)
		t->all_next->all_prev = t->all_prev;
	serve__trigger_free(t);
}

static void leave_with_last_run(struct serve_trigger *t)
{
	if (!t->leaves || t->runs)
		return;
	if (t->prev) {
		*t->prev = t->next;
		if (t->next)
			t->next->prev = t->prev;
		t->prev = NULL;
	}
	t->left.fn = on_left;
	loop_post_remote(t->service->process->threads[0].loop, &t->left);
}

void serve__trigger_leave(struct serve_trigger *t)
{
	t->leaves = true;
	loop_timer_cancel(t->thread->loop, &t->timer);
	if (t->config.kind == SERVE_TRIGGER_START)
		stop_runs(t);
	leave_with_last_run(t);
}

bool serve__triggers_run(const struct serve_process *p, const struct serve_service *s)
{
	const struct serve_trigger *t = p->triggers;
	while (t && (t->removed || t->service != s))
		t = t->all_next;
	return t != NULL;
}

// ---- all of a process ------------------------------------------------------------------------------------------------------------------------------

// In the order of the manifests.
static void post_begin(struct serve_trigger *t)
{
	t->begin.fn = on_begin;
	loop_post_remote(t->thread->loop, &t->begin);
}

void serve__triggers_begin(struct serve_process *p)
{
	struct serve_trigger *last = p->triggers;
	while (last && last->all_next)
		last = last->all_next;
	for (struct serve_trigger *t = last; t; t = t == p->triggers ? NULL : CONTAINER_OF(t->all_prev, struct serve_trigger, all_next))
		post_begin(t);
}

void serve__triggers_drain(struct serve_thread *thread)
{
	for (struct serve_trigger *t = thread->triggers; t; t = t->next) {
		loop_timer_cancel(thread->loop, &t->timer);
		if (t->config.kind == SERVE_TRIGGER_START)
			stop_runs(t);
	}
}

void serve__triggers_end(struct serve_shard *s)
{
	for (struct serve_trigger *t = s->thread->triggers; t; t = t->next)
		if (t->service == s->service) {
			loop_timer_cancel(s->loop, &t->timer);
			stop_runs(t);
		}
}

void serve__triggers_changed(struct serve_shard *s)
{
	for (struct serve_trigger *t = s->thread->triggers; t; t = t->next)
		if (t->service == s->service && t->config.kind == SERVE_TRIGGER_START)
			change_start(t);
}

// Runs of versions that have left, whose time is over; what starts anew has left already.
uint64_t serve__triggers_retire(struct serve_shard *s, uint64_t now_ns, uint64_t next_ns)
{
	for (struct serve_trigger *t = s->thread->triggers; t; t = t->next)
		for (struct serve_trigger_run *r = t->service == s->service ? t->runs : NULL; r; r = r->next) {
			uint64_t ends = __atomic_load_n(&r->slot->version->ends_ns, __ATOMIC_RELAXED);
			if (is_run_of_now(r, s))
				continue;
			if (ends <= now_ns)
				seam_task_kill(r->task, TRAP_KILLED);
			else
				next_ns = min_u64(next_ns, ends);
		}
	return next_ns;
}

void serve__triggers_close(struct serve_process *p)
{
	for (struct serve_trigger *t = p->triggers, *next; t; t = next) {
		next = t->all_next;
		serve__trigger_free(t);
	}
}
