// Room link: what stands behind an import that whoever runs the app links: key-value stores behind the faces that guests import (design §8). A *store* is
// where data lives: (type, address, namespace). A *link* is an app's name for a store, and what lies behind it changes while calls are under way.
//
// Invariants:
//  1. Data belongs to a store, not to an import: what is bound to one link moves together (contract §2).
//  2. A store knows neither guests nor fibers nor tasks: it gets operations (store.h) and answers them on the loop that they came from. Faces park.
//  3. Nothing here blocks a loop's thread: what blocks is done by threads of the host's pool, or by one that a store has for itself.
//  4. Each call has a deadline, and ends by it whatever the store does.
#ifndef TENON_LINK_H
#define TENON_LINK_H

#include "base/base.h"
#include "loop/loop.h"
#include "seam/seam.h"

struct comp_component;
struct http_tls;
struct link;
struct link_host;
struct link_move;
struct link_provider;

// ---- the process's part -----------------------------------------------------------------------------------------------------------------
struct link_host_config {
	struct loop *const *loops;  // of all threads that calls come from; the first is the main one, on whose thread the functions below are called
	unsigned n_loops;
	struct loop_pool *threads;  // for what blocks; borrowed
	struct loop_pool *names;    // that looks names up; borrowed
	struct http_tls *tls;       // of connections to stores; borrowed; NULL: those by TLS are refused until link_host_give_tls
	uint64_t memory_bytes;      // that stores in memory hold at most, all together; 0: no limit
};
NODISCARD bool link_host_open(const struct link_host_config *c, struct link_host **ret, struct err *e);
// From any thread: it is lent to a host that has none. false: it has one.
NODISCARD bool link_host_give_tls(struct link_host *h, struct http_tls *tls);
// All links are closed, and all threads (link_thread_close). NULL does nothing.
void link_host_close(struct link_host *h);
// On the loop's thread, before that loop ends: connections that it has are closed. No call is under way there.
void link_thread_close(struct link_host *h, struct loop *loop);

// ---- what is linked to --------------------------------------------------------------------------------------------------------------------
enum link_target_kind {
	LINK_TARGET_STORE,      // of a type in providers.def
	LINK_TARGET_LINK,       // "@name"
	LINK_TARGET_COMPONENT,  // "component:NAME"
};
// One syntax for the command line and for manifests: "@name", "component:NAME", "memory:[NAME]", "file:PATH", "SCHEME://[USER[:PASSWORD]@]HOST[:PORT][/PATH]".
struct link_target {
	enum link_target_kind kind;
	const struct link_provider *provider;  // of STORE
	struct slice text;      // as it is shown: without the password
	struct slice name;      // of LINK, COMPONENT and memory
	struct slice path;      // of files: absolute; of a URL: behind the host, without the first '/', percent-decoded
	struct slice host;      // lower case; of IPv6 without brackets
	uint16_t port;          // 0: the provider's own
	struct slice user, password;  // percent-decoded
	bool has_password;      // of NATS also a token, without user
	bool password_is_reference;  // "${x}", and nothing else: it stands for a variable
	bool tls;
};
// `dir`: what relative paths are relative to (absolute itself). ERR_USAGE.
NODISCARD bool link_target_parse(struct arena *a, struct slice text, struct slice dir, struct link_target *ret, struct err *e);
// As a manifest has it: `type`, and its url or its path (of a component or a store in memory: its name); what is not there is empty.
NODISCARD bool link_target_make(struct arena *a, struct slice type, struct slice url, struct slice path, struct slice dir, struct link_target *ret,
	struct err *e);  // for tests
// Can a store of its type be there? What variables there were are in it. ERR_USAGE.
NODISCARD bool link_target_check(const struct link_target *t, struct err *e);
// The same text for all ways to one place, as link_target_same knows them.
void link_target_put_key(const struct link_target *t, struct buf *b);
// Do both lead to one place, in whatever way and with whatever credentials? Of files only what is written counts, and of hosts their names. false: perhaps not.
bool link_target_same(const struct link_target *a, const struct link_target *b);

// What a type of store can do: a row of providers.def.
#define LINK_CAPS(CAP)                                               \
	CAP(TTL, "ttl")              /* keeps what is left of a time to live */       \
	CAP(CAS, "cas")              /* swaps a value by its version */               \
	CAP(INCREMENT, "increment")  /* in one step, whoever else does */ \
	CAP(PAGES, "list paging")    /* lists page by page, each key that stays once */
enum link_cap {
#define LINK_CAP_BIT(name, text) LINK_CAP_BIT_##name,
	LINK_CAPS(LINK_CAP_BIT)
#undef LINK_CAP_BIT
#define LINK_CAP_FLAG(name, text) LINK_CAN_##name = 1u << LINK_CAP_BIT_##name,
		LINK_CAPS(LINK_CAP_FLAG)
#undef LINK_CAP_FLAG
};
struct link_provider {
	const char *type;     // of manifests
	const char *schemes;  // of targets, by spaces
	uint32_t caps;        // LINK_CAN_…
	uint64_t max_key, max_value;  // bytes
	uint16_t port;        // of a URL that names none; 0: it has no URLs
	const char *path;     // of a URL that has none
	bool by_user;         // each user may have a store of his own at one place
	const char *keys, *durability, *consistency;  // for people
	const struct link_store_ops *ops;
};
extern const struct link_provider link_providers[];
extern const unsigned link_n_providers;

// ---- links --------------------------------------------------------------------------------------------------------------------------------
struct link_config {
	struct slice tenant, app, name;  // tenant empty: "default"
	const struct link_target *target;  // of kind STORE
	const struct slice *space;       // `namespace`: in place of TENANT/APP; NULL: TENANT/APP
	const struct slice *buckets;     // identifiers that guests may open; none: "default"
	uint32_t n_buckets;
	uint64_t deadline_ns;            // of one call; 0: LINK_DEADLINE_NS
	uint32_t pool;                   // connections a thread; 0: LINK_POOL
	uint64_t epoch;                  // of the store, of changes before this process; 0: 1
	uint64_t keep_old_ns;            // a store that was left stays open so long; 0: until the next change
};
#define LINK_DEADLINE_NS (2 * SECOND)
#define LINK_POOL 4
// What a key and a value may be at most, whatever the store could take. Bytes.
#define LINK_KEY_MAX (64 * KIB)
#define LINK_VALUE_MAX (64 * MIB)
// What link_new takes: names, a target that is a store, namespace, buckets. USAGE, naming the link.
NODISCARD bool link_config_check(const struct link_config *c, struct err *e);
// Opens nothing that blocks: whether the store is there says link_ask. All is copied.
NODISCARD bool link_new(struct link_host *h, const struct link_config *c, struct link **ret, struct err *e);
// Components that are bound to it hold it.
void link_unref(struct link *l);
// Asks the store whether it is there and what it is; `done` is called on the main loop, perhaps before this returns; e->code is ERR_NONE if it is. The link
// lives until then.
void link_ask(struct link *l, void (*done)(void *ctx, const struct err *e), void *ctx);

// ---- components ---------------------------------------------------------------------------------------------------------------------------
// A row of a component's `links`: the import by label, "ns:pkg/iface@version", "ns:pkg/iface" or "ns:pkg". A link of NULL denies.
struct link_row {
	struct slice import;
	struct link *link;
	const char *name;  // of a link of another kind; of a store it has its own
	// What stands behind it where that is no link of a store: fills in interface, operations and provider. NULL: `link` does.
	bool (*offer)(void *ctx, struct slice interface, struct seam_offer *ret, struct err *e);
	void *ctx;
};
// What is offered to the component besides WASI, in *ret of the arena. The most specific row counts. ERR_LINK: an import that only a link can serve and none
// does (unless `deny_rest`: then it is denied), a row that fits no import, or a link whose store lacks what an import needs. The links must live as long as
// offers are used; who binds them (seam) holds them then.
NODISCARD bool link_offers(struct arena *a, const struct comp_component *comp, const struct link_row *rows, uint32_t n, bool deny_rest,
	struct seam_offer **ret, uint32_t *ret_n, struct err *e);

// A store serves the interface; else ERR_LINK, naming the link.
NODISCARD bool link_store_serves(struct slice interface, struct slice link, struct err *e);

// ---- a change of what lies behind a link (contract §3) --------------------------------------------------------------------------------------
enum link_step {
#define STEP(name, word) LINK_STEP_##name,
#include "steps.def"
#undef STEP
	LINK_N_STEPS,
};
extern const char *const link_step_words[LINK_N_STEPS];
struct link_move_facts {
	enum link_step step;
	uint64_t epoch;         // of the store in force
	uint64_t keys;          // copied in the first pass
	uint64_t target_keys;   // that the target started with
	uint64_t source_keys;   // of a dry run: that are in the store in force
	bool source_is_gone;    // that store did not answer, and is left as it is
	uint64_t noted;         // keys that the last round copied again
	uint32_t rounds;
	uint64_t pause_ns;      // from hold to release, the longest of the threads
	uint64_t discarded;     // keys that an undo with `discard` dropped
	char unmarked[200];     // what the store in force still says of itself, and why: its marker could not be written. Empty: it says the truth
};
struct link_move_config {
	const struct link_target *target;
	const struct slice *with;  // names of links of its app that move along, where they share its store (link_sharers); lent until link_move_start returns
	uint32_t n_with;
	bool copy, replace, dry_run;
	bool discard;  // without copy: the keys in which the target differs are counted, before anything changes
	uint32_t pool;                  // connections a thread that the links have by then; 0: as they have them
	uint64_t max_pause_ns, limit_ns;  // 0: 250 ms, 10 minutes
	void *ctx;
	// A step begins. May be NULL.
	void (*on_step)(void *ctx, const struct link_move_facts *f);
	// Before publish; of a copy while calls are held, else before they are. Makes the change last (contract §4), then calls link_move_journalled, now or later.
	// Where `done` tells an error afterwards, it must not last. NULL: nothing to do.
	void (*journal)(void *ctx, struct link_move *m);
	// It goes into force now, and there is no way back from here. false: it was cancelled. May be NULL.
	bool (*publish)(void *ctx);
	// It is over: e->code is ERR_NONE if the change is in force, and else nothing changed. The move is gone when this returns.
	void (*done)(void *ctx, const struct link_move_facts *f, const struct err *e);
};
// On the main thread: names of the other links of the app that lead to the store of this one, in the arena. false: memory is out.
NODISCARD bool link_sharers(const struct link *l, struct arena *a, struct slice **ret, uint32_t *ret_n);
// Begins a change of the store, in the namespace of the link, on the main loop's thread. false: it is refused, and `done` is not called: another change of
// this link is under way, links of other apps use its store, or, with a copy, one of this app that doesn't move along, or any the target.
NODISCARD bool link_move_start(struct link *l, const struct link_move_config *c, struct link_move **ret, struct err *e);
// Takes the last change back: a plain one plainly, a copy by a copy back, or (`discard`) without what came since. `target`, `copy`, `replace`, `pool` of the
// configuration don't count.
NODISCARD bool link_undo_start(struct link *l, const struct link_move_config *c, bool discard, struct link_move **ret, struct err *e);  // for tests
// `e`: ERR_NONE, or why it could not be written.
void link_move_journalled(struct link_move *m, const struct err *e);
// false: publish has begun.
bool link_move_cancel(struct link_move *m);

// That share of the calls that only read is asked of another store, too, once the guest has its answer (contract §3); percent 0: no more. A change of the link
// ends it. On the main thread. USAGE; ENV: it is the store that is in force.
NODISCARD bool link_shadow(struct link *l, const struct link_target *t, unsigned percent, struct err *e);

// ---- what is told -------------------------------------------------------------------------------------------------------------------------
struct link_facts {
	const char *state;       // "open", "noting", "holding"
	uint64_t calls, errors;  // since the start
	uint64_t in_flight, waiting;
	uint64_t call_ns;        // of all calls together
	struct {
		char target[200];    // without the password
		unsigned percent;    // 0: there is none
		uint64_t equal, different, failed, left_out;
		uint64_t guest_ns, shadow_ns;  // of those that were asked of both, all together
	} shadow;
};
void link_tell(const struct link *l, struct link_facts *ret);  // for tests
// Of the link of that name, from any thread. false: there is none.
NODISCARD bool link_tell_of(struct link_host *h, struct slice app, struct slice name, struct link_facts *ret);

#endif
