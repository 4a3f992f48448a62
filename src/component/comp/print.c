// What a component imports and exports, as WIT: a world `root`, then the interfaces it names, by package. What WIT can't say stands in comments.
#include "show.h"

#define SHOW_MEMORY ((size_t)512 << 20)
#define SHOW_STEPS 20000000

static void put_indented(struct buf *b, const struct wit_interface *x)
{
	struct buf text = {.max = b->max ? b->max : (size_t)64 << 20};
	wit_print_interface(&text, x);
	struct slice rest = buf_view(&text);
	while (rest.len && !b->failed) {
		struct slice line = slice_sub(rest, 0, slice_find(rest, '\n'));
		buf_put_str(b, line.len ? "  " : "");
		buf_put_slice(b, line);
		buf_put_byte(b, '\n');
		rest = slice_sub(rest, line.len + 1, SIZE_MAX);
	}
	b->failed |= text.failed;
	buf_release(&text);
}

static void put_package(struct buf *b, const struct show *s, const struct wit_package *p)
{
	buf_put_str(b, "\npackage ");
	wit_print_package_id(b, p);
	buf_put_str(b, " {\n");
	for (uint32_t i = 0; i < s->scopes.len && !b->failed; i++)
		if (s->scopes.ptr[i]->iface.package == p)
			put_indented(b, &s->scopes.ptr[i]->iface);
	buf_put_str(b, "}\n");
}

static void put_world(struct buf *b, const struct show *s)
{
	static const struct wit_package root = {.ns = SLICE_LIT("root"), .name = SLICE_LIT("component")};
	const struct wit_world w = {.package = &root,
		.name = SLICE_LIT("root"),
		.types = s->world.types.ptr,
		.n_types = s->world.types.len,
		.imports = s->imports.ptr,
		.n_imports = s->imports.len,
		.exports = s->exports.ptr,
		.n_exports = s->exports.len};
	buf_put_str(b, "package root:component;\n\n");
	for (uint32_t i = 0; i < s->notes.len; i++)
		buf_printf(b, "// Not in WIT: %.*s.\n", SLICE_ARGS(s->notes.ptr[i]));
	wit_print_world(b, &w);
}

bool comp_print(struct buf *b, const struct comp_component *c, struct err *e)
{
	struct show s = {.d = {.steps = SHOW_STEPS, .start = c->bytes.ptr, .p = c->bytes.ptr}};
	arena_init(&s.d.s, SHOW_MEMORY);
	s.d.a = &s.d.s;
	s.d.e = &s.err;
	err_clear(&s.err);
	bool ok = comp__show(&s, c);
	if (ok) {
		put_world(b, &s);
		for (uint32_t i = 0; i < s.packages.len; i++)
			put_package(b, &s, s.packages.ptr[i]);
		if (b->failed)
			err_set(&s.err, ERR_LIMIT, "the component's WIT is larger than %zu MiB", b->max >> 20);
	}
	arena_release(&s.d.s);
	return (ok && !b->failed) || err_set(e, s.err.code, "%s", s.err.text);
}
