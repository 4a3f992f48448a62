// Cells: the address space of 32-bit memories, where there is enough of it. A chunk is one reservation: 2 GiB of guard, then cells of 6 GiB, then a page of guard.
//
// 1. A cell's memory is at its base; an access is base + 32-bit index + offset < 2 GiB + at most 16 bytes, so it stays in the cell or
//    begins in its last bytes, which are never accessible (a store whose first page faults writes nothing).
// 2. A free cell is empty: PROT_NONE, no pages. Chunks are never given back.
// 3. The process's list is locked, a shard's own is not: a store that follows another on the shard takes no lock.
#include "vm_int.h"

#define CHUNK_CELLS 16u
#define REAR_GUARD 65536u
#define FEW_CELLS 16u  // where fewer fit memories lie in spans, of which more do

static struct sys_mutex lock = SYS_MUTEX;
static struct vm__cell *free_cells, *lost_cells;
static uint64_t made, max_cells, chunk_cells = CHUNK_CELLS;
static bool has_cells;
static struct buf probed = {.max = 512};

_Static_assert(VM__CELL_SIZE >= 4 * VM__GIB + 2 * VM__GIB, "an index of 32 bits and an offset below 2 GiB (L6)");

static uint64_t chunk_size(uint64_t n)
{
	return VM__FRONT_GUARD + n * VM__CELL_SIZE + REAR_GUARD;
}

// Under the lock. Halves the chunk until one fits; false: not even one cell does.
static bool add_chunk(void)
{
	uint64_t n = min_u64(chunk_cells, max_cells - made);
	uint8_t *at = NULL;
	for (; n; n /= 2)
		if ((at = sys_reserve(chunk_size(n))))
			break;
	if (!at)
		return false;
	struct vm__cell *cells = mem_zalloc(sizeof *cells * n);
	if (!cells) {
		sys_unmap(at, chunk_size(n));
		return false;
	}
	chunk_cells = n;
	made += n;
	for (uint64_t i = n; i-- > 0;) {
		cells[i] = (struct vm__cell){.base = at + VM__FRONT_GUARD + i * VM__CELL_SIZE, .next = free_cells};
		free_cells = &cells[i];
	}
	return true;
}

struct vm__cell *vm__cell_get(struct vm_shard *s)
{
	struct vm__cell *c = s->cells;
	if (c) {
		s->cells = c->next;
		return c;
	}
	sys_mutex_lock(&lock);
	if (free_cells || (made < max_cells && add_chunk())) {
		c = free_cells;
		free_cells = c->next;
	}
	sys_mutex_unlock(&lock);
	return c;
}

// Rule 2 can't be kept for it: nobody gets it any more, which near the limit of mappings is the right direction (L30).
static void lose(struct vm__cell *c)
{
	sys_mutex_lock(&lock);
	c->next = lost_cells;
	lost_cells = c;
	sys_mutex_unlock(&lock);
}

void vm__cell_put(struct vm_shard *s, struct vm__cell *c, uint64_t used)
{
	if (used && sys_wipe(c->base, align_up_u64(used, SYS_PAGE))) {
		lose(c);
		return;
	}
	c->next = s->cells;
	s->cells = c;
}

void vm__cells_give_back(struct vm_shard *s)
{
	sys_mutex_lock(&lock);
	while (s->cells) {
		struct vm__cell *c = s->cells;
		s->cells = c->next;
		c->next = free_cells;
		free_cells = c;
	}
	sys_mutex_unlock(&lock);
}

// Once: how much address space is to be had at all. Reservations, given back at once, halved until one fits. Under the lock.
static void probe(void)
{
	if (max_cells)
		return;
	uint64_t by_maps = max_u64(sys_max_map_count() / 8, 1), fits = 16384;
	void *at;
	while (!(at = sys_reserve(chunk_size(fits))) && fits)
		fits /= 2;
	if (at)
		sys_unmap(at, chunk_size(fits));
	has_cells = fits >= FEW_CELLS;
	max_cells = min_u64(max_u64(fits, 1), by_maps);
	chunk_cells = min_u64(CHUNK_CELLS, max_cells);
	if (has_cells)
		buf_printf(&probed, "memory cells: at most %llu of 6 GiB (address space for %llu, vm.max_map_count / 8 = %llu)\n", (unsigned long long)max_cells,
			(unsigned long long)fits, (unsigned long long)by_maps);
	else
		buf_printf(&probed, "memory cells: none, accesses are checked by code (address space for %llu of 6 GiB)\n", (unsigned long long)fits);
}

void vm__cells_describe(struct buf *out)
{
	sys_mutex_lock(&lock);
	probe();
	buf_put_slice(out, buf_view(&probed));
	sys_mutex_unlock(&lock);
}

bool vm_process_has_cells(void)
{
	sys_mutex_lock(&lock);
	probe();
	bool has = has_cells;
	sys_mutex_unlock(&lock);
	return has;
}

void vm_process_set_cells(bool has)
{
	sys_mutex_lock(&lock);
	probe();
	has_cells = has;
	sys_mutex_unlock(&lock);
}
