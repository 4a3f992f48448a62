// Room wasi: WASI 0.2 as host functions over seam. One file an interface; the state that one instance has on the host side is made at its
// first call and dropped when the slot is reset.
//
// What was not granted links and denies at the call, as each interface says (design §7).
#ifndef TENON_WASI_H
#define TENON_WASI_H

#include "base/base.h"
#include "http/http.h"
#include "seam/seam.h"
#include "wasi_host.h"

struct wasi_log;
struct wasi_stdio;

// What all deployments of a process share.
struct wasi_process {
	struct loop_pool *threads;  // for what blocks
	struct loop_pool *names;    // for names that are looked up; set by the maker, borrowed; NULL: the same
	struct shared_count files;  // that guests have open
	uint64_t max_files;         // of all of them
	uint64_t secret[2];         // what stands for inodes is keyed by it
	unsigned n_handed;          // sockets that listen and were handed over for the guest, from SYS_HANDED_FIRST on; set by the maker
};
// `max_files` is half of what descriptors allow, unless it is set afterwards.
NODISCARD bool wasi_process_open(struct wasi_process *p, struct err *e);
// Calls that wait for a thread have ended; their loops need not run on.
void wasi_process_close(struct wasi_process *p);

// The provider of the interfaces of wasi:*@0.2, with what it needs for the instances of one deployment. Its maker must outlive them all.
struct wasi {
	struct seam_provider seam;
	const struct wasi_log *log;  // borrowed; NULL: nothing that guests print goes anywhere
	// Set by the maker after wasi_init, borrowed.
	struct wasi_process *process;
	struct wasi_stdio *stdio;    // the process's own streams are the guest's; NULL: it reads nothing and prints into the log
	struct http_tls *tls;  // for https; set by the maker, borrowed; NULL: it is not spoken
	struct http_quota *quota;    // of all of its app; likewise, as long as the process; NULL: none
	uint64_t id;                 // of no other in the life of the process: whose connections those are that requests go out on, and whose turns in the pools of threads
};
void wasi_init(struct wasi *w, const struct wasi_log *log);
// Offers all of them, and preview 1 to core modules with worlds.
NODISCARD bool wasi_register(struct wasi *w, struct seam_registry *r, struct err *e);

// ---- outgoing requests by a link (http_link.c) ----------------------------------------------------------------------------------------
// In place of what the component was granted a link's rules say where its requests go, and each gets the link's fields, which the guest never sees. Lives as
// long as who is bound to it.
struct wasi_http_link {
	const char *name;
	struct seam_grants to;  // of them: nets, and what names may lead to
	const struct slice *methods;
	uint32_t n_methods;     // 0: all
	const struct http_field *fields;  // in place of the guest's of the same names
	uint32_t n_fields;
	uint64_t deadline_ns;   // from sending to the answer's head; 0: none
	uint64_t number;        // of the link: whose connections `pool` counts
	uint32_t pool;          // connections on a shard; 0: no bound
	// Filled in by wasi_http_link_offer: what is bound.
	struct wasi_http_outgoing_handler_ops ops;
	struct wasi_http3_client_ops ops_3;
};
// For an import of that interface; *ret lacks the provider, which is the deployment's own. ERR_LINK: requests go out by another one.
NODISCARD bool wasi_http_link_offer(struct wasi_http_link *l, struct slice interface, struct seam_offer *ret, struct err *e);

// ---- preview 1, for core modules (preview1.c) ---------------------------------------------------------------------------------------
// Is this a function of wasi_snapshot_preview1, of this type? ERR_LINK otherwise.
bool wasi_preview1_check(struct slice name, const struct wasm_func_type *type, struct err *e);
// What stands behind it for one instance. Borrowed, and must outlive it.
struct wasi_preview1;
struct wasi_preview1_given {
	struct vm_store *store;     // what is charged
	struct seam_task *task;     // all calls of the instance; task->canon.trap is where a trap or an exit is told
	struct seam_grants *grants;
	uint32_t max_files;         // descriptors open at once; 0: no limit
};
// `w` has standard streams. What was made is freed by wasi_preview1_free, also when this fails.
NODISCARD bool wasi_preview1_new(struct wasi *w, const struct wasi_preview1_given *given, struct wasi_preview1 **ret, struct err *e);
// The function behind an import that wasi_preview1_check has accepted, as one of the store.
NODISCARD bool wasi_preview1_import(struct wasi_preview1 *p, struct slice name, const struct wasm_func_type *type, struct vm_extern *ret, struct err *e);
// The memory that pointers are into: what the module exports as "memory". Without it functions that need one trap.
void wasi_preview1_set_memory(struct wasi_preview1 *p, struct vm_memory *m);
// The same for another thread's instance of the module, whose memory is this one's: a function that was imported for this one, and its call on the thread and a
// fiber of `task`, whose canon.trap is told. Returns what the other's call is to end with. `args` and `results` as a host function has them.
struct p1_import;
const struct p1_import *wasi_preview1_imported(const struct wasi_preview1 *p, struct slice name);
enum trap wasi_preview1_call(const struct p1_import *i, struct seam_task *task, const uint64_t *args, uint64_t *results);
// Before the store is.
void wasi_preview1_free(struct wasi_preview1 *p);

// ---- what guests print ------------------------------------------------------------------------------------------------------------
// Where lines of a guest's stdout (1) and stderr (2) go when the process's own streams are not its (wasi.stdio): without their
// newline, control characters escaped, cut at 4 KiB. `task` is the call that printed it.
struct wasi_log {
	void (*line)(void *ctx, struct seam_task *task, int fd, struct slice text);
	// A message of wasi:logging, as it was given; `level`: WASI_LOGGING_LOGGING_LEVEL_*, none below `least`.
	void (*message)(void *ctx, struct seam_task *task, uint8_t level, struct slice context, struct slice text);
	uint8_t least;
	// A socket was made for a core module that can't ask for its address, and has a port that nobody chose. May be NULL.
	void (*listens)(void *ctx, const char *address);
	void *ctx;
	uint64_t max_bytes;  // a call; 0: none. What is over is dropped, and said once.
};

// ---- standard streams (stdio.c) -----------------------------------------------------------------------------------------------------
// The process's own, for the one guest of `run`. Once in a process; on the loop's thread.
NODISCARD bool wasi_stdio_open(struct loop *l, struct wasi_process *p, struct wasi_stdio **ret, struct err *e);
// Writes what was taken and could not be written yet, waiting as long as it takes.
void wasi_stdio_flush(struct wasi_stdio *s);
// The same, and no more; the guest has ended. NULL does nothing.
void wasi_stdio_close(struct wasi_stdio *s);

// ---- wasi:http/incoming-handler -----------------------------------------------------------------------------------------------------
// Name of the export that serve calls, in any 0.2.x.
#define WASI_HTTP_HANDLER "wasi:http/incoming-handler"

// An exchange, and what guests have open on it.
struct wasi_http_flow {
	struct http_exchange *x;           // NULL once it is gone
	struct wasi_http_body *in, *out;   // bodies that are open: what comes, what we send
	bool finished;                   // what we send was finished cleanly
	bool cancelled;                    // the other side is gone, or we ended it
	void (*on_finished)(struct wasi_http_flow *f);
	void (*on_cut)(struct wasi_http_flow *f);  // what we send was cut by the guest; NULL: nobody waits for what it would have brought
	struct wasi_error (*error)(const struct wasi_http_flow *f);  // why it was cancelled
	void (*ref)(struct wasi_http_flow *f);    // bodies keep it; NULL: it ends without regard to them
	void (*unref)(struct wasi_http_flow *f);
	bool (*move)(struct wasi_http_flow *f, struct canon_instance *to);  // it is that one's memory from now on; false: no room there. NULL: it is no instance's
};

enum { WASI_HTTP_FIELDS = 32 };
// One request on its way through a guest. Embedded in serve's call; lives until the exchange is released.
struct wasi_http_call {
	struct wasi *wasi;
	struct wasi_http_flow flow;
	bool head_set;            // response-outparam.set was called
	bool set_error;           // with an error, or what can't be sent: answered by the host,
	unsigned refused;         // with this status
	struct slice error;       // its code as WIT names it; empty: the host could not send what was set
	bool given_up;            // answered by wasi_http_give_up or wasi_http_answer
	struct wasi_http_request *request;     // handles that are open, wasi's
	struct wasi_http_outparam *outparam;
	struct wasi_fields *headers;           // of the request, once asked for
	// Of a request that came by a route, else zero: what it is told to be in place of what its exchange says (an empty target: as that has it), and fields of
	// the host's, which the guest gets besides its own; asked once, when it wants them. What comes in by the names of such fields the guest never sees.
	struct slice target, authority;
	bool https;
	uint32_t (*fields)(struct wasi_http_call *c, struct http_field ret[WASI_HTTP_FIELDS]);
	// Of 0.3, instead of the two: the request while the guest has it, the response until it is sent, who waits for that; its answer may be complete or lost;
	// handles of it lead nowhere from here on.
	bool is_3;
	struct canon_instance *instance;
	struct wasi_http3_message *message;
	struct wasi_http3_sending *sending;
	struct seam_park *park;
	void (*changed)(struct wasi_http_call *c);
	void (*detach)(struct wasi_http_call *c);
	void (*on_head)(struct wasi_http_call *c);      // the head was set: the deadline is met; may be NULL
	void (*on_finished)(struct wasi_http_call *c);  // the body was finished: what runs on lingers; may be NULL
	void (*on_cancel)(struct wasi_http_call *c);    // the client is gone; may be NULL
	unsigned status;
};
// What `handle` is called with, as host resources of the instance: own<incoming-request>, own<response-outparam>; of 0.3 own<request>.
struct wasi_http_args {
	uint32_t request, outparam;
};
// The caller has zeroed *c and set `wasi` and its on_* callbacks. Takes the exchange's owner callbacks for itself; c->on_cancel is called after wasi has noted it.
// false: too many handles, or memory is out: answer 503.
NODISCARD bool wasi_http_begin(struct wasi_http_call *c, struct canon_instance *i, struct http_exchange *x, struct wasi_http_args *ret);
// The same of wasi:http/handler@0.3; no outparam.
NODISCARD bool wasi_http3_begin(struct wasi_http_call *c, struct canon_instance *i, struct http_exchange *x, struct wasi_http_args *ret);
// The export has returned that; its task may go on. `code`: the type of the error.
void wasi_http3_respond(struct wasi_http_call *c, struct seam_task *t, const struct wasi_result_own_http3_types_response_http3_types_error_code *r,
	const struct wit_type *code);
// Waits, on the task's fiber, until the response is sent or the client is gone: others, or nobody of the guest's, see to that. Where only a guest could bring
// it on it waits no longer than until `deadline_ns`. Anything but SEAM_OK: the call is being ended.
enum seam_result wasi_http3_wait(struct wasi_http_call *c, struct seam_task *t, uint64_t deadline_ns);
// The guest goes on, and its client gets an answer now, as wasi_http_end would give it; what the guest sends is not taken any more, and it reads no further.
// wasi_http_end is still to come.
void wasi_http_give_up(struct wasi_http_call *c, unsigned status_if_unset);
// The export has returned (or trapped: `clean` false). What was not set is answered with `status_if_unset` (500, 503, 504); what was begun and not
// finished is aborted. The exchange can still be asked; wasi_http_end is still to come.
void wasi_http_answer(struct wasi_http_call *c, bool clean, unsigned status_if_unset);
// The same, if that was not called; then the exchange is released. The instance may be reset afterwards.
void wasi_http_end(struct wasi_http_call *c, bool clean, unsigned status_if_unset);

#endif
