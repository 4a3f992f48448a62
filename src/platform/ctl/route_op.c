// Operations and events, asked for.
#include <stdio.h>

#include "ctl_int.h"

enum { WAIT_MAX = 300 };

// ---- operations -----------------------------------------------------------------------------------------------------------------------------

// Once it is over, or the time is.
static void look_at_operation(struct ctl_request *r)
{
	struct ctl *ctl = r->ctl;
	sys_mutex_lock(&ctl->lock);
	struct ctl_op *op = ctl__op_find(ctl, r->params[0]);
	bool now = !op || ctl__op_is_over(op) || r->timed_out;
	if (op && now)
		ctl__op_print(op, &r->out);
	sys_mutex_unlock(&ctl->lock);
	if (!op)
		ctl__answer_not_found(r, "operation", r->params[0]);
	else if (now)
		ctl__answer(r, 200);
}

// "30s", "250ms"; false: it is none.
static bool duration_of(struct slice text, uint64_t *ret)
{
	bool ms = slice_ends_with(text, SLICE_LIT("ms"));
	uint64_t n;
	if (!slice_ends_with(text, SLICE_LIT("s")) || !slice_parse_u64(slice_sub(text, 0, text.len - (ms ? 2 : 1)), WAIT_MAX * 1000, &n))
		return false;
	*ret = min_u64(n * (ms ? MILLISECOND : SECOND), WAIT_MAX * SECOND);
	return true;
}

static void answer_usage(struct ctl_request *r, const char *text)
{
	struct err e;
	err_clear(&e);
	err_set(&e, ERR_USAGE, "%s", text);
	ctl__answer_error(r, 400, &e);
}

void ctl__route_operation(struct ctl_request *r)
{
	struct slice wait;
	uint64_t ns = 0;
	if (ctl__request_query(r, "wait", &wait) && !duration_of(wait, &ns)) {
		answer_usage(r, "wait is a time: 30s, 250ms, at most 300s");
		return;
	}
	r->timed_out = ns == 0 || !ctl__wait(r, ns);
	r->look = r->timed_out ? NULL : look_at_operation;
	look_at_operation(r);
}

void ctl__route_operation_cancel(struct ctl_request *r)
{
	struct ctl *ctl = r->ctl;
	sys_mutex_lock(&ctl->lock);
	struct ctl_op *op = ctl__op_find(ctl, r->params[0]);
	bool asked = op && ctl__op_cancel(op);
	if (op)
		ctl__op_print(op, &r->out);
	sys_mutex_unlock(&ctl->lock);
	if (op)
		ctl__answer(r, asked ? 202 : 409);
	else
		ctl__answer_not_found(r, "operation", r->params[0]);
}

// ---- changes --------------------------------------------------------------------------------------------------------------------------------

static bool is_of_kind(const struct json *m, enum ctl_member_kind kind)
{
	uint64_t n;
	switch (kind) {
	case CTL_TEXT:
		return m->kind == JSON_STRING;
	case CTL_FLAG:
		return m->kind == JSON_TRUE || m->kind == JSON_FALSE;
	case CTL_COUNT:
		return m->kind == JSON_NUMBER && slice_parse_u64(m->text, UINT64_MAX, &n);
	case CTL_ANY:
		break;
	}
	return true;
}

bool ctl__body_has_only(struct ctl_request *r, const struct ctl_member *members)
{
	static const char *const kinds[] = {[CTL_TEXT] = "a text", [CTL_FLAG] = "true or false", [CTL_COUNT] = "a whole number from 0 on"};
	struct err e;
	err_clear(&e);
	if (r->body && r->body->kind != JSON_OBJECT)
		err_set(&e, ERR_USAGE, "the body of a change is an object");
	for (const struct json *m = r->body && e.code == ERR_NONE ? r->body->first : NULL; m; m = m->next) {
		const struct ctl_member *of = members;
		while (of->name && !slice_eq_str(m->name, of->name))
			of++;
		if (!of->name)
			err_set(&e, ERR_USAGE, "a change of that kind has no '%.*s'", SLICE_ARGS(slice_sub(m->name, 0, 64)));
		else if (!is_of_kind(m, of->kind))
			err_set(&e, ERR_USAGE, "%s is %s", of->name, kinds[of->kind]);
		else if (m->kind == JSON_STRING && slice_find(m->text, 0) < m->text.len)
			err_set(&e, ERR_USAGE, "%s has a zero byte in it", of->name);
	}
	if (e.code != ERR_NONE)
		ctl__answer_error(r, 400, &e);
	return e.code == ERR_NONE;
}

struct ctl_op *ctl__op_of(struct ctl_request *r)
{
	struct ctl *ctl = r->ctl;
	sys_mutex_lock(&ctl->lock);
	struct ctl_app *app = ctl__app_find(ctl, r->params[0]);
	struct ctl_op *op = app ? ctl__op_new(app) : NULL;
	sys_mutex_unlock(&ctl->lock);
	struct err e = {0};
	if (!app)
		ctl__answer_not_found(r, "app", r->params[0]);
	else if (!op && !err_nomem(&e))
		ctl__answer_failed(r, &e);
	return op;
}

// The head's conditions. false: one of them is none.
static bool read_conditions(struct ctl_request *r, struct ctl_ask *ask, char key[128], struct err *e)
{
	struct slice match = ctl__request_field(r, "if-match"), id = ctl__request_field(r, "idempotency-key");
	bool queue = true;
	if (match.len >= 2 && match.ptr[0] == '"' && match.ptr[match.len - 1] == '"')
		match = slice_sub(match, 1, match.len - 2);
	ask->has_release = match.len > 0;
	if (ask->has_release && !slice_parse_u64(match, UINT64_MAX, &ask->release))
		return err_set(e, ERR_USAGE, "If-Match has the number of a release");
	if (id.len >= 128)
		return err_set(e, ERR_USAGE, "an Idempotency-Key has at most 127 bytes");
	snprintf(key, 128, "%.*s", SLICE_ARGS(id));
	ask->key = key;
	if (!ctl__request_flag(r, "queue", &queue, e))
		return false;
	ask->no_wait = !queue;
	return true;
}

void ctl__op_ask(struct ctl_request *r, struct ctl_op *op, const char *what)
{
	struct ctl *ctl = r->ctl;
	struct ctl_ask ask = {.what = what};
	struct ctl_op *begun;
	struct err e = {0};
	char key[128];
	unsigned status = 400;
	bool ok = read_conditions(r, &ask, key, &e);
	sys_mutex_lock(&ctl->lock);
	ok = ok && ctl__op_begin(op, &ask, &begun, &status, &e);
	if (ok)
		ctl__op_print(begun, &r->out);
	else
		ctl__app_leave(op->app);
	sys_mutex_unlock(&ctl->lock);
	if (ok) {
		ctl__answer(r, status);
		return;
	}
	ctl__op_free(op);
	ctl__answer_error(r, status, &e);
}

// ---- events -----------------------------------------------------------------------------------------------------------------------------------

enum { ALIVE_S = 15 };

// params[1].len: it ends with what is there.
static void fill_events(struct ctl_request *r)
{
	struct ctl *ctl = r->ctl;
	sys_mutex_lock(&ctl->lock);
	struct ctl_app *app = ctl__app_find(ctl, r->params[0]);
	if (app)
		ctl__events_print(&app->events, &r->cursor, &r->out);
	r->ends = !app || (r->params[1].len && r->out.len == 0);
	sys_mutex_unlock(&ctl->lock);
	if (r->timed_out && r->out.len == 0)
		buf_put_str(&r->out, ":\n\n");  // so that a client that is gone is noticed
	r->timed_out = false;
	if (!r->ends)
		loop_timer_set(r->loop, &r->timer, loop_now_fresh_ns(r->loop) + ALIVE_S * SECOND);
}

void ctl__route_events(struct ctl_request *r)
{
	struct ctl *ctl = r->ctl;
	sys_mutex_lock(&ctl->lock);
	bool there = ctl__app_find(ctl, r->params[0]) != NULL;
	sys_mutex_unlock(&ctl->lock);
	if (!there)
		ctl__answer_not_found(r, "app", r->params[0]);
	else if (ctl__stream_begin(r))
		ctl__stream(r, "text/event-stream", fill_events);
}
