// What is done behind the first answer: the cache written, and what runs from the cache's files copied into sealed memory. One thread, which ends when
// nothing is left.
//
// A start must not be slowed down by it: the thread sleeps for a while first, and then works at low priority. Whoever ends the process waits for
// what must be done (entries half written are of no use to the next start) and drops the rest.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "tier_int.h"

#define PAUSE_MS 200

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake;
static struct tier__job *first, **last = &first;
static pthread_t thread;
static bool prepared, running, joinable, ending;

static struct tier__job *take(void)
{
	struct tier__job *job = first;
	if (job && !(first = job->next))
		last = &first;
	return job;
}

static void pause_first(void)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += PAUSE_MS * 1000000l;
	until.tv_sec += until.tv_nsec / 1000000000l;
	until.tv_nsec %= 1000000000l;
	while (!ending && pthread_cond_timedwait(&wake, &lock, &until) == 0)
		;
}

static void *work(void *arg)
{
	setpriority(PRIO_PROCESS, 0, 10);  // on Linux: of this thread
	pthread_mutex_lock(&lock);
	pause_first();
	for (struct tier__job *job; (job = take());) {
		bool skip = ending && !job->must;
		pthread_mutex_unlock(&lock);
		(skip ? job->drop : job->fn)(job);
		pthread_mutex_lock(&lock);
	}
	running = false;
	pthread_mutex_unlock(&lock);
	return NULL;
}

static void finish(void)
{
	pthread_mutex_lock(&lock);
	ending = true;
	pthread_cond_signal(&wake);
	bool join = joinable;
	joinable = false;
	pthread_mutex_unlock(&lock);
	if (join)
		pthread_join(thread, NULL);
}

// Under the lock.
static bool prepare(void)
{
	pthread_condattr_t attr;
	if (prepared)
		return true;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	prepared = pthread_cond_init(&wake, &attr) == 0 && atexit(finish) == 0;
	pthread_condattr_destroy(&attr);
	return prepared;
}

void tier__behind(struct tier__job *job)
{
	pthread_mutex_lock(&lock);
	bool ok = !ending && prepare();
	if (ok && !running) {
		if (joinable)
			pthread_join(thread, NULL);  // it has left its loop
		ok = running = joinable = tier__start_thread(&thread, work, NULL);
	}
	if (ok) {
		job->next = NULL;
		*last = job;
		last = &job->next;
	}
	pthread_mutex_unlock(&lock);
	if (!ok)
		job->drop(job);
}

void tier__distrust(const struct err *e)
{
	fprintf(stderr, "error: %s\n  the entry was removed; what ran since the start can't be trusted: start again\n", e->text);
	_exit(err_exit_status(ERR_ENV));
}
