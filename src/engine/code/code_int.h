// Inside room code: the published object, and what publishing tells debuggers and profilers.
#ifndef TENON_CODE_INT_H
#define TENON_CODE_INT_H

#include "code.h"

struct code_object {
	uint32_t refs;
	uint32_t first_func, nfuncs;
	const uint8_t *text;
	size_t text_size, mapped;
	const struct code_func *funcs;
	const uint8_t *sites;
	size_t sites_size;
	void *owner;
	struct code_mapping *mapping;  // text, funcs and sites lie in it; NULL: they are the object's own
	void *gdb;  // what was listed for debuggers
};

// Makes a part of the mapping executable.
NODISCARD bool code__mapping_add_text(struct code_mapping *m, const uint8_t *text, size_t size, struct err *e);

// Appends to /tmp/perf-PID.map if TENON_PERF is set.
void code__perf_note(const struct code_object *o, const struct wasm_module *m);
// Lists the object in gdb's JIT interface if TENON_GDB is set; NULL if not. And takes it off.
void *code__gdb_add(const struct code_object *o, const struct wasm_module *m);
void code__gdb_remove(void *entry);

#endif
