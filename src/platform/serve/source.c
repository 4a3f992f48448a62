// A component's file is never mapped: data segments and names are read as long as a component runs, and whoever may write to the file, were it who runs tenon, could
// change bytes beneath what is hashed, validated and compiled one after the other, or cut them off, which beneath a mapping ends the process (SIGBUS). So what it
// holds is read into memory once, before anybody looks at it; the cache keeps that, and the next start maps the cache's own copy, into which nobody writes.
//
// Behind the first answer a sealed copy in memory takes the place of either, at the same address and under running threads, without the code sections.
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "source.h"
#include "sys/sys.h"
#include "tier/tier.h"

#define LARGE (1u << 20)  // where giving pages back is worth that all processors are told

struct range {
	uint64_t at, size;
};
struct serve_source {
	uint32_t refs;
	int file;  // -1: it was read
	struct sys_stat opened;
	struct slice bytes;
	struct tier_bytes id;
	bool hashes_to;  // id.content: of what the file held once, then of the bytes
	bool is_caches;  // the bytes are mapped from there
	bool is_kept;    // any thread: they are a copy
	VEC(struct range)
	left_out;  // ascending
};

// ---- opened --------------------------------------------------------------------------------------------------------------------------

bool serve__source_open(const struct serve_service_config *c, struct serve_source **ret, struct err *e)
{
	int fd = c->file ? c->file - 1 : open(c->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set_errno(e, errno, "cannot open '%s'", c->path);
	struct serve_source *s = mem_zalloc(sizeof *s);
	if (!s) {
		close(fd);
		return err_nomem(e);
	}
	*s = (struct serve_source){.refs = 1, .file = fd, .bytes = SLICE_LIT("")};
	int why = sys_file.stat(fd, false, &s->opened);
	if (why) {
		err_set_errno(e, -why, "cannot read '%s'", c->path);
		serve__source_unref(s);
		return false;
	}
	s->hashes_to = !c->no_cache && tier_bytes_know(fd, s->opened.size, &s->id);
	*ret = s;
	return true;
}

static bool is_as_it_was(const struct serve_source *s)
{
	struct sys_stat now;
	return sys_file.stat(s->file, false, &now) == 0 && sys_is_same_file(&now, &s->opened);
}

static bool map_kept(struct serve_source *s, int kept, uint64_t size)
{
	void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, kept, 0);
	if (p == MAP_FAILED)
		return false;
	s->bytes = slice_of(p, size);
	s->is_caches = true;
	return true;
}

static bool read_file(struct serve_source *s, uint64_t size, struct err *e)
{
	if (size > SERVE_COMPONENT_MAX)
		return err_set(e, ERR_LIMIT, "it has %llu bytes, where a component may have 1 GiB", (unsigned long long)size);
	void *p = sys_map_anonymous(size);
	if (!p)
		return err_nomem(e);
	s->bytes = slice_of(p, size);
	s->hashes_to = false;
	sys_prefer_huge(p, size);
	int r = sys_read_whole(s->file, p, size);
	if (r == -EIO || !is_as_it_was(s)) {
		err_set(e, ERR_ENV, "the file was written over while it was loaded");
		return err_hint(e, "load it again when it is whole");
	}
	return !r || err_set_errno(e, -r, "cannot read it");
}

bool serve__source_read(struct serve_source *s, struct err *e)
{
	uint64_t size = s->opened.size;
	int kept = size && s->hashes_to ? tier_bytes_open(&s->id, size) : -1;
	bool ok = (kept >= 0 && map_kept(s, kept, size)) || !size || read_file(s, size, e);
	sys_close(kept);
	sys_close(s->file);
	s->file = -1;
	return ok;
}

void serve__source_unref(struct serve_source *s)
{
	if (!s || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL))
		return;
	if (s->bytes.len)
		munmap(UNCONST(s->bytes.ptr), s->bytes.len);
	sys_close(s->file);
	VEC_FREE(&s->left_out);
	mem_free(s);
}

struct slice serve__source_bytes(const struct serve_source *s)
{
	return s->bytes;
}

const uint8_t *serve__source_content(const struct serve_source *s)
{
	return s->hashes_to ? s->id.content : NULL;
}

void serve__source_hashes_to(struct serve_source *s, const uint8_t content[TIER_KEY_SIZE])
{
	memcpy(s->id.content, content, TIER_KEY_SIZE);
	s->hashes_to = true;
}

// ---- kept ----------------------------------------------------------------------------------------------------------------------------

bool serve__source_is_kept(const struct serve_source *s)
{
	return __atomic_load_n(&s->is_kept, __ATOMIC_ACQUIRE);
}

// What there is no memory for is copied. A module that was made for another (comp.h) lies elsewhere.
static void leave_out(struct serve_source *s, const struct wasm_module *const *modules, uint32_t n)
{
	uint64_t end = 0;
	for (uint32_t i = 0; i < n; i++) {
		struct slice code = modules[i]->code_section;
		uint64_t at = (uintptr_t)code.ptr - (uintptr_t)s->bytes.ptr;
		bool is_here = code.len && at < s->bytes.len;
		if (is_here && at >= end && VEC_PUSH(NULL, &s->left_out, ((struct range){at, code.len}), UINT32_MAX))
			end = at + code.len;
	}
}

// A descriptor, or what went wrong.
static int copy(const struct serve_source *s)
{
	uint64_t at = 0;
	int to = sys_memfd("tenon-component", s->bytes.len), r = to < 0 ? to : 0;
	for (uint32_t i = 0; !r && i <= s->left_out.len; i++) {
		struct range next = i < s->left_out.len ? s->left_out.ptr[i] : (struct range){s->bytes.len, 0};
		r = next.at > at ? sys_write_at(to, s->bytes.ptr + at, next.at - at, at) : 0;
		at = next.at + next.size;
	}
	r = r ? r : sys_memfd_seal(to);
	if (!r)
		return to;
	sys_close(to);
	return r;
}

// Without memory for a copy it goes on as it is.
static void keep(void *arg)
{
	struct serve_source *s = arg;
	int fd = s->bytes.len ? copy(s) : -1;
	if (fd >= 0 && sys_map_over(UNCONST(s->bytes.ptr), s->bytes.len, fd, 0, false) == 0)
		__atomic_store_n(&s->is_kept, true, __ATOMIC_RELEASE);
	sys_close(fd);
	serve__source_unref(s);
}

static void drop(void *arg)
{
	serve__source_unref(arg);
}

// The cache has what was read, or will not have it.
static void keep_behind(void *arg)
{
	tier_behind(keep, drop, arg);
}

void serve__source_rests(const struct serve_source *s)
{
	if (s->bytes.len >= LARGE && (s->is_caches || serve__source_is_kept(s)))
		(void)sys_discard(UNCONST(s->bytes.ptr), s->bytes.len);
}

void serve__source_keep(struct serve_source *s, const struct wasm_module *const *modules, uint32_t n)
{
	leave_out(s, modules, n);
	__atomic_fetch_add(&s->refs, 1, __ATOMIC_RELAXED);
	if (s->hashes_to && !s->is_caches)
		tier_bytes_keep(&s->id, s->bytes, keep_behind, s);
	else
		keep_behind(s);
}

void serve__source_note(const struct serve_source *s)
{
	if (s->hashes_to && !s->is_caches)
		tier_bytes_keep(&s->id, SLICE_LIT(""), NULL, NULL);
}
