// A component's file is mapped, and much of it is read only later: data segments and names at run time. Who builds anew writes over it in place (cp, most tools);
// so a copy takes its place, at the same address and under running threads: at once where loading took long anyway, else behind the first answer. Until then
// the file is known by its size and times; one that was changed is shared with nobody any more.
//
// That holds for files to which nobody else writes than who runs tenon. Others could change bytes beneath times that stay, while they are hashed, decoded and compiled
// one after the other. So what such a file holds is read into memory once, before anybody looks at it; the cache keeps it, and the next start reads it there.
// One that was written a moment ago is read likewise, whosever it is: who builds may be at it still, and what is cut short beneath a mapping ends the process.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "source.h"
#include "sys/sys.h"
#include "tier/tier.h"

#define BESIDE (1u << 20)  // bytes of a file that are copied by a thread of their own

struct range {
	uint64_t at, size;
};
struct serve_source {
	uint32_t refs;
	struct slice bytes;
	struct stat opened;
	struct tier_bytes others;  // of a file that is not mapped as it is: what it is known by
	bool is_read;              // the bytes are memory of our own: they were read
	bool never_changes;        // the file is the cache's
	VEC(struct range)
	left_out;  // ascending
	// Of a copy that was begun early.
	struct sys_thread copier;
	bool copies;  // the thread is to be waited for
	int copy;     // a descriptor, or what went wrong
	// Under the lock.
	int file;  // -1: it is kept
};
static struct sys_mutex lock = SYS_MUTEX;

// ---- opened --------------------------------------------------------------------------------------------------------------------------

static bool is_same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool is_as_it_was(const struct serve_source *s)
{
	struct stat st;
	const struct stat *was = &s->opened;
	return s->never_changes ||
		(fstat(s->file, &st) == 0 && st.st_size == was->st_size && is_same_time(&st.st_mtim, &was->st_mtim) && is_same_time(&st.st_ctim, &was->st_ctim));
}

static bool refuse_changed(struct err *e)
{
	err_set(e, ERR_ENV, "the file was written over while it was loaded");
	return err_hint(e, "load it again when it is whole");
}

static bool map_file(struct serve_source *s, uint64_t size, const char *path, struct err *e)
{
	void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, s->file, 0);
	if (p == MAP_FAILED)
		return err_set_errno(e, errno, "cannot read '%s'", path);
	s->bytes = slice_of(p, size);
	return true;
}

// Nobody else has these bytes: the file is needed no more.
static bool read_file(struct serve_source *s, uint64_t size, const char *path, struct err *e)
{
	void *p = sys_map_anonymous(size);
	if (!p)
		return err_nomem(e);
	s->bytes = slice_of(p, size);
	s->is_read = true;
	sys_prefer_huge(p, size);
	int r = sys_read_whole(s->file, p, size);
	if (r == -EIO || !is_as_it_was(s))
		return refuse_changed(e);
	if (r)
		return err_set_errno(e, -r, "cannot read '%s'", path);
	sys_close(s->file);
	s->file = -1;
	return true;
}

static bool take_bytes(struct serve_source *s, const struct serve_service_config *c, struct err *e)
{
	if (fstat(s->file, &s->opened) != 0)
		return err_set_errno(e, errno, "cannot read '%s'", c->path);
	uint64_t size = (uint64_t)s->opened.st_size;
	s->bytes = slice_of("", 0);
	if (!size)
		return true;
	if (sys_only_we_write(s->file) && tier_is_settled(&s->opened))
		return map_file(s, size, c->path, e);
	int kept = c->no_cache ? -1 : tier_bytes_find(s->file, size, &s->others);
	if (kept < 0)
		return read_file(s, size, c->path, e);
	sys_close(s->file);
	s->file = kept;
	s->never_changes = true;
	return map_file(s, size, c->path, e);
}

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
	s->refs = 1;
	s->file = fd;
	if (take_bytes(s, c, e)) {
		*ret = s;
		return true;
	}
	serve__source_unref(s);
	return false;
}

static int wait_for_copy(struct serve_source *s)
{
	sys_thread_join(&s->copier);
	s->copies = false;
	return s->copy;
}

void serve__source_unref(struct serve_source *s)
{
	if (!s || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL))
		return;
	if (s->copies)
		sys_close(wait_for_copy(s));
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

int serve__source_file(const struct serve_source *s)
{
	return s->never_changes ? -1 : s->file;
}

const uint8_t *serve__source_content(const struct serve_source *s)
{
	return s->never_changes ? s->others.content : NULL;
}

// ---- kept ----------------------------------------------------------------------------------------------------------------------------

bool serve__source_is_kept(struct serve_source *s)
{
	sys_mutex_lock(&lock);
	bool is = s->file < 0;
	sys_mutex_unlock(&lock);
	return is;
}

bool serve__source_is_sound(struct serve_source *s)
{
	sys_mutex_lock(&lock);
	bool is = s->file < 0 || is_as_it_was(s);
	sys_mutex_unlock(&lock);
	return is;
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
		r = next.at > at ? sys_copy_range(s->file, to, next.at - at, at) : 0;
		at = next.at + next.size;
	}
	if (!r)
		return to;
	sys_close(to);
	return r;
}

static void *copy_main(void *arg)
{
	struct serve_source *s = arg;
	s->copy = copy(s);
	return NULL;
}

// 0, or why there is no copy. The file is compared after it was read: what was copied is what was loaded.
static int put_copy(struct serve_source *s, bool *ret_changed)
{
	int fd = s->copies ? wait_for_copy(s) : copy(s), r = fd < 0 ? fd : 0;
	*ret_changed = !is_as_it_was(s);
	if (!r && !*ret_changed)
		r = sys_memfd_seal(fd);
	if (!r && !*ret_changed)
		r = sys_map_over(UNCONST(s->bytes.ptr), s->bytes.len, fd, 0, false);
	sys_close(fd);
	return r;
}

// false: the file has changed.
static bool keep(struct serve_source *s)
{
	bool changed = false;
	int r = s->bytes.len ? put_copy(s, &changed) : 0;
	if (r || changed)
		return !changed;
	sys_mutex_lock(&lock);
	sys_close(s->file);
	s->file = -1;
	sys_mutex_unlock(&lock);
	return true;
}

static void keep_behind(void *arg)
{
	struct serve_source *s = arg;
	if (!keep(s))
		fprintf(stderr, "warning: a component's file was written over just after it was loaded: load it again (tenon update)\n");
	serve__source_unref(s);
}

static void drop(void *arg)
{
	serve__source_unref(arg);
}

// What was read is all that there is: only whole pages of code go, once the cache has it.
static void give_code_back(void *arg)
{
	struct serve_source *s = arg;
	for (uint32_t i = 0; i < s->left_out.len; i++) {
		uint64_t from = align_up_u64(s->left_out.ptr[i].at, SYS_PAGE), end = s->left_out.ptr[i].at + s->left_out.ptr[i].size;
		end -= end % SYS_PAGE;
		if (from < end)
			(void)sys_discard((void *)((uintptr_t)s->bytes.ptr + from), end - from);
	}
	serve__source_unref(s);
}

void serve__source_rests(const struct serve_source *s)
{
	if (s->bytes.len && !s->is_read)
		(void)sys_discard(UNCONST(s->bytes.ptr), s->bytes.len);
}

void serve__source_copy_beside(struct serve_source *s, const struct wasm_module *const *modules, uint32_t n)
{
	leave_out(s, modules, n);
	s->copies = !s->is_read && s->bytes.len >= BESIDE && sys_thread_new(&s->copier, copy_main, s) == 0;
}

bool serve__source_keep(struct serve_source *s, const struct wasm_module *const *modules, uint32_t n, bool later, struct err *e)
{
	if (!s->copies && !s->left_out.len)  // else the copier reads them
		leave_out(s, modules, n);
	if (s->is_read || later)
		__atomic_fetch_add(&s->refs, 1, __ATOMIC_RELAXED);
	if (s->is_read)
		tier_bytes_keep(&s->others, s->bytes, give_code_back, s);
	else if (later)
		tier_behind(keep_behind, drop, s);
	return s->is_read || later || keep(s) || refuse_changed(e);
}
