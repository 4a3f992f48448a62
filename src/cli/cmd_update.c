// tenon update, scale, set, undo: changes of an app that runs.
#include <errno.h>
#include <stdlib.h>

#include "ask.h"
#include "commands.h"
#include "sys/sys.h"

enum { VALUE_MAX = 512 << 10 };

// "APP/COMPONENT" or "COMPONENT": the path of the component beneath that of the app.
static bool put_component(struct cli *c, const char *name, const char **ret_app, struct buf *path, struct err *e)
{
	struct slice whole = slice_str(name), app;
	size_t slash = slice_find(whole, '/');
	*ret_app = NULL;
	if (slash < whole.len) {
		if (!slice_dup(&c->arena, slice_sub(whole, 0, slash), &app))
			return err_nomem(e);
		*ret_app = (const char *)app.ptr;
		whole = slice_sub(whole, slash + 1, SIZE_MAX);
	}
	buf_put_str(path, "/components/");
	ctl_encode(path, whole);
	return true;
}

static void print_release(struct cli *c, const struct json *o)
{
	if (c->config.process.json)
		return;
	if (c->dry_run)
		printf("nothing was changed\n");
	else
		printf("release %llu is in force\n", (unsigned long long)json_number(o, "release", 0));
}

static int change(struct cli *c, const char *app, struct buf *path, struct slice body, struct err *e)
{
	const struct json *o;
	if (cli__change(c, app, path, body, &o, e))
		print_release(c, o);
	buf_release(path);
	return err_exit_status(e->code);
}

// ---- update ----------------------------------------------------------------------------------------------------------------------------------------

static bool put_file(struct cli *c, struct buf *path, struct cli__file *file, struct err *e)
{
	if (!cli__file_open(c->args.ptr[1], file, e))
		return false;
	cli__put_version(path, c->args.ptr[1], file->sha256);
	if (c->percent)
		buf_printf(path, "&percent=%u", c->percent);
	buf_put_str(path, c->dry_run ? "&dry_run=true" : "");
	buf_put_str(path, c->accept ? "&accept=true" : "");
	return true;
}

// It was refused for what the version imports besides, and is asked for again if somebody at a terminal says so.
static bool is_accepted(struct cli *c, const struct json *o, const struct err *e)
{
	char answer[16];
	if (!o || !json_is_true(o, "unaccepted") || c->config.process.json || !sys_is_terminal(0) || !sys_is_terminal(2))
		return false;
	fprintf(stderr, "%.*s\naccept that? [y/N] ", SLICE_ARGS(cli__printable(c, slice_str(e->text))));
	return fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

static bool ask_update(struct cli *c, const char *app, struct buf *path, const struct cli__file *file, const struct json **ret, struct err *e)
{
	return file->f ? cli__change_with(c, app, path, file, ret, e) : cli__change(c, app, path, (struct slice){0}, ret, e);
}

static void update_by(struct cli *c, const char *app, struct buf *path, const struct cli__file *file, struct err *e)
{
	const struct json *o = NULL;
	bool ok = ask_update(c, app, path, file, &o, e);
	if (!ok && is_accepted(c, o, e)) {
		err_clear(e);
		buf_put_str(path, "&accept=true");
		ok = ask_update(c, app, path, file, &o, e);
	}
	if (ok)
		print_release(c, o);
}

static bool check_update(const struct cli *c, struct err *e)
{
	bool file = c->args.len > 1;
	unsigned n = file + c->promote + c->rollback + (c->percent && !file);
	if (n == 1 && (file || !(c->dry_run || c->accept)))
		return true;
	err_set(e, ERR_USAGE, n == 1 ? "update: --dry-run and --accept are about a file" : "update: a file, --percent, --promote or --rollback: one of them");
	return err_hint(e, "tenon update [APP/]COMPONENT (FILE [--percent N] [--accept] | --percent N | --promote | --rollback)");
}

int cli__command_update(struct cli *c, struct err *e)
{
	struct buf path = {0};
	struct cli__file file = {0};
	const char *app;
	bool ok = check_update(c, e) && put_component(c, c->args.ptr[0], &app, &path, e);
	if (ok && c->args.len > 1)
		ok = put_file(c, &path, &file, e);
	else if (ok && c->percent)
		buf_printf(&path, "/versions/split?percent=%u", c->percent);
	else if (ok)
		buf_put_str(&path, c->promote ? "/versions/promote" : "/versions/rollback");
	if (ok)
		update_by(c, app, &path, &file, e);
	buf_release(&path);
	cli__file_close(&file);
	return err_exit_status(e->code);
}

// ---- scale, set, undo --------------------------------------------------------------------------------------------------------------------------------

int cli__command_scale(struct cli *c, struct err *e)
{
	struct buf path = {0}, body = {0};
	const char *app;
	if (!put_component(c, c->args.ptr[0], &app, &path, e))
		return err_exit_status(e->code);
	buf_put_str(&path, c->dry_run ? "/scale?dry_run=true" : "/scale");
	buf_printf(&body, "{");
	if (cli__was_given(c, "policy"))
		buf_printf(&body, "\"policy\":\"%s\",", c->policy);
	if (cli__was_given(c, "min"))
		buf_printf(&body, "\"min\":%llu,", (unsigned long long)c->min);
	if (cli__was_given(c, "max") && !c->max)
		buf_put_str(&body, "\"max\":\"none\",");
	else if (cli__was_given(c, "max"))
		buf_printf(&body, "\"max\":%llu,", (unsigned long long)c->max);
	if (cli__was_given(c, "idle")) {
		uint64_t idle = c->config.service.limits.idle;
		if (idle && idle % MILLISECOND == 0)
			buf_printf(&body, "\"idle\":\"%llums\",", (unsigned long long)(idle / MILLISECOND));
		else if (idle)
			buf_printf(&body, "\"idle\":\"%lluns\",", (unsigned long long)idle);
		else
			buf_put_str(&body, "\"idle\":\"none\",");
	}
	if (body.len == 1)
		err_set(e, ERR_USAGE, "scale: --policy, --min, --max, --idle: one of them");
	if (body.len > 1) {
		body.ptr[body.len - 1] = '}';
		change(c, app, &path, buf_view(&body), e);
	}
	buf_release(&path);
	buf_release(&body);
	return err_exit_status(e->code);
}

// A text; or @FILE: what the file says, without its last newline, and where it lies.
static bool put_value(struct slice value, struct buf *body, struct err *e)
{
	const char *name = (const char *)value.ptr + 1;
	struct buf b = {.max = VALUE_MAX};
	if (!value.len || value.ptr[0] != '@') {
		buf_put_json_string(body, value);
		return true;
	}
	char *path = realpath(name, NULL);
	if (!path)
		return err_set_errno(e, errno, "cannot open '%s'", name);
	FILE *f = cli_open_file(path, e);
	bool ok = f && buf_read(&b, f, path, e);
	if (f)
		fclose(f);
	struct slice text = buf_view(&b);
	if (ok && !utf8_is_valid(text))
		ok = err_set(e, ERR_USAGE, "'%s' is no text", name);
	if (ok) {
		text.len -= slice_ends_with(text, SLICE_LIT("\n")) ? 1 + slice_ends_with(text, SLICE_LIT("\r\n")) : 0;
		buf_put_str(body, "{\"file\":");
		buf_put_json_string(body, slice_str(path));
		buf_put_str(body, ",\"text\":");
		buf_put_json_string(body, text);
		buf_put_byte(body, '}');
	}
	free(path);
	buf_release(&b);
	return ok;
}

int cli__command_set(struct cli *c, struct err *e)
{
	struct buf path = {0}, body = {0};
	bool has_app = slice_find(slice_str(c->args.ptr[0]), '=') == strlen(c->args.ptr[0]), nomem = false;
	struct map given;
	map_init(&given, &c->arena);
	buf_put_str(&path, c->dry_run ? "/variables?dry_run=true" : "/variables");
	buf_put_byte(&body, '{');
	for (uint32_t i = has_app; i < c->args.len; i++) {
		struct slice arg = slice_str(c->args.ptr[i]);
		size_t eq = slice_find(arg, '=');
		if (eq == arg.len || eq == 0) {
			err_set(e, ERR_USAGE, "'%s' is no NAME=VALUE", c->args.ptr[i]);
			break;
		}
		if (!map_insert(&given, slice_sub(arg, 0, eq), 1, &nomem)) {
			(void)(nomem ? err_nomem(e) : err_set(e, ERR_USAGE, "'%.*s' is given twice", (int)eq, c->args.ptr[i]));
			break;
		}
		buf_put_str(&body, body.len > 1 ? "," : "");
		buf_put_json_string(&body, slice_sub(arg, 0, eq));
		buf_put_byte(&body, ':');
		if (!put_value(slice_sub(arg, eq + 1, SIZE_MAX), &body, e))
			break;
	}
	buf_put_byte(&body, '}');
	if (e->code == ERR_NONE && c->args.len == has_app)
		err_set(e, ERR_USAGE, "tenon set [APP] NAME=VALUE...");
	if (e->code == ERR_NONE)
		change(c, has_app ? c->args.ptr[0] : NULL, &path, buf_view(&body), e);
	buf_release(&path);
	buf_release(&body);
	return err_exit_status(e->code);
}

int cli__command_undo(struct cli *c, struct err *e)
{
	struct buf path = {0}, body = {0};
	buf_put_str(&path, "/undo");
	buf_put_byte(&body, '{');
	if (cli__was_given(c, "to"))
		buf_printf(&body, "\"to\":%llu,", (unsigned long long)c->to);
	if (c->discard)
		buf_put_str(&body, "\"discard\":true,");
	buf_printf(&body, "\"dry_run\":%s}", c->dry_run ? "true" : "false");
	change(c, c->args.len ? c->args.ptr[0] : NULL, &path, buf_view(&body), e);
	buf_release(&body);
	return err_exit_status(e->code);
}
