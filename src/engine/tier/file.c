// A file and its entries in the cache.
//
// 1. An entry of code is {head, sizes of the artifacts}, then each artifact at a page. It is mapped and checked, and its code runs from the mapping; a
//    copy in sealed memory takes its place behind the first answer. Where the file system forbids execution code is copied at once. Entries say whose they
//    are: one that came to another's name is none.
// 2. Damage found at loading is a miss: the entry is removed, and made anew. Damage found later, by the copy, ends the process (tier__distrust).
//    Loading reads all of an entry until one copy of it was found right; then only what a start needs, as long as nobody writes to the file.
// 3. Whatever part of the cache can't be had, the work is done as if there were none.
#include <link.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "tier_int.h"

struct entry_head {
	char magic[8];
	struct tier_key key;  // that it was written under
	uint64_t hash_low, hash_high;  // of all that follows
	uint64_t n;     // artifacts
};
#define HASHED_FROM offsetof(struct entry_head, n)
static const char entry_magic[8] = "TENONC3";

struct tier_file {
	struct err cache_error;
	struct tier_options opt;
	uint32_t cpu;
	int cache;            // -1: none
	struct tier_key key;  // of code; not there while it `hashes`
	struct slice bytes, build;  // build: this program's
	struct tier_key content;
	struct sys_thread hasher;
	bool hashes;                   // the thread: what its content is, with what it is called by
	_Atomic bool is_known;         // it found that somebody has it already
	struct tier__entry entry;      // of code
	bool looked;       // for that
	struct code_mapping *mapping;  // its file, checked now or before
	struct tier__called *called;     // is compiled when it is called; NULL: nothing is
	struct tier__ahead *ahead;       // of that what is large
	struct code_artifact *compiled;  // and not yet written
	uint32_t n_compiled;
	struct tier_stats stats;
};
static void release_artifacts(struct code_artifact *a, uint32_t n);

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

// `content` → what entries are called: with all that code depends on besides.
void tier__code_key(const struct tier_key *content, struct slice build, uint32_t cpu, uint64_t flags, struct tier_key *ret)
{
	struct {
		struct tier_key content;
		uint64_t build_low, build_high, cpu, flags;
	} all = {*content, hash_128(build).low, hash_128(build).high, cpu, flags};
	tier__key_of(slice_of(&all, sizeof all), ret);
}

static void image_key(const struct tier_file *f, struct slice variant, struct tier_key *ret)
{
	struct {
		struct tier_key code;
		struct tier_key variant;
	} all = {.code = f->key};
	tier__key_of(variant, &all.variant);
	tier__key_of(slice_of(&all, sizeof all), ret);
}

// ---- opening ---------------------------------------------------------------------------------------------------------------------------

static bool has_head(struct slice bytes, struct entry_head *ret)
{
	if (bytes.len < sizeof *ret)
		return false;
	memcpy(ret, bytes.ptr, sizeof *ret);
	return memcmp(ret->magic, entry_magic, sizeof entry_magic) == 0;
}

static bool is_of(struct slice bytes, const struct tier_key *key)
{
	struct entry_head head;
	return has_head(bytes, &head) && memcmp(head.key.bytes, key->bytes, sizeof key->bytes) == 0;
}

static bool code_is_sound(struct slice bytes)
{
	struct entry_head head;
	if (!has_head(bytes, &head))
		return false;
	struct hash128 h = hash_128(slice_sub(bytes, HASHED_FROM, bytes.len));
	return h.low == head.hash_low && h.high == head.hash_high;
}

static void forget_entry(struct tier_file *f)
{
	code_mapping_unref(f->mapping);
	f->mapping = NULL;
	tier__cache_remove(f->cache, &f->key, "code");
}

static void map_entry(struct tier_file *f)
{
	int fd = tier__cache_get(f->cache, &f->key, "code", &f->entry);
	if (fd < 0 || !code_mapping_new(fd, f->entry.size, &f->mapping, NULL))
		return;
	struct slice bytes = code_mapping_bytes(f->mapping);
	if (!is_of(bytes, &f->key) || (!f->entry.checked && !code_is_sound(bytes)))
		forget_entry(f);
}

static void make_key(struct tier_file *f)
{
	uint64_t checks = vm_process_has_cells() ? 0 : CODE_CHECKS_MEMORIES;
	tier__code_key(&f->content, f->build, f->cpu, f->opt.features | checks << 32, &f->key);
}

static void hash(struct tier_file *f)
{
	tier__key_of(f->bytes, &f->content);
	make_key(f);
}

static void *hash_main(void *arg)
{
	struct tier_file *f = arg;
	struct tier__entry entry;
	hash(f);
	int fd = tier__cache_get(f->cache, &f->key, "code", &entry);
	if (fd >= 0 || (f->opt.is_loaded && f->opt.is_loaded(f->key.bytes)))
		atomic_store(&f->is_known, true);
	sys_close(fd);
	return NULL;
}

static bool is_known(const void *arg)
{
	const struct tier_file *f = arg;
	return atomic_load(&f->is_known);
}

// A large file that nobody has hashed yet is hashed beside what its owner does first, which is to decode and to validate it.
static void find_content(struct tier_file *f)
{
	if (f->opt.content) {
		memcpy(f->content.bytes, f->opt.content, TIER_KEY_SIZE);
		f->opt.content = NULL;  // it is the caller's
		make_key(f);
	} else if (f->bytes.len >= TIER__HASH_BESIDE && sys_thread_new(&f->hasher, hash_main, f) == 0) {
		f->hashes = true;
	} else {
		hash(f);
	}
}

// Waits for it.
static void know_content(struct tier_file *f)
{
	if (!f->hashes)
		return;
	uint64_t before = sys_now_ns();
	sys_thread_join(&f->hasher);
	f->hashes = false;
	f->stats.cache_ns += sys_now_ns() - before;
}

bool tier_file_hashes(const struct tier_file *f)
{
	return f->hashes;
}

bool tier_file_open(struct slice bytes, const struct tier_options *opt, struct tier_file **ret, struct err *e)
{
	struct tier_file *f = mem_zalloc(sizeof *f);
	if (!f)
		return err_nomem(e);
	*f = (struct tier_file){.opt = *opt, .cache = -1, .bytes = bytes};
	if (!code_cpu_detect(&f->cpu)) {
		mem_free(f);
		err_set(e, ERR_ENV, "this processor lacks what generated code needs (x86-64-v2)");
		return err_hint(e, "SSE4.2 and POPCNT: any x86-64 server since about 2009");
	}
	if (!opt->no_cache && !opt->poison_upper) {
		uint64_t before = sys_now_ns();
		dl_iterate_phdr(find_build_id, &f->build);
		f->cache = f->build.len ? tier__cache_open(&f->cache_error) : -1;
		if (f->cache >= 0)
			find_content(f);
		f->stats.cache_ns = sys_now_ns() - before;
	}
	*ret = f;
	return true;
}

void tier_file_close(struct tier_file *f)
{
	if (!f)
		return;
	know_content(f);
	tier__ahead_end(f->ahead);
	tier__called_free(f->called);
	code_mapping_unref(f->mapping);
	release_artifacts(f->compiled, f->n_compiled);
	sys_close(f->cache);
	mem_free(f);
}

void tier_file_forget_compiled(struct tier_file *f)
{
	tier__ahead_cancel(f->ahead);
	f->ahead = NULL;
	tier__called_free(f->called);
	f->called = NULL;
	release_artifacts(f->compiled, f->n_compiled);
	f->compiled = NULL;
	f->n_compiled = 0;
}

const struct err *tier_file_cache_error(const struct tier_file *f)
{
	return &f->cache_error;
}

bool tier_file_key(struct tier_file *f, uint8_t ret[TIER_KEY_SIZE])
{
	know_content(f);
	memcpy(ret, f->key.bytes, TIER_KEY_SIZE);
	return f->cache >= 0;
}

const uint8_t *tier_file_content(const struct tier_file *f)
{
	return f->content.bytes;
}

bool tier_file_has_code(struct tier_file *f)
{
	know_content(f);
	uint64_t before = sys_now_ns();
	if (!f->looked && f->cache >= 0)
		map_entry(f);
	f->looked = true;
	f->stats.cache_ns += sys_now_ns() - before;
	return f->mapping != NULL;
}

// ---- vm modules ------------------------------------------------------------------------------------------------------------------------

static void forget_modules(struct vm_module **ret, uint32_t n)
{
	while (n--) {
		vm_module_unref(ret[n]);
		ret[n] = NULL;
	}
}

// `mapping`: NULL, or what the artifacts are views of. Where its pages may not become code they are copied.
static bool publish_code(struct code_mapping *mapping, const struct wasm_module *m, const struct code_artifact *a, struct code_object **ret, struct err *e)
{
	return (mapping && code_publish_mapped(mapping, a, m, NULL, ret, NULL)) || code_publish(a, m, NULL, ret, e);
}

static bool publish(struct code_mapping *mapping, const struct wasm_module *m, const struct code_artifact *a, struct vm_module **ret, struct err *e)
{
	struct code_object *code;
	if (!publish_code(mapping, m, a, &code, e))
		return false;
	bool ok = vm_module_new(m, code, NULL, NULL, ret, e);
	code_object_unref(code);  // the module has its own reference
	return ok;
}

static bool publish_all(struct code_mapping *mapping, const struct wasm_module *const *modules, uint32_t n, const struct code_artifact *artifacts,
	struct vm_module **ret, struct tier_stats *stats, struct err *e)
{
	for (uint32_t k = 0; k < n; k++) {
		if (!publish(mapping, modules[k], &artifacts[k], &ret[k], e)) {
			forget_modules(ret, k);
			return false;
		}
		stats->native_bytes += artifacts[k].text_size;
	}
	return true;
}

static void release_artifacts(struct code_artifact *a, uint32_t n)
{
	for (uint32_t k = 0; a && k < n; k++)
		code_artifact_release(&a[k]);
	mem_free(a);
}

// ---- from the cache --------------------------------------------------------------------------------------------------------------------

struct seal_code {
	struct tier__job job;
	int cache;
	struct tier_key key;
	struct tier__entry entry;
	struct code_mapping *mapping;
};

static void seal_code_drop(struct tier__job *job)
{
	struct seal_code *s = CONTAINER_OF(job, struct seal_code, job);
	code_mapping_unref(s->mapping);
	sys_close(s->cache);
	mem_free(s);
}

static void seal_code(struct tier__job *job)
{
	struct seal_code *s = CONTAINER_OF(job, struct seal_code, job);
	struct err e;
	err_clear(&e);
	// Without memory for a copy the file goes on being used: it is ours alone, and nobody writes into it.
	if (code_mapping_seal(s->mapping, code_is_sound, &e)) {
		tier__cache_note_checked(s->cache, &s->key, "code", &s->entry);
	} else if (e.code == ERR_INVALID) {
		tier__cache_remove(s->cache, &s->key, "code");
		tier__distrust(&e);
	}
	seal_code_drop(job);
}

static void seal_behind(struct tier_file *f)
{
	struct seal_code *s = mem_zalloc(sizeof *s);
	if (!s)
		return;
	*s = (struct seal_code){.job = {.fn = seal_code, .drop = seal_code_drop}, .cache = dup(f->cache), .key = f->key, .entry = f->entry};
	s->mapping = code_mapping_ref(f->mapping);
	tier__behind(&s->job);
}

static bool view_artifacts(struct slice bytes, const struct wasm_module *const *modules, uint32_t n, struct code_artifact *ret)
{
	struct entry_head head;
	memcpy(&head, bytes.ptr, sizeof head);
	if (head.n != n || bytes.len < sizeof head + n * 8)
		return false;
	uint64_t at = sizeof head + n * 8;
	for (uint32_t k = 0; k < n; k++) {
		uint64_t size;
		memcpy(&size, bytes.ptr + sizeof head + k * 8, 8);
		at = align_up_u64(at, SYS_PAGE);
		if (at > bytes.len || size > bytes.len - at || !code_artifact_from_bytes(slice_sub(bytes, at, size), &ret[k], NULL) ||
			ret[k].nfuncs != modules[k]->nfuncs - modules[k]->nimported_funcs)
			return false;
		at += size;
	}
	return true;
}

static bool from_cache(struct tier_file *f, const struct wasm_module *const *modules, uint32_t n, struct vm_module **ret, struct tier_stats *stats)
{
	struct code_artifact *artifacts = mem_zalloc((n + 1) * sizeof *artifacts);
	bool ok = artifacts && view_artifacts(code_mapping_bytes(f->mapping), modules, n, artifacts) &&
		publish_all(f->mapping, modules, n, artifacts, ret, stats, NULL);
	mem_free(artifacts);
	if (ok)
		seal_behind(f);
	return ok;
}

// ---- into the cache --------------------------------------------------------------------------------------------------------------------

struct write_code {
	struct tier__job job;
	int cache;
	struct tier_key key;
	struct code_artifact *artifacts;
	uint32_t n;
};

static bool pad_to_page(struct buf *out)
{
	size_t gap = -out->len & (SYS_PAGE - 1);
	if (!buf_reserve(out, gap + 1))
		return false;
	memset(out->ptr + out->len, 0, gap);
	out->len += gap;
	return true;
}

static bool serialize(const struct tier_key *key, const struct code_artifact *artifacts, uint32_t n, struct buf *out)
{
	struct entry_head head = {.key = *key, .n = n};
	memcpy(head.magic, entry_magic, 8);
	uint64_t *sizes = mem_zalloc((n + 1) * sizeof *sizes);
	bool ok = sizes && buf_put(out, &head, sizeof head) && buf_put(out, sizes, n * sizeof *sizes);
	for (uint32_t k = 0; ok && k < n; k++) {
		ok = pad_to_page(out);
		size_t before = out->len;
		ok = ok && code_artifact_to_bytes(&artifacts[k], out);
		sizes[k] = out->len - before;
	}
	ok = ok && pad_to_page(out);
	if (ok) {
		memcpy(out->ptr + sizeof head, sizes, n * sizeof *sizes);
		struct hash128 h = hash_128(slice_sub(buf_view(out), HASHED_FROM, out->len));
		head.hash_low = h.low;
		head.hash_high = h.high;
		memcpy(out->ptr, &head, sizeof head);
	}
	mem_free(sizes);
	return ok && !out->failed;
}

static bool write_buf(int fd, void *arg)
{
	const struct buf *b = arg;
	return sys_write_at(fd, b->ptr, b->len, 0) == 0;
}

static void put_code(int cache, const struct tier_key *key, struct buf *entry)
{
	tier__cache_put(cache, key, "code", write_buf, entry, TIER__CACHE_MAX);
}

static void write_code_drop(struct tier__job *job)
{
	struct write_code *w = CONTAINER_OF(job, struct write_code, job);
	release_artifacts(w->artifacts, w->n);
	sys_close(w->cache);
	mem_free(w);
}

static void write_code(struct tier__job *job)
{
	struct write_code *w = CONTAINER_OF(job, struct write_code, job);
	struct buf entry = {0};
	if (serialize(&w->key, w->artifacts, w->n, &entry))
		put_code(w->cache, &w->key, &entry);
	buf_release(&entry);
	write_code_drop(job);
}

static uint64_t bytes_of(const struct code_artifact *a, uint32_t n)
{
	uint64_t sum = 0;
	for (uint32_t k = 0; k < n; k++)
		sum += a[k].text_size + a[k].nfuncs * sizeof *a[k].funcs + a[k].sites_size + a[k].nhandlers * sizeof *a[k].handlers;
	return sum;
}

void tier_file_write(struct tier_file *f)
{
	struct write_code *w = f->compiled ? mem_zalloc(sizeof *w) : NULL;
	if (!w)
		return;
	know_content(f);
	*w = (struct write_code){.job = {.fn = write_code, .drop = write_code_drop, .must = true, .bytes = bytes_of(f->compiled, f->n_compiled)},
		.cache = dup(f->cache),
		.key = f->key,
		.artifacts = f->compiled,
		.n = f->n_compiled};
	f->compiled = NULL;
	tier__behind(&w->job);
}

// ---- code ------------------------------------------------------------------------------------------------------------------------------

static void begin_stats(const struct tier_file *f, const struct wasm_module *const *modules, uint32_t n, struct tier_stats *stats)
{
	*stats = f->stats;
	for (uint32_t k = 0; k < n; k++)
		stats->code_bytes += modules[k]->code_section.len;
}

bool tier_file_load(struct tier_file *f, const struct wasm_module *const *modules, uint32_t n, struct vm_module **ret, struct tier_stats *stats)
{
	bool there = tier_file_has_code(f);
	begin_stats(f, modules, n, stats);
	stats->from_cache = there && from_cache(f, modules, n, ret, stats);
	if (f->mapping && !stats->from_cache)
		forget_entry(f);
	return stats->from_cache;
}

// Nothing is called yet.
static bool compile_called(struct tier_file *f, const struct wasm_module *const *modules, uint32_t n, const struct tier__over *is_over, struct vm_module **ret,
	struct err *e)
{
	struct tier__called *c;
	struct tier__ahead *ahead;
	if (!tier__compile_called(modules, n, &f->opt, f->cpu, is_over, &c, &ahead, e))
		return false;
	for (uint32_t k = 0; k < n; k++)
		if (!vm_module_new(modules[k], c->code[k], NULL, NULL, &ret[k], e)) {
			forget_modules(ret, k);
			tier__ahead_end(ahead);
			tier__called_free(c);
			return false;
		}
	tier__ahead_end(f->ahead);
	f->ahead = ahead;
	tier__called_free(f->called);
	f->called = c;
	return true;
}

static bool compile_all(struct tier_file *f, const struct wasm_module *const *modules, uint32_t n, const struct tier__over *is_over, struct vm_module **ret,
	struct tier_stats *stats, struct err *e)
{
	struct code_artifact *artifacts = mem_zalloc((n + 1) * sizeof *artifacts);
	if (!artifacts)
		return err_nomem(e);
	bool ok = tier__compile(modules, n, &f->opt, f->cpu, is_over, artifacts, e) && publish_all(NULL, modules, n, artifacts, ret, stats, e);
	if (ok && f->cache >= 0 && !f->compiled) {
		f->compiled = artifacts;
		f->n_compiled = n;
	} else {
		release_artifacts(artifacts, n);
	}
	return ok;
}

bool tier_file_compile(struct tier_file *f, const struct wasm_module *const *modules, uint32_t n, struct vm_module **ret, struct tier_stats *stats,
	struct err *e)
{
	for (uint32_t k = 0; k < n; k++)
		BUG_ON(modules[k]->features & WASM_DECODE_KNOWN);
	struct tier__over over = {is_known, f}, *is_over = f->hashes ? &over : NULL;
	begin_stats(f, modules, n, stats);
	uint64_t before = sys_now_ns();
	struct err why;
	err_clear(&why);
	bool lazy = f->opt.lazy_from && n <= TIER__LAZY_MODULES && stats->code_bytes >= f->opt.lazy_from, ok = lazy && compile_called(f, modules, n, is_over, ret, &why);
	// Without the address space or the memory for it all is compiled at once, which may need less.
	if (!ok && lazy && why.code != ERR_ENV && why.code != ERR_NOMEM) {
		if (e)
			*e = why;
		return false;
	}
	ok = ok || compile_all(f, modules, n, is_over, ret, stats, e);
	stats->compile_ns = sys_now_ns() - before;
	return ok;
}

// ---- the rest of what was called -------------------------------------------------------------------------------------------------------

struct compile_rest {
	struct tier__job job;
	struct tier_options opt;
	uint32_t cpu;
	int cache;
	struct tier_key key;
	struct tier__called *called;
	struct vm_module *const *compiled;
	struct tier_owner owner;
};

static bool rest_is_wanted(struct tier__job *job)
{
	const struct compile_rest *r = CONTAINER_OF(job, struct compile_rest, job);
	return r->owner.is_wanted(r->owner.arg);
}

static void compile_rest_drop(struct tier__job *job)
{
	struct compile_rest *r = CONTAINER_OF(job, struct compile_rest, job);
	tier__called_free(r->called);
	r->owner.release(r->owner.arg);
	sys_close(r->cache);
	mem_free(r);
}

// Runs from the entry's bytes in sealed memory, as after a warm start. Without memory for the whole it goes on as it is.
static void publish_rest(const struct compile_rest *r, struct code_mapping *mapping)
{
	uint32_t n = r->called->n;
	struct code_artifact *views = mem_zalloc((n + 1) * sizeof *views);
	bool ok = views && view_artifacts(code_mapping_bytes(mapping), r->called->modules, n, views);
	for (uint32_t k = 0; ok && k < n; k++) {
		struct code_object *code;
		ok = publish_code(mapping, r->compiled[k]->m, &views[k], &code, NULL);
		if (!ok)
			break;
		vm_module_set_code(r->compiled[k], code);
		code_object_unref(code);
	}
	mem_free(views);
}

// Frees the artifacts: they are the largest of what this takes.
static void use_rest(const struct compile_rest *r, struct code_artifact *artifacts, bool publishes)
{
	struct buf entry = {0};
	struct code_mapping *mapping;
	bool ok = serialize(&r->key, artifacts, r->called->n, &entry);
	release_artifacts(artifacts, r->called->n);
	if (ok && publishes && code_mapping_of(buf_view(&entry), &mapping, NULL)) {
		publish_rest(r, mapping);
		code_mapping_unref(mapping);
	}
	if (ok && r->cache >= 0)
		put_code(r->cache, &r->key, &entry);
	buf_release(&entry);
}

static bool process_ends(const void *arg UNUSED)
{
	return tier__is_ending();
}

static bool time_is_over(const void *arg UNUSED)
{
	return tier__is_over();
}

static void compile_rest(struct tier__job *job)
{
	struct compile_rest *r = CONTAINER_OF(job, struct compile_rest, job);
	uint32_t n = r->called->n;
	struct code_artifact *artifacts = mem_zalloc((n + 1) * sizeof *artifacts);
	bool ends = tier__is_ending();
	r->opt.threads = ends ? 0 : 1;
	struct tier__over over = {r->cache < 0 ? process_ends : time_is_over, NULL};  // without a cache it is of use to this process only
	struct err e;
	err_clear(&e);
	if (artifacts && tier__compile(r->called->modules, n, &r->opt, r->cpu, &over, artifacts, &e))
		use_rest(r, artifacts, !ends);
	else
		release_artifacts(artifacts, n);
	if (e.code != ERR_NONE)
		tier__tell("not all could be compiled behind the first answer, and functions go on being compiled when they are called: %s", e.text);
	compile_rest_drop(job);
}

void tier_file_compile_rest(struct tier_file *f, struct vm_module *const *compiled, const struct tier_owner *owner)
{
	struct compile_rest *r = f->called ? mem_zalloc(sizeof *r) : NULL;
	if (!r) {
		owner->release(owner->arg);
		return;
	}
	know_content(f);
	*r = (struct compile_rest){.job = {.fn = compile_rest, .drop = compile_rest_drop, .is_wanted = rest_is_wanted, .must = f->cache >= 0, .is_long = true},
		.opt = f->opt,
		.cpu = f->cpu,
		.cache = f->cache < 0 ? -1 : dup(f->cache),
		.key = f->key,
		.called = f->called,
		.compiled = compiled,
		.owner = *owner};
	f->called = NULL;
	tier__behind(&r->job);
}

bool tier_compile(const struct wasm_module *const *modules, uint32_t n, struct slice file, const struct tier_options *opt,
	struct vm_module **ret, struct tier_stats *stats, struct err *e)
{
	struct tier_file *f;
	*stats = (struct tier_stats){0};
	if (!tier_file_open(file, opt, &f, e))
		return false;
	bool ok = tier_file_load(f, modules, n, ret, stats) || tier_file_compile(f, modules, n, ret, stats, e);
	tier_file_write(f);
	tier_file_close(f);
	return ok;
}

// ---- images ----------------------------------------------------------------------------------------------------------------------------

struct image_job {
	struct tier__job job;
	int cache;
	struct tier_key key;
	struct tier__entry entry;  // of what is sealed
	struct vm_image *image;
	struct buf extra;
};

static void image_drop(struct tier__job *job)
{
	struct image_job *i = CONTAINER_OF(job, struct image_job, job);
	vm_image_unref(i->image);
	buf_release(&i->extra);
	sys_close(i->cache);
	mem_free(i);
}

static void image_seal(struct tier__job *job)
{
	struct image_job *i = CONTAINER_OF(job, struct image_job, job);
	struct err e;
	err_clear(&e);
	if (vm_image_seal(i->image, &e)) {
		tier__cache_note_checked(i->cache, &i->key, "image", &i->entry);
	} else if (e.code == ERR_INVALID) {
		tier__cache_remove(i->cache, &i->key, "image");
		tier__distrust(&e);
	}
	image_drop(job);
}

static bool write_image(int fd, void *arg)
{
	const struct image_job *i = arg;
	return vm_image_write(i->image, buf_view(&i->extra), fd, NULL);
}

static void image_save(struct tier__job *job)
{
	struct image_job *i = CONTAINER_OF(job, struct image_job, job);
	tier__cache_put(i->cache, &i->key, "image", write_image, i, TIER__CACHE_MAX);
	image_drop(job);
}

static struct image_job *image_job(const struct tier_file *f, const struct tier_key *key, struct vm_image *img)
{
	struct image_job *i = mem_zalloc(sizeof *i);
	if (i)
		*i = (struct image_job){.cache = dup(f->cache), .key = *key, .image = vm_image_ref(img), .job.drop = image_drop};
	return i;
}

// Behind what it was given an image has the key that it was written under.
static bool take_extra(const struct vm_image *img, const struct tier_key *key, struct slice *ret)
{
	struct slice all = vm_image_extra(img);
	if (all.len < sizeof key->bytes || memcmp(all.ptr + all.len - sizeof key->bytes, key->bytes, sizeof key->bytes) != 0)
		return false;
	*ret = slice_sub(all, 0, all.len - sizeof key->bytes);
	return true;
}

bool tier_file_load_image(struct tier_file *f, struct slice variant, bool sealed, struct vm_image **ret, struct slice *ret_extra)
{
	struct tier_key key;
	struct tier__entry entry;
	struct vm_image *img;
	if (f->cache < 0)
		return false;
	image_key(f, variant, &key);
	int fd = tier__cache_get(f->cache, &key, "image", &entry);
	if (fd < 0)
		return false;
	struct err e;
	err_clear(&e);
	if (!vm_image_open(fd, entry.checked, &img, &e)) {
		if (e.code == ERR_INVALID)
			tier__cache_remove(f->cache, &key, "image");
		return false;
	}
	if (!take_extra(img, &key, ret_extra)) {
		tier__cache_remove(f->cache, &key, "image");
		vm_image_unref(img);
		return false;
	}
	struct image_job *i = sealed ? NULL : image_job(f, &key, img);
	if (i) {
		i->job.fn = image_seal;
		i->entry = entry;
		tier__behind(&i->job);
	} else if (!vm_image_seal(img, NULL)) {
		vm_image_unref(img);
		return false;
	}
	*ret = img;
	return true;
}

void tier_file_save_image(struct tier_file *f, struct slice variant, struct vm_image *img, struct slice extra)
{
	struct tier_key key;
	if (f->cache < 0)
		return;
	image_key(f, variant, &key);
	struct image_job *i = image_job(f, &key, img);
	if (!i)
		return;
	i->job.fn = image_save;
	i->job.must = true;
	i->job.bytes = vm_image_bytes(img);
	if (buf_put_slice(&i->extra, extra) && buf_put(&i->extra, key.bytes, sizeof key.bytes))
		tier__behind(&i->job);
	else
		image_drop(&i->job);
}
