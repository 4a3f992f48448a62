// Room abi: what generated code and the runtime agree on. docs/abi.md states it in words.
//
// The convention of guest functions on x86-64 ("guest convention"):
//  R1. r13 = vmctx of the function's instance, r14 = base of its memory 0 (r14 == r13->mem0_base whenever a guest function is entered;
//      unspecified if the instance has no memory). Both are preserved by every guest function.
//  R2. Integer and reference parameters in rdi rsi rdx rcx r8 r9, floats and vectors in xmm0..7, the rest on the stack in cells (R9), in order,
//      first one at the lowest address (at [rsp+8] on entry). The area is a multiple of 16 bytes, rsp+8 is 16-aligned at entry,
//      and the callee pops it (ret n), so that tail calls need no trampoline.
//  R3. One result: rax (integers, references) or xmm0. More than one: a hidden last integer parameter points to an array of
//      cells that the callee fills, in order.
//  R4. rbx rbp r12 r13 r14 r15 are preserved by the callee; all else is not. rbp is the frame pointer in every guest function.
//  R5. An i32 in a register or a cell has zero upper bits; f32 likewise in cells. A reference is a 32-bit integer, null is 0.
//  R6. No red zone. A function compares rsp with exec->stack_limit at entry, after its frame is allocated and before it writes to it, and
//      goes to the trap STACK_OVERFLOW (or to the hook, when limit is UINTPTR_MAX) if it is below. One that calls no function may do without if
//      its frame has no more than ABI_LEAF_FRAME bytes: below the limit there is room for it, and for what it asks of the runtime.
//  R7. A call that may leave the instance (import, table, reference) loads code and vmctx of the callee, sets r13 and
//      r14 = [r13 + mem0_base], calls, and restores its own r13 and r14 afterwards.
//  R8. C functions (libcalls.def) are called by the C convention through vmctx->libcalls with vmctx as first argument; direction flag clear,
//      rsp 16-aligned. Those that may trap return an enum trap in eax (0: none), their result lies in exec->libcall_result. On a trap generated
//      code calls a stub that jumps to `raise`, which never returns and continues at the landing pad.
//  R9. A cell has 8 bytes; a value takes as many as abi_cells says of its type: two of a v128, low half first, aligned to 8. Where values lie one
//      after the other (stack parameters, arrays of results and arguments) the n-th begins where those before it end.
// R10. A reference of the hierarchies of any and extern is tagged: 1 in its lowest bit, an i31 above it; else 2 in the lowest two, a number of the host's above
//      them; else the place of an object, counted from vmctx->heap. An object begins with struct abi_object; fields follow where wasm_field says.
//      At every call after which a frame goes on, its map (code.h) says where in it such references lie: the collector knows no others.
#ifndef TENON_ABI_H
#define TENON_ABI_H

#include "base/base.h"
#include "wasm/wasm.h"

enum trap {
#define TRAP(name, text) TRAP_##name,
#include "traps.def"
#undef TRAP
	TRAP_COUNT
};
const char *trap_text(enum trap t);

struct abi_vmctx;
struct abi_libcalls;

// What changes with the fiber: one a shard (thread). entry_sp, stack_limit, libcall_result, task and context are exchanged when another fiber runs.
// `interrupt` is set about each millisecond of CPU time by the watchdog while a fiber runs, whatever it does.
struct abi_exec {
	uintptr_t stack_limit;  // ORDER exec 0: lowest rsp that guest code may have, but for R6's; UINTPTR_MAX: take the hook at the next function entry
	void *entry_sp;         // ORDER exec 1: rsp saved by the innermost host→guest entry: where its landing pad finds its frame
	uint64_t libcall_result;  // ORDER exec 2: second result of libcalls that may trap
	uint32_t trap;            // enum trap being delivered to the landing pad
	uint32_t interrupt;       // set asynchronously: read on the way from host code to guest code, and by host code that works long
	uint64_t trap_pc;         // where in guest code the trap happened; 0: in host code
	uint64_t trap_addr;       // faulting address, for memory traps
	void *fiber;              // struct vm_fiber that runs
	void *shard;              // struct vm_shard
	void *task;               // whose task runs: its owner's (component/canon); not vm's business
	uint64_t context[2];      // ORDER exec 10: what context.get and context.set of the canonical ABI reach, of the task's thread that runs
	uint64_t work;            // of host code since it last looked at `interrupt` (vm_work)
};

enum { ABI_LEAF_FRAME = 1024 };  // R6

// An entry of the store's function array: what a reference to a function means. 32 bytes.
struct abi_func {
	const void *code;      // guest convention; index 0 (null) has code NULL and type 0
	struct abi_vmctx *vmctx;
	uint32_t type;         // canonical type id
	uint32_t index;        // function index in its instance's module, for messages
	void *instance;
};

// A memory of 32-bit indices and ordinary pages lies in a cell of the address space, in which whatever an access can name is accessible or faults
// (docs/abi.md). Accesses of all others are checked by code; where there are no cells, those of all memories.
static inline bool abi_memory_in_cell(const struct wasm_memory_type *t)
{
	return !t->limits.is64 && t->page_shift == 16;
}

// ---- objects (R10) ----------------------------------------------------------------------------------------------
enum { ABI_REF_I31 = 1, ABI_REF_HOST = 2, ABI_REF_TAGS = 3 };
struct abi_object {
	uint32_t type;    // place of its struct abi_object_type, counted from the heap's base
	uint32_t length;  // elements of an array
};
_Static_assert(sizeof(struct abi_object) == WASM_OBJECT_HEAD, "fields begin behind the head");
// What a store knows of a type of structures or arrays; in its heap, once a store.
struct abi_object_type {
	uint32_t id;          // canonical
	uint8_t form;         // enum wasm_form
	uint8_t depth;        // of supertypes
	uint8_t elem_size;    // of an array
	uint8_t elem;         // of an array: enum vm's kind of reference
	uint32_t size;        // bytes of a structure
	uint32_t nrefs;       // references in a structure to objects,
	uint32_t nexns;       // and behind them in the list to exceptions
	uint32_t reserved;
	const uint32_t *refs;  // where
	uint32_t display[];   // places of the supertypes by depth, the last its own; at least ABI_DISPLAY, filled up with 0
};
enum { ABI_DISPLAY = 8 };

struct abi_memory {
	uint8_t *base;
	uint64_t length;     // bytes; generated code reads it for memory.size
	uint64_t max_bytes;  // memory.grow's bound
	void *owner;         // vm's
};

struct abi_table {
	uint32_t *elems;  // references
	uint64_t length;
	uint64_t max;
	uint64_t dirty;   // nonzero once any element or the length changed (generated code stores 1)
	void *owner;
};

// One a core instance. The variable part follows; abi_layout says where. Host functions have one too (only `exec` and what vm adds are used).
struct abi_vmctx {
	struct abi_exec *exec;         // ORDER vmctx 0
	struct abi_func *funcs;        // ORDER vmctx 1: the store's function array
	const uint32_t *type_ids;      // module type index → canonical id
	uint8_t *mem0_base;
	struct abi_memory *mem0;
	const struct abi_libcalls *libcalls;
	const uint32_t *func_refs;     // module function index → index in funcs (for ref.func)
	void *instance;                // struct vm_instance
	uint8_t *heap;                 // of objects; NULL: the store has none
	const uint32_t *object_types;  // module type index → place of a struct abi_object_type
};

// Where the variable part of a module's vmctx has what; offsets from the vmctx in bytes.
struct abi_layout {
	uint32_t memories;          // struct abi_memory *[nmemories]
	uint32_t tables;            // struct abi_table *[ntables]
	uint32_t imported_funcs;    // struct abi_import [nimported_funcs]
	uint32_t imported_globals;  // void *[nimported_globals]: address of the global's cell
	uint32_t globals;           // own globals, 16 bytes each, in order: all of the image that is in the vmctx
	uint32_t globals_size;
	uint32_t size;              // of the whole vmctx
	bool has_v128;              // some type that the module names holds one
};
struct abi_import {
	const void *code;
	struct abi_vmctx *vmctx;
};
void abi_layout(const struct wasm_module *m, struct abi_layout *ret);

// ---- where parameters go (R2, R3) -------------------------------------------------------------------------------
enum abi_place { ABI_GPR, ABI_XMM, ABI_STACK };
struct abi_loc {
	uint8_t place;   // enum abi_place
	uint8_t cells;   // of its type
	uint16_t index;  // register number in order (0 = rdi / xmm0), or number of its first cell on the stack
	uint16_t at;     // number of its first cell in an array of all arguments
};
static inline uint32_t abi_cells(uint8_t val_kind)
{
	return val_kind == WASM_V128 ? 2 : 1;
}
struct abi_sig {
	uint32_t nparams;        // without the hidden one
	struct abi_loc *params;  // nparams
	bool by_pointer;         // results go by pointer
	struct abi_loc results_pointer;
	uint32_t stack_cells;    // rounded up to an even number
	uint32_t arg_cells;      // of all parameters
};
// locs must have room for type->nparams entries.
void abi_classify(const struct wasm_func_type *type, struct abi_loc *locs, struct abi_sig *ret);

// ---- C functions that generated code calls (R8) -----------------------------------------------------------------
enum abi_libcall {
#define LIBCALL(NAME, name, may_trap, result, params) ABI_LIBCALL_##NAME,
#include "libcalls.def"
#undef LIBCALL
	ABI_LIBCALL_COUNT
};

// Kinds of parameters and results; what they are in C.
enum abi_libcall_kind { ABI_NONE, ABI_IMM, ABI_I32, ABI_I64 };
#define ABI__C_NONE void
#define ABI__C_IMM uint32_t
#define ABI__C_I32 uint32_t
#define ABI__C_I64 uint64_t
#define ABI__C_RESULT_0(result) ABI__C_##result
#define ABI__C_RESULT_1(result) uint32_t

// The table that vmctx->libcalls points to: function i at 8 * i.
struct abi_libcalls {
#define P(kind, param) , ABI__C_##kind param
#define LIBCALL(NAME, name, may_trap, result, params) ABI__C_RESULT_##may_trap(result) (*name)(struct abi_vmctx * ctx params);
#include "libcalls.def"
#undef LIBCALL
#undef P
};
_Static_assert(sizeof(struct abi_libcalls) == 8 * ABI_LIBCALL_COUNT, "one pointer a row");

// The rows for compilers: arguments by the C convention, of which the first (ABI_NONE here) is vmctx; then the immediates; then the values.
struct abi_libcall_row {
	bool may_trap;
	uint8_t result;  // enum abi_libcall_kind
	uint8_t nargs, args[6];
};
extern const struct abi_libcall_row abi_libcall_rows[ABI_LIBCALL_COUNT];

#endif
