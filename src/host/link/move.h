// Inside the room link, for a change: what a store says of itself (its marker), and passes over keys (pass.c).
#ifndef TENON_LINK_MOVE_H
#define TENON_LINK_MOVE_H

#include "link_int.h"

// ---- markers (marker.c): a value in the bucket of no name ---------------------------------------------------------------------------------
enum link__state { LINK__LIVE, LINK__INCOMPLETE, LINK__SUPERSEDED };
struct link__marker {
	uint64_t id[2];     // of the data: it goes with a copy
	enum link__state state;
	uint64_t epoch;     // by which it was superseded
	uint64_t process, at_ms;  // who wrote it, when (CLOCK_REALTIME)
};
#define LINK__MARKER_KEY SLICE_LIT("marker")
enum { LINK__MARKER_MAX = 256 };
size_t link__marker_print(const struct link__marker *m, char ret[LINK__MARKER_MAX]);
// false: it is none.
NODISCARD bool link__marker_parse(struct slice text, struct link__marker *ret);

// ---- who else has a store (sharers.c) --------------------------------------------------------------------------------------------------------
// It moves with `l`: of the same store, app and of the names of the change; also one of the same name, that a manifest of before had and calls are still bound to.
bool link__moves_along(const struct link *x, const struct link *l, const struct link_move_config *c);
// A store moves for all who use it (contract §3). Those that can't are named: of other apps, and, where data goes with it, of this app one that was not told of.
// So is one whose store the target is: what is copied would take its place.
NODISCARD bool link__nobody_else(const struct link *l, const struct link_move_config *c, const struct link_store *target, struct err *e);
struct link__other {
	struct link_store *store;  // held
	bool is_of_app;
	char name[136];            // "APP/@NAME" of a link that has it
};
// Stores of links that may be `s` by another address, but that of `l`; before them `first`, if it isn't NULL. false: memory is out. Let go of with link__others_free.
NODISCARD bool link__others(const struct link *l, const struct link_store *s, struct link_store *first, struct link__other **ret, uint32_t *ret_n);
void link__others_free(struct link__other *list, uint32_t n);

// ---- passes ---------------------------------------------------------------------------------------------------------------------------------
enum link__job {
	LINK__COUNT,    // how many there are
	LINK__COPY,     // from → to: the value, with what is left of its time to live; or it is deleted there
	LINK__WIPE,     // deleted in `to`
	LINK__COMPARE,  // n_different
};
enum { LINK__LANES = 32 };
struct link__lane {
	struct link_op op;
	struct link__pass *pass;
	enum { LINK__IDLE, LINK__READS, LINK__READS_OTHER, LINK__WRITES } stage;
	bool is_answered, found;
	struct link_key key;
	uint8_t *value;
	size_t len;
	uint64_t ttl_ms;
};
// Over all keys of `from` (`lists`), or over those that are given; on the main thread. Keys of the bucket of no name are left out.
struct link__pass {
	enum link__job job;
	struct link_store *from, *to;
	struct loop *loop;
	struct loop_job *turn;       // posted when there is something to do
	bool lists;
	const struct link_key *keys;
	uint32_t n, at;
	// the page after this one
	struct arena pages[2];
	unsigned page;               // which of them `keys` lie in
	struct link_op list;
	bool list_is_out, list_is_answered, list_is_over;
	const struct link_key *next_keys;
	uint32_t n_next;
	uint64_t cursor;
	// of a WIPE, before the first page: whatever is older than the store's marker, in one go
	enum { LINK__NO_PURGE, LINK__PURGE_ASKS, LINK__PURGES } purge;
	struct link_version marked;
	struct link__lane lanes[LINK__LANES];
	unsigned busy;
	uint64_t held_bytes;         // in lanes
	uint64_t n_done, n_different;
	struct err err;
};
void link__pass_begin(struct link__pass *p, enum link__job job, struct link_store *from, struct link_store *to, const struct link_key *keys, uint32_t n,
	bool lists);
// Goes on; true: it is over (perhaps with p->err).
bool link__pass_go(struct link__pass *p);
// It is over now.
void link__pass_stop(struct link__pass *p);

#endif
