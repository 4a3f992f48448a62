// tenon history.
#include <time.h>

#include "ask.h"
#include "commands.h"

static void print_row(const struct json *r)
{
	const struct json *time = json_member(r, "time");
	uint64_t seconds = 0;
	struct tm tm;
	struct buf what = {.max = 1 << 16};
	char when[32] = "-";
	bool known = time && slice_parse_u64(slice_sub(time->text, 0, slice_find(time->text, '.')), INT32_MAX * UINT64_C(100), &seconds);
	time_t at = (time_t)seconds;
	if (known && localtime_r(&at, &tm))
		strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &tm);
	buf_put_printable(&what, json_text(r, "what"), "");
	printf("%c%8llu  %-19s  %.*s\n", json_is_true(r, "in_force") ? '*' : ' ', (unsigned long long)json_number(r, "release", 0), when, SLICE_ARGS(buf_view(&what)));
	buf_release(&what);
}

static void print_line(const struct json *r)
{
	struct buf b = {0};
	json_put(&b, r);
	printf("%.*s\n", SLICE_ARGS(buf_view(&b)));
	buf_release(&b);
}

int cli__command_history(struct cli *c, struct err *e)
{
	struct ask_tenon t;
	const struct json *app;
	struct ctl_reply reply;
	struct buf target = {.max = 4096};
	if (!cli__ask_app(c, c->args.len ? c->args.ptr[0] : NULL, &t, &app, e))
		return err_exit_status(e->code);
	buf_put_str(&target, "/v1/apps/");
	ctl_encode(&target, json_text(app, "app"));
	buf_printf(&target, "/history%c", 0);
	bool ok = (!target.failed || err_nomem(e)) && cli__ask(c, t.path, "GET", (const char *)target.ptr, (struct slice){0}, &reply, e);
	buf_release(&target);
	const struct json *all = ok ? json_member(reply.json, "history") : NULL;
	if (all && !c->config.process.json)
		printf("%9s  %-19s  %s\n", "release", "when", "what");
	for (const struct json *r = all ? all->first : NULL; r; r = r->next)
		(c->config.process.json ? print_line : print_row)(r);
	return err_exit_status(e->code);
}
