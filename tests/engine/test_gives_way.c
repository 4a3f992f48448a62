// Long work of the runtime for a guest gives way: others get their turn in the middle of each, and it is right afterwards. What a reset and an image look at.
// PROGRAM(test_gives_way, "comp code vm tier cmocka", "")
#include "guest.h"

#define TAGS "0d "

// It gives what it should, and gives way so often.
static void gives_way(const struct guest *g, uint64_t want, const char *name, uint64_t arg, uint64_t least)
{
	uint64_t preemptions = 0, r = 0;
	vm_process_set_give_way_always(true);
	enum trap t = guest_on_fiber(g, name, ARGS(arg), &r, &preemptions, VM_BUDGET_NONE);
	vm_process_set_give_way_always(false);
	assert_int_equal(t, TRAP_NONE);
	assert_int_equal(r, want);
	assert_in_range(preemptions, least, 20 * least);
}

static void collects_giving_way(const struct guest *g, uint64_t least)
{
	vm_process_set_collect_always(true);
	gives_way(g, 7, "one", 0, least);
	vm_process_set_collect_always(false);
}

// chain(n): n more exceptions that refer to each other, from a global; length(): of that. fill(n): n nodes in a list, from a global. list(): its length.
// drop(n): fills, drops it and makes an object. one(): makes an object. array(n): makes an array of n bytes, its last one.
// segment(): the objects of a segment. many(n): n exceptions of which a global holds the last.
#define EVERYTHING                                                                                                                                   \
	MODULE TYPES "[ 06 5f 01 63 00 01 60 01 7f 01 7f 60 01 69 00 5e 78 01 60 00 00 5e 63 00 01 ] " FUNCS "[ 09 01 01 01 01 01 01 01 01 01 ] " TABLES \
				 "[ 01 69 00 #%u ] " TAGS "[ 01 00 02 ] " GLOBALS "[ 02 69 01 d0 69 0b 63 00 01 d0 00 0b ] " EXPORTS                                 \
				 "[ 09 'chain' 00 00 'length' 00 01 'fill' 00 02 'list' 00 03 'drop' 00 04 'one' 00 05 'array' 00 06 'segment' 00 07 'many' 00 08 ] "
#define BODIES                                                                                                                                    \
	CODE "[ 09 "                                                                                                                                  \
		 "[ 00 loop 40 block 69 try_table 40 01 03 00 global.get #0 throw #0 end unreachable end global.set #0 "                                  \
		 "local.get #0 i32.const #1 i32.sub local.tee #0 br_if #0 end i32.const #0 end ] "                                                        \
		 "[ 02 01 7f 01 69 struct.new_default #0 drop global.get #0 local.set #2 loop 40 local.get #2 ref.is_null i32.eqz if 40 "                 \
		 "block 69 try_table 40 01 00 00 00 local.get #2 throw_ref end unreachable end local.set #2 local.get #1 i32.const #1 i32.add "           \
		 "local.set #1 br #1 end end local.get #1 end ] "                                                                                         \
		 "[ 00 loop 40 global.get #1 struct.new #0 global.set #1 local.get #0 i32.const #1 i32.sub local.tee #0 br_if #0 end i32.const #0 end ] " \
		 "[ 02 01 7f 01 63 00 global.get #1 local.set #2 block 40 loop 40 local.get #2 ref.is_null br_if #1 local.get #1 i32.const #1 i32.add "   \
		 "local.set #1 local.get #2 struct.get #0 #0 local.set #2 br #0 end end local.get #1 end ] "                                              \
		 "[ 00 local.get #0 call #2 drop d0 00 global.set #1 i32.const #0 call #5 end ] "                                                         \
		 "[ 00 struct.new_default #0 drop i32.const #7 end ] "                                                                                    \
		 "[ 01 01 63 03 local.get #0 array.new_default #3 local.set #1 local.get #1 local.get #0 i32.const #1 i32.sub array.get_s #3 "            \
		 "local.get #1 i32.const #0 i32.const #7 local.get #0 array.fill #3 end ] "                                                               \
		 "[ 00 i32.const #0 local.get #0 array.new_elem #5 #0 array.len end ] "                                                                   \
		 "[ 00 loop 40 block 69 try_table 40 01 03 00 d0 69 throw #0 end unreachable end global.set #0 "                                          \
		 "local.get #0 i32.const #1 i32.sub local.tee #0 br_if #0 end i32.const #0 end ] ] "

// An element segment of so many structures, and a table of so many exnrefs.
static void init_everything(struct guest *g, uint32_t elements, uint32_t table)
{
	struct buf text = {0};
	buf_printf(&text, EVERYTHING ELEMS "[ 01 05 63 00 #%u ", table, elements);
	for (uint32_t i = 0; i < elements; i++)
		buf_put_str(&text, "struct.new_default #0 end ");
	buf_put_str(&text, "] " BODIES);
	assert_true(buf_put_byte(&text, 0));
	guest_init(g, (const char *)text.ptr);
	buf_release(&text);
}

#if SANITIZE_ADDRESS || SANITIZE_THREAD
enum { MANY = 50000, FIBERS = 100 };
#else
enum { MANY = 500000, FIBERS = 3000 };
#endif

static void marking_a_chain_of_exceptions_gives_way(void **state UNUSED)
{
	struct guest g;
	init_everything(&g, 1, 1);
	gives(&g, 0, "chain", MANY);
	collects_giving_way(&g, 2 * MANY / 4096);
	guest_release(&g);
}

static void looking_through_a_table_for_exceptions_gives_way(void **state UNUSED)
{
	struct guest g;
	init_everything(&g, 1, 1000000);
	gives(&g, 0, "chain", 1);  // with none nobody looks
	collects_giving_way(&g, 1000000 / 4096);
	guest_release(&g);
}

static void set_null(const struct guest *g, uint32_t global)
{
	vm_global_set(vm_instance_extern(g->inst, WASM_EXTERN_GLOBAL, global).global, (const uint64_t[2]){0});
}

static void dropping_exceptions_gives_way(void **state UNUSED)
{
	struct guest g;
	init_everything(&g, 1, 1);
	uint64_t empty = vm_store_memory_used(g.st);
	gives(&g, 0, "chain", MANY);
	set_null(&g, 0);
	collects_giving_way(&g, 4 * MANY / 4096);
	assert_true(vm_store_memory_used(g.st) < empty + MANY);
	guest_release(&g);
}

static void sweeping_and_giving_back_give_way(void **state UNUSED)
{
	struct guest g;
	init_everything(&g, 1, 1);
	uint64_t empty = vm_store_memory_used(g.st);
	gives(&g, 0, "fill", 16 * MANY);
	set_null(&g, 1);
	collects_giving_way(&g, (16ull * MANY * 16 >> 20) - 4);  // 4 MiB are kept
	assert_true(vm_store_memory_used(g.st) < empty + MANY);
	guest_release(&g);
}

// Of 10,000 exceptions, each of which ends a turn when it is thrown: how many turns end beside that, in looks at who holds which.
static uint64_t turns_of_looks(const struct guest *g)
{
	enum { THROWN = 10000 };
	uint64_t preemptions = 0, r = 0;
	vm_process_set_give_way_always(true);
	enum trap t = guest_on_fiber(g, "many", ARGS(THROWN), &r, &preemptions, VM_BUDGET_NONE);
	vm_process_set_give_way_always(false);
	assert_int_equal(t, TRAP_NONE);
	assert_true(preemptions >= THROWN);
	return preemptions - THROWN;
}

static void exceptions_are_looked_for_seldom_where_that_is_long(void **state UNUSED)
{
	struct guest g;
	init_everything(&g, 1, 1);
	assert_in_range(turns_of_looks(&g), 0, 60);
	static struct vm_fiber *fibers[FIBERS];
	for (int i = 0; i < FIBERS; i++)
		assert_non_null(fibers[i] = vm_fiber_new(shard, guest_run_job, NULL));
	assert_in_range(turns_of_looks(&g), 0, 160);
	for (int i = 0; i < FIBERS; i++)
		vm_fiber_free(fibers[i]);
	// A list that was long and is nearly empty.
	gives(&g, 0, "chain", MANY);
	set_null(&g, 0);
	collects_giving_way(&g, 4 * MANY / 4096);
	assert_in_range(turns_of_looks(&g), 0, MANY / 50);
	guest_release(&g);
}

// deep(n): calls itself n times from two places by turns, and makes an object in the last. What it never comes to has so many loads, each of which is a site.
static void init_deep(struct guest *g, uint32_t loads)
{
	struct buf text = {0};
	buf_put_str(&text, MODULE TYPES "[ 02 5f 00 60 01 7f 01 7f ] " FUNCS "[ 01 01 ] " MEMORIES "[ 01 00 01 ] " EXPORTS "[ 01 'deep' 00 00 ] " CODE "[ 01 [ 00 block 40 i32.const #1 br_if #0 i32.const #0 ");
	for (uint32_t i = 0; i < loads; i++)
		buf_put_str(&text, "28 00 00 ");
	buf_put_str(&text, "drop end local.get #0 i32.eqz if 7f struct.new_default #0 drop i32.const #7 else local.get #0 i32.const #1 i32.and if 7f "
					   "local.get #0 i32.const #1 i32.sub call #0 else local.get #0 i32.const #1 i32.sub call #0 end end end ] ] ");
	assert_true(buf_put_byte(&text, 0));
	guest_init(g, (const char *)text.ptr);
	buf_release(&text);
}

static void frames_whose_maps_are_far_in_the_sites_give_way(void **state UNUSED)
{
	enum { DEPTH = 200, LOADS = 20000 };
	struct guest g;
	init_deep(&g, LOADS);
	vm_process_set_collect_always(true);
	gives_way(&g, 7, "deep", DEPTH, DEPTH);
	vm_process_set_collect_always(false);
	guest_release(&g);
}

static void clearing_a_large_object_gives_way(void **state UNUSED)
{
	struct guest g;
	init_everything(&g, 1, 1);
	gives(&g, 0, "array", 64u << 20);
	collects_giving_way(&g, 32);  // what it filled is given back
	gives_way(&g, 0, "array", 64u << 20, 64 + 64);  // cleared and filled
	guest_release(&g);
}

static void making_the_objects_of_a_segment_gives_way(void **state UNUSED)
{
	struct guest g;
	init_everything(&g, MANY / 2, 1);
	gives_way(&g, 1, "segment", 1, MANY / 2 / 1024);
	gives(&g, MANY / 2, "segment", MANY / 2);
	guest_release(&g);
}

static void run_initialization(void *arg)
{
	struct guest_job *j = arg;
	j->trap = vm_instance_initialize(j->g->inst);
}

// Takes the text.
static void initializes_giving_way(struct buf *text, uint64_t least)
{
	struct guest g = {0};
	assert_true(buf_put_byte(text, 0));
	build_text(&g.bytes, (const char *)text->ptr);
	buf_release(text);
	guest_instantiate(&g, NULL, 0);
	struct guest_job j = {.g = &g};
	struct vm_fiber *f = vm_fiber_new(shard, run_initialization, &j);
	vm_process_set_give_way_always(true);
	while (vm_fiber_resume(f, VM_RESUMED) != VM_FIBER_DONE)
		;
	vm_process_set_give_way_always(false);
	assert_int_equal(j.trap, TRAP_NONE);
	assert_in_range(vm_fiber_preemptions(f), least, 2 * least);
	vm_fiber_free(f);
	uint64_t last[2];
	vm_global_get(vm_instance_extern(g.inst, WASM_EXTERN_GLOBAL, g.m->nglobals - 1).global, last);
	assert_int_equal(last[0], 7);
	guest_release(&g);
}

static void initializing_globals_gives_way(void **state UNUSED)
{
	enum { N = 50000 };
	struct buf text = {0};
	buf_printf(&text, MODULE GLOBALS "[ #%u ", N);
	for (uint32_t i = 0; i < N; i++)
		buf_put_str(&text, "7f 00 41 07 0b ");
	buf_put_str(&text, "] ");
	initializes_giving_way(&text, 4 * N / 4096);
	// One that is long.
	buf_put_str(&text, MODULE GLOBALS "[ 01 7f 00 41 07 ");
	for (uint32_t i = 0; i < N / 2; i++)
		buf_put_str(&text, "41 00 6a ");
	buf_put_str(&text, "0b ] ");
	initializes_giving_way(&text, 4 * N / 4096);
}

// A call that ends in the middle of a sweep leaves a heap that is right.
static void a_kill_in_the_middle_leaves_all_that_is_in_use(void **state UNUSED)
{
	struct guest g;
	init_everything(&g, 1, 1);
	gives(&g, 0, "fill", MANY);
	gives(&g, 0, "chain", MANY / 10);
	for (int i = 0; i < 50; i++) {
		vm_process_set_collect_always(true);
		struct guest_job j = {.g = &g, .name = i % 2 ? "array" : "one", .args = ARGS(3u << 20)};
		struct vm_fiber *f = vm_fiber_new(shard, guest_run_job, &j);
		vm_process_set_give_way_always(true);
		enum vm_fiber_state s = VM_FIBER_NEW;
		for (int k = 0; k < 1 + 7 * i && s != VM_FIBER_DONE; k++)
			s = vm_fiber_resume(f, VM_RESUMED);
		if (s != VM_FIBER_DONE)
			assert_int_equal(vm_fiber_resume(f, VM_KILLED), VM_FIBER_DONE);
		assert_true(j.trap == TRAP_NONE || j.trap == TRAP_KILLED);
		vm_process_set_give_way_always(false);
		vm_fiber_free(f);
		vm_process_set_collect_always(false);
		gives(&g, MANY, "list", 0);
		gives(&g, MANY / 10, "length", 0);
	}
	guest_release(&g);
}

// Fibers of other stores begin, collect, and end in the middle of a collection that goes over all of them.
static void fibers_come_and_go_beside_a_collection(void **state UNUSED)
{
	enum { OTHERS = 5, LIST = 20000 };
	struct guest g, other[OTHERS];
	struct guest_job jobs[OTHERS];
	struct vm_fiber *fibers[OTHERS] = {0};
	unsigned seed = 1, begun = 0, ended = 0;
	init_everything(&g, 1, 1);
	gives(&g, 0, "fill", MANY / 5);
	gives(&g, 0, "chain", MANY / 50);
	for (int k = 0; k < OTHERS; k++) {
		init_everything(&other[k], 1, 1);
		gives(&other[k], 0, "fill", LIST);
		gives(&other[k], 0, "chain", LIST / 10);
	}
	vm_process_set_collect_always(true);
	vm_process_set_give_way_always(true);
	for (int round = 0; round < 5 || (ended <= OTHERS && round < 1000); round++) {
		struct guest_job j = {.g = &g, .name = "one", .args = ARGS(0)};
		struct vm_fiber *f = vm_fiber_new(shard, guest_run_job, &j);
		while (vm_fiber_resume(f, VM_RESUMED) != VM_FIBER_DONE) {
			seed = seed * 1664525 + 1013904223;
			unsigned k = (seed >> 16) % OTHERS;
			if (!fibers[k]) {
				jobs[k] = (struct guest_job){.g = &other[k], .name = "one", .args = ARGS(0)};
				fibers[k] = vm_fiber_new(shard, guest_run_job, &jobs[k]);
				begun++;
			} else if (vm_fiber_resume(fibers[k], VM_RESUMED) == VM_FIBER_DONE) {
				assert_int_equal(jobs[k].result[0], 7);
				vm_fiber_free(fibers[k]);
				fibers[k] = NULL;
				ended++;
			}
		}
		assert_int_equal(j.result[0], 7);
		vm_fiber_free(f);
	}
	assert_true(begun > OTHERS && ended > OTHERS);
	vm_process_set_collect_always(false);
	vm_process_set_give_way_always(false);
	for (int k = 0; k < OTHERS; k++) {
		while (fibers[k] && vm_fiber_state(fibers[k]) != VM_FIBER_DONE)
			vm_fiber_resume(fibers[k], VM_RESUMED);
		vm_fiber_free(fibers[k]);
		gives(&other[k], LIST, "list", 0);
		gives(&other[k], LIST / 10, "length", 0);
		guest_release(&other[k]);
	}
	gives(&g, MANY / 5, "list", 0);
	gives(&g, MANY / 50, "length", 0);
	guest_release(&g);
}

// ---- what a reset and an image look at -----------------------------------------------------------------------------------
static void a_reset_touches_only_what_was_written(void **state UNUSED)
{
	struct guest g;
	struct vm_image *image;
	struct err e = {0};
	enum { NODES = 100000, KEPT = 4u << 20 };
	init_everything(&g, 1, 1);
	gives(&g, 0, "fill", NODES);
	if (!vm_image_capture(g.st, &image, &e) || !vm_store_attach(g.st, image, &e))
		fail_msg("%s", e.text);
	assert_true(vm_image_bytes(image) >= NODES * 16);
	uint64_t used = vm_store_memory_used(g.st);
	for (int i = 0; i < 20; i++) {
		gives(&g, 7, "one", 0);
		if (i == 5) {  // all of the image's goes, and its blocks are others'
			gives(&g, 7, "drop", 3 * NODES);
			vm_process_set_collect_always(true);
			gives(&g, 7, "one", 0);
			vm_process_set_collect_always(false);
			gives(&g, 0, "array", 20u << 20);
			gives(&g, 0, "fill", NODES / 2);
		}
		assert_true(vm_store_reset(g.st));
		struct vm_reset_stats stats = vm_store_reset_stats(g.st);
		if (vm_process_reset_method() != VM_RESET_DISCARD && i <= 5)  // what differed then is looked at again many resets later
			assert_true(i == 5 ? stats.differing_pages > 1000 : stats.differing_pages >= 1 && stats.differing_pages <= 8);
		// Nor what one call made beyond what others do.
		assert_true(stats.private_pages <= (vm_image_memory_length(image) + KEPT) / 4096);
		gives(&g, NODES, "list", 0);
		if (i >= 5)
			gives(&g, 0, "array", 20u << 20);  // all zero again
		assert_int_equal(vm_store_reset(g.st), 1);
		assert_int_equal(vm_store_memory_used(g.st), used);
	}
	vm_image_unref(image);
	guest_release(&g);
}

// Tag 0 has 13 numbers. many(n): n exceptions of it, the last of which is held; last(): the thirteenth of its numbers. Tag 1 has one.
#define I64S_13 "7e 7e 7e 7e 7e 7e 7e 7e 7e 7e 7e 7e 7e "
#define CONSTS_12 "42 01 42 02 42 03 42 04 42 05 42 06 42 07 42 08 42 09 42 0a 42 0b 42 0c "
#define DROPS_12 "drop drop drop drop drop drop drop drop drop drop drop drop "
#define LARGE                                                                                                                                      \
	MODULE TYPES "[ 04 60 0d " I64S_13 "00 60 01 7f 01 7f 60 00 0d " I64S_13 "60 01 7e 00 ] " FUNCS "[ 03 01 01 01 ] " TAGS                        \
				 "[ 02 00 00 00 03 ] " GLOBALS "[ 01 69 01 d0 69 0b ] " EXPORTS "[ 03 'many' 00 00 'last' 00 01 'few' 00 02 ] " CODE               \
				 "[ 03 [ 00 loop 40 block 69 try_table 40 01 03 00 " CONSTS_12 "local.get #0 i64.extend_i32_u throw #0 end unreachable end "       \
				 "global.set #0 local.get #0 i32.const #1 i32.sub local.tee #0 br_if #0 end i32.const #0 end ] "                                   \
				 "[ 00 block 02 try_table 40 01 00 00 00 global.get #0 throw_ref end unreachable end i32.wrap_i64 local.set #0 " DROPS_12          \
				 "local.get #0 end ] "                                                                                                             \
				 "[ 00 loop 40 block 69 try_table 40 01 03 00 42 07 throw #1 end unreachable end global.set #0 local.get #0 i32.const #1 i32.sub " \
				 "local.tee #0 br_if #0 end i32.const #0 end ] ] "

// Of any size, each has its values; and a reset leaves nothing of them.
static void exceptions_of_each_size_are_kept_and_go_with_a_reset(void **state UNUSED)
{
	struct guest g;
	struct vm_image *image;
	struct err e = {0};
	guest_init(&g, LARGE);
	if (!vm_image_capture(g.st, &image, &e) || !vm_store_attach(g.st, image, &e))
		fail_msg("%s", e.text);
	uint64_t used = vm_store_memory_used(g.st);
	for (int i = 0; i < 5; i++) {
		gives(&g, 0, "few", 1000);
		gives(&g, 0, "many", 3000);
		gives(&g, 1, "last", 0);
		assert_in_range(vm_store_memory_used(g.st) - used, 1, 1u << 20);  // those that nobody holds are looked for
		gives(&g, 0, "few", 100);
		assert_true(vm_store_reset(g.st));
		assert_int_equal(vm_store_memory_used(g.st), used);
		traps(&g, TRAP_NULL_REFERENCE, "last", 0);
		assert_true(vm_store_reset(g.st));
	}
	vm_image_unref(image);
	guest_release(&g);
}

static void an_image_looks_at_no_stack(void **state UNUSED)
{
	struct guest g;
	struct vm_image *image;
	struct err e = {0};
	init_everything(&g, 1, 1);
	gives(&g, 0, "chain", 1);
	assert_false(vm_image_capture(g.st, &image, &e));
	assert_int_equal(e.code, ERR_UNSUPPORTED);
	set_null(&g, 0);
	volatile uint32_t words[1000];
	for (uint32_t i = 0; i < 1000; i++)
		words[i] = 0x5e000000u + i;  // every reference to an exception that there may be
	if (!vm_image_capture(g.st, &image, &e))
		fail_msg("%s", e.text);
	assert_int_equal(words[999], 0x5e0003e7);
	vm_image_unref(image);
	guest_release(&g);
}

// ---- figures -------------------------------------------------------------------------------------------------------------
// CPU time of the longest turn of a collection, which is what others on the shard wait; *all: of all its turns.
static uint64_t longest_turn(const struct guest *g, uint64_t *all)
{
	struct guest_job j = {.g = g, .name = "one", .args = ARGS(0)};
	struct vm_fiber *f = vm_fiber_new(shard, guest_run_job, &j);
	uint64_t longest = *all = 0;
	enum vm_fiber_state s;
	vm_process_set_collect_always(true);
	do {
		uint64_t begin = sys_thread_cpu_ns();
		s = vm_fiber_resume(f, VM_RESUMED);
		uint64_t took = sys_thread_cpu_ns() - begin;
		longest = max_u64(longest, took);
		*all += took;
	} while (s != VM_FIBER_DONE);
	vm_process_set_collect_always(false);
	vm_fiber_free(f);
	return longest;
}

// A busy machine makes one of them longer now and then, not three after each other.
static void print_longest_turn(const struct guest *g, const char *what)
{
	uint64_t longest = UINT64_MAX, all = 0;
	for (int k = 0; k < 3 && longest >= 30 * MILLISECOND; k++)
		longest = longest_turn(g, &all);
	assert_true(longest < 30 * MILLISECOND);  // ten of them, most often
	print_message("# %s: longest turn %.2f ms of %.0f\n", what, (double)longest / 1e6, (double)all / 1e6);
}

static void longest_turns(void **state UNUSED)
{
#if SANITIZE_ADDRESS || SANITIZE_THREAD
	skip();
#endif
	struct guest g;
	init_everything(&g, 1, 1);
	gives(&g, 0, "fill", (256u << 20) / 16);
	print_longest_turn(&g, "256 MiB of objects in use");
	set_null(&g, 1);
	print_longest_turn(&g, "256 MiB that are not");
	gives(&g, 0, "array", 256u << 20);
	gives(&g, 0, "chain", 2000000);
	print_longest_turn(&g, "2,000,000 exceptions in a chain");
	set_null(&g, 0);
	print_longest_turn(&g, "2,000,000 that nobody holds");
	guest_release(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(marking_a_chain_of_exceptions_gives_way),
		cmocka_unit_test(looking_through_a_table_for_exceptions_gives_way),
		cmocka_unit_test(dropping_exceptions_gives_way),
		cmocka_unit_test(sweeping_and_giving_back_give_way),
		cmocka_unit_test(exceptions_are_looked_for_seldom_where_that_is_long),
		cmocka_unit_test(frames_whose_maps_are_far_in_the_sites_give_way),
		cmocka_unit_test(clearing_a_large_object_gives_way),
		cmocka_unit_test(making_the_objects_of_a_segment_gives_way),
		cmocka_unit_test(initializing_globals_gives_way),
		cmocka_unit_test(a_kill_in_the_middle_leaves_all_that_is_in_use),
		cmocka_unit_test(fibers_come_and_go_beside_a_collection),
		cmocka_unit_test(a_reset_touches_only_what_was_written),
		cmocka_unit_test(exceptions_of_each_size_are_kept_and_go_with_a_reset),
		cmocka_unit_test(an_image_looks_at_no_stack),
		cmocka_unit_test(longest_turns),
	};
	return cmocka_run_group_tests(tests, guest_setup, guest_teardown);
}
