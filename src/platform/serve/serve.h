// Room serve: what joins a component, its providers and a trigger. Loading a deployment, answering HTTP from it, and calling one export.
#ifndef TENON_SERVE_H
#define TENON_SERVE_H

#include "base/base.h"

enum serve_policy { SERVE_FRESH, SERVE_REUSE, SERVE_KEEP };
enum serve_init { SERVE_INIT_AUTO, SERVE_INIT_ONCE, SERVE_INIT_EACH };
enum serve_log { SERVE_LOG_ERROR, SERVE_LOG_WARN, SERVE_LOG_INFO, SERVE_LOG_DEBUG };

// Limits by whose they are (limits.def): times in nanoseconds, sizes in bytes; 0: no limit.
#define SERVE_LIMIT(scope, field, ...) SERVE_LIMIT_##scope(field)
#define SERVE_LIMIT_process(field) uint64_t field;
#define SERVE_LIMIT_listener(field)
#define SERVE_LIMIT_service(field)
struct serve_process_limits {
#include "limits.def"
};
#undef SERVE_LIMIT_process
#undef SERVE_LIMIT_listener
#define SERVE_LIMIT_process(field)
#define SERVE_LIMIT_listener(field) uint64_t field;
struct serve_listener_limits {
#include "limits.def"
};
#undef SERVE_LIMIT_listener
#undef SERVE_LIMIT_service
#define SERVE_LIMIT_listener(field)
#define SERVE_LIMIT_service(field) uint64_t field;
struct serve_service_limits {
#include "limits.def"
};
#undef SERVE_LIMIT_process
#undef SERVE_LIMIT_listener
#undef SERVE_LIMIT_service
#undef SERVE_LIMIT

// Strings are borrowed from the command line for the life of the process.
struct serve_pair {
	const char *name, *value;
};
// What stands behind a service: a component, what it is given, how its instances live.
struct serve_service_config {
	const char *path;  // of the component
	enum serve_policy policy;
	enum serve_init init;
	struct serve_service_limits limits;
	VEC(struct serve_pair)
	env;
	VEC(const char *)
	args;          // of `run`
	bool no_cache;
	bool poison_upper;  // debug mode of the compiler
};
// Where requests come from, and what they may be like on the wire.
struct serve_listener_config {
	const char *host;  // "": all addresses
	uint16_t port;     // 0: any free one
	struct serve_listener_limits limits;
};
// What all of them share.
struct serve_process_config {
	unsigned shards;   // 0: the cores that the cgroup gives
	struct serve_process_limits limits;
	enum serve_log log_level;
	bool json;         // results and logs as JSON
	bool terminal;     // stderr is one: a line a request
};
struct serve_config {
	struct serve_process_config process;
	struct serve_listener_config listener;
	struct serve_service_config service;
};
// All limits as limits.def has them, of a server or of `run`.
void serve_limits_default(struct serve_config *c, bool server);

// Runs a server until it is told to stop and has drained. Prints the ready line. Returns the exit status.
int serve_http(const struct serve_config *c, struct err *e);
// The same for several components on the same threads, each on its own address. The process is as the first one has it.
int serve_http_all(const struct serve_config *const *configs, unsigned n, struct err *e);

// How `run` ended, for --json.
struct serve_outcome {
	bool by_guest;
	int code;
	char backtrace[2048];  // whole lines; of a trap
};
// Calls `invoke` (WAVE), prints its result in WAVE on stdout. Returns the exit status.
int serve_invoke(const struct serve_config *c, const char *invoke, struct serve_outcome *ret, struct err *e);
// Runs the command that a component exports (wasi:cli/run). Returns the exit status.
int serve_command(const struct serve_config *c, struct serve_outcome *ret, struct err *e);
// Validates, compiles and caches; prints nothing.
bool serve_compile(const struct serve_config *c, struct err *e);

#endif
