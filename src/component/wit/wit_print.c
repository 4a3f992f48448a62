// The model as WIT text, and equality of models. Order: types (a resource with its functions), then free functions.
#include "wit_int.h"

// Names of a scope by what they mean: type or resource address → index.
struct names {
	const struct wit_typedef *types;
	uint32_t n;
	struct map map;
};

static struct slice address_of(const void *const *p)
{
	return slice_of(p, sizeof(*p));
}

static void names_init(struct names *n, const struct wit_typedef *types, uint32_t count)
{
	*n = (struct names){.types = types, .n = count};
	map_init(&n->map, NULL);
	for (uint32_t i = 0; i < count; i++) {
		const void *const *p = types[i].resource ? (const void *const *)&types[i].resource : (const void *const *)&types[i].type;
		bool no_memory;
		// The first name wins; without memory the type is spelled out.
		if (types[i].resource || types[i].type->kind >= WIT_N_PRIMITIVES || types[i].type != wit_type_primitive(types[i].type->kind))
			if (!map_insert(&n->map, address_of(p), i, &no_memory))
				continue;
	}
}

static void names_release(struct names *n)
{
	map_release(&n->map);
}

static const struct wit_typedef *names_find(const struct names *n, const void *what)
{
	uintptr_t i;
	return n && what && map_get(&n->map, address_of(&what), &i) ? &n->types[i] : NULL;
}

static void put_id(struct buf *b, struct slice id)
{
	bool escape = wit__is_keyword(id) || slice_eq_str(id, "error-context") || slice_eq_str(id, "map");
	buf_printf(b, "%s%.*s", escape ? "%" : "", SLICE_ARGS(id));
}

// Of a package, which may be nested: ns:ns:name/name.
static void put_package_name(struct buf *b, const struct wit_package *p)
{
	const struct {
		struct slice text;
		char sep;
	} halves[] = {{p->ns, ':'}, {p->name, '/'}};
	for (size_t i = 0; i < ARRAY_LEN(halves); i++) {
		struct slice rest = halves[i].text, part;
		buf_put_str(b, i ? ":" : "");
		for (;; rest = slice_sub(rest, part.len + 1, SIZE_MAX)) {
			part = slice_sub(rest, 0, slice_find(rest, (uint8_t)halves[i].sep));
			put_id(b, part);
			if (part.len == rest.len)
				break;
			buf_put_byte(b, (uint8_t)halves[i].sep);
		}
	}
}

static void put_type(struct buf *b, const struct wit_type *t, const struct names *names, bool own_spelled);

static void put_resource(struct buf *b, const struct wit_resource *r, const struct names *names)
{
	const struct wit_typedef *d = names_find(names, r);
	put_id(b, d ? d->name : r->name);
}

static void put_args(struct buf *b, const struct wit_type *t, const struct names *names)
{
	for (uint32_t i = 0; i < t->n; i++) {
		if (i)
			buf_put_str(b, ", ");
		put_type(b, t->fields[i].type, names, false);
	}
}

static void put_result(struct buf *b, const struct wit_type *t, const struct names *names)
{
	const struct wit_type *ok = t->fields[0].type, *err = t->fields[1].type;
	buf_put_str(b, "result");
	if (!ok && !err)
		return;
	buf_put_byte(b, '<');
	if (ok)
		put_type(b, ok, names, false);
	else
		buf_put_byte(b, '_');
	if (err) {
		buf_put_str(b, ", ");
		put_type(b, err, names, false);
	}
	buf_put_byte(b, '>');
}

// What has a name only when it is defined: spelled out when there is none (messages, not WIT).
static void put_anonymous(struct buf *b, const struct wit_type *t, const struct names *names)
{
	buf_printf(b, "%s{", wit_kind_name(t->kind));
	for (uint32_t i = 0; i < t->n; i++) {
		buf_put_str(b, i ? ", " : "");
		buf_put_slice(b, t->fields[i].name);
		if (!t->fields[i].type)
			continue;
		buf_put_str(b, t->kind == WIT_RECORD ? ": " : "(");
		put_type(b, t->fields[i].type, names, false);
		buf_put_str(b, t->kind == WIT_RECORD ? "" : ")");
	}
	buf_put_byte(b, '}');
}

// Types that are too large are cut by the maximum of the buffer.
static void put_type(struct buf *b, const struct wit_type *t, const struct names *names, bool own_spelled)
{
	const struct wit_typedef *d = names_find(names, t);
	if (b->failed)  // what is shared may be much when it is spelled out
		return;
	if (d && !own_spelled) {
		put_id(b, d->name);
		return;
	}
	switch ((enum wit_kind)t->kind) {
	case WIT_OWN:
		if (own_spelled)
			buf_put_str(b, "own<");
		put_resource(b, t->resource, names);
		if (own_spelled)
			buf_put_byte(b, '>');
		break;
	case WIT_BORROW:
		buf_put_str(b, "borrow<");
		put_resource(b, t->resource, names);
		buf_put_byte(b, '>');
		break;
	case WIT_RESULT:
		put_result(b, t, names);
		break;
	case WIT_TUPLE:
	case WIT_MAP:
		buf_printf(b, "%s<", wit_kind_name(t->kind));
		put_args(b, t->kind == WIT_MAP ? t->elem : t, names);
		buf_put_byte(b, '>');
		break;
	case WIT_OPTION:
		buf_put_str(b, "option<");
		put_type(b, t->fields[1].type, names, false);
		buf_put_byte(b, '>');
		break;
	case WIT_LIST:
	case WIT_FIXED_LIST:
	case WIT_STREAM:
	case WIT_FUTURE:
		buf_put_str(b, wit_kind_name(t->kind));
		if (!t->elem)
			break;
		buf_put_byte(b, '<');
		put_type(b, t->elem, names, false);
		if (t->kind == WIT_FIXED_LIST)
			buf_printf(b, ", %u", t->n);
		buf_put_byte(b, '>');
		break;
	case WIT_RECORD:
	case WIT_VARIANT:
	case WIT_ENUM:
	case WIT_FLAGS:
		put_anonymous(b, t, names);
		break;
	default:
		buf_put_str(b, wit_kind_name(t->kind));
	}
}

static void put_func(struct buf *b, const struct wit_func_type *f, const struct names *names, const char *word, bool skip_self, bool no_result)
{
	buf_printf(b, "%s%s(", f->is_async ? "async " : "", word);
	for (uint32_t i = skip_self; i < f->params.n; i++) {
		if (i > skip_self)
			buf_put_str(b, ", ");
		put_id(b, f->params.fields[i].name);
		buf_put_str(b, ": ");
		put_type(b, f->params.fields[i].type, names, false);
	}
	buf_put_byte(b, ')');
	if (f->result && !no_result) {
		buf_put_str(b, " -> ");
		put_type(b, f->result, names, false);
	}
}

void wit_print_type(struct buf *b, const struct wit_type *t, const struct wit_typedef *types, uint32_t n_types)
{
	struct names names;
	names_init(&names, types, n_types);
	put_type(b, t, &names, false);
	names_release(&names);
}

void wit_print_func_type(struct buf *b, const struct wit_func_type *f, const struct wit_typedef *types, uint32_t n_types)
{
	struct names names;
	names_init(&names, types, n_types);
	put_func(b, f, &names, "func", false, false);
	names_release(&names);
}

// ---- items ----

static void indent(struct buf *b, unsigned level)
{
	for (unsigned i = 0; i < level; i++)
		buf_put_str(b, "  ");
}

static void put_docs(struct buf *b, unsigned level, struct slice docs)
{
	while (docs.len) {
		struct slice line = slice_sub(docs, 0, slice_find(docs, '\n'));
		indent(b, level);
		buf_printf(b, "///%s%.*s\n", line.len ? " " : "", SLICE_ARGS(line));
		docs = slice_sub(docs, line.len + 1, SIZE_MAX);
	}
}

static void put_head(struct buf *b, unsigned level, struct slice docs, const struct wit_gate *g)
{
	put_docs(b, level, docs);
	if (g->since.len) {
		indent(b, level);
		buf_printf(b, "@since(version = %.*s)\n", SLICE_ARGS(g->since));
	}
	if (g->unstable.len) {
		indent(b, level);
		buf_put_str(b, "@unstable(feature = ");
		put_id(b, g->unstable);
		buf_put_str(b, ")\n");
	}
	if (g->deprecated.len) {
		indent(b, level);
		buf_printf(b, "@deprecated(version = %.*s)\n", SLICE_ARGS(g->deprecated));
	}
}

static void put_path(struct buf *b, const struct wit_interface *to, const struct wit_package *from)
{
	if (to->package == from) {
		put_id(b, to->name);
		return;
	}
	put_package_name(b, to->package);
	buf_put_byte(b, '/');
	put_id(b, to->name);
	if (to->package->version.present)
		buf_printf(b, "@%.*s", SLICE_ARGS(to->package->version.text));
}

static void put_use(struct buf *b, unsigned level, const struct wit_typedef *t, const struct wit_package *from)
{
	put_head(b, level, t->docs, &t->gate);
	indent(b, level);
	buf_put_str(b, "use ");
	put_path(b, t->from, from);
	buf_put_str(b, ".{");
	put_id(b, t->from_name);
	if (!slice_eq(t->name, t->from_name)) {
		buf_put_str(b, " as ");
		put_id(b, t->name);
	}
	buf_put_str(b, "};\n");
}

static void put_members(struct buf *b, unsigned level, const struct wit_typedef *t, const struct names *names)
{
	buf_printf(b, "%s ", wit_kind_name(t->type->kind));
	put_id(b, t->name);
	buf_put_str(b, " {\n");
	for (uint32_t i = 0; i < t->type->n; i++) {
		const struct wit_field *f = &t->type->fields[i];
		indent(b, level + 1);
		put_id(b, f->name);
		if (f->type) {
			buf_put_str(b, t->type->kind == WIT_RECORD ? ": " : "(");
			put_type(b, f->type, names, false);
			buf_put_str(b, t->type->kind == WIT_RECORD ? "" : ")");
		}
		buf_put_str(b, ",\n");
	}
	indent(b, level);
	buf_put_str(b, "}\n");
}

static void put_named_func(struct buf *b, unsigned level, const struct wit_func *f, const struct names *names)
{
	struct wit_name n;
	put_head(b, level, f->docs, &f->gate);
	indent(b, level);
	if (!f->resource || !wit_name_parse(f->name, true, &n, NULL)) {
		put_id(b, f->name);
		buf_put_str(b, ": ");
		put_func(b, f->type, names, "func", false, false);
	} else if (n.kind == WIT_NAME_CONSTRUCTOR) {
		put_func(b, f->type, names, "constructor", false, f->type->result && f->type->result->kind == WIT_OWN);
	} else {
		put_id(b, n.label);
		buf_put_str(b, n.kind == WIT_NAME_STATIC ? ": static " : ": ");
		put_func(b, f->type, names, "func", n.kind == WIT_NAME_METHOD, false);
	}
	buf_put_str(b, ";\n");
}

// Functions of an interface, or those among the imports of a world.
struct func_list {
	const struct wit_func *funcs;
	const struct wit_extern *externs;
	uint32_t n;
};

static const struct wit_func *func_at(const struct func_list *l, uint32_t i)
{
	return l->funcs ? &l->funcs[i] : l->externs[i].func;
}

static void put_resource_def(struct buf *b, unsigned level, const struct wit_typedef *t, const struct func_list *l, const struct names *names)
{
	bool any = false;
	buf_put_str(b, "resource ");
	put_id(b, t->name);
	for (uint32_t i = 0; i < l->n; i++) {
		const struct wit_func *f = func_at(l, i);
		if (!f || f->resource != t->resource)
			continue;
		if (!any)
			buf_put_str(b, " {\n");
		any = true;
		put_named_func(b, level + 1, f, names);
	}
	if (any)
		indent(b, level);
	buf_put_str(b, any ? "}\n" : ";\n");
}

static void put_typedef(struct buf *b, unsigned level, const struct wit_typedef *t, const struct func_list *l, const struct names *names)
{
	put_head(b, level, t->docs, &t->gate);
	indent(b, level);
	if (t->alias) {
		buf_put_str(b, "type ");
		put_id(b, t->name);
		buf_put_str(b, " = ");
		put_id(b, t->alias->name);
		buf_put_str(b, ";\n");
	} else if (t->resource) {
		put_resource_def(b, level, t, l, names);
	} else if (t->type->kind == WIT_RECORD || t->type->kind == WIT_VARIANT || t->type->kind == WIT_ENUM || t->type->kind == WIT_FLAGS) {
		put_members(b, level, t, names);
	} else {
		buf_put_str(b, "type ");
		put_id(b, t->name);
		buf_put_str(b, " = ");
		// Its own name must not stand for it here.
		struct names none = {0};
		if (names_find(names, t->type) == t || t->type->kind == WIT_OWN)
			put_type(b, t->type, t->type->kind >= WIT_N_PRIMITIVES ? names : &none, true);
		else
			put_type(b, t->type, names, false);
		buf_put_str(b, ";\n");
	}
}

static void put_types(struct buf *b, unsigned level, const struct wit_typedef *types, uint32_t n, const struct func_list *l, const struct names *names,
	const struct wit_package *package)
{
	for (uint32_t i = 0; i < n; i++)
		if (types[i].from)
			put_use(b, level, &types[i], package);
	for (uint32_t i = 0; i < n; i++)
		if (!types[i].from)
			put_typedef(b, level, &types[i], l, names);
}

static void put_interface_body(struct buf *b, unsigned level, const struct wit_interface *x)
{
	struct names names;
	struct func_list l = {.funcs = x->funcs, .n = x->n_funcs};
	names_init(&names, x->types, x->n_types);
	put_types(b, level, x->types, x->n_types, &l, &names, x->package);
	for (uint32_t i = 0; i < x->n_funcs; i++)
		if (!x->funcs[i].resource)
			put_named_func(b, level, &x->funcs[i], &names);
	names_release(&names);
}

void wit_print_interface(struct buf *b, const struct wit_interface *x)
{
	put_head(b, 0, x->docs, &x->gate);
	buf_put_str(b, "interface ");
	put_id(b, x->name);
	buf_put_str(b, " {\n");
	put_interface_body(b, 1, x);
	buf_put_str(b, "}\n");
}

static void put_extern(struct buf *b, const struct wit_extern *x, const char *word, const struct names *names, const struct wit_package *package)
{
	put_head(b, 1, x->docs, &x->gate);
	buf_printf(b, "  %s ", word);
	if (x->name.len) {
		put_id(b, x->name);
		buf_put_str(b, ": ");
	}
	if (x->func) {
		put_func(b, x->func->type, names, "func", false, false);
		buf_put_str(b, ";\n");
	} else if (x->iface->name.len) {
		put_path(b, x->iface, package);
		buf_put_str(b, ";\n");
	} else {
		buf_put_str(b, "interface {\n");
		put_interface_body(b, 2, x->iface);
		buf_put_str(b, "  }\n");
	}
}

void wit_print_world(struct buf *b, const struct wit_world *w)
{
	struct names names;
	struct func_list l = {.externs = w->imports, .n = w->n_imports};
	names_init(&names, w->types, w->n_types);
	put_head(b, 0, w->docs, &w->gate);
	buf_put_str(b, "world ");
	put_id(b, w->name);
	buf_put_str(b, " {\n");
	put_types(b, 1, w->types, w->n_types, &l, &names, w->package);
	for (uint32_t i = 0; i < w->n_imports; i++)
		if (!w->imports[i].func || !w->imports[i].func->resource)
			put_extern(b, &w->imports[i], "import", &names, w->package);
	for (uint32_t i = 0; i < w->n_exports; i++)
		put_extern(b, &w->exports[i], "export", &names, w->package);
	buf_put_str(b, "}\n");
	names_release(&names);
}

void wit_print_package_id(struct buf *b, const struct wit_package *p)
{
	put_package_name(b, p);
	if (p->version.present)
		buf_printf(b, "@%.*s", SLICE_ARGS(p->version.text));
}

void wit_print_package(struct buf *b, const struct wit_package *p)
{
	put_docs(b, 0, p->docs);
	buf_put_str(b, "package ");
	wit_print_package_id(b, p);
	buf_put_str(b, ";\n");
	for (uint32_t i = 0; i < p->n_interfaces; i++) {
		buf_put_byte(b, '\n');
		wit_print_interface(b, p->interfaces[i]);
	}
	for (uint32_t i = 0; i < p->n_worlds; i++) {
		buf_put_byte(b, '\n');
		wit_print_world(b, p->worlds[i]);
	}
}
