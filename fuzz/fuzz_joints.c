// Streams and futures between instances: made, written, read, cancelled, passed on by joints in rows and back, to the host and from it, while instances end. The
// input is the schedule. Whatever it is: what is read is what was written, in its order, a joint is over once, and what each instance has agrees with itself.
// PROGRAM(fuzz_joints, "canon tier cmocka", "joint_things.c")
#include "../tests/canon/async_state.h"
#include "joints.h"

enum { INSTANCES = 3, LEAVING = 3, MOST = 60, MADE = 40, SLOT = 64, LETTERS = 64, STEPS = 3000 };

struct link {
	struct canon_joint joint;
	enum way way;
	struct link *next, **prev;      // of those that are to be run
	struct link *other, **at_link;  // of all
};

static struct subject subject;
struct vm_shard *joints_shard;
static const struct wit_type *types[KINDS];
static const uint8_t *at, *end_of_input;
static struct home homes[INSTANCES];
static struct canon_instance *leaving[LEAVING];  // nobody's any more, which end in pieces
static struct end *ends[MOST];
static uint32_t n_ends, n_links, n_pipes;
static uint64_t slots_used;
static struct link *to_run, **last_to_run, *links;
// Of the call that runs: what passes.
static struct canon_instance *giver;
static uint32_t number;
static enum way way;
static bool has_error;
static struct end *made_by_host, *taken_by_host;

uint8_t joints_take(void)
{
	return at < end_of_input ? *at++ : 0;
}

// ---- what is in a stream -----------------------------------------------------------------------------------------------------------------------

static uint8_t byte_at(uint32_t place)
{
	return (uint8_t)(place * 7 + (place >> 8));
}

static uint32_t length_at(uint32_t place)
{
	return place * 5 % LETTERS;
}

static struct pipe *pipe_new(enum kind kind)
{
	struct pipe *p = mem_zalloc(sizeof *p);
	BUG_ON(!p);
	p->kind = kind;
	p->inner = kind == NEST ? mem_zalloc(RING * sizeof *p->inner) : NULL;
	n_pipes++;
	return p;
}

static void pipe_unref(struct pipe *p);

static void put_inner(struct pipe *p, uint32_t place, struct pipe *inner)
{
	struct pipe **where = &p->inner[place % RING], *was = *where;
	if (inner)
		inner->refs++;
	*where = inner;
	if (was)
		pipe_unref(was);
}

static void pipe_unref(struct pipe *p)
{
	if (--p->refs)
		return;
	for (uint32_t k = 0; p->inner && k < RING; k++)
		put_inner(p, k, NULL);
	mem_free(p->inner);
	n_pipes--;
	mem_free(p);
}

// ---- ends --------------------------------------------------------------------------------------------------------------------------------------

static struct end *end_new(struct home *p, struct pipe *pipe, bool writes, uint32_t handle)
{
	struct end *e = mem_zalloc(sizeof *e);
	BUG_ON(!e || n_ends == MOST);
	*e = (struct end){.home = p, .pipe = pipe, .kind = pipe->kind, .writes = writes, .handle = handle};
	while (slots_used >> e->slot & 1)
		e->slot++;
	slots_used |= UINT64_C(1) << e->slot;
	pipe->refs++;
	ends[n_ends++] = e;
	return e;
}

static void end_forget(struct end *e)
{
	uint32_t k = 0;
	while (ends[k] != e)
		k++;
	ends[k] = ends[--n_ends];
	slots_used &= ~(UINT64_C(1) << e->slot);
	pipe_unref(e->pipe);
	mem_free(e);
}

uint32_t joints_buffer(const struct end *e)
{
	return 1024 + e->slot * SLOT;
}

// ---- the host's ends -----------------------------------------------------------------------------------------------------------------------------

static void changed(struct canon_end *h UNUSED)
{
}

static bool value(struct canon_end *h, struct canon_task *t UNUSED, void *native)
{
	static const uint8_t letters[LETTERS] = "the letters of the host, as many as a text may have of them all";
	struct end *e = CONTAINER_OF(h, struct end, host);
	if (!e->writes)  // it is a guest's
		e->told = true;
	else if (e->kind == TEXTS)
		*(struct wit_string *)native = (struct wit_string){letters, length_at(e->pipe->wrote++)};
	else
		*(struct wit_string *)native = (struct wit_string){letters, length_at(0)};
	return true;
}

static void gone(struct canon_end *h)
{
	end_forget(CONTAINER_OF(h, struct end, host));
}
static const struct canon_end_ops host_ops = {changed, value, gone}, waiting_ops = {.changed = changed, .value = value, .gone = gone, .waits = true};

// ---- joints --------------------------------------------------------------------------------------------------------------------------------------

static void leave_queue(struct link *l)
{
	if (!l->prev)
		return;
	*l->prev = l->next;
	if (l->next)
		l->next->prev = l->prev;
	else
		last_to_run = l->prev;
	l->prev = NULL;
}

static void post(struct canon_joint *j)
{
	struct link *l = CONTAINER_OF(j, struct link, joint);
	if (l->prev)
		return;
	l->next = NULL;
	l->prev = last_to_run;
	*last_to_run = l;
	last_to_run = &l->next;
}

static void link_free(struct link *l)
{
	*l->at_link = l->other;
	if (l->other)
		l->other->at_link = l->at_link;
	n_links--;
	mem_free(l);
}

static void over(struct canon_joint *j)
{
	struct link *l = CONTAINER_OF(j, struct link, joint);
	BUG_ON(j->from.shared || j->to.shared);
	leave_queue(l);
	link_free(l);
}

static void failed(struct canon_joint *j UNUSED, const struct canon_instance *dead, const char *why)
{
	BUG_ON(!why[0] || (dead && !dead->dead));
	for (unsigned k = 0; dead && k < INSTANCES; k++)
		homes[k].is_doomed |= homes[k].i == dead;
}

static bool stands_in(struct canon_joint *j UNUSED, const struct wit_type *elem, const char *why, void *native)
{
	BUG_ON(!why[0]);
	if (elem->kind != WIT_STRING)
		return false;
	if (native)
		*(struct wit_string *)native = (struct wit_string){(const uint8_t *)why, 0};
	return has_error;
}
static bool pass(struct canon_joint *j, void *native, const char **ret_why);

static void close(struct canon_joint *j, void *native)
{
	enum way w = CONTAINER_OF(j, struct link, joint)->way;
	if (w)
		things_close(j, w, native);
	else
		canon_end_drop_number(j->to.instance, *(const uint32_t *)native);
}
static const struct canon_joint_ops joint_ops = {post, over, failed, stands_in, pass, close};

static bool link_new(struct canon_instance *from, uint32_t n, struct canon_instance *to, const struct wit_type *type, enum way w, uint32_t *ret,
	const char **ret_why)
{
	struct link *l = mem_zalloc(sizeof *l);
	BUG_ON(!l);
	l->way = w;
	n_links++;
	l->other = links;
	l->at_link = &links;
	if (links)
		links->at_link = &l->other;
	links = l;
	*ret = 0;
	if (canon_joint_new(&l->joint, &joint_ops, from, n, to, type, ret, ret_why))
		return true;
	link_free(l);
	*ret = 0;
	return false;
}

// Now and then one can't.
static bool pass(struct canon_joint *j, void *native, const char **ret_why)
{
	uint32_t *n = native, given = *n;
	enum way w = CONTAINER_OF(j, struct link, joint)->way;
	if (w)
		return things_pass(j, w, n, ret_why);
	if (joints_take() % 32 == 31) {
		canon_end_drop_number(j->from.instance, given);
		*n = 0;
		*ret_why = "the input says so";
		return false;
	}
	return link_new(j->from.instance, given, j->to.instance, j->elem, NO_OBJECT, n, ret_why);
}

// ---- what guests call ----------------------------------------------------------------------------------------------------------------------------

static enum trap give(struct canon_instance *i, enum kind kind, uint32_t *ret)
{
	const char *why;
	if (made_by_host)
		return canon_end_new(i, types[kind], &host_ops, &made_by_host->host, ret) ? TRAP_NONE : TRAP_HOST;
	return link_new(giver, number, i, types[kind], way, ret, &why) ? TRAP_NONE : TRAP_HOST;
}

static enum trap get(struct canon_instance *i, uint32_t n)
{
	giver = i;
	number = n;
	if (!taken_by_host)
		return TRAP_NONE;
	bool waits = taken_by_host->kind == TEXT && joints_take() & 1;
	if (canon_end_take(i, n, waits ? &waiting_ops : &host_ops, &taken_by_host->host))
		return TRAP_NONE;
	end_forget(taken_by_host);  // a future that comes through a joint, or is lost
	taken_by_host = NULL;
	return TRAP_NONE;
}

#define GIVES(name, kind)                                                                                                               \
	static enum trap name(struct canon_task *t UNUSED, struct canon_instance *i, void *data UNUSED, const void *args UNUSED, void *ret) \
	{                                                                                                                                   \
		return give(i, kind, ret);                                                                                                      \
	}
GIVES(give_bytes, BYTES)
GIVES(give_texts, TEXTS)
GIVES(give_text, TEXT)
GIVES(give_nest, NEST)
GIVES(give_hands, HANDS)
GIVES(give_hand, HAND)

static enum trap get_any(struct canon_task *t UNUSED, struct canon_instance *i, void *data UNUSED, const void *args, void *ret UNUSED)
{
	return get(i, *(const uint32_t *)args);
}

static enum trap nap(struct canon_task *t, struct canon_instance *i UNUSED, void *data UNUSED, const void *args UNUSED, void *ret UNUSED)
{
	return canon_task_trap(t, "nobody calls it");
}
static struct canon_host_func host_funcs[17] = {
	{.fn = give_bytes},
	{.fn = get_any},
	{.fn = give_text},
	{.fn = get_any},
	{.fn = nap},
	{.fn = give_texts},
	{.fn = get_any},
	{.fn = give_nest},
	{.fn = get_any},
	{.fn = give_hands},
	{.fn = get_any},
	{.fn = give_hand},
	{.fn = get_any},
};
static const struct canon_host host = {.funcs = host_funcs, .n_funcs = ARRAY_LEN(host_funcs)};

// ---- guests --------------------------------------------------------------------------------------------------------------------------------------

static const struct {
	enum endpoint make, read, write, cancel_read, cancel_write, drop_readable, drop_writable, give, take;
} ops[KINDS] = {
	[BYTES] = {STREAM_NEW, STREAM_READ, STREAM_WRITE, STREAM_CANCEL_READ, STREAM_CANCEL_WRITE, STREAM_DROP_READABLE, STREAM_DROP_WRITABLE, GIVE, TAKE},
	[TEXTS] = {TEXTS_NEW, TEXTS_READ, TEXTS_WRITE, TEXTS_CANCEL_READ, TEXTS_CANCEL_WRITE, TEXTS_DROP_READABLE, TEXTS_DROP_WRITABLE, GIVE_TEXTS, TAKE_TEXTS},
	[TEXT] = {TEXT_NEW, TEXT_READ, TEXT_WRITE, TEXT_CANCEL_READ, TEXT_CANCEL_WRITE, TEXT_DROP, TEXT_DROP_WRITABLE, PROMISE, HEAR},
	[NEST] = {NEST_NEW, NEST_READ, NEST_WRITE, NEST_CANCEL_READ, NEST_CANCEL_WRITE, NEST_DROP_READABLE, NEST_DROP_WRITABLE, GIVE_NEST, TAKE_NEST},
	[HANDS] = {HANDS_NEW, HANDS_READ, HANDS_WRITE, HANDS_CANCEL_READ, HANDS_CANCEL_WRITE, HANDS_DROP_READABLE, HANDS_DROP_WRITABLE, GIVE_HANDS, TAKE_HANDS},
	[HAND] = {HAND_NEW, HAND_READ, HAND_WRITE, HAND_CANCEL_READ, HAND_CANCEL_WRITE, HAND_DROP_READABLE, HAND_DROP_WRITABLE, GIVE_HAND, TAKE_HAND},
	[OWNS] = {OWNS_NEW, OWNS_READ, OWNS_WRITE, OWNS_CANCEL_READ, OWNS_CANCEL_WRITE, OWNS_DROP_READABLE, OWNS_DROP_WRITABLE, KEEP_OWNS, HAND_OWNS},
};

// The next piece of one; or all the rest at once, as where others may not wait.
static void leave_some(uint8_t how)
{
	struct canon_instance **i = &leaving[how % LEAVING];
	if (!*i || (canon_instance_empty_some(*i, how / LEAVING % 8) && how / LEAVING / 8 < 10))
		return;
	canon_instance_free(*i);
	*i = NULL;
}

static void leave_all(void)
{
	for (uint8_t k = 0; k < LEAVING; k++)
		leave_some(UINT8_MAX - k);
}

static void end_instance(struct canon_instance *i)
{
	uint8_t how = joints_take();
	struct canon_instance **place = &leaving[how % LEAVING];
	if (how < 64 || *place)
		canon_instance_free(i);
	else
		*place = i;
}

static void free_home(struct home *p)
{
	for (uint32_t k = 0; k < n_ends;)
		if (ends[k]->home == p)
			end_forget(ends[k]);
		else
			k++;
	things_forget(p);
	end_instance(p->i);
	p->i = NULL;
	p->is_doomed = false;
}

static bool makes_two(enum endpoint op)
{
	for (unsigned k = 0; k < KINDS; k++)
		if (ops[k].make == op)
			return true;
	return false;
}

// `may_trap`: false is answered then, and its instance is no more.
static bool call(struct home *p, enum endpoint op, uint32_t a, uint32_t b, uint32_t c, bool may_trap, uint32_t *ret)
{
	struct canon_trap trap;
	uint64_t result = 0;
	enum trap t = endpoint_call(&subject, p->i, op, a, b, c, &result, &trap);
	*ret = (uint32_t)result;
	if (makes_two(op))
		ret[1] = (uint32_t)(result >> 32);
	if (t == TRAP_NONE)
		return true;
	if (!may_trap) {
		fprintf(stderr, "%s: %s\n", endpoint_rows[op].name, trap.text);
		abort();
	}
	free_home(p);
	return false;
}

uint32_t joints_must(struct home *p, enum endpoint op, uint32_t a, uint32_t b, uint32_t c)
{
	uint32_t ret[2];
	bool ok = call(p, op, a, b, c, false, ret);
	BUG_ON(!ok);
	return ret[0];
}

bool joints_may(struct home *p, enum endpoint op, uint32_t a, uint32_t *ret)
{
	uint32_t both[2];
	bool ok = call(p, op, a, 0, 0, true, both);
	*ret = both[0];
	return ok;
}

static void new_home(struct home *p)
{
	static const struct canon_limits limits = {.handles = 200, .memory_bytes = 8 << 20, .call_bytes = 1 << 20};
	struct canon_trap trap;
	struct err e = {0};
	bool ok = canon_instance_new(joints_shard, subject.l.canon, &host, &limits, NULL, &p->i, &e) &&
		canon_instance_initialize(p->i, 0, canon_component_steps(subject.l.canon), NULL, &trap);
	BUG_ON(!ok);
	p->set = joints_must(p, SET_NEW, 0, 0, 0);
}

static void store(struct home *p, uint32_t where, uint32_t what)
{
	joints_must(p, STORE, where, what, 0);
}

// ---- steps ---------------------------------------------------------------------------------------------------------------------------------------

static void make(struct home *p)
{
	enum kind kind = joints_take() % KINDS;
	uint32_t two[2];
	if (n_ends + 2 > MADE || !call(p, ops[kind].make, 0, 0, 0, false, two))
		return;
	struct pipe *pipe = pipe_new(kind);
	end_new(p, pipe, false, two[0]);
	end_new(p, pipe, true, two[1]);
}

// The first n of what a write had are its reader's; the others stay.
static void went(struct end *e, uint32_t n)
{
	for (uint32_t k = 0; k < LARGEST && e->sent[k]; k++) {
		e->sent[k]->is_sent = false;
		if (k < n)
			end_forget(e->sent[k]);
		e->sent[k] = NULL;
	}
}

// One has come, or is dropped at once.
static void arrived(struct end *e, uint32_t place, uint32_t handle)
{
	struct pipe *inner = e->pipe->inner[place % RING];
	BUG_ON(!inner || !handle);
	if (n_ends < MOST)
		end_new(e->home, inner, false, handle);
	else
		joints_must(e->home, STREAM_DROP_READABLE, handle, 0, 0);
	put_inner(e->pipe, place, NULL);
}

// So many came, or went.
static void advance(struct end *e, uint32_t n)
{
	struct pipe *p = e->pipe;
	if (e->writes) {
		p->wrote += n;
		went(e, n);
		things_went(e, n);
		return;
	}
	BUG_ON(n > e->n);
	for (uint32_t k = 0; p->kind == NEST && k < n; k++, p->got++)
		arrived(e, p->got, joints_must(e->home, LOAD, joints_buffer(e) + k * 4, 0, 0));
	for (uint32_t k = 0; kind_is_of_things(p->kind) && k < n; k++, p->got++)
		things_arrived(e, k, p->got);
	for (uint32_t k = 0; p->kind < NEST && k < n; k++, p->got++) {
		uint32_t where = joints_buffer(e) + (p->kind == TEXTS ? k * 8 + 4 : k);
		uint32_t word = joints_must(e->home, LOAD, where & ~3u, 0, 0) >> (where & 3) * 8;
		BUG_ON(p->kind == TEXTS ? word != length_at(p->got) : (uint8_t)word != byte_at(p->got));
	}
}

// What an operation came to, or an event says.
static void came(struct end *e, uint32_t code)
{
	e->busy = code == BLOCKED;
	if (e->busy)
		return;
	uint32_t result = code & 15, n = code >> 4;
	BUG_ON(result > 2);
	if (kind_is_future(e->kind)) {
		BUG_ON(n || (result == 1 && !e->writes));
		if (e->kind == HAND) {
			advance(e, result == 0);
		} else if (result == 0 && !e->writes) {
			uint32_t len = joints_must(e->home, LOAD, joints_buffer(e) + 4, 0, 0);
			BUG_ON(len != length_at(0) && !(has_error && len == 0));
		}
		e->told |= result != 2;
		return;
	}
	advance(e, n);
	e->told |= result == 1;
}

// Readable ends that are nobody's otherwise; as many as there are.
static void fill_nest(struct end *e)
{
	uint32_t n = 0, first = n_ends ? joints_take() % n_ends : 0;
	for (uint32_t k = 0; k < n_ends && n < e->n; k++) {
		struct end *inner = ends[(first + k) % n_ends];
		if (inner->home != e->home || inner->kind != BYTES || inner->writes || inner->busy || inner->told || inner->is_sent)
			continue;
		inner->is_sent = true;
		e->sent[n] = inner;
		put_inner(e->pipe, e->pipe->wrote + n, inner->pipe);
		store(e->home, joints_buffer(e) + n++ * 4, inner->handle);
	}
	e->n = n;
}

static void fill(struct end *e)
{
	uint32_t b = joints_buffer(e), from = e->pipe->wrote;
	if (e->kind == NEST) {
		fill_nest(e);
		return;
	}
	if (kind_is_of_things(e->kind)) {
		things_fill(e);
		return;
	}
	if (e->kind == BYTES) {
		for (uint32_t w = 0; w < (e->n + 3) / 4; w++) {
			uint32_t word = 0;
			for (uint32_t k = 0; k < 4; k++)
				word |= (uint32_t)byte_at(from + w * 4 + k) << k * 8;
			store(e->home, b + w * 4, word);
		}
		return;
	}
	for (uint32_t k = 0; k < (e->kind == TEXT ? 1 : e->n); k++) {
		store(e->home, b + k * 8, 64);
		store(e->home, b + k * 8 + 4, length_at(e->kind == TEXT ? 0 : from + k));
	}
}

// What it has in common with its other end, where no joint is between them.
static const struct canon__shared *shared_of(const struct end *e)
{
	const struct canon__object *o = e->home->i->async->ends;
	while (CONTAINER_OF(UNCONST(o), struct canon__end, object)->waitable.index != e->handle)
		o = o->next;
	return CONTAINER_OF(UNCONST(o), struct canon__end, object)->shared;
}

// Both ends in one instance, and elements that are no numbers: a trap (the specification's "temporary" one).
static bool is_within(const struct end *e)
{
	for (uint32_t k = 0; k < n_ends; k++)
		if (ends[k] != e && ends[k]->pipe == e->pipe && ends[k]->home == e->home && ends[k]->busy)
			return e->kind != BYTES && shared_of(e) == shared_of(ends[k]);
	return false;
}

static void copy(struct end *e)
{
	struct home *p = e->home;
	if (e->busy) {
		came(e, joints_must(p, e->writes ? ops[e->kind].cancel_write : ops[e->kind].cancel_read, e->handle, 0, 0));
		joints_must(p, JOIN, e->handle, 0, 0);
		return;
	}
	if (e->told || e->is_sent || is_within(e))
		return;
	e->n = joints_take() % (LARGEST + 1);
	if (kind_is_future(e->kind))
		e->n = 1;
	if (e->writes)
		fill(e);
	if (e->kind == HAND && !e->n)  // it has none
		return;
	came(e, joints_must(p, e->writes ? ops[e->kind].write : ops[e->kind].read, e->handle, joints_buffer(e), e->n));
	if (e->busy)
		joints_must(p, JOIN, e->handle, p->set, 0);
}

static void poll(struct home *p)
{
	if (!joints_must(p, SET_POLL, p->set, 0, 0))
		return;
	uint32_t handle = joints_must(p, LOAD, 0, 0, 0), payload = joints_must(p, LOAD, 4, 0, 0), k = 0;
	while (ends[k]->home != p || ends[k]->handle != handle)
		BUG_ON(++k == n_ends);
	BUG_ON(!ends[k]->busy);
	came(ends[k], payload);
	joints_must(p, JOIN, handle, 0, 0);
}

static void drop(struct end *e)
{
	if (e->busy || e->is_sent || (e->writes && kind_is_future(e->kind) && !e->told))
		return;
	joints_must(e->home, e->writes ? ops[e->kind].drop_writable : ops[e->kind].drop_readable, e->handle, 0, 0);
	end_forget(e);
}

// It is given to a guest, as an end of that kind.
static void give_to(struct home *to, struct pipe *pipe, enum kind kind, enum way w)
{
	uint32_t handle = number;
	bool ok;
	way = w;
	if (kind == OWNS) {
		const char *why;
		ok = link_new(giver, number, to->i, types[OWNS], w, &handle, &why) && joints_may(to, KEEP_OWNS, handle, &handle);
	} else {
		ok = joints_may(to, ops[kind].give, 0, &handle);
	}
	if (ok)
		end_new(to, pipe, false, handle)->kind = kind;
}

// To another guest, or to the host.
static void hand_on(struct end *e)
{
	struct home *p = e->home, *to = &homes[joints_take() % INSTANCES];
	struct pipe *pipe = e->pipe;
	enum kind kind = e->kind;
	bool to_host = joints_take() % 8 == 0 && kind < NEST, becomes_own = kind == HANDS && joints_take() % 4 == 0;
	if (e->writes || e->busy || e->told || e->is_sent || (!to_host && (to == p || !to->i)))
		return;
	uint32_t handle = e->handle;
	pipe->refs++;
	end_forget(e);
	taken_by_host = to_host ? end_new(NULL, pipe, false, 0) : NULL;
	giver = p->i;
	handle = joints_must(p, ops[kind].take, handle, 0, 0);
	if (kind == OWNS)
		number = handle;
	taken_by_host = NULL;
	if (!to_host)
		give_to(to, pipe, kind == OWNS ? HANDS : becomes_own ? OWNS
															 : kind,
			kind == OWNS ? OUT : becomes_own ? IN
				: kind_is_of_things(kind)    ? ON
											 : NO_OBJECT);
	pipe_unref(pipe);
}

static void from_host(struct home *p)
{
	uint32_t handle;
	if (n_ends + 2 > MADE)
		return;
	struct pipe *pipe = pipe_new(joints_take() % NEST);
	pipe->refs++;
	made_by_host = end_new(NULL, pipe, true, 0);
	if (joints_may(p, ops[pipe->kind].give, 0, &handle))
		end_new(p, pipe, false, handle);
	else
		end_forget(made_by_host);
	made_by_host = NULL;
	pipe_unref(pipe);
}

static bool is_free_to_go(const struct end *e)
{
	return !e->writes || e->kind != TEXT || canon_end_is_over(&e->host) || e->host.shared->done;
}

// The host's end of a future: its value, and the end.
static void host_future(struct end *e)
{
	if (e->writes && !e->host.is_ready && !canon_end_is_over(&e->host) && !canon_end_peer(&e->host)) {
		canon_end_resolve(&e->host);
	} else if (e->writes && joints_take() & 1 && !e->host.shared->done) {
		if (!e->host.is_ready) {
			canon__end_lose(&e->host);
			end_forget(e);
		}
	} else if (is_free_to_go(e)) {
		canon_end_drop(&e->host);
		end_forget(e);
	}
}

static void host_bytes(struct end *e, uint8_t *room, size_t len)
{
	size_t n = min_u64(len, joints_take() % (LARGEST + 1));
	for (size_t k = 0; k < n && e->writes; k++)
		room[k] = byte_at(e->pipe->wrote++);
	for (size_t k = 0; k < n && !e->writes; k++)
		BUG_ON(room[k] != byte_at(e->pipe->got++));
	if (n || !len)
		canon_end_move(&e->host, n);
}

static void host_texts(struct end *e, size_t len)
{
	size_t n = min_u64(len, joints_take() % (LARGEST + 1));
	struct wit_string texts[LARGEST];
	struct canon_trap trap;
	struct canon_task task = {.instance = e->host.instance, .trap = &trap};
	struct arena arena;
	if (!n) {
		if (!len)
			canon_end_move(&e->host, 0);
		return;
	}
	if (e->writes) {
		canon_end_offer(&e->host, n);
		return;
	}
	arena_init(&arena, 0);
	canon_trap_clear(&trap);
	e->host.arena = &arena;
	bool ok = canon_end_take_values(&e->host, &task, n, texts);
	BUG_ON(!ok);
	for (size_t k = 0; k < n; k++)
		BUG_ON(texts[k].len != length_at(e->pipe->got++));
	e->host.arena = NULL;
	arena_release(&arena);
}

// Is what it offered still to be stored?
static bool offers(const struct end *e)
{
	const struct canon_end *far = canon__end_far(&e->host);
	for (const struct canon__object *o = far->instance->async->ends; o; o = o->next) {
		const struct canon__end *p = CONTAINER_OF(UNCONST(o), struct canon__end, object);
		if (p->shared == far->shared && p->fills)
			return true;
	}
	return false;
}

static void host_step(struct end *e)
{
	uint8_t *room;
	size_t len;
	uint8_t what = joints_take() % 8;
	if (e->kind == TEXT) {
		host_future(e);
	} else if (canon_end_is_over(&e->host) || canon_end_peer(&e->host) || what == 0) {
		if (e->writes && e->kind == TEXTS && !canon_end_is_over(&e->host) && offers(e))
			return;
		canon_end_drop(&e->host);
		end_forget(e);
	} else if (!canon_end_room(&e->host, &room, &len)) {
		return;
	} else if (e->kind == BYTES) {
		host_bytes(e, room, len);
	} else {
		host_texts(e, len);
	}
}

static void step(uint8_t what)
{
	if (leaving[0] || leaving[1] || leaving[2])
		leave_some(joints_take());
	struct home *p = &homes[joints_take() % INSTANCES];
	struct end *e = n_ends ? ends[joints_take() % n_ends] : NULL;
	if (!p->i)
		new_home(p);
	if (what >= 13 && to_run) {
		struct link *l = to_run;
		leave_queue(l);
		canon_joint_run(&l->joint);
	} else if (what >= 11) {
		poll(p);
	} else if (what == 0 && joints_take() % 8 == 0) {
		free_home(p);
	} else if (what == 9) {
		things_step(p, &homes[joints_take() % INSTANCES]);
	} else if (what == 1 && joints_take() % 2 == 0) {
		from_host(p);
	} else if (what <= 2 || !e) {
		make(p);
	} else if (!e->home) {
		host_step(e);
	} else if (what <= 6) {
		copy(e);
	} else if (what <= 8) {
		hand_on(e);
	} else {
		drop(e);
	}
	for (unsigned k = 0; k < INSTANCES; k++)
		if (homes[k].is_doomed)
			free_home(&homes[k]);
}

// Streams that are in no table are those that joints have taken and not given.
static void check_transit(const struct canon_instance *i)
{
	uint32_t n = 0;
	for (const struct link *l = links; l; l = l->other)
		if (l->joint.to.instance == i && l->joint.elem == types[NEST]->elem)
			n += l->joint.n - l->joint.next;
	BUG_ON(i->async && i->async->in_transit.n != n);
}

static bool open_all(void)
{
	struct err e = {0};
	if (!vm_process_init(&e) || !vm_shard_new(&joints_shard, &e))
		return false;
	endpoints_load(&subject, ENDPOINTS_OF_HANDLES);
	types[BYTES] = subject.l.comp->plan.host_funcs[0].type->result;
	types[TEXT] = subject.l.comp->plan.host_funcs[2].type->result;
	types[TEXTS] = subject.l.comp->plan.host_funcs[5].type->result;
	types[NEST] = subject.l.comp->plan.host_funcs[7].type->result;
	types[HANDS] = subject.l.comp->plan.host_funcs[9].type->result;
	types[HAND] = subject.l.comp->plan.host_funcs[11].type->result;
	types[OWNS] = subject_func(&subject, endpoint_rows[HAND_OWNS].name)->type->result;
	host_funcs[13] = things_give;
	host_funcs[14] = things_take;
	host_funcs[15] = things_lend;
	host_funcs[16] = things_who;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!joints_shard && !open_all())
		abort();
	at = data;
	end_of_input = data + size;
	to_run = NULL;
	last_to_run = &to_run;
	has_error = joints_take() & 1;
	for (unsigned k = 0; at < end_of_input && k < STEPS; k++) {
		step(joints_take() % 16);
		for (unsigned p = 0; p < INSTANCES; p++) {
			if (!homes[p].i)
				continue;
			state_check(homes[p].i);
			check_transit(homes[p].i);
		}
	}
	for (unsigned p = 0; p < INSTANCES; p++)
		if (homes[p].i)
			free_home(&homes[p]);
	leave_all();
	BUG_ON(n_ends || n_links || n_pipes || to_run || !things_are_gone());
	return 0;
}
