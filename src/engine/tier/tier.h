// Room tier: when and where code is compiled, and the cache of what was.
#ifndef TENON_TIER_H
#define TENON_TIER_H

#include "base/base.h"
#include "vm/vm.h"
#include "wasm/wasm.h"

struct tier_options {
	bool no_cache;      // neither read nor write the cache on disk
	bool poison_upper;  // debug mode of the compiler; never cached
	unsigned threads;   // 0: the cores that this process may use
};

// What tier_compile did, for benches and logs. Times in nanoseconds of wall clock.
struct tier_stats {
	bool from_cache;
	uint64_t code_bytes;     // of code sections
	uint64_t native_bytes;
	uint64_t compile_ns;     // validation and compiling
	uint64_t cache_ns;       // reading or writing the cache
};

// Makes the core modules of one file runnable: validates their bodies and compiles them, functions in parallel, or takes both from the cache.
// `file` is the file whose content they are (identity in the cache; `path` may be NULL: the content is hashed). The modules must outlive the vm_modules.
// On success ret[0..n) each hold one reference. ERR_INVALID... as wasm_validate_func, with the module's offset.
NODISCARD bool tier_compile(const struct wasm_module *const *modules, uint32_t n, struct slice file, const char *path, const struct tier_options *opt,
	struct vm_module **ret, struct tier_stats *stats, struct err *e);

// Cores that this process may use: affinity and the cgroup's quota. At least 1.
unsigned tier_cores(void);

#endif
