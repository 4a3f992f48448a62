// What a component's imports are bound to: rows of a manifest's `links`, the most specific first (contract §2).
#include "comp/comp.h"
#include "link_faces.h"
#include "link_int.h"

// ---- which interface --------------------------------------------------------------------------------------------------------------------------

static struct slice face_name(const void *list, size_t i)
{
	return slice_str(((const struct link_faces_row *)list)[i].interface->name);
}

static const struct link_faces_row *face_of(struct slice name)
{
	size_t i = wit_name_find(name, face_name, link_faces, ARRAY_LEN(link_faces));
	return i == SIZE_MAX ? NULL : &link_faces[i];
}

static bool is_of_variables(const struct link_faces_row *f)
{
	return f->interface == &fermyon_spin_variables_interface || f->interface == &spin3_variables_interface;
}

// What the interface asks of a store: capabilities.
static uint32_t needs_of(const struct comp_component *comp, const struct comp_import *p, const struct link_faces_row *f)
{
	uint32_t needs = 0;
	for (uint32_t i = 0; i < p->n_funcs; i++) {
		struct slice name = comp->plan.host_funcs[p->first_func + i].name;
		if (!comp->plan.host_funcs[p->first_func + i].used)
			continue;
		needs |= slice_eq_str(name, "increment") ? LINK_CAN_INCREMENT : 0;
		needs |= slice_eq_str(name, "swap") || slice_eq_str(name, "[static]cas.new") ? LINK_CAN_CAS : 0;
		needs |= slice_eq_str(name, "[method]bucket.list-keys") || slice_eq_str(name, "[method]store.get-keys") ? LINK_CAN_PAGES : 0;
	}
	return needs;
}

// ---- which row --------------------------------------------------------------------------------------------------------------------------------

enum { FITS_NOT, FITS_PACKAGE, FITS_INTERFACE, FITS_VERSION, FITS_LABEL };

static struct slice only_name(const void *list, size_t i)
{
	return *(const struct slice *)list;
}

// How closely the row names the import: `label` (empty: none) of interface `name`.
static int fit(struct slice row, struct slice label, struct slice name)
{
	size_t at = slice_find(row, '@'), slash = slice_find(name, '/');
	struct slice path = slice_sub(name, 0, slice_find(name, '@'));
	if (label.len && slice_eq(row, label))
		return FITS_LABEL;
	if (at < row.len) {
		return wit_name_find(row, only_name, &name, 1) == 0 || wit_name_find(name, only_name, &row, 1) == 0 ? FITS_VERSION : FITS_NOT;
	}
	if (slice_eq(row, path))
		return FITS_INTERFACE;
	return slice_eq(row, slice_sub(path, 0, slash)) ? FITS_PACKAGE : FITS_NOT;
}

struct offering {
	struct arena *arena;
	const struct comp_component *comp;
	const struct link_row *rows;
	uint32_t n_rows;
	bool *used;  // by row
	struct seam_offer *list;
	uint32_t n;
	struct err *e;
};

// *ret_rule: in words; NULL: none fits.
static const struct link_row *best_row(struct offering *o, struct slice label, struct slice name, const char **ret_rule)
{
	static const char *const rules[] = {NULL, [FITS_PACKAGE] = "ns:pkg", [FITS_INTERFACE] = "ns:pkg/iface", [FITS_VERSION] = "ns:pkg/iface@version",
		[FITS_LABEL] = "label"};
	const struct link_row *best = NULL;
	int how = FITS_NOT;
	for (uint32_t i = 0; i < o->n_rows; i++) {
		int f = fit(o->rows[i].import, label, name);
		o->used[i] |= f != FITS_NOT;
		if (f > how) {
			how = f;
			best = &o->rows[i];
		}
	}
	*ret_rule = rules[how];
	return best;
}

static bool no_link(struct offering *o, struct slice import, struct slice name)
{
	err_set(o->e, ERR_LINK, "cannot link: nothing provides the import %.*s", SLICE_ARGS(import));
	return err_hint(o->e, "a link would: `links = { \"%.*s\" = \"LINK\" }` in the component, and a table [link.LINK] with its type", SLICE_ARGS(name));
}

static bool lacks(struct offering *o, const struct link *l, struct slice import, uint32_t missing)
{
#define TEXT(id, text) [LINK_CAP_BIT_##id] = text,
	static const char *const words[] = {LINK_CAPS(TEXT)};
#undef TEXT
	struct buf b = {.max = 200};
	for (unsigned i = 0; i < ARRAY_LEN(words); i++)
		if (missing & (1u << i))
			buf_printf(&b, "%s%s", b.len ? ", " : "", words[i]);
	err_set(o->e, ERR_LINK, "cannot link: %.*s needs what the link %.*s (%s) can't: %.*s", SLICE_ARGS(import), SLICE_ARGS(l->name), l->store->provider->type,
		SLICE_ARGS(buf_view(&b)));
	buf_release(&b);
	return false;
}

// An import that a face serves.
static bool offer(struct offering *o, const struct comp_import *p, const struct link_faces_row *f, struct slice label, struct slice name, bool deny_rest)
{
	const char *rule;
	const struct link_row *row = best_row(o, label, name, &rule);
	struct seam_provider *by = &link__denied;
	if (!row && !is_of_variables(f) && !deny_rest)
		return no_link(o, p->name, slice_sub(name, 0, slice_find(name, '@')));
	if (row && row->link) {
		uint32_t missing = needs_of(o->comp, p, f) & ~row->link->store->provider->caps;
		if (missing)
			return lacks(o, row->link, p->name, missing);
		row->link->needs |= needs_of(o->comp, p, f);
		by = &row->link->seam;
	}
	struct slice text = {0};
	if (label.len && !slice_dup(o->arena, label, &text))
		return err_nomem(o->e);
	const char *link = by == &link__denied ? NULL : (const char *)row->link->name.ptr;
	o->list[o->n++] = (struct seam_offer){label.len ? (const char *)text.ptr : NULL, f->interface, f->ops, by, link, rule};
	return true;
}

bool link_store_serves(struct slice interface, struct slice link, struct err *e)
{
	if (face_of(interface))
		return true;
	err_set(e, ERR_LINK, "cannot link: the link %.*s is a store, and %.*s is nothing that a store serves", SLICE_ARGS(link), SLICE_ARGS(slice_sub(interface, 0, 100)));
	return err_hint(e, "a store is for wasi:keyvalue and Spin's key-value; component:NAME, or a link of type component, stands behind any interface");
}

// An import of whatever interface, where its row says who else serves it. *ret_taken: it does. An offer by the import's own name goes before any other.
static bool offer_other(struct offering *o, const struct comp_import *p, struct slice label, struct slice name, bool deny_rest, bool *ret_taken)
{
	const char *rule;
	const struct link_row *row = best_row(o, label, name, &rule);
	struct seam_offer *to = &o->list[o->n];
	struct slice text;
	bool needs_one = p->n_funcs || p->n_resources;  // types alone need nobody
	*ret_taken = row && row->offer && needs_one;
	if (!*ret_taken)
		return !row || !row->link || !needs_one || deny_rest || link_store_serves(name, row->link->name, o->e);
	if (!slice_dup(o->arena, p->name, &text))
		return err_nomem(o->e);
	*to = (struct seam_offer){.label = (const char *)text.ptr};
	o->n++;
	if (!row->offer(row->ctx, name, to, o->e))
		return false;
	to->link = row->name;
	to->rule = rule;
	return true;
}

bool link_offers(struct arena *a, const struct comp_component *comp, const struct link_row *rows, uint32_t n, bool deny_rest, struct seam_offer **ret,
	uint32_t *ret_n, struct err *e)
{
	const struct comp_plan *plan = &comp->plan;
	struct offering o = {.arena = a, .comp = comp, .rows = rows, .n_rows = n, .e = e};
	o.used = ARENA_ARRAY(a, bool, n + 1);
	o.list = ARENA_ARRAY(a, struct seam_offer, plan->nimports + 1);
	if (!o.used || !o.list)
		return err_nomem(e);
	for (uint32_t i = 0; i < plan->nimports; i++) {
		const struct comp_import *p = &plan->imports[i];
		struct slice implements = i < comp->nimports ? comp->imports[i].implements : slice_of("", 0);
		struct slice name = implements.len ? implements : p->name;
		struct slice label = implements.len ? p->name : slice_of("", 0);
		bool taken = false;
		if (p->kind == COMP_EXTERN_INSTANCE && !offer_other(&o, p, label, name, deny_rest, &taken))
			return false;
		const struct link_faces_row *f = p->kind == COMP_EXTERN_INSTANCE && !taken ? face_of(name) : NULL;
		if (f && !offer(&o, p, f, label, name, deny_rest))
			return false;
		bool denied = !f && !taken && deny_rest && p->kind == COMP_EXTERN_INSTANCE && i < comp->nimports && link__is_denied(name);
		if (denied && (p->n_funcs || p->n_resources) && !link__offer_denial(a, comp, i, &o.list[o.n++], e))
			return false;
	}
	for (uint32_t i = 0; i < n && !deny_rest; i++)
		if (!o.used[i])
			return err_set(e, ERR_LINK, "cannot link: the component imports nothing that '%.*s' is for", SLICE_ARGS(rows[i].import));
	*ret = o.list;
	*ret_n = o.n;
	return true;
}
