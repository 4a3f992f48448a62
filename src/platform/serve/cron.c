// When a schedule fits next: by days, hours, minutes and seconds of local time, never past a change of the zone in one step.
#include "app/app.h"
#include "trigger.h"

enum { DAY = 86400, HOUR = 3600, MINUTE = 60, ALL_HOURS = (1 << 24) - 1, LONGEST_GAP = 2 * DAY };
#define HORIZON (INT64_C(10) * 366 * DAY)

static bool fits_day(const struct app_schedule *s, const struct utc *l)
{
	bool day = s->days >> l->day & 1, weekday = s->weekdays >> l->weekday & 1;
	return s->months >> l->month & 1 && (s->either_day ? day || weekday : day && weekday);
}

// How many seconds later it can fit at the earliest; 0: it does.
static int32_t wait_for(const struct app_schedule *s, int64_t local)
{
	struct utc l = utc_of(local);
	if (!fits_day(s, &l))
		return DAY - (int32_t)(l.hour * HOUR + l.minute * MINUTE + l.second);
	if (!(s->hours >> l.hour & 1))
		return HOUR - (int32_t)(l.minute * MINUTE + l.second);
	if (!(s->minutes >> l.minute & 1))
		return MINUTE - (int32_t)l.second;
	return s->seconds >> l.second & 1 ? 0 : 1;
}

// Is one among the local times that the change left out?
static bool is_in_gap(const struct app_schedule *s, const struct serve_span *z)
{
	int64_t at = z->from + z->before, end = z->from + z->offset;
	for (int32_t w; at < end && end - at <= LONGEST_GAP; at += w)
		if ((w = wait_for(s, at)) == 0)
			return true;
	return false;
}

int64_t serve__cron_next(const struct app_schedule *s, const struct serve_zone *z, int64_t after)
{
	bool names_hours = (s->hours & ALL_HOURS) != ALL_HOURS;
	for (int64_t t = after + 1; t < after + HORIZON;) {
		struct serve_span span = serve__zone_at(z, t);
		bool changed = span.from != INT64_MIN && names_hours;
		int64_t twice = changed && span.before > span.offset ? span.from + (span.before - span.offset) : INT64_MIN;
		if (changed && t == span.from && span.before < span.offset && is_in_gap(s, &span))
			return t;
		int64_t wait = t < twice ? twice - t : wait_for(s, t + span.offset);
		if (wait == 0)
			return t;
		t = wait > span.until - t ? span.until : t + wait;
	}
	return INT64_MAX;
}
