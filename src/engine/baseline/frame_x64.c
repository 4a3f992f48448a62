// A function's frame: which locals are pinned, where the others lie, prologue and epilogue.
//
// From rbp down: preserved registers, own vmctx, the caller's results array, homes of locals, slots of the operand stack, and at the
// bottom (at rsp) the area where calls with several results put them. Its size is known at the end, when the prologue is patched.
#include "baseline_int.h"

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
	bool leaf = !info->call_weight;
	unsigned nothers = c->opt->poison_upper || c->opt->verify_upper ? 3 : 5;
	struct candidates ints = {.max = ARRAY_LEN(preserved) + nothers}, floats = {.max = 7};
	for (uint32_t k = 0; k < c->s->nused; k++) {
		uint32_t i = c->s->used[k];
		uint8_t type = c->locals[i].type;
		if (info->local_weight[i] < 2 || type == WASM_REF || type == TYPE_OBJECT)
			continue;  // no reference is pinned (L52)
		consider(in_vector(type) ? &floats : &ints, i, info->local_weight[i]);
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
	bool has_v128 = c->layout->has_v128 || c->info->has_vectors;
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

// Before anything is known of its frame but what may be in it: slots for the highest stack.
static bool is_leaf(const struct comp *c)
{
	const struct wasm_func_info *info = c->info;
	return !info->has_calls && !info->call_weight && !info->has_handlers && !info->has_rethrow &&
		c->slots_base + (uint64_t)c->slot_size * (info->max_height + 8) <= ABI_LEAF_FRAME;
}

static void make_frame(struct comp *c)
{
	struct x64 *a = &c->a;
	// sub rsp, imm32: patched when the frame is known
	x64_b(a, 0x48);
	x64_b(a, 0x81);
	x64_b(a, 0xec);
	x64_d(a, 0);
	c->frame_at = x64_pos(a) - 4;
}

static void prologue(struct comp *c, const struct abi_sig *sig)
{
	struct x64 *a = &c->a;
	x64_push(a, RBP);
	x64_mov_rr(a, W64, RBP, RSP);
	c->is_leaf = is_leaf(c);
	if (c->is_leaf) {
		make_frame(c);
	} else {
		struct ool *o = baseline__ool(c, OOL_STACK);
		o->wasm_offset = 0;
		x64_bind(a, &o->back);
		make_frame(c);
		x64_mov_rm(a, W64, RAX, at_vmctx(offsetof(struct abi_vmctx, exec)));
		x64_alu_rm(a, W64, ALU_CMP, RSP, x64_at(x64_r64(RAX), offsetof(struct abi_exec, stack_limit)));
		x64_jcc(a, CC_B, &o->from);
	}
	store_preserved(c);
	if (c->info->has_handlers)
		x64_mov_mr(a, W64, at_rbp(c->save_vmctx), R13);
	take_params(c, sig);
	x64_room(a, 1024);
	zero_homes(c, sig->nparams);
	x64_room(a, 1024);
	init_pins(c, sig);
}

void baseline__frame_patch(struct comp *c)
{
	// The largest call area is counted in, so that the check covers it (L37).
	uint64_t size = c->slots_base + (uint64_t)c->slot_size * c->max_slot + 8ull * c->max_results + 8ull * c->max_cells;
	size = align_up_u64(size, 16);
	unsigned most = c->is_leaf ? ABI_LEAF_FRAME : MAX_FRAME;
	if (size > most) {
		err_set(c->e, ERR_LIMIT, "the function's frame takes %llu bytes, %u are allowed", (unsigned long long)size, most);
		c->failed = true;
		return;
	}
	uint32_t v = (uint32_t)size;
	uint32_t saved = (c->preserved & BIT(RBX) ? CODE_FRAME_RBX : 0) | (c->preserved & BIT(R12) ? CODE_FRAME_R12 : 0) | (c->preserved & BIT(R15) ? CODE_FRAME_R15 : 0);
	c->frame_word = code_frame_word(saved, v, c->cells);
	if (!c->a.failed)
		memcpy(c->a.base + c->frame_at, &v, 4);
}

bool baseline__func_begin(struct comp *c, const struct abi_sig *sig)
{
	struct ctl *t = VEC_ADD(NULL, &c->s->ctl, 1u << 24);
	if (!t)
		return false;
	*t = (struct ctl){.kind = CTL_FUNC, .nresults = c->type->nresults, .results = c->type->results, .label = X64_LABEL, .otherwise = X64_LABEL, .stub = X64_LABEL};
	c->cells = sig->stack_cells;
	c->temps = BIT(RAX) | BIT(RCX) | BIT(RDX) | BIT(RSI) | BIT(RDI) | BIT(R8) | 0xffu << XMM0;
	x64_begin(&c->a, &c->out->text);
	c->a.avx = c->opt->cpu & CODE_CPU_AVX;
	x64_room(&c->a, 1024);
	choose_pins(c);
	lay_out_frame(c, sig);
	if (c->has_objects)
		baseline__map_homes(c);
	prologue(c, sig);
	return true;
}
