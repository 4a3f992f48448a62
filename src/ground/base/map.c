#include "map.h"

#include "hash.h"

struct map_entry {
	struct slice key;
	uintptr_t value;
	uint64_t hash;  // 0: empty
};

void map_init(struct map *m, struct arena *a)
{
	*m = (struct map){.arena = a};
}

void map_release(struct map *m)
{
	if (!m->arena)
		mem_free(m->entries);
	*m = (struct map){.arena = m->arena};
}

static uint64_t key_hash(struct slice key)
{
	return hash_u64(key) | 1;
}

static struct map_entry *find(const struct map *m, struct slice key, uint64_t hash)
{
	for (uint32_t i = (uint32_t)(hash >> 1) & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
		struct map_entry *e = &m->entries[i];
		if (e->hash == 0 || (e->hash == hash && slice_eq(e->key, key)))
			return e;
	}
}

static bool grow(struct map *m)
{
	if (m->cap > UINT32_MAX / 4)
		return false;
	struct map wider = {.cap = m->cap ? m->cap * 2 : 16, .len = m->len, .arena = m->arena};
	wider.entries = m->arena ? ARENA_ARRAY(m->arena, struct map_entry, wider.cap) : mem_zalloc(wider.cap * sizeof(struct map_entry));
	if (!wider.entries)
		return false;
	for (uint32_t i = 0; i < m->cap; i++)
		if (m->entries[i].hash)
			*find(&wider, m->entries[i].key, m->entries[i].hash) = m->entries[i];
	if (!m->arena)
		mem_free(m->entries);
	*m = wider;
	return true;
}

bool map_insert(struct map *m, struct slice key, uintptr_t value, bool *ret_nomem)
{
	*ret_nomem = false;
	if ((m->len + 1) * 4 > m->cap * 3 && !grow(m)) {
		*ret_nomem = true;
		return false;
	}
	uint64_t hash = key_hash(key);
	struct map_entry *e = find(m, key, hash);
	if (e->hash)
		return false;
	*e = (struct map_entry){key, value, hash};
	m->len++;
	return true;
}

bool map_get(const struct map *m, struct slice key, uintptr_t *ret_value)
{
	if (!m->cap)
		return false;
	const struct map_entry *e = find(m, key, key_hash(key));
	if (!e->hash)
		return false;
	if (ret_value)
		*ret_value = e->value;
	return true;
}
