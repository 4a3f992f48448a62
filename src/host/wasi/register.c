#include "wasi_int.h"
#include "wasi_provider.h"

void wasi_init(struct wasi *w, const struct wasi_log *log)
{
	*w = (struct wasi){.log = log};
	seam_provider_init(&w->seam, &wasi__provider_ops);
}

bool wasi_register(struct wasi *w, struct seam_registry *r, struct err *e)
{
	struct seam_offer list[ARRAY_LEN(wasi_provider)];
	for (size_t i = 0; i < ARRAY_LEN(wasi_provider); i++)
		list[i] = (struct seam_offer){NULL, wasi_provider[i].interface, wasi_provider[i].ops, &w->seam};
	return seam_registry_add(r, list, ARRAY_LEN(list), e);
}
