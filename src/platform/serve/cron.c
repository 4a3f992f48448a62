// When a schedule fits next: by days, hours, minutes and seconds of local time, never past a change of the zone in one step.
#include "app/app.h"
#include "trigger.h"

enum { DAY = 86400, HOUR = 3600, MINUTE = 60, ALL_HOURS = (1 << 24) - 1, LONGEST_GAP = 2 * DAY };
#define HORIZON (INT64_C(10) * 366 * DAY)

struct local {
	unsigned month, day, weekday, hour, minute, second;
	int32_t left;  // seconds, this one among them, until the next day
};

// https://howardhinnant.github.io/date_algorithms.html has the way of it: years begin in March, so that leap days come last.
static struct local local_of(int64_t seconds)
{
	int64_t days = seconds / DAY, of_day = seconds % DAY;
	if (of_day < 0) {
		of_day += DAY;
		days--;
	}
	int64_t shifted = days + 719468, era = (shifted >= 0 ? shifted : shifted - 146096) / 146097, doe = shifted - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
	return (struct local){
		.month = (unsigned)(mp < 10 ? mp + 3 : mp - 9),
		.day = (unsigned)(doy - (153 * mp + 2) / 5 + 1),
		.weekday = (unsigned)(((days + 4) % 7 + 7) % 7),
		.hour = (unsigned)(of_day / HOUR),
		.minute = (unsigned)(of_day % HOUR / MINUTE),
		.second = (unsigned)(of_day % MINUTE),
		.left = (int32_t)(DAY - of_day),
	};
}

static bool fits_day(const struct app_schedule *s, const struct local *l)
{
	bool day = s->days >> l->day & 1, weekday = s->weekdays >> l->weekday & 1;
	return s->months >> l->month & 1 && (s->either_day ? day || weekday : day && weekday);
}

// How many seconds later it can fit at the earliest; 0: it does.
static int32_t wait_for(const struct app_schedule *s, int64_t local)
{
	struct local l = local_of(local);
	if (!fits_day(s, &l))
		return l.left;
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
