// A core module with worlds as the component that `wasm-tools component new` would make of it, by the names of wit-component or those of the component model's
// build targets: imports lowered, exports lifted, by the names that the module has for them, with the memory and the realloc that it exports.
//
// 1. What comes out is a definition like any other, with operations that link.c executes. There is no shim: a plan allocates all core instances before
//    anything is called, so that what the module imports may name what it exports (OP_FORWARD).
// 2. Core instance 0 is the module's. `_initialize` is called by the start function of one behind it, so that an image can be taken before or after.
//    `_start` is called by an export wasi:cli/run of a third.
// 3. Functions of preview 1 are the host's (OP_CORE_HOST), where wit-component puts an adapter.
#include "module.h"

// ---- names -------------------------------------------------------------------------------------------------------------------------------

static const struct naming namings[] = {
	{"$root", "", "[export]", {"[resource-drop]"}, {"[resource-new]"}, {"[resource-rep]"}, "", "#", {"cabi_post_"}, {"[dtor]"}, false},
	{"cm32p2", "cm32p2|", "cm32p2|_ex_", {"_drop", true}, {"_new", true}, {"_rep", true}, "cm32p2|", "|", {"_post", true}, {"_dtor", true}, true},
};

// Errors are told at the import.
static void at_import(struct build *b, const struct wasm_import *x)
{
	b->d->p = b->d->start + min_u64(x->offset, (uint64_t)(b->d->end - b->d->start));
}

// ---- which imports there are -------------------------------------------------------------------------------------------------------------

static struct place place_of(struct build *b, struct slice module)
{
	if (slice_eq_str(module, "wasi_snapshot_preview1"))
		return (struct place){.kind = PLACE_PREVIEW1};
	for (size_t i = ARRAY_LEN(namings); i-- > 0;) {
		const struct naming *n = &namings[i];
		struct slice name;
		if (slice_eq_str(module, n->root))
			return (struct place){PLACE_ROOT, n, NULL};
		bool is_exported = comp__strip(module, (struct affix){n->exported}, &name);
		if (is_exported && slice_eq_str(name, n->root))
			return (struct place){PLACE_EXPORT, n, NULL};
		struct world_entry *e = is_exported ? comp__world_export(&b->w, name, n->canonical) : NULL;
		if (e)
			return (struct place){PLACE_EXPORT, n, e};
		e = comp__strip(module, (struct affix){n->imported}, &name) ? comp__world_import(&b->w, name) : NULL;
		if (e)
			return (struct place){PLACE_IMPORT, n, e};
	}
	return (struct place){0};
}

static const struct place *find_place(struct build *b, struct slice module)
{
	uintptr_t known;
	bool nomem = false;
	if (b->places.len && map_get(&b->places, module, &known))
		return (const struct place *)known;
	struct place *p = NEW(b->d, struct place);
	if (p)
		*p = place_of(b, module);
	if (!p || (!map_insert(&b->places, module, (uintptr_t)p, &nomem) && nomem)) {
		comp__full(b->d);
		return NULL;
	}
	return p;
}

// The resource that a world, or an interface of it, calls so.
static const struct res *find_resource(struct build *b, const struct place *p, struct slice name)
{
	const struct item *x;
	struct world_part *part;
	if (p->kind == PLACE_ROOT) {
		struct world_entry *e = comp__world_import(&b->w, name);
		x = e ? &e->item : NULL;
	} else {
		x = p->entry && p->entry->inst ? comp__world_item(&b->w, p->entry, name, &part) : NULL;
	}
	return x && x->e.kind == COMP_EXTERN_TYPE && x->e.ty.kind == TY_RESOURCE ? x->e.ty.res : NULL;
}

// resource.drop of any resource; resource.new and resource.rep of those that the module exports.
static bool find_builtin(struct build *b, const struct place *p, struct slice name, struct target *t)
{
	const struct affix drop = p->naming->drop, make = p->naming->make, rep = p->naming->rep;
	const struct {
		struct affix affix;
		uint8_t kind;
	} list[] = {{drop, COMP_BUILTIN_RESOURCE_DROP}, {make, COMP_BUILTIN_RESOURCE_NEW}, {rep, COMP_BUILTIN_RESOURCE_REP}};
	for (size_t i = 0; i < ARRAY_LEN(list); i++) {
		struct slice of;
		if (!comp__strip(name, list[i].affix, &of) || !(t->res = find_resource(b, p, of)))
			continue;
		if (list[i].kind != COMP_BUILTIN_RESOURCE_DROP && (p->kind != PLACE_EXPORT || t->res->is_import))
			continue;
		t->kind = TARGET_BUILTIN;
		t->builtin = list[i].kind;
		return true;
	}
	return false;
}

static struct world_part *find_func(struct build *b, const struct place *p, struct slice name, struct target *t, const struct wit_func_type **ret)
{
	struct world_part *part = NULL;
	struct world_entry *e = p->kind == PLACE_ROOT ? comp__world_import(&b->w, name) : p->kind == PLACE_IMPORT ? p->entry
																											  : NULL;
	if (!e)
		return NULL;
	const struct item *x = p->kind == PLACE_ROOT ? &e->item : e->inst ? comp__world_item(&b->w, e, name, &part)
																	  : NULL;
	if (!x || x->e.kind != COMP_EXTERN_FUNC)
		return NULL;
	*t = (struct target){.kind = TARGET_FUNC, .entry = e, .name = x->name};
	*ret = x->e.ty.func;
	return part ? part : &e->parts.ptr[0];
}

// A function of a resource names it, whatever its type has.
static bool use_named(struct build *b, const struct place *p, struct slice name)
{
	struct wit_name n;
	if (!wit_name_parse(name, false, &n, NULL) || !n.resource.len)
		return true;
	const struct res *r = find_resource(b, p, n.resource);
	return !r || comp__world_use(&b->w, &(struct ty){.kind = TY_RESOURCE, .res = r});
}

static bool not_found(struct build *b, const struct wasm_import *x, const struct place *p)
{
	struct dec *d = b->d;
	struct wit_name n;
	bool is_built_in = x->name.len && x->name.ptr[0] == '[' && !wit_name_parse(x->name, false, &n, NULL);
	if (is_built_in && (p->kind != PLACE_NOWHERE || slice_starts_with(x->module, SLICE_LIT("[export]"))))
		return FAIL(d, UNSUPPORTED, "`%.*s` of `%.*s` is not made for a core module here", SLICE_ARGS(x->name), SLICE_ARGS(x->module)) ||
			err_hint(d->e, "make a component of it: wasm-tools component new, with an adapter for wasi_snapshot_preview1");
	if (p->kind == PLACE_NOWHERE)
		FAIL(d, INVALID, "no world of the module has what it imports as `%.*s`, for `%.*s`", SLICE_ARGS(x->module), SLICE_ARGS(x->name));
	else
		FAIL(d, INVALID, "no world of the module has `%.*s` of `%.*s`, which it imports", SLICE_ARGS(x->name), SLICE_ARGS(x->module));
	return err_hint(d->e, "a core module gets what its sections component-type… say, and wasi_snapshot_preview1");
}

static bool find_target(struct build *b, const struct wasm_import *x, struct target *t)
{
	struct dec *d = b->d;
	const struct wit_func_type *f;
	at_import(b, x);
	if (x->kind != WASM_EXTERN_FUNC)
		return FAIL(d, INVALID, "the module imports a %s, `%.*s` of `%.*s`: with a world it can import functions alone", comp__core_kind_name(x->kind),
			SLICE_ARGS(x->name), SLICE_ARGS(x->module));
	const struct place *p = find_place(b, x->module);
	if (!p)
		return false;
	if (p->kind == PLACE_PREVIEW1 || p->kind == PLACE_NOWHERE) {
		*t = (struct target){.kind = TARGET_HOST};
		return p->kind == PLACE_PREVIEW1 || not_found(b, x, p);
	}
	struct slice name = x->name;
	bool is_async = !p->naming->canonical && comp__strip(name, (struct affix){"[async-lower]"}, &name), is;
	struct world_part *part = find_func(b, p, name, t, &f);
	if (part) {
		part->is_used = true;
		t->is_async = is_async;
		return comp__world_use_func(&b->w, f) && use_named(b, p, name);
	}
	if (find_builtin(b, p, x->name, t))
		return comp__world_use(&b->w, &(struct ty){.kind = TY_RESOURCE, .res = t->res});
	return comp__async_builtin(b, p, x->name, t, &is) && (is || not_found(b, x, p));
}

// What a world exports, and the types that it names itself, is there whether the module makes use of it or not.
static bool use_declared(struct build *b)
{
	for (uint32_t i = 0; i < b->w.imports.list.len; i++) {
		const struct world_entry *e = b->w.imports.list.ptr[i];
		if (e->item.e.kind == COMP_EXTERN_TYPE && !comp__world_use(&b->w, &e->item.e.ty))
			return false;
	}
	for (uint32_t i = 0; i < b->w.exports.list.len; i++) {
		const struct world_entry *e = b->w.exports.list.ptr[i];
		if (!e->inst && !comp__world_use(&b->w, &e->item.e.ty))
			return false;
		for (uint32_t k = 0; e->inst && k < e->inst->exports.len; k++)
			if (!comp__world_use(&b->w, &e->inst->exports.ptr[k].e.ty))
				return false;
	}
	return true;
}

static bool find_targets(struct build *b)
{
	b->targets = ARENA_ARRAY(&b->d->s, struct target, b->m->nimports);
	if (!b->targets)
		return comp__full(b->d);
	map_init(&b->places, &b->d->s);
	if (!comp__world_names(&b->w) || !comp__steps(b->d, b->m->nimports))
		return false;
	for (uint32_t i = 0; i < b->m->nimports; i++)
		if (!find_target(b, &b->m->imports[i], &b->targets[i]))
			return false;
	return use_declared(b);
}

// ---- imports of the component ------------------------------------------------------------------------------------------------------------

static bool add_size(struct build *b, const struct entity *e)
{
	uint64_t size = (uint64_t)b->s.size + comp__entity_size(e);
	uint32_t depth = 1 + comp__entity_depth(e);
	if (size > WIT_MAX_EFFECTIVE_SIZE)
		return FAIL(b->d, LIMIT, "effective type size exceeds the limit of %u", WIT_MAX_EFFECTIVE_SIZE);
	b->s.size = (uint32_t)size;
	b->s.depth = depth > b->s.depth ? depth : b->s.depth;
	return true;
}

static bool import(struct build *b, struct world_entry *e)
{
	struct scope *s = &b->s;
	const uint32_t spaces[] = {[COMP_EXTERN_FUNC] = s->funcs.len, [COMP_EXTERN_TYPE] = s->types.len, [COMP_EXTERN_INSTANCE] = s->instances.len};
	struct op *op = comp__op_of(b->d, s, OP_IMPORT, e->offset, &e->item.e);
	if (!op)
		return false;
	op->name = e->item.name;
	e->index = spaces[e->item.e.kind];
	return add_size(b, &e->item.e) && comp__items_add(b->d, &s->imports, &e->item) && comp__push_entity(b->d, s, &e->item.e);
}

static bool imports(struct build *b)
{
	struct world_entry **list;
	uint32_t n;
	if (!comp__world_reduce(&b->w, &list, &n))
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!import(b, list[i]))
			return false;
	return true;
}

// ---- the module, what it exports -----------------------------------------------------------------------------------------------------------

// An export of a core instance, before it is made.
static bool forward(struct build *b, uint32_t core_instance, const struct core_extern *x, uint32_t index, uint32_t *ret)
{
	struct op *op = comp__op(b->d, &b->s, OP_FORWARD, 0);
	if (!op)
		return false;
	op->sort = x->kind;
	op->a = core_instance;
	op->b = index;
	*ret = b->s.core[x->kind].len;
	return PUSH(b->d, &b->s.core[x->kind], *x);
}

// *ret stays COMP_NONE where the module exports nothing of that kind by the name.
static bool forward_export(struct build *b, unsigned kind, struct slice name, uint32_t *ret)
{
	struct core_extern x;
	uint32_t item;
	*ret = COMP_NONE;
	return !comp__mtype_find(b->s.modules.ptr[0], name, &x, &item) || x.kind != kind || forward(b, 0, &x, b->m->exports[item].index, ret);
}

static bool forward_first(struct build *b, unsigned kind, const char *const *names, size_t n, uint32_t *ret)
{
	*ret = COMP_NONE;
	for (size_t i = 0; i < n && *ret == COMP_NONE; i++)
		if (!forward_export(b, kind, slice_str(names[i]), ret))
			return false;
	return true;
}

// Names as wit-component knows them, in its order.
static bool forward_options(struct build *b)
{
	static const char *const memory[] = {"memory", "cm32p2_memory"};
	static const char *const of_imports[] = {"cabi_import_realloc", "canonical_abi_realloc", "cabi_realloc", "cm32p2_realloc"};
	static const char *const of_exports[] = {"cabi_export_realloc", "canonical_abi_realloc", "cabi_realloc", "cm32p2_realloc"};
	return forward_first(b, SORT_CORE_MEMORY, memory, ARRAY_LEN(memory), &b->memory) &&
		forward_first(b, SORT_CORE_FUNC, of_imports, ARRAY_LEN(of_imports), &b->import_realloc) &&
		forward_first(b, SORT_CORE_FUNC, of_exports, ARRAY_LEN(of_exports), &b->export_realloc);
}

// Names are put together for each function: that is not linear in the file.
static uint8_t *name_room(struct build *b, size_t len)
{
	uint8_t *p = comp__steps(b->d, 1 + len / 64) ? arena_alloc(&b->d->s, len + 1, 1) : NULL;
	if (!p)
		comp__full(b->d);
	return p;
}

static bool put_together(struct build *b, const struct slice *parts, size_t n, struct slice *ret)
{
	size_t len = 0;
	for (size_t i = 0; i < n; i++)
		len += parts[i].len;
	uint8_t *p = name_room(b, len);
	if (!p)
		return false;
	*ret = slice_of(p, len);
	for (size_t i = 0; i < n; i++) {
		if (parts[i].len)
			memcpy(p, parts[i].ptr, parts[i].len);
		p += parts[i].len;
	}
	return true;
}

// What a build calls something of the export: `inner` belongs to the item's name, `outer` to the whole.
static bool export_name(struct build *b, const struct naming *n, const struct world_entry *e, struct slice name, struct affix inner, struct affix outer,
	struct slice *ret)
{
	static const struct slice none;
	struct slice in = slice_str(inner.text), out = slice_str(outer.text), interface = e->inst ? e->item.name : none;
	if (e->inst && n->canonical && !comp__world_key(b->d, e->item.name, &interface))
		return false;
	const struct slice parts[] = {outer.is_suffix ? none : out, slice_str(n->before), interface, e->inst || n->canonical ? slice_str(n->between) : none,
		inner.is_suffix ? none : in, name, inner.is_suffix ? in : none, outer.is_suffix ? out : none};
	return put_together(b, parts, ARRAY_LEN(parts), ret);
}

// A resource that the module exports, with its destructor.
static bool resource(struct build *b, const struct world_entry *e, const struct item *x, struct world_part *part)
{
	uint32_t dtor = COMP_NONE;
	const struct affix none = {""};
	for (size_t i = 0; i < ARRAY_LEN(namings) && dtor == COMP_NONE; i++) {
		struct slice name;
		if (!export_name(b, &namings[i], e, x->name, namings[i].dtor, none, &name) || !forward_export(b, SORT_CORE_FUNC, name, &dtor))
			return false;
	}
	if (dtor != COMP_NONE && !comp__dtor_check(b->d, &b->s, dtor, false))
		return err_note(b->d->e, "the destructor of `%.*s`", SLICE_ARGS(x->name));
	struct op *op = comp__op_of(b->d, &b->s, OP_RESOURCE, e->offset, &x->e);
	if (!op)
		return false;
	op->b = dtor;
	part->index = b->s.types.len;
	return PUSH(b->d, &b->s.types, x->e.ty);
}

static bool resources(struct build *b)
{
	for (uint32_t i = 0; i < b->w.exports.list.len; i++) {
		const struct world_entry *e = b->w.exports.list.ptr[i];
		for (uint32_t k = 0; e->inst && k < e->inst->exports.len; k++) {
			const struct item *x = &e->inst->exports.ptr[k];
			if (x->e.kind == COMP_EXTERN_TYPE && x->e.is_sub && !resource(b, e, x, &e->parts.ptr[k]))
				return false;
		}
	}
	return true;
}

// ---- what it imports ---------------------------------------------------------------------------------------------------------------------

// What values need may not be there. Returns false.
static bool hint_options(struct build *b, uint32_t realloc)
{
	if (b->memory == COMP_NONE)
		return err_hint(b->d->e, "the module exports no `memory`");
	return realloc == COMP_NONE && err_hint(b->d->e, "the module exports no `cabi_realloc`");
}

static struct canon *options(struct build *b, uint8_t encoding, uint32_t realloc, bool is_async)
{
	struct canon *c = comp__canon_new(b->d);
	if (!c)
		return NULL;
	c->encoding = encoding;
	c->has_encoding = true;
	c->memory = b->memory;
	c->realloc = b->memory == COMP_NONE ? COMP_NONE : realloc;
	c->is_async = is_async;
	return (!is_async || comp__need(b->d, COMP_FEATURE_ASYNC, comp__offset(b->d), "canonical option `async`")) && comp__canon_check(b->d, &b->s, c) ? c : NULL;
}

static bool lower(struct build *b, const struct target *t, uint64_t at)
{
	struct scope *s = &b->s;
	struct world_part *part = &t->entry->parts.ptr[0];
	uint32_t func = t->entry->index;
	if (t->entry->inst) {
		const struct item *x = comp__world_item(&b->w, t->entry, t->name, &part);
		BUG_ON(!x);
		if (part->index == COMP_NONE) {
			struct op *op = comp__op(b->d, s, OP_ALIAS, at);
			if (!op)
				return false;
			op->sort = SORT_FUNC;
			op->a = t->entry->index;
			op->name = x->name;
			part->index = s->funcs.len;
			if (!PUSH(b->d, &s->funcs, x->e.ty.func))
				return false;
		}
		func = part->index;
	}
	struct canon *c = options(b, part->encoding, b->import_realloc, t->is_async);
	return c && (comp__lower(b->d, s, c, func, at) || hint_options(b, b->import_realloc));
}

static bool builtin(struct build *b, const struct target *t, uint64_t at)
{
	struct canon *c = comp__canon_new(b->d);
	if (!c)
		return false;
	c->builtin = t->builtin;
	c->res = t->res;
	c->type = t->type;
	c->imm = t->imm;
	c->is_async = t->is_async;
	c->encoding = t->encoding;
	c->memory = t->memory ? b->memory : COMP_NONE;
	c->realloc = t->realloc && c->memory != COMP_NONE ? (t->is_export ? b->export_realloc : b->import_realloc) : COMP_NONE;
	if (t->memory && b->memory == COMP_NONE)
		return FAIL(b->d, INVALID, "canonical option `memory` is required") || err_hint(b->d->e, "the module exports no `memory`");
	return comp__builtin_need(b->d, c, at) && comp__canon_check(b->d, &b->s, c) && comp__builtin(b->d, &b->s, c, at);
}

static bool core_host(struct build *b, const struct wasm_import *x)
{
	struct dec *d = b->d;
	struct core_host *h = NEW(d, struct core_host);
	struct op *op = h ? comp__op(d, &b->s, OP_CORE_HOST, x->offset) : NULL;
	if (!op)
		return comp__full(d);
	*h = (struct core_host){.module = x->module, .name = x->name, .memory = b->memory, .offset = x->offset};
	if (b->memory != COMP_NONE && b->s.core[SORT_CORE_MEMORY].ptr[b->memory].memory.limits.is64)
		return FAIL(d, INVALID, "wasi_snapshot_preview1 has pointers of 32 bits, the module's memory addresses of 64");
	h->core_type = wasm_intern_func_type(wasm_func_type_of(b->m, x->index));
	op->p = h;
	struct core_extern type = {.kind = WASM_EXTERN_FUNC, .func = h->core_type};
	return h->core_type ? PUSH(d, &b->s.core[SORT_CORE_FUNC], type) : err_nomem(d->e);
}

static bool core_import(struct build *b, uint32_t i, uint32_t *ret)
{
	const struct wasm_import *x = &b->m->imports[i];
	const struct target *t = &b->targets[i];
	at_import(b, x);
	*ret = b->s.core[SORT_CORE_FUNC].len;
	bool ok = t->kind == TARGET_HOST ? core_host(b, x) : t->kind == TARGET_FUNC ? lower(b, t, x->offset)
																				: builtin(b, t, x->offset);
	struct core_item want;
	comp__mtype_import(b->s.modules.ptr[0], i, &want);
	return (ok && comp__core_match(b->d, &b->s.core[SORT_CORE_FUNC].ptr[*ret], &want.type)) ||
		err_note(b->d->e, "import `%.*s` of `%.*s`", SLICE_ARGS(x->name), SLICE_ARGS(x->module));
}

// A core instance of the module, given those functions.
static bool instantiate(struct build *b, uint32_t module, struct arg *args, uint32_t n)
{
	struct op *op = comp__op(b->d, &b->s, OP_CORE_DIRECT, 0);
	if (!op)
		return false;
	op->a = module;
	op->args = args;
	op->nargs = n;
	b->n_core_instances++;
	return true;
}

static bool instantiate_main(struct build *b)
{
	uint32_t n = b->m->nimports;
	struct arg *args = ARENA_ARRAY(&b->d->s, struct arg, n);
	if (!args)
		return comp__full(b->d);
	for (uint32_t i = 0; i < n; i++) {
		args[i].sort = SORT_CORE_FUNC;
		if (!core_import(b, i, &args[i].index))
			return false;
	}
	return instantiate(b, 0, args, n);
}

// ---- modules that call it ------------------------------------------------------------------------------------------------------------------

// (import "" "" (func)) (start 0)
static const uint8_t starter[] = {0, 'a', 's', 'm', 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0, 2, 5, 1, 0, 0, 0, 0, 8, 1, 0};
// (import "" "" (func)) (func (export "run") (result i32) (call 0) (i32.const 0))
static const uint8_t runner[] = {0, 'a', 's', 'm', 1, 0, 0, 0, 1, 8, 2, 0x60, 0, 0, 0x60, 0, 1, 0x7f, 2, 5, 1, 0, 0, 0, 0, 3, 2, 1, 1, 7, 7, 1, 3, 'r', 'u', 'n',
	0, 1, 10, 8, 1, 6, 0, 0x10, 0, 0x41, 0, 0x0b};

// `name` (func) is what the small module imports. Nothing where the module has no such export.
static bool call_by(struct build *b, struct slice bytes, struct slice name, bool *ret_is)
{
	struct dec *d = b->d;
	struct arg *arg = NEW(d, struct arg);
	uint32_t func, module = b->s.modules.len;
	if (!arg || !forward_export(b, SORT_CORE_FUNC, name, &func))
		return comp__full(d);
	*ret_is = func != COMP_NONE;
	if (!*ret_is)
		return true;
	struct comp_module entry = {.bytes = bytes};
	struct wasm_module *m;
	if (!wasm_decode(d->a, bytes, d->opt->core_features, 0, &m, d->e))
		return false;
	entry.wasm = m;
	*arg = (struct arg){.sort = SORT_CORE_FUNC, .index = func};
	if (!comp__add_module(d, &b->s, &entry, 0))
		return false;
	struct core_item want;
	comp__mtype_import(b->s.modules.ptr[module], 0, &want);
	return (comp__core_match(d, &b->s.core[SORT_CORE_FUNC].ptr[func], &want.type) || err_note(d->e, "export `%.*s`", SLICE_ARGS(name))) &&
		instantiate(b, module, arg, 1);
}

static bool initialize(struct build *b)
{
	static const struct slice names[] = {{(const uint8_t *)"_initialize", 11}, {(const uint8_t *)"cm32p2_initialize", 17}};
	bool is = false;
	for (size_t i = 0; i < ARRAY_LEN(names) && !is; i++)
		if (!call_by(b, slice_of(starter, sizeof starter), names[i], &is))
			return false;
	return true;
}

// An export wasi:cli/run for `_start`, where no world has one.
static bool add_run(struct build *b)
{
	static const struct slice name = {(const uint8_t *)"wasi:cli/run@0.2.0", 18};
	struct dec *d = b->d;
	const struct wit_type *result;
	struct entity func = {.kind = COMP_EXTERN_FUNC, .ty = {.kind = TY_FUNC}};
	struct world_part part = {.index = COMP_NONE};
	struct world_entry *e = NEW(d, struct world_entry);
	if (!e || !(e->inst = NEW(d, struct itype)))
		return comp__full(d);
	if (!wit_type_result(d->a, NULL, NULL, &result, d->e) || !wit_func_type_make(d->a, NULL, 0, result, false, &func.ty.func, d->e))
		return false;
	const struct item run = {.name = SLICE_LIT("run"), .e = func};
	e->inst->size = 1 + comp__entity_size(&func);
	e->inst->depth = 1;
	e->item = (struct item){.name = name, .e = {.kind = COMP_EXTERN_INSTANCE, .ty = {.kind = TY_INSTANCE, .inst = e->inst}}};
	b->run_entry = e;
	return comp__items_add(d, &e->inst->exports, &run) && PUSH(d, &e->parts, part) && PUSH(d, &b->w.exports.list, e);
}

static bool start(struct build *b)
{
	uint32_t core_instance = b->n_core_instances, module = b->s.modules.len;
	bool is;
	for (uint32_t i = 0; i < b->w.exports.list.len; i++)
		if (slice_starts_with(b->w.exports.list.ptr[i]->item.name, SLICE_LIT("wasi:cli/run@")))
			return true;
	if (!call_by(b, slice_of(runner, sizeof runner), SLICE_LIT("_start"), &is))
		return false;
	if (!is)
		return true;
	struct core_extern x;
	uint32_t item;
	return comp__mtype_find(b->s.modules.ptr[module], SLICE_LIT("run"), &x, &item) && forward(b, core_instance, &x, 1, &b->run) && add_run(b);
}

// ---- exports of the component ------------------------------------------------------------------------------------------------------------

// A core function behind an exported one, by a name with that before it. *ret stays COMP_NONE where there is none.
static bool forward_named(struct build *b, const struct naming *n, const struct world_entry *e, struct slice name, struct affix outer, uint32_t *ret)
{
	const struct affix none = {""};
	struct slice text;
	return export_name(b, n, e, name, none, outer, &text) && forward_export(b, SORT_CORE_FUNC, text, ret);
}

static bool no_export(struct build *b, const struct world_entry *e, struct slice name)
{
	const struct affix none = {""};
	struct slice text;
	return export_name(b, &namings[0], e, name, none, none, &text) &&
		(FAIL(b->d, INVALID, "a world of the module exports `%.*s`, which the module does not", SLICE_ARGS(text)) ||
			err_hint(b->d->e, "link the module with that export, or without the section that names it"));
}

// The core function behind an exported one, what is called after it, and how it is lifted, in `c`.
static bool find_export(struct build *b, const struct world_entry *e, struct slice name, struct canon *c, uint32_t *ret)
{
	const struct affix none = {""}, async = {"[async-lift]"}, stackful = {"[async-lift-stackful]"}, callback = {"[callback][async-lift]"};
	*ret = e == b->run_entry ? b->run : COMP_NONE;
	for (size_t i = 0; i < ARRAY_LEN(namings) && *ret == COMP_NONE; i++)
		if (!forward_named(b, &namings[i], e, name, none, ret) || !forward_named(b, &namings[i], e, name, namings[i].post_return, &c->post_return))
			return false;
	if (*ret != COMP_NONE)
		return true;
	c->is_async = true;
	c->post_return = COMP_NONE;
	if (!forward_named(b, &namings[0], e, name, async, ret) || (*ret != COMP_NONE && !forward_named(b, &namings[0], e, name, callback, &c->callback)))
		return false;
	if (*ret != COMP_NONE && c->callback == COMP_NONE)
		return FAIL(b->d, INVALID, "the export `[async-lift]%.*s` has no `[callback][async-lift]%.*s`", SLICE_ARGS(name), SLICE_ARGS(name));
	return *ret != COMP_NONE || (forward_named(b, &namings[0], e, name, stackful, ret) && (*ret != COMP_NONE || no_export(b, e, name)));
}

static bool lift(struct build *b, const struct world_entry *e, const struct item *x, uint8_t encoding, uint32_t *ret)
{
	uint32_t func;
	struct canon *c = options(b, encoding, b->export_realloc, false);
	if (!c || !find_export(b, e, x->name, c, &func))
		return false;
	c->func = x->e.ty.func;
	*ret = b->s.funcs.len;
	bool ok = !c->is_async || comp__need(b->d, COMP_FEATURE_ASYNC, e->offset, "canonical option `async`");
	return (ok && comp__canon_check(b->d, &b->s, c) && comp__lift(b->d, &b->s, c, func, e->offset)) || hint_options(b, b->export_realloc) ||
		err_note(b->d->e, "export `%.*s`", SLICE_ARGS(x->name));
}

// A type of an exported interface: what it is was said by whoever made it.
static bool type(struct build *b, const struct item *x, struct world_part *part)
{
	if (part->index != COMP_NONE)
		return true;
	part->index = b->s.types.len;
	return comp__op(b->d, &b->s, OP_TYPE, 0) && PUSH(b->d, &b->s.types, x->e.ty);
}

static bool collect(struct build *b, const struct world_entry *e)
{
	uint32_t n = e->inst->exports.len;
	struct arg *args = ARENA_ARRAY(&b->d->s, struct arg, n);
	if (!args)
		return comp__full(b->d);
	for (uint32_t i = 0; i < n; i++) {
		const struct item *x = &e->inst->exports.ptr[i];
		struct world_part *part = &e->parts.ptr[i];
		bool is_func = x->e.kind == COMP_EXTERN_FUNC;
		if (is_func ? !lift(b, e, x, part->encoding, &part->index) : !type(b, x, part))
			return false;
		args[i] = (struct arg){.name = x->name, .sort = is_func ? SORT_FUNC : SORT_TYPE, .index = part->index};
	}
	struct op *op = comp__op(b->d, &b->s, OP_EXPORTS, e->offset);
	if (!op)
		return false;
	op->args = args;
	op->nargs = n;
	return PUSH(b->d, &b->s.instances, (const struct itype *)e->inst);
}

static bool export(struct build *b, const struct world_entry *e)
{
	uint32_t func = COMP_NONE, instance = b->s.instances.len;
	b->d->p = b->d->start + e->offset;
	if (!e->inst && e->item.e.kind != COMP_EXTERN_FUNC)
		return FAIL(b->d, INVALID, "a world exports functions and interfaces, not a type `%.*s`", SLICE_ARGS(e->item.name));
	if (e->inst ? !collect(b, e) : !lift(b, e, &e->item, e->parts.ptr[0].encoding, &func))
		return false;
	struct op *op = comp__op_of(b->d, &b->s, OP_EXPORT, e->offset, &e->item.e);
	if (!op)
		return false;
	op->name = e->item.name;
	op->sort = e->inst ? SORT_INSTANCE : SORT_FUNC;
	op->a = e->inst ? instance : func;
	return add_size(b, &e->item.e) && comp__items_add(b->d, &b->s.exports, &e->item) && comp__push_entity(b->d, &b->s, &e->item.e);
}

static bool exports(struct build *b)
{
	for (uint32_t i = 0; i < b->w.exports.list.len; i++)
		if (!export(b, b->w.exports.list.ptr[i]))
			return false;
	return true;
}

// ---- the whole ---------------------------------------------------------------------------------------------------------------------------

static const struct affix section = {"component-type"};

// The head of a section, and of its name where it is a custom one.
static bool read_head(struct slice head, uint64_t *ret_next, bool *ret_is)
{
	struct err e = {0};
	struct dec d = {.e = &e, .start = head.ptr, .p = head.ptr, .end = head.ptr + head.len};
	uint8_t id;
	uint32_t size, len;
	if (!comp__u8(&d, &id) || !comp__u32(&d, &size))
		return false;
	*ret_next = comp__offset(&d) + size;
	struct slice name = slice_sub(head, comp__offset(&d), size);
	d.end = name.ptr + name.len;
	*ret_is = id == 0 && comp__u32(&d, &len) && comp__strip(slice_of(d.p, min_u64(len, (uint64_t)(d.end - d.p))), section, &name);
	return true;
}

bool comp_module_has_world_by(size_t (*read)(void *ctx, uint64_t at, uint8_t *to, size_t n), void *ctx)
{
	enum { HEAD = 32, PREAMBLE = 8 };  // of a section, with the beginning of its name
	uint8_t window[4096];
	uint64_t from = 0, at = PREAMBLE, next = 0;
	size_t n = read(ctx, 0, window, sizeof window);
	bool is = false, more = wasm_is_module(slice_of(window, n));
	for (; more && !is; at += next) {
		if (at + HEAD > from + n) {
			from = at;
			n = read(ctx, from, window, sizeof window);
		}
		more = read_head(slice_sub(slice_of(window, n), (size_t)(at - from), HEAD), &next, &is);
	}
	return is;
}

static size_t read_slice(void *ctx, uint64_t at, uint8_t *to, size_t n)
{
	const struct slice *from = ctx;
	struct slice part = at < from->len ? slice_sub(*from, (size_t)at, n) : slice_of("", 0);
	if (part.len)
		memcpy(to, part.ptr, part.len);
	return part.len;
}

bool comp_module_has_world(struct slice bytes)
{
	return comp_module_has_world_by(read_slice, &bytes);
}

static bool read_module(struct build *b, struct def *def)
{
	struct dec *d = b->d;
	struct slice bytes = slice_of(d->p, (size_t)(d->end - d->p));
	struct wasm_module *m;
	if (!wasm_decode(d->a, bytes, d->opt->core_features, 0, &m, d->e) || !comp__scope_init(d, &b->s, SCOPE_COMPONENT, NULL))
		return false;
	// An alias and a lowering for each import, a lift and what it lifts for each export.
	size_t n = (size_t)m->nimports + m->nexports + 16;
	if (!RESERVE(d, &def->ops, 2 * n) || !RESERVE(d, &b->s.funcs, n) || !RESERVE(d, &b->s.core[SORT_CORE_FUNC], n))
		return false;
	b->m = m;
	b->s.def = def;
	b->w = (struct world){.d = d, .binder = b->s.binder};
	return comp__add_module(d, &b->s, &(struct comp_module){.wasm = m, .bytes = bytes}, 0);
}

static bool read_worlds(struct build *b)
{
	struct dec *d = b->d;
	const uint8_t *end = d->end;
	for (uint32_t i = 0; i < b->m->ncustoms; i++) {
		const struct wasm_custom *x = &b->m->customs[i];
		struct slice rest;
		if (!comp__strip(x->name, section, &rest))
			continue;
		d->p = x->bytes.ptr;
		d->end = x->bytes.ptr + x->bytes.len;
		if (!comp__world_add(&b->w, x->name))
			return false;
	}
	d->end = end;
	return true;
}

bool comp__module(struct dec *d, struct def **ret)
{
	struct build b = {.d = d, .memory = COMP_NONE, .run = COMP_NONE};
	struct def *def = NEW(d, struct def);
	if (!def)
		return comp__full(d);
	if (!read_module(&b, def) || !read_worlds(&b) || !find_targets(&b) || !imports(&b) || !forward_options(&b) || !resources(&b) || !instantiate_main(&b) ||
		!initialize(&b) || !start(&b) || !exports(&b))
		return false;
	def->type = (struct ctype){.binder = b.s.binder, .imports = b.s.imports, .exports = b.s.exports, .size = b.s.size, .depth = b.s.depth};
	for (unsigned i = 0; i < SORT_COUNT; i++)
		def->counts[i] = comp__space(&b.s, i);
	d->ndefs = 1;
	*ret = def;
	return true;
}
