// What runs becomes what another model says: made ready beside what serves, written, in force. An operation's thread asks, thread 0 does it.
#include "app/app.h"
#include "ctl_int.h"
#include "serve/serve.h"

// Something that thread 0 does, perhaps later. Within the lock: over.
struct asked {
	struct ctl_op *op;
	const struct ctl_turn *turn;
	void *prepared;
	unsigned percent;
	enum ctl__versions what;
	const char *component;
	struct serve_numbers numbers;
	const struct serve_update *update;
	uint64_t left_ns;
	struct err err;
	bool over;
};

static void set_over(struct asked *a)
{
	struct ctl *ctl = a->op->app->ctl;
	sys_mutex_lock(&ctl->lock);
	a->over = true;
	sys_cond_broadcast(&ctl->moved);
	sys_mutex_unlock(&ctl->lock);
}

static void have_done(struct asked *a, void (*fn)(void *arg))
{
	struct ctl *ctl = a->op->app->ctl;
	ctl__on_main(ctl, fn, a);
	sys_mutex_lock(&ctl->lock);
	while (!a->over)
		sys_cond_wait(&ctl->moved, &ctl->lock);
	sys_mutex_unlock(&ctl->lock);
}

// ---- components and routes -----------------------------------------------------------------------------------------------------------------------

static void on_ready(void *ctx, void *prepared, const struct err *e)
{
	struct asked *a = ctx;
	a->prepared = prepared;
	a->err = *e;
	set_over(a);
}

static void prepare(void *arg)
{
	struct asked *a = arg;
	const struct ctl_app_config *c = a->op->app->config;
	c->ops->prepare(c->user, a->turn, on_ready, a);
}

// Whose turn it is may wait for disks, for thread 0 and for stores that are copied. false: it was cancelled meanwhile.
static bool begin_turn(const struct ctl_op *op, struct err *e)
{
	struct ctl *ctl = op->app->ctl;
	sys_mutex_lock(&ctl->lock);
	while (ctl->turns && !op->cancel)
		sys_cond_wait(&ctl->moved, &ctl->lock);
	bool cancelled = op->cancel;
	ctl->turns |= !cancelled;
	sys_mutex_unlock(&ctl->lock);
	return !cancelled || err_set(e, ERR_REFUSED, "cancelled before load: nothing changed");
}

static void end_turn(struct ctl *ctl)
{
	sys_mutex_lock(&ctl->lock);
	ctl->turns = false;
	sys_cond_broadcast(&ctl->moved);
	sys_mutex_unlock(&ctl->lock);
}

// What is said of a change that failed: it is none of the client's machine, nor of a program that it ran.
static void be_refused(struct err *e)
{
	if (e->code != ERR_USAGE)
		e->code = ERR_REFUSED;
}

static void abandon(void *arg)
{
	struct asked *a = arg;
	const struct ctl_app_config *c = a->op->app->config;
	c->ops->abandon(c->user, a->prepared);
}

void ctl__turn_abandon(struct ctl_op *op, void *prepared)
{
	struct asked a = {.op = op, .prepared = prepared};
	ctl__on_main(op->app->ctl, abandon, &a);
	end_turn(op->app->ctl);
}

// Named, whatever comes of it.
static void tell_imports(struct ctl_op *op, const struct ctl_imports *more, bool refused)
{
	if (!more->list.len || more->list.failed)
		return;
	sys_mutex_lock(&op->app->ctl->lock);
	buf_printf(&op->more, "%s,\"imports\":[%.*s]", refused ? ",\"unaccepted\":true" : "", SLICE_ARGS(buf_view(&more->list)));
	sys_mutex_unlock(&op->app->ctl->lock);
}

static bool refuse_imports(const struct ctl_imports *more, struct err *e)
{
	err_set(e, ERR_REFUSED, "the version imports what the one in force does not, and reaches something by it: %.*s%s", SLICE_ARGS(buf_view(&more->text)),
		!more->text.failed ? "" : more->text.len ? ", ..."
												 : "no memory to say what");
	return err_hint(e, "--accept takes it");
}

bool ctl__turn_prepare(struct ctl_op *op, const struct ctl_turn *turn, void **ret, struct err *e)
{
	struct ctl_imports more = {.list = {.max = 256 << 10}, .text = {.max = 600}};
	struct ctl_turn t = *turn;
	struct asked a = {.op = op, .turn = &t};
	t.more = &more;
	if (!ctl__op_step(op, "load", e) || !begin_turn(op, e))
		return false;
	have_done(&a, prepare);
	bool refused = a.prepared && t.guarded && (more.text.len || more.text.failed);  // failed: not even the first one found memory
	tell_imports(op, &more, refused);
	if (refused) {
		refuse_imports(&more, e);
		ctl__turn_abandon(op, a.prepared);
	} else if (!a.prepared) {
		end_turn(op->app->ctl);
		*e = a.err;
		be_refused(e);
	}
	buf_release(&more.list);
	buf_release(&more.text);
	*ret = a.prepared;
	return a.prepared && !refused;
}

static void on_committed(void *ctx)
{
	set_over(ctx);
}

static void commit(void *arg)
{
	struct asked *a = arg;
	const struct ctl_app_config *c = a->op->app->config;
	c->ops->commit(c->user, a->prepared, a->percent, on_committed, a);
}

void ctl__turn_commit(struct ctl_op *op, void *prepared, unsigned percent)
{
	struct asked a = {.op = op, .prepared = prepared, .percent = percent};
	ctl__op_tell(op, "take-up");
	have_done(&a, commit);
	end_turn(op->app->ctl);
}

// ---- versions ------------------------------------------------------------------------------------------------------------------------------------

static void on_changed(void *ctx, const struct err *e)
{
	struct asked *a = ctx;
	a->err = *e;
	set_over(a);
}

static void change_versions(void *arg)
{
	struct asked *a = arg;
	struct serve_service *s = serve_service_find(a->op->app->ctl->config.process, a->op->app->name, a->component);
	bool ok = s || err_set(&a->err, ERR_USAGE, "the app has no component '%s'", a->component);
	if (ok && a->what == CTL_SPLIT)
		ok = serve_service_split(s, a->percent, on_changed, a, &a->err);
	else if (ok && a->what == CTL_PROMOTE)
		ok = serve_service_promote(s, on_changed, a, &a->err);
	else if (ok)
		ok = serve_service_rollback(s, on_changed, a, &a->err);
	if (!ok)
		set_over(a);
}

bool ctl__turn_versions(struct ctl_op *op, enum ctl__versions what, const char *component, unsigned percent, struct err *e)
{
	struct asked a = {.op = op, .what = what, .component = component, .percent = percent};
	ctl__op_tell(op, "take-up");
	have_done(&a, change_versions);
	if (a.err.code == ERR_NONE)
		return true;
	*e = a.err;
	return false;
}

static void find_numbers(void *arg)
{
	struct asked *a = arg;
	const struct serve_service *s = serve_service_find(a->op->app->ctl->config.process, a->op->app->name, a->component);
	if (s)
		a->numbers = serve_service_numbers(s);
	set_over(a);
}

void ctl__turn_numbers(struct ctl_op *op, const char *component, uint64_t *ret_in_force, uint64_t *ret_tried)
{
	struct asked a = {.op = op, .component = component};
	have_done(&a, find_numbers);
	*ret_in_force = a.numbers.in_force;
	*ret_tried = a.numbers.tried;
}

static void watch(void *arg)
{
	struct asked *a = arg;
	struct serve_service *s = serve_service_find(a->op->app->ctl->config.process, a->op->app->name, a->component);
	if (s)
		serve_service_watch(s, a->update, a->left_ns);
	set_over(a);
}

void ctl__turn_watch(struct ctl_op *op, const char *component, const struct serve_update *u, uint64_t left_ns)
{
	struct asked a = {.op = op, .component = component, .update = u, .left_ns = left_ns};
	have_done(&a, watch);
}

// ---- what differs, told ----------------------------------------------------------------------------------------------------------------------------

enum { TOLD_MAX = 500 };

static void put_text(struct buf *b, const char *name, const char *text)
{
	if (!text)
		return;
	buf_printf(b, ",\"%s\":", name);
	buf_put_json_string(b, slice_sub(slice_str(text), 0, 1000));
}

static void put_change(struct buf *b, const struct app_change *c)
{
	static const char *const parts[] = {
#define PART(name, word) [APP_PART_##name] = word,
		PART(APP, "app") PART(HTTP, "http") PART(VARIABLE, "variable") PART(COMPONENT, "component") PART(LINK, "link") PART(HTTP_TRIGGER, "trigger.http")
			PART(CRON, "trigger.cron") PART(START, "trigger.start") PART(COMMAND, "trigger.command")
#undef PART
	};
	static const char *const hows[] = {[APP_ADDED] = "added", [APP_REMOVED] = "removed", [APP_CHANGED] = "changed"};
	buf_printf(b, "{\"part\":\"%s\",\"how\":\"%s\"", parts[c->part], hows[c->how]);
	put_text(b, "name", c->name);
	put_text(b, "key", c->key);
	put_text(b, "before", c->before);
	put_text(b, "after", c->after);
	buf_put_byte(b, '}');
}

// An app that is not there differs as a whole.
static bool find_changes(struct arena *a, const struct ctl_op *op, const struct app *to, const struct app_change **ret, uint32_t *ret_n, struct err *e)
{
	const struct app *from = op->app->model ? op->app->model->app : NULL;
	static const struct app_change came = {.part = APP_PART_APP, .how = APP_ADDED}, went = {.part = APP_PART_APP, .how = APP_REMOVED};
	*ret = to ? &came : &went;
	*ret_n = (from != NULL) != (to != NULL);
	return !from || !to || app_diff(a, from, to, ret, ret_n, e);
}

static bool tell_changes(struct ctl_op *op, const struct app *to, const struct ctl__bytes *bytes, bool *ret_any, struct err *e)
{
	const struct app_change *list;
	struct buf b = {.max = 512 << 10};
	struct arena a;  // an operation that is over is kept for a while, with what lies in its own
	uint32_t n;
	arena_init(&a, 0);
	if (!find_changes(&a, op, to, &list, &n, e)) {
		arena_release(&a);
		return false;
	}
	*ret_any = n || bytes->n_replaced;
	buf_put_str(&b, ",\"changes\":[");
	for (uint32_t i = 0; i < n && i < TOLD_MAX; i++) {
		buf_put_str(&b, i ? "," : "");
		put_change(&b, &list[i]);
	}
	for (uint32_t i = 0; i < bytes->n_replaced; i++) {
		buf_put_str(&b, n || i ? "," : "");
		put_change(&b, &(struct app_change){APP_PART_COMPONENT, APP_CHANGED, bytes->replaced[i], "bytes", NULL, NULL});
	}
	buf_put_byte(&b, ']');
	sys_mutex_lock(&op->app->ctl->lock);
	if (!b.failed)
		buf_put_slice(&op->more, buf_view(&b));
	sys_mutex_unlock(&op->app->ctl->lock);
	buf_release(&b);
	arena_release(&a);
	return true;
}

// ---- the whole -----------------------------------------------------------------------------------------------------------------------------------

// A manifest of a source as app_print has it, without live changes, and where it lies: what those of later releases are laid over. In the operation's arena.
struct manifest {
	struct slice text, folder;
};

static bool print_manifest(struct ctl_op *op, const struct ctl_source *s, struct manifest *ret, struct err *e)
{
	struct ctl__change plain;
	struct buf b = {.max = 4 << 20};
	if (!ctl__change_load_from(op, s, slice_of("", 0), &plain, e))
		return false;
	bool ok = (app_print(plain.model->app, &b) && slice_dup(&op->arena, buf_view(&b), &ret->text) &&
				  slice_dup(&op->arena, slice_str(plain.model->app->root), &ret->folder)) ||
		err_nomem(e);
	buf_release(&b);
	ctl__change_end(op, &plain);
	return ok;
}

// What was in force last of an app that is stopped, or that this process didn't begin with; no model: nothing was.
static bool load_last(struct ctl_op *op, struct ctl__change *ret, struct err *e)
{
	const struct ctl_app_config *c = op->app->config;
	const struct ctl__release *last = op->app->state->newest;
	struct ctl_source *over = NULL;
	struct slice live;
	*ret = (struct ctl__change){0};
	if (op->app->model || !last)
		return true;
	if (!slice_dup(&op->arena, last->live, &live))
		return err_nomem(e);
	bool ok = (!last->manifest || ctl__release_source(op, last, &over, e)) && ctl__change_load_from(op, over, live, ret, e);
	if (over)
		c->ops->drop(over);
	return ok || err_note(e, "what was in force before app %s was stopped", op->app->name);
}

// What there will be is known; it is made ready, written, in force.
static bool turn_from(struct ctl_op *op, const struct ctl__aim *aim, struct ctl__change *c, const struct ctl__bytes *bytes, struct ctl_model *was,
	const struct manifest *manifest, struct err *e)
{
	struct ctl_app *app = op->app;
	struct buf members = {0};
	void *prepared;
	struct ctl__moves moves = {.copy = aim->stores == CTL_STORES_COPIED, .replace = aim->replace, .dry_run = aim->dry_run, .by_manifest = aim->source != NULL};
	if (!ctl__link_moves(op, c->model, &moves, e) || (moves.n && aim->stores == CTL_STORES_REFUSED && !ctl__link_refuse(op, &moves, e)))
		return false;
	struct ctl_as_loaded *as_loaded = NULL;
	uint32_t n_as_loaded = 0;
	if (!aim->source && !ctl__bytes_as_loaded(op, c, &as_loaded, &n_as_loaded, e))
		return false;
	const struct ctl_turn t = {.process = app->ctl->config.process,
		.from = app->model,
		.to = c->model,
		.moved = moves.names,
		.n_moved = moves.n,
		.was = was,
		.busy = app->tried.component[0] ? app->tried.component : NULL,
		.replaced = bytes->replaced,
		.n_replaced = bytes->n_replaced,
		.as_loaded = as_loaded,
		.n_as_loaded = n_as_loaded,
		.guarded = aim->guarded,
		.others = bytes->others,
		.n_others = bytes->n_others,
		.updates = aim->source || aim->updates};
	if (!ctl__turn_prepare(op, &t, &prepared, e))
		return false;
	buf_put_slice(&members, aim->members);
	if (aim->source)
		buf_put_slice(&members, buf_view(&bytes->updated));
	buf_put_slice(&members, buf_view(&bytes->gone));
	buf_put_str(&members, moves.n ? ",\"whole\":true" : "");
	const struct ctl__draft d = {.members = buf_view(&members), .manifest = manifest->text, .folder = manifest->folder, .stopped = aim->stops};
	const struct app *to = c->model ? c->model->app : NULL;
	bool ok = (!members.failed || err_nomem(e)) && (!aim->source || ctl__bytes_are_as_compared(to, c->kept, c->n_kept, e)) &&
		ctl__bytes_are_as_loaded(to, as_loaded, n_as_loaded, e);
	if (moves.n)
		ok = ok && ctl__link_move_with(op, &moves, c, &d, e);
	else
		ok = ok && (aim->dry_run || (ctl__op_step(op, "publish", e) && ctl__change_write(op, c, &d, e)));
	bool goes = ok && !aim->dry_run;
	if (goes) {
		ctl__turn_commit(op, prepared, 100);
		ctl__change_publish(op, c);
		ctl__blobs_trim(app);
	} else {
		ctl__turn_abandon(op, prepared);
	}
	buf_release(&members);
	return ok;
}

static bool turn_to(struct ctl_op *op, const struct ctl__aim *aim, struct ctl__change *c, const struct ctl__bytes *bytes, const struct manifest *manifest,
	struct err *e)
{
	struct ctl__change last;
	if (!load_last(op, &last, e))
		return false;
	bool ok = turn_from(op, aim, c, bytes, last.model, manifest, e);
	ctl__change_end(op, &last);
	return ok;
}

static bool is_as_it_was(const struct ctl_app *app, const struct ctl__aim *aim, const struct manifest *m)
{
	const struct ctl__release *r = app->state->newest;
	return app->model && r && r->live.len == 0 && aim->live.len == 0 && ctl__manifest_is(app->state, r->manifest, m->text, m->folder);
}

bool ctl__turn(struct ctl_op *op, const struct ctl__aim *aim, struct err *e)
{
	struct ctl__change c = {.source = aim->source, .live = aim->live};
	struct ctl__bytes bytes = {0};
	struct manifest manifest = {0};
	bool any;
	bool ok = ctl__op_step(op, "check", e);
	if (ok && !aim->stops) {
		ok = ctl__change_load_from(op, aim->source, aim->live, &c, e);
		c.source = aim->source;
	}
	ok = ok && (!aim->source || print_manifest(op, aim->source, &manifest, e)) &&
		ctl__bytes_compare(op, c.model ? c.model->app : NULL, aim->source != NULL, &bytes, e) && tell_changes(op, c.model ? c.model->app : NULL, &bytes, &any, e);
	c.kept = bytes.kept;
	c.n_kept = bytes.n_kept;
	bytes.kept = NULL;
	if (ok && aim->source && !any && is_as_it_was(op->app, aim, &manifest))
		op->release = op->app->release;
	else
		ok = ok && turn_to(op, aim, &c, &bytes, &manifest, e);
	if (!ok)
		be_refused(e);
	ctl__bytes_release(&bytes);
	ctl__change_end(op, &c);
	return ok;
}
