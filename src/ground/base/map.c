#include "map.h"

#include <sys/auxv.h>

#include "base.h"
#include "base_int.h"

struct map_entry {
	const uint8_t *key;
	uint32_t len;
	uint32_t hash;  // 0: empty
	uintptr_t value;
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

// ---- SipHash-1-3 under a key of the process -------------------------------------------------------------------------------------------
struct sip {
	uint64_t v[4];
};

static inline uint64_t rotl(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static inline void sip_round(struct sip *s)
{
	uint64_t *v = s->v;
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] = rotl(v[0], 32) + v[3];
	v[2] += v[1];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

static inline void sip_word(struct sip *s, uint64_t word)
{
	s->v[3] ^= word;
	sip_round(s);
	s->v[0] ^= word;
}

uint64_t map__hash(struct slice bytes, const uint64_t key[2])
{
	struct sip s = {{key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d, key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573}};
	size_t i = 0;
	for (; bytes.len - i >= 8; i += 8) {
		uint64_t word;
		memcpy(&word, bytes.ptr + i, sizeof word);
		sip_word(&s, word);
	}
	uint64_t last = (uint64_t)bytes.len << 56;
	for (unsigned k = 0; i < bytes.len; i++, k++)
		last |= (uint64_t)bytes.ptr[i] << 8 * k;
	sip_word(&s, last);
	s.v[2] ^= 0xff;
	for (int k = 0; k < 3; k++)
		sip_round(&s);
	return s.v[0] ^ s.v[1] ^ s.v[2] ^ s.v[3];
}

// The sixteen random bytes that the kernel gives each process.
static void get_key(uint64_t ret[2])
{
	static const uint8_t *given;
	const uint8_t *random = __atomic_load_n(&given, __ATOMIC_RELAXED);
	if (UNLIKELY(!random)) {
		random = (const uint8_t *)(uintptr_t)getauxval(AT_RANDOM);
		__atomic_store_n(&given, random, __ATOMIC_RELAXED);
	}
	memcpy(ret, random, 16);
}

uint64_t map_hash(struct slice bytes)
{
	uint64_t key[2];
	get_key(key);
	return map__hash(bytes, key);
}

static uint32_t key_hash(struct slice bytes)
{
	return (uint32_t)map_hash(bytes) | 1;
}

uint64_t map_hash_word(uint64_t word)
{
	uint64_t key[2];
	get_key(key);
	return map__hash(slice_of(&word, sizeof word), key);
}

static struct map_entry *find(const struct map *m, struct slice key, uint32_t hash)
{
	for (uint32_t i = hash >> 1 & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
		struct map_entry *e = &m->entries[i];
		if (e->hash == 0 || (e->hash == hash && slice_eq(slice_of(e->key, e->len), key)))
			return e;
	}
}

static bool widen(struct map *m, uint32_t cap)
{
	struct map wider = {.cap = cap, .len = m->len, .arena = m->arena};
	wider.entries = m->arena ? ARENA_ARRAY(m->arena, struct map_entry, wider.cap) : mem_zalloc(wider.cap * sizeof(struct map_entry));
	if (!wider.entries)
		return false;
	for (uint32_t i = 0; i < m->cap; i++)
		if (m->entries[i].hash)
			*find(&wider, slice_of(m->entries[i].key, m->entries[i].len), m->entries[i].hash) = m->entries[i];
	if (!m->arena)
		mem_free(m->entries);
	*m = wider;
	return true;
}

bool map_reserve(struct map *m, uint32_t n)
{
	uint64_t cap = m->cap ? m->cap : 16;
	while (cap * 3 < ((uint64_t)m->len + n) * 4)
		cap *= 2;
	return !n || cap == m->cap || (cap <= UINT32_MAX / 2 && widen(m, (uint32_t)cap));
}

bool map_insert(struct map *m, struct slice key, uintptr_t value, bool *ret_nomem)
{
	*ret_nomem = key.len > UINT32_MAX || !map_reserve(m, 1);
	if (*ret_nomem)
		return false;
	uint32_t hash = key_hash(key);
	struct map_entry *e = find(m, key, hash);
	if (e->hash)
		return false;
	*e = (struct map_entry){key.ptr, (uint32_t)key.len, hash, value};
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

bool slots_make(struct slots *s, struct arena *a, uint32_t n)
{
	uint64_t size = 2;
	while (size < 2 * (uint64_t)n)
		size *= 2;
	s->at = ARENA_ARRAY(a, uint32_t, size);
	s->mask = (uint32_t)(size - 1);
	return s->at;
}
