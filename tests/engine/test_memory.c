// Rows of docs/lessons.md on memories, tables and segments, run as compiled guests, each also in the poison mode and without cells. Rows: L12, L32, L33, L34, L35,
// L36, L52.
// PROGRAM(test_memory, "comp code vm tier cmocka", "")
#include "guest.h"

// ---- bulk operations at every edge, against arithmetic in 64 bits -----------------------------------------------------------------------
#define BULK                                                                                                                                                 \
	MODULE TYPES "[ 01 60 03 7f 7f 7f 00 ] " FUNCS "[ 06 00 00 00 00 00 00 ] " TABLES "[ 01 70 00 #10 ] " MEMORIES "[ 01 01 01 01 ] " EXPORTS                \
				 "[ 06 'm.fill' 00 00 'm.copy' 00 01 'm.init' 00 02 't.fill' 00 03 't.copy' 00 04 't.init' 00 05 ] " ELEMS                                   \
				 "[ 01 05 70 #6 ref.null 70 end ref.null 70 end ref.null 70 end ref.null 70 end ref.null 70 end ref.null 70 end ] " DATA_COUNT "01 01 " CODE \
				 "[ 06 [ 00 local.get #0 i32.const #7 local.get #2 memory.fill #0 end ] "                                                                    \
				 "[ 00 local.get #0 local.get #1 local.get #2 memory.copy #0 #0 end ] "                                                                      \
				 "[ 00 local.get #0 local.get #1 local.get #2 memory.init #0 #0 end ] "                                                                      \
				 "[ 00 local.get #0 ref.null 70 local.get #2 table.fill #0 end ] "                                                                           \
				 "[ 00 local.get #0 local.get #1 local.get #2 table.copy #0 #0 end ] "                                                                       \
				 "[ 00 local.get #0 local.get #1 local.get #2 table.init #0 #0 end ] ] " DATA "[ 01 01 #9 01 02 03 04 05 06 07 08 09 ] "

static void bulk_operations_know_their_bounds_L12(void **state UNUSED)
{
	static const struct {
		const char *name;
		uint64_t to, from;  // lengths; from 0: not looked at
		enum trap trap;
	} rows[] = {{"m.fill", 65536, UINT64_MAX, TRAP_MEMORY_OUT_OF_BOUNDS}, {"m.copy", 65536, 65536, TRAP_MEMORY_OUT_OF_BOUNDS},
		{"m.init", 65536, 9, TRAP_MEMORY_OUT_OF_BOUNDS}, {"t.fill", 10, UINT64_MAX, TRAP_TABLE_OUT_OF_BOUNDS},
		{"t.copy", 10, 10, TRAP_TABLE_OUT_OF_BOUNDS}, {"t.init", 10, 6, TRAP_TABLE_OUT_OF_BOUNDS}};
	struct guest g;
	guest_init(&g, BULK);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const uint64_t to = rows[i].to, from = min_u64(rows[i].from, 65536);
		const uint64_t edges[] = {0, 1, from - 1, from, from + 1, to - 1, to, to + 1, 0x7fffffff, 0x80000000, 0xffffffff - to, 0xffffffff - from, 0xffffffff};
		for (size_t d = 0; d < ARRAY_LEN(edges); d++)
			for (size_t s = 0; s < ARRAY_LEN(edges); s++)
				for (size_t n = 0; n < ARRAY_LEN(edges); n++) {
					bool in = edges[d] + edges[n] <= to && (rows[i].from == UINT64_MAX || edges[s] + edges[n] <= rows[i].from);
					enum trap t = guest_call(&g, rows[i].name, ARGS(edges[d], edges[s], edges[n]), NULL);
					if (t != (in ? TRAP_NONE : rows[i].trap))
						fail_msg("%s(%llx, %llx, %llx): %s", rows[i].name, (unsigned long long)edges[d], (unsigned long long)edges[s],
							(unsigned long long)edges[n], trap_text(t));
				}
	}
	guest_release(&g);
}

// ---- what stands for what a store has ------------------------------------------------------------------------------------------------------
// So many globals.
static void init_of_globals(struct guest *g, uint32_t n)
{
	struct err e = {0};
	struct buf text = {0};
	*g = (struct guest){0};
	buf_printf(&text, MODULE GLOBALS "[ #%u ", n);
	for (uint32_t i = 0; i < n; i++)
		buf_put_str(&text, "7f 01 i32.const #0 end ");
	buf_put_str(&text, "] ");
	assert_true(buf_put_byte(&text, 0));
	build_text(&g->bytes, (const char *)text.ptr);
	buf_release(&text);
	if (!guest_compile(g, &e))
		fail_msg("%s", e.text);
}

// How often a store within the limits has the module; what then is wrong.
static uint32_t instances_within(struct guest *g, const struct vm_limits *limits, struct err *e)
{
	uint32_t n = 0;
	*e = (struct err){0};
	assert_true(vm_store_new(shard, limits, &g->st, e));
	while (n < 10000 && vm_instance_allocate(g->st, g->mod, NULL, 0, &g->inst, e))
		n++;
	assert_int_equal(e->code, ERR_LIMIT);
	return n;
}

static void records_of_what_instances_have_are_within_the_memory(void **state UNUSED)
{
	struct vm_limits limits = VM_LIMITS_DEFAULT;
	struct guest g;
	struct err e;
	limits.memory = 4u << 20;
	init_of_globals(&g, 10000);
	assert_in_range(instances_within(&g, &limits, &e), 3, 10);  // 5 MiB of them, of which one is not counted; a global has 50 bytes at least
	assert_non_null(strstr(e.text, "memory limit exceeded"));
	assert_in_range(vm_store_memory_used(g.st), 3u << 20, limits.memory);
	guest_release(&g);
	init_of_globals(&g, 10);
	assert_true(vm_store_new(shard, &limits, &g.st, &e));
	assert_true(vm_instance_allocate(g.st, g.mod, NULL, 0, &g.inst, &e));
	assert_int_equal(vm_store_memory_used(g.st), 0);
	guest_release(&g);
}

static void an_instance_has_so_many_memories(void **state UNUSED)
{
	struct vm_limits limits = VM_LIMITS_DEFAULT;
	struct guest g = {0};
	struct err e = {0};
	limits.memories = 7;
	build_text(&g.bytes, MODULE MEMORIES "[ 02 00 00 00 00 ] ");
	assert_true(guest_compile(&g, &e));
	assert_int_equal(instances_within(&g, &limits, &e), 3);
	assert_non_null(strstr(e.text, "at most 7"));
	guest_release(&g);
}

// ---- growth under the feet of a call ------------------------------------------------------------------------------------------------------
static enum trap host_grows(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	const struct guest *g = *(struct guest **)call->data;
	results[0] = vm_memory_grow(vm_instance_extern(g->inst, WASM_EXTERN_MEMORY, 0).memory, args[0]);
	return TRAP_NONE;
}

static enum trap host_calls_grow(struct vm_call *call, const uint64_t *args, uint64_t *results)
{
	return guest_call(*(struct guest **)call->data, "grow", args, results);
}

static void memory_grown_by_a_callee_or_the_host_is_there_after_the_call_L32(void **state UNUSED)
{
	static const vm_host_fn hosts[] = {host_grows, host_calls_grow};
	for (size_t h = 0; h < ARRAY_LEN(hosts); h++) {
		struct guest g, *self = &g;
		guest_init_host(&g,
			MODULE TYPES "[ 01 60 01 7f 01 7f ] " IMPORTS "[ 01 00 00 00 00 ] " FUNCS "[ 05 00 00 00 00 00 ] " TABLES "[ 01 70 00 02 ] " MEMORIES
						 "[ 01 01 01 #20 ] " EXPORTS "[ 05 'grow' 00 01 'host' 00 02 'callee' 00 03 'table' 00 04 'self' 00 05 ] " ELEMS
						 "[ 01 00 i32.const #0 end 02 00 01 ] " CODE
						 "[ 05 [ 00 local.get #0 memory.grow #0 end ] "
						 // store to the last word of what was not there, load it, size
						 "[ 00 local.get #0 call #0 drop memory.size #0 i32.const #16 i32.shl i32.const #4 i32.sub local.tee #0 local.get #0 i32.store #2 #0 "
						 "local.get #0 i32.load #2 #0 memory.size #0 i32.add end ] "
						 "[ 00 local.get #0 call #1 drop memory.size #0 i32.const #16 i32.shl i32.const #4 i32.sub local.tee #0 local.get #0 i32.store #2 #0 "
						 "local.get #0 i32.load #2 #0 memory.size #0 i32.add end ] "
						 "[ 00 local.get #0 i32.const #0 call_indirect #0 #0 drop memory.size #0 i32.const #16 i32.shl i32.const #4 i32.sub local.tee #0 "
						 "local.get #0 i32.store #2 #0 local.get #0 i32.load #2 #0 memory.size #0 i32.add end ] "
						 "[ 00 local.get #0 memory.grow #0 drop memory.size #0 i32.const #16 i32.shl i32.const #4 i32.sub local.tee #0 local.get #0 i32.store "
						 "#2 #0 local.get #0 i32.load #2 #0 memory.size #0 i32.add end ] ] ",
			hosts[h], &self, &ample);
		assert_int_equal(vm_instance_initialize(g.inst), TRAP_NONE);
		uint64_t pages = 1;
		static const char *const ways[] = {"host", "callee", "table", "self"};
		for (size_t w = 0; w < ARRAY_LEN(ways); w++) {
			pages += 2;
			gives(&g, pages * 65536 - 4 + pages, ways[w], 2);
		}
		gives(&g, 0xffffffff, "grow", 20);
		guest_release(&g);
	}
}

// ---- two tables of different type and size --------------------------------------------------------------------------------------------------
#define TWO_TABLES                                                                                                                                                                                                                                                                                            \
	MODULE TYPES "[ 03 60 01 7f 01 7f 60 00 00 60 02 7f 6f 00 ] " FUNCS "[ 0c 01 00 00 00 00 00 00 00 00 00 02 00 ] " TABLES "[ 02 70 01 #3 #9 6f 01 #7 #50 ] " EXPORTS "[ 0c 'size0' 00 01 'size1' 00 02 'grow0' 00 03 'grow1' 00 04 'fill0' 00 05 'fill1' 00 06 'copy0' 00 07 'copy1' 00 08 'null0' 00 09 " \
				 "'set1' 00 0a 'init0' 00 0b 't1' 01 01 ] " ELEMS "[ 01 01 00 02 00 00 ] " CODE                                                                                                                                                                                                               \
				 "[ 0c [ 00 end ] [ 00 table.size #0 end ] [ 00 table.size #1 end ] "                                                                                                                                                                                                                         \
				 "[ 00 ref.func #0 local.get #0 table.grow #0 end ] [ 00 ref.null 6f local.get #0 table.grow #1 end ] "                                                                                                                                                                                       \
				 "[ 00 local.get #0 ref.func #0 i32.const #1 table.fill #0 i32.const #0 end ] "                                                                                                                                                                                                               \
				 "[ 00 local.get #0 ref.null 6f i32.const #3 table.fill #1 i32.const #0 end ] "                                                                                                                                                                                                               \
				 "[ 00 local.get #0 i32.const #0 i32.const #1 table.copy #0 #0 i32.const #0 end ] "                                                                                                                                                                                                           \
				 "[ 00 local.get #0 i32.const #0 i32.const #3 table.copy #1 #1 i32.const #0 end ] "                                                                                                                                                                                                           \
				 "[ 00 local.get #0 table.get #0 ref.is_null end ] [ 00 local.get #0 local.get #1 table.set #1 end ] "                                                                                                                                                                                        \
				 "[ 00 local.get #0 i32.const #0 i32.const #2 table.init #0 #0 i32.const #0 end ] ] "

static uint32_t extern_at(const struct guest *g, uint64_t i)
{
	struct vm_extern x;
	uint32_t r = 0;
	assert_true(vm_instance_export(g->inst, SLICE_LIT("t1"), &x) && vm_table_get(x.table, i, &r));
	return r;
}

// L52 besides: what an externref is is 32 bits that the host chose, in the table as it is.
static void tables_are_not_mixed_up_L33(void **state UNUSED)
{
	struct guest g;
	guest_init(&g, TWO_TABLES);
	gives(&g, 3, "size0", 0);
	gives(&g, 7, "size1", 0);
	for (uint32_t i = 0; i < 7; i++)
		traps(&g, TRAP_NONE, "set1", i, 0xfffffff0 + i);
	traps(&g, TRAP_TABLE_OUT_OF_BOUNDS, "set1", 7, 1);
	traps(&g, TRAP_TABLE_OUT_OF_BOUNDS, "fill0", 3);
	traps(&g, TRAP_NONE, "fill0", 2);
	gives(&g, 0, "null0", 2);
	gives(&g, 1, "null0", 0);
	traps(&g, TRAP_TABLE_OUT_OF_BOUNDS, "init0", 2);
	traps(&g, TRAP_NONE, "init0", 0);
	gives(&g, 0, "null0", 1);
	for (uint32_t i = 0; i < 7; i++)
		assert_int_equal(extern_at(&g, i), 0xfffffff0 + i);
	traps(&g, TRAP_NONE, "copy1", 4);
	for (uint32_t i = 0; i < 7; i++)
		assert_int_equal(extern_at(&g, i), i < 4 ? 0xfffffff0 + i : 0xfffffff0 + i - 4);
	traps(&g, TRAP_TABLE_OUT_OF_BOUNDS, "copy1", 5);
	traps(&g, TRAP_TABLE_OUT_OF_BOUNDS, "copy0", 3);
	gives(&g, 7, "grow1", 43);
	gives(&g, 50, "size1", 0);
	gives(&g, 3, "size0", 0);
	gives(&g, 0xffffffff, "grow1", 1);
	gives(&g, 3, "grow0", 6);
	gives(&g, 0xffffffff, "grow0", 1);
	gives(&g, 0, "null0", 8);
	traps(&g, TRAP_NONE, "fill1", 47);
	traps(&g, TRAP_TABLE_OUT_OF_BOUNDS, "fill1", 48);
	assert_int_equal(extern_at(&g, 0), 0xfffffff0);
	assert_int_equal(extern_at(&g, 49), 0);
	guest_release(&g);
}

// ---- segments ------------------------------------------------------------------------------------------------------------------------------
#define SEGMENTS                                                                                                                                                                                                                                                     \
	MODULE TYPES "[ 02 60 03 7f 7f 7f 00 60 00 00 ] " FUNCS "[ 06 00 00 01 00 00 01 ] " TABLES "[ 01 70 00 #10 ] " MEMORIES "[ 01 01 01 01 ] " EXPORTS "[ 06 'm.init' 00 00 'm.active' 00 01 'm.drop' 00 02 't.init' 00 03 't.active' 00 04 't.drop' 00 05 ] " ELEMS \
				 "[ 02 01 00 02 02 02 00 i32.const #0 end 02 02 02 ] " DATA_COUNT "01 02 " CODE                                                                                                                                                                      \
				 "[ 06 [ 00 local.get #0 local.get #1 local.get #2 memory.init #0 #0 end ] "                                                                                                                                                                         \
				 "[ 00 local.get #0 local.get #1 local.get #2 memory.init #1 #0 end ] [ 00 data.drop #0 end ] "                                                                                                                                                      \
				 "[ 00 local.get #0 local.get #1 local.get #2 table.init #0 #0 end ] "                                                                                                                                                                               \
				 "[ 00 local.get #0 local.get #1 local.get #2 table.init #1 #0 end ] [ 00 elem.drop #0 end ] ] " DATA                                                                                                                                                \
				 "[ 02 01 02 61 62 00 i32.const #0 end 02 63 64 ] "

static void a_dropped_segment_has_length_0_L34(void **state UNUSED)
{
	static const struct {
		const char *init, *active, *drop;
		uint64_t size;
		enum trap trap;
	} rows[] = {{"m.init", "m.active", "m.drop", 65536, TRAP_MEMORY_OUT_OF_BOUNDS}, {"t.init", "t.active", "t.drop", 10, TRAP_TABLE_OUT_OF_BOUNDS}};
	struct guest g;
	guest_init(&g, SEGMENTS);
	for (size_t i = 0; i < 2; i++) {
		uint64_t size = rows[i].size;
		traps(&g, TRAP_NONE, rows[i].init, 0, 0, 2);
		traps(&g, TRAP_NONE, rows[i].init, size, 2, 0);
		traps(&g, rows[i].trap, rows[i].init, size + 1, 0, 0);
		traps(&g, rows[i].trap, rows[i].init, 0, 3, 0);
		for (int k = 0; k < 2; k++) {  // after the second drop as after the first
			traps(&g, TRAP_NONE, rows[i].drop, 0);
			traps(&g, rows[i].trap, rows[i].init, 0, 0, 1);
			traps(&g, TRAP_NONE, rows[i].init, 0, 0, 0);
			traps(&g, TRAP_NONE, rows[i].init, size, 0, 0);
			traps(&g, rows[i].trap, rows[i].init, size + 1, 0, 0);
			traps(&g, rows[i].trap, rows[i].init, 0, 1, 0);
			traps(&g, rows[i].trap, rows[i].init, 0, 0xffffffff, 1);
		}
		// an active segment was dropped at instantiation
		traps(&g, TRAP_NONE, rows[i].active, 0, 0, 0);
		traps(&g, rows[i].trap, rows[i].active, 0, 0, 1);
	}
	guest_release(&g);
}

static void offsets_of_segments_are_unsigned_L35(void **state UNUSED)
{
	struct guest g;
	guest_init(&g,
		MODULE TYPES "[ 01 60 01 7f 01 7f ] " FUNCS "[ 01 00 ] " MEMORIES "[ 01 00 #40000 ] " GLOBALS "[ 01 7f 00 i32.const #-1744830464 end ] " EXPORTS
					 "[ 01 'load' 00 00 ] " CODE "[ 01 [ 00 local.get #0 i32.load8_u #0 #0 end ] ] " DATA
					 "[ 02 00 i32.const #-2147483648 end #1 55 00 global.get #0 end #1 66 ] ");
	gives(&g, 0x55, "load", 0x80000000);
	gives(&g, 0x66, "load", 0x98000000);
	guest_release(&g);
}

#define LENDS                                                                                                                 \
	MODULE TYPES "[ 01 60 01 7f 01 7f ] " FUNCS "[ 02 00 00 ] " TABLES "[ 01 70 00 04 ] " MEMORIES "[ 01 01 01 01 ] " EXPORTS \
				 "[ 04 'm' 02 00 't' 01 00 'load' 00 00 'null' 00 01 ] " CODE                                                 \
				 "[ 02 [ 00 local.get #0 i32.load8_u #0 #0 end ] [ 00 local.get #0 table.get #0 ref.is_null end ] ] "

// Segments are written in order; what was written before one that traps stays: the memory is somebody else's.
static void segments_before_one_that_traps_stay_L35(void **state UNUSED)
{
	struct guest owner, g;
	struct vm_extern x[2];
	struct err e = {0};
	guest_init(&owner, LENDS);
	g = (struct guest){.st = owner.st, .shares_store = true};
	build_text(&g.bytes,
		MODULE TYPES "[ 01 60 00 00 ] " IMPORTS "[ 02 'o' 'm' 02 00 01 'o' 't' 01 70 00 04 ] " FUNCS "[ 01 00 ] " ELEMS
					 "[ 01 00 i32.const #3 end 01 00 ] " CODE "[ 01 [ 00 end ] ] " DATA "[ 03 00 i32.const #65535 end #1 77 00 i32.const #65535 end #2 88 99 00 "
					 "i32.const #0 end #1 11 ] ");
	assert_true(guest_compile(&g, &e));
	assert_true(vm_instance_export(owner.inst, SLICE_LIT("m"), &x[0]) && vm_instance_export(owner.inst, SLICE_LIT("t"), &x[1]));
	assert_true(vm_imports_check(g.st, g.mod, x, 2, &e) && vm_instance_allocate(g.st, g.mod, x, 2, &g.inst, &e));
	assert_int_equal(vm_instance_initialize(g.inst), TRAP_MEMORY_OUT_OF_BOUNDS);
	gives(&owner, 0x77, "load", 65535);
	gives(&owner, 0, "load", 0);
	gives(&owner, 0, "null", 3);  // the function of the instance that failed can still be called through it
	gives(&owner, 1, "null", 2);
	guest_release(&g);
	guest_release(&owner);
}

// ---- several memories -------------------------------------------------------------------------------------------------------------------------
static void memories_are_not_mixed_up_L36(void **state UNUSED)
{
	struct guest g;
	guest_init(&g,
		MODULE TYPES "[ 03 60 01 7f 01 7f 60 02 7f 7f 00 60 03 7f 7f 7f 00 ] " FUNCS "[ 0a 00 00 00 00 01 01 02 02 02 00 ] " MEMORIES "[ 02 01 01 02 01 03 05 ] " EXPORTS "[ 0a 'load0' 00 00 'load1' 00 01 'size1' 00 02 'grow1' 00 03 'store0' 00 04 'store1' 00 05 'copy01' 00 06 'fill1' 00 07 'init1' 00 08 "
					 "'size0' 00 09 ] " DATA_COUNT "01 01 " CODE
					 "[ 0a [ 00 local.get #0 i32.load #2 #0 end ] [ 00 local.get #0 i32.load 42 01 #0 end ] [ 00 memory.size #1 end ] "
					 "[ 00 local.get #0 memory.grow #1 end ] [ 00 local.get #0 local.get #1 i32.store #2 #0 end ] "
					 "[ 00 local.get #0 local.get #1 i32.store 42 01 #0 end ] [ 00 local.get #0 local.get #1 local.get #2 memory.copy #0 #1 end ] "
					 "[ 00 local.get #0 local.get #1 local.get #2 memory.fill #1 end ] [ 00 local.get #0 local.get #1 local.get #2 memory.init #0 #1 end ] "
					 "[ 00 memory.size #0 end ] ] " DATA "[ 01 01 #4 aa bb cc 0d ] ");
	traps(&g, TRAP_NONE, "store0", 0, 0x11111111);
	traps(&g, TRAP_NONE, "store1", 0, 0x22222222);
	gives(&g, 0x11111111, "load0", 0);
	gives(&g, 0x22222222, "load1", 0);
	traps(&g, TRAP_MEMORY_OUT_OF_BOUNDS, "load0", 65533);
	gives(&g, 0, "load1", 3 * 65536 - 4);
	traps(&g, TRAP_MEMORY_OUT_OF_BOUNDS, "load1", 3 * 65536 - 3);
	gives(&g, 3, "grow1", 2);
	gives(&g, 5, "size1", 0);
	gives(&g, 1, "size0", 0);
	gives(&g, 0xffffffff, "grow1", 1);
	traps(&g, TRAP_NONE, "init1", 5 * 65536 - 4, 0, 4);
	gives(&g, 0x0dccbbaa, "load1", 5 * 65536 - 4);
	traps(&g, TRAP_NONE, "copy01", 65532, 5 * 65536 - 4, 4);
	gives(&g, 0x0dccbbaa, "load0", 65532);
	traps(&g, TRAP_MEMORY_OUT_OF_BOUNDS, "copy01", 65533, 0, 4);
	traps(&g, TRAP_MEMORY_OUT_OF_BOUNDS, "copy01", 0, 5 * 65536 - 3, 4);
	traps(&g, TRAP_NONE, "fill1", 65536, 0x77, 4 * 65536);
	gives(&g, 0x77777777, "load1", 65536);
	gives(&g, 0x0dccbbaa, "load0", 65532);
	guest_release(&g);
}

static void custom_page_sizes_and_shared_memories_are_off_L36(void **state UNUSED)
{
	static const char *const texts[] = {
		MODULE MEMORIES "[ 01 08 01 00 ] ",     // custom page size 1
		MODULE MEMORIES "[ 01 03 01 01 ] ",     // shared
	};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct guest g = {0};
		struct err e = {0};
		build_text(&g.bytes, texts[i]);
		if (guest_compile(&g, &e))
			fail_msg("module %zu is accepted", i);
		assert_int_not_equal(e.code, ERR_NONE);
		arena_release(&g.arena);
		buf_release(&g.bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bulk_operations_know_their_bounds_L12),
		cmocka_unit_test(records_of_what_instances_have_are_within_the_memory),
		cmocka_unit_test(an_instance_has_so_many_memories),
		cmocka_unit_test(memory_grown_by_a_callee_or_the_host_is_there_after_the_call_L32),
		cmocka_unit_test(tables_are_not_mixed_up_L33),
		cmocka_unit_test(a_dropped_segment_has_length_0_L34),
		cmocka_unit_test(offsets_of_segments_are_unsigned_L35),
		cmocka_unit_test(segments_before_one_that_traps_stay_L35),
		cmocka_unit_test(memories_are_not_mixed_up_L36),
		cmocka_unit_test(custom_page_sizes_and_shared_memories_are_off_L36),
	};
	int failed = cmocka_run_group_tests(tests, guest_setup, guest_teardown);
	failed += cmocka_run_group_tests_name("poisoned", tests, guest_setup_poisoned, guest_teardown);
	return failed + cmocka_run_group_tests_name("without cells", tests, guest_setup_without_cells, guest_teardown);
}
