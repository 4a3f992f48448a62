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
