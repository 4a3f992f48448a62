// Which route a request is for.
#include <stdio.h>

#include "ctl_int.h"
#include "upload.h"

static const struct route {
	const char *method, *path;
	int body;
	void (*answer)(struct ctl_request *r);
} routes[] = {
#define ROUTE(name, method, path, body, what) {method, path, body, ctl__route_##name},
#include "routes.def"
#undef ROUTE
};

// Segment by segment; a parameter takes one, which is not empty. false: it is another path, or a parameter is no text.
static bool match(struct ctl_request *r, const char *pattern, struct slice path)
{
	struct slice want = slice_str(pattern);
	unsigned n = 0;
	for (;;) {
		size_t end = slice_find(path, '/'), want_end = slice_find(want, '/');
		struct slice part = slice_sub(path, 0, end), want_part = slice_sub(want, 0, want_end);
		if (want_part.len && want_part.ptr[0] == '{') {
			if (part.len == 0 || n == CTL_PARAMS_MAX || !ctl__decode(&r->arena, part, &r->params[n++]))
				return false;
		} else if (!slice_eq(part, want_part)) {
			return false;
		}
		if ((end == path.len) != (want_end == want.len))
			return false;
		if (end == path.len)
			return true;
		path = slice_sub(path, end + 1, SIZE_MAX);
		want = slice_sub(want, want_end + 1, SIZE_MAX);
	}
}

// `allowed`: the methods of the path; empty: there is no such path.
static void answer_no_route(struct ctl_request *r, const char *allowed)
{
	struct err e;
	err_clear(&e);
	err_set(&e, ERR_USAGE, *allowed ? "the path has other methods" : "there is nothing of that name");
	err_hint(&e, "%s%s", *allowed ? "it has" : "docs/control.md lists what is there", allowed);
	http_body_discard(r->x);
	ctl__answer_error(r, *allowed ? 405 : 404, &e);
}

// Into a file of the app of its path. Where that isn't there, or isn't changed, nothing is read and the route says so: then there is no upload.
static void read_upload(struct ctl_request *r, void (*answer)(struct ctl_request *r))
{
	struct err e = {0};
	sys_mutex_lock(&r->ctl->lock);
	const struct ctl_app *app = ctl__app_find(r->ctl, r->params[0]);
	bool is = app && app->state;
	bool ok = !is || ctl__upload_new(r->ctl, ctl_journal_folder(app->state->journal), ctl__request_go_on, r, &r->upload, &e);
	sys_mutex_unlock(&r->ctl->lock);
	if (is && ok) {
		ctl__request_read(r, answer);
		return;
	}
	http_body_discard(r->x);
	if (ok)
		answer(r);
	else
		ctl__answer_failed(r, &e);
}

void ctl__dispatch(struct ctl *ctl, struct http_exchange *x)
{
	const struct http_request *q = http_exchange_request(x);
	struct ctl_request *r = ctl__request_new(ctl, ctl->loop, x);
	char allowed[64] = "";
	if (!r)
		return;
	size_t end = slice_find(q->target, '?');
	struct slice path = slice_sub(q->target, 0, end);
	r->query = slice_sub(q->target, min_u64(end + 1, q->target.len), SIZE_MAX);
	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		const struct route *o = &routes[i];
		if (!match(r, o->path, path))
			continue;
		size_t had = strlen(allowed);
		snprintf(allowed + had, sizeof allowed - had, " %s", o->method);
		if (!slice_eq_str(q->method, o->method) && !(q->is_head && strcmp(o->method, "GET") == 0))
			continue;
		if (o->body) {
			(o->body == 2 ? read_upload : ctl__request_read)(r, o->answer);
			return;
		}
		http_body_discard(x);
		o->answer(r);
		return;
	}
	answer_no_route(r, allowed);
}
