// The pool of threads for what blocks. One mutex guards the queue and the states of works.
//
//   queued ──► running ──► posted to its loop ──► done, there
//   again: running ──► queued
//   let go: queued ──► done at once (or, where it is to be finished, as below);  running ──► done, on the pool's thread;  posted ──► done, on the loop
//
// Works wait in lanes, a group's in one of them (two groups may share one), and the lanes take turns. Within a lane the owners do: each has one work in a round,
// and those that come now begin with the round behind the last that a work was taken of, so that each round ends.
#include "loop_int.h"

enum { STACK = 512 << 10 };  // name lookups take much
enum { LANES = 64, OPEN_LANE = LANES };  // the open one is nobody's: no share of it is counted
#define IDLE (2 * SECOND)    // a thread without work ends after

struct lane {
	struct loop_work *first;  // by their rounds
	uint64_t round;           // of what comes now
	uint32_t queued;
};
struct loop_pool {
	struct sys_mutex lock;
	struct sys_cond more, changed;
	struct lane lanes[LANES + 1];
	struct loop_work *running;
	uint32_t turn;  // the lane that is asked first
	uint32_t queued, max_queued, threads, idle, max_threads;
	uint32_t orphans;  // threads within a work that was let go and that nobody needs finished
	bool stopping, ownerless;
};

bool loop_pool_new(struct loop_pool **ret, uint32_t max_threads, uint32_t max_queued, struct err *e)
{
	BUG_ON(max_threads == 0);
	struct loop_pool *p = mem_zalloc(sizeof *p);
	if (!p)
		return err_nomem(e);
	if (!sys_cond_init(&p->more) || !sys_cond_init(&p->changed)) {
		mem_free(p);
		return err_nomem(e);
	}
	sys_mutex_init(&p->lock);
	p->max_threads = max_threads;
	p->max_queued = max_queued;
	*ret = p;
	return true;
}

static void destroy(struct loop_pool *p)
{
	sys_mutex_unlock(&p->lock);
	sys_cond_release(&p->more);
	sys_cond_release(&p->changed);
	sys_mutex_release(&p->lock);
	mem_free(p);
}

// ---- threads ---------------------------------------------------------------------------------------------------------------------------

static void deliver(struct loop_remote *r)
{
	struct loop_work *w = CONTAINER_OF(r, struct loop_work, remote);
	w->done(w);
}

static uintptr_t group_of(const struct loop_work *w)
{
	return w->group ? w->group : w->owner;
}

// Under the lock, as all that follows.
static uint32_t count(const struct loop_work *list, uintptr_t owner)
{
	uint32_t n = 0;
	for (const struct loop_work *w = list; w; w = w->next)
		n += w->owner == owner;
	return n;
}

static uint32_t count_group(const struct loop_work *list, uintptr_t group)
{
	uint32_t n = 0;
	for (const struct loop_work *w = list; w; w = w->next)
		n += group_of(w) == group;
	return n;
}

// What an owner may have at most, and a group.
static uint32_t half(uint32_t n)
{
	return n / 2 + n % 2;
}

static uint32_t three_quarters(uint32_t n)
{
	return n - n / 4;
}

static struct lane *lane_of(struct loop_pool *p, const struct loop_work *w)
{
	uint64_t of = group_of(w);
	return &p->lanes[of ? of * 0x9e3779b97f4a7c15u >> 58 : OPEN_LANE];
}

// A round behind the last of its owner's, and behind those of the same round.
static void queue(struct loop_pool *p, struct loop_work *w)
{
	struct lane *l = lane_of(p, w);
	struct loop_work **at = &l->first;
	w->round = l->round;
	for (const struct loop_work *x = l->first; x && w->owner; x = x->next)
		if (x->owner == w->owner)
			w->round = max_u64(w->round, x->round + 1);
	while (*at && (*at)->round <= w->round)
		at = &(*at)->next;
	w->next = *at;
	*at = w;
	l->queued++;
	p->queued++;
}

static struct loop_work *unqueue(struct loop_pool *p, struct loop_work *w)
{
	struct lane *l = lane_of(p, w);
	struct loop_work **at = &l->first;
	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	l->queued--;
	p->queued--;
	return w;
}

static bool may_run(const struct loop_pool *p, const struct loop_work *w)
{
	return (!group_of(w) || count_group(p->running, group_of(w)) < three_quarters(p->max_threads)) &&
		(!w->owner || count(p->running, w->owner) < half(p->max_threads));
}

// The first of a lane whose group and owner have threads left.
static struct loop_work *next_of(const struct loop_pool *p, const struct lane *l)
{
	struct loop_work *w = l->first;
	while (w && !may_run(p, w))
		w = w->next;
	return w;
}

// The next one, out of its queue; NULL: none may run now.
static struct loop_work *take_work(struct loop_pool *p)
{
	for (uint32_t i = 0; p->queued && i <= LANES; i++) {
		struct lane *l = &p->lanes[(p->turn + i) % (LANES + 1)];
		struct loop_work *w = l->queued ? next_of(p, l) : NULL;
		if (!w)
			continue;
		p->turn = (uint32_t)(l - p->lanes) + 1;
		l->round = max_u64(l->round, w->round + 1);
		return unqueue(p, w);
	}
	return NULL;
}

// NULL: nothing came for a while.
static struct loop_work *wait_for_work(struct loop_pool *p)
{
	uint64_t end = sys_now_ns() + IDLE;
	p->idle++;
	struct loop_work *w;
	while (!(w = take_work(p)) && !p->stopping && sys_now_ns() < end)
		sys_cond_wait_until(&p->more, &p->lock, end);
	p->idle--;
	return w;
}

static void runs_no_more(struct loop_pool *p, struct loop_work *w)
{
	struct loop_work **at = &p->running;
	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
}

// Not under the lock while it runs.
static void run_work(struct loop_pool *p, struct loop_work *w)
{
	w->state = LOOP_WORK_RUNS;
	w->again = false;
	w->next = p->running;
	p->running = w;
	sys_mutex_unlock(&p->lock);
	w->run(w);
	sys_mutex_lock(&p->lock);
	runs_no_more(p, w);
	if (w->again && (!w->let_go || w->finish)) {
		w->state = LOOP_WORK_QUEUED;
		queue(p, w);
		return;
	}
	if (!w->let_go) {
		w->state = LOOP_WORK_POSTED;
		w->remote.fn = deliver;
		loop_post_remote(w->loop, &w->remote);
		return;
	}
	bool orphan = !w->finish;
	sys_mutex_unlock(&p->lock);
	w->done(w);
	sys_mutex_lock(&p->lock);
	p->orphans -= orphan;
}

static void *pool_main(void *arg)
{
	struct loop_pool *p = arg;
	struct loop_work *w;
	sys_mutex_lock(&p->lock);
	while ((w = take_work(p)) || (!p->stopping && (w = wait_for_work(p))))
		run_work(p, w);
	p->threads--;
	sys_cond_broadcast(&p->changed);
	if (p->ownerless && p->threads == 0)
		destroy(p);
	else
		sys_mutex_unlock(&p->lock);
	return NULL;
}

// ---- works -----------------------------------------------------------------------------------------------------------------------------

// Under the lock.
static bool has_room(struct loop_pool *p, const struct loop_work *w)
{
	const struct lane *l = lane_of(p, w);
	return p->queued < p->max_queued && (!group_of(w) || count_group(l->first, group_of(w)) < three_quarters(p->max_queued)) &&
		(!w->owner || count(l->first, w->owner) < half(p->max_queued));
}

// Under the lock. false: there is none to do the work.
static bool have_thread(struct loop_pool *p)
{
	if (p->idle <= p->queued && p->threads < p->max_threads && sys_thread_start(pool_main, p, STACK) == 0)
		p->threads++;
	return p->threads > 0;
}

bool loop_work_submit(struct loop_pool *p, struct loop *l, struct loop_work *w)
{
	sys_mutex_lock(&p->lock);
	bool ok = !p->stopping && has_room(p, w) && have_thread(p);
	if (ok) {
		w->loop = l;
		w->let_go = w->finish = false;
		w->state = LOOP_WORK_QUEUED;
		queue(p, w);
		sys_cond_signal(&p->more);
	}
	sys_mutex_unlock(&p->lock);
	return ok;
}

void loop_work_let_go(struct loop_pool *p, struct loop_work *w, bool finish)
{
	sys_mutex_lock(&p->lock);
	w->let_go = true;
	w->finish = finish;
	p->orphans += w->state == LOOP_WORK_RUNS && !finish;
	sys_cond_broadcast(&p->changed);
	bool ends = w->state == LOOP_WORK_QUEUED && !finish;
	if (ends)
		unqueue(p, w);
	sys_mutex_unlock(&p->lock);
	if (ends)
		w->done(w);
}

void loop_pool_free(struct loop_pool *p)
{
	if (!p)
		return;
	sys_mutex_lock(&p->lock);
	p->stopping = true;
	sys_cond_broadcast(&p->more);
	while (p->threads > p->orphans)
		sys_cond_wait(&p->changed, &p->lock);
	p->ownerless = true;
	if (p->threads == 0)
		destroy(p);
	else
		sys_mutex_unlock(&p->lock);
}
