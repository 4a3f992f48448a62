// What is wrong with a manifest is said with its place.
#include "up.h"

bool cli__up_at(const struct app *app, struct app_place place, struct err *e)
{
	if (!place.line)
		return err_note(e, "%s", app->path);
	e->line = place.line;
	e->col = place.col;
	return err_note(e, "%s:%u:%u", app->path, place.line, place.col);
}

bool cli__up_not_yet(const struct app *app, struct app_place place, const char *what, struct err *e)
{
	err_set(e, ERR_USAGE, "%s: that is not served yet", what);
	return cli__up_at(app, place, e);
}
