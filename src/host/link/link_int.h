// Inside the room link: the host, links and their shards.
//
// A change reaches a shard as a *wish* (link.c): what it is to be like, written by the main thread, taken up on the shard's loop between two calls, and
// acknowledged there once what was under way has come to it. A later wish takes the place of an earlier one.
#ifndef TENON_LINK_INT_H
#define TENON_LINK_INT_H

#include "store.h"

struct link__body {
	struct link__body *next;
	void (*free)(struct link__body *b);
};
struct link_host {
	struct loop_pool *threads;
	uint64_t memory_bytes, memory_used;  // used: atomic
	struct spinlock lock;                // of stores (the list and what is open of them), dead, and changes of the list of links
	struct link_store *stores;
	struct link__body *dead;             // what nobody holds any more, to be freed on the main thread
	uint32_t links;
	uint32_t nonce;
	uint64_t process, began_ms;          // who it is in markers
	struct link *first_link;             // the main thread's; within the lock anybody's
	struct http_tls *tls;                // atomic
	struct loop_pool *names;
	struct loop_remote reap;
	bool reaping;
	unsigned n_loops;
	struct loop *loops[];
};

// ---- stores (host.c) ------------------------------------------------------------------------------------------------------------------
// The space that a link's namespace gives: its text, and the parts of names.
struct link__space {
	struct slice text, parts[2];
	unsigned n_parts;
};
enum { LINK_SPACE_MAX = 255 };
// Of two stores that have been opened: one file, by whatever names?
bool link__is_one_file(const struct link_store *a, const struct link_store *b);
// Of the main thread. The store of that target and space: one that is open, or a new one. Counted.
NODISCARD bool link__store_open(struct link_host *h, const struct link_target *t, const struct link__space *space, uint32_t pool, struct link_store **ret,
	struct err *e);
void link__store_ref(struct link_store *s);
void link__store_unref(struct link_store *s);
// A link has come to it or left, or has another `pool`. On the main thread.
void link__store_pool(struct link_store *s);
// On the thread. NULL: it could not be opened there.
struct link_part *link__part(struct link_store *s, unsigned thread, struct err *e);
// Past any link. `op->done` as always; op->shard is NULL.
void link__store_submit(struct link_store *s, unsigned thread, struct link_op *op);

// From any thread: it is freed on the main one.
void link__bury(struct link_host *h, struct link__body *b);

// ---- links ------------------------------------------------------------------------------------------------------------------------------
// Keys that were written while they are copied.
struct link__notes {
	struct arena arena;
	struct map map;
	VEC(struct link_key)
	list;
	bool is_full;  // some are not in it
};
void link__notes_init(struct link__notes *n);
void link__notes_release(struct link__notes *n);
// After its struct was copied to another place.
void link__notes_moved(struct link__notes *n);
void link__notes_put(struct link__notes *n, struct slice bucket, struct slice key);

// A store that is asked what guests read, too, and what came of it (shadow.c).
struct link__shadow_counts {
	uint64_t equal, different, failed, left_out;  // left_out: were not asked, as too many were under way
	uint64_t guest_ns, shadow_ns;                 // of those that were asked, all together: of the guests' calls, of these
};
struct link__shadow {
	struct link_store *store;
	struct link__body body;
	uint32_t refs;               // atomic
	unsigned percent;
	struct link__shadow_counts by_thread[];
};
struct shadow_call;
// What shadow.c does for those that it stands on, once a shard has taken a shadow up.
struct link__shadow_ops {
	// On the shard's loop, which has one: the call has been answered, and its guest is not woken yet. `guest_ns`: how long it took.
	void (*call)(struct link_shard *s, const struct link_op *op, uint64_t guest_ns);
	// On the shard's loop: none is under way there any more.
	void (*stop)(struct link_shard *s);
};

struct link__wish {
	uint64_t serial;
	bool noting, holding;
	struct link_store *store;
	uint64_t epoch;
};
struct link_shard {
	struct link *link;
	struct loop *loop;
	unsigned thread;
	// in force here
	struct link_store *store;
	struct link_part *part;      // of the store; NULL: not asked for yet
	uint64_t epoch;              // of the store
	bool noting, holding;
	uint8_t generation;          // of operations: the other one began before they were noted
	uint32_t in_flight[2];
	struct link_op *first, **last;  // the line
	uint32_t waiting;
	// what was asked of it last
	uint64_t serial;             // 0: it was acknowledged
	enum { LINK__AT_ONCE, LINK__OLD_ENDED, LINK__ALL_ENDED } when;
	uint64_t held_ns, pause_ns;  // since when; how long the last one was
	uint64_t calls, errors, call_ns;
	struct link__shadow *shadow;        // NULL: none
	unsigned shadow_share;              // hundredths of a call
	uint32_t n_shadow_calls;
	const struct link__shadow_ops *shadow_ops;  // NULL: it never had one
	struct shadow_call *shadow_calls;
	struct loop_remote take_up_shadow;
	struct spinlock lock;        // of what follows
	struct link__wish wish;
	bool posted, gone;           // gone: its thread has ended; the main one takes it up
	struct loop_remote take_up;
	uint64_t acknowledged;
	struct link__notes notes;
	struct link__shadow *next_shadow;   // to be taken up
	bool shadow_is_posted;
};
// What an undo goes back to.
struct link__past {
	struct link_store *store;    // NULL: nothing
	bool was_copy;
};
struct link {
	struct seam_provider seam;   // first: what is bound to it
	struct link_host *host;
	struct link__body body;
	struct arena arena;
	struct slice tenant, app, name;
	struct link__space space;
	const struct slice *buckets;
	uint32_t n_buckets, pool;
	uint64_t deadline_ns;
	uint32_t refs;               // atomic
	// the main thread's
	struct link_store *store;    // in force
	uint64_t epoch, serial;
	struct link *next_link;
	uint32_t needs;              // LINK_CAN_… that components use of it
	struct link_move *move;      // NULL: none is under way
	struct link__shadow *shadow; // NULL: none; changed within the host's lock
	struct link__past past;
	struct loop_timer forget;    // the past
	uint64_t keep_old_ns;
	void (*changed)(struct link *l);  // NULL: nobody asks
	bool looking;                // atomic: `look` is posted
	struct loop_remote look;
	unsigned n_shards;
	struct link_shard shards[];
};

// Main thread: this is the past now, whose store's reference is the link's; what was it before is let go.
void link__set_past(struct link *l, struct link__past past);
void link__ref(struct link *l);
// The last one, on whichever thread: it is freed on the main one.
void link__unref(struct link *l);
// Submits through the link: it is held, noted and counted there. `op` is answered by op->done, perhaps before this returns.
void link__submit(struct link_shard *s, struct link_op *op);
// The operation is the caller's again, and is not answered.
void link__cancel(struct link_op *op);
// An operation of the shard has ended: perhaps what was asked of it is there now.
void link__look(struct link_shard *s);
// What held it up is over: those that wait go on, in their order.
void link__line_go(struct link_shard *s);
// Main thread: what all shards are to be like; `serial` is set here.
void link__wish(struct link *l, struct link__wish w);
// Have all come to the last wish? `changed` is called, on the main thread, whenever one has.
bool link__is_there(const struct link *l);

// ---- shadows (shadow.c) -------------------------------------------------------------------------------------------------------------------
void link__shadow_take_up(struct loop_remote *r);
// Of a link that nobody holds any more.
void link__shadow_free(struct link *l);
// On the main thread: no calls are sent twice from here on.
void link__shadow_end(struct link *l);
// Within the host's lock, or on the main thread.
void link__shadow_tell(const struct link *l, struct link_facts *ret);

// ---- faces ------------------------------------------------------------------------------------------------------------------------------
extern const struct seam_provider_ops link__face_ops;
extern struct seam_provider link__denied;  // answers access-denied
// Is it an interface of a world that a spin.toml grants by key, of which no face is here?
bool link__is_denied(struct slice interface);
// An import of such, described by itself: each call is its interface's access-denied, or a trap where that has none.
NODISCARD bool link__offer_denial(struct arena *a, const struct comp_component *comp, uint32_t import, struct seam_offer *ret, struct err *e);

#endif
