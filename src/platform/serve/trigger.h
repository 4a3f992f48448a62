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
// On its thread, but for what says otherwise.
struct serve_trigger {
	struct serve_trigger_config config;  // its own; what of it may change does on its thread
	struct serve_service *service;       // stays
	struct serve_thread *thread;         // stays
	struct serve_zone *zone;
	struct arena arena;        // of the configuration's texts
	struct serve_trigger *next, **prev;  // of the thread's; prev NULL: it isn't among them
	struct loop_timer timer;   // the next run
	struct serve_trigger_run *runs;    // under way
	int64_t due, looked, ran;  // cron: the next, when that was last looked at, and until when nothing was missed; seconds since 1970
	unsigned again;            // runs in a row that did not last; cron: that could not begin
	bool changes;              // start: the next run is of another version, at once
	bool leaves;               // nothing of it begins any more; it goes with its last run
	// Of thread 0, posted by the thread: a command has ended; it begins, at the start; it has left.
	struct loop_remote ended, begin, left;
	struct serve_trigger *all_next, **all_prev;
	int status;
	bool over, removed;
};
// On thread 0. Of a component that there is, or that comes: ERR_LINK: it is no command; USAGE: there is no such time zone.
NODISCARD bool serve__trigger_new(struct serve_process *p, const char *app, const struct serve_trigger_config *c, struct serve_trigger **ret, struct err *e);
void serve__trigger_add(struct serve_trigger *t);  // it is one of the process's, until it has left
void serve__trigger_free(struct serve_trigger *t);
// Is it the same but for limits and `overlap`?
bool serve__trigger_is(const struct serve_trigger *t, const struct serve_trigger_config *c);
// On its thread, or once that is over.
void serve__trigger_begin(struct serve_trigger *t);
void serve__trigger_change(struct serve_trigger *t, const struct serve_trigger_config *c);
void serve__trigger_leave(struct serve_trigger *t);
bool serve__triggers_run(const struct serve_process *p, const struct serve_service *s);

#endif
