// What is done behind the first answer: the cache written, and what runs from the cache's files copied into sealed memory. One thread, which ends when
// nothing is left.
//
// A start must not be slowed down by it: the thread sleeps for a while first, and then works at low priority. Whoever ends the process waits for
// what must be done (entries half written are of no use to the next start), for what takes long END_MS at most, and drops the rest.
//
// What waits is bounded by what it holds: where components come faster than a thread of low priority writes, the oldest are let go unwritten, and cost
// whoever starts with them a compilation. Of what is large the last few stay whatever they hold, so that none of them is never written.
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tier_int.h"

#define PAUSE_MS 200
#define END_MS 2000  // that the end of the process waits for long jobs

static struct sys_mutex lock = SYS_MUTEX;
static struct sys_cond wake;
static struct tier__job *first, **last = &first;
static struct sys_thread thread;
static bool prepared, running, joinable, ending, held;
static uint64_t since;  // the first of them came
static _Atomic uint64_t over_at;  // once it ends
static struct {
	uint64_t small;  // bytes that those in the queue hold which are not large
	unsigned n_large;
} waiting;

static bool is_large(const struct tier__job *job)
{
	return job->bytes > TIER__LARGE;
}

static void count(const struct tier__job *job, int by)
{
	if (is_large(job))
		waiting.n_large += (unsigned)by;
	else
		waiting.small += job->bytes * (uint64_t)by;
}

// The first that does not take long, or the first.
static struct tier__job *take(void)
{
	struct tier__job **at = &first, *job;
	while (*at && (*at)->is_long)
		at = &(*at)->next;
	if (!*at)
		at = &first;
	if (!(job = *at))
		return NULL;
	if (!(*at = job->next))
		last = at;
	count(job, -1);
	return job;
}

static bool is_unwanted(struct tier__job *job)
{
	return job->is_wanted && !job->is_wanted(job);
}

static bool is_too_much(const struct tier__job *job)
{
	return is_large(job) ? waiting.n_large > TIER__LARGE_MAX : job->bytes && waiting.small > TIER__WAITING_MAX;
}

// What nobody wants any more, and the oldest, until the rest fits; what holds nothing (a copy of what runs) stays. Returns them.
static struct tier__job *take_too_much(void)
{
	struct tier__job *out = NULL, **end = &out;
	for (struct tier__job **at = &first; *at && (*at)->next;) {
		struct tier__job *job = *at;
		if (!is_too_much(job) && !is_unwanted(job)) {
			at = &job->next;
			continue;
		}
		count(job, -1);
		*at = job->next;
		job->next = NULL;
		*end = job;
		end = &job->next;
	}
	return out;
}

static void drop_all(struct tier__job *jobs)
{
	for (struct tier__job *next; jobs; jobs = next) {
		next = jobs->next;
		jobs->drop(jobs);
	}
}

static void pause_first(void)
{
	uint64_t until = since + PAUSE_MS * 1000000ull;
	while (!ending && sys_cond_wait_until(&wake, &lock, until))
		;
}

bool tier__is_over(void)
{
	uint64_t at = atomic_load(&over_at);
	return at && sys_now_ns() > at;
}

// Under the lock.
static void work_off(void)
{
	for (struct tier__job *job; (job = take());) {
		bool skip = ending ? !job->must || (job->is_long && tier__is_over()) : is_unwanted(job);
		bool is_long = job->is_long;
		sys_mutex_unlock(&lock);
		(skip ? job->drop : job->fn)(job);
		if (is_long)
			sys_heap_trim_thread();  // it compiled
		sys_mutex_lock(&lock);
	}
}

static void *work(void *arg)
{
	sys_thread_be_nice(10);
	sys_mutex_lock(&lock);
	pause_first();
	work_off();
	running = false;
	sys_mutex_unlock(&lock);
	return NULL;
}

bool tier__is_ending(void)
{
	sys_mutex_lock(&lock);
	bool yes = ending;
	sys_mutex_unlock(&lock);
	return yes;
}

static void finish(void)
{
	sys_stop_at_once();  // who stopped it and asks again does not want to wait
	sys_mutex_lock(&lock);
	ending = true;
	atomic_store(&over_at, sys_now_ns() + END_MS * 1000000ull);
	sys_cond_signal(&wake);
	bool join = joinable;
	joinable = false;
	if (!join)
		work_off();  // it was held
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

// Under the lock.
static bool set_going(void)
{
	if (running || held)
		return true;
	if (joinable)
		sys_thread_join(&thread);  // it has left its loop
	running = joinable = sys_thread_new(&thread, work, NULL) == 0;
	return running;
}

void tier_behind_hold(void)
{
	sys_mutex_lock(&lock);
	held = true;
	sys_mutex_unlock(&lock);
}

void tier_behind_go(void)
{
	struct tier__job *all = NULL;
	sys_mutex_lock(&lock);
	held = false;
	if (first && !ending && !set_going()) {
		all = first;
		first = NULL;
		last = &first;
		for (const struct tier__job *job = all; job; job = job->next)
			count(job, -1);
	}
	sys_mutex_unlock(&lock);
	drop_all(all);
}

void tier__behind(struct tier__job *job)
{
	sys_mutex_lock(&lock);
	bool ok = !ending && prepare();
	if (ok && !first)
		since = sys_now_ns();
	ok = ok && set_going();
	struct tier__job *old = NULL;
	if (ok) {
		job->next = NULL;
		*last = job;
		last = &job->next;
		count(job, 1);
		old = take_too_much();
	}
	sys_mutex_unlock(&lock);
	if (!ok)
		job->drop(job);
	drop_all(old);
}

struct other {
	struct tier__job job;
	void (*fn)(void *arg), (*drop)(void *arg);
	void *arg;
};

static void other_fn(struct tier__job *job)
{
	struct other *o = CONTAINER_OF(job, struct other, job);
	o->fn(o->arg);
	mem_free(o);
}

static void other_drop(struct tier__job *job)
{
	struct other *o = CONTAINER_OF(job, struct other, job);
	o->drop(o->arg);
	mem_free(o);
}

void tier_behind(void (*fn)(void *arg), void (*drop)(void *arg), void *arg)
{
	struct other *o = mem_zalloc(sizeof *o);
	if (!o) {
		drop(arg);
		return;
	}
	*o = (struct other){.job = {.fn = other_fn, .drop = other_drop}, .fn = fn, .drop = drop, .arg = arg};
	tier__behind(&o->job);
}

static struct {
	pthread_mutex_t lock;
	void (*fn)(void *arg, const char *text);  // under the lock, which is held while it is called
	void *arg;
} teller = {.lock = PTHREAD_MUTEX_INITIALIZER};

void tier_tell_by(void (*fn)(void *arg, const char *text), void *arg)
{
	pthread_mutex_lock(&teller.lock);
	teller.fn = fn;
	teller.arg = arg;
	pthread_mutex_unlock(&teller.lock);
}

void tier__tell(const char *fmt, ...)
{
	char text[512];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	pthread_mutex_lock(&teller.lock);
	if (teller.fn)
		teller.fn(teller.arg, text);
	else
		fprintf(stderr, "warning: %s\n", text);
	pthread_mutex_unlock(&teller.lock);
}

void tier__distrust(const struct err *e)
{
	fprintf(stderr, "error: %s\n  the entry was removed; what ran since the start can't be trusted: start again\n", e->text);
	_exit(err_exit_status(ERR_ENV));
}
