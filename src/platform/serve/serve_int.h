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

#include "canon/canon.h"
#include "comp/comp.h"
#include "http/http.h"
#include "loop/loop.h"
#include "seam/seam.h"
#include "serve.h"
#include "tier/tier.h"
#include "vm/vm.h"
#include "wasi/wasi.h"

// Of a call that begins now.
struct vm_budget serve__budget(const struct serve_service_limits *l, uint64_t now_ns);

// ---- deployment: what depends on the bytes and the configuration; immutable once loaded, shared by shards --------------------------
struct serve_deployment {
	const struct serve_service_config *config;
	const struct serve_process_config *process;  // how it logs
	struct arena arena;
	struct slice file;
	struct comp_component *comp;
	struct vm_module **modules;
	uint32_t n_modules;
	struct canon_component *canon;
	struct wasi wasi;
	struct seam_registry registry;
	struct seam_link *link;
	struct seam_grants grants;
	struct canon_limits limits;
	struct wasi_log log;
	struct tier_file *cached;  // what the cache has of the file; NULL once loading is over
	struct tier_stats tier;
};
NODISCARD bool serve__deployment_load(struct serve_deployment *d, const struct serve_service_config *c, const struct serve_process_config *p, struct err *e);
void serve__deployment_release(struct serve_deployment *d);
// Compiles only; needs no links.
NODISCARD bool serve__deployment_compile(struct serve_deployment *d, const struct serve_service_config *c, const struct serve_process_config *p, struct err *e);

// A core module: its imports checked, its function _start called.
bool serve__is_module(const char *path);
int serve__run_module(const struct serve_config *c, struct serve_outcome *ret, struct err *e);

// ---- version ------------------------------------------------------------------------------------------------------------------------
struct serve_process;
struct serve_thread;

// Why a version is still there.
enum serve_version_use { VERSION_IN_SERVICE, VERSION_IN_SHARD, VERSION_IN_SLOT, VERSION_USES };

// What a service runs: immutable once it is ready. Counted, with the reason: it is replaced while calls of it end, and goes on thread 0 when nobody uses
// it any more.
struct serve_version {
	const struct serve_service_config *config;
	struct serve_process *process;
	struct serve_deployment deployment;
	struct wasi_http_incoming_handler_exports handler;
	struct canon_image *image;
	struct seam_instance image_seam;  // of the instance that the image was taken from
	uint32_t refs;                  // any thread
	uint32_t uses[VERSION_USES];      // likewise: what they are made of
	struct loop_remote gone;
};
// Loads the component and binds its handler; on thread 0 takes the image, which runs the guest and is ended by *stop. *ret holds one reference, the
// service's.
NODISCARD bool serve__version_new(struct serve_process *p, const struct serve_service_config *c, struct serve_version **ret, struct err *e);
NODISCARD bool serve__version_make_image(struct serve_version *v, const struct serve_thread *t, const bool *stop, struct err *e);
void serve__version_ref(struct serve_version *v, enum serve_version_use use);
void serve__version_unref(struct serve_version *v, enum serve_version_use use);

// ---- service ------------------------------------------------------------------------------------------------------------------------
struct serve_request;
struct serve_slot {
	struct serve_slot *next, **prev;  // of those that can take another request; prev NULL: it is not among them
	struct serve_version *version;
	struct seam_instance seam;
	struct canon_instance *canon;
	unsigned tasks, max_tasks;        // requests in it now, at most
	bool used;         // has served a request since it was equal to the image: its remaining steps have run
	bool broken;       // a call of it did not return: no further one, and it goes with the last
	uint64_t served;   // since then
	uint64_t since_ns; // it has been without requests
};

// A shard is a service's part of one thread.
struct serve_shard {
	struct serve_service *service;
	struct serve_thread *thread;
	unsigned index;
	struct loop *loop;              // the thread's
	struct vm_shard *vm;            // the thread's
	struct serve_version *version;  // that new requests run in
	struct serve_version *offered;  // any thread: to be taken up between two requests; NULL: none
	struct loop_remote take_up;     // posted by who makes `offered` something
	struct serve_slot *free_slots;  // of `version`, with room for another request
	struct loop_timer idle_timer;   // policy reuse: armed while one of them has been used
	struct serve_request *free_requests;
	struct serve_request *queue_head, **queue_end;  // end: where the next is hung in
	struct loop_task queue_turn;     // posted: the head of the queue is tried
	struct loop_timer queue_retry;  // armed: it could not start, and is tried again
	uint64_t shortage_logged_ns;
	struct serve_request *running;  // what `calls` counts
	uint64_t calls, queued, slots;  // now
	int waiting;                    // any thread: the head of the queue waits for a place that another shard may give back
	struct loop_remote wake;        // posted by who does
	uint64_t request_count;
	unsigned failures;              // policy keep: in a row; the next instance is not made before `not_before_ns`
	uint64_t not_before_ns;
	bool open, closing;             // closing: no further request
};

struct serve_service {
	struct serve_process *process;
	const struct serve_service_config *config;  // of the first version
	struct serve_version *version;              // thread 0: the newest
	struct serve_shard *shards;                 // one a thread
	bool on_one_shard;  // policy keep: exactly one instance in the process, on thread 0, to which all of its requests come
};
// Before the threads start: what comes from other threads may come then.
void serve__shards_init(struct serve_service *service);
NODISCARD bool serve__shard_open(struct serve_shard *s, struct serve_thread *t, struct err *e);
// A slot that waits for the first request: what can't have one is no server (H9).
NODISCARD bool serve__shard_warm(struct serve_shard *s, struct err *e);
// On the thread that opened it; all its requests have ended.
void serve__shard_close(struct serve_shard *s);
// Each shard takes `v` up between two requests; those that run end in the version that they began in. Takes over the reference on `v`, gives back that
// on the one before. On thread 0.
void serve_service_replace(struct serve_service *s, struct serve_version *v);

// ---- slots --------------------------------------------------------------------------------------------------------------------------
// With room for one request more, which is counted in. NULL: none is free and no other can be made; `e` says what is lacking, or stays as it is when
// there is only to wait for one to come back.
struct serve_slot *serve__slot_take(struct serve_shard *s, struct err *e);
// One of its requests is over. `clean`: the call returned.
void serve__slot_give(struct serve_slot *slot, struct serve_shard *s, bool clean);
// All that are free.
void serve__slots_discard(struct serve_shard *s);

// ---- listener -----------------------------------------------------------------------------------------------------------------------
// Which service answers. One route so far: all.
struct serve_router {
	struct serve_service *all;
};
// A listener's part of one thread.
struct serve_port {
	struct serve_listener *listener;
	struct serve_thread *thread;
	struct http_server *http;
	bool drained;  // no connection is left
};
struct serve_listener {
	struct serve_process *process;
	const struct serve_listener_config *config;
	struct serve_router router;
	struct http_address address;
	struct serve_port *ports;  // one a thread
};
NODISCARD bool serve__listener_init(struct serve_listener *l, struct serve_process *p, const struct serve_listener_config *c, struct serve_service *all, struct err *e);
void serve__listener_release(struct serve_listener *l);
// Opens a thread's port and listens; `first`: nobody else may have the address. A listener whose service lives on one thread listens there only.
NODISCARD bool serve__port_open(struct serve_listener *l, struct serve_thread *t, bool first, struct err *e);
void serve__port_drain(struct serve_port *p);
void serve__port_close(struct serve_port *p);

// ---- process: threads that each run a shard of every service and a port of every listener ---------------------------------------------
struct serve_thread {
	struct serve_process *process;
	unsigned index;
	pthread_t id;
	bool started;
	struct loop *loop;
	struct vm_shard *vm;
	struct loop_remote drain, quit, dump;
	bool dumping;   // any thread: `dump` is under way
	bool draining, over;
	struct loop_timer drain_timer;
	// Something of it came to its end while it drains: a port, a request.
	void (*look)(struct serve_thread *t);
	// To thread 0, of the others: the shards are open (or why not), the thread is over.
	struct loop_remote opened, ended;
	struct err error;
};
struct serve_process {
	const struct serve_process_config *config;
	struct serve_service *services;
	struct serve_listener *listeners;  // one a service
	unsigned n_services;
	struct serve_thread *threads;
	unsigned n_threads;
	int signal_fd;
	struct loop_io signal_io;
	struct http_gate *gate;
	uint64_t connections;  // that it lets in
	uint64_t memory;       // bytes; beyond it no slot is made
	// Of all shards together, each on a line of the processor's cache of its own: those that run, those that wait, shards that wait for a place.
	_Alignas(64) struct shared_count calls, queued, waiting;
	// Of thread 0.
	bool stopping;              // SIGTERM or SIGINT came
	unsigned opening, running;  // threads whose shards are not open yet; that are not over
	struct err *failed;         // of a thread that did not open
	uint32_t versions;          // that are there
	uint64_t started_ns;
};
// The parts of serve_http, for tests that run a server within their own process: thread 0 is the caller's.
NODISCARD bool serve__process_open(struct serve_process *p, const struct serve_config *const *configs, unsigned n, struct err *e);
// Ends what runs, also of one that did not open.
void serve__process_close(struct serve_process *p);
// As a first SIGTERM.
void serve__process_drain(struct serve_process *p);

// ---- request ------------------------------------------------------------------------------------------------------------------------
enum serve_request_state { REQUEST_QUEUED, REQUEST_RUNNING, REQUEST_ENDED };
struct serve_request {
	struct serve_request *next;    // of the pool
	struct serve_request *list_next, **list_prev;  // of the queue, then of those that run
	struct serve_shard *shard;
	struct serve_slot *slot;
	struct http_exchange *x;
	enum serve_request_state state;
	struct wasi_http_call http;
	struct wasi_http_args args;
	struct seam_task task;
	struct arena arena;        // of the call's native values; kept from one call to the next
	struct loop_timer timer;   // queue time-out, deadline, linger: one after the other
	struct canon_trap trap;
	bool ok, client_gone;
	uint64_t id, started_ns, cpu_ns;
};
// A request with its exchange; answers it one day. Owns the exchange from here.
void serve__request_begin(struct serve_shard *s, struct http_exchange *x);
void serve__queue_init(struct serve_shard *s);
// Tries the head of the queue soon.
void serve__queue_wake(struct serve_shard *s);
// Ends every request, running or not: the shard is being closed.
void serve__requests_end(struct serve_shard *s);
void serve__request_pool_release(struct serve_shard *s);

// ---- memory ------------------------------------------------------------------------------------------------------------------------
// The limit that applies: as configured, else three quarters of what the cgroups or the machine have.
uint64_t serve__process_memory_limit(const struct serve_process_limits *l);
// The least limit on memory of the cgroups that a process is in, of version 2 and 1, on the way up: `cgroups` is its /proc/self/cgroup, `root` where
// they are mounted (/sys/fs/cgroup). UINT64_MAX: none.
uint64_t serve__cgroup_memory(struct slice cgroups, const char *root);
bool serve__memory_is_short(const struct serve_process *p);
// Whether the process can tell how much it uses; else there is no ceiling.
bool serve__memory_is_known(void);

// ---- log ---------------------------------------------------------------------------------------------------------------------------
// Of a server, before its first line: lines are written by a thread from then on.
void serve__log_start(const struct serve_process_config *c);
// One line on stderr: text on a terminal, else a JSON object. Nothing below the configured level.
void serve__log(const struct serve_process_config *c, enum serve_log level, const char *fmt, ...) PRINTF_LIKE(3, 4);
// What became of a request: the receipt.
void serve__log_call(const struct serve_request *r, unsigned status);
// A head that never became a request.
void serve__log_refused(const struct serve_process_config *config, const struct http_address *peer, unsigned status, const char *why);
// A line that a guest printed.
void serve__log_guest(void *ctx, struct seam_task *task, int fd, struct slice text);
// What a shard is doing, for SIGQUIT.
void serve__log_state(const struct serve_shard *s);
void serve__log_denial(void *ctx, enum seam_deny kind, const char *what, const char *flag);

// ---- writer: lines to stdout (1) and stderr (2) that hold nobody up -----------------------------------------------------------------
// From here on, from any thread; `say_lost` makes the line that tells how many were lost.
void serve__writers_start(void (*say_lost)(struct buf *b, uint64_t lines));
// `line` with its newline.
void serve__write_line(int fd, struct slice line);
// Waits until all is written, at most so long: before the process ends.
void serve__writers_flush(uint64_t at_most_ns);

#endif
