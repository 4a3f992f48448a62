// Inside of room canon.
#ifndef TENON_CANON_INT_H
#define TENON_CANON_INT_H

#include "canon.h"

#define MAX_FLAT_PARAMS 16
#define MAX_FLAT_RESULTS 1
#define MAX_STRING_BYTE_LENGTH ((UINT64_C(1) << 28) - 1)
#define MAX_LIST_BYTE_LENGTH ((UINT64_C(1) << 28) - 1)
#define REALLOC_I32_MAX UINT32_MAX
#define MAX_TABLE_LENGTH ((UINT32_C(1) << 28) - 1)

// ---- handle tables (handles.c) ----
enum {
	HANDLE_FREE,
	HANDLE_OWN,
	HANDLE_BORROW,
	HANDLE_SUBTASK,
	HANDLE_SET,
	HANDLE_STREAM_READABLE,  // ORDER enum canon__end_kind
	HANDLE_STREAM_WRITABLE,
	HANDLE_FUTURE_READABLE,
	HANDLE_FUTURE_WRITABLE,
};
#define NO_RESOURCE UINT32_MAX  // the runtime type of what is no resource

// A ResourceHandle, Waitable or WaitableSet. Position independent but for pointers, which are NULL in whatever an image holds: no task is alive then.
struct canon__handle {
	uint32_t kind;   // HANDLE_*
	uint32_t rt;     // runtime resource type: index in the plan's resources
	uint32_t rep;    // of a free entry: the next free index
	uint32_t lends;  // num_lends
	union {
		struct canon_scope *scope;  // of a borrow
		struct canon__call *call;   // a subtask
		struct canon__set *set;
		struct canon__end *end;     // of a stream or future
		uint64_t wide_rep;          // of canon_instance.reps
	};
};
// Table: index 0 is never given; the freed are reused last-in first-out (C31).
struct canon__table {
	struct canon__handle *array;
	uint32_t len, cap, free;
};

// ---- tasks (task.c) ----
// One call of a lifted function, a destructor or a start function: on the stack of its C caller, so of its task's fiber.
struct canon_scope {
	struct canon_scope *parent;  // the call whose lowered call made this one
	uint32_t component;          // component instance that runs
	uint32_t caller;             // that called; CANON__HOST
	uint32_t num_borrows;
	uint32_t depth;              // of calls between components
	uint64_t context[2];         // the slots of the caller's thread (context.get, context.set), put back at the end
	struct canon__thread *thread;  // that runs it; NULL: nobody asked for it
	struct canon__async_task *of;  // the specification's Task; NULL: of a sync-typed call that made no thread
};
// The lends of one lowered call (Subtask).
struct canon__subtask {
	uint32_t n;
	uint32_t cap;       // 0: `few` is used
	uint32_t *lenders;  // handle indices
	uint32_t *kept;     // the same, where they outlive the call (canon__cx.keeps_lends)
	uint32_t few[8];
};

// ---- pointers: what the address type of the options' memory decides (ptr_type); `wide`: i64 ----
static inline unsigned canon__ptr_size(bool wide)
{
	return wide ? 8 : 4;
}
static inline uint64_t canon__ptr(bool wide, uint64_t cell)
{
	return wide ? cell : (uint32_t)cell;
}
static inline uint64_t canon__utf16_tag(bool wide)
{
	return UINT64_C(1) << (wide ? 63 : 31);
}
static inline uint32_t canon__align(bool wide, const struct wit_type *t)
{
	return wide ? t->align64 : t->align32;
}
static inline uint32_t canon__size(bool wide, const struct wit_type *t)
{
	return wide ? t->size64 : t->size32;
}
static inline uint32_t canon__offset(bool wide, const struct wit_field *f)
{
	return wide ? f->offset64 : f->offset32;
}
static inline uint32_t canon__payload(bool wide, const struct wit_type *t)
{
	return wide ? t->payload64 : t->payload32;
}
static inline bool canon__is_aligned(uint64_t ptr, uint32_t align)
{
	return (ptr & (align - 1)) == 0;
}

// LiftLowerContext.
struct canon__cx {
	struct canon_instance *inst;
	struct abi_memory *memory;
	uint32_t realloc;    // function of the store; 0: none
	uint32_t component;  // component instance whose handles are meant
	uint8_t encoding;    // enum canon_string of the options
	bool wide;           // addresses of the memory are i64
	bool between;        // lifted strings keep their encoding: they go on to another component
	bool keeps_lends;    // of `subtask`: it may outlive the arena
	bool copy;           // lifted strings and lists are copied, else they may point into the memory
	bool defers;         // canon__load leaves the index of what it would take from the table (canon__load_whole)
	uint32_t n_ends;     // streams and futures that it left so
	enum trap trap;      // why something returned false
	struct canon_task *task;         // that runs
	struct canon_scope *scope;       // borrow scope when lowering
	struct canon__subtask *subtask;  // borrow scope when lifting
	struct arena *arena;             // of native values
	bool (*reallocate)(struct canon__cx *cx, uint64_t old, uint64_t old_size, uint32_t align, uint64_t size, uint64_t *ret);
};

static inline uint8_t *canon__at(const struct canon__cx *cx, uint64_t ptr)
{
	return cx->memory->base + ptr;
}
// Whether [ptr, ptr + size) lies in the memory.
static inline bool canon__in_memory(const struct canon__cx *cx, uint64_t ptr, uint64_t size)
{
	return ptr <= cx->memory->length && size <= cx->memory->length - ptr;
}

// Sets cx->trap and the task's report; returns false.
bool canon__fail(struct canon__cx *cx, enum trap t, const char *fmt, ...) PRINTF_LIKE(3, 4);
// The same for want of memory, with the limit that was met: `what`, of `n` bytes, had no room.
bool canon__no_room(struct canon__cx *cx, const char *what, uint64_t n);
// memmove in pieces, as work.
bool canon__copy(struct canon__cx *cx, void *dst, const void *src, uint64_t n);

// Values (lift.c, lower.c). `t` is never NULL; dst and src are native.
bool canon__load(struct canon__cx *cx, uint64_t ptr, const struct wit_type *t, void *dst);
// The same, and no handle is taken but with all of the value: none where there was no room for it (TRAP_OUT_OF_MEMORY).
bool canon__load_whole(struct canon__cx *cx, uint64_t ptr, const struct wit_type *t, void *dst);
bool canon__lift_flat(struct canon__cx *cx, const uint64_t **vi, const struct wit_type *t, void *dst);
bool canon__store(struct canon__cx *cx, const void *src, const struct wit_type *t, uint64_t ptr);
bool canon__lower_flat(struct canon__cx *cx, const void *src, const struct wit_type *t, uint64_t **vo);
// lift_flat_values, lower_flat_values for parameters (a record) and for the result (a type or NULL).
bool canon__lift_flat_values(struct canon__cx *cx, uint32_t max_flat, const uint64_t **vi, const struct wit_type *t, void *dst);
bool canon__lower_flat_values(struct canon__cx *cx, uint32_t max_flat, const void *src, const struct wit_type *t, const uint64_t *out_param, uint64_t **vo);
// Same bytes in both layouts, nothing to check and no padding: integers and what consists of them.
bool canon__is_plain(const struct wit_type *t);

// Strings (string.c).
bool canon__load_string_from_range(struct canon__cx *cx, uint64_t ptr, uint64_t tagged_code_units, struct wit_string *dst);
bool canon__store_string_into_range(struct canon__cx *cx, const struct wit_string *src, uint64_t *ret_ptr, uint64_t *ret_tagged_code_units);
// An array of `n` bytes that guest code gave; checks alignment, then range (L60).
bool canon__allocate(struct canon__cx *cx, uint32_t align, uint64_t size, uint64_t *ret);
bool canon__reallocate(struct canon__cx *cx, uint64_t old, uint64_t old_size, uint32_t align, uint64_t size, uint64_t *ret);

// ---- host resources (host_resource.c) ----
struct canon__host_entry {
	const struct canon_resource_ops *ops;  // NULL: free
	void *owner, *object;
	uint32_t prev, next;  // in order of creation; of a free entry: next free
};
// Entry 0 is the list's head and never a rep.
struct canon__host_table {
	struct canon__host_entry *array;
	uint32_t len, cap, free, count;
};
// Drops so many, the youngest first: children before what they came from; all.
void canon__host_table_drop(struct canon_instance *i, uint32_t most);
void canon__host_table_clear(struct canon_instance *i);
void canon__host_table_release(struct canon_instance *i);
// Makes i's (empty) table equal to the template's, each object anew. false: one could not be made.
NODISCARD bool canon__host_table_remake(struct canon_instance *i, const struct canon__host_table *from);
// false: at least one can't be made anew; *ret_name is its type's.
bool canon__host_table_can_remake(const struct canon_instance *i, const char **ret_name);

// ---- instances ----
// A runtime resource type: what stands behind a resource of the plan.
struct canon__resource {
	uint32_t component;  // that implements it; CANON__HOST: the host
	uint32_t dtor;       // function of the store; 0: none
	bool wide;           // represented by i64: the rep of its handles, and its native value, lead to that in canon_instance.reps
};
#define CANON__HOST UINT32_MAX

struct canon__component_instance {  // ComponentInstance
	struct canon__table handles;
	uint32_t parent;  // CANON__HOST: the root
	uint32_t depth;   // of nesting
	uint32_t backpressure;
	bool may_leave;
};

// Options with every reference resolved in this store.
struct canon__options {
	struct abi_memory *memory;
	uint32_t realloc, post_return;  // functions of the store; 0: none
	uint8_t encoding;               // enum canon_string
	bool wide;      // of the memory: its addresses are i64
};
struct canon__lift {
	const struct comp_lift *plan;
	uint32_t func;
	uint32_t n_results;  // of the core function: 0 or 1
	uint32_t callback;   // function of the store; 0: none
	struct canon__options options;
};
struct canon__lower {
	struct canon_instance *inst;
	const struct comp_lower *plan;
	const struct canon_host_func *host;  // NULL: `lift`
	const struct canon__lift *lift;
	const char *name;
	uint32_t params_size, result_size;   // native
	uint32_t out_param, n_params;        // cell of the return pointer; cells
	struct canon__options options;
};
struct canon__builtin {
	struct canon_instance *inst;
	const struct comp_builtin *plan;
	struct canon__options options;
	struct vm_table *table;  // thread.new-indirect
};

struct canon__core_func {
	struct canon_instance *inst;
	const struct canon_core_func *host;
	const char *name;
	struct abi_memory *memory;  // NULL: the module exports none
};

enum { CANON__SEGMENTS, CANON__START };
struct canon__step {
	uint32_t core_instance;
	uint8_t kind;
};

struct canon_component {
	const struct comp_component *comp;
	const struct comp_plan *plan;
	struct vm_module *const *modules;
	struct arena arena;
	const struct canon__step *steps;
	uint32_t n_steps;
	const char *const *host_names;  // by host_funcs, ending in zero
	const char *const *core_names;  // by core_funcs, likewise
	const uint32_t *depths;         // of component instances
};

struct canon_instance {
	struct canon_instance_head head;  // first; its pool: what the host keeps on its behalf, within limits.memory_bytes
	struct vm_shard *shard;
	struct abi_exec *exec;
	struct vm_store *store;
	const struct canon_component *cc;
	const struct canon_host *host;
	struct canon_limits limits;
	struct canon_image *image;  // of a slot
	bool dead;
	bool dirty;     // tables differ (perhaps) from the image
	bool left_host;  // it is being made equal to the image, or shed: its ends and objects of the host's are gone
	bool learning;              // a host function that cuts is not called: it ends the step
	bool called_host;
	uint32_t n_components, n_resources;
	struct canon__component_instance *components;
	struct canon__resource *resources;
	struct canon__table reps;
	struct canon__lift *lifts;
	struct canon__lower *lowers;
	struct canon__builtin *builtins;
	struct canon__core_func *core_funcs;
	struct vm_instance **core;  // by plan->core_instances
	struct canon__host_table host_table;
	uint32_t n_tasks;           // that are in it
	bool is_shared;             // others may come while those wait
	uint32_t done;              // steps that have run
	struct arena own;           // what lives as long as the instance
	const char *cut_by;         // learning: what would have been called
	struct canon__async *async;  // NULL: nothing of it was needed
	struct {
		uint32_t table;         // of canon_instance_shed_some: those before it are shed
		uint64_t at;            // bytes of its pages that are
	} shed;
};

// Work on the guest's values, by its bytes or VM_WORK_ITEM for what is looked at one by one. false: the call is to end. It may give others a turn.
bool canon__ended(struct canon__cx *cx, enum trap t);
static inline bool canon__work(struct canon__cx *cx, uint64_t bytes)
{
	enum trap t = vm_work(cx->inst->exec, bytes);
	return LIKELY(t == TRAP_NONE) || canon__ended(cx, t);
}

// The runtime type that a descriptor's resource means: its index in the plan's resources.
static inline uint32_t canon__resource_index(const struct wit_resource *r)
{
	return comp_resource_of(r)->index;
}

// A task of one's own, for who has none.
struct canon__own {
	struct canon_task task;
	struct canon_trap trap;
	void *outer;              // of exec->task
	struct canon_trap *told;  // of the task's report
	bool outermost;   // of the task's calls
};
// (entry.c) The task enters the instance: becomes what runs (exec->task), its report is `trap`. NULL: the task that runs, or `own`.
struct canon_task *canon__task_begin(struct canon_instance *i, struct canon_task *t, struct canon_trap *trap, struct canon__own *own);
void canon__task_end(struct canon_instance *i, struct canon_task *t, struct canon__own *own);
static inline struct canon_task *canon__running(const struct canon_instance *i)
{
	return i->exec->task;
}
// Begins and ends a call into a component: context slots are zero in it.
static inline void canon__scope_enter(struct canon_instance *i, struct canon_task *t, struct canon_scope *s)
{
	s->parent = t->scope;
	s->context[0] = i->exec->context[0];
	s->context[1] = i->exec->context[1];
	i->exec->context[0] = i->exec->context[1] = 0;
	t->scope = s;
}
void canon__scope_end(struct canon_instance *i, struct canon_scope *s);
static inline void canon__scope_leave(struct canon_instance *i, struct canon_task *t, struct canon_scope *s)
{
	if (UNLIKELY(s->thread || s->of))
		canon__scope_end(i, s);
	i->exec->context[0] = s->context[0];
	i->exec->context[1] = s->context[1];
	t->scope = s->parent;
}
// may_enter (C40): none of the component instances that the task is in now would be entered. Tasks that are parked are in none.
// "For now, trap on parent-to-child and child-to-parent" (test/async/trap-on-reenter): what the entering set would allow between a component and one that
// contains it is refused, as others do.
bool canon__is_donut(const struct canon_instance *i, uint32_t callee, uint32_t caller);
bool canon__may_enter_from(const struct canon_task *t, const struct canon_instance *i, uint32_t callee, uint32_t caller);
// A trap's text into the report; returns `t`. Later ones take its place, until it is placed.
enum trap canon__report(struct canon_task *task, enum trap t, const char *fmt, ...) PRINTF_LIKE(3, 4);
// The same in a function that a guest called: vm adds the backtrace.
enum trap canon__trap_to_guest(struct vm_call *call, const struct canon_task *task, enum trap t);
// Adds what vm knows of the trap that it returned last.
void canon__add_backtrace(struct canon_instance *i, struct canon_task *task, enum trap t);
// Calls a core function; the first trap is reported with its backtrace.
enum trap canon__core_call(struct canon_instance *i, struct canon_task *task, uint32_t func, const uint64_t *args, uint64_t *results);
// What ends a call from host code: the instance is dead, the report complete; returns false.
bool canon__end(struct canon_instance *i, struct canon_task *task, enum trap t);

// ---- async (canon_async.h) ----
// Backpressure has ended.
void canon__gate_open(struct canon_instance *i, uint32_t component);
// Frees all of it; what runs ends. In pieces, of *most of what is in it, which is counted down: nothing of it may be asked for after the first. true: that was all.
void canon__async_release(struct canon_instance *i);
bool canon__async_release_some(struct canon_instance *i, uint32_t *most);
// How many are in it.
uint32_t canon__async_count(const struct canon_instance *i);
// Of one that is made equal to its image, or freed: its ends and objects of the host's end, once.
void canon__leave_host(struct canon_instance *i);
// The outermost call of a task returns to the host.
void canon__async_leave(struct canon_instance *i, struct canon_task *root);

// ---- calls (call.c) ----
enum trap canon__lower_host(struct vm_call *call, const uint64_t *args, uint64_t *results);
enum trap canon__core_host(struct vm_call *call, const uint64_t *args, uint64_t *results);
enum trap canon__lower_component(struct vm_call *call, const uint64_t *args, uint64_t *results);
struct canon__cx canon__context(struct canon_instance *i, struct canon_task *task, const struct canon__options *o, uint32_t component);
// Room for a native value: `small`, of 256 bytes, or the arena's. NULL: cx->trap.
void *canon__room(struct canon__cx *cx, void *small, uint32_t size);
bool canon__call_host(struct canon__lower *l, struct canon__cx *cx, const void *args, void *ret);
// May the callee be called from there (CANON__HOST), and at which depth?
enum trap canon__check_entry(struct canon_instance *i, struct canon_task *task, uint32_t callee, uint32_t caller, uint32_t *ret_depth);
enum trap canon__lift_for_host(struct canon_instance *i, struct canon_task *task, const struct canon__lift *l, const void *args, void *ret, struct arena *arena);
// Of async-typed functions (async_task.c).
enum trap canon__lower_async_component(struct vm_call *call, const uint64_t *args, uint64_t *results);
enum trap canon__lower_async_host(struct vm_call *call, const uint64_t *args, uint64_t *results);
enum trap canon__call_async(struct canon_instance *i, struct canon_task *task, const struct canon__lift *l, const void *args, void *ret, struct arena *arena);
// The steps [from, to).
bool canon__run(struct canon_instance *i, uint32_t from, uint32_t to, struct canon_task *t, struct canon_trap *ret);
// Runs the destructor of a resource that a guest implements; `caller`: component or CANON__HOST.
enum trap canon__destroy(struct canon_instance *i, struct canon_task *t, uint32_t rt, uint32_t rep, uint32_t caller);

// ---- built-ins (builtin.c) ----
// The function behind a built-in.
vm_host_fn canon__builtin_fn(unsigned kind);
// NULL: it is none of async's (async_builtin.c).
vm_host_fn canon__async_builtin_fn(unsigned kind);

// ---- state (image.c) ----
bool canon__table_reserve(struct canon_instance *i, struct canon__table *t, uint32_t want);

// Handles (handles.c): lift_own, lift_borrow, lower_own, lower_borrow and the table.
static inline struct canon__table *canon__table_of(struct canon_instance *i, uint32_t component)
{
	return &i->components[component].handles;
}
// NULL: no such handle.
static inline struct canon__handle *canon__table_get(const struct canon__table *t, uint32_t index)
{
	return index < t->len && t->array[index].kind != HANDLE_FREE ? &t->array[index] : NULL;
}
bool canon__table_add(struct canon_instance *i, struct canon__table *t, struct canon__handle h, uint32_t *ret);
// Why there is no room in a table of `n` entries.
const char *canon__handles_full(const struct canon_instance *i, uint32_t n);
void canon__table_remove(struct canon_instance *i, struct canon__table *t, uint32_t index);
// The 32 bits that stand for a new resource / what a guest is told that it is / it is gone. false: no room; there is none.
bool canon__rep_new(struct canon_instance *i, uint32_t rt, uint64_t rep, uint32_t *ret);
bool canon__rep_get(const struct canon_instance *i, uint32_t rt, uint32_t rep, uint64_t *ret);
void canon__rep_free(struct canon_instance *i, uint32_t rt, uint32_t rep);
bool canon__lift_own(struct canon__cx *cx, uint32_t index, const struct wit_type *t, uint32_t *ret_rep);
bool canon__lift_borrow(struct canon__cx *cx, uint32_t index, const struct wit_type *t, uint32_t *ret_rep);
bool canon__lower_own(struct canon__cx *cx, uint32_t rep, const struct wit_type *t, uint32_t *ret_index);
bool canon__lower_borrow(struct canon__cx *cx, uint32_t rep, const struct wit_type *t, uint32_t *ret_index);
// lift_stream, lift_future, lower_stream, lower_future (ends.c); the native value is a number that leads to what both ends share.
bool canon__lift_async_value(struct canon__cx *cx, uint32_t index, const struct wit_type *t, uint32_t *ret);
// Room for the numbers of so many that are lifted.
NODISCARD bool canon__numbers_reserve(struct canon_instance *i, uint32_t n);
bool canon__lower_async_value(struct canon__cx *cx, uint32_t n, const struct wit_type *t, uint32_t *ret);
// The callee's resolution has been delivered: nothing is lent any more (C33).
bool canon__deliver_resolve_many(struct canon__cx *cx, struct canon__subtask *s);
static inline bool canon__deliver_resolve(struct canon__cx *cx, struct canon__subtask *s)
{
	if (UNLIKELY(s->cap))
		return canon__deliver_resolve_many(cx, s);
	for (uint32_t k = 0; k < s->n; k++)
		canon__table_of(cx->inst, cx->component)->array[s->few[k]].lends--;
	return true;
}

#endif
