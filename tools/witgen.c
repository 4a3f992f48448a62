// witgen WIT-FOLDER HOST.DEF OUT.h OUT.c: C for the world `host` of a WIT package.
//
//   OUT.h  structs and constants of the types, laid out as native values (wit.h), prototypes of the host functions, drop functions of resources
//          and, for what guests export: how it is bound, and a stub a function that calls it
//   OUT.c  constant type descriptors, thunks, the tables that seam reads (seam.h)
//
// Rules of the output:
//  1. `ns:pkg/iface` and a name in it become ns_pkg_iface_name; what has no name in WIT gets one from its parts, and is shared by all that use it.
//  2. Names of namespace `wasi` lose it within the names of parts: result<u64, stream-error> is wasi_result_u64_io_streams_stream_error.
//  3. Layouts are asserted against the model's, field by field.
//  4. Each function that the world imports is called by a thunk: without a definition the program does not link, with another type it does not compile.
#include "wit/wit.h"

struct output {
	struct arena arena;
	struct buf types, protos, tables;  // of the header, of the header, of the C file
	struct map names;                  // address of a type → its C name (text in the arena)
	struct map declared, described;    // C name → type: what is written already
	struct map rows;                   // rows of host.def, "kind interface name" → 0 (1: used)
	struct buf interface_list;
	uint32_t n_interfaces;
};

static _Noreturn void die(const char *text, struct slice what)
{
	fprintf(stderr, "witgen: %s: %.*s\n", text, SLICE_ARGS(what));
	exit(1);
}

static struct slice keep(struct output *o, struct buf *b)
{
	struct slice s;
	if (b->failed || !slice_dup(&o->arena, buf_view(b), &s))
		die("out of memory", (struct slice){0});
	buf_release(b);
	return s;
}

// false: it was there already (*ret_old).
static bool remember(struct map *m, struct slice key, const void *value, uintptr_t *ret_old)
{
	bool no_memory = false;
	if (map_get(m, key, ret_old))
		return false;
	if (!map_insert(m, key, (uintptr_t)value, &no_memory))
		die("out of memory", key);
	return true;
}

// ---- names ----

static void put_snake(struct buf *b, struct slice s, bool upper)
{
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.ptr[i];
		c = c == '-' || c == '.' ? '_' : c;
		if (!upper && c >= 'A' && c <= 'Z')
			c += 32;
		if (upper && c >= 'a' && c <= 'z')
			c -= 32;
		buf_put_byte(b, c);
	}
}

// A member or parameter: words of C get a '_'.
static void put_member(struct buf *b, struct slice s)
{
	static const char *const words[] = {"auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else", "enum", "extern", "float", "for",
		"goto", "if", "inline", "int", "long", "register", "restrict", "return", "short", "signed", "sizeof", "static", "struct",
		"switch", "typedef", "union", "unsigned", "void", "volatile", "while", "bool", "true", "false", "tag", "is_err", "is_some"};
	put_snake(b, s, false);
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (slice_eq_str(s, words[i]))
			buf_put_byte(b, '_');
}

static void put_interface_name(struct buf *b, const struct wit_interface *x)
{
	put_snake(b, x->package->ns, false);
	buf_put_byte(b, '_');
	put_snake(b, x->package->name, false);
	buf_put_byte(b, '_');
	put_snake(b, x->name, false);
}

static struct slice c_name(struct output *o, const struct wit_interface *x, struct slice name)
{
	struct buf b = {0};
	put_interface_name(&b, x);
	buf_put_byte(&b, '_');
	put_snake(&b, name, false);
	return keep(o, &b);
}

static struct slice address_key(struct output *o, const void *p)
{
	const void **key = arena_copy(&o->arena, &p, sizeof(p), _Alignof(void *));
	if (!key)
		die("out of memory", (struct slice){0});
	return slice_of(key, sizeof(p));
}

static void name_it(struct output *o, const void *what, struct slice name)
{
	uintptr_t old;
	struct slice *s = arena_copy(&o->arena, &name, sizeof(name), _Alignof(struct slice));
	if (!s)
		die("out of memory", name);
	remember(&o->names, address_key(o, what), s, &old);
}

static bool name_of(struct output *o, const void *what, struct slice *ret)
{
	uintptr_t v;
	if (!map_get(&o->names, slice_of(&what, sizeof(what)), &v))
		return false;
	*ret = *(const struct slice *)v;
	return true;
}

// The part that a type is in the name of another.
static void put_part(struct output *o, struct buf *b, const struct wit_type *t)
{
	struct slice name;
	if (!t) {
		buf_put_str(b, "void");
		return;
	}
	if (name_of(o, t, &name) || (t->resource && name_of(o, t->resource, &name))) {
		if (t->resource)
			buf_printf(b, "%s_", wit_kind_name(t->kind));
		buf_put_slice(b, slice_starts_with(name, SLICE_LIT("wasi_")) ? slice_sub(name, 5, SIZE_MAX) : name);
		return;
	}
	if (t->kind == WIT_ERROR_CONTEXT) {
		buf_put_str(b, "error_context");
		return;
	}
	buf_put_str(b, wit_kind_name(t->kind));
	if (t->kind == WIT_TUPLE || t->kind == WIT_FIXED_LIST)
		buf_printf(b, "%u", t->n);
	for (uint32_t i = 0; wit_kind_is_variant(t->kind) || t->kind == WIT_TUPLE ? i < t->n : 0; i++) {
		if (t->kind == WIT_OPTION && i == 0)
			continue;
		buf_put_byte(b, '_');
		put_part(o, b, t->fields[i].type);
	}
	if (t->elem || t->kind == WIT_STREAM || t->kind == WIT_FUTURE) {
		buf_put_byte(b, '_');
		put_part(o, b, t->elem);
	}
}

// The whole name of a type that has a struct or a descriptor.
static struct slice type_name(struct output *o, const struct wit_type *t)
{
	struct slice name;
	if (!t->resource && name_of(o, t, &name))
		return name;
	struct buf b = {0};
	buf_put_str(&b, "wasi_");
	put_part(o, &b, t);
	return keep(o, &b);
}

// ---- types of C ----

static bool has_struct(const struct wit_type *t)
{
	return wit_kind_is_record(t->kind) || (wit_kind_is_variant(t->kind) && t->kind != WIT_ENUM) || t->kind == WIT_FIXED_LIST;
}

static void put_c_type(struct output *o, struct buf *b, const struct wit_type *t)
{
	static const char *const scalars[WIT_N_KINDS] = {
		[WIT_BOOL] = "bool",
		[WIT_S8] = "int8_t",
		[WIT_U8] = "uint8_t",
		[WIT_S16] = "int16_t",
		[WIT_U16] = "uint16_t",
		[WIT_S32] = "int32_t",
		[WIT_U32] = "uint32_t",
		[WIT_S64] = "int64_t",
		[WIT_U64] = "uint64_t",
		[WIT_F32] = "float",
		[WIT_F64] = "double",
		[WIT_CHAR] = "uint32_t",
		[WIT_STRING] = "struct wit_string",
		[WIT_ERROR_CONTEXT] = "uint32_t",
		[WIT_LIST] = "struct wit_list",
		[WIT_MAP] = "struct wit_list",
		[WIT_OWN] = "uint32_t",
		[WIT_BORROW] = "uint32_t",
		[WIT_STREAM] = "uint32_t",
		[WIT_FUTURE] = "uint32_t",
	};
	if (scalars[t->kind])
		buf_put_str(b, scalars[t->kind]);
	else if (t->kind == WIT_ENUM || t->kind == WIT_FLAGS)
		buf_printf(b, "uint%u_t", t->discriminant_size * 8u);
	else
		buf_printf(b, "struct %.*s", SLICE_ARGS(type_name(o, t)));
}

// What a plain C type does not tell.
static void put_comment(struct output *o, struct buf *b, const struct wit_type *t)
{
	struct slice name;
	if (t->kind == WIT_OWN || t->kind == WIT_BORROW) {
		if (name_of(o, t->resource, &name))
			buf_printf(b, "  // %s<%.*s>", wit_kind_name(t->kind), SLICE_ARGS(name));
	} else if (wit_kind_is_list(t->kind)) {
		buf_put_str(b, "  // of ");
		if (t->elem->resource && name_of(o, t->elem->resource, &name))
			buf_printf(b, "%s<%.*s>", wit_kind_name(t->elem->kind), SLICE_ARGS(name));
		else
			put_c_type(o, b, t->elem);
	} else if ((t->kind == WIT_ENUM || t->kind == WIT_FLAGS) && name_of(o, t, &name)) {
		buf_put_str(b, "  // ");
		put_snake(b, name, true);
		buf_put_str(b, "_…");
	} else if (t->kind == WIT_CHAR) {
		buf_put_str(b, "  // char");
	}
}

static void declare_type(struct output *o, const struct wit_type *t);

static void declare_parts(struct output *o, const struct wit_type *t)
{
	for (uint32_t i = 0; t->kind != WIT_FIXED_LIST && i < t->n; i++)
		if (t->fields[i].type)
			declare_type(o, t->fields[i].type);
	if (t->elem)
		declare_type(o, t->elem);
}

static void put_field_name(struct buf *b, const struct wit_type *t, uint32_t i)
{
	if (t->kind == WIT_TUPLE)
		buf_printf(b, "f%u", i);
	else
		put_member(b, t->fields[i].name);
}

// Fields of a struct, members of a union.
static void put_fields(struct output *o, struct buf *b, const struct wit_type *t, const char *tabs)
{
	for (uint32_t i = 0; i < t->n; i++) {
		const struct wit_type *p = t->fields[i].type;
		if (!p)
			continue;
		buf_put_str(b, tabs);
		put_c_type(o, b, p);
		buf_put_byte(b, ' ');
		put_field_name(b, t, i);
		buf_put_byte(b, ';');
		put_comment(o, b, p);
		buf_put_byte(b, '\n');
	}
}

// Constants of the cases or flags.
static void put_constants(struct output *o, const struct wit_type *t, struct slice name)
{
	struct buf *b = &o->types;
	buf_put_str(b, "enum {\n");
	for (uint32_t i = 0; i < t->n; i++) {
		buf_put_byte(b, '\t');
		put_snake(b, name, true);
		buf_put_byte(b, '_');
		put_snake(b, t->fields[i].name, true);
		if (t->kind == WIT_FLAGS)
			buf_printf(b, " = 1u << %u", i);
		buf_put_str(b, ",\n");
	}
	buf_put_str(b, "};\n");
}

static void put_struct_body(struct output *o, const struct wit_type *t)
{
	struct buf *b = &o->types;
	if (t->kind == WIT_FIXED_LIST) {
		buf_put_byte(b, '\t');
		put_c_type(o, b, t->elem);
		buf_printf(b, " e[%u];\n", t->n);
	} else if (wit_kind_is_record(t->kind)) {
		put_fields(o, b, t, "\t");
	} else if (t->kind == WIT_OPTION) {
		buf_put_str(b, "\tbool is_some;\n");
		put_fields(o, b, t, "\t");
	} else {
		bool any = false;
		for (uint32_t i = 0; i < t->n; i++)
			any |= t->fields[i].type != NULL;
		if (t->kind == WIT_RESULT)
			buf_put_str(b, "\tbool is_err;\n");
		else
			buf_printf(b, "\tuint%u_t tag;\n", t->discriminant_size * 8u);
		if (any) {
			buf_put_str(b, "\tunion {\n");
			put_fields(o, b, t, "\t\t");
			buf_put_str(b, "\t};\n");
		}
	}
}

static void put_asserts(struct output *o, const struct wit_type *t, struct slice name)
{
	struct buf *b = &o->types;
	buf_printf(b, "_Static_assert(sizeof(struct %.*s) == %u && _Alignof(struct %.*s) == %u", SLICE_ARGS(name), t->size64, SLICE_ARGS(name), t->align64);
	for (uint32_t i = 0; t->kind != WIT_FIXED_LIST && i < t->n; i++) {
		if (!t->fields[i].type)
			continue;
		buf_printf(b, "\n\t&& offsetof(struct %.*s, ", SLICE_ARGS(name));
		put_field_name(b, t, i);
		buf_printf(b, ") == %u", t->fields[i].offset64);
	}
	buf_put_str(b, ", \"layout of native values\");\n");
}

static void declare_struct(struct output *o, const struct wit_type *t, struct slice name)
{
	buf_printf(&o->types, "struct %.*s {\n", SLICE_ARGS(name));
	put_struct_body(o, t);
	buf_put_str(&o->types, "};\n");
	put_asserts(o, t, name);
}

// The struct of a type and those of its parts before it, each once.
static void declare_type(struct output *o, const struct wit_type *t)
{
	struct slice name;
	uintptr_t old;
	declare_parts(o, t);
	if (!has_struct(t) && t->kind != WIT_ENUM && t->kind != WIT_FLAGS)
		return;
	name = type_name(o, t);
	if (!remember(&o->declared, name, t, &old)) {
		struct wit_compare c = {.steps = 1000000};
		if (!wit_type_equal(&c, (const struct wit_type *)old, t, NULL))
			die("two types have one name in C", name);
		return;
	}
	buf_put_byte(&o->types, '\n');
	if (t->kind == WIT_VARIANT || t->kind == WIT_ENUM || t->kind == WIT_FLAGS)
		put_constants(o, t, name);
	if (has_struct(t))
		declare_struct(o, t, name);
}

// ---- descriptors ----

static void put_text(struct buf *b, struct slice s)
{
	buf_printf(b, "TEXT(\"%.*s\")", SLICE_ARGS(s));
}

static void put_ref(struct output *o, struct buf *b, const struct wit_type *t)
{
	static const char *const names[WIT_N_PRIMITIVES] = {"WIT_BOOL", "WIT_S8", "WIT_U8", "WIT_S16", "WIT_U16", "WIT_S32", "WIT_U32", "WIT_S64", "WIT_U64", "WIT_F32",
		"WIT_F64", "WIT_CHAR", "WIT_STRING", "WIT_ERROR_CONTEXT"};
	if (!t)
		buf_put_str(b, "NULL");
	else if (t->kind < WIT_N_PRIMITIVES)
		buf_printf(b, "&wit_primitives[%s]", names[t->kind]);
	else
		buf_printf(b, "&type_%.*s", SLICE_ARGS(type_name(o, t)));
}

static const char *kind_constant(unsigned kind)
{
	static const char *const names[WIT_N_KINDS] = {
		[WIT_LIST] = "WIT_LIST",
		[WIT_FIXED_LIST] = "WIT_FIXED_LIST",
		[WIT_MAP] = "WIT_MAP",
		[WIT_RECORD] = "WIT_RECORD",
		[WIT_TUPLE] = "WIT_TUPLE",
		[WIT_VARIANT] = "WIT_VARIANT",
		[WIT_ENUM] = "WIT_ENUM",
		[WIT_OPTION] = "WIT_OPTION",
		[WIT_RESULT] = "WIT_RESULT",
		[WIT_FLAGS] = "WIT_FLAGS",
		[WIT_OWN] = "WIT_OWN",
		[WIT_BORROW] = "WIT_BORROW",
		[WIT_STREAM] = "WIT_STREAM",
		[WIT_FUTURE] = "WIT_FUTURE",
	};
	return names[kind];
}

// The array of fields under the name PREFIX_NAME; nothing if there are none. (A method `stat` of `descriptor` and a record `descriptor-stat`
// have one name in C, hence the prefixes.)
static void put_field_table(struct output *o, const struct wit_type *t, const char *prefix, struct slice name)
{
	struct buf *b = &o->tables;
	if (t->kind == WIT_FIXED_LIST || t->n == 0)
		return;
	buf_printf(b, "static const struct wit_field %s_%.*s[] = {\n", prefix, SLICE_ARGS(name));
	for (uint32_t i = 0; i < t->n; i++) {
		buf_put_str(b, "\t{");
		put_text(b, t->fields[i].name);
		buf_put_str(b, ", ");
		put_ref(o, b, t->fields[i].type);
		buf_printf(b, ", %u, %u},\n", t->fields[i].offset32, t->fields[i].offset64);
	}
	buf_put_str(b, "};\n");
}

// All members of the struct, precomputed.
static void put_type_value(struct output *o, const struct wit_type *t, const char *prefix, struct slice name)
{
	struct buf *b = &o->tables;
	struct slice res;
	buf_printf(b, "{.kind = %s, .flags = %u, .discriminant_size = %u, .depth = %u, .align32 = %u, .align64 = %u, .n_flat = %u, .flat = {", kind_constant(t->kind),
		t->flags, t->discriminant_size, t->depth, t->align32, t->align64, t->n_flat);
	for (unsigned i = 0; i < t->n_flat && i < WIT_MAX_FLAT; i++)
		buf_printf(b, "%s0x%x", i ? ", " : "", t->flat[i]);
	buf_printf(b, "},\n\t.size32 = %u, .size64 = %u, .payload32 = %u, .payload64 = %u, .effective_size = %u, .n = %u", t->size32, t->size64, t->payload32,
		t->payload64, t->effective_size, t->n);
	if (t->kind != WIT_FIXED_LIST && t->n)
		buf_printf(b, ", .fields = %s_%.*s", prefix, SLICE_ARGS(name));
	if (t->elem) {
		buf_put_str(b, ", .elem = ");
		put_ref(o, b, t->elem);
	}
	if (t->resource) {
		if (!name_of(o, t->resource, &res))
			die("resource without a name", t->resource->name);
		buf_printf(b, ", .resource = &%.*s_resource.wit", SLICE_ARGS(res));
	}
	buf_put_str(b, "}");
}

static void describe(struct output *o, const struct wit_type *t)
{
	uintptr_t old;
	if (t->kind < WIT_N_PRIMITIVES)
		return;
	for (uint32_t i = 0; t->kind != WIT_FIXED_LIST && i < t->n; i++)
		if (t->fields[i].type)
			describe(o, t->fields[i].type);
	if (t->elem)
		describe(o, t->elem);
	struct slice name = type_name(o, t);
	if (!remember(&o->described, name, t, &old))
		return;
	put_field_table(o, t, "fields", name);
	buf_printf(&o->tables, "static const struct wit_type type_%.*s = ", SLICE_ARGS(name));
	put_type_value(o, t, "fields", name);
	buf_put_str(&o->tables, ";\n");
}

static void describe_func(struct output *o, const struct wit_func_type *f, struct slice name)
{
	for (uint32_t i = 0; i < f->params.n; i++)
		describe(o, f->params.fields[i].type);
	if (f->result)
		describe(o, f->result);
	put_field_table(o, &f->params, "params", name);
	buf_printf(&o->tables, "static const struct wit_func_type %.*s_type = {\n\t.params = ", SLICE_ARGS(name));
	put_type_value(o, &f->params, "params", name);
	if (f->result) {
		buf_put_str(&o->tables, ",\n\t.result = ");
		put_ref(o, &o->tables, f->result);
	}
	buf_printf(&o->tables, ",\n\t.is_async = %s};\n", f->is_async ? "true" : "false");
}

// ---- functions ----

// `[method]output-stream.write` → output_stream_write, `[constructor]fields` → fields_new.
static struct slice func_name(struct output *o, const struct wit_interface *x, const struct wit_func *f)
{
	struct wit_name n;
	struct buf b = {0};
	if (!wit_name_parse(f->name, true, &n, NULL))
		die("not a name", f->name);
	put_interface_name(&b, x);
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

static void put_prototype(struct output *o, const struct wit_func *f, struct slice name)
{
	struct buf *b = &o->protos;
	put_docs(b, f->docs);
	buf_printf(b, "enum seam_result %.*s(struct seam_call *c", SLICE_ARGS(name));
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

static void put_thunk(struct output *o, const struct wit_func *f, struct slice name)
{
	buf_printf(&o->tables,
		"static enum seam_result thunk_%.*s(struct seam_call *c, UNUSED const void *args, UNUSED void *ret)\n{\n\treturn %.*s(c%s%s);\n}\n",
		SLICE_ARGS(name), SLICE_ARGS(name), f->type->params.n ? ", args" : "", f->type->result ? ", ret" : "");
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
		if ((!slice_eq_str(kind, "fixed") && !slice_eq_str(kind, "remake")) || !name.len || take_word(&line).len)
			die("host.def: not a row", whole);
		struct buf b = {0};
		buf_printf(&b, "%.*s %.*s %.*s", SLICE_ARGS(kind), SLICE_ARGS(iface), SLICE_ARGS(name));
		if (!remember(&o->rows, keep(o, &b), arena_zalloc(&o->arena, 1, 1), &old))
			die("host.def: row is there twice", whole);
	}
}

// Is there such a row? Marks it as used.
static bool has_row(struct output *o, const char *kind, const struct wit_interface *x, struct slice name)
{
	struct buf b = {0};
	uintptr_t v;
	buf_printf(&b, "%s %.*s:%.*s/%.*s %.*s", kind, SLICE_ARGS(x->package->ns), SLICE_ARGS(x->package->name), SLICE_ARGS(x->name), SLICE_ARGS(name));
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

static void put_resource(struct output *o, const struct wit_interface *x, const struct wit_typedef *t)
{
	struct slice name = c_name(o, x, t->name);
	bool remake = has_row(o, "remake", x, t->name);
	buf_printf(&o->protos, "extern struct seam_resource %.*s_resource;\n", SLICE_ARGS(name));
	buf_printf(&o->protos, "void %.*s_drop(struct canon_instance *i, void *object);\n", SLICE_ARGS(name));
	if (remake)
		buf_printf(&o->protos, "bool %.*s_remake(struct canon_instance *i, const void *object, void **ret);\n", SLICE_ARGS(name));
	buf_printf(&o->tables, "struct seam_resource %.*s_resource = {.wit = {", SLICE_ARGS(name));
	put_text(&o->tables, t->name);
	buf_printf(&o->tables, "}, .ops = {.name = \"%.*s:%.*s/%.*s.%.*s\", .drop = %.*s_drop", SLICE_ARGS(x->package->ns), SLICE_ARGS(x->package->name),
		SLICE_ARGS(x->name), SLICE_ARGS(t->name), SLICE_ARGS(name));
	if (remake)
		buf_printf(&o->tables, ", .remake = %.*s_remake", SLICE_ARGS(name));
	buf_put_str(&o->tables, "}};\n");
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
			put_resource(o, x, &x->types[i]);
	buf_printf(&o->tables, "static struct seam_resource *const resources_%.*s[] = {", SLICE_ARGS(iface));
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

// The description; `fixed` and thunks are of imports.
static void put_interface_row(struct output *o, const struct wit_interface *x, struct slice iface, bool is_import)
{
	struct buf *b = &o->tables;
	buf_printf(b, "static const struct seam_func funcs_%.*s[] = {\n", SLICE_ARGS(iface));
	for (uint32_t i = 0; i < x->n_funcs; i++) {
		const struct wit_func *f = &x->funcs[i];
		struct slice name = func_name(o, x, f);
		buf_printf(b, "\t{\"%.*s\", &%.*s_type, %s%.*s, %u, %u, %s},\n", SLICE_ARGS(f->name), SLICE_ARGS(name), is_import ? "thunk_" : "NULL",
			is_import ? (int)name.len : 0, (const char *)name.ptr, f->type->params.size64, f->type->result ? f->type->result->size64 : 0,
			is_import && has_row(o, "fixed", x, f->name) ? "SEAM_FIXED" : "0");
	}
	if (!x->n_funcs)
		buf_put_str(b, "\t{0},\n");
	buf_printf(b, "};\n%sstruct seam_interface %.*s_interface = {\"", is_import ? "" : "const ", SLICE_ARGS(iface));
	wit_interface_put_id(b, x);
	buf_printf(b, "\", funcs_%.*s, %u, resources_%.*s, %u, 0};\n", SLICE_ARGS(iface), x->n_funcs, SLICE_ARGS(iface), count_resources(x));
}

// What the guest calls.
static void put_imported(struct output *o, const struct wit_interface *x)
{
	struct buf b = {0};
	put_interface_name(&b, x);
	struct slice iface = keep(o, &b);
	put_heading(&o->types, x);
	put_heading(&o->protos, x);
	put_heading(&o->tables, x);
	put_docs(&o->protos, x->docs);
	for (uint32_t i = 0; i < x->n_types; i++)
		if (is_definition(&x->types[i]) && x->types[i].type)
			declare_type(o, x->types[i].type);
	buf_printf(&o->protos, "extern struct seam_interface %.*s_interface;\n", SLICE_ARGS(iface));
	put_resources(o, x, iface);
	for (uint32_t i = 0; i < x->n_funcs; i++) {
		struct slice name = func_name(o, x, &x->funcs[i]);
		declare_args(o, &x->funcs[i], name);
		put_prototype(o, &x->funcs[i], name);
		describe_func(o, x->funcs[i].type, name);
		put_thunk(o, &x->funcs[i], name);
	}
	put_interface_row(o, x, iface, true);
	buf_printf(&o->interface_list, "\t&%.*s_interface,\n", SLICE_ARGS(iface));
	o->n_interfaces++;
}

// The function's part of func_name.
static struct slice short_name(struct output *o, const struct wit_interface *x, const struct wit_func *f)
{
	struct buf b = {0};
	put_interface_name(&b, x);
	struct slice name = slice_sub(func_name(o, x, f), b.len + 1, SIZE_MAX);
	buf_release(&b);
	return name;
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
	buf_put_str(b, ", struct arena *arena, struct canon_trap *trap)");
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
	buf_put_str(b, "\treturn seam_export_call(t, i, &x->");
	put_member(b, short_name(o, x, f));
	buf_printf(b, ", %s, %s, arena, trap);\n}\n", has_args ? "&args" : "NULL", f->type->result ? "ret" : "NULL");
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
	put_interface_name(&b, x);
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

static void write_all(struct output *o, const char *header, const char *source)
{
	struct buf h[4] = {0}, c[3] = {0};
	const char *base = strrchr(header, '/');
	buf_put_str(&h[0], "// Made by tools/witgen from wit/: native types and host functions.\n#ifndef TENON_WASI_HOST_H\n#define TENON_WASI_HOST_H\n\n"
					   "#include \"seam/seam.h\"\n#include \"wit/wit.h\"\n");
	h[1] = o->types;
	h[2] = o->protos;
	buf_printf(&h[3], "\n// All of them.\nextern struct seam_interface *const wasi_host_interfaces[%u];\n\n#endif\n", o->n_interfaces);
	buf_printf(&c[0], "// Made by tools/witgen from wit/: type descriptors and tables of host functions.\n#include \"%s\"\n\n"
					  "#define TEXT(s) {(const uint8_t *)(s), sizeof(s) - 1}\n",
		base ? base + 1 : header);
	c[1] = o->tables;
	buf_printf(&c[2], "\nstruct seam_interface *const wasi_host_interfaces[%u] = {\n%.*s};\n", o->n_interfaces, SLICE_ARGS(buf_view(&o->interface_list)));
	write_file(header, h, ARRAY_LEN(h));
	write_file(source, c, ARRAY_LEN(c));
}

int main(int argc, char **argv)
{
	static const struct wit_options all = {.all_features = true};
	struct output o = {0};
	struct wit_packages packages;
	struct err e = {0};
	if (argc != 5) {
		fprintf(stderr, "usage: witgen WIT-FOLDER HOST.DEF OUT.h OUT.c\n");
		return 2;
	}
	arena_init(&o.arena, 0);
	struct map *maps[] = {&o.names, &o.declared, &o.described, &o.rows};
	for (size_t i = 0; i < ARRAY_LEN(maps); i++)
		map_init(maps[i], &o.arena);
	if (!wit_dir_resolve(&o.arena, argv[1], &all, &packages, &e)) {
		fprintf(stderr, "%s: %s\n", e.where, e.text);
		return 1;
	}
	const struct wit_world *w = wit_package_world(packages.list[packages.n - 1], SLICE_LIT("host"));
	if (!w)
		die("no world `host` in", slice_str(argv[1]));
	struct slice rows = read_file(&o, argv[2]);
	read_rows(&o, rows);
	put_world(&o, w);
	check_rows(&o, rows);
	write_all(&o, argv[3], argv[4]);
	return 0;
}
