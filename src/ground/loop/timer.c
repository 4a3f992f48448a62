// Timers: a hierarchical wheel of 8 levels of 64 slots, in milliseconds of CLOCK_MONOTONIC.
//
// 1. A timer lies at the level of the highest 6-bit digit in which its slot_ms differs from tick_ms, in the slot of that digit. So all that
//    is at a level is later than all below it, and slots before tick_ms's digit are empty.
// 2. slot_ms <= due_ms. It is less after loop_timer_set moved the deadline later (a store only); the timer is put where it belongs when
//    slot_ms is reached.
// 3. tick_ms never goes back, and everything with slot_ms <= tick_ms has been handled.
#include "loop_int.h"

#define DUE_MAX ((UINT64_C(1) << (6 * LEVELS)) - 1)

void loop__timers_init(struct loop *l)
{
	l->tick_ms = l->now_ns / 1000000;
}

static void unlink_timer(struct loop *l, struct loop_timer *t)
{
	*t->prev = t->next;
	if (t->next)
		t->next->prev = t->prev;
	t->prev = NULL;
	if (!l->slots[t->level][t->index]) {
		l->occupied[t->level] &= ~(UINT64_C(1) << t->index);
		if (!l->occupied[t->level])
			l->levels &= ~(1u << t->level);
	}
}

static void link_timer(struct loop *l, struct loop_timer *t)
{
	t->slot_ms = max_u64(t->due_ms, l->tick_ms + 1);
	uint64_t diff = t->slot_ms ^ l->tick_ms;
	unsigned level = (63 - (unsigned)__builtin_clzll(diff)) / 6;
	BUG_ON(level >= LEVELS);
	t->level = (uint16_t)level;
	t->index = (uint16_t)(t->slot_ms >> (6 * level) & (SLOTS - 1));
	struct loop_timer **slot = &l->slots[level][t->index];
	t->next = *slot;
	if (t->next)
		t->next->prev = &t->next;
	t->prev = slot;
	*slot = t;
	l->occupied[level] |= UINT64_C(1) << t->index;
	l->levels |= 1u << level;
}

void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t deadline_ns)
{
	if (deadline_ns == UINT64_MAX) {
		loop_timer_cancel(l, t);
		return;
	}
	uint64_t due = deadline_ns / 1000000 + (deadline_ns % 1000000 != 0);
	t->due_ms = min_u64(due, DUE_MAX);
	if (t->prev) {
		if (t->due_ms >= t->slot_ms)
			return;
		unlink_timer(l, t);
	}
	link_timer(l, t);
}

void loop_timer_cancel(struct loop *l, struct loop_timer *t)
{
	if (t->prev)
		unlink_timer(l, t);
}

// The earliest slot that is not empty: the first one of the lowest level (invariant 1).
static uint64_t first_slot_ms(const struct loop *l, unsigned *ret_level, unsigned *ret_index)
{
	unsigned level = (unsigned)__builtin_ctz(l->levels), index = (unsigned)__builtin_ctzll(l->occupied[level]);
	*ret_level = level;
	*ret_index = index;
	uint64_t above = l->tick_ms >> (6 * (level + 1)) << (6 * (level + 1));
	return above + ((uint64_t)index << (6 * level));
}

uint64_t loop__timers_wait_ms(const struct loop *l)
{
	unsigned level, index;
	if (!l->levels)
		return UINT64_MAX;
	uint64_t at = first_slot_ms(l, &level, &index) * 1000000, now = l->now_ns;
	if (at > now && at - now < 50000000)
		now = sys_now_ns();  // the callbacks took time
	return at <= now ? 0 : (at - now + 999999) / 1000000;
}

void loop__timers_run(struct loop *l)
{
	uint64_t now_ms = l->now_ns / 1000000;
	unsigned level, index;
	while (l->levels) {
		uint64_t at = first_slot_ms(l, &level, &index);
		if (at > now_ms)
			break;
		l->tick_ms = at;
		struct loop_timer *t;
		while ((t = l->slots[level][index])) {
			unlink_timer(l, t);
			if (t->due_ms <= at)
				t->fn(t);  // may free t
			else
				link_timer(l, t);
		}
	}
	l->tick_ms = max_u64(l->tick_ms, now_ms);
}
