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
#define FEATURE(name, text, bit, state) WASM_FEATURE_##name = 1 << bit,
#include "features.def"
#undef FEATURE
	// Not a feature: these very bytes were decoded before, and their code is at hand. Function bodies are not looked at (most of the file stays
	// unread): their offsets and sizes are 0, they can't be validated or compiled; data segments are, once somebody asks for them (wasm_module_data). All
	// else is decoded as always.
	WASM_DECODE_KNOWN = 1 << 30,
};
// Sets of them, by their state.
enum {
#define WASM__ON(bit) | 1 << bit
#define WASM__ASKED_FOR(bit)
#define WASM__UNFINISHED(bit)
#define FEATURE(name, text, bit, state) WASM__##state(bit)
	WASM_FEATURES_DEFAULT = 0
#include "features.def"
	,
#undef WASM__ASKED_FOR
#define WASM__ASKED_FOR(bit) | 1 << bit
	WASM_FEATURES_FINISHED = 0
#include "features.def"
	,
#undef WASM__UNFINISHED
#define WASM__UNFINISHED(bit) | 1 << bit
	WASM_FEATURES_ALL = 0  // of use to look at a module
#include "features.def"
#undef FEATURE
};
// "exceptions" → its bit. false: there is no such feature.
bool wasm_feature_find(struct slice name, uint32_t *ret);
// The name of the lowest one in a set; "mvp" of none.
const char *wasm_feature_text(uint32_t feature);

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
	WASM_IMM_V128,           // 16 bytes
	WASM_IMM_SHUFFLE,        // 16 bytes, each a lane of two vectors (< 32)
	WASM_IMM_LANE_16,        // a byte: one of that many lanes
	WASM_IMM_LANE_8,
	WASM_IMM_LANE_4,
	WASM_IMM_LANE_2,
	WASM_IMM_MEMARG_LANE,    // memarg, then a byte: one of the 16 / access lanes
	WASM_IMM_TAG,
	WASM_IMM_TYPE_FIELD,     // type index, field index
	WASM_IMM_TYPE_COUNT,     // type index, number of operands
	WASM_IMM_TYPE_DATA,      // type index, data segment
	WASM_IMM_TYPE_ELEM,      // type index, element segment
	WASM_IMM_TYPE_TYPE,      // destination, source
	WASM_IMM_CAST,           // a byte of flags (enum wasm_cast), label, heap type before, heap type after
	WASM_IMM_ZERO,           // a zero byte
	WASM_IMM_TRY_TABLE,      // block type, count, clauses: enum wasm_catch, tag (of the first two), label
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
	WASM_OP_TRAP_ARRAY,            // null, or out of the array's or the segment's bounds
	WASM_OP_TRAP_CAST,             // of another type
	WASM_OP_TRAP_ATOMIC,           // out of bounds, or not aligned; where it waits, also a memory that is not shared
};

// Flags of br_on_cast and br_on_cast_fail: whether the type before, and the type after, has null.
enum wasm_cast { WASM_CAST_NULL_BEFORE = 1, WASM_CAST_NULL_AFTER = 2 };

// Clauses of try_table.
enum wasm_catch { WASM_CATCH, WASM_CATCH_REF, WASM_CATCH_ALL, WASM_CATCH_ALL_REF };
static inline bool wasm_catch_has_tag(unsigned kind)
{
	return kind <= WASM_CATCH_REF;
}
static inline bool wasm_catch_gives_ref(unsigned kind)
{
	return kind & 1;
}

// ---- types ------------------------------------------------------------------------------------------------------
enum wasm_val_kind { WASM_I32, WASM_I64, WASM_F32, WASM_F64, WASM_V128, WASM_REF };
// ORDER heap: those whose nullable form is spelled NAMEref first; the tops before all others.
enum wasm_heap {
	WASM_HEAP_FUNC,
	WASM_HEAP_EXTERN,
	WASM_HEAP_EXN,
	WASM_HEAP_ANY,
	WASM_HEAP_EQ,
	WASM_HEAP_I31,
	WASM_HEAP_STRUCT,
	WASM_HEAP_ARRAY,
	WASM_HEAP_NONE,
	WASM_HEAP_NOFUNC,
	WASM_HEAP_NOEXTERN,
	WASM_HEAP_NOEXN,
	WASM_HEAP_CONCRETE,
};
// As the text format spells it; "" of WASM_HEAP_CONCRETE.
const char *wasm_heap_text(unsigned heap);

struct wasm_valtype {
	_Alignas(8) uint8_t kind;  // enum wasm_val_kind; aligned so that a type can be handled as one 64-bit word
	uint8_t nullable;  // of a reference
	uint8_t heap;      // enum wasm_heap, of a reference
	uint8_t group;     // only where a group of types is interned: `type` counts within the group
	uint32_t type;     // module's type index, of a reference with WASM_HEAP_CONCRETE; else 0
};

struct wasm_func_type {
	uint32_t nparams, nresults;
	const struct wasm_valtype *params, *results;
};

enum wasm_form { WASM_FORM_FUNC, WASM_FORM_STRUCT, WASM_FORM_ARRAY };
// Of a structure, or the one of an array's elements.
struct wasm_field {
	struct wasm_valtype type;  // of a packed one WASM_I32
	uint8_t packed;            // 8 or 16 bits, else 0
	bool mutable;
	uint8_t size;              // bytes in the object
	uint32_t offset;           // in the object; of an array that of the first element
};
enum { WASM_OBJECT_HEAD = 8 };  // bytes before the first field

struct wasm_type {
	struct wasm_func_type func;  // of a function; else no parameters and no results
	uint8_t form;                // enum wasm_form
	bool is_final;               // no type may have it as its supertype
	bool has_super, super_in_group;  // the second only where a group is interned
	uint8_t depth;               // number of supertypes above it
	uint32_t super;              // type index of the one that was declared
	uint32_t nfields;            // an array has 1
	const struct wasm_field *fields;
	uint32_t size;               // bytes of a structure, its head included
	uint32_t id;                 // canonical id in this process: equal types have equal ids; never reused; never 0
	const uint32_t *display;     // of an interned type: the ids of its supertypes, the topmost first, and its own: depth + 1
};

struct wasm_limits {
	uint64_t min, max;  // pages or elements; max only if has_max
	bool has_max, shared, is64;
};
struct wasm_memory_type {
	struct wasm_limits limits;
	uint8_t page_shift;  // log2 of a page's bytes: 16, or 0
};

// A constant expression as a flat list in stack order.
struct wasm_const_op {
	uint16_t op;        // enum wasm_op: I32_CONST I64_CONST F32_CONST F64_CONST V128_CONST GLOBAL_GET REF_NULL REF_FUNC I32_ADD I32_SUB I32_MUL STRUCT_NEW...
	uint64_t imm;       // the constant's bits (zero-extended; the low half of a vector), or an index
	uint64_t high;      // half of a vector; number of operands of ARRAY_NEW_FIXED
};
static inline bool wasm_const_op_allocates(uint16_t op)
{
	return op >= WASM_OP_STRUCT_NEW && op <= WASM_OP_ARRAY_NEW_FIXED && !(op >= WASM_OP_STRUCT_GET && op <= WASM_OP_STRUCT_SET);
}
static inline bool wasm_const_op_is_object(uint16_t op)
{
	return wasm_const_op_allocates(op) || (op >= WASM_OP_ANY_CONVERT_EXTERN && op <= WASM_OP_REF_I31);
}
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

struct wasm_tag {
	uint32_t type;      // type index, of a function without results
};

struct wasm_func {
	uint32_t type;           // type index
	uint32_t offset;         // of the body's first byte (the locals) in the input
	uint32_t size : 31;      // bytes of the body, locals and final `end` included
	uint32_t declared : 1;   // may be the operand of ref.func in code (occurs outside bodies)
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
	bool allocates;                    // some of them makes an object
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
	uint32_t ntags, nimported_tags;
	const struct wasm_tag *tags;
	uint32_t nexports;
	const struct wasm_export *exports;
	struct slots export_names;  // indices in exports, by name
	bool has_start;
	uint32_t start;
	uint32_t nelems;
	const struct wasm_elem *elems;
	uint32_t ndata;
	const struct wasm_data *data;  // by wasm_module_data
	struct slice data_section;     // contents
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
// Ten bytes may declare 50,000 locals: what that costs must not grow with them. So types are listed one by one for the first locals only, which are as
// many as the body has bytes for; a local behind them that is used stands in a list of its own.
struct wasm_far_local {
	uint32_t index;
	struct wasm_valtype type;
};
struct wasm_func_info {
	uint32_t nlocals;                    // parameters included
	const struct wasm_valtype *locals;   // of the first nflat, at least the parameters
	uint32_t nflat, nfar;
	const struct wasm_far_local *far;    // in the order of their first use
	const uint32_t *local_weight;        // by index, of those: uses, each counted 8^loop depth (saturating)
	const uint8_t *local_in_call_loop;   // reserved for compilers; may be NULL
	uint32_t call_weight;                // calls (direct, indirect, reference, helper ops) that come back, weighted likewise: tail calls, throws and what
	                                     // `unreachable` follows don't
	uint32_t max_height;                 // of the operand stack, in values
	uint32_t max_control;                // of the control stack
	uint64_t nlisted;                    // values that its blocks, branches and calls list, and one for each conversion and the like whose code is long: what is
	                                     // made for them does not show in the bytes of the body
	bool has_loops, uses_memory0;
	bool has_calls;                   // of functions, whatever becomes of them: of all that call_weight counts and does not count
	bool has_vectors;                    // instructions on vectors
	bool has_handlers;                   // of exceptions
	bool has_rethrow;                    // of what a catch caught
};
// Memory for validating bodies, reused from one to the next; one a thread.
struct wasm_scratch;
struct wasm_scratch *wasm_scratch_new(void);
void wasm_scratch_free(struct wasm_scratch *s);
// Validates the body of function `index` (index space, not an import).
NODISCARD bool wasm_validate_func(const struct wasm_module *m, uint32_t index, struct wasm_scratch *s, struct wasm_func_info *ret, struct err *e);
// For bodies that are not compiled: the same verdict and the same error, sooner. `begin` takes up a module, whose functions are meant until the next.
// ret_listed: wasm_func_info.nlisted.
NODISCARD bool wasm_check_begin(struct wasm_scratch *s, const struct wasm_module *m, struct err *e);
NODISCARD bool wasm_check_func(struct wasm_scratch *s, uint32_t index, uint64_t *ret_listed, struct err *e);
// All bodies, one after the other.
NODISCARD bool wasm_validate(const struct wasm_module *m, struct err *e);

// The data segments; those that were left unread are read now, once, from any thread. NULL: memory is out, or there are none.
const struct wasm_data *wasm__module_data(const struct wasm_module *m);
static inline const struct wasm_data *wasm_module_data(const struct wasm_module *m)
{
	const struct wasm_data *data = __atomic_load_n(&m->data, __ATOMIC_ACQUIRE);
	return LIKELY(data || !m->ndata) ? data : wasm__module_data(m);
}
const struct wasm_export *wasm_module_find_export(const struct wasm_module *m, struct slice name);
static inline const struct wasm_func_type *wasm_func_type_of(const struct wasm_module *m, uint32_t func)
{
	return &m->types[m->funcs[func].type].func;
}
static inline const struct wasm_func_type *wasm_tag_type_of(const struct wasm_module *m, uint32_t tag)
{
	return &m->types[m->tags[tag].type].func;
}
// An index of the section of names, made by one pass over it; the module outlives it. Without memory, or from where the section is wrong, there are none.
struct wasm_name_mark;
struct wasm_names {
	struct slice module;  // what it calls itself
	struct wasm_name_mark *marks;
	uint32_t n;
	struct slice section;  // of functions' names
};
void wasm_names_make(struct wasm_names *n, const struct wasm_module *m);
void wasm_names_release(struct wasm_names *n);
// Empty: it has none.
struct slice wasm_names_find(const struct wasm_names *n, uint32_t func);
// The same into buf; "func[12]" if it has none.
void wasm_names_put(const struct wasm_names *n, uint32_t func, char *buf, size_t size);

// ---- matching (linking) -----------------------------------------------------------------------------------------
// Is an entity of type `have` acceptable where `want` is imported? Types of two modules are compared by canonical id.
// Without a module (NULL) the type of a concrete reference is itself a canonical id. Constant time.
bool wasm_valtype_matches(const struct wasm_module *mh, struct wasm_valtype have, const struct wasm_module *mw, struct wasm_valtype want);
// A reference that may be to an object of the store's heap: of the hierarchies of any and extern. Without a module as wasm_valtype_matches.
bool wasm_valtype_is_object(const struct wasm_module *m, struct wasm_valtype t);
bool wasm_limits_match(const struct wasm_limits *have, const struct wasm_limits *want);
// Canonical id of a function type made up by the host (numeric and abstract reference types only). 0: memory is out.
uint32_t wasm_intern_func_type(const struct wasm_func_type *type);
// The function type behind a canonical id (owned by the process, never freed); concrete references in it hold canonical ids.
const struct wasm_func_type *wasm_interned_func_type(uint32_t id);
// Whatever is behind a canonical id, as wasm_interned_func_type; `super` is one, too. Lock-free.
const struct wasm_type *wasm_interned_type(uint32_t id);
// Is the one the other, or declared below it? Constant time.
bool wasm_type_is_sub(uint32_t id, uint32_t super);

// ---- opcode table -----------------------------------------------------------------------------------------------
// Without pointers, which each start of a process would have to set.
struct wasm_op_info {
	uint8_t prefix;  // 0, 0xfc, 0xfd, ...
	uint8_t imm;     // enum wasm_imm
	uint8_t access;  // bytes of memory accessed, or 0
	uint8_t trap;    // enum wasm_op_trap
	uint32_t code;
	uint32_t feature;
	char sig[12];    // "ii:i" (i I32, l I64, f F32, d F64, v V128), "*" if validated by hand
};
extern const struct wasm_op_info wasm_ops[WASM_OP_COUNT];
const char *wasm_op_text(enum wasm_op op);
// Rows by code: of one byte, after 0xfb, 0xfc, 0xfd and 0xfe; WASM_OP_COUNT where there is none.
enum { WASM_OP_FB_ROWS = 31, WASM_OP_FC_ROWS = 23, WASM_OP_FD_ROWS = 0x114, WASM_OP_FE_ROWS = 0x4f };
extern const uint16_t wasm_op_by_byte[256], wasm_op_by_fb[WASM_OP_FB_ROWS], wasm_op_by_fc[WASM_OP_FC_ROWS], wasm_op_by_fd[WASM_OP_FD_ROWS],
	wasm_op_by_fe[WASM_OP_FE_ROWS];

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
	if (LIKELY(byte < 0xfb || byte > 0xfe))
		return (enum wasm_op)wasm_op_by_byte[byte];
	uint32_t code = wasm_read_u32(p);
	if (byte == 0xfb)
		return code < WASM_OP_FB_ROWS ? (enum wasm_op)wasm_op_by_fb[code] : WASM_OP_COUNT;
	if (byte == 0xfe)
		return code < WASM_OP_FE_ROWS ? (enum wasm_op)wasm_op_by_fe[code] : WASM_OP_COUNT;
	if (byte == 0xfd)
		return code < WASM_OP_FD_ROWS ? (enum wasm_op)wasm_op_by_fd[code] : WASM_OP_COUNT;
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
// Past what follows the opcode of a row.
void wasm_skip_immediate(enum wasm_op op, const uint8_t **p);
// The operand of ref.null: the nullable reference to that heap type.
struct wasm_valtype wasm_read_heap_type(const uint8_t **p);

// ---- sections that say nothing of what runs (reader.c): names, producers ----
// What is left of one. A read that fails, for it is cut or malformed, leaves *ret alone; who reads then stops.
struct wasm_reader {
	const uint8_t *p, *end;
};
bool wasm_reader_u32(struct wasm_reader *r, uint32_t *ret);      // LEB128
bool wasm_reader_bytes(struct wasm_reader *r, struct slice *ret);  // their number, then they
bool wasm_reader_name(struct wasm_reader *r, struct slice *ret);   // the same, and UTF-8
bool wasm_reader_section(struct wasm_reader *r, uint8_t *ret_id, struct wasm_reader *ret);  // its id, then its bytes

#endif
