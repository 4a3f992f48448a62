// Inside the room ctl: folder → server → dispatch (routes.def) → answers that only read, and operations.
//
// Threads. The *control thread* owns the socket, every request and every answer; it never waits. An *operation* runs on a thread of its own, so that it may
// wait for disks and for thread 0 of the server, one at a time an app. What both see is within ctl->lock: apps, operations, events. Nothing is called out
// of the room with the lock held.
#ifndef TENON_CTL_INT_H
#define TENON_CTL_INT_H

#include "answer.h"
#include "ctl.h"
#include "state.h"
#include "sys/sys.h"

struct serve_update;

enum { CTL_EVENTS = 1024, CTL_EVENT_BYTES = 1 << 20, CTL_OPERATIONS = 256, CTL_OPERATION_BYTES = 4 << 20 };
enum { CTL_APPS_MAX = 10000, CTL_GONE = 16, CTL_WAITING_MAX = 64, CTL_STEPS = 16 };

// ---- events: what happened to an app, a bounded ring; each a line of JSON with its id ---------------------------------------------------------
struct ctl_events {
	char **lines;     // owned, no newline; NULL: memory was out. Of id at id % room
	uint32_t room;    // a power of two, at most CTL_EVENTS: most apps have few
	uint32_t n;
	uint64_t bytes;   // of the lines; beyond CTL_EVENT_BYTES the oldest go
	uint64_t next;    // id of the next; those from next - n on are there
};

// ---- operations ----------------------------------------------------------------------------------------------------------------------------------
enum ctl_op_state { CTL_WAITING, CTL_RUNNING, CTL_DONE, CTL_FAILED, CTL_CANCELLED, CTL_RECOVERED };
struct ctl_op {
	struct ctl_app *app;
	uint64_t number;
	uint32_t refs;            // the app's list, its thread; within the lock
	enum ctl_op_state state;
	struct arena arena;       // what it was asked for
	const char *what;         // for people: "link @store redis://…"
	char key[128];            // of idempotency; empty: none
	const char *step;         // static; the last that was begun
	struct ctl_step {
		const char *word;     // static
		uint64_t at_ns;       // since the operation's start
	} steps[CTL_STEPS];       // those that were begun
	uint32_t n_steps;
	uint64_t began_ns;
	bool has_epoch, cancel, published;
	bool by_itself;           // nobody waits for it: the log says why it failed
	bool happened;            // what it writes is so already: it begins before those that wait, however many
	bool has_if_release;
	uint64_t if_release;      // only where this one is in force when it begins
	uint64_t epoch, keys, pause_ns, release;
	// It was asked to end; within the lock, perhaps more than once, on any thread. NULL: it hears of that at its next step.
	void (*on_cancel)(struct ctl_op *op);
	void *of_cancel;
	const char *target;       // in its arena
	struct buf more;          // further members of its JSON, each with its comma before it
	struct err error;
	bool (*run)(struct ctl_op *op, struct err *e);
	void (*end)(struct ctl_op *op);  // before it is freed; NULL: nothing is to be done
	const void *args;
	struct ctl_op *next;      // of the app, the newest first
	struct sys_thread thread;
	bool started, over;       // its thread was started; it has ended and can be joined
};

// A version of a component that is tried on a share of the requests.
struct ctl__tried {
	char component[64];  // empty: none
	char sha256[65];
	unsigned percent;
	char *text;          // what makes it the component's, laid over the live changes; owned
};
// Which bytes a component has that a manifest names by their file alone.
struct ctl__kept {
	char component[64];
	char sha256[65];  // of its bytes among the blobs; empty: they are not there
	struct sys_stat file;  // that they were read from
};

struct ctl__shadow {
	struct ctl__shadow *next;
	char *link, *target;
};

struct ctl_app {
	struct ctl *ctl;
	char name[64], tenant[64];
	struct ctl_events events;
	struct ctl_op *ops;         // newest first; of those that are over at most CTL_OPERATIONS, and CTL_OPERATION_BYTES of what they tell
	struct ctl_op *running;
	uint32_t waiting;
	uint64_t next_op;
	uint64_t release;           // in force; 0: what isn't changed
	const struct ctl_app_config *config;
	struct ctl_state *state;    // NULL: it isn't changed. Its thread (the one operation that runs) writes; releases change within the lock
	struct ctl_model *model;    // in force; NULL: a component without manifest
	struct ctl__tried tried;    // of the one operation that runs
	struct ctl__shadow *shadows;  // targets that links' reads are asked of, too, as they were given; within the lock
	struct ctl__kept *kept;     // written by `keeper`, then by the one operation that runs, within the lock
	uint32_t n_kept;
	struct ctl_app_config own_config;  // of one that came later
	bool hidden;                // it came, and nothing of it has been in force yet
	bool gone;              // nor will be: it is here for who asks what became of that
};

// Of the connections' 64.
enum { CTL_REQUESTS_WAIT = 48, CTL_STREAMS_GO_ON = 32 };

struct ctl {
	struct ctl_config config;
	struct loop *loop;
	struct http_gate *gate;
	struct http_server *http;
	struct sys_thread thread;
	bool runs, bound, stopping;
	char path[SYS_SOCKET_PATH_MAX + 1];
	struct sys_socket_file file;
	struct loop_remote quit, changed;
	bool change_is_posted;           // any thread
	bool turns;                // something is made ready or comes into force: one at a time, since routes are all apps'; within the lock
	struct ctl_request *waiting;     // requests that are looked at when something has changed
	uint32_t n_waiting, n_following; // of these: all, streams without an end
	struct sys_mutex lock;
	struct sys_cond moved;           // an operation's state, for who stops
	struct ctl_app **apps;
	uint32_t n_apps;
	struct sys_thread keeper;        // keeps what components are at the start (blob.c)
	bool keeper_runs, kept;          // kept: it is over; within the lock
	uint64_t began_ns;               // wall clock
	struct loop_pool *uploads;       // of threads that write what comes (upload.c); NULL: nothing has come yet
	uint32_t n_uploads;              // so far
};

// ---- event.c: within the lock -----------------------------------------------------------------------------------------------------------------
// Members of the event as JSON, without braces: "kind":"…",…; what finds no memory is lost, and its number with it.
void ctl__event_add(struct ctl_app *app, struct slice members);
// The line is owned from here on. Without room the oldest is forgotten.
void ctl__events_put(struct ctl_events *e, char *line);
void ctl__events_release(struct ctl_events *e);
// Those behind `after` (0: all that are there) as server-sent events, as many as fit; `after` moves on.
void ctl__events_print(const struct ctl_events *e, uint64_t *after, struct buf *b);

// ---- app.c: what runs -----------------------------------------------------------------------------------------------------------------------
NODISCARD bool ctl__apps_open(struct ctl *ctl, struct err *e);
void ctl__apps_close(struct ctl *ctl);
// One that isn't there comes; nobody sees it before something of it is in force. On the control thread.
NODISCARD bool ctl__app_add(struct ctl *ctl, struct slice name, const char *path, struct err *e);

// ---- shadow.c -----------------------------------------------------------------------------------------------------------------------------------
// Within the lock. NULL: forgets it.
void ctl__shadow_set(struct ctl_app *app, const char *link, const char *target);

// ---- ctl.c ------------------------------------------------------------------------------------------------------------------------------------
// Within the lock. NULL: there is none.
struct ctl_app *ctl__app_find(struct ctl *ctl, struct slice name);
// It came, nothing of it is in force, and nothing will be: no operation of it runs or waits. Then another process may have it. Within the lock.
void ctl__app_leave(struct ctl_app *app);
// Requests that wait are looked at, soon. Any thread.
void ctl__changed(struct ctl *ctl);
void ctl__look_at_all(struct loop_remote *m);
// It waits from here on, at most so long (UINT64_MAX: as long as its client does). false: too many do, whose connections leave none to who asks something: it
// doesn't. On the control thread.
NODISCARD bool ctl__wait(struct ctl_request *r, uint64_t ns);

// ---- op.c -------------------------------------------------------------------------------------------------------------------------------------
struct ctl_ask {
	const char *what, *key;
	bool no_wait;            // refused where another runs
	bool has_release;        // only if this one is in force
	uint64_t release;
};
// An operation of the app that isn't there yet; its arena is the caller's to fill until it is begun. NULL: no memory.
struct ctl_op *ctl__op_new(struct ctl_app *app);
void ctl__op_free(struct ctl_op *op);  // of one that was not begun
// Begins it, or has it wait for the one that runs. *ret_status: 202, or why not (409, 412, 429, 503), then *e. One that came with the same key is *ret_op
// instead, and `op` is freed. Within the lock.
bool ctl__op_begin(struct ctl_op *op, const struct ctl_ask *ask, struct ctl_op **ret_op, unsigned *ret_status, struct err *e);
// Within the lock. By its id, "APP-NUMBER".
struct ctl_op *ctl__op_find(struct ctl *ctl, struct slice id);
// false: too late. Within the lock.
bool ctl__op_cancel(struct ctl_op *op);
bool ctl__op_is_over(const struct ctl_op *op);
void ctl__op_print(const struct ctl_op *op, struct buf *b);
// Of its own thread: it has come to this step (static). false: it was cancelled before it was published.
NODISCARD bool ctl__op_step(struct ctl_op *op, const char *step, struct err *e);
// The same where it is not asked whether it goes on; any thread.
void ctl__op_tell(struct ctl_op *op, const char *step);
// Too late to cancel from here on. false: it was cancelled.
NODISCARD bool ctl__op_publish(struct ctl_op *op, struct err *e);
// Answers a request for a change: `op` is begun as the head says (If-Match, Idempotency-Key, ?queue=false). On the control thread, without the lock.
void ctl__op_ask(struct ctl_request *r, struct ctl_op *op, const char *what);
// A change that nobody waits for. Within the lock.
void ctl__op_start(struct ctl_op *op, const char *what);

// ---- main.c: thread 0 of the server -----------------------------------------------------------------------------------------------------------
// `fn` is called on thread 0, and has returned when this does. Of an operation's thread, without the lock.
void ctl__on_main(struct ctl *ctl, void (*fn)(void *arg), void *arg);

// ---- release.c: a change of an app, from its operation's thread: a model, a record on the disk, in force ----------------------------------------
struct ctl__change {
	struct ctl_model *model;       // the app as it will be; NULL: it stops
	struct slice live;             // in the operation's arena
	struct ctl_source *source;     // that it is laid over; NULL: the one in force
	struct ctl__kept *kept;        // where something else is known of bytes by then; owned
	uint32_t n_kept;
	struct ctl__release *release;  // once it is written
};
// The app with these live changes (a text that lives in the operation's arena) over the manifest. USAGE and the like: that is no app.
NODISCARD bool ctl__change_load(struct ctl_op *op, struct slice live, struct ctl__change *ret, struct err *e);
// The same over that source, which stays the caller's.
NODISCARD bool ctl__change_load_from(struct ctl_op *op, const struct ctl_source *s, struct slice live, struct ctl__change *ret, struct err *e);
// The manifest that a release's live changes are laid over, which has one, as a source that is to be let go.
NODISCARD bool ctl__release_source(struct ctl_op *op, const struct ctl__release *r, struct ctl_source **ret, struct err *e);
// On the disk: from here on it is in force (ctl__change_publish), or aborted (ctl__change_end). Of the draft (NULL: all empty) what the change itself doesn't have.
NODISCARD bool ctl__change_record(struct ctl_op *op, struct ctl__change *c, const struct ctl__draft *d, struct err *e);
// Too late to cancel, and the same.
NODISCARD bool ctl__change_write(struct ctl_op *op, struct ctl__change *c, const struct ctl__draft *d, struct err *e);
// In force.
void ctl__change_publish(struct ctl_op *op, struct ctl__change *c);
// Nothing of it is. Also of one that was not written, or was published: then nothing is to be done any more.
void ctl__change_end(struct ctl_op *op, struct ctl__change *c);
// The app of the operation is stopped: that is why it is refused. Returns false.
bool ctl__is_stopped(const struct ctl_op *op, struct err *e);
// The store moved within a change of more: the link's undo doesn't take it back.
bool ctl__release_is_whole(struct arena *a, const struct ctl__release *r);
// The newest release not after `last` that gave a component other bytes, by what they hash to, in the arena; not one that took the place of bytes which were taken
// back while it was made ready. false: none.
struct ctl__updated {
	uint64_t release;
	struct slice sha256, replaced;
	bool may_be_more;  // by an apply, which may have changed more of it
};
bool ctl__release_updated(struct arena *a, const struct ctl__release *newest, const char *component, uint64_t last, struct ctl__updated *ret);
// The bytes that a component has since a release gave it other ones, if nothing of them was tried or rolled back since: what they hash to, in the arena, and when that
// was. false: there is no such release.
bool ctl__release_given(struct arena *a, const struct ctl__release *newest, const char *component, struct slice *ret_sha256, uint64_t *ret_time_ms);
// What a component had before the release, likewise, also where it went with it. false: the release didn't change that.
bool ctl__release_had(struct arena *a, const struct ctl__release *r, const char *component, struct slice *ret);
// The version that was tried when it was in force: component, sha256, percent. false: none was.
bool ctl__release_tried(struct arena *a, const struct ctl__release *newest, struct ctl__tried *ret);
// Asks all to end, and whether any is left.
bool ctl__ops_end(struct ctl *ctl);

// ---- route_link.c ------------------------------------------------------------------------------------------------------------------------------
// Names of the app's other links whose store is that of this one, in the operation's arena; none where it is no store.
NODISCARD bool ctl__link_sharers(struct ctl_op *op, const char *link, struct slice **ret, uint32_t *ret_n, struct err *e);
// [link.NAME] as a store's target has it. USAGE; REFUSED: there is a password in it.
NODISCARD bool ctl__link_table(struct ctl_op *op, const char *link, const char *target, struct buf *b, struct err *e);
// The store of a link moves with a copy: the whole of an operation.
NODISCARD bool ctl__link_move(struct ctl_op *op, const char *link, const char *target, bool dry_run, struct err *e);
// Its last move is taken back: likewise. `discard`: of a copy, without what came since.
NODISCARD bool ctl__link_undo(struct ctl_op *op, const char *link, bool discard, bool dry_run, struct err *e);

// ---- blob.c: components' bytes, STATE/TENANT/APP/blobs/SHA256 -----------------------------------------------------------------------------------
// On the disk when this returns. ENV.
NODISCARD bool ctl__blob_add(const struct ctl_state *s, struct slice bytes, char ret_sha256[65], struct err *e);
// The same of a file among the blobs that has these bytes already, and gets their name. 1: it did; 0: there was such a blob, the file is as it was; -errno.
int ctl__blob_take(const struct ctl_state *s, int file, const char *name, uint64_t size, const char *sha256);
// What makes a component of a manifest in that folder be such a blob: a text for app_live_add, in the arena.
NODISCARD bool ctl__blob_text(const struct ctl_app *app, struct arena *a, const char *folder, const char *component, const char *sha256, struct slice *ret,
	struct err *e);
// What components run, against what they will.
struct ctl__bytes {
	struct ctl__kept *kept;  // what is known by then; owned
	uint32_t n_kept;
	const char **replaced;  // whose file alone says other bytes; in the operation's arena
	uint32_t n_replaced;
	const char **others;    // that have other bytes than before, however that is said; likewise
	uint32_t n_others;
	struct buf updated;  // ",\"updated\":[…]" of the release, or empty
	struct buf gone;     // ",\"gone\":[…]", likewise
};
// `to`: NULL: nothing. `reads`: of those that no sha256 is said of, what their files have now counts, and is kept. ENV.
NODISCARD bool ctl__bytes_compare(struct ctl_op *op, const struct app *to, bool reads, struct ctl__bytes *ret, struct err *e);
void ctl__bytes_release(struct ctl__bytes *b);
// Those that no release of the last ten names go.
void ctl__blobs_trim(const struct ctl_app *app);
// Keeps the bytes of all components as they are at the start, on a thread of its own; waits until that is over.
void ctl__keeper_start(struct ctl *ctl);
void ctl__keeper_wait(struct ctl *ctl);
void ctl__keeper_stop(struct ctl *ctl);
// Of a component of the app in force; NULL: not known.
const char *ctl__kept_sha256(const struct ctl_app *app, const char *component);
// What was loaded since is what was compared: those files are as they were. ERR_REFUSED.
NODISCARD bool ctl__bytes_are_as_compared(const struct app *to, const struct ctl__kept *kept, uint32_t n, struct err *e);
// What is known of what was loaded, of components whose files stay the same ones, for who loads them anew: in the operation's arena, as long as the change has it. Then:
// the files that were loaded again are as they were. ERR_REFUSED.
NODISCARD bool ctl__bytes_as_loaded(struct ctl_op *op, const struct ctl__change *c, struct ctl_as_loaded **ret, uint32_t *ret_n, struct err *e);
NODISCARD bool ctl__bytes_are_as_loaded(const struct app *to, const struct ctl_as_loaded *list, uint32_t n, struct err *e);

// ---- route_link.c: stores that another change moves ------------------------------------------------------------------------------------------------
struct ctl__moves {
	const struct ctl_model *to;
	const char **names;  // of links, in the operation's arena
	uint32_t n;
	bool copy, replace, dry_run;
	bool by_manifest;  // of an apply, which can be asked for with and without a copy
};
// Fills in which stores are others in that model than in the one in force.
NODISCARD bool ctl__link_moves(struct ctl_op *op, const struct ctl_model *to, struct ctl__moves *ret, struct err *e);
// There are some: the store moves, and the record of the change, with the draft's, is written in between. Too late to cancel when this returns.
NODISCARD bool ctl__link_move_with(struct ctl_op *op, const struct ctl__moves *moves, struct ctl__change *change, const struct ctl__draft *draft, struct err *e);
// The same refused, with how many keys both hold. Returns false.
bool ctl__link_refuse(struct ctl_op *op, struct ctl__moves *moves, struct err *e);

// ---- turn.c: what runs becomes what another model says, from an operation's thread ----------------------------------------------------------------
// Ready beside what serves, or why not.
NODISCARD bool ctl__turn_prepare(struct ctl_op *op, const struct ctl_turn *t, void **ret, struct err *e);
// In force everywhere when this returns: no error any more.
void ctl__turn_commit(struct ctl_op *op, void *prepared, unsigned percent);
void ctl__turn_abandon(struct ctl_op *op, void *prepared);
// Of the versions of a component: another share for the one that is tried, or the end of that.
enum ctl__versions { CTL_SPLIT, CTL_PROMOTE, CTL_ROLLBACK };
NODISCARD bool ctl__turn_versions(struct ctl_op *op, enum ctl__versions what, const char *component, unsigned percent, struct err *e);
// Its version in force is watched by these thresholds for what is left of its time (serve_service_watch).
void ctl__turn_watch(struct ctl_op *op, const char *component, const struct serve_update *u, uint64_t left_ns);
// Numbers of its version in force and of the one that is tried, as serve has them (serve_service_numbers); 0: there is none.
void ctl__turn_numbers(struct ctl_op *op, const char *component, uint64_t *ret_in_force, uint64_t *ret_tried);
// Of links whose store is another one by then.
enum ctl__stores { CTL_STORES_REFUSED, CTL_STORES_COPIED, CTL_STORES_LEFT };
// What is to be in force.
struct ctl__aim {
	struct slice live;          // changes, in the operation's arena
	struct ctl_source *source;  // that they are laid over; NULL: the one in force. Taken over
	bool stops;              // nothing is
	bool dry_run, guarded;      // guarded: as of ctl_turn
	bool updates;               // a component gets other bytes, which its thresholds may take back
	struct slice members;       // of its record
	enum ctl__stores stores;
	bool replace;               // of a copy: what the target holds goes
};
// From check to publish.
NODISCARD bool ctl__turn(struct ctl_op *op, const struct ctl__aim *aim, struct err *e);

// A stream of what has ids begins: what its client has (Last-Event-ID or ?after=) in r->cursor; r->params[1] isn't empty where it ends with what is there
// (?follow=false). false: it was answered.
NODISCARD bool ctl__stream_begin(struct ctl_request *r);

// The app of its path; false: it isn't there, and the request was answered.
bool ctl__app_is_there(struct ctl_request *r);
// A request's change: the app of its path, which isn't there (it is answered, NULL) or can be changed. On the control thread.
struct ctl_op *ctl__op_of(struct ctl_request *r);
// What a body may have; CTL_ANY: its route looks at it.
enum ctl_member_kind { CTL_ANY, CTL_TEXT, CTL_FLAG, CTL_COUNT };
struct ctl_member {
	const char *name;  // NULL: the end
	enum ctl_member_kind kind;
};
// The body has no other members than these, and each is of its kind. false: it was answered.
NODISCARD bool ctl__body_has_only(struct ctl_request *r, const struct ctl_member *members);

// ---- folder.c: makes it where it isn't there; ctl->path is where the socket goes ---------------------------------------------------------------
NODISCARD bool ctl__folder_open(struct ctl *ctl, bool *ret_named, struct err *e);

// ---- dispatch.c ----------------------------------------------------------------------------------------------------------------------------------
void ctl__dispatch(struct ctl *ctl, struct http_exchange *x);

// ---- route_update.c: at the start, the versions that were tried when the process before ended are tried on, those that were watched are watched on -------
void ctl__tries_resume(struct ctl *ctl);

#define ROUTE(name, ...) void ctl__route_##name(struct ctl_request *r);
#include "routes.def"
#undef ROUTE

#endif
