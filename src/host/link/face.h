// What the faces share: one implementation of key-value over links. Each face (face_*.c) puts its answers into the types of its interface.
#ifndef TENON_LINK_FACE_H
#define TENON_LINK_FACE_H

#include "link_faces.h"
#include "link_int.h"

enum link__fault { LINK__NO_FAULT, LINK__NO_STORE, LINK__DENIED, LINK__OTHER };
// What a guest handles.
struct link__answer {
	enum link__fault fault;
	struct wit_string text;  // of OTHER; the call's
};
// Behind handles: a name; whatever store is in force is asked.
struct link__bucket {
	struct link_shard *shard;
	struct slice name;
};
// A key at a version of it.
struct link__cas {
	struct link__bucket bucket;
	struct slice key;
	uint64_t epoch;  // of the store that the version is of
	struct link_version version;
};
enum { LINK__PAGE = 1000, LINK__AT_ONCE_MAX = 32, LINK__LIST_BYTES = 16 << 20 };

// All: SEAM_OK, and what the guest handles is in *answer.
enum seam_result link__face_open(struct seam_call *c, struct wit_string identifier, const struct canon_resource_ops *of, uint32_t *ret,
	struct link__answer *answer);
void link__bucket_free(void *bucket);
void link__cas_free(void *cas);
enum seam_result link__face_get(struct seam_call *c, const struct link__bucket *b, struct wit_string key, struct wasi_option_list_u8 *ret,
	struct link__answer *answer);
enum seam_result link__face_set(struct seam_call *c, const struct link__bucket *b, struct wit_string key, struct wit_list value, struct link__answer *answer);
enum seam_result link__face_delete(struct seam_call *c, const struct link__bucket *b, struct wit_string key, struct link__answer *answer);
enum seam_result link__face_exists(struct seam_call *c, const struct link__bucket *b, struct wit_string key, bool *ret, struct link__answer *answer);
enum seam_result link__face_increment(struct seam_call *c, const struct link__bucket *b, struct wit_string key, int64_t delta, int64_t *ret,
	struct link__answer *answer);
// One page from the cursor of the store of that epoch (0: from the beginning); *ret_cursor 0: these were the last.
enum seam_result link__face_page(struct seam_call *c, const struct link__bucket *b, uint64_t epoch, uint64_t cursor, struct wit_list *ret, uint64_t *ret_cursor,
	struct link__answer *answer);
// All of them.
enum seam_result link__face_keys(struct seam_call *c, const struct link__bucket *b, struct wit_list *ret, struct link__answer *answer);
// The setting of that name, or in *ret what is wrong with it: *ret_is_missing, and whether it is the name of a variable at all.
enum seam_result link__face_variable(struct seam_call *c, struct wit_string of, struct wit_string *ret, bool *ret_is_name, bool *ret_is_missing);
// A cas at the version that is there now; current: what is there now, and the cas is at its version then.
enum seam_result link__face_cas_new(struct seam_call *c, const struct link__bucket *b, struct slice key, const struct canon_resource_ops *of, uint32_t *ret,
	struct link__answer *answer);
enum seam_result link__face_cas_current(struct seam_call *c, struct link__cas *cas, struct wasi_option_list_u8 *ret, struct link__answer *answer);
// *ret_stale: it was at another version.
enum seam_result link__face_swap(struct seam_call *c, const struct link__cas *cas, struct wit_list value, bool *ret_stale, struct link__answer *answer);
// Many at once, LINK__AT_ONCE_MAX of them under way; those on one key in their order. The first that fails is what is told; others may have been done.
struct link__many {
	enum link_kind kind;
	uint32_t n;
	// The i-th key (and value).
	struct wit_string (*key)(const void *list, uint32_t i);
	struct wit_list (*value)(const void *list, uint32_t i);  // of LINK_SET
	const void *list;
	struct wasi_option_list_u8 *found;                      // of LINK_GET: room for n
};
enum seam_result link__face_many(struct seam_call *c, const struct link__bucket *b, const struct link__many *m, struct link__answer *answer);

// What epoch a cursor of a guest is told by: no number of a former process.
static inline uint64_t link__epoch_told(const struct link_shard *s)
{
	return s->epoch + s->link->host->nonce;
}
// Arguments of batches: lists of keys, of keys with their values.
struct wit_string link__key_at(const void *list, uint32_t i);
struct wit_string link__pair_key(const void *list, uint32_t i);
struct wit_list link__pair_value(const void *list, uint32_t i);

// Of a face's error, whose cases are the same everywhere, but of a type of its own: link__error_PREFIX(answer). PREFIX, CASE: what witgen calls it.
#define LINK__FACE_ERROR(PREFIX, CASE)                                                               \
	static struct PREFIX##_error link__error_##PREFIX(const struct link__answer *answer) {           \
		return (struct PREFIX##_error){.tag = answer->fault == LINK__NO_STORE ? CASE##_NO_SUCH_STORE \
				: answer->fault == LINK__DENIED                               ? CASE##_ACCESS_DENIED \
																			  : CASE##_OTHER,                                      \
			.other = answer->text};                                                                  \
	}
// Puts a fault into a result whose error is that.
#define LINK__FAULT(PREFIX, ret, answer)               \
	do {                                               \
		if ((answer)->fault) {                         \
			(ret)->is_err = true;                      \
			(ret)->err = link__error_##PREFIX(answer); \
		}                                              \
	} while (0)
// What each face has with the same arguments: link__bucket_PREFIX(c, rep), get, set, delete, exists and drop. BUCKET: its resource; ERROR: how its results are called.
#define LINK__FACE_BUCKET(PREFIX, BUCKET, ERROR)                                                                                             \
	static const struct link__bucket *link__bucket_##PREFIX(struct seam_call *c, uint32_t rep)                                               \
	{                                                                                                                                        \
		return seam_resource_get(c, &BUCKET##_resource, rep);                                                                                \
	}                                                                                                                                        \
	void BUCKET##_drop(struct canon_instance *i, void *object)                                                                               \
	{                                                                                                                                        \
		link__bucket_free(object);                                                                                                           \
	}                                                                                                                                        \
	enum seam_result BUCKET##_get(struct seam_call *c, const struct BUCKET##_get_args *args, struct wasi_result_option_list_u8_##ERROR *ret) \
	{                                                                                                                                        \
		struct link__answer answer = {0};                                                                                                    \
		enum seam_result r = link__face_get(c, link__bucket_##PREFIX(c, args->self), args->key, &ret->ok, &answer);                          \
		LINK__FAULT(PREFIX, ret, &answer);                                                                                                   \
		return r;                                                                                                                            \
	}                                                                                                                                        \
	enum seam_result BUCKET##_set(struct seam_call *c, const struct BUCKET##_set_args *args, struct wasi_result_void_##ERROR *ret)           \
	{                                                                                                                                        \
		struct link__answer answer = {0};                                                                                                    \
		enum seam_result r = link__face_set(c, link__bucket_##PREFIX(c, args->self), args->key, args->value, &answer);                       \
		LINK__FAULT(PREFIX, ret, &answer);                                                                                                   \
		return r;                                                                                                                            \
	}                                                                                                                                        \
	enum seam_result BUCKET##_delete(struct seam_call *c, const struct BUCKET##_delete_args *args, struct wasi_result_void_##ERROR *ret)     \
	{                                                                                                                                        \
		struct link__answer answer = {0};                                                                                                    \
		enum seam_result r = link__face_delete(c, link__bucket_##PREFIX(c, args->self), args->key, &answer);                                 \
		LINK__FAULT(PREFIX, ret, &answer);                                                                                                   \
		return r;                                                                                                                            \
	}                                                                                                                                        \
	enum seam_result BUCKET##_exists(struct seam_call *c, const struct BUCKET##_exists_args *args, struct wasi_result_bool_##ERROR *ret)     \
	{                                                                                                                                        \
		struct link__answer answer = {0};                                                                                                    \
		enum seam_result r = link__face_exists(c, link__bucket_##PREFIX(c, args->self), args->key, &ret->ok, &answer);                       \
		LINK__FAULT(PREFIX, ret, &answer);                                                                                                   \
		return r;                                                                                                                            \
	}
// Variables: get, from link__face_variable.
#define LINK__FACE_VARIABLES(PREFIX, CASE)                                                                                                    \
	enum seam_result PREFIX##_get(struct seam_call *c, const struct PREFIX##_get_args *args, struct wasi_result_string_##PREFIX##_error *ret) \
	{                                                                                                                                         \
		struct wit_string text;                                                                                                               \
		bool is_name;                                                                                                                         \
		enum seam_result r = link__face_variable(c, args->name, &text, &is_name, &ret->is_err);                                               \
		if (!ret->is_err) {                                                                                                                   \
			ret->ok = text;                                                                                                                   \
			return r;                                                                                                                         \
		}                                                                                                                                     \
		ret->err.tag = is_name ? CASE##_UNDEFINED : CASE##_INVALID_NAME;                                                                      \
		ret->err.undefined = text;                                                                                                            \
		return r;                                                                                                                             \
	}

#endif
