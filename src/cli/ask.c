// Which tenon is asked.
#include "ask.h"

#include "sys/sys.h"
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

static bool ask(struct cli *c, const struct ctl_question *q, struct ctl_reply *ret, struct err *e)
{
	return ctl_ask(&c->arena, q, ret, e) && (ret->status < 300 || ctl_reply_error(json_member(ret->json, "error"), e));
}

bool cli__ask(struct cli *c, const char *socket, const char *method, const char *target, struct slice body, struct ctl_reply *ret, struct err *e)
{
	const struct ctl_question q = {.path = socket, .method = method, .target = target, .body = body, .timeout_ns = CLI__ANSWER_SECONDS * SECOND};
	return ask(c, &q, ret, e);
}

bool cli__ask_with(struct cli *c, const char *socket, const char *target, const struct cli__file *file, struct ctl_reply *ret, struct err *e)
{
	const struct ctl_question q = {
		.path = socket,
		.method = "POST",
		.target = target,
		.type = "application/wasm",
		.timeout_ns = CLI__ANSWER_SECONDS * SECOND,
		.file = fileno(file->f) + 1,
		.file_size = file->size,
	};
	return ask(c, &q, ret, e);
}

// ---- a component's file ---------------------------------------------------------------------------------------------------------------------------

// By the name that it was given: the server would tell that of its copy.
static bool is_wasm(const char *path, struct slice head, bool has_world, struct err *e)
{
	if (!cli_check_head(path, head, has_world, e))
		return false;
	if (wasm_is_component(head) || wasm_is_module(head))
		return true;
	err_set(e, ERR_MALFORMED, "'%s' is no WebAssembly: it does not begin with its magic number and a version", path);
	return err_hint(e, "give a component's .wasm; tenon inspect tells what one is");
}

static bool hash_file(const char *path, struct cli__file *f, struct err *e)
{
	enum { PIECE = 64 << 10, HEAD = 256 };
	struct tier_hash *h = NULL;
	uint8_t *piece = mem_alloc(PIECE);
	bool ok = (piece && tier_hash_new(&h)) || err_nomem(e);
	uint64_t at = 0;
	do {
		int64_t n = ok ? sys_file.read(fileno(f->f), piece, (size_t)min_u64(PIECE, f->size - at), at, false) : 0;
		if (!ok)
			break;
		if (n < 0 || (n == 0 && at < f->size))
			ok = n < 0 ? err_set_errno(e, (int)-n, "cannot read '%s'", path)
					   : err_set(e, ERR_ENV, "'%s' becomes shorter while it is read", path) || err_hint(e, "try again when what writes it is done");
		else if (at == 0)
			ok = is_wasm(path, slice_of(piece, min_u64((uint64_t)n, HEAD)), serve_file_has_world(fileno(f->f)), e);
		if (ok)
			tier_hash_put(h, slice_of(piece, (size_t)n));
		at += ok ? (uint64_t)n : 0;
	} while (ok && at < f->size);
	if (ok)
		tier_hash_end(h, f->sha256);
	tier_hash_free(h);
	mem_free(piece);
	return ok;
}

bool cli__file_open(const char *path, struct cli__file *ret, struct err *e)
{
	struct sys_stat st;
	*ret = (struct cli__file){.f = cli_open_component(path, e)};
	if (!ret->f)
		return false;
	int why = sys_file.stat(fileno(ret->f), false, &st);
	if (why < 0)
		return err_set_errno(e, -why, "cannot read '%s'", path);
	ret->size = st.size;
	if (ret->size > SERVE_COMPONENT_MAX)
		return err_set(e, ERR_LIMIT, "'%s' is larger than %d MiB", path, SERVE_COMPONENT_MAX >> 20);
	return hash_file(path, ret, e);
}

void cli__file_close(struct cli__file *f)
{
	if (f->f)
		fclose(f->f);
	f->f = NULL;
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
