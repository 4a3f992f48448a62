// wasi:keyvalue@0.2.0-draft2.
#include "face.h"

LINK__FACE_ERROR(wasi_keyvalue_store, WASI_KEYVALUE_STORE_ERROR)
LINK__FACE_BUCKET(wasi_keyvalue_store, wasi_keyvalue_store_bucket, keyvalue_store_error)

// ---- store ----------------------------------------------------------------------------------------------------------------------------------

enum seam_result wasi_keyvalue_store_open(struct seam_call *c, const struct wasi_keyvalue_store_open_args *args,
	struct wasi_result_own_keyvalue_store_bucket_keyvalue_store_error *ret)
{
	struct link__answer answer = {0};
	enum seam_result r = link__face_open(c, args->identifier, &wasi_keyvalue_store_bucket_class, &ret->ok, &answer);
	LINK__FAULT(wasi_keyvalue_store, ret, &answer);
	return r;
}

// "EPOCH.CURSOR", both decimal. false: it is none.
static bool parse_cursor(struct slice text, uint64_t *ret_epoch, uint64_t *ret_cursor)
{
	size_t dot = slice_find(text, '.');
	return slice_parse_u64(slice_sub(text, 0, dot), UINT64_MAX, ret_epoch) && slice_parse_u64(slice_sub(text, dot + 1, SIZE_MAX), UINT64_MAX, ret_cursor);
}

enum seam_result wasi_keyvalue_store_bucket_list_keys(struct seam_call *c, const struct wasi_keyvalue_store_bucket_list_keys_args *args,
	struct wasi_result_keyvalue_store_key_response_keyvalue_store_error *ret)
{
	const struct link__bucket *b = link__bucket_wasi_keyvalue_store(c, args->self);
	struct link__answer answer = {0};
	uint64_t told = link__epoch_told(b->shard), epoch = told, cursor = 0, next = 0;
	if (args->cursor.is_some && (!parse_cursor(seam_slice(args->cursor.some), &epoch, &cursor) || epoch != told || !cursor)) {
		ret->is_err = true;
		ret->err.tag = WASI_KEYVALUE_STORE_ERROR_OTHER;
		return seam_string(c, SLICE_LIT("cursor expired"), &ret->err.other) ? SEAM_OK : SEAM_TRAP;
	}
	enum seam_result r = link__face_page(c, b, b->shard->epoch, cursor, &ret->ok.keys, &next, &answer);
	LINK__FAULT(wasi_keyvalue_store, ret, &answer);
	if (r != SEAM_OK || answer.fault || !next)
		return r;
	char text[64];
	int n = snprintf(text, sizeof text, "%llu.%llu", (unsigned long long)told, (unsigned long long)next);
	ret->ok.cursor.is_some = true;
	return seam_string(c, slice_of(text, (size_t)n), &ret->ok.cursor.some) ? SEAM_OK : SEAM_TRAP;
}

// ---- atomics --------------------------------------------------------------------------------------------------------------------------------

enum seam_result wasi_keyvalue_atomics_increment(struct seam_call *c, const struct wasi_keyvalue_atomics_increment_args *args,
	struct wasi_result_s64_keyvalue_store_error *ret)
{
	struct link__answer answer = {0};
	enum seam_result r = link__face_increment(c, link__bucket_wasi_keyvalue_store(c, args->bucket), args->key, args->delta, &ret->ok, &answer);
	LINK__FAULT(wasi_keyvalue_store, ret, &answer);
	return r;
}

enum seam_result wasi_keyvalue_atomics_cas_new(struct seam_call *c, const struct wasi_keyvalue_atomics_cas_new_args *args,
	struct wasi_result_own_keyvalue_atomics_cas_keyvalue_store_error *ret)
{
	struct link__answer answer = {0};
	const struct link__bucket *b = link__bucket_wasi_keyvalue_store(c, args->bucket);
	enum seam_result r = link__face_cas_new(c, b, seam_slice(args->key), &wasi_keyvalue_atomics_cas_class, &ret->ok, &answer);
	LINK__FAULT(wasi_keyvalue_store, ret, &answer);
	return r;
}

void wasi_keyvalue_atomics_cas_drop(struct canon_instance *i, void *object)
{
	link__cas_free(object);
}

enum seam_result wasi_keyvalue_atomics_cas_current(struct seam_call *c, const struct wasi_keyvalue_atomics_cas_current_args *args,
	struct wasi_result_option_list_u8_keyvalue_store_error *ret)
{
	struct link__answer answer = {0};
	struct link__cas *cas = seam_resource_get(c, &wasi_keyvalue_atomics_cas_resource, args->self);
	enum seam_result r = link__face_cas_current(c, cas, &ret->ok, &answer);
	LINK__FAULT(wasi_keyvalue_store, ret, &answer);
	return r;
}

// The cas is spent, however it ends; one that was too late gives another, at the version that is there then.
enum seam_result wasi_keyvalue_atomics_swap(struct seam_call *c, const struct wasi_keyvalue_atomics_swap_args *args,
	struct wasi_result_void_keyvalue_atomics_cas_error *ret)
{
	struct link__answer answer = {0};
	struct link__cas *cas = seam_resource_take(c, &wasi_keyvalue_atomics_cas_resource, args->cas);
	bool is_stale = false;
	enum seam_result r = link__face_swap(c, cas, args->value, &is_stale, &answer);
	if (r == SEAM_OK && is_stale) {
		ret->err.tag = WASI_KEYVALUE_ATOMICS_CAS_ERROR_CAS_FAILED;
		r = link__face_cas_new(c, &cas->bucket, cas->key, &wasi_keyvalue_atomics_cas_class, &ret->err.cas_failed, &answer);
	}
	ret->is_err = is_stale || answer.fault;
	if (answer.fault) {
		ret->err.tag = WASI_KEYVALUE_ATOMICS_CAS_ERROR_STORE_ERROR;
		ret->err.store_error = link__error_wasi_keyvalue_store(&answer);
	}
	link__cas_free(cas);
	return r;
}

// ---- batch ----------------------------------------------------------------------------------------------------------------------------------

enum seam_result wasi_keyvalue_batch_get_many(struct seam_call *c, const struct wasi_keyvalue_batch_get_many_args *args,
	struct wasi_result_list_tuple2_string_option_list_u8_keyvalue_store_error *ret)
{
	struct link__answer answer = {0};
	uint32_t n = (uint32_t)args->keys.len;
	struct wasi_tuple2_string_option_list_u8 *list = SEAM_ARRAY(c, struct wasi_tuple2_string_option_list_u8, n);
	struct wasi_option_list_u8 *found = list ? SEAM_ARRAY(c, struct wasi_option_list_u8, n) : NULL;
	if (!found)
		return SEAM_TRAP;
	struct link__many m = {.kind = LINK_GET, .n = n, .key = link__key_at, .list = args->keys.ptr, .found = found};
	enum seam_result r = link__face_many(c, link__bucket_wasi_keyvalue_store(c, args->bucket), &m, &answer);
	for (uint32_t i = 0; i < n; i++)
		list[i] = (struct wasi_tuple2_string_option_list_u8){link__key_at(args->keys.ptr, i), found[i]};
	ret->ok = (struct wit_list){list, n};
	LINK__FAULT(wasi_keyvalue_store, ret, &answer);
	return r;
}

enum seam_result wasi_keyvalue_batch_set_many(struct seam_call *c, const struct wasi_keyvalue_batch_set_many_args *args,
	struct wasi_result_void_keyvalue_store_error *ret)
{
	struct link__answer answer = {0};
	struct link__many m = {.kind = LINK_SET, .n = (uint32_t)args->key_values.len, .key = link__pair_key, .value = link__pair_value, .list = args->key_values.ptr};
	enum seam_result r = link__face_many(c, link__bucket_wasi_keyvalue_store(c, args->bucket), &m, &answer);
	LINK__FAULT(wasi_keyvalue_store, ret, &answer);
	return r;
}

enum seam_result wasi_keyvalue_batch_delete_many(struct seam_call *c, const struct wasi_keyvalue_batch_delete_many_args *args,
	struct wasi_result_void_keyvalue_store_error *ret)
{
	struct link__answer answer = {0};
	struct link__many m = {.kind = LINK_DELETE, .n = (uint32_t)args->keys.len, .key = link__key_at, .list = args->keys.ptr};
	enum seam_result r = link__face_many(c, link__bucket_wasi_keyvalue_store(c, args->bucket), &m, &answer);
	LINK__FAULT(wasi_keyvalue_store, ret, &answer);
	return r;
}
