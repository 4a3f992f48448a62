// How a host function meets a guest: interface tables made by tools/witgen, linking of a component's imports, grants, the byte budget, receipts,
// parking a call.
//
// Invariants:
//  1. Each call from a guest to the world goes through seam's dispatcher: it is counted, charged and attributed to its request there.
//  2. Which provider stands behind an interface is read from the shard's link table (immutable, versioned) at each call, never from an
//     instance, an image or compiled code (design §8).
//  3. A host function blocks nothing: it parks its fiber (seam_park); seam_wake only makes the call ready, and it resumes from the loop's ready
//     queue and from nowhere else. A parked call is always resumed, with SEAM_KILLED if it is to end, and returns.
#ifndef TENON_SEAM_H
#define TENON_SEAM_H

#include "base/base.h"
#include "canon/canon.h"
#include "comp/comp.h"
#include "loop/loop.h"
#include "vm/vm.h"
#include "wit/wit.h"

struct seam_call;
struct seam_instance;
struct seam_link;
struct seam_task;

// ---- interface tables (witgen fills these with constants) ---------------------------------------------------------------------------
enum seam_result {
	SEAM_OK,      // *ret is filled
	SEAM_TRAP,    // the guest traps; seam_trap gave the message
	SEAM_EXIT,    // clean stop; seam_exit gave the code
	SEAM_KILLED,  // seam_park said so: the call is being ended
};
// `args` points to the struct of parameters (wit native layout), NULL if there are none; `ret` to the zeroed result, NULL if there is none.
typedef enum seam_result seam_fn(struct seam_call *c, const void *args, void *ret);

enum {
	SEAM_FIXED = 1,  // the answer is fixed for the deployment, nothing of the world changes: does not cut an image (design §5)
};
struct seam_func {
	const char *name;  // as WIT has it: "[method]output-stream.write"
	const struct wit_func_type *type;
	seam_fn *fn;       // NULL: not served (a guest that imports it does not link), or one that guests export
	uint32_t args_size, ret_size;
	uint32_t flags;    // SEAM_FIXED
};
// A resource that the host implements. Identity is the address of `wit` (own and borrow types of `type` descriptors point to it).
struct seam_resource {
	struct wit_resource wit;         // name as in WIT: "output-stream"
	struct canon_resource_ops ops;   // name "wasi:io/streams.output-stream"; drop, remake
};
struct seam_interface {
	const char *name;     // with the newest version: "wasi:io/streams@0.2.12"
	const struct seam_func *funcs;
	uint32_t n_funcs;
	struct seam_resource *const *resources;  // those this interface defines (not those it uses)
	uint32_t n_resources;
	uint32_t index;  // among the registered ones; set by seam_registry_add: for receipts
};
// All interfaces of this program.
struct seam_registry {
	VEC(struct seam_interface *)
	interfaces;
};
NODISCARD bool seam_registry_add(struct seam_registry *r, struct seam_interface *const *list, uint32_t n, struct err *e);
void seam_registry_release(struct seam_registry *r);
// NULL: none that serves this name (wit_name_find).
const struct seam_interface *seam_registry_find(const struct seam_registry *r, struct slice name);

// ---- linking --------------------------------------------------------------------------------------------------------------------------
// Resolves the root imports of a component; ERR_LINK names interface, function, type and a hint. The link must outlive instances and images.
NODISCARD bool seam_link_new(const struct seam_registry *r, const struct comp_component *comp, struct seam_link **ret, struct err *e);
void seam_link_free(struct seam_link *l);
const struct canon_host *seam_link_host(const struct seam_link *l);

// ---- exports that the host calls by name ------------------------------------------------------------------------------------------------
// witgen makes of each interface that guests export: NAME_interface (its description), struct NAME_exports (a seam_export a function), NAME_bind and
// NAME_call_FUNCTION, with parameters of C. Nobody else calls an export by name.
struct seam_export {
	const struct comp_export_func *func;
};
// Finds the component's export of the interface (wit_name_find) and compares each function of the description with what is exported, as types: a resource
// of a parameter must be the host's own, which the component's import was linked to. `ret` has room for iface->n_funcs. ERR_LINK names the export, its
// type and the one expected. Nothing of the guest has run, and nothing may run where this fails.
NODISCARD bool seam_export_bind(const struct comp_component *comp, const struct seam_link *l, const struct seam_interface *iface, struct seam_export *ret,
	struct err *e);
// Is the interface exported, whatever its types are?
bool seam_export_is_there(const struct comp_component *comp, const struct seam_interface *iface);
// For the stubs: canon_call_export. `t` is what host functions see; on its fiber.
NODISCARD bool seam_export_call(struct seam_task *t, struct canon_instance *i, const struct seam_export *x, const void *args, void *ret, struct arena *arena,
	struct canon_trap *trap);

// ---- grants (design §7) ---------------------------------------------------------------------------------------------------------------
struct seam_pair {
	struct slice name, value;
};
struct seam_dir {
	int fd;     // O_PATH | O_DIRECTORY
	struct slice guest;  // name that the guest sees
	bool read_only;
};
// Kinds of denial that are logged once.
enum seam_deny { SEAM_DENY_ENV, SEAM_DENY_DIR, SEAM_DENY_NET, SEAM_DENY_HTTP_OUT, SEAM_DENY_STDIN, SEAM_DENY_CONFIG, SEAM_DENY_OTHER, SEAM_DENY_COUNT };
// What one deployment gives its guests. Borrowed; must outlive instances and images.
struct seam_grants {
	const struct seam_pair *env;
	const struct slice *args;
	const struct seam_dir *dirs;
	const struct slice *nets;        // as given to --net
	const struct seam_pair *config;
	uint32_t n_env, n_args, n_dirs, n_nets, n_config;
	bool stdio;       // `run`: the process's own streams are the guest's
	uint64_t call_bytes;             // L77: bytes of host memory that one call may have alive; 0: SEAM_CALL_BYTES
	uint32_t denied;                 // bits of enum seam_deny that were logged already (atomic)
	void (*log_denial)(void *ctx, enum seam_deny kind, const char *what, const char *flag);
	void *log_ctx;
};
#define SEAM_CALL_BYTES (64ull << 20)

// ---- instances ------------------------------------------------------------------------------------------------------------------------
// The task: one call of an export on behalf of one request. It is the `context` of canon_call_export.
#define SEAM_MAX_INTERFACES 96
struct seam_task {
	struct loop *loop;
	struct vm_shard *shard;
	void *request;                   // serve's exchange; NULL for `run` and instantiation
	struct vm_fiber *fiber;          // that it runs on; NULL: the thread's own stack (then a park runs the loop)
	struct seam_park *parked;        // what it waits for; NULL: runs
	void (*done)(struct seam_task *t);
	struct loop_task turn;           // queued: to be resumed
	bool killed;      // each park from now on returns KILLED
	enum trap kill_trap;             // what the guest's call ends with
	uint32_t n_calls;                // host calls, all
	uint64_t wait_ns;                // time parked
	uint32_t calls[SEAM_MAX_INTERFACES];  // by seam_interface.index
};
// A task without a fiber of its own, for what runs on the thread's stack or on a fiber that somebody else made.
void seam_task_init(struct seam_task *t, struct loop *loop, struct vm_shard *shard, void *request);
// Runs fn(arg) on a new fiber, now, until it parks, is preempted or returns; goes on from the loop's ready queue and from nowhere else. When fn has
// returned, `done` is called on the loop's stack (perhaps before this returns): the fiber is gone then and the task's memory is the caller's again.
// false: no memory for a fiber, nothing has happened.
NODISCARD bool seam_task_run(struct seam_task *t, void (*fn)(void *arg), void *arg, struct vm_budget budget, void (*done)(struct seam_task *t));
// Runs fn(arg) on a new fiber to its end, wherever it waits; the loop runs meanwhile. On the thread's own stack, of a task that was just initialised.
// It is ended at the budget's deadline, also while it waits, and with TRAP_KILLED as soon as *stop is true (set by a callback of this loop; NULL:
// never). The one way to run what is no request: instantiation, `run`. false: no memory for a fiber, nothing has happened.
NODISCARD bool seam_task_run_to_end(struct seam_task *t, void (*fn)(void *arg), void *arg, struct vm_budget budget, const bool *stop);
// Ends a task from the loop (deadline, client gone, shutdown): a parked or preempted one is resumed (from the ready queue) to end. The guest's call
// ends with `trap`.
void seam_task_kill(struct seam_task *t, enum trap trap);

// Host side of one instance: give it as `user` to canon_instance_new, canon_slot_new, canon_image_new (there it must outlive the image).
// Embedded in its owner (serve).
struct seam_instance {
	struct seam_grants *grants;
	void *owner;                 // serve's or a test's
	void *wasi;      // wasi's per-instance state
	void (*wasi_reset)(struct seam_instance *i);    // at each reset; NULL: none
	void (*wasi_release)(struct seam_instance *i);  // at the end; NULL: none
	struct seam_task boot;       // of calls without a context
};
void seam_instance_init(struct seam_instance *i, struct loop *loop, struct vm_shard *shard, struct seam_grants *grants, void *owner);
// Forget what the host kept for the instance (wasi_reset, wasi_release). Called by canon at each reset, and when the instance is freed.
void seam_instance_reset(struct seam_instance *i);
void seam_instance_release(struct seam_instance *i);

// ---- what a host function may do ------------------------------------------------------------------------------------------------------
struct seam_call {
	struct canon_call *canon;
	struct seam_task *task;
	struct seam_instance *instance;
	const struct seam_interface *interface;
	const struct seam_func *func;
};
static inline struct arena *seam_arena(struct seam_call *c)
{
	return c->canon->arena;
}
// Memory for what is returned, zeroed; freed when the result has been lowered. NULL: over the budget (return SEAM_TRAP: the message is set).
NODISCARD void *seam_alloc(struct seam_call *c, size_t size, size_t align);
#define SEAM_NEW(c, T) ((T *)seam_alloc((c), sizeof(T), _Alignof(T)))
#define SEAM_ARRAY(c, T, n) ((T *)seam_alloc((c), (size_t)(n) * sizeof(T), _Alignof(T)))
// A copy as a native string / list<u8>. false: as above.
NODISCARD bool seam_string(struct seam_call *c, struct slice s, struct wit_string *ret);
NODISCARD bool seam_bytes(struct seam_call *c, struct slice s, struct wit_list *ret);
static inline struct slice seam_slice(struct wit_string s)
{
	return slice_of(s.ptr, s.len);
}
static inline struct slice seam_list_bytes(struct wit_list l)
{
	return slice_of(l.ptr, l.len);
}
enum seam_result seam_trap(struct seam_call *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
enum seam_result seam_exit(struct seam_call *c, int32_t code);
// Work on what a guest gave or asked for, by its bytes, or VM_WORK_ITEM for what is looked at one by one: told before each piece of at most VM_WORK_LOOK. It
// may give others a turn. Not SEAM_OK: return it, the call is being ended.
enum seam_result seam_work(struct seam_call *c, uint64_t bytes);
// Logs, once for each kind, that `what` was denied and which flag would grant it.
void seam_deny(struct seam_call *c, enum seam_deny kind, const char *what, const char *flag);

// Host memory that lives beyond the call: it is charged to the instance (--memory) and freed with seam_mem_free at the latest when its resource is dropped.
// NULL: over the limit, or memory is out: the interface's error if it has one, else return seam_no_memory.
NODISCARD void *seam_mem_alloc(struct canon_instance *i, size_t size);
NODISCARD void *seam_mem_zalloc(struct canon_instance *i, size_t size);
#define SEAM_MEM_NEW(i, T) ((T *)seam_mem_zalloc((i), sizeof(T)))
void seam_mem_free(void *p);
// Traps, and says which limit was met.
enum seam_result seam_no_memory(struct seam_call *c);

// Resources. An object is the host function's own struct; its drop (ops.drop) runs when the guest drops the handle, at reset and at free.
// new: false when there are too many handles (the message is set: return SEAM_TRAP; the object is still the caller's).
NODISCARD bool seam_resource_new(struct seam_call *c, const struct seam_resource *type, void *object, uint32_t *ret);
// NULL can't happen for a rep that came as an argument of that type, but for one that was taken in the same call.
void *seam_resource_get(struct seam_call *c, const struct seam_resource *type, uint32_t rep);
// own<T> argument: the object is the caller's now; the handle is gone.
void *seam_resource_take(struct seam_call *c, const struct seam_resource *type, uint32_t rep);

// Parking. Usage: put a seam_park in the object that will say when it is ready, then
//   seam_park_init(&p); register it (p is on the fiber's stack or in the object); r = seam_park(c, &p); unregister it.
// seam_park returns SEAM_OK after seam_wake (at once if it was woken before), SEAM_KILLED when the call is to end: return SEAM_KILLED then.
// The provider must forget the park before the host function returns. Arguments stay valid over a park.
struct seam_park {
	struct seam_task *task;  // NULL: nobody waits yet
	bool woken;
};
void seam_park_init(struct seam_park *p);
enum seam_result seam_park(struct seam_call *c, struct seam_park *p);
// On the loop's thread. Waking twice, or before the park, is fine.
void seam_wake(struct seam_park *p);
// Parks until `deadline_ns` of loop_now_ns at the latest (UINT64_MAX: no deadline). *ret_timed_out may be NULL.
enum seam_result seam_park_until(struct seam_call *c, struct seam_park *p, uint64_t deadline_ns, bool *ret_timed_out);

#endif
