// A component as a provider: what another imports is called in a store of its own. Values are lifted from the caller, and lowered into that; handles stand for
// the component's objects (relay.h).
//
// 1. A call is a child of the caller's task: the caller pays its CPU time, and ends it when it is ended. Its deadline and its CPU time are the component's, or the
//    caller's rest.
// 2. The caller's arguments and result are good as long as he waits. One that is ended meanwhile does not: the child, which is ended with him, comes out of its
//    instance without looking at them, and frees what it needs then (`left`).
// 3. A trap is the interface's error where there is a place for its text, else the caller's too.
// 4. All of this is for one call at a time in an instance; many at once are relay_many.c.
#include "relay.h"
#include "sys/sys.h"

// ---- a call --------------------------------------------------------------------------------------------------------------------------------------

struct relay_call {
	const struct relay_func *of;
	const struct comp_export_func *export;  // of the guest's version
	struct relay_guest *guest;
	struct seam_task *task;
	struct seam_call *call;  // the caller's, who waits
	void *args, *ret;
	uint64_t by_ns;          // of the link; UINT64_MAX: none
	struct seam_park park;
	struct loop_timer cpu;   // looks how much of its own time it has spent
	bool begun, over, left, ok;
	bool came_in, refused;  // its arguments; they were, and nothing of the component has run
	struct canon_trap trap;  // last: it is not zeroed
};

// NULL: no memory. One that the guest has from its last call, most often.
static struct relay_call *call_new(struct relay_guest *g)
{
	struct relay_call *k = g->spare ? g->spare : mem_alloc(sizeof *k);
	g->spare = NULL;
	if (!k)
		return NULL;
	memset(k, 0, offsetof(struct relay_call, trap));
	canon_trap_clear(&k->trap);
	k->guest = g;
	return k;
}

// Before its guest is left.
static void call_free(struct relay_call *k)
{
	struct relay_guest *g = k->guest;
	if (g->spare)
		mem_free(k);
	else
		g->spare = k;
}

// There is no room for them, and the instance is as it was.
static bool is_refused(struct relay_call *k, const char *full)
{
	snprintf(k->trap.text, sizeof k->trap.text, "what it is given can't pass: %s", full);
	k->refused = true;
	return serve__relay_give_up(k->guest, &k->call->func->type->params, k->args);
}

// On the call's fiber. Where its caller has gone it is killed: nothing of him is looked at.
static void call_main(void *arg)
{
	struct relay_call *k = arg;
	struct relay_guest *g = k->guest;
	const char *full;
	if (k->task->killed || !serve__relay_start(g, k->task, &k->trap) || !serve__relay_close_handles(g, k->task, &k->trap) || k->task->killed)
		return;
	k->came_in = true;
	if (serve__relay_take_in(g, k->call, k->args, &full))
		k->ok = canon_call_export_whole(g->slot->canon, k->export, &k->task->canon, k->args, k->ret, seam_arena(k->call), NULL, &k->trap);
	else
		k->ok = full && is_refused(k, full);
}

static void on_done(struct seam_task *t)
{
	struct relay_call *k = t->owner;
	struct relay_guest *g = k->guest;
	k->over = true;
	loop_timer_cancel(t->loop, &k->cpu);
	serve__relay_ended_by(g, t, k->ok, k->trap.trap);
	serve__meter_inner(g->shard, g->slot->canon, t->cpu_ns, k->ok ? TRAP_NONE : k->trap.trap);
	seam_instance_task_end(&g->slot->seam, t);
	seam_task_free(t);
	if (k->ok && !k->refused)
		serve__relay_returned(g);
	if (k->left) {
		call_free(k);
		serve__relay_leave(g, false);
	} else {
		seam_wake(&k->park);
	}
}

static void on_late(struct loop_timer *timer)
{
	seam_task_kill(CONTAINER_OF(timer, struct seam_task, deadline), TRAP_DEADLINE);
}

// What is spent is known when it was preempted or waits: looked at again no earlier than it can be over.
static void on_cpu(struct loop_timer *timer)
{
	struct relay_call *k = CONTAINER_OF(timer, struct relay_call, cpu);
	uint64_t limit = k->guest->slot->version->config->limits.cpu, spent = seam_task_cpu_ns(k->task);
	if (spent >= limit)
		seam_task_kill(k->task, TRAP_CPU_BUDGET);
	else
		loop_timer_set(k->task->loop, timer, sat_add_u64(loop_now_ns(k->task->loop), max_u64(limit - spent, MILLISECOND)));
}

static void watch_cpu(struct relay_call *k)
{
	uint64_t limit = k->guest->slot->version->config->limits.cpu;
	if (!limit)
		return;
	k->cpu.fn = on_cpu;
	loop_timer_set(k->task->loop, &k->cpu, sat_add_u64(loop_now_ns(k->task->loop), limit));
}

// At once, on the caller's turn: most calls are over when this returns, and nothing is to be timed. What parks or is preempted goes on from the loop.
static void begin(struct relay_call *k)
{
	struct seam_task *t = k->task;
	uint64_t deadline = k->guest->slot->version->config->limits.deadline, by_ns = k->by_ns;
	if (deadline)
		by_ns = min_u64(by_ns, sat_add_u64(loop_now_ns(t->loop), deadline));
	k->begun = seam_task_run(t, call_main, k, VM_BUDGET_NONE, on_done);
	if (!k->begun)
		seam_wake(&k->park);
	if (!k->begun || k->over)
		return;
	watch_cpu(k);
	if (by_ns != UINT64_MAX) {
		t->deadline.fn = on_late;
		loop_timer_set(t->loop, &t->deadline, by_ns);
	}
}

// What ended it ends its caller: a budget that they share.
static bool ends_caller(const struct relay_call *k)
{
	return k->over && !k->ok && (k->trap.trap == TRAP_CPU_BUDGET || k->trap.trap == TRAP_DEADLINE);
}

// The call has ended, or could not begin.
static enum seam_result conclude(struct seam_call *c, struct relay_call *k)
{
	struct serve_relay *r = k->of->relay;
	serve__relay_bound(k->guest->shard->thread, c->task, c->canon);
	if (!k->begun)
		return serve__relay_fails(r, c, "no memory for a stack", k->ret);
	if (!k->ok || k->refused)
		return serve__relay_fails(r, c, k->trap.text[0] ? k->trap.text : trap_text(k->trap.trap), k->ret);
	return serve__relay_give_out(k->guest, c, k->ret);
}

// Of a result that nobody takes. false: no memory to close what it gave.
static bool close_result(struct relay_call *k)
{
	return !k->ok || k->refused || serve__relay_give_up(k->guest, k->call->func->type->result, k->ret);
}

static enum seam_result run(struct seam_call *c, struct relay_call *k)
{
	struct relay_guest *g = k->guest;
	serve__relay_bound(g->shard->thread, c->task, g->slot->canon);
	seam_park_init(&k->park);
	begin(k);
	enum seam_result r = seam_park(c, &k->park);
	if (r == SEAM_OK && ends_caller(k))
		r = seam_look(c);
	if (!k->came_in)
		serve__relay_turn_away(c, k->args);
	if (k->begun && !k->over) {
		k->left = true;
		if (!k->task->killed)  // of an async caller, who was cancelled alone
			seam_task_kill(k->task, TRAP_KILLED);
		return r;
	}
	if (!k->begun)
		seam_task_free(k->task);
	bool clean = !k->begun || k->ok;
	if (r == SEAM_OK)
		r = conclude(c, k);
	else
		clean &= close_result(k);
	call_free(k);
	serve__relay_leave(g, clean);
	return r;
}

static struct serve_thread *thread_of(struct serve_process *p, const struct loop *l)
{
	for (unsigned i = 0; i < p->n_threads; i++)
		if (p->threads[i].loop == l)
			return &p->threads[i];
	return NULL;
}

// What is kept for the instance of a caller: whose root may end with a task of it.
struct relay_caller {
	struct serve_thread *thread;
};

// By what its handles are of, else by what is in force.
static bool is_many(const struct serve_relay *r, const struct serve_thread *t, const struct relay_guest *g)
{
	const struct serve_stock *stable = r->service->shards[t->index].stable;
	return g ? g->is_many : stable && stable->version->config->policy == SERVE_CONCURRENT;
}

// *ret_not: why it can't begin; else it has the task, or *ret_many.
static enum seam_result try_in(struct serve_relay *r, struct serve_thread *t, struct seam_call *c, uint64_t by_ns, struct relay_guest **g,
	struct seam_task **ret_task, const char **ret_not, bool *ret_many)
{
	*ret_many = false;
	enum seam_result went = *g ? SEAM_OK : serve__relay_guest(r, t, c, by_ns, g, ret_many);
	*ret_not = *g || *ret_many ? NULL : serve__relay_is_late;
	struct seam_task *task = went == SEAM_OK && *g ? seam_task_new(c->task->of, c->task) : NULL;
	if (went == SEAM_OK && *g)
		went = task ? serve__relay_enter(*g, c, task, by_ns, ret_not) : seam_no_memory(c);
	if (went == SEAM_OK && !*ret_not)
		*ret_task = task;
	else
		seam_task_free(task);
	return went;
}

// Of a call to one that takes one at a time. Not SEAM_OK, or without a task (*ret has the interface's error): it can't begin.
static enum seam_result get_in(struct serve_relay *r, struct serve_thread *t, struct seam_call *c, uint64_t by_ns, struct relay_guest **g,
	struct seam_task **ret_task, void *ret, bool *ret_many)
{
	bool goes_on = !*g && r->service->shards[t->index].keeps;  // to the next instance, where this one ends while it waits
	const char *why;
	enum seam_result went = try_in(r, t, c, by_ns, g, ret_task, &why, ret_many);
	while (went == SEAM_OK && goes_on && why == serve__relay_has_ended) {
		*g = NULL;
		went = try_in(r, t, c, by_ns, g, ret_task, &why, ret_many);
	}
	return went == SEAM_OK && why ? serve__relay_fails(r, c, why, ret) : went;
}

static enum seam_result call_one(const struct relay_func *f, struct serve_thread *t, struct seam_call *c, uint64_t by_ns, struct relay_guest *g,
	const void *args, void *ret, bool *ret_many)
{
	struct serve_relay *r = f->relay;
	struct err e = {0};
	struct seam_task *task = NULL;
	enum seam_result went = get_in(r, t, c, by_ns, &g, &task, ret, ret_many);
	if (*ret_many)
		return went;
	const struct comp_export_func *export = task ? serve__relay_find(g, f, &e) : NULL;
	struct relay_call *k = export ? call_new(g) : NULL;
	if (!k) {
		serve__relay_turn_away(c, args);
		if (!task)
			return went;
		serve__relay_leave(g, true);
		seam_task_free(task);
		return export ? seam_no_memory(c) : seam_trap(c, "%s: component %s: %s", c->func->name, r->service->name, e.text);
	}
	task->owner = k;
	task->instance = &g->slot->seam;
	task->span = c->span ? c->span : task->span;
	k->of = f;
	k->export = export;
	k->task = task;
	k->call = c;
	k->args = UNCONST(args);
	k->ret = ret;
	k->by_ns = by_ns;
	return run(c, k);
}

// A root that has an instance of its own, of before, goes on with that; handles lead to theirs.
static bool is_kept(const struct serve_relay *r, struct serve_thread *t, const struct seam_call *c, const struct relay_guest *g)
{
	if (g)
		return g->is_kept;
	return serve__keeps(&r->service->shards[t->index]) && !serve__relay_has_own(r, t, c->task);
}

static enum seam_result call_component(const void *ops, struct seam_call *c, const void *args, void *ret)
{
	const struct relay_door *door = CONTAINER_OF(UNCONST(ops), struct relay_door, funcs);
	const struct relay_func *f = door->funcs[c->func - c->binding->interface->funcs];
	struct serve_relay *r = f->relay;
	struct relay_caller *caller = seam_state(c);
	struct relay_guest *g;
	if (!caller)
		return seam_no_memory(c);
	if (!caller->thread)
		caller->thread = thread_of(r->service->process, c->task->loop);
	uint64_t by_ns = door->deadline_ns ? sat_add_u64(loop_now_fresh_ns(c->task->loop), door->deadline_ns) : UINT64_MAX;
	enum seam_result went = serve__relay_of_handles(r, c, args, &g);
	bool kept = went == SEAM_OK && is_kept(r, caller->thread, c, g);
	if (kept && serve__relay_goes_through(r->service, c->task))
		went = seam_trap(c, "%s: the chain of calls comes back into component %s, which it is in", c->func->name, r->service->name);
	while (went == SEAM_OK && kept && caller->thread->index != SERVE_KEEPER) {
		enum seam_result far = serve__relay_call_far(f, caller->thread, c, by_ns, g, args, ret, &kept);
		if (!kept)
			return far;
		kept = is_kept(r, caller->thread, c, g);
	}
	bool many = went == SEAM_OK && is_many(r, caller->thread, g);
	if (went == SEAM_OK && !many && f->has_streams)
		went = seam_trap(c, "%s passes streams, which component %s takes with policy concurrent only", c->func->name, r->service->name);
	if (went == SEAM_OK && !many) {
		went = call_one(f, caller->thread, c, by_ns, g, args, ret, &many);
		if (!many)
			return went;
	}
	if (went == SEAM_OK)
		return serve__relay_call_many(f, caller->thread, c, by_ns, g, args, ret);
	serve__relay_turn_away(c, args);
	return went;
}

static void on_drop(struct canon_instance *i, void *object)
{
	const struct seam_instance *by = canon_instance_user(i);
	struct relay_handle *h = object;
	if (by->loop == h->guest->shard->loop)
		serve__relay_drop(h);
	else
		serve__relay_drop_far(h);
}

// ---- the provider --------------------------------------------------------------------------------------------------------------------------------

static void *caller_new(struct seam_provider *p UNUSED, struct canon_instance *i)
{
	return SEAM_MEM_NEW(i, struct relay_caller);
}

static void caller_reset(struct seam_provider *p UNUSED, struct canon_instance *i UNUSED, void *state UNUSED)
{
}

static void caller_free(struct seam_provider *p UNUSED, struct canon_instance *i UNUSED, void *state)
{
	seam_mem_free(state);
}

static void on_task_end(struct seam_provider *p UNUSED, struct canon_instance *i, struct seam_task *t, void *state)
{
	const struct relay_caller *c = state;
	if (!c->thread)
		return;
	serve__relay_root_ended(c->thread, t);
	if (!t->parent)
		serve__relay_unbound(i);
}

static const struct seam_provider_ops relay_ops = {
	.name = "component",
	.takes_others = true,
	.instance_new = caller_new,
	.instance_reset = caller_reset,
	.instance_free = caller_free,
	.task_end = on_task_end,
};

static bool relay_new(struct serve_service *s, struct err *e)
{
	const struct comp_plan *plan = &serve__service_ahead(s)->deployment.comp->plan;
	struct serve_relay *r = mem_zalloc(sizeof *r);
	if (!r)
		return err_nomem(e);
	arena_init(&r->arena, 0);
	r->classes = ARENA_ARRAY(&r->arena, struct relay_class, plan->nresources + 1);
	if (!r->classes) {
		arena_release(&r->arena);
		mem_free(r);
		return err_nomem(e);
	}
	for (uint32_t i = 0; i < plan->nresources; i++) {
		struct slice name = plan->resources[i]->wit.name;
		r->classes[i].wit.name = name;
		r->classes[i].ops = (struct canon_resource_ops){.type = &r->classes[i].wit, .name = "resource of a component", .drop = on_drop};
	}
	seam_provider_init(&r->seam, &relay_ops);
	r->service = s;
	r->base = serve__service_ahead(s);
	serve__version_ref(r->base, VERSION_IN_RELAY);
	s->relay = r;
	return true;
}

void serve__relay_free(struct serve_relay *r)
{
	if (!r)
		return;
	seam_provider_unref(&r->seam, SEAM_HELD_BY_MAKER);
	arena_release(&r->arena);
	mem_free(r);
}

// ---- when nobody calls it any more -----------------------------------------------------------------------------------------------------------

// Its versions are called by other tables, or none, from here on.
static void forget_tables(const struct serve_service *s)
{
	struct serve_version *const versions[] = {s->version, s->tried, s->previous, s->coming};
	for (size_t i = 0; i < ARRAY_LEN(versions); i++)
		if (versions[i])
			serve__relay_forget_version(versions[i]);
}

static bool is_called(const struct serve_relay *r)
{
	return __atomic_load_n(&r->seam.refs, __ATOMIC_ACQUIRE) > 1 || __atomic_load_n(&r->guests, __ATOMIC_ACQUIRE) > 0;
}

bool serve__relay_let_go(struct serve_service *s)
{
	struct serve_relay *r = s->relay;
	if (!r || is_called(r))
		return false;
	s->relay = NULL;
	forget_tables(s);
	if (r->base)
		serve__version_unref(r->base, VERSION_IN_RELAY);
	serve__relay_free(r);
	return true;
}

static struct relay_face *face_of(struct serve_relay *r, struct slice interface, struct err *e)
{
	const struct comp_component *comp = r->base->deployment.comp;
	const struct comp_extern *x = comp_find_interface(comp, interface);
	for (struct relay_face *f = r->faces; x && f; f = f->next)
		if (slice_eq_str(x->name, f->described->interface.name))
			return f;
	struct relay_face *f = ARENA_NEW(&r->arena, struct relay_face);
	if (!f) {
		err_nomem(e);
		return NULL;
	}
	if (!seam_describe(&r->arena, comp, r->base->deployment.link, interface, call_component, &f->described, e))
		return NULL;
	uint32_t n = f->described->interface.n_funcs;
	struct relay_func *funcs = ARENA_ARRAY(&r->arena, struct relay_func, n + 1);
	if (!funcs) {
		err_nomem(e);
		return NULL;
	}
	for (uint32_t i = 0; i < n; i++)
		funcs[i] = (struct relay_func){r, f, i, serve__relay_has_streams(&f->described->interface, &f->described->interface.funcs[i])};
	f->funcs = funcs;
	f->next = r->faces;
	r->faces = f;
	return f;
}

static const struct relay_door *door_of(struct serve_relay *r, struct relay_face *f, uint64_t deadline_ns, struct err *e)
{
	for (struct relay_door *d = f->doors; d; d = d->next)
		if (d->deadline_ns == deadline_ns)
			return d;
	uint32_t n = f->described->interface.n_funcs;
	struct relay_door *d = arena_zalloc(&r->arena, sizeof *d + (n + 1) * sizeof(struct relay_func *), _Alignof(struct relay_door));
	if (!d) {
		err_nomem(e);
		return NULL;
	}
	d->deadline_ns = deadline_ns;
	for (uint32_t i = 0; i < n; i++)
		d->funcs[i] = &f->funcs[i];
	d->next = f->doors;
	f->doors = d;
	return d;
}

static bool offer(struct serve_process *p, const char *app, const char *component, struct slice interface, uint64_t deadline_ns, struct seam_offer *ret,
	struct err *e)
{
	struct serve_service *s = serve_service_find(p, app, component);
	if (!s || !serve__service_ahead(s)) {
		err_set(e, ERR_LINK, "cannot link: %.*s: component %s of %s is not there", SLICE_ARGS(slice_sub(interface, 0, 100)), component, app);
		return false;
	}
	if (!s->relay && !relay_new(s, e))
		return false;
	struct relay_face *f = face_of(s->relay, interface, e);
	if (!f)
		return err_note(e, "component %s of %s", component, app);
	const struct relay_door *d = door_of(s->relay, f, deadline_ns, e);
	if (!d || !serve__relay_may_be(s, serve__service_ahead(s)->config->policy, f, e))
		return false;
	ret->interface = &f->described->interface;
	ret->ops = d->funcs;
	ret->provider = &s->relay->seam;
	return true;
}

bool serve_component_offer(struct serve_process *p, const char *app, const char *component, struct slice interface, uint64_t deadline_ns,
	struct seam_offer *ret, struct err *e)
{
	pthread_mutex_lock(&p->relays);  // versions are loaded on threads of their own
	bool ok = offer(p, app, component, interface, deadline_ns, ret, e);
	pthread_mutex_unlock(&p->relays);
	return ok;
}
