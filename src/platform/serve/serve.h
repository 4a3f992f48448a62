// Room serve: what joins a component, its providers and a trigger. Loading a deployment, answering HTTP from it, and calling one export.
#ifndef TENON_SERVE_H
#define TENON_SERVE_H

#include "base/base.h"

enum serve_policy { SERVE_FRESH, SERVE_REUSE, SERVE_KEEP };
enum serve_init { SERVE_INIT_AUTO, SERVE_INIT_ONCE, SERVE_INIT_EACH };
enum serve_log { SERVE_LOG_ERROR, SERVE_LOG_WARN, SERVE_LOG_INFO, SERVE_LOG_DEBUG };

// Times in nanoseconds, sizes in bytes; 0: no limit.
struct serve_limits {
#define SERVE_LIMIT(field, ...) uint64_t field;
#include "limits.def"
#undef SERVE_LIMIT
};
void serve_limits_default(struct serve_limits *l, bool server);

// Strings are borrowed from the command line for the life of the process.
struct serve_pair {
	const char *name, *value;
};
struct serve_config {
	const char *path;   // of the component
	const char *host;   // address to listen on
	uint16_t port;      // 0: any free one
	unsigned shards;    // 0: the cores that the cgroup gives
	enum serve_policy policy;
	enum serve_init init;
	struct serve_limits limits;
	VEC(struct serve_pair)
	env;
	VEC(struct serve_pair)
	config;
	VEC(const char *)
	dirs;
	VEC(const char *)
	nets;
	VEC(const char *)
	args;  // of `run`
	bool no_cache;
	bool poison_upper;       // debug mode of the compiler
	enum serve_log log_level;
	bool json;               // results and logs as JSON
	bool terminal;           // stderr is one: a line a request
};

// Runs a server until it is told to stop and has drained. Prints the ready line. Returns the exit status.
int serve_http(const struct serve_config *c, struct err *e);
// The same for several components on the same threads, each on its own address. `shards` is the first one's.
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
