// Objects of compiled guests and their collector: what is in use survives wherever it is held, what is not is room again, within the account; images, resets.
// PROGRAM(test_objects, "comp code vm tier cmocka", "")
#include "guest.h"

#define TAGS "0d "
#define NODE "5f 02 7f 01 63 00 01 "  // type 0: structure of a mutable number and a mutable node, which may be null

// Many small objects for nothing: a node n times.
#define WASTE "loop 40 i32.const #0 ref.null 00 struct.new #0 drop local.get #0 i32.const #1 i32.sub local.tee #0 br_if #0 end "
// Nodes 0 to below local 1, the last one first, to local 2; 3 counts.
#define BUILD                                                                                                                                              \
	"block 40 loop 40 local.get #3 local.get #1 i32.ge_u br_if #1 local.get #3 local.get #2 struct.new #0 local.set #2 local.get #3 i32.const #1 i32.add " \
	"local.set #3 br #0 end end "
// The nodes' numbers added to local 4.
#define SUM                                                                                                                                                          \
	"block 40 loop 40 local.get #2 ref.is_null br_if #1 local.get #4 local.get #2 struct.get #0 #0 i32.add local.set #4 local.get #2 struct.get #0 #1 local.set #2 " \
	"br #0 end end "

// churn(n, live); big(n): arrays of n bytes for ever smaller n; grow(): a list that never ends; keep(n), kept(): in a global.
#define CHURN                                                                                                                                       \
	MODULE TYPES "[ 05 " NODE "60 02 7f 7f 01 7f 60 01 7f 01 7f 60 00 01 7f 5e 78 01 ] " FUNCS "[ 05 01 02 03 02 03 ] " GLOBALS                     \
				 "[ 01 63 00 01 ref.null 00 end ] " EXPORTS "[ 05 'churn' 00 00 'big' 00 01 'grow' 00 02 'keep' 00 03 'kept' 00 04 ] " CODE "[ 05 " \
				 "[ 02 01 63 00 02 7f " BUILD WASTE SUM "local.get #4 end ] "                                                                       \
				 "[ 01 01 7f loop 40 local.get #1 i32.const #7 local.get #0 array.new #4 array.len i32.add local.set #1 local.get #0 i32.const #3 " \
				 "i32.div_u local.tee #0 br_if #0 end local.get #1 end ] "                                                                          \
				 "[ 01 01 63 00 loop 40 i32.const #1 local.get #0 struct.new #0 local.set #0 br #0 end i32.const #0 end ] "                         \
				 "[ 01 01 7f loop 40 local.get #1 global.get #0 struct.new #0 global.set #0 local.get #1 i32.const #1 i32.add local.tee #1 "        \
				 "local.get #0 i32.lt_u br_if #0 end i32.const #0 end ] "                                                                           \
				 "[ 02 02 7f 01 63 00 global.get #0 local.set #2 block 40 loop 40 local.get #2 ref.is_null br_if #1 local.get #1 local.get #2 "     \
				 "struct.get #0 #0 i32.add local.set #1 local.get #2 struct.get #0 #1 local.set #2 br #0 end end local.get #1 end ] ] "

static uint32_t sum(uint64_t n)
{
	return (uint32_t)(n * (n - 1) / 2);
}

static void init_within(struct guest *g, const char *text, uint64_t memory)
{
	struct vm_limits limits = ample;
	struct err e = {0};
	limits.memory = memory;
	*g = (struct guest){0};
	assert_true(vm_store_new(shard, &limits, &g->st, &e));
	build_text(&g->bytes, text);
	guest_instantiate(g, NULL, 0);
	assert_int_equal(vm_instance_initialize(g->inst), TRAP_NONE);
}

// 160 MB of nodes, of which 1.6 MB are in use, in 8 MiB.
static void what_is_used_survives_and_all_else_is_room_again(void **state UNUSED)
{
	struct guest g;
	init_within(&g, CHURN, 8u << 20);
	gives(&g, sum(100000), "churn", 10000000, 100000);
	assert_true(vm_store_memory_peak(g.st) <= 8u << 20);
	// Of no type but bytes, from one block to hundreds.
	uint64_t total = 0;
	for (uint32_t n = 3000000; n; n /= 3)
		total += n;
	for (int i = 0; i < 50; i++)
		gives(&g, total, "big", 3000000);
	guest_release(&g);
}

static void a_heap_that_is_full_ends_the_call_and_the_next_one_finds_room(void **state UNUSED)
{
	struct guest g;
	init_within(&g, CHURN, 4u << 20);
	for (int i = 0; i < 3; i++) {
		traps(&g, TRAP_OUT_OF_MEMORY, "grow", 0);
		gives(&g, sum(1000), "churn", 100000, 1000);
	}
	traps(&g, TRAP_OUT_OF_MEMORY, "big", 5u << 20);
	traps(&g, TRAP_OUT_OF_MEMORY, "big", UINT32_MAX);
	assert_true(vm_store_memory_peak(g.st) <= 4u << 20);
	guest_release(&g);
}

// deep(n): a node of n on the operand stack, and one more in a local, over a call of itself; at the bottom many are made. Their sum, doubled.
#define DEEP                                                                                                                                           \
	MODULE TYPES "[ 03 " NODE "60 01 7f 01 7f 60 02 7f 7f 01 7f ] " FUNCS "[ 01 01 ] " EXPORTS "[ 01 'deep' 00 00 ] " CODE "[ 01 [ 02 01 63 00 01 7f " \
				 "local.get #0 i32.eqz if 40 i32.const 90 ce 00 local.set #0 " WASTE "i32.const #0 return end "                                        \
				 "local.get #0 ref.null 00 struct.new #0 local.set #1 "                                                                                \
				 "i32.const #9 local.get #0 local.get #1 struct.new #0 local.get #1 local.get #0 i32.const #1 i32.sub call #0 local.set #2 "           \
				 "struct.get #0 #0 local.get #2 i32.add local.set #2 struct.get #0 #1 struct.get #0 #0 local.get #2 i32.add i32.add i32.const #9 i32.sub end ] ] "

static void frames_hold_what_their_slots_and_locals_hold(void **state UNUSED)
{
	struct guest g;
	init_within(&g, DEEP, 1u << 20);
	gives(&g, 2 * sum(1001), "deep", 1000);
	vm_process_set_collect_always(true);
	gives(&g, 2 * sum(21), "deep", 20);
	vm_process_set_collect_always(false);
	guest_release(&g);
}

// A table of arrays of nodes, an exception's value, an element segment that makes its nodes, i31 and externs among them; all of it collected at each object.
#define HOLDERS                                                                                                                                                          \
	MODULE TYPES "[ 05 " NODE "5e 6e 01 60 00 01 7f 60 01 64 00 00 60 01 6f 01 7f ] " FUNCS "[ 03 02 02 04 ] " TABLES "[ 01 63 01 00 04 ] " TAGS "[ 01 00 03 ] " EXPORTS \
				 "[ 03 'table' 00 00 'exception' 00 01 'extern' 00 02 ] " ELEMS "[ 01 05 64 00 02 i32.const #21 ref.null 00 struct.new #0 end "                          \
				 "i32.const #22 ref.null 00 struct.new #0 end ] " CODE "[ 03 "                                                                                           \
				 "[ 00 i32.const #2 i32.const #5 ref.null 00 struct.new #0 i32.const #17 ref.i31 array.new_fixed #1 #2 table.set #0 "                                    \
				 "i32.const #0 i32.const #2 array.new_elem #1 #0 drop "                                                                                                  \
				 "i32.const #3 i32.const #0 i32.const #2 array.new_elem #1 #0 table.set #0 "                                                                             \
				 "i32.const #2 table.get #0 i32.const #0 array.get #1 ref.cast 00 struct.get #0 #0 "                                                                     \
				 "i32.const #2 table.get #0 i32.const #1 array.get #1 ref.cast 6c i31.get_s i32.add "                                                                    \
				 "i32.const #3 table.get #0 i32.const #1 array.get #1 ref.cast 00 struct.get #0 #0 i32.add "                                                             \
				 "i32.const #3 table.get #0 i32.const #0 array.get #1 ref.cast 6d i32.const #0 i32.const #1 array.new_elem #1 #0 i32.const #0 array.get #1 "             \
				 "ref.cast 6d ref.eq i32.const e4 00 i32.mul i32.add end ] "                                                                                             \
				 "[ 01 01 63 00 block 64 00 try_table 40 01 00 00 00 i32.const #33 ref.null 00 struct.new #0 throw #0 end unreachable end local.set #0 "                 \
				 "i32.const #1 ref.null 00 struct.new #0 drop local.get #0 struct.get #0 #0 end ] "                                                                      \
				 "[ 01 01 6e local.get #0 any.convert_extern local.set #1 i32.const #1 ref.null 00 struct.new #0 extern.convert_any any.convert_extern "                 \
				 "ref.cast 00 struct.get #0 #0 local.get #1 ref.test 6d i32.add local.get #1 ref.test 6e i32.const #2 i32.mul i32.add end ] ] "

static void tables_exceptions_segments_and_arrays_hold_objects(void **state UNUSED)
{
	struct guest g;
	init_within(&g, HOLDERS, 64u << 20);
	for (int i = 0; i < 2; i++) {
		gives(&g, 5 + 17 + 22 + 100, "table", 0);
		gives(&g, 33, "exception", 0);
		gives(&g, 1 + 2, "extern", vm_externref(7));
		vm_process_set_collect_always(!i);
	}
	vm_process_set_collect_always(false);
	guest_release(&g);
}

// A subtype chain of twelve: 0 to 11. at(0): which of 0, 7, 8, 11 an object of 11 is, as bits; at(1): one of 7.
static void casts_find_supertypes_of_any_depth(void **state UNUSED)
{
	struct buf text = {0};
	buf_put_str(&text, MODULE TYPES "[ 0d 50 00 5f 00 ");
	for (int i = 1; i < 12; i++)
		buf_printf(&text, "50 01 %02x 5f 00 ", i - 1);
	buf_put_str(&text, "60 01 7f 01 7f ] " FUNCS "[ 01 0c ] " EXPORTS "[ 01 'at' 00 00 ] " CODE "[ 01 [ 01 01 6e "
					   "local.get #0 if 6e struct.new_default #7 else struct.new_default #11 end local.set #1 "
					   "local.get #1 ref.test 00 local.get #1 ref.test 07 i32.const #2 i32.mul i32.add "
					   "local.get #1 ref.test 08 i32.const #4 i32.mul i32.add local.get #1 ref.test 0b i32.const #8 i32.mul i32.add end ] ] ");
	assert_true(buf_put_byte(&text, 0));
	struct guest g;
	guest_init(&g, (const char *)text.ptr);
	gives(&g, 15, "at", 0);
	gives(&g, 3, "at", 1);
	guest_release(&g);
	buf_release(&text);
}

// ---- parked
static enum trap park(struct vm_call *call, const uint64_t *args UNUSED, uint64_t *results UNUSED)
{
	return vm_fiber_park(call->shard) == VM_RESUMED ? TRAP_NONE : TRAP_KILLED;
}

#define PARKS                                                                                                                                  \
	MODULE TYPES "[ 03 60 00 00 5f 02 7f 01 63 01 01 60 01 7f 01 7f ] " IMPORTS "[ 01 'e' 'f' 00 00 ] " FUNCS "[ 02 02 02 ] " EXPORTS          \
				 "[ 02 'waits' 00 01 'waste' 00 02 ] " CODE "[ 02 [ 00 local.get #0 ref.null 01 struct.new #1 call #0 struct.get #1 #0 end ] " \
				 "[ 00 loop 40 i32.const #0 ref.null 01 struct.new #1 drop local.get #0 i32.const #1 i32.sub local.tee #0 br_if #0 end i32.const #0 end ] ] "

static void fibers_that_are_parked_hold_what_their_frames_hold(void **state UNUSED)
{
	struct guest g;
	guest_init_host(&g, PARKS, park, NULL, &ample);
	assert_int_equal(vm_instance_initialize(g.inst), TRAP_NONE);
	enum { N = 5 };
	struct vm_fiber *fibers[N];
	struct guest_job jobs[N];
	uint64_t args[N][16] = {0};
	for (int i = 0; i < N; i++) {
		args[i][0] = 40 + (uint64_t)i;
		jobs[i] = (struct guest_job){.g = &g, .name = "waits", .args = args[i]};
		fibers[i] = vm_fiber_new(shard, guest_run_job, &jobs[i]);
		assert_int_equal(vm_fiber_resume(fibers[i], VM_RESUMED), VM_FIBER_PARKED);
	}
	vm_process_set_collect_always(true);
	gives(&g, 0, "waste", 1000);
	vm_process_set_collect_always(false);
	for (int i = N; i--;) {
		assert_int_equal(vm_fiber_resume(fibers[i], VM_RESUMED), VM_FIBER_DONE);
		assert_int_equal(jobs[i].trap, TRAP_NONE);
		assert_int_equal(jobs[i].result[0], 40 + i);
		vm_fiber_free(fibers[i]);
	}
	guest_release(&g);
}

// ---- ended while it is collected
static void a_budget_ends_a_call_that_only_collects(void **state UNUSED)
{
	struct guest g;
	init_within(&g, CHURN, 64u << 20);
	gives(&g, 0, "keep", 500000);
	vm_process_set_collect_always(true);
	assert_int_equal(guest_on_fiber(&g, "churn", ARGS(100000, 10), NULL, NULL, (struct vm_budget){30 * MILLISECOND, UINT64_MAX}), TRAP_CPU_BUDGET);
	vm_process_set_collect_always(false);
	gives(&g, sum(500000), "kept", 0);
	gives(&g, sum(10), "churn", 1000000, 10);
	guest_release(&g);
}

// ---- images
static void an_image_holds_a_heap_and_a_reset_restores_it(void **state UNUSED)
{
	struct guest g, slot = {0};
	struct vm_image *image, *from_file = NULL;
	struct err e = {0};
	guest_init(&g, CHURN);
	gives(&g, 0, "keep", 5000);
	gives(&g, sum(100), "churn", 100000, 100);
	if (!vm_image_capture(g.st, &image, &e))
		fail_msg("%s", e.text);
	int fd = sys_memfd("image", 0);
	assert_true(fd >= 0 && vm_image_write(image, slice_str("x"), fd, &e) && vm_image_open(fd, false, &from_file, &e));
	struct vm_image *images[] = {image, from_file};
	for (size_t k = 0; k < 2; k++) {
		assert_true(vm_store_new(shard, &ample, &slot.st, &e) && vm_instance_allocate(slot.st, g.mod, NULL, 0, &slot.inst, &e));
		if (!vm_store_attach(slot.st, images[k], &e))
			fail_msg("%s", e.text);
		uint64_t used = vm_store_memory_used(slot.st);
		for (int i = 0; i < 5; i++) {
			gives(&slot, sum(5000), "kept", 0);
			gives(&slot, sum(100), "churn", 300000, 100);
			gives(&slot, 0, "keep", 7);
			gives(&slot, sum(5000) + sum(7), "kept", 0);
			assert_true(vm_store_reset(slot.st));
			assert_int_equal(vm_store_memory_used(slot.st), used);
		}
		assert_true(vm_store_trim(slot.st));
		gives(&slot, sum(5000), "kept", 0);
		vm_store_free(slot.st);
		vm_image_unref(images[k]);
	}
	guest_release(&g);
}

// ---- host's values
static void what_a_reference_is_can_be_asked(void **state UNUSED)
{
	struct guest g;
	guest_init(&g, MODULE TYPES "[ 03 5f 00 5e 7f 00 60 01 7f 01 6e ] " FUNCS "[ 01 02 ] " EXPORTS "[ 01 'make' 00 00 ] " CODE "[ 01 [ 00 local.get #0 i32.eqz if 40 "
								"struct.new_default #0 return end local.get #0 i32.const #1 i32.eq if 40 i32.const #3 array.new_default #1 return end "
								"local.get #0 ref.i31 end ] ] ");
	uint32_t s = (uint32_t)result_of(&g, "make", ARGS(0)), a = (uint32_t)result_of(&g, "make", ARGS(1)), i = (uint32_t)result_of(&g, "make", ARGS(2));
	assert_true(vm_ref_is(g.st, s, WASM_HEAP_STRUCT) && vm_ref_is(g.st, s, WASM_HEAP_EQ) && !vm_ref_is(g.st, s, WASM_HEAP_ARRAY) && !vm_ref_is(g.st, s, WASM_HEAP_I31));
	assert_true(vm_ref_is(g.st, a, WASM_HEAP_ARRAY) && !vm_ref_is(g.st, a, WASM_HEAP_STRUCT));
	assert_true(vm_ref_is(g.st, i, WASM_HEAP_I31) && vm_ref_is(g.st, i, WASM_HEAP_EQ));
	assert_true(vm_ref_is(g.st, vm_externref(0), WASM_HEAP_ANY) && !vm_ref_is(g.st, vm_externref(0), WASM_HEAP_EQ));
	guest_release(&g);
}

// A module without types makes objects of none (found by the differential fuzzer with UBSan).
static void an_i31_needs_no_types(void **state UNUSED)
{
	struct guest g;
	struct vm_extern x;
	uint64_t cells[2] = {0};
	guest_init(&g, MODULE GLOBALS "[ 01 6c 00 i32.const #5 ref.i31 end ] " EXPORTS "[ 01 'g' 03 00 ] ");
	assert_true(vm_instance_export(g.inst, SLICE_LIT("g"), &x));
	vm_global_get(x.global, cells);
	assert_int_equal(cells[0], 5 << 1 | ABI_REF_I31);
	guest_release(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_used_survives_and_all_else_is_room_again),
		cmocka_unit_test(an_i31_needs_no_types),
		cmocka_unit_test(a_heap_that_is_full_ends_the_call_and_the_next_one_finds_room),
		cmocka_unit_test(frames_hold_what_their_slots_and_locals_hold),
		cmocka_unit_test(tables_exceptions_segments_and_arrays_hold_objects),
		cmocka_unit_test(casts_find_supertypes_of_any_depth),
		cmocka_unit_test(fibers_that_are_parked_hold_what_their_frames_hold),
		cmocka_unit_test(a_budget_ends_a_call_that_only_collects),
		cmocka_unit_test(an_image_holds_a_heap_and_a_reset_restores_it),
		cmocka_unit_test(what_a_reference_is_can_be_asked),
	};
	return cmocka_run_group_tests(tests, guest_setup, guest_teardown);
}
