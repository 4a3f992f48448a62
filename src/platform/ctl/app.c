// The apps that run.
#include <stdio.h>

#include "cron.h"
#include "ctl_int.h"
#include "serve/serve.h"

// Those that this process's predecessor had, so that who asked for one hears what became of it.
static bool take_ended(struct ctl_app *app, struct err *e)
{
	struct ctl_state *s = app->state;
	for (uint64_t i = s->next_op > CTL_ENDED ? s->next_op - CTL_ENDED : 1; i < s->next_op; i++) {
		const struct ctl__ended *o = ctl__state_ended(s, i);
		if (!o)
			continue;
		struct ctl_op *op = ctl__op_new(app);
		struct slice what;
		if (!op || !slice_dup(&op->arena, slice_str(o->what), &what)) {
			ctl__op_free(op);
			return err_nomem(e);
		}
		op->what = (const char *)what.ptr;
		op->number = i;
		op->release = o->release;
		op->state = strcmp(o->state, "done") == 0 ? CTL_DONE : strcmp(o->state, "cancelled") == 0 ? CTL_CANCELLED
			: o->state[0]                                                                         ? CTL_FAILED
			: o->release                                                                          ? CTL_RECOVERED
																								  : CTL_FAILED;
		if (op->state == CTL_FAILED)
			err_set(&op->error, ERR_REFUSED, o->state[0] ? "it failed before tenon was started again" : "tenon ended before it was over: nothing changed");
		op->next = app->ops;
		app->ops = op;
		if (!o->state[0])
			ctl__state_op_ended(s, i, op->state == CTL_RECOVERED ? "done" : "failed", s->next_event);
	}
	return true;
}

static bool app_open(struct ctl_app *app, const struct ctl_app_config *c, struct err *e)
{
	app->config = c;
	app->state = c->state;
	app->events.next = app->next_op = 1;
	snprintf(app->name, sizeof app->name, "%s", c->name);
	snprintf(app->tenant, sizeof app->tenant, "default");
	if (c->app) {
		app->model = mem_zalloc(sizeof *app->model);
		if (!app->model)
			return err_nomem(e);
		*app->model = (struct ctl_model){.refs = 1, .app = c->app};
	}
	if (!app->state)
		return true;
	app->release = ctl__state_release(app->state);
	ctl__crons_tell(app->state, app->ctl->config.process);
	app->next_op = app->state->next_op;
	app->events.next = app->state->next_event;
	return take_ended(app, e);
}

static void app_free(struct ctl_app *app)
{
	while (app->ops) {
		struct ctl_op *op = app->ops;
		app->ops = op->next;
		if (op->started) {
			sys_thread_join(&op->thread);
			op->refs--;
		}
		ctl__op_free(op);
	}
	ctl__crons_tell(app->state, NULL);
	ctl__events_release(&app->events);
	mem_free(app->tried.text);
	mem_free(app->kept);
	while (app->shadows)
		ctl__shadow_set(app, app->shadows->link, NULL);
	if (app->model)
		ctl_model_unref(app->model);
	mem_free(app);
}

static struct ctl_app *app_new(struct ctl *ctl, const struct ctl_app_config *c, struct err *e)
{
	struct ctl_app *app = mem_zalloc(sizeof *app);
	if (!app) {
		err_nomem(e);
		return NULL;
	}
	app->ctl = ctl;
	app->own_config = *c;
	if (app_open(app, &app->own_config, e))
		return app;
	app_free(app);
	return NULL;
}

// The one that has been gone longest goes where there are more than CTL_GONE. Within the lock; `ctl->kept`: nobody walks through the list without it.
static void forget_gone(struct ctl *ctl)
{
	uint32_t n = 0, oldest = 0;
	for (uint32_t i = ctl->n_apps; i-- > 0;)
		if (ctl->apps[i]->gone) {
			oldest = i;
			n++;
		}
	if (n <= CTL_GONE || !ctl->kept)
		return;
	struct ctl_app *app = ctl->apps[oldest];
	ctl->n_apps--;
	memmove(&ctl->apps[oldest], &ctl->apps[oldest + 1], (ctl->n_apps - oldest) * sizeof(struct ctl_app *));
	app->config->ops->forget(app->config->user);
	app_free(app);
}

// Of one that was here before and came to nothing nothing lasts: its numbers go on.
static void go_on_from_gone(const struct ctl *ctl, struct ctl_app *app)
{
	for (uint32_t i = 0; i < ctl->n_apps; i++)
		if (ctl->apps[i]->gone && strcmp(ctl->apps[i]->name, app->name) == 0) {
			app->next_op = max_u64(app->next_op, ctl->apps[i]->next_op);
			app->events.next = max_u64(app->events.next, ctl->apps[i]->events.next);
		}
}

bool ctl__app_add(struct ctl *ctl, struct slice name, const char *path, struct err *e)
{
	struct ctl_app_config c;
	if (!ctl->config.add)
		return err_set(e, ERR_REFUSED, "this tenon serves a component without manifest, and takes no others");
	if (!ctl->config.add(ctl->config.user, name, path, &c, e))
		return false;
	sys_mutex_lock(&ctl->lock);
	forget_gone(ctl);
	sys_mutex_unlock(&ctl->lock);
	struct ctl_app *app = ctl->n_apps < CTL_APPS_MAX ? app_new(ctl, &c, e) : NULL;
	if (!app) {
		c.ops->left(c.user);
		c.ops->forget(c.user);
		return e->code != ERR_NONE ? false : err_set(e, ERR_LIMIT, "more than %d apps", CTL_APPS_MAX);
	}
	app->hidden = true;
	sys_mutex_lock(&ctl->lock);
	go_on_from_gone(ctl, app);
	ctl->apps[ctl->n_apps++] = app;
	sys_mutex_unlock(&ctl->lock);
	return true;
}

bool ctl__apps_open(struct ctl *ctl, struct err *e)
{
	ctl->changed.fn = ctl__look_at_all;
	ctl->apps = sys_map_anonymous(CTL_APPS_MAX * sizeof *ctl->apps);  // pages that nobody writes are not there
	if (!ctl->apps)
		return err_nomem(e);
	for (uint32_t i = 0; i < ctl->config.n_apps; i++) {
		struct ctl_app *app = app_new(ctl, &ctl->config.apps[i], e);
		if (!app)
			return false;
		ctl->apps[ctl->n_apps++] = app;
		serve_app_release(ctl->config.process, app->name, app->release);
		if (app->model || !app->state)
			ctl__event_add(app, SLICE_LIT("\"kind\":\"app\",\"state\":\"running\""));
		else
			ctl__event_add(app, SLICE_LIT("\"kind\":\"app\",\"state\":\"stopped\""));
	}
	return true;
}

void ctl__apps_close(struct ctl *ctl)
{
	for (uint32_t i = 0; i < ctl->n_apps; i++)
		app_free(ctl->apps[i]);
	BUG_ON(ctl->apps && sys_unmap(ctl->apps, CTL_APPS_MAX * sizeof *ctl->apps) != 0);
}
