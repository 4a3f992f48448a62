// Rows of docs/lessons.md on code generation, run as compiled guests, each also in the compiler's poison mode (L15) and without cells. Rows: L1, L2, L3, L5, L6, L7, L11,
// L13 to L19, L22, L23, L43, L51.
// PROGRAM(test_codegen, "comp code vm tier cmocka", "")
#include "guest.h"

#include <stdatomic.h>

#include "code/code.h"

static struct buf text;  // of modules that are put together

static const char *text_end(void)
{
	assert_true(buf_put_byte(&text, 0));
	return (const char *)text.ptr;
}

// Functions of type 0 in the text, exported as f0, f1…: the beginning of a module with `bodies` (their texts), which is cleared.
static void begin_functions(const char *types, unsigned n)
{
	buf_clear(&text);
	buf_printf(&text, MODULE TYPES "%s" FUNCS "[ #%u ", types, n);
	for (unsigned i = 0; i < n; i++)
		buf_printf(&text, "00 ");
	buf_printf(&text, "] ");
}

static void end_functions(unsigned n, struct buf *bodies)
{
	buf_printf(&text, EXPORTS "[ #%u ", n);
	for (unsigned i = 0; i < n; i++)
		buf_printf(&text, "'f%u' 00 #%u ", i, i);
	buf_printf(&text, "] " CODE "[ #%u %.*s] ", n, (int)bodies->len, (const char *)bodies->ptr);
	buf_release(bodies);
}

static const char *ones_of(char type)
{
	return type == 'i' ? "i32.const #-1" : type == 'l' ? "i64.const #-1"
		: type == 'f'                                  ? "f32.const ff ff ff ff"
		: type == 'd'                                  ? "f64.const ff ff ff ff ff ff ff ff"
													   : "v128.const ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff";
}

static const char *lane_of(const struct wasm_op_info *info)
{
	return info->imm == WASM_IMM_MEMARG_LANE ? "00" : "";
}

static const char *name_of(unsigned i)
{
	static char name[16];
	snprintf(name, sizeof name, "f%u", i);
	return name;
}

// ---- addresses ----------------------------------------------------------------------------------------------------------------------

static void arithmetic_in_an_address_wraps_at_32_bits_L1(void **state UNUSED)
{
	struct guest g;
	guest_init(&g,
		MODULE TYPES "[ 02 60 01 7f 01 7f 60 02 7f 7f 00 ] " FUNCS "[ 06 00 00 00 00 00 01 ] " MEMORIES "[ 01 01 01 01 ] " EXPORTS
					 "[ 06 'shl' 00 00 'add' 00 01 'mul' 00 02 'sub' 00 03 'shladd' 00 04 'store' 00 05 ] " CODE
					 "[ 06 [ 00 local.get #0 i32.const #3 i32.shl i32.load #2 #8 end ] "
					 "[ 00 local.get #0 i32.const #-16 i32.add i32.load #2 #0 end ] "
					 "[ 00 local.get #0 i32.const #8 i32.mul i32.load #2 #8 end ] "
					 "[ 00 i32.const #16 local.get #0 i32.sub i32.load #2 #0 end ] "
					 "[ 00 local.get #0 local.get #0 i32.const #2 i32.shl i32.add i32.load #2 #0 end ] "
					 "[ 00 local.get #0 i32.const #3 i32.shl local.get #1 i32.store #2 #8 end ] ] " DATA "[ 01 00 i32.const #16 end #4 78 56 34 12 ] ");
	gives(&g, 0x12345678, "shl", 1);
	gives(&g, 0x12345678, "shl", 0x20000001);
	gives(&g, 0x12345678, "shl", 0xe0000001);
	gives(&g, 0x12345678, "add", 32);
	gives(&g, 0x12345678, "mul", 0x20000001);
	gives(&g, 0x12345678, "sub", 0);
	traps(&g, TRAP_MEMORY_OUT_OF_BOUNDS, "sub", 17);
	traps(&g, TRAP_MEMORY_OUT_OF_BOUNDS, "add", 15);
	gives(&g, 0x12345678, "shladd", 0xccccccd0);  // 5 * that = 0x400000010
	guest_release(&g);
}

#define HUGE_MEMORY MEMORIES "[ 01 01 #65536 #65536 ] "
#define HUGE_DATA DATA "[ 02 00 i32.const #-4 end #4 11 22 33 44 00 i32.const #-2147483648 end #4 55 66 77 08 ] "

static void an_index_is_unsigned_wherever_it_comes_from_L3(void **state UNUSED)
{
	// Each makes 0xffffffff as an i32, loads from there.
	static const char *const producers[] = {
		"local.get #0",
		"i32.const #-1",
		"i32.const #16 i32.load8_s #0 #0",
		"i32.const #16 i32.load16_s #0 #0",
		"i32.const #16 i32.load #0 #0",
		"i32.const #1 memory.grow #0",
		"ref.null 70 i32.const #100 table.grow #0",
		"i64.const #-1 i32.wrap_i64",
		"i64.const #0xffffffff i32.wrap_i64",
		"local.get #1 i32.wrap_i64",
		"local.get #0 i32.extend8_s",
		"i32.const #255 i32.extend8_s",
		"i32.const #0 i32.const #1 i32.sub",
		"local.get #0 i32.const #0 i32.add",
		"local.get #0 i32.const #31 i32.shr_s",
		"local.get #0 i32.const #7 i32.rotl",
		"f32.const 00 00 80 bf i32.trunc_f32_s",
		"f64.const 00 00 00 00 00 00 f0 bf i32.trunc_sat_f64_s",
		"f64.const 00 00 00 00 00 00 00 7f i32.trunc_sat_f64_u",
		"f32.const ff ff ff ff i32.reinterpret_f32",
		"local.get #0 i32.const #0 local.get #0 select",
		"block 7f local.get #0 end",
		"local.get #0 if 7f local.get #0 else i32.const #0 end",
		"local.get #0 call #0",
		"global.get #0",
		"local.get #1 i32.wrap_i64 local.tee #0",
		"local.get #0 i32.const #-1 i32.and",
		"i32.const #-2147483648 i32.const #1 i32.div_s i32.const #2147483647 i32.or",
		"local.get #0 i32.const #1 i32.div_u",
		"i32.const #-1 i32.const #1000 i32.rem_s",
		"local.get #0 i32.popcnt i32.const #33 i32.sub",
	};
	struct guest g;
	buf_clear(&text);
	buf_printf(&text, MODULE TYPES "[ 02 60 01 7f 01 7f 60 02 7f 7e 01 7f ] " FUNCS "[ #%zu 00 ", ARRAY_LEN(producers) + 1);
	for (size_t i = 0; i < ARRAY_LEN(producers); i++)
		buf_printf(&text, "01 ");
	buf_printf(&text, "] " TABLES "[ 01 70 01 01 02 ] " HUGE_MEMORY GLOBALS "[ 01 7f 01 i32.const #-1 end ] " EXPORTS "[ #%zu ", ARRAY_LEN(producers));
	for (size_t i = 0; i < ARRAY_LEN(producers); i++)
		buf_printf(&text, "'p%zu' 00 #%zu ", i, i + 1);
	buf_printf(&text, "] " CODE "[ #%zu [ 00 local.get #0 end ] ", ARRAY_LEN(producers) + 1);
	for (size_t i = 0; i < ARRAY_LEN(producers); i++)
		buf_printf(&text, "[ 00 %s i32.load8_u #0 #0 end ] ", producers[i]);
	buf_printf(&text, "] " DATA "[ 02 00 i32.const #-1 end #1 99 00 i32.const #16 end #4 ff ff ff ff ] ");
	guest_init(&g, text_end());
	for (size_t i = 0; i < ARRAY_LEN(producers); i++) {
		char name[8];
		uint64_t r[16] = {0};
		snprintf(name, sizeof name, "p%zu", i);
		enum trap t = guest_call(&g, name, ARGS(0xffffffff, 0x12345678ffffffff), r);
		if (t || r[0] != 0x99)
			fail_msg("%s: %s, %llx", producers[i], trap_text(t), (unsigned long long)r[0]);
	}
	guest_release(&g);
}

static void an_index_above_2_gib_lives_through_spills_L2(void **state UNUSED)
{
	// x (from a local, and as a temporary) over a call, a branch, a block's result, enough pressure to spill everything.
	static const char *const bodies[] = {
		"local.get #0 i32.const #0 i32.add i32.const #7 call #1 drop i32.load #0 #0 end",
		"block 7f local.get #0 i32.const #0 i32.add br #0 end i32.load #0 #0 end",
		"local.get #0 i32.const #0 i32.add block 40 local.get #0 br_if #0 unreachable end i32.load #0 #0 end",
		"local.get #0 i32.const #0 i32.or i32.const #1 if 7f i32.const #3 else i32.const #4 end drop i32.load #0 #0 end",
		"local.get #0 i32.const #0 i32.xor local.get #0 local.get #0 i32.const #1 i32.add local.get #0 i32.const #2 i32.add local.get #0 i32.const #3 "
		"i32.add local.get #0 i32.const #4 i32.add local.get #0 i32.const #5 i32.add local.get #0 i32.const #6 i32.add local.get #0 i32.const #7 i32.add "
		"local.get #0 i32.const #8 i32.add local.get #0 i32.const #9 i32.add local.get #0 i32.const #10 i32.add call #1 drop drop drop drop drop drop drop "
		"drop drop drop drop i32.load #0 #0 end",
		"local.get #0 call #1 i32.load #0 #0 end",
		"local.get #0 i32.const #0 i32.add i32.const #0 call_indirect #0 #0 i32.load #0 #0 end",
	};
	struct guest g;
	buf_clear(&text);
	buf_printf(&text, MODULE TYPES "[ 01 60 01 7f 01 7f ] " FUNCS "[ #9 00 00 00 00 00 00 00 00 00 ] " TABLES "[ 01 70 00 01 ] " HUGE_MEMORY EXPORTS "[ #7 'b0' 00 02 'b1' 00 03 'b2' 00 04 'b3' 00 05 'b4' 00 06 'b5' 00 07 'b6' 00 08 ] " ELEMS "[ 01 00 i32.const #0 end 01 01 ] " CODE "[ #9 [ 00 local.get #0 end ] [ 00 local.get #0 call #0 end ] ");
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
		buf_printf(&text, "[ 00 %s ] ", bodies[i]);
	buf_printf(&text, "] " HUGE_DATA);
	guest_init(&g, text_end());
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		char name[8];
		snprintf(name, sizeof name, "b%zu", i);
		gives(&g, 0x08776655, name, 0x80000000);
		gives(&g, 0x44332211, name, 0xfffffffc);
	}
	guest_release(&g);
}

static void offsets_are_33_bits_with_the_index_L5(void **state UNUSED)
{
	struct guest g;
	guest_init(&g,
		MODULE TYPES "[ 02 60 01 7f 01 7f 60 01 7f 00 ] " FUNCS "[ 06 00 00 00 00 00 01 ] " HUGE_MEMORY EXPORTS
					 "[ 06 'last' 00 00 'mid' 00 01 'below' 00 02 'const' 00 03 'const2' 00 04 'store' 00 05 ] " CODE
					 "[ 06 [ 00 local.get #0 i32.load8_u #0 #0xffffffff end ] [ 00 local.get #0 i32.load #0 #0x80000000 end ] "
					 "[ 00 local.get #0 i32.load #0 #0x7fffffff end ] [ 00 i32.const #1 i32.load #0 #0x7fffffff end ] "
					 "[ 00 i32.const #-1 i32.load #0 #0x80000001 end ] [ 00 local.get #0 i32.const #1 i32.store8 #0 #0xffffffff end ] ] " HUGE_DATA);
	gives(&g, 0x44, "last", 0);
	traps(&g, TRAP_MEMORY_OUT_OF_BOUNDS, "last", 1);
	traps(&g, TRAP_MEMORY_OUT_OF_BOUNDS, "last", 0xffffffff);
	gives(&g, 0x08776655, "mid", 0);
	gives(&g, 0x44332211, "mid", 0x7ffffffc);
	traps(&g, TRAP_MEMORY_OUT_OF_BOUNDS, "mid", 0x7ffffffd);
	traps(&g, TRAP_MEMORY_OUT_OF_BOUNDS, "mid", 0x80000000);
	gives(&g, 0x08776655, "below", 1);
	gives(&g, 0x44332211, "below", 0x7ffffffd);
	traps(&g, TRAP_MEMORY_OUT_OF_BOUNDS, "below", 0x7ffffffe);
	traps(&g, TRAP_MEMORY_OUT_OF_BOUNDS, "below", 0xffffffff);
	gives(&g, 0x08776655, "const", 0);
	traps(&g, TRAP_MEMORY_OUT_OF_BOUNDS, "const2", 0);
	traps(&g, TRAP_MEMORY_OUT_OF_BOUNDS, "store", 1);
	traps(&g, TRAP_NONE, "store", 0);
	gives(&g, 1, "last", 0);
	guest_release(&g);
}

// Every access of a small memory, up to the highest address that an index and an offset make, with full neighbours on both sides.
static void no_address_reaches_a_neighbour_L6(void **state UNUSED)
{
	static const char *const neighbour = MODULE MEMORIES "[ 01 00 #65536 ] ";
	static const uint32_t offsets[] = {0, 1, 65535, 65536, 0x7fffffe8, 0x7ffffff0, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff};
	struct guest before, g, after;
	unsigned n = 0;
	struct buf bodies = {0};
	guest_init(&before, neighbour);
	for (unsigned op = 0; op < WASM_OP_COUNT; op++) {
		const struct wasm_op_info *info = &wasm_ops[op];
		if (!info->access || info->feature & ~WASM_FEATURES_DEFAULT)
			continue;
		bool is_store = info->sig[strlen(info->sig) - 1] == ':';
		for (size_t k = 0; k < ARRAY_LEN(offsets); k++, n++)
			buf_printf(&bodies, "[ 00 local.get #0 %s %s #0 #%u %s %s end ] ", info->sig[1] == ':' ? "" : ones_of(info->sig[1]), wasm_op_text((enum wasm_op)op), offsets[k],
				lane_of(info), is_store ? "" : "drop");
	}
	begin_functions("[ 01 60 01 7f 00 ] ", n);
	buf_printf(&text, MEMORIES "[ 01 00 01 ] ");
	end_functions(n, &bodies);
	guest_init(&g, text_end());
	guest_init(&after, neighbour);
	for (unsigned i = 0; i < n; i++) {
		traps(&g, TRAP_MEMORY_OUT_OF_BOUNDS, name_of(i), 0xffffffff);
		traps(&g, TRAP_MEMORY_OUT_OF_BOUNDS, name_of(i), 0x80000000);
		traps(&g, TRAP_MEMORY_OUT_OF_BOUNDS, name_of(i), 65536);
	}
	guest_release(&before);
	guest_release(&g);
	guest_release(&after);
}

static void a_memory_of_4_gib_has_65536_pages_L13(void **state UNUSED)
{
	struct guest g;
	guest_init(&g,
		MODULE TYPES "[ 01 60 01 7f 01 7f ] " FUNCS "[ 03 00 00 00 ] " MEMORIES "[ 01 00 #65535 ] " EXPORTS "[ 03 'size' 00 00 'grow' 00 01 'load' 00 02 ] " CODE
					 "[ 03 [ 00 memory.size #0 end ] [ 00 local.get #0 memory.grow #0 end ] [ 00 local.get #0 i32.load #0 #0 end ] ] ");
	traps(&g, TRAP_MEMORY_OUT_OF_BOUNDS, "load", 0xfffffffc);
	gives(&g, 0xffffffff, "grow", 2);
	gives(&g, 65535, "grow", 1);
	gives(&g, 65536, "size", 0);
	gives(&g, 65536, "grow", 0);
	gives(&g, 0xffffffff, "grow", 1);
	gives(&g, 0xffffffff, "grow", 0xffffffff);
	gives(&g, 0, "load", 0xfffffffc);
	traps(&g, TRAP_MEMORY_OUT_OF_BOUNDS, "load", 0xfffffffd);
	traps(&g, TRAP_MEMORY_OUT_OF_BOUNDS, "load", 0xffffffff);
	guest_release(&g);
}

// ---- widths ---------------------------------------------------------------------------------------------------------------------------

static const char *load_of(char type)
{
	return type == 'i' ? "i32.load #0 #0" : type == 'l' ? "i64.load #0 #0"
		: type == 'f'                                   ? "f32.load #0 #0"
		: type == 'd'                                   ? "f64.load #0 #0"
														: "v128.load #0 #0";
}

static const char *type_of(char type)
{
	return type == 'i' ? "7f" : type == 'l' ? "7e"
		: type == 'f'                       ? "7d"
		: type == 'd'                       ? "7c"
											: "7b";
}

static unsigned width_of(char type)
{
	return type == 'i' || type == 'f' ? 4 : type == 'v' ? 16
														: 8;
}

static bool is_plain(const struct wasm_op_info *op, unsigned *ret_operands)
{
	const char *colon = strchr(op->sig, ':');
	if (!colon || colon == op->sig || colon - op->sig > 2 || !colon[1] || op->access || op->imm != WASM_IMM_NONE || op->feature & ~WASM_FEATURES_DEFAULT)
		return false;
	*ret_operands = (unsigned)(colon - op->sig);
	return true;
}

// Every operation on what was loaded from the last bytes of memory, either operand or both: nothing wider than the load is read.
static void operations_read_no_more_than_was_loaded_L7(void **state UNUSED)
{
	struct guest g;
	unsigned n = 0, operands;
	struct buf bodies = {0};
	for (unsigned op = 0; op < WASM_OP_COUNT; op++) {
		const struct wasm_op_info *info = &wasm_ops[op];
		if (!is_plain(info, &operands))
			continue;
		for (unsigned which = 1; which < 1u << operands; which++, n++) {  // bit k: operand k is loaded from the edge, else from the middle into a local
			buf_printf(&bodies, "[ 02 01 %s 01 %s ", type_of(info->sig[0]), type_of(info->sig[operands - 1]));
			for (unsigned k = 0; k < operands; k++)
				buf_printf(&bodies, "i32.const #%u %s local.set #%u ", 65520, load_of(info->sig[k]), k);
			for (unsigned k = 0; k < operands; k++) {
				if (which >> k & 1)
					buf_printf(&bodies, "i32.const #%u %s ", 65536 - width_of(info->sig[k]), load_of(info->sig[k]));
				else
					buf_printf(&bodies, "local.get #%u ", k);
			}
			buf_printf(&bodies, "%s drop end ] ", wasm_op_text((enum wasm_op)op));
		}
	}
	begin_functions("[ 01 60 00 00 ] ", n);
	buf_printf(&text, MEMORIES "[ 01 00 01 ] ");
	end_functions(n, &bodies);
	buf_printf(&text, DATA "[ 01 00 i32.const #65520 end #16 01 01 01 01 01 01 01 01 01 01 01 01 01 01 01 01 ] ");
	guest_init(&g, text_end());
	assert_true(n > 700);
	for (unsigned i = 0; i < n; i++)
		traps(&g, TRAP_NONE, name_of(i), 0);
	guest_release(&g);
}

// Every store at the edge: all of it or nothing.
static void a_store_over_the_edge_writes_nothing_L14(void **state UNUSED)
{
	for (unsigned op = 0; op < WASM_OP_COUNT; op++) {
		const struct wasm_op_info *info = &wasm_ops[op];
		struct guest g;
		if (!info->access || info->sig[strlen(info->sig) - 1] != ':' || info->feature & ~WASM_FEATURES_DEFAULT)
			continue;
		buf_clear(&text);
		buf_printf(&text,
			MODULE TYPES "[ 01 60 01 7f 00 ] " FUNCS "[ 02 00 00 ] " MEMORIES "[ 01 00 01 ] " EXPORTS "[ 02 's' 00 00 'o' 00 01 ] " CODE
						 "[ 02 [ 00 local.get #0 %s %s #0 #0 %s end ] [ 00 local.get #0 %s %s #0 #65500 %s end ] ] ",
			ones_of(info->sig[1]), wasm_op_text((enum wasm_op)op), lane_of(info), ones_of(info->sig[1]), wasm_op_text(op), lane_of(info));
		guest_init(&g, text_end());
		const uint8_t *end = vm_memory_base(vm_instance_extern(g.inst, WASM_EXTERN_MEMORY, 0).memory) + 65536;
		for (unsigned over = 1; over <= info->access + 1u; over++) {
			traps(&g, TRAP_MEMORY_OUT_OF_BOUNDS, "s", 65536 - info->access + over);
			traps(&g, TRAP_MEMORY_OUT_OF_BOUNDS, "o", 36 - info->access + over);
			for (unsigned k = 1; k <= 16; k++)
				assert_int_equal(end[-(int)k], 0);
		}
		traps(&g, TRAP_NONE, "s", 65536 - info->access);
		assert_int_equal(end[-1], 0xff);
		assert_int_equal(end[-(int)info->access - 1], 0);
		guest_release(&g);
	}
}

// ---- control -----------------------------------------------------------------------------------------------------------------------------

static void edges_of_a_merge_agree_L11(void **state UNUSED)
{
	struct guest g;
	guest_init(&g,
		MODULE TYPES "[ 04 60 02 7f 7f 01 7f 60 02 7f 7f 02 7f 7f 60 00 03 7e 7c 7f 60 01 7f 01 7f ] " FUNCS "[ 05 00 00 00 03 00 ] " EXPORTS
					 "[ 05 'edges' 00 00 'swap' 00 01 'table' 00 02 'kept' 00 03 'loop' 00 04 ] " CODE
					 "[ 05 "
					 // a value that is a constant, a local, a temporary, a comparison, spilled by a call; junk of other heights below
					 "[ 00 block 7f i32.const #11 local.get #0 i32.eqz br_if #0 drop i32.const #1 local.get #1 local.get #0 i32.const #1 i32.eq br_if #1 drop drop "
					 "i32.const #1 i32.const #2 local.get #1 i32.const #3 i32.mul local.get #0 i32.const #2 i32.eq br_if #0 drop drop drop "
					 "local.get #1 i32.const #5 i32.gt_u local.get #0 i32.const #3 i32.eq br_if #0 drop "
					 "local.get #1 call #3 end end ] "
					 // (a, b) := (b, a) n times, as parameters of a loop
					 "[ 01 02 7f i32.const #1 i32.const #2 loop 01 local.set #2 local.set #3 local.get #2 local.get #3 local.get #0 i32.const #1 i32.sub "
					 "local.tee #0 br_if #0 end i32.const #10 i32.mul i32.add end ] "
					 // three results through a jump table, from different depths
					 "[ 00 block 02 i64.const #7 block 02 i64.const #9 i64.const #100 f64.const 00 00 00 00 00 00 14 40 local.get #1 i32.const #1 i32.add "
					 "local.get #0 br_table #1 #1 #0 end drop drop drop drop i64.const #200 f64.const 00 00 00 00 00 00 18 40 local.get #1 end local.set #1 "
					 "i32.trunc_f64_s "
					 "local.get #1 i32.const #1000 i32.mul i32.add local.set #1 i32.wrap_i64 local.get #1 i32.add end ] "
					 "[ 00 local.get #0 i32.const #1 i32.add end ] "
					 // values under a loop stay while locals that they came from change
					 "[ 00 local.get #1 local.get #1 i32.const #100 i32.mul loop 40 local.get #1 i32.const #1 i32.add local.set #1 local.get #0 i32.const #1 "
					 "i32.sub local.tee #0 br_if #0 end i32.add local.get #1 i32.const #10000 i32.mul i32.add end ] ] ");
	gives(&g, 11, "edges", 0, 9);
	gives(&g, 9, "edges", 1, 9);
	gives(&g, 27, "edges", 2, 9);
	gives(&g, 1, "edges", 3, 9);
	gives(&g, 10, "edges", 4, 9);
	for (uint32_t n = 1; n < 9; n++)
		gives(&g, n % 2 ? 2 + 10 : 1 + 20, "swap", n, 0);
	gives(&g, 100 + 5 + 1000 * 8, "table", 0, 7);
	gives(&g, 200 + 6 + 1000 * 7, "table", 1, 7);
	gives(&g, 200 + 6 + 1000 * 7, "table", 99, 7);
	gives(&g, 4 + 400 + 90000, "loop", 5, 4);
	guest_release(&g);
}

static void a_huge_jump_table_jumps_right_L17(void **state UNUSED)
{
	enum { N = 50000 };
	struct guest g;
	buf_clear(&text);
	buf_printf(&text, MODULE TYPES "[ 01 60 01 7f 01 7f ] " FUNCS "[ 01 00 ] " EXPORTS "[ 01 'f' 00 00 ] " CODE "[ 01 [ 00 block 40 block 40 block 40 local.get #0 br_table #%d ",
		N);
	for (int i = 0; i <= N; i++)
		buf_printf(&text, i == N ? "#2 " : i % 3 ? "#1 "
												 : "#0 ");
	buf_printf(&text, "end i32.const #10 return end i32.const #20 return end i32.const #30 end ] ] ");
	guest_init(&g, text_end());
	gives(&g, 10, "f", 0);
	gives(&g, 20, "f", 1);
	gives(&g, 10, "f", N - 2);
	gives(&g, 20, "f", N - 1);
	gives(&g, 30, "f", N);
	gives(&g, 30, "f", 0x80000000);
	gives(&g, 30, "f", 0xffffffff);
	guest_release(&g);
}

static void long_chains_need_no_stack_in_the_compiler_L18(void **state UNUSED)
{
	enum { N = 1000001 };
	static const char *const links[] = {"i32.eqz ", "i32.clz ", "local.get #0 i32.add "};
	for (size_t i = 0; i < ARRAY_LEN(links); i++) {
		struct guest g;
		buf_clear(&text);
		buf_printf(&text, MODULE TYPES "[ 01 60 01 7f 01 7f ] " FUNCS "[ 01 00 ] " EXPORTS "[ 01 'f' 00 00 ] " CODE "[ 01 [ 00 local.get #0 ");
		for (int k = 0; k < N; k++)
			assert_true(buf_put(&text, links[i], strlen(links[i])));
		buf_printf(&text, "end ] ] ");
		guest_init(&g, text_end());
		gives(&g, i == 0 ? 1 : i == 1 ? 27
									  : 3 * (N + 1),
			"f", i == 2 ? 3 : 0);
		guest_release(&g);
	}
}

static void put_leb(struct buf *b, size_t n)
{
	char number[24];
	snprintf(number, sizeof number, "%zu", n);
	build__leb(b, number, false);
}

// A body of the largest size: branches over all of it, both ways. One byte more is refused.
static void a_body_at_the_size_limit_branches_right_L19(void **state UNUSED)
{
	enum { LIMIT = 7654321, PIECES = 588000 };
	for (int over = 0; over < 2; over++) {
		struct guest g = {0};
		struct buf code = {0}, tail = {0}, size = {0};
		struct err e = {0};
		build_text(&code, "00 loop 40 block 40 local.get #0 i32.eqz br_if #0 ");
		build_text(&tail, "local.get #0 i32.const #1 i32.sub local.set #0 br #1 end end i32.const #0 i32.load #2 #0 end ");
		for (int i = 0; i < PIECES; i++)  // memory[0] += 1
			assert_true(buf_put(&code, "\x41\0\x41\0\x28\2\0\x41\1\x6a\x36\2\0", 13));
		while (code.len + tail.len < LIMIT + (size_t)over)
			assert_true(buf_put_byte(&code, 0x01));
		assert_true(buf_put_slice(&code, buf_view(&tail)));
		put_leb(&size, code.len);
		build_text(&g.bytes, MODULE TYPES "[ 01 60 01 7f 01 7f ] " FUNCS "[ 01 00 ] " MEMORIES "[ 01 00 01 ] " EXPORTS "[ 01 'f' 00 00 ] " CODE);
		put_leb(&g.bytes, 1 + size.len + code.len);
		assert_true(buf_put_byte(&g.bytes, 1) && buf_put_slice(&g.bytes, buf_view(&size)) && buf_put_slice(&g.bytes, buf_view(&code)));
		if (over) {
			assert_false(guest_compile(&g, &e));
			assert_int_equal(e.code, ERR_LIMIT);
			arena_release(&g.arena);
			buf_release(&g.bytes);
		} else {
			guest_instantiate(&g, NULL, 0);
			gives(&g, 0, "f", 0);
			gives(&g, 3 * PIECES, "f", 3);
			guest_release(&g);
		}
		buf_release(&code);
		buf_release(&tail);
		buf_release(&size);
	}
}

// L16: two traps of one instruction, and the case that is none; the divisor as a constant too.
static void divisions_trap_for_their_own_reasons_L16(void **state UNUSED)
{
	struct guest g;
	guest_init(&g,
		MODULE TYPES "[ 02 60 02 7f 7f 01 7f 60 02 7e 7e 01 7e ] " FUNCS "[ 0a 00 00 00 00 01 01 00 00 01 00 ] " EXPORTS
					 "[ 0a 'div' 00 00 'rem' 00 01 'divu' 00 02 'remu' 00 03 'div64' 00 04 'rem64' 00 05 'div-1' 00 06 'rem-1' 00 07 'rem64-1' 00 08 'div0' 00 09 ] " CODE "[ 0a [ 00 local.get #0 local.get #1 i32.div_s end ] [ 00 local.get #0 local.get #1 i32.rem_s end ] "
					 "[ 00 local.get #0 local.get #1 i32.div_u end ] [ 00 local.get #0 local.get #1 i32.rem_u end ] "
					 "[ 00 local.get #0 local.get #1 i64.div_s end ] [ 00 local.get #0 local.get #1 i64.rem_s end ] "
					 "[ 00 local.get #0 i32.const #-1 i32.div_s end ] [ 00 local.get #0 i32.const #-1 i32.rem_s end ] "
					 "[ 00 local.get #0 i64.const #-1 i64.rem_s end ] [ 00 local.get #0 i32.const #0 i32.div_s end ] ] ");
	traps(&g, TRAP_DIVIDE_BY_ZERO, "div", 5, 0);
	traps(&g, TRAP_DIVIDE_BY_ZERO, "div", 0x80000000, 0);
	traps(&g, TRAP_INTEGER_OVERFLOW, "div", 0x80000000, 0xffffffff);
	gives(&g, 0, "rem", 0x80000000, 0xffffffff);
	traps(&g, TRAP_DIVIDE_BY_ZERO, "rem", 5, 0);
	gives(&g, 0, "divu", 0x80000000, 0xffffffff);
	gives(&g, 0x80000000, "remu", 0x80000000, 0xffffffff);
	traps(&g, TRAP_DIVIDE_BY_ZERO, "remu", 1, 0);
	traps(&g, TRAP_INTEGER_OVERFLOW, "div64", 1ull << 63, UINT64_MAX);
	gives(&g, 0, "rem64", 1ull << 63, UINT64_MAX);
	gives(&g, (uint64_t)-3, "rem64", (uint64_t)-7, 4);
	traps(&g, TRAP_INTEGER_OVERFLOW, "div-1", 0x80000000);
	gives(&g, 0xfffffffb, "div-1", 5);
	gives(&g, 0, "rem-1", 0x80000000);
	gives(&g, 0, "rem64-1", 1ull << 63);
	traps(&g, TRAP_DIVIDE_BY_ZERO, "div0", 5);
	guest_release(&g);
}

// ---- functions and references ----------------------------------------------------------------------------------------------------------

#define OWNER                                                                                                                               \
	MODULE TYPES "[ 03 60 00 00 60 01 7f 01 7f 60 02 7f 7f 01 7f ] " FUNCS "[ 03 01 02 00 ] " TABLES "[ 02 70 00 06 6f 00 03 ] " GLOBALS    \
				 "[ 01 70 01 ref.null 70 end ] " EXPORTS "[ 02 't' 01 00 'g' 03 00 ] " ELEMS "[ 01 00 i32.const #1 end 03 00 01 02 ] " CODE \
				 "[ 03 [ 00 local.get #0 i32.const #1 i32.add end ] [ 00 local.get #0 local.get #1 i32.add end ] [ 00 end ] ] "

// The types are numbered otherwise in the module that calls; equal ones are the same, others trap.
static void types_are_compared_by_structure_across_modules_L22(void **state UNUSED)
{
	struct guest owner, user;
	guest_init(&owner, OWNER);
	for (int round = 0; round < 20; round++) {  // ids are not given to other types when a module goes
		guest_init_with(&user,
			MODULE TYPES "[ 05 60 02 7f 7f 01 7f 60 01 7e 01 7f 60 01 7f 01 7f 60 01 7f 00 60 02 7f 7f 01 7f ] " IMPORTS "[ 01 'o' 't' 01 70 00 01 ] " FUNCS
						 "[ 04 00 00 00 02 ] " EXPORTS "[ 04 'one' 00 00 'two' 00 01 'other' 00 02 'none' 00 03 ] " CODE
						 "[ 04 [ 00 local.get #0 local.get #1 call_indirect #2 #0 end ] [ 00 local.get #0 i32.const #5 local.get #1 call_indirect #4 #0 end ] "
						 "[ 00 local.get #0 i64.extend_i32_u local.get #1 call_indirect #1 #0 end ] [ 00 i32.const #1 local.get #0 call_indirect #3 #0 i32.const #0 end ] ] ",
			&owner);
		gives(&user, 8, "one", 7, 1);
		gives(&user, 12, "two", 7, 2);
		traps(&user, TRAP_INDIRECT_CALL_TYPE, "one", 7, 2);
		traps(&user, TRAP_INDIRECT_CALL_TYPE, "two", 7, 1);
		traps(&user, TRAP_INDIRECT_CALL_TYPE, "one", 7, 3);
		traps(&user, TRAP_INDIRECT_CALL_TYPE, "other", 7, 1);
		traps(&user, TRAP_UNINITIALIZED_ELEMENT, "one", 7, 0);
		traps(&user, TRAP_UNINITIALIZED_ELEMENT, "one", 7, 5);
		traps(&user, TRAP_UNDEFINED_ELEMENT, "one", 7, 6);
		traps(&user, TRAP_UNDEFINED_ELEMENT, "one", 7, 0xffffffff);
		traps(&user, TRAP_INDIRECT_CALL_TYPE, "none", 1);
		arena_release(&user.arena);  // the module and its code stay with the store's instance
		buf_release(&user.bytes);
		vm_module_unref(user.mod);
		struct guest fresh;
		guest_init(&fresh, MODULE TYPES "[ 01 60 03 7f 7f 7f 01 7f ] " FUNCS "[ 01 00 ] " CODE "[ 01 [ 00 local.get #0 end ] ] ");
		guest_release(&fresh);
	}
	guest_release(&owner);
}

static void fresh_references_are_null_L23(void **state UNUSED)
{
	struct guest g;
	guest_init(&g,
		MODULE TYPES "[ 02 60 00 01 7f 60 01 7f 01 7f ] " FUNCS "[ 04 00 00 00 01 ] " TABLES "[ 02 70 00 03 6f 00 03 ] " GLOBALS
					 "[ 02 70 01 ref.null 70 end 6f 01 ref.null 6f end ] " EXPORTS "[ 04 'locals' 00 00 'tables' 00 01 'globals' 00 02 'f' 00 03 ] " CODE
					 "[ 04 [ 02 01 70 01 6f local.get #0 ref.is_null local.get #1 ref.is_null i32.and end ] "
					 "[ 00 i32.const #2 table.get #0 ref.is_null i32.const #2 table.get #1 ref.is_null i32.and end ] "
					 "[ 00 global.get #0 ref.is_null global.get #1 ref.is_null i32.and end ] "
					 // a reference of function 0 is not null
					 "[ 01 01 70 ref.func #3 local.set #1 local.get #1 ref.is_null end ] ] ");
	gives(&g, 1, "locals", 0);
	gives(&g, 1, "tables", 0);
	gives(&g, 1, "globals", 0);
	gives(&g, 0, "f", 0);
	guest_release(&g);
}

// A function fills the stack with a pattern, another one looks at locals that it never wrote.
static void locals_are_zero_whatever_the_stack_held_L43(void **state UNUSED)
{
	struct guest g;
	buf_clear(&text);
	buf_printf(&text, MODULE TYPES "[ 02 60 01 7f 01 7f 60 00 01 7e ] " FUNCS "[ 03 00 01 01 ] " EXPORTS "[ 03 'dirty' 00 00 'look' 00 01 'look-few' 00 02 ] " CODE "[ 03 [ 01 #300 7e ");
	for (int i = 1; i <= 300; i++)
		buf_printf(&text, "i64.const #-1 local.set #%d ", i);
	buf_printf(&text, "local.get #0 if 7f local.get #0 i32.const #1 i32.sub call #0 else i32.const #1 end ");
	for (int i = 1; i <= 300; i++)
		buf_printf(&text, "local.get #%d i32.wrap_i64 i32.and ", i);
	buf_printf(&text, "end ] [ 02 #200 7e #200 7c i64.const #0 ");
	for (int i = 0; i < 400; i++)
		buf_printf(&text, "local.get #%d %s i64.or ", i, i < 200 ? "" : "i64.reinterpret_f64");
	buf_printf(&text, "end ] [ 02 03 7e 03 7f local.get #0 local.get #1 i64.or local.get #2 i64.or local.get #3 local.get #4 i32.or local.get #5 i32.or "
					  "i64.extend_i32_u i64.or end ] ] ");
	guest_init(&g, text_end());
	for (int i = 0; i < 3; i++) {
		gives(&g, 1, "dirty", 10);
		gives(&g, 0, "look", 0);
		gives(&g, 1, "dirty", 10);
		gives(&g, 0, "look-few", 0);
		uint64_t r = 1;
		assert_int_equal(guest_on_fiber(&g, "dirty", ARGS(10), &r, NULL, VM_BUDGET_NONE), TRAP_NONE);
		assert_int_equal(guest_on_fiber(&g, "look", ARGS(0), &r, NULL, VM_BUDGET_NONE), TRAP_NONE);
		assert_int_equal(r, 0);
	}
	guest_release(&g);
}

// L51: a mispredicted bounds check reads nothing that an index chose: each of the three has a conditional move, or a
// mask by sbb of a register from itself, on the flags of its compare.
static void checks_of_tables_mask_the_index_L51(void **state UNUSED)
{
	struct guest g;
	guest_init(&g,
		MODULE TYPES "[ 02 60 01 7f 01 7f 60 00 00 ] " FUNCS "[ 04 00 00 00 01 ] " TABLES "[ 01 70 00 04 ] " EXPORTS "[ 03 'i' 00 00 'b' 00 01 'g' 00 02 ] " CODE
					 "[ 04 [ 00 local.get #0 local.get #0 call_indirect #0 #0 end ] "
					 "[ 00 block 40 block 40 local.get #0 br_table #2 #0 #1 #0 end i32.const #1 return end i32.const #2 end ] "
					 "[ 00 local.get #0 table.get #0 ref.is_null end ] [ 00 end ] ] ");
	for (uint32_t f = 0; f < 3; f++) {
		const uint8_t *p = code_object_func(g.mod->code, f), *end = code_object_func(g.mod->code, f + 1);
		assert_true(end > p && end - p < 4096);
		bool found = false;
		for (; p + 1 < end; p++)
			found |= (p[0] == 0x0f && (p[1] & 0xf0) == 0x40) || ((p[0] == 0x19 || p[0] == 0x1b) && p[1] >= 0xc0 && (p[1] >> 3 & 7) == (p[1] & 7));
		if (!found)
			fail_msg("function %u checks an index without a mask", f);
	}
	guest_release(&g);
}

// ---- a file that is written to while it is compiled -----------------------------------------------------------------------------------------
struct flips {
	volatile uint8_t *at;
	_Atomic bool stop;
};

static void *flip(void *arg)
{
	struct flips *f = arg;
	while (!atomic_load_explicit(&f->stop, memory_order_relaxed))
		*f->at ^= 0x01 ^ 0x27;  // nop, and no instruction
	return NULL;
}

static void what_is_compiled_is_what_was_validated(void **state UNUSED)
{
#if SANITIZE_THREAD
	skip();
#endif
	enum { NOPS = 20000, TIMES = 100 };
	struct guest g = {0};
	struct buf module = {0};
	buf_put_str(&module, MODULE TYPES "[ 01 60 00 00 ] " FUNCS "[ 01 00 ] " CODE "[ 01 [ 00 ");
	for (int i = 0; i < NOPS; i++)
		buf_put_str(&module, "nop ");
	buf_put_str(&module, "end ] ] ");
	assert_true(buf_put_byte(&module, 0));
	build_text(&g.bytes, (const char *)module.ptr);
	buf_release(&module);
	struct flips flips = {.at = g.bytes.ptr + g.bytes.len - NOPS / 2};
	struct sys_thread thread;
	assert_int_equal(*flips.at, 0x01);
	assert_int_equal(sys_thread_new(&thread, flip, &flips), 0);
	unsigned told[64] = {0};
	for (int i = 0; i < TIMES; i++) {
		struct err e = {0};
		bool ok = guest_compile(&g, &e);
		told[ok ? ERR_NONE : e.code]++;
		if (ok)
			vm_module_unref(g.mod);
		arena_release(&g.arena);
	}
	atomic_store(&flips.stop, true);
	sys_thread_join(&thread);
	assert_int_equal(told[ERR_NONE] + told[ERR_MALFORMED], TIMES);
	buf_release(&g.bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_compiled_is_what_was_validated),
		cmocka_unit_test(arithmetic_in_an_address_wraps_at_32_bits_L1),
		cmocka_unit_test(an_index_is_unsigned_wherever_it_comes_from_L3),
		cmocka_unit_test(an_index_above_2_gib_lives_through_spills_L2),
		cmocka_unit_test(offsets_are_33_bits_with_the_index_L5),
		cmocka_unit_test(no_address_reaches_a_neighbour_L6),
		cmocka_unit_test(a_memory_of_4_gib_has_65536_pages_L13),
		cmocka_unit_test(operations_read_no_more_than_was_loaded_L7),
		cmocka_unit_test(a_store_over_the_edge_writes_nothing_L14),
		cmocka_unit_test(edges_of_a_merge_agree_L11),
		cmocka_unit_test(a_huge_jump_table_jumps_right_L17),
		cmocka_unit_test(long_chains_need_no_stack_in_the_compiler_L18),
		cmocka_unit_test(a_body_at_the_size_limit_branches_right_L19),
		cmocka_unit_test(divisions_trap_for_their_own_reasons_L16),
		cmocka_unit_test(types_are_compared_by_structure_across_modules_L22),
		cmocka_unit_test(fresh_references_are_null_L23),
		cmocka_unit_test(locals_are_zero_whatever_the_stack_held_L43),
		cmocka_unit_test(checks_of_tables_mask_the_index_L51),
	};
	int failed = cmocka_run_group_tests(tests, guest_setup, guest_teardown);
	failed += cmocka_run_group_tests_name("poisoned", tests, guest_setup_poisoned, guest_teardown);  // L15
	failed += cmocka_run_group_tests_name("without cells", tests, guest_setup_without_cells, guest_teardown);
	buf_release(&text);
	return failed;
}
