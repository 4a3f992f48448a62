// What a store is, for whoever writes one: a file with its link_store_ops, and a row in providers.def (docs/providers.md).
//
// A store gets operations and answers each exactly once, by link_op_done, on the loop that it came from, perhaps before submit returns. It knows nothing of
// guests, links, deadlines or changes of links: the core (link.c) times each operation and takes it back with `cancel`.
//
// Rules:
//  1. What an operation points to is the caller's, and stays until it is answered or cancelled. A thread of the store's own works on copies.
//  2. Operations of one guest (`memory`) on one key that were submitted on one thread one after another are applied in that order.
//  3. Results are borrowed from the store until link_op_done returns.
//  4. What was not sent yet when `recall` is called is answered LINK_RECALLED, in its order: it is not in flight (contract §3).
#ifndef TENON_LINK_STORE_H
#define TENON_LINK_STORE_H

#include "link.h"

enum link_kind {
	LINK_CHECK,      // is the store there, and what is it? ret_caps, ret_note
	LINK_GET,        // found, ret_value; with wants_version ret_version, with wants_ttl ret_ttl_ms
	LINK_EXISTS,     // found
	LINK_SET,        // value, ttl_ms
	LINK_DELETE,
	LINK_INCREMENT,  // delta; ret_number. Counters are ASCII decimal (link__count); a time to live stays
	LINK_SWAP,       // version, value: set if the key is at that version (all zero: is not there), else LINK_STALE
	LINK_LIST,       // cursor, limit, all; ret_keys, n_ret_keys, ret_cursor
	LINK_PURGE,      // version: what was written to the space before it is deleted, the core's own, too; nothing that was written since. Where ops->purges
};
enum link_code {
	LINK_OK,
	LINK_STALE,     // of SWAP: another version is there. Of the core: another store is
	LINK_REFUSED,   // the store said no: nothing has changed; ret_text tells why
	LINK_UNSENT,    // it could not be sent: nothing has changed
	LINK_UNKNOWN,   // it was sent and no answer came: it may have happened
	LINK_RECALLED,  // see rule 4
};
// Of a key's value, to compare with; all zero: the key is not there.
struct link_version {
	uint64_t words[3];
};
struct link_key {
	struct slice bucket, key;
};
struct link_op {
	// ---- asked ----
	enum link_kind kind;
	struct slice bucket, key;  // as the guest names them; the bucket "" is the core's own (its marker)
	struct slice value;
	int64_t delta;
	uint64_t ttl_ms;           // 0: none
	struct link_version version;
	uint64_t cursor;           // of LIST: 0, or a ret_cursor of before
	uint32_t limit;            // keys of LIST, from 1: a page has about as many or fewer, perhaps none, and ends by LINK_PAGE_BYTES
	// Of LIST: of all buckets; of GET: ret_version, ret_ttl_ms is asked for.
	bool all, wants_version, wants_ttl;
	struct pool *memory;       // whose memory copies are charged to; NULL: nobody's
	uint64_t deadline_ns;      // of loop_now_ns; UINT64_MAX: none
	void (*done)(struct link_op *op);
	// ---- answered ----
	enum link_code code;
	bool found;
	struct slice ret_value;
	struct link_version ret_version;
	uint64_t ret_ttl_ms;       // what is left; 0: it lives for ever
	int64_t ret_number;
	const struct link_key *ret_keys;
	uint32_t n_ret_keys;
	uint64_t ret_cursor;       // 0: these were the last; below 2^56
	uint32_t ret_looked;       // of LIST: keys that were looked at on this thread
	uint32_t ret_caps;         // LINK_CAN_… of this server, as far as it has them
	char ret_text[160];        // of REFUSED, UNSENT, UNKNOWN: why; of CHECK, OK: what people should know of this server
	// ---- the store's, while it has the operation ----
	struct link_op *next, **prev;
	void *of;
	// ---- the core's ----
	struct link_part *part;    // NULL: no store has it
	struct link_shard *shard;  // NULL: it goes past the link
	struct loop_timer timer;
	bool *answered_inside;
	uint64_t epoch;            // of the store that it is for, else LINK_STALE; 0: whichever is in force
	uint64_t answered_epoch;   // of the store that it went to
	uint64_t begun_ns;
	uint8_t generation;
	bool waits;                // in the line of a shard
};
#define LINK_PAGE_BYTES (1 * MIB)

struct link_store;
// What a store keeps for one thread; embedded first in the store's own struct.
struct link_part {
	struct link_store *store;
	struct loop *loop;
	unsigned thread;           // index in the host's loops
	struct loop_remote remote;  // the core's
};
struct link_store_ops {
	size_t store_size, part_size;  // of the structs that embed link_store and link_part first; made zeroed by the core
	bool (*check)(const struct link_target *t, struct err *e);  // can it be a target of this type? USAGE. NULL: what the syntax lets pass
	// On the main thread. Opens nothing that blocks: the first operation finds out whether anybody is there.
	bool (*open)(struct link_store *s, struct err *e);
	// On the main thread, when its parts are closed. true: what its threads do for it ends meanwhile, and link__store_left is called when `close` has nothing more to
	// wait for. NULL, false: `close` is called at once.
	bool (*leave)(struct link_store *s);
	// On the main thread, then, or when the process ends: it waits, if it must.
	void (*close)(struct link_store *s);
	// On the part's thread, before the first operation there, and when none is left.
	bool (*part_open)(struct link_part *p, struct err *e);
	void (*part_close)(struct link_part *p);
	void (*submit)(struct link_part *p, struct link_op *op);
	// The operation is the caller's at once and is not answered any more. true: it was sent, and may have happened or happen yet.
	bool (*cancel)(struct link_part *p, struct link_op *op);
	bool purges;  // it is asked to LINK_PURGE; one that refuses is wiped key by key
	// NULL: nothing ever waits.
	void (*recall)(struct link_part *p);
	// On the main thread, while its parts work: s->pool is another. NULL: connections aren't counted by it.
	void (*pool)(struct link_store *s);
};
// Shared by all links of (type, address, namespace); embedded first in the store's own struct.
struct link_store {
	const struct link_provider *provider;
	struct link_host *host;
	struct link_target target;
	struct slice space;         // as one text, which tells spaces apart: "TENANT/APP", "x", "" (raw)
	struct slice parts[2];      // of the physical names before the bucket
	unsigned n_parts;           // 0: raw: keys are as they are, without bucket
	uint32_t pool;              // connections a thread: the most that one of its links says
	uint64_t device, inode;     // atomic: of a file that was opened, whatever name it has; inode 0: none
	// the core's
	struct arena arena;
	struct link_store *next;
	struct loop_remote left;
	uint32_t refs;
	unsigned closing;
	struct link_part **by_thread;
};

// See `leave`; any thread, once. The store may be gone when this returns, or as soon as `close` lets it.
void link__store_left(struct link_store *s);
// Answers. `code` counts for SWAP, else OK, REFUSED, UNSENT, UNKNOWN, RECALLED; results are filled in before.
void link_op_done(struct link_op *op, enum link_code code);
// The same with ret_text.
void link_op_fail(struct link_op *op, enum link_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);

// ---- what stores share -------------------------------------------------------------------------------------------------------------------
// The number that comes after old + delta, as ASCII decimal: *ret, its text in `text`, its length as result. 0: `old` is no number, or the sum is out of range
// (both named in `why`, of 160 bytes). A key that is not there counts as "0".
enum { LINK_COUNT_MAX = 24 };
size_t link__count(struct slice old, int64_t delta, int64_t *ret, char text[LINK_COUNT_MAX], char why[160]);
// Physical names, TENANT/APP/BUCKET/KEY: each part escaped (bytes besides letters, digits and `plain` become =XX, an empty part "="), joined by `separator`.
// Of a raw space it is the key; those of the bucket "" begin with "=tenon" and the separator there.
void link__name_put(struct buf *b, const struct link_store *s, struct slice bucket, struct slice key, const char *plain, char separator);
void link__name_put_part(struct buf *b, struct slice part, const char *plain);
// What all names of the space (and of the bucket, if it is not NULL) begin with.
void link__name_put_prefix(struct buf *b, const struct link_store *s, const struct slice *bucket, const char *plain, char separator);
// Bucket and key of a name of the space, in the arena (of a raw space the key is the name itself, of LINK__RAW_BUCKET).
enum link__parsed { LINK__NO_NAME, LINK__NAME, LINK__NAME_NO_MEMORY };
NODISCARD enum link__parsed link__name_parse(struct arena *a, const struct link_store *s, struct slice name, const char *plain, char separator, struct link_key *ret);
// Would a guest's key lie where the core's own do? It is refused then, with this text.
NODISCARD bool link__name_is_own(const struct link_store *s, struct slice bucket, struct slice key, char separator);
#define LINK__NAME_IS_OWN "keys of a raw namespace that begin with \"=tenon\" are tenon's own"
// What all keys of a raw space have for a bucket, whatever guests call it: a store that keeps none would not know another.
#define LINK__RAW_BUCKET SLICE_LIT("default")

#endif
