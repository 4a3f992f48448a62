// Inside room baseline. Which file does what: compile.c (driver), link.c (from outputs to an artifact), compiler_x64.h (the compiler's state, the rules of
// the game), frame_x64.c (pins, prologue, epilogue), state_x64.c (registers, operand stack, merges), maps_x64.c (of frames), int_x64.c, float_x64.c,
// memory_x64.c, control_x64.c, call_x64.c, objects_x64.c, handlers_x64.c, vec_x64.c, vec_lanes_x64.c, vec_float_x64.c (emitters), ool_x64.c (out-of-line
// code, constants), stubs_x64.c; emitters.def is the table op → emitter.
#ifndef TENON_BASELINE_INT_H
#define TENON_BASELINE_INT_H

#define CODE_ASSEMBLER
#include "baseline.h"

// The processor that code is made for.
#include "compiler_x64.h"

// Stubs: reloc targets beyond all functions.
#define BASELINE_STUB_HOOK (UINT32_MAX - 1)
#define BASELINE_STUB_RAISE (UINT32_MAX - 2)

// ---- what the driver asks of the processor's files ----------------------------------------------------------------
// Pins, frame, prologue; the body's last label. false: memory is out.
bool baseline__func_begin(struct comp *c, const struct abi_sig *sig);
// After the body: the frame's size, out-of-line code, constants. false: the text is incomplete.
bool baseline__func_end(struct comp *c);
// Code of the two stubs, and where in it they begin. false: memory is out.
bool baseline__stubs_emit(struct buf *text, uint32_t *ret_hook, uint32_t *ret_raise);
// Entries of functions that come later (code_lazy), and these two behind them.
bool baseline__entries_emit(struct buf *text, uint32_t first_func, uint32_t nfuncs, uint32_t *ret_hook, uint32_t *ret_raise);

// Bytes of machine code that a module may have.
size_t baseline__text_max(const struct wasm_module *m);

#endif
