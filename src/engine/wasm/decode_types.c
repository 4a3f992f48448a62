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

enum { FORM_ARRAY = 0x5e, FORM_STRUCT = 0x5f, FORM_FUNC = 0x60, FORM_GROUP = 0x4e, FORM_SUB_FINAL = 0x4f, FORM_SUB = 0x50 };

static bool read_mutability(struct wasm__decoder *d, bool *ret)
{
	const uint8_t *at = d->c.p;
	uint8_t mutable;
	if (!wasm__byte(&d->c, &mutable))
		return false;
	if (mutable > 1)
		return wasm__fail(&d->c, at, ERR_MALFORMED, "malformed mutability 0x%02x", mutable);
	*ret = mutable;
	return true;
}

static bool read_fields(struct wasm__decoder *d, uint32_t n, uint32_t ntypes, struct wasm_type *t)
{
	struct wasm_field *fields = ARENA_ARRAY(d->a, struct wasm_field, n);
	if (!fields)
		return err_nomem(d->c.e);
	for (uint32_t i = 0; i < n; i++) {
		struct wasm_field *f = &fields[i];
		if (d->c.p < d->c.end && (*d->c.p == 0x78 || *d->c.p == 0x77)) {
			f->packed = *d->c.p++ == 0x78 ? 8 : 16;
			f->type = (struct wasm_valtype){.kind = WASM_I32};
		} else if (!wasm__valtype(&d->c, d->features, ntypes, &f->type)) {
			return false;
		}
		if (!read_mutability(d, &f->mutable))
			return false;
	}
	t->nfields = n;
	wasm__type_lay_out(t, fields);
	return true;
}

static bool read_func(struct wasm__decoder *d, uint32_t ntypes, struct wasm_func_type *t)
{
	if (!read_result_type(d, LIMIT_PARAMS, "parameters of a function type", ntypes, &t->nparams, &t->params))
		return false;
	const uint8_t *at_results = d->c.p;
	if (!read_result_type(d, LIMIT_RESULTS, "results of a function type", ntypes, &t->nresults, &t->results))
		return false;
	if (t->nresults > 1 && !(d->features & WASM_FEATURE_MULTI_VALUE))
		return wasm__fail_feature(&d->c, at_results, WASM_FEATURE_MULTI_VALUE, "invalid result arity");
	return true;
}

static bool read_composite(struct wasm__decoder *d, uint8_t form, const uint8_t *at, uint32_t ntypes, struct wasm_type *t)
{
	uint32_t n = 1;
	switch (form) {
	case FORM_FUNC:
		return read_func(d, ntypes, &t->func);
	case FORM_STRUCT:
		t->form = WASM_FORM_STRUCT;
		return wasm__count(&d->c, LIMIT_FIELDS, "fields of a structure type", 2, &n) && read_fields(d, n, ntypes, t);
	case FORM_ARRAY:
		t->form = WASM_FORM_ARRAY;
		return read_fields(d, n, ntypes, t);
	}
	return wasm__fail(&d->c, at, ERR_MALFORMED, "malformed type form 0x%02x", form);
}

static bool check_feature(struct wasm__decoder *d, const uint8_t *at, uint8_t form)
{
	if (d->features & WASM_FEATURE_GC || (form != FORM_GROUP && form != FORM_SUB_FINAL && form != FORM_SUB && form != FORM_ARRAY && form != FORM_STRUCT))
		return true;
	return wasm__fail_feature(&d->c, at, WASM_FEATURE_GC, "recursive, sub-, array and structure types");
}

// A supertype comes before its subtypes; `ntypes` may be referred to, those of the group included.
static bool read_sub(struct wasm__decoder *d, uint8_t form, const uint8_t *at, uint32_t index, uint32_t ntypes)
{
	struct wasm_type *t = &d->types.ptr[index];
	uint32_t nsupers = 0;
	t->is_final = form != FORM_SUB;
	if (!check_feature(d, at, form))
		return false;
	if (form == FORM_SUB || form == FORM_SUB_FINAL) {
		const uint8_t *at_supers = d->c.p;
		if (!wasm__u32(&d->c, &nsupers))
			return false;
		if (nsupers > 1)
			return wasm__fail(&d->c, at_supers, ERR_INVALID, "a type has one supertype at most, not %u", nsupers);
		t->has_super = nsupers;
		if (nsupers && !wasm__u32(&d->c, &t->super))
			return false;
		if (nsupers && t->super >= index)
			return wasm__fail(&d->c, at_supers, ERR_INVALID, "unknown type %u: a supertype comes before its subtypes", t->super);
		at = d->c.p;
		if (!wasm__byte(&d->c, &form))
			return false;
	}
	if (nsupers) {
		const struct wasm_type *super = &d->types.ptr[t->super];
		if (super->is_final)
			return wasm__fail(&d->c, at, ERR_INVALID, "sub type: type %u is final", t->super);
		if (super->depth == LIMIT_SUPERTYPES)
			return wasm__fail_limit(&d->c, at, "supertypes of a type above each other", LIMIT_SUPERTYPES);
		t->depth = super->depth + 1;
	}
	return read_composite(d, form, at, ntypes, t);
}

// ---- canonical ids
static struct wasm_valtype canonical(const struct wasm__decoder *d, struct wasm_valtype v, uint32_t first)
{
	if (v.kind != WASM_REF || v.heap != WASM_HEAP_CONCRETE)
		return v;
	v.group = v.type >= first;
	v.type = v.group ? v.type - first : d->types.ptr[v.type].id;
	return v;
}

static const struct wasm_valtype *canonical_all(const struct wasm__decoder *d, struct arena *a, const struct wasm_valtype *types, uint32_t n, uint32_t first)
{
	struct wasm_valtype *to = ARENA_ARRAY(a, struct wasm_valtype, n);
	for (uint32_t i = 0; to && i < n; i++)
		to[i] = canonical(d, types[i], first);
	return to;
}

static bool canonical_type(const struct wasm__decoder *d, struct arena *a, struct wasm_type *t, uint32_t first)
{
	struct wasm_field *fields = ARENA_ARRAY(a, struct wasm_field, t->nfields);
	t->func.params = canonical_all(d, a, t->func.params, t->func.nparams, first);
	t->func.results = canonical_all(d, a, t->func.results, t->func.nresults, first);
	if (!fields || !t->func.params || !t->func.results)
		return false;
	for (uint32_t i = 0; i < t->nfields; i++) {
		fields[i] = t->fields[i];
		fields[i].type = canonical(d, fields[i].type, first);
	}
	t->fields = fields;
	t->super_in_group = t->has_super && t->super >= first;
	if (t->has_super)
		t->super = t->super_in_group ? t->super - first : d->types.ptr[t->super].id;
	return true;
}

static bool intern_group(struct wasm__decoder *d, struct arena *scratch, uint32_t first, uint32_t n)
{
	struct wasm_type *types = ARENA_ARRAY(scratch, struct wasm_type, n);
	bool ok = types != NULL;
	for (uint32_t i = 0; ok && i < n; i++) {
		types[i] = d->types.ptr[first + i];
		ok = canonical_type(d, scratch, &types[i], first);
	}
	uint32_t id = ok ? wasm__intern_group(types, n) : 0;
	arena_clear(scratch);
	for (uint32_t i = 0; id && i < n; i++)
		d->types.ptr[first + i].id = id + i;
	return id || !n ? true : err_nomem(d->c.e);
}

static bool read_group(struct wasm__decoder *d, struct arena *scratch)
{
	const uint8_t *at = d->c.p, *at_type = at;
	uint8_t form;
	uint32_t n = 1, first = d->types.len;
	if (!wasm__byte(&d->c, &form) || !check_feature(d, at, form))
		return false;
	bool is_group = form == FORM_GROUP;
	if (is_group && !wasm__count(&d->c, LIMIT_TYPES, "types", 2, &n))
		return false;
	if (n > LIMIT_TYPES - first)
		return wasm__fail_limit(&d->c, at, "types", LIMIT_TYPES);
	// A group has room at once: what growing leaves behind is as much again. Twice as much as there is, so that many groups stay linear.
	if (n > d->types.cap - first && !VEC_RESERVE(d->a, &d->types, (uint32_t)max_u64(n, first), LIMIT_TYPES))
		return err_nomem(d->c.e);
	for (uint32_t i = 0; i < n; i++)
		if (!VEC_PUSH(d->a, &d->types, ((struct wasm_type){0}), LIMIT_TYPES))
			return err_nomem(d->c.e);
	d->m->types = d->types.ptr;
	for (uint32_t i = 0; i < n; i++) {
		at_type = is_group ? d->c.p : at_type;
		if ((is_group && !wasm__byte(&d->c, &form)) || !read_sub(d, form, at_type, first + i, first + n))
			return false;
	}
	if (!intern_group(d, scratch, first, n))
		return false;
	d->m->ntypes = first + n;
	for (uint32_t i = first; i < first + n; i++) {
		const struct wasm_type *t = &d->types.ptr[i];
		if (t->has_super && !wasm__type_fits(d->m, t, &d->types.ptr[t->super]))
			return wasm__fail(&d->c, at, ERR_INVALID, "sub type: type %u does not match its supertype %u", i, t->super);
	}
	return true;
}

bool wasm__read_types(struct wasm__decoder *d)
{
	uint32_t n;
	if (!wasm__count(&d->c, LIMIT_TYPES, "types", 2, &n))
		return false;
	if (!VEC_RESERVE(d->a, &d->types, n, LIMIT_TYPES))
		return err_nomem(d->c.e);
	struct arena scratch;
	arena_init(&scratch, 0);
	bool ok = true;
	for (; n && ok; n--)
		ok = read_group(d, &scratch);
	arena_release(&scratch);
	return ok;
}

// The type must be a function's.
static bool read_func_type_index(struct wasm__decoder *d, uint32_t *ret)
{
	const uint8_t *at = d->c.p;
	if (!wasm__u32(&d->c, ret))
		return false;
	if (*ret >= d->m->ntypes)
		return wasm__fail(&d->c, at, ERR_INVALID, "unknown type %u", *ret);
	return d->types.ptr[*ret].form == WASM_FORM_FUNC ? true : wasm__fail(&d->c, at, ERR_INVALID, "type %u is not a function's", *ret);
}

// ---- limits -----------------------------------------------------------------------------------------------------------
enum { LIMITS_MAX = 1, LIMITS_SHARED = 2, LIMITS_64 = 4, LIMITS_PAGE_SIZE = 8 };

// `ret_page_size`: of a memory; set to whether a page size follows. NULL: of a table.
static bool read_limits(struct wasm__decoder *d, bool *ret_page_size, struct wasm_limits *ret)
{
	const uint8_t *at = d->c.p;
	uint8_t flags;
	if (!wasm__byte(&d->c, &flags))
		return false;
	if (flags > (LIMITS_MAX | LIMITS_SHARED | LIMITS_64 | LIMITS_PAGE_SIZE) || (!ret_page_size && (flags & (LIMITS_SHARED | LIMITS_PAGE_SIZE))))
		return wasm__fail(&d->c, at, ERR_MALFORMED, "malformed limits flags 0x%02x", flags);
	if ((flags & LIMITS_SHARED) && !(d->features & WASM_FEATURE_THREADS))
		return wasm__fail_feature(&d->c, at, WASM_FEATURE_THREADS, "malformed limits flags");
	if ((flags & LIMITS_64) && !(d->features & WASM_FEATURE_MEMORY64))
		return wasm__fail_feature(&d->c, at, WASM_FEATURE_MEMORY64, "malformed limits flags");
	if ((flags & LIMITS_PAGE_SIZE) && !(d->features & WASM_FEATURE_CUSTOM_PAGE_SIZES))
		return wasm__fail_feature(&d->c, at, WASM_FEATURE_CUSTOM_PAGE_SIZES, "malformed limits flags");
	struct wasm_limits l = {.has_max = flags & LIMITS_MAX, .shared = (flags & LIMITS_SHARED) != 0, .is64 = (flags & LIMITS_64) != 0};
	unsigned bits = l.is64 ? 64 : 32;
	if (!wasm__leb_slow(&d->c, bits, false, &l.min) || (l.has_max && !wasm__leb_slow(&d->c, bits, false, &l.max)))
		return false;
	if (l.has_max && l.min > l.max)
		return wasm__fail(&d->c, at, ERR_INVALID, "size minimum must not be greater than maximum: %llu, %llu", (unsigned long long)l.min, (unsigned long long)l.max);
	if (l.shared && !l.has_max)
		return wasm__fail(&d->c, at, ERR_INVALID, "shared memory must have maximum");
	if (ret_page_size)
		*ret_page_size = flags & LIMITS_PAGE_SIZE;
	*ret = l;
	return true;
}

static bool read_memory_type(struct wasm__decoder *d, struct wasm_memory_type *ret)
{
	const uint8_t *at = d->c.p;
	struct wasm_memory_type t = {.page_shift = 16};
	bool has_page_size;
	uint32_t shift = 16;
	if (!read_limits(d, &has_page_size, &t.limits))
		return false;
	const uint8_t *at_size = d->c.p;
	if (has_page_size && !wasm__u32(&d->c, &shift))
		return false;
	if (shift != 0 && shift != 16)
		return wasm__fail(&d->c, at_size, ERR_INVALID, "invalid custom page size: 2^%u bytes (a page has 1 or 65536)", shift);
	t.page_shift = (uint8_t)shift;
	// Of pages of one byte as many as the index type can count.
	uint64_t most = shift ? UINT64_C(1) << (t.limits.is64 ? 48 : 16) : UINT64_MAX;
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
	return read_limits(d, NULL, &ret->limits);  // any size is valid: what a store refuses is found when it is allocated
}

static bool read_global_type(struct wasm__decoder *d, struct wasm_global_type *ret)
{
	if (!wasm__valtype(&d->c, d->features, d->m->ntypes, &ret->type))
		return false;
	return read_mutability(d, &ret->mutable);
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
	m->tags = d->tags.ptr;
	m->ntags = d->tags.len;
}

static bool add_func(struct wasm__decoder *d)
{
	const uint8_t *at = d->c.p;
	struct wasm_func f = {0};
	if (!read_func_type_index(d, &f.type))
		return false;
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

static bool add_tag(struct wasm__decoder *d)
{
	const uint8_t *at = d->c.p;
	struct wasm_tag t;
	uint8_t attribute;
	if (!wasm__byte(&d->c, &attribute))
		return false;
	if (attribute)
		return wasm__fail(&d->c, at, ERR_MALFORMED, "malformed tag attribute 0x%02x", attribute);
	at = d->c.p;
	if (!read_func_type_index(d, &t.type))
		return false;
	if (d->m->types[t.type].func.nresults)
		return wasm__fail(&d->c, at, ERR_INVALID, "non-empty tag result type: type %u has results", t.type);
	if (d->tags.len == LIMIT_TAGS)
		return wasm__fail_limit(&d->c, at, "tags", LIMIT_TAGS);
	return VEC_PUSH(d->a, &d->tags, t, LIMIT_TAGS) ? true : err_nomem(d->c.e);
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
		if (!(d->features & WASM_FEATURE_EXCEPTIONS))
			return wasm__fail_feature(&d->c, at, WASM_FEATURE_EXCEPTIONS, "malformed import kind");
		im.index = d->tags.len;
		ok = add_tag(d);
		break;
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
	if (!VEC_RESERVE(d->a, &d->imports, n, LIMIT_IMPORTS))
		return err_nomem(d->c.e);
	for (; n; n--)
		if (!read_import(d))
			return false;
	publish(d);
	d->m->nimported_funcs = d->funcs.len;
	d->m->nimported_tables = d->tables.len;
	d->m->nimported_memories = d->memories.len;
	d->m->nimported_globals = d->globals.len;
	d->m->nimported_tags = d->tags.len;
	return true;
}

// ---- definitions ----------------------------------------------------------------------------------------------------------
bool wasm__read_functions(struct wasm__decoder *d)
{
	uint32_t n;
	if (!wasm__count(&d->c, LIMIT_FUNCTIONS, "functions", 1, &n))
		return false;
	if (!VEC_RESERVE(d->a, &d->funcs, n, LIMIT_FUNCTIONS))
		return err_nomem(d->c.e);
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
	if (!VEC_RESERVE(d->a, &d->globals, n, LIMIT_GLOBALS))
		return err_nomem(d->c.e);
	for (; n; n--) {
		if (!add_global(d, false))
			return false;
		publish(d);  // the next one's initial value may read it
	}
	return true;
}

bool wasm__read_tags(struct wasm__decoder *d)
{
	uint32_t n;
	if (!wasm__count(&d->c, LIMIT_TAGS, "tags", 2, &n))
		return false;
	for (; n; n--)
		if (!add_tag(d))
			return false;
	publish(d);
	return true;
}

// ---- exports, start ---------------------------------------------------------------------------------------------------------
static bool read_export(struct wasm__decoder *d, struct wasm_export *x)
{
	static const char *const kinds[] = {"function", "table", "memory", "global", "tag"};
	const struct wasm_module *m = d->m;
	const uint32_t counts[] = {m->nfuncs, m->ntables, m->nmemories, m->nglobals, m->ntags};
	if (!wasm__name(&d->c, &x->name))
		return false;
	const uint8_t *at = d->c.p;
	if (!wasm__byte(&d->c, &x->kind))
		return false;
	if (x->kind == WASM_EXTERN_TAG && !(d->features & WASM_FEATURE_EXCEPTIONS))
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

// A free slot for the name. NULL: an export before it has that name.
static uint32_t *name_slot(const struct slots *names, const struct wasm_export *exports, struct slice name)
{
	uint64_t h = map_hash(name);
	uint32_t *slot;
	while (*(slot = slots_at(names, h++)))
		if (slice_eq(exports[*slot - 1].name, name))
			return NULL;
	return slot;
}

bool wasm__read_exports(struct wasm__decoder *d)
{
	uint32_t n;
	if (!wasm__count(&d->c, LIMIT_EXPORTS, "exports", 3, &n))
		return false;
	struct wasm_export *exports = ARENA_ARRAY(d->a, struct wasm_export, n);
	if (!exports || !slots_make(&d->m->export_names, d->a, n))
		return err_nomem(d->c.e);
	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *at = d->c.p;
		if (!read_export(d, &exports[i]))
			return false;
		struct slice name = exports[i].name;
		uint32_t *slot = name_slot(&d->m->export_names, exports, name);
		if (!slot)
			return wasm__fail(&d->c, at, ERR_INVALID, "duplicate export name '%.*s'", (int)min_u64(name.len, 100), (const char *)name.ptr);
		*slot = i + 1;
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
