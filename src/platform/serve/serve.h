// Room serve: what joins a component, its providers and a trigger. Loading a deployment, answering HTTP from it, and calling one export.
#ifndef TENON_SERVE_H
#define TENON_SERVE_H

#include "base/base.h"
#include "seam/seam.h"

struct http_field;
struct seam_offer;
struct comp_component;
struct loop;
struct loop_pool;
struct serve_service;

enum { SERVE_COMPONENT_MAX = 1 << 30 };  // bytes of its file
enum serve_policy { SERVE_FRESH, SERVE_REUSE, SERVE_KEEP, SERVE_CONCURRENT };
enum serve_init { SERVE_INIT_AUTO, SERVE_INIT_ONCE, SERVE_INIT_EACH };
enum serve_log { SERVE_LOG_ERROR, SERVE_LOG_WARN, SERVE_LOG_INFO, SERVE_LOG_DEBUG };

// Limits by whose they are (limits.def): times in nanoseconds, sizes in bytes; 0: no limit.
#define SERVE_LIMIT(scope, field, ...) SERVE_LIMIT_##scope(field)
#define SERVE_LIMIT_process(field) uint64_t field;
#define SERVE_LIMIT_listener(field)
#define SERVE_LIMIT_service(field)
struct serve_process_limits {
#include "app/limits.def"
};
#undef SERVE_LIMIT_process
#undef SERVE_LIMIT_listener
#define SERVE_LIMIT_process(field)
#define SERVE_LIMIT_listener(field) uint64_t field;
struct serve_listener_limits {
#include "app/limits.def"
};
#undef SERVE_LIMIT_listener
#undef SERVE_LIMIT_service
#define SERVE_LIMIT_listener(field)
#define SERVE_LIMIT_service(field) uint64_t field;
struct serve_service_limits {
#include "app/limits.def"
};
#undef SERVE_LIMIT_process
#undef SERVE_LIMIT_listener
#undef SERVE_LIMIT_service
#undef SERVE_LIMIT

// Strings are borrowed from the command line for the life of the process.
struct serve_pair {
	const char *name, *value;
};
// A folder for the guest.
struct serve_folder {
	const char *host, *guest;
	bool read_only;
};
// Who says what a component is granted: in whose words a denial names what would.
enum serve_words { SERVE_WORDS_FLAGS, SERVE_WORDS_TENON, SERVE_WORDS_SPIN };
// What stands behind a service: a component, what it is given, how its instances live.
struct serve_service_config {
	const char *name;  // of the component in its app; NULL: the stem of the file
	const char *path;  // of the component
	const char *sha256;  // that it must have, in hexadecimal; NULL: any
	int file;          // it, open for reading, plus 1: the load takes it over. 0: it is opened by its path
	enum serve_policy policy;
	enum serve_init init;
	VEC(const char *)
	warm;          // targets of requests that are answered once before the image is taken, whatever `init` says
	struct serve_service_limits limits;
	VEC(struct serve_pair)
	env, settings;  // settings: of wasi:config
	VEC(const char *)
	args;          // of `run`
	VEC(const char *)
	nets;          // rules, as --net has them
	bool private_nets;
	VEC(const char *)
	private_ranges;      // the same of these alone
	bool asks_https;     // also where no rule of `nets` says so
	const char *ca;      // roots besides the system's, in PEM; NULL: none
	VEC(struct seam_listen)
	listens;       // where sockets of guests may listen
	VEC(struct serve_folder)
	folders;
	uint64_t max_instances;  // at work at once, in the process; 0: no limit
	uint64_t min_instances;  // kept ready, in the process
	uint64_t idle_fresh;     // policy fresh: an instance that nobody called for so long goes; 0: it stays
	bool last_stays;         // policy fresh: but for the last of a thread
	uint64_t tree_memory;    // bytes that the instances of a call and of all that it calls may have together; 0: no limit
	unsigned max_tasks;  // in place of what policy and `concurrency` say; 0: what they say  // for tests
	// What is offered to the component besides WASI, and before it, asked once it is decoded; in the arena. An offer without a provider is by the component's own
	// WASI. NULL: nothing.
	bool (*offer)(const struct serve_service_config *c, struct arena *a, const struct comp_component *comp, struct seam_offer **ret, uint32_t *ret_n,
		struct err *e);
	void *links;  // of who offers
	const struct seam_offer *offers;  // the same, known before  // for tests
	uint32_t n_offers;
	struct http_quota *quota;  // connections to servers that its app has; as long as the process; NULL: no bound
	enum serve_words words;
	bool is_called;  // others may call it: it need not answer requests
	bool no_cache;
	bool poison_upper;  // debug mode of the compiler
	bool compiles_all;  // at once, not when it is called
	uint32_t features_on, features_off;  // enum wasm_feature: what core modules may use besides what is on by itself, and may not
	// Nobody reads this configuration any more; on thread 0. NULL: nobody wants to know.
	void (*forget)(const struct serve_service_config *c);
};
static inline uint32_t serve_features(const struct serve_service_config *c)
{
	return (WASM_FEATURES_DEFAULT | c->features_on) & ~c->features_off;
}
// Where requests come from, and what they may be like on the wire.
struct serve_listener_config {
	// HOST:PORT (no host: all addresses; port 0: any free one) or unix:PATH. None: the sockets that were handed over, where there are some, else SERVE_ADDRESS.
	VEC(const char *)
	addresses;
	VEC(const char *)
	certs, keys;  // of TLS, on all but sockets in the file system: as many of each; none: in clear
	VEC(const char *)
	trust_proxy;  // ranges of addresses whose Forwarded and X-Forwarded-* count
	struct serve_listener_limits limits;
};
// Which requests of a listener are whose. "/users/:id/files/...": literal segments, :NAME for one, at the end ... for all that follow, none among them.
// Literal beats :NAME beats "...". Paths are resolved before (docs/serve.md).
struct serve_route_config {
	const char *pattern;
	const char *id;    // what it is called where it is told of; may be NULL
	const char *app;   // likewise, whose it is
	const char *host;  // without port; NULL: any
	VEC(const char *)
	methods;           // none: all
	const char *service;  // of the same app; NULL: it is answered with what follows
	unsigned status;
	VEC(struct http_field)
	fields;
	struct slice body;
	bool has_deadline, has_cpu;  // in place of the service's
	uint64_t deadline, cpu;      // 0: no limit
};
// What calls wasi:cli/run of a component when no request does.
enum serve_trigger_kind {
	SERVE_TRIGGER_START,    // from the start on, again and again
	SERVE_TRIGGER_COMMAND,  // once, at the start
	SERVE_TRIGGER_CRON,     // at times
};
struct app_schedule;
struct serve_trigger_config {
	enum serve_trigger_kind kind;
	const char *id, *service;  // of the same app
	uint64_t cpu, deadline;    // of a run; 0: no limit
	bool overlap;              // cron: a run begins although the last one runs; start: at an update the new one begins before the old one ends
	const struct app_schedule *when;  // cron
	const char *timezone;             // cron
	int64_t since;             // cron: what came due from then on (seconds since 1970) was missed; 0: nothing was
	// Cron: it runs, or is skipped, and what came due before has been seen to. On any thread. NULL: nobody wants to know.
	void (*ran)(void *user, const char *id, int64_t at);
	void *user;
};
// Can a route have such a pattern, and such a host? ERR_USAGE.
NODISCARD bool serve_check_pattern(const char *pattern, struct err *e);
NODISCARD bool serve_check_host(const char *host, struct err *e);
// Is there such a zone? ERR_USAGE.
NODISCARD bool serve_check_timezone(const char *name, struct err *e);
// Components that belong together, the routes to them, and what else calls them.
struct serve_app_config {
	const char *name;
	uint64_t max_calls;  // of all its components at once; 0: no limit
	uint64_t max_memory; // bytes that calls of all its components use; 0: no limit
	unsigned listener;   // of the setup: whose requests its routes are about
	bool fails;          // as of serve_app_fail; `begin` of who stands beside may still say so
	VEC(struct serve_service_config)
	services;
	VEC(struct serve_route_config)
	routes;
	VEC(struct serve_trigger_config)
	triggers;
};
// What all of them share.
struct serve_process_config {
	unsigned shards;   // 0: the cores that the cgroup gives
	struct serve_process_limits limits;
	enum serve_log log_level;
	const char *admin;  // the address of /healthz, /readyz and /metrics, as those of listeners; NULL: none
	const char *access_log;  // a line a request: a file, "-": stdout, NULL: none
	const char *otlp;  // where traces are sent to (obs_check_url); NULL: none are made
	unsigned trace_ppm;  // of requests that bring no context: how many of a million are sampled
	bool json;         // results and logs as JSON
	bool terminal;     // stderr is one: a line a request
	// A version of a service was taken back by itself; on thread 0. NULL: nobody wants to know.
	void (*taken_back)(void *user, const char *app, const char *component, uint64_t version, const char *why);
	// SIGHUP came; on thread 0. false: it meant nothing here. NULL: nobody wants to know.
	bool (*hang_up)(void *user);
	void *user;
};
struct serve_config {
	struct serve_process_config process;
	struct serve_listener_config listener;
	struct serve_service_config service;
};
struct serve_threads {
	struct loop *const *loops;  // of all threads, thread 0's first
	unsigned n;
	struct loop_pool *pool, *names;  // for what blocks; that looks names up
	struct serve_process *process;
};
// Who stands beside the process, with what services are linked to. Any may be NULL.
struct serve_beside {
	// On thread 0, before anything is loaded. What it is told lives until `end`.
	bool (*begin)(void *ctx, const struct serve_threads *t, struct err *e);
	void (*thread_end)(void *ctx, struct loop *l);  // on each thread: no call is left there
	void (*end)(void *ctx);                         // on thread 0, when all have ended, and where `begin` was called
	void *ctx;
};
// A process with several apps. All of it is borrowed until it is closed.
struct serve_process;
struct serve_setup {
	const struct serve_process_config *process;
	const struct serve_listener_config *listeners;  // what was handed over (LISTEN_FDS) is the first one's
	unsigned n_listeners;
	const struct serve_app_config *apps;
	unsigned n_apps;
	struct serve_beside beside;
};
#define SERVE_ADDRESS "127.0.0.1:3000"
// Is it something to listen on? Errors: USAGE.
NODISCARD bool serve_check_address(const char *text, struct err *e);
// Bytes of memory that this process may have: of the machine, or what the cgroups leave it of that.
uint64_t serve_memory_there_is(void);
// All limits as limits.def has them, of a server or of `run`.
void serve_limits_default(struct serve_config *c, bool server);

// A server of several apps by routes, in parts. All of it on one thread, which is thread 0 of the process.
NODISCARD bool serve_open(const struct serve_setup *setup, struct serve_process **ret, struct err *e);
// Says that it is ready, and runs until it is told to stop and has drained.
void serve_run(struct serve_process *p);
// Also of one that did not open. The exit status of one that did: 0, or, where it ended with its commands, that of the first that failed; else that of *e, which
// is cleared where the start was ended by a signal.
int serve_close(struct serve_process *p, struct err *e);

// ---- changes while it runs; all on thread 0 ----------------------------------------------------------------------------------------------
struct serve_version;
// Every thread has taken a change up (e->code is ERR_NONE), or why nothing has changed.
typedef void serve_done_fn(void *ctx, const struct err *e);
// A place for a component that comes, or came before and left: versions of it are prepared, and the first that is committed is in force for all requests. Nothing
// leads to it until then. LIMIT; REFUSED: it is there.
NODISCARD bool serve_service_new(struct serve_process *p, const char *app, const struct serve_service_config *c, struct serve_service **ret, struct err *e);
// None of its versions is in force any more; no route and no component leads to it any more. What runs in them goes on, at most for so long (0: to its end).
// After serve_service_leave_prepare it does not fail: `done` gets ERR_NONE.
NODISCARD bool serve_service_leave_prepare(struct serve_service *s, struct err *e);
void serve_service_leave(struct serve_service *s, uint64_t drain_ns, serve_done_fn *done, void *ctx);
// A version of it is in force. NULL: false.
bool serve_service_is_there(const struct serve_service *s);
// Of all components of an app together: calls at once, bytes of what they have written to; 0: no limit.
void serve_app_set_limits(struct serve_process *p, const char *app, uint64_t max_calls, uint64_t max_memory);
// What an app requires isn't there: its components' requests are answered with 503, and none of its triggers begins, until it is. From any thread.
void serve_app_fail(const struct serve_process *p, const char *app, bool fails);
bool serve_app_fails(const struct serve_process *p, const char *app);
// NULL: there is none.
struct serve_service *serve_service_find(const struct serve_process *p, const char *app, const char *component);
// May its next version be of that policy, whatever it is now? ERR_REFUSED: a trigger of it keeps it from becoming one that is kept. On thread 0.
NODISCARD bool serve_service_may_be(const struct serve_service *s, enum serve_policy policy, struct err *e);
// Loads another version of a service, on a thread of its own, and takes its image on thread 0's loop, while the service goes on as it is. `ready` is called
// once: with a version that is to be committed or abandoned, or with NULL and why. The configuration is borrowed until its `forget`, also when this fails.
void serve_version_prepare(struct serve_service *s, const struct serve_service_config *c,
	void (*ready)(void *ctx, struct serve_version *v, const struct err *e), void *ctx);
void serve_version_abandon(struct serve_version *v);
struct serve_update {
	unsigned percent;             // of requests; from 100 on: all
	const char *cookie, *header;  // while two versions serve: who carries the same value gets the same one. Borrowed as long as the service is
	uint64_t drain_ns;            // what runs in a version that leaves is ended then; 0: it is not
	// The version is taken back where of at least ten of its calls within `over_ns` more failed (a status from 500 on), in hundredths of a percent, or more than
	// one of a hundred took longer than `p99_ns`. 0: not asked for.
	unsigned errors;
	uint64_t p99_ns, over_ns;
	bool same_bytes;  // as in force, made anew for something else: watched for what is left of their time, if they are; where they fail it is told (taken_back)
};
// The version is in force for its share of the requests that come from now on; what runs ends in the version that it began in. One that was tried before leaves.
// This does not fail: `done` gets ERR_NONE.
void serve_version_commit(struct serve_service *s, struct serve_version *v, const struct serve_update *u, serve_done_fn *done, void *ctx);
// Another share for the version that is tried; all requests to it; none: the one before is back. ERR_USAGE: there is no such version.
NODISCARD bool serve_service_split(struct serve_service *s, unsigned percent, serve_done_fn *done, void *ctx, struct err *e);
NODISCARD bool serve_service_promote(struct serve_service *s, serve_done_fn *done, void *ctx, struct err *e);
NODISCARD bool serve_service_rollback(struct serve_service *s, serve_done_fn *done, void *ctx, struct err *e);
// The version in force took over before this process began, and is watched by the thresholds of the update for what is left of its time. The one before isn't here:
// where they are passed, the configuration's taken_back is called, and this one serves until another is committed. Nothing where a version is tried or watched already.
void serve_service_watch(struct serve_service *s, const struct serve_update *u, uint64_t left_ns);
// Numbers of the version in force and of the one that is tried, which grow with each that comes; 0: there is none. On thread 0.
struct serve_numbers {
	uint64_t in_force, tried;
};
struct serve_numbers serve_service_numbers(const struct serve_service *s);

// The routes of all apps, as they are to be; their services are those that are there. Of `apps` nothing is kept. ERR_REFUSED: those of another app are on their
// way, or a listener has none; USAGE: they contradict each other.
struct serve_routes;
NODISCARD bool serve_routes_prepare(struct serve_process *p, const struct serve_app_config *apps, unsigned n_apps, struct serve_routes **ret,
	struct err *e);
// Before versions that came with them are committed: where one that is to be kept takes the place of one that is not, its requests go to the thread that will have
// it from here on. Then serve_routes_commit comes, no abandoning. Nothing fails.
void serve_routes_lead(struct serve_routes *r, serve_done_fn *done, void *ctx);
// In force for the requests that come from now on; those that run keep theirs.
void serve_routes_commit(struct serve_routes *r, serve_done_fn *done, void *ctx);
// NULL does nothing.
void serve_routes_abandon(struct serve_routes *r);

// Where requests come in, as it is to be. `site`: a listener of the setup, or one that came, by its index; SERVE_NO_SITE: one more comes, whose index
// serve_addresses_site says. Those of the configuration that aren't listened on yet come, others of that site go. NULL: none come.
// `leaves`: a site all of whose addresses go: their connections drain, by the routes that it has, and its index is used again.
enum { SERVE_NO_SITE = INT32_MAX };
struct serve_address_change {
	unsigned site;
	const struct serve_listener_config *config;  // until `ready`
	unsigned leaves;  // SERVE_NO_SITE: none
	// TLS, trust_proxy and limits of `site` become the configuration's: limits and TLS of connections that come from then on, trust_proxy of requests.
	bool rewires;
};
struct serve_addresses;
// `ready` is called once, perhaps before this returns: with addresses that are bound, and hold who comes, or with NULL and why. Then routes may be prepared.
void serve_addresses_prepare(struct serve_process *p, const struct serve_address_change *c,
	void (*ready)(void *ctx, struct serve_addresses *a, const struct err *e), void *ctx);
unsigned serve_addresses_site(const struct serve_addresses *a);
// They accept; then those that go drain. `done`: nobody comes by those any more.
void serve_addresses_commit(struct serve_addresses *a, serve_done_fn *done, void *ctx);
// NULL does nothing.
void serve_addresses_abandon(struct serve_addresses *a);

// What else calls components of an app, as it is to be: those that are there already and the same stay, whatever their limits are; those that go end no run but
// that of a `start`. Its components are those that are there, or about to come. Of the list nothing is kept. ERR_REFUSED: those of another app are on their way;
// ERR_LINK, USAGE: as of a start.
struct serve_triggers;
NODISCARD bool serve_triggers_prepare(struct serve_process *p, const char *app, const struct serve_trigger_config *list, uint32_t n, struct serve_triggers **ret,
	struct err *e);
void serve_triggers_commit(struct serve_triggers *g, serve_done_fn *done, void *ctx);
// NULL does nothing.
void serve_triggers_abandon(struct serve_triggers *g);

// What a component exports, for another's import of that interface: interface, operations and provider of *ret. Instances of it are of the caller's thread and
// root invocation (docs/serve.md); a call ends after `deadline_ns` (0: by theirs alone). From any thread, once the component is there. ERR_LINK: it is not, it does
// not export that, or it can't be called so.
NODISCARD bool serve_component_offer(struct serve_process *p, const char *app, const char *component, struct slice interface, uint64_t deadline_ns,
	struct seam_offer *ret, struct err *e);

// ---- for what stands beside it, from any thread ---------------------------------------------------------------------------------------------
// Of a component: counts since the start, times in nanoseconds, sizes in bytes. Strings live as long as the process.
struct serve_component_facts {
	const char *app, *component, *policy;
	char path[512];  // cut
	bool is_there;   // a version of it is in force
	bool watched;    // its thresholds may take that one back, for so long; 0: as long as calls of that time are under way, or as it is tried
	uint64_t watched_ns;
	uint64_t requests, errors, traps;    // that are over; answered with 500 and more; that did not return
	uint64_t inner_calls;                // of it by triggers and other components, that are over; no requests
	uint64_t calls, queued, instances;   // now
	uint64_t cpu_ns, duration_ns, p50_ns, p99_ns, memory_peak;  // p50, p99: upper bounds
};
// false: there are not so many.
bool serve_component_facts(const struct serve_process *p, unsigned i, struct serve_component_facts *ret);
// The app that it is of. NULL: there are not so many.
const char *serve_component_app(const struct serve_process *p, unsigned i);
// What its instances called through a link. Sums of all threads.
struct serve_link_facts {
	char link[64];  // "(outgoing)": requests that went out by none
	uint64_t calls, errors, duration_ns, p50_ns, p99_ns;  // errors: that did not go well
};
// The i-th link of the component of that index, in no order that stays. false: there are not so many.
bool serve_link_facts(const struct serve_process *p, unsigned component, unsigned i, struct serve_link_facts *ret);
// What stands behind an import of a component. Texts are good while `fn` runs.
struct serve_import_facts {
	struct slice import;
	const char *interface, *provider;  // NULL: types alone, which need nobody
	const char *link, *rule;           // NULL: no link
	const char *line;                  // of a tenon.toml, that would grant it; NULL: it is granted, or needs no grant
	const char *flag;                  // what `line` is on the command line ("net"); NULL: a link
	const char *grant;                 // what is granted of it, by its flag ("net"); NULL: nothing is, or there is nothing to grant
	bool is_denied;                    // it is linked to a denial
};
// Of the version in force. From any thread. false: there is no such component.
bool serve_imports(struct serve_process *p, const char *app, const char *component, void (*fn)(void *user, const struct serve_import_facts *f), void *user);
// What a version that is prepared imports and the one in force doesn't, whatever their versions, but for types alone. On thread 0. false: memory is out.
NODISCARD bool serve_imports_more(const struct serve_service *s, const struct serve_version *v, void (*fn)(void *user, const struct serve_import_facts *f),
	void *user, struct err *e);
struct serve_process_facts {
	const char *state;  // "starting", "ready", "draining"
	uint64_t started_ns;  // since 1970
	uint64_t cpu_ns, memory, memory_limit;
	unsigned shards, listeners;
};
void serve_process_facts(const struct serve_process *p, struct serve_process_facts *ret);
// "http://127.0.0.1:3000", "unix:PATH"; of the first `listeners`. false: nobody is listening there.
bool serve_listener_name(struct serve_process *p, unsigned i, struct buf *b);
// What became of a request lately. Sizes of texts with their zero; what is longer is cut.
struct serve_receipt {
	uint64_t id, time_ns;  // when it was over, since 1970
	char app[64], component[64], route[64], method[16], path[128];  // route: empty where there are none
	const char *outcome;
	unsigned status, shard;
	uint64_t wall_ns, cpu_ns, wait_ns, host_calls, memory_peak;
	uint64_t link_calls, link_ns;  // through links, also of components that it called, and requests that went out
	uint64_t release;              // of its app, when it came (serve_app_release)
	uint64_t version;              // of its component, that it ran in; 0: none
	uint64_t instance, uses;       // of those that the shard made; how many requests that served since it was equal to the image, this one too. 0: none
};
// What receipts of the app's requests that come from now on have as its release. From any thread.
void serve_app_release(const struct serve_process *p, const char *app, uint64_t number);
// Of those that there are of the last thousand of each thread, in no order.
void serve_receipts(const struct serve_process *p, void (*fn)(void *user, const struct serve_receipt *r), void *user);
// A call through a link, or a request that went out.
enum { SERVE_RECEIPT_CALLS = 32 };  // that are kept of one request
struct serve_receipt_call {
	uint64_t request;            // of the receipt
	uint64_t after_ns, took_ns;  // that it had begun
	char component[64], link[64], call[112];  // who called; empty: a request that went out by no link; "ns:pkg/iface@version#func", "GET https://host:port"
	const char *outcome;         // "ok", "error" (the guest got one), "trap", "ended"
	unsigned status;             // of a request's answer; 0: none
};
// Of the last thousands of each thread, in no order; of one request in the order in which they ended.
void serve_receipt_calls(const struct serve_process *p, void (*fn)(void *user, const struct serve_receipt_call *c), void *user);
// Lines of its log are kept from here on, a megabyte of them, and `told` of each, on any thread, by who must not wait. NULL: no more.
void serve_log_keep(void (*told)(void *user), void *user);
// Those behind `*after` (0: all that are kept), at most so many, each with its newline; *after moves on. `fn` must not wait. Returns how many are lost.
uint64_t serve_log_lines(uint64_t *after, uint32_t most, void (*fn)(void *user, uint64_t id, struct slice line), void *user);
// A warning in its log.
void serve_warn(const struct serve_process *p, const char *fmt, ...) PRINTF_LIKE(2, 3);
// Of thread 0, to post to from others; it lives until serve_close.
struct loop *serve_process_loop(const struct serve_process *p);
// On thread 0: its loop goes round once.
void serve_process_turn(struct serve_process *p, uint64_t max_wait_ns);

// How `run` ended, for --json.
#define SERVE_BACKTRACE_MAX 8192
struct serve_outcome {
	bool by_guest;
	int code;
	char backtrace[SERVE_BACKTRACE_MAX];  // whole lines; of a trap
};
// Calls `invoke` (WAVE), prints its result in WAVE on stdout. Returns the exit status.
int serve_invoke(const struct serve_config *c, const char *invoke, struct serve_outcome *ret, struct err *e);
// Is the file a core module with worlds, which is served as a component (comp_module_has_world)?
bool serve_file_has_world(int fd);
// Is the file the one of that SHA-256 (64 hexadecimal digits)? ERR_INVALID, with both: it is not. `path`: what it is called.
NODISCARD bool serve_check_sha256(const char *path, struct slice file, const char *pinned, struct err *e);
// May many calls be in an instance of it at once (policy concurrent)? ERR_LINK: what it exports is synchronous.
NODISCARD bool serve_check_concurrent(const struct comp_component *comp, struct err *e);
// Runs the command that a component exports (wasi:cli/run). Returns the exit status.
int serve_command(const struct serve_config *c, struct serve_outcome *ret, struct err *e);
// What stands behind an import: an interface, and who has it. NULL: nothing does.
struct serve_served_by {
	const char *interface, *provider;
};
// By import of the component, which may be one that can't be run. Nothing is compiled.
NODISCARD bool serve_describe_imports(const struct comp_component *comp, struct serve_served_by *ret, struct err *e);
// Where the image of a component is taken: `after` of `of` steps of instantiation, and what comes then (empty: nothing, the image is of the whole).
struct serve_image_facts {
	uint32_t after, of;
	uint64_t bytes;
	char why[160];
	uint32_t warmed;  // requests that were answered before
	bool once;        // of the whole whatever it asked: what it was told is in each instance
};
// Loads, links and instantiates the component, as a server does before it is ready: the guest's start runs, within the limits of the configuration.
NODISCARD bool serve_describe_image(const struct serve_config *c, struct serve_image_facts *ret, struct err *e);

// Validates, compiles and caches; prints nothing.
bool serve_compile(const struct serve_config *c, struct err *e);

#endif
