// The calls in one slot, of requests and of other components, are each other's neighbours: what ends one of them from outside would end the instance, and theirs
// with it.
//  – One whose time is over is OVERDUE: whoever waits for it has his answer, it goes on, the slot takes no further call, and what is overdue is ended when nothing
//    else is left there.
//  – One whose client or caller is gone goes on.
//  – One that traps, exits or spends its CPU time has ended the instance: its neighbours are ended as well.
#include "serve_int.h"

static void end_all(const struct serve_slot *slot, enum trap why)
{
	for (const struct serve_inside *i = slot->inside; i; i = i->next)
		seam_task_kill(i->task, why);
}

static bool is_only_overdue(const struct serve_slot *slot)
{
	uint32_t n = 0;
	for (const struct serve_inside *i = slot->overdue ? slot->inside : NULL; i; i = i->next)
		n++;
	return slot->overdue && n == slot->overdue;
}

void serve__slot_enter(struct serve_slot *slot, struct serve_inside *i, struct seam_task *task)
{
	*i = (struct serve_inside){.next = slot->inside, .prev = &slot->inside, .task = task};
	if (i->next)
		i->next->prev = &i->next;
	slot->inside = i;
}

void serve__slot_leave(struct serve_slot *slot, struct serve_shard *s, struct serve_inside *i, bool clean)
{
	*i->prev = i->next;
	if (i->next)
		i->next->prev = i->prev;
	slot->overdue -= i->overdue;
	if (!clean)
		end_all(slot, TRAP_POISONED);
	else if (is_only_overdue(slot))
		end_all(slot, TRAP_DEADLINE);
	serve__slot_give(slot, s, clean);
}

void serve__slot_poison(struct serve_slot *slot)
{
	if (!slot->tasks)  // who comes next finds it dead, and it goes with him
		return;
	serve__slot_close(slot);
	end_all(slot, TRAP_POISONED);
}

void serve__slot_late(struct serve_slot *slot, struct serve_inside *i)
{
	i->overdue = true;
	slot->overdue++;
	serve__slot_close(slot);
	if (is_only_overdue(slot))
		end_all(slot, TRAP_DEADLINE);
}
