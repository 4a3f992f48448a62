// Inside of room seam.
#ifndef TENON_SEAM_INT_H
#define TENON_SEAM_INT_H

#include "seam.h"

// What stands behind each import now. Immutable; another one is published by a pointer store (design §8).
struct seam__target {
	const struct seam_interface *interface;
	const struct seam_func *func;
};
struct seam__table {
	uint64_t version;
	struct seam__target *targets;  // by binding
	uint32_t n;
};
struct seam__binding {
	struct seam_link *link;
	uint32_t index;
};
struct seam_link {
	struct arena arena;
	const struct seam__table *table;  // atomic
	const struct seam_resource **resources;  // by host_index: ours that the import stands for
	struct canon_host host;
};
// Is `found` a resource that the component imports, and `expected` ours behind it? (For struct wit_compare; ctx: the link.)
bool seam__same_resource(void *ctx, const struct wit_resource *expected, const struct wit_resource *found);

enum trap seam__dispatch(struct canon_call *canon, const void *args, void *ret);

#endif
