// A change of an app: the app as it will be, its record on the disk, and then in force; each change is one release (contract, section 4).
#include <stdio.h>

#include "app/app.h"
#include "ctl_int.h"
#include "serve/serve.h"

enum { MODEL_MEMORY = 256 << 20 };

void ctl_model_ref(struct ctl_model *m)
{
	__atomic_add_fetch(&m->refs, 1, __ATOMIC_RELAXED);
}

void ctl_model_unref(struct ctl_model *m)
{
	if (__atomic_sub_fetch(&m->refs, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	arena_release(&m->arena);
	mem_free(m);
}

bool ctl__change_load(struct ctl_op *op, struct slice live, struct ctl__change *ret, struct err *e)
{
	return ctl__change_load_from(op, NULL, live, ret, e);
}

bool ctl__change_load_from(struct ctl_op *op, const struct ctl_source *s, struct slice live, struct ctl__change *ret, struct err *e)
{
	const struct ctl_app_config *c = op->app->config;
	struct ctl_model *m = mem_zalloc(sizeof *m);
	*ret = (struct ctl__change){.live = live};
	if (!m)
		return err_nomem(e);
	m->refs = 1;
	arena_init(&m->arena, MODEL_MEMORY);
	ret->model = m;
	if (c->ops->load(c->user, &m->arena, s, live, &m->app, e))
		return true;
	ctl__change_end(op, ret);
	return false;
}

bool ctl__release_source(struct ctl_op *op, const struct ctl__release *r, struct ctl_source **ret, struct err *e)
{
	const struct ctl_app_config *c = op->app->config;
	struct slice folder;
	return ctl__manifest_folder(op->app->state, r->manifest, &op->arena, &folder, e) && c->ops->written(c->user, r->manifest->text, folder, ret, e);
}

bool ctl__change_record(struct ctl_op *op, struct ctl__change *c, const struct ctl__draft *more, struct err *e)
{
	struct ctl__draft d = more ? *more : (struct ctl__draft){.members = slice_of("", 0)};
	d.operation = op->number;
	d.what = op->what;
	d.live = c->live;
	return ctl__state_write(op->app->state, &d, &c->release, e);
}

bool ctl__change_write(struct ctl_op *op, struct ctl__change *c, const struct ctl__draft *more, struct err *e)
{
	return ctl__op_publish(op, e) && ctl__change_record(op, c, more, e);
}

void ctl__change_publish(struct ctl_op *op, struct ctl__change *c)
{
	struct ctl_app *app = op->app;
	struct ctl_model *before = app->model;
	sys_mutex_lock(&app->ctl->lock);
	ctl__state_publish(app->state, c->release);
	app->release = op->release = c->release->number;
	app->model = c->model;
	app->hidden = false;
	while (!app->model && app->shadows)
		ctl__shadow_set(app, app->shadows->link, NULL);
	if (c->kept) {
		mem_free(app->kept);
		app->kept = c->kept;
		app->n_kept = c->n_kept;
	}
	sys_mutex_unlock(&app->ctl->lock);
	serve_app_release(app->ctl->config.process, app->name, op->release);
	if (c->source)
		app->config->ops->take(app->config->user, c->source);
	if (before)
		ctl_model_unref(before);
	*c = (struct ctl__change){0};
}

void ctl__change_end(struct ctl_op *op, struct ctl__change *c)
{
	struct err e = {0};
	if (c->release && !ctl__state_abort(op->app->state, c->release, &e))
		serve_warn(op->app->ctl->config.process, "a release of %s that failed could not be taken out of the journal, and would be in force after a restart: %s", op->app->name,
			e.text);
	if (c->model)
		ctl_model_unref(c->model);
	if (c->source)
		op->app->config->ops->drop(c->source);
	mem_free(c->kept);
	*c = (struct ctl__change){0};
}

bool ctl__is_stopped(const struct ctl_op *op, struct err *e)
{
	err_set(e, ERR_REFUSED, "app %s is stopped", op->app->name);
	return err_hint(e, "tenon apply PATH starts it, and so does tenon undo %s", op->app->name);
}

// The members of its record.
static const struct json *read_members(struct arena *a, const struct ctl__release *r)
{
	struct buf b = {0};
	struct err e = {0};
	struct json *o;
	struct slice text;
	buf_printf(&b, "{\"release\":0%.*s}", SLICE_ARGS(r->members));
	bool ok = !b.failed && slice_dup(a, buf_view(&b), &text) && json_parse(a, text, &o, &e);
	buf_release(&b);
	return ok ? o : NULL;
}

bool ctl__release_is_whole(struct arena *a, const struct ctl__release *r)
{
	const struct json *o = r->members.len ? read_members(a, r) : NULL;
	return r->members.len && (!o || json_is_true(o, "whole"));  // out of memory: all of it goes back
}

// {"component": NAME, …} of that component, alone or in a list. NULL: there is none.
static const struct json *row_of(const struct json *rows, const char *component)
{
	const struct json *u = rows && rows->kind == JSON_ARRAY ? rows->first : rows;
	while (u && !slice_eq_str(json_text(u, "component"), component))
		u = rows->kind == JSON_ARRAY ? u->next : NULL;
	return u;
}

// Since a release the bytes of the component, or what of them was tried, became others.
static bool is_left(struct arena *a, const struct ctl__release *newest, const struct ctl__release *since, const char *component)
{
	bool left = false;
	for (const struct ctl__release *r = newest; r != since && !left; r = r->older) {
		const struct json *o = r->members.len ? read_members(a, r) : NULL;
		left = o && (row_of(json_member(o, "updated"), component) || row_of(json_member(o, "rolled_back"), component));
	}
	return left;
}

bool ctl__release_tried(struct arena *a, const struct ctl__release *newest, struct ctl__tried *ret)
{
	for (const struct ctl__release *r = newest; r; r = r->older) {
		const struct json *o = r->members.len ? read_members(a, r) : NULL, *tried = o ? json_member(o, "tried") : NULL;
		if (!tried)
			continue;
		*ret = (struct ctl__tried){.percent = (unsigned)json_number(tried, "percent", 0)};
		snprintf(ret->component, sizeof ret->component, "%.*s", SLICE_ARGS(json_text(tried, "component")));
		snprintf(ret->sha256, sizeof ret->sha256, "%.*s", SLICE_ARGS(json_text(tried, "sha256")));
		return ret->percent > 0 && ret->percent < 100 && ret->component[0] && !is_left(a, newest, r, ret->component);
	}
	return false;
}

// The bytes before, of {"component": NAME, "replaced": SHA, …}.
static bool find_replaced(struct arena *a, const struct json *rows, const char *component, struct slice *ret)
{
	const struct json *u = row_of(rows, component);
	return u && json_text(u, "replaced").len && slice_dup(a, json_text(u, "replaced"), ret);
}

// The way back over an app's releases, the newest first: an update that was rolled back since is none.
struct way_back {
	VEC(struct slice)
	gone;  // bytes that were rolled back, and whose update wasn't come across yet; empty: of builds that didn't write which
	struct slice passed;     // that were taken back while others took their place: who replaced them replaced what they had
};

static bool was_rolled_back(struct way_back *w, struct slice sha256)
{
	for (uint32_t i = w->gone.len; i-- > 0;)
		if (!w->gone.ptr[i].len || slice_eq(w->gone.ptr[i], sha256)) {
			w->gone.ptr[i] = w->gone.ptr[--w->gone.len];
			return true;
		}
	return false;
}

// Whether an update is one to go back over.
static bool is_way_back(struct arena *a, struct way_back *w, struct slice sha256, struct slice replaced)
{
	bool passes = w->passed.len && slice_eq(replaced, w->passed);
	if (!was_rolled_back(w, sha256))
		return !passes;
	if (passes)
		(void)VEC_PUSH(a, &w->gone, w->passed, UINT32_MAX);
	return false;
}

bool ctl__release_updated(struct arena *a, const struct ctl__release *newest, const char *component, uint64_t last, struct ctl__updated *ret)
{
	struct way_back w = {0};
	for (const struct ctl__release *r = newest; r; r = r->older) {
		const struct json *o = r->members.len ? read_members(a, r) : NULL;
		const struct json *back = o ? row_of(json_member(o, "rolled_back"), component) : NULL, *u = o ? row_of(json_member(o, "updated"), component) : NULL;
		const struct json *tried = o ? row_of(json_member(o, "tried"), component) : NULL;
		if (back && json_is_true(back, "passed"))
			w.passed = json_text(back, "sha256");
		else if (back && r->number <= last && !VEC_PUSH(a, &w.gone, json_text(back, "sha256"), UINT32_MAX))
			return false;
		if (tried)
			(void)was_rolled_back(&w, json_text(tried, "sha256"));  // that was no update
		if (r->number > last || !u || !json_text(u, "replaced").len || !is_way_back(a, &w, json_text(u, "sha256"), json_text(u, "replaced")))
			continue;
		ret->release = r->number;
		ret->may_be_more = json_member(o, "updated")->kind == JSON_ARRAY;
		return slice_dup(a, json_text(u, "sha256"), &ret->sha256) && slice_dup(a, json_text(u, "replaced"), &ret->replaced);
	}
	return false;
}

bool ctl__release_given(struct arena *a, const struct ctl__release *newest, const char *component, struct slice *ret_sha256, uint64_t *ret_time_ms)
{
	for (const struct ctl__release *r = newest; r; r = r->older) {
		const struct json *o = r->members.len ? read_members(a, r) : NULL, *u = o ? row_of(json_member(o, "updated"), component) : NULL;
		if (o && (row_of(json_member(o, "rolled_back"), component) || row_of(json_member(o, "tried"), component)))
			return false;
		if (!u)
			continue;
		*ret_time_ms = r->time_ms;
		return slice_dup(a, json_text(u, "sha256"), ret_sha256);
	}
	return false;
}

bool ctl__release_had(struct arena *a, const struct ctl__release *r, const char *component, struct slice *ret)
{
	const struct json *o = read_members(a, r);
	return o && (find_replaced(a, json_member(o, "updated"), component, ret) || find_replaced(a, json_member(o, "gone"), component, ret));
}
