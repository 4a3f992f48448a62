// The canonical ABI: runs a plan (comp) on a store (vm), lifts and lowers values, keeps handles. It follows the specification's
// definitions.py function by function under the same names (canon_lift, canon_lower, load, store, lift_flat, lower_flat…).
//
// Invariants:
//  1. Host code sees native values (wit.h, "native values": strings are UTF-8) and never an index into guest memory. Arguments of a host
//     function are good until it returns; they may point into the guest's memory, so what is returned must not point into them.
//  2. Between components a value goes lift → lower through the same code; there a native string keeps its source encoding (CANON_STRING_*), so
//     that the sequence of reallocs is that of the specification (C28, C29).
//  3. A trap in any core instance marks the store dead (C41): each later entry is TRAP_POISONED; no destructor runs.
//  4. What an image must restore lies in position-independent state (handle tables, flags of component instances, host resource table);
//     a dirty bit says whether anything of it changed.
//  5. Everything of one instance is called on its shard's thread.
#ifndef TENON_CANON_H
#define TENON_CANON_H

#include "abi/abi.h"
#include "base/base.h"
#include "comp/comp.h"
#include "vm/vm.h"
#include "wit/wit.h"

struct canon_component;
struct canon_instance;
struct canon_image;
struct canon_task;

// ---- a loaded component: what depends on its bytes alone --------------------------------------------------------------------------
// `modules[i]` is the compiled form of comp->modules[i] (NULL: not instantiated). comp and modules must outlive it. Shared by shards, immutable.
NODISCARD bool canon_component_new(const struct comp_component *comp, struct vm_module *const *modules, struct canon_component **ret, struct err *e);
void canon_component_free(struct canon_component *cc);

// ---- host functions and resources -------------------------------------------------------------------------------------------------
// `t` calls it from `i`. `args`: struct of the parameters (type->params), `ret`: room for the result (zeroed, result->size64; its parts in t->arena), NULL
// without one. TRAP_NONE: done. TRAP_HOST: the guest traps; canon_task_trap gives the message. TRAP_EXIT, TRAP_KILLED, …: the call is ended.
typedef enum trap canon_host_fn(struct canon_task *t, struct canon_instance *i, void *data, const void *args, void *ret);

enum {
	CANON_HOST_LEAVES = 4,  // of plain numbers, without a result: where it is lowered async it waits without a stack (canon_task_leave)
	CANON_HOST_NEVER_PARKS = 2,  // nothing else of the instance runs until it returns: its arguments may point into the guest's memory
	CANON_HOST_CUTS = 1,  // its answer may differ from instance to instance, or it acts on the world: an image is taken before the step that calls it
};
struct canon_host_func {
	canon_host_fn *fn;
	void *data;
	uint32_t flags;
};
// The same of a core function that the host provides as it is (comp_core_func): `args` and `results` are cells, as a host function of vm has them; pointers are into
// `memory` (NULL: the module exports none). TRAP_HOST and the other ends: as above.
typedef enum trap canon_core_fn(struct canon_task *t, struct canon_instance *i, void *data, struct abi_memory *memory, const uint64_t *args, uint64_t *results);
struct canon_core_func {
	canon_core_fn *fn;
	void *data;
	uint32_t flags;  // CANON_HOST_CUTS; what hasn't it never waits
};
// Objects of one kind as one provider makes them. What kind they are of is told by `type`, by identity; two providers have two of these.
enum canon_move { CANON_MOVED, CANON_MOVE_IN_USE, CANON_MOVE_NO_ROOM };
// What takes along the streams and futures that an object has which moves.
struct canon_carrier {
	// *number, the native value of a readable end in `from`, becomes that of one in `to` which stands for it; 0: there was no room for it, and it is dropped. 0 stays 0.
	// `type`: the stream's or future's, as the host has it; it outlives both. false: no room.
	bool (*stream)(struct canon_carrier *by, struct canon_instance *from, struct canon_instance *to, const struct wit_type *type, uint32_t *number);
};
struct canon_resource_ops {
	const struct wit_resource *type;
	const char *name;  // "wasi:io/streams.output-stream"
	void (*drop)(struct canon_instance *i, void *object);  // the handle is gone; may be NULL
	// A fresh object that equals `object`, for another instance of the same image; NULL: can't be made anew (the image is cut before it exists).
	bool (*remake)(struct canon_instance *i, const void *object, void **ret);
	// The object, or a copy that takes its place, is another instance's from now on, on the same thread: what it has is charged there. IN_USE: what was made of it
	// is still here, and nothing has changed. NO_ROOM: it is good for `drop` alone. NULL: such objects stay.
	enum canon_move (*move)(struct canon_instance *to, void **object, struct canon_carrier *by);
};
// What stands behind a component's root imports, in the order of comp's host imports (comp.h): resolved once a load.
struct canon_host {
	const struct canon_host_func *funcs;  // by index in plan->host_funcs; fn NULL where not `used`
	uint32_t n_funcs;
	const struct canon_core_func *core_funcs;  // by index in plan->core_funcs
	// Each may be NULL; none is called for an instance without `user`.
	// An instance begins (before anything else is called for it). false: no memory.
	bool (*open)(const struct canon_host *h, struct canon_instance *i);
	// After its host resources were dropped, at reset and at the end: forget what else was kept for the instance.
	void (*reset)(struct canon_instance *i, bool end);
	// What else is kept for the instance that no other can have: its name, with which the image is cut before it. NULL: nothing.
	const char *(*keeps)(const struct canon_instance *i);
	// The instance is an image's from now on: nothing is called in it any more, and it may be freed on another thread.
	void (*keep)(struct canon_instance *i);
	// An object of an image is made anew in `i`: who owns it there. false: no memory.
	bool (*adopt)(struct canon_instance *i, void *owner, void **ret_owner);
	// An object has left the table: dropped, or taken.
	void (*gone)(struct canon_instance *i, void *owner);
	// A call that waits for its threads (it has parked its fiber) has one that can go on: resume the fiber from the loop. NULL: nobody does.
	void (*wake)(struct canon_task *t);
};

// Limits of one instance; 0: none.
struct canon_limits {
	uint64_t memory_bytes;     // memories, tables and what the host keeps on the instance's behalf
	uint64_t table_elements;
	uint32_t handles;          // guest and host handles, each
	uint32_t call_depth;       // of calls between components
	uint64_t call_bytes;       // of native values alive in one call (L77)
	uint64_t stack;            // native stack of a call; 0: as much as a fiber has
};
void canon_limits_default(struct canon_limits *l);

// Why a call ended: the report of a task.
struct canon_trap {
	enum trap trap;
	int32_t exit_code;   // TRAP_EXIT
	char text[256];      // the rule that was broken, or the trap's text
	bool is_placed;      // `frames` and `text` are what vm knew; what is reported later changes neither
	struct vm_frames frames;
};
// There was none; the rest of the texts stays as it was.
static inline void canon_trap_clear(struct canon_trap *t)
{
	t->trap = TRAP_NONE;
	t->exit_code = 0;
	t->text[0] = 0;
	t->is_placed = false;
	t->frames.n = 0;
}

// ---- instances --------------------------------------------------------------------------------------------------------------------
// An instance of its own (no image): the allocate half of all steps, nothing of the guest has run.
NODISCARD bool canon_instance_new(struct vm_shard *shard, const struct canon_component *cc, const struct canon_host *host, const struct canon_limits *limits,
	void *user, struct canon_instance **ret, struct err *e);
// Runs the steps [from, to) of the plan: for each core instance its segments, then its start function. On a fiber, as task `t`.
// false: the trap says why; the instance is dead.
NODISCARD bool canon_instance_initialize(struct canon_instance *i, uint32_t from, uint32_t to, struct canon_task *t, struct canon_trap *ret);
uint32_t canon_component_steps(const struct canon_component *cc);
// Drops host resources (children first), runs nothing of the guest.
void canon_instance_free(struct canon_instance *i);
// What a guest may have by the 100,000, and is let go one by one: host resources, threads, calls, streams, futures, waitable sets.
uint64_t canon_instance_things(const struct canon_instance *i);
// Of an instance that will be reset or freed: lets go of so many of them, threads first; others of the thread may run between such pieces. Nothing of it may
// be called or asked for after the first. true: there are more.
NODISCARD bool canon_instance_empty_some(struct canon_instance *i, uint32_t most);
// Of an instance that will be freed, whose things are let go: gives back the pages in `bytes` (not 0; whole pages) of its
// tables of handles and host resources, then of its memories, so that freeing it is not one long piece. true: there are more. It is good for nothing else from
// the first call on.
NODISCARD bool canon_instance_shed_some(struct canon_instance *i, uint64_t bytes);
// Bytes, at most, that it gives back from now on: what a guest touched is not looked for.
uint64_t canon_instance_shed_left(const struct canon_instance *i);
struct vm_store *canon_instance_store(const struct canon_instance *i);
// What each call of a host function asks for: the head of an instance.
struct canon_instance_head {
	void *user;
	struct pool pool;
};
static inline void *canon_instance_user(const struct canon_instance *i)
{
	return ((const struct canon_instance_head *)(const void *)i)->user;
}
// Host memory of the instance: charged to it (limits.memory_bytes), freed with pool_free before the instance is.
static inline struct pool *canon_instance_pool(struct canon_instance *i)
{
	return &((struct canon_instance_head *)(void *)i)->pool;
}
bool canon_instance_is_dead(const struct canon_instance *i);  // for tests
uint32_t canon_instance_max_handles(const struct canon_instance *i);  // 0: no limit

// ---- calls ------------------------------------------------------------------------------------------------------------------------
// An export that is a function: by the export's name, and the instance's name it lies in (empty: root; a version is matched as in design §6: an
// export of 0.2.n serves who asks for 0.2.m). NULL: none.
const struct comp_export_func *canon_find_export(const struct canon_component *cc, struct slice interface_name, struct slice name);
// Calls it: `args` is the native record of type->params; `ret` has room for the native result (NULL: none), whose parts lie in `arena`.
// Own handles in args are host or guest reps: see canon_host_resource_new. On a fiber. `t`: the task, what host functions see.
NODISCARD bool canon_call_export(struct canon_instance *i, const struct comp_export_func *f, struct canon_task *t, const void *args, void *ret,
	struct arena *arena, struct canon_trap *trap);
// The same, and what an async-typed export goes on with once it has returned, to its end: `returned` (NULL: nobody asks) is called in between, on the fiber,
// with the result in `ret`. What it takes as task `t` (canon_end_fetch) may trap: the call does then. false: the call has trapped, perhaps after it returned.
NODISCARD bool canon_call_export_whole(struct canon_instance *i, const struct comp_export_func *f, struct canon_task *t, const void *args, void *ret,
	struct arena *arena, void (*returned)(struct canon_task *t), struct canon_trap *trap);
// Its guest's code runs on stacks of its own, whoever calls: of an async-typed function. Else on the caller's.
bool canon_export_has_own_stack(const struct canon_instance *i, const struct comp_export_func *f);
// Would a call of it begin at once, beside those that are in the instance? Not where the guest holds calls back, or a task keeps others out while it waits.
bool canon_export_may_begin(const struct canon_instance *i, const struct comp_export_func *f);

// ---- tasks ------------------------------------------------------------------------------------------------------------------------
// What the specification's Task and Thread keep, and all that a call under way needs: an instance keeps nothing of it. Its owner embeds it; a zeroed one is
// ready. Several may be alive in one instance, each on a fiber of its own: one runs, those that are parked (in a host function) have left the component
// instances they are in and are resumed in any order. One that was preempted, or yields in the host's work, holds the store: nothing else of it may run
// before it goes on. An instance that trapped is dead for all of them: who is resumed in it ends with TRAP_POISONED.
struct canon_scope;
struct canon__thread;
struct canon__leave;
// A call that was cancelled may have returned all the same. CANON_CALL_NEVER_STARTED: nor were its arguments taken.
enum canon_call_end { CANON_CALL_RETURNED, CANON_CALL_CANCELLED, CANON_CALL_NEVER_STARTED };
struct canon_task {
	struct canon_instance *instance;  // that it is in; NULL: none
	struct canon_scope *scope;        // the innermost call into a component, on the fiber's stack
	struct arena arena;               // native values of the calls under way; charged to the instance
	struct canon_trap *trap;          // its report: the caller's. The first trap, the innermost, is told
	// Async: host functions get the task of the thread that calls them, whose root is the one that the host gave.
	struct canon_task *root;                            // NULL: itself
	struct canon__thread *first_ready, **last_ready;  // of a root: threads to go on
	uint32_t n_threads, outside;                        // of a root: all, and those that wait in a host function
	struct canon__leave *leave;                      // the host function that runs may leave (canon_task_leave)
	struct vm_fiber *fiber;                          // of a root: that its call is on, whose budget its threads use; NULL: the thread's own stack
	struct canon_task *next_idle, **prev_idle;       // of a root that waits until a thread can go on
	// Of a root: canon_call_cancel was called; enum canon_call_end of its async-typed call, once that is over.
	bool cancels;
	uint8_t how;
};
static inline struct canon_task *canon_task_root(struct canon_task *t)
{
	return t->root ? t->root : t;
}
// subtask.cancel by host code: the async-typed export that the root calls is told, when it waits where it can be; it ends as it likes, and task->how says how (in
// `returned` of canon_call_export_whole). Of one that is not async-typed, or over, it does nothing. From anywhere on the thread.
void canon_call_cancel(struct canon_task *root);
// The root that runs it. NULL: none does, its own has returned; another in the instance does when it can go on, the first that waits there.
struct canon_task *canon_task_runner(struct canon_task *t);
// Of a task that parked in a host function and is not its own root: it is to be resumed. The root's fiber must be resumed too (canon_host.wake is called).
void canon_task_wake(struct canon_task *t);
// Of the same: its caller has cancelled the call. It is to clean up and return TRAP_KILLED.
bool canon_task_is_cancelled(const struct canon_task *t);
// A function that is CANON_HOST_LEAVES and was lowered async need not park: it leaves, and returns TRAP_NONE. What is returned here is to be woken when what it
// waits for is there; `over` hears of that, or that the call was cancelled or killed before, once. NULL: no room, the trap is reported.
static inline bool canon_task_may_leave(const struct canon_task *t)
{
	return t->leave;
}
struct canon_task *canon_task_leave(struct canon_task *t, void (*over)(void *data), void *data);
// It has done nothing yet, and would have to park: it is called once more, on a stack of its own. Returns what it is to return.
enum trap canon_task_stay(struct canon_task *t);
// The message of a trap; returns TRAP_HOST. / Of want of memory, the instance's or the host's, which is not what the guest did; returns TRAP_OUT_OF_MEMORY.
enum trap canon_task_trap(struct canon_task *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
enum trap canon_task_no_memory(struct canon_task *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
// Ends the instance cleanly with a status; returns TRAP_EXIT.
enum trap canon_task_exit(struct canon_task *t, int32_t code);

// ---- host resources ---------------------------------------------------------------------------------------------------------------
// The table of host objects that guests hold handles to; rep is what own<T> and borrow<T> are in native values. 0 is never a rep.
// `owner` (may be NULL) is canon_host's: it hears when the object leaves. false: there is no room, canon_handles_full says for which limit.
NODISCARD bool canon_host_resource_new(struct canon_instance *i, const struct canon_resource_ops *ops, void *owner, void *object, uint32_t *ret_rep);
// NULL: no such rep, or of another type.
void *canon_host_resource_get(struct canon_instance *i, const struct wit_resource *type, uint32_t rep);
// Takes the object out without dropping it: for own<T> parameters that the host consumes. NULL as above.
void *canon_host_resource_take(struct canon_instance *i, const struct wit_resource *type, uint32_t rep);
// NULL: no such rep, or nobody's.
void *canon_host_resource_owner(const struct canon_instance *i, uint32_t rep);
// Runs ops->drop.
void canon_host_resource_drop(struct canon_instance *i, uint32_t rep);
// To another instance of the thread, where *ret is its rep and `owner` its owner. Else it was dropped.
enum canon_move canon_host_resource_move(struct canon_instance *i, uint32_t rep, struct canon_instance *to, void *owner, struct canon_carrier *by,
	uint32_t *ret);
const char *canon_handles_full(const struct canon_instance *i);
uint32_t canon_host_resource_count(const struct canon_instance *i);  // for tests

// ---- streams and futures, the host's end ------------------------------------------------------------------------------------------
// A stream of bytes, or a future, whose other end a guest has. Nothing is kept in between: bytes go straight from and to the buffer that the guest's end waits
// with. The owner embeds it; it stays where it is until canon_end_drop, or `gone`.
struct canon__shared;
struct canon_end;
struct canon_end_ops {
	// The guest's end has come with a buffer, has been given its value, or was dropped (canon_end_is_over). In the middle of a guest's call.
	void (*changed)(struct canon_end *e);
	// Of a future: fills in the native value that the guest reads (after canon_end_resolve), or takes the one that it wrote, whose parts are good until it
	// returns. `t` is the guest's, its arena is for parts. Of a stream of values: the next of those that were offered. NULL: the future has no value, or the end is
	// a stream's of bytes. false: the guest traps, and was told why.
	bool (*value)(struct canon_end *e, struct canon_task *t, void *native);
	// The instance has come to its end: forget it.
	void (*gone)(struct canon_end *e);
	bool is_passive;  // it only takes what comes: what is left of a call that has returned waits for nothing there, and so a deadlock is one
	bool waits;       // of a future that a guest writes: its value stays with the guest until it is taken (canon_end_take_values)
	bool joins;       // of a future that is read: it may come by a joint. Then `changed` tells when canon_end_future has its value, on whatever stack
};
struct canon_end {
	const struct canon_end_ops *ops;
	struct canon_instance *instance;
	struct canon__shared *shared;  // NULL: dropped
	struct arena *arena;           // where values that are read go; NULL: they are good as long as the callback that gets them
	struct canon_end *twin;        // of a joint: its end in the other instance
	bool writes, is_ready;
};
// A stream or future that a guest is to read: *ret is its native value, which is to be passed to a guest. false: no memory, or too many.
NODISCARD bool canon_end_new(struct canon_instance *i, const struct wit_type *type, const struct canon_end_ops *ops, struct canon_end *e,
	uint32_t *ret);
// The readable end that a guest passed: `number` is its native value. false: it is none, or a future's that comes through a joint, or is lost, where the end neither
// waits nor joins.
NODISCARD bool canon_end_take(struct canon_instance *i, uint32_t number, const struct canon_end_ops *ops, struct canon_end *e);
// A readable end that a guest passed and that nobody took is dropped.
void canon_end_drop_number(struct canon_instance *i, uint32_t number);
// Of a future that was taken: where the guest has written it already, its value goes to ops->value now. In a guest's call, as task `t`, or where that has
// returned (canon_call_export_whole). false: it traps, and was told why.
NODISCARD bool canon_end_fetch(struct canon_end *e, struct canon_task *t);
// Of a future that was taken and comes by a joint: its native value, which passes as task `t` of the end's instance, where handles in it are. Its parts are good
// until canon_end_took, which must follow; the end may be gone when that returns. false: there is none yet.
bool canon_end_future(struct canon_end *e, struct canon_task *t, void *native);
void canon_end_took(struct canon_end *e);
// Its other end is in another instance, or has gone with that.
bool canon_end_is_joined(const struct canon_end *e);
// The other end, in this instance or behind joints, where it is the host's as well; NULL: a guest has it, or it is gone.
struct canon_end *canon_end_peer(const struct canon_end *e);
// The guest's end was dropped; of a future, or nobody will write it any more.
bool canon_end_is_over(const struct canon_end *e);
// Of a stream: what the guest's end waits with: bytes to read, or room for them, or (of other elements) for so many values (*ret is NULL where *ret_len is 0:
// it only asks whether we are ready). Good until anything of the guest runs. false: it does not wait.
bool canon_end_room(const struct canon_end *e, uint8_t **ret, size_t *ret_len);
// So many of them were read or written; 0 of 0: we are ready.
void canon_end_move(struct canon_end *e, size_t n);
// Of a readable end with elements other than bytes: the next n <= *ret_len of what the guest's end waits with, as native values into `native`; their parts lie
// in e->arena. As task `t`. false: it traps, and was told why; a value that there was no room for (TRAP_OUT_OF_MEMORY) has all of its handles still. The same of a
// future's one value, where the end waits (canon_end_ops).
NODISCARD bool canon_end_take_values(struct canon_end *e, struct canon_task *t, size_t n, void *native);
// The same of a stream of anything else: n > 0 values are there, for which there is room. They go into the guest's buffer when it is told, by ops->value one
// after the other; the end may not be dropped before.
void canon_end_offer(struct canon_end *e, size_t n);
// Of a future that the host writes: its value can be had from ops->value from now on.
void canon_end_resolve(struct canon_end *e);
// A future's that the host writes not before its value was read, or the guest's end dropped. Of one that is gone it does nothing.
void canon_end_drop(struct canon_end *e);
// What a native value points to is copied into `a`, and the value points there. As work where `exec` is not NULL: else it is one moment, in which nobody else runs.
// TRAP_OUT_OF_MEMORY, or what ended the work.
NODISCARD enum trap canon_value_copy_parts(const struct wit_type *type, void *native, struct arena *a, struct abi_exec *exec);
// Calls `visit` for each handle, stream and future in a native value, which it may put another number in place of; stops at false and returns it.
typedef bool canon_visit(void *ctx, const struct wit_type *type, uint32_t *number);
bool canon_value_handles(const struct wit_type *type, void *native, canon_visit *visit, void *ctx);
// The task whose guest code runs in the instance; NULL: none does.
struct canon_task *canon_instance_running(const struct canon_instance *i);

// ---- streams and futures between two instances of a thread -------------------------------------------------------------------------------------
// What a guest writes in one of them, the giver, is read in the other, the taker: a rendezvous as within one, bytes go once from memory to memory. The owner
// embeds it; it stays where it is until `over`.
struct canon_joint;
struct canon_joint_ops {
	// canon_joint_run is to be called from the loop, on the thread's own stack. Also where that was asked for already.
	void (*post)(struct canon_joint *j);
	// Both ends are gone: forget it.
	void (*over)(struct canon_joint *j);
	// The stream ends, or the future is lost. `dead`: the giver's instance, which wrote what is no value of the type; NULL: a value was too large, or there is no
	// memory for it, or a handle in it can't pass, or the giver has ended before it wrote the future.
	void (*failed)(struct canon_joint *j, const struct canon_instance *dead, const char *why);
	// Fills in the native value that stands for the one of a future that nobody will write any more. false: its type has none that says so. `native` NULL: only
	// whether it has. NULL: none has.
	bool (*stands_in)(struct canon_joint *j, const struct wit_type *elem, const char *why, void *native);
	// Of elements that hold handles, streams or futures: a value that was taken, in which they are the giver's, is made the taker's. false: *ret_why says why it
	// can't be, all in it is closed, and the stream ends, or the future is lost. On the thread's own stack, or never: nobody is in the middle of either instance.
	bool (*pass)(struct canon_joint *j, void *native, const char **ret_why);
	// One that was passed, and will not be given: all in it is closed.
	void (*close)(struct canon_joint *j, void *native);
};
struct canon_joint {
	const struct canon_joint_ops *ops;
	const struct wit_type *elem;  // NULL: none
	struct canon_end from, to;  // reads in the giver, writes in the taker
	struct arena arena;         // of values that were taken and not yet given: the taker's memory
	uint8_t *values;
	uint32_t n, next;           // of those: all, the next to be given
	uint8_t giving;             // what the taker stores now, whose memory has to last until then
	bool busy, again, lost;     // lost: of a future that nobody will write any more, for whose value another stands in
	bool passed;                // of a future: its value went on, to a joint behind it that holds it or gave it
	bool writer_came;           // last
	const char *why_lost;       // why the value that was written does not come; NULL: it does, or there was none
	bool has_failed;            // ops->failed was called
	uint32_t depth;             // of those that its values come through: itself and the ones before it
};
#define CANON_JOINTS_MAX 32                    // in a row
#define CANON_JOINT_ELEMENT_MAX (256u << 10)  // bytes of a native element, without what it points to
// The readable end that a guest of `from` passed, whose native value is `number`, goes to a guest of `to`: *ret is its native value there. `type`: of the
// stream or future, in either; it lasts as long as the joint. `over` may come before this returns. false: *ret_why says why: no memory, too many handles in `to`,
// a row of more than CANON_JOINTS_MAX; the end is dropped, and `over` is not called.
NODISCARD bool canon_joint_new(struct canon_joint *j, const struct canon_joint_ops *ops, struct canon_instance *from, uint32_t number, struct canon_instance *to,
	const struct wit_type *type, uint32_t *ret, const char **ret_why);
void canon_joint_run(struct canon_joint *j);

// ---- resources of guests, held by the host ---------------------------------------------------------------------------------------
// The result of an export may hold own<T> of a type that the guest implements: its native form is a rep of that type. The host gives it back as an
// argument (own or borrow), or drops it: runs the destructor. On a fiber.
NODISCARD bool canon_guest_resource_drop(struct canon_instance *i, const struct wit_resource *type, uint32_t rep, struct canon_task *t,
	struct canon_trap *trap);

// ---- images -----------------------------------------------------------------------------------------------------------------------
enum canon_init { CANON_INIT_AUTO, CANON_INIT_ONCE, CANON_INIT_EACH };
// Instantiates once, learning where the cut is (design §5), and keeps the state before it. On a fiber, as task `t`.
// false with trap->trap != NONE: the guest trapped before the cut; else `e`. `user` and what ops->remake needs must outlive the image.
NODISCARD bool canon_image_new(struct vm_shard *shard, const struct canon_component *cc, const struct canon_host *host, const struct canon_limits *limits,
	enum canon_init init, void *user, struct canon_task *t, struct canon_image **ret, struct canon_trap *trap, struct err *e);
// The same after all steps (CANON_INIT_ONCE), and after `warm` has called exports of the instance on the same fiber; false: as canon_image_new. What the instance
// keeps by then must be such that it can be made anew, else `e`.
struct canon_warming {
	bool (*warm)(void *ctx, struct canon_instance *i, struct canon_trap *trap, struct err *e);
	void *ctx;
};
NODISCARD bool canon_image_warm(struct vm_shard *shard, const struct canon_component *cc, const struct canon_host *host, const struct canon_limits *limits,
	const struct canon_warming *w, void *user, struct canon_task *t, struct canon_image **ret, struct canon_trap *trap, struct err *e);
// Slots must be freed before.
void canon_image_free(struct canon_image *m);
struct canon_image_info {
	uint32_t cut, steps;       // steps [cut, steps) run in every instance
	uint64_t bytes;
	char why[160];             // what made the cut; empty: nothing did
};
void canon_image_info(const struct canon_image *m, struct canon_image_info *ret);

// The store's image if it depends on nothing but the component, `init` and limits: no host function was called on the way to it and no handle is
// alive. `out` gets what canon_image_from wants. NULL: it does depend, or memory is out. And back; takes a reference on `vm`.
struct vm_image *canon_image_pure(const struct canon_image *m, struct buf *out);
NODISCARD bool canon_image_from(const struct canon_component *cc, const struct canon_host *host, const struct canon_limits *limits, struct vm_image *vm,
	struct slice bytes, struct canon_image **ret, struct err *e);

// A slot is an instance that equals the image. canon_instance_* and canon_call_* take it; free it with canon_instance_free.
NODISCARD bool canon_slot_new(struct vm_shard *shard, struct canon_image *m, void *user, struct canon_instance **ret, struct err *e);
// From now on calls may come to it while others wait in it: one that none of those can wake is no deadlock.
void canon_slot_share(struct canon_instance *i);
// Runs the steps after the cut. On a fiber. Nothing to do (and no fiber needed) when canon_slot_is_ready.
NODISCARD bool canon_slot_start(struct canon_instance *i, struct canon_task *t, struct canon_trap *trap);
bool canon_slot_is_ready(const struct canon_instance *i);
// Equal to the image again: host resources are dropped, nothing of the guest runs. No task is in it. false: the slot can't be trusted (it trapped): free it.
NODISCARD bool canon_slot_reset(struct canon_instance *i);
// In pieces, as vm_store_reset_some: nothing else may be done with it after MORE, but to shed and to free it. What the host has for it ends with the first,
// or before. / Ends that; nothing else is done with it then. false: it can't be reset, and nothing happened.
NODISCARD enum vm_reset canon_slot_reset_some(struct canon_instance *i, uint64_t pages);
NODISCARD bool canon_slot_leave_host(struct canon_instance *i);
// Code that was compiled behind the first answer takes the place of what it runs, as it does at a reset. false: somebody is in it, and nothing happened.
NODISCARD bool canon_slot_relink(struct canon_instance *i);

// ---- for the seam and tests -------------------------------------------------------------------------------------------------------
// Strings between components: native len = code units | encoding << CANON_STRING_SHIFT. Never seen by host functions.
enum canon_string { CANON_UTF8, CANON_UTF16, CANON_LATIN1, CANON_LATIN1_UTF16 };
#define CANON_STRING_SHIFT 60

#endif
