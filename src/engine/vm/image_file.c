// Images in files, for the cache: written sparse, opened without a copy, and later replaced by a sealed copy under whoever runs.
//
// 1. The file is {head, memories' lengths, tables' lengths, bits of pages that are not zero, tables, globals, dropped bits, extra}, then at a page the
//    memories. (Of objects: their blocks' records and marks, behind the dropped bits.) Holes are zero by the bits, and are neither read nor hashed.
// 2. The hash covers everything else: it finds damage. That the file is ours to trust is its directory's business.
// 3. What was read from the file is checked for its bounds all the same: an old or foreign file is an error, never a crash.
#include "heap_int.h"

#include <errno.h>

#define MAGIC 0x326567616d696e74ull  // "tnimage2"
#define MAX_PARTS (1u << 20)

struct head {
	uint64_t magic, hash_low, hash_high;
	uint64_t meta_size, data_offset, size, nonzero_bytes;  // from here on hashed
	uint64_t globals_size, dropped_size, extra_size, used, table_elements;
	uint32_t nmemories, ntables, nfuncs, layout;
	uint64_t live;
	uint32_t types_end, nblocks;
};
#define HASHED_FROM offsetof(struct head, meta_size)

// What the meaning of the bytes depends on beside this file.
static uint32_t layout_id(void)
{
	uint64_t sizes[] = {sizeof(struct vm__block), HEAP_BLOCK, HEAP_FIRST, sizeof(struct abi_object_type),
		sizeof(struct abi_vmctx), sizeof(struct abi_memory), sizeof(struct abi_table), SYS_PAGE, WASM_OP_COUNT};
	return (uint32_t)hash_u64(slice_of(sizes, sizeof sizes));
}

bool vm__image_runs(const struct vm__image_memory *m, bool (*fn)(void *arg, uint64_t offset, uint64_t size), void *arg)
{
	uint32_t n = (uint32_t)(vm__in_pages(m->length) / SYS_PAGE);
	for (uint32_t from = 0; from < n;) {
		if (!m->nonzero[from / 8]) {
			from = (from | 7) + 1;
			continue;
		}
		if (!vm__bit(m->nonzero, from)) {
			from++;
			continue;
		}
		uint32_t to = from;
		while (to < n && vm__bit(m->nonzero, to))
			to++;
		if (!fn(arg, m->offset + (uint64_t)from * SYS_PAGE, (uint64_t)(to - from) * SYS_PAGE))
			return false;
		from = to;
	}
	return true;
}

static bool each_run(const struct vm_image *img, bool (*fn)(void *arg, uint64_t offset, uint64_t size), void *arg)
{
	for (uint32_t i = 0; i < img->nmemories; i++)
		if (!vm__image_runs(&img->memories[i], fn, arg))
			return false;
	return true;
}

// ---- hash --------------------------------------------------------------------------------------------------------
struct hashing {
	struct hash128 h;
	const uint8_t *memories;
};

static void hash_add(struct hashing *h, struct slice s)
{
	struct hash128 both[2] = {h->h, hash_128(s)};
	h->h = hash_128(slice_of(both, sizeof both));
}

static bool hash_run(void *arg, uint64_t offset, uint64_t size)
{
	struct hashing *h = arg;
	hash_add(h, slice_of(h->memories + offset, size));
	return true;
}

// `meta`: head and all before the memories.
static struct hash128 hash_of(const struct vm_image *img, struct slice meta, const uint8_t *memories)
{
	struct hashing h = {.memories = memories};
	hash_add(&h, slice_sub(meta, HASHED_FROM, meta.len));
	each_run(img, hash_run, &h);
	return h.h;
}

// ---- writing -----------------------------------------------------------------------------------------------------
static bool put_aligned(struct buf *b, const void *data, size_t size)
{
	static const uint8_t zero[16];
	return (!size || buf_put(b, data, size)) && buf_put(b, zero, -b->len & 15);
}

static uint64_t bits_size(uint64_t length)
{
	return vm__in_pages(length) / SYS_PAGE / 8 + 1;
}

static bool put_heap(const struct vm__image_heap *h, struct buf *b)
{
	return put_aligned(b, h->partial, HEAP_CLASSES * sizeof *h->partial) && put_aligned(b, h->blocks, h->nblocks * sizeof *h->blocks) &&
		put_aligned(b, h->marks, h->nblocks * HEAP_MARK_WORDS * 8ull);
}

static bool put_meta(const struct vm_image *img, struct slice extra, struct buf *b)
{
	struct head h = {
		.magic = MAGIC,
		.size = img->size,
		.nonzero_bytes = img->nonzero_bytes,
		.globals_size = img->globals_size,
		.layout = layout_id(),
		.dropped_size = img->dropped_size,
		.extra_size = extra.len,
		.used = img->used,
		.table_elements = img->table_elements,
		.nmemories = img->nmemories,
		.ntables = img->ntables,
		.nfuncs = img->nfuncs,
		.live = img->heap.live,
		.types_end = img->heap.types_end,
		.nblocks = img->heap.nblocks,
	};
	bool ok = put_aligned(b, &h, sizeof h);
	for (uint32_t i = 0; ok && i < img->nmemories; i++)
		ok = buf_put(b, &img->memories[i].length, 8);
	for (uint32_t i = 0; ok && i < img->ntables; i++)
		ok = buf_put(b, &img->tables[i].length, 8);
	ok = ok && put_aligned(b, NULL, 0);
	for (uint32_t i = 0; ok && i < img->nmemories; i++)
		ok = put_aligned(b, img->memories[i].nonzero, bits_size(img->memories[i].length));
	for (uint32_t i = 0; ok && i < img->ntables; i++)
		ok = put_aligned(b, img->tables[i].elems, img->tables[i].length * sizeof(uint32_t));
	return ok && put_aligned(b, img->globals, img->globals_size) && put_aligned(b, img->dropped, img->dropped_size) && put_heap(&img->heap, b) &&
		put_aligned(b, extra.ptr, extra.len);
}

struct writing {
	const struct vm_image *img;
	int fd, r;
	uint64_t data_offset;
};

static bool write_run(void *arg, uint64_t offset, uint64_t size)
{
	struct writing *w = arg;
	w->r = sys_write_at(w->fd, w->img->map + offset, size, w->data_offset + offset);
	return !w->r;
}

bool vm_image_write(const struct vm_image *img, struct slice extra, int fd, struct err *e)
{
	struct buf b = {0};
	if (!put_meta(img, extra, &b)) {
		buf_release(&b);
		return err_nomem(e);
	}
	struct head *h = (struct head *)b.ptr;
	h->meta_size = b.len;
	h->data_offset = align_up_u64(b.len, SYS_PAGE);
	struct hash128 hash = hash_of(img, buf_view(&b), img->map);
	h->hash_low = hash.low;
	h->hash_high = hash.high;
	struct writing w = {.img = img, .fd = fd, .data_offset = h->data_offset};
	w.r = sys_write_at(fd, b.ptr, b.len, 0);
	if (!w.r)
		each_run(img, write_run, &w);
	if (!w.r)
		w.r = sys_set_size(fd, h->data_offset + img->size);
	buf_release(&b);
	if (img->map)
		(void)sys_discard(UNCONST(img->map), img->size);  // all of it was mapped to be read, which resets do rarely
	return !w.r || err_set_errno(e, -w.r, "cannot write an image");
}

// ---- opening -----------------------------------------------------------------------------------------------------
static const void *take(struct slice *s, uint64_t n, uint64_t size)
{
	uint64_t total = n * size, padded = align_up_u64(total, 16);
	if ((size && n > s->len / size) || padded > s->len)
		return NULL;
	const void *p = s->ptr;
	s->ptr += padded;
	s->len -= padded;
	return p;
}

static bool read_memories(struct vm_image *img, const uint64_t *lengths, struct slice *rest)
{
	uint64_t at = 0;
	for (uint32_t i = 0; i < img->nmemories; i++) {
		struct vm__image_memory *m = &img->memories[i];
		*m = (struct vm__image_memory){.length = lengths[i], .offset = at};
		if (m->length > img->size - at || vm__in_pages(m->length) > img->size - at)
			return false;
		m->nonzero = (uint8_t *)(uintptr_t)take(rest, 1, bits_size(m->length));
		if (!m->nonzero)
			return false;
		at += vm__in_pages(m->length);
	}
	return at == img->size;
}

static bool read_tables(struct vm_image *img, const uint64_t *lengths, struct slice *rest)
{
	for (uint32_t i = 0; i < img->ntables; i++) {
		img->tables[i].length = lengths[i];
		img->tables[i].elems = (uint32_t *)(uintptr_t)take(rest, lengths[i], sizeof(uint32_t));
		if (!img->tables[i].elems)
			return false;
	}
	return true;
}

// `next`: a block with room of that class, behind all before block i; or none.
static bool is_next(const struct vm__image_heap *h, uint32_t next, uint32_t i, unsigned class)
{
	return !next || (next > i && next <= h->nblocks && h->blocks[next - 1].kind == BLOCK_CELLS && h->blocks[next - 1].class == class);
}

// Objects of many blocks must lie within them.
static bool read_heap(struct vm__image_heap *to, const struct head *h, struct slice *rest)
{
	*to = (struct vm__image_heap){.types_end = h->types_end, .nblocks = h->nblocks, .live = h->live};
	to->partial = take(rest, HEAP_CLASSES, sizeof *to->partial);
	to->blocks = take(rest, h->nblocks, sizeof *to->blocks);
	to->marks = take(rest, h->nblocks, HEAP_MARK_WORDS * 8);
	if (!to->partial || !to->blocks || !to->marks)
		return false;
	for (unsigned c = 0; c < HEAP_CLASSES; c++)
		if (!is_next(to, to->partial[c], 0, c))
			return false;
	for (uint32_t i = 0; i < h->nblocks; i++) {
		const struct vm__block *b = &to->blocks[i];
		if (b->kind > BLOCK_REST || b->class >= HEAP_CLASSES || (b->kind == BLOCK_LARGE && (!b->n || b->n > h->nblocks - i)) ||
			(b->kind == BLOCK_CELLS && !is_next(to, b->next, i + 1, b->class)))
			return false;
		to->used += b->kind != BLOCK_FREE;
	}
	return true;
}

// The arrays of the image become views into the mapping; all its sums are checked.
static bool read_meta(struct vm_image *img, const struct head *h, uint64_t file_size)
{
	if (h->magic != MAGIC || h->layout != layout_id() || h->meta_size < sizeof *h || h->meta_size > h->data_offset || h->data_offset % SYS_PAGE ||
		h->data_offset > file_size || h->size != file_size - h->data_offset || h->nmemories > MAX_PARTS || h->ntables > MAX_PARTS)
		return false;
	struct slice rest = slice_of(img->file, h->meta_size);
	if (!take(&rest, 1, sizeof *h))
		return false;
	img->size = h->size;
	img->data_offset = h->data_offset;
	img->map = h->size ? img->file + h->data_offset : NULL;
	img->nmemories = h->nmemories;
	img->ntables = h->ntables;
	img->nfuncs = h->nfuncs;
	img->nonzero_bytes = h->nonzero_bytes;
	img->globals_size = h->globals_size;
	img->dropped_size = h->dropped_size;
	img->used = h->used;
	img->table_elements = h->table_elements;
	img->memories = ARENA_ARRAY(&img->arena, struct vm__image_memory, (size_t)img->nmemories + 1);
	img->tables = ARENA_ARRAY(&img->arena, struct vm__image_table, (size_t)img->ntables + 1);
	const uint64_t *lengths = take(&rest, (uint64_t)h->nmemories + h->ntables, 8);
	if (!img->memories || !img->tables || !lengths || !read_memories(img, lengths, &rest) || !read_tables(img, lengths + h->nmemories, &rest))
		return false;
	img->globals = (uint8_t *)(uintptr_t)take(&rest, 1, h->globals_size);
	img->dropped = (uint8_t *)(uintptr_t)take(&rest, 1, h->dropped_size);
	if (!img->globals || !img->dropped || !read_heap(&img->heap, h, &rest))
		return false;
	img->extra = slice_of(take(&rest, 1, h->extra_size), h->extra_size);
	return img->extra.ptr && rest.len == 0;
}

bool vm_image_open(int fd, bool checked, struct vm_image **ret, struct err *e)
{
	struct sys_stat st;
	struct vm_image *img = mem_zalloc(sizeof *img);
	if (!img) {
		sys_close(fd);
		return err_nomem(e);
	}
	img->refs = 1;
	img->fd = fd;
	img->old_fd = -1;
	arena_init(&img->arena, 0);
	bool ok = sys_file.stat(fd, false, &st) == 0 && st.size >= sizeof(struct head);
	uint64_t file_size = ok ? st.size : 0;
	const uint8_t *file = ok ? sys_map_shared_read(fd, file_size) : NULL;
	const struct head *h = (const struct head *)file;
	img->file = file;
	ok = file && read_meta(img, h, file_size);
	if (ok && !checked) {
		struct hash128 hash = hash_of(img, slice_of(file, h->meta_size), img->map);
		ok = hash.low == h->hash_low && hash.high == h->hash_high;
	}
	if (!ok) {
		img->file = img->map = NULL;
		if (file)
			sys_unmap((void *)(uintptr_t)file, file_size);
		vm_image_unref(img);
		return err_set(e, ERR_INVALID, "the image is damaged, or of another build");
	}
	*ret = img;
	return true;
}

struct slice vm_image_extra(const struct vm_image *img)
{
	return img->extra;
}

// ---- sealing -----------------------------------------------------------------------------------------------------
struct copying {
	int from, to, r;
	uint64_t data_offset;
};

static bool copy_run(void *arg, uint64_t offset, uint64_t size)
{
	struct copying *c = arg;
	c->r = sys_copy_range(c->from, c->to, size, c->data_offset + offset);
	return !c->r;
}

static int copy_file(const struct vm_image *img, uint64_t meta_size, int to)
{
	struct copying c = {.from = img->fd, .to = to, .data_offset = img->data_offset};
	c.r = sys_copy_range(c.from, to, meta_size, 0);
	if (!c.r)
		each_run(img, copy_run, &c);
	return c.r ? c.r : sys_memfd_seal(to);
}

bool vm_image_seal(struct vm_image *img, struct err *e)
{
	const struct head *old = (const struct head *)img->file;
	if (!old || img->old_fd >= 0)
		return true;
	uint64_t total = img->data_offset + img->size, meta_size = old->meta_size;
	struct hash128 want = {old->hash_low, old->hash_high};
	int fd = sys_memfd("tenon-image", total);
	if (fd < 0)
		return err_set_errno(e, -fd, "memory file for an image of %llu bytes", (unsigned long long)total);
	int r = copy_file(img, meta_size, fd);
	uint8_t *copy = r ? NULL : sys_map_shared_read(fd, total);
	bool sound = false;
	if (copy) {
		struct hash128 hash = hash_of(img, slice_of(copy, meta_size), copy + img->data_offset);
		sound = hash.low == want.low && hash.high == want.high;
		sys_unmap(copy, total);
	}
	if (sound)
		r = sys_map_over((void *)(uintptr_t)img->file, total, fd, 0, false);
	if (r || !sound) {
		sys_close(fd);
		if ((copy && !sound) || r == -EIO)
			return err_set(e, ERR_INVALID, "an image has changed in the cache since it was loaded");
		return r ? err_set_errno(e, -r, "cannot copy an image") : err_set(e, ERR_ENV, "cannot map a copy of an image");
	}
	img->old_fd = img->fd;
	atomic_store(&img->fd, fd);
	atomic_fetch_add(&img->epoch, 1);
	return true;
}
