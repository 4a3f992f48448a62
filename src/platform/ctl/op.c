// Operations: changes of an app, one at a time, each on a thread of its own.
//
//   waiting ──► running ──► done | failed | cancelled
//      └──────► cancelled
// Who asked for one may go: nothing of it depends on that. Cancelling is asked for, and heard at its next step; once it is published it is too late.
#include <stdio.h>
#ifdef TENON_TEST_BREAKS
#include <stdlib.h>
#endif

#include "ctl_int.h"
#include "serve/serve.h"

static const char *const states[] = {"waiting", "running", "done", "failed", "cancelled", "recovered"};

struct ctl_op *ctl__op_new(struct ctl_app *app)
{
	struct ctl_op *op = mem_zalloc(sizeof *op);
	if (!op)
		return NULL;
	op->app = app;
	op->refs = 1;
	op->more.max = 1 << 20;
	op->step = "";
	arena_init(&op->arena, CTL_REQUEST_MEMORY);
	return op;
}

// Of what it was asked for only what is told of it is kept. Of one that is over, or was not begun.
static void let_go(struct ctl_op *op)
{
	struct arena a;
	struct slice what = {0}, target = {0};
	if (op->end)
		op->end(op);
	op->end = NULL;
	op->args = NULL;
	arena_init(&a, CTL_REQUEST_MEMORY);
	if ((op->what && !slice_dup(&a, slice_str(op->what), &what)) || (op->target && !slice_dup(&a, slice_str(op->target), &target))) {
		arena_release(&a);
		return;  // no memory: all of it stays
	}
	arena_release(&op->arena);
	op->arena = a;
	op->what = op->what ? (const char *)what.ptr : NULL;
	op->target = op->target ? (const char *)target.ptr : NULL;
}

void ctl__op_free(struct ctl_op *op)
{
	if (!op || --op->refs)
		return;
	if (op->end)
		op->end(op);
	arena_release(&op->arena);
	buf_release(&op->more);
	mem_free(op);
}

bool ctl__op_is_over(const struct ctl_op *op)
{
	return op->state >= CTL_DONE;
}

static void put_members(const struct ctl_op *op, struct buf *b)
{
	buf_printf(b, "\"operation\":\"%s-%llu\",\"what\":", op->app->name, (unsigned long long)op->number);
	buf_put_json_string(b, slice_str(op->what));
	buf_printf(b, ",\"state\":\"%s\",\"step\":\"%s\",\"busy\":%s", states[op->state], op->step, ctl__op_is_over(op) ? "false" : "true");
	if (op->has_epoch)
		buf_printf(b, ",\"epoch\":%llu", (unsigned long long)op->epoch);
	if (op->pause_ns)
		buf_printf(b, ",\"pause_ms\":%llu.%03llu", (unsigned long long)(op->pause_ns / MILLISECOND), (unsigned long long)(op->pause_ns / 1000 % 1000));
	if (op->keys)
		buf_printf(b, ",\"keys\":%llu", (unsigned long long)op->keys);
	if (op->release)
		buf_printf(b, ",\"release\":%llu", (unsigned long long)op->release);
	if (op->n_steps) {
		buf_put_str(b, ",\"steps\":[");
		for (uint32_t i = 0; i < op->n_steps; i++)
			buf_printf(b, "%s{\"step\":\"%s\",\"at_ms\":%llu}", i ? "," : "", op->steps[i].word, (unsigned long long)(op->steps[i].at_ns / MILLISECOND));
		buf_put_byte(b, ']');
	}
	if (op->target) {
		buf_put_str(b, ",\"target\":");
		buf_put_json_string(b, slice_str(op->target));
	}
	buf_put_slice(b, buf_view(&op->more));
	if (op->error.code != ERR_NONE) {
		buf_put_str(b, ",\"error\":");
		ctl__put_error(b, &op->error);
	}
}

void ctl__op_print(const struct ctl_op *op, struct buf *b)
{
	buf_put_byte(b, '{');
	put_members(op, b);
	buf_put_byte(b, '}');
}

static void tell(struct ctl_op *op)
{
	struct buf b = {0};
	buf_put_str(&b, "\"kind\":\"operation\",");
	put_members(op, &b);
	ctl__event_add(op->app, buf_view(&b));
	buf_release(&b);
}

// ---- its thread ------------------------------------------------------------------------------------------------------------------------------

static void *op_main(void *arg);

static void start(struct ctl_op *op)
{
	struct ctl_app *app = op->app;
	op->state = CTL_RUNNING;
	op->began_ns = sys_now_ns();
	app->running = op;
	op->refs++;
	int why = sys_thread_new(&op->thread, op_main, op);
	if (why < 0) {
		op->refs--;
		app->running = NULL;
		op->state = CTL_FAILED;
		err_set_errno(&op->error, -why, "cannot start a thread");
		let_go(op);
		ctl__app_leave(app);
	} else {
		op->started = true;
	}
	tell(op);
}

// The one that has waited longest, of what has happened already before others.
static void start_next(struct ctl_app *app)
{
	while (!app->running && app->waiting) {
		struct ctl_op *first = NULL;
		for (struct ctl_op *op = app->ops; op; op = op->next)
			if (op->state == CTL_WAITING && (op->happened || !first || !first->happened))
				first = op;
		app->waiting--;
		start(first);
	}
}

// What was in force when it was asked for may have gone while it waited.
static bool is_as_asked(struct ctl_op *op, struct err *e)
{
	return !op->has_if_release || op->if_release == op->app->release || err_set(e, ERR_REFUSED, "another release is in force by now");
}

static bool note_begun(struct ctl_op *op, struct err *e)
{
	return !op->app->state || ctl__state_op_begun(op->app->state, op->number, op->what, e);
}

static void note_ended(struct ctl_op *op, const char *state, uint64_t next_event)
{
	if (op->app->state)
		ctl__state_op_ended(op->app->state, op->number, state, next_event + 2);  // the event of its end is still to come
}

static void *op_main(void *arg)
{
	struct ctl_op *op = arg;
	struct ctl *ctl = op->app->ctl;
	struct err e;
	err_clear(&e);
	ctl__keeper_wait(ctl);  // it writes what this reads
	bool ok = is_as_asked(op, &e) && note_begun(op, &e) && op->run(op, &e);
	if (!ok && e.code == ERR_ENV)
		e.code = ERR_REFUSED;  // the change failed (contract, 7): nothing of the client's surroundings did
	if (!ok && op->by_itself)
		serve_warn(ctl->config.process, "%s of %s: %s%s%s", op->what, op->app->name, e.where, e.where[0] ? ": " : "", e.text);
	sys_mutex_lock(&ctl->lock);
	enum ctl_op_state state = ok ? CTL_DONE : op->cancel && !op->published ? CTL_CANCELLED
																		   : CTL_FAILED;
	uint64_t next_event = op->app->events.next;
	sys_mutex_unlock(&ctl->lock);
	note_ended(op, states[state], next_event);
	if (op->app->state && (!ok || !op->published))
		ctl__blobs_trim(op->app);  // those of a change that did not come about
	sys_mutex_lock(&ctl->lock);
	op->error = e;
	op->state = state;
	op->over = true;
	let_go(op);
	op->app->running = NULL;
	ctl__app_leave(op->app);
	tell(op);
	if (!ctl->stopping)
		start_next(op->app);
	sys_cond_broadcast(&ctl->moved);
	sys_mutex_unlock(&ctl->lock);
	return NULL;
}

// Within the lock.
static void take_step(struct ctl_op *op, const char *step)
{
	op->step = step;
	if (op->n_steps < CTL_STEPS)
		op->steps[op->n_steps++] = (struct ctl_step){step, sys_now_ns() - op->began_ns};
	tell(op);
}

#ifdef TENON_TEST_BREAKS
// In `tenon-breaks`, for tests, the process ends there as by a kill.
static void break_at(const char *step)
{
	enum { KILL = 9 };
	const char *at = getenv("TENON_TEST_BREAK");
	if (at && strcmp(at, step) == 0)
		sys_thread_signal(sys_thread_id(), KILL);
}
#else
static void break_at(const char *step)
{
}
#endif

bool ctl__op_step(struct ctl_op *op, const char *step, struct err *e)
{
	struct ctl *ctl = op->app->ctl;
	sys_mutex_lock(&ctl->lock);
	bool go = !op->cancel || op->published;
	if (go)
		take_step(op, step);
	sys_mutex_unlock(&ctl->lock);
	break_at(step);
	return go || err_set(e, ERR_REFUSED, "cancelled before %s: nothing changed", step);
}

void ctl__op_tell(struct ctl_op *op, const char *step)
{
	sys_mutex_lock(&op->app->ctl->lock);
	take_step(op, step);
	sys_mutex_unlock(&op->app->ctl->lock);
	break_at(step);
}

bool ctl__op_publish(struct ctl_op *op, struct err *e)
{
	struct ctl *ctl = op->app->ctl;
	sys_mutex_lock(&ctl->lock);
	op->published = !op->cancel;
	sys_mutex_unlock(&ctl->lock);
	return op->published || err_set(e, ERR_REFUSED, "cancelled before publish: nothing changed");
}

// ---- asked for ---------------------------------------------------------------------------------------------------------------------------------

// Those that are over, beyond the newest; their threads have ended.
static void forget_old(struct ctl_app *app)
{
	uint32_t n = 0;
	uint64_t bytes = 0;
	for (struct ctl_op **at = &app->ops; *at;) {
		struct ctl_op *op = *at;
		if (op->over && op->started) {
			sys_thread_join(&op->thread);
			op->started = false;
			op->refs--;
		}
		bool over = ctl__op_is_over(op) && !op->started;
		bytes += over ? op->more.len : 0;
		if (over && (++n > CTL_OPERATIONS || bytes > CTL_OPERATION_BYTES)) {
			bytes -= op->more.len;
			*at = op->next;
			ctl__op_free(op);
		} else {
			at = &op->next;
		}
	}
}

static bool refuse(struct err *e, unsigned status, unsigned *ret_status, const char *text, const char *hint)
{
	*ret_status = status;
	err_set(e, status == 503 ? ERR_ENV : ERR_REFUSED, "%s", text);
	return err_hint(e, "%s", hint);
}

static struct ctl_op *with_key(struct ctl_app *app, const char *key)
{
	struct ctl_op *op = app->ops;
	while (op && strcmp(op->key, key) != 0)
		op = op->next;
	return op;
}

bool ctl__op_begin(struct ctl_op *op, const struct ctl_ask *ask, struct ctl_op **ret_op, unsigned *ret_status, struct err *e)
{
	struct ctl_app *app = op->app;
	struct ctl_op *same = ask->key[0] ? with_key(app, ask->key) : NULL;
	*ret_status = 202;
	*ret_op = same ? same : op;
	if (same) {
		ctl__op_free(op);
		return true;
	}
	if (!app->state)
		return refuse(e, 409, ret_status, "this app isn't changed while it runs: it has no manifest, or no state folder", "tenon up with a manifest; TENON_STATE names the folder");
	if (app->ctl->stopping)
		return refuse(e, 503, ret_status, "this tenon is ending", "ask the next one");
	if (ask->has_release && ask->release != app->release)
		return refuse(e, 412, ret_status, "another release is in force", "look at it (tenon status), then ask again");
	if (app->running && ask->no_wait)
		return refuse(e, 409, ret_status, "a change of the app is under way", "without --no-wait this one waits for it");
	if (app->waiting >= CTL_WAITING_MAX && !op->happened)
		return refuse(e, 429, ret_status, "64 changes of the app wait already", "ask again when they are over");
	forget_old(app);
	snprintf(op->key, sizeof op->key, "%s", ask->key);
	op->has_if_release = ask->has_release;
	op->if_release = ask->release;
	op->what = ask->what;
	op->number = app->next_op++;
	op->next = app->ops;
	app->ops = op;
	app->waiting++;
	op->state = CTL_WAITING;
	if (app->running)
		tell(op);
	start_next(app);
	return true;
}

void ctl__op_start(struct ctl_op *op, const char *what)
{
	const struct ctl_ask ask = {.what = what, .key = ""};
	struct ctl_op *begun;
	struct err e = {0};
	unsigned status;
	if (!ctl__op_begin(op, &ask, &begun, &status, &e)) {
		serve_warn(op->app->ctl->config.process, "%s of %s: %s", what, op->app->name, e.text);
		ctl__op_free(op);
	}
}

struct ctl_op *ctl__op_find(struct ctl *ctl, struct slice id)
{
	size_t dash = id.len;
	while (dash && id.ptr[dash - 1] != '-')
		dash--;
	uint64_t number;
	if (!dash || !slice_parse_u64(slice_sub(id, dash, SIZE_MAX), UINT64_MAX, &number))
		return NULL;
	for (uint32_t i = 0; i < ctl->n_apps; i++)  // also those that are gone
		for (struct ctl_op *op = slice_eq_str(slice_sub(id, 0, dash - 1), ctl->apps[i]->name) ? ctl->apps[i]->ops : NULL; op; op = op->next)
			if (op->number == number)
				return op;
	return NULL;
}

bool ctl__op_cancel(struct ctl_op *op)
{
	if (ctl__op_is_over(op) || op->published)
		return false;
	op->cancel = true;
	if (op->state == CTL_WAITING) {
		op->state = CTL_CANCELLED;
		op->app->waiting--;
		err_set(&op->error, ERR_REFUSED, "cancelled before it began: nothing changed");
		let_go(op);
		tell(op);
	} else {
		if (op->on_cancel)
			op->on_cancel(op);
		sys_cond_broadcast(&op->app->ctl->moved);  // it may wait for its turn
	}
	return true;
}

// ---- the end -----------------------------------------------------------------------------------------------------------------------------------

bool ctl__ops_end(struct ctl *ctl)
{
	bool any = false;
	sys_mutex_lock(&ctl->lock);
	ctl->stopping = true;
	for (uint32_t i = 0; i < ctl->n_apps; i++) {
		struct ctl_app *app = ctl->apps[i];
		for (struct ctl_op *op = app->ops; op; op = op->next)
			if (!ctl__op_is_over(op))
				ctl__op_cancel(op);
		any |= app->running != NULL;
	}
	sys_mutex_unlock(&ctl->lock);
	return any;
}
