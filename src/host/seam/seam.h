// How a host function meets a guest: descriptions of interfaces made by tools/witgen, who serves them (providers, bindings), linking of a component's
// imports, exports that the host calls, grants, the byte budget, parking a call.
//
// Invariants:
//  1. Each call from a guest to the world goes through seam's dispatcher: it is counted and attributed to its request there.
//  2. Which provider stands behind an interface is read from the shard's table (immutable, versioned) at each call, never from an instance, an image or
//     compiled code (design §8). A call that is given handles goes to the provider that made their objects, whatever is bound now; what it is
//     only to pass on (takes_others) says nothing about that.
//  3. A provider lives until its last object, its last call and what it keeps for instances are gone.
//  4. A host function blocks nothing: it parks its fiber (seam_park); seam_wake only makes the call ready, and it resumes from the loop's ready
//     queue and from nowhere else. A parked call is always resumed, with SEAM_KILLED if it is to end, and returns.
#ifndef TENON_SEAM_H
#define TENON_SEAM_H

#include "base/base.h"
#include "canon/canon.h"
#include "comp/comp.h"
#include "loop/loop.h"
#include "sys/sys.h"
#include "vm/vm.h"
#include "wit/wit.h"

struct seam_call;
struct seam__local;
struct seam__part;
struct seam__seat;
struct seam_instance;
struct seam_link;
struct seam_task;
struct seam_tasks;

// ---- interfaces, as descriptions (witgen fills these with constants) ------------------------------------------------------------------
enum seam_result {
	SEAM_OK,      // *ret is filled
	SEAM_TRAP,    // the guest traps; seam_trap gave the message
	SEAM_EXIT,    // clean stop; seam_exit gave the code
	SEAM_KILLED,  // seam_park said so: the call is being ended
};
// Calls the function's member of `ops`, a struct NAME_ops. `args` points to the struct of parameters (wit native layout), NULL if there are none; `ret` to
// the zeroed result, NULL if there is none.
typedef enum seam_result seam_fn(const void *ops, struct seam_call *c, const void *args, void *ret);

enum {
	SEAM_LEAVES = 4,       // lowered async it waits without a stack (seam_sleep_until)
	SEAM_NEVER_PARKS = 2,  // it returns before anything else of the instance runs: its arguments may lie in the guest's memory
	SEAM_FIXED = 1,  // the answer is fixed for the deployment, nothing of the world changes: does not cut an image (design §5)
};
struct seam_func {
	const char *name;  // as WIT has it: "[method]output-stream.write"
	const struct wit_func_type *type;  // of an interface with `types`: made by seam_func_type, empty until then
	seam_fn *call;     // NULL: guests export it
	uint32_t args_size, ret_size;
	uint32_t flags;    // SEAM_FIXED, SEAM_NEVER_PARKS, SEAM_LEAVES
};
struct seam_interface {
	const char *name;  // with the newest version: "wasi:io/streams@0.2.12"
	const struct seam_func *funcs;
	uint32_t n_funcs;
	const struct seam_resource *const *resources;  // those this interface defines (not those it uses)
	uint32_t n_resources;
	const struct seam_link *of;  // of a component's: its own, by which the resources are known that it imports and its functions pass; NULL: there are none
	const struct seam_types *types;  // NULL: the functions' are there
};
// The types of interfaces that stand in the program, without pointers: those the dynamic linker would set at each start, in thirty pages of which few are needed.
// A type's number is 0 (none), 1 + enum wit_kind (a primitive), or 1 + WIT_N_PRIMITIVES + its row.
struct seam_type_row {  // as struct wit_type
	uint8_t kind, flags, discriminant_size, depth, align32, align64, n_flat, flat[WIT_MAX_FLAT];
	uint16_t elem, resource;  // type; 1 + number of the resource, 0: none
	uint32_t size32, size64, payload32, payload64, effective_size, n, fields;  // fields: number of the first
};
struct seam_field_row {
	uint32_t name, name_len;  // in `names`
	uint32_t type;
	uint32_t offset32, offset64;
};
struct seam_func_row {
	struct seam_type_row params;
	uint16_t result;
	bool is_async;
};
// What is made of them, one after the other as it is asked for: all zero at first.
struct seam_made {
	struct sys_mutex lock;
	size_t used;  // of the room
};
struct seam_types {
	const struct seam_type_row *types;
	const struct seam_field_row *fields;
	const struct seam_func_row *funcs;
	const char *names;
	const struct wit_resource *const *resources;
	struct seam_made *made;
	const struct wit_type **made_types;  // by row; NULL: not yet
	bool *are_made;                   // by function
	struct wit_func_type *made_funcs;
	uint8_t *room;                   // for all types and fields
};
// The type of function `func` of the interface: of what stands in the program it is made when it is asked for first. On any thread; stays.
const struct wit_func_type *seam_func_type(const struct seam_interface *of, uint32_t func);
// A resource that an interface defines. Identity is the address of `wit` (own and borrow types of `type` descriptors point to it).
struct seam_resource {
	struct wit_resource wit;  // name as in WIT: "output-stream"
	const struct seam_interface *interface;
	const struct wit_resource *means;  // what the functions' types name in its place: of a component's (seam_describe); NULL: itself
	bool moves;    // objects of it may go to another instance (canon_resource_ops.move),
	bool carries;  // and have streams or futures, which last beyond the call that they came by
};

// ---- who serves them --------------------------------------------------------------------------------------------------------------------
// A provider serves interfaces. Of an interface it has a struct NAME_ops, one member a function in the order of the description (NULL: not served), and of a
// resource a class (struct canon_resource_ops). What it keeps for the process it embeds `struct seam_provider` in.
struct seam_provider;
struct seam_provider_ops {
	const char *name;
	// The last reference is gone, on whichever thread had it. NULL: nothing to do.
	void (*close)(struct seam_provider *p);
	// What it keeps for one instance, made when it first asks (seam_state); all NULL: nothing. new: NULL without memory. reset: the next call must find it as
	// new made it. All on the instance's thread, but for free when the instance is an image's.
	void *(*instance_new)(struct seam_provider *p, struct canon_instance *i);
	void (*instance_reset)(struct seam_provider *p, struct canon_instance *i, void *state);
	void (*instance_free)(struct seam_provider *p, struct canon_instance *i, void *state);
	// What of that no other instance can have: its name; NULL: nothing. An image is cut before it. NULL: never anything.
	const char *(*instance_keeps)(const struct seam_provider *p, const void *state);
	// A task has ended in the instance. NULL: nothing to do.
	void (*task_end)(struct seam_provider *p, struct canon_instance *i, struct seam_task *t, void *state);
	bool takes_others;  // it may be given objects that another provider made, and give such back
};
// Why somebody holds a provider.
enum seam_reason {
	SEAM_HELD_BY_MAKER,
	SEAM_HELD_BY_OFFER,  // a registry
	SEAM_HELD_BY_TABLE,  // in which calls, objects and what is kept for instances hold the table
	SEAM_REASONS
};
struct seam_provider {
	const struct seam_provider_ops *ops;
	uint32_t refs, held[SEAM_REASONS];  // atomic; held: the same by reason, for whoever looks why it is still there
};
// Held once, by its maker.
void seam_provider_init(struct seam_provider *p, const struct seam_provider_ops *ops);
void seam_provider_unref(struct seam_provider *p, enum seam_reason why);

// What may stand behind imports: an interface as a provider serves it. `label` (NULL: none): only for imports of that name that implement the interface.
struct seam_offer {
	const char *label;
	const struct seam_interface *interface;
	const void *ops;  // struct NAME_ops; NULL where the interface has no functions
	struct seam_provider *provider;
	// Of a link: its name, and by which rule it is the import's. Calls through it are watched (seam_watch). Tables copy both. NULL: it is none.
	const char *link, *rule;
};
// Core functions as the host provides them to core modules with worlds (comp_core_func), all of one module name, by one provider.
struct seam_core {
	const char *module;  // NULL: there are none
	// ERR_LINK: there is no such function, or it is of another type. *ret: what `call` gets.
	bool (*find)(struct slice name, const struct wasm_func_type *type, const void **ret, uint32_t *ret_flags, struct err *e);
	// `args` and `results` are cells (canon_core_fn); SEAM_FIXED functions never wait.
	enum seam_result (*call)(struct seam_call *c, const void *func, struct abi_memory *memory, const uint64_t *args, uint64_t *results);
	struct seam_provider *provider;  // one that offers interfaces too, which hold it
};
struct seam_registry {
	VEC(struct seam_offer)
	offers;
	struct seam_core core;
};
// Holds the providers until release.
NODISCARD bool seam_registry_add(struct seam_registry *r, const struct seam_offer *list, uint32_t n, struct err *e);
void seam_registry_release(struct seam_registry *r);
// The offer for an import of that name (`implements`: the interface that it implements, or empty): one with its name as label, else one without a label
// whose interface serves what is meant (wit_name_find). NULL: none.
const struct seam_offer *seam_registry_find(const struct seam_registry *r, struct slice name, struct slice implements);

// An interface as a component exports it, described for other components that import it. Its functions' types are the component's, which must outlive it.
struct seam_described {
	struct seam_interface interface;
	const struct comp_export_func **exports;  // by function
	struct seam_resource *resources;          // by interface.resources; `means` is the component's own
};
// `name`: of the interface, by the rule of imports; `call` is every function's. ERR_LINK: it isn't exported, or what its functions take or return can't leave
// the store: error contexts, resources that the component itself imports, but for own<T> of those whose objects move, and streams and futures of those that
// have streams themselves, or of elements beyond CANON_JOINT_ELEMENT_MAX. `l`: the component's link.
NODISCARD bool seam_describe(struct arena *a, const struct comp_component *comp, const struct seam_link *l, struct slice name, seam_fn *call,
	struct seam_described **ret, struct err *e);
// What a resource that a type of such an interface names stands for, where its component imports it. NULL: it is the component's own.
const struct seam_resource *seam_imported(const struct seam_interface *i, const struct wit_resource *r);
// Has the type resources that the component imports and whose objects have streams or futures of their own?
bool seam_carries_streams(const struct seam_interface *i, const struct wit_type *t);
// An object of such a resource goes from one instance to another of the thread, which imports it too: *ret is its handle there. Else it was dropped.
// `by` takes along what streams and futures it has.
enum canon_move seam_resource_move(struct canon_instance *from, const struct seam_resource *of, uint32_t rep, struct canon_instance *to, struct canon_carrier *by,
	uint32_t *ret);
// Each handle of a native value, each stream and future (by its kind of type), which `visit` may change. false: it returned false.
typedef bool seam_visit(void *ctx, const struct wit_type *type, uint32_t *rep);
bool seam_value_handles(const struct wit_type *type, void *value, seam_visit *visit, void *ctx);
// A copy of a native value, whose parts lie in `a`. As the call's work: others may get their turns, and it may be ended meanwhile. SEAM_TRAP: no memory.
enum seam_result seam_value_copy(struct seam_call *c, const struct wit_type *type, const void *value, void *ret, struct arena *a);

// ---- linking --------------------------------------------------------------------------------------------------------------------------
// What stands behind one import now.
struct seam_binding {
	const struct seam_interface *interface;  // NULL: the import is no instance
	const void *ops;
	struct seam_provider *provider;
	uint32_t slot;  // of what the provider keeps for an instance
	const char *link, *rule;  // of the offer; the table's
};
// The bindings of all imports of a component, by import. Immutable.
struct seam_table;
// Resolves the root imports of a component and binds them for the first time; ERR_LINK names all that are not served, each with its type and a way out. The
// link must outlive instances and images.
NODISCARD bool seam_link_new(const struct seam_registry *r, const struct comp_component *comp, struct seam_link **ret, struct err *e);
void seam_link_free(struct seam_link *l);
const struct canon_host *seam_link_host(const struct seam_link *l);
// Binds the same imports anew; of each interface the description must be the one that the link has. From any thread.
NODISCARD bool seam_table_new(struct seam_link *l, const struct seam_registry *r, struct seam_table **ret, struct err *e);  // for tests
// One that was not published.
void seam_table_free(struct seam_table *t);  // for tests
// From any thread. Each shard takes it up between two calls; calls under way and objects stay in the table that they began in, and it goes when they are
// gone. Takes the table over; false: no memory, and the table is still the caller's.
NODISCARD bool seam_link_publish(struct seam_link *l, struct seam_table *t);  // for tests
// How many tables somebody still reads, the published one among them.
uint32_t seam_link_tables(struct seam_link *l);  // for tests
// What stands behind each import in the table in force. From any thread.
void seam_link_bindings(struct seam_link *l, void (*fn)(void *user, const struct comp_import *import, const struct seam_binding *b), void *user);

// ---- exports that the host calls by name ------------------------------------------------------------------------------------------------
// witgen makes of each interface that guests export: NAME_interface (its description), struct NAME_exports (a seam_export a function), NAME_bind and
// NAME_call_FUNCTION, with parameters of C. Nobody else calls an export by name.
struct seam_export {
	const struct comp_export_func *func;
};
// Finds the component's export of the interface (wit_name_find) and compares each function of the description with what is exported, as types: a resource
// of a parameter must be the host's own, which the component's import was linked to. `ret` has room for iface->n_funcs. ERR_LINK names the export, its
// type and the one expected. Nothing of the guest has run, and nothing may run where this fails.
NODISCARD bool seam_export_bind(const struct comp_component *comp, const struct seam_link *l, const struct seam_interface *iface, struct seam_export *ret,
	struct err *e);
// Is the interface exported, whatever its types are?
bool seam_export_is_there(const struct comp_component *comp, const struct seam_interface *iface);
// For the stubs: canon_call_export. `t` is what host functions see; on its fiber.
NODISCARD bool seam_export_call(struct seam_task *t, struct canon_instance *i, const struct seam_export *x, const void *args, void *ret, struct arena *arena,
	struct canon_trap *trap);
// Of async functions: the whole of the call (canon_call_export_whole). The result is there when `returned` (NULL: nobody asks) is called.
NODISCARD bool seam_export_call_whole(struct seam_task *t, struct canon_instance *i, const struct seam_export *x, const void *args, void *ret, struct arena *arena,
	void (*returned)(struct canon_task *t), struct canon_trap *trap);

// ---- grants (design §7) ---------------------------------------------------------------------------------------------------------------
struct seam_pair {
	struct slice name, value;
};
// A rule of --net: what may be connected to.
enum seam_net_scheme { SEAM_NET_ANY, SEAM_NET_HTTP, SEAM_NET_HTTPS, SEAM_NET_TCP, SEAM_NET_UDP };
struct seam_net_rule {
	enum seam_net_scheme scheme;
	uint16_t port;  // 0: any
	enum { SEAM_NET_ALL, SEAM_NET_NAME, SEAM_NET_DOMAIN, SEAM_NET_RANGE } kind;
	struct slice name;  // lower case; of DOMAIN without "*."
	uint8_t range[16];  // an address of IPv6, or of IPv4 as ::ffff:a.b.c.d; `bits` of it count
	uint8_t bits;
};
// "[SCHEME://]HOST[:PORT]". ERR_USAGE.
NODISCARD bool seam_net_rule_parse(struct arena *a, struct slice text, struct seam_net_rule *ret, struct err *e);
struct seam_grants;
// Is there any rule by which the host (lower case, without the dot at its end) may be looked up? A name only by one for names: what is asked of a name
// server tells it something.
bool seam_net_may_ask(const struct seam_grants *g, enum seam_net_scheme scheme, struct slice host, uint16_t port);
// May this address, which is the host's, be connected to? Addresses that are not public only by a rule that names them as addresses, by localhost, or with
// --private.
bool seam_net_may_connect(const struct seam_grants *g, enum seam_net_scheme scheme, struct slice host, uint16_t port, const uint8_t ip[16]);
// The same of sockets, which have no port yet: may the host be looked up / is there anything that they may reach?
bool seam_net_may_look_up(const struct seam_grants *g, struct slice host);
bool seam_net_may_reach(const struct seam_grants *g, enum seam_net_scheme scheme);
// What --listen-tcp and --listen-udp give: an address that a socket may have.
struct seam_listen {
	bool udp;
	bool any_ip;    // of both families
	bool any_port;
	uint8_t ip[16];  // as that of a rule; all zero: any of its family
	uint16_t port;  // 0: any that is free when none is asked for
};
// "IP:PORT", "[IP]:PORT", ":PORT"; PORT may be *. ERR_USAGE.
NODISCARD bool seam_listen_parse(struct slice text, bool udp, struct seam_listen *ret, struct err *e);
// May a socket have this address? Port 0: any that is free.
bool seam_net_may_listen(const struct seam_grants *g, bool udp, uint16_t port, const uint8_t ip[16]);
// Kinds of denial that are logged once.
enum seam_deny {
	SEAM_DENY_ENV,
	SEAM_DENY_NET,
	SEAM_DENY_HTTP_OUT,
	SEAM_DENY_PRIVATE,
	SEAM_DENY_SOCKET,
	SEAM_DENY_LISTEN,
	SEAM_DENY_LOOK_UP,
	SEAM_DENY_LINK,
};
// A folder of the host, open, and what the guest knows it by.
struct seam_folder {
	struct slice name;
	int fd;
	bool read_only;
	bool is_local;  // its file system answers from memory what it can
};
// What one deployment gives its guests. Borrowed; must outlive instances and images.
struct seam_grants {
	const struct seam_pair *env, *settings;  // settings: of wasi:config
	const struct slice *args;
	const struct seam_folder *folders;
	uint32_t n_env, n_settings, n_args, n_folders;
	uint64_t max_files, max_file_size;  // open files of an instance, and how large they may become; 0: no limit
	const struct seam_net_rule *nets;
	uint32_t n_nets;
	bool private_nets;  // names may lead to loopback, link-local and private addresses
	const struct seam_net_rule *private_ranges;  // the same of these alone
	uint32_t n_private_ranges;
	const struct seam_listen *listens;
	uint32_t n_listens;
	uint64_t max_sockets;  // that an instance has open; 0: no limit
	uint64_t call_bytes;             // L77: bytes of host memory that one call may have alive; 0: SEAM_CALL_BYTES
	uint32_t denied;                 // bits of enum seam_deny that were logged already (atomic)
	void (*log_denial)(void *ctx, enum seam_deny kind, const char *what, const char *flag);
	void *log_ctx;
};
#define SEAM_CALL_BYTES (64ull << 20)

// ---- instances ------------------------------------------------------------------------------------------------------------------------
// The tasks of one thread: a pool. `shard` and `loop`: the thread's.
NODISCARD bool seam_tasks_new(struct loop *loop, struct vm_shard *shard, struct seam_tasks **ret, struct err *e);
// All of them have been freed. NULL does nothing.
void seam_tasks_free(struct seam_tasks *p);
// Random bytes of the thread's generator: never of an image's or a child's. false: the system gives none.
NODISCARD bool seam_random(struct seam_tasks *p, void *into, size_t n);
// Names a task beyond its end: when its memory is another task's, the name still leads to nobody. Zero: no task.
struct seam_task_id {
	uint32_t index;
	uint64_t generation;
};
// The task: one call of an export on behalf of one request, with all that canon keeps of it.
struct seam_task {
	struct canon_task canon;         // first: what canon's entries take
	struct seam_tasks *of;
	struct seam_task_id id;
	void *owner;      // of whoever made it; the rest of the owner's fields: instance, request, on_late
	struct loop *loop;
	struct vm_shard *shard;
	struct seam_instance *instance;  // whose store others may want meanwhile; NULL: nobody else's
	void *request;                   // serve's exchange; NULL for `run` and instantiation
	const void *names;               // serve's: of a request on another thread, for which it runs; NULL: for none
	struct vm_fiber *fiber;          // that it runs on; NULL: the thread's own stack (then a park runs the loop)
	struct seam_park *parked;        // what it waits for; NULL: runs
	void (*done)(struct seam_task *t);
	// Of its deadline; NULL: it is killed then (TRAP_DEADLINE), also while it computes. Else it goes on, and only this is called.
	void (*on_late)(struct seam_task *t);
	struct loop_timer deadline;
	// On whose behalf it runs: the parent pays its CPU time, prints its lines, kills it when it is killed, and is done when all of them are. NULL: nobody.
	struct seam_task *parent, *children, *next, **prev;
	// Of one without a parent: who waits for it, though it goes on without him; NULL: nobody. It is in his list (by `next`).
	struct seam_task *caller, *called;
	struct loop_job turn;            // queued: to be resumed
	struct seam_task *behind;        // the next of those that wait for the instance's holder
	bool for_host;             // its own fiber enters no guest (canon_export_has_own_stack): a smaller stack does
	bool waits;                // for the instance's holder
	bool returned;                   // its children go on
	bool killed;      // each park from now on returns KILLED
	enum trap kill_trap;             // what the guest's call ends with
	uint64_t cpu_ns;                 // when it is done: with its children's
	uint64_t cpu_before_ns;          // of a child: what the parent had spent when it began
	uint32_t n_calls;                // host calls, all; when it is done with its children's
	uint64_t wait_ns;                // time parked
	uint64_t since_ns;               // its threads wait, all of them; 0: they don't
	uint64_t span;                   // of who watches: what it begins belongs to; 0: nothing
	uint64_t logged;                 // bytes that it printed
	bool log_cut;                  // no more of them
};
// Who looks on while tasks of a thread call through links, and while requests that they send are out: for receipts, meters and traces. What is kept meanwhile
// is his own, and holds nothing: a request may outlive its task.
struct seam_watched {
	uint64_t words[8];
};
enum seam_outcome { SEAM_WENT_WELL, SEAM_WENT_WRONG, SEAM_TRAPPED, SEAM_ENDED };  // WRONG: the guest got an error; ENDED: it was taken back
struct seam_seen {
	const char *link;             // of the binding; NULL: of a request that went out by none
	struct slice interface, func;  // of a request: its origin, its method
	enum seam_outcome outcome;
	bool is_request;              // that went out
	unsigned status;              // of its answer; 0: none
};
struct seam_watch {
	// Returns a number that what belongs to it gets as task.span. On the thread.
	uint64_t (*begin)(struct seam_watch *w, const struct seam_task *t, const struct seam_instance *i, struct seam_watched *ret);
	void (*end)(struct seam_watch *w, const struct seam_watched *kept, const struct seam_seen *s);
	// What a request that goes out carries besides its own fields: W3C Trace Context. Empty: nothing. Borrowed until the thread goes on.
	void (*context)(struct seam_watch *w, const struct seam_task *t, const struct seam_watched *kept, struct slice *ret_parent, struct slice *ret_state);
};
// NULL: nobody.
void seam_tasks_watch(struct seam_tasks *p, struct seam_watch *w);
struct seam_watch *seam_tasks_watcher(const struct seam_tasks *p);
// Without a fiber yet. A child has its parent's request and span. NULL: no memory.
struct seam_task *seam_task_new(struct seam_tasks *p, struct seam_task *parent);
// Of one that does not run (any more). NULL does nothing.
void seam_task_free(struct seam_task *t);
// NULL: it has ended.
struct seam_task *seam_task_find(const struct seam_tasks *p, struct seam_task_id id);
// `caller` waits for it, which has no parent: it belongs to his request.
void seam_task_call(struct seam_task *t, struct seam_task *caller);
// Nobody waits for it any more: it, and what goes on for it, belong to no request. As when its caller is freed.
void seam_task_disown(struct seam_task *t);
// Who pays for it: itself, or the outermost parent.
struct seam_task *seam_task_root(struct seam_task *t);
// Runs fn(arg) on a new fiber, now, until it parks, is preempted or returns; goes on from the loop's ready queue and from nowhere else. When fn has
// returned, and all its children are done, `done` is called on the loop's stack, or here, before this returns: the fiber is gone then, and the task may be
// freed. A child uses its parent's budget, whose fiber must be there; a host function that the parent calls may run it, on the parent's turn. false: no
// memory for a fiber, nothing has happened.
NODISCARD bool seam_task_run(struct seam_task *t, void (*fn)(void *arg), void *arg, struct vm_budget budget, void (*done)(struct seam_task *t));
// Runs fn(arg) on a new fiber to its end, wherever it waits; the loop runs meanwhile. On the thread's own stack, of a task that was just initialised.
// It is ended at the budget's deadline, also while it waits, and with TRAP_KILLED as soon as *stop is true (set by a callback of this loop; NULL:
// never). The one way to run what is no request: instantiation, `run`. false: no memory for a fiber, nothing has happened.
NODISCARD bool seam_task_run_to_end(struct seam_task *t, void (*fn)(void *arg), void *arg, struct vm_budget budget, const bool *stop);
// What it has spent so far; of a child that what its parent and others of its spent meanwhile.
uint64_t seam_task_cpu_ns(const struct seam_task *t);
// From now on. Of a task that runs.
void seam_task_set_budget(struct seam_task *t, struct vm_budget budget);
// CPU time that the loop, or another thread, spent for it: on its budget. Where that was the last of it the task is ended, also while it waits.
void seam_task_charge(struct seam_task *t, uint64_t cpu_ns);
// Ends a task, and its children, from the loop (deadline, client gone, shutdown): a parked or preempted one is resumed (from the ready queue) to end. The guest's call
// ends with `trap`.
void seam_task_kill(struct seam_task *t, enum trap trap);

// What an instance's grants lie in, and what its providers were configured with. What goes to another instance, and is still in need of them, keeps it: as often
// as it is held it is let go of, on the thread.
struct seam_keeper {
	void (*hold)(struct seam_keeper *k);
	void (*let_go)(struct seam_keeper *k);
};
// Host side of one instance: give it as `user` to canon_instance_new, canon_slot_new, canon_image_new (there it must outlive the image).
// Embedded in its owner (serve).
struct seam_instance {
	struct seam_grants *grants;
	void *owner;                 // serve's or a test's
	struct http_client *http;    // the thread's: who makes the instance gives it; NULL: no request goes out
	struct seam_keeper *keeper;  // likewise; NULL: they last
	struct loop *loop;
	// Tasks in one instance: one that was preempted, or yields in the host's work, holds the store; others that are to run queue behind it.
	struct seam_task *holder, *first_behind, *last_behind;
	// seam's: what calls go through now; what providers keep here, by slot.
	struct canon_instance *canon;
	struct seam__local *local;
	struct seam__part *part;
	struct seam_instance *next, **prev;
	struct seam__seat **seats;
	uint32_t n_seats;
	bool mixed;  // holds, perhaps, objects of a provider that is not bound any more
};
// `loop`: of the thread that it is on.
void seam_instance_init(struct seam_instance *i, struct loop *loop, struct seam_grants *grants, void *owner);
// A task has ended here: providers hear it. Before the instance is reset.
void seam_instance_task_end(struct seam_instance *i, struct seam_task *t);
// What a provider that has objects in the instance keeps for it; made if it isn't there (for canon_resource_ops.remake). NULL: no memory.
void *seam_instance_state(struct canon_instance *i, const struct seam_provider *p);
// A handle that the guest did not ask for, for an argument of an export. The class's interface must be bound to `p`, or (of an object that has moved here) to another
// of its kind. false: it is not, too many handles, or no memory; the object is still the caller's.
NODISCARD bool seam_instance_give(struct canon_instance *i, struct seam_provider *p, const struct canon_resource_ops *of, void *object, uint32_t *ret);
// Where a provider that has something there already may put objects later, outside of calls, whatever its links become; let go of once for each time it is held,
// at the latest in the instance's end. NULL: it has nothing there.
struct seam__seat;
struct seam__seat *seam_seat_hold(struct canon_instance *i, const struct seam_provider *p);
NODISCARD bool seam_seat_give(struct canon_instance *i, struct seam__seat *seat, const struct canon_resource_ops *of, void *object, uint32_t *ret);
void seam_seat_let_go(struct canon_instance *i, struct seam__seat *seat);

// ---- what a host function may do ------------------------------------------------------------------------------------------------------
// One call of a host function.
struct seam_call {
	struct seam_task *task;
	struct canon_task *thread;       // that calls: the task's own, or one of a thread of it (async)
	struct canon_instance *canon;    // the guest's side of the instance
	struct seam_instance *instance;  // and the host's
	const struct seam_binding *binding;
	const struct seam_func *func;
	struct seam__local *local;  // seam's: the table that the call is in
	uint64_t span;              // of a call through a link: what it begins belongs to
};
static inline struct arena *seam_arena(struct seam_call *c)
{
	return &c->thread->arena;
}
// Memory for what is returned, zeroed; freed when the result has been lowered. NULL: over the budget (return SEAM_TRAP: the message is set).
NODISCARD void *seam_alloc(struct seam_call *c, size_t size, size_t align);
#define SEAM_NEW(c, T) ((T *)seam_alloc((c), sizeof(T), _Alignof(T)))
#define SEAM_ARRAY(c, T, n) ((T *)seam_alloc((c), (size_t)(n) * sizeof(T), _Alignof(T)))
// A copy as a native string / list<u8>. false: as above.
NODISCARD bool seam_string(struct seam_call *c, struct slice s, struct wit_string *ret);
NODISCARD bool seam_bytes(struct seam_call *c, struct slice s, struct wit_list *ret);
static inline struct slice seam_slice(struct wit_string s)
{
	return slice_of(s.ptr, s.len);
}
static inline struct slice seam_list_bytes(struct wit_list l)
{
	return slice_of(l.ptr, l.len);
}
enum seam_result seam_trap(struct seam_call *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
enum seam_result seam_exit(struct seam_call *c, int32_t code);
// The error of the called function's result, where that has a place for what nobody foresaw: the first of `cases` that it knows, a text, or nothing at all.
// `text` goes where there is room for one. false: it has no such place, or (the message is set) no memory.
NODISCARD bool seam_put_error(struct seam_call *c, const char *const *cases, uint32_t n, struct slice text, void *ret);
// The same for a value of any type, with the text where it lies. `ret` NULL: only whether there is such a place.
NODISCARD bool seam_error_value(const struct wit_type *result, const char *const *cases, uint32_t n, struct wit_string text, void *ret);
// Work on what a guest gave or asked for, by its bytes, or VM_WORK_ITEM for what is looked at one by one: told before each piece of at most VM_WORK_LOOK. It
// may give others a turn. Not SEAM_OK: return it, the call is being ended.
enum seam_result seam_work(struct seam_call *c, uint64_t bytes);
// Logs, once for each kind, that `what` was denied and which flag would grant it.
void seam_deny(struct seam_call *c, enum seam_deny kind, const char *what, const char *flag);
// The same where no call is at hand.
void seam_grants_deny(struct seam_grants *g, enum seam_deny kind, const char *what, const char *flag);

// Host memory that lives beyond the call: it is charged to the instance (--memory) and freed with seam_mem_free at the latest when its resource is dropped.
// NULL: over the limit, or memory is out: the interface's error if it has one, else return seam_no_memory.
NODISCARD static inline void *seam_mem_alloc(struct canon_instance *i, size_t size)
{
	return pool_alloc(canon_instance_pool(i), size);
}
NODISCARD static inline void *seam_mem_zalloc(struct canon_instance *i, size_t size)
{
	return pool_zalloc(canon_instance_pool(i), size);
}
#define SEAM_MEM_NEW(i, T) ((T *)seam_mem_zalloc((i), sizeof(T)))
static inline void seam_mem_free(void *p)
{
	pool_free(p);
}
// Traps, and says which limit was met.
enum seam_result seam_no_memory(struct seam_call *c);

// What the provider that is called keeps for the instance; made at first use. NULL: no memory.
void *seam_state(struct seam_call *c);

// Resources. An object is the host function's own struct; its drop (ops.drop) runs when the guest drops the handle, at reset and at free.
// new: false when there are too many handles (the message is set: return SEAM_TRAP; the object is still the caller's).
NODISCARD bool seam_resource_new(struct seam_call *c, const struct canon_resource_ops *of, void *object, uint32_t *ret);
// NULL can't happen for a rep that came as an argument of that type, but for one that was taken in the same call. The object stays until the call returns,
// also over its parks, without a count of its own: the handle that it came by is lent meanwhile, and no task of the instance can drop a lent handle or give
// it away as own<T> (it traps, and the instance is dead then, but keeps its objects); a reset and a free come when no task is in it; and an object whose
// provider was replaced is its old provider's until it is dropped. What the object reaches, its class must keep.
void *seam_resource_get(struct seam_call *c, const struct seam_resource *type, uint32_t rep);
// own<T> argument: the object is the caller's now; the handle is gone.
void *seam_resource_take(struct seam_call *c, const struct seam_resource *type, uint32_t rep);

// Parking. Usage: put a seam_park in the object that will say when it is ready, then
//   seam_park_init(&p); register it (p is on the fiber's stack or in the object); r = seam_park(c, &p); unregister it.
// seam_park returns SEAM_OK after seam_wake (at once if it was woken before), SEAM_KILLED when the call is to end: return SEAM_KILLED then.
// The provider must forget the park before the host function returns. Meanwhile other tasks may run in the instance. Arguments are copies (functions that are
// SEAM_NEVER_PARKS must not), and an object that came as a borrow stays: its handle is lent until the call returns.
struct seam_park {
	struct seam_tasks *tasks;   // NULL: nobody waits yet
	struct seam_task_id task;
	struct canon_task *thread;  // of an async call, whose fiber is its own; NULL: the task's fiber waits
	bool woken;
};
void seam_park_init(struct seam_park *p);
enum seam_result seam_park(struct seam_call *c, struct seam_park *p);
// Others get a turn, and it is looked whether the call is to end, by its budget, deadline or kill: SEAM_KILLED then.
enum seam_result seam_look(struct seam_call *c);
// On the loop's thread. Waking twice, or before the park, is fine.
void seam_wake(struct seam_park *p);
// Parks until `deadline_ns` of loop_now_ns at the latest (UINT64_MAX: no deadline). *ret_timed_out may be NULL.
enum seam_result seam_park_until(struct seam_call *c, struct seam_park *p, uint64_t deadline_ns, bool *ret_timed_out);
// The same until a time that the guest has set: a wake of the thread for nothing else is on its budget.
enum seam_result seam_wait_until(struct seam_call *c, struct seam_park *p, uint64_t when_ns);
// The last that a function which is SEAM_LEAVES does: return what it gives. Waits until then, if that is to come, on no stack where it was lowered async.
enum seam_result seam_sleep_until(struct seam_call *c, uint64_t when_ns);

// What blocks (a disk, a name server) is done by a thread of the process's pool, which touches nothing but the chore's own data: memory that is charged to
// `memory`, and that is the chore's alone once nobody waits for it.
struct seam_chore_ops {
	void (*run)(void *data);   // on a thread of the pool
	void (*drop)(void *data);  // gives back what data holds (descriptors), on any thread, when it does not run; NULL: nothing
};
// Zeroed data of a chore that is not under way. `group`: of the pool's (loop_work), the component's, so that its instances share turns; 0: none. NULL: over the
// limit, or memory is out.
NODISCARD void *seam_chore_new(struct pool *memory, uint64_t group, size_t size, const struct seam_chore_ops *ops);
// Of one that is not under way. NULL does nothing.
void seam_chore_free(void *data);
// What it takes of a processor is on the budget of that task, if it is still there when the chore has run, and the chore was not let go.
void seam_chore_pays(void *data, struct seam_task *t);
// Runs it for the call's task, and waits until it has; the data is the caller's again. *ret_full: the pool has no place, it has not run. SEAM_KILLED: the data is gone.
enum seam_result seam_chore_do(struct seam_call *c, struct loop_pool *p, void *data, bool *ret_full);
// The same without waiting: `done` is called on the loop when it has run; the data is the caller's again then. false: the pool has no place.
NODISCARD bool seam_chore_begin(void *data, struct loop_pool *p, struct loop *l, void (*done)(void *data, void *ctx), void *ctx);
// Nobody waits for it any more: `done` is not called, the data is freed when it has run. One that has not begun runs only where `finish` says so. NULL does
// nothing; one that is not under way is freed.
void seam_chore_let_go(void *data, bool finish);

#endif
