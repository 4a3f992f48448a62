// Inside the room tier. cache.c: the directory; file.c: entries of a file; bytes.c: what files held;
// behind.c: what is done behind the first answer; compile.c: compiling.
#ifndef TENON_TIER_INT_H
#define TENON_TIER_INT_H

#include "baseline/baseline.h"
#include "code/code.h"
#include "sys/sys.h"
#include "tier.h"

// A warning, in one line without its end (tier_tell_by).
void tier__tell(const char *fmt, ...) PRINTF_LIKE(1, 2);

// ---- cache.c ---------------------------------------------------------------------------------------------------------------------------
// Where the cache lies: $TENON_CACHE, $XDG_CACHE_HOME/tenon, ~/.cache/tenon. -1: there is none to be had (no home, not ours, not 0700): do without.
// `e` says why there is none, or that nothing can be added to it; no home to have it in is no error.
int tier__cache_open(struct err *e);

struct tier_key {
	uint8_t bytes[TIER_KEY_SIZE];
};
// A file by device, inode, size and times: what its content hashes to is remembered by them, so that a warm start need not read it.
struct tier__identity {
	struct tier_key by_stat;
	bool settled;  // written long enough ago for another write to show in its times
};
// What it is known by, and what it hashed to then. false: that is not remembered, or it has another size.
bool tier__identity_find(int cache, int file_fd, uint64_t size, struct tier__identity *ret, struct tier_key *ret_content);
// Remembers it, where the file is settled: in this process. On the disk, for which it waits.
void tier__identity_remember(const struct tier__identity *id, const struct tier_key *content);
void tier__identity_keep(int cache, const struct tier__identity *id, const struct tier_key *content);
// SHA-256 of the bytes.
void tier__key_of(struct slice bytes, struct tier_key *ret);

struct tier__entry {
	uint64_t size;
	uint64_t stamp[5];      // device, inode, size and time of the last write
	bool settled;           // written long enough ago for another write to show in its time
	bool checked;           // it is as it was written, or its content was compared with its hash since
};
// Opens an entry ("code", "image", "bytes"). -1: there is none.
int tier__cache_get(int cache, const struct tier_key *key, const char *kind, struct tier__entry *ret);
// Remembers that the content which `of` describes is what was written: the next start need not read all of it before it runs. Nothing, where it was written to since.
void tier__cache_note_checked(int cache, const struct tier_key *key, const char *kind, const struct tier__entry *of);
// Writes an entry under a temporary name and renames it; from time to time trims the cache, which never has more than `max` bytes.
// Failure is no error: the next start compiles again.
typedef bool (*tier__write_fn)(int fd, void *arg);
bool tier__cache_put(int cache, const struct tier_key *key, const char *kind, tier__write_fn write, void *arg, uint64_t max);
void tier__cache_remove(int cache, const struct tier_key *key, const char *kind);
#define TIER__CACHE_MAX (2ull << 30)

// ---- file.c ----------------------------------------------------------------------------------------------------------------------------
// From so many bytes on hashing takes longer than a thread does to begin.
#define TIER__HASH_BESIDE (1u << 20)
// What entries of a content are called, by all that code depends on besides (L49).
void tier__code_key(const struct tier_key *content, struct slice build, uint32_t cpu, uint64_t flags, struct tier_key *ret);

// ---- compile.c -------------------------------------------------------------------------------------------------------------------------
// Compiles all modules; ret[k] are the caller's to release, also on failure (zeroed where there is none). `is_over`: asked after each piece of 64 KiB
// whether it is of no use any more, which is a failure without an error; NULL: never.
struct tier__over {
	bool (*is)(const void *arg);
	const void *arg;
};
NODISCARD bool tier__compile(const struct wasm_module *const *modules, uint32_t n, const struct tier_options *opt, uint32_t cpu, const struct tier__over *is_over,
	struct code_artifact *ret, struct err *e);

// Validates them: they are compiled when they are called, but for what is too large to be compiled while somebody waits. That is compiled ahead, by a
// thread, beside what the caller does next.
struct tier__ahead;
struct tier__called {
	uint32_t n;
	const struct wasm_module **modules;  // as the code sees them
	struct code_object **code;           // a reference each; it holds the modules' bodies
};
NODISCARD bool tier__compile_called(const struct wasm_module *const *modules, uint32_t n, const struct tier_options *opt, uint32_t cpu,
	const struct tier__over *is_over, struct tier__called **ret, struct tier__ahead **ret_ahead, struct err *e);
// Helps, and waits for it. NULL: nothing was too large.
void tier__ahead_end(struct tier__ahead *a);
// Without what nobody is at yet.
void tier__ahead_cancel(struct tier__ahead *a);
void tier__called_free(struct tier__called *c);
// Bytes of a body that are too many to be compiled while somebody waits, each value that is listed counted as so many.
enum { TIER__LAZY_BODY = 48 << 10, TIER__LAZY_LISTED = 8 };
// Each module whose functions come when they are called keeps a descriptor: of files of more modules all is compiled at once.
enum { TIER__LAZY_MODULES = 64 };

// ---- lazy.c ----------------------------------------------------------------------------------------------------------------------------
struct tier__lazy;
NODISCARD bool tier__lazy_new(const struct wasm_module *m, struct tier__lazy **ret, struct err *e);
void tier__lazy_free(struct tier__lazy *z);
// The module with bodies of its own, which are to be taken one by one before anybody looks at them.
const struct wasm_module *tier__lazy_module(const struct tier__lazy *z);
void tier__lazy_take_body(struct tier__lazy *z, uint32_t func);
// Code of the module, now validated, that is compiled when it is called. Takes z over in any case.
NODISCARD bool tier__lazy_publish(struct tier__lazy *z, const struct abi_layout *layout, const struct baseline_options *options, struct code_object **ret,
	struct err *e);
// Compiles a function that nobody has called yet: who calls it meanwhile waits. The two threads that do so have numbers.
enum { TIER__AHEAD_THREADS = 2 };
void tier__lazy_ahead(struct tier__lazy *z, uint32_t func, unsigned thread, struct wasm_scratch *scratch);

// ---- behind.c --------------------------------------------------------------------------------------------------------------------------
// Has fn(arg) called by a thread of low priority a little later, in order, but long ones after the others. `must`: also when the process ends first; else
// `drop` is called then, or when there is no thread to be had.
struct tier__job {
	struct tier__job *next;
	void (*fn)(struct tier__job *job);    // frees the job
	void (*drop)(struct tier__job *job);  // the same without the work
	bool (*is_wanted)(struct tier__job *job);  // NULL: always; what isn't any more is dropped
	bool must;
	bool is_long;  // when the process ends it begins only, and goes on only, until tier__is_over
	uint64_t bytes;  // that it keeps until it is done: of those that wait the oldest are dropped beyond TIER__WAITING_MAX; of large ones, beyond so many
};
#define TIER__WAITING_MAX (64ull << 20)
#define TIER__LARGE (8ull << 20)
#define TIER__LARGE_MAX 6  // of two files, bytes, code and image of each
void tier__behind(struct tier__job *job);
// The process ends, and waits for what must be done.
bool tier__is_ending(void);
// It has waited for two seconds.
bool tier__is_over(void);
// What was read from the cache is not what was checked before: nothing that ran since can be trusted. Ends the process.
_Noreturn void tier__distrust(const struct err *e);

#endif
