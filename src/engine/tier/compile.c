// Core modules of one file made runnable: from the cache, or validated and compiled by all cores at once.
//
// Functions are handed out in pieces of about PIECE_BYTES of code, largest module first come first served; each thread has an output a module,
// and baseline_link puts them together. The cache is written by a thread of its own, behind the first answer.
#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "baseline/baseline.h"
#include "code/code.h"
#include "tier_int.h"

enum { PIECE_BYTES = 64 << 10, MAX_THREADS = 64 };

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static unsigned cgroup_quota(void)
{
	FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
	unsigned long long quota, period;
	int n = f ? fscanf(f, "%llu %llu", &quota, &period) : 0;
	if (f)
		fclose(f);
	return n == 2 && period ? (unsigned)((quota + period - 1) / period) : UINT32_MAX;
}

unsigned tier_cores(void)
{
	cpu_set_t set;
	unsigned n = sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
	unsigned quota = cgroup_quota();
	if (quota && quota < n)
		n = quota;
	return n ? n : 1;
}

// Threads of this room take no signals: those are for whoever runs the process's loop.
static bool start_thread(pthread_t *t, void *(*fn)(void *), void *arg)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	bool ok = pthread_create(t, NULL, fn, arg) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return ok;
}

// ---- compiling -----------------------------------------------------------------------------------------------------------------------

struct piece {
	uint32_t module, first, end;  // functions of the module's index space
};

struct compile_job {
	const struct wasm_module *const *modules;
	struct abi_layout *layouts;
	uint32_t n_modules;
	struct baseline_options options;
	struct piece *pieces;
	uint32_t n_pieces;
	_Atomic uint32_t next;
	_Atomic bool failed;
	pthread_mutex_t lock;
	struct err *e;
};

struct compile_thread {
	struct compile_job *job;
	struct baseline_output *outputs;  // one a module
	pthread_t thread;
};

static void fail(struct compile_job *j, const struct err *e)
{
	pthread_mutex_lock(&j->lock);
	if (j->e && j->e->code == ERR_NONE)
		*j->e = *e;
	pthread_mutex_unlock(&j->lock);
	atomic_store(&j->failed, true);
}

static bool compile_piece(struct compile_thread *t, const struct piece *p, struct wasm_scratch *scratch, struct err *e)
{
	struct compile_job *j = t->job;
	const struct wasm_module *m = j->modules[p->module];
	for (uint32_t f = p->first; f < p->end; f++) {
		struct wasm_func_info info;
		if (!wasm_validate_func(m, f, scratch, &info, e))
			return false;
		if (!baseline_compile_func(m, f, &info, &j->layouts[p->module], &j->options, &t->outputs[p->module], e))
			return err_note(e, "function %u", f);
	}
	return true;
}

static void *compile_main(void *arg)
{
	struct compile_thread *t = arg;
	struct err e;
	err_clear(&e);
	struct wasm_scratch *scratch = wasm_scratch_new();
	if (!scratch)
		err_nomem(&e);
	while (scratch && !atomic_load(&t->job->failed)) {
		uint32_t i = atomic_fetch_add(&t->job->next, 1);
		if (i >= t->job->n_pieces || !compile_piece(t, &t->job->pieces[i], scratch, &e))
			break;
	}
	if (e.code != ERR_NONE)
		fail(t->job, &e);
	wasm_scratch_free(scratch);
	return NULL;
}

static bool cut_pieces(struct compile_job *j, struct err *e)
{
	VEC(struct piece) pieces = {0};
	for (uint32_t k = 0; k < j->n_modules; k++) {
		const struct wasm_module *m = j->modules[k];
		uint64_t bytes = 0;
		uint32_t first = m->nimported_funcs;
		for (uint32_t f = first; f < m->nfuncs; f++) {
			bytes += m->funcs[f].size;
			if (bytes < PIECE_BYTES && f + 1 < m->nfuncs)
				continue;
			if (!VEC_PUSH(NULL, &pieces, ((struct piece){k, first, f + 1}), UINT32_MAX)) {
				VEC_FREE(&pieces);
				return err_nomem(e);
			}
			first = f + 1;
			bytes = 0;
		}
	}
	j->pieces = pieces.ptr;
	j->n_pieces = pieces.len;
	return true;
}

static bool link_modules(struct compile_job *j, struct compile_thread *threads, unsigned n_threads, struct code_artifact *ret, struct err *e)
{
	for (uint32_t k = 0; k < j->n_modules; k++) {
		struct baseline_output *outputs[MAX_THREADS];
		for (unsigned t = 0; t < n_threads; t++)
			outputs[t] = &threads[t].outputs[k];
		if (!baseline_link(j->modules[k], outputs, n_threads, &j->options, &ret[k], e))
			return false;
	}
	return true;
}

static void run_threads(struct compile_thread *threads, unsigned n)
{
	unsigned started = 1;
	while (started < n && start_thread(&threads[started].thread, compile_main, &threads[started]))
		started++;
	compile_main(&threads[0]);  // fewer threads than wished for is slower, not wrong
	for (unsigned t = 1; t < started; t++)
		pthread_join(threads[t].thread, NULL);
}

// Compiles all modules; ret[k] are the caller's to release, also on failure (zeroed where there is none).
static bool compile_all(const struct wasm_module *const *modules, uint32_t n, const struct tier_options *opt, uint32_t cpu, struct code_artifact *ret,
	struct err *e)
{
	struct compile_job j = {.modules = modules, .n_modules = n, .options = {.cpu = cpu, .poison_upper = opt->poison_upper}, .e = e};
	pthread_mutex_init(&j.lock, NULL);
	unsigned n_threads = opt->threads ? opt->threads : tier_cores();
	struct compile_thread threads[MAX_THREADS] = {0};
	bool ok = true;
	j.layouts = mem_zalloc(n * sizeof *j.layouts);
	for (uint32_t k = 0; ok && j.layouts && k < n; k++) {
		abi_layout(modules[k], &j.layouts[k]);
		ok = baseline_check_module(modules[k], e);
	}
	ok = ok && (j.layouts || err_nomem(e)) && cut_pieces(&j, e);
	n_threads = (unsigned)min_u64(min_u64(n_threads, MAX_THREADS), j.n_pieces ? j.n_pieces : 1);
	for (unsigned t = 0; ok && t < n_threads; t++) {
		threads[t] = (struct compile_thread){.job = &j, .outputs = mem_zalloc(n * sizeof(struct baseline_output))};
		ok = threads[t].outputs || err_nomem(e);
	}
	if (ok) {
		run_threads(threads, n_threads);
		ok = !atomic_load(&j.failed) && link_modules(&j, threads, n_threads, ret, e);
	}
	for (unsigned t = 0; t < n_threads; t++) {
		for (uint32_t k = 0; threads[t].outputs && k < n; k++)
			baseline_output_release(&threads[t].outputs[k]);
		mem_free(threads[t].outputs);
	}
	mem_free(j.pieces);
	mem_free(j.layouts);
	pthread_mutex_destroy(&j.lock);
	return ok;
}

// ---- vm modules ------------------------------------------------------------------------------------------------------------------------

static void drop_code(void *arg)
{
	code_object_unref(arg);
}

static bool publish(const struct wasm_module *m, const struct code_artifact *a, struct vm_module **ret, struct err *e)
{
	struct code_object *code;
	if (!code_publish(a, m, NULL, &code, e))
		return false;
	if (!vm_module_new(m, code, drop_code, code, ret, e)) {
		code_object_unref(code);
		return false;
	}
	return true;
}

static bool publish_all(const struct wasm_module *const *modules, uint32_t n, const struct code_artifact *artifacts, struct vm_module **ret,
	struct tier_stats *stats, struct err *e)
{
	for (uint32_t k = 0; k < n; k++) {
		if (!publish(modules[k], &artifacts[k], &ret[k], e)) {
			while (k--)
				vm_module_unref(ret[k]);
			return false;
		}
		stats->native_bytes += artifacts[k].text_size;
	}
	return true;
}

// ---- the cache: {header, hash} {size of each artifact} artifacts, each aligned to 8 ----------------------------------------------------------

struct entry_head {
	char magic[8];
	uint64_t hash_low, hash_high;  // of all that follows
	uint64_t n;
};
static const char entry_magic[8] = "TENONC1";

struct writer {
	int cache;
	struct tier_key key;
	struct code_artifact *artifacts;
	uint32_t n;
};
static pthread_t writer_thread;
static bool writer_started;

static bool serialize(const struct writer *w, struct buf *out)
{
	uint64_t *sizes = mem_zalloc((w->n + 1) * sizeof *sizes);
	bool ok = sizes && buf_reserve(out, w->n * sizeof *sizes);
	out->len += ok ? w->n * sizeof *sizes : 0;
	for (uint32_t k = 0; ok && k < w->n; k++) {
		size_t before = out->len;
		ok = code_artifact_to_bytes(&w->artifacts[k], out);
		sizes[k] = out->len - before;
		while (ok && out->len % 8)
			ok = buf_put_byte(out, 0);
	}
	if (ok)
		memcpy(out->ptr, sizes, w->n * sizeof *sizes);
	mem_free(sizes);
	return ok && !out->failed;
}

static void release_artifacts(struct code_artifact *a, uint32_t n)
{
	for (uint32_t k = 0; a && k < n; k++)
		code_artifact_release(&a[k]);
	mem_free(a);
}

static void *write_main(void *arg)
{
	struct writer *w = arg;
	struct buf out = {0};
	if (serialize(w, &out)) {
		struct hash128 h = hash_128(buf_view(&out));
		struct entry_head head = {.hash_low = h.low, .hash_high = h.high, .n = w->n};
		memcpy(head.magic, entry_magic, 8);
		struct slice parts[2] = {slice_of(&head, sizeof head), buf_view(&out)};
		tier__cache_put(w->cache, &w->key, parts, 2);
	}
	buf_release(&out);
	release_artifacts(w->artifacts, w->n);
	close(w->cache);
	mem_free(w);
	return NULL;
}

// Whoever ends the process waits for what is being written.
static void wait_for_writer(void)
{
	if (writer_started)
		pthread_join(writer_thread, NULL);
	writer_started = false;
}

// Takes over the artifacts and the descriptor.
static void write_behind(int cache, const struct tier_key *key, struct code_artifact *artifacts, uint32_t n)
{
	struct writer *w = mem_zalloc(sizeof *w);
	static bool at_exit;
	wait_for_writer();
	if (!at_exit)
		at_exit = atexit(wait_for_writer) == 0;
	if (w) {
		*w = (struct writer){cache, *key, artifacts, n};
		writer_started = start_thread(&writer_thread, write_main, w);
	}
	if (!w || !writer_started) {
		release_artifacts(artifacts, n);
		close(cache);
		mem_free(w);
	}
}

static bool load_entry(struct slice bytes, const struct wasm_module *const *modules, uint32_t n, struct vm_module **ret, struct tier_stats *stats)
{
	struct entry_head head;
	if (bytes.len < sizeof head)
		return false;
	memcpy(&head, bytes.ptr, sizeof head);
	struct slice rest = slice_sub(bytes, sizeof head, bytes.len);
	struct hash128 h = hash_128(rest);
	if (memcmp(head.magic, entry_magic, 8) != 0 || head.n != n || h.low != head.hash_low || h.high != head.hash_high || rest.len < n * 8)
		return false;
	struct code_artifact *artifacts = mem_zalloc(n * sizeof *artifacts);
	uint64_t at = n * 8;
	bool ok = artifacts != NULL;
	for (uint32_t k = 0; ok && k < n; k++) {
		uint64_t size;
		memcpy(&size, rest.ptr + k * 8, 8);
		ok = size <= rest.len - at && code_artifact_from_bytes(slice_sub(rest, at, size), &artifacts[k], NULL) &&
			artifacts[k].nfuncs == modules[k]->nfuncs - modules[k]->nimported_funcs;
		at = ok ? min_u64(align_up_u64(at + size, 8), rest.len) : at;
	}
	ok = ok && publish_all(modules, n, artifacts, ret, stats, NULL);
	mem_free(artifacts);
	return ok;
}

static bool from_cache(int cache, const struct tier_key *key, const struct wasm_module *const *modules, uint32_t n, struct vm_module **ret,
	struct tier_stats *stats)
{
	int fd;
	uint64_t size;
	if (!tier__cache_get(cache, key, &fd, &size))
		return false;
	// A private mapping of a file that nobody but us may write; the content is checked and copied into sealed memory before it runs.
	void *p = size ? mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0) : MAP_FAILED;
	close(fd);
	if (p == MAP_FAILED)
		return false;
	bool ok = load_entry(slice_of(p, size), modules, n, ret, stats);
	munmap(p, size);
	return ok;
}

// This program's build id (a note that the linker writes), so that another build never takes our code.
static int find_build_id(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct slice *ret = arg;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		if (info->dlpi_phdr[i].p_type != PT_NOTE)
			continue;
		const uint8_t *p = (const uint8_t *)info->dlpi_addr + info->dlpi_phdr[i].p_vaddr, *end = p + info->dlpi_phdr[i].p_memsz;
		while (end - p >= 12) {
			uint32_t words[3];
			memcpy(words, p, sizeof words);
			size_t name = align_up_u64(words[0], 4), desc = align_up_u64(words[1], 4);
			if (words[2] == NT_GNU_BUILD_ID && words[0] == 4 && memcmp(p + 12, "GNU", 4) == 0) {
				*ret = slice_of(p + 12 + name, words[1]);
				return 1;
			}
			p += 12 + name + desc;
		}
	}
	return 1;  // only the first object: the program itself
}

// ---- the door ----------------------------------------------------------------------------------------------------------------------------

static bool compile_and_publish(const struct wasm_module *const *modules, uint32_t n, const struct tier_options *opt, uint32_t cpu, int cache,
	const struct tier_key *key, struct vm_module **ret, struct tier_stats *stats, struct err *e)
{
	struct code_artifact *artifacts = mem_zalloc((n + 1) * sizeof *artifacts);
	if (!artifacts)
		return err_nomem(e);
	uint64_t before = now_ns();
	bool ok = compile_all(modules, n, opt, cpu, artifacts, e);
	stats->compile_ns = now_ns() - before;
	ok = ok && publish_all(modules, n, artifacts, ret, stats, e);
	if (ok && cache >= 0) {
		write_behind(dup(cache), key, artifacts, n);
		return true;
	}
	release_artifacts(artifacts, n);
	return ok;
}

bool tier_compile(const struct wasm_module *const *modules, uint32_t n, struct slice file, const char *path, const struct tier_options *opt,
	struct vm_module **ret, struct tier_stats *stats, struct err *e)
{
	*stats = (struct tier_stats){0};
	for (uint32_t k = 0; k < n; k++)
		stats->code_bytes += modules[k]->code_section.len;
	uint32_t cpu;
	if (!code_cpu_detect(&cpu)) {
		err_set(e, ERR_ENV, "this processor lacks what generated code needs (x86-64-v2)");
		return err_hint(e, "SSE4.2 and POPCNT: any x86-64 server since about 2009");
	}
	struct tier_key key;
	struct slice build = {0};
	dl_iterate_phdr(find_build_id, &build);
	int cache = opt->no_cache || opt->poison_upper || build.len == 0 ? -1 : tier__cache_open();
	uint64_t before = now_ns();
	if (cache >= 0 && tier__file_identity(cache, path, file, &key)) {
		tier__key_mix(&key, build, cpu, 0);
		stats->from_cache = from_cache(cache, &key, modules, n, ret, stats);
		stats->cache_ns = now_ns() - before;
	}
	bool ok = stats->from_cache || compile_and_publish(modules, n, opt, cpu, cache, &key, ret, stats, e);
	if (cache >= 0)
		close(cache);
	return ok;
}
