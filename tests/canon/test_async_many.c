// Each kind of operation again and again, in one instance: what is alive, and the bytes that are charged, are after the last what they were after the first
// thousand. ASYNC_OPERATIONS=1000000 for longer. The guest is the fuzzer's (fuzz/async_guest.c): the host says each of its steps.
// PROGRAM(test_async_many, "canon tier cmocka", "../../fuzz/async_guest.c")
#include "../../fuzz/async_guest.h"
#include "async_state.h"
#include "subject.h"

#include <stdio.h>

enum { WARM = 1000, CALLER = 1, MOST = 8 };
enum way { SYNC, CALLBACK, STACKFUL, WAYS };

struct step {
	enum guest_op op;
	uint8_t a, b;
};
#define END_OF_STEPS {GUEST_N_OPS, 0, 0}
#define READABLE 0
#define WRITABLE 1
#define F_READABLE 2
#define F_WRITABLE 3
#define SUBTASK 5
// b of a call: p is instance 0, q the host.
#define GUEST 0
#define HOST 1
static const struct kind {
	const char *name;
	unsigned ops;  // that count, a round
	struct step before[MOST], round[MOST], callee[MOST], thread[MOST];
	unsigned turns;  // that the callee gives up before it ends
	bool cancels, only_callbacks;
} kinds[] = {
	{"async calls that return at once", 1, .round = {{GUEST_CALL_A, 0, GUEST}, END_OF_STEPS}},
	{"async calls that are waited for", 1, {{GUEST_SET_NEW, 0, 0}, END_OF_STEPS}, {{GUEST_CALL_A, 0, GUEST}, {GUEST_JOIN, 0, SUBTASK}, {GUEST_WAIT, 0, 0}, {GUEST_SUB_DROP, 0, 0}, END_OF_STEPS}, .turns = 1},
	{"sync calls", 1, .round = {{GUEST_SYNC_A, 0, GUEST}, END_OF_STEPS}},
	{"sync calls that wait", 1, .round = {{GUEST_SYNC_A, 0, GUEST}, END_OF_STEPS}, .turns = 2},
	{"calls of a sync-typed function", 1, .round = {{GUEST_SYNC_Y, 0, GUEST}, END_OF_STEPS}},
	{"async calls with strings", 1, .round = {{GUEST_CALL_T, 0, 20}, END_OF_STEPS}},
	{"calls with a stream and a future", 1, .round = {{GUEST_CALL_S, 0, GUEST}, {GUEST_FUTURE_WRITE, 0, 0}, {GUEST_DROP, 0, F_WRITABLE}, {GUEST_DROP, 0, READABLE}, {GUEST_DROP, 0, WRITABLE}, END_OF_STEPS}, .callee = {{GUEST_DROP, 0, F_READABLE}, END_OF_STEPS}},
	{"async calls of the host", 1, {{GUEST_SET_NEW, 0, 0}, END_OF_STEPS}, {{GUEST_CALL_A, 0, HOST}, {GUEST_JOIN, 0, SUBTASK}, {GUEST_WAIT, 0, 0}, {GUEST_SUB_DROP, 0, 0}, END_OF_STEPS}, .turns = 1},
	{"cancelled calls", 1, .round = {{GUEST_CALL_A, 0, GUEST}, {GUEST_SUB_CANCEL, 0, 0}, {GUEST_SUB_DROP, 0, 0}, END_OF_STEPS}, .turns = 1, .cancels = true,
		.only_callbacks = true},
	{"cancelled calls of the host", 1, .round = {{GUEST_CALL_A, 0, HOST}, {GUEST_SUB_CANCEL, 0, 0}, {GUEST_SUB_DROP, 0, 0}, END_OF_STEPS}, .turns = 1},
	{"streams made and dropped", 3, .round = {{GUEST_STREAM_NEW, 0, 0}, {GUEST_DROP, 0, READABLE}, {GUEST_DROP, 0, WRITABLE}, END_OF_STEPS}},
	{"reads and writes", 2, {{GUEST_STREAM_NEW, 0, 0}, {GUEST_SET_NEW, 0, 0}, {GUEST_JOIN, 0, READABLE}, END_OF_STEPS}, {{GUEST_READ, 0, 64}, {GUEST_WRITE, 0, 64}, {GUEST_POLL, 0, 0}, END_OF_STEPS}},
	{"futures written and read", 2, {{GUEST_SET_NEW, 0, 0}, END_OF_STEPS}, {{GUEST_FUTURE_NEW, 0, 0}, {GUEST_FUTURE_READ, 0, 0}, {GUEST_FUTURE_WRITE, 0, 0}, {GUEST_JOIN, 0, F_READABLE}, {GUEST_POLL, 0, 0}, {GUEST_DROP, 0, F_READABLE}, {GUEST_DROP, 0, F_WRITABLE}, END_OF_STEPS}},
	{"cancelled reads", 1, {{GUEST_STREAM_NEW, 0, 0}, END_OF_STEPS}, {{GUEST_READ, 0, 64}, {GUEST_CANCEL, 0, READABLE}, END_OF_STEPS}},
	{"cancelled writes", 1, {{GUEST_STREAM_NEW, 0, 0}, END_OF_STEPS}, {{GUEST_WRITE, 0, 64}, {GUEST_CANCEL_SYNC, 0, WRITABLE}, END_OF_STEPS}},
	{"waitable sets", 3, {{GUEST_FUTURE_NEW, 0, 0}, END_OF_STEPS}, {{GUEST_SET_NEW, 0, 0}, {GUEST_JOIN, 0, F_READABLE}, {GUEST_POLL, 0, 0}, {GUEST_JOIN, 0, F_READABLE | 1 << 3}, {GUEST_SET_DROP, 0, 0}, END_OF_STEPS}},
	{"threads", 1, .round = {{GUEST_THREAD_NEW, 0, 0}, {GUEST_RESUME_LATER, 0, 0}, {GUEST_YIELD, 0, 0}, END_OF_STEPS}},
	{"threads that switch", 2, .round = {{GUEST_THREAD_NEW, 0, 0}, {GUEST_SUSPEND_RESUME, 0, 0}, END_OF_STEPS}, .thread = {{GUEST_RESUME_LATER, 1, 0}, END_OF_STEPS}},
	{"backpressure", 2, .round = {{GUEST_HOLD, 0, 0}, {GUEST_LET_IN, 0, 0}, END_OF_STEPS}},
};

// ---- the host, which says each step -----------------------------------------------------------------------------------------------------------------
struct alive {
	uint64_t objects, threads, handles, blocks, bytes, in_transit;
};
static struct vm_shard *shard;
static struct canon_instance *instance;
static const struct kind *kind;
static uint64_t rounds, wanted;      // rounds that were made, of so many
static unsigned at_before, at_round, at_thread;
static struct alive first;
static struct canon_task *waits;     // in a host function
static bool is_woken;

static struct alive alive(const struct canon_instance *i)
{
	const struct canon__async *a = i->async;
	return (struct alive){a->n_objects, a->n_threads, state_handles(i), canon_instance_pool(UNCONST(i))->blocks, vm_store_memory_used(i->store), state_in_transit(a)};
}

static void same(const struct alive *a, const struct alive *b)
{
	if (memcmp(a, b, sizeof *a) == 0)
		return;
	fail_msg("%s: objects %llu, threads %llu, handles %llu, blocks %llu, bytes %llu, in transit %llu became %llu, %llu, %llu, %llu, %llu, %llu", kind->name,
		(unsigned long long)a->objects, (unsigned long long)a->threads, (unsigned long long)a->handles, (unsigned long long)a->blocks,
		(unsigned long long)a->bytes, (unsigned long long)a->in_transit, (unsigned long long)b->objects, (unsigned long long)b->threads,
		(unsigned long long)b->handles, (unsigned long long)b->blocks, (unsigned long long)b->bytes, (unsigned long long)b->in_transit);
}

static uint32_t op(const struct step *s)
{
	return s->op | (uint32_t)s->a << 8 | (uint32_t)s->b << 16;
}

static uint32_t end(uint8_t how, uint8_t b)
{
	return (uint32_t)how << 24 | b;
}

static bool is_end(const struct step *s)
{
	return s->op == GUEST_N_OPS || !s->op;
}

// One callee is under way at a time.
static uint32_t callee_step(const struct canon_task *t)
{
	static const struct canon_task *of;
	static unsigned made, turns;
	if (of != t) {
		of = t;
		made = turns = 0;
	}
	if (!is_end(&kind->callee[made]))
		return op(&kind->callee[made++]);
	const struct canon__async_task *at = t->scope->of;
	if (turns++ < kind->turns && at && at->lift) {
		if (at->lift->plan->options.is_async && at->lift->callback)
			return end(GUEST_ENDS_YIELDING, 0);
		return op(&(struct step){GUEST_YIELD, 0, 0});
	}
	of = NULL;
	return end(GUEST_ENDS, kind->cancels);
}

static uint32_t caller_step(void)
{
	if (!is_end(&kind->before[at_before]))
		return op(&kind->before[at_before++]);
	if (!is_end(&kind->round[at_round]))
		return op(&kind->round[at_round++]);
	rounds++;
	if (rounds == WARM)
		first = alive(instance);
	if (rounds == wanted) {
		struct alive last = alive(instance);
		same(&first, &last);
		return end(GUEST_ENDS, 0);
	}
	at_round = 1;
	return op(&kind->round[0]);
}

static enum trap next(struct canon_task *t, struct canon_instance *i UNUSED, void *data UNUSED, const void *args UNUSED, void *ret)
{
	uint32_t *step = ret;
	bool is_thread = t->scope->thread && t->scope->thread->main == canon__spawned_main;
	if (!wanted) {
		*step = end(GUEST_ENDS, 0);
	} else if (is_thread) {
		*step = is_end(&kind->thread[at_thread]) ? end(GUEST_ENDS, 0) : op(&kind->thread[at_thread++]);
		if (*step >> 24)
			at_thread = 0;
	} else {
		*step = t->scope->component == CALLER + 1 ? caller_step() : callee_step(t);
	}
	return TRAP_NONE;
}

static enum trap bad(struct canon_task *t UNUSED, struct canon_instance *i UNUSED, void *data UNUSED, const void *args, void *ret UNUSED)
{
	fail_msg("%s: a guest saw what must not be: %u", kind->name, *(const uint32_t *)args);
	return TRAP_NONE;
}

static enum trap number(struct canon_task *t, struct canon_instance *i UNUSED, void *data UNUSED, const void *args, void *ret)
{
	*(uint32_t *)ret = *(const uint32_t *)args;
	for (unsigned k = 0; k < kind->turns; k++) {
		waits = t;
		if (vm_fiber_park(shard) == VM_KILLED || canon_task_is_cancelled(t)) {
			waits = NULL;
			return TRAP_KILLED;
		}
	}
	return TRAP_NONE;
}

static enum trap never(struct canon_task *t, struct canon_instance *i UNUSED, void *data UNUSED, const void *args UNUSED, void *ret UNUSED)
{
	return canon_task_trap(t, "nobody calls it");
}

static void wake(struct canon_task *t UNUSED)
{
	is_woken = true;
}
static const struct canon_host_func host_funcs[] = {{.fn = next}, {.fn = bad}, {.fn = number}, {.fn = never}, {.fn = never}, {.fn = never}};
static const struct canon_host host = {.funcs = host_funcs, .n_funcs = ARRAY_LEN(host_funcs), .wake = wake};

// ---- the runs ---------------------------------------------------------------------------------------------------------------------------------------
struct one {
	const struct subject *s;
	const char *name;
	struct canon_task task;
	struct canon_trap trap;
	bool ok;
};

static void run(void *arg)
{
	struct one *o = arg;
	uint32_t args[2] = {0}, ret = 0;
	o->ok = canon_call_export_whole(instance, subject_func(o->s, o->name), &o->task, args, &ret, NULL, NULL, &o->trap);
}

// On a fiber, to its end.
static void call(const struct subject *s, const char *name)
{
	struct one o = {.s = s, .name = name};
	struct vm_fiber *f = vm_fiber_new(shard, run, &o);
	assert_non_null(f);
	for (;;) {
		enum vm_fiber_state st = vm_fiber_resume(f, VM_RESUMED);
		if (st == VM_FIBER_DONE)
			break;
		if (st == VM_FIBER_PREEMPTED)
			continue;
		assert_non_null(waits);
		struct canon_task *t = waits;
		waits = NULL;
		canon_task_wake(t);
		assert_true(is_woken);
	}
	vm_fiber_free(f);
	if (!o.ok)
		fail_msg("%s, %s: %s", kind->name, name, o.trap.text);
}

static void load(struct subject *s, enum way way)
{
	uint8_t all = (uint8_t)(way * (1 + WAYS + WAYS * WAYS));
	const uint8_t key[9] = {all, 0, 0, all, 0, 0, all, 0, 0};  // ways, options, wiring of each: of instance 1 p is instance 0, q the host
	struct bytes in = {key, key + sizeof key};
	struct buf text = {0};
	struct err e = {0};
	generate_async_component(&in, &text);
	if (!subject_try(s, (const char *)text.ptr, &e))
		fail_msg("%s at 0x%llx", e.text, (unsigned long long)e.offset);
	buf_release(&text);
}

static void clean(const struct subject *s)
{
	static const char *const names[] = {"r0", "r1", "c0", "c1", "d0", "d1"};
	wanted = 0;
	for (size_t k = 0; k < ARRAY_LEN(names); k++)
		call(s, names[k]);
	state_check_empty(instance);
}

// How many there were.
static uint64_t again_and_again(const struct subject *s, const struct kind *k, uint64_t operations)
{
	struct canon_trap trap;
	struct err e = {0};
	kind = k;
	assert_true(canon_instance_new(shard, s->l.canon, &host, NULL, NULL, &instance, &e));
	assert_true(canon_instance_initialize(instance, 0, canon_component_steps(s->l.canon), NULL, &trap));
	uint64_t blocks = canon_instance_pool(instance)->blocks - state_tables(instance);
	rounds = at_before = at_round = at_thread = 0;
	wanted = operations / k->ops < 2 * WARM ? 2 * WARM : operations / k->ops;
	call(s, "a1");
	assert_int_equal(rounds, wanted);
	clean(s);
	assert_int_equal(canon_instance_pool(instance)->blocks - state_tables(instance), blocks);
	canon_instance_free(instance);
	return rounds * k->ops;
}

static void what_is_alive_stays_the_same(void **state UNUSED)
{
	const char *text = getenv("ASYNC_OPERATIONS");
	uint64_t operations = text ? strtoull(text, NULL, 10) : 4000, done = 0;
	for (enum way way = SYNC; way < WAYS; way++) {
		struct subject s;
		load(&s, way);
		for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
			if (kinds[k].only_callbacks && way != CALLBACK)
				continue;
			done += again_and_again(&s, &kinds[k], operations);
		}
		subject_release(&s);
	}
	print_message("%llu operations\n", (unsigned long long)done);
}

int main(void)
{
	struct err e = {0};
	if (!vm_process_init(&e) || !vm_shard_new(&shard, &e))
		return 1;
	const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_alive_stays_the_same)};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	vm_shard_free(shard);
	return failed;
}
