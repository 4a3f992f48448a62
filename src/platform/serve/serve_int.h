// Inside the room serve. The way of a request: shard.c accepts it, call.c runs it in a slot, log.c says what became of it.
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
struct vm_budget serve__budget(const struct serve_limits *l, uint64_t now_ns);

// ---- deployment: what depends on the bytes and the configuration; immutable once loaded, shared by shards --------------------------
struct serve_deployment {
	const struct serve_config *config;
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
NODISCARD bool serve__deployment_load(struct serve_deployment *d, const struct serve_config *c, struct err *e);
void serve__deployment_release(struct serve_deployment *d);
// Compiles only; needs no links.
NODISCARD bool serve__deployment_compile(struct serve_deployment *d, const struct serve_config *c, struct err *e);

// A core module: its imports checked, its function _start called.
bool serve__is_module(const char *path);
int serve__run_module(const struct serve_config *c, struct serve_outcome *ret, struct err *e);

// ---- shard -------------------------------------------------------------------------------------------------------------------------
struct serve_call;
struct serve_slot {
	struct serve_slot *next;
	struct seam_instance seam;
	struct canon_instance *canon;
	bool used;  // policies reuse and keep: has served a call, so its remaining steps have run
};

// A shard is one component's part of one thread: listener, slots, queue.
struct serve_server;
struct serve_thread;
struct serve_shard {
	struct serve_server *server;
	struct serve_thread *thread;
	unsigned index;
	struct loop *loop;    // the thread's
	struct vm_shard *vm;  // the thread's
	struct http_server *http;
	struct serve_slot *free_slots;
	struct serve_call *free_calls;
	struct serve_call *queue_head, *queue_tail;
	struct loop_task queue_turn;    // posted: the head of the queue is tried
	struct loop_timer queue_retry;  // armed: it could not start, and is tried again
	uint64_t shortage_logged_ns;
	struct serve_call *running;     // what `calls` counts
	uint64_t calls, queued, slots;  // now
	uint64_t max_calls, max_queue;  // this shard's part of the limits
	uint64_t request_count;
	struct loop_timer drain_timer;
	bool drained, ended;  // no connection is left; nothing runs any more
};
// Nothing of the shard runs any more: the thread ends with the last of its shards.
void serve__shard_end(struct serve_shard *s);

struct serve_server {
	const struct serve_config *config;
	struct serve_deployment deployment;
	struct wasi_http_incoming_handler_exports handler;
	struct canon_image *image;
	struct seam_instance image_seam;  // of the instance that the image was taken from
	struct http_address address;
	struct http_gate *gate;  // the process's
	uint64_t connections;    // that it lets in
	struct serve_shard *shards;  // one a thread
	unsigned n_shards;
	uint64_t process_memory;  // bytes; beyond it no slot is made
};

// Loads the component, finds its handler. Needs no thread.
NODISCARD bool serve__server_load(struct serve_server *s, struct err *e);
// On thread 0: opens its shard, takes the image, listens.
NODISCARD bool serve__server_start(struct serve_server *s, struct serve_thread *first, struct err *e);
// After all shards were closed.
void serve__server_release(struct serve_server *s);
NODISCARD bool serve__shard_open(struct serve_shard *s, struct serve_thread *t, struct err *e);
void serve__shard_drain(struct serve_shard *s);
// On the thread that opened it.
void serve__shard_close(struct serve_shard *s);

// ---- process: threads that each run a shard of every server -------------------------------------------------------------------------
struct serve_process;
struct serve_thread {
	struct serve_process *process;
	unsigned index;
	pthread_t id;
	bool started;
	struct loop *loop;
	struct vm_shard *vm;
	unsigned open;  // shards that have not ended
	struct loop_remote drain, quit;
	// To thread 0, of the others: the shards are open (or why not), the thread is over.
	struct loop_remote opened, ended;
	struct err error;
};
// The thread's last shard has ended.
void serve__thread_end(struct serve_thread *t);

struct serve_process {
	struct serve_server *servers;
	unsigned n_servers;
	struct http_gate *gate;
	struct serve_thread *threads;
	unsigned n_threads;
	int signal_fd;
	struct loop_io signal_io;
	unsigned signals;
	// Of thread 0.
	bool stopping;              // a signal came
	unsigned opening, running;  // threads whose shards are not open yet; that are not over
	struct err *failed;         // of a thread that did not open
	uint64_t started_ns;
};

// ---- call --------------------------------------------------------------------------------------------------------------------------
enum serve_call_state { CALL_QUEUED, CALL_RUNNING, CALL_ENDED };
struct serve_call {
	struct serve_call *next;    // of the queue or the pool
	struct serve_call *run_next, **run_prev;
	struct serve_shard *shard;
	struct serve_slot *slot;
	struct http_exchange *x;
	enum serve_call_state state;
	struct wasi_http_call http;
	struct wasi_http_args args;
	struct seam_task task;
	struct arena arena;        // of the call's native values; kept from one call to the next
	struct loop_timer timer;   // queue time-out, deadline, linger: one after the other
	struct canon_trap trap;
	bool ok;
	uint64_t id, started_ns, cpu_ns;
};
// A request with its exchange; answers it one day. Owns the exchange from here.
void serve__call_begin(struct serve_shard *s, struct http_exchange *x);
// Tries the head of the queue soon, if there is a place for it.
void serve__queue_wake(struct serve_shard *s);
// Ends every call, running or not: the shard is being closed.
void serve__calls_end(struct serve_shard *s);
void serve__call_pool_release(struct serve_shard *s);

// ---- memory ------------------------------------------------------------------------------------------------------------------------
// The limit that applies: as configured, else three quarters of what the cgroup or the machine has.
uint64_t serve__process_memory_limit(const struct serve_limits *l);
bool serve__memory_is_short(const struct serve_server *s);

// ---- log ---------------------------------------------------------------------------------------------------------------------------
// One line on stderr: text on a terminal, else a JSON object. Nothing below the configured level.
void serve__log(const struct serve_config *c, enum serve_log level, const char *fmt, ...) PRINTF_LIKE(3, 4);
// What became of a request: the receipt.
void serve__log_call(const struct serve_call *call, unsigned status);
// A line that a guest printed.
void serve__log_guest(void *ctx, struct seam_task *task, int fd, struct slice text);
void serve__log_denial(void *ctx, enum seam_deny kind, const char *what, const char *flag);

#endif
