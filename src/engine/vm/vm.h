// Room vm: runs compiled modules. Stores, instances, memories, tables, traps, fibers, images, slots, reset, budgets.
//
// The rules of the game:
//  1. A shard is one thread. A store, its instances and its fibers belong to one shard and are used on its thread only; what other
//     threads may call says so. Modules and images are immutable, refcounted (atomically) and shared by shards.
//  2. A store is what lives and dies together: instances, function array, memories, tables, globals, and one memory account.
//  3. A trap unwinds the guest frames of one entry (vm_call) and nothing else: vm_call returns it as a value to its C caller, which
//     returns as any C function does. A host function that got one from vm_call usually returns it. No C frame is ever abandoned.
//  4. Guest memory is written on the shard's own thread, by the guest or by host code on its behalf. Who writes into a memory of a
//     store other than the one whose guest called (or is being called) says so by vm_store_touch *before* it writes.
//  5. References are indices: of functions into the store's function array, of externs numbers of the host's (vm_externref), of exceptions into a list of the
//     store's, of objects places in its heap; null is 0. What a host function got stays what it is until it calls a guest or parks: a host that keeps one of
//     an exception or an object does so in a global or a table of that type.
//  6. Values cross as uint64_t cells: i32 and f32 zero-extended, i64 and f64 as their bits, references zero-extended; a v128 takes two, low half
//     first (abi.h R9), in arrays of arguments and results one after the other.
//  7. A killed or trapped store is not reset but freed and made anew.
#ifndef TENON_VM_H
#define TENON_VM_H

#include "abi/abi.h"
#include "base/base.h"
#include "wasm/wasm.h"

struct code_object;
struct vm_shard;
struct vm_store;
struct vm_instance;
struct vm_memory;
struct vm_table;
struct vm_global;
struct vm_tag;
struct vm_fiber;
struct vm_image;

// ---- process ----------------------------------------------------------------------------------------------------
// Once a process (any thread; later calls do nothing): signal handlers, probing of address space, self-test of the reset methods.
NODISCARD bool vm_process_init(struct err *e);
// The signal handlers alone, again: test frameworks (cmocka) put their own in place before each test.
NODISCARD bool vm_process_handle_signals(struct err *e);  // for tests
// What was chosen, a few lines "key: value", for `tenon --version -v`.
void vm_process_describe(struct buf *out);
// Is there address space for memories in cells of 6 GiB? If not all memories lie in spans as long as they may become, and code must check every access
// (baseline_options.check_memories): vm_module_new refuses other code. Found once a process. vm_process_set_cells is for tests, before any module is made.
bool vm_process_has_cells(void);
void vm_process_set_cells(bool has);
// The ways of resetting, best first; the first that the self-test finds working is used. vm_process_set_reset_method is for tests and benches
// (process-wide, before stores are attached to images).
enum vm_reset_method { VM_RESET_GATED_SCAN, VM_RESET_SCAN, VM_RESET_PAGEMAP, VM_RESET_DISCARD };
enum vm_reset_method vm_process_reset_method(void);
void vm_process_set_reset_method(enum vm_reset_method m);  // for tests

// ---- shard ------------------------------------------------------------------------------------------------------
// Made on the thread that will use it; at most one a thread.
NODISCARD bool vm_shard_new(struct vm_shard **ret, struct err *e);
void vm_shard_free(struct vm_shard *s);
struct vm_shard *vm_shard_current(void);  // for tests
// From now on it is collected each time an object is made (rule 5 and maps of frames are put to the test).
void vm_process_set_collect_always(bool always);
// Host code that works for a guest gives way at each look whether it should, until this is taken back.
void vm_process_set_give_way_always(bool always);  // for tests
struct abi_exec *vm_shard_exec(struct vm_shard *s);
// Called on the shard's thread, by the resumer's stack, when a fiber was preempted and wants to be resumed by and by.
// (vm_fiber_resume returns VM_FIBER_PREEMPTED as well: queue it in one of the two places.)
void vm_shard_set_on_preempted(struct vm_shard *s, void (*fn)(struct vm_fiber *f, void *arg), void *arg);  // for tests

// ---- module -----------------------------------------------------------------------------------------------------
struct vm_module {
	const struct wasm_module *m;
	struct code_object *code;  // the version that instances get from now on (vm_module_set_code); to be read by vm only
	uint32_t code_version;     // counts them, atomic
	struct abi_layout layout;
	uint32_t *type_ids;        // module type index → canonical id
	uint32_t refs;             // atomic
	void (*drop)(void *arg);   // called with the last reference: the owner of m lets it go
	void *drop_arg;
};
// `m` must live until `drop` is called (drop may be NULL). Takes a reference of its own on the code.
NODISCARD bool vm_module_new(const struct wasm_module *m, struct code_object *code, void (*drop)(void *arg), void *drop_arg, struct vm_module **ret,
	struct err *e);
struct vm_module *vm_module_ref(struct vm_module *m);  // for tests
void vm_module_unref(struct vm_module *m);
// From any thread: other code of the same module. Instances that are allocated from now on run it; a slot from its next reset on, since no call is
// in it then. What runs goes on in the code that it runs, which lives as long as an instance is linked to it. Takes a reference.
void vm_module_set_code(struct vm_module *m, struct code_object *code);

// ---- store ------------------------------------------------------------------------------------------------------
struct vm_limits {
	uint64_t memory;          // bytes: memories, tables and what else is charged to vm_store_account; UINT64_MAX: none
	uint64_t table_elements;  // of all tables together
	uint64_t stack;           // bytes a guest may use of a stack (at most 1 MiB on fibers)
	uint32_t memories;        // of all instances together: their address space is the process's, which has a few thousand cells; 0: none is refused
	bool survives_traps;      // false: a trap poisons the store, every later vm_call returns TRAP_POISONED
	bool may_block;           // memory.atomic.wait may block the thread of the shard, and trap where it may not
};
// 256 MiB, 1,000,000, 1 MiB, 256, poisoned by traps.
#define VM_LIMITS_DEFAULT ((struct vm_limits){.memory = 256u << 20, .table_elements = 1000000, .stack = 1u << 20, .memories = 256})

NODISCARD bool vm_store_new(struct vm_shard *s, const struct vm_limits *limits, struct vm_store **ret, struct err *e);
// Frees all instances, host functions, memories... of it. No fiber may be inside. Its cells go back to the shard.
void vm_store_free(struct vm_store *st);
// Its memories get huge pages where the system has them, from here on, and what they grow by is there without a fault for each page: for a store that goes when
// it was used once (a command's; one that an image is taken of), never for a slot, whose resets count on a fault for each page.
void vm_store_prefer_huge(struct vm_store *st);
struct vm_shard *vm_store_shard(const struct vm_store *st);  // for tests
bool vm_store_is_poisoned(const struct vm_store *st);  // for tests
void vm_store_poison(struct vm_store *st);
// The memory account: memories, tables and what the host holds on behalf of the store.
struct account *vm_store_account(struct vm_store *st);
// Before so many bytes are allocated that stand for functions, globals, instances and the like as long as the store lives: a module makes some 90 bytes of
// them of 5, and a component may have it ten thousand times. All but the first MiB of a store's are charged to its account. ERR_LIMIT.
NODISCARD bool vm_store_charge_records(struct vm_store *st, uint64_t bytes, struct err *e);
uint64_t vm_store_memory_used(const struct vm_store *st);
uint64_t vm_store_memory_peak(const struct vm_store *st);  // since the last reset
// The host is about to write into a memory of this store though its guest is not the one that runs (rule 4): page faults from now on are its, or its pages
// are all looked at at its next reset.
void vm_store_touch(struct vm_store *st);
// Whatever its owner (canon) wants to find from a store.
void vm_store_set_owner(struct vm_store *st, void *owner);
void *vm_store_owner(const struct vm_store *st);  // for tests

// ---- externs ----------------------------------------------------------------------------------------------------
struct vm_extern {
	enum wasm_extern_kind kind;
	union {
		uint32_t func;  // index in the store's function array
		struct vm_memory *memory;
		struct vm_table *table;
		struct vm_global *global;
		const struct vm_tag *tag;
	};
};

// Owned by the store. Types with concrete references need the module that their indices mean, else NULL.
NODISCARD bool vm_memory_new(struct vm_store *st, const struct wasm_memory_type *type, struct vm_memory **ret, struct err *e);
NODISCARD bool vm_table_new(struct vm_store *st, const struct wasm_table_type *type, const struct wasm_module *m, uint32_t init, struct vm_table **ret,
	struct err *e);
NODISCARD bool vm_global_new(struct vm_store *st, const struct wasm_global_type *type, const struct wasm_module *m, const uint64_t *init, struct vm_global **ret,
	struct err *e);

// A tag of its own, of exceptions with the values that the function type takes (its canonical id).
NODISCARD bool vm_tag_new(struct vm_store *st, uint32_t type_id, const struct vm_tag **ret, struct err *e);  // for tests

// A shared memory (its type says so) is another store's, too, whatever its thread: it may be given to instances there, and lasts until the last of its
// stores is freed. A store that has one can't be captured or attached. false: memory is out.
NODISCARD bool vm_memory_share(struct vm_store *st, struct vm_memory *m);

// `base` never changes; `length` may after anything that runs the guest.
uint8_t *vm_memory_base(const struct vm_memory *m);  // for tests
uint64_t vm_memory_length(const struct vm_memory *m);  // for tests
// A range of guest memory as a pointer, NULL if it is out of bounds. Dead after anything that can run the guest.
static inline uint8_t *vm_memory_map(const struct abi_memory *m, uint64_t offset, uint64_t len)
{
	return offset <= m->length && len <= m->length - offset ? m->base + offset : NULL;
}
struct abi_memory *vm_memory_abi(struct vm_memory *m);
// Old size in pages, or UINT64_MAX.
uint64_t vm_memory_grow(struct vm_memory *m, uint64_t delta_pages);  // for tests
uint64_t vm_table_length(const struct vm_table *t);  // for tests
NODISCARD bool vm_table_get(const struct vm_table *t, uint64_t i, uint32_t *ret);
NODISCARD bool vm_table_set(struct vm_table *t, uint64_t i, uint32_t ref);  // for tests
uint64_t vm_table_grow(struct vm_table *t, uint64_t delta, uint32_t init);  // for tests
// As many cells as its type has.
void vm_global_get(const struct vm_global *g, uint64_t *ret);
void vm_global_set(struct vm_global *g, const uint64_t *value);  // for tests
const struct wasm_global_type *vm_global_type(const struct vm_global *g);

// ---- functions --------------------------------------------------------------------------------------------------
// A call of a host function. It may call guests (vm_call) and park (vm_fiber_park).
struct vm_call {
	struct vm_store *store;  // of the host function
	struct vm_shard *shard;
	struct abi_exec *exec;
	void *data;
	const struct wasm_func_type *type;
};
// `args` and `results` have the cells of the type (rule 6); results are to be filled unless a trap is returned. Returning TRAP_NONE goes on in the guest.
typedef enum trap (*vm_host_fn)(struct vm_call *call, const uint64_t *args, uint64_t *results);
// The type holds numeric and abstract reference types only and is interned (a copy lives in the process). `name` (a literal, or what
// outlives the store) is for messages.
NODISCARD bool vm_host_func_new(struct vm_store *st, const struct wasm_func_type *type, vm_host_fn fn, void *data, const char *name, uint32_t *ret_func,
	struct err *e);
// The same where the type is known by its canonical id (concrete references allowed).
NODISCARD bool vm_host_func_new_id(struct vm_store *st, uint32_t type_id, vm_host_fn fn, void *data, const char *name, uint32_t *ret_func, struct err *e);

// The reference to an extern of the host's own; 30 bits.
static inline uint32_t vm_externref(uint32_t number)
{
	return number << 2 | ABI_REF_HOST;
}

// Is a reference of the hierarchy of any, not null, one to that heap type: WASM_HEAP_ANY to WASM_HEAP_ARRAY?
bool vm_ref_is(const struct vm_store *st, uint32_t ref, enum wasm_heap heap);

// Calls function `func` of the store, on the stack that runs now: a fiber's, or the thread's own (then nothing interrupts it).
// args and results: the cells of the type (rule 6); results are written on TRAP_NONE only.
enum trap vm_call(struct vm_store *st, uint32_t func, const uint64_t *args, uint64_t *results);
// Canonical type id of a function / the type itself.
uint32_t vm_func_type_id(const struct vm_store *st, uint32_t func);
const struct wasm_func_type *vm_func_type(const struct vm_store *st, uint32_t func);

// ---- instances --------------------------------------------------------------------------------------------------
// Are these acceptable where the module imports? ERR_LINK "incompatible import type", with which import and what was wanted.
NODISCARD bool vm_imports_check(const struct vm_store *st, const struct vm_module *mod, const struct vm_extern *imports, uint32_t nimports, struct err *e);
// First half: memories, tables, globals, vmctx, linking; no effect that a guest could see. Imports in the module's order, checked before by
// vm_imports_check (or at link time). The instance belongs to the store. Takes a reference on the module.
NODISCARD bool vm_instance_allocate(struct vm_store *st, struct vm_module *mod, const struct vm_extern *imports, uint32_t nimports,
	struct vm_instance **ret, struct err *e);
// Second half: globals, tables' initial values, active segments in order, start function. Not called when an image is attached afterwards.
enum trap vm_instance_initialize(struct vm_instance *inst);
// The same in its parts, for plans that cut images between them: everything but the start function / the start function.
enum trap vm_instance_initialize_segments(struct vm_instance *inst);
enum trap vm_instance_start(struct vm_instance *inst);
struct vm_module *vm_instance_module(const struct vm_instance *inst);  // for tests
// The version that it is linked to.
const struct code_object *vm_instance_code(const struct vm_instance *inst);  // for tests
struct vm_store *vm_instance_store(const struct vm_instance *inst);  // for tests
struct abi_vmctx *vm_instance_vmctx(const struct vm_instance *inst);  // for tests
// Anything in the instance's index spaces / by its export's name (false: no such export).
struct vm_extern vm_instance_extern(const struct vm_instance *inst, enum wasm_extern_kind kind, uint32_t index);
bool vm_instance_export(const struct vm_instance *inst, struct slice name, struct vm_extern *ret);

// ---- traps ------------------------------------------------------------------------------------------------------
#define VM_BACKTRACE_MAX 20
struct vm_trap_frame {
	const struct vm_module *module;  // NULL: the code is of no instance of the store
	uint32_t func;                   // index in the module
	uint32_t offset;                 // in the module's bytes, of the instruction
};
// Where it happened, innermost first. The modules live as long as the store that trapped.
struct vm_frames {
	uint64_t address;  // of memory traps: offset in the memory that was missed, else UINT64_MAX
	uint32_t n;
	bool more;         // there were more frames than fit
	struct vm_trap_frame list[VM_BACKTRACE_MAX];
};
struct vm_trap_info {
	enum trap trap;
	char message[256];  // more than trap_text says, or ""
	struct vm_frames frames;
};
// Of the last vm_call on this shard that returned a trap; until the next one.
const struct vm_trap_info *vm_trap_info(const struct vm_shard *s);
// For host functions: `return vm_trapf(call->shard, TRAP_CANON, "...")`. Returns `t`.
enum trap vm_trapf(struct vm_shard *s, enum trap t, const char *fmt, ...) PRINTF_LIKE(3, 4);

// ---- fibers -----------------------------------------------------------------------------------------------------
// A fiber is the stack that a call runs on. new → resume → (parked | preempted → resume)* → done → free.
enum vm_fiber_state { VM_FIBER_NEW, VM_FIBER_RUNNING, VM_FIBER_PARKED, VM_FIBER_PREEMPTED, VM_FIBER_DONE };
enum vm_wake { VM_RESUMED, VM_KILLED };
struct vm_budget {
	uint64_t cpu_ns;       // guest's and host's CPU time on this fiber; UINT64_MAX: none
	uint64_t deadline_ns;  // CLOCK_MONOTONIC; UINT64_MAX: none
};
#define VM_BUDGET_NONE ((struct vm_budget){UINT64_MAX, UINT64_MAX})
// Stacks come from the shard's pool. NULL: memory is out.
struct vm_fiber *vm_fiber_new(struct vm_shard *s, void (*fn)(void *arg), void *arg);
// The same for what runs host code alone, and enters no guest: its stack takes a fraction of the address space, and of the tables that map it.
struct vm_fiber *vm_fiber_new_for_host(struct vm_shard *s, void (*fn)(void *arg), void *arg);
// Done or never started.
void vm_fiber_free(struct vm_fiber *f);
// Runs it until it is done, parks or is preempted; says which. `how` is what vm_fiber_park returns in it; VM_KILLED on a preempted fiber
// ends the guest call that it is in with the kill's reason. From the shard's own stack or from another fiber (which then waits).
enum vm_fiber_state vm_fiber_resume(struct vm_fiber *f, enum vm_wake how);
// On a fiber, in host code: gives the thread back to the resumer. VM_KILLED: the host function is to clean up and return a trap
// (vm_fiber_kill_reason). Once killed, every further park returns VM_KILLED at once.
enum vm_wake vm_fiber_park(struct vm_shard *s);
// Gives others a turn, as if preempted (vm_work does, for host code that works long). Before and after it the fiber's budget is looked at:
// VM_KILLED as above, also when CPU time or deadline is spent (vm_fiber_kill_reason says which). On the thread's own stack nothing happens.
enum vm_wake vm_fiber_yield(struct vm_shard *s);
// The fiber has worked for about a millisecond of CPU time since its turn began or this was answered by a yield: time to yield. Cheap. A stack
// that is no fiber's is never asked to.
bool vm_work_is_due(const struct vm_shard *s);  // for tests
// Work of host code on a guest's behalf: bytes read or written, VM_WORK_ITEM for what is looked at one by one. Counts, and each VM_WORK_LOOK yields if it is
// due, with the stores of the fiber held. Not TRAP_NONE: the call is to end, by budget, deadline or kill. A loop over what a guest made tells it at
// least every VM_WORK_LOOK, also where nothing is copied.
enum { VM_WORK_LOOK = 64 << 10, VM_WORK_ITEM = 16 };
enum trap vm_work_slow(struct abi_exec *exec);
static inline enum trap vm_work(struct abi_exec *exec, uint64_t bytes)
{
	exec->work += bytes;
	return LIKELY(exec->work < VM_WORK_LOOK) ? TRAP_NONE : vm_work_slow(exec);
}
// From any thread: if that shard's waits in memory.atomic.wait, it gives others there their turn now, and not only within 5 ms.
void vm_shard_look(const struct vm_shard *s);
// NULL: the thread's own stack.
struct vm_fiber *vm_fiber_current(struct vm_shard *s);
enum vm_fiber_state vm_fiber_state(const struct vm_fiber *f);
void vm_fiber_set_budget(struct vm_fiber *f, struct vm_budget b);
// From here on what it uses is `of`'s: one budget and one count of CPU time for both, whoever of them is asked. `of` must be freed after it, unless this is
// called again before: NULL: its own.
void vm_fiber_share_budget(struct vm_fiber *f, struct vm_fiber *of);
// Marks it killed. If it runs, the guest is ended at the next chance; if it is parked or preempted, resume it with VM_KILLED.
// The first reason wins.
void vm_fiber_kill(struct vm_fiber *f, enum trap reason);
enum trap vm_fiber_kill_reason(const struct vm_fiber *f);  // TRAP_NONE: not killed
// CPU time used so far (exact to about a millisecond while it runs).
uint64_t vm_fiber_cpu_ns(const struct vm_fiber *f);
// CPU time that others used for it, each on a budget of its own: its budget has it too, and is looked at when it is next preempted or resumed.
// true: it is spent.
bool vm_fiber_charge(struct vm_fiber *f, uint64_t cpu_ns);
// What is left of its budget; UINT64_MAX: it has none.
uint64_t vm_fiber_cpu_left_ns(const struct vm_fiber *f);
// How often it was preempted.
uint64_t vm_fiber_preemptions(const struct vm_fiber *f);  // for tests
// exec->task and the context slots are zero when a fiber begins; code on it may set them, and they stay with it over its switches. The thread's own stack
// has its own.
// Stacks kept in the pool are given back (a tenant leaves, memory is short).
void vm_shard_trim_stacks(struct vm_shard *s);  // for tests

// ---- images, slots, reset ---------------------------------------------------------------------------------------
// An image is the state of a whole store: memories in a sealed memfd, tables, globals, dropped segments. To make another store of it:
// run the same sequence of vm_memory_new, vm_instance_allocate... (no initialize), then attach.
NODISCARD bool vm_image_capture(struct vm_store *st, struct vm_image **ret, struct err *e);
struct vm_image *vm_image_ref(struct vm_image *img);
void vm_image_unref(struct vm_image *img);
// Bytes of memory that are not zero / of all memories.
uint64_t vm_image_bytes(const struct vm_image *img);
uint64_t vm_image_memory_length(const struct vm_image *img);  // for tests
// An image as a file: {head with a hash, all but memories, `extra`, memories at a page with holes where they are zero}. Writes to an empty file.
NODISCARD bool vm_image_write(const struct vm_image *img, struct slice extra, int fd, struct err *e);
// Maps what vm_image_write wrote; takes the descriptor over in any case. Damage, cut short, another layout: ERR_INVALID. `checked`: the content was compared
// with its hash before and nobody has written to the file since; only what describes it is looked at now.
// Until vm_image_seal, stores are attached to the file itself, so it must be one that nobody but us can write.
NODISCARD bool vm_image_open(int fd, bool checked, struct vm_image **ret, struct err *e);
struct slice vm_image_extra(const struct vm_image *img);
// From any thread: copies the file into a sealed memfd, checks the copy and puts it in the file's place. Stores attached before become stale:
// they run on, but vm_store_reset refuses them. ERR_INVALID: the file is no longer what was opened.
NODISCARD bool vm_image_seal(struct vm_image *img, struct err *e);
// Makes the store equal to the image, which it keeps a reference on. ERR_LINK if its layout is not the image's.
NODISCARD bool vm_store_attach(struct vm_store *st, struct vm_image *img, struct err *e);
struct vm_image *vm_store_image(const struct vm_store *st);  // for tests
// Makes an attached store equal to its image again, in place. false: not to be had any more (a system call failed, it is poisoned or stale):
// free it and make another.
NODISCARD bool vm_store_reset(struct vm_store *st);  // for tests
// The same in pieces, between which others get their turn: looks at `pages` (not 0) pages at most. MORE: it goes on with the next call, and nothing else may
// be done with the store till then but shedding and freeing it. FAILED: as false.
enum vm_reset { VM_RESET_DONE, VM_RESET_MORE, VM_RESET_FAILED };
NODISCARD enum vm_reset vm_store_reset_some(struct vm_store *st, uint64_t pages);
// Of a store that will be freed: gives back the pages in `bytes` (not 0; whole pages) of its memories, so that freeing it is not one long piece. true: there
// are more. It is good for nothing else from the first call on.
NODISCARD bool vm_store_shed_some(struct vm_store *st, uint64_t bytes);
// Bytes that it looks at from now on.
uint64_t vm_store_shed_left(const struct vm_store *st);
// Gives back the store's private pages (an idle slot). It stays equal to the image.
NODISCARD bool vm_store_trim(struct vm_store *st);  // for tests
// Instances whose module has other code by now get it, as they do at a reset. No call is in the store.
void vm_store_relink(struct vm_store *st);
// Private pages at the last reset, and how many of them differed.
struct vm_reset_stats {
	uint64_t resets, scans, trims;
	uint64_t private_pages, differing_pages;  // at the last reset
};
struct vm_reset_stats vm_store_reset_stats(const struct vm_store *st);

#endif
