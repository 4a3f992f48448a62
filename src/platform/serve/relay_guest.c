// Guests: instances of components that others call. See relay.h.
//
// 1. A slot is given back, and destructors of what callers dropped run, on the loop's stack or on a fiber of the guest's own: never on a caller's.
// 2. Whoever finds the guest taken waits in line; a chain of calls that comes back into one that it is in would wait for itself: it traps.
#include "relay.h"
#include "sys/sys.h"

static void on_turn(struct loop_job *j);

void serve__relay_look_at(struct relay_guest *g)
{
	if (g->shard->open)
		loop_post(g->shard->loop, &g->turn);
}

// ---- by root ---------------------------------------------------------------------------------------------------------------------------------

static struct relay_guest **bucket(struct serve_thread *t, struct seam_task_id root)
{
	return &t->relayed[root.index % SERVE_ROOTS];
}

static bool is_of(const struct relay_guest *g, struct seam_task_id root)
{
	return g->root.index == root.index && g->root.generation == root.generation;
}

static void leave_root(struct relay_guest *g)
{
	*g->root_prev = g->root_next;
	if (g->root_next)
		g->root_next->root_prev = g->root_prev;
	g->root_prev = NULL;
}

void serve__relay_root_ended(struct serve_thread *t, const struct seam_task *task)
{
	for (struct relay_guest *g = *bucket(t, task->id), *next; g; g = next) {
		next = g->root_next;
		if (!is_of(g, task->id))
			continue;
		leave_root(g);
		serve__relay_look_at(g);
	}
}

// ---- the memory of a tree ----------------------------------------------------------------------------------------------------------------------
// Of the instances of a tree one runs at a time: what the others have does not change meanwhile.

static struct account *account_of(struct canon_instance *i)
{
	return canon_instance_pool(i)->account;
}

static const struct serve_service_config *config_of(struct canon_instance *i)
{
	const struct seam_instance *s = canon_instance_user(i);
	const struct serve_slot *slot = s->owner;
	return slot ? slot->version->config : NULL;  // of an image in the making nobody is the owner
}

static uint64_t used_besides(struct serve_thread *t, struct seam_task *root, const struct canon_instance *but)
{
	struct canon_instance *first = root->instance->canon;
	uint64_t n = first == but ? 0 : account_of(first)->used;
	for (const struct relay_guest *g = *bucket(t, root->id); g; g = g->root_next)
		if (is_of(g, root->id) && g->slot && g->slot->canon != but)
			n = sat_add_u64(n, account_of(g->slot->canon)->used);
	return n;
}

void serve__relay_unbound(struct canon_instance *i)
{
	const struct serve_service_config *c = config_of(i);
	if (c)
		account_of(i)->limit = c->limits.memory ? c->limits.memory : UINT64_MAX;
}

void serve__relay_bound(struct serve_thread *t, struct seam_task *task, struct canon_instance *i)
{
	struct seam_task *root = seam_task_root(task);
	const struct serve_service_config *c = root->instance && root->instance->canon ? config_of(root->instance->canon) : NULL;
	if (!c || !c->tree_memory)
		return;
	uint64_t others = used_besides(t, root, i), left = c->tree_memory > others ? c->tree_memory - others : 0;
	serve__relay_unbound(i);
	account_of(i)->limit = min_u64(account_of(i)->limit, left);
}

// ---- made, freed -------------------------------------------------------------------------------------------------------------------------------

struct relay_guest *serve__relay_guest_new(struct serve_relay *r, struct serve_shard *s)
{
	struct relay_guest *g = mem_zalloc(sizeof *g);
	if (!g)
		return NULL;
	g->relay = r;
	g->shard = s;
	g->last = &g->first;
	g->next = s->guests;
	g->prev = &s->guests;
	if (g->next)
		g->next->prev = &g->next;
	s->guests = g;
	__atomic_add_fetch(&r->guests, 1, __ATOMIC_RELAXED);
	return g;
}

void serve__relay_guest_free(struct relay_guest *g)
{
	loop_job_cancel(&g->turn);
	*g->prev = g->next;
	if (g->next)
		g->next->prev = g->prev;
	__atomic_sub_fetch(&g->relay->guests, 1, __ATOMIC_RELEASE);
	mem_free(g->spare);
	mem_free(g);
}

// NULL without an error: those that were filled are being emptied, one of which is to be waited for.
static struct relay_guest *guest_new(struct serve_relay *r, struct serve_shard *s, struct seam_task_id root, struct err *e)
{
	struct serve_service *service = r->service;
	uint64_t most = s->stable && !s->keeps ? s->stable->version->config->max_instances : 0;  // what is kept is bound by its one slot
	if (!s->stable) {
		err_set(e, ERR_ENV, "it was taken off");
		return NULL;
	}
	if (s->keeps && s->taken) {
		err_set(e, ERR_LIMIT, "its one instance is at work");
		return NULL;
	}
	if (!shared_count_up(&service->calls, most ? most : UINT64_MAX)) {
		err_set(e, ERR_LIMIT, "all of its %llu instances are at work", (unsigned long long)most);
		return NULL;
	}
	struct relay_guest *g = serve__relay_guest_new(r, s);
	if (!g)
		err_nomem(e);
	if (!g || !(g->slot = serve__slot_take(s, s->stable, e))) {
		shared_count_down(&service->calls);
		serve__places_tell(service->process, s);  // who found it taken meanwhile
		if (g)
			serve__relay_guest_free(g);
		return NULL;
	}
	g->root = root;
	g->is_kept = s->keeps;
	g->turn.fn = on_turn;
	return g;
}

static void enter_root(struct relay_guest *g, struct serve_thread *t)
{
	struct relay_guest **at = bucket(t, g->root);
	g->root_next = *at;
	g->root_prev = at;
	if (g->root_next)
		g->root_next->root_prev = &g->root_next;
	*at = g;
}

static struct relay_guest *find_own(const struct serve_relay *r, struct serve_thread *t, struct seam_task_id root)
{
	struct relay_guest *g = *bucket(t, root);
	while (g && (g->relay != r || !is_of(g, root)))
		g = g->root_next;
	return g;
}

bool serve__relay_has_own(const struct serve_relay *r, struct serve_thread *t, const struct seam_task *caller)
{
	return find_own(r, t, seam_task_root(UNCONST(caller))->id);
}

// Of policy keep there is one, whoever the root is; it has the instance while calls or handles are in it, as a request has it that comes by a route.
static struct relay_guest *make(struct serve_relay *r, struct serve_shard *s, struct seam_task_id root, bool told, struct err *e)
{
	if (!s->open || s->closing || (s->keeps && !serve__relay_may_take(s, told)))
		return NULL;
	struct relay_guest *g = guest_new(r, s, root, e);
	s->calls_had_it |= g && g->is_kept;
	return g;
}

// A root that has one of its own goes on with it, whatever is in force by now.
static struct relay_guest *find_guest(const struct serve_relay *r, struct serve_thread *t, struct seam_task_id root, bool told)
{
	struct serve_shard *s = &r->service->shards[t->index];
	struct relay_guest *g = find_own(r, t, root);
	return g || !s->keeps ? g : serve__relay_kept(s, told);
}

static struct relay_guest *find_or_make(struct serve_relay *r, struct serve_shard *s, struct seam_task_id root, bool told, struct err *e)
{
	struct relay_guest *g = find_guest(r, s->thread, root, told);
	return g ? g : make(r, s, root, told, e);
}

struct relay_guest *serve__relay_try(struct serve_relay *r, struct serve_shard *s, bool told, struct err *e)
{
	struct relay_guest *g = serve__relay_kept(s, told);
	return g ? g : make(r, s, (struct seam_task_id){0}, told, e);
}

static bool is_for_many(const struct serve_shard *s)
{
	return s->stable && s->stable->version->config->policy == SERVE_CONCURRENT;
}

// NULL with SEAM_OK: none is to be had, or not by then.
static enum seam_result make_guest(struct serve_relay *r, struct serve_shard *s, struct seam_call *c, uint64_t by_ns, struct relay_guest **ret, bool *ret_many,
	struct err *e)
{
	struct relay_wait w = {0};
	enum seam_result went = SEAM_OK;
	*ret = find_or_make(r, s, seam_task_root(c->task)->id, false, e);
	while (!*ret && !*ret_many && went == SEAM_OK && (s->keeps || e->code == ERR_NONE) && s->open && !s->closing && loop_now_ns(s->loop) < by_ns) {
		bool is_one = s->keeps;
		seam_park_init(&w.park);
		if (is_one)
			serve__relay_seek_on(s, &w);  // a request has it, or it is too early after a trap
		went = seam_park_until(c, &w.park, is_one ? by_ns : min_u64(sat_add_u64(loop_now_ns(s->loop), SERVE_PLACE_RETRY), by_ns), NULL);
		err_clear(e);
		*ret_many = went == SEAM_OK && is_for_many(s);
		if (went == SEAM_OK && !*ret_many)
			*ret = find_or_make(r, s, seam_task_root(c->task)->id, w.told, e);
	}
	serve__relay_seek_no_more(s, &w);
	return went;
}

enum seam_result serve__relay_guest(struct serve_relay *r, struct serve_thread *t, struct seam_call *c, uint64_t by_ns, struct relay_guest **ret, bool *ret_many)
{
	struct serve_shard *s = &r->service->shards[t->index];
	struct err e = {0};
	*ret_many = false;
	*ret = find_guest(r, t, seam_task_root(c->task)->id, false);
	if (*ret)
		return SEAM_OK;
	enum seam_result went = make_guest(r, s, c, by_ns, ret, ret_many, &e);
	if (went != SEAM_OK || *ret_many || (!*ret && loop_now_ns(s->loop) >= by_ns))
		return went;
	if (!*ret)
		return seam_trap(c, "no instance of component %s is to be had: %s", r->service->name, e.code == ERR_NONE ? "the process ends" : e.text);
	if (!(*ret)->is_kept && !(*ret)->root_prev)
		enter_root(*ret, t);
	return SEAM_OK;
}

static void give_slot(struct relay_guest *g, bool clean)
{
	struct serve_slot *slot = g->slot;
	g->slot = NULL;
	serve__relay_unbound(slot->canon);
	shared_count_down(&g->relay->service->calls);
	serve__slot_give(slot, g->shard, clean);
	serve__places_tell(g->relay->service->process, g->shard);  // requests wait for a place among calls as well
	if (g->shard->open)
		serve__queue_wake(g->shard);
}

void serve__relay_forget_slot(struct relay_guest *g, bool clean)
{
	struct serve_slot *slot = g->slot;
	g->slot = NULL;
	slot->guest = NULL;
	g->handles++;  // its streams may end with the instance: the guest stays meanwhile
	if (g->has_place)
		serve__slot_give(slot, g->shard, clean);
	g->handles--;
	g->has_place = false;
}

void serve__relay_forget_closing(struct relay_guest *g)
{
	for (struct relay_handle *h; (h = g->closing) != NULL;) {
		g->closing = h->next;
		mem_free(h);
	}
}

static bool is_used(const struct relay_guest *g)
{
	return g->root_prev || g->handles || g->calls || g->holder;
}

// A budget that isn't all its own is its caller's.
void serve__relay_ended_by(const struct relay_guest *g, const struct seam_task *t, bool ok, enum trap trap)
{
	uint64_t own = g->slot->version->config->limits.cpu;
	if (ok)
		return;
	if (trap == TRAP_NONE)  // before it began
		trap = t->kill_trap;
	bool is_callers = trap == TRAP_CPU_BUDGET && (!own || t->cpu_ns < own);
	serve__slot_ended_by(g->slot, is_callers ? TRAP_KILLED : trap);
}

// ---- handles ---------------------------------------------------------------------------------------------------------------------------------

void serve__relay_forget(struct relay_handle *h)
{
	h->guest->handles--;
	serve__relay_look_at(h->guest);
	mem_free(h);
}

void serve__relay_let_one_go(struct relay_guest *g)
{
	g->handles--;
	if (g->shard->open)
		serve__relay_look_at(g);
	else if (!is_used(g) && !g->slot)
		serve__relay_guest_free(g);
}

void serve__relay_lose(struct relay_guest *g)
{
	g->dead = true;
	serve__relay_look_at(g);
}

struct relay_handle *serve__relay_handle_new(struct relay_guest *g, const struct wit_type *t, uint32_t rep)
{
	struct relay_handle *h = mem_alloc(sizeof *h);
	if (!h)
		return NULL;
	*h = (struct relay_handle){.guest = g, .type = t->resource, .rep = rep};
	g->handles++;
	return h;
}

void serve__relay_drop(struct relay_handle *h)
{
	struct relay_guest *g = h->guest;
	if (g->slot) {
		g->handles--;
		h->next = g->closing;
		g->closing = h;
		serve__relay_look_at(g);
		return;
	}
	mem_free(h);
	serve__relay_let_one_go(g);
}

bool serve__relay_start(struct relay_guest *g, struct seam_task *task, struct canon_trap *trap)
{
	struct serve_slot *slot = g->slot;
	if (slot->used)
		return true;
	if (!canon_slot_is_ready(slot->canon) && !canon_slot_start(slot->canon, &task->canon, trap))
		return false;
	serve__slot_started(slot, g->shard);
	return true;
}

bool serve__relay_close_handles(struct relay_guest *g, struct seam_task *task, struct canon_trap *trap)
{
	bool ok = true;
	for (struct relay_handle *h; ok && (h = g->closing) != NULL;) {
		struct relay_handle one = *h;
		g->closing = h->next;
		mem_free(h);
		const struct wit_resource *type = serve__relay_resource(g->relay, g->slot->version, one.type);
		BUG_ON(!type);  // a call of this version gave it
		ok = canon_guest_resource_drop(g->slot->canon, type, one.rep, &task->canon, trap);
	}
	return ok;
}

// ---- closing: nobody calls, and something was dropped ----------------------------------------------------------------------------------------

struct closer {
	struct relay_guest *guest;
	struct seam_task *task;
	struct canon_trap trap;
	bool ok;
};

static void closer_main(void *arg)
{
	struct closer *c = arg;
	c->ok = serve__relay_close_handles(c->guest, c->task, &c->trap);
}

static void closer_done(struct seam_task *t)
{
	struct closer *c = t->owner;
	struct relay_guest *g = c->guest;
	bool ok = c->ok;
	if (!ok)
		serve__log(g->shard->service->process->config, SERVE_LOG_WARN, "component %s of %s trapped while a handle was closed: %s", g->shard->service->name,
			g->shard->service->app, c->trap.text);
	serve__relay_ended_by(g, t, ok, c->trap.trap);
	seam_instance_task_end(&g->slot->seam, t);
	seam_task_free(t);
	mem_free(c);
	g->shard->closers--;
	g->is_held = false;
	serve__relay_leave(g, ok);
}

void serve__relay_close(struct relay_guest *g)
{
	struct serve_shard *s = g->shard;
	struct closer *c = mem_zalloc(sizeof *c);
	if (c)
		c->task = seam_task_new(s->thread->tasks, NULL);
	if (c && c->task) {
		c->guest = g;
		c->task->owner = c;
		c->task->instance = &g->slot->seam;
		g->holder = c->task;
		g->is_held = true;
		g->calls++;
		s->closers++;
		if (seam_task_run(c->task, closer_main, c, serve__budget(&g->slot->version->config->limits, loop_now_ns(s->loop)), closer_done))
			return;
		s->closers--;
		g->calls--;
		g->is_held = false;
		g->holder = NULL;
		seam_task_free(c->task);
	}
	mem_free(c);
	serve__relay_lose(g);
}

// ---- in line -----------------------------------------------------------------------------------------------------------------------------------

const char serve__relay_is_late[] = "the deadline of the link is over";
const char serve__relay_has_ended[] = "the instance that it waited for has ended";

bool serve__relay_comes_back(const struct seam_instance *i, const struct seam_task *caller)
{
	for (const struct seam_task *t = caller; t; t = t->parent ? t->parent : t->caller)
		if (t->instance == i)
			return true;
	return false;
}

void serve__relay_join_line(struct relay_guest *g, struct relay_wait *w)
{
	w->next = NULL;
	*g->last = w;
	g->last = &w->next;
}

void serve__relay_leave_line(struct relay_guest *g, struct relay_wait *w)
{
	struct relay_wait **at = &g->first;
	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	if (!w->next)
		g->last = at;
}

static void wake_next(struct relay_guest *g)
{
	if (g->holder || !g->first)
		return;
	if (g->first->turn)
		g->first->turn(g->first);
	else
		seam_wake(&g->first->park);
}

// Until it is his turn, as he comes: nobody goes before who waits.
static enum seam_result wait_for_turn(struct relay_guest *g, struct seam_call *c, uint64_t by_ns)
{
	struct relay_wait w = {0};
	enum seam_result r = SEAM_OK;
	serve__relay_join_line(g, &w);
	while (r == SEAM_OK && !serve__relay_is_turn(g, &w) && loop_now_ns(c->task->loop) < by_ns) {
		seam_park_init(&w.park);
		r = seam_park_until(c, &w.park, by_ns, NULL);
	}
	serve__relay_leave_line(g, &w);
	return r;
}

void serve__relay_give_up_turn(struct relay_guest *g)
{
	g->calls--;
	wake_next(g);
	serve__relay_look_at(g);
}

enum seam_result serve__relay_enter(struct relay_guest *g, struct seam_call *c, struct seam_task *task, uint64_t by_ns, const char **ret_not)
{
	enum seam_result r = SEAM_OK;
	bool waits = !serve__relay_is_turn(g, NULL);
	*ret_not = NULL;
	if (g->slot && serve__relay_comes_back(&g->slot->seam, c->task))
		return seam_trap(c, "%s: the chain of calls comes back into component %s, which it is in", c->func->name, g->relay->service->name);
	g->calls++;
	if (waits)
		r = wait_for_turn(g, c, by_ns);
	bool has_ended = g->dead || !g->slot;
	if (loop_now_ns(c->task->loop) >= by_ns)  // also where it would be its turn now
		*ret_not = serve__relay_is_late;
	else if (has_ended && waits)
		*ret_not = serve__relay_has_ended;
	else if (has_ended && r == SEAM_OK)
		r = seam_trap(c, "%s: its instance of component %s has ended", c->func->name, g->relay->service->name);
	if (r == SEAM_OK && !*ret_not) {
		g->holder = task;
		if (g->is_kept)
			serve__relay_unbound(g->slot->canon);  // from the tree of the caller before
		return r;
	}
	serve__relay_give_up_turn(g);
	return r;
}

void serve__relay_leave(struct relay_guest *g, bool clean)
{
	g->holder = NULL;
	g->calls--;
	g->dead |= !clean;
	wake_next(g);
	serve__relay_look_at(g);
}

void serve__relay_returned(const struct relay_guest *g)
{
	if (g->is_kept)
		serve__slot_returned(g->shard);
}

static void on_turn(struct loop_job *j)
{
	struct relay_guest *g = CONTAINER_OF(j, struct relay_guest, turn);
	if (g->is_kept)
		serve__calls_turn(g->shard);  // it may take calls again
	if (g->calls)
		return;
	if (g->slot && g->dead)
		give_slot(g, false);
	if (!g->slot || g->shard->closing) {
		serve__relay_forget_closing(g);
	} else if (g->closing) {
		serve__relay_close(g);
		return;
	}
	if (is_used(g))
		return;
	if (g->slot)
		give_slot(g, true);
	serve__relay_guest_free(g);
}

// ---- the end of a shard ------------------------------------------------------------------------------------------------------------------------

void serve__relays_close(struct serve_shard *s)
{
	// With an instance streams end that hold others of them: all stay until each has had its turn.
	for (struct relay_guest *g = s->guests; g; g = g->next)
		g->handles++;
	for (struct relay_guest *g = s->guests; g; g = g->next) {
		loop_job_cancel(&g->turn);
		serve__relay_forget_closing(g);
		if (g->slot && !g->is_many)
			give_slot(g, false);
		else if (g->slot)
			serve__relay_forget_slot(g, false);
	}
	for (struct relay_guest *g = s->guests, *next; g; g = next) {
		next = g->next;
		g->handles--;
		if (!is_used(g))
			serve__relay_guest_free(g);
	}
}
