// What is offered: interfaces, each with who serves it.
#include "seam_int.h"

enum { MAX_OFFERS = 4096 };

bool seam_registry_add(struct seam_registry *r, const struct seam_offer *list, uint32_t n, struct err *e)
{
	for (uint32_t i = 0; i < n; i++) {
		if (!VEC_PUSH(NULL, &r->offers, list[i], MAX_OFFERS))
			return r->offers.len < MAX_OFFERS ? err_nomem(e) : err_set(e, ERR_LIMIT, "more than %d interfaces are offered", MAX_OFFERS);
		seam__provider_ref(list[i].provider, SEAM_HELD_BY_OFFER);
	}
	return true;
}

void seam_registry_release(struct seam_registry *r)
{
	for (uint32_t i = 0; i < r->offers.len; i++)
		seam_provider_unref(r->offers.ptr[i].provider, SEAM_HELD_BY_OFFER);
	VEC_FREE(&r->offers);
}

static struct slice unlabelled_name(const void *list, size_t i)
{
	const struct seam_offer *o = (const struct seam_offer *)list + i;
	return o->label ? slice_of("", 0) : slice_str(o->interface->name);
}

static struct slice any_name(const void *list, size_t i)
{
	return slice_str(((const struct seam_offer *)list + i)->interface->name);
}

const struct seam_offer *seam_registry_find(const struct seam_registry *r, struct slice name, struct slice implements)
{
	const struct seam_offer *list = r->offers.ptr;
	struct slice meant = implements.len ? implements : name;
	for (uint32_t i = 0; i < r->offers.len; i++)
		if (list[i].label && slice_eq_str(name, list[i].label) && wit_name_find(meant, any_name, &list[i], 1) == 0)
			return &list[i];
	size_t i = wit_name_find(meant, unlabelled_name, list, r->offers.len);
	return i == SIZE_MAX ? NULL : &list[i];
}
