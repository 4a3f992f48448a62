// Worlds in custom sections of a core module, read and merged (world.h).
#include "world.h"

#include <stdio.h>

enum { MAX_ENTRIES = 10000 };           // each takes 4 KiB of memory
enum { FORMAT = 4, OLD_FORMAT = 3 };  // of the section `wit-component-encoding`, and of sections that are no components

// ---- names -------------------------------------------------------------------------------------------------------------------------------

static int canonical_version(const struct wit_version *v, char *to, size_t size)
{
	if (v->major)
		return snprintf(to, size, "%llu", (unsigned long long)v->major);
	return v->minor ? snprintf(to, size, "0.%llu", (unsigned long long)v->minor) : snprintf(to, size, "0.0.%llu", (unsigned long long)v->patch);
}

bool comp__world_key(struct dec *d, struct slice name, struct slice *ret)
{
	struct wit_name n;
	*ret = name;
	if (!wit_name_parse(name, false, &n, NULL) || n.kind != WIT_NAME_INTERFACE || !n.version.present)
		return true;
	const struct wit_version *v = &n.version;
	if (v->pre.len) {  // all of it but for the build
		*ret = slice_sub(name, 0, name.len - (v->build.len ? v->build.len + 1 : 0));
		return true;
	}
	char text[80];
	int len = canonical_version(v, text, sizeof text);
	size_t path = name.len - v->text.len;
	uint8_t *key = arena_alloc(&d->s, path + (size_t)len, 1);
	if (!key)
		return comp__full(d);
	memcpy(key, name.ptr, path);
	memcpy(key + path, text, (size_t)len);
	*ret = slice_of(key, path + (size_t)len);
	return true;
}

// Both are names of interfaces with compatible versions, or equal.
static bool is_newer(struct slice a, struct slice than)
{
	struct wit_name x, y;
	if (!wit_name_parse(a, false, &x, NULL) || !wit_name_parse(than, false, &y, NULL) || !x.version.present || !y.version.present)
		return false;
	const struct wit_version *v = &x.version, *w = &y.version;
	if (v->major != w->major)
		return v->major > w->major;
	return v->minor != w->minor ? v->minor > w->minor : v->patch > w->patch;
}

static struct world_entry *find(const struct world_entries *list, struct slice key)
{
	uintptr_t i;
	return list->by_key.len && map_get(&list->by_key, key, &i) ? list->list.ptr[i] : NULL;
}

struct world_entry *comp__world_import(struct world *w, struct slice name)
{
	struct slice key;
	return comp__world_key(w->d, name, &key) ? find(&w->imports, key) : NULL;
}

struct world_entry *comp__world_export(struct world *w, struct slice name, bool is_canonical)
{
	struct slice key;
	if (!is_canonical)
		return find(&w->exports, name);
	for (uint32_t i = 0; i < w->exports.list.len; i++) {
		struct world_entry *e = w->exports.list.ptr[i];
		if (!comp__steps(w->d, 1 + e->item.name.len / 64) || !comp__world_key(w->d, e->item.name, &key))
			return NULL;
		if (slice_eq(key, name))
			return e;
	}
	return NULL;
}

const struct item *comp__world_item(struct world *w, struct world_entry *e, struct slice name, struct world_part **ret)
{
	const struct item *x = comp__items_find(w->d, &e->inst->exports, name);
	if (x)
		*ret = &e->parts.ptr[x - e->inst->exports.ptr];
	return x;
}

// ---- merging -----------------------------------------------------------------------------------------------------------------------------

struct merge {
	struct world *w;
	struct subst s;     // from the section's world
	bool is_import;
	uint8_t encoding;
};

static bool add_part(struct merge *m, struct world_entry *e)
{
	struct world_part part = {.encoding = m->encoding, .index = COMP_NONE};
	return PUSH(m->w->d, &e->parts, part);
}

static bool add_item(struct merge *m, struct world_entry *e, const struct item *x)
{
	struct dec *d = m->w->d;
	struct item it = *x;
	if (x->e.kind != COMP_EXTERN_FUNC && x->e.kind != COMP_EXTERN_TYPE)
		return FAIL(d, INVALID, "`%.*s` of `%.*s` is a %s: an interface has functions and types", SLICE_ARGS(x->name), SLICE_ARGS(e->item.name),
			comp__entity_name(&x->e));
	uint64_t size = e->inst->size + (uint64_t)comp__entity_size(&x->e);
	if (size > WIT_MAX_EFFECTIVE_SIZE)
		return FAIL(d, LIMIT, "effective type size exceeds the limit of %u", WIT_MAX_EFFECTIVE_SIZE);
	e->inst->size = (uint32_t)size;
	return comp__subst_entity(&m->s, &x->e, &it.e) && comp__items_add(d, &e->inst->exports, &it) && add_part(m, e);
}

static bool same_encoding(struct merge *m, const struct world_part *have, const struct item *x)
{
	static const char *const names[] = {"utf8", "utf16", "latin1+utf16"};
	return x->e.kind != COMP_EXTERN_FUNC || have->encoding == m->encoding ||
		FAIL(m->w->d, INVALID, "`%.*s` has strings in %s here, in %s in another section", SLICE_ARGS(x->name), names[m->encoding], names[have->encoding]);
}

// What is there already must be the same; the rest is added.
static bool merge_instance(struct merge *m, struct world_entry *e, const struct itype *from)
{
	for (uint32_t i = 0; i < from->exports.len; i++) {
		const struct item *x = &from->exports.ptr[i];
		struct world_part *part;
		const struct item *have = comp__world_item(m->w, e, x->name, &part);
		if (!have ? !add_item(m, e, x) : !same_encoding(m, part, x) || !comp__match_bound(m->w->d, &m->s, m->is_import, &have->e, &x->e))
			return err_note(m->w->d->e, "`%.*s`", SLICE_ARGS(x->name));
	}
	return true;
}

static bool merge_into(struct merge *m, struct world_entry *e, const struct item *x)
{
	if (e->item.e.kind != x->e.kind)
		return FAIL(m->w->d, INVALID, "`%.*s` is a %s here, a %s in another section", SLICE_ARGS(x->name), comp__entity_name(&x->e),
			comp__entity_name(&e->item.e));
	if (is_newer(x->name, e->item.name))
		e->item.name = x->name;
	if (e->inst)
		return merge_instance(m, e, x->e.ty.inst);
	return same_encoding(m, &e->parts.ptr[0], x) && comp__match_bound(m->w->d, &m->s, m->is_import, &e->item.e, &x->e);
}

static bool add_entry(struct merge *m, struct world_entries *list, struct slice key, const struct item *x)
{
	struct dec *d = m->w->d;
	struct world_entry *e = NEW(d, struct world_entry);
	bool nomem = false;
	if (!e)
		return comp__full(d);
	if (list->list.len >= MAX_ENTRIES)
		return FAIL(d, LIMIT, "the worlds of the module have more than %d %s", MAX_ENTRIES, m->is_import ? "imports" : "exports");
	*e = (struct world_entry){.item = *x, .offset = comp__offset(d), .index = COMP_NONE};
	if (!map_insert(&list->by_key, key, list->list.len, &nomem) || !PUSH(d, &list->list, e))
		return comp__full(d);
	if (x->e.kind == COMP_EXTERN_INSTANCE) {
		e->inst = NEW(d, struct itype);
		if (!e->inst)
			return comp__full(d);
		*e->inst = (struct itype){.size = 1, .depth = x->e.ty.inst->depth};
		e->item.e.ty.inst = e->inst;
		uint32_t n = x->e.ty.inst->exports.len;
		return RESERVE(d, &e->inst->exports, n) && RESERVE(d, &e->parts, n) && merge_instance(m, e, x->e.ty.inst);
	}
	if (x->e.kind != COMP_EXTERN_FUNC && x->e.kind != COMP_EXTERN_TYPE)
		return FAIL(d, INVALID, "a world has functions, interfaces and types, not a %s", comp__entity_name(&x->e));
	return comp__subst_entity(&m->s, &x->e, &e->item.e) && add_part(m, e);
}

static bool merge_items(struct merge *m, bool is_import, const struct items *items)
{
	struct world_entries *list = is_import ? &m->w->imports : &m->w->exports;
	m->is_import = m->s.is_import = is_import;
	for (uint32_t i = 0; i < items->len; i++) {
		const struct item *x = &items->ptr[i];
		struct slice key = x->name;
		if (is_import && !comp__world_key(m->w->d, x->name, &key))
			return false;
		struct world_entry *e = find(list, key);
		if (e ? !merge_into(m, e, x) : !add_entry(m, list, key, x))
			return err_note(m->w->d->e, "%s `%.*s`", is_import ? "import" : "export", SLICE_ARGS(x->name));
	}
	return true;
}

static bool merge(struct world *w, const struct ctype *world, uint8_t encoding)
{
	struct dec *d = w->d;
	struct merge m = {.w = w, .encoding = encoding, .s = {.d = d, .from = world->binder, .into = w->binder}};
	m.s.targets = ARENA_ARRAY(&d->s, const struct res *, world->binder->n);
	if (!m.s.targets)
		return comp__full(d);
	if (!w->imports.by_key.arena) {
		map_init(&w->imports.by_key, &d->s);
		map_init(&w->exports.by_key, &d->s);
	}
	return comp__steps(d, world->binder->n) && merge_items(&m, true, &world->imports) && merge_items(&m, false, &world->exports);
}

// ---- a section ---------------------------------------------------------------------------------------------------------------------------

static const struct item *only_export(const struct items *exports, unsigned kind)
{
	return exports->len == 1 && exports->ptr[0].e.kind == kind && exports->ptr[0].e.ty.kind == TY_COMPONENT ? &exports->ptr[0] : NULL;
}

static bool read_encoding(struct dec *d, struct slice text, uint8_t *ret)
{
	if (!text.ptr)
		return FAIL(d, INVALID, "there is no section `wit-component-encoding` in it");
	if (text.len != 2 || text.ptr[0] != FORMAT)
		return FAIL(d, UNSUPPORTED, "its format is %d, not %d", text.len ? text.ptr[0] : 0, FORMAT) || err_hint(d->e, "build the module again with current tools");
	if (text.ptr[1] > COMP_LATIN1_UTF16)
		return FAIL(d, INVALID, "there is no string encoding 0x%x", text.ptr[1]);
	*ret = text.ptr[1];
	return true;
}

// The window is a section's contents.
static bool read_world(struct dec *d, const struct ctype **ret, uint8_t *ret_encoding)
{
	struct def *def;
	uint32_t modules = d->modules.len;
	if (d->p < d->end && *d->p == OLD_FORMAT)
		return FAIL(d, UNSUPPORTED, "its format is %d, not %d", OLD_FORMAT, FORMAT) || err_hint(d->e, "build the module again with current tools");
	d->encoding = slice_of(NULL, 0);
	if (!comp__component(d, NULL, &def) || !read_encoding(d, d->encoding, ret_encoding))
		return false;
	const struct item *package = only_export(&def->type.exports, COMP_EXTERN_TYPE);
	const struct item *world = package ? only_export(&package->e.ty.comp->exports, COMP_EXTERN_COMPONENT) : NULL;
	if (!world || package->e.ty.comp->imports.len || def->type.imports.len || d->modules.len != modules)
		return FAIL(d, INVALID, "it is no world: a component that exports nothing but the type of one");
	*ret = world->e.ty.comp;
	return true;
}

bool comp__world_add(struct world *w, struct slice section)
{
	const struct ctype *world;
	const uint8_t *start = w->d->p;
	uint8_t encoding;
	w->section = section;
	w->d->steps += (uint64_t)(w->d->end - start);
	bool ok = read_world(w->d, &world, &encoding);
	if (ok)
		w->d->p = start;
	return (ok && merge(w, world, encoding)) || err_note(w->d->e, "section `%.*s`", SLICE_ARGS(section));
}
