// Room code: machine code. Encoders and labels (with CODE_ASSEMBLER defined before the include), the artifact that a compiler makes, its bytes
// for the cache, and published code: immutable, executable, never writable, found again by address from a signal handler.
//
// 1. An artifact holds no pointer and no process-wide id: text is position-independent, everything else is an offset.
// 2. Published code is a mapping of a sealed memfd, read + execute, or for a while of a file of the cache, until code_mapping_seal. Nobody has a
//    writable alias of it (L48). Text of functions that come one by one is written by system calls, behind what is published.
// 3. code_find and the code_object_* look-ups take no lock and allocate nothing: they are for signal handlers. The object that they return is
//    alive only because somebody who may be running in it holds a reference.
#ifndef TENON_CODE_H
#define TENON_CODE_H

#include "abi/abi.h"
#include "base/base.h"

struct wasm_module;

// ---- what the processor has -------------------------------------------------------------------------------------
// Below the minimum (x86-64-v2: SSE4.2, POPCNT) nothing is compiled. Part of the cache's key (L49).
enum code_cpu {
	CODE_CPU_LZCNT = 1 << 0,
	CODE_CPU_BMI1 = 1 << 1,  // with TZCNT
	CODE_CPU_BMI2 = 1 << 2,
	CODE_CPU_AVX = 1 << 3,
	CODE_CPU_AVX2 = 1 << 4,
};
// false: the processor lacks the minimum.
NODISCARD bool code_cpu_detect(uint32_t *ret_features);

// How vector registers are saved whole: an area for XSAVE (`compact`: XSAVEC) of these components. false: there is no XSAVE, only FXSAVE.
struct code_vectors {
	uint32_t mask, size;  // size: a multiple of 64
	bool compact;
};
NODISCARD bool code_cpu_vectors(struct code_vectors *ret);

// Bytes that a displacement of 32 bits spans in either direction: all code of a module, and what its calls go by, lies within so many (L19).
#define CODE_REACH ((uint32_t)INT32_MAX)

// ---- artifact ---------------------------------------------------------------------------------------------------
struct code_func {
	uint32_t offset, size;  // in the text
	uint32_t sites;         // where its stream begins in `sites`; it ends where the next function's begins
	uint32_t wasm_offset;   // of the body, in the module's bytes: sites count from there
	uint32_t handlers;      // where its words begin in `handlers`; they end where the next function's begin
	uint32_t frame;         // code_frame_word
};
// ORDER frame: as they lie from rbp down; below them the function's vmctx, where it has handlers.
enum { CODE_FRAME_RBX = 1, CODE_FRAME_R12 = 2, CODE_FRAME_R15 = 4, CODE_FRAME_SAVED = 7 };
// What a function's frame is, in one word: which preserved registers are saved first below rbp; bytes below rbp, a multiple of 16; the cells of its
// parameters on the stack, an even number below 2,048, which it pops. Frames of 8 MiB and more, which no stack has room for, count as a little less.
static inline uint32_t code_frame_word(uint32_t saved, uint32_t size, uint32_t cells)
{
	return saved | (size >> 4 < 0x7ffff ? size >> 4 : 0x7ffff) << 3 | cells << 21;
}
static inline uint32_t code_frame_size(uint32_t word)
{
	return (word >> 3 & 0x7ffff) << 4;
}
static inline uint32_t code_frame_cells(uint32_t word)
{
	return word >> 22 << 1;
}
enum code_flags {
	CODE_POISONS_UPPER = 1 << 0,
	CODE_VERIFIES_UPPER = 1 << 1,
	CODE_CHECKS_MEMORIES = 1 << 2,  // every access of memory, so that none needs a cell
};
// One compiled module.
struct code_artifact {
	uint8_t *text;
	size_t text_size;
	uint32_t first_func;  // index of the first defined function (imports come before it)
	uint32_t nfuncs;
	struct code_func *funcs;
	uint8_t *sites;  // see code_sites_put
	size_t sites_size;
	uint32_t *handlers;  // see code_object_frame
	uint32_t nhandlers;  // words
	uint32_t cpu;    // features that the code uses
	uint32_t flags;  // options that change the code: enum code_flags
	bool borrowed;   // the arrays belong to somebody else (code_artifact_from_bytes)
};
// Frees the arrays (unless borrowed).
void code_artifact_release(struct code_artifact *a);

// Sites of one function in ascending order of pc. `trap` is TRAP_NONE at a call (pc: any byte of the call instruction, say its first).
// pc counts from the function's first byte, wasm_offset from the body's.
struct code_sites {
	struct buf *out;
	uint32_t pc, wasm_offset;  // of the last one; zero both at the beginning of a function
};
// Bytes of one: LEB128 of (pc difference << 1 | trap is not MEMORY_OUT_OF_BOUNDS), zigzag LEB128 of the offset's difference, and the trap if
// it is not that one (ORDER sites: read by code.c). In the trap's place a byte of CODE_SITE_MORE and above is the kind of another row, which belongs to
// the same pc: LEB128 of its length and its bytes follow, and whoever doesn't know the kind skips them.
#define CODE_SITE_MORE 0x80
// Maps of the frame: where references to objects lie (abi.h R10), in cells from rbp.
//  HOMES  at pc 0: where some lie at every call, zigzag LEB128 each
//  SLOTS  at a call, and in force until the next such row: a list, below rbp and going down. LEB128 of how many of the list before stay; of each further
//         one LEB128 of its distance from the one before it (of the first: from rbp)
enum { CODE_SITE_HOMES = CODE_SITE_MORE, CODE_SITE_SLOTS };
// Begins such a row of `len` bytes; they are to be put behind it.
bool code_sites_put_row(struct code_sites *s, uint32_t pc, unsigned kind, uint32_t len);
static inline uint32_t code_leb_size(uint32_t v)
{
	return v < 1 << 7 ? 1 : v < 1 << 14 ? 2
		: v < 1 << 21                   ? 3
		: v < 1 << 28                   ? 4
										: 5;
}
bool code_sites_put_leb(struct code_sites *s, uint32_t v);
static inline bool code_sites_put(struct code_sites *s, uint32_t pc, uint32_t wasm_offset, enum trap trap)
{
	if (UNLIKELY(s->out->cap - s->out->len < 16) && !buf_reserve(s->out, 4096))
		return false;
	uint8_t *p = s->out->ptr + s->out->len;
	uint32_t diff = wasm_offset - s->wasm_offset;
	uint64_t head = (uint64_t)(pc - s->pc) << 1 | (trap != TRAP_MEMORY_OUT_OF_BOUNDS), zigzag = (uint32_t)(diff << 1 ^ (uint32_t)-(diff >> 31));
	for (; head >= 0x80; head >>= 7)
		*p++ = (uint8_t)(head | 0x80);
	*p++ = (uint8_t)head;
	for (; zigzag >= 0x80; zigzag >>= 7)
		*p++ = (uint8_t)(zigzag | 0x80);
	*p++ = (uint8_t)zigzag;
	if (trap != TRAP_MEMORY_OUT_OF_BOUNDS)
		*p++ = (uint8_t)trap;
	s->out->len = (size_t)(p - s->out->ptr);
	s->pc = pc;
	s->wasm_offset = wasm_offset;
	return true;
}

// To bytes and back. The bytes begin with {magic, version, build id, features, flags, sizes}; from_bytes checks all of that, that every offset is in
// range and that the features are had here (false and ERR_ENV: treat as a miss), and gives a view into `bytes`, which must outlive it
// and be aligned to 8. Whether the bytes are the ones that were written is the cache's business (hash).
NODISCARD bool code_artifact_to_bytes(const struct code_artifact *a, struct buf *out);
NODISCARD bool code_artifact_from_bytes(struct slice bytes, struct code_artifact *ret, struct err *e);

// ---- published code ---------------------------------------------------------------------------------------------
struct code_object;
// Copies the artifact. `m` (may be NULL) names functions for perf and gdb during the call; `owner` is whatever code_site.owner shall be.
NODISCARD bool code_publish(const struct code_artifact *a, const struct wasm_module *m, void *owner, struct code_object **ret, struct err *e);
// A file that holds artifacts' bytes, each beginning at a page: their code runs from the file's own pages, nothing is copied. Only for files that
// nobody but us can write, whose content was checked. Takes the descriptor over in any case.
struct code_mapping;
NODISCARD bool code_mapping_new(int fd, uint64_t size, struct code_mapping **ret, struct err *e);
// The same of bytes that are copied into sealed memory at once: there is nothing to be sealed later.
NODISCARD bool code_mapping_of(struct slice bytes, struct code_mapping **ret, struct err *e);
struct slice code_mapping_bytes(const struct code_mapping *m);
struct code_mapping *code_mapping_ref(struct code_mapping *m);
void code_mapping_unref(struct code_mapping *m);
// As code_publish, of an artifact that is a view into the mapping; the object holds a reference on it. ERR_ENV where the file system allows no
// execution: code_publish copies.
NODISCARD bool code_publish_mapped(struct code_mapping *map, const struct code_artifact *a, const struct wasm_module *m, void *owner,
	struct code_object **ret, struct err *e);
// Copies the file into a sealed memfd, has the copy checked and maps it over the file's pages, under running threads: from then on nothing that
// happens to the file reaches what runs. No publishing from this mapping meanwhile or later. false: what was mapped stays as it was.
NODISCARD bool code_mapping_seal(struct code_mapping *m, bool (*is_sound)(struct slice bytes), struct err *e);

// Code that comes function by function: calls go to entries of 16 bytes, an entry goes to where its slot says, and that is 6 bytes behind the entry's
// beginning until the function is there. Functions are put into the object's room when they are called first, and never move. Slots lie
// code_lazy_slots(nfuncs) bytes before the first entry, 8 bytes each; a guest reaches them as little as a vmctx.
struct code_lazy {
	uint32_t first_func, nfuncs, flags;
	struct slice entries;  // code of all entries, and of what it wants behind them; copied
	uint64_t text_max;     // bytes of functions
	void *owner;
	// Any thread: has the function (module's index space) compiled and put there, unless it is; *ret is where it begins. / With the last reference.
	bool (*compile)(void *arg, uint32_t func, const void **ret, struct err *e);
	void (*drop)(void *arg);
	void *arg;
};
enum { CODE_LAZY_ALIGN = 64 };  // of functions: none is written into a line of which another is running
uint64_t code_lazy_slots(uint32_t nfuncs);
// On failure `drop` is not called. ERR_ENV: there is not so much address space; or text_max, entries and slots together are more than CODE_REACH.
NODISCARD bool code_publish_lazy(const struct code_lazy *l, struct code_object **ret, struct err *e);
// Where the next function will begin, if it is of that size; NULL: there is no room for it.
const uint8_t *code_lazy_room(const struct code_object *o, uint64_t size);
// Bytes that there is room for, at least CODE_LAZY_ALIGN.
uint64_t code_lazy_left(const struct code_object *o);
void code_lazy_skip(struct code_object *o, uint64_t size);  // for tests: the next function begins that much later
// Puts an artifact of one function there, whose text was made for that place. One thread at a time.
NODISCARD bool code_lazy_add(struct code_object *o, const struct code_artifact *a, const struct wasm_module *m, struct err *e);
// The function, or NULL if it isn't there. / Has it compiled if it isn't.
const void *code_lazy_find(const struct code_object *o, uint32_t defined_func);
NODISCARD bool code_lazy_compile(const struct code_object *o, uint32_t func, const void **ret, struct err *e);
// code_find gives an object for each such function: the one that it is a part of; of others themselves.
const struct code_object *code_object_whole(const struct code_object *o);

struct code_object *code_object_ref(struct code_object *o);
void code_object_unref(struct code_object *o);
// Entry of the i-th defined function (guest convention), for who calls it.
const void *code_object_func(const struct code_object *o, uint32_t defined_func);
uint64_t code_object_size(const struct code_object *o);  // for tests
void *code_object_owner(const struct code_object *o);  // for tests
uint32_t code_object_flags(const struct code_object *o);

// The object whose text holds pc, or NULL. Signal-safe.
const struct code_object *code_find(const void *pc);
// Function (module's index space) and offset of the Wasm instruction in the module's bytes; for a return address ask with pc - 1.
// false: pc is in no function (a stub). Signal-safe.
struct code_place {
	uint32_t func;
	uint32_t offset;
};
bool code_object_place(const struct code_object *o, const void *pc, struct code_place *ret);
// What it means when the instruction that begins exactly at pc faults (or is ud2); TRAP_NONE: that is a bug of ours. Signal-safe.
enum trap code_object_trap(const struct code_object *o, const void *pc);

// ---- maps of frames -------------------------------------------------------------------------------------------------
// Where references to objects lie in a frame of the function that holds pc, at the call that pc belongs to: cells from rbp. `places` is the caller's: grown
// when needed, to be freed by mem_free. false: memory is out. Nothing lies in frames of what is no function. Takes as long as the function's sites
// before pc are, which may be megabytes: `read` says how many bytes of them.
struct code_map {
	int32_t *places;
	uint32_t n, cap, read;
};
NODISCARD bool code_object_map(const struct code_object *o, const void *pc, struct code_map *ret);

// ---- handlers of exceptions ---------------------------------------------------------------------------------------
// Words of a function that has some: number of edges, number of regions; edges {pc, region}, ascending: from there on this region, counted from 1, is the
// innermost one, 0 none; regions {the one around it, first clause, clauses}; clauses {enum wasm_catch, tag of the module, landing}. pc and landing count
// from the function's first byte.
struct code_frame {
	const uint8_t *text;  // the function's first byte
	uint32_t pc, frame;   // pc within it; as in struct code_func
	uint32_t nedges, nregions, nclauses;
	const uint32_t *edges, *regions, *clauses;
};
// Of the function that holds pc; false: pc is in no function.
bool code_object_frame(const struct code_object *o, const void *pc, struct code_frame *ret);
// The innermost region at the frame's pc, by bisection; 0: none.
uint32_t code_frame_region(const struct code_frame *f);
// What the region handles, in order, three words each. Returns the region around it, or 0.
uint32_t code_frame_clauses(const struct code_frame *f, uint32_t region, const uint32_t **ret_clauses, uint32_t *ret_n);

// All of that in one. Signal-safe.
struct code_site {
	const struct code_object *object;
	void *owner;
	uint32_t func, offset;
	enum trap trap;
	bool is_guest;  // in a function, not in a stub
};
bool code_site_find(uintptr_t pc, struct code_site *ret);  // for tests

#ifdef CODE_ASSEMBLER
#include "asm_x64.h"
#endif

#endif
