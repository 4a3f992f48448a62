// What is wrong with a manifest is said with its place.
#include <errno.h>

#include "sys/sys.h"
#include "up.h"

bool cli__up_at(const struct app *app, struct app_place place, struct err *e)
{
	if (!place.line)
		return err_note(e, "%s", app->path);
	e->line = place.line;
	e->col = place.col;
	return err_note(e, "%s:%u:%u", app->path, place.line, place.col);
}

bool cli__up_folder(const struct app *app, const struct app_file *f, struct err *e)
{
	int fd = sys_open_folder(f->path);
	if (fd >= 0) {
		sys_close(fd);
		return true;
	}
	if (fd == -ENOTDIR)
		err_set(e, ERR_ENV, "files: '%s' is not a folder", f->path);
	else
		err_set_errno(e, -fd, "files: cannot open the folder '%s'", f->path);
	err_hint(e, fd == -ENOTDIR ? "a guest is given folders: lay the file into one, and give that" : "a guest is given folders that are there");
	return cli__up_at(app, f->host.at, e);
}

bool cli__up_not_yet(const struct app *app, struct app_place place, const char *what, struct err *e)
{
	err_set(e, ERR_USAGE, "%s: that is not served yet", what);
	return cli__up_at(app, place, e);
}
