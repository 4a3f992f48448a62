// Types: their names in C, their structs, their descriptors.
#include "witgen.h"

_Noreturn void die(const char *text, struct slice what)
{
	fprintf(stderr, "witgen: %s: %.*s\n", text, SLICE_ARGS(what));
	exit(1);
}

struct slice keep(struct output *o, struct buf *b)
{
	struct slice s;
	if (b->failed || !slice_dup(&o->arena, buf_view(b), &s))
		die("out of memory", (struct slice){0});
	buf_release(b);
	return s;
}

// false: it was there already (*ret_old).
bool remember(struct map *m, struct slice key, const void *value, uintptr_t *ret_old)
{
	bool no_memory = false;
	if (map_get(m, key, ret_old))
		return false;
	if (!map_insert(m, key, (uintptr_t)value, &no_memory))
		die("out of memory", key);
	return true;
}

// ---- names ----

void put_snake(struct buf *b, struct slice s, bool upper)
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
void put_member(struct buf *b, struct slice s)
{
	static const char *const words[] = {"auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else", "enum", "extern", "float", "for",
		"goto", "if", "inline", "int", "long", "register", "restrict", "return", "short", "signed", "sizeof", "static", "struct",
		"switch", "typedef", "union", "unsigned", "void", "volatile", "while", "bool", "true", "false", "tag", "is_err", "is_some"};
	put_snake(b, s, false);
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (slice_eq_str(s, words[i]))
			buf_put_byte(b, '_');
}

enum { FIRST_LINE = 2 };  // 0.2 and before have no number

void put_interface_name(struct output *o, struct buf *b, const struct wit_interface *x)
{
	struct slice prefix = named(o, x->package);
	if (prefix.len) {
		buf_put_slice(b, prefix);
	} else {
		put_snake(b, x->package->ns, false);
		buf_put_byte(b, '_');
		put_snake(b, x->package->name, false);
		const struct wit_version *v = &x->package->version;
		if (v->present && v->major == 0 && v->minor > FIRST_LINE)
			buf_printf(b, "%llu", (unsigned long long)v->minor);
	}
	buf_put_byte(b, '_');
	put_snake(b, x->name, false);
}

struct slice c_name(struct output *o, const struct wit_interface *x, struct slice name)
{
	struct buf b = {0};
	put_interface_name(o, &b, x);
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

void name_it(struct output *o, const void *what, struct slice name)
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

bool has_struct(const struct wit_type *t)
{
	return wit_kind_is_record(t->kind) || (wit_kind_is_variant(t->kind) && t->kind != WIT_ENUM) || t->kind == WIT_FIXED_LIST;
}

void put_c_type(struct output *o, struct buf *b, const struct wit_type *t)
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
void put_comment(struct output *o, struct buf *b, const struct wit_type *t)
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
	} else if (t->kind == WIT_STREAM || t->kind == WIT_FUTURE) {
		buf_printf(b, "  // %s_", wit_kind_name(t->kind));
		put_part(o, b, t->elem);
	}
}

void declare_parts(struct output *o, const struct wit_type *t)
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

void declare_struct(struct output *o, const struct wit_type *t, struct slice name)
{
	buf_printf(&o->types, "struct %.*s {\n", SLICE_ARGS(name));
	put_struct_body(o, t);
	buf_put_str(&o->types, "};\n");
	put_asserts(o, t, name);
}

// The struct of a type and those of its parts before it, each once.
void declare_type(struct output *o, const struct wit_type *t)
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
	struct slice own;
	bool is_shared = t->resource || !name_of(o, t, &own);  // named by its parts: other headers have it as well
	if (is_shared)
		buf_printf(&o->types, "#ifndef HAS_%.*s\n#define HAS_%.*s\n", SLICE_ARGS(name), SLICE_ARGS(name));
	if (t->kind == WIT_VARIANT || t->kind == WIT_ENUM || t->kind == WIT_FLAGS)
		put_constants(o, t, name);
	if (has_struct(t))
		declare_struct(o, t, name);
	if (is_shared)
		buf_put_str(&o->types, "#endif\n");
}

// ---- descriptors ----

void put_text(struct buf *b, struct slice s)
{
	buf_printf(b, "TEXT(\"%.*s\")", SLICE_ARGS(s));
}

static void put_ref(struct output *o, struct buf *b, const struct wit_type *t)
{
	static const char *const names[WIT_N_PRIMITIVES] = {"WIT_BOOL", "WIT_S8", "WIT_U8", "WIT_S16", "WIT_U16", "WIT_S32", "WIT_U32", "WIT_S64", "WIT_U64", "WIT_F32",
		"WIT_F64", "WIT_CHAR", "WIT_STRING", "WIT_ERROR_CONTEXT"};
	uintptr_t row = 0;
	if (!t)
		buf_put_str(b, "0");
	else if (t->kind < WIT_N_PRIMITIVES)
		buf_printf(b, "1 + %s", names[t->kind]);
	else if (map_get(&o->described, type_name(o, t), &row))
		buf_printf(b, "TYPE(%llu)", (unsigned long long)row);
	else
		die("a type that is not described", type_name(o, t));
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

// Where it is among the names.
static uint32_t place_text(struct output *o, struct slice text)
{
	uintptr_t at;
	if (!remember(&o->texts, text, (const void *)(uintptr_t)o->n_text, &at))
		return (uint32_t)at;
	uint32_t place = o->n_text;
	buf_printf(&o->name_rows, "\t\"%.*s\"\n", SLICE_ARGS(text));
	o->n_text += (uint32_t)text.len;
	return place;
}

// 1 + its number.
static uint32_t number_resource(struct output *o, const struct wit_resource *r)
{
	struct slice name;
	uintptr_t number;
	if (!name_of(o, r, &name))
		die("resource without a name", r->name);
	if (!remember(&o->resources, address_key(o, r), (const void *)(uintptr_t)(o->n_resources + 1), &number))
		return (uint32_t)number;
	buf_printf(&o->resource_rows, "\t&%.*s_resource.wit,\n", SLICE_ARGS(name));
	return ++o->n_resources;
}

// The rows of its fields, if there are any. Returns the first's number.
static uint32_t put_field_rows(struct output *o, const struct wit_type *t)
{
	uint32_t first = o->n_fields;
	for (uint32_t i = 0; t->kind != WIT_FIXED_LIST && i < t->n; i++) {
		struct buf *b = &o->field_rows;
		buf_printf(b, "\t{%u, %u, ", place_text(o, t->fields[i].name), (unsigned)t->fields[i].name.len);
		put_ref(o, b, t->fields[i].type);
		buf_printf(b, ", %u, %u},\n", t->fields[i].offset32, t->fields[i].offset64);
		o->n_fields++;
	}
	return first;
}

// All members of the struct, precomputed.
static void put_type_value(struct output *o, struct buf *b, const struct wit_type *t)
{
	uint32_t fields = put_field_rows(o, t);
	buf_printf(b, "{.kind = %s, .flags = %u, .discriminant_size = %u, .depth = %u, .align32 = %u, .align64 = %u, .n_flat = %u, .flat = {", kind_constant(t->kind),
		t->flags, t->discriminant_size, t->depth, t->align32, t->align64, t->n_flat);
	for (unsigned i = 0; i < t->n_flat && i < WIT_MAX_FLAT; i++)
		buf_printf(b, "%s0x%x", i ? ", " : "", t->flat[i]);
	buf_printf(b, "}, .size32 = %u, .size64 = %u, .payload32 = %u, .payload64 = %u, .effective_size = %u, .n = %u, .fields = %u", t->size32, t->size64,
		t->payload32, t->payload64, t->effective_size, t->n, fields);
	if (t->elem) {
		buf_put_str(b, ", .elem = ");
		put_ref(o, b, t->elem);
	}
	if (t->resource)
		buf_printf(b, ", .resource = %u", number_resource(o, t->resource));
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
	if (!remember(&o->described, name, (const void *)(uintptr_t)o->n_types, &old))
		return;
	o->n_types++;
	buf_printf(&o->type_rows, "\t// %.*s\n\t", SLICE_ARGS(name));
	put_type_value(o, &o->type_rows, t);
	buf_put_str(&o->type_rows, ",\n");
}

void describe_func(struct output *o, const struct wit_func_type *f, struct slice name)
{
	struct buf *b = &o->func_rows;
	for (uint32_t i = 0; i < f->params.n; i++)
		describe(o, f->params.fields[i].type);
	if (f->result)
		describe(o, f->result);
	buf_printf(b, "\t// %.*s\n\t{", SLICE_ARGS(name));
	put_type_value(o, b, &f->params);
	buf_put_str(b, ", ");
	put_ref(o, b, f->result);
	buf_printf(b, ", %s},\n", f->is_async ? "true" : "false");
	o->n_funcs++;
}

void put_types_head(struct output *o, struct buf *b)
{
	buf_printf(b, "static struct wit_func_type made_funcs[%u];\nstatic const struct seam_types types;\n", o->n_funcs);
}

static void put_rows(struct buf *b, const char *type, const char *name, const struct buf *rows, const char *no_row)
{
	buf_printf(b, "\nstatic const %s %s[] = {\n", type, name);
	if (rows->len)
		buf_put_slice(b, buf_view(rows));
	else
		buf_put_str(b, no_row);
	buf_put_str(b, "};\n");
}

void put_types(struct output *o, struct buf *b)
{
	buf_put_str(b, "\n// ---- types ----\n#define TYPE(row) (1 + WIT_N_PRIMITIVES + (row))\n\nstatic const char names[] =\n");
	buf_put_slice(b, buf_view(&o->name_rows));
	buf_put_str(b, "\t\"\";\n");
	put_rows(b, "struct wit_resource *const", "resources", &o->resource_rows, "\tNULL,\n");
	put_rows(b, "struct seam_field_row", "field_rows", &o->field_rows, "\t{0},\n");
	put_rows(b, "struct seam_type_row", "type_rows", &o->type_rows, "\t{0},\n");
	put_rows(b, "struct seam_func_row", "func_rows", &o->func_rows, "\t{0},\n");
	buf_printf(b, "static struct {\n\tstruct seam_made made;\n\tconst struct wit_type *types[%u];\n\tbool funcs[%u];\n"
				  "\t_Alignas(16) uint8_t room[%u * sizeof(struct wit_type) + %u * sizeof(struct wit_field) + 1];\n} all = {.made = {.lock = SYS_MUTEX}};\n",
		o->n_types + 1, o->n_funcs, o->n_types, o->n_fields);
	buf_put_str(b, "static const struct seam_types types = {type_rows, field_rows, func_rows, names, resources, &all.made, all.types, all.funcs, made_funcs, all.room};\n");
}
