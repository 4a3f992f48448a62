// What a component imports and exports, as WIT: a world `root`, then the interfaces it names, by package.
// A binary does not say from which interface a type was taken over; a type of the same name and shape in an interface seen before is shown as
// `use`d from it, which means the same.
#include "comp_int.h"

struct shown {
	struct wit_interface iface;
	struct wit_package package;
	bool is_inline, printed;
};
struct printer {
	struct arena a;
	struct shown **list;
	uint32_t n;
	uint64_t steps;  // comparisons left; without them types are spelled out
	bool failed;
};
#define MAX_SHOWN 2000  // interfaces printed
#define MAX_STEPS 10000000

static void *take(struct printer *p, void *memory)
{
	p->failed |= !memory;
	return memory;
}
#define TAKE(p, T, n) ((T *)take((p), ARENA_ARRAY(&(p)->a, T, (n))))

static bool type_equal(struct printer *p, const struct wit_type *x, const struct wit_type *y)
{
	struct wit_compare c = {.steps = p->steps};
	bool equal = x->kind >= WIT_RECORD && wit_type_equal(&c, x, y, NULL);
	p->steps = c.steps;
	return equal;
}

// Where a type was seen before.
static void find_use(struct printer *p, const struct wit_interface *self, struct wit_typedef *t)
{
	for (uint32_t i = 0; i < p->n; i++) {
		const struct wit_interface *from = &p->list[i]->iface;
		if (from == self || p->list[i]->is_inline)
			continue;
		for (uint32_t j = 0; j < from->n_types && p->steps; j++) {
			const struct wit_typedef *x = &from->types[j];
			p->steps--;
			if (x->from || x->alias)
				continue;
			if (t->resource ? x->resource == t->resource : x->type && slice_eq(x->name, t->name) && type_equal(p, x->type, t->type)) {
				t->from = from;
				t->from_name = x->name;
				return;
			}
		}
	}
}

// Another name of a resource in the same interface.
static void find_alias(struct printer *p, const struct wit_typedef *types, uint32_t n, struct wit_typedef *t)
{
	for (uint32_t i = 0; i < n && t->resource && p->steps; i++, p->steps--)
		if (types[i].resource == t->resource) {
			t->alias = &types[i];
			return;
		}
}

// false: nothing to show as a type.
static bool make_typedef(struct printer *p, const struct wit_interface *self, const struct comp_extern *x, struct wit_typedef *ret)
{
	*ret = (struct wit_typedef){.name = x->name, .type = x->type, .resource = x->resource};
	if (x->kind != COMP_EXTERN_TYPE || (!x->type && !x->resource))
		return false;
	find_use(p, self, ret);
	return true;
}

static void make_func(struct printer *p, const struct comp_extern *x, const struct wit_typedef *types, uint32_t n_types, struct wit_func *ret)
{
	struct wit_name name;
	*ret = (struct wit_func){.name = x->name, .type = x->func};
	if (!wit_name_parse(x->name, false, &name, NULL) || !wit_name_is_annotated(&name))
		return;
	for (uint32_t i = 0; i < n_types && p->steps; i++, p->steps--)
		if (types[i].resource && slice_eq(types[i].name, name.resource))
			ret->resource = types[i].resource;
}

static void fill_interface(struct printer *p, const struct comp_extern *x, struct wit_interface *i)
{
	struct wit_typedef *types = TAKE(p, struct wit_typedef, x->n);
	struct wit_func *funcs = TAKE(p, struct wit_func, x->n);
	if (p->failed)
		return;
	for (uint32_t j = 0; j < x->n; j++) {
		struct wit_typedef *t = &types[i->n_types];
		if (!make_typedef(p, i, &x->items[j], t))
			continue;
		find_alias(p, types, i->n_types, t);
		if (t->alias)
			t->from = NULL;
		i->n_types++;
	}
	for (uint32_t j = 0; j < x->n; j++)
		if (x->items[j].kind == COMP_EXTERN_FUNC)
			make_func(p, &x->items[j], types, i->n_types, &funcs[i->n_funcs++]);
	i->types = types;
	i->funcs = funcs;
}

static struct wit_interface *show(struct printer *p, const struct comp_extern *x)
{
	struct wit_name name;
	bool parsed = wit_name_parse(x->name, false, &name, NULL) && name.kind == WIT_NAME_INTERFACE;
	struct shown *s = TAKE(p, struct shown, 1);
	if (p->failed)
		return NULL;
	s->is_inline = !parsed;
	s->iface.package = &s->package;
	if (parsed) {
		s->package = (struct wit_package){.ns = name.ns, .name = name.package, .version = name.version};
		s->iface.name = name.iface;
	}
	fill_interface(p, x, &s->iface);
	p->list[p->n++] = s;
	return &s->iface;
}

static uint32_t fill_externs(struct printer *p, const struct comp_extern *list, uint32_t n, const struct wit_typedef *types, uint32_t n_types,
	struct wit_extern *out)
{
	uint32_t len = 0;
	for (uint32_t i = 0; i < n && !p->failed; i++) {
		struct wit_extern e = {0};
		if (list[i].kind == COMP_EXTERN_INSTANCE) {
			e.iface = show(p, &list[i]);
			e.name = e.iface && !e.iface->name.len ? list[i].name : slice_of("", 0);
		} else if (list[i].kind == COMP_EXTERN_FUNC) {
			struct wit_func *f = TAKE(p, struct wit_func, 1);
			if (p->failed)
				break;
			make_func(p, &list[i], types, n_types, f);
			e.func = f;
			e.name = list[i].name;
		} else {
			continue;
		}
		out[len++] = e;
	}
	return len;
}

static void put_indented(struct buf *b, const struct wit_interface *x)
{
	struct buf text = {.max = b->max ? b->max : (size_t)64 << 20};
	wit_print_interface(&text, x);
	struct slice rest = buf_view(&text);
	while (rest.len) {
		struct slice line = slice_sub(rest, 0, slice_find(rest, '\n'));
		buf_printf(b, "%s", line.len ? "  " : "");
		buf_put_slice(b, line);
		buf_put_byte(b, '\n');
		rest = slice_sub(rest, line.len + 1, SIZE_MAX);
	}
	b->failed |= text.failed;
	buf_release(&text);
}

static bool same_package(const struct wit_package *x, const struct wit_package *y)
{
	return slice_eq(x->ns, y->ns) && slice_eq(x->name, y->name) && slice_eq(x->version.text, y->version.text);
}

static void put_packages(struct buf *b, struct printer *p)
{
	uint32_t n = (uint32_t)min_u64(p->n, MAX_SHOWN);
	for (uint32_t i = 0; i < n; i++) {
		struct shown *s = p->list[i];
		if (s->is_inline || s->printed)
			continue;
		buf_printf(b, "\npackage %.*s:%.*s", SLICE_ARGS(s->package.ns), SLICE_ARGS(s->package.name));
		if (s->package.version.present)
			buf_printf(b, "@%.*s", SLICE_ARGS(s->package.version.text));
		buf_put_str(b, " {\n");
		for (uint32_t j = i; j < n; j++) {
			struct shown *t = p->list[j];
			if (t->is_inline || t->printed || !same_package(&s->package, &t->package))
				continue;
			for (uint32_t k = j; k < n; k++)  // imported and exported
				if (!p->list[k]->is_inline && same_package(&t->package, &p->list[k]->package) &&
					slice_eq(t->iface.name, p->list[k]->iface.name))
					p->list[k]->printed = true;
			put_indented(b, &t->iface);
		}
		buf_put_str(b, "}\n");
	}
	if (p->n > n)
		buf_printf(b, "\n// and %u more interfaces\n", p->n - n);
}

void comp_print(struct buf *b, const struct comp_component *c)
{
	struct printer p = {.steps = MAX_STEPS};
	struct wit_world w = {.name = SLICE_LIT("root")};
	struct wit_package root = {.ns = SLICE_LIT("root"), .name = SLICE_LIT("component")};
	arena_init(&p.a, (size_t)256 << 20);
	p.list = TAKE(&p, struct shown *, (size_t)c->nimports + c->nexports);
	struct wit_typedef *types = TAKE(&p, struct wit_typedef, c->nimports);
	struct wit_extern *imports = TAKE(&p, struct wit_extern, c->nimports), *exports = TAKE(&p, struct wit_extern, c->nexports);
	if (!p.failed) {
		for (uint32_t i = 0; i < c->nimports; i++)
			if (c->imports[i].kind == COMP_EXTERN_TYPE)
				w.n_types += make_typedef(&p, NULL, &c->imports[i], &types[w.n_types]);
		w.package = &root;
		w.types = types;
		w.n_imports = fill_externs(&p, c->imports, c->nimports, types, w.n_types, imports);
		w.n_exports = fill_externs(&p, c->exports, c->nexports, types, w.n_types, exports);
		w.imports = imports;
		w.exports = exports;
	}
	if (!p.failed) {
		buf_put_str(b, "package root:component;\n\n");
		wit_print_world(b, &w);
		put_packages(b, &p);
	}
	b->failed |= p.failed;
	arena_release(&p.a);
}
