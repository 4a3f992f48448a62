// Inside room vm. Which file does what, each above those that it uses: process.c (begin and end), reset.c, image.c, image_file.c, instance.c (linking,
// initialisation), host.c (host functions), libcall.c (what generated code calls), atomic.c (waiting for others), exception.c, objects.c (what code calls of
// objects), table.c, constant.c (constant expressions), collect.c (the collector), kept.c (exceptions that are referred to), heap.c (objects), pieces.c,
// stubs_x64.c (what guest code enters), signal_x64.c (what signals do to a guest), call.c (into guests, into host functions), fiber.c (stacks, switches,
// budgets), watchdog.c (interruption), trap.c (backtraces), entry_x64.c (into guests and between stacks), global.c, store.c (stores), memory.c, account.c,
// module.c, cell.c (address space), sig.c (signatures), shard.c.
#ifndef TENON_VM_INT_H
#define TENON_VM_INT_H

#include <stdatomic.h>

#include "vm.h"

#include "code/code.h"
#include "sys/sys.h"

#define VM__GIB (1ull << 30)
#define VM__CELL_SIZE (6 * VM__GIB)  // 4 for the index, 2 for offsets; the next cell's rear half is not needed: its own guard begins at once
#define VM__FRONT_GUARD (2 * VM__GIB)
#define VM__MAX_CELLS 2001u  // 1,000 parameters of two cells and the hidden one (L58)
#define VM__FEW_CELLS 16u
enum { VM__STACK_GUEST, VM__STACK_HOST, VM__STACK_KINDS };  // what a fiber runs
#define VM__STACK_MARGIN (128u << 10)  // of every stack, for host code and for saved registers

// ---- cells -------------------------------------------------------------------------------------------------------
// The address space of one memory. Everything in it is PROT_NONE and empty while it is free.
struct vm__cell {
	uint8_t *base;
	struct vm__cell *next;
};
struct vm__cell *vm__cell_get(struct vm_shard *s);
// `used`: bytes from base that may have been mapped. A cell that can't be emptied is never used again.
void vm__cell_put(struct vm_shard *s, struct vm__cell *c, uint64_t used);
void vm__cells_describe(struct buf *out);
// All cells of a shard that ends go to the process's list.
void vm__cells_give_back(struct vm_shard *s);

// For what threads share and rarely touch. Held for a few instructions.
void vm__process_lock(void);
void vm__process_unlock(void);

// ---- signatures --------------------------------------------------------------------------------------------------
struct vm__sig {
	uint32_t type_id;
	const struct wasm_func_type *type;
	struct abi_sig abi;
	bool direct;       // every parameter in a general register, in order: the register array is the argument array
	uint8_t result;    // enum vm__result
};
enum vm__result { VM__RESULT_NONE, VM__RESULT_INT, VM__RESULT_F32, VM__RESULT_F64, VM__RESULT_V128, VM__RESULT_POINTER };

// ---- shard -------------------------------------------------------------------------------------------------------
enum { VM__CHARGED = 8 };
struct vm_shard {
	struct abi_exec exec;
	uintptr_t stack_limit;  // the real one; exec.stack_limit may be UINTPTR_MAX for a while
	struct vm_fiber *current;
	struct vm__exit *exits;  // of the stack that runs
	struct vm_store *owner;  // of whose memory page faults are now; one of the charged, or NULL
	bool owns;               // what runs made it so: it is a store that lives as long as what runs is in it
	// Those that were the owner since faults_read: a fault meanwhile may be each one's.
	struct vm_store *charged[VM__CHARGED];
	uint32_t ncharged;
	uint64_t faults_read;
	uintptr_t thread_low, thread_high;  // the thread's own stack
	// the watchdog's view; see watchdog.c
	_Atomic uint64_t switches;  // changes at each switch; odd while a fiber runs
	int tid, cpu_clock;
	struct vm_shard *next_shard;
	uint64_t watch_seen, watch_cpu;  // the watchdog's own: the last turn it saw, the thread's CPU time since when it counts it
	// CPU clock
	uint64_t cpu_read;  // thread CPU time when it was last read
	// pools
	struct vm__cell *cells;
	struct vm_fiber *free_fibers[VM__STACK_KINDS], *live_fibers;
	struct vm__fiber_walk *fiber_walks;
	uint32_t nfree_fibers[VM__STACK_KINDS];
	struct vm__sig **sigs;  // open addressing by type id
	uint32_t nsigs, sigs_cap;
	void *altstack;
	void (*on_preempted)(struct vm_fiber *f, void *arg);
	void *on_preempted_arg;
	// traps
	struct vm_trap_info info;
	const struct code_object *frame_code[VM_BACKTRACE_MAX];
	enum trap pending;       // the trap that the last vm_call returned, until the next vm_call
	enum trap message_trap;  // vm_trapf was called for it
	char message[256];
};
extern _Thread_local struct vm_shard *vm__shard;

struct vm__sig *vm__sig_of(struct vm_shard *s, uint32_t type_id);

// ---- store -------------------------------------------------------------------------------------------------------
struct vm_memory {
	struct abi_memory abi;
	struct wasm_memory_type type;
	struct vm_store *store;
	struct vm_memory *next;
	struct vm__shared *shared;  // whose memory it is, of a shared one; its `store` is NULL, and it is in no store's list
	bool of_heap;               // no guest's: the blocks of objects, whose length no reset takes back
	struct vm__cell *cell;  // NULL: it lies in a span of its own
	uint64_t reserved;      // bytes from base that are this memory's, accessible or not; of a cell all that an access can name
	uint64_t high;          // bytes from base that were ever accessible, up to a page's end: all its pages lie there
	// slot: the image's part, and the private pages known (ascending), with requests since each last differed
	uint64_t image_length;
	const uint8_t *image;      // what the first image_length bytes must be
	const uint8_t *nonzero;    // bitmap of pages
	struct vm__page *pages;
	uint32_t npages, pages_cap;
};
struct vm__shared {
	struct vm_memory memory;
	_Atomic uint32_t refs;   // stores that have it
	struct sys_mutex lock;   // of what grows
	struct account account;
};
struct vm__sharing {
	struct vm__shared *shared;
	struct vm__sharing *next;
};
struct vm__page {
	uint32_t page;
	uint32_t age;
};
struct vm_table {
	struct abi_table abi;
	struct wasm_table_type type;
	const struct wasm_module *m;
	struct vm_store *store;
	struct vm_table *next;
	uint64_t cap;
};
struct vm_global {
	struct wasm_global_type type;
	const struct wasm_module *m;
	void *cell;  // 16 bytes
	struct vm_global *next;
	uint64_t own[2];  // of a host's global
};
struct vm_tag {
	uint32_t type_id;
	const struct wasm_func_type *type;
	uint32_t cells;  // of the values
};
// Where guest code called a host function that has not returned, innermost first; on the stack of the call. `frame`: the stub's, behind which so many cells
// of parameters lie.
struct vm__exit {
	struct vm__exit *outer, *next_found;  // next_found: the collector's
	const struct vm_store *store;
	uintptr_t frame;
	uint64_t cells;
};
struct vm__heap;
// kept.c
struct vm__exception;
struct vm__exception_chunk;
// One on its way to a handler, on the stack of who takes it there.
struct vm__flight {
	struct vm__exception *exception;
	struct vm__flight *next;
};
struct vm__exceptions {
	struct vm__exception_chunk **chunks;  // by number; NULL: a hole
	uint32_t n_chunks, cap_chunks, hole;  // hole: there is none before it
	uint32_t free, kept;                  // free: a number; 0: there is none
	uint32_t looks;  // begun
	uint64_t collect_at;
	struct vm__flight *flights;
};
struct vm__host {
	struct abi_vmctx ctx;  // first: r13 points to it
	uint64_t pop;          // ORDER host pop: bytes of stack parameters
	struct vm__sig *sig;
	vm_host_fn fn;
	void *data;
	struct vm_store *store;
	const char *name;
	struct vm__host *next;
};
struct vm_instance {
	struct vm_store *store;
	struct vm_module *mod;
	struct code_object *code;  // the version of the module's that it is linked to; counted
	uint32_t code_version;
	struct abi_vmctx *ctx;
	struct vm_instance *next;
	uint32_t *func_refs;
	struct vm_memory **memories;
	struct vm_table **tables;
	struct vm_global **globals;
	const struct vm_tag **tags;
	uint32_t **elem_refs;  // by segment, of those whose expressions make objects, once they have; NULL: there is none
	uint8_t *dropped;  // bits: elems, then data
	uint32_t dropped_size;
};
struct vm_store {
	struct vm_shard *shard;
	struct vm_limits limits;
	struct arena arena;
	struct abi_func *funcs;
	uint32_t nfuncs, funcs_cap;
	bool poisoned, segments_dirty, huge;  // huge: vm_store_prefer_huge
	bool lists;  // the reset that goes on lists private pages anew
	struct account account;
	uint64_t own_used;  // of the account: memories and tables, which an image restores
	uint64_t table_elements;
	uint64_t records;   // bytes of what stands for functions, globals, instances (vm_store_charge_records)
	uint32_t nmemories;  // of guests
	struct vm__exceptions exceptions;
	struct vm__heap *heap;  // of objects; NULL: no module has types of any
	// in order of creation
	struct vm_instance *instances, **instances_end;
	struct vm_memory *memories, **memories_end;
	struct vm__sharing *shared;  // a store that has some is never an image or a slot
	struct vm_table *tables, **tables_end;
	struct vm_global *globals, **globals_end;
	struct vm__host *hosts;
	void *owner;
	// slot
	struct vm_image *image;
	uint32_t image_epoch;
	uint64_t faults;  // page faults since the last listing of private pages
	uint32_t named;   // suspended fibers that keep it as the one to charge
	uint64_t mean_differing;  // times 16
	struct vm_reset_stats stats;
	// what goes on in pieces: the memory, and the place in it (of a reset in its list of pages, of shedding in bytes)
	struct vm__pieces {
		bool begun;
		struct vm_memory *m;
		uint64_t at;
		uint64_t dropped;  // of a reset: bytes of blocks beyond those that are kept, which were given back
	} resetting, shedding;
};
NODISCARD bool vm__charge(struct vm_store *st, uint64_t bytes);
void vm__uncharge(struct vm_store *st, uint64_t bytes);
// Room for n more functions.
NODISCARD bool vm__funcs_room(struct vm_store *st, uint32_t n, struct err *e);
NODISCARD bool vm__func_add(struct vm_store *st, struct abi_func f, uint32_t *ret, struct err *e);
void vm__memory_release(struct vm_memory *m);
// A memory of the store's own, in address space that was reserved before, with a page that is never accessible behind it: images and resets know it as any
// other. It is unmapped with the store. / Makes its first bytes accessible.
void vm__memory_adopt(struct vm_store *st, struct vm_memory *m, uint8_t *base, uint64_t reserved);
NODISCARD bool vm__memory_extend(struct vm_memory *m, uint64_t length);
void vm__shared_unref(struct vm__shared *s, struct vm_shard *shard);
// A memory's length in whole pages of the system's: what is mapped, and what an image has of it. Bytes beyond the length are zero.
static inline uint64_t vm__in_pages(uint64_t length)
{
	return align_up_u64(length, SYS_PAGE);
}

// What is left of a data segment. false: no memory to look at it.
bool vm__data_bytes(const struct vm_instance *inst, uint32_t data, struct slice *ret);

// Page faults from now on are this store's, and perhaps those of a few others: the counter is read by a system call, when one of them is reset or they are too
// many, and a page fault that is not its own costs a store a listing.
void vm__own_slow(struct vm_shard *s, struct vm_store *st);
static inline void vm__own(struct vm_shard *s, struct vm_store *st)
{
	s->owns = true;
	if (UNLIKELY(s->owner != st))
		vm__own_slow(s, st);
}

// The counter is read: nobody is charged with earlier faults from here on. `st`: is it one of those that are?
void vm__faults_settle(struct vm_shard *s);
bool vm__is_charged(const struct vm_shard *s, const struct vm_store *st);

static inline bool vm__bit(const uint8_t *bits, uint32_t i)
{
	return bits[i / 8] >> (i % 8) & 1;
}
static inline void vm__bit_set(uint8_t *bits, uint32_t i)
{
	bits[i / 8] |= (uint8_t)(1 << i % 8);
}

static inline bool vm__fits(uint64_t offset, uint64_t n, uint64_t length)
{
	return offset <= length && n <= length - offset;
}
// table.grow in pieces: room for all (false: there is none), then the elements, which must not be more than that.
bool vm__table_make_room(struct vm_table *t, uint64_t delta);
void vm__table_extend(struct vm_table *t, uint64_t n, uint32_t init);
// pieces.c
#define VM__PIECE (1u << 20)  // bytes
#define VM__PIECE_ELEMENTS (1u << 16)
enum trap vm__between_pieces(struct abi_vmctx *ctx);
enum trap vm__move_pieces(struct abi_vmctx *ctx, uint8_t *to, const uint8_t *from, uint64_t n);
// n copies of a value of so many bytes (a power of 2, at most 16).
enum trap vm__fill_pieces(struct abi_vmctx *ctx, uint8_t *to, const void *value, uint32_t size, uint64_t n);
// Work that goes on over many small things (references, words, records: what takes nanoseconds). Each VM__PACE of them others get their turn, if they wait for
// one; the store is held meanwhile. false: the call is to end, `stop` says why.
#define VM__PACE 4096u
struct vm__pace {
	struct vm_shard *shard;
	uint32_t work;
	enum trap stop;
};
bool vm__pace_slow(struct vm__pace *p);
static inline bool vm__worked(struct vm__pace *p, uint32_t n)
{
	p->work += n;
	return LIKELY(p->work < VM__PACE) || vm__pace_slow(p);
}
// objects.c: what generated code calls (libcalls.def)
uint32_t vm__call_struct_new(struct abi_vmctx *ctx, uint32_t type);
uint32_t vm__call_array_new(struct abi_vmctx *ctx, uint32_t type, uint32_t n);
uint32_t vm__call_array_new_data(struct abi_vmctx *ctx, uint32_t type, uint32_t data, uint32_t src, uint32_t n);
uint32_t vm__call_array_new_elem(struct abi_vmctx *ctx, uint32_t type, uint32_t elem, uint32_t src, uint32_t n);
uint32_t vm__call_array_set_all(struct abi_vmctx *ctx, uint32_t ref, uint64_t cells);
uint32_t vm__call_array_fill(struct abi_vmctx *ctx, uint32_t ref, uint32_t i, uint64_t cells, uint32_t n);
uint32_t vm__call_array_copy(struct abi_vmctx *ctx, uint32_t dst, uint32_t i, uint32_t src, uint32_t k, uint32_t n);
uint32_t vm__call_array_init_data(struct abi_vmctx *ctx, uint32_t data, uint32_t ref, uint32_t i, uint32_t src, uint32_t n);
uint32_t vm__call_array_init_elem(struct abi_vmctx *ctx, uint32_t elem, uint32_t ref, uint32_t i, uint32_t src, uint32_t n);
uint32_t vm__call_func_is(struct abi_vmctx *ctx, uint32_t type, uint32_t null, uint32_t func);
// Instances whose module has other code by now are linked to it. No call is in the store.
void vm__relink_slow(struct vm_store *st);
static inline void vm__relink(struct vm_store *st)
{
	for (const struct vm_instance *i = st->instances; i; i = i->next) {
		if (UNLIKELY(i->code_version != __atomic_load_n(&i->mod->code_version, __ATOMIC_RELAXED))) {
			vm__relink_slow(st);
			return;
		}
	}
}

// ---- entry_x64.c -------------------------------------------------------------------------------------------------
struct vm__regs {
	uint64_t gpr[6];   // ORDER regs
	uint64_t xmm[8][2];
	uint64_t *stack;   // cells, an even number
	uint64_t nstack;
	uint64_t result, vector_result[2];
};
enum trap vm__enter(struct abi_vmctx *ctx, const void *code, struct vm__regs *regs, struct abi_exec *exec);
// Where unwinding of the innermost entry goes on; the stack pointer must be exec->entry_sp.
extern const char vm__pad[];
// Where functions return that were called by tail calls out of an instance.
void vm__tail_return(struct abi_vmctx *ctx);
void vm__switch(void **save, void *to);
void *vm__switch_prepare(void *stack_top, void (*fn)(void));

// ---- stubs_x64.c -------------------------------------------------------------------------------------------------
void vm__host_stub(void);
void vm__preempt_stub(void);
// Which vector registers there are to be saved: once a process, before any stub runs.
void vm__xstate_probe(void);
void vm__raise(struct abi_vmctx *ctx, uint32_t trap);

struct vm__host_regs {
	uint64_t gpr[6], xmm[8][2];  // results come back in gpr[0], xmm[0]
};
// called by the stubs
uint32_t vm__host_dispatch(struct vm__host *h, struct vm__host_regs *r, uint64_t *stack);
struct abi_exec *vm__trap_raised(struct abi_vmctx *ctx, uint32_t trap, uint64_t pc, uint64_t frame);
struct abi_exec *vm__interrupted(uint64_t pc, uint64_t frame);
extern const struct abi_libcalls vm__libcalls;

// ---- atomic.c ------------------------------------------------------------------------------------------------------
// What generated code calls. `address` counts from the memory's first byte.
uint32_t vm__atomic_wait(struct abi_vmctx *ctx, uint32_t memory, uint64_t address, unsigned size, uint64_t expected, uint64_t timeout);
uint32_t vm__atomic_notify(struct abi_vmctx *ctx, uint32_t memory, uint64_t address, uint32_t count);

// ---- exceptions ----------------------------------------------------------------------------------------------------
// What generated code calls (libcalls.def), in assembly: it leaves the guest's registers in a struct vm__unwind, and takes what is left there to go on.
void vm__throw_entry(struct abi_vmctx *ctx, uint32_t tag, uint64_t cells);
void vm__throw_ref_entry(struct abi_vmctx *ctx, uint32_t exception);
struct vm__unwind {
	uint64_t saved[3], frame, pc;     // ORDER unwind; saved: the preserved registers that code.h numbers
	struct abi_vmctx *ctx;
	uint64_t sp, exception;           // exception: a reference, or 0
};
// TRAP_NONE: *u is of the frame that goes on, at its handler.
uint32_t vm__throw(struct abi_vmctx *ctx, uint32_t tag, const uint64_t *cells, struct vm__unwind *u);
uint32_t vm__throw_ref(struct abi_vmctx *ctx, uint32_t ref, uint64_t unused, struct vm__unwind *u);
// Before the store is reset or freed. No guest is in it.
void vm__exceptions_clear(struct vm_store *st);

// ---- traps -------------------------------------------------------------------------------------------------------
// Notes trap, message, frames (signal-safe). `pc` in guest code or 0, `frame`: the innermost frame's pointer.
void vm__trap_note(struct vm_shard *s, enum trap t, uint64_t pc, uint64_t frame, uint64_t address);
// Where the function returns that has this frame, and pc in it (0: it is not known): what lies above its parameters, where a tail call put that there.
uint64_t vm__return_of(uint64_t pc, uint64_t frame, uint64_t high);
// vm_call is about to return `t` from a call into `st`.
enum trap vm__trap_finish(struct vm_store *st, enum trap t);

struct vm__meter {
	struct vm_budget budget;
	uint64_t cpu_used;  // up to the last switch
};
// ---- fibers and interruption -------------------------------------------------------------------------------------
struct vm_fiber {
	struct vm_shard *shard;
	struct vm_fiber *next;  // in the pool
	struct vm_fiber *next_live, **live_at;  // among all that are not
	uint8_t kind;           // VM__STACK_…
	uint8_t *mapped;        // guard, then stack
	uintptr_t low, high;    // usable stack
	void *sp;      // saved while it does not run
	void *resumer_sp;
	struct vm_fiber *resumer;
	enum vm_fiber_state state;
	_Atomic uint32_t kill;  // enum trap
	void (*fn)(void *arg);
	void *arg;
	// what abi_exec holds while it runs
	void *entry_sp;
	uintptr_t stack_limit;
	struct vm_store *owner;  // while it is suspended: what it charges page faults to, counted in `named` there; else NULL
	uint64_t libcall_result;
	void *task;
	uint64_t context[2];
	struct vm__exit *exits, *resumer_exits;
	struct vm__meter own, *meter;  // another's where it shares that
	uint64_t run_since;  // CLOCK_MONOTONIC of the last switch to it
	uint64_t preemptions;
	struct vm__sanitizer {
		void *fiber, *resumer;  // TSan
		void *fake, *resumer_fake;
		const void *resumer_low;
		size_t resumer_size;
	} san;
};
// Over the live fibers, some of which may come and go while it gives way.
struct vm__fiber_walk {
	struct vm_fiber *next;
	struct vm__fiber_walk *outer;
};
void vm__fiber_walk_begin(struct vm_shard *s, struct vm__fiber_walk *w);
struct vm_fiber *vm__fiber_walk_next(struct vm__fiber_walk *w);
void vm__fiber_walk_end(struct vm_shard *s, struct vm__fiber_walk *w);
// Of what runs now: [low, high).
static inline void vm__stack_bounds(const struct vm_shard *s, uintptr_t *low, uintptr_t *high)
{
	*low = s->current ? s->current->low : s->thread_low;
	*high = s->current ? s->current->high : s->thread_high;
}
static inline bool vm__in_stack_guard(const struct vm_shard *s, uintptr_t addr)
{
	return s->current && addr < s->current->low && addr >= (uintptr_t)s->current->mapped;
}
// What ends the current fiber now: its kill reason, or a spent budget (which becomes the reason). TRAP_NONE: go on.
enum trap vm__fiber_check(struct vm_shard *s);
// What passes between the two is charged to nobody.
void vm__fiber_charge_now(struct vm_shard *s);
void vm__fiber_charge_from_now(struct vm_shard *s);
// A turn ends: what ends the call, before or after others had theirs; TRAP_NONE: go on. (On the thread's own stack: at once.)
enum trap vm__fiber_give_way(struct vm_shard *s);
void vm__fibers_release(struct vm_shard *s);

NODISCARD bool vm__watchdog_add(struct vm_shard *s, struct err *e);
void vm__watchdog_remove(struct vm_shard *s);
void vm__watchdog_wake_slow(void);
extern _Atomic bool vm__watchdog_asleep;
// After the turn was counted (count_switch): the watchdog raises the flag, waits for a tick, in which the count has reached it, and looks once more. Whose
// thread was put off between the two would run unseen else.
static inline void vm__watchdog_wake(void)
{
	atomic_signal_fence(memory_order_seq_cst);
	if (UNLIKELY(atomic_load_explicit(&vm__watchdog_asleep, memory_order_relaxed)))
		vm__watchdog_wake_slow();
}

// ---- images and reset --------------------------------------------------------------------------------------------
struct vm__image_memory {
	uint64_t length, offset;  // of the memory; in the memfd
	uint8_t *nonzero;
};
struct vm__image_table {
	uint64_t length;
	uint32_t *elems;
};
// Of objects: records and marks of all blocks, as a collection left them. The blocks themselves are a memory.
struct vm__block;
struct vm__image_heap {
	uint32_t types_end, nblocks, used;
	uint64_t live;
	const uint32_t *partial;
	const struct vm__block *blocks;
	const uint64_t *marks;
};
struct vm_image {
	_Atomic uint32_t refs;
	struct arena arena;
	_Atomic int fd;
	int old_fd;  // of the file whose place a memfd took (vm_image_seal); -1
	_Atomic uint32_t epoch;  // changes when fd does: stores attached before are not reset any more
	uint64_t size, nonzero_bytes;  // of all memories
	const uint8_t *map;  // the memories one after the other, read-only; NULL if size is 0
	uint64_t data_offset;  // of the memories in fd; 0 unless it was opened from a file
	const uint8_t *file;   // mapping of all of fd, then; what is not memory is read there, too
	struct slice extra;
	uint32_t nmemories, ntables, nfuncs;
	struct vm__image_memory *memories;
	struct vm__image_table *tables;
	uint8_t *globals;   // instances' globals, then the host's, one after the other
	uint64_t globals_size;
	uint8_t *dropped;
	uint64_t dropped_size;
	uint64_t used, table_elements;
	struct vm__image_heap heap;
	bool any_dropped;
};
// Writes globals, tables, dropped bits of the image into the store. `only_dirty`: tables whose dirty flag is clear are skipped.
bool vm__image_load_rest(struct vm_store *st, const struct vm_image *img, bool only_dirty);
// Calls fn for each run of pages of a memory that are not zero, in order, until it returns false.
bool vm__image_runs(const struct vm__image_memory *m, bool (*fn)(void *arg, uint64_t offset, uint64_t size), void *arg);
void vm__reset_probe(struct buf *why);
void vm__reset_check(struct vm_store *st);
extern enum vm_reset_method vm__reset_method;

#endif
