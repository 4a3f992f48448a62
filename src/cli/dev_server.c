// The server of tenon dev: this program again, as `tenon up`. It gets new versions by its control socket, as by `tenon update`; where a component has never been
// built there is a page with what the builds say in place of the app.
#include "ask.h"
#include "dev.h"
#include "sys/sys.h"

enum { PAGE = 128 << 10 };  // bytes of text on it

// ---- a process ---------------------------------------------------------------------------------------------------------------------------------------

static bool is_option(const char *arg, const char *name, bool *ret_takes_next)
{
	size_t n = strlen(name);
	bool is = strncmp(arg, name, n) == 0 && (!arg[n] || arg[n] == '=');
	*ret_takes_next = is && !arg[n];
	return is;
}

// The command line with `up` in place of `dev`, and the path of a manifest at its end. What is said of the app's manifest isn't said of the page's.
static bool start(struct dev *d, const char *path, struct err *e)
{
	struct cli *c = d->c;
	const char **argv = ARENA_ARRAY(&c->arena, const char *, (uint32_t)c->argc + 4);
	uint32_t n = 0;
	bool named = false, takes_next = false;
	if (!argv)
		return err_nomem(e);
	argv[n++] = "/proc/self/exe";
	for (int i = 1; i < c->argc; i++) {
		const char *arg = c->argv[i];
		bool is_command = !named && strcmp(arg, "dev") == 0, is_path = c->args.len && arg == c->args.ptr[0];
		named |= is_command;
		if (d->is_page && (is_option(arg, "--set", &takes_next) || is_option(arg, "--profile", &takes_next)))
			i += takes_next;
		else if (!is_path)
			argv[n++] = is_command ? "up" : arg;
	}
	argv[n++] = path;
	fflush(stdout);
	return dev_start(argv, NULL, false, &d->server, e);
}

// Until it serves. false: it has ended, with *ret_status.
static bool wait_until_ready(struct dev *d, int *ret_status, struct err *e)
{
	const struct dev_process *server = &d->server;
	char folder[150];
	bool named;
	if (!ctl_folder(folder, sizeof folder, &named, e)) {
		*ret_status = err_exit_status(e->code);
		return false;
	}
	snprintf(d->socket, sizeof d->socket, "%s/%d.sock", folder, d->server.pid);
	while (!*d->stop && !dev_has_ended(&d->server)) {
		struct arena_mark mark = arena_mark(&d->c->arena);
		struct err ignored = {0};
		struct ctl_reply reply;
		bool ready = cli__ask(d->c, d->socket, "GET", "/v1/status", (struct slice){0}, &reply, &ignored) && slice_eq_str(json_text(reply.json, "state"), "ready");
		arena_rewind(&d->c->arena, mark);
		if (ready)
			return true;
		dev_wait(NULL, &server, 1, 10);
	}
	*ret_status = *d->stop ? 0 : dev_reap(&d->server);
	return false;
}

// ---- versions ----------------------------------------------------------------------------------------------------------------------------------------

static bool wait_for(struct dev *d, struct ctl_reply *r, struct err *e)
{
	char target[200];
	snprintf(target, sizeof target, "/v1/operations/%.*s?wait=20s", SLICE_ARGS(json_text(r->json, "operation")));
	do {
		if (!cli__ask(d->c, d->socket, "GET", target, (struct slice){0}, r, e))
			return false;
	} while (json_is_true(r->json, "busy"));
	const struct json *error = json_member(r->json, "error");
	return !error || ctl_reply_error(error, e);
}

static bool give(struct dev *d, struct dev_part *p, struct err *e)
{
	struct buf target = {0};
	struct cli__file file;
	struct ctl_reply reply;
	bool ok = cli__file_open(p->of->path, &file, e);
	if (ok && strcmp(file.sha256, p->sha256) == 0) {
		fprintf(stderr, "%s: built in %.0f ms, the same as before\n", p->of->item.name, dev_ms_since(p->began_ns));
	} else if (ok) {
		buf_put_str(&target, "/v1/apps/");
		ctl_encode(&target, slice_str(d->app->about.name.text));
		buf_put_str(&target, "/components/");
		ctl_encode(&target, slice_str(p->of->item.name));
		cli__put_version(&target, p->of->path, file.sha256);
		buf_put_str(&target, "&accept=true");
		buf_put_byte(&target, 0);
		uint64_t built_ns = sys_now_ns();
		ok = cli__ask_with(d->c, d->socket, (const char *)target.ptr, &file, &reply, e) && wait_for(d, &reply, e);
		if (ok)
			fprintf(stderr, "%s: built in %.0f ms, serves %.0f ms later\n", p->of->item.name, (double)(built_ns - p->began_ns) / 1e6, dev_ms_since(built_ns));
	}
	if (ok)
		memcpy(p->sha256, file.sha256, sizeof p->sha256);
	cli__file_close(&file);
	buf_release(&target);
	return ok;
}

void dev_server_update(struct dev *d, struct dev_part *p)
{
	struct err e = {0};
	struct arena_mark mark = arena_mark(&d->c->arena);
	if (!give(d, p, &e)) {
		p->has_failed = true;
		fprintf(stderr, "%s: not served; the last good version serves on\n", p->of->item.name);
		cli_print_error(&e);
	}
	arena_rewind(&d->c->arena, mark);
}

// ---- the page ----------------------------------------------------------------------------------------------------------------------------------------

// Of what the builds said the ends, as much of each.
static void put_said(const struct dev *d, struct buf *body)
{
	uint32_t failed = 0;
	struct buf b = {0};
	for (uint32_t i = 0; i < d->n; i++)
		failed += d->parts[i].has_failed;
	for (uint32_t i = 0; i < d->n; i++) {
		const struct dev_part *p = &d->parts[i];
		if (!p->has_failed)
			continue;
		buf_clear(&b);
		buf_put_printable(&b, buf_view(&p->said), "\n\t");
		size_t more = b.len > PAGE / failed ? b.len - PAGE / failed : 0;
		while (more && more < b.len && (b.ptr[more] & 0xc0) == 0x80)
			more++;  // not within a character
		buf_printf(body, "component %s was not built:\n\n%s", p->of->item.name, more || p->left_out ? "...\n" : "");
		buf_put_slice(body, slice_sub(buf_view(&b), more, SIZE_MAX));
		buf_put_str(body, "\n");
	}
	buf_release(&b);
}

// The listeners are the app's.
static void put_listeners(const struct dev *d, struct buf *b)
{
	const struct app_http *h = &d->app->http;
	const char *tls[2] = {h->tls.cert_path, h->tls.key_path};
	buf_put_str(b, "[http]\n");
	for (uint32_t i = 0; i < h->addresses.n; i++) {
		buf_put_str(b, i ? ", " : "address = [");
		buf_put_json_string(b, slice_str(h->addresses.list[i].text));
	}
	buf_put_str(b, h->addresses.n ? "]\n" : "");
	for (unsigned i = 0; i < 2 && tls[0] && tls[1]; i++) {
		char *path = realpath(tls[i], NULL);
		buf_put_str(b, i ? ", key = " : "tls = { cert = ");
		buf_put_json_string(b, slice_str(path ? path : tls[i]));
		buf_put_str(b, i ? " }\n" : "");
		free(path);
	}
}

static bool write_page(const struct dev *d, struct err *e)
{
	struct buf b = {0}, body = {0};
	put_said(d, &body);
	buf_printf(&b, "tenon = 1\n[app]\nname = \"%s\"\n", d->app->about.name.text);
	put_listeners(d, &b);
	buf_put_str(&b, "[[trigger.http]]\nroute = \"/...\"\nstatic = { status = 500, headers = { \"content-type\" = \"text/plain; charset=utf-8\" }, body = ");
	buf_put_json_string(&b, buf_view(&body));
	buf_put_str(&b, " }\n");
	FILE *f = fopen(d->page, "we");
	bool ok = f && !b.failed && !body.failed && fwrite(b.ptr, 1, b.len, f) == b.len;
	if (f)
		ok = fclose(f) == 0 && ok;
	buf_release(&b);
	buf_release(&body);
	return ok || err_set(e, ERR_ENV, "cannot write %s", d->page);
}

static bool is_missing(const struct dev *d)
{
	for (uint32_t i = 0; i < d->n; i++)
		if (!dev_is_there(d->parts[i].of->path))
			return true;
	return false;
}

// What the files are before the server reads them: one that changes meanwhile is taken for new.
static void learn_versions(struct dev *d)
{
	for (uint32_t i = 0; i < d->n; i++) {
		struct cli__file file;
		struct err ignored = {0};
		bool ok = cli__file_open(d->parts[i].of->path, &file, &ignored);
		snprintf(d->parts[i].sha256, sizeof d->parts[i].sha256, "%s", ok ? file.sha256 : "");  // the server says why
		cli__file_close(&file);
	}
}

bool dev_server_start(struct dev *d, int *ret_status, struct err *e)
{
	d->is_page = is_missing(d);
	*ret_status = 0;
	if (!d->is_page)
		learn_versions(d);
	if (d->is_page ? write_page(d, e) && start(d, d->page, e) : start(d, d->path, e)) {
		if (wait_until_ready(d, ret_status, e))
			return true;
		for (uint32_t i = 0; i < d->n; i++)
			d->parts[i].sha256[0] = 0;
		return false;
	}
	*ret_status = err_exit_status(e->code);
	return false;
}
