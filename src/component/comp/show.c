// A component's imports and exports become a model of WIT.
//
// Rules:
//  1. Types are told apart by their addresses: each name that the binary gives is one (comp_extern.type), and `of` says what it is a new name of.
//     A name of another interface's type is shown as `use`, one of the same interface's as an alias, the rest as definitions. Names and shapes
//     are never compared to find that out.
//  2. An interface is one thing in WIT, whether it is imported, exported, or both: it has what either side has. Where the sides contradict each
//     other a note says so.
//  3. What is spelled in a scope names only types of that scope. A type that must have a name (record, variant, enum, flags, resource) and has
//     none there gets one, by `use` where it can be, else by a definition; of a resource that is another one then, and a note says so.
//  4. A world's types are imports, so that only what imported interfaces define may be `use`d in one.
#include "show.h"

#include <stdarg.h>
#include <stdio.h>

#define MAX_ITEMS 1000000

static void note(struct show *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void note(struct show *s, const char *fmt, ...)
{
	char text[1024];
	struct slice line;
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	// A note that is lost for want of memory is told as such by whoever made the model: VEC_PUSH fails again.
	if (slice_dup(&s->d.s, slice_str(text), &line) && VEC_PUSH(&s->d.s, &s->notes, line, MAX_ITEMS))
		return;
	comp__full(&s->d);
}

static struct slice word_of(const struct show *s)
{
	return s->is_import ? SLICE_LIT("import") : SLICE_LIT("export");
}

static struct slice name_of(const struct scope_shown *x)
{
	return x->is_world ? SLICE_LIT("world root") : x->id.len ? x->id
															 : SLICE_LIT("interface in line");
}

// ---- scopes and their types -----------------------------------------------------------------------------------------------------------

static void scope_init(struct show *s, struct scope_shown *x)
{
	map_init(&x->type_names, &s->d.s);
	map_init(&x->func_names, &s->d.s);
}

// What a name is in the end a name of; names come after what they name, so that one step leads there.
static const void *origin(const struct show *s, const void *p)
{
	const void *first = comp__ptrmap_get(&s->of, p);
	return first ? first : p;
}

static struct wit_typedef *type_at(const struct scope_shown *x, const void *p)
{
	uintptr_t i = p ? (uintptr_t)comp__ptrmap_get(&x->by_type, p) : 0;
	return i ? &x->types.ptr[i - 1] : NULL;
}

// The name that a type (or resource) has in this scope, or NULL.
static struct wit_typedef *named_here(const struct show *s, const struct scope_shown *x, const void *p)
{
	struct wit_typedef *t = type_at(x, p);
	return t ? t : type_at(x, origin(s, p));
}

static bool remember(struct show *s, struct scope_shown *x, const void *p, uint32_t index)
{
	return comp__ptrmap_get(&x->by_type, p) || comp__ptrmap_put(&s->d, &x->by_type, p, (const void *)(uintptr_t)(index + 1));
}

// Adds a name; what it means is filled in by the caller. Names collide only where a name is made up (it gets a number).
static bool type_add(struct show *s, struct scope_shown *x, struct slice name, uint32_t *ret)
{
	static const uint32_t zero = 0;
	bool nomem = false;
	struct slice unique = name;
	for (uint32_t n = 2; map_has(&x->type_names, unique) || map_has(&x->func_names, unique); n++) {
		char text[300];
		snprintf(text, sizeof text, "%.*s-x%u", (int)min_u64(name.len, 250), (const char *)name.ptr, n);
		if (!comp__steps(&s->d, 1) || !slice_dup(&s->d.s, slice_str(text), &unique))
			return comp__full(&s->d);
	}
	*ret = x->types.len;
	struct wit_typedef t = {.name = unique};
	return PUSH(&s->d, &x->types, t) && PUSH(&s->d, &x->alias_of, zero) && (map_insert(&x->type_names, unique, *ret, &nomem) || comp__full(&s->d));
}

// An address of its own for a name: the printer finds names by it.
static const struct wit_type *own_address(struct show *s, const struct wit_type *t)
{
	const struct wit_type *copy = arena_copy(&s->d.s, t, sizeof(*t), _Alignof(struct wit_type));
	if (!copy)
		comp__full(&s->d);
	return copy;
}

static bool can_use(const struct scope_shown *x, const struct home *h)
{
	return h && h->scope->id.len && h->scope != x && (!x->is_world || h->is_import);
}

static bool spell(struct show *s, struct scope_shown *x, const struct wit_type *t, const struct wit_type **ret);
static bool spell_fields(struct show *s, struct scope_shown *x, const struct wit_type *t, const struct wit_field **ret);

static void set_use(struct wit_typedef *t, const struct home *h)
{
	t->from = &h->scope->iface;
	t->from_name = h->scope->types.ptr[h->index].name;
}

// The body of a definition: what is spelled when the type's own name must not stand for it.
static bool spell_parts(struct show *s, struct scope_shown *x, const struct wit_type *t, struct wit_type *copy);

// A name in this scope for a type that has none and needs one.
static bool make_name(struct show *s, struct scope_shown *x, const struct wit_type *t, const struct wit_type **ret)
{
	const struct home *h = comp__ptrmap_get(&s->homes, origin(s, t));
	struct slice name = h ? h->scope->types.ptr[h->index].name : SLICE_LIT("type-of");
	struct wit_type copy;
	uint32_t i;
	if (!spell_parts(s, x, t, &copy) || !type_add(s, x, name, &i))
		return false;
	*ret = x->types.ptr[i].type = own_address(s, &copy);
	if (!*ret)
		return false;
	if (can_use(x, h))
		set_use(&x->types.ptr[i], h);
	return remember(s, x, t, i) && remember(s, x, origin(s, t), i);
}

static bool spell_resource(struct show *s, struct scope_shown *x, const struct wit_resource *r, const struct wit_resource **ret)
{
	struct wit_typedef *t = named_here(s, x, r);
	const struct home *h = comp__ptrmap_get(&s->homes, r);
	uint32_t i;
	if (!t) {
		if (!type_add(s, x, h ? h->scope->types.ptr[h->index].name : SLICE_LIT("resource-of"), &i) || !remember(s, x, r, i))
			return false;
		t = &x->types.ptr[i];
		t->resource = r;
		if (can_use(x, h))
			set_use(t, h);
		else
			note(s, "%.*s: the resource `%.*s` is one that has no name here", SLICE_ARGS(name_of(x)), SLICE_ARGS(t->name));
	}
	*ret = t->resource;
	return true;
}

static bool spell_fields(struct show *s, struct scope_shown *x, const struct wit_type *t, const struct wit_field **ret)
{
	struct wit_field *fresh = arena_copy(&s->d.s, t->fields, t->n * sizeof(*fresh), _Alignof(struct wit_field));
	if (!fresh)
		return comp__full(&s->d);
	for (uint32_t i = 0; i < t->n; i++)
		if (fresh[i].type && !spell(s, x, fresh[i].type, &fresh[i].type))
			return false;
	*ret = fresh;
	return comp__steps(&s->d, t->n);
}

static bool spell_parts(struct show *s, struct scope_shown *x, const struct wit_type *t, struct wit_type *copy)
{
	*copy = *t;
	if (t->resource && !spell_resource(s, x, t->resource, &copy->resource))
		return false;
	if (t->elem && !spell(s, x, t->elem, &copy->elem))
		return false;
	return t->kind == WIT_FIXED_LIST || !t->n || spell_fields(s, x, t, &copy->fields);
}

static bool needs_name(unsigned kind)
{
	return kind == WIT_RECORD || kind == WIT_VARIANT || kind == WIT_ENUM || kind == WIT_FLAGS;
}

// The type with the names of this scope in it: its parts are addresses that the scope's typedefs have, or have no name.
static bool spell(struct show *s, struct scope_shown *x, const struct wit_type *t, const struct wit_type **ret)
{
	struct wit_typedef *d = named_here(s, x, t);
	if (d && d->type) {
		*ret = d->type;
		return true;
	}
	if (t->kind < WIT_N_PRIMITIVES) {
		*ret = wit_type_primitive(t->kind);
		return true;
	}
	*ret = comp__ptrmap_get(&x->memo, t);
	if (*ret)
		return true;
	if (!comp__steps(&s->d, 1))
		return false;
	if (needs_name(t->kind))
		return make_name(s, x, t, ret);
	struct wit_type copy;
	if (!spell_parts(s, x, t, &copy))
		return false;
	*ret = own_address(s, &copy);
	return *ret && comp__ptrmap_put(&s->d, &x->memo, t, *ret);
}

// ---- named types ------------------------------------------------------------------------------------------------------------------------

static bool set_home(struct show *s, const void *p, struct scope_shown *x, uint32_t index)
{
	if (comp__ptrmap_get(&s->homes, p))
		return true;
	struct home *h = NEW(&s->d, struct home);
	if (!h)
		return comp__full(&s->d);
	*h = (struct home){x, index, s->is_import};
	return comp__ptrmap_put(&s->d, &s->homes, p, h);
}

static bool fill_resource(struct show *s, struct scope_shown *x, const struct comp_extern *e, uint32_t i)
{
	struct wit_typedef *t = &x->types.ptr[i], *same = type_at(x, e->of);
	const struct home *h = comp__ptrmap_get(&s->homes, e->of);
	if (!same && !can_use(x, h))
		same = type_at(x, e->resource);
	if (!can_use(x, h))
		h = comp__ptrmap_get(&s->homes, e->resource);
	t->resource = e->resource;
	if (same)
		x->alias_of.ptr[i] = (uint32_t)(same - x->types.ptr) + 1;
	else if (can_use(x, h))
		set_use(t, h);
	else if (h)
		note(s, "%.*s: `%.*s` is the resource `%.*s` of %.*s", SLICE_ARGS(name_of(x)), SLICE_ARGS(e->name),
			SLICE_ARGS(h->scope->types.ptr[h->index].name), SLICE_ARGS(name_of(h->scope)));
	return remember(s, x, e->resource, i) && remember(s, x, e->name_id, i) && set_home(s, e->resource, x, i) && set_home(s, e->name_id, x, i);
}

static bool fill_type(struct show *s, struct scope_shown *x, const struct comp_extern *e, uint32_t i)
{
	struct wit_typedef *same = type_at(x, e->of);
	const struct home *h = comp__ptrmap_get(&s->homes, e->of);
	if (!same && !can_use(x, h))
		same = named_here(s, x, e->of);
	struct wit_type copy;
	if (e->of && e->of != e->type && (!comp__ptrmap_put(&s->d, &s->of, e->type, origin(s, e->of))))
		return false;
	if (same)
		x->alias_of.ptr[i] = (uint32_t)(same - x->types.ptr) + 1;
	else if (can_use(x, h))
		set_use(&x->types.ptr[i], h);
	bool is_defined = !same && !can_use(x, h);
	if (is_defined && !spell_parts(s, x, e->type, &copy))  // may add names
		return false;
	x->types.ptr[i].type = own_address(s, is_defined ? &copy : e->type);
	return x->types.ptr[i].type && remember(s, x, e->type, i) && remember(s, x, origin(s, e->type), i) && set_home(s, e->type, x, i) &&
		set_home(s, origin(s, e->type), x, i);
}

// The other side has a type of this name: it must be the same.
static bool join_type(struct show *s, struct scope_shown *x, const struct comp_extern *e, uint32_t i)
{
	struct wit_typedef *t = &x->types.ptr[i];
	struct wit_compare cmp = {.steps = s->d.steps};
	const void *p = e->resource ? (const void *)e->resource : (const void *)e->type;
	bool differs = !t->resource != !e->resource;
	if (e->type && e->of && e->of != e->type && !comp__ptrmap_put(&s->d, &s->of, e->type, origin(s, e->of)))
		return false;
	if (!differs && e->type && !t->from && !x->alias_of.ptr[i]) {
		struct wit_type copy;
		if (!spell_parts(s, x, e->type, &copy))
			return false;
		t = &x->types.ptr[i];
		differs = !wit_type_equal(&cmp, t->type, &copy, NULL);
		s->d.steps = cmp.steps;
	}
	if (differs)
		note(s, "%.*s: the exported type `%.*s` is another one than the imported", SLICE_ARGS(name_of(x)), SLICE_ARGS(e->name));
	return comp__ptrmap_put(&s->d, &x->by_type, p, (const void *)(uintptr_t)(i + 1)) && remember(s, x, e->name_id, i) && set_home(s, p, x, i) &&
		set_home(s, e->name_id, x, i) &&
		(!e->type || set_home(s, origin(s, e->type), x, i));
}

static bool show_type(struct show *s, struct scope_shown *x, const struct comp_extern *e)
{
	uintptr_t old;
	uint32_t i;
	if (map_get(&x->type_names, e->name, &old))
		return join_type(s, x, e, (uint32_t)old);
	// A name that only stands for another one has no address of its own: what it is made of was named elsewhere.
	if (!type_add(s, x, e->name, &i))
		return false;
	struct comp_extern named = *e;
	if (!named.of && comp__ptrmap_get(&s->homes, named.name_id))
		named.of = named.name_id;
	return e->resource ? fill_resource(s, x, &named, i) : fill_type(s, x, &named, i);
}

// ---- functions ------------------------------------------------------------------------------------------------------------------------

static bool spell_func(struct show *s, struct scope_shown *x, const struct wit_func_type *f, const struct wit_func_type **ret)
{
	struct wit_func_type copy = *f;
	if (!comp__steps(&s->d, 1) || !spell_fields(s, x, &f->params, &copy.params.fields) || (f->result && !spell(s, x, f->result, &copy.result)))
		return false;
	*ret = arena_copy(&s->d.s, &copy, sizeof(copy), _Alignof(struct wit_func_type));
	return *ret || comp__full(&s->d);
}

static bool is_annotated(struct slice text)
{
	struct wit_name name;
	return wit_name_parse(text, false, &name, NULL) && wit_name_is_annotated(&name);
}

// The resource that an annotated name belongs to, if this scope defines it.
static bool resource_of(const struct scope_shown *x, struct slice text, const struct wit_resource **ret)
{
	struct wit_name name;
	uintptr_t i;
	if (!wit_name_parse(text, false, &name, NULL) || !map_get(&x->type_names, name.resource, &i))
		return false;
	*ret = x->types.ptr[i].resource;
	return *ret && !x->types.ptr[i].from && !x->alias_of.ptr[i];
}

// Makes a function of a scope, or a note; *ret_shown tells which.
static bool make_func(struct show *s, struct scope_shown *x, const struct comp_extern *e, struct wit_func *ret, bool *ret_shown)
{
	*ret = (struct wit_func){.name = e->name};
	bool is_plain = !is_annotated(e->name);
	*ret_shown = is_plain || (resource_of(x, e->name, &ret->resource) && !(x->is_world && !s->is_import));  // a world's resources are imports
	if (!*ret_shown)
		note(s, "%.*s: `%.*s`, a function of a resource that is not defined here", SLICE_ARGS(name_of(x)), SLICE_ARGS(e->name));
	return !*ret_shown || spell_func(s, x, e->func, &ret->type);
}

static bool add_func(struct show *s, struct scope_shown *x, const struct comp_extern *e)
{
	struct wit_func f;
	uintptr_t old;
	bool shown, nomem = false;
	if (!make_func(s, x, e, &f, &shown))
		return false;
	if (!shown)
		return true;
	if (map_get(&x->func_names, e->name, &old)) {
		struct wit_compare cmp = {.steps = s->d.steps};
		if (!wit_func_type_equal(&cmp, x->funcs.ptr[old].type, f.type, NULL))
			note(s, "%.*s: the exported function `%.*s` has another type than the imported", SLICE_ARGS(name_of(x)), SLICE_ARGS(e->name));
		s->d.steps = cmp.steps;
		return true;
	}
	return (map_insert(&x->func_names, e->name, x->funcs.len, &nomem) || comp__full(&s->d)) && PUSH(&s->d, &x->funcs, f);
}

// ---- interfaces -----------------------------------------------------------------------------------------------------------------------

static bool package_of(struct show *s, const struct wit_name *name, const struct wit_package **ret)
{
	for (uint32_t i = 0; i < s->packages.len; i++) {
		const struct wit_package *p = s->packages.ptr[i];
		if (slice_eq(p->ns, name->ns) && slice_eq(p->name, name->package) && slice_eq(p->version.text, name->version.text)) {
			*ret = p;
			return true;
		}
	}
	struct wit_package *p = NEW(&s->d, struct wit_package);
	if (!p || !comp__steps(&s->d, s->packages.len))
		return comp__full(&s->d);
	*p = (struct wit_package){.ns = name->ns, .name = name->package, .version = name->version};
	*ret = p;
	return PUSH(&s->d, &s->packages, p);
}

// The interface of that id, or one in line.
static bool scope_of(struct show *s, struct slice id, struct scope_shown **ret)
{
	struct wit_name name;
	uintptr_t old;
	bool is_interface = wit_name_parse(id, false, &name, NULL) && name.kind == WIT_NAME_INTERFACE, nomem = false;
	if (is_interface && map_get(&s->ids, id, &old)) {
		*ret = s->scopes.ptr[old];
		return true;
	}
	struct scope_shown *x = NEW(&s->d, struct scope_shown);
	if (!x)
		return comp__full(&s->d);
	scope_init(s, x);
	if (is_interface) {
		x->id = id;
		x->iface.name = name.iface;
		if (!package_of(s, &name, &x->iface.package) || (!map_insert(&s->ids, id, s->scopes.len, &nomem) && nomem))
			return comp__full(&s->d);
	}
	*ret = x;
	return PUSH(&s->d, &s->scopes, x);
}

static const char *kind_text(unsigned kind)
{
	static const char *const names[] = {"core module", "func", "value", "type", "component", "instance"};
	return names[kind];
}

static bool show_instance(struct show *s, const struct comp_extern *e, struct scope_shown **ret)
{
	if (!scope_of(s, e->implements.len ? e->implements : e->name, ret))
		return false;
	for (uint32_t i = 0; i < e->n; i++) {
		const struct comp_extern *x = &e->items[i];
		if (x->kind == COMP_EXTERN_FUNC ? !add_func(s, *ret, x) : x->kind == COMP_EXTERN_TYPE && (x->type || x->resource) && !show_type(s, *ret, x))
			return false;
		if (x->kind != COMP_EXTERN_FUNC && !x->type && !x->resource)
			note(s, "%.*s %.*s: `%.*s` is a %s", SLICE_ARGS(word_of(s)), SLICE_ARGS(e->name), SLICE_ARGS(x->name), kind_text(x->kind));
	}
	return true;
}

// ---- the world ------------------------------------------------------------------------------------------------------------------------

static bool world_func(struct show *s, const struct comp_extern *e, struct wit_extern *out, bool *ret_shown)
{
	struct wit_func *f = NEW(&s->d, struct wit_func);
	if (!f)
		return comp__full(&s->d);
	out->func = f;
	out->name = e->name;
	return make_func(s, &s->world, e, f, ret_shown);
}

static bool show_extern(struct show *s, const struct comp_extern *e)
{
	struct wit_extern out = {0};
	struct scope_shown *x;
	bool shown = true;
	if (e->kind == COMP_EXTERN_INSTANCE) {
		if (!show_instance(s, e, &x))
			return false;
		out.iface = &x->iface;
		out.name = x->id.len && !e->implements.len ? slice_of("", 0) : e->name;
	} else if (e->kind == COMP_EXTERN_FUNC) {
		if (!world_func(s, e, &out, &shown))
			return false;
	} else if (e->kind == COMP_EXTERN_TYPE && s->is_import && (e->type || e->resource)) {
		return show_type(s, &s->world, e);
	} else {
		note(s, "%.*s %.*s: a %s", SLICE_ARGS(word_of(s)), SLICE_ARGS(e->name), kind_text(e->kind));
		// Functions use a value type that is exported beside them: a world can only have it as its own.
		return e->kind != COMP_EXTERN_TYPE || !e->type || show_type(s, &s->world, e);
	}
	return !shown || (s->is_import ? PUSH(&s->d, &s->imports, out) : PUSH(&s->d, &s->exports, out));
}

static void finish(struct scope_shown *x)
{
	for (uint32_t i = 0; i < x->types.len; i++)
		if (x->alias_of.ptr[i])
			x->types.ptr[i].alias = &x->types.ptr[x->alias_of.ptr[i] - 1];
	x->iface.types = x->types.ptr;
	x->iface.n_types = x->types.len;
	x->iface.funcs = x->funcs.ptr;
	x->iface.n_funcs = x->funcs.len;
}

bool comp__show(struct show *s, const struct comp_component *c)
{
	scope_init(s, &s->world);
	map_init(&s->ids, &s->d.s);
	s->world.is_world = true;
	s->is_import = true;
	for (uint32_t i = 0; i < c->nimports; i++)
		if (!show_extern(s, &c->imports[i]))
			return false;
	s->is_import = false;
	for (uint32_t i = 0; i < c->nexports; i++)
		if (!show_extern(s, &c->exports[i]))
			return false;
	for (uint32_t i = 0; i < s->scopes.len; i++)
		finish(s->scopes.ptr[i]);
	finish(&s->world);
	return s->err.code == ERR_NONE;
}
