// tenon up: manifests, and what is made of them.
#ifndef TENON_CLI_UP_H
#define TENON_CLI_UP_H

#include "cli_int.h"
#include "ctl/ctl.h"
#include "http/http.h"
#include "link/link.h"
#include "serve/serve.h"
#include "wasi/wasi.h"

enum { UP_MAX_LISTENERS = 2000, UP_MAX_APPS = 10000, UP_MAX_COMPONENTS = 10000, UP_MAX_ROUTES = 100000, UP_MAX_LINKS = 10000 };

// A link of an app. On thread 0, but for what does not change: who loads a component reads that.
struct up_link {
	uint32_t refs;  // by the list of the process, and by batches whose components are bound to it
	struct up *up;
	char app[64], name[64], component[64];  // component: that stands behind it; empty: a store does
	bool is_store;
	uint64_t number;            // of no other's in the life of the process; a change of it keeps its number
	struct link *link;          // of a store, once it is opened
	const struct app_link *of;  // until it is opened and asked
	bool is_required;           // the app doesn't serve without it
	uint64_t epoch;             // of its store; 0: nothing says
};

// Where apps are asked. On thread 0, as long as the process serves.
struct up_listener {
	struct serve_listener_config config;
	bool gone;           // its addresses left: it is none
	struct arena arena;  // of one that came while it serves
};
// Who is asked there, or was before it was stopped.
struct up_hold {
	char app[64];
	unsigned listener;
};
// Where an app that comes or changes will be asked.
struct up_place {
	struct serve_listener_config config;
	unsigned site, leaves;  // of serve_address_change
	bool opens, rewires;    // addresses come, or go, or what is said of them is another
	struct arena arena;
};

// An app of a manifest: what its file said, and what lasts of it.
struct up_app {
	struct up *up;
	char name[64];
	struct cli_manifest manifest;  // owned where it came while others ran, or was applied
	const struct app *app;         // in force at the start; NULL: it is stopped, or came later
	const struct app *stopped;     // that of the file, where it is stopped: what it may be asked for at is listened on; else NULL
	struct ctl_state *state;       // NULL: nothing lasts
	struct ctl_source *source;     // that the manifest lies in, where it came later; NULL: it lies in the command line's arena
	struct up_batch *routes;       // that its routes lie in, where they were changed
	struct up_app *next;           // of those that came
	// Of thread 0: a store that it requires wasn't there at the start, and is asked again.
	struct loop_timer retry;
	uint64_t retry_ns;             // 0: it serves
	uint32_t asked;                // links whose answer is to come
	bool lacks;              // one of them wasn't there
};

// Connections to servers that an app may have; as long as the process.
struct up_quota {
	struct up_quota *next;
	struct http_quota of;
	char app[64];
};

// All apps of one process; its lists lie in the command line's arena.
struct up {
	struct cli *c;
	VEC(struct serve_app_config)
	apps;
	VEC(struct up_listener)
	listeners;  // by the index that serve has
	VEC(struct up_hold)
	holds;
	VEC(struct up_link *)
	links;
	VEC(struct up_app *)
	of;    // by app
	struct arena *arena;  // what is made now lies in it
	struct up_app *came;  // of the control thread
	const struct up_app *now;  // whose links are made
	struct up *whole;     // of one that changes an app: the process's; else NULL
	struct up_batch *batch;            // then: what holds what is made
	struct up_link *const *coming;  // then: links that come, before those of the process
	uint32_t n_coming;
	VEC(const char *)
	kept;      // texts that live as long as the process
	struct up_quota *quotas;   // any thread, by quotas_lock
	struct spinlock quotas_lock;
	struct link_host *host;  // NULL: there is no link of a store yet
	struct link_host_config host_config;
	struct http_tls *tls;  // of stores; atomic; NULL: none was needed yet
	struct serve_process *process;  // once it is there
};
// One app more: components, routes, the listener that they are on. What can't act yet is refused by name. USAGE.
NODISCARD bool cli__up_app(struct up *u, const struct app *app, struct err *e);

// Reads the manifest, and what was changed of it live and lasts (contract, section 4). What lasts is closed by cli__up_close.
NODISCARD bool cli__up_read(struct up *u, const char *path, struct err *e);
void cli__up_close(struct up *u);
// For ctl: the app of a manifest that isn't among those of the start. On the control thread. `user`: the process's struct up.
NODISCARD bool cli__up_add(void *user, struct slice name, const char *path, struct ctl_app_config *ret, struct err *e);
// For ctl, of a process that runs. NULL: memory is out.
struct ctl_app_config *cli__up_ctl(struct up *u);

// What serve gets of a component, of an app's routes.
NODISCARD bool cli__up_component(struct up *u, const struct app *app, const struct app_component *from, struct serve_service_config *ret, struct err *e);
NODISCARD bool cli__up_routes(struct up *u, const struct app *app, struct serve_app_config *ret, struct err *e);
// What else calls components of the app (up_trigger.c).
NODISCARD bool cli__up_triggers(struct up *u, const struct app *app, struct serve_app_config *ret, struct err *e);
// For ctl: what differs between two models made ready, in force, let go (up_live.c).
struct ctl_turn;
void cli__up_prepare(void *user, const struct ctl_turn *t, void (*ready)(void *ctx, void *prepared, const struct err *e), void *ctx);
void cli__up_commit(void *user, void *prepared, unsigned percent, void (*done)(void *ctx), void *ctx);
void cli__up_abandon(void *user, void *prepared);

// Of a link of a manifest. What can't act yet is refused by name.
NODISCARD bool cli__up_link_new(struct up *u, const struct app *app, const struct app_link *of, struct up_link **ret, struct err *e);
// What link_new is given for a link of `app` to a store, in the arena. USAGE: no such target.
NODISCARD bool cli__link_config(struct arena *a, const char *app, const struct app_link *of, struct link_config *ret, struct err *e);
NODISCARD bool cli__up_link_open(struct up_link *l, struct err *e);
void cli__up_link_unref(struct up_link *l);
// NULL: there is none.
struct up_link *cli__up_link_find(const struct up *u, const char *app, const char *name);
// Room for so many more; one that is the process's from here on, within that; one that is not the app's any more.
NODISCARD bool cli__up_links_reserve(struct up *u, uint32_t n);
void cli__up_link_add(struct up *u, struct up_link *l);
void cli__up_link_close(struct up *u, const char *app, const char *name);
// Of an app that fails: it is another one now, and what that requires is asked at once. Not `runs`: it is stopped, and requires nothing.
void cli__up_ask_now(struct up_app *a, bool runs);

// At the start: the listener of an app, which may be another one's, too; what an app that is stopped would be asked at is listened on, so that it can start
// again. After those that run. USAGE.
NODISCARD bool cli__up_listener(struct up *u, const struct app *app, unsigned *ret, struct err *e);
NODISCARD bool cli__up_keep_listener(struct up *u, const struct app *app, struct err *e);
// Where an app which comes, or whose [http] changes, will be asked; released whatever comes of it. From then on `take` can't fail. REFUSED.
NODISCARD bool cli__up_find_place(struct up *u, const struct app *app, const char *name, struct up_place *ret, struct err *e);
void cli__up_take_place(struct up *u, const char *name, struct up_place *p);
void cli__up_place_release(struct up_place *p);
void cli__up_listeners_release(struct up *u);
// How many connections an app may have: made where there is none; NULL: no memory. And one that is there as its manifest says, from now on.
struct http_quota *cli__up_quota(struct up *u, const char *app);
void cli__up_quota_set(struct up *u, const struct app *app);
// Of the manifest in hand: its links; what a component of it is offered of them.
NODISCARD bool cli__up_links(struct up *u, const struct app *app, struct err *e);
NODISCARD bool cli__up_offer(struct up *u, const struct app *app, const struct app_component *from, struct serve_service_config *ret, struct err *e);
// Before a store of the model is opened; on any thread.
NODISCARD bool cli__up_tls(struct up *u, const struct app *app, struct err *e);
// A link of type http as a component has it: its rules are the link's, and its private ranges the component's own. USAGE.
NODISCARD bool cli__up_http(struct up *u, const struct app *app, const struct app_component *of, const struct app_link *from, struct wasi_http_link **ret,
	struct err *e);
// May its requests be by TLS?
bool cli__up_http_is_tls(const struct wasi_http_link *l);
// `offer` of a row that has it (link_row).
bool cli__up_http_offer(void *ctx, struct slice interface, struct seam_offer *ret, struct err *e);
// Who opens and closes them beside the process.
struct serve_beside cli__up_beside(struct up *u);
// Adds where it stands. Returns false.
bool cli__up_at(const struct app *app, struct app_place place, struct err *e);
// Is the folder of a row of `files` there? ERR_ENV, with its place in the manifest: it isn't.
NODISCARD bool cli__up_folder(const struct app *app, const struct app_file *f, struct err *e);
// Says that something of a manifest can't act yet. Returns false.
bool cli__up_not_yet(const struct app *app, struct app_place place, const char *what, struct err *e);

#endif
