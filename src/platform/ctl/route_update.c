// Changes of components and variables while they serve, each a release: another version of a component (POST …/components/{component}/versions, its bytes),
// for all requests or for a share of them; how instances live (…/scale); values (…/variables).
#include <stdio.h>

#include "app/app.h"
#include "ctl_int.h"
#include "serve/serve.h"
#include "upload.h"

enum kind { UPDATE, SPLIT, PROMOTE, ROLLBACK, TAKEN_BACK, TRY_AGAIN, WATCH_ON, EDIT };
struct update {
	enum kind kind;
	const char *component, *sha256, *name;  // name: of the file that the bytes are from; empty: not known
	unsigned percent;
	struct ctl__upload *bytes;  // owned
	struct slice text;  // of an edit: laid over the live changes
	bool dry_run, accept;  // accept: imports that the version in force doesn't have
	uint64_t version, release;  // that was taken back, and of the app then
};

// ---- what releases say of components -------------------------------------------------------------------------------------------------------------

static const struct app_component *find_component(const struct ctl_op *op, const char *name)
{
	return app_component_find(op->app->model->app, name);
}

static const char *sha256_of_component(const struct ctl_app *app, const struct app_component *c)
{
	const char *known = c->sha256.text ? c->sha256.text : ctl__kept_sha256(app, c->item.name);
	return known ? known : "";
}

// Of the bytes that it has; "": not known.
static const char *sha256_of(const struct ctl_op *op, const struct update *u)
{
	return sha256_of_component(op->app, find_component(op, u->component));
}

// ---- a version -----------------------------------------------------------------------------------------------------------------------------------

static void set_tried(struct ctl_app *app, const struct ctl__tried *t)
{
	sys_mutex_lock(&app->ctl->lock);
	mem_free(app->tried.text);
	app->tried = *t;
	sys_mutex_unlock(&app->ctl->lock);
}

static void put_updated(struct ctl_op *op, const struct update *u, const char *sha256, struct buf *b)
{
	const struct app_component *c = find_component(op, u->component);
	const char *replaced = c->sha256.text ? c->sha256.text : ctl__kept_sha256(op->app, u->component);
	buf_printf(b, ",\"updated\":{\"component\":\"%s\",\"sha256\":\"%s\",\"replaced\":\"%s\"}", u->component, sha256, replaced ? replaced : "");
}

// What was in force before has been accepted, and a dry run only tells.
static bool is_guarded(const struct update *u)
{
	return u->kind == UPDATE && !u->accept && !u->dry_run;
}

static bool replace(struct ctl_op *op, const struct update *u, struct slice text, const char *sha256, struct err *e)
{
	struct buf members = {0};
	struct slice live;
	put_updated(op, u, sha256, &members);
	bool ok = app_live_add(&op->arena, ctl_state_live(op->app->state), text, &live, e) &&
		ctl__turn(op, &(struct ctl__aim){.live = live, .members = buf_view(&members), .dry_run = u->dry_run, .guarded = is_guarded(u), .updates = true}, e);
	buf_release(&members);
	return ok;
}

// A release that leaves the live changes as they are.
static bool write_unchanged(struct ctl_op *op, struct slice members, struct ctl__change *ret, struct err *e)
{
	const struct ctl__draft d = {.members = members};
	struct slice live;
	if (!slice_dup(&op->arena, ctl_state_live(op->app->state), &live))
		return err_nomem(e);
	if (!ctl__change_load(op, live, ret, e))
		return false;
	if (ctl__op_step(op, "publish", e) && ctl__change_write(op, ret, &d, e))
		return true;
	ctl__change_end(op, ret);
	return false;
}

// Again: it was in force so before a restart, and nothing is written.
static bool try(struct ctl_op *op, const struct update *u, struct slice text, const char *sha256, struct err *e)
{
	bool again = u->kind == TRY_AGAIN;
	struct ctl_app *app = op->app;
	struct ctl__change candidate, change = {0};
	struct ctl__tried tried = {.percent = u->percent};
	struct slice live;
	char members[256];
	void *prepared;
	if (strcmp(sha256, sha256_of(op, u)) == 0)
		return err_set(e, ERR_REFUSED, "component %s has these bytes already: there is nothing to try", u->component);
	snprintf(tried.component, sizeof tried.component, "%s", u->component);
	snprintf(tried.sha256, sizeof tried.sha256, "%s", sha256);
	snprintf(members, sizeof members, ",\"tried\":{\"component\":\"%s\",\"sha256\":\"%s\",\"percent\":%u}", u->component, sha256, u->percent);
	tried.text = mem_zalloc(text.len + 1);
	if (!tried.text)
		return err_nomem(e);
	memcpy(tried.text, text.ptr, text.len);
	bool ok = ctl__op_step(op, "check", e) && app_live_add(&op->arena, ctl_state_live(app->state), text, &live, e) && ctl__change_load(op, live, &candidate, e);
	if (!ok) {
		mem_free(tried.text);
		return false;
	}
	struct ctl_turn t = {.process = app->ctl->config.process, .from = app->model, .to = candidate.model, .guarded = is_guarded(u)};
	t.others = &u->component;
	t.n_others = 1;
	t.updates = true;
	ok = ctl__turn_prepare(op, &t, &prepared, e);
	bool goes = ok && !u->dry_run && (again || write_unchanged(op, slice_str(members), &change, e));
	if (goes) {
		ctl__turn_commit(op, prepared, u->percent);
		if (!again)
			ctl__change_publish(op, &change);
		set_tried(app, &tried);
	} else if (ok) {
		ctl__turn_abandon(op, prepared);
		ok = u->dry_run;
	}
	if (!goes)
		mem_free(tried.text);
	ctl__change_end(op, &candidate);
	return ok;
}

// What is wrong lies in the client's file; that its copy has it is of no use to anybody.
static void name_theirs(const struct update *u, const char *sha256, struct err *e)
{
	if (*u->name && strstr(e->where, sha256))
		snprintf(e->where, sizeof e->where, "'%s'", u->name);
}

static bool run_update(struct ctl_op *op, const struct update *u, struct err *e)
{
	char sha256[65];
	struct slice text;
	if (op->app->tried.component[0]) {
		err_set(e, ERR_REFUSED, "a version of component %s is tried", op->app->tried.component);
		return err_hint(e, "promote it, or roll it back: tenon update %s --promote", op->app->tried.component);
	}
	if (!ctl__upload_keep(u->bytes, op->app->state, u->sha256, sha256, e))
		return false;
	bool ok = ctl__blob_text(op->app, &op->arena, op->app->model->app->folder, u->component, sha256, &text, e) &&
		(u->percent < 100 ? try(op, u, text, sha256, e) : replace(op, u, text, sha256, e));
	if (!ok || u->dry_run)
		ctl__blobs_trim(op->app);  // no release names them
	if (!ok)
		name_theirs(u, sha256, e);
	return ok;
}

static bool run_try_again(struct ctl_op *op, const struct update *u, struct err *e)
{
	const struct ctl_app *app = op->app;
	struct slice text;
	if (ctl__blob_text(app, &op->arena, app->model->app->folder, u->component, u->sha256, &text, e) && try(op, u, text, u->sha256, e))
		return true;
	serve_warn(app->ctl->config.process, "component %s of %s: the version that was tried is not any more: %s", u->component, app->name, e->text);
	return false;
}

// ---- watched on ------------------------------------------------------------------------------------------------------------------------------

// Of the time that its thresholds are measured over, since it was put in force. A clock that was set back makes it no longer than that.
static uint64_t left_of(const struct app_component *c, uint64_t since_ms)
{
	uint64_t over = c->update.rollback.over.value, now_ms = sys_wall_ns() / MILLISECOND;
	uint64_t gone = now_ms > since_ms ? sat_mul_u64(now_ms - since_ms, MILLISECOND) : 0;
	return over > gone ? over - gone : 0;
}

// A component whose last other bytes are younger than that.
static bool is_young(struct arena *a, const struct ctl_app *app, const struct app_component *c, struct slice *ret_sha256, uint64_t *ret_left_ns)
{
	const struct app_rollback *r = &c->update.rollback;
	uint64_t since_ms;
	if ((!r->errors.value && !r->p99.value) || !ctl__release_given(a, app->state->newest, c->item.name, ret_sha256, &since_ms))
		return false;
	*ret_left_ns = left_of(c, since_ms);
	return *ret_left_ns > 0;
}

// Only what runs the bytes of its release: the file may have been written over since.
static bool run_watch_on(struct ctl_op *op)
{
	const struct app *app = op->app->model->app;
	for (uint32_t i = 0; i < app->components.n; i++) {
		const struct app_component *c = &app->components.list[i];
		struct slice sha256;
		uint64_t left_ns;
		if (!is_young(&op->arena, op->app, c, &sha256, &left_ns) || !slice_eq_str(sha256, sha256_of_component(op->app, c)))
			continue;
		const struct serve_update u = {.percent = 100,
			.drain_ns = c->update.drain.value,
			.errors = (unsigned)c->update.rollback.errors.value,
			.p99_ns = c->update.rollback.p99.value,
			.over_ns = c->update.rollback.over.value};
		ctl__turn_watch(op, c->item.name, &u, left_ns);
	}
	return true;
}

// ---- one that is tried -------------------------------------------------------------------------------------------------------------------------------

static bool is_tried(const struct ctl_op *op, const struct update *u)
{
	return strcmp(op->app->tried.component, u->component) == 0;
}

static bool run_split(struct ctl_op *op, const struct update *u, struct err *e)
{
	char members[256];
	struct ctl__change change;
	snprintf(members, sizeof members, ",\"tried\":{\"component\":\"%s\",\"sha256\":\"%s\",\"percent\":%u}", u->component, op->app->tried.sha256, u->percent);
	if (!write_unchanged(op, slice_str(members), &change, e))
		return false;
	bool ok = ctl__turn_versions(op, CTL_SPLIT, u->component, u->percent, e);
	if (ok)
		ctl__change_publish(op, &change);
	ctl__change_end(op, &change);
	return ok;
}

static bool run_promote(struct ctl_op *op, const struct update *u, struct err *e)
{
	struct ctl_app *app = op->app;
	struct buf members = {0};
	struct ctl__change change = {0};
	struct slice live;
	put_updated(op, u, app->tried.sha256, &members);
	const struct ctl__draft d = {.members = buf_view(&members)};
	bool loaded = app_live_add(&op->arena, ctl_state_live(app->state), slice_str(app->tried.text), &live, e) && ctl__change_load(op, live, &change, e);
	bool ok = loaded && ctl__op_step(op, "publish", e) && ctl__change_write(op, &change, &d, e) && ctl__turn_versions(op, CTL_PROMOTE, u->component, 100, e);
	if (ok) {
		ctl__change_publish(op, &change);
		set_tried(app, &(struct ctl__tried){0});
		ctl__blobs_trim(app);
	}
	if (loaded)
		ctl__change_end(op, &change);
	buf_release(&members);
	return ok;
}

// The one that is tried goes; `by_itself`: it has gone.
static bool drop_tried(struct ctl_op *op, const struct update *u, bool by_itself, struct err *e)
{
	struct buf members = {0};
	struct ctl__change change;
	buf_printf(&members, ",\"rolled_back\":{\"component\":\"%s\",\"sha256\":\"%s\"}", u->component, op->app->tried.sha256);
	bool written = write_unchanged(op, buf_view(&members), &change, e);
	bool ok = written && (by_itself || ctl__turn_versions(op, CTL_ROLLBACK, u->component, 0, e));
	if (ok) {
		ctl__change_publish(op, &change);
		set_tried(op->app, &(struct ctl__tried){0});
		ctl__blobs_trim(op->app);
	}
	if (written)
		ctl__change_end(op, &change);
	buf_release(&members);
	return ok;
}

// The live changes with other bytes of the component.
static bool live_with(struct ctl_op *op, const struct update *u, struct slice sha256, struct slice *ret, struct err *e)
{
	struct slice text;
	return ctl__blob_text(op->app, &op->arena, op->app->model->app->folder, u->component, (const char *)sha256.ptr, &text, e) &&
		app_live_add(&op->arena, ctl_state_live(op->app->state), text, ret, e);
}

static bool find_update(struct ctl_op *op, const struct update *u, uint64_t last, struct ctl__updated *ret, struct err *e)
{
	return ctl__release_updated(&op->arena, op->app->state->newest, u->component, last, ret) ||
		err_set(e, ERR_REFUSED, "component %s: there is no version to go back to", u->component);
}

// To these bytes, by the steps of any change.
static bool turn_back(struct ctl_op *op, const struct update *u, struct slice sha256, struct err *e)
{
	struct slice live;
	struct buf members = {0};
	if (!live_with(op, u, sha256, &live, e))
		return false;
	buf_printf(&members, ",\"rolled_back\":{\"component\":\"%s\",\"sha256\":\"%s\"}", u->component, sha256_of(op, u));
	bool ok = ctl__turn(op, &(struct ctl__aim){.live = live, .members = buf_view(&members), .dry_run = u->dry_run}, e);
	buf_release(&members);
	return ok;
}

static bool run_rollback(struct ctl_op *op, const struct update *u, struct err *e)
{
	struct ctl__updated was = {.release = UINT64_MAX};
	if (is_tried(op, u))
		return drop_tried(op, u, false, e);
	do
		if (!find_update(op, u, was.release - 1, &was, e))
			return false;
	while (slice_eq_str(was.replaced, sha256_of(op, u)));  // by an undo: to the one before
	return turn_back(op, u, was.replaced, e);
}

// What is in force already. `passed`: in place of what was taken back there were other bytes before this could be written, and they stay.
static bool write_taken_back(struct ctl_op *op, const struct update *u, const struct ctl__updated *was, bool passed, struct err *e)
{
	const struct ctl__tried *tried = &op->app->tried;
	struct ctl__change change;
	struct slice live = ctl_state_live(op->app->state);
	struct buf members = {0};
	buf_printf(&members, ",\"rolled_back\":{\"component\":\"%s\",\"sha256\":\"%.*s\"%s}", u->component, SLICE_ARGS(was->sha256), passed ? ",\"passed\":true" : "");
	if (is_tried(op, u))  // it goes on
		buf_printf(&members, ",\"tried\":{\"component\":\"%s\",\"sha256\":\"%s\",\"percent\":%u}", u->component, tried->sha256, tried->percent);
	bool loaded = (passed ? slice_dup(&op->arena, live, &live) || err_nomem(e) : live_with(op, u, was->replaced, &live, e)) && ctl__change_load(op, live, &change, e);
	const struct ctl__draft d = {.members = buf_view(&members)};
	bool ok = loaded && ctl__op_step(op, "publish", e) && ctl__change_write(op, &change, &d, e);
	if (ok)
		ctl__change_publish(op, &change);
	if (loaded)
		ctl__change_end(op, &change);
	buf_release(&members);
	return ok;
}

// Serve has done it already: what is in force is written. But a change that was under way meanwhile was made from a model that still had these bytes: it may have
// other ones, or brought the same back in a version that was made anew for something else.
static bool run_taken_back(struct ctl_op *op, const struct update *u, struct err *e)
{
	struct ctl__updated was;
	uint64_t in_force, tried;
	ctl__turn_numbers(op, u->component, &in_force, &tried);
	if (is_tried(op, u) && !tried)
		return drop_tried(op, u, true, e);
	if (!find_update(op, u, u->release, &was, e))
		return false;
	if (in_force < u->version && was.may_be_more) {
		if (turn_back(op, u, was.replaced, e))
			return true;  // the bytes alone, made anew with what else there is now
		serve_warn(op->app->ctl->config.process, "component %s of %s runs as it was before, also what it is configured by, until the next change: %s", u->component,
			op->app->name, e->text);
		err_clear(e);
	}
	if (in_force < u->version)
		return write_taken_back(op, u, &was, false, e);
	return slice_eq_str(was.sha256, sha256_of(op, u)) ? turn_back(op, u, was.replaced, e) : write_taken_back(op, u, &was, true, e);
}

// ---- the others ------------------------------------------------------------------------------------------------------------------------------------

static bool run_edit(struct ctl_op *op, const struct update *u, struct err *e)
{
	struct slice live;
	return app_live_add(&op->arena, ctl_state_live(op->app->state), u->text, &live, e) && ctl__turn(op, &(struct ctl__aim){.live = live, .dry_run = u->dry_run}, e);
}

static bool run(struct ctl_op *op, struct err *e)
{
	struct update *u = UNCONST(op->args);
	if (!op->app->model)
		return ctl__is_stopped(op, e);
	if (u->component && !find_component(op, u->component))
		return app_no_component(op->app->model->app, u->component, e);
	if ((u->kind == SPLIT || u->kind == PROMOTE) && !is_tried(op, u))
		return err_set(e, ERR_REFUSED, "component %s: there is no version that is tried", u->component);
	switch (u->kind) {
	case UPDATE:
		return run_update(op, u, e);
	case SPLIT:
		return u->percent < 100 ? run_split(op, u, e) : run_promote(op, u, e);
	case PROMOTE:
		return run_promote(op, u, e);
	case ROLLBACK:
		return run_rollback(op, u, e);
	case TAKEN_BACK:
		return run_taken_back(op, u, e);
	case TRY_AGAIN:
		return run_try_again(op, u, e);
	case WATCH_ON:
		return run_watch_on(op);
	case EDIT:
		break;
	}
	return run_edit(op, u, e);
}

static void end(struct ctl_op *op)
{
	const struct update *u = op->args;
	ctl__upload_drop(u->bytes);
}

// ---- asked for -----------------------------------------------------------------------------------------------------------------------------------

static const char *text_of(struct arena *a, struct slice s)
{
	struct slice copy;
	return slice_dup(a, s, &copy) ? (const char *)copy.ptr : NULL;
}

static struct update *update_new(struct ctl_op *op, enum kind kind, struct slice component, const char *words, struct slice more)
{
	struct update *u = ARENA_NEW(&op->arena, struct update);
	char what[256];
	if (!u)
		return NULL;
	*u = (struct update){.kind = kind, .component = component.len ? text_of(&op->arena, component) : NULL, .sha256 = "", .name = "", .percent = 100};
	snprintf(what, sizeof what, "%s%s%.*s%s%.*s", words, component.len ? " " : "", SLICE_ARGS(slice_sub(component, 0, 63)), more.len ? " " : "",
		SLICE_ARGS(slice_sub(more, 0, 150)));
	op->what = text_of(&op->arena, slice_str(what));
	op->args = u;
	op->run = run;
	op->end = end;
	return op->what && (u->component || !component.len) ? u : NULL;
}

static void fail(struct ctl_request *r, struct ctl_op *op, struct err *e)
{
	if (e->code == ERR_NONE)
		err_nomem(e);
	ctl__op_free(op);
	ctl__answer_failed(r, e);
}

static bool percent_of(struct ctl_request *r, unsigned *ret, struct err *e)
{
	struct slice text;
	uint64_t n = 100;
	if (ctl__request_query(r, "percent", &text) && (!slice_parse_u64(text, 100, &n) || n == 0))
		return err_set(e, ERR_USAGE, "percent is a number from 1 to 100");
	*ret = (unsigned)n;
	return true;
}

void ctl__route_update(struct ctl_request *r)
{
	struct err e = {0};
	struct ctl_op *op = ctl__op_of(r);
	struct slice name = {0}, sha256 = {0};
	if (!op)
		return;
	ctl__request_query(r, "name", &name);
	struct update *u = update_new(op, UPDATE, r->params[1], "update", name);
	if (u && percent_of(r, &u->percent, &e) && ctl__request_flag(r, "dry_run", &u->dry_run, &e) && ctl__request_flag(r, "accept", &u->accept, &e)) {
		u->bytes = r->upload;
		r->upload = NULL;
		u->name = text_of(&op->arena, name);
		if (!u->name)
			err_nomem(&e);
		else if (u->bytes && !ctl__upload_size(u->bytes))
			err_set(&e, ERR_USAGE, "the body is the component's bytes");
		else if (!ctl__request_query(r, "sha256", &sha256) || !sha256.len)
			err_set(&e, ERR_USAGE, "?sha256= says what the bytes must be");
		else
			u->sha256 = text_of(&op->arena, sha256);
	}
	if (u && u->sha256 && e.code == ERR_NONE)
		ctl__op_ask(r, op, op->what);
	else
		fail(r, op, &e);
}

void ctl__route_update_tried(struct ctl_request *r)
{
	static const char *const words[] = {[SPLIT] = "split", [PROMOTE] = "promote", [ROLLBACK] = "rollback"};
	struct err e = {0};
	for (unsigned k = SPLIT; k < ARRAY_LEN(words); k++) {
		if (!slice_eq_str(r->params[2], words[k]))
			continue;
		struct ctl_op *op = ctl__op_of(r);
		struct slice percent = {0};
		if (!op)
			return;
		ctl__request_query(r, "percent", &percent);
		struct update *u = update_new(op, (enum kind)k, r->params[1], words[k], percent);
		bool dry_run = false;
		if (u && ctl__request_flag(r, "dry_run", &dry_run, &e) && dry_run)
			err_set(&e, ERR_USAGE, "dry_run is of another version's bytes");
		if (u && e.code == ERR_NONE && percent_of(r, &u->percent, &e))
			ctl__op_ask(r, op, op->what);
		else
			fail(r, op, &e);
		return;
	}
	ctl__answer_not_found(r, "change of versions", r->params[2]);
}

// ---- how instances live, values ------------------------------------------------------------------------------------------------------------------------

// What the history says of the change: NAME=VALUE of what is no secret.
enum { WORDS_MAX = 250, VALUE_SHOWN = 64 };

static void put_shown(struct buf *b, struct slice s, size_t most)
{
	struct slice cut = slice_sub(s, 0, most);
	cut.len = utf8_valid_prefix(cut);
	buf_put_slice(b, cut);
	buf_put_str(b, cut.len < s.len ? "…" : "");
}

static void put_change(struct buf *words, struct slice name, const struct app_text *value)
{
	struct buf text = {0};
	buf_put_byte(words, ' ');
	buf_put_slice(words, name);
	if (value) {
		buf_put_byte(words, '=');
		app_put_text(&text, value);  // without the password of a URL
		put_shown(words, buf_view(&text), VALUE_SHOWN);
	}
	words->failed |= text.failed;
	buf_release(&text);
}

static void put_value_of(struct buf *words, struct arena *a, const struct json *m, const struct json *value)
{
	const char *text = text_of(a, value->text);
	const struct app_text shown = {.text = text, .raw = text};
	words->failed |= !text;
	if (text)
		put_change(words, m->name, &shown);
}

static bool say(struct ctl_op *op, struct buf *words, struct err *e)
{
	struct buf b = {0};
	put_shown(&b, buf_view(words), WORDS_MAX);
	const char *what = b.failed || words->failed ? NULL : text_of(&op->arena, buf_view(&b));
	buf_release(&b);
	buf_release(words);
	op->what = what ? what : op->what;
	return what || err_nomem(e);
}

static void put_row(struct buf *b, struct slice key, const struct json *v)
{
	buf_printf(b, "%.*s = ", SLICE_ARGS(key));
	if (v->kind == JSON_STRING)
		buf_put_json_string(b, v->text);  // the escapes of JSON are TOML's
	else
		buf_put_slice(b, v->text);
	buf_put_byte(b, '\n');
}

static bool put_scale(struct ctl_request *r, struct ctl_op *op, struct buf *b, struct err *e)
{
	struct buf words = {0};
	const struct json *policy = json_member(r->body, "policy");
	bool any = policy != NULL;
	buf_printf(b, "[component.%.*s]\n", SLICE_ARGS(r->params[1]));
	if (policy)
		put_row(b, SLICE_LIT("policy"), policy);
	buf_printf(b, "[component.%.*s.instances]\n", SLICE_ARGS(r->params[1]));
	for (const struct json *m = r->body ? r->body->first : NULL; m; m = m->next) {
		any = true;
		if (m->kind != JSON_STRING && m->kind != JSON_NUMBER)
			return err_set(e, ERR_USAGE, "%.*s is a number or a text", SLICE_ARGS(m->name));
		if (m != policy)
			put_row(b, m->name, m);
	}
	if (!any)
		return err_set(e, ERR_USAGE, "policy, min, max, idle: one of them");
	buf_put_str(&words, op->what);
	for (const struct json *m = r->body->first; m; m = m->next)
		put_value_of(&words, &op->arena, m, m);
	return say(op, &words, e);
}

static void ask_edit(struct ctl_request *r, struct ctl_op *op, struct update *u, struct buf *text, struct err *e)
{
	if (u && e->code == ERR_NONE && ctl__request_flag(r, "dry_run", &u->dry_run, e) && !text->failed && slice_dup(&op->arena, buf_view(text), &u->text))
		ctl__op_ask(r, op, op->what);
	else
		fail(r, op, e);
	buf_release(text);
}

// A key that is put into a text bare.
static bool is_word(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!((s.ptr[i] >= 'a' && s.ptr[i] <= 'z') || (s.ptr[i] >= '0' && s.ptr[i] <= '9') || s.ptr[i] == '-' || s.ptr[i] == '_'))
			return false;
	return s.len > 0;
}

void ctl__route_scale(struct ctl_request *r)
{
	static const struct ctl_member members[] = {{"policy", CTL_ANY}, {"min", CTL_ANY}, {"max", CTL_ANY}, {"idle", CTL_ANY}, {NULL, CTL_ANY}};
	struct err e = {0};
	struct buf text = {0};
	struct ctl_op *op = ctl__body_has_only(r, members) ? ctl__op_of(r) : NULL;
	if (!op)
		return;
	struct update *u = update_new(op, EDIT, r->params[1], "scale", (struct slice){0});
	if (!is_word(r->params[1]))
		err_set(&e, ERR_USAGE, "the app has no such component");
	else if (u)
		(void)put_scale(r, op, &text, &e);
	ask_edit(r, op, u, &text, &e);
}

static bool is_secret(const struct ctl_op *op, struct slice name)
{
	const struct app *a = op->app->model->app;
	for (uint32_t i = 0; i < a->variables.n; i++)
		if (slice_eq_str(name, a->variables.list[i].item.name))
			return a->variables.list[i].secret.value;
	return false;
}

static bool is_variable(const struct ctl_op *op, struct slice name)
{
	const struct app *a = op->app->model->app;
	for (uint32_t i = 0; i < a->variables.n; i++)
		if (slice_eq_str(name, a->variables.list[i].item.name))
			return true;
	return false;
}

// A text; or {file, text}: what a file says, of which the journal gets the text, and of a secret the file's name alone.
static bool put_variable(const struct ctl_op *op, const struct json *m, struct buf *b, struct err *e)
{
	const struct json *file = m->kind == JSON_OBJECT ? json_member(m, "file") : NULL, *text = m->kind == JSON_OBJECT ? json_member(m, "text") : m;
	bool secret = is_secret(op, m->name);
	if (secret && !file) {
		err_set(e, ERR_REFUSED, "%.*s is a secret: it is not written into the journal", SLICE_ARGS(m->name));
		return err_hint(e, "%.*s=@FILE: the file's name is", SLICE_ARGS(m->name));
	}
	if (file && (file->kind != JSON_STRING || !file->text.len || file->text.ptr[0] != '/'))
		return err_set(e, ERR_USAGE, "%.*s: the path of a file is absolute", SLICE_ARGS(m->name));
	if (!secret && (!text || text->kind != JSON_STRING))
		return err_set(e, ERR_USAGE, "%.*s is a text, or {file, text}", SLICE_ARGS(m->name));
	buf_printf(b, "[variables.%.*s]\n", SLICE_ARGS(m->name));
	put_row(b, secret ? SLICE_LIT("file") : SLICE_LIT("default"), secret ? file : text);
	return true;
}

static bool put_variables(struct ctl_request *r, struct ctl_op *op, struct buf *b, struct err *e)
{
	struct buf words = {0};
	if (!op->app->model)
		return err_set(e, ERR_REFUSED, "this app isn't changed while it runs: it has no manifest");
	for (const struct json *m = r->body ? r->body->first : NULL; m; m = m->next) {
		if (!is_variable(op, m->name))
			return app_no_variable(op->app->model->app, m->name, e);
		if (!put_variable(op, m, b, e))
			return false;
	}
	if (!b->len)
		return err_set(e, ERR_USAGE, "{NAME: VALUE, …}");
	buf_put_str(&words, op->what);
	for (const struct json *m = r->body->first; m; m = m->next) {
		const struct json *text = m->kind == JSON_OBJECT ? json_member(m, "text") : m;
		if (is_secret(op, m->name))
			put_change(&words, m->name, NULL);
		else
			put_value_of(&words, &op->arena, m, text);
	}
	return say(op, &words, e);
}

void ctl__route_set(struct ctl_request *r)
{
	struct err e = {0};
	struct buf text = {0};
	struct ctl_op *op = ctl__op_of(r);
	if (!op)
		return;
	struct update *u = update_new(op, EDIT, (struct slice){0}, "set", (struct slice){0});
	if (u) {
		sys_mutex_lock(&r->ctl->lock);
		(void)put_variables(r, op, &text, &e);
		sys_mutex_unlock(&r->ctl->lock);
	}
	ask_edit(r, op, u, &text, &e);
}

// ---- by itself -------------------------------------------------------------------------------------------------------------------------------------

void ctl_taken_back(struct ctl *ctl, const char *name, const char *component, uint64_t version, const char *why)
{
	struct buf event = {0};
	sys_mutex_lock(&ctl->lock);
	struct ctl_app *app = ctl__app_find(ctl, slice_str(name));
	struct ctl_op *op = app ? ctl__op_new(app) : NULL;
	if (app) {
		buf_put_str(&event, "\"kind\":\"taken-back\",\"component\":");
		buf_put_json_string(&event, slice_str(component));
		buf_put_str(&event, ",\"why\":");
		buf_put_json_string(&event, slice_str(why));
		ctl__event_add(app, buf_view(&event));
	}
	struct update *u = op ? update_new(op, TAKEN_BACK, slice_str(component), "take back", slice_str(why)) : NULL;
	if (u) {
		op->by_itself = op->happened = true;
		u->version = version;
		u->release = app->release;
		ctl__op_start(op, op->what);
	} else {
		ctl__op_free(op);
	}
	sys_mutex_unlock(&ctl->lock);
	buf_release(&event);
}

// Within the lock.
static void try_again(struct ctl_app *app)
{
	struct ctl__tried tried;
	struct ctl_op *op = app->model && app->state ? ctl__op_new(app) : NULL;
	bool is = op && ctl__release_tried(&op->arena, app->state->newest, &tried);
	struct update *u = is ? update_new(op, TRY_AGAIN, slice_str(tried.component), "try on", slice_str(tried.sha256)) : NULL;
	if (u) {
		u->sha256 = text_of(&op->arena, slice_str(tried.sha256));
		u->percent = tried.percent;
	}
	if (u && u->sha256)
		ctl__op_start(op, op->what);
	else
		ctl__op_free(op);
}

// Within the lock.
static void watch_on(struct ctl_app *app)
{
	struct ctl_op *op = app->model && app->state ? ctl__op_new(app) : NULL;
	const struct app *a = op ? app->model->app : NULL;
	struct slice sha256;
	uint64_t left_ns;
	bool any = false;
	for (uint32_t i = 0; a && i < a->components.n && !any; i++)
		any = is_young(&op->arena, app, &a->components.list[i], &sha256, &left_ns);
	if (any && update_new(op, WATCH_ON, (struct slice){0}, "watch on", (struct slice){0}))
		ctl__op_start(op, op->what);
	else
		ctl__op_free(op);
}

void ctl__tries_resume(struct ctl *ctl)
{
	sys_mutex_lock(&ctl->lock);
	for (uint32_t i = 0; i < ctl->n_apps; i++) {
		try_again(ctl->apps[i]);
		watch_on(ctl->apps[i]);
	}
	sys_mutex_unlock(&ctl->lock);
}
