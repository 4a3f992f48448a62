// Many calls at once in one instance of a component that others call (policy concurrent).
//
// 1. A guest stands for a slot, whoever calls, and has it while calls are in it or handles of it are out: then it has one of the slot's places, so that the slot
//    stays. Each call takes a place as a request does, and is a neighbour of the others (neighbours.c).
// 2. A call goes on without its caller: one that is cancelled or ended leaves it, and has his answer when it is late; then the call is cancelled, which ends it
//    when it waits where it hears of that, and as it likes: others are in its instance, so nothing else ends it before its own deadline. So it is nobody's child;
//    its arguments are copied before it begins, and its result lies in its own arena until the caller, if he still waits, copies it.
// 3. The caller has his answer when the export has returned; what the component still does then goes on as work after an answer does.
// 4. Its CPU time is its own, within the component's limit, and is added to its caller's; it is its own root for what it calls itself.
#include "relay.h"

struct relay_many {
	struct relay_many *next, **prev;  // of the guest's
	struct serve_inside inside;
	const struct seam_func *func;
	const struct comp_export_func *export;  // of the guest's version
	struct relay_guest *guest;
	struct seam_task *task;
	struct seam_call *call;  // its caller's, who waits; NULL: he does not any more
	void *args, *ret;        // its own
	uint64_t by_ns;          // of the link: its caller leaves it then
	struct arena arena;      // that those lie in
	struct seam_park park;
	struct loop_job begin;
	struct canon_trap trap;
	bool begun, over, returned, late, left, ok;
	bool resolved;           // it has returned at some time: what its caller lent has come back
	bool came_in, leaks;     // its arguments; its result, which can't be closed
};

// ---- a guest and its slot ------------------------------------------------------------------------------------------------------------------

static void on_turn(struct loop_job *j)
{
	struct relay_guest *g = CONTAINER_OF(j, struct relay_guest, turn);
	if (g->dead && g->slot)  // a destructor has trapped
		serve__slot_poison(g->slot);
	if (g->calls)
		return;
	if (g->slot && !g->dead && g->closing && !g->shard->closing) {
		serve__relay_close(g);
		return;
	}
	serve__relay_forget_closing(g);
	if (g->slot && (g->dead || !g->handles))
		serve__relay_forget_slot(g, !g->dead);
	if (!g->handles && !g->slot)
		serve__relay_guest_free(g);
}

// `spare` becomes it, or is freed.
static struct relay_guest *guest_of(struct serve_slot *slot, struct relay_guest *spare)
{
	if (slot->guest) {
		serve__relay_guest_free(spare);
		return slot->guest;
	}
	spare->is_many = true;
	spare->slot = slot;
	spare->turn.fn = on_turn;
	slot->guest = spare;
	return spare;
}

// A place in any instance, which may be waited for. NULL: none by then.
static enum seam_result take_place(struct serve_relay *r, struct serve_shard *s, struct seam_call *c, uint64_t by_ns, struct relay_guest **ret)
{
	enum seam_result went = SEAM_OK;
	struct relay_guest *spare = serve__relay_guest_new(r, s);
	*ret = NULL;
	if (!spare)
		return seam_no_memory(c);
	for (bool late = false; went == SEAM_OK && !late; late = loop_now_ns(s->loop) >= by_ns) {
		struct seam_park park;
		struct err e = {0};
		struct serve_slot *slot = s->open && !s->closing && s->stable ? serve__slot_take(s, s->stable, &e) : NULL;
		if (slot) {
			*ret = guest_of(slot, spare);
			return SEAM_OK;
		}
		if (!s->open || s->closing || !s->stable || e.code != ERR_NONE) {
			went = seam_trap(c, "no instance of component %s is to be had: %s", r->service->name,
				e.code != ERR_NONE ? e.text
					: s->stable    ? "the process ends"
								   : "it was taken off");
		} else {  // all of its instances are full
			seam_park_init(&park);
			went = seam_park_until(c, &park, min_u64(sat_add_u64(loop_now_ns(s->loop), SERVE_PLACE_RETRY), by_ns), NULL);
		}
	}
	serve__relay_guest_free(spare);
	return went;
}

// Its instance takes calls by handles: it is whole, its version's time is not over, nobody's call in it is late.
static bool is_open(const struct relay_guest *g)
{
	return g->slot && !g->dead && !g->slot->closed && !g->shard->closing &&
		__atomic_load_n(&g->slot->version->ends_ns, __ATOMIC_RELAXED) > loop_now_ns(g->shard->loop);
}

// The place that its handles keep is no call's.
static bool is_full(const struct relay_guest *g)
{
	return is_open(g) && g->slot->tasks >= g->slot->max_tasks + g->has_place;
}

// One in the instance that the call's handles are of. *ret: `g`, or NULL: none by then.
static enum seam_result take_place_in(struct relay_guest *g, struct seam_call *c, uint64_t by_ns, struct relay_guest **ret)
{
	enum seam_result went = SEAM_OK;
	*ret = NULL;
	g->handles++;  // the guest stays meanwhile
	while (went == SEAM_OK && is_full(g) && loop_now_ns(g->shard->loop) < by_ns) {
		struct seam_park park;
		seam_park_init(&park);
		went = seam_park_until(c, &park, min_u64(sat_add_u64(loop_now_ns(g->shard->loop), SERVE_PLACE_RETRY), by_ns), NULL);
	}
	g->handles--;
	if (went == SEAM_OK && !is_open(g))
		went = seam_trap(c, "%s: its instance of component %s takes no more calls, or has ended", c->func->name, g->relay->service->name);
	if (went == SEAM_OK && !is_full(g)) {
		serve__slot_keep(g->slot);
		*ret = g;
	} else {
		serve__relay_look_at(g);
	}
	return went;
}

// Handles of it are out: it has a place.
static void keep_place(struct relay_guest *g)
{
	if (g->has_place || !g->slot || !(g->handles || g->closing))
		return;
	serve__slot_keep(g->slot);
	g->has_place = true;
}

// ---- a call ----------------------------------------------------------------------------------------------------------------------------------

static void enter(struct relay_many *k)
{
	struct relay_guest *g = k->guest;
	k->next = g->inside;
	k->prev = &g->inside;
	if (k->next)
		k->next->prev = &k->next;
	g->inside = k;
	g->calls++;
	g->shard->closers++;
	serve__slot_enter(g->slot, &k->inside, k->task);
}

// Its place is free. The guest may be gone then.
static void leave(struct relay_many *k, bool clean)
{
	struct relay_guest *g = k->guest;
	struct serve_slot *slot = g->slot;
	struct serve_shard *s = g->shard;
	*k->prev = k->next;
	if (k->next)
		k->next->prev = k->prev;
	g->dead |= !clean;
	g->calls--;
	arena_release(&k->arena);  // the instance's memory
	keep_place(g);
	if (!g->calls && !g->has_place) {
		g->slot = NULL;
		slot->guest = NULL;
	}
	serve__slot_leave(slot, s, &k->inside, clean);
	serve__queue_wake(s);
	serve__relay_look_at(g);
}

// Of a result that nobody has taken. What it passed on by a stream waits for nobody then.
static void close_result(struct relay_many *k)
{
	if (k->returned && !serve__relay_give_up(k->guest, k->func->type->result, k->ret))
		k->leaks = true;  // without memory to close what it gave its instance can't go on
	k->returned = false;
}

static void on_returned(struct canon_task *t)
{
	struct relay_many *k = CONTAINER_OF(t, struct seam_task, canon)->owner;
	k->returned = t->how == CANON_CALL_RETURNED;
	k->resolved = true;
	k->guest->left -= k->left;
	k->left = false;
	if (t->how == CANON_CALL_NEVER_STARTED && !serve__relay_give_up(k->guest, &k->func->type->params, k->args))
		k->leaks = true;
	if (k->call)
		seam_wake(&k->park);
	else
		close_result(k);
}

// Nothing of the instance has run: what had come in goes, and its neighbours go on.
static bool is_refused(struct relay_many *k, const char *full)
{
	snprintf(k->trap.text, sizeof k->trap.text, "what it is given can't pass: %s", full);
	return serve__relay_give_up(k->guest, &k->func->type->params, k->args);
}

static void call_main(void *arg)
{
	struct relay_many *k = arg;
	struct relay_guest *g = k->guest;
	if (k->task->killed) {  // by a neighbour, before it began
		k->trap.trap = k->task->kill_trap;
		return;
	}
	// What was dropped is closed first, but beside a call that goes on without its caller: he may have lent it.
	k->ok = serve__relay_start(g, k->task, &k->trap) && (g->left || serve__relay_close_handles(g, k->task, &k->trap));
	if (!k->ok || !k->call)
		return;
	const char *full;
	k->came_in = true;
	if (serve__relay_take_in(g, k->call, k->args, &full))
		k->ok = canon_call_export_whole(g->slot->canon, k->export, &k->task->canon, k->args, k->ret, &k->arena, on_returned, &k->trap);
	else if (full)
		k->ok = is_refused(k, full);
	else
		k->ok = false;
}

// The caller pays for what it has used until he goes. He may have gone, and only a thread of his waits.
static void charge(const struct relay_many *k, uint64_t cpu_ns, uint32_t n_calls)
{
	struct seam_task *caller = k->task->caller;
	if (!caller)
		return;
	caller->n_calls += n_calls;
	if (caller->fiber)
		vm_fiber_charge(caller->fiber, cpu_ns);
}

// Nobody waits for it any more.
static void detach(struct relay_many *k)
{
	charge(k, k->task->fiber ? vm_fiber_cpu_ns(k->task->fiber) : 0, k->task->n_calls);
	k->call = NULL;
	k->left = !k->resolved;
	close_result(k);
	k->guest->left += k->left;
	seam_task_disown(k->task);
}

// On the loop's stack: its slot may go with it.
static void end(struct relay_many *k)
{
	struct serve_shard *s = k->guest->shard;
	close_result(k);
	k->guest->left -= k->left;
	leave(k, (k->ok && !k->leaks) || !k->begun);
	s->closers--;
	seam_task_free(k->task);
	mem_free(k);
}

static void on_end(struct loop_job *j)
{
	end(CONTAINER_OF(j, struct relay_many, begin));
}

// The same of the caller, on his fiber, when he has what he gets.
static void end_soon(struct relay_many *k)
{
	loop_job_cancel(&k->begin);
	k->call = NULL;
	k->begin.fn = on_end;
	loop_post(k->guest->shard->loop, &k->begin);
}

static void on_done(struct seam_task *t)
{
	struct relay_many *k = t->owner;
	struct relay_guest *g = k->guest;
	k->over = true;
	serve__meter_inner(g->shard, g->slot->canon, t->cpu_ns, k->ok ? TRAP_NONE : k->trap.trap);
	seam_instance_task_end(&g->slot->seam, t);
	if (k->call) {
		charge(k, t->cpu_ns, t->n_calls);
		seam_wake(&k->park);  // he takes the result before it leaves
		return;
	}
	end(k);
}

static void on_late(struct seam_task *t)
{
	struct relay_many *k = t->owner;
	k->late = true;
	if (k->call)
		seam_wake(&k->park);
	serve__slot_late(k->guest->slot, &k->inside);
}

static void on_begin(struct loop_job *j)
{
	struct relay_many *k = CONTAINER_OF(j, struct relay_many, begin);
	struct serve_shard *s = k->guest->shard;
	k->begun = true;
	if (seam_task_run(k->task, call_main, k, serve__budget(&k->guest->slot->version->config->limits, loop_now_ns(s->loop)), on_done))
		return;
	k->begun = false;
	seam_wake(&k->park);
}

// What the caller gets of one that has returned, perhaps not ended.
static enum seam_result conclude(struct relay_many *k, struct seam_call *c, void *ret)
{
	const struct wit_type *result = k->func->type->result;
	enum seam_result r = SEAM_OK;
	if (!k->returned)
		return serve__relay_fails(k->guest->relay, c, k->late ? trap_text(TRAP_DEADLINE) : k->trap.text[0] ? k->trap.text
																										   : trap_text(k->trap.trap),
			ret);
	if (result)
		r = seam_value_copy(c, result, k->ret, ret, seam_arena(c));
	if (r == SEAM_TRAP)
		r = seam_trap(c, "%s: no room for what component %s returns", c->func->name, k->guest->relay->service->name);
	if (r != SEAM_OK)
		return r;
	r = serve__relay_give_out(k->guest, c, ret);
	k->returned = false;  // its objects are the caller's
	keep_place(k->guest);
	return r;
}

// On the caller's fiber: others may get their turns meanwhile, and he may be ended.
static enum seam_result copy_args(struct relay_many *k, struct seam_call *c, const void *args)
{
	const struct wit_type *params = &c->func->type->params, *result = c->func->type->result;
	k->args = arena_zalloc(&k->arena, params->size64 + 8, 8);
	k->ret = arena_zalloc(&k->arena, (result ? result->size64 : 0) + 8, 8);
	enum seam_result r = k->args && k->ret ? SEAM_OK : SEAM_TRAP;
	if (r == SEAM_OK && params->n)
		r = seam_value_copy(c, params, args, k->args, &k->arena);
	return r == SEAM_TRAP ? seam_trap(c, "%s: component %s has no memory for its arguments (--memory)", c->func->name, k->guest->relay->service->name) : r;
}

static enum seam_result run(struct seam_call *c, struct relay_many *k, void *ret)
{
	k->begin.fn = on_begin;
	seam_park_init(&k->park);
	loop_post(c->task->loop, &k->begin);
	bool late;
	enum seam_result r = seam_park_until(c, &k->park, k->by_ns, &late);
	if (r == SEAM_OK && late && !k->returned && !k->over) {
		canon_call_cancel(&k->task->canon);
		return serve__relay_fails(k->guest->relay, c, serve__relay_is_late, ret);
	}
	if (r == SEAM_OK && !k->begun)
		return serve__relay_fails(k->guest->relay, c, "no memory for a stack", ret);
	return r == SEAM_OK ? conclude(k, c, ret) : r;
}

// Of a call that has its place.
static enum seam_result begin(struct seam_call *c, struct relay_many *k, const struct relay_func *f, const void *args, void *ret)
{
	struct relay_guest *g = k->guest;
	struct err e = {0};
	k->export = serve__relay_find(g, f, &e);
	if (!k->export)
		return seam_trap(c, "%s: component %s: %s", c->func->name, g->relay->service->name, e.text);
	if (serve__relay_comes_back(&g->slot->seam, c->task))
		return seam_trap(c, "%s: the chain of calls comes back into component %s, which it is in", c->func->name, g->relay->service->name);
	k->task->instance = &g->slot->seam;
	seam_task_call(k->task, c->task);
	k->task->span = c->span ? c->span : c->task->span;
	k->task->on_late = on_late;
	enum seam_result r = copy_args(k, c, args);
	return r == SEAM_OK ? run(c, k, ret) : r;
}

enum seam_result serve__relay_call_many(const struct relay_func *f, struct serve_thread *t, struct seam_call *c, uint64_t by_ns, struct relay_guest *g,
	const void *args, void *ret)
{
	struct relay_many *k = mem_zalloc(sizeof *k);
	struct seam_task *task = k ? seam_task_new(c->task->of, NULL) : NULL;
	enum seam_result r = !task ? seam_no_memory(c)
		: g                    ? take_place_in(g, c, by_ns, &g)
							   : take_place(f->relay, &f->relay->service->shards[t->index], c, by_ns, &g);
	if (r != SEAM_OK || !g) {
		seam_task_free(task);
		serve__relay_turn_away(c, args);
		mem_free(k);
		return r == SEAM_OK ? serve__relay_fails(f->relay, c, serve__relay_is_late, ret) : r;
	}
	*k = (struct relay_many){.func = c->func, .guest = g, .task = task, .call = c, .by_ns = by_ns};
	arena_init_pool(&k->arena, g->slot->version->config->limits.memory, canon_instance_pool(g->slot->canon));
	task->owner = k;
	enter(k);
	r = begin(c, k, f, args, ret);
	if (!k->came_in)
		serve__relay_turn_away(c, args);
	if (k->begun && !k->over)
		detach(k);
	else
		end_soon(k);
	return r;
}

// ---- the end of a version, of a shard ------------------------------------------------------------------------------------------------------------

uint64_t serve__relays_retire(struct serve_shard *s, uint64_t now_ns, uint64_t next_ns)
{
	for (const struct relay_guest *g = s->guests; g; g = g->next)
		for (const struct relay_many *k = g->inside; k; k = k->next) {
			uint64_t ends = __atomic_load_n(&g->slot->version->ends_ns, __ATOMIC_RELAXED);
			if (ends <= now_ns)
				seam_task_kill(k->task, TRAP_KILLED);
			else
				next_ns = min_u64(next_ns, ends);
		}
	return next_ns;
}

void serve__relays_end(struct serve_shard *s)
{
	serve__relays_end_far(s);
	for (struct relay_guest *g = s->guests; g; g = g->next) {
		if (g->is_held)
			seam_task_kill(g->holder, TRAP_KILLED);
		for (struct relay_many *k = g->inside; k; k = k->next)
			seam_task_kill(k->task, TRAP_KILLED);
	}
}
