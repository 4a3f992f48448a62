// Hashes for tables and for finding damage (XXH3). Where trust hangs on it, SHA-256 is used instead (engine/tier).
#ifndef TENON_BASE_HASH_H
#define TENON_BASE_HASH_H

#include "slice.h"

uint64_t hash_u64(struct slice s);
struct hash128 {
	uint64_t low, high;
};
struct hash128 hash_128(struct slice s);

#endif
