// A manifest's file: found, read, and loaded with what the command line and the environment say.
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "cli_int.h"
#include "ctl/ctl.h"
#include "http/http.h"
#include "link/link.h"

bool cli__read_stream(FILE *f, const char *path, size_t max, struct arena *a, struct slice *ret, struct err *e)
{
	struct buf b = {.max = max};
	bool ok = buf_read(&b, f, path, e);
	ok = ok && (slice_dup(a, buf_view(&b), ret) || err_nomem(e));
	buf_release(&b);
	return ok;
}

static bool read_file(void *ctx, struct arena *a, const char *path, size_t max, struct slice *ret, struct err *e)
{
	FILE *f = fopen(path, "re");
	if (!f)
		return errno != ENOENT && err_set_errno(e, errno, "cannot open '%s'", path);
	bool ok = cli__read_stream(f, path, max, a, ret, e);
	fclose(f);
	return ok;
}

static const char *read_env(void *ctx, const char *name)
{
	return getenv(name);
}

static bool check_address(void *ctx, struct slice text, struct err *e)
{
	return serve_check_address((const char *)text.ptr, e);
}

static bool check_network(void *ctx, struct slice text, struct err *e)
{
	struct seam_net_rule rule;
	return seam_net_rule_parse(ctx, text, &rule, e);
}

static bool check_range(void *ctx, struct slice text, struct err *e)
{
	struct seam_net_rule rule;
	if (seam_net_rule_parse(ctx, text, &rule, NULL) && rule.kind == SEAM_NET_RANGE && rule.scheme == SEAM_NET_ANY && rule.port == 0)
		return true;
	err_set(e, ERR_USAGE, "not a range of addresses: '%.*s'", (int)min_u64(text.len, 64), (const char *)text.ptr);
	return err_hint(e, "10.0.0.0/8, fd00::/8, 192.168.1.7");
}

static bool check_route(void *ctx, struct slice text, struct err *e)
{
	return serve_check_pattern((const char *)text.ptr, e);
}

static bool check_host(void *ctx, struct slice text, struct err *e)
{
	return serve_check_host((const char *)text.ptr, e);
}

static bool check_timezone(void *ctx, struct slice text, struct err *e)
{
	return serve_check_timezone((const char *)text.ptr, e);
}

// Of a fixed answer, and of requests by a link.
static bool check_field(void *ctx, struct slice name, struct err *e)
{
	uint8_t *lower = arena_alloc(ctx, name.len + 1, 1);
	if (!lower)
		return err_nomem(e);
	for (size_t i = 0; i < name.len; i++)
		lower[i] = (uint8_t)tolower(name.ptr[i]);
	struct slice text = slice_of(lower, name.len);
	return (!http_field_is_forbidden(text) && !slice_eq_str(text, "content-length")) ||
		err_set(e, ERR_USAGE, "the field %.*s is the connection's own, and can't be given", SLICE_ARGS(slice_sub(name, 0, 64)));
}

static bool store_place(void *ctx, struct arena *a, const struct app_link *l, struct slice *ret)
{
	struct link_target t;
	struct buf b = {0};
	bool ok = ctl_link_target(ctx, l, &t, NULL);
	if (ok)
		link_target_put_key(&t, &b);
	ok = ok && !b.failed && slice_dup(a, buf_view(&b), ret);
	buf_release(&b);
	return ok;
}

static bool check_listen(void *ctx, struct slice text, struct err *e)
{
	struct seam_listen l;
	bool udp = slice_starts_with(text, SLICE_LIT("udp://"));
	if (udp || slice_starts_with(text, SLICE_LIT("tcp://")))
		return seam_listen_parse(slice_sub(text, 6, text.len), udp, &l, e);
	err_set(e, ERR_USAGE, "not an address to listen on: '%.*s'", (int)min_u64(text.len, 64), (const char *)text.ptr);
	return err_hint(e, "tcp://127.0.0.1:7000 or udp://127.0.0.1:7000");
}

// The file at the path, or in the folder that it names.
static bool find_manifest(struct arena *a, const char *path, struct slice *ret_text, const char **ret_path, struct err *e)
{
	static const char *const names[] = {"tenon.toml", "spin.toml"};
	bool is_here = strcmp(path, ".") == 0;
	if (!is_here && slice_ends_with(slice_str(path), SLICE_LIT(".toml"))) {
		*ret_path = path;
		return read_file(NULL, a, path, APP_MAX_SOURCE + 1, ret_text, e) || (e->code == ERR_NONE && err_set(e, ERR_ENV, "there is no '%s'", path));
	}
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct buf b = {0};
		struct slice file;
		buf_printf(&b, "%s%s%s", is_here ? "" : path, is_here || slice_ends_with(slice_str(path), SLICE_LIT("/")) ? "" : "/", names[i]);
		bool ok = !b.failed && slice_dup(a, buf_view(&b), &file);
		buf_release(&b);
		if (!ok)
			return err_nomem(e);
		*ret_path = (const char *)file.ptr;
		if (read_file(NULL, a, *ret_path, APP_MAX_SOURCE + 1, ret_text, e))
			return true;
		if (e->code != ERR_NONE)
			return false;
	}
	err_set(e, ERR_ENV, "neither tenon.toml nor spin.toml in '%s'", path);
	return err_hint(e, "give a manifest, or the folder of one");
}

// One name, by whatever links and from wherever the folder is reached.
static bool find_root(struct arena *a, const char *path, const char **ret, struct err *e)
{
	const char *slash = strrchr(path, '/');
	struct buf b = {0};
	struct slice root;
	buf_put_slice(&b, slash ? slice_of(path, (size_t)(slash - path) + 1) : SLICE_LIT("./"));
	buf_put_byte(&b, 0);
	char *folder = b.failed ? NULL : realpath((const char *)b.ptr, NULL);
	bool ok = !b.failed;
	buf_clear(&b);
	if (folder)
		buf_printf(&b, "%s%s", folder, folder[1] ? "/" : "");
	ok = ok && !b.failed && slice_dup(a, buf_view(&b), &root);
	if (ok)
		*ret = folder ? (const char *)root.ptr : NULL;
	free(folder);
	buf_release(&b);
	return ok || err_nomem(e);
}

bool cli__manifest_read(struct arena *a, const char *path, struct cli_manifest *ret, struct err *e)
{
	*ret = (struct cli_manifest){0};
	return find_manifest(a, path, &ret->text, &ret->path, e) && find_root(a, ret->path, &ret->root, e);
}

bool cli__manifest_load(const struct cli *c, struct arena *a, const struct cli_manifest *m, struct slice live, struct app **ret, struct err *e)
{
	struct app_inputs in = {.sets = c->sets.ptr, .n_sets = c->sets.len, .live = live, .root = m->root, .ctx = a, .env = read_env, .read = read_file};
	in.profile = m->is_written ? NULL : c->profile;
	in.sets_may_miss = m->is_written;
	in.secrets_of = m->secrets_of;
	in.check_address = check_address;
	in.check_network = check_network;
	in.check_range = check_range;
	in.check_listen = check_listen;
	in.check_route = check_route;
	in.check_host = check_host;
	in.check_field = check_field;
	in.check_timezone = check_timezone;
	in.store_place = store_place;
	return app_load(a, m->text, m->path, &in, ret, e);
}

bool cli__app_load(struct cli *c, const char *path, struct app **ret, struct err *e)
{
	struct cli_manifest m;
	return cli__manifest_read(&c->arena, path, &m, e) && cli__manifest_load(c, &c->arena, &m, slice_of("", 0), ret, e);
}
