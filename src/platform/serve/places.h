// Inside of room serve: places among the calls of a service, its app and the process (places.c).
#ifndef TENON_SERVE_PLACES_H
#define TENON_SERVE_PLACES_H

#include "base/base.h"

struct serve_process;
struct serve_service_config;
struct serve_shard;
static inline uint64_t serve__or_endless(uint64_t limit)
{
	return limit ? limit : UINT64_MAX;
}
// Of those that wait in it.
const struct serve_service_config *serve__config_of_queue(const struct serve_shard *s);
// What is in force became what is kept: who waits has his deadline.
void serve__queue_rearm(struct serve_shard *s);
void serve__places_init(struct serve_shard *s);
// false: there are as many as there may be.
NODISCARD bool serve__place_take(struct serve_shard *s);
void serve__place_give(struct serve_shard *s);
// The shard is told when there may be one, by its queue's turn: who has not found one says so, and looks once more.
void serve__place_wait(struct serve_shard *s);
void serve__place_wait_no_more(struct serve_shard *s);
// There may be one now, for whichever shards wait for one; `but` sees by itself. Any thread.
void serve__places_tell(struct serve_process *p, const struct serve_shard *but);

#endif
