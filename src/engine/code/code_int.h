// Inside room code: the published object, and what publishing tells debuggers and profilers.
#ifndef TENON_CODE_INT_H
#define TENON_CODE_INT_H

#include "code.h"

struct code_object {
	uint32_t refs;
	uint32_t first_func, nfuncs, flags;
	const uint8_t *text;
	size_t text_size, mapped;
	const struct code_func *funcs;
	const uint8_t *sites;
	size_t sites_size;
	const uint32_t *handlers;
	uint32_t nhandlers;
	void *owner;
	struct code_mapping *mapping;  // text, funcs and sites lie in it; NULL: rows lie behind the object
	void *gdb;  // what was listed for debuggers
	struct code__lazy *lazy;    // its functions come one by one, each an object of its own; it has no funcs itself
	void (*release)(struct code_object *o);  // of such
	struct code_object *whole;  // such a one, whose function this is
	// sites.c: functions with long streams, ascending, and the marks in these streams.
	struct code__long *longs;
	struct code__mark *marks;
	uint32_t nlongs;
};

// An object with the artifact's rows and no text yet; NULL: memory is out. / Bytes that it takes. / Frees it, with all that it has.
struct code_object *code__object_of(const struct code_artifact *a, void *owner);
size_t code__object_size(const struct code_artifact *a);
void code__object_free(struct code_object *o);
// Makes it findable, and tells it to profilers and debuggers. Frees it on failure.
NODISCARD bool code__object_list(struct code_object *o, const struct wasm_module *m, struct code_object **ret, struct err *e);
void code__tell(struct code_object *o, const struct wasm_module *m);

// What an object has whose functions come one by one (lazy.c).
enum { CODE__ENTRY = 16, CODE__ENTRY_COMPILES = 6 };
struct code__lazy {
	struct code_lazy of;
	int fd;  // of the text
	uint64_t slots_size, text_max;
	uint64_t end;  // behind the last function, from the first entry
	uint64_t records;  // bytes of what stands for functions beside their text: both together are within text_max
	uint32_t n;        // functions that are there, atomic
	struct code_object **funcs;  // of those, by address
	struct wasm_names names;     // for profilers and debuggers, where they were asked for
	bool has_names;
};
static inline const uint8_t *code__lazy_entry(const struct code_object *o, uint32_t defined)
{
	return o->text + (size_t)CODE__ENTRY * defined;
}

// The function that holds pc, and its number from 0; NULL: there is none.
const struct code_func *code__func_at(const struct code_object *o, const void *pc, uint32_t *ret_index);
// Makes the index of long streams of sites. false: memory is out.
NODISCARD bool code__sites_index(struct code_object *o);
// The last site of the function (from 0) at or before pc, which counts from the function's first byte; false if there is none. Signal-safe.
struct code__site {
	uint32_t pc, offset;
	enum trap trap;
};
bool code__site_before(const struct code_object *o, uint32_t func, uint32_t pc, struct code__site *ret);

// Reading a function's stream from its beginning: adds the row's differences to *r. A kind of CODE_SITE_MORE and above is no site.
struct code__row {
	uint32_t pc, offset;
	unsigned kind;
	const uint8_t *more;  // bytes of a row that is no site; they end where the next row begins
};
void code__read_row(const uint8_t **p, const uint8_t *end, struct code__row *r);
uint64_t code__read_leb(const uint8_t **p, const uint8_t *end);
const uint8_t *code__sites_end(const struct code_object *o, uint32_t func);

// Makes a part of the mapping executable.
NODISCARD bool code__mapping_add_text(struct code_mapping *m, const uint8_t *text, size_t size, struct err *e);

// Appends to /tmp/perf-PID.map if TENON_PERF is set.
void code__perf_note(const struct code_object *o, const struct wasm_module *m);
// Lists the object in gdb's JIT interface if TENON_GDB is set; NULL if not. And takes it off.
void *code__gdb_add(const struct code_object *o, const struct wasm_module *m);
void code__gdb_remove(void *entry);

#endif
