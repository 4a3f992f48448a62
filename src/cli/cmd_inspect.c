// tenon inspect: what a component or a core module imports and exports. Nothing is compiled or linked, so that also what this program cannot run
// is shown. The file is read once, from front to back: it may be a pipe.
#include <errno.h>

#include "commands.h"
#include "comp/comp.h"
#include "wasm/wasm.h"

#define MAX_INPUT ((size_t)1 << 30)
#define MAX_OUTPUT ((size_t)64 << 20)

static bool read_all(FILE *f, const char *path, struct buf *ret, struct err *e)
{
	for (;;) {
		uint8_t *room = buf_reserve(ret, 64 << 10);
		if (!room)
			return ret->len + (64 << 10) > MAX_INPUT ? err_set(e, ERR_LIMIT, "'%s' is larger than %zu MiB", path, MAX_INPUT >> 20) : err_nomem(e);
		errno = 0;
		size_t n = fread(room, 1, 64 << 10, f);
		ret->len += n;
		if (n < 64 << 10)
			return !ferror(f) || err_set_errno(e, errno, "cannot read '%s'", path);
	}
}

// ---- core modules, in the text format -----------------------------------------------------------------------------------------------

static void put_valtype(struct buf *b, struct wasm_valtype t)
{
	static const char *const names[] = {"i32", "i64", "f32", "f64", "v128"};
	static const char *const heaps[] = {"func", "extern", "nofunc", "noextern"};
	if (t.kind != WASM_REF)
		buf_put_str(b, names[t.kind]);
	else if (t.nullable && t.heap <= WASM_HEAP_EXTERN)
		buf_printf(b, "%sref", heaps[t.heap]);
	else if (t.heap == WASM_HEAP_CONCRETE)
		buf_printf(b, "(ref %s%u)", t.nullable ? "null " : "", t.type);
	else
		buf_printf(b, "(ref %s%s)", t.nullable ? "null " : "", heaps[t.heap]);
}

static void put_valtypes(struct buf *b, const char *word, const struct wasm_valtype *list, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		buf_printf(b, i ? " " : " (%s ", word);
		put_valtype(b, list[i]);
	}
	buf_put_str(b, n ? ")" : "");
}

static void put_limits(struct buf *b, const struct wasm_limits *l)
{
	buf_printf(b, " %s%llu", l->is64 ? "i64 " : "", (unsigned long long)l->min);
	if (l->has_max)
		buf_printf(b, " %llu", (unsigned long long)l->max);
	buf_put_str(b, l->shared ? " shared" : "");
}

static void put_core_type(struct buf *b, const struct wasm_module *m, unsigned kind, uint32_t index)
{
	switch ((enum wasm_extern_kind)kind) {
	case WASM_EXTERN_FUNC: {
		const struct wasm_func_type *f = wasm_func_type_of(m, index);
		buf_put_str(b, "(func");
		put_valtypes(b, "param", f->params, f->nparams);
		put_valtypes(b, "result", f->results, f->nresults);
		break;
	}
	case WASM_EXTERN_TABLE:
		buf_put_str(b, "(table");
		put_limits(b, &m->tables[index].type.limits);
		buf_put_byte(b, ' ');
		put_valtype(b, m->tables[index].type.elem);
		break;
	case WASM_EXTERN_MEMORY:
		buf_put_str(b, "(memory");
		put_limits(b, &m->memories[index].limits);
		break;
	case WASM_EXTERN_GLOBAL:
		buf_put_str(b, m->globals[index].type.mutable ? "(global (mut " : "(global ");
		put_valtype(b, m->globals[index].type.type);
		buf_put_str(b, m->globals[index].type.mutable ? ")" : "");
		break;
	case WASM_EXTERN_TAG:
		buf_put_str(b, "(tag");
		break;
	}
	buf_put_byte(b, ')');
}

// A name as a string of the text format, whatever bytes it has.
static void put_text_string(struct buf *b, struct slice s)
{
	buf_put_byte(b, '"');
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.ptr[i];
		if (c < 0x20 || c == 0x7f || c == '"' || c == '\\')
			buf_printf(b, "\\%02x", c);
		else
			buf_put_byte(b, c);
	}
	buf_put_byte(b, '"');
}

static void print_module(struct buf *b, const struct wasm_module *m)
{
	buf_put_str(b, "(module\n");
	for (uint32_t i = 0; i < m->nimports; i++) {
		buf_put_str(b, "  (import ");
		put_text_string(b, m->imports[i].module);
		buf_put_byte(b, ' ');
		put_text_string(b, m->imports[i].name);
		buf_put_byte(b, ' ');
		put_core_type(b, m, m->imports[i].kind, m->imports[i].index);
		buf_put_str(b, ")\n");
	}
	for (uint32_t i = 0; i < m->nexports; i++) {
		buf_put_str(b, "  (export ");
		put_text_string(b, m->exports[i].name);
		buf_put_byte(b, ' ');
		put_core_type(b, m, m->exports[i].kind, m->exports[i].index);
		buf_put_str(b, ")\n");
	}
	buf_put_str(b, ")\n");
}

// ---- as JSON: the names, and the whole as text ----------------------------------------------------------------------------------------

static void put_names(struct buf *b, const char *key, const struct comp_extern *list, uint32_t n)
{
	buf_printf(b, ",\"%s\":[", key);
	for (uint32_t i = 0; i < n; i++) {
		buf_put_str(b, i ? "," : "");
		buf_put_json_string(b, list[i].name);
	}
	buf_put_byte(b, ']');
}

static void put_module_names(struct buf *b, const struct wasm_module *m)
{
	buf_put_str(b, ",\"imports\":[");
	for (uint32_t i = 0; i < m->nimports; i++) {
		buf_put_str(b, i ? ",[" : "[");
		buf_put_json_string(b, m->imports[i].module);
		buf_put_byte(b, ',');
		buf_put_json_string(b, m->imports[i].name);
		buf_put_byte(b, ']');
	}
	buf_put_str(b, "],\"exports\":[");
	for (uint32_t i = 0; i < m->nexports; i++) {
		buf_put_str(b, i ? "," : "");
		buf_put_json_string(b, m->exports[i].name);
	}
	buf_put_byte(b, ']');
}

// ---- the whole ------------------------------------------------------------------------------------------------------------------------

// One of the two is NULL.
static bool print(const struct cli *c, const struct comp_component *comp, const struct wasm_module *module, struct err *e)
{
	struct buf text = {.max = MAX_OUTPUT}, json = {.max = MAX_OUTPUT * 2};
	bool ok = true;
	if (comp)
		ok = comp_print(&text, comp, e);
	else
		print_module(&text, module);
	if (c->config.process.json) {
		buf_printf(&json, "{\"kind\":\"%s\"", comp ? "component" : "module");
		if (comp) {
			put_names(&json, "imports", comp->imports, comp->nimports);
			put_names(&json, "exports", comp->exports, comp->nexports);
		} else {
			put_module_names(&json, module);
		}
		buf_printf(&json, ",\"%s\":", comp ? "wit" : "wat");
		buf_put_json_string(&json, buf_view(&text));
		buf_put_str(&json, "}\n");
	}
	const struct buf *out = c->config.process.json ? &json : &text;
	if (ok && (text.failed || json.failed))
		ok = err_set(e, ERR_LIMIT, "what is to be printed is larger than %zu MiB", MAX_OUTPUT >> 20);
	else if (ok && (fwrite(out->ptr, 1, out->len, stdout) != out->len || fflush(stdout) != 0))
		ok = err_set_errno(e, errno, "cannot write to stdout");
	buf_release(&text);
	buf_release(&json);
	return ok;
}

static bool inspect(const struct cli *c, struct arena *a, struct slice bytes, struct err *e)
{
	struct comp_options options = {.features = COMP_FEATURES_ALL, .core_features = WASM_FEATURES_DEFAULT};
	struct comp_component *comp = NULL;
	struct wasm_module *module = NULL;
	bool ok = wasm_is_module(bytes) ? wasm_decode(a, bytes, options.core_features, 0, &module, e) : comp_decode(a, bytes, &options, &comp, e);
	return ok && print(c, comp, module, e);
}

int cli__command_inspect(struct cli *c, struct err *e)
{
	const char *path = c->args.ptr[0];
	struct buf input = {.max = MAX_INPUT};
	struct arena a;
	FILE *f = cli_open_file(path, e);
	if (!f)
		return err_exit_status(e->code);
	arena_init(&a, 0);
	bool ok = read_all(f, path, &input, e) && cli_check_head(path, buf_view(&input), true, e) &&
		(inspect(c, &a, buf_view(&input), e) || err_note(e, "'%s'", path));
	fclose(f);
	arena_release(&a);
	buf_release(&input);
	return ok ? 0 : err_exit_status(e->code);
}
