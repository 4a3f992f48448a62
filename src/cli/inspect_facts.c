// tenon inspect: what the bytes tell besides types: sizes by section, producers, languages; and which grants the imports ask for.
#include "inspect.h"

#define MAX_FACTS 100000

// ---- producers -----------------------------------------------------------------------------------------------------------------------

static bool add_language(struct inspect *x, struct slice language)
{
	for (uint32_t i = 0; i < x->languages.len; i++)
		if (slice_eq(x->languages.ptr[i], language))
			return true;
	return VEC_PUSH(x->arena, &x->languages, language, MAX_FACTS);
}

// A file may say with what it was made and not of which language it is.
static bool guess_language(struct inspect *x, struct slice tool)
{
	static const struct {
		const char *tool, *language;
	} tools[] = {{"rustc", "Rust"}, {"clang", "C/C++"}, {"TinyGo", "Go"}, {"Go cmd/compile", "Go"}, {"componentize-py", "Python"}, {"ComponentizeJS", "JavaScript"},
		{"componentize-js", "JavaScript"}, {"componentize-qjs", "JavaScript"}, {"dart2wasm", "Dart"}, {"kotlinc", "Kotlin"}, {"swift", "Swift"}, {"moonc", "MoonBit"},
		{"zig", "Zig"}, {"DotNetToWasm", "C#"}};
	for (size_t i = 0; i < ARRAY_LEN(tools); i++)
		if (slice_starts_with(tool, slice_str(tools[i].tool)))
			return add_language(x, slice_str(tools[i].language));
	return true;
}

static bool same_producer(const struct inspect_producer *a, const struct inspect_producer *b)
{
	return slice_eq(a->field, b->field) && slice_eq(a->name, b->name) && slice_eq(a->version, b->version);
}

static bool add_producer(struct inspect *x, const struct inspect_producer *p)
{
	for (uint32_t i = 0; i < x->producers.len; i++)
		if (same_producer(&x->producers.ptr[i], p))
			return true;
	// Linear for as many as there ever are: what nobody reads is left out.
	if (x->producers.len >= 200)
		return true;
	if (!VEC_PUSH(x->arena, &x->producers, *p, MAX_FACTS))
		return false;
	return !slice_eq_str(p->field, "language") || add_language(x, p->name);
}

static bool read_producers(struct inspect *x, struct wasm_reader r)
{
	uint32_t n_fields, n;
	struct inspect_producer p;
	if (!wasm_reader_u32(&r, &n_fields))
		return true;
	for (uint32_t i = 0; i < n_fields && wasm_reader_bytes(&r, &p.field) && wasm_reader_u32(&r, &n); i++)
		for (uint32_t k = 0; k < n; k++) {
			if (!wasm_reader_bytes(&r, &p.name) || !wasm_reader_bytes(&r, &p.version))
				return true;
			if (!add_producer(x, &p))
				return false;
		}
	return true;
}

// ---- sections ------------------------------------------------------------------------------------------------------------------------

static bool add_section(struct inspect *x, struct map *by_name, struct slice name, uint64_t bytes)
{
	uintptr_t i;
	bool nomem = false;
	if (!map_get(by_name, name, &i)) {
		struct inspect_section fresh = {.name = name};
		i = x->sections.len;
		if (!map_insert(by_name, name, i, &nomem) || !VEC_PUSH(x->arena, &x->sections, fresh, MAX_FACTS))
			return false;
	}
	x->sections.ptr[i].n++;
	x->sections.ptr[i].bytes += bytes;
	return true;
}

static bool add_custom(struct inspect *x, struct map *by_name, struct wasm_reader r, bool is_core)
{
	uint64_t bytes = (uint64_t)(r.end - r.p);
	struct slice name, text;
	if (!wasm_reader_bytes(&r, &name))
		return true;
	struct buf b = {0};
	buf_printf(&b, "%scustom %.*s", is_core ? "core " : "", (int)min_u64(name.len, 60), (const char *)name.ptr);
	bool ok = !b.failed && slice_dup(x->arena, buf_view(&b), &text) && add_section(x, by_name, text, bytes);
	buf_release(&b);
	return ok && (!slice_eq_str(name, "producers") || read_producers(x, r));
}

// Sections of a module, or of a component and all in it. Depth: COMP_MAX_NESTING.
static bool walk(struct inspect *x, struct map *by_name, struct wasm_reader r, bool is_core)
{
	static const char *const core[] = {NULL, "core type", "core import", "core function", "core table", "core memory", "core global", "core export", "core start",
		"core element", "core code", "core data", "core data count", "core tag"};
	static const char *const names[] = {NULL, NULL, "core instance", "core type definition", NULL, "instance", "alias", "type", "canon", "start", "import", "export",
		"value"};
	x->n_modules += is_core;
	r.p += 8;
	while (r.p < r.end) {
		uint8_t id = *r.p++;
		uint32_t size;
		if (!wasm_reader_u32(&r, &size) || size > (size_t)(r.end - r.p))
			return true;
		struct wasm_reader in = {r.p, r.p + size};
		const char *name = is_core ? (id < ARRAY_LEN(core) ? core[id] : NULL) : id < ARRAY_LEN(names) ? names[id]
																									  : NULL;
		bool ok = id == 0 ? add_custom(x, by_name, in, is_core) : name ? add_section(x, by_name, slice_str(name), size)
			: !is_core && (id == 1 || id == 4)                         ? size < 8 || walk(x, by_name, in, id == 1)
																	   : true;
		if (!ok)
			return false;
		r.p += size;
	}
	return true;
}

static int by_size(const void *a, const void *b)
{
	const struct inspect_section *x = a, *y = b;
	return x->bytes != y->bytes ? (x->bytes < y->bytes) - (x->bytes > y->bytes) : slice_cmp(x->name, y->name);
}

bool inspect_walk(struct inspect *x, struct err *e)
{
	struct map by_name;
	map_init(&by_name, x->arena);
	if (!walk(x, &by_name, (struct wasm_reader){x->bytes.ptr, x->bytes.ptr + x->bytes.len}, x->module || x->comp->is_module))
		return err_set(e, ERR_LIMIT, "the file has more than %u kinds of sections, or memory is out", MAX_FACTS);
	for (uint32_t i = 0, n = x->languages.len; n == 0 && i < x->producers.len; i++)
		if (!guess_language(x, x->producers.ptr[i].name))
			return err_nomem(e);
	if (x->sections.len)
		qsort(x->sections.ptr, x->sections.len, sizeof(*x->sections.ptr), by_size);
	return true;
}

// ---- grants --------------------------------------------------------------------------------------------------------------------------

static bool asks_for(const struct comp_plan *p, uint32_t import, const char *func)
{
	const struct comp_import *x = &p->imports[import];
	for (uint32_t i = x->first_func; i < x->first_func + x->n_funcs; i++)
		if (p->host_funcs[i].used && (!func || slice_eq_str(p->host_funcs[i].name, func)))
			return true;
	return false;
}

static const struct row {
	const char *interface, *func, *flag, *argument, *line;
} rows[] = {
#define GRANT(interface, func, flag, argument, line) {interface, func, flag, argument, line},
#include "app/grants.def"
#undef GRANT
};

static bool add_grant(struct inspect *x, const struct row *row, struct slice name, struct err *e)
{
	struct inspect_grant g = {row->flag, row->argument, name, row->line, cli__option_acts(row->flag)};
	return VEC_PUSH(x->arena, &x->grants, g, MAX_FACTS) || err_nomem(e);
}

bool inspect_grants(struct inspect *x, struct err *e)
{
	const struct comp_plan *p = &x->comp->plan;
	for (uint32_t i = 0; i < p->nimports; i++) {
		struct slice path = slice_sub(p->imports[i].name, 0, slice_find(p->imports[i].name, '@'));
		for (size_t k = 0; k < ARRAY_LEN(rows); k++)
			if (slice_eq_str(path, rows[k].interface) && asks_for(p, i, rows[k].func) && !add_grant(x, &rows[k], p->imports[i].name, e))
				return false;
	}
	for (uint32_t i = 0; i < p->ncore_funcs; i++)
		for (size_t k = 0; k < ARRAY_LEN(rows); k++)
			if (slice_eq_str(p->core_funcs[i].module, rows[k].interface) && slice_eq_str(p->core_funcs[i].name, rows[k].func) &&
				!add_grant(x, &rows[k], p->core_funcs[i].module, e))
				return false;
	return true;
}
