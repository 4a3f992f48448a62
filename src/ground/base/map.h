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
// Room for `n` keys, without what growing leaves behind. false: memory is out.
NODISCARD bool map_reserve(struct map *m, uint32_t n);
// false when the key is there already (*ret_old is its value when asked for) or memory is out (*ret_nomem is set).
NODISCARD bool map_insert(struct map *m, struct slice key, uintptr_t value, bool *ret_nomem);
bool map_get(const struct map *m, struct slice key, uintptr_t *ret_value);
static inline bool map_has(const struct map *m, struct slice key)
{
	return map_get(m, key, NULL);
}

// Where a key lies: for tables of others, as slots.
uint64_t map_hash(struct slice key);
// The same for keys that are words, in tables of others: an address, an index, an id. Its low bits serve.
uint64_t map_hash_word(uint64_t word);

// Indices of an array whose keys stand in its elements: a slot holds an index + 1, 0 is a free one. Never full, and it does not grow. Look from the hash on, slot
// by slot, until one is free.
struct slots {
	uint32_t *at;
	uint32_t mask;
};
// Room for `n`; they live as long as the arena. false: memory is out.
NODISCARD bool slots_make(struct slots *s, struct arena *a, uint32_t n);
static inline uint32_t *slots_at(const struct slots *s, uint64_t hash)
{
	return &s->at[hash & s->mask];
}

#endif
