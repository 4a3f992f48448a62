// A change of an app, asked for and waited for: its steps as they come, and what it came to.
#include "ask.h"
#include "sys/sys.h"

enum { STOP_SECONDS = 5 };

struct waiter {
	struct cli *c;
	const char *path;     // of the socket
	char operation[160];  // "/v1/operations/ID"
	const bool *stop;     // Ctrl-C, SIGTERM
	uint64_t until;       // it was asked to end, and is waited for until then; 0: it wasn't
	uint64_t told;        // steps
	bool told_changes, told_imports;
};

static void wake(void *arg)
{
}

static void put_word(struct buf *b, const struct json *o, const char *name, const char *before)
{
	struct slice text = json_text(o, name);
	if (!text.len)
		return;
	buf_put_str(b, before);
	buf_put_printable(b, text, "");
}

// "~ component api policy: fresh -> reuse", "+ link cache", "- component old".
static void tell_change(const struct json *o)
{
	struct slice how = json_text(o, "how");
	const struct json *before = json_member(o, "before"), *after = json_member(o, "after");
	struct buf b = {.max = 1 << 16};
	buf_put_str(&b, slice_eq_str(how, "added") ? "+" : slice_eq_str(how, "removed") ? "-"
																					: "~");
	put_word(&b, o, "part", " ");
	put_word(&b, o, "name", " ");
	put_word(&b, o, "key", " ");
	if (before || after) {
		buf_put_str(&b, ": ");
		buf_put_printable(&b, before ? before->text : SLICE_LIT("nothing"), "");
		buf_put_str(&b, " -> ");
		buf_put_printable(&b, after ? after->text : SLICE_LIT("nothing"), "");
	}
	printf("%.*s\n", SLICE_ARGS(buf_view(&b)));
	buf_release(&b);
}

// Before the steps that come behind it.
static void tell_changes(struct waiter *w, const struct json *o)
{
	const struct json *changes = json_member(o, "changes");
	enum cli_command of = w->c->command;
	if (w->told_changes || !changes || w->c->config.process.json || (of != CLI_apply && of != CLI_stop && of != CLI_undo))
		return;
	w->told_changes = true;
	for (const struct json *x = changes->first; x; x = x->next)
		tell_change(x);
}

// "+ import wasi:keyvalue/store@0.2.0-draft2 of api (@sessions)".
static void tell_imports(struct waiter *w, const struct json *o)
{
	const struct json *imports = json_member(o, "imports");
	if (w->told_imports || !imports || w->c->config.process.json)
		return;
	w->told_imports = true;
	for (const struct json *x = imports->first; x; x = x->next) {
		struct buf b = {.max = 1 << 16};
		put_word(&b, x, "import", "+ import ");
		put_word(&b, x, "component", " of ");
		put_word(&b, x, "link", ": @");
		put_word(&b, x, "grant", ": ");
		printf("%.*s\n", SLICE_ARGS(buf_view(&b)));
		buf_release(&b);
	}
}

static void tell_steps(struct waiter *w, const struct json *o)
{
	const struct json *steps = json_member(o, "steps");
	uint64_t n = 0;
	for (const struct json *s = steps ? steps->first : NULL; s; s = s->next)
		if (++n > w->told && !w->c->config.process.json)
			printf("%.*s\n", SLICE_ARGS(json_text(s, "step")));
	w->told = max_u64(w->told, n);
	fflush(stdout);
}

static void cancel(struct waiter *w)
{
	struct err ignored = {0};
	struct ctl_reply reply;
	const struct ctl_question q = {.path = w->path, .method = "DELETE", .target = w->operation, .timeout_ns = STOP_SECONDS * SECOND};
	w->until = sys_now_ns() + STOP_SECONDS * SECOND;
	(void)ctl_ask(&w->c->arena, &q, &reply, &ignored);
}

static bool stops(void *user)
{
	const struct waiter *w = user;
	return *w->stop && !w->until;
}

// What the operation is now. Who was told to stop while it was asked has no answer: *ret is empty then.
static bool look(struct waiter *w, const char *target, struct ctl_reply *ret, struct err *e)
{
	const struct ctl_question q = {.path = w->path,
		.method = "GET",
		.target = target,
		.timeout_ns = (w->until ? STOP_SECONDS : CLI__ANSWER_SECONDS) * SECOND,
		.interrupted = stops,
		.user = w};
	if (ctl_ask(&w->c->arena, &q, ret, e))
		return ret->status < 300 || ctl_reply_error(json_member(ret->json, "error"), e);
	if (!*w->stop)
		return false;
	err_clear(e);
	*ret = (struct ctl_reply){0};
	return true;
}

// It was asked to end and hasn't: it is past that, or tenon doesn't answer. Who was told to stop does.
static bool give_up(const struct waiter *w, struct err *e)
{
	err_set(e, ERR_TIMEOUT, "the operation '%s' goes on", strrchr(w->operation, '/') + 1);
	err_hint(e, "tenon history shows what becomes of it");
	cli_print_error(e);
	return false;
}

// Until it is over; *ret: the operation.
static bool wait_for(struct waiter *w, const struct json **ret, struct err *e)
{
	char target[200];
	struct ctl_reply reply;
	snprintf(target, sizeof target, "%s?wait=250ms", w->operation);
	for (struct arena_mark before = arena_mark(&w->c->arena);; arena_rewind(&w->c->arena, before)) {  // it may take hours
		if (!look(w, target, &reply, e))
			return false;
		if (reply.json) {
			tell_changes(w, reply.json);
			tell_imports(w, reply.json);
			tell_steps(w, reply.json);
			if (!json_is_true(reply.json, "busy"))
				break;
		}
		if (w->until && sys_now_ns() >= w->until)
			return give_up(w, e);
		if (*w->stop && !w->until)
			cancel(w);
	}
	*ret = reply.json;
	return true;
}

// What has to be known though nothing failed.
static void warn(const struct json *o)
{
	struct buf b = {.max = 1 << 12};
	struct slice unmarked = json_text(o, "unmarked");
	if (unmarked.len) {
		buf_put_printable(&b, unmarked, "");
		fprintf(stderr, "warning: %.*s\n  hint: the next change of the link writes it; until then another tenon may take the store's data for what can be replaced\n",
			SLICE_ARGS(buf_view(&b)));
	}
	buf_release(&b);
}

static bool outcome(struct waiter *w, const struct json *o, struct err *e)
{
	struct buf b = {0};
	const struct json *error = json_member(o, "error");
	if (w->c->config.process.json) {
		json_put(&b, o);
		printf("%.*s\n", SLICE_ARGS(buf_view(&b)));
		fflush(stdout);
	}
	buf_release(&b);
	warn(o);
	return !error || ctl_reply_error(error, e);
}

// `file`: in place of the body.
static bool change_at(struct cli *c, const struct ask_tenon *t, const char *app, struct buf *path, struct slice body, const struct cli__file *file,
	const struct json **ret, struct err *e)
{
	struct waiter w = {.c = c, .path = t->path};
	struct buf target = {0};
	struct ctl_reply reply;
	buf_put_str(&target, "/v1/apps/");
	ctl_encode(&target, slice_str(app));
	buf_printf(&target, "%.*s%s%c", SLICE_ARGS(buf_view(path)), !c->no_wait ? "" : slice_find(buf_view(path), '?') < path->len ? "&queue=false"
																															   : "?queue=false",
		0);
	w.stop = sys_stop_begin(wake, NULL);
	bool ok = !target.failed || err_nomem(e);
	if (ok && file)
		ok = cli__ask_with(c, t->path, (const char *)target.ptr, file, &reply, e);
	else if (ok)
		ok = cli__ask(c, t->path, "POST", (const char *)target.ptr, body, &reply, e);
	if (ok) {
		snprintf(w.operation, sizeof w.operation, "/v1/operations/%.*s", SLICE_ARGS(json_text(reply.json, "operation")));
		ok = wait_for(&w, ret, e) && outcome(&w, *ret, e);
	}
	sys_stop_end();
	buf_release(&target);
	return ok;
}

static bool change(struct cli *c, const char *app, struct buf *path, struct slice body, const struct cli__file *file, const struct json **ret, struct err *e)
{
	struct ask_tenon t;
	const struct json *a;
	char name[64];
	if (!cli__ask_app(c, app, &t, &a, e))
		return false;
	snprintf(name, sizeof name, "%.*s", SLICE_ARGS(json_text(a, "app")));
	return change_at(c, &t, name, path, body, file, ret, e);
}

bool cli__change(struct cli *c, const char *app, struct buf *path, struct slice body, const struct json **ret, struct err *e)
{
	return change(c, app, path, body, NULL, ret, e);
}

bool cli__change_with(struct cli *c, const char *app, struct buf *path, const struct cli__file *file, const struct json **ret, struct err *e)
{
	return change(c, app, path, (struct slice){0}, file, ret, e);
}

bool cli__change_at(struct cli *c, const struct ask_tenon *t, const char *app, struct buf *path, struct slice body, const struct json **ret, struct err *e)
{
	return change_at(c, t, app, path, body, NULL, ret, e);
}
