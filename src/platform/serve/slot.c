// Slots: places where one instance of a version lives, by policy.
//
//   fresh   equal to the image again after each call; gone when nobody called it for `idle_fresh`
//   reuse   as its calls left it, for --requests-per-instance calls or until it was --idle; then equal to the image again, or gone
//   keep    one in the process, as its calls left it; after a trap another is made, each time a little later until a call returns
//   concurrent  as reuse, --concurrency calls at once: another one takes a request only where none has room in which all tasks wait, and where a call could begin
//
// States, and who changes them: free with room (in free_slots) → serving (serve__slot_take) → free (serve__slot_give), or gone (closed, of a version that
// was replaced, no memory for what it holds, idle), by way of `emptying` where it holds many objects or pages, of policy fresh by way of `spent` where it is small.
// A slot that serves many is both free and serving until max_tasks are in it, but while it is started: then its first request is alone in it.
#include "serve_int.h"
#include "sys/sys.h"

enum { LARGE_SLOT_PAGES = 1024, BACK_OFF_STEPS = 8, LOOK_AT = 8 };
enum { DROPPED_AT_ONCE = 1000, PAGES_AT_ONCE = 4096 };  // things; pages, which take 1.5 ms
enum { FREED_AT_ONCE = 8 };  // slots that hold little, each of which takes 8 to 100 µs
enum { SPENT_MOST = 4, SPENT_PAGES = 16, SPENT_BYTES = 4 << 20 };  // together, at most; private pages, and bytes of memories, of each
enum { EMPTYING_MOST = 4 };  // beyond that a call waits for one of them: a slot is filled again faster than emptied
#define BACK_OFF (50 * MILLISECOND)  // after the first failure; doubled with each further one, to 12.8 s

static bool is_kept(const struct serve_slot *slot)
{
	return slot->version->config->policy == SERVE_KEEP;
}

static void list(struct serve_slot *slot, struct serve_slot **first)
{
	slot->next = *first;
	slot->prev = first;
	if (slot->next)
		slot->next->prev = &slot->next;
	*first = slot;
}

static void list_free(struct serve_slot *slot)
{
	list(slot, &slot->stock->free_slots);
}

// Its version was replaced.
static bool is_old(const struct serve_slot *slot)
{
	return slot->version != slot->stock->version;
}

static void unlist(struct serve_slot *slot)
{
	if (!slot->prev)
		return;
	*slot->prev = slot->next;
	if (slot->next)
		slot->next->prev = slot->prev;
	slot->prev = NULL;
}

// It runs the code that there will be, or never will.
static void caught_up(struct serve_slot *slot, struct serve_shard *s)
{
	s->lagging -= slot->lags;
	slot->lags = false;
}

static void discard(struct serve_slot *slot, struct serve_shard *s)
{
	struct serve_version *v = slot->version;
	unlist(slot);
	caught_up(slot, s);
	canon_instance_free(slot->canon);
	s->kept -= is_kept(slot);
	mem_free(slot);
	serve__count_down(&s->slots);
	serve__version_unref(v, VERSION_IN_SLOT);
	serve__slots_refill(s);
}

static void on_idle(struct loop_timer *t);
static void watch_lag(struct serve_slot *slot, struct serve_shard *s);

// Nobody calls it from now on: it is looked at when it has been so long without; 0: never.
static void rests(struct serve_slot *slot, struct serve_shard *s, uint64_t idle_ns)
{
	slot->since_ns = loop_now_ns(s->loop);
	s->idle_timer.fn = on_idle;
	if (idle_ns && !loop_timer_is_armed(&s->idle_timer))
		loop_timer_set(s->loop, &s->idle_timer, sat_add_u64(slot->since_ns, idle_ns));
}

// Equal to the image. The timer may have found nobody meanwhile.
static void list_renewed(struct serve_slot *slot, struct serve_shard *s)
{
	unlist(slot);
	list_free(slot);
	rests(slot, s, slot->version->config->idle_fresh);
}

// Within what the process may have; but the first of a shard, which its start has found room for, comes back whatever else takes memory by now.
static struct serve_slot *make(struct serve_shard *s, struct serve_stock *stock, bool starts, struct err *e)
{
	struct serve_version *v = stock->version;
	if ((s->slots || starts) && serve__memory_is_short(s->service->process)) {
		err_set(e, ERR_NOMEM, "the memory of the process is spent (--process-memory)");
		return NULL;
	}
	struct serve_slot *slot = mem_zalloc(sizeof *slot);
	if (!slot) {
		err_nomem(e);
		return NULL;
	}
	slot->version = v;
	slot->stock = stock;
	slot->max_tasks = serve__max_tasks(v->config);
	slot->shard = s;
	slot->number = s->meters.made + 1;
	seam_instance_init(&slot->seam, s->loop, &v->deployment.grants, slot);
	slot->seam.http = s->thread->http;
	slot->seam.keeper = &v->keeper;
	if (!canon_slot_new(s->vm, v->image, &slot->seam, &slot->canon, e)) {
		mem_free(slot);
		return NULL;
	}
	if (slot->max_tasks > 1)
		canon_slot_share(slot->canon);
	serve__version_ref(v, VERSION_IN_SLOT);
	serve__count(&s->slots, 1);
	s->kept += is_kept(slot);
	serve__count(&s->meters.made, 1);
	list_renewed(slot, s);
	watch_lag(slot, s);
	return slot;
}

// ---- room ----------------------------------------------------------------------------------------------------------------------------

unsigned serve__max_tasks(const struct serve_service_config *c)
{
	uint64_t n = c->limits.concurrency ? c->limits.concurrency : UINT64_MAX;
	if (c->max_tasks)
		return c->max_tasks;
	return c->policy == SERVE_CONCURRENT ? (unsigned)min_u64(n, UINT32_MAX) : 1;
}

static bool is_concurrent(const struct serve_slot *slot)
{
	return slot->version->config->policy == SERVE_CONCURRENT;
}

static bool is_worn(const struct serve_slot *slot)
{
	uint64_t most = slot->version->config->limits.requests_per_instance;
	return is_concurrent(slot) && most && slot->begun >= most;
}

static bool has_room(const struct serve_slot *slot)
{
	return !slot->closed && !is_old(slot) && slot->tasks < slot->max_tasks && !is_worn(slot);
}

// false: it holds calls back.
static bool lets_begin(const struct serve_slot *slot)
{
	const struct serve_version *v = slot->version;
	return !v->answers || !v->is_3 || canon_export_may_begin(slot->canon, v->handler_3.handle.func);
}

// Nobody computes in it, and it holds no calls back: in another a request would stand behind who does.
static bool would_begin(const struct serve_slot *slot)
{
	return !slot->seam.holder && (!slot->tasks || lets_begin(slot));
}

// Rather one that others are in.
static struct serve_slot *find_idle(const struct serve_stock *stock)
{
	struct serve_slot *slot = stock->free_slots, *empty = NULL;
	for (unsigned n = 0; slot && n < LOOK_AT; n++, slot = slot->next) {
		if (!would_begin(slot))
			continue;
		if (slot->tasks || slot->max_tasks == 1)
			return slot;
		if (!empty)
			empty = slot;
	}
	return empty;
}

// Its first request enters it. false: as many instances as there may be are at work.
static bool begins_work(struct serve_shard *s, struct serve_slot *slot)
{
	uint64_t most = slot->version->config->max_instances;
	return slot->tasks || !is_concurrent(slot) || shared_count_up(&s->service->at_work, most ? most : UINT64_MAX);
}

static void ends_work(struct serve_shard *s, const struct serve_slot *slot)
{
	if (!slot->tasks && is_concurrent(slot))
		shared_count_down(&s->service->at_work);
}

// The one that fewest are in.
static struct serve_slot *find_at_work(const struct serve_stock *stock)
{
	struct serve_slot *found = NULL;
	for (struct serve_slot *slot = stock->free_slots; slot; slot = slot->next)
		if (slot->tasks && (!found || slot->tasks < found->tasks))
			found = slot;
	return found;
}

static bool is_started(const struct serve_slot *slot)
{
	return slot->used || canon_slot_is_ready(slot->canon);
}

// Those that were filled wait to be emptied.
static bool is_behind(const struct serve_shard *s)
{
	return s->n_emptying[false] >= EMPTYING_MOST;
}

// Policy keep: after traps another one is made a little later each time.
static bool is_too_early(const struct serve_shard *s)
{
	return s->keeps && loop_now_ns(s->loop) < s->not_before_ns;
}

static void renew_spent(struct serve_shard *s);

// Rather than that those are made equal to the image one by one, there is another.
static bool may_spend_more(const struct serve_shard *s, const struct serve_stock *stock)
{
	uint64_t most = stock->version->config->max_instances;
	return s->n_spent < SPENT_MOST && (!most || s->slots < most) && !serve__memory_is_short(s->service->process);
}

static struct serve_slot *find_or_make(struct serve_shard *s, struct serve_stock *stock, struct err *e)
{
	bool may_make = stock->version->config->policy != SERVE_KEEP || (s->kept == 0 && !is_too_early(s));
	struct serve_slot *slot = find_idle(stock);
	if (!slot && s->spent && !may_spend_more(s, stock)) {
		renew_spent(s);
		slot = find_idle(stock);
	}
	if (!slot && may_make && !is_behind(s))
		slot = make(s, stock, false, e);
	if (!slot && s->spent) {
		renew_spent(s);
		slot = find_idle(stock);
	}
	return slot ? slot : stock->free_slots;
}

struct serve_slot *serve__slot_take(struct serve_shard *s, struct serve_stock *stock, struct err *e)
{
	struct serve_slot *slot = find_or_make(s, stock, e);
	if (slot && !begins_work(s, slot))
		slot = find_at_work(stock);
	if (!slot)
		return NULL;
	slot->tasks++;
	slot->begun++;
	s->taken += is_kept(slot);
	if (!has_room(slot) || !is_started(slot))
		unlist(slot);
	return slot;
}

void serve__slot_started(struct serve_slot *slot, struct serve_shard *s)
{
	slot->used = true;
	if (!slot->prev && has_room(slot))
		list_free(slot);
}

void serve__slot_keep(struct serve_slot *slot)
{
	slot->tasks++;
	if (!has_room(slot))
		unlist(slot);
}

void serve__slot_close(struct serve_slot *slot)
{
	slot->closed = true;
	unlist(slot);
}

// Its part of those that the service keeps ready; one, which its start has found room for, at least.
static uint64_t least(const struct serve_shard *s)
{
	if (!s->stable)
		return 0;
	uint64_t min = s->stable->version->config->min_instances, n = s->service->process->n_threads;
	return s->keeps ? 1 : max_u64(min / n + (s->index < min % n), 1);
}

// The first shard shows that there are instances to be had. Others make theirs when somebody calls: nothing of that is before the first answer then.
bool serve__shard_warm(struct serve_shard *s, struct err *e)
{
	bool is_asked = s->stable && s->stable->version->config->min_instances;
	uint64_t n = s->index == 0 || is_asked ? least(s) : 0;
	while (s->slots < n)
		if (!make(s, s->stable, true, e))
			return err_note(e, "no instance to be had on shard %u", s->index);
	return true;
}

static void on_refill_time(struct loop_timer *t)
{
	serve__slots_refill(CONTAINER_OF(t, struct serve_shard, refill_timer));
}

static void on_refill(struct loop_job *j)
{
	struct serve_shard *s = CONTAINER_OF(j, struct serve_shard, refill);
	struct err e = {0};
	if (is_too_early(s)) {
		s->refill_timer.fn = on_refill_time;
		loop_timer_set(s->loop, &s->refill_timer, s->not_before_ns);
		return;
	}
	if (s->open && !s->closing && s->stable && s->slots < least(s) && make(s, s->stable, false, &e) && s->slots < least(s))
		loop_post_slow(s->loop, j);
}

// Those that were lost, or that a new version lacks, are made again in time, one a turn.
void serve__slots_refill(struct serve_shard *s)
{
	s->refill.fn = on_refill;
	if (s->open && !s->closing && s->stable && s->stable->version->config->min_instances && s->slots < least(s) && !loop_job_is_queued(&s->refill))
		loop_post_slow(s->loop, &s->refill);
}

// Whole, as the memory is looked at right after, and guests are ended for what is still there.
void serve__slots_trim(struct serve_shard *s)
{
	renew_spent(s);
	serve__slots_emptied(s);
	for (unsigned i = 0; i < ARRAY_LEN(s->stocks); i++)
		for (struct serve_slot *slot = s->stocks[i].free_slots, *next; slot && s->slots > least(s); slot = next) {
			next = slot->next;
			if (slot->tasks == 0)
				discard(slot, s);
		}
}

// A slot keeps the pages of a guest that grew, for the next: not while memory is short.
static bool holds_too_much(const struct serve_slot *slot, const struct serve_process *p)
{
	struct vm_reset_stats stats = vm_store_reset_stats(canon_instance_store(slot->canon));
	return stats.private_pages > LARGE_SLOT_PAGES && serve__memory_is_short(p);
}

// ---- emptying: a guest may have left objects by the hundred thousand and pages by the gigabyte; others of the shard, also those that compute long, get their
// turns while that is let go. Each such slot has turns of its own, as the guest that filled it had: else they would be filled faster than emptied ----------

static void leave_emptying(struct serve_slot *slot, struct serve_shard *s)
{
	unlist(slot);
	s->n_emptying[slot->leaves]--;
}

// As many as go in about a millisecond. false: there were none.
static bool drop_objects(struct serve_slot *slot)
{
	if (!canon_instance_things(slot->canon))
		return false;
	uint64_t until = sys_now_ns() + MILLISECOND;
	while (canon_instance_empty_some(slot->canon, DROPPED_AT_ONCE) && sys_now_ns() < until) {
	}
	sys_heap_join();
	return true;
}

// The next piece of making it equal to the image. FAILED: it may not be used any more.
static enum vm_reset renew_some(struct serve_slot *slot, struct serve_shard *s)
{
	bool compiles = serve__component_compiles(slot->version->deployment.component);
	enum vm_reset is = canon_slot_reset_some(slot->canon, PAGES_AT_ONCE);
	if (is == VM_RESET_DONE && holds_too_much(slot, s->service->process))
		is = VM_RESET_FAILED;
	if (is == VM_RESET_DONE && !compiles)
		caught_up(slot, s);
	slot->closed |= is == VM_RESET_FAILED;
	if (is == VM_RESET_DONE) {
		slot->used = false;
		slot->served = slot->begun = 0;
	}
	return is;
}

// true: there are more pages to be given back before it is freed.
static bool sheds(struct serve_slot *slot)
{
	return canon_instance_shed_some(slot->canon, (uint64_t)PAGES_AT_ONCE * SYS_PAGE);
}

// Where memory is short guests are ended for what is still there: it all goes at once.
static bool has_to_hurry(const struct serve_shard *s)
{
	return serve__memory_is_short(s->service->process);
}

// More than goes at once. Pages count where others may go on meanwhile.
static bool holds_much(const struct serve_slot *slot, const struct serve_shard *s)
{
	return canon_instance_things(slot->canon) > DROPPED_AT_ONCE ||
		(canon_instance_shed_left(slot->canon) > (uint64_t)PAGES_AT_ONCE * SYS_PAGE && !has_to_hurry(s));
}

static void on_emptying(struct loop_job *j)
{
	struct serve_slot *slot = CONTAINER_OF(j, struct serve_slot, emptying);
	struct serve_shard *s = slot->shard;
	bool hurries = has_to_hurry(s), stays = !slot->closed && !is_old(slot) && !hurries;
	enum vm_reset is = drop_objects(slot) ? VM_RESET_MORE : stays ? renew_some(slot, s)
																  : VM_RESET_FAILED;
	if (is == VM_RESET_MORE || (is == VM_RESET_FAILED && holds_much(slot, s) && sheds(slot))) {
		loop_post_slow(s->loop, j);
		return;
	}
	leave_emptying(slot, s);
	serve__memory_give_back(s->thread);
	if (is == VM_RESET_DONE) {
		list_renewed(slot, s);
	} else {
		discard(slot, s);
	}
	serve__queue_wake(s);
}

static void empty_later(struct serve_slot *slot, struct serve_shard *s)
{
	unlist(slot);
	list(slot, &s->emptying);
	s->n_emptying[slot->leaves]++;
	slot->emptying.fn = on_emptying;
	loop_post_slow(s->loop, &slot->emptying);
}

// Instead of `renew`, which comes then.
static bool empties(struct serve_slot *slot, struct serve_shard *s)
{
	if (canon_instance_things(slot->canon) <= DROPPED_AT_ONCE)
		return false;
	empty_later(slot, s);
	return true;
}

// It is gone, or will be when it is empty.
static void go(struct serve_slot *slot, struct serve_shard *s)
{
	slot->closed = true;
	if (holds_much(slot, s))
		empty_later(slot, s);
	else
		discard(slot, s);
}

// Nobody calls it any more: free_leaving.
static void leave(struct serve_slot *slot, struct serve_shard *s)
{
	unlist(slot);
	slot->leaves = slot->closed = true;
	list(slot, &s->leaving);
	s->n_emptying[true]++;
}

static void on_freeing(struct loop_job *j);

// A few of those that left, the others in turns that are theirs together: a thousand of their own would come before the next of who computes.
static void free_leaving(struct serve_shard *s)
{
	uint64_t most = has_to_hurry(s) ? UINT64_MAX : FREED_AT_ONCE;
	struct serve_slot *slot;
	for (uint64_t n = 0; n < most && (slot = s->leaving) != NULL; n++) {
		leave_emptying(slot, s);
		go(slot, s);
	}
	s->freeing.fn = on_freeing;
	if (s->leaving)
		loop_post_slow(s->loop, &s->freeing);
	serve__memory_give_back(s->thread);
}

static void on_freeing(struct loop_job *j)
{
	struct serve_shard *s = CONTAINER_OF(j, struct serve_shard, freeing);
	free_leaving(s);
	sys_heap_join();
	serve__queue_wake(s);
}

void serve__stock_discard(struct serve_stock *stock, struct serve_shard *s)
{
	renew_spent(s);
	for (struct serve_slot *slot = stock->free_slots, *next; slot; slot = next) {
		next = slot->next;
		unlist(slot);
		if (slot->tasks == 0)
			leave(slot, s);
	}
	free_leaving(s);
}

// Equal to the image again. false: not yet, or it goes.
static bool renew(struct serve_slot *slot, struct serve_shard *s)
{
	enum vm_reset is = renew_some(slot, s);
	if (is == VM_RESET_MORE && !has_to_hurry(s))
		empty_later(slot, s);
	else if (is != VM_RESET_DONE)
		go(slot, s);
	return is == VM_RESET_DONE;
}

// ---- spent: whether pages turned private is asked by a system call, which tells of all that ran since the one before. So those that calls of one turn of the
// loop were in are made equal to the image together: behind the turn, or when there are enough. What the host has for them ends with their call. ---------------

// Small ones: another one of those costs little memory, and little of the processor's cache.
static bool spends(const struct serve_slot *slot)
{
	const struct vm_store *store = canon_instance_store(slot->canon);
	struct vm_reset_stats stats = vm_store_reset_stats(store);
	return stats.resets && stats.private_pages <= SPENT_PAGES && vm_store_shed_left(store) <= SPENT_BYTES && canon_slot_leave_host(slot->canon);
}

static void renew_spent(struct serve_shard *s)
{
	loop_job_cancel(&s->renewal);
	s->n_spent = 0;
	for (struct serve_slot *slot; (slot = s->spent) != NULL;) {
		s->spent = slot->next;
		if (renew(slot, s))
			list_renewed(slot, s);
	}
}

static void on_renewal(struct loop_job *j)
{
	renew_spent(CONTAINER_OF(j, struct serve_shard, renewal));
}

static void spend(struct serve_slot *slot, struct serve_shard *s)
{
	unlist(slot);
	slot->next = s->spent;
	s->spent = slot;
	s->n_spent++;
	s->renewal.fn = on_renewal;
	loop_post(s->loop, &s->renewal);
}

static void give_fresh(struct serve_slot *slot, struct serve_shard *s)
{
	if (empties(slot, s))
		return;
	if (spends(slot))
		spend(slot, s);
	else if (renew(slot, s))
		list_renewed(slot, s);
}

void serve__slots_emptied(struct serve_shard *s)
{
	BUG_ON(s->spent);
	loop_job_cancel(&s->freeing);
	for (struct serve_slot *slot; (slot = s->emptying ? s->emptying : s->leaving) != NULL;) {
		leave_emptying(slot, s);
		loop_job_cancel(&slot->emptying);
		discard(slot, s);
	}
}

// ---- other code: what a cold start compiled behind takes the place of what was compiled when it was called, with all that this keeps. A slot gets it at its
// next reset; one that nobody calls, and one that is never reset, when it is empty --------------------------------------------------------------------

static void relink(struct serve_slot *slot, struct serve_shard *s)
{
	if (slot->lags && !serve__component_compiles(slot->version->deployment.component) && canon_slot_relink(slot->canon))
		caught_up(slot, s);
}

static void on_relink(struct loop_timer *t);

// Once a second at first; rarely where that takes long.
static void relinks_later(struct serve_shard *s)
{
	s->relink_after_ns = s->relink_after_ns ? min_u64(2 * s->relink_after_ns, 60 * SECOND) : SECOND;
	s->relink_timer.fn = on_relink;
	loop_timer_set(s->loop, &s->relink_timer, sat_add_u64(loop_now_ns(s->loop), s->relink_after_ns));
}

// Those that somebody is in are not free, and looked at again.
static void on_relink(struct loop_timer *t)
{
	struct serve_shard *s = CONTAINER_OF(t, struct serve_shard, relink_timer);
	for (unsigned i = 0; i < ARRAY_LEN(s->stocks); i++)
		for (struct serve_slot *slot = s->stocks[i].free_slots; slot; slot = slot->next)
			relink(slot, s);
	if (s->lagging) {
		relinks_later(s);
	} else {
		s->relink_after_ns = 0;
		serve__memory_give_back(s->thread);
	}
}

static void watch_lag(struct serve_slot *slot, struct serve_shard *s)
{
	slot->lags = serve__component_compiles(slot->version->deployment.component);
	s->lagging += slot->lags;
	if (slot->lags && !loop_timer_is_armed(&s->relink_timer))
		relinks_later(s);
}

void serve__slots_let_be(struct serve_shard *s)
{
	loop_timer_cancel(s->loop, &s->idle_timer);
	loop_timer_cancel(s->loop, &s->relink_timer);
	loop_timer_cancel(s->loop, &s->refill_timer);
}

// ---- policies ------------------------------------------------------------------------------------------------------------------------

// When it goes for want of calls; UINT64_MAX: it doesn't.
static uint64_t goes_at(const struct serve_slot *slot)
{
	const struct serve_service_config *c = slot->version->config;
	bool fresh = c->policy == SERVE_FRESH;
	uint64_t idle = fresh ? c->idle_fresh : c->limits.idle;
	return slot->tasks || !idle || (!fresh && !slot->used) ? UINT64_MAX : sat_add_u64(slot->since_ns, idle);
}

static uint64_t stay(const struct serve_shard *s)
{
	const struct serve_service_config *c = s->stable ? s->stable->version->config : NULL;
	if (!c)
		return 0;
	return c->min_instances ? least(s) : c->policy == SERVE_FRESH && c->last_stays;
}

// Those that are kept ready stay. The one that was given back last is taken first: as many as a load needs at once are never idle, the others are from then on.
static void on_idle(struct loop_timer *t)
{
	struct serve_shard *s = CONTAINER_OF(t, struct serve_shard, idle_timer);
	uint64_t now = loop_now_ns(s->loop), next = UINT64_MAX, keep = stay(s);
	for (unsigned i = 0; i < ARRAY_LEN(s->stocks); i++)
		for (struct serve_slot *slot = s->stocks[i].free_slots, *after; slot; slot = after) {
			uint64_t at = goes_at(slot);
			after = slot->next;
			if (at <= now && s->slots - s->n_emptying[true] > keep)
				leave(slot, s);
			else if (at > now)
				next = min_u64(next, at);
		}
	if (s->leaving)
		free_leaving(s);
	loop_timer_set(s->loop, t, next);
}

static bool stays_used(struct serve_slot *slot, struct serve_shard *s)
{
	const struct serve_service_limits *l = &slot->version->config->limits;
	if (is_kept(slot))
		return true;
	bool is_stuck = is_concurrent(slot) && !lets_begin(slot);  // nobody is left who could take it back
	if (is_stuck || (l->requests_per_instance && slot->served >= l->requests_per_instance))
		return !empties(slot, s) && renew(slot, s);
	rests(slot, s, l->idle);
	return true;
}

void serve__slot_returned(struct serve_shard *s)
{
	s->failures = 0;
}

void serve__slot_ended_by(struct serve_slot *slot, enum trap t)
{
	slot->cut |= t == TRAP_KILLED || t == TRAP_DEADLINE;
}

// Of policy keep: how the last call of its instance ended. A client could deny others the service if his leaving were its failure.
static void note_end(const struct serve_slot *slot, struct serve_shard *s, bool clean)
{
	if (is_old(slot))
		return;
	if (clean) {
		serve__slot_returned(s);
		return;
	}
	if (slot->cut)
		return;
	uint64_t wait = BACK_OFF << min_u64(s->failures++, BACK_OFF_STEPS);
	s->not_before_ns = sat_add_u64(loop_now_ns(s->loop), wait);
}

// After a clean return the slot is made equal to its image again (fresh), or stays as it is (reuse, keep); after anything else it is not trusted.
void serve__slot_give(struct serve_slot *slot, struct serve_shard *s, bool clean)
{
	slot->tasks--;
	slot->served++;
	s->taken -= is_kept(slot);
	slot->closed |= !clean;
	ends_work(s, slot);
	if (is_kept(slot))
		note_end(slot, s, clean);
	if (slot->closed || is_old(slot)) {
		unlist(slot);
		if (slot->tasks == 0)
			go(slot, s);
		return;
	}
	if (slot->version->config->policy != SERVE_FRESH) {
		slot->used = true;
		if (slot->tasks == 0 && !stays_used(slot, s))
			return;
	} else if (slot->tasks == 0) {
		give_fresh(slot, s);
		return;
	}
	if (slot->tasks == 0)
		unlist(slot);  // one that is empty stands before those that are busy: few are looked at
	if (!slot->prev && has_room(slot))
		list_free(slot);
}

void serve__slot_give_back(struct serve_slot *slot, struct serve_shard *s)
{
	if (slot->tasks == 1) {
		serve__slot_give(slot, s, true);
		return;
	}
	slot->tasks--;
	slot->begun--;
	unlist(slot);
}
