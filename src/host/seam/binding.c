// Tables of bindings, from a link to its shards and back (design §8).
//
//   link ── publish ──► part (a shard's): incoming ── take_up, on its loop ──► current ──► … ──► gone, when its calls and seats are
//
// 1. A table is immutable. Its references are counted under the link's lock; nothing there is on a request's way.
// 2. A shard counts what it does with a table by itself, without atomics: calls under way, and seats. An instance's seat stands for all objects that it holds
//    of one provider, and for what the provider keeps for it; it keeps a table that has the provider alive.
// 3. A seat moves on to each new table that has its provider still. Those that can't stay behind, with their calls and objects, and go when these have gone:
//    what the provider keeps for the instance then ends, whether the instance is ever reset or not.
// 4. A provider has one slot in all tables of a link that are alive, and no other has it meanwhile.
#include "seam_int.h"

// ---- tables ---------------------------------------------------------------------------------------------------------------------------

struct seam_table *seam__table_new(struct seam_link *l)
{
	struct seam_table *t = mem_zalloc(sizeof *t);
	if (!t)
		return NULL;
	*t = (struct seam_table){.link = l, .refs = 1};
	arena_init(&t->arena, 0);
	spinlock_lock(&l->lock);
	t->version = ++l->version;
	t->next = l->tables;
	l->tables = t;
	spinlock_unlock(&l->lock);
	return t;
}

// Under the lock. The slot that the provider has in a table, or COMP_NONE.
static uint32_t slot_of(const struct seam_table *t, const struct seam_provider *p)
{
	for (uint32_t i = 0; i < t->n; i++)
		if (t->bindings[i].provider == p)
			return t->bindings[i].slot;
	return COMP_NONE;
}

static bool is_taken(const struct seam_table *tables, uint32_t slot)
{
	for (; tables; tables = tables->next)
		for (uint32_t i = 0; i < tables->n; i++)
			if (tables->bindings[i].provider && tables->bindings[i].slot == slot)
				return true;
	return false;
}

static uint32_t find_slot(const struct seam_table *tables, const struct seam_provider *p)
{
	uint32_t slot = COMP_NONE;
	for (const struct seam_table *t = tables; t && slot == COMP_NONE; t = t->next)
		slot = slot_of(t, p);
	if (slot != COMP_NONE)
		return slot;
	for (slot = 0; is_taken(tables, slot); slot++)
		;
	return slot;
}

void seam__table_place(struct seam_table *t, uint32_t n)
{
	struct seam_link *l = t->link;
	spinlock_lock(&l->lock);
	for (; t->n < n; t->n++) {  // of its own bindings those before this one have their slots
		struct seam_binding *b = &t->bindings[t->n];
		if (!b->provider)
			continue;
		seam__provider_ref(b->provider, SEAM_HELD_BY_TABLE);
		b->slot = find_slot(l->tables, b->provider);
	}
	spinlock_unlock(&l->lock);
}

// Under the lock: one reference less. A table that is gone is put before *dead.
static void drop_table(struct seam_table *t, struct seam_table **dead)
{
	if (!t || --t->refs)
		return;
	struct seam_table **at = &t->link->tables;
	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	t->next = *dead;
	*dead = t;
}

// Outside of the lock: providers may end now.
static void bury(struct seam_table *dead)
{
	while (dead) {
		struct seam_table *t = dead;
		dead = t->next;
		for (uint32_t i = 0; i < t->n; i++)
			if (t->bindings[i].provider)
				seam_provider_unref(t->bindings[i].provider, SEAM_HELD_BY_TABLE);
		arena_release(&t->arena);
		mem_free(t);
	}
}

void seam__table_unref(struct seam_table *t)
{
	struct seam_table *dead = NULL;
	struct seam_link *l = t->link;
	spinlock_lock(&l->lock);
	drop_table(t, &dead);
	spinlock_unlock(&l->lock);
	bury(dead);
}

void seam_link_bindings(struct seam_link *l, void (*fn)(void *user, const struct comp_import *import, const struct seam_binding *b), void *user)
{
	spinlock_lock(&l->lock);
	struct seam_table *t = l->table;
	t->refs++;
	spinlock_unlock(&l->lock);
	for (uint32_t i = 0; i < l->comp->plan.nimports; i++)
		fn(user, &l->comp->plan.imports[i], &t->bindings[i]);
	seam__table_unref(t);
}

void seam_table_free(struct seam_table *t)
{
	if (t)
		seam__table_unref(t);
}

uint32_t seam_link_tables(struct seam_link *l)
{
	uint32_t n = 0;
	spinlock_lock(&l->lock);
	for (const struct seam_table *t = l->tables; t; t = t->next)
		n++;
	spinlock_unlock(&l->lock);
	return n;
}

// ---- a table in a shard ---------------------------------------------------------------------------------------------------------------

// Takes the reference over.
static void local_init(struct seam__local *l, struct seam__part *p, struct seam_table *t)
{
	*l = (struct seam__local){.targets = t->targets, .table = t, .part = p};
}

static void local_free(struct seam__local *l)
{
	struct seam__local **at = &l->part->locals;
	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	seam__table_unref(l->table);
	mem_free(l);
}

static void free_if_done(struct seam__local *l)
{
	if (l->calls == 0 && l->seats == 0)
		local_free(l);
}

// ---- seats ----------------------------------------------------------------------------------------------------------------------------

static void seat_close(struct seam_instance *s, struct seam__seat *seat)
{
	struct seam__local *local = seat->local;
	struct seam_table *table = seat->table;
	if (seat->state)
		seat->provider->ops->instance_free(seat->provider, s->canon, seat->state);
	*seat = (struct seam__seat){.slot = seat->slot};
	if (local) {
		local->seats--;
		free_if_done(local);
	}
	if (table)
		seam__table_unref(table);
}

static void look_whether_mixed(struct seam_instance *s)
{
	s->mixed = false;
	for (uint32_t i = 0; i < s->n_seats; i++)
		if (seam__seat_is_open(s->seats[i]) && s->seats[i]->objects && s->seats[i]->local != s->local)
			s->mixed = true;
}

void seam__seat_settle(struct seam_instance *s, struct seam__seat *seat)
{
	if (seat->objects || !seat->local)
		return;
	if (seat->local->calls) {
		seat->local->waits = true;
		return;
	}
	seat_close(s, seat);
	look_whether_mixed(s);
}

static void settle_all(struct seam__local *l)
{
	l->waits = false;
	l->seats++;  // stays until this is over
	for (struct seam_instance *s = l->part->instances; s; s = s->next)
		for (uint32_t i = 0; i < s->n_seats; i++)
			if (s->seats[i] && s->seats[i]->local == l)
				seam__seat_settle(s, s->seats[i]);
	l->seats--;
}

// Also after each call on a handle of an old provider: a walk over the instances is for when a seat waits.
void seam__local_idle(struct seam__local *l)
{
	if (l->waits)
		settle_all(l);
	free_if_done(l);
}

// The seat at a slot, open or not.
static struct seam__seat *seat_at(struct seam_instance *s, uint32_t slot)
{
	if (slot >= s->n_seats) {
		struct seam__seat **more = pool_realloc(canon_instance_pool(s->canon), s->seats, (slot + 1) * sizeof(*more));
		if (!more)
			return NULL;
		memset(more + s->n_seats, 0, (slot + 1 - s->n_seats) * sizeof(*more));
		s->seats = more;
		s->n_seats = slot + 1;
	}
	if (!s->seats[slot] && (s->seats[slot] = pool_zalloc(canon_instance_pool(s->canon), sizeof(struct seam__seat))))
		s->seats[slot]->slot = slot;
	return s->seats[slot];
}

struct seam__seat *seam__seat_open_slow(struct seam_instance *s, struct seam__local *local, struct seam_provider *p, uint32_t slot)
{
	struct seam__seat *seat = seat_at(s, slot);
	if (!seat)
		return NULL;
	seat->provider = p;
	seat->local = slot_of(s->local->table, p) != COMP_NONE ? s->local : local;
	seat->local->seats++;
	seat->local->waits = true;  // for its first object
	return seat;
}

void *seam__seat_state(struct seam_instance *s, struct seam__seat *seat)
{
	if (!seat->state && seat->provider->ops->instance_new)
		seat->state = seat->provider->ops->instance_new(seat->provider, s->canon);
	return seat->state;
}

// That is open. NULL: it has none.
static struct seam__seat *seat_of(const struct seam_instance *s, const struct seam_provider *p)
{
	for (uint32_t k = 0; k < s->n_seats; k++)
		if (seam__seat_is_open(s->seats[k]) && s->seats[k]->provider == p)
			return s->seats[k];
	return NULL;
}

void *seam_instance_state(struct canon_instance *i, const struct seam_provider *p)
{
	struct seam_instance *s = canon_instance_user(i);
	struct seam__seat *seat = seat_of(s, p);
	return seat ? seam__seat_state(s, seat) : NULL;
}

struct seam__seat *seam_seat_hold(struct canon_instance *i, const struct seam_provider *p)
{
	struct seam_instance *s = canon_instance_user(i);
	struct seam__seat *seat = seat_of(s, p);
	if (seat)
		seam__seat_hold(s, seat);
	return seat;
}

bool seam_seat_give(struct canon_instance *i, struct seam__seat *seat, const struct canon_resource_ops *of, void *object, uint32_t *ret)
{
	if (!canon_host_resource_new(i, of, seat, object, ret))
		return false;
	seam__seat_hold(canon_instance_user(i), seat);
	return true;
}

void seam_seat_let_go(struct canon_instance *i, struct seam__seat *seat)
{
	seam__object_gone(i, seat);
}

void seam_instance_task_end(struct seam_instance *s, struct seam_task *t)
{
	for (uint32_t i = 0; i < s->n_seats; i++) {
		struct seam__seat *seat = s->seats[i];
		if (seam__seat_is_open(seat) && seat->state && seat->provider->ops->task_end)
			seat->provider->ops->task_end(seat->provider, s->canon, t, seat->state);
	}
}

// ---- publishing -------------------------------------------------------------------------------------------------------------------------

// Under the lock.
static bool have_spares(struct seam_link *l)
{
	for (struct seam__part *p = l->parts; p; p = p->next)
		if (p->n && !p->incoming && !p->spare && !(p->spare = mem_zalloc(sizeof *p->spare)))
			return false;
	return true;
}

bool seam_link_publish(struct seam_link *l, struct seam_table *t)
{
	struct seam_table *dead = NULL;
	spinlock_lock(&l->lock);
	bool ok = have_spares(l);
	if (ok) {
		drop_table(l->table, &dead);
		l->table = t;
	}
	for (struct seam__part *p = l->parts; ok && p; p = p->next) {
		if (p->n == 0)
			continue;
		struct seam__local *in = p->incoming ? p->incoming : p->spare;
		if (p->incoming)  // was never taken up
			drop_table(in->table, &dead);
		else
			p->spare = NULL;
		t->refs++;
		local_init(in, p, t);
		p->incoming = in;
		if (!p->posted)
			loop_post_remote(p->loop, &p->remote);
		p->posted = true;
	}
	spinlock_unlock(&l->lock);
	bury(dead);
	return ok;
}

static void move_seats(struct seam_instance *s, struct seam__local *to)
{
	for (uint32_t i = 0; i < s->n_seats; i++) {
		struct seam__seat *seat = s->seats[i];
		if (!seam__seat_is_open(seat) || seat->local == to || slot_of(to->table, seat->provider) == COMP_NONE)
			continue;
		struct seam__local *from = seat->local;
		seat->local = to;
		to->seats++;
		from->seats--;
		free_if_done(from);
	}
	s->local = to;
	look_whether_mixed(s);
}

static void make_current(struct seam__part *p, struct seam__local *in)
{
	struct seam__local *old = p->current;
	in->next = p->locals;
	p->locals = p->current = in;
	in->calls = 1;
	for (struct seam_instance *s = p->instances; s; s = s->next)
		move_seats(s, in);
	if (!old)
		return;
	old->waits = true;  // those that could not move on
	if (--old->calls == 0)
		seam__local_idle(old);
}

// Outside of the lock, when the link does not have it any more.
static void part_free(struct seam__part *p)
{
	if (p->incoming) {
		seam__table_unref(p->incoming->table);
		mem_free(p->incoming);
	}
	if (p->current && --p->current->calls == 0)
		free_if_done(p->current);
	BUG_ON(p->locals);
	mem_free(p->spare);
	mem_free(p);
}

// Under the lock.
static void unlist_part(struct seam__part *p)
{
	struct seam__part **at = &p->link->parts;
	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
}

// On the shard's loop, between two calls.
static void take_up(struct loop_remote *r)
{
	struct seam__part *p = CONTAINER_OF(r, struct seam__part, remote);
	spinlock_lock(&p->link->lock);
	struct seam__local *in = p->incoming;
	p->posted = false;
	bool is_over = p->n == 0;
	if (is_over)
		unlist_part(p);
	else
		p->incoming = NULL;
	spinlock_unlock(&p->link->lock);
	if (is_over)
		part_free(p);
	else
		make_current(p, in);
}

// ---- instances --------------------------------------------------------------------------------------------------------------------------

// Under the lock.
static struct seam__part *find_part(struct seam_link *l, struct loop *loop)
{
	for (struct seam__part *p = l->parts; p; p = p->next)
		if (p->loop == loop)
			return p;
	struct seam__part *p = mem_zalloc(sizeof *p);
	struct seam__local *local = mem_zalloc(sizeof *local);
	if (!p || !local) {
		mem_free(p);
		mem_free(local);
		return NULL;
	}
	*p = (struct seam__part){.link = l, .loop = loop, .next = l->parts, .current = local, .locals = local, .remote.fn = take_up};
	l->table->refs++;
	local_init(local, p, l->table);
	local->calls = 1;
	return l->parts = p;
}

bool seam__instance_open(const struct canon_host *h, struct canon_instance *i)
{
	struct seam_link *l = CONTAINER_OF(UNCONST(h), struct seam_link, host);
	struct seam_instance *s = canon_instance_user(i);
	spinlock_lock(&l->lock);
	struct seam__part *p = find_part(l, s->loop);
	if (p)
		p->n++;
	spinlock_unlock(&l->lock);
	if (!p)
		return false;
	s->canon = i;
	s->part = p;
	s->local = p->current;
	s->next = p->instances;
	s->prev = &p->instances;
	if (s->next)
		s->next->prev = &s->next;
	p->instances = s;
	return true;
}

static void leave_part(struct seam_instance *s)
{
	struct seam__part *p = s->part;
	if (!p)
		return;
	*s->prev = s->next;
	if (s->next)
		s->next->prev = s->prev;
	s->part = NULL;
	s->local = NULL;
	spinlock_lock(&p->link->lock);
	bool is_over = --p->n == 0 && !p->posted;
	if (is_over)
		unlist_part(p);
	spinlock_unlock(&p->link->lock);
	if (is_over)
		part_free(p);
}

static void end(struct seam_instance *s)
{
	for (uint32_t i = 0; i < s->n_seats; i++) {
		if (seam__seat_is_open(s->seats[i]))
			seat_close(s, s->seats[i]);
		pool_free(s->seats[i]);
	}
	pool_free(s->seats);
	s->seats = NULL;
	s->n_seats = 0;
	s->mixed = false;
	leave_part(s);
}

void seam__instance_reset(struct canon_instance *i, bool is_end)
{
	struct seam_instance *s = canon_instance_user(i);
	if (is_end) {
		end(s);
		return;
	}
	for (uint32_t k = 0; k < s->n_seats; k++) {
		struct seam__seat *seat = s->seats[k];
		if (!seam__seat_is_open(seat))
			continue;
		BUG_ON(seat->objects);
		if (seat->local != s->local)
			seat_close(s, seat);
		else if (seat->state)
			seat->provider->ops->instance_reset(seat->provider, s->canon, seat->state);
	}
	s->mixed = false;
}

const char *seam__instance_keeps(const struct canon_instance *i)
{
	const struct seam_instance *s = canon_instance_user(i);
	const char *kept = NULL;
	for (uint32_t k = 0; k < s->n_seats && !kept; k++) {
		const struct seam__seat *seat = s->seats[k];
		if (seam__seat_is_open(seat) && seat->state && seat->provider->ops->instance_keeps)
			kept = seat->provider->ops->instance_keeps(seat->provider, seat->state);
	}
	return kept;
}

void seam__instance_keep(struct canon_instance *i)
{
	struct seam_instance *s = canon_instance_user(i);
	for (uint32_t k = 0; k < s->n_seats; k++) {
		struct seam__seat *seat = s->seats[k];
		if (!seam__seat_is_open(seat))
			continue;
		struct seam__local *local = seat->local;
		spinlock_lock(&local->table->link->lock);
		local->table->refs++;
		spinlock_unlock(&local->table->link->lock);
		seat->table = local->table;
		seat->local = NULL;
		local->seats--;
		free_if_done(local);
	}
	leave_part(s);
}

// The table in this shard; NULL: no memory.
static struct seam__local *find_local(struct seam__part *p, struct seam_table *t)
{
	for (struct seam__local *l = p->locals; l; l = l->next)
		if (l->table == t)
			return l;
	struct seam__local *l = mem_zalloc(sizeof *l);
	if (!l)
		return NULL;
	spinlock_lock(&t->link->lock);
	t->refs++;
	spinlock_unlock(&t->link->lock);
	local_init(l, p, t);
	l->next = p->locals;
	return p->locals = l;
}

bool seam__object_adopt(struct canon_instance *i, void *owner, void **ret_owner)
{
	struct seam_instance *s = canon_instance_user(i);
	const struct seam__seat *from = owner;
	struct seam__seat *seat = from->slot < s->n_seats && seam__seat_is_open(s->seats[from->slot]) ? s->seats[from->slot] : NULL;
	if (!seat) {
		bool is_bound = slot_of(s->local->table, from->provider) != COMP_NONE;
		struct seam__local *local = is_bound ? s->local : find_local(s->part, from->table);
		if (!local || !(seat = seam__seat_open(s, local, from->provider, from->slot))) {
			if (local)
				free_if_done(local);
			return false;
		}
	}
	seam__seat_hold(s, seat);
	*ret_owner = seat;
	return true;
}

void seam__object_gone(struct canon_instance *i, void *owner)
{
	struct seam__seat *seat = owner;
	seat->objects--;
	seam__seat_settle(canon_instance_user(i), seat);
}

void seam__link_release(struct seam_link *l)
{
	while (l->parts) {  // their last instances went while a table was on its way
		struct seam__part *p = l->parts;
		l->parts = p->next;
		BUG_ON(p->n);
		part_free(p);
	}
	if (l->table)
		seam__table_unref(l->table);
	BUG_ON(l->tables);  // an instance or image is still there
}
