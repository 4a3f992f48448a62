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
	uint64_t lazy_from;  // bytes of code sections from which on functions are compiled when they are called; 0: never (TIER_LAZY_FROM is what pays)
	uint32_t features;  // that modules are decoded with: what was compiled with others is not found again
	const uint8_t *content;  // what the file's bytes hash to (tier_bytes_know); NULL: nobody knows
	bool (*is_loaded)(const uint8_t *key);  // asked once by the thread that hashes: whether compiling a file of this key is for nothing. NULL: it never is
};

#define TIER_LAZY_FROM (256u << 10)

// What was done, for benches and logs. Times in nanoseconds of wall clock.
struct tier_stats {
	bool from_cache;
	uint64_t code_bytes;     // of code sections
	uint64_t native_bytes;   // 0: functions are compiled when they are called
	uint64_t compile_ns;     // validation and compiling
	uint64_t cache_ns;       // reading the cache
};

// A file of core modules (a component, a module) and what the cache has of it. Entries are keyed by the content, this program's build, the
// processor's features and flags.
struct tier_file;
// `bytes`: the file's, needed as long as it hashes; where opt->content is given, not at all. Not to be had: a cache (then all is compiled each time); ERR_ENV: a
// processor that generated code can run on.
NODISCARD bool tier_file_open(struct slice bytes, const struct tier_options *opt, struct tier_file **ret, struct err *e);
// Waits for functions that are compiled ahead because nobody could wait for them: before whoever asks from outside is answered.
void tier_file_close(struct tier_file *f);
// The modules that were compiled go, since others are used or it failed later: nobody compiles for them any more when this returns.
void tier_file_forget_compiled(struct tier_file *f);
// Another thread hashes the bytes, and what asks for an entry of its own code waits for that: there is time to decode and to compile them.
bool tier_file_hashes(const struct tier_file *f);
// What its entries of code are called by: files of the same key have the same code. false: there is no cache, and nothing was hashed.
enum { TIER_KEY_SIZE = 32 };
bool tier_file_key(struct tier_file *f, uint8_t ret[TIER_KEY_SIZE]);
// What its bytes hash to, as long as it is open. After tier_file_key was true.
const uint8_t *tier_file_content(const struct tier_file *f);
// Why there is no cache, or none that can be written; ERR_NONE: there is, or none was wanted.
const struct err *tier_file_cache_error(const struct tier_file *f);
// The cache has code of exactly these bytes: they were decoded and validated before (and may be decoded as WASM_DECODE_KNOWN).
bool tier_file_has_code(struct tier_file *f);
// Takes the modules' code from the cache. false: it is not there, or not to be had; it is forgotten then.
NODISCARD bool tier_file_load(struct tier_file *f, const struct wasm_module *const *modules, uint32_t n, struct vm_module **ret, struct tier_stats *stats);
// Validates the modules' bodies and compiles them, functions in parallel. ERR_INVALID... as wasm_validate_func. For both: the modules must outlive the
// vm_modules; on success ret[0..n) each hold one reference. false with ERR_NONE, only where it hashed before: it turned out that they are in the cache or loaded.
NODISCARD bool tier_file_compile(struct tier_file *f, const struct wasm_module *const *modules, uint32_t n, struct vm_module **ret, struct tier_stats *stats,
	struct err *e);
// What was compiled, if anything was, is written behind the first answer: once it is sure that it is of the bytes that the file was opened with.
void tier_file_write(struct tier_file *f);
// Behind the first answer: compiles as a whole what tier_file_compile left to be compiled when it is called, if it did. Slots get that code at their next
// reset, and it goes into the cache. Whose the modules are (also the array) holds them until `release`, which is called in any case, from any thread.
struct tier_owner {
	void *arg;
	bool (*is_wanted)(void *arg);  // by others, too: else nothing is compiled but at the end of the process
	void (*release)(void *arg);
};
void tier_file_compile_rest(struct tier_file *f, struct vm_module *const *compiled, const struct tier_owner *owner);
// Images of the file. `variant` is whatever they depend on besides what code does. Load: false if there is none; `sealed`: no store shall ever be
// attached to the cache's file (else only until a copy has been made, behind the first answer). Save takes a reference; written behind the answer.
// What was saved with it lives as long as the image.
NODISCARD bool tier_file_load_image(struct tier_file *f, struct slice variant, bool sealed, struct vm_image **ret, struct slice *ret_extra);
void tier_file_save_image(struct tier_file *f, struct slice variant, struct vm_image *img, struct slice extra);

// All of that in one, without images; what is left to be compiled when it is called stays so.
NODISCARD bool tier_compile(const struct wasm_module *const *modules, uint32_t n, struct slice file, const struct tier_options *opt,
	struct vm_module **ret, struct tier_stats *stats, struct err *e);

// What files held when they were read, in files of the cache's own (bytes.c): by what it hashes to, and that by device, inode, size and times of the file.
struct tier_bytes {
	uint8_t by_stat[TIER_KEY_SIZE], content[TIER_KEY_SIZE];  // content: what it hashes to, where that is known
	bool settled;  // written long enough ago for another write to show in its times
};
// What `fd`, of `size` bytes, held when it had what it is known by now (it may hold something else): ret->content. false: nobody knows, or there is no cache; *ret is
// for keeping it.
bool tier_bytes_know(int fd, uint64_t size, struct tier_bytes *ret);
// Opens the cache's file of what hashes to of->content; `size` of its bytes are these, and they never change. -1: there is none.
int tier_bytes_open(const struct tier_bytes *of, uint64_t size);
// Behind the first answer: keeps `bytes`, which hash to of->content, were read when the file still had what it is known by, and live until `done` (NULL: nobody
// waits for it), called in any case and from any thread. No bytes: only what they hash to is noted.
void tier_bytes_keep(const struct tier_bytes *of, struct slice bytes, void (*done)(void *arg), void *arg);

// Has fn(arg) called by the thread of low priority that works behind the first answer. `drop` is called instead where the process ends first, or there is no
// such thread, perhaps at once.
void tier_behind(void (*fn)(void *arg), void (*drop)(void *arg), void *arg);
// That thread begins no sooner than tier_behind_go: a server that starts need not wait until there is one. Who ends the process before does the work.
void tier_behind_hold(void);
void tier_behind_go(void);

// Who is told, on whatever thread, of what failed behind the first answer: lines on stderr where nobody is (`fn` NULL, at first). The one before is told nothing any
// more when this returns.
void tier_tell_by(void (*fn)(void *arg, const char *text), void *arg);

// Where the cache is, or would be (empty: nowhere), and why it is none or takes nothing. Makes the folder. false: code in it can't be run from its files.
bool tier_cache_check(char *ret_path, size_t size, struct err *ret_why);

// Cores that this process may use: affinity and the cgroup's quota. At least 1.
unsigned tier_cores(void);

// SHA-256.
void tier_sha256(struct slice s, char ret[65]);
// The same of what comes piece by piece.
struct tier_hash;
NODISCARD bool tier_hash_new(struct tier_hash **ret);  // false: no memory
void tier_hash_put(struct tier_hash *h, struct slice s);
void tier_hash_end(struct tier_hash *h, char ret[65]);  // once, and nothing is put behind it
void tier_hash_free(struct tier_hash *h);  // NULL does nothing

#endif
