// Inside the room serve: listener → router → service version → slot.
//
// A *listener* is an address and what is allowed on its wire; each thread has a *port* of it. Its *router* says which service answers a request. A
// *service* has a *version* in use: component, image, link, grants, limits; each thread has a *shard* of the service: the version it has taken up, its
// slots and its queue. A *slot* is a place where one instance of one version lives, and serves one request or many at once.
#ifndef TENON_SERVE_INT_H
#define TENON_SERVE_INT_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "access.h"
#include "admin.h"
#include "canon/canon.h"
#include "comp/comp.h"
#include "component.h"
#include "http/http.h"
#include "inbox.h"
#include "loop/loop.h"
#include "manager.h"
#include "memory.h"
#include "meters.h"
#include "obs/obs.h"
#include "places.h"
#include "relays.h"
#include "router.h"
#include "seam/seam.h"
#include "serve.h"
#include "slots.h"
#include "symbols/symbols.h"
#include "sys/sys.h"
#include "tier/tier.h"
#include "vm/vm.h"
#include "wasi/wasi.h"
#include "wire.h"
#include "writer.h"

// Of a call that begins now.
struct vm_budget serve__budget(const struct serve_service_limits *l, uint64_t now_ns);

// ---- deployment: what depends on the bytes and the configuration; immutable once loaded, shared by shards --------------------------
struct serve_deployment {
	const struct serve_service_config *config;
	const struct serve_process_config *process;  // how it logs
	struct arena arena;
	struct serve_component *component;
	struct comp_component *comp;  // these four are the component's
	struct vm_module **modules;
	uint32_t n_modules;
	struct canon_component *canon;
	struct symbols *symbols;  // what the places in them are called
	struct http_tls *tls;  // of requests that go out by https; NULL: none may
	struct wasi wasi;
	struct seam_registry registry;
	struct seam_link *link;
	struct seam_grants grants;
	struct canon_limits limits;
	struct wasi_log log;
	struct tier_file *cached;  // what the cache has of the file; NULL once loading is over
};
NODISCARD bool serve__deployment_load(struct serve_deployment *d, const struct serve_service_config *c, const struct serve_process_config *p, struct err *e);
// What to do with a component that is not what a command wants: says what it exports. Returns false.
bool serve__hint_exports(const struct serve_deployment *d, struct err *e);
void serve__deployment_release(struct serve_deployment *d);
// Compiles only; needs no links.
NODISCARD bool serve__deployment_compile(struct serve_deployment *d, const struct serve_service_config *c, const struct serve_process_config *p, struct err *e);

// The same of a core module: nothing is linked, `canon` and `comp` stay NULL.
NODISCARD bool serve__deployment_load_module(struct serve_deployment *d, const struct serve_service_config *c, const struct serve_process_config *p,
	struct err *e);

// A core module: calls its _start, or with `invoke` (else NULL) what that says.
bool serve__is_module(const struct serve_service_config *c);
int serve__run_module(const struct serve_config *c, const char *invoke, struct serve_outcome *ret, struct err *e);
// Threads of such a module (module_threads.c). What it imports for them: shared memories, and wasi.thread-spawn. `check`: of an import that is provided.
struct module_threads;
struct module_threads_given {  // the first thread's
	struct vm_module *mod;
	struct vm_store *store;
	struct vm_limits limits;
	struct vm_budget budget;  // of each
	struct wasi_preview1 *preview1;
	struct loop *loop;
	struct vm_shard *shard;
	struct seam_tasks *tasks;
	struct seam_task *task;
};
bool serve__module_threads_provide(const struct wasm_module *m, const struct wasm_import *im);
NODISCARD bool serve__module_threads_check(const struct wasm_module *m, const struct wasm_import *im, struct err *e);
// In the arena, for as long as the store. Makes the memories.
NODISCARD bool serve__module_threads_new(struct arena *arena, const struct module_threads_given *given, struct module_threads **ret, struct err *e);
NODISCARD bool serve__module_threads_import(struct module_threads *a, uint32_t import, struct vm_extern *ret, struct err *e);
// The first thread's guest has ended with `trap`: all others do. Returns what the whole ends with, with what is told of it.
enum trap serve__module_threads_end(struct module_threads *a, enum trap trap, struct canon_trap *told, struct vm_trap_info *ret_info);
// The call "name(1, 2.5)" of an export (module_call.c).
struct module_call {
	const struct wasm_func_type *type;  // NULL: none
	uint32_t func;                  // of the module
	uint64_t *args, *results;           // cells
};
NODISCARD bool serve__module_call_parse(struct arena *a, const struct wasm_module *m, const char *invoke, struct module_call *ret, struct err *e);
// Its results on stdout, one as it is, else in parentheses.
NODISCARD bool serve__module_call_print(const struct module_call *c, struct err *e);

// ---- invoked: streams and futures in the result of `run --invoke` -----------------------------------------------------------------------
enum { SERVE_PRINTED_MAX = 1 << 20 };  // values of streams that are printed
struct serve_tap;
struct serve_taps {
	struct canon_instance *instance;
	struct canon_task *task;
	struct arena *values;  // the instance's memory
	VEC(struct serve_tap *)
	taps;
	size_t left;         // values that are still taken
	bool cut;            // more came than that
	const char *failed;  // why something can't be printed; NULL: all can
};
void serve__taps_init(struct serve_taps *s, struct canon_instance *i, struct canon_task *task, struct arena *values);
// Takes the streams and futures in a native value, which gets their numbers here; from then on what comes by them is kept. On the fiber of the call. false: s->failed.
NODISCARD bool serve__taps_take(struct serve_taps *s, const struct wit_type *t, void *native);
// wit_wave_sink.contents; `ctx` is the taps.
bool serve__taps_contents(void *ctx, const struct wit_type *type, uint32_t number, const void **ret, size_t *ret_n, struct err *e);
// While the instance is there.
void serve__taps_release(struct serve_taps *s);

// ---- version ------------------------------------------------------------------------------------------------------------------------
struct serve_process;
struct serve_thread;

// Why a version is still there.
enum serve_version_use { VERSION_IN_SERVICE, VERSION_IN_CHOICE, VERSION_IN_SLOT, VERSION_IN_LOG, VERSION_IN_RELAY, VERSION_IN_OBJECT, VERSION_USES };

// What a version has done on one thread: calls that began, that ended; of these those with a status from 500 on; those that took longer than its `slow_ns`.
struct serve_tally {
	uint64_t begun, calls, errors, slow;
};
// As far from its neighbours that no two threads write to one cache line, wherever the array begins.
struct serve_tally_line {
	struct serve_tally of;
	uint8_t apart[64];
};

// What a service runs: immutable once it is ready. Counted, with the reason: it is replaced while calls of it end, and goes on thread 0 when nobody uses it.
struct serve_version {
	const struct serve_service_config *config;
	struct serve_process *process;
	struct serve_deployment deployment;
	bool answers;  // requests; what others call need not
	bool is_3;  // by wasi:http/handler@0.3, which async is the word for
	bool runs, runs_3;  // it is a command; of 0.3
	union {
		struct wasi_http_incoming_handler_exports handler;
		struct wasi_http3_handler_exports handler_3;
	};
	union {
		struct wasi_cli_run_exports run;
		struct wasi_cli3_run_exports run_3;
	};
	struct canon_image *image;
	struct seam_instance image_seam;  // of the instance that the image was taken from
	uint32_t refs;                  // any thread
	uint32_t uses[VERSION_USES];      // likewise: what they are made of
	struct loop_remote gone;
	struct seam_keeper keeper;      // of its instances
	struct serve_service *service;  // that it was prepared for while it serves; NULL: of the start
	uint64_t number;    // of its service, from 1
	uint64_t ends_ns;   // any thread: when what still runs in it is ended
	uint64_t slow_ns;   // any thread
	struct serve_tally_line *tallies;  // one a thread
	struct serve_choice *choice;       // empty: what it comes into force by, so that this can't fail; NULL once it has
	struct relay_exports *relayed;     // by what others call it, where the interfaces that they were linked to are another version's (relay.h)
};
NODISCARD bool serve__version_alloc(struct serve_process *p, const struct serve_service_config *c, struct serve_version **ret);
// From any thread.
NODISCARD bool serve__version_load(struct serve_version *v, struct err *e);
// Takes the image while thread 0's loop goes on, and calls `done` with *e as it is then, perhaps before this returns. *ret: what serve__image_stop ends it by;
// NULL: it is over.
struct serve_image_job;
void serve__version_begin_image(struct serve_version *v, const struct serve_thread *t, struct serve_image_job **ret, void (*done)(void *ctx, bool ok), void *ctx,
	struct err *e);
void serve__image_stop(struct serve_image_job *j);
// ERR_LINK: it answers no requests.
NODISCARD bool serve__version_must_answer(const struct serve_version *v, struct err *e);
// ERR_LINK: it is no command.
NODISCARD bool serve__version_must_run(const struct serve_version *v, struct err *e);
// A call of it is over.
void serve__version_count(struct serve_version *v, unsigned thread, unsigned status, uint64_t took_ns);
void serve__version_begin(struct serve_version *v, unsigned thread);
void serve__version_set_slow(struct serve_version *v, uint64_t ns);
struct serve_tally serve__version_tally(const struct serve_version *v);
// Loads the component and binds its handler; on thread 0 takes the image, which runs the guest and is ended by *stop. *ret: the service's reference.
NODISCARD bool serve__version_new(struct serve_process *p, const struct serve_service_config *c, struct serve_version **ret, struct err *e);
NODISCARD bool serve__version_make_image(struct serve_version *v, const struct serve_thread *t, const bool *stop, struct err *e);
void serve__version_ref(struct serve_version *v, enum serve_version_use use);
void serve__version_unref(struct serve_version *v, enum serve_version_use use);

struct serve_request;
struct serve_service;
struct serve_shard;
struct serve_thread;
// ---- trace ----
struct serve_trace {
	struct obs_context self;
	uint64_t parent;  // 0: it is the first of its trace
	bool is_there;    // else nothing is traced
	bool has_parent;  // that came with the request
};
enum { SERVE_ID_MAX = 128, SERVE_STATE_MAX = 512 };
// Of a request that is new.
void serve__trace_begin(struct serve_request *c);
// It is over, and its slot is still there.
void serve__trace_end(const struct serve_request *c, unsigned status, uint64_t took_ns);
// A call is over, or a request that went out.
void serve__trace_call(struct serve_thread *t, const struct serve_shard *by, const struct serve_trace *of, const struct seam_seen *seen, uint64_t took_ns);
uint64_t serve__trace_id(struct serve_thread *t);
// The traceparent of a request that goes out for one that is traced so; good until the next.
struct slice serve__trace_context(struct serve_thread *t, const struct serve_trace *of, uint64_t span);
// Of the thread's tasks.
void serve__watch_init(struct seam_watch *w);
void serve__watch_release(struct serve_shard *s);
// Of all threads together; the i-th link that the service's instances called, in no order. false: there are not so many.
bool serve__link_sum(const struct serve_service *s, unsigned i, struct serve_link_meters *ret);
// The bound of the bucket that the call of that rank is in.
uint64_t serve__quantile(const uint64_t buckets[SERVE_BUCKETS], uint64_t rank);
unsigned serve__bucket(uint64_t took_ns);
// A request that is over with that status (499: its client left), before its slot goes. Returns how long it took, in nanoseconds.
uint64_t serve__meter_call(const struct serve_request *c, unsigned status);
// A call by a trigger or another component that is over; TRAP_NONE: it returned.
void serve__meter_inner(struct serve_shard *s, const struct canon_instance *i, uint64_t cpu_ns, enum trap trap);
// One that never became a call.
void serve__meter_refused(struct serve_shard *s, unsigned status);
// One that no service got.
struct serve_port;
void serve__meter_own(const struct serve_port *p, unsigned status);
// ---- recent: receipts of requests and lines of the log, for who asks (control.md) ---------------------------------------------------------
struct serve_receipts;
NODISCARD bool serve__receipts_open(struct serve_thread *t);
void serve__receipts_close(struct serve_thread *t);
// A request that is over, before its slot goes.
void serve__receipt_keep(const struct serve_request *c, unsigned status, uint64_t took_ns);
// A call of a request that is perhaps over.
void serve__receipt_call_keep(struct serve_receipts *t, const struct serve_receipt_call *c);
// Takes the line over, with its newline.
void serve__line_keep(struct buf *b);
// Outcome of a call in one word.
const char *serve__outcome(const struct serve_request *c);
// The page /metrics; `open`: as OpenMetrics. From any thread, as long as the process is open.
void serve__metrics_print(const struct serve_process *p, bool open, struct buf *b);

// ---- service ------------------------------------------------------------------------------------------------------------------------
struct serve_request;
struct relay_guest;
// A call that is in a slot: of a request, or of another component (neighbours.c).
struct serve_inside {
	struct serve_inside *next, **prev;
	struct seam_task *task;
	bool overdue;  // its time was over while it had neighbours
};
struct serve_slot {
	struct serve_slot *next, **prev;  // of those that can take another request; prev NULL: it is not among them
	struct serve_version *version;
	struct serve_stock *stock;        // that it was made for, and goes back to while that is of its version
	struct serve_shard *shard;        // that it is on
	struct seam_instance seam;
	struct canon_instance *canon;
	struct loop_job emptying;
	uint64_t number;                  // of those that its shard made
	struct serve_inside *inside;      // calls in it now
	unsigned tasks, max_tasks;        // how many those are, and places that are kept for handles, at most
	struct relay_guest *guest;        // policy concurrent: by which others call it; NULL: none does
	uint64_t begun;    // policy concurrent: requests that entered it since it was equal to the image
	unsigned overdue;  // of them: those that have had their answer, and end with the last of the others
	bool used;         // has served a request since it was equal to the image: its remaining steps have run
	bool lags;         // runs code that is to be replaced by what is compiled behind
	bool leaves;       // nobody calls it any more: of those that are emptied, no call filled it just now
	bool closed;       // a call of it did not return, or not in time: no further one, and it goes with the last
	bool cut;          // by who called it, not by a failure of its own
	uint64_t served;   // since then
	uint64_t since_ns; // it has been without requests
};

// Names of apps and components; looks at a version that is watched.
enum { SERVE_NAME_MAX = 63, SERVE_LOOKS = 16, SERVE_ROOTS = 256 };
struct serve_relay;
struct relay_far;
struct serve_choice;
// Of a version, on one shard.
struct serve_stock {
	struct serve_version *version;  // NULL: it is none's
	struct serve_slot *free_slots;  // with room for another request
};
// A shard is a service's part of one thread.
struct serve_shard {
	struct serve_service *service;
	struct serve_thread *thread;
	unsigned index;
	struct loop *loop;              // the thread's
	struct vm_shard *vm;            // the thread's
	struct serve_choice *choice;    // that it has taken up
	struct serve_choice *last;      // what the queue runs in, where none is in force any more; NULL: it needs none
	struct serve_choice *offered;   // any thread: to be taken up between two requests; NULL: none
	struct loop_remote take_up;     // posted by who makes `offered` something
	struct serve_slot *emptying;    // what they hold is let go in pieces
	struct serve_slot *leaving;     // that nobody calls any more, a few of which go at a time
	uint64_t n_emptying[2];         // how many of both, by `leaves`
	struct loop_job freeing;        // of those that leave
	struct serve_slot *spent;       // policy fresh: nobody is in them, and they are made equal to the image together
	unsigned n_spent;
	struct loop_job renewal;        // posted while there are some
	struct loop_job refill;         // slots that are kept ready are made again
	struct loop_timer refill_timer; // policy keep: when that may be
	struct serve_stock stocks[2], *stable, *tried;  // tried NULL: there is one version
	unsigned turn;                  // hundredths of a request that the one that is tried is owed
	struct loop_timer retire_timer; // armed while something runs in versions that have left
	struct loop_timer idle_timer;   // policy reuse: armed while one of them has been used
	struct loop_timer relink_timer; // armed while some lag
	uint64_t lagging;               // slots that do
	uint64_t relink_after_ns;       // since it was armed
	struct serve_request *free_requests;
	struct serve_request *queue_head, **queue_end;  // end: where the next is hung in
	struct loop_job queue_turn;     // posted: the head of the queue is tried
	struct loop_timer queue_retry;  // armed: it could not start, and is tried again
	uint64_t shortage_logged_ns;
	struct serve_request *running;  // what `calls` counts
	struct loop_timer memory_timer; // armed while some run
	uint64_t looked_ns, unlooked;   // when that was last looked at; bytes of the calls that had their first turn since
	uint64_t largest, in_calls;     // any thread: bytes of the call that used most, and of all, when it was last looked
	uint64_t calls, queued, slots;  // now; counted as meters are
	struct serve_meters meters;
	struct serve_link_meters *links;
	int waiting;                    // any thread: the head of the queue waits for a place that another shard may give back
	struct loop_remote wake;        // posted by who does
	uint64_t request_count;
	unsigned telling;               // lines of the log that wait for the lines of a trap's places
	struct relay_guest *guests;     // instances that other components call
	struct relay_far *far;          // policy keep: calls from other threads
	unsigned closers;               // calls of them that go on without a request of the shard: destructors, those of many, those from other threads
	unsigned failures;              // policy keep: in a row; the next instance is not made before `not_before_ns`
	uint64_t not_before_ns;
	// Policy keep: calls that wait until there is a guest; slots that somebody is in (at most one); and who had it last, or let his turn pass: a call, else a request.
	struct relay_wait *seeking, **seeking_last;
	unsigned taken, kept;           // kept: its slots of such versions, also those that are being emptied
	bool calls_had_it, keeps;       // keeps: what is in force, as far as it was taken up, is of policy keep
	bool open, closing, comes;      // closing: no further request; comes: of a service that came while others served, it opens with its first choice
};

// Its services are limited together.
struct serve_app {
	uint64_t max_calls, max_memory;  // 0: no limit
	uint64_t release;    // any thread: in force, as its owner says
	bool fails;          // any thread: what it requires isn't there
	struct shared_count calls;
	struct serve_app *next;  // of those that came while others served
};
struct serve_service {
	char name[SERVE_NAME_MAX + 1], app[SERVE_NAME_MAX + 1];  // of the component, and of its app
	struct serve_process *process;
	struct serve_app *of;
	struct shared_count calls;  // of all shards, where they are limited
	struct shared_count at_work;  // likewise: policy concurrent: instances that requests are in
	struct spinlock told;  // of the two that follow: what is in force
	char path[512];        // cut
	enum serve_policy policy;
	bool there;            // any thread: a version of it is in force
	// Of thread 0: what is in force; two versions while one is tried; and the one before, while a new one is watched.
	struct serve_choice *choice;
	struct serve_version *version, *tried, *previous;  // version NULL: none is in force, it came and has none yet, or left
	struct serve_version *coming;  // ready, and not yet in force; within process->relays
	struct serve_choice *spare;    // empty: what it leaves by, so that this can't fail
	uint64_t numbers;  // of versions, given so far
	struct serve_update update;  // the last
	struct loop_timer watch;
	uint64_t watched_until_ns, looked_ns[SERVE_LOOKS];
	struct serve_tally looks[SERVE_LOOKS];
	uint32_t n_looks;
	struct serve_shard *shards;                 // one a thread
	struct serve_relay *relay;  // as other components call it; NULL: none does
	bool leaves;        // it was to leave while others called it, and does when they don't
	bool answers, is_run;  // requests, triggers call it: each version must be such
	// Any thread: what was put in force last, or comes first, is of policy keep: one instance in the process, on SERVE_KEEPER; shards have taken that up or not
	bool on_one_shard, leads;  // (serve__keeps). leads: it will be, and requests are led there before it is
};
// The thread that has all instances that are kept: so a connection that has come to one finds the others where it is. Routes change there first, so that what
// another thread sends there by new ones finds them; and who begins with a listener there ends with it last.
enum { SERVE_KEEPER = 0 };
// On the shard's thread: calls of the service go to the one instance.
static inline bool serve__keeps(const struct serve_shard *s)
{
	return s->choice ? s->keeps : __atomic_load_n(&s->service->on_one_shard, __ATOMIC_ACQUIRE);
}
static inline bool serve__app_fails(const struct serve_service *s)
{
	return UNLIKELY(__atomic_load_n(&s->of->fails, __ATOMIC_RELAXED));
}
// ---- choice: what the requests of a service run in ----
struct serve_choice {
	struct serve_version *versions[2];  // that stays; that is tried on `percent` of the requests, or NULL
	unsigned percent;
	const char *cookie, *header;        // who carries the same value in it gets the same version; NULL both: nobody is known
	uint32_t refs, waiting;             // waiting: shards that have not taken it up
	struct loop_remote acknowledged;
	void (*done)(void *ctx, const struct err *e);  // on thread 0, once all have
	void *ctx;
};
NODISCARD bool serve__choice_new(const struct serve_choice *like, struct serve_choice **ret);
// The same in two halves. NULL: no memory.
static inline struct serve_choice *serve__choice_alloc(void)
{
	return mem_zalloc(sizeof(struct serve_choice));
}
void serve__choice_init(struct serve_choice *c, const struct serve_choice *like);
// Takes the reference over.
void serve__choice_publish(struct serve_service *service, struct serve_choice *c);
// Before the threads start: what comes from other threads may come then.
void serve__choices_init(struct serve_service *service);
// The first, of the version that is there.
NODISCARD bool serve__choice_begin(struct serve_service *service, struct err *e);
void serve__choice_forget(struct serve_service *service);
// What is offered to a shard, if anything is: on its thread, or once that is gone.
void serve__choice_take_up(struct serve_shard *s);
// ---- stock.c: what of it a shard has
void serve__choice_unref(struct serve_choice *c);  // NULL does nothing
bool serve__choice_has(const struct serve_choice *c, const struct serve_version *v);
// NULL: there is none.
struct serve_stock *serve__stock_of(struct serve_shard *s, const struct serve_version *v);
// But for those of the choice (NULL: of none).
void serve__stocks_discard(struct serve_shard *s, const struct serve_choice *but);
// Where s->last is: what a request of the queue runs in; it goes; the queue is empty, so that it goes with its slots.
struct serve_stock *serve__choice_last(struct serve_shard *s, bool tries);
void serve__choice_forget_last(struct serve_shard *s);
void serve__choice_left(struct serve_shard *s);
// ----
void serve__choice_open(struct serve_shard *s);
void serve__choice_close(struct serve_shard *s);
// Does this request run in the version that is tried?
// `ret_cookie`: what set-cookie is to say so that its client comes back to the same one; empty: nothing.
bool serve__choice_tries(struct serve_shard *s, const struct http_request *r, char *ret_cookie, size_t size);

// ---- update ----
// Ends what is being prepared; on thread 0, whose loop it runs.
void serve__preparing_end(struct serve_process *p);
// On thread 0: components that nobody is linked to any more are bound to no interface from here on, and those that were to leave do.
void serve__relays_look(struct serve_process *p);
// Its versions are not in force any more.
void serve__service_forget(struct serve_service *s);
// Of a service without a version, which is not among those of the process yet. `app`: NULL where the component stands for its own.
NODISCARD bool serve__service_new(struct serve_process *p, const char *app, const char *component, const struct serve_service_config *c, struct serve_app *of,
	struct serve_service **ret, struct err *e);
// What is told of it.
void serve__service_tell(struct serve_service *s, const struct serve_service_config *c);
// The version that is in force, or the one that is about to be.
struct serve_version *serve__service_ahead(const struct serve_service *s);

NODISCARD bool serve__shard_open(struct serve_shard *s, struct serve_thread *t, struct err *e);
// Slots that wait for the first requests, on the first shard and where they are asked for: what can't have one is no server (H9).
NODISCARD bool serve__shard_warm(struct serve_shard *s, struct err *e);
// On the thread that opened it; all its requests have ended.
void serve__shard_close(struct serve_shard *s);

// ---- triggers: what calls components when no request does (trigger.h) -------------------------------------------------------------------
struct serve_trigger;
struct serve_triggers;
// Of all apps. ERR_LINK: a component is no command; USAGE: there is no such time zone.
NODISCARD bool serve__triggers_open(struct serve_process *p, const struct serve_setup *setup, struct err *e);
// The process is ready.
void serve__triggers_begin(struct serve_process *p);
void serve__triggers_close(struct serve_process *p);
// What serve_triggers_commit has for a thread.
void serve__triggers_take_up(struct serve_thread *t);
// On the thread: it drains.
void serve__triggers_drain(struct serve_thread *t);
// The shard: is being closed; runs another version from now on; looks for what has left (returns when to look again, at most `next_ns`).
void serve__triggers_end(struct serve_shard *s);
void serve__triggers_changed(struct serve_shard *s);
uint64_t serve__triggers_retire(struct serve_shard *s, uint64_t now_ns, uint64_t next_ns);

// ---- route: the way of a request to who answers it ---------------------------------------------------------------------------------------
// Of a port: the router that its thread has taken up.
struct serve_routing {
	struct serve_router *router;
	uint64_t uses;  // requests that read it
	bool replaced;
};
NODISCARD bool serve__routing_new(struct serve_router *r, struct serve_routing **ret, struct err *e);
void serve__routing_free(struct serve_routing *r);  // of one that no port has; NULL does nothing
// In place of the one that it has. On the port's thread, between two requests.
void serve__port_take_routing(struct serve_port *p, struct serve_routing *r);
void serve__port_release_router(struct serve_port *p);
void serve__routing_unuse(struct serve_routing *r);
// A request of a site with routes. Takes the exchange over.
void serve__route(struct serve_port *p, struct http_exchange *x);
// It is to be answered on the keeper's thread.
bool serve__route_is_kept(struct serve_port *p, const struct http_request *r);
// How it came to a service: for as long as serve__request_begin runs.
struct serve_way {
	struct serve_routing *routing;
	const struct serve_route *route;
	const struct serve_match *match;
	const struct serve_origin *origin;
	struct slice path;
};
// What it keeps of that.
enum { SERVE_ROUTED_FIELDS = SERVE_PARAMS_MAX + 3 };
struct serve_routed {
	struct serve_routing *routing;  // NULL: it came by no route
	const struct serve_route *route;
	uint8_t *text;                  // of the target where that was resolved; else NULL
	struct slice target;            // then: what the guest gets
	struct slice authority, rest, params[SERVE_PARAMS_MAX];
	struct http_address client;
	bool https;
	char client_text[64];
};
// What of a target is the path; of "*" it is "/".
struct slice serve__path_of(struct slice target);
// false: no memory.
NODISCARD bool serve__routed_keep(struct serve_routed *to, const struct serve_way *way, const struct http_request *r);
void serve__routed_release(struct serve_routed *r);
// What the guest gets besides the request's own fields. Returns how many.
uint32_t serve__routed_fields(struct serve_routed *r, struct http_field ret[SERVE_ROUTED_FIELDS]);

// ---- listener -----------------------------------------------------------------------------------------------------------------------
// Addresses that are served alike, by one router.
struct serve_site {
	struct serve_process *process;
	struct serve_wire *wire;      // thread 0: the newest
	struct serve_router *router;  // thread 0: the newest
	struct serve_service *all;    // that answers everything, as long as the process lives; NULL: there are routes
	bool there, leaves;           // there: it is one; leaves: its addresses do, and it goes with the last
};
// A listener's part of one thread.
struct serve_port {
	struct serve_listener *listener;
	struct serve_thread *thread;
	struct serve_routing *routing;
	const struct serve_wire *wire;  // that its thread has taken up
	struct buf scratch;  // of a path that is resolved
	struct http_server *http;
	int fd;        // of a socket that all threads accept from, until it is opened; -1: each has its own
	bool drained;  // no connection is left
	bool leaves;   // its address does: it is closed then, or when the time for that is over (addresses.c)
	struct loop_timer leave_timer;
	struct loop_remote closes;
	struct spinlock lock;  // of what follows, and against who reads what `http` counts
	struct http_counters counted;  // once `http` is gone
	// Of the keeper's: connections that the others passed to it.
	struct http_passed *first_passed, **last_passed;
	bool told;             // `passed` is posted
	struct loop_remote passed;
	struct loop_remote fed;  // nobody passes on any more
	// Of the others: it may pass on connections; and does with those that are about to speak HTTP/2. leads: and of services that become such as are kept (`leads`).
	bool feeds, passes_h2, leads;
};
enum serve_listener_state { LISTENER_FREE, LISTENER_HELD, LISTENER_SERVES, LISTENER_DRAINS };
// Something to listen on, of three kinds: an address, which each thread binds; a socket in the file system; one that was handed over.
struct serve_listener {
	struct serve_process *process;
	struct serve_site *site;
	struct http_address address;  // len 0: it has none
	const char *path;             // to be bound, of a socket in the file system; NULL: none
	bool bound;                // it is there
	bool handed;                  // it was handed over
	enum serve_listener_state state;  // any thread; of a free one only `ports` counts
	uint32_t open_ports;          // any thread: that are not closed
	uint32_t feeding;             // any thread: ports that pass on connections to the keeper's
	struct loop_remote closed;    // to thread 0: the last is
	struct sys_socket_file file;
	char name[SYS_SOCKET_PATH_MAX + 16];  // what it was told as; of one that was handed over "unix:PATH"
	bool is_tls;                  // of who comes from here on
	struct serve_port *ports;     // one a thread; stay when it is free
};
// Of an address or a path, as serve_check_address takes it; or of a descriptor, which is handed over and taken over, also when it fails.
NODISCARD bool serve__listener_init(struct serve_listener *l, struct serve_site *site, const char *text, struct err *e);
NODISCARD bool serve__listener_init_handed(struct serve_listener *l, struct serve_site *site, int fd, struct err *e);
// "HOST:PORT", or "unix:PATH" (*ret_path, else NULL).
NODISCARD bool serve__address_parse(const char *text, struct http_address *ret, const char **ret_path, struct err *e);
void serve__listener_release(struct serve_listener *l);
// Takes its path out of the file system, on thread 0: nobody comes by it any more.
void serve__listener_unbind(struct serve_listener *l);
// "http://127.0.0.1:3000", "unix:PATH".
void serve__listener_print(const struct serve_listener *l, struct buf *b);
// Opens a thread's port and listens; `first`: nobody else may have the address. Connections that ask for a kept instance are passed on to the keeper's.
NODISCARD bool serve__port_open(struct serve_listener *l, struct serve_thread *t, bool first, struct err *e);
// Who comes from here on is served so. On its thread.
void serve__port_take_wire(struct serve_port *p, const struct serve_wire *w);
void serve__port_drain(struct serve_port *p);
void serve__port_close(struct serve_port *p);
// It drains, and is closed when it has, or after that time (0: it takes what it takes); then the listener is told. On its thread.
void serve__port_leave(struct serve_port *p, uint64_t at_most_ns);
// One port less is open; with the last `closed` comes to thread 0.
void serve__listener_port_closed(struct serve_listener *l);
// Somebody may have come by it.
static inline bool serve__listener_is_there(const struct serve_listener *l)
{
	return __atomic_load_n(&l->state, __ATOMIC_ACQUIRE) >= LISTENER_SERVES;
}

// ---- sites: all of them, opened, given their routes, closed -------------------------------------------------------------------------------
// What was handed over says what it is for, where there are several.
NODISCARD bool serve__check_handed(const struct sys_handed *handed, const char *admin, struct err *e);
int serve__handed_for_admin(const struct sys_handed *handed);  // a descriptor; -1: none
unsigned serve__count_addresses(const struct serve_setup *setup, const struct sys_handed *handed);
NODISCARD bool serve__sites_open(struct serve_process *p, const struct serve_setup *setup, const struct sys_handed *handed, struct err *e);
// Once the services are there.
NODISCARD bool serve__sites_route(struct serve_process *p, const struct serve_setup *setup, struct err *e);
// The routes of one, by the apps of the setup alone.
NODISCARD bool serve__site_routes(struct serve_process *p, const struct serve_setup *setup, unsigned site, struct serve_service *all, struct serve_router **ret,
	struct err *e);
// One more, with its router, without addresses; by a copy of the configuration.
NODISCARD bool serve__site_new(struct serve_process *p, const struct serve_listener_config *c, struct serve_site **ret, struct err *e);
void serve__site_free(struct serve_site *s);
// What serve_routes_commit has for a thread; and what it does for that is over: it is being closed.
void serve__routes_take_up(struct serve_thread *t);
void serve__routes_end(struct serve_thread *t);
// What serve_addresses_commit and the like have for a thread.
void serve__addresses_take_up(struct serve_thread *t);
void serve__sites_close(struct serve_process *p);

// ---- certificates --------------------------------------------------------------------------------------------------------------------
// *ret stays where there are none.
NODISCARD bool serve__certificates_open(const struct serve_listener_config *c, struct http_tls **ret, struct err *e);
// Reads them again, `if_changed`: those whose files have changed. false: there are none.
bool serve__certificates_reload(struct serve_process *p, bool if_changed);
// Looks whether they have changed, from here on.
void serve__certificates_watch(struct serve_process *p);

// ---- process: threads that each run a shard of every service and a port of every listener ---------------------------------------------
struct serve_thread {
	struct serve_process *process;
	unsigned index;
	pthread_t id;
	bool started;
	struct loop *loop;
	struct vm_shard *vm;
	struct seam_tasks *tasks;
	struct http_client *http;  // for the requests that guests send
	struct serve_receipts *receipts;  // any thread: of the last that it served
	struct seam_watch watch;
	uint64_t trace_random;     // of ids; 0: not begun
	char trace_parent[OBS_PARENT_LEN], trace_state[SERVE_STATE_MAX];  // of the last request that went out
	uint64_t requests;         // that were given a number
	struct spinlock lock;      // against who reads what that counts
	struct http_counters counted;  // once it is gone
	struct loop_remote drain, quit, dump, pulse;
	struct loop_remote all_drained;  // posted by the last that has
	bool dumping, pulsing;  // any thread: `dump`, `pulse` is under way
	bool draining, drained, over;  // drained: nothing of its own is left
	bool gone;               // of thread 0: nothing of it runs any more
	bool closing;            // nothing opens on it any more
	struct serve_routes *offered;  // any thread: to be taken up between two requests; NULL: none
	struct loop_remote reroute;    // posted by who makes `offered` something
	struct serve_renewal *renewal; // that it sees to; NULL: none
	struct serve_trigger *triggers;     // that live on it
	struct serve_triggers *retriggers;  // any thread: to be taken up; NULL: none
	struct loop_remote retrigger;       // posted by who makes that something
	struct serve_addresses *readdresses;  // any thread: of which something is to be done; NULL: none
	struct loop_remote readdress;         // posted by who makes that something
	struct serve_inbox inbox;
	struct loop_timer drain_timer;
	struct loop_timer trim_timer;  // armed: instances went, and the heap has not been given back yet
	// Something of it came to its end while it drains: a port, a request.
	void (*look)(struct serve_thread *t);
	// To thread 0, of the others: the shards are open (or why not), the thread is over.
	struct loop_remote opened, ended;
	struct err error;
	struct serve_meters own;                   // of requests that no service got; last, as few of a start touch them
	struct relay_guest *relayed[SERVE_ROOTS];  // by the task that is their root
};
enum serve_phase { SERVE_STARTING, SERVE_READY, SERVE_DRAINING };
// How many there are of what comes while it serves, for any thread: those below it are there.
static inline unsigned serve__have(const unsigned *n)
{
	return __atomic_load_n(n, __ATOMIC_ACQUIRE);
}
static inline void serve__have_one_more(unsigned *n)
{
	__atomic_store_n(n, *n + 1, __ATOMIC_RELEASE);
}
struct serve_process {
	const struct serve_process_config *config;
	struct serve_beside beside;
	bool begun;           // it was
	struct loop **loops;  // that it was told
	struct serve_service **services;
	struct serve_app *apps, *more_apps;
	struct serve_site *sites;
	struct serve_listener *listeners;
	// The lists have room for those that come while it serves; what stands in them stands until the end. Counts: any thread.
	unsigned n_services, n_sites, n_listeners, max_services, max_sites, max_listeners;
	struct serve_thread *threads;
	unsigned n_threads;
	unsigned undrained;  // any thread: how many of them have not drained
	unsigned far;        // any thread: 1 where some may call what is kept on another
	int signal_fd;
	int statm_fd;  // what it uses is read from it; -1: it can't tell
	struct loop_io signal_io;
	struct loop_timer certificates;  // looks whether they have changed
	struct loop_timer drain_delay;   // SIGTERM came, and the drain has not begun
	struct serve_manager manager;
	struct serve_admin admin;
	struct obs *obs;  // NULL: nothing is traced
	enum serve_phase phase;  // changed by thread 0 alone
	struct http_gate *gate;
	struct loop_pool *names;  // threads that look names up: whoever waits for a name server holds nobody else up
	struct wasi_process wasi;
	uint64_t connections;  // that it lets in
	uint64_t files;        // that guests may have open, all together
	uint64_t memory;       // bytes, by serve__memory_ceiling; 0: nobody asked yet
	struct loop_timer settle;  // of thread 0, soon after the process is ready
	struct loop_work trim;  // any thread, by `trims`: the heap is given back
	bool trims;
	// Of all shards together, each on a line of the processor's cache of its own: those that run, those that wait, shards that wait for a place.
	_Alignas(64) struct shared_count calls, queued, waiting;
	// Of thread 0.
	bool stopping;              // SIGTERM or SIGINT came
	unsigned opening, running;  // threads whose shards are not open yet; that are not over
	struct err *failed;         // of a thread that did not open
	uint32_t versions;          // that are there
	void (*forgot)(struct serve_process *p);  // one of them went; NULL: the process is being closed
	struct serve_preparing *preparing;  // versions on their way
	struct serve_trigger *triggers;     // all, the newest first
	struct serve_triggers *retriggering;  // on their way
	uint64_t triggers_made;
	int exit_status;      // of commands: the first that is not 0
	bool ends_by_itself;  // they were all there was, and have ended
	void (*end)(struct serve_process *p);  // as a first SIGTERM does
	struct serve_routes *rerouting;     // on their way
	struct serve_addresses *readdressing;  // likewise, the first of those that wait
	pthread_mutex_t listening;  // held by who reads a listener from another thread, and while one becomes another
	pthread_mutex_t relays;  // held by who asks for one, and while the version of a service is read from another thread or becomes another one
	uint64_t started_ns, started_wall_ns;
};
// One service by one listener.
struct serve_one {
	struct serve_app_config app;
	struct serve_setup setup;
};
void serve__setup_one(const struct serve_config *c, struct serve_one *ret);
// Any thread. From SERVE_READY on services, shards, listeners and ports stand until the process is closed.
static inline enum serve_phase serve__phase(const struct serve_process *p)
{
	return __atomic_load_n(&p->phase, __ATOMIC_ACQUIRE);
}
// Threads of `names`, and look-ups that wait for one.
enum { SERVE_NAMES_THREADS = 8, SERVE_NAMES_QUEUED = 1000 };
// The parts of serve_open and serve_close, for tests that run a server within their own process: thread 0 is the caller's.
NODISCARD bool serve__process_open(struct serve_process *p, const struct serve_setup *setup, struct err *e);
// Ends what runs, also of one that did not open.
void serve__process_close(struct serve_process *p);
// As a first SIGTERM.
void serve__process_drain(struct serve_process *p);

// ---- request ------------------------------------------------------------------------------------------------------------------------
enum serve_request_state { REQUEST_QUEUED, REQUEST_RUNNING, REQUEST_OVERDUE, REQUEST_ENDED };
enum { SERVE_COOKIE_MAX = 160 };
struct serve_request {
	struct serve_request *next;    // of the pool
	struct serve_request *list_next, **list_prev;  // of the queue, then of those that run
	struct serve_shard *shard;
	struct serve_slot *slot;
	struct serve_inside inside;
	struct http_exchange *x;
	enum serve_request_state state;
	struct wasi_http_call http;
	struct wasi_http_args args;
	struct wasi_result_own_http3_types_response_http3_types_error_code response;  // what a handler of 0.3 returned
	struct seam_task *task;    // once it runs
	struct loop_timer timer;   // of the queue
	bool ok, client_gone;
	bool tries;  // the version that is tried
	uint64_t id, started_ns;
	struct serve_trace trace;
	uint64_t release;     // of its app, when it came
	uint64_t link_ns;     // in calls through links, its children's too
	uint32_t link_calls;
	uint64_t head_ns;  // when the answer's head was given, where there is an access log; 0: it was not
	// What comes before is zero when a request begins.
	struct arena arena;        // of the call's native values; kept from one call to the next
	struct canon_trap trap;
	struct serve_routed routed;
	char set_cookie[SERVE_COOKIE_MAX];
};
// A request with its exchange; answers it one day. Owns the exchange from here. `way`: how it came; NULL: by no route.
void serve__request_begin(struct serve_shard *s, struct http_exchange *x, const struct serve_way *way);
void serve__queue_init(struct serve_shard *s);
// Tries the head of the queue soon.
static inline void serve__queue_wake(struct serve_shard *s)
{
	if (s->queue_head || s->seeking)
		loop_post(s->loop, &s->queue_turn);
}
// In a while, since what is lacking may come back from elsewhere.
#define SERVE_QUEUE_RETRY (SECOND / 50)
static inline void serve__queue_retry(struct serve_shard *s)
{
	if (!loop_timer_is_armed(&s->queue_retry))
		loop_timer_set(s->loop, &s->queue_retry, loop_now_ns(s->loop) + SERVE_QUEUE_RETRY);
}
// Policy keep (relay_turns.c): calls seek the instance, and have their turn before the queue. `turn`: and they are told, if somebody can have it now.
bool serve__is_calls_turn(const struct serve_shard *s);
bool serve__calls_turn(struct serve_shard *s);
// Whether or not there is anything for them.
void serve__seekers_tell(struct serve_shard *s);
// Ends one that runs.
void serve__request_kill(struct serve_request *c);
// Ends every request, running or not: the shard is being closed.
void serve__requests_end(struct serve_shard *s);
// What waits is answered with 503.
void serve__queue_refuse(struct serve_shard *s);
void serve__request_pool_release(struct serve_shard *s);

// ---- memory_watch ------------------------------------------------------------------------------------------------------------------
// While calls of the shard run: looks every few milliseconds, and ends those that use most where the process has come to its limit.
void serve__memory_watch(struct serve_shard *s);
// A call had its first turn and goes on.
void serve__memory_used(struct serve_request *c);
void serve__memory_watch_stop(struct serve_shard *s);

// ---- log ---------------------------------------------------------------------------------------------------------------------------
// Of a server, before its first line: lines are written by a thread from then on.
void serve__log_start(const struct serve_process_config *c);
// One line on stderr: text on a terminal, else a JSON object. Nothing below the configured level.
void serve__log(const struct serve_process_config *c, enum serve_log level, const char *fmt, ...) PRINTF_LIKE(3, 4);
// What became of a request: the receipt. `trapped` (serve__log_frames) ends the line of one that trapped in the guest; NULL: it has not run.
void serve__log_call(const struct serve_request *r, unsigned status,
	void (*trapped)(const struct serve_request *r, struct buf *line, void (*end)(struct buf *line, struct slice frames)));
// A head that never became a request.
void serve__log_refused(const struct serve_process_config *config, const struct http_address *peer, unsigned status, const char *why);
// A request that was answered by its route, or that no route was for.
void serve__log_answered(const struct serve_process_config *config, const struct http_request *r, unsigned status, uint64_t wall_ns);
// A line that a guest printed.
void serve__log_guest(void *ctx, struct seam_task *task, int fd, struct slice text);
// A message of wasi:logging; the least of its levels that is shown at one of ours.
void serve__log_message(void *ctx, struct seam_task *task, uint8_t level, struct slice context, struct slice text);
uint8_t serve__log_least(enum serve_log level);
// What a shard is doing, for SIGQUIT.
void serve__log_state(const struct serve_shard *s);
// Of a request (NULL: of none): a field's value, the x-request-id and the traceparent that it brings, where they can stand in a log as they are.
struct slice serve__field(const struct http_request *r, const char *name);
struct slice serve__request_id(const struct http_request *r);
struct slice serve__trace_parent(const struct http_request *r);
// The beginning of a text, at a character's boundary.
struct slice serve__cut(struct slice s, size_t max);
// ,"name":"…" in an object, cut.
void serve__put_member(struct buf *b, const char *name, struct slice s, size_t max);
void serve__log_denial(void *ctx, enum seam_deny kind, const char *what, const char *flag);
// Of `run`: sockets that were handed over are the guest's. They listen, and are of IP.
NODISCARD bool serve__take_handed(struct wasi_process *p, struct err *e);
void serve__log_listens(void *ctx, const char *address);

// ---- frames: where a trap happened -----------------------------------------------------------------------------------------------------
// As lines of text (symbols_put), at most SERVE_BACKTRACE_MAX bytes of them; asks for what is not known yet, and waits.
void serve__put_frames(struct serve_deployment *d, const struct vm_frames *frames, struct buf *out);
// The same with what is known.
void serve__put_known(struct serve_deployment *d, const struct vm_frames *frames, struct buf *out);
// What kind of error a trap is, whose text is told with it.
enum err_code serve__code_of_trap(enum trap t);
void serve__backtrace(struct serve_deployment *d, const struct vm_frames *frames, struct serve_outcome *ret);
// Ends a request's line of the log with where it trapped and writes it: at once, or as soon as a thread of the pool has found out files and lines. Takes the
// line over; `end` puts the frames' text and what is behind it.
void serve__log_frames(const struct serve_request *c, struct buf *line, void (*end)(struct buf *line, struct slice frames));

#endif
