// Host functions that wait without a stack (canon_task_leave): woken, cancelled, ended with their instance; and what runs on a stack of its own after all.
// PROGRAM(test_leaving, "canon tier cmocka", "")
#include "async_state.h"
#include "caller.h"
#include "endpoints.h"

enum { STARTED = 1, RETURNED = 2, CANCELLED = 4 };

static struct subject subject, caller;
static struct vm_shard *shard;

enum how { LEAVES, STAYS, IS_DONE, PARKS };
static enum how how;
static struct canon_task *left, *waits;
static bool is_of_root;  // the last that was called
static unsigned calls, overs, wakes;

// An object of the host's, which it is about while it is parked.
static const struct wit_resource object_type;
static bool object_is_there;

static void drop_object(struct canon_instance *i UNUSED, void *object)
{
	*(bool *)object = false;
}
static const struct canon_resource_ops object_ops = {.type = &object_type, .name = "object", .drop = drop_object};

static void over(void *data)
{
	assert_ptr_equal(data, &overs);
	overs++;
}

static enum trap nap(struct canon_task *t, struct canon_instance *i UNUSED, void *data UNUSED, const void *args, void *ret UNUSED)
{
	assert_int_equal(*(const uint32_t *)args, 77);
	calls++;
	is_of_root = t == canon_task_root(t);
	if (how == LEAVES) {
		assert_true(canon_task_may_leave(t));
		left = canon_task_leave(t, over, &overs);
		return left ? TRAP_NONE : TRAP_HOST;
	}
	if ((how == STAYS || how == PARKS) && canon_task_may_leave(t))
		return canon_task_stay(t);
	if (how == PARKS) {
		assert_int_equal(vm_fiber_park(shard), VM_KILLED);
		assert_true(object_is_there);
		overs++;
		return TRAP_KILLED;
	}
	return TRAP_NONE;
}

static enum trap never(struct canon_task *t, struct canon_instance *i UNUSED, void *data UNUSED, const void *args UNUSED, void *ret UNUSED)
{
	return canon_task_trap(t, "nobody calls it");
}

static void wake(struct canon_task *t UNUSED)
{
	wakes++;
}
static const struct canon_host_func host_funcs[] = {{.fn = never}, {.fn = never}, {.fn = never}, {.fn = never}, {.fn = nap, .flags = CANON_HOST_LEAVES}, {.fn = never},
	{.fn = never}, {.fn = never}, {.fn = never}};
static const struct canon_host host = {.funcs = host_funcs, .n_funcs = ARRAY_LEN(host_funcs), .wake = wake};

static struct canon_instance *make(const struct subject *s, const struct canon_host *h, const struct canon_limits *limits)
{
	struct canon_instance *i = NULL;
	struct canon_trap trap;
	struct err e = {0};
	assert_true(canon_instance_new(shard, s->l.canon, h, limits, NULL, &i, &e));
	assert_true(canon_instance_initialize(i, 0, canon_component_steps(s->l.canon), NULL, &trap));
	left = waits = NULL;
	calls = overs = wakes = 0;
	return i;
}

static uint64_t call(struct canon_instance *i, enum endpoint op, uint32_t a, uint32_t b)
{
	struct canon_trap trap;
	uint64_t ret = 0;
	if (endpoint_call(&subject, i, op, a, b, 0, &ret, &trap) != TRAP_NONE)
		fail_msg("%s: %s", endpoint_rows[op].name, trap.text);
	return ret;
}

static void one_that_left_is_cancelled(void **state UNUSED)
{
	struct canon_instance *i = make(&subject, &host, NULL);
	how = LEAVES;
	uint32_t sub = (uint32_t)call(i, NAP, 77, 0);
	assert_int_equal(sub & 15, STARTED);
	assert_non_null(left);
	assert_int_equal(i->async->n_threads, 1);
	assert_int_equal(call(i, SUB_CANCEL, sub >> 4, 0), CANCELLED);
	assert_int_equal(overs, 1);
	call(i, SUB_DROP, sub >> 4, 0);
	assert_int_equal(i->async->n_threads, 0);
	assert_int_equal(i->async->n_objects, 0);
	canon_instance_free(i);
	assert_int_equal(overs, 1);
}

// What it waited for has come, and nobody has run it yet.
static void one_that_was_woken_is_cancelled(void **state UNUSED)
{
	struct canon_instance *i = make(&subject, &host, NULL);
	how = LEAVES;
	uint32_t sub = (uint32_t)call(i, NAP, 77, 0);
	canon_task_wake(left);
	assert_int_equal(overs, 0);
	assert_int_equal(call(i, SUB_CANCEL, sub >> 4, 0), CANCELLED);
	assert_int_equal(overs, 1);
	call(i, SUB_DROP, sub >> 4, 0);
	assert_int_equal(i->async->n_threads, 0);
	assert_null(i->async->nobody.first_ready);
	canon_instance_free(i);
}

static void one_that_left_ends_with_its_instance(void **state UNUSED)
{
	struct canon_instance *i = make(&subject, &host, NULL);
	how = LEAVES;
	assert_int_equal(call(i, NAP, 77, 0) & 15, STARTED);
	canon_instance_free(i);
	assert_int_equal(overs, 1);
}

// Host code that ends then finds what it is about.
static void those_that_are_parked_end_before_the_hosts_objects(void **state UNUSED)
{
	enum { N = 20 };
	struct canon_instance *i = make(&subject, &host, NULL);
	uint32_t rep;
	how = PARKS;
	assert_true(canon_host_resource_new(i, &object_ops, NULL, &object_is_there, &rep));
	object_is_there = true;
	for (unsigned k = 0; k < N; k++)
		assert_int_equal(call(i, NAP, 77, 0) & 15, STARTED);
	assert_int_equal(i->async->n_threads, N);
	for (unsigned k = 0; k < N; k++) {
		assert_true(object_is_there);
		assert_int_equal(overs, k);
		assert_true(canon_instance_empty_some(i, 1));
	}
	assert_int_equal(overs, N);
	assert_true(canon_instance_is_dead(i));
	assert_true(object_is_there);
	while (canon_instance_empty_some(i, 1)) {
	}
	assert_false(object_is_there);
	canon_instance_free(i);
}

static void one_that_stays_is_called_again_on_a_stack_of_its_own(void **state UNUSED)
{
	struct canon_instance *i = make(&subject, &host, NULL);
	how = STAYS;
	assert_int_equal(call(i, NAP, 77, 0), RETURNED);
	assert_int_equal(calls, 2);
	assert_false(is_of_root);
	assert_int_equal(overs, 0);
	assert_int_equal(i->async->n_threads, 0);
	assert_int_equal(i->async->n_objects, 0);
	how = IS_DONE;  // it needs neither
	assert_int_equal(call(i, NAP, 77, 0), RETURNED);
	assert_int_equal(calls, 3);
	canon_instance_free(i);
}

// ---- a stack that nobody has memory for ------------------------------------------------------------------------------------------------------------

static enum trap h(struct canon_task *t, struct canon_instance *i UNUSED, void *data UNUSED, const void *args, void *ret)
{
	waits = t;
	bool ends = vm_fiber_park(shard) == VM_KILLED;
	waits = NULL;
	*(uint32_t *)ret = 3 * *(const uint32_t *)args + 1;
	return ends ? TRAP_KILLED : TRAP_NONE;
}
static const struct canon_host_func caller_funcs[] = {{.fn = h}};
static const struct canon_host caller_host = {.funcs = caller_funcs, .n_funcs = 1, .wake = wake};

struct one {
	struct canon_instance *i;
	struct canon_task task;
	struct canon_trap trap;
	uint32_t arg, result;
	bool ok;
};

static void run(void *arg)
{
	struct one *o = arg;
	o->ok = canon_call_export(o->i, subject_func(&caller, "run"), &o->task, &o->arg, &o->result, NULL, &o->trap);
}

// A task that waits in its callback has given its stack back. It goes on even where the memory is used up meanwhile; who begins does not.
static void who_waits_without_a_stack_goes_on_where_memory_is_used_up(void **state UNUSED)
{
	static const struct canon_limits limits = {.memory_bytes = 4 << 20};
	struct canon_instance *i = make(&caller, &caller_host, &limits);
	struct account *a = vm_store_account(canon_instance_store(i));
	struct one o = {.i = i, .arg = 5}, late = {.i = i, .arg = 6};
	struct vm_fiber *f = vm_fiber_new(shard, run, &o);
	assert_int_equal(vm_fiber_resume(f, VM_RESUMED), VM_FIBER_PARKED);
	assert_non_null(waits);
	uint64_t rest = a->limit - a->used - 1000;  // for what is small
	assert_true(account_charge(a, rest));
	canon_task_wake(waits);
	assert_int_equal(wakes, 1);
	assert_int_equal(vm_fiber_resume(f, VM_RESUMED), VM_FIBER_DONE);
	if (!o.ok)
		fail_msg("%s", o.trap.text);
	assert_int_equal(o.result, 16);
	vm_fiber_free(f);
	f = vm_fiber_new(shard, run, &late);
	assert_int_equal(vm_fiber_resume(f, VM_RESUMED), VM_FIBER_DONE);
	assert_false(late.ok);
	assert_string_equal(late.trap.text, "no memory for another thread's stack: the instance's limit is reached (--memory)");
	vm_fiber_free(f);
	account_uncharge(a, rest);
	canon_instance_free(i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_that_left_is_cancelled),
		cmocka_unit_test(one_that_was_woken_is_cancelled),
		cmocka_unit_test(one_that_left_ends_with_its_instance),
		cmocka_unit_test(those_that_are_parked_end_before_the_hosts_objects),
		cmocka_unit_test(one_that_stays_is_called_again_on_a_stack_of_its_own),
		cmocka_unit_test(who_waits_without_a_stack_goes_on_where_memory_is_used_up),
	};
	struct err e = {0};
	if (!vm_process_init(&e) || !vm_shard_new(&shard, &e) || !subject_try(&caller, CALLER(IMPORTS_H, "00"), &e))
		return 1;
	endpoints_load(&subject, ENDPOINTS_WITH_HOST);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	subject_release(&subject);
	subject_release(&caller);
	vm_shard_free(shard);
	return failed;
}
