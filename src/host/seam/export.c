// Exports that the host calls by name, whoever calls them: compared as types when a component is loaded, called through witgen's stubs. With what is not
// compared, a guest chooses how the host's own memory is read and written.
#include "seam_int.h"

static const struct comp_extern *find(const struct comp_component *comp, const struct seam_interface *iface)
{
	return comp_find_interface(comp, slice_str(iface->name));
}

bool seam_export_is_there(const struct comp_component *comp, const struct seam_interface *iface)
{
	return find(comp, iface) != NULL;
}

// The interface under another version, for the hint.
static bool not_exported(const struct comp_component *comp, const struct seam_interface *iface, struct err *e)
{
	struct wit_name want, have;
	err_set(e, ERR_LINK, "cannot link: the component does not export %s", iface->name);
	bool is_name = wit_name_parse(slice_str(iface->name), true, &want, NULL);
	for (uint32_t i = 0; is_name && i < comp->nexports; i++) {
		struct slice name = comp->exports[i].name;
		if (!wit_name_parse(name, true, &have, NULL) || have.kind != want.kind || !slice_eq(have.ns, want.ns) || !slice_eq(have.package, want.package) ||
			!slice_eq(have.iface, want.iface))
			continue;
		if (comp->exports[i].kind != COMP_EXTERN_INSTANCE)
			return err_hint(e, "it exports %.*s, but that is no instance", SLICE_ARGS(name));
		return err_hint(e, "it exports %.*s, which is another version: build it against %s", SLICE_ARGS(name), iface->name);
	}
	return err_hint(e, "tenon inspect shows what it exports");
}

static const struct comp_export_func *find_func(const struct comp_component *comp, struct slice interface, const char *name)
{
	for (uint32_t i = 0; i < comp->plan.nexport_funcs; i++) {
		const struct comp_export_func *f = &comp->plan.export_funcs[i];
		if (slice_eq(f->interface, interface) && slice_eq_str(f->name, name))
			return f;
	}
	return NULL;
}

// At most as much of a type as an error has room for.
struct type_text {
	char s[120];
};

static struct type_text type_text(const struct wit_func_type *t)
{
	struct type_text text;
	struct buf b = {.max = 1 << 16};
	wit_print_func_type(&b, t, NULL, 0);
	bool whole = !b.failed && b.len < sizeof text.s;
	snprintf(text.s, sizeof text.s, "%.*s", (int)b.len, b.ptr ? (const char *)b.ptr : "");
	if (!whole)
		memcpy(text.s + sizeof text.s - sizeof "…", "…", sizeof "…");
	buf_release(&b);
	return text;
}

static bool compare(struct seam__linked *l, struct slice interface, const struct seam_func *want, const struct comp_export_func *have, struct err *e)
{
	struct wit_compare c = {.same_resource = seam__same_resource, .ctx = l, .steps = 1000000};
	struct err why = {0};
	if (wit_func_type_equal(&c, want->type, have->type, &why))
		return true;
	struct type_text found = type_text(have->type), expected = type_text(want->type);
	err_set(e, ERR_LINK, "cannot link: the export %.*s#%s is a %s; expected is a %s", SLICE_ARGS(slice_sub(interface, 0, 60)), want->name, found.s, expected.s);
	err_note(e, "%s%s%s", why.text, why.where[0] ? ", in " : "", why.where);
	return err_hint(e, "was the component built against another definition of the interface?");
}

bool seam_export_bind(const struct comp_component *comp, const struct seam_link *l, const struct seam_interface *iface, struct seam_export *ret, struct err *e)
{
	const struct comp_extern *x = find(comp, iface);
	struct seam__linked linked = {l, iface};
	if (!x)
		return not_exported(comp, iface, e);
	for (uint32_t i = 0; i < iface->n_funcs; i++) {
		const struct seam_func *want = &iface->funcs[i];
		const struct wit_func_type *type = seam_func_type(iface, i);
		const struct comp_export_func *have = find_func(comp, x->name, want->name);
		if (!have) {
			err_set(e, ERR_LINK, "cannot link: the export %.*s has no function %s: %s", SLICE_ARGS(slice_sub(x->name, 0, 60)), want->name, type_text(type).s);
			return err_hint(e, "was the component built against another definition of the interface?");
		}
		if (!compare(&linked, x->name, want, have, e))
			return false;
		ret[i] = (struct seam_export){have};
	}
	return true;
}

bool seam_export_call(struct seam_task *t, struct canon_instance *i, const struct seam_export *x, const void *args, void *ret, struct arena *arena,
	struct canon_trap *trap)
{
	return canon_call_export(i, x->func, &t->canon, args, ret, arena, trap);
}

bool seam_export_call_whole(struct seam_task *t, struct canon_instance *i, const struct seam_export *x, const void *args, void *ret, struct arena *arena,
	void (*returned)(struct canon_task *t), struct canon_trap *trap)
{
	return canon_call_export_whole(i, x->func, &t->canon, args, ret, arena, returned, trap);
}
