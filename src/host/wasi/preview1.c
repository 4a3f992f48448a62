// wasi_snapshot_preview1 as far as linking goes: which functions there are, of which types.
#include "wasi.h"

static const struct {
	const char *name, *sig;
} functions[] = {
#define PREVIEW1(name, sig) {#name, sig},
#include "preview1.def"
#undef PREVIEW1
};

static bool types_match(const struct wasm_valtype *have, uint32_t n, const char *want, size_t len)
{
	if (n != len)
		return false;
	for (uint32_t k = 0; k < n; k++)
		if (have[k].kind != (want[k] == 'i' ? WASM_I32 : WASM_I64))
			return false;
	return true;
}

bool wasi_preview1_check(struct slice name, const struct wasm_func_type *type, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
		if (!slice_eq_str(name, functions[i].name))
			continue;
		const char *params = functions[i].sig, *colon = strchr(params, ':');
		if (types_match(type->params, type->nparams, params, (size_t)(colon - params)) &&
			types_match(type->results, type->nresults, colon + 1, strlen(colon + 1)))
			return true;
		return err_set(e, ERR_LINK, "cannot link: wasi_snapshot_preview1.%.*s is imported with another type than it has", SLICE_ARGS(name));
	}
	return err_set(e, ERR_LINK, "cannot link: wasi_snapshot_preview1 has no function %.*s", SLICE_ARGS(name));
}
