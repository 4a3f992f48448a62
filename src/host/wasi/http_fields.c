// wasi:http/types.fields as host functions.
#include "wasi_int.h"
#include "wasi_provider.h"

bool wasi_http_types_fields_remake(struct canon_instance *i, const void *object, void **ret)
{
	*ret = wasi__fields_remake(object, i);
	return *ret != NULL;
}

void wasi_http_types_fields_drop(struct canon_instance *i, void *object)
{
	wasi__fields_unref(object);
}

enum canon_move wasi_http_types_fields_move(struct canon_instance *to, void **object, struct canon_carrier *by)
{
	return wasi__fields_object_move(to, object);
}

static struct wasi_fields *fields(struct seam_call *c, uint32_t rep)
{
	return seam_resource_get(c, &wasi_http_types_fields_resource, rep);
}

static enum seam_result new_handle(struct seam_call *c, struct wasi_fields *f, uint32_t *ret)
{
	if (!f)
		return seam_no_memory(c);
	if (seam_resource_new(c, &wasi_http_types_fields_class, f, ret))
		return SEAM_OK;
	wasi__fields_unref(f);
	return SEAM_TRAP;
}

// The header error of `how`. Too many or too long ones have no case of their own in 0.2.
static enum seam_result answer(struct seam_call *c, enum wasi_fields_error how, bool *is_err, struct wasi_http_types_header_error *err)
{
	static const uint8_t tags[] = {
		[WASI_FIELDS_SYNTAX] = WASI_HTTP_TYPES_HEADER_ERROR_INVALID_SYNTAX,
		[WASI_FIELDS_FORBIDDEN] = WASI_HTTP_TYPES_HEADER_ERROR_FORBIDDEN,
		[WASI_FIELDS_IMMUTABLE] = WASI_HTTP_TYPES_HEADER_ERROR_IMMUTABLE,
		[WASI_FIELDS_SIZE] = WASI_HTTP_TYPES_HEADER_ERROR_FORBIDDEN,
	};
	if (how == WASI_FIELDS_NOMEM)
		return seam_no_memory(c);
	*is_err = how != WASI_FIELDS_OK;
	if (*is_err)
		err->tag = tags[how];
	return SEAM_OK;
}

enum seam_result wasi_http_types_fields_new(struct seam_call *c, uint32_t *ret)
{
	return new_handle(c, wasi__fields_new(c->canon), ret);
}

enum seam_result wasi_http_types_fields_from_list(struct seam_call *c, const struct wasi_http_types_fields_from_list_args *args,
	struct wasi_result_own_http_types_fields_http_types_header_error *ret)
{
	const struct wasi_tuple2_string_list_u8 *list = args->entries.ptr;
	struct wasi_fields *f = wasi__fields_new(c->canon);
	enum wasi_fields_error how = f ? WASI_FIELDS_OK : WASI_FIELDS_NOMEM;
	for (size_t k = 0; how == WASI_FIELDS_OK && k < args->entries.len; k++)
		how = wasi__fields_append(f, seam_slice(list[k].f0), seam_list_bytes(list[k].f1));
	if (how == WASI_FIELDS_OK)
		return new_handle(c, f, &ret->ok);
	wasi__fields_unref(f);
	return answer(c, how, &ret->is_err, &ret->err);
}

enum seam_result wasi_http_types_fields_get(struct seam_call *c, const struct wasi_http_types_fields_get_args *args, struct wit_list *ret)
{
	const struct wasi_fields *f = fields(c, args->self);
	struct wit_list *list = SEAM_ARRAY(c, struct wit_list, f->n);
	size_t n = 0;
	if (!list)
		return SEAM_TRAP;
	for (uint32_t k = 0; k < f->n; k++)
		if (http_name_eq(f->list[k].name, seam_slice(args->name)))
			list[n++] = (struct wit_list){f->list[k].value.ptr, f->list[k].value.len};
	*ret = (struct wit_list){list, n};
	return SEAM_OK;
}

enum seam_result wasi_http_types_fields_has(struct seam_call *c, const struct wasi_http_types_fields_has_args *args, bool *ret)
{
	const struct wasi_fields *f = fields(c, args->self);
	for (uint32_t k = 0; k < f->n && !*ret; k++)
		*ret = http_name_eq(f->list[k].name, seam_slice(args->name));
	return SEAM_OK;
}

enum seam_result wasi_http_types_fields_set(struct seam_call *c, const struct wasi_http_types_fields_set_args *args,
	struct wasi_result_void_http_types_header_error *ret)
{
	enum wasi_fields_error how = wasi__fields_set(fields(c, args->self), seam_slice(args->name), args->value.ptr, args->value.len);
	return answer(c, how, &ret->is_err, &ret->err);
}

enum seam_result wasi_http_types_fields_delete(struct seam_call *c, const struct wasi_http_types_fields_delete_args *args,
	struct wasi_result_void_http_types_header_error *ret)
{
	return answer(c, wasi__fields_delete(fields(c, args->self), seam_slice(args->name)), &ret->is_err, &ret->err);
}

enum seam_result wasi_http_types_fields_append(struct seam_call *c, const struct wasi_http_types_fields_append_args *args,
	struct wasi_result_void_http_types_header_error *ret)
{
	enum wasi_fields_error how = wasi__fields_append(fields(c, args->self), seam_slice(args->name), seam_list_bytes(args->value));
	return answer(c, how, &ret->is_err, &ret->err);
}

enum seam_result wasi_http_types_fields_entries(struct seam_call *c, const struct wasi_http_types_fields_entries_args *args, struct wit_list *ret)
{
	const struct wasi_fields *f = fields(c, args->self);
	struct wasi_tuple2_string_list_u8 *list = SEAM_ARRAY(c, struct wasi_tuple2_string_list_u8, f->n);
	if (!list)
		return SEAM_TRAP;
	for (uint32_t k = 0; k < f->n; k++) {
		list[k].f0 = (struct wit_string){f->list[k].name.ptr, f->list[k].name.len};
		list[k].f1 = (struct wit_list){f->list[k].value.ptr, f->list[k].value.len};
	}
	*ret = (struct wit_list){list, f->n};
	return SEAM_OK;
}

enum seam_result wasi_http_types_fields_clone(struct seam_call *c, const struct wasi_http_types_fields_clone_args *args, uint32_t *ret)
{
	return new_handle(c, wasi__fields_clone(fields(c, args->self), c->canon), ret);
}
