// Calls of a component that is kept (policy keep), from other threads than the one that has its instance, the owner.
//
//   the caller's thread                     the owner's
//   serve__relay_call_far ── there ──► on_arrive: SEEKS a guest ──► IN_LINE ──► RUNS ──► OVER
//       parks                                                                    │
//   on_back, conclude ◄───── back ─────────────────────────────────── answer ◄───┘
//       ended meanwhile ─── cancel ──► on_cancel, in any of these
//
// 1. What is sent is the receiver's: each side touches only its own part of struct relay_far, and what both read changes hands with a message. Nobody waits for a
//    lock, and none is held while a guest runs.
// 2. There is one answer to each call, whatever becomes of it. Who waits has it; where nobody does any more, objects that it brings are closed on the owner's thread.
//    The call is freed with the later of the answer and the cancel.
// 3. A call is nobody's child: its arguments are copied, within the caller's memory. Its CPU time is its own, within what is left of the caller's, and the
//    caller's when it is over; a tree's limit of memory does not hold there. Who ends it ends the call, and what runs with its instance, as on one thread.
// 4. Handles that it gives away are the owner's (struct relay_handle): other threads have them, name them in calls, and tell it when they are dropped. Its counts
//    are touched on its thread only.
// 5. In the guest's line such a call has its place as all others have, and it begins from the ready queue: however many come at once, the thread's own get their turns.
#include "relay.h"

enum far_state { FAR_SEEKS, FAR_IN_LINE, FAR_RUNS, FAR_OVER };
enum far_end { FAR_RETURNED, FAR_FAILED, FAR_TRAPPED, FAR_NOT_HERE };  // FAILED: the interface's error, if it has one; NOT_HERE: it isn't kept any more

struct relay_far {
	struct serve_message there, cancel, back;
	struct serve_names names;   // of the request that it is made for
	uint32_t had_calls;         // through links: of those
	uint64_t span;              // of the caller's, that what it begins belongs to
	uint32_t refs;  // any thread: the answer to come, and a cancel
	const struct relay_func *of;
	struct serve_thread *from, *to;
	// The caller's.
	struct seam_park park;
	bool waits, answered;
	uint64_t charged;           // of its memory
	// What goes there.
	struct arena in;            // that the arguments lie in
	void *args;
	struct relay_handle *given;  // the own handles of them
	bool by_handles;            // it goes to the guest of those, and no other
	uint64_t by_ns, cpu_ns;     // of the link; what is left of the caller's CPU time
	// The owner's.
	struct relay_far *next, **prev;  // of the shard's
	struct serve_shard *shard;
	struct relay_guest *guest;  // (there with its handles')
	enum far_state state;
	struct relay_wait line;     // or it seeks, by this
	struct loop_job turn;
	struct loop_timer late;     // before it runs
	const struct comp_export_func *export;
	struct seam_task *task;
	bool cancelled, ok;
	struct canon_trap trap;
	// What comes back.
	enum far_end end;
	char text[300];
	struct arena out;
	void *ret;
	struct relay_handle *made, **last_made;  // the handles of the result, in its order
	uint64_t used_ns;
	uint32_t n_calls;
};

static struct serve_relay *relay_of(const struct relay_far *m)
{
	return m->of->relay;
}

static const struct seam_func *func_of(const struct relay_far *m)
{
	return &m->of->face->described->interface.funcs[m->of->index];
}

static void unref(struct relay_far *m)
{
	struct serve_relay *r = relay_of(m);
	if (__atomic_sub_fetch(&m->refs, 1, __ATOMIC_ACQ_REL))
		return;
	arena_release(&m->in);
	arena_release(&m->out);
	mem_free(m);
	__atomic_sub_fetch(&r->guests, 1, __ATOMIC_RELEASE);
}

static struct relay_handle *next_made(struct relay_far *m)
{
	struct relay_handle *h = m->made;
	m->made = h->next;
	return h;
}

// ---- handles that others have --------------------------------------------------------------------------------------------------------------------

static void on_dropped(struct serve_message *m)
{
	serve__relay_drop(CONTAINER_OF(m, struct relay_handle, dropped));
}

void serve__relay_drop_far(struct relay_handle *h)
{
	const struct serve_shard *s = h->guest->shard;
	h->dropped.fn = on_dropped;
	serve__inbox_do(&s->service->process->threads[s->index], &h->dropped);
}

// ---- the chain of calls --------------------------------------------------------------------------------------------------------------------------

bool serve__relay_goes_through(const struct serve_service *s, const struct seam_task *caller)
{
	for (const struct seam_task *t = caller; t; t = t->parent ? t->parent : t->caller) {
		const struct serve_slot *slot = t->instance ? t->instance->owner : NULL;  // of an image in the making nobody is the owner
		if (slot && slot->shard->service == s)
			return true;
	}
	return false;
}

// ---- on the owner's thread: the end of a call ------------------------------------------------------------------------------------------------------

static void drop_all(struct relay_handle *list)
{
	for (struct relay_handle *h = list, *next; h; h = next) {
		next = h->next;
		serve__relay_drop(h);
	}
}

static void close_result(struct relay_far *m)
{
	drop_all(m->made);
	m->made = NULL;
}

// In no line any more, and no task of it is left.
static void answer(struct relay_far *m, enum far_end end, const char *text)
{
	struct serve_thread *from = m->from;
	m->state = FAR_OVER;
	m->end = end;
	snprintf(m->text, sizeof m->text, "%s", text);
	loop_timer_cancel(m->shard->loop, &m->late);
	loop_job_cancel(&m->turn);
	drop_all(m->given);
	m->given = NULL;
	if (m->cancelled)
		close_result(m);
	*m->prev = m->next;
	if (m->next)
		m->next->prev = m->prev;
	m->shard->closers--;
	if (serve__inbox_send(from, &m->back))
		return;
	close_result(m);  // the caller's thread has ended
	unref(m);
}

static void no_instance(struct relay_far *m, const char *why)
{
	char text[200];
	snprintf(text, sizeof text, "no instance of component %s is to be had: %s", relay_of(m)->service->name, why);
	answer(m, FAR_TRAPPED, text);
}

// ---- on the owner's thread: it runs ------------------------------------------------------------------------------------------------------------------

static void seek(struct relay_far *m);

static void call_main(void *arg)
{
	struct relay_far *m = arg;
	struct relay_guest *g = m->guest;
	if (m->task->killed || !serve__relay_start(g, m->task, &m->trap) || !serve__relay_close_handles(g, m->task, &m->trap) || m->task->killed)
		return;
	for (struct relay_handle *h; (h = m->given) != NULL;) {  // they are the component's own from here on
		m->given = h->next;
		serve__relay_forget(h);
	}
	m->ok = canon_call_export_whole(g->slot->canon, m->export, &m->task->canon, m->args, m->ret, &m->out, NULL, &m->trap);
}

static bool take_out(void *ctx, const struct wit_type *t, uint32_t *rep)
{
	struct relay_far *m = ctx;
	struct relay_handle *h = serve__relay_handle_new(m->guest, t, *rep);
	*rep = 0;
	if (!h)
		return false;
	h->next = NULL;
	*m->last_made = h;
	m->last_made = &h->next;
	return true;
}

// What a call that did not return tells.
static const char *why_not(struct relay_far *m)
{
	if (m->trap.trap == TRAP_NONE)
		m->trap.trap = m->task->kill_trap;
	return m->trap.text[0] ? m->trap.text : trap_text(m->trap.trap);
}

static void on_done(struct seam_task *t)
{
	struct relay_far *m = t->owner;
	struct relay_guest *g = m->guest;
	const struct wit_type *result = func_of(m)->type->result;
	const char *why = m->ok ? "" : why_not(m);
	m->used_ns = t->cpu_ns;
	m->n_calls = t->n_calls;
	serve__relay_ended_by(g, t, m->ok, m->trap.trap);
	serve__meter_inner(g->shard, g->slot->canon, t->cpu_ns, m->ok ? TRAP_NONE : m->trap.trap);
	if (m->ok && result && !seam_value_handles(result, m->ret, take_out, m)) {  // what it can't give away it can't close either
		m->ok = false;
		why = "the host is out of memory";
		close_result(m);
	}
	seam_instance_task_end(&g->slot->seam, t);
	seam_task_free(t);
	m->task = NULL;
	if (m->ok)
		serve__relay_returned(g);
	serve__relay_leave(g, m->ok);
	answer(m, m->ok ? FAR_RETURNED : FAR_FAILED, why);
}

static bool make_ready(struct relay_far *m, const struct serve_version *v)
{
	const struct wit_type *result = func_of(m)->type->result;
	arena_init(&m->out, v->config->limits.memory);
	m->last_made = &m->made;
	m->ret = arena_zalloc(&m->out, (result ? result->size64 : 0) + 8, 8);
	m->task = m->ret ? seam_task_new(m->to->tasks, NULL) : NULL;
	return m->task;
}

// It is its turn, and it has left the line.
static void run(struct relay_far *m)
{
	struct relay_guest *g = m->guest;
	const struct serve_version *v = g->slot->version;
	struct err e = {0};
	m->export = serve__relay_find(g, m->of, &e);
	if (!m->export || !make_ready(m, v)) {
		serve__relay_give_up_turn(g);
		answer(m, m->export ? FAR_FAILED : FAR_TRAPPED, m->export ? "the host is out of memory" : e.text);
		return;
	}
	struct vm_budget budget = serve__budget(&v->config->limits, loop_now_ns(m->shard->loop));
	budget.cpu_ns = min_u64(budget.cpu_ns, m->cpu_ns);
	budget.deadline_ns = min_u64(budget.deadline_ns, m->by_ns);
	m->state = FAR_RUNS;
	m->task->owner = m;
	m->task->instance = &g->slot->seam;
	m->task->names = &m->names;
	m->task->span = m->span;
	g->holder = m->task;
	serve__relay_unbound(g->slot->canon);  // from the tree of a caller of the thread's
	if (seam_task_run(m->task, call_main, m, budget, on_done))
		return;
	seam_task_free(m->task);
	m->task = NULL;
	serve__relay_leave(g, true);
	answer(m, FAR_FAILED, "no memory for a stack");
}

// ---- on the owner's thread: it waits -----------------------------------------------------------------------------------------------------------------

// It may be its turn.
static void on_turn(struct loop_job *j)
{
	struct relay_far *m = CONTAINER_OF(j, struct relay_far, turn);
	struct relay_guest *g = m->guest;
	if (m->state == FAR_SEEKS) {
		seek(m);
		return;
	}
	if (!serve__relay_is_turn(g, &m->line))
		return;
	serve__relay_leave_line(g, &m->line);
	if (g->slot && !g->dead) {
		loop_timer_cancel(m->shard->loop, &m->late);
		run(m);
		return;
	}
	serve__relay_give_up_turn(g);
	if (m->by_handles) {
		answer(m, FAR_FAILED, serve__relay_has_ended);
	} else {  // there will be another one
		m->guest = NULL;
		seek(m);
	}
}

static void turn(struct relay_wait *w)
{
	struct relay_far *m = CONTAINER_OF(w, struct relay_far, line);
	loop_post(m->shard->loop, &m->turn);
}

static void enter(struct relay_far *m, struct relay_guest *g)
{
	m->guest = g;
	m->state = FAR_IN_LINE;
	m->line.turn = turn;
	m->turn.fn = on_turn;
	g->calls++;
	serve__relay_join_line(g, &m->line);
	if (serve__relay_is_turn(g, &m->line))
		loop_post(m->shard->loop, &m->turn);
}

static void seek(struct relay_far *m)
{
	struct err e = {0};  // what is lacking comes back, or its caller's time is over
	if (!m->shard->keeps) {
		serve__relay_seek_no_more(m->shard, &m->line);
		answer(m, FAR_NOT_HERE, "");
		return;
	}
	struct relay_guest *g = serve__relay_try(relay_of(m), m->shard, m->line.told, &e);
	if (g) {
		serve__relay_seek_no_more(m->shard, &m->line);
		enter(m, g);
		return;
	}
	m->state = FAR_SEEKS;
	m->line.turn = turn;
	m->turn.fn = on_turn;
	serve__relay_seek_on(m->shard, &m->line);
}

// Before its end, from outside.
static void end(struct relay_far *m, enum trap why, const char *text)
{
	switch (m->state) {
	case FAR_SEEKS:
		serve__relay_seek_no_more(m->shard, &m->line);
		answer(m, FAR_FAILED, text);
		break;
	case FAR_IN_LINE:
		serve__relay_leave_line(m->guest, &m->line);
		serve__relay_give_up_turn(m->guest);
		answer(m, FAR_FAILED, text);
		break;
	case FAR_RUNS:
		seam_task_kill(m->task, why);
		break;
	case FAR_OVER:
		break;
	}
}

static void on_late(struct loop_timer *t)
{
	end(CONTAINER_OF(t, struct relay_far, late), TRAP_DEADLINE, serve__relay_is_late);
}

static void on_cancel(struct serve_message *msg)
{
	struct relay_far *m = CONTAINER_OF(msg, struct relay_far, cancel);
	m->cancelled = true;
	end(m, TRAP_KILLED, "its caller has ended");
	unref(m);
}

static void on_arrive(struct serve_message *msg)
{
	struct relay_far *m = CONTAINER_OF(msg, struct relay_far, there);
	struct serve_shard *s = &relay_of(m)->service->shards[m->to->index];
	m->shard = s;
	m->next = s->far;
	m->prev = &s->far;
	if (m->next)
		m->next->prev = &m->next;
	s->far = m;
	s->closers++;
	s->take_up.fn(&s->take_up);  // what was published before the call was made counts for it
	if (!s->open || s->closing || m->to->closing) {
		no_instance(m, "the process ends");
		return;
	}
	m->late.fn = on_late;
	loop_timer_set(s->loop, &m->late, m->by_ns);
	if (m->by_handles && (m->guest->dead || !m->guest->slot))
		no_instance(m, "that of its handles has ended");
	else if (m->by_handles)
		enter(m, m->guest);
	else
		seek(m);
}

void serve__relays_end_far(struct serve_shard *s)
{
	for (struct relay_far *m = s->far, *next; m; m = next) {
		next = m->next;
		end(m, TRAP_KILLED, "the process ends");
	}
}

// ---- on the caller's thread: there -------------------------------------------------------------------------------------------------------------------

static void on_back(struct serve_message *msg)
{
	struct relay_far *m = CONTAINER_OF(msg, struct relay_far, back);
	m->answered = true;
	if (m->end == FAR_NOT_HERE) {  // what was published before the answer was sent counts for who asks again
		struct serve_shard *s = &relay_of(m)->service->shards[m->from->index];
		s->take_up.fn(&s->take_up);
	}
	if (m->waits) {
		seam_wake(&m->park);
		return;
	}
	while (m->made)
		serve__relay_drop_far(next_made(m));
	unref(m);
}

static struct account *account_of(const struct seam_call *c)
{
	return canon_instance_pool(c->canon)->account;
}

static enum seam_result no_memory(struct seam_call *c, const struct relay_far *m)
{
	return seam_trap(c, "%s: no memory for its way to component %s (--memory)", c->func->name, relay_of(m)->service->name);
}

static enum seam_result copy_args(struct relay_far *m, struct seam_call *c, const void *args)
{
	const struct wit_type *params = &c->func->type->params;
	const struct account *a = account_of(c);
	enum seam_result r = SEAM_OK;
	arena_init(&m->in, max_u64(a->limit > a->used ? a->limit - a->used : 0, 1));
	m->args = arena_zalloc(&m->in, params->size64 + 8, 8);
	if (m->args && params->n)
		r = seam_value_copy(c, params, args, m->args, &m->in);
	if (r == SEAM_KILLED)
		return r;
	if (r != SEAM_OK || !m->args || !account_charge(account_of(c), m->in.used))
		return no_memory(c, m);
	m->charged = m->in.used;
	return SEAM_OK;
}

static void uncharge(struct relay_far *m, struct seam_call *c)
{
	account_uncharge(account_of(c), m->charged);
	m->charged = 0;
}

struct taking {
	struct relay_far *far;
	struct seam_call *call;
};

// Own handles go along; a borrow's object stays until the call is over, since the handle is lent.
static bool take_handle(void *ctx, const struct wit_type *t, uint32_t *rep)
{
	struct taking *v = ctx;
	const struct wit_resource *type = serve__relay_class(relay_of(v->far), t)->type;
	struct relay_handle *h = t->kind == WIT_OWN ? canon_host_resource_take(v->call->canon, type, *rep) : canon_host_resource_get(v->call->canon, type, *rep);
	if (!h)
		return false;  // the same owned handle a second time, which no guest can pass
	*rep = h->rep;
	if (t->kind == WIT_OWN) {
		h->next = v->far->given;
		v->far->given = h;
	}
	return true;
}

static void drop_given(struct relay_far *m)
{
	for (struct relay_handle *h; (h = m->given) != NULL;) {
		m->given = h->next;
		serve__relay_drop_far(h);
	}
}

// Not SEAM_OK: the handles in the arguments are gone.
static enum seam_result prepare(struct relay_far *m, struct seam_call *c, const void *args)
{
	enum seam_result r = copy_args(m, c, args);
	if (r != SEAM_OK) {
		serve__relay_turn_away(c, args);
		return r;
	}
	struct taking v = {m, c};
	if (seam_value_handles(&c->func->type->params, m->args, take_handle, &v))
		return SEAM_OK;
	uncharge(m, c);
	drop_given(m);
	return seam_trap(c, "%s: the same handle is given twice", c->func->name);
}

// ---- on the caller's thread: and back ----------------------------------------------------------------------------------------------------------------

struct giving {
	struct relay_far *far;
	struct seam_call *call;
	const char *full;  // why one can't pass
};

static bool give_handle(void *ctx, const struct wit_type *t, uint32_t *rep)
{
	struct giving *v = ctx;
	struct relay_handle *h = next_made(v->far);
	*rep = 0;
	if (!v->full && seam_resource_new(v->call, serve__relay_class(relay_of(v->far), t), h, rep))
		return true;
	if (!v->full)
		v->full = canon_handles_full(v->call->canon);
	serve__relay_drop_far(h);
	return true;
}

static enum seam_result take_result(struct relay_far *m, struct seam_call *c, void *ret)
{
	const struct wit_type *result = c->func->type->result;
	struct giving v = {.far = m, .call = c};
	if (!result)
		return SEAM_OK;
	if (!account_charge(account_of(c), m->out.used))
		return no_memory(c, m);
	enum seam_result r = seam_value_copy(c, result, m->ret, ret, seam_arena(c));
	account_uncharge(account_of(c), m->out.used);
	if (r != SEAM_OK)
		return r == SEAM_TRAP ? no_memory(c, m) : r;
	seam_value_handles(result, ret, give_handle, &v);
	return v.full ? seam_trap(c, "%s: what component %s returns can't pass: %s", c->func->name, relay_of(m)->service->name, v.full) : SEAM_OK;
}

// The caller pays for it, and what it called is the request's. true: that was the last that he had.
static bool pay(const struct relay_far *m, struct seam_call *c)
{
	struct serve_request *of = seam_task_root(c->task)->request;
	c->task->n_calls += m->n_calls;
	if (of) {
		of->link_calls += m->names.link_calls - m->had_calls;
		of->link_ns += m->names.link_ns;
	}
	if (!c->task->fiber || !vm_fiber_charge(c->task->fiber, m->used_ns))
		return false;
	seam_task_kill(seam_task_root(c->task), TRAP_CPU_BUDGET);
	return true;
}

static enum seam_result conclude(struct relay_far *m, struct seam_call *c, void *ret)
{
	if (pay(m, c))
		return SEAM_KILLED;
	switch (m->end) {
	case FAR_RETURNED:
		return take_result(m, c, ret);
	case FAR_FAILED:
		return serve__relay_fails(relay_of(m), c, m->text, ret);
	case FAR_TRAPPED:
	case FAR_NOT_HERE:
		break;
	}
	return seam_trap(c, "%s: %s", c->func->name, m->text);
}

// The caller has ended, or was cancelled: the answer finds nobody.
static void leave(struct relay_far *m)
{
	m->waits = false;
	m->cancel.fn = on_cancel;
	__atomic_add_fetch(&m->refs, 1, __ATOMIC_RELAXED);
	if (!serve__inbox_send(m->to, &m->cancel))
		unref(m);  // it has answered
}

static enum seam_result go(struct relay_far *m, struct seam_call *c, void *ret, bool *ret_here)
{
	m->there.fn = on_arrive;
	m->back.fn = on_back;
	seam_park_init(&m->park);
	m->waits = true;
	if (!serve__inbox_send(m->to, &m->there)) {
		uncharge(m, c);
		drop_given(m);
		unref(m);
		return seam_trap(c, "%s: the process ends", c->func->name);
	}
	enum seam_result r = seam_park(c, &m->park);
	uncharge(m, c);
	if (!m->answered) {
		leave(m);
		return r;
	}
	*ret_here = r == SEAM_OK && m->end == FAR_NOT_HERE;
	if (r == SEAM_OK && !*ret_here)
		r = conclude(m, c, ret);
	while (m->made)
		serve__relay_drop_far(next_made(m));
	unref(m);
	return r;
}

// Of the request that a task is for, also where another thread is at that.
static void names_of(const struct seam_task *task, struct serve_names *ret)
{
	const struct serve_request *c = task->request;
	*ret = (struct serve_names){0};
	if (!c && task->names)
		*ret = *(const struct serve_names *)task->names;
	if (!c)
		return;
	const struct http_request *r = c->x ? http_exchange_request(c->x) : NULL;
	struct slice id = serve__request_id(r), trace = serve__trace_parent(r);
	ret->id = c->id;
	snprintf(ret->request_id, sizeof ret->request_id, "%.*s", SLICE_ARGS(id));
	snprintf(ret->trace_parent, sizeof ret->trace_parent, "%.*s", SLICE_ARGS(trace));
	ret->trace = c->trace;
	ret->started_ns = c->started_ns;
	ret->link_calls = c->link_calls;
	if (r && c->trace.is_there && c->trace.has_parent)
		ret->trace_state[serve__trace_state(r, ret->trace_state).len] = 0;
}

enum seam_result serve__relay_call_far(const struct relay_func *f, struct serve_thread *t, struct seam_call *c, uint64_t by_ns, struct relay_guest *g,
	const void *args, void *ret, bool *ret_here)
{
	struct serve_relay *r = f->relay;
	struct relay_far *m = mem_zalloc(sizeof *m);
	*ret_here = false;
	if (!m) {
		serve__relay_turn_away(c, args);
		return seam_no_memory(c);
	}
	m->refs = 1;
	m->of = f;
	m->from = t;
	m->to = &r->service->process->threads[SERVE_KEEPER];
	m->guest = g;
	m->by_handles = g;
	names_of(c->task, &m->names);
	m->had_calls = m->names.link_calls;
	m->span = c->span ? c->span : c->task->span;
	m->by_ns = by_ns;
	m->cpu_ns = c->task->fiber ? vm_fiber_cpu_left_ns(c->task->fiber) : UINT64_MAX;
	__atomic_add_fetch(&r->guests, 1, __ATOMIC_RELAXED);
	enum seam_result went = prepare(m, c, args);
	if (went == SEAM_OK)
		return go(m, c, ret, ret_here);
	unref(m);
	return went;
}
