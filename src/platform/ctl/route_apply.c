// What is in force as a whole: a manifest becomes it (…/apply, and SIGHUP), nothing does (…/stop), what was with a release does again (…/undo).
#include <stdio.h>

#include "app/app.h"
#include "ctl_int.h"
#include "serve/serve.h"

enum kind { APPLY, STOP, UNDO };
struct whole {
	enum kind kind;
	const char *path;  // of an apply: the manifest; NULL: where the app's own is
	uint64_t to;       // of an undo: a release; 0: the one before
	bool discard;      // of an undo of a link's copy: what came since is dropped
	enum ctl__stores stores;  // of an apply
	bool replace;
	bool dry_run;
};

// ---- apply, stop -----------------------------------------------------------------------------------------------------------------------------------

static bool is_free(const struct ctl_app *app, struct err *e)
{
	if (!app->tried.component[0])
		return true;
	err_set(e, ERR_REFUSED, "a version of component %s is tried", app->tried.component);
	return err_hint(e, "promote it, or roll it back: tenon update %s --promote", app->tried.component);
}

static bool run_apply(struct ctl_op *op, const struct whole *w, struct err *e)
{
	const struct ctl_app_config *c = op->app->config;
	struct ctl__aim aim = {.live = slice_of("", 0), .dry_run = w->dry_run, .stores = w->stores, .replace = w->replace};
	return is_free(op->app, e) && c->ops->read(c->user, w->path, &aim.source, e) && ctl__turn(op, &aim, e);
}

static bool run_stop(struct ctl_op *op, const struct whole *w, struct err *e)
{
	struct ctl__aim aim = {.stops = true, .dry_run = w->dry_run};
	if (!op->app->model)
		return ctl__is_stopped(op, e);
	return is_free(op->app, e) && (slice_dup(&op->arena, ctl_state_live(op->app->state), &aim.live) || err_nomem(e)) && ctl__turn(op, &aim, e);
}

// ---- undo ------------------------------------------------------------------------------------------------------------------------------------------

// The bytes that an unpinned component had then, where they aren't those of its file: what the first change of them behind it replaced, or let go.
static bool put_bytes(struct ctl_op *op, const struct ctl__release *until, const struct app *then, const char *component, struct slice *live, struct err *e)
{
	struct slice found = {0}, text;
	const struct app *now = op->app->model ? op->app->model->app : NULL;
	const char *known = ctl__kept_sha256(op->app, component);
	for (const struct ctl__release *r = op->app->state->newest; r && r != until; r = r->older)
		(void)ctl__release_had(&op->arena, r, component, &found);
	for (uint32_t i = 0; now && !found.len && known && i < now->components.n; i++)
		if (strcmp(now->components.list[i].item.name, component) == 0 && now->components.list[i].sha256.text)
			found = slice_str(known);  // it has others now, and its file may have by now
	return !found.len ||
		(ctl__blob_text(op->app, &op->arena, then->folder, component, (const char *)found.ptr, &text, e) && app_live_add(&op->arena, *live, text, live, e));
}

// The app as it was with that release, and all live changes that it takes over the manifest of that release.
static bool live_of(struct ctl_op *op, const struct ctl__release *r, const struct ctl_source *over, struct slice *ret, struct err *e)
{
	struct ctl__change then;
	if (!slice_dup(&op->arena, r->live, ret))
		return err_nomem(e);
	if (!ctl__change_load_from(op, over, *ret, &then, e))
		return false;
	bool ok = true;
	for (uint32_t i = 0; ok && i < then.model->app->components.n; i++) {
		const struct app_component *c = &then.model->app->components.list[i];
		ok = c->sha256.text || put_bytes(op, r, then.model->app, c->item.name, ret, e);
	}
	ctl__change_end(op, &then);
	return ok;
}

// What was in force with that release, as a manifest, in the operation's arena.
// `whole`: it lay in another folder, and says its paths so that they are the same ones here.
static bool print_then(struct ctl_op *op, const struct ctl_source *over, struct slice live, bool whole, struct slice *ret, struct err *e)
{
	struct ctl__change then;
	struct buf b = {.max = 4 << 20};
	if (!ctl__change_load_from(op, over, live, &then, e))
		return false;
	bool ok = ((whole ? app_print_whole : app_print)(then.model->app, &b) && slice_dup(&op->arena, buf_view(&b), ret)) || err_nomem(e);
	buf_release(&b);
	ctl__change_end(op, &then);
	return ok;
}

// The manifest was another one then, or lay elsewhere: the way back is changes over the one that there is now.
static bool live_over_now(struct ctl_op *op, const struct ctl__release *r, const struct ctl__manifest *now, struct slice *ret, struct err *e)
{
	const struct ctl_app_config *c = op->app->config;
	struct ctl_source *over;
	struct slice live, then;
	bool elsewhere = r->manifest->folder.len && !slice_eq(r->manifest->folder, now->folder);
	if (!ctl__release_source(op, r, &over, e))
		return false;
	bool ok = live_of(op, r, over, &live, e) && print_then(op, over, live, elsewhere, &then, e) && app_live_between(&op->arena, now->text, then, ret, e);
	c->ops->drop(over);
	return ok;
}

static bool run_undo(struct ctl_op *op, const struct whole *w, struct err *e)
{
	const struct ctl__release *newest = op->app->state->newest, *r = newest;
	struct ctl__aim aim = {.dry_run = w->dry_run};
	uint64_t to = w->to ? w->to : newest ? newest->number - 1
										 : 0;
	while (r && r->number != to)
		r = r->older;
	if (!r && to <= 1 && !w->to)
		return err_set(e, ERR_REFUSED, "nothing was changed yet: there is no release to go back to");
	if (!r || r == newest)
		return err_set(e, ERR_REFUSED, r ? "release %llu is in force" : "there is no release %llu to go back to", (unsigned long long)to);
	bool moved = newest->link[0] && r == newest->older;
	if (moved && r->manifest == newest->manifest && !ctl__release_is_whole(&op->arena, newest))
		return ctl__link_undo(op, newest->link, w->discard, w->dry_run, e);
	if (moved)
		aim.stores = newest->copy && !w->discard ? CTL_STORES_COPIED : CTL_STORES_LEFT;
	else if (w->discard)
		return err_set(e, ERR_USAGE, "discard is of the undo of a change of a link, which release %llu is none of", (unsigned long long)newest->number);
	if (!is_free(op->app, e))
		return false;
	aim.stops = r->stopped;
	bool same = r->stopped || !r->manifest || !newest->manifest || ctl__manifest_same(r->manifest, newest->manifest);
	return (same ? live_of(op, r, NULL, &aim.live, e) : live_over_now(op, r, newest->manifest, &aim.live, e)) && ctl__turn(op, &aim, e);
}

static bool run(struct ctl_op *op, struct err *e)
{
	const struct whole *w = op->args;
	return (w->kind == APPLY ? run_apply : w->kind == STOP ? run_stop
														   : run_undo)(op, w, e);
}

// ---- asked for -----------------------------------------------------------------------------------------------------------------------------------

static struct whole *whole_new(struct ctl_op *op, enum kind kind, const char *what)
{
	struct whole *w = ARENA_NEW(&op->arena, struct whole);
	if (!w)
		return NULL;
	*w = (struct whole){.kind = kind};
	op->args = w;
	op->run = run;
	op->what = what;
	return w;
}

static void fail(struct ctl_request *r, struct ctl_op *op, struct err *e)
{
	if (e->code == ERR_NONE)
		err_nomem(e);
	ctl__op_free(op);
	ctl__answer_failed(r, e);
}

void ctl__route_stop(struct ctl_request *r)
{
	static const struct ctl_member members[] = {{"dry_run", CTL_FLAG}, {NULL, CTL_ANY}};
	struct err e = {0};
	struct ctl_op *op = ctl__body_has_only(r, members) ? ctl__op_of(r) : NULL;
	struct whole *w = op ? whole_new(op, STOP, "stop") : NULL;
	if (w) {
		w->dry_run = json_is_true(r->body, "dry_run");
		ctl__op_ask(r, op, op->what);
	} else if (op) {
		fail(r, op, &e);
	}
}

void ctl__route_undo(struct ctl_request *r)
{
	static const struct ctl_member members[] = {{"to", CTL_COUNT}, {"dry_run", CTL_FLAG}, {"discard", CTL_FLAG}, {NULL, CTL_ANY}};
	struct err e = {0};
	char what[64] = "undo";
	struct slice copy;
	if (!ctl__body_has_only(r, members))
		return;
	uint64_t to = json_number(r->body, "to", 0);
	if (to == 0 && r->body && json_member(r->body, "to")) {
		err_set(&e, ERR_USAGE, "there is no release 0: they are numbered from 1");
		ctl__answer_failed(r, &e);
		return;
	}
	struct ctl_op *op = ctl__op_of(r);
	struct whole *w = op ? whole_new(op, UNDO, "undo") : NULL;
	if (to)
		snprintf(what, sizeof what, "undo to %llu", (unsigned long long)to);
	if (w && slice_dup(&op->arena, slice_str(what), &copy)) {
		w->to = to;
		w->dry_run = json_is_true(r->body, "dry_run");
		w->discard = json_is_true(r->body, "discard");
		ctl__op_ask(r, op, (const char *)copy.ptr);
	} else if (op) {
		fail(r, op, &e);
	}
}

// An app that isn't there comes by its manifest.
static bool come(struct ctl_request *r, const char *path, struct err *e)
{
	struct ctl *ctl = r->ctl;
	sys_mutex_lock(&ctl->lock);
	bool there = ctl__app_find(ctl, r->params[0]) != NULL;
	sys_mutex_unlock(&ctl->lock);
	return there || ctl__app_add(ctl, r->params[0], path, e);
}

void ctl__route_apply(struct ctl_request *r)
{
	static const struct ctl_member members[] = {{"path", CTL_TEXT}, {"dry_run", CTL_FLAG}, {"copy", CTL_FLAG}, {"replace", CTL_FLAG}, {NULL, CTL_ANY}};
	struct err e = {0};
	struct slice path;
	if (!ctl__body_has_only(r, members))
		return;
	if (!json_text(r->body, "path").len)
		err_set(&e, ERR_USAGE, "path is the manifest's, absolute");
	else if (json_text(r->body, "path").ptr[0] != '/')
		err_set(&e, ERR_USAGE, "the path of a manifest is absolute");
	else if (json_is_true(r->body, "replace") && !json_is_true(r->body, "copy"))
		err_set(&e, ERR_USAGE, "replace is of a copy: without one nothing is deleted in the target");
	else if (!slice_dup(&r->arena, json_text(r->body, "path"), &path))
		err_nomem(&e);
	else if (come(r, (const char *)path.ptr, &e)) {
		struct ctl_op *op = ctl__op_of(r);
		struct whole *w = op ? whole_new(op, APPLY, "apply") : NULL;
		if (w && slice_dup(&op->arena, path, &path)) {
			w->path = (const char *)path.ptr;
			w->dry_run = json_is_true(r->body, "dry_run");
			w->stores = json_is_true(r->body, "copy") ? CTL_STORES_COPIED : json_member(r->body, "copy") ? CTL_STORES_LEFT
																										 : CTL_STORES_REFUSED;
			w->replace = json_is_true(r->body, "replace");
			ctl__op_ask(r, op, op->what);
		} else if (op) {
			fail(r, op, &e);
		}
		return;
	}
	ctl__answer_failed(r, &e);
}

bool ctl_apply_all(struct ctl *ctl)
{
	bool any = false;
	if (!ctl)
		return false;
	sys_mutex_lock(&ctl->lock);
	for (uint32_t i = 0; i < ctl->n_apps; i++) {
		struct ctl_app *app = ctl->apps[i];
		struct ctl_op *op = app->model && app->state && !app->hidden ? ctl__op_new(app) : NULL;
		any |= op != NULL;
		if (op && whole_new(op, APPLY, "apply (SIGHUP)")) {
			op->by_itself = true;
			ctl__op_start(op, op->what);
		} else {
			ctl__op_free(op);
		}
	}
	sys_mutex_unlock(&ctl->lock);
	return any;
}
