// tenon serve, tenon up, tenon compile, tenon inspect.
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "commands.h"

int cli__command_serve(struct cli *c, struct err *e)
{
	c->config.path = c->args.ptr[0];
	if (!cli_check_file(c->config.path, false, e))
		return err_exit_status(e->code);
	return serve_http(&c->config, e);
}

int cli__command_compile(struct cli *c, struct err *e)
{
	c->config.path = c->args.ptr[0];
	if (!cli_check_file(c->config.path, true, e) || !serve_compile(&c->config, e))
		return err_exit_status(e->code);
	return 0;
}

int cli__command_inspect(struct cli *c, struct err *e)
{
	c->config.path = c->args.ptr[0];
	return cli_check_file(c->config.path, true, e) && serve_inspect(&c->config, e) ? 0 : err_exit_status(e->code);
}

static int is_wasm(const struct dirent *d)
{
	return slice_ends_with(slice_str(d->d_name), SLICE_LIT(".wasm"));
}

// The one .wasm of a folder.
static bool find_app(struct cli *c, const char *path, struct err *e)
{
	struct dirent **found;
	int n = scandir(path, &found, is_wasm, alphasort);
	if (n < 0)
		return err_set_errno(e, errno, "cannot read the folder '%s'", path);
	if (n == 1) {
		size_t size = strlen(path) + strlen(found[0]->d_name) + 2;
		char *file = arena_alloc(&c->arena, size, 1);
		if (file) {
			snprintf(file, size, "%s/%s", path, found[0]->d_name);
			c->config.path = file;
		} else {
			err_nomem(e);
		}
	} else if (n == 0) {
		err_set(e, ERR_ENV, "no .wasm in the folder '%s'", path);
		err_hint(e, "give a component: tenon up FILE.wasm");
	} else {
		err_set(e, ERR_USAGE, "%d .wasm files in the folder '%s'", n, path);
		err_hint(e, "name the one that is meant: tenon up %s/%s", path, found[0]->d_name);
	}
	for (int i = 0; i < n; i++)
		free(found[i]);
	free(found);
	return e->code == ERR_NONE;
}

int cli__command_up(struct cli *c, struct err *e)
{
	const char *path = c->args.len ? c->args.ptr[0] : ".";
	struct stat st;
	c->config.path = path;
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode) && !find_app(c, path, e))
		return err_exit_status(e->code);
	if (!cli_check_file(c->config.path, false, e))
		return err_exit_status(e->code);
	return serve_http(&c->config, e);
}
