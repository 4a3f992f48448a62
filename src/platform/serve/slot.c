// Slots: places where one instance of a version lives, by policy.
//
//   fresh   equal to the image again after each call
//   reuse   as its calls left it, for --requests-per-instance calls or until it was --idle; then equal to the image again, or gone
//   keep    one in the process, as its calls left it; after a trap another is made, each time a little later until a call returns
//
// States, and who changes them: free with room (in free_slots) → serving (serve__slot_take) → free (serve__slot_give), or gone (broken, of a version that
// was replaced, no memory for what it holds, idle). A slot that serves many is both free and serving until max_tasks are in it.
#include "serve_int.h"
#include "sys/sys.h"

enum { LARGE_SLOT_PAGES = 1024, BACK_OFF_STEPS = 8 };
#define BACK_OFF (50 * MILLISECOND)  // after the first failure; doubled with each further one, to 12.8 s

static void list_free(struct serve_shard *s, struct serve_slot *slot)
{
	slot->next = s->free_slots;
	slot->prev = &s->free_slots;
	if (slot->next)
		slot->next->prev = &slot->next;
	s->free_slots = slot;
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

static void discard(struct serve_slot *slot, struct serve_shard *s)
{
	struct serve_version *v = slot->version;
	unlist(slot);
	canon_instance_free(slot->canon);
	mem_free(slot);
	s->slots--;
	serve__version_unref(v, VERSION_IN_SLOT);
}

static struct serve_slot *make(struct serve_shard *s, struct err *e)
{
	struct serve_version *v = s->version;
	struct serve_slot *slot = serve__memory_is_short(s->service->process) ? NULL : mem_zalloc(sizeof *slot);
	if (!slot) {
		err_set(e, ERR_NOMEM, "the memory of the process is spent (--process-memory)");
		return NULL;
	}
	slot->version = v;
	slot->max_tasks = 1;
	seam_instance_init(&slot->seam, s->loop, &v->deployment.grants, slot);
	if (!canon_slot_new(s->vm, v->image, &slot->seam, &slot->canon, e)) {
		mem_free(slot);
		return NULL;
	}
	serve__version_ref(v, VERSION_IN_SLOT);
	s->slots++;
	list_free(s, slot);
	return slot;
}

struct serve_slot *serve__slot_take(struct serve_shard *s, struct err *e)
{
	struct serve_slot *slot = s->free_slots;
	if (!slot && s->service->on_one_shard && (s->slots || loop_now_ns(s->loop) < s->not_before_ns))
		return NULL;
	if (!slot && !(slot = make(s, e)))
		return NULL;
	if (++slot->tasks == slot->max_tasks)
		unlist(slot);
	return slot;
}

bool serve__shard_warm(struct serve_shard *s, struct err *e)
{
	return make(s, e) || err_note(e, "no instance to be had on shard %u", s->index);
}

void serve__slots_discard(struct serve_shard *s)
{
	for (struct serve_slot *slot = s->free_slots, *next; slot; slot = next) {
		next = slot->next;
		unlist(slot);
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

// Equal to the image again. false: it is gone.
static bool renew(struct serve_slot *slot, struct serve_shard *s)
{
	slot->used = false;
	slot->served = 0;
	if (canon_slot_reset(slot->canon) && !holds_too_much(slot, s->service->process))
		return true;
	discard(slot, s);
	return false;
}

// ---- policies ------------------------------------------------------------------------------------------------------------------------

static void on_idle(struct loop_timer *t)
{
	struct serve_shard *s = CONTAINER_OF(t, struct serve_shard, idle_timer);
	uint64_t now = loop_now_ns(s->loop), next = UINT64_MAX;
	for (struct serve_slot *slot = s->free_slots, *after; slot; slot = after) {
		after = slot->next;
		uint64_t until = sat_add_u64(slot->since_ns, slot->version->config->limits.idle);
		if (!slot->used || slot->tasks)
			continue;
		if (until <= now)
			discard(slot, s);
		else
			next = min_u64(next, until);
	}
	loop_timer_set(s->loop, t, next);
}

static bool stays_used(struct serve_slot *slot, struct serve_shard *s)
{
	const struct serve_service_limits *l = &slot->version->config->limits;
	if (slot->version->config->policy == SERVE_KEEP)
		return true;
	if (l->requests_per_instance && slot->served >= l->requests_per_instance)
		return renew(slot, s);
	slot->since_ns = loop_now_ns(s->loop);
	s->idle_timer.fn = on_idle;
	if (l->idle && !loop_timer_is_armed(&s->idle_timer))
		loop_timer_set(s->loop, &s->idle_timer, sat_add_u64(slot->since_ns, l->idle));
	return true;
}

// Of policy keep: how the last call of its instance ended.
static void note_end(struct serve_shard *s, bool clean)
{
	if (clean) {
		s->failures = 0;
		return;
	}
	uint64_t wait = BACK_OFF << min_u64(s->failures++, BACK_OFF_STEPS);
	s->not_before_ns = sat_add_u64(loop_now_ns(s->loop), wait);
}

// After a clean return the slot is made equal to its image again (fresh), or stays as it is (reuse, keep); after anything else it is not trusted.
void serve__slot_give(struct serve_slot *slot, struct serve_shard *s, bool clean)
{
	slot->tasks--;
	slot->served++;
	slot->broken |= !clean;
	if (s->service->on_one_shard)
		note_end(s, clean);
	if (slot->broken || slot->version != s->version) {
		unlist(slot);
		if (slot->tasks == 0)
			discard(slot, s);
		return;
	}
	if (slot->version->config->policy != SERVE_FRESH) {
		slot->used = true;
		if (slot->tasks == 0 && !stays_used(slot, s))
			return;
	} else if (slot->tasks == 0 && !renew(slot, s)) {
		return;
	}
	if (!slot->prev)
		list_free(s, slot);
}
