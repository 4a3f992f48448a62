// Room baseline: the one-pass compiler. One validated function body in, x86-64 bytes out; functions are independent of each other, so that a driver
// compiles them in any number of threads, each with its own baseline_output, and links the outputs in order at the end.
#ifndef TENON_BASELINE_H
#define TENON_BASELINE_H

#include "abi/abi.h"
#include "base/base.h"
#include "code/code.h"
#include "wasm/wasm.h"

struct baseline_options {
	uint32_t cpu;        // enum code_cpu, as code_cpu_detect has it
	size_t text_max;     // bytes of code of one output; 0: what a module may have
	uint32_t reach;      // how far a call spans, so as much is a module's code: 0: CODE_REACH; less for tests
	bool poison_upper;   // debugging: upper halves of i32 values in registers are filled with ones; whoever relies on them must extend (L15)
	bool check_memories;  // every access is checked by code, also of memories that could lie in a cell
	bool verify_upper;   // debugging: every i32 producer is followed by a check that the upper half is zero (R5)
};

struct baseline_func {
	uint32_t func, relocs;  // index; its first relocation
	struct code_func place;
};
struct baseline_reloc {
	uint32_t at, target;  // rel32 in the function; function index, or a stub
};
// Functions compiled so far by one thread, or one chunk of functions: growable. A zeroed struct is empty.
struct baseline_output {
	struct buf text, sites;
	struct buf handlers;  // words
	VEC(struct baseline_func)
	funcs;  // in order of compilation
	VEC(struct baseline_reloc)
	relocs;
	struct baseline_scratch *scratch;  // the compiler's stacks, kept from function to function
};
void baseline_output_release(struct baseline_output *out);

// Appends the code of function `func` (index space, defined, validated by wasm_validate_func, which gave `info`).
// On failure (LIMIT, NOMEM, UNSUPPORTED) the output must not be linked.
NODISCARD bool baseline_compile_func(const struct wasm_module *m, uint32_t func, const struct wasm_func_info *info, const struct abi_layout *layout,
	const struct baseline_options *opt, struct baseline_output *out, struct err *e);

// Concatenates outputs that together hold every defined function exactly once, in any order, and resolves direct calls (L19).
// The artifact is the caller's to release; the outputs are left as they are.
NODISCARD bool baseline_link(const struct wasm_module *m, struct baseline_output *const *outputs, uint32_t noutputs, const struct baseline_options *opt,
	struct code_artifact *ret, struct err *e);

// Code that comes function by function (code.h).
struct baseline_lazy {
	struct code_object *code;
	uint32_t hook, raise;  // stubs, from the first entry
};
// `how`: compile, drop, arg, owner, and text_max where it is not what a module may have; the rest is filled in. ret->code is one reference. ERR_ENV: there is
// not so much address space.
NODISCARD bool baseline_publish_lazy(const struct wasm_module *m, const struct baseline_options *opt, const struct code_lazy *how, struct baseline_lazy *ret,
	struct err *e);
// Puts the output's i-th function there. One thread at a time.
NODISCARD bool baseline_put_lazy(const struct wasm_module *m, struct baseline_output *out, uint32_t i, const struct baseline_lazy *to, struct err *e);
// Forgets its functions and keeps its memory.
void baseline_output_clear(struct baseline_output *out);

#endif
