// Shared by the files of the room: symbols.c (what is known, as text), names.c (the names that a component gives its modules), image.c (a module's DWARF as a
// file), ask.c (the process that reads it), answer.c (in that process).
#ifndef TENON_SYMBOLS_INT_H
#define TENON_SYMBOLS_INT_H

#include "symbols.h"
#include "wasm/wasm.h"

// ---- names ----
// What the `component-name` section of the component calls its core modules, by where their bytes begin.
struct slice symbols__module_name(struct slice component, const uint8_t *module);

// ---- lines ----
#define SYMBOLS__SECTIONS 32
#define SYMBOLS__IMAGE_MAX ((uint64_t)64 << 20)
#define SYMBOLS__ANSWER_MAX ((size_t)64 << 10)
#define SYMBOLS__INLINED_MAX 8  // of one place

bool symbols__has_dwarf(const struct wasm_module *m);
// Its DWARF sections as an ELF file in memory: a descriptor, or -errno.
int symbols__image(const struct wasm_module *m, uint64_t *ret_size);
// Of an offset in the module's bytes: what DWARF calls the place. false: it is in no function.
bool symbols__address(const struct wasm_module *m, uint32_t offset, uint32_t *ret);
// Asks for these addresses of one module: lines "INDEX\tLINE\tCOLUMN\tFILE\tNAME" in the order of the addresses, innermost first; NAME is empty where the
// function itself is meant, not one that was put into it. false: there was no answer.
bool symbols__ask(const struct wasm_module *m, const uint32_t *addresses, uint32_t n, struct buf *ret);
// In the process that was started: argv is {SYMBOLS__ARGV0, size, addresses…}, the image is its standard input. Its exit status.
#define SYMBOLS__ARGV0 "tenon-lines"
int symbols__answer(int argc, char **argv);

#endif
