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
// The error of a face whose cases are those of wasi:keyvalue.
static inline struct wasi_keyvalue_store_error link__error(const struct link__answer *a)
{
	struct wasi_keyvalue_store_error e = {.tag = a->fault == LINK__NO_STORE ? WASI_KEYVALUE_STORE_ERROR_NO_SUCH_STORE
			: a->fault == LINK__DENIED                                      ? WASI_KEYVALUE_STORE_ERROR_ACCESS_DENIED
																			: WASI_KEYVALUE_STORE_ERROR_OTHER};
	e.other = a->text;
	return e;
}

#endif
