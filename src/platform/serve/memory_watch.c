// Where the process comes to its limit of memory the calls that use most end. Each shard looks at its own, every few milliseconds while some run, and when
// many have had their first turn within one of the loop.
#include "serve_int.h"
#include "sys/sys.h"

// How often each shard looks; SOON: where what calls use is asked at all, from half of what the process may have on.
#define LOOK_AGAIN (5 * MILLISECOND)
#define LOOK_SOON (2 * MILLISECOND)
enum { BANDS = 64 };

// What is free when it has ended. Calls of one instance end together: one of them stands for all.
static uint64_t used_by(const struct serve_request *c)
{
	return c->task->killed || c->slot->inside != &c->inside ? 0 : vm_store_memory_used(canon_instance_store(c->slot->canon));
}

struct usage {
	uint64_t largest, sum;
};

static void publish(struct serve_shard *s, struct usage u)
{
	__atomic_store_n(&s->largest, u.largest, __ATOMIC_RELAXED);
	__atomic_store_n(&s->in_calls, u.sum, __ATOMIC_RELAXED);
}

static struct usage usage_of(const struct serve_shard *s)
{
	struct usage u = {0};
	for (const struct serve_request *c = s->running; c; c = c->list_next) {
		uint64_t n = used_by(c);
		u.largest = max_u64(u.largest, n);
		u.sum += n;
	}
	return u;
}

// Of all shards, or of an app's alone, as each saw it last.
static struct usage usage_of_all(const struct serve_process *p, const struct serve_app *of)
{
	struct usage u = {0};
	for (unsigned k = 0, n = serve__have(&p->n_services); k < n; k++) {
		if (of && p->services[k]->of != of)
			continue;
		for (unsigned i = 0; i < p->n_threads; i++) {
			const struct serve_shard *s = &p->services[k]->shards[i];
			u.largest = max_u64(u.largest, __atomic_load_n(&s->largest, __ATOMIC_RELAXED));
			u.sum += __atomic_load_n(&s->in_calls, __ATOMIC_RELAXED);
		}
	}
	return u;
}

// So that those which use at least as much make up what there is too much of, those from `least` to `most` counted; `least`: they all don't.
static uint64_t choose_least(const struct serve_shard *s, uint64_t least, uint64_t most, uint64_t too_much)
{
	uint64_t sums[BANDS] = {0}, width = (most - least) / BANDS + 1, sum = 0;
	unsigned k = BANDS;
	for (const struct serve_request *c = s->running; c; c = c->list_next) {
		uint64_t n = used_by(c);
		if (n >= least)
			sums[(n - least) / width] += n;
	}
	while (k > 0 && sum < too_much)
		sum += sums[--k];
	return least + k * width;
}

// Those that use most, until what they use is as much as there is too much. A shard whose calls are small leaves it to the others; but not where it is
// `urgent`, since another's thread may not run for a while. However many end, the calls are walked twice. What a call uses is what it may write to, and it may
// have written to little of it: what ends gives back so much less.
static void end_largest(struct serve_shard *s, const struct serve_app *of, uint64_t most, uint64_t too_much, uint64_t resident, bool urgent)
{
	struct usage all = usage_of_all(s->service->process, of);
	uint64_t ended = 0, least = urgent ? 1 : all.largest / 2;
	if (most == 0 || most < least)
		return;
	if (all.sum > resident)
		too_much = (uint64_t)((double)too_much * (double)all.sum / (double)resident);
	least = choose_least(s, least, most, too_much);
	for (struct serve_request *c = s->running; c && ended < too_much; c = c->list_next) {
		uint64_t n = used_by(c);
		if (n == 0 || n < least)
			continue;
		ended += n;
		seam_task_kill(c->task, TRAP_PROCESS_MEMORY);  // it ends in this turn of the loop or the next
	}
}

// A change of the app may change it at any time: asked once, it is one value all along. 0: there is no limit.
static uint64_t most_of_app(const struct serve_app *app)
{
	return __atomic_load_n(&app->max_memory, __ATOMIC_RELAXED);
}

// As long as the process has less than half of what it may have, nobody asks what the calls use.
static void look(struct serve_shard *s)
{
	const struct serve_process *p = s->service->process;
	uint64_t most = serve__memory_ceiling(p), headroom = serve__memory_headroom(p), ceiling = most - headroom / 4 * 3, now = serve__memory_resident(p);
	const struct serve_app *app = s->service->of;
	uint64_t most_here = most_of_app(app);
	struct usage usage = now > most / 2 || most_here ? usage_of(s) : (struct usage){0};
	s->looked_ns = loop_now_fresh_ns(s->loop);
	s->unlooked = 0;
	publish(s, usage);
	if (most_here) {
		uint64_t sum = usage_of_all(p, app).sum;
		if (sum > most_here)
			end_largest(s, app, usage.largest, sum - most_here, UINT64_MAX, false);
	}
	if (now <= ceiling)
		return;
	serve__slots_trim(s);
	sys_heap_trim();
	now = serve__memory_resident(p);
	if (now > ceiling)
		end_largest(s, NULL, usage.largest, now - ceiling, now, now > ceiling + headroom / 4);
}

static void on_memory_timer(struct loop_timer *t)
{
	struct serve_shard *s = CONTAINER_OF(t, struct serve_shard, memory_timer);
	look(s);
	if (s->calls)
		serve__memory_watch(s);
}

void serve__memory_watch(struct serve_shard *s)
{
	if (loop_timer_is_armed(&s->memory_timer))
		return;
	s->memory_timer.fn = on_memory_timer;
	loop_timer_set(s->loop, &s->memory_timer, sat_add_u64(loop_now_ns(s->loop), s->in_calls ? LOOK_SOON : LOOK_AGAIN));
}

// Many calls have their first turn within one of the loop, and each may write to megabytes in it.
void serve__memory_used(struct serve_request *c)
{
	struct serve_shard *s = c->shard;
	s->unlooked += used_by(c);
	uint64_t most = most_of_app(s->service->of);
	if (most && s->unlooked > most / 4)
		look(s);
	else if (s->unlooked > serve__memory_headroom(s->service->process) / 4 && loop_now_fresh_ns(s->loop) - s->looked_ns > MILLISECOND)
		look(s);
}

void serve__memory_watch_stop(struct serve_shard *s)
{
	loop_timer_cancel(s->loop, &s->memory_timer);
	publish(s, (struct usage){0});
}
