// tenon serve, tenon up, tenon compile.
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "commands.h"

int cli__command_serve(struct cli *c, struct err *e)
{
	c->config.service.path = c->args.ptr[0];
	if (!cli_check_file(c->config.service.path, false, e))
		return err_exit_status(e->code);
	return serve_http(&c->config, e);
}

int cli__command_compile(struct cli *c, struct err *e)
{
	c->config.service.path = c->args.ptr[0];
	if (!cli_check_file(c->config.service.path, true, e) || !serve_compile(&c->config, e))
		return err_exit_status(e->code);
	return 0;
}

static int is_wasm(const struct dirent *d)
{
	return slice_ends_with(slice_str(d->d_name), SLICE_LIT(".wasm"));
}

// A folder of sources: which command makes a component of them, and where it puts it.
static const char *what_to_build(const char *path)
{
	static const struct {
		const char *file, *hint;
	} kinds[] = {
		{"Cargo.toml", "a Cargo package: cargo build --release --target wasm32-wasip2, then: tenon up target/wasm32-wasip2/release/NAME.wasm"},
		{"package.json", "an npm package: npx jco componentize APP.js --wit wit -o app.wasm (often: npm run build), then: tenon up app.wasm"},
		{"go.mod", "a Go module: tinygo build -target=wasip2 -o app.wasm (with --wit-package and --wit-world), then: tenon up app.wasm"},
		{"pyproject.toml", "a Python project: componentize-py -d wit -w WORLD componentize app -o app.wasm, then: tenon up app.wasm"},
		{"requirements.txt", "a Python project: componentize-py -d wit -w WORLD componentize app -o app.wasm, then: tenon up app.wasm"},
	};
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		char file[4096];
		struct stat st;
		snprintf(file, sizeof file, "%s/%s", path, kinds[i].file);
		if (stat(file, &st) == 0)
			return kinds[i].hint;
	}
	return "give a component: tenon up FILE.wasm";
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
			c->config.service.path = file;
		} else {
			err_nomem(e);
		}
	} else if (n == 0) {
		err_set(e, ERR_ENV, "no .wasm in the folder '%s'", path);
		err_hint(e, "%s", what_to_build(path));
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
	c->config.service.path = path;
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode) && !find_app(c, path, e))
		return err_exit_status(e->code);
	if (!cli_check_file(c->config.service.path, false, e))
		return err_exit_status(e->code);
	return serve_http(&c->config, e);
}
