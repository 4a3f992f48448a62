// What generated code calls (abi/libcalls.def). Bulk operations check first and write then, so that a trap leaves no half of one (L31, L34).
// Lengths and offsets are unsigned 64-bit values; sums are never formed before the comparison (L12).
#include "vm_int.h"

#include <math.h>

static struct vm_instance *of(const struct abi_vmctx *ctx)
{
	return ctx->instance;
}

static bool fits(uint64_t offset, uint64_t n, uint64_t length)
{
	return offset <= length && n <= length - offset;
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

// ---- memories ----------------------------------------------------------------------------------------------------
// Long operations go in pieces and give others a turn between two of them (L31): nobody else is in the store meanwhile. One that began is
// finished; a kill that arrived is delivered after it.
#define PIECE (4u << 20)

static bool is_interrupted(const struct abi_vmctx *ctx)
{
	return UNLIKELY(__atomic_load_n(&ctx->exec->interrupt, __ATOMIC_RELAXED) != 0);
}

static void between_pieces(struct abi_vmctx *ctx)
{
	if (is_interrupted(ctx))
		vm__fiber_give_way(ctx->exec->shard);
}

// At the end of each operation that can be long, or that a loop can be made of: else a guest could spend its time where nothing ends it.
static uint32_t after_pieces(struct abi_vmctx *ctx, uint64_t n)
{
	struct vm_shard *s = ctx->exec->shard;
	if (is_interrupted(ctx))
		return vm__fiber_give_way(s);
	return n > PIECE && s->current ? s->current->kill : TRAP_NONE;
}

static uint32_t abi_libcall_memory_grow(struct abi_vmctx *ctx, uint32_t memory, uint64_t delta)
{
	uint64_t old = vm_memory_grow(of(ctx)->memories[memory], delta);
	enum trap end = after_pieces(ctx, 0);
	ctx->exec->libcall_result = old;
	return end;
}

static uint32_t abi_libcall_memory_fill(struct abi_vmctx *ctx, uint32_t memory, uint64_t dst, uint32_t value, uint64_t n)
{
	const struct abi_memory *m = &of(ctx)->memories[memory]->abi;
	if (!fits(dst, n, m->length))
		return TRAP_MEMORY_OUT_OF_BOUNDS;
	for (uint64_t at = 0; at < n; at += PIECE) {
		if (at)
			between_pieces(ctx);
		memset(m->base + dst + at, (int)(value & 0xff), min_u64(n - at, PIECE));
	}
	return after_pieces(ctx, n);
}

static uint32_t abi_libcall_memory_copy(struct abi_vmctx *ctx, uint32_t dst_memory, uint32_t src_memory, uint64_t dst, uint64_t src, uint64_t n)
{
	const struct abi_memory *to = &of(ctx)->memories[dst_memory]->abi, *from = &of(ctx)->memories[src_memory]->abi;
	if (!fits(dst, n, to->length) || !fits(src, n, from->length))
		return TRAP_MEMORY_OUT_OF_BOUNDS;
	uint8_t *d = to->base + dst;
	const uint8_t *p = from->base + src;
	// Pieces in the direction in which an overlap is not overwritten before it is read.
	bool backward = d > p && d < p + n;
	for (uint64_t done = 0; done < n;) {
		if (done)
			between_pieces(ctx);
		uint64_t len = min_u64(n - done, PIECE), at = backward ? n - done - len : done;
		memmove(d + at, p + at, len);
		done += len;
	}
	return after_pieces(ctx, n);
}

static uint32_t abi_libcall_memory_init(struct abi_vmctx *ctx, uint32_t memory, uint32_t data, uint64_t dst, uint32_t src, uint32_t n)
{
	struct vm_instance *inst = of(ctx);
	const struct wasm_module *mod = inst->mod->m;
	const struct abi_memory *m = &inst->memories[memory]->abi;
	struct slice bytes = vm__bit(inst->dropped, mod->nelems + data) ? (struct slice){0} : mod->data[data].bytes;
	if (!fits(src, n, bytes.len) || !fits(dst, n, m->length))
		return TRAP_MEMORY_OUT_OF_BOUNDS;
	if (n)
		memcpy(m->base + dst, bytes.ptr + src, n);
	return after_pieces(ctx, n);
}

static void abi_libcall_data_drop(struct abi_vmctx *ctx, uint32_t data)
{
	struct vm_instance *inst = of(ctx);
	vm__bit_set(inst->dropped, inst->mod->m->nelems + data);
	inst->store->segments_dirty = true;
}

// ---- tables ------------------------------------------------------------------------------------------------------
static uint32_t abi_libcall_table_grow(struct abi_vmctx *ctx, uint32_t table, uint32_t init, uint64_t delta)
{
	uint64_t old = vm_table_grow(of(ctx)->tables[table], delta, init);
	enum trap end = after_pieces(ctx, 0);
	ctx->exec->libcall_result = old;
	return end;
}

static uint32_t abi_libcall_table_fill(struct abi_vmctx *ctx, uint32_t table, uint64_t i, uint32_t value, uint64_t n)
{
	struct abi_table *t = &of(ctx)->tables[table]->abi;
	if (!fits(i, n, t->length))
		return TRAP_TABLE_OUT_OF_BOUNDS;
	for (uint64_t k = 0; k < n; k++)
		t->elems[i + k] = value;
	t->dirty = 1;
	return after_pieces(ctx, n);
}

static uint32_t abi_libcall_table_copy(struct abi_vmctx *ctx, uint32_t dst_table, uint32_t src_table, uint64_t dst, uint64_t src, uint64_t n)
{
	struct abi_table *to = &of(ctx)->tables[dst_table]->abi;
	const struct abi_table *from = &of(ctx)->tables[src_table]->abi;
	if (!fits(dst, n, to->length) || !fits(src, n, from->length))
		return TRAP_TABLE_OUT_OF_BOUNDS;
	memmove(to->elems + dst, from->elems + src, n * sizeof *to->elems);
	to->dirty = 1;
	return after_pieces(ctx, n);
}

enum trap vm__table_init(struct vm_instance *inst, struct vm_table *t, uint32_t elem, uint64_t dst, uint64_t src, uint64_t n)
{
	const struct wasm_elem *seg = &inst->mod->m->elems[elem];
	uint64_t count = vm__bit(inst->dropped, elem) ? 0 : seg->count;
	if (!fits(src, n, count) || !fits(dst, n, t->abi.length))
		return TRAP_TABLE_OUT_OF_BOUNDS;
	t->abi.dirty = 1;
	for (uint64_t k = 0; k < n; k++) {
		uint64_t ref[2];
		if (seg->funcs)
			ref[0] = inst->func_refs[seg->funcs[src + k]];
		else if (!vm__const_eval(inst, &seg->exprs[src + k], ref))
			return TRAP_OUT_OF_MEMORY;
		t->abi.elems[dst + k] = (uint32_t)ref[0];
	}
	return TRAP_NONE;
}

static uint32_t abi_libcall_table_init(struct abi_vmctx *ctx, uint32_t table, uint32_t elem, uint64_t dst, uint32_t src, uint32_t n)
{
	struct vm_instance *inst = of(ctx);
	enum trap t = vm__table_init(inst, inst->tables[table], elem, dst, src, n);
	return t ? t : after_pieces(ctx, n);
}

static void abi_libcall_elem_drop(struct abi_vmctx *ctx, uint32_t elem)
{
	struct vm_instance *inst = of(ctx);
	vm__bit_set(inst->dropped, elem);
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
const struct abi_libcalls vm__libcalls = {
#define LIBCALL(NAME, name, may_trap, result, params) .name = abi_libcall_##name,
#include "abi/libcalls.def"
#undef LIBCALL
};
