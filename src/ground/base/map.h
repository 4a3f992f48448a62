// Open addressing from a slice key to a pointer-sized value. Keys are borrowed: they must outlive the map.
// Files and requests choose keys: where they lie depends on a secret of the process, so that nobody can choose some that lie in one place.
#ifndef TENON_BASE_MAP_H
#define TENON_BASE_MAP_H

#include "slice.h"

struct map_entry;
struct map {
	struct map_entry *entries;
	uint32_t len, cap;
	struct arena *arena;  // where it grows; NULL: the heap (then map_release frees it)
};

void map_init(struct map *m, struct arena *a);
void map_release(struct map *m);
// false when the key is there already (*ret_old is its value when asked for) or memory is out (*ret_nomem is set).
NODISCARD bool map_insert(struct map *m, struct slice key, uintptr_t value, bool *ret_nomem);
bool map_get(const struct map *m, struct slice key, uintptr_t *ret_value);
static inline bool map_has(const struct map *m, struct slice key)
{
	return map_get(m, key, NULL);
}

// The same for keys that are words, in tables of others: an address, an index, an id. Its low bits serve.
uint64_t map_hash_word(uint64_t word);

#endif
