// Images, slots and resets of a whole component: where the cut is, what a reset restores, what a trap ends (design §5).
// PROGRAM(test_images, "canon tier cmocka", "")
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "components.h"

static struct vm_shard *shard;
static struct loaded ticking, calling, owning;
static uint32_t ticks;
static bool tick_traps, tick_exits;

static enum trap tick(struct canon_task *t UNUSED, struct canon_instance *i UNUSED, void *data UNUSED, const void *args, void *ret)
{
	if (tick_traps)
		return canon_task_trap(t, "no time today");
	if (tick_exits)
		return canon_task_exit(t, 7);
	uint32_t v = ++ticks;
	memcpy(ret, &v, 4);
	return TRAP_NONE;
}

static struct canon_host_func ticking_funcs[] = {{.fn = tick}};
static const struct canon_host ticking_host = {.funcs = ticking_funcs, .n_funcs = 1};

static uint32_t get(struct canon_instance *i)
{
	uint32_t v = 0;
	struct canon_trap trap = {0};
	if (!canon_call_export(i, canon_find_export(ticking.canon, SLICE_LIT(""), SLICE_LIT("get")), NULL, NULL, &v, NULL, &trap))
		fail_msg("%s", trap.text);
	return v;
}

static struct canon_image *image(enum canon_init init, bool cuts)
{
	struct canon_image *m;
	struct canon_trap trap;
	struct err e = {0};
	ticks = 0;
	tick_traps = tick_exits = false;
	ticking_funcs[0].flags = cuts ? CANON_HOST_CUTS : 0;
	if (!canon_image_new(shard, ticking.canon, &ticking_host, NULL, init, NULL, NULL, &m, &trap, &e))
		fail_msg("%s%s", e.text, trap.text);
	return m;
}

static struct canon_instance *slot(struct canon_image *m)
{
	struct canon_instance *i;
	struct canon_trap trap = {0};
	struct err e = {0};
	if (!canon_slot_new(shard, m, NULL, &i, &e))
		fail_msg("%s", e.text);
	if (!canon_slot_is_ready(i) && !canon_slot_start(i, NULL, &trap))
		fail_msg("%s", trap.text);
	return i;
}

static void an_answer_that_may_differ_is_asked_for_in_each_instance(void **s)
{
	struct canon_image *m = image(CANON_INIT_AUTO, true);
	struct canon_image_info info;
	canon_image_info(m, &info);
	assert_int_equal(info.cut, 1);
	assert_int_equal(info.steps, 2);
	assert_non_null(strstr(info.why, "tick"));
	assert_int_equal(ticks, 0);  // not even asked while learning
	struct canon_instance *a = slot(m), *b = slot(m);
	assert_int_equal(get(a), 10101);
	assert_int_equal(get(b), 20101);
	assert_int_equal(get(a), 10202);
	canon_instance_free(a);
	canon_instance_free(b);
	canon_image_free(m);
}

static void a_fixed_answer_is_part_of_the_image(void **s)
{
	struct canon_image *m = image(CANON_INIT_AUTO, false);
	struct canon_image_info info;
	canon_image_info(m, &info);
	assert_int_equal(info.cut, 2);
	struct canon_instance *a = slot(m), *b = slot(m);
	assert_int_equal(ticks, 1);
	assert_int_equal(get(a), 10101);
	assert_int_equal(get(b), 10101);
	canon_instance_free(a);
	canon_instance_free(b);
	canon_image_free(m);
}

// An image that saw an answer of the host (the environment, a secret) is never written to disk.
static void only_an_image_that_asked_nobody_is_kept(void **s)
{
	struct canon_limits limits;
	struct canon_image_info info;
	struct buf out = {0};
	struct err e = {0};
	canon_limits_default(&limits);
	for (int cuts = 0; cuts < 2; cuts++) {
		struct canon_image *m = image(CANON_INIT_AUTO, cuts);
		struct vm_image *vm = canon_image_pure(m, &out);
		assert_int_equal(vm != NULL, cuts);
		if (vm) {
			struct canon_image *again;
			assert_false(canon_image_from(ticking.canon, &ticking_host, &limits, vm, slice_sub(buf_view(&out), 1, out.len), &again, &e));
			assert_true(canon_image_from(ticking.canon, &ticking_host, &limits, vm, buf_view(&out), &again, &e));
			canon_image_free(m);
			m = again;
			canon_image_info(m, &info);
			assert_int_equal(info.cut, 1);
			assert_non_null(strstr(info.why, "tick"));
			struct canon_instance *a = slot(m), *b = slot(m);
			assert_int_equal(get(a), 10101);
			assert_int_equal(get(b), 20101);
			assert_true(canon_slot_reset(a));
			canon_instance_free(a);
			canon_instance_free(b);
		}
		canon_image_free(m);
		buf_release(&out);
	}
	struct canon_image *m = image(CANON_INIT_ONCE, true);
	assert_null(canon_image_pure(m, &out));
	canon_image_free(m);
}

static void once_keeps_all_and_each_keeps_nothing_of_the_start(void **s)
{
	struct canon_image *m = image(CANON_INIT_ONCE, true);
	struct canon_image_info info;
	canon_image_info(m, &info);
	assert_int_equal(info.cut, 2);
	canon_image_free(m);
	m = image(CANON_INIT_EACH, false);
	canon_image_info(m, &info);
	assert_int_equal(info.cut, 1);
	struct canon_instance *a = slot(m);
	assert_int_equal(get(a), 10101);
	canon_instance_free(a);
	canon_image_free(m);
}

static void a_reset_slot_equals_the_image(void **s)
{
	struct canon_image *m = image(CANON_INIT_AUTO, false);
	struct canon_instance *a = slot(m);
	for (int n = 0; n < 50; n++) {
		assert_int_equal(get(a), 10101);
		assert_int_equal(get(a), 10202);
		assert_true(canon_slot_reset(a));
	}
	canon_instance_free(a);
	canon_image_free(m);
}

static void a_trap_ends_the_instance_for_ever_c41(void **s)
{
	struct canon_image *m = image(CANON_INIT_AUTO, true);
	struct canon_instance *a;
	struct canon_trap trap = {0};
	struct err e = {0};
	assert_true(canon_slot_new(shard, m, NULL, &a, &e));
	tick_traps = true;
	assert_false(canon_slot_start(a, NULL, &trap));
	assert_int_equal(trap.trap, TRAP_HOST);
	assert_string_equal(trap.text, "no time today");
	assert_true(canon_instance_is_dead(a));
	assert_false(canon_slot_reset(a));
	assert_false(canon_slot_start(a, NULL, &trap));
	assert_int_equal(trap.trap, TRAP_POISONED);
	canon_instance_free(a);
	tick_traps = false;
	tick_exits = true;
	assert_true(canon_slot_new(shard, m, NULL, &a, &e));
	assert_false(canon_slot_start(a, NULL, &trap));
	assert_int_equal(trap.trap, TRAP_EXIT);
	assert_int_equal(trap.exit_code, 7);
	canon_instance_free(a);
	canon_image_free(m);
}

// Everything from the image to a call and a reset, with the n-th allocation failing. true: nothing failed.
static bool once_with_failure(uint64_t n)
{
	struct canon_image *m = NULL;
	struct canon_instance *i = NULL;
	struct canon_trap trap = {0};
	struct err e = {0};
	uint32_t v = 0;
	const struct comp_export_func *f = canon_find_export(ticking.canon, SLICE_LIT(""), SLICE_LIT("get"));
	mem_fail_nth(n);
	bool ok = canon_image_new(shard, ticking.canon, &ticking_host, NULL, CANON_INIT_AUTO, NULL, NULL, &m, &trap, &e) &&
		canon_slot_new(shard, m, NULL, &i, &e) && (canon_slot_is_ready(i) || canon_slot_start(i, NULL, &trap)) &&
		canon_call_export(i, f, NULL, NULL, &v, NULL, &trap);
	bool called = ok;
	ok = ok && canon_slot_reset(i);  // false is all that it says
	mem_fail_nth(0);
	if (!called && e.code == ERR_NONE && trap.trap == TRAP_NONE)
		fail_msg("allocation %llu: it failed, but nothing says why", (unsigned long long)n);
	canon_instance_free(i);
	canon_image_free(m);
	return ok;
}

static void any_allocation_may_fail(void **s)
{
	ticking_funcs[0].flags = CANON_HOST_CUTS;
	tick_traps = tick_exits = false;
	unsigned failures = 0;
	for (uint64_t n = 1; n < 200; n++)
		failures += !once_with_failure(n);
	assert_true(failures > 10);
	assert_true(once_with_failure(0));
}

// ---- values through compiled code ----

static enum trap on_log(struct canon_task *t UNUSED, struct canon_instance *i UNUSED, void *data UNUSED, const void *args, void *ret)
{
	const struct wit_string *s = args;
	uint32_t n = (uint32_t)s->len;
	assert_memory_equal(s->ptr, "hello", 5);
	memcpy(ret, &n, 4);
	return TRAP_NONE;
}
static enum trap on_fill(struct canon_task *t UNUSED, struct canon_instance *i UNUSED, void *data UNUSED, const void *args, void *ret)
{
	uint32_t n;
	memcpy(&n, args, 4);
	*(struct wit_list *)ret = (struct wit_list){arena_zalloc(&t->arena, n, 1), n};
	return TRAP_NONE;
}
static enum trap on_nop(struct canon_task *t UNUSED, struct canon_instance *i UNUSED, void *data UNUSED, const void *args, void *ret)
{
	return TRAP_NONE;
}
static const struct canon_host_func calling_funcs[] = {{.fn = on_log}, {.fn = on_fill}, {.fn = on_nop}};
static const struct canon_host calling_host = {.funcs = calling_funcs, .n_funcs = 3};

static struct canon_instance *calling_instance(void)
{
	struct canon_instance *i;
	struct canon_trap trap = {0};
	struct err e = {0};
	if (!canon_instance_new(shard, calling.canon, &calling_host, NULL, NULL, &i, &e))
		fail_msg("%s", e.text);
	if (!canon_instance_initialize(i, 0, canon_component_steps(calling.canon), NULL, &trap))
		fail_msg("%s", trap.text);
	return i;
}

static void host_functions_see_and_give_native_values(void **s)
{
	struct canon_instance *i = calling_instance();
	struct canon_trap trap = {0};
	uint32_t n = 3, v = 0;
	assert_true(canon_call_export(i, canon_find_export(calling.canon, SLICE_LIT(""), SLICE_LIT("run-log")), NULL, &n, &v, NULL, &trap));
	assert_int_equal(v, 15);
	assert_true(canon_call_export(i, canon_find_export(calling.canon, SLICE_LIT(""), SLICE_LIT("run-fill")), NULL, &n, &v, NULL, &trap));
	assert_int_equal(v, 120);
	canon_instance_free(i);
}

static void results_are_copied_before_anything_can_overwrite_them(void **s)
{
	struct canon_instance *i = calling_instance();
	struct canon_trap trap = {0};
	struct arena arena;
	arena_init(&arena, 0);
	struct wit_string in = {(const uint8_t *)"gr\xc3\xbc\xc3\x9f dich", 11}, out[2];
	const struct comp_export_func *echo = canon_find_export(calling.canon, SLICE_LIT(""), SLICE_LIT("echo"));
	assert_true(canon_call_export(i, echo, NULL, &in, &out[0], &arena, &trap));
	in = (struct wit_string){(const uint8_t *)"other text", 10};
	assert_true(canon_call_export(i, echo, NULL, &in, &out[1], &arena, &trap));
	assert_int_equal(out[0].len, 11);
	assert_memory_equal(out[0].ptr, "gr\xc3\xbc\xc3\x9f dich", 11);
	assert_memory_equal(out[1].ptr, "other text", 10);
	arena_release(&arena);
	canon_instance_free(i);
}

// ---- a resource that the guest implements, held by the host ----

static uint32_t owning_call(struct canon_instance *i, const char *name, uint32_t arg)
{
	uint32_t v = 0;
	struct canon_trap trap = {0};
	if (!canon_call_export(i, canon_find_export(owning.canon, SLICE_LIT(""), slice_str(name)), NULL, &arg, &v, NULL, &trap))
		fail_msg("%s", trap.text);
	return v;
}

static void the_host_holds_a_guests_resource_and_drops_it(void **s)
{
	struct canon_instance *i;
	struct canon_trap trap = {0};
	struct err e = {0};
	static const struct canon_host no_host;
	if (!canon_instance_new(shard, owning.canon, &no_host, NULL, NULL, &i, &e))
		fail_msg("%s", e.text);
	assert_true(canon_instance_initialize(i, 0, canon_component_steps(owning.canon), NULL, &trap));
	uint32_t rep = owning_call(i, "make", 0);
	assert_int_equal(rep, 42);
	assert_int_equal(owning_call(i, "rep", rep), 42);
	assert_int_equal(owning_call(i, "count", 0), 0);
	const struct comp_export_func *make = canon_find_export(owning.canon, SLICE_LIT(""), SLICE_LIT("make"));
	assert_true(canon_guest_resource_drop(i, make->type->result->resource, rep, NULL, &trap));
	assert_int_equal(owning_call(i, "count", 0), 42);
	canon_instance_free(i);
}

static int start(void **s)
{
	struct err e = {0};
	if (vm_process_init(&e) && vm_shard_new(&shard, &e) && load_component(&ticking, SLICE_LIT(ticking_bytes), &e) &&
		load_component(&calling, SLICE_LIT(calling_bytes), &e) &&
		load_component(&owning, SLICE_LIT(owning_bytes), &e))
		return 0;
	print_error("%s at %llx\n", e.text, (unsigned long long)e.offset);
	return 1;
}
static int stop(void **s)
{
	unload_component(&ticking);
	unload_component(&calling);
	unload_component(&owning);
	vm_shard_free(shard);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_that_may_differ_is_asked_for_in_each_instance),
		cmocka_unit_test(a_fixed_answer_is_part_of_the_image),
		cmocka_unit_test(only_an_image_that_asked_nobody_is_kept),
		cmocka_unit_test(once_keeps_all_and_each_keeps_nothing_of_the_start),
		cmocka_unit_test(a_reset_slot_equals_the_image),
		cmocka_unit_test(a_trap_ends_the_instance_for_ever_c41),
		cmocka_unit_test(any_allocation_may_fail),
		cmocka_unit_test(host_functions_see_and_give_native_values),
		cmocka_unit_test(the_host_holds_a_guests_resource_and_drops_it),
		cmocka_unit_test(results_are_copied_before_anything_can_overwrite_them),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
