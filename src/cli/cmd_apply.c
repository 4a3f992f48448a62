// tenon apply, tenon stop.
#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "ask.h"
#include "commands.h"

// The file that is meant, as the server can find it, and the app that it is of. Its paths begin where its name lies, though that is a link to elsewhere.
static bool find_manifest(struct cli *c, const char *path, char file[PATH_MAX], const char **ret_name, struct err *e)
{
	struct cli_manifest m;
	if (!cli__manifest_read(&c->arena, path, &m, e))
		return false;
	const char *slash = strrchr(m.path, '/');
	int n = m.root ? snprintf(file, PATH_MAX, "%s%s", m.root, slash ? slash + 1 : m.path) : -1;
	if (n < 0 || n >= PATH_MAX)
		return err_set_errno(e, n < 0 ? ENOENT : ENAMETOOLONG, "'%s'", m.path);
	return app_name_of(&c->arena, m.text, m.path, ret_name, e);
}

// Who runs it, or may.
static bool find_tenon(struct cli *c, const char *name, struct ask_tenon *ret, struct err *e)
{
	struct ask_tenon *all;
	uint32_t n, found = 0;
	if (!cli__ask_all(c, &all, &n, e))
		return false;
	for (uint32_t i = 0; i < n; i++)
		for (const struct json *a = json_member(all[i].status, "apps")->first; a; a = a->next)
			if (slice_eq_str(json_text(a, "app"), name)) {
				*ret = all[i];
				found++;
			}
	if (found == 0 && n == 1)
		*ret = all[0];
	if (found == 1 || (found == 0 && n == 1))
		return true;
	err_set(e, ERR_USAGE, found ? "several tenons run an app '%s'" : "app '%s' runs nowhere yet, and several tenons could take it", name);
	return err_hint(e, "TENON_CTL names the folder of the one that is meant");
}

static void print_done(struct cli *c, const char *name, const struct json *o)
{
	const struct json *changes = json_member(o, "changes");
	unsigned long long release = json_number(o, "release", 0);
	if (json_member(o, "target_keys") && !c->dry_run)
		printf(json_member(o, "rounds") ? "the store is %.*s: %llu keys were copied\n" : "the store is %.*s\n", SLICE_ARGS(cli__printable(c, json_text(o, "target"))),
			(unsigned long long)json_number(o, "keys", 0));
	if (changes && changes->n == 0 && !c->dry_run)
		printf("nothing differs: release %llu of %s is in force\n", release, name);
	else if (c->dry_run)
		printf("nothing was changed\n");
	else
		printf("release %llu of %s is in force\n", release, name);
}

int cli__command_apply(struct cli *c, struct err *e)
{
	char file[PATH_MAX];
	const char *name;
	const struct json *o;
	struct ask_tenon t;
	struct buf path = {0}, body = {0};
	if (c->copy && c->no_copy)
		err_set(e, ERR_USAGE, "apply: --copy or --no-copy");
	else if (c->replace && !c->copy)
		err_set(e, ERR_USAGE, "apply: --replace is of a --copy");
	if (e->code != ERR_NONE || !find_manifest(c, c->args.len ? c->args.ptr[0] : ".", file, &name, e) || !find_tenon(c, name, &t, e))
		return err_exit_status(e->code);
	buf_put_str(&path, "/apply");
	buf_put_str(&body, "{\"path\":");
	buf_put_json_string(&body, slice_str(file));
	if (c->copy || c->no_copy)
		buf_printf(&body, ",\"copy\":%s", c->copy ? "true" : "false");
	buf_put_str(&body, c->replace ? ",\"replace\":true" : "");
	buf_printf(&body, ",\"dry_run\":%s}", c->dry_run ? "true" : "false");
	if (cli__change_at(c, &t, name, &path, buf_view(&body), &o, e) && !c->config.process.json)
		print_done(c, name, o);
	buf_release(&path);
	buf_release(&body);
	return err_exit_status(e->code);
}

static void print_stopped(const struct cli *c, const char *name)
{
	if (c->dry_run)
		printf("nothing was changed\n");
	else
		printf("%s is stopped\n", name);
}

int cli__command_stop(struct cli *c, struct err *e)
{
	struct ask_tenon t;
	const struct json *app, *o;
	struct buf path = {0}, body = {0};
	if (!cli__ask_app(c, c->args.len ? c->args.ptr[0] : NULL, &t, &app, e))
		return err_exit_status(e->code);
	char name[64];
	snprintf(name, sizeof name, "%.*s", SLICE_ARGS(json_text(app, "app")));
	buf_put_str(&path, "/stop");
	buf_printf(&body, "{\"dry_run\":%s}", c->dry_run ? "true" : "false");
	if (cli__change_at(c, &t, name, &path, buf_view(&body), &o, e) && !c->config.process.json)
		print_stopped(c, name);
	buf_release(&path);
	buf_release(&body);
	return err_exit_status(e->code);
}
