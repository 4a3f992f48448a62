// wasi:keyvalue@0.2.0-draft: as draft2, but for the numbers of cursors and counters, what get-many gives, and without cas.
#include "face.h"

LINK__FACE_ERROR(wasi_keyvalue_draft_store, WASI_KEYVALUE_DRAFT_STORE_ERROR)
LINK__FACE_BUCKET(wasi_keyvalue_draft_store, wasi_keyvalue_draft_store_bucket, keyvalue_draft_store_error)

// ---- store ----------------------------------------------------------------------------------------------------------------------------------

enum seam_result wasi_keyvalue_draft_store_open(struct seam_call *c, const struct wasi_keyvalue_draft_store_open_args *args,
	struct wasi_result_own_keyvalue_draft_store_bucket_keyvalue_draft_store_error *ret)
{
	struct link__answer answer = {0};
	enum seam_result r = link__face_open(c, args->identifier, &wasi_keyvalue_draft_store_bucket_class, &ret->ok, &answer);
	LINK__FAULT(wasi_keyvalue_draft_store, ret, &answer);
	return r;
}

// A cursor's top byte tells the store's epoch, the rest is the place.
enum { PLACE_BITS = 56 };

enum seam_result wasi_keyvalue_draft_store_bucket_list_keys(struct seam_call *c, const struct wasi_keyvalue_draft_store_bucket_list_keys_args *args,
	struct wasi_result_keyvalue_draft_store_key_response_keyvalue_draft_store_error *ret)
{
	const struct link__bucket *b = link__bucket_wasi_keyvalue_draft_store(c, args->self);
	struct link__answer answer = {0};
	uint64_t told = link__epoch_told(b->shard) << PLACE_BITS, cursor = 0, next = 0;
	if (args->cursor.is_some) {
		cursor = args->cursor.some & ((UINT64_C(1) << PLACE_BITS) - 1);
		if ((args->cursor.some ^ told) >> PLACE_BITS || !cursor) {
			ret->is_err = true;
			ret->err.tag = WASI_KEYVALUE_DRAFT_STORE_ERROR_OTHER;
			return seam_string(c, SLICE_LIT("cursor expired"), &ret->err.other) ? SEAM_OK : SEAM_TRAP;
		}
	}
	enum seam_result r = link__face_page(c, b, b->shard->epoch, cursor, &ret->ok.keys, &next, &answer);
	if (r == SEAM_OK && !answer.fault)
		ret->ok.cursor = (struct wasi_option_u64){.is_some = next != 0, .some = told | next};
	LINK__FAULT(wasi_keyvalue_draft_store, ret, &answer);
	return r;
}

// ---- atomics --------------------------------------------------------------------------------------------------------------------------------

static enum seam_result out_of_range(struct seam_call *c, struct wasi_result_u64_keyvalue_draft_store_error *ret)
{
	ret->is_err = true;
	ret->err.tag = WASI_KEYVALUE_DRAFT_STORE_ERROR_OTHER;
	return seam_string(c, SLICE_LIT("the number is out of range: counters are from 0 to 2^63 - 1 here"), &ret->err.other) ? SEAM_OK : SEAM_TRAP;
}

enum seam_result wasi_keyvalue_draft_atomics_increment(struct seam_call *c, const struct wasi_keyvalue_draft_atomics_increment_args *args,
	struct wasi_result_u64_keyvalue_draft_store_error *ret)
{
	struct link__answer answer = {0};
	int64_t sum = 0;
	if (args->delta > INT64_MAX)
		return out_of_range(c, ret);
	enum seam_result r = link__face_increment(c, link__bucket_wasi_keyvalue_draft_store(c, args->bucket), args->key, (int64_t)args->delta, &sum, &answer);
	if (r == SEAM_OK && !answer.fault && sum < 0)  // another interface made it so
		return out_of_range(c, ret);
	ret->ok = (uint64_t)sum;
	LINK__FAULT(wasi_keyvalue_draft_store, ret, &answer);
	return r;
}

// ---- batch ----------------------------------------------------------------------------------------------------------------------------------

enum seam_result wasi_keyvalue_draft_batch_get_many(struct seam_call *c, const struct wasi_keyvalue_draft_batch_get_many_args *args,
	struct wasi_result_list_option_tuple2_string_list_u8_keyvalue_draft_store_error *ret)
{
	struct link__answer answer = {0};
	uint32_t n = (uint32_t)args->keys.len;
	struct wasi_option_tuple2_string_list_u8 *list = SEAM_ARRAY(c, struct wasi_option_tuple2_string_list_u8, n);
	struct wasi_option_list_u8 *found = list ? SEAM_ARRAY(c, struct wasi_option_list_u8, n) : NULL;
	if (!found)
		return SEAM_TRAP;
	struct link__many m = {.kind = LINK_GET, .n = n, .key = link__key_at, .list = args->keys.ptr, .found = found};
	enum seam_result r = link__face_many(c, link__bucket_wasi_keyvalue_draft_store(c, args->bucket), &m, &answer);
	for (uint32_t i = 0; i < n; i++)
		list[i] = (struct wasi_option_tuple2_string_list_u8){.is_some = found[i].is_some, .some = {link__key_at(args->keys.ptr, i), found[i].some}};
	ret->ok = (struct wit_list){list, n};
	LINK__FAULT(wasi_keyvalue_draft_store, ret, &answer);
	return r;
}

enum seam_result wasi_keyvalue_draft_batch_set_many(struct seam_call *c, const struct wasi_keyvalue_draft_batch_set_many_args *args,
	struct wasi_result_void_keyvalue_draft_store_error *ret)
{
	struct link__answer answer = {0};
	struct link__many m = {.kind = LINK_SET, .n = (uint32_t)args->key_values.len, .key = link__pair_key, .value = link__pair_value, .list = args->key_values.ptr};
	enum seam_result r = link__face_many(c, link__bucket_wasi_keyvalue_draft_store(c, args->bucket), &m, &answer);
	LINK__FAULT(wasi_keyvalue_draft_store, ret, &answer);
	return r;
}

enum seam_result wasi_keyvalue_draft_batch_delete_many(struct seam_call *c, const struct wasi_keyvalue_draft_batch_delete_many_args *args,
	struct wasi_result_void_keyvalue_draft_store_error *ret)
{
	struct link__answer answer = {0};
	struct link__many m = {.kind = LINK_DELETE, .n = (uint32_t)args->keys.len, .key = link__key_at, .list = args->keys.ptr};
	enum seam_result r = link__face_many(c, link__bucket_wasi_keyvalue_draft_store(c, args->bucket), &m, &answer);
	LINK__FAULT(wasi_keyvalue_draft_store, ret, &answer);
	return r;
}
