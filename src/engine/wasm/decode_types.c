// Sections that say what a module is made of: types, imports, functions, tables, memories, globals, exports, start.
#include "wasm_int.h"

// ---- types --------------------------------------------------------------------------------------------------------
static bool read_result_type(struct wasm__decoder *d, uint32_t limit, const char *what, uint32_t ntypes, uint32_t *ret_n, const struct wasm_valtype **ret)
{
	uint32_t n;
	if (!wasm__count(&d->c, limit, what, 1, &n))
		return false;
	struct wasm_valtype *types = ARENA_ARRAY(d->a, struct wasm_valtype, n);
	if (!types)
		return err_nomem(d->c.e);
	for (uint32_t i = 0; i < n; i++)
		if (!wasm__valtype(&d->c, d->features, ntypes, &types[i]))
			return false;
	*ret_n = n;
	*ret = types;
	return true;
}

static bool read_type(struct wasm__decoder *d, struct wasm_type *types, uint32_t index)
{
	const uint8_t *at = d->c.p;
	uint8_t form;
	if (!wasm__byte(&d->c, &form))
		return false;
	if (form == 0x4e || form == 0x4f || form == 0x50 || form == 0x5e || form == 0x5f)
		return wasm__fail_feature(&d->c, at, WASM_FEATURE_GC, "recursive, sub-, array and structure types");
	if (form != 0x60)
		return wasm__fail(&d->c, at, ERR_MALFORMED, "malformed type form 0x%02x", form);
	struct wasm_func_type *t = &types[index].func;
	uint32_t known = index + 1;  // a type alone is its own recursion group: it may refer to itself
	if (!read_result_type(d, LIMIT_PARAMS, "parameters of a function type", known, &t->nparams, &t->params))
		return false;
	const uint8_t *at_results = d->c.p;
	if (!read_result_type(d, LIMIT_RESULTS, "results of a function type", known, &t->nresults, &t->results))
		return false;
	if (t->nresults > 1 && !(d->features & WASM_FEATURE_MULTI_VALUE))
		return wasm__fail_feature(&d->c, at_results, WASM_FEATURE_MULTI_VALUE, "invalid result arity");
	types[index].id = wasm__intern(types, index);
	return types[index].id ? true : err_nomem(d->c.e);
}

bool wasm__read_types(struct wasm__decoder *d)
{
	uint32_t n;
	if (!wasm__count(&d->c, LIMIT_TYPES, "types", 3, &n))
		return false;
	struct wasm_type *types = ARENA_ARRAY(d->a, struct wasm_type, n);
	if (!types)
		return err_nomem(d->c.e);
	d->m->types = types;
	for (uint32_t i = 0; i < n; i++) {
		if (!read_type(d, types, i))
			return false;
		d->m->ntypes = i + 1;
	}
	return true;
}

// ---- limits -----------------------------------------------------------------------------------------------------------
enum { LIMITS_MAX = 1, LIMITS_SHARED = 2, LIMITS_64 = 4 };

static bool read_limits(struct wasm__decoder *d, bool memory, struct wasm_limits *ret)
{
	const uint8_t *at = d->c.p;
	uint8_t flags;
	if (!wasm__byte(&d->c, &flags))
		return false;
	if (flags > (LIMITS_MAX | LIMITS_SHARED | LIMITS_64) || (!memory && (flags & LIMITS_SHARED)))
		return wasm__fail(&d->c, at, ERR_MALFORMED, "malformed limits flags 0x%02x", flags);
	if ((flags & LIMITS_SHARED) && !(d->features & WASM_FEATURE_THREADS))
		return wasm__fail_feature(&d->c, at, WASM_FEATURE_THREADS, "malformed limits flags");
	if ((flags & LIMITS_64) && !(d->features & WASM_FEATURE_MEMORY64))
		return wasm__fail_feature(&d->c, at, WASM_FEATURE_MEMORY64, "malformed limits flags");
	struct wasm_limits l = {.has_max = flags & LIMITS_MAX, .shared = (flags & LIMITS_SHARED) != 0, .is64 = (flags & LIMITS_64) != 0};
	unsigned bits = l.is64 ? 64 : 32;
	if (!wasm__leb_slow(&d->c, bits, false, &l.min) || (l.has_max && !wasm__leb_slow(&d->c, bits, false, &l.max)))
		return false;
	if (l.has_max && l.min > l.max)
		return wasm__fail(&d->c, at, ERR_INVALID, "size minimum must not be greater than maximum: %llu, %llu", (unsigned long long)l.min, (unsigned long long)l.max);
	if (l.shared && !l.has_max)
		return wasm__fail(&d->c, at, ERR_INVALID, "shared memory must have maximum");
	*ret = l;
	return true;
}

static bool read_memory_type(struct wasm__decoder *d, struct wasm_memory_type *ret)
{
	const uint8_t *at = d->c.p;
	struct wasm_memory_type t = {.page_shift = 16};
	if (!read_limits(d, true, &t.limits))
		return false;
	uint64_t most = UINT64_C(1) << (t.limits.is64 ? 48 : 16);
	if (t.limits.min > most || (t.limits.has_max && t.limits.max > most))
		return wasm__fail(&d->c, at, ERR_INVALID, "memory size must be at most %s", t.limits.is64 ? "2^48 pages" : "65536 pages (4GiB)");
	*ret = t;
	return true;
}

static bool read_table_type(struct wasm__decoder *d, struct wasm_table_type *ret)
{
	const uint8_t *at = d->c.p;
	if (!wasm__reftype(&d->c, d->features, d->m->ntypes, &ret->elem))
		return false;
	if (wasm__pack(ret->elem) != WASM__REF(1, WASM_HEAP_FUNC, 0) && !(d->features & WASM_FEATURE_REFERENCE_TYPES))
		return wasm__fail_feature(&d->c, at, WASM_FEATURE_REFERENCE_TYPES, "table of other than functions");
	return read_limits(d, false, &ret->limits);  // any size is valid: what a store refuses is found when it is allocated
}

static bool read_global_type(struct wasm__decoder *d, struct wasm_global_type *ret)
{
	if (!wasm__valtype(&d->c, d->features, d->m->ntypes, &ret->type))
		return false;
	const uint8_t *at = d->c.p;
	uint8_t mutable;
	if (!wasm__byte(&d->c, &mutable))
		return false;
	if (mutable > 1)
		return wasm__fail(&d->c, at, ERR_MALFORMED, "malformed mutability 0x%02x", mutable);
	ret->mutable = mutable;
	return true;
}

// ---- index spaces -------------------------------------------------------------------------------------------------------
// The module's view of the growing index spaces.
static void publish(struct wasm__decoder *d)
{
	struct wasm_module *m = d->m;
	m->imports = d->imports.ptr;
	m->nimports = d->imports.len;
	m->funcs = d->funcs.ptr;
	m->nfuncs = d->funcs.len;
	m->tables = d->tables.ptr;
	m->ntables = d->tables.len;
	m->memories = d->memories.ptr;
	m->nmemories = d->memories.len;
	m->globals = d->globals.ptr;
	m->nglobals = d->globals.len;
}

static bool add_func(struct wasm__decoder *d)
{
	const uint8_t *at = d->c.p;
	struct wasm_func f = {0};
	if (!wasm__u32(&d->c, &f.type))
		return false;
	if (f.type >= d->m->ntypes)
		return wasm__fail(&d->c, at, ERR_INVALID, "unknown type %u", f.type);
	if (d->funcs.len == LIMIT_FUNCTIONS)
		return wasm__fail_limit(&d->c, at, "functions", LIMIT_FUNCTIONS);
	return VEC_PUSH(d->a, &d->funcs, f, LIMIT_FUNCTIONS) ? true : err_nomem(d->c.e);
}

static bool add_table(struct wasm__decoder *d, const struct wasm_table *t, const uint8_t *at)
{
	if (d->tables.len == 1 && !(d->features & WASM_FEATURE_REFERENCE_TYPES))
		return wasm__fail_feature(&d->c, at, WASM_FEATURE_REFERENCE_TYPES, "multiple tables");
	if (d->tables.len == LIMIT_TABLES)
		return wasm__fail_limit(&d->c, at, "tables", LIMIT_TABLES);
	return VEC_PUSH(d->a, &d->tables, *t, LIMIT_TABLES) ? true : err_nomem(d->c.e);
}

static bool add_memory(struct wasm__decoder *d)
{
	const uint8_t *at = d->c.p;
	struct wasm_memory_type t;
	if (!read_memory_type(d, &t))
		return false;
	if (d->memories.len == 1 && !(d->features & WASM_FEATURE_MULTI_MEMORY))
		return wasm__fail_feature(&d->c, at, WASM_FEATURE_MULTI_MEMORY, "multiple memories");
	if (d->memories.len == LIMIT_MEMORIES)
		return wasm__fail_limit(&d->c, at, "memories", LIMIT_MEMORIES);
	return VEC_PUSH(d->a, &d->memories, t, LIMIT_MEMORIES) ? true : err_nomem(d->c.e);
}

static bool add_global(struct wasm__decoder *d, bool imported)
{
	const uint8_t *at = d->c.p;
	struct wasm_global g = {0};
	if (!read_global_type(d, &g.type))
		return false;
	if (!imported && !wasm__const_expr(d, wasm__pack(g.type.type), &g.init))
		return false;
	if (d->globals.len == LIMIT_GLOBALS)
		return wasm__fail_limit(&d->c, at, "globals", LIMIT_GLOBALS);
	return VEC_PUSH(d->a, &d->globals, g, LIMIT_GLOBALS) ? true : err_nomem(d->c.e);
}

// ---- imports --------------------------------------------------------------------------------------------------------------
static bool read_import(struct wasm__decoder *d)
{
	struct wasm_import im = {.offset = d->c.base + (uint64_t)(d->c.p - d->c.start)};
	if (!wasm__name(&d->c, &im.module) || !wasm__name(&d->c, &im.name))
		return false;
	const uint8_t *at = d->c.p;
	if (!wasm__byte(&d->c, &im.kind))
		return false;
	bool ok = false;
	struct wasm_table t = {0};
	switch (im.kind) {
	case WASM_EXTERN_FUNC:
		im.index = d->funcs.len;
		ok = add_func(d);
		break;
	case WASM_EXTERN_TABLE:
		im.index = d->tables.len;
		ok = read_table_type(d, &t.type) && add_table(d, &t, at);
		break;
	case WASM_EXTERN_MEMORY:
		im.index = d->memories.len;
		ok = add_memory(d);
		break;
	case WASM_EXTERN_GLOBAL:
		im.index = d->globals.len;
		ok = add_global(d, true);
		break;
	case WASM_EXTERN_TAG:
		return wasm__fail_feature(&d->c, at, WASM_FEATURE_EXCEPTIONS, "malformed import kind");
	default:
		return wasm__fail(&d->c, at, ERR_MALFORMED, "malformed import kind 0x%02x", im.kind);
	}
	if (!ok)
		return err_note(d->c.e, "import '%.*s' '%.*s'", (int)min_u64(im.module.len, 80), (const char *)im.module.ptr,
			(int)min_u64(im.name.len, 80), (const char *)im.name.ptr);
	return VEC_PUSH(d->a, &d->imports, im, LIMIT_IMPORTS) ? true : err_nomem(d->c.e);
}

bool wasm__read_imports(struct wasm__decoder *d)
{
	uint32_t n;
	if (!wasm__count(&d->c, LIMIT_IMPORTS, "imports", 4, &n))
		return false;
	for (; n; n--)
		if (!read_import(d))
			return false;
	publish(d);
	d->m->nimported_funcs = d->funcs.len;
	d->m->nimported_tables = d->tables.len;
	d->m->nimported_memories = d->memories.len;
	d->m->nimported_globals = d->globals.len;
	return true;
}

// ---- definitions ----------------------------------------------------------------------------------------------------------
bool wasm__read_functions(struct wasm__decoder *d)
{
	uint32_t n;
	if (!wasm__count(&d->c, LIMIT_FUNCTIONS, "functions", 1, &n))
		return false;
	for (; n; n--)
		if (!add_func(d))
			return false;
	publish(d);
	return true;
}

static bool read_table(struct wasm__decoder *d)
{
	const uint8_t *at = d->c.p;
	struct wasm_table t = {0};
	// 0x40 0x00: a table with an initial value for its elements.
	if (d->c.p != d->c.end && *d->c.p == 0x40) {
		if (!(d->features & WASM_FEATURE_FUNCTION_REFERENCES))
			return wasm__fail_feature(&d->c, at, WASM_FEATURE_FUNCTION_REFERENCES, "table with an initial value");
		uint8_t zero;
		d->c.p++;
		if (!wasm__byte(&d->c, &zero))
			return false;
		if (zero)
			return wasm__fail(&d->c, at, ERR_MALFORMED, "malformed table: zero byte expected");
		t.has_init = true;
	}
	if (!read_table_type(d, &t.type))
		return false;
	if (t.has_init && !wasm__const_expr(d, wasm__pack(t.type.elem), &t.init))
		return false;
	if (!t.has_init && !t.type.elem.nullable)
		return wasm__fail(&d->c, at, ERR_INVALID, "type mismatch: a table of non-nullable references needs an initial value");
	return add_table(d, &t, at);
}

bool wasm__read_tables(struct wasm__decoder *d)
{
	uint32_t n;
	if (!wasm__count(&d->c, LIMIT_TABLES, "tables", 3, &n))
		return false;
	for (; n; n--)
		if (!read_table(d))
			return false;
	publish(d);
	return true;
}

bool wasm__read_memories(struct wasm__decoder *d)
{
	uint32_t n;
	if (!wasm__count(&d->c, LIMIT_MEMORIES, "memories", 2, &n))
		return false;
	for (; n; n--)
		if (!add_memory(d))
			return false;
	publish(d);
	return true;
}

bool wasm__read_globals(struct wasm__decoder *d)
{
	uint32_t n;
	if (!wasm__count(&d->c, LIMIT_GLOBALS, "globals", 3, &n))
		return false;
	for (; n; n--) {
		if (!add_global(d, false))
			return false;
		publish(d);  // the next one's initial value may read it
	}
	return true;
}

// ---- exports, start ---------------------------------------------------------------------------------------------------------
static bool read_export(struct wasm__decoder *d, struct wasm_export *x)
{
	static const char *const kinds[] = {"function", "table", "memory", "global"};
	const struct wasm_module *m = d->m;
	const uint32_t counts[] = {m->nfuncs, m->ntables, m->nmemories, m->nglobals};
	if (!wasm__name(&d->c, &x->name))
		return false;
	const uint8_t *at = d->c.p;
	if (!wasm__byte(&d->c, &x->kind))
		return false;
	if (x->kind == WASM_EXTERN_TAG)
		return wasm__fail_feature(&d->c, at, WASM_FEATURE_EXCEPTIONS, "malformed export kind");
	if (x->kind >= ARRAY_LEN(kinds))
		return wasm__fail(&d->c, at, ERR_MALFORMED, "malformed export kind 0x%02x", x->kind);
	at = d->c.p;
	if (!wasm__u32(&d->c, &x->index))
		return false;
	if (x->index >= counts[x->kind])
		return wasm__fail(&d->c, at, ERR_INVALID, "unknown %s %u", kinds[x->kind], x->index);
	if (x->kind == WASM_EXTERN_FUNC)
		d->funcs.ptr[x->index].declared = 1;
	return true;
}

bool wasm__read_exports(struct wasm__decoder *d)
{
	uint32_t n;
	if (!wasm__count(&d->c, LIMIT_EXPORTS, "exports", 3, &n))
		return false;
	struct wasm_export *exports = ARENA_ARRAY(d->a, struct wasm_export, n);
	if (!exports)
		return err_nomem(d->c.e);
	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *at = d->c.p;
		if (!read_export(d, &exports[i]))
			return false;
		bool nomem;
		if (map_insert(&d->m->export_names, exports[i].name, i, &nomem))
			continue;
		if (nomem)
			return err_nomem(d->c.e);
		return wasm__fail(&d->c, at, ERR_INVALID, "duplicate export name '%.*s'", (int)min_u64(exports[i].name.len, 100), (const char *)exports[i].name.ptr);
	}
	d->m->exports = exports;
	d->m->nexports = n;
	return true;
}

bool wasm__read_start(struct wasm__decoder *d)
{
	const uint8_t *at = d->c.p;
	uint32_t func;
	if (!wasm__u32(&d->c, &func))
		return false;
	if (func >= d->m->nfuncs)
		return wasm__fail(&d->c, at, ERR_INVALID, "unknown function %u", func);
	const struct wasm_func_type *t = wasm_func_type_of(d->m, func);
	if (t->nparams || t->nresults)
		return wasm__fail(&d->c, at, ERR_INVALID, "start function: must have neither parameters nor results");
	d->m->has_start = true;
	d->m->start = func;
	return true;
}
