// Exceptions in compiled guests: what a handler finds of its function's registers, slots and memory; where handlers end; what references cost.
// PROGRAM(test_exceptions, "comp code vm tier cmocka", "")
#include "guest.h"

#define TAGS "0d "

static enum trap call_back(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	const struct guest *g = call->data;
	return guest_call(g, "throws", args, results);
}

// deep(n): ten locals alive around a call of itself; throws n at the bottom. sum(n): catches it n times, with locals of its own that calls preserve, an operand
// below the block, a vector and a float in locals.
#define DEEP                                                                                                                   \
	"[ 01 #4 7f local.get #0 i32.eqz if 40 local.get #1 throw #0 end "                                                         \
	"local.get #0 i32.const #3 i32.mul local.set #2 local.get #2 local.get #0 i32.add local.set #3 local.get #3 local.set #4 " \
	"local.get #0 i32.const #1 i32.sub local.get #1 local.get #2 i32.add local.get #3 i32.sub local.get #4 i32.add call #0 "   \
	"local.get #2 i32.add local.get #3 i32.add local.get #4 i32.add local.get #5 i32.add end ] "
#define SUM                                                                                                                                    \
	"[ 04 #3 7f 01 7b 01 7d 01 7e i64.const #5 i64x2.splat local.set #4 f32.const 00 00 20 41 local.set #5 i64.const #77 local.set #6 "        \
	"loop 40 local.get #1 i32.const #31 i32.mul "                                                                                              \
	"block 7f try_table 7f 01 00 00 00 local.get #0 i32.const #7 i32.and local.get #0 call #0 end end "                                        \
	"i32.add local.get #2 i32.add local.set #1 local.get #2 i32.const #3 i32.add local.set #2 local.get #3 i32.const #1 i32.add local.set #3 " \
	"local.get #0 i32.const #1 i32.sub local.tee #0 br_if #0 end "                                                                             \
	"local.get #1 local.get #3 i32.add local.get #4 i64x2.extract_lane 00 i32.wrap_i64 i32.add "                                               \
	"local.get #5 i32.trunc_f32_u i32.add local.get #6 i32.wrap_i64 i32.add end ] "
#define REGISTERS \
	MODULE TYPES "[ 03 60 02 7f 7f 01 7f 60 01 7f 01 7f 60 01 7f 00 ] " FUNCS "[ 02 00 01 ] " TAGS "[ 01 00 02 ] " EXPORTS "[ 01 'sum' 00 01 ] " CODE "[ 02 " DEEP SUM "] "

static uint32_t sum(uint32_t n)
{
	uint32_t a = 0, b = 0, c = 0;
	for (uint32_t i = n; i; i--) {
		uint32_t thrown = i;
		for (uint32_t k = i & 7; k; k--)
			thrown += 3 * k;  // + (3k) - (4k) + (4k)
		a = a * 31 + thrown + b;
		b += 3;
		c++;
	}
	return a + c + 5 + 10 + 77;
}

static void a_handler_finds_locals_and_operands_as_they_were(void **state UNUSED)
{
	for (int i = 0; i < 2; i++) {
		struct guest g;
		poison = i;
		guest_init(&g, REGISTERS);
		for (uint32_t n = 1; n < 40; n++)
			gives(&g, sum(n), "sum", n);
		guest_release(&g);
	}
	poison = false;
}

// A clause that comes to a loop's, a function's and an outer block's label, with values of every type and a reference.
#define LABELS                                                                                                                                                                                                                           \
	MODULE TYPES "[ 05 60 04 7f 7e 7d 7b 00 60 01 7f 01 7f 60 01 7f 00 60 00 05 7f 7e 7d 7b 69 60 00 00 ] " FUNCS "[ 04 03 01 01 04 ] " TAGS "[ 02 00 00 00 02 ] " EXPORTS "[ 03 'all' 00 00 'loop' 00 01 'again' 00 02 ] " CODE "[ 04 " \
				 "[ 00 try_table 40 01 01 00 00 call #3 end unreachable end ] "                                                                                                                                                          \
				 "[ 01 01 7f local.get #0 loop 02 local.get #1 i32.const #2 i32.mul i32.add local.set #1 "                                                                                                                               \
				 "local.get #1 i32.const #1000 i32.lt_u if 40 try_table 40 01 00 01 01 local.get #1 i32.const #1 i32.add throw #1 end end end local.get #1 end ] "                                                                       \
				 "[ 01 01 69 block 69 try_table 40 01 03 00 local.get #0 throw #1 end unreachable end local.set #1 "                                                                                                                     \
				 "block 7f try_table 40 01 00 01 00 local.get #1 throw_ref end unreachable end end ] "                                                                                                                                   \
				 "[ 00 i32.const #1 i64.const #2 f32.const 00 00 40 40 i64.const #4 i64x2.splat throw #0 end ] ] "

static void clauses_come_to_labels_of_every_kind(void **state UNUSED)
{
	struct guest g;
	uint64_t r[16] = {0};
	guest_init(&g, LABELS);
	assert_int_equal(guest_call(&g, "all", ARGS(0), r), TRAP_NONE);
	assert_int_equal(r[0], 1);
	assert_int_equal(r[1], 2);
	assert_int_equal(r[2], 0x40400000);
	assert_true(r[3] == 4 && r[4] == 4 && r[5]);
	uint32_t x = 0, v = 7;
	while (x < 1000) {
		x = v + 2 * x;
		v = x + 1;
	}
	gives(&g, x, "loop", 7);
	gives(&g, 9, "again", 9);
	guest_release(&g);
}

// throws(n) throws where n is not 0. tail(n): a tail call of it inside a try_table; its handler is gone, its caller's is not. calls(n): through another instance.
#define THROWER \
	MODULE TYPES "[ 02 60 01 7f 01 7f 60 01 7f 00 ] " FUNCS "[ 02 00 00 ] " MEMORIES "[ 01 00 01 ] " TAGS "[ 01 00 01 ] " EXPORTS "[ 03 'throws' 00 00 'tag' 04 00 'traps' 00 01 ] " CODE "[ 02 [ 00 local.get #0 if 40 local.get #0 throw #0 end i32.const #0 end ] [ 00 unreachable end ] ] "
#define CATCHER                                                                                                                                                                                                                                                                     \
	MODULE TYPES "[ 02 60 01 7f 01 7f 60 01 7f 00 ] " IMPORTS "[ 03 'm' 'throws' 00 00 'm' 'tag' 04 00 01 'm' 'traps' 00 00 ] " FUNCS "[ 04 00 00 00 00 ] " MEMORIES "[ 01 00 01 ] " TAGS "[ 01 00 01 ] " EXPORTS "[ 03 'calls' 00 02 'tails' 00 04 'caught' 00 05 ] " CODE "[ 04 " \
				 "[ 00 i32.const #0 i32.const #5 i32.store #2 #0 block 7f try_table 7f 02 00 01 00 00 00 00 local.get #0 call #0 end end "                                                                                                                                          \
				 "i32.const #0 i32.load #2 #0 i32.add end ] "                                                                                                                                                                                                                       \
				 "[ 00 block 40 try_table 40 01 02 00 local.get #0 return_call #0 end end i32.const #100 end ] "                                                                                                                                                                    \
				 "[ 00 block 7f try_table 7f 01 00 00 00 local.get #0 call #3 end i32.const #1000 i32.add end end ] "                                                                                                                                                               \
				 "[ 00 block 40 try_table 40 01 02 00 local.get #0 call #1 return end end i32.const #1 end ] ] "

static void exceptions_pass_instances_and_handlers_of_tail_calls_are_gone(void **state UNUSED)
{
	struct guest thrower, catcher;
	guest_init(&thrower, THROWER);
	guest_init_with(&catcher, CATCHER, &thrower);
	gives(&catcher, 5, "calls", 0);
	gives(&catcher, 12, "calls", 7);
	gives(&catcher, 1000, "tails", 0);
	gives(&catcher, 7, "tails", 7);
	traps(&catcher, TRAP_UNREACHABLE, "caught", 0);  // a trap is no exception
	traps(&thrower, TRAP_EXCEPTION, "throws", 3);
	gives(&thrower, 0, "throws", 0);
	guest_release(&catcher);
	guest_release(&thrower);
}

// outer calls the host, which calls throws.
#define BOUNDARY                                                                                                                                                                                                            \
	MODULE TYPES "[ 02 60 01 7f 01 7f 60 01 7f 00 ] " IMPORTS "[ 01 00 00 00 00 ] " FUNCS "[ 02 00 00 ] " TAGS "[ 01 00 01 ] " EXPORTS "[ 02 'throws' 00 01 'outer' 00 02 ] " CODE "[ 02 [ 00 local.get #0 throw #0 end ] " \
				 "[ 00 block 40 try_table 40 01 02 00 local.get #0 call #0 return end end i32.const #1 end ] ] "

static void an_exception_that_reaches_the_host_is_a_trap_for_all_above_L45(void **state UNUSED)
{
	struct guest g;
	guest_init_host(&g, BOUNDARY, call_back, &g, &ample);
	traps(&g, TRAP_EXCEPTION, "outer", 3);
	assert_true(vm_trap_info(shard)->frames.n >= 1);
	assert_int_equal(vm_trap_info(shard)->frames.list[0].func, 1);
	guest_release(&g);
}

// churn(n): throws n times and keeps a reference to the last. chain(n): n more that refer to each other, from a global. count(): takes that apart.
#define KEEPER_WITH(tables)                                                                                                                                                                                                                            \
	MODULE TYPES "[ 03 60 01 7f 01 7f 60 01 7f 00 60 01 69 00 ] " FUNCS "[ 04 00 00 00 00 ] " tables TAGS "[ 02 00 01 00 02 ] " GLOBALS "[ 01 69 01 d0 69 0b ] " EXPORTS "[ 04 'churn' 00 00 'chain' 00 01 'count' 00 02 'null' 00 03 ] " CODE "[ 04 " \
				 "[ 01 01 69 loop 40 block 69 try_table 40 01 03 00 local.get #0 throw #0 end unreachable end local.set #1 "                                                                                                                           \
				 "local.get #0 i32.const #1 i32.sub local.tee #0 br_if #0 end "                                                                                                                                                                        \
				 "block 7f try_table 40 01 00 00 00 local.get #1 throw_ref end unreachable end end ] "                                                                                                                                                 \
				 "[ 00 loop 40 block 69 try_table 40 01 03 00 global.get #0 throw #1 end unreachable end global.set #0 "                                                                                                                               \
				 "local.get #0 i32.const #1 i32.sub local.tee #0 br_if #0 end i32.const #0 end ] "                                                                                                                                                     \
				 "[ 01 01 7f loop 40 global.get #0 ref.is_null i32.eqz if 40 block 69 try_table 40 01 00 01 00 global.get #0 throw_ref end "                                                                                                           \
				 "unreachable end global.set #0 local.get #1 i32.const #1 i32.add local.set #1 br #1 end end local.get #1 end ] "                                                                                                                      \
				 "[ 00 d0 69 throw_ref end ] ] "
#define KEEPER KEEPER_WITH("")

static void what_is_referred_to_is_kept_and_nothing_else_L52(void **state UNUSED)
{
	struct guest g = {0};
	struct vm_limits limits = ample;
	struct vm_image *image;
	struct err e = {0};
	limits.memory = 1 << 20;
	assert_true(vm_store_new(shard, &limits, &g.st, &e));
	build_text(&g.bytes, KEEPER);
	guest_instantiate(&g, NULL, 0);
	assert_int_equal(vm_instance_initialize(g.inst), TRAP_NONE);
	gives(&g, 1, "churn", 300000);
	gives(&g, 0, "chain", 1000);
	assert_false(vm_image_capture(g.st, &image, &e));
	assert_int_equal(e.code, ERR_UNSUPPORTED);
	gives(&g, 1, "churn", 100000);
	gives(&g, 1000, "count", 0);
	assert_int_equal(guest_on_fiber(&g, "churn", ARGS(5000), NULL, NULL, VM_BUDGET_NONE), TRAP_NONE);
	traps(&g, TRAP_NULL_REFERENCE, "null", 0);
	assert_true(vm_image_capture(g.st, &image, &e));  // the global holds none any more
	vm_image_unref(image);
	traps(&g, TRAP_OUT_OF_MEMORY, "chain", 1000000);
	assert_true(vm_store_memory_used(g.st) <= limits.memory);
	guest_release(&g);
}

static void an_endless_loop_of_exceptions_ends_by_its_budget(void **state UNUSED)
{
	struct guest g;
	guest_init(&g, KEEPER);
	assert_int_equal(guest_on_fiber(&g, "churn", ARGS(0), NULL, NULL, (struct vm_budget){20000000, UINT64_MAX}), TRAP_CPU_BUDGET);
	gives(&g, 1, "churn", 10);
	guest_release(&g);
}

// Each throw would pay for a part of the table, if who is held were looked for as often as with a short one.
#if SANITIZE_ADDRESS || SANITIZE_THREAD
enum { THROWN = 100000 };
#else
enum { THROWN = 1000000 };
#endif

static void what_a_throw_costs_does_not_grow_with_tables(void **state UNUSED)
{
	struct guest g;
	guest_init(&g, KEEPER_WITH(TABLES "[ 01 69 00 #1000000 ] "));
	assert_int_equal(guest_on_fiber(&g, "churn", ARGS(THROWN), NULL, NULL, (struct vm_budget){2000000000, UINT64_MAX}), TRAP_NONE);
	guest_release(&g);
}

static void a_reset_store_keeps_none(void **state UNUSED)
{
	struct guest g;
	struct vm_image *image;
	struct err e = {0};
	guest_init(&g, KEEPER);
	assert_true(vm_image_capture(g.st, &image, &e));
	assert_true(vm_store_attach(g.st, image, &e));
	uint64_t before = vm_store_memory_used(g.st);
	for (int i = 0; i < 3; i++) {
		gives(&g, 0, "chain", 200);
		assert_true(vm_store_memory_used(g.st) > before);
		assert_true(vm_store_reset(g.st));
		assert_int_equal(vm_store_memory_used(g.st), before);
		gives(&g, 0, "count", 0);
	}
	vm_image_unref(image);
	guest_release(&g);
}

// after(n): a jump to the try_table's own label is the last of its body; what throws next stands outside.
#define BEHIND                                                                                                                                                                             \
	MODULE TYPES "[ 03 60 01 7f 01 7f 60 00 00 60 01 7f 00 ] " FUNCS "[ 04 00 01 00 00 ] " TAGS "[ 01 00 01 ] " EXPORTS "[ 03 'after' 00 00 'caught' 00 02 'around' 00 03 ] " CODE "[ 04 " \
				 "[ 00 block 40 try_table 40 01 02 00 br #0 end call #1 i32.const #2 return end i32.const #1 end ] [ 00 throw #0 end ] "                                                   \
				 "[ 00 block 40 try_table 40 01 02 00 local.get #0 call #0 return end end i32.const #5 end ] "                                                                             \
				 "[ 00 block 40 block 40 try_table 40 01 02 01 br #1 end end call #1 i32.const #2 return end i32.const #1 end ] ] "

static void what_follows_a_try_table_is_outside_of_it(void **state UNUSED)
{
	struct guest g;
	guest_init(&g, BEHIND);
	traps(&g, TRAP_EXCEPTION, "after", 0);
	traps(&g, TRAP_EXCEPTION, "around", 0);
	gives(&g, 5, "caught", 0);
	guest_release(&g);
}

// ---- the legacy form ----------------------------------------------------------------------------------------------
// throws(n): by n tag 0 with n, tag 1, tag 2 with three values, or nothing. sorts(n): what came of it, ten times, with an operand below the try.
// again(n): two catches within each other; the inner one rethrows the outer's (n & 4) or its own. jumps(n): delegates, into a catch, to a try, to a block, out.
#define LEGACY                                                                                                                                                                                                                                            \
	MODULE TYPES "[ 04 60 01 7f 01 7f 60 01 7f 00 60 00 00 60 03 7e 7b 7f 00 ] " FUNCS "[ 06 01 00 00 00 00 00 ] " TAGS "[ 03 00 01 00 02 00 03 ] " EXPORTS "[ 05 'sorts' 00 01 'again' 00 02 'jumps' 00 03 'churn' 00 04 'leaves' 00 05 ] " CODE "[ 06 " \
				 "[ 00 local.get #0 i32.const #3 i32.and i32.eqz if 40 local.get #0 throw #0 end local.get #0 i32.const #3 i32.and i32.const #1 i32.eq if 40 throw #1 end "                                                                               \
				 "local.get #0 i32.const #3 i32.and i32.const #2 i32.eq if 40 i64.const #40 i64.const #7 i64x2.splat local.get #0 throw #2 end end ] "                                                                                                    \
				 "[ 01 02 7f loop 40 local.get #2 try 7f local.get #0 call #0 i32.const #1000 catch #0 i32.const #1 i32.add catch #1 i32.const #2000 "                                                                                                    \
				 "catch #2 local.set #1 i64x2.extract_lane 00 i64.add i32.wrap_i64 local.get #1 i32.add end i32.add local.set #2 "                                                                                                                        \
				 "local.get #0 i32.const #4 i32.add local.tee #0 i32.const #40 i32.lt_u br_if #0 end local.get #2 end ] "                                                                                                                                 \
				 "[ 00 i32.const #100 try 7f try 7f local.get #0 throw #0 catch #0 try 7f throw #1 catch #1 local.get #0 i32.const #4 i32.and if 40 rethrow #2 end rethrow #0 end i32.add end "                                                           \
				 "catch #0 catch_all i32.const #9 end i32.add end ] "                                                                                                                                                                                     \
				 "[ 00 try 7f try 7f try 7f local.get #0 throw #0 delegate 00 catch #0 i32.const #1 i32.add try 7f local.get #0 throw #0 delegate 00 i32.add end "                                                                                        \
				 "catch #0 i32.const #50 i32.add end "                                                                                                                                                                                                    \
				 "try 7f block 7f try 7f try 7f local.get #0 throw #0 delegate #1 catch_all i32.const #3000 end end catch #0 i32.const #200 i32.add end i32.add "                                                                                         \
				 "local.get #0 i32.const #8 i32.eq if 40 try 40 try 40 local.get #0 throw #0 delegate #2 catch_all unreachable end end end ] "                                                                                                            \
				 "[ 01 01 7f loop 40 try 40 try 40 local.get #0 throw #0 catch_all rethrow #0 end catch #0 local.get #1 i32.add local.set #1 end "                                                                                                        \
				 "local.get #0 i32.const #1 i32.sub local.tee #0 br_if #0 end local.get #1 end ] "                                                                                                                                                        \
				 "[ 00 try 7f i32.const #1 local.get #0 throw #0 catch #0 br #1 catch_all i32.const #2 end end ] ] "

static void legacy_catches_take_their_tags_and_values(void **state UNUSED)
{
	struct guest g;
	guest_init(&g, LEGACY);
	gives(&g, 0 + 4 + 8 + 12 + 16 + 20 + 24 + 28 + 32 + 36 + 10, "sorts", 0);
	gives(&g, 20000, "sorts", 1);
	gives(&g, 2 + 6 + 10 + 14 + 18 + 22 + 26 + 30 + 34 + 38 + 470, "sorts", 2);
	gives(&g, 10000, "sorts", 3);
	gives(&g, 12, "leaves", 12);
	guest_release(&g);
}

static void legacy_rethrow_throws_what_the_catch_of_its_label_caught(void **state UNUSED)
{
	struct guest g;
	guest_init(&g, LEGACY);
	gives(&g, 100 + 4, "again", 4);
	gives(&g, 100 + 9, "again", 3);
	gives(&g, 300000ull * 300001 / 2 & UINT32_MAX, "churn", 300000);  // references are dropped
	guest_release(&g);
}

static void legacy_delegate_passes_what_lies_between(void **state UNUSED)
{
	struct guest g;
	guest_init(&g, LEGACY);
	gives(&g, 5 + 50 + 5 + 200, "jumps", 5);
	traps(&g, TRAP_EXCEPTION, "jumps", 8);
	guest_release(&g);
}

static int setup_legacy(void **state)
{
	features = WASM_FEATURES_DEFAULT | WASM_FEATURE_LEGACY_EXCEPTIONS;
	return guest_setup(state);
}

static int setup_legacy_poisoned(void **state)
{
	poison = true;
	return setup_legacy(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_handler_finds_locals_and_operands_as_they_were),
		cmocka_unit_test(clauses_come_to_labels_of_every_kind),
		cmocka_unit_test(exceptions_pass_instances_and_handlers_of_tail_calls_are_gone),
		cmocka_unit_test(an_exception_that_reaches_the_host_is_a_trap_for_all_above_L45),
		cmocka_unit_test(what_is_referred_to_is_kept_and_nothing_else_L52),
		cmocka_unit_test(an_endless_loop_of_exceptions_ends_by_its_budget),
		cmocka_unit_test(what_a_throw_costs_does_not_grow_with_tables),
		cmocka_unit_test(a_reset_store_keeps_none),
		cmocka_unit_test(what_follows_a_try_table_is_outside_of_it),
	};
	const struct CMUnitTest legacy[] = {
		cmocka_unit_test(legacy_catches_take_their_tags_and_values),
		cmocka_unit_test(legacy_rethrow_throws_what_the_catch_of_its_label_caught),
		cmocka_unit_test(legacy_delegate_passes_what_lies_between),
	};
	return cmocka_run_group_tests(tests, guest_setup, guest_teardown) + cmocka_run_group_tests(legacy, setup_legacy, guest_teardown) +
		cmocka_run_group_tests(legacy, setup_legacy_poisoned, guest_teardown);
}
