// Room wasm: the WebAssembly binary format decoded and validated into an immutable `struct wasm_module`. Executes nothing.
//
// What depends only on the bytes is decided here. Invariants:
//  1. A module that wasm_decode returned keeps slices into the input: the bytes must outlive it.
//  2. Function bodies are validated one by one by wasm_validate_func (in any thread); everything else by wasm_decode.
//  3. All counts are bounded by limits.def before anything is allocated for them.
#ifndef TENON_WASM_H
#define TENON_WASM_H

#include "base/base.h"

// ---- features (bits) --------------------------------------------------------------------------------------------
enum wasm_feature {
	WASM_FEATURE_MVP = 0,
	WASM_FEATURE_SIGN_EXTENSION = 1 << 0,
	WASM_FEATURE_SAT_FLOAT_TO_INT = 1 << 1,
	WASM_FEATURE_MULTI_VALUE = 1 << 2,
	WASM_FEATURE_REFERENCE_TYPES = 1 << 3,
	WASM_FEATURE_BULK_MEMORY = 1 << 4,
	WASM_FEATURE_TAIL_CALL = 1 << 5,
	WASM_FEATURE_EXTENDED_CONST = 1 << 6,
	WASM_FEATURE_MULTI_MEMORY = 1 << 7,
	WASM_FEATURE_FUNCTION_REFERENCES = 1 << 8,
	WASM_FEATURE_SIMD = 1 << 9,
	WASM_FEATURE_GC = 1 << 10,
	WASM_FEATURE_EXCEPTIONS = 1 << 11,
	WASM_FEATURE_MEMORY64 = 1 << 12,
	WASM_FEATURE_THREADS = 1 << 13,
	// Not a feature: these very bytes were decoded before, and their code is at hand. Function bodies are not looked at (most of the file stays
	// unread): their offsets and sizes are 0, they can't be validated or compiled. All else is decoded as always.
	WASM_DECODE_KNOWN = 1 << 30,
};
#define WASM_FEATURES_DEFAULT 0x1ffu

// ---- opcodes ----------------------------------------------------------------------------------------------------
// opcodes.def: OP(NAME, "text", prefix, code, immediate, "params:results" or "*", memory access bytes, trap, feature)
enum wasm_op {
#define OP(name, ...) WASM_OP_##name,
#include "opcodes.def"
#undef OP
	WASM_OP_COUNT
};

// What follows an opcode (comment: the operands in order; all LEB128 but floats).
enum wasm_imm {
	WASM_IMM_NONE,
	WASM_IMM_BLOCK,          // block type (s33)
	WASM_IMM_LABEL,          // relative depth
	WASM_IMM_LABELS,         // count, count depths, default depth
	WASM_IMM_FUNC,           // function index
	WASM_IMM_TYPE,           // type index
	WASM_IMM_TYPE_TABLE,     // type index, table index
	WASM_IMM_TYPES,          // count (1), value type
	WASM_IMM_LOCAL,
	WASM_IMM_GLOBAL,
	WASM_IMM_TABLE,
	WASM_IMM_TABLE_TABLE,    // destination, source
	WASM_IMM_MEMARG,
	WASM_IMM_MEMORY,
	WASM_IMM_MEMORY_MEMORY,  // destination, source
	WASM_IMM_DATA,
	WASM_IMM_DATA_MEMORY,    // segment, memory
	WASM_IMM_ELEM,
	WASM_IMM_ELEM_TABLE,     // segment, table
	WASM_IMM_I32,            // signed
	WASM_IMM_I64,
	WASM_IMM_F32,            // 4 bytes, little endian
	WASM_IMM_F64,            // 8 bytes
	WASM_IMM_HEAP,           // heap type (s33)
};

// Why an instruction may trap, besides what it calls.
enum wasm_op_trap {
	WASM_OP_TRAP_NONE,
	WASM_OP_TRAP_UNREACHABLE,
	WASM_OP_TRAP_MEMORY,           // out of bounds
	WASM_OP_TRAP_TABLE,            // out of bounds
	WASM_OP_TRAP_DIVIDE,           // by zero
	WASM_OP_TRAP_DIVIDE_OVERFLOW,  // by zero, or the quotient overflows
	WASM_OP_TRAP_CONVERSION,       // not a number, or out of range
	WASM_OP_TRAP_INDIRECT,         // index out of bounds, null, or another type
	WASM_OP_TRAP_NULL_FUNCTION,
	WASM_OP_TRAP_NULL_REFERENCE,
};

// ---- types ------------------------------------------------------------------------------------------------------
enum wasm_val_kind { WASM_I32, WASM_I64, WASM_F32, WASM_F64, WASM_V128, WASM_REF };
enum wasm_heap { WASM_HEAP_FUNC, WASM_HEAP_EXTERN, WASM_HEAP_NOFUNC, WASM_HEAP_NOEXTERN, WASM_HEAP_CONCRETE };

struct wasm_valtype {
	_Alignas(8) uint8_t kind;  // enum wasm_val_kind; aligned so that a type can be handled as one 64-bit word
	uint8_t nullable;  // of a reference
	uint8_t heap;      // enum wasm_heap, of a reference
	uint8_t reserved;
	uint32_t type;     // module's type index, of a reference with WASM_HEAP_CONCRETE; else 0
};

struct wasm_func_type {
	uint32_t nparams, nresults;
	const struct wasm_valtype *params, *results;
};

struct wasm_type {
	struct wasm_func_type func;  // struct and array types come with GC
	uint32_t id;                 // canonical id in this process: equal types have equal ids; never reused; never 0
};

struct wasm_limits {
	uint64_t min, max;  // pages or elements; max only if has_max
	bool has_max, shared, is64;
};
struct wasm_memory_type {
	struct wasm_limits limits;
	uint8_t page_shift;  // 16
};

// A constant expression as a flat list in stack order.
struct wasm_const_op {
	uint16_t op;        // enum wasm_op: I32_CONST I64_CONST F32_CONST F64_CONST GLOBAL_GET REF_NULL REF_FUNC I32_ADD I32_SUB I32_MUL I64_ADD...
	uint64_t imm;       // the constant's bits (zero-extended), or an index
};
struct wasm_const_expr {
	const struct wasm_const_op *ops;
	uint32_t nops;
};

struct wasm_table_type {
	struct wasm_valtype elem;
	struct wasm_limits limits;
};
struct wasm_table {
	struct wasm_table_type type;
	bool has_init;
	struct wasm_const_expr init;
};
struct wasm_global_type {
	struct wasm_valtype type;
	bool mutable;
};
struct wasm_global {
	struct wasm_global_type type;
	struct wasm_const_expr init;  // unused for imports
};

enum wasm_extern_kind { WASM_EXTERN_FUNC, WASM_EXTERN_TABLE, WASM_EXTERN_MEMORY, WASM_EXTERN_GLOBAL, WASM_EXTERN_TAG };

struct wasm_import {
	struct slice module, name;  // UTF-8
	uint8_t kind;               // enum wasm_extern_kind
	uint32_t index;             // in the module's index space of that kind (imports come first there)
	uint64_t offset;            // in the input, for errors
};
struct wasm_export {
	struct slice name;
	uint8_t kind;
	uint32_t index;
};

struct wasm_func {
	uint32_t type;      // type index
	uint32_t declared;  // may be the operand of ref.func in code (occurs outside bodies)
	uint64_t offset;    // of the body's first byte (the locals) in the input
	uint32_t size;      // bytes of the body, locals and final `end` included
};

enum wasm_segment_mode { WASM_SEGMENT_PASSIVE, WASM_SEGMENT_ACTIVE, WASM_SEGMENT_DECLARATIVE };
struct wasm_elem {
	uint8_t mode;
	uint32_t table;
	struct wasm_const_expr offset;
	struct wasm_valtype type;
	uint32_t count;
	const uint32_t *funcs;                // count function indices, if the segment is a plain list of them
	const struct wasm_const_expr *exprs;  // else count expressions
};
struct wasm_data {
	uint8_t mode;
	uint32_t memory;
	struct wasm_const_expr offset;
	struct slice bytes;
};

struct wasm_module {
	struct arena *arena;
	struct slice bytes;     // the whole module
	uint32_t features;      // that were on
	uint64_t base_offset;   // of `bytes` in the file (a module inside a component), added to error offsets

	uint32_t ntypes;
	const struct wasm_type *types;
	uint32_t nimports;
	const struct wasm_import *imports;
	// Index spaces, imports first.
	uint32_t nfuncs, nimported_funcs;
	const struct wasm_func *funcs;
	uint32_t ntables, nimported_tables;
	const struct wasm_table *tables;
	uint32_t nmemories, nimported_memories;
	const struct wasm_memory_type *memories;
	uint32_t nglobals, nimported_globals;
	const struct wasm_global *globals;
	uint32_t nexports;
	const struct wasm_export *exports;
	struct map export_names;  // name → index in exports
	bool has_start;
	uint32_t start;
	uint32_t nelems;
	const struct wasm_elem *elems;
	uint32_t ndata;
	const struct wasm_data *data;
	bool has_data_count;
	struct slice code_section;  // contents, for statistics
	struct slice name_section;  // contents of the custom section `name`, or empty
	uint32_t ncustoms;
	const struct wasm_custom {
		struct slice name, bytes;
	} *customs;
};

// Decodes all sections and validates everything but function bodies (types, imports, limits, constant expressions, segments, exports,
// start). Interns the types. `base_offset` is added to offsets in errors. Errors: MALFORMED, INVALID, UNSUPPORTED, LIMIT, NOMEM.
NODISCARD bool wasm_decode(struct arena *a, struct slice bytes, uint32_t features, uint64_t base_offset, struct wasm_module **ret, struct err *e);
// true if bytes begin with the preamble of a core module / of a component.
bool wasm_is_module(struct slice bytes);
bool wasm_is_component(struct slice bytes);

// What a compiler wants to know of a body, found while it is validated. Arrays live in the scratch until its next use.
struct wasm_func_info {
	uint32_t nlocals;                    // parameters included
	const struct wasm_valtype *locals;
	const uint32_t *local_weight;        // uses of each local, each counted 8^loop depth (saturating)
	const uint8_t *local_in_call_loop;   // reserved for compilers; may be NULL
	uint32_t call_weight;                // calls (direct, indirect, reference, helper ops), weighted likewise
	uint32_t max_height;                 // of the operand stack, in values
	uint32_t max_control;                // of the control stack
	bool has_calls, has_loops, uses_memory0;
};
// Memory for validating bodies, reused from one to the next; one a thread.
struct wasm_scratch;
struct wasm_scratch *wasm_scratch_new(void);
void wasm_scratch_free(struct wasm_scratch *s);
// Validates the body of function `index` (index space, not an import).
NODISCARD bool wasm_validate_func(const struct wasm_module *m, uint32_t index, struct wasm_scratch *s, struct wasm_func_info *ret, struct err *e);
// All bodies, one after the other.
NODISCARD bool wasm_validate(const struct wasm_module *m, struct err *e);

const struct wasm_export *wasm_module_find_export(const struct wasm_module *m, struct slice name);
static inline const struct wasm_func_type *wasm_func_type_of(const struct wasm_module *m, uint32_t func)
{
	return &m->types[m->funcs[func].type].func;
}
// Name from the name section into buf ("func[12]" if there is none); for backtraces.
void wasm_module_func_name(const struct wasm_module *m, uint32_t func, char *buf, size_t size);

// ---- matching (linking) -----------------------------------------------------------------------------------------
// Is an entity of type `have` acceptable where `want` is imported? Types of two modules are compared by canonical id.
// Without a module (NULL) the type of a concrete reference is itself a canonical id.
bool wasm_valtype_matches(const struct wasm_module *mh, struct wasm_valtype have, const struct wasm_module *mw, struct wasm_valtype want);
bool wasm_limits_match(const struct wasm_limits *have, const struct wasm_limits *want);
// Canonical id of a function type made up by the host (numeric and abstract reference types only). 0: memory is out.
uint32_t wasm_intern_func_type(const struct wasm_func_type *type);
// The function type behind a canonical id (owned by the process, never freed); concrete references in it hold canonical ids.
const struct wasm_func_type *wasm_interned_func_type(uint32_t id);

// ---- opcode table -----------------------------------------------------------------------------------------------
struct wasm_op_info {
	const char *text;
	uint8_t prefix;  // 0, 0xfc, 0xfd, ...
	uint8_t imm;     // enum wasm_imm
	uint8_t access;  // bytes of memory accessed, or 0
	uint8_t trap;    // enum wasm_op_trap
	uint32_t code;
	uint32_t feature;
	const char *sig;  // "ii:i" (i I32, l I64, f F32, d F64), "*" if validated by hand
};
extern const struct wasm_op_info wasm_ops[WASM_OP_COUNT];
const char *wasm_op_text(enum wasm_op op);
// Rows by code: of one byte, and after 0xfc; WASM_OP_COUNT where there is none.
enum { WASM_OP_FC_ROWS = 18 };
extern const uint16_t wasm_op_by_byte[256], wasm_op_by_fc[WASM_OP_FC_ROWS];

// ---- reading a validated body -----------------------------------------------------------------------------------
// For compilers: no checks, the body has passed wasm_validate_func.
static inline uint32_t wasm_read_u32(const uint8_t **p)
{
	uint32_t v = 0;
	for (unsigned shift = 0;; shift += 7) {
		uint8_t b = *(*p)++;
		v |= (uint32_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return v;
	}
}
static inline enum wasm_op wasm_read_op(const uint8_t **p)
{
	uint8_t byte = *(*p)++;
	if (LIKELY(byte != 0xfc))
		return (enum wasm_op)wasm_op_by_byte[byte];
	uint32_t code = wasm_read_u32(p);
	return code < WASM_OP_FC_ROWS ? (enum wasm_op)wasm_op_by_fc[code] : WASM_OP_COUNT;
}
static inline uint64_t wasm_read_u64(const uint8_t **p)
{
	uint64_t v = 0;
	for (unsigned shift = 0;; shift += 7) {
		uint8_t b = *(*p)++;
		v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return v;
	}
}
static inline int64_t wasm_read_s64(const uint8_t **p)
{
	uint64_t v = 0;
	for (unsigned shift = 0;;) {
		uint8_t b = *(*p)++;
		v |= (uint64_t)(b & 0x7f) << shift;
		shift += 7;
		if (!(b & 0x80)) {
			if (shift < 64 && (b & 0x40))
				v |= ~(uint64_t)0 << shift;
			return (int64_t)v;
		}
	}
}
static inline int32_t wasm_read_s32(const uint8_t **p)
{
	return (int32_t)wasm_read_s64(p);
}
struct wasm_memarg {
	uint32_t align, memory;
	uint64_t offset;
};
static inline struct wasm_memarg wasm_read_memarg(const uint8_t **p)
{
	struct wasm_memarg m = {0};
	m.align = wasm_read_u32(p);
	if (m.align & 0x40) {
		m.align &= ~0x40u;
		m.memory = wasm_read_u32(p);
	}
	m.offset = wasm_read_u64(p);
	return m;
}
// Block type at *p: result and parameter types (a single inline result lives in `inline_result`).
struct wasm_block_type {
	uint32_t nparams, nresults;
	const struct wasm_valtype *params, *results;
	struct wasm_valtype inline_result;
};
void wasm_read_block_type(const struct wasm_module *m, const uint8_t **p, struct wasm_block_type *ret);
struct wasm_valtype wasm_read_valtype(const uint8_t **p);
// The operand of ref.null: the nullable reference to that heap type.
struct wasm_valtype wasm_read_heap_type(const uint8_t **p);

#endif
