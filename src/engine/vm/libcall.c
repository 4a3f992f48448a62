// What generated code calls (abi/libcalls.def). Bulk operations check first and write then, so that a trap leaves no half of one (L31, L34).
// Lengths and offsets are unsigned 64-bit values; sums are never formed before the comparison (L12).
#include "heap_int.h"

#include <math.h>

static struct vm_instance *of(const struct abi_vmctx *ctx)
{
	return ctx->instance;
}

// ---- stack -------------------------------------------------------------------------------------------------------
// Slow path of a function's entry check (R6): a real overflow, or the hook that the watchdog set.
static uint32_t abi_libcall_stack_hook(struct abi_vmctx *ctx)
{
	struct vm_shard *s = ctx->exec->shard;
	uintptr_t limit = s->stack_limit;
	if (ctx->exec->stack_limit != UINTPTR_MAX || (uintptr_t)__builtin_frame_address(0) < limit)
		return TRAP_STACK_OVERFLOW;
	ctx->exec->stack_limit = limit;
	return vm__fiber_give_way(s);
}

// ---- functions that come when they are called -----------------------------------------------------------------------
// On the guest's stack, in the margin below its limit, as host functions: who called has passed his own check, and the function makes its own. What it takes
// is a part of loading the module, whoever is first: nobody's budget has it. What fails is the caller's time: he may try again.
static uint32_t abi_libcall_compile(struct abi_vmctx *ctx, uint32_t func)
{
	struct vm_shard *s = ctx->exec->shard;
	struct err e;
	const void *code = NULL;
	err_clear(&e);
	vm__fiber_charge_now(s);
	bool ok = code_lazy_compile(of(ctx)->code, func, &code, &e);
	ctx->exec->libcall_result = (uintptr_t)code;
	if (!ok)
		return vm_trapf(s, e.code == ERR_LIMIT ? TRAP_CODE_LIMIT : TRAP_NOT_COMPILED, "%s: %s", e.where, e.text);
	vm__fiber_charge_from_now(s);
	return TRAP_NONE;
}

// ---- memories ----------------------------------------------------------------------------------------------------
static uint32_t abi_libcall_memory_grow(struct abi_vmctx *ctx, uint32_t memory, uint64_t delta)
{
	uint64_t old = vm_memory_grow(of(ctx)->memories[memory], delta);
	enum trap end = vm__between_pieces(ctx);
	ctx->exec->libcall_result = old;
	return end;
}

static uint32_t abi_libcall_memory_fill(struct abi_vmctx *ctx, uint32_t memory, uint64_t dst, uint32_t value, uint64_t n)
{
	const struct abi_memory *m = &of(ctx)->memories[memory]->abi;
	if (!vm__fits(dst, n, m->length))
		return TRAP_MEMORY_OUT_OF_BOUNDS;
	for (uint64_t at = 0; at < n; at += VM__PIECE) {
		memset(m->base + dst + at, (int)(value & 0xff), min_u64(n - at, VM__PIECE));
		enum trap end = vm__between_pieces(ctx);
		if (end)
			return end;
	}
	return vm__between_pieces(ctx);
}

static uint32_t abi_libcall_memory_copy(struct abi_vmctx *ctx, uint32_t dst_memory, uint32_t src_memory, uint64_t dst, uint64_t src, uint64_t n)
{
	const struct abi_memory *to = &of(ctx)->memories[dst_memory]->abi, *from = &of(ctx)->memories[src_memory]->abi;
	if (!vm__fits(dst, n, to->length) || !vm__fits(src, n, from->length))
		return TRAP_MEMORY_OUT_OF_BOUNDS;
	return vm__move_pieces(ctx, to->base + dst, from->base + src, n);
}

static uint32_t abi_libcall_memory_init(struct abi_vmctx *ctx, uint32_t memory, uint32_t data, uint64_t dst, uint32_t src, uint32_t n)
{
	struct vm_instance *inst = of(ctx);
	const struct abi_memory *m = &inst->memories[memory]->abi;
	struct slice bytes;
	if (!vm__data_bytes(inst, data, &bytes))
		return TRAP_OUT_OF_MEMORY;
	if (!vm__fits(src, n, bytes.len) || !vm__fits(dst, n, m->length))
		return TRAP_MEMORY_OUT_OF_BOUNDS;
	return n ? vm__move_pieces(ctx, m->base + dst, bytes.ptr + src, n) : vm__between_pieces(ctx);
}

static void abi_libcall_data_drop(struct abi_vmctx *ctx, uint32_t data)
{
	struct vm_instance *inst = of(ctx);
	vm__bit_set(inst->dropped, inst->mod->m->nelems + data);
	inst->store->segments_dirty = true;
}

// ---- atomics -----------------------------------------------------------------------------------------------------
static uint32_t abi_libcall_atomic_notify(struct abi_vmctx *ctx, uint32_t memory, uint64_t address, uint32_t count)
{
	return vm__atomic_notify(ctx, memory, address, count);
}

static uint32_t abi_libcall_atomic_wait32(struct abi_vmctx *ctx, uint32_t memory, uint64_t address, uint32_t expected, uint64_t timeout)
{
	return vm__atomic_wait(ctx, memory, address, 4, expected, timeout);
}

static uint32_t abi_libcall_atomic_wait64(struct abi_vmctx *ctx, uint32_t memory, uint64_t address, uint64_t expected, uint64_t timeout)
{
	return vm__atomic_wait(ctx, memory, address, 8, expected, timeout);
}

// ---- tables ------------------------------------------------------------------------------------------------------
static uint32_t abi_libcall_table_grow(struct abi_vmctx *ctx, uint32_t table, uint32_t init, uint64_t delta)
{
	struct vm_table *t = of(ctx)->tables[table];
	uint64_t old = t->abi.length;
	enum trap end = TRAP_NONE;
	if (!vm__table_make_room(t, delta)) {
		delta = 0;
		old = UINT64_MAX;
	}
	for (uint64_t done = 0; done < delta && !end; done += VM__PIECE_ELEMENTS) {
		vm__table_extend(t, min_u64(delta - done, VM__PIECE_ELEMENTS), init);
		end = vm__between_pieces(ctx);
	}
	ctx->exec->libcall_result = old;
	return end ? end : vm__between_pieces(ctx);
}

static uint32_t abi_libcall_table_fill(struct abi_vmctx *ctx, uint32_t table, uint64_t i, uint32_t value, uint64_t n)
{
	struct abi_table *t = &of(ctx)->tables[table]->abi;
	if (!vm__fits(i, n, t->length))
		return TRAP_TABLE_OUT_OF_BOUNDS;
	t->dirty = 1;
	return vm__fill_pieces(ctx, (uint8_t *)(t->elems + i), &value, sizeof value, n);
}

static uint32_t abi_libcall_table_copy(struct abi_vmctx *ctx, uint32_t dst_table, uint32_t src_table, uint64_t dst, uint64_t src, uint64_t n)
{
	struct abi_table *to = &of(ctx)->tables[dst_table]->abi;
	const struct abi_table *from = &of(ctx)->tables[src_table]->abi;
	if (!vm__fits(dst, n, to->length) || !vm__fits(src, n, from->length))
		return TRAP_TABLE_OUT_OF_BOUNDS;
	to->dirty = 1;
	return vm__move_pieces(ctx, (uint8_t *)(to->elems + dst), (const uint8_t *)(from->elems + src), n * sizeof *to->elems);
}

static uint32_t abi_libcall_table_init(struct abi_vmctx *ctx, uint32_t table, uint32_t elem, uint64_t dst, uint32_t src, uint32_t n)
{
	struct vm_instance *inst = of(ctx);
	struct vm_table *t = inst->tables[table];
	struct vm__here here = VM__HERE();
	return vm__table_init(inst, t, elem, dst, src, n, &here);
}

static void abi_libcall_elem_drop(struct abi_vmctx *ctx, uint32_t elem)
{
	struct vm_instance *inst = of(ctx);
	vm__bit_set(inst->dropped, elem);
	vm__elem_refs_drop(inst, elem);
	inst->store->segments_dirty = true;
}

// ---- floats ------------------------------------------------------------------------------------------------------
// The eight conversions in their two forms. Bounds are the exact floats between which truncation fits: low < x < high.
struct conversion {
	double low, high;
	bool from_f32, to64, is_signed;
};
static bool conversion_of(uint32_t op, struct conversion *c)
{
	switch (op) {
#define ROW(to, from, S, low_, high_, to64_, f32_, signed_)          \
	case WASM_OP_##to##_TRUNC_##from##_##S:                          \
	case WASM_OP_##to##_TRUNC_SAT_##from##_##S:                      \
		*c = (struct conversion){low_, high_, f32_, to64_, signed_}; \
		return true;
		ROW(I32, F32, S, -2147483904.0, 2147483648.0, false, true, true)
		ROW(I32, F32, U, -1.0, 4294967296.0, false, true, false)
		ROW(I32, F64, S, -2147483649.0, 2147483648.0, false, false, true)
		ROW(I32, F64, U, -1.0, 4294967296.0, false, false, false)
		ROW(I64, F32, S, -9223373136366403584.0, 9223372036854775808.0, true, true, true)
		ROW(I64, F32, U, -1.0, 18446744073709551616.0, true, true, false)
		ROW(I64, F64, S, -9223372036854777856.0, 9223372036854775808.0, true, false, true)
		ROW(I64, F64, U, -1.0, 18446744073709551616.0, true, false, false)
#undef ROW
	default:
		return false;
	}
}

static double operand(const struct conversion *c, uint64_t bits)
{
	if (c->from_f32) {
		float f;
		uint32_t low = (uint32_t)bits;
		memcpy(&f, &low, sizeof f);
		return f;
	}
	double d;
	memcpy(&d, &bits, sizeof d);
	return d;
}

static uint64_t convert(const struct conversion *c, double x)
{
	if (!c->is_signed)
		return x <= 0 ? 0 : (uint64_t)x;
	return c->to64 ? (uint64_t)(int64_t)x : (uint32_t)(int32_t)x;
}

static uint32_t abi_libcall_trunc(struct abi_vmctx *ctx, uint32_t op, uint64_t bits)
{
	struct conversion c;
	BUG_ON(!conversion_of(op, &c));
	double x = operand(&c, bits);
	if (isnan(x))
		return TRAP_INVALID_CONVERSION;
	if (!(x > c.low && x < c.high))
		return TRAP_INTEGER_OVERFLOW;
	ctx->exec->libcall_result = convert(&c, x);
	return TRAP_NONE;
}

static uint64_t abi_libcall_trunc_sat(struct abi_vmctx *ctx UNUSED, uint32_t op, uint64_t bits)
{
	struct conversion c;
	BUG_ON(!conversion_of(op, &c));
	double x = operand(&c, bits);
	if (isnan(x))
		return 0;
	if (x <= c.low)
		return !c.is_signed ? 0 : c.to64 ? (uint64_t)INT64_MIN
										 : (uint32_t)INT32_MIN;
	if (x >= c.high)
		return c.is_signed ? (c.to64 ? (uint64_t)INT64_MAX : (uint64_t)INT32_MAX) : (c.to64 ? UINT64_MAX : UINT32_MAX);
	return convert(&c, x);
}

#define abi_libcall_raise vm__raise
#define abi_libcall_struct_new vm__call_struct_new
#define abi_libcall_array_new vm__call_array_new
#define abi_libcall_array_new_data vm__call_array_new_data
#define abi_libcall_array_new_elem vm__call_array_new_elem
#define abi_libcall_array_set_all vm__call_array_set_all
#define abi_libcall_array_fill vm__call_array_fill
#define abi_libcall_array_copy vm__call_array_copy
#define abi_libcall_array_init_data vm__call_array_init_data
#define abi_libcall_array_init_elem vm__call_array_init_elem
#define abi_libcall_func_is vm__call_func_is
#define abi_libcall_throw vm__throw_entry
#define abi_libcall_tail_return vm__tail_return
#define abi_libcall_throw_ref vm__throw_ref_entry
const struct abi_libcalls vm__libcalls = {
#define LIBCALL(NAME, name, may_trap, result, params) .name = abi_libcall_##name,
#include "abi/libcalls.def"
#undef LIBCALL
};
