// Inside of room serve: what shards count (meters.c, watch.c).
#ifndef TENON_SERVE_METERS_H
#define TENON_SERVE_METERS_H

#include "base/base.h"

// ---- meters: what a shard counts of its requests, written by its thread alone and read by others -----------------------------
enum { SERVE_STATUS_FIRST = 200, SERVE_STATUSES = 400, SERVE_BUCKETS = 18, SERVE_TRAPS = 64 };
struct serve_meters {
	uint64_t duration_ns, cpu_ns;  // of calls that are over, together
	uint64_t made;                 // instances
	uint64_t inner;                // calls by triggers and other components that are over; of `durations` they are no part
	uint64_t memory_peak;          // of a call, the most
	uint64_t durations[SERVE_BUCKETS], traps[SERVE_TRAPS], statuses[SERVE_STATUSES];
};
// Upper bounds of `durations`, in nanoseconds; the last has none.
extern const uint64_t serve__bounds[SERVE_BUCKETS - 1];
// No locked instruction: nobody else writes it.
static inline void serve__count(uint64_t *n, uint64_t more)
{
	__atomic_store_n(n, *n + more, __ATOMIC_RELAXED);
}
static inline void serve__count_down(uint64_t *n)
{
	__atomic_store_n(n, *n - 1, __ATOMIC_RELAXED);
}
// ---- watch: calls through links, and requests that go out (watch.c) ----
enum { SERVE_OUTCOMES = 4 };  // enum seam_outcome
extern const char *const serve__outcomes[SERVE_OUTCOMES];
// Of one link, of what a shard's instances call. Its thread adds one and counts; others read. As long as the shard.
struct serve_link_meters {
	struct serve_link_meters *next;
	char link[64];  // or SERVE_NO_LINK, SERVE_OTHER_LINKS
	uint64_t outcomes[SERVE_OUTCOMES], duration_ns, durations[SERVE_BUCKETS];
};
// Requests that go out by no link; what a component calls beyond so many links. No link is called so.
#define SERVE_NO_LINK "(outgoing)"
#define SERVE_OTHER_LINKS "(others)"
enum { SERVE_LINKS_MAX = 256 };

#endif
