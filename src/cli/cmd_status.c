// tenon status.
#include "ask.h"
#include "commands.h"

static void put_slice(struct buf *b, struct slice s)
{
	buf_put_printable(b, s, "");
}

static void put_bytes(struct buf *b, uint64_t n)
{
	char text[32];
	if (n >= 10 * GIB)
		snprintf(text, sizeof text, "%llu GiB", (unsigned long long)(n / GIB));
	else if (n >= 10 * MIB)
		snprintf(text, sizeof text, "%llu MiB", (unsigned long long)(n / MIB));
	else
		snprintf(text, sizeof text, "%llu KiB", (unsigned long long)((n + KIB - 1) / KIB));
	buf_printf(b, "%9s", text);
}

static void put_time(struct buf *b, uint64_t us)
{
	char text[32];
	if (us >= 10000000)
		snprintf(text, sizeof text, "%llu s", (unsigned long long)(us / 1000000));
	else if (us >= 10000)
		snprintf(text, sizeof text, "%llu ms", (unsigned long long)(us / 1000));
	else
		snprintf(text, sizeof text, "%llu us", (unsigned long long)us);
	buf_printf(b, "%8s", text);
}

// ---- for people ------------------------------------------------------------------------------------------------------------------------------

static void put_component(struct buf *b, const struct json *f)
{
	char name[40];
	snprintf(name, sizeof name, "%.*s", SLICE_ARGS(json_text(f, "component")));
	buf_printf(b, "  %-18.18s %-7.*s %9llu %7llu %6llu", name, SLICE_ARGS(json_text(f, "policy")), (unsigned long long)json_number(f, "requests", 0),
		(unsigned long long)json_number(f, "errors", 0), (unsigned long long)json_number(f, "in_flight", 0));
	put_time(b, json_number(f, "p50_us", 0));
	put_time(b, json_number(f, "p99_us", 0));
	put_bytes(b, json_number(f, "memory_peak", 0));
	buf_put_byte(b, '\n');
}

static void put_shadow(struct buf *b, const struct json *s)
{
	buf_printf(b, "    of what is read %llu %% is asked of %.*s, too: %llu equal, %llu different, %llu failed, %llu left out; it takes", (unsigned long long)json_number(s, "percent", 0),
		SLICE_ARGS(json_text(s, "target")), (unsigned long long)json_number(s, "equal", 0), (unsigned long long)json_number(s, "different", 0),
		(unsigned long long)json_number(s, "failed", 0), (unsigned long long)json_number(s, "left_out", 0));
	put_time(b, json_number(s, "shadow_mean_us", 0));
	buf_put_str(b, ", the store");
	put_time(b, json_number(s, "mean_us", 0));
	buf_put_byte(b, '\n');
}

// What it leads to is the last: it may be long. Calls are those of stores; what others do stands with the components.
static void put_link(struct buf *b, const struct json *l)
{
	char name[40];
	const struct json *shadow = json_member(l, "shadow");
	struct slice state = json_text(l, "state");
	snprintf(name, sizeof name, "@%.*s", SLICE_ARGS(json_text(l, "link")));
	if (state.len) {
		buf_printf(b, "  %-18.18s %-7.*s %9llu %7llu %6llu", name, SLICE_ARGS(state), (unsigned long long)json_number(l, "calls", 0), (unsigned long long)json_number(l, "errors", 0),
			(unsigned long long)json_number(l, "in_flight", 0));
		put_time(b, json_number(l, "mean_us", 0));
	} else {
		buf_printf(b, "  %-18.18s %-39s", name, "");
	}
	buf_put_str(b, "  ");
	put_slice(b, json_text(l, "target"));
	buf_put_byte(b, '\n');
	if (shadow)
		put_shadow(b, shadow);
}

// A version that is tried stands beneath its component.
static void put_tried(struct buf *b, const struct json *app, struct slice component)
{
	const struct json *tried = json_member(app, "tried");
	if (tried && slice_eq(json_text(tried, "component"), component))
		buf_printf(b, "    %llu %% of its requests go to a version that is tried, %.*s\n", (unsigned long long)json_number(tried, "percent", 0),
			SLICE_ARGS(slice_sub(json_text(tried, "sha256"), 0, 12)));
}

// Of no request of its own.
static void put_inner(struct buf *b, const struct json *component)
{
	uint64_t n = json_number(component, "inner_calls", 0);
	if (n)
		buf_printf(b, "    called %llu times by triggers and other components\n", (unsigned long long)n);
}

// Its last update, while its thresholds may take it back.
static void put_watched(struct buf *b, const struct json *component)
{
	const struct json *left = json_member(component, "watched");
	if (left)
		buf_printf(b, "    its thresholds take its last update back if they are passed, for %.*s s more\n", SLICE_ARGS(left->text));
}

static void put_app(struct buf *b, const struct json *app)
{
	const struct json *components = json_member(app, "components"), *links = json_member(app, "links");
	uint64_t release = json_number(app, "release", 0);
	put_slice(b, json_text(app, "app"));
	if (release)
		buf_printf(b, ", release %llu", (unsigned long long)release);
	if (!slice_eq_str(json_text(app, "state"), "running"))
		buf_printf(b, " (%.*s)", SLICE_ARGS(json_text(app, "state")));
	buf_put_str(b, json_is_true(app, "busy") ? " (a change is under way)\n" : "\n");
	if (components && components->n)
		buf_printf(b, "  %-18s %-7s %9s %7s %6s%8s%8s%9s\n", "component", "policy", "requests", "errors", "now", "p50", "p99", "memory");
	for (const struct json *f = components ? components->first : NULL; f; f = f->next) {
		put_component(b, f);
		put_inner(b, f);
		put_watched(b, f);
		put_tried(b, app, json_text(f, "component"));
	}
	if (links && links->n)
		buf_printf(b, "  %-18s %-7s %9s %7s %6s%8s  %s\n", "link", "state", "calls", "errors", "now", "mean", "leads to");
	for (const struct json *l = links ? links->first : NULL; l; l = l->next)
		put_link(b, l);
}

static void put_process(struct buf *b, const struct json *s)
{
	const struct json *urls = json_member(s, "urls");
	buf_printf(b, "tenon %llu, %.*s,", (unsigned long long)json_number(s, "pid", 0), SLICE_ARGS(json_text(s, "state")));
	for (const struct json *u = urls ? urls->first : NULL; u; u = u->next) {
		buf_put_byte(b, ' ');
		put_slice(b, u->text);
	}
	buf_put_byte(b, '\n');
}

// ---- for programs: an object a line ------------------------------------------------------------------------------------------------------------

static void put_line(struct buf *b, const struct json *v)
{
	json_put(b, v);
	buf_put_byte(b, '\n');
}

static int print(struct buf *b, struct err *e)
{
	bool ok = !b->failed ? fwrite(b->ptr, 1, b->len, stdout) == b->len && fflush(stdout) == 0 : err_nomem(e);
	buf_release(b);
	if (!ok)
		err_set(e, ERR_ENV, "cannot write to the standard output");
	return err_exit_status(e->code);
}

// What is in force of an app, as a manifest.
static int print_manifest(struct cli *c, struct err *e)
{
	struct ask_tenon t;
	const struct json *app;
	struct ctl_reply reply;
	struct buf target = {.max = 4096}, b = {.max = 64 << 20};
	if (!cli__ask_app(c, c->args.len ? c->args.ptr[0] : NULL, &t, &app, e))
		return err_exit_status(e->code);
	buf_put_str(&target, "/v1/apps/");
	ctl_encode(&target, json_text(app, "app"));
	buf_printf(&target, "/manifest%c", 0);
	bool ok = cli__ask(c, t.path, "GET", (const char *)target.ptr, (struct slice){0}, &reply, e);
	buf_release(&target);
	if (ok && c->config.process.json)
		put_line(&b, reply.json);
	else if (ok)
		buf_put_slice(&b, json_text(reply.json, "manifest"));
	return ok ? print(&b, e) : err_exit_status(e->code);
}

int cli__command_status(struct cli *c, struct err *e)
{
	if (c->manifest)
		return print_manifest(c, e);
	struct buf b = {.max = 64 << 20};
	struct ask_tenon *all, one;
	const struct json *app = NULL;
	uint32_t n = 1;
	if (c->args.len ? !cli__ask_app(c, c->args.ptr[0], &one, &app, e) : !cli__ask_all(c, &all, &n, e))
		return err_exit_status(e->code);
	if (app)
		all = &one;
	for (uint32_t i = 0; i < n; i++) {
		if (c->config.process.json) {
			put_line(&b, app ? app : all[i].status);
			continue;
		}
		put_process(&b, all[i].status);
		for (const struct json *a = json_member(all[i].status, "apps")->first; a; a = a->next)
			if (!app || a == app)
				put_app(&b, a);
	}
	return print(&b, e);
}
