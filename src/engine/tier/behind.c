// What is done behind the first answer: the cache written, and what runs from the cache's files copied into sealed memory. One thread, which ends when
// nothing is left.
//
// A start must not be slowed down by it: the thread sleeps for a while first, and then works at low priority. Whoever ends the process waits for
// what must be done (entries half written are of no use to the next start) and drops the rest.
//
// What waits is bounded by what it holds: where components come faster than a thread of low priority writes, the oldest are let go unwritten, and cost
// whoever starts with them a compilation.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tier_int.h"

#define PAUSE_MS 200

static struct sys_mutex lock = SYS_MUTEX;
static struct sys_cond wake;
static struct tier__job *first, **last = &first;
static struct sys_thread thread;
static bool prepared, running, joinable, ending;
static uint64_t waiting;  // bytes that those in the queue hold

static struct tier__job *take(void)
{
	struct tier__job *job = first;
	if (!job)
		return NULL;
	if (!(first = job->next))
		last = &first;
	waiting -= job->bytes;
	return job;
}

// The oldest that hold anything, until the rest fits; what holds nothing (a copy of what runs) stays. Returns them.
static struct tier__job *take_too_much(void)
{
	struct tier__job *out = NULL, **end = &out;
	for (struct tier__job **at = &first; *at && waiting > TIER__WAITING_MAX;) {
		struct tier__job *job = *at;
		if (!job->bytes || !job->next) {
			at = &job->next;
			continue;
		}
		waiting -= job->bytes;
		*at = job->next;
		job->next = NULL;
		*end = job;
		end = &job->next;
	}
	return out;
}

static void pause_first(void)
{
	uint64_t until = sys_now_ns() + PAUSE_MS * 1000000ull;
	while (!ending && sys_cond_wait_until(&wake, &lock, until))
		;
}

static void *work(void *arg)
{
	sys_thread_be_nice(10);
	sys_mutex_lock(&lock);
	pause_first();
	for (struct tier__job *job; (job = take());) {
		bool skip = ending && !job->must;
		sys_mutex_unlock(&lock);
		(skip ? job->drop : job->fn)(job);
		sys_mutex_lock(&lock);
	}
	running = false;
	sys_mutex_unlock(&lock);
	return NULL;
}

static void finish(void)
{
	sys_mutex_lock(&lock);
	ending = true;
	sys_cond_signal(&wake);
	bool join = joinable;
	joinable = false;
	sys_mutex_unlock(&lock);
	if (join)
		sys_thread_join(&thread);
}

// Under the lock.
static bool prepare(void)
{
	if (!prepared)
		prepared = sys_cond_init(&wake) && atexit(finish) == 0;
	return prepared;
}

void tier__behind(struct tier__job *job)
{
	sys_mutex_lock(&lock);
	bool ok = !ending && prepare();
	if (ok && !running) {
		if (joinable)
			sys_thread_join(&thread);  // it has left its loop
		ok = running = joinable = sys_thread_new(&thread, work, NULL) == 0;
	}
	struct tier__job *old = NULL;
	if (ok) {
		job->next = NULL;
		*last = job;
		last = &job->next;
		waiting += job->bytes;
		old = take_too_much();
	}
	sys_mutex_unlock(&lock);
	if (!ok)
		job->drop(job);
	for (struct tier__job *next; old; old = next) {
		next = old->next;
		old->drop(old);
	}
}

void tier__distrust(const struct err *e)
{
	fprintf(stderr, "error: %s\n  the entry was removed; what ran since the start can't be trusted: start again\n", e->text);
	_exit(err_exit_status(ERR_ENV));
}
