#include "utc.h"

#include "util.h"

enum { DAY = 86400, HOUR = 3600, MINUTE = 60 };

// https://howardhinnant.github.io/date_algorithms.html has the way of it: years begin in March, so that leap days come last.
struct utc utc_of(int64_t seconds)
{
	int64_t days = seconds / DAY, of_day = seconds % DAY;
	if (of_day < 0) {
		of_day += DAY;
		days--;
	}
	int64_t shifted = days + 719468, era = (shifted >= 0 ? shifted : shifted - 146096) / 146097, doe = shifted - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
	return (struct utc){
		.year = era * 400 + yoe + (mp >= 10),
		.month = (unsigned)(mp < 10 ? mp + 3 : mp - 9),
		.day = (unsigned)(doy - (153 * mp + 2) / 5 + 1),
		.weekday = (unsigned)(((days + 4) % 7 + 7) % 7),
		.hour = (unsigned)(of_day / HOUR),
		.minute = (unsigned)(of_day % HOUR / MINUTE),
		.second = (unsigned)(of_day % MINUTE),
	};
}

const char *utc_month_name(unsigned month)
{
	static const char names[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	BUG_ON(month < 1 || month > ARRAY_LEN(names));
	return names[month - 1];
}

const char *utc_weekday_name(unsigned weekday)
{
	static const char names[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	BUG_ON(weekday >= ARRAY_LEN(names));
	return names[weekday];
}
