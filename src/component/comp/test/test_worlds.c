// Generated worlds: WIT text is resolved and encoded as a component, which is decoded and printed; what is read from that is the same packages.
// Thousands of them, from a fixed seed: the number of one that fails is named.
#include "build.h"

#define WORLDS 4000

// ---- text -----------------------------------------------------------------------------------------------------------------------------

struct names {
	char list[40][24];
	unsigned n;
};
struct gen {
	uint64_t seed;
	struct buf text;
	unsigned counter, n_ifaces;
	struct {
		struct names vals, res;
		unsigned package;
		bool has_methods;  // not exported: an instance of what is there already may not have such names
		char name[24];
	} ifaces[8];
};

static unsigned below(struct gen *g, unsigned n)
{
	g->seed = g->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)(g->seed >> 33) % n;
}

static const char *add_name(struct gen *g, struct names *n, const char *prefix)
{
	char *to = n->list[n->n++];
	snprintf(to, sizeof n->list[0], "%s%u", prefix, g->counter++);
	return to;
}

static const char *any(struct gen *g, const struct names *n)
{
	return n->list[below(g, n->n)];
}

static void put_type(struct gen *g, const struct names *vals, const struct names *res, unsigned depth, bool borrows)
{
	static const char *const prims[] = {"bool", "u8", "s16", "u32", "s64", "f32", "f64", "char", "string"};
	unsigned k = below(g, depth > 2 ? 4 : 11);
	if (k < 2 || (k < 4 && !vals->n)) {
		buf_put_str(&g->text, prims[below(g, ARRAY_LEN(prims))]);
	} else if (k < 4) {
		buf_put_str(&g->text, any(g, vals));
	} else if (k < 6 && res->n) {
		buf_printf(&g->text, borrows && k == 4 ? "borrow<%s>" : "%s", any(g, res));
	} else {
		static const char *const forms[] = {"list<", "option<", "tuple<", "result<", "result<_, ", "list<"};
		unsigned form = below(g, ARRAY_LEN(forms));
		buf_put_str(&g->text, forms[form]);
		put_type(g, vals, res, depth + 1, borrows);
		if (form == 2) {
			buf_put_str(&g->text, ", ");
			put_type(g, vals, res, depth + 1, borrows);
		}
		buf_put_byte(&g->text, '>');
	}
}

static void put_func(struct gen *g, const struct names *vals, const struct names *res)
{
	buf_put_str(&g->text, "func(");
	for (unsigned i = 0, n = below(g, 4); i < n; i++) {
		buf_printf(&g->text, "%sp%u: ", i ? ", " : "", i);
		put_type(g, vals, res, 0, true);
	}
	buf_put_str(&g->text, ")");
	if (below(g, 2)) {
		buf_put_str(&g->text, " -> ");
		put_type(g, vals, res, 0, false);
	}
	buf_put_str(&g->text, ";\n");
}

static void put_typedef(struct gen *g, struct names *vals, struct names *res)
{
	const struct names old = *vals;
	switch (below(g, 8)) {
	case 0:
		buf_printf(&g->text, "resource %s {", add_name(g, res, "r"));
		if (below(g, 4) == 0) {
			buf_put_str(&g->text, " constructor(a: u32);");
			g->ifaces[g->n_ifaces].has_methods = true;
		}
		if (below(g, 4) == 0) {
			g->ifaces[g->n_ifaces].has_methods = true;
			buf_printf(&g->text, " m%u: %s", g->counter++, below(g, 3) ? "" : "static ");
			put_func(g, vals, res);
		}
		buf_put_str(&g->text, "}\n");
		return;
	case 1:
	case 2:
		buf_printf(&g->text, "record %s { a: ", add_name(g, vals, "t"));
		put_type(g, &old, res, 0, false);
		buf_put_str(&g->text, ", b: ");
		put_type(g, &old, res, 0, false);
		buf_put_str(&g->text, "}\n");
		return;
	case 3:
		buf_printf(&g->text, "variant %s { a, b(", add_name(g, vals, "t"));
		put_type(g, &old, res, 0, false);
		buf_put_str(&g->text, ")}\n");
		return;
	case 4:
		buf_printf(&g->text, "flags %s { a, b }\n", add_name(g, vals, "t"));
		return;
	case 5:
		if (old.n) {
			buf_printf(&g->text, "type %s = %s;\n", add_name(g, vals, "t"), any(g, &old));
			return;
		}
		__attribute__((fallthrough));
	case 6:
		if (res->n) {
			const char *of = any(g, res);
			buf_printf(&g->text, "type %s = %s;\n", add_name(g, res, "r"), of);
			return;
		}
		__attribute__((fallthrough));
	default:
		buf_printf(&g->text, "enum %s { x, y }\n", add_name(g, vals, "t"));
	}
}

static void put_path(struct gen *g, unsigned of, unsigned from_package)
{
	static const char *const versions[] = {"", "@1.2.0", "@0.2.0-rc.1"};
	if (g->ifaces[of].package == from_package)
		buf_put_str(&g->text, g->ifaces[of].name);
	else
		buf_printf(&g->text, "a:p%u/%s%s", g->ifaces[of].package, g->ifaces[of].name, versions[g->ifaces[of].package]);
}

static void put_uses(struct gen *g, unsigned n_ifaces, unsigned package, struct names *vals, struct names *res)
{
	for (unsigned i = 0, n = n_ifaces ? below(g, 3) : 0; i < n; i++) {
		unsigned of = below(g, n_ifaces);
		bool is_res = below(g, 2);
		const struct names *from = is_res ? &g->ifaces[of].res : &g->ifaces[of].vals;
		if (!from->n)
			continue;
		buf_put_str(&g->text, "use ");
		put_path(g, of, package);
		buf_printf(&g->text, ".{%s", any(g, from));
		buf_printf(&g->text, " as %s};\n", add_name(g, is_res ? res : vals, "w"));
	}
}

static void put_packages(struct gen *g)
{
	static const char *const names[] = {"%use", "%interface", "i2", "i3", "i4", "%type", "i6", "i7"};
	static const char *const heads[] = {"package a:p0 {\n", "package a:p1@1.2.0 {\n", "package a:p2@0.2.0-rc.1 {\n"};
	for (unsigned p = 0; p < 3; p++) {
		buf_put_str(&g->text, heads[p]);
		for (unsigned i = 0, n = below(g, 3) + (p == 0); i < n; i++) {
			unsigned k = g->n_ifaces;
			struct names *vals = &g->ifaces[k].vals, *res = &g->ifaces[k].res;
			g->ifaces[k].package = p;
			snprintf(g->ifaces[k].name, sizeof g->ifaces[k].name, "%s", names[k]);
			buf_printf(&g->text, "interface %s {\n", names[k]);
			put_uses(g, k, p, vals, res);
			for (unsigned t = below(g, 6); t > 0; t--)
				put_typedef(g, vals, res);
			for (unsigned f = below(g, 3); f > 0; f--) {
				buf_printf(&g->text, "go%u: ", g->counter++);
				put_func(g, vals, res);
			}
			buf_put_str(&g->text, "}\n");
			g->n_ifaces++;
		}
		buf_put_str(&g->text, "}\n");
	}
}

static void put_world(struct gen *g)
{
	struct names vals = {0}, res = {0};
	buf_put_str(&g->text, "world root {\n");
	put_uses(g, g->n_ifaces, 99, &vals, &res);
	for (unsigned i = 0; i < g->n_ifaces; i++) {
		buf_put_str(&g->text, "import ");
		put_path(g, i, 99);
		buf_put_str(&g->text, ";\n");
	}
	for (unsigned f = below(g, 3); f > 0; f--) {
		buf_printf(&g->text, "import go%u: ", g->counter++);
		put_func(g, &vals, &res);
	}
	for (unsigned i = 0; i < g->n_ifaces; i++)
		if (!g->ifaces[i].has_methods && below(g, 2)) {
			buf_put_str(&g->text, "export ");
			put_path(g, i, 99);
			buf_put_str(&g->text, ";\n");
		}
	for (unsigned f = below(g, 3); f > 0; f--) {
		buf_printf(&g->text, "export go%u: ", g->counter++);
		put_func(g, &vals, &res);
	}
	buf_put_str(&g->text, "}\n");
}

// ---- encoding -------------------------------------------------------------------------------------------------------------------------

// Types that have an index: in an instance type, or in the component.
struct indexes {
	struct {
		const void *what;  // wit_type or wit_resource
		uint32_t index;
	} list[400];
	unsigned n;
	uint32_t next;
	struct buf *decls;  // of an instance type; NULL: sections of the component
	uint32_t n_decls;
};
struct enc {
	struct buf out;
	struct indexes root;
	uint32_t n_instances, n_funcs, n_core_funcs;
	struct {
		const struct wit_interface *iface;
		bool is_export;
		uint32_t instance;
	} made[32];
	unsigned n_made;
};

#define PUT_LIT(b, bytes) buf_put((b), (bytes), sizeof(bytes) - 1)

static void leb(struct buf *b, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		buf_put_byte(b, (uint8_t)(v | 0x80));
	buf_put_byte(b, (uint8_t)v);
}

// An index where also negative numbers may stand.
static void put_s33(struct buf *b, uint64_t v)
{
	for (; v >= 0x40; v >>= 7)
		buf_put_byte(b, (uint8_t)(v | 0x80));
	buf_put_byte(b, (uint8_t)v);
}

static void put_name(struct buf *b, struct slice s)
{
	leb(b, s.len);
	buf_put_slice(b, s);
}

static void section(struct enc *e, uint8_t id, struct buf *contents)
{
	buf_put_byte(&e->out, id);
	leb(&e->out, contents->len);
	buf_put_slice(&e->out, buf_view(contents));
	buf_release(contents);
}

static bool index_of(const struct indexes *x, const void *what, uint32_t *ret)
{
	for (unsigned i = x->n; i-- > 0;)
		if (x->list[i].what == what) {
			*ret = x->list[i].index;
			return true;
		}
	return false;
}

static uint32_t set_index(struct indexes *x, const void *what, uint32_t index)
{
	assert_true(x->n < ARRAY_LEN(x->list));
	x->list[x->n].what = what;
	x->list[x->n++].index = index;
	return index;
}

// A definition of a type as a declaration or as a section of its own.
static uint32_t define(struct enc *e, struct indexes *x, struct buf *type)
{
	if (x->decls) {
		buf_put_byte(x->decls, 0x01);
		buf_put_slice(x->decls, buf_view(type));
		x->n_decls++;
		buf_release(type);
	} else {
		struct buf s = {0};
		leb(&s, 1);
		buf_put_slice(&s, buf_view(type));
		buf_release(type);
		section(e, 7, &s);
	}
	return x->next++;
}

static uint32_t type_index(struct enc *e, struct indexes *x, const struct wit_type *t);

static void put_valtype(struct enc *e, struct indexes *x, const struct wit_type *t, struct buf *b)
{
	if (t->kind <= WIT_STRING)  // codes go down as kinds go up
		buf_put_byte(b, (uint8_t)(0x7f - t->kind));
	else
		put_s33(b, type_index(e, x, t));
}

static void put_optional(struct enc *e, struct indexes *x, const struct wit_type *t, struct buf *b)
{
	buf_put_byte(b, t != NULL);
	if (t)
		put_valtype(e, x, t, b);
}

static void put_deftype(struct enc *e, struct indexes *x, const struct wit_type *t, struct buf *b)
{
	static const uint8_t codes[] = {
		[WIT_RECORD] = 0x72,
		[WIT_VARIANT] = 0x71,
		[WIT_LIST] = 0x70,
		[WIT_TUPLE] = 0x6f,
		[WIT_FLAGS] = 0x6e,
		[WIT_ENUM] = 0x6d,
		[WIT_OPTION] = 0x6b,
		[WIT_RESULT] = 0x6a,
		[WIT_OWN] = 0x69,
		[WIT_BORROW] = 0x68,
	};
	uint32_t index = 0;
	if (t->kind < WIT_N_PRIMITIVES) {
		put_valtype(e, x, t, b);
		return;
	}
	assert_true(t->kind < ARRAY_LEN(codes) && codes[t->kind]);
	buf_put_byte(b, codes[t->kind]);
	if (t->resource) {
		assert_true(index_of(x, t->resource, &index));
		leb(b, index);
	} else if (t->kind == WIT_LIST) {
		put_valtype(e, x, t->elem, b);
	} else if (t->kind == WIT_OPTION) {
		put_valtype(e, x, t->fields[1].type, b);
	} else if (t->kind == WIT_RESULT) {
		put_optional(e, x, t->fields[0].type, b);
		put_optional(e, x, t->fields[1].type, b);
	} else {
		leb(b, t->n);
		for (uint32_t i = 0; i < t->n; i++) {
			if (t->kind != WIT_TUPLE)
				put_name(b, t->fields[i].name);
			if (t->kind == WIT_VARIANT) {
				put_optional(e, x, t->fields[i].type, b);
				buf_put_byte(b, 0);
			} else if (t->fields[i].type) {
				put_valtype(e, x, t->fields[i].type, b);
			}
		}
	}
}

static uint32_t type_index(struct enc *e, struct indexes *x, const struct wit_type *t)
{
	uint32_t index;
	struct buf b = {0};
	if (index_of(x, t, &index))
		return index;
	put_deftype(e, x, t, &b);
	return set_index(x, t, define(e, x, &b));
}

static uint32_t func_index(struct enc *e, struct indexes *x, const struct wit_func_type *f)
{
	struct buf b = {0};
	buf_put_byte(&b, 0x40);
	leb(&b, f->params.n);
	for (uint32_t i = 0; i < f->params.n; i++) {
		put_name(&b, f->params.fields[i].name);
		put_valtype(e, x, f->params.fields[i].type, &b);
	}
	buf_put_byte(&b, f->result ? 0 : 1);
	if (f->result)
		put_valtype(e, x, f->result, &b);
	else
		buf_put_byte(&b, 0);
	return define(e, x, &b);
}

// The instance of an interface that an import (or export) sees: an export sees exports where there are such.
static uint32_t instance_of(const struct enc *e, const struct wit_interface *i, bool is_export)
{
	for (int pass = is_export ? 1 : 0; pass >= 0; pass--)
		for (unsigned k = 0; k < e->n_made; k++)
			if (e->made[k].iface == i && e->made[k].is_export == pass)
				return e->made[k].instance;
	fail_msg("an interface is used before it is there");
	return 0;
}

static uint32_t alias_type(struct enc *e, uint32_t instance, struct slice name)
{
	struct buf s = {0};
	PUT_LIT(&s, "\1\3\0");
	leb(&s, instance);
	put_name(&s, name);
	section(e, 6, &s);
	return e->root.next++;
}

static void put_extern_name(struct buf *b, struct slice name)
{
	buf_put_byte(b, 0);
	put_name(b, name);
}

static uint32_t declare(struct indexes *x, struct slice name, const char *kind, uint32_t index, bool has_index)
{
	buf_put_byte(x->decls, 0x04);
	put_extern_name(x->decls, name);
	buf_put_str(x->decls, kind);
	if (kind[0] == 3)
		buf_put_byte(x->decls, has_index ? 0 : 1);
	if (has_index)
		leb(x->decls, index);
	x->n_decls++;
	return kind[0] == 3 ? x->next++ : 0;
}

static const void *meaning(const struct wit_typedef *t)
{
	return t->resource ? (const void *)t->resource : (const void *)t->type;
}

static void import_interface(struct enc *e, const struct wit_interface *i)
{
	struct buf decls = {0}, type = {0}, id = {0}, import = {0};
	struct indexes x = {.decls = &decls};
	uint32_t outer[64];
	assert_true(i->n_types < 64);
	for (uint32_t t = 0; t < i->n_types; t++)
		if (i->types[t].from)
			outer[t] = alias_type(e, instance_of(e, i->types[t].from, false), i->types[t].from_name);
	for (uint32_t t = 0; t < i->n_types; t++) {
		const struct wit_typedef *d = &i->types[t];
		uint32_t index = 0;
		if (d->from) {
			PUT_LIT(&decls, "\2\3\2\1");
			leb(&decls, outer[t]);
			x.n_decls++;
			index = x.next++;
		} else if (d->alias) {
			assert_true(index_of(&x, meaning(d->alias), &index));
		} else if (!d->resource) {
			struct buf b = {0};
			put_deftype(e, &x, d->type, &b);
			index = define(e, &x, &b);
		}
		index = declare(&x, d->name, "\3", index, d->from || d->alias || !d->resource);
		if (d->resource || d->type->kind >= WIT_N_PRIMITIVES)
			set_index(&x, meaning(d), index);
	}
	for (uint32_t f = 0; f < i->n_funcs; f++) {
		uint32_t index = func_index(e, &x, i->funcs[f].type);
		declare(&x, i->funcs[f].name, "\1", index, true);
	}
	buf_put_byte(&type, 0x42);
	leb(&type, x.n_decls);
	buf_put_slice(&type, buf_view(&decls));
	buf_release(&decls);
	uint32_t index = define(e, &e->root, &type);
	wit_interface_put_id(&id, i);
	leb(&import, 1);
	put_extern_name(&import, buf_view(&id));
	buf_put_byte(&import, 5);
	leb(&import, index);
	buf_release(&id);
	section(e, 10, &import);
	e->made[e->n_made].iface = i;
	e->made[e->n_made++].instance = e->n_instances++;
}

static void put_flat(struct buf *b, const struct wit_type *t, unsigned max)
{
	bool spilled = t && t->n_flat > max;
	leb(b, spilled ? 1 : t ? t->n_flat
						   : 0);
	for (unsigned i = 0; t && !spilled && i < t->n_flat; i++)
		buf_put_byte(b, t->flat[i]);
	if (spilled)
		buf_put_byte(b, 0x7f);
}

// A core function that traps, lifted; returns its index.
static uint32_t lift(struct enc *e, const struct wit_func_type *f)
{
	struct buf types = {0}, module = {0}, s = {0};
	uint32_t type = func_index(e, &e->root, f), core = e->n_core_funcs;
	PUT_LIT(&types, "\2\x60\4\x7f\x7f\x7f\x7f\1\x7f\x60");
	put_flat(&types, &f->params, WIT_MAX_FLAT);
	put_flat(&types, f->result, 1);
	PUT_LIT(&module, "\0asm\1\0\0\0\1");
	put_name(&module, buf_view(&types));
	PUT_LIT(&module, "\3\3\2\0\1\5\3\1\0\1\7\15\3\1m\2\0\1r\0\0\1f\0\1\n\11\2\3\0\0\x0b\3\0\0\x0b");
	section(e, 1, &module);
	uint32_t m = e->n_core_funcs / 2;  // a module, an instance and a memory for each two functions
	PUT_LIT(&s, "\1\0");
	leb(&s, m);
	buf_put_byte(&s, 0);
	section(e, 2, &s);
	static const char *const items[] = {"\2\1m", "\0\1r", "\0\1f"};
	for (int i = 0; i < 3; i++) {
		PUT_LIT(&s, "\1\0");
		buf_put_byte(&s, (uint8_t)items[i][0]);
		buf_put_byte(&s, 1);
		leb(&s, m);
		put_name(&s, slice_of(items[i] + 2, 1));
		section(e, 6, &s);
	}
	e->n_core_funcs += 2;
	PUT_LIT(&s, "\1\0\0");
	leb(&s, core + 1);
	PUT_LIT(&s, "\2\3");
	leb(&s, m);
	buf_put_byte(&s, 4);
	leb(&s, core);
	leb(&s, type);
	section(e, 8, &s);
	buf_release(&types);
	return e->n_funcs++;
}

static void export_interface(struct enc *e, const struct wit_interface *i)
{
	struct buf bag = {0}, export = {0}, id = {0};
	struct indexes saved = e->root;  // here all names are those of the exports
	e->root.n = 0;
	PUT_LIT(&bag, "\1\1");
	leb(&bag, i->n_types + i->n_funcs);
	for (uint32_t t = 0; t < i->n_types; t++) {
		const struct wit_typedef *d = &i->types[t];
		uint32_t index = 0;
		struct buf b = {0};
		if (d->from) {
			index = alias_type(e, instance_of(e, d->from, true), d->from_name);
		} else if (d->alias && (d->resource || d->type->kind >= WIT_N_PRIMITIVES)) {
			assert_true(index_of(&e->root, meaning(d->alias), &index));
		} else {
			if (d->resource)
				PUT_LIT(&b, "\x3f\x7f\0");
			else
				put_deftype(e, &e->root, d->type, &b);
			index = define(e, &e->root, &b);
		}
		if (d->resource || d->type->kind >= WIT_N_PRIMITIVES)
			set_index(&e->root, meaning(d), index);
		put_extern_name(&bag, d->name);
		buf_put_byte(&bag, 3);
		leb(&bag, index);
	}
	for (uint32_t f = 0; f < i->n_funcs; f++) {
		uint32_t func = lift(e, i->funcs[f].type);
		put_extern_name(&bag, i->funcs[f].name);
		buf_put_byte(&bag, 1);
		leb(&bag, func);
	}
	section(e, 5, &bag);
	wit_interface_put_id(&id, i);
	leb(&export, 1);
	put_extern_name(&export, buf_view(&id));
	buf_put_byte(&export, 5);
	leb(&export, e->n_instances++);
	buf_put_byte(&export, 0);
	buf_release(&id);
	section(e, 11, &export);
	e->made[e->n_made].iface = i;
	e->made[e->n_made].is_export = true;
	e->made[e->n_made++].instance = e->n_instances++;
	saved.next = e->root.next;
	e->root = saved;
}

static void import_world_types(struct enc *e, const struct wit_world *w)
{
	for (uint32_t t = 0; t < w->n_types; t++) {
		const struct wit_typedef *d = &w->types[t];
		struct buf s = {0};
		uint32_t index = alias_type(e, instance_of(e, d->from, false), d->from_name);
		leb(&s, 1);
		put_extern_name(&s, d->name);
		PUT_LIT(&s, "\3\0");
		leb(&s, index);
		section(e, 10, &s);
		if (d->resource || d->type->kind >= WIT_N_PRIMITIVES)
			set_index(&e->root, meaning(d), e->root.next);
		e->root.next++;
	}
}

static void encode(struct enc *e, const struct wit_world *w)
{
	PUT_LIT(&e->out, "\0asm\x0d\0\1\0");
	for (uint32_t i = 0; i < w->n_imports; i++)
		if (w->imports[i].iface)
			import_interface(e, w->imports[i].iface);
	import_world_types(e, w);
	for (uint32_t i = 0; i < w->n_imports; i++)
		if (w->imports[i].func) {
			struct buf s = {0};
			uint32_t type = func_index(e, &e->root, w->imports[i].func->type);
			leb(&s, 1);
			put_extern_name(&s, w->imports[i].name);
			buf_put_byte(&s, 1);
			leb(&s, type);
			section(e, 10, &s);
			e->n_funcs++;
		}
	for (uint32_t i = 0; i < w->n_exports; i++)
		if (w->exports[i].iface)
			export_interface(e, w->exports[i].iface);
	for (uint32_t i = 0; i < w->n_exports; i++)
		if (w->exports[i].func) {
			struct buf s = {0};
			uint32_t func = lift(e, w->exports[i].func->type);
			leb(&s, 1);
			put_extern_name(&s, w->exports[i].name);
			buf_put_byte(&s, 1);
			leb(&s, func);
			buf_put_byte(&s, 0);
			section(e, 11, &s);
			e->n_funcs++;
		}
}

// ---- the test -------------------------------------------------------------------------------------------------------------------------

static void resolve(struct arena *a, struct slice text, struct wit_packages *ret, unsigned seed, const char *what)
{
	struct wit_source source = {.path = SLICE_LIT("world.wit"), .text = text};
	struct err e;
	err_clear(&e);
	if (!wit_text_resolve(a, &source, 1, NULL, ret, &e))
		fail_msg("world %u, %s: %s (line %u, %s)\n%.*s", seed, what, e.text, e.line, e.where, SLICE_ARGS(text));
}

static const struct wit_package *main_of(const struct wit_packages *p)
{
	return p->list[p->n - 1];
}

static void check_world(unsigned seed)
{
	struct gen g = {.seed = seed};
	static struct enc e;
	struct decoded d = {0};
	struct buf printed = {0};
	struct wit_packages before, after;
	struct arena a;
	struct err err;
	err_clear(&err);
	memset(&e, 0, sizeof e);
	arena_init(&a, 0);
	buf_put_str(&g.text, "package root:component;\n");
	put_packages(&g);
	put_world(&g);
	resolve(&a, buf_view(&g.text), &before, seed, "generated");
	encode(&e, wit_package_world(main_of(&before), SLICE_LIT("root")));
	assert_true(buf_put_slice(&d.bytes, buf_view(&e.out)));
	decode_bytes(&d, 0);
	if (!d.ok)
		fail_msg("world %u: %s (%s) at 0x%llx\n%.*s", seed, d.e.text, d.e.where, (unsigned long long)d.e.offset, SLICE_ARGS(buf_view(&g.text)));
	if (!comp_print(&printed, d.c, &err))
		fail_msg("world %u: %s", seed, err.text);
	resolve(&a, buf_view(&printed), &after, seed, "printed");
	for (uint32_t i = 0; i < before.n; i++) {
		const struct wit_package *x = before.list[i], *y = wit_packages_find(&after, x->ns, x->name, &x->version);
		if (x->n_interfaces + x->n_worlds == 0)
			continue;
		if (!y || !wit_package_equal(x, y, false, &err))
			fail_msg("world %u, package %.*s: %s (%s)\n%.*s\n----\n%.*s", seed, SLICE_ARGS(x->name), y ? err.text : "is gone", err.where,
				SLICE_ARGS(buf_view(&g.text)), SLICE_ARGS(buf_view(&printed)));
	}
	assert_true(buf_put_byte(&printed, 0));
	assert_false(strstr((const char *)printed.ptr, "Not in WIT"));
	decoded_release(&d);
	buf_release(&printed);
	buf_release(&g.text);
	buf_release(&e.out);
	arena_release(&a);
}

static void worlds_printed_and_read_again_are_equal_as_types(void **state)
{
	for (unsigned seed = 1; seed <= WORLDS; seed++)
		check_world(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(worlds_printed_and_read_again_are_equal_as_types),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
