// Inside of room seam.
#ifndef TENON_SEAM_INT_H
#define TENON_SEAM_INT_H

#include "seam.h"

// ---- providers (provider.c) -------------------------------------------------------------------------------------------------------------
void seam__provider_ref(struct seam_provider *p, enum seam_reason why);

// ---- what stands behind imports (binding.c) -----------------------------------------------------------------------------------------
// A function that is imported.
struct seam__target {
	seam_fn *call;
	const void *ops;
	const struct seam_binding *binding;
	const struct seam_func *func;
};
struct seam_table {
	struct seam_link *link;
	uint64_t version;
	uint32_t refs;  // under the link's lock: of the link or the maker, of each shard that is not done with it, of images
	uint32_t n;     // bindings
	struct seam_binding *bindings;  // by import; behind them the one of core functions
	struct seam__target *targets;   // by host function
	struct seam_table *next;        // of the link's, under its lock
	struct arena arena;
};

// A table in a shard.
struct seam__local {
	const struct seam__target *targets;
	struct seam_table *table;  // a reference
	uint32_t calls;  // under way, and one while new calls go through it
	uint32_t seats;  // open ones
	uint32_t given;  // the binding that an object was last put under, whose it is the next time as well
	struct seam__part *part;
	struct seam__local *next;
	bool waits;  // a seat may stay for nothing but calls that are under way
};
// What a provider has in an instance: objects, and what it keeps. At its slot; open while it has any of them.
struct seam__seat {
	struct seam_provider *provider;
	uint32_t slot;
	uint32_t objects;
	void *state;
	struct seam__local *local;  // that keeps the provider alive; NULL: not open, or
	struct seam_table *table;   // a reference, in an image's instance
};
// A link in a shard. Made with its first instance, gone with its last.
struct seam__part {
	struct seam_link *link;
	struct loop *loop;
	struct seam__part *next;  // of the link's
	struct seam__local *current, *locals;  // all of them, the current one among them
	struct seam_instance *instances;
	// Under the link's lock.
	uint32_t n;              // instances
	struct seam__local *incoming;  // published and not yet taken up
	struct seam__local *spare;
	bool posted;
	struct loop_remote remote;
};

// Of a function that the host provides: its import, its number in the interface.
struct seam__import {
	uint32_t import, func;
};
struct seam_link {
	struct arena arena;
	const struct comp_component *comp;
	const struct seam_interface **interfaces;  // by import; NULL: the import is no instance
	const struct seam_resource **resources;    // by host_index: ours that the import stands for
	struct seam__import *imports;              // by host function
	struct seam_core core;
	const void **core_funcs;  // by plan->core_funcs: what core.find gave
	struct canon_host host;
	struct spinlock lock;  // of what follows
	uint64_t version;
	struct seam_table *table;   // the published one
	struct seam_table *tables;  // all
	struct seam__part *parts;
};

// The empty table of a link, in its list; one reference. NULL: no memory.
struct seam_table *seam__table_new(struct seam_link *l);
// The table's bindings, `n`, are filled: holds their providers, and gives each its slot: the one it has already, or one that is free.
void seam__table_place(struct seam_table *t, uint32_t n);
void seam__table_unref(struct seam_table *t);
void seam__link_release(struct seam_link *l);
// What canon tells (canon_host).
bool seam__instance_open(const struct canon_host *h, struct canon_instance *i);
void seam__instance_reset(struct canon_instance *i, bool end);
void seam__instance_keep(struct canon_instance *i);
const char *seam__instance_keeps(const struct canon_instance *i);
bool seam__object_adopt(struct canon_instance *i, void *owner, void **ret_owner);
void seam__object_gone(struct canon_instance *i, void *owner);
static inline bool seam__seat_is_open(const struct seam__seat *seat)
{
	return seat && (seat->local || seat->table);
}
// The open seat of a provider, for one more object or for its state; NULL: no memory. `local`: of the call, or the instance's.
struct seam__seat *seam__seat_open_slow(struct seam_instance *s, struct seam__local *local, struct seam_provider *p, uint32_t slot);
static inline struct seam__seat *seam__seat_open(struct seam_instance *s, struct seam__local *local, struct seam_provider *p, uint32_t slot)
{
	struct seam__seat *seat = slot < s->n_seats ? s->seats[slot] : NULL;
	return LIKELY(seam__seat_is_open(seat)) ? seat : seam__seat_open_slow(s, local, p, slot);
}
// One more is in it, or is to come: whoever has objects of what isn't bound any more is asked whose they are.
static inline void seam__seat_hold(struct seam_instance *s, struct seam__seat *seat)
{
	seat->objects++;
	s->mixed |= seat->local != s->local;
}
// Made if it isn't there. NULL: nothing is kept, or no memory.
void *seam__seat_state(struct seam_instance *s, struct seam__seat *seat);
// Nothing was put into it after all.
void seam__seat_settle(struct seam_instance *s, struct seam__seat *seat);
// Nobody calls through it any more, and it is not the current one.
void seam__local_idle(struct seam__local *l);

// The table in which the function's provider made the objects that are given, or takes them (`target`: the function's, `args` its arguments); where they say
// nothing about that *at stays. false: they are of more than one provider. (handles.c)
bool seam__local_of_handles(const struct canon_instance *i, uint32_t target, const void *args, struct seam__local **at);

// ---- linking (link.c) -----------------------------------------------------------------------------------------------------------------
// Is `found` a resource that the component imports, and what `expected` means what it was linked to? (For struct wit_compare; ctx: this.)
struct seam__linked {
	const struct seam_link *link;
	const struct seam_interface *interface;  // whose types those are that are expected
};
bool seam__same_resource(void *ctx, const struct wit_resource *expected, const struct wit_resource *found);

// Whose task runs a thread; where its own has returned, and none does, one that is killed. (task.c)
struct seam_task *seam__task_of(struct seam_tasks *p, struct canon_task *thread);
// Ended by vm's own budget or deadline; the first reason counts.
void seam__note_end(struct seam_task *t, enum trap why);
// Behind what may have given the thread away: whose call it is, and is it to end? `ended`: why it has to, if vm has said so.
enum seam_result seam__went_on(struct seam_call *c, enum trap ended);
// canon_host.wake.
void seam__wake_task(struct canon_task *canon);
// canon_host_fn of all functions; data: the number of the host function.
enum trap seam__dispatch(struct canon_task *canon_task, struct canon_instance *i, void *data, const void *args, void *ret);
// canon_core_fn of all core functions; data: the number of the core function.
enum trap seam__dispatch_core(struct canon_task *canon_task, struct canon_instance *i, void *data, struct abi_memory *memory, const uint64_t *args,
	uint64_t *results);

#endif
