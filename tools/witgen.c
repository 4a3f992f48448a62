// witgen WIT-FOLDER HOST.DEF OUT.h OUT.c PROVIDER.h PROVIDER.c: C for the world `host` of a WIT package.
//
//   OUT.h, OUT.c            structs and constants of the types, laid out as native values (wit.h); descriptions of the interfaces, which seam reads (seam.h);
//                           for what guests import: a struct NAME_ops of the functions, for whoever serves it; for what guests export: how it is bound, and
//                           a stub a function that calls it
//   PROVIDER.h, PROVIDER.c  for the provider that serves all of it: prototypes of its functions, its NAME_ops, the classes of its objects
//
// Rules of the output:
//  1. `ns:pkg/iface` and a name in it become ns_pkg_iface_name; what has no name in WIT gets one from its parts, and is shared by all that use it.
//     Of a package of another line than 0.2 the line is part of its name: wasi:http/types@0.3.0 is wasi_http3_types.
//  2. Names of namespace `wasi` lose it within the names of parts: result<u64, stream-error> is wasi_result_u64_io_streams_stream_error.
//  3. Layouts are asserted against the model's, field by field.
//  4. Each function that the world imports is named in PROVIDER.c: without a definition the program does not link, with another type it does not compile.
#include "witgen.h"

// ---- functions ----

// `[method]output-stream.write` → output_stream_write, `[constructor]fields` → fields_new.
static struct slice func_name(struct output *o, const struct wit_interface *x, const struct wit_func *f)
{
	struct wit_name n;
	struct buf b = {0};
	if (!wit_name_parse(f->name, true, &n, NULL))
		die("not a name", f->name);
	put_interface_name(o, &b, x);
	if (n.resource.len) {
		buf_put_byte(&b, '_');
		put_snake(&b, n.resource, false);
	}
	buf_put_byte(&b, '_');
	put_snake(&b, n.kind == WIT_NAME_CONSTRUCTOR ? SLICE_LIT("new") : n.label, false);
	return keep(o, &b);
}

static void put_docs(struct buf *b, struct slice docs)
{
	while (docs.len) {
		struct slice line = slice_sub(docs, 0, slice_find(docs, '\n'));
		buf_printf(b, "// %.*s\n", SLICE_ARGS(line));
		docs = slice_sub(docs, line.len + 1, SIZE_MAX);
	}
}

static void declare_args(struct output *o, const struct wit_func *f, struct slice name)
{
	struct buf b = {0};
	declare_parts(o, &f->type->params);
	if (f->type->result)
		declare_type(o, f->type->result);
	if (f->type->params.n == 0)
		return;
	buf_printf(&b, "%.*s_args", SLICE_ARGS(name));
	buf_put_byte(&o->types, '\n');
	declare_struct(o, &f->type->params, keep(o, &b));
}

static void put_params(struct output *o, struct buf *b, const struct wit_func *f, struct slice name)
{
	buf_put_str(b, "(struct seam_call *c");
	if (f->type->params.n)
		buf_printf(b, ", const struct %.*s_args *args", SLICE_ARGS(name));
	if (f->type->result) {
		buf_put_str(b, ", ");
		put_c_type(o, b, f->type->result);
		buf_put_str(b, " *ret");
	}
	buf_put_str(b, ");");
	if (f->type->result)
		put_comment(o, b, f->type->result);
	buf_put_byte(b, '\n');
}

// Of a struct NAME_ops.
static void put_member_of_ops(struct output *o, const struct wit_func *f, struct slice name, struct slice member)
{
	put_docs(&o->protos, f->docs);
	buf_put_str(&o->protos, "\tenum seam_result (*");
	put_member(&o->protos, member);
	buf_put_byte(&o->protos, ')');
	put_params(o, &o->protos, f, name);
}

// Calls the member.
static void put_adapter(struct output *o, const struct wit_func *f, struct slice iface, struct slice name, struct slice member)
{
	buf_printf(&o->tables,
		"static enum seam_result call_%.*s(const void *ops, struct seam_call *c, UNUSED const void *args, UNUSED void *ret)\n{\n"
		"\treturn ((const struct %.*s_ops *)ops)->",
		SLICE_ARGS(name), SLICE_ARGS(iface));
	put_member(&o->tables, member);
	buf_printf(&o->tables, "(c%s%s);\n}\n", f->type->params.n ? ", args" : "", f->type->result ? ", ret" : "");
}

static void put_provided(struct output *o, const struct wit_func *f, struct slice name, struct slice member)
{
	buf_printf(&o->provided, "enum seam_result %.*s", SLICE_ARGS(name));
	put_params(o, &o->provided, f, name);
	buf_put_str(&o->provides, "\t.");
	put_member(&o->provides, member);
	buf_printf(&o->provides, " = %.*s,\n", SLICE_ARGS(name));
}

// ---- host.def ----

static struct slice take_word(struct slice *line)
{
	while (line->len && (line->ptr[0] == ' ' || line->ptr[0] == '\t'))
		*line = slice_sub(*line, 1, SIZE_MAX);
	struct slice word = slice_sub(*line, 0, slice_find(*line, ' '));
	*line = slice_sub(*line, word.len, SIZE_MAX);
	return word;
}

static void read_rows(struct output *o, struct slice text)
{
	while (text.len) {
		struct slice line = slice_sub(text, 0, slice_find(text, '\n')), whole = line;
		uintptr_t old;
		text = slice_sub(text, line.len + 1, SIZE_MAX);
		struct slice kind = take_word(&line), iface = take_word(&line), name = take_word(&line);
		if (kind.len == 0 || slice_starts_with(kind, SLICE_LIT("//")))
			continue;
		bool known = slice_eq_str(kind, "fixed") || slice_eq_str(kind, "direct") || slice_eq_str(kind, "remake") || slice_eq_str(kind, "also") ||
			slice_eq_str(kind, "named") || slice_eq_str(kind, "leaves") || slice_eq_str(kind, "move") || slice_eq_str(kind, "carries");
		if (!known || !name.len || take_word(&line).len)
			die("host.def: not a row", whole);
		struct buf b = {0};
		buf_printf(&b, "%.*s %.*s %.*s", SLICE_ARGS(kind), SLICE_ARGS(iface), SLICE_ARGS(name));
		if (!remember(&o->rows, keep(o, &b), arena_zalloc(&o->arena, 1, 1), &old))
			die("host.def: row is there twice", whole);
	}
}

static void put_path(struct buf *b, const struct wit_interface *x)
{
	buf_printf(b, "%.*s:%.*s/%.*s", SLICE_ARGS(x->package->ns), SLICE_ARGS(x->package->name), SLICE_ARGS(x->name));
}

static bool is_called(const struct wit_interface *x, struct slice path)
{
	struct buf b = {0};
	put_path(&b, x);
	bool same = slice_eq(buf_view(&b), path);
	buf_release(&b);
	return same;
}

// Rows `named`: what names in C begin with for the interfaces of the package. Empty: there is none.
struct slice named(struct output *o, const struct wit_package *p)
{
	struct slice text = o->host_def;
	struct buf id = {0};
	buf_printf(&id, "%.*s:%.*s@%.*s", SLICE_ARGS(p->ns), SLICE_ARGS(p->name), SLICE_ARGS(p->version.text));
	while (text.len) {
		struct slice line = slice_sub(text, 0, slice_find(text, '\n')), rest = line;
		uintptr_t used;
		text = slice_sub(text, line.len + 1, SIZE_MAX);
		if (!slice_eq_str(take_word(&rest), "named") || !slice_eq(take_word(&rest), buf_view(&id)) || !map_get(&o->rows, line, &used))
			continue;
		*(uint8_t *)used = 1;
		buf_release(&id);
		return take_word(&rest);
	}
	buf_release(&id);
	return slice_of("", 0);
}

// Is there such a row? Marks it as used.
static bool has_row(struct output *o, const char *kind, const struct wit_interface *x, struct slice name)
{
	struct buf b = {0};
	uintptr_t v;
	buf_printf(&b, "%s ", kind);
	put_path(&b, x);
	buf_printf(&b, " %.*s", SLICE_ARGS(name));
	bool found = map_get(&o->rows, buf_view(&b), &v);
	buf_release(&b);
	if (found)
		*(uint8_t *)v = 1;
	return found;
}

// ---- interfaces ----

static bool is_definition(const struct wit_typedef *t)
{
	return !t->from && !t->alias;
}

static void name_types(struct output *o, const struct wit_interface *x)
{
	for (uint32_t i = 0; i < x->n_types; i++) {
		const struct wit_typedef *t = &x->types[i];
		if (!is_definition(t))
			continue;
		// A named list is a list in C all the same.
		if (t->resource)
			name_it(o, t->resource, c_name(o, x, t->name));
		else if (has_struct(t->type) || t->type->kind == WIT_ENUM || t->type->kind == WIT_FLAGS)
			name_it(o, t->type, c_name(o, x, t->name));
	}
}

// Identity in the description, class in the provider.
static void put_resource(struct output *o, const struct wit_interface *x, const struct wit_typedef *t, struct slice iface)
{
	struct slice name = c_name(o, x, t->name);
	bool remake = has_row(o, "remake", x, t->name), move = has_row(o, "move", x, t->name), carries = has_row(o, "carries", x, t->name);
	buf_printf(&o->protos, "extern const struct seam_resource %.*s_resource;\n", SLICE_ARGS(name));
	buf_printf(&o->tables, "const struct seam_resource %.*s_resource = {.wit = {", SLICE_ARGS(name));
	put_text(&o->tables, t->name);
	buf_printf(&o->tables, "}, .interface = &%.*s_interface%s%s};\n", SLICE_ARGS(iface), move ? ", .moves = true" : "",
		carries ? ", .carries = true" : "");
	buf_printf(&o->provided, "extern const struct canon_resource_ops %.*s_class;\n", SLICE_ARGS(name));
	buf_printf(&o->provided, "void %.*s_drop(struct canon_instance *i, void *object);\n", SLICE_ARGS(name));
	if (remake)
		buf_printf(&o->provided, "bool %.*s_remake(struct canon_instance *i, const void *object, void **ret);\n", SLICE_ARGS(name));
	if (move)
		buf_printf(&o->provided, "enum canon_move %.*s_move(struct canon_instance *to, void **object, struct canon_carrier *by);\n", SLICE_ARGS(name));
	buf_printf(&o->provides, "const struct canon_resource_ops %.*s_class = {\n\t&%.*s_resource.wit, \"%.*s:%.*s/%.*s.%.*s\", %.*s_drop, ", SLICE_ARGS(name),
		SLICE_ARGS(name), SLICE_ARGS(x->package->ns), SLICE_ARGS(x->package->name), SLICE_ARGS(x->name), SLICE_ARGS(t->name), SLICE_ARGS(name));
	if (remake)
		buf_printf(&o->provides, "%.*s_remake, ", SLICE_ARGS(name));
	else
		buf_put_str(&o->provides, "NULL, ");
	if (move)
		buf_printf(&o->provides, "%.*s_move};\n", SLICE_ARGS(name));
	else
		buf_put_str(&o->provides, "NULL};\n");
}

static void put_heading(struct buf *b, const struct wit_interface *x)
{
	buf_put_str(b, "\n// ---- ");
	wit_interface_put_id(b, x);
	buf_put_str(b, " ----\n");
}

static void put_resources(struct output *o, const struct wit_interface *x, struct slice iface)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < x->n_types; i++)
		if (x->types[i].resource && is_definition(&x->types[i]))
			put_resource(o, x, &x->types[i], iface);
	buf_printf(&o->tables, "static const struct seam_resource *const resources_%.*s[] = {", SLICE_ARGS(iface));
	for (uint32_t i = 0; i < x->n_types; i++)
		if (x->types[i].resource && is_definition(&x->types[i]) && ++n)
			buf_printf(&o->tables, "&%.*s_resource, ", SLICE_ARGS(c_name(o, x, x->types[i].name)));
	buf_printf(&o->tables, "%s};\n", n ? "" : "NULL");
}

static uint32_t count_resources(const struct wit_interface *x)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < x->n_types; i++)
		n += x->types[i].resource && is_definition(&x->types[i]);
	return n;
}

// The description; `fixed` and adapters are of imports.
static void put_interface_row(struct output *o, const struct wit_interface *x, struct slice iface, bool is_import)
{
	struct buf *b = &o->tables;
	uint32_t first = o->n_funcs - x->n_funcs;  // they were described just now
	buf_printf(b, "static const struct seam_func funcs_%.*s[] = {\n", SLICE_ARGS(iface));
	for (uint32_t i = 0; i < x->n_funcs; i++) {
		const struct wit_func *f = &x->funcs[i];
		struct slice name = func_name(o, x, f);
		bool fixed = is_import && has_row(o, "fixed", x, f->name), direct = is_import && has_row(o, "direct", x, f->name);
		bool leaves = is_import && has_row(o, "leaves", x, f->name);
		if (leaves && (f->type->result || f->type->params.flags & (WIT_HAS_PTR | WIT_HAS_HANDLE)))
			die("host.def: it has a result, or not numbers only", f->name);
		buf_printf(b, "\t{\"%.*s\", &made_funcs[%u], %s%.*s, %u, %u, %s | %s | %s},\n", SLICE_ARGS(f->name), first + i, is_import ? "call_" : "NULL",
			is_import ? (int)name.len : 0, (const char *)name.ptr, f->type->params.size64, f->type->result ? f->type->result->size64 : 0,
			fixed ? "SEAM_FIXED" : "0", direct ? "SEAM_NEVER_PARKS" : "0", leaves ? "SEAM_LEAVES" : "0");
	}
	if (!x->n_funcs)
		buf_put_str(b, "\t{0},\n");
	buf_printf(b, "};\nconst struct seam_interface %.*s_interface = {\"", SLICE_ARGS(iface));
	wit_interface_put_id(b, x);
	buf_printf(b, "\", funcs_%.*s, %u, resources_%.*s, %u, .types = &types};\n", SLICE_ARGS(iface), x->n_funcs, SLICE_ARGS(iface), count_resources(x));
}

// The function's part of func_name.
static struct slice short_name(struct output *o, const struct wit_interface *x, const struct wit_func *f)
{
	struct buf b = {0};
	put_interface_name(o, &b, x);
	struct slice name = slice_sub(func_name(o, x, f), b.len + 1, SIZE_MAX);
	buf_release(&b);
	return name;
}

// Rows `also`: the same functions under another name, as a description of its own.
static void put_others(struct output *o, const struct wit_interface *x, struct slice iface)
{
	struct slice text = o->host_def;
	while (text.len) {
		struct slice line = slice_sub(text, 0, slice_find(text, '\n'));
		text = slice_sub(text, line.len + 1, SIZE_MAX);
		struct slice kind = take_word(&line), of = take_word(&line), name = take_word(&line);
		if (!slice_eq_str(kind, "also") || !is_called(x, of) || !has_row(o, "also", x, name))
			continue;
		if (count_resources(x) || !x->n_funcs)
			die("host.def: has resources, or no functions: it can't have another name", of);
		buf_printf(&o->protos, "extern const struct seam_interface %.*s_also_%u_interface;\n", SLICE_ARGS(iface), o->n_interfaces);
		buf_printf(&o->tables, "const struct seam_interface %.*s_also_%u_interface = {\"%.*s\", funcs_%.*s, %u, resources_%.*s, 0, .types = &types};\n", SLICE_ARGS(iface),
			o->n_interfaces, SLICE_ARGS(name), SLICE_ARGS(iface), x->n_funcs, SLICE_ARGS(iface));
		buf_printf(&o->interface_list, "\t{&%.*s_also_%u_interface, &ops_%.*s},\n", SLICE_ARGS(iface), o->n_interfaces, SLICE_ARGS(iface));
		o->n_interfaces++;
	}
}

// What the guest calls.
static void put_imported(struct output *o, const struct wit_interface *x)
{
	struct buf b = {0};
	put_interface_name(o, &b, x);
	struct slice iface = keep(o, &b);
	struct buf *all[] = {&o->types, &o->protos, &o->tables, &o->provided, &o->provides};
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		put_heading(all[i], x);
	put_docs(&o->protos, x->docs);
	for (uint32_t i = 0; i < x->n_types; i++)
		if (is_definition(&x->types[i]) && x->types[i].type)
			declare_type(o, x->types[i].type);
	buf_printf(&o->protos, "extern const struct seam_interface %.*s_interface;\n", SLICE_ARGS(iface));
	put_resources(o, x, iface);
	if (x->n_funcs) {
		buf_printf(&o->protos, "struct %.*s_ops {\n", SLICE_ARGS(iface));
		buf_printf(&o->provides, "static const struct %.*s_ops ops_%.*s = {\n", SLICE_ARGS(iface), SLICE_ARGS(iface));
	}
	for (uint32_t i = 0; i < x->n_funcs; i++) {
		const struct wit_func *f = &x->funcs[i];
		struct slice name = func_name(o, x, f), member = short_name(o, x, f);
		declare_args(o, f, name);
		describe_func(o, f->type, name);
		put_member_of_ops(o, f, name, member);
		put_adapter(o, f, iface, name, member);
		put_provided(o, f, name, member);
	}
	if (x->n_funcs) {
		buf_printf(&o->protos, "};\n_Static_assert(sizeof(struct %.*s_ops) == %u * sizeof(void *), \"readable as an array\");\n", SLICE_ARGS(iface), x->n_funcs);
		buf_put_str(&o->provides, "};\n");
	}
	put_interface_row(o, x, iface, true);
	buf_printf(&o->interface_list, "\t{&%.*s_interface, %s%.*s},\n", SLICE_ARGS(iface), x->n_funcs ? "&ops_" : "NULL", x->n_funcs ? (int)iface.len : 0,
		(const char *)iface.ptr);
	o->n_interfaces++;
	put_others(o, x, iface);
}

static void put_call_head(struct output *o, struct buf *b, const struct wit_interface *x, const struct wit_func *f, struct slice iface)
{
	buf_printf(b, "bool %.*s_call_%.*s(struct seam_task *t, struct canon_instance *i, const struct %.*s_exports *x", SLICE_ARGS(iface),
		SLICE_ARGS(short_name(o, x, f)), SLICE_ARGS(iface));
	for (uint32_t i = 0; i < f->type->params.n; i++) {
		buf_put_str(b, ", ");
		put_c_type(o, b, f->type->params.fields[i].type);
		buf_put_str(b, " arg_");
		put_snake(b, f->type->params.fields[i].name, false);
	}
	if (f->type->result) {
		buf_put_str(b, ", ");
		put_c_type(o, b, f->type->result);
		buf_put_str(b, " *ret");
	}
	buf_printf(b, ", struct arena *arena, %sstruct canon_trap *trap)", f->type->is_async ? "void (*returned)(struct canon_task *t), " : "");
}

static void put_call(struct output *o, const struct wit_interface *x, const struct wit_func *f, struct slice iface)
{
	struct buf *b = &o->tables;
	struct slice name = func_name(o, x, f);
	bool has_args = f->type->params.n != 0;
	put_docs(&o->protos, f->docs);
	buf_put_str(&o->protos, "NODISCARD ");
	put_call_head(o, &o->protos, x, f, iface);
	buf_put_str(&o->protos, ";\n");
	put_call_head(o, b, x, f, iface);
	buf_put_str(b, "\n{\n");
	if (has_args)
		buf_printf(b, "\tstruct %.*s_args args = {0};\n", SLICE_ARGS(name));
	for (uint32_t i = 0; i < f->type->params.n; i++) {
		buf_put_str(b, "\targs.");
		put_member(b, f->type->params.fields[i].name);
		buf_put_str(b, " = arg_");
		put_snake(b, f->type->params.fields[i].name, false);
		buf_put_str(b, ";\n");
	}
	buf_printf(b, "\treturn %s(t, i, &x->", f->type->is_async ? "seam_export_call_whole" : "seam_export_call");
	put_member(b, short_name(o, x, f));
	buf_printf(b, ", %s, %s, arena, %strap);\n}\n", has_args ? "&args" : "NULL", f->type->result ? "ret" : "NULL", f->type->is_async ? "returned, " : "");
}

static void put_bind(struct output *o, const struct wit_interface *x, struct slice iface)
{
	struct buf *h = &o->protos, *c = &o->tables;
	buf_printf(h, "extern const struct seam_interface %.*s_interface;\n// As a component exports them, readable as an array.\nstruct %.*s_exports {\n",
		SLICE_ARGS(iface), SLICE_ARGS(iface));
	for (uint32_t i = 0; i < x->n_funcs; i++) {
		buf_put_str(h, "\tstruct seam_export ");
		put_member(h, short_name(o, x, &x->funcs[i]));
		buf_put_str(h, ";\n");
	}
	buf_put_str(h, "};\n");
	struct buf *both[] = {h, c};
	for (int k = 0; k < 2; k++)
		buf_printf(both[k], "%sbool %.*s_bind(const struct comp_component *comp, const struct seam_link *l, struct %.*s_exports *ret, struct err *e)%s",
			k ? "" : "NODISCARD ", SLICE_ARGS(iface), SLICE_ARGS(iface), k ? "\n" : ";\n");
	buf_printf(c, "{\n\t_Static_assert(sizeof *ret == %u * sizeof(struct seam_export), \"an array\");\n"
				  "\treturn seam_export_bind(comp, l, &%.*s_interface, (struct seam_export *)ret, e);\n}\n",
		x->n_funcs, SLICE_ARGS(iface));
}

// What the host calls: a description, how it is bound, and a stub a function.
static void put_exported(struct output *o, const struct wit_interface *x)
{
	struct buf b = {0};
	put_interface_name(o, &b, x);
	struct slice iface = keep(o, &b);
	put_heading(&o->types, x);
	put_heading(&o->protos, x);
	put_heading(&o->tables, x);
	if (count_resources(x))
		die("an interface that guests export defines resources: nobody can hold them yet", x->name);
	if (!x->n_funcs)
		die("an interface that guests export has no functions", x->name);
	put_docs(&o->protos, x->docs);
	put_resources(o, x, iface);
	for (uint32_t i = 0; i < x->n_funcs; i++) {
		struct slice name = func_name(o, x, &x->funcs[i]);
		declare_args(o, &x->funcs[i], name);
		describe_func(o, x->funcs[i].type, name);
	}
	put_interface_row(o, x, iface, false);
	put_bind(o, x, iface);
	for (uint32_t i = 0; i < x->n_funcs; i++)
		put_call(o, x, &x->funcs[i], iface);
}

static void put_world(struct output *o, const struct wit_world *w)
{
	for (uint32_t i = 0; i < w->n_imports + w->n_exports; i++) {
		const struct wit_extern *x = i < w->n_imports ? &w->imports[i] : &w->exports[i - w->n_imports];
		if (!x->iface || x->name.len)
			die("the world has something else than interfaces with a name of their own", x->name);
		name_types(o, x->iface);
	}
	for (uint32_t i = 0; i < w->n_imports; i++)
		put_imported(o, w->imports[i].iface);
	for (uint32_t i = 0; i < w->n_exports; i++)
		put_exported(o, w->exports[i].iface);
}

// Every row of host.def must have fitted something.
static void check_rows(struct output *o, struct slice text)
{
	while (text.len) {
		struct slice line = slice_sub(text, 0, slice_find(text, '\n')), rest = line;
		uintptr_t v;
		text = slice_sub(text, line.len + 1, SIZE_MAX);
		if (!take_word(&rest).len || slice_starts_with(line, SLICE_LIT("//")))
			continue;
		if (!map_get(&o->rows, line, &v) || !*(const uint8_t *)v)
			die("host.def: row fits nothing", line);
	}
}

// ---- files ----

static struct slice read_file(struct output *o, const char *path)
{
	struct buf b = {.max = 1u << 20};
	FILE *f = fopen(path, "rb");
	if (!f)
		die("cannot open", slice_str(path));
	for (size_t n = 1; n;) {
		uint8_t *p = buf_reserve(&b, 4096);
		n = p ? fread(p, 1, 4096, f) : 0;
		b.len += n;
	}
	fclose(f);
	return keep(o, &b);
}

static void write_file(const char *path, const struct buf *parts, size_t n)
{
	FILE *f = fopen(path, "wb");
	if (!f)
		die("cannot write", slice_str(path));
	for (size_t i = 0; i < n; i++)
		if (parts[i].failed || fwrite(parts[i].ptr, 1, parts[i].len, f) != parts[i].len)
			die("cannot write", slice_str(path));
	if (fclose(f) != 0)
		die("cannot write", slice_str(path));
}

// "wasi_host" of a path to wasi_host.h.
static struct slice base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	struct slice s = slice_str(slash ? slash + 1 : path);
	return slice_sub(s, 0, slice_find(s, '.'));
}

static void put_guard(struct buf *b, const char *path)
{
	buf_put_str(b, "TENON_");
	put_snake(b, base_name(path), true);
	buf_put_str(b, "_H");
}

static void put_header_top(struct buf *b, const char *path, const char *what)
{
	buf_printf(b, "// Made by tools/witgen from wit/: %s.\n#ifndef ", what);
	put_guard(b, path);
	buf_put_str(b, "\n#define ");
	put_guard(b, path);
	buf_put_str(b, "\n\n");
}

static void write_all(struct output *o, char **paths)
{
	struct buf h[4] = {0}, c[3] = {0}, ph[3] = {0}, pc[3] = {0};
	struct slice base = base_name(paths[0]), provider = base_name(paths[2]);
	put_header_top(&h[0], paths[0], "native types and descriptions of interfaces");
	buf_put_str(&h[0], "#include \"seam/seam.h\"\n#include \"wit/wit.h\"\n");
	h[1] = o->types;
	h[2] = o->protos;
	buf_put_str(&h[3], "\n#endif\n");
	buf_printf(&c[0], "// Made by tools/witgen from wit/: descriptions of interfaces.\n#include \"%.*s.h\"\n\n"
					  "#define TEXT(s) {(const uint8_t *)(s), sizeof(s) - 1}\n",
		SLICE_ARGS(base));
	put_types_head(o, &c[0]);
	c[1] = o->tables;
	put_types(o, &c[2]);
	put_header_top(&ph[0], paths[2], "who serves all of it");
	buf_printf(&ph[0], "#include \"%.*s.h\"\n", SLICE_ARGS(base));
	ph[1] = o->provided;
	buf_printf(&ph[2], "\n// All of it.\nstruct %.*s_row {\n\tconst struct seam_interface *interface;\n\tconst void *ops;\n};\n"
					   "extern const struct %.*s_row %.*s[%u];\n\n#endif\n",
		SLICE_ARGS(provider), SLICE_ARGS(provider), SLICE_ARGS(provider), o->n_interfaces);
	buf_printf(&pc[0], "// Made by tools/witgen from wit/: who serves all of it.\n#include \"%.*s.h\"\n", SLICE_ARGS(provider));
	pc[1] = o->provides;
	buf_printf(&pc[2], "\nconst struct %.*s_row %.*s[%u] = {\n%.*s};\n", SLICE_ARGS(provider), SLICE_ARGS(provider), o->n_interfaces,
		SLICE_ARGS(buf_view(&o->interface_list)));
	write_file(paths[0], h, ARRAY_LEN(h));
	write_file(paths[1], c, ARRAY_LEN(c));
	write_file(paths[2], ph, ARRAY_LEN(ph));
	write_file(paths[3], pc, ARRAY_LEN(pc));
}

int main(int argc, char **argv)
{
	static const struct wit_options all = {.all_features = true};
	struct output o = {0};
	struct wit_packages packages;
	struct err e = {0};
	if (argc != 7) {
		fprintf(stderr, "usage: witgen WIT-FOLDER HOST.DEF OUT.h OUT.c PROVIDER.h PROVIDER.c\n");
		return 2;
	}
	arena_init(&o.arena, 0);
	struct map *maps[] = {&o.names, &o.declared, &o.described, &o.texts, &o.resources, &o.rows};
	for (size_t i = 0; i < ARRAY_LEN(maps); i++)
		map_init(maps[i], &o.arena);
	if (!wit_dir_resolve(&o.arena, argv[1], &all, &packages, &e)) {
		fprintf(stderr, "%s: %s\n", e.where, e.text);
		return 1;
	}
	const struct wit_world *w = wit_package_world(packages.list[packages.n - 1], SLICE_LIT("host"));
	if (!w)
		die("no world `host` in", slice_str(argv[1]));
	o.host_def = read_file(&o, argv[2]);
	read_rows(&o, o.host_def);
	put_world(&o, w);
	check_rows(&o, o.host_def);
	write_all(&o, &argv[3]);
	return 0;
}
