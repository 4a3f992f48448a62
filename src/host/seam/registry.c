// The interfaces that this program serves.
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

static struct slice interface_name(const void *list, size_t i)
{
	return slice_str(((struct seam_interface *const *)list)[i]->name);
}

const struct seam_interface *seam_registry_find(const struct seam_registry *r, struct slice name)
{
	size_t i = wit_name_find(name, interface_name, r->interfaces.ptr, r->interfaces.len);
	return i == SIZE_MAX ? NULL : r->interfaces.ptr[i];
}
