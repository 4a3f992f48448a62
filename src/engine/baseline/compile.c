// The driver: one pass over a body. What comes before (which locals are pinned, the frame, the prologue) and after it (out-of-line code, constants).
//
// Frame, from rbp down: preserved registers, own vmctx, the caller's results array, homes of locals, slots of the operand stack, and at the
// bottom (at rsp) the area where calls with several results put them. Its size is known at the end, when the prologue is patched.
#include "baseline_int.h"

const struct baseline_emitter baseline__emitters[WASM_OP_COUNT] = {
#define E(op, fn, width, argument) [WASM_OP_##op] = {baseline__emit_##fn, width, argument},
#include "emitters.def"
#undef E
};

#define MAX_FRAME (1 << 29)

// ---- pins -------------------------------------------------------------------------------------------------------
#define MAX_PINS 16
struct candidates {
	uint32_t local[MAX_PINS], weight[MAX_PINS];
	unsigned n, max;
};

static void consider(struct candidates *s, uint32_t local, uint32_t weight)
{
	unsigned i = s->n;
	if (i == s->max && (!i || s->weight[i - 1] >= weight))
		return;
	if (i < s->max)
		s->n++;
	else
		i--;
	for (; i && s->weight[i - 1] < weight; i--) {
		s->weight[i] = s->weight[i - 1];
		s->local[i] = s->local[i - 1];
	}
	s->weight[i] = weight;
	s->local[i] = local;
}

static void pin(struct comp *c, uint32_t local, unsigned reg)
{
	c->locals[local].pin = (uint8_t)reg;
	c->pin_local[reg] = local;
	c->pinned |= BIT(reg);
	c->temps &= ~BIT(reg);
}

// Registers that calls preserve cost a store and a load a call of this function; the others a store and a load (at most) a call in it.
static void choose_pins(struct comp *c)
{
	static const uint8_t preserved[] = {RBX, R12, R15}, others[] = {R9, R10, R11, R8, RDI};
	const struct wasm_func_info *info = c->info;
	bool leaf = !info->has_calls && !info->call_weight;
	unsigned nothers = c->opt->poison_upper || c->opt->verify_upper ? 3 : 5;
	struct candidates ints = {.max = ARRAY_LEN(preserved) + nothers}, floats = {.max = 7};
	for (uint32_t k = 0; k < c->s->nused; k++) {
		uint32_t i = c->s->used[k];
		uint8_t type = c->locals[i].type;
		if (info->local_weight[i] < 2 || type == WASM_REF || type == WASM_V128)
			continue;  // no reference is pinned (L52)
		consider(is_float(type) ? &floats : &ints, i, info->local_weight[i]);
	}
	// A caller-saved pin must be worth two memory accesses a call.
	uint64_t call_cost = 2ull * info->call_weight;
	unsigned npreserved = 0, nother = 0;
	for (unsigned i = 0; i < ints.n; i++) {
		bool other_pays = nother < nothers && ints.weight[i] > call_cost;
		// Temps become few: only for locals of loops.
		if (nother >= 3 && ints.weight[i] < 16)
			other_pays = false;
		if (leaf && other_pays)
			pin(c, ints.local[i], others[nother++]);
		else if (npreserved < ARRAY_LEN(preserved) && ints.weight[i] > 2)
			pin(c, ints.local[i], preserved[npreserved++]);
		else if (other_pays)
			pin(c, ints.local[i], others[nother++]);
	}
	for (unsigned i = 0; i < floats.n; i++) {
		if (floats.weight[i] > call_cost)
			pin(c, floats.local[i], XMM8 + i);
	}
	c->preserved = c->pinned & (BIT(RBX) | BIT(R12) | BIT(R15));
	c->saved_pins = c->pinned & ~c->preserved;
}

// ---- frame and prologue -----------------------------------------------------------------------------------------
static void lay_out_frame(struct comp *c, const struct abi_sig *sig)
{
	int32_t at = 8 * __builtin_popcount(c->preserved);
	c->save_vmctx = -(at += 8);
	if (sig->by_pointer)
		c->results_home = -(at += 8);
	// (A local of a v128 that is never mentioned puts none on the stack.)
	bool has_v128 = c->layout->has_v128;
	for (uint32_t k = 0; k < c->s->nused; k++) {
		uint32_t i = c->s->used[k];
		struct local *l = &c->locals[i];
		has_v128 |= l->type == WASM_V128;
		bool on_stack = i < sig->nparams && sig->params[i].place == ABI_STACK;
		if (l->pin != NO_REG && !(c->saved_pins & BIT(l->pin)))
			continue;
		// Parameters that came on the stack stay there: the cells are ours.
		l->home = on_stack ? 16 + 8 * sig->params[i].index : -(at += (int32_t)(8 * abi_cells(l->type)));
	}
	c->slots_base = (uint32_t)at;
	c->slot_size = has_v128 ? 16 : 8;
}

static void store_preserved(struct comp *c)
{
	int32_t at = 0;
	for (uint32_t mask = c->preserved; mask; mask &= mask - 1)
		x64_mov_mr(&c->a, W64, at_rbp(at -= 8), (unsigned)__builtin_ctz(mask));
}

void baseline__restore_preserved(struct comp *c)
{
	int32_t at = 0;
	for (uint32_t mask = c->preserved; mask; mask &= mask - 1)
		x64_mov_rm(&c->a, W64, (unsigned)__builtin_ctz(mask), at_rbp(at -= 8));
}

void baseline__epilogue(struct comp *c)
{
	baseline__restore_preserved(c);
	x64_leave(&c->a);
	x64_ret(&c->a, 8 * c->cells);
}

// Declared locals that live in the frame only. No slot is ever read before it was written (L43).
static void zero_homes(struct comp *c, uint32_t nparams)
{
	struct x64 *a = &c->a;
	int32_t low = 0, end = 0;
	for (uint32_t k = nparams; k < c->s->nused; k++) {
		const struct local *l = &c->locals[c->s->used[k]];
		if (l->pin != NO_REG)
			continue;
		low = l->home;
		end = end ? end : l->home + (int32_t)(8 * abi_cells(l->type));
	}
	if (!end)
		return;
	uint32_t n = (uint32_t)(end - low) / 8;
	x64_logic_rr(a, LOGIC_XOR, XMM15, XMM15);
	if (n > 32) {
		struct x64_label again = X64_LABEL;
		x64_lea(a, W64, RAX, at_rbp(low));
		x64_mov_ri(a, RCX, n / 2);
		x64_bind(a, &again);
		x64_movups_mr(a, x64_at(x64_r64(RAX), 0), XMM15);
		x64_alu_ri(a, W64, ALU_ADD, RAX, 16);
		x64_alu_ri(a, W32, ALU_SUB, RCX, 1);
		x64_jcc(a, CC_NE, &again);
		low += (int32_t)(n / 2 * 16);
		n &= 1;
	}
	for (; n >= 2; n -= 2, low += 16)
		x64_movups_mr(a, at_rbp(low), XMM15);
	if (n)
		x64_movs_mr(a, W64, at_rbp(low), XMM15);
}

static void take_params(struct comp *c, const struct abi_sig *sig)
{
	struct pmove ints[8], floats[8];
	unsigned nints = 0, nfloats = 0;
	struct x64 *a = &c->a;
	for (uint32_t i = 0; i < sig->nparams; i++) {
		struct abi_loc p = sig->params[i];
		const struct local *l = &c->locals[i];
		if (p.place == ABI_STACK)
			continue;
		uint8_t r = (uint8_t)(p.place == ABI_GPR ? baseline__args[p.index] : XMM0 + p.index);
		if (l->pin == NO_REG)
			baseline__store(c, l->type, at_rbp(l->home), r);
		else if (p.place == ABI_GPR)
			ints[nints++] = (struct pmove){l->pin, r, l->type};
		else
			floats[nfloats++] = (struct pmove){l->pin, r, l->type};
	}
	if (sig->by_pointer) {
		struct abi_loc p = sig->results_pointer;
		uint8_t r = p.place == ABI_GPR ? baseline__args[p.index] : RAX;
		if (p.place == ABI_STACK)
			x64_mov_rm(a, W64, RAX, at_rbp(16 + 8 * p.index));
		x64_mov_mr(a, W64, at_rbp(c->results_home), r);
	}
	baseline__parallel(c, ints, nints);
	baseline__parallel(c, floats, nfloats);
}

static void init_pins(struct comp *c, const struct abi_sig *sig)
{
	for (uint32_t mask = c->pinned; mask; mask &= mask - 1) {
		unsigned reg = (unsigned)__builtin_ctz(mask);
		uint32_t i = c->pin_local[reg];
		const struct local *l = &c->locals[i];
		if (i >= sig->nparams)
			baseline__load_const(c, l->type, reg, 0);
		else if (sig->params[i].place == ABI_STACK)
			baseline__load(c, l->type, reg, at_rbp(16 + 8 * sig->params[i].index));
		baseline__produced(c, l->type, reg);
	}
}

static void prologue(struct comp *c, const struct abi_sig *sig)
{
	struct x64 *a = &c->a;
	x64_push(a, RBP);
	x64_mov_rr(a, W64, RBP, RSP);
	struct ool *o = baseline__ool(c, OOL_STACK);
	o->wasm_offset = 0;
	x64_bind(a, &o->back);
	// sub rsp, imm32: patched when the frame is known
	x64_b(a, 0x48);
	x64_b(a, 0x81);
	x64_b(a, 0xec);
	x64_d(a, 0);
	c->frame_at = x64_pos(a) - 4;
	x64_mov_rm(a, W64, RAX, at_vmctx(offsetof(struct abi_vmctx, exec)));
	x64_alu_rm(a, W64, ALU_CMP, RSP, x64_at(x64_r64(RAX), offsetof(struct abi_exec, stack_limit)));
	x64_jcc(a, CC_B, &o->from);
	store_preserved(c);
	take_params(c, sig);
	x64_room(a, 1024);
	zero_homes(c, sig->nparams);
	x64_room(a, 1024);
	init_pins(c, sig);
}

static void patch_frame(struct comp *c)
{
	// The largest call area is counted in, so that the check covers it (L37).
	uint64_t size = c->slots_base + (uint64_t)c->slot_size * c->max_slot + 8ull * c->max_results + 8ull * c->max_cells;
	size = align_up_u64(size, 16);
	if (size > MAX_FRAME) {
		err_set(c->e, ERR_LIMIT, "the function's frame takes %llu bytes, %d are allowed", (unsigned long long)size, MAX_FRAME);
		c->failed = true;
		return;
	}
	uint32_t v = (uint32_t)size;
	if (!c->a.failed)
		memcpy(c->a.base + c->frame_at, &v, 4);
}

// ---- after the body ---------------------------------------------------------------------------------------------
static void call_stub(struct comp *c, uint32_t stub)
{
	baseline__site(c, TRAP_NONE);
	struct baseline_reloc *r = VEC_ADD(NULL, &c->out->relocs, UINT32_MAX / 16);
	uint32_t at = x64_call_rel(&c->a);
	if (!r)
		baseline__fail_nomem(c);
	else
		*r = (struct baseline_reloc){at, stub};
}

static void trap(struct comp *c, enum trap t)
{
	baseline__site(c, t);
	x64_ud2(&c->a);
}

// Everything that is live is kept around the call; the operand's bits are the third argument.
static void ool_trunc(struct comp *c, const struct ool *o)
{
	struct x64 *a = &c->a;
	uint32_t live = o->live & ~(c->preserved | BIT(XMM15));
	int32_t step[2] = {8, (int32_t)c->slot_size}, at = 0;  // of a general register, of a vector register
	int32_t size = (step[0] * __builtin_popcount(live & ~ALL_XMM) + step[1] * __builtin_popcount(live & ALL_XMM) + 15) & ~15;
	unsigned vector = c->slot_size == 16 ? WASM_V128 : WASM_F64;
	x64_alu_ri(a, W64, ALU_SUB, RSP, size);
	for (uint32_t mask = live; mask; mask &= mask - 1) {
		unsigned r = (unsigned)__builtin_ctz(mask);
		baseline__store(c, r >= XMM0 ? vector : WASM_I64, x64_at(x64_r64(RSP), at), r);
		at += step[r >= XMM0];
	}
	x64_mov_rx(a, o->is_float64 ? W64 : W32, RDX, o->src);
	x64_mov_ri(a, RSI, o->op);
	x64_mov_rr(a, W64, RDI, R13);
	x64_mov_rm(a, W64, RAX, at_vmctx(offsetof(struct abi_vmctx, libcalls)));
	baseline__site(c, TRAP_NONE);
	x64_call_m(a, x64_at(x64_r64(RAX), 8 * (o->saturating ? ABI_LIBCALL_TRUNC_SAT : ABI_LIBCALL_TRUNC)));
	if (!o->saturating) {
		x64_test_rr(a, W32, RAX, RAX);
		uint32_t fine = x64_short_jcc(a, CC_E);
		call_stub(c, BASELINE_STUB_RAISE);
		x64_short_bind(a, fine);
		baseline__libcall_result(c);
	}
	x64_mov_rr(a, o->w, o->dst, RAX);
	at = 0;
	for (uint32_t mask = live; mask; mask &= mask - 1) {
		unsigned r = (unsigned)__builtin_ctz(mask);
		baseline__load(c, r >= XMM0 ? vector : WASM_I64, r, x64_at(x64_r64(RSP), at));
		at += step[r >= XMM0];
	}
	x64_alu_ri(a, W64, ALU_ADD, RSP, size);
}

static void emit_ool(struct comp *c, struct ool *o)
{
	struct x64 *a = &c->a;
	x64_room(a, 1024);
	c->op_at = c->body + o->wasm_offset;
	x64_bind(a, &o->from);
	switch ((enum ool_kind)o->kind) {
	case OOL_TRAP:
		trap(c, o->trap);
		return;
	case OOL_RAISE:
		call_stub(c, BASELINE_STUB_RAISE);
		return;
	case OOL_INDIRECT:
		x64_alu_rm(a, W64, ALU_CMP, RAX, at_vmctx(offsetof(struct abi_vmctx, funcs)));
		uint32_t null = x64_short_jcc(a, CC_E);
		trap(c, TRAP_INDIRECT_CALL_TYPE);
		x64_short_bind(a, null);
		trap(c, TRAP_UNINITIALIZED_ELEMENT);
		return;
	case OOL_STACK:
		// Without the frame, which may not fit; back to where it is made.
		x64_mov_rr(a, W64, RSP, RBP);
		call_stub(c, BASELINE_STUB_HOOK);
		break;
	case OOL_DIV: {
		x64_group3(a, o->w, G3_NEG, RAX);
		uint32_t fine = x64_short_jcc(a, CC_NO);
		trap(c, TRAP_INTEGER_OVERFLOW);
		x64_short_bind(a, fine);
		break;
	}
	case OOL_REM:
		x64_zero(a, RDX);
		break;
	case OOL_TRUNC:
		ool_trunc(c, o);
		break;
	}
	x64_jmp(a, &o->back);
}

// Float constants, eight bytes each; equal ones that follow each other closely are shared.
static void emit_pool(struct comp *c)
{
	struct x64 *a = &c->a;
	struct {
		uint64_t bits;
		uint32_t at;
	} seen[64] = {0};
	if (!c->s->pool.len)
		return;
	x64_room(a, 64);
	x64_align(a, 8);
	for (uint32_t i = 0; i < c->s->pool.len; i++) {
		const struct pooled *p = &c->s->pool.ptr[i];
		unsigned h = (unsigned)((p->bits * 0x9e3779b97f4a7c15ull) >> 58);
		x64_room(a, 16);
		if (seen[h].bits != p->bits) {
			seen[h].bits = p->bits;
			seen[h].at = x64_pos(a);
			x64_q(a, p->bits);
		}
		uint32_t disp = seen[h].at - (p->at + 4);
		if (!a->failed)
			memcpy(a->base + p->at, &disp, 4);
	}
}

// ---- the pass ---------------------------------------------------------------------------------------------------
static void skip_immediate(struct comp *c, enum wasm_op op)
{
	const uint8_t **p = &c->p;
	struct wasm_block_type bt;
	switch ((enum wasm_imm)wasm_ops[op].imm) {
	case WASM_IMM_NONE:
		return;
	case WASM_IMM_BLOCK:
		wasm_read_block_type(c->m, p, &bt);
		return;
	case WASM_IMM_LABELS:
		for (uint32_t n = wasm_read_u32(p); n; n--)
			wasm_read_u32(p);
		wasm_read_u32(p);
		return;
	case WASM_IMM_TYPES:
		for (uint32_t n = wasm_read_u32(p); n; n--)
			wasm_read_valtype(p);
		return;
	case WASM_IMM_HEAP:
		wasm_read_heap_type(p);
		return;
	case WASM_IMM_MEMARG:
		wasm_read_memarg(p);
		return;
	case WASM_IMM_F32:
		*p += 4;
		return;
	case WASM_IMM_F64:
		*p += 8;
		return;
	case WASM_IMM_TYPE_TABLE:
	case WASM_IMM_DATA_MEMORY:
	case WASM_IMM_MEMORY_MEMORY:
	case WASM_IMM_ELEM_TABLE:
	case WASM_IMM_TABLE_TABLE:
		wasm_read_u64(p);
		wasm_read_u64(p);
		return;
	default:  // one LEB128
		wasm_read_u64(p);
		return;
	}
}

// Up to the `else` or `end` that makes code reachable again (or ends the block).
static void skip_unreachable(struct comp *c)
{
	for (uint32_t depth = 0;;) {
		const uint8_t *at = c->p;
		enum wasm_op op = wasm_read_op(&c->p);
		if (depth == 0 && (op == WASM_OP_END || op == WASM_OP_ELSE)) {
			c->p = at;
			return;
		}
		if (op == WASM_OP_BLOCK || op == WASM_OP_LOOP || op == WASM_OP_IF)
			depth++;
		else if (op == WASM_OP_END)
			depth--;
		skip_immediate(c, op);
	}
}

static void emit_all_ool(struct comp *c)
{
	for (uint32_t i = 0; i < c->s->ool.len && !c->failed; i++)
		emit_ool(c, &c->s->ool.ptr[i]);
	c->s->ool.len = 0;
}

// In huge functions out-of-line code goes between instructions from time to time: what is kept of it is bounded.
#define OOL_MAX 16384
static void emit_island(struct comp *c)
{
	struct x64_label over = X64_LABEL;
	x64_room(&c->a, 64);
	x64_jmp(&c->a, &over);
	emit_all_ool(c);
	x64_bind(&c->a, &over);
}

static void pass(struct comp *c)
{
	while (c->s->ctl.len && !c->failed && !c->a.failed) {
		if (c->unreachable)
			skip_unreachable(c);
		if (UNLIKELY(c->s->ool.len > OOL_MAX))
			emit_island(c);
		c->op_at = c->p;
		c->lock = 0;
		x64_room(&c->a, 1024);
		enum wasm_op op = wasm_read_op(&c->p);
		const struct baseline_emitter *emitter = op < WASM_OP_COUNT ? &baseline__emitters[op] : NULL;
		if (UNLIKELY(!emitter || !emitter->emit)) {
			err_set_at(c->e, ERR_UNSUPPORTED, c->m->base_offset + (uint64_t)(c->op_at - c->m->bytes.ptr), "instruction '%s' is not supported",
				wasm_op_text(op));
			c->failed = true;
			return;
		}
		emitter->emit(c, emitter->w, emitter->arg);
	}
}

static bool grow(void *ptr, uint32_t *cap, uint32_t need, size_t size)
{
	if (need <= *cap && *(void **)ptr)
		return true;
	uint32_t n = need + need / 4 + 64;
	void *p = mem_realloc(*(void **)ptr, (size_t)n * size);
	if (!p)
		return false;
	*(void **)ptr = p;
	*cap = n;
	return true;
}

// A function may declare 50,000 locals and use none: what is never mentioned costs a glance (L58).
static void find_used(struct comp *c)
{
	const uint32_t *weight = c->info->local_weight;
	uint32_t n = 0, nlocals = c->info->nlocals;
	for (uint32_t i = 0; i < nlocals; i++) {
		if (i >= c->type->nparams && !weight[i]) {
			while (i + 8 < nlocals && !(weight[i + 1] | weight[i + 2] | weight[i + 3] | weight[i + 4] | weight[i + 5] | weight[i + 6] | weight[i + 7] | weight[i + 8]))
				i += 8;
			continue;
		}
		c->locals[i] = (struct local){.type = c->info->locals[i].kind, .pin = NO_REG, .cache = NO_REG};
		c->s->used[n++] = i;
	}
	c->s->nused = n;
}

static bool prepare(struct comp *c)
{
	struct baseline_scratch *s = c->out->scratch;
	if (!s)
		s = c->out->scratch = mem_zalloc(sizeof *s);
	if (!s || !grow(&s->stack, &s->stack_cap, c->info->max_height + 8, sizeof *s->stack) ||
		!grow(&s->locals, &s->locals_cap, c->info->nlocals, sizeof *s->locals) ||
		!grow(&s->used, &s->used_cap, c->info->nlocals, sizeof *s->used) || !grow(&s->locs, &s->locs_cap, c->type->nparams, sizeof *s->locs))
		return false;
	c->s = s;
	c->stack = s->stack;
	c->locals = s->locals;
	s->ctl.len = s->ool.len = s->pool.len = 0;
	find_used(c);
	struct ctl *t = VEC_ADD(NULL, &s->ctl, 1u << 24);
	if (!t)
		return false;
	*t = (struct ctl){.kind = CTL_FUNC, .nresults = c->type->nresults, .results = c->type->results, .label = X64_LABEL, .otherwise = X64_LABEL, .stub = X64_LABEL};
	return true;
}

static void skip_locals(struct comp *c)
{
	for (uint32_t n = wasm_read_u32(&c->p); n; n--) {
		wasm_read_u32(&c->p);
		wasm_read_valtype(&c->p);
	}
}

// Ordinary code is 1.6 times as large as its Wasm; a type with a thousand results makes 20 KB of two bytes. What grows like that is refused (L58).
static size_t text_max(const struct wasm_module *m)
{
	uint64_t max = (64ull << 20) + 32ull * m->code_section.len;
	return (size_t)min_u64(max, INT32_MAX);
}

static bool finish(struct comp *c, const struct wasm_func *f, struct baseline_func *func)
{
	bool finished = x64_finish(&c->a);
	if (!finished && !c->failed && c->out->text.cap >= c->out->text.max / 2)
		return err_set_at(c->e, ERR_LIMIT, c->m->base_offset + f->offset, "the module's machine code would exceed %zu bytes", c->out->text.max);
	if (c->failed || !finished || c->sites.out->failed)
		return c->e->code ? false : err_nomem(c->e);
	func->place.size = (uint32_t)(c->out->text.len - func->place.offset);
	return true;
}

bool baseline_compile_func(const struct wasm_module *m, uint32_t func, const struct wasm_func_info *info, const struct abi_layout *layout,
	const struct baseline_options *opt, struct baseline_output *out, struct err *e)
{
	struct err ignored = {0};
	const struct wasm_func *f = &m->funcs[func];
	struct comp c = {
		.m = m,
		.info = info,
		.layout = layout,
		.opt = opt,
		.type = &m->types[f->type].func,
		.out = out,
		.e = e ? e : &ignored,
		.hint = NO_LOCAL,
		.checked = opt->poison_upper || opt->verify_upper,
		.zf_at = UINT32_MAX,
		.temps = BIT(RAX) | BIT(RCX) | BIT(RDX) | BIT(RSI) | BIT(RDI) | BIT(R8) | 0xffu << XMM0,
	};
	c.p = c.body = c.op_at = m->bytes.ptr + f->offset;
	out->text.max = text_max(m);
	out->sites.max = INT32_MAX;
	// Functions begin at multiples of 16, here and when they are linked.
	uint8_t *pad = buf_reserve(&out->text, 16);
	struct baseline_func *place = VEC_ADD(NULL, &out->funcs, UINT32_MAX / 64);
	if (!pad || !place)
		return err_nomem(e);
	memset(pad, 0xcc, 16);
	out->text.len = (out->text.len + 15) & ~(size_t)15;
	*place = (struct baseline_func){
		.func = func,
		.relocs = out->relocs.len,
		.place = {.offset = (uint32_t)out->text.len, .sites = (uint32_t)out->sites.len, .wasm_offset = (uint32_t)f->offset},
	};
	if (!prepare(&c))
		return err_nomem(e);
	struct abi_sig sig;
	abi_classify(c.type, c.s->locs, &sig);
	c.cells = sig.stack_cells;
	c.sites = (struct code_sites){.out = &out->sites};
	x64_begin(&c.a, &out->text);
	x64_room(&c.a, 1024);
	choose_pins(&c);
	lay_out_frame(&c, &sig);
	prologue(&c, &sig);
	skip_locals(&c);
	pass(&c);
	patch_frame(&c);
	emit_all_ool(&c);
	emit_pool(&c);
	return finish(&c, f, place);
}
