// tenon dev: an app while it is written. A process beside `tenon up`, which it starts: it watches what components are built of, builds those that changed, and gives
// them to the server as `tenon update` does.
//
//   build ── good ──► the server runs: update ──► the next change
//     └── failed ──► the last good version serves on; where there never was one, a page with what the build says is served in place of the app
//
// 1. What changes lasts in a folder of its own, gone at the end: the next start begins with the files.
// 2. What changes while a component is built is built once more, but for what the build itself writes (dev_paths.c).
// 3. Whom it started ends with it, also where it is killed.
#include "commands.h"
#include "dev.h"
#include "sys/sys.h"

enum { SETTLE_MS = 3, SETTLED_MS = 50, LOOK_MS = 200, LOOK_BUILDING_MS = 20 };

static void wake(void *arg UNUSED)
{
}

// A component that can't be served (exit status 3 or 4): the next one may be.
static bool may_go_on(int status)
{
	return status == 3 || status == 4;
}

// A component was built: it serves, or the server is started anew. false: the server ended at once, with *ret_status.
static bool take(struct dev *d, struct dev_part *p, int *ret_status, struct err *e)
{
	if (d->server.pid && !d->is_page) {
		if (!p->has_failed)
			dev_server_update(d, p);
		return true;
	}
	dev_stop(&d->server, DEV_SERVER_MS);
	return dev_server_start(d, ret_status, e) || may_go_on(*ret_status);
}

static bool were_all_built(const struct dev *d)
{
	for (uint32_t i = 0; i < d->n; i++)
		if (!d->parts[i].was_built)
			return false;
	return true;
}

// What is saved in several pieces is one change, as long as they come at once.
static void settle(struct dev *d)
{
	uint64_t until = sys_now_ns() + SETTLED_MS * MILLISECOND, began;
	do {
		began = sys_now_ns();
		dev_wait(d->watch, NULL, 0, SETTLE_MS);
		dev_part_look(d);
	} while (sys_now_ns() - began < SETTLE_MS * MILLISECOND && sys_now_ns() < until && !*d->stop);
}

static void wait_for_something(struct dev *d, const struct dev_process **waits)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < d->n; i++)
		if (d->parts[i].is_building)
			waits[n++] = &d->parts[i].build;
	bool is_building = n > 0;
	if (d->server.pid)
		waits[n++] = &d->server;
	dev_wait(d->watch, waits, n, is_building ? LOOK_BUILDING_MS : LOOK_MS);
	dev_part_look(d);
}

// As a shell has it, 128 more where a signal ended it. Always false.
static bool tell_end(int status, const struct err *e)
{
	if (e->code == ERR_NONE)
		fprintf(stderr, "the server has ended with %d\n", status);
	return false;
}

static bool go_round(struct dev *d, const struct dev_process **waits, int *ret_status, struct err *e)
{
	wait_for_something(d, waits);
	for (uint32_t i = 0; i < d->n && !*d->stop; i++) {
		struct dev_part *p = &d->parts[i];
		// The first time the server waits for all of them.
		if (p->is_building && dev_part_is_built(d, p) && were_all_built(d) && !take(d, p, ret_status, e))
			return tell_end(*ret_status, e);
		if (!p->is_building && p->is_dirty) {
			settle(d);
			if (!dev_part_build(d, p, e))
				return false;
		}
	}
	if (!dev_has_ended(&d->server) || *d->stop)
		return true;
	*ret_status = dev_reap(&d->server);
	tell_end(*ret_status, e);
	return may_go_on(*ret_status);
}

static int run(struct dev *d, struct err *e)
{
	const struct dev_process **waits = ARENA_ARRAY(&d->c->arena, const struct dev_process *, d->n + 1);
	bool ok = waits || err_nomem(e);
	int status = 0;
	for (uint32_t i = 0; ok && i < d->n; i++)
		ok = dev_part_build(d, &d->parts[i], e);
	while (ok && !*d->stop)
		ok = go_round(d, waits, &status, e);
	for (uint32_t i = 0; i < d->n; i++)
		dev_stop(&d->parts[i].build, DEV_BUILD_MS);
	dev_stop(&d->server, DEV_SERVER_MS);
	if (e->code != ERR_NONE)
		return err_exit_status(e->code);
	return *d->stop ? 0 : status;
}

static bool open_parts(struct dev *d, struct err *e)
{
	const struct app *app = d->app;
	d->parts = ARENA_ARRAY(&d->c->arena, struct dev_part, app->components.n + 1);
	if (!d->parts)
		return err_nomem(e);
	for (uint32_t i = 0; i < app->components.n; i++) {
		if (!app->components.list[i].build.command.text)
			continue;
		struct dev_part *p = &d->parts[d->n++];
		*p = (struct dev_part){.of = &app->components.list[i], .build = DEV_NO_PROCESS};
		if (!dev_paths_new(&p->paths, e))
			return false;
	}
	if (d->n)
		return true;
	err_set(e, ERR_USAGE, "%s says of no component how it is built", app->path);
	return err_hint(e, "[component.NAME] build = { command = \"make app.wasm\", watch = [\"src/**\"] }; tenon up serves what is there");
}

static bool open_dev(struct dev *d, struct err *e)
{
	struct app *app;
	if (!cli__app_load(d->c, d->path, &app, e))
		return false;
	d->app = app;
	char *root = realpath(*app->folder ? app->folder : ".", NULL);
	bool fits = root && strlen(root) < sizeof d->root;
	if (fits)
		memcpy(d->root, root, strlen(root) + 1);
	free(root);
	if (!fits)
		return err_set(e, ERR_ENV, "the folder of %s can't be named", app->path);
	if (!open_parts(d, e) || !dev_folder_new(d->folder, &d->lock, e) || !dev_watch_open(&d->watch, e))
		return false;
	snprintf(d->page, sizeof d->page, "%s/tenon.toml", d->folder);
	for (uint32_t i = 0; i < d->n; i++)
		if (!dev_part_watch(d, &d->parts[i], e))
			return false;
	return setenv("TENON_STATE", d->folder, 1) == 0 || err_nomem(e);
}

int cli__command_dev(struct cli *c, struct err *e)
{
	struct dev d = {.c = c, .path = c->args.len ? c->args.ptr[0] : ".", .server = DEV_NO_PROCESS, .lock = -1};
	d.stop = sys_stop_begin(wake, NULL);  // from here on there is a folder to remove
	sys_stop_at_hangup();
	dev_folders_clean();
	int status = open_dev(&d, e) ? run(&d, e) : err_exit_status(e->code);
	for (uint32_t i = 0; i < d.n; i++) {
		buf_release(&d.parts[i].said);
		dev_paths_free(d.parts[i].paths);
	}
	dev_watch_close(d.watch);
	if (d.folder[0])
		dev_folder_remove(d.folder);
	sys_close(d.lock);
	return status;
}
