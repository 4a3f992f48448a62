// tenon inspect: what a file is, what it imports and exports, and what would become of it here. Also what can't be run is shown. The file is read once,
// from front to back: it may be a pipe, or "-".
#include <errno.h>

#include "commands.h"
#include "inspect.h"
#include "sys/sys.h"

#define MAX_INPUT ((size_t)1 << 30)
#define MAX_OUTPUT ((size_t)64 << 20)

// ---- would it run here? ----------------------------------------------------------------------------------------------------------------

// What was read from a pipe, as a file that has a path while it is open.
static FILE *keep(const char *path, struct slice bytes, char ret_path[64], struct err *e)
{
	int fd = sys_memfd("inspected", bytes.len);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
	snprintf(ret_path, 64, "/proc/self/fd/%d", fd);
	if (f && fwrite(bytes.ptr, 1, bytes.len, f) == bytes.len && fflush(f) == 0)
		return f;
	err_set_errno(e, errno, "cannot keep what was read of '%s'", path);
	if (f)
		fclose(f);
	return NULL;
}

// A component is loaded, linked and instantiated as a server would: that says the most.
static bool component_runs(struct cli *c, struct inspect *x, struct err *e)
{
	char path[64];
	FILE *kept = NULL;
	c->config.service.path = c->args.ptr[0];
	c->config.process.log_level = SERVE_LOG_ERROR;
	if (!comp_can_run(x->comp, &x->why_not))
		return true;
	if (x->is_read_once) {
		kept = keep(c->args.ptr[0], x->bytes, path, e);
		if (!kept)
			return false;
		c->config.service.path = path;
	}
	x->can_run = serve_describe_image(&c->config, &x->image, &x->why_not);
	if (kept)
		fclose(kept);
	return true;
}

static bool find_out(struct cli *c, struct inspect *x, struct err *e)
{
	if (!inspect_walk(x, e))
		return false;
	if (!x->comp) {
		struct wasm_module *m;
		x->can_run = wasm_decode(x->arena, x->bytes, serve_features(&c->config.service), 0, &m, &x->why_not);
		return true;
	}
	x->served = ARENA_ARRAY(x->arena, struct serve_served_by, x->comp->nimports + 1);
	return (x->served || err_nomem(e)) && serve_describe_imports(x->comp, x->served, e) && inspect_grants(x, e) && component_runs(c, x, e);
}

// ---- the whole ------------------------------------------------------------------------------------------------------------------------

static bool write_out(const struct buf *out, struct err *e)
{
	if (out->failed)
		return err_set(e, ERR_LIMIT, "what is to be printed is larger than %zu MiB", MAX_OUTPUT >> 20);
	return (fwrite(out->ptr, 1, out->len, stdout) == out->len && fflush(stdout) == 0) || err_set_errno(e, errno, "cannot write to stdout");
}

static bool print(const struct cli *c, const struct inspect *x, struct err *e)
{
	struct buf text = {.max = MAX_OUTPUT}, out = {.max = MAX_OUTPUT * 2};
	bool ok = true;
	if (x->comp)
		ok = comp_print(&text, x->comp, e);
	else
		inspect_put_module(&text, x->module);
	out.failed = text.failed;
	if (ok && c->config.process.json) {
		inspect_put_json(&out, x, buf_view(&text));
	} else if (ok) {
		if (!c->wit)
			inspect_put_comments(&out, x);
		buf_put_slice(&out, buf_view(&text));
	}
	ok = ok && write_out(&out, e);
	buf_release(&text);
	buf_release(&out);
	return ok;
}

// All that can be decoded, whether it is run or not.
static bool decode(struct inspect *x, struct err *e)
{
	const struct comp_options all = {.features = COMP_FEATURES_ALL, .core_features = WASM_FEATURES_ALL};
	struct comp_component *comp = NULL;
	struct wasm_module *module = NULL;
	bool is_module = wasm_is_module(x->bytes) && !comp_module_has_world(x->bytes);
	bool ok = is_module ? wasm_decode(x->arena, x->bytes, all.core_features, 0, &module, e) : comp_decode(x->arena, x->bytes, &all, &comp, e);
	x->comp = comp;
	x->module = module;
	return ok;
}

static bool inspect(struct cli *c, struct arena *a, struct slice bytes, bool is_read_once, struct err *e)
{
	struct inspect x = {.arena = a, .bytes = bytes, .is_read_once = is_read_once};
	if (!decode(&x, e))
		return false;
	if (c->wit && !x.comp)
		return err_set(e, ERR_USAGE, "--wit: a core module has no WIT");
	return (c->wit || find_out(c, &x, e)) && print(c, &x, e);
}

int cli__command_inspect(struct cli *c, struct err *e)
{
	const char *path = c->args.ptr[0];
	struct buf input = {.max = MAX_INPUT};
	struct arena a;
	bool is_stdin = strcmp(path, "-") == 0;
	if (c->wit && c->config.process.json) {
		err_set(e, ERR_USAGE, "--wit and --json exclude each other");
		return err_exit_status(e->code);
	}
	FILE *f = is_stdin ? stdin : cli_open_file(path, e);
	if (!f)
		return err_exit_status(e->code);
	arena_init(&a, 0);
	bool is_read_once = is_stdin || ftell(f) < 0;
	bool ok = buf_read(&input, f, path, e) && cli_check_head(path, buf_view(&input), true, e) &&
		(inspect(c, &a, buf_view(&input), is_read_once, e) || err_note(e, "'%s'", path));
	if (!is_stdin)
		fclose(f);
	arena_release(&a);
	buf_release(&input);
	return ok ? 0 : err_exit_status(e->code);
}
