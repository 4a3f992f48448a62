// Joints: a stream or future whose ends are in two instances of one thread. The host has an end in each, which stand for each other: who has come with a
// buffer in the one is found from the other (canon__end_far), also through several joints, and by ends of other owners.
//
// 1. A rendezvous as within one instance: nothing is copied before both guests wait. Bytes, and what has the same bytes on both sides, go at once, in the call
//    of whoever comes second, at most PIECE of them: the rest is the next copy's.
// 2. Values are taken from the giver on the thread's own stack, where nobody can be in the middle of either instance, and stored when the taker is told, in its
//    own call, with its realloc. They were taken then: also if the giver ends before that. What the host wrote is taken in that call, as the taker's memory: while
//    it is stored others run, and the giver may end.
// 3. Either end may go first: by its guest, or with its instance. A stream is over then. A future that nobody will write any more is lost: another value stands
//    in for its own where the type has one for that (an error), else it never comes. It is no trap: the reader may share its instance with others.
//    Handles in them are made the taker's as soon as they were taken (canon_joint_ops.pass), and closed where they are never given.
// 4. A value that is none of its type ends the giver's instance. One that is too large, or that the taker has no room for, ends the
//    stream, and its handles are still the giver's; so does one with a handle that can't pass, whose handles are closed. A future is lost.
// 5. Of several in a row the last one copies: what it has taken lies in the instance where it is read. A row has an end, CANON_JOINTS_MAX: each is looked at, and
//    on the stack, when an end of it changes.
#include "canon_async.h"

enum { PIECE = CANON_JOINT_ELEMENT_MAX, BATCH = 64, VALUE_MAX = 1 << 20 };  // VALUE_MAX: in the host's memory, with all that it points to

// What the taker is in the middle of storing.
enum { GIVES_NOTHING, GIVES_TAKEN, GIVES_WRITERS };

static bool holds_values(const struct canon_joint *j)
{
	return j->next < j->n || j->giving;
}

static bool has_handles(const struct canon_joint *j)
{
	return j->elem && j->elem->flags & WIT_HAS_HANDLE;
}

// Those that were taken and are not given yet. `closes`: the taker's instance, which has what is in them, is there; what was given is its guest's.
static void forget_values(struct canon_joint *j, bool closes)
{
	for (uint32_t k = j->next; k < j->n && closes && has_handles(j); k++)
		j->ops->close(j, j->values + (size_t)k * j->elem->size64);
	arena_release(&j->arena);
	j->n = j->next = 0;
	j->giving = GIVES_NOTHING;
}

// An end of the host that writes to it, perhaps another joint's.
static struct canon_end *writer_of(const struct canon_joint *j)
{
	return j->from.shared ? j->from.shared->host[true] : NULL;
}

// The host reads the future here: it gets the value as a guest would.
static bool host_takes(const struct canon_joint *j)
{
	const struct canon_end *reader = j->to.shared->host[false];
	return reader && j->to.shared->is_future && reader->ops->joins;
}

// ---- both guests wait ------------------------------------------------------------------------------------------------------------------------

static void copy_bytes(struct canon_end *r, struct canon_end *w, const struct canon__end *src, const struct canon__end *dst)
{
	const struct wit_type *elem = r->shared->elem;
	size_t n = canon__remain(src) < canon__remain(dst) ? canon__remain(src) : canon__remain(dst);
	if (elem) {
		n = min_u64(n, elem->size32 < PIECE ? PIECE / elem->size32 : 1);
		vm_store_touch(w->instance->store);
		memmove(dst->buffer.options->memory->base + dst->buffer.ptr, src->buffer.options->memory->base + src->buffer.ptr, n * elem->size32);
	}
	canon_end_move(r, n);
	canon_end_move(w, n);
}

// Who came second asks only whether the other is there, or the other did, or is done and was not told so yet: the rules of SharedStreamImpl.
static bool is_asking(const struct canon_joint *j, struct canon_end *r, const struct canon__end *src, const struct canon__end *dst)
{
	bool both = canon__remain(src) && canon__remain(dst), nobody = !src->buffer.length && !dst->buffer.length;
	struct canon_end *w = UNCONST(&j->to);
	if (!both)
		canon_end_move(j->writer_came && !canon__remain(dst) && !nobody ? w : canon__remain(src) ? w
																								 : r,
			0);
	return !both;
}

static void pair(struct canon_joint *j, struct canon_end *r, const struct canon__end *src, const struct canon__end *dst)
{
	const struct canon__shared *s = r->shared;
	if (!s->is_future && is_asking(j, r, src, dst))
		return;
	if (!s->is_future && (!s->elem || canon__is_plain(s->elem)))
		copy_bytes(r, &j->to, src, dst);
	else
		j->ops->post(j);
}

// ---- values ----------------------------------------------------------------------------------------------------------------------------------

// Where that is the giver's fault it can't go on. A value that there is no room for is nobody's who else is in its instance.
static void failed(struct canon_joint *j, struct canon_end *r, struct canon_task *task)
{
	const struct canon_trap *trap = task->trap;
	bool is_full = trap->trap == TRAP_OUT_OF_MEMORY, has_memory = !j->to.instance->head.pool.over && !r->instance->head.pool.over;
	forget_values(j, true);
	if (is_full)
		j->why_lost = "the value of this future was too large to come over a link, or there was no memory for it (--memory)";
	j->has_failed = true;
	if (!is_full)
		canon__end(r->instance, task, trap->trap);
	j->ops->failed(j, is_full ? NULL : r->instance, is_full && has_memory ? "a value of it is larger than 1 MiB, which is the most over a link" : trap->text);
	canon_end_drop(&j->from);
}

static struct canon_joint *joint_of(struct canon_end *e)
{
	return e->writes ? CONTAINER_OF(e, struct canon_joint, to) : CONTAINER_OF(e, struct canon_joint, from);
}

// From the instance that wrote it, through each on its way.
static bool pass(struct canon_joint *j, void *native, const char **ret_why)
{
	struct canon_end *writer = writer_of(j);
	return (!writer || !writer->twin || pass(joint_of(writer), native, ret_why)) && j->ops->pass(j, native, ret_why);
}

// Of a future: what becomes of those that its value came through is nothing to it any more.
static void go_on(const struct canon_joint *j)
{
	for (struct canon_end *w = writer_of(j); w && w->twin; w = writer_of(joint_of(w)))
		joint_of(w)->passed = true;
}

// How many are taken at once.
static uint32_t batch_of(const struct canon_joint *j)
{
	return j->elem && j->elem->size64 > PIECE / BATCH ? 1 : BATCH;
}

// At most so many, and not many more than PIECE bytes of them. Those before one that there is no room for pass: it is the first next time, alone, with
// all of its handles. *ret_why: one could not be passed, and is gone; NULL.
static bool take(struct canon_joint *j, struct canon_task *task, uint32_t n, const char **ret_why)
{
	size_t size = j->elem ? j->elem->size64 : 0;
	*ret_why = NULL;
	j->values = arena_zalloc(&j->arena, n * size + 8, 8);
	if (!j->values) {
		canon__report(task, TRAP_OUT_OF_MEMORY, "no memory for the values of a stream or future in the component that reads it");
		return false;
	}
	for (; j->n < n && (!j->n || j->arena.used < PIECE); j->n++) {
		uint8_t *value = j->values + j->n * size;
		if (!canon_end_take_values(&j->from, task, 1, value))
			return j->n && task->trap->trap == TRAP_OUT_OF_MEMORY;
		go_on(j);
		if (has_handles(j) && !pass(j, value, ret_why))
			break;
	}
	return true;
}

// What was taken is there for the taker. Behind one that could not be passed nothing comes.
static void offer(struct canon_joint *j, const char *why)
{
	if (j->n && j->to.shared->is_future)
		canon_end_resolve(&j->to);
	else if (j->n)
		canon_end_offer(&j->to, j->n);
	if (!why)
		return;
	j->why_lost = why;
	j->has_failed = true;
	j->ops->failed(j, NULL, why);
	canon_end_drop(&j->from);
}

static void run(struct canon_joint *j)
{
	struct canon_end *r = canon__end_far(&j->from);
	const struct canon__end *src = canon__end_waiting(r), *dst = canon__end_waiting(&j->to);
	struct canon_instance *i = j->to.instance;
	struct canon_trap trap;
	struct canon_task task = {.instance = r->instance, .trap = &trap};
	bool takes = host_takes(j);
	if (!src || !canon__remain(src) || (!takes && (!dst || !canon__remain(dst))) || holds_values(j))
		return;
	uint32_t most = takes ? 1 : (uint32_t)min_u64(min_u64(canon__remain(src), canon__remain(dst)), batch_of(j));
	const char *why;
	canon_trap_clear(&trap);
	forget_values(j, true);
	arena_init_pool(&j->arena, min_u64(i->limits.call_bytes ? i->limits.call_bytes : VALUE_MAX, VALUE_MAX), &i->head.pool);
	if (take(j, &task, most, &why))
		offer(j, why);
	else
		failed(j, r, &task);
}

// ---- whoever has come ------------------------------------------------------------------------------------------------------------------------

static void meet(struct canon_joint *j)
{
	struct canon_end *r = canon__end_far(&j->from), *writer = r->shared->host[true], *reader = j->to.shared->host[false];
	const struct canon__end *src = canon__end_waiting(r), *dst = canon__end_waiting(&j->to);
	bool takes = host_takes(j);
	if (reader && !takes && (src || reader->twin))
		reader->ops->changed(reader);
	else if (src && (dst || takes))
		pair(j, r, src, dst);
	else if (writer && writer->is_ready && r->shared->is_future && !j->to.is_ready)
		canon_end_resolve(&j->to);
	else if (writer && dst)
		writer->ops->changed(writer);
}

static bool is_over(const struct canon_end *e)
{
	return !e->shared || e->shared->dropped || (e->shared->is_future && (e->shared->done || e->shared->lost));
}

static const char *why_lost(const struct canon_joint *j)
{
	return j->why_lost ? j->why_lost : "the component that was to write this future has ended";
}

// Nobody will write the future any more.
static void lose(struct canon_joint *j)
{
	const struct wit_type *elem = j->to.shared->elem;
	canon__end_take_back(&j->to);
	j->lost = elem && j->ops->stands_in && j->ops->stands_in(j, elem, why_lost(j), NULL);
	if (j->lost) {
		canon_end_resolve(&j->to);
		return;
	}
	if (!j->has_failed)
		j->ops->failed(j, NULL, why_lost(j));
	canon__end_lose(&j->to);
}

// Ends that are of no use any more.
static void part(struct canon_joint *j)
{
	struct canon_end *to = &j->to;
	if (to->shared && to->shared->is_future && to->shared->done)
		canon_end_drop(to);
	if (to->shared && to->shared->dropped)
		canon_end_drop(to);
	if (!to->shared && j->from.shared)
		canon_end_drop(&j->from);
	if (!to->shared || !is_over(&j->from) || holds_values(j))
		return;
	bool is_future = to->shared->is_future;
	if (j->from.shared)
		canon_end_drop(&j->from);
	if (!is_future)
		canon_end_drop(to);
	else if (!j->lost && !j->passed)
		lose(j);
}

static void go(struct canon_joint *j)
{
	j->again = true;
	if (j->busy)
		return;
	j->busy = true;
	while (j->again) {
		j->again = false;
		if (j->from.shared && j->to.shared && !is_over(&j->from) && !is_over(&j->to) && !holds_values(j))
			meet(j);
		part(j);
	}
	j->busy = false;
	if (j->from.shared || j->to.shared)
		return;
	forget_values(j, true);
	j->ops->over(j);
}

void canon_joint_run(struct canon_joint *j)
{
	j->busy = true;
	if (j->from.shared && j->to.shared)
		run(j);
	j->busy = false;
	go(j);
}

// ---- its ends --------------------------------------------------------------------------------------------------------------------------------

// The taker has stored it: who wrote it may forget it.
static void was_stored(struct canon_joint *j)
{
	struct canon_end *writer = j->giving == GIVES_WRITERS ? writer_of(j) : NULL;
	bool busy = j->busy;
	j->giving = GIVES_NOTHING;
	j->passed = true;
	if (!writer || (!writer->twin && !writer->shared->is_future))
		return;
	writer->shared->done |= !writer->twin;
	j->busy = true;  // it stays meanwhile
	writer->ops->changed(writer);
	j->busy = busy;
}

static void changed(struct canon_end *e)
{
	struct canon_joint *j = joint_of(e);
	if (e->writes && j->giving)
		was_stored(j);
	j->writer_came = !e->writes;
	go(j);
}

// Of an end of the host that is no joint's, its parts are copied in the same moment: the giver's end takes what they lie in.
static bool value_of_writer(struct canon_end *writer, const struct wit_type *elem, struct canon_task *t, void *native)
{
	if (writer->ops->value && !writer->ops->value(writer, t, native))
		return false;
	if (writer->twin || !elem || canon_value_copy_parts(elem, native, &t->arena, NULL) == TRAP_NONE)
		return true;
	canon_task_trap(t, "no memory for a value of a stream or future");
	return false;
}

// The next value, of this joint or of who writes to it.
static bool value(struct canon_end *e, struct canon_task *t, void *native)
{
	struct canon_joint *j = joint_of(e);
	const struct wit_type *elem = e->shared->elem;
	struct canon_end *writer = writer_of(j);
	if (j->next < j->n) {
		if (elem)
			memcpy(native, j->values + (size_t)j->next * elem->size64, elem->size64);
		j->next++;
		j->giving = GIVES_TAKEN;
	} else if (writer) {
		if (!value_of_writer(writer, elem, t, native))
			return false;
		j->giving = GIVES_WRITERS;
	} else {
		BUG_ON(!j->lost);
		return j->ops->stands_in(j, elem, why_lost(j), native);
	}
	return true;
}

static void gone(struct canon_end *e)
{
	struct canon_joint *j = joint_of(e);
	if (e->writes)
		forget_values(j, false);  // they are in the memory that goes, and what is in them with it
	go(j);
}

// Of those that the value comes through to this one.
static uint32_t depth_of(const struct canon_joint *j)
{
	struct canon_end *writer = writer_of(j);
	return writer && writer->twin ? joint_of(writer)->depth + 1 : 1;
}

static bool make_end(struct canon_joint *j, const struct canon_end_ops *ops, struct canon_instance *to, const struct wit_type *type, uint32_t *ret,
	const char **ret_why)
{
	if (j->depth > CANON_JOINTS_MAX)
		*ret_why = "it comes over 32 links in a row already, which is the most";
	else if (type->elem && type->elem->size64 > PIECE)
		*ret_why = "its elements are larger than 256 KiB each, which is the most over a link";
	else if (!canon_end_new(to, type, ops, &j->to, ret))
		*ret_why = canon__handles_full(to, to->limits.handles);
	else
		return true;
	return false;
}
_Static_assert(CANON_JOINTS_MAX == 32, "the text says so");

bool canon_joint_new(struct canon_joint *j, const struct canon_joint_ops *ops, struct canon_instance *from, uint32_t number, struct canon_instance *to,
	const struct wit_type *type, uint32_t *ret, const char **ret_why)
{
	static const struct canon_end_ops end_ops = {.changed = changed, .value = value, .gone = gone, .waits = true};
	*j = (struct canon_joint){.ops = ops, .elem = type->elem};
	*ret_why = "it is none";
	if (!canon_end_take(from, number, &end_ops, &j->from))
		return false;
	j->from.arena = &j->arena;
	j->from.twin = &j->to;
	j->depth = depth_of(j);
	if (!make_end(j, &end_ops, to, type, ret, ret_why)) {
		canon_end_drop(&j->from);
		return false;
	}
	j->to.twin = &j->from;
	go(j);
	return true;
}
