// Memories that no cell holds: of 64-bit indices, of pages of one byte, and all of them where there are no cells. Every access at every edge against
// arithmetic in 128 bits (L12, L14), growth and its limits, images and resets, copies between the kinds (L36), tables of 64-bit indices (L33), and wide
// arithmetic; each also poisoned (L15) and without cells.
// PROGRAM(test_memory64, "comp code vm tier cmocka", "")
#include "guest.h"

#include "code/code.h"

static struct buf text;
static const uint32_t all = WASM_FEATURES_FINISHED;

static const char *text_end(void)
{
	assert_true(buf_put_byte(&text, 0));
	return (const char *)text.ptr;
}

static const char *name_of(unsigned i)
{
	static char name[16];
	snprintf(name, sizeof name, "f%u", i);
	return name;
}

static const char *ones_of(char type)
{
	return type == 'i' ? "i32.const #-1" : type == 'l' ? "i64.const #-1"
		: type == 'f'                                  ? "f32.const ff ff ff ff"
		: type == 'd'                                  ? "f64.const ff ff ff ff ff ff ff ff"
													   : "v128.const ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff";
}

// ---- every access at every edge ---------------------------------------------------------------------------------------------------------
// A memory, the second of two, so that no index of it can be mistaken.
struct kind {
	const char *memory;  // its type, a length of 70,000 bytes or 65,536
	uint64_t length;
	bool is64;
};
static const struct kind kinds[] = {
	{"00 01", 65536, false},
	{"04 01", 65536, true},
	{"08 #70001 00", 70001, false},
	{"0c #70001 00", 70001, true},
	{"0c #3 00", 3, true},
	{"08 #0 00", 0, false},
};

static const uint64_t offsets[] = {0, 1, 3, 65520, 65535, 65536, 70001, 0x7fffffef, 0x7ffffff0, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff,
	0x100000000, 0x7fffffffffffffff, 0x8000000000000000, 0xfffffffffffffff0, 0xffffffffffffffff};

static bool fits(const struct kind *k, uint64_t index, uint64_t offset, unsigned size)
{
	return (unsigned __int128)index + offset + size <= k->length;
}

// A function for each row and offset: the access at its argument, or at a constant.
static unsigned put_accesses(const struct kind *k, const uint64_t *constant, struct buf *bodies)
{
	unsigned n = 0;
	for (unsigned op = 0; op < WASM_OP_COUNT; op++) {
		const struct wasm_op_info *info = &wasm_ops[op];
		if (!info->access || info->feature & ~all || info->feature == WASM_FEATURE_THREADS)  // atomics: test_atomics
			continue;
		bool is_store = info->sig[strlen(info->sig) - 1] == ':';
		for (size_t i = 0; i < ARRAY_LEN(offsets) && (k->is64 || offsets[i] <= UINT32_MAX); i++, n++) {
			if (constant)
				buf_printf(bodies, "[ 00 %s #%lld ", k->is64 ? "i64.const" : "i32.const", k->is64 ? (long long)*constant : (long long)(int32_t)*constant);
			else
				buf_printf(bodies, "[ 00 local.get #0 ");
			buf_printf(bodies, "%s %s #64 #1 #%llu %s %s end ] ", info->sig[1] == ':' ? "" : ones_of(info->sig[1]), wasm_op_text((enum wasm_op)op), (unsigned long long)offsets[i],
				info->imm == WASM_IMM_MEMARG_LANE ? "00" : "", is_store ? "" : "drop");
		}
	}
	return n;
}

static void accesses_init(struct guest *g, const struct kind *k, const uint64_t *constant)
{
	struct buf bodies = {0};
	unsigned n = put_accesses(k, constant, &bodies);
	buf_clear(&text);
	buf_printf(&text, MODULE TYPES "[ 01 60 01 %s 00 ] " FUNCS "[ #%u ", k->is64 ? "7e" : "7f", n);
	for (unsigned i = 0; i < n; i++)
		buf_printf(&text, "00 ");
	buf_printf(&text, "] " MEMORIES "[ 02 00 02 %s ] " EXPORTS "[ #%u 'memory' 02 01 ", k->memory, n + 1);
	for (unsigned i = 0; i < n; i++)
		buf_printf(&text, "'f%u' 00 #%u ", i, i);
	buf_printf(&text, "] " CODE "[ #%u %.*s] ", n, (int)bodies.len, (const char *)bodies.ptr);
	buf_release(&bodies);
	guest_init(g, text_end());
}

// All of them at one index: what fits does not trap, what does not traps and writes nothing.
static void check_accesses(struct guest *g, const struct kind *k, uint64_t index)
{
	struct vm_extern x;
	unsigned n = 0;
	assert_true(vm_instance_export(g->inst, SLICE_LIT("memory"), &x));
	uint8_t *base = vm_memory_base(x.memory);
	assert_int_equal(vm_memory_length(x.memory), k->length);
	for (unsigned op = 0; op < WASM_OP_COUNT; op++) {
		const struct wasm_op_info *info = &wasm_ops[op];
		if (!info->access || info->feature & ~all || info->feature == WASM_FEATURE_THREADS)  // atomics: test_atomics
			continue;
		bool is_store = info->sig[strlen(info->sig) - 1] == ':';
		for (size_t i = 0; i < ARRAY_LEN(offsets) && (k->is64 || offsets[i] <= UINT32_MAX); i++, n++) {
			bool ok = fits(k, index, offsets[i], info->access);
			enum trap t = guest_call(g, name_of(n), ARGS(index), (uint64_t[16]){0});
			if (t != (ok ? TRAP_NONE : TRAP_MEMORY_OUT_OF_BOUNDS))
				fail_msg("%s of %s at %llx + %llx: %s", wasm_op_text((enum wasm_op)op), k->memory, (unsigned long long)index, (unsigned long long)offsets[i], trap_text(t));
			uint64_t at = index + offsets[i];
			for (uint64_t b = 0; is_store && ok && b < info->access; b++) {
				if (base[at + b] != 0xff)
					fail_msg("%s wrote no byte at %llx", wasm_op_text((enum wasm_op)op), (unsigned long long)(at + b));
				base[at + b] = 0;
			}
		}
	}
	for (uint64_t b = 0; b < k->length; b++)
		assert_int_equal(base[b], 0);
}

static uint64_t index_at(const struct kind *k, unsigned i)
{
	const uint64_t some[] = {0, 1, k->length - 16, k->length - 8, k->length - 4, k->length - 1, k->length, k->length + 1, 0x7fffffff, 0x80000000, 0xffffffff,
		0x100000000, 0x100000001, 0x8000000000000000, 0xfffffffffffffff0, 0xffffffffffffffff};
	return i >= ARRAY_LEN(some) ? UINT64_MAX : k->is64 ? some[i]
													   : (uint32_t)some[i];
}
#define INDICES 16

static void every_access_knows_its_bounds_L12_L14(void **state UNUSED)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct guest g;
		accesses_init(&g, &kinds[i], NULL);
		for (unsigned k = 0; k < INDICES; k++)
			check_accesses(&g, &kinds[i], index_at(&kinds[i], k));
		guest_release(&g);
	}
}

// Each index is a module of its own, which takes long with sanitizers.
#if SANITIZE_ADDRESS
enum { INDEX_STEP = 5 };
#else
enum { INDEX_STEP = 1 };
#endif

static void every_access_at_a_constant_knows_its_bounds_L12(void **state UNUSED)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		for (unsigned k = 0; k < INDICES; k += INDEX_STEP) {
			struct guest g;
			uint64_t index = index_at(&kinds[i], k);
			accesses_init(&g, &kinds[i], &index);
			check_accesses(&g, &kinds[i], index);
			guest_release(&g);
		}
	}
}

// ---- growth -----------------------------------------------------------------------------------------------------------------------------
// %s: type of the memory, of its indices.
#define GROWS                                                                                                                       \
	MODULE TYPES "[ 03 60 01 %s 01 %s 60 00 01 %s 60 01 %s 01 7f ] " FUNCS "[ 04 00 01 02 02 ] " MEMORIES "[ 01 %s ] " EXPORTS      \
				 "[ 05 'grow' 00 00 'size' 00 01 'load' 00 02 'add' 00 03 'memory' 02 00 ] " CODE                                   \
				 "[ 04 [ 00 local.get #0 memory.grow #0 end ] [ 00 memory.size #0 end ] [ 00 local.get #0 i32.load8_u #0 #0 end ] " \
				 "[ 00 local.get #0 local.get #0 i32.load8_u #0 #0 i32.const #1 i32.add i32.store8 #0 #0 local.get #0 i32.load8_u #0 #0 end ] ] "

static void grows_init(struct guest *g, const char *memory, bool is64, const struct vm_limits *limits)
{
	const char *t = is64 ? "7e" : "7f";
	struct err e = {0};
	buf_clear(&text);
	buf_printf(&text, GROWS, t, t, t, t, memory);
	*g = (struct guest){0};
	build_text(&g->bytes, text_end());
	if (!vm_store_new(shard, limits, &g->st, &e))
		fail_msg("%s", e.text);
	guest_instantiate(g, NULL, 0);
}

static void memories_grow_to_their_type_and_to_the_limit_and_no_further_L13(void **state UNUSED)
{
	const struct vm_limits mib = {.memory = 1 << 20, .table_elements = 10, .stack = 1u << 20, .survives_traps = true};
	const struct vm_limits odd = {.memory = 65536 + 4097, .table_elements = 10, .stack = 1u << 20, .survives_traps = true};
	struct guest g;
	// By its type.
	grows_init(&g, "05 01 03", true, &mib);
	gives(&g, UINT64_MAX, "grow", 3);
	gives(&g, UINT64_MAX, "grow", UINT64_MAX);
	gives(&g, UINT64_MAX, "grow", 1ull << 48);
	gives(&g, UINT64_MAX, "grow", 1ull << 32);
	gives(&g, 1, "grow", 2);
	gives(&g, 3, "size", 0);
	gives(&g, 3, "grow", 0);
	gives(&g, 0, "load", 3 * 65536 - 1);
	traps(&g, TRAP_MEMORY_OUT_OF_BOUNDS, "load", 3 * 65536);
	guest_release(&g);
	// By the limit: 16 pages of 64 KiB.
	grows_init(&g, "04 01", true, &mib);
	gives(&g, UINT64_MAX, "grow", 16);
	gives(&g, 1, "grow", 15);
	gives(&g, UINT64_MAX, "grow", 1);
	gives(&g, 16, "size", 0);
	gives(&g, 0, "load", (1 << 20) - 1);
	traps(&g, TRAP_MEMORY_OUT_OF_BOUNDS, "load", 1 << 20);
	assert_int_equal(vm_store_memory_used(g.st), 1 << 20);
	guest_release(&g);
	// Pages of one byte, to the last byte of the limit, and of 32 bits.
	for (int is64 = 0; is64 < 2; is64++) {
		grows_init(&g, is64 ? "0c #65530 00" : "08 #65530 00", is64, &odd);
		gives(&g, 65530, "grow", 5);
		gives(&g, 65535, "grow", 1);
		gives(&g, 65536, "grow", 4097);
		gives(&g, is64 ? UINT64_MAX : UINT32_MAX, "grow", 1);
		gives(&g, is64 ? UINT64_MAX : UINT32_MAX, "grow", UINT32_MAX);
		gives(&g, 65536 + 4097, "size", 0);
		gives(&g, 0, "load", 65536 + 4096);
		traps(&g, TRAP_MEMORY_OUT_OF_BOUNDS, "load", 65536 + 4097);
		guest_release(&g);
	}
}

static void a_memory_that_does_not_fit_is_refused(void **state UNUSED)
{
	const struct vm_limits mib = {.memory = 1 << 20, .table_elements = 10, .stack = 1u << 20};
	const struct vm_limits none = {.memory = UINT64_MAX, .table_elements = UINT64_MAX, .stack = 1u << 20};
	static const struct {
		const char *memory;
		bool fits_none;
	} rows[] = {{"04 #17", true}, {"0c #1048577 00", true}, {"04 #0x100000000000", false}, {"04 #0x1000000000000", false}, {"0c #0xffffffffffffffff 00", false}};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (int any = 0; any < 2; any++) {
			struct guest g = {0};
			struct err e = {0};
			buf_clear(&text);
			buf_printf(&text, MODULE MEMORIES "[ 01 %s ] ", rows[i].memory);
			build_text(&g.bytes, text_end());
			assert_true(guest_compile(&g, &e) && vm_store_new(shard, any ? &none : &mib, &g.st, &e));
			bool ok = vm_instance_allocate(g.st, g.mod, NULL, 0, &g.inst, &e);
			assert_int_equal(ok, any && rows[i].fits_none);
			if (!ok)
				assert_int_equal(e.code, ERR_LIMIT);
			guest_release(&g);
		}
	}
}

// ---- images and resets ------------------------------------------------------------------------------------------------------------------
static void instances_are_equal_to_their_image_after_each_reset_L27_L28(void **state UNUSED)
{
	static const struct {
		const char *memory;
		bool is64;
		uint64_t length, unit;
	} rows[] = {{"04 02", true, 2 * 65536, 65536}, {"08 #5 00", false, 5, 1}, {"0c #8191 00", true, 8191, 1}, {"00 01", false, 65536, 65536}};
	static const enum vm_reset_method methods[] = {VM_RESET_GATED_SCAN, VM_RESET_SCAN, VM_RESET_PAGEMAP, VM_RESET_DISCARD};
	enum vm_reset_method best = vm_process_reset_method();
	for (size_t i = 0; i < 4 * ARRAY_LEN(rows); i++) {
		struct guest first, g;
		struct vm_image *img;
		struct err e = {0};
		const uint64_t length = rows[i / 4].length, unit = rows[i / 4].unit, last = length - 1;
		if (methods[i % 4] < best)
			continue;
		vm_process_set_reset_method(methods[i % 4]);
		grows_init(&first, rows[i / 4].memory, rows[i / 4].is64, &ample);
		gives(&first, 1, "add", 2);
		gives(&first, 1, "add", last);
		assert_true(vm_image_capture(first.st, &img, &e));
		grows_init(&g, rows[i / 4].memory, rows[i / 4].is64, &ample);
		if (!vm_store_attach(g.st, img, &e))
			fail_msg("%s", e.text);
		for (int k = 0; k < 20; k++) {
			gives(&g, length / unit, "size", 0);
			gives(&g, 2, "add", 2);
			gives(&g, 2, "add", last);
			gives(&g, 0, "load", 3);
			traps(&g, TRAP_MEMORY_OUT_OF_BOUNDS, "load", length);
			// What lies behind the image's end, in its last page and behind it.
			gives(&g, length / unit, "grow", 70000 / unit);
			gives(&g, 0, "load", length);
			gives(&g, 1, "add", length);
			gives(&g, 1, "add", length + 65535);
			assert_true(vm_store_reset(g.st));
			assert_int_equal(vm_store_memory_used(g.st), length);
		}
		gives(&g, 1, "load", last);
		traps(&g, TRAP_MEMORY_OUT_OF_BOUNDS, "load", length);
		vm_image_unref(img);
		guest_release(&first);
		guest_release(&g);
	}
	vm_process_set_reset_method(best);
}

static void images_in_files_hold_memories_of_odd_lengths(void **state UNUSED)
{
	struct guest first, g;
	struct vm_image *img, *again = NULL;
	struct err e = {0};
	grows_init(&first, "0c #12289 00", true, &ample);
	gives(&first, 1, "add", 12288);
	assert_true(vm_image_capture(first.st, &img, &e));
	int fd = sys_memfd("image", 0);
	assert_true(fd >= 0);
	if (!vm_image_write(img, SLICE_LIT("more"), fd, &e) || !vm_image_open(fd, false, &again, &e))
		fail_msg("%s", e.text);
	assert_int_equal(vm_image_memory_length(again), 4 * 4096);
	grows_init(&g, "0c #12289 00", true, &ample);
	if (!vm_store_attach(g.st, again, &e))
		fail_msg("%s", e.text);
	gives(&g, 12289, "size", 0);
	gives(&g, 2, "add", 12288);
	traps(&g, TRAP_MEMORY_OUT_OF_BOUNDS, "load", 12289);
	vm_image_unref(img);
	vm_image_unref(again);
	guest_release(&first);
	guest_release(&g);
}

// ---- copies between the kinds -----------------------------------------------------------------------------------------------------------
// Memories: 0 of 32 bits, 1 of 64 bits, 2 of 64 bits and pages of one byte. Copies "AB" from B to A, of 9 bytes.
static void copies_between_kinds_know_both_bounds_L12_L36(void **state UNUSED)
{
	static const uint64_t lengths[] = {65536, 131072, 70001}, ends[] = {0, 1, 9, 65527, 65536, 69992, 70001, 131072, 1ull << 32, 1ull << 63, UINT64_MAX};
	struct guest g;
	buf_clear(&text);
	buf_printf(&text, MODULE TYPES "[ 04 60 03 7f 7f 7f 00 60 03 7f 7e 7f 00 60 03 7e 7f 7f 00 60 03 7e 7e 7e 00 ] " FUNCS "[ 09 00 01 01 02 03 03 02 03 03 ] " MEMORIES "[ 03 00 01 04 02 0c #70001 00 ] " EXPORTS "[ 09 ");
	for (unsigned i = 0; i < 9; i++)
		buf_printf(&text, "'%u%u' 00 #%u ", i / 3, i % 3, i);
	buf_printf(&text, "] " CODE "[ 09 ");
	for (unsigned i = 0; i < 9; i++)
		buf_printf(&text, "[ 00 local.get #0 local.get #1 local.get #2 memory.copy #%u #%u end ] ", i / 3, i % 3);
	buf_printf(&text, "] ");
	guest_init(&g, text_end());
	for (unsigned i = 0; i < 9; i++) {
		const char name[] = {(char)('0' + i / 3), (char)('0' + i % 3), 0};
		for (size_t a = 0; a < ARRAY_LEN(ends); a++) {
			for (size_t b = 0; b < ARRAY_LEN(ends); b++) {
				uint64_t to = i / 3 ? ends[a] : (uint32_t)ends[a], from = i % 3 ? ends[b] : (uint32_t)ends[b];
				bool ok = (unsigned __int128)to + 9 <= lengths[i / 3] && (unsigned __int128)from + 9 <= lengths[i % 3];
				traps(&g, ok ? TRAP_NONE : TRAP_MEMORY_OUT_OF_BOUNDS, name, to, from, 9);
				traps(&g, to <= lengths[i / 3] && from <= lengths[i % 3] ? TRAP_NONE : TRAP_MEMORY_OUT_OF_BOUNDS, name, to, from, 0);
				traps(&g, TRAP_MEMORY_OUT_OF_BOUNDS, name, to, from, UINT32_MAX);
			}
		}
	}
	guest_release(&g);
}

// ---- tables of 64-bit indices -----------------------------------------------------------------------------------------------------------
static void tables_of_64_bit_indices_compare_all_bits_L13_L33(void **state UNUSED)
{
	static const uint64_t beyond[] = {11, 12, 1ull << 32, (1ull << 32) + 1, 1ull << 62, 1ull << 63, UINT64_MAX};
	struct guest g;
	// Table 0: 32 bits, 5 functions; table 1: 64 bits, 10 to 13.
	guest_init(&g,
		MODULE TYPES "[ 05 60 01 7e 01 7f 60 01 7e 01 7e 60 00 01 7e 60 01 7e 00 60 00 01 7f ] " FUNCS "[ 07 04 00 00 01 02 03 03 ] " TABLES
					 "[ 02 70 00 05 70 05 #10 #13 ] " EXPORTS "[ 06 'call' 00 01 'null' 00 02 'grow' 00 03 'size' 00 04 'set' 00 05 'tail' 00 06 ] " ELEMS
					 "[ 02 02 01 i64.const #9 end 00 01 00 00 i32.const #0 end 01 00 ] " CODE
					 "[ 07 [ 00 i32.const #77 end ] [ 00 local.get #0 call_indirect #4 #1 end ] [ 00 local.get #0 table.get #1 ref.is_null end ] "
					 "[ 00 ref.null 70 local.get #0 table.grow #1 end ] [ 00 table.size #1 end ] [ 00 local.get #0 ref.null 70 table.set #1 end ] "
					 "[ 00 local.get #0 ref.null 70 i64.const #2 table.fill #1 end ] ] ");
	gives(&g, 77, "call", 9);
	traps(&g, TRAP_UNINITIALIZED_ELEMENT, "call", 8);
	gives(&g, 0, "null", 9);
	gives(&g, 1, "null", 8);
	gives(&g, 10, "grow", 1);
	gives(&g, 11, "size", 0);
	gives(&g, UINT64_MAX, "grow", 3);
	gives(&g, UINT64_MAX, "grow", UINT64_MAX);
	gives(&g, UINT64_MAX, "grow", 1ull << 62);
	gives(&g, UINT64_MAX, "grow", 1ull << 32);
	for (size_t i = 0; i < ARRAY_LEN(beyond); i++) {
		traps(&g, TRAP_UNDEFINED_ELEMENT, "call", beyond[i]);
		traps(&g, TRAP_TABLE_OUT_OF_BOUNDS, "null", beyond[i]);
		traps(&g, TRAP_TABLE_OUT_OF_BOUNDS, "set", beyond[i]);
		traps(&g, TRAP_TABLE_OUT_OF_BOUNDS, "tail", beyond[i] - 1);
	}
	gives(&g, 77, "call", 9);
	guest_release(&g);
}

// ---- wide arithmetic --------------------------------------------------------------------------------------------------------------------
// Operands are locals, constants and values on the stack, in all combinations (L10): bit i of a form says that the i-th is a constant.
static void wide_init(struct guest *g, const char *op, unsigned nargs, unsigned form, const uint64_t *v)
{
	buf_clear(&text);
	// What was below it, and the operands' locals, are as before.
	buf_printf(&text, MODULE TYPES "[ 01 60 04 7e 7e 7e 7e 07 7e 7e 7e 7e 7e 7e 7e ] " FUNCS "[ 01 00 ] " EXPORTS "[ 01 'f' 00 00 ] " CODE "[ 01 [ 00 local.get #2 ");
	for (unsigned i = 0; i < nargs; i++) {
		if (form >> i & 1)
			buf_printf(&text, "i64.const #%lld ", (long long)v[i]);
		else if (form >> (i + nargs) & 1)
			buf_printf(&text, "local.get #%u i64.const #0 i64.add ", i);
		else
			buf_printf(&text, "local.get #%u ", i);
	}
	buf_printf(&text, "%s local.get #0 local.get #1 local.get #2 local.get #3 end ] ] ", op);
	guest_init(g, text_end());
}

static unsigned __int128 wide_of(unsigned op, const uint64_t *v)
{
	const unsigned __int128 a = (unsigned __int128)v[1] << 64 | v[0], b = (unsigned __int128)v[3] << 64 | v[2];
	switch (op) {
	case 0:
		return a + b;
	case 1:
		return a - b;
	case 2:
		return (unsigned __int128)((__int128)(int64_t)v[0] * (int64_t)v[1]);
	default:
		return (unsigned __int128)v[0] * v[1];
	}
}

static void halves_carry_into_each_other_and_leave_their_operands_L10(void **state UNUSED)
{
	static const char *const ops[] = {"i64.add128", "i64.sub128", "i64.mul_wide_s", "i64.mul_wide_u"};
	static const uint64_t edges[] = {0, 1, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff};
	for (unsigned op = 0; op < ARRAY_LEN(ops); op++) {
		unsigned nargs = op < 2 ? 4 : 2;
		for (unsigned form = 0; form < 1u << 2 * nargs; form++) {
			if (form & form >> nargs & ((1u << nargs) - 1))
				continue;
			for (unsigned k = 0; k < 7; k++) {
				const uint64_t v[] = {edges[k % 5], edges[(k + form) % 5], edges[(k / 2 + form / 3) % 5], edges[(k * 3 + 4) % 5]};
				struct guest g;
				uint64_t r[16] = {0};
				wide_init(&g, ops[op], nargs, form, v);
				assert_int_equal(guest_call(&g, "f", v, r), TRAP_NONE);
				unsigned __int128 want = wide_of(op, v);
				if (r[0] != v[2] || r[1] != (uint64_t)want || r[2] != (uint64_t)(want >> 64) || memcmp(r + 3, v, sizeof v) != 0)
					fail_msg("%s, form %u, values %u: %llx %llx", ops[op], form, k, (unsigned long long)r[2], (unsigned long long)r[1]);
				guest_release(&g);
			}
		}
	}
}

// ---- without cells ----------------------------------------------------------------------------------------------------------------------
static void code_without_checks_is_refused_where_there_are_no_cells(void **state UNUSED)
{
	struct guest g = {0};
	struct err e = {0};
	struct vm_module *again;
	build_text(&g.bytes, MODULE MEMORIES "[ 01 00 01 ] ");
	bool has = vm_process_has_cells();
	vm_process_set_cells(true);
	assert_true(guest_compile(&g, &e));
	vm_process_set_cells(false);
	assert_false(vm_module_new(g.m, g.mod->code, NULL, NULL, &again, &e));
	assert_int_equal(e.code, ERR_ENV);
	vm_process_set_cells(has);
	guest_release(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_access_knows_its_bounds_L12_L14),
		cmocka_unit_test(every_access_at_a_constant_knows_its_bounds_L12),
		cmocka_unit_test(memories_grow_to_their_type_and_to_the_limit_and_no_further_L13),
		cmocka_unit_test(a_memory_that_does_not_fit_is_refused),
		cmocka_unit_test(instances_are_equal_to_their_image_after_each_reset_L27_L28),
		cmocka_unit_test(images_in_files_hold_memories_of_odd_lengths),
		cmocka_unit_test(copies_between_kinds_know_both_bounds_L12_L36),
		cmocka_unit_test(tables_of_64_bit_indices_compare_all_bits_L13_L33),
		cmocka_unit_test(halves_carry_into_each_other_and_leave_their_operands_L10),
		cmocka_unit_test(code_without_checks_is_refused_where_there_are_no_cells),
	};
	features = all;
	int failed = cmocka_run_group_tests(tests, guest_setup, guest_teardown);
	failed += cmocka_run_group_tests_name("poisoned", tests, guest_setup_poisoned, guest_teardown);
	failed += cmocka_run_group_tests_name("without cells, poisoned", tests, guest_setup_without_cells, guest_teardown);
	poison = false;
	failed += cmocka_run_group_tests_name("without cells", tests, guest_setup_without_cells, guest_teardown);
	buf_release(&text);
	return failed;
}
