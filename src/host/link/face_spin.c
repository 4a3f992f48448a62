// fermyon:spin/key-value@2.0.0 and variables@2.0.0.
#include "face.h"

LINK__FACE_ERROR(fermyon_spin_key_value, FERMYON_SPIN_KEY_VALUE_ERROR)
LINK__FACE_BUCKET(fermyon_spin_key_value, fermyon_spin_key_value_store, fermyon_spin_key_value_error)

// ---- key-value ------------------------------------------------------------------------------------------------------------------------------

enum seam_result fermyon_spin_key_value_store_open(struct seam_call *c, const struct fermyon_spin_key_value_store_open_args *args,
	struct wasi_result_own_fermyon_spin_key_value_store_fermyon_spin_key_value_error *ret)
{
	struct link__answer answer = {0};
	enum seam_result r = link__face_open(c, args->label, &fermyon_spin_key_value_store_class, &ret->ok, &answer);
	if (answer.fault == LINK__NO_STORE)
		answer.fault = LINK__DENIED;  // a label that the manifest doesn't give the component, as Spin has it
	LINK__FAULT(fermyon_spin_key_value, ret, &answer);
	return r;
}

enum seam_result fermyon_spin_key_value_store_get_keys(struct seam_call *c, const struct fermyon_spin_key_value_store_get_keys_args *args,
	struct wasi_result_list_string_fermyon_spin_key_value_error *ret)
{
	struct link__answer answer = {0};
	enum seam_result r = link__face_keys(c, link__bucket_fermyon_spin_key_value(c, args->self), &ret->ok, &answer);
	LINK__FAULT(fermyon_spin_key_value, ret, &answer);
	return r;
}

// ---- variables: the settings that wasi:config has too -----------------------------------------------------------------------------------------

static bool is_variable_name(struct slice s)
{
	bool ok = s.len > 0 && s.ptr[0] >= 'a' && s.ptr[0] <= 'z';
	for (size_t i = 0; ok && i < s.len; i++)
		ok = (s.ptr[i] >= 'a' && s.ptr[i] <= 'z') || (s.ptr[i] >= '0' && s.ptr[i] <= '9') || s.ptr[i] == '_';
	return ok;
}

enum { NAME_MAX = 1024 };

enum seam_result link__face_variable(struct seam_call *c, struct wit_string of, struct wit_string *ret, bool *ret_is_name, bool *ret_is_missing)
{
	const struct seam_grants *g = c->instance->grants;
	struct slice name = seam_slice(of);
	bool ok = name.len <= NAME_MAX && is_variable_name(name);
	for (uint32_t k = 0; ok && k < g->n_settings; k++)
		if (slice_eq(g->settings[k].name, name)) {
			*ret = (struct wit_string){g->settings[k].value.ptr, g->settings[k].value.len};
			*ret_is_name = true;
			*ret_is_missing = false;
			return seam_work(c, (uint64_t)g->n_settings * VM_WORK_ITEM);
		}
	char text[160];
	snprintf(text, sizeof text, ok ? "no variable '%.*s' is given to this component" : "'%.*s' is no name of a variable: [a-z][a-z0-9_]*",
		(int)min_u64(name.len, 64), (const char *)name.ptr);
	*ret_is_name = ok;
	*ret_is_missing = true;
	return seam_string(c, slice_of(text, utf8_valid_prefix(slice_str(text))), ret) ? SEAM_OK : SEAM_TRAP;
}

LINK__FACE_VARIABLES(fermyon_spin_variables, FERMYON_SPIN_VARIABLES_ERROR)
