// Names, imports, exports and aliases: what enters and leaves a scope.
#include "comp_int.h"

// ---- names with attributes ----

static bool attribute(struct dec *d, struct item *it, bool seen[3], struct slice *suffix)
{
	static const char *const texts[] = {"implements", "versionsuffix", "external-id"};
	uint8_t b;
	struct slice s;
	struct wit_name name;
	if (!comp__u8(d, &b))
		return false;
	if (b > 2)
		return comp__bad_byte(d, b, "name option");
	if (seen[b])
		return FAIL(d, MALFORMED, "duplicate '%s' option in name", texts[b]);
	seen[b] = true;
	if (!comp__name(d, &s))
		return false;
	if (b == 1) {
		*suffix = s;
	} else if (b == 2) {
		it->external_id = s;
	} else {
		it->implements = s;
		if (!wit_name_parse(s, false, &name, d->e))
			return comp__at(d, comp__offset(d));
		if (name.kind != WIT_NAME_INTERFACE)
			return FAIL(d, INVALID, "`%.*s` is not a valid extern name: `implements` takes the name of an interface", SLICE_ARGS(s));
	}
	return true;
}

// A suffix makes a canonical version whole (C9).
static bool check_suffix(struct dec *d, const struct item *it, struct slice suffix)
{
	struct wit_name name;
	struct wit_version v;
	uint8_t text[512];
	if (!wit_name_parse(it->name, false, &name, d->e))
		return comp__at(d, comp__offset(d));
	if (name.kind != WIT_NAME_INTERFACE || !name.version.present)
		return FAIL(d, INVALID, "`versionsuffix` needs a name with a canonical version");
	if (name.version.text.len + suffix.len > sizeof(text))
		return FAIL(d, LIMIT, "a version is longer than %zu bytes", sizeof(text));
	memcpy(text, name.version.text.ptr, name.version.text.len);
	memcpy(text + name.version.text.len, suffix.ptr, suffix.len);
	return wit_version_parse(slice_of(text, name.version.text.len + suffix.len), false, &v) ||
		FAIL(d, INVALID, "`%.*s%.*s` is not a valid semver version", SLICE_ARGS(name.version.text), SLICE_ARGS(suffix));
}

bool comp__extern_name(struct dec *d, struct item *ret)
{
	uint8_t form;
	uint32_t n;
	bool seen[3] = {0};
	struct slice suffix = {0};
	*ret = (struct item){0};
	if (!comp__u8(d, &form))
		return false;
	if (form > 2)
		return comp__bad_byte(d, form, "component name");
	if (!comp__name(d, &ret->name))
		return false;
	if (form < 2)  // C10
		return true;
	if (!comp__count(d, &n))
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!attribute(d, ret, seen, &suffix))
			return false;
	return !seen[1] || check_suffix(d, ret, suffix);
}

// ---- name rules (C8) ----

static bool is_handle_to(const struct wit_type *t, unsigned kind, const struct res *r)
{
	return t && t->kind == kind && res_same(res_of(t->resource), r);
}

static bool check_annotated(struct dec *d, const struct names *n, const struct wit_name *name, const struct entity *e)
{
	uintptr_t value;
	if (e->kind != COMP_EXTERN_FUNC)
		return FAIL(d, INVALID, "`%.*s` is not a func", SLICE_ARGS(name->text));
	const struct wit_func_type *f = e->ty.func;
	const struct res *r = n->resources.len && map_get(&n->resources, name->resource, &value) ? (const struct res *)value : NULL;
	if (name->kind == WIT_NAME_STATIC)
		return r || FAIL(d, INVALID, "static resource name is not known in this context: `%.*s`", SLICE_ARGS(name->resource));
	if (name->kind == WIT_NAME_METHOD) {
		const struct wit_field *self = f->params.n ? &f->params.fields[0] : NULL;
		if (!self)
			return FAIL(d, INVALID, "function should have at least one argument: `%.*s`", SLICE_ARGS(name->text));
		if (!slice_eq_str(self->name, "self"))
			return FAIL(d, INVALID, "function should have a first argument called `self`: `%.*s`", SLICE_ARGS(name->text));
		if (self->type->kind != WIT_BORROW)
			return FAIL(d, INVALID, "function should take a first argument of `(borrow $T)`: `%.*s`", SLICE_ARGS(name->text));
		return (r && is_handle_to(self->type, WIT_BORROW, r)) ||
			FAIL(d, INVALID, "function does not match expected resource name `%.*s`: `%.*s`", SLICE_ARGS(name->resource), SLICE_ARGS(name->text));
	}
	const struct wit_type *t = f->result;
	if (f->is_async)
		return FAIL(d, INVALID, "a constructor cannot be async: `%.*s`", SLICE_ARGS(name->text));
	if (!t)
		return FAIL(d, INVALID, "function should return one value: `%.*s`", SLICE_ARGS(name->text));
	if (t->kind == WIT_RESULT)
		t = t->fields[0].type;
	if (!t || t->kind != WIT_OWN)
		return FAIL(d, INVALID, "function should return `(own $T)` or `(result (own $T))`: `%.*s`", SLICE_ARGS(name->text));
	return (r && is_handle_to(t, WIT_OWN, r)) ||
		FAIL(d, INVALID, "function does not match expected resource name `%.*s`: `%.*s`", SLICE_ARGS(name->resource), SLICE_ARGS(name->text));
}

bool comp__names_add(struct dec *d, struct names *n, bool is_export, const struct item *it, const char *what)
{
	struct wit_name name;
	bool nomem = false;
	if (comp__is_known(d))
		return true;
	if (!wit_name_parse(it->name, is_export, &name, d->e))
		return comp__at(d, comp__offset(d)) || err_note(d->e, "%s name", what);
	uint8_t *key = arena_alloc(&d->s, it->name.len + 1, 1);
	if (!key)
		return comp__full(d);
	if (!map_insert(&n->keys, slice_of(key, wit_name_unique_key(it->name, key)), 1, &nomem))
		return nomem ? comp__full(d) : FAIL(d, INVALID, "%s name `%.*s` conflicts with previous name", what, SLICE_ARGS(it->name));
	if (it->implements.len && (it->e.kind != COMP_EXTERN_INSTANCE || name.kind != WIT_NAME_LABEL))
		return FAIL(d, INVALID, "`implements` is only allowed on instances with a plain name: `%.*s`", SLICE_ARGS(it->name));
	if (wit_name_is_annotated(&name))
		return check_annotated(d, n, &name, &it->e);
	if (n->names_types && it->e.kind == COMP_EXTERN_TYPE && it->e.ty.kind == TY_RESOURCE && name.kind == WIT_NAME_LABEL) {
		if (!map_insert(&n->resources, it->name, (uintptr_t)it->e.ty.res, &nomem) && nomem)
			return comp__full(d);
	}
	return true;
}

// ---- entities and index spaces ----

struct op *comp__op(struct dec *d, struct scope *s, unsigned kind, uint64_t offset)
{
	struct op *op = VEC_ADD(&d->s, &s->def->ops, COMP_MAX_SPACE * 4);
	if (!op) {
		comp__full(d);
		return NULL;
	}
	*op = (struct op){.kind = (uint8_t)kind, .offset = offset};
	return op;
}

struct op *comp__op_of(struct dec *d, struct scope *s, unsigned kind, uint64_t offset, const struct entity *e)
{
	struct entity *copy = NEW(d, struct entity);
	struct op *op = copy ? comp__op(d, s, kind, offset) : NULL;
	if (!op) {
		comp__full(d);
		return NULL;
	}
	*copy = *e;
	op->entity = copy;
	return op;
}

bool comp__entity_at(struct dec *d, const struct scope *s, unsigned sort, uint32_t index, struct entity *ret)
{
	*ret = (struct entity){0};
	if (!comp__index(d, s, sort, index))
		return false;
	switch (sort) {
	case SORT_MODULE:
		*ret = (struct entity){.kind = COMP_EXTERN_MODULE, .module = s->modules.ptr[index]};
		return true;
	case SORT_FUNC:
		*ret = (struct entity){.kind = COMP_EXTERN_FUNC, .ty = {.kind = TY_FUNC, .func = s->funcs.ptr[index]}};
		return true;
	case SORT_TYPE:
		*ret = (struct entity){.kind = COMP_EXTERN_TYPE, .ty = s->types.ptr[index]};
		return true;
	case SORT_COMPONENT:
		*ret = (struct entity){.kind = COMP_EXTERN_COMPONENT, .ty = {.kind = TY_COMPONENT, .comp = s->components.ptr[index]}};
		return true;
	case SORT_INSTANCE:
		*ret = (struct entity){.kind = COMP_EXTERN_INSTANCE, .ty = {.kind = TY_INSTANCE, .inst = s->instances.ptr[index]}};
		return true;
	default:
		return FAIL(d, INVALID, "a %s cannot be an import, export or argument of a component", comp__sort_name(sort));
	}
}

bool comp__push_entity(struct dec *d, struct scope *s, const struct entity *e)
{
	switch ((enum comp_extern_kind)e->kind) {
	case COMP_EXTERN_MODULE:
		return PUSH(d, &s->modules, e->module);
	case COMP_EXTERN_FUNC:
		return PUSH(d, &s->funcs, e->ty.func);
	case COMP_EXTERN_TYPE:
		return PUSH(d, &s->types, e->ty);
	case COMP_EXTERN_COMPONENT:
		return PUSH(d, &s->components, e->ty.comp);
	case COMP_EXTERN_INSTANCE:
		return PUSH(d, &s->instances, e->ty.inst);
	default:
		return FAIL(d, UNSUPPORTED, "component values are not supported");
	}
}

// ---- imports and exports ----

// Gives an import or export its own types (a fresh resource, a renamed type, an opened instance), checks names and visibility, and adds it.
static bool add_extern(struct dec *d, struct scope *s, bool is_import, struct item *it)
{
	const char *what = is_import ? "import" : "export";
	struct entity *e = &it->e;
	if (e->kind == COMP_EXTERN_TYPE && e->is_sub) {
		struct res *r = comp__res_new(d, s->binder, it->name);
		if (!r)
			return false;
		r->is_import = is_import;
		e->ty = (struct ty){.kind = TY_RESOURCE, .res = r};
	} else if (e->kind == COMP_EXTERN_TYPE) {
		// A primitive that has no name yet is a constant: nothing is a name of it.
		bool is_constant = e->ty.kind == TY_VALUE && e->ty.value->kind < WIT_N_PRIMITIVES && e->ty.value == wit_type_primitive(e->ty.value->kind);
		e->of = is_constant ? NULL : e->ty.p;
		if (!comp__ty_rename(d, &e->ty, it->name, &e->ty))
			return false;
	} else if (e->kind == COMP_EXTERN_INSTANCE && !comp__open(d, e->ty.inst, s->binder, is_import, &e->ty.inst)) {
		return false;
	}
	if (!comp__names_add(d, is_import ? &s->import_names : &s->export_names, !is_import, it, what))
		return false;
	bool visible;
	if (!comp__visible(d, s, e, is_import, &visible))
		return false;
	if (!visible)
		return FAIL(d, INVALID, "%s not valid to be used as %s: `%.*s` refers to a type that is not imported or exported", comp__entity_name(e),
				   what, SLICE_ARGS(it->name)) ||
			err_hint(d->e, "records, variants, enums, flags and resources need a name of their own before they are used in an %s", what);
	uint64_t size = (uint64_t)s->size + comp__entity_size(e);
	if (size > WIT_MAX_EFFECTIVE_SIZE)
		return FAIL(d, LIMIT, "effective type size exceeds the limit of %u", WIT_MAX_EFFECTIVE_SIZE);
	uint32_t depth = 1 + comp__entity_depth(e);
	if (depth > COMP_MAX_NESTING)
		return FAIL(d, LIMIT, "types are nested more than %u deep", COMP_MAX_NESTING);
	s->size = (uint32_t)size;
	s->depth = depth > s->depth ? depth : s->depth;
	return comp__items_add(d, is_import ? &s->imports : &s->exports, it);
}

bool comp__import(struct dec *d, struct scope *s)
{
	uint64_t at = comp__offset(d);
	struct item it;
	if (!comp__extern_name(d, &it) || !comp__extern_type(d, s, &it.e) || !add_extern(d, s, true, &it))
		return false;
	if (s->kind == SCOPE_COMPONENT) {
		struct op *op = comp__op_of(d, s, OP_IMPORT, at, &it.e);
		if (!op)
			return false;
		op->name = it.name;
	}
	return comp__push_entity(d, s, &it.e);
}

bool comp__export_decl(struct dec *d, struct scope *s)
{
	struct item it;
	return comp__extern_name(d, &it) && comp__extern_type(d, s, &it.e) && add_extern(d, s, false, &it) && comp__push_entity(d, s, &it.e);
}

// An export definition: what it exports gets a new index (C11).
bool comp__export(struct dec *d, struct scope *s)
{
	uint64_t at = comp__offset(d);
	struct item it;
	struct entity ascribed;
	uint8_t sort, has_type;
	uint32_t index;
	if (!comp__extern_name(d, &it) || !comp__sort(d, &sort) || !comp__u32(d, &index) || !comp__entity_at(d, s, sort, index, &it.e) ||
		!comp__u8(d, &has_type))
		return false;
	if (has_type > 1)
		return comp__bad_byte(d, has_type, "optional component export type");
	if (has_type) {
		if (!comp__extern_type(d, s, &ascribed))
			return false;
		if (!comp__match(d, &it.e, &ascribed))
			return err_note(d->e, "ascribed type of export is not compatible with item's type");
		it.e = ascribed;
	}
	if (!add_extern(d, s, false, &it))
		return false;
	struct op *op = comp__op_of(d, s, OP_EXPORT, at, &it.e);
	if (!op)
		return false;
	op->name = it.name;
	op->sort = sort;
	op->a = index;
	return comp__push_entity(d, s, &it.e);
}

// ---- aliases ----

static bool alias_export(struct dec *d, struct scope *s, unsigned sort, uint64_t at)
{
	static const uint8_t sort_of[] = {SORT_MODULE, SORT_FUNC, SORT_VALUE, SORT_TYPE, SORT_COMPONENT, SORT_INSTANCE};
	uint32_t index;
	struct slice name;
	if (!comp__u32(d, &index) || !comp__name(d, &name) || !comp__index(d, s, SORT_INSTANCE, index))
		return false;
	if (s->kind != SCOPE_COMPONENT && sort != SORT_TYPE && sort != SORT_INSTANCE)
		return FAIL(d, INVALID, "aliases in component or instance types may only refer to types or instances");
	const struct item *x = comp__items_find(d, &s->instances.ptr[index]->exports, name);
	if (!x)
		return FAIL(d, INVALID, "instance %u has no export named `%.*s`", index, SLICE_ARGS(name));
	if (sort_of[x->e.kind] != sort)
		return FAIL(d, INVALID, "export `%.*s` for instance %u is not a %s", SLICE_ARGS(name), index, comp__sort_name(sort));
	struct entity e = x->e;
	e.is_sub = false;
	if (s->kind == SCOPE_COMPONENT) {
		struct op *op = comp__op(d, s, OP_ALIAS, at);
		if (!op)
			return false;
		op->sort = (uint8_t)sort;
		op->a = index;
		op->name = name;
	}
	return comp__push_entity(d, s, &e);
}

static bool alias_core_export(struct dec *d, struct scope *s, unsigned sort, uint64_t at)
{
	uint32_t index;
	struct slice name;
	if (!comp__u32(d, &index) || !comp__name(d, &name))
		return false;
	if (s->kind != SCOPE_COMPONENT)
		return FAIL(d, INVALID, "aliases in component or instance types may only refer to types or instances");
	if (!comp__index(d, s, SORT_CORE_INSTANCE, index))
		return false;
	if (sort > SORT_CORE_TAG)
		return FAIL(d, MALFORMED, "a %s cannot be aliased from a core instance", comp__sort_name(sort));
	const struct mtype *m = s->core_instances.ptr[index];
	struct core_extern type;
	uint32_t item;
	if (!comp__mtype_find(m, name, &type, &item))
		return FAIL(d, INVALID, "core instance %u has no export named `%.*s`", index, SLICE_ARGS(name));
	if (type.kind != sort)
		return FAIL(d, INVALID, "export `%.*s` for core instance %u is not a %s", SLICE_ARGS(name), index, comp__core_kind_name(sort));
	struct op *op = comp__op(d, s, OP_CORE_ALIAS, at);
	if (!op)
		return false;
	op->sort = (uint8_t)sort;
	op->a = index;
	op->b = item;
	op->name = name;
	op->p = m;
	return PUSH(d, &s->core[sort], type);
}

static bool alias_outer(struct dec *d, struct scope *s, unsigned sort, uint64_t at)
{
	uint32_t count, index;
	bool crosses = false, reaches;
	if (!comp__u32(d, &count) || !comp__u32(d, &index))
		return false;
	if (sort != SORT_CORE_TYPE && sort != SORT_MODULE && sort != SORT_TYPE && sort != SORT_COMPONENT)
		return FAIL(d, MALFORMED, "invalid leading byte for component outer alias kind: a %s", comp__sort_name(sort));
	if (s->kind != SCOPE_COMPONENT && sort != SORT_CORE_TYPE && sort != SORT_TYPE)
		return FAIL(d, INVALID, "outer aliases in component or instance types may only refer to types or instances");
	struct scope *from = s;
	for (uint32_t i = 0; i < count; i++) {
		crosses |= from->kind == SCOPE_COMPONENT;
		from = from->outer;
		if (!from)
			return FAIL(d, INVALID, "invalid outer alias count of %u", count);
	}
	if (!comp__index(d, from, sort, index))
		return false;
	if (sort == SORT_TYPE && crosses) {
		if (!comp__reaches_resource(d, &from->types.ptr[index], &reaches))
			return false;
		if (reaches)
			return FAIL(d, INVALID, "cannot alias outer type which transitively refers to resources not defined in the current component");
	}
	if (s->kind == SCOPE_COMPONENT) {
		struct op *op = comp__op(d, s, OP_OUTER, at);
		if (!op)
			return false;
		op->sort = (uint8_t)sort;
		op->a = count;
		op->b = index;
	}
	switch (sort) {
	case SORT_CORE_TYPE:
		return PUSH(d, &s->core_types, from->core_types.ptr[index]);
	case SORT_MODULE:
		return PUSH(d, &s->modules, from->modules.ptr[index]);
	case SORT_TYPE:
		return PUSH(d, &s->types, from->types.ptr[index]);
	default:
		return PUSH(d, &s->components, from->components.ptr[index]);
	}
}

bool comp__alias(struct dec *d, struct scope *s)
{
	uint64_t at = comp__offset(d);
	uint8_t sort, target;
	if (!comp__sort(d, &sort) || !comp__u8(d, &target))
		return false;
	switch (target) {
	case 0:
		if (sort < SORT_FUNC && sort != SORT_MODULE)
			return FAIL(d, MALFORMED, "a %s cannot be aliased from an instance", comp__sort_name(sort));
		return alias_export(d, s, sort, at);
	case 1:
		return alias_core_export(d, s, sort, at);
	case 2:
		return alias_outer(d, s, sort, at);
	default:
		return comp__bad_byte(d, target, "alias");
	}
}
