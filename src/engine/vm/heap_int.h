// Inside room vm: the heap of objects (heap.c), its collector (collect.c).
#ifndef TENON_VM_HEAP_INT_H
#define TENON_VM_HEAP_INT_H

#include "vm_int.h"

enum {
	HEAP_CLASSES = 27,
	HEAP_BLOCK = 16 << 10,
	HEAP_GRANULE = 16,  // an object begins at a multiple of it, and has a bit among the marks
	HEAP_MARK_WORDS = HEAP_BLOCK / HEAP_GRANULE / 64,
	HEAP_BLOCK_COST = HEAP_BLOCK + 512,
	HEAP_FIRST = 64 << 20,  // place of the first block
	HEAP_CELL_MAX = 8192,   // larger objects have blocks of their own
	HEAP_COLLECT_AT = 256,  // blocks in use, at least, when it is collected
};
// What an array's elements are to the collector.
enum vm__elem { HEAP_BITS, HEAP_OBJECTS, HEAP_EXCEPTIONS };

enum block_kind { BLOCK_FREE, BLOCK_CELLS, BLOCK_LARGE, BLOCK_REST };
struct vm__block {
	uint8_t kind, class;
	bool zero;      // of a free one, or one whose object is still to be cleared: all bytes are
	uint32_t next;  // of cells: the next one with room, plus 1
	uint32_t n;     // of a large object's first: blocks
};
// Free cells next to each other, and the end of their block; 0: there is none.
struct vm__run {
	uint32_t at, end, block_end;
	bool is_zero;
};
struct vm__heap {
	uint8_t *base;
	uint64_t reserved;
	uint32_t types_end, types_high;  // places: of the next type, of what is accessible
	struct map types;                // canonical id → place
	struct vm__block *blocks;
	uint64_t *marks;
	struct vm_memory area;  // all blocks
	uint32_t nblocks, cap_blocks, max_blocks, used;
	uint32_t high;     // blocks that were in use since the last reset lie before it
	bool collected;    // there was a collection since the last reset
	uint32_t trigger;  // blocks in use from which on it is collected
	uint32_t look_at;  // from where free blocks are looked for
	uint64_t live;     // bytes of cells and blocks that the last collection found in use
	struct vm__run runs[HEAP_CLASSES];
	uint32_t partial[HEAP_CLASSES];
	struct vm__root *roots;
	struct code_map map;  // the frame that was looked at last
	const void *map_pc;
};
static inline uint8_t *vm__block_at(const struct vm__heap *h, uint32_t i)
{
	return h->base + HEAP_FIRST + (uint64_t)i * HEAP_BLOCK;
}
static inline uint32_t vm__mark_of(uint32_t place)
{
	return (place - HEAP_FIRST) / HEAP_GRANULE;
}
uint32_t vm__cell_size(const struct vm__block *b);
// Bytes of blocks that keep their pages over a reset: the image's, and what a call takes before it is first collected.
static inline uint64_t vm__heap_kept(const struct vm__heap *h)
{
	return h->area.image_length + (uint64_t)HEAP_COLLECT_AT * HEAP_BLOCK;
}

// A reference that C code holds over what may collect; on its stack, the last one first.
struct vm__root {
	const uint32_t *refs;
	uint32_t n;
	struct vm__root *next;
};
static inline void vm__root_push(struct vm__heap *h, struct vm__root *r, const uint32_t *refs, uint32_t n)
{
	*r = (struct vm__root){refs, n, h->roots};
	h->roots = r;
}
static inline void vm__root_pop(struct vm__heap *h)
{
	h->roots = h->roots->next;
}

// Where guest code called what may collect: its frame and the address behind the call.
struct vm__here {
	uintptr_t frame, pc;
};
// In a function that generated code calls.
#define VM__HERE() ((struct vm__here){*(uintptr_t *)__builtin_frame_address(0), (uintptr_t)__builtin_return_address(0)})

// Zeroed room for an object of that many bytes, head included. `here` NULL: no guest called. OUT_OF_MEMORY, or what ends the call meanwhile.
enum trap vm__heap_alloc(struct vm_store *st, uint64_t size, const struct vm__here *here, uint32_t *ret);
// Room where there is some without a collection; false: it is time for one. `forced`: whether or not it is time. What is larger than HEAP_CELL_MAX is still
// to be cleared, which takes its time. Not TRAP_NONE: the call is to end.
bool vm__heap_find(struct vm_store *st, uint64_t size, bool forced, uint32_t *ret);
enum trap vm__heap_clear(struct vm_store *st, uint64_t size, uint32_t ref);
// Behind a collection: what has no mark is room. false: the call is to end.
bool vm__heap_sweep(struct vm_store *st, struct vm__pace *p);
// Before one, and for good if it is stopped: there is none but in free blocks.
void vm__heap_forget_room(struct vm__heap *h);
// So little was free at the last collection that it is not worth another.
bool vm__heap_is_crowded(const struct vm_store *st);

// ---- collect.c
// Finds all objects and exceptions in use; what is not is room again. Not TRAP_NONE: the call is to end.
enum trap vm__collect(struct vm_store *st, const struct vm__here *here);
// The same while no guest is in the store, whatever looks like a reference on some stack.
enum trap vm__collect_idle(struct vm_store *st);

static inline uint8_t *vm__object_at(const struct vm_store *st, uint32_t ref)
{
	return st->heap->base + ref;
}

// ---- constant.c
// References of an element segment whose expressions make objects: made once, when they are first wanted, so that each use sees the same. Charged.
enum trap vm__elem_refs(struct vm_instance *inst, uint32_t elem, const struct vm__here *here, const uint32_t **ret);
void vm__elem_refs_drop(struct vm_instance *inst, uint32_t elem);
// Writes references [src, src + n) of a segment, which has them. They are made first where they are objects (`made`: by vm__elem_refs). Gives way.
enum trap vm__elem_write(const struct vm_instance *inst, uint32_t elem, const uint32_t *made, uint64_t src, uint64_t n, uint32_t *to);
// The value's cells, the second 0 where it has one only. Gives way. OUT_OF_MEMORY, or what ends the call meanwhile.
enum trap vm__const_eval(const struct vm_instance *inst, const struct wasm_const_expr *x, struct vm__pace *pace, const struct vm__here *here, uint64_t ret[2]);
enum trap vm__table_init(struct vm_instance *inst, struct vm_table *t, uint32_t elem, uint64_t dst, uint64_t src, uint64_t n, const struct vm__here *here);

// ---- heap.c
NODISCARD bool vm__heap_new(struct vm_store *st, struct err *e);
void vm__heap_free(struct vm_store *st);
// The instance's types become the heap's; the first ones make it.
NODISCARD bool vm__heap_add_types(struct vm_instance *inst, struct err *e);
// Records and marks to what an image has, once its memories are. `reset`: they were that before. false: memory is out.
NODISCARD bool vm__heap_load(struct vm_store *st, const struct vm__image_heap *from, bool reset);
// Behind a collection: what is in no block that is in use is zero, and nothing lies behind the last of those. / Then: into an image.
NODISCARD bool vm__heap_tidy(struct vm_store *st);
NODISCARD bool vm__heap_capture(const struct vm_store *st, struct arena *a, struct vm__image_heap *to);

// Of a type of the module's. All fields and elements are zero.
enum trap vm__struct_new(const struct vm_instance *inst, uint32_t type, const struct vm__here *here, uint32_t *ret);
enum trap vm__array_new(const struct vm_instance *inst, uint32_t type, uint32_t n, const struct vm__here *here, uint32_t *ret);

// ---- kept.c, exception.c
struct vm__exception {
	const struct vm_tag *tag;    // NULL: none, but a place for one
	struct vm__exception *next;  // of those whose values are still to be looked at
	uint64_t *cells;
	uint32_t number;             // among those that are kept; 0: no reference was made
	uint32_t held;               // the look at who holds what that saw it
};
struct vm__look {
	struct vm_store *store;
	struct vm__pace *pace;
	struct vm__exception *todo;
	uint64_t words;  // of stacks, tables and globals, and what else was looked at as long
};
uint32_t vm__exception_ref(const struct vm__exception *e);
struct vm__exception *vm__exception_find(const struct vm_store *st, uint32_t ref);
// Gives it a number, and another place: *e is that then. false: memory is out.
NODISCARD bool vm__exception_keep(struct vm_store *st, struct vm__exception **e);
bool vm__exceptions_are_many(const struct vm_store *st);
// A collection's part: begins, with those that globals and tables hold; one more that is held; those of an array; those that a stack may hold (in one piece:
// how many references' work it was); drops the others. false: the call is to end.
bool vm__exceptions_look(struct vm__look *l);
void vm__exception_hold(struct vm__look *l, uint32_t ref);
bool vm__exceptions_hold(struct vm__look *l, const uint32_t *refs, uint64_t n);
uint32_t vm__exceptions_hold_stack(struct vm__look *l, uintptr_t low, uintptr_t high);
bool vm__exceptions_sweep(struct vm__look *l, uint64_t words);

#endif
