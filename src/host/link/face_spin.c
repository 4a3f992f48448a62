// fermyon:spin/key-value@2.0.0 and variables@2.0.0.
#include "face.h"

static const struct link__bucket *bucket_of(struct seam_call *c, uint32_t rep)
{
	return seam_resource_get(c, &fermyon_spin_key_value_store_resource, rep);
}

static struct fermyon_spin_key_value_error error_of(const struct link__answer *a)
{
	struct fermyon_spin_key_value_error e = {.tag = a->fault == LINK__NO_STORE ? FERMYON_SPIN_KEY_VALUE_ERROR_NO_SUCH_STORE
			: a->fault == LINK__DENIED                                         ? FERMYON_SPIN_KEY_VALUE_ERROR_ACCESS_DENIED
																			   : FERMYON_SPIN_KEY_VALUE_ERROR_OTHER};
	e.other = a->text;
	return e;
}

#define FAULT(ret, answer)                 \
	do {                                   \
		if ((answer)->fault) {             \
			(ret)->is_err = true;          \
			(ret)->err = error_of(answer); \
		}                                  \
	} while (0)

// ---- key-value ------------------------------------------------------------------------------------------------------------------------------

enum seam_result fermyon_spin_key_value_store_open(struct seam_call *c, const struct fermyon_spin_key_value_store_open_args *args,
	struct wasi_result_own_fermyon_spin_key_value_store_fermyon_spin_key_value_error *ret)
{
	struct link__answer answer = {0};
	enum seam_result r = link__face_open(c, args->label, &fermyon_spin_key_value_store_class, &ret->ok, &answer);
	if (answer.fault == LINK__NO_STORE)
		answer.fault = LINK__DENIED;  // a label that the manifest doesn't give the component, as Spin has it
	FAULT(ret, &answer);
	return r;
}

void fermyon_spin_key_value_store_drop(struct canon_instance *i, void *object)
{
	link__bucket_free(object);
}

enum seam_result fermyon_spin_key_value_store_get(struct seam_call *c, const struct fermyon_spin_key_value_store_get_args *args,
	struct wasi_result_option_list_u8_fermyon_spin_key_value_error *ret)
{
	struct link__answer answer = {0};
	enum seam_result r = link__face_get(c, bucket_of(c, args->self), args->key, &ret->ok, &answer);
	FAULT(ret, &answer);
	return r;
}

enum seam_result fermyon_spin_key_value_store_set(struct seam_call *c, const struct fermyon_spin_key_value_store_set_args *args,
	struct wasi_result_void_fermyon_spin_key_value_error *ret)
{
	struct link__answer answer = {0};
	enum seam_result r = link__face_set(c, bucket_of(c, args->self), args->key, args->value, &answer);
	FAULT(ret, &answer);
	return r;
}

enum seam_result fermyon_spin_key_value_store_delete(struct seam_call *c, const struct fermyon_spin_key_value_store_delete_args *args,
	struct wasi_result_void_fermyon_spin_key_value_error *ret)
{
	struct link__answer answer = {0};
	enum seam_result r = link__face_delete(c, bucket_of(c, args->self), args->key, &answer);
	FAULT(ret, &answer);
	return r;
}

enum seam_result fermyon_spin_key_value_store_exists(struct seam_call *c, const struct fermyon_spin_key_value_store_exists_args *args,
	struct wasi_result_bool_fermyon_spin_key_value_error *ret)
{
	struct link__answer answer = {0};
	enum seam_result r = link__face_exists(c, bucket_of(c, args->self), args->key, &ret->ok, &answer);
	FAULT(ret, &answer);
	return r;
}

enum seam_result fermyon_spin_key_value_store_get_keys(struct seam_call *c, const struct fermyon_spin_key_value_store_get_keys_args *args,
	struct wasi_result_list_string_fermyon_spin_key_value_error *ret)
{
	struct link__answer answer = {0};
	enum seam_result r = link__face_keys(c, bucket_of(c, args->self), &ret->ok, &answer);
	FAULT(ret, &answer);
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

enum seam_result fermyon_spin_variables_get(struct seam_call *c, const struct fermyon_spin_variables_get_args *args,
	struct wasi_result_string_fermyon_spin_variables_error *ret)
{
	struct wit_string text;
	bool is_name;
	enum seam_result r = link__face_variable(c, args->name, &text, &is_name, &ret->is_err);
	if (!ret->is_err) {
		ret->ok = text;
		return r;
	}
	ret->err.tag = is_name ? FERMYON_SPIN_VARIABLES_ERROR_UNDEFINED : FERMYON_SPIN_VARIABLES_ERROR_INVALID_NAME;
	ret->err.undefined = text;
	return r;
}
