// Code that lies as far apart as a displacement of 32 bits spans: calls over all of it, and what would lie beyond. L19.
// PROGRAM(test_distances, "comp code baseline vm tier cmocka", "")
#include "guest.h"

#include "baseline/baseline.h"
#include "code/code.h"

// f0(x) = x + 1, f1 = f0 called directly, f2 the same, f3(x) calls itself x times, f4(x) = 100 / x.
#define MANY                                                                                                                            \
	MODULE TYPES "[ 01 60 01 7f 01 7f ] " FUNCS "[ 05 00 00 00 00 00 ] 07 [ 05 'zero' 00 00 'one' 00 01 'two' 00 02 'deep' 00 03 "      \
				 "'divide' 00 04 ] " CODE "[ 05 [ 00 local.get #0 i32.const #1 i32.add end ] [ 00 local.get #0 call #0 end ] "          \
				 "[ 00 local.get #0 call #0 end ] [ 00 local.get #0 if 7f local.get #0 i32.const #1 i32.sub call #3 else i32.const #7 " \
				 "end end ] [ 00 i32.const #100 local.get #0 i32.div_s end ] ] "

static struct baseline_lazy far_code;
static uint64_t skip;  // bytes before the next function

static bool compile(void *arg, uint32_t func, const void **ret, struct err *e)
{
	const struct guest *g = arg;
	struct baseline_options opt = {0};
	struct baseline_output out = {0};
	struct wasm_func_info info;
	struct abi_layout layout;
	struct wasm_scratch *scratch = wasm_scratch_new();
	abi_layout(g->m, &layout);
	code_lazy_skip(far_code.code, skip);
	skip = 0;
	bool ok = code_cpu_detect(&opt.cpu) && wasm_validate_func(g->m, func, scratch, &info, e) && baseline_compile_func(g->m, func, &info, &layout, &opt, &out, e) &&
		baseline_put_lazy(g->m, &out, 0, &far_code, e);
	*ret = ok ? code_lazy_find(far_code.code, func) : NULL;
	baseline_output_release(&out);
	wasm_scratch_free(scratch);
	return ok;
}

static uint64_t far_max(const struct wasm_module *m)
{
	return CODE_REACH - code_lazy_slots(m->nfuncs) - 2 * SYS_PAGE;  // and entries
}

static bool publish(struct guest *g, uint64_t text_max, struct err *e)
{
	const struct code_lazy how = {.compile = compile, .arg = g, .text_max = text_max};
	const struct baseline_options opt = {0};
	*g = (struct guest){0};
	build_text(&g->bytes, MANY);
	arena_init(&g->arena, 0);
	assert_true(vm_process_handle_signals(e) && wasm_decode(&g->arena, buf_view(&g->bytes), features, 0, &g->m, e));
	return baseline_publish_lazy(g->m, &opt, &how, &far_code, e);
}

static void begin(struct guest *g)
{
	struct err e = {0};
	struct wasm_module *m;
	struct arena a;
	struct buf bytes = {0};
	arena_init(&a, 0);
	build_text(&bytes, MANY);
	assert_true(wasm_decode(&a, buf_view(&bytes), features, 0, &m, &e));
	if (!publish(g, far_max(m), &e) || !vm_module_new(g->m, far_code.code, NULL, NULL, &g->mod, &e) || !vm_store_new(shard, &ample, &g->st, &e) ||
		!vm_instance_allocate(g->st, g->mod, NULL, 0, &g->inst, &e))
		fail_msg("%s", e.text);
	code_object_unref(far_code.code);
	assert_int_equal(vm_instance_initialize(g->inst), TRAP_NONE);
	arena_release(&a);
	buf_release(&bytes);
}

static uint64_t distance(uint32_t f, uint32_t of)
{
	return (uint64_t)((const uint8_t *)code_lazy_find(far_code.code, f) - (const uint8_t *)code_object_func(far_code.code, of));
}

// From entries to functions and from function to function, forwards through an entry and backwards; the stubs of overflows and traps.
static void calls_span_nearly_2_gib_L19(void **state)
{
	struct guest g;
	begin(&g);
	traps(&g, TRAP_DIVIDE_BY_ZERO, "divide", 0);
	assert_true(distance(4, 0) < SYS_PAGE);
	skip = code_lazy_left(far_code.code) - SYS_PAGE;
	gives(&g, 8, "one", 7);  // both at the far end
	assert_true(distance(1, 0) > CODE_REACH - 5 * SYS_PAGE && distance(0, 0) > distance(1, 0));
	gives(&g, 8, "two", 7);
	gives(&g, 7, "deep", 100);
	traps(&g, TRAP_STACK_OVERFLOW, "deep", UINT32_MAX);
	gives(&g, 50, "divide", 2);
	gives(&g, 8, "one", 7);
	guest_release(&g);
}

static void a_function_calls_one_that_lies_2_gib_before_it(void **state)
{
	struct guest g;
	begin(&g);
	gives(&g, 8, "zero", 7);
	skip = code_lazy_left(far_code.code) - SYS_PAGE;
	gives(&g, 8, "one", 7);
	assert_true(distance(0, 0) < SYS_PAGE && distance(1, 0) > CODE_REACH - 5 * SYS_PAGE);
	guest_release(&g);
}

static void what_would_lie_beyond_is_refused(void **state)
{
	struct guest g;
	struct err e = {0};
	begin(&g);
	uint64_t most = far_max(g.m);
	gives(&g, 8, "zero", 7);
	skip = code_lazy_left(far_code.code);
	traps(&g, TRAP_CODE_LIMIT, "one", 7);
	assert_non_null(strstr(vm_trap_info(shard)->message, "the module's machine code would exceed "));
	gives(&g, 8, "zero", 7);
	guest_release(&g);
	assert_false(publish(&g, most + 4 * SYS_PAGE, &e));
	assert_int_equal(e.code, ERR_ENV);
	guest_release(&g);
}

// The whole, with a reach that is as small as the code.
static void a_module_is_linked_up_to_the_reach_of_its_calls(void **state)
{
	struct guest g;
	struct err e = {0};
	struct baseline_options opt = {0};
	struct baseline_output out = {0}, *outputs[] = {&out};
	struct wasm_func_info info;
	struct abi_layout layout;
	struct code_artifact a;
	struct wasm_scratch *scratch = wasm_scratch_new();
	begin(&g);
	abi_layout(g.m, &layout);
	assert_true(code_cpu_detect(&opt.cpu));
	for (uint32_t f = 0; f < g.m->nfuncs; f++)
		assert_true(wasm_validate_func(g.m, f, scratch, &info, &e) && baseline_compile_func(g.m, f, &info, &layout, &opt, &out, &e));
	assert_true(baseline_link(g.m, outputs, 1, &opt, &a, &e));
	opt.reach = (uint32_t)a.text_size;
	code_artifact_release(&a);
	assert_true(baseline_link(g.m, outputs, 1, &opt, &a, &e));
	code_artifact_release(&a);
	for (opt.reach--; opt.reach; opt.reach /= 2) {
		err_clear(&e);
		assert_false(baseline_link(g.m, outputs, 1, &opt, &a, &e));
		assert_int_equal(e.code, ERR_LIMIT);
		assert_non_null(strstr(e.text, "which calls span"));
	}
	baseline_output_release(&out);
	wasm_scratch_free(scratch);
	guest_release(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_span_nearly_2_gib_L19),
		cmocka_unit_test(a_function_calls_one_that_lies_2_gib_before_it),
		cmocka_unit_test(what_would_lie_beyond_is_refused),
		cmocka_unit_test(a_module_is_linked_up_to_the_reach_of_its_calls),
	};
	return cmocka_run_group_tests(tests, guest_setup, guest_teardown);
}
