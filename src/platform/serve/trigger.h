// Inside of room serve: what calls components when no request does (contract §5): at the start, once or for ever, or at times.
#ifndef TENON_SERVE_TRIGGER_H
#define TENON_SERVE_TRIGGER_H

#include "serve_int.h"

// ---- zone: local time -------------------------------------------------------------------------------------------------------------------
struct serve_zone;
// By its name in the system's database, read once; "UTC" needs none. ERR_USAGE: there is none of that name.
NODISCARD bool serve__zone_open(const char *name, struct serve_zone **ret, struct err *e);
void serve__zone_close(struct serve_zone *z);  // NULL does nothing
// Of bytes as tzfile(5) has them (RFC 8536). NULL: they are none, or no memory.
struct serve_zone *serve__zone_parse(struct slice bytes);
// A stretch of time in which local time is UTC plus `offset` seconds, and what it was before.
struct serve_span {
	int64_t from, until;  // seconds since 1970
	int32_t offset, before;
};
struct serve_span serve__zone_at(const struct serve_zone *z, int64_t at);

// ---- cron: when -------------------------------------------------------------------------------------------------------------------------
struct app_schedule;
// The first second behind `after` (both since 1970) that fits. Where hours are named, a time that a zone leaves out comes right behind the gap, and one that it
// has twice comes once. INT64_MAX: none within ten years.
int64_t serve__cron_next(const struct app_schedule *s, const struct serve_zone *z, int64_t after);

// ---- trigger ----------------------------------------------------------------------------------------------------------------------------
// One call of wasi:cli/run.
struct serve_trigger_run {
	struct serve_trigger_run *next, **prev;
	struct serve_trigger *trigger;
	struct serve_slot *slot;
	struct seam_task *task;
	struct arena arena;
	struct canon_trap trap;
	struct wasi_result_void_void result;
	uint64_t began_ns;
	bool ok, stopped;  // returned; was told to end
};
// On its thread, but for `config`, `service`, `thread`.
struct serve_trigger {
	const struct serve_trigger_config *config;
	struct serve_service *service;
	struct serve_thread *thread;
	struct serve_zone *zone;
	struct loop_remote begin;
	struct loop_timer timer;   // the next run
	struct serve_trigger_run *runs;    // under way
	int64_t due, looked;       // cron: the next, and when that was last looked at; seconds since 1970
	unsigned again;            // start: runs in a row that did not last
	bool changes;              // start: the next run is of another version, at once
	// Of thread 0, posted by a command that has ended.
	struct loop_remote ended;
	int status;
	bool over;
};

#endif
