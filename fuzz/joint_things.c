// Objects in the streams and futures of fuzz_joints, and in parameters beside them: the host's (h), and those of a guest's own resource (r), which others have as
// the host's. Each has a number: whoever gets one gets that which was written. Some are lent to the host while they are in a buffer: who writes what it has
// lent has written no value.
#include "joints.h"

enum { MOST_HELD = 80, NO_HANDLE = 9999 };

// What a handle of h stands for.
struct thing {
	uint32_t id;
	const struct canon_instance *of;  // whose r it is; NULL: nobody's
};
// A handle in a guest.
struct held {
	struct home *home;  // NULL: this place is free
	uint32_t handle, id;
	uint32_t sub;       // the call that it is lent to; 0: none
	bool is_r, is_sent;
};

static struct held helds[MOST_HELD];
static uint32_t n_things, last_id;
static struct thing *passes;  // to or from the guest whose call runs

static void on_drop(struct canon_instance *i UNUSED, void *object)
{
	n_things--;
	mem_free(object);
}
static const struct wit_resource thing_type;
static const struct canon_resource_ops thing_ops = {.type = &thing_type, .name = "thing", .drop = on_drop};

static struct thing *thing_new(uint32_t id, const struct canon_instance *of)
{
	struct thing *t = mem_alloc(sizeof *t);
	BUG_ON(!t);
	*t = (struct thing){id, of};
	n_things++;
	return t;
}

// false: there is no room, and it is gone.
static bool put(struct canon_instance *i, struct thing *t, uint32_t *ret)
{
	*ret = 0;
	if (canon_host_resource_new(i, &thing_ops, NULL, t, ret))
		return true;
	on_drop(i, t);
	return false;
}

static struct thing *take_out(struct canon_instance *i, uint32_t rep)
{
	struct thing *t = canon_host_resource_take(i, &thing_type, rep);
	BUG_ON(!t);
	return t;
}

// ---- on the way ----------------------------------------------------------------------------------------------------------------------------------

bool things_pass(struct canon_joint *j, enum way way, uint32_t *native, const char **ret_why)
{
	struct canon_instance *from = j->from.instance, *to = j->to.instance;
	struct thing *t = way == OUT ? thing_new(*native, from) : take_out(from, *native);
	bool is_foreign = way == IN && t->of != to;
	*native = 0;
	if (joints_take() % 32 == 31 || is_foreign) {
		on_drop(to, t);
		*ret_why = "it is none of the component's, or the input says so";
		return false;
	}
	if (way != IN) {
		*ret_why = "there is no room";
		return put(to, t, native);
	}
	*native = t->id;
	on_drop(to, t);
	return true;
}

void things_close(struct canon_joint *j, enum way way, uint32_t *native)
{
	if (way != IN)
		canon_host_resource_drop(j->to.instance, *native);
}

// ---- what guests call ----------------------------------------------------------------------------------------------------------------------------

static enum trap give_one(struct canon_task *t, struct canon_instance *i, void *data UNUSED, const void *args UNUSED, void *ret)
{
	struct thing *given = passes ? passes : thing_new(++last_id, NULL);
	passes = NULL;
	return put(i, given, ret) ? TRAP_NONE : canon_task_trap(t, "no room");
}

static enum trap take_one(struct canon_task *t UNUSED, struct canon_instance *i, void *data UNUSED, const void *args, void *ret UNUSED)
{
	passes = take_out(i, *(const uint32_t *)args);
	return TRAP_NONE;
}

static enum trap who(struct canon_task *t UNUSED, struct canon_instance *i, void *data UNUSED, const void *args, void *ret)
{
	const struct thing *asked = canon_host_resource_get(i, &thing_type, *(const uint32_t *)args);
	BUG_ON(!asked);
	*(uint32_t *)ret = asked->id;
	return TRAP_NONE;
}

// Until it is cancelled, or its instance ends. What it was lent is there all the time.
static enum trap lend(struct canon_task *t, struct canon_instance *i, void *data UNUSED, const void *args, void *ret UNUSED)
{
	uint32_t rep = *(const uint32_t *)args;
	const struct thing *lent = canon_host_resource_get(i, &thing_type, rep);
	BUG_ON(!lent);
	bool ends = vm_fiber_park(joints_shard) == VM_KILLED || canon_task_is_cancelled(t);
	BUG_ON(!ends || canon_host_resource_get(i, &thing_type, rep) != lent);
	return canon_instance_is_dead(i) || joints_take() & 1 ? TRAP_KILLED : TRAP_NONE;
}
const struct canon_host_func things_give = {.fn = give_one}, things_take = {.fn = take_one}, things_lend = {.fn = lend}, things_who = {.fn = who};

// ---- what guests have ----------------------------------------------------------------------------------------------------------------------------

static struct held *held_new(struct home *p, uint32_t handle, uint32_t id, bool is_r)
{
	for (uint32_t k = 0; k < MOST_HELD; k++)
		if (!helds[k].home) {
			helds[k] = (struct held){.home = p, .handle = handle, .id = id, .is_r = is_r};
			return &helds[k];
		}
	return NULL;
}

void things_forget(const struct home *p)
{
	for (uint32_t k = 0; k < MOST_HELD; k++)
		if (helds[k].home == p)
			helds[k].home = NULL;
}

bool things_are_gone(void)
{
	for (uint32_t k = 0; k < MOST_HELD; k++)
		if (helds[k].home)
			return false;
	return !n_things && !passes;
}

static struct held *one_of(const struct home *p, uint32_t from)
{
	for (uint32_t k = 0; k < MOST_HELD; k++)
		if (helds[(from + k) % MOST_HELD].home == p)
			return &helds[(from + k) % MOST_HELD];
	return NULL;
}

void things_fill(struct end *e)
{
	uint32_t n = 0, first = joints_take();
	uint8_t mischief = joints_take();
	for (uint32_t k = 0; k < MOST_HELD && n < e->n; k++) {
		struct held *h = &helds[(first + k) % MOST_HELD];
		if (h->home != e->home || h->is_r != (e->kind == OWNS) || h->is_sent || (h->sub && mischief % 8))
			continue;
		h->is_sent = true;
		e->things[n] = h;
		e->pipe->ids[(e->pipe->wrote + n) % RING] = h->id;
		joints_must(e->home, STORE, joints_buffer(e) + n++ * 4, h->handle, 0);
	}
	if (mischief == 255 && n)
		joints_must(e->home, STORE, joints_buffer(e) + (n - 1) * 4, NO_HANDLE, 0);
	e->n = n;
}

void things_went(struct end *e, uint32_t n)
{
	for (uint32_t k = 0; k < LARGEST && e->things[k]; k++) {
		e->things[k]->is_sent = false;
		if (k < n)
			e->things[k]->home = NULL;
		e->things[k] = NULL;
	}
}

static void drop(struct home *p, bool is_r, uint32_t handle)
{
	joints_must(p, is_r ? R_DROP : H_DROP, handle, 0, 0);
}

static uint32_t number_of(struct home *p, bool is_r, uint32_t handle)
{
	return joints_must(p, is_r ? R_REP : WHO, handle, 0, 0);
}

void things_arrived(struct end *e, uint32_t k, uint32_t place)
{
	bool is_r = e->kind == OWNS;
	uint32_t handle = joints_must(e->home, LOAD, joints_buffer(e) + k * 4, 0, 0), id = number_of(e->home, is_r, handle);
	BUG_ON(id != e->pipe->ids[place % RING]);
	if (!held_new(e->home, handle, id, is_r))
		drop(e->home, is_r, handle);
}

// ---- what they do with them ----------------------------------------------------------------------------------------------------------------------

static void make(struct home *p, bool is_r)
{
	uint32_t handle, id;
	if (is_r) {
		id = ++last_id;
		if (!joints_may(p, R_NEW, id, &handle))
			return;
	} else {
		if (!joints_may(p, GIVE_ONE, 0, &handle))
			return;
		id = number_of(p, false, handle);
	}
	if (!held_new(p, handle, id, is_r))
		drop(p, is_r, handle);
}

// By a parameter and a result.
static void go_over(struct held *h, struct home *to)
{
	struct home *p = h->home;
	uint32_t handle, id = h->id;
	bool back = false;
	if (h->is_r) {
		passes = thing_new(joints_must(p, HAND_R, h->handle, 0, 0), p->i);
	} else {
		joints_must(p, TAKE_ONE, h->handle, 0, 0);
		back = passes->of == to->i;
	}
	h->home = NULL;
	BUG_ON(passes->id != id);
	if (back) {
		on_drop(to->i, passes);
		passes = NULL;
	}
	if (joints_may(to, back ? KEEP_R : GIVE_ONE, back ? id : 0, &handle) && !held_new(to, handle, id, back))
		drop(to, back, handle);
}

static void lend_out(struct held *h)
{
	uint32_t ret;
	if (!h->sub && joints_may(h->home, LEND, h->handle, &ret))
		h->sub = ret >> 4;
}

static void end_lend(struct held *h)
{
	struct home *p = h->home;
	uint32_t sub = h->sub, state = joints_must(p, SUB_CANCEL, sub, 0, 0);
	BUG_ON(state != 2 && state != 4);
	joints_must(p, SUB_DROP, sub, 0, 0);
	h->sub = 0;
}

void things_step(struct home *p, struct home *to)
{
	uint8_t what = joints_take();
	struct held *h = one_of(p, joints_take());
	uint32_t ret;
	if (what < 64 || !h) {
		make(p, what & 1);
	} else if (h->sub && what < 200) {
		end_lend(h);
	} else if (h->sub) {  // what it may not
		joints_may(p, what & 1 ? H_DROP : TAKE_ONE, h->handle, &ret);
		BUG_ON(p->i);
	} else if (h->is_sent) {
		return;  // its reader may have it already
	} else if (what < 96 && !h->is_r) {
		lend_out(h);
	} else if (what < 128) {
		BUG_ON(number_of(p, h->is_r, h->handle) != h->id || (h->is_r && joints_must(p, SEE_R, h->id, 0, 0) != h->id));
	} else if (what < 192 && to->i && to != p) {
		go_over(h, to);
	} else {
		drop(p, h->is_r, h->handle);
		h->home = NULL;
	}
}
