// tenon logs, tenon explain.
#include "ask.h"
#include "commands.h"
#include "sys/sys.h"

struct follower {
	const bool *stop;
	bool at_end;  // of a line
	bool json;
};

static bool stops(void *user)
{
	return *((struct follower *)user)->stop;
}

// Of a server that logs to a terminal lines are texts.
static bool print_object(struct slice line)
{
	struct arena a;
	struct json *o = NULL;
	struct err ignored;
	struct buf b = {.max = 1 << 20};
	arena_init(&a, 8 << 20);
	if (json_parse(&a, line, &o, &ignored) && o->kind == JSON_OBJECT) {
		buf_put_slice(&b, line);
	} else {
		buf_put_str(&b, "{\"line\":");
		buf_put_json_string(&b, line);
		buf_put_byte(&b, '}');
	}
	bool ok = !b.failed && fwrite(b.ptr, 1, b.len, stdout) == b.len;
	buf_release(&b);
	arena_release(&a);
	return ok;
}

// A line of server-sent events: the data of each is a line of the log.
static bool on_line(void *user, struct slice line)
{
	struct follower *f = user;
	if (slice_starts_with(line, SLICE_LIT("data: "))) {
		line = slice_sub(line, 6, SIZE_MAX);
		f->at_end = (f->json ? print_object(line) : fwrite(line.ptr, 1, line.len, stdout) == line.len) && putchar('\n') != EOF && fflush(stdout) == 0;
		if (!f->at_end)
			return false;
	}
	return !*f->stop;
}

static void wake(void *arg)
{
}

int cli__command_logs(struct cli *c, struct err *e)
{
	struct ask_tenon t;
	const struct json *app;
	struct follower f = {.at_end = true, .json = c->config.process.json};
	struct buf target = {.max = 4096};
	struct ctl_reply reply;
	if (!cli__ask_app(c, c->args.len ? c->args.ptr[0] : NULL, &t, &app, e))
		return err_exit_status(e->code);
	buf_put_str(&target, "/v1/apps/");
	ctl_encode(&target, json_text(app, "app"));
	buf_printf(&target, "/logs?follow=%s%c", c->follow ? "true" : "false", 0);
	const struct ctl_question q = {.path = t.path,
		.method = "GET",
		.target = (const char *)target.ptr,
		.timeout_ns = 60 * SECOND,
		.on_line = on_line,
		.interrupted = stops,
		.user = &f};
	sys_no_sigpipe();
	f.stop = sys_stop_begin(wake, NULL);
	bool ok = ctl_ask(&c->arena, &q, &reply, e);
	buf_release(&target);
	if (*f.stop || !f.at_end)
		err_clear(e);  // enough, or nobody reads it any more
	else if (ok && reply.status != 200)
		ctl_reply_error(json_member(reply.json, "error"), e);
	sys_stop_end();
	return err_exit_status(e->code);
}

// ---- explain ---------------------------------------------------------------------------------------------------------------------------------

static void print_row(const char *name, struct slice text)
{
	struct buf b = {.max = 1 << 16};
	buf_put_printable(&b, text, "");
	if (text.len)
		printf("  %-10s %.*s\n", name, SLICE_ARGS(buf_view(&b)));
	buf_release(&b);
}

static void print_us(const char *name, const struct json *r, const char *member)
{
	uint64_t us = json_number(r, member, 0);
	printf("  %-10s %llu.%03llu ms\n", name, (unsigned long long)us / 1000, (unsigned long long)us % 1000);
}

// "    12.345 ms  cart @sessions wasi:keyvalue/store@0.2.0-draft2#[method]bucket.get: ok, 0.210 ms"
static void print_call(const struct json *c)
{
	uint64_t after = json_number(c, "after_us", 0), took = json_number(c, "took_us", 0), status = json_number(c, "status", 0);
	struct slice link = json_text(c, "link");
	struct buf b = {.max = 1 << 16};
	buf_put_printable(&b, json_text(c, "call"), "");
	printf("    %llu.%03llu ms  %.*s %s%.*s%s%.*s: %.*s", (unsigned long long)after / 1000, (unsigned long long)after % 1000, SLICE_ARGS(json_text(c, "component")),
		link.len ? "@" : "", SLICE_ARGS(link), link.len ? " " : "", SLICE_ARGS(buf_view(&b)), SLICE_ARGS(json_text(c, "outcome")));
	if (status)
		printf(" %llu", (unsigned long long)status);
	printf(", %llu.%03llu ms\n", (unsigned long long)took / 1000, (unsigned long long)took % 1000);
	buf_release(&b);
}

static void print_calls(const struct json *r)
{
	const struct json *calls = json_member(r, "calls");
	uint64_t n = json_number(r, "link_calls", 0), shown = 0;
	print_us("in links", r, "link_us");
	for (const struct json *c = calls ? calls->first : NULL; c; c = c->next, shown++)
		print_call(c);
	if (shown < n)
		printf("    and %llu more\n", (unsigned long long)(n - shown));
}

static void print_request(const struct json *o)
{
	const struct json *r = json_member(o, "request");
	struct slice method = json_text(r, "method"), path = json_text(r, "path");
	struct buf what = {.max = 1 << 16};
	buf_printf(&what, "%.*s ", SLICE_ARGS(method));
	buf_put_printable(&what, path, "");
	printf("request %llu: %.*s: %llu\n", (unsigned long long)json_number(r, "id", 0), SLICE_ARGS(buf_view(&what)), (unsigned long long)json_number(r, "status", 0));
	buf_release(&what);
	print_row("component", json_text(r, "component"));
	print_row("route", json_text(r, "route"));
	if (json_number(r, "release", 0))
		printf("  %-10s %llu\n", "release", (unsigned long long)json_number(r, "release", 0));
	if (json_number(r, "instance", 0))
		printf("  %-10s %llu of shard %llu, version %llu, its request number %llu\n", "instance", (unsigned long long)json_number(r, "instance", 0),
			(unsigned long long)json_number(r, "shard", 0), (unsigned long long)json_number(r, "version", 0), (unsigned long long)json_number(r, "uses", 0));
	print_row("outcome", json_text(r, "outcome"));
	print_row("means", json_text(o, "means"));
	print_us("took", r, "wall_us");
	print_us("computed", r, "cpu_us");
	print_us("waited", r, "wait_us");
	printf("  %-10s %llu calls of imports, %llu through links or out\n", "called", (unsigned long long)json_number(r, "host_calls", 0),
		(unsigned long long)json_number(r, "link_calls", 0));
	if (json_number(r, "link_calls", 0))
		print_calls(r);
}

static void print_import(const struct json *i)
{
	struct slice link = json_text(i, "link"), provider = json_text(i, "provider"), as = json_text(i, "as"), grant = json_text(i, "grant");
	struct buf b = {.max = 1 << 16};
	buf_put_printable(&b, json_text(i, "import"), "");
	if (link.len)
		buf_printf(&b, ": link %.*s, by %.*s: ", SLICE_ARGS(link), SLICE_ARGS(json_text(i, "rule")));
	else if (provider.len)
		buf_printf(&b, ": %.*s, as %.*s", SLICE_ARGS(provider), SLICE_ARGS(as));
	else
		buf_put_str(&b, ": types, which need nobody");
	if (link.len)
		buf_put_printable(&b, json_text(i, "target"), "");
	printf("  %.*s\n", SLICE_ARGS(buf_view(&b)));
	if (grant.len)
		printf("    is given nothing; %.*s would\n", SLICE_ARGS(grant));
	buf_release(&b);
}

static void print_component(const struct json *o)
{
	const struct json *imports = json_member(o, "imports");
	printf("component %.*s\n", SLICE_ARGS(json_text(o, "component")));
	for (const struct json *i = imports ? imports->first : NULL; i; i = i->next)
		print_import(i);
}

int cli__command_explain(struct cli *c, struct err *e)
{
	struct ask_tenon t;
	const struct json *app;
	struct ctl_reply reply;
	struct buf target = {.max = 4096};
	const char *id = c->args.ptr[c->args.len - 1];
	uint64_t n;
	bool of_request = slice_parse_u64(slice_str(id), UINT64_MAX, &n);
	if (!of_request && !(id[0] >= 'a' && id[0] <= 'z')) {
		err_set(e, ERR_USAGE, "neither the number of a request nor the name of a component: '%s'", id);
		err_hint(e, "tenon logs and receipts have the one, tenon status the other");
		return err_exit_status(e->code);
	}
	if (!cli__ask_app(c, c->args.len > 1 ? c->args.ptr[0] : NULL, &t, &app, e))
		return err_exit_status(e->code);
	buf_put_str(&target, "/v1/apps/");
	ctl_encode(&target, json_text(app, "app"));
	buf_put_str(&target, of_request ? "/explain?request=" : "/explain?component=");
	ctl_encode(&target, slice_str(id));
	buf_put_byte(&target, 0);
	const struct ctl_question q = {.path = t.path, .method = "GET", .target = (const char *)target.ptr, .timeout_ns = 60 * SECOND};
	bool ok = ctl_ask(&c->arena, &q, &reply, e);
	buf_release(&target);
	if (ok && reply.status != 200)
		ctl_reply_error(json_member(reply.json, "error"), e);
	else if (ok && c->config.process.json)
		printf("%.*s", SLICE_ARGS(reply.body));
	else if (ok && of_request)
		print_request(reply.json);
	else if (ok)
		print_component(reply.json);
	return err_exit_status(e->code);
}
