// The pool of threads for what blocks. One mutex guards the queue; a work is either in the queue (not started) or its thread's.
#include "loop_int.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

struct loop_pool {
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct loop_work *first, **last;
	uint32_t queued, max_queued, threads, idle, max_threads;
	bool stopping;
	pthread_t ids[];
};

bool loop_pool_new(struct loop_pool **ret, uint32_t max_threads, uint32_t max_queued, struct err *e)
{
	BUG_ON(max_threads == 0 || max_threads > 1024);
	struct loop_pool *p = mem_zalloc(sizeof *p + max_threads * sizeof p->ids[0]);
	if (!p)
		return err_nomem(e);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->more, NULL);
	p->last = &p->first;
	p->max_threads = max_threads;
	p->max_queued = max_queued;
	*ret = p;
	return true;
}

static void deliver(struct loop_remote *r)
{
	struct loop_work *w = CONTAINER_OF(r, struct loop_work, remote);
	w->done(w);
}

static void finish_work(struct loop_work *w)
{
	w->remote.fn = deliver;
	loop_post_remote(w->loop, &w->remote);
}

static void *pool_thread(void *arg)
{
	struct loop_pool *p = arg;
	pthread_mutex_lock(&p->lock);
	for (;;) {
		while (!p->first && !p->stopping) {
			p->idle++;
			pthread_cond_wait(&p->more, &p->lock);
			p->idle--;
		}
		struct loop_work *w = p->first;
		if (!w)
			break;
		p->first = w->next;
		if (!p->first)
			p->last = &p->first;
		p->queued--;
		w->started = true;
		pthread_mutex_unlock(&p->lock);
		w->run(w);
		finish_work(w);
		pthread_mutex_lock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

// Threads of the pool take no signals: they belong to the shards and to main.
static bool start_thread(struct loop_pool *p)
{
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int why = pthread_create(&p->ids[p->threads], NULL, pool_thread, p);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	p->threads += why == 0;
	return why == 0;
}

bool loop_work_submit(struct loop_pool *p, struct loop *l, struct loop_work *w)
{
	pthread_mutex_lock(&p->lock);
	bool ok = !p->stopping && p->queued < p->max_queued;
	if (ok && p->idle <= p->queued && p->threads < p->max_threads)
		ok = start_thread(p) || p->threads > 0;
	if (ok) {
		w->next = NULL;
		w->loop = l;
		w->cancelled = w->started = false;
		*p->last = w;
		p->last = &w->next;
		p->queued++;
		pthread_cond_signal(&p->more);
	}
	pthread_mutex_unlock(&p->lock);
	return ok;
}

bool loop_work_cancel(struct loop_pool *p, struct loop_work *w)
{
	bool found = false;
	pthread_mutex_lock(&p->lock);
	for (struct loop_work **at = &p->first; *at; at = &(*at)->next) {
		if (*at != w)
			continue;
		*at = w->next;
		if (p->last == &w->next)
			p->last = at;
		p->queued--;
		w->cancelled = found = true;
		break;
	}
	pthread_mutex_unlock(&p->lock);
	if (found)
		finish_work(w);
	return found;
}

void loop_pool_free(struct loop_pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_cond_broadcast(&p->more);
	pthread_mutex_unlock(&p->lock);
	for (uint32_t i = 0; i < p->threads; i++)
		pthread_join(p->ids[i], NULL);
	pthread_cond_destroy(&p->more);
	pthread_mutex_destroy(&p->lock);
	mem_free(p);
}
