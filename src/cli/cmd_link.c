// tenon link.
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "ask.h"
#include "commands.h"
#include "sys/sys.h"

// "file:PATH" is relative to whoever asks.
static bool put_target(struct buf *b, const char *target, struct err *e)
{
	struct buf text = {0};
	bool relative = strncmp(target, "file:", 5) == 0 && target[5] && target[5] != '/';
	if (relative) {
		char *folder = realpath(".", NULL);
		if (!folder)
			return err_set_errno(e, errno, "the current folder");
		buf_printf(&text, "file:%s/%s", folder, target + 5);
		free(folder);
	} else {
		buf_put_str(&text, target);
	}
	buf_put_str(b, ",\"target\":");
	buf_put_json_string(b, buf_view(&text));
	b->failed |= text.failed;
	buf_release(&text);
	return true;
}

static bool put_change(const struct cli *c, const char *target, struct buf *b, struct err *e)
{
	buf_printf(b, "{\"dry_run\":%s", c->dry_run ? "true" : "false");
	if (c->copy)
		buf_put_str(b, ",\"copy\":true");
	if (c->replace)
		buf_put_str(b, ",\"replace\":true");
	if (c->undo)
		buf_put_str(b, ",\"undo\":true");
	if (c->discard)
		buf_put_str(b, ",\"discard\":true");
	if (c->max_pause_ns)
		buf_printf(b, ",\"max_pause_ms\":%llu", (unsigned long long)(c->max_pause_ns / MILLISECOND));
	if (c->limit_ns)
		buf_printf(b, ",\"limit_ms\":%llu", (unsigned long long)(c->limit_ns / MILLISECOND));
	if (cli__was_given(c, "shadow"))
		buf_printf(b, ",\"shadow\":%u", c->shadow);
	if (c->promote)
		buf_put_str(b, ",\"promote\":true");
	if (target && !put_target(b, target, e))
		return false;
	buf_put_byte(b, '}');
	return !b->failed || err_nomem(e);
}

// ---- what it came to ----------------------------------------------------------------------------------------------------------------------------

// "and @b, @c, on the same store".
static void print_with(const struct json *o)
{
	const struct json *with = json_member(o, "with");
	for (const struct json *x = with ? with->first : NULL; x; x = x->next)
		printf("%s@%.*s%s", x == with->first ? "and " : ", ", SLICE_ARGS(x->text), x->next ? "" : ", on the same store, as well\n");
}

static void print_done(struct cli *c, const char *link, const struct json *o)
{
	const struct json *p = json_member(o, "pause_ms");
	if (json_is_true(o, "source_is_gone"))
		printf("the store in force does not answer: %s\n", c->dry_run ? "it would be left as it is" : "it was left as it is");
	if (c->dry_run)
		printf("nothing was changed; the target holds %llu keys\n", (unsigned long long)json_number(o, "target_keys", 0));
	if (cli__was_given(c, "shadow") && !c->shadow)
		printf("%s: nothing is asked twice any more\n", link);
	else if (cli__was_given(c, "shadow"))
		printf("%s stays; %u%% of what is read is asked of %.*s, too: tenon status\n", link, c->shadow, SLICE_ARGS(cli__printable(c, json_text(o, "target"))));
	if (c->dry_run)
		print_with(o);
	if (c->dry_run || cli__was_given(c, "shadow"))
		return;
	printf("%s is %.*s: release %llu, epoch %llu", link, SLICE_ARGS(cli__printable(c, json_text(o, "target"))), (unsigned long long)json_number(o, "release", 0),
		(unsigned long long)json_number(o, "epoch", 0));
	if (p)
		printf(", paused %.*s ms", SLICE_ARGS(p->text));
	if (json_member(o, "rounds"))
		printf(", %llu keys copied", (unsigned long long)json_number(o, "keys", 0));
	else if (c->discard)
		printf(", %llu keys that came since are dropped", (unsigned long long)json_number(o, "discarded", 0));
	else
		printf(", it starts with %llu keys", (unsigned long long)json_number(o, "target_keys", 0));
	printf("\n");
	print_with(o);
}

// "@NAME".
static bool is_link(const char *arg)
{
	return arg[0] == '@';
}

// "COMPONENT:IMPORT".
static bool is_import(const char *arg)
{
	return arg[0] != '@' && strchr(arg, ':') != NULL;
}

static int bind_import(struct cli *c, const char *app, const char *import, const char *target, struct err *e)
{
	struct buf path = {0}, body = {0};
	const struct json *o;
	struct slice whole = slice_str(import);
	size_t colon = slice_find(whole, ':');
	if (!target || c->undo || c->replace || c->discard || c->promote || cli__was_given(c, "shadow") || c->max_pause_ns || c->limit_ns) {
		err_set(e, ERR_USAGE, "tenon link [APP] COMPONENT:IMPORT (@NAME|TARGET) [--copy] [--dry-run]");
		err_hint(e, "tenon undo takes it back");
		return err_exit_status(e->code);
	}
	buf_put_str(&path, "/components/");
	ctl_encode(&path, slice_sub(whole, 0, colon));
	buf_put_str(&path, "/links/");
	ctl_encode(&path, slice_sub(whole, colon + 1, SIZE_MAX));
	if (put_change(c, target, &body, e) && cli__change(c, app, &path, buf_view(&body), &o, e) && !c->config.process.json) {
		if (c->dry_run)
			printf("nothing was changed\n");
		else
			printf("%.*s is %.*s: release %llu\n", SLICE_ARGS(cli__printable(c, whole)), SLICE_ARGS(cli__printable(c, json_text(o, "target"))), (unsigned long long)json_number(o, "release", 0));
	}
	buf_release(&path);
	buf_release(&body);
	return err_exit_status(e->code);
}

int cli__command_link(struct cli *c, struct err *e)
{
	const char *const *args = c->args.ptr;
	uint32_t at = is_link(args[0]) || is_import(args[0]) ? 0 : 1;
	const char *app = at ? args[0] : NULL, *link = at < c->args.len ? args[at] : "", *target = at + 1 < c->args.len ? args[at + 1] : NULL;
	struct buf path = {0}, body = {0};
	const struct json *o;
	if (is_import(link) && c->args.len <= at + 2)
		return bind_import(c, app, link, target, e);
	bool alone = c->undo || c->promote || (cli__was_given(c, "shadow") && !c->shadow);
	if (!is_link(link) || c->args.len > at + 2 || !target != alone) {
		err_set(e, ERR_USAGE, "tenon link [APP] @NAME TARGET, tenon link [APP] @NAME --undo, --promote or --shadow 0%%, or tenon link [APP] COMPONENT:IMPORT (@NAME|TARGET)");
		return err_exit_status(e->code);
	}
	buf_put_str(&path, "/links/");
	ctl_encode(&path, slice_str(link + 1));
	if (put_change(c, target, &body, e) && cli__change(c, app, &path, buf_view(&body), &o, e) && !c->config.process.json)
		print_done(c, link, o);
	buf_release(&path);
	buf_release(&body);
	return err_exit_status(e->code);
}
