// The interfaces that this program serves, and the version rule of imports (design §6).
#include "seam.h"

NODISCARD bool seam_registry_add(struct seam_registry *r, struct seam_interface *const *list, uint32_t n, struct err *e)
{
	for (uint32_t i = 0; i < n; i++) {
		if (r->interfaces.len >= SEAM_MAX_INTERFACES || !VEC_PUSH(NULL, &r->interfaces, list[i], SEAM_MAX_INTERFACES))
			return err_set(e, ERR_LIMIT, "more than %d interfaces are registered", SEAM_MAX_INTERFACES);
		list[i]->index = r->interfaces.len - 1;
	}
	return true;
}

void seam_registry_release(struct seam_registry *r)
{
	VEC_FREE(&r->interfaces);
}

// "ns:pkg/iface" of a name, and its version.
static bool split(struct slice name, struct slice *ret_id, struct wit_version *ret_version)
{
	size_t end = slice_find(name, '@');
	*ret_id = slice_sub(name, 0, end);
	*ret_version = (struct wit_version){0};
	return end == name.len || wit_version_parse(slice_sub(name, end + 1, name.len), true, ret_version);
}

const struct seam_interface *seam_registry_find(const struct seam_registry *r, struct slice name)
{
	struct slice id;
	struct wit_version want;
	if (!split(name, &id, &want))
		return NULL;
	for (uint32_t i = 0; i < r->interfaces.len; i++) {
		const struct seam_interface *f = r->interfaces.ptr[i];
		struct wit_version have = {0};
		if (!slice_eq_str(id, f->id) || (f->version[0] && !wit_version_parse(slice_str(f->version), true, &have)))
			continue;
		if (wit_version_compatible(&have, &want))
			return f;
	}
	return NULL;
}
