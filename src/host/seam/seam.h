// How a host function meets a guest: descriptions of interfaces made by tools/witgen, who serves them (providers, bindings), linking of a component's
// imports, exports that the host calls, grants, the byte budget, parking a call.
//
// Invariants:
//  1. Each call from a guest to the world goes through seam's dispatcher: it is counted and attributed to its request there.
//  2. Which provider stands behind an interface is read from the shard's table (immutable, versioned) at each call, never from an instance, an image or
//     compiled code (design §8). A call that is given handles goes to the provider that made their objects, whatever is bound now.
//  3. A provider lives until its last object, its last call and what it keeps for instances are gone.
//  4. A host function blocks nothing: it parks its fiber (seam_park); seam_wake only makes the call ready, and it resumes from the loop's ready
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
struct seam__local;
struct seam__part;
struct seam__seat;
struct seam_instance;
struct seam_link;
struct seam_task;

// ---- interfaces, as descriptions (witgen fills these with constants) ------------------------------------------------------------------
enum seam_result {
	SEAM_OK,      // *ret is filled
	SEAM_TRAP,    // the guest traps; seam_trap gave the message
	SEAM_EXIT,    // clean stop; seam_exit gave the code
	SEAM_KILLED,  // seam_park said so: the call is being ended
};
// Calls the function's member of `ops`, a struct NAME_ops. `args` points to the struct of parameters (wit native layout), NULL if there are none; `ret` to
// the zeroed result, NULL if there is none.
typedef enum seam_result seam_fn(const void *ops, struct seam_call *c, const void *args, void *ret);

enum {
	SEAM_NEVER_PARKS = 2,  // it returns before anything else of the instance runs: its arguments may lie in the guest's memory
	SEAM_FIXED = 1,  // the answer is fixed for the deployment, nothing of the world changes: does not cut an image (design §5)
};
struct seam_func {
	const char *name;  // as WIT has it: "[method]output-stream.write"
	const struct wit_func_type *type;
	seam_fn *call;     // NULL: guests export it
	uint32_t args_size, ret_size;
	uint32_t flags;    // SEAM_FIXED, SEAM_NEVER_PARKS
};
struct seam_interface {
	const char *name;  // with the newest version: "wasi:io/streams@0.2.12"
	const struct seam_func *funcs;
	uint32_t n_funcs;
	const struct seam_resource *const *resources;  // those this interface defines (not those it uses)
	uint32_t n_resources;
};
// A resource that an interface defines. Identity is the address of `wit` (own and borrow types of `type` descriptors point to it).
struct seam_resource {
	struct wit_resource wit;  // name as in WIT: "output-stream"
	const struct seam_interface *interface;
};

// ---- who serves them --------------------------------------------------------------------------------------------------------------------
// A provider serves interfaces. Of an interface it has a struct NAME_ops, one member a function in the order of the description (NULL: not served), and of a
// resource a class (struct canon_resource_ops). What it keeps for the process it embeds `struct seam_provider` in.
struct seam_provider;
struct seam_provider_ops {
	const char *name;
	// The last reference is gone, on whichever thread had it. NULL: nothing to do.
	void (*close)(struct seam_provider *p);
	// What it keeps for one instance, made when it first asks (seam_state); all NULL: nothing. new: NULL without memory. reset: the next call must find it as
	// new made it. All on the instance's thread, but for free when the instance is an image's.
	void *(*instance_new)(struct seam_provider *p, struct canon_instance *i);
	void (*instance_reset)(struct seam_provider *p, struct canon_instance *i, void *state);
	void (*instance_free)(struct seam_provider *p, struct canon_instance *i, void *state);
	// A task has ended in the instance. NULL: nothing to do.
	void (*task_end)(struct seam_provider *p, struct canon_instance *i, struct seam_task *t, void *state);
};
// Why somebody holds a provider.
enum seam_reason {
	SEAM_HELD_BY_MAKER,
	SEAM_HELD_BY_OFFER,  // a registry
	SEAM_HELD_BY_TABLE,  // in which calls, objects and what is kept for instances hold the table
	SEAM_REASONS
};
struct seam_provider {
	const struct seam_provider_ops *ops;
	uint32_t refs, held[SEAM_REASONS];  // atomic; held: the same by reason, for whoever looks why it is still there
};
// Held once, by its maker.
void seam_provider_init(struct seam_provider *p, const struct seam_provider_ops *ops);
void seam_provider_unref(struct seam_provider *p, enum seam_reason why);

// What may stand behind imports: an interface as a provider serves it. `label` (NULL: none): only for imports of that name that implement the interface.
struct seam_offer {
	const char *label;
	const struct seam_interface *interface;
	const void *ops;  // struct NAME_ops; NULL where the interface has no functions
	struct seam_provider *provider;
};
struct seam_registry {
	VEC(struct seam_offer)
	offers;
};
// Holds the providers until release.
NODISCARD bool seam_registry_add(struct seam_registry *r, const struct seam_offer *list, uint32_t n, struct err *e);
void seam_registry_release(struct seam_registry *r);
// The offer for an import of that name: where it implements an interface (else `implements` is empty) one with its name as label, else one without a label
// whose interface serves what is meant (wit_name_find). NULL: none.
const struct seam_offer *seam_registry_find(const struct seam_registry *r, struct slice name, struct slice implements);

// ---- linking --------------------------------------------------------------------------------------------------------------------------
// What stands behind one import now.
struct seam_binding {
	const struct seam_interface *interface;  // NULL: the import is no instance
	const void *ops;
	struct seam_provider *provider;
	uint32_t slot;  // of what the provider keeps for an instance
};
// The bindings of all imports of a component, by import. Immutable.
struct seam_table;
// Resolves the root imports of a component and binds them for the first time; ERR_LINK names all that are not served, each with its type and a way out. The
// link must outlive instances and images.
NODISCARD bool seam_link_new(const struct seam_registry *r, const struct comp_component *comp, struct seam_link **ret, struct err *e);
void seam_link_free(struct seam_link *l);
const struct canon_host *seam_link_host(const struct seam_link *l);
// Binds the same imports anew; of each interface the description must be the one that the link has. From any thread.
NODISCARD bool seam_table_new(struct seam_link *l, const struct seam_registry *r, struct seam_table **ret, struct err *e);  // for tests
// One that was not published.
void seam_table_free(struct seam_table *t);  // for tests
// From any thread. Each shard takes it up between two calls; calls under way and objects stay in the table that they began in, and it goes when they are
// gone. Takes the table over; false: no memory, and the table is still the caller's.
NODISCARD bool seam_link_publish(struct seam_link *l, struct seam_table *t);  // for tests
// How many tables somebody still reads, the published one among them.
uint32_t seam_link_tables(struct seam_link *l);  // for tests

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
// Kinds of denial that are logged once.
enum seam_deny { SEAM_DENY_ENV, SEAM_DENY_NET, SEAM_DENY_HTTP_OUT };
// What one deployment gives its guests. Borrowed; must outlive instances and images.
struct seam_grants {
	const struct seam_pair *env;
	const struct slice *args;
	uint32_t n_env, n_args;
	bool stdio;       // `run`: the process's own streams are the guest's
	uint64_t call_bytes;             // L77: bytes of host memory that one call may have alive; 0: SEAM_CALL_BYTES
	uint32_t denied;                 // bits of enum seam_deny that were logged already (atomic)
	void (*log_denial)(void *ctx, enum seam_deny kind, const char *what, const char *flag);
	void *log_ctx;
};
#define SEAM_CALL_BYTES (64ull << 20)

// ---- instances ------------------------------------------------------------------------------------------------------------------------
// The task: one call of an export on behalf of one request, with all that canon keeps of it. Its owner embeds it in what it pools.
struct seam_task {
	struct canon_task canon;         // first: what canon's entries take
	struct loop *loop;
	struct vm_shard *shard;
	struct seam_instance *instance;  // whose store others may want meanwhile; NULL: nobody else's
	void *request;                   // serve's exchange; NULL for `run` and instantiation
	struct vm_fiber *fiber;          // that it runs on; NULL: the thread's own stack (then a park runs the loop)
	struct seam_park *parked;        // what it waits for; NULL: runs
	void (*done)(struct seam_task *t);
	struct loop_task turn;           // queued: to be resumed
	struct seam_task *behind;        // the next of those that wait for the instance's holder
	bool waits;                // for the instance's holder
	bool killed;      // each park from now on returns KILLED
	enum trap kill_trap;             // what the guest's call ends with
	uint32_t n_calls;                // host calls, all
	uint64_t wait_ns;                // time parked
	uint64_t logged;                 // bytes that it printed
	bool log_cut;                  // no more of them
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
	struct loop *loop;
	// Tasks in one instance: one that was preempted, or yields in the host's work, holds the store; others that are to run queue behind it.
	struct seam_task *holder, *first_behind, *last_behind;
	// seam's: what calls go through now; what providers keep here, by slot.
	struct canon_instance *canon;
	struct seam__local *local;
	struct seam__part *part;
	struct seam_instance *next, **prev;
	struct seam__seat **seats;
	uint32_t n_seats;
	bool mixed;  // holds, perhaps, objects of a provider that is not bound any more
};
// `loop`: of the thread that it is on.
void seam_instance_init(struct seam_instance *i, struct loop *loop, struct seam_grants *grants, void *owner);
// A task has ended here: providers hear it. Before the instance is reset.
void seam_instance_task_end(struct seam_instance *i, struct seam_task *t);
// What a provider that has objects in the instance keeps for it; made if it isn't there (for canon_resource_ops.remake). NULL: no memory.
void *seam_instance_state(struct canon_instance *i, const struct seam_provider *p);
// A handle that the guest did not ask for, for an argument of an export. The class's interface must be bound to `p`. false: it is not, too many handles, or
// no memory; the object is still the caller's.
NODISCARD bool seam_instance_give(struct canon_instance *i, struct seam_provider *p, const struct canon_resource_ops *of, void *object, uint32_t *ret);

// ---- what a host function may do ------------------------------------------------------------------------------------------------------
// One call of a host function.
struct seam_call {
	struct seam_task *task;
	struct canon_instance *canon;    // the guest's side of the instance
	struct seam_instance *instance;  // and the host's
	const struct seam_binding *binding;
	const struct seam_func *func;
	struct seam__local *local;  // seam's: the table that the call is in
};
static inline struct arena *seam_arena(struct seam_call *c)
{
	return &c->task->canon.arena;
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

// What the provider that is called keeps for the instance; made at first use. NULL: no memory.
void *seam_state(struct seam_call *c);

// Resources. An object is the host function's own struct; its drop (ops.drop) runs when the guest drops the handle, at reset and at free.
// new: false when there are too many handles (the message is set: return SEAM_TRAP; the object is still the caller's).
NODISCARD bool seam_resource_new(struct seam_call *c, const struct canon_resource_ops *of, void *object, uint32_t *ret);
// NULL can't happen for a rep that came as an argument of that type, but for one that was taken in the same call.
void *seam_resource_get(struct seam_call *c, const struct seam_resource *type, uint32_t rep);
// own<T> argument: the object is the caller's now; the handle is gone.
void *seam_resource_take(struct seam_call *c, const struct seam_resource *type, uint32_t rep);

// Parking. Usage: put a seam_park in the object that will say when it is ready, then
//   seam_park_init(&p); register it (p is on the fiber's stack or in the object); r = seam_park(c, &p); unregister it.
// seam_park returns SEAM_OK after seam_wake (at once if it was woken before), SEAM_KILLED when the call is to end: return SEAM_KILLED then.
// The provider must forget the park before the host function returns. Meanwhile other tasks may run in the instance. Arguments are copies (functions that are
// SEAM_NEVER_PARKS must not), and an object that came as a borrow stays: its handle is lent until the call returns.
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
