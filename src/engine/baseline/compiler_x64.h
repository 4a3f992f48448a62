// The compiler's state on x86-64, its registers, and what its files do for each other.
//
// The rules of the game:
//  1. An entry of the operand stack is a register that it alone owns, a local (lazy local.get), a constant, its own frame slot, or the flags
//     (top only, and only if the next instruction consumes them).
//  2. A local is pinned in a register for the whole function or lives in its home in the frame. A temp register may cache a home's value;
//     the home is always up to date. A temp is owned by one entry, or caches one local, or is free.
//  3. Lazy entries of one local are chained, newest first; before the local changes they are all copied (L10).
//  4. Whatever lies below a block's parameters is a slot or a constant when the block begins, so that all edges to a label agree (L11): one result in
//     rax or xmm0, more in the slots of their heights; a loop's parameters in slots; no cached locals at labels.
//  5. An operand that was popped keeps its register locked until the next instruction.
//  6. Every i32 in a register has a zero upper half (R5), but in the poisoned mode, where every consumer that needs it zero must go
//     through use_zext or a 32-bit move.
//  7. A reference to an object (TYPE_OBJECT) is, at every call, in the home of its local or in the slot of its entry: the site's map says so (maps_x64.c).
//  8. Registers: rax rcx rdx rsi (rdi r8) temps; rbx r12 r15 (preserved), r9 r10 r11 (rdi r8) pins; r13 r14 rbp rsp as the contract has them.
//     xmm0..7 temps, xmm8..14 pins, xmm15 scratch of single instructions' sequences. xmm n is number 16 + n.
//  9. No recursion; every loop is bounded by input consumed, or by a type's parameters.
#ifndef TENON_BASELINE_COMPILER_X64_H
#define TENON_BASELINE_COMPILER_X64_H

#include "baseline.h"

enum { XMM0 = 16, XMM7 = 23, XMM8 = 24, XMM15 = 31, NO_REG = 0xff };
#define NO_LOCAL UINT32_MAX
#define BIT(r) (1u << (r))
#define ALL_XMM 0xffff0000u
// ORDER registers: arguments of the guest convention (R2) and of C.
extern const uint8_t baseline__args[6];

enum { CC_FEQ = 16, CC_FNE = 17 };  // float equality needs the parity flag as well

enum kind { K_REG, K_LOCAL, K_CONST, K_SLOT, K_FLAGS };
struct val {
	uint8_t kind, type;  // enum kind, enum wasm_val_kind
	uint8_t reg;         // K_REG: register; K_FLAGS: condition
	uint8_t flushed : 1;  // this entry and all below it are slots or constants (baseline__flush): they stay so
	uint8_t mapped : 1;   // the last map has all that this entry and those below it ever need there
	uint32_t local;      // K_LOCAL; K_SLOT: its height
	union {
		uint64_t imm;   // K_CONST, zero-extended; of a v128 that isn't zero the address of its 16 bytes in the module
		uint32_t link;  // K_LOCAL: the next older entry of the same local, plus 1
	};
};

struct local {
	uint8_t type;
	uint8_t pin;    // register or NO_REG
	uint8_t cache;  // temp that holds the home's value, or NO_REG
	bool clean;     // pinned, not preserved by calls: its home has the same value
	int32_t home;   // from rbp
	uint32_t lazy;  // newest K_LOCAL entry, plus 1
};

enum ctl_kind { CTL_FUNC, CTL_BLOCK, CTL_LOOP, CTL_IF, CTL_ELSE, CTL_TRY, CTL_LEGACY_TRY, CTL_LEGACY_CATCH };
struct ctl {
	uint8_t kind;
	uint32_t height;  // of the stack below its parameters
	uint32_t nparams, nresults;
	const struct wasm_valtype *params, *results;  // results NULL: the inline one
	struct wasm_valtype inline_result;
	struct x64_label label, otherwise, stub;
	uint32_t stamp;  // br_table for which `stub` is meant
	uint32_t landing;  // the label's place among those that handlers jump to, from 1
	uint32_t region;   // the innermost one of its body
	uint32_t own;      // the region that it made, of what handles exceptions; else 0
	uint32_t catches, last_catch;  // among those caught, from 1
};

// A clause of a try_table, by which an exception comes to a label. Its code is made after the body.
enum arrival { ARRIVE_SLOTS, ARRIVE_REGISTER, ARRIVE_RESULTS };
struct clause {
	uint8_t kind, arrival;  // enum wasm_catch, enum arrival
	bool returns;           // the label is the function's
	uint32_t tag, landing, height;
	uint32_t ref;           // the slot of the reference that it gives
	uint32_t at;            // of its code
};
// Of a legacy try, until it ends and they all are known.
struct caught {
	struct clause clause;
	uint32_t next;
};
struct region {
	uint32_t around, first, n;  // ORDER region: as in code.h
};
struct edge {
	uint32_t at, region;
};

enum ool_kind { OOL_TRAP, OOL_RAISE, OOL_DIV, OOL_REM, OOL_INDIRECT, OOL_INDIRECT_SUB, OOL_TRUNC, OOL_STACK };
struct ool {
	uint8_t kind, trap, dst, src, w, saturating, is_float64;
	uint16_t op;
	uint32_t wasm_offset, live, depth, type;
	struct x64_label from, back;
};

struct pooled {
	uint32_t at;  // displacement field
	uint64_t bits;
};

struct pooled_vector {
	uint32_t at;
	uint64_t bits[2];
};

struct baseline_scratch {
	struct val *stack;
	uint32_t stack_cap;
	struct local *locals;
	uint32_t *used;  // indices of the locals that matter: parameters, and those that code mentions
	uint32_t locals_cap, used_cap, nused;
	struct abi_loc *locs;
	uint32_t locs_cap;
	VEC(struct ctl)
	ctl;
	VEC(struct ool)
	ool;
	VEC(struct pooled)
	pool;
	VEC(struct pooled_vector)
	vectors;
	VEC(struct edge)
	edges;
	VEC(struct region)
	regions;
	VEC(struct clause)
	clauses;
	VEC(struct x64_label)
	landings;
	VEC(struct caught)
	caught;
	uint32_t *map;  // heights of the slots that the last map has, ascending
	uint32_t map_cap, nmap;
};

struct comp {
	const struct wasm_module *m;
	const struct wasm_func_info *info;
	const struct abi_layout *layout;
	const struct baseline_options *opt;
	const struct wasm_func_type *type;
	struct baseline_output *out;
	struct err *e;
	bool failed;
	bool checked;  // one of the debugging modes
	bool has_objects;  // some local or entry is a reference to an object, perhaps

	const uint8_t *p, *body, *op_at;  // reader; the body's first byte; the current instruction
	struct x64 a;
	struct code_sites sites;

	struct val *stack;
	uint32_t sp;
	uint32_t max_slot;
	struct local *locals;
	struct baseline_scratch *s;
	bool unreachable;
	uint32_t stamp;
	uint32_t region;  // of handlers, from 1; 0: none

	uint32_t used, lock, cached;           // registers
	uint32_t temps, pinned, saved_pins;    // saved_pins: pins that calls do not preserve
	uint8_t rotate;

	uint32_t hint;  // local whose pin is the destination of the current instruction, or NO_LOCAL
	const uint8_t *hint_next;
	bool hint_tee;
	bool keep_flags;  // constants are loaded without touching the flags
	uint32_t zf_at;   // the instruction that ends here set ZF for the value of zf_reg
	uint8_t zf_reg, zf_width;

	// frame
	uint32_t preserved;  // mask of callee-saved registers in use
	int32_t save_vmctx, results_home;
	uint32_t slots_base, slot_size, max_results, max_cells;  // slot_size: 16 where a v128 may lie on the stack, else 8
	uint32_t cells;  // own stack parameters
	bool is_leaf;  // its stack is not checked (R6)
	uint32_t frame_at;
	uint32_t frame_word;  // as in struct code_func

	// Of registers in `used`, `cached`, `pinned`; nothing is cleared here when a function begins.
	uint32_t owner[32];                       // entry
	uint32_t cache_local[32], pin_local[32];
};

struct baseline_emitter {
	void (*emit)(struct comp *c, unsigned w, unsigned arg);
	uint8_t w, arg;
};
extern const struct baseline_emitter baseline__emitters[WASM_OP_COUNT];

// Of a reference that may be to an object; in all else it is as a WASM_REF.
enum { TYPE_OBJECT = WASM_REF + 1 };
static inline unsigned kind_of(struct comp *c, struct wasm_valtype t)
{
	if (LIKELY(t.kind != WASM_REF))
		return t.kind;
	bool is_object = wasm_valtype_is_object(c->m, t);
	c->has_objects |= is_object;
	return is_object ? TYPE_OBJECT : WASM_REF;
}

static inline bool is_float(unsigned type)
{
	return type == WASM_F32 || type == WASM_F64;
}
static inline bool in_vector(unsigned type)
{
	return is_float(type) || type == WASM_V128;
}
// Of a scalar.
static inline enum x64_width width_of(unsigned type)
{
	return type == WASM_I64 || type == WASM_F64 || type == WASM_V128 ? W64 : W32;
}
static inline struct x64_mem at_rbp(int32_t disp)
{
	return x64_at(x64_r64(RBP), disp);
}
static inline struct x64_mem at_vmctx(size_t offset)
{
	return x64_at(x64_r64(R13), (int32_t)offset);
}
static inline uint32_t op_offset(const struct comp *c)
{
	return (uint32_t)(c->op_at - c->body);
}
static inline void baseline__site(struct comp *c, enum trap t)
{
	if (UNLIKELY(!code_sites_put(&c->sites, x64_pos(&c->a), op_offset(c), t)))
		c->failed = true;
}
bool baseline__fail_nomem(struct comp *c);

// ---- maps_x64.c ---------------------------------------------------------------------------------------------
void baseline__map_homes(struct comp *c);
void baseline__map_prepare_slow(struct comp *c, uint32_t height);
void baseline__map_slow(struct comp *c, uint32_t height);
// Before the arguments of a call move: of the entries below `height`, which stay, not too many may be lazy.
static inline void baseline__map_prepare(struct comp *c, uint32_t height)
{
	if (UNLIKELY(c->has_objects))
		baseline__map_prepare_slow(c, height);
}
// The site of a call; the entries below `height` stay.
static inline void baseline__call_site(struct comp *c, uint32_t height)
{
	baseline__site(c, TRAP_NONE);
	if (UNLIKELY(c->has_objects))
		baseline__map_slow(c, height);
}

// ---- state_x64.c ------------------------------------------------------------------------------------------------
static inline struct x64_mem slot_of(struct comp *c, uint32_t height)
{
	if (height >= c->max_slot)
		c->max_slot = height + 1;
	return at_rbp(-(int32_t)(c->slots_base + c->slot_size * (height + 1)));
}
static inline void drop_cache(struct comp *c, unsigned reg)
{
	if (c->cached & BIT(reg)) {
		c->cached &= ~BIT(reg);
		c->locals[c->cache_local[reg]].cache = NO_REG;
	}
}
static inline void set_cache(struct comp *c, unsigned reg, uint32_t local)
{
	struct local *l = &c->locals[local];
	if (l->cache != NO_REG)
		drop_cache(c, l->cache);
	drop_cache(c, reg);
	c->cached |= BIT(reg);
	c->cache_local[reg] = local;
	l->cache = (uint8_t)reg;
}
void baseline__spill_one(struct comp *c, uint32_t among);
// A temp of the class, locked.
static inline uint8_t alloc_among(struct comp *c, uint32_t among)
{
	uint32_t mask = among & ~(c->used | c->lock);
	if (UNLIKELY(!mask)) {
		baseline__spill_one(c, among);
		mask = among & ~(c->used | c->lock);
	}
	uint8_t r;
	if (LIKELY(mask & ~c->cached)) {
		r = (uint8_t)__builtin_ctz(mask & ~c->cached);
	} else {
		uint32_t later = mask & ~(BIT(c->rotate & 31) - 1);
		r = (uint8_t)__builtin_ctz(later ? later : mask);
		c->rotate = (uint8_t)(r + 1);
		drop_cache(c, r);
	}
	c->lock |= BIT(r);
	return r;
}
static inline uint8_t alloc(struct comp *c, bool floats)
{
	return alloc_among(c, floats ? c->temps & ALL_XMM : c->temps & ~ALL_XMM);
}
static inline struct val pop(struct comp *c)
{
	struct val v = c->stack[--c->sp];
	if (v.kind == K_REG) {
		c->used &= ~BIT(v.reg);
		c->lock |= BIT(v.reg);
	} else if (v.kind == K_LOCAL) {
		c->locals[v.local].lazy = v.link;
	}
	return v;
}
static inline void push_reg(struct comp *c, unsigned type, unsigned reg)
{
	c->stack[c->sp] = (struct val){.kind = K_REG, .type = (uint8_t)type, .reg = (uint8_t)reg};
	c->used |= BIT(reg);
	c->owner[reg] = c->sp++;
}
static inline void push_const(struct comp *c, unsigned type, uint64_t imm)
{
	c->stack[c->sp++] = (struct val){.kind = K_CONST, .type = (uint8_t)type, .imm = imm};
}
static inline void push_slot(struct comp *c, unsigned type)
{
	slot_of(c, c->sp);
	c->stack[c->sp] = (struct val){.kind = K_SLOT, .type = (uint8_t)type, .local = c->sp};
	c->sp++;
}
static inline void push_local(struct comp *c, uint32_t local)
{
	struct local *l = &c->locals[local];
	c->stack[c->sp] = (struct val){.kind = K_LOCAL, .type = l->type, .local = local, .link = l->lazy};
	l->lazy = ++c->sp;
}
struct operand {
	bool is_mem, is_pool;
	uint8_t reg;
	struct x64_mem mem;
	uint64_t bits;  // is_pool
};

// Popped values. To a register that is only read / to one that may be overwritten / wherever it is best.
uint8_t baseline__use_reg_slow(struct comp *c, struct val *v);
uint8_t baseline__own_reg(struct comp *c, struct val *v);
// Is it in a temp that may be overwritten, which it was not before? Nothing is emitted. Of one that no other operand of the instruction is read from.
bool baseline__take_cache(struct comp *c, struct val *v);
struct operand baseline__use(struct comp *c, struct val *v);
// Puts the value into the register (i32: with a 32-bit move). Emits moves only.
void baseline__move_to(struct comp *c, unsigned reg, const struct val *v);
void baseline__move_rr(struct comp *c, unsigned type, unsigned d, unsigned s);
void baseline__load(struct comp *c, unsigned type, unsigned reg, struct x64_mem m);
void baseline__store(struct comp *c, unsigned type, struct x64_mem m, unsigned reg);
void baseline__store_val(struct comp *c, struct x64_mem m, const struct val *v);
void baseline__store_cell(struct comp *c, struct x64_mem m, const struct val *v);
void baseline__libcall_result(struct comp *c);
// From memory to a cell.
void baseline__copy_to_cell(struct comp *c, unsigned type, struct x64_mem to, struct x64_mem from);
void baseline__load_const(struct comp *c, unsigned type, unsigned reg, uint64_t imm);
void baseline__pool_ref(struct comp *c, uint64_t bits);
void baseline__pool_vector(struct comp *c, const void *bits);  // 16 bytes, aligned
void baseline__load_vector(struct comp *c, unsigned reg, const void *bits);
void baseline__claim(struct comp *c, unsigned reg);
// The pin of the local that the next instruction sets, or NO_REG; lazy entries of it are out of the way then.
uint8_t baseline__hint_slow(struct comp *c, bool tee);
void baseline__flush_refs(struct comp *c, uint32_t local);
// The result of the current instruction is in reg (which is the hint's pin if baseline__hint gave one).
void baseline__finish_slow(struct comp *c, unsigned type, unsigned reg);
void baseline__produced_slow(struct comp *c, unsigned type, unsigned reg);
void baseline__push_flags(struct comp *c, unsigned cc);
void baseline__materialize(struct comp *c, struct val *v);
unsigned baseline__invert(unsigned cc);
void baseline__jcc(struct comp *c, unsigned cc, struct x64_label *l);
void baseline__jcc_trap(struct comp *c, unsigned cc, enum trap t);
struct ool *baseline__ool(struct comp *c, enum ool_kind kind);
void baseline__set_local(struct comp *c, uint32_t local, struct val *v);
// Everything from the current block's height on goes to slots; constants and, of the last nparams, nothing else stay.
void baseline__flush(struct comp *c, uint32_t nparams);
void baseline__truncate(struct comp *c, uint32_t height);
// From here on `region` is the innermost one.
void baseline__edge(struct comp *c, uint32_t region);
// A region begins, and ends when its block does: after its label. Before a legacy try ends: its clauses are all there.
struct region *baseline__region_begin(struct comp *c, struct ctl *t);
void baseline__region_end(struct comp *c, const struct ctl *t);
void baseline__catches_end(struct comp *c, const struct ctl *t);
// A block that handlers jump to, perhaps, has ended, and its label is bound.
void baseline__landed(struct comp *c, const struct ctl *t);
void baseline__forget(struct comp *c);  // caches, cleanness, flags: at labels
void baseline__bind(struct comp *c, struct x64_label *l);
void baseline__spill_temps_below(struct comp *c, uint32_t height);
void baseline__save_pins(struct comp *c);
void baseline__reload_pins(struct comp *c);
struct pmove {
	uint8_t dst, src, type;
};
void baseline__parallel(struct comp *c, struct pmove *moves, unsigned n);
// Register where v already is, or NO_REG.
static inline uint8_t baseline__reg_of(const struct comp *c, const struct val *v)
{
	if (v->kind == K_REG)
		return v->reg;
	if (v->kind != K_LOCAL)
		return NO_REG;
	const struct local *l = &c->locals[v->local];
	return l->pin != NO_REG ? l->pin : l->cache;
}
static inline uint8_t baseline__use_reg(struct comp *c, struct val *v)
{
	uint8_t r = baseline__reg_of(c, v);
	if (r == NO_REG)
		return baseline__use_reg_slow(c, v);
	c->lock |= BIT(r);
	return r;
}
// The same as use_reg, with a zero upper half also in the poisoned mode (v is an i32 or a reference).
static inline struct r64 baseline__use_zext(struct comp *c, struct val *v)
{
	uint8_t r = baseline__use_reg(c, v);
	if (UNLIKELY(c->opt->poison_upper)) {
		uint8_t t = alloc(c, false);
		x64_mov_rr(&c->a, W32, t, r);
		return x64_zext_view(t);
	}
	return x64_zext_view(r);
}
static inline uint8_t baseline__hint(struct comp *c)
{
	unsigned next = *c->p;  // local.set, local.tee
	return next == 0x21 || next == 0x22 ? baseline__hint_slow(c, next == 0x22) : NO_REG;
}
static inline void baseline__produced(struct comp *c, unsigned type, unsigned reg)
{
	if (UNLIKELY(c->checked))
		baseline__produced_slow(c, type, reg);
}
static inline void baseline__finish(struct comp *c, unsigned type, unsigned reg)
{
	baseline__produced(c, type, reg);
	if (c->hint == NO_LOCAL)
		push_reg(c, type, reg);
	else
		baseline__finish_slow(c, type, reg);
}
static inline struct wasm_valtype result_type(const struct ctl *t, uint32_t i)
{
	return t->results ? t->results[i] : t->inline_result;
}

// ---- atomics ----------------------------------------------------------------------------------------------------
// In emitters.def.
enum atomic_op { ATOMIC_ADD, ATOMIC_SUB, ATOMIC_AND, ATOMIC_OR, ATOMIC_XOR, ATOMIC_XCHG };

// ---- vectors ----------------------------------------------------------------------------------------------------
// In emitters.def and here: how VEX names an instruction's prefix and map; operands of which it doesn't matter which is first, or in reverse.
enum {
	VEC_PS = 0 | 1 << 2,
	VEC_66 = 1 | 1 << 2,
	VEC_F3 = 2 | 1 << 2,
	VEC_F2 = 3 | 1 << 2,
	VEC_38 = 1 | 2 << 2,
	VEC_3A = 1 | 3 << 2,
	VEC_COMMUTES = 16,
	VEC_SWAPS = 32,
};
enum { LANE_B, LANE_W, LANE_D, LANE_Q, LANE_F, LANE_DOUBLE };
enum { VEC_EQ, VEC_NE, VEC_GT_S, VEC_GT_U, VEC_GE_S, VEC_GE_U, VEC_LT_S, VEC_LT_U, VEC_LE_S, VEC_LE_U };
enum { VEC_SHL, VEC_SHR_S, VEC_SHR_U };
// After the body: the constants that were referred to (baseline__pool_vector).
void baseline__vec_pool(struct comp *c);

// In huge functions out-of-line code goes between instructions from time to time: what is kept of it is bounded.
#define OOL_MAX 16384
void baseline__ool_island(struct comp *c);
// Before an instruction: room for what it emits.
static inline void baseline__room(struct comp *c)
{
	if (UNLIKELY(c->s->ool.len > OOL_MAX))
		baseline__ool_island(c);
	x64_room(&c->a, 1024);
}

// ---- frame_x64.c, control_x64.c, call_x64.c ----------------------------------------------------------------------------------
void baseline__merge(struct comp *c, const struct ctl *t);
struct ctl *baseline__target(struct comp *c, uint32_t depth);
void baseline__branch(struct comp *c, struct ctl *t);
// At the frame's bottom: room for values in that many cells.
void baseline__reserve(struct comp *c, uint32_t cells);
void baseline__epilogue(struct comp *c);
// The frame's size goes into the prologue.
void baseline__frame_patch(struct comp *c);
void baseline__restore_preserved(struct comp *c);
uint8_t baseline__cond(struct comp *c, struct val *v);
// handlers_x64.c. After the body: the clauses' code; then what is known of regions goes to the output.
void baseline__landings(struct comp *c);
bool baseline__handlers_put(struct comp *c);
// Room for an exception's values at the frame's bottom.
void baseline__reserve_values(struct comp *c, const struct wasm_func_type *t);
struct ctl *baseline__enter(struct comp *c, unsigned kind);
void baseline__libcall(struct comp *c, enum abi_libcall id, const uint32_t *imms);
static inline bool baseline__next_is(const struct comp *c, enum wasm_op op)
{
	return *c->p == wasm_ops[op].code;
}

#define E(op, fn, width, argument) void baseline__emit_##fn(struct comp *c, unsigned w, unsigned arg);
#include "emitters.def"
#undef E

#endif
