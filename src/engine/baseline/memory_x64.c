// Memories, globals, tables, references, and the bulk operations (which are calls of the runtime).
//
// A memory in a cell (abi_memory_in_cell) has 6 GiB: index (zero-extended) + an offset of at most 2 GiB - 1 lands in it, so the processor checks (L5,
// L6). Greater offsets, and all accesses of other memories, are checked by code, without adding to the index (L12).
#include "vec_x64.h"

#define MAX_DISP 0x7fffffffu

static unsigned address_type(const struct wasm_limits *l)
{
	return l->is64 ? WASM_I64 : WASM_I32;
}

static void memory_record(struct comp *c, uint32_t memory, unsigned reg)
{
	if (memory == 0)
		x64_mov_rm(&c->a, W64, reg, at_vmctx(offsetof(struct abi_vmctx, mem0)));
	else
		x64_mov_rm(&c->a, W64, reg, at_vmctx(c->layout->memories + 8u * memory));
}

static struct r64 memory_base(struct comp *c, uint32_t memory)
{
	if (memory == 0)
		return x64_r64(R14);
	uint8_t t = alloc(c, false);
	memory_record(c, memory, t);
	x64_mov_rm(&c->a, W64, t, x64_at(x64_r64(t), offsetof(struct abi_memory, base)));
	return x64_r64(t);
}

// What the memory has at least: it never gets shorter than its type says.
static uint64_t least_bytes(const struct comp *c, uint32_t memory)
{
	const struct wasm_memory_type *t = &c->m->memories[memory];
	return t->limits.min > UINT64_MAX >> t->page_shift ? 0 : t->limits.min << t->page_shift;
}

// `end`: index, offset and size of an access at a constant index. Nothing is checked of what is always there.
static struct x64_mem checked_const(struct comp *c, uint64_t index, const struct wasm_memarg *m, uint64_t end)
{
	struct x64 *a = &c->a;
	uint8_t t = alloc(c, false), u = alloc(c, false);
	if (end > least_bytes(c, m->memory)) {
		memory_record(c, m->memory, t);
		x64_mov_ri(a, u, end);
		x64_alu_rm(a, W64, ALU_CMP, u, x64_at(x64_r64(t), offsetof(struct abi_memory, length)));
		baseline__jcc_trap(c, CC_A, TRAP_MEMORY_OUT_OF_BOUNDS);
	}
	c->lock &= ~BIT(t);
	if (index + m->offset <= MAX_DISP) {
		c->lock &= ~BIT(u);
		return x64_at(memory_base(c, m->memory), (int32_t)(index + m->offset));
	}
	x64_mov_ri(a, u, index + m->offset);
	return x64_at_index(memory_base(c, m->memory), x64_r64(u), 0, 0);
}

static uint64_t add_or_most(uint64_t a, uint64_t b)
{
	uint64_t sum;
	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

// First length ≥ offset + size, then index ≤ length - offset - size (L12). Sums that have no 64 bits are UINT64_MAX, which no length reaches.
static struct x64_mem checked_address(struct comp *c, struct val *index, const struct wasm_memarg *m, unsigned size)
{
	struct x64 *a = &c->a;
	uint64_t end = add_or_most(m->offset, size);
	if (index->kind == K_CONST)
		return checked_const(c, index->imm, m, add_or_most(index->imm, end));
	uint8_t r = c->m->memories[m->memory].limits.is64 ? baseline__use_reg(c, index) : baseline__use_zext(c, index).n;
	uint8_t t = alloc(c, false), u = NO_REG;
	memory_record(c, m->memory, t);
	x64_mov_rm(a, W64, t, x64_at(x64_r64(t), offsetof(struct abi_memory, length)));
	if (end <= MAX_DISP) {
		x64_alu_ri(a, W64, ALU_SUB, t, (int32_t)end);
	} else {
		u = alloc(c, false);
		x64_mov_ri(a, u, end);
		x64_alu_rr(a, W64, ALU_SUB, t, u);
	}
	if (end > least_bytes(c, m->memory))
		baseline__jcc_trap(c, CC_B, TRAP_MEMORY_OUT_OF_BOUNDS);
	x64_alu_rr(a, W64, ALU_CMP, r, t);
	baseline__jcc_trap(c, CC_A, TRAP_MEMORY_OUT_OF_BOUNDS);
	c->lock &= ~BIT(t);
	if (u == NO_REG)
		return x64_at_index(memory_base(c, m->memory), x64_r64(r), 0, (int32_t)m->offset);
	x64_mov_ri(a, u, m->offset);
	x64_alu_rr(a, W64, ALU_ADD, u, r);
	return x64_at_index(memory_base(c, m->memory), x64_r64(u), 0, 0);
}

struct x64_mem baseline__address(struct comp *c, struct val *index, const struct wasm_memarg *m, unsigned size)
{
	if (UNLIKELY(c->opt->check_memories || !abi_memory_in_cell(&c->m->memories[m->memory])))
		return checked_address(c, index, m, size);
	if (index->kind == K_CONST && index->imm + m->offset <= MAX_DISP)
		return x64_at(memory_base(c, m->memory), (int32_t)(index->imm + m->offset));
	if (UNLIKELY(m->offset > MAX_DISP))
		return checked_address(c, index, m, size);
	struct r64 r = baseline__use_zext(c, index);
	return x64_at_index(memory_base(c, m->memory), r, 0, (int32_t)m->offset);
}

// w: of the result; arg: 0 plain, else enum x64_ext, or 32 (i64.load32_s), 33 (i64.load32_u)
void baseline__emit_load(struct comp *c, unsigned w, unsigned arg)
{
	unsigned size = wasm_ops[wasm_op_by_byte[*c->op_at]].access;
	struct wasm_memarg m = wasm_read_memarg(&c->p);
	struct val index = pop(c);
	struct x64_mem at = baseline__address(c, &index, &m, size);
	uint8_t d = baseline__hint(c);
	if (d == NO_REG)
		d = index.kind == K_REG ? index.reg : alloc(c, false);
	baseline__site(c, TRAP_MEMORY_OUT_OF_BOUNDS);
	if (!arg)
		x64_mov_rm(&c->a, w, d, at);
	else if (arg == 32)
		x64_movsxd_rm(&c->a, d, at);
	else if (arg == 33)
		x64_mov_rm(&c->a, W32, d, at);
	else
		x64_ext_rm(&c->a, arg == EXT_ZX8 || arg == EXT_ZX16 ? W32 : w, arg, d, at);
	baseline__finish(c, w == W64 ? WASM_I64 : WASM_I32, d);
}

void baseline__emit_load_float(struct comp *c, unsigned f, unsigned arg)
{
	struct wasm_memarg m = wasm_read_memarg(&c->p);
	struct val index = pop(c);
	struct x64_mem at = baseline__address(c, &index, &m, f == W64 ? 8 : 4);
	uint8_t d = baseline__hint(c);
	if (d == NO_REG)
		d = alloc(c, true);
	baseline__site(c, TRAP_MEMORY_OUT_OF_BOUNDS);
	x64_movs_rm(&c->a, f, d, at);
	baseline__finish(c, f == W64 ? WASM_F64 : WASM_F32, d);
}

static void store_imm(struct comp *c, unsigned size, struct x64_mem at, uint64_t imm)
{
	if (size == 1)
		x64_mov_mi8(&c->a, at, (uint32_t)imm);
	else if (size == 2)
		x64_mov_mi16(&c->a, at, (uint32_t)imm);
	else
		x64_mov_mi(&c->a, size == 8 ? W64 : W32, at, (uint32_t)imm);
}

// arg: bytes. One instruction each (L14).
void baseline__emit_store(struct comp *c, unsigned w, unsigned size)
{
	struct wasm_memarg m = wasm_read_memarg(&c->p);
	struct val v = pop(c), index = pop(c);
	bool imm = v.kind == K_CONST && (size < 8 || (int64_t)v.imm == (int32_t)v.imm);
	if (v.kind == K_CONST && is_float(v.type))
		v.type = v.type == WASM_F64 ? WASM_I64 : WASM_I32;
	uint8_t r = imm ? NO_REG : baseline__use_reg(c, &v);
	struct x64_mem at = baseline__address(c, &index, &m, size);
	baseline__site(c, TRAP_MEMORY_OUT_OF_BOUNDS);
	if (imm)
		store_imm(c, size, at, v.imm);
	else if (r >= XMM0)
		x64_movs_mr(&c->a, size == 8 ? W64 : W32, at, r);
	else if (size == 1)
		x64_mov_mr8(&c->a, at, r);
	else if (size == 2)
		x64_mov_mr16(&c->a, at, r);
	else
		x64_mov_mr(&c->a, size == 8 ? W64 : W32, at, r);
}

void baseline__emit_memory_size(struct comp *c, unsigned w, unsigned arg)
{
	uint32_t memory = wasm_read_u32(&c->p);
	uint8_t d = baseline__hint(c);
	if (d == NO_REG)
		d = alloc(c, false);
	memory_record(c, memory, d);
	// 64 bits: 4 GiB is a length (L13).
	x64_mov_rm(&c->a, W64, d, x64_at(x64_r64(d), offsetof(struct abi_memory, length)));
	if (c->m->memories[memory].page_shift)
		x64_shift_ri(&c->a, W64, SHIFT_SHR, d, c->m->memories[memory].page_shift);
	baseline__finish(c, address_type(&c->m->memories[memory].limits), d);
}

// ---- globals ----------------------------------------------------------------------------------------------------
static struct x64_mem global_at(struct comp *c, uint32_t global)
{
	uint32_t imported = c->m->nimported_globals;
	if (global >= imported)
		return at_vmctx(c->layout->globals + 16u * (global - imported));
	uint8_t t = alloc(c, false);
	x64_mov_rm(&c->a, W64, t, at_vmctx(c->layout->imported_globals + 8u * global));
	return x64_at(x64_r64(t), 0);
}

void baseline__emit_global_get(struct comp *c, unsigned w, unsigned arg)
{
	uint32_t global = wasm_read_u32(&c->p);
	unsigned type = kind_of(c, c->m->globals[global].type.type);
	struct x64_mem at = global_at(c, global);
	uint8_t d = baseline__hint(c);
	if (d == NO_REG)
		d = alloc(c, in_vector(type));
	baseline__load(c, type, d, at);
	baseline__finish(c, type, d);
}

// The upper half of an i32's cell is zero from the beginning and stays so (R5).
void baseline__emit_global_set(struct comp *c, unsigned w, unsigned arg)
{
	uint32_t global = wasm_read_u32(&c->p);
	struct val v = pop(c);
	if (v.kind != K_CONST)
		baseline__use_reg(c, &v);
	struct x64_mem at = global_at(c, global);
	baseline__store_val(c, at, &v);
}

// ---- tables -----------------------------------------------------------------------------------------------------
// Checks a popped index against the table; the address of its element. *ret_table: register with the table's record.
static struct x64_mem element(struct comp *c, uint32_t table, struct val *index, uint8_t *ret_table)
{
	struct x64 *a = &c->a;
	uint8_t i = index->kind == K_REG && !c->opt->poison_upper ? index->reg : alloc(c, false), t = alloc(c, false), mask = alloc(c, false);
	baseline__move_to(c, i, index);
	x64_mov_rm(a, W64, t, at_vmctx(c->layout->tables + 8u * table));
	x64_alu_rm(a, W64, ALU_CMP, i, x64_at(x64_r64(t), offsetof(struct abi_table, length)));
	// All ones when below, from the flags of the same compare (L51).
	x64_alu_rr(a, W64, ALU_SBB, mask, mask);
	baseline__jcc_trap(c, CC_AE, TRAP_TABLE_OUT_OF_BOUNDS);
	x64_alu_rr(a, W64, ALU_AND, i, mask);
	x64_mov_rm(a, W64, mask, x64_at(x64_r64(t), offsetof(struct abi_table, elems)));
	*ret_table = t;
	return x64_at_index(x64_r64(mask), x64_r64(i), 2, 0);
}

void baseline__emit_table_get(struct comp *c, unsigned w, unsigned arg)
{
	uint32_t table = wasm_read_u32(&c->p);
	struct val index = pop(c);
	uint8_t t;
	struct x64_mem at = element(c, table, &index, &t);
	x64_mov_rm(&c->a, W32, t, at);
	baseline__finish(c, kind_of(c, c->m->tables[table].type.elem), t);
}

void baseline__emit_table_set(struct comp *c, unsigned w, unsigned arg)
{
	uint32_t table = wasm_read_u32(&c->p);
	struct val v = pop(c), index = pop(c);
	uint8_t t, r = NO_REG;
	if (v.kind != K_CONST)
		r = baseline__use_reg(c, &v);
	struct x64_mem at = element(c, table, &index, &t);
	if (r == NO_REG)
		x64_mov_mi(&c->a, W32, at, (uint32_t)v.imm);
	else
		x64_mov_mr(&c->a, W32, at, r);
	x64_mov_mi(&c->a, W64, x64_at(x64_r64(t), offsetof(struct abi_table, dirty)), 1);
}

void baseline__emit_table_size(struct comp *c, unsigned w, unsigned arg)
{
	uint32_t table = wasm_read_u32(&c->p);
	uint8_t t = alloc(c, false);
	x64_mov_rm(&c->a, W64, t, at_vmctx(c->layout->tables + 8u * table));
	x64_mov_rm(&c->a, W64, t, x64_at(x64_r64(t), offsetof(struct abi_table, length)));
	baseline__finish(c, address_type(&c->m->tables[table].type.limits), t);
}

// ---- references -------------------------------------------------------------------------------------------------
void baseline__emit_ref_null(struct comp *c, unsigned w, unsigned arg)
{
	wasm_read_heap_type(&c->p);
	push_const(c, WASM_REF, 0);
}

void baseline__emit_ref_is_null(struct comp *c, unsigned w, unsigned arg)
{
	struct val v = pop(c);
	baseline__push_flags(c, baseline__invert(baseline__cond(c, &v)));
}

void baseline__emit_ref_func(struct comp *c, unsigned w, unsigned arg)
{
	uint32_t func = wasm_read_u32(&c->p);
	uint8_t d = alloc(c, false);
	x64_mov_rm(&c->a, W64, d, at_vmctx(offsetof(struct abi_vmctx, func_refs)));
	x64_mov_rm(&c->a, W32, d, x64_at(x64_r64(d), (int32_t)(4 * func)));
	baseline__finish(c, WASM_REF, d);
}

void baseline__emit_ref_as_non_null(struct comp *c, unsigned w, unsigned arg)
{
	struct val v = pop(c);
	uint8_t r = baseline__own_reg(c, &v);
	x64_test_rr(&c->a, W32, r, r);
	baseline__jcc_trap(c, CC_E, TRAP_NULL_REFERENCE);
	baseline__finish(c, v.type, r);
}

// ---- calls of the runtime ---------------------------------------------------------------------------------------
// What the runtime answers, -1 included, as an index.
static void finish_size(struct comp *c, const struct wasm_limits *l)
{
	if (!l->is64)
		x64_mov_rr(&c->a, W32, RAX, RAX);
	baseline__finish(c, address_type(l), RAX);
}

void baseline__emit_memory_grow(struct comp *c, unsigned w, unsigned arg)
{
	uint32_t memory = wasm_read_u32(&c->p);
	baseline__libcall(c, ABI_LIBCALL_MEMORY_GROW, &memory);
	finish_size(c, &c->m->memories[memory].limits);
}

void baseline__emit_table_grow(struct comp *c, unsigned w, unsigned arg)
{
	uint32_t table = wasm_read_u32(&c->p);
	baseline__libcall(c, ABI_LIBCALL_TABLE_GROW, &table);
	finish_size(c, &c->m->tables[table].type.limits);
}

// w: immediates in the code, which are the first arguments
void baseline__emit_bulk(struct comp *c, unsigned w, unsigned id)
{
	uint32_t imms[2] = {0};
	for (unsigned i = 0; i < w; i++)
		imms[i] = wasm_read_u32(&c->p);
	// memory.init and table.init name the segment first; the runtime takes the memory or table first.
	if (id == ABI_LIBCALL_MEMORY_INIT || id == ABI_LIBCALL_TABLE_INIT) {
		uint32_t t = imms[0];
		imms[0] = imms[1];
		imms[1] = t;
	}
	baseline__libcall(c, id, imms);
}
