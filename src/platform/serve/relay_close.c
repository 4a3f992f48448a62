// What a value owns and nobody will have is closed: objects, streams and futures, in the instance where it lies.
#include "relay.h"

static bool close_outer(void *ctx, const struct wit_type *t, uint32_t *number)
{
	struct canon_instance *i = ctx;
	if (serve__relay_is_stream(t))
		canon_end_drop_number(i, *number);
	else if (t->kind == WIT_OWN)
		canon_host_resource_drop(i, *number);
	return true;
}

void serve__relay_close_outer(struct canon_instance *i, const struct wit_type *type, void *value)
{
	(void)seam_value_handles(type, value, close_outer, i);
}

static bool give_up(void *ctx, const struct wit_type *t, uint32_t *rep)
{
	struct relay_guest *g = ctx;
	if (serve__relay_is_stream(t)) {
		canon_end_drop_number(g->slot->canon, *rep);
		return true;
	}
	if (t->kind != WIT_OWN)
		return true;
	if (serve__relay_is_imported(t)) {
		canon_host_resource_drop(g->slot->canon, *rep);
		return true;
	}
	struct relay_handle *h = serve__relay_handle_new(g, t, *rep);
	if (h)
		serve__relay_drop(h);
	return h;
}

bool serve__relay_give_up(struct relay_guest *g, const struct wit_type *type, void *value)
{
	return !type || seam_value_handles(type, value, give_up, g);
}
