// The event loop of a shard: one thread, epoll level-triggered, timers in a wheel, a ready queue, and a pool of threads for what blocks.
//
// 1. Everything here is called on the loop's own thread, but what says "any thread".
// 2. Objects (io, timer, job, work) are embedded in their owner and are never allocated by the loop. Before its memory goes away an
//    io must be closed, a timer cancelled, a job not queued (loop_job_cancel), a work finished or let go.
// 3. A callback may close any io and cancel any timer, also those of events not yet delivered in this iteration.
// 4. The order of an iteration: wait, I/O callbacks, due timers, jobs from other threads, ready queue. A job posted while the ready
//    queue runs is run in the same iteration, up to a bound that keeps I/O from starving. Where jobs wait for what loop_gathers bounds an iteration
//    may leave I/O callbacks to the next one, which waits for nothing then.
// 5. The steady state makes no system call but epoll_wait: timers and jobs are memory only.
#ifndef TENON_LOOP_H
#define TENON_LOOP_H

#include "base/base.h"

struct loop;

NODISCARD bool loop_new(struct loop **ret, struct err *e);
// No callback may be running; ios, timers and jobs that are left are forgotten.
void loop_free(struct loop *l);
// Runs until loop_stop.
void loop_run(struct loop *l);
// One iteration; waits at most `max_wait_ns` (0: polls, UINT64_MAX: until something happens).
void loop_run_once(struct loop *l, uint64_t max_wait_ns);
// loop_run returns after the current iteration.
void loop_stop(struct loop *l);
// Any thread, and signal handlers: makes a waiting loop go round once.
void loop_wakeup(struct loop *l);
// CLOCK_MONOTONIC, read once an iteration; loop_now_fresh_ns reads it now (vDSO) and renews the cached one.
uint64_t loop_now_ns(const struct loop *l);
uint64_t loop_now_fresh_ns(struct loop *l);
// Did the thread sleep before this iteration, until a timer was due and nothing else came? true for who asks first in it: who has caused that.
NODISCARD bool loop_claim_wake(struct loop *l);

// ---- I/O -------------------------------------------------------------------------------------------------------------------------
enum {
	LOOP_READ = 1,   // readable, or the peer has finished writing
	LOOP_WRITE = 2,
	LOOP_ERROR = 4,  // only reported: error or both directions closed (always watched)
	LOOP_ONE = 8,    // with LOOP_READ or alone, as long as it is open: of the loops that watch this at least one is woken, and not all
};
struct loop_io {
	int fd;     // -1: not open
	uint32_t interest;   // LOOP_READ | LOOP_WRITE | LOOP_ONE
	void (*fn)(struct loop_io *io, uint32_t ready);
	struct loop *loop;
};
// The fd stays the caller's: loop_io_close stops watching, it does not close the fd.
NODISCARD bool loop_io_open(struct loop *l, struct loop_io *io, int fd, uint32_t interest, void (*fn)(struct loop_io *io, uint32_t ready), struct err *e);
// A system call only if the interest differs. With LOOP_ONE memory may be out for it: then the interest is as it was.
void loop_io_want(struct loop_io *io, uint32_t interest);
// Call it before close(fd). Does nothing when it is not open. `fd_dies`: the caller closes the fd at once, which unregisters it
// (if it is the only one of what it stands for).
void loop_io_close(struct loop_io *io, bool fd_dies);

// ---- timers ----------------------------------------------------------------------------------------------------------------------
// Millisecond resolution, never early. Moving an armed timer to a later deadline is one store (it is re-sorted when the old one is due):
// a deadline that is pushed back at each request costs nothing.
struct loop_timer {
	struct loop_timer *next, **prev;  // prev NULL: not armed
	uint64_t due_ms, slot_ms;
	void (*fn)(struct loop_timer *t);
	uint16_t level, index;
};
// `fn` is set by the owner before. Deadline in ns of loop_now_ns; one in the past is due within a millisecond; UINT64_MAX: cancel.
void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t deadline_ns);
void loop_timer_cancel(struct loop *l, struct loop_timer *t);
static inline bool loop_timer_is_armed(const struct loop_timer *t)
{
	return t->prev != NULL && t->due_ms != UINT64_MAX;
}

// ---- jobs -----------------------------------------------------------------------------------------------------------------------
struct loop_job {
	struct loop_job *next, *prev;  // next NULL: not queued
	void (*fn)(struct loop_job *j);
};
// Runs it from the ready queue, first in first out. Does nothing when it is queued already. Before `fn` runs the job is unqueued:
// it may post or free itself.
void loop_post(struct loop *l, struct loop_job *j);
// For what computes long: one of these an iteration, first in first out, after everything else.
void loop_post_slow(struct loop *l, struct loop_job *j);
// In an I/O callback: may what it has for somebody wait for a job (loop_post), so that it is done together with what the callbacks behind it have? true:
// there are such, and the iteration ends within 16 of them, or when it has lasted for a while: 1 ms where there were 32 events to begin with, less where
// there were fewer. It ends with the callback in which that is, or one more.
NODISCARD bool loop_gathers(struct loop *l);
void loop_job_cancel(struct loop_job *j);
static inline bool loop_job_is_queued(const struct loop_job *j)
{
	return j->next != NULL;
}
// A job from any thread. One must not be posted again before it ran, and can't be cancelled.
struct loop_remote {
	struct loop_remote *next;
	void (*fn)(struct loop_remote *r);
};
void loop_post_remote(struct loop *l, struct loop_remote *r);

// ---- blocking work ---------------------------------------------------------------------------------------------------------------
struct loop_pool;
// `run` is called on a thread of the pool, `done` afterwards, once: on the loop's thread, unless it was let go. Where `run` sets `again` there is more to do:
// it is called anew, by a thread that takes what waited meanwhile first; but not if it was let go without being finished.
struct loop_work {
	struct loop_remote remote;
	struct loop_work *next;
	struct loop *loop;
	void (*run)(struct loop_work *w);
	void (*done)(struct loop_work *w);
	uintptr_t owner;  // who wants it; 0: nobody whose share is counted
	uintptr_t group;  // whom several owners belong to; 0: the owner is for itself
	uint64_t round;   // the pool's, as what follows
	enum { LOOP_WORK_QUEUED, LOOP_WORK_RUNS, LOOP_WORK_POSTED } state;
	bool let_go;  // `done` may look at it
	bool finish, again;
};
// Threads are started when they are needed, at most `max_threads`, and end after a while without work; at most `max_queued` works wait. One pool may serve
// many loops. One owner has half of the threads and half of the queue at most, a group three quarters: what others want finds room, and a thread. Groups take
// turns, within one its owners do, and what one owner wants goes in its order; what nobody owns is a group of its own, without such a share.
NODISCARD bool loop_pool_new(struct loop_pool **ret, uint32_t max_threads, uint32_t max_queued, struct err *e);
// Does what is queued. `done` of what was submitted and not let go must have been delivered (the loops must have run) before. A work that was let go, not to
// be finished, is not waited for: its thread goes when it can.
void loop_pool_free(struct loop_pool *p);
// false: the queue, or its owner's half of it, is full, or no thread is to be had; nothing happens.
NODISCARD bool loop_work_submit(struct loop_pool *p, struct loop *l, struct loop_work *w);
// Nobody waits for it any more, and its loop need not live on. Of one that has not begun and is not to be finished `done` is called now and it never runs;
// else `done` is called when it has run, on the pool's thread (or, if it was on its way already, on the loop's).
void loop_work_let_go(struct loop_pool *p, struct loop_work *w, bool finish);

#endif
