// wasi:config: the settings of the deployment, the same for all of its instances.
#include "wasi_int.h"
#include "wasi_provider.h"

static struct wit_string view(struct slice s)
{
	return (struct wit_string){s.ptr, s.len};
}

enum seam_result wasi_config_store_get(struct seam_call *c, const struct wasi_config_store_get_args *args,
	struct wasi_result_option_string_config_store_error *ret)
{
	const struct seam_grants *g = c->instance->grants;
	for (uint32_t k = 0; k < g->n_settings && !ret->ok.is_some; k++) {
		ret->ok.is_some = slice_eq(g->settings[k].name, seam_slice(args->key));
		ret->ok.some = view(g->settings[k].value);
	}
	return seam_work(c, (uint64_t)g->n_settings * VM_WORK_ITEM);
}

enum seam_result wasi_config_store_get_all(struct seam_call *c, struct wasi_result_list_tuple2_string_string_config_store_error *ret)
{
	const struct seam_grants *g = c->instance->grants;
	struct wasi_tuple2_string_string *list = SEAM_ARRAY(c, struct wasi_tuple2_string_string, g->n_settings);
	if (!list)
		return SEAM_TRAP;
	for (uint32_t k = 0; k < g->n_settings; k++)
		list[k] = (struct wasi_tuple2_string_string){view(g->settings[k].name), view(g->settings[k].value)};
	ret->ok = (struct wit_list){list, g->n_settings};
	return SEAM_OK;
}
