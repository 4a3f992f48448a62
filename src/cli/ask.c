// Which tenon is asked.
#include "ask.h"

#include "tier/tier.h"

enum { STATUS_SECONDS = 10 };

static bool nobody(struct err *e)
{
	char folder[4096];
	bool named;
	err_set(e, ERR_ENV, "no tenon of this user runs");
	if (ctl_folder(folder, sizeof folder, &named, NULL))
		err_hint(e, "tenon up starts one; control sockets are looked for in %s (TENON_CTL)", folder);
	return false;
}

static bool too_late(const struct ctl_peer *p, struct err *e)
{
	err_set(e, ERR_ENV, "the tenon that runs (process %llu) does not answer within %d s", (unsigned long long)p->pid, STATUS_SECONDS);
	return err_hint(e, "it is stopped, or the machine has too much to do: ask again");
}

// One that goes away meanwhile, or answers something else, is none. *ret_late: it may be one, and has not answered.
static bool ask_status(struct cli *c, const struct ctl_peer *p, struct ask_tenon *ret, bool *ret_late)
{
	struct err ignored;
	struct ctl_reply reply;
	struct ctl_question q = {.path = p->path, .method = "GET", .target = "/v1/status", .timeout_ns = STATUS_SECONDS * SECOND};
	err_clear(&ignored);
	bool answered = ctl_ask(&c->arena, &q, &reply, &ignored);
	*ret_late = !answered && reply.late;
	if (!answered || reply.status != 200 || !json_member(reply.json, "apps"))
		return false;
	*ret = (struct ask_tenon){p->path, reply.json};
	return true;
}

bool cli__ask_all(struct cli *c, struct ask_tenon **ret, uint32_t *ret_n, struct err *e)
{
	struct ctl_peer *peers, *late = NULL;
	uint32_t n, found = 0;
	if (!ctl_peers(&c->arena, &peers, &n, e))
		return false;
	*ret = ARENA_ARRAY(&c->arena, struct ask_tenon, n + 1);
	if (!*ret)
		return err_nomem(e);
	for (uint32_t i = 0; i < n; i++) {
		bool is_late;
		found += ask_status(c, &peers[i], &(*ret)[found], &is_late);
		late = is_late ? &peers[i] : late;
	}
	*ret_n = found;
	return found > 0 || (late ? too_late(late, e) : nobody(e));
}

bool cli__ask(struct cli *c, const char *socket, const char *method, const char *target, struct slice body, struct ctl_reply *ret, struct err *e)
{
	const char *type = body.len && body.ptr[0] != '{' ? "application/wasm" : NULL;
	const struct ctl_question q = {.path = socket, .method = method, .target = target, .body = body, .type = type, .timeout_ns = CLI__ANSWER_SECONDS * SECOND};
	return ctl_ask(&c->arena, &q, ret, e) && (ret->status < 300 || ctl_reply_error(json_member(ret->json, "error"), e));
}

// By the name that it was given: the server would tell that of its copy.
static bool is_wasm(const char *path, struct slice bytes, struct err *e)
{
	if (!cli_check_head(path, bytes, comp_module_has_world(bytes), e))
		return false;
	if (wasm_is_component(bytes) || wasm_is_module(bytes))
		return true;
	err_set(e, ERR_MALFORMED, "'%s' is no WebAssembly: it does not begin with its magic number and a version", path);
	return err_hint(e, "give a component's .wasm; tenon inspect tells what one is");
}

bool cli__component_read(const char *path, struct buf *ret, char ret_sha256[65], struct err *e)
{
	FILE *f = cli_open_component(path, e);
	if (!f)
		return false;
	ret->max = SERVE_COMPONENT_MAX;
	bool ok = buf_read(ret, f, path, e) && is_wasm(path, buf_view(ret), e);
	fclose(f);
	if (ok)
		tier_sha256(buf_view(ret), ret_sha256);
	return ok;
}

void cli__put_version(struct buf *to, const char *path, const char *sha256)
{
	buf_printf(to, "/versions?sha256=%s&name=", sha256);
	ctl_encode(to, slice_str(path));
}

static bool is_stopped(const struct json *app)
{
	return slice_eq_str(json_text(app, "state"), "stopped");
}

static void hint_apps(const struct ask_tenon *all, uint32_t n, struct err *e)
{
	struct buf names = {.max = 800};
	for (uint32_t i = 0; i < n; i++)
		for (const struct json *a = json_member(all[i].status, "apps")->first; a; a = a->next)
			buf_printf(&names, "%s%.*s%s", names.len ? ", " : "", SLICE_ARGS(json_text(a, "app")), is_stopped(a) ? " (stopped)" : "");
	err_hint(e, "there %s: %.*s", slice_find(buf_view(&names), '(') < names.len ? "are" : "run", SLICE_ARGS(buf_view(&names)));
	buf_release(&names);
}

bool cli__ask_app(struct cli *c, const char *app, struct ask_tenon *ret, const struct json **ret_app, struct err *e)
{
	struct ask_tenon *all;
	uint32_t n, found = 0;
	if (!cli__ask_all(c, &all, &n, e))
		return false;
	for (uint32_t i = 0; i < n; i++)
		for (const struct json *a = json_member(all[i].status, "apps")->first; a; a = a->next)
			if (app ? slice_eq_str(json_text(a, "app"), app) : !is_stopped(a)) {
				*ret = all[i];
				*ret_app = a;
				found++;
			}
	if (found == 1)
		return true;
	if (found == 0)
		err_set(e, ERR_ENV, app ? "no app '%s' runs" : "no app runs", app);
	else
		err_set(e, ERR_USAGE, app ? "several tenons run an app '%s'" : "several apps run: which one?", app);
	hint_apps(all, n, e);
	return false;
}
