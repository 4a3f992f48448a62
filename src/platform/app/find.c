// What an app has, by name.
#include "app.h"

const struct app_component *app_component_find(const struct app *app, const char *name)
{
	for (uint32_t i = 0; app && i < app->components.n; i++)
		if (strcmp(app->components.list[i].item.name, name) == 0)
			return &app->components.list[i];
	return NULL;
}

const struct app_link *app_link_find(const struct app *app, const char *name)
{
	for (uint32_t i = 0; app && i < app->links.n; i++)
		if (strcmp(app->links.list[i].item.name, name) == 0)
			return &app->links.list[i];
	return NULL;
}

bool app_link_is_store(const struct app_link *l)
{
	return l && l->type.value <= APP_LINK_NATS;
}

// ---- what isn't there ----------------------------------------------------------------------------------------------------------------------------

// The i-th name, NULL behind the last.
typedef const char *name_at(const struct app *app, uint32_t i);

static const char *component_at(const struct app *app, uint32_t i)
{
	return i < app->components.n ? app->components.list[i].item.name : NULL;
}

static const char *link_at(const struct app *app, uint32_t i)
{
	return i < app->links.n ? app->links.list[i].item.name : NULL;
}

static const char *variable_at(const struct app *app, uint32_t i)
{
	return i < app->variables.n ? app->variables.list[i].item.name : NULL;
}

static bool hint_names(const struct app *app, name_at *at, struct err *e)
{
	struct buf b = {.max = 1024};
	uint32_t i = 0;
	for (; at(app, i) && b.len < 150; i++)
		buf_printf(&b, "%s%s", i ? ", " : "", at(app, i));
	if (i)
		err_hint(e, "there are: %.*s%s", SLICE_ARGS(buf_view(&b)), at(app, i) ? ", ..." : "");
	else
		err_hint(e, "there is none");
	buf_release(&b);
	return false;
}

bool app_no_component(const struct app *app, const char *name, struct err *e)
{
	err_set(e, ERR_USAGE, "the app has no component '%s'", name);
	return hint_names(app, component_at, e);
}

bool app_no_link(const struct app *app, const char *name, struct err *e)
{
	err_set(e, ERR_USAGE, "the app has no link @%s", name);
	return hint_names(app, link_at, e);
}

bool app_no_variable(const struct app *app, struct slice name, struct err *e)
{
	err_set(e, ERR_USAGE, "the app has no variable '%.*s'", SLICE_ARGS(slice_sub(name, 0, 64)));
	return hint_names(app, variable_at, e);
}

// ---- grants --------------------------------------------------------------------------------------------------------------------------------------

const char *app_grant_line(const struct app *app, const char *flag, const char *line)
{
	static const struct {
		const char *flag, *line;
	} spin[] = {
		{"net", "allowed_outbound_hosts = [\"https://HOST\"]"},
		{"dir", "files = [{ source = \"FOLDER\", destination = \"/\" }]"},
		{"config", "variables = { NAME = \"VALUE\" }"},
	};
	for (size_t i = 0; i < ARRAY_LEN(spin) && line && app->format == APP_SPIN; i++)
		if (strcmp(flag, spin[i].flag) == 0)
			return spin[i].line;
	return line;
}
