// Inside room vm. Which file does what: process.c (init, shard), cell.c (address space), store.c (stores, memories, tables, globals),
// instance.c (linking, initialisation), call.c (into guests, into host functions), entry_x64.c (the assembly), trap.c (signals,
// backtraces), libcall.c (what generated code calls), fiber.c (stacks, switches, budgets), watchdog.c (interruption), image.c, reset.c.
#ifndef TENON_VM_INT_H
#define TENON_VM_INT_H

#include <stdatomic.h>

#include "vm.h"

#include "code/code.h"
#include "sys/sys.h"

#define VM__GIB (1ull << 30)
#define VM__CELL_SIZE (6 * VM__GIB)  // 4 for the index, 2 for offsets; the next cell's rear half is not needed: its own guard begins at once
#define VM__FRONT_GUARD (2 * VM__GIB)
#define VM__WASM_PAGE 65536u
#define VM__MAX_CELLS 2001u  // 1,000 parameters of two cells and the hidden one (L58)
#define VM__STACK_GUARD (1u << 20)    // below every fiber's stack
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
bool vm__cells_probe(struct buf *why);
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
struct vm_shard {
	struct abi_exec exec;
	uintptr_t stack_limit;  // the real one; exec.stack_limit may be UINTPTR_MAX for a while
	struct vm_fiber *current;
	struct vm_store *owner;  // to whom page faults are charged since faults_read
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
	struct vm_fiber *free_fibers;
	uint32_t nfree_fibers;
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
	struct vm__cell *cell;
	uint64_t high;  // bytes from base that were ever accessible: all its pages lie there
	// slot: the image's part, and the private pages known (ascending), with requests since each last differed
	uint64_t image_length;
	const uint8_t *image;      // what the first image_length bytes must be
	const uint8_t *nonzero;    // bitmap of pages
	struct vm__page *pages;
	uint32_t npages, pages_cap;
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
	uint8_t *dropped;  // bits: elems, then data
	uint32_t dropped_size;
};
struct vm_store {
	struct vm_shard *shard;
	struct vm_limits limits;
	struct arena arena;
	struct abi_func *funcs;
	uint32_t nfuncs, funcs_cap;
	bool poisoned, segments_dirty;
	struct account account;
	uint64_t own_used;  // of the account: memories and tables, which an image restores
	uint64_t table_elements;
	// in order of creation
	struct vm_instance *instances, **instances_end;
	struct vm_memory *memories, **memories_end;
	struct vm_table *tables, **tables_end;
	struct vm_global *globals, **globals_end;
	struct vm__host *hosts;
	void *owner;
	// slot
	struct vm_image *image;
	uint32_t image_epoch;
	uint64_t faults;  // page faults since the last listing of private pages
	uint64_t mean_differing;  // times 16
	struct vm_reset_stats stats;
};
NODISCARD bool vm__charge(struct vm_store *st, uint64_t bytes);
NODISCARD bool vm__func_add(struct vm_store *st, struct abi_func f, uint32_t *ret, struct err *e);
bool vm__memory_grow_to(struct vm_memory *m, uint64_t length);
NODISCARD bool vm__memory_new(struct vm_store *st, const struct wasm_memory_type *type, struct vm_memory **ret, struct err *e);

// Page faults from now on are this store's.
void vm__own_slow(struct vm_shard *s, struct vm_store *st);
static inline void vm__own(struct vm_shard *s, struct vm_store *st)
{
	if (UNLIKELY(s->owner != st))
		vm__own_slow(s, st);
}

static inline bool vm__bit(const uint8_t *bits, uint32_t i)
{
	return bits[i / 8] >> (i % 8) & 1;
}
static inline void vm__bit_set(uint8_t *bits, uint32_t i)
{
	bits[i / 8] |= (uint8_t)(1 << i % 8);
}

// ---- entry_x64.c -------------------------------------------------------------------------------------------------
struct vm__regs {
	uint64_t gpr[6];   // ORDER regs
	uint64_t xmm[8][2];
	uint64_t *stack;   // cells, an even number
	uint64_t nstack;
	uint64_t rax, xmm0[2];  // results
};
enum trap vm__enter(struct abi_vmctx *ctx, const void *code, struct vm__regs *regs, struct abi_exec *exec);
// Where unwinding of the innermost entry goes on; rsp must be exec->entry_sp.
extern const char vm__pad[];
void vm__host_stub(void);
void vm__preempt_stub(void);
// Which vector registers there are to be saved: once a process, before any stub runs.
void vm__xstate_probe(void);
void vm__raise(struct abi_vmctx *ctx, uint32_t trap);
void vm__switch(void **save, void *to);
void *vm__switch_prepare(void *stack_top, void (*fn)(void));

struct vm__host_regs {
	uint64_t gpr[6], xmm[8][2];  // results come back in gpr[0], xmm[0]
};
// called by the stubs
uint32_t vm__host_dispatch(struct vm__host *h, struct vm__host_regs *r, uint64_t *stack);
struct abi_exec *vm__trap_raised(struct abi_vmctx *ctx, uint32_t trap, uint64_t pc, uint64_t rbp);
struct abi_exec *vm__interrupted(uint64_t pc, uint64_t rbp);
extern const struct abi_libcalls vm__libcalls;
// Writes n references of an element segment into a table; checks first, writes then.
enum trap vm__table_init(struct vm_instance *inst, struct vm_table *t, uint32_t elem, uint64_t dst, uint64_t src, uint64_t n);
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
// The value's cells, the second 0 where it has one only. false: memory is out.
bool vm__const_eval(const struct vm_instance *inst, const struct wasm_const_expr *x, uint64_t ret[2]);

// ---- traps -------------------------------------------------------------------------------------------------------
// Notes trap, message, frames (signal-safe). `pc` in guest code or 0, `rbp` of the innermost frame.
void vm__trap_note(struct vm_shard *s, enum trap t, uint64_t pc, uint64_t rbp, uint64_t address);
// vm_call is about to return `t` from a call into `st`.
enum trap vm__trap_finish(struct vm_store *st, enum trap t);

// ---- fibers and interruption -------------------------------------------------------------------------------------
struct vm_fiber {
	struct vm_shard *shard;
	struct vm_fiber *next;  // in the pool
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
	struct vm_store *owner;
	uint64_t libcall_result;
	void *task;
	uint64_t context[2];
	struct vm_budget budget;
	uint64_t cpu_used;   // up to the last switch
	uint64_t run_since;  // CLOCK_MONOTONIC of the last switch to it
	uint64_t preemptions;
	struct vm__sanitizer {
		void *fiber, *resumer;  // TSan
		void *fake, *resumer_fake;
		const void *resumer_low;
		size_t resumer_size;
	} san;
};
// Of what runs now: [low, high).
static inline void vm__stack_bounds(const struct vm_shard *s, uintptr_t *low, uintptr_t *high)
{
	*low = s->current ? s->current->low : s->thread_low;
	*high = s->current ? s->current->high : s->thread_high;
}
static inline bool vm__in_stack_guard(const struct vm_shard *s, uintptr_t addr)
{
	return s->current && addr < s->current->low && addr >= s->current->low - VM__STACK_GUARD;
}
// What ends the current fiber now: its kill reason, or a spent budget (which becomes the reason). TRAP_NONE: go on.
enum trap vm__fiber_check(struct vm_shard *s);
// A turn ends: what ends the call, before or after others had theirs; TRAP_NONE: go on. (On the thread's own stack: at once.)
enum trap vm__fiber_give_way(struct vm_shard *s);
void vm__fibers_release(struct vm_shard *s);

void vm__watchdog_add(struct vm_shard *s);
void vm__watchdog_remove(struct vm_shard *s);
void vm__watchdog_wake_slow(void);
extern _Atomic bool vm__watchdog_asleep;
static inline void vm__watchdog_wake(void)
{
	if (UNLIKELY(atomic_load_explicit(&vm__watchdog_asleep, memory_order_relaxed)))
		vm__watchdog_wake_slow();
}
NODISCARD bool vm__watchdog_init(struct err *e);

// ---- images and reset --------------------------------------------------------------------------------------------
struct vm__image_memory {
	uint64_t length, offset;  // of the memory; in the memfd
	uint8_t *nonzero;
};
struct vm__image_table {
	uint64_t length;
	uint32_t *elems;
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
