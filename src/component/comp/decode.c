// Components: the preamble, sections, core modules, instances.
#include "comp_int.h"

#define STEPS_PER_BYTE 1       // of what is not a core module
#define MAX_CORE_MODULES 1000  // each is published in memory of its own

// ---- core modules and instances ----

bool comp__add_module(struct dec *d, struct scope *s, const struct comp_module *m, uint64_t at)
{
	const struct mtype *t;
	struct op *op = comp__op(d, s, OP_MODULE, at);
	if (!op)
		return false;
	op->a = d->modules.len;
	if (d->modules.len >= MAX_CORE_MODULES)
		return FAIL(d, LIMIT, "the component has more than %u core modules", MAX_CORE_MODULES);
	return PUSH(d, &d->modules, *m) && comp__mtype_of(d, m->wasm, &t) && PUSH(d, &s->modules, t);
}

static bool core_module(struct dec *d, struct scope *s)
{
	struct slice bytes = slice_of(d->p, (size_t)(d->end - d->p));
	struct wasm_module *m;
	uint64_t at = comp__offset(d);
	if (!wasm_is_module(bytes))
		return FAIL(d, MALFORMED, "expected a version header for a module");
	if (!wasm_decode(d->a, bytes, d->opt->core_features, at, &m, d->e)) {
		comp__at(d, at);
		return err_note(d->e, "core module %u", d->modules.len);
	}
	d->p = d->end;
	struct comp_module entry = {.wasm = m, .bytes = bytes, .offset = at};
	if (!comp__add_module(d, s, &entry, at))
		return false;
	return comp__imports_differ(d, s->modules.ptr[s->modules.len - 1]);
}

static bool arg_names_differ(struct dec *d, const struct arg *args, uint32_t n, const char *what, struct map *ret)
{
	map_init(ret, &d->s);
	for (uint32_t i = 0; i < n; i++) {
		bool nomem = false;
		if (!map_insert(ret, args[i].name, i, &nomem))
			return nomem ? comp__full(d) : FAIL(d, INVALID, "duplicate module instantiation %s named `%.*s`", what, SLICE_ARGS(args[i].name));
	}
	return true;
}

static bool core_args(struct dec *d, struct scope *s, struct arg **ret, uint32_t *ret_n)
{
	uint32_t n;
	uint8_t kind;
	if (!comp__count(d, &n))
		return false;
	struct arg *args = ARENA_ARRAY(&d->s, struct arg, n);
	if (!args)
		return comp__full(d);
	for (uint32_t i = 0; i < n; i++) {
		if (!comp__name(d, &args[i].name) || !comp__u8(d, &kind))
			return false;
		if (kind != 0x12)
			return comp__bad_byte(d, kind, "instantiation arg kind");
		args[i].sort = SORT_CORE_INSTANCE;
		if (!comp__u32(d, &args[i].index) || !comp__index(d, s, SORT_CORE_INSTANCE, args[i].index))
			return false;
	}
	*ret = args;
	*ret_n = n;
	return true;
}

static bool find_import(struct dec *d, const struct core_item *x, uint32_t arg, const struct mtype *type, struct core_link *ret)
{
	struct core_extern found;
	ret->arg = arg;
	if (!comp__mtype_find(type, x->name, &found, &ret->item))
		return FAIL(d, INVALID, "module instantiation argument `%.*s` does not export an item named `%.*s`", SLICE_ARGS(x->module), SLICE_ARGS(x->name));
	return comp__is_known(d) || comp__core_match(d, &found, &x->type) ||
		err_note(d->e, "module instantiation argument `%.*s`, export `%.*s`", SLICE_ARGS(x->module), SLICE_ARGS(x->name));
}

// Imports of one argument mostly follow each other.
static bool find_imports(struct dec *d, const struct mtype *m, const struct map *by_name, struct core_links *links)
{
	struct slice before = {0};
	uintptr_t arg = 0;
	for (uint32_t i = 0; i < m->nimports; i++) {
		struct core_item x;
		comp__mtype_import(m, i, &x);
		if ((!i || !slice_eq(x.module, before)) && !map_get(by_name, x.module, &arg))
			return FAIL(d, INVALID, "missing module instantiation argument named `%.*s`", SLICE_ARGS(x.module));
		before = x.module;
		if (!find_import(d, &x, (uint32_t)arg, links->types[arg], &links->imports[i]))
			return false;
	}
	return true;
}

static bool core_instantiate(struct dec *d, struct scope *s, uint64_t at)
{
	uint32_t index, n;
	struct arg *args;
	struct map by_name;
	if (!comp__u32(d, &index) || !comp__index(d, s, SORT_MODULE, index) || !core_args(d, s, &args, &n) ||
		!arg_names_differ(d, args, n, "argument", &by_name))
		return false;
	const struct mtype *m = s->modules.ptr[index];
	struct core_links *links = NEW(d, struct core_links);
	if (!links || !(links->types = ARENA_ARRAY(&d->s, const struct mtype *, n)) || !(links->imports = ARENA_ARRAY(&d->s, struct core_link, m->nimports)))
		return comp__full(d);
	links->module = m;
	for (uint32_t i = 0; i < n; i++)
		links->types[i] = s->core_instances.ptr[args[i].index];
	if (!comp__steps(d, m->nimports) || !find_imports(d, m, &by_name, links))
		return false;
	struct op *op = comp__op(d, s, OP_CORE_INSTANTIATE, at);
	if (!op)
		return false;
	op->a = index;
	op->args = args;
	op->nargs = n;
	op->p = links;
	return PUSH(d, &s->core_instances, m);
}

static bool core_exports(struct dec *d, struct scope *s, uint64_t at)
{
	uint32_t n;
	if (!comp__count(d, &n))
		return false;
	struct arg *args = ARENA_ARRAY(&d->s, struct arg, n);
	struct core_item *items = ARENA_ARRAY(&d->s, struct core_item, n);
	struct mtype *m = NEW(d, struct mtype);
	if (!args || !items || !m)
		return comp__full(d);
	for (uint32_t i = 0; i < n; i++) {
		if (!comp__name(d, &args[i].name) || !comp__core_sort(d, &args[i].sort) || !comp__u32(d, &args[i].index))
			return false;
		if (args[i].sort > SORT_CORE_TAG)
			return FAIL(d, UNSUPPORTED, "a core instance cannot export a %s", comp__sort_name(args[i].sort));
		if (!comp__index(d, s, args[i].sort, args[i].index))
			return false;
		items[i] = (struct core_item){.name = args[i].name, .type = s->core[args[i].sort].ptr[args[i].index]};
	}
	*m = (struct mtype){.nexports = n, .exports = items};
	struct op *op = comp__op(d, s, OP_CORE_EXPORTS, at);
	if (!op)
		return false;
	op->args = args;
	op->nargs = n;
	op->p = m;
	return comp__mtype_index(d, m) && PUSH(d, &s->core_instances, m);
}

static bool core_instance(struct dec *d, struct scope *s)
{
	uint64_t at = comp__offset(d);
	uint8_t b;
	if (!comp__u8(d, &b))
		return false;
	return b == 0 ? core_instantiate(d, s, at) : b == 1 ? core_exports(d, s, at)
														: comp__bad_byte(d, b, "core instance");
}

// ---- instances ----

static bool instantiate(struct dec *d, struct scope *s, uint64_t at)
{
	uint32_t index, n;
	if (!comp__u32(d, &index) || !comp__index(d, s, SORT_COMPONENT, index) || !comp__count(d, &n))
		return false;
	struct arg *args = ARENA_ARRAY(&d->s, struct arg, n);
	struct named_entity *named = ARENA_ARRAY(&d->s, struct named_entity, n);
	if (!args || !named)
		return comp__full(d);
	for (uint32_t i = 0; i < n; i++) {
		if (!comp__name(d, &args[i].name) || !comp__sort(d, &args[i].sort) || !comp__u32(d, &args[i].index) ||
			!comp__entity_at(d, s, args[i].sort, args[i].index, &named[i].e))
			return false;
		named[i].name = args[i].name;
	}
	const struct itype *made;
	if (!comp__instantiate(d, s->components.ptr[index], named, n, s->binder, &made))
		return false;
	const struct entity e = {.kind = COMP_EXTERN_INSTANCE, .ty = {.kind = TY_INSTANCE, .inst = made}};
	struct op *op = comp__op_of(d, s, OP_INSTANTIATE, at, &e);
	if (!op)
		return false;
	op->a = index;
	op->args = args;
	op->nargs = n;
	return PUSH(d, &s->instances, made);
}

static bool bag_of_exports(struct dec *d, struct scope *s, uint64_t at)
{
	uint32_t n;
	struct names names = {.names_types = false};
	if (!comp__count(d, &n))
		return false;
	struct arg *args = ARENA_ARRAY(&d->s, struct arg, n);
	struct itype *t = NEW(d, struct itype);
	if (!args || !t)
		return comp__full(d);
	map_init(&names.keys, &d->s);
	map_init(&names.resources, &d->s);
	uint64_t size = 1;
	t->depth = 1;
	for (uint32_t i = 0; i < n; i++) {
		struct item it;
		if (!comp__extern_name(d, &it) || !comp__sort(d, &args[i].sort) || !comp__u32(d, &args[i].index) ||
			!comp__entity_at(d, s, args[i].sort, args[i].index, &it.e) || !comp__names_add(d, &names, true, &it, "instance export"))
			return false;
		args[i].name = it.name;
		size += comp__entity_size(&it.e);
		uint32_t depth = 1 + comp__entity_depth(&it.e);
		t->depth = depth > t->depth ? depth : t->depth;
		if (size > WIT_MAX_EFFECTIVE_SIZE || depth > COMP_MAX_NESTING)
			return FAIL(d, LIMIT, "effective type size exceeds the limit of %u, or nesting that of %u", WIT_MAX_EFFECTIVE_SIZE, COMP_MAX_NESTING);
		if (!comp__items_add(d, &t->exports, &it))
			return false;
	}
	t->size = (uint32_t)size;
	struct op *op = comp__op(d, s, OP_EXPORTS, at);
	if (!op)
		return false;
	op->args = args;
	op->nargs = n;
	return PUSH(d, &s->instances, t);
}

static bool instance(struct dec *d, struct scope *s)
{
	uint64_t at = comp__offset(d);
	uint8_t b;
	if (!comp__u8(d, &b))
		return false;
	return b == 0 ? instantiate(d, s, at) : b == 1 ? bag_of_exports(d, s, at)
												   : comp__bad_byte(d, b, "instance");
}

// ---- sections ----

static bool nested_component(struct dec *d, struct scope *s)
{
	uint64_t at = comp__offset(d);
	struct def *def;
	if (!comp__component(d, s, &def))
		return false;
	struct op *op = comp__op(d, s, OP_COMPONENT, at);
	if (!op)
		return false;
	op->p = def;
	return PUSH(d, &s->components, (const struct ctype *)&def->type);
}

static bool custom(struct dec *d)
{
	struct slice name;
	if (!comp__name(d, &name))
		return false;
	if (d->nesting == 1 && slice_eq_str(name, "wit-component-encoding"))
		d->encoding = slice_of(d->p, (size_t)(d->end - d->p));
	d->p = d->end;
	return true;
}

static bool each(struct dec *d, struct scope *s, bool (*read)(struct dec *d, struct scope *s))
{
	uint32_t n;
	if (!comp__count(d, &n))
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!read(d, s))
			return false;
	return true;
}

static bool section_contents(struct dec *d, struct scope *s, uint8_t id)
{
	switch (id) {
	case 0:
		return custom(d);
	case 1:
		return core_module(d, s);
	case 2:
		return each(d, s, core_instance);
	case 3:
		return each(d, s, comp__core_type);
	case 4:
		return nested_component(d, s);
	case 5:
		return each(d, s, instance);
	case 6:
		return each(d, s, comp__alias);
	case 7:
		return each(d, s, comp__type);
	case 8:
		return each(d, s, comp__canon);
	case 10:
		return each(d, s, comp__import);
	case 11:
		return each(d, s, comp__export);
	case 9:
		return FAIL(d, UNSUPPORTED, "component start functions are not supported");
	case 12:
		return FAIL(d, UNSUPPORTED, "component values are not supported");
	default:
		return FAIL(d, MALFORMED, "malformed section id: %u", id);
	}
}

static bool section(struct dec *d, struct scope *s)
{
	uint64_t at = comp__offset(d);
	uint8_t id;
	uint32_t size;
	if (!comp__u8(d, &id) || !comp__u32(d, &size))
		return false;
	if (id > 12)
		return FAIL_AT(d, MALFORMED, at, "malformed section id: %u", id);
	if (size > (size_t)(d->end - d->p))
		return FAIL(d, MALFORMED, "unexpected end-of-file: section of %u bytes goes past the end", size);
	const uint8_t *end = d->end;
	d->end = d->p + size;
	if (id != 1 && id != 4)
		d->steps += (uint64_t)size * STEPS_PER_BYTE;
	if (!section_contents(d, s, id))
		return comp__at(d, at);
	if (d->p != d->end)
		return FAIL(d, MALFORMED, "section size mismatch: unexpected data at the end of the section");
	d->end = end;
	return true;
}

static bool preamble(struct dec *d)
{
	static const uint8_t magic[] = {0x00, 'a', 's', 'm'}, version[] = {0x0d, 0x00, 0x01, 0x00};
	size_t n = (size_t)(d->end - d->p);
	if (n < 8)
		return FAIL(d, MALFORMED, "unexpected end-of-file: a component begins with 8 bytes");
	if (memcmp(d->p, magic, 4) != 0)
		return FAIL(d, MALFORMED, "magic header not detected");
	if (d->p[6] != 1 || d->p[7] != 0)
		return FAIL(d, MALFORMED, "expected a version header for a component");
	if (memcmp(d->p + 4, version, 4) != 0)
		return FAIL(d, MALFORMED, "unknown binary version 0x%x; this is not a component of version 0xd", d->p[4] | d->p[5] << 8) ||
			err_hint(d->e, "build the component again with current tools");
	d->p += 8;
	return true;
}

bool comp__component(struct dec *d, struct scope *outer, struct def **ret)
{
	struct scope s;
	struct def *def = NEW(d, struct def);
	if (!def)
		return comp__full(d);
	def->offset = comp__offset(d);
	def->ordinal = d->ndefs++;
	def->outer = outer ? outer->def : NULL;
	if (!preamble(d) || !comp__scope_init(d, &s, SCOPE_COMPONENT, outer))
		return false;
	s.def = def;
	d->nesting++;
	while (d->p < d->end)
		if (!section(d, &s))
			return false;
	d->nesting--;
	def->type = (struct ctype){.binder = s.binder, .imports = s.imports, .exports = s.exports, .size = s.size, .depth = s.depth};
	for (unsigned i = 0; i < SORT_COUNT; i++)
		def->counts[i] = comp__space(&s, i);
	*ret = def;
	return true;
}
