// tenon up: a component, the folder that holds one, or apps by their manifests.
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "commands.h"
#include "up.h"

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

// ---- manifests -----------------------------------------------------------------------------------------------------------------------------

static bool is_there(const char *folder, const char *name)
{
	char file[4096];
	struct stat st;
	snprintf(file, sizeof file, "%s/%s", folder, name);
	return stat(file, &st) == 0;
}

static bool is_folder(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool is_manifest(const char *path)
{
	return slice_ends_with(slice_str(path), SLICE_LIT(".toml")) || (is_folder(path) && (is_there(path, "tenon.toml") || is_there(path, "spin.toml")));
}

// What is about a component or a listener stands in a manifest; whom to trust (--ca) is a matter of the machine.
static bool check_options(const struct cli *c, struct err *e)
{
	struct serve_config standard;
	const struct serve_service_config *s = &c->config.service;
	serve_limits_default(&standard, true);
#define SERVE_LIMIT(scope, field, flag, ...)                                                       \
	if (APP_SAYS_##scope && c->config.scope.limits.field != standard.scope.limits.field) {         \
		err_set(e, ERR_USAGE, "--%s: a manifest says that itself", flag);                          \
		return err_hint(e, "limits = { %s = ... } of a component, of [http] or of a route", flag); \
	}
#define APP_SAYS_process false
#define APP_SAYS_listener true
#define APP_SAYS_service true
#include "app/limits.def"
#undef SERVE_LIMIT
	if (s->policy != SERVE_FRESH || s->init != SERVE_INIT_AUTO || s->env.len || s->settings.len || s->nets.len || s->private_nets || s->listens.len ||
		s->folders.len) {
		err_set(e, ERR_USAGE, "options about a component (--policy, --init, --env, --config, --dir, --net, ...) don't go with a manifest");
		return err_hint(e, "it says them itself: policy, init, env, config, files, network, ...");
	}
	return true;
}

// Nothing of one that was stopped.
static bool take_app(struct up *u, const struct up_app *a, struct err *e)
{
	u->now = a;
	return !a->app || cli__up_app(u, a->app, e);
}

static bool load_apps(struct up *u, const char *const *paths, uint32_t n, struct err *e)
{
	for (uint32_t i = 0; i < n; i++)
		if (!cli__up_read(u, paths[i], e) || !take_app(u, u->of.ptr[i], e))
			return false;
	for (uint32_t i = 0; i < n; i++)
		if (u->of.ptr[i]->stopped && !cli__up_keep_listener(u, u->of.ptr[i]->stopped, e))
			return false;
	return true;
}

// As they are at the start; those of `u` may change.
static const struct serve_listener_config *listeners_of(const struct up *u)
{
	struct serve_listener_config *list = ARENA_ARRAY(&u->c->arena, struct serve_listener_config, u->listeners.len + 1);
	for (uint32_t i = 0; list && i < u->listeners.len; i++)
		list[i] = u->listeners.ptr[i].config;
	return list;
}

static int up_manifests(struct cli *c, const char *const *paths, uint32_t n, struct err *e)
{
	struct up u = {.c = c, .arena = &c->arena};
	int status;
	if (check_options(c, e) && load_apps(&u, paths, n, e)) {
		struct serve_setup setup = {&c->config.process, listeners_of(&u), u.listeners.len, u.apps.ptr, u.apps.len, cli__up_beside(&u)};
		const struct ctl_app_config *apps = cli__up_ctl(&u);
		const struct ctl_config control = {.apps = apps, .n_apps = n, .add = cli__up_add, .user = &u};
		status = apps && setup.listeners ? cli__serve(c, &setup, &control, e) : (err_nomem(e), err_exit_status(e->code));
	} else {
		status = err_exit_status(e->code);
	}
	cli__up_beside(&u).end(&u);  // a process that did not come as far as to begin with them has left them; else nothing is left to end
	cli__up_close(&u);
	return status;
}

// ---- the command ---------------------------------------------------------------------------------------------------------------------------

static int up_component(struct cli *c, const char *path, struct err *e)
{
	c->config.service.path = path;
	if (is_folder(path) && !find_app(c, path, e))
		return err_exit_status(e->code);
	if (!cli_check_file(&c->config.service, false, e))
		return err_exit_status(e->code);
	return cli__serve_component(c, e);
}

int cli__command_up(struct cli *c, struct err *e)
{
	static const char *const here[] = {"."};
	const char *const *paths = c->args.len ? c->args.ptr : here;
	uint32_t n = c->args.len ? c->args.len : 1, manifests = 0;
	for (uint32_t i = 0; i < n; i++)
		manifests += is_manifest(paths[i]);
	if (manifests == n)
		return up_manifests(c, paths, n, e);
	if (n == 1 && !c->profile && c->sets.len == 0)
		return up_component(c, paths[0], e);
	if (n == 1) {
		err_set(e, ERR_USAGE, "--profile and --set are about a manifest, and '%s' is none", paths[0]);
	} else {
		for (uint32_t i = 0; i < n; i++)
			if (!is_manifest(paths[i]))
				err_set(e, ERR_USAGE, "'%s' is no manifest, and no folder of one", paths[i]);
		err_hint(e, "several are given as manifests: tenon up APP/tenon.toml OTHER/tenon.toml");
	}
	return err_exit_status(e->code);
}
