// Room ctl: how a running server is looked at and changed: the control socket, operations, what lasts (docs/control.md). And its client, which the command
// line is.
#ifndef TENON_CTL_H
#define TENON_CTL_H

#include "base/base.h"
#include "base/json.h"
#include "journal.h"

struct app;
struct app_link;
struct ctl;
struct ctl_state;
struct link;
struct link_facts;
struct link_target;
struct serve_process;
struct sys_stat;

// An app as it is or will be, whole, with the arena that it lies in. Counted, from any thread.
struct ctl_model {
	uint32_t refs;
	struct arena arena;
	const struct app *app;
};
void ctl_model_ref(struct ctl_model *m);
void ctl_model_unref(struct ctl_model *m);
// What versions that come import and those in force don't.
struct ctl_imports {
	struct buf list;  // JSON: objects with a comma between them
	struct buf text;  // for people: those by which it reaches something outside of itself
};
// A component that its manifest names by a file alone, as what runs was loaded: what is made of it anew has the same bytes, whatever the file has by now.
struct ctl_as_loaded {
	const char *component, *sha256, *copy;  // copy: a file that has them; NULL: none does, and sha256 isn't known
	const struct sys_stat *file;  // what its own file was
	bool is_file;                 // filled while it is made ready: the file was that still, and is what was loaded
};
// From what runs to what will.
struct ctl_turn {
	struct serve_process *process;
	struct ctl_model *from, *to;  // NULL: nothing does
	struct ctl_model *was;  // of one that is stopped: what was in force last, whose stores may hold something; NULL: nothing is known
	const char *busy;   // the component that a version is tried of, which stays as it is; NULL: none
	const char *const *moved;  // links whose store moves meanwhile: that is seen to
	uint32_t n_moved;
	const char *const *replaced;  // components whose files have other bytes than what runs
	uint32_t n_replaced;
	struct ctl_as_loaded *as_loaded;  // none of an apply: what files have now counts
	uint32_t n_as_loaded;
	bool guarded;       // a version that imports more by which it reaches something is refused
	struct ctl_imports *more;  // filled while it is made ready
	const char *const *others;  // components that get other bytes
	uint32_t n_others;
	bool updates;               // by an update or an apply: their thresholds may take those back
};
// A manifest as it was read: what it is, who made the process knows.
struct ctl_source;

// What ctl asks of who made the process out of manifests.
struct ctl_app_ops {
	// Of an operation's thread. A manifest, read anew (NULL: where the app's own is); what app_print wrote of one that lay in that folder (as app.root; empty: where
	// the app's own is). It is in force from `take` on, or let go by `drop`.
	bool (*read)(void *user, const char *path, struct ctl_source **ret, struct err *e);
	bool (*written)(void *user, struct slice text, struct slice folder, struct ctl_source **ret, struct err *e);
	void (*take)(void *user, struct ctl_source *s);
	void (*drop)(struct ctl_source *s);
	// It came, and nothing of it was ever in force: its state is closed.
	void (*left)(void *user);
	// It left, and nothing asks for it any more: `user` goes. On the control thread.
	void (*forget)(void *user);
	// The app of the manifest (NULL: the one in force), with live changes laid over it (app_inputs.live); in the arena. On any thread. Errors: those of app_load.
	bool (*load)(void *user, struct arena *a, const struct ctl_source *s, struct slice live, const struct app **ret, struct err *e);
	// The store behind a link of that name. NULL: there is none. On thread 0; it lives until ctl_stop.
	struct link *(*link)(void *user, const char *name);
	// On thread 0: makes ready, beside what serves, what differs of components and routes. `ready` is called once, perhaps before this returns: with what is to
	// be committed or abandoned, or with NULL and why. ERR_REFUSED: something differs that isn't changed while it runs.
	void (*prepare)(void *user, const struct ctl_turn *t, void (*ready)(void *ctx, void *prepared, const struct err *e), void *ctx);
	// In force; that of components for a share of the requests. `done` is called once all threads have taken it up.
	void (*commit)(void *user, void *prepared, unsigned percent, void (*done)(void *ctx), void *ctx);
	void (*abandon)(void *user, void *prepared);
	// How the store behind a link of that name is used; on any thread. false: there is none.
	bool (*link_facts)(void *user, const char *name, struct link_facts *ret);
};
struct ctl_app_config {
	const char *name;
	const struct app *app;          // in force; NULL: it is stopped, or a component without manifest, which isn't changed
	const struct sys_stat *files;   // of each of its components, before that was loaded; NULL: it has none
	struct ctl_state *state;        // what lasts of it; NULL: nothing does, and it isn't changed
	const struct ctl_app_ops *ops;  // NULL where there is no app
	void *user;
};
struct ctl_config {
	struct serve_process *process;      // is ready, and stays until ctl_stop
	const struct ctl_app_config *apps;  // at least one; borrowed until ctl_stop
	uint32_t n_apps;
	// The app of that name, by its manifest, which isn't among them: all but `app` of *ret, to be changed from nothing; its strings live until ctl_stop. On the control
	// thread. NULL: none comes.
	bool (*add)(void *user, struct slice name, const char *path, struct ctl_app_config *ret, struct err *e);
	void *user;
};
// What a component's file is now; zero: nothing is known of it. What is read later is the same only while that is.
void ctl_file_look(const char *path, struct sys_stat *ret);
// The socket answers from here on. Errors: ENV; of a folder that was not named (TENON_CTL) but found, *ret is NULL and it is true: *e says what is wrong.
NODISCARD bool ctl_start(const struct ctl_config *c, struct ctl **ret, struct err *e);
// From thread 0; NULL does nothing. Operations that run are asked to end, and waited for: thread 0 runs meanwhile.
void ctl_stop(struct ctl *ctl);

// The manifests of all apps that run are read again and made what is in force, as by tenon apply. On thread 0. false: none has one.
bool ctl_apply_all(struct ctl *ctl);
// The version of that number of a component was taken back by itself: that is a release, too. On thread 0.
void ctl_taken_back(struct ctl *ctl, const char *app, const char *component, uint64_t version, const char *why);

// ---- what lasts (state.c) ----------------------------------------------------------------------------------------------------------------------
// STATE/TENANT/APP, opened and locked, its releases read, and when its cron triggers ran. ENV.
NODISCARD bool ctl_state_open(const char *state, const char *tenant, const char *app, struct ctl_state **ret, struct err *e);
// NULL does nothing.
void ctl_state_close(struct ctl_state *s);
// The same; where there never was a release nothing is left of it, with `all` not even the folder STATE, if nothing else lies in it.
void ctl_state_leave(struct ctl_state *s, bool all);
// The live changes of the release in force; empty: none. Lives as long as nothing is added.
struct slice ctl_state_live(const struct ctl_state *s);
// The newest release says that nothing of the app is in force.
bool ctl_state_is_stopped(const struct ctl_state *s);
// The number of the store that is in force behind a link of the app, from 1 on (link_config).
uint64_t ctl_state_epoch(const struct ctl_state *s, const char *link);
enum ctl_edited { CTL_EDITED_REFUSED, CTL_EDITED_MANIFEST, CTL_EDITED_LIVE };
// The manifest that the process starts with against the one of the last start: what was changed live, and was edited in the file since then, is refused with
// both values (USAGE), or `how` says which of them counts. Both texts as app_print has them; in_force: with the live changes. *ret_changed: they are others now,
// and the app is to be loaded again.
NODISCARD bool ctl_state_settle(struct ctl_state *s, struct slice manifest, struct slice in_force, enum ctl_edited how, bool *ret_changed, struct err *e);
// Before that, and before it is loaded with the live changes: those of a part of a table that the manifest has no more. Refused with both values (USAGE), or, by
// `how`, nothing is left of them, or all that was in force of the table is laid over.
NODISCARD bool ctl_state_settle_lost(struct ctl_state *s, struct slice manifest, enum ctl_edited how, struct err *e);
// From here on there is no live change.
NODISCARD bool ctl_state_drop_live(struct ctl_state *s, struct err *e);
// From here on this manifest (as app_print has it, without live changes) is what live changes are laid over: the first release, or one more where it is another
// one than before, or lies in another folder (as app.root). ENV.
NODISCARD bool ctl_state_begin(struct ctl_state *s, struct slice manifest, struct slice folder, struct err *e);

struct app_cron;
// From here on it remembers when the cron triggers of this model (NULL: of none) ran last: of those that it knew with the same schedule that stays, others begin now.
// `s` NULL does nothing. `process`: is told of what can't be written, until ctl_stop; NULL: it isn't there yet. Before those triggers begin. Errors: memory.
NODISCARD bool ctl_state_crons(struct ctl_state *s, const struct app *app, const struct serve_process *process, struct err *e);
// Seconds since 1970; 0: it isn't known.
int64_t ctl_state_cron(struct ctl_state *s, const struct app_cron *t);
// One of those has run; on the disk soon. From any thread.
void ctl_state_cron_ran(void *state, const char *id, int64_t at);

// ---- where sockets are -------------------------------------------------------------------------------------------------------------------------
// $TENON_CTL, $XDG_RUNTIME_DIR/tenon, /run/tenon (root), /tmp/tenon-UID. *ret_named: by TENON_CTL. Errors: USAGE.
NODISCARD bool ctl_folder(char *out, size_t size, bool *ret_named, struct err *e);

// What a link of a manifest leads to. In the arena. USAGE; ENV: the current folder.
NODISCARD bool ctl_link_target(struct arena *a, const struct app_link *l, struct link_target *ret, struct err *e);
// Do two links lead to two stores, whatever their namespaces? Another way to one store and other credentials are none. *ret false: one of them is no store, too. Errors
// as above.
NODISCARD bool ctl_link_has_moved(struct arena *a, const struct app_link *from, const struct app_link *to, bool *ret, struct err *e);

// ---- the client ----------------------------------------------------------------------------------------------------------------------------------
struct ctl_peer {
	char path[108];  // of its socket
	uint64_t pid;
};
enum { CTL_PEERS_MAX = 1000 };
// The sockets that somebody answers on, those of dead processes removed; in the arena. None: *ret_n is 0.
NODISCARD bool ctl_peers(struct arena *a, struct ctl_peer **ret, uint32_t *ret_n, struct err *e);
struct ctl_question {
	const char *path;             // of the socket
	const char *method, *target;  // what is in the target is encoded
	struct slice body;            // empty: none
	// In place of it the first `file_size` bytes of what this has open, read as they are sent; plus one; 0: no file.
	int file;
	uint64_t file_size;
	const char *type;             // of the body; NULL: JSON
	const char *fields;           // further lines of the head, each with its CRLF; NULL: none
	uint64_t timeout_ns;          // from one piece of the answer to the next
	// Of a stream: each line of its body, without its newline. false: enough. NULL: the body is wanted whole.
	bool (*on_line)(void *user, struct slice line);
	void *user;
	// Asked whenever a signal came; true: give up (the error is TIMEOUT). May be NULL.
	bool (*interrupted)(void *user);
};
struct ctl_reply {
	unsigned status;
	struct slice body;  // in the arena
	struct json *json;  // of a body that is JSON; NULL: it is none
	bool late;          // of an error: it took longer than timeout_ns
};
// Errors: ENV (nobody is there, or it went away), MALFORMED. An answer that says what is wrong is one, too.
NODISCARD bool ctl_ask(struct arena *a, const struct ctl_question *q, struct ctl_reply *ret, struct err *e);
// What an answer's "error" says. Returns false.
bool ctl_reply_error(const struct json *error, struct err *e);
// One part of a path, or of a query.
void ctl_encode(struct buf *b, struct slice text);

#endif
