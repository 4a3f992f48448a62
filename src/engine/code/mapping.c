// A file of the cache whose code runs from the file's own pages, until a sealed copy takes their place; or such a copy from the beginning.
//
// 1. The mapping is one piece of address space, read-only; the parts that hold text are read + execute. Addresses never change, so that objects,
//    registry and return addresses stay right when the copy is put in.
// 2. The copy is checked before it is put in, and it equals what was mapped when its content was checked first: whoever is running sees no change.
// 3. A truncated file means SIGBUS: at a pc in the text, whose address is no guest memory's, or in host code. Both end the process (L40).
#include "code_int.h"

#include "sys/sys.h"

#include <errno.h>

struct text_part {
	uint64_t offset, size;  // in whole pages
};
struct code_mapping {
	uint32_t refs;
	int fd;  // -1: sealed
	bool is_closed;  // no text is added any more
	uint8_t *base;
	uint64_t size;
	VEC(struct text_part)
	texts;  // ascending
};

static bool mapping_new(uint8_t *base, uint64_t size, int fd, struct code_mapping **ret, struct err *e)
{
	struct code_mapping *m = base ? mem_zalloc(sizeof *m) : NULL;
	if (!m) {
		if (base)
			sys_unmap(base, size);
		return err_set(e, ERR_ENV, "compiled code can't be mapped");
	}
	*m = (struct code_mapping){.refs = 1, .fd = fd, .base = base, .size = size};
	*ret = m;
	return true;
}

bool code_mapping_new(int fd, uint64_t size, struct code_mapping **ret, struct err *e)
{
	if (mapping_new(size ? sys_map_file(fd, size) : NULL, size, fd, ret, e))
		return true;
	sys_close(fd);
	return false;
}

bool code_mapping_of(struct slice bytes, struct code_mapping **ret, struct err *e)
{
	int fd = sys_memfd("tenon-code", bytes.len);
	if (fd < 0)
		return err_set_errno(e, -fd, "cannot make room for %zu bytes of code", bytes.len);
	int r = sys_write_at(fd, bytes.ptr, bytes.len, 0);
	if (!r)
		r = sys_memfd_seal(fd);
	bool ok = r ? err_set_errno(e, -r, "cannot write code") : mapping_new(bytes.len ? sys_map_shared_read(fd, bytes.len) : NULL, bytes.len, -1, ret, e);
	sys_close(fd);
	return ok;
}

struct slice code_mapping_bytes(const struct code_mapping *m)
{
	return slice_of(m->base, m->size);
}

struct code_mapping *code_mapping_ref(struct code_mapping *m)
{
	__atomic_fetch_add(&m->refs, 1, __ATOMIC_RELAXED);
	return m;
}

void code_mapping_unref(struct code_mapping *m)
{
	if (!m || __atomic_sub_fetch(&m->refs, 1, __ATOMIC_ACQ_REL))
		return;
	sys_unmap(m->base, m->size);
	if (m->fd >= 0)
		sys_close(m->fd);
	VEC_FREE(&m->texts);
	mem_free(m);
}

bool code__mapping_add_text(struct code_mapping *m, const uint8_t *text, size_t size, struct err *e)
{
	uint64_t offset = (uint64_t)(text - m->base), pages = align_up_u64(size, SYS_PAGE);
	if (m->is_closed || offset % SYS_PAGE || offset > m->size || size > m->size - offset)
		return err_set(e, ERR_ENV, "compiled code does not lie at a page of its file");
	if (!size)
		return true;
	if (!VEC_PUSH(NULL, &m->texts, ((struct text_part){offset, pages}), UINT32_MAX))
		return err_nomem(e);
	int r = sys_protect_code(m->base + offset, pages);
	return !r || err_set_errno(e, -r, "cannot map code as executable");
}

// Every part, texts and what lies between them, in its place.
static int put_in(struct code_mapping *m, int fd)
{
	uint64_t at = 0, end = align_up_u64(m->size, SYS_PAGE);
	for (uint32_t i = 0; i <= m->texts.len; i++) {
		struct text_part text = i < m->texts.len ? m->texts.ptr[i] : (struct text_part){end, 0};
		int r = text.offset > at ? sys_map_over(m->base + at, text.offset - at, fd, at, false) : 0;
		if (!r && text.size)
			r = sys_map_over(m->base + text.offset, text.size, fd, text.offset, true);
		if (r)
			return r;
		at = text.offset + text.size;
	}
	return 0;
}

bool code_mapping_seal(struct code_mapping *m, bool (*is_sound)(struct slice bytes), struct err *e)
{
	BUG_ON(m->fd < 0);
	int fd = sys_memfd("tenon-code", m->size);
	if (fd < 0)
		return err_set_errno(e, -fd, "cannot make room for %llu bytes of code", (unsigned long long)m->size);
	int r = sys_copy_range(m->fd, fd, m->size, 0);
	if (!r)
		r = sys_memfd_seal(fd);
	void *copy = r ? NULL : sys_map_shared_read(fd, m->size);
	bool sound = copy && is_sound(slice_of(copy, m->size));
	if (copy)
		sys_unmap(copy, m->size);
	if (sound)
		r = put_in(m, fd);
	sys_close(fd);
	if (r && r != -EIO)
		return err_set_errno(e, -r, "cannot copy code");
	if (!r && !copy)
		return err_set(e, ERR_ENV, "cannot map a copy of code");
	if (r || !sound)
		return err_set(e, ERR_INVALID, "compiled code has changed in the cache since it was loaded");
	sys_close(m->fd);
	m->fd = -1;
	m->is_closed = true;
	return true;
}
