// Random schedules of tasks in one instance: begun, parked in a host function, resumed in any order, killed, ended by the trap of another; handles that are
// made, dropped and leaked; resets between. The input is the schedule. Whatever it is: a task ends once, one whose instance was lost says so, what is left
// of a slot equals its image.
// PROGRAM(fuzz_tasks, "canon tier cmocka", "")
#include "../tests/canon/subject.h"

enum { MOST = 24 };

static struct subject subject;
static struct vm_shard *s;
static struct canon_image *image;
static bool starting;

struct one {
	struct canon_task task;
	struct vm_fiber *fiber;
	struct subject_call call;
	uint8_t parks;  // that are left
	bool done;
};
struct state {
	const uint8_t *at, *end;
	struct canon_instance *i;
	struct one *ones[MOST];
	uint32_t n;
	bool lost;  // the instance is dead
};

static uint8_t take(struct state *st)
{
	return st->at < st->end ? *st->at++ : 0;
}

static enum trap h(struct canon_task *t, struct canon_instance *i, void *data, const void *args, void *ret)
{
	(void)data;
	(void)args;
	memset(ret, 0, 4);
	if (starting)
		return TRAP_NONE;
	struct one *o = CONTAINER_OF(t, struct one, task);
	struct abi_exec *exec = vm_shard_exec(s);
	uint64_t mine = (uintptr_t)o;
	for (; o->parks; o->parks--) {
		exec->context[0] = mine;
		if (vm_fiber_park(s) == VM_KILLED)
			return vm_fiber_kill_reason(o->fiber);
		BUG_ON(exec->task != t || exec->context[0] != mine || t->instance != i);
	}
	return TRAP_NONE;
}
static const struct canon_host_func host_funcs[] = {{.fn = h}};
static const struct canon_host host = {.funcs = host_funcs, .n_funcs = 1};

static void run(void *arg)
{
	struct one *o = arg;
	const struct comp_export_func *f = subject_func(&subject, o->call.name);
	struct wit_string in = {(const uint8_t *)"hello", 5}, out = {0};
	struct arena arena;
	bool echo = strcmp(o->call.name, "echo") == 0;
	arena_init(&arena, 0);
	o->call.ok = canon_call_export(o->call.i, f, &o->task, echo ? (void *)&in : o->call.args, echo ? (void *)&out : &o->call.result, &arena, &o->call.trap);
	BUG_ON(o->call.ok && echo && (out.len != 5 || memcmp(out.ptr, "hello", 5) != 0));
	arena_release(&arena);
	o->done = true;
}

static void new_slot(struct state *st)
{
	struct canon_trap trap;
	struct err e = {0};
	bool ok = canon_slot_new(s, image, NULL, &st->i, &e);
	BUG_ON(!ok);
	starting = true;
	ok = canon_slot_is_ready(st->i) || canon_slot_start(st->i, NULL, &trap);
	starting = false;
	BUG_ON(!ok);
	st->lost = false;
}

static void ended(struct state *st, uint32_t k)
{
	struct one *o = st->ones[k];
	BUG_ON(!o->done || (!o->call.ok && (o->call.trap.trap == TRAP_NONE || !o->call.trap.text[0])));
	BUG_ON(!o->call.ok && !canon_instance_is_dead(st->i));
	st->lost |= !o->call.ok;
	BUG_ON(st->lost && o->call.ok && o->task.instance);
	vm_fiber_free(o->fiber);
	mem_free(o);
	st->ones[k] = st->ones[--st->n];
}

static void turn(struct state *st, uint32_t k, enum vm_wake how)
{
	if (vm_fiber_resume(st->ones[k]->fiber, how) == VM_FIBER_DONE)
		ended(st, k);
}

static void begin(struct state *st)
{
	static const char *const names[] = {"go", "echo", "drop-one", "make", "leak", "dirty", "tail"};
	if (st->n == MOST)
		return;
	struct one *o = mem_zalloc(sizeof *o);
	o->call = (struct subject_call){.i = st->i, .name = names[take(st) % ARRAY_LEN(names)]};
	o->call.args[0] = 1 + take(st) % 16;
	o->parks = take(st) % 4;
	o->fiber = vm_fiber_new(s, run, o);
	BUG_ON(!o->fiber);
	st->ones[st->n++] = o;
	turn(st, st->n - 1, VM_RESUMED);
}

static void end_all(struct state *st)
{
	while (st->n) {
		uint32_t k = take(st) % st->n;
		st->ones[k]->parks = st->ones[k]->parks ? 1 : 0;
		turn(st, k, VM_RESUMED);
	}
}

// What is to be done at a place: nothing, a trap, a call of the host (which parks), growing.
static void set(struct state *st)
{
	static const uint8_t actions[] = {DO_NOTHING, DO_CALL_HOST, DO_CALL_HOST, DO_CALL_HOST, DO_UNREACHABLE, DO_GROW};
	uint32_t place = AT_GO + take(st) % (PLACES - AT_GO), action = actions[take(st) % ARRAY_LEN(actions)];
	if (!st->lost)
		subject_call(&subject, st->i, "set", place, action, NULL);
}

static void renew(struct state *st)
{
	end_all(st);
	BUG_ON(canon_slot_reset(st->i) == st->lost);
	if (st->lost) {
		canon_instance_free(st->i);
		new_slot(st);
	}
}

static bool open_all(void)
{
	struct err e = {0};
	struct canon_trap trap;
	starting = true;
	bool ok = vm_process_init(&e) && vm_shard_new(&s, &e) && subject_try(&subject, SUBJECT, &e) &&
		canon_image_new(s, subject.l.canon, &host, NULL, CANON_INIT_ONCE, NULL, NULL, &image, &trap, &e);
	starting = false;
	return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!s && !open_all())
		abort();
	struct state st = {.at = data, .end = data + size};
	new_slot(&st);
	while (st.at < st.end)
		switch (take(&st) % 8) {
		case 0:
		case 1:
			begin(&st);
			break;
		case 2:
		case 3:
		case 4:
			if (st.n)
				turn(&st, take(&st) % st.n, VM_RESUMED);
			break;
		case 5:
			if (st.n) {
				uint32_t k = take(&st) % st.n;
				vm_fiber_kill(st.ones[k]->fiber, TRAP_DEADLINE);
				turn(&st, k, VM_KILLED);
			}
			break;
		case 6:
			set(&st);
			break;
		case 7:
			renew(&st);
			break;
		}
	renew(&st);
	canon_instance_free(st.i);
	return 0;
}
