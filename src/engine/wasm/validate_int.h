// Inside the body validator: its state. The algorithm is that of the specification's appendix ("Validation Algorithm"), literally (L25).
//
// Rules of the game:
//  1. The operand stack is an array of words (value types) of fixed capacity; a frame of the control stack knows its first operand.
//  2. The main loop (validate.c) keeps p, sp, top and base in registers; it stores them before it calls anything here and reads
//     them again afterwards. Functions here use the struct.
//  3. Nothing is allocated: all memory is the scratch's, whose capacities are rows of limits.def.
//  4. A branch is two bytes, and may have a thousand results: what blocks, branches and calls list is bounded by the bytes of the body (VALUES_A_BYTE).
//  5. Types of operands are compared as words first; only unequal words take the way of subtyping.
#ifndef TENON_WASM_VALIDATE_INT_H
#define TENON_WASM_VALIDATE_INT_H

#include "wasm_int.h"

struct frame {
	wasm__word *base;          // of its operands
	const wasm__word *params, *results;
	uint32_t nparams, nresults;
	uint32_t ninit;            // locals that were initialised when it began
	uint32_t weight;           // of uses outside of it
	uint16_t op;               // BLOCK, LOOP, IF, ELSE, TRY, CATCH, CATCH_ALL, TRY_TABLE; UNREACHABLE for the function itself
	bool unreachable;
	wasm__word inline_result;
};

struct validator;
struct rule {
	uint8_t class;             // enum rule_class
	uint8_t access;            // log2 of the bytes accessed
	uint16_t op;
	uint8_t n_in, types[3];    // operands of RULE_SIGNATURE: enum wasm_val_kind
	wasm__word in, out;        // operand (all of the same type) and result of classes with a signature; out WASM__BOTTOM: none
	bool (*hand)(struct validator *v, const struct rule *r);
};
// How the main loop treats an opcode.
enum rule_class {
	RULE_ILLEGAL,
	RULE_PREFIX,               // 0xfb, 0xfc
	RULE_PREFIX_VECTOR,        // 0xfd
	RULE_PREFIX_ATOMIC,        // 0xfe
	RULE_NOP,
	RULE_UNARY,                // in → out
	RULE_BINARY,               // in in → out
	RULE_LONG,               // in → out, with long code
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
	RULE_SIGNATURE,            // after 0xfd and 0xfe: immediate by the row, n_in types → out
};

struct validator {
	struct wasm__cursor c;
	const struct wasm_module *m;
	const uint8_t *op_at;
	wasm__word *sp, *base, *top;  // next free operand; first of this frame; highest sp so far
	struct frame *frame;
	uint32_t nlocals, nflat, nparams, ngroups, ninit;
	uint32_t weight;              // 8^depth of loops
	uint32_t max_control, call_weight;
	uint64_t values_left;         // that blocks, branches and calls may still list
	bool tracks_init;             // some local has no default value
	bool has_loops, uses_memory0, has_calls, has_vectors, has_handlers, has_rethrow, done;
	struct wasm_scratch *s;
};

// Locals declared together: up to `end`, not included. As many groups as there can be where some local is far: a group is two bytes at least.
struct local_group {
	uint32_t end;
	struct wasm_valtype type;
};
enum { FLAT_FEW = 16,
	FLAT_A_BYTE = 16,
	LOCAL_GROUPS = LIMIT_LOCALS / (2 * FLAT_A_BYTE) + 1 };

// By code: of one byte, and behind each prefix.
struct rules {
	uint32_t features;  // that they are for
	struct rule bytes[256], fb[WASM_OP_FB_ROWS], fc[WASM_OP_FC_ROWS], fd[WASM_OP_FD_ROWS], fe[WASM_OP_FE_ROWS];
};

struct wasm__check;
struct wasm__signature;
struct wasm_scratch {
	wasm__word *stack;            // LIMIT_STACK_HEIGHT
	struct frame *frames;         // LIMIT_CONTROL_DEPTH + 1
	struct wasm_valtype *locals;  // LIMIT_LOCALS; the first v->nflat
	struct local_group *groups;   // LOCAL_GROUPS
	struct wasm_far_local *far;   // LIMIT_LOCALS
	uint32_t *weights;            // LIMIT_LOCALS; zero but for what the body before used
	uint32_t nflat, nfar;         // of that
	uint8_t *is_init;             // LIMIT_LOCALS: was set in this frame or around it; likewise. Only kept if some local has no default
	uint32_t *init_order;         // LIMIT_LOCALS: locals that were set, in order
	uint32_t ninit;
	struct wasm__check *check;    // check.c's; NULL: nothing was checked yet
	struct wasm__signature *signatures;
	const struct rules *rules;
	struct rules *own;            // of other features than most
	bool is_large;                // a body made it touch much of its arrays
};

enum { VALUES_FEW = 4096, VALUES_A_BYTE = 32 };

// ---- validate.c, check.c
// Those of the features, at s->rules. false: memory is out.
bool wasm__find_rules(struct wasm_scratch *s, uint32_t features);
// Of the module that was taken up: that the body is valid. false: it isn't known.
bool wasm__check_passes(struct wasm__check *k, uint32_t index);

// ---- validate_stack.c: the appendix's functions ----------------------------------------------------------------------------
bool wasm__mismatch(struct validator *v, wasm__word have, wasm__word want);
NODISCARD bool wasm__push(struct validator *v, wasm__word type);
NODISCARD bool wasm__pop(struct validator *v, wasm__word *ret);                     // any type
NODISCARD bool wasm__pop_want(struct validator *v, wasm__word want, wasm__word *ret);  // ret may be NULL
NODISCARD bool wasm__pop_ref(struct validator *v, wasm__word *ret);                 // any reference, or the bottom type
NODISCARD bool wasm__push_all(struct validator *v, const wasm__word *types, uint32_t n);
NODISCARD bool wasm__pop_all(struct validator *v, const wasm__word *types, uint32_t n);
// n more of what blocks, branches and calls list: refused when there are too many.
NODISCARD bool wasm__list_values(struct validator *v, uint32_t n);
// Pops them and pushes what was popped.
NODISCARD bool wasm__check_all(struct validator *v, const wasm__word *types, uint32_t n);
NODISCARD bool wasm__push_ctrl(struct validator *v, uint16_t op, const wasm__word *params, uint32_t nparams, const wasm__word *results, uint32_t nresults);
NODISCARD bool wasm__pop_ctrl(struct validator *v, struct frame *ret);
void wasm__unreachable(struct validator *v);
void wasm__init_local(struct validator *v, uint32_t local);
// One that comes back: of others no compiler keeps anything.
static inline void wasm__count_call(struct validator *v)
{
	if (__builtin_add_overflow(v->call_weight, v->weight, &v->call_weight))
		v->call_weight = UINT32_MAX;
}
// Reads an index that must be below n.
NODISCARD bool wasm__index(struct validator *v, uint32_t n, const char *what, uint32_t *ret);
NODISCARD bool wasm__memory_index(struct validator *v, uint32_t *ret);
// Of a type of that form.
NODISCARD bool wasm__type_index(struct validator *v, enum wasm_form form, uint32_t *ret);
NODISCARD bool wasm__data_index(struct validator *v, uint32_t *ret);

typedef bool wasm__hand(struct validator *v, const struct rule *r);
// Rows without a signature, and those whose operands are indices: by enum wasm_op; NULL where a class of the main loop does it.
extern wasm__hand *const wasm__hands[WASM_OP_COUNT];

// ---- validate_control.c
wasm__hand wasm__op_unreachable, wasm__op_block, wasm__op_loop, wasm__op_if, wasm__op_else, wasm__op_end, wasm__op_br,
	wasm__op_br_if, wasm__op_br_table, wasm__op_return,
	wasm__op_call, wasm__op_call_indirect, wasm__op_return_call, wasm__op_return_call_indirect, wasm__op_call_ref, wasm__op_return_call_ref, wasm__op_br_on_null,
	wasm__op_br_on_non_null, wasm__op_br_on_cast, wasm__op_throw, wasm__op_throw_ref, wasm__op_try_table, wasm__op_try,
	wasm__op_catch, wasm__op_catch_all, wasm__op_delegate, wasm__op_rethrow;
// ---- validate_objects.c
wasm__hand wasm__op_struct_new, wasm__op_struct_get, wasm__op_struct_set, wasm__op_array_new, wasm__op_array_new_fixed, wasm__op_array_new_segment,
	wasm__op_array_get, wasm__op_array_set, wasm__op_array_len, wasm__op_array_fill, wasm__op_array_copy, wasm__op_array_init, wasm__op_ref_test,
	wasm__op_ref_cast, wasm__op_ref_eq, wasm__op_convert, wasm__op_ref_i31, wasm__op_i31_get;

#endif
