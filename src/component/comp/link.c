// Linking: executes the operations of each component definition once for each of its instances, with values in place of types, and writes the
// plan. Nothing is checked here (the decoder did); what is looked up by name is looked up here for the last time.
//
// A frame is one component instance in the making: its index spaces hold values. A resource type that the definition's types name by
// (binder, slot) is found in frame.map; component values remember the frame they were made in, for outer aliases.
#include "comp_int.h"

struct fexport;
// An instance: names and values.
struct finst {
	struct fexport *exports;
	uint32_t n;
	struct map by_name;
};
// A core instance: of a module, or names and values.
struct fcore {
	const struct wasm_module *wasm;
	uint32_t instance;  // in plan.core_instances
	const struct mtype *type;  // of names and values
	const struct comp_core_ref *refs;
};
struct fval {
	uint8_t sort;
	bool unlinkable;  // a module or component that the root imports
	union {
		struct comp_core_ref core;
		uint32_t module;
		const struct fcore *core_instance;
		struct comp_func_ref func;
		const struct comp_resource *res;  // NULL: another type
		const struct finst *inst;
		struct {
			const struct def *def;
			const struct frame *frame;
		} comp;
	};
};
struct fexport {
	struct slice name;
	struct fval v;
};
struct frame {
	const struct def *def;
	const struct frame *outer;
	uint32_t instance;
	struct fval *space[SORT_COUNT];
	uint32_t len[SORT_COUNT];
	const struct comp_resource **map;  // by slot of the definition's binder
	const struct finst *args;          // NULL for the root
	struct fexport *exports;
	uint32_t nexports;
	struct subst types;  // to the plan's resources
	struct linker *linker;
};

struct linker {
	struct dec *d;
	uint32_t depth;
	const char *unlinkable;
	VEC(struct comp_step)
	steps;
	VEC(struct comp_instance)
	instances;
	VEC(const struct comp_resource *)
	resources, host_resources;
	VEC(struct comp_core_instance)
	core_instances;
	VEC(struct comp_lift)
	lifts;
	VEC(struct comp_lower)
	lowers;
	VEC(struct comp_builtin)
	builtins;
	VEC(struct comp_core_func)
	core_funcs;
	VEC(struct comp_import)
	imports;
	VEC(struct comp_host_func)
	host_funcs;
	VEC(struct comp_export_func)
	export_funcs;
};

#define LFAIL(l, code, at, ...) err_set_at((l)->d->e, ERR_##code, (at), __VA_ARGS__)

// ---- values ----

static bool push(struct frame *f, unsigned sort, struct fval v)
{
	BUG_ON(f->len[sort] >= f->def->counts[sort]);
	v.sort = (uint8_t)sort;
	f->space[sort][f->len[sort]++] = v;
	return true;
}

static bool index_names(struct linker *l, struct finst *inst)
{
	map_init(&inst->by_name, &l->d->s);
	if (inst->n <= 8)
		return true;
	for (uint32_t i = 0; i < inst->n; i++) {
		bool nomem = false;
		if (!map_insert(&inst->by_name, inst->exports[i].name, i, &nomem) && nomem)
			return comp__full(l->d);
	}
	return true;
}

static const struct fval *find(const struct finst *inst, struct slice name)
{
	uintptr_t i;
	if (inst->n > 8)
		return map_get(&inst->by_name, name, &i) ? &inst->exports[i].v : NULL;
	for (i = 0; i < inst->n; i++)
		if (slice_eq(inst->exports[i].name, name))
			return &inst->exports[i].v;
	return NULL;
}

static const struct comp_resource *resolve(const struct frame *f, const struct res *r)
{
	for (; f; f = f->outer)
		if (f->def->type.binder == r->owner)
			return f->map[r->slot];
	return NULL;
}

static const struct wit_resource *resolve_wit(void *ctx, const struct res *r)
{
	const struct comp_resource *c = resolve(ctx, r);
	return c ? &c->wit : NULL;
}

// The resources that a declared type names are those of the value.
static bool bind(struct linker *l, struct frame *f, const struct entity *e, const struct fval *v)
{
	if (!comp__steps(l->d, 1))
		return false;
	if (e->kind == COMP_EXTERN_TYPE && e->ty.kind == TY_RESOURCE && v->res) {
		const struct res *r = e->ty.res;
		if (r->owner == f->def->type.binder && !f->map[r->slot])
			f->map[r->slot] = v->res;
		return true;
	}
	if (e->kind != COMP_EXTERN_INSTANCE)
		return true;
	for (uint32_t i = 0; i < e->ty.inst->exports.len; i++) {
		const struct item *x = &e->ty.inst->exports.ptr[i];
		const struct fval *part = find(v->inst, x->name);
		BUG_ON(!part);
		if (!bind(l, f, &x->e, part))
			return false;
	}
	return true;
}

static struct comp_resource *resource_new(struct linker *l, struct slice name)
{
	struct comp_resource *r = ARENA_NEW(l->d->a, struct comp_resource);
	if (!r || !PUSH(l->d, &l->resources, (const struct comp_resource *)r)) {
		err_nomem(l->d->e);
		return NULL;
	}
	*r = (struct comp_resource){.wit.name = name, .index = l->resources.len - 1, .instance = COMP_NONE, .import = COMP_NONE, .host_index = COMP_NONE};
	return r;
}

// ---- core operations ----

// What the decoder found by its name in `type`, at `item` there.
static struct comp_core_ref core_export(const struct fcore *c, const struct mtype *type, uint32_t item, struct slice name)
{
	if (!c->wasm) {
		BUG_ON(c->type != type);
		return c->refs[item];
	}
	const struct wasm_export *x = type->wasm == c->wasm ? &c->wasm->exports[item] : wasm_module_find_export(c->wasm, name);
	BUG_ON(!x);
	return (struct comp_core_ref){.kind = COMP_CORE_EXPORT, .extern_kind = x->kind, .instance = c->instance, .index = x->index};
}

static const struct fcore *core_arg(const struct frame *f, const struct op *op, uint32_t arg)
{
	return f->space[SORT_CORE_INSTANCE][op->args[arg].index].core_instance;
}

// Of a module that a component imports, the imports are looked for by their names.
static bool link_by_name(struct linker *l, const struct frame *f, const struct op *op, const struct wasm_import *x, struct comp_core_ref *ret)
{
	const struct core_links *links = op->p;
	struct core_extern type;
	uint32_t arg = 0, item = 0;
	if (!comp__steps(l->d, op->nargs))
		return false;
	while (arg < op->nargs && !slice_eq(op->args[arg].name, x->module))
		arg++;
	BUG_ON(arg == op->nargs || !comp__mtype_find(links->types[arg], x->name, &type, &item));
	*ret = core_export(core_arg(f, op, arg), links->types[arg], item, x->name);
	return true;
}

static bool link_imports(struct linker *l, const struct frame *f, const struct op *op, const struct wasm_module *m, struct comp_core_ref *refs)
{
	const struct core_links *links = op->p;
	for (uint32_t i = 0; i < m->nimports; i++) {
		if (links->module->wasm != m) {
			if (!link_by_name(l, f, op, &m->imports[i], &refs[i]))
				return false;
			continue;
		}
		const struct core_link *x = &links->imports[i];
		refs[i] = core_export(core_arg(f, op, x->arg), links->types[x->arg], x->item, m->imports[i].name);
	}
	return true;
}

static bool core_instantiate(struct linker *l, struct frame *f, const struct op *op)
{
	const struct fval *module = &f->space[SORT_MODULE][op->a];
	if (module->unlinkable) {
		l->unlinkable = "the component imports a core module, which no host provides";
		return true;
	}
	const struct wasm_module *m = l->d->modules.ptr[module->module].wasm;
	if (!comp__steps(l->d, (uint64_t)m->nimports + op->nargs))
		return false;
	struct comp_core_ref *refs = ARENA_ARRAY(l->d->a, struct comp_core_ref, m->nimports);
	struct fcore *inst = NEW(l->d, struct fcore);
	if (!refs || !inst)
		return err_nomem(l->d->e);
	if (!link_imports(l, f, op, m, refs))
		return false;
	*inst = (struct fcore){.wasm = m, .instance = l->core_instances.len};
	if (l->core_instances.len >= COMP_MAX_CORE_INSTANCES)
		return LFAIL(l, LIMIT, op->offset, "the component has more than %u core instances", COMP_MAX_CORE_INSTANCES);
	struct comp_step step = {COMP_STEP_CORE_INSTANCE, inst->instance};
	struct comp_core_instance entry = {.module = module->module, .instance = f->instance, .nimports = m->nimports, .imports = refs, .offset = op->offset};
	return PUSH(l->d, &l->core_instances, entry) && PUSH(l->d, &l->steps, step) &&
		push(f, SORT_CORE_INSTANCE, (struct fval){.core_instance = inst});
}

static bool core_exports(struct linker *l, struct frame *f, const struct op *op)
{
	struct comp_core_ref *refs = ARENA_ARRAY(&l->d->s, struct comp_core_ref, op->nargs);
	struct fcore *inst = NEW(l->d, struct fcore);
	if (!refs || !inst)
		return comp__full(l->d);
	if (!comp__steps(l->d, op->nargs))
		return false;
	for (uint32_t i = 0; i < op->nargs; i++)
		refs[i] = f->space[op->args[i].sort][op->args[i].index].core;
	*inst = (struct fcore){.type = op->p, .refs = refs};
	return push(f, SORT_CORE_INSTANCE, (struct fval){.core_instance = inst});
}

static bool core_alias(struct linker *l, struct frame *f, const struct op *op)
{
	struct fval v = {.core = core_export(f->space[SORT_CORE_INSTANCE][op->a].core_instance, op->p, op->b, op->name)};
	return push(f, op->sort, v);
}

static struct comp_core_ref core_at(const struct frame *f, unsigned sort, uint32_t index)
{
	return index == COMP_NONE ? (struct comp_core_ref){0} : f->space[sort][index].core;
}

static bool forward(struct linker *l, struct frame *f, const struct op *op)
{
	return push(f, op->sort, (struct fval){.core = {.kind = COMP_CORE_EXPORT, .extern_kind = op->sort, .instance = op->a, .index = op->b}});
}

static bool core_host(struct linker *l, struct frame *f, const struct op *op)
{
	const struct core_host *h = op->p;
	struct comp_core_func x = {.module = h->module, .name = h->name, .core_type = h->core_type, .memory = core_at(f, SORT_CORE_MEMORY, h->memory), .offset = h->offset};
	struct fval v = {.core = {.kind = COMP_CORE_HOST, .index = l->core_funcs.len}};
	return PUSH(l->d, &l->core_funcs, x) && push(f, SORT_CORE_FUNC, v);
}

static bool core_direct(struct linker *l, struct frame *f, const struct op *op)
{
	struct comp_core_ref *refs = ARENA_ARRAY(l->d->a, struct comp_core_ref, op->nargs);
	if (!refs)
		return err_nomem(l->d->e);
	if (!comp__steps(l->d, op->nargs))
		return false;
	for (uint32_t i = 0; i < op->nargs; i++)
		refs[i] = f->space[op->args[i].sort][op->args[i].index].core;
	struct comp_step step = {COMP_STEP_CORE_INSTANCE, l->core_instances.len};
	struct comp_core_instance entry = {
		.module = f->space[SORT_MODULE][op->a].module, .instance = f->instance, .nimports = op->nargs, .imports = refs, .offset = op->offset};
	return PUSH(l->d, &l->core_instances, entry) && PUSH(l->d, &l->steps, step);
}

// ---- canonical definitions ----

static struct comp_canon_options canon_options(const struct frame *f, const struct canon *c)
{
	return (struct comp_canon_options){.encoding = c->encoding,
		.is_async = c->is_async,
		.memory64 = c->is64,
		.memory = core_at(f, SORT_CORE_MEMORY, c->memory),
		.realloc = core_at(f, SORT_CORE_FUNC, c->realloc),
		.post_return = core_at(f, SORT_CORE_FUNC, c->post_return),
		.callback = core_at(f, SORT_CORE_FUNC, c->callback)};
}

static bool lift(struct linker *l, struct frame *f, const struct op *op)
{
	const struct canon *c = op->p;
	struct comp_lift x = {.func = f->space[SORT_CORE_FUNC][op->a].core, .options = canon_options(f, c), .instance = f->instance, .core_type = c->core_type};
	struct fval v = {.func = {.kind = COMP_FUNC_LIFT, .index = l->lifts.len}};
	return comp__subst_func(&f->types, c->func, &x.type) && PUSH(l->d, &l->lifts, x) && push(f, SORT_FUNC, v);
}

static void mark_used(struct linker *l, struct comp_func_ref r)
{
	if (r.kind == COMP_FUNC_HOST)
		l->host_funcs.ptr[r.index].used = true;
}

static bool lower(struct linker *l, struct frame *f, const struct op *op)
{
	const struct canon *c = op->p;
	struct comp_lower x = {.callee = f->space[SORT_FUNC][op->a].func, .options = canon_options(f, c), .instance = f->instance, .core_type = c->core_type};
	struct fval v = {.core = {.kind = COMP_CORE_LOWER, .index = l->lowers.len}};
	mark_used(l, x.callee);
	return comp__subst_func(&f->types, c->func, &x.type) && PUSH(l->d, &l->lowers, x) && push(f, SORT_CORE_FUNC, v);
}

static bool builtin(struct linker *l, struct frame *f, const struct op *op)
{
	const struct canon *c = op->p;
	struct comp_builtin x = {.kind = c->builtin, .is_async = c->is_async, .instance = f->instance, .core_type = c->core_type, .imm = c->imm};
	x.options = canon_options(f, c);
	x.table = core_at(f, SORT_CORE_TABLE, c->table);
	x.func_type = c->func_type;
	struct fval v = {.core = {.kind = COMP_CORE_BUILTIN, .index = l->builtins.len}};
	if (c->res && !(x.resource = resolve(f, c->res)))
		return LFAIL(l, INVALID, op->offset, "a resource type has no definition in this instance");
	if (c->type && !comp__subst_type(&f->types, c->type, &x.type))
		return false;
	return PUSH(l->d, &l->builtins, x) && push(f, SORT_CORE_FUNC, v);
}

static bool resource(struct linker *l, struct frame *f, const struct op *op)
{
	struct comp_resource *r = resource_new(l, op->entity->ty.res->wit.name);
	if (!r)
		return false;
	r->instance = f->instance;
	r->dtor = core_at(f, SORT_CORE_FUNC, op->b);
	r->rep64 = op->entity->ty.res->is_rep64;
	f->map[op->entity->ty.res->slot] = r;
	return push(f, SORT_TYPE, (struct fval){.res = r});
}

// ---- imports of the root ----

// Names of the instance imported that something lies in, and of the instance in that one; or empty.
struct place {
	struct slice iface, inner;
};

static bool host_value(struct linker *l, struct frame *f, const struct item *x, struct place at, struct fval *ret);

static bool host_instance(struct linker *l, struct frame *f, const struct item *x, struct place at, struct fval *ret)
{
	const struct items *list = &x->e.ty.inst->exports;
	struct finst *inst = NEW(l->d, struct finst);
	struct fexport *exports = ARENA_ARRAY(&l->d->s, struct fexport, list->len);
	if (!inst || !exports)
		return comp__full(l->d);
	*inst = (struct finst){.exports = exports, .n = list->len};
	for (uint32_t i = 0; i < list->len; i++) {
		exports[i].name = list->ptr[i].name;
		if (!host_value(l, f, &list->ptr[i], at, &exports[i].v))
			return false;
	}
	ret->inst = inst;
	return index_names(l, inst);
}

static bool host_type(struct linker *l, struct frame *f, const struct item *x, struct slice inner, struct fval *ret)
{
	ret->sort = SORT_TYPE;
	if (x->e.ty.kind != TY_RESOURCE)
		return true;
	const struct res *r = x->e.ty.res;
	const struct comp_resource **slot = &f->map[r->slot];
	if (!*slot) {
		struct comp_resource *fresh = resource_new(l, x->name);
		if (!fresh)
			return false;
		fresh->import = l->imports.len;
		fresh->host_index = l->host_resources.len;
		fresh->path = x->name;
		fresh->inner = inner;
		if (!PUSH(l->d, &l->host_resources, (const struct comp_resource *)fresh))
			return false;
		*slot = fresh;
	}
	ret->res = *slot;
	return true;
}

// A value that the host is to provide.
static bool host_value(struct linker *l, struct frame *f, const struct item *x, struct place at, struct fval *ret)
{
	*ret = (struct fval){0};
	if (!comp__steps(l->d, 1))
		return false;
	switch ((enum comp_extern_kind)x->e.kind) {
	case COMP_EXTERN_FUNC: {
		struct comp_host_func h = {.import = l->imports.len, .interface = at.iface, .inner = at.inner, .name = x->name};
		ret->sort = SORT_FUNC;
		ret->func = (struct comp_func_ref){.kind = COMP_FUNC_HOST, .index = l->host_funcs.len};
		return comp__subst_func(&f->types, x->e.ty.func, &h.type) && PUSH(l->d, &l->host_funcs, h);
	}
	case COMP_EXTERN_TYPE:
		return host_type(l, f, x, at.inner, ret);
	case COMP_EXTERN_INSTANCE:
		ret->sort = SORT_INSTANCE;
		return host_instance(l, f, x, at.iface.len ? (struct place){at.iface, x->name} : (struct place){.iface = x->name}, ret);
	default:
		ret->unlinkable = true;
		ret->sort = x->e.kind == COMP_EXTERN_MODULE ? SORT_MODULE : SORT_COMPONENT;
		return true;
	}
}

static bool root_import(struct linker *l, struct frame *f, const struct op *op)
{
	struct item x = {.name = op->name, .e = *op->entity};
	struct comp_import imp = {.name = op->name, .kind = op->entity->kind, .first_func = l->host_funcs.len, .first_resource = l->host_resources.len};
	struct fval v;
	if (!wit_name_parse(op->name, false, &imp.parsed, l->d->e) || !host_value(l, f, &x, (struct place){0}, &v))
		return false;
	imp.n_funcs = l->host_funcs.len - imp.first_func;
	imp.n_resources = l->host_resources.len - imp.first_resource;
	return PUSH(l->d, &l->imports, imp) && push(f, v.sort, v);
}

// ---- component operations ----

static bool run(struct linker *l, const struct def *def, const struct frame *outer, const struct finst *args, uint32_t parent, struct frame **ret);

static bool collect(struct linker *l, const struct frame *f, const struct op *op, struct finst **ret)
{
	struct finst *inst = NEW(l->d, struct finst);
	struct fexport *exports = ARENA_ARRAY(&l->d->s, struct fexport, op->nargs);
	if (!inst || !exports)
		return comp__full(l->d);
	for (uint32_t i = 0; i < op->nargs; i++)
		exports[i] = (struct fexport){op->args[i].name, f->space[op->args[i].sort][op->args[i].index]};
	*inst = (struct finst){.exports = exports, .n = op->nargs};
	*ret = inst;
	return comp__steps(l->d, op->nargs) && index_names(l, inst);
}

static bool instantiate(struct linker *l, struct frame *f, const struct op *op)
{
	const struct fval *c = &f->space[SORT_COMPONENT][op->a];
	struct finst *args;
	struct frame *child;
	if (c->unlinkable) {
		l->unlinkable = "the component imports a component, which no host provides";
		return true;
	}
	if (l->depth >= COMP_MAX_NESTING)
		return LFAIL(l, LIMIT, op->offset, "component instances are nested more than %u deep", COMP_MAX_NESTING);
	if (!collect(l, f, op, &args))
		return false;
	l->depth++;
	if (!run(l, c->comp.def, c->comp.frame, args, f->instance, &child))
		return false;
	l->depth--;
	if (l->unlinkable)
		return true;
	struct finst *made = NEW(l->d, struct finst);
	if (!made)
		return comp__full(l->d);
	*made = (struct finst){.exports = child->exports, .n = child->nexports};
	struct fval v = {.sort = SORT_INSTANCE, .inst = made};
	return index_names(l, made) && bind(l, f, op->entity, &v) && push(f, SORT_INSTANCE, v);
}

static bool bag_of_exports(struct linker *l, struct frame *f, const struct op *op)
{
	struct finst *inst;
	return collect(l, f, op, &inst) && push(f, SORT_INSTANCE, (struct fval){.inst = inst});
}

static bool alias(struct linker *l, struct frame *f, const struct op *op)
{
	const struct fval *v = find(f->space[SORT_INSTANCE][op->a].inst, op->name);
	BUG_ON(!v);
	return push(f, op->sort, *v);
}

static bool outer_alias(struct linker *l, struct frame *f, const struct op *op)
{
	const struct frame *from = f;
	if (op->sort == SORT_CORE_TYPE)
		return true;
	if (op->sort == SORT_TYPE && op->a)  // reaches no resource (C14)
		return push(f, SORT_TYPE, (struct fval){0});
	for (uint32_t i = 0; i < op->a; i++)
		from = from->outer;
	return push(f, op->sort, from->space[op->sort][op->b]);
}

static bool import(struct linker *l, struct frame *f, const struct op *op)
{
	if (!f->args)
		return root_import(l, f, op);
	const struct fval *v = find(f->args, op->name);
	BUG_ON(!v);
	return bind(l, f, op->entity, v) && push(f, v->sort, *v);
}

static bool export(struct linker *l, struct frame *f, const struct op *op)
{
	struct fval v = f->space[op->sort][op->a];
	if (!v.unlinkable && !bind(l, f, op->entity, &v))
		return false;
	if (v.sort == SORT_TYPE && v.res && !v.res->wit.name.len)
		((struct comp_resource *)(uintptr_t)v.res)->wit.name = op->name;
	f->exports[f->nexports++] = (struct fexport){op->name, v};
	return push(f, op->sort, v);
}

static bool execute(struct linker *l, struct frame *f, const struct op *op)
{
	switch ((enum op_kind)op->kind) {
	case OP_MODULE:
		return push(f, SORT_MODULE, (struct fval){.module = op->a});
	case OP_CORE_INSTANTIATE:
		return core_instantiate(l, f, op);
	case OP_CORE_EXPORTS:
		return core_exports(l, f, op);
	case OP_CORE_ALIAS:
		return core_alias(l, f, op);
	case OP_COMPONENT:
		return push(f, SORT_COMPONENT, (struct fval){.comp = {op->p, f}});
	case OP_INSTANTIATE:
		return instantiate(l, f, op);
	case OP_EXPORTS:
		return bag_of_exports(l, f, op);
	case OP_ALIAS:
		return alias(l, f, op);
	case OP_OUTER:
		return outer_alias(l, f, op);
	case OP_TYPE:
		return push(f, SORT_TYPE, (struct fval){0});
	case OP_RESOURCE:
		return resource(l, f, op);
	case OP_LIFT:
		return lift(l, f, op);
	case OP_LOWER:
		return lower(l, f, op);
	case OP_BUILTIN:
		return builtin(l, f, op);
	case OP_IMPORT:
		return import(l, f, op);
	case OP_FORWARD:
		return forward(l, f, op);
	case OP_CORE_HOST:
		return core_host(l, f, op);
	case OP_CORE_DIRECT:
		return core_direct(l, f, op);
	default:
		return export(l, f, op);
	}
}

static struct frame *frame_new(struct linker *l, const struct def *def, const struct frame *outer)
{
	struct frame *f = NEW(l->d, struct frame);
	bool ok = f != NULL;
	uint64_t work = (uint64_t)def->ops.len + def->type.binder->n;
	for (unsigned i = 0; i < SORT_COUNT && ok; i++) {
		if (i == SORT_CORE_TYPE)
			continue;
		work += def->counts[i];
		if (!comp__steps(l->d, def->counts[i]))
			return NULL;
		f->space[i] = ARENA_ARRAY(&l->d->s, struct fval, def->counts[i]);
		ok = f->space[i] != NULL;
	}
	if (!comp__steps(l->d, work))
		return NULL;
	if (ok) {
		f->map = ARENA_ARRAY(&l->d->s, const struct comp_resource *, def->type.binder->n);
		f->exports = ARENA_ARRAY(&l->d->s, struct fexport, def->type.exports.len);
		ok = f->map && f->exports;
	}
	if (!ok) {
		comp__full(l->d);
		return NULL;
	}
	f->def = def;
	f->outer = outer;
	f->linker = l;
	f->types = (struct subst){.d = l->d, .resolve = resolve_wit, .ctx = f};
	return f;
}

// Makes one instance of a definition. Recursion is bounded by linker.depth.
static bool run(struct linker *l, const struct def *def, const struct frame *outer, const struct finst *args, uint32_t parent, struct frame **ret)
{
	struct frame *f = frame_new(l, def, outer);
	if (!f)
		return comp__at(l->d, def->offset);
	if (l->instances.len >= COMP_MAX_INSTANCES)
		return LFAIL(l, LIMIT, def->offset, "the component has more than %u component instances", COMP_MAX_INSTANCES);
	f->instance = l->instances.len;
	f->args = args;
	struct comp_instance inst = {.parent = parent, .definition = def->ordinal, .offset = def->offset};
	if (!PUSH(l->d, &l->instances, inst))
		return false;
	for (uint32_t i = 0; i < def->ops.len && !l->unlinkable; i++)
		if (!execute(l, f, &def->ops.ptr[i]))
			return comp__at(l->d, def->ops.ptr[i].offset);
	*ret = f;
	return true;
}

// ---- what comes out ----

static bool export_func(struct linker *l, struct frame *f, struct slice iface, const struct item *x, const struct fval *v)
{
	struct comp_export_func out = {.interface = iface, .name = x->name, .func = v->func};
	mark_used(l, v->func);
	return comp__subst_func(&f->types, x->e.ty.func, &out.type) && PUSH(l->d, &l->export_funcs, out);
}

static bool export_funcs(struct linker *l, struct frame *f)
{
	const struct items *list = &f->def->type.exports;
	for (uint32_t i = 0; i < list->len; i++) {
		const struct item *x = &list->ptr[i];
		const struct fval *v = &f->exports[i].v;
		if (x->e.kind == COMP_EXTERN_FUNC && !export_func(l, f, slice_of("", 0), x, v))
			return false;
		if (x->e.kind != COMP_EXTERN_INSTANCE)
			continue;
		for (uint32_t j = 0; j < x->e.ty.inst->exports.len; j++) {
			const struct item *y = &x->e.ty.inst->exports.ptr[j];
			const struct fval *part = find(v->inst, y->name);
			BUG_ON(!part);
			if (y->e.kind == COMP_EXTERN_FUNC && !export_func(l, f, x->name, y, part))
				return false;
		}
	}
	return true;
}

static bool describe_items(struct linker *l, struct frame *f, const struct items *list, const struct comp_extern **ret, uint32_t *ret_n);

static bool describe(struct linker *l, struct frame *f, const struct item *x, struct comp_extern *ret)
{
	*ret = (struct comp_extern){.name = x->name, .kind = x->e.kind, .implements = x->implements, .external_id = x->external_id};
	if (x->e.kind == COMP_EXTERN_FUNC || (x->e.kind == COMP_EXTERN_TYPE && x->e.ty.kind == TY_FUNC))
		return comp__subst_func(&f->types, x->e.ty.func, &ret->func);
	if (x->e.kind == COMP_EXTERN_TYPE && x->e.ty.kind == TY_VALUE) {
		const struct wit_type *of = NULL;
		if (!comp__subst_type(&f->types, x->e.ty.value, &ret->type) || (x->e.of && !comp__subst_type(&f->types, x->e.of, &of)))
			return false;
		ret->name_id = ret->type;
		ret->of = of;
		return true;
	}
	if (x->e.kind == COMP_EXTERN_TYPE && x->e.ty.kind == TY_RESOURCE) {
		ret->resource = f->types.resolve(f, x->e.ty.res);
		ret->name_id = x->e.ty.res;
		ret->of = x->e.of;
		return ret->resource || comp__at(l->d, 0);
	}
	if (x->e.kind == COMP_EXTERN_INSTANCE)
		return describe_items(l, f, &x->e.ty.inst->exports, &ret->items, &ret->n);
	return true;
}

static bool describe_items(struct linker *l, struct frame *f, const struct items *list, const struct comp_extern **ret, uint32_t *ret_n)
{
	struct comp_extern *out = ARENA_ARRAY(l->d->a, struct comp_extern, list->len);
	if (!out)
		return err_nomem(l->d->e);
	if (!comp__steps(l->d, list->len))
		return false;
	for (uint32_t i = 0; i < list->len; i++)
		if (!describe(l, f, &list->ptr[i], &out[i]))
			return false;
	*ret = out;
	*ret_n = list->len;
	return true;
}

// Where linking ended early: a resource type that nothing defined stands for itself.
static const struct wit_resource *resolve_or_make(void *ctx, const struct res *r)
{
	struct frame *f = ctx;
	const struct wit_resource *known = resolve_wit(f, r);
	if (known || f->def->type.binder != r->owner)
		return known;
	f->map[r->slot] = resource_new(f->linker, r->wit.name);
	return resolve_wit(f, r);
}

static bool describe_root(struct linker *l, struct frame *f, struct comp_component *c)
{
	const struct ctype *t = &f->def->type;
	if (l->unlinkable)
		f->types.resolve = resolve_or_make;
	return describe_items(l, f, &t->imports, &c->imports, &c->nimports) && describe_items(l, f, &t->exports, &c->exports, &c->nexports);
}

#define KEEP(l, plan, table)                                                                                                                 \
	((plan)->n##table = (l)->table.len,                                                                                                      \
		((plan)->table = arena_copy((l)->d->a, (l)->table.ptr ? (const void *)(l)->table.ptr : "", (l)->table.len * sizeof(*(l)->table.ptr), \
			 _Alignof(uint64_t))) != NULL)

bool comp__link(struct dec *d, struct def *root)
{
	struct linker l = {.d = d};
	struct frame *f;
	struct comp_component *c = d->comp;
	struct comp_plan *p = &c->plan;
	if (!run(&l, root, NULL, NULL, COMP_NONE, &f))
		return false;
	if (l.unlinkable) {
		p->unlinkable = l.unlinkable;
		l.steps.len = 0;
	} else if (!export_funcs(&l, f)) {
		return comp__at(d, root->offset);
	}
	if (!describe_root(&l, f, c))
		return comp__at(d, root->offset);
	bool ok = KEEP(&l, p, steps) && KEEP(&l, p, instances) && KEEP(&l, p, resources) && KEEP(&l, p, core_instances) && KEEP(&l, p, lifts) &&
		KEEP(&l, p, lowers) && KEEP(&l, p, builtins) && KEEP(&l, p, core_funcs) && KEEP(&l, p, imports) && KEEP(&l, p, host_funcs) && KEEP(&l, p, host_resources) &&
		KEEP(&l, p, export_funcs);
	return ok || err_nomem(d->e);
}
