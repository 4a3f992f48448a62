// POST /v1/apps/{app}/links/{link}: what a link leads to changes, while it is used (contract, section 3).
//
// An operation's thread makes the app as it will be, has thread 0 move the store (link_move_start), and writes the record in between, when the move asks for it:
// the disk is waited for here, not there. What goes on on thread 0 is told within the lock.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "app/app.h"
#include "ctl_int.h"
#include "link/link.h"
#include "serve/serve.h"

struct change_ask {
	const char *link, *target;  // target NULL: undo
	bool copy, replace, dry_run, discard, shadows, promote;
	unsigned percent;  // of a shadow; 0: it ends
	uint64_t max_pause_ns, limit_ns;
};

// ---- targets -----------------------------------------------------------------------------------------------------------------------------------

// A file by its one name, by whatever way it is reached: who has it under another one shares it all the same. One that isn't there: by that of its folder.
static void put_file(const char *path, struct buf *b)
{
	const char *slash = strrchr(path, '/');
	struct buf folder = {0};
	buf_put_slice(&folder, slash ? slice_of(path, (size_t)(slash - path) + 1) : SLICE_LIT("./"));
	buf_put_byte(&folder, 0);
	char *whole = realpath(path, NULL), *real = whole || folder.failed ? NULL : realpath((const char *)folder.ptr, NULL);
	if (whole || !real)
		buf_put_str(b, whole ? whole : path);
	else
		buf_printf(b, "%s%s%s", real, real[1] ? "/" : "", slash ? slash + 1 : path);
	buf_release(&folder);
	free(whole);
	free(real);
}

static bool print_target(const struct app_link *l, struct buf *b)
{
	if (l->type.value != APP_LINK_FILE) {
		buf_put_str(b, l->url.text ? l->url.text : "memory:");
	} else {
		buf_put_str(b, "file:");
		put_file(l->file ? l->file : "", b);
	}
	return !b->failed;
}

bool ctl_link_target(struct arena *a, const struct app_link *l, struct link_target *ret, struct err *e)
{
	char *folder = realpath(".", NULL);
	struct buf b = {0};
	bool printed = (folder || err_set_errno(e, errno, "the current folder")) && (print_target(l, &b) || err_nomem(e));
	bool ok = printed && link_target_parse(a, buf_view(&b), slice_str(folder), ret, e) && link_target_check(ret, e);
	if (printed && !ok && e && e->code == ERR_USAGE && l->url.is_secret) {  // what is wrong would be told
		struct buf shown = {0};
		app_put_text(&shown, &l->url);
		err_clear(e);
		err_set(e, ERR_USAGE, "link %s: '%.*s' is no target with the values of its variables", l->item.name, SLICE_ARGS(slice_sub(buf_view(&shown), 0, 200)));
		buf_release(&shown);
	}
	free(folder);
	buf_release(&b);
	return ok;
}

bool ctl_link_has_moved(struct arena *a, const struct app_link *from, const struct app_link *to, bool *ret, struct err *e)
{
	struct link_target before, after;
	*ret = false;
	if (!app_link_is_store(from) || !app_link_is_store(to))
		return true;
	if (!ctl_link_target(a, from, &before, e) || !ctl_link_target(a, to, &after, e))
		return false;
	*ret = !link_target_same(&before, &after);
	return true;
}

static void put_row(struct buf *b, const char *key, struct slice value)
{
	buf_printf(b, "%s = \"", key);
	for (size_t i = 0; i < value.len; i++)
		buf_printf(b, value.ptr[i] == '"' || value.ptr[i] == '\\' ? "\\%c" : value.ptr[i] < 0x20 || value.ptr[i] == 0x7f ? "\\u%04x"
																														 : "%c",
			value.ptr[i]);
	buf_put_str(b, "\"\n");
}

static bool parse_target(struct arena *a, const char *text, struct link_target *ret, struct err *e)
{
	if (!link_target_parse(a, slice_str(text), slice_of("", 0), ret, e))
		return false;
	if (ret->kind != LINK_TARGET_STORE)
		return err_set(e, ERR_USAGE, "'%s' is no store: a store moves to another one", text);
	if (!ret->has_password || ret->password_is_reference)
		return true;
	err_set(e, ERR_REFUSED, "a password is not written into the journal");
	return err_hint(e, "give it as a secret variable of the manifest: %.*s://%s${name}@HOST", (int)strcspn(text, ":"), text, ret->user.len ? "USER:" : "");
}

// The table of the link as the target has it: what other types have goes.
bool ctl__link_table(struct ctl_op *op, const char *link, const char *target, struct buf *b, struct err *e)
{
	struct link_target t;
	struct slice text = slice_str(target), none = SLICE_LIT("unset");
	if (!parse_target(&op->arena, target, &t, e))
		return false;
	bool file = strcmp(t.provider->type, "file") == 0, memory = strcmp(t.provider->type, "memory") == 0, nats = strcmp(t.provider->type, "nats") == 0;
	buf_printf(b, "[link.%s]\ntype = \"%s\"\n", link, t.provider->type);
	put_row(b, "url", file || (memory && !t.name.len) ? none : text);
	put_row(b, "path", file ? t.path : none);
	if (file || memory || nats)
		put_row(b, "pool", none);
	return !b->failed || err_nomem(e);
}

// ---- shadows -----------------------------------------------------------------------------------------------------------------------------------

// It went with the link that it was of, where that was made anew since.
static bool is_shadowed(const struct ctl_app *app, const char *link)
{
	struct link_facts f;
	return app->config->ops && app->config->ops->link_facts(app->config->user, link, &f) && f.shadow.percent > 0;
}

// As it was given; copied. NULL: there is none, or memory is out.
static const char *shadow_of(struct ctl_op *op, const char *link)
{
	struct ctl_app *app = op->app;
	struct slice copy = {0};
	sys_mutex_lock(&app->ctl->lock);
	const struct ctl__shadow *x = app->shadows;
	while (x && strcmp(x->link, link) != 0)
		x = x->next;
	bool ok = x && slice_dup(&op->arena, slice_str(x->target), &copy);
	sys_mutex_unlock(&app->ctl->lock);
	return ok && is_shadowed(app, link) ? (const char *)copy.ptr : NULL;
}

// It may have changed or gone while this waited.
static bool is_shadow(struct ctl_op *op, const char *link, const char *target)
{
	const char *now = shadow_of(op, link);
	return now && strcmp(now, target) == 0;
}

struct shading {
	const struct ctl_op *op;
	const struct change_ask *ask;
	const struct link_target *target;
	struct err *e;
	bool ok;
};

static void shade_on_main(void *arg)
{
	struct shading *s = arg;
	const struct ctl_app_config *c = s->op->app->config;
	struct link *l = c->ops->link(c->user, s->ask->link);
	s->ok = l ? link_shadow(l, s->target, s->ask->percent, s->e) : err_set(s->e, ERR_REFUSED, "@%s is no store", s->ask->link);
}

// Nothing of it lasts: a restart, like a change of the link, ends it.
static bool shade(struct ctl_op *op, const struct change_ask *ask, const struct link_target *t, struct err *e)
{
	struct shading s = {op, ask, t, e, false};
	ctl__on_main(op->app->ctl, shade_on_main, &s);
	if (!s.ok) {
		e->code = e->code == ERR_ENV ? ERR_REFUSED : e->code;
		return false;
	}
	sys_mutex_lock(&op->app->ctl->lock);
	ctl__shadow_set(op->app, ask->link, ask->percent ? ask->target : NULL);
	sys_mutex_unlock(&op->app->ctl->lock);
	return true;
}

// ---- who moves ---------------------------------------------------------------------------------------------------------------------------------

struct sharing {
	struct ctl_op *op;
	const char *link;
	struct slice **ret;
	uint32_t *ret_n;
	bool ok;
};

static void share_on_main(void *arg)
{
	struct sharing *s = arg;
	const struct ctl_app_config *c = s->op->app->config;
	const struct link *l = c->ops->link(c->user, s->link);
	s->ok = !l || link_sharers(l, &s->op->arena, s->ret, s->ret_n);
}

bool ctl__link_sharers(struct ctl_op *op, const char *link, struct slice **ret, uint32_t *ret_n, struct err *e)
{
	struct sharing s = {op, link, ret, ret_n, false};
	*ret_n = 0;
	ctl__on_main(op->app->ctl, share_on_main, &s);
	return s.ok || err_nomem(e);
}

// A store moves for all links of the app that lead to it; an undo takes back those that moved then.
struct group {
	const char *link;
	struct slice *with;  // further ones
	uint32_t n_with;
};

static const char *name_in(const struct group *g, uint32_t i)
{
	return i ? (const char *)g->with[i - 1].ptr : g->link;
}

static bool find_group(struct ctl_op *op, const char *link, const struct ctl__release *of, struct group *ret, struct err *e)
{
	struct slice *all;
	uint32_t n;
	*ret = (struct group){.link = link};
	if (!ctl__link_sharers(op, link, &all, &n, e))
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!of || ctl__release_moved(of, (const char *)all[i].ptr))
			all[ret->n_with++] = all[i];
	ret->with = all;
	return true;
}

static uint64_t next_epoch(const struct ctl_op *op, const struct group *g)
{
	uint64_t epoch = 0;
	for (uint32_t i = 0; i <= g->n_with; i++)
		epoch = max_u64(epoch, ctl_state_epoch(op->app->state, name_in(g, i)));
	return epoch + 1;
}

// Each with a blank behind it, in the operation's arena.
static bool print_with(struct ctl_op *op, const struct group *g, struct slice *ret, struct err *e)
{
	struct buf b = {0};
	for (uint32_t i = 0; i < g->n_with; i++)
		buf_printf(&b, "%.*s ", SLICE_ARGS(g->with[i]));
	bool ok = !b.failed && slice_dup(&op->arena, buf_view(&b), ret);
	buf_release(&b);
	return ok || err_nomem(e);
}

// ---- what will be in force --------------------------------------------------------------------------------------------------------------------

static bool live_with_target(struct ctl_op *op, const struct change_ask *ask, struct group *ret_group, struct slice *ret, struct err *e)
{
	bool ok = find_group(op, ask->link, NULL, ret_group, e);
	*ret = ctl_state_live(op->app->state);
	for (uint32_t i = 0; ok && i <= ret_group->n_with; i++) {
		struct buf b = {0};
		ok = ctl__link_table(op, name_in(ret_group, i), ask->target, &b, e) &&
			app_live_take(&op->arena, *ret, slice_of("", 0), "link", name_in(ret_group, i), ret, e) && app_live_add(&op->arena, *ret, buf_view(&b), ret, e);
		buf_release(&b);
	}
	return ok;
}

// That of before its last change. *ret_copy: that one was a copy.
static bool live_of_before(struct ctl_op *op, const struct change_ask *ask, struct group *ret_group, struct slice *ret, bool *ret_copy, struct err *e)
{
	const struct ctl__release *r = ctl__state_link(op->app->state, ask->link);
	if (!r || !r->older)
		return err_set(e, ERR_REFUSED, "there is no change of @%s to undo", ask->link);
	if (r->manifest != r->older->manifest || ctl__release_is_whole(&op->arena, r)) {
		err_set(e, ERR_REFUSED, "release %llu changed more than @%s", (unsigned long long)r->number, ask->link);
		return r == op->app->state->newest ? err_hint(e, "tenon undo takes all of it back") : err_hint(e, "tenon link @%s TARGET leads it to another store", ask->link);
	}
	*ret_copy = r->copy;
	bool ok = find_group(op, ask->link, r, ret_group, e);
	*ret = ctl_state_live(op->app->state);
	for (uint32_t i = 0; ok && i <= ret_group->n_with; i++)
		ok = app_live_take(&op->arena, *ret, r->older->live, "link", name_in(ret_group, i), ret, e);
	return ok;
}

// What all of them will lead to.
static bool find_target(struct ctl_op *op, const struct app *app, const struct group *g, struct link_target *ret, struct err *e)
{
	if (!ctl_link_target(&op->arena, app_link_find(app, g->link), ret, e))
		return false;
	for (uint32_t i = 1; i <= g->n_with; i++) {
		const struct app_link *l = app_link_find(app, name_in(g, i));
		struct link_target t;
		if (!l || !ctl_link_target(&op->arena, l, &t, e))
			return e->code != ERR_NONE || err_set(e, ERR_REFUSED, "the app has no link @%s any more", name_in(g, i));
		if (!slice_eq(t.text, ret->text))
			return err_set(e, ERR_REFUSED, "@%s leads to the store of @%s, and would lead to %.*s: links to one store move together", name_in(g, i), g->link, SLICE_ARGS(t.text));
	}
	return true;
}

// ---- the move -----------------------------------------------------------------------------------------------------------------------------------

struct moving {
	struct ctl_op *op;
	const struct change_ask *ask;
	struct link_move_config config;
	struct link_target target;
	struct group group;
	struct slice with;  // of the group, as the journal's draft has it
	const struct ctl__draft *draft;  // what its record says besides; NULL: nothing
	// of thread 0, within the lock
	struct link_move *move;
	enum moving_state { MOVING, WRITES, OVER } state;
	struct link_move_facts facts;
	struct err err;
	struct loop_remote cancel;
	bool cancel_is_posted;
	// what the journal said, for thread 0
	struct err written;
};

static void set_state(struct moving *m, enum moving_state state)
{
	struct ctl *ctl = m->op->app->ctl;
	sys_mutex_lock(&ctl->lock);
	m->state = state;
	if (state == OVER)
		m->move = NULL;
	sys_cond_broadcast(&ctl->moved);
	sys_mutex_unlock(&ctl->lock);
}

static void on_step(void *ctx, const struct link_move_facts *f)
{
	struct moving *m = ctx;
	ctl__op_tell(m->op, link_step_words[f->step]);
}

static void on_journal(void *ctx, struct link_move *move)
{
	set_state(ctx, WRITES);
}

static bool on_publish(void *ctx)
{
	struct moving *m = ctx;
	struct err e = {0};
	return ctl__op_publish(m->op, &e);
}

static void on_done(void *ctx, const struct link_move_facts *f, const struct err *e)
{
	struct moving *m = ctx;
	m->facts = *f;
	m->err = *e;
	set_state(m, OVER);
}

static void start_on_main(void *arg)
{
	struct moving *m = arg;
	const struct ctl_app_config *c = m->op->app->config;
	struct link *l = c->ops->link(c->user, m->ask->link);
	struct link_move *move;
	if (!l)
		err_set(&m->err, ERR_REFUSED, "@%s is no store", m->ask->link);
	else if (link_move_start(l, &m->config, &move, &m->err)) {
		sys_mutex_lock(&m->op->app->ctl->lock);
		m->move = move;
		sys_mutex_unlock(&m->op->app->ctl->lock);
		return;
	}
	set_state(m, OVER);
}

static void written_on_main(void *arg)
{
	struct moving *m = arg;
	link_move_journalled(m->move, &m->written);
}

static void cancel_on_main(struct loop_remote *r)
{
	struct moving *m = CONTAINER_OF(r, struct moving, cancel);
	struct ctl *ctl = m->op->app->ctl;
	sys_mutex_lock(&ctl->lock);
	struct link_move *move = m->move;
	m->cancel_is_posted = false;
	sys_cond_broadcast(&ctl->moved);
	sys_mutex_unlock(&ctl->lock);
	if (move)
		link_move_cancel(move);
}

// Within the lock.
static void on_cancel(struct ctl_op *op)
{
	struct moving *m = op->of_cancel;
	if (!m->cancel_is_posted)
		loop_post_remote(serve_process_loop(op->app->ctl->config.process), &m->cancel);
	m->cancel_is_posted = true;
}

static void set_cancel(struct ctl_op *op, struct moving *m)
{
	struct ctl *ctl = op->app->ctl;
	sys_mutex_lock(&ctl->lock);
	op->of_cancel = m;
	op->on_cancel = m ? on_cancel : NULL;
	if (m && op->cancel)
		on_cancel(op);
	sys_mutex_unlock(&ctl->lock);
}

static enum moving_state wait_for_more(struct moving *m, enum moving_state state)
{
	struct ctl *ctl = m->op->app->ctl;
	sys_mutex_lock(&ctl->lock);
	while (m->state == state || (m->state == OVER && m->cancel_is_posted))
		sys_cond_wait(&ctl->moved, &ctl->lock);
	state = m->state;
	sys_mutex_unlock(&ctl->lock);
	return state;
}

static void tell_facts(struct ctl_op *op, const struct moving *m)
{
	const struct link_move_facts *f = &m->facts;
	sys_mutex_lock(&op->app->ctl->lock);
	op->has_epoch = true;
	op->epoch = f->epoch;
	op->keys = f->keys;
	op->pause_ns = f->pause_ns;
	ctl__put_with(&op->more, m->with);
	buf_printf(&op->more, ",\"target_keys\":%llu", (unsigned long long)f->target_keys);
	if (f->source_is_gone)
		buf_put_str(&op->more, ",\"source_is_gone\":true");
	else if (m->config.dry_run)
		buf_printf(&op->more, ",\"source_keys\":%llu", (unsigned long long)f->source_keys);
	if (m->config.copy)
		buf_printf(&op->more, ",\"rounds\":%u,\"noted\":%llu", f->rounds, (unsigned long long)f->noted);
	if (f->unmarked[0]) {
		buf_put_str(&op->more, ",\"unmarked\":");
		buf_put_json_string(&op->more, slice_str(f->unmarked));
	}
	if (m->ask->discard)
		buf_printf(&op->more, ",\"discarded\":%llu", (unsigned long long)f->discarded);
	sys_mutex_unlock(&op->app->ctl->lock);
}

static bool move(struct ctl_op *op, struct moving *m, struct ctl__change *change, struct err *e)
{
	struct ctl *ctl = op->app->ctl;
	m->cancel.fn = cancel_on_main;
	set_cancel(op, m);
	ctl__on_main(ctl, start_on_main, m);
	enum moving_state state = wait_for_more(m, MOVING);
	if (state == WRITES) {
		struct ctl__draft d = m->draft ? *m->draft : (struct ctl__draft){.members = slice_of("", 0)};
		d.link = m->ask->link;
		d.with = m->with;
		d.epoch = next_epoch(op, &m->group);
		d.copy = m->config.copy;
		(void)ctl__change_record(op, change, &d, &m->written);
		ctl__on_main(ctl, written_on_main, m);
		wait_for_more(m, WRITES);
	}
	set_cancel(op, NULL);
	wait_for_more(m, MOVING);  // until no wish to cancel is on its way
	tell_facts(op, m);
	if (m->err.code == ERR_NONE)
		return true;
	*e = m->err;
	return false;
}

// The group is known. `to`: the app as it will be.
static void configure(struct moving *m, const struct app *to)
{
	const struct app_link *l = app_link_find(to, m->group.link);
	const struct change_ask *ask = m->ask;
	struct link_move_config *c = &m->config;
	*c = (struct link_move_config){.copy = c->copy && !ask->discard, .replace = ask->replace, .dry_run = ask->dry_run, .discard = ask->discard};
	c->target = &m->target;
	c->with = m->group.with;
	c->n_with = m->group.n_with;
	c->pool = l ? (uint32_t)min_u64(l->pool.value, UINT32_MAX) : 0;
	c->max_pause_ns = ask->max_pause_ns;
	c->limit_ns = ask->limit_ns;
	c->ctx = m;
	c->on_step = on_step;
	c->journal = on_journal;
	c->publish = on_publish;
	c->done = on_done;
}

static void tell_target(struct ctl_op *op, const struct moving *m)
{
	sys_mutex_lock(&op->app->ctl->lock);
	op->target = (const char *)m->target.text.ptr;
	sys_mutex_unlock(&op->app->ctl->lock);
}

static void end_shadows(struct ctl_op *op, const struct group *g)
{
	sys_mutex_lock(&op->app->ctl->lock);
	for (uint32_t i = 0; i <= g->n_with; i++)
		ctl__shadow_set(op->app, name_in(g, i), NULL);
	sys_mutex_unlock(&op->app->ctl->lock);
}

static bool run(struct ctl_op *op, struct err *e)
{
	const struct change_ask *ask = op->args;
	struct moving m = {.op = op, .ask = ask, .config.copy = ask->copy};
	struct ctl__change change;
	struct slice live;
	if (!op->app->model)
		return ctl__is_stopped(op, e);
	if (!app_link_find(op->app->model->app, ask->link))
		return app_no_link(op->app->model->app, ask->link, e);
	if (ask->promote && !is_shadow(op, ask->link, ask->target))
		return err_set(e, ERR_REFUSED, "%s is no shadow of @%s any more", ask->target, ask->link);
	if (ask->shadows && !ask->percent)
		return shade(op, ask, &m.target, e);
	if (!ask->target ? !live_of_before(op, ask, &m.group, &live, &m.config.copy, e) : !live_with_target(op, ask, &m.group, &live, e))
		return false;
	if (!print_with(op, &m.group, &m.with, e) || !ctl__change_load(op, live, &change, e))
		return false;
	configure(&m, change.model->app);
	bool ok = find_target(op, change.model->app, &m.group, &m.target, e);
	if (ok) {
		tell_target(op, &m);
		ok = ask->shadows ? shade(op, ask, &m.target, e) : move(op, &m, &change, e);
	}
	if (ok && !ask->shadows && change.release) {
		end_shadows(op, &m.group);
		ctl__change_publish(op, &change);
	}
	ctl__change_end(op, &change);
	return ok;
}

// ---- within another change -----------------------------------------------------------------------------------------------------------------------

static bool is_of_store(const struct app_change *c)
{
	return c->part == APP_PART_LINK && c->how == APP_CHANGED && (strcmp(c->key, "type") == 0 || strcmp(c->key, "url") == 0 || strcmp(c->key, "path") == 0);
}

bool ctl__link_moves(struct ctl_op *op, const struct ctl_model *to, struct ctl__moves *ret, struct err *e)
{
	const struct app *from = op->app->model ? op->app->model->app : NULL;
	const struct app_change *list;
	struct map seen;
	uint32_t n = 0;
	map_init(&seen, &op->arena);
	ret->to = to;
	if (from && to && !app_diff(&op->arena, from, to->app, &list, &n, e))
		return false;
	ret->names = ARENA_ARRAY(&op->arena, const char *, n + 1);
	if (!ret->names)
		return err_nomem(e);
	for (uint32_t i = 0; i < n; i++) {
		const char *name = list[i].name;
		bool moves = false, nomem = false;
		if (!is_of_store(&list[i]) || !map_insert(&seen, slice_str(name), 1, &nomem)) {  // its type and its path
			if (nomem)
				return err_nomem(e);
			continue;
		}
		if (!ctl_link_has_moved(&op->arena, app_link_find(from, name), app_link_find(to->app, name), &moves, e))
			return false;
		if (moves)
			ret->names[ret->n++] = name;
	}
	return true;
}

// All of them, from one store to one.
static bool be_one_group(struct ctl_op *op, const struct ctl__moves *moves, struct group *ret, struct err *e)
{
	struct group all;
	struct slice *with = ARENA_ARRAY(&op->arena, struct slice, moves->n);
	if (!with)
		return err_nomem(e);
	if (!find_group(op, moves->names[0], NULL, &all, e))
		return false;
	*ret = (struct group){.link = moves->names[0], .with = with};
	for (uint32_t i = 1; i < moves->n; i++) {
		uint32_t k = 0;
		while (k < all.n_with && !slice_eq_str(all.with[k], moves->names[i]))
			k++;
		if (k == all.n_with) {
			err_set(e, ERR_REFUSED, "the stores of @%s and @%s change both: one at a time", moves->names[0], moves->names[i]);
			return err_hint(e, "tenon link @%s TARGET changes one before", moves->names[i]);
		}
		with[ret->n_with++] = all.with[k];
	}
	return true;
}

bool ctl__link_move_with(struct ctl_op *op, const struct ctl__moves *moves, struct ctl__change *change, const struct ctl__draft *draft, struct err *e)
{
	const struct change_ask ask = {.link = moves->names[0], .target = "", .copy = moves->copy, .replace = moves->replace, .dry_run = moves->dry_run};
	struct moving m = {.op = op, .ask = &ask, .config.copy = moves->copy, .draft = draft};
	if (!be_one_group(op, moves, &m.group, e) || !print_with(op, &m.group, &m.with, e) || !find_target(op, moves->to->app, &m.group, &m.target, e))
		return false;
	configure(&m, moves->to->app);
	tell_target(op, &m);
	if (!move(op, &m, change, e))
		return false;
	if (change && change->release)
		end_shadows(op, &m.group);
	return true;
}

bool ctl__link_refuse(struct ctl_op *op, struct ctl__moves *moves, struct err *e)
{
	const struct change_ask ask = {.link = moves->names[0], .target = "", .dry_run = true};
	struct moving m = {.op = op, .ask = &ask};
	struct link_target before;
	const struct app_link *from = app_link_find(op->app->model->app, moves->names[0]);
	if (!be_one_group(op, moves, &m.group, e) || !print_with(op, &m.group, &m.with, e) || !find_target(op, moves->to->app, &m.group, &m.target, e) ||
		!ctl_link_target(&op->arena, from, &before, e))
		return false;
	configure(&m, moves->to->app);
	tell_target(op, &m);
	if (!move(op, &m, NULL, e))
		return false;
	if (m.facts.source_is_gone)
		err_set(e, ERR_REFUSED, "link %s leads to another store: %.*s does not answer, %.*s holds %llu keys", ask.link, SLICE_ARGS(before.text), SLICE_ARGS(m.target.text),
			(unsigned long long)m.facts.target_keys);
	else
		err_set(e, ERR_REFUSED, "link %s leads to another store: %.*s holds %llu keys, %.*s holds %llu", ask.link, SLICE_ARGS(before.text), (unsigned long long)m.facts.source_keys,
			SLICE_ARGS(m.target.text), (unsigned long long)m.facts.target_keys);
	if (moves->by_manifest)
		return err_hint(e, "tenon apply PATH --copy takes them along, --no-copy leaves them");
	struct slice target = m.target.has_password ? SLICE_LIT("TARGET") : m.target.text;
	return err_hint(e, "before: tenon link %s @%s %.*s, with --copy to take them along", op->app->name, ask.link, SLICE_ARGS(target));
}

// Of an operation that was asked for by another route.
static bool run_as(struct ctl_op *op, const struct change_ask *ask, struct err *e)
{
	const void *args = op->args;
	op->args = ask;
	bool ok = run(op, e);
	op->args = args;
	return ok;
}

bool ctl__link_move(struct ctl_op *op, const char *link, const char *target, bool dry_run, struct err *e)
{
	const struct change_ask ask = {.link = link, .target = target, .copy = true, .dry_run = dry_run};
	return run_as(op, &ask, e);
}

bool ctl__link_undo(struct ctl_op *op, const char *link, bool discard, bool dry_run, struct err *e)
{
	const struct change_ask ask = {.link = link, .discard = discard, .dry_run = dry_run};
	return run_as(op, &ask, e);
}

// ---- asked for ----------------------------------------------------------------------------------------------------------------------------------

static bool text_of(struct arena *a, struct slice from, const char **ret)
{
	struct slice copy;
	if (!slice_dup(a, from, &copy))
		return false;
	*ret = (const char *)copy.ptr;
	return true;
}

static bool read_ask(struct ctl_request *r, struct ctl_op *op, struct change_ask *ask, struct err *e)
{
	const struct json *o = r->body;
	bool undo = json_is_true(o, "undo"), promote = json_is_true(o, "promote"), shadows = json_member(o, "shadow") != NULL;
	uint64_t percent = json_number(o, "shadow", 0);
	*ask = (struct change_ask){.copy = json_is_true(o, "copy"), .replace = json_is_true(o, "replace"), .dry_run = json_is_true(o, "dry_run")};
	ask->discard = json_is_true(o, "discard");
	ask->max_pause_ns = sat_mul_u64(json_number(o, "max_pause_ms", 0), MILLISECOND);
	ask->limit_ns = sat_mul_u64(json_number(o, "limit_ms", 0), MILLISECOND);
	ask->shadows = shadows;
	ask->promote = promote;
	ask->percent = (unsigned)min_u64(percent, 101);
	if (percent > 100 || (shadows && (promote || undo || ask->copy || ask->replace || ask->dry_run)))
		return err_set(e, ERR_USAGE, "a shadow has a share of 0 to 100 and a target, and changes nothing");
	if ((undo || promote || (shadows && !percent)) == (json_text(o, "target").len > 0) || (undo && promote))
		return err_set(e, ERR_USAGE, "a change has a target, or is an undo");
	if (undo ? ask->copy || ask->replace : ask->discard)
		return err_set(e, ERR_USAGE, undo ? "an undo does what the change did: neither copy nor replace" : "discard is of an undo");
	if (ask->replace && !ask->copy)
		return err_set(e, ERR_USAGE, "replace is of a copy: without one nothing is deleted in the target");
	struct link_target t;
	if (!text_of(&op->arena, r->params[1], &ask->link) || !(undo || promote || text_of(&op->arena, json_text(o, "target"), &ask->target)))
		return err_nomem(e);
	if (promote && !(ask->target = shadow_of(op, ask->link)))
		return err_set(e, ERR_REFUSED, "@%s has no shadow to promote", ask->link);
	return undo || (shadows && !percent) || parse_target(&op->arena, ask->target, &t, e);
}

static const char *what_of(struct ctl_op *op, const struct change_ask *ask)
{
	struct buf b = {0};
	struct slice text;
	if (ask->shadows)
		buf_printf(&b, "shadow of @%s: %u%% %s", ask->link, ask->percent, ask->percent ? ask->target : "");
	else
		buf_printf(&b, "link @%s %s%s%s%s", ask->link, ask->target ? ask->target : "--undo", ask->copy ? " --copy" : "", ask->discard ? " --discard" : "", ask->dry_run ? " --dry-run" : "");
	bool ok = !b.failed && slice_dup(&op->arena, buf_view(&b), &text);
	buf_release(&b);
	return ok ? (const char *)text.ptr : NULL;
}

void ctl__route_link_change(struct ctl_request *r)
{
	static const struct ctl_member members[] = {{"target", CTL_TEXT}, {"copy", CTL_FLAG}, {"replace", CTL_FLAG}, {"dry_run", CTL_FLAG}, {"undo", CTL_FLAG},
		{"discard", CTL_FLAG}, {"shadow", CTL_COUNT}, {"promote", CTL_FLAG}, {"max_pause_ms", CTL_COUNT}, {"limit_ms", CTL_COUNT}, {NULL, CTL_ANY}};
	struct ctl_op *op = ctl__body_has_only(r, members) ? ctl__op_of(r) : NULL;
	struct err e = {0};
	if (!op)
		return;
	struct change_ask *ask = ARENA_NEW(&op->arena, struct change_ask);
	const char *what = ask && read_ask(r, op, ask, &e) ? what_of(op, ask) : NULL;
	if (!what) {
		if (e.code == ERR_NONE)
			err_nomem(&e);
		ctl__op_free(op);
		ctl__answer_failed(r, &e);
		return;
	}
	op->args = ask;
	op->run = run;
	ctl__op_ask(r, op, what);
}
