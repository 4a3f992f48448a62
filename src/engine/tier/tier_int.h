// Inside the room tier: the cache on disk.
#ifndef TENON_TIER_INT_H
#define TENON_TIER_INT_H

#include "tier.h"

// Where the cache lies: $TENON_CACHE, $XDG_CACHE_HOME/tenon, ~/.cache/tenon. -1: there is none to be had (no home, not ours, not 0700): do without.
int tier__cache_open(void);

struct tier_key {
	uint8_t bytes[32];
};
// SHA-256 of the file's content; remembered by device, inode, size and times, so that a warm start need not read the file.
NODISCARD bool tier__file_identity(int cache, const char *path, struct slice file, struct tier_key *ret);
// What an entry depends on besides the content: this program's build, the processor's features, flags.
void tier__key_mix(struct tier_key *key, struct slice build, uint64_t cpu_features, uint64_t flags);

// Opens an entry. false: there is none.
NODISCARD bool tier__cache_get(int cache, const struct tier_key *key, int *ret_fd, uint64_t *ret_size);
// Writes an entry under a temporary name and renames it; then trims the cache to its size. Failure is no error: the next start compiles again.
bool tier__cache_put(int cache, const struct tier_key *key, const struct slice *parts, uint32_t n);

#endif
