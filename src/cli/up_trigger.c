// Triggers of a manifest besides routes: what serve gets of start, command and cron.
#include "up.h"

// Without limits of its own a run has none of CPU and time (contract, section 5).
static uint64_t limit_of(const struct app *app, uint32_t component, enum app_limit_kind kind)
{
	const struct app_limits *l = &app->components.list[component].limits;
	for (uint32_t i = 0; i < l->n; i++)
		if (l->list[i].kind == kind)
			return l->list[i].value;
	return 0;
}

static struct serve_trigger_config *add(struct up *u, const struct app *app, struct serve_app_config *ret, enum serve_trigger_kind kind, const struct app_item *item,
	uint32_t target, struct err *e)
{
	struct serve_trigger_config *t = VEC_ADD(u->arena, &ret->triggers, UP_MAX_ROUTES);
	if (!t) {
		err_set(e, ERR_LIMIT, "more than %d triggers", UP_MAX_ROUTES);
		return NULL;
	}
	*t = (struct serve_trigger_config){.kind = kind,
		.id = item->name,
		.service = app->components.list[target].item.name,
		.cpu = limit_of(app, target, APP_LIMIT_cpu),
		.deadline = limit_of(app, target, APP_LIMIT_deadline)};
	return t;
}

static bool add_cron(struct up *u, const struct app *app, const struct app_cron *c, struct serve_app_config *ret, struct err *e)
{
	struct serve_trigger_config *t = add(u, app, ret, SERVE_TRIGGER_CRON, &c->item, c->target, e);
	if (!t)
		return false;
	t->overlap = c->overlap.value == APP_OVERLAP_ALLOW;
	t->when = &c->when;
	t->timezone = c->timezone.text;
	if (u->now->state) {
		t->since = ctl_state_cron(u->now->state, c);
		t->ran = ctl_state_cron_ran;
		t->user = u->now->state;
	}
	return true;
}

bool cli__up_triggers(struct up *u, const struct app *app, struct serve_app_config *ret, struct err *e)
{
	const struct app_triggers *t = &app->triggers;
	for (uint32_t i = 0; i < t->start.n; i++) {
		struct serve_trigger_config *s = add(u, app, ret, SERVE_TRIGGER_START, &t->start.list[i].item, t->start.list[i].target, e);
		if (!s)
			return false;
		s->overlap = t->start.list[i].mode.value == APP_MODE_OVERLAP;
	}
	for (uint32_t i = 0; i < t->command.n; i++)
		if (!add(u, app, ret, SERVE_TRIGGER_COMMAND, &t->command.list[i].item, t->command.list[i].target, e))
			return false;
	for (uint32_t i = 0; i < t->cron.n; i++)
		if (!add_cron(u, app, &t->cron.list[i], ret, e))
			return false;
	return true;
}
