// Inside of room serve: a component that serves what others import (contract §2).
//
// A *relay* is a service as a provider (seam). A *guest* is one of its instances on a thread, for one root invocation: calls of the root's tree come to it one at
// a time, each as a child of its caller's task, on a fiber of its own. Handles that it gave away hold it beyond its root.
#ifndef TENON_SERVE_RELAY_H
#define TENON_SERVE_RELAY_H

#include "serve_int.h"

struct relay_guest;
// A request as another thread, which a call of it came to, names it in what it says for it. Empty: it has none.
struct serve_names {
	uint64_t id, started_ns;  // id 0: it is none's
	char request_id[SERVE_ID_MAX + 1], trace_parent[OBS_PARENT_LEN + 1], trace_state[SERVE_STATE_MAX + 1];
	struct serve_trace trace;
	// Its calls through links and requests that went out: so many it had, and has with those of that thread, which the caller adds when he has the answer.
	uint32_t link_calls;
	uint64_t link_ns;
};
// What may stand in a field, of all fields tracestate together. Empty: there is none, or it is too long.
struct slice serve__trace_state(const struct http_request *r, char room[SERVE_STATE_MAX]);
// A resource of the component, as those that import it hold it.
struct relay_class {
	struct canon_resource_ops ops;
	struct wit_resource wit;
};
// What is bound: an interface by links whose calls have that long.
struct relay_door {
	struct relay_door *next;
	uint64_t deadline_ns;              // 0: as long as the component and the caller have
	const struct relay_func *funcs[];  // by function
};
// An interface that it exports and others import.
struct relay_face {
	struct relay_face *next;
	struct seam_described *described;
	const struct relay_func *funcs;
	struct relay_door *doors;
};
struct serve_relay {
	struct seam_provider seam;  // first
	struct serve_service *service;
	struct serve_version *base;  // that the interfaces are described by; NULL: let go
	struct arena arena;
	struct relay_class *classes;  // by comp_resource.index
	struct relay_face *faces;
	uint32_t guests;              // any thread: with the calls from other threads
};
struct relay_func {
	struct serve_relay *relay;
	const struct relay_face *face;
	uint32_t index;    // in the interface
	bool has_streams;  // it passes streams or futures, or objects that have some
};
// An interface as a version exports it that is not the base: by function and resource of the base's. Immutable once it is in the version's list.
struct relay_exports {
	struct relay_exports *next;
	const struct relay_face *face;
	const struct comp_export_func **exports;
	const struct wit_resource **resources;
	struct arena arena;  // that it lies in
};

// What a caller's handle stands for: an object of a guest. It is the guest's own until it is closed there. Guest, type and number never change: any thread
// that has the handle may read them.
struct relay_handle {
	struct relay_guest *guest;
	struct relay_handle *next;  // of those that are to be closed; that a call from another thread brings, or its answer
	const struct wit_resource *type;
	uint32_t rep;
	struct serve_message dropped;  // on another thread
};
// A stream or future between a caller and a guest, which it holds.
struct relay_stream {
	struct canon_joint joint;
	struct relay_guest *guest;
	struct canon_instance *outer;  // the caller's; with its last end gone it is not looked at any more
	struct seam__seat *seat;       // there, for objects that come by it; NULL: none do
	bool is_out;                   // from the guest
	const struct seam_interface *of;  // whose function it is of; NULL: of an object that moved: by the host's types, and all handles that come by it are of such as move
	struct loop_job run;
};
// Who waits for the guest, in line: he has his place until he leaves it. Policy keep: or seeks one, of the shard's `seeking`.
struct relay_wait {
	struct relay_wait *next;
	bool seeks, told;                     // told: that there may be one for him, and he has not looked yet
	struct seam_park park;                // of a call of the thread's
	void (*turn)(struct relay_wait *w);   // else: called when it may be his turn
};
// States: used (root, handles or calls) → closing (handles were dropped: destructors run) → free. `dead`: a call of it did not return; its instance is gone
// as soon as no call is in it, and the rest when its root and its handles are.
struct relay_guest {
	struct relay_guest *next, **prev;           // of the shard's
	struct relay_guest *root_next, **root_prev;  // of the thread's, by root; root_prev NULL: its root has ended
	struct serve_relay *relay;
	struct serve_shard *shard;
	struct serve_slot *slot;    // NULL: gone
	struct seam_task_id root;
	struct seam_task *holder;   // whose call is in it, or its closer; NULL: nobody's
	struct relay_wait *first, **last;
	struct relay_handle *closing;
	struct relay_call *spare;   // of a call that is over, for the next
	uint32_t calls, handles;    // that are in it or wait for it; given away, with open streams
	uint32_t left;              // of the calls that have not returned: whose callers have gone, with what they lent perhaps
	bool dead, is_held;         // is_held: by its closer
	bool is_kept;               // policy keep: it is of no root, and all calls come to it
	struct loop_job turn;       // it is looked at, on the loop's stack
	// Policy concurrent: it is of no root, but of all that are in its slot (relay_many.c).
	bool is_many, has_place;    // has_place: one of the slot's, for its handles
	struct relay_many *inside;  // calls
};

#define SERVE_PLACE_RETRY (2 * MILLISECOND)  // who waits for a place in an instance looks as often
// The guest of the call's root, or (policy keep) the one there is; made where there is none, which may wait, until `by_ns`: NULL then. Not SEAM_OK: none is to
// be had, return that.
// *ret_many: it waited for the one there was, and there are instances for many calls by now: nothing has happened.
enum seam_result serve__relay_guest(struct serve_relay *r, struct serve_thread *t, struct seam_call *c, uint64_t by_ns, struct relay_guest **ret, bool *ret_many);
// On the shard's thread: does the root have a guest there that is its own?
bool serve__relay_has_own(const struct serve_relay *r, struct serve_thread *t, const struct seam_task *caller);
// May what is called by the face be of that policy? ERR_LINK. Within process->relays.
NODISCARD bool serve__relay_may_be(const struct serve_service *s, enum serve_policy policy, const struct relay_face *f, struct err *e);
// What stands for a function, a resource of the base in a version. NULL: nothing does.
const struct comp_export_func *serve__relay_export(const struct serve_version *v, const struct relay_func *f);
const struct wit_resource *serve__relay_resource(const struct serve_relay *r, const struct serve_version *v, const struct wit_resource *of_base);
// Values (relay_values.c). Not SEAM_OK: return it. The guest that handles among the arguments are of; NULL: there are none.
enum seam_result serve__relay_of_handles(struct serve_relay *r, struct seam_call *c, const void *args, struct relay_guest **ret);
// Arguments: handles become the component's own, streams and futures go on to it, and objects of others that it is given. false: the same owned handle is
// there twice, or (*ret_full says why) the instance has no room for one: what is in the arguments is the component's all the same, to be given up.
NODISCARD bool serve__relay_take_in(struct relay_guest *g, struct seam_call *c, void *args, const char **ret_full);
// What a value in a caller's instance owns is dropped there: objects, streams and futures; 0 is none. And so in arguments that never came in.
void serve__relay_close_outer(struct canon_instance *i, const struct wit_type *type, void *value);
void serve__relay_turn_away(struct seam_call *c, const void *args);
// Does the function of that interface pass streams or futures, or objects that have some?
bool serve__relay_has_streams(const struct seam_interface *of, const struct seam_func *f);
// Between two instances, either of which may be the guest's; its native value in `to` takes the place of *number. `of`: the interface of the function that `type`
// is of; NULL: it is the host's, of an object that moves. false: *ret_why says why; it is dropped, and *number none (relay_stream.c).
NODISCARD bool serve__relay_stream(struct relay_guest *g, struct canon_instance *from, struct canon_instance *to, const struct wit_type *type,
	const struct seam_interface *of,
	uint32_t *number, const char **ret_why);
// Why an object can't move that others were made of.
extern const char serve__relay_in_use[];
// Cases of a type of errors for what nobody foresaw.
#define SERVE_RELAY_ERRORS 6
extern const char *const serve__relay_errors[SERVE_RELAY_ERRORS];
// A handle or stream less.
void serve__relay_let_one_go(struct relay_guest *g);
// Its result: its objects become handles of the caller, who gets what the call ends with.
enum seam_result serve__relay_give_out(struct relay_guest *g, struct seam_call *c, void *ret);
// Nobody gets the result (type NULL: there is none), or the arguments that came in: its objects are closed. false: no memory for that.
NODISCARD bool serve__relay_give_up(struct relay_guest *g, const struct wit_type *type, void *value);
// The call has failed: the interface's error, where it has one, else a trap of the caller.
enum seam_result serve__relay_fails(struct serve_relay *r, struct seam_call *c, const char *why, void *ret);
// What stands for the function in the guest's version; NULL: nothing does.
const struct comp_export_func *serve__relay_find(const struct relay_guest *g, const struct relay_func *f, struct err *e);
// A call where many are in one instance at once (relay_many.c). `g`: of its handles; NULL: any.
// Until `by_ns`, as all of it.
enum seam_result serve__relay_call_many(const struct relay_func *f, struct serve_thread *t, struct seam_call *c, uint64_t by_ns, struct relay_guest *g,
	const void *args, void *ret);
// Of a call that can't begin, or is left, because its link's deadline is over.
extern const char serve__relay_is_late[];
// A guest of no root yet, without a slot. NULL: no memory.
struct relay_guest *serve__relay_guest_new(struct serve_relay *r, struct serve_shard *s);
void serve__relay_guest_free(struct relay_guest *g);
void serve__relay_forget_closing(struct relay_guest *g);
// Of one for many calls: no call and no handle has it any more.
void serve__relay_forget_slot(struct relay_guest *g, bool clean);
// ---- relay_turns.c: policy keep, of the shard that has the instance ----
// The guest that takes calls, of those that were told also one that takes no others. NULL: there is none.
struct relay_guest *serve__relay_kept(const struct serve_shard *s, bool told);
// May a call have the instance now, where nobody else has it?
bool serve__relay_may_take(const struct serve_shard *s, bool told);
// It has found no guest: it seeks from now on, or further, and is told when there may be one: `turn`, or `park`, which is initialized before.
void serve__relay_seek_on(struct serve_shard *s, struct relay_wait *w);
// It has one, or gives up; nothing happens where it does not seek.
void serve__relay_seek_no_more(struct serve_shard *s, struct relay_wait *w);
// ----
// In line, and for a turn: policy keep, what relay_far.c does without a task that could wait. `try`: the guest there is, or a new one; NULL: there is none now, and
// `e` stays as it is where that is to be waited for.
struct relay_guest *serve__relay_try(struct serve_relay *r, struct serve_shard *s, bool told, struct err *e);
void serve__relay_join_line(struct relay_guest *g, struct relay_wait *w);
void serve__relay_leave_line(struct relay_guest *g, struct relay_wait *w);
static inline bool serve__relay_is_turn(const struct relay_guest *g, const struct relay_wait *w)
{
	return !g->holder && (!g->first || g->first == w);
}
// A call gives up before it was its turn, out of the line: it counts among the guest's no more.
void serve__relay_give_up_turn(struct relay_guest *g);
extern const char serve__relay_has_ended[];
// ---- relay_far.c: policy keep, from another thread than the one that has the instance ----
// *ret_here: it isn't kept any more, as the thread has taken up by then: nothing has happened, and the arguments are as they were.
enum seam_result serve__relay_call_far(const struct relay_func *f, struct serve_thread *t, struct seam_call *c, uint64_t by_ns, struct relay_guest *g,
	const void *args, void *ret, bool *ret_here);
// Does the chain of calls that leads to the task go through the service, which is kept? What is called from another thread is where all that are kept are.
bool serve__relay_goes_through(const struct serve_service *s, const struct seam_task *caller);
// A handle was dropped on another thread than its guest's.
void serve__relay_drop_far(struct relay_handle *h);
// The shard is being closed: all that came from other threads ends.
void serve__relays_end_far(struct serve_shard *s);
// ----
// Is the call made, by however many others, by one that is in that instance?
bool serve__relay_comes_back(const struct seam_instance *i, const struct seam_task *caller);
// Runs the destructors of what was dropped, on a task of its own.
void serve__relay_close(struct relay_guest *g);
void serve__relay_look_at(struct relay_guest *g);
// Until it is the caller's alone; then it is his, by `task`, until serve__relay_leave. *ret_not: why it is not, as serve__relay_fails wants it; else NULL. Not
// SEAM_OK: neither, return that.
enum seam_result serve__relay_enter(struct relay_guest *g, struct seam_call *c, struct seam_task *task, uint64_t by_ns, const char **ret_not);
// `clean`: nothing went wrong in it.
void serve__relay_leave(struct relay_guest *g, bool clean);
// Before that, where it has an instance yet: by what its task ended, `ok`: it returned.
void serve__relay_ended_by(const struct relay_guest *g, const struct seam_task *t, bool ok, enum trap trap);
// A call of it returned: what is kept has no failures in a row any more, also where handles of it are always out, so that it is never given back but after a trap.
void serve__relay_returned(const struct relay_guest *g);
// There was no memory to close an object of its: it can't go on.
void serve__relay_lose(struct relay_guest *g);
// What stands for an object of the guest's outside of it. NULL: no memory.
struct relay_handle *serve__relay_handle_new(struct relay_guest *g, const struct wit_type *t, uint32_t rep);
// Of a handle's type, which is of one of the component's own resources.
static inline const struct canon_resource_ops *serve__relay_class(const struct serve_relay *r, const struct wit_type *t)
{
	return &r->classes[comp_resource_of(t->resource)->index].ops;
}
static inline bool serve__relay_is_stream(const struct wit_type *t)
{
	return t->kind == WIT_STREAM || t->kind == WIT_FUTURE;
}
// Of a resource that the component imports: an object of somebody else's, which goes from instance to instance with its handle.
static inline bool serve__relay_is_imported(const struct wit_type *t)
{
	return comp_resource_of(t->resource)->host_index != COMP_NONE;
}
// A handle of it was dropped, or taken back (then it is not to be closed).
void serve__relay_drop(struct relay_handle *h);
void serve__relay_forget(struct relay_handle *h);
// Runs the destructors of what was dropped, on a fiber of `task` in it. false: it trapped.
NODISCARD bool serve__relay_close_handles(struct relay_guest *g, struct seam_task *task, struct canon_trap *trap);
// Its instance is ready for a call; on a fiber of `task`. false: it trapped.
NODISCARD bool serve__relay_start(struct relay_guest *g, struct seam_task *task, struct canon_trap *trap);
// Where the root has a limit of memory for its whole tree: what the others of it leave to this instance, which goes on now. `task`: any of the tree's.
void serve__relay_bound(struct serve_thread *t, struct seam_task *task, struct canon_instance *i);
// It has what its own limit says again.
void serve__relay_unbound(struct canon_instance *i);
// A task has ended: guests whose root it is.
void serve__relay_root_ended(struct serve_thread *t, const struct seam_task *task);

#endif
