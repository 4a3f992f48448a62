// Inside the body validator: its state. The algorithm is that of the specification's appendix ("Validation Algorithm"), literally (L25).
//
// Rules of the game:
//  1. The operand stack is an array of words (value types) of fixed capacity; a frame of the control stack knows its first operand.
//  2. The main loop (validate.c) keeps p, sp, top and base in registers; it stores them before it calls anything here and reads
//     them again afterwards. Functions here use the struct.
//  3. Nothing is allocated: all memory is the scratch's, whose capacities are rows of limits.def.
//  4. Types of operands are compared as words first; only unequal words take the way of subtyping.
#ifndef TENON_WASM_VALIDATE_INT_H
#define TENON_WASM_VALIDATE_INT_H

#include "wasm_int.h"

struct frame {
	wasm__word *base;          // of its operands
	const wasm__word *params, *results;
	uint32_t nparams, nresults;
	uint32_t ninit;            // locals that were initialised when it began
	uint32_t weight;           // of uses outside of it
	uint16_t op;               // BLOCK, LOOP, IF, ELSE; UNREACHABLE for the function itself
	bool unreachable;
	wasm__word inline_result;
};

struct validator;
struct rule {
	uint8_t class;             // enum rule_class
	uint8_t access;            // log2 of the bytes accessed
	uint16_t op;
	wasm__word in, out;        // operand (all of the same type) and result of classes with a signature
	bool (*hand)(struct validator *v, const struct rule *r);
};
// How the main loop treats an opcode.
enum rule_class {
	RULE_ILLEGAL,
	RULE_PREFIX,               // 0xfc
	RULE_NOP,
	RULE_UNARY,                // in → out
	RULE_BINARY,               // in in → out
	RULE_LOAD,     // memarg; i32 → out
	RULE_STORE,                // memarg; i32 in →
	RULE_I32_CONST,
	RULE_I64_CONST,
	RULE_F32_CONST,
	RULE_F64_CONST,
	RULE_LOCAL_GET,
	RULE_LOCAL_SET,
	RULE_LOCAL_TEE,
	RULE_DROP,
	RULE_HAND,     // rule.hand
};

struct validator {
	struct wasm__cursor c;
	const struct wasm_module *m;
	const uint8_t *op_at;
	wasm__word *sp, *base, *top;  // next free operand; first of this frame; highest sp so far
	struct frame *frame;
	uint32_t nlocals, ninit;
	uint32_t weight;              // 8^depth of loops
	uint32_t max_control, call_weight;
	bool tracks_init;             // some local has no default value
	bool has_calls, has_loops, uses_memory0, done;
	struct wasm_scratch *s;
};

struct wasm_scratch {
	wasm__word *stack;            // LIMIT_STACK_HEIGHT
	struct frame *frames;         // LIMIT_CONTROL_DEPTH + 1
	struct wasm_valtype *locals;  // LIMIT_LOCALS
	uint32_t *weights;            // LIMIT_LOCALS
	uint8_t *is_init;             // LIMIT_LOCALS; only kept if some local has no default
	uint32_t *init_order;         // LIMIT_LOCALS: locals that were initialised, in order
	bool has_rules;
	uint32_t features;            // that the rules below are for
	struct rule rules[256], rules_fc[WASM_OP_FC_ROWS];
};

// ---- validate_stack.c: the appendix's functions ----------------------------------------------------------------------------
bool wasm__mismatch(struct validator *v, wasm__word have, wasm__word want);
NODISCARD bool wasm__push(struct validator *v, wasm__word type);
NODISCARD bool wasm__pop(struct validator *v, wasm__word *ret);                     // any type
NODISCARD bool wasm__pop_want(struct validator *v, wasm__word want, wasm__word *ret);  // ret may be NULL
NODISCARD bool wasm__pop_ref(struct validator *v, wasm__word *ret);                 // any reference, or the bottom type
NODISCARD bool wasm__push_all(struct validator *v, const wasm__word *types, uint32_t n);
NODISCARD bool wasm__pop_all(struct validator *v, const wasm__word *types, uint32_t n);
// Pops them and pushes what was popped.
NODISCARD bool wasm__check_all(struct validator *v, const wasm__word *types, uint32_t n);
NODISCARD bool wasm__push_ctrl(struct validator *v, uint16_t op, const wasm__word *params, uint32_t nparams, const wasm__word *results, uint32_t nresults);
NODISCARD bool wasm__pop_ctrl(struct validator *v, struct frame *ret);
void wasm__unreachable(struct validator *v);
void wasm__init_local(struct validator *v, uint32_t local);
static inline void wasm__count_call(struct validator *v)
{
	v->has_calls = true;
	if (__builtin_add_overflow(v->call_weight, v->weight, &v->call_weight))
		v->call_weight = UINT32_MAX;
}
// Reads an index that must be below n.
NODISCARD bool wasm__index(struct validator *v, uint32_t n, const char *what, uint32_t *ret);
NODISCARD bool wasm__memory_index(struct validator *v, uint32_t *ret);

typedef bool wasm__hand(struct validator *v, const struct rule *r);
// Rows without a signature, and those whose operands are indices: by enum wasm_op; NULL where a class of the main loop does it.
extern wasm__hand *const wasm__hands[WASM_OP_COUNT];

// ---- validate_control.c
wasm__hand wasm__op_unreachable, wasm__op_block, wasm__op_loop, wasm__op_if, wasm__op_else, wasm__op_end, wasm__op_br,
	wasm__op_br_if, wasm__op_br_table, wasm__op_return,
	wasm__op_call, wasm__op_call_indirect, wasm__op_return_call, wasm__op_return_call_indirect, wasm__op_call_ref, wasm__op_return_call_ref, wasm__op_br_on_null,
	wasm__op_br_on_non_null;

#endif
