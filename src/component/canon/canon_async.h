// What async needs: threads, waitables, tasks of async-typed functions, their callers' side, streams and futures. An instance without an async canonical
// definition has none of it.
//
// 1. A call from host code (a *root*, struct canon_task) runs its threads: each has a fiber of its own, which whoever resumes it waits for (Thread.resume of
//    the specification). Where a root waits it runs those of its threads that are ready (Store.tick), and parks when none is.
// 2. A sync-typed function has no thread: it runs on its caller's fiber. Where it blocks, other threads of its component instance run in its place, as
//    canon_lift has it, and when there are none that is a trap.
// 3. All that a thread may wait for is a row of enum canon__wait; whether it is there says canon__thread_is_ready, and nobody else.
// 4. Whatever comes into being here is in a list of the instance, so that its end frees all of it, whatever state it is in.
#ifndef TENON_CANON_ASYNC_H
#define TENON_CANON_ASYNC_H

#include "canon_int.h"

#define MAX_FLAT_ASYNC_PARAMS 4
#define BLOCKED UINT32_MAX

// ---- events and waitables (waitable.c) ----
enum canon__event { EVENT_NONE, EVENT_SUBTASK, EVENT_STREAM_READ, EVENT_STREAM_WRITE, EVENT_FUTURE_READ, EVENT_FUTURE_WRITE, EVENT_TASK_CANCELLED };
struct canon__event_tuple {
	uint32_t code, index, payload;
};
struct canon__waitable;
// What an event changes when a guest is given it, and its payload: of each kind of waitable.
typedef enum trap canon__deliver_fn(struct canon_instance *i, struct canon__waitable *w, uint32_t *ret_payload);
struct canon__waitable {
	canon__deliver_fn *deliver;
	uint8_t event;         // that is pending; EVENT_NONE
	bool has_sync_waiter;
	uint32_t index;        // in its component instance's handles; 0: in none
	struct canon__set *set;
	struct canon__thread *waiter;             // the sync waiter
	struct canon__waitable *next, **prev;     // of the set's that have an event
};
struct canon__object {  // what an instance's end frees
	struct canon__object *next, **prev;
};
struct canon__set {
	struct canon__object object;  // first
	uint32_t component;
	uint32_t n_elems, num_waiting;
	struct canon__waitable *first, **last;         // those with an event, in the order in which they got it
	struct canon__thread *waiters, **last_waiter;
};
// A pending event takes the one that was there: what is delivered is the newest.
void canon__set_pending_event(struct canon_instance *i, struct canon__waitable *w, enum canon__event event);
// The one place where events reach a guest.
enum trap canon__get_pending_event(struct canon_instance *i, struct canon__waitable *w, struct canon__event_tuple *ret);
// It is not pending any more.
void canon__forget_pending_event(struct canon__waitable *w);
enum trap canon__set_get_pending_event(struct canon_instance *i, struct canon__set *s, struct canon__event_tuple *ret);
void canon__waitable_join(struct canon_instance *i, struct canon__waitable *w, struct canon__set *s);
// wait_for_pending_event: the thread that runs waits.
enum trap canon__wait_for_pending_event(struct canon_instance *i, struct canon__waitable *w);
// The set of that handle; NULL: *ret is the trap.
struct canon__set *canon__set_find(struct canon_instance *i, struct canon_task *task, uint32_t component, uint32_t index, enum trap *ret);

// ---- threads (thread.c) ----
enum canon__wait {
	WAIT_NOT,            // it runs, or waits on its stack for what it resumed
	WAIT_SUSPENDED,      // until another thread resumes it; one that has not begun
	WAIT_TURN,           // for nothing: others first
	WAIT_ENTER,          // until the component instance may be entered (backpressure)
	WAIT_EXCLUSIVE,      // until no other task of the component instance runs core code
	WAIT_SET,            // for an event of a set
	WAIT_SET_EXCLUSIVE,  // for both
	WAIT_EVENT,          // for a waitable's event
	WAIT_RESOLVED,       // until the call that it made has resolved
	WAIT_HOST,           // for a host function that it called
};
struct canon__thread {
	struct canon_task task;  // first: what runs
	struct canon__object object;
	struct canon_scope base;  // of its fiber; its parent is whoever resumed it
	struct canon__async_task *of;
	struct vm_fiber *fiber;  // NULL: not begun, waiting without a stack, or on the stack of a sync-typed call (is_inline)
	uint64_t context[2];     // of context.get, while it has no fiber
	enum trap (*main)(struct canon_instance *i, struct canon__thread *th);
	void (*over)(void *data);  // of a host function that has left: its main needs no stack; NULL
	void *data;
	uint64_t argument;  // of main's: a function of the store, and what it is called with
	uint32_t func;
	uint32_t component, index;  // index: in the component instance's threads; 0: nobody asked
	uint8_t wait;               // enum canon__wait
	bool is_inline, is_implicit, is_registered, cancellable, cancelled, woken, needs_exclusive;
	bool is_charged, goes_on;    // its stack is on the account; it had one before, and gave it back
	bool is_told_cancelled;      // what its callback is told next
	struct canon__set *set;      // whose event its callback is given next; NULL: none
	union {
		struct canon__set *set;
		struct canon__waitable *waitable;
		struct canon__call *call;
	} on;
	enum trap end;                   // of main
	struct canon__thread *switch_to;   // that its resumer runs next
	struct canon_task *root;           // that runs it; the instance's `nobody`: whoever comes
	struct canon__thread *next_ready, **prev_ready;  // of the root's
	struct canon__thread *next_waiter, **prev_waiter;  // of a set's, or at a gate
	struct canon__thread *next, **prev;                // of its component instance
};
// Of a host function that may leave.
struct canon__leave {
	struct canon__thread *thread;  // that it left
	uint32_t component;
	bool stays;
};
// Those that can't go on for others of their component instance, each list in the order of coming.
struct canon__gate {
	struct canon__thread *first, **last;
};
// What a component instance has beside its handles.
struct canon__async_component {
	struct canon__thread *exclusive;  // exclusive_thread
	uint32_t num_waiting_to_enter;
	struct canon__thread *threads, **last_thread;
	struct canon__gate entering, entering_free, going_on;  // the first and third need `exclusive`
	bool entered_last;  // the last that was let through was entering
	struct {
		struct canon__thread **array;  // 0 is never given; a free entry holds the next free index
		uint32_t len, cap, free;
	} indices;
};
// All of an instance's, made with the first thread, waitable or set (objects.c).
struct canon__async {
	struct canon__async_component *components;
	struct canon__object *threads, *tasks, *calls, *sets, *ends, *shareds;
	struct canon__object *inlines, *parted;  // while it ends: threads without a stack of their own; what the host has no end of any more
	uint32_t n_threads, n_objects, n_host_ends;
	uint32_t n_awaited;           // ends of guests that wait with a buffer for the host (canon__is_awaited)
	struct canon_task nobody;     // root of threads whose root has returned
	struct canon_task *idle;      // roots that wait until a thread can go on
	struct canon__thread *held;   // waits in the host in the middle of a sync-typed call: nobody else goes on
	struct {
		struct canon__shared **array;
		uint32_t len, cap, free, n;
	} in_transit;  // n streams and futures by the number that is their native value
};
// NULL: no memory.
struct canon__async *canon__async_make(struct canon_instance *i);
static inline struct canon__async *canon__async_get(struct canon_instance *i)
{
	return LIKELY(i->async) ? i->async : canon__async_make(i);
}
// A zeroed object of the instance whose first member is a struct canon__object. NULL: the limit of handles or memory is met (canon__handles_full).
void *canon__object_new(struct canon_instance *i, size_t size, struct canon__object **list);
void canon__object_free(struct canon_instance *i, struct canon__object *o);
static inline void canon__object_list(struct canon__object *o, struct canon__object **list)
{
	o->next = *list;
	o->prev = list;
	if (o->next)
		o->next->prev = &o->next;
	*list = o;
}
static inline void canon__object_unlist(struct canon__object *o)
{
	*o->prev = o->next;
	if (o->next)
		o->next->prev = o->prev;
}
static inline void canon__object_move(struct canon__object *o, struct canon__object **to)
{
	canon__object_unlist(o);
	canon__object_list(o, to);
}

struct canon__thread *canon__thread_new(struct canon_instance *i, struct canon__async_task *of, uint32_t component,
	enum trap (*main)(struct canon_instance *i, struct canon__thread *th));
// Thread.resume: until it ends or blocks, and who it switches to. `caller`: that enters its component instance, CANON__HOST: nobody. What it trapped with.
enum trap canon__thread_resume(struct canon_instance *i, struct canon__thread *th, uint32_t caller, bool cancelled);
// The thread that runs blocks; *ret_cancelled may be NULL.
enum trap canon__thread_block(struct canon_instance *i, struct canon__thread *th, enum canon__wait wait, void *on, bool cancellable, bool *ret_cancelled);
// The same where nothing is on its stack: true: its main is to return, and `main` goes on with it when what it waits for is there; th->cancelled says then
// how it was resumed. false: there is nothing to wait for.
NODISCARD bool canon__thread_leave(struct canon_instance *i, struct canon__thread *th, enum canon__wait wait, void *on, bool cancellable,
	enum trap (*main)(struct canon_instance *i, struct canon__thread *th));
// suspend_then_resume, yield_then_resume: `wait` is WAIT_SUSPENDED or WAIT_TURN.
enum trap canon__thread_switch(struct canon_instance *i, struct canon__thread *th, enum canon__wait wait, struct canon__thread *to);
// A thread that may run in place of a sync-typed call that blocks. NULL: there is none.
enum trap canon__thread_another(struct canon_instance *i, const struct canon__thread *th, struct canon__thread **ret);
bool canon__thread_is_ready(const struct canon_instance *i, const struct canon__thread *th);
// What it waits for may be there.
void canon__thread_wake(struct canon_instance *i, struct canon__thread *th);
// A set has an event: for the next of its waiters, if it has one.
void canon__set_wake(struct canon_instance *i, struct canon__set *s);
// A suspended thread is ready from now on.
void canon__thread_resume_later(struct canon_instance *i, struct canon__thread *th);
// current_thread; of a sync-typed call made when it is asked for. NULL: no memory.
struct canon__thread *canon__current_thread(struct canon_instance *i, struct canon_task *task);
// register_thread, unregister_thread (without the trap); the index in the component instance's table.
void canon__thread_register(struct canon_instance *i, struct canon__thread *th);
void canon__thread_unregister(struct canon_instance *i, struct canon__thread *th);
bool canon__thread_give_index(struct canon_instance *i, struct canon__thread *th);
struct canon__thread *canon__thread_find(struct canon_instance *i, uint32_t component, uint32_t index);
// Runs the root's threads until `call` has resolved; NULL: until there are none.
enum trap canon__run_threads(struct canon_instance *i, struct canon_task *root, const struct canon__call *call);
// The root returns: its threads are nobody's.
void canon__threads_leave(struct canon_instance *i, struct canon_task *root);
// The instance is dead: the root's threads end.
void canon__threads_kill(struct canon_instance *i, const struct canon_task *root);
// All of it that are there, the next of them: *most is counted down, for one with a stack by more. true: there are none left.
bool canon__threads_kill_some(struct canon_instance *i, uint32_t *most);

// ---- tasks (async_task.c) ----
enum canon__task_state { TASK_INITIAL, TASK_STARTED, TASK_PENDING_CANCEL, TASK_CANCEL_DELIVERED, TASK_RESOLVED };
// Task of the specification: of a call of an async-typed function, or of a sync-typed one that has made threads (`lift` NULL).
struct canon__async_task {
	struct canon__object object;  // first
	const struct canon__lift *lift;
	struct canon__call *call;     // its caller's side, until it is resolved
	struct canon_scope scope;     // of its borrows
	struct canon__thread *implicit;
	uint32_t component, n_threads, depth;
	uint8_t state;  // enum canon__task_state
};

// A task of it holds its component instance while its core code runs.
static inline bool canon__needs_exclusive(const struct canon__lift *l)
{
	return !l->plan->options.is_async || l->callback;
}

// ---- the caller's side (async_task.c) ----
enum canon__call_state { CALL_STARTING, CALL_STARTED, CALL_RETURNED, CALL_CANCELLED_BEFORE_STARTED, CALL_CANCELLED_BEFORE_RETURNED };
// Subtask of the specification: a call of an async-typed function, until its caller has been told how it ended.
struct canon__call {
	struct canon__object object;  // first
	struct canon__waitable waitable;
	uint8_t state;  // enum canon__call_state
	bool cancellation_requested, is_delivered;
	uint32_t component;                // of the caller
	const struct canon__lower *lower;  // NULL: host code called
	struct canon__subtask lends;
	struct canon__async_task *callee;  // until it has resolved; NULL: the host
	struct canon__thread *host;        // that is in the host function
	struct canon__thread *waiter;      // of a sync lower
	uint64_t flat_args[MAX_FLAT_PARAMS + 1], flat_result;
	// Of host code.
	const void *args;
	void *ret;
	struct arena *arena;
};
static inline bool canon__call_is_resolved(const struct canon__call *c)
{
	return c->state >= CALL_RETURNED;
}

// ---- streams and futures (ends.c, copy.c, host_end.c) ----
enum canon__copy_result { COPY_COMPLETED, COPY_DROPPED, COPY_CANCELLED };
enum canon__end_state { END_IDLE, END_COPYING, END_CANCELLING, END_DONE, END_STATES };
// What may be done with an end.
enum canon__end_action { END_COPY, END_CANCEL, END_COMPLETED, END_DROPPED, END_CANCELLED, END_LIFT, END_DROP, END_ACTIONS };
enum canon__end_kind { END_STREAM_READABLE, END_STREAM_WRITABLE, END_FUTURE_READABLE, END_FUTURE_WRITABLE, END_KINDS };
enum { END_GONE = END_STATES, END_ILLEGAL };
// The transition table: the state after, END_GONE where the end is no more, END_ILLEGAL where the guest traps.
uint8_t canon__end_next(enum canon__end_kind kind, enum canon__end_state state, enum canon__end_action action);

// BufferGuestImpl.
struct canon__buffer {
	const struct canon__options *options;
	uint64_t ptr;
	uint32_t length, progress;
};
// So many elements more have passed.
void canon__buffer_advance(struct canon__buffer *b, const struct wit_type *elem, uint32_t n);
struct canon__shared {
	struct canon__object object;  // first
	const struct wit_type *elem;  // NULL: none
	bool is_future, dropped;
	bool lost;      // of a future: nobody will write it, and its reader can't be told
	bool is_new;    // the host made it, and no guest has had it yet: `elem` names the host's resources
	uint8_t ends;                 // that are there
	bool done;      // of a future: the value has passed to or from the host
	struct canon__end *told;      // that reads it, and was told that it is there
	uint32_t number;              // while it is lifted and not yet lowered; 0
	struct canon__end *pending;   // whose buffer waits
	struct canon_end *host[2];    // ends that the host holds: the readable one, the writable one
	enum trap (*fill)(struct canon_instance *i, struct canon_task *task, struct canon__end *e);  // from the host's end
};
struct canon__end {
	struct canon__object object;  // first
	struct canon__waitable waitable;
	struct canon__shared *shared;
	const struct wit_type *known;  // a type that was found equal to the shared one's
	uint32_t component;
	uint8_t kind, state;  // enum canon__end_kind, canon__end_state
	// Of the copy under way, and of the event that is pending.
	uint8_t result;  // enum canon__copy_result
	bool reclaims;   // on its delivery the buffer is no longer pending
	bool fills;      // on its delivery the host's value is stored, of a stream `offered` of them
	uint32_t offered;
	struct canon__buffer buffer;
};
static inline bool canon__end_is_writable(const struct canon__end *e)
{
	return e->kind & 1;
}
// What is left of its buffer, in elements (Buffer.remain).
static inline uint32_t canon__remain(const struct canon__end *e)
{
	return e->buffer.length - e->buffer.progress;
}
// Does the action: the new state, or a trap that says what was wrong.
enum trap canon__end_do(struct canon_task *task, struct canon__end *e, enum canon__end_action action);
struct canon__end *canon__end_new(struct canon_instance *i, struct canon__shared *s, enum canon__end_kind kind, uint32_t component);
// on_copy: something was copied, and more may be. on_copy_done: the copy is over. reset_and_notify_pending.
void canon__copy_some(struct canon_instance *i, struct canon__end *e);
void canon__copy_done(struct canon_instance *i, struct canon__end *e, enum canon__copy_result result);
void canon__notify_pending(struct canon_instance *i, struct canon__shared *s, enum canon__copy_result result);
// drop of an end whose handle is gone.
void canon__end_drop(struct canon_instance *i, struct canon__end *e);
// The other end of the host, if it has that.
// A guest's end waits there, and its other end is the host's, or on its way through it: the host may bring an event.
static inline bool canon__is_awaited(const struct canon__shared *s)
{
	return s->pending && (s->host[false] || s->host[true] || s->number);
}
// One of these is about to change; has changed.
static inline void canon__await_less(struct canon_instance *i, const struct canon__shared *s)
{
	i->async->n_awaited -= canon__is_awaited(s);
}
static inline void canon__await_more(struct canon_instance *i, const struct canon__shared *s)
{
	i->async->n_awaited += canon__is_awaited(s);
}
// Whose buffer waits; NULL: nobody's any more.
static inline void canon__set_pending(struct canon_instance *i, struct canon__shared *s, struct canon__end *e)
{
	canon__await_less(i, s);
	s->pending = e;
	canon__await_more(i, s);
}
static inline struct canon_end *canon__host_of(const struct canon__end *e)
{
	return e->shared->host[!canon__end_is_writable(e)];
}
// One of its ends is gone.
void canon__shared_drop(struct canon_instance *i, struct canon__shared *s);
// The number that is its native value; back.
bool canon__number(struct canon_instance *i, struct canon__shared *s);
struct canon__shared *canon__take_number(struct canon_instance *i, uint32_t n);
// The value of a future that the host writes goes into the guest's buffer (copy.c).
enum trap canon__fill_from_host(struct canon_instance *i, struct canon_task *task, struct canon__end *e);
// And between such a buffer and an end of the host, either way.
enum trap canon__host_value(struct canon_instance *i, struct canon_task *task, struct canon__end *e, struct canon_end *host, bool stores);
// Through joints: the end that stands in for this one where its other end is, and the guest's end that waits there. (host_end.c)
struct canon_end *canon__end_far(const struct canon_end *e);
struct canon__end *canon__end_waiting(const struct canon_end *e);
// Of a future that was resolved and is not given yet: there is no value after all, and who was told of it waits on.
void canon__end_take_back(struct canon_end *near);
// Of a future that the host writes: there will never be a value. A future has no way to say so (CanonicalABI, "canon future.read"): its reader waits as for one
// that its writer keeps, and may cancel, or drop it. The end is gone.
void canon__end_lose(struct canon_end *e);
bool canon__types_equal(const struct wit_type *a, const struct wit_type *b);

// A sync lower of an async function: may the call that runs wait for it?
enum trap canon__check_may_block(struct canon_instance *i, struct canon_task *task);
// ---- what the built-ins do ----
enum trap canon__task_return(struct canon_instance *i, struct canon_task *task, struct canon__async_task *at, const struct canon__options *o,
	const uint64_t *flat);
enum trap canon__task_cancel(struct canon_instance *i, struct canon_task *task, struct canon__async_task *at);
enum trap canon__subtask_cancel(struct canon_instance *i, struct canon_task *task, struct canon__call *c, bool is_async, uint32_t *ret);
enum trap canon__subtask_drop(struct canon_instance *i, struct canon_task *task, struct canon__call *c);
// Of the call that runs; of a sync-typed one made when it is asked for. NULL: no memory.
struct canon__async_task *canon__task_of_scope(struct canon_instance *i, struct canon_scope *s);
// main of a thread that a guest made.
enum trap canon__spawned_main(struct canon_instance *i, struct canon__thread *th);
enum trap canon__stream_new(struct canon_instance *i, struct canon_task *task, const struct comp_builtin *b, uint64_t *ret);
enum trap canon__stream_copy(const struct canon__builtin *b, struct canon_task *task, const uint64_t *args, uint64_t *results);
enum trap canon__cancel_copy(const struct canon__builtin *b, struct canon_task *task, const uint64_t *args, uint64_t *results);
enum trap canon__drop_end(const struct canon__builtin *b, struct canon_task *task, const uint64_t *args);
#endif
