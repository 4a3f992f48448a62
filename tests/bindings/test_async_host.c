// Host functions that are called async: they park as any others do, and their tasks go on from the loop, end with their deadline, and are killed.
// PROGRAM(test_async_host, "seam tier cmocka", "")
#include "../canon/caller.h"
#include "seam/seam.h"

enum { TASKS = 300, SLOW = 100000 };

// A guest that waits for what it called, and one that returns before.
struct guest_kind {
	struct subject subject;
	struct seam_link *link;
};
static struct guest_kind caller, leaver;
static struct loop *loop;
static struct vm_shard *shard;
static struct seam_tasks *tasks;
static struct seam_grants grants;
static uint32_t waits, ended;  // calls of the host function that were begun, and that have returned

// wait(a): a + 1 after a few milliseconds, of SLOW after more than a test takes.
static enum seam_result wait_fn(const void *ops UNUSED, struct seam_call *c, const void *args, void *ret)
{
	uint32_t a = *(const uint32_t *)args;
	struct seam_park park;
	waits++;
	assert_ptr_not_equal(c->thread, &c->task->canon);
	assert_ptr_equal(&c->task->canon, canon_task_root(c->thread));
	seam_park_init(&park);
	enum seam_result r = seam_park_until(c, &park, loop_now_fresh_ns(loop) + (a == SLOW ? 1000 : a % 7) * MILLISECOND, NULL);
	if (r == SEAM_OK)  // it may be run by another now
		assert_ptr_equal(&c->task->canon, canon_task_root(c->thread));
	ended++;
	*(uint32_t *)ret = a + 1;
	return r;
}

struct one {
	const struct guest_kind *kind;
	struct seam_task *task;
	struct canon_instance *i;
	uint32_t arg, result;
	struct canon_trap trap;
	bool whole, ok, done;  // whole: with what goes on after it has returned
};

static void run(void *arg)
{
	struct one *o = arg;
	const struct comp_export_func *f = subject_func(&o->kind->subject, "run");
	if (o->whole)
		o->ok = canon_call_export_whole(o->i, f, &o->task->canon, &o->arg, &o->result, NULL, NULL, &o->trap);
	else
		o->ok = canon_call_export(o->i, f, &o->task->canon, &o->arg, &o->result, NULL, &o->trap);
}

static void done(struct seam_task *t)
{
	struct one *o = t->owner;
	o->done = true;
	seam_task_free(t);
}

static struct canon_instance *instance(const struct guest_kind *kind, struct seam_instance *s)
{
	struct canon_instance *i = NULL;
	struct canon_trap trap;
	struct canon_limits limits;
	struct err e = {0};
	canon_limits_default(&limits);
	seam_instance_init(s, loop, &grants, NULL);
	if (!canon_instance_new(shard, kind->subject.l.canon, seam_link_host(kind->link), &limits, s, &i, &e))
		fail_msg("%s", e.text);
	assert_true(canon_instance_initialize(i, 0, canon_component_steps(kind->subject.l.canon), NULL, &trap));
	waits = ended = 0;
	return i;
}

static void begin_kind(const struct guest_kind *kind, struct one *o, struct canon_instance *i, struct seam_instance *s, uint32_t arg, bool whole,
	struct vm_budget budget)
{
	*o = (struct one){.kind = kind, .i = i, .arg = arg, .whole = whole, .task = seam_task_new(tasks, NULL)};
	assert_non_null(o->task);
	o->task->owner = o;
	o->task->instance = s;
	assert_true(seam_task_run(o->task, run, o, budget, done));
}

static void begin(struct one *o, struct canon_instance *i, struct seam_instance *s, uint32_t arg, struct vm_budget budget)
{
	begin_kind(&caller, o, i, s, arg, false, budget);
}

static void finish(const struct one *ones, uint32_t n)
{
	for (uint32_t k = 0; k < n; k++)
		while (!ones[k].done)
			loop_run_once(loop, UINT64_MAX);
	assert_int_equal(waits, ended);
}

static void many_wait_in_one_instance(void **state UNUSED)
{
	struct seam_instance s;
	struct canon_instance *i = instance(&caller, &s);
	static struct one ones[TASKS];
	for (uint32_t k = 0; k < TASKS; k++)
		begin(&ones[k], i, &s, k, VM_BUDGET_NONE);
	finish(ones, TASKS);
	assert_int_equal(waits, TASKS);
	for (uint32_t k = 0; k < TASKS; k++) {
		if (!ones[k].ok)
			fail_msg("call %u: %s", k, ones[k].trap.text);
		assert_int_equal(ones[k].result, k + 1);
	}
	canon_instance_free(i);
}

static void a_deadline_ends_what_waits_for_the_host(void **state UNUSED)
{
	struct seam_instance s;
	struct canon_instance *i = instance(&caller, &s);
	struct one o;
	begin(&o, i, &s, SLOW, (struct vm_budget){.cpu_ns = UINT64_MAX, .deadline_ns = loop_now_fresh_ns(loop) + 5 * MILLISECOND});
	finish(&o, 1);
	assert_false(o.ok);
	assert_int_equal(o.trap.trap, TRAP_DEADLINE);
	assert_true(canon_instance_is_dead(i));
	canon_instance_free(i);
}

static void the_end_of_one_is_the_end_of_its_instance(void **state UNUSED)
{
	enum { SOME = 20 };
	struct seam_instance s;
	struct canon_instance *i = instance(&caller, &s);
	struct one ones[SOME];
	for (uint32_t k = 0; k < SOME; k++)
		begin(&ones[k], i, &s, k == 3 ? SLOW : 5, VM_BUDGET_NONE);
	seam_task_kill(ones[3].task, TRAP_KILLED);
	finish(ones, SOME);
	for (uint32_t k = 0; k < SOME; k++)
		assert_true(!ones[k].ok && ones[k].trap.trap == (k == 3 ? TRAP_KILLED : TRAP_POISONED));
	canon_instance_free(i);
}

// A call has returned, and the host function that it called has not: this goes on while another call waits in the instance, which runs it.
static void what_outlives_its_call_goes_on_while_another_waits(void **state UNUSED)
{
	struct seam_instance s;
	struct canon_instance *i = instance(&leaver, &s);
	struct one first, second;
	begin_kind(&leaver, &first, i, &s, 5, false, VM_BUDGET_NONE);
	assert_true(first.done && first.ok);
	assert_int_equal(ended, 0);
	struct seam_task *other = seam_task_new(tasks, NULL);  // in the place of the first
	begin_kind(&leaver, &second, i, &s, SLOW, true, VM_BUDGET_NONE);
	assert_false(second.done);
	while (!ended && !second.done)
		loop_run_once(loop, UINT64_MAX);
	assert_false(second.done);
	assert_int_equal(ended, 1);
	seam_task_kill(second.task, TRAP_KILLED);
	while (!second.done)
		loop_run_once(loop, UINT64_MAX);
	seam_task_free(other);
	canon_instance_free(i);
	assert_int_equal(waits, ended);
}

// ---- the interface test:test/host, made by hand -----------------------------------------------------------------------------------------------------
static const struct seam_provider_ops provider_ops = {.name = "test"};

static bool link_host(struct guest_kind *kind, const char *text, struct err *e)
{
	static struct seam_provider provider;
	static struct seam_func func = {.name = "wait", .call = wait_fn, .args_size = 4, .ret_size = 4};
	static struct seam_interface interface = {.name = "test:test/host", .funcs = &func, .n_funcs = 1};
	struct seam_registry registry = {0};
	const struct wit_member param = {SLICE_LIT("a"), wit_type_primitive(WIT_U32)};
	if (!provider.ops)
		seam_provider_init(&provider, &provider_ops);
	const struct seam_offer offer = {NULL, &interface, &provider_ops, &provider};
	bool ok = subject_try(&kind->subject, text, e) &&
		wit_func_type_make(&kind->subject.l.arena, &param, 1, wit_type_primitive(WIT_U32), true, &func.type, e) &&
		seam_registry_add(&registry, &offer, 1, e) && seam_link_new(&registry, kind->subject.l.comp, &kind->link, e);
	seam_registry_release(&registry);
	return ok;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_wait_in_one_instance),
		cmocka_unit_test(a_deadline_ends_what_waits_for_the_host),
		cmocka_unit_test(the_end_of_one_is_the_end_of_its_instance),
		cmocka_unit_test(what_outlives_its_call_goes_on_while_another_waits),
	};
	struct err e = {0};
	if (!vm_process_init(&e) || !loop_new(&loop, &e) || !vm_shard_new(&shard, &e) || !seam_tasks_new(loop, shard, &tasks, &e) ||
		!link_host(&caller, CALLER(IMPORTS_HOST, "01"), &e) || !link_host(&leaver, LEAVER(IMPORTS_HOST, "01"), &e)) {
		print_error("%s at 0x%llx\n", e.text, (unsigned long long)e.offset);
		return 1;
	}
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	seam_link_free(caller.link);
	seam_link_free(leaver.link);
	seam_tasks_free(tasks);
	subject_release(&caller.subject);
	subject_release(&leaver.subject);
	vm_shard_free(shard);
	loop_free(loop);
	return failed;
}
