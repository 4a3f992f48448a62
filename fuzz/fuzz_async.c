// Random programs of tasks, subtasks, streams, futures, waitable sets, threads and cancellations: a component that is made of the first bytes (async_guest.c),
// run by the others: which call begins or goes on, what each task does next, when the host answers, moves bytes, cancels and kills. Whatever it is: tables,
// lists and counts agree at each step; bytes of a stream follow each other; each call ends once; and when all have ended, and the guests have dropped what they
// had, nothing is left: no handle, no task, no fiber, no block. A program in a slot runs a second time after the reset, and does the same.
// PROGRAM(fuzz_async, "canon tier cmocka", "async_guest.c")
#include "../tests/canon/async_state.h"
#include "../tests/canon/subject.h"
#include "async_guest.h"

enum { MOST = 12, MOST_ROOTS = MOST + 3 * GUEST_INSTANCES, MOST_ENDS = 64, MOST_WAITS = 64, MOST_STEPS = 20000, SHAPES = 64, HANDLES = 300 };
enum { SPIN_NS = 1000000 };

struct state;
struct root {
	struct canon_task task;
	struct vm_fiber *fiber;
	struct state *st;
	const struct comp_export_func *func;
	struct canon_trap trap;
	uint64_t result[2];
	bool woken, done, ok, is_killed, whole;
};
struct end {
	struct canon_end end;
	struct state *st;
	bool is_used, is_future;
	uint8_t next;  // byte that is written
};
struct wait {
	struct canon_task *task;  // that is parked in a host function
	struct root *root;
};
struct component {
	bool is_made;
	struct subject subject;
	struct canon_image *image;
	const struct comp_export_func *funcs[GUEST_INSTANCES][7];
	const struct wit_type *stream, *future;
};
struct state {
	const uint8_t *at, *end;
	struct component *c;
	struct canon_instance *i;
	struct root *roots[MOST_ROOTS];
	uint32_t n_roots, n_waits, steps, parks;
	struct wait waits[MOST_WAITS];
	struct end ends[MOST_ENDS];
	bool is_over, is_wild;  // no more steps are given; a guest did what it may not
	uint64_t hash;          // of what was done
	bool is_timed;          // a clock had a say
};

static struct vm_shard *s;
static struct state *now;  // the program that runs
static struct component components[SHAPES];

static uint8_t take(struct state *st)
{
	return st->at < st->end ? *st->at++ : 0;
}

static void note(struct state *st, uint64_t what)
{
	st->hash = (st->hash ^ what) * 1099511628211u;
}

// ---- the host -------------------------------------------------------------------------------------------------------

static struct root *root_of(struct canon_task *t)
{
	return CONTAINER_OF(canon_task_root(t), struct root, task);
}

// Waits so many times. false: the call is over.
static bool parks(struct state *st, struct canon_task *t, unsigned times)
{
	for (; times && st->n_waits < MOST_WAITS; times--) {
		st->waits[st->n_waits++] = (struct wait){t, root_of(t)};
		bool ends = vm_fiber_park(s) == VM_KILLED;
		for (uint32_t k = 0; k < st->n_waits; k++)
			if (st->waits[k].task == t)
				st->waits[k--] = st->waits[--st->n_waits];
		if (ends || (t->root && canon_task_is_cancelled(t)))
			return false;
		BUG_ON(vm_shard_exec(s)->task != t);
	}
	return true;
}

static enum trap ended(void)
{
	enum trap t = vm_fiber_kill_reason(vm_fiber_current(s));
	return t == TRAP_NONE ? TRAP_KILLED : t;
}

static enum trap next(struct canon_task *t, struct canon_instance *i, void *data UNUSED, const void *args UNUSED, void *ret)
{
	struct state *st = now;
	uint32_t *step = ret;
	if (++st->steps % 8 == 0)
		state_check(i);
	if (st->steps > MOST_STEPS || st->at >= st->end)
		st->is_over = true;
	*step = (uint32_t)GUEST_ENDS << 24;
	if (st->is_over)
		return TRAP_NONE;
	uint8_t op = take(st), a = take(st), b = take(st);
	bool is_sync = !t->scope->of || !t->scope->of->lift;
	note(st, op | a << 8 | b << 16 | t->scope->component << 24);
	if (op >= 0xd0) {
		static const uint8_t kinds[] = {GUEST_ENDS, GUEST_ENDS_YIELDING, GUEST_ENDS_WAITING, GUEST_ENDS_WAITING};
		*step = (uint32_t)kinds[op & 3] << 24 | a << 8 | (op >> 2 & 1);
		return TRAP_NONE;
	}
	uint32_t what = op % GUEST_N_OPS;
	// What is likely to be the end of all is rare.
	bool is_end = what == GUEST_TRAP || what == GUEST_RAW || what == GUEST_SPIN || (is_sync && guest_op_blocks(what));
	if ((is_end && b % 64 != 63) || ((what == GUEST_SUSPEND || what == GUEST_SUSPEND_PROMOTE || what == GUEST_HOLD) && b % 4))
		what = GUEST_NOP;
	if (what == GUEST_SPIN) {
		struct vm_fiber *f = root_of(t)->fiber;
		st->is_timed = true;
		vm_fiber_set_budget(f, (struct vm_budget){vm_fiber_cpu_ns(f) + SPIN_NS, UINT64_MAX});
	}
	st->is_wild |= what == GUEST_RAW;
	*step = what | a << 8 | b << 16;
	return TRAP_NONE;
}

static enum trap bad(struct canon_task *t UNUSED, struct canon_instance *i UNUSED, void *data UNUSED, const void *args, void *ret UNUSED)
{
	if (!now->is_wild) {
		fprintf(stderr, "a guest saw what must not be: %u\n", *(const uint32_t *)args);
		abort();
	}
	return TRAP_NONE;
}

static enum trap number(struct canon_task *t, struct canon_instance *i UNUSED, void *data UNUSED, const void *args, void *ret)
{
	uint32_t x = *(const uint32_t *)args;
	*(uint32_t *)ret = x + 1;
	return parks(now, t, take(now) % 3) ? TRAP_NONE : ended();
}

static enum trap text(struct canon_task *t, struct canon_instance *i UNUSED, void *data UNUSED, const void *args, void *ret)
{
	struct wit_string x = *(const struct wit_string *)args, *r = ret;
	if (!parks(now, t, take(now) % 3))
		return ended();
	uint8_t *copy = arena_alloc(&t->arena, x.len + 1, 1);
	if (!copy)
		return canon_task_trap(t, "no memory");
	if (x.len)
		memcpy(copy, x.ptr, x.len);
	*r = (struct wit_string){copy, x.len};
	return TRAP_NONE;
}

// ---- ends of the host ----

static void move(struct end *e, uint32_t most)
{
	uint8_t *room;
	size_t n;
	if (e->is_future || canon_end_peer(&e->end) || !canon_end_room(&e->end, &room, &n))
		return;
	n = min_u64(n, most);
	for (size_t k = 0; k < n; k++) {
		if (e->end.writes)
			room[k] = e->next++;
		else
			BUG_ON(k && !now->is_wild && (uint8_t)(room[k - 1] + 1) != room[k]);
	}
	canon_end_move(&e->end, n);
}

static void changed(struct canon_end *e)
{
	struct end *x = CONTAINER_OF(e, struct end, end);
	if (x->next & 1)  // at once; others when the program says so
		move(x, 5);
}

static bool value(struct canon_end *e, struct canon_task *t UNUSED, void *native)
{
	if (e->writes)
		*(uint32_t *)native = 42;
	return true;
}

static void gone(struct canon_end *e)
{
	CONTAINER_OF(e, struct end, end)->is_used = false;
}
static const struct canon_end_ops ops = {.changed = changed, .value = value, .gone = gone};

static struct end *end_new(struct state *st, bool is_future)
{
	for (uint32_t k = 0; k < MOST_ENDS; k++)
		if (!st->ends[k].is_used) {
			st->ends[k] = (struct end){.st = st, .is_used = true, .is_future = is_future, .next = take(st)};
			return &st->ends[k];
		}
	return NULL;
}

// Of which the guest is to have the readable end. 0: no more.
static uint32_t give(struct state *st, bool is_future)
{
	struct end *e = end_new(st, is_future);
	uint32_t n = 0;
	if (!e || canon_end_new(st->i, is_future ? st->c->future : st->c->stream, &ops, &e->end, &n))
		return n;
	e->is_used = false;
	return 0;
}

static void accept(struct state *st, uint32_t n, bool is_future)
{
	struct end *e = end_new(st, is_future);
	if (!e)
		canon_end_drop_number(st->i, n);
	else
		BUG_ON(!canon_end_take(st->i, n, &ops, &e->end));
}

static void let_go(struct end *e)
{
	if (e->is_future && e->end.writes && !e->end.is_ready) {
		canon_end_resolve(&e->end);
		return;
	}
	if (e->is_future && e->end.writes && !e->end.shared->done && !canon_end_is_over(&e->end))
		return;  // not yet read
	canon_end_drop(&e->end);
	e->is_used = false;
}

static enum trap streams(struct canon_task *t, struct canon_instance *i UNUSED, void *data UNUSED, const void *args, void *ret)
{
	struct state *st = now;
	const uint32_t *numbers = args;
	accept(st, numbers[0], false);
	accept(st, numbers[1], true);
	if (!parks(st, t, take(st) % 3))
		return ended();
	uint32_t n = give(st, false);
	*(uint32_t *)ret = n;
	return n ? TRAP_NONE : canon_task_trap(t, "no more streams");
}

static void wake(struct canon_task *t)
{
	CONTAINER_OF(t, struct root, task)->woken = true;
}
static const struct canon_host_func host_funcs[] = {
	{.fn = next, .flags = CANON_HOST_CUTS}, {.fn = bad}, {.fn = number}, {.fn = streams}, {.fn = text}, {.fn = number}};
static const struct canon_host host = {.funcs = host_funcs, .n_funcs = ARRAY_LEN(host_funcs), .wake = wake};

// ---- calls ----------------------------------------------------------------------------------------------------------

static void run(void *arg)
{
	struct root *r = arg;
	struct state *st = r->st;
	struct wit_string in = {(const uint8_t *)"hello", 5}, out = {0};
	uint32_t args[2] = {1, 0};
	struct arena arena;
	arena_init(&arena, 0);
	const struct wit_func_type *type = r->func->type;
	bool is_text = type->result && type->result->kind == WIT_STRING, streams = type->result && type->result->kind == WIT_STREAM;
	if (streams) {
		args[0] = give(st, false);
		args[1] = args[0] ? give(st, true) : 0;
		if (!args[1]) {
			r->done = r->ok = true;
			canon_end_drop_number(st->i, args[0]);
			return;
		}
	}
	void *a = is_text ? (void *)&in : args, *ret = is_text ? (void *)&out : r->result;
	r->ok = r->whole ? canon_call_export_whole(st->i, r->func, &r->task, a, ret, &arena, NULL, &r->trap)
					 : canon_call_export(st->i, r->func, &r->task, a, ret, &arena, &r->trap);
	if (r->ok && streams)
		accept(st, (uint32_t)r->result[0], false);
	BUG_ON(r->ok && is_text && out.len != 5 && out.len != 15);  // 'a' × 5, or what that is in UTF-16
	arena_release(&arena);
	r->done = true;
}

static void resume(struct state *st, uint32_t k, enum vm_wake how)
{
	struct root *r = st->roots[k];
	enum vm_fiber_state state;
	r->woken = false;
	while ((state = vm_fiber_resume(r->fiber, how)) == VM_FIBER_PREEMPTED)
		st->is_timed = true;
	if (state != VM_FIBER_DONE)
		return;
	BUG_ON(!r->done || (!r->ok && (r->trap.trap == TRAP_NONE || !r->trap.text[0])));
	BUG_ON(!r->ok && !st->i->dead);
	note(st, (uint64_t)r->trap.trap << 32 | r->ok);
	for (uint32_t w = 0; w < st->n_waits; w++)
		if (st->waits[w].root == r) {  // what it left behind goes on with whoever comes
			if (r->ok && st->waits[w].task->root)
				st->waits[w].root = NULL;
			else
				st->waits[w--] = st->waits[--st->n_waits];
		}
	vm_fiber_free(r->fiber);
	mem_free(r);
	st->roots[k] = st->roots[--st->n_roots];
}

static void begin(struct state *st, const struct comp_export_func *f, bool whole)
{
	if (st->n_roots == MOST_ROOTS || st->i->dead)
		return;
	struct root *r = mem_zalloc(sizeof *r);
	r->st = st;
	r->func = f;
	r->whole = whole;
	r->fiber = vm_fiber_new(s, run, r);
	BUG_ON(!r->fiber);
	st->roots[st->n_roots++] = r;
	resume(st, st->n_roots - 1, VM_RESUMED);
}

// A host function that waits goes on.
static void answer(struct state *st, uint32_t k)
{
	struct canon_task *t = st->waits[k].task;
	if (!t->root)
		st->waits[k].root->woken = true;
	else
		canon_task_wake(t);
}

static bool go_on(struct state *st, uint32_t from)
{
	for (uint32_t k = 0; k < st->n_roots; k++) {
		uint32_t n = (from + k) % st->n_roots;
		if (!st->roots[n]->woken)
			continue;
		resume(st, n, VM_RESUMED);
		return true;
	}
	return false;
}

static void kill(struct state *st, uint32_t k)
{
	vm_fiber_kill(st->roots[k]->fiber, TRAP_DEADLINE);
	resume(st, k, VM_KILLED);
}

static void step(struct state *st)
{
	uint8_t what = take(st), how = take(st);
	note(st, what);
	switch (what % 8) {
	case 0:
	case 1:
		if (st->n_roots < MOST)
			begin(st, st->c->funcs[how % GUEST_INSTANCES][how / 4 % 4], how & 128);
		break;
	case 2:
	case 3:
		if (st->n_roots)
			go_on(st, how % st->n_roots);
		break;
	case 4:
	case 5:
		if (st->n_waits)
			answer(st, how % st->n_waits);
		break;
	case 6: {
		struct end *e = &st->ends[how % 16];
		if (!e->is_used || st->i->dead)
			break;
		if (how & 0x40)
			let_go(e);
		else
			move(e, how);
		break;
	}
	case 7:
		if (how < 3 && st->n_roots)
			kill(st, how % st->n_roots);
		break;
	}
}

// ---- the end --------------------------------------------------------------------------------------------------------

// All goes on as far as it can.
static void settle(struct state *st)
{
	for (uint32_t round = 0; round < 1000; round++) {
		bool moves = false;
		while (go_on(st, 0))
			moves = true;
		for (uint32_t k = 0; k < st->n_waits; k++, moves = true)
			answer(st, k);
		for (uint32_t k = 0; k < MOST_ENDS && !st->i->dead; k++)
			if (st->ends[k].is_used)
				let_go(&st->ends[k]);
		if (!moves && !go_on(st, 0))
			return;
	}
}

// Nothing is under way, and guests did what they may: else some may wait for what will not come, and hold what others would drop.
static bool is_quiet(const struct state *st)
{
	return !st->i->dead && !st->is_wild && !st->n_roots && !(st->i->async && st->i->async->n_threads);
}

static void wind_down(struct state *st)
{
	st->is_over = true;
	settle(st);
	for (unsigned f = 4; f < 7; f++)
		for (unsigned k = 0; k < GUEST_INSTANCES && (f == 4 || is_quiet(st)); k++) {
			begin(st, st->c->funcs[k][f], true);
			settle(st);
		}
	while (st->n_roots) {
		kill(st, 0);
		for (uint32_t k = 0; k < st->n_roots; k++)
			resume(st, k--, VM_RESUMED);
	}
	settle(st);
}

static uint64_t blocks_of_tables(const struct canon_instance *i)
{
	return canon_instance_pool(UNCONST(i))->blocks - state_tables(i);
}

static void one(struct state *st, const uint8_t *data, size_t size)
{
	struct canon_instance *i = st->i;
	*st = (struct state){.at = data, .end = data + size, .c = st->c, .i = i};
	now = st;
	uint64_t blocks = blocks_of_tables(i);
	while (st->at < st->end)
		step(st);
	state_check(i);
	wind_down(st);
	state_check(i);
	if (!is_quiet(st))
		return;
	state_check_empty(i);
	BUG_ON(blocks_of_tables(i) != blocks);
}

// There are few, since each takes longer to compile than a program takes to run.
static struct component *component(uint32_t shape)
{
	struct component *c = &components[shape];
	if (c->is_made)
		return c;
	c->is_made = true;
	uint8_t key[16];
	uint64_t random = shape * 0x9e3779b97f4a7c15u + 1;
	for (size_t k = 0; k < sizeof key; k++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		key[k] = (uint8_t)(random >> 56);
	}
	struct bytes in = {key, key + sizeof key};
	struct buf out = {0};
	struct err e = {0};
	struct canon_trap trap;
	struct canon_limits limits;
	canon_limits_default(&limits);
	limits.handles = HANDLES;
	generate_async_component(&in, &out);
	bool ok = subject_try(&c->subject, (const char *)out.ptr, &e) &&
		canon_image_new(s, c->subject.l.canon, &host, &limits, CANON_INIT_ONCE, NULL, NULL, &c->image, &trap, &e);
	if (!ok) {
		fprintf(stderr, "not valid: %s at 0x%llx (%s)\n", e.text, (unsigned long long)e.offset, e.where);
		abort();
	}
	buf_release(&out);
	for (unsigned k = 0; k < GUEST_INSTANCES; k++)
		for (unsigned f = 0; f < 7; f++) {
			char name[3] = {"astyrcd"[f], (char)('0' + k), 0};
			c->funcs[k][f] = subject_func(&c->subject, name);
		}
	c->stream = c->funcs[0][1]->type->result;
	c->future = c->funcs[0][1]->type->params.fields[1].type;
	return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct state st;
	uint8_t first = size ? data[0] : 0;
	struct err e = {0};
	if (!s && (!vm_process_init(&e) || !vm_shard_new(&s, &e)))
		abort();
	data += size > 0;
	size -= size > 0;
	st.c = component(first % SHAPES);
	bool ok = canon_slot_new(s, st.c->image, NULL, &st.i, &e) && canon_slot_is_ready(st.i);
	BUG_ON(!ok);
	if (first / SHAPES)  // else a call that nobody can wake is a deadlock
		canon_slot_share(st.i);
	one(&st, data, size);
	if (is_quiet(&st)) {
		uint64_t hash = st.hash;
		bool was_timed = st.is_timed;
		BUG_ON(!canon_slot_reset(st.i));
		one(&st, data, size);
		BUG_ON(!was_timed && !st.is_timed && hash != st.hash);
	}
	canon_instance_free(st.i);
	for (uint32_t k = 0; k < MOST_ENDS; k++)
		BUG_ON(st.ends[k].is_used);
	return 0;
}
