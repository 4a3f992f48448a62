// tenon check: what a manifest says and what would come of it. Nothing runs.
#include "check.h"
#include "commands.h"
#include "ctl/ctl.h"
#include "link/link.h"
#include "up.h"

#define MAX_OUTPUT ((size_t)64 << 20)

static bool write_out(struct buf *b, struct err *e)
{
	bool ok = b->failed ? err_set(e, ERR_LIMIT, "what is to be printed is larger than %zu MiB", MAX_OUTPUT >> 20)
						: (fwrite(b->ptr, 1, b->len, stdout) == b->len && fflush(stdout) == 0) || err_set(e, ERR_ENV, "cannot write to stdout");
	buf_release(b);
	return ok;
}

// What `up` asks of a link to a store before it opens it; the manifest alone tells the beginnings of targets.
static bool check_stores(struct cli *c, const struct app *app, struct err *e)
{
	for (uint32_t i = 0; i < app->links.n; i++) {
		const struct app_link *k = &app->links.list[i];
		struct link_config config;
		if (app_link_is_store(k) && !(cli__link_config(&c->arena, app->about.name.text, k, &config, e) && link_config_check(&config, e)))
			return err_note(e, "link %s of %s", k->item.name, app->about.name.text) || cli__up_at(app, k->item.at, e);
	}
	return true;
}

static bool check_app(struct cli *c, struct err *e)
{
	struct app *app;
	struct buf b = {.max = MAX_OUTPUT};
	if (!cli__app_load(c, c->args.len ? c->args.ptr[0] : ".", &app, e) || !check_stores(c, app, e))
		return false;
	struct check_component *list = ARENA_ARRAY(&c->arena, struct check_component, app->components.n + 1);
	if (!list)
		return err_nomem(e);
	for (uint32_t i = 0; i < app->components.n; i++)
		if (!check_component(c, app, &app->components.list[i], &list[i], e))
			return false;
	if (c->config.process.json)
		check_put_json(&b, app, list);
	else
		check_put_text(&b, app, list);
	if (!write_out(&b, e))
		return false;
	for (uint32_t i = 0; i < app->components.n; i++)
		if (list[i].why_not.code != ERR_NONE) {
			*e = list[i].why_not;
			return err_note(e, "component '%s'", app->components.list[i].item.name);
		}
	return true;
}

int cli__command_check(struct cli *c, struct err *e)
{
	struct buf b = {.max = MAX_OUTPUT};
	if (c->schema && c->args.len)
		err_set(e, ERR_USAGE, "--schema is about no manifest in particular: it takes no PATH");
	else if (c->schema)
		return app_schema(&b) && write_out(&b, e) ? 0 : err_exit_status(e->code);
	return e->code == ERR_NONE && check_app(c, e) ? 0 : err_exit_status(e->code);
}
