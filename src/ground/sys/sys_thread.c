// Threads, locks and conditions.
#include "sys.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

void sys_mutex_init(struct sys_mutex *m)
{
	pthread_mutex_init(&m->mutex, NULL);
}

void sys_mutex_release(struct sys_mutex *m)
{
	pthread_mutex_destroy(&m->mutex);
}

void sys_mutex_lock(struct sys_mutex *m)
{
	pthread_mutex_lock(&m->mutex);
}

void sys_mutex_unlock(struct sys_mutex *m)
{
	pthread_mutex_unlock(&m->mutex);
}

bool sys_cond_init(struct sys_cond *c)
{
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	bool ok = pthread_cond_init(&c->cond, &attr) == 0;
	pthread_condattr_destroy(&attr);
	return ok;
}

void sys_cond_release(struct sys_cond *c)
{
	pthread_cond_destroy(&c->cond);
}

void sys_cond_wait(struct sys_cond *c, struct sys_mutex *m)
{
	pthread_cond_wait(&c->cond, &m->mutex);
}

bool sys_cond_wait_until(struct sys_cond *c, struct sys_mutex *m, uint64_t ns)
{
	struct timespec at = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
	return pthread_cond_timedwait(&c->cond, &m->mutex, &at) == 0;
}

void sys_cond_signal(struct sys_cond *c)
{
	pthread_cond_signal(&c->cond);
}

void sys_cond_broadcast(struct sys_cond *c)
{
	pthread_cond_broadcast(&c->cond);
}

// ---- threads -------------------------------------------------------------------------------------------------------------------------

// Returns 0 or an errno.
static int create(pthread_t *id, const pthread_attr_t *attr, void *(*fn)(void *arg), void *arg)
{
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int errnum = pthread_create(id, attr, fn, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return errnum;
}

int sys_thread_start(void *(*fn)(void *arg), void *arg, size_t stack)
{
	pthread_attr_t attr;
	pthread_t id;
	int errnum = pthread_attr_init(&attr);
	if (errnum)
		return -errnum;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, stack);
	errnum = create(&id, &attr, fn, arg);
	pthread_attr_destroy(&attr);
	return -errnum;
}

int sys_thread_new(struct sys_thread *t, void *(*fn)(void *arg), void *arg)
{
	return -create(&t->id, NULL, fn, arg);
}

void sys_thread_join(struct sys_thread *t)
{
	pthread_join(t->id, NULL);
}

void sys_thread_be_nice(int by)
{
	setpriority(PRIO_PROCESS, 0, by);  // on Linux: of this thread
}

unsigned sys_cores(void)
{
	cpu_set_t set;
	return sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

int sys_process_id(void)
{
	return (int)getpid();
}
