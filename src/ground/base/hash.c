#include "hash.h"

#include <xxhash.h>

uint64_t hash_u64(struct slice s)
{
	return XXH3_64bits(s.ptr, s.len);
}

struct hash128 hash_128(struct slice s)
{
	XXH128_hash_t h = XXH3_128bits(s.ptr, s.len);
	return (struct hash128){h.low64, h.high64};
}
